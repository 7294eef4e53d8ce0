#include "compiler/language/expression_parser.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace cardinal {

using namespace ast;

namespace {

struct OperatorRow {
  std::string_view spelling;
  BinaryOp op;
  int precedence;
};
// From loosest to tightest; power is right-associative and handled apart, pipes are looser than all.
constexpr OperatorRow kOperators[] = {
    {"..", BinaryOp::range, 1},      {"or", BinaryOp::logical_or, 2},   {"and", BinaryOp::logical_and, 3},
    {"==", BinaryOp::equal, 5},      {"!=", BinaryOp::not_equal, 5},    {"<", BinaryOp::less, 5},
    {"<=", BinaryOp::less_equal, 5}, {">", BinaryOp::greater, 5},       {">=", BinaryOp::greater_equal, 5},
    {"+", BinaryOp::add, 6},         {"-", BinaryOp::subtract, 6},      {"*", BinaryOp::multiply, 7},
    {"/", BinaryOp::divide, 7},      {"//", BinaryOp::floor_divide, 7}, {"%", BinaryOp::modulo, 7}};
constexpr int kComparison = 5;

const OperatorRow* find_operator(const Token& token) {
  if (token.kind != TokenKind::symbol && token.kind != TokenKind::keyword) return nullptr;
  for (const OperatorRow& row : kOperators)
    if (row.spelling == token.text) return &row;
  return nullptr;
}

class Nesting {
 public:
  explicit Nesting(uint32_t& count) : count_(++count) {}
  ~Nesting() { --count_; }

 private:
  uint32_t& count_;
};

}  // namespace

ExprPtr ExpressionParser::make(decltype(Expr::node) node, SourceLocation where, uint32_t line,
                               std::initializer_list<const Expr*> children) {
  auto expr = std::make_unique<Expr>(Expr{std::move(node), where, line, tokens_.previous().where.line, 1});
  for (const Expr* child : children) expr->depth = std::max(expr->depth, child->depth + 1);
  if (expr->depth > kMaxExpressionDepth) {
    tokens_.error(where,
                  fmt::format("this expression is nested more than {} levels deep; split it up with 'let'",
                              kMaxExpressionDepth));
    return nullptr;
  }
  return expr;
}

bool ExpressionParser::enter() {
  if (nesting_ <= kMaxNesting) return true;
  tokens_.error(tokens_.peek().where,
                fmt::format("this expression is nested more than {} levels deep", kMaxExpressionDepth));
  return false;
}

ExprPtr ExpressionParser::expression() {
  Nesting nesting(nesting_);
  return enter() ? pipe() : nullptr;
}

ExprPtr ExpressionParser::pipe() {
  uint32_t line = tokens_.peek().where.line;
  ExprPtr head = binary(1);
  if (!head || !tokens_.at("|>")) return head;
  SourceLocation where = head->where;
  Pipe pipe;
  uint32_t depth = head->depth;
  pipe.head = std::move(head);
  while (tokens_.accept("|>")) {
    ExprPtr stage = this->stage();
    if (!stage) return nullptr;
    depth = std::max(depth, stage->depth);
    pipe.stages.push_back(std::move(stage));
  }
  if (find_operator(tokens_.peek()) || tokens_.at("**")) {
    tokens_.error(tokens_.peek().where,
                  fmt::format("'{}' cannot follow a pipe; put the pipe in parentheses or name its "
                              "result first",
                              tokens_.peek().text));
    return nullptr;
  }
  ExprPtr result = make(std::move(pipe), where, line);
  result->depth = depth + 1;
  return result;
}

ExprPtr ExpressionParser::stage() {
  std::optional<Label> label = this->label();
  if (bad_label_) return nullptr;
  if (!tokens_.at(TokenKind::identifier)) {
    tokens_.expected("an op or a block after '|>'");
    return nullptr;
  }
  return call(std::move(label), false);
}

ExprPtr ExpressionParser::binary(int minimum) {
  uint32_t line = tokens_.peek().where.line;
  ExprPtr left = unary();
  while (left) {
    const OperatorRow* row = find_operator(tokens_.peek());
    if (!row || row->precedence < minimum) return left;
    SourceLocation where = tokens_.next().where;
    ExprPtr right = binary(row->precedence + 1);
    if (!right) return nullptr;
    const Expr *l = left.get(), *r = right.get();
    left = make(Binary{row->op, where, std::move(left), std::move(right)}, where, line, {l, r});
    const OperatorRow* following = left ? find_operator(tokens_.peek()) : nullptr;
    if (row->precedence == kComparison && following && following->precedence == kComparison) {
      tokens_.error(tokens_.peek().where, "comparisons cannot be chained; join them with 'and'");
      return nullptr;
    }
  }
  return nullptr;
}

