#include "runtime/src/binding.h"

#include <cardinal/cuda.h>
#include <cardinal/session.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "runtime/src/validate.h"

namespace cardinal::runtime {

namespace {

std::string list_names(std::span<const TensorInfo> tensors) {
  std::string names;
  for (const TensorInfo& tensor : tensors) names += (names.empty() ? "" : ", ") + std::string(tensor.name);
  return names;
}

// What is wrong with giving `buffer` for `tensor`, or "".
template <class Buffer>
std::string find_misfit(const TensorInfo& tensor, const Buffer& buffer, size_t alignment) {
  const size_t element_bytes = runtime::element_bytes(tensor.dtype);
  if (buffer.element_bytes && buffer.element_bytes != element_bytes) {
    return "elements of " + std::to_string(element_bytes) + " bytes are needed, the buffer has elements of " +
           std::to_string(buffer.element_bytes);
  }
  const bool fits =
      tensor.open_batch ? buffer.bytes && buffer.bytes % tensor.bytes == 0 : buffer.bytes == tensor.bytes;
  if (!fits) {
    const char* needed =
        tensor.open_batch ? " for each image are needed, the buffer has " : " are needed, the buffer has ";
    if (!buffer.element_bytes)
      return std::to_string(tensor.bytes) + " bytes" + needed + std::to_string(buffer.bytes);
    return std::to_string(tensor.elements) + " elements" + needed +
           std::to_string(buffer.bytes / buffer.element_bytes);
  }
  if (!buffer.data) return "the buffer is null";
  if (alignment && reinterpret_cast<uintptr_t>(buffer.data) % alignment)
    return "the buffer is not aligned to " + std::to_string(alignment) + " bytes";
  if (reinterpret_cast<uintptr_t>(buffer.data) % element_bytes) {
    return "the buffer is not aligned to its elements of " + std::to_string(element_bytes) + " bytes";
  }
  return "";
}

// `kind` is "input" or "output"; `images` is how many the buffers of tensors with an open batch hold, 0 as
// long as none was seen.
template <class Buffer, class Pointer>
Expected<void> bind_kind(const char* kind, std::span<const TensorInfo> tensors,
                         std::span<const Buffer> buffers, size_t alignment, std::vector<Pointer>& pointers,
                         size_t& images) {
  if (buffers.size() != tensors.size()) {
    return Error("the network has " + std::to_string(tensors.size()) + " " + kind + "s (" +
                 list_names(tensors) + "), " + std::to_string(buffers.size()) + " were given");
  }
  pointers.assign(tensors.size(), nullptr);
  for (size_t i = 0; i < buffers.size(); ++i) {
    size_t at = i;
    if (!buffers[i].name.empty()) {
      at = 0;
      while (at < tensors.size() && tensors[at].name != buffers[i].name) ++at;
      if (at == tensors.size()) {
        return Error("the network has no " + std::string(kind) + " '" + std::string(buffers[i].name) +
                     "'; it has " + list_names(tensors));
      }
    }
    const auto refuse = [&](const std::string& why) {
      return Error(std::string(kind) + " " + describe(tensors[at]) + why);
    };
    if (pointers[at]) return refuse(" was given twice");
    const std::string misfit = find_misfit(tensors[at], buffers[i], alignment);
    if (!misfit.empty()) return refuse(": " + misfit);
    if (tensors[at].open_batch) {
      const size_t held = buffers[i].bytes / tensors[at].bytes;
      if (images && held != images) {
        return refuse(": the buffer is of " + std::to_string(held) + " images, the others of " +
                      std::to_string(images));
      }
      images = held;
    }
    pointers[at] = buffers[i].data;
  }
  return {};
}

bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto a_begin = reinterpret_cast<uintptr_t>(a), b_begin = reinterpret_cast<uintptr_t>(b);
  return a_begin < b_begin + b_bytes && b_begin < a_begin + a_bytes;
}

Expected<void> check_aliasing(const Model& model, const Bound& bound) {
  const auto message = [](const TensorInfo& output, const char* kind, const TensorInfo& other) {
    return Error("the buffer of output " + describe(output) + " overlaps that of " + kind + " " +
                 describe(other) + "; give each its own");
  };
  for (size_t i = 0; i < bound.outputs.size(); ++i) {
    const TensorInfo& output = model.outputs()[i];
    const auto overlaps = [&](const void* other, const TensorInfo& tensor) {
      return overlap(bound.outputs[i], bytes_of(output, bound.images), other, bytes_of(tensor, bound.images));
    };
    for (size_t j = 0; j < bound.inputs.size(); ++j) {
      if (overlaps(bound.inputs[j], model.inputs()[j])) return message(output, "input", model.inputs()[j]);
    }
    for (size_t j = 0; j < i; ++j) {
      if (overlaps(bound.outputs[j], model.outputs()[j]))
        return message(output, "output", model.outputs()[j]);
    }
  }
  return {};
}

}  // namespace

template <class Input, class Output>
Expected<void> bind(const Model& model, std::span<const Input> inputs, std::span<const Output> outputs,
                    size_t alignment, Bound& bound) {
  size_t images = 0;
  Expected<void> done = bind_kind("input", model.inputs(), inputs, alignment, bound.inputs, images);
  if (done) done = bind_kind("output", model.outputs(), outputs, alignment, bound.outputs, images);
  if (!done) return done;
  bound.images = std::max<size_t>(images, 1);
  return check_aliasing(model, bound);
}

template Expected<void> bind(const Model&, std::span<const InputBuffer>, std::span<const OutputBuffer>,
                             size_t, Bound&);
template Expected<void> bind(const Model&, std::span<const cuda::DeviceInput>,
                             std::span<const cuda::DeviceOutput>, size_t, Bound&);

}  // namespace cardinal::runtime
