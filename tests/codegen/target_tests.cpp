// resolve_target: what it knows of CPUs, and how it refuses.
#include <cardinal/abi.h>
#include <cardinal/model.h>

#include <catch2/catch.hpp>

#include "codegen/codegen.h"

using namespace cardinal;

namespace {

Target resolved(const std::string& name) {
  Result<Target> target = resolve_target(name);
  if (!target) FAIL(target.error().render(SourceMap()));
  return *target;
}

std::string refusal(const std::string& name) {
  const Result<Target> target = resolve_target(name);
  REQUIRE(!target);
  return target.error().list()[0].message;
}

}  // namespace

TEST_CASE("instruction set levels decide vectors and required features") {
  const Target v3 = resolved("x86-64-v3");
  REQUIRE(v3.cpu == "x86-64-v3");
  REQUIRE(v3.vector_lanes == 8);
  REQUIRE(v3.vector_registers == 16);
  REQUIRE(v3.required_features == CARDINAL_FEATURE_AVX2_FMA);
  const Target v4 = resolved("x86-64-v4");
  REQUIRE(v4.vector_lanes == 16);
  REQUIRE(v4.vector_registers == 32);
  REQUIRE(v4.required_features == (CARDINAL_FEATURE_AVX2_FMA | CARDINAL_FEATURE_AVX512));
}

TEST_CASE("CPUs are known by their LLVM names") {
  REQUIRE(resolved("znver4").fma_per_cycle == 1);
  REQUIRE(resolved("znver4").vector_lanes == 16);
  REQUIRE(resolved("skylake-avx512").fma_per_cycle == 2);
  REQUIRE(resolved("haswell").vector_lanes == 8);
  REQUIRE(resolved("haswell").fma_latency == 5);
  // AVX-512 without the parts that kernels use counts as AVX2; a CPU missing from the table has its level's
  // facts.
  REQUIRE(resolved("znver3").vector_lanes == 8);
  REQUIRE(resolved("sierraforest").l2_bytes == resolved("x86-64-v3").l2_bytes);
}

TEST_CASE("aarch64 and the Arm cores that LLVM knows have NEON") {
  for (const std::string name :
       {"aarch64", "neoverse-n1", "neoverse-v1", "neoverse-v2", "cortex-a76", "apple-m1"}) {
    const Target target = resolved(name);
    INFO(name);
    CHECK(target.cpu == name);
    CHECK(target.triple == "aarch64-unknown-linux-gnu");
    CHECK(target.vector_lanes == 4);
    CHECK(target.vector_registers == 32);
    CHECK(target.required_features == CARDINAL_FEATURE_NEON);
  }
  CHECK(resolved("neoverse-v1").fma_per_cycle == 4);
  CHECK(resolved("thunderx2t99").l1_bytes == resolved("aarch64").l1_bytes);  // not in the table
}

TEST_CASE("x86-64 is a variant for each instruction set level") {
  const Result<std::vector<Target>> all = resolve_targets("x86-64"), one = resolve_targets("znver4");
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  REQUIRE((*all)[0] == resolved("x86-64-v3"));
  REQUIRE((*all)[1] == resolved("x86-64-v4"));
  REQUIRE(one);
  REQUIRE(*one == std::vector{resolved("znver4")});
  REQUIRE(!resolve_targets("ivybridge"));
}

TEST_CASE("native is what this CPU supports") {
  const uint32_t features = cpu_features();
  const Result<Target> target = resolve_target("native");
  REQUIRE(bool(target) == bool(features & CARDINAL_FEATURE_AVX2_FMA));
  if (!target) return;
  REQUIRE((target->required_features & ~features) == 0);
  REQUIRE(target->l1_bytes >= 16 << 10);
  REQUIRE(target->l2_bytes > target->l1_bytes);
}

TEST_CASE("targets that cannot be used are refused with what is missing") {
  REQUIRE(refusal("ivybridge").find("target 'ivybridge' lacks avx2, fma") == 0);
  REQUIRE(refusal("x86-64-v2").find("x86-64-v3 or later") != std::string::npos);
  REQUIRE(refusal("znver44").find("did you mean znver4") != std::string::npos);
  REQUIRE(refusal("natve").find("did you mean native?") != std::string::npos);
  REQUIRE(refusal("").find("unknown target ''") == 0);
  REQUIRE(refusal("arch64").find("did you mean aarch64?") != std::string::npos);
  REQUIRE(refusal("neoverse-n4").find("neoverse-n1") != std::string::npos);
  REQUIRE(refusal("generic").find("x86-64-v3 or later") != std::string::npos);
  REQUIRE(refusal("quantum-computer").find("use native, x86-64, x86-64-v3") != std::string::npos);
}
