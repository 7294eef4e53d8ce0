#include "compiler/import/view.h"

#include <algorithm>

namespace cardinal::onnx_import {

View View::whole(const Shape& shape) {
  View view;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    view.dims.emplace_back();
    if (shape[axis] > 1) view.dims.back().push_back({axis, shape[axis], 1});
  }
  return view;
}

std::vector<int64_t> View::sizes() const {
  std::vector<int64_t> out;
  for (const std::vector<Atom>& dim : dims) {
    int64_t size = 1;
    for (const Atom& atom : dim) size *= atom.size;
    out.push_back(size);
  }
  return out;
}

View View::transposed(std::span<const int64_t> permutation) const {
  View out;
  for (int64_t from : permutation) out.dims.push_back(dims[static_cast<size_t>(from)]);
  return out;
}

std::optional<View> View::reshaped(std::span<const int64_t> target) const {
  std::vector<Atom> left = order();
  std::reverse(left.begin(), left.end());  // the slowest is at the back
  View out;
  for (int64_t size : target) {
    out.dims.emplace_back();
    while (size > 1) {
      if (left.empty()) return std::nullopt;
      Atom atom = left.back();
      left.pop_back();
      if (size % atom.size != 0) {
        if (atom.size % size != 0) return std::nullopt;
        int64_t inner = atom.size / size;
        left.push_back({atom.axis, inner, atom.stride});
        atom = {atom.axis, size, atom.stride * inner};
      }
      out.dims.back().push_back(atom);
      size /= atom.size;
    }
  }
  if (!left.empty()) return std::nullopt;
  return out;
}

std::vector<Atom> joined(std::span<const Atom> atoms) {
  std::vector<Atom> out;
  for (const Atom& atom : atoms) {
    bool runs_on =
        !out.empty() && out.back().axis == atom.axis && out.back().stride == atom.stride * atom.size;
    if (runs_on)
      out.back() = {atom.axis, out.back().size * atom.size, atom.stride};
    else
      out.push_back(atom);
  }
  return out;
}

std::vector<Atom> View::order() const {
  std::vector<Atom> all;
  for (const std::vector<Atom>& dim : dims) all.insert(all.end(), dim.begin(), dim.end());
  return joined(all);
}

namespace {

View view_of(const PixelBlocks& blocks, const Shape& x) {
  const int64_t r = blocks.factor, area = r * r;
  const bool crd = blocks.order == DepthOrder::crd;
  View view = View::whole(x);
  if (blocks.to_space) {
    const int64_t channels = x.c() / area, within = crd ? 1 : channels;
    view.dims = {view.dims[0],
                 {{1, channels, crd ? area : 1}},
                 {{2, x.h(), 1}, {1, r, r * within}},
                 {{3, x.w(), 1}, {1, r, within}}};
  } else {
    const Atom channels{1, x.c(), 1}, row{2, r, 1}, column{3, r, 1};
    view.dims = {view.dims[0],
                 crd ? std::vector{channels, row, column} : std::vector{row, column, channels},
                 {{2, x.h() / r, r}},
                 {{3, x.w() / r, r}}};
  }
  for (std::vector<Atom>& dim : view.dims)
    std::erase_if(dim, [](const Atom& atom) { return atom.size == 1; });
  return view;
}

}  // namespace

std::optional<PixelBlocks> pixel_blocks(const View& view, const Shape& shape) {
  if (shape.rank() != 4 || view.dims.size() != 4) return std::nullopt;
  const int64_t height = view.sizes()[2];
  const bool to_space = height > shape.h();
  const int64_t factor = to_space ? height / shape.h() : shape.h() / std::max<int64_t>(height, 1);
  if (factor < 2) return std::nullopt;
  for (const DepthOrder order : {DepthOrder::crd, DepthOrder::dcr}) {
    const PixelBlocks blocks{to_space, factor, order};
    const View wanted = view_of(blocks, shape);
    if (std::equal(view.dims.begin(), view.dims.end(), wanted.dims.begin(),
                   [](const auto& a, const auto& b) { return joined(a) == joined(b); }))
      return blocks;
  }
  return std::nullopt;
}

std::optional<std::vector<int>> axes_of(const View& view, const Shape& shape) {
  std::vector<int> axes(view.dims.size(), -1);
  std::vector<bool> taken(static_cast<size_t>(shape.rank()), false);
  for (size_t i = 0; i < axes.size(); ++i) {
    std::vector<Atom> atoms = joined(view.dims[i]);
    if (atoms.empty()) continue;
    int axis = atoms[0].axis;
    if (atoms.size() > 1 || atoms[0] != Atom{axis, shape[axis], 1}) return std::nullopt;
    axes[i] = axis;
    taken[static_cast<size_t>(axis)] = true;
  }
  int next = 0;
  for (int& axis : axes) {
    if (axis >= 0) continue;
    while (next < shape.rank() && (taken[static_cast<size_t>(next)] || shape[next] != 1)) ++next;
    if (next == shape.rank()) return std::nullopt;
    axis = next++;
  }
  return axes;
}

}  // namespace cardinal::onnx_import
