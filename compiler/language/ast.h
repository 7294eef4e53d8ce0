// The tree that the parser makes, the formatter prints and the elaborator runs. A namespace of its own,
// because the language's `input` and the IR's are both called InputStmt.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "compiler/language/lexer.h"
#include "ir/source.h"

namespace cardinal::ast {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;

struct Name {
  std::string text;
  SourceLocation where;
};

// Statements in braces; `tail` is the value of a branch of an `if` expression.
struct Body {
  std::vector<Stmt> statements;
  ExprPtr tail;
  SourceLocation open, close;  // the braces
};

// ---- expressions
// -------------------------------------------------------------------------------------------------

struct IntLiteral {
  int64_t value;
  std::string text;
};
struct FloatLiteral {
  double value;
  std::string text;
};
struct BoolLiteral {
  bool value;
};
// "layer{i + 1}": texts has one element more than values.
struct StringLiteral {
  std::vector<std::string> texts;
  std::vector<ExprPtr> values;
  std::string source;  // as written, with quotes
};
struct ListLiteral {
  std::vector<ExprPtr> elements;
  bool broken;  // a newline follows the '['
  uint32_t close_line;
};
struct NameRef {
  std::string name;
};
enum class UnaryOp : uint8_t { negate, logical_not };
struct Unary {
  UnaryOp op;
  ExprPtr operand;
};
enum class BinaryOp : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  logical_and,
  logical_or,
  range
};
std::string_view spelling(BinaryOp op);
struct Binary {
  BinaryOp op;
  SourceLocation op_where;
  ExprPtr left, right;
};
struct Index {
  ExprPtr base, index;
};
struct Paren {
  ExprPtr inner;
};

// One part of a layer's name: text after a '.', or an index or a string that is computed.
struct LabelPart {
  std::string text;  // used when value is empty
  ExprPtr value;
  bool bracketed = false;  // written [value]
};
struct Label {
  std::vector<LabelPart> parts;
  bool reuse = false;  // written reuse name: the weights are those of an earlier layer
  SourceLocation where;
};
struct Argument {
  std::optional<Name> name;
  ExprPtr value;
};
struct Call {
  std::optional<Label> label;
  Name callee;
  std::vector<Argument> arguments;
  bool parenthesised = true;  // a stage of a pipe may leave the empty parentheses out
  bool broken = false;
  uint32_t close_line = 0;
};
struct Pipe {
  ExprPtr head;
  std::vector<ExprPtr> stages;  // each a Call
};
struct If {
  struct Arm {
    ExprPtr condition;
    Body body;
  };
  std::vector<Arm> arms;
  std::optional<Body> otherwise;
};

struct Expr {
  std::variant<IntLiteral, FloatLiteral, BoolLiteral, StringLiteral, ListLiteral, NameRef, Unary, Binary,
               Index, Paren, Call, Pipe, If>
      node;
  SourceLocation
      where;  // the narrowest span that stands for it: a literal, a name, an operator's operands' start
  uint32_t line = 0;      // its first line
  uint32_t end_line = 0;  // its last line
  uint32_t depth = 1;     // height of its tree, bounded by the parser
  template <class T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
};

// ---- statements
// --------------------------------------------------------------------------------------------------

struct Let {
  Name name;
  ExprPtr value;
};
struct Assign {
  std::vector<Name> names;
  ExprPtr value;
};
struct For {
  Name variable;
  ExprPtr iterable;
  Body body;
};
struct Branch {
  If branch;
};
struct Return {
  struct Item {
    std::optional<Name> name;
    ExprPtr value;
    ExprPtr layout;
  };
  std::vector<Item> items;
};
struct InputStmt {
  Name name;
  Name dtype;
  std::vector<ExprPtr> dims;
  ExprPtr layout;
};
struct ConventionStmt {
  ExprPtr value;
  SourceLocation where;  // of the word itself
};

// What has a syntax error; the rest of its body can be checked all the same.
struct Unreadable {
  std::vector<Name> names;  // that it may have given values
  bool returns = false;
};

struct Stmt {
  std::variant<Let, Assign, For, Branch, Return, InputStmt, ConventionStmt, Unreadable> node;
  SourceLocation where;
  uint32_t end_line = 0;
};

// ---- declarations
// ------------------------------------------------------------------------------------------------

enum class TypeKind : uint8_t { tensor, integer, floating, boolean, string, list, block, any };

struct Type {
  TypeKind kind = TypeKind::tensor;
  std::shared_ptr<const Type> element;  // of a list; empty for `list`, whose elements may be anything
};
std::string to_string(const Type& type);
std::string described(const Type& type);  // "an int", "a list of ints"

struct ParameterDecl {
  Name name;
  std::optional<Type> type;  // none: a tensor
  ExprPtr fallback;
};

enum class CallableKind : uint8_t { block, network, function };
const char* to_string(CallableKind kind);

struct Callable {
  CallableKind kind;
  Name name;
  std::vector<ParameterDecl> parameters;
  bool parenthesised = true;
  bool broken = false;
  uint32_t header_end_line = 0;
  Body body;
  uint32_t file = 0;
  bool faulty = false;  // has syntax errors outside of single statements: known by name, never run
};

struct Import {
  std::string path;    // as written
  std::string source;  // with quotes
  SourceLocation path_where;
  uint32_t file = 0;  // what it names; 0 if it could not be read
};

struct Item {
  std::variant<Import, Let, Callable> node;
  SourceLocation where;
  uint32_t end_line = 0;
};

struct SourceFile {
  uint32_t id = 0;  // in the SourceMap
  std::vector<Item> items;
  std::vector<Name> unreadable;  // constants with syntax errors
  bool incomplete = false;       // an import has syntax errors
  std::vector<Comment> comments;
};

}  // namespace cardinal::ast
