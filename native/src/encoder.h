// A packed encoder: one piece of device memory, laid out by its capacity and width alone. Internal to the library.
#pragma once

#include "scratch.h"
#include "select.h"

namespace rhumb {

// Greatest norms over an encoder's features, for bounds on how far scores of bf16 operands are off. Each is rounded up.
struct EncoderLimits {
  double weights;       // ||w||
  double rounded;       // ||w_b||, w_b being w in bf16
  double differences;   // ||w_b - w||
  double bias;          // |b|
};

constexpr int kPanel = 32;          // features of a panel: a warp's
constexpr int kChunk = 8;           // weights of a feature that lie together: 32 bytes, what memory moves at least
constexpr int kFeatureTile = 128;   // features are padded to a multiple of this
constexpr int64_t kMostRoundedWidth = 2048;

// The width of the bf16 weights, padded with zeros. Of wider encoders there are none.
__host__ __device__ __forceinline__ int64_t rounded_width(int64_t width) {
  if (width > kMostRoundedWidth) {
    return 0;
  }
  return width <= 64 ? 64 : width <= 128 ? 128 : (width + 63) / 64 * 64;
}

struct Encoder {
  int64_t width;
  int64_t features;            // that it holds
  int64_t chunks;              // ceil(width / kChunk)
  EncoderLimits *limits;
  float *weights;              // (capacity / kPanel, chunks, kPanel, kChunk): the float32 weights
  __nv_bfloat16 *rounded;      // (capacity, rounded_width): the same in bf16
  float *bias;                 // (capacity); NaN beyond the features, up to a multiple of kFeatureTile
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
