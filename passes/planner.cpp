// make_plan: choose a kernel for every convolution, find each value a place, lower nodes to steps in graph
// order, then let steps write over operands that die in them, and give every buffer its offset.
#include "passes/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "passes/conv_lowering.h"
#include "passes/gpu_launch.h"
#include "passes/gpu_lowering.h"
#include "passes/packing.h"
#include "passes/plan_checks.h"
#include "passes/stages.h"
#include "passes/tiling.h"

namespace cardinal {

namespace {

// Only a reorder step writes views without vector channels.
bool can_write(const Node& node, const View& view) { return node.is<Flatten>() || view.vector_channels(); }

// Lowers each op in graph order.
class Planner : private Lowering {
 public:
  Planner(const Graph& graph, const Target& target, const Format& format, KernelChoices choices)
      : Lowering(
            graph, target, format,
            place_values(
                graph, [&graph](NodeId id, const View& view) { return can_write(graph[id], view); }, format)),
        choices_(std::move(choices)) {}

  // `gpu_convs`: null for a CPU.
  Result<Plan> run(const std::vector<bool>& live, GpuConvs* gpu_convs) {
    gpu_convs_ = gpu_convs;
    for (NodeId id : graph().ids())
      if (live[index(id)] && !graph()[id].is_constant) lower(id);
    if (errors_.has_errors()) return errors_;
    return take_plan();
  }

 private:
  std::string step_name(NodeId id) const { return cardinal::step_name(graph(), id); }

  void lower(NodeId id) {
    const Node& n = node(id);
    if (n.is<Input>()) return;
    if (is_conv(n)) return gpu_convs_ ? lower_on_gpu(id) : lower_conv(*this, id, choices_[index(id)]);
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
    if (n.is<ChannelAvgPool>() || n.is<ChannelMaxPool>())
      return lower_pixels(id, ChannelPoolKernel{n.is<ChannelMaxPool>()});
    if (const LayerNorm* norm = n.as<LayerNorm>()) return lower_pixels(id, LayerNormKernel{norm->eps});
    if (const LocalResponseNorm* norm = n.as<LocalResponseNorm>())
      return lower_rows(id, ResponseNormKernel{norm->size, norm->alpha, norm->beta, norm->k},
                        Access::whole_blocks);
    lower_pointwise(id);
  }

  void lower_on_gpu(NodeId id) {
    if (Status done = gpu_convs_->lower(*this, id); !done) errors_.append(done.take_error());
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
      kernel.pixels = pool_pixels(kernel.shape, target());
      kernel.tiles = balanced_tiles(kernel.shape.ow, kernel.pixels);
    }
    DraftStep draft = new_step(id, kernel);
    const std::optional<Location>& sums = row_sums(n.operands[0]);
    if (sums && n.is<GlobalAvgPool>()) {
      read(draft, *sums);
      draft.step.flops /= static_cast<double>(x.w());
      draft.step.bytes = 4 * (sums->view.shape.elements() + n.type.shape.elements());
    } else {
      read(draft, n.operands[0], Access::vector_channels);
    }
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

  // add, mul, div, max, min, prelu, channel_affine, channel_scale and activations.
  void lower_pointwise(NodeId id) {
    const Node& n = node(id);
    PointwiseKernel kernel;
    if (const Epilogue* epilogue = epilogue_of(n.op)) kernel.epilogue = *epilogue;
    if (std::optional<Activation> activation = activation_of(n.op))
      kernel.epilogue = {{EpilogueStep::Kind::activation, *activation}};
    if (n.is<Add>()) kernel.base = PointwiseKernel::Base::add;
    if (n.is<Mul>()) kernel.base = PointwiseKernel::Base::mul;
    if (n.is<Div>()) kernel.base = PointwiseKernel::Base::div;
    if (n.is<Max>()) kernel.base = PointwiseKernel::Base::max;
    if (n.is<Min>()) kernel.base = PointwiseKernel::Base::min;
    if (n.is<ChannelAffine>()) kernel.base = PointwiseKernel::Base::affine;
    if (n.is<ChannelScale>()) kernel.base = PointwiseKernel::Base::scale;
    if (n.is<Prelu>()) kernel.base = PointwiseKernel::Base::prelu;
    DraftStep draft = new_step(id, kernel);
    read_broadcast(draft, n.operands[0], n.type.shape);
    if (kernel.has_two_operands()) read_broadcast(draft, n.operands[1], n.type.shape);
    read_channel_constants(draft, id);
    read_epilogue(draft, id, kernel.epilogue);
    const Shape& shape = n.type.shape;
    draft.step.units = ceil_div(shape.c(), kChannelBlock) * shape.n() * shape.h();
    finish_step(std::move(draft));
  }

