// Causal attention over packed sequences, flash style: Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention
// with IO-Awareness" (2022). No tensor of queries x keys exists.
//
// A block owns 64 (or 32) rows of the batch in one head, wherever sequences begin and end in it: row r sees the keys from
// starts[r], where its sequence begins, to r itself. So short sequences share a tile, long ones need no tile of their own for
// their last rows, and the grid depends on the number of rows alone. starts[r] is between 0 and r whatever the offsets hold,
// so that bad offsets lead nowhere out of bounds.
//
// A row depends on its own sequence alone, whatever its neighbours in a tile hold: a weight of 0, which is what those have
// for it, leaves out what it would multiply.
//
// Versions: in float32, heads of up to 128 columns go through tiles in shared memory, padded with zeros to 32, 64 or 128;
// wider ones through plain kernels of one block for each row and head, whose sums live in the result. In bf16, heads of up
// to 128 go through attention_bf16.cu.
#include "attention.h"
#include "bf16.h"
#include "quads.h"
#include "reduce.h"
#include "tile.h"

namespace {

using namespace rhumb;
using namespace rhumb::attention;

constexpr int kThreads = kTileThreads;
constexpr int kWarps = kThreads / kWarp;

// --- Forward, by tiles ---------------------------------------------------------------------------------------------------

template <int D>
__host__ __device__ constexpr int forward_bytes() {
  return static_cast<int>(sizeof(float)) *
         (2 * tile_elements(kTile, D) + tile_elements(kTile, kTile) + kTile);
}

// Block (tile of 64 rows, head). Scores are kept times log2(e), for exp2.
template <int D, bool kDropout>
__global__ void __launch_bounds__(kThreads, D <= 64 ? 3 : 2)
    forward(Shape s, View q, View k, View v, Dropout dropout, Output out, float *log_sum_exp, uint64_t *faults) {
  constexpr int kRows = 8;
  constexpr int kColumns = D / 16;
  RHUMB_DYNAMIC_SHARED(float, shared);
  float *queries = shared;                              // (64, D)
  float *keys = queries + tile_elements(kTile, D);      // (64, D); then the values
  float *weights = keys + tile_elements(kTile, D);      // (64, 64)
  int *starts = reinterpret_cast<int *>(weights + tile_elements(kTile, kTile));  // (64)
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
  load_tile<kTile, D>(queries, end - row0, s.width, s.vector, [&](int r) { return q.at(s, row0 + r, head); });
  __syncthreads();

  // A warp has 16 rows in a line, its two groups by turns.
  const int lane = tile_lane();
  const int warp_row = tile_group() / 2 * 16;
  const int first = warp_row + tile_group() % 2;
  const int warp_start = starts[warp_row];
  const float scale = s.scale * kLog2E;
  float most[kRows];   // of the scores so far
  float sums[kRows];   // of the weights so far, over this thread's columns
  float mixed[kRows][kColumns];
#pragma unroll
  for (int i = 0; i < kRows; i++) {
    most[i] = -INFINITY;
    sums[i] = 0;
#pragma unroll
    for (int n = 0; n < kColumns; n++) {
      mixed[i][n] = 0;
    }
  }
  for (int key0 = starts[0]; key0 < end; key0 += kTile) {
    // The keys that this warp's rows see: from (multiples of 4) to.
    const int from = max(0, warp_start - key0) & ~3;
    const int to = min(kTile, (row0 + warp_row + 16 - key0 + 3) & ~3);
    __syncthreads();
    load_tile<kTile, D>(keys, end - key0, s.width, s.vector, [&](int r) { return k.at(s, key0 + r, head); });
    __syncthreads();
    if (from < to) {
      float scores[kRows][4] = {};
      add_scores<kRows, 2, D>(queries + first * (D + kTilePad), keys + lane * (D + kTilePad), scores);
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        const int r = first + 2 * i;
        const int start = starts[r];
        float now = most[i];
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const int key = key0 + lane + 16 * j;
          // Rounded apart from the difference below, so that the largest score's is 0 exactly.
          scores[i][j] = start <= key && key <= row0 + r ? __fmul_rn(scores[i][j], scale) : -INFINITY;
          now = max(now, scores[i][j]);
        }
        now = warp_max<float, 16>(now);
        const float base = now == -INFINITY ? 0 : now;
        const float fade = exp2f(most[i] - base);
        most[i] = now;
        sums[i] *= fade;
#pragma unroll
        for (int n = 0; n < kColumns; n++) {
          mixed[i][n] *= fade;
        }
        PhiloxWords bits = {};
        if constexpr (kDropout) {
          const uint32_t row = static_cast<uint32_t>(row0 + r) * static_cast<uint32_t>(s.heads) + head;
          bits = dropout_words(dropout, row, key0 + lane - start);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const float weight = exp2f(scores[i][j] - base);
          sums[i] += weight;
          const bool kept = !kDropout || bits.word[j] >= dropout.least;
          weights[r * kScoreStride + lane + 16 * j] = kept ? weight : 0;
        }
      }
    }
    __syncthreads();
    const bool finite =
        load_tile<kTile, D>(keys, end - key0, s.width, s.vector, [&](int r) { return v.at(s, key0 + r, head); });
    const bool all_finite = __syncthreads_and(finite) != 0;
    add_masked_product<kRows, 2, kColumns>(weights + first * kScoreStride, keys, from, to, all_finite, mixed);
  }
