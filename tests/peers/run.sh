#!/usr/bin/env bash
# Installs the peers into .venv-peers, prepares the networks, and measures. Arguments: see README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

[ -x .venv/bin/python ] || { echo "PyTorch is not there to build the networks: run ./setup.sh --with-oracle" >&2; exit 1; }
[ -x build/compiler/driver/cardinal ] || { echo "Cardinal is not built: run ./setup.sh" >&2; exit 1; }
[ -x .venv-peers/bin/python ] || python3 -m venv .venv-peers

mkdir -p build/peers
: > build/peers/not_installed.txt
grep -v '^#' "$here/requirements.txt" | while read -r -a peer; do
  .venv-peers/bin/pip install --quiet --no-input "${peer[@]}" 2> build/peers/pip.log ||
    echo "${peer[0]%%[=[]*}: $(tail -n 1 build/peers/pip.log)" >> build/peers/not_installed.txt
done
exec .venv/bin/python "$here/bench.py" --peers-python .venv-peers/bin/python --directory build/peers "$@"
