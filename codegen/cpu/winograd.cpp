// The two sides of a Winograd convolution.
//
//   for each unit (block, image, row of tiles), for each tile of the row:
//     tile function of (rows, columns inside the image):   never inlined; all layers share those of the input
//       input:  d = x's window, zero outside the image;  V[e] = (B^T d B)[e]
//       output: y = A^T M A;  out[i][j] = epilogue(y[i][j] + bias), as far as the image goes
#include "passes/winograd.h"

#include <fmt/format.h>

#include "codegen/cpu/conv.h"
#include "codegen/epilogue.h"

namespace cardinal {
namespace {

// ---- the transforms. A null value is a zero.

// The sum of row[i] * values[i].
llvm::Value* combine(Emitter& e, const std::vector<double>& row, const Values& values) {
  llvm::Value* sum = nullptr;
  size_t start = row.size();  // a term that needs no multiplication
  for (size_t i = 0; i < row.size() && start == row.size(); ++i)
    if (row[i] == 1 && values[i]) start = i;
  if (start < row.size()) sum = values[start];
  for (size_t i = 0; i < row.size(); ++i) {
    if (i == start || row[i] == 0 || !values[i]) continue;
    llvm::Value* factor = e.constant_like(values[i], row[i]);
    if (!sum)
      sum = e.fmul(values[i], factor);
    else if (row[i] == 1)
      sum = e.fadd(sum, values[i]);
    else if (row[i] == -1)
      sum = e.fsub(sum, values[i]);
    else
      sum = e.fma(values[i], factor, sum);
  }
  return sum;
}

Values multiply(Emitter& e, const Matrix& matrix, const Values& vector) {
  Values product;
  for (const std::vector<double>& row : matrix) product.push_back(combine(e, row, vector));
  return product;
}

// One axis of a transform.
struct Axis {
  const Matrix &parts, &whole;
  Values apply(Emitter& e, const Values& values) const {
    return multiply(e, whole, multiply(e, parts, values));
  }
};

// Transforms the columns, then the rows. `column(x)` loads a column; `row(y, values)` takes a finished row.
void transform(Emitter& e, const Axis& axis, llvm::function_ref<Values(size_t x)> column,
               llvm::function_ref<void(size_t y, const Values& values)> row) {
  const size_t inputs = axis.parts.size(), outputs = axis.whole.size();
  std::vector<Values> rows(outputs, Values(inputs));
  for (size_t x = 0; x < inputs; ++x) {
    Values done = axis.apply(e, column(x));
    for (size_t y = 0; y < outputs; ++y) rows[y][x] = done[y];
  }
  for (size_t y = 0; y < outputs; ++y) row(y, axis.apply(e, rows[y]));
}

// ---- tiles

// What of a tile is inside the image, along one axis: [begin, end) of its inputs or outputs.
struct Inside {
  int64_t begin = 0, end = 0;
  bool operator==(const Inside&) const = default;
};

// The tiles along one axis; those with as much inside the image share code.
struct TileAxis {
  std::vector<Inside> classes;
  std::vector<int> class_of;
};

TileAxis make_axis(const WinogradKernel& kernel, int64_t in, int64_t out, int64_t pad) {
  const bool input = kernel.side == WinogradKernel::Side::input;
  TileAxis axis;
  for (int64_t first = 0; first < out; first += kernel.outputs) {
    Inside inside{0, std::min<int64_t>(kernel.outputs, out - first)};
    if (input) {
      const int64_t window = kernel.outputs + 2, left = pad - first;  // pixel 0 is at element `left`
      inside = {std::clamp<int64_t>(left, 0, window), std::clamp<int64_t>(left + in, 0, window)};
    }
    auto found = std::find(axis.classes.begin(), axis.classes.end(), inside);
    axis.class_of.push_back(static_cast<int>(found - axis.classes.begin()));
    if (found == axis.classes.end()) axis.classes.push_back(inside);
  }
  return axis;
}

// A tile function: what it is made for, and its parameters.
struct Tile {
  const Step& step;
  const WinogradKernel& kernel;
  Inside rows, columns;
  bool is_last_block = false;   // of the tensors, and masked in one of them
  llvm::Value* in = nullptr;    // the window's first pixel, or element 0 of the products
  llvm::Value* out = nullptr;   // element 0 of the transformed tile, or the first output
  llvm::Value* bias = nullptr;  // of the block; null if there is none
  Values operands;              // at the first output
  // Floats from one element of a transformed tile to the next, and from one row of x to the next. Parameters
  // on the input side, so that layers of all shapes share its functions: they would be half of GoogLeNet's
  // code.
  Index element_floats = 0, row_floats = 0;

