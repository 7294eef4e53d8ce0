// make_plan: choose a kernel for every convolution, find each value a place, lower nodes to steps in graph
// order, then let steps write over operands that die in them, and give every buffer its offset.
#include "passes/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "passes/bands.h"
#include "passes/buffers.h"
#include "passes/gpu_conv_choice.h"
#include "passes/gpu_launch.h"
#include "passes/kernel_choice.h"
#include "passes/packing.h"
#include "passes/placement.h"
#include "passes/plan_checks.h"
#include "passes/tiling.h"
#include "passes/winograd.h"

namespace cardinal {

namespace {

// What a step asks of the views it reads.
// whole_blocks: vector channels, and all 16 lanes of the last block can be read.
enum class Access : uint8_t { any, vector_channels, whole_blocks };

// The image of a linear layer: the batch is its width.
View as_image(View view) {
  const int64_t batch = view.shape.n();
  view.shape = {1, view.shape.c(), 1, batch};
  view.stride_w = view.stride_n;
  view.stride_h = batch * view.stride_w;
  view.stride_n = view.stride_h;
  return view;
}

bool has_bias(const Node& node) { return node.is<Conv>() ? node.as<Conv>()->bias : node.as<Linear>()->bias; }

class Planner {
 public:
  Planner(const Graph& graph, const Target& target, const PlanOptions& options)
      : graph_(graph), target_(target), options_(options), live_(live_nodes(graph)) {}

  Result<Plan> run() {
    if (Diagnostics errors = check_plannable(graph_, live_); errors.has_errors()) return errors;
    if (target_.gpu) {
      format_ = {Layout::nhwc, options_.precision};
      check_gpu_overrides();
    } else {
      Result<KernelChoices> chosen = choose_kernels(graph_, live_, target_, options_);
      if (!chosen) return chosen.take_error();
      choices_ = *std::move(chosen);
    }
    placement_ =
        place_values(graph_, [this](NodeId id, const View& view) { return can_write(id, view); }, format_);
    blocked_.resize(graph_.size());
    for (NodeId id : graph_.ids())
      if (live_[index(id)] && !graph_[id].is_constant) lower(id);
    if (errors_.has_errors()) return errors_;
    Plan plan = assign_buffers(std::move(drafts_), std::move(placement_));
    plan.target = target_;
    if (target_.gpu) set_gpu_launches(plan);
    lay_out_weights(std::span(&plan, 1));
    return plan;
  }

 private:
  const Node& node(NodeId id) const { return graph_[id]; }
  const Location& at(NodeId id) const { return placement_.values[index(id)]; }
  std::string step_name(NodeId id) const { return cardinal::step_name(graph_, id); }

  // ---- placement

  // Only a reorder step writes views without vector channels.
  bool can_write(NodeId id, const View& view) const {
    return node(id).is<Flatten>() || view.vector_channels();
  }

  // ---- steps

  void lower(NodeId id) {
    const Node& n = node(id);
    if (n.is<Input>()) return;
    if (is_conv(n)) return target_.gpu ? lower_gpu_conv(id) : lower_conv(id);
    if (n.is<MaxPool>() || n.is<AvgPool>() || n.is<GlobalAvgPool>()) return lower_pool(id);
    if (n.is<Concat>()) return lower_concat(id);
    if (n.is<Flatten>() || n.is<Output>())
      return copy_unless_there(at(n.operands[0]), at(id), id, step_name(id));
    if (n.is<AdaptiveAvgPool>() || n.is<AdaptiveMaxPool>())
      return lower_rows(id, AdaptivePoolKernel{n.is<AdaptiveMaxPool>()});
    if (n.is<GlobalMaxPool>()) return lower_rows(id, AdaptivePoolKernel{true});
    if (const Pad* pad = n.as<Pad>(); pad && pad->channels == Sides{})
      return lower_rows(id, PadKernel{pad->padding.top, pad->padding.left, pad->value});
    if (!n.operands.empty())
      if (auto gathering = gathering_of(n.op, node(n.operands[0]).type))
        return lower_gather(id, *std::move(gathering));
    if (const auto* depth = n.as<DepthToSpace>()) return lower_depth_to_space(id, *depth);
    if (const auto* resize = n.as<Resize>())
      return lower_rows(id, ResizeKernel{resize_taps(*resize, node(n.operands[0]).type.shape, n.type.shape)});
    if (const auto* norm = n.as<GroupNorm>()) return lower_group_norm(id, *norm);
    if (const auto* conv = n.as<ChannelConv>()) return lower_channel_conv(id, *conv);
    if (n.is<Softmax>() || n.is<LogSoftmax>()) return lower_pixels(id, SoftmaxKernel{n.is<LogSoftmax>()});
    if (const LayerNorm* norm = n.as<LayerNorm>()) return lower_pixels(id, LayerNormKernel{norm->eps});
    if (const LocalResponseNorm* norm = n.as<LocalResponseNorm>())
      return lower_rows(id, ResponseNormKernel{norm->size, norm->alpha, norm->beta, norm->k},
                        Access::whole_blocks);
    lower_pointwise(id);
  }

