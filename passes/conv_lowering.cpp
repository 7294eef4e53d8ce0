#include "passes/conv_lowering.h"

#include <algorithm>

#include "passes/bands.h"
#include "passes/strassen.h"
#include "passes/tiling.h"
#include "passes/winograd.h"

namespace cardinal {

namespace {

class ConvLowering {
 public:
  ConvLowering(Lowering& to, NodeId id, const std::vector<ConvChoice>& choices)
      : to_(to), id_(id), choices_(choices), shape_(shape_of_conv(to.graph(), id)) {}

  void run() {
    if (winograd_outputs(choice().algorithm)) return lower_winograd();
    if (adds_up_rows()) to_.place_row_sums(id_);
    if (choice().algorithm == ConvAlgorithm::lanes) return lower_band({shape_});
    for (const Band& band : direct_bands(shape_)) lower_band(band);
  }

 private:
  const ConvChoice& choice() const { return choices_.front(); }
  const Node& node() const { return to_.node(id_); }

  // So that the mean of the images need not read them. Those of a 1x1 convolution have no rows of their own,
  // and kernels without groups may work in passes.
  bool adds_up_rows() const { return to_.is_averaged(id_) && shape_.groups > 1 && !collapses(shape_); }

  // Every panel of a direct convolution reads all images of its band.
  std::vector<Band> direct_bands(const ConvShape& s) const {
    const int64_t image_bytes = 4 * s.ic * s.ih * s.iw, weights = 4 * s.oc * s.ic / s.groups * s.kh * s.kw;
    return make_bands(s, band_bytes(to_.target(), weights) / image_bytes, s.oh);
  }

  void lower_band(const Band& band) {
    const Node& n = node();
    ConvKernel kernel = conv_kernel(band.shape, choice(), to_.target());
    kernel.has_bias = has_bias(n);
    kernel.epilogue = *epilogue_of(n.op);
    kernel.row_sums = to_.row_sums(id_).has_value();
    const bool direct = kernel.algorithm == ConvAlgorithm::direct;
    DraftStep draft = to_.new_step(id_, kernel);
    to_.read(draft, n.operands[0], direct ? Access::any : Access::vector_channels);
    to_.read_epilogue(draft, id_, kernel.epilogue);
    const auto part = [&](View& view) {
      view = n.is<Linear>() ? as_image(view) : image_rows(view, band.image, 0, band.shape.n, view.shape.h());
    };
    for (View& view : draft.step.inputs) part(view);
    part(draft.step.output);
    if (const std::optional<Location>& sums = to_.row_sums(id_)) {
      draft.step.second_output = sums->view;
      draft.second_output_buffer = sums->buffer;
      part(*draft.step.second_output);
    }
    draft.step.weights.push_back({n.operands[1], direct ? Packing::conv_panels : Packing::conv_lanes});
    if (kernel.has_bias) draft.step.weights.push_back({n.operands[2], Packing::channel_vector});
    draft.step.units = conv_units(kernel);
    predict(draft.step, band, choice().microseconds);
    to_.finish_step(std::move(draft));
  }

  // The first of a convolution's bands says why the kernel was chosen.
  void predict(Step& step, const Band& band, double microseconds) const {
    step.predicted_us = microseconds * band.share;
    step.flops *= band.share;
    const auto part = [&](int64_t bytes) {
      return static_cast<int64_t>(static_cast<double>(bytes) * band.share);
    };
    step.bytes = part(step.bytes);
    const ConvShape& s = std::get<ConvKernel>(step.kernel).shape;
    step.weight_bytes = part(4 * s.oc * s.ic / s.groups * s.kh * s.kw);
    if (band.image == 0 && band.out_row == 0) step.candidates = candidates(shape_, choices_);
  }

  // ---- Winograd convolutions, band by band

  struct WinogradSteps {
    int outputs;
    const Band& band;
    Location tiles, products;  // tensors that only these steps know
  };

  // Transforms x, multiplies, transforms back.
  void lower_winograd() {
    const int outputs = winograd_outputs(choice().algorithm);
    const std::vector<Band> bands =
        winograd_bands(shape_, outputs, band_bytes(to_.target(), winograd_weight_bytes(shape_, outputs)));
    Location tiles = to_.new_value(transformed_view(winograd_input(bands[0].shape, outputs)));
    Location products = to_.new_value(transformed_view(winograd_products(bands[0].shape, outputs)));
    for (const Band& band : bands) {
      tiles.view = transformed_view(winograd_input(band.shape, outputs));
      products.view = transformed_view(winograd_products(band.shape, outputs));
      const WinogradSteps steps{outputs, band, tiles, products};
      transform_input(steps);
      multiply(steps);
      transform_output(steps);
    }
  }

