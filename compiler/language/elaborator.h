// Runs a network's description: blocks become graph nodes, layer names become scope paths. Everything is
// evaluated at compile time, so elaboration is an interpreter whose tensors are nodes of the graph that it
// builds.
//
// One run reports independent mistakes and none that only follows from another: after an error a tensor has
// the type that it likely would have had (likely.h); where nothing can be said of a value it is poison, and
// what depends on it is silent.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "compiler/language.h"
#include "compiler/language/arithmetic.h"
#include "compiler/language/globals.h"
#include "compiler/language/likely.h"
#include "compiler/language/value.h"
#include "ir/convention.h"

namespace cardinal {

// Collects errors once each, and not too many of them.
class Reporter {
 public:
  // nullptr if the same was said of that place before, or often enough with other numbers, or too much was
  // said at all. `gist` is what makes messages the same, if that is less than the whole.
  Diagnostic* error(SourceLocation where, std::string message, std::string_view gist = {});
  bool is_full() const { return full_; }
  size_t count() const { return said_.size(); }
  void stop() { full_ = true; }
  const Diagnostics& diagnostics() const { return diagnostics_; }
  // Takes over what was found before; nothing more is said about those places.
  void add(const Diagnostics& diagnostics);
  // Takes over what was found elsewhere about places of which nothing was said.
  void add_new(const Diagnostics& diagnostics);

 private:
  Diagnostics diagnostics_;
  std::set<std::string> said_;        // place and gist
  std::map<std::string, int> alike_;  // how often each place and message was said, whatever its numbers
  std::set<std::string> places_;      // of which something was said
  std::set<std::string> closed_;      // places
  bool full_ = false;
};

struct Variable {
  Value value;
  SourceLocation declared;
};

// One call of a block, fn or network, or the evaluation of a constant.
struct Frame {
  const ast::Callable* callable = nullptr;  // none for a constant
  uint32_t file = 0;
  std::string path;    // scope path of the layers made here
  bool reuse = false;  // their weights are those of earlier layers
  SourceLocation call_site;
  std::string label;  // the call's own, for notes
  const Frame* caller = nullptr;
  int depth = 0;
  int loops = 0;  // that are running
  std::vector<std::unordered_map<std::string, Variable>> scopes;
  std::unordered_map<std::string, SourceLocation> ended;  // names of scopes that are closed, for hints
  std::optional<Value> result;
};

class Elaborator {
 public:
  Elaborator(const Globals& globals, Reporter& reporter) : globals_(globals), reporter_(reporter) {}

  // The graph is complete only if the reporter has no errors afterwards.
  Graph run(const ast::Callable& network, const std::vector<std::pair<std::string, std::string>>& settings);
  // Evaluates the file's constants, those that no network uses included.
  void check_constants(const ast::SourceFile& file);

 private:
  using Settings = std::vector<std::pair<std::string, std::string>>;

  // errors
  Value fail(SourceLocation where, std::string message, const std::vector<Diagnostic::Note>& notes = {},
             std::string_view gist = {});
  Diagnostic::Note shape_note(NodeId id, std::string_view role) const;
  bool charge(uint64_t steps, SourceLocation where);

  // statements
  void run_body(const ast::Body& body);
  void run_scoped(const ast::Body& body);
  void run_statement(const ast::Stmt& statement);
  void execute(const ast::Let& let);
  void execute(const ast::Assign& assign);
  void execute(const ast::For& loop);
  void execute(const ast::Branch& branch);
  void execute(const ast::Return& ret);
  void execute(const ast::InputStmt& input);
  void execute(const ast::ConventionStmt& statement);
  void execute(const ast::Unreadable& statement);
  void assign(const ast::Name& name, Value value);
  bool declare(const ast::Name& name, Value value);
  void poison_assigned(const ast::Body& body);
  void poison_assigned(const ast::If& chain);
  void make_outputs(const ast::Return& ret);
  Value make_input(const ast::InputStmt& input);
  bool is_open(const ast::Expr& dimension);
  std::optional<int64_t> dimension(const ast::Expr& expr);
  void check_open_batch();
  // Of a tensor of that rank; the convention's if none is written.
  std::optional<Layout> layout(const ast::ExprPtr& expr, int rank);
  Variable* find_variable(std::string_view name);
  void push_scope();
  void pop_scope();

  // expressions
  Value evaluate(const ast::Expr& expr);
  Value evaluate_node(const ast::IntLiteral& e, const ast::Expr&) { return {e.value}; }
  Value evaluate_node(const ast::FloatLiteral& e, const ast::Expr&) { return {e.value}; }
  Value evaluate_node(const ast::BoolLiteral& e, const ast::Expr&) { return {e.value}; }
  Value evaluate_node(const ast::StringLiteral& e, const ast::Expr& expr);
  Value evaluate_node(const ast::ListLiteral& e, const ast::Expr& expr);
  Value evaluate_node(const ast::NameRef& e, const ast::Expr& expr);
  Value evaluate_node(const ast::Unary& e, const ast::Expr& expr);
  Value evaluate_node(const ast::Binary& e, const ast::Expr& expr);
  Value evaluate_node(const ast::Index& e, const ast::Expr& expr);
  Value evaluate_node(const ast::Paren& e, const ast::Expr&) { return evaluate(*e.inner); }
  Value evaluate_node(const ast::Call& e, const ast::Expr&) { return call(e, nullptr); }
  Value evaluate_node(const ast::Pipe& e, const ast::Expr& expr);
  Value evaluate_node(const ast::If& e, const ast::Expr& expr);
  Value evaluate_logical(const ast::Binary& e);
  Value evaluate_tensor_binary(const ast::Binary& e, const Value& a, const Value& b);
  Value settle(Outcome outcome, SourceLocation where);  // reports an error outcome
  // The condition's value; nothing after an error.
  std::optional<bool> condition(const ast::Expr& expr);
  Value constant(const ast::Let& let, uint32_t file);
  Value unknown_name(const std::string& name, SourceLocation where, bool called);
  const FileScope& file_scope() const { return globals_.at(frame_->file); }

