// The plan: every choice code generation needs, as plain data that can be printed, compared and overridden.
//
// A plan is a list of steps over views. Emission is mechanical: it chooses nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ir/graph.h"
#include "passes/target.h"

namespace cardinal {

// ---- where tensors live ----------------------------------------------------------------------------------

enum class Space : uint8_t { input, output, workspace };

// Where a tensor lives, as affine strides in elements. Element (n, c, h, w) is at
//   offset + n * stride_n + (c / 16) * stride_block + (c % 16) * stride_c + h * stride_h + w * stride_w
// from the base of its space (the caller's buffer `index`, or the workspace). Rank-2 tensors have h = w = 1.
struct View {
  Space space = Space::workspace;
  int index = 0;       // which input or output; 0 for the workspace
  int64_t offset = 0;  // elements
  Shape shape;         // logical, rank 2 or 4
  int64_t stride_n = 0, stride_block = 0, stride_c = 0, stride_h = 0, stride_w = 0;
  // In a step that is repeated for each image, of a tensor of all of them: from one image to the next. The
  // view is of the first.
  int64_t stride_image = 0;
  // Whether the lanes from C up to the next multiple of 16 exist. They then hold finite values of no meaning,
  // and a writer of the last block writes all 16 lanes. Without them the last block of a C not divisible by
  // 16 is masked.
  bool padded = false;
  // Channel 0 is at lane `first_channel` (0..15) of the first block: element (n, c, h, w) is where the
  // formula above puts channel c + first_channel. Not 0 only in the output of a reorder step that copies a
  // part of a concat whose channels start within a block. Such a part, and any part before the last, is not
  // padded: its lanes belong to its neighbours.
  int64_t first_channel = 0;
  DType dtype = DType::f32;                               // other types on a GPU only
  bool vector_channels() const { return stride_c == 1; }  // 16 channels of a pixel are one vector
  int64_t blocks() const { return ceil_div(shape.c(), kChannelBlock); }
  bool operator==(const View&) const = default;
};
View make_view(Space, int index, int64_t offset, const Shape&, Layout);  // the layout's dense strides
// How values lie in the workspace: NCHW16c in f32; on a GPU NHWC, channels padded to whole blocks, in the
// type that is computed in.
struct Format {
  Layout layout = Layout::nchw16c;
  DType dtype = DType::f32;
};
View workspace_view(const Shape&, const Format&);
int64_t workspace_floats(const Shape&, const Format&);
// Rows [row, row + rows) of images [image, image + images); of all rows if they are one, repeated.
View image_rows(const View&, int64_t image, int64_t row, int64_t images, int64_t rows);
int64_t view_elements(const Shape&, Layout);  // buffer size in elements, pad lanes included
int64_t floats_for(int64_t elements, DType);  // the room they take, in floats

// ---- packed weights --------------------------------------------------------------------------------------

// Formats of a constant in the packed weights. All are made of whole 16-float vectors, 64-byte aligned.
enum class Packing : uint8_t {
  channel_vector,  // [blocks * 16], zero beyond C: bias, scale, shift; a single value is repeated
  conv_panels,     // see ConvKernel, algorithm direct
  conv_lanes,      // see ConvKernel, algorithm lanes
  winograd_f2,     // conv_panels of a 3x3 kernel transformed for tiles of 2x2 outputs; see winograd.h
  winograd_f4,     // the same for tiles of 4x4 outputs
  taps,            // the values as they are, zero up to a whole vector
  // See StrassenKernel and strassen.h; of the whole kernel, or of a product of its first level.
  strassen_products,
  strassen_ratios,
  strassen_scales,
  gpu_conv,  // see GpuConvKernel
};
struct PackedWeight {
  NodeId constant{};  // the constant node it is made of
  Packing packing = Packing::channel_vector;
  int64_t first_channel = 0;  // channel_vector: the values before are left out
  bool second = false;        // of a GpuConvPairKernel's second convolution
  int product = -1;    // strassen_*: of the first level that is cut up once more; -1: the kernel itself
  int64_t offset = 0;  // floats from the start of the packed weights, a multiple of 16
  int64_t floats = 0;
};

// ---- kernels ---------------------------------------------------------------------------------------------

// The numbers of a convolution once padding is resolved. linear is a 1x1 convolution whose image is n = 1,
// h = 1, w = batch (the step's views have shape [1, C, 1, batch] and stride_w = the batch's stride).
struct ConvShape {
  int64_t n = 1, ic = 0, ih = 1, iw = 1, oc = 0, oh = 1, ow = 1;
  int64_t kh = 1, kw = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_left = 0;
  int64_t groups = 1;
  bool operator==(const ConvShape&) const = default;
};

// direct: output tile of `pixels` x `panel` blocks of 16 channels in registers.
//   A panel is `panel` consecutive output blocks (the last panel may have fewer, `oc_blocks % panel`). It
//   reads `reduce_blocks` consecutive input blocks starting at first_block[p] (0 for ungrouped convolutions;
//   with groups, the window of blocks that covers the panel's groups, weights outside a group being zero).
//   If groups are whole blocks, panels never straddle groups and nothing is wasted.
//
//   Weights: [output block][input block of its panel][kh][kw][k in block][16 output lanes]; k runs over the
//   channels the block really has (the last input block of a C not divisible by 16 has fewer), so an output
//   block of an ungrouped convolution has ic * kh * kw * 16 floats. Output blocks are weight_block_floats
//   apart (tiling.h). Unless groups straddle blocks, weights do not depend on the tile.
//
//   Units: ((p * n + image) * rows + row) * tiles_per_row + tile. Each is one register tile over the whole
//   reduction. A kernel without groups may work in passes, for the caches' sake: with pass_blocks > 0 a range
//   of units is gone through once for every pass_blocks input blocks, within each strip (Step::strip), so
//   that so many weights of a panel stay in L1 from tile to tile. Partial sums wait in the output, which
//   therefore may not lie over an operand. That does not change the order of a sum; `sum` does.
//
// lanes: groups of width w = ic / groups = oc / groups, 1 (depthwise), 2, 4, 8 or an odd multiple of 8:
// several in
//   a vector, or a vector of 8 lanes for a part of one. Output channel c takes input channels c / w * w + k,
//   for k in [0, w). x has vector channels.
//
//   Weights: [block][kh][k][kw][16]. Tile: `rows` x `pixels` x 1 block. With several rows, whose pixels share
//   each weight that is loaded, short rows have enough accumulators to hide an FMA's latency. Rows that are
//   left are a band of their own. Units as for direct with p = block, band by band, each its tiles.
//
// winograd_f2, winograd_f4: three steps, a WinogradKernel on either side of a direct convolution; no
//   ConvKernel has them.
//
// strassen_1, strassen_2: a StrassenKernel, or a StrassenSumsKernel and seven of them; no ConvKernel has
// them.
enum class ConvAlgorithm : uint8_t { direct, lanes, winograd_f2, winograd_f4, strassen_1, strassen_2 };
std::string_view to_string(ConvAlgorithm);
std::optional<ConvAlgorithm> parse_algorithm(std::string_view);

// Rows of output pixels are cut into tiles; taps that fall into the padding are left out, not computed. A
// tile's valid horizontal taps are known when it is planned, the valid vertical ones are a range computed per
// row.
struct RowTile {
  int64_t x = 0;  // first output pixel of the tile
  int64_t pixels = 0;
  bool operator==(const RowTile&) const = default;
};

// What a direct kernel adds up by itself, from 0, before it adds that to the bias and the sums before:
// `blocks` input blocks (of which pass_blocks is a multiple), or with rows > 0 so many kernel rows of one
// input block. blocks = 0: all products, starting from the bias.
struct SumBlock {
  int64_t blocks = 0, rows = 0;
  bool operator==(const SumBlock&) const = default;
};

struct ConvKernel {
  ConvShape shape;
  ConvAlgorithm algorithm = ConvAlgorithm::direct;
  // 1x1, stride 1, no padding, rows dense in every view: h * w are treated as one row of oh * ow pixels.
  bool collapsed = false;
  int pixels = 0;    // the widest tile of a row
  int rows = 1;      // of such pixels in a tile, which is a band of the image: 1, or with lanes up to 3
  int panel = 1;     // blocks of 16 output channels
  int k_unroll = 4;  // reduction steps per inner loop iteration
  // One band (or the whole image if collapsed), left to right, covering it exactly; at most two widths, which
  // differ by one, the wider tiles first. And those of the last rows, if the image's are not a multiple of
  // `rows`.
  std::vector<RowTile> tiles, last_tiles;
  int64_t reduce_blocks = 0;
  std::vector<int64_t> first_block;  // per panel; empty if all 0
  int64_t pass_blocks = 0;           // 0: all
  SumBlock sum;
  bool has_bias = false;
  Epilogue epilogue;
  // The step's second_output, [n, oc, oh, 1], is the sum of each row of results, from left to right: for a
  // global average. Units are bands then, and kernels have groups and do not work in passes.
  bool row_sums = false;
  // Operands: inputs[0] is x, then the epilogue's; weights[0] the packed kernel, weights[1] the bias if any.
  // x may have any strides. The epilogue's operands and the output have vector channels; an operand that is
  // broadcast over the image has h = w = 1 and stride_h = stride_w = 0.
};

// A convolution or linear layer on a GPU, whose image is as ConvKernel's.
//
// mma: a thread block computes `tile_m` pixels (of all images, row by row) x `tile_n` output channels of one
//   group on tensor cores, the reduction (kh, kw, channels of the group, in this order) in steps of `tile_k`
//   that pass through `stages` buffers in shared memory. Its warps share the tile as `warps_m` x `warps_n`.
//   With `split_k` > 1 it computes one of as many parts of the reduction and writes its sums, in f32, to
//   [split_k * n, oc, oh, ow]; a SplitSumKernel adds them up in a fixed order.
//   Weights: [group][oc of the group][reduction, zero up to tile_k], in the type of x.
//
// wgmma: as mma without groups, by a warpgroup that copies (x thread by thread, a step's weights in one bulk
//   copy) and `warps_m` x `warps_n` warps, four of which issue a product together. `tile_k` is 64.
//   Weights: [step][oc, zero up to tile_n][64], as they are to lie in shared memory: a row's vectors of 8 in
//   the order of the 128-byte swizzle (gpu_conv_wgmma.h).
//
// patch: a thread block computes tile_h x tile_w pixels of an image x `tile_n` output channels on tensor
//   cores. The input patch that they need is in shared memory, `patch_channels` channels a pixel, once for
//   all taps. Eight output channels at a time reduce over the `window` input channels of their groups
//   (grouped convolutions with groups of 4 to 64 channels; convolutions of images with up to 8 channels,
//   whose x may have any view). Of 8 or 4 channels, 2 or 4 taps make a step of the tensor core's 16. Weights:
//   [8 output channels][step][lane of a warp][4], as mma.sync wants them.
//
// depthwise: a thread computes 8 channels of `tile_w` pixels of a row. Weights: [kh][kw][channels], f32.
//
// simt: a thread computes 8 output channels of a pixel. Weights: [kh][kw][channels of a group][output
//   channels up to whole blocks], f32.
struct GpuConvKernel {
  enum class Algorithm : uint8_t { simt, depthwise, patch, mma, wgmma } algorithm = Algorithm::simt;
  ConvShape shape;
  DType dtype = DType::f16;  // of what is multiplied
  int64_t tile_m = 0, tile_n = 0, tile_k = 0;
  int warps_m = 1, warps_n = 1, stages = 1;
  int64_t split_k = 1;
  int64_t tile_h = 0, tile_w = 0, window = 0, patch_channels = 0;
  bool has_bias = false;
  Epilogue epilogue;
  // Operands: as ConvKernel's, of any view unless the algorithm says otherwise.
};

std::string_view to_string(GpuConvKernel::Algorithm);

struct GpuTile {
  int64_t m = 0, n = 0;
  bool operator==(const GpuTile&) const = default;
};

// A convolution and the 1x1 convolution that reads its result, both by the mma algorithm: a thread block
// computes all output channels of both for the first's tile_m pixels. It computes the first's tile_n at a
// time, finishes and stores them, and adds what they contribute to all of the second's, its tile_n, without
// reading them again.
// Operands: inputs[0] is the first's x, then its epilogue's; the second's epilogue has none. The result of
// the first is the step's output, that of the second its second_output. Weights: the first's kernel, its bias
// if any, and the same of the second.
struct GpuConvPairKernel {
  GpuConvKernel first, second;
};

// Adds up the parts of a split convolution and finishes it. inputs[0] is the parts, the rest the epilogue's
// operands; weights[0] the bias if any.
struct SplitSumKernel {
  int64_t parts = 1;
  bool has_bias = false;
  Epilogue epilogue;
};

// One side of a Winograd convolution with tiles of `outputs` x `outputs` (winograd.h). Element e of the
// transformed tile (ty, tx), row by row, is pixel (ty, tx) of channels [e * C, (e + 1) * C) of a tensor whose
// C is whole blocks. Every view has vector channels.
//
// input: transforms x, zeros around it. inputs[0] is x, the output the transformed tensor.
//   Units: (block * n + image) * tile rows + row, of x.
// output: transforms products back and finishes them. inputs[0] is the transformed tensor, the rest the
//   epilogue's operands; weights[0] the bias if any. Units as for input, of the output.
struct WinogradKernel {
  enum class Side : uint8_t { input, output } side = Side::input;
  ConvShape shape;  // of the convolution
  int outputs = 2;
  bool has_bias = false;  // output only, as is the epilogue
  Epilogue epilogue;
};

// Fast matrix multiplication (strassen.h). An image's pixels are taken in pairs: its views have shape [n, C,
// 2, pairs], pixel i of row 0 being paired with pixel i of row 1. The last few pixels of row 1 may not exist,
// being beyond the image; they count as 0, and are neither read nor written. Every view has vector channels,
// which are whole blocks.
//
// StrassenSumsKernel: the sums of the first of two levels. S1 to S4, one after another along the channels of
// the output, [n, 2 * C, 1, pairs].
//   inputs[0] is x; weights[0] the ratios. Units: (block of C / 2 * n + image) * chunks + chunk;
//   the pairs come in chunks of strassen_chunk of them, the last one of fewer.
struct StrassenSumsKernel {
  int64_t second = 0;  // pixels of row 1 that exist
};

// StrassenKernel: the sums of one level and its seven products, added up in registers, tile by tile of
// `pixels` pairs x `panel` blocks of the first half of the output channels; four tiles of results. A result
// is finished as
//
//   y = products * scales                     (the second half of the output channels only)
//   accumulates: its value in the view before last becomes that value + y
//   carries: y += the view after x
//   outer_scale: y *= outer scales
//   has_bias: y += bias
//   output = epilogue(y)
//
// Operands: inputs[0] is x, then what is carried if anything, then the epilogue's, then what is accumulated
// in if anything. weights[0] the products' kernels, weights[1] the ratios, weights[2] the scales, then the
// outer scales if any, then the bias if any.
// The scratch holds the sums of tiles, S1 to S4, [2][image * tiles + tile][4 * C / 2 / 16][pixels][16]. Who
// computes units of a strip forms a tile's sums with the first of them that needs these. A strip that its
// units begin with has its sums in the first half of the scratch, where the first such strip would have them;
// another, in which a thread begins later, in the second half. So threads that work at the same time do not
// write to the same cache lines, unless more than two share a strip: some write the same sums to the same
// places then.
// Weights: [block of oc / 2][product][ic / 2][16 output lanes], blocks strassen_block_floats apart.
// Units: (p * n + image) * tiles + tile.
struct StrassenKernel {
  int64_t second = 0;
  int pixels = 0, panel = 1, k_unroll = 4;
  std::vector<RowTile> tiles;
  bool accumulates = false, carries = false, outer_scale = false, has_bias = false;
  Epilogue epilogue;
};

// Every view has vector channels.
struct PoolKernel {
  enum class Mode : uint8_t { max, average, global_average } mode = Mode::max;
  ConvShape shape;                        // ic = oc = channels; groups unused
  int64_t pad_bottom = 0, pad_right = 0;  // as declared: the average's divisor counts them
  bool count_include_pad = true;
  int pixels = 0;
  std::vector<RowTile> tiles;  // empty for global_average
  // inputs[0] is x, or for global_average the sums of its rows.
  // Units: ((block * n + image) * oh + row) * tiles + tile; global_average: block * n + image.
};

// out = epilogue(base), vector by vector. Every view has vector channels (or is broadcast along them), or all
// have the same strides.
struct PointwiseKernel {
  enum class Base : uint8_t { copy, add, mul, div, max, min, scale, affine, prelu } base = Base::copy;
  Epilogue epilogue;  // a standalone activation is copy with a one-step epilogue
  bool has_two_operands() const { return base >= Base::add && base <= Base::min; }
  // Operands: inputs[0], inputs[1] (add, mul, div, max, min), then the epilogue's. An operand that is
  // broadcast along a dimension has the extent 1 and the stride 0 there; along channels stride_block =
  // stride_c = 0. scale, affine and prelu: weights[0]; affine: weights[1] shift. Units: (block * n + image) *
  // oh + row.
};

// Copies a tensor between any two views of one logical shape, or an image to a vector, whose elements are the
// image's in the order `flatten` (after N). With `zero_lanes` > 0 that many channels after the last are set
// to 0 (the pad lanes of a block).
struct ReorderKernel {
  int64_t zero_lanes = 0;
  FlattenOrder flatten = FlattenOrder::chw;
  // Units: channels of the input, times n.
};

// Channels, or parts of them, put together anew. Both views have vector channels. Units: (block * n + image)
// * oh + row.
struct GatherKernel {
  Gathering gathering;
};

// Rows and columns between those of the image. Both views have vector channels. Units: (block * n + image) *
// oh
// + row.
struct ResizeKernel {
  ResizeTaps taps;
};

// Pooling over adaptive_bin's bins. Both views have vector channels. Units: (block * n + image) * oh + row.
struct AdaptivePoolKernel {
  bool max = false;  // else the mean
};

// The image with `value` around it, or cut off on sides below 0. Both views have vector channels. Units:
// (block * n + image) * oh + row.
struct PadKernel {
  int64_t top = 0, left = 0;
  double value = 0;
};

// Over channels, pixel by pixel; both views have vector channels. Units: n * h * w.
struct SoftmaxKernel {
  bool log = false;
};

// The same; the output has one channel.
struct ChannelPoolKernel {
  bool max = false;  // else the mean
};

// The same. weights[0] scale, weights[1] shift.
struct LayerNormKernel {
  double eps = 0;
};

// The mean and the variance of each channel's image: the output is [N, C, 1, 2]. Both views have vector
// channels. Units: block * n + image.
struct MomentsKernel {};

// What a group norm multiplies each channel by and adds to it, [N, C, 1, 2], from the channels' moments. Both
// views are in blocks. weights[0] scale, weights[1] shift. Units: image * groups + group.
struct GroupFactorsKernel {
  int64_t groups = 1;
  double eps = 0;
};

// See ChannelConv. Both views have vector channels; the input's last block is whole. weights[0] the taps.
// Units: (block * n + image) * h + row.
struct ChannelConvKernel {
  int64_t size = 1;
};

// See LocalResponseNorm. Both views have vector channels; the input's last block is whole. Units: (block * n
// + image) * h + row.
struct ResponseNormKernel {
  int64_t size = 1;
  double alpha = 0, beta = 0, k = 0;
};

using Kernel =
    std::variant<ConvKernel, GpuConvKernel, GpuConvPairKernel, SplitSumKernel, WinogradKernel,
                 StrassenSumsKernel, StrassenKernel, PoolKernel, PointwiseKernel, ReorderKernel, GatherKernel,
                 ResizeKernel, AdaptivePoolKernel, PadKernel, SoftmaxKernel, ChannelPoolKernel,
                 LayerNormKernel, MomentsKernel, GroupFactorsKernel, ChannelConvKernel, ResponseNormKernel>;

// ---- the plan --------------------------------------------------------------------------------------------

// Errors of a convolution in f32; see conv_rounding.
struct Rounding {
  double expected = 0, bound = 0;
};

// A choice that was considered and what is predicted of it.
struct Candidate {
  ConvAlgorithm algorithm = ConvAlgorithm::direct;
  std::string text;         // "direct 14x2 unroll 4"
  double microseconds = 0;  // predicted, one thread
  double measured_us = 0;   // by `cardinal tune`; 0: not measured
  Rounding rounding;
  int64_t weight_bytes = 0;  // of the packed kernel
};

// How a step's kernel runs on a GPU.
struct GpuLaunch {
  int64_t grid_x = 1, grid_y = 1, grid_z = 1;  // thread blocks
  int64_t threads = 1;                         // of a thread block
  int64_t shared_bytes = 0;
  int64_t thread_blocks() const { return grid_x * grid_y * grid_z; }
};

struct Step {
  NodeId node{};     // whose value the step produces (in the graph the plan was made from)
  std::string name;  // its source name, for people
  // Makes what a later step of the node needs, not its value or a part of it.
  bool intermediate = false;
  Kernel kernel;
  std::vector<View> inputs;
  View output;
  std::optional<View> second_output;  // of a GpuConvPairKernel, or a ConvKernel with row_sums
  std::optional<View> scratch;        // what a StrassenKernel writes for itself
  std::vector<PackedWeight> weights;
  int64_t units = 0;  // on a GPU its thread blocks
  // On a CPU, the order of the units that have the form `channels * parts + part`, channels being a block or
  // a panel and a part one of the images, in order (strips.h): `strip` parts of all channels come before the
  // next as many (the last strip may have fewer). So the unit done after u others is, in strip
  // s = u / (channels' count * strip) with k parts, r = u % (channels' count * strip):
  // r / k * parts + s * strip + r % k. 0: all are one strip.
  int64_t strip = 0;
  int64_t grain = 1;    // units that are worth a range of their own; see cardinal_executor
  int64_t repeats = 1;  // once for each image; what follows is of one time
  GpuLaunch launch;     // on a GPU
  double flops = 0;     // of direct convolution
  int64_t bytes = 0;
  int64_t weight_bytes = 0;  // of them, what a convolution's kernel takes
  double predicted_us = 0;   // one thread
  // Of a convolution's first step with candidates: how tuning files call it; see tuning_key.
  std::string tuning_key;
  // The first is the one chosen, then the best first. Of several steps the (first) products have them, and
  // theirs are the times of all.
  std::vector<Candidate> candidates;
  std::string remark;  // on the choice, for people: what else was considered
};

struct Plan {
  Target target;
  // In execution order. Those that are repeated, all as often, come first: for each image they are done in
  // order; see stages.h.
  std::vector<Step> steps;
  int64_t workspace_floats = 0;
  int64_t weights_floats = 0;
  double product_tflops = 0;  // on a GPU: of products in the plan's precision, at most
  // Where each live node's value is after its step; for nodes that alias (flatten, aligned concat parts) too.
  std::vector<View> views;  // by NodeId; shape rank 0 for nodes without a buffer
};

size_t repeated_steps(const Plan&);  // how many
double predicted_us(const Step&);    // of all repeats
bool uses_wgmma(const Plan&);
std::string kernel_name(const Kernel&);  // "conv_direct_14x2", "max_pool", ...: what profiles and dumps show
// One line per step: name, kernel, shapes, tile, units, views, predicted time.
std::string print(const Plan&, const Graph&);
// Of that, the line before the steps, and the line of a step.
std::string print_heading(const Plan&, const Graph&);
std::string print_step(const Plan&, size_t i);

}  // namespace cardinal