ExprPtr ExpressionParser::unary() {
  Nesting nesting(nesting_);
  if (!enter()) return nullptr;
  const Token token = tokens_.peek();
  if (tokens_.at("!")) {
    tokens_.error(token.where, "unexpected '!'; negation is written 'not'");
    return nullptr;
  }
  if (tokens_.accept("-") || tokens_.accept("not")) {
    bool negate = token.text == "-";
    // `not a == b` means not (a == b); -a * b means (-a) * b.
    ExprPtr operand = negate ? unary() : binary(kComparison);
    if (!operand) return nullptr;
    const Expr* o = operand.get();
    return make(Unary{negate ? UnaryOp::negate : UnaryOp::logical_not, std::move(operand)}, token.where,
                token.where.line, {o});
  }
  return power();
}

ExprPtr ExpressionParser::power() {
  uint32_t line = tokens_.peek().where.line;
  ExprPtr base = postfix();
  if (!base || !tokens_.at("**")) return base;
  SourceLocation where = tokens_.next().where;
  ExprPtr exponent = unary();
  if (!exponent) return nullptr;
  const Expr *b = base.get(), *e = exponent.get();
  return make(Binary{BinaryOp::power, where, std::move(base), std::move(exponent)}, where, line, {b, e});
}

ExprPtr ExpressionParser::primary() { return postfix(); }

ExprPtr ExpressionParser::postfix() {
  uint32_t line = tokens_.peek().where.line;
  ExprPtr base = atom();
  while (base && tokens_.at("[")) {
    const Token opening = tokens_.next();
    ExprPtr index = expression();
    if (!index || !tokens_.expect_closing("]", opening)) return nullptr;
    SourceLocation where = base->where;
    const Expr *b = base.get(), *i = index.get();
    base = make(Index{std::move(base), std::move(index)}, where, line, {b, i});
  }
  return base;
}

ExprPtr ExpressionParser::atom() {
  const Token token = tokens_.peek();
  if (std::optional<Label> label = this->label()) {
    if (tokens_.at(TokenKind::identifier)) return call(std::move(label), true);
    tokens_.expected("an op or a block after the layer's name");
    return nullptr;
  }
  if (bad_label_) return nullptr;
  switch (token.kind) {
    case TokenKind::integer:
    case TokenKind::floating:
      return number();
    case TokenKind::string:
      return string();
    case TokenKind::identifier:
      return name_or_call();
    default:
      break;
  }
  if (tokens_.accept("true")) return make(BoolLiteral{true}, token.where, token.where.line);
  if (tokens_.accept("false")) return make(BoolLiteral{false}, token.where, token.where.line);
  if (tokens_.at("(")) return parenthesised();
  if (tokens_.at("[")) return list();
  if (tokens_.at("if")) {
    std::optional<If> chain = if_chain(parse_body_);
    if (!chain) return nullptr;
    if (chain->otherwise) return make(std::move(*chain), token.where, token.where.line);
    tokens_.error(token.where, "an 'if' that is used as a value needs an 'else'");
    return nullptr;
  }
  tokens_.expected("an expression");
  return nullptr;
}

ExprPtr ExpressionParser::number() {
  const Token token = tokens_.next();
  const char *begin = token.text.data(), *end = begin + token.text.size();
  std::string shown(token.text.substr(0, 40));
  if (token.kind == TokenKind::integer) {
    int64_t value = 0;
    auto [rest, code] = std::from_chars(begin, end, value);
    if (code == std::errc() && rest == end)
      return make(IntLiteral{value, std::string(token.text)}, token.where, token.where.line);
    tokens_.error(token.where, fmt::format("{} does not fit an int; the largest is {}", shown, INT64_MAX));
    return nullptr;
  }
  double value = 0;
  auto [rest, code] = std::from_chars(begin, end, value);
  if (code == std::errc() && rest == end && std::isfinite(value))
    return make(FloatLiteral{value, std::string(token.text)}, token.where, token.where.line);
  tokens_.error(token.where, fmt::format("{} does not fit a float", shown));
  return nullptr;
}

