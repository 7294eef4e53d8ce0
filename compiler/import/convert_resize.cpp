// Resizing of images. ONNX has many ways to say where a pixel of the result lies in the operand; an op is
// what the language says if every pixel comes out at the same place.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/import/attributes.h"
#include "compiler/import/converter.h"

namespace cardinal::onnx_import {

namespace {

struct Resizing {
  std::string mode, coordinates, rounding;
  bool has_scales = false;
  double scale[2] = {1, 1};  // of H and W
  int64_t size[2] = {};
};

// Where pixel i of an axis lies in the operand, as ONNX defines it.
double onnx_position(const Resizing& r, int64_t i, int64_t in, int64_t out, double scale) {
  const auto at = static_cast<double>(i);
  const std::string& how = r.coordinates;
  if (how == "asymmetric") return at / scale;
  if (how == "align_corners")
    // The standard's own tests take the result's size before it is rounded down.
    return out > 1 ? at * static_cast<double>(in - 1) / (scale * static_cast<double>(in) - 1) : 0;
  if (how == "pytorch_half_pixel" && out == 1) return 0;
  const double half_pixel = (at + 0.5) / scale - 0.5;
  if (how != "half_pixel_symmetric") return half_pixel;
  const double adjustment = static_cast<double>(out) / (scale * static_cast<double>(in));
  return static_cast<double>(in) / 2 * (1 - adjustment) + half_pixel;
}

double rounded(const std::string& how, double x) {
  if (how == "floor") return std::floor(x);
  if (how == "ceil") return std::ceil(x);
  return how == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
}

bool agrees(const Resizing& r, int axis, int64_t in, const std::vector<ResizeTap>& taps) {
  const auto out = static_cast<int64_t>(taps.size());
  for (int64_t i = 0; i < out; ++i) {
    double position = onnx_position(r, i, in, out, r.scale[axis]);
    if (r.mode == "nearest") position = rounded(r.rounding, position);
    position = std::clamp(position, 0.0, static_cast<double>(in - 1));
    const ResizeTap& tap = taps[static_cast<size_t>(i)];
    constexpr double kClose = 1e-4;  // of a pixel: what single precision makes of a position
    if (std::abs(static_cast<double>(tap.first) + tap.weight - position) > kClose) return false;
  }
  return true;
}

// The numbers of an operand or of an attribute; empty if there are none.
std::vector<double> numbers(const Converter& c, const OnnxNode& node, size_t input) {
  std::vector<double> out;
  if (ConstantPtr given = c.constant(node, input))
    for (int64_t i = 0; i < given->elements(); ++i) out.push_back(given->number(i));
  return out;
}

std::vector<double> scales_of(const Converter& c, const OnnxNode& node) {
  const auto attribute = node.attributes.find("scales");
  if (attribute != node.attributes.end())
    if (const auto* floats = std::get_if<std::vector<float>>(&attribute->second))
      return {floats->begin(), floats->end()};
  const bool takes_roi = node.op_type == "Resize" && c.graph().opset >= 11;
  return numbers(c, node, takes_roi ? 2 : 1);
}

// What the node asks for, or why it cannot be had.
std::string read_resizing(const Converter& c, const OnnxNode& node, const Shape& x, Resizing& r) {
  const bool has_modes = node.op_type == "Resize" && c.graph().opset >= 11;
  r.mode = string_attribute(node, "mode", "nearest");
  r.coordinates =
      string_attribute(node, "coordinate_transformation_mode", has_modes ? "half_pixel" : "asymmetric");
  r.rounding = string_attribute(node, "nearest_mode", has_modes ? "round_prefer_floor" : "floor");
  if (r.mode != "nearest" && r.mode != "linear") return fmt::format("mode={}", r.mode);
  if (r.coordinates == "tf_crop_and_resize") return "it cuts out a region";
  if (int_attribute(node, "antialias", 0) != 0) return "antialias=1";
  if (string_attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch")
    return "it keeps the aspect ratio";
  std::vector<int64_t> axes = ints_attribute(node, "axes");
  if (axes.empty()) axes = {0, 1, 2, 3};
  const std::vector<double> scales = scales_of(c, node), sizes = numbers(c, node, 3);
  const std::vector<double>& given = scales.empty() ? sizes : scales;
  if (given.size() != axes.size()) return "its scales or sizes are not known, or are not those of an image";
  r.has_scales = !scales.empty();
  for (int64_t i : {0, 1}) r.size[i] = x[static_cast<int>(i) + 2];
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = axes[i] < 0 ? axes[i] + 4 : axes[i];
    if (axis < 0 || axis > 3) return fmt::format("it has no axis {}", axes[i]);
    const auto extent = static_cast<double>(x[static_cast<int>(axis)]);
    const double scale = r.has_scales ? given[i] : given[i] / extent;
    if (axis < 2 && scale != 1) return "it resizes another axis than H and W";
    if (axis < 2) continue;
    if (!(scale > 0) || scale * extent > static_cast<double>(kMaxDim)) return "its scale is out of range";
    r.scale[axis - 2] = scale;
    r.size[axis - 2] = static_cast<int64_t>(r.has_scales ? std::floor(extent * scale) : given[i]);
  }
  return {};
}

// The op that puts every pixel where the node does.
std::optional<Resize> find_resize(const Resizing& r, const Shape& x) {
  Resize by_scale, by_size;
  by_scale.scale = {r.scale[0], r.scale[1]};
  by_size.size = {r.size[0], r.size[1]};
  for (Resize op : {by_scale, by_size})
    for (ResizeMode mode : {ResizeMode::nearest, ResizeMode::bilinear, ResizeMode::bilinear_corners}) {
      if ((mode == ResizeMode::nearest) != (r.mode == "nearest")) continue;
      op.mode = mode;
      const TensorType type{DType::f32, x};
      const Inferred inferred = op.infer({&type, 1});
      const auto* result = std::get_if<TensorType>(&inferred);
      if (!result || result->shape.h() != r.size[0] || result->shape.w() != r.size[1]) continue;
      const ResizeTaps taps = resize_taps(op, x, result->shape);
      if (agrees(r, 0, x.h(), taps.rows) && agrees(r, 1, x.w(), taps.columns)) return op;
    }
  return {};
}

void convert_resize(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  if (x->view.dims.size() != 4) return void(c.refuse(node, "its operand is no image [N, C, H, W]"));
  auto layer = c.image(node, *x);
  if (!layer) return;
  const Shape shape = c.layer(*layer).type.shape;
  if (shape.rank() != 4) return void(c.refuse(node, "its operand is no image [N, C, H, W]"));
  Resizing resizing;
  if (std::string problem = read_resizing(c, node, shape, resizing); !problem.empty())
    return void(c.refuse(node, problem));
  const std::optional<Resize> op = find_resize(resizing, shape);
  if (!op)
    return void(c.refuse(
        node,
        fmt::format("mode={}, coordinate_transformation_mode={}{} puts pixels where the op resize does not",
                    resizing.mode, resizing.coordinates,
                    resizing.mode == "nearest" ? ", nearest_mode=" + resizing.rounding : "")));
  LayerRequest request{"resize", {}, {*layer}, {}};
  for (FieldValue& field : field_values(*op))
    request.attributes.push_back({field.name, std::move(field.value)});
  if (auto made = c.add_layer(node, request)) c.set_layer(node, *made, 4);
}

// An image whose channels and pixels change places, in blocks.
void convert_depth(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  auto layer = c.image(node, *x);
  if (!layer) return;
  const bool to_space = node.op_type == "DepthToSpace";
  const bool crd = to_space && string_attribute(node, "mode", "DCR") == "CRD";
  LayerRequest request{
      to_space ? "depth_to_space" : "space_to_depth",
      {{"factor", {int_attribute(node, "blocksize", 0)}}, {"order", {std::string(crd ? "crd" : "dcr")}}},
      {*layer},
      {}};
  if (auto made = c.add_layer(node, request)) c.set_layer(node, *made, x->view.dims.size());
}

}  // namespace

void add_resize_handlers(Handlers& handlers) {
  handlers["Resize"] = convert_resize;
  handlers["Upsample"] = convert_resize;
  handlers["DepthToSpace"] = convert_depth;
  handlers["SpaceToDepth"] = convert_depth;
}

}  // namespace cardinal::onnx_import
