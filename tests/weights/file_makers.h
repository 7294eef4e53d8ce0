// Weight files made byte by byte, right and wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace cardinal::testing {

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
template <class T>
std::string raw(T value) {
  return raw(std::vector<T>{value});
}

// x [1, 2, 4, 4] -> conv "conv" (3 channels, 1x1, with bias) -> batch norm "bn" -> output. Weights:
// conv.weight [3, 2, 1, 1], conv.bias [3], bn.weight, bn.bias, bn.running_mean, bn.running_var [3].
Graph small_network();

// A graph of weights alone.
Graph weights_only(const std::vector<std::pair<std::string, Weight>>& weights);

// Header length, header, data.
std::string safetensors(const std::string& header, const std::string& data);

// Every weight of `graph` in f32: 1, 2, 3, ...
std::string counting_safetensors(const Graph& graph);

// A .npy file. `descr` as "<f4", `shape` as "(3, 2)".
std::string npy(const std::string& descr, const std::string& shape, const std::string& data,
                bool fortran = false, int version = 1);

struct ZipEntry {
  std::string name, content;
  bool deflate = false;
  bool zip64 = false;  // sizes in the ZIP64 extra field
  uint16_t flags = 0;
  uint64_t claimed_bytes = ~0ull;  // instead of the content's size
};
std::string zip(const std::vector<ZipEntry>& entries);

// Every weight of `graph` as a member of a .npz archive.
std::string counting_npz(const Graph& graph, bool deflate);

}  // namespace cardinal::testing
