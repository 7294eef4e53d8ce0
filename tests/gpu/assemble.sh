#!/usr/bin/env bash
# assemble.sh CARDINAL PTXAS NETWORKS_DIR [NETWORK...]: compiles networks (all, if none is named) for three GPUs, assembles
# their kernels, and fails if one spills registers or uses more than 168, with which 384 threads fit a
# multiprocessor.
set -u
cardinal=$1 ptxas=$2 directory=$3
shift 3
budget=168
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 checked=0
for file in "$directory"/*.nn; do
  for network in $(sed -n 's/^network \([a-zA-Z0-9_]*\).*/\1/p' "$file"); do
    if [ $# -gt 0 ] && [[ " $* " != *" $network "* ]]; then continue; fi
    for arch in sm_80 sm_90a sm_100a; do
      if ! "$cardinal" compile "$file" --network "$network" --target $arch --emit ptx -o "$work/net.ptx" 2>"$work/log" ||
        ! "$ptxas" -arch=$arch -v -o "$work/net.cubin" "$work/net.ptx" 2>"$work/log"; then
        echo "$network for $arch:"
        head -5 "$work/log"
        failed=1
        continue
      fi
      awk -v network="$network for $arch" -v budget=$budget '
        /Function properties for/ { kernel = $NF }
        /bytes spill stores/ && ($5 > 0 || $9 > 0) { print network ": " kernel " spills: " $0; bad = 1 }
        /Used [0-9]+ registers/ { for (i = 1; i < NF; ++i) if ($i == "Used" && $(i + 1) > budget) {
          print network ": " kernel " uses " $(i + 1) " registers"; bad = 1 } }
        END { exit bad }' "$work/log" || failed=1
      checked=$((checked + 1))
    done
  done
done
echo "$checked checked"
[ $failed -eq 0 ] && [ $checked -gt 0 ]
