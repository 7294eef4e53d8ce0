// Refuses in words what the kernel would otherwise end by killing the process.
#pragma once

#include <string_view>

#include "ir/graph.h"
#include "ir/result.h"

namespace cardinal::driver {

double machine_memory();  // bytes

// Whether `bytes` fit into the memory of this machine; `what` takes them.
Status check_memory(double bytes, std::string_view what);

// What compiling holds at its peak: the weights as read, packed, in the object and in the linked file.
double memory_to_compile(const Graph& graph);
// What verifying holds at its peak, over compiling: every layer's result, and the interpreter's doubles.
double memory_to_verify(const Graph& graph);

}  // namespace cardinal::driver
