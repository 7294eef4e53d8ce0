// ONNX nodes to layers. Handlers (convert_*.cpp) turn one kind of node each into layers through the
// Converter's operations; what they cannot is refused with a reason, and the conversion goes on, so that
// everything unsupported is found in one run.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/import/layer_names.h"
#include "compiler/import/network.h"
#include "compiler/import/onnx_graph.h"
#include "compiler/import/view.h"

namespace cardinal::onnx_import {

// A tensor that the network computes: a layer's result and how the ONNX tensor lies in it. `pad` holds zeros
// that an ONNX Pad adds around the image, and that the next convolution takes over.
struct TensorRef {
  size_t layer = 0;
  View view;
  Padding pad;
};
// Empty for what an unsupported node would have made: its users keep silent.
using Value = std::variant<std::monostate, ConstantPtr, TensorRef>;

class Converter;
using Handler = void (*)(Converter&, const OnnxNode&);
using Handlers = std::map<std::string_view, Handler>;
void add_layer_handlers(Handlers& handlers);  // convolutions, pools, fully connected layers, normalisations
void add_elementwise_handlers(Handlers& handlers);  // activations and arithmetic
void add_shape_handlers(Handlers& handlers);        // what moves elements
void add_resize_handlers(Handlers& handlers);       // what resizes images

// An attribute for add_layer.
struct NamedAttr {
  std::string_view name;
  AttrValue value;
};
// A weight for add_layer; `value` is the ONNX value that it comes from, for the layer's name.
struct NamedWeight {
  std::string suffix;
  ConstantPtr data;
  std::string value;
};
struct LayerRequest {
  std::string_view op;
  std::vector<NamedAttr> attributes;
  std::vector<size_t> operands;
  std::vector<NamedWeight> weights;
};

class Converter {
 public:
  Converter(const OnnxGraph& graph, std::string path);

  // The whole graph. The network's name is left to the caller.
  Result<Network> run(const std::map<std::string, std::vector<int64_t>>& shapes);

  const OnnxGraph& graph() const { return graph_; }
  const Layer& layer(size_t id) const { return network_.layers[id]; }

  // Remembers that the node cannot be imported, and makes its results empty. Returns nothing, to be returned.
  std::nullopt_t refuse(const OnnxNode& node, const std::string& why);

  const Value& value(const std::string& name) const;
  ConstantPtr constant(const OnnxNode& node, size_t input) const;  // null if it is not one
  // A list that newer opsets take as an operand and older ones as an attribute. Refuses what is not known.
  std::optional<std::vector<int64_t>> ints(const OnnxNode& node, size_t input, std::string_view attribute);
  // The operand as a tensor; refuses a constant. Padding that waits has been applied.
  std::optional<TensorRef> tensor(const OnnxNode& node, size_t input);
  std::optional<TensorRef> padded_tensor(const OnnxNode& node, size_t input);  // where padding may wait

  // x with the padding that waits put around it by an op.
  std::optional<TensorRef> apply_padding(const OnnxNode& node, const TensorRef& x, double value = 0,
                                         Sides channels = {});

  // The layer whose result, [N, C, H, W] or [N, C], has its axes in the ONNX tensor's order. Adds a shuffle
  // of channels if that is what it takes.
  std::optional<size_t> image(const OnnxNode& node, const TensorRef& x);
  // x with its channels in order, where they have been dealt like cards, and a shuffle of channels does that,
  // or have become pixels, or pixels channels.
  std::optional<TensorRef> shuffled(const OnnxNode& node, const TensorRef& x);
  // A layer over [N, C] computed over [N, C, 1, 1] instead, with those before it back to a flatten; empty
  // where that cannot be. A gate made of fully connected layers becomes one of 1x1 convolutions.
  std::optional<size_t> as_pixels(size_t layer);
  // [N, features]; `order` becomes where each ONNX feature lies in it, empty if at its own place.
  std::optional<size_t> features(const OnnxNode& node, const TensorRef& x, std::vector<int64_t>& order);

  // Adds a layer, named after its weights or the node. Refuses what the op's shape rule refuses.
  std::optional<size_t> add_layer(const OnnxNode& node, const LayerRequest& request);
  // A layer that keeps its operand's shape, put behind x.
  std::optional<TensorRef> add_plain(const OnnxNode& node, const TensorRef& x, std::string_view op,
                                     std::vector<NamedAttr> attributes = {});
  // Whether nothing but the value called `name` reads x's layer, directly or through views.
  bool is_only_use(const TensorRef& x, const std::string& name) const;
  Layer& change_layer(size_t id) { return network_.layers[id]; }

  void set(const OnnxNode& node, size_t output, Value value);
  // The result's view is that of a whole tensor of the layer's shape, with `rank` dimensions.
  void set_layer(const OnnxNode& node, size_t layer, size_t rank);

  std::vector<const OnnxNode*> users(const std::string& name) const;
  bool is_output(const std::string& name) const;

 private:
  bool add_inputs(const std::map<std::string, std::vector<int64_t>>& shapes);
  bool add_input(const OnnxInput& input, const std::vector<int64_t>* given);
  bool is_nhwc_input(const std::string& name) const;
  std::string boundary_name(const std::string& name, std::string_view fallback);
  void convert(const OnnxNode& node);
  void add_output(const std::string& name);
  Diagnostics unsupported() const;

  const OnnxGraph& graph_;
  std::string path_;
  Handlers handlers_;
  Network network_;
  LayerNames names_;
  std::map<size_t, size_t> pixels_;       // what as_pixels has made of layers
  std::set<std::string> boundary_names_;  // of inputs and outputs
  std::map<std::string, Value, std::less<>> values_;
  std::map<std::string, std::vector<const OnnxNode*>, std::less<>> users_;
  std::map<size_t, std::set<std::string>> layer_values_;  // the ONNX values that lie in a layer's result
  struct Refusal {
    std::string op, why;
    bool operator<(const Refusal& other) const { return std::tie(op, why) < std::tie(other.op, other.why); }
  };
  std::vector<Refusal> refusal_order_;
  std::map<Refusal, std::vector<std::string>> refusals_;  // nodes
  Diagnostics problems_;
};

}  // namespace cardinal::onnx_import
