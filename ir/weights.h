// Named tensors as the compiler holds them: views into mapped files or owned buffers, never copied into the
// graph.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/result.h"

namespace cardinal {

// Raw bytes of one tensor as stored: row-major, little-endian, in its file's dtype.
struct StoredTensor {
  TensorType type;
  std::span<const std::byte> bytes;
};
// Reads all elements as float (F16 and BF16 are widened exactly).
std::vector<float> to_floats(const StoredTensor&);

// The weight's shape in a file, in the order that `weight.stored` says.
Shape shape_in_file(const Weight& weight);
// Whether a tensor of this shape holds the weight's elements in the order that `weight.stored` says.
// Dimensions of 1 may be missing or added where a kernel's H and W stand, and around a vector: a linear
// layer's weight serves a 1x1 convolution. A depthwise kernel in hwio order may be [KH, KW, IC, OC / IC].
bool serves(const Shape& stored, const Weight& weight);
// The elements in the order of `weight.shape`. The tensor must serve the weight.
std::vector<float> weight_values(const StoredTensor&, const Weight& weight);

// Where weights come from. Immutable once built; lookups may be made from several threads.
class WeightStore {
 public:
  virtual ~WeightStore() = default;
  virtual const StoredTensor* find(std::string_view name) const = 0;
  virtual std::vector<std::string> names() const = 0;
  // Why a tensor that names() lists cannot be found as a weight ("its dtype is I64, not F32, F16 or BF16");
  // else "".
  virtual std::string unusable(std::string_view) const { return {}; }
  virtual std::string describe() const = 0;  // "resnet50.safetensors", "random:7"
};

// Every weight of `graph` must be there with a shape that serves it and finite values, variances not
// negative; everything wrong is reported at once, missing and extra names with the closest match, names and
// shapes of another convention with that. Extra tensors named `*.num_batches_tracked` are ignored (PyTorch
// saves them; inference does not read them), and those whose names match a pattern of `ignored`.
Status check_weights(const Graph&, const WeightStore&, std::span<const std::string> ignored = {});

// The tensors that the network does not have and that match a pattern; `*` stands for any characters, `?` for
// one.
std::vector<std::string> ignored_weights(const Graph&, const WeightStore&,
                                         std::span<const std::string> patterns);

// Weights drawn from a seed: a pure function of (seed, name, shape, role), so that they do not depend on the
// order of layers. Kernels are He-normal, so that activations neither vanish nor explode; statistics are
// non-trivial.
std::unique_ptr<WeightStore> random_weights(const Graph&, uint64_t seed);

}  // namespace cardinal
