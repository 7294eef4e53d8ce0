// The emulator finds what is wrong with a kernel, and nothing in a kernel that is right.
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/simt/half.h"
#include "tests/simt/kernel_text.h"
#include "tests/simt/simt.h"

namespace cardinal::simt {
namespace {

constexpr uint32_t kRowBytes = 128, kM = 64, kN = 16;

std::string message(const Status& status) { return status ? "" : status.error().list().front().message; }

Module load(const std::string& text) {
  Result<Module> module = Module::load(text);
  if (!module) FAIL(module.error().list().front().message);
  return *std::move(module);
}

// A product of matrices of small integers, which every format holds exactly.
struct Product {
  explicit Product(const std::string& format) : half(format != "tf32") {
    k = kRowBytes / (half ? 2 : 4);
    std::mt19937 random(7);
    for (auto* values : {&a, &b}) {
      values->resize((values == &a ? kM : kN) * k);
      for (float& value : *values) value = static_cast<float>(static_cast<int>(random() % 15) - 7);
    }
    for (uint32_t m = 0; m < kM; ++m)
      for (uint32_t n = 0; n < kN; ++n) {
        float sum = 0;
        for (uint32_t i = 0; i < k; ++i) sum += a[m * k + i] * b[n * k + i];
        expected.push_back(sum);
      }
    a_bytes = encode(a, format);
    b_bytes = encode(b, format);
  }

  static std::vector<unsigned char> encode(const std::vector<float>& values, const std::string& format) {
    std::vector<unsigned char> bytes(values.size() * (format == "tf32" ? 4 : 2));
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t bits = format == "f16" ? float_to_half(values[i]) : float_to_bfloat(values[i]);
      if (format == "tf32")
        std::memcpy(&bytes[4 * i], &values[i], 4);
      else
        std::memcpy(&bytes[2 * i], &bits, 2);
    }
    return bytes;
  }

  // What the kernel says is wrong, or "wrong result", or "".
  std::string run(const Module& module, Schedule schedule, uint64_t seed = 1) {
    std::vector<float> c(kM * kN, std::numeric_limits<float>::quiet_NaN());
    const Status done = module.run({.kernel = "gemm",
                                    .grid = {kM / 32, kN / 8},
                                    .block = {64},
                                    .arguments = {{a_bytes.data(), a_bytes.size(), false},
                                                  {b_bytes.data(), b_bytes.size(), false},
                                                  {c.data(), c.size() * sizeof(float)}},
                                    .schedule = schedule,
                                    .seed = seed});
    if (!done) return message(done);
    return c == expected ? "" : "wrong result";
  }

  bool half;
  uint32_t k;
  std::vector<float> a, b, expected;
  std::vector<unsigned char> a_bytes, b_bytes;
};

std::string gemm_text(const std::string& format) {
  return kernel_text("gemm.ll") + kernel_text("multiply_" + format + ".ll");
}

// That the fault is reported in those words whatever the schedule.
void check_gemm_fault(const std::string& text, const std::string& words) {
  const Module module = load(text);
  Product product("f16");
  for (Schedule schedule : kSchedules) {
    INFO(schedule_name(schedule));
    CHECK_THAT(product.run(module, schedule), Catch::Contains(words) && Catch::Contains("kernel 'gemm'"));
  }
}

struct Reduction {
  std::string run(const std::string& text, Schedule schedule, uint32_t shared_bytes = 512,
                  uint32_t ctas = 3) const {
    std::vector<float> x(3 * 128), y(3, std::numeric_limits<float>::quiet_NaN()), expected(3);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<float>(i % 17);
      expected[i / 128] += x[i];
    }
    const Module module = load(text);
    const Status done = module.run({.kernel = "reduce",
                                    .grid = {ctas},
                                    .block = {128},
                                    .shared_bytes = shared_bytes,
                                    .arguments = {{x.data(), x.size() * 4, false}, {y.data(), y.size() * 4}},
                                    .schedule = schedule});
    if (!done) return message(done);
    return y == expected ? "" : "wrong result";
  }
};

TEST_CASE("a matrix product through cp.async, ldmatrix and mma is exact under every schedule") {
  for (const char* format : {"f16", "bf16", "tf32"}) {
    INFO(format);
    const Module module = load(gemm_text(format));
    Product product(format);
    for (Schedule schedule : kSchedules) CHECK(product.run(module, schedule) == "");
    for (uint64_t seed = 2; seed < 6; ++seed) CHECK(product.run(module, Schedule::random, seed) == "");
  }
}