ExprPtr ExpressionParser::string() {
  const Token token = tokens_.next();
  StringLiteral literal{{""}, {}, std::string(token.text)};
  std::string_view text = token.text.substr(1, token.text.size() - 2);
  uint32_t depth = 1;
  auto place = [&](size_t i, size_t length) {
    SourceLocation where = token.where;
    where.column += static_cast<uint32_t>(i + 1);
    where.length = static_cast<uint32_t>(length);
    return where;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\\') {
      char escaped = text[++i];
      if (std::string_view("\\\"{}").find(escaped) == std::string_view::npos) {
        tokens_.error(place(i - 1, 2), "unknown escape; only \\\\, \\\", \\{ and \\} have a meaning");
        return nullptr;
      }
      literal.texts.back() += escaped;
    } else if (c == '{') {
      size_t end = text.find('}', i);
      if (end == std::string_view::npos) {
        tokens_.error(place(i, 1), "this '{' has no '}' in its string; a brace itself is written \\{");
        return nullptr;
      }
      Tokens inner = lex({text.substr(i + 1, end - i - 1), place(i + 1, 1)}, tokens_.diagnostics());
      std::erase_if(inner.list, [](const Token& t) { return t.kind == TokenKind::newline; });
      TokenStream stream(std::move(inner.list), tokens_.diagnostics());
      ExpressionParser parser(stream, [&] { return Body{}; });
      parser.nesting_ = nesting_;
      ExprPtr value = parser.expression();
      if (value && !stream.at(TokenKind::end)) {
        stream.expected("'}' after the expression in a string");
        value = nullptr;
      }
      if (!value) return nullptr;
      depth = std::max(depth, value->depth + 1);
      literal.values.push_back(std::move(value));
      literal.texts.emplace_back();
      i = end;
    } else if (c == '}') {
      tokens_.error(place(i, 1), "this '}' has no '{'; a brace itself is written \\}");
      return nullptr;
    } else {
      literal.texts.back() += c;
    }
  }
  ExprPtr result = make(std::move(literal), token.where, token.where.line);
  if (result) result->depth = depth;
  return result;
}

ExprPtr ExpressionParser::list() {
  const Token opening = tokens_.next();
  ListLiteral list;
  list.broken = tokens_.peek().where.line != opening.where.line;
  uint32_t depth = 0;
  while (!tokens_.at("]")) {
    ExprPtr element = expression();
    if (!element) return nullptr;
    depth = std::max(depth, element->depth);
    list.elements.push_back(std::move(element));
    if (!tokens_.accept(",")) break;
  }
  if (!tokens_.expect_closing("]", opening)) return nullptr;
  list.close_line = tokens_.previous().where.line;
  ExprPtr result = make(std::move(list), opening.where, opening.where.line);
  result->depth = depth + 1;
  return result;
}

ExprPtr ExpressionParser::parenthesised() {
  const Token opening = tokens_.next();
  ExprPtr inner = expression();
  if (!inner) return nullptr;
  if (tokens_.at(",")) {
    tokens_.error(tokens_.peek().where, "there are no tuples; write a list, [a, b]");
    return nullptr;
  }
  if (!tokens_.at(")")) {
    Diagnostic* d =
        tokens_.error(tokens_.peek().where, fmt::format("expected ')', found {}", describe(tokens_.peek())));
    if (d) d->notes.push_back({opening.where, "to close this '('"});
    return nullptr;
  }
  tokens_.next();
  SourceLocation where = inner->where;
  const Expr* i = inner.get();
  return make(Paren{std::move(inner)}, where, opening.where.line, {i});
}

ExprPtr ExpressionParser::name_or_call() {
  if (tokens_.peek(1).is("(")) return call(std::nullopt, true);
  const Token token = tokens_.next();
  return make(NameRef{std::string(token.text)}, token.where, token.where.line);
}

ExprPtr ExpressionParser::call(std::optional<Label> label, bool needs_parentheses) {
  uint32_t line = label ? label->where.line : tokens_.peek().where.line;
  const Token token = tokens_.next();
  Call call;
  call.label = std::move(label);
  call.callee = {std::string(token.text), token.where};
  call.parenthesised = tokens_.at("(");
  if (call.parenthesised) {
    const Token opening = tokens_.next();
    if (!arguments(call, opening)) return nullptr;
  } else if (needs_parentheses) {
    tokens_.error(tokens_.peek().where,
                  fmt::format("expected '(' after '{}', found {}", token.text, describe(tokens_.peek())));
    return nullptr;
  }
  call.close_line = tokens_.previous().where.line;
  uint32_t depth = 0;
  for (const Argument& argument : call.arguments) depth = std::max(depth, argument.value->depth);
  if (call.label)
    for (const LabelPart& part : call.label->parts)
      if (part.value) depth = std::max(depth, part.value->depth);
  SourceLocation where = call.callee.where;
  ExprPtr result = make(std::move(call), where, line);
  result->depth = depth + 1;
  return result;
}

