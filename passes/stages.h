// A network for a batch in two stages: its first layers image by image, as in a network for one image, so
// that their values stay in the caches; the rest, whose weights are more than its values, for all images at
// once.
//
//   x [8, ...] ── image 0 ── layers ── boundary [8, ...] ── layers ── y [8, ...]
//                 image 1 ── layers ──┘
//                 ...
#pragma once

#include <optional>

#include "ir/graph.h"
#include "passes/plan.h"

namespace cardinal {

// A part of a network as a network of its own, with the values that cross from one to the other as its inputs
// or outputs.
struct StageGraph {
  Graph graph;
  std::vector<NodeId> originals;  // by NodeId of `graph`; of an output at the boundary its operand's
  // In the order of the graph's inputs and outputs: which of the network's it is, or of the values that
  // cross.
  struct Port {
    bool crosses = false;
    int number = 0;
  };
  std::vector<Port> inputs, outputs;
};

struct Stages {
  int64_t images = 0;
  StageGraph image, rest;        // for one image, for all
  std::vector<NodeId> boundary;  // the values that cross
};

// None if the network is for one image, or is best computed for all at once.
std::optional<Stages> split_in_stages(const Graph&, const std::vector<bool>& live, const Target&);

// One plan of the stages' plans.
Plan join_stages(const Graph&, const Stages&, Plan image, Plan rest);

}  // namespace cardinal
