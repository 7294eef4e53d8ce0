#!/usr/bin/env bash
# assemble_wgmma.sh CARDINAL PTXAS: assembles every tile of the convolution by wgmma, for reductions of many
# steps and of one. Fails on spilled registers, on any remark of ptxas's (that it serialises products, adds
# fences or ignores setmaxnreg), and where a kernel starts with other than the registers that setmaxnreg counts on.
set -u
cardinal=$1 ptxas=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/net.nn" <<'END'
network net() {
  input image: f32[8, 64, 30, 29]
  x = relu(image)
  y = x |> many: conv(200, kernel=3, stride=2)
  z = x |> one: conv(72, kernel=1)
  return y = relu(y), z = relu(z + (x |> other: conv(72, kernel=1)))
}
END
failed=0 checked=0
for tile in 64x64 64x128 64x256 128x64 128x128 128x256; do
  for precision in fp16 bf16; do
    printf '%s algorithm=wgmma tile='$tile'\n' many one other >"$work/plan"
    if ! "$cardinal" compile "$work/net.nn" --target sm_90a --precision $precision --plan "$work/plan" --emit ptx \
      -o "$work/net.ptx" 2>"$work/log" || ! "$ptxas" -arch=sm_90a -v -o "$work/net.cubin" "$work/net.ptx" 2>"$work/log"; then
      echo "$tile $precision:"
      head -5 "$work/log"
      failed=1
      continue
    fi
    awk -v tile="$tile $precision" '
      /\(C[0-9]+\)|warning/ { print tile ": " $0; bad = 1 }
      /Function properties for/ { kernel = $NF }
      /bytes spill stores/ && ($5 > 0 || $9 > 0) { print tile ": " kernel " spills: " $0; bad = 1 }
      /Used [0-9]+ registers/ && kernel ~ /wgmma/ { ++kernels; for (i = 1; i < NF; ++i)
        if ($i == "Used" && $(i + 1) != 80 && $(i + 1) != 168) { print tile ": " kernel " starts with " $(i + 1); bad = 1 } }
      END { exit bad || kernels < 2 }' "$work/log" || failed=1
    checked=$((checked + 1))
  done
done
echo "$checked checked"
[ $failed -eq 0 ] && [ $checked -eq 12 ]