  DraftStep new_step(NodeId id, Kernel kernel) const {
    DraftStep draft;
    draft.step.node = id;
    draft.step.name = step_name(id);
    draft.step.kernel = std::move(kernel);
    draft.step.output = at(id).view;
    draft.step.flops = node_flops(graph_, id);
    draft.step.bytes = node_bytes(graph_, id);
    draft.output_buffer = at(id).buffer;
    return draft;
  }

  void finish_step(DraftStep draft) {
    if (draft.step.predicted_us == 0)
      draft.step.predicted_us = traffic_microseconds(draft.step.bytes, target_);
    drafts_.push_back(std::move(draft));
  }

  // Kernels of a GPU read any view.
  bool suits(const View& view, Access access) const {
    if (target_.gpu) return true;
    const bool whole = view.padded || view.shape.c() % kChannelBlock == 0;
    return access == Access::any || (view.vector_channels() && (access == Access::vector_channels || whole));
  }

  // Where `id` can be read with this access: its own place, or a copy in blocks, made when first asked for.
  Location readable(NodeId id, Access access) { return suits(at(id).view, access) ? at(id) : blocked(id); }

  Location blocked(NodeId id) {
    Location& copy = blocked_[index(id)];
    if (copy.buffer < 0) {
      const Shape& shape = node(id).type.shape;
      copy = new_value(workspace_view(shape, format_));
      reorder(at(id), copy, id, step_name(id) + ".blocked");
    }
    return copy;
  }

  // Room in the workspace for a tensor that is no node's value.
  Location new_value(const View& view) {
    placement_.buffers.push_back(
        {Space::workspace, 0, floats_for(view.shape.n() * view.stride_n, view.dtype)});
    return {static_cast<int>(placement_.buffers.size()) - 1, view};
  }

  void read(DraftStep& draft, NodeId id, Access access) { read(draft, readable(id, access)); }

  static void read(DraftStep& draft, const Location& source) {
    draft.step.inputs.push_back(source.view);
    draft.input_buffers.push_back(source.buffer);
  }

  static void write_intermediate(DraftStep& draft, const Location& target, std::string_view suffix) {
    draft.step.name += suffix;
    draft.step.intermediate = true;
    draft.step.output = target.view;
    draft.output_buffer = target.buffer;
  }

  // The operands of an epilogue, the last of the node's.
  void read_epilogue(DraftStep& draft, NodeId id, const Epilogue& epilogue) {
    const std::vector<NodeId>& operands = node(id).operands;
    for (size_t i = operands.size() - static_cast<size_t>(epilogue_operands(epilogue)); i < operands.size();
         ++i)
      read_broadcast(draft, operands[i], node(id).type.shape);
  }

  // A view that repeats itself along the dimensions in which only the result is longer than 1.
  void read_broadcast(DraftStep& draft, NodeId id, const Shape& result) {
    const Shape& shape = node(id).type.shape;
    const bool one_channel = shape.c() == 1 && result.c() != 1;
    read(draft, id, one_channel ? Access::any : Access::vector_channels);
    if (shape == result) return;
    View& view = draft.step.inputs.back();
    if (shape.n() == 1) view.stride_n = 0;
    if (one_channel) view.stride_block = view.stride_c = 0;
    if (shape.h() == 1) view.stride_h = 0;
    if (shape.w() == 1) view.stride_w = 0;
  }

