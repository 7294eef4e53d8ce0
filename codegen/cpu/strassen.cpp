// The products of fast matrix multiplication (passes/strassen.h), of a tile of pairs of pixels and a panel of
// output channels, chained in registers:
//
//   for each unit (image, chunk of tiles, panel, tile):
//     tile function of (pixels, second pixels):                 never inlined, shared by kernels of all
//     shapes
//       y = A11 B11;          out 11 = finish(y + A12 B21)
//       u = y + S2 T2;        v = u + S1 T1;    out 12 = finish(v + S4 B22)
//       y = S3 T3;            out 22 = finish(y + v)
//       y = y + u;            out 21 = finish(y + A22 T4)
//
// y, u and v are kept on the stack across the reductions between. Strides are read from a table of the
// kernel's.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include <llvm/IR/Intrinsics.h>

#include "codegen/cpu/conv.h"
#include "codegen/cpu/epilogue.h"
#include "passes/strassen.h"

namespace cardinal {
namespace {

constexpr int64_t kProducts = kStrassenProducts.size();

// What a tile reads or writes of a view besides x and the sums.
struct Port {
  const View* view = nullptr;
  llvm::Value* at = nullptr;  // pixel 0 of row 0, block 0 of the panel in the first half
  int stride = 0;             // first entry of the table: floats to the next block, half, row
};

// The strides that tile functions read.
class Table {
 public:
  int add(std::initializer_list<int64_t> values) {
    const auto at = static_cast<int>(values_.size());
    values_.insert(values_.end(), values.begin(), values.end());
    return at;
  }
  int add_port(const View& view) {
    const int64_t half = view.blocks() / 2 * view.stride_block;
    return add({view.stride_block, half, view.stride_h});
  }
  llvm::Value* emit(Emitter& e) const {
    auto* data = llvm::ConstantDataArray::get(e.module.getContext(), llvm::ArrayRef<uint64_t>(values_));
    auto* table = new llvm::GlobalVariable(e.module, data->getType(), true, llvm::GlobalValue::PrivateLinkage,
                                           data, "strides");
    table->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
    return table;
  }

 private:
  std::vector<uint64_t> values_;
};

// Entries of the table that come before those of ports.
enum Entry : int {
  kBlocks,
  kXBlock,
  kSumsBlock,
  kSumsPart,
  kWeightBlock,
  kHalfChannels,
  kX12,
  kX22,
  kFirstPort
};

// What a tile function is made for, and its parameters.
struct Tile {
  const Step& step;
  const StrassenKernel& kernel;
  int pixels = 0, second = 0;
  int64_t ahead_lines = 0;  // of weights, prefetched with each block of the reduction
  llvm::Value *x = nullptr, *sums = nullptr, *weights = nullptr, *scales = nullptr;
  llvm::Value *outer_scales = nullptr, *bias = nullptr;  // of block 0 of the panel
  llvm::Value *ahead = nullptr, *table = nullptr;
  Port out, carried, accumulated;
  std::vector<Port> operands;

  int blocks = 1;  // of the panel
  size_t results() const { return static_cast<size_t>(pixels * blocks); }
};

std::string port_key(const View& view) {
  return fmt::format("_{}_{}_{}", view.stride_w, view.stride_c, block_alignment(view));
}

// Everything that a tile function's code depends on.
std::string tile_name(Emitter& e, const Tile& tile) {
  const StrassenKernel& k = tile.kernel;
  std::string name =
      fmt::format("{}.strassen_{}+{}x{}_u{}_p{}_{}{}{}{}", e.target.cpu, tile.pixels, tile.second,
                  tile.blocks, k.k_unroll, tile.ahead_lines, k.accumulates ? "a" : "", k.carries ? "c" : "",
                  k.outer_scale ? "s" : "", k.has_bias ? "b" : "");
  for (const EpilogueStep& step : k.epilogue)
    name += fmt::format("_{}.{}.{}.{}", static_cast<int>(step.kind), static_cast<int>(step.activation.kind),
                        step.activation.alpha, step.activation.beta);
  for (const View& view : tile.step.inputs) name += port_key(view);
  return name + port_key(tile.step.output);
}

class TileEmitter {
 public:
  TileEmitter(Emitter& e, const Tile& tile) : e_(e), tile_(tile) {}