TEST_CASE("faults of a pipelined matrix product") {
  const std::string text = gemm_text("f16");
  SECTION("no barrier between the copies' arrival and their use") {
    check_gemm_fault(without_line(text, "barrier before"), "no barrier after thread");
  }
  SECTION("no barrier between the last use of a stage and the copy into it") {
    check_gemm_fault(without_line(text, "barrier after"), "no barrier after thread");
  }
  SECTION("copies that are not waited for") {
    check_gemm_fault(without_line(text, "wait"), "while a copy to it by thread");
  }
  SECTION("one group too many left in flight") {
    check_gemm_fault(with_line(text, "wait", "call void @llvm.nvvm.cp.async.wait.group(i32 2)"),
                     "while a copy to it by thread");
  }
  SECTION("the last copies are never waited for") {
    check_gemm_fault(without_line(text, "last wait"), "while a copy to it by thread");
  }
  SECTION("rows beyond the end of A") {
    check_gemm_fault(with_line(text, "row of A", "%a.line = mul i32 %a.row, 160"),
                     "global memory out of bounds");
  }
  SECTION("a store beyond the end of C") {
    check_gemm_fault(
        with_line(text, "8 rows on", "%lower = getelementptr float, ptr addrspace(1) %upper, i32 16777216"),
        "writes 8 bytes of global memory out of bounds");
  }
  SECTION("a store to an input") {
    check_gemm_fault(
        with_line(text, "8 rows on", "%lower = getelementptr float, ptr addrspace(1) %a, i32 %q2"),
        "read-only");
  }
  SECTION("an address that is not aligned") {
    check_gemm_fault(
        with_line(text, "8 rows on", "%lower = getelementptr float, ptr addrspace(1) %upper, i32 127"),
        "not aligned to 8 bytes");
  }
}

TEST_CASE("copies in flight when a thread ends") {
  const std::string text = R"(
    target triple = "nvptx64-nvidia-cuda"
    @line = internal addrspace(3) global [16 x i8] poison, align 16
    declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
    define ptx_kernel void @leave(ptr addrspace(1) %x) {
      call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) @line, ptr addrspace(1) %x)
      ret void
    })";
  alignas(16) char x[16] = {};
  const Status done =
      load(text).run({.kernel = "leave", .grid = {}, .block = {}, .arguments = {{x, sizeof x}}});
  CHECK_THAT(message(done), Catch::Contains("ends with 1 copies by cp.async in flight"));
}

TEST_CASE("faults of a reduction in shared memory") {
  const std::string text = kernel_text("reduce.ll");
  const Reduction reduction;
  for (Schedule schedule : kSchedules) {
    INFO(schedule_name(schedule));
    CHECK(reduction.run(text, schedule) == "");
    CHECK_THAT(reduction.run(without_line(text, "barrier"), schedule), Catch::Contains("race"));
    CHECK_THAT(reduction.run(with_line(text, "divergent barrier",
                                       "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)"),
                             schedule),
               Catch::Contains("diverges") || Catch::Contains("deadlock"));
    CHECK_THAT(reduction.run(text, schedule, 508), Catch::Contains("of shared memory are out of bounds"));
    CHECK_THAT(reduction.run(text, schedule, 512, 4), Catch::Contains("reads 4 bytes of global memory"));
    CHECK_THAT(reduction.run(with_line(text, "other",
                                       "%other = getelementptr float, ptr addrspace(3) @sums, i32 %half"),
                             schedule),
               Catch::Contains("wrong result") || Catch::Contains("race"));
  }
}

TEST_CASE("faults of a butterfly") {
  const std::string text = kernel_text("shuffle.ll");
  const auto run = [](const std::string& kernel, Schedule schedule) -> std::string {
    std::vector<float> x(64), y(64), expected(64);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * i % 31);
    for (size_t i = 0; i < x.size(); ++i) expected[i / 32 * 32] += x[i];
    for (size_t i = 0; i < x.size(); ++i) expected[i] = expected[i / 32 * 32];
    const Status done = load(kernel).run({.kernel = "shuffle",
                                          .grid = {},
                                          .block = {64},
                                          .arguments = {{x.data(), 256, false}, {y.data(), 256}},
                                          .schedule = schedule});
    if (!done) return message(done);
    return y == expected ? "" : "wrong result";
  };
  for (Schedule schedule : kSchedules) {
    INFO(schedule_name(schedule));
    CHECK(run(text, schedule) == "");
    CHECK_THAT(run(with_line(text, "some lanes",
                             "%lane = and i32 %t, 31\n%few = icmp ult i32 %lane, 16\n"
                             "br i1 %few, label %together, label %end.early\nend.early:\nret void"),
                   schedule),
               Catch::Contains("the warp diverges: lanes 0-15 wait"));
    CHECK_THAT(run(with_line(text, "shuffle",
                             "%other = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 65535, float %sum, "
                             "i32 %distance, i32 31)"),
                   schedule),
               Catch::Contains("lane that does not take part"));
  }
}