  GpuConvs* gpu_convs_ = nullptr;
  KernelChoices choices_;  // on a CPU
  Diagnostics errors_;
};

void name_for_tuning(Plan& plan, const Graph& graph, int64_t network_weights, const Target& target) {
  for (Step& step : plan.steps)
    if (!step.candidates.empty())
      step.tuning_key = tuning_key(graph, step.node, conv_problem(graph, step.node, network_weights), target);
}

Result<Plan> plan_for_cpu(const Graph& graph, const std::vector<bool>& live, const Target& target,
                          const PlanOptions& options, int64_t weights) {
  Result<KernelChoices> chosen = choose_kernels(graph, live, target, options, weights);
  if (!chosen) return chosen.take_error();
  Result<Plan> plan = Planner(graph, target, {}, *std::move(chosen)).run(live, nullptr);
  if (plan) name_for_tuning(*plan, graph, weights, target);
  return plan;
}

std::set<std::string> conv_names(const Graph& graph) {
  std::set<std::string> names;
  for (NodeId id : graph.ids())
    if (is_conv(graph[id])) names.insert(step_name(graph, id));
  return names;
}

// Those overrides that name a layer of the graph.
PlanOptions options_of(const Graph& graph, PlanOptions options) {
  const std::set<std::string> names = conv_names(graph);
  std::erase_if(options.overrides, [&](const auto& entry) { return !names.contains(entry.first); });
  return options;
}

Result<Plan> plan_stages(const Graph& graph, const Stages& stages, const Target& target,
                         const PlanOptions& options, int64_t weights) {
  const auto plan = [&](const Graph& stage) {
    return plan_for_cpu(stage, live_nodes(stage), target, options_of(stage, options), weights);
  };
  Result<Plan> image = plan(stages.image.graph);
  if (!image) return image;
  Result<Plan> rest = plan(stages.rest.graph);
  if (!rest) return rest;
  return join_stages(graph, stages, *std::move(image), *std::move(rest));
}

Diagnostics check_overrides(const Graph& graph, const PlanOptions& options) {
  const std::set<std::string> names = conv_names(graph);
  Diagnostics errors;
  for (const auto& [name, wanted] : options.overrides)
    if (!names.contains(name))
      errors.error(wanted.where, fmt::format("no convolution or linear layer is called '{}'", name));
  return errors;
}

Result<Plan> make_cpu_plan(const Graph& graph, const std::vector<bool>& live, const Target& target,
                           const PlanOptions& options) {
  const int64_t weights = network_weights(graph, live, options.winograd);
  if (Diagnostics errors = check_overrides(graph, options); errors.has_errors()) return errors;
  if (options.stages)
    if (const std::optional<Stages> stages = split_in_stages(graph, live, target))
      return plan_stages(graph, *stages, target, options, weights);
  return plan_for_cpu(graph, live, target, options, weights);
}

Result<Plan> make_gpu_plan(const Graph& graph, const std::vector<bool>& live, const Target& target,
                           const PlanOptions& options) {
  GpuConvs convs(graph, live, options);
  if (Diagnostics errors = convs.check_overrides(); errors.has_errors()) return errors;
  Result<Plan> plan = Planner(graph, target, {Layout::nhwc, options.precision}, {}).run(live, &convs);
  if (!plan) return plan;
  plan->product_tflops = product_tflops(options.precision, options.tf32, uses_wgmma(*plan), *target.gpu);
  return plan;
}

}  // namespace

Result<Plan> make_plan(const Graph& graph, const Target& target, const PlanOptions& options) {
  const std::vector<bool> live = live_nodes(graph);
  if (Diagnostics errors = check_plannable(graph, live); errors.has_errors()) return errors;
  Result<Plan> plan =
      target.gpu ? make_gpu_plan(graph, live, target, options) : make_cpu_plan(graph, live, target, options);
  if (!plan) return plan;
  plan->target = target;
  lay_out_weights(std::span(&*plan, 1));
  if (target.gpu) set_gpu_launches(*plan);
  return plan;
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
