// The weights that a network wants from a file, and the names under which files keep them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace cardinal {

class Wanted {
 public:
  explicit Wanted(const Graph& graph);

  bool has(std::string_view name) const { return weights_.find(name) != weights_.end(); }
  // Whether a tensor's elements are read. Of a tensor that the network does not have, or has with another
  // number of elements, only the shape matters: so a file cannot make a reader allocate more than the network
  // needs.
  bool reads(std::string_view name, int64_t elements) const;
  // The weights called `layer` and one more level: "bn" finds "bn.gamma", not "bn.0.gamma".
  std::vector<std::string> of_layer(std::string_view layer) const;
  int64_t bytes() const;  // of all weights in f32

  // The names of a file's tensors as the network spells them, in the file's order. A stored name that the
  // network has stays as it is. Of others `/` is read as `.` and TensorFlow's trailing `:0` is dropped; see
  // also `kAliases`. Where two tensors would get one name, the second keeps its stored name. What all names
  // begin with, such as the `module.` of PyTorch's DataParallel, is dropped if the network has none of them,
  // but some without it.
  std::vector<std::string> names_of(const std::vector<std::string>& stored) const;

 private:
  std::string name_of(const std::string& stored) const;
  // How many characters of the stored names to drop.
  size_t surplus_prefix(const std::vector<std::string>& stored) const;
  std::map<std::string, int64_t, std::less<>> weights_;  // elements by name
};

}  // namespace cardinal
