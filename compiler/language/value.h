// What expressions evaluate to. Values are immutable and share their contents, so copying one is cheap.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "compiler/language/ast.h"
#include "ir/graph.h"

namespace cardinal {

struct Value;

// Lists are bounded in length and in nesting, so that whatever walks them ends soon and needs little stack.
inline constexpr size_t kMaxListLength = 1 << 20;
inline constexpr uint32_t kMaxListDepth = 8;
inline constexpr size_t kMaxStringLength = 1 << 16;

struct List {
  std::vector<Value> elements;
  uint32_t depth = 1;
  bool has_tensors = false;
  bool has_poison = false;
};

// What an error has been reported for already; whatever is computed from it is poison too, in silence.
struct Poison {};
struct TensorValue {
  NodeId id;
};
// Something to call: one of the two is set.
struct CallableValue {
  const ast::Callable* user = nullptr;
  const OpInfo* op = nullptr;
};
// How a number came about that will surprise whoever needs an int ("96 / 36 does not come out even").
struct Origin {
  SourceLocation where;
  std::string text;
};

struct Value {
  std::variant<Poison, int64_t, double, bool, std::shared_ptr<const std::string>, std::shared_ptr<const List>,
               TensorValue, CallableValue>
      data;
  std::shared_ptr<const Origin> origin = nullptr;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
  bool is_poison() const { return data.index() == 0; }
  bool is_number() const { return as<int64_t>() || as<double>(); }
  bool is_tensor() const { return as<TensorValue>(); }
  double number() const { return as<int64_t>() ? static_cast<double>(*as<int64_t>()) : *as<double>(); }
  const std::string* string() const;
  const List* list() const;
  bool has_tensors() const { return is_tensor() || (list() && list()->has_tensors); }
  // An empty list is one of values and one of tensors.
  bool may_be_tensors() const {
    return has_tensors() || (list() && (list()->has_poison || list()->elements.empty()));
  }
};

Value make_string(std::string text);
// The elements must be few enough and flat enough; see list_problem.
Value make_list(std::vector<Value> elements);
std::string list_problem(const std::vector<Value>& elements);  // "" if they can be a list

std::string type_name(const Value& value);        // "int", "list", "tensor"
std::string with_article(std::string_view noun);  // "an int", "a list"
std::string show(const Value& value);             // as the language writes it, shortened where long
std::string show_with_type(const Value& value);   // "the int 3", "a tensor"
bool equal(const Value& a, const Value& b);       // an int equals a float of the same value
// Whether the value is of the type; an int is a float too.
bool matches(const Value& value, const ast::Type& type);

// A value, or what is wrong ("division by zero").
using Outcome = std::variant<Value, std::string>;

}  // namespace cardinal
