; C[64][32] = A[64][256] * B[32][256]^T in f16, through two stages of A (64 rows of 128 bytes, swizzled) and
; B (32 such rows). Threads 0 to 127 copy, 128 to 255 multiply. Lines in braces are filled in by the test.
target triple = "nvptx64-nvidia-cuda"

@s = internal addrspace(3) global [24608 x i8] poison, align 1024

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3), i32)
declare i64 @llvm.nvvm.mbarrier.arrive.shared(ptr addrspace(3))
declare i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr addrspace(3), i32)
declare i1 @llvm.nvvm.mbarrier.try.wait.parity.scope.cta.space.cta(ptr addrspace(3), i32)
declare void @llvm.nvvm.fence.proxy.async.shared_cta()
declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.mbarrier.arrive.noinc.shared(ptr addrspace(3))
declare void @llvm.nvvm.cp.async.wait.all()
declare void @llvm.nvvm.cp.async.bulk.global.to.shared.cluster(ptr addrspace(7), ptr addrspace(3), ptr addrspace(1), i32, i16, i64, i1, i1)
declare void @llvm.nvvm.wgmma.fence.sync.aligned()
declare void @llvm.nvvm.wgmma.commit_group.sync.aligned()
declare void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64)

define ptx_kernel void @product(ptr addrspace(1) %a.data, ptr addrspace(1) %b.data, ptr addrspace(1) %c.data) {
entry:
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %full0 = getelementptr i8, ptr addrspace(3) @s, i32 24576
  %full1 = getelementptr i8, ptr addrspace(3) @s, i32 24584
  %empty0 = getelementptr i8, ptr addrspace(3) @s, i32 24592
  %empty1 = getelementptr i8, ptr addrspace(3) @s, i32 24600
  %is.first = icmp eq i32 %t, 0
  br i1 %is.first, label %make, label %made
make:
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %full0, i32 129) ; <arrivals>
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %full1, i32 129)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empty0, i32 4)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empty1, i32 4)
  call void @llvm.nvvm.fence.proxy.async.shared_cta() ; <fence of barriers>
  br label %made
made:
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0) ; <barrier>
  %copies = icmp ult i32 %t, 128
  br i1 %copies, label %copy, label %multiply

copy:
  %row = lshr i32 %t, 3
  %vector = and i32 %t, 7
  %key = and i32 %row, 7
  %swizzled = xor i32 %vector, %key
  %swizzled.bytes = mul i32 %swizzled, 16
  %row.bytes = mul i32 %row, 128
  %in.stage = add i32 %row.bytes, %swizzled.bytes
  %row.in.a = mul i32 %row, 512
  %vector.in.a = mul i32 %vector, 16
  %in.a = add i32 %row.in.a, %vector.in.a
  %row.begin = getelementptr i8, ptr addrspace(1) %a.data, i32 %in.a
  br label %copy.step
copy.step:
  %step = phi i32 [0, %copy], [%step.next, %copied]
  %stage = and i32 %step, 1
  %round = lshr i32 %step, 1
  %parity = and i32 %round, 1
  %parity.before = xor i32 %parity, 1
  %barrier.bytes = mul i32 %stage, 8
  %full = getelementptr i8, ptr addrspace(3) %full0, i32 %barrier.bytes
  %empty = getelementptr i8, ptr addrspace(3) %empty0, i32 %barrier.bytes
  %stage.bytes = mul i32 %stage, 12288
  %stage.begin = getelementptr i8, ptr addrspace(3) @s, i32 %stage.bytes
  br label %await.empty
await.empty:
  %is.empty = call i1 @llvm.nvvm.mbarrier.try.wait.parity.scope.cta.space.cta(ptr addrspace(3) %empty, i32 %parity.before)
  br i1 %is.empty, label %emptied, label %await.empty ; <empty>
emptied:
  br i1 %is.first, label %copy.b, label %copy.a
