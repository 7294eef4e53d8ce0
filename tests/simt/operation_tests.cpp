// Single operations against values worked out by hand from the PTX ISA.
#include <fmt/format.h>

#include <bit>
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <vector>

#include "tests/simt/simt.h"

namespace cardinal::simt {
namespace {

constexpr char kTriple[] = "target triple = \"nvptx64-nvidia-cuda\"\n";

Module load(const std::string& text) {
  Result<Module> module = Module::load(kTriple + text);
  if (!module) FAIL(module.error().list().front().message);
  return *std::move(module);
}

void run(const Module& module, Launch launch) {
  launch.kernel = "k";
  const Status done = module.run(launch);
  if (!done) FAIL(done.error().list().front().message);
}

// The result, an i32, of a call in one thread: "name(i32 1, float 2.0)".
uint32_t evaluate(const std::string& type, const std::string& call) {
  const std::string name = call.substr(0, call.find('('));
  std::string types, rest = call.substr(name.size() + 1);
  for (size_t at = 0; at < rest.size() && rest[0] != ')';) {
    types += (types.empty() ? "" : ", ") + rest.substr(at, rest.find(' ', at) - at);
    at = rest.find(", ", at);
    if (at == std::string::npos) break;
    at += 2;
  }
  const std::string result = type == "i32" ? "%r" : "%i";
  const std::string convert = type == "i32" ? ""
                              : type == "half" || type == "bfloat"
                                  ? fmt::format("%n = bitcast {} %r to i16\n%i = zext i16 %n to i32\n", type)
                                  : fmt::format("%i = bitcast {} %r to i32\n", type);
  const Module module =
      load(fmt::format("declare {0} @llvm.nvvm.{1}({2})\n"
                       "define ptx_kernel void @k(ptr addrspace(1) %y) {{\n%r = call {0} @llvm.nvvm.{3}\n{4}"
                       "store i32 {5}, ptr addrspace(1) %y\nret void }}",
                       type, name, types, call, convert, result));
  uint32_t y = 0;
  run(module, {.arguments = {{&y, 4}}});
  return y;
}

TEST_CASE("conversions") {
  // 1.0 is 3c00 in half and 3f80 in bfloat; -2.0 is c000 in both.
  CHECK(evaluate("<2 x half>", "ff2f16x2.rn(float 1.0, float -2.0)") == 0x3c00c000);
  CHECK(evaluate("<2 x half>", "ff2f16x2.rn.relu(float 1.0, float -2.0)") == 0x3c000000);
  CHECK(evaluate("<2 x bfloat>", "ff2bf16x2.rn(float 1.0, float -2.0)") == 0x3f80c000);
  CHECK(evaluate("<2 x bfloat>", "ff2bf16x2.rn.relu(float -1.0, float 2.0)") == 0x00004000);
  // Half way between 1 and the next bfloat, 1 + 2^-7: to even; a little more: up.
  CHECK(evaluate("bfloat", "f2bf16.rn(float 0x3FF0100000000000)") == 0x3f80);
  CHECK(evaluate("bfloat", "f2bf16.rn(float 0x3FF0102000000000)") == 0x3f81);
  // Half way between 1 and the next tf32, 1 + 2^-10: away from zero.
  CHECK(evaluate("i32", "f2tf32.rna(float 0x3FF0020000000000)") == std::bit_cast<uint32_t>(1 + 0x1p-10f));
}

TEST_CASE("arithmetic") {
  CHECK(evaluate("i32", "prmt(i32 50462976, i32 117835012, i32 30258)") == 0x07060302);
  CHECK(evaluate("i32", "prmt(i32 32768, i32 0, i32 9)") == 0x000000ff);
  CHECK(evaluate("float", "ex2.approx.ftz.f(float 3.0)") == std::bit_cast<uint32_t>(8.0f));
  CHECK(evaluate("float", "lg2.approx.f(float 8.0)") == std::bit_cast<uint32_t>(3.0f));
  CHECK(evaluate("float", "rsqrt.approx.f(float 4.0)") == std::bit_cast<uint32_t>(0.5f));
  CHECK(evaluate("float", "rcp.approx.ftz.f(float 4.0)") == std::bit_cast<uint32_t>(0.25f));
  CHECK(evaluate("float", "sqrt.approx.f(float 9.0)") == std::bit_cast<uint32_t>(3.0f));
  CHECK(evaluate("float", "div.approx.f(float 3.0, float 2.0)") == std::bit_cast<uint32_t>(1.5f));
  CHECK(evaluate("float", "fmax.f(float 3.0, float 2.0)") == std::bit_cast<uint32_t>(3.0f));
  CHECK(evaluate("float", "fmin.f(float 3.0, float 2.0)") == std::bit_cast<uint32_t>(2.0f));
  CHECK(evaluate("float", "fma.rn.f(float 3.0, float 2.0, float 1.0)") == std::bit_cast<uint32_t>(7.0f));
}

// What each lane of a warp gets from a call whose arguments may name %lane.
std::vector<uint32_t> evaluate_warp(const std::string& declaration, const std::string& body) {
  const Module module = load(fmt::format(
      "declare i32 @llvm.nvvm.read.ptx.sreg.laneid()\n{}\n"
      "define ptx_kernel void @k(ptr addrspace(1) %y) {{\n%lane = call i32 "
      "@llvm.nvvm.read.ptx.sreg.laneid()\n"
      "{}\n%p = getelementptr i32, ptr addrspace(1) %y, i32 %lane\nstore i32 %r, ptr addrspace(1) %p\n"
      "ret void }}",
      declaration, body));
  std::vector<uint32_t> y(32);
  run(module, {.block = {32}, .arguments = {{y.data(), 128}}});
  return y;
}

TEST_CASE("shuffles stay within their segment") {
  const auto shuffle = [](const std::string& kind, int b, int control) {
    return evaluate_warp(
        fmt::format("declare i32 @llvm.nvvm.shfl.sync.{}.i32(i32, i32, i32, i32)", kind),
        fmt::format("%r = call i32 @llvm.nvvm.shfl.sync.{}.i32(i32 -1, i32 %lane, i32 {}, i32 {})", kind, b,
                    control));
  };
  const auto up = shuffle("up", 1, 0), down = shuffle("down", 2, 31), index = shuffle("idx", 5, 31);
  CHECK((up[0] == 0 && up[1] == 0 && up[31] == 30));
  CHECK((down[0] == 2 && down[29] == 31 && down[30] == 30));
  CHECK((index[0] == 5 && index[31] == 5));
  // Segments of 8 lanes: the mask 24 in bits 8 to 12.
  const auto narrow = shuffle("idx", 1, 24 << 8 | 31), last = shuffle("down", 1, 24 << 8 | 31);
  CHECK((narrow[0] == 1 && narrow[9] == 9 && narrow[31] == 25));
  CHECK((last[6] == 7 && last[7] == 7 && last[8] == 9));
}

TEST_CASE("votes and reductions") {
  const auto vote = evaluate_warp(
      "declare i32 @llvm.nvvm.vote.ballot.sync(i32, i1)",
      "%odd = trunc i32 %lane to i1\n%r = call i32 @llvm.nvvm.vote.ballot.sync(i32 -1, i1 %odd)");
  CHECK((vote[0] == 0xaaaaaaaa && vote[31] == 0xaaaaaaaa));
  for (const auto& [kind, expected] :
       std::map<std::string, bool>{{"all", false}, {"any", true}, {"uni", false}}) {
    const auto got = evaluate_warp(
        fmt::format("declare i1 @llvm.nvvm.vote.{}.sync(i32, i1)", kind),
        fmt::format("%odd = trunc i32 %lane to i1\n%v = call i1 @llvm.nvvm.vote.{}.sync(i32 -1, i1 %odd)\n"
                    "%r = zext i1 %v to i32",
                    kind));
    INFO(kind);
    CHECK((got[0] == 1) == expected);
  }
  const std::map<std::string, uint32_t> reductions = {
      {"add", 496 - 32}, {"min", 0xffffffff}, {"max", 30}, {"umin", 0}, {"umax", 0xffffffff}};
  for (const auto& [kind, expected] : reductions) {
    INFO(kind);
    CHECK(evaluate_warp(fmt::format("declare i32 @llvm.nvvm.redux.sync.{}(i32, i32)", kind),
                        fmt::format("%v = sub i32 %lane, 1\n"
                                    "%r = call i32 @llvm.nvvm.redux.sync.{}(i32 %v, i32 -1)",
                                    kind))[3] == expected);
  }
}

// Writes an 8 x 8 matrix of 16-bit elements 8 r + c to shared memory by stmatrix of a lane's pair and reads
// it back by ldmatrix, each transposed or not.
TEST_CASE("ldmatrix and stmatrix are inverse, and trans transposes") {
  for (const char* store : {"", ".trans"})
    for (const char* load_kind : {"", ".trans"}) {
      const auto got = evaluate_warp(
          fmt::format(
              "@m = internal addrspace(3) global [128 x i8] poison, align 16\n"
              "declare void @llvm.nvvm.stmatrix.sync.aligned.m8n8.x1{}.b16.p3(ptr addrspace(3), i32)\n"
              "declare i32 @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x1{}.b16.p3(ptr addrspace(3))\n"
              "declare void @llvm.nvvm.bar.warp.sync(i32)",
              store, load_kind),
          fmt::format(
              "%low = mul i32 %lane, 2\n%high = add i32 %low, 1\n%up = shl i32 %high, 16\n"
              "%v = or i32 %low, %up\n%row = and i32 %lane, 7\n%line = mul i32 %row, 16\n"
              "%p.row = getelementptr i8, ptr addrspace(3) @m, i32 %line\n"
              "call void @llvm.nvvm.stmatrix.sync.aligned.m8n8.x1{}.b16.p3(ptr addrspace(3) %p.row, i32 %v)\n"
              "call void @llvm.nvvm.bar.warp.sync(i32 -1)\n"
              "%r = call i32 @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x1{}.b16.p3(ptr addrspace(3) %p.row)",
              store, load_kind));
      const bool transposed = std::strcmp(store, load_kind) != 0;
      for (uint32_t lane = 0; lane < 32; ++lane) {
        const uint32_t row = lane / 4, column = lane % 4 * 2;
        const uint32_t low = transposed ? column * 8 + row : row * 8 + column;
        const uint32_t high = transposed ? (column + 1) * 8 + row : row * 8 + column + 1;
        CHECK(got[lane] == (low | high << 16));
      }
    }
}

TEST_CASE("a copy of fewer bytes fills up with zeros") {
  const Module module = load(R"(
    @line = internal addrspace(3) global [16 x i8] poison, align 16
    declare void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3), ptr addrspace(1), i32)
    declare void @llvm.nvvm.cp.async.wait.all()
    define ptx_kernel void @k(ptr addrspace(1) %x, ptr addrspace(1) %y) {
      call void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3) @line, ptr addrspace(1) %x, i32 6)
      call void @llvm.nvvm.cp.async.wait.all()
      %v = load <4 x i32>, ptr addrspace(3) @line, align 16
      store <4 x i32> %v, ptr addrspace(1) %y, align 16
      ret void
    })");
  alignas(16) uint16_t x[3] = {1, 2, 3};
  alignas(16) uint16_t y[8];
  run(module, {.arguments = {{x, sizeof x, false}, {y, sizeof y}}});
  CHECK(std::vector<uint16_t>(y, y + 8) == std::vector<uint16_t>{1, 2, 3, 0, 0, 0, 0, 0});
}

