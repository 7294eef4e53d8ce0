// 1x1 convolutions by fast matrix multiplication, band by band of pixels; one with strides is made dense
// first. One level is one step. Two levels, P1 to P7 being the products of the first level in the order of
// kStrassenProducts, each computed by the step of one level from a quarter of x or from an outer sum of such:
//
//   O = sums of x
//   T = P1;  out 11 = T + P2;  T += P3;  V = T + P4;  out 12 = V + P5;  out 22 = V + P6, T += P6;
//   out 21 = T + P7
#include <algorithm>

#include "passes/conv_lowering.h"
#include "passes/strassen.h"
#include "passes/tiling.h"

namespace cardinal {

namespace {

// Groups [first, first + pairs) of two or, with two levels, four neighbouring pixels of some images. Where
// that is said, only those of them that have a certain pixel.
struct PairBand {
  int64_t image = 0, images = 0, first = 0, pairs = 0;
};

std::vector<PairBand> pair_bands(int64_t images, int64_t pairs, int64_t pair_bytes, int64_t bytes) {
  const int64_t fit = std::max<int64_t>(1, bytes / pair_bytes);
  const int64_t band_images = std::clamp<int64_t>(fit / pairs, 1, images);
  const std::vector<RowTile> parts = balanced_tiles(pairs, std::min(fit, pairs));
  std::vector<PairBand> bands;
  for (int64_t image = 0; image < images; image += band_images)
    for (const RowTile& part : parts)
      bands.push_back({image, std::min(band_images, images - image), part.x, part.pixels});
  return bands;
}

// The image as one row of pixels.
View as_row(View view) {
  const int64_t pixels = view.shape.h() * view.shape.w();
  const bool repeated = view.shape.h() == 1 && view.stride_h == 0;
  view.shape = {view.shape.n(), view.shape.c(), 1, repeated ? 1 : pixels};
  return view;
}

// Channels [channel, channel + channels) of images [band.image, ...); of each group of pixels, `pixel` in row
// 0 and `pixel + distance` in row 1.
struct Part {
  int64_t channel, channels, pixel, distance;
};
View part_of(const View& row, const PairBand& band, const Part& part, int64_t group) {
  View view = row;
  view.offset += band.image * row.stride_n + part.channel / kChannelBlock * row.stride_block +
                 (band.first * group + part.pixel) * row.stride_w;
  view.shape = {band.images, part.channels, 2, band.pairs};
  view.stride_h = part.distance * row.stride_w;
  view.stride_w = group * row.stride_w;
  return view;
}

// A tensor of these steps alone: `rows` rows of the band's pairs. Blocks are an odd number of cache lines
// apart; see transformed_view.
View scratch_view(const PairBand& band, int64_t channels, int64_t rows) {
  View view = make_view(Space::workspace, 0, 0, {band.images, channels, rows, band.pairs}, Layout::nchw16c);
  view.stride_block = (rows * band.pairs | 1) * kChannelBlock;
  view.stride_n = view.blocks() * view.stride_block;
  return view;
}

// Room for the sums of `count` tiles of up to `pixels` pairs.
View sums_view(int64_t count, int64_t channels, int64_t pixels) {
  return make_view(Space::workspace, 0, 0, {count, channels, 1, pixels}, Layout::nchw16c);
}

class StrassenLowering {
 public:
  StrassenLowering(Lowering& to, NodeId id, const std::vector<ConvChoice>& choices)
      : to_(to),
        id_(id),
        choices_(choices),
        shape_(shape_of_conv(to.graph(), id)),
        pixels_(shape_.oh * shape_.ow),
        group_(int64_t{1} << strassen_levels(choices.front().algorithm)),
        groups_(ceil_div(pixels_, group_)) {
    x_ = to_.readable(node().operands[0], Access::vector_channels);
    if (shape_.stride_h != 1 || shape_.stride_w != 1) sample();
    x_.view = as_row(x_.view);
  }

  void one_level() {
    for (const PairBand& band : make_bands(2 * (2 * shape_.ic + shape_.oc))) {
      band_ = band;
      const Part in{0, shape_.ic, 0, 1}, out{0, shape_.oc, 0, 1};
      DraftStep draft = new_products({x_.buffer, part_of(x_.view, band, in, group_)}, existing(1));
      write_output(draft, out);
      finish_products(std::move(draft), -1);
    }
  }