  // calls
  struct Piped {
    Value value;
    SourceLocation where;
  };
  struct BoundArgument {
    std::string name;  // empty: by position
    SourceLocation name_where;
    Value value;
    SourceLocation where;
    const ast::Expr* expr = nullptr;  // none if it is piped in or an operator's
  };
  struct Invocation {
    const ast::Call* call;
    std::vector<BoundArgument> arguments;  // the piped one first
    std::optional<std::string> label;      // empty string if it could not be computed
    bool piped = false;
  };
  Value call(const ast::Call& call, const Piped* piped);
  Invocation evaluate_arguments(const ast::Call& call, const Piped* piped);
  std::optional<std::string> label_text(const ast::Label& label);
  std::optional<std::string> label_part_text(const ast::LabelPart& part, SourceLocation where);
  Value call_user(const ast::Callable& callable, Invocation invocation);
  // Whether there was nothing to report.
  bool bind_parameters(const ast::Callable& callable, const Invocation& invocation, Frame& frame);
  const ast::ParameterDecl* find_parameter(const ast::Callable& callable, const BoundArgument& argument,
                                           size_t position);
  Value checked_parameter(const ast::ParameterDecl& parameter, Value value, SourceLocation where,
                          const ast::Expr* expr);
  Value call_builtin(const Builtin& builtin, const Invocation& invocation);
  Value sum_of_tensors(const List& list, SourceLocation where);
  Value call_tensor_function(std::string_view name, const Invocation& invocation);
  Value parameter(const Invocation& invocation);
  Value shape_of(NodeId id) const;
  Value split(NodeId id, const Invocation& invocation);
  Value likely_parts(NodeId id, const Value& parts, SourceLocation where);
  void bind_settings(const ast::Callable& network, const Settings& settings, Frame& frame);
  Value setting_value(const ast::ParameterDecl& parameter, const std::string& text);
  std::string join_path(const std::string& label) const;
  using Places = std::unordered_map<std::string, SourceLocation>;
  // Whether the invocation's layers take the weights of earlier ones.
  bool reuses(const Invocation& invocation) const;
  // Claims a layer's name, or finds the layer whose weights are used again.
  bool name_layer(const Invocation& invocation, const std::string& path);
  bool claim(Places& taken, std::string_view what, const std::string& name, SourceLocation where);

  // ops
  struct OpCall {
    const OpInfo* info;
    OpAttrs attrs;
    std::vector<NodeId> tensors;
    std::vector<SourceLocation> tensor_places;
    std::optional<NodeId> kernel;  // of a conv, where it is made of parameters instead of being one
    std::map<std::string_view, SourceLocation> field_places;
    std::vector<std::string_view> wrong_fields;  // given wrong or not at all; the attributes hold defaults
    bool poisoned = false;
    bool has_unknown_tensor = false;  // `tensors` is not all of them
    bool has_unknown_name = false;    // maybe a required attribute misspelt, so none is reported as missing
    bool has_surplus = false;
    void spoil(std::string_view field) {
      wrong_fields.push_back(field);
      poisoned = true;
    }
  };
  // Reports a tensor made where none can be.
  bool can_make_tensors(std::string_view callee, SourceLocation where);
  Value call_op(const OpInfo& info, const Invocation& invocation);
  // What an operator on tensors stands for.
  Value call_operator(std::string_view op, SourceLocation where, std::vector<BoundArgument> arguments);
  Value call_affine(SourceLocation where, BoundArgument x, const Value& scale, const Value& shift);
  std::optional<Likely> likely_of_any(const OpCall& op);
  void check_complete(OpCall& op, SourceLocation where);
  void take_positional(OpCall& op, const BoundArgument& argument, size_t& next_required);
  // Whether the argument is a convolution's kernel.
  bool take_kernel(OpCall& op, const BoundArgument& argument);
  void take_field(OpCall& op, const FieldInfo& field, const BoundArgument& argument);
  void refuse_positional(OpCall& op, const BoundArgument& argument);
  // Whether the first number is that of the input's channels, as PyTorch's layers have it.
  bool begins_with_input_channels(const OpCall& op) const;
  std::string untyped_parameter_advice(const BoundArgument& argument) const;
  void take_named(OpCall& op, const BoundArgument& argument);
  bool add_tensors(OpCall& op, const Value& value, SourceLocation where);
  Likely likely(NodeId id) const;
  std::vector<Likely> likely_operands(const OpCall& op) const;
  Value assume(const std::optional<Likely>& likely, SourceLocation where);
  Value add_op(OpCall& op, const Invocation& invocation);
  SourceLocation blamed(const OpCall& op, const OpError& error, const Invocation& invocation);
  Value refuse(const OpCall& op, const OpError& error, const Invocation& invocation);

  const Globals& globals_;
  Reporter& reporter_;
  const Convention* convention_ = &conventions().front();
  Graph graph_;
  std::map<NodeId, Likely> assumed_;  // nodes that stand for results of erroneous calls
  bool open_batch_ = false;           // of an input so far
  Frame* frame_ = nullptr;
  std::map<const ast::Let*, std::optional<Value>> constants_;  // empty while being evaluated
  Places layers_;                                              // scope paths taken
  Places ports_;                                               // names of inputs and outputs
  uint64_t steps_ = 0;
  bool endless_ = false;  // calls were nested too deep; set until the outermost has returned
  uint32_t depth_ = 0;
};

}  // namespace cardinal