  void emit() {
    const int all = tile_.pixels;
    const Factor a11{tile_.x, entry(kXBlock), tile_.step.inputs[0].stride_w, all};
    const Factor a12 = at(a11, entry(kX12), all), a22 = at(a11, entry(kX22), tile_.second);
    llvm::Value* part = entry(kSumsPart);
    const Factor s1{tile_.sums, entry(kSumsBlock), tile_.step.inputs.back().stride_w, all};
    const Factor s2 = at(s1, part, all), s3 = at(s2, part, all), s4 = at(s3, part, all);

    const Values zero(tile_.results(), e_.splat(0.0));
    Kept first(*this), second(*this);
    first.store(reduce(zero, 0, a11, a12));
    fetch(0, 0);
    finish(reduce(first.load(), 1, a12, s2), 0, 0);
    first.store(reduce(first.load(), 2, s2, s1));
    second.store(reduce(first.load(), 3, s1, s4));
    fetch(0, 1);
    finish(reduce(second.load(), 4, s4, s3), 0, 1);
    if (tile_.second == 0) return;
    fetch(1, 1);
    const Values last = reduce(zero, 5, s3, a22);
    finish(added(last, second.load()), 1, 1);
    fetch(1, 0);
    finish(reduce(added(last, first.load()), 6, a22, a22), 1, 0);
  }

 private:
  llvm::Value* entry(int i) {
    return e_.builder.CreateLoad(
        e_.i64, e_.builder.CreateConstGEP1_64(e_.i64, tile_.table, static_cast<uint64_t>(i)));
  }

  Values added(const Values& a, const Values& b) {
    Values sum;
    for (size_t i = 0; i < a.size(); ++i) sum.push_back(e_.fadd(a[i], b[i]));
    return sum;
  }

  // Results that are needed again after other reductions. Left to the register allocator, some would take
  // registers from these.
  class Kept {
   public:
    explicit Kept(TileEmitter& tile) : tile_(tile) {
      llvm::IRBuilder<>& b = tile.e_.builder;
      const auto count = static_cast<uint64_t>(tile.tile_.results());
      auto* slots = b.CreateAlloca(llvm::ArrayType::get(tile.e_.block, count));
      slots->setAlignment(llvm::Align(64));
      at_ = slots;
    }
    void store(const Values& values) {
      for (size_t i = 0; i < values.size(); ++i) tile_.e_.store_block(values[i], slot(i), 64);
    }
    Values load() {
      Values values;
      for (size_t i = 0; i < tile_.tile_.results(); ++i) values.push_back(tile_.e_.load_block(slot(i), 64));
      return values;
    }

   private:
    llvm::Value* slot(size_t i) { return tile_.e_.element(at_, static_cast<int64_t>(i) * kChannelBlock); }
    TileEmitter& tile_;
    llvm::Value* at_;
  };

  // The first factor of a product, of the first `pixels` pixels of the tile.
  struct Factor {
    llvm::Value *at, *block;  // block: floats from one block to the next
    int64_t pixel;            // the same of pixels
    int pixels;
  };
  Factor at(const Factor& from, llvm::Value* offset, int pixels) {
    return {e_.element(from.at, offset), from.block, from.pixel, pixels};
  }

  // The block of the factor that comes after `block`, at x, into the L1 cache: after the last, the first of
  // the next product's. Blocks are too far apart for the hardware to guess (a tenth of the time on Zen 3).
  void fetch_next(const Factor& factor, const Factor& next, llvm::Value* block, llvm::Value* x) {
    llvm::Value* more = e_.less(e_.add(block, 1), entry(kBlocks));
    llvm::Value* at = e_.builder.CreateSelect(more, e_.element(x, factor.block), next.at);
    for (int i = 0; i < factor.pixels; ++i) fetch_line(e_.element(at, i * factor.pixel), false);
  }

  // acc + a product, the next of which will have the factor `next`. Addresses are counted anew from those of
  // the tile, so that they have no part in the loops of other products.
  Values reduce(const Values& acc, int product, const Factor& factor, const Factor& next) {
    const int64_t unroll = tile_.kernel.k_unroll, rolled = kChannelBlock / unroll * unroll;
    const int64_t block_weights = kChannelBlock * kChannelBlock,
                  ahead_floats = tile_.ahead_lines * kLineFloats;
    llvm::Value* blocks = entry(kBlocks);
    llvm::Value* before = e_.mul(blocks, product);
    llvm::Value* weights = e_.element(tile_.weights, e_.mul(before, block_weights));
    llvm::Value* ahead = e_.element(tile_.ahead, e_.mul(before, ahead_floats));
    llvm::Value* weight_block = tile_.blocks > 1 ? entry(kWeightBlock) : nullptr;
    return e_.for_range(
        0, blocks, 1, acc,
        [&](llvm::Value* block, Values sums) {
          llvm::Value* x = e_.element(factor.at, e_.mul(block, factor.block));
          llvm::Value* w = e_.element(weights, e_.mul(block, block_weights));
          prefetch(e_.element(ahead, e_.mul(block, ahead_floats)));
          fetch_next(factor, next, block, x);
          sums = e_.for_range(0, rolled, unroll, std::move(sums), [&](llvm::Value* k, Values sums) {
            return multiply_add(std::move(sums), factor, e_.element(x, k),
                                e_.element(w, e_.mul(k, kChannelBlock)), weight_block, unroll);
          });
          return multiply_add(std::move(sums), factor, e_.element(x, rolled),
                              e_.element(w, rolled * kChannelBlock), weight_block, kChannelBlock - rolled);
        },
        Trips::at_least_one);
  }

