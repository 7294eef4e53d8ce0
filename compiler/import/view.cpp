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
