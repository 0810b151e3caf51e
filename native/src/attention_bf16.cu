// Causal attention on tensor cores, of bf16 operands with sums in float32: rhumb.h says what is rounded where. attention.cu has
// the rest of the operation, and the same tiling.
//
// A block of 4 warps owns 64 rows of the batch in one head (queries, or keys in key_gradient) and goes through the tiles of 64
// rows that they meet; a warp owns 16. Its own rows stay in registers as the A of mma_bf16_16816, those of a tile lie in
// shared memory. What a warp makes of them, 16 x 16 scores at a time, is rounded in registers and is the A of the second
// product at once: the fragments of a D and of an A agree. So no score is ever written, and a step of 16 rows that none of
// the warp's sees is skipped.
//
// Of the forward pass a weight is kept as 2^(score log2(e) - m), where m is the row's greatest exponent so far rounded up to
// an integer: so what is scaled again when m grows is scaled by a power of two, and a weight's rounding to bf16 does not
// depend on the tiles.
#include <type_traits>

#include "attention.h"
#include "bf16.h"
#include "quads.h"
#include "reduce.h"

namespace rhumb::attention {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int kTile = 64;
constexpr int kThreads = 128;
constexpr int kWarpRows = 16;
constexpr int kSteps = kTile / 16;  // of 16 rows of a tile

static_assert(kThreads / kWarp * kWarpRows == kTile);

template <int D>
__host__ __device__ constexpr int tile_elements() {
  return kTile * (D + kBf16Pad);
}

// --- Tiles and fragments -------------------------------------------------------------------------------------------------

// tile (64, D) = rows of `width` columns, at(r) being the r-th, and zeros from row `rows` and from column `width` on. Returns
// whether what this thread loaded is finite once it is rounded.
template <int D, class RowAt>
__device__ __forceinline__ bool load_rounded(Bf16 *tile, int rows, int width, bool vector, RowAt at) {
  constexpr int kPieces = D / 4;
  constexpr uint32_t kLeastInfinite = 0x7f7f8000u;  // bits of the least float that bf16 has no room for
  uint32_t greatest = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < kTile * kPieces; i += kThreads) {
    const int r = i / kPieces;
    const int c = i % kPieces * 4;
    float x[4] = {};
    if (r < rows) {
      load4(at(r) + c, width - c, vector, x);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
      greatest = max(greatest, __float_as_uint(x[j]) & 0x7fffffffu);
    }
    store4_bf16(tile + r * (D + kBf16Pad) + c, x);
  }
  return greatest < kLeastInfinite;
}

// 16 rows of a tile as A: in registers, from where they may be overwritten; or left where they lie.
template <int D>
struct Held {
  static constexpr int kAtOnce = D / 16;  // steps of a product that are unrolled
  uint32_t fragments[D / 16][4];
  __device__ __forceinline__ explicit Held(const Bf16 *rows) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
      load_a<true, D + kBf16Pad>(fragments[k], rows, 0, 16 * k);
    }
  }
  __device__ __forceinline__ void get(int k, uint32_t (&a)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      a[i] = fragments[k][i];
    }
  }
};
template <int D>
struct Lying {
  static constexpr int kAtOnce = 2;
  const Bf16 *rows;
  __device__ __forceinline__ explicit Lying(const Bf16 *rows) : rows(rows) {}
  __device__ __forceinline__ void get(int k, uint32_t (&a)[4]) const { load_a<true, D + kBf16Pad>(a, rows, 0, 16 * k); }
};

// scores (16, 16) += A (16, D) B^T, for 16 rows B of a tile. scores[n]: its columns 8 n to 8 n + 7.
template <int D, class Rows>
__device__ __forceinline__ void add_scores(const Rows &mine, const Bf16 *rows, float (&scores)[2][4]) {
#pragma unroll Rows::kAtOnce
  for (int k = 0; k < D / 16; k++) {
    uint32_t a[4];
    uint32_t b[2][2];
    mine.get(k, a);
    load_b<true, D + kBf16Pad>(b, rows, 0, 16 * k);
    mma_bf16_16816(scores[0], a, b[0]);
    mma_bf16_16816(scores[1], a, b[1]);
  }
}

