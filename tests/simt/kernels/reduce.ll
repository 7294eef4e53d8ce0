; y[cta] = the sum of x[cta * 128 + t] over the 128 threads t, by halves in shared memory.
target datalayout = "e-p6:32:32-i64:64-i128:128-i256:256-v16:16-v32:32-n16:32:64"
target triple = "nvptx64-nvidia-cuda"

@sums = external addrspace(3) global [0 x float], align 16 ; 128 of them, given by the launch

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)

define ptx_kernel void @reduce(ptr addrspace(1) %x, ptr addrspace(1) %y) "nvvm.reqntid"="128,1,1" {
entry:
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %cta = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %first = mul i32 %cta, 128
  %i = add i32 %first, %t
  %x.i = getelementptr float, ptr addrspace(1) %x, i32 %i
  %value = load float, ptr addrspace(1) %x.i, align 4
  %mine = getelementptr float, ptr addrspace(3) @sums, i32 %t
  store float %value, ptr addrspace(3) %mine, align 4
  br label %loop
loop:
  %half = phi i32 [64, %entry], [%quarter, %next]
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0) ; <barrier>
  %adds = icmp ult i32 %t, %half
  br i1 %adds, label %add, label %next
add:
  %other.index = add i32 %t, %half
  %other = getelementptr float, ptr addrspace(3) @sums, i32 %other.index ; <other>
  %a = load float, ptr addrspace(3) %mine, align 4
  %b = load float, ptr addrspace(3) %other, align 4
  %sum = fadd float %a, %b
  ; <divergent barrier>
  store float %sum, ptr addrspace(3) %mine, align 4
  br label %next
next:
  %quarter = lshr i32 %half, 1
  %done = icmp eq i32 %quarter, 0
  br i1 %done, label %end, label %loop
end:
  %is.first = icmp eq i32 %t, 0
  br i1 %is.first, label %store, label %exit
store:
  %total = load float, ptr addrspace(3) %mine, align 4
  %y.cta = getelementptr float, ptr addrspace(1) %y, i32 %cta
  store float %total, ptr addrspace(1) %y.cta, align 4
  br label %exit
exit:
  ret void
}
