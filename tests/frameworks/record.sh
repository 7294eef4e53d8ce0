#!/usr/bin/env bash
# Records the vectors anew, with the frameworks that ./setup.sh --with-oracle --with-frameworks installs. One network keeps
# all its containers; the others, the one that their framework's users save.
set -euo pipefail
cd "$(dirname "$0")"
root=../..

rm -rf vectors
for framework in pytorch mxnet keras flax; do
  python=$root/.venv-frameworks/$framework/bin/python
  [ "$framework" = pytorch ] && python=$root/.venv/bin/python
  networks=$("$python" -c 'import cases; print(*cases.RECORDED)')
  # shellcheck disable=SC2086
  "$python" "${framework}_networks.py" "vectors/$framework" $networks
done
find vectors \( -name 'weights.npz' -o -name 'weights-0000.params' \) -not -path '*/tiny/*' -delete
