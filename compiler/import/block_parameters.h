// What differs between the instances of a block, as parameters of its declaration.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compiler/import/network.h"

namespace cardinal::onnx_import {

// For each layer of the block, in order, the network's layer; none for one that this instance does without.
struct BlockInstance {
  size_t unit = 0;
  std::vector<std::optional<size_t>> layers;
};

class BlockParameters {
 public:
  static constexpr const char* kProject = "project";  // whether the layers that some do without are there

  // The first instance has all layers.
  BlockParameters(const Network& network, std::span<const BlockInstance> instances, bool has_optional);

  // ", channels: int, stride: int = 1"
  std::string declarations() const;
  // Of the call that makes an instance.
  std::vector<std::string> arguments(size_t instance) const;
  // Of a layer's call in the block.
  std::vector<std::string> attributes(size_t place) const;

 private:
  // An attribute's value in each instance; none where the layer is missing.
  using Values = std::vector<std::optional<AttrValue>>;
  struct Slot {
    size_t place;
    std::string_view field;
    Values values;
  };
  struct Parameter {
    std::string name, type;
    Values values;
    std::optional<AttrValue> fallback;
    bool counts_channels = false;
  };

  void collect_slots();
  void make_channel_parameters();
  void make_other_parameters();
  std::string unused_name(const std::string& base) const;
  // The parameter, or a multiple of one, that has these values; "" if there is none.
  std::string expression(const Values& values, bool counts_channels) const;
  const Slot* find_slot(size_t place, std::string_view field) const;

  const Network& network_;
  std::span<const BlockInstance> instances_;
  bool has_optional_;
  std::vector<Slot> slots_;
  std::vector<Parameter> parameters_;
};

// After what the block is made of: Bottleneck, InvertedResidual, ...
std::string block_name(const Network& network, const BlockInstance& instance);

}  // namespace cardinal::onnx_import
