// Operators and functions on compile-time values.
#pragma once

#include <span>

#include "compiler/language/ast.h"
#include "compiler/language/value.h"

namespace cardinal {

// Neither operand is poison or a tensor; `and` and `or` are not handled here.
Outcome apply_binary(ast::BinaryOp op, const Value& a, const Value& b);
Outcome apply_unary(ast::UnaryOp op, const Value& a);
Outcome apply_index(const Value& base, const Value& index);

struct Builtin {
  std::string_view name;
  std::string_view signature;
  std::string_view summary;
  int min_arguments, max_arguments;  // max < 0: no bound
  Outcome (*apply)(std::span<const Value> arguments);
};
std::span<const Builtin> builtins();
const Builtin* find_builtin(std::string_view name);

}  // namespace cardinal
