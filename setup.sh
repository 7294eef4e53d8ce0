#!/usr/bin/env bash
# Installs what Cardinal is built with on Debian 12, and builds the compiler and the runtime into build/. Safe to run
# again: it does only what is left to do. With --with-oracle also makes .venv, where the tests find PyTorch, with
# --with-onnx .venv-onnx, where they find ONNX's own tests, and with --with-frameworks .venv-frameworks, where they find
# MXNet, TensorFlow and JAX (2.3 GB). With --with-aarch64 also installs what the tests of code for AArch64 need.
set -euo pipefail
cd "$(dirname "$0")"

packages=(
  g++ cmake ninja-build ccache
  llvm-22-dev liblld-22-dev zlib1g-dev libzstd-dev    # code generation, and the linker as a library
  libfmt-dev libcli11-dev nlohmann-json3-dev catch2
  libprotobuf-dev protobuf-compiler libonnx-dev       # ONNX models, by the official schema
  libhdf5-dev                                         # Keras's weight files
  clang-format-22                                     # the test of formatting
  valgrind                                            # the counts of kernels' instructions
  llvm-22-tools                                       # FileCheck, which the tests of GPU code read it with
  python3 python3-venv                                # .venv
)

with_oracle=no
with_onnx=no
with_frameworks=no
packages_for_aarch64=(qemu-user g++-aarch64-linux-gnu)  # 250 MB
for argument in "$@"; do
  case "$argument" in
    --with-oracle) with_oracle=yes ;;
    --with-onnx) with_onnx=yes ;;
    --with-frameworks) with_frameworks=yes ;;
    --with-aarch64) packages+=("${packages_for_aarch64[@]}") ;;
    *) echo "usage: ./setup.sh [--with-oracle] [--with-onnx] [--with-frameworks] [--with-aarch64]" >&2; exit 1 ;;
  esac
done

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
  if ! command -v apt-get >/dev/null; then
    echo "setup.sh installs packages with apt-get, which is not here. Install these (Debian's names), then run" >&2
    echo "  cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release && cmake --build build" >&2
    printf '  %s\n' "${packages[@]}" >&2
    exit 1
  fi
  local missing=() package
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] && return

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "these packages are missing, and installing them needs root or sudo: ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  local unknown=()
  for package in "${missing[@]}"; do
    [ -n "$(apt-cache madison "$package" 2>/dev/null)" ] || unknown+=("$package")
  done
  if [ "${#unknown[@]}" -ne 0 ]; then
    echo "apt knows no package called: ${unknown[*]}" >&2
    echo "LLVM 22 for Debian 12 is in Debian's security archive (suite bookworm-security, component main) and in" >&2
    echo "the LLVM project's apt repository (suite llvm-toolchain-bookworm-22). Add one of them to" >&2
    echo "/etc/apt/sources.list.d, then run ./setup.sh again." >&2
    exit 1
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A virtual environment of its own, since they need different versions of NumPy.
install_python() {
  local venv=$1 requirements=$2 skipped=$3
  if [ ! -x "$venv/bin/python" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
  fi
  "$venv/bin/python" -m pip install --quiet --no-input --no-deps -r "$requirements" ||
    echo "$requirements could not be installed; $skipped will be skipped" >&2
}

install_packages
[ "$with_oracle" = yes ] && install_python .venv tests/oracle/requirements.txt "the comparisons with PyTorch"
[ "$with_onnx" = yes ] && install_python .venv-onnx tests/onnx/requirements.txt "ONNX's tests"
if [ "$with_frameworks" = yes ]; then
  for framework in mxnet keras flax; do
    install_python ".venv-frameworks/$framework" "tests/frameworks/requirements-$framework.txt" \
      "the comparisons with it"
  done
fi

cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release
cmake --build build --target cardinal cardinal_runtime
