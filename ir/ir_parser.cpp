#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <unordered_map>

#include "ir/ir_lexer.h"
#include "ir/text.h"

namespace cardinal {

namespace {

constexpr size_t kMaxErrors = 20;
constexpr int kMaxListDepth = 4;                              // no attribute nests deeper than 2
constexpr std::uintmax_t kMaxSourceBytes = 16 * 1024 * 1024;  // of a file that a location names

// The text of a source file, for excerpts in errors; empty if it cannot be read.
std::string read_source(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error) ||
      std::filesystem::file_size(path, error) > kMaxSourceBytes)
    return {};
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// One line: `%name = op(operands) {attributes} : type loc("file":line:column)`.
struct Statement {
  bool is_weight = false;
  std::optional<int64_t> number;  // %12
  std::string name;
  SourceLocation name_where, op_where, type_where, where;
  OpAttrs op;
  std::vector<NodeId> operands;
  std::vector<SourceLocation> operand_wheres;
  std::unordered_map<std::string, SourceLocation> fields;  // where each attribute's value stands
  std::optional<TensorType> type;
};

class IrParser {
 public:
  IrParser(SourceMap& sources, uint32_t file)
      : sources_(sources), tokens_(lex_ir(sources.text(file), file, errors_)) {}

  Result<Graph> run() {
    if (!header()) return std::move(errors_);
    while (!peek().is_mark('}') && peek().kind != IrToken::Kind::end && errors_.list().size() < kMaxErrors) {
      Statement statement;
      size_t begin = position_;
      if (parse(statement))
        define(statement, add(statement));
      else
        recover(statement, begin);
    }
    if (errors_.list().size() < kMaxErrors) footer();
    if (errors_.has_errors()) return std::move(errors_);
    return std::move(graph_);
  }

 private:
  const IrToken& peek() const { return tokens_[position_]; }
  const IrToken& next() { return tokens_[peek().kind == IrToken::Kind::end ? position_ : position_++]; }
  bool accept(char mark) {
    if (!peek().is_mark(mark)) return false;
    ++position_;
    return true;
  }
  bool fail(SourceLocation where, std::string message) {
    errors_.error(where, std::move(message));
    return false;
  }
  bool fail_expecting(std::string_view what) {
    return fail(peek().where, fmt::format("expected {}, got {}", what, describe(peek())));
  }
  bool expect(char mark) { return accept(mark) || fail_expecting(fmt::format("'{}'", mark)); }
  bool accept_word(std::string_view word) {
    if (peek().kind != IrToken::Kind::word || peek().text != word) return false;
    ++position_;
    return true;
  }

  bool header() {
    if (!accept_word("network")) return fail_expecting("'network'");
    if (!path("the network's name", graph_.name)) return false;
    if (accept_word("source")) {
      if (peek().kind != IrToken::Kind::string) return fail_expecting("the source file's path as a string");
      graph_.source = next().text;
    }
    return expect('{');
  }

  void footer() {
    SourceLocation where = peek().where;
    if (!expect('}')) return;
    if (peek().kind != IrToken::Kind::end) fail_expecting("the end of the file after the network");
    if (!errors_.has_errors() && graph_.outputs().empty()) fail(where, "the network has no output");
  }

  // Skips to the next line; a name on the failed line counts as defined so that its users are not reported
  // too.
  void recover(const Statement& statement, size_t begin) {
    if (statement.name_where) define(statement, std::nullopt);
    if (position_ == begin) next();
    while (!peek().starts_line) next();
  }

  bool path(std::string_view what, std::string& out) {
    if (peek().kind != IrToken::Kind::word && peek().kind != IrToken::Kind::string)
      return fail_expecting(what);
    out = next().text;
    return true;
  }

  // %path, %12 or @path.
  bool reference(bool& is_weight, std::optional<int64_t>& number, std::string& name) {
    is_weight = peek().is_mark('@');
    if (!accept('@') && !accept('%')) return fail_expecting("a node such as %x or a weight such as @w");
    if (is_weight || peek().kind != IrToken::Kind::integer) return path("a name", name);
    number = next().integer;
    return true;
  }