  bool input() const { return kernel.side == WinogradKernel::Side::input; }
  const View& x() const { return step.inputs[0]; }
  int x_lanes() const { return is_last_block ? last_block_lanes(x()) : static_cast<int>(kChannelBlock); }
};

// Of a view that holds the transformed tiles.
int64_t element_floats(const View& view, const WinogradKernel& kernel) {
  return view.blocks() / winograd_elements(kernel.outputs) * view.stride_block;
}

// Lanes [first, first + width) of an input tile.
void emit_input(Emitter& e, const Tile& tile, int first, int width) {
  const WinogradTransform& winograd = winograd_transform(tile.kernel.outputs);
  const View& x = tile.x();
  const auto side = static_cast<int64_t>(winograd.input.size());
  auto column = [&](size_t w) {
    Values values(winograd.input.size());
    const auto column = static_cast<int64_t>(w);
    if (column < tile.columns.begin || column >= tile.columns.end) return values;
    for (int64_t row = tile.rows.begin; row < tile.rows.end; ++row) {
      llvm::Value* at = e.element(tile.in, e.mul(tile.row_floats, row));
      at = e.element(at, column * x.stride_w + first * x.stride_c);
      values[static_cast<size_t>(row)] = e.load_block(x, at, tile.x_lanes() - first, width);
    }
    return values;
  };
  auto row = [&](size_t y, const Values& values) {
    llvm::Value* out = e.element(tile.out, e.mul(tile.element_floats, static_cast<int64_t>(y) * side));
    for (size_t i = 0; i < values.size(); ++i) {
      llvm::Value* zero = llvm::Constant::getNullValue(llvm::FixedVectorType::get(e.f32, width));
      llvm::Value* at = e.element(out, e.mul(tile.element_floats, static_cast<int64_t>(i)));
      e.store_block(tile.step.output, values[i] ? values[i] : zero, e.element(at, first));
    }
  };
  transform(e, {winograd.input_parts, winograd.input}, column, row);
}

// Lanes [first, first + width) of an output tile.
void emit_output(Emitter& e, const Tile& tile, int first, int width) {
  const WinogradTransform& winograd = winograd_transform(tile.kernel.outputs);
  const View& products = tile.step.inputs[0];
  const auto side = static_cast<int64_t>(winograd.input.size());
  llvm::Value* bias =
      tile.bias ? e.load_block(e.element(tile.bias, first), 4 * width, width, width) : nullptr;
  auto column = [&](size_t x) {
    Values values;
    for (int64_t y = 0; y < side; ++y) {
      const int64_t element = y * side + static_cast<int64_t>(x);
      llvm::Value* at = e.element(tile.in, e.mul(tile.element_floats, element));
      values.push_back(e.load_block(products, e.element(at, first), width, width));
    }
    return values;
  };
  const Destination to{tile.step, tile.kernel.epilogue, tile.out, tile.operands, tile.is_last_block};
  auto row = [&](size_t y, const Values& values) {
    const auto h = static_cast<int64_t>(y);
    if (h >= tile.rows.end) return;
    for (int64_t w = 0; w < tile.columns.end; ++w) {
      llvm::Value* value = values[static_cast<size_t>(w)];
      store_result(e, to, bias ? e.fadd(value, bias) : value, {.h = h, .w = w}, first);
    }
  };
  transform(e, {winograd.output_parts, winograd.output}, column, row);
}

// Everything that the code of an input tile depends on.
std::string input_name(const Emitter& e, const Tile& tile) {
  return fmt::format("{}.winograd_f{}_input_{}to{}_{}to{}_{}_{}_{}_{}_{}", e.target.cpu, tile.kernel.outputs,
                     tile.rows.begin, tile.rows.end, tile.columns.begin, tile.columns.end, tile.x_lanes(),
                     tile.x().stride_w, tile.x().stride_c, block_alignment(tile.x()),
                     block_alignment(tile.step.output));
}

// Parameters: in, out, the epilogue's operands, the bias if any; on the input side the floats between
// elements and rows. `output_name` is of the output side.
llvm::Function* tile_function(Emitter& e, Tile tile, llvm::StringRef output_name) {
  const std::string name = tile.input() ? input_name(e, tile) : output_name.str();
  if (llvm::Function* known = e.module.getFunction(name)) return known;
  const size_t operands = tile.step.inputs.size() - 1;
  llvm::SmallVector<llvm::Type*> parameters(2 + operands + (tile.kernel.has_bias ? 1 : 0), e.ptr);
  if (tile.input()) parameters.append(2, e.i64);
  return e.outlined(name, parameters, [&](llvm::Function* function) {
    // Only the operands of the epilogue may be where the output is.
    function->addParamAttr(0, llvm::Attribute::NoAlias);
    unsigned next = 0;
    tile.in = function->getArg(next++);
    tile.out = function->getArg(next++);
    for (size_t i = 0; i < operands; ++i) tile.operands.push_back(function->getArg(next++));
    if (tile.kernel.has_bias) tile.bias = function->getArg(next++);
    tile.element_floats =
        tile.input() ? Index(function->getArg(next++)) : Index(element_floats(tile.x(), tile.kernel));
    if (tile.input()) tile.row_floats = function->getArg(next++);
    const int exist = tile.is_last_block && !tile.input() ? last_block_lanes(tile.step.output) : 16;
    // A vector register at a time: a tile's intermediate values are many.
    const int width = std::min(e.target.vector_lanes, static_cast<int>(kChannelBlock));
    for (int first = 0; first < exist; first += width)
      tile.input() ? emit_input(e, tile, first, width) : emit_output(e, tile, first, width);
  });
}

// ---- the kernel function

// The row of tiles `at` of one block.
class RowOfTiles {
 public:
  RowOfTiles(Emitter& e, const Step& step, const WinogradKernel& kernel, const KernelArguments& arguments)
      : e_(e),
        step_(step),
        kernel_(kernel),
        arguments_(arguments),
        rows_(make_axis(kernel, kernel.shape.ih, kernel.shape.oh, kernel.shape.pad_top)),
        columns_(make_axis(kernel, kernel.shape.iw, kernel.shape.ow, kernel.shape.pad_left)),
        name_(e.builder.GetInsertBlock()->getParent()->getName().str()) {
    const int64_t channels = input() ? kernel.shape.ic : kernel.shape.oc;
    block_class_.assign(static_cast<size_t>(ceil_div(channels, kChannelBlock)), 0);
    if (masked(step)) block_class_.back() = block_class_.size() > 1 ? 1 : 0;
  }

