// Operations of one thread: special registers and arithmetic. Approximate instructions are computed exactly;
// their results may differ from a GPU's in the last bits (PTX ISA, "Floating-Point Instructions").
#include <algorithm>
#include <cmath>

#include "tests/simt/cta.h"
#include "tests/simt/half.h"

namespace cardinal::simt {

namespace {

using enum Operation::Scope;

uint32_t component(const Dim3& d, int i) { return i == 0 ? d.x : i == 1 ? d.y : d.z; }

void thread_index(const ThreadCall& c) { c.out[0] = component(c.thread.index, c.site.operation->detail); }
void block_extent(const ThreadCall& c) {
  c.out[0] = component(c.cta.launch().block, c.site.operation->detail);
}
void cta_index(const ThreadCall& c) { c.out[0] = component(c.cta.cta_index(), c.site.operation->detail); }
void grid_extent(const ThreadCall& c) { c.out[0] = component(c.cta.launch().grid, c.site.operation->detail); }
void lane_index(const ThreadCall& c) { c.out[0] = c.thread.id % kWarpSize; }
void warp_size(const ThreadCall& c) { c.out[0] = kWarpSize; }

template <float (*kFunction)(float)>
void unary(const ThreadCall& c) {
  c.out[0] = as_slot(kFunction(as_float(c.in[0])));
}
float reciprocal_root(float x) { return 1 / std::sqrt(x); }
float reciprocal(float x) { return 1 / x; }
float root(float x) { return std::sqrt(x); }
float power_of_two(float x) { return std::exp2(x); }
float logarithm(float x) { return std::log2(x); }

void divide(const ThreadCall& c) { c.out[0] = as_slot(as_float(c.in[0]) / as_float(c.in[1])); }
// Of a number and a NaN, the number.
void minimum(const ThreadCall& c) { c.out[0] = as_slot(std::fmin(as_float(c.in[0]), as_float(c.in[1]))); }
void maximum(const ThreadCall& c) { c.out[0] = as_slot(std::fmax(as_float(c.in[0]), as_float(c.in[1]))); }
void fused_multiply_add(const ThreadCall& c) {
  c.out[0] = as_slot(std::fma(as_float(c.in[0]), as_float(c.in[1]), as_float(c.in[2])));
}

constexpr int kRelu = 1;
// NaN stays NaN.
float relu(float x, int detail) { return detail == kRelu && x < 0 ? 0 : x; }

void to_half(const ThreadCall& c) {
  c.out[0] = float_to_half(relu(as_float(c.in[0]), c.site.operation->detail));
}
void to_bfloat(const ThreadCall& c) {
  c.out[0] = float_to_bfloat(relu(as_float(c.in[0]), c.site.operation->detail));
}
// The first argument goes to the upper half.
template <uint16_t (*kConvert)(float)>
void to_pair(const ThreadCall& c) {
  const int detail = c.site.operation->detail;
  c.out[0] =
      uint32_t{kConvert(relu(as_float(c.in[0]), detail))} << 16 | kConvert(relu(as_float(c.in[1]), detail));
}

// Rounds to 10 bits of fraction, ties away from zero.
void to_tf32(const ThreadCall& c) {
  const auto bits = static_cast<uint32_t>(c.in[0]);
  const bool finite = (bits >> 23 & 0xff) != 0xff;
  c.out[0] = finite ? (bits + 0x1000u) & ~0x1fffu : bits;
}

// Each byte of the result is one of the 8 bytes of b:a, or its sign.
void permute(const ThreadCall& c) {
  const uint64_t bytes = (c.in[1] & 0xffffffffu) << 32 | (c.in[0] & 0xffffffffu);
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const auto selector = static_cast<uint32_t>(c.in[2] >> (4 * i) & 0xf);
    auto byte = static_cast<uint32_t>(bytes >> (8 * (selector & 7)) & 0xff);
    if (selector & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  c.out[0] = result;
}

void no_effect(const ThreadCall&) {}

constexpr Operation kOperations[] = {
    {"read.ptx.sreg.tid.x", thread, thread_index, nullptr, 0, 0},
    {"read.ptx.sreg.tid.y", thread, thread_index, nullptr, 0, 1},
    {"read.ptx.sreg.tid.z", thread, thread_index, nullptr, 0, 2},
    {"read.ptx.sreg.ntid.x", thread, block_extent, nullptr, 0, 0},
    {"read.ptx.sreg.ntid.y", thread, block_extent, nullptr, 0, 1},
    {"read.ptx.sreg.ntid.z", thread, block_extent, nullptr, 0, 2},
    {"read.ptx.sreg.ctaid.x", thread, cta_index, nullptr, 0, 0},
    {"read.ptx.sreg.ctaid.y", thread, cta_index, nullptr, 0, 1},
    {"read.ptx.sreg.ctaid.z", thread, cta_index, nullptr, 0, 2},
    {"read.ptx.sreg.nctaid.x", thread, grid_extent, nullptr, 0, 0},
    {"read.ptx.sreg.nctaid.y", thread, grid_extent, nullptr, 0, 1},
    {"read.ptx.sreg.nctaid.z", thread, grid_extent, nullptr, 0, 2},
    {"read.ptx.sreg.laneid", thread, lane_index},
    {"read.ptx.sreg.warpsize", thread, warp_size},
    {"ex2.approx.f", thread, unary<power_of_two>},
    {"ex2.approx.f32", thread, unary<power_of_two>},
    {"ex2.approx.ftz.f", thread, unary<power_of_two>},
    {"ex2.approx.ftz.f32", thread, unary<power_of_two>},
    {"lg2.approx.f", thread, unary<logarithm>},
    {"lg2.approx.ftz.f", thread, unary<logarithm>},
    {"rsqrt.approx.f", thread, unary<reciprocal_root>},
    {"rsqrt.approx.ftz.f", thread, unary<reciprocal_root>},
    {"sqrt.approx.f", thread, unary<root>},
    {"sqrt.approx.ftz.f", thread, unary<root>},
    {"rcp.approx.ftz.f", thread, unary<reciprocal>},
    {"div.approx.f", thread, divide},
    {"div.approx.ftz.f", thread, divide},
    {"fmin.f", thread, minimum},
    {"fmax.f", thread, maximum},
    {"fma.rn.f", thread, fused_multiply_add},
    {"f2f16.rn", thread, to_half},
    {"f2f16.rn.relu", thread, to_half, nullptr, 0, kRelu},
    {"f2bf16.rn", thread, to_bfloat},
    {"f2bf16.rn.relu", thread, to_bfloat, nullptr, 0, kRelu},
    {"ff2f16x2.rn", thread, to_pair<float_to_half>},
    {"ff2f16x2.rn.relu", thread, to_pair<float_to_half>, nullptr, 0, kRelu},
    {"ff2bf16x2.rn", thread, to_pair<float_to_bfloat>},
    {"ff2bf16x2.rn.relu", thread, to_pair<float_to_bfloat>, nullptr, 0, kRelu},
    {"f2tf32.rna", thread, to_tf32},
    {"prmt", thread, permute},
    // Memory is in order here.
    {"membar.cta", thread, no_effect},
    {"membar.gl", thread, no_effect},
};

}  // namespace

std::span<const Operation> thread_operations() { return kOperations; }

const Operation* find_operation(std::string_view name) {
  for (std::span<const Operation> table : {thread_operations(), copy_operations(), warp_operations(),
                                           matrix_operations(), async_operations(), wgmma_operations()})
    for (const Operation& operation : table)
      if (operation.name == name) return &operation;
  return nullptr;
}

}  // namespace cardinal::simt
