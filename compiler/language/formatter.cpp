// `cardinal fmt`: prints the tree. Line breaks between the stages of a pipe and between the elements of a
// list that begins on a new line are the author's; everything else is put on one line where it fits.
// Formatting twice changes nothing, because it goes on until nothing changes.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/language.h"
#include "compiler/language/flat_text.h"
#include "compiler/language/loader.h"
#include "compiler/language/parser.h"
#include "ir/internal_error.h"

namespace cardinal {

using namespace ast;

namespace {

constexpr size_t kWidth = 110;
constexpr int kIndent = 2;
constexpr int kContinuation = 4;

class Formatter {
 public:
  explicit Formatter(const SourceFile& file) : file_(file) {}

  std::string run() {
    bool was_callable = false;
    for (size_t i = 0; i < file_.items.size(); ++i) {
      const Item& item = file_.items[i];
      bool is_callable = std::holds_alternative<Callable>(item.node);
      want_blank_ = i > 0 && (is_callable || was_callable);
      begin_line(item.where.line, 0);
      std::visit([&](const auto& node) { print_item(node); }, item.node);
      end_line(item.end_line, 0);
      was_callable = is_callable;
    }
    flush_comments(UINT32_MAX, 0);
    return std::move(out_);
  }

 private:
  // ---- lines and comments
  // ----------------------------------------------------------------------------------------

  size_t column() const {
    size_t newline = out_.rfind('\n');
    return newline == std::string::npos ? out_.size() : out_.size() - newline - 1;
  }
  void new_line(int indent) {
    while (!out_.empty() && out_.back() == ' ') out_.pop_back();
    out_ += '\n';
    out_.append(static_cast<size_t>(indent), ' ');
  }
  const Comment* next_comment() const {
    return comment_ < file_.comments.size() ? &file_.comments[comment_] : nullptr;
  }

  // A blank line if the author left one (or the layout wants one) between what was printed last and `line`.
  void separate(uint32_t line) {
    bool blank = want_blank_ || line > last_line_ + 1;
    if (blank && !out_.empty() && !at_body_start_) out_ += '\n';
    want_blank_ = at_body_start_ = false;
  }

  void flush_comments(uint32_t before, int indent) {
    while (next_comment() && next_comment()->line < before) {
      const Comment& comment = *next_comment();
      separate(comment.line);
      out_.append(static_cast<size_t>(indent), ' ');
      out_ += comment.text + '\n';
      last_line_ = comment.line;
      ++comment_;
    }
  }

  void begin_line(uint32_t line, int indent) {
    flush_comments(line, indent);
    separate(line);
    out_.append(static_cast<size_t>(indent), ' ');
  }

  // The comment behind what ends on source line `line`.
  void trailing_comment(uint32_t line) {
    if (!next_comment() || next_comment()->line != line || next_comment()->own_line) return;
    out_ += "  " + next_comment()->text;
    ++comment_;
  }

  void end_line(uint32_t line, int indent) {
    // Comments from inside that found no place move behind the statement.
    size_t inside = comment_;
    while (comment_ < file_.comments.size() && file_.comments[comment_].line < line) ++comment_;
    size_t after = comment_;
    trailing_comment(line);
    out_ += '\n';
    for (size_t i = inside; i < after; ++i) {
      out_.append(static_cast<size_t>(indent), ' ');
      out_ += file_.comments[i].text + '\n';
    }
    last_line_ = line;
  }

  // Inside brackets and pipes: own-line comments before an element on `line`.
  void element_comments(uint32_t line, int indent) {
    while (next_comment() && next_comment()->line < line) {
      out_.append(static_cast<size_t>(indent), ' ');
      out_ += next_comment()->text;
      ++comment_;
      out_ += '\n';
    }
  }

  bool has_comment_inside(uint32_t line, uint32_t end_line) const {
    for (size_t i = comment_; i < file_.comments.size() && file_.comments[i].line < end_line; ++i)
      if (file_.comments[i].line >= line) return true;
    return false;
  }

  // ---- declarations
  // ----------------------------------------------------------------------------------------------

  void print_item(const Import& import) { out_ += "import " + import.source; }
  void print_item(const Let& let) { print_statement(let, 0); }

