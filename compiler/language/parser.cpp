#include "compiler/language/parser.h"

#include <fmt/format.h>

#include "compiler/language/expression_parser.h"
#include "compiler/language/suggest.h"
#include "compiler/language/token_stream.h"

namespace cardinal {

using namespace ast;

namespace {

constexpr uint32_t kMaxBodyDepth = 64;

const std::vector<std::string> kTypeNames = {"int", "float", "bool", "string", "list", "block", "any"};

class Parser {
 public:
  Parser(std::vector<Token> tokens, Diagnostics& diagnostics)
      : tokens_(std::move(tokens), diagnostics), expressions_(tokens_, [this] { return body(true); }) {}

  std::vector<Item> items() {
    std::vector<Item> list;
    for (tokens_.skip_newlines(); !tokens_.at(TokenKind::end); tokens_.skip_newlines()) {
      SourceLocation where = tokens_.peek().where;
      if (std::optional<Item> item = this->item()) {
        item->where = where;
        item->end_line = tokens_.previous().where.line;
        list.push_back(std::move(*item));
        if (tokens_.at(TokenKind::newline) || tokens_.at(TokenKind::end)) continue;
        if (!is_faulty(list.back())) tokens_.expected("the end of the line");
      }
      recover_item();
    }
    return list;
  }

 private:
  std::optional<Item> item() {
    if (tokens_.at("import")) return import_item();
    if (tokens_.at("let")) {
      tokens_.next();
      std::optional<Let> let = this->let();
      if (!let) return std::nullopt;
      return Item{std::move(*let), {}};
    }
    if (tokens_.accept("block")) return callable(CallableKind::block);
    if (tokens_.accept("network")) return callable(CallableKind::network);
    if (tokens_.accept("fn")) return callable(CallableKind::function);
    tokens_.expected("'block', 'network', 'fn', 'let' or 'import'",
                     {"block", "network", "fn", "let", "import"});
    return std::nullopt;
  }

  static bool is_faulty(const Item& item) {
    const auto* callable = std::get_if<Callable>(&item.node);
    return callable && callable->faulty;
  }

  // After a faulty declaration: to the next line that begins one.
  void recover_item() {
    while (!tokens_.at(TokenKind::end)) {
      bool line_start = tokens_.previous().kind == TokenKind::newline;
      bool declares =
          tokens_.at("block") || tokens_.at("network") || tokens_.at("fn") || tokens_.at("import");
      if (line_start && (declares || (tokens_.at("let") && tokens_.peek().where.column == 1))) return;
      tokens_.next();
    }
  }

  std::optional<Item> import_item() {
    tokens_.next();
    if (!tokens_.at(TokenKind::string)) {
      tokens_.expected("a file name in quotes after 'import'");
      return std::nullopt;
    }
    const Token token = tokens_.next();
    return Item{Import{std::string(token.text.substr(1, token.text.size() - 2)), std::string(token.text),
                       token.where, 0},
                {}};
  }

  std::optional<Name> name(std::string_view what) {
    if (!tokens_.at(TokenKind::identifier)) {
      tokens_.expected(what);
      return std::nullopt;
    }
    const Token token = tokens_.next();
    return Name{std::string(token.text), token.where};
  }

  std::optional<Let> let() {
    std::optional<Name> name = this->name("a name after 'let'");
    if (!name || !tokens_.expect("=", "after the name")) return std::nullopt;
    ExprPtr value = expressions_.expression();
    if (!value) return std::nullopt;
    return Let{std::move(*name), std::move(value)};
  }

  std::optional<Item> callable(CallableKind kind) {
    std::optional<Name> name = this->name(fmt::format("a name for the {}", to_string(kind)));
    if (!name) return std::nullopt;
    Callable result;
    result.kind = kind;
    result.name = std::move(*name);
    result.file = result.name.where.file;
    size_t errors = tokens_.diagnostics().list().size();
    if (header(result)) result.body = body(false);
    result.faulty = tokens_.diagnostics().list().size() != errors;
    return Item{std::move(result), {}};
  }

