#include "compiler/import/block_parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/source_writer.h"

namespace cardinal::onnx_import {

namespace {

AttrValue field_value(const OpAttrs& op, const FieldInfo& field) {
  for (const FieldValue& value : field_values(op))
    if (value.name == field.name) return value.value;
  return field.default_value;
}

bool is_channel_count(std::string_view field) {
  return field == "channels" || field == "groups" || field == "begin" || field == "end";
}

const int64_t* as_int(const std::optional<AttrValue>& value) {
  return value ? std::get_if<int64_t>(&value->value) : nullptr;
}

using Values = std::vector<std::optional<AttrValue>>;

// Equal wherever both are there.
bool agree(const Values& a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] && b[i] && *a[i] != *b[i]) return false;
  return true;
}

bool is_complete(const Values& values) {
  return std::all_of(values.begin(), values.end(), [](const auto& v) { return v.has_value(); });
}

bool all_equal(const Values& values) {
  return std::all_of(values.begin(), values.end(), [&](const auto& v) { return !v || *v == *values[0]; });
}

// The number that every one of `b` has to be multiplied by to give `a`; 0 if there is none.
int64_t factor_between(const Values& a, const Values& b) {
  int64_t factor = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const int64_t *x = as_int(a[i]), *y = as_int(b[i]);
    if (!a[i] || !b[i]) continue;
    if (!x || !y || *y == 0 || *x % *y != 0) return 0;
    if (factor != 0 && *x / *y != factor) return 0;
    factor = *x / *y;
  }
  return factor;
}

std::string type_name(const Values& values) {
  bool ints = true, bools = true, floats = true;
  for (const auto& value : values) {
    if (!value) continue;
    ints = ints && std::holds_alternative<int64_t>(value->value);
    bools = bools && std::holds_alternative<bool>(value->value);
    floats = floats && std::holds_alternative<double>(value->value);
  }
  return ints ? "int" : bools ? "bool" : floats ? "float" : "any";
}

AttrValue most_common(const Values& values) {
  const AttrValue* best = nullptr;
  ptrdiff_t best_count = 0;
  for (const auto& value : values) {
    ptrdiff_t count = value ? std::count(values.begin(), values.end(), value) : 0;
    if (count > best_count) best = &*value, best_count = count;
  }
  return *best;
}

// An instance without the layer takes the most common value.
Values completed(Values values) {
  const AttrValue common = most_common(values);
  for (auto& value : values)
    if (!value) value = common;
  return values;
}

}  // namespace

BlockParameters::BlockParameters(const Network& network, std::span<const BlockInstance> instances,
                                 bool has_optional)
    : network_(network), instances_(instances), has_optional_(has_optional) {
  collect_slots();
  make_channel_parameters();
  make_other_parameters();
}

void BlockParameters::collect_slots() {
  for (size_t place = 0; place < instances_[0].layers.size(); ++place) {
    const OpAttrs& op = network_.layers[*instances_[0].layers[place]].op;
    for (const FieldInfo& field : op_info(op).fields) {
      if (field.internal) continue;
      Slot slot{place, field.name, {}};
      for (const BlockInstance& instance : instances_)
        slot.values.push_back(
            instance.layers[place]
                ? std::optional(field_value(network_.layers[*instance.layers[place]].op, field))
                : std::nullopt);
      if (!all_equal(slot.values)) slots_.push_back(std::move(slot));
    }
  }
}

// The numbers of channels that are no multiple of another become parameters; the last layer's is the block's.
void BlockParameters::make_channel_parameters() {
  std::vector<const Slot*> own;
  for (const Slot& slot : slots_) {
    if (!is_channel_count(slot.field)) continue;
    const bool complete = is_complete(slot.values);
    bool known =
        std::any_of(own.begin(), own.end(), [&](const Slot* s) { return agree(s->values, slot.values); });
    // Layers that all instances have say more than one that some do without, wherever that comes.
    known = known || (!complete && std::any_of(slots_.begin(), slots_.end(), [&](const Slot& s) {
              return is_channel_count(s.field) && is_complete(s.values) && agree(s.values, slot.values);
            }));
    if (!known && (complete || slot.field == "channels")) own.push_back(&slot);
  }
  std::vector<const Slot*> bases;
  for (const Slot* slot : own) {
    bool is_multiple = std::any_of(own.begin(), own.end(), [&](const Slot* other) {
      return other != slot && factor_between(slot->values, other->values) > 1;
    });
    if (!is_multiple) bases.push_back(slot);
  }
  for (const Slot* slot : bases) {
    std::string base = slot == bases.back() && slot->field == "channels" ? "channels"
                       : slot->field == "groups"                         ? "groups"
                                                                         : "width";
    parameters_.push_back({unused_name(base), "int", completed(slot->values), std::nullopt, true});
  }
}

