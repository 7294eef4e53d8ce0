#include "compiler/language/names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "compiler/language/arithmetic.h"
#include "compiler/language/suggest.h"
#include "ir/convention.h"

namespace cardinal {

const std::vector<std::string>& bare_words() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> list = {
        "same",     "same_upper",      "nchw", "nhwc", "chw", "hwc", "crd", "dcr", "nearest",
        "bilinear", "bilinear_corners"};
    for (const Convention& convention : conventions()) list.emplace_back(convention.name);
    return list;
  }();
  return words;
}

std::string unknown_name_message(std::string_view name, bool called, const FileScope& file,
                                 std::vector<std::string> known) {
  for (const auto& [global, value] : file.names) known.push_back(global);
  for (const OpInfo& op : op_table())
    if (!op.internal_op) known.emplace_back(op.name);
  if (called) {
    for (const Builtin& builtin : builtins()) known.emplace_back(builtin.name);
    for (const BuiltinInfo& function : tensor_functions()) known.emplace_back(function.name);
  } else {
    known.insert(known.end(), bare_words().begin(), bare_words().end());
    known.insert(known.end(), {"true", "false"});
  }
  std::sort(known.begin(), known.end());
  return fmt::format(
      "there is {} '{}'{}", called ? "no op, block or function" : "nothing called", name,
      did_you_mean(name, known, called || find_alias(name, op_aliases()) ? op_aliases() : word_aliases()));
}

std::string makes_tensor_message(std::string_view callee) {
  return fmt::format("'{}' makes a tensor, which only blocks and networks can", callee);
}

namespace {

std::vector<std::string> attribute_names(const OpInfo& info) {
  std::vector<std::string> names;
  for (const FieldInfo& field : info.fields)
    if (!field.internal) names.emplace_back(field.name);
  return names;
}

}  // namespace

std::string attributes_of(const OpInfo& info) {
  std::vector<std::string> names = attribute_names(info);
  return names.empty() ? fmt::format("{} has no attributes", info.name)
                       : fmt::format("{} has {}", info.name, fmt::join(names, ", "));
}

std::string meant_attribute(const OpInfo& info, std::string_view name) {
  return closest_name(name, attribute_names(info), attribute_aliases());
}

std::string unknown_attribute_message(const OpInfo& info, std::string_view name) {
  std::string guess = did_you_mean(name, attribute_names(info), attribute_aliases());
  return fmt::format("{} has no attribute '{}'{}", info.name, name,
                     !guess.empty()                  ? guess
                     : attribute_names(info).empty() ? "; it has none, leave it out"
                                                     : "; " + attributes_of(info));
}

namespace {

std::vector<std::string> parameter_names(const ast::Callable& callable) {
  std::vector<std::string> names;
  for (const ast::ParameterDecl& parameter : callable.parameters) names.push_back(parameter.name.text);
  return names;
}

}  // namespace

const ast::ParameterDecl* meant_parameter(const ast::Callable& callable, std::string_view name) {
  std::string meant = closest_name(name, parameter_names(callable), attribute_aliases());
  for (const ast::ParameterDecl& parameter : callable.parameters)
    if (parameter.name.text == meant) return &parameter;
  return nullptr;
}

std::string unknown_parameter_message(const ast::Callable& callable, std::string_view name) {
  const ast::ParameterDecl* meant = meant_parameter(callable, name);
  std::vector<std::string> names = parameter_names(callable);
  std::string guess = meant           ? fmt::format("; did you mean '{}'?", meant->name.text)
                      : names.empty() ? "; it has none"
                                      : fmt::format("; it has {}", fmt::join(names, ", "));
  return fmt::format("'{}' has no parameter '{}'{}", callable.name.text, name, guess);
}

std::string too_many_arguments_message(const ast::Callable& callable, size_t position) {
  size_t count = callable.parameters.size();
  return fmt::format("'{}' takes {} argument{}; this is argument {}", callable.name.text, count,
                     count == 1 ? "" : "s", position);
}

namespace {

// Walks one declaration as elaboration would, but both branches of an `if` and each loop body once.
class NameChecker {
 public:
  NameChecker(const FileScope& file, Diagnostics& diagnostics) : file_(file), diagnostics_(diagnostics) {}

