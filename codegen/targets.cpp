// What is known about CPUs: instruction sets from LLVM's tables, execution widths and caches from the table
// below.
#include <cardinal/abi.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <memory>
#include <span>

#include <llvm/ADT/StringMap.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/TargetParser/Host.h>

#include "codegen/codegen.h"
#include "codegen/llvm_target.h"
#include "codegen/nvptx/target.h"

namespace cardinal {

namespace {

constexpr std::array kAvx2Features = {"avx2", "fma", "f16c", "bmi", "bmi2"};
constexpr std::array kAvx512Features = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"};

// Execution resources of a microarchitecture, at its widest vectors: vector FMAs and loads a cycle, FMA
// latency in cycles, data cache sizes in KiB, and the clock under vector load. From the vendors' optimisation
// manuals and uops.info; only znver4's were measured here.
struct Microarchitecture {
  std::string_view cpu;
  int fma_per_cycle, loads_per_cycle, fma_latency;
  int l1_kib, l2_kib;
  double ghz;
};

constexpr std::array kMicroarchitectures = {
    Microarchitecture{"x86-64-v3", 2, 2, 4, 32, 512, 3.5},
    Microarchitecture{"x86-64-v4", 2, 2, 4, 32, 1024, 3.0},
    Microarchitecture{"haswell", 2, 2, 5, 32, 256, 3.5},
    Microarchitecture{"broadwell", 2, 2, 5, 32, 256, 3.5},
    Microarchitecture{"skylake", 2, 2, 4, 32, 256, 3.8},
    Microarchitecture{"skylake-avx512", 2, 2, 4, 32, 1024, 2.8},
    Microarchitecture{"cascadelake", 2, 2, 4, 32, 1024, 2.8},
    Microarchitecture{"cooperlake", 2, 2, 4, 32, 1024, 2.8},
    Microarchitecture{"icelake-client", 1, 2, 4, 48, 512, 3.5},
    Microarchitecture{"icelake-server", 2, 2, 4, 48, 1280, 3.0},
    Microarchitecture{"tigerlake", 1, 2, 4, 48, 1280, 4.0},
    Microarchitecture{"rocketlake", 1, 2, 4, 48, 512, 4.5},
    Microarchitecture{"alderlake", 2, 2, 4, 48, 1280, 4.5},
    Microarchitecture{"raptorlake", 2, 2, 4, 48, 2048, 5.0},
    Microarchitecture{"sapphirerapids", 2, 2, 4, 48, 2048, 3.0},
    Microarchitecture{"emeraldrapids", 2, 2, 4, 48, 2048, 3.0},
    Microarchitecture{"graniterapids", 2, 2, 4, 48, 2048, 3.0},
    Microarchitecture{"bdver4", 1, 2, 5, 16, 1024, 3.5},
    Microarchitecture{"znver1", 1, 1, 5, 32, 512, 3.5},
    Microarchitecture{"znver2", 2, 2, 5, 32, 512, 3.5},
    Microarchitecture{"znver3", 2, 2, 4, 32, 512, 3.6},
    Microarchitecture{"znver4", 1, 1, 4, 32, 1024, 3.7},
    Microarchitecture{"znver5", 2, 2, 4, 48, 1024, 4.0},
};

const Microarchitecture& microarchitecture(std::string_view cpu, bool avx512) {
  const auto of = [](std::string_view name) {
    return std::find_if(kMicroarchitectures.begin(), kMicroarchitectures.end(),
                        [&](const Microarchitecture& m) { return m.cpu == name; });
  };
  const auto known = of(cpu);
  return known != kMicroarchitectures.end() ? *known : *of(avx512 ? "x86-64-v4" : "x86-64-v3");
}

std::unique_ptr<llvm::MCSubtargetInfo> subtarget(std::string_view cpu) {
  const llvm::Triple triple(Target{}.triple);
  return std::unique_ptr<llvm::MCSubtargetInfo>(
      x86_target()->createMCSubtargetInfo(triple, llvm::StringRef(cpu.data(), cpu.size()), ""));
}

// The features of `wanted` that `has` denies.
template <class Has>
std::vector<std::string> missing_features(std::span<const char* const> wanted, const Has& has) {
  std::vector<std::string> missing;
  for (const char* feature : wanted)
    if (!has(feature)) missing.push_back(feature);
  return missing;
}

// The instruction set that every CPU `has` describes supports in full, or why there is none.
template <class Has>
Result<Target> target_of(std::string cpu, const std::string& called, const Has& has) {
  const std::vector<std::string> missing = missing_features(kAvx2Features, has);
  if (!missing.empty())
    return Diagnostics(fmt::format("{} lacks {}; generated code needs AVX2 and FMA: x86-64-v3 or later",
                                   called, fmt::join(missing, ", ")));
  const bool avx512 = missing_features(kAvx512Features, has).empty();
  const Microarchitecture& facts = microarchitecture(cpu, avx512);
  Target target;
  target.cpu = std::move(cpu);
  target.vector_lanes = avx512 ? 16 : 8;
  target.vector_registers = avx512 ? 32 : 16;
  target.fma_per_cycle = facts.fma_per_cycle;
  target.loads_per_cycle = facts.loads_per_cycle;
  target.fma_latency = facts.fma_latency;
  target.l1_bytes = int64_t{facts.l1_kib} << 10;
  target.l2_bytes = int64_t{facts.l2_kib} << 10;
  target.ghz = facts.ghz;
  target.required_features = CARDINAL_FEATURE_AVX2_FMA | (avx512 ? uint32_t{CARDINAL_FEATURE_AVX512} : 0);
  return target;
}

// This machine, by what its CPU reports rather than by its name alone: a hypervisor may hide instruction
// sets.
Result<Target> native_target() {
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  std::string cpu = llvm::sys::getHostCPUName().str();
  const std::string called = fmt::format("this machine's CPU ({})", cpu);
  Result<Target> target =
      target_of(std::move(cpu), called, [&](const char* feature) { return features.lookup(feature); });
  if (!target) return target;
  if (const long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE); l1 > 0) target->l1_bytes = l1;
  if (const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE); l2 > 0) target->l2_bytes = l2;
  return target;
}

