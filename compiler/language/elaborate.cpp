// A network's whole run: its settings, its body, and what is checked at the end.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

#include "compiler/language/elaborator.h"
#include "compiler/language/loader.h"
#include "compiler/language/names.h"
#include "compiler/language/setting.h"
#include "compiler/language/suggest.h"

namespace cardinal {
namespace {

constexpr size_t kMaxErrors = 100;
// Of one place: enough to see what changes from one turn of a loop or one call of a block to the next.
constexpr int kMostAlike = 3;
constexpr uint64_t kMaxSteps = 10'000'000;

const ast::Callable* find_network(const Program& program, const std::string& name) {
  for (const ast::Item& item : program.files.front()->items) {
    const auto* callable = std::get_if<ast::Callable>(&item.node);
    if (callable && callable->kind == ast::CallableKind::network && callable->name.text == name)
      return callable;
  }
  return nullptr;
}

std::string example_of(const ast::Type& type) {
  switch (type.kind) {
    case ast::TypeKind::integer:
      return "3";
    case ast::TypeKind::floating:
      return "0.5";
    case ast::TypeKind::boolean:
      return "true";
    case ast::TypeKind::list:
      return fmt::format("[{}]", type.element ? example_of(*type.element) : "1, 2");
    default:
      return "name";
  }
}

std::string place_key(SourceLocation where) {
  return fmt::format("{}:{}:{}", where.file, where.line, where.column);
}

}  // namespace

Diagnostic* Reporter::error(SourceLocation where, std::string message, std::string_view gist) {
  if (full_) return nullptr;
  std::string place = place_key(where);
  std::string key = fmt::format("{}:{}", place, gist.empty() ? std::string_view(message) : gist);
  if (closed_.contains(place) || !said_.insert(std::move(key)).second) return nullptr;
  std::string alike = message;
  std::erase_if(alike, [](char c) { return c >= '0' && c <= '9'; });
  if (++alike_[fmt::format("{} {}", place, alike)] > kMostAlike) return nullptr;
  places_.insert(std::move(place));
  if (diagnostics_.list().size() >= kMaxErrors) {
    full_ = true;
    return &diagnostics_.error(where, fmt::format("more than {} errors; the rest is not shown", kMaxErrors));
  }
  return &diagnostics_.error(where, std::move(message));
}

void Reporter::add(const Diagnostics& diagnostics) {
  for (const Diagnostic& diagnostic : diagnostics.list())
    if (Diagnostic* added = error(diagnostic.where, diagnostic.message)) *added = diagnostic;
  for (const Diagnostic& diagnostic : diagnostics.list())
    if (diagnostic.where) closed_.insert(place_key(diagnostic.where));
}

void Reporter::add_new(const Diagnostics& diagnostics) {
  const std::set<std::string> places = places_;
  for (const Diagnostic& diagnostic : diagnostics.list()) {
    if (places.contains(place_key(diagnostic.where))) continue;
    if (Diagnostic* added = error(diagnostic.where, diagnostic.message); added && !full_) *added = diagnostic;
  }
}

namespace {

// The calls that lead to a place, the innermost first. A call that is met again, in a recursion, is told
// once.
std::vector<Diagnostic::Note> call_notes(const Frame* frame) {
  constexpr size_t kMostCalls = 8;
  struct Call {
    const Frame* frame;
    int times;
  };
  std::vector<Call> calls;
  for (; frame && frame->callable && frame->call_site; frame = frame->caller) {
    auto met = std::find_if(calls.begin(), calls.end(),
                            [&](const Call& call) { return call.frame->call_site == frame->call_site; });
    if (met != calls.end()) {
      ++met->times;
    } else if (calls.size() < kMostCalls) {
      calls.push_back({frame, 1});
    } else {
      calls.back() = {frame, 1};  // the outermost, in the network, says most
    }
  }
  std::vector<Diagnostic::Note> notes;
  for (const Call& call : calls) {
    std::string as = call.frame->label.empty() ? "" : fmt::format(" as '{}'", call.frame->label);
    std::string times = call.times == 1 ? "" : fmt::format(", {} times", call.times);
    notes.push_back({call.frame->call_site,
                     fmt::format("in {} {}, called here{}{}", to_string(call.frame->callable->kind),
                                 call.frame->callable->name.text, as, times)});
  }
  return notes;
}

}  // namespace

Value Elaborator::fail(SourceLocation where, std::string message, const std::vector<Diagnostic::Note>& notes,
                       std::string_view gist) {
  Diagnostic* diagnostic = reporter_.error(where, std::move(message), gist);
  if (!diagnostic) return {};
  diagnostic->notes = notes;
  for (Diagnostic::Note& note : call_notes(frame_)) diagnostic->notes.push_back(std::move(note));
  return {};
}

bool Elaborator::charge(uint64_t steps, SourceLocation where) {
  if (reporter_.is_full()) return false;
  steps_ += steps;
  if (steps_ <= kMaxSteps) return true;
  fail(where,
       fmt::format("this description takes more than {} steps to evaluate; is a loop too long?", kMaxSteps));
  reporter_.stop();
  return false;
}

Graph Elaborator::run(const ast::Callable& network, const Settings& settings) {
  graph_.name = network.name.text;
  Frame frame;
  frame.callable = &network;
  frame.file = network.file;
  frame.scopes.emplace_back();
  frame_ = &frame;
  bind_settings(network, settings, frame);
  run_body(network.body);
  if (!frame.result && !reporter_.is_full())
    fail(network.name.where, fmt::format("the network '{}' ends without 'return'", network.name.text));
  frame_ = nullptr;
  return std::move(graph_);
}

void Elaborator::check_constants(const ast::SourceFile& file) {
  for (const ast::Item& item : file.items)
    if (const auto* let = std::get_if<ast::Let>(&item.node)) constant(*let, file.id);
}

void Elaborator::bind_settings(const ast::Callable& network, const Settings& settings, Frame& frame) {
  std::map<std::string, std::string> given;
  std::vector<std::string> names;
  for (const ast::ParameterDecl& parameter : network.parameters) names.push_back(parameter.name.text);
  for (const auto& [key, text] : settings) {
    if (std::find(names.begin(), names.end(), key) == names.end())
      fail({}, fmt::format(
                   "--set {}={}: the network '{}' has no parameter '{}'{}", key, text, network.name.text, key,
                   names.empty()
                       ? "; it has none"
                       : fmt::format("; it has {}{}", fmt::join(names, ", "), did_you_mean(key, names))));
    given[key] = text;  // the last one counts
  }
  for (const ast::ParameterDecl& parameter : network.parameters) {
    Value value;
    auto found = given.find(parameter.name.text);
    if (!parameter.type) {
      fail(parameter.name.where,
           fmt::format("the network parameter '{}' needs a type; tensors come in by 'input'",
                       parameter.name.text));
    } else if (found != given.end()) {
      value = setting_value(parameter, found->second);
    } else if (parameter.fallback) {
      value = checked_parameter(parameter, evaluate(*parameter.fallback), parameter.fallback->where,
                                parameter.fallback.get());
    } else {
      fail(parameter.name.where,
           fmt::format("the network parameter '{}' has no default; set it with --set {}=VALUE",
                       parameter.name.text, parameter.name.text));
    }
    frame.scopes.back()[parameter.name.text] = {std::move(value), parameter.name.where};
  }
}

Value Elaborator::setting_value(const ast::ParameterDecl& parameter, const std::string& text) {
  std::optional<Value> value = parse_setting(text, *parameter.type);
  if (value && value->as<int64_t>() && parameter.type->kind == ast::TypeKind::floating)
    return {value->number()};
  if (value && matches(*value, *parameter.type)) return *value;
  std::string given = text.size() <= 40 ? text : text.substr(0, 37) + "...";
  return fail({}, fmt::format("--set {}={}: expected {}, such as {}", parameter.name.text, given,
                              ast::to_string(*parameter.type), example_of(*parameter.type)));
}

namespace {

// The network that the options mean, or why there is none.
Result<const ast::Callable*> choose_network(const Program& program, const std::string& name) {
  std::vector<std::string> names = network_names(program);
  if (names.empty()) return Diagnostics(fmt::format("{} declares no network", program.path));
  if (name.empty() && names.size() == 1) return find_network(program, names[0]);
  if (name.empty())
    return Diagnostics(fmt::format("{} has {} networks; choose one with --network: {}", program.path,
                                   names.size(), fmt::join(names, ", ")));
  if (const ast::Callable* network = find_network(program, name)) return network;
  return Diagnostics(fmt::format("{} has no network '{}'{}; it has {}", program.path, name,
                                 did_you_mean(name, names), fmt::join(names, ", ")));
}

// Diagnostics as a reader of the files meets them.
Diagnostics in_source_order(const Diagnostics& diagnostics) {
  std::vector<Diagnostic> list = diagnostics.list();
  std::stable_sort(list.begin(), list.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.where.file, a.where.line, a.where.column) <
           std::tie(b.where.file, b.where.line, b.where.column);
  });
  Diagnostics sorted;
  for (Diagnostic& diagnostic : list) sorted.error(diagnostic.where, {}) = std::move(diagnostic);
  return sorted;
}

}  // namespace

