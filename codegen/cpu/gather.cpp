// Copies of channels, or of parts of their images, 16 result channels at a time.
//
// A block of the result is put together from pieces: each is a block of the operand at one shift, of which
// some lanes go to some lanes of the result. Blocks whose pieces look alike run the same code; which blocks
// of the operand they read is a table. A pixel outside the image is read from a block of the value that is
// there.
#include <algorithm>
#include <array>

#include "codegen/cpu/conv.h"

namespace cardinal {

namespace {

struct Piece {
  int64_t dh = 0, dw = 0;
  int load_lanes = kChannelBlock;
  std::array<int, kChannelBlock>
      from{};  // lane of the piece for each lane of the result; -1: another piece's
  bool operator==(const Piece&) const = default;
};

// Result blocks of equal class run the same code.
struct GatherClass {
  std::vector<Piece> pieces;
  int store_lanes = kChannelBlock;
  bool operator==(const GatherClass&) const = default;
};

struct Gather {
  std::vector<GatherClass> classes;
  std::vector<int> class_of;                        // by result block
  std::vector<std::vector<int64_t>> source_blocks;  // by piece and result block; 0 where it has no such piece
};

int lanes_of_block(const View& view, int64_t block) {
  return block + 1 == view.blocks() ? last_block_lanes(view) : static_cast<int>(kChannelBlock);
}

// The pieces of a result block, and the blocks they read.
GatherClass pieces_of(const Step& step, const GatherKernel& kernel, int64_t block,
                      std::vector<int64_t>& source_blocks) {
  const View& in = step.inputs[0];
  GatherClass result;
  result.store_lanes = lanes_of_block(step.output, block);
  const int64_t first = block * kChannelBlock;
  const int64_t lanes = std::min(kChannelBlock, step.output.shape.c() - first);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    const ChannelSource& source = kernel.gathering.sources[static_cast<size_t>(first + lane)];
    if (source.channel == kNoChannel) continue;
    const int64_t source_block = source.channel / kChannelBlock;
    size_t i = 0;
    while (i < result.pieces.size() && (source_blocks[i] != source_block ||
                                        result.pieces[i].dh != source.dh || result.pieces[i].dw != source.dw))
      ++i;
    if (i == result.pieces.size()) {
      Piece piece{source.dh, source.dw, lanes_of_block(in, source_block)};
      piece.from.fill(-1);
      result.pieces.push_back(piece);
      source_blocks.push_back(source_block);
    }
    result.pieces[i].from[static_cast<size_t>(lane)] = static_cast<int>(source.channel % kChannelBlock);
  }
  return result;
}

Gather make_gather(const Step& step, const GatherKernel& kernel) {
  Gather gather;
  const int64_t blocks = step.output.blocks();
  for (int64_t block = 0; block < blocks; ++block) {
    std::vector<int64_t> sources;
    GatherClass c = pieces_of(step, kernel, block, sources);
    auto found = std::find(gather.classes.begin(), gather.classes.end(), c);
    gather.class_of.push_back(static_cast<int>(found - gather.classes.begin()));
    if (found == gather.classes.end()) gather.classes.push_back(std::move(c));
    while (gather.source_blocks.size() < sources.size())
      gather.source_blocks.emplace_back(static_cast<size_t>(blocks));
    for (size_t i = 0; i < sources.size(); ++i)
      gather.source_blocks[i][static_cast<size_t>(block)] = sources[i];
  }
  return gather;
}

// A block of one value in read-only data.
llvm::Value* constant_block(Emitter& e, double value) {
  auto* block =
      new llvm::GlobalVariable(e.module, e.block, true, llvm::GlobalValue::PrivateLinkage,
                               llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(kChannelBlock),
                                                              llvm::ConstantFP::get(e.f32, value)),
                               "fill");
  block->setAlignment(llvm::Align(kChannelBlock * sizeof(float)));
  block->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
  return block;
}

// An axis of the image along which one piece is read.
struct PieceAxis {
  int64_t shift = 0, step = 1, input = 1, output = 1;  // extents
  bool leaves() const { return shift < 0 || (output - 1) * step + shift >= input; }
  llvm::Value* position(Emitter& e, llvm::Value* i) const { return e.add(e.mul(i, step), shift); }
  // Unsigned: what lies before the image is beyond its end.
  llvm::Value* inside(Emitter& e, llvm::Value* position) const {
    return leaves() ? e.builder.CreateICmpULT(position, e.integer(input)) : e.builder.getTrue();
  }
};

// What one piece reads along a row of the result.
struct PieceRow {
  const Piece& piece;
  PieceAxis columns;
  llvm::Value* address = nullptr;  // of the row's first pixel in the image
  llvm::Value* inside = nullptr;   // whether the image has the row; null if it has all rows and columns
};

llvm::Value* load_piece(Emitter& e, const View& view, const PieceRow& row, llvm::Value* w,
                        llvm::Value* outside) {
  llvm::Value* column = row.columns.position(e, w);
  llvm::Value* address = e.element(row.address, e.mul(column, view.stride_w));
  if (row.inside) {
    llvm::Value* inside = e.builder.CreateAnd(row.columns.inside(e, column), row.inside);
    address = e.builder.CreateSelect(inside, address, outside);
  }
  return e.load_block(view, address, row.piece.load_lanes);
}

// The lanes of `value` that the piece brings, over those of `so_far`.
llvm::Value* merge(Emitter& e, const Piece& piece, llvm::Value* so_far, llvm::Value* value) {
  llvm::SmallVector<int, kChannelBlock> select;
  for (int lane = 0; lane < kChannelBlock; ++lane) {
    const int from = piece.from[static_cast<size_t>(lane)];
    select.push_back(from < 0 ? lane : kChannelBlock + from);
  }
  return e.builder.CreateShuffleVector(so_far, value, select);
}

}  // namespace

void emit_gather(Emitter& e, const Step& step, const GatherKernel& kernel, const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const Shape& shape = out.shape;
  const Pair stride = kernel.gathering.step;
  const Gather gather = make_gather(step, kernel);
  llvm::Value* fill = constant_block(e, kernel.gathering.fill);
  for_units(e, step, arguments, {shape.n(), shape.h()}, [&](const UnitIndex& at) {
    llvm::Value *block = at.outer, *n = at.image, *h = at.row;
    llvm::Value* to = block_address(e, out, arguments.out, {n, block, h});
    emit_by_class(e, block, gather.class_of, [&](int c) {
      const GatherClass& gather_class = gather.classes[static_cast<size_t>(c)];
      std::vector<PieceRow> rows;
      for (const Piece& piece : gather_class.pieces) {
        llvm::Value* source = e.table_entry(gather.source_blocks[rows.size()], block, "source_block");
        const PieceAxis vertical{piece.dh, stride.h, in.shape.h(), shape.h()};
        const PieceAxis horizontal{piece.dw, stride.w, in.shape.w(), shape.w()};
        llvm::Value* row = vertical.position(e, h);
        const bool leaves = vertical.leaves() || horizontal.leaves();
        rows.push_back({piece, horizontal, block_address(e, in, arguments.inputs[0], {n, source, row}),
                        leaves ? vertical.inside(e, row) : nullptr});
      }
      e.for_range(0, shape.w(), 1, [&](llvm::Value* w) {
        llvm::Value* value = e.splat(kernel.gathering.fill);
        for (const PieceRow& row : rows) value = merge(e, row.piece, value, load_piece(e, in, row, w, fill));
        e.store_block(out, value, e.element(to, e.mul(w, out.stride_w)), gather_class.store_lanes);
      });
    });
  });
}

}  // namespace cardinal
