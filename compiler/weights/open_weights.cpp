#include "compiler/weights/open_weights.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "compiler/weights/flax.h"
#include "compiler/weights/keras.h"
#include "compiler/weights/mapped_file.h"
#include "compiler/weights/mxnet.h"
#include "compiler/weights/npz.h"
#include "compiler/weights/safetensors.h"

namespace cardinal {

namespace {

constexpr std::string_view kRandom = "random:";
// A network whose weights do not fit an ordinary machine's memory was not meant to be tried out; 16 GiB.
constexpr double kMaxRandomBytes = 0x1p34;

bool begins_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

Result<std::unique_ptr<WeightStore>> open_random(std::string_view text, const Graph& graph) {
  uint64_t seed = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size())
    return Diagnostics(
        fmt::format("random:{} is not random:SEED; the seed is an integer from 0 to 2^64 - 1", text));
  double bytes = 0;
  for (NodeId id : graph.weights()) bytes += 4.0 * static_cast<double>(graph[id].type.shape.elements());
  if (bytes > kMaxRandomBytes)
    return Diagnostics(
        fmt::format("random weights for this network would take {:.1f} GB, the limit is {:.1f} GB",
                    bytes * 1e-9, kMaxRandomBytes * 1e-9));
  return random_weights(graph, seed);
}

Result<std::unique_ptr<WeightStore>> open_file(const std::string& path, const Graph& graph) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.take_error();
  const std::span<const std::byte> bytes = file->bytes();
  const Wanted wanted(graph);
  if (is_mxnet(bytes)) return read_mxnet(path, *std::move(file), wanted);
  if (is_flax(bytes)) return read_flax(path, *std::move(file), wanted);
  if (is_hdf5(bytes)) return read_hdf5(path, bytes, wanted);
  if (!begins_with(bytes, "PK")) return read_safetensors(path, *std::move(file), wanted);
  // An archive of torch.save is a zip file too, but of pickled objects.
  if (path.ends_with(".pt") || path.ends_with(".pth"))
    return Diagnostics(
        fmt::format("{} is a PyTorch checkpoint; save it with safetensors.torch.save_file", path));
  Result<std::vector<ZipMember>> archive = list_zip(bytes);
  if (archive && is_keras(*archive)) return read_keras(path, *archive, wanted);
  return read_npz(path, *std::move(file), wanted);
}

}  // namespace

Result<std::unique_ptr<WeightStore>> open_weights(const std::string& spec, const Graph& graph,
                                                  std::span<const std::string> ignored) {
  if (spec.starts_with(kRandom)) return open_random(std::string_view(spec).substr(kRandom.size()), graph);
  Result<std::unique_ptr<WeightStore>> store = open_file(spec, graph);
  if (!store) return store;
  Status checked = check_weights(graph, **store, ignored);
  if (!checked) return checked.take_error();
  return store;
}

}  // namespace cardinal