  void two_levels() {
    const std::vector<PairBand> bands = make_bands(4 * (2 * shape_.ic + shape_.oc));
    const auto scratch = [&](Location& value, int64_t channels, int64_t rows) {
      const View view = scratch_view(band_, channels, rows);
      if (value.buffer < 0) value = to_.new_value(view);
      value.view = view;
    };
    for (const PairBand& band : bands) {
      band_ = band;
      scratch(outer_sums_, 2 * shape_.ic, 2);
      scratch(t_, shape_.oc / 2, 2);
      scratch(v_, shape_.oc / 2, 2);
      add_outer_sums();
      for (int product = 0; product < static_cast<int>(kStrassenProducts.size()); ++product)
        add_product(product);
    }
  }

 private:
  const Node& node() const { return to_.node(id_); }
  const ConvChoice& choice() const { return choices_.front(); }

  // Copies the pixels of x that a convolution with strides reads.
  void sample() {
    View view = x_.view;
    view.shape = {shape_.n, shape_.ic, shape_.oh, shape_.ow};
    view.stride_h *= shape_.stride_h;
    view.stride_w *= shape_.stride_w;
    const Location sampled = to_.new_value(make_view(Space::workspace, 0, 0, view.shape, Layout::nchw16c));
    DraftStep draft = to_.new_step(id_, PointwiseKernel{});
    Lowering::read(draft, {x_.buffer, view});
    Lowering::write_intermediate(draft, sampled, ".sampled");
    draft.step.units = view.blocks() * shape_.n * shape_.oh;
    draft.step.flops = 0;
    draft.step.bytes = 2 * 4 * view.shape.elements();
    to_.finish_step(std::move(draft));
    x_ = sampled;
  }

  // Bands whose tensors, of so many floats a pair, fit the caches.
  std::vector<PairBand> make_bands(int64_t group_floats) const {
    return pair_bands(shape_.n, groups_, 4 * group_floats,
                      band_bytes(to_.target(), strassen_weight_bytes(shape_, levels())));
  }

  // How many of the band's groups have this pixel, counted from 0: the last of an image may be incomplete.
  int64_t existing(int64_t pixel) const {
    return std::clamp<int64_t>(ceil_div(pixels_ - pixel, group_) - band_.first, 0, band_.pairs);
  }

  // Rows 0 and 1 of the first level's sums are the pixels that the second level pairs: apart, for a product
  // that reads every second cache line of its factor is 4% slower (Zen 5).
  void add_outer_sums() {
    for (int64_t row : {0, 1}) {
      const int64_t pairs = existing(2 * row);
      if (pairs == 0) continue;
      PairBand of_row = band_;
      of_row.pairs = pairs;
      Location sums = outer_sums_;
      sums.view.offset += row * sums.view.stride_h;
      DraftStep draft = to_.new_step(id_, StrassenSumsKernel{existing(2 * row + 1)});
      Lowering::read(draft, {x_.buffer, part_of(x_.view, of_row, {0, shape_.ic, 2 * row, 1}, group_)});
      Lowering::write_intermediate(draft, sums, ".outer_sums");
      Step& step = draft.step;
      step.output.shape = {band_.images, 2 * shape_.ic, 1, pairs};
      step.weights.push_back({node().operands[1], Packing::strassen_ratios});
      step.units = shape_.ic / 2 / kChannelBlock * band_.images * ceil_div(pairs, strassen_chunk(pairs));
      step.flops = 0;
      step.bytes = 4 * (step.inputs[0].shape.elements() + step.output.shape.elements());
      step.predicted_us = traffic_microseconds(step.bytes, to_.target());
      to_.finish_step(std::move(draft));
    }
  }

  // The matrix of pixels of a product of the first level: a quarter of x, or one of the outer sums.
  Location factor(int product) const {
    const int64_t ic = shape_.ic / 2;
    const auto quarter = [&](int64_t i, int64_t j) {
      return Location{x_.buffer, part_of(x_.view, band_, {j * ic, ic, i, 2}, group_)};
    };
    if (product == 0) return quarter(0, 0);
    if (product == 1) return quarter(0, 1);
    if (product == 6) return quarter(1, 1);
    constexpr int kSum[] = {0, 0, 1, 0, 3, 2};  // S2, S1, S4, S3 of outer_sums_
    Location sum = outer_sums_;
    sum.view.offset += kSum[product] * ic / kChannelBlock * sum.view.stride_block;
    sum.view.shape = {band_.images, ic, 2, band_.pairs};
    return sum;
  }

  Location of_band(Location scratch) const {
    scratch.view.shape[3] = band_.pairs;
    return scratch;
  }

