#include "compiler/language/parser.h"

#include <fmt/format.h>

#include "compiler/language/statement_parser.h"
#include "compiler/language/suggest.h"
#include "compiler/language/token_stream.h"

namespace cardinal {

using namespace ast;

namespace {

const std::vector<std::string> kTypeNames = {"int", "float", "bool", "string", "list", "block", "any"};

const std::vector<std::string> kDeclarations = {"block", "network", "fn", "let", "import"};

class Parser {
 public:
  Parser(std::vector<Token> tokens, Diagnostics& diagnostics)
      : tokens_(std::move(tokens), diagnostics), statements_(tokens_) {}

  std::vector<Name> take_unreadable() { return std::move(unreadable_); }
  bool is_incomplete() const { return incomplete_; }

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
      const Token name = tokens_.peek();
      std::optional<Let> let = statements_.let();
      if (!let && name.kind == TokenKind::identifier)
        unreadable_.push_back({std::string(name.text), name.where});
      if (!let) return std::nullopt;
      return Item{std::move(*let), {}};
    }
    if (tokens_.accept("block")) return callable(CallableKind::block);
    if (tokens_.accept("network")) return callable(CallableKind::network);
    if (tokens_.accept("fn")) return callable(CallableKind::function);
    tokens_.expected("'block', 'network', 'fn', 'let' or 'import'", kDeclarations, declaration_aliases());
    tokens_.next();
    if (tokens_.at(TokenKind::identifier))  // what it would have declared
      unreadable_.push_back({std::string(tokens_.peek().text), tokens_.peek().where});
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
      declares |= tokens_.at(TokenKind::identifier) && tokens_.peek().where.column == 1 &&
                  !did_you_mean(tokens_.peek().text, kDeclarations, declaration_aliases()).empty();
      if (line_start && (declares || (tokens_.at("let") && tokens_.peek().where.column == 1))) return;
      tokens_.next();
    }
  }

  std::optional<Item> import_item() {
    tokens_.next();
    if (!tokens_.at(TokenKind::string)) {
      tokens_.expected("a file name in quotes after 'import'");
      incomplete_ = true;
      return std::nullopt;
    }
    const Token token = tokens_.next();
    if (tokens_.at_word("as"))
      tokens_.error(tokens_.peek().where, "there is no 'as': what is imported keeps its name");
    return Item{Import{std::string(token.text.substr(1, token.text.size() - 2)), std::string(token.text),
                       token.where, 0},
                {}};
  }

  std::optional<Item> callable(CallableKind kind) {
    std::optional<Name> name = statements_.name(fmt::format("a name for the {}", to_string(kind)));
    if (!name) return std::nullopt;
    Callable result;
    result.kind = kind;
    result.name = std::move(*name);
    result.file = result.name.where.file;
    size_t outside = tokens_.error_count() - tokens_.contained();
    if (header(result)) result.body = statements_.body(false);
    result.faulty = tokens_.error_count() - tokens_.contained() != outside;
    return Item{std::move(result), {}};
  }

  bool header(Callable& callable) {
    callable.parenthesised = tokens_.at("(");
    if (callable.parenthesised || callable.kind != CallableKind::network) {
      const Token opening = tokens_.peek();
      if (!tokens_.expect("(", "before the parameters") || !parameters(callable, opening)) return false;
    }
    if (tokens_.at(":") || tokens_.at("->"))
      tokens_.error(tokens_.peek().where, fmt::format("expected '{{' before the body of {}, found '{}'; what "
                                                      "it returns has no type",
                                                      callable.name.text, tokens_.peek().text));
    callable.header_end_line = tokens_.previous().where.line;
    return tokens_.at_body() ||
           tokens_.expected(fmt::format("'{{' before the body of {}", callable.name.text));
  }

  bool parameters(Callable& callable, const Token& opening) {
    callable.broken = tokens_.peek().where.line != opening.where.line;
    while (!tokens_.at(")")) {
      std::optional<Name> name = statements_.name("a parameter's name");
      if (!name) return false;
      ParameterDecl parameter{std::move(*name), std::nullopt, nullptr};
      if (tokens_.accept(":") && !(parameter.type = type())) return false;
      if (tokens_.accept("=") && !(parameter.fallback = statements_.expressions().expression())) return false;
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
    if (tokens_.at_word("tensor"))
      tokens_.error(tokens_.peek().where, "a tensor is a parameter without a type; leave ': tensor' out");
    tokens_.expected("a type: int, float, bool, string, list, block, any or a list such as [int]", kTypeNames,
                     type_aliases());
    return std::nullopt;
  }

  TokenStream tokens_;
  StatementParser statements_;
  std::vector<Name> unreadable_;
  bool incomplete_ = false;
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
  Parser parser(std::move(tokens.list), diagnostics);
  result.items = parser.items();
  result.unreadable = parser.take_unreadable();
  result.incomplete = parser.is_incomplete();
  return result;
}

}  // namespace cardinal
