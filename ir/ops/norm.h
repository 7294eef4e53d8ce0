// Batch normalisation at inference, other normalisations, and the constant expressions that folding it leaves
// in the graph.
#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// What normalisations have in common: y = (x - mean) / sqrt(variance + eps) * scale + shift, where scale and
// shift are weights [C] that a layer may lack.
struct NormWeights {
  double eps = 1e-5;
  bool scale = true, shift = true;
  bool complete() const { return scale && shift; }
};
std::vector<Parameter> norm_parameters(const NormWeights&, const TensorType& x);
// The values of scale and shift from the operands that a norm has, 1 and 0 where it has none.
struct NormValues {
  std::vector<double> scale, shift;
};
NormValues norm_values(const NormWeights&, std::span<const Tensor* const> weights, int64_t channels);
std::optional<OpError> check_eps(double eps);
std::optional<OpError> check_features(std::string_view op, const TensorType& x);

// y = (x - mean) / sqrt(variance + eps) * weight + bias, per channel. Ioffe and Szegedy 2015.
// Operands: x [N, C, H, W] or [N, C]; weight and bias [C] if it has them; running_mean, running_var [C].
struct BatchNorm : NormWeights {
  static constexpr std::string_view name = "batch_norm";
  static constexpr std::string_view summary = "batch normalisation with the running statistics";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  static constexpr auto fields =
      std::tuple{optional("eps", static_cast<double BatchNorm::*>(&BatchNorm::eps)),
                 optional("scale", static_cast<bool BatchNorm::*>(&BatchNorm::scale)),
                 optional("shift", static_cast<bool BatchNorm::*>(&BatchNorm::shift))};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// y = x * scale + shift, per channel: a batch normalisation that was not folded, or a network's parameters.
// Operands: x [N, C, H, W] or [N, C]; scale and shift, of C elements or one each; then the epilogue's.
struct ChannelAffine {
  static constexpr std::string_view name = "channel_affine";
  static constexpr std::string_view summary = "per-channel x * scale + shift (made by passes)";
  static constexpr Arity tensors{3, 3};
  static constexpr int constants_from = 1;
  static constexpr bool internal_op = true;
  Epilogue epilogue;
  static constexpr auto fields = std::tuple{internal("epilogue", &ChannelAffine::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// A tensor of one value: the scale or shift that a normalisation has no weight for.
struct Fill {
  static constexpr std::string_view name = "fill";
  static constexpr std::string_view summary = "a constant of one value (made by passes)";
  static constexpr Arity tensors{0, 0};
  static constexpr bool internal_op = true;
  Shape shape;
  double value = 0;
  static constexpr auto fields = std::tuple{required("shape", &Fill::shape), required("value", &Fill::value)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

// gamma / sqrt(variance + eps), times w along its first axis if w is given. Operands: gamma [C]; variance
// [C]; w [C, ...].
struct FoldScale {
  static constexpr std::string_view name = "fold_scale";
  static constexpr std::string_view summary = "weights scaled by a batch norm (made by passes)";
  static constexpr Arity tensors{2, 3};
  static constexpr int constants_from = 0;
  static constexpr bool internal_op = true;
  double eps = 1e-5;
  static constexpr auto fields = std::tuple{optional("eps", &FoldScale::eps)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// beta + (b - mean) * gamma / sqrt(variance + eps), b being 0 if absent. Operands: gamma, beta, mean,
// variance [C]; b [C].
struct FoldShift {
  static constexpr std::string_view name = "fold_shift";
  static constexpr std::string_view summary = "bias shifted by a batch norm (made by passes)";
  static constexpr Arity tensors{4, 5};
  static constexpr int constants_from = 0;
  static constexpr bool internal_op = true;
  double eps = 1e-5;
  static constexpr auto fields = std::tuple{optional("eps", &FoldShift::eps)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// y = (x - mean) / sqrt(variance + eps) * weight + bias, mean and variance over the channels of a pixel. Ba
// et al. 2016, as ConvNeXt uses it. Operands: x [N, C, H, W] or [N, C]; weight, bias [C] if it has them.
struct LayerNorm : NormWeights {
  static constexpr std::string_view name = "layer_norm";
  static constexpr std::string_view summary = "normalisation over the channels of each pixel";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  static constexpr auto fields =
      std::tuple{optional("eps", static_cast<double LayerNorm::*>(&LayerNorm::eps)),
                 optional("scale", static_cast<bool LayerNorm::*>(&LayerNorm::scale)),
                 optional("shift", static_cast<bool LayerNorm::*>(&LayerNorm::shift))};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// y[c] = x[c] / (k + alpha / size * sum of x[i]^2)^beta, i from c - size / 2 to c + (size - 1) / 2.
// Krizhevsky et al. 2012, section 3.3; alpha is divided by the size as PyTorch does. Operand: x [N, C, H, W].
struct LocalResponseNorm {
  static constexpr std::string_view name = "local_response_norm";
  static constexpr std::string_view summary =
      "x / (k + alpha / size * sum of squares over size channels) ** beta";
  static constexpr Arity tensors{1, 1};
  int64_t size = 5;
  double alpha = 1e-4;
  double beta = 0.75;
  double k = 1;
  static constexpr auto fields =
      std::tuple{required("size", &LocalResponseNorm::size), optional("alpha", &LocalResponseNorm::alpha),
                 optional("beta", &LocalResponseNorm::beta), optional("k", &LocalResponseNorm::k)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// y[c] = sum of weight[j] * x[c + j - kernel / 2], zeros beyond the channels: one kernel for all channels, of
// each pixel by itself. Wang et al. 2020, section 3.2 (ECA-Net). Operands: x [N, C, H, W] or [N, C]; weight
// [1, 1, kernel].
struct ChannelConv {
  static constexpr std::string_view name = "channel_conv";
  static constexpr std::string_view summary =
      "1-D convolution over the channels of each pixel, of one kernel";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  int64_t kernel = 3;
  static constexpr auto fields = std::tuple{required("kernel", &ChannelConv::kernel)};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// y = x * scale, per channel: LayerScale (Touvron et al. 2021). The layer's own name is its weight's.
// Operands: x [N, C, H, W] or [N, C]; scale [C]; then the epilogue's.
struct ChannelScale {
  static constexpr std::string_view name = "channel_scale";
  static constexpr std::string_view summary = "per-channel x * scale";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  Epilogue epilogue;
  static constexpr auto fields = std::tuple{internal("epilogue", &ChannelScale::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

}  // namespace cardinal
