#include "runtime/src/file_format.h"

#include <cardinal/hash.h>
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <utility>

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
  if (verify_hash && hash_bytes(file.data(), file.size() - sizeof trailer) != trailer.image_hash) {
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

Expected<MappedFile> open_weights(const cardinal_model& model, const std::string& path, bool verify_hash) {
  const std::string network = "network '" + std::string(model.name) + "'";
  Expected<MappedFile> opened = MappedFile::open(path, "the weight file of " + network);
  if (!opened) return opened;
  MappedFile file = std::move(*opened);
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
  if (file.size() - CARDINAL_WEIGHTS_OFFSET != header.weights_bytes) {
    return corrupted(path, "has " + std::to_string(file.size()) + " bytes, expected " +
                               std::to_string(CARDINAL_WEIGHTS_OFFSET + header.weights_bytes));
  }
  file.will_need();
  if (verify_hash &&
      hash_bytes(file.data() + CARDINAL_WEIGHTS_OFFSET, header.weights_bytes) != header.weights_hash) {
    return corrupted(path, "its contents do not match their hash");
  }
  return file;
}

}  // namespace cardinal::runtime
