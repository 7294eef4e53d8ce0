// Tensor types: element type, logical shape, and the orders a tensor can have in memory.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cardinal {

enum class DType : uint8_t { f32, f16, bf16 };

// The order of a rank-4 tensor's elements in memory. Rank 1 and 2 tensors are row-major under nchw.
// nchw16c is [n][ceil(c/16)][h][w][16]: what every kernel vectorises over, on every target.
enum class Layout : uint8_t { nchw, nhwc, nchw16c };

inline constexpr int64_t kChannelBlock = 16;

inline constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Logical dimensions, always in the order N, C, H, W (or N, C; or a parameter's own, such as OC, IC, KH, KW).
class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    assert(dims.size() <= kMaxRank);
    for (int i = 0; i < rank_; ++i) dims_[i] = dims[i];
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const {
    assert(i >= 0 && i < rank_);
    return dims_[i];
  }
  int64_t& operator[](int i) {
    assert(i >= 0 && i < rank_);
    return dims_[i];
  }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  int64_t elements() const;  // product; 1 for rank 0
  bool operator==(const Shape&) const = default;

  // Rank-4 names; h() and w() of a rank-2 shape are 1.
  int64_t n() const { return dims_[0]; }
  int64_t c() const { return dims_[1]; }
  int64_t h() const { return rank_ > 2 ? dims_[2] : 1; }
  int64_t w() const { return rank_ > 3 ? dims_[3] : 1; }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const TensorType&) const = default;
};

int64_t dtype_bytes(DType);
std::string_view to_string(DType);
std::string_view to_string(Layout);
std::optional<DType> parse_dtype(std::string_view);
std::optional<Layout> parse_layout(std::string_view);
std::string to_string(const Shape&);       // "[1, 3, 224, 224]"
std::string to_string(const TensorType&);  // "f32[1, 3, 224, 224]"

// Bounds that keep every size computation inside int64: checked wherever a shape enters or is inferred.
inline constexpr int64_t kMaxDim = int64_t{1} << 24;
inline constexpr int64_t kMaxElements = int64_t{1} << 33;
// "" if the shape is acceptable (every dim in [1, kMaxDim], elements <= kMaxElements), else why not.
std::string shape_problem(const Shape&);

}  // namespace cardinal