#pragma unroll
  for (int i = 0; i < kRows; i++) {
    const int row = row0 + first + 2 * i;
    const float sum = warp_sum<float, 16>(sums[i]);
    if (row < end) {
      store_columns<kColumns>(out.at(s, row, head), s.width, s.vector, dropout.factor / sum, mixed[i]);
      if (log_sum_exp != nullptr && lane == 0) {
        log_sum_exp[static_cast<int64_t>(row) * s.heads + head] = most[i] * kLn2 + logf(sum);
      }
    }
  }
}

// --- Forward, one query at a time ----------------------------------------------------------------------------------------

// out (width) = softmax over the keys first <= j < end of q . k[j] scale, times v; returns the logarithm of the softmax's
// denominator. A block of kThreads calls it. row: the query's for dropout.
template <int kThreads, bool kDropout>
__device__ float attend(const Shape &s, int head, const float *query, View k, View v, int first, int end,
                        const Dropout &dropout, uint32_t row, float *out) {
  constexpr int kWarps = kThreads / kWarp;
  constexpr int kKeys = 512;
  __shared__ float weights[kKeys];
  __shared__ float parts[kWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float most = -INFINITY;
  float sum = 0;
  for (int key0 = first; key0 < end; key0 += kKeys) {
    const int here = min(kKeys, end - key0);
    for (int j = warp; j < here; j += kWarps) {
      const float *key = k.at(s, key0 + j, head);
      float dot = 0;
      for (int c = lane; c < s.width; c += kWarp) {
        dot += query[c] * key[c];
      }
      dot = warp_sum(dot);
      if (lane == 0) {
        weights[j] = __fmul_rn(dot, s.scale);
      }
    }
    __syncthreads();
    float now = most;
    for (int j = threadIdx.x; j < here; j += kThreads) {
      now = max(now, weights[j]);
    }
    now = block_max<kThreads>(now);
    const float fade = expf(most - now);
    most = now;
    float part = 0;
    for (int j = threadIdx.x; j < here; j += kThreads) {
      const float weight = expf(weights[j] - now);
      part += weight;
      const bool kept = !kDropout || philox_bits(dropout.key, dropout.stream, row, key0 + j - first) >= dropout.least;
      weights[j] = kept ? weight : 0;
    }
    sum = sum * fade + block_sum<kThreads>(part);  // its barrier lets the weights be read
    // 32 columns at a time, each warp its share of the keys.
    for (int c0 = 0; c0 < s.width; c0 += kWarp) {
      const int c = c0 + lane;
      float mixed = 0;
      if (c < s.width) {
#pragma unroll 4
        for (int j = warp; j < here; j += kWarps) {
          mixed += weights[j] * v.at(s, key0 + j, head)[c];
        }
      }
      parts[warp][lane] = mixed;
      __syncthreads();
      if (warp == 0 && c < s.width) {
        mixed = key0 == first ? 0 : out[c] * fade;
        for (int w = 0; w < kWarps; w++) {
          mixed += parts[w][lane];
        }
        out[c] = key0 + here == end ? mixed * (dropout.factor / sum) : mixed;
      }
      __syncthreads();
    }
  }
  return most + logf(sum);
}

// Block (row, head): heads of any width.
template <bool kDropout>
__global__ void __launch_bounds__(kThreads)
    forward_wide(Shape s, View q, View k, View v, Dropout dropout, Output out, float *log_sum_exp, uint64_t *faults) {
  if (blockIdx.x == 0) {
    check_offsets(s, faults);
  }
  const int row = static_cast<int>(blockIdx.x / s.heads);
  const int head = static_cast<int>(blockIdx.x % s.heads);
  if (row >= s.rows) {
    return;
  }
  const float lse =
      attend<kThreads, kDropout>(s, head, q.at(s, row, head), k, v, start_of(s, row), row + 1, dropout,
                                 static_cast<uint32_t>(row) * static_cast<uint32_t>(s.heads) + head,
                                 out.at(s, row, head));
  if (log_sum_exp != nullptr && threadIdx.x == 0) {
    log_sum_exp[static_cast<int64_t>(row) * s.heads + head] = lse;
  }
}

// Block (sequence, head): one query over all of its keys, by many threads, for the least time from start to end.
constexpr int kLastThreads = 512;
__global__ void __launch_bounds__(kLastThreads)
    last(Shape s, View q, View k, View v, Output out, uint64_t *faults) {
  if (blockIdx.x == 0 && s.offsets != nullptr) {
    check_offsets(s, faults);
  }
  const int sequence = static_cast<int>(blockIdx.x / s.heads);
  const int head = static_cast<int>(blockIdx.x % s.heads);
  // Bad offsets are told of above; clamped, they lead nowhere out of bounds.
  const int first = s.offsets == nullptr ? 0 : min(max(s.offsets[sequence], 0), s.rows);
  const int end = s.offsets == nullptr ? s.rows : min(max(s.offsets[sequence + 1], 0), s.rows);
  float *to = out.at(s, sequence, head);
  if (first >= end) {
    for (int c = threadIdx.x; c < s.width; c += kLastThreads) {
      to[c] = 0;
    }
    return;
  }
  attend<kLastThreads, false>(s, head, q.at(s, sequence, head), k, v, first, end, Dropout{0, 0, 0, 1.0f}, 0, to);
}

// --- Padding -------------------------------------------------------------------------------------------------------------

// Warp (row, head).
__global__ void __launch_bounds__(kThreads)
    add_padding(Shape s, int64_t window, View q, const float *pad_key, const float *pad_value, const float *log_sum_exp,
                Output out, uint64_t *faults) {
  if (blockIdx.x == 0) {
    check_offsets(s, faults);
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
       i < static_cast<int64_t>(s.rows) * s.heads; i += step) {
    const int row = static_cast<int>(i / s.heads);
    const int head = static_cast<int>(i % s.heads);
    const int b = sequence_of(s, row);
    const int64_t padding = b < 0 ? 0 : window - (static_cast<int64_t>(s.offsets[b + 1]) - s.offsets[b]);
    if (padding <= 0) {
      continue;
    }
    const float *query = q.at(s, row, head);
    const float *key = pad_key + static_cast<int64_t>(head) * s.width;
    const float *value = pad_value + static_cast<int64_t>(head) * s.width;
    float dot = 0;
    for (int c = lane; c < s.width; c += kWarp) {
      dot += query[c] * key[c];
    }
    const float score = warp_sum(dot) * s.scale + logf(static_cast<float>(padding));
    const float weight = 1 / (1 + expf(log_sum_exp[i] - score));
    float *mixed = out.at(s, row, head);
    for (int c = lane; c < s.width; c += kWarp) {
      mixed[c] += weight * (value[c] - mixed[c]);
    }
  }
}

// --- Backward ------------------------------------------------------------------------------------------------------------
//
// With w the softmax, m dropout's factor (0 or 1 / (1 - p)) and g the gradient in out: of a weight dw[j] = m[j] g . v[j], of a
// score ds[j] = w[j] (dw[j] - delta), where delta, the sum over i of w[i] dw[i], is g . out.

// Warp (row, head): delta, and where each row's sequence begins. kRounded: of grad as bf16.
template <bool kRounded>
__global__ void __launch_bounds__(kThreads)
    prepare(Shape s, View out, View grad, float *delta, int32_t *starts, uint64_t *faults) {
  if (blockIdx.x == 0) {
    check_offsets(s, faults);
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
       i < static_cast<int64_t>(s.rows) * s.heads; i += step) {
    const int row = static_cast<int>(i / s.heads);
    const int head = static_cast<int>(i % s.heads);
    const float *a = out.at(s, row, head);
    const float *b = grad.at(s, row, head);
    float dot = 0;
    for (int c = lane; c < s.width; c += kWarp) {
      dot += a[c] * (kRounded ? to_bf16(b[c]) : b[c]);
    }
    dot = warp_sum(dot);
    if (lane == 0) {
      delta[i] = dot;
      if (head == 0) {
        starts[row] = start_of(s, row);
      }
    }
  }
}

// Rows of a block: fewer where the head is wide, for the registers and the shared memory of two blocks on a processor.
template <int D>
__host__ __device__ constexpr int backward_rows() {
  return D <= 64 ? 8 : 4;
}

template <int D>
__host__ __device__ constexpr int backward_bytes() {
  constexpr int kHeight = kTileGroups * backward_rows<D>();
  return static_cast<int>(sizeof(float)) *
         (2 * tile_elements(kHeight, D) + tile_elements(kTile, D) + tile_elements(kHeight, kTile) + 3 * kTile);
}

// Block (tile of queries, head): dq.
template <int D, bool kDropout>
__global__ void __launch_bounds__(kThreads)
    query_gradient(Shape s, View q, View k, View v, Dropout dropout, Statistics known, View grad, Output dq) {
  constexpr int kRows = backward_rows<D>();
  constexpr int kHeight = kTileGroups * kRows;
  constexpr int kColumns = D / 16;
  RHUMB_DYNAMIC_SHARED(float, shared);
  float *queries = shared;                             // (kHeight, D)
  float *grads = queries + tile_elements(kHeight, D);  // (kHeight, D)
  float *keys = grads + tile_elements(kHeight, D);     // (64, D); the values, then the keys
  float *slopes = keys + tile_elements(kTile, D);      // (kHeight, 64): the gradient of each score
  const int row0 = static_cast<int>(blockIdx.x / s.heads) * kHeight;
  const int head = static_cast<int>(blockIdx.x % s.heads);
  const int end = min(row0 + kHeight, s.rows);
  load_tile<kHeight, D>(queries, end - row0, s.width, s.vector, [&](int r) { return q.at(s, row0 + r, head); });
  load_tile<kHeight, D>(grads, end - row0, s.width, s.vector, [&](int r) { return grad.at(s, row0 + r, head); });

  const int lane = tile_lane();
  const int warp_row = tile_group() / 2 * 2 * kRows;
  const int first = warp_row + tile_group() % 2;
  const int warp_start = row0 + warp_row < end ? known.starts[row0 + warp_row] : end;
  int start[kRows];
  float lse[kRows];  // times log2(e)
  float delta[kRows];
  float sums[kRows][kColumns];
#pragma unroll
  for (int i = 0; i < kRows; i++) {
    const int row = min(row0 + first + 2 * i, end - 1);
    start[i] = known.starts[row];
    lse[i] = known.log_sum_exp[static_cast<int64_t>(row) * s.heads + head] * kLog2E;
    delta[i] = known.delta[static_cast<int64_t>(row) * s.heads + head];
#pragma unroll
    for (int n = 0; n < kColumns; n++) {
      sums[i][n] = 0;
    }
  }
  const float scale = s.scale * kLog2E;
  for (int key0 = known.starts[row0]; key0 < end; key0 += kTile) {
    const int from = max(0, warp_start - key0) & ~3;
    const int to = min(kTile, (row0 + warp_row + 2 * kRows - key0 + 3) & ~3);
    __syncthreads();
    load_tile<kTile, D>(keys, end - key0, s.width, s.vector, [&](int r) { return v.at(s, key0 + r, head); });
    __syncthreads();
    float weight_slopes[kRows][4] = {};
    if (from < to) {
      add_scores<kRows, 2, D>(grads + first * (D + kTilePad), keys + lane * (D + kTilePad), weight_slopes);
    }
    __syncthreads();
    const bool finite =
        load_tile<kTile, D>(keys, end - key0, s.width, s.vector, [&](int r) { return k.at(s, key0 + r, head); });
    const bool all_finite = __syncthreads_and(finite) != 0;
    if (from < to) {
      float scores[kRows][4] = {};
      add_scores<kRows, 2, D>(queries + first * (D + kTilePad), keys + lane * (D + kTilePad), scores);
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        const int row = row0 + first + 2 * i;
        PhiloxWords bits = {};
        if constexpr (kDropout) {
          bits = dropout_words(dropout, static_cast<uint32_t>(row) * static_cast<uint32_t>(s.heads) + head,
                               key0 + lane - start[i]);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const int key = key0 + lane + 16 * j;
          const bool seen = start[i] <= key && key <= row && row < end;
          const bool kept = !kDropout || bits.word[j] >= dropout.least;
          const float weight = seen ? exp2f(scores[i][j] * scale - lse[i]) : 0;
          const float slope = weight * ((kept ? dropout.factor * weight_slopes[i][j] : 0) - delta[i]);
          slopes[(first + 2 * i) * kScoreStride + lane + 16 * j] = seen ? slope : 0;
        }
      }
      __syncwarp();
      add_masked_product<kRows, 2, kColumns>(slopes + first * kScoreStride, keys, from, to, all_finite, sums);
      __syncwarp();
    }
  }
#pragma unroll
  for (int i = 0; i < kRows; i++) {
    const int row = row0 + first + 2 * i;
    if (row < end) {
      store_columns<kColumns>(dq.at(s, row, head), s.width, s.vector, s.scale, sums[i]);
    }
  }
}

