; C[m][n] = sum over k of A[m][k] B[n][k], C in f32 with rows of 16 elements; rows of A and B have 128 bytes.
; A CTA of two warps makes 32 x 8 of C: each warp 16 rows, in 4 steps of 32 bytes of k, of which the next is copied while
; one is used. Grid (M / 32, N / 8). Tests replace the lines that end in a word in angle brackets.
target datalayout = "e-p6:32:32-i64:64-i128:128-i256:256-v16:16-v32:32-n16:32:64"
target triple = "nvptx64-nvidia-cuda"

; Two stages of 32 rows of A, then two of 8 rows of B. Rows are 48 bytes apart.
@tiles = internal addrspace(3) global [3840 x i8] poison, align 16

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
declare i32 @llvm.nvvm.read.ptx.sreg.laneid()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.commit.group()
declare void @llvm.nvvm.cp.async.wait.group(i32 immarg)
declare {i32, i32, i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3))
declare {i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x2.b16.p3(ptr addrspace(3))

define internal void @copy(ptr addrspace(1) %a, ptr addrspace(1) %b, i32 %step) {
entry:
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %cx = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %cy = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
  %stage = and i32 %step, 1
  %row = lshr i32 %t, 1
  %chunk = and i32 %t, 1
  %chunk.bytes = mul i32 %chunk, 16
  %k = mul i32 %step, 32
  %column = add i32 %k, %chunk.bytes
  %in.row = mul i32 %row, 48
  %in.tile = add i32 %in.row, %chunk.bytes
  %a.first = mul i32 %cx, 32
  %a.row = add i32 %a.first, %row
  %a.line = mul i32 %a.row, 128 ; <row of A>
  %a.offset = add i32 %a.line, %column
  %a.from = getelementptr i8, ptr addrspace(1) %a, i32 %a.offset
  %a.stage = mul i32 %stage, 1536
  %a.in = add i32 %a.stage, %in.tile
  %a.to = getelementptr i8, ptr addrspace(3) @tiles, i32 %a.in
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %a.to, ptr addrspace(1) %a.from)
  %has.b = icmp ult i32 %t, 16
  br i1 %has.b, label %copy.b, label %done
copy.b:
  %b.first = mul i32 %cy, 8
  %b.row = add i32 %b.first, %row
  %b.line = mul i32 %b.row, 128
  %b.offset = add i32 %b.line, %column
  %b.from = getelementptr i8, ptr addrspace(1) %b, i32 %b.offset
  %b.stage = mul i32 %stage, 384
  %b.stages = add i32 %b.stage, 3072
  %b.in = add i32 %b.stages, %in.tile
  %b.to = getelementptr i8, ptr addrspace(3) @tiles, i32 %b.in
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %b.to, ptr addrspace(1) %b.from)
  br label %done
done:
  call void @llvm.nvvm.cp.async.commit.group()
  ret void
}

define ptx_kernel void @gemm(ptr addrspace(1) %a, ptr addrspace(1) %b, ptr addrspace(1) %c) "nvvm.reqntid"="64" {
entry:
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %cx = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %cy = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
  %lane = call i32 @llvm.nvvm.read.ptx.sreg.laneid()
  %warp = lshr i32 %t, 5
  %warp.row = mul i32 %warp, 16
  ; the row and the half of it that this lane gives to ldmatrix
  %a.lane = and i32 %lane, 15
  %a.row = add i32 %warp.row, %a.lane
  %a.line = mul i32 %a.row, 48
  %a.half = lshr i32 %lane, 4
  %a.half.bytes = mul i32 %a.half, 16
  %a.at = add i32 %a.line, %a.half.bytes
  %b.row = and i32 %lane, 7
  %b.line = mul i32 %b.row, 48
  %b.shifted = lshr i32 %lane, 3
  %b.half = and i32 %b.shifted, 1
  %b.half.bytes = mul i32 %b.half, 16
  %b.column = add i32 %b.line, %b.half.bytes
  %b.at = add i32 %b.column, 3072
  call void @copy(ptr addrspace(1) %a, ptr addrspace(1) %b, i32 0)
  br label %loop
loop:
  %step = phi i32 [0, %entry], [%next, %used]
  %c0 = phi float [0.0, %entry], [%d0, %used]
  %c1 = phi float [0.0, %entry], [%d1, %used]
  %c2 = phi float [0.0, %entry], [%d2, %used]
  %c3 = phi float [0.0, %entry], [%d3, %used]
  %next = add i32 %step, 1
  %more = icmp ult i32 %next, 4
  br i1 %more, label %ahead, label %last
ahead:
  call void @copy(ptr addrspace(1) %a, ptr addrspace(1) %b, i32 %next)
  call void @llvm.nvvm.cp.async.wait.group(i32 1) ; <wait>
  br label %arrived
last:
  call void @llvm.nvvm.cp.async.wait.group(i32 0) ; <last wait>
  br label %arrived
arrived:
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0) ; <barrier before>
  %stage = and i32 %step, 1
  %a.stage = mul i32 %stage, 1536
  %b.stage = mul i32 %stage, 384
  %a.offset = add i32 %a.at, %a.stage
  %b.offset = add i32 %b.at, %b.stage
  %a.tile = getelementptr i8, ptr addrspace(3) @tiles, i32 %a.offset
  %b.tile = getelementptr i8, ptr addrspace(3) @tiles, i32 %b.offset
  %fa = call {i32, i32, i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %a.tile)
  %fb = call {i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x2.b16.p3(ptr addrspace(3) %b.tile)
  %a0 = extractvalue {i32, i32, i32, i32} %fa, 0
  %a1 = extractvalue {i32, i32, i32, i32} %fa, 1
  %a2 = extractvalue {i32, i32, i32, i32} %fa, 2
  %a3 = extractvalue {i32, i32, i32, i32} %fa, 3
  %b0 = extractvalue {i32, i32} %fb, 0
  %b1 = extractvalue {i32, i32} %fb, 1
  %d = call {float, float, float, float} @multiply(i32 %a0, i32 %a1, i32 %a2, i32 %a3, i32 %b0, i32 %b1, float %c0, float %c1, float %c2, float %c3)
  %d0 = extractvalue {float, float, float, float} %d, 0
  %d1 = extractvalue {float, float, float, float} %d, 1
  %d2 = extractvalue {float, float, float, float} %d, 2
  %d3 = extractvalue {float, float, float, float} %d, 3
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0) ; <barrier after>
  br label %used
used:
  br i1 %more, label %loop, label %store
store:
  %g = lshr i32 %lane, 2
  %q = and i32 %lane, 3
  %q2 = mul i32 %q, 2
  %cta.row = mul i32 %cx, 32
  %first.row = add i32 %cta.row, %warp.row
  %row = add i32 %first.row, %g
  %cta.column = mul i32 %cy, 8
  %column = add i32 %cta.column, %q2
  %line = mul i32 %row, 16
  %index = add i32 %line, %column
  %upper = getelementptr float, ptr addrspace(1) %c, i32 %index
  %lower = getelementptr float, ptr addrspace(1) %upper, i32 128 ; <8 rows on>
  %u0 = insertelement <2 x float> poison, float %d0, i32 0
  %u = insertelement <2 x float> %u0, float %d1, i32 1
  store <2 x float> %u, ptr addrspace(1) %upper, align 8
  %l0 = insertelement <2 x float> poison, float %d2, i32 0
  %l = insertelement <2 x float> %l0, float %d3, i32 1
  store <2 x float> %l, ptr addrspace(1) %lower, align 8
  ret void
}

