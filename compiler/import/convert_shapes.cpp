// Nodes that move elements or only describe them.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "compiler/import/attributes.h"
#include "compiler/import/converter.h"
#include "compiler/import/fold_constants.h"

namespace cardinal::onnx_import {

namespace {

void set_view(Converter& c, const OnnxNode& node, TensorRef x, View view) {
  x.view = std::move(view);
  c.set(node, 0, std::move(x));
}

void pass_on(Converter& c, const OnnxNode& node) {
  if (auto x = c.padded_tensor(node, 0)) c.set(node, 0, *x);
}

void convert_cast(Converter& c, const OnnxNode& node) {
  int64_t to = int_attribute(node, "to", 1);
  if (to != 1) return void(c.refuse(node, fmt::format("it casts to type {}; networks compute in f32", to)));
  pass_on(c, node);
}

void convert_dropout(Converter& c, const OnnxNode& node) {
  ConstantPtr training = c.constant(node, 2);
  bool is_training = training && training->elements() == 1 && training->number(0) != 0;
  if (is_training)
    return void(c.refuse(node, "it drops values (training mode); export the model for inference"));
  if (node.outputs.size() > 1 && !c.users(node.outputs[1]).empty())
    return void(c.refuse(node, "its mask is used"));
  pass_on(c, node);
}

void convert_shape(Converter& c, const OnnxNode& node) {
  const Value& value = c.value(node.input(0));
  std::vector<int64_t> sizes;
  if (const auto* constant = std::get_if<ConstantPtr>(&value)) {
    sizes = (*constant)->dims;
  } else if (auto x = c.tensor(node, 0)) {
    sizes = x->view.sizes();
  } else {
    return;
  }
  auto rank = static_cast<int64_t>(sizes.size());
  auto clamped = [rank](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
  int64_t begin = clamped(int_attribute(node, "start", 0)), end = clamped(int_attribute(node, "end", rank));
  c.set(node, 0, int_vector({sizes.begin() + begin, sizes.begin() + std::max(begin, end)}));
}

void reshape(Converter& c, const OnnxNode& node, const std::vector<int64_t>& target) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  std::vector<int64_t> sizes =
      resolve_reshape(x->view.sizes(), target, int_attribute(node, "allowzero", 0) != 0);
  bool is_positive = std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return size > 0; });
  auto view = is_positive ? x->view.reshaped(sizes) : std::nullopt;
  if (!view)
    return void(c.refuse(node, fmt::format("it makes [{}] of [{}]", fmt::join(target, ", "),
                                           fmt::join(x->view.sizes(), ", "))));
  x->view = std::move(*view);
  if (auto made = c.shuffled(node, *x)) c.set(node, 0, *made);
}

void convert_reshape(Converter& c, const OnnxNode& node) {
  if (auto target = c.ints(node, 1, "shape")) reshape(c, node, *target);
}

void convert_flatten(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  std::vector<int64_t> sizes = x->view.sizes();
  int64_t axis = int_attribute(node, "axis", 1), rank = static_cast<int64_t>(sizes.size());
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank) return void(c.refuse(node, fmt::format("it has no axis {}", axis)));
  std::vector<int64_t> target{1, 1};
  for (int64_t i = 0; i < rank; ++i) target[i < axis ? 0 : 1] *= sizes[static_cast<size_t>(i)];
  reshape(c, node, target);
}

void convert_squeeze(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  auto axes = c.ints(node, 1, "axes");
  if (!x || !axes) return;
  auto rank = static_cast<int64_t>(x->view.dims.size());
  for (int64_t& axis : *axes)
    if (axis < 0) axis += rank;
  View view;
  for (int64_t i = 0; i < rank; ++i) {
    const std::vector<Atom>& dim = x->view.dims[static_cast<size_t>(i)];
    bool named = std::find(axes->begin(), axes->end(), i) != axes->end();
    if (named && !dim.empty()) return void(c.refuse(node, fmt::format("dimension {} is not 1", i)));
    if (!named && !(axes->empty() && dim.empty())) view.dims.push_back(dim);
  }
  set_view(c, node, *x, std::move(view));
}

void convert_unsqueeze(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  auto axes = c.ints(node, 1, "axes");
  if (!x || !axes) return;
  auto places = unsqueeze_places(*axes, x->view.dims.size());
  if (!places) return void(c.refuse(node, "its axes do not fit its operand"));
  View view;
  for (int64_t from : *places) {
    view.dims.emplace_back();
    if (from >= 0) view.dims.back() = x->view.dims[static_cast<size_t>(from)];
  }
  set_view(c, node, *x, std::move(view));
}

void convert_transpose(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  std::vector<int64_t> permutation = ints_attribute(node, "perm");
  if (permutation.empty())
    for (size_t i = x->view.dims.size(); i-- > 0;) permutation.push_back(static_cast<int64_t>(i));
  if (!is_permutation_of(permutation, x->view.dims.size()))
    return void(c.refuse(node, "its perm does not fit its operand"));
  set_view(c, node, *x, x->view.transposed(permutation));
}