  int64_t rows() const { return static_cast<int64_t>(rows_.class_of.size()); }

  void emit(const UnitIndex& at) const {
    emit_by_class(e_, at.outer, block_class_, [&](int block) {
      const bool last = masked(step_) && block == block_class_.back();
      emit_by_class(e_, at.row, rows_.class_of, [&](int row) { emit_row(at, last, row); });
    });
  }

 private:
  bool input() const { return kernel_.side == WinogradKernel::Side::input; }

  // Runs of tiles of equal class.
  void emit_row(const UnitIndex& at, bool last_block, int row) const {
    const std::vector<int>& classes = columns_.class_of;
    for (size_t begin = 0, end = 0; begin < classes.size(); begin = end) {
      while (end < classes.size() && classes[end] == classes[begin]) ++end;
      const auto column = static_cast<size_t>(classes[begin]);
      Tile tile{step_, kernel_, rows_.classes[static_cast<size_t>(row)], columns_.classes[column],
                last_block};
      const std::string name = name_ + (last_block ? ".last" : "") + ".rows" + std::to_string(row) +
                               ".columns" + std::to_string(column);
      llvm::Function* function = tile_function(e_, tile, name);
      e_.for_range(static_cast<int64_t>(begin), static_cast<int64_t>(end), 1,
                   [&](llvm::Value* x) { e_.builder.CreateCall(function, arguments_of(at, x)); });
    }
  }

  Values arguments_of(const UnitIndex& at, llvm::Value* x) const {
    const ConvShape& shape = kernel_.shape;
    const BlockIndex tile{at.image, at.outer, at.row, x};
    BlockIndex pixel{at.image, at.outer, e_.mul(at.row, kernel_.outputs), e_.mul(x, kernel_.outputs)};
    if (input()) {
      pixel.h = e_.sub(pixel.h, shape.pad_top);
      pixel.w = e_.sub(pixel.w, shape.pad_left);
    }
    Values call{block_address(e_, step_.inputs[0], arguments_.inputs[0], input() ? pixel : tile),
                block_address(e_, step_.output, arguments_.out, input() ? tile : pixel)};
    for (size_t i = 1; i < step_.inputs.size(); ++i)
      call.push_back(block_address(e_, step_.inputs[i], arguments_.inputs[i], pixel));
    if (kernel_.has_bias) call.push_back(e_.element(arguments_.weights[0], e_.mul(at.outer, kChannelBlock)));
    if (input()) {
      call.push_back(e_.integer(element_floats(step_.output, kernel_)));
      call.push_back(e_.integer(step_.inputs[0].stride_h));
    }
    return call;
  }

  Emitter& e_;
  const Step& step_;
  const WinogradKernel& kernel_;
  const KernelArguments& arguments_;
  TileAxis rows_, columns_;
  std::string name_;
  std::vector<int> block_class_;  // 1 (or 0 if it is the only one) for a masked last block
};

}  // namespace

void emit_winograd(Emitter& e, const Step& step, const WinogradKernel& kernel,
                   const KernelArguments& arguments) {
  const RowOfTiles row(e, step, kernel, arguments);
  for_units(e, step, arguments, {kernel.shape.n, row.rows()}, [&](const UnitIndex& at) { row.emit(at); });
}

}  // namespace cardinal