  bool header(Callable& callable) {
    callable.parenthesised = tokens_.at("(");
    if (callable.parenthesised || callable.kind != CallableKind::network) {
      const Token opening = tokens_.peek();
      if (!tokens_.expect("(", "before the parameters") || !parameters(callable, opening)) return false;
    }
    callable.header_end_line = tokens_.previous().where.line;
    return tokens_.at("{") || tokens_.expected(fmt::format("'{{' before the body of {}", callable.name.text));
  }

  bool parameters(Callable& callable, const Token& opening) {
    callable.broken = tokens_.peek().where.line != opening.where.line;
    while (!tokens_.at(")")) {
      std::optional<Name> name = this->name("a parameter's name");
      if (!name) return false;
      ParameterDecl parameter{std::move(*name), std::nullopt, nullptr};
      if (tokens_.accept(":") && !(parameter.type = type())) return false;
      if (tokens_.accept("=") && !(parameter.fallback = expressions_.expression())) return false;
      callable.parameters.push_back(std::move(parameter));
      if (!tokens_.accept(",")) break;
    }
    return tokens_.expect_closing(")", opening);
  }

  std::optional<Type> type(int depth = 0) {
    if (tokens_.at("[") && depth < 8) {
      const Token opening = tokens_.next();
      std::optional<Type> element = type(depth + 1);
      if (!element) return std::nullopt;
      if (!tokens_.accept("]")) {
        Diagnostic* d = tokens_.error(tokens_.peek().where, fmt::format("expected ']' in the type, found {}",
                                                                        describe(tokens_.peek())));
        if (d) d->notes.push_back({opening.where, "to close this '['"});
        return std::nullopt;
      }
      return Type{TypeKind::list, std::make_shared<const Type>(std::move(*element))};
    }
    static const std::pair<std::string_view, TypeKind> kinds[] = {
        {"int", TypeKind::integer},   {"float", TypeKind::floating}, {"bool", TypeKind::boolean},
        {"string", TypeKind::string}, {"list", TypeKind::list},      {"any", TypeKind::any}};
    for (const auto& [spelling, kind] : kinds) {
      if (!tokens_.at_word(spelling)) continue;
      tokens_.next();
      return Type{kind, nullptr};
    }
    if (tokens_.accept("block")) return Type{TypeKind::block, nullptr};
    tokens_.expected("a type: int, float, bool, string, list, block, any or a list such as [int]",
                     kTypeNames);
    return std::nullopt;
  }

  Body body(bool has_value) {
    Body body;
    const Token opening = tokens_.next();
    body.open = opening.where;
    if (++depth_ > kMaxBodyDepth) {
      tokens_.error(opening.where, fmt::format("bodies are nested more than {} levels deep", kMaxBodyDepth));
      skip_body();
    } else {
      statements(body, has_value, opening);
    }
    --depth_;
    body.close = tokens_.previous().where;
    return body;
  }

  void skip_body() {
    for (int open = 1; open > 0 && !tokens_.at(TokenKind::end); tokens_.next()) {
      if (tokens_.at("{")) ++open;
      if (tokens_.at("}")) --open;
    }
  }