// Block (tile of keys, head): dk and dv, over the tiles of the queries that see one of these keys.
template <int D, bool kDropout>
__global__ void __launch_bounds__(kThreads, 2)
    key_gradient(Shape s, View q, View k, View v, Dropout dropout, Statistics known, View grad, Output dk, Output dv) {
  constexpr int kRows = backward_rows<D>();
  constexpr int kHeight = kTileGroups * kRows;
  constexpr int kColumns = D / 16;
  RHUMB_DYNAMIC_SHARED(float, shared);
  float *keys = shared;                               // (kHeight, D)
  float *values = keys + tile_elements(kHeight, D);   // (kHeight, D)
  float *queries = values + tile_elements(kHeight, D);  // (64, D); then their gradients, then the queries again
  float *slopes = queries + tile_elements(kTile, D);  // (kHeight, 64): weights with dropout, then the gradient of scores
  int *starts = reinterpret_cast<int *>(slopes + tile_elements(kHeight, kTile));  // (64), of the queries
  float *lse = reinterpret_cast<float *>(starts + kTile);                         // (64), times log2(e)
  float *delta = lse + kTile;                                                     // (64)
  const int key0 = static_cast<int>(blockIdx.x / s.heads) * kHeight;
  const int head = static_cast<int>(blockIdx.x % s.heads);
  const int end = min(key0 + kHeight, s.rows);
  load_tile<kHeight, D>(keys, end - key0, s.width, s.vector, [&](int r) { return k.at(s, key0 + r, head); });
  load_tile<kHeight, D>(values, end - key0, s.width, s.vector, [&](int r) { return v.at(s, key0 + r, head); });

  // A thread's keys lie 8 apart, so that one evaluation of Philox serves every second of them.
  const int lane = tile_lane();
  const int first = tile_group();
  const float scale = s.scale * kLog2E;
  float key_sums[kRows][kColumns] = {};
  float value_sums[kRows][kColumns] = {};
  // Once the first query of a tile belongs to a sequence behind these keys, so do all later ones.
  for (int row0 = key0; row0 < s.rows && known.starts[row0] < end; row0 += kTile) {
    const int rows = min(kTile, s.rows - row0);
    __syncthreads();
    load_tile<kTile, D>(queries, rows, s.width, s.vector, [&](int r) { return q.at(s, row0 + r, head); });
    bool sees = false;
    if (threadIdx.x < kTile) {
      const int64_t row = row0 + min(static_cast<int>(threadIdx.x), rows - 1);
      // Behind the last row: a sequence that begins behind every key.
      const int start = static_cast<int>(threadIdx.x) < rows ? known.starts[row] : s.rows;
      sees = start < end;
      starts[threadIdx.x] = start;
      lse[threadIdx.x] = known.log_sum_exp[row * s.heads + head] * kLog2E;
      delta[threadIdx.x] = known.delta[row * s.heads + head];
    }
    // The queries in front belong to sequences that begin before the last of these keys; a multiple of 4.
    const int to = (__syncthreads_count(sees) + 3) & ~3;
    float weights[kRows][4] = {};
    add_scores<kRows, kTileGroups, D>(keys + first * (D + kTilePad), queries + lane * (D + kTilePad), weights);
    uint32_t kept = 0xffffffffu;  // bit 4 i + j
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const int row = row0 + lane + 16 * j;
      const int start = starts[lane + 16 * j];
      if constexpr (kDropout) {
        const uint32_t place_row = static_cast<uint32_t>(row) * static_cast<uint32_t>(s.heads) + head;
#pragma unroll
        for (int odd = 0; odd < 2; odd++) {
          const PhiloxWords bits = dropout_words(dropout, place_row, key0 + first + kTileGroups * odd - start);
#pragma unroll
          for (int i = odd; i < kRows; i += 2) {
            kept &= ~(static_cast<uint32_t>(bits.word[i / 2] < dropout.least) << (4 * i + j));
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        const int key = key0 + first + kTileGroups * i;
        const bool seen = start <= key && key <= row;
        weights[i][j] = seen ? exp2f(weights[i][j] * scale - lse[lane + 16 * j]) : 0;
        slopes[(first + kTileGroups * i) * kScoreStride + lane + 16 * j] =
            (kept >> (4 * i + j) & 1) != 0 ? dropout.factor * weights[i][j] : 0;
      }
    }
    __syncthreads();
    bool finite =
        load_tile<kTile, D>(queries, rows, s.width, s.vector, [&](int r) { return grad.at(s, row0 + r, head); });
    bool all_finite = __syncthreads_and(finite) != 0;
    add_masked_product<kRows, kTileGroups, kColumns>(slopes + first * kScoreStride, queries, 0, to, all_finite,
                                                     value_sums);
    float weight_slopes[kRows][4] = {};
    add_scores<kRows, kTileGroups, D>(values + first * (D + kTilePad), queries + lane * (D + kTilePad), weight_slopes);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kRows; i++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float slope = (kept >> (4 * i + j) & 1) != 0 ? dropout.factor * weight_slopes[i][j] : 0;
        const float weight = weights[i][j];
        slopes[(first + kTileGroups * i) * kScoreStride + lane + 16 * j] =
            weight == 0 ? 0 : weight * (slope - delta[lane + 16 * j]);
      }
    }
    __syncthreads();
    finite = load_tile<kTile, D>(queries, rows, s.width, s.vector, [&](int r) { return q.at(s, row0 + r, head); });
    all_finite = __syncthreads_and(finite) != 0;
    add_masked_product<kRows, kTileGroups, kColumns>(slopes + first * kScoreStride, queries, 0, to, all_finite,
                                                     key_sums);
  }
