#include "codegen/cpu/strassen_tile.h"

#include <fmt/format.h>

#include <array>

#include "codegen/cpu/conv.h"
#include "codegen/epilogue.h"
#include "passes/strassen.h"

namespace cardinal {
namespace {

constexpr int kProducts = kStrassenProducts.size();

// What a reduction forms of x on its way: what the next one reads.
enum class Sums : uint8_t { none, s1_s2, s3, s4 };
constexpr std::array<Sums, kProducts> kFormed{Sums::none, Sums::s1_s2, Sums::none, Sums::s4,
                                              Sums::s3,   Sums::none,  Sums::none};

std::string port_key(const View& view) {
  return fmt::format("_{}_{}_{}", view.stride_w, view.stride_c, block_alignment(view));
}

// A product of `pixels` rows, added to what is at `from`, and sums; a function that all tiles share.
class Reduction {
 public:
  struct Form {
    int pixels, blocks, k_unroll;
    int64_t ahead_lines;  // of weights, prefetched with each block
    int64_t pixel_floats;
    Sums formed = Sums::none;
    int pairs = 0, second = 0;  // whose sums; how many have a second pixel
    int64_t x_pixel_floats = 0, x_alignment = 0;
  };
  // The function's parameters.
  struct Call {
    llvm::Value *from, *to;    // results, each a block
    llvm::Value *x, *x_block;  // the first factor; floats from one block to the next
    llvm::Value* next;         // that of the next product
    llvm::Value *weights, *ahead;
    llvm::Value *blocks, *weight_block;
    // If sums are formed: quarters of x, floats from a block of theirs to the next, where S1 to S4 are.
    llvm::Value *a11 = nullptr, *a12 = nullptr, *a21 = nullptr, *a22 = nullptr, *a_block = nullptr;
    llvm::Value *s1 = nullptr, *s2 = nullptr, *s3 = nullptr, *s4 = nullptr, *ratios = nullptr;
  };
  using Member = llvm::Value* Call::*;

  Reduction(Emitter& e, const Form& form) : e_(e), form_(form) {}

  void call(const Call& c) {
    Values arguments;
    for (Member member : parameters()) arguments.push_back(c.*member);
    e_.builder.CreateCall(function(arguments), arguments);
  }

 private:
  llvm::Function* function(const Values& arguments) {
    std::string name = fmt::format("{}.strassen_product_{}x{}_u{}_p{}_{}", e_.target.cpu, form_.pixels,
                                   form_.blocks, form_.k_unroll, form_.ahead_lines, form_.pixel_floats);
    if (form_.formed != Sums::none)
      name += fmt::format("_s{}_{}+{}_{}_{}", static_cast<int>(form_.formed), form_.pairs, form_.second,
                          form_.x_pixel_floats, form_.x_alignment);
    if (llvm::Function* known = e_.module.getFunction(name)) return known;
    llvm::SmallVector<llvm::Type*> types;
    for (llvm::Value* argument : arguments) types.push_back(argument->getType());
    return e_.outlined(name, types, [&](llvm::Function* f) {
      for (unsigned i : {2u, 3u}) f->addParamAttr(i, llvm::Attribute::NoAlias);  // x, the weights
      Call c{};
      unsigned next = 0;
      for (Member member : parameters()) c.*member = f->getArg(next++);
      emit(c);
    });
  }

  std::vector<Member> parameters() const {
    std::vector<Member> all{&Call::from,  &Call::to,     &Call::x,       &Call::weights,     &Call::next,
                            &Call::ahead, &Call::blocks, &Call::x_block, &Call::weight_block};
    const auto add = [&](std::initializer_list<Member> more) { all.insert(all.end(), more); };
    switch (form_.formed) {
      case Sums::none:
        break;
      case Sums::s1_s2:
        add({&Call::a_block, &Call::a11, &Call::a21, &Call::a22, &Call::s1, &Call::s2, &Call::ratios});
        break;
      case Sums::s3:
        add({&Call::a_block, &Call::a11, &Call::a21, &Call::s3});
        break;
      case Sums::s4:
        add({&Call::a_block, &Call::a12, &Call::s2, &Call::s4, &Call::ratios});
        break;
    }
    return all;
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
          form_sums(c, block);
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
    for (int64_t i = 0; i < form_.ahead_lines; ++i) e_.prefetch(e_.element(ahead, i * kLineFloats));
  }

  // The block of the factor that comes after `block`, at x, into the L1 cache: after the last, the first of
  // the next product's. Blocks are too far apart for the hardware to guess (a tenth of the time on Zen 3).
  void fetch_next(const Call& c, llvm::Value* block, llvm::Value* x) {
    llvm::Value* more = e_.less(e_.add(block, 1), c.blocks);
    llvm::Value* at = e_.builder.CreateSelect(more, e_.element(x, c.x_block), c.next);
    for (int i = 0; i < form_.pixels; ++i) e_.prefetch(e_.element(at, i * form_.pixel_floats));
  }