// The row that the element e of a lane's fragment of D (16, 8) lies in, and the column of element e of scores[n].
__device__ __forceinline__ int fragment_row(int e) { return static_cast<int>(threadIdx.x) % kWarp / 4 + e / 2 * 8; }
__device__ __forceinline__ int fragment_column(int n, int e) {
  return 8 * n + static_cast<int>(threadIdx.x) % 4 * 2 + e % 2;
}

// Of a pair of bf16, those that are finite, and zeros.
__device__ __forceinline__ uint32_t finite_of(uint32_t pair) {
  constexpr uint32_t kLow = 0x7f80u;
  constexpr uint32_t kHigh = 0x7f800000u;
  return ((pair & kLow) == kLow ? 0 : pair & 0xffffu) | ((pair & kHigh) == kHigh ? 0 : pair & 0xffff0000u);
}

__device__ __forceinline__ float low_of(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_of(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

// sums (16, D) += a (16, 16) C, for 16 rows C of a tile. kFinite: all of C is; else what is not counts as 0.
template <int D, bool kFinite>
__device__ __forceinline__ void add_product(const uint32_t (&a)[4], const Bf16 *rows, float (&sums)[D / 8][4]) {
#pragma unroll
  for (int n = 0; n < D / 8; n += 2) {
    uint32_t c[2][2];
    load_b<false, D + kBf16Pad>(c, rows, 8 * n, 0);
    if constexpr (!kFinite) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        c[i / 2][i % 2] = finite_of(c[i / 2][i % 2]);
      }
    }
    mma_bf16_16816(sums[n], a, c[0]);
    mma_bf16_16816(sums[n + 1], a, c[1]);
  }
}

// add_product where an element of a that is 0 stands for nothing at all: an infinity or a NaN of C reaches only the rows that
// have some weight for it.
template <int D>
__device__ __forceinline__ void add_masked_product(const uint32_t (&a)[4], const Bf16 *rows, bool finite,
                                                   float (&sums)[D / 8][4]) {
  if (finite) {
    add_product<D, true>(a, rows, sums);
    return;
  }
  add_product<D, false>(a, rows, sums);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int n = 0; n < D / 8; n++) {
#pragma unroll 1
    for (int k = 0; k < 16; k++) {
      const int from = (lane & ~3) + k % 8 / 2;
      const uint32_t upper = __shfl_sync(kAllLanes, k < 8 ? a[0] : a[2], from);
      const uint32_t lower = __shfl_sync(kAllLanes, k < 8 ? a[1] : a[3], from);
      const float weights[2] = {k % 2 == 0 ? low_of(upper) : high_of(upper),
                                k % 2 == 0 ? low_of(lower) : high_of(lower)};
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const float x = __bfloat162float(rows[k * (D + kBf16Pad) + fragment_column(n, e)]);
        if (!(fabsf(x) < INFINITY) && weights[e / 2] != 0) {
          sums[n][e] += weights[e / 2] * x;
        }
      }
    }
  }
}

// a = the scores or weights (16, 16), rounded.
__device__ __forceinline__ void round_to_fragments(const float (&x)[2][4], uint32_t (&a)[4]) {
  a[0] = bf16_pair(x[0][0], x[0][1]);
  a[1] = bf16_pair(x[0][2], x[0][3]);
  a[2] = bf16_pair(x[1][0], x[1][1]);
  a[3] = bf16_pair(x[1][2], x[1][3]);
}

// Writes the lane's columns of row g + 8 half of a result: row[c] = factor sums, where the column is below `width`.
template <int D>
__device__ __forceinline__ void store_row(float *row, int width, bool vector, float factor, const float (&sums)[D / 8][4],
                                          int half) {
#pragma unroll
  for (int n = 0; n < D / 8; n++) {
    const int c = 8 * n + static_cast<int>(threadIdx.x) % 4 * 2;
    const float x = factor * (half == 0 ? sums[n][0] : sums[n][2]);
    const float y = factor * (half == 0 ? sums[n][1] : sums[n][3]);
    if (vector && c < width) {
      *reinterpret_cast<float2 *>(row + c) = make_float2(x, y);
    } else if (!vector) {
      if (c < width) {
        row[c] = x;
      }
      if (c + 1 < width) {
        row[c + 1] = y;
      }
    }
  }
}