  // All weights of a node that has one value a channel in each.
  void read_channel_constants(DraftStep& draft, NodeId id) const {
    const WeightOperands weights = weight_operands(node(id));
    for (size_t i = weights.begin; i < weights.end; ++i)
      draft.step.weights.push_back({node(id).operands[i], Packing::channel_vector});
  }

  void reorder(const Location& source, const Location& target, NodeId produces, std::string name) {
    DraftStep draft = new_step(produces, ReorderKernel{});
    const View& from = source.view;
    ReorderKernel kernel;
    const int64_t lanes_end = target.view.first_channel + target.view.shape.c();
    if (target.view.padded) kernel.zero_lanes = round_up(lanes_end, kChannelBlock) - lanes_end;
    const Flatten* flatten = node(produces).as<Flatten>();
    if (flatten && from.shape.rank() == 4) kernel.flatten = flatten->order;
    draft.step.kernel = kernel;
    draft.step.name = std::move(name);
    draft.step.inputs = {from};
    draft.input_buffers = {source.buffer};
    draft.step.output = target.view;
    draft.output_buffer = target.buffer;
    draft.step.units = from.shape.c() * from.shape.n();
    draft.step.flops = 0;
    draft.step.bytes = 2 * from.shape.elements() * 4;
    finish_step(std::move(draft));
  }

  void copy_unless_there(const Location& source, const Location& target, NodeId produces, std::string name) {
    if (source.buffer != target.buffer || source.view.offset != target.view.offset ||
        target.view.first_channel != 0)
      reorder(source, target, produces, std::move(name));
  }

  void lower_concat(NodeId id) {
    int64_t channel = 0;
    for (NodeId part : node(id).operands) {
      const Shape& shape = node(part).type.shape;
      copy_unless_there(at(part), {at(id).buffer, channel_range(at(id).view, channel, shape)}, id,
                        step_name(id));
      channel += shape.c();
    }
  }

  // What a band may read several times or pass from step to step: an eighth of the L3 leaves room for other
  // tensors (measured on Zen 4: VGG-16, and ResNet-50 of 8 images). But not less than the weights, which
  // every band reads again.
  int64_t band_bytes(int64_t weights) const { return std::max(target_.l3_bytes / 8, weights); }

  // Every panel of a direct convolution reads all images of its band.
  std::vector<Band> direct_bands(const ConvShape& s) const {
    const int64_t image_bytes = 4 * s.ic * s.ih * s.iw, weights = 4 * s.oc * s.ic / s.groups * s.kh * s.kw;
    return make_bands(s, band_bytes(weights) / image_bytes, s.oh);
  }

  void lower_conv(NodeId id) {
    const ConvChoice& choice = choices_[index(id)][0];
    if (winograd_outputs(choice.algorithm)) return lower_winograd(id, choice);
    const ConvShape shape = shape_of_conv(graph_, id);
    if (choice.algorithm == ConvAlgorithm::lanes) return lower_band(id, choice, {shape});
    for (const Band& band : direct_bands(shape)) lower_band(id, choice, band);
  }

  void lower_band(NodeId id, const ConvChoice& choice, const Band& band) {
    const Node& n = node(id);
    ConvKernel kernel = conv_kernel(band.shape, choice);
    kernel.has_bias = has_bias(n);
    kernel.epilogue = *epilogue_of(n.op);
    const bool direct = kernel.algorithm == ConvAlgorithm::direct;
    DraftStep draft = new_step(id, kernel);
    read(draft, n.operands[0], direct ? Access::any : Access::vector_channels);
    read_epilogue(draft, id, kernel.epilogue);
    const auto part = [&](View& view) {
      view = n.is<Linear>() ? as_image(view) : image_rows(view, band.image, 0, band.shape.n, view.shape.h());
    };
    for (View& view : draft.step.inputs) part(view);
    part(draft.step.output);
    draft.step.weights.push_back({n.operands[1], direct ? Packing::conv_panels : Packing::conv_lanes});
    if (kernel.has_bias) draft.step.weights.push_back({n.operands[2], Packing::channel_vector});
    draft.step.units = conv_units(kernel);
    predict(draft.step, band, choice.microseconds);
    finish_step(std::move(draft));
  }

