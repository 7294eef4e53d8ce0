// Statements, scopes and the boundary of a network.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/language/elaborator.h"
#include "compiler/language/suggest.h"

namespace cardinal {

void Elaborator::push_scope() { frame_->scopes.emplace_back(); }

void Elaborator::pop_scope() {
  for (auto& [name, variable] : frame_->scopes.back()) frame_->ended.emplace(name, variable.declared);
  frame_->scopes.pop_back();
}

Variable* Elaborator::find_variable(std::string_view name) {
  std::string key(name);
  for (auto scope = frame_->scopes.rbegin(); scope != frame_->scopes.rend(); ++scope)
    if (auto found = scope->find(key); found != scope->end()) return &found->second;
  return nullptr;
}

bool Elaborator::declare(const ast::Name& name, Value value) {
  if (Variable* earlier = find_variable(name.text)) {
    fail(name.where,
         fmt::format("'{}' exists already; to change it, write '{} = ...' without 'let'", name.text,
                     name.text),
         {{earlier->declared, "it was made here"}});
    return false;
  }
  frame_->scopes.back()[name.text] = {std::move(value), name.where};
  return true;
}

void Elaborator::run_body(const ast::Body& body) {
  for (const ast::Stmt& statement : body.statements) {
    if (frame_->result || reporter_.is_full()) return;
    run_statement(statement);
  }
}

void Elaborator::run_scoped(const ast::Body& body) {
  push_scope();
  run_body(body);
  pop_scope();
}

void Elaborator::run_statement(const ast::Stmt& statement) {
  if (!charge(1, statement.where)) return;
  std::visit([&](const auto& node) { execute(node); }, statement.node);
}

void Elaborator::execute(const ast::Let& let) {
  Value value = evaluate(*let.value);
  if (value.has_tensors()) {
    fail(let.name.where, fmt::format("'let' is for values; a tensor is named by '{} = ...'", let.name.text));
    value = {};
  }
  declare(let.name, std::move(value));
}

void Elaborator::assign(const ast::Name& name, Value value) {
  Variable* variable = find_variable(name.text);
  if (!variable) {
    const bool is_convention = name.text == "convention" && value.string();
    if (is_convention)
      fail(name.where, fmt::format("a convention is chosen without '=': convention {}", *value.string()));
    else if (!value.may_be_tensors() && !value.is_poison())
      fail(name.where,
           fmt::format("there is no '{}' yet; a new value is named by 'let {} = ...'", name.text, name.text));
    frame_->scopes.back()[name.text] = {std::move(value), name.where};
    return;
  }
  bool was_tensor = variable->value.is_tensor(), is_tensor = value.is_tensor();
  bool poison = variable->value.is_poison() || value.is_poison();
  bool lists = variable->value.list() || value.list();
  if (!poison && !lists && was_tensor != is_tensor) {
    fail(name.where,
         fmt::format("'{}' is {} and cannot become {}; use another name", name.text,
                     with_article(type_name(variable->value)), with_article(type_name(value))),
         {{variable->declared, "it was made here"}});
    value = {};
  }
  variable->value = std::move(value);
}

void Elaborator::execute(const ast::Assign& assignment) {
  Value value = evaluate(*assignment.value);
  if (assignment.names.size() == 1) return assign(assignment.names[0], std::move(value));
  const List* list = value.list();
  size_t wanted = assignment.names.size();
  if (!value.is_poison() && (!list || list->elements.size() != wanted)) {
    std::string got = list ? fmt::format("{} values", list->elements.size()) : "one " + type_name(value);
    fail(assignment.names[0].where, fmt::format("{} names on the left, {} on the right", wanted, got));
    list = nullptr;
  }
  for (size_t i = 0; i < wanted; ++i) assign(assignment.names[i], list ? list->elements[i] : Value{});
}

void Elaborator::execute(const ast::For& loop) {
  Value iterable = evaluate(*loop.iterable);
  const List* list = iterable.list();
  if (!list) {
    if (!iterable.is_poison())
      fail(loop.iterable->where,
           fmt::format("'for' needs a list or a range such as 0..n, not {}{}", show_with_type(iterable),
                       iterable.as<int64_t>() ? fmt::format("; write 0..{}", show(iterable)) : ""));
    return poison_assigned(loop.body);
  }
  for (const ast::Stmt& statement : loop.body.statements)
    if (const auto* ret = std::get_if<ast::Return>(&statement.node); ret && list->elements.size() > 1)
      fail(statement.where, "this 'return' ends the loop in its first round; put it behind the loop's '}'");
  ++frame_->loops;
  for (const Value& element : list->elements) {
    if (frame_->result || !charge(1, loop.variable.where)) break;
    push_scope();
    bool declared = declare(loop.variable, element);
    if (declared) run_body(loop.body);
    pop_scope();
    if (declared) continue;
    poison_assigned(loop.body);
    break;
  }
  --frame_->loops;
}

void Elaborator::execute(const ast::Branch& statement) {
  for (const ast::If::Arm& arm : statement.branch.arms) {
    std::optional<bool> holds = condition(*arm.condition);
    if (!holds) return poison_assigned(statement.branch);
    if (*holds) return run_scoped(arm.body);
  }
  if (statement.branch.otherwise) run_scoped(*statement.branch.otherwise);
}

void Elaborator::execute(const ast::Unreadable& statement) {
  for (const ast::Name& name : statement.names) {
    Variable* variable = find_variable(name.text);
    variable ? void(variable->value = {}) : void(frame_->scopes.back()[name.text] = {Value{}, name.where});
  }
  if (statement.returns) frame_->result = Value{};
}

// What a skipped body would have assigned is unknown from here on.
void Elaborator::poison_assigned(const ast::Body& body) {
  for (const ast::Stmt& statement : body.statements) {
    if (const auto* assignment = std::get_if<ast::Assign>(&statement.node)) {
      for (const ast::Name& name : assignment->names)
        if (Variable* variable = find_variable(name.text)) variable->value = {};
    } else if (const auto* loop = std::get_if<ast::For>(&statement.node)) {
      poison_assigned(loop->body);
    } else if (const auto* branch = std::get_if<ast::Branch>(&statement.node)) {
      poison_assigned(branch->branch);
    } else if (const auto* unreadable = std::get_if<ast::Unreadable>(&statement.node)) {
      execute(*unreadable);
    } else if (std::holds_alternative<ast::Return>(statement.node)) {
      frame_->result = Value{};
    }
  }
}

void Elaborator::poison_assigned(const ast::If& chain) {
  for (const ast::If::Arm& arm : chain.arms) poison_assigned(arm.body);
  if (chain.otherwise) poison_assigned(*chain.otherwise);
}

void Elaborator::execute(const ast::Return& ret) {
  if (frame_->callable->kind == ast::CallableKind::network) return make_outputs(ret);
  std::vector<Value> values;
  for (const ast::Return::Item& item : ret.items) {
    if (item.name) fail(item.name->where, "only a network names what it returns");
    if (item.layout) fail(item.layout->where, "only a network's outputs have a layout");
    values.push_back(evaluate(*item.value));
    if (frame_->callable->kind == ast::CallableKind::function && values.back().has_tensors())
      values.back() = fail(item.value->where, "a function returns values, not tensors; make it a block");
  }
  frame_->result = values.size() == 1 ? std::move(values[0]) : make_list(std::move(values));
}

std::optional<Layout> Elaborator::layout(const ast::ExprPtr& expr, int rank) {
  if (!expr) return rank == 4 ? convention_->layout : Layout::nchw;
  Value value = evaluate(*expr);
  if (value.is_poison()) return std::nullopt;
  if (value.string() && *value.string() == "nchw") return Layout::nchw;
  if (value.string() && *value.string() == "nhwc") return Layout::nhwc;
  fail(expr->where, fmt::format("a layout is nchw or nhwc, not {}", show(value)));
  return std::nullopt;
}

// One image at a time is computed, so nothing else may belong to several.
void Elaborator::check_open_batch() {
  if (!open_batch_) return;
  for (NodeId id : graph_.inputs()) {
    const Node& input = graph_[id];
    if (input.type.shape[0] == 1) continue;
    fail(input.where,
         fmt::format("the batch of another input is open, so that of '{}' must be N too, or 1 if all "
                     "images share it; it is {}",
                     input.name, input.type.shape[0]));
  }
}

void Elaborator::make_outputs(const ast::Return& ret) {
  check_open_batch();
  bool nameless = false;
  for (const ast::Return::Item& item : ret.items) {
    Value value = evaluate(*item.value);
    const auto* tensor = value.as<TensorValue>();
    std::optional<Layout> layout =
        this->layout(item.layout, tensor ? graph_[tensor->id].type.shape.rank() : 0);
    SourceLocation where = item.name ? item.name->where : item.value->where;
    if (!item.name && ret.items.size() > 1) {
      if (!nameless) fail(where, "a network with several outputs must name them: return a = ..., b = ...");
      nameless = true;
      continue;
    }
    std::string name = item.name ? item.name->text : "output";
    bool claimed = claim(ports_, "output", name, where);
    if (value.is_poison() || !layout || !claimed) continue;
    if (!tensor) {
      fail(item.value->where,
           fmt::format("a network returns tensors, not {}", with_article(type_name(value))));
      continue;
    }
    auto added = graph_.try_add(OpAttrs(Output{*layout, open_batch_}), {tensor->id}, name, where);
    if (const auto* error = std::get_if<OpError>(&added)) fail(where, error->message);
  }
  frame_->result = Value{};
}

void Elaborator::execute(const ast::ConventionStmt& statement) {
  const auto* name = statement.value->as<ast::NameRef>();
  const bool known = !name || find_variable(name->name) || file_scope().names.contains(name->name);
  Value value = known ? evaluate(*statement.value) : make_string(name->name);
  if (value.is_poison()) return;
  const Convention* found = value.string() ? find_convention(*value.string()) : nullptr;
  if (found) {
    convention_ = found;
    return;
  }
  std::vector<std::string> names;
  for (const Convention& convention : conventions()) names.emplace_back(convention.name);
  fail(statement.value->where,
       fmt::format("there is no convention {}; there are {}{}", show(value), fmt::join(names, ", "),
                   value.string() ? did_you_mean(*value.string(), names, word_aliases()) : ""));
  if (value.string()) found = find_convention(closest_name(*value.string(), names, word_aliases()));
  if (found) convention_ = found;
}

void Elaborator::execute(const ast::InputStmt& input) {
  if (frame_->callable->kind != ast::CallableKind::network) {
    fail(input.name.where, fmt::format("'input' belongs into a network; a {} takes tensors as parameters",
                                       to_string(frame_->callable->kind)));
    declare(input.name, {});
    return;
  }
  Value tensor = make_input(input);
  declare(input.name, std::move(tensor));
}

Value Elaborator::make_input(const ast::InputStmt& input) {
  std::optional<DType> dtype = parse_dtype(input.dtype.text);
  if (!dtype) fail(input.dtype.where, fmt::format("'{}' is not an element type; use f32", input.dtype.text));
  const Layout layout =
      this->layout(input.layout, static_cast<int>(input.dims.size())).value_or(Layout::nchw);
  std::vector<int64_t> dims;
  const bool open_batch = !input.dims.empty() && is_open(*input.dims[0]);
  for (const auto& expr : input.dims) {
    if (expr == input.dims[0] && open_batch) {
      dims.push_back(1);
    } else if (std::optional<int64_t> dim = dimension(*expr)) {
      dims.push_back(*dim);
    }
  }
  if (dims.size() != input.dims.size()) return {};
  if (dims.size() != 4 && dims.size() != 2)
    return fail(
        input.name.where,
        fmt::format("an input has 4 dimensions, N, C, H, W, or 2, N, C; this one has {}", dims.size()));
  Shape shape{std::span<const int64_t>(dims)};
  if (std::string problem = shape_problem(shape); !problem.empty())
    return fail(input.name.where, std::move(problem));
  if (!claim(ports_, "input", input.name.text, input.name.where)) return {};
  OpAttrs op = Input{dtype.value_or(DType::f32), shape, layout, open_batch};
  auto added = graph_.try_add(std::move(op), {}, input.name.text, input.name.where);
  open_batch_ |= open_batch;
  if (const auto* error = std::get_if<OpError>(&added)) return fail(input.name.where, error->message);
  return {TensorValue{std::get<NodeId>(added)}};
}

// Whether a dimension is written as N, unless that is a parameter or another name of the source's own.
bool Elaborator::is_open(const ast::Expr& dimension) {
  const auto* name = dimension.as<ast::NameRef>();
  return name && name->name == "N" && !find_variable("N") && !file_scope().names.contains("N");
}

std::optional<int64_t> Elaborator::dimension(const ast::Expr& expr) {
  if (is_open(expr)) {
    fail(expr.where, "N leaves the batch open, so it can only be the first dimension; write a number here");
    return 1;
  }
  Value value = evaluate(expr);
  if (value.is_poison()) return std::nullopt;
  const auto* dim = value.as<int64_t>();
  if (dim && *dim >= 1 && *dim <= kMaxDim) return *dim;
  fail(expr.where, fmt::format("a dimension is an int from 1 to {}, not {}", kMaxDim, show(value)));
  return std::nullopt;
}

}  // namespace cardinal
