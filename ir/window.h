// The geometry of ops that slide a window over H and W. One place for explicit padding and output sizes,
// because shape rules, planning and code generation need exactly the same numbers.
#pragma once

#include <optional>

#include "ir/op_interface.h"

namespace cardinal {

struct Conv;
struct PoolWindow;

struct Window {
  Pair kernel, stride, dilation;
  Padding padding;
  bool ceil_mode =
      false;  // round the output size up; the last window must start inside the input or its left padding
};
Window window_of(const Conv&);
Window window_of(const PoolWindow&);  // with the stride spelled out

// The padding in explicit mode: zeros on each side. Needs a window that check_window accepts.
Padding resolve_padding(const Window&, int64_t in_h, int64_t in_w);
// How many windows fit: Pair{out_h, out_w}. Needs a window that check_window accepts.
Pair output_size(const Window&, int64_t in_h, int64_t in_w);

// Why no window fits or an attribute is out of range.
std::optional<OpError> check_window(const Window&, int64_t in_h, int64_t in_w);
// Why some window would cover nothing but padding, which leaves a pooling op without a value.
std::optional<OpError> check_coverage(const Window&, int64_t in_h, int64_t in_w);

}  // namespace cardinal