  // The first of a convolution's bands says why the kernel was chosen.
  void predict(Step& step, const Band& band, double microseconds) const {
    step.predicted_us = microseconds * band.share;
    step.flops *= band.share;
    step.bytes = static_cast<int64_t>(static_cast<double>(step.bytes) * band.share);
    if (band.image == 0 && band.out_row == 0)
      step.candidates = candidates(shape_of_conv(graph_, step.node), choices_[index(step.node)]);
  }

  // ---- on a GPU

  std::optional<GpuConvKernel::Algorithm> wanted_on_gpu(NodeId id) const {
    const auto wanted = options_.overrides.find(step_name(id));
    return wanted == options_.overrides.end() ? std::nullopt : wanted->second.gpu_algorithm;
  }

  // An override on a GPU names a convolution or linear layer and an algorithm for it.
  void check_gpu_overrides() {
    std::set<std::string> names;
    for (NodeId id : graph_.ids())
      if (live_[index(id)] && is_conv(node(id)) && !node(id).is_constant) names.insert(step_name(id));
    for (const auto& [name, wanted] : options_.overrides) {
      if (!names.contains(name))
        errors_.error(wanted.where, fmt::format("no convolution or linear layer is called '{}'", name));
      else if (!wanted.gpu_algorithm)
        errors_.error(
            wanted.where,
            fmt::format("{}: on a GPU only algorithm=mma, patch, depthwise or simt can be set", name));
    }
  }

  void lower_gpu_conv(NodeId id) {
    const Node& n = node(id);
    const auto image = [&](View view) { return n.is<Linear>() ? as_image(view) : view; };
    GpuConvProblem problem{shape_of_conv(graph_, id), image(at(n.operands[0]).view), format_.dtype,
                           *epilogue_of(n.op), wanted_on_gpu(id)};
    const std::vector<GpuConvChoice> choices = gpu_conv_choices(problem, *target_.gpu);
    if (choices.empty()) {
      const StepOverride& wanted = options_.overrides.at(step_name(id));
      errors_.error(wanted.where, fmt::format("{}: the shape or the precision allows no {}", step_name(id),
                                              to_string(*wanted.gpu_algorithm)));
      return;
    }
    GpuConvKernel kernel = choices[0].kernel;
    kernel.has_bias = has_bias(n);
    const bool split = kernel.split_k > 1;
    DraftStep draft = new_step(id, kernel);
    read(draft, choices[0].copies_input ? blocked(n.operands[0]) : at(n.operands[0]));
    draft.step.weights.push_back({n.operands[1], Packing::gpu_conv});
    for (const GpuConvChoice& choice : choices) draft.step.candidates.push_back(choice.candidate);
    if (split) {
      const Location parts = new_value(split_view(kernel));
      std::get<GpuConvKernel>(draft.step.kernel).has_bias = false;
      std::get<GpuConvKernel>(draft.step.kernel).epilogue = {};
      for (View& view : draft.step.inputs) view = image(view);
      write_intermediate(draft, parts, ".parts");
      finish_step(std::move(draft));
      draft = new_step(id, SplitSumKernel{kernel.split_k, kernel.has_bias, kernel.epilogue});
      draft.step.flops = 0;
      read(draft, parts);
    }
    read_epilogue(draft, id, kernel.epilogue);
    if (kernel.has_bias) draft.step.weights.push_back({n.operands[2], Packing::channel_vector});
    for (size_t i = split ? 1 : 0; i < draft.step.inputs.size(); ++i)
      draft.step.inputs[i] = image(draft.step.inputs[i]);
    draft.step.output = image(draft.step.output);
    finish_step(std::move(draft));
  }

  // ---- Winograd convolutions, band by band

  struct WinogradSteps {
    NodeId id;
    const ConvChoice& choice;
    int outputs;
    const Band& band;
    Location tiles, products;  // tensors that only these steps know
  };