  void statements(Body& body, bool has_value, const Token& opening) {
    bool ok = true;
    for (tokens_.skip_newlines(); !tokens_.at("}"); tokens_.skip_newlines()) {
      if (tokens_.at(TokenKind::end) || (depth_ == 1 && starts_declaration())) {
        Diagnostic* d = tokens_.error(tokens_.peek().where,
                                      fmt::format("expected '}}', found {}", describe(tokens_.peek())));
        if (d) d->notes.push_back({opening.where, "to close this '{'"});
        return;
      }
      SourceLocation where = tokens_.peek().where;
      bool good = has_value && !starts_statement() ? tail(body) : statement(body);
      if (good && !body.statements.empty() && !body.tail) {
        body.statements.back().where = where;
        body.statements.back().end_line = tokens_.previous().where.line;
      }
      ok &= good;
      if (good && !tokens_.at(TokenKind::newline) && !tokens_.at("}"))
        good = tokens_.expected("the end of the line");
      if (!good) tokens_.recover();
      if (!good && !tokens_.at("}") && !tokens_.at(TokenKind::newline) && !tokens_.at(TokenKind::end))
        tokens_.next();
    }
    SourceLocation close = tokens_.next().where;
    if (has_value && ok && !body.tail)
      tokens_.error(close, "this branch has no value; its last line must be an expression");
  }

  bool starts_declaration() const {
    return tokens_.peek().where.column == 1 &&
           (tokens_.at("block") || tokens_.at("network") || tokens_.at("fn"));
  }

  bool starts_statement() const {
    if (tokens_.at("let") || tokens_.at("for") || tokens_.at("return")) return true;
    return tokens_.at(TokenKind::identifier) && (tokens_.peek(1).is("=") || tokens_.peek(1).is(","));
  }

  bool tail(Body& body) {
    SourceLocation where = tokens_.peek().where;
    bool is_if = tokens_.at("if");
    ExprPtr value = expressions_.expression();
    if (!value) return false;
    size_t newlines = 0;
    while (tokens_.peek(newlines).kind == TokenKind::newline) ++newlines;
    if (!tokens_.peek(newlines).is("}")) {
      if (tokens_.at(TokenKind::newline))
        tokens_.error(where, is_if ? "statements follow this 'if', so its value is lost; assign it to a name"
                                   : "the value of this line is not used; assign it to a name");
      return false;
    }
    body.tail = std::move(value);
    return true;
  }

  bool statement(Body& body) {
    if (!body.statements.empty() && std::holds_alternative<Return>(body.statements.back().node)) {
      Diagnostic* d = tokens_.error(tokens_.peek().where, "nothing runs after 'return'");
      if (d) d->notes.push_back({body.statements.back().where, "returns here"});
      return false;
    }
    std::optional<Stmt> result = statement_node();
    if (result) body.statements.push_back(std::move(*result));
    return result.has_value();
  }

  std::optional<Stmt> statement_node() {
    if (tokens_.accept("let")) {
      std::optional<Let> let = this->let();
      if (!let) return std::nullopt;
      return Stmt{std::move(*let), {}};
    }
    if (tokens_.at("for")) return for_loop();
    if (tokens_.at("if")) {
      std::optional<If> chain = expressions_.if_chain([this] { return body(false); });
      if (!chain) return std::nullopt;
      return Stmt{Branch{std::move(*chain)}, {}};
    }
    if (tokens_.at("return")) return return_statement();
    if (tokens_.at_word("input") && tokens_.peek(1).kind == TokenKind::identifier) return input();
    if (tokens_.at(TokenKind::identifier) && (tokens_.peek(1).is("=") || tokens_.peek(1).is(",")))
      return assignment();
    if (tokens_.at_word("convention")) return convention();
    return misplaced();
  }

  std::optional<Stmt> misplaced() {
    const Token token = tokens_.peek();
    bool worded = token.kind == TokenKind::identifier && tokens_.peek(1).kind == TokenKind::identifier;
    std::string hint =
        worded ? did_you_mean(token.text, {"let", "for", "return", "input", "if", "convention"}) : "";
    if (!hint.empty() || token.is("block") || token.is("network") || token.is("fn") || token.is("import")) {
      tokens_.error(token.where, fmt::format("expected a statement, found {}{}", describe(token), hint));
      return std::nullopt;
    }
    if (expressions_.expression())
      tokens_.error(token.where, "the value of this line is not used; assign it to a name, as in 'y = ...'");
    return std::nullopt;
  }

