#include "codegen/cpu/strassen_tile.h"

#include <fmt/format.h>

#include <array>
#include <numeric>

#include <llvm/IR/Intrinsics.h>

#include "codegen/cpu/conv.h"
#include "codegen/epilogue.h"
#include "passes/strassen.h"

namespace cardinal {
namespace {

constexpr int kProducts = kStrassenProducts.size();

// Whether the first factor of a product is one of the sums of quarters; else it is a quarter of x itself.
bool reads_sums(int product) {
  const std::array<int, 4>& x = kStrassenProducts[static_cast<size_t>(product)].x;
  return std::accumulate(x.begin(), x.end(), 0, [](int n, int c) { return n + (c != 0); }) > 1;
}

std::string port_key(const View& view) {
  return fmt::format("_{}_{}_{}", view.stride_w, view.stride_c, block_alignment(view));
}

void fetch_line(Emitter& e, llvm::Value* address, bool write) {
  constexpr uint32_t kIntoL1 = 3, kData = 1;
  llvm::IRBuilder<>& b = e.builder;
  b.CreateIntrinsic(llvm::Intrinsic::prefetch, {e.ptr},
                    {address, b.getInt32(write ? 1 : 0), b.getInt32(kIntoL1), b.getInt32(kData)});
}

// A product of `pixels` rows, added to what is at `from`; a function that all tiles share.
class Reduction {
 public:
  struct Form {
    int pixels, blocks, k_unroll;
    int64_t ahead_lines;  // of weights, prefetched with each block
    int64_t pixel_floats;
  };
  // The function's parameters.
  struct Call {
    llvm::Value *from, *to;    // results, each a block
    llvm::Value *x, *x_block;  // the first factor; floats from one block to the next
    llvm::Value* next;         // that of the next product
    llvm::Value *weights, *ahead;
    llvm::Value *blocks, *weight_block;
  };

  Reduction(Emitter& e, const Form& form) : e_(e), form_(form) {}

  void call(const Call& c) {
    const Values arguments{c.from,  c.to,     c.x,       c.next,        c.weights,
                           c.ahead, c.blocks, c.x_block, c.weight_block};
    e_.builder.CreateCall(function(arguments), arguments);
  }

 private:
  llvm::Function* function(const Values& arguments) {
    const std::string name = fmt::format("{}.strassen_product_{}x{}_u{}_p{}_{}", e_.target.cpu, form_.pixels,
                                         form_.blocks, form_.k_unroll, form_.ahead_lines, form_.pixel_floats);
    if (llvm::Function* known = e_.module.getFunction(name)) return known;
    llvm::SmallVector<llvm::Type*> types;
    for (llvm::Value* argument : arguments) types.push_back(argument->getType());
    return e_.outlined(name, types, [&](llvm::Function* f) {
      for (unsigned i : {2u, 4u}) f->addParamAttr(i, llvm::Attribute::NoAlias);
      emit({.from = f->getArg(0),
            .to = f->getArg(1),
            .x = f->getArg(2),
            .x_block = f->getArg(7),
            .next = f->getArg(3),
            .weights = f->getArg(4),
            .ahead = f->getArg(5),
            .blocks = f->getArg(6),
            .weight_block = f->getArg(8)});
    });
  }

  void emit(const Call& c) {
    Values acc;
    const auto result = [&](llvm::Value* base, size_t i) {
      return e_.element(base, static_cast<int64_t>(i) * kChannelBlock);
    };
    for (size_t i = 0; i < static_cast<size_t>(form_.pixels * form_.blocks); ++i)
      acc.push_back(e_.load_block(result(c.from, i), 64));
    const int64_t rolled = kChannelBlock / form_.k_unroll * form_.k_unroll,
                  block_weights = kChannelBlock * kChannelBlock,
                  ahead_floats = form_.ahead_lines * kLineFloats;
    acc = e_.for_range(
        0, c.blocks, 1, std::move(acc),
        [&](llvm::Value* block, Values sums) {
          llvm::Value* x = e_.element(c.x, e_.mul(block, c.x_block));
          llvm::Value* w = e_.element(c.weights, e_.mul(block, block_weights));
          prefetch(e_.element(c.ahead, e_.mul(block, ahead_floats)));
          fetch_next(c, block, x);
          sums = e_.for_range(0, rolled, form_.k_unroll, std::move(sums), [&](llvm::Value* k, Values sums) {
            return multiply_add(std::move(sums), e_.element(x, k), e_.element(w, e_.mul(k, kChannelBlock)),
                                c.weight_block, form_.k_unroll);
          });
          return multiply_add(std::move(sums), e_.element(x, rolled), e_.element(w, rolled * kChannelBlock),
                              c.weight_block, kChannelBlock - rolled);
        },
        Trips::at_least_one);
    for (size_t i = 0; i < acc.size(); ++i) e_.store_block(acc[i], result(c.to, i), 64);
  }