  bool parse(Statement& s) {
    SourceLocation where = peek().where;
    if (!reference(s.is_weight, s.number, s.name)) return false;
    if (s.number && accept(':') && !path("a name", s.name)) return false;
    s.name_where = where;
    s.name_where.length = last_column_end() - where.column;
    if (!expect('=') || !parse_op(s)) return false;
    if (accept('(') && !operand_list(s)) return false;
    if (accept('{') && !attribute_list(s)) return false;
    if (accept(':') && !parse_type(s)) return false;
    if (accept_word("loc") && !parse_location(s.where)) return false;
    return peek().starts_line || peek().is_mark('}') || fail_expecting("the end of the line");
  }

  uint32_t last_column_end() const {
    const SourceLocation& last = tokens_[position_ - 1].where;
    return last.column + last.length;
  }

  bool parse_op(Statement& s) {
    s.op_where = peek().where;
    if (peek().kind != IrToken::Kind::word) return fail_expecting("an op");
    const OpInfo* info = find_op(peek().text);
    if (!info) return fail(s.op_where, fmt::format("there is no op '{}'", peek().text));
    ++position_;
    s.op = make_op(*info);
    return true;
  }

  bool operand_list(Statement& s) {
    do {
      SourceLocation where = peek().where;
      bool is_weight = false;
      std::optional<int64_t> number;
      std::string name;
      if (!reference(is_weight, number, name)) return false;
      where.length = last_column_end() - where.column;
      const Symbol* symbol = find(is_weight, number, name);
      if (!symbol)
        return fail(where, fmt::format("{} is not defined above; operands precede their users",
                                       spelling(is_weight, number, name)));
      if (!symbol->id) return false;  // its own line was wrong: nothing more can be said about this one
      s.operands.push_back(*symbol->id);
      s.operand_wheres.push_back(where);
    } while (accept(','));
    return expect(')');
  }

  bool attribute_list(Statement& s) {
    do {
      std::string name;
      if (peek().kind != IrToken::Kind::word) return fail_expecting("an attribute");
      SourceLocation name_where = peek().where;
      name = next().text;
      if (!expect('=')) return false;
      SourceLocation where = peek().where;
      AttrValue attr;
      if (!value(attr, 0)) return false;
      if (tokens_[position_ - 1].where.line == where.line) where.length = last_column_end() - where.column;
      if (!s.fields.emplace(name, where).second)
        return fail(name_where, fmt::format("attribute '{}' is given twice", name));
      bool is_known = has_field(s.op, name);
      if (std::string error = set_field(s.op, name, attr); !error.empty())
        return fail(is_known ? where : name_where, is_known ? fmt::format("{}: {}", name, error) : error);
    } while (accept(','));
    return expect('}');
  }

  static bool has_field(const OpAttrs& op, std::string_view name) {
    const std::vector<FieldInfo>& fields = op_info(op).fields;
    return std::any_of(fields.begin(), fields.end(),
                       [&](const FieldInfo& field) { return field.name == name; });
  }

  bool value(AttrValue& out, int depth) {
    const IrToken& token = peek();
    switch (token.kind) {
      case IrToken::Kind::integer:
        out.value = token.integer;
        break;
      case IrToken::Kind::real:
        out.value = token.real;
        break;
      case IrToken::Kind::string:
        out.value = token.text;
        break;
      case IrToken::Kind::word:
        if (token.text == "true" || token.text == "false")
          out.value = token.text == "true";
        else
          out.value = token.text;
        break;
      default:
        if (!token.is_mark('[')) return fail_expecting("a value");
        if (depth == kMaxListDepth) return fail(token.where, "lists are nested too deeply");
        ++position_;
        return list(out, depth);
    }
    ++position_;
    return true;
  }

  bool list(AttrValue& out, int depth) {
    AttrValue::List items;
    if (!peek().is_mark(']')) do {
        if (!value(items.emplace_back(), depth + 1)) return false;
      } while (accept(','));
    out.value = std::move(items);
    return expect(']');
  }

  bool parse_type(Statement& s) {
    s.type_where = peek().where;
    TensorType type;
    std::optional<DType> dtype =
        peek().kind == IrToken::Kind::word ? parse_dtype(peek().text) : std::optional<DType>();
    if (!dtype) return fail_expecting("a type such as f32[1, 3, 224, 224]");
    type.dtype = *dtype;
    ++position_;
    AttrValue dims;
    if (!peek().is_mark('[')) return fail_expecting("'['");
    if (!value(dims, 0)) return false;
    if (std::string error = from_attr(dims, type.shape); !error.empty()) return fail(s.type_where, error);
    s.type_where.length =
        tokens_[position_ - 1].where.line == s.type_where.line ? last_column_end() - s.type_where.column : 1;
    s.type = type;
    return true;
  }

