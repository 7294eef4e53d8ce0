#include "ir/attr.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace cardinal {

namespace {

struct ActivationFacts {
  std::string_view name;
  int numbers = 0;  // how many of alpha and beta it has
};
constexpr std::array kActivations{
    // in the order of Activation::Kind
    ActivationFacts{"relu"},     ActivationFacts{"relu6"},     ActivationFacts{"leaky_relu", 1},
    ActivationFacts{"clip", 2},  ActivationFacts{"sigmoid"},   ActivationFacts{"tanh"},
    ActivationFacts{"silu"},     ActivationFacts{"hardswish"}, ActivationFacts{"hardsigmoid", 2},
    ActivationFacts{"gelu"},     ActivationFacts{"gelu_tanh"}, ActivationFacts{"elu", 1},
    ActivationFacts{"selu"},     ActivationFacts{"celu", 1},   ActivationFacts{"softplus"},
    ActivationFacts{"softsign"}, ActivationFacts{"mish"},      ActivationFacts{"exp"},
    ActivationFacts{"sqrt"},     ActivationFacts{"abs"},       ActivationFacts{"affine", 2},
};
static_assert(kActivations.size() == static_cast<size_t>(Activation::Kind::affine) + 1);
constexpr std::array<std::string_view, kRoles> kRoleNames{"kernel", "bias",     "scale", "shift",
                                                          "mean",   "variance", "slope"};
constexpr std::array<std::string_view, 4> kStoredOrderNames{"as_written", "hwio", "io", "wio"};
constexpr std::array<std::string_view, 2> kFlattenOrderNames{"chw", "hwc"};
constexpr std::array<std::string_view, 3> kResizeModeNames{"nearest", "bilinear", "bilinear_corners"};
constexpr std::array<std::string_view, 2> kDepthOrderNames{"crd", "dcr"};

bool is_identifier(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && letter(text[0]) && text != "true" && text != "false" &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// Shortest text that reads back as the same double and never as an integer.
std::string number(double value) {
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string expected(std::string_view what, const AttrValue& got) {
  return fmt::format("expected {}, got {}", what, to_string(got));
}

const int64_t* as_int(const AttrValue& value) { return std::get_if<int64_t>(&value.value); }
const AttrValue::List* as_list(const AttrValue& value) { return std::get_if<AttrValue::List>(&value.value); }
const std::string* as_word(const AttrValue& value) { return std::get_if<std::string>(&value.value); }

// The integers of a list whose elements all are; false otherwise.
bool as_ints(const AttrValue& value, std::vector<int64_t>& out) {
  const AttrValue::List* list = as_list(value);
  if (!list) return false;
  for (const AttrValue& item : *list) {
    const int64_t* number = as_int(item);
    if (!number) {
      out.clear();
      return false;
    }
    out.push_back(*number);
  }
  return true;
}

// The enumerator that the word names.
template <class Enum, size_t N>
std::string from_word(const AttrValue& value, const std::array<std::string_view, N>& names,
                      std::string_view what, Enum& out) {
  const std::string* word = as_word(value);
  auto found = word ? std::find(names.begin(), names.end(), *word) : names.end();
  if (found == names.end()) return expected(what, value);
  out = static_cast<Enum>(found - names.begin());
  return {};
}

AttrValue int_list(std::span<const int64_t> values) {
  AttrValue::List list;
  for (int64_t value : values) list.push_back({value});
  return {std::move(list)};
}

std::string activation_from(std::string_view word, Activation& out) {
  auto found = std::find_if(kActivations.begin(), kActivations.end(),
                            [&](const ActivationFacts& activation) { return activation.name == word; });
  if (found == kActivations.end()) return fmt::format("unknown epilogue step '{}'", word);
  out.kind = static_cast<Activation::Kind>(found - kActivations.begin());
  return {};
}

// A word, or a list of it and its numbers: [leaky_relu, slope], [affine, scale, shift].
std::string step_from(const AttrValue& value, EpilogueStep& out) {
  const AttrValue::List* list = as_list(value);
  const std::string* word = list && !list->empty() ? as_word((*list)[0]) : as_word(value);
  if (!word) return expected("add, mul or an activation", value);
  if (!list && (*word == "add" || *word == "mul")) {
    out.kind = *word == "add" ? EpilogueStep::Kind::add : EpilogueStep::Kind::mul;
    return {};
  }
  out.kind = EpilogueStep::Kind::activation;
  if (std::string error = activation_from(*word, out.activation); !error.empty()) return error;
  const int wanted = activation_numbers(out.activation.kind),
            given = list ? static_cast<int>(list->size()) - 1 : 0;
  if (given != wanted)
    return expected(fmt::format("{} with {} number{}", *word, wanted, wanted == 1 ? "" : "s"), value);
  double* numbers[] = {&out.activation.alpha, &out.activation.beta};
  for (int i = 0; i < wanted; ++i)
    if (std::string error = from_attr((*list)[static_cast<size_t>(i) + 1], *numbers[i]); !error.empty())
      return error;
  return {};
}

}  // namespace

std::string to_string(const AttrValue& value) {
  if (const int64_t* i = as_int(value)) return fmt::format("{}", *i);
  if (const double* d = std::get_if<double>(&value.value)) return number(*d);
  if (const bool* b = std::get_if<bool>(&value.value)) return *b ? "true" : "false";
  if (const std::string* s = as_word(value)) return is_identifier(*s) ? *s : quoted(*s);
  std::string out = "[";
  for (const AttrValue& item : *as_list(value)) out += (out.size() > 1 ? ", " : "") + to_string(item);
  return out + "]";
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + '"';
}

AxisRange resolve(const AxisRange& range, int64_t size) {
  return {range.begin < 0 ? range.begin + size : range.begin, range.end <= 0 ? range.end + size : range.end,
          range.step};
}

int64_t length(const AxisRange& resolved) { return ceil_div(resolved.end - resolved.begin, resolved.step); }

std::string_view to_string(Activation::Kind kind) { return kActivations[static_cast<size_t>(kind)].name; }

int activation_numbers(Activation::Kind kind) { return kActivations[static_cast<size_t>(kind)].numbers; }

double evaluate(Activation activation, double x) {
  // Written so that NaN comes out as NaN.
  auto clamp = [](double v, double low, double high) { return v < low ? low : v > high ? high : v; };
  auto elu = [](double v, double alpha) { return v < 0 ? alpha * std::expm1(v) : v; };
  auto softplus = [](double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v))); };
  const double alpha = activation.alpha, beta = activation.beta;
  switch (activation.kind) {
    case Activation::Kind::relu:
      return x < 0 ? 0 : x;
    case Activation::Kind::relu6:
      return clamp(x, 0, 6);
    case Activation::Kind::leaky_relu:
      return x < 0 ? alpha * x : x;
    case Activation::Kind::clip:
      return clamp(x, alpha, beta);
    case Activation::Kind::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::Kind::tanh:
      return std::tanh(x);
    case Activation::Kind::silu:
      return x / (1 + std::exp(-x));
    case Activation::Kind::hardswish:
      return x * clamp(x + 3, 0, 6) / 6;
    case Activation::Kind::hardsigmoid:
      return clamp(alpha * x + beta, 0, 1);
    case Activation::Kind::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::Kind::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::Kind::elu:
      return elu(x, alpha);
    case Activation::Kind::selu:
      return kSeluScale * elu(x, kSeluAlpha);
    case Activation::Kind::celu:
      return alpha * elu(x / alpha, 1);
    case Activation::Kind::softplus:
      return softplus(x);
    case Activation::Kind::softsign:
      return x / (1 + std::abs(x));
    case Activation::Kind::mish:
      return x * std::tanh(softplus(x));
    case Activation::Kind::exp:
      return std::exp(clamp(x, kLeastExponent, kLargestExponent));
    case Activation::Kind::sqrt:
      return std::sqrt(x < 0 ? 0 : x);
    case Activation::Kind::abs:
      return std::abs(x);
    case Activation::Kind::affine:
      return alpha * x + beta;
  }
  return x;
}