  void print_item(const Callable& callable) {
    out_ += fmt::format("{} {}", to_string(callable.kind), callable.name.text);
    bool parentheses =
        callable.parenthesised && !(callable.kind == CallableKind::network && callable.parameters.empty());
    if (parentheses) print_parameters(callable);
    out_ += " {";
    trailing_comment(callable.body.open.line);
    print_body(callable.body, 0);
  }

  void print_parameters(const Callable& callable) {
    std::string flat;
    for (const ParameterDecl& parameter : callable.parameters)
      flat += (flat.empty() ? "" : ", ") + flat_text(parameter);
    bool comments = has_comment_inside(callable.name.where.line, callable.header_end_line);
    bool fits = column() + flat.size() + 4 <= kWidth;
    if (callable.parameters.empty() || (fits && !callable.broken && !comments)) {
      out_ += "(" + flat + ")";
      return;
    }
    out_ += '(';
    trailing_comment(callable.name.where.line);
    out_ += '\n';
    for (const ParameterDecl& parameter : callable.parameters) {
      element_comments(parameter.name.where.line, 2 * kIndent);
      out_.append(2 * kIndent, ' ');
      out_ += flat_text(parameter) + ",";
      trailing_comment(parameter.fallback ? parameter.fallback->end_line : parameter.name.where.line);
      out_ += '\n';
    }
    element_comments(callable.header_end_line, 2 * kIndent);
    out_ += ')';
  }

  // From behind the '{' to the '}'.
  void print_body(const Body& body, int indent) {
    out_ += '\n';
    last_line_ = body.open.line;
    at_body_start_ = true;
    for (const Stmt& statement : body.statements) {
      begin_line(statement.where.line, indent + kIndent);
      std::visit([&](const auto& node) { print_statement(node, indent + kIndent); }, statement.node);
      end_line(statement.end_line, indent + kIndent);
    }
    if (body.tail) {
      begin_line(body.tail->line, indent + kIndent);
      print(*body.tail, indent + kIndent, 0);
      end_line(body.tail->end_line, indent + kIndent);
    }
    flush_comments(body.close.line, indent + kIndent);
    at_body_start_ = false;
    last_line_ = body.close.line;
    out_.append(static_cast<size_t>(indent), ' ');
    out_ += '}';
  }

  // ---- statements
  // ------------------------------------------------------------------------------------------------

  void print_statement(const Let& let, int indent) {
    out_ += "let " + let.name.text + " = ";
    print(*let.value, indent, 0);
  }
  void print_statement(const Assign& assign, int indent) {
    for (size_t i = 0; i < assign.names.size(); ++i) out_ += (i ? ", " : "") + assign.names[i].text;
    out_ += " = ";
    print(*assign.value, indent, 0);
  }
  void print_statement(const For& loop, int indent) {
    out_ += "for " + loop.variable.text + " in ";
    print(*loop.iterable, indent, 2);
    out_ += " {";
    trailing_comment(loop.body.open.line);
    print_body(loop.body, indent);
  }
  void print_statement(const Branch& branch, int indent) { print_broken(branch.branch, indent); }
  void print_statement(const Return& ret, int indent) {
    out_ += "return ";
    for (size_t i = 0; i < ret.items.size(); ++i) {
      const Return::Item& item = ret.items[i];
      if (i > 0) out_ += ", ";
      if (item.name) out_ += item.name->text + " = ";
      print(*item.value, indent, 0);
      if (item.layout) out_ += " layout=" + flat_text(*item.layout);
    }
  }
  void print_statement(const Unreadable&, int) {}  // files with errors are not formatted
  void print_statement(const ConventionStmt& convention, int indent) {
    out_ += "convention ";
    print(*convention.value, indent, 0);
  }
  void print_statement(const InputStmt& input, int) {
    out_ += fmt::format("input {}: {}[", input.name.text, input.dtype.text);
    for (size_t i = 0; i < input.dims.size(); ++i) out_ += (i ? ", " : "") + flat_text(*input.dims[i]);
    out_ += ']';
    if (input.layout) out_ += " layout=" + flat_text(*input.layout);
  }

  // ---- expressions
  // -----------------------------------------------------------------------------------------------

