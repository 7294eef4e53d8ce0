// Normalisation over groups of channels and the whole image.
#pragma once

#include "ir/ops/norm.h"

namespace cardinal {

// y = (x - mean) / sqrt(variance + eps) * scale + shift, mean and variance over the C / groups channels of a
// group and all their pixels. Wu and He 2018. Operands: x [N, C, H, W] or [N, C]; scale, shift [C] if it has
// them.
struct GroupNorm : NormWeights {
  static constexpr std::string_view name = "group_norm";
  static constexpr std::string_view summary = "normalisation over groups of channels of each image";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  int64_t groups = 1;
  static constexpr auto fields =
      std::tuple{required("groups", &GroupNorm::groups),
                 optional("eps", static_cast<double GroupNorm::*>(&GroupNorm::eps)),
                 optional("scale", static_cast<bool GroupNorm::*>(&GroupNorm::scale)),
                 optional("shift", static_cast<bool GroupNorm::*>(&GroupNorm::shift))};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// A group norm whose groups are single channels. Ulyanov et al. 2016.
struct InstanceNorm : NormWeights {
  static constexpr std::string_view name = "instance_norm";
  static constexpr std::string_view summary = "normalisation of each channel of each image";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  // As PyTorch's.
  InstanceNorm() { scale = shift = false; }
  static constexpr auto fields =
      std::tuple{optional("eps", static_cast<double InstanceNorm::*>(&InstanceNorm::eps)),
                 optional("scale", static_cast<bool InstanceNorm::*>(&InstanceNorm::scale)),
                 optional("shift", static_cast<bool InstanceNorm::*>(&InstanceNorm::shift))};

  GroupNorm as_group_norm(const Shape& x) const;
  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

}  // namespace cardinal