#pragma unroll
  for (int i = 0; i < kRows; i++) {
    const int key = key0 + first + kTileGroups * i;
    if (key < end) {
      store_columns<kColumns>(dk.at(s, key, head), s.width, s.vector, s.scale, key_sums[i]);
      store_columns<kColumns>(dv.at(s, key, head), s.width, s.vector, 1.0f, value_sums[i]);
    }
  }
}

// Both gradients of one pair of rows: the weight with dropout and the gradient of its score, before the scale. A warp calls
// it; all lanes get the same.
template <bool kDropout>
__device__ float2 pair(const Shape &s, int head, int row, int key, View q, View k, View v, const Dropout &dropout,
                       const Statistics &known, View grad) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t at = static_cast<int64_t>(row) * s.heads + head;
  float score = 0;
  float slope = 0;
  for (int c = lane; c < s.width; c += kWarp) {
    score += q.at(s, row, head)[c] * k.at(s, key, head)[c];
    slope += grad.at(s, row, head)[c] * v.at(s, key, head)[c];
  }
  score = warp_sum(score);
  slope = warp_sum(slope);
  const float weight = expf(score * s.scale - known.log_sum_exp[at]);
  const bool kept = !kDropout || philox_bits(dropout.key, dropout.stream, static_cast<uint32_t>(at),
                                             key - known.starts[row]) >= dropout.least;
  const float factor = kept ? dropout.factor : 0;
  return make_float2(weight * factor, weight * (factor * slope - known.delta[at]));
}

