// Operands of products in bf16: rounded to the nearest, ties to even, on their way from float32 in global memory to shared
// memory, and taken from there as the fragments of mma_bf16_16816.
//
// A tile in shared memory holds its operand as global memory does, either along k (row i of A, or column i of B, a row of
// the tile) or across it (a row of the tile for each k). Rows are kBf16Pad elements longer than they need be: a multiple of
// 16 bytes that puts the 8 rows which ldmatrix reads together into different banks.
#pragma once

#include "mma.h"

namespace rhumb {

constexpr int kBf16Pad = 8;

// The nearest bf16, as a float.
__device__ __forceinline__ float to_bf16(float x) { return __bfloat162float(__float2bfloat16_rn(x)); }

// Two of them in a register, as mma_bf16_16816 takes them.
__device__ __forceinline__ uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return static_cast<uint32_t>(__bfloat16_as_ushort(pair.x)) | static_cast<uint32_t>(__bfloat16_as_ushort(pair.y)) << 16;
}

// to[0 .. 3] = x; 8-byte aligned.
__device__ __forceinline__ void store4_bf16(__nv_bfloat16 *to, const float (&x)[4]) {
  *reinterpret_cast<uint2 *>(to) = make_uint2(bf16_pair(x[0], x[1]), bf16_pair(x[2], x[3]));
}

// The fragment of A's rows row .. row + 15 and k .. k + 15. kStride: of the tile.
template <bool kAlongK, int kStride>
__device__ __forceinline__ void load_a(uint32_t (&a)[4], const __nv_bfloat16 *tile, int row, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (kAlongK) {
    ldmatrix_x4(a, tile + (row + lane % 16) * kStride + k + lane / 16 * 8);
  } else {
    ldmatrix_x4_trans(a, tile + (k + lane / 16 * 8 + lane % 8) * kStride + row + lane / 8 % 2 * 8);
  }
}

// The fragments of B's columns column .. column + 7 and the 8 after them, k .. k + 15.
template <bool kAlongK, int kStride>
__device__ __forceinline__ void load_b(uint32_t (&b)[2][2], const __nv_bfloat16 *tile, int column, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint32_t both[4];
  if (kAlongK) {
    ldmatrix_x4(both, tile + (column + lane / 16 * 8 + lane % 8) * kStride + k + lane / 8 % 2 * 8);
  } else {
    ldmatrix_x4_trans(both, tile + (k + lane % 16) * kStride + column + lane / 16 * 8);
  }
  b[0][0] = both[0];
  b[0][1] = both[1];
  b[1][0] = both[2];
  b[1][1] = both[3];
}

}  // namespace rhumb
