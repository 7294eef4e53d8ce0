#include "compiler/weights/keras.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "compiler/weights/apart.h"
#include "compiler/weights/file_weights.h"
#include "compiler/weights/hdf5_file.h"
#include "compiler/weights/keras_names.h"
#include "compiler/weights/safetensors.h"

namespace cardinal {

namespace {

constexpr std::string_view kMagic = "\x89HDF\r\n\x1a\n";
constexpr std::string_view kWeightsMember = "model.weights.h5", kConfigMember = "config.json";
constexpr uint64_t kMaxConfigBytes = 32 << 20;
// libhdf5's own needs: metadata caches and one chunk at a time.
constexpr ApartLimits kLimits{.bytes = int64_t{1} << 30, .seconds = 120};
// What an archive may unpack to, beyond the network's own weights several times (an optimizer's state).
constexpr uint64_t kSlackBytes = 64 << 20, kMaxTimesWanted = 16;

// A dataset's place in the safetensors image.
struct Placed {
  const Hdf5Dataset* dataset;
  uint64_t offset;
  bool is_read;
};

// A safetensors file of the datasets. Those whose elements nobody reads are holes in it.
std::string write_image(const Hdf5File& file, const std::vector<std::string>& names, const Wanted& wanted,
                        int fd) {
  nlohmann::json header = nlohmann::json::object();
  std::vector<Placed> placed;
  uint64_t bytes = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    const Hdf5Dataset& dataset = file.datasets()[i];
    StoredShape stored = stored_shape(dataset.dims);
    bool is_usable = dataset.unreadable.empty() && stored.problem.empty();
    uint64_t size = is_usable ? 4 * static_cast<uint64_t>(stored.shape.elements()) : 0;
    header[names[i]] = {{"dtype", dataset.unreadable.empty() ? "F32" : dataset.unreadable},
                        {"shape", dataset.dims},
                        {"data_offsets", {bytes, bytes + size}}};
    placed.push_back({&dataset, bytes, is_usable && wanted.reads(names[i], stored.shape.elements())});
    bytes += size;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.append(3 - (text.size() + 3) % 4, ' ');  // so that floats are aligned
  uint64_t text_bytes = text.size(), begin = 8 + text.size();
  if (ftruncate(fd, static_cast<off_t>(begin + bytes)) != 0) return "its tensors do not fit the memory";
  void* map = mmap(nullptr, begin + bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (map == MAP_FAILED) return "its tensors do not fit the memory";
  auto* image = static_cast<std::byte*>(map);
  std::memcpy(image, &text_bytes, 8);
  std::memcpy(image + 8, text.data(), text.size());
  for (const Placed& place : placed)
    if (place.is_read && !file.read(*place.dataset, reinterpret_cast<float*>(image + begin + place.offset)))
      return fmt::format("libhdf5 cannot read {}; the file is damaged", place.dataset->path);
  return {};
}

// What happens apart. `layers` is what is known of them from outside the file.
std::string convert(std::span<const std::byte> bytes, KerasLayers layers, const Wanted& wanted, int fd) {
  Hdf5File file;
  if (std::string problem = file.open(bytes); !problem.empty()) return problem;
  for (const auto& [group, name] : file.group_names())
    if (group.ends_with("/vars")) layers[group.substr(0, group.size() - 5)].name = name;
  std::vector<KerasDataset> datasets;
  for (const Hdf5Dataset& dataset : file.datasets()) datasets.push_back({dataset.path, dataset.dims.size()});
  Result<std::vector<std::string>> names = keras_names(datasets, layers, wanted);
  if (!names) return names.error().list().front().message;
  return write_image(file, *names, wanted, fd);
}

Result<std::unique_ptr<WeightStore>> read_with_layers(const std::string& path,
                                                      std::span<const std::byte> file,
                                                      const KerasLayers& layers, const Wanted& wanted) {
  Result<MappedFile> image = run_apart(kLimits, [&](int fd) { return convert(file, layers, wanted, fd); });
  if (!image)
    return Diagnostics(
        fmt::format("{} is not a usable HDF5 file: {}", path, image.error().list().front().message));
  return read_safetensors(path, *std::move(image), wanted);
}

const ZipMember* find_member(const std::vector<ZipMember>& archive, std::string_view name) {
  auto it = std::find_if(archive.begin(), archive.end(),
                         [&](const ZipMember& member) { return member.name == name; });
  return it == archive.end() ? nullptr : &*it;
}

}  // namespace

bool is_hdf5(std::span<const std::byte> file) {
  return file.size() >= kMagic.size() && std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

bool is_keras(const std::vector<ZipMember>& archive) {
  return find_member(archive, kWeightsMember) != nullptr;
}

Result<std::unique_ptr<WeightStore>> read_hdf5(const std::string& path, std::span<const std::byte> file,
                                               const Wanted& wanted) {
  return read_with_layers(path, file, {}, wanted);
}

Result<std::unique_ptr<WeightStore>> read_keras(const std::string& path,
                                                const std::vector<ZipMember>& archive, const Wanted& wanted) {
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("{} is not a usable .keras file: {}", path, why));
  };
  KerasLayers layers;
  if (const ZipMember* config = find_member(archive, kConfigMember)) {
    Result<std::vector<std::byte>> text = unpack(*config, kMaxConfigBytes);
    if (!text) return failure(text.error().list().front().message);
    layers = keras_layers({reinterpret_cast<const char*>(text->data()), text->size()});
  }
  const ZipMember* weights = find_member(archive, kWeightsMember);
  uint64_t limit = kSlackBytes + kMaxTimesWanted * static_cast<uint64_t>(wanted.bytes());
  if (weights->bytes > limit && weights->deflated)
    return failure(fmt::format("{} claims {} bytes, expected at most {} for this network", kWeightsMember,
                               weights->bytes, limit));
  Result<std::vector<std::byte>> content = unpack(*weights, weights->bytes);
  if (!content) return failure(content.error().list().front().message);
  return read_with_layers(path, *content, layers, wanted);
}

}  // namespace cardinal
