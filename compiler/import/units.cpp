#include "compiler/import/units.h"

#include <algorithm>
#include <map>
#include <set>

namespace cardinal::onnx_import {

namespace {

// Layers between two places where a single value is alive.
struct Segment {
  size_t begin = 0, end = 0;
  std::vector<std::string_view> names;  // of its layers with weights
  bool branches() const { return end - begin > 1; }
};

std::vector<Segment> cut_segments(const Network& network) {
  size_t count = network.layers.size();
  std::vector<size_t> last_use(count, 0);
  for (size_t i = 0; i < count; ++i)
    for (size_t operand : network.layers[i].operands) last_use[operand] = i;
  for (const NetworkOutput& output : network.outputs) last_use[output.layer] = count;
  std::vector<Segment> segments;
  size_t alive_until = 0;  // of the values before the current layer
  Segment open;
  for (size_t i = 0; i < count; ++i) {
    const Layer& layer = network.layers[i];
    if (!layer.weights.empty()) open.names.push_back(layer.name);
    if (alive_until <= i) {
      open.end = i + 1;
      if (!layer.operands.empty()) segments.push_back(open);
      open = {i + 1, i + 1, {}};
    }
    alive_until = std::max(alive_until, last_use[i]);
  }
  return segments;
}

bool is_under(std::string_view name, std::string_view path) {
  return name.size() > path.size() && name.starts_with(path) && name[path.size()] == '.';
}

std::string_view parent(std::string_view path) {
  size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

struct Range {
  size_t first = 0, last = 0;  // segments
  bool operator==(const Range&) const = default;
};

class UnitFinder {
 public:
  explicit UnitFinder(const Network& network) : network_(network), segments_(cut_segments(network)) {}

  std::vector<Unit> run() {
    find_spans();
    std::vector<Unit> units;
    for (size_t i = 0; i < segments_.size();) {
      auto [range, path] = at(i);
      size_t last = range.last;
      if (range.first == i && (last > i || segments_[i].branches())) {
        size_t tail = 0;
        while (last + tail + 1 < segments_.size() && follows(segments_[last + tail + 1])) ++tail;
        add_unit(units, {segments_[i].begin, segments_[last].end, 0, path, tail});
      }
      i = last + 1;
    }
    return units;
  }

 private:
  // For each path the segments that hold layers under it, if they hold no others.
  void find_spans() {
    for (size_t i = 0; i < segments_.size(); ++i)
      for (std::string_view name : segments_[i].names)
        for (std::string_view path = parent(name); !path.empty(); path = parent(path)) {
          auto [span, is_new] = spans_.emplace(path, Range{i, i});
          span->second.last = i;
        }
    std::erase_if(spans_, [this](const auto& entry) { return !is_whole(entry.second, entry.first); });
    auto all = spans_;
    std::erase_if(spans_, [&](const auto& entry) {
      const Range& outer = entry.second;
      return std::any_of(all.begin(), all.end(), [&](const auto& other) {
        const Range& inner = other.second;
        return outer != inner && outer.first <= inner.first && inner.last <= outer.last;
      });
    });
  }

  bool is_whole(const Range& range, std::string_view path) const {
    size_t weighted = 0;
    bool branches = false;
    for (size_t i = range.first; i <= range.last; ++i) {
      for (std::string_view name : segments_[i].names)
        if (!is_under(name, path)) return false;
      weighted += segments_[i].names.size();
      branches = branches || segments_[i].branches();
    }
    constexpr size_t kEnoughLayers = 3;  // a convolution and its batch norm read better in place
    return branches || weighted >= kEnoughLayers;
  }

  // The smallest span that begins at a segment, under the shortest path that has it, but for elements of a
  // list: features.3 rather than features.3.conv or, where that is all, features.
  std::pair<Range, std::string> at(size_t i) const {
    std::pair<Range, std::string> best{{i, i}, ""};
    for (std::string_view name : segments_[i].names)
      for (std::string_view path = parent(name); !path.empty(); path = parent(path)) {
        auto span = spans_.find(path);
        if (span == spans_.end() || span->second.first != i) continue;
        bool is_better =
            best.second.empty() || (!is_element(best.second) && path.size() < best.second.size());
        if (is_better) best = {span->second, std::string(path)};
      }
    return best;
  }

  // Ends in a number of its own: layer1.0, block1.block1-0.
  static bool is_element(std::string_view path) {
    size_t number = path.find_last_not_of("0123456789") + 1;
    return number < path.size() && number > 0 && (path[number - 1] == '.' || path[number - 1] == '-');
  }

  // What ends a block: activations, and the order of channels.
  bool follows(const Segment& segment) const {
    const Layer& layer = network_.layers[segment.begin];
    bool is_plain = !segment.branches() && layer.weights.empty() && layer.operands.size() == 1;
    bool moves = op_info(layer.op).name == "channel_shuffle";
    return is_plain && (moves || activation_of(layer.op).has_value());
  }

  void add_unit(std::vector<Unit>& units, Unit unit) const {
    std::set<size_t> outside;
    for (size_t i = unit.begin; i < unit.end; ++i)
      for (size_t operand : network_.layers[i].operands)
        if (operand < unit.begin) outside.insert(operand);
    bool has_weights = false;
    for (size_t i = unit.begin; i < unit.end; ++i) {
      has_weights = has_weights || !network_.layers[i].weights.empty();
      if (network_.layers[i].operands.empty()) return;
    }
    if (outside.size() != 1 || !has_weights) return;
    unit.input = *outside.begin();
    units.push_back(std::move(unit));
  }

  const Network& network_;
  std::vector<Segment> segments_;
  std::map<std::string_view, Range> spans_;
};

}  // namespace

std::vector<Unit> find_units(const Network& network) { return UnitFinder(network).run(); }

}  // namespace cardinal::onnx_import
