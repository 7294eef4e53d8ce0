#include "passes/weight_former.h"

#include <cardinal/weight_forms.h>

#include "passes/tiling.h"

namespace cardinal {

namespace {

// A kernel [OC, IC, KH, KW] or [OC, IC] as [block of 16 output channels][tap][IC][16].
std::vector<float> in_blocks(const Tensor& kernel, int64_t rows, int64_t columns) {
  const int64_t oc = kernel.type.shape[0], ic = kernel.type.shape[1];
  const int64_t taps = static_cast<int64_t>(kernel.data.size()) / (oc * ic);
  std::vector<float> blocks(static_cast<size_t>(rows * taps * columns));
  const double* from = kernel.data.data();
  for (int64_t o = 0; o < oc; ++o)
    for (int64_t i = 0; i < ic; ++i)
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t line = (o / kChannelBlock * taps + tap) * columns + i;
        blocks[static_cast<size_t>(line * kChannelBlock + o % kChannelBlock)] = static_cast<float>(*from++);
      }
  return blocks;
}

void append(std::vector<float>& to, const StrassenFactors& factors) {
  to.insert(to.end(), factors.ratios.begin(), factors.ratios.end());
  to.insert(to.end(), factors.scales.begin(), factors.scales.end());
}

}  // namespace

bool is_formed(Packing packing) {
  return packing == Packing::winograd_f2 || packing == Packing::winograd_f4 ||
         packing == Packing::strassen_products;
}

FormedWeight WeightFormer::form(const PackedWeight& weight, const Tensor& constant) {
  remember(weight, constant);
  FormedWeight formed{{}, kernel_, {}};
  formed.form.rows = static_cast<uint64_t>(rows_);
  formed.form.columns = static_cast<uint64_t>(columns_);
  if (weight.packing != Packing::strassen_products) {
    formed.form.kind = CARDINAL_FORM_WINOGRAD;
    formed.form.parameter = weight.packing == Packing::winograd_f2 ? 2 : 4;
    return formed;
  }
  formed.form.kind = CARDINAL_FORM_STRASSEN;
  formed.form.parameter = weight.product;
  const StrassenFactors& own = factors(weight, constant);
  if (weight.product >= 0) append(formed.factors, *first_);
  append(formed.factors, own);
  return formed;
}

const StrassenFactors& WeightFormer::factors(const PackedWeight& weight, const Tensor& constant) {
  remember(weight, constant);
  if (!first_) {
    wide_kernel_.assign(kernel_.begin(), kernel_.end());
    first_ = strassen_factors(wide_kernel_, rows_, columns_);
  }
  if (weight.product < 0) return *first_;
  remember_product(weight.product);
  return second_;
}

void WeightFormer::remember(const PackedWeight& weight, const Tensor& constant) {
  if (constant_ == weight.constant) return;
  constant_ = weight.constant;
  rows_ = round_up(constant.type.shape[0], kChannelBlock);
  columns_ = round_up(constant.type.shape[1], kChannelBlock);
  kernel_ = in_blocks(constant, rows_, columns_);
  first_.reset();
  product_ = -1;
}

void WeightFormer::remember_product(int product) {
  if (product_ == product) return;
  product_ = product;
  const std::vector<double> kernel =
      strassen_product(wide_kernel_, static_cast<uint64_t>(rows_), static_cast<uint64_t>(columns_),
                       first_->ratios.data(), first_->scales.data(), static_cast<size_t>(product));
  second_ = strassen_factors(kernel, rows_ / 2, columns_ / 2);
}

}  // namespace cardinal
