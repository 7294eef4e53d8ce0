// Winograd convolution of 3x3 kernels, F(m x m, 3x3): m x m outputs from (m + 2) x (m + 2) inputs with
// (m + 2)^2 multiplications instead of 9 m^2 (Lavin and Gray, "Fast algorithms for convolutional neural
// networks", 2015).
//
//   output tile = A^T [ sum over input channels of (G g G^T) * (B^T d B) ] A      (* is elementwise)
//
// As (m + 2)^2 independent matrix products, one for each element of a transformed tile.
#pragma once

#include <vector>

#include "passes/bands.h"

namespace cardinal {

using Matrix = std::vector<std::vector<double>>;  // rows

// The two transforms of activations are products of two sparse matrices, whose every row has a 1 for a
// chain of multiply-adds to start from.
struct WinogradTransform {
  Matrix kernel;                // G
  Matrix input_parts, input;    // B^T = input * input_parts
  Matrix output_parts, output;  // A^T = output * output_parts
};
const WinogradTransform& winograd_transform(int outputs);  // outputs = m: 2 or 4

bool winograd_possible(const ConvShape&);
int winograd_outputs(ConvAlgorithm);  // m, or 0 for an algorithm of another kind

// How a convolution looks to the steps that compute it with tiles of `outputs` x `outputs`. Transformed
// tensors hold element e of the tiles in channels [e * C, (e + 1) * C), C being whole blocks, and a tile in
// each pixel.
int64_t winograd_elements(int outputs);  // of a transformed tile
Shape winograd_input(const ConvShape&, int outputs);
Shape winograd_products(const ConvShape&, int outputs);
int64_t winograd_weight_bytes(const ConvShape&, int outputs);  // of the transformed kernel
// Where such a tensor lies in its buffer. Blocks are an odd number of cache lines apart: the elements of a
// tile, which are read and written together, would else fall into the same few sets of the caches.
View transformed_view(const Shape&);
// Bands that are computed with all three steps, one after another; what passes between the steps takes
// `bytes` or a row of tiles.
std::vector<Band> winograd_bands(const ConvShape&, int outputs, int64_t bytes);

// The matrix products: a 1x1 convolution with a group for each element and group.
ConvShape winograd_product_shape(const ConvShape&, int outputs);

}  // namespace cardinal
