#include <cardinal/expected.h>

#include <stdexcept>

namespace cardinal::runtime {

void throw_failed_expected(const Error& error) { throw std::runtime_error(error.message()); }

}  // namespace cardinal::runtime