void BlockParameters::make_other_parameters() {
  for (const Slot& slot : slots_) {
    const bool counts_channels = is_channel_count(slot.field);
    if (!expression(slot.values, counts_channels).empty()) continue;
    parameters_.push_back({unused_name(std::string(slot.field)), type_name(slot.values),
                           completed(slot.values), most_common(slot.values), counts_channels});
  }
}

std::string BlockParameters::unused_name(const std::string& base) const {
  std::string name = base;
  auto taken = [&] {
    return std::any_of(parameters_.begin(), parameters_.end(),
                       [&](const Parameter& p) { return p.name == name; });
  };
  for (int i = 2; taken(); ++i) name = fmt::format("{}{}", base, i);
  return name;
}

std::string BlockParameters::expression(const Values& values, bool counts_channels) const {
  for (const Parameter& parameter : parameters_)
    if (parameter.counts_channels == counts_channels && agree(parameter.values, values))
      return parameter.name;
  for (const Parameter& parameter : parameters_) {
    int64_t factor =
        parameter.counts_channels && counts_channels ? factor_between(values, parameter.values) : 0;
    if (factor > 1) return fmt::format("{} * {}", factor, parameter.name);
  }
  return {};
}

const BlockParameters::Slot* BlockParameters::find_slot(size_t place, std::string_view field) const {
  auto found = std::find_if(slots_.begin(), slots_.end(),
                            [&](const Slot& slot) { return slot.place == place && slot.field == field; });
  return found == slots_.end() ? nullptr : &*found;
}

std::string BlockParameters::declarations() const {
  std::string out;
  for (const Parameter& parameter : parameters_)
    if (!parameter.fallback) out += fmt::format(", {}: {}", parameter.name, parameter.type);
  for (const Parameter& parameter : parameters_)
    if (parameter.fallback)
      out += fmt::format(", {}: {} = {}", parameter.name, parameter.type, to_string(*parameter.fallback));
  if (has_optional_) out += fmt::format(", {}: bool = false", kProject);
  return out;
}

std::vector<std::string> BlockParameters::arguments(size_t instance) const {
  std::vector<std::string> out;
  for (const Parameter& parameter : parameters_)
    if (!parameter.fallback) out.push_back(to_string(*parameter.values[instance]));
  for (const Parameter& parameter : parameters_)
    if (parameter.fallback && *parameter.values[instance] != *parameter.fallback)
      out.push_back(fmt::format("{}={}", parameter.name, to_string(*parameter.values[instance])));
  const auto& layers = instances_[instance].layers;
  bool projects =
      std::all_of(layers.begin(), layers.end(), [](const auto& layer) { return layer.has_value(); });
  if (has_optional_ && projects) out.push_back(fmt::format("{}=true", kProject));
  return out;
}

std::vector<std::string> BlockParameters::attributes(size_t place) const {
  const OpAttrs& op = network_.layers[*instances_[0].layers[place]].op;
  std::vector<std::string> out;
  for (const FieldInfo& field : op_info(op).fields) {
    const Slot* slot = find_slot(place, field.name);
    AttrValue value = field_value(op, field);
    if (field.internal || (!slot && !field.is_required && value == field.default_value)) continue;
    std::string text = slot ? expression(slot->values, is_channel_count(field.name)) : to_string(value);
    out.push_back(argument_text(op, {field.name, text}));
  }
  return out;
}

std::string block_name(const Network& network, const BlockInstance& instance) {
  std::vector<int64_t> kernels;  // of the convolutions
  bool adds = false, concatenates = false, is_depthwise = false, is_gated = false;
  for (const std::optional<size_t>& id : instance.layers) {
    const Layer& layer = network.layers[*id];
    if (const auto* conv = std::get_if<Conv>(&layer.op)) {
      kernels.push_back(conv->kernel.h);
      is_depthwise = is_depthwise || (conv->groups == conv->channels && conv->groups > 1);
    }
    is_gated = is_gated || std::holds_alternative<Mul>(layer.op);
    adds = adds || std::holds_alternative<Add>(layer.op);
    concatenates = concatenates || std::holds_alternative<Concat>(layer.op);
  }
  auto begins_with = [&](std::initializer_list<int64_t> list) {
    return kernels.size() >= list.size() && std::equal(list.begin(), list.end(), kernels.begin());
  };
  if (concatenates) return "Branches";
  if (is_depthwise) return adds ? "InvertedResidual" : "Separable";
  if (is_gated && !adds && begins_with({1, 1})) return "SqueezeExcite";
  if (adds && begins_with({1, 3, 1})) return "Bottleneck";
  if (adds && begins_with({3, 3})) return "BasicBlock";
  return adds ? "Residual" : "Block";
}

}  // namespace cardinal::onnx_import