  void transform_input(const WinogradSteps& w) {
    const ConvShape& shape = w.band.shape;
    DraftStep draft = to_.new_step(id_, WinogradKernel{WinogradKernel::Side::input, shape, w.outputs});
    to_.read(draft, node().operands[0], Access::vector_channels);
    draft.step.inputs[0] = image_rows(draft.step.inputs[0], w.band.image, w.band.x_row, shape.n, shape.ih);
    Lowering::write_intermediate(draft, w.tiles, ".winograd_input");
    finish_winograd_side(std::move(draft), shape.ic, choice().input_us * w.band.share);
  }

  void multiply(const WinogradSteps& w) {
    ConvChoice product_choice = choice();
    product_choice.algorithm = ConvAlgorithm::direct;
    const ConvKernel kernel =
        conv_kernel(winograd_product_shape(w.band.shape, w.outputs), product_choice, to_.target());
    DraftStep draft = to_.new_step(id_, kernel);
    Lowering::read(draft, w.tiles);
    Lowering::write_intermediate(draft, w.products, ".winograd_products");
    const Packing packing = w.outputs == 2 ? Packing::winograd_f2 : Packing::winograd_f4;
    draft.step.weights.push_back({node().operands[1], packing});
    draft.step.units = conv_units(kernel);
    predict(draft.step, w.band, choice().microseconds - choice().input_us - choice().output_us);
    draft.step.bytes =
        4 * (w.tiles.view.shape.elements() + w.products.view.shape.elements()) + draft.step.weight_bytes;
    to_.finish_step(std::move(draft));
  }

  void transform_output(const WinogradSteps& w) {
    const Node& n = node();
    const ConvShape& shape = w.band.shape;
    const WinogradKernel kernel{WinogradKernel::Side::output, shape, w.outputs, has_bias(n),
                                *epilogue_of(n.op)};
    const auto part = [&](const View& view) {
      return image_rows(view, w.band.image, w.band.out_row, shape.n, shape.oh);
    };
    DraftStep draft = to_.new_step(id_, kernel);
    to_.read_epilogue(draft, id_, kernel.epilogue);
    for (View& operand : draft.step.inputs) operand = part(operand);
    draft.step.inputs.insert(draft.step.inputs.begin(), w.products.view);
    draft.input_buffers.insert(draft.input_buffers.begin(), w.products.buffer);
    draft.step.output = part(draft.step.output);
    if (kernel.has_bias) draft.step.weights.push_back({n.operands[2], Packing::channel_vector});
    finish_winograd_side(std::move(draft), shape.oc, choice().output_us * w.band.share);
  }

  // The flops are those of the products.
  void finish_winograd_side(DraftStep draft, int64_t channels, double microseconds) {
    Step& step = draft.step;
    const int outputs = std::get<WinogradKernel>(step.kernel).outputs;
    const ConvShape& shape = std::get<WinogradKernel>(step.kernel).shape;
    step.units = ceil_div(channels, kChannelBlock) * shape.n * ceil_div(shape.oh, outputs);
    step.flops = 0;
    step.bytes = step.output.shape.elements() * 4;
    for (const View& input : step.inputs) step.bytes += input.shape.elements() * 4;
    step.predicted_us = microseconds;
    to_.finish_step(std::move(draft));
  }

  Lowering& to_;
  const NodeId id_;
  const std::vector<ConvChoice>& choices_;
  const ConvShape shape_;
};

}  // namespace

View as_image(View view) {
  const int64_t batch = view.shape.n();
  view.shape = {1, view.shape.c(), 1, batch};
  view.stride_w = view.stride_n;
  view.stride_h = batch * view.stride_w;
  view.stride_n = view.stride_h;
  return view;
}

int64_t band_bytes(const Target& target, int64_t weights) { return std::max(target.l3_bytes / 8, weights); }

void lower_conv(Lowering& to, NodeId id, const std::vector<ConvChoice>& choices) {
  if (strassen_levels(choices.front().algorithm)) return lower_strassen(to, id, choices);
  ConvLowering(to, id, choices).run();
}

}  // namespace cardinal