  std::optional<Stmt> assignment() {
    Assign assign;
    do {
      std::optional<Name> name = this->name("a name to assign to");
      if (!name) return std::nullopt;
      assign.names.push_back(std::move(*name));
    } while (tokens_.accept(","));
    if (!tokens_.expect("=", "after the names to assign to")) return std::nullopt;
    assign.value = expressions_.expression();
    if (!assign.value) return std::nullopt;
    return Stmt{std::move(assign), {}};
  }

  std::optional<Stmt> for_loop() {
    tokens_.next();
    std::optional<Name> variable = name("a name for the loop variable");
    if (!variable || !tokens_.expect("in", "after the loop variable")) return std::nullopt;
    ExprPtr iterable = expressions_.expression();
    if (!iterable) return std::nullopt;
    if (!tokens_.at("{")) {
      tokens_.expected("'{' before the loop's body");
      return std::nullopt;
    }
    Body body = this->body(false);
    return Stmt{For{std::move(*variable), std::move(iterable), std::move(body)}, {}};
  }

  // `layout=nhwc` after an input's type or a returned value.
  bool layout(ExprPtr& out) {
    if (!tokens_.at_word("layout") || !tokens_.peek(1).is("=")) return true;
    tokens_.next();
    tokens_.next();
    out = expressions_.primary();
    return out != nullptr;
  }

  std::optional<Stmt> return_statement() {
    tokens_.next();
    Return result;
    if (tokens_.at(TokenKind::newline) || tokens_.at("}")) {
      tokens_.expected("a value after 'return'");
      return std::nullopt;
    }
    do {
      Return::Item item;
      if (tokens_.at(TokenKind::identifier) && tokens_.peek(1).is("=")) {
        item.name = name("a name");
        tokens_.next();
      }
      item.value = expressions_.expression();
      if (!item.value || !layout(item.layout)) return std::nullopt;
      result.items.push_back(std::move(item));
    } while (tokens_.accept(","));
    return Stmt{std::move(result), {}};
  }

  std::optional<Stmt> convention() {
    ConventionStmt result;
    result.where = tokens_.next().where;
    if (tokens_.at(TokenKind::newline) || tokens_.at("}")) {
      tokens_.expected("a convention such as keras");
      return std::nullopt;
    }
    result.value = expressions_.expression();
    if (!result.value) return std::nullopt;
    return Stmt{std::move(result), {}};
  }

  std::optional<Stmt> input() {
    tokens_.next();
    InputStmt result;
    result.name = *name("a name for the input");
    if (!tokens_.expect(":", "and a type such as f32[1, 3, 224, 224] after the input's name"))
      return std::nullopt;
    std::optional<Name> dtype = name("an element type such as f32");
    if (!dtype) return std::nullopt;
    result.dtype = std::move(*dtype);
    const Token opening = tokens_.peek();
    if (!tokens_.expect("[", "and the input's dimensions")) return std::nullopt;
    while (!tokens_.at("]")) {
      ExprPtr dim = expressions_.expression();
      if (!dim) return std::nullopt;
      result.dims.push_back(std::move(dim));
      if (!tokens_.accept(",")) break;
    }
    if (!tokens_.expect_closing("]", opening) || !layout(result.layout)) return std::nullopt;
    return Stmt{std::move(result), {}};
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  uint32_t depth_ = 0;
};

}  // namespace

SourceFile parse_source(const SourceMap& sources, uint32_t file, Diagnostics& diagnostics) {
  SourceFile result;
  result.id = file;
  std::string_view text = sources.text(file);
  if (!check_encoding(text, file, diagnostics)) return result;
  SourceLocation start{file, 1, 1, 1};
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    text.remove_prefix(3);
    start.column = 4;
  }
  Tokens tokens = lex({text, start}, diagnostics);
  result.comments = std::move(tokens.comments);
  result.items = Parser(std::move(tokens.list), diagnostics).items();
  return result;
}

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
