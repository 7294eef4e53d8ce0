// Where data enters and leaves a graph. The interpreter supplies the values of input and weight.
#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// A tensor the caller passes in. The node's name is the input's name; `layout` is the order of the caller's
// buffer. With an open batch the caller passes any number of images, and the graph says what becomes of one.
struct Input {
  static constexpr std::string_view name = "input";
  static constexpr std::string_view summary = "a network input";
  static constexpr Arity tensors{0, 0};
  static constexpr bool internal_op = true;
  DType dtype = DType::f32;
  Shape shape;
  Layout layout = Layout::nchw;
  bool open_batch = false;
  static constexpr auto fields =
      std::tuple{required("dtype", &Input::dtype), required("shape", &Input::shape),
                 optional("layout", &Input::layout), optional("open_batch", &Input::open_batch)};

  Inferred infer(std::span<const TensorType> operands) const;
};

// A trained parameter. The node's name is its name in the weight file, whose elements come in the order
// `stored`; everything else sees them as `shape` says.
struct Weight {
  static constexpr std::string_view name = "weight";
  static constexpr std::string_view summary = "a trained parameter";
  static constexpr Arity tensors{0, 0};
  static constexpr bool internal_op = true;
  Shape shape;
  Role role = Role::kernel;
  StoredOrder stored = StoredOrder::as_written;
  static constexpr auto fields =
      std::tuple{required("shape", &Weight::shape), required("role", &Weight::role),
                 optional("stored", &Weight::stored)};

  Inferred infer(std::span<const TensorType> operands) const;
};

// A tensor the caller receives. The node's name is the output's name.
struct Output {
  static constexpr std::string_view name = "output";
  static constexpr std::string_view summary = "a network output";
  static constexpr Arity tensors{1, 1};
  static constexpr bool internal_op = true;
  Layout layout = Layout::nchw;
  bool open_batch = false;  // exactly if an input has it
  static constexpr auto fields =
      std::tuple{optional("layout", &Output::layout), optional("open_batch", &Output::open_batch)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const { out.data = operands[0]->data; }
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

}  // namespace cardinal