int epilogue_operands(const Epilogue& epilogue) {
  return static_cast<int>(std::count_if(epilogue.begin(), epilogue.end(), [](const EpilogueStep& step) {
    return step.kind != EpilogueStep::Kind::activation;
  }));
}

std::string from_attr(const AttrValue& value, int64_t& out) {
  const int64_t* number = as_int(value);
  if (!number) return expected("an integer", value);
  out = *number;
  return {};
}

std::string from_attr(const AttrValue& value, double& out) {
  double number = 0;
  if (const double* d = std::get_if<double>(&value.value))
    number = *d;
  else if (const int64_t* i = as_int(value))
    number = static_cast<double>(*i);
  else
    return expected("a number", value);
  if (!std::isfinite(number)) return expected("a finite number", value);
  out = number;
  return {};
}

std::string from_attr(const AttrValue& value, bool& out) {
  const bool* flag = std::get_if<bool>(&value.value);
  if (!flag) return expected("true or false", value);
  out = *flag;
  return {};
}

std::string from_attr(const AttrValue& value, std::string& out) {
  const std::string* word = as_word(value);
  if (!word) return expected("a string", value);
  out = *word;
  return {};
}

std::string from_attr(const AttrValue& value, Pair& out) {
  std::vector<int64_t> ints;
  if (const int64_t* both = as_int(value))
    out = {*both, *both};
  else if (as_ints(value, ints) && ints.size() == 2)
    out = {ints[0], ints[1]};
  else
    return expected("an integer or [h, w]", value);
  return {};
}

