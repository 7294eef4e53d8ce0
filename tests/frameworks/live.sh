#!/usr/bin/env bash
# live.sh FRAMEWORK PYTHON COMPARE CARDINAL: lets the framework compute its networks, then compares them. Exit code 77
# where PYTHON does not have the framework.
set -euo pipefail
framework=$1 python=$2 compare=$3 cardinal=$4
here=$(cd "$(dirname "$0")" && pwd)

case "$framework" in
  pytorch) modules="import torch, safetensors" ;;
  mxnet) modules="import numpy; numpy.bool = bool; import mxnet" ;;
  keras) modules="import tensorflow, keras" ;;
  flax) modules="import jax, flax" ;;
esac
if ! "$python" -c "$modules" 2>/dev/null; then
  echo "skipped: $python has no $framework; ./setup.sh --with-frameworks installs it" >&2
  exit 77
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" "$here/${framework}_networks.py" "$scratch/$framework" 2>"$scratch/messages" ||
  { cat "$scratch/messages" >&2; exit 1; }
"$compare" "$cardinal" "$here" "$scratch" "$framework"
