// Matrix operations of a warp: ldmatrix, stmatrix and mma.sync. Which lane holds which element: PTX ISA,
// "Matrix Fragments for mma.m16n8k16" and the sections beside it. Below g = lane / 4, q = lane % 4.
#include <immintrin.h>

#include <bit>
#include <cstring>

#include "tests/simt/cta.h"

namespace cardinal::simt {

namespace {

using enum Operation::Scope;

constexpr uint32_t kMatrixRows = 8, kRowBytes = 16;
constexpr int kTransposed = 8;  // detail: the number of matrices, plus this

unsigned char* row_address(const WarpCall& c, uint32_t matrix, uint32_t row) {
  return reinterpret_cast<unsigned char*>(c.in(matrix * kMatrixRows + row)[0]);
}

// The rows' addresses come from lanes 0 to 7 for the first matrix, 8 to 15 for the second, and so on.
bool check_rows(const WarpCall& c, uint32_t matrices, bool write) {
  for (uint32_t lane = 0; lane < matrices * kMatrixRows; ++lane) {
    const auto* address = reinterpret_cast<const void*>(c.in(lane)[0]);
    if (c.in(lane)[0] % kRowBytes) {
      c.cta.fail(c.first_thread + lane, c.site, "the address of a row is not aligned to 16 bytes");
      return false;
    }
    if (!c.cta.check(c.first_thread + lane, address, kRowBytes, write, c.site)) return false;
  }
  return true;
}

// Lane l holds elements (g, 2q) and (g, 2q + 1) of each matrix, of its transpose if asked.
void load_matrix(const WarpCall& c) {
  const bool transposed = c.site.operation->detail & kTransposed;
  const auto matrices = static_cast<uint32_t>(c.site.operation->detail & ~kTransposed);
  if (!check_rows(c, matrices, false)) return;
  for (uint32_t m = 0; m < matrices; ++m) {
    uint16_t elements[kMatrixRows][kMatrixRows];
    for (uint32_t r = 0; r < kMatrixRows; ++r) std::memcpy(elements[r], row_address(c, m, r), kRowBytes);
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      const uint32_t g = lane / 4, q2 = lane % 4 * 2;
      const uint32_t low = transposed ? elements[q2][g] : elements[g][q2];
      const uint32_t high = transposed ? elements[q2 + 1][g] : elements[g][q2 + 1];
      c.out(lane)[m] = low | high << 16;
    }
  }
}

// in = address, then one register for each matrix
void store_matrix(const WarpCall& c) {
  const bool transposed = c.site.operation->detail & kTransposed;
  const auto matrices = static_cast<uint32_t>(c.site.operation->detail & ~kTransposed);
  if (!check_rows(c, matrices, true)) return;
  for (uint32_t m = 0; m < matrices; ++m) {
    uint16_t elements[kMatrixRows][kMatrixRows];
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      const uint32_t g = lane / 4, q2 = lane % 4 * 2;
      const auto pair = static_cast<uint32_t>(c.in(lane)[1 + m]);
      (transposed ? elements[q2][g] : elements[g][q2]) = static_cast<uint16_t>(pair);
      (transposed ? elements[q2 + 1][g] : elements[g][q2 + 1]) = static_cast<uint16_t>(pair >> 16);
    }
    for (uint32_t r = 0; r < kMatrixRows; ++r) std::memcpy(row_address(c, m, r), elements[r], kRowBytes);
  }
}

// An operand as floats: A[row][k] and B[k][column].
struct Operands {
  alignas(32) float a[16][16];
  alignas(32) float b[16][8];
};

struct Half {
  static constexpr uint32_t kPerRegister = 2;
  static float element(uint32_t bits, uint32_t i) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(bits >> (16 * i) & 0xffff))));
  }
};
struct Bfloat {
  static constexpr uint32_t kPerRegister = 2;
  static float element(uint32_t bits, uint32_t i) {
    return std::bit_cast<float>(i ? bits & 0xffff0000u : bits << 16);
  }
};
struct Tf32 {  // the low 13 bits are ignored
  static constexpr uint32_t kPerRegister = 1;
  static float element(uint32_t bits, uint32_t) { return std::bit_cast<float>(bits & ~0x1fffu); }
};