  void prefetch(llvm::Value* ahead) {
    for (int64_t i = 0; i < form_.ahead_lines; ++i) e_.prefetch_weights(e_.element(ahead, i * kLineFloats));
  }

  // The block of the factor that comes after `block`, at x, into the L1 cache: after the last, the first of
  // the next product's. Blocks are too far apart for the hardware to guess (a tenth of the time on Zen 3).
  void fetch_next(const Call& c, llvm::Value* block, llvm::Value* x) {
    llvm::Value* more = e_.less(e_.add(block, 1), c.blocks);
    llvm::Value* at = e_.builder.CreateSelect(more, e_.element(x, c.x_block), c.next);
    for (int i = 0; i < form_.pixels; ++i) fetch_line(e_, e_.element(at, i * form_.pixel_floats), false);
  }

  // `steps` steps of the reduction.
  Values multiply_add(Values acc, llvm::Value* x, llvm::Value* w, llvm::Value* weight_block, int64_t steps) {
    for (int64_t k = 0; k < steps; ++k) {
      Values weights;
      for (int j = 0; j < form_.blocks; ++j) {
        llvm::Value* at = j == 0 ? w : e_.element(w, e_.mul(weight_block, j));
        weights.push_back(e_.load_block_here(e_.element(at, k * kChannelBlock)));
      }
      for (int i = 0; i < form_.pixels; ++i) {
        llvm::Value* value = e_.broadcast(e_.element(x, i * form_.pixel_floats + k));
        for (int j = 0; j < form_.blocks; ++j) {
          llvm::Value*& a = acc[static_cast<size_t>(i * form_.blocks + j)];
          a = e_.fma(value, weights[static_cast<size_t>(j)], a);
        }
      }
    }
    return acc;
  }

  Emitter& e_;
  const Form form_;
};

class TileEmitter {
 public:
  TileEmitter(Emitter& e, const StrassenTile& tile)
      : e_(e),
        tile_(tile),
        blocks_(entry(StrideTable::blocks)),
        weight_block_(tile.blocks > 1 ? entry(StrideTable::weight_block) : e.integer(0)) {}

  void emit() {
    llvm::Value *zero = zeros(), *y = new_results(), *v = new_results(), *sum = new_results();
    multiply(0, zero, y);
    fetch(0, 0);
    multiply(1, y, sum);
    finish({sum}, 0, 0);
    multiply(2, y, y);
    multiply(3, y, v);
    fetch(0, 1);
    multiply(4, v, sum);
    finish({sum}, 0, 1);
    if (tile_.second == 0) return;
    fetch(1, 1);
    multiply(5, zero, sum);
    e_.for_range(0, results(), 1,
                 [&](llvm::Value* i) { e_.store_block(added({y, sum}, i), result(y, i), 64); });
    finish({v, sum}, 1, 1);
    fetch(1, 0);
    multiply(6, y, sum);
    finish({sum}, 1, 0);
  }

