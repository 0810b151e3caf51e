// What Hopper added to kernels: barriers in shared memory that count arrivals and bytes, copies of whole blocks that report to
// them, and products of a warpgroup (four warps, the first a multiple of four) on tensor cores that read shared memory by
// themselves. One interface, two bodies: PTX for sm_90a, an emulation on the host. A kernel's body that uses it stands under
// `#if RHUMB_HOPPER`: elsewhere there is none.
//
// Barriers. A phase ends once as many threads have arrived as barrier_init says and as many bytes have come as were expected in
// it; then the next begins, phases being 0, 1, 0, 1 ... barrier_wait(b, p) returns once the latest phase p has ended, so at
// once for p = 1 on a new barrier.
//
// Proxies. Copies and wgmma reach shared memory by another way than loads and stores. What copy_block brought is there for
// both once its barrier has been waited for; what threads stored is there for wgmma only after fence_async by each of them
// and a barrier. Before a block is copied over what threads have read, they must have arrived at a barrier that the
// copying thread waits for.
//
// wgmma. All 32 lanes of all four warps call each function together. Between wgmma and the wait that covers its commit nobody
// may touch the sums, nor overwrite the operands; wgmma_fence stands before the first wgmma after the sums were used otherwise.
// Products that follow on the same sums need nothing between them.
#pragma once

#include "device.h"

#ifndef __CUDACC__
#define RHUMB_HOPPER 1
#include "hopper_on_host.h"
#else

#include "mma.h"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define RHUMB_HOPPER 1
#else
#define RHUMB_HOPPER 0
#endif

namespace rhumb {

struct Barrier {
  unsigned long long word;
};

// By one thread, which then calls fence_barriers, before all meet.
__device__ __forceinline__ void barrier_init(Barrier *barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" : : "r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory");
  asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
}
// Before it in this thread is before the phase's end for those who wait for that.
__device__ __forceinline__ void barrier_arrive(Barrier *barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(shared_address(barrier)) : "memory");
}
// And has the phase wait for that many bytes, fewer than 2^20.
__device__ __forceinline__ void barrier_arrive_expecting(Barrier *barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void barrier_wait(Barrier *barrier, unsigned phase) {
  unsigned ended;
  do {
    asm volatile(
        "{\n"
        ".reg .pred ended;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2;\n"
        "selp.b32 %0, 1, 0, ended;\n"
        "}"
        : "=r"(ended)
        : "r"(shared_address(barrier)), "r"(phase)
        : "memory");
  } while (ended == 0);
}

// One thread starts a copy to dynamic shared memory; both addresses and bytes are multiples of 16.
__device__ __forceinline__ void copy_block(void *shared, const void *global, unsigned bytes, Barrier *barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
               :
               : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
}

__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" : : : "memory"); }

// Closes the group of products since the last commit.
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory"); }

#define RHUMB_SUMS_8(d, i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define RHUMB_SUMS_64(d)                                                                                       \
  RHUMB_SUMS_8(d, 0), RHUMB_SUMS_8(d, 8), RHUMB_SUMS_8(d, 16), RHUMB_SUMS_8(d, 24), RHUMB_SUMS_8(d, 32),       \
      RHUMB_SUMS_8(d, 40), RHUMB_SUMS_8(d, 48), RHUMB_SUMS_8(d, 56)

// What the threads have done with the sums is done.
__device__ __forceinline__ void wgmma_fence(float (&d)[64]) {
  asm volatile("wgmma.fence.sync.aligned;" : RHUMB_SUMS_64(d) : : "memory");
}

// D (64, 128) += A (64, 16) B (16, 128) of bf16, or without `add` D = A B; a, b: operand() of A, and of B stored as (128, 16).
// Warp w of the group has rows 16 w to 16 w + 15 of D: d[4 n .. 4 n + 3] is what mma_bf16_16816 has of columns 8 n to 8 n + 7.
__device__ __forceinline__ void wgmma_bf16_64x128x16(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1, 0, 0;\n"
      "}"
      : RHUMB_SUMS_64(d)
      : "l"(a), "l"(b), "r"(add ? 1 : 0));
}

// Waits until all of the warpgroup's groups but the latest kPending have ended: then the sums are there.
template <int kPending>
__device__ __forceinline__ void wgmma_wait(float (&d)[64]) {
  asm volatile("wgmma.wait_group.sync.aligned %64;" : RHUMB_SUMS_64(d) : "n"(kPending) : "memory");
}

#undef RHUMB_SUMS_64
#undef RHUMB_SUMS_8

}  // namespace rhumb

#endif

namespace rhumb {

// What tells wgmma where an operand lies: the first 16 columns of a block of rows of 128 bytes with the 128-byte swizzle, as
// `tiled` (encoder.h) has it, which begins at a multiple of 1024 bytes of shared memory.
// PTX ISA, "Matrix descriptor": address / 16 in bits 0 to 13; a stride that this layout does not use in 16 to 29; the bytes
// between groups of 8 rows, by 16, in 32 to 45; the swizzle in 62 and 63.
__device__ __forceinline__ uint64_t operand(const void *block) {
  constexpr uint64_t kGroupStride = 8 * 128;
  constexpr uint64_t kSwizzle128 = 1;
  return (shared_address(block) & uint64_t{0x3ffff}) >> 4 | uint64_t{1} << 16 | kGroupStride >> 4 << 32 | kSwizzle128 << 62;
}

// 16 columns from `column` on, a multiple of 16 below 64.
__device__ __forceinline__ uint64_t columns_on(uint64_t operand, int column) {
  return operand + static_cast<uint64_t>(column * 2 >> 4);
}

}  // namespace rhumb
