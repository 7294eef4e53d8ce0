#include "runtime/src/file_format.h"

#include <cardinal/weight_forms.h>
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/src/parallel_hash.h"
#include "runtime/src/validate.h"

namespace cardinal::runtime {

namespace {

bool all_zero(const void* data, size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
  return std::all_of(p, p + bytes, [](unsigned char byte) { return byte == 0; });
}

#if defined(__x86_64__)
constexpr uint16_t kThisMachine = EM_X86_64;
constexpr const char* kThisTarget = "x86-64";
#elif defined(__aarch64__)
constexpr uint16_t kThisMachine = EM_AARCH64;
constexpr const char* kThisTarget = "aarch64";
#else
#error "Cardinal has no code for this machine: see codegen/targets.cpp"
#endif

std::string machine_name(uint16_t machine) {
  if (machine == EM_X86_64) return "x86-64";
  if (machine == EM_AARCH64) return "AArch64";
  return "an unknown machine (" + std::to_string(machine) + " in its ELF header)";
}

bool is_elf(const MappedFile& file) {
  return file.size() >= 4 && std::memcmp(file.data(), "\177ELF", 4) == 0;
}

Error corrupted(const std::string& path, const std::string& what) {
  return Error(path + ": " + what + ": the file is corrupted; copy it again or recompile the network");
}

}  // namespace

Expected<std::string> check_trailer(const MappedFile& file, const std::string& path, bool verify_hash) {
  static_assert(sizeof(cardinal_trailer) == 256);
  cardinal_trailer trailer;
  const bool fits = file.size() > sizeof trailer;
  if (fits) std::memcpy(&trailer, file.data() + file.size() - sizeof trailer, sizeof trailer);
  if (!fits || std::memcmp(trailer.magic, CARDINAL_TRAILER_MAGIC, sizeof trailer.magic) != 0) {
    if (is_elf(file)) {
      return Error(path + ": is an ELF file of " + std::to_string(file.size()) +
                   " bytes without the trailer of a compiled network: it was truncated, stripped or changed, "
                   "or is not "
                   "the work of `cardinal compile`");
    }
    return Error(
        path +
        ": is not a compiled network; make one with `cardinal compile NET.nn --weights FILE -o NET.so`");
  }
  const std::string version = find_version_mismatch(trailer.abi_version);
  if (!version.empty()) return Error(path + ": " + version);
  if (trailer.file_bytes != file.size()) {
    return corrupted(path, "has " + std::to_string(file.size()) + " bytes, but was written with " +
                               std::to_string(trailer.file_bytes));
  }
  const char* end = std::find(trailer.symbol, std::end(trailer.symbol), '\0');
  if (trailer.trailer_bytes != sizeof trailer || end == trailer.symbol || end == std::end(trailer.symbol) ||
      !all_zero(end, std::end(trailer.symbol) - end)) {
    return corrupted(path, "its trailer is garbled");
  }
  if (verify_hash && parallel_hash_bytes(file.data(), file.size() - sizeof trailer) != trailer.image_hash) {
    return corrupted(path, "its contents do not match their hash");
  }
  return std::string(trailer.symbol);
}

Expected<void> check_machine(const MappedFile& file, const std::string& path) {
  Elf64_Ehdr header;
  if (!is_elf(file) || file.size() < sizeof header) return {};  // the dynamic loader says what is wrong
  std::memcpy(&header, file.data(), sizeof header);
  if (header.e_machine == kThisMachine) return {};
  return Error(path + ": holds code for " + machine_name(header.e_machine) + ", but this program runs on " +
               machine_name(kThisMachine) + "; run it there, or recompile the network with --target " +
               kThisTarget);
}

namespace {

// The file's header, if the file is whole and meant for the model.
Expected<cardinal_weights_header> check_weights(const MappedFile& file, const cardinal_model& model,
                                                const std::string& path, bool verify_hash) {
  const std::string network = "network '" + std::string(model.name) + "'";
  cardinal_weights_header header;
  const bool fits = file.size() >= CARDINAL_WEIGHTS_OFFSET;
  if (fits) std::memcpy(&header, file.data(), sizeof header);
  if (!fits || std::memcmp(header.magic, CARDINAL_WEIGHTS_MAGIC, sizeof header.magic) != 0) {
    return Error(path + ": is not a weight file of Cardinal, or is truncated; compile " + network +
                 " again with --weights-file");
  }
  const std::string version = find_version_mismatch(header.abi_version);
  if (!version.empty()) return Error(path + ": " + version);
  if (header.header_bytes != CARDINAL_WEIGHTS_OFFSET ||
      !all_zero(file.data() + sizeof header, CARDINAL_WEIGHTS_OFFSET - sizeof header)) {
    return corrupted(path, "its header is garbled");
  }
  if (header.model_hash != model.model_hash) {
    return Error(path + ": these weights were packed for another network or another compilation than " +
                 network + "; keep the weight file and the shared object of one `cardinal compile` together");
  }
  if (header.weights_bytes != model.weights_bytes || header.weights_hash != model.weights_hash) {
    return corrupted(path, "its header does not match " + network);
  }
  const uint64_t bytes = file.size() - CARDINAL_WEIGHTS_OFFSET;
  if (header.form_count > bytes / sizeof(cardinal_weight_form) ||
      bytes - header.form_count * sizeof(cardinal_weight_form) != header.stored_bytes) {
    const std::string forms =
        header.form_count == 0 ? "" : " and " + std::to_string(header.form_count) + " forms";
    return corrupted(path, "has " + std::to_string(file.size()) + " bytes, expected " +
                               std::to_string(CARDINAL_WEIGHTS_OFFSET + header.stored_bytes) + forms);
  }
  const bool compact = header.form_count > 0;
  if (header.stored_bytes % (compact ? sizeof(float) : 1) ||
      (!compact && header.stored_bytes != header.weights_bytes)) {
    return corrupted(path, "its header is garbled");
  }
  file.will_need();
  const unsigned char* stored = file.data() + CARDINAL_WEIGHTS_OFFSET;
  const size_t form_bytes = header.form_count * sizeof(cardinal_weight_form);
  if (verify_hash &&
      parallel_hash_bytes(stored + header.stored_bytes, form_bytes,
                          parallel_hash_bytes(stored, header.stored_bytes)) != header.stored_hash) {
    return corrupted(path, "its contents do not match their hash");
  }
  return header;
}

// The packed weights that a compact file's forms make.
Expected<Arena> form_all(const MappedFile& file, const cardinal_weights_header& header,
                         const std::string& path, bool verify_hash) {
  auto packed = Arena::allocate(header.weights_bytes, "the weights");
  if (!packed) return packed;
  const unsigned char* at = file.data() + CARDINAL_WEIGHTS_OFFSET;
  const auto* stored = reinterpret_cast<const float*>(at);
  for (uint64_t i = 0; i < header.form_count; ++i) {
    cardinal_weight_form form;
    std::memcpy(&form, at + header.stored_bytes + i * sizeof form, sizeof form);
    const std::string malformed = cardinal::find_malformed(form, header.stored_bytes / sizeof(float),
                                                           header.weights_bytes / sizeof(float));
    if (!malformed.empty()) return corrupted(path, "form " + std::to_string(i) + ": " + malformed);
    form_weights(form, stored + form.source, stored + form.factors,
                 static_cast<float*>(packed->data()) + form.packed);
  }
  if (verify_hash && parallel_hash_bytes(packed->data(), header.weights_bytes) != header.weights_hash) {
    return Error(path +
                 ": forming its weights gave others than the compiler's; build the runtime with "
                 "-ffp-contract=off, as its CMakeLists.txt does, or compile the network without "
                 "--compact-weights");
  }
  return packed;
}

}  // namespace

Expected<LoadedWeights> open_weights(const cardinal_model& model, const std::string& path, bool verify_hash) {
  auto file = MappedFile::open(path, "the weight file of network '" + std::string(model.name) + "'");
  if (!file) return file.error();
  const auto header = check_weights(*file, model, path, verify_hash);
  if (!header) return header.error();
  LoadedWeights weights;
  if (header->form_count > 0) {
    auto formed = form_all(*file, *header, path, verify_hash);
    if (!formed) return formed.error();
    weights.formed = std::move(*formed);
    weights.data = weights.formed.data();
  } else {
    weights.file = std::move(*file);
    weights.data = weights.file.data() + CARDINAL_WEIGHTS_OFFSET;
  }
  return weights;
}

}  // namespace cardinal::runtime