  void add_product(int product) {
    const int64_t row = product >= 5 ? 1 : 0;  // of the first level's pairs: out 22 and out 21 are row 1
    band_.pairs = existing(row);
    if (band_.pairs == 0) return;
    DraftStep draft = new_products(factor(product), existing(row + 2));
    StrassenKernel& kernel = std::get<StrassenKernel>(draft.step.kernel);
    const bool final = product == 1 || product >= 4, right = product == 4 || product == 5;
    kernel.carries = product > 0;
    if (kernel.carries) Lowering::read(draft, of_band(right ? v_ : t_));
    if (final) {
      const int64_t oc = shape_.oc / 2;
      kernel.outer_scale = right;
      write_output(draft, {right ? oc : 0, oc, row, 2});
    } else {
      Lowering::write_intermediate(draft, product == 3 ? v_ : t_, ".product");
    }
    kernel.accumulates = product == 5;
    if (kernel.accumulates) Lowering::read(draft, of_band(t_));
    finish_products(std::move(draft), product);
  }

  DraftStep new_products(const Location& x, int64_t second) const {
    StrassenKernel kernel;
    kernel.second = second;
    kernel.pixels = choice().pixels;
    kernel.panel = choice().panel;
    kernel.k_unroll = choice().k_unroll;
    kernel.tiles = balanced_tiles(band_.pairs, choice().pixels);
    DraftStep draft = to_.new_step(id_, kernel);
    Lowering::read(draft, x);
    return draft;
  }

  // The step makes a part of the node's value, bias and epilogue included.
  void write_output(DraftStep& draft, const Part& part) {
    StrassenKernel& kernel = std::get<StrassenKernel>(draft.step.kernel);
    kernel.has_bias = has_bias(node());
    kernel.epilogue = *epilogue_of(node().op);
    const size_t operands = draft.step.inputs.size();
    to_.read_epilogue(draft, id_, kernel.epilogue);
    for (size_t i = operands; i < draft.step.inputs.size(); ++i)
      draft.step.inputs[i] = part_of(as_row(draft.step.inputs[i]), band_, part, group_);
    draft.step.output = part_of(as_row(draft.step.output), band_, part, group_);
    first_channel_ = part.channel;
  }

  void finish_products(DraftStep draft, int product) {
    const StrassenKernel& kernel = std::get<StrassenKernel>(draft.step.kernel);
    Step& step = draft.step;
    const std::vector<NodeId>& operands = node().operands;
    for (Packing packing : {Packing::strassen_products, Packing::strassen_ratios, Packing::strassen_scales})
      step.weights.push_back({.constant = operands[1], .packing = packing, .product = product});
    if (kernel.outer_scale) step.weights.push_back({operands[1], Packing::strassen_scales});
    if (kernel.has_bias) step.weights.push_back({operands[2], Packing::channel_vector, first_channel_});
    const int64_t tiles = band_.images * static_cast<int64_t>(kernel.tiles.size());
    step.units = ceil_div(step.output.blocks() / 2, kernel.panel) * tiles;
    to_.use_scratch(draft, sums_view(2 * tiles, 2 * step.inputs[0].shape.c(), kernel.pixels));
    // Of all bands and products, of which the last two leave out groups of a single pixel.
    const int64_t pairs = product < 0 ? groups_ : 5 * groups_ + 2 * ceil_div(pixels_ - 1, group_);
    const double share =
        static_cast<double>(band_.images * band_.pairs) / static_cast<double>(shape_.n * pairs);
    step.flops *= share;
    step.weight_bytes =
        static_cast<int64_t>(share * static_cast<double>(strassen_weight_bytes(shape_, levels())));
    step.bytes = 4 * step.output.shape.elements() + step.weight_bytes;
    for (const View& input : step.inputs) step.bytes += 4 * input.shape.elements();
    step.predicted_us = (choice().microseconds - choice().input_us) * share;
    if (!explained_) step.candidates = candidates(shape_, choices_);
    explained_ = true;
    to_.finish_step(std::move(draft));
  }

  int levels() const { return strassen_levels(choice().algorithm); }

  Lowering& to_;
  const NodeId id_;
  const std::vector<ConvChoice>& choices_;
  const ConvShape shape_;
  const int64_t pixels_;          // of an image
  const int64_t group_, groups_;  // pixels that are multiplied together, 2 or 4 neighbours; how many such
  Location x_, outer_sums_, t_, v_;
  PairBand band_;
  int64_t first_channel_ = 0;  // of the output that a product makes
  bool explained_ = false;
};

}  // namespace

void lower_strassen(Lowering& to, NodeId id, const std::vector<ConvChoice>& choices) {
  StrassenLowering lowering(to, id, choices);
  if (strassen_levels(choices.front().algorithm) == 1)
    lowering.one_level();
  else
    lowering.two_levels();
}

}  // namespace cardinal