bool has_feature(const llvm::MCSubtargetInfo& info, const std::string& feature) {
  return info.checkFeatures("+" + feature);
}

// The closest names among the CPUs that can be targets.
std::vector<std::string> similar_cpus(const std::string& name) {
  std::vector<std::pair<unsigned, std::string>> ranked;
  const auto rank = [&](llvm::StringRef candidate) {
    const unsigned distance = candidate.edit_distance(name);
    if (distance <= std::max<size_t>(1, name.size() / 3)) ranked.emplace_back(distance, candidate.str());
  };
  rank("native");
  for (const llvm::SubtargetSubTypeKV& cpu : subtarget("")->getAllProcessorDescriptions()) {
    const auto info = subtarget(cpu.Key);
    if (has_feature(*info, "avx2") && has_feature(*info, "fma")) rank(cpu.Key);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> names;
  for (size_t i = 0; i < ranked.size() && i < 3; ++i) names.push_back(ranked[i].second);
  return names;
}

}  // namespace

const llvm::Target* x86_target() {
  static const llvm::Target* const target = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();  // for inline assembly
    std::string error;
    const llvm::Target* found = llvm::TargetRegistry::lookupTarget(llvm::Triple(Target{}.triple), error);
    assert(found && "LLVM is built with the X86 target");
    return found;
  }();
  return target;
}

std::string instruction_set(const Target& target) {
  if (target.required_features == 0) return "x86-64";
  return target.required_features & CARDINAL_FEATURE_AVX512 ? "x86-64-v4" : "x86-64-v3";
}

Result<Target> resolve_target(const std::string& name) {
  if (name == "native") return native_target();
  if (names_gpu(name)) return resolve_gpu_target(name);
  if (name.empty() || !subtarget("")->isCPUStringValid(name)) {
    const std::vector<std::string> similar = similar_cpus(name);
    const std::string hint = similar.empty()
                                 ? "use native, x86-64, x86-64-v3, x86-64-v4 or an LLVM name such as znver4"
                                 : fmt::format("did you mean {}?", fmt::join(similar, ", "));
    return Diagnostics(fmt::format("unknown target '{}'; {}", name, hint));
  }
  const auto info = subtarget(name);
  return target_of(name, fmt::format("target '{}'", name),
                   [&](const char* feature) { return has_feature(*info, feature); });
}

Result<std::vector<Target>> resolve_targets(const std::string& name) {
  const bool all = name == "x86-64";
  std::vector<Target> targets;
  for (const std::string& each :
       all ? std::vector<std::string>{"x86-64-v3", "x86-64-v4"} : std::vector{name}) {
    Result<Target> target = resolve_target(each);
    if (!target) return target.take_error();
    targets.push_back(*std::move(target));
  }
  return targets;
}

}  // namespace cardinal