  void form_sums(const Call& c, llvm::Value* block) {
    if (form_.formed == Sums::none) return;
    llvm::Value* in_quarter = e_.mul(block, c.a_block);
    llvm::Value* in_sums = e_.mul(block, form_.pairs * kChannelBlock);
    llvm::Value* ratio = nullptr;
    if (form_.formed != Sums::s3)
      ratio = e_.load_block_here(e_.element(c.ratios, e_.mul(block, kChannelBlock)));
    for (int i = 0; i < form_.pairs; ++i) {
      const auto load = [&](llvm::Value* quarter) {
        llvm::Value* at = e_.element(e_.element(quarter, in_quarter), i * form_.x_pixel_floats);
        return e_.load_block(at, form_.x_alignment);
      };
      const auto place = [&](llvm::Value* sums) {
        return e_.element(e_.element(sums, in_sums), i * kChannelBlock);
      };
      const bool paired = i < form_.second;
      switch (form_.formed) {
        case Sums::none:
          break;
        case Sums::s1_s2: {
          llvm::Value* s1 = paired ? e_.fma(load(c.a22), ratio, load(c.a21)) : e_.splat(0.0);
          e_.store_block(s1, place(c.s1), 64);
          e_.store_block(e_.fsub(s1, load(c.a11)), place(c.s2), 64);
          break;
        }
        case Sums::s3:
          e_.store_block(paired ? e_.fsub(load(c.a11), load(c.a21)) : load(c.a11), place(c.s3), 64);
          break;
        case Sums::s4: {
          llvm::Value* s2 = e_.load_block(place(c.s2), 64);
          e_.store_block(e_.fma(load(c.a12), ratio, e_.builder.CreateFNeg(s2)), place(c.s4), 64);
          break;
        }
      }
    }
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

  llvm::Value* entry(int i) { return StrideTable::load(e_, tile_.table, i); }

  // The first factor of a product: a quarter of x, or which of the sums.
  static int sums_read(int product) {
    constexpr std::array<int, kProducts> kSums{0, 0, 2, 1, 4, 3, 0};
    return kSums[static_cast<size_t>(product)];
  }
  llvm::Value* factor(int product) {
    if (const int sums = sums_read(product)) return e_.element(tile_.sums, entry(StrideTable::sums + sums));
    if (product == 0) return tile_.x;
    llvm::Value* a12 = e_.element(tile_.x, entry(StrideTable::x_half));
    return product == 1 ? a12 : e_.element(a12, entry(StrideTable::x_row));
  }

  // to = from + a product. The last one's first factor lacks the pixels that have no other in the second
  // half.
  void multiply(int product, llvm::Value* from, llvm::Value* to) {
    const bool sums = sums_read(product) != 0, last = product + 1 == kProducts;
    const View& view = tile_.step.inputs[0];
    llvm::Value* before = e_.mul(blocks_, product);
    llvm::Value* x = factor(product);
    Reduction::Call call{
        .from = from,
        .to = to,
        .x = x,
        .x_block = sums ? e_.integer(tile_.pixels * kChannelBlock) : entry(StrideTable::x_block),
        .next = last ? x : factor(product + 1),
        .weights = e_.element(tile_.weights, e_.mul(before, kChannelBlock * kChannelBlock)),
        .ahead = e_.element(tile_.ahead, e_.mul(before, tile_.ahead_lines * kLineFloats)),
        .blocks = blocks_,
        .weight_block = weight_block_};
    Reduction::Form form{.pixels = last ? tile_.second : tile_.pixels,
                         .blocks = tile_.blocks,
                         .k_unroll = tile_.kernel.k_unroll,
                         .ahead_lines = tile_.ahead_lines,
                         .pixel_floats = sums ? kChannelBlock : view.stride_w,
                         .pairs = tile_.pixels,
                         .second = tile_.second,
                         .x_pixel_floats = view.stride_w,
                         .x_alignment = block_alignment(view)};
    const Sums formed = kFormed[static_cast<size_t>(product)];
    const auto multiply = [&] { Reduction(e_, form).call(call); };
    if (formed == Sums::none || (formed == Sums::s3 && tile_.second == 0)) return multiply();
    call.a_block = entry(StrideTable::x_block);
    call.a11 = tile_.x, call.a12 = factor(1), call.a22 = factor(6);
    call.a21 = e_.element(tile_.x, entry(StrideTable::x_row));
    call.s1 = factor(3), call.s2 = factor(2), call.s3 = factor(5), call.s4 = factor(4);
    call.ratios = tile_.ratios;
    e_.if_else(
        tile_.forms_sums, [&] { form.formed = formed, multiply(); },
        [&] { form.formed = Sums::none, multiply(); });
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
          e_.prefetch(e_.element(block, i * port.view->stride_w), write);
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

StrideTable::StrideTable(const View& x, int64_t out_half_channels, int64_t weight_floats,
                         const SumsPlaces& sums_places)
    : values_(first_port) {
  const auto set = [&](int at, int64_t value) {
    values_[static_cast<size_t>(at)] = static_cast<uint64_t>(value);
  };
  set(blocks, x.blocks() / 2);
  set(x_block, x.stride_block);
  set(x_half, x.blocks() / 2 * x.stride_block);
  set(x_row, x.stride_h);
  set(weight_block, weight_floats);
  set(half_channels, out_half_channels);
  for (int i = 0; i < 4; ++i) set(sums + 1 + i, sums_places[static_cast<size_t>(i)]);
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

llvm::Value* StrideTable::load(Emitter& e, llvm::Value* table, int entry) {
  llvm::IRBuilder<>& b = e.builder;
  return b.CreateLoad(e.i64, b.CreateConstGEP1_64(e.i64, table, static_cast<uint64_t>(entry)));
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
