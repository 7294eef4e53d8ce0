#include "codegen/weights_section.h"

#include <cardinal/abi.h>
#include <elf.h>

#include <cstring>
#include <string_view>

#include "ir/type.h"

namespace cardinal {

namespace {

template <class T>
T read(const std::string& object, size_t offset) {
  T value{};
  if (offset <= object.size() && sizeof value <= object.size() - offset)
    std::memcpy(&value, object.data() + offset, sizeof value);
  return value;
}

}  // namespace

Status put_weights_behind(std::string& object) {
  const auto header = read<Elf64_Ehdr>(object, 0);
  const auto at = [&](size_t section) { return header.e_shoff + section * sizeof(Elf64_Shdr); };
  const auto names = read<Elf64_Shdr>(object, at(header.e_shstrndx));
  for (size_t i = 0; i < header.e_shnum; ++i) {
    auto section = read<Elf64_Shdr>(object, at(i));
    const size_t name = names.sh_offset + section.sh_name;
    if (name >= object.size() || object.c_str() + name != std::string_view(kEmptyWeightsSection)) continue;
    object.resize(static_cast<size_t>(round_up(static_cast<int64_t>(object.size()), CARDINAL_ALIGNMENT)));
    section.sh_name += sizeof(".bss") - 1;
    section.sh_type = SHT_PROGBITS;
    section.sh_flags = SHF_ALLOC;
    section.sh_offset = object.size();
    std::memcpy(object.data() + at(i), &section, sizeof section);
    return ok();
  }
  return Diagnostics("internal error: an object file without a section for the weights");
}

}  // namespace cardinal
