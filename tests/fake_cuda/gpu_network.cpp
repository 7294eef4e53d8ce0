#include "tests/fake_cuda/gpu_network.h"

#include <algorithm>

namespace {

constexpr cardinal_gpu_pointer kScalePointers[] = {
    {CARDINAL_GPU_INPUT, 0, 0}, {CARDINAL_GPU_WEIGHTS, 0, 0}, {CARDINAL_GPU_WORKSPACE, 0, 0}};
constexpr cardinal_gpu_pointer kMixPointers[] = {{CARDINAL_GPU_WORKSPACE, 0, 0},
                                                 {CARDINAL_GPU_WEIGHTS, 0, 4 * kFakeElements},
                                                 {CARDINAL_GPU_OUTPUT, 0, 0}};
constexpr cardinal_gpu_launch kScale = {"scale", {1, 1, 1}, {kFakeElements, 1, 1}, 0, 3, kScalePointers};
// More shared memory than a launch gets without asking for it.
constexpr cardinal_gpu_launch kMix = {"mix", {1, 1, 1}, {kFakeElements, 1, 1}, 100 << 10, 3, kMixPointers};
constexpr cardinal_step kSteps[] = {{"layer.scale", "scale", nullptr, 1, 1, 1, 24, 288, 0, 0, 0.5, &kScale},
                                    {"layer.mix", "mix", nullptr, 1, 1, 1, 48, 288, 0, 0, 0.5, &kMix}};
constexpr cardinal_gpu_code kCode = {CARDINAL_GPU_PTX, 80, 0, 0, sizeof kGpuCode, kGpuCode};
constexpr cardinal_gpu kGpu = {1, &kCode};
constexpr cardinal_tensor kTensors[2][2] = {
    {{"x", CARDINAL_F32, CARDINAL_NCHW, 4, 0, {1, 2, 3, 4}, 96},
     {"y", CARDINAL_F32, CARDINAL_NCHW, 2, 0, {1, kFakeElements}, 96}},
    {{"x", CARDINAL_F32, CARDINAL_NCHW, 4, 1, {1, 2, 3, 4}, 96},
     {"y", CARDINAL_F32, CARDINAL_NCHW, 2, 1, {1, kFakeElements}, 96}}};

}  // namespace

std::string gpu_kernels() {
  return R"(
    target triple = "nvptx64-nvidia-cuda"
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    define ptx_kernel void @scale(ptr %x, ptr %w, ptr %s) {
      %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %x.t = getelementptr float, ptr %x, i32 %t
      %w.t = getelementptr float, ptr %w, i32 %t
      %s.t = getelementptr float, ptr %s, i32 %t
      %a = load float, ptr %x.t, align 4
      %b = load float, ptr %w.t, align 4
      %c = fmul float %a, %b
      store float %c, ptr %s.t, align 4
      ret void
    }
    define ptx_kernel void @mix(ptr %s, ptr %w, ptr %y) {
      %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %mirrored = sub i32 23, %t
      %s.t = getelementptr float, ptr %s, i32 %t
      %s.m = getelementptr float, ptr %s, i32 %mirrored
      %y.t = getelementptr float, ptr %y, i32 %t
      %a = load float, ptr %s.t, align 4
      %b = load float, ptr %s.m, align 4
      %c = load float, ptr %w, align 4
      %d = fadd float %a, %b
      %e = fadd float %d, %c
      store float %e, ptr %y.t, align 4
      ret void
    })";
}

cardinal_model gpu_table(bool open_batch) {
  cardinal_model table = fake_cardinal_model;
  table.target = "sm_80";
  table.inputs = &kTensors[open_batch][0];
  table.outputs = &kTensors[open_batch][1];
  table.steps = kSteps;
  table.gpu = &kGpu;
  table.run = nullptr;
  return table;
}

cardinal::Model gpu_model(bool open_batch) {
  static const cardinal_model tables[] = {gpu_table(false), gpu_table(true)};
  return cardinal::Model::from(tables[open_batch]).value();
}

std::vector<float> gpu_input(size_t images, float first) {
  std::vector<float> x(images * kFakeElements);
  for (size_t i = 0; i < x.size(); ++i) x[i] = first + static_cast<float>(i % 7);
  return x;
}

std::vector<float> gpu_result(const std::vector<float>& x) {
  std::vector<float> y;
  for (size_t image = 0; image < x.size(); image += kFakeElements) {
    const std::vector<float> one = fake_result({x.begin() + static_cast<ptrdiff_t>(image),
                                                x.begin() + static_cast<ptrdiff_t>(image) + kFakeElements});
    y.insert(y.end(), one.begin(), one.end());
  }
  return y;
}
