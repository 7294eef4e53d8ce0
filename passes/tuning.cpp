#include "passes/tuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace cardinal {

namespace {

constexpr std::string_view kHeader = "# cardinal tuning 1";
constexpr std::string_view kSeparator = " | ";
constexpr double kLeastTime = 0.001;  // us: what is written is above 0

struct Number {
  std::string_view name;
  int64_t ConvShape::* value;
  int64_t usual;  // left out
};
constexpr std::array kNumbers = {
    Number{"n", &ConvShape::n, 1},
    Number{"ic", &ConvShape::ic, 1},
    Number{"ih", &ConvShape::ih, 1},
    Number{"iw", &ConvShape::iw, 1},
    Number{"oc", &ConvShape::oc, 1},
    Number{"oh", &ConvShape::oh, 1},
    Number{"ow", &ConvShape::ow, 1},
    Number{"kh", &ConvShape::kh, 1},
    Number{"kw", &ConvShape::kw, 1},
    Number{"stride_h", &ConvShape::stride_h, 1},
    Number{"stride_w", &ConvShape::stride_w, 1},
    Number{"dilation_h", &ConvShape::dilation_h, 1},
    Number{"dilation_w", &ConvShape::dilation_w, 1},
    Number{"pad_top", &ConvShape::pad_top, 0},
    Number{"pad_left", &ConvShape::pad_left, 0},
    Number{"groups", &ConvShape::groups, 1},
};

std::string epilogue_text(bool has_bias, const Epilogue& epilogue) {
  std::string text = has_bias ? "bias" : "";
  for (const EpilogueStep& step : epilogue) {
    if (!text.empty()) text += '+';
    text += step.kind == EpilogueStep::Kind::activation ? to_string(step.activation.kind)
            : step.kind == EpilogueStep::Kind::add      ? "add"
                                                        : "mul";
  }
  return text;
}

std::string print_key(const ConvShape& shape, const std::string& epilogue, std::string_view weights) {
  std::string text = "conv";
  for (const Number& n : kNumbers)
    if (shape.*n.value != n.usual) text += fmt::format(" {}={}", n.name, shape.*n.value);
  if (!epilogue.empty()) text += " epilogue=" + epilogue;
  return text + fmt::format(" weights={}", weights);
}

// All of `text` as a number.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

// Takes `prefix` off the front.
bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (size_t end; (end = text.find(separator)) != std::string_view::npos;) {
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end + separator.size());
  }
  parts.push_back(text);
  return parts;
}

bool is_word(std::string_view text, std::string_view others) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return std::isalnum(c) || others.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// "" or what is wrong with a convolution's KEY=VALUE.
std::string apply(std::string_view word, ConvShape& shape, std::string& epilogue, std::string& weights) {
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos) return fmt::format("expected KEY=VALUE, got '{}'", word);
  const std::string_view key = word.substr(0, equals), value = word.substr(equals + 1);
  if (key == "epilogue") {
    epilogue = value;
    return is_word(value, "_+") ? "" : fmt::format("'{}' is no epilogue", value);
  }
  if (key == "weights") {
    weights = value;
    return value == "l2" || value == "l3" || value == "memory"
               ? ""
               : fmt::format("weights are in l2, l3 or memory, not '{}'", value);
  }
  const auto* known =
      std::find_if(kNumbers.begin(), kNumbers.end(), [&](const Number& n) { return n.name == key; });
  if (known == kNumbers.end()) return fmt::format("a convolution has no '{}'", key);
  const std::optional<int64_t> number = parse_number<int64_t>(value);
  if (!number) return fmt::format("{} must be a whole number, not '{}'", key, value);
  shape.*known->value = *number;
  return "";
}

// One line, part by part; every part knows its place.
class LineReader {
 public:
  LineReader(std::string_view line, SourceLocation where, Diagnostics& errors)
      : line_(line), where_(where), errors_(errors) {}

  void read(Tuning& tuning) {
    const std::vector<std::string_view> parts = split(line_, kSeparator);
    if (parts.size() != 5)
      return error(line_,
                   fmt::format("expected CONVOLUTION | CPU | KERNEL | TIME us | predicted TIME us, got "
                               "{} of these 5 parts",
                               parts.size()));
    read_key(parts[0]);
    if (!is_word(parts[1], "-_.")) error(parts[1], fmt::format("'{}' is no CPU's name", parts[1]));
    const std::optional<ConvChoice> kernel = parse_choice(parts[2]);
    if (!kernel)
      error(parts[2], fmt::format("'{}' is no kernel such as 'direct 6x2 unroll 4' or 'lanes 14'", parts[2]));
    TuningEntry entry{kernel.value_or(ConvChoice{}), where_};
    entry.choice.measured_us = time(parts[3], "");
    entry.choice.microseconds = time(parts[4], "predicted ");
    if (!failed_) tuning.set(std::string(parts[0]), std::string(parts[1]), std::move(entry));
  }

 private:
  void error(std::string_view part, std::string message) {
    failed_ = true;
    SourceLocation where = where_;
    where.column = static_cast<uint32_t>(part.data() - line_.data() + 1);
    where.length = static_cast<uint32_t>(std::max<size_t>(part.size(), 1));
    errors_.error(where, std::move(message));
  }

  void read_key(std::string_view key) {
    ConvShape shape;
    shape.ic = shape.oc = 1;
    std::string epilogue, weights;
    const std::vector<std::string_view> words = split(key, " ");
    if (words[0] != "conv") return error(words[0], fmt::format("expected 'conv', got '{}'", words[0]));
    for (size_t i = 1; i < words.size(); ++i)
      if (std::string problem = apply(words[i], shape, epilogue, weights); !problem.empty())
        return error(words[i], std::move(problem));
    if (weights.empty()) return error(key, "expected weights=l2, l3 or memory");
    // Anything else would never be found.
    if (const std::string canonical = print_key(shape, epilogue, weights); canonical != key)
      error(key, fmt::format("this convolution is written '{}'", canonical));
  }

