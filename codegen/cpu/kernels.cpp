#include "codegen/cpu/kernels.h"

#include <fmt/format.h>

#include "passes/strips.h"

namespace cardinal {

llvm::Function* emit_kernel(Emitter& e, const Step& step, llvm::StringRef name) {
  llvm::SmallVector<llvm::Type*> parameters(1 + step.inputs.size() + step.weights.size(), e.ptr);
  if (step.second_output) parameters.push_back(e.ptr);
  if (step.scratch) parameters.push_back(e.ptr);
  if (fetched_floats(step)) parameters.push_back(e.ptr);
  parameters.append(2, e.i64);
  llvm::Function* function = e.begin_function(name, parameters);
  KernelArguments arguments;
  unsigned next = 0;
  arguments.out = function->getArg(next++);
  if (step.second_output) arguments.second_out = function->getArg(next++);
  for (size_t i = 0; i < step.inputs.size(); ++i) arguments.inputs.push_back(function->getArg(next++));
  for (size_t i = 0; i < step.weights.size(); ++i) arguments.weights.push_back(function->getArg(next++));
  if (step.scratch) arguments.scratch = function->getArg(next++);
  if (fetched_floats(step)) arguments.next = function->getArg(next++);
  arguments.begin = function->getArg(next++);
  arguments.end = function->getArg(next++);

  struct Emit {
    Emitter& e;
    const Step& step;
    const KernelArguments& arguments;
    void operator()(const ConvKernel& kernel) const {
      if (kernel.algorithm == ConvAlgorithm::direct)
        emit_conv_direct(e, step, kernel, arguments);
      else
        emit_conv_lanes(e, step, kernel, arguments);
    }
    void operator()(const GpuConvKernel&) const { llvm_unreachable("a kernel for a GPU"); }
    void operator()(const GpuConvPairKernel&) const { llvm_unreachable("a kernel for a GPU"); }
    void operator()(const SplitSumKernel&) const { llvm_unreachable("a kernel for a GPU"); }
    void operator()(const WinogradKernel& kernel) const { emit_winograd(e, step, kernel, arguments); }
    void operator()(const StrassenSumsKernel& kernel) const {
      emit_strassen_sums(e, step, kernel, arguments);
    }
    void operator()(const StrassenKernel& kernel) const { emit_strassen(e, step, kernel, arguments); }
    void operator()(const PoolKernel& kernel) const { emit_pool(e, step, kernel, arguments); }
    void operator()(const PointwiseKernel& kernel) const { emit_pointwise(e, step, kernel, arguments); }
    void operator()(const ReorderKernel& kernel) const { emit_reorder(e, step, kernel, arguments); }
    void operator()(const GatherKernel& kernel) const { emit_gather(e, step, kernel, arguments); }
    void operator()(const ResizeKernel& kernel) const { emit_resize(e, step, kernel, arguments); }
    void operator()(const MomentsKernel&) const { emit_moments(e, step, arguments); }
    void operator()(const GroupFactorsKernel& kernel) const {
      emit_group_factors(e, step, kernel, arguments);
    }
    void operator()(const ChannelConvKernel& kernel) const { emit_channel_conv(e, step, kernel, arguments); }
    void operator()(const AdaptivePoolKernel& kernel) const {
      emit_adaptive_pool(e, step, kernel, arguments);
    }
    void operator()(const PadKernel& kernel) const { emit_pad(e, step, kernel, arguments); }
    void operator()(const SoftmaxKernel& kernel) const { emit_softmax(e, step, kernel, arguments); }
    void operator()(const ChannelPoolKernel& kernel) const { emit_channel_pool(e, step, kernel, arguments); }
    void operator()(const LayerNormKernel& kernel) const { emit_layer_norm(e, step, kernel, arguments); }
    void operator()(const ResponseNormKernel& kernel) const {
      emit_response_norm(e, step, kernel, arguments);
    }
  };
  std::visit(Emit{e, step, arguments}, step.kernel);
  e.end_function();
  return function;
}

namespace {

// Alignment is all that a kernel knows of where a buffer is.
std::string key(const View& v) {
  return fmt::format("[{} {} {} {} {} {} {} a{} p{} f{}]", to_string(v.shape), v.stride_n, v.stride_block,
                     v.stride_c, v.stride_h, v.stride_w, v.shape.rank(), block_alignment(v), v.padded,
                     v.first_channel);
}

std::string key(const ConvShape& s) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", s.n, s.ic, s.ih, s.iw, s.oc, s.oh,
                     s.ow, s.kh, s.kw, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.pad_top,
                     s.pad_left, s.groups);
}

std::string key(const Epilogue& epilogue) {
  std::string text;
  for (const EpilogueStep& step : epilogue)
    text += fmt::format(" {}:{}:{}:{}", static_cast<int>(step.kind), static_cast<int>(step.activation.kind),
                        step.activation.alpha, step.activation.beta);
  return text;
}

