// Convolutions and linear layers as steps: one for each band, or what a fast algorithm takes.
#pragma once

#include "passes/kernel_choice.h"
#include "passes/lowering.h"

namespace cardinal {

// With the first of the choices.
void lower_conv(Lowering&, NodeId, const std::vector<ConvChoice>& choices);

// strassen_lowering.cpp: with the first of the choices, which is strassen_1 or strassen_2.
void lower_strassen(Lowering&, NodeId, const std::vector<ConvChoice>& choices);

// The image of a linear layer: the batch is its width.
View as_image(View);

// What a band may read several times or pass from step to step: an eighth of the L3 leaves room for other
// tensors (measured on Zen 4: VGG-16, and ResNet-50 of 8 images). But not less than the weights, which
// every band reads again.
int64_t band_bytes(const Target&, int64_t weights);

}  // namespace cardinal
