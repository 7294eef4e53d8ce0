#include <cardinal/cardinal.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "tests/runtime/fake_network.h"

using cardinal::InputBuffer;
using cardinal::Model;
using cardinal::OutputBuffer;
using cardinal::Session;
using Catch::Matchers::Contains;

namespace {

// sum = a + b, bits = h, for a, b, sum f32[4] and h, bits f16[2]
void add(const cardinal_frame* frame, int64_t begin, int64_t end) noexcept {
  const auto* a = static_cast<const float*>(frame->inputs[0]);
  const auto* b = static_cast<const float*>(frame->inputs[1]);
  for (int64_t i = begin; i < end; ++i) static_cast<float*>(frame->outputs[0])[i] = a[i] + b[i];
}

void copy(const cardinal_frame* frame, int64_t, int64_t) noexcept {
  std::memcpy(frame->outputs[1], frame->inputs[2], 4);
}

void run_pair(const cardinal_frame* frame, const cardinal_executor*) noexcept {
  add(frame, 0, 4);
  copy(frame, 0, 1);
}

Model pair() {
  static const cardinal_tensor inputs[] = {{"a", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                           {"b", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                           {"h", CARDINAL_F16, CARDINAL_NCHW, 1, 0, {2}, 4}};
  static const cardinal_tensor outputs[] = {{"sum", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                            {"bits", CARDINAL_F16, CARDINAL_NCHW, 1, 0, {2}, 4}};
  static const cardinal_step steps[] = {{"add", "add", add, 4, 1, 1, 4, 48, 4, 0, 0.5, nullptr},
                                        {"copy", "copy", copy, 1, 1, 1, 0, 8, 0, 0, 0.5, nullptr}};
  static const cardinal_model model = [] {
    cardinal_model m = fake_cardinal_model;
    m.name = "pair";
    m.input_count = 3;
    m.inputs = inputs;
    m.output_count = 2;
    m.outputs = outputs;
    m.steps = steps;
    m.workspace_bytes = 0;
    m.weights = nullptr;
    m.weights_bytes = 0;
    m.run = run_pair;
    return m;
  }();
  return Model::from(model).value();
}

std::string why(const cardinal::Expected<void>& done) {
  REQUIRE_FALSE(done.ok());
  return done.error().message();
}

struct PairBuffers {
  std::vector<float> a = {1, 2, 3, 4}, b = {10, 20, 30, 40}, sum = std::vector<float>(4);
  std::vector<uint16_t> h = {7, 8}, bits = std::vector<uint16_t>(2);
};

}  // namespace

TEST_CASE("buffers are bound by position or by name") {
  Session session = Session::create(pair()).value();
  PairBuffers v;
  const InputBuffer in[] = {{v.a}, {v.b}, {v.h}};
  const OutputBuffer out[] = {{v.sum}, {v.bits}};
  session.run(in, out).value();
  CHECK(v.sum == std::vector<float>{11, 22, 33, 44});
  CHECK(v.bits == v.h);

  PairBuffers w;
  const InputBuffer named_in[] = {{w.h, "h"}, {std::as_bytes(std::span(w.b)), "b"}, {w.a, "a"}};
  const OutputBuffer named_out[] = {{w.bits, "bits"}, {w.sum, "sum"}};
  session.run(named_in, named_out).value();
  CHECK(w.sum == v.sum);
  CHECK(w.bits == v.bits);
}

TEST_CASE("wrong buffers are refused with a reason") {
  Session session = Session::create(pair()).value();
  PairBuffers v;
  const OutputBuffer out[] = {{v.sum}, {v.bits}};
  const auto with = [&](std::vector<InputBuffer> in) { return why(session.run(in, out)); };
  CHECK_THAT(with({{v.a}}), Contains("has 3 inputs (a, b, h), 1 were given"));
  CHECK_THAT(why(session.run(v.a, v.sum)), Contains("has 3 inputs"));
  CHECK_THAT(with({{v.a, "a"}, {v.b, "a"}, {v.h}}), Contains("input a: f32[4] was given twice"));
  CHECK_THAT(with({{v.a, "c"}, {v.b}, {v.h}}), Contains("no input 'c'; it has a, b, h"));
  CHECK_THAT(with({{std::span(v.a).first(3)}, {v.b}, {v.h}}),
             Contains("input a: f32[4]: 4 elements are needed, the buffer has 3"));
  CHECK_THAT(with({{std::as_bytes(std::span(v.a)).first(15)}, {v.b}, {v.h}}),
             Contains("16 bytes are needed, the buffer has 15"));
  CHECK_THAT(with({{v.h}, {v.b}, {v.h}}),
             Contains("elements of 4 bytes are needed, the buffer has elements of 2"));
  CHECK_THAT(with({{std::span(static_cast<const float*>(nullptr), 4)}, {v.b}, {v.h}}),
             Contains("buffer is null"));
  std::byte raw[24];
  const size_t odd = reinterpret_cast<uintptr_t>(raw) % 2 ? 0 : 1;
  CHECK_THAT(with({{std::span<const std::byte>(raw + odd, 16)}, {v.b}, {v.h}}), Contains("not aligned"));
}

TEST_CASE("an output may not overlap anything, inputs may be shared") {
  Session session = Session::create(pair()).value();
  PairBuffers v;
  std::vector<float> shared(7);
  const OutputBuffer out[] = {{v.sum}, {v.bits}}, overlapping[] = {{std::span(shared).subspan(3)}, {v.bits}};
  const InputBuffer in[] = {{std::span(shared).first(4)}, {v.b}, {v.h}}, twice[] = {{v.a}, {v.a}, {v.h}};
  CHECK_THAT(why(session.run(in, overlapping)),
             Contains("output sum: f32[4] overlaps that of input a: f32[4]"));
  const OutputBuffer same[] = {{v.sum}, {std::as_writable_bytes(std::span(v.sum)).first(4)}};
  CHECK_THAT(why(session.run(in, same)), Contains("output bits: f16[2] overlaps that of output sum"));
  session.run(twice, out).value();
  CHECK(v.sum == std::vector<float>{2, 4, 6, 8});
}

TEST_CASE("with an open batch the buffers say how many images there are") {
  static cardinal_tensor input = fake_cardinal_model.inputs[0], output = fake_cardinal_model.outputs[0];
  input.open_batch = output.open_batch = 1;
  cardinal_model raw = fake_cardinal_model;
  raw.inputs = &input;
  raw.outputs = &output;
  const Model model = Model::from(raw).value();
  CHECK(describe(model.inputs()[0]) == "x: f32[N, 2, 3, 4] nchw");
  Session session = Session::create(model).value();
  constexpr size_t kImages = 3;
  std::vector<float> x(kImages * kFakeElements), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7);
  session.run(x, y).value();
  for (size_t image = 0; image < kImages; ++image) {
    const auto of_image = [&](const std::vector<float>& v) {
      return std::vector<float>(v.begin() + image * kFakeElements, v.begin() + (image + 1) * kFakeElements);
    };
    CHECK(of_image(y) == fake_result(of_image(x)));
  }
  CHECK_THAT(
      why(session.run(std::span(x).first(30), y)),
      Contains("input x: f32[N, 2, 3, 4] nchw: 24 elements for each image are needed, the buffer has 30"));
  CHECK_THAT(why(session.run(std::span(x).first(0), y)), Contains("the buffer has 0"));
  CHECK_THAT(why(session.run(std::span(x).first(48), y)),
             Contains("output y: f32[N, 24]: the buffer is of 3 images, the others of 2"));
  CHECK_THAT(why(session.run(x, std::span(x).subspan(48))), Contains("the others of 3"));
  std::vector<float> both(100);
  CHECK_THAT(why(session.run(std::span(both).first(48), std::span(both).subspan(40, 48))),
             Contains("overlaps"));
  input.dims[0] = 2;
  input.bytes *= 2;
  CHECK_THAT(Model::from(raw).error().message(), Contains("has an open batch and N other than 1"));
}

TEST_CASE("a session runs again after an error, when moved, and without checks") {
  const Model model = Model::from(fake_cardinal_model).value();
  Session first = Session::create(model).value();
  std::vector<float> x(kFakeElements, 2), y(kFakeElements), z(kFakeElements);
  CHECK_FALSE(first.run(std::span(x).first(5), y).ok());
  Session session = std::move(first);
  session.run(x, y).value();
  CHECK(y == fake_result(x));
  const void* inputs[] = {x.data()};
  void* outputs[] = {z.data()};
  session.run_raw(inputs, outputs);
  CHECK(z == y);
}

TEST_CASE("a session keeps its model alive") {
  auto model = std::make_unique<Model>(Model::from(fake_cardinal_model).value());
  Session session = Session::create(*model).value();
  model.reset();
  std::vector<float> x(kFakeElements, 1), y(kFakeElements);
  session.run(x, y).value();
  CHECK(session.model().name() == "fake");
  CHECK(y == fake_result(x));
}

TEST_CASE("the caller's parallel_for runs the steps") {
  int calls = 0;
  auto backwards = [&](int64_t units, int64_t, auto body) {
    for (int64_t i = units - 1; i >= 0; --i) body(i, i + 1);
    ++calls;
  };
  Session session =
      Session::create(Model::from(fake_cardinal_model).value(), cardinal::executor_for(backwards)).value();
  std::vector<float> x(kFakeElements, 3), y(kFakeElements);
  session.run(x, y).value();
  CHECK(calls == 2);
  CHECK(y == fake_result(x));
}

TEST_CASE("the workspace is aligned, also when it is large, and may be too large") {
  static uintptr_t seen;
  cardinal_model model = fake_cardinal_model;
  model.run = [](const cardinal_frame* frame, const cardinal_executor*) noexcept {
    seen = reinterpret_cast<uintptr_t>(frame->workspace);
  };
  std::vector<float> x(kFakeElements), y(kFakeElements);
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{2} << 20, (uint64_t{3} << 20) + 5}) {
    model.workspace_bytes = bytes;
    Session session = Session::create(Model::from(model).value()).value();
    session.run(x, y).value();
    CHECK(seen % (bytes < (2u << 20) ? CARDINAL_ALIGNMENT : 2u << 20) == 0);
  }
  model.workspace_bytes = uint64_t{1} << 46;
  const auto session = Session::create(Model::from(model).value());
  if (!session)
    CHECK_THAT(session.error().message(),
               Contains("70368744177664 bytes for the workspace of network 'fake'"));
}
