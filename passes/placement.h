// Which buffer each value lives in, and as which view of it: what makes concat and flatten free.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "passes/plan.h"

namespace cardinal {

// A caller's buffer, or a piece of the workspace whose offset is not known yet.
struct Buffer {
  Space space = Space::workspace;
  int index = 0;  // of the caller's buffer
  int64_t floats = 0;
};

struct Location {
  int buffer = -1;  // -1: none (constants, dead nodes)
  View view;        // its offset counts from the start of the buffer
};

struct Placement {
  std::vector<Buffer> buffers;
  std::vector<Location> values;  // by NodeId; of an output node, the caller's buffer
};

// Activations live in the workspace in `format`, with these exceptions:
// - a flatten or concat that moves nothing is a view of its operand;
// - concat parts that begin at whole blocks live inside the concat's buffer. Concats are placed largest
// first, so that
//   the growing concats of DenseNet become views of one buffer. Parts that cannot live there are copied;
// - a range of channels that begins at a whole block, or any in a buffer whose channels are evenly spaced, is
// a view of
//   its operand unless a concat or an output wants it;
// - a value that only one output needs is written to the caller's buffer if `writes(node, view)` says that
// the kernel of
//   its node can do that. Otherwise the output is a copy.
Placement place_values(const Graph&, const std::function<bool(NodeId, const View&)>& writes,
                       const Format& format = {});

// `whole`'s channels from `first` on, as a tensor of `shape`.
View channel_range(const View& whole, int64_t first, const Shape& shape);
// The same as a view that any kernel can read, if there is one.
std::optional<View> readable_range(const View& whole, int64_t first, const Shape& shape);

}  // namespace cardinal