// No more than a copy where every dimension is there already.
void convert_expand(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  auto target = c.ints(node, 1, "shape");
  if (!x || !target) return;
  std::vector<int64_t> sizes = x->view.sizes();
  bool same = target->size() <= sizes.size();
  for (size_t i = 0; same && i < target->size(); ++i) {
    int64_t wanted = (*target)[i];
    same = wanted == 1 || wanted == sizes[i + sizes.size() - target->size()];
  }
  if (!same) return void(c.refuse(node, "it repeats elements"));
  c.set(node, 0, *x);
}

// The operand with each dimension a whole axis of its layer.
std::optional<TensorRef> with_whole_axes(Converter& c, const OnnxNode& node, std::optional<TensorRef> x) {
  if (!x || axes_of(x->view, c.layer(x->layer).type.shape)) return x;
  auto layer = c.image(node, *x);
  if (!layer) return std::nullopt;
  return TensorRef{*layer, View::whole(c.layer(*layer).type.shape), {}};
}

// The operand with channels as the axis that the node names; refuses others.
std::optional<TensorRef> along_channels(Converter& c, const OnnxNode& node, std::optional<TensorRef> x,
                                        int64_t axis) {
  x = with_whole_axes(c, node, std::move(x));
  if (!x) return std::nullopt;
  auto rank = static_cast<int64_t>(x->view.dims.size());
  if (axis < 0) axis += rank;
  auto axes = axes_of(x->view, c.layer(x->layer).type.shape);
  bool fits = axis >= 0 && axis < rank && (*axes)[static_cast<size_t>(axis)] == 1;
  if (!fits) return c.refuse(node, "it acts along another axis than the channels");
  return x;
}

// The view that the whole result has if its axes come as in `like`.
View view_like(const Converter& c, const TensorRef& like, size_t layer) {
  auto axes = axes_of(like.view, c.layer(like.layer).type.shape);
  View whole = View::whole(c.layer(layer).type.shape), view;
  for (int axis : *axes) view.dims.push_back(whole.dims[static_cast<size_t>(axis)]);
  return view;
}

void convert_concat(Converter& c, const OnnxNode& node) {
  std::vector<size_t> operands;
  std::optional<TensorRef> first;
  std::vector<int> order;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    auto x = along_channels(c, node, c.tensor(node, i), int_attribute(node, "axis", 1));
    if (!x) return;
    auto axes = axes_of(x->view, c.layer(x->layer).type.shape);
    if (!first) first = x, order = *axes;
    if (order != *axes) return void(c.refuse(node, "its operands' axes are in different orders"));
    operands.push_back(x->layer);
  }
  if (!first) return void(c.refuse(node, "it has no operands"));
  if (operands.size() == 1) return c.set(node, 0, *first);
  auto made = c.add_layer(node, {"concat", {}, operands, {}});
  if (made) c.set(node, 0, TensorRef{*made, view_like(c, *first, *made), {}});
}

// `ranges` of C, H and W; the whole ones are [0, 0].
std::optional<TensorRef> sliced(Converter& c, const OnnxNode& node, const TensorRef& x,
                                const std::array<AxisRange, 3>& ranges) {
  constexpr std::string_view kFields[] = {"c", "h", "w"};
  LayerRequest request{"slice", {}, {x.layer}, {}};
  for (size_t i = 0; i < ranges.size(); ++i)
    if (ranges[i] != AxisRange{}) request.attributes.push_back({kFields[i], to_attr(ranges[i])});
  if (request.attributes.empty()) return x;
  auto made = c.add_layer(node, request);
  if (!made) return std::nullopt;
  return TensorRef{*made, view_like(c, x, *made), {}};
}

void convert_split(Converter& c, const OnnxNode& node) {
  auto x = along_channels(c, node, c.tensor(node, 0), int_attribute(node, "axis", 0));
  auto sizes = c.ints(node, 1, "split");
  if (!x || !sizes) return;
  int64_t channels = c.layer(x->layer).type.shape.c(), parts = static_cast<int64_t>(node.outputs.size());
  if (sizes->empty())
    sizes->assign(static_cast<size_t>(parts), ceil_div(channels, std::max<int64_t>(parts, 1)));
  int64_t begin = 0;
  for (size_t i = 0; i < node.outputs.size() && i < sizes->size(); ++i) {
    int64_t end = std::min(begin + (*sizes)[i], channels);
    if (end <= begin) return void(c.refuse(node, "it makes an empty part"));
    if (auto part = sliced(c, node, *x, {AxisRange{begin, end == channels ? 0 : end}})) c.set(node, i, *part);
    begin = end;
  }
}

