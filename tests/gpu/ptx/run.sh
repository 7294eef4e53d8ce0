#!/usr/bin/env bash
# One check of PTX: run.sh CARDINAL FILECHECK FILE.nn. The file's comments hold FileCheck's directives, `# target: sm_80`
# what to compile for, and `# options: ...` what else the compiler is given.
set -euo pipefail
target=$(sed -n 's/^# target: //p' "$3" | head -n 1)
read -r -a options <<<"$(sed -n 's/^# options: //p' "$3" | head -n 1)"
"$1" compile "$3" --target "$target" "${options[@]}" --emit ptx -o - | "$2" "$3"
