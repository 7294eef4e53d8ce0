// wgmma: products of matrices in shared memory that the four warps of a warpgroup issue together and wait for
// later (PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions"). Each warp computes its 16 of 64 rows.
// A product reads its matrices when it is issued and holds them until the wait that retires it: to write
// there in between is an error, whenever the hardware would have read.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "tests/simt/cta.h"
#include "tests/simt/half.h"

namespace cardinal::simt {

namespace {

using enum Operation::Scope;

constexpr uint32_t kRows = 64, kWarpRows = kRows / kWarpsOfGroup, kDepth = 16, kMostColumns = 256;
constexpr uint32_t kVectorBytes = 16, kVectorsOfRow = kDepth * 2 / kVectorBytes;

uint32_t warp_of(const WarpCall& c) { return c.first_thread / kWarpSize; }

// ---- matrices

// PTX ISA, "Matrix Descriptor Format".
struct Descriptor {
  uint32_t address, leading_bytes, stride_bytes, base_offset;
  uint32_t row_vectors;  // of 16 bytes, in a row of the swizzle: 8 for 128 bytes, 4, 2; 1 without one
};

std::optional<std::string> decode(uint64_t bits, Descriptor& d) {
  const auto field = [bits](int first, int count) {
    return static_cast<uint32_t>(bits >> first & ((uint64_t{1} << count) - 1));
  };
  if (field(14, 2) || field(30, 2) || field(46, 3) || field(52, 10))
    return fmt::format("the matrix descriptor {:#018x} has bits set that mean nothing", bits);
  constexpr std::array<uint32_t, 4> kRowVectors = {1, 8, 4, 2};  // by swizzle mode
  d = {field(0, 14) * 16, field(16, 14) * 16, field(32, 14) * 16, field(49, 3), kRowVectors[field(62, 2)]};
  if (d.base_offset) return "a matrix descriptor's base offset is not emulated";
  // A swizzle's pattern repeats every 8 rows, from multiples of as many bytes on.
  if (d.row_vectors > 1 && d.address % (8 * 16 * d.row_vectors) >= 16 * d.row_vectors)
    return fmt::format("the matrix at offset {} of shared memory begins within a swizzle's pattern",
                       d.address);
  return {};
}

// Of vector `vector` of a row, K-major. Rows are in groups of 8, stride_bytes apart; without a swizzle the
// vectors are leading_bytes apart. A swizzle exchanges a row's vectors by bits 7 to 9 of the address.
uint32_t vector_offset(const Descriptor& d, uint32_t row, uint32_t vector) {
  const uint32_t step = d.row_vectors == 1 ? d.leading_bytes : kVectorBytes;
  const uint32_t at =
      d.address + row / 8 * d.stride_bytes + row % 8 * kVectorBytes * d.row_vectors + vector * step;
  return at ^ (at >> 7 & (d.row_vectors - 1)) << 4;
}

float widen(uint16_t bits, bool half) {
  return half ? _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)))
              : std::bit_cast<float>(uint32_t{bits} << 16);
}

using Row = std::array<float, kDepth>;

// Reads rows [first, first + rows.size()) and notes where. False if the warp must not.
bool read_rows(const WarpCall& c, const Descriptor& d, uint32_t first, bool half, std::span<Row> rows,
               std::vector<SharedRange>& reads) {
  for (uint32_t r = 0; r < rows.size(); ++r)
    for (uint32_t v = 0; v < kVectorsOfRow; ++v) {
      const uint32_t offset = vector_offset(d, first + r, v);
      if (const auto problem = c.cta.shared().begin_matrix_read(warp_of(c), offset, kVectorBytes)) {
        c.cta.fail(c.first_thread, c.site, *problem);
        return false;
      }
      reads.push_back({offset, offset + kVectorBytes});
      std::array<uint16_t, 8> bits;
      std::memcpy(bits.data(), SharedMemory::base() + offset, kVectorBytes);
      for (uint32_t i = 0; i < 8; ++i) rows[r][v * 8 + i] = widen(bits[i], half);
    }
  return true;
}

// ---- sums

// NaNs that nothing else makes: these 16 bits, then the number of the thread's sum.
constexpr uint32_t kPendingMark = 0xffd5;

bool is_pending(Slot sum) { return static_cast<uint32_t>(sum) >> 16 == kPendingMark; }

PendingSum& pending(Thread& thread, Slot sum) { return thread.sums[sum & 0xffff]; }

// Adds one element's product to the sum in a register, which then names a pending one. False if the register
// may have changed with no fence since.
bool change_sum(const WarpCall& c, Thread& thread, Slot sum, float product, Slot& out) {
  const WarpProducts& warp = c.cta.products(warp_of(c));
  if (!is_pending(sum)) {
    if (!warp.registers_fenced) return false;
    thread.sums.push_back({as_float(sum), 0});
    sum = kPendingMark << 16 | static_cast<uint32_t>(thread.sums.size() - 1);
  }
  PendingSum& changed = pending(thread, sum);
  changed.value += product;
  changed.product = warp.issued;
  out = sum;
  return true;
}

constexpr int kBfloat = 1024;  // detail: the columns, and this if not of half

