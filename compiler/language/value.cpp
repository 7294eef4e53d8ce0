#include "compiler/language/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cardinal {

const std::string* Value::string() const {
  const auto* pointer = as<std::shared_ptr<const std::string>>();
  return pointer ? pointer->get() : nullptr;
}

const List* Value::list() const {
  const auto* pointer = as<std::shared_ptr<const List>>();
  return pointer ? pointer->get() : nullptr;
}

Value make_string(std::string text) { return {std::make_shared<const std::string>(std::move(text))}; }

Value make_list(std::vector<Value> elements) {
  auto list = std::make_shared<List>();
  list->elements = std::move(elements);
  for (const Value& element : list->elements) {
    if (element.list()) list->depth = std::max(list->depth, element.list()->depth + 1);
    list->has_tensors |= element.has_tensors();
    list->has_poison |= element.is_poison() || (element.list() && element.list()->has_poison);
  }
  return {std::shared_ptr<const List>(std::move(list))};
}

std::string list_problem(const std::vector<Value>& elements) {
  if (elements.size() > kMaxListLength)
    return fmt::format("a list of {} elements is too long; the limit is {}", elements.size(), kMaxListLength);
  for (const Value& element : elements)
    if (element.list() && element.list()->depth >= kMaxListDepth)
      return fmt::format("lists are nested more than {} levels deep", kMaxListDepth);
  return {};
}

std::string type_name(const Value& value) {
  static const char* const names[] = {"unknown", "int", "float", "bool", "string", "list", "tensor", "block"};
  const auto* callable = value.as<CallableValue>();
  if (callable && callable->op) return "op";
  if (callable && callable->user->kind == ast::CallableKind::function) return "fn";
  return names[value.data.index()];
}

std::string with_article(std::string_view noun) {
  bool vowel = !noun.empty() && std::string_view("aio").find(noun[0]) != std::string_view::npos;
  return fmt::format("{} {}", vowel ? "an" : "a", noun);
}

namespace {

std::string show_float(double x) {
  std::string text = fmt::format("{}", x);
  if (std::isfinite(x) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

void show_into(std::string& out, const Value& value) {
  constexpr size_t kEnough = 60;
  if (const auto* i = value.as<int64_t>()) out += fmt::format("{}", *i);
  if (const auto* d = value.as<double>()) out += show_float(*d);
  if (const auto* b = value.as<bool>()) out += *b ? "true" : "false";
  if (const std::string* s = value.string()) out += fmt::format("\"{}\"", s->substr(0, kEnough));
  if (const auto* c = value.as<CallableValue>())
    out += c->user ? c->user->name.text : std::string(c->op->name);
  if (value.is_tensor()) out += "a tensor";
  if (value.is_poison()) out += "?";
  if (const List* list = value.list()) {
    out += '[';
    for (size_t i = 0; i < list->elements.size(); ++i) {
      if (i > 0) out += ", ";
      if (out.size() > kEnough) {
        out += "...";
        break;
      }
      show_into(out, list->elements[i]);
    }
    out += ']';
  }
}

}  // namespace

std::string show(const Value& value) {
  std::string out;
  show_into(out, value);
  return out;
}

std::string show_with_type(const Value& value) {
  if (value.is_tensor()) return "a tensor";
  if (value.has_tensors()) return "a list of tensors";
  return fmt::format("the {} {}", type_name(value), show(value));
}

namespace {

// `budget` bounds the comparison of lists that share their elements many times over.
bool equal_within(const Value& a, const Value& b, size_t& budget) {
  if (budget == 0) return false;
  --budget;
  if (a.is_number() && b.is_number()) {
    if (a.as<int64_t>() && b.as<int64_t>()) return *a.as<int64_t>() == *b.as<int64_t>();
    return a.number() == b.number();
  }
  if (a.data.index() != b.data.index()) return false;
  if (const auto* x = a.as<bool>()) return *x == *b.as<bool>();
  if (a.string()) return *a.string() == *b.string();
  if (a.is_tensor()) return a.as<TensorValue>()->id == b.as<TensorValue>()->id;
  if (const auto* x = a.as<CallableValue>())
    return x->user == b.as<CallableValue>()->user && x->op == b.as<CallableValue>()->op;
  if (!a.list()) return false;
  if (a.list() == b.list()) return true;
  const auto &x = a.list()->elements, &y = b.list()->elements;
  return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                    [&](const Value& p, const Value& q) { return equal_within(p, q, budget); });
}

}  // namespace

bool equal(const Value& a, const Value& b) {
  size_t budget = 4 * kMaxListLength;
  return equal_within(a, b, budget);
}

bool matches(const Value& value, const ast::Type& type) {
  switch (type.kind) {
    case ast::TypeKind::any:
      return true;
    case ast::TypeKind::tensor:
      return value.may_be_tensors();
    case ast::TypeKind::integer:
      return value.as<int64_t>();
    case ast::TypeKind::floating:
      return value.is_number();
    case ast::TypeKind::boolean:
      return value.as<bool>();
    case ast::TypeKind::string:
      return value.string();
    case ast::TypeKind::block:
      return value.as<CallableValue>();
    case ast::TypeKind::list:
      break;
  }
  if (!value.list()) return false;
  if (!type.element) return true;
  const auto& elements = value.list()->elements;
  return std::all_of(elements.begin(), elements.end(),
                     [&](const Value& e) { return e.is_poison() || matches(e, *type.element); });
}

}  // namespace cardinal
