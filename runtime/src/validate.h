// Whether a cardinal_model can be trusted to be one.
#pragma once

#include <cardinal/abi.h>

#include <string>

namespace cardinal::runtime {

// What is wrong with a table in memory or with those of its better variants, or "". Pointers are checked for
// null only.
std::string find_malformed(const cardinal_model& model);

// Why this runtime cannot use that version of the ABI, and what to do, or "".
std::string find_version_mismatch(uint32_t abi_version);

// Elements in a tensor's buffer, the padding of a blocked layout included; 0 if rank, dims or layout make no
// sense.
uint64_t count_elements(const cardinal_tensor& tensor);

// 0 for an unknown dtype.
uint64_t element_bytes(int32_t dtype);
const char* dtype_name(int32_t dtype);
const char* layout_name(int32_t layout);

}  // namespace cardinal::runtime
