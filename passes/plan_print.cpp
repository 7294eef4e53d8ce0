// Plans as text.
#include <fmt/format.h>

#include "passes/plan.h"
#include "passes/strips.h"
#include "passes/tiling.h"

namespace cardinal {

namespace {

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

std::string name_of(const ConvKernel& k) {
  if (k.algorithm == ConvAlgorithm::direct) return fmt::format("conv_direct_{}x{}", k.pixels, k.panel);
  const std::string rows = k.rows == 1 ? "" : fmt::format("{}x", k.rows);
  return fmt::format("conv_lanes{}_{}{}", k.shape.ic / k.shape.groups, rows, k.pixels);
}

std::string name_of(const GpuConvKernel& k) {
  switch (k.algorithm) {
    case GpuConvKernel::Algorithm::simt:
      return "conv_simt";
    case GpuConvKernel::Algorithm::depthwise:
      return "conv_depthwise";
    case GpuConvKernel::Algorithm::patch:
      return fmt::format("conv_patch_{}x{}x{}", k.tile_h, k.tile_w, k.tile_n);
    case GpuConvKernel::Algorithm::mma:
    case GpuConvKernel::Algorithm::wgmma:
      break;
  }
  return fmt::format("conv_{}_{}x{}x{}{}", to_string(k.algorithm), k.tile_m, k.tile_n, k.tile_k,
                     k.split_k > 1 ? fmt::format("_split{}", k.split_k) : "");
}

std::string name_of(const GpuConvPairKernel& k) {
  return fmt::format("conv_pair_{}x{}x{}_{}", k.first.tile_m, k.first.tile_n, k.first.tile_k,
                     k.second.tile_n);
}

std::string name_of(const SplitSumKernel&) { return "split_sum"; }

std::string name_of(const WinogradKernel& k) {
  return fmt::format("winograd_f{}_{}", k.outputs,
                     k.side == WinogradKernel::Side::input ? "input" : "output");
}

std::string name_of(const StrassenKernel& k) { return fmt::format("strassen_{}x{}", k.pixels, k.panel); }

std::string name_of(const PoolKernel& k) {
  if (k.mode == PoolKernel::Mode::global_average) return "global_avg_pool";
  return k.mode == PoolKernel::Mode::max ? "max_pool" : "avg_pool";
}

std::string name_of(const PointwiseKernel& k) {
  switch (k.base) {
    case PointwiseKernel::Base::add:
      return "add";
    case PointwiseKernel::Base::mul:
      return "mul";
    case PointwiseKernel::Base::div:
      return "div";
    case PointwiseKernel::Base::max:
      return "max";
    case PointwiseKernel::Base::min:
      return "min";
    case PointwiseKernel::Base::scale:
      return "scale";
    case PointwiseKernel::Base::affine:
      return "affine";
    case PointwiseKernel::Base::prelu:
      return "prelu";
    case PointwiseKernel::Base::copy:
      break;
  }
  if (k.epilogue.empty() || k.epilogue[0].kind != EpilogueStep::Kind::activation) return "copy";
  return std::string(to_string(k.epilogue[0].activation.kind));
}

// "8x14" for 8 tiles of 14, "13 + 3x12" for a wide one and three narrower.
std::string describe_tiles(const std::vector<RowTile>& tiles) {
  std::string text;
  for (size_t i = 0; i < tiles.size();) {
    size_t end = i;
    while (end < tiles.size() && tiles[end].pixels == tiles[i].pixels) ++end;
    text += fmt::format("{}{}x{}", text.empty() ? "" : " + ", end - i, tiles[i].pixels);
    i = end;
  }
  return text;
}

std::string describe_epilogue(bool has_bias, const Epilogue& epilogue) {
  std::string text = has_bias ? " bias" : "";
  for (const EpilogueStep& step : epilogue) {
    const bool activation = step.kind == EpilogueStep::Kind::activation;
    text += activation ? fmt::format(" {}", to_string(step.activation.kind))
                       : (step.kind == EpilogueStep::Kind::add ? " add" : " mul");
  }
  return text;
}

// Where a view is and in which order: "in0 nchw", "ws+1024".
std::string describe(const View& v) {
  std::string text = v.space == Space::workspace ? fmt::format("ws+{}", v.offset)
                     : v.space == Space::input   ? fmt::format("in{}", v.index)
                                                 : fmt::format("out{}", v.index);
  if (v.space != Space::workspace && v.offset != 0) text += fmt::format("+{}", v.offset);
  if (v.first_channel != 0) text += fmt::format(" lane {}", v.first_channel);
  if (v.stride_c == 0)
    text += " one channel";
  else if (!v.vector_channels())
    text += " planar";
  else if (!v.padded)
    text += v.stride_w == kChannelBlock ? " part" : " rows";
  return text;
}

std::string describe_views(const Step& step) {
  std::string text;
  for (const View& input : step.inputs)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", describe(input));
  text += " -> " + describe(step.output);
  if (step.second_output) text += ", " + describe(*step.second_output);
  return step.scratch ? text + ", scratch " + describe(*step.scratch) : text;
}

std::string describe_window(const ConvShape& s) {
  std::string text = fmt::format(" {}x{}", s.kh, s.kw);
  if (s.stride_h != 1 || s.stride_w != 1) text += fmt::format(" stride {}x{}", s.stride_h, s.stride_w);
  if (s.dilation_h != 1 || s.dilation_w != 1)
    text += fmt::format(" dilation {}x{}", s.dilation_h, s.dilation_w);
  if (s.groups != 1) text += fmt::format(" groups {}", s.groups);
  return text;
}

std::string describe_conv(const GpuConvKernel& k) {
  const std::string epilogue = describe_epilogue(k.has_bias, k.epilogue);
  return describe_window(k.shape) + (epilogue.empty() ? "" : ";" + epilogue);
}

std::string describe_conv(const ConvKernel& k) {
  const ConvShape& s = k.shape;
  std::string text = describe_window(s);
  text += fmt::format("; {} tiles {}", k.collapsed ? "image" : "row", describe_tiles(k.tiles));
  if (k.rows > 1) text += fmt::format(" of {} rows", k.rows);
  if (!k.last_tiles.empty()) {
    const int64_t rows = row_count(s) % k.rows;
    text += fmt::format(", last {} {}", rows == 1 ? "row" : fmt::format("{} rows", rows),
                        describe_tiles(k.last_tiles));
  }
  if (k.algorithm == ConvAlgorithm::direct) text += fmt::format(", unroll {}", k.k_unroll);
  if (k.pass_blocks)
    text += fmt::format(", {} of {} input blocks a pass", k.pass_blocks, ceil_div(s.ic, kChannelBlock));
  if (k.sum.rows)
    text += fmt::format(", sums of {} kernel rows", k.sum.rows);
  else if (k.sum.blocks)
    text += fmt::format(", sums of {} input blocks", k.sum.blocks);
  if (k.row_sums) text += ", adds up rows";
  if (!k.first_block.empty())
    text += fmt::format(", reduces {} of {} input blocks", k.reduce_blocks, ceil_div(s.ic, kChannelBlock));
  const std::string epilogue = describe_epilogue(k.has_bias, k.epilogue);
  return epilogue.empty() ? text : text + ";" + epilogue;
}

std::string details(const Kernel& kernel) {
  return std::visit(
      Overloaded{
          [](const ConvKernel& k) { return describe_conv(k); },
          [](const GpuConvKernel& k) { return describe_conv(k); },
          [](const GpuConvPairKernel& k) {
            return fmt::format("{}; then{}", describe_conv(k.first), describe_conv(k.second));
          },
          [](const SplitSumKernel& k) { return describe_epilogue(k.has_bias, k.epilogue); },
          [](const WinogradKernel& k) { return describe_epilogue(k.has_bias, k.epilogue); },
          [](const StrassenKernel& k) {
            return fmt::format("; pair tiles {}, unroll {}{}", describe_tiles(k.tiles), k.k_unroll,
                               (k.carries ? "; carry" : "") + describe_epilogue(k.has_bias, k.epilogue));
          },
          [](const PoolKernel& k) {
            return k.tiles.empty() ? std::string()
                                   : fmt::format(" {}x{} stride {}x{}; row tiles {}", k.shape.kh, k.shape.kw,
                                                 k.shape.stride_h, k.shape.stride_w, describe_tiles(k.tiles));
          },
          [](const PointwiseKernel& k) { return describe_epilogue(false, k.epilogue); },
          [](const ReorderKernel& k) {
            std::string text = k.flatten == FlattenOrder::hwc ? " in order hwc" : "";
            return k.zero_lanes ? text + fmt::format(" zero {} lanes", k.zero_lanes) : text;
          },
          [](const auto&) { return std::string(); }},
      kernel);
}

}  // namespace

std::string kernel_name(const Kernel& kernel) {
  return std::visit(
      Overloaded{[](const StrassenSumsKernel&) { return std::string("strassen_sums"); },
                 [](const ReorderKernel&) { return std::string("reorder"); },
                 [](const GatherKernel&) { return std::string("gather"); },
                 [](const ResizeKernel&) { return std::string("resize"); },
                 [](const MomentsKernel&) { return std::string("moments"); },
                 [](const GroupFactorsKernel&) { return std::string("group_factors"); },
                 [](const ChannelConvKernel&) { return std::string("channel_conv"); },
                 [](const AdaptivePoolKernel& k) {
                   return std::string(k.max ? "adaptive_max_pool" : "adaptive_avg_pool");
                 },
                 [](const PadKernel&) { return std::string("pad"); },
                 [](const SoftmaxKernel& k) { return std::string(k.log ? "log_softmax" : "softmax"); },
                 [](const ChannelPoolKernel& k) {
                   return std::string(k.max ? "channel_max_pool" : "channel_avg_pool");
                 },
                 [](const LayerNormKernel&) { return std::string("layer_norm"); },
                 [](const ResponseNormKernel&) { return std::string("local_response_norm"); },
                 [](const auto& k) { return name_of(k); }},
      kernel);
}

std::string print_step(const Plan& plan, size_t i) {
  const Step& step = plan.steps[i];
  return fmt::format("{:4} {:<28} {:<18} {} -> {}{} | {} | {} units{}{}, {:.1f} us\n", i, step.name,
                     kernel_name(step.kernel), to_string(step.inputs.front().shape),
                     to_string(step.output.shape), details(step.kernel), describe_views(step), step.units,
                     step.strip ? fmt::format(" in strips of {}", channel_parts(step) * step.strip) : "",
                     step.repeats > 1 ? fmt::format(" for each of {} images", step.repeats) : "",
                     predicted_us(step));
}

std::string print_heading(const Plan& plan, const Graph& graph) {
  double total = 0;
  for (const Step& step : plan.steps) total += predicted_us(step);
  return fmt::format(
      "plan {} for {}: {} steps, workspace {:.2f} MiB, weights {:.2f} MiB, predicted {:.1f} us\n", graph.name,
      plan.target.cpu, plan.steps.size(), static_cast<double>(plan.workspace_floats) / (1 << 18),
      static_cast<double>(plan.weights_floats) / (1 << 18), total);
}

std::string print(const Plan& plan, const Graph& graph) {
  std::string text = print_heading(plan, graph);
  for (size_t i = 0; i < plan.steps.size(); ++i) text += print_step(plan, i);
  return text;
}

}  // namespace cardinal
