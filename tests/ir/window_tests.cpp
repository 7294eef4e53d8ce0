#include "ir/window.h"

#include <catch2/catch.hpp>

using namespace cardinal;

namespace {

Window window(int64_t kernel, int64_t stride, Padding padding, int64_t dilation = 1, bool ceil_mode = false) {
  return {{kernel, kernel}, {stride, stride}, {dilation, dilation}, padding, ceil_mode};
}

Padding all(int64_t p) { return {Padding::Mode::explicit_, p, p, p, p}; }
const Padding kSameUpper{Padding::Mode::same_upper};

}  // namespace

TEST_CASE("same splits the kernel's reach whatever the stride, the odd one at the end", "[window]") {
  CHECK(resolve_padding(window(3, 1, Padding::same()), 9, 9) == all(1));
  CHECK(resolve_padding(window(7, 2, Padding::same()), 224, 224) == all(3));
  CHECK(resolve_padding(window(3, 1, Padding::same(), 2), 9, 9) == all(2));
  CHECK(resolve_padding(window(4, 1, Padding::same()), 9, 9) ==
        Padding{Padding::Mode::explicit_, 1, 1, 2, 2});
  CHECK(output_size(window(4, 1, Padding::same()), 9, 8) == Pair{9, 8});
  CHECK(output_size(window(3, 2, Padding::same()), 9, 8) == Pair{5, 4});
}

TEST_CASE("same_upper makes the output ceil(input / stride)", "[window]") {
  CHECK(resolve_padding(window(3, 2, kSameUpper), 224, 223) == Padding{Padding::Mode::explicit_, 0, 1, 1, 1});
  CHECK(output_size(window(3, 2, kSameUpper), 224, 223) == Pair{112, 112});
  CHECK(resolve_padding(window(1, 2, kSameUpper), 5, 6) == all(0));
  CHECK(output_size(window(1, 2, kSameUpper), 5, 6) == Pair{3, 3});
  CHECK(resolve_padding(window(3, 1, kSameUpper, 2), 5, 5) == all(2));
}

TEST_CASE("ceil_mode adds a window only if it starts inside the input or its left padding", "[window]") {
  CHECK(output_size(window(3, 2, all(0)), 6, 7) == Pair{2, 3});
  CHECK(output_size(window(3, 2, all(0), 1, true), 6, 7) == Pair{3, 3});
  // The third window would start at 4 - 1 = 3, past the 3 elements of the input.
  CHECK(output_size(window(2, 2, all(1), 1, true), 3, 4) == Pair{2, 3});
  CHECK(output_size(window(2, 3, all(0), 1, true), 6, 7) == Pair{2, 3});
}

TEST_CASE("output sizes are PyTorch's", "[window]") {
  // torch.nn.functional.max_pool2d(zeros(1, 1, in, in), kernel, stride, padding, ceil_mode=ceil).shape[2]
  struct Row {
    int64_t in, kernel, stride, padding;
    bool ceil;
    int64_t out;
  };
  for (const Row& row : {Row{112, 3, 2, 1, false, 56},
                         {112, 3, 2, 1, true, 57},
                         {10, 3, 3, 1, false, 4},
                         {10, 3, 3, 1, true, 4},
                         {5, 2, 2, 0, true, 3},
                         {5, 4, 4, 2, true, 2},
                         {7, 5, 3, 2, true, 3},
                         {8, 5, 3, 2, true, 4}}) {
    CAPTURE(row.in, row.kernel, row.stride, row.padding, row.ceil);
    Pair out = output_size(window(row.kernel, row.stride, all(row.padding), 1, row.ceil), row.in, row.in);
    CHECK(out == Pair{row.out, row.out});
  }
}
