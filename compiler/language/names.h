// Names in all declarations, used by a network or not: everything that can be checked without knowing shapes.
#pragma once

#include "compiler/language/globals.h"

namespace cardinal {

// Reports unknown names, ops, parameters and attributes in every declaration of the program.
void check_names(const Program& program, const Globals& globals, Diagnostics& diagnostics);

// Built-in functions of tensors, which the elaborator evaluates itself.
std::span<const BuiltinInfo> tensor_functions();
bool is_tensor_function(std::string_view name);

// `same`, `nhwc` and other words that stand for themselves, wherever no variable has their name.
const std::vector<std::string>& bare_words();

// The message for a name that nothing has. `locals` are the variables in scope.
std::string unknown_name_message(std::string_view name, bool called, const FileScope& file,
                                 std::vector<std::string> locals);
// The message for a call of an op or a block where only values are computed.
std::string makes_tensor_message(std::string_view callee);
// The attribute that was meant by a name that is none, "" if none is near.
std::string meant_attribute(const OpInfo& info, std::string_view name);
// The message for an argument that an op has no attribute for.
std::string unknown_attribute_message(const OpInfo& info, std::string_view name);
const ast::ParameterDecl* meant_parameter(const ast::Callable& callable, std::string_view name);
std::string unknown_parameter_message(const ast::Callable& callable, std::string_view name);
std::string too_many_arguments_message(const ast::Callable& callable, size_t position);
// "conv has channels, kernel, ..."
std::string attributes_of(const OpInfo& info);

}  // namespace cardinal
