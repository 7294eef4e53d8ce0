; y[t] = the sum of x over the 32 threads of t's warp, by butterflies.
target datalayout = "e-p6:32:32-i64:64-i128:128-i256:256-v16:16-v32:32-n16:32:64"
target triple = "nvptx64-nvidia-cuda"

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare float @llvm.nvvm.shfl.sync.bfly.f32(i32, float, i32, i32)

define ptx_kernel void @shuffle(ptr addrspace(1) %x, ptr addrspace(1) %y) {
entry:
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %x.t = getelementptr float, ptr addrspace(1) %x, i32 %t
  %value = load float, ptr addrspace(1) %x.t, align 4
  br label %loop
loop:
  %distance = phi i32 [16, %entry], [%half, %loop.end]
  %sum = phi float [%value, %entry], [%new, %loop.end]
  br label %together ; <some lanes>
together:
  %other = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %sum, i32 %distance, i32 31) ; <shuffle>
  br label %loop.end
loop.end:
  %new = fadd float %sum, %other
  %half = lshr i32 %distance, 1
  %done = icmp eq i32 %half, 0
  br i1 %done, label %end, label %loop
end:
  %y.t = getelementptr float, ptr addrspace(1) %y, i32 %t
  store float %new, ptr addrspace(1) %y.t, align 4
  ret void
}