  void check(const ast::Callable& callable) {
    scopes_.assign(1, {});
    makes_tensors_ = callable.kind != ast::CallableKind::function;
    for (const ast::ParameterDecl& parameter : callable.parameters) {
      if (parameter.fallback) visit(*parameter.fallback);
      if (scopes_.back().insert(parameter.name.text).second) continue;
      diagnostics_.error(parameter.name.where,
                         fmt::format("the parameter '{}' is declared twice", parameter.name.text));
    }
    const std::vector<ast::Stmt>& statements = callable.body.statements;
    is_network_ = callable.kind == ast::CallableKind::network;
    first_ = statements.empty() ? nullptr : &statements.front().node;
    visit(callable.body);
  }

  void check(const ast::Let& constant) {
    scopes_.assign(1, {});
    makes_tensors_ = false;
    visit(*constant.value);
  }

 private:
  bool is_local(const std::string& name) const {
    return std::any_of(scopes_.begin(), scopes_.end(),
                       [&](const auto& scope) { return scope.contains(name); });
  }

  void visit(const ast::Body& body) {
    for (const ast::Stmt& statement : body.statements)
      std::visit([&](const auto& node) { visit(node); }, statement.node);
    if (body.tail) visit(*body.tail);
  }
  void visit_scoped(const ast::Body& body) {
    scopes_.emplace_back();
    visit(body);
    ended_.insert(scopes_.back().begin(), scopes_.back().end());
    scopes_.pop_back();
  }

  void visit(const ast::Let& let) {
    visit(*let.value);
    scopes_.back().insert(let.name.text);
  }
  void visit(const ast::Assign& assign) {
    visit(*assign.value);
    for (const ast::Name& name : assign.names)
      if (!is_local(name.text)) scopes_.back().insert(name.text);
  }
  void visit(const ast::Unreadable& statement) {
    for (const ast::Name& name : statement.names)
      if (!is_local(name.text)) scopes_.back().insert(name.text);
  }
  void visit(const ast::For& loop) {
    visit(*loop.iterable);
    scopes_.push_back({loop.variable.text});
    visit(loop.body);
    scopes_.pop_back();
  }
  void visit(const ast::Branch& statement) { visit(statement.branch); }
  void visit(const ast::Return& ret) {
    for (const ast::Return::Item& item : ret.items) {
      visit(*item.value);
      if (item.layout) visit(*item.layout);
    }
  }
  // Elaboration explains an open batch.
  void dimension(const std::string& name, SourceLocation where, bool is_first) {
    if (is_local(name) || file_.names.contains(name) || file_.incomplete || ended_.contains(name)) return;
    if (!is_first) return unknown(name, where, false);
    diagnostics_.error(where, fmt::format("there is nothing called '{}'; a batch that the caller chooses is "
                                          "written N, as in f32[N, 3, 224, 224]",
                                          name));
  }

  void visit(const ast::InputStmt& input) {
    for (const auto& dim : input.dims) {
      const auto* name = dim->as<ast::NameRef>();
      if (!name) visit(*dim);
      if (name && name->name != "N") dimension(name->name, dim->where, dim == input.dims[0]);
    }
    if (input.layout) visit(*input.layout);
    scopes_.back().insert(input.name.text);
  }

  void visit(const ast::ConventionStmt& convention) {
    if (!is_network_)
      diagnostics_.error(
          convention.where,
          "'convention' belongs into a network; a block follows that of the network that uses it");
    else if (!first_ || std::get_if<ast::ConventionStmt>(first_) != &convention)
      diagnostics_.error(convention.where, "'convention' must be the first statement of a network");
    if (!convention.value->as<ast::NameRef>()) visit(*convention.value);  // elaboration knows which there are
  }

  void visit(const ast::Expr& expr) {
    where_ = expr.where;
    std::visit([&](const auto& node) { visit(node); }, expr.node);
  }
  void visit(const ast::IntLiteral&) {}
  void visit(const ast::FloatLiteral&) {}
  void visit(const ast::BoolLiteral&) {}
  void visit(const ast::StringLiteral& e) { visit(e.values); }
  void visit(const ast::ListLiteral& e) { visit(e.elements); }
  void visit(const std::vector<ast::ExprPtr>& list) {
    for (const auto& element : list) visit(*element);
  }
  void visit(const ast::Unary& e) { visit(*e.operand); }
  void visit(const ast::Binary& e) {
    visit(*e.left);
    visit(*e.right);
  }
  void visit(const ast::Index& e) {
    visit(*e.base);
    visit(*e.index);
  }
  void visit(const ast::Paren& e) { visit(*e.inner); }
  void visit(const ast::If& e) {
    for (const ast::If::Arm& arm : e.arms) {
      visit(*arm.condition);
      visit_scoped(arm.body);
    }
    if (e.otherwise) visit_scoped(*e.otherwise);
  }
  void visit(const ast::Pipe& e) {
    visit(*e.head);
    for (const auto& stage : e.stages) call(*stage->as<ast::Call>(), 1);
  }
  void visit(const ast::Call& e) { call(e, 0); }