// Block (row, head), heads of any width: dq of the row as a query, dk and dv of it as a key.
template <bool kDropout>
__global__ void __launch_bounds__(kThreads)
    gradient_wide(Shape s, View q, View k, View v, Dropout dropout, Statistics known, View grad, Output dq, Output dk,
                  Output dv) {
  constexpr int kPairs = 32;
  __shared__ float2 pairs[kPairs];
  const int row = static_cast<int>(blockIdx.x / s.heads);
  const int head = static_cast<int>(blockIdx.x % s.heads);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  float *query_sums = dq.at(s, row, head);
  float *key_sums = dk.at(s, row, head);
  float *value_sums = dv.at(s, row, head);
  for (int c = threadIdx.x; c < s.width; c += kThreads) {
    query_sums[c] = 0;
    key_sums[c] = 0;
    value_sums[c] = 0;
  }
  for (int key0 = known.starts[row]; key0 <= row; key0 += kPairs) {
    const int here = min(kPairs, row + 1 - key0);
    for (int j = warp; j < here; j += kWarps) {
      pairs[j] = pair<kDropout>(s, head, row, key0 + j, q, k, v, dropout, known, grad);
    }
    __syncthreads();
    for (int c = threadIdx.x; c < s.width; c += kThreads) {
      float sum = query_sums[c];
      for (int j = 0; j < here; j++) {
        sum += pairs[j].y * s.scale * k.at(s, key0 + j, head)[c];
      }
      query_sums[c] = sum;
    }
    __syncthreads();
  }
  // The queries that see this key follow it, up to the end of its sequence.
  for (int row0 = row; row0 < s.rows && known.starts[row0] <= row; row0 += kPairs) {
    int here = min(kPairs, s.rows - row0);
    while (known.starts[row0 + here - 1] > row) {  // not beyond row0's own, which is not
      here--;
    }
    for (int i = warp; i < here; i += kWarps) {
      pairs[i] = pair<kDropout>(s, head, row0 + i, row, q, k, v, dropout, known, grad);
    }
    __syncthreads();
    for (int c = threadIdx.x; c < s.width; c += kThreads) {
      float key_sum = key_sums[c];
      float value_sum = value_sums[c];
      for (int i = 0; i < here; i++) {
        value_sum += pairs[i].x * grad.at(s, row0 + i, head)[c];
        key_sum += pairs[i].y * s.scale * q.at(s, row0 + i, head)[c];
      }
      key_sums[c] = key_sum;
      value_sums[c] = value_sum;
    }
    __syncthreads();
  }
}

