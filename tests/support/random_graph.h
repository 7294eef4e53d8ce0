// Random small graphs over the whole op table, and the minimiser for those that fail.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ir/convention.h"
#include "ir/graph.h"

namespace cardinal::testing {

// Adds a layer with its weight nodes; the op's shape rule must accept it.
std::variant<NodeId, OpError> add_layer(Graph&, const OpAttrs&, std::vector<NodeId> tensors,
                                        const std::string& name, const Convention& = conventions().front());

// A graph of about `size` random nodes from a seed: odd shapes, branches, residuals, concats, several
// outputs.
Graph random_graph(uint64_t seed, int size);

// Standard normal values for the graph's inputs.
std::vector<Tensor> random_inputs(const Graph&, uint64_t seed);

// The smallest graph found, by cutting outputs and bypassing nodes, on which `fails` still holds.
Graph minimise(Graph, const std::function<bool(const Graph&)>& fails);

}  // namespace cardinal::testing