  // Transforms x, multiplies, transforms back.
  void lower_winograd(NodeId id, const ConvChoice& choice) {
    const ConvShape shape = shape_of_conv(graph_, id);
    const int outputs = winograd_outputs(choice.algorithm);
    const std::vector<Band> bands =
        winograd_bands(shape, outputs, band_bytes(winograd_weight_bytes(shape, outputs)));
    Location tiles = new_value(transformed_view(winograd_input(bands[0].shape, outputs)));
    Location products = new_value(transformed_view(winograd_products(bands[0].shape, outputs)));
    for (const Band& band : bands) {
      tiles.view = transformed_view(winograd_input(band.shape, outputs));
      products.view = transformed_view(winograd_products(band.shape, outputs));
      const WinogradSteps steps{id, choice, outputs, band, tiles, products};
      transform_input(steps);
      multiply(steps);
      transform_output(steps);
    }
  }

  void transform_input(const WinogradSteps& w) {
    const ConvShape& shape = w.band.shape;
    DraftStep draft = new_step(w.id, WinogradKernel{WinogradKernel::Side::input, shape, w.outputs});
    read(draft, node(w.id).operands[0], Access::vector_channels);
    draft.step.inputs[0] = image_rows(draft.step.inputs[0], w.band.image, w.band.x_row, shape.n, shape.ih);
    write_intermediate(draft, w.tiles, ".winograd_input");
    finish_winograd_side(std::move(draft), shape.ic, w.choice.input_us * w.band.share);
  }

  void multiply(const WinogradSteps& w) {
    ConvChoice choice = w.choice;
    choice.algorithm = ConvAlgorithm::direct;
    const ConvKernel kernel = conv_kernel(winograd_product_shape(w.band.shape, w.outputs), choice);
    DraftStep draft = new_step(w.id, kernel);
    read(draft, w.tiles);
    write_intermediate(draft, w.products, ".winograd_products");
    const Packing packing = w.outputs == 2 ? Packing::winograd_f2 : Packing::winograd_f4;
    draft.step.weights.push_back({node(w.id).operands[1], packing});
    draft.step.units = conv_units(kernel);
    predict(draft.step, w.band, w.choice.microseconds - w.choice.input_us - w.choice.output_us);
    draft.step.bytes = 4 * (w.tiles.view.shape.elements() + w.products.view.shape.elements()) +
                       winograd_weight_bytes(w.band.shape, w.outputs);
    finish_step(std::move(draft));
  }

  void transform_output(const WinogradSteps& w) {
    const Node& n = node(w.id);
    const ConvShape& shape = w.band.shape;
    const WinogradKernel kernel{WinogradKernel::Side::output, shape, w.outputs, has_bias(n),
                                *epilogue_of(n.op)};
    const auto part = [&](const View& view) {
      return image_rows(view, w.band.image, w.band.out_row, shape.n, shape.oh);
    };
    DraftStep draft = new_step(w.id, kernel);
    read_epilogue(draft, w.id, kernel.epilogue);
    for (View& operand : draft.step.inputs) operand = part(operand);
    draft.step.inputs.insert(draft.step.inputs.begin(), w.products.view);
    draft.input_buffers.insert(draft.input_buffers.begin(), w.products.buffer);
    draft.step.output = part(draft.step.output);
    if (kernel.has_bias) draft.step.weights.push_back({n.operands[2], Packing::channel_vector});
    finish_winograd_side(std::move(draft), shape.oc, w.choice.output_us * w.band.share);
  }

  // The flops are those of the products.
  void finish_winograd_side(DraftStep draft, int64_t channels, double microseconds) {
    Step& step = draft.step;
    const int outputs = std::get<WinogradKernel>(step.kernel).outputs;
    const ConvShape& shape = std::get<WinogradKernel>(step.kernel).shape;
    step.units = ceil_div(channels, kChannelBlock) * shape.n * ceil_div(shape.oh, outputs);
    step.flops = 0;
    step.bytes = step.output.shape.elements() * 4;
    for (const View& input : step.inputs) step.bytes += input.shape.elements() * 4;
    step.predicted_us = microseconds;
    drafts_.push_back(std::move(draft));
  }