  void prefetch(llvm::Value* ahead) {
    for (int64_t i = 0; i < tile_.ahead_lines; ++i) e_.prefetch(e_.element(ahead, i * kLineFloats));
  }

  // `steps` steps of the reduction.
  Values multiply_add(Values acc, const Factor& factor, llvm::Value* x, llvm::Value* w,
                      llvm::Value* weight_block, int64_t steps) {
    for (int64_t k = 0; k < steps; ++k) {
      Values weights;
      for (int j = 0; j < tile_.blocks; ++j) {
        llvm::Value* at = j == 0 ? w : e_.element(w, e_.mul(weight_block, j));
        weights.push_back(e_.load_block(e_.element(at, k * kChannelBlock), 64));
      }
      for (int i = 0; i < factor.pixels; ++i) {
        llvm::Value* value = e_.broadcast(e_.element(x, i * factor.pixel + k));
        for (int j = 0; j < tile_.blocks; ++j) {
          llvm::Value*& a = acc[static_cast<size_t>(i * tile_.blocks + j)];
          a = e_.fma(value, weights[static_cast<size_t>(j)], a);
        }
      }
    }
    return acc;
  }

  // What a quarter is finished with and where it goes, into the L1 cache while the last product before is
  // computed: it may be as far as the L3, and four times a tile nothing else could be done meanwhile.
  void fetch(int row, int half) {
    const auto fetch_port = [&](const Port& port, bool write) {
      if (!port.view || port.view->stride_w == 0) return;
      llvm::Value* at = quarter(port, row, half);
      for (int j = 0; j < tile_.blocks; ++j) {
        llvm::Value* block = j == 0 ? at : e_.element(at, e_.mul(entry(port.stride), j));
        for (int i = 0; i < (row ? tile_.second : tile_.pixels); ++i)
          fetch_line(e_.element(block, i * port.view->stride_w), write);
      }
    };
    fetch_port(tile_.out, true);
    fetch_port(tile_.carried, false);
    fetch_port(tile_.accumulated, true);
    for (const Port& operand : tile_.operands) fetch_port(operand, false);
  }

  void fetch_line(llvm::Value* address, bool write) {
    constexpr uint32_t kIntoL1 = 3, kData = 1;
    llvm::IRBuilder<>& b = e_.builder;
    b.CreateIntrinsic(llvm::Intrinsic::prefetch, {e_.ptr},
                      {address, b.getInt32(write ? 1 : 0), b.getInt32(kIntoL1), b.getInt32(kData)});
  }

  // Block 0 and pixel 0 of a quarter.
  llvm::Value* quarter(const Port& port, int row, int half) {
    llvm::Value* at = port.at;
    if (half) at = e_.element(at, entry(port.stride + 1));
    if (row) at = e_.element(at, entry(port.stride + 2));
    return at;
  }

  void finish(const Values& values, int row, int half) {
    std::vector<llvm::Value*> at;  // of out, carried, accumulated and the operands
    std::vector<const Port*> ports{&tile_.out, &tile_.carried, &tile_.accumulated};
    for (const Port& operand : tile_.operands) ports.push_back(&operand);
    for (const Port* port : ports) at.push_back(port->view ? quarter(*port, row, half) : nullptr);
    for (int j = 0; j < tile_.blocks; ++j) {
      const Constants constants = constants_of(half, j);
      for (int i = 0; i < (row ? tile_.second : tile_.pixels); ++i)
        finish_block(values[static_cast<size_t>(i * tile_.blocks + j)], constants, ports, at, {j, i});
    }
  }

  struct Constants {
    llvm::Value *scale = nullptr, *outer_scale = nullptr, *bias = nullptr;
  };
  Constants constants_of(int half, int block) {
    Constants result;
    const int64_t channel = block * kChannelBlock;
    const auto load = [&](llvm::Value* base) { return e_.load_block(e_.element(base, channel), 64); };
    const auto of_half = [&](llvm::Value* base) {
      return load(half ? e_.element(base, entry(kHalfChannels)) : base);
    };
    if (half) result.scale = load(tile_.scales);
    if (tile_.kernel.outer_scale) result.outer_scale = of_half(tile_.outer_scales);
    if (tile_.kernel.has_bias) result.bias = of_half(tile_.bias);
    return result;
  }

