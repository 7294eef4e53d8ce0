// The override file: one line per step, `layer1.0.conv2 algorithm=direct pixels=7 panel=2 k_unroll=4`.
#include <fmt/format.h>

#include <charconv>

#include "passes/kernel_choice.h"
#include "passes/planner.h"

namespace cardinal {

namespace {

struct Word {
  std::string_view text;
  SourceLocation where;
};

std::vector<Word> split_line(std::string_view line, uint32_t file, uint32_t number) {
  line = line.substr(0, line.find('#'));
  std::vector<Word> words;
  constexpr std::string_view kSpace = " \t\r";
  for (size_t begin = line.find_first_not_of(kSpace); begin != std::string_view::npos;) {
    const size_t end = std::min(line.find_first_of(kSpace, begin), line.size());
    words.push_back({line.substr(begin, end - begin),
                     {file, number, static_cast<uint32_t>(begin + 1), static_cast<uint32_t>(end - begin)}});
    begin = line.find_first_not_of(kSpace, end);
  }
  return words;
}

// "128x64"
std::optional<GpuTile> parse_tile(std::string_view text) {
  GpuTile tile;
  const char* const end = text.data() + text.size();
  const auto m = std::from_chars(text.data(), end, tile.m);
  if (m.ec != std::errc{} || m.ptr == end || *m.ptr != 'x') return {};
  const auto n = std::from_chars(m.ptr + 1, end, tile.n);
  if (n.ec != std::errc{} || n.ptr != end) return {};
  return tile;
}

// "" or what is wrong with the setting.
std::string apply_setting(std::string_view key, std::string_view value, StepOverride& step) {
  if (key == "algorithm") {
    step.algorithm = parse_algorithm(value);
    using Gpu = GpuConvKernel::Algorithm;
    for (Gpu algorithm : {Gpu::mma, Gpu::wgmma, Gpu::patch, Gpu::depthwise, Gpu::simt})
      if (value == to_string(algorithm)) step.gpu_algorithm = algorithm;
    if (step.algorithm || step.gpu_algorithm) return {};
    return fmt::format(
        "unknown algorithm '{}'; use direct, lanes, winograd_f2, winograd_f4, strassen_1 or strassen_2, or "
        "on a "
        "GPU mma, wgmma, patch, depthwise or simt",
        value);
  }
  if (key == "tile") {
    step.gpu_tile = parse_tile(value);
    return step.gpu_tile ? "" : fmt::format("tile must be PIXELSxCHANNELS, such as 128x64, not '{}'", value);
  }
  if (key == "paired") {
    if (value != "on" && value != "off") return fmt::format("paired must be on or off, not '{}'", value);
    step.paired = value == "on";
    return {};
  }
  std::optional<int>* field = key == "pixels"     ? &step.pixels
                              : key == "rows"     ? &step.rows
                              : key == "panel"    ? &step.panel
                              : key == "k_unroll" ? &step.k_unroll
                                                  : nullptr;
  if (!field)
    return fmt::format(
        "unknown setting '{}'; use algorithm, pixels, rows, panel, k_unroll or, on a GPU, tile or paired",
        key);
  // No register tile is larger than this, and no inner loop should be.
  constexpr int kMost = 64;
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number < 1 || number > kMost)
    return fmt::format("{} must be a whole number from 1 to {}, not '{}'", key, kMost, value);
  *field = number;
  return {};
}

StepOverride read_settings(const std::vector<Word>& words, Diagnostics& errors) {
  StepOverride step;
  step.where = words[0].where;
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].text.find('=');
    if (equals == std::string_view::npos) {
      errors.error(words[i].where, fmt::format("expected KEY=VALUE, got '{}'", words[i].text));
      continue;
    }
    std::string problem =
        apply_setting(words[i].text.substr(0, equals), words[i].text.substr(equals + 1), step);
    if (!problem.empty()) errors.error(words[i].where, std::move(problem));
  }
  return step;
}

}  // namespace

Result<std::map<std::string, StepOverride>> read_overrides(SourceMap& sources, const std::string& path,
                                                           std::string text) {
  const uint32_t file = sources.add(path, text);
  std::map<std::string, StepOverride> overrides;
  Diagnostics errors;
  std::string_view rest = text;
  for (uint32_t number = 1; !rest.empty(); ++number) {
    const size_t newline = rest.find('\n');
    const std::vector<Word> words = split_line(rest.substr(0, newline), file, number);
    rest = newline == std::string_view::npos ? std::string_view() : rest.substr(newline + 1);
    if (words.empty()) continue;
    const StepOverride step = read_settings(words, errors);
    const auto [earlier, is_new] = overrides.try_emplace(std::string(words[0].text), step);
    if (!is_new)
      errors.error(step.where, fmt::format("'{}' is set twice, on lines {} and {}", words[0].text,
                                           earlier->second.where.line, number));
  }
  if (errors.has_errors()) return errors;
  return overrides;
}

std::string print_overrides(const Plan& plan, const Graph& graph) {
  std::string text;
  for (const Step& step : plan.steps) {
    if (step.candidates.empty()) continue;
    const std::string name = step_name(graph, step.node);
    const auto tile = [&](const auto& kernel) {
      return fmt::format("{} algorithm={} pixels={} panel={} k_unroll={}\n", name,
                         to_string(step.candidates.front().algorithm), kernel.pixels, kernel.panel,
                         kernel.k_unroll);
    };
    const auto* conv = std::get_if<ConvKernel>(&step.kernel);
    if (conv) text += tile(*conv);
    if (conv && conv->algorithm == ConvAlgorithm::lanes)
      text.insert(text.size() - 1, fmt::format(" rows={}", conv->rows));
    if (const auto* fast = std::get_if<StrassenKernel>(&step.kernel)) text += tile(*fast);
    if (std::holds_alternative<GpuConvPairKernel>(step.kernel))
      text += fmt::format("{} paired=on\n", step.name.substr(name.size() + 1));
    if (const auto* gpu = std::get_if<GpuConvKernel>(&step.kernel))
      text += fmt::format("{} algorithm={}\n", name, to_string(gpu->algorithm));
  }
  return text;
}

}  // namespace cardinal
