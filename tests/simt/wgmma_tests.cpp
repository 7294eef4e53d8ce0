// mbarriers, bulk copies and wgmma: a pipelined product of matrices as sm_90a is made for, and what is wrong
// with it once a line is missing.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <random>

#include "tests/simt/half.h"
#include "tests/simt/kernel_text.h"
#include "tests/simt/simt.h"

namespace cardinal::simt {
namespace {

constexpr uint32_t kRows = 64, kColumns = 32, kDepth = 256, kStep = 64, kSums = kColumns / 2;

// "PREFIX0SUFFIX, PREFIX1SUFFIX, ..."
std::string list(const std::string& prefix, size_t count, const std::string& separator = ", ") {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += fmt::format("{}{}{}", i ? separator : "", prefix, i);
  return text;
}

std::string repeated(const std::string& word, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += word;
  return text;
}

// "FROMi" for every i to "TOi", by an instruction on the sums.
std::string on_sums(const std::string& from, const std::string& to, const std::string& code,
                    const std::string& inputs) {
  std::string types = repeated("float, ", kSums), tied, arguments = inputs, text;
  types.resize(types.size() - 2);
  for (size_t i = 0; i < kSums; ++i) {
    tied += fmt::format("{},", i);
    arguments += fmt::format("{}float {}{}", arguments.empty() ? "" : ", ", from, i);
  }
  text = fmt::format("{}.all = call {{{}}} asm sideeffect \"{}\", \"{}{}{}~{{memory}}\"({}) convergent\n", to,
                     types, code, repeated("=f,", kSums), repeated("l,", inputs.empty() ? 0 : 2), tied,
                     arguments);
  for (size_t i = 0; i < kSums; ++i)
    text += fmt::format("{0}{1} = extractvalue {{{2}}} {0}.all, {1}\n", to, i, types);
  return text;
}

// A step's four products of depth 16.
std::string products() {
  const std::string code =
      fmt::format("wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 {{{}}}, $16, $17, 1, 1, 1, 0, 0;",
                  list("$", kSums));
  std::string text, from = "%sum";
  for (size_t k = 0; k < 4; ++k) {
    const std::string to = k == 3 ? "%next" : fmt::format("%part{}.", k);
    text += fmt::format("%a{0} = add i64 %a.stage, {1}\n%b{0} = add i64 %b.stage, {1}\n", k, 2 * k);
    text += on_sums(from, to, code, fmt::format("i64 %a{0}, i64 %b{0}", k));
    from = to;
  }
  return text;
}

// Warps 0 to 3 copy, warps 4 to 7 multiply; the matrices' steps go through two stages. Lines that tests take
// out or change end in their name.
std::string pipeline() {
  std::string phis, stores;
  for (size_t i = 0; i < kSums; ++i) {
    phis += fmt::format("%sum{0} = phi float [0.0, %multiply], [%next{0}, %released]\n", i);
    stores += fmt::format(
        "%at{0} = getelementptr float, ptr addrspace(1) %corner, i32 {1}\n"
        "store float %done{0}, ptr addrspace(1) %at{0}, align 4\n",
        i, i / 4 * 8 + i % 2 + i / 2 % 2 * 8 * kColumns);
  }
  std::string copies;
  for (size_t i = 0; i < 4; ++i)
    copies += fmt::format(
        "%from{0} = getelementptr i8, ptr addrspace(1) %row.of.a, i32 {1}\n"
        "%to{0} = getelementptr i8, ptr addrspace(3) %place, i32 {2}\n"
        "call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %to{0}, ptr addrspace(1) "
        "%from{0})\n",
        i, i * 16 * kDepth * 2, i * 16 * 128);
  std::string text = kernel_text("wgmma.ll");
  const auto put = [&text](const std::string& name, const std::string& what) {
    const std::string mark = "; {" + name + "}\n";
    const size_t at = text.find(mark);
    REQUIRE(at != std::string::npos);
    text.replace(at, mark.size(), what);
  };
  put("phis", phis);
  put("copies", copies);
  put("products", products());
  put("finish", on_sums("%sum.last", "%done", "wgmma.wait_group.sync.aligned 0;", ""));
  put("stores", stores);
  std::string last;
  for (size_t i = 0; i < kSums; ++i)
    last += fmt::format("%sum.last{0} = phi float [%next{0}, %released]\n", i);
  put("last", last);
  return text;
}

Module load(const std::string& text) {
  Result<Module> module = Module::load(text);
  if (!module) FAIL(module.error().list().front().message);
  return *std::move(module);
}

struct Product {
  Product() {
    std::mt19937 random(5);
    const auto fill = [&random](std::vector<float>& values, size_t count) {
      for (values.resize(count); float& value : values) value = static_cast<float>(random() % 15) - 7;
    };
    fill(a, kRows * kDepth);
    fill(b, kColumns * kDepth);
    for (uint32_t m = 0; m < kRows; ++m)
      for (uint32_t n = 0; n < kColumns; ++n) {
        float sum = 0;
        for (uint32_t k = 0; k < kDepth; ++k) sum += a[m * kDepth + k] * b[n * kDepth + k];
        expected.push_back(sum);
      }
    for (float value : a) a_bits.push_back(float_to_half(value));
    // B as a stage holds it: of each step a row of 128 bytes, its vectors of 8 in the swizzle's order.
    for (uint32_t step = 0; step < kDepth / kStep; ++step)
      for (uint32_t n = 0; n < kColumns; ++n)
        for (uint32_t i = 0; i < kStep; ++i)
          b_bits.push_back(float_to_half(b[n * kDepth + step * kStep + (i / 8 ^ n % 8) * 8 + i % 8]));
  }