  // Whether some part of it keeps a line break.
  bool must_break(const Expr& e) const {
    if (has_comment_inside(e.line, e.end_line)) return true;
    if (const auto* list = e.as<ListLiteral>())
      return (list->broken && !list->elements.empty()) || any_must_break(list->elements);
    if (const auto* call = e.as<Call>()) {
      if (call->broken && !call->arguments.empty()) return true;
      return std::any_of(call->arguments.begin(), call->arguments.end(),
                         [&](const Argument& a) { return must_break(*a.value); });
    }
    if (const auto* pipe = e.as<Pipe>())
      return has_author_breaks(*pipe) || must_break(*pipe->head) || any_must_break(pipe->stages);
    if (const auto* chain = e.as<If>()) {
      bool plain =
          chain->otherwise && chain->otherwise->statements.empty() && !must_break(*chain->otherwise->tail);
      for (const If::Arm& arm : chain->arms)
        plain = plain && arm.body.statements.empty() && !must_break(*arm.body.tail);
      return !plain || e.line != e.end_line;
    }
    if (const auto* unary = e.as<Unary>()) return must_break(*unary->operand);
    if (const auto* binary = e.as<Binary>()) return must_break(*binary->left) || must_break(*binary->right);
    if (const auto* index = e.as<Index>()) return must_break(*index->base);
    if (const auto* paren = e.as<Paren>()) return must_break(*paren->inner);
    return false;
  }
  bool any_must_break(const std::vector<ExprPtr>& list) const {
    return std::any_of(list.begin(), list.end(), [&](const ExprPtr& e) { return must_break(*e); });
  }
  static bool has_author_breaks(const Pipe& pipe) {
    uint32_t line = pipe.head->end_line;
    for (const ExprPtr& stage : pipe.stages) {
      if (stage->line != line) return true;
      line = stage->end_line;
    }
    return false;
  }

  // `after`: columns needed behind it on its last line.
  void print(const Expr& e, int indent, size_t after) {
    std::string flat = flat_text(e);
    if (!must_break(e) && column() + flat.size() + after <= kWidth) {
      out_ += flat;
      return;
    }
    std::visit([&](const auto& node) { print_broken(node, indent); }, e.node);
  }

  void print_broken(const IntLiteral& e, int) { out_ += e.text; }
  void print_broken(const FloatLiteral& e, int) { out_ += e.text; }
  void print_broken(const BoolLiteral& e, int) { out_ += e.value ? "true" : "false"; }
  void print_broken(const StringLiteral& e, int) { out_ += e.source; }
  void print_broken(const NameRef& e, int) { out_ += e.name; }
  void print_broken(const Unary& e, int indent) {
    out_ += e.op == UnaryOp::negate ? "-" : "not ";
    print(*e.operand, indent, 0);
  }
  void print_broken(const Index& e, int indent) {
    print(*e.base, indent, 0);
    out_ += "[" + flat_text(*e.index) + "]";
  }
  void print_broken(const Paren& e, int indent) {
    out_ += '(';
    print(*e.inner, indent, 1);
    out_ += ')';
  }

  void print_broken(const Binary& e, int indent) {
    if (e.op == BinaryOp::range) {
      print(*e.left, indent, 2);
      out_ += "..";
      return print(*e.right, indent, 0);
    }
    print(*e.left, indent, 4);
    out_ += fmt::format(" {}", spelling(e.op));
    const size_t width = flat_text(*e.right).size();
    // On a line of its own only if it then need not be broken.
    bool alone = column() + 1 + width > kWidth && !must_break(*e.right) &&
                 static_cast<size_t>(indent + kContinuation) + width <= kWidth;
    alone ? new_line(indent + kContinuation) : void(out_ += ' ');
    print(*e.right, indent, 0);
  }

  void print_broken(const Pipe& pipe, int indent) {
    bool author = has_author_breaks(pipe) && lines_fit(pipe, indent);
    print(*pipe.head, indent, 0);
    uint32_t line = pipe.head->end_line;
    int stage_indent = indent;
    for (const ExprPtr& stage : pipe.stages) {
      bool alone = pipe.stages.size() == 1 && stage->line == line;
      if (!alone && (!author || stage->line != line)) {
        trailing_comment(line);
        new_line(0);
        stage_indent = indent + kContinuation;
        element_comments(stage->line, stage_indent);
        out_.append(static_cast<size_t>(stage_indent), ' ');
      } else {
        out_ += ' ';
      }
      out_ += "|> ";
      print(*stage, stage_indent, 0);
      line = stage->end_line;
    }
  }

