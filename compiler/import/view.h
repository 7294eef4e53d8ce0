// How an ONNX tensor lies in a tensor of the language. Exporters wrap plain layers in reshapes and
// transposes: a channel shuffle is Reshape, Transpose, Reshape; a layer over the channels of a pixel stands
// between two Transposes. None of them computes anything, so the importer applies them to a description of
// the order of the axes, and needs an op only where a layer wants another order than its operand's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ir/attr.h"
#include "ir/type.h"

namespace cardinal::onnx_import {

// A run of `size` indices of one axis of the language's tensor, `stride` apart.
struct Atom {
  int axis = 0;
  int64_t size = 1;
  int64_t stride = 1;
  bool operator==(const Atom&) const = default;
};

// For each dimension of the ONNX tensor the atoms that it is made of, slowest first; none for a dimension
// of 1.
struct View {
  std::vector<std::vector<Atom>> dims;

  static View whole(const Shape& shape);

  std::vector<int64_t> sizes() const;
  View transposed(std::span<const int64_t> permutation) const;
  // Empty if a dimension of the target takes a fraction of an axis.
  std::optional<View> reshaped(std::span<const int64_t> target) const;
  // All atoms, slowest first, joined where they run on: the order in memory.
  std::vector<Atom> order() const;
};

std::vector<Atom> joined(std::span<const Atom> atoms);

// The op that makes a tensor with this view, as exporters write it with Reshape, Transpose and Reshape.
struct PixelBlocks {
  bool to_space = false;  // depth_to_space, else space_to_depth
  int64_t factor = 1;
  DepthOrder order = DepthOrder::crd;
};
std::optional<PixelBlocks> pixel_blocks(const View& view, const Shape& shape);

// Which axis of `shape` each dimension is, if each is a whole axis and the axes left over are 1. Dimensions
// of 1 are taken for the axes that are left, in order.
std::optional<std::vector<int>> axes_of(const View& view, const Shape& shape);

}  // namespace cardinal::onnx_import