// Register i of A holds elements of row g + 8 (i % 2) from column p (q + 4 (i / 2)) on, where p is how many
// elements there are in a register; register i of B those of column g from row p (q + 4 i) on.
template <class Element, uint32_t kK>
Operands gather(const WarpCall& c) {
  constexpr uint32_t p = Element::kPerRegister, kHalves = kK / (4 * p);
  Operands m;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    const Slot* in = c.in(lane);
    const uint32_t g = lane / 4, q = lane % 4;
    for (uint32_t h = 0; h < kHalves; ++h)
      for (uint32_t e = 0; e < p; ++e) {
        const uint32_t k = p * (q + 4 * h) + e;
        m.a[g][k] = Element::element(static_cast<uint32_t>(in[2 * h]), e);
        m.a[g + 8][k] = Element::element(static_cast<uint32_t>(in[2 * h + 1]), e);
        m.b[k][g] = Element::element(static_cast<uint32_t>(in[2 * kHalves + h]), e);
      }
  }
  return m;
}

// D = A B + C, in float. Lane l holds elements (g, 2q), (g, 2q + 1), (g + 8, 2q) and (g + 8, 2q + 1) of C and
// D.
template <class Element, uint32_t kK>
void multiply(const WarpCall& c) {
  constexpr uint32_t kRegisters = 3 * kK / (4 * Element::kPerRegister);  // of A and B
  const Operands m = gather<Element, kK>(c);
  alignas(32) float d[16][8];
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    for (uint32_t i = 0; i < 4; ++i)
      d[lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2] = as_float(c.in(lane)[kRegisters + i]);
  for (uint32_t r = 0; r < 16; ++r) {
    __m256 sum = _mm256_load_ps(d[r]);
    for (uint32_t k = 0; k < kK; ++k)
      sum = _mm256_fmadd_ps(_mm256_set1_ps(m.a[r][k]), _mm256_load_ps(m.b[k]), sum);
    _mm256_store_ps(d[r], sum);
  }
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    for (uint32_t i = 0; i < 4; ++i)
      c.out(lane)[i] = as_slot(d[lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2]);
}

constexpr Operation kOperations[] = {
    {"ldmatrix.sync.aligned.m8n8.x1.b16", warp, nullptr, load_matrix, -1, 1},
    {"ldmatrix.sync.aligned.m8n8.x2.b16", warp, nullptr, load_matrix, -1, 2},
    {"ldmatrix.sync.aligned.m8n8.x4.b16", warp, nullptr, load_matrix, -1, 4},
    {"ldmatrix.sync.aligned.m8n8.x1.trans.b16", warp, nullptr, load_matrix, -1, 1 | kTransposed},
    {"ldmatrix.sync.aligned.m8n8.x2.trans.b16", warp, nullptr, load_matrix, -1, 2 | kTransposed},
    {"ldmatrix.sync.aligned.m8n8.x4.trans.b16", warp, nullptr, load_matrix, -1, 4 | kTransposed},
    {"stmatrix.sync.aligned.m8n8.x1.b16", warp, nullptr, store_matrix, -1, 1},
    {"stmatrix.sync.aligned.m8n8.x2.b16", warp, nullptr, store_matrix, -1, 2},
    {"stmatrix.sync.aligned.m8n8.x4.b16", warp, nullptr, store_matrix, -1, 4},
    {"stmatrix.sync.aligned.m8n8.x1.trans.b16", warp, nullptr, store_matrix, -1, 1 | kTransposed},
    {"stmatrix.sync.aligned.m8n8.x2.trans.b16", warp, nullptr, store_matrix, -1, 2 | kTransposed},
    {"stmatrix.sync.aligned.m8n8.x4.trans.b16", warp, nullptr, store_matrix, -1, 4 | kTransposed},
    {"mma.m16n8k16.row.col.f32.f32", warp, nullptr, multiply<Half, 16>},
    {"mma.m16n8k8.row.col.f32.f32", warp, nullptr, multiply<Half, 8>},
    {"mma.m16n8k16.row.col.bf16", warp, nullptr, multiply<Bfloat, 16>},
    {"mma.m16n8k8.row.col.bf16", warp, nullptr, multiply<Bfloat, 8>},
    {"mma.m16n8k8.row.col.tf32", warp, nullptr, multiply<Tf32, 8>},
};

}  // namespace

std::span<const Operation> matrix_operations() { return kOperations; }

}  // namespace cardinal::simt
