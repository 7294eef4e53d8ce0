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

// On AArch64 every CPU that runs Linux has Advanced SIMD (NEON), so there is nothing to ask for.
constexpr std::array kAvx2Features = {"avx2", "fma", "f16c", "bmi", "bmi2"};
constexpr std::array kAvx512Features = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"};

// Execution resources of a microarchitecture, at its widest vectors: vector FMAs and loads a cycle, FMA
// latency in cycles, data cache sizes in KiB, and the clock under vector load. From the vendors' optimisation
// manuals and uops.info; znver4's and the clocks of znver3 and znver5 were measured here.
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
    Microarchitecture{"znver3", 2, 2, 4, 32, 512, 3.25},
    Microarchitecture{"znver4", 1, 1, 4, 32, 1024, 3.7},
    Microarchitecture{"znver5", 2, 2, 4, 48, 1024, 4.3},
    Microarchitecture{"aarch64", 2, 2, 4, 64, 1024, 3.0},
    Microarchitecture{"cortex-a72", 2, 1, 7, 32, 1024, 1.8},
    Microarchitecture{"cortex-a76", 2, 2, 4, 64, 512, 2.4},
    Microarchitecture{"cortex-a78", 2, 3, 4, 64, 512, 2.8},
    Microarchitecture{"cortex-x1", 4, 3, 4, 64, 1024, 3.0},
    Microarchitecture{"neoverse-n1", 2, 2, 4, 64, 1024, 2.6},
    Microarchitecture{"neoverse-n2", 2, 3, 4, 64, 1024, 3.0},
    Microarchitecture{"neoverse-v1", 4, 3, 4, 64, 1024, 2.6},
    Microarchitecture{"neoverse-v2", 4, 3, 4, 64, 2048, 3.0},
    Microarchitecture{"apple-m1", 4, 3, 4, 128, 12 << 10, 3.2},
};

// What the table says of the CPU, or of the level it belongs to.
Target with_facts(Target target, std::string_view level) {
  const auto of = [](std::string_view name) {
    return std::find_if(kMicroarchitectures.begin(), kMicroarchitectures.end(),
                        [&](const Microarchitecture& m) { return m.cpu == name; });
  };
  const auto known = of(target.cpu);
  const Microarchitecture& facts = known != kMicroarchitectures.end() ? *known : *of(level);
  target.fma_per_cycle = facts.fma_per_cycle;
  target.loads_per_cycle = facts.loads_per_cycle;
  target.fma_latency = facts.fma_latency;
  target.l1_bytes = int64_t{facts.l1_kib} << 10;
  target.l2_bytes = int64_t{facts.l2_kib} << 10;
  target.ghz = facts.ghz;
  return target;
}

std::unique_ptr<llvm::MCSubtargetInfo> subtarget(const char* triple, std::string_view cpu) {
  return std::unique_ptr<llvm::MCSubtargetInfo>(back_end(triple)->createMCSubtargetInfo(
      llvm::Triple(triple), llvm::StringRef(cpu.data(), cpu.size()), ""));
}

// Whether LLVM knows a CPU of that name.
bool is_cpu(const char* triple, const std::string& name) {
  return !name.empty() && subtarget(triple, "")->isCPUStringValid(name);
}

// The features of `wanted` that `has` denies.
template <class Has>
std::vector<std::string> missing_features(std::span<const char* const> wanted, const Has& has) {
  std::vector<std::string> missing;
  for (const char* feature : wanted)
    if (!has(feature)) missing.push_back(feature);
  return missing;
}

// The x86-64 instruction set that every CPU `has` describes supports in full, or why there is none.
template <class Has>
Result<Target> target_of(std::string cpu, const std::string& called, const Has& has) {
  const std::vector<std::string> missing = missing_features(kAvx2Features, has);
  if (!missing.empty())
    return Diagnostics(fmt::format("{} lacks {}; generated code needs AVX2 and FMA: x86-64-v3 or later",
                                   called, fmt::join(missing, ", ")));
  const bool avx512 = missing_features(kAvx512Features, has).empty();
  Target target;
  target.triple = kX86Triple;
  target.cpu = std::move(cpu);
  target.vector_lanes = avx512 ? 16 : 8;
  target.vector_registers = avx512 ? 32 : 16;
  target.required_features = CARDINAL_FEATURE_AVX2_FMA | (avx512 ? uint32_t{CARDINAL_FEATURE_AVX512} : 0);
  return with_facts(std::move(target), avx512 ? "x86-64-v4" : "x86-64-v3");
}

Target aarch64_target(std::string cpu) {
  Target target;
  target.triple = kAArch64Triple;
  target.cpu = std::move(cpu);
  target.vector_lanes = 4;
  target.vector_registers = 32;
  target.required_features = CARDINAL_FEATURE_NEON;
  return with_facts(std::move(target), "aarch64");
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
  rank("aarch64");
  for (const llvm::SubtargetSubTypeKV& cpu : subtarget(kX86Triple, "")->getAllProcessorDescriptions()) {
    const auto info = subtarget(kX86Triple, cpu.Key);
    if (has_feature(*info, "avx2") && has_feature(*info, "fma")) rank(cpu.Key);
  }
  for (const llvm::SubtargetSubTypeKV& cpu : subtarget(kAArch64Triple, "")->getAllProcessorDescriptions())
    if (!is_cpu(kX86Triple, cpu.Key)) rank(cpu.Key);
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> names;
  for (size_t i = 0; i < ranked.size() && i < 3; ++i) names.push_back(ranked[i].second);
  return names;
}

}  // namespace

bool is_aarch64(const Target& target) { return target.triple == kAArch64Triple; }

const llvm::Target* back_end(const std::string& triple) {
  [[maybe_unused]] static const bool initialised = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();  // for inline assembly
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    return true;
  }();
  std::string error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(llvm::Triple(triple), error);
  assert(found && "LLVM is built with the X86 and the AArch64 target");
  return found;
}

std::string instruction_set(const Target& target) {
  if (is_aarch64(target)) return "generic";  // Armv8.0-A
  if (target.required_features == 0) return "x86-64";
  return target.required_features & CARDINAL_FEATURE_AVX512 ? "x86-64-v4" : "x86-64-v3";
}

std::string scheduled_for(const Target& target) { return target.cpu == "aarch64" ? "generic" : target.cpu; }

std::string long_loops_scheduled_for(const Target& target) {
  const bool avx2 = !is_aarch64(target) && target.vector_lanes == 8;
  return avx2 ? "znver3" : scheduled_for(target);
}

Target any_cpu(const Target& target) {
  Target any;
  any.triple = target.triple;
  any.cpu = is_aarch64(target) ? "aarch64" : "x86-64";
  return any;
}

Result<Target> resolve_target(const std::string& name) {
  if (name == "native") return native_target();
  if (names_gpu(name)) return resolve_gpu_target(name);
  if (!is_cpu(kX86Triple, name)) {
    if (name == "aarch64" || is_cpu(kAArch64Triple, name)) return aarch64_target(name);
    const std::vector<std::string> similar = similar_cpus(name);
    const std::string hint =
        similar.empty() ? "use native, x86-64, x86-64-v3, x86-64-v4, aarch64 or an LLVM name such as "
                          "znver4 or neoverse-n1"
                        : fmt::format("did you mean {}?", fmt::join(similar, ", "));
    return Diagnostics(fmt::format("unknown target '{}'; {}", name, hint));
  }
  const auto info = subtarget(kX86Triple, name);
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