// --- Launches ------------------------------------------------------------------------------------------------------------

constexpr int64_t kMostBlocks = 4096;  // of kernels that stride over the rest
constexpr int64_t kMostGrid = INT32_MAX;
constexpr int64_t kWidestTile = 128;

Dropout dropout_of(float p, int64_t key, int64_t stream) {
  return {key, stream, philox_keep_threshold(p), static_cast<float>(1 / (1 - static_cast<double>(p)))};
}

// What all calls over packed sequences refuse.
int check_shape(const char *call, int64_t sequences, const int32_t *offsets, int64_t rows, int64_t heads,
                int64_t width, const uint64_t *faults) {
  if (const int status = check_counts(call, {{"sequences", sequences}, {"rows", rows}})) {
    return status;
  }
  if (const int status = check_positive(call, {{"heads", heads}, {"head_width", width}})) {
    return status;
  }
  if (const int status = check_pointers(call, {{"d_offsets", offsets}, {"d_faults", faults}})) {
    return status;
  }
  if (sequences >= INT32_MAX || rows > INT32_MAX || width > INT32_MAX || heads > kMostGrid / (rows == 0 ? 1 : rows)) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: %lld sequences, %lld rows, %lld heads of %lld are more than 2^31 - 1", call,
                static_cast<long long>(sequences), static_cast<long long>(rows), static_cast<long long>(heads),
                static_cast<long long>(width));
  }
  return RHUMB_OK;
}

Shape shape_of(int64_t sequences, const int32_t *offsets, int64_t rows, int64_t heads, int64_t width, bool vector) {
  return {offsets,
          static_cast<int>(sequences),
          static_cast<int>(rows),
          static_cast<int>(heads),
          static_cast<int>(width),
          vector && width % 4 == 0,
          static_cast<float>(1 / std::sqrt(static_cast<double>(width)))};
}

// Whether a call runs on tensor cores.
bool is_rounded(int precision, const Shape &s) { return precision == RHUMB_BF16 && s.width <= kWidestRounded; }

// A warp for each row and head.
dim3 warps_of(const Shape &s) {
  const int64_t blocks = (static_cast<int64_t>(s.rows) * s.heads + kWarps - 1) / kWarps;
  return dim3(static_cast<unsigned>(blocks < 1 ? 1 : blocks < kMostBlocks ? blocks : kMostBlocks));
}

template <int D, bool kDropout>
int launch_forward(const Shape &s, View q, View k, View v, const Dropout &dropout, Output out, float *log_sum_exp,
                   uint64_t *faults, cudaStream_t stream) {
  if (const int status = check(cudaFuncSetAttribute(forward<D, kDropout>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    forward_bytes<D>()),
                               "rhumb_attention: cudaFuncSetAttribute")) {
    return status;
  }
  RHUMB_LAUNCH((forward<D, kDropout>), tiles_of(s, kTile), dim3(kThreads), forward_bytes<D>(), stream, s, q, k, v,
               dropout, out, log_sum_exp, faults);
  return check(cudaGetLastError(), "rhumb_attention: launch");
}

template <bool kDropout>
int launch_forward(const Shape &s, View q, View k, View v, const Dropout &dropout, Output out, float *log_sum_exp,
                   uint64_t *faults, cudaStream_t stream) {
  if (s.width <= 32) {
    return launch_forward<32, kDropout>(s, q, k, v, dropout, out, log_sum_exp, faults, stream);
  }
  if (s.width <= 64) {
    return launch_forward<64, kDropout>(s, q, k, v, dropout, out, log_sum_exp, faults, stream);
  }
  if (s.width <= kWidestTile) {
    return launch_forward<128, kDropout>(s, q, k, v, dropout, out, log_sum_exp, faults, stream);
  }
  RHUMB_LAUNCH((forward_wide<kDropout>), tiles_of(s, 1), dim3(kThreads), 0, stream, s, q, k, v, dropout, out,
               log_sum_exp, faults);
  return check(cudaGetLastError(), "rhumb_attention: launch");
}

