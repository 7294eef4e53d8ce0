// What `cardinal tune` measured, as a text file: a line for each convolution, CPU and kernel, sorted as text.
//
//   # cardinal tuning 1
//   conv ic=64 ih=56 iw=56 oc=64 oh=56 ow=56 epilogue=bias+relu weights=memory | znver3 | direct 6x1 unroll 8
//   | 112.3 us | predicted 118.0 us
//
// (one line). Of a convolution's numbers those that are 1, paddings that are 0, and an empty epilogue are
// left out; weights says where the network's weights are found: l2, l3 or memory.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ir/result.h"
#include "passes/cost_model.h"

namespace cardinal {

std::string tuning_key(const ConvProblem&, bool has_bias, const Epilogue&, const Target&);

// A kernel by what tells it from others: "direct 14x2 unroll 4", "winograd_f4 6x1 unroll 8", "lanes 14"
// or, of several rows, "lanes 2x7".
std::string describe(const ConvChoice&);
// The same read back, without times; nothing if it is not written as describe does.
std::optional<ConvChoice> parse_choice(std::string_view text);

struct TuningEntry {
  ConvChoice choice;  // with its times
  SourceLocation where;
};

class Tuning {
 public:
  // Replaces what was measured of the same kernel.
  void set(const std::string& key, const std::string& cpu, TuningEntry entry);
  void add(const Tuning& later);
  // Null if nothing was measured.
  const std::map<std::string, TuningEntry>* find(const std::string& key, const std::string& cpu) const;
  size_t size() const;  // entries
  std::string print() const;
  bool operator==(const Tuning& other) const { return print() == other.print(); }

 private:
  std::map<std::string, std::map<std::string, TuningEntry>> entries_;  // by "KEY | CPU", then by describe
};

// Fails with all lines that it cannot read, at their places.
Result<Tuning> read_tuning(SourceMap& sources, const std::string& path, std::string text);

}  // namespace cardinal