// Which weights dropout keeps, of a tile of keys from key0 on: bit 8 j + 4 n + e is that of scores[n][e] of step j.
__device__ __forceinline__ uint32_t kept_of(const Dropout &dropout, const Shape &s, int head, int row, const int (&start)[2],
                                            int key0) {
  uint32_t kept = 0;
#pragma unroll 1
  for (int i = 0; i < 8; i++) {
    const int n = i / 4;
    const int e = i % 4;
    const uint32_t place_row = static_cast<uint32_t>(row + e / 2 * 8) * static_cast<uint32_t>(s.heads) + head;
    const PhiloxWords bits =
        dropout_words(dropout, place_row, key0 + fragment_column(n, e) - (e < 2 ? start[0] : start[1]));
#pragma unroll
    for (int j = 0; j < kSteps; j++) {
      kept |= static_cast<uint32_t>(bits.word[j] >= dropout.least) << (8 * j + i);
    }
  }
  return kept;
}

// --- Forward -------------------------------------------------------------------------------------------------------------

template <int D>
__host__ __device__ constexpr int rounded_bytes() {
  return static_cast<int>(2 * tile_elements<D>() * sizeof(Bf16) + kTile * sizeof(int));
}

// Block (tile of 64 rows, head).
template <int D, bool kDropout>
__global__ void __launch_bounds__(kThreads, D <= 64 ? 3 : 2)
    forward_rounded(Shape s, View q, View k, View v, Dropout dropout, Output out, float *log_sum_exp, uint64_t *faults) {
  RHUMB_DYNAMIC_SHARED(Bf16, shared);
  Bf16 *keys = shared;                                                     // (64, D); the queries before
  Bf16 *values = keys + tile_elements<D>();                                // (64, D)
  int *starts = reinterpret_cast<int *>(values + tile_elements<D>());      // (64)
  if (blockIdx.x == 0) {
    check_offsets(s, faults);
  }
  const int row0 = static_cast<int>(blockIdx.x / s.heads) * kTile;
  const int head = static_cast<int>(blockIdx.x % s.heads);
  const int end = min(row0 + kTile, s.rows);  // of this tile's rows, and of its keys
  if (row0 >= end) {
    return;
  }
  if (threadIdx.x < kTile) {
    starts[threadIdx.x] = start_of(s, min(row0 + static_cast<int>(threadIdx.x), end - 1));
  }
  load_rounded<D>(keys, end - row0, s.width, s.vector, [&](int r) { return q.at(s, row0 + r, head); });
  __syncthreads();
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
  const int warp_start = starts[warp_row];
  const int row = row0 + warp_row + fragment_row(0);  // and row + 8
  const int start[2] = {starts[row - row0], starts[row - row0 + 8]};
  const Held<D> queries(keys + warp_row * (D + kBf16Pad));

  const float scale = s.scale * kLog2E;
  float most[2] = {-INFINITY, -INFINITY};  // m so far
  float sums[2] = {};                      // of the weights so far, over this lane's columns
  float rounded_sums[2] = {};              // of the weights as they are rounded
  float mixed[D / 8][4] = {};
  for (int key0 = starts[0]; key0 < end; key0 += kTile) {
    __syncthreads();
    load_rounded<D>(keys, end - key0, s.width, s.vector, [&](int r) { return k.at(s, key0 + r, head); });
    const bool mine =
        load_rounded<D>(values, end - key0, s.width, s.vector, [&](int r) { return v.at(s, key0 + r, head); });
    const bool finite = __syncthreads_and(mine) != 0;
    // The keys that this warp's rows see.
    const int from = warp_start - key0;
    const int to = row0 + warp_row + kWarpRows - key0;
    float weights[kSteps][2][4] = {};
    float now[2] = {most[0], most[1]};
#pragma unroll
    for (int j = 0; j < kSteps; j++) {
      if (16 * j < to && 16 * (j + 1) > from) {
        add_scores<D>(queries, keys + 16 * j * (D + kBf16Pad), weights[j]);
      }
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int half = i % 4 / 2;
        const int key = key0 + 16 * j + fragment_column(i / 4, i % 4);
        float &x = weights[j][i / 4][i % 4];
        // Rounded apart from the difference below, so that m is one of x however large they are.
        x = start[half] <= key && key <= row + 8 * half ? __fmul_rn(x, scale) : -INFINITY;
        now[half] = max(now[half], x);
      }
    }
    float base[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      now[half] = ceilf(warp_max<float, 4>(now[half]));
      base[half] = now[half] == -INFINITY ? 0 : now[half];
      const float fade = exp2f(most[half] - base[half]);
      most[half] = now[half];
      sums[half] *= fade;
      rounded_sums[half] *= fade;
#pragma unroll
      for (int n = 0; n < D / 8; n++) {
        mixed[n][2 * half] *= fade;
        mixed[n][2 * half + 1] *= fade;
      }
    }
    uint32_t kept = 0xffffffffu;
    if constexpr (kDropout) {
      kept = kept_of(dropout, s, head, row, start, key0);
    }
#pragma unroll
    for (int j = 0; j < kSteps; j++) {
      if (16 * j < to && 16 * (j + 1) > from) {
        uint32_t a[4];
#pragma unroll
        for (int i = 0; i < 8; i++) {
          float &x = weights[j][i / 4][i % 4];
          x = exp2f(x - base[i % 4 / 2]);
          sums[i % 4 / 2] += x;
        }
        round_to_fragments(weights[j], a);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          rounded_sums[i % 2] += low_of(a[i]) + high_of(a[i]);
          if constexpr (kDropout) {  // a[i] holds the bits 2 i and 2 i + 1 of the step
            a[i] &= (kept >> (8 * j + 2 * i) & 1) * 0xffffu | (kept >> (8 * j + 2 * i + 1) & 1) * 0xffff0000u;
          }
        }
        add_masked_product<D>(a, values + 16 * j * (D + kBf16Pad), finite, mixed);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float sum = warp_sum<float, 4>(sums[half]);
    const float rounded_sum = warp_sum<float, 4>(rounded_sums[half]);
    if (row + 8 * half < end) {
      store_row<D>(out.at(s, row + 8 * half, head), s.width, s.vector, dropout.factor / rounded_sum, mixed, half);
      if (log_sum_exp != nullptr && threadIdx.x % 4 == 0) {
        log_sum_exp[static_cast<int64_t>(row + 8 * half) * s.heads + head] = most[half] * kLn2 + logf(sum);
      }
    }
  }
}