bool ExpressionParser::arguments(Call& call, const Token& opening) {
  call.broken = tokens_.peek().where.line != opening.where.line;
  while (!tokens_.at(")")) {
    Argument argument;
    if (tokens_.at(TokenKind::identifier) && tokens_.peek(1).is("=")) {
      const Token name = tokens_.next();
      tokens_.next();
      argument.name = Name{std::string(name.text), name.where};
    }
    argument.value = expression();
    if (!argument.value) return false;
    if (!argument.name && !call.arguments.empty() && call.arguments.back().name) {
      tokens_.error(argument.value->where, "arguments without a name come before those with one");
      return false;
    }
    call.arguments.push_back(std::move(argument));
    if (!tokens_.accept(",")) break;
  }
  return tokens_.expect_closing(")", opening);
}

std::optional<Label> ExpressionParser::label() {
  bad_label_ = false;
  // Looks ahead for the ':' first, so that errors inside the parts are reported only for what is a label.
  int depth = 0;
  for (size_t i = 0;; ++i) {
    const Token& token = tokens_.peek(i);
    if (token.is("[")) {
      ++depth;
    } else if (token.is("]")) {
      if (--depth < 0) return std::nullopt;
    } else if (depth == 0) {
      if (token.is(":")) {
        if (i == 0) return std::nullopt;
        break;
      }
      bool part = token.kind == TokenKind::identifier || token.kind == TokenKind::integer ||
                  token.kind == TokenKind::string || token.kind == TokenKind::floating || token.is(".");
      if (token.kind == TokenKind::keyword)  // looks like a part; label_part says why it is none
        part = tokens_.peek(i + 1).is(":") || tokens_.peek(i + 1).is(".") ||
               (i > 0 && tokens_.peek(i - 1).is("."));
      if (!part) return std::nullopt;
    } else if (token.kind == TokenKind::newline || token.kind == TokenKind::end) {
      return std::nullopt;
    }
  }
  Label label;
  label.where = tokens_.peek().where;
  for (bool first = true; !tokens_.at(":"); first = false) {
    if (!label_part(label, first)) {
      bad_label_ = true;
      return std::nullopt;
    }
  }
  const Token& last = tokens_.previous();
  if (last.where.line == label.where.line)
    label.where.length = last.where.column + last.where.length - label.where.column;
  tokens_.next();
  return label;
}

bool ExpressionParser::label_part(Label& label, bool first) {
  if (tokens_.at("[")) {
    const Token opening = tokens_.next();
    ExprPtr index = expression();
    if (!index || !tokens_.expect_closing("]", opening)) return false;
    label.parts.push_back({"", std::move(index), true});
    return true;
  }
  if (!first && !tokens_.accept(".")) return tokens_.expected("'.', '[' or ':' in a layer's name");
  if (tokens_.at(TokenKind::string)) {
    ExprPtr value = string();
    if (!value) return false;
    label.parts.push_back({"", std::move(value), false});
    return true;
  }
  if (tokens_.at(TokenKind::keyword)) {
    tokens_.error(
        tokens_.peek().where,
        fmt::format("'{0}' is a keyword; in a layer's name write it as \"{0}\"", tokens_.peek().text));
    return false;
  }
  if (!tokens_.at(TokenKind::identifier) && !tokens_.at(TokenKind::integer))
    return tokens_.expected("a part of a layer's name");
  label.parts.push_back({std::string(tokens_.next().text), nullptr, false});
  return true;
}

std::optional<If> ExpressionParser::if_chain(const BodyParser& parse_body) {
  Nesting nesting(nesting_);
  if (!enter()) return std::nullopt;
  If chain;
  for (;;) {
    tokens_.next();  // if
    ExprPtr condition = expression();
    if (!condition) return std::nullopt;
    if (!tokens_.at("{")) {
      tokens_.expected("'{' after the condition");
      return std::nullopt;
    }
    Body body = parse_body();
    chain.arms.push_back({std::move(condition), std::move(body)});
    if (!tokens_.accept("else")) return chain;
    if (tokens_.at("if")) continue;
    if (!tokens_.at("{")) {
      tokens_.expected("'{' or 'if' after 'else'");
      return std::nullopt;
    }
    chain.otherwise = parse_body();
    return chain;
  }
}

}  // namespace cardinal