 private:
  // Results are on the stack while they are in no reduction. Left to the register allocator, some would take
  // registers from these.
  int results() const { return tile_.pixels * tile_.blocks; }
  llvm::Value* new_results() {
    auto* slots = e_.builder.CreateAlloca(llvm::ArrayType::get(e_.block, static_cast<uint64_t>(results())));
    slots->setAlignment(llvm::Align(64));
    return slots;
  }
  llvm::Value* zeros() {
    const std::string name = fmt::format("strassen_zeros_{}", results());
    if (llvm::GlobalVariable* known = e_.module.getNamedGlobal(name)) return known;
    auto* type = llvm::ArrayType::get(e_.block, static_cast<uint64_t>(results()));
    auto* zeros = new llvm::GlobalVariable(e_.module, type, true, llvm::GlobalValue::PrivateLinkage,
                                           llvm::Constant::getNullValue(type), name);
    zeros->setAlignment(llvm::Align(64));
    return zeros;
  }
  llvm::Value* result(llvm::Value* base, Index i) { return e_.element(base, e_.mul(i, kChannelBlock)); }
  llvm::Value* added(llvm::ArrayRef<llvm::Value*> terms, Index i) {
    llvm::Value* sum = nullptr;
    for (llvm::Value* term : terms) {
      llvm::Value* value = e_.load_block(result(term, i), 64);
      sum = sum ? e_.fadd(value, sum) : value;
    }
    return sum;
  }

  llvm::Value* entry(int i) {
    return e_.builder.CreateLoad(
        e_.i64, e_.builder.CreateConstGEP1_64(e_.i64, tile_.table, static_cast<uint64_t>(i)));
  }

  // The first factor of a product.
  llvm::Value* factor(int product) {
    return e_.element(reads_sums(product) ? tile_.sums : tile_.x, entry(StrideTable::offsets + product));
  }

  // to = from + a product. The last one's first factor lacks the pixels that have no other in the second
  // half.
  void multiply(int product, llvm::Value* from, llvm::Value* to) {
    const bool sums = reads_sums(product), last = product + 1 == kProducts;
    const View& view = sums ? tile_.step.inputs.back() : tile_.step.inputs[0];
    llvm::Value* before = e_.mul(blocks_, product);
    llvm::Value* x = factor(product);
    Reduction(e_, {.pixels = last ? tile_.second : tile_.pixels,
                   .blocks = tile_.blocks,
                   .k_unroll = tile_.kernel.k_unroll,
                   .ahead_lines = tile_.ahead_lines,
                   .pixel_floats = view.stride_w})
        .call({.from = from,
               .to = to,
               .x = x,
               .x_block = entry(sums ? StrideTable::sums_block : StrideTable::x_block),
               .next = last ? x : factor(product + 1),
               .weights = e_.element(tile_.weights, e_.mul(before, kChannelBlock * kChannelBlock)),
               .ahead = e_.element(tile_.ahead, e_.mul(before, tile_.ahead_lines * kLineFloats)),
               .blocks = blocks_,
               .weight_block = weight_block_});
  }

  // What a quarter is finished with and where it goes, into the L1 cache while the last product before is
  // computed: it may be as far as the L3, and four times a tile nothing else could be done meanwhile.
  void fetch(int row, int half) {
    const auto fetch_port = [&](const StrassenPort& port, bool write) {
      if (!port.view || port.view->stride_w == 0) return;
      llvm::Value* at = quarter(port, row, half);
      for (int j = 0; j < tile_.blocks; ++j) {
        llvm::Value* block = j == 0 ? at : e_.element(at, e_.mul(entry(port.strides), j));
        for (int i = 0; i < (row ? tile_.second : tile_.pixels); ++i)
          fetch_line(e_, e_.element(block, i * port.view->stride_w), write);
      }
    };
    fetch_port(tile_.out, true);
    fetch_port(tile_.carried, false);
    fetch_port(tile_.accumulated, true);
    for (const StrassenPort& operand : tile_.operands) fetch_port(operand, false);
  }

  // Block 0 and pixel 0 of a quarter.
  llvm::Value* quarter(const StrassenPort& port, int row, int half) {
    llvm::Value* at = port.at;
    if (half) at = e_.element(at, entry(port.strides + 1));
    if (row) at = e_.element(at, entry(port.strides + 2));
    return at;
  }

