#!/usr/bin/env bash
# Runs every test; sets up first what is missing, PyTorch for the comparisons included. Then builds the compiler again with
# AddressSanitizer, UndefinedBehaviorSanitizer and assertions, and runs its tests on that.
#   --quick      leaves the second build out
#   --long       also compares the networks that take minutes with PyTorch
# Other arguments go to ctest.
set -euo pipefail
cd "$(dirname "$0")"

quick=no
arguments=()
for argument in "$@"; do
  case "$argument" in
    --quick) quick=yes ;;
    --long) arguments+=(-C long) ;;
    *) arguments+=("$argument") ;;
  esac
done

run_tests() { ctest --test-dir "$1" --output-on-failure --parallel "$(nproc)" "${@:2}"; }

./setup.sh --with-oracle --with-onnx
cmake --build build
run_tests build "${arguments[@]}"
[ "$quick" = yes ] && exit

# -O1 -g1 instead of Debug's -g: the tests stay fast, and reports still name lines.
cmake -S . -B build-sanitize -G Ninja -DCARDINAL_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1"
cmake --build build-sanitize
export UBSAN_OPTIONS=print_stacktrace=1
# What the first build has shown does not depend on instrumentation.
run_tests build-sanitize --label-exclude 'oracle|onnx|frameworks|aarch64|counts|ptxas' --exclude-regex '^(format|layers)$' "${arguments[@]}"
