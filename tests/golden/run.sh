#!/usr/bin/env bash
# One text golden: run.sh CARDINAL FILE.nn. The file says what to run (`# run: ir %s --after fuse_epilogues`) and, after a
# line `# expect:`, what that prints on either stream, each line behind "# ". CARDINAL_BLESS=1 writes what was printed
# into the file instead of comparing.
set -u
cardinal=$1
file=$2
cd "$(dirname "$file")" || exit 1
name=$(basename "$file")
command=$(sed -n 's/^# run: //p' "$name" | head -n 1)
if [ -z "$command" ]; then
  echo "$name: no line '# run: ...'" >&2
  exit 1
fi
read -r -a words <<<"${command//%s/$name}"
actual=$("$cardinal" "${words[@]}" 2>&1 | sed 's/^/# /; s/ *$//')
if [ -n "${CARDINAL_BLESS:-}" ]; then
  { sed '/^# expect:/,$d' "$name"; echo "# expect:"; printf '%s\n' "$actual"; } >"$name.new" && mv "$name.new" "$name"
  exit 0
fi
diff -u --label "$name (expected)" --label "$name (actual)" <(sed '1,/^# expect:/d; s/ *$//' "$name") <(printf '%s\n' "$actual")
