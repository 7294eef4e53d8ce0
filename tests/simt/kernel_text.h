// The hand-written kernels of kernels/, as they are or with a fault planted in them.
#pragma once

#include <string>
#include <string_view>

namespace cardinal::simt {

std::string kernel_text(std::string_view file);

// The text with every line that ends in "; <tag>" replaced. Fails the test if there is none.
std::string with_line(std::string text, std::string_view tag, std::string_view replacement);
std::string without_line(std::string text, std::string_view tag);

}  // namespace cardinal::simt