  struct At {
    int block, pixel;
  };
  void finish_block(llvm::Value* y, const Constants& constants, const std::vector<const Port*>& ports,
                    const std::vector<llvm::Value*>& quarters, const At& at) {
    const auto address = [&](size_t port) {
      llvm::Value* block = quarters[port];
      if (at.block) block = e_.element(block, e_.mul(entry(ports[port]->stride), at.block));
      return e_.element(block, at.pixel * ports[port]->view->stride_w);
    };
    const auto load = [&](size_t port) { return e_.load_block(*ports[port]->view, address(port)); };
    if (constants.scale) y = e_.fmul(y, constants.scale);
    if (tile_.kernel.accumulates) e_.store_block(*ports[2]->view, e_.fadd(load(2), y), address(2));
    if (tile_.kernel.carries) y = e_.fadd(y, load(1));
    if (constants.outer_scale) y = e_.fmul(y, constants.outer_scale);
    if (constants.bias) y = e_.fadd(y, constants.bias);
    y = emit_epilogue(e_, tile_.kernel.epilogue, y, [&](int i) { return load(static_cast<size_t>(i) + 3); });
    e_.store_block(*ports[0]->view, y, address(0));
  }

  Emitter& e_;
  Tile tile_;
};

// The kernel: walks over units and calls tile functions.
class Products {
 public:
  Products(Emitter& e, const Step& step, const StrassenKernel& kernel, const KernelArguments& arguments)
      : e_(e), step_(step), kernel_(kernel), arguments_(arguments) {
    const View &x = step.inputs[0], &sums = step.inputs.back();
    const int64_t blocks = x.blocks() / 2, x_half = blocks * x.stride_block;
    block_floats_ = strassen_block_floats(x.shape.c());
    out_half_ = step.output.blocks() / 2;
    panels_ = ceil_div(out_half_, kernel.panel);
    table_.add({blocks, x.stride_block, sums.stride_block, blocks * sums.stride_block, block_floats_,
                out_half_ * kChannelBlock, x_half, x_half + x.stride_h});
    ahead_lines_ = ceil_div(kChannelBlock * kernel.panel, kernel.chunk);
    share_floats_ = kProducts * blocks * ahead_lines_ * kLineFloats;
    for (const RowTile& tile : kernel.tiles) {
      const auto second = static_cast<int>(std::clamp<int64_t>(kernel.second - tile.x, 0, tile.pixels));
      const std::pair<int, int> variant{static_cast<int>(tile.pixels), second};
      auto found = std::find(variants_.begin(), variants_.end(), variant);
      variant_of_.push_back(static_cast<int>(found - variants_.begin()));
      if (found == variants_.end()) variants_.push_back(variant);
      first_pixel_.push_back(tile.x);
    }
    ports_.push_back(table_.add_port(step.output));
    for (size_t i = 1; i + 1 < step.inputs.size(); ++i) ports_.push_back(table_.add_port(step.inputs[i]));
    strides_ = table_.emit(e);
  }

  void emit() {
    e_.for_range(arguments_.begin, arguments_.end, 1, [&](llvm::Value* unit) {
      const Unit at = decode(unit);
      const Values call = arguments_of(at);
      emit_by_class(e_, at.panel, panel_classes(), [&](int panel) {
        const int64_t rest = out_half_ % kernel_.panel;
        const int blocks = panel == 0 ? kernel_.panel : static_cast<int>(rest);
        emit_by_class(e_, at.tile, variant_of_,
                      [&](int v) { e_.builder.CreateCall(tile_function(blocks, v), call); });
      });
    });
  }

 private:
  struct Unit {
    llvm::Value *image, *panel, *tile, *tile_of_chunk;
  };
  Unit decode(llvm::Value* unit) {
    const auto tiles = static_cast<int64_t>(kernel_.tiles.size());
    const int64_t chunks = ceil_div(tiles, kernel_.chunk), last = tiles - (chunks - 1) * kernel_.chunk;
    llvm::Value* image = e_.div(unit, panels_ * tiles);
    unit = e_.rem(unit, panels_ * tiles);
    llvm::Value* chunk = e_.div(unit, panels_ * kernel_.chunk);
    unit = e_.rem(unit, panels_ * kernel_.chunk);
    llvm::Value* count = e_.integer(kernel_.chunk);
    if (last != kernel_.chunk)
      count = e_.builder.CreateSelect(e_.less(chunk, chunks - 1), count, e_.integer(last));
    llvm::Value* panel = e_.builder.CreateUDiv(unit, count);
    llvm::Value* tile = e_.builder.CreateURem(unit, count);
    return {image, panel, e_.add(e_.mul(chunk, kernel_.chunk), tile), tile};
  }