  // Finishes a quarter's results, the sums of `terms`: a loop over pixels, for the code would be most of a
  // network's otherwise.
  void finish(llvm::ArrayRef<llvm::Value*> terms, int row, int half) {
    std::vector<const StrassenPort*> ports{&tile_.out, &tile_.carried, &tile_.accumulated};
    for (const StrassenPort& operand : tile_.operands) ports.push_back(&operand);
    std::vector<FinishedBlock> blocks;
    for (int j = 0; j < tile_.blocks; ++j) {
      FinishedBlock& block = blocks.emplace_back(FinishedBlock{constants_of(half, j), {}});
      for (const StrassenPort* port : ports) {
        llvm::Value* at = port->view ? quarter(*port, row, half) : nullptr;
        block.at.push_back(at && j ? e_.element(at, e_.mul(entry(port->strides), j)) : at);
      }
    }
    e_.for_range(
        0, row ? tile_.second : tile_.pixels, 1,
        [&](llvm::Value* pixel) {
          for (int j = 0; j < tile_.blocks; ++j)
            finish_block(added(terms, e_.add(e_.mul(pixel, tile_.blocks), j)), blocks[static_cast<size_t>(j)],
                         ports, pixel);
        },
        Trips::at_least_one);
  }

  struct Constants {
    llvm::Value *scale = nullptr, *outer_scale = nullptr, *bias = nullptr;
  };
  Constants constants_of(int half, int block) {
    Constants result;
    const int64_t channel = block * kChannelBlock;
    const auto load = [&](llvm::Value* base) { return e_.load_block(e_.element(base, channel), 64); };
    const auto of_half = [&](llvm::Value* base) {
      return load(half ? e_.element(base, entry(StrideTable::half_channels)) : base);
    };
    if (half) result.scale = load(tile_.scales);
    if (tile_.kernel.outer_scale) result.outer_scale = of_half(tile_.outer_scales);
    if (tile_.kernel.has_bias) result.bias = of_half(tile_.bias);
    return result;
  }

  // A block of a quarter, and where its first pixel is in each port.
  struct FinishedBlock {
    Constants constants;
    std::vector<llvm::Value*> at;
  };
  void finish_block(llvm::Value* y, const FinishedBlock& block, const std::vector<const StrassenPort*>& ports,
                    llvm::Value* pixel) {
    const Constants& constants = block.constants;
    const auto address = [&](size_t port) {
      return e_.element(block.at[port], e_.mul(pixel, ports[port]->view->stride_w));
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
  const StrassenTile& tile_;
  llvm::Value *blocks_, *weight_block_;
};

}  // namespace

StrideTable::StrideTable(const View& x, const View& sums, int64_t out_half_channels, int64_t weight_floats)
    : values_(first_port) {
  const auto set = [&](int at, int64_t value) {
    values_[static_cast<size_t>(at)] = static_cast<uint64_t>(value);
  };
  const int64_t half_blocks = x.blocks() / 2, x12 = half_blocks * x.stride_block,
                part = half_blocks * sums.stride_block;
  set(blocks, half_blocks);
  set(x_block, x.stride_block);
  set(sums_block, sums.stride_block);
  set(weight_block, weight_floats);
  set(half_channels, out_half_channels);
  int at = offsets;  // A11, A12, S2, S1, S4, S3, A22
  for (int64_t from : {int64_t{0}, x12, part, int64_t{0}, 3 * part, 2 * part, x12 + x.stride_h})
    set(at++, from);
}

int StrideTable::add_port(const View& view) {
  const auto at = static_cast<int>(values_.size());
  for (int64_t stride : {view.stride_block, view.blocks() / 2 * view.stride_block, view.stride_h})
    values_.push_back(static_cast<uint64_t>(stride));
  return at;
}

llvm::Value* StrideTable::emit(Emitter& e) const {
  auto* data = llvm::ConstantDataArray::get(e.module.getContext(), llvm::ArrayRef<uint64_t>(values_));
  auto* table = new llvm::GlobalVariable(e.module, data->getType(), true, llvm::GlobalValue::PrivateLinkage,
                                         data, "strides");
  table->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
  return table;
}

std::string strassen_tile_name(const Emitter& e, const StrassenTile& tile) {
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

void emit_strassen_tile(Emitter& e, const StrassenTile& tile) { TileEmitter(e, tile).emit(); }

}  // namespace cardinal
