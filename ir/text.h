// The IR's text form: prints, parses back, prints the same.
//
//   network resnet18 source "resnet18.nn" {
//     %x = input {dtype=f32, shape=[1, 3, 224, 224]} : f32[1, 3, 224, 224] loc("resnet18.nn":4:9)
//     @conv1.weight = weight {shape=[64, 3, 7, 7], role=kernel} : f32[64, 3, 7, 7]
//     %conv1 = conv(%x, @conv1.weight) {channels=64, kernel=7, stride=2} : f32[1, 64, 112, 112]  # ...
//     %3 = relu(%conv1) : f32[1, 64, 112, 112]  # 803 kFLOP, 6.42 MB
//     %y = output(%3) : f32[1, 64, 112, 112]
//   }
//
// A node is called by its scope path, or by its number if it has none; one whose path is taken already is
// called by its number too and introduced as %12:path. Paths that are not words joined by dots are quoted:
// %"0.conv". Weights are marked by @, all else by %. `#` starts a comment; those with the operations and
// bytes of a node are printed anew. Types and locations may be left out when writing by hand. A location
// restores its file in the SourceMap, with its text if it can be read.
#pragma once

#include "ir/graph.h"

namespace cardinal {

std::string print(const Graph&, const SourceMap* sources = nullptr);
// Errors point into the IR text itself, which is added to `sources` under `path`.
Result<Graph> parse_ir(SourceMap& sources, const std::string& path, std::string text);

}  // namespace cardinal
