#include "passes/winograd.h"

#include <cardinal/weight_forms.h>

#include <cassert>

#include "passes/tiling.h"

namespace cardinal {

namespace {

Matrix identity(size_t size) {
  Matrix matrix(size, std::vector<double>(size));
  for (size_t i = 0; i < size; ++i) matrix[i][i] = 1;
  return matrix;
}

Matrix kernel_matrix(int outputs) {
  Matrix matrix;
  for (const double (&row)[3] : winograd_kernel_matrix(outputs)) matrix.emplace_back(row, row + 3);
  return matrix;
}

// Interpolation points 0, 1, -1 and infinity.
WinogradTransform transform2() {
  return {.kernel = kernel_matrix(2),
          .input_parts = identity(4),
          .input = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}},
          .output_parts = identity(4),
          .output = {{1, 1, 1, 0}, {0, 1, -1, 1}}};
}

// Interpolation points 0, 1, -1, 2, -2 and infinity. The parts are what p and -p share.
WinogradTransform transform4() {
  return {.kernel = kernel_matrix(4),
          .input_parts = {{4, 0, -5, 0, 1, 0},
                          {0, 0, -4, 0, 1, 0},
                          {0, -4, 0, 1, 0, 0},
                          {0, 0, -1, 0, 1, 0},
                          {0, -1, 0, 1, 0, 0},
                          {0, 4, 0, -5, 0, 1}},
          .input = {{1, 0, 0, 0, 0, 0},
                    {0, 1, 1, 0, 0, 0},
                    {0, 1, -1, 0, 0, 0},
                    {0, 0, 0, 1, 2, 0},
                    {0, 0, 0, 1, -2, 0},
                    {0, 0, 0, 0, 0, 1}},
          .output_parts = {{1, 0, 0, 0, 0, 0},
                           {0, 1, 1, 0, 0, 0},
                           {0, 1, -1, 0, 0, 0},
                           {0, 0, 0, 1, 1, 0},
                           {0, 0, 0, 1, -1, 0},
                           {0, 0, 0, 0, 0, 1}},
          .output = {{1, 1, 0, 1, 0, 0}, {0, 0, 1, 0, 2, 0}, {0, 1, 0, 4, 0, 0}, {0, 0, 1, 0, 8, 1}}};
}

int64_t whole_blocks(int64_t channels) { return round_up(channels, kChannelBlock); }

Shape transformed(const ConvShape& s, int64_t channels, int outputs) {
  return {s.n, winograd_elements(outputs) * whole_blocks(channels), ceil_div(s.oh, outputs),
          ceil_div(s.ow, outputs)};
}

}  // namespace

const WinogradTransform& winograd_transform(int outputs) {
  static const WinogradTransform two = transform2(), four = transform4();
  assert(outputs == 2 || outputs == 4);
  return outputs == 2 ? two : four;
}

bool winograd_possible(const ConvShape& s) {
  return s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && (s.groups == 1 || groups_are_whole_blocks(s)) && s.oh > 1 && s.ow > 1;
}

int winograd_outputs(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::winograd_f2 ? 2 : algorithm == ConvAlgorithm::winograd_f4 ? 4 : 0;
}

int64_t winograd_elements(int outputs) { return static_cast<int64_t>(outputs + 2) * (outputs + 2); }

Shape winograd_input(const ConvShape& s, int outputs) { return transformed(s, s.ic, outputs); }
Shape winograd_products(const ConvShape& s, int outputs) { return transformed(s, s.oc, outputs); }

int64_t winograd_weight_bytes(const ConvShape& s, int outputs) {
  return 4 * winograd_elements(outputs) * whole_blocks(s.oc) * whole_blocks(s.ic / s.groups);
}

View transformed_view(const Shape& shape) {
  View view = make_view(Space::workspace, 0, 0, shape, Layout::nchw16c);
  view.stride_block = (shape.h() * shape.w() | 1) * kChannelBlock;
  view.stride_n = view.blocks() * view.stride_block;
  return view;
}

std::vector<Band> winograd_bands(const ConvShape& s, int outputs, int64_t bytes) {
  const int64_t tile_rows = ceil_div(s.oh, outputs);
  const int64_t elements = winograd_input(s, outputs).elements() + winograd_products(s, outputs).elements();
  const int64_t fit = std::max<int64_t>(1, bytes / (4 * elements / (tile_rows * s.n)));  // rows of tiles
  return make_bands(s, fit / tile_rows, outputs * fit, outputs);
}

ConvShape winograd_product_shape(const ConvShape& s, int outputs) {
  const Shape x = winograd_input(s, outputs), out = winograd_products(s, outputs);
  ConvShape product;
  product.n = s.n;
  product.ic = x.c();
  product.oc = out.c();
  product.ih = product.oh = x.h();
  product.iw = product.ow = x.w();
  product.groups = winograd_elements(outputs) * s.groups;
  return product;
}

}  // namespace cardinal
