#include "compiler/driver/tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace cardinal::driver {

Shape buffer_shape(const TensorInfo& tensor, int64_t images) {
  std::vector<int64_t> dims(tensor.shape.begin(), tensor.shape.end());
  if (tensor.open_batch) dims[0] = images;
  const Shape s{std::span<const int64_t>(dims)};
  if (s.rank() != 4 || tensor.layout == CARDINAL_NCHW) return s;
  if (tensor.layout == CARDINAL_NHWC) return {s.n(), s.h(), s.w(), s.c()};
  return {s.n(), ceil_div(s.c(), kChannelBlock), s.h(), s.w(), kChannelBlock};
}

std::string buffer_axes(const TensorInfo& tensor) {
  if (tensor.shape.size() != 4) return "n, c";
  if (tensor.layout == CARDINAL_NCHW) return "n, c, h, w";
  return tensor.layout == CARDINAL_NHWC ? "n, h, w, c" : "n, c / 16, h, w, 16";
}

DType buffer_dtype(const TensorInfo& tensor) { return static_cast<DType>(tensor.dtype); }

std::vector<std::byte> random_buffer(const TensorInfo& tensor, uint64_t seed) {
  std::vector<std::byte> out(tensor.bytes);
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (size_t i = 0; i < tensor.elements; ++i) {
    // Knuth's MMIX generator; its upper bits are good enough for test data.
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    float value = static_cast<float>(static_cast<int64_t>(state) >> 40) * 0x1p-23f;
    if (tensor.dtype == CARDINAL_F32) {
      std::memcpy(&out[4 * i], &value, 4);
    } else {
      // Sign and a magnitude below 1 in either half format: 0x3800 is 0.5 as f16, 0x3f00 as bf16.
      uint16_t half =
          static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | (tensor.dtype == CARDINAL_F16 ? 0x3800 : 0x3f00));
      std::memcpy(&out[2 * i], &half, 2);
    }
  }
  return out;
}

std::vector<std::vector<std::byte>> random_inputs(const Model& model, uint64_t seed) {
  std::vector<std::vector<std::byte>> inputs;
  for (const TensorInfo& tensor : model.inputs())
    inputs.push_back(random_buffer(tensor, seed + inputs.size()));
  return inputs;
}

Result<std::vector<std::string>> match_files(std::span<const TensorInfo> tensors,
                                             const std::vector<std::string>& args, const std::string& flag,
                                             const std::string& kind) {
  std::vector<std::string> files(tensors.size()), names;
  for (const TensorInfo& tensor : tensors) names.emplace_back(tensor.name);
  for (const std::string& arg : args) {
    // NAME=FILE if NAME is a tensor's; a file name may contain '=' too.
    size_t equals = arg.find('=');
    auto named = equals == std::string::npos ? names.end()
                                             : std::find(names.begin(), names.end(), arg.substr(0, equals));
    if (named == names.end() && tensors.size() > 1)
      return Diagnostics(fmt::format("{} {}: the network has {} {}s, so write NAME=FILE with NAME one of {}",
                                     flag, arg, tensors.size(), kind, fmt::join(names, ", ")));
    size_t which = named == names.end() ? 0 : static_cast<size_t>(named - names.begin());
    if (!files[which].empty()) return Diagnostics(fmt::format("{} {} is given twice", kind, names[which]));
    files[which] = named == names.end() ? arg : arg.substr(equals + 1);
  }
  std::vector<std::string> missing;
  for (size_t i = 0; i < files.size(); ++i)
    if (files[i].empty()) missing.push_back(describe(tensors[i]));
  if (!missing.empty()) return Diagnostics(fmt::format("no {} for {}", flag, fmt::join(missing, "; ")));
  return files;
}

}  // namespace cardinal::driver