  // Whether the lines that the author made of a pipe are short enough.
  bool lines_fit(const Pipe& pipe, int indent) const {
    size_t width = column() + flat_text(*pipe.head).size();
    if (must_break(*pipe.head)) width = 0;
    uint32_t line = pipe.head->end_line;
    for (const ExprPtr& stage : pipe.stages) {
      if (must_break(*stage)) return true;
      width = stage->line == line ? width + 1 : static_cast<size_t>(indent + kContinuation);
      width += 3 + flat_text(*stage).size();
      if (width > kWidth) return false;
      line = stage->end_line;
    }
    return true;
  }

  void print_broken(const ListLiteral& list, int indent) {
    out_ += '[';
    std::vector<Element> elements;
    for (const ExprPtr& e : list.elements) elements.push_back({e.get(), ""});
    print_elements(elements, list.broken, list.close_line, indent);
    out_ += ']';
  }

  void print_broken(const Call& call, int indent) {
    if (call.label) out_ += flat_text(*call.label) + ": ";
    out_ += call.callee.text;
    if (!call.parenthesised) return;
    out_ += '(';
    std::vector<Element> elements;
    for (const Argument& a : call.arguments)
      elements.push_back({a.value.get(), a.name ? a.name->text + "=" : ""});
    print_elements(elements, call.broken, call.close_line, indent);
    out_ += ')';
  }

  struct Element {
    const Expr* value;
    std::string prefix;
  };

  // Elements on lines of their own between brackets: as the author broke them, or as many to a line as fit.
  void print_elements(const std::vector<Element>& elements, bool author, uint32_t close_line, int indent) {
    if (elements.empty()) return;
    uint32_t line = 0;
    for (const Element& element : elements) {
      const Expr& e = *element.value;
      size_t width = element.prefix.size() + flat_text(e).size() + 2;
      bool first = line == 0;
      bool breaks = first || (author && e.line != line) || has_comment_inside(line, e.line) ||
                    (column() + 1 + width > kWidth) || must_break(e);
      if (breaks) {
        trailing_comment(first ? e.line - (author ? 1 : 0) : line);
        new_line(0);
        element_comments(e.line, indent + kIndent);
        out_.append(static_cast<size_t>(indent + kIndent), ' ');
      } else {
        out_ += ' ';
      }
      out_ += element.prefix;
      print(e, indent + kIndent, 1);
      out_ += ',';
      line = e.end_line;
    }
    if (line != close_line) trailing_comment(line);
    new_line(0);
    element_comments(close_line, indent + kIndent);
    out_.append(static_cast<size_t>(indent), ' ');
  }

  void print_broken(const If& chain, int indent) {
    for (size_t i = 0; i < chain.arms.size(); ++i) {
      if (i > 0) out_ += " else ";
      out_ += "if ";
      print(*chain.arms[i].condition, indent, 2);
      out_ += " {";
      trailing_comment(chain.arms[i].body.open.line);
      print_body(chain.arms[i].body, indent);
    }
    if (!chain.otherwise) return;
    out_ += " else {";
    trailing_comment(chain.otherwise->open.line);
    print_body(*chain.otherwise, indent);
  }

  const SourceFile& file_;
  std::string out_;
  size_t comment_ = 0;      // the first that is not printed yet
  uint32_t last_line_ = 0;  // the source line of what was printed last
  bool want_blank_ = false;
  bool at_body_start_ = false;
};

}  // namespace

// What is broken in one round counts as the author's break in the next, which may then settle differently, in
// practice after two or three rounds.
constexpr int kMostRounds = 10;

Result<std::string> format_source(SourceMap& sources, const std::string& path) {
  Result<std::string> text = read_source(path);
  if (!text) return text.take_error();
  return format_text(sources, path, std::move(*text));
}

Result<std::string> format_text(SourceMap& sources, const std::string& path, std::string text) {
  Diagnostics diagnostics;
  SourceFile file = parse_source(sources, sources.add(path, std::move(text)), diagnostics);
  if (diagnostics.has_errors()) return diagnostics;
  std::string formatted = Formatter(file).run();
  for (int round = 1; round < kMostRounds; ++round) {
    SourceMap own;
    file = parse_source(own, own.add(path, formatted), diagnostics);
    if (diagnostics.has_errors())
      internal_error(
          fmt::format("{} does not parse once it is formatted: {}", path, diagnostics.render(own)));
    std::string again = Formatter(file).run();
    if (again == formatted) break;
    formatted = std::move(again);
  }
  return formatted;
}

}  // namespace cardinal