Result<Graph> elaborate(const Program& program, const ElaborateOptions& options) {
  Result<const ast::Callable*> network = choose_network(program, options.network);
  if (!network) return network.take_error();
  Reporter reporter;
  Diagnostics declared;
  Globals globals = collect_globals(program, declared);
  reporter.add(declared);
  Graph graph = Elaborator(globals, reporter).run(**network, options.settings);
  graph.source = program.path;
  Diagnostics names;
  check_names(program, globals, names);
  reporter.add_new(names);
  if (reporter.diagnostics().has_errors()) return in_source_order(reporter.diagnostics());
  return graph;
}

Diagnostics check_program(SourceMap& sources, const std::string& path, const ElaborateOptions& options) {
  Diagnostics found;
  Program program = load_program(sources, path, found);
  if (program.files.empty()) return found;
  Globals globals = collect_globals(program, found);
  Reporter reporter;
  reporter.add(found);
  std::vector<std::string> networks = network_names(program);
  if (!options.network.empty()) {
    Result<const ast::Callable*> chosen = choose_network(program, options.network);
    if (!chosen) reporter.add(chosen.error());
    networks = {options.network};
  }
  for (const std::string& name : networks) {
    const ast::Callable* network = find_network(program, name);
    if (network && !network->faulty) Elaborator(globals, reporter).run(*network, options.settings);
  }
  for (const auto& file : program.files) Elaborator(globals, reporter).check_constants(*file);
  Diagnostics names;
  check_names(program, globals, names);
  reporter.add_new(names);
  return in_source_order(reporter.diagnostics());
}

std::vector<BuiltinInfo> builtin_functions() {
  std::vector<BuiltinInfo> list;
  for (const Builtin& builtin : builtins())
    list.push_back({builtin.name, builtin.signature, builtin.summary});
  for (const BuiltinInfo& function : tensor_functions()) list.push_back(function);
  return list;
}

}  // namespace cardinal
