#include "passes/plan.h"

#include <algorithm>

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

std::optional<ConvAlgorithm> parse_algorithm(std::string_view text) {
  for (ConvAlgorithm algorithm :
       {ConvAlgorithm::direct, ConvAlgorithm::lanes, ConvAlgorithm::winograd_f2, ConvAlgorithm::winograd_f4,
        ConvAlgorithm::strassen_1, ConvAlgorithm::strassen_2})
    if (text == to_string(algorithm)) return algorithm;
  return {};
}

std::string_view to_string(GpuConvKernel::Algorithm algorithm) {
  switch (algorithm) {
    case GpuConvKernel::Algorithm::simt:
      return "simt";
    case GpuConvKernel::Algorithm::depthwise:
      return "depthwise";
    case GpuConvKernel::Algorithm::patch:
      return "patch";
    case GpuConvKernel::Algorithm::wgmma:
      return "wgmma";
    case GpuConvKernel::Algorithm::mma:
      break;
  }
  return "mma";
}

double predicted_us(const Step& step) { return static_cast<double>(step.repeats) * step.predicted_us; }

size_t repeated_steps(const Plan& plan) {
  const auto once = [](const Step& step) { return step.repeats == 1; };
  return static_cast<size_t>(std::find_if(plan.steps.begin(), plan.steps.end(), once) - plan.steps.begin());
}

bool uses_wgmma(const Plan& plan) {
  return std::any_of(plan.steps.begin(), plan.steps.end(), [](const Step& step) {
    const auto* conv = std::get_if<GpuConvKernel>(&step.kernel);
    return conv && conv->algorithm == GpuConvKernel::Algorithm::wgmma;
  });
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

View workspace_view(const Shape& shape, const Format& format) {
  View view = make_view(Space::workspace, 0, 0, shape, format.layout);
  if (format.layout == Layout::nhwc) {
    view.stride_w = round_up(shape.c(), kChannelBlock);
    view.stride_h = shape.w() * view.stride_w;
    view.stride_n = shape.h() * view.stride_h;
    view.padded = true;
  }
  view.dtype = format.dtype;
  return view;
}

int64_t workspace_floats(const Shape& shape, const Format& format) {
  return floats_for(shape.n() * workspace_view(shape, format).stride_n, format.dtype);
}

View image_rows(const View& view, int64_t image, int64_t row, int64_t images, int64_t rows) {
  View part = view;
  const bool repeated = view.stride_h == 0;
  part.offset += image * view.stride_n + (repeated ? 0 : row * view.stride_h);
  part.shape = {images, view.shape.c(), repeated ? view.shape.h() : rows, view.shape.w()};
  return part;
}

int64_t floats_for(int64_t elements, DType dtype) {
  return ceil_div(elements * dtype_bytes(dtype), int64_t{sizeof(float)});
}

int64_t view_elements(const Shape& shape, Layout layout) {
  const int64_t c = layout == Layout::nchw16c ? round_up(shape.c(), kChannelBlock) : shape.c();
  return shape.n() * c * shape.h() * shape.w();
}

}  // namespace cardinal
