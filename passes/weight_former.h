// The sections of the packed weights that are formed of a kernel, by Winograd's algorithm or fast matrix
// multiplication: what of (cardinal/weight_forms.h).
#pragma once

#include <cardinal/abi.h>

#include <optional>
#include <span>
#include <vector>

#include "passes/strassen.h"

namespace cardinal {

bool is_formed(Packing);

struct FormedWeight {
  cardinal_weight_form form;  // its offsets are 0
  std::span<const float> kernel;
  std::vector<float> factors;
};

// Remembers the kernel last asked for: sections of one constant follow each other.
class WeightFormer {
 public:
  // Of a packing that is formed; the kernel stays where it is until another constant's is asked for.
  FormedWeight form(const PackedWeight&, const Tensor& constant);
  // Of strassen_ratios and strassen_scales.
  const StrassenFactors& factors(const PackedWeight&, const Tensor& constant);

 private:
  void remember(const PackedWeight&, const Tensor& constant);
  void remember_product(int product);

  std::optional<NodeId> constant_;
  int64_t rows_ = 0, columns_ = 0;   // whole blocks
  std::vector<float> kernel_;        // in blocks
  std::vector<double> wide_kernel_;  // the same, once first_ is there
  std::optional<StrassenFactors> first_;
  int product_ = -1;        // of the first level
  StrassenFactors second_;  // its own
};

}  // namespace cardinal
