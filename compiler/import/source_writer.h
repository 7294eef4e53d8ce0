// Statements of the language from values and the calls that make them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "compiler/import/network.h"

namespace cardinal::onnx_import {

// A call of an op or a block, or a loop of calls, each taking the one before it. Values are called by numbers
// of the caller's choice.
struct SourceCall {
  std::string callee;
  std::string label;  // as written before the ':'; "" for none
  std::vector<std::string> arguments;
  std::vector<size_t> operands;
  size_t result = 0;
  std::string loop;    // "i in 1..3"; "" for a single call
  std::string choice;  // the whole expression, with @ for the operand, in place of a call; "" for a call
};

// The call as a pipe has it.
std::string pipe_stage(const SourceCall& call);

struct SourceResult {
  size_t value = 0;
  std::string name;    // of an output; "" in a block
  std::string layout;  // "" for the default
};

// The statements between the braces of a block or network, line by line, the return last. `names` are those
// of the values that the calls begin with. Line breaks in pipes are chosen here, all else is left to the
// formatter.
std::string write_statements(std::span<const SourceCall> calls, std::map<size_t, std::string> names,
                             std::span<const SourceResult> results);

// A layer's call; the label is that of the layer's whole name.
SourceCall layer_call(const Network& network, size_t layer);
// The attributes as they are written in a call.
struct AttributeText {
  std::string_view field;
  std::string value;
};
std::vector<AttributeText> attribute_texts(const OpAttrs& op);
std::string argument_text(const OpAttrs& op, const AttributeText& attribute);

// A layer's path as a label: words and numbers plain, others quoted. A block's instances are numbered in
// brackets: layer1[0].
std::string label_text(std::string_view path);
std::string instance_label(std::string_view path);

// The calls in an order in which each follows what it needs, those that form a pipe side by side: the order
// in which write_statements computes them. Returns indices into `layers`.
std::vector<size_t> written_order(const Network& network);

// Removes the layers that no output needs.
Network without_dead_layers(const Network& network);
// Layers whose name another has already, because one is computed in two forms, are given one of their own.
void make_names_unique(Network& network);
// The same layers in another order.
Network reordered(const Network& network, std::span<const size_t> order);

}  // namespace cardinal::onnx_import