// in = descriptors of A and B, then the sums; sum i of lane l is of row l / 4 (and 8 rows on), columns
// l % 4 * 2 and the next of every 8.
void multiply(const WarpCall& c) {
  const int detail = c.site.operation->detail;
  const bool half = !(detail & kBfloat);
  const auto columns = static_cast<uint32_t>(detail & ~kBfloat), warp = warp_of(c);
  const uint64_t a_bits = c.in(0)[0], b_bits = c.in(0)[1];
  const auto refuse = [&](const std::string& message) { c.cta.fail(c.first_thread, c.site, message); };
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    if (c.in(lane)[0] != a_bits || c.in(lane)[1] != b_bits)
      return refuse("the matrix descriptors differ within the warp");
  if (!c.cta.note_product(warp, {&c.site, a_bits, b_bits}))
    return refuse("the warps of the warpgroup make different products");
  Descriptor a{}, b{};
  for (auto [bits, descriptor] : {std::pair(a_bits, &a), std::pair(b_bits, &b)})
    if (const auto problem = decode(bits, *descriptor)) return refuse(*problem);

  WarpProducts& products = c.cta.products(warp);
  std::array<Row, kWarpRows> a_rows;
  std::array<Row, kMostColumns> b_rows;
  products.open.last = products.issued;
  if (!read_rows(c, a, warp % kWarpsOfGroup * kWarpRows, half, a_rows, products.open.reads) ||
      !read_rows(c, b, 0, half, std::span(b_rows).first(columns), products.open.reads))
    return;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    for (uint32_t i = 0; i < columns / 2; ++i) {
      const Row& row = a_rows[lane / 4 + i / 2 % 2 * 8];
      const Row& column = b_rows[i / 4 * 8 + lane % 4 * 2 + i % 2];
      float product = 0;
      for (uint32_t k = 0; k < kDepth; ++k) product += row[k] * column[k];
      if (!change_sum(c, c.cta.thread(c.first_thread + lane), c.in(lane)[2 + i], product, c.out(lane)[i]))
        return refuse("sums are changed with no wgmma.fence after the last wait");
    }
}

void fence_registers(const WarpCall& c) { c.cta.products(warp_of(c)).registers_fenced = true; }

// in = sums
void begin(const WarpCall& c) {
  fence_registers(c);
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) std::copy_n(c.in(lane), c.site.arguments, c.out(lane));
}

void commit(const WarpCall& c) {
  WarpProducts& products = c.cta.products(warp_of(c));
  products.open.last = products.issued;
  products.committed.push_back(std::move(products.open));
  products.open = {};
}

void retire_all_but(const WarpCall& c, size_t left) {
  WarpProducts& products = c.cta.products(warp_of(c));
  products.registers_fenced = false;
  for (; products.committed.size() > left; products.committed.pop_front()) {
    for (const SharedRange& read : products.committed.front().reads)
      c.cta.shared().end_matrix_read(warp_of(c), read.begin, read.end - read.begin);
    products.retired = products.committed.front().last;
  }
}

void wait_group(const WarpCall& c) { retire_all_but(c, c.in(0)[0]); }

// in = sums
void finish(const WarpCall& c) {
  retire_all_but(c, 0);
  const WarpProducts& products = c.cta.products(warp_of(c));
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    Thread& thread = c.cta.thread(c.first_thread + lane);
    for (uint32_t i = 0; i < c.site.arguments; ++i) {
      const Slot sum = c.in(lane)[i];
      const bool done = is_pending(sum) && pending(thread, sum).product <= products.retired;
      c.out(lane)[i] = done ? as_slot(pending(thread, sum).value) : sum;
    }
  }
}

constexpr Operation kOperations[] = {
    {"wgmma.fence.sync.aligned", warp, nullptr, fence_registers},
    {"wgmma.commit_group.sync.aligned", warp, nullptr, commit},
    {"wgmma.wait_group.sync.aligned", warp, nullptr, wait_group},
};

constexpr Operation kOnSums[] = {
    {"wgmma.fence.sync.aligned;", warp, nullptr, begin},
    {"wgmma.wait_group.sync.aligned 0;", warp, nullptr, finish},
};
constexpr Operation kProducts[] = {
    {"wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16", warp, nullptr, multiply, -1, 32},
    {"wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16", warp, nullptr, multiply, -1, 64},
    {"wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16", warp, nullptr, multiply, -1, 128},
    {"wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16", warp, nullptr, multiply, -1, 256},
    {"wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16", warp, nullptr, multiply, -1, 32 | kBfloat},
    {"wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16", warp, nullptr, multiply, -1, 64 | kBfloat},
    {"wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16", warp, nullptr, multiply, -1, 128 | kBfloat},
    {"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16", warp, nullptr, multiply, -1, 256 | kBfloat},
};

// "name {$0, ..., $n-1}, $n, $n+1, 1, 1, 1, 0, 0;": sums += A * B, neither negated nor transposed.
std::string spelling(const Operation& product) {
  const auto sums = static_cast<size_t>(product.detail & ~kBfloat) / 2;
  std::string text = std::string(product.name) + " {";
  for (size_t i = 0; i < sums; ++i) text += fmt::format("{}${}", i ? ", " : "", i);
  return text + fmt::format("}}, ${}, ${}, 1, 1, 1, 0, 0;", sums, sums + 1);
}

std::string constraints_of(size_t sums, size_t inputs) {
  std::string text;
  for (size_t i = 0; i < sums; ++i) text += "=f,";
  for (size_t i = 0; i < inputs; ++i) text += "l,";
  for (size_t i = 0; i < sums; ++i) text += fmt::format("{},", i);
  return text + "~{memory}";
}

}  // namespace

std::span<const Operation> wgmma_operations() { return kOperations; }

const Operation* find_assembly(std::string_view text, std::string_view constraints) {
  const auto sums = static_cast<size_t>(std::count(constraints.begin(), constraints.end(), '='));
  for (const Operation& operation : kOnSums)
    if (text == operation.name) return constraints == constraints_of(sums, 0) ? &operation : nullptr;
  for (const Operation& product : kProducts)
    if (text == spelling(product) && sums * 2 == static_cast<size_t>(product.detail & ~kBfloat) &&
        constraints == constraints_of(sums, 2))
      return &product;
  return nullptr;
}

}  // namespace cardinal::simt