  void lower_pool(NodeId id) {
    const Node& n = node(id);
    const Shape& x = node(n.operands[0]).type.shape;
    PoolKernel kernel;
    Window window{{x.h(), x.w()}, {1, 1}, {1, 1}, Padding{}, false};
    kernel.mode = PoolKernel::Mode::global_average;
    if (const MaxPool* pool = n.as<MaxPool>()) {
      kernel.mode = PoolKernel::Mode::max;
      window = window_of(*pool);
    } else if (const AvgPool* average = n.as<AvgPool>()) {
      kernel.mode = PoolKernel::Mode::average;
      kernel.count_include_pad = average->count_include_pad;
      window = window_of(*average);
    }
    const Padding padding = resolve_padding(window, x.h(), x.w());
    kernel.pad_bottom = padding.bottom;
    kernel.pad_right = padding.right;
    kernel.shape = conv_shape(x, n.type.shape, window, 1);
    if (kernel.mode != PoolKernel::Mode::global_average) {
      kernel.pixels = pool_pixels(kernel.shape, target_);
      kernel.tiles = balanced_tiles(kernel.shape.ow, kernel.pixels);
    }
    DraftStep draft = new_step(id, kernel);
    read(draft, n.operands[0], Access::vector_channels);
    draft.step.units = ceil_div(x.c(), kChannelBlock) * x.n();
    if (!kernel.tiles.empty())
      draft.step.units *= kernel.shape.oh * static_cast<int64_t>(kernel.tiles.size());
    finish_step(std::move(draft));
  }

  // A kernel with one operand whose units are rows of the result's blocks.
  void lower_rows(NodeId id, Kernel kernel, Access access = Access::vector_channels) {
    const Shape& shape = node(id).type.shape;
    DraftStep draft = new_step(id, std::move(kernel));
    read(draft, node(id).operands[0], access);
    draft.step.units = ceil_div(shape.c(), kChannelBlock) * shape.n() * shape.h();
    finish_step(std::move(draft));
  }

  // A kernel with one operand, and a value a channel for each weight, whose units are pixels.
  void lower_pixels(NodeId id, Kernel kernel) {
    const Shape& shape = node(id).type.shape;
    DraftStep draft = new_step(id, std::move(kernel));
    read(draft, node(id).operands[0], Access::vector_channels);
    read_channel_constants(draft, id);
    draft.step.units = shape.n() * shape.h() * shape.w();
    finish_step(std::move(draft));
  }

  // A range of channels that can be read where it is needs a copy only if the result has to be elsewhere.
  void lower_gather(NodeId id, Gathering gathering) {
    const Location& x = at(node(id).operands[0]);
    if (const std::optional<int64_t> first = range_start(gathering, x.view.shape, node(id).type.shape))
      if (std::optional<View> part = readable_range(x.view, *first, node(id).type.shape))
        return copy_unless_there({x.buffer, *part}, at(id), id, step_name(id));
    lower_rows(id, GatherKernel{std::move(gathering)});
  }

  // A step for each pixel of a block, which writes every factor-th pixel of the result.
  void lower_depth_to_space(NodeId id, const DepthToSpace& depth) {
    const Node& n = node(id);
    const Shape& x = node(n.operands[0]).type.shape;
    for (int64_t row = 0; row < depth.factor; ++row)
      for (int64_t column = 0; column < depth.factor; ++column) {
        DraftStep draft = new_step(id, GatherKernel{depth.gathering_at(x, row, column)});
        read(draft, n.operands[0], Access::vector_channels);
        View& out = draft.step.output;
        out.offset += row * out.stride_h + column * out.stride_w;
        out.shape = {x.n(), n.type.shape.c(), x.h(), x.w()};
        out.stride_h *= depth.factor;
        out.stride_w *= depth.factor;
        draft.step.units = out.blocks() * x.n() * x.h();
        draft.step.bytes /= depth.factor * depth.factor;
        finish_step(std::move(draft));
      }
  }

  // ---- group norms: each channel's moments, what they make of the weights, and x multiplied and added to