copy.b:
  %bytes.b = add i32 0, 4096 ; <bytes of b>
  call i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr addrspace(3) %full, i32 4096) ; <expect>
  %b.place = getelementptr i8, ptr addrspace(3) %stage.begin, i32 8192
  %b.cluster = addrspacecast ptr addrspace(3) %b.place to ptr addrspace(7)
  %b.offset = mul i32 %step, 4096
  %b.from = getelementptr i8, ptr addrspace(1) %b.data, i32 %b.offset
  call void @llvm.nvvm.cp.async.bulk.global.to.shared.cluster(ptr addrspace(7) %b.cluster, ptr addrspace(3) %full, ptr addrspace(1) %b.from, i32 %bytes.b, i16 0, i64 0, i1 0, i1 0)
  br label %copy.a
copy.a:
  %step.bytes = mul i32 %step, 128
  %row.of.a = getelementptr i8, ptr addrspace(1) %row.begin, i32 %step.bytes
  %place = getelementptr i8, ptr addrspace(3) %stage.begin, i32 %in.stage
; {copies}
  call void @llvm.nvvm.cp.async.mbarrier.arrive.noinc.shared(ptr addrspace(3) %full) ; <copies done>
  br label %copied
copied:
  %step.next = add i32 %step, 1
  %copies.more = icmp ult i32 %step.next, 4
  br i1 %copies.more, label %copy.step, label %copies.end
copies.end:
  call void @llvm.nvvm.cp.async.wait.all() ; <last copies>
  ret void

multiply:
  %s.begin = ptrtoint ptr addrspace(3) @s to i32
  %s.address = and i32 %s.begin, 262143
  %s.units = lshr i32 %s.address, 4
  %units = zext i32 %s.units to i64
  %fixed = add i64 4611686293305360384, 0 ; <descriptor>
  %a = or i64 %units, %fixed
  %b = add i64 %a, 512
  %lane = and i32 %t, 31
  br label %multiply.step
multiply.step:
  %i = phi i32 [0, %multiply], [%i.next, %released]
; {phis}
  %i.stage = and i32 %i, 1
  %i.round = lshr i32 %i, 1
  %i.parity = and i32 %i.round, 1
  %i.barrier.bytes = mul i32 %i.stage, 8
  %i.full = getelementptr i8, ptr addrspace(3) %full0, i32 %i.barrier.bytes
  br label %await.full
await.full:
  %is.full = call i1 @llvm.nvvm.mbarrier.try.wait.parity.scope.cta.space.cta(ptr addrspace(3) %i.full, i32 %i.parity)
  br i1 %is.full, label %filled, label %await.full ; <full>
filled:
  call void @llvm.nvvm.fence.proxy.async.shared_cta() ; <fence of copies>
  call void @llvm.nvvm.wgmma.fence.sync.aligned() ; <fence of sums>
  %stage.units.32 = mul i32 %i.stage, 768
  %stage.units = zext i32 %stage.units.32 to i64
  %a.stage = add i64 %a, %stage.units ; <stage of a>
  %b.stage = add i64 %b, %stage.units
; {products}
  call void @llvm.nvvm.wgmma.commit_group.sync.aligned() ; <commit>
  call void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 1) ; <wait>
  %is.leader = icmp eq i32 %lane, 0
  %is.later = icmp ugt i32 %i, 0
  %releases = and i1 %is.leader, %is.later
  br i1 %releases, label %release, label %released
release:
  %before = xor i32 %i.stage, 1
  %before.bytes = mul i32 %before, 8
  %i.empty = getelementptr i8, ptr addrspace(3) %empty0, i32 %before.bytes
  call i64 @llvm.nvvm.mbarrier.arrive.shared(ptr addrspace(3) %i.empty) ; <release>
  br label %released
released:
  %i.next = add i32 %i, 1
  %multiplies.more = icmp ult i32 %i.next, 4
  br i1 %multiplies.more, label %multiply.step, label %multiplied
multiplied:
; {last}
; {finish}
  %warp = lshr i32 %t, 5
  %warp.of.group = and i32 %warp, 3
  %warp.row = mul i32 %warp.of.group, 16
  %lane.row = lshr i32 %lane, 2
  %c.row = add i32 %warp.row, %lane.row
  %quad = and i32 %lane, 3
  %column = mul i32 %quad, 2
  %c.row.first = mul i32 %c.row, 32
  %c.index = add i32 %c.row.first, %column
  %corner = getelementptr float, ptr addrspace(1) %c.data, i32 %c.index
; {stores}
  %unused = add i32 0, 0 ; <store>
  ret void
}
