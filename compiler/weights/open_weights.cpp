#include "compiler/weights/open_weights.h"

#include <fmt/format.h>

#include <algorithm>
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

constexpr std::string_view kPickle =
    "is a Python pickle, as torch.save writes it, which can hold any code and is not read; save the weights "
    "with safetensors.torch.save_file(model.state_dict(), path)";

// Of a file that is known, but not read as weights: what it is and what to do instead.
std::string_view foreign_file(std::string_view path, std::span<const std::byte> file) {
  if (begins_with(file, "\x93NUMPY"))
    return "is one array without a name; save all of them by name with numpy.savez(path, **arrays)";
  constexpr std::byte kProtocol{0x80};  // and its number, 2 to 5
  if (file.size() > 1 && file[0] == kProtocol && file[1] >= std::byte{2} && file[1] <= std::byte{5})
    return kPickle;
  if (file.size() > 8 && begins_with(file.subspan(4), "TFL3"))
    return "is a TensorFlow Lite model; save the Keras model that it was made from with model.save(path)";
  if (path.ends_with(".onnx")) return "is an ONNX model; `cardinal import` makes a network and weights of it";
  return {};
}

// torch.save's archives, of state dicts and of whole models.
bool is_torch(const std::vector<ZipMember>& archive) {
  return std::any_of(archive.begin(), archive.end(),
                     [](const ZipMember& member) { return member.name.ends_with("/data.pkl"); });
}

Result<std::unique_ptr<WeightStore>> open_file(const std::string& path, const Graph& graph) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.take_error();
  const std::span<const std::byte> bytes = file->bytes();
  const Wanted wanted(graph);
  if (is_mxnet(bytes)) return read_mxnet(path, *std::move(file), wanted);
  if (is_flax(bytes)) return read_flax(path, *std::move(file), wanted);
  if (is_hdf5(bytes)) return read_hdf5(path, bytes, wanted);
  if (std::string_view why = foreign_file(path, bytes); !why.empty())
    return Diagnostics(fmt::format("{} {}", path, why));
  if (!begins_with(bytes, "PK")) return read_safetensors(path, *std::move(file), wanted);
  Result<std::vector<ZipMember>> archive = list_zip(bytes);
  if (path.ends_with(".pt") || path.ends_with(".pth") || (archive && is_torch(*archive)))
    return Diagnostics(fmt::format("{} {}", path, kPickle));
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
