// How messages and the formatter spell what the tree holds.
#include "compiler/language/ast.h"

#include <fmt/format.h>

namespace cardinal {

std::string_view ast::spelling(BinaryOp op) {
  static constexpr std::string_view names[] = {
      "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or", ".."};
  return names[static_cast<size_t>(op)];
}

const char* ast::to_string(CallableKind kind) {
  switch (kind) {
    case CallableKind::block:
      return "block";
    case CallableKind::network:
      return "network";
    default:
      return "fn";
  }
}

std::string ast::described(const Type& type) {
  if (type.kind == TypeKind::list && !type.element) return "a list";
  if (type.kind == TypeKind::list && type.element->kind == TypeKind::list)
    return fmt::format("a list of lists ({})", to_string(type));
  if (type.kind == TypeKind::list) return fmt::format("a list of {}s", to_string(*type.element));
  bool vowel = type.kind == TypeKind::integer || type.kind == TypeKind::any;
  return fmt::format("{} {}", vowel ? "an" : "a", to_string(type));
}

std::string ast::to_string(const Type& type) {
  switch (type.kind) {
    case TypeKind::tensor:
      return "tensor";
    case TypeKind::integer:
      return "int";
    case TypeKind::floating:
      return "float";
    case TypeKind::boolean:
      return "bool";
    case TypeKind::string:
      return "string";
    case TypeKind::list:
      return type.element ? "[" + to_string(*type.element) + "]" : "list";
    case TypeKind::block:
      return "block";
    case TypeKind::any:
      return "any";
  }
  return "any";
}

}  // namespace cardinal