// What the race detector does not see, races in global memory, shows in the order of the warps.
TEST_CASE("schedules run the warps in different orders") {
  const Module module = load(R"(
    target triple = "nvptx64-nvidia-cuda"
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    declare void @llvm.nvvm.bar.warp.sync(i32)
    define ptx_kernel void @last(ptr addrspace(1) %first, ptr addrspace(1) %last) {
    entry:
      %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %warp = lshr i32 %t, 5
      %before = load i32, ptr addrspace(1) %first, align 4
      %free = icmp eq i32 %before, -1
      %kept = select i1 %free, i32 %warp, i32 %before
      store i32 %kept, ptr addrspace(1) %first, align 4
      call void @llvm.nvvm.bar.warp.sync(i32 -1)
      store i32 %warp, ptr addrspace(1) %last, align 4
      ret void
    })");
  const auto run = [&](Schedule schedule, uint64_t seed) {
    std::pair<int32_t, int32_t> order = {-1, -1};
    const Status done = module.run({.kernel = "last",
                                    .block = {128},
                                    .arguments = {{&order.first, 4}, {&order.second, 4}},
                                    .schedule = schedule,
                                    .seed = seed});
    CHECK(message(done) == "");
    return order;
  };
  CHECK(run(Schedule::forward, 0) == std::pair(0, 3));
  CHECK(run(Schedule::first_warp_ahead, 0) == std::pair(0, 3));
  CHECK(run(Schedule::last_warp_ahead, 0) == std::pair(3, 0));
  std::set<std::pair<int32_t, int32_t>> random;
  for (uint64_t seed = 0; seed < 16; ++seed) random.insert(run(Schedule::random, seed));
  CHECK(random.size() > 4);
}

TEST_CASE("kernels that cannot be emulated are refused by name") {
  const auto refusal = [](const std::string& body) {
    const Result<Module> module = Module::load("target triple = \"nvptx64-nvidia-cuda\"\n" + body);
    return module ? "" : module.error().list().front().message;
  };
  CHECK_THAT(refusal("define ptx_kernel void @k(ptr %x) { unknown }"), Catch::Contains("no valid LLVM IR"));
  CHECK_THAT(
      refusal("declare i32 @llvm.nvvm.read.ptx.sreg.clock()\n"
              "define ptx_kernel void @k(ptr %x) { %c = call i32 @llvm.nvvm.read.ptx.sreg.clock()\n"
              "store i32 %c, ptr %x\nret void }"),
      Catch::Contains("kernel 'k'") && Catch::Contains("sreg.clock()") && Catch::Contains("is not emulated"));
  CHECK_THAT(refusal("define ptx_kernel void @k(ptr %x) { call void asm sideeffect \"bar.sync 0;\", \"\"()\n"
                     "ret void }"),
             Catch::Contains("inline assembly"));
  CHECK_THAT(refusal("declare void @f()\ndefine ptx_kernel void @k(ptr %x) { call void @f()\nret void }"),
             Catch::Contains("leaves the module"));
  CHECK_THAT(refusal("define ptx_kernel void @k(i32 %x) { ret void }"), Catch::Contains("is no pointer"));
}

TEST_CASE("launches that do not fit the kernel are refused") {
  const Module module = load(kernel_text("reduce.ll"));
  CHECK(module.kernels() == std::vector<std::string>{"reduce"});
  char x[4];
  const std::vector<Argument> two = {{x, 4}, {x, 4}};
  CHECK_THAT(message(module.run({.kernel = "other"})), Catch::Contains("no kernel 'other'"));
  CHECK_THAT(message(module.run({.kernel = "reduce", .block = {128}})), Catch::Contains("takes 2 pointers"));
  CHECK_THAT(message(module.run({.kernel = "reduce", .block = {64}, .arguments = two})),
             Catch::Contains("needs CTAs of 128 threads"));
  CHECK_THAT(message(module.run({.kernel = "reduce", .block = {2048}, .arguments = two})),
             Catch::Contains("2048 threads"));
  CHECK_THAT(
      message(module.run({.kernel = "reduce", .block = {128}, .shared_bytes = 1 << 20, .arguments = two})),
      Catch::Contains("shared memory"));
}

}  // namespace
}  // namespace cardinal::simt