  double time(std::string_view part, std::string_view prefix) {
    std::string_view text = part;
    const bool framed = take(text, prefix) && text.ends_with(" us");
    if (framed) text.remove_suffix(3);
    const std::optional<double> us = framed ? parse_number<double>(text) : std::nullopt;
    if (us && std::isfinite(*us) && *us > 0) return *us;
    error(part, fmt::format("expected '{}TIME us', a time above 0, got '{}'", prefix, part));
    return 0;
  }

  std::string_view line_;
  SourceLocation where_;
  Diagnostics& errors_;
  bool failed_ = false;
};

}  // namespace

std::string tuning_key(const ConvProblem& problem, bool has_bias, const Epilogue& epilogue, const Target& t) {
  const std::string_view weights = weights_in_memory(problem.network_weights, t) ? "memory"
                                   : problem.network_weights > t.l2_bytes        ? "l3"
                                                                                 : "l2";
  return print_key(problem.shape, epilogue_text(has_bias, epilogue), weights);
}

std::string describe(const ConvChoice& c) {
  if (c.algorithm == ConvAlgorithm::lanes)
    return c.rows == 1 ? fmt::format("lanes {}", c.pixels) : fmt::format("lanes {}x{}", c.rows, c.pixels);
  return fmt::format("{} {}x{} unroll {}", to_string(c.algorithm), c.pixels, c.panel, c.k_unroll);
}

std::optional<ConvChoice> parse_choice(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return {};
  const std::optional<ConvAlgorithm> algorithm = parse_algorithm(text.substr(0, space));
  if (!algorithm) return {};
  ConvChoice choice{*algorithm};
  std::string_view rest = text.substr(space + 1);
  const auto number = [&rest](int& to) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), to);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    // No register tile is larger than this, and no inner loop should be.
    return error == std::errc{} && to >= 1 && to <= 64;
  };
  bool good = number(choice.pixels);
  if (choice.algorithm != ConvAlgorithm::lanes) {
    good =
        good && take(rest, "x") && number(choice.panel) && take(rest, " unroll ") && number(choice.k_unroll);
  } else if (good && take(rest, "x")) {
    choice.rows = choice.pixels;
    good = number(choice.pixels);
  }
  if (!good || !rest.empty() || describe(choice) != text) return {};
  return choice;
}

void Tuning::set(const std::string& key, const std::string& cpu, TuningEntry entry) {
  const std::string kernel = describe(entry.choice);
  entries_[fmt::format("{}{}{}", key, kSeparator, cpu)].insert_or_assign(kernel, std::move(entry));
}

void Tuning::add(const Tuning& later) {
  for (const auto& [key, kernels] : later.entries_)
    for (const auto& [kernel, entry] : kernels) entries_[key].insert_or_assign(kernel, entry);
}

const std::map<std::string, TuningEntry>* Tuning::find(const std::string& key, const std::string& cpu) const {
  const auto found = entries_.find(fmt::format("{}{}{}", key, kSeparator, cpu));
  return found == entries_.end() ? nullptr : &found->second;
}

size_t Tuning::size() const {
  size_t count = 0;
  for (const auto& [key, kernels] : entries_) count += kernels.size();
  return count;
}

std::string Tuning::print() const {
  std::vector<std::string> lines;
  for (const auto& [key, kernels] : entries_)
    for (const auto& [kernel, entry] : kernels)
      lines.push_back(fmt::format("{}{}{}{}{:.3f} us{}predicted {:.3f} us", key, kSeparator, kernel,
                                  kSeparator, std::max(entry.choice.measured_us, kLeastTime), kSeparator,
                                  std::max(entry.choice.microseconds, kLeastTime)));
  std::sort(lines.begin(), lines.end());
  std::string text = fmt::format("{}\n", kHeader);
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

Result<Tuning> read_tuning(SourceMap& sources, const std::string& path, std::string text) {
  const uint32_t file = sources.add(path, text);
  Tuning tuning;
  Diagnostics errors;
  std::map<std::string_view, uint32_t> seen;  // up to the time
  std::string_view rest = text;
  for (uint32_t number = 1; number == 1 || !rest.empty(); ++number) {
    const size_t newline = rest.find('\n');
    std::string_view line = rest.substr(0, newline);
    rest = newline == std::string_view::npos ? std::string_view() : rest.substr(newline + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const SourceLocation where{file, number, 1, static_cast<uint32_t>(std::max<size_t>(line.size(), 1))};
    if (number == 1) {
      if (line == kHeader) continue;
      return Diagnostics(
          fmt::format("not a tuning file of this version: its first line is '{}'; write one with "
                      "`cardinal tune`",
                      kHeader),
          where);
    }
    if (line.empty() || line.starts_with('#')) continue;
    LineReader(line, where, errors).read(tuning);
    size_t times = line.size();
    for (int i = 0; i < 2 && times != std::string_view::npos && times > 0; ++i)
      times = line.rfind(kSeparator, times - 1);
    const auto [earlier, is_new] = seen.try_emplace(line.substr(0, times), number);
    if (!is_new)
      errors.error(where, fmt::format("this kernel is there twice, on lines {} and {}; delete one",
                                      earlier->second, number));
  }
  if (errors.has_errors()) return errors;
  return tuning;
}

}  // namespace cardinal
