#!/bin/bash
# nvJitLink in place of ptxas: nvjitlink.sh CARDINAL [LIBRARY]. Without the library, only what is said of files that are
# not it.
set -euo pipefail
cardinal=$1 library=${2-}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

compile() { "$cardinal" compile "$here/ptx/dense.nn" --target "$1" --emit cubin --ptxas "$2" -o "$scratch/cubin" "${@:3}" 2>&1; }
expect() {
  local said
  said=$(compile sm_90a "$1") && { echo "took $1"; exit 1; }
  [[ $said == *"$2"* ]] || { echo "said '$said' of $1, expected '$2'"; exit 1; }
  [ ! -e "$scratch/cubin" ] || { echo "left a cubin behind"; exit 1; }
}
echo "not a library" > "$scratch/libnvJitLink.text"
expect "$scratch/libnvJitLink.text" "cannot load $scratch/libnvJitLink.text"
cp "$(ldd "$cardinal" | awk '/libm\.so/ {print $3}')" "$scratch/libnvJitLink.other"
expect "$scratch/libnvJitLink.other" "has no nvJitLinkCreate; it must be that of CUDA 13"

[ -n "$library" ] || { echo "no libnvJitLink.so.13 to assemble with"; exit 77; }
for target in sm_80 sm_90a sm_100a; do
  compile "$target" "$library"
  # An ELF file for NVIDIA's machines, number 190.
  [ "$(od -An -tx1 -N4 "$scratch/cubin" | tr -d ' ')" = 7f454c46 ]
  [ "$(od -An -tu2 -j18 -N2 "$scratch/cubin" | tr -d ' ')" = 190 ]
done
