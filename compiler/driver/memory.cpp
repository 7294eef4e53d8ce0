#include "compiler/driver/memory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace cardinal::driver {

double machine_memory() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

Status check_memory(double bytes, std::string_view what) {
  const double present = machine_memory();
  if (bytes <= present) return ok();
  return Diagnostics(
      fmt::format("{} would take {:.1f} GB of memory, this machine has {:.1f} GB; make the network or its "
                  "inputs smaller",
                  what, bytes * 1e-9, present * 1e-9));
}

double memory_to_compile(const Graph& graph) {
  double elements = 0;
  for (NodeId id : graph.weights()) elements += static_cast<double>(graph[id].type.shape.elements());
  return 4 * sizeof(float) * elements;
}

double memory_to_verify(const Graph& graph) {
  double all = 0, largest = 0;
  for (NodeId id : graph.ids()) {
    if (graph[id].is_constant) continue;
    double elements = static_cast<double>(graph[id].type.shape.elements());
    all += elements;
    largest = std::max(largest, elements);
  }
  // An operand and a result of the interpreter live at once.
  return memory_to_compile(graph) + sizeof(float) * all + 2 * sizeof(double) * largest;
}

}  // namespace cardinal::driver
