// What exporters spell out in several nodes, brought back to one.
#pragma once

#include "compiler/import/onnx_graph.h"

namespace cardinal::onnx_import {

// Computes what depends on constants alone; replaces activations and normalisations that are written with
// arithmetic by the nodes that newer opsets have for them (and x * sigmoid(x) by "Silu", which none has);
// removes the nodes that no output needs.
void simplify_graph(OnnxGraph& graph);

}  // namespace cardinal::onnx_import