void convert_slice(Converter& c, const OnnxNode& node) {
  auto x = with_whole_axes(c, node, c.tensor(node, 0));
  auto starts = c.ints(node, 1, "starts"), ends = c.ints(node, 2, "ends");
  auto named = c.ints(node, 3, "axes"), steps = c.ints(node, 4, "steps");
  if (!x || !starts || !ends || !named || !steps) return;
  if (named->empty())
    for (size_t i = 0; i < starts->size(); ++i) named->push_back(static_cast<int64_t>(i));
  steps->resize(std::max(steps->size(), named->size()), 1);
  if (starts->size() != ends->size() || starts->size() != named->size())
    return void(c.refuse(node, "its starts, ends and axes are of different lengths"));
  const std::vector<int64_t> sizes = x->view.sizes();
  const auto axes = axes_of(x->view, c.layer(x->layer).type.shape);
  std::array<AxisRange, 3> ranges;
  for (size_t i = 0; i < named->size(); ++i) {
    const auto rank = static_cast<int64_t>(sizes.size());
    const int64_t axis = (*named)[i] < 0 ? (*named)[i] + rank : (*named)[i];
    if (axis < 0 || axis >= rank) return void(c.refuse(node, fmt::format("it has no axis {}", axis)));
    const int64_t size = sizes[static_cast<size_t>(axis)];
    auto clamped = [size](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
    const int64_t begin = clamped((*starts)[i]), end = clamped((*ends)[i]), step = (*steps)[i];
    if (step < 1 || begin >= end) return void(c.refuse(node, "it turns elements, or leaves none"));
    if (begin == 0 && end == size && step == 1) continue;
    const int along = (*axes)[static_cast<size_t>(axis)];
    if (along == 0) return void(c.refuse(node, "it takes a part of the batch"));
    ranges[static_cast<size_t>(along - 1)] = {begin, end == size ? 0 : end, step};
  }
  if (auto part = sliced(c, node, *x, ranges)) c.set(node, 0, *part);
}

void convert_pad(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  auto pads = c.ints(node, 1, has_attribute(node, "paddings") ? "paddings" : "pads");
  auto named = c.ints(node, 3, "axes");
  if (!pads || !named) return;
  std::string mode = string_attribute(node, "mode", "constant");
  if (mode != "constant") return void(c.refuse(node, fmt::format("mode={}", mode)));
  ConstantPtr given = c.constant(node, 2);
  double value = given && given->elements() == 1 ? given->number(0) : float_attribute(node, "value", 0);
  size_t rank = x->view.dims.size();
  if (named->empty())
    for (size_t i = 0; i < rank; ++i) named->push_back(static_cast<int64_t>(i));
  auto axes = axes_of(x->view, c.layer(x->layer).type.shape);
  bool fits = axes && pads->size() == 2 * named->size();
  int64_t sides[4][2] = {};  // before and after, of N, C, H, W
  for (size_t i = 0; fits && i < named->size(); ++i) {
    int64_t axis = (*named)[i] < 0 ? (*named)[i] + static_cast<int64_t>(rank) : (*named)[i];
    fits = axis >= 0 && axis < static_cast<int64_t>(rank);
    if (!fits) break;
    int64_t* side = sides[(*axes)[static_cast<size_t>(axis)]];
    side[0] = (*pads)[i], side[1] = (*pads)[i + named->size()];
  }
  if (!fits) return void(c.refuse(node, "its pads do not fit its operand"));
  if (sides[0][0] || sides[0][1]) return void(c.refuse(node, "it pads the batch"));
  const Sides channels{sides[1][0], sides[1][1]};
  x->pad = {Padding::Mode::explicit_, sides[2][0], sides[3][0], sides[2][1], sides[3][1]};
  bool is_cut = sides[2][0] < 0 || sides[2][1] < 0 || sides[3][0] < 0 || sides[3][1] < 0;
  if (value != 0 || is_cut || channels != Sides{}) x = c.apply_padding(node, *x, value, channels);
  if (!x) return;
  c.set(node, 0, *x);
}

}  // namespace

void add_shape_handlers(Handlers& handlers) {
  handlers["Identity"] = pass_on;
  handlers["Dropout"] = convert_dropout;
  handlers["Cast"] = convert_cast;
  handlers["Shape"] = convert_shape;
  handlers["Reshape"] = convert_reshape;
  handlers["Flatten"] = convert_flatten;
  handlers["Squeeze"] = convert_squeeze;
  handlers["Unsqueeze"] = convert_unsqueeze;
  handlers["Transpose"] = convert_transpose;
  handlers["Expand"] = convert_expand;
  handlers["Concat"] = convert_concat;
  handlers["Split"] = convert_split;
  handlers["Slice"] = convert_slice;
  handlers["Pad"] = convert_pad;
}

}  // namespace cardinal::onnx_import
