#include "passes/pipeline.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "ir/verifier.h"
#include "passes/passes.h"

namespace cardinal {
namespace {

constexpr std::array kPasses = {
    Pass{"remove_dead_nodes", "drop what no output needs, merge what is computed twice", remove_dead_nodes},
    Pass{"regular_pools", "adaptive pools with equal bins as pools over windows", regular_pools},
    Pass{"simplify", "remove nodes that change nothing", simplify},
    Pass{"complete_norms", "constants for the scale and shift that a norm lacks", complete_norms},
    Pass{"fold_padding", "padding with zeros into the windows that read it", fold_padding},
    Pass{"fold_batch_norm", "fold batch norm into the convolution or linear layer before it",
         fold_batch_norm},
    Pass{"lower_batch_norm", "turn the remaining batch norms into a multiply and an add", lower_batch_norm},
    Pass{"constant_operands", "parameters of a value a channel into a multiply and an add",
         constant_operands},
    Pass{"dense_projections", "the pixels that a strided 1x1 convolution reads, taken out first",
         dense_projections, true},
    Pass{"flatten_concats", "one concat of all parts, so that none copies", flatten_concats},
    Pass{"fuse_epilogues", "residual adds, products and activations into their producers", fuse_epilogues},
    Pass{"fold_constants", "gather expressions over weights alone, to be evaluated when packing",
         fold_constants},
};

struct Order {
  std::string_view first, second, reason;
};
constexpr std::array kOrder = {
    Order{"regular_pools", "simplify", "a window of one pixel changes nothing"},
    Order{"simplify", "fold_padding", "an identity between a pad and its reader would hide the pair"},
    Order{"fold_padding", "fuse_epilogues", "a relu in an epilogue is no longer seen to be one"},
    Order{"simplify", "fold_batch_norm",
          "an identity between a convolution and its batch norm would hide the pair"},
    Order{"complete_norms", "fold_batch_norm", "folding multiplies by a scale"},
    Order{"complete_norms", "lower_batch_norm", "lowering takes a scale and a shift"},
    Order{"fold_batch_norm", "lower_batch_norm", "lowering takes whatever folding left"},
    Order{"fold_padding", "dense_projections", "padding that is in the window is not in the slice"},
    Order{"fold_batch_norm", "fuse_epilogues", "a batch norm cannot be folded through an epilogue"},
    Order{"lower_batch_norm", "fuse_epilogues", "channel_affine takes epilogues, batch_norm does not"},
    Order{"simplify", "flatten_concats", "a concat of one part is not worth flattening"},
    Order{"constant_operands", "fuse_epilogues", "channel_affine takes epilogues, and is none"},
    Order{"constant_operands", "fold_constants", "the inverse of a divisor is a constant expression"},
    Order{"lower_batch_norm", "fold_constants", "lowering makes constant expressions"},
    Order{"fuse_epilogues", "fold_constants", "nothing that rebuilds the graph may follow the gathering"},
};

constexpr size_t position(std::string_view name) {
  for (size_t i = 0; i < kPasses.size(); ++i)
    if (kPasses[i].name == name) return i;
  return kPasses.size();
}

constexpr bool order_holds() {
  for (const Order& order : kOrder)
    if (position(order.second) == kPasses.size() || position(order.first) >= position(order.second))
      return false;
  return true;
}
static_assert(order_holds(), "a pass stands before one that it needs; see kOrder for the reason");

Status check_names(const PipelineOptions& options) {
  std::vector<std::string> names = options.disabled;
  if (!options.stop_after.empty()) names.push_back(options.stop_after);
  for (const std::string& name : names) {
    if (position(name) < kPasses.size()) continue;
    std::vector<std::string_view> known;
    for (const Pass& pass : kPasses) known.push_back(pass.name);
    return Diagnostics(fmt::format("there is no pass '{}'; the passes are {}", name, fmt::join(known, ", ")));
  }
  return ok();
}

}  // namespace

std::span<const Pass> pass_table() { return kPasses; }

Result<Graph> run_pipeline(const Graph& source, const PipelineOptions& options) {
  if (Status names = check_names(options); !names) return names.take_error();
  if (options.after) options.after("source", source);
  Graph graph = source;
  for (const Pass& pass : kPasses) {
    const bool disabled =
        std::find(options.disabled.begin(), options.disabled.end(), pass.name) != options.disabled.end();
    if (!disabled && !(options.gpu && pass.cpus_only)) {
      graph = pass.run(graph);
      if (options.verify) {
        if (Diagnostics problems = verify(graph); problems.has_errors()) {
          Diagnostics error(fmt::format("internal error: the graph is broken after pass {}", pass.name));
          error.append(std::move(problems));
          return error;
        }
      }
      if (options.after) options.after(pass.name, graph);
    }
    if (pass.name == options.stop_after) break;
  }
  return graph;
}

}  // namespace cardinal
