#!/usr/bin/env bash
# Shows what Cardinal does, after ./setup.sh: a network on real data called from C++, then a large network's speed.
set -euo pipefail
cd "$(dirname "$0")"

if [ ! -x build/compiler/driver/cardinal ]; then
  echo "nothing is built yet: run ./setup.sh first" >&2
  exit 1
fi
demo=$PWD/build/demo
cmake --install build --prefix "$demo/cardinal" >/dev/null

echo "-- examples/digits: a C++ project that finds the installed Cardinal and compiles digits.nn as part of its build"
cmake -S examples/digits -B "$demo/digits" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$demo/cardinal" >/dev/null
cmake --build "$demo/digits" --clean-first
"$demo/digits/classify"

echo
echo "-- ResNeXt-50 with random weights"
"$demo/cardinal/bin/cardinal" compile examples/networks/resnet.nn --network resnext50_32x4d \
  --weights random:1 -o "$demo/resnext50_32x4d.so"
"$demo/cardinal/bin/cardinal" bench "$demo/resnext50_32x4d.so"