template <int D, bool kDropout>
int launch_backward(const Shape &s, View q, View k, View v, const Dropout &dropout, const Statistics &known, View grad,
                    Output dq, Output dk, Output dv, cudaStream_t stream) {
  constexpr int kBytes = backward_bytes<D>();
  constexpr int kHeight = kTileGroups * backward_rows<D>();
  const auto attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  const char *const call = "rhumb_attention_backward: cudaFuncSetAttribute";
  if (const int status = check(cudaFuncSetAttribute(query_gradient<D, kDropout>, attribute, kBytes), call)) {
    return status;
  }
  if (const int status = check(cudaFuncSetAttribute(key_gradient<D, kDropout>, attribute, kBytes), call)) {
    return status;
  }
  RHUMB_LAUNCH((query_gradient<D, kDropout>), tiles_of(s, kHeight), dim3(kThreads), kBytes, stream, s, q, k, v,
               dropout, known, grad, dq);
  RHUMB_LAUNCH((key_gradient<D, kDropout>), tiles_of(s, kHeight), dim3(kThreads), kBytes, stream, s, q, k, v, dropout,
               known, grad, dk, dv);
  return check(cudaGetLastError(), "rhumb_attention_backward: launch");
}

template <bool kDropout>
int launch_backward(const Shape &s, View q, View k, View v, const Dropout &dropout, const Statistics &known, View grad,
                    Output dq, Output dk, Output dv, cudaStream_t stream) {
  if (s.width <= 32) {
    return launch_backward<32, kDropout>(s, q, k, v, dropout, known, grad, dq, dk, dv, stream);
  }
  if (s.width <= 64) {
    return launch_backward<64, kDropout>(s, q, k, v, dropout, known, grad, dq, dk, dv, stream);
  }
  if (s.width <= kWidestTile) {
    return launch_backward<128, kDropout>(s, q, k, v, dropout, known, grad, dq, dk, dv, stream);
  }
  RHUMB_LAUNCH((gradient_wide<kDropout>), tiles_of(s, 1), dim3(kThreads), 0, stream, s, q, k, v, dropout, known, grad,
               dq, dk, dv);
  return check(cudaGetLastError(), "rhumb_attention_backward: launch");
}

}  // namespace

int rhumb_attention(int precision, int64_t sequences, const int32_t *d_offsets, int64_t rows, int64_t heads,
                    int64_t head_width, const float *d_q, int64_t q_stride, const float *d_k, int64_t k_stride,
                    const float *d_v, int64_t v_stride, float p, int64_t key, int64_t offset, float *d_out,
                    int64_t out_stride, float *d_log_sum_exp, uint64_t *d_faults, void *stream) {
  const char *const call = "rhumb_attention";
  if (const int status = check_precision(call, precision)) {
    return status;
  }
  if (const int status = check_shape(call, sequences, d_offsets, rows, heads, head_width, d_faults)) {
    return status;
  }
  if (rows > 0) {
    if (const int status = check_pointers(call, {{"d_q", d_q}, {"d_k", d_k}, {"d_v", d_v}, {"d_out", d_out}})) {
      return status;
    }
  }
  const Shape s = shape_of(sequences, d_offsets, rows, heads, head_width,
                           aligned16(d_q, q_stride) && aligned16(d_k, k_stride) && aligned16(d_v, v_stride) &&
                               aligned16(d_out, out_stride));
  const auto launch = is_rounded(precision, s) ? forward_bf16
                      : p == 0                 ? launch_forward<false>
                                               : launch_forward<true>;
  return launch(s, {d_q, q_stride}, {d_k, k_stride}, {d_v, v_stride}, dropout_of(p, key, offset), {d_out, out_stride},
                d_log_sum_exp, d_faults, static_cast<cudaStream_t>(stream));
}

int64_t rhumb_attention_backward_scratch(int64_t rows, int64_t heads, int64_t) {
  return static_cast<int64_t>(sizeof(float)) * rows * (heads + 1);
}