  void lower_group_norm(NodeId id, const GroupNorm& norm) {
    const NodeId x = node(id).operands[0];
    const Shape& shape = node(id).type.shape;
    const View pairs = make_view(Space::workspace, 0, 0, {shape.n(), shape.c(), 1, 2}, Layout::nchw16c);
    const Location moments = new_value(pairs), factors = new_value(pairs);

    DraftStep first = new_step(id, MomentsKernel{});
    read(first, x, Access::vector_channels);
    write_intermediate(first, moments, ".moments");
    first.step.units = pairs.blocks() * shape.n();
    first.step.flops *= 2.0 / 3;
    first.step.bytes /= 2;
    finish_step(std::move(first));

    DraftStep second = new_step(id, GroupFactorsKernel{norm.groups, norm.eps});
    read(second, moments);
    read_channel_constants(second, id);
    write_intermediate(second, factors, ".factors");
    second.step.units = shape.n() * norm.groups;
    second.step.flops = 0;
    second.step.bytes = 4 * 2 * pairs.shape.elements();
    finish_step(std::move(second));

    DraftStep last =
        new_step(id, PointwiseKernel{PointwiseKernel::Base::mul, {{EpilogueStep::Kind::add, {}}}});
    read(last, x, Access::vector_channels);
    for (int64_t w : {0, 1}) {
      Location factor = factors;
      factor.view.offset += w * pairs.stride_w;
      factor.view.shape = {shape.n(), shape.c(), 1, 1};
      factor.view.stride_h = factor.view.stride_w = 0;
      read(last, factor);
    }
    last.step.units = pairs.blocks() * shape.n() * shape.h();
    last.step.flops /= 3;
    finish_step(std::move(last));
  }

  void lower_channel_conv(NodeId id, const ChannelConv& conv) {
    const Shape& shape = node(id).type.shape;
    DraftStep draft = new_step(id, ChannelConvKernel{conv.kernel});
    read(draft, node(id).operands[0], Access::whole_blocks);
    draft.step.weights.push_back({node(id).operands[1], Packing::taps});
    draft.step.units = ceil_div(shape.c(), kChannelBlock) * shape.n() * shape.h();
    finish_step(std::move(draft));
  }

  // add, mul, prelu, channel_affine, channel_scale and activations.
  void lower_pointwise(NodeId id) {
    const Node& n = node(id);
    PointwiseKernel kernel;
    if (const Epilogue* epilogue = epilogue_of(n.op)) kernel.epilogue = *epilogue;
    if (std::optional<Activation> activation = activation_of(n.op))
      kernel.epilogue = {{EpilogueStep::Kind::activation, *activation}};
    if (n.is<Add>()) kernel.base = PointwiseKernel::Base::add;
    if (n.is<Mul>()) kernel.base = PointwiseKernel::Base::mul;
    if (n.is<ChannelAffine>()) kernel.base = PointwiseKernel::Base::affine;
    if (n.is<ChannelScale>()) kernel.base = PointwiseKernel::Base::scale;
    if (n.is<Prelu>()) kernel.base = PointwiseKernel::Base::prelu;
    DraftStep draft = new_step(id, kernel);
    read_broadcast(draft, n.operands[0], n.type.shape);
    if (n.is<Add>() || n.is<Mul>()) read_broadcast(draft, n.operands[1], n.type.shape);
    read_channel_constants(draft, id);
    read_epilogue(draft, id, kernel.epilogue);
    const Shape& shape = n.type.shape;
    draft.step.units = ceil_div(shape.c(), kChannelBlock) * shape.n() * shape.h();
    finish_step(std::move(draft));
  }

  const Graph& graph_;
  const Target& target_;
  const PlanOptions& options_;
  std::vector<bool> live_;
  KernelChoices choices_;
  Format format_;
  Diagnostics errors_;
  Placement placement_;
  std::vector<Location> blocked_;  // by NodeId: copies of the caller's tensors in blocks
  std::vector<DraftStep> drafts_;
};

}  // namespace

Result<Plan> make_plan(const Graph& graph, const Target& target, const PlanOptions& options) {
  return Planner(graph, target, options).run();
}

Result<std::vector<Plan>> make_plans(const Graph& graph, std::span<const Target> targets,
                                     const PlanOptions& options) {
  std::vector<Plan> plans;
  for (const Target& target : targets) {
    Result<Plan> plan = make_plan(graph, target, options);
    if (!plan) return plan.take_error();
    plans.push_back(*std::move(plan));
  }
  lay_out_weights(plans);
  return plans;
}

}  // namespace cardinal
