// Takes the pixels that a strided 1x1 convolution reads out of its image first.
//
//   conv(x, kernel=1, stride=2) -> conv(slice(x, h=[0, H, 2], w=[0, W, 2]), kernel=1)
//
// Every panel of output channels reads those pixels again, and where one lies between two that are skipped,
// half of what the caches fetch is for nothing. Dense pixels are also one row, however narrow the image. Only
// from 128 output channels on, where that is worth more than the copy (Zen 3: 60 to 75% of FMA peak become
// 90%). A GPU gathers the pixels on their way into shared memory: there a copy is a launch for nothing.
//
// Needs nothing; keeps every value.
#include "ir/window.h"
#include "passes/passes.h"

namespace cardinal {
namespace {

constexpr int64_t kLeastChannels = 128;

bool reads_few_pixels(const Conv& conv, const Shape& x) {
  return conv.kernel == Pair{1, 1} && conv.stride != Pair{1, 1} && conv.groups == 1 &&
         conv.channels >= kLeastChannels && resolve_padding(window_of(conv), x.h(), x.w()) == Padding{};
}

}  // namespace

Graph dense_projections(const Graph& graph) {
  return rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    const Conv* conv = node.as<Conv>();
    if (!conv || node.is_constant) return r.copy(id);
    const Shape& x = r.old[node.operands[0]].type.shape;
    if (!reads_few_pixels(*conv, x)) return r.copy(id);
    Slice pixels;
    pixels.h = {0, x.h(), conv->stride.h};
    pixels.w = {0, x.w(), conv->stride.w};
    std::vector<NodeId> operands = r.mapped_operands(id);
    operands[0] =
        r.result.add(pixels, {operands[0]}, node.name.empty() ? "" : node.name + ".pixels", node.where);
    Conv dense = *conv;
    dense.stride = {1, 1};
    return r.result.add(dense, std::move(operands), node.name, node.where);
  });
}

}  // namespace cardinal
