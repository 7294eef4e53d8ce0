#!/bin/bash
# Checks and measures networks on an NVIDIA GPU, against PyTorch.
#
#   tests/gpu/run.sh prepare [OPTIONS]   where the compiler is: compiles what is to be run into build/gpu_bundle
#   tests/gpu/run.sh [OPTIONS]           where the GPU is: needs that folder and Python with PyTorch, no compiler, no network
#
# The first needs no GPU, the second none of this repository but tests/gpu and build/gpu_bundle. --help says more.
# Exit code 0: all results are right; 1: some are not; 2: could not be run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
script=run
if [ "${1-}" = prepare ]; then
  script=prepare
  shift
fi
exec "${PYTHON:-python3}" "$here/hardware/$script.py" "$@"