// --- Backward ------------------------------------------------------------------------------------------------------------

// Block (tile of 64 queries, head): dq.
template <int D, bool kDropout>
__global__ void __launch_bounds__(kThreads, D <= 64 ? 3 : 2)
    query_gradient_rounded(Shape s, View q, View k, View v, Dropout dropout, Statistics known, View grad, Output dq) {
  RHUMB_DYNAMIC_SHARED(Bf16, shared);
  Bf16 *keys = shared;                       // (64, D); the queries before
  Bf16 *values = keys + tile_elements<D>();  // (64, D); the gradients before
  const int row0 = static_cast<int>(blockIdx.x / s.heads) * kTile;
  const int head = static_cast<int>(blockIdx.x % s.heads);
  const int end = min(row0 + kTile, s.rows);
  load_rounded<D>(keys, end - row0, s.width, s.vector, [&](int r) { return q.at(s, row0 + r, head); });
  load_rounded<D>(values, end - row0, s.width, s.vector, [&](int r) { return grad.at(s, row0 + r, head); });
  __syncthreads();
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
  const Held<D> queries(keys + warp_row * (D + kBf16Pad));
  const Held<D> grads(values + warp_row * (D + kBf16Pad));

  const int warp_start = row0 + warp_row < end ? known.starts[row0 + warp_row] : s.rows;
  const int row = row0 + warp_row + fragment_row(0);  // and row + 8
  int start[2];
  float lse[2];  // times log2(e)
  float delta[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int64_t there = min(row + 8 * half, end - 1);
    start[half] = known.starts[there];
    lse[half] = known.log_sum_exp[there * s.heads + head] * kLog2E;
    delta[half] = known.delta[there * s.heads + head];
  }
  const float scale = s.scale * kLog2E;
  float sums[D / 8][4] = {};
  for (int key0 = known.starts[row0]; key0 < end; key0 += kTile) {
    __syncthreads();
    const bool mine =
        load_rounded<D>(keys, end - key0, s.width, s.vector, [&](int r) { return k.at(s, key0 + r, head); });
    load_rounded<D>(values, end - key0, s.width, s.vector, [&](int r) { return v.at(s, key0 + r, head); });
    const bool finite = __syncthreads_and(mine) != 0;
    const int from = warp_start - key0;
    const int to = row0 + warp_row + kWarpRows - key0;
    uint32_t kept = 0xffffffffu;
    if constexpr (kDropout) {
      kept = kept_of(dropout, s, head, row, start, key0);
    }
#pragma unroll 1
    for (int j = max(from, 0) / 16; j < kSteps && 16 * j < to; j++) {
      float scores[2][4] = {};
      float slopes[2][4] = {};  // the gradients of the weights, then of the scores
      add_scores<D>(queries, keys + 16 * j * (D + kBf16Pad), scores);
      add_scores<D>(grads, values + 16 * j * (D + kBf16Pad), slopes);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int half = i % 4 / 2;
        const int key = key0 + 16 * j + fragment_column(i / 4, i % 4);
        const bool seen = start[half] <= key && key <= row + 8 * half && row + 8 * half < end;
        float &x = slopes[i / 4][i % 4];
        const float slope = (kept >> (8 * j + i) & 1) != 0 ? dropout.factor * x : 0;
        x = seen ? exp2f(scores[i / 4][i % 4] * scale - lse[half]) * (slope - delta[half]) : 0;
      }
      uint32_t a[4];
      round_to_fragments(slopes, a);
      add_masked_product<D>(a, keys + 16 * j * (D + kBf16Pad), finite, sums);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    if (row + 8 * half < end) {
      store_row<D>(dq.at(s, row + 8 * half, head), s.width, s.vector, s.scale, sums, half);
    }
  }
}

