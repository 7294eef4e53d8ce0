#include "passes/bands.h"

#include <algorithm>

namespace cardinal {

namespace {

// The size of the largest of the fewest parts, of at most `most`, that make up `all`.
int64_t balanced(int64_t all, int64_t most) {
  return ceil_div(all, ceil_div(all, std::clamp<int64_t>(most, 1, all)));
}

// The rows [row, row + rows) of an output, from the rows of x that they need.
void take_rows(Band& band, int64_t row, int64_t rows) {
  ConvShape& s = band.shape;
  const int64_t first = row * s.stride_h - s.pad_top;
  const int64_t last = first + (rows - 1) * s.stride_h + (s.kh - 1) * s.dilation_h;
  band.out_row = row;
  band.x_row = std::clamp<int64_t>(first, 0, s.ih - 1);
  s.ih = std::clamp(last + 1, band.x_row + 1, s.ih) - band.x_row;
  s.pad_top = band.x_row - first;
  s.oh = rows;
}

}  // namespace

std::vector<Band> make_bands(const ConvShape& s, int64_t images, int64_t rows, int64_t step) {
  const int64_t band_images = balanced(s.n, images);
  const int64_t band_rows = step * balanced(ceil_div(s.oh, step), rows / step);
  std::vector<Band> bands;
  for (int64_t image = 0; image < s.n; image += band_images)
    for (int64_t row = 0; row < s.oh; row += band_rows) {
      Band band{s, image};
      band.shape.n = std::min(band_images, s.n - image);
      take_rows(band, row, std::min(band_rows, s.oh - row));
      band.share = static_cast<double>(band.shape.n * band.shape.oh) / static_cast<double>(s.n * s.oh);
      bands.push_back(band);
    }
  return bands;
}

}  // namespace cardinal
