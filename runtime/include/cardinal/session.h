// Session: a Model and the working memory for running it.
#pragma once

#include <cardinal/expected.h>
#include <cardinal/model.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace cardinal {

// The caller's buffer for one input, bound by name, or by its position in the list when the name is empty.
// Elements are in the order TensorInfo::layout names, densely packed. float is f32; uint16_t holds the bits
// of f16 or bf16; bytes fit every type.
struct InputBuffer {
  InputBuffer(std::span<const float> values, std::string_view name = {})
      : data(values.data()), bytes(values.size_bytes()), element_bytes(sizeof(float)), name(name) {}
  InputBuffer(std::span<const uint16_t> values, std::string_view name = {})
      : data(values.data()), bytes(values.size_bytes()), element_bytes(sizeof(uint16_t)), name(name) {}
  InputBuffer(std::span<const std::byte> values, std::string_view name = {})
      : data(values.data()), bytes(values.size_bytes()), element_bytes(0), name(name) {}

  const void* data;
  size_t bytes;
  size_t element_bytes;  // 0: any
  std::string_view name;
};

// Likewise for one output.
struct OutputBuffer {
  OutputBuffer(std::span<float> values, std::string_view name = {})
      : data(values.data()), bytes(values.size_bytes()), element_bytes(sizeof(float)), name(name) {}
  OutputBuffer(std::span<uint16_t> values, std::string_view name = {})
      : data(values.data()), bytes(values.size_bytes()), element_bytes(sizeof(uint16_t)), name(name) {}
  OutputBuffer(std::span<std::byte> values, std::string_view name = {})
      : data(values.data()), bytes(values.size_bytes()), element_bytes(0), name(name) {}

  void* data;
  size_t bytes;
  size_t element_bytes;
  std::string_view name;
};

// Runs a Model. One thread at a time may use a Session (run() checks); give each thread its own: they share
// the model's code and weights, and cost workspace_bytes() each. Movable; a moved-from Session may only be
// destroyed or assigned.
class Session {
 public:
  // `executor` says how the units of each step are spread over threads: none (the default: everything on the
  // calling thread), ThreadPool::executor(), or your own parallel_for (executor_for below). Its context must
  // outlive the session. Fails only when the working memory cannot be had.
  //
  // A network for a GPU runs on the first one, whatever the executor; then this fails for want of a driver, a
  // GPU or memory on it, run() copies there and back, and run() can fail on the way. See cardinal/cuda.h for
  // more.
  static Expected<Session> create(const Model& model, cardinal_executor executor = {});

  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  const Model& model() const;

  // For networks with one f32 input and one f32 output. Sizes must be those of the tensors; with an open
  // batch, that many times as many as there are images, one after another.
  Expected<void> run(std::span<const float> input, std::span<float> output);

  // Any network:
  //   const cardinal::InputBuffer in[] = {{image, "image"}, {depth, "depth"}};
  //   const cardinal::OutputBuffer out[] = {{logits, "logits"}};
  //   auto done = session.run(in, out);
  // Every input and output must be given once. Buffers are aligned to their element and do not overlap.
  Expected<void> run(std::span<const InputBuffer> inputs, std::span<const OutputBuffer> outputs);

  // No checks at all: one pointer per tensor in the model's order; abi.h states what they must satisfy. One
  // image where the batch is open. On a GPU an error ends the program.
  void run_raw(const void* const* inputs, void* const* outputs) noexcept;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// An executor over the caller's own parallel_for: any callable f(units, grain, body) that calls body(begin,
// end) so that the ranges cover [0, units) exactly once and returns when all calls have returned. Beyond one
// for each thread, ranges should have at least `grain` units. It is kept by reference and must not let an
// exception out.
//   auto f = [&](int64_t units, int64_t grain, auto body) { pool.for_range(0, units, grain, body); };
//   auto session = cardinal::Session::create(model, cardinal::executor_for(f));
template <class ParallelFor>
cardinal_executor executor_for(ParallelFor& parallel_for) {
  return {&parallel_for,
          [](void* context, int64_t units, int64_t grain, cardinal_task task, const cardinal_frame* frame) {
            auto body = [=](int64_t begin, int64_t end) { task(frame, begin, end); };
            (*static_cast<ParallelFor*>(context))(units, grain, body);
          }};
}

}  // namespace cardinal