int rhumb_attention_backward(int precision, int64_t sequences, const int32_t *d_offsets, int64_t rows,
                             int64_t heads, int64_t head_width, const float *d_q, int64_t q_stride, const float *d_k,
                             int64_t k_stride, const float *d_v, int64_t v_stride, float p, int64_t key, int64_t offset,
                             const float *d_out, int64_t out_stride, const float *d_log_sum_exp,
                             const float *d_grad_out, int64_t grad_out_stride, float *d_dq, int64_t dq_stride,
                             float *d_dk, int64_t dk_stride, float *d_dv, int64_t dv_stride, void *d_scratch,
                             int64_t scratch_bytes, uint64_t *d_faults, void *stream) {
  const char *const call = "rhumb_attention_backward";
  if (const int status = check_precision(call, precision)) {
    return status;
  }
  if (const int status = check_shape(call, sequences, d_offsets, rows, heads, head_width, d_faults)) {
    return status;
  }
  if (rows > 0) {
    if (const int status = check_pointers(call, {{"d_q", d_q},
                                                 {"d_k", d_k},
                                                 {"d_v", d_v},
                                                 {"d_out", d_out},
                                                 {"d_log_sum_exp", d_log_sum_exp},
                                                 {"d_grad_out", d_grad_out},
                                                 {"d_dq", d_dq},
                                                 {"d_dk", d_dk},
                                                 {"d_dv", d_dv}})) {
      return status;
    }
  }
  const int64_t needed = rhumb_attention_backward_scratch(rows, heads, head_width);
  if (const int status = check_scratch(call, d_scratch, scratch_bytes, needed)) {
    return status;
  }
  const Shape s = shape_of(sequences, d_offsets, rows, heads, head_width,
                           aligned16(d_q, q_stride) && aligned16(d_k, k_stride) && aligned16(d_v, v_stride) &&
                               aligned16(d_grad_out, grad_out_stride) && aligned16(d_dq, dq_stride) &&
                               aligned16(d_dk, dk_stride) && aligned16(d_dv, dv_stride));
  const auto launched = static_cast<cudaStream_t>(stream);
  float *delta = static_cast<float *>(d_scratch);                              // (rows, heads)
  int32_t *starts = reinterpret_cast<int32_t *>(delta + rows * heads);         // (rows)
  const View grad{d_grad_out, grad_out_stride};
  const bool rounded = is_rounded(precision, s);
  const auto prepare_rows = rounded ? prepare<true> : prepare<false>;
  RHUMB_LAUNCH(prepare_rows, warps_of(s), dim3(kThreads), 0, launched, s, View{d_out, out_stride}, grad, delta, starts,
               d_faults);
  if (const int status = check(cudaGetLastError(), "rhumb_attention_backward: launch")) {
    return status;
  }
  if (rows == 0) {
    return RHUMB_OK;
  }
  const auto launch = rounded ? backward_bf16 : p == 0 ? launch_backward<false> : launch_backward<true>;
  return launch(s, {d_q, q_stride}, {d_k, k_stride}, {d_v, v_stride}, dropout_of(p, key, offset),
                {d_log_sum_exp, delta, starts}, grad, {d_dq, dq_stride}, {d_dk, dk_stride}, {d_dv, dv_stride},
                launched);
}

int rhumb_add_padding(int64_t sequences, const int32_t *d_offsets, int64_t rows, int64_t window, int64_t heads,
                      int64_t head_width, const float *d_q, int64_t q_stride, const float *d_pad_key,
                      const float *d_pad_value, const float *d_log_sum_exp, float *d_out, int64_t out_stride,
                      uint64_t *d_faults, void *stream) {
  const char *const call = "rhumb_add_padding";
  if (const int status = check_shape(call, sequences, d_offsets, rows, heads, head_width, d_faults)) {
    return status;
  }
  if (const int status = check_counts(call, {{"window", window}})) {
    return status;
  }
  if (rows > 0) {
    if (const int status = check_pointers(call, {{"d_q", d_q},
                                                 {"d_pad_key", d_pad_key},
                                                 {"d_pad_value", d_pad_value},
                                                 {"d_log_sum_exp", d_log_sum_exp},
                                                 {"d_out", d_out}})) {
      return status;
    }
  }
  const Shape s = shape_of(sequences, d_offsets, rows, heads, head_width, false);
  RHUMB_LAUNCH(add_padding, warps_of(s), dim3(kThreads), 0, static_cast<cudaStream_t>(stream), s, window,
               View{d_q, q_stride}, d_pad_key, d_pad_value, d_log_sum_exp, Output{d_out, out_stride}, d_faults);
  return check(cudaGetLastError(), "rhumb_add_padding: launch");
}

int rhumb_attention_last(int64_t sequences, const int32_t *d_offsets, int64_t rows, int64_t heads, int64_t head_width,
                         const float *d_q, int64_t q_stride, const float *d_k, int64_t k_stride, const float *d_v,
                         int64_t v_stride, float *d_out, int64_t out_stride, uint64_t *d_faults, void *stream) {
  const char *const call = "rhumb_attention_last";
  if (const int status = check_counts(call, {{"sequences", sequences}, {"rows", rows}})) {
    return status;
  }
  if (const int status = check_positive(call, {{"heads", heads}, {"head_width", head_width}})) {
    return status;
  }
  if (sequences == 0) {
    return RHUMB_OK;
  }
  if (const int status = check_pointers(
          call, {{"d_q", d_q}, {"d_k", d_k}, {"d_v", d_v}, {"d_out", d_out}, {"d_faults", d_faults}})) {
    return status;
  }
  if (d_offsets == nullptr && sequences > 1) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: %lld sequences need d_offsets", call, static_cast<long long>(sequences));
  }
  if (rows > INT32_MAX || sequences > kMostGrid / heads || head_width > INT32_MAX) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: %lld rows, %lld sequences, %lld heads of %lld are too many", call,
                static_cast<long long>(rows), static_cast<long long>(sequences), static_cast<long long>(heads),
                static_cast<long long>(head_width));
  }
  const Shape s = shape_of(sequences, d_offsets, rows, heads, head_width, false);
  RHUMB_LAUNCH(last, dim3(static_cast<unsigned>(sequences * heads)), dim3(kLastThreads), 0,
               static_cast<cudaStream_t>(stream), s, View{d_q, q_stride}, View{d_k, k_stride}, View{d_v, v_stride},
               Output{d_out, out_stride}, d_faults);
  return check(cudaGetLastError(), "rhumb_attention_last: launch");
}