std::string from_attr(const AttrValue& value, Padding& out) {
  std::vector<int64_t> ints;
  const std::string* word = as_word(value);
  if (word && *word == "same")
    out = {Padding::Mode::same};
  else if (word && *word == "same_upper")
    out = {Padding::Mode::same_upper};
  else if (const int64_t* all = as_int(value))
    out = {Padding::Mode::explicit_, *all, *all, *all, *all};
  else if (as_ints(value, ints) && ints.size() == 2)
    out = {Padding::Mode::explicit_, ints[0], ints[1], ints[0], ints[1]};
  else if (ints.size() == 4)
    out = {Padding::Mode::explicit_, ints[0], ints[1], ints[2], ints[3]};
  else
    return expected("same, same_upper, an integer, [h, w] or [top, left, bottom, right]", value) +
           (word && (*word == "valid" || *word == "VALID") ? "; no padding is 0" : "");
  return {};
}

std::string from_attr(const AttrValue& value, AxisRange& out) {
  std::vector<int64_t> ints;
  if (!as_ints(value, ints) || (ints.size() != 2 && ints.size() != 3))
    return expected("[begin, end] or [begin, end, step]", value);
  out = {ints[0], ints[1], ints.size() == 3 ? ints[2] : 1};
  return {};
}

std::string from_attr(const AttrValue& value, Sides& out) {
  Pair pair;
  if (!from_attr(value, pair).empty()) return expected("an integer or [before, after]", value);
  out = {pair.h, pair.w};
  return {};
}

std::string from_attr(const AttrValue& value, Factors& out) {
  double both = 0, w = 0;
  const AttrValue::List* list = as_list(value);
  if (!list && from_attr(value, both).empty())
    out = {both, both};
  else if (list && list->size() == 2 && from_attr((*list)[0], both).empty() &&
           from_attr((*list)[1], w).empty())
    out = {both, w};
  else
    return expected("a number or [h, w]", value);
  return {};
}

std::string from_attr(const AttrValue& value, ResizeMode& out) {
  return from_word(value, kResizeModeNames, "nearest, bilinear or bilinear_corners", out);
}

std::string from_attr(const AttrValue& value, DepthOrder& out) {
  return from_word(value, kDepthOrderNames, "crd or dcr", out);
}

std::string from_attr(const AttrValue& value, Shape& out) {
  std::vector<int64_t> ints;
  if (!as_ints(value, ints)) return expected("a list of integers", value);
  if (ints.size() > static_cast<size_t>(Shape::kMaxRank))
    return fmt::format("expected at most {} dimensions, got {}", Shape::kMaxRank, ints.size());
  out = Shape(ints);
  return {};
}

std::string from_attr(const AttrValue& value, DType& out) {
  const std::string* word = as_word(value);
  std::optional<DType> dtype = word ? parse_dtype(*word) : std::nullopt;
  if (!dtype) return expected("f32, f16 or bf16", value);
  out = *dtype;
  return {};
}

