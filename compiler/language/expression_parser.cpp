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

bool ends_statement(const Token& token) {
  return token.kind == TokenKind::newline || token.kind == TokenKind::end || token.is("}");
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
  if (refuse_after_pipe(pipe)) return nullptr;
  ExprPtr result = make(std::move(pipe), where, line);
  result->depth = depth + 1;
  return result;
}

// What cannot follow a pipe, most of which was meant for a layer's name.
bool ExpressionParser::refuse_after_pipe(const Pipe& pipe) {
  const Token token = tokens_.peek();
  const bool bare = !pipe.stages.back()->as<Call>()->parenthesised;
  if (bare && token.is("=")) {
    std::string_view name = tokens_.previous().text;
    tokens_.error(token.where,
                  fmt::format("expected ':' after the layer's name, found '='; write {}: op(...)", name));
    return true;
  }
  if (bare && token.is("{")) {  // x |> layer{i}: conv(...)
    const std::string name(tokens_.previous().text);
    tokens_.error(
        token.where,
        fmt::format("a layer's name with a number in it is written {0}[i]: or \"{0}{{i}}\":", name));
    return true;
  }
  if (!find_operator(token) && !token.is("**")) return false;
  if (bare && token.is("-")) {  // x |> layer-1: conv(...)
    std::string name(tokens_.previous().text);
    size_t i = 0;
    for (; tokens_.peek(i).is("-") || tokens_.peek(i).is(".") ||
           tokens_.peek(i).kind == TokenKind::identifier || tokens_.peek(i).kind == TokenKind::integer;
         ++i)
      name += tokens_.peek(i).text;
    if (tokens_.peek(i).is(":")) {
      tokens_.error(token.where, fmt::format("a layer's name with '-' is written in quotes: \"{}\":", name));
      return true;
    }
  }
  if (token.is("//")) {
    tokens_.error(token.where, "'//' cannot follow a pipe; a comment begins with '#'");
    return true;
  }
  tokens_.error(token.where,
                fmt::format("'{}' cannot follow a pipe; put the pipe in parentheses or name its result first",
                            token.text));
  return true;
}

ExprPtr ExpressionParser::binary(int minimum) {
  uint32_t line = tokens_.peek().where.line;
  ExprPtr left = unary();
  while (left) {
    const OperatorRow* row = find_operator(tokens_.peek());
    if (!row || row->precedence < minimum) return left;
    SourceLocation where = tokens_.next().where;
    const bool twice = (row->spelling == "+" || row->spelling == "-") && tokens_.at(row->spelling);
    if (tokens_.at("=") || (twice && ends_statement(tokens_.peek(1)))) {
      const auto* name = left->as<NameRef>();
      tokens_.error(where, fmt::format("there is no '{0}{1}'; write {2} = {2} {0} {3}", row->spelling,
                                       tokens_.peek().text, name ? name->name : "name", twice ? "1" : "..."));
      return nullptr;
    }
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
    ExprPtr index = tokens_.at(":") ? nullptr : expression();
    if (tokens_.at(":") || (index && tokens_.at(","))) {  // x[:, 8:, 1:-1]
      tokens_.error(tokens_.peek().where,
                    "one element is taken of a list; a part of a tensor is slice(x, "
                    "c=[begin, end], h=[begin, end], w=[begin, end])");
      return nullptr;
    }
    if (!index || !tokens_.expect_closing("]", opening)) return nullptr;
    SourceLocation where = base->where;
    const Expr *b = base.get(), *i = index.get();
    base = make(Index{std::move(base), std::move(index)}, where, line, {b, i});
  }
  return base;
}

ExprPtr ExpressionParser::atom() {
  const Token token = tokens_.peek();
  if (tokens_.at_word("lambda") && tokens_.peek(1).kind == TokenKind::identifier) {
    tokens_.error(token.where, "there is no 'lambda'; declare a function: fn name(v: int) { return ... }");
    return nullptr;
  }
  if (std::optional<Label> label = this->label()) {
    if (tokens_.at(TokenKind::identifier)) return call(std::move(label), true);
    if (tokens_.at("="))
      tokens_.error(tokens_.peek().where, "there is no ':='; write name = ...");
    else if (tokens_.at(TokenKind::newline) && token.kind == TokenKind::integer)  // for i in 0..3:
      tokens_.error(tokens_.previous().where, "unexpected ':'; a body stands in braces, { ... }");
    else
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
  if (refuse_nameless_reuse()) return nullptr;
  if (tokens_.peek(1).is("(")) return call(std::nullopt, true);
  const Token token = tokens_.next();
  return make(NameRef{std::string(token.text)}, token.where, token.where.line);
}

std::optional<If> ExpressionParser::if_chain(const BodyParser& parse_body) {
  Nesting nesting(nesting_);
  if (!enter()) return std::nullopt;
  If chain;
  for (;;) {
    tokens_.next();  // if
    ExprPtr condition = expression();
    if (!condition) return std::nullopt;
    if (!tokens_.at_body()) {
      if (tokens_.at("="))
        tokens_.error(tokens_.peek().where, "expected '{' after the condition, found '='; equality is '=='");
      tokens_.expected("'{' after the condition");
      return std::nullopt;
    }
    Body body = parse_body();
    chain.arms.push_back({std::move(condition), std::move(body)});
    if (tokens_.at_word("elif")) {
      tokens_.mend(tokens_.peek().where, "there is no 'elif'; write 'else if'");
      continue;
    }
    if (!tokens_.accept("else")) return chain;
    if (tokens_.at("if")) continue;
    if (!tokens_.at_body()) {
      tokens_.expected("'{' or 'if' after 'else'");
      return std::nullopt;
    }
    chain.otherwise = parse_body();
    return chain;
  }
}

}  // namespace cardinal
