#include "tests/weights/file_makers.h"

#include <fmt/format.h>
#include <zlib.h>

namespace cardinal::testing {

Graph small_network() {
  Graph graph;
  graph.name = "small";
  auto weight = [&graph](const char* name, Shape shape, Role role) {
    return graph.add(Weight{shape, role}, {}, name);
  };
  NodeId x = graph.add(Input{DType::f32, {1, 2, 4, 4}, Layout::nchw}, {}, "x");
  Conv conv;
  conv.channels = 3;
  conv.bias = true;
  NodeId y = graph.add(
      conv, {x, weight("conv.weight", {3, 2, 1, 1}, Role::kernel), weight("conv.bias", {3}, Role::bias)},
      "conv");
  y = graph.add(BatchNorm{},
                {y, weight("bn.weight", {3}, Role::scale), weight("bn.bias", {3}, Role::shift),
                 weight("bn.running_mean", {3}, Role::mean), weight("bn.running_var", {3}, Role::variance)},
                "bn");
  graph.add(Output{}, {y}, "y");
  return graph;
}

Graph weights_only(const std::vector<std::pair<std::string, Weight>>& weights) {
  Graph graph;
  for (const auto& [name, weight] : weights) graph.add(weight, {}, name);
  return graph;
}

std::string safetensors(const std::string& header, const std::string& data) {
  return raw(static_cast<uint64_t>(header.size())) + header + data;
}

namespace {

std::vector<float> counting(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1);
  return values;
}

// A raw deflate stream.
std::string deflated(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

std::string counting_safetensors(const Graph& graph) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}", data;
  for (NodeId id : graph.weights()) {
    const Shape& shape = graph[id].type.shape;
    size_t begin = data.size();
    data += raw(counting(shape));
    header += fmt::format(",\"{}\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          graph[id].name, fmt::join(shape.dims(), ","), begin, data.size());
  }
  return safetensors(header + "}", data);
}

std::string npy(const std::string& descr, const std::string& shape, const std::string& data, bool fortran,
                int version) {
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr,
                                 fortran ? "True" : "False", shape);
  std::string start = fmt::format("\x93NUMPY{}{}", static_cast<char>(version), '\0');
  std::string length =
      version == 1 ? raw(static_cast<uint16_t>(text.size())) : raw(static_cast<uint32_t>(text.size()));
  return start + length + text + data;
}

std::string zip(const std::vector<ZipEntry>& entries) {
  std::string out, directory;
  for (const ZipEntry& entry : entries) {
    std::string packed = entry.deflate ? deflated(entry.content) : entry.content;
    uint32_t crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(entry.content.data()),
                                               static_cast<uInt>(entry.content.size())));
    uint64_t bytes = entry.claimed_bytes == ~0ull ? entry.content.size() : entry.claimed_bytes;
    uint64_t offset = out.size();
    std::string extra;
    if (entry.zip64)
      extra = raw(uint16_t{1}) + raw(uint16_t{24}) + raw(bytes) + raw(static_cast<uint64_t>(packed.size())) +
              raw(offset);
    auto size = [&entry](uint64_t value) {
      return raw(entry.zip64 ? ~uint32_t{0} : static_cast<uint32_t>(value));
    };
    // Version needed, flags, method, time, date, checksum, sizes, lengths of name and extra field.
    std::string common = raw(std::vector<uint16_t>{20, entry.flags, uint16_t(entry.deflate ? 8 : 0), 0, 0}) +
                         raw(crc) + size(packed.size()) + size(bytes) +
                         raw(static_cast<uint16_t>(entry.name.size()));
    directory += raw(uint32_t{0x02014b50}) + raw(uint16_t{20}) + common +
                 raw(static_cast<uint16_t>(extra.size())) + std::string(10, '\0') + size(offset) +
                 entry.name + extra;
    out += raw(uint32_t{0x04034b50}) + common + raw(uint16_t{0}) + entry.name + packed;
  }
  auto count = static_cast<uint16_t>(entries.size());
  std::string end = raw(uint32_t{0x06054b50}) + raw(std::vector<uint16_t>{0, 0, count, count}) +
                    raw(static_cast<uint32_t>(directory.size())) + raw(static_cast<uint32_t>(out.size())) +
                    raw(uint16_t{0});
  return out + directory + end;
}

std::string counting_npz(const Graph& graph, bool deflate) {
  std::vector<ZipEntry> entries;
  for (NodeId id : graph.weights()) {
    const Shape& shape = graph[id].type.shape;
    std::string content =
        npy("<f4", fmt::format("({},)", fmt::join(shape.dims(), ", ")), raw(counting(shape)));
    entries.push_back({.name = graph[id].name + ".npy", .content = content, .deflate = deflate});
  }
  return zip(entries);
}

}  // namespace cardinal::testing
