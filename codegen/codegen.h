// From a plan to machine code. This header knows nothing of LLVM; the .cpp files of this room are the only
// ones that do.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/weights.h"
#include "passes/plan.h"

namespace cardinal {

// native | x86-64-v3 | x86-64-v4 | aarch64 | an LLVM CPU name of x86-64, with AVX2 and FMA, or of AArch64 |
// sm_80 and later GPUs.
Result<Target> resolve_target(const std::string& name);
// The same, or x86-64: a target for each variant of a network that runs on all of them, the one that asks
// least of the CPU first.
Result<std::vector<Target>> resolve_targets(const std::string& name);

struct NetworkImage {  // what is emitted besides code
  std::string symbol;  // prefix of the exported symbols, a C identifier
  std::string
      weights_file;  // file name recorded in the model when the weights are kept outside; "" to embed them
  std::vector<float> weights;  // packed
  std::string assembler;  // for GPUs, see codegen/nvptx/assembler.h; "": the driver assembles when loading
};

// For NetworkImage::assembler: the ptxas on the path, else the nvJitLink that the dynamic loader finds; "" if
// there is neither.
std::string find_assembler();

enum class CodeKind : uint8_t { object, assembly, llvm_ir, ptx, cubin };

// The translation unit of a network as text or as an ELF object, with a variant for each of the plans, which
// were made together by make_plans. Assembly and LLVM IR leave the weights' bytes out; an object does so too,
// but for object_file.
// Of a plan for a GPU, which has no variants: an object with tables and the kernels' code, or the kernels
// alone as LLVM IR, PTX (which is their assembly) or, with NetworkImage::assembler, as a cubin.
Result<std::string> emit_code(const Graph&, std::span<const Plan>, const NetworkImage&, CodeKind);

// The pieces of a file, in order. What they are of must outlive them.
using FilePieces = std::vector<std::string_view>;

// An object file, whole, from what emit_code made of a network and this image: with the weights, unless they
// are in a file of their own.
FilePieces object_file(const std::string& code, const NetworkImage&);

// Links an object file into a shared object at `path` (written whole or not at all), trailer included.
Status link_shared(const FilePieces& object, const std::string& symbol, const std::string& path);

}  // namespace cardinal