  // What the kernel says is wrong, or "wrong result", or "".
  std::string run(const Module& module, Schedule schedule, uint64_t seed = 1) {
    std::vector<float> c(kRows * kColumns, std::numeric_limits<float>::quiet_NaN());
    alignas(16) static std::array<uint16_t, kRows * kDepth> a_aligned;
    alignas(16) static std::array<uint16_t, kColumns * kDepth> b_aligned;
    std::copy(a_bits.begin(), a_bits.end(), a_aligned.begin());
    std::copy(b_bits.begin(), b_bits.end(), b_aligned.begin());
    const Status done = module.run({.kernel = "product",
                                    .block = {256},
                                    .arguments = {{a_aligned.data(), sizeof a_aligned, false},
                                                  {b_aligned.data(), sizeof b_aligned, false},
                                                  {c.data(), c.size() * sizeof(float)}},
                                    .schedule = schedule,
                                    .seed = seed});
    if (!done) return done.error().list().front().message;
    return c == expected ? "" : "wrong result";
  }

  std::vector<float> a, b, expected;
  std::vector<uint16_t> a_bits, b_bits;
};

// That the fault is found whatever the schedule, and reported in those words.
void check_fault(const std::string& text, const std::string& words = "") {
  const Module module = load(text);
  Product product;
  for (Schedule schedule : kSchedules) {
    INFO(schedule_name(schedule));
    const std::string found = product.run(module, schedule);
    CHECK(found != "");
    CHECK_THAT(found, Catch::Contains(words));
  }
}

TEST_CASE("a product through mbarriers, bulk copies and wgmma is exact under every schedule") {
  const Module module = load(pipeline());
  Product product;
  for (Schedule schedule : kSchedules) CHECK(product.run(module, schedule) == "");
  for (uint64_t seed = 2; seed < 6; ++seed) CHECK(product.run(module, Schedule::random, seed) == "");
}

TEST_CASE("faults of a product by wgmma") {
  const std::string text = pipeline();
  SECTION("barriers that the asynchronous proxy need not see") {
    check_fault(without_line(text, "fence of barriers"), "used by a bulk copy with no fence.proxy.async");
  }
  SECTION("barriers that other threads need not see") {
    check_fault(without_line(text, "barrier"), "mbarrier");
  }
  SECTION("x of cp.async that wgmma need not see") {
    check_fault(without_line(text, "fence of copies"), "with no fence.proxy.async after thread");
  }
  SECTION("stages that are not waited for") {
    check_fault(with_line(text, "full", "br label %filled"), "wgmma");
  }
  SECTION("stages that are filled before they are empty") {
    check_fault(with_line(text, "empty", "br label %emptied"));
  }
  SECTION("stages that are said to be empty too early") {
    check_fault(with_line(text, "wait", "call void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 2)"),
                "is written while wgmma that reads it is in flight");
  }
  SECTION("stages that are never said to be empty") {
    check_fault(without_line(text, "release"), "deadlock");
  }
  SECTION("copies that report to nobody") { check_fault(without_line(text, "copies done"), "deadlock"); }
  SECTION("bytes that were not announced") {
    check_fault(
        with_line(text, "expect", "call i64 @llvm.nvvm.mbarrier.arrive.shared(ptr addrspace(3) %full)"),
        "deadlock");
  }
  SECTION("fewer arrivals than come") {
    check_fault(with_line(text, "arrivals",
                          "call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %full0, i32 100)"));
  }
  SECTION("sums that are not fenced") {
    check_fault(without_line(text, "fence of sums"), "with no wgmma.fence");
  }
  SECTION("products that no group has") { check_fault(without_line(text, "commit"), "in flight"); }
  SECTION("copies in flight at the end") {
    check_fault(without_line(text, "last copies"), "copies by cp.async in flight");
  }
  SECTION("a descriptor without the swizzle") {
    check_fault(with_line(text, "descriptor", "%fixed = add i64 274877972480, 0"), "wrong result");
  }
  SECTION("a descriptor with the wrong distance of 8 rows") {
    check_fault(with_line(text, "descriptor", "%fixed = add i64 4611686155866406912, 0"), "wrong result");
  }
  SECTION("a descriptor with bits that mean nothing") {
    check_fault(with_line(text, "descriptor", "%fixed = add i64 4611686293305360384, 16384"),
                "bits set that mean nothing");
  }
  SECTION("a bulk copy of an odd size") {
    check_fault(with_line(text, "bytes of b", "%bytes.b = add i32 %step, 4096"), "multiple of 16 bytes");
  }
  SECTION("sums read before they are complete") {
    check_fault(with_line(text, "store", "store float %sum.last0, ptr addrspace(1) %corner, align 4"),
                "wrong result");
  }
  SECTION("a warp of the warpgroup goes another way") {
    check_fault(with_line(text, "stage of a",
                          "%warp7 = icmp uge i32 %t, 224\n%skew = zext i1 %warp7 to i64\n"
                          "%further = mul i64 %skew, 64\n%a.moved = add i64 %a, %further\n"
                          "%a.stage = add i64 %a.moved, %stage.units"),
                "make different products");
  }
}

TEST_CASE("inline assembly is emulated only as it is spelled") {
  const std::string text = pipeline();
  const auto refused = [](const std::string& changed) {
    const Result<Module> module = Module::load(changed);
    return module ? "" : module.error().list().front().message;
  };
  const auto replaced = [&text](const std::string& from, const std::string& to) {
    std::string changed = text;
    const size_t at = changed.find(from);
    REQUIRE(at != std::string::npos);
    return changed.replace(at, from.size(), to);
  };
  CHECK_THAT(refused(replaced("1, 1, 1, 0, 0;", "1, 1, 1, 0, 1;")), Catch::Contains("inline assembly"));
  CHECK_THAT(refused(replaced("m64n32k16", "m64n40k16")), Catch::Contains("inline assembly"));
  CHECK_THAT(refused(replaced("{$0, $1", "{$1, $0")), Catch::Contains("inline assembly"));
  CHECK_THAT(refused(replaced("l,l,0,1", "l,l,1,0")), Catch::Contains("inline assembly"));
  CHECK_THAT(refused(replaced("asm sideeffect", "asm")), Catch::Contains("inline assembly"));
}

}  // namespace
}  // namespace cardinal::simt
