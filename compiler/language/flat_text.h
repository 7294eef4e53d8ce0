// A piece of source on one line, in the standard format.
#pragma once

#include <string>

#include "compiler/language/ast.h"

namespace cardinal {

std::string flat_text(const ast::Expr& expr);
std::string flat_text(const ast::Label& label);  // without the ':'
std::string flat_text(const ast::Argument& argument);
std::string flat_text(const ast::ParameterDecl& parameter);

}  // namespace cardinal
