#!/usr/bin/env bash
# Runs every test. Sets up first what is missing, PyTorch for the comparisons included; arguments go to ctest.
set -euo pipefail
cd "$(dirname "$0")"

./setup.sh --with-oracle
ctest --test-dir build --output-on-failure "$@"
