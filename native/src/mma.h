// What Ampere added to kernels: matrix products of a warp on tensor cores, their loads from shared memory, and copies from
// global to shared memory that run beside the arithmetic. One interface, two bodies: PTX for the GPU (sm_80 and later), an
// emulation with the same layouts on the host.
//
// All 32 lanes of a warp call mma_* and ldmatrix_* together. Fragments, with g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix
// Fragments for mma.m16n8k16" and "m16n8k8"); a pair stands for the low and the high half of a register:
//
//   mma_bf16_16816   a[0] (g, 2t..2t+1)  a[1] (g + 8, 2t..)  a[2] (g, 2t + 8..)  a[3] (g + 8, 2t + 8..)   of A (16, 16)
//                    b[0] (2t..2t+1, g)  b[1] (2t + 8.., g)                                               of B (16, 8)
//   mma_tf32_1688    a[0] (g, t)  a[1] (g + 8, t)  a[2] (g, t + 4)  a[3] (g + 8, t + 4)                   of A (16, 8)
//                    b[0] (t, g)  b[1] (t + 4, g)                                                         of B (8, 8)
//   both             d[0] (g, 2t)  d[1] (g, 2t + 1)  d[2] (g + 8, 2t)  d[3] (g + 8, 2t + 1)               of D (16, 8)
//
// ldmatrix_x4 with lane i giving row i % 16, columns 8 (i / 16).. of a row-major A tile loads exactly a[0..3]; ldmatrix_x2 with
// lane i giving row i % 8, columns 8 (i / 8 % 2).. of B stored as (n, k) loads b[0..1], and x2_trans does from (k, n) rows i.
//
// Rounding: products are exact, but in what order and with what rounding the sums are taken is the hardware's own affair.
// Nothing that promises bits may come from mma_*: see the certificates of the kernels that use it.
#pragma once

#include "device.h"

#ifndef __CUDACC__
#include "mma_on_host.h"
#else

namespace rhumb {

// D += A B: A of bf16 by rows, B of bf16 by columns, D of float.
__device__ __forceinline__ void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// D += A B of tf32: floats whose 13 lowest bits are not looked at (to_tf32 rounds them away).
__device__ __forceinline__ void mma_tf32_1688(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The nearest tf32, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

__device__ __forceinline__ uint32_t shared_address(const void *shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Loads four 8 x 8 matrices of 16-bit elements from shared memory: lanes 8 m .. 8 m + 7 give the rows of matrix m, 16 bytes
// each and aligned so; r[m] gets elements (g, 2t) and (g, 2t + 1) of it, or with _trans (2t, g) and (2t + 1, g).
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
// The same for two matrices; lanes 16 to 31 give an address too, which is not used.
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

// Starts a copy of 16 bytes, or where `valid` is false 16 zero bytes; both sides 16-byte aligned. Until this thread has
// waited for the group that it is committed with, nobody may look at `shared`, nor change `global`; other threads must meet
// this one at a barrier after that wait.
__device__ __forceinline__ void cp_async_16(void *shared, const void *global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
               : "memory");
}
// Closes the group of this thread's copies since the last commit; it may be empty.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }
// Waits until all of this thread's groups but the latest `kPending` have arrived.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kPending) : "memory");
}

}  // namespace rhumb

#endif