TEST_CASE("indices of threads and CTAs") {
  const Module module = load(R"(
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.y()
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.z()
    declare i32 @llvm.nvvm.read.ptx.sreg.ntid.y()
    declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.z()
    declare i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
    define ptx_kernel void @k(ptr addrspace(1) %y) {
      %ty = call i32 @llvm.nvvm.read.ptx.sreg.tid.y()
      %tz = call i32 @llvm.nvvm.read.ptx.sreg.tid.z()
      %ny = call i32 @llvm.nvvm.read.ptx.sreg.ntid.y()
      %cz = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.z()
      %nx = call i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
      %a = mul i32 %tz, %ny
      %b = add i32 %a, %ty
      %c = mul i32 %cz, 6
      %i = add i32 %b, %c
      %p = getelementptr i32, ptr addrspace(1) %y, i32 %i
      store i32 %nx, ptr addrspace(1) %p
      ret void
    })");
  std::vector<uint32_t> y(12);
  run(module, {.grid = {1, 1, 2}, .block = {1, 3, 2}, .arguments = {{y.data(), 48}}});
  CHECK(y == std::vector<uint32_t>(12, 1));
}

TEST_CASE("a named barrier waits for as many threads as it says") {
  // Warps 1 and 2 exchange a value through barrier 1; warp 0 does not take part.
  const Module module = load(R"(
    @value = internal addrspace(3) global i32 poison, align 4
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    declare void @llvm.nvvm.barrier.cta.sync.aligned.count(i32, i32)
    define ptx_kernel void @k(ptr addrspace(1) %y) {
    entry:
      %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %idle = icmp ult i32 %t, 32
      br i1 %idle, label %end, label %work
    work:
      %writes = icmp eq i32 %t, 32
      br i1 %writes, label %write, label %meet
    write:
      store i32 77, ptr addrspace(3) @value, align 4
      br label %meet
    meet:
      call void @llvm.nvvm.barrier.cta.sync.aligned.count(i32 1, i32 64)
      %reads = icmp eq i32 %t, 64
      br i1 %reads, label %read, label %end
    read:
      %v = load i32, ptr addrspace(3) @value, align 4
      store i32 %v, ptr addrspace(1) %y, align 4
      br label %end
    end:
      ret void
    })");
  for (Schedule schedule : kSchedules) {
    uint32_t y = 0;
    run(module, {.block = {96}, .arguments = {{&y, 4}}, .schedule = schedule});
    CHECK(y == 77);
  }
}

}  // namespace
}  // namespace cardinal::simt