  bool parse_location(SourceLocation& out) {
    if (!expect('(')) return false;
    if (peek().kind != IrToken::Kind::string) return fail_expecting("a file's path as a string");
    std::string path = next().text;
    if (!expect(':') || !line_number(out.line) || !expect(':') || !line_number(out.column) || !expect(')'))
      return false;
    auto [entry, is_new] = files_.try_emplace(path, 0);
    if (is_new) entry->second = sources_.add(path, read_source(path));
    out.file = entry->second;
    return true;
  }

  bool line_number(uint32_t& out) {
    const IrToken& token = peek();
    if (token.kind != IrToken::Kind::integer || token.integer < 0 ||
        token.integer > std::numeric_limits<uint32_t>::max())
      return fail_expecting("a line or column number");
    out = static_cast<uint32_t>(token.integer);
    ++position_;
    return true;
  }

  std::optional<NodeId> add(const Statement& s) {
    const OpInfo& info = op_info(s.op);
    if (s.is_weight != std::holds_alternative<Weight>(s.op)) {
      fail(s.name_where, s.is_weight ? fmt::format("only weights are named with @; call this %{}", s.name)
                                     : fmt::format("weights are named with @; call this @{}", s.name));
      return {};
    }
    for (const FieldInfo& field : info.fields)
      if (field.is_required && !s.fields.count(std::string(field.name))) {
        fail(s.op_where, fmt::format("{} needs the attribute '{}'", info.name, field.name));
        return {};
      }
    auto added = graph_.try_add(s.op, s.operands, s.name, s.where);
    if (const OpError* error = std::get_if<OpError>(&added)) {
      fail(error_place(s, *error),
           fmt::format("{}: {}", s.name.empty() ? info.name : s.name, error->message));
      return {};
    }
    NodeId id = std::get<NodeId>(added);
    if (s.type && *s.type != graph_[id].type)
      fail(s.type_where, fmt::format("the type is written as {} but {} makes it {}", to_string(*s.type),
                                     info.name, to_string(graph_[id].type)));
    return id;
  }

  static SourceLocation error_place(const Statement& s, const OpError& error) {
    if (auto field = s.fields.find(error.field); field != s.fields.end()) return field->second;
    if (error.operand >= 0 && static_cast<size_t>(error.operand) < s.operand_wheres.size())
      return s.operand_wheres[error.operand];
    return s.op_where;
  }

  struct Symbol {
    std::optional<NodeId> id;  // none if its line was wrong
    SourceLocation where;
  };

  const Symbol* find(bool is_weight, std::optional<int64_t> number, const std::string& name) const {
    if (number) {
      auto found = numbers_.find(*number);
      return found == numbers_.end() ? nullptr : &found->second;
    }
    auto found = names_.find((is_weight ? '@' : '%') + name);
    return found == names_.end() ? nullptr : &found->second;
  }

  void define(const Statement& s, std::optional<NodeId> id) {
    Symbol symbol{id, s.name_where};
    bool is_new = s.number ? numbers_.emplace(*s.number, symbol).second
                           : names_.emplace((s.is_weight ? '@' : '%') + s.name, symbol).second;
    if (is_new) return;
    const Symbol* first = find(s.is_weight, s.number, s.name);
    errors_.error(s.name_where, fmt::format("{} is defined twice", spelling(s.is_weight, s.number, s.name)))
        .notes.push_back({first->where, "first here"});
  }

  static std::string spelling(bool is_weight, std::optional<int64_t> number, const std::string& name) {
    return number ? fmt::format("%{}", *number) : (is_weight ? '@' : '%') + name;
  }

  SourceMap& sources_;
  Diagnostics errors_;
  std::vector<IrToken> tokens_;
  size_t position_ = 0;
  Graph graph_;
  std::unordered_map<std::string, Symbol> names_;  // with their mark
  std::unordered_map<int64_t, Symbol> numbers_;
  std::unordered_map<std::string, uint32_t> files_;  // named by locations
};

}  // namespace

Result<Graph> parse_ir(SourceMap& sources, const std::string& path, std::string text) {
  uint32_t file = sources.add(path, std::move(text));
  return IrParser(sources, file).run();
}

}  // namespace cardinal