std::string from_attr(const AttrValue& value, Layout& out) {
  const std::string* word = as_word(value);
  std::optional<Layout> layout = word ? parse_layout(*word) : std::nullopt;
  if (!layout) return expected("nchw, nhwc or nchw16c", value);
  out = *layout;
  return {};
}

std::string from_attr(const AttrValue& value, Role& out) {
  return from_word(value, kRoleNames, "kernel, bias, scale, shift, mean, variance or slope", out);
}

std::string from_attr(const AttrValue& value, StoredOrder& out) {
  return from_word(value, kStoredOrderNames, "as_written, hwio, io or wio", out);
}

std::string from_attr(const AttrValue& value, FlattenOrder& out) {
  return from_word(value, kFlattenOrderNames, "chw or hwc", out);
}

std::string from_attr(const AttrValue& value, Epilogue& out) {
  const AttrValue::List* list = as_list(value);
  if (!list) return expected("a list of epilogue steps such as [add, relu]", value);
  Epilogue steps;
  for (const AttrValue& item : *list)
    if (std::string error = step_from(item, steps.emplace_back()); !error.empty()) return error;
  out = std::move(steps);
  return {};
}

AttrValue to_attr(int64_t value) { return {value}; }
AttrValue to_attr(double value) { return {value}; }
AttrValue to_attr(bool value) { return {value}; }
AttrValue to_attr(const std::string& value) { return {value}; }

AttrValue to_attr(const Pair& pair) {
  if (pair.h == pair.w) return {pair.h};
  return int_list(std::array{pair.h, pair.w});
}

AttrValue to_attr(const Padding& padding) {
  if (padding.mode == Padding::Mode::same) return {std::string("same")};
  if (padding.mode == Padding::Mode::same_upper) return {std::string("same_upper")};
  if (padding.top == padding.bottom && padding.left == padding.right)
    return to_attr(Pair{padding.top, padding.left});
  return int_list(std::array{padding.top, padding.left, padding.bottom, padding.right});
}

AttrValue to_attr(const AxisRange& range) {
  if (range.step == 1) return int_list(std::array{range.begin, range.end});
  return int_list(std::array{range.begin, range.end, range.step});
}

AttrValue to_attr(const Sides& sides) { return to_attr(Pair{sides.before, sides.after}); }

AttrValue to_attr(const Factors& factors) {
  if (factors.h == factors.w) return {factors.h};
  return {AttrValue::List{{factors.h}, {factors.w}}};
}

AttrValue to_attr(ResizeMode mode) { return {std::string(kResizeModeNames[static_cast<size_t>(mode)])}; }

AttrValue to_attr(DepthOrder order) { return {std::string(kDepthOrderNames[static_cast<size_t>(order)])}; }

AttrValue to_attr(const Shape& shape) { return int_list(shape.dims()); }
AttrValue to_attr(DType dtype) { return {std::string(to_string(dtype))}; }
AttrValue to_attr(Layout layout) { return {std::string(to_string(layout))}; }
AttrValue to_attr(Role role) { return {std::string(kRoleNames[static_cast<size_t>(role)])}; }
AttrValue to_attr(StoredOrder order) { return {std::string(kStoredOrderNames[static_cast<size_t>(order)])}; }
AttrValue to_attr(FlattenOrder order) {
  return {std::string(kFlattenOrderNames[static_cast<size_t>(order)])};
}

AttrValue to_attr(const Epilogue& epilogue) {
  AttrValue::List list;
  for (const EpilogueStep& step : epilogue) {
    if (step.kind != EpilogueStep::Kind::activation) {
      list.push_back({std::string(step.kind == EpilogueStep::Kind::add ? "add" : "mul")});
      continue;
    }
    AttrValue word{std::string(to_string(step.activation.kind))};
    const int numbers = activation_numbers(step.activation.kind);
    AttrValue::List with_numbers{word};
    if (numbers > 0) with_numbers.push_back(to_attr(step.activation.alpha));
    if (numbers > 1) with_numbers.push_back(to_attr(step.activation.beta));
    list.push_back(numbers > 0 ? AttrValue{std::move(with_numbers)} : std::move(word));
  }
  return {std::move(list)};
}

}  // namespace cardinal
