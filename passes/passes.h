// The graph passes. Each is one function in the file of its name; passes/pipeline.cpp holds the table and the
// order.
#pragma once

#include "ir/graph.h"

namespace cardinal {

Graph remove_dead_nodes(const Graph&);
Graph regular_pools(const Graph&);
Graph simplify(const Graph&);
Graph complete_norms(const Graph&);
Graph fold_padding(const Graph&);
Graph fold_batch_norm(const Graph&);
Graph lower_batch_norm(const Graph&);
Graph constant_operands(const Graph&);
Graph dense_projections(const Graph&);
Graph flatten_concats(const Graph&);
Graph fuse_epilogues(const Graph&);
Graph fold_constants(const Graph&);

}  // namespace cardinal