  void visit(const ast::NameRef& e) {
    SourceLocation where = where_;
    const OpInfo* op = find_op(e.name);
    const auto& words = bare_words();
    bool known = is_local(e.name) || file_.names.contains(e.name) || (op && !op->internal_op) ||
                 std::find(words.begin(), words.end(), e.name) != words.end();
    if (!known) unknown(e.name, where, false);
  }

  // What elaboration says better, because it knows where the name was, is left to it.
  void unknown(const std::string& name, SourceLocation where, bool called) {
    if (file_.incomplete || ended_.contains(name)) return;
    std::vector<std::string> locals;
    for (const auto& scope : scopes_) locals.insert(locals.end(), scope.begin(), scope.end());
    diagnostics_.error(where, unknown_name_message(name, called, file_, std::move(locals)));
  }

  void call(const ast::Call& call, size_t piped) {
    if (call.label)
      for (const ast::LabelPart& part : call.label->parts)
        if (part.value) visit(*part.value);
    for (const ast::Argument& argument : call.arguments) visit(*argument.value);
    const std::string& name = call.callee.text;
    if (is_local(name)) return;
    auto global = file_.names.find(name);
    // What is a function on values as well may be either.
    const OpInfo* op = find_builtin(name) ? nullptr : find_op(name);
    if (global != file_.names.end()) {
      const ast::Callable* callable = global->second.callable;
      bool callee = callable && !callable->faulty && callable->kind != ast::CallableKind::network;
      if (callee && callable->kind == ast::CallableKind::block) check_place(call);
      if (callee) check_arguments(*callable, call, piped);
    } else if (op && !op->internal_op) {
      check_place(call);
      check_attributes(*op, call);
    } else if (!find_builtin(name) && !is_tensor_function(name)) {
      unknown(name, call.callee.where, true);
    }
  }

  void check_place(const ast::Call& call) {
    if (!makes_tensors_) diagnostics_.error(call.callee.where, makes_tensor_message(call.callee.text));
  }

  void check_attributes(const OpInfo& op, const ast::Call& call) {
    for (const ast::Argument& argument : call.arguments) {
      if (!argument.name) continue;
      bool known = std::any_of(op.fields.begin(), op.fields.end(), [&](const FieldInfo& field) {
        return !field.internal && field.name == argument.name->text;
      });
      if (!known)
        diagnostics_.error(argument.name->where, unknown_attribute_message(op, argument.name->text));
    }
  }

  void check_arguments(const ast::Callable& callable, const ast::Call& call, size_t position) {
    for (const ast::Argument& argument : call.arguments) {
      if (!argument.name) {
        if (++position == callable.parameters.size() + 1)
          diagnostics_.error(argument.value->where, too_many_arguments_message(callable, position))
              .notes.push_back({callable.name.where, "it is declared here"});
        continue;
      }
      bool known =
          std::any_of(callable.parameters.begin(), callable.parameters.end(),
                      [&](const ast::ParameterDecl& p) { return p.name.text == argument.name->text; });
      if (!known)
        diagnostics_.error(argument.name->where, unknown_parameter_message(callable, argument.name->text))
            .notes.push_back({callable.name.where, "it is declared here"});
    }
  }

  const FileScope& file_;
  Diagnostics& diagnostics_;
  std::vector<std::set<std::string>> scopes_;
  std::set<std::string> ended_;
  SourceLocation where_;
  bool is_network_ = false;
  const decltype(ast::Stmt::node)* first_ = nullptr;  // statement of the declaration
  bool makes_tensors_ = true;                         // in what is checked: a block or a network
};

}  // namespace

void check_names(const Program& program, const Globals& globals, Diagnostics& diagnostics) {
  for (const auto& file : program.files) {
    NameChecker checker(globals.at(file->id), diagnostics);
    for (const ast::Item& item : file->items) {
      const auto* callable = std::get_if<ast::Callable>(&item.node);
      if (callable && !callable->faulty) checker.check(*callable);
      if (const auto* let = std::get_if<ast::Let>(&item.node)) checker.check(*let);
    }
  }
}

}  // namespace cardinal