std::string key(const std::vector<RowTile>& tiles) {
  std::string text;
  for (const RowTile& tile : tiles) text += fmt::format(" {}+{}", tile.x, tile.pixels);
  return text;
}

std::string key(const ConvKernel& k) {
  return fmt::format(
      "conv {} a{} c{} {} {} {} {} tiles{} then{} reduce {} first {} passes {} sums {} {} rows {} bias {} "
      "epilogue{}",
      key(k.shape), static_cast<int>(k.algorithm), k.collapsed, k.pixels, k.rows, k.panel, k.k_unroll,
      key(k.tiles), key(k.last_tiles), k.reduce_blocks, fmt::join(k.first_block, ","), k.pass_blocks,
      k.sum.blocks, k.sum.rows, k.row_sums, k.has_bias, key(k.epilogue));
}

std::string key(const GpuConvKernel& k) {
  return fmt::format("gpu_conv {} a{} {} {} {} {} {} {} {} split {} tile {} {} {} {} bias {} epilogue{}",
                     key(k.shape), static_cast<int>(k.algorithm), to_string(k.dtype), k.tile_m, k.tile_n,
                     k.tile_k, k.warps_m, k.warps_n, k.stages, k.split_k, k.tile_h, k.tile_w, k.window,
                     k.patch_channels, k.has_bias, key(k.epilogue));
}

std::string key(const GpuConvPairKernel& k) {
  return fmt::format("pair {} then {}", key(k.first), key(k.second));
}

std::string key(const SplitSumKernel& k) {
  return fmt::format("split_sum {} bias {} epilogue{}", k.parts, k.has_bias, key(k.epilogue));
}

std::string key(const WinogradKernel& k) {
  return fmt::format("winograd {} s{} f{} bias {} epilogue{}", key(k.shape), static_cast<int>(k.side),
                     k.outputs, k.has_bias, key(k.epilogue));
}

std::string key(const StrassenSumsKernel& k) { return fmt::format("strassen sums {}", k.second); }

std::string key(const StrassenKernel& k) {
  return fmt::format("strassen {} {} {} {} tiles{} {} {} {} {} epilogue{}", k.second, k.pixels, k.panel,
                     k.k_unroll, key(k.tiles), k.accumulates, k.carries, k.outer_scale, k.has_bias,
                     key(k.epilogue));
}

std::string key(const PoolKernel& k) {
  return fmt::format("pool {} m{} {} {} {} tiles{}", key(k.shape), static_cast<int>(k.mode), k.pad_bottom,
                     k.pad_right, k.count_include_pad, key(k.tiles));
}

std::string key(const PointwiseKernel& k) {
  return fmt::format("pointwise {}{}", static_cast<int>(k.base), key(k.epilogue));
}

std::string key(const ReorderKernel& k) {
  return fmt::format("reorder {} {}", k.zero_lanes, k.flatten == FlattenOrder::hwc);
}
std::string key(const GatherKernel& k) {
  const Gathering& gathering = k.gathering;
  std::string text = fmt::format("gather {} {} {}", gathering.step.h, gathering.step.w, gathering.fill);
  for (const ChannelSource& source : gathering.sources)
    text += fmt::format(" {},{},{}", source.channel, source.dh, source.dw);
  return text;
}

std::string key(const std::vector<ResizeTap>& taps) {
  std::string text;
  for (const ResizeTap& tap : taps) text += fmt::format(" {},{},{}", tap.first, tap.second, tap.weight);
  return text;
}

std::string key(const ResizeKernel& k) {
  return fmt::format("resize rows{} columns{}", key(k.taps.rows), key(k.taps.columns));
}
std::string key(const MomentsKernel&) { return "moments"; }
std::string key(const GroupFactorsKernel& k) { return fmt::format("group_factors {} {}", k.groups, k.eps); }
std::string key(const ChannelConvKernel& k) { return fmt::format("channel_conv {}", k.size); }
std::string key(const AdaptivePoolKernel& k) { return fmt::format("adaptive {}", k.max); }
std::string key(const PadKernel& k) { return fmt::format("pad {} {} {}", k.top, k.left, k.value); }
std::string key(const SoftmaxKernel& k) { return fmt::format("softmax {}", k.log); }
std::string key(const ChannelPoolKernel& k) { return fmt::format("channel_pool {}", k.max); }
std::string key(const LayerNormKernel& k) { return fmt::format("layer_norm {}", k.eps); }
std::string key(const ResponseNormKernel& k) {
  return fmt::format("response_norm {} {} {} {}", k.size, k.alpha, k.beta, k.k);
}

}  // namespace

std::string kernel_key(const Step& step) {
  std::string text = std::visit([](const auto& kernel) { return key(kernel); }, step.kernel);
  for (const View& view : step.inputs) text += key(view);
  text += " -> " + key(step.output);
  if (step.second_output) text += key(*step.second_output);
  if (step.scratch) text += key(*step.scratch);
  return text + fmt::format(" w{} strip {} of {}", step.weights.size(), step.strip, step.units);
}

}  // namespace cardinal
