#!/usr/bin/env bash
# One check of PTX: run.sh CARDINAL FILECHECK FILE.nn. The file's comments hold FileCheck's directives, and
# `# target: sm_80` what to compile for, `# options:` what else to say.
set -euo pipefail
target=$(sed -n 's/^# target: //p' "$3" | head -n 1)
options=$(sed -n 's/^# options: //p' "$3" | head -n 1)
# shellcheck disable=SC2086 # options are words
"$1" compile "$3" --target "$target" $options --emit ptx -o - | "$2" "$3"
