#include "passes/plan.h"

namespace cardinal {

std::string_view to_string(ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::direct:
      return "direct";
    case ConvAlgorithm::lanes:
      return "lanes";
    case ConvAlgorithm::winograd_f2:
      return "winograd_f2";
    case ConvAlgorithm::winograd_f4:
      return "winograd_f4";
    case ConvAlgorithm::strassen_1:
      return "strassen_1";
    case ConvAlgorithm::strassen_2:
      break;
  }
  return "strassen_2";
}

View make_view(Space space, int index, int64_t offset, const Shape& shape, Layout layout) {
  View view{space, index, offset, shape};
  const int64_t c = shape.c(), h = shape.h(), w = shape.w();
  switch (layout) {
    case Layout::nchw:
      view.stride_c = h * w;
      view.stride_w = 1;
      view.stride_h = w;
      view.stride_n = c * h * w;
      view.stride_block = kChannelBlock * view.stride_c;
      break;
    case Layout::nhwc:
      view.stride_c = 1;
      view.stride_w = c;
      view.stride_h = w * c;
      view.stride_n = h * w * c;
      view.stride_block = kChannelBlock;
      break;
    case Layout::nchw16c:
      view.stride_c = 1;
      view.stride_w = kChannelBlock;
      view.stride_h = w * kChannelBlock;
      view.stride_block = h * w * kChannelBlock;
      view.stride_n = view.blocks() * view.stride_block;
      view.padded = true;
      break;
  }
  return view;
}

View image_rows(const View& view, int64_t image, int64_t row, int64_t images, int64_t rows) {
  View part = view;
  const bool repeated = view.stride_h == 0;
  part.offset += image * view.stride_n + (repeated ? 0 : row * view.stride_h);
  part.shape = {images, view.shape.c(), repeated ? view.shape.h() : rows, view.shape.w()};
  return part;
}

int64_t view_elements(const Shape& shape, Layout layout) {
  const int64_t c = layout == Layout::nchw16c ? round_up(shape.c(), kChannelBlock) : shape.c();
  return shape.n() * c * shape.h() * shape.w();
}

}  // namespace cardinal
