// Products of tiles in shared memory by register tiles: what attention and the losses are made of.
//
// A block of 128 threads makes a tile of scores S (8 kRows, 64) = A B^T from A (8 kRows, D) and B (64, D), and then products
// S C (8 kRows, D) with C (64, D). Thread (group 0 .. 7, lane 0 .. 15) has the rows `first + kStep i`, i < kRows, of A, S and
// the result, and of S the columns lane + 16 j, j < 4. With kRows 8 it makes 32 scores from 12 reads of 16 bytes for each 4
// columns of A and B, most of them broadcasts, so that the multiplications bound it and not the shared memory.
//
// The two groups of a warp have neighbouring rows, and rows are 4 elements longer than D: so the reads meet no bank twice.
#pragma once

#include <cfloat>

#include "device.h"

namespace rhumb {

constexpr int kTileThreads = 128;
constexpr int kTileGroups = 8;
constexpr int kTile = 64;
constexpr int kTilePad = 4;
constexpr int kScoreStride = kTile + kTilePad;

// Elements of a tile of `rows` rows of D columns.
__host__ __device__ constexpr int tile_elements(int rows, int columns) { return rows * (columns + kTilePad); }

__device__ __forceinline__ int tile_lane() { return static_cast<int>(threadIdx.x) % 16; }
__device__ __forceinline__ int tile_group() { return static_cast<int>(threadIdx.x) / 16; }

// The column of the result that is the n-th of kColumns = D / 16 of a thread.
template <int kColumns>
__device__ __forceinline__ int tile_column(int n) {
  constexpr int kTogether = kColumns < 4 ? kColumns : 4;
  return n / kTogether * (16 * kTogether) + tile_lane() * kTogether + n % kTogether;
}

__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) <= FLT_MAX; }  // false for NaN

// tile (kHeight, D) = rows of `width` columns, at(r) being the r-th, and zeros from row `rows` and from column `width` on.
// vector: all rows are 16-byte aligned, and width is a multiple of 4. Returns whether what this thread loaded is finite.
template <int kHeight, int D, class RowAt>
__device__ __forceinline__ bool load_tile(float *tile, int rows, int width, bool vector, RowAt at) {
  bool finite = true;
  if (vector) {
    constexpr int kPieces = D / 4;
#pragma unroll 4
    for (int i = threadIdx.x; i < kHeight * kPieces; i += kTileThreads) {
      const int r = i / kPieces;
      const int c = i % kPieces * 4;
      float4 x = make_float4(0, 0, 0, 0);
      if (r < rows && c < width) {
        x = *reinterpret_cast<const float4 *>(at(r) + c);
      }
      finite &= is_finite(x.x) && is_finite(x.y) && is_finite(x.z) && is_finite(x.w);
      *reinterpret_cast<float4 *>(tile + r * (D + kTilePad) + c) = x;
    }
  } else {
    for (int i = threadIdx.x; i < kHeight * D; i += kTileThreads) {
      const int r = i / D;
      const int c = i % D;
      const float x = r < rows && c < width ? at(r)[c] : 0.0f;
      finite &= is_finite(x);
      tile[r * (D + kTilePad) + c] = x;
    }
  }
  return finite;
}

// scores[i][j] += A[i] . B[j]. a: the thread's first row of A; b: row `lane` of B.
template <int kRows, int kStep, int D>
__device__ __forceinline__ void add_scores(const float *a, const float *b, float (&scores)[kRows][4]) {
  constexpr int kStride = D + kTilePad;
#pragma unroll 1
  for (int c = 0; c < D; c += 4) {
    float4 x[kRows];
#pragma unroll
    for (int i = 0; i < kRows; i++) {
      x[i] = *reinterpret_cast<const float4 *>(a + i * kStep * kStride + c);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const float4 y = *reinterpret_cast<const float4 *>(b + j * 16 * kStride + c);
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        scores[i][j] += x[i].x * y.x;
        scores[i][j] += x[i].y * y.y;
        scores[i][j] += x[i].z * y.z;
        scores[i][j] += x[i].w * y.w;
      }
    }
  }
}

// sums[i][n] += the sum over from <= k < to of S[i][k] C[k][column n]; from and to are multiples of 4. s: the thread's first
// row of S; c: C (64, 16 kColumns). kSkipZeros: an S[i][k] of 0 leaves out its row of C, infinities and all.
template <int kRows, int kStep, int kColumns, bool kSkipZeros = false>
__device__ __forceinline__ void add_product(const float *s, const float *c, int from, int to,
                                            float (&sums)[kRows][kColumns]) {
  constexpr int kStride = 16 * kColumns + kTilePad;
  const float *column = c + tile_column<kColumns>(0);
#pragma unroll 1
  for (int k = from; k < to; k += 4) {
    float x[kRows][4];
#pragma unroll
    for (int i = 0; i < kRows; i++) {
      const float4 four = *reinterpret_cast<const float4 *>(s + i * kStep * kScoreStride + k);
      x[i][0] = four.x;
      x[i][1] = four.y;
      x[i][2] = four.z;
      x[i][3] = four.w;
    }
#pragma unroll
    for (int t = 0; t < 4; t++) {
      float y[kColumns];
      if constexpr (kColumns % 4 == 0) {
#pragma unroll
        for (int n = 0; n < kColumns; n += 4) {
          const float4 four = *reinterpret_cast<const float4 *>(column + (k + t) * kStride + 16 * n);
          y[n] = four.x;
          y[n + 1] = four.y;
          y[n + 2] = four.z;
          y[n + 3] = four.w;
        }
      } else {
        static_assert(kColumns == 2);
        const float2 two = *reinterpret_cast<const float2 *>(column + (k + t) * kStride);
        y[0] = two.x;
        y[1] = two.y;
      }
#pragma unroll
      for (int i = 0; i < kRows; i++) {
#pragma unroll
        for (int n = 0; n < kColumns; n++) {
          if (!kSkipZeros || x[i][t] != 0) {
            sums[i][n] += x[i][t] * y[n];
          }
        }
      }
    }
  }
}

// add_product where an element of S that is 0 stands for nothing at all. finite: all of C is, and so 0 times it is 0.
template <int kRows, int kStep, int kColumns>
__device__ __forceinline__ void add_masked_product(const float *s, const float *c, int from, int to, bool finite,
                                                   float (&sums)[kRows][kColumns]) {
  if (finite) {
    add_product<kRows, kStep, kColumns>(s, c, from, to, sums);
  } else {
    add_product<kRows, kStep, kColumns, true>(s, c, from, to, sums);
  }
}

// Writes a thread's columns of one row of a result: row[column n] = factor sums[n], where the column is below `width`.
template <int kColumns>
__device__ __forceinline__ void store_columns(float *row, int width, bool vector, float factor,
                                              const float (&sums)[kColumns]) {
  if constexpr (kColumns % 4 == 0) {
    if (vector) {
#pragma unroll
      for (int n = 0; n < kColumns; n += 4) {
        const int column = tile_column<kColumns>(n);
        if (column < width) {
          *reinterpret_cast<float4 *>(row + column) =
              make_float4(factor * sums[n], factor * sums[n + 1], factor * sums[n + 2], factor * sums[n + 3]);
        }
      }
      return;
    }
  }
#pragma unroll
  for (int n = 0; n < kColumns; n++) {
    const int column = tile_column<kColumns>(n);
    if (column < width) {
      row[column] = factor * sums[n];
    }
  }
}

}  // namespace rhumb