// Two sums and two operands are too much for the registers where heads are wide: then the operands stay in shared memory.
template <int D>
__host__ __device__ constexpr bool keys_are_held() {
  return D <= 64;
}

template <int D>
__host__ __device__ constexpr int key_gradient_bytes() {
  constexpr int kTiles = keys_are_held<D>() ? 2 : 4;
  return static_cast<int>(kTiles * tile_elements<D>() * sizeof(Bf16) + 5 * kTile * sizeof(int));
}

// Block (tile of 64 keys, head): dk and dv, over the tiles of the queries that see one of these keys. Scores stand the other
// way round: rows are keys.
template <int D, bool kDropout>
__global__ void __launch_bounds__(kThreads, D <= 64 ? 3 : 2)
    key_gradient_rounded(Shape s, View q, View k, View v, Dropout dropout, Statistics known, View grad, Output dk,
                         Output dv) {
  RHUMB_DYNAMIC_SHARED(Bf16, shared);
  int *starts = reinterpret_cast<int *>(shared);           // (64), of the queries
  float *lse = reinterpret_cast<float *>(starts + kTile);  // (64), times log2(e)
  float *delta = lse + kTile;                              // (64)
  // (64, 2): byte w of [i][half] is dropout's bits of query i for the keys 16 w + 8 half to 16 w + 8 half + 7.
  uint32_t *kept = reinterpret_cast<uint32_t *>(delta + kTile);
  Bf16 *queries = reinterpret_cast<Bf16 *>(kept + 2 * kTile);  // (64, D)
  Bf16 *grads = queries + tile_elements<D>();                  // (64, D)
  Bf16 *key_tile = keys_are_held<D>() ? queries : grads + tile_elements<D>();  // (64, D)
  Bf16 *value_tile = key_tile + tile_elements<D>();                            // (64, D)
  const int key0 = static_cast<int>(blockIdx.x / s.heads) * kTile;
  const int head = static_cast<int>(blockIdx.x % s.heads);
  const int end = min(key0 + kTile, s.rows);
  load_rounded<D>(key_tile, end - key0, s.width, s.vector, [&](int r) { return k.at(s, key0 + r, head); });
  load_rounded<D>(value_tile, end - key0, s.width, s.vector, [&](int r) { return v.at(s, key0 + r, head); });
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_key = key0 + warp * kWarpRows;
  using Rows = std::conditional_t<keys_are_held<D>(), Held<D>, Lying<D>>;
  const Rows keys(key_tile + warp * kWarpRows * (D + kBf16Pad));
  const Rows values(value_tile + warp * kWarpRows * (D + kBf16Pad));

  const float scale = s.scale * kLog2E;
  float key_sums[D / 8][4] = {};
  float value_sums[D / 8][4] = {};
  // Once the first query of a tile belongs to a sequence behind these keys, so do all later ones.
  for (int row0 = key0; row0 < s.rows && known.starts[row0] < end; row0 += kTile) {
    const int rows = min(kTile, s.rows - row0);
    __syncthreads();
    bool mine = load_rounded<D>(queries, rows, s.width, s.vector, [&](int r) { return q.at(s, row0 + r, head); });
    mine &= load_rounded<D>(grads, rows, s.width, s.vector, [&](int r) { return grad.at(s, row0 + r, head); });
    const int i = static_cast<int>(threadIdx.x) % kTile;
    const int half = static_cast<int>(threadIdx.x) / kTile;
    // Behind the last row: a sequence that begins behind every key.
    const int start = i < rows ? known.starts[row0 + i] : s.rows;
    if (half == 0) {
      const int64_t at = static_cast<int64_t>(row0 + min(i, rows - 1)) * s.heads + head;
      starts[i] = start;
      lse[i] = known.log_sum_exp[at] * kLog2E;
      delta[i] = known.delta[at];
    }
    if constexpr (kDropout) {
      uint32_t bits = 0;
#pragma unroll 1
      for (int c = 0; c < 8; c++) {
        const PhiloxWords words =
            dropout_words(dropout, static_cast<uint32_t>(row0 + i) * static_cast<uint32_t>(s.heads) + head,
                          key0 + 8 * half + c - start);
#pragma unroll
        for (int w = 0; w < 4; w++) {
          bits |= static_cast<uint32_t>(words.word[w] >= dropout.least) << (8 * w + c);
        }
      }
      kept[2 * i + half] = bits;
    }
    const bool finite = __syncthreads_and(mine) != 0;
#pragma unroll 1
    for (int j = 0; j < kSteps; j++) {
      // Before the first of these keys, or of sequences behind the last.
      if (row0 + 16 * j + 15 < warp_key || starts[16 * j] >= warp_key + kWarpRows) {
        continue;
      }
      float weights[2][4] = {};
      float slopes[2][4] = {};  // the gradients of the weights, then of the scores
      add_scores<D>(keys, queries + 16 * j * (D + kBf16Pad), weights);
      add_scores<D>(values, grads + 16 * j * (D + kBf16Pad), slopes);
#pragma unroll
      for (int e = 0; e < 8; e++) {
        const int there = 16 * j + fragment_column(e / 4, e % 4);
        const int key = warp_key + fragment_row(e % 4);
        bool stays = true;
        if constexpr (kDropout) {
          stays = (kept[2 * there + e % 4 / 2] >> (8 * warp + fragment_row(0)) & 1) != 0;
        }
        float &weight = weights[e / 4][e % 4];
        float &slope = slopes[e / 4][e % 4];
        const bool seen = starts[there] <= key && key <= row0 + there;
        weight = seen ? exp2f(weight * scale - lse[there]) : 0;
        slope = seen ? weight * ((stays ? dropout.factor * slope : 0) - delta[there]) : 0;
        weight = stays ? weight : 0;
      }
      uint32_t a[4];
      round_to_fragments(weights, a);
      add_masked_product<D>(a, grads + 16 * j * (D + kBf16Pad), finite, value_sums);
      round_to_fragments(slopes, a);
      add_masked_product<D>(a, queries + 16 * j * (D + kBf16Pad), finite, key_sums);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int key = warp_key + fragment_row(2 * half);
    if (key < end) {
      store_row<D>(dk.at(s, key, head), s.width, s.vector, s.scale, key_sums, half);
      store_row<D>(dv.at(s, key, head), s.width, s.vector, dropout.factor, value_sums, half);
    }
  }
}

// --- Launches ------------------------------------------------------------------------------------------------------------

constexpr int kBytesUnasked = 48 * 1024;  // of dynamic shared memory, that a kernel may have without asking

template <int D, bool kDropout>
int launch_forward(const Shape &s, View q, View k, View v, const Dropout &dropout, Output out, float *log_sum_exp,
                   uint64_t *faults, cudaStream_t stream) {
  static_assert(rounded_bytes<D>() <= kBytesUnasked);
  RHUMB_LAUNCH((forward_rounded<D, kDropout>), tiles_of(s, kTile), dim3(kThreads), rounded_bytes<D>(), stream, s, q, k, v,
               dropout, out, log_sum_exp, faults);
  return check(cudaGetLastError(), "rhumb_attention: launch");
}

template <int D, bool kDropout>
int launch_backward(const Shape &s, View q, View k, View v, const Dropout &dropout, const Statistics &known, View grad,
                    Output dq, Output dk, Output dv, cudaStream_t stream) {
  static_assert(rounded_bytes<D>() <= kBytesUnasked);
  if (const int status = check(cudaFuncSetAttribute(key_gradient_rounded<D, kDropout>,
                                                    cudaFuncAttributeMaxDynamicSharedMemorySize, key_gradient_bytes<D>()),
                               "rhumb_attention_backward: cudaFuncSetAttribute")) {
    return status;
  }
  RHUMB_LAUNCH((query_gradient_rounded<D, kDropout>), tiles_of(s, kTile), dim3(kThreads), rounded_bytes<D>(), stream, s, q,
               k, v, dropout, known, grad, dq);
  RHUMB_LAUNCH((key_gradient_rounded<D, kDropout>), tiles_of(s, kTile), dim3(kThreads), key_gradient_bytes<D>(), stream, s,
               q, k, v, dropout, known, grad, dk, dv);
  return check(cudaGetLastError(), "rhumb_attention_backward: launch");
}

}  // namespace

int forward_bf16(const Shape &s, View q, View k, View v, const Dropout &dropout, Output out, float *log_sum_exp,
                 uint64_t *faults, cudaStream_t stream) {
  const bool drops = dropout.least != 0;
  const auto launch = s.width <= 32   ? (drops ? launch_forward<32, true> : launch_forward<32, false>)
                      : s.width <= 64 ? (drops ? launch_forward<64, true> : launch_forward<64, false>)
                                      : (drops ? launch_forward<128, true> : launch_forward<128, false>);
  return launch(s, q, k, v, dropout, out, log_sum_exp, faults, stream);
}

int backward_bf16(const Shape &s, View q, View k, View v, const Dropout &dropout, const Statistics &known, View grad,
                  Output dq, Output dk, Output dv, cudaStream_t stream) {
  const bool drops = dropout.least != 0;
  const auto launch = s.width <= 32   ? (drops ? launch_backward<32, true> : launch_backward<32, false>)
                      : s.width <= 64 ? (drops ? launch_backward<64, true> : launch_backward<64, false>)
                                      : (drops ? launch_backward<128, true> : launch_backward<128, false>);
  return launch(s, q, k, v, dropout, known, grad, dq, dk, dv, stream);
}

}  // namespace rhumb::attention
