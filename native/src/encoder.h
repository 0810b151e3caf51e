// A packed encoder: one piece of device memory, laid out by its capacity and width alone. Internal to the library.
#pragma once

#include "scratch.h"
#include "select.h"

namespace rhumb {

// How far the score of a feature by bf16 operands may be from the exact one, for a row that has the norm `norm` and is off by
// `rounding` in bf16: norm * per_norm + rounding * per_rounding + alone. certified.cu derives it.
struct alignas(16) ScoreError {
  float per_norm;
  float per_rounding;
  float alone;
};

// The greatest of all features: what tells whether scores and their errors may overflow.
struct EncoderLimits {
  double weights;  // ||w||, exact or in bf16
  double bias;     // |b|
};

constexpr int kPanel = 32;          // features of a panel: a warp's
constexpr int kChunk = 8;           // weights of a feature that lie together: 32 bytes, what memory moves at least
constexpr int kFeatureTile = 128;   // features are padded to a multiple of this
constexpr int kSlice = 64;          // columns of bf16 that lie together in a tile: 128 bytes of a row
constexpr int64_t kMostRoundedWidth = 2048;

// The width of the bf16 weights, padded with zeros. Of wider encoders there are none.
__host__ __device__ __forceinline__ int64_t rounded_width(int64_t width) {
  if (width > kMostRoundedWidth) {
    return 0;
  }
  return width <= 64 ? 64 : width <= 128 ? 128 : (width + 63) / 64 * 64;
}

// Where element (row, d) of a bf16 matrix lies that is stored by tiles of kTileRows rows, for a rounded width. A tile is a block
// for each kSlice columns, and a block holds 128 bytes of each row, whose eight 16-byte units change places by the row's last
// three bits. So a block can be copied as it is, and in shared memory it is wgmma's K-major operand with the 128-byte swizzle;
// ldmatrix finds any eight neighbouring rows in different banks.
template <int kTileRows>
__device__ __forceinline__ int64_t tiled(int64_t row, int64_t d, int64_t width) {
  const int64_t block = row / kTileRows * (width / kSlice) + d / kSlice;
  return (block * kTileRows + row % kTileRows) * kSlice + ((d / 8 ^ row) & 7) * 8 + d % 8;
}

struct Encoder {
  int64_t width;
  int64_t features;            // that it holds
  int64_t chunks;              // ceil(width / kChunk)
  EncoderLimits *limits;
  float *weights;              // (capacity / kPanel, chunks, kPanel, kChunk): the float32 weights
  __nv_bfloat16 *rounded;      // (capacity, rounded_width): the same in bf16, by tiles of kFeatureTile
  float *bias;                 // (capacity); NaN beyond the features, up to a multiple of kFeatureTile
  ScoreError *errors;          // (capacity)
  ScoreError *panel_errors;    // (capacity / kPanel): each part the greatest of the panel's features
  float *input_bias;           // (width)
  int32_t *names;              // (capacity): the features' numbers in the dictionary

  // Where weight d of the feature at `place` lies.
  __device__ __forceinline__ int64_t weight_at(int64_t place, int64_t d) const {
    return ((place / kPanel * chunks + d / kChunk) * kPanel + place % kPanel) * kChunk + d % kChunk;
  }
};

struct EncoderLayout {
  Encoder encoder;
  int64_t bytes;
};

// memory NULL: only the bytes are of use.
inline EncoderLayout encoder_layout(const void *memory, int64_t capacity, int64_t width, int64_t features) {
  const int64_t room = (capacity + kFeatureTile - 1) / kFeatureTile * kFeatureTile;
  Scratch cut(const_cast<void *>(memory));
  Encoder e;
  e.width = width;
  e.features = features;
  e.chunks = (width + kChunk - 1) / kChunk;
  e.limits = cut.take<EncoderLimits>(1);
  e.weights = cut.take<float>(room * e.chunks * kChunk);
  e.rounded = cut.take<__nv_bfloat16>(room * rounded_width(width));
  e.bias = cut.take<float>(room);
  e.errors = cut.take<ScoreError>(room);
  e.panel_errors = cut.take<ScoreError>(room / kPanel);
  e.input_bias = cut.take<float>(width);
  e.names = cut.take<int32_t>(room);
  return {e, cut.bytes()};
}

// max(z, 0) as Java has it: NaN stays, -0 becomes 0.
__device__ __forceinline__ float rectified(float z) { return z <= 0.0f ? 0.0f : z; }

// Continues the chains of the contract EXACT over kChunk weights: acc = fma(x_d - b_dec_d, w_d, acc) for d ascending.
// centred (kChunk, kRows) holds x - b_dec, of `valid` weights.
template <int kRows>
__device__ __forceinline__ void chain(float (&acc)[kRows], const float *centred, const float4 (&w)[2], int valid) {
  const float weights[kChunk] = {w[0].x, w[0].y, w[0].z, w[0].w, w[1].x, w[1].y, w[1].z, w[1].w};
#pragma unroll
  for (int d = 0; d < kChunk; d++) {
    if (d < valid) {
#pragma unroll
      for (int r = 0; r < kRows; r++) {
        acc[r] = fmaf(centred[d * kRows + r], weights[d], acc[r]);
      }
    }
  }
}

// The exact score of one row and the feature at `place`. centred (width) = x - b_dec.
__device__ __forceinline__ float exact_score(const Encoder &e, int64_t place, const float *centred) {
  float acc[1] = {e.bias[place]};
  const float4 *from = reinterpret_cast<const float4 *>(e.weights + e.weight_at(place, 0));
  const int64_t whole = e.width / kChunk;
#pragma unroll 4
  for (int64_t c = 0; c < whole; c++) {
    const float4 w[2] = {from[c * (kPanel * kChunk / 4)], from[c * (kPanel * kChunk / 4) + 1]};
    chain<1>(acc, centred + c * kChunk, w, kChunk);
  }
  if (whole < e.chunks) {
    const float4 w[2] = {from[whole * (kPanel * kChunk / 4)], from[whole * (kPanel * kChunk / 4) + 1]};
    chain<1>(acc, centred + whole * kChunk, w, static_cast<int>(e.width - whole * kChunk));
  }
  return acc[0];
}

}  // namespace rhumb
