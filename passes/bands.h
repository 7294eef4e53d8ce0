// Bands: parts of a convolution that are computed one after another, so that what is read or passed on
// several times stays in the cache.
#pragma once

#include <vector>

#include "passes/plan.h"

namespace cardinal {

// Some images, and some rows of them. A convolution of its own, of a part of x to a part of the output.
struct Band {
  ConvShape shape;                 // a band's pad_top may be negative: rows of x that no output needs
  int64_t image = 0;               // the first
  int64_t x_row = 0, out_row = 0;  // the first of an image
  double share = 1;                // of the convolution
};

// Of at most `images` images and `rows` rows, as equal in size as possible (rows in multiples of `step`), the
// first the largest.
std::vector<Band> make_bands(const ConvShape&, int64_t images, int64_t rows, int64_t step = 1);

}  // namespace cardinal
