// Matching the caller's buffers to a network's tensors.
#pragma once

#include <cardinal/model.h>

#include <cstddef>
#include <span>
#include <vector>

namespace cardinal::runtime {

struct Bound {
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  size_t images = 1;  // more than one where the batch is open
};

// Puts each buffer's pointer where its tensor is in the model's order, or says which buffer does not fit: by
// name, size, alignment (to `alignment` bytes, or to its elements if that is 0) or because it overlaps
// another. Two inputs may share memory, since neither is written. Allocates nothing when `bound` was used for
// the model before. Defined for the buffers of cardinal::Session and of cardinal::cuda::Session.
template <class Input, class Output>
Expected<void> bind(const Model& model, std::span<const Input> inputs, std::span<const Output> outputs,
                    size_t alignment, Bound& bound);

// Bytes of a tensor for that many images.
inline size_t bytes_of(const TensorInfo& tensor, size_t images) {
  return tensor.open_batch ? images * tensor.bytes : tensor.bytes;
}

}  // namespace cardinal::runtime
