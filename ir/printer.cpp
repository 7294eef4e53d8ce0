#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "ir/text.h"

namespace cardinal {

namespace {

bool is_plain_path(std::string_view name) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto inner = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.'; };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), inner);
}

std::string path_text(const std::string& name) { return is_plain_path(name) ? name : quoted(name); }

// How each node is called where it is used.
std::vector<std::string> node_references(const Graph& graph) {
  std::vector<std::string> out;
  std::unordered_set<std::string_view> taken;
  for (NodeId id : graph.ids()) {
    const Node& node = graph[id];
    if (node.is<Weight>())
      out.push_back(fmt::format("@{}", path_text(node.name)));
    else if (!node.name.empty() && taken.insert(node.name).second)
      out.push_back(fmt::format("%{}", path_text(node.name)));
    else
      out.push_back(fmt::format("%{}", index(id)));
  }
  return out;
}

// Three significant digits and a decimal prefix: "236 MFLOP", "3.85 MB".
std::string human(double value, std::string_view unit) {
  constexpr std::string_view prefixes[]{"", "k", "M", "G", "T"};
  size_t prefix = 0;
  for (; value >= 999.5 && prefix + 1 < std::size(prefixes); ++prefix) value /= 1000;
  int digits = prefix == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f} {}{}", value, digits, prefixes[prefix], unit);
}

std::string cost_comment(const Graph& graph, NodeId id) {
  int64_t bytes = node_bytes(graph, id);
  if (bytes == 0) return {};
  return fmt::format("  # {}, {}", human(node_flops(graph, id), "FLOP"),
                     human(static_cast<double>(bytes), "B"));
}

std::string location_text(const SourceMap* sources, SourceLocation where) {
  if (!sources || !where) return {};
  return fmt::format(" loc({}:{}:{})", quoted(sources->path(where.file)), where.line, where.column);
}

std::string print_node(const Graph& graph, NodeId id, const std::vector<std::string>& references) {
  const Node& node = graph[id];
  std::string out = references[index(id)];
  if (!node.name.empty() && out == fmt::format("%{}", index(id)))
    out += fmt::format(":{}", path_text(node.name));
  out += fmt::format(" = {}", op_info(node.op).name);
  for (size_t i = 0; i < node.operands.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "(" : ", ", references[index(node.operands[i])]);
  if (!node.operands.empty()) out += ")";
  std::string attributes;
  for (const FieldValue& field : field_values(node.op))
    attributes += fmt::format("{}{}={}", attributes.empty() ? "" : ", ", field.name, to_string(field.value));
  if (!attributes.empty()) out += fmt::format(" {{{}}}", attributes);
  return fmt::format("{} : {}", out, to_string(node.type));
}

}  // namespace

std::string print(const Graph& graph, const SourceMap* sources) {
  std::string out = "network " + path_text(graph.name);
  if (!graph.source.empty()) out += " source " + quoted(graph.source);
  out += " {\n";
  std::vector<std::string> references = node_references(graph);
  for (NodeId id : graph.ids())
    out += fmt::format("  {}{}{}\n", print_node(graph, id, references),
                       location_text(sources, graph[id].where), cost_comment(graph, id));
  return out + "}\n";
}

}  // namespace cardinal