  // 1: the last panel, if it has fewer blocks.
  std::vector<int> panel_classes() const {
    std::vector<int> classes(static_cast<size_t>(panels_), 0);
    if (out_half_ % kernel_.panel != 0) classes.back() = 1;
    return classes;
  }

  Values arguments_of(const Unit& at) {
    llvm::Value* pixel = e_.table_entry(first_pixel_, at.tile, "first_pixel");
    llvm::Value* block = e_.mul(at.panel, kernel_.panel);
    const auto address = [&](const View& view, llvm::Value* base, Index block) {
      return block_address(e_, view, base, {at.image, block, 0, pixel});
    };
    llvm::Value* weights = e_.element(arguments_.weights[0], e_.mul(block, block_floats_));
    Values call{address(step_.inputs[0], arguments_.inputs[0], 0),
                address(step_.inputs.back(), arguments_.inputs.back(), 0), weights,
                address(step_.output, arguments_.out, block)};
    for (size_t i = 1; i + 1 < step_.inputs.size(); ++i)
      call.push_back(address(step_.inputs[i], arguments_.inputs[i], block));
    for (size_t i = 1; i < arguments_.weights.size(); ++i)
      call.push_back(e_.element(arguments_.weights[i], e_.mul(block, kChannelBlock)));
    // The next panel's weights, a share with each tile, the last of them again with the rest.
    const int64_t panel_floats = kernel_.panel * block_floats_;
    llvm::Value* done =
        e_.min(e_.mul(at.tile_of_chunk, share_floats_), std::max<int64_t>(0, panel_floats - share_floats_));
    call.push_back(e_.element(weights, e_.add(done, panel_floats)));
    call.push_back(strides_);
    return call;
  }

  llvm::Function* tile_function(int blocks, int variant) {
    Tile tile{step_, kernel_};
    tile.blocks = blocks;
    std::tie(tile.pixels, tile.second) = variants_[static_cast<size_t>(variant)];
    tile.ahead_lines = ahead_lines_;
    const std::string name = tile_name(e_, tile);
    if (llvm::Function* known = e_.module.getFunction(name)) return known;
    const size_t parameters = 4 + (step_.inputs.size() - 2) + (step_.weights.size() - 1) + 2;
    const llvm::SmallVector<llvm::Type*> types(parameters, e_.ptr);
    return e_.outlined(name, types, [&](llvm::Function* function) {
      // Only the operands of the epilogue may be where the output is.
      for (unsigned i : {0u, 1u, 2u}) function->addParamAttr(i, llvm::Attribute::NoAlias);
      unsigned next = 0;
      const auto take = [&] { return function->getArg(next++); };
      tile.x = take(), tile.sums = take(), tile.weights = take();
      size_t input = 0;
      const auto port = [&] {
        const View& view = input == 0 ? step_.output : step_.inputs[input];
        return Port{&view, take(), ports_[input++]};
      };
      tile.out = port();
      if (kernel_.carries) tile.carried = port();
      for (int i = 0; i < epilogue_operands(kernel_.epilogue); ++i) tile.operands.push_back(port());
      if (kernel_.accumulates) tile.accumulated = port();
      tile.scales = take();
      if (kernel_.outer_scale) tile.outer_scales = take();
      if (kernel_.has_bias) tile.bias = take();
      tile.ahead = take(), tile.table = take();
      TileEmitter(e_, tile).emit();
    });
  }

  Emitter& e_;
  const Step& step_;
  const StrassenKernel& kernel_;
  const KernelArguments& arguments_;
  Table table_;
  std::vector<int> ports_;  // entries of the table: of the output, then of the inputs between x and the sums
  llvm::Value* strides_ = nullptr;
  int64_t block_floats_ = 0, out_half_ = 0, panels_ = 0, ahead_lines_ = 0, share_floats_ = 0;
  std::vector<std::pair<int, int>> variants_;  // pixels, second pixels
  std::vector<int> variant_of_;                // by tile
  std::vector<int64_t> first_pixel_;
};

}  // namespace

void emit_strassen(Emitter& e, const Step& step, const StrassenKernel& kernel,
                   const KernelArguments& arguments) {
  Products(e, step, kernel, arguments).emit();
}

}  // namespace cardinal
