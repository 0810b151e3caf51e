// The TopK encode on tensor cores that is exact all the same, and never holds a matrix of rows x features.
//
// Five kernels, then the direct path (encode.cu) for rows that are left:
//
//   prepare   one warp a row: c = x - b_dec in bf16, and the row's norms, by which each feature's error E_f is known
//   scan      (as seed) the greatest of s_f - E_f, at least, of each group of 8 features in a sample of tiles
//   seed      one warp a row: the K-th greatest of these, which K features at least reach: the row's first floor
//   scan      all scores, tile by tile; those that reach the row's floor less E_f are appended to the row's candidates. When
//             they fill up, the warp that owns the row finds the K-th best s_f - E_f so far and raises the floor
//   finish    one warp a row: the K-th best s_f - E_f of all parts' candidates, t, the exact chains of those whose s_f + E_f
//             reaches it, and the K best of these, sorted
//
// Why that is exact (RHUMB_EXACT). With |s_f - S_f| <= E_f for the bf16 score s and the exact score S of every feature, and t
// the K-th greatest s_f - E_f: K features have S >= t, so the K-th greatest S is at least t, so whoever is among the K best has
// s_f + E_f >= S_f >= t. Any lower bound of t serves as well while t is not known, and any upper bound of E_f: while tiles are
// scanned, that of its panel (ScoreError). Rounding takes nothing from it, since rounding to the nearest keeps the order and S,
// s and t are floats: fl(s - E) <= S as s - E <= S, and fl(t - E) <= s as t - E <= s. A feature with a huge norm has a huge
// E_f, but no other has. A row whose scores might overflow or are not finite, or whose candidates do not fit, goes to the direct
// path. No score of a certified row can be NaN.
//
// RHUMB_EXACT_BF16 takes s for the score and 0 for E, and nothing is computed again. The sums are the tensor cores', in an
// order that depends on the device; a row that is not certified, and calls that do not come here, sum in float32.
//
// The bound E_f (in double, rounded up), with c the row, w the feature, b its bias, c_b and w_b in bf16, u = 2^-24, by Cauchy
// and Schwarz; n = max(||c||, ||c_b||), W = max(||w||, ||w_b||):
//
//   chain      |S - (b + c.w)|       <= g (|b| + n W), g = D u / (1 - D u): D fused steps, each rounded once
//   operands   |c_b.w_b - c.w|       <= n ||w_b - w|| + ||c_b - c|| W
//   sums       |acc - c_b.w_b|       <= D kSumError n W
//   bias       |s - (b + acc)|       <= u (|b| + n W)
//   underflow  2^-125 D (1 + W + n): anything subnormal, operand or product or sum, may count as 0
//
// and a factor of 1 + 2^-8 for all terms of second order and the rounding of E itself, which is taken in float32: of a row's
// n and ||c_b - c||, the rest being the feature's (ScoreError).
//
// What bounds the speed, by arithmetic and not yet by a measurement, at B 32k, F 16k, D 64 on an H100 (132 multiprocessors of
// 4 schedulers, 1.7 GHz). The products are
// 6.9e10 flops: 86 us at the 800 TFLOP/s of wgmma, some 140 at the 62 % of it that mma.sync reaches. Of a warp's unit of
// 32 x 32 scores the tensor cores take 32 mma of 6.5 cycles = 208; the scheduler issues 32 mma + 8 ldmatrix + 32 additions of
// the bias + 32 comparisons + 16 for the floors less the errors = 120, so two warps hide one's epilogue behind the other's
// products. Appending costs some 100 to 150 more in a unit that has a candidate, which is most of them at .4 % of the
// scores: about the tensor cores' own time, not above it. Bytes: W_b is read once by each block of 256 rows, 2 MB x 128 =
// 270 MB from L2, 50 us, under the products; a ldmatrix of 512 bytes serves 4 mma (8 ldmatrix x 4 cycles x 4 schedulers =
// 128 of the 208 cycles). The exact chains gather some 40 rows of W a row, 32k x 40 x 256 bytes = 340 MB from L2, 60 us.
//
// On a multiprocessor (nvcc 13, sm_90; nothing spills): D 64, 128 registers and 37 KiB of shared memory, two blocks; D 128 to
// 256, rows in up to 128 registers, one block; wider, 128 sums for each thread, one block, and the block's 256 rows stream
// from L2 beside each tile of 128 features: 24 KiB for 256 x 128 x 32 products, 29 bytes a cycle at the rate of mma.sync,
// near what L2 gives.
//
// By wgmma (namespace groups), where RHUMB_ENCODE asks for it: 128 registers, one block of 512 threads, 101 to 197 KiB. A warp's
// 1024 scores at D 64 take the tensor cores 128 cycles and its scheduler 64 for sums and comparisons, some 20 for the floors
// and the 100 to 150 of appending: that is what bounds it there, and the products from D 256 on.
#include "certified.h"

#include "hopper.h"
#include "mma.h"
#include "reduce.h"

#include <cstdlib>
#include <cstring>

namespace {

using rhumb::Encoder;
using rhumb::kAllLanes;
using rhumb::Key;
using rhumb::key_of;
using rhumb::kFeatureTile;
using rhumb::kNoKey;
using rhumb::kPanel;
using rhumb::kSlice;
using rhumb::kWarp;
using rhumb::ScoreError;

constexpr int kRowTile = 256;                // rows of a block
constexpr int kBlock = 256;
constexpr int kWarpRows = 32;                // rows that one warp owns: two of mma's 16
constexpr int kUnit = kPanel;                // features of which a warp looks at the scores at a time
constexpr int kUnitTiles = kUnit / 8;
constexpr int kGroup = 8;                    // features of a seed's group: one lane's share of a unit
constexpr int kDepth = 32;                   // of the rounded width, what wide rows take at a time
constexpr int64_t kFewestRows = 128;
constexpr int64_t kMostKept = 96;            // of 256 candidates that fit
constexpr int kMostGroups = 256;
constexpr int64_t kMostBytes = int64_t{1} << 27;  // of candidates, unless one part needs more
constexpr int kFinishBlock = 128;
constexpr int kCapacity = 256;               // of a row's candidates in one part: far above the usual 40, so few fill up
constexpr int kListed = 512;                 // candidates of a row that finish can hold

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// --- prepare -------------------------------------------------------------------------------------------------------------

// What a score must reach that nothing shall: every comparison with it is false.
__device__ __forceinline__ float out_of_reach() { return __uint_as_float(0x7fc00000u); }

// What a row's errors depend on: its norm, of the greater of exact and bf16, and the norm of what bf16 takes from it. Infinite
// where there is no certificate.
using RowNorms = float2;

__device__ __forceinline__ float error_of(const ScoreError &feature, float norm, float rounding) {
  return fmaf(norm, feature.per_norm, fmaf(rounding, feature.per_rounding, feature.alone));
}

// rounded (padded rows, padded width), by tiles of kRowTile; norms, floors (padded rows). A floor is none at all to begin with,
// and out of reach where there is no row or no certificate.
__global__ void __launch_bounds__(kBlock)
    prepare(Encoder e, int64_t rows, int64_t padded_rows, const float *x, int64_t x_stride, __nv_bfloat16 *rounded,
            RowNorms *norms, float *floors) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x) / kWarp;
  const int64_t padded = rhumb::rounded_width(e.width);
  if (row >= padded_rows) {
    return;
  }
  double exact = 0;
  double near = 0;
  double difference = 0;
  for (int64_t d = lane; d < padded; d += kWarp) {
    const float c = row < rows && d < e.width ? __fsub_rn(x[row * x_stride + d], e.input_bias[d]) : 0.0f;
    const __nv_bfloat16 b = __float2bfloat16_rn(c);
    rounded[rhumb::tiled<kRowTile>(row, d, padded)] = b;
    const double one = c;
    const double other = __bfloat162float(b);
    exact += one * one;
    near += other * other;
    difference += (other - one) * (other - one);
  }
  exact = rhumb::warp_sum(exact);
  near = rhumb::warp_sum(near);
  difference = rhumb::warp_sum(difference);
  if (lane == 0) {
    const double norm = sqrt(exact + near);  // of both, so that no NaN is lost
    const double most = e.limits->bias + (1 + norm) * (1 + e.limits->weights);
    const bool certified = most < 0x1p100;  // false for NaN
    constexpr double kUp = 1.0 + 0x1p-30;   // for the roundings of sums and roots
    const float infinity = __uint_as_float(0x7f800000u);
    norms[row].x = certified ? __double2float_ru(sqrt(max(exact, near)) * kUp) : infinity;
    norms[row].y = certified ? __double2float_ru(sqrt(difference) * kUp) : infinity;
    floors[row] = certified && row < rows ? -infinity : out_of_reach();
  }
}

// --- Selection by a warp -------------------------------------------------------------------------------------------------

// The greatest v that `kept` of the n values reach: the K-th greatest. The lanes hold them, value i in lane i % 32 as
// values[i / 32], and 0 beyond n; n >= kept, the same for all lanes, who all get the result.
template <int kEach>
__device__ __forceinline__ uint32_t kth_greatest(const uint32_t (&values)[kEach], int n, int kept) {
  uint32_t least = 0xffffffffu;
  uint32_t most = 0;
#pragma unroll
  for (int i = 0; i < kEach; i++) {
    if (i * kWarp + static_cast<int>(threadIdx.x) % kWarp < n) {
      least = min(least, values[i]);
      most = max(most, values[i]);
    }
  }
  least = __reduce_min_sync(kAllLanes, least);
  most = __reduce_max_sync(kAllLanes, most);
  if (least == most) {
    return least;
  }
  // Bit by bit from the first in which they differ.
  const int top = 31 - __clz(static_cast<int>(least ^ most));
  uint32_t found = top == 31 ? 0 : most >> (top + 1) << (top + 1);
  for (int bit = top; bit >= 0; bit--) {
    const uint32_t higher = found | 1u << bit;
    int reach = 0;
#pragma unroll
    for (int i = 0; i < kEach; i++) {
      if (i * kWarp < n) {
        reach += values[i] >= higher ? 1 : 0;
      }
    }
    reach = __reduce_add_sync(kAllLanes, reach);
    if (reach == kept) {  // these are the K greatest: the least of them
      least = 0xffffffffu;
#pragma unroll
      for (int i = 0; i < kEach; i++) {
        least = values[i] >= higher ? min(least, values[i]) : least;
      }
      return __reduce_min_sync(kAllLanes, least);
    }
    found = reach > kept ? higher : found;
  }
  return found;
}

// Whether a candidate may be among the best of its row, whose K-th greatest score is `floor` at least.
__device__ __forceinline__ bool may_reach(const Encoder &e, Key key, float norm, float rounding, bool exact, float floor) {
  const float error = exact ? error_of(e.errors[rhumb::key_index(key)], norm, rounding) : 0.0f;
  return rhumb::key_score(key) >= __fsub_rn(floor, error);
}

// Leaves of keys[0 .. n - 1] (n <= 32 kEach) those that may be among the `kept` best of their row, in front, and returns how
// many. EXACT: whoever may reach t, the K-th greatest of what is at least their exact score. EXACT_BF16: the K best. *floor is
// raised to t.
template <int kEach>
__device__ __forceinline__ int shrink(const Encoder &e, Key *keys, int n, int kept, float norm, float rounding, bool exact,
                                      float *floor) {
  if (n < kept) {
    return n;
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint32_t scores[kEach];
#pragma unroll
  for (int i = 0; i < kEach; i++) {
    const int at = i * kWarp + lane;
    scores[i] = 0;
    __syncwarp();  // one after another: all at once would take more registers than there are
    if (at < n) {
      const Key key = keys[at];
      scores[i] = static_cast<uint32_t>(key >> 32);
      if (exact) {
        const float error = error_of(e.errors[rhumb::key_index(key)], norm, rounding);
        scores[i] = rhumb::ordered_bits(__fsub_rn(rhumb::key_score(key), error));
      }
    }
  }
  const uint32_t t = kth_greatest<kEach>(scores, n, kept);
  Key least = static_cast<Key>(t) << 32;  // below every key whose score is t
  *floor = fmaxf(*floor, rhumb::ordered_score(t));
  if (!exact) {
    int above = 0;
    int reach = 0;
#pragma unroll
    for (int i = 0; i < kEach; i++) {
      above += scores[i] > t ? 1 : 0;
      reach += scores[i] >= t ? 1 : 0;
    }
    above = __reduce_add_sync(kAllLanes, above);
    reach = __reduce_add_sync(kAllLanes, reach);
    if (reach > kept) {  // of those that tie at t, the first
#pragma unroll
      for (int i = 0; i < kEach; i++) {
        // 0 of no feature: ~index, and there are fewer.
        scores[i] = scores[i] == t ? static_cast<uint32_t>(keys[i * kWarp + lane]) : 0;
      }
      least |= kth_greatest<kEach>(scores, n, kept - above);
    }
  }
  int left = 0;
#pragma unroll 1
  for (int first = 0; first < n; first += kWarp) {
    const Key key = first + lane < n ? keys[first + lane] : kNoKey;
    const bool stays = key != kNoKey && (exact ? may_reach(e, key, norm, rounding, exact, *floor) : key >= least);
    const unsigned staying = __ballot_sync(kAllLanes, stays);
    __syncwarp();  // everyone has read what is now written over
    if (stays) {
      keys[left + __popc(staying & ((1u << lane) - 1))] = key;
    }
    left += __popc(staying);
  }
  __syncwarp();
  return left;
}

// The seed's floors, from greatest (padded rows, groups): K groups, and so K features, reach the K-th greatest.
__global__ void __launch_bounds__(kBlock)
    seed_floors(int64_t padded_rows, int groups, int kept, const float *greatest, float *floors) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x) / kWarp;
  if (row >= padded_rows || floors[row] != floors[row]) {
    return;
  }
  uint32_t values[kMostGroups / kWarp];
#pragma unroll
  for (int i = 0; i < kMostGroups / kWarp; i++) {
    const int group = i * kWarp + lane;
    values[i] = group < groups ? rhumb::ordered_bits(greatest[row * groups + group]) : 0;
  }
  const uint32_t t = kth_greatest<kMostGroups / kWarp>(values, groups, kept);
  if (lane == 0) {
    floors[row] = rhumb::ordered_score(t);
  }
}

// --- scan ----------------------------------------------------------------------------------------------------------------

struct Scan {
  const __nv_bfloat16 *x;  // (padded rows, padded width), by tiles of kRowTile
  const RowNorms *norms;   // (padded rows)
  const float *floors;     // (padded rows) to start from
  int64_t padded_width;
  int kept;
  bool exact;
  int tiles;          // of kFeatureTile features, that are scanned: tile i is i * step
  int step;
  int per_part;       // tiles of part blockIdx.y
  int groups;         // of a row in the seed
  float *greatest;    // (padded rows, groups), of the seed
  Key *candidates;    // (padded rows, parts, kCapacity)
  int *counts;        // (padded rows, parts); -1: they did not fit
};

// By mma.sync. kSteps: the padded width / 16 where a warp keeps its rows in registers; 0: wider rows, which stream through
// shared memory beside the weights.
template <int kSteps>
struct Shape {
  static constexpr bool kWide = kSteps == 0;
  static constexpr int kTile = kWide ? kFeatureTile : kFeatureTile / 2;  // features of a stage
  static constexpr int kStepWidth = kWide ? kDepth : 16 * kSteps;  // of a stage
  static constexpr int kStages = kSteps == 4 ? 4 : kSteps > 8 ? 2 : 3;  // a tile of many weights hides the next one's way
  static constexpr int kUnits = kTile / kUnit;
  static constexpr int kLive = kWide ? kUnits : 1;  // units of which a warp holds the scores at once
  static constexpr int kWeightBytes = kTile * kStepWidth * 2;
  static constexpr int kBiasBytes = kTile * 4 + kTile / kPanel * static_cast<int>(sizeof(ScoreError));  // and errors
  static constexpr int kRowBytes = kWide ? kRowTile * kStepWidth * 2 : 0;
  static constexpr int kStageBytes = kWeightBytes + kBiasBytes + kRowBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static_assert(kSharedBytes + 4096 <= 99 * 1024, "what a block may have on the smaller Amperes and Adas");
  static constexpr int kBlocksAtOnce = kSteps == 4 ? 2 : 1;  // on a multiprocessor, by registers
};

// Where 8 bf16 from column 8 `unit` of a stage's row lie, in 16-byte units: as in a packed tile (rhumb::tiled), or for kDepth
// columns turned by the row in the same way. The 8 rows that ldmatrix reads together lie in 8 different groups of banks.
template <int kWidth, int kRows>
__device__ __forceinline__ int turned(int row, int unit) {
  static_assert(kWidth == 32 || kWidth % kSlice == 0);
  return kWidth == 32 ? row * 4 + (unit ^ (row / 2 & 3)) : (unit / 8 * kRows + row) * 8 + ((unit ^ row) & 7);
}

// Starts the copies of kRows rows from row `first` of a tile of kTileRows: kWidth columns from `column` on.
template <int kWidth, int kRows, int kTileRows>
__device__ __forceinline__ void copy_tile(unsigned char *to, const __nv_bfloat16 *tile, int first, int column) {
  const unsigned char *from = reinterpret_cast<const unsigned char *>(tile + column / kSlice * (kTileRows * kSlice));
  if (kWidth == 32) {
    const int half = column % kSlice / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * 4; i += kBlock) {
      const int row = i / 4;
      rhumb::cp_async_16(to + turned<kWidth, kRows>(row, i % 4) * 16,
                         from + ((first + row) * 8 + ((half + i % 4) ^ (row & 7))) * 16, true);
    }
  } else {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kWidth / 8; i += kBlock) {
      const int block = i / (kRows * 8);
      rhumb::cp_async_16(to + i * 16, from + ((block * kTileRows + first) * 8 + i % (kRows * 8)) * 16, true);
    }
  }
}

// A row's state, in shared memory; each row is one warp's own.
struct alignas(16) RowState {
  float floor;     // what an exact score must reach; NaN: nothing does
  float norm;      // RowNorms
  float rounding;
  int count;       // of candidates; below 0: they did not fit
};

__device__ __forceinline__ RowState begin_row(const Scan &scan, int64_t row) {
  const RowNorms norms = scan.norms[row];
  return {scan.floors[row], norms.x, norms.y, 0};
}

// A warp's 16 kParts rows x kUnit features: acc[m][n] as mma leaves them, with the bias to be added, for rows from first_row of
// the block's tile on. state (kRowTile); bias, error: those of the unit.
template <int kParts>
using Unit = float[kParts][kUnitTiles][4];

// Appends the candidates of unit `unit` of all.
template <int kParts>
__device__ __forceinline__ void append(const Encoder &e, const Scan &scan, RowState *state, int first_row,
                                       Unit<kParts> &acc, const float *bias, const ScoreError &error, int unit) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t tile_row = static_cast<int64_t>(blockIdx.x) * kRowTile;
  float reach[kParts][2];  // what a score must, by the panel's greatest error
  bool hits[kParts][2] = {};
#pragma unroll
  for (int m = 0; m < kParts; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const RowState row = state[first_row + m * 16 + half * 8 + lane / 4];
      reach[m][half] = scan.exact ? __fsub_rn(row.floor, error_of(error, row.norm, row.rounding)) : row.floor;
    }
  }
#pragma unroll
  for (int n = 0; n < kUnitTiles; n++) {
    const float2 b = *reinterpret_cast<const float2 *>(bias + n * 8 + lane % 4 * 2);
#pragma unroll
    for (int m = 0; m < kParts; m++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        acc[m][n][i] = __fadd_rn(acc[m][n][i], i % 2 == 0 ? b.x : b.y);
        hits[m][i / 2] |= acc[m][n][i] >= reach[m][i / 2];
      }
    }
  }
  bool any = false;
#pragma unroll
  for (int m = 0; m < kParts; m++) {
    any = any || hits[m][0] || hits[m][1];
  }
  if (!__any_sync(kAllLanes, any)) {
    return;
  }
#pragma unroll
  for (int m = 0; m < kParts; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (hits[m][half]) {
        const int row = first_row + m * 16 + half * 8 + lane / 4;
        Key *to = scan.candidates + ((tile_row + row) * gridDim.y + blockIdx.y) * kCapacity;
#pragma unroll
        for (int n = 0; n < kUnitTiles; n++) {
#pragma unroll
          for (int i = 0; i < 2; i++) {
            const float score = acc[m][n][half * 2 + i];
            if (score >= reach[m][half]) {
              // A unit adds 32 at most, and that many places are free.
              const uint32_t place = static_cast<uint32_t>(unit * kUnit + n * 8 + lane % 4 * 2 + i);
              to[atomicAdd(&state[row].count, 1)] = key_of(score, place);
            }
          }
        }
      }
    }
  }
  __syncwarp();
  unsigned full =
      __ballot_sync(kAllLanes, lane < 16 * kParts && state[first_row + lane].count > kCapacity - kUnit);
  for (; full != 0; full &= full - 1) {
    const int row = first_row + __ffs(static_cast<int>(full)) - 1;
    Key *keys = scan.candidates + ((tile_row + row) * gridDim.y + blockIdx.y) * kCapacity;
    const RowState of = state[row];
    float floor = of.floor;
    int left = shrink<kCapacity / kWarp>(e, keys, of.count, scan.kept, of.norm, of.rounding, scan.exact, &floor);
    if (left > kCapacity - kUnit) {
      left = -1;
      floor = out_of_reach();
    } else if (!scan.exact) {  // K have reached it, and who comes later loses a tie by its index
      floor = rhumb::ordered_score(rhumb::ordered_bits(floor) + 1);
    }
    __syncwarp();
    if (lane == 0) {
      state[row].count = left;
      state[row].floor = floor;
    }
  }
  __syncwarp();
}

// What the greatest of each lane's 8 features reaches at least, for each of its rows. unit: which of the sample.
template <int kParts>
__device__ __forceinline__ void keep_greatest(const Scan &scan, const RowState *state, int first_row,
                                              const Unit<kParts> &acc, const float *bias, const ScoreError &error,
                                              int unit) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float most[kParts][2];
#pragma unroll
  for (int m = 0; m < kParts; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      most[m][half] = __uint_as_float(0xff800000u);
    }
  }
#pragma unroll
  for (int n = 0; n < kUnitTiles; n++) {
    const float2 b = *reinterpret_cast<const float2 *>(bias + n * 8 + lane % 4 * 2);
#pragma unroll
    for (int m = 0; m < kParts; m++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {  // fmaxf leaves out the NaN of places that hold no feature
        most[m][i / 2] = fmaxf(most[m][i / 2], __fadd_rn(acc[m][n][i], i % 2 == 0 ? b.x : b.y));
      }
    }
  }
#pragma unroll
  for (int m = 0; m < kParts; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int of_tile = first_row + m * 16 + half * 8 + lane / 4;
      const RowState of = state[of_tile];
      const float least = scan.exact ? __fsub_rn(most[m][half], error_of(error, of.norm, of.rounding)) : most[m][half];
      const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowTile + of_tile;
      scan.greatest[row * scan.groups + unit * (kUnit / kGroup) + lane % 4] = least;
    }
  }
}

template <int kSteps, bool kSeed>
__global__ void __launch_bounds__(kBlock, Shape<kSteps>::kBlocksAtOnce) scan_tiles(Encoder e, Scan scan) {
  using S = Shape<kSteps>;
  RHUMB_DYNAMIC_SHARED(unsigned char, stages);  // (kStages) of weights, bias, errors, and of wide rows a part of them
  __shared__ RowState state[kRowTile];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int first_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
  const __nv_bfloat16 *x = scan.x + static_cast<int64_t>(blockIdx.x) * kRowTile * scan.padded_width;
  const int first_tile = static_cast<int>(blockIdx.y) * scan.per_part;
  const int tiles = min(scan.per_part, scan.tiles - first_tile);
  // Stages of one tile: parts of its width, or of its features.
  const int depths = S::kWide ? static_cast<int>(scan.padded_width / kDepth) : kFeatureTile / S::kTile;
  const int steps = tiles * depths;

  const auto fetch = [&](int s) {
    if (s < steps) {
      unsigned char *stage = stages + s % S::kStages * S::kStageBytes;
      const int64_t tile = static_cast<int64_t>(first_tile + s / depths) * scan.step * kFeatureTile;
      const int first = S::kWide ? 0 : s % depths * S::kTile;
      const int column = S::kWide ? s % depths * kDepth : 0;
      copy_tile<S::kStepWidth, S::kTile, kFeatureTile>(stage, e.rounded + tile * scan.padded_width, first, column);
      const int at = static_cast<int>(threadIdx.x);
      unsigned char *rest = stage + S::kWeightBytes + at * 16;
      if (at < S::kTile / 4) {
        rhumb::cp_async_16(rest, e.bias + tile + first + at * 4, true);
      } else if (at < S::kTile / 4 + S::kUnits) {
        rhumb::cp_async_16(rest, e.panel_errors + (tile + first) / kPanel + at - S::kTile / 4, true);
      }
      if (S::kWide) {
        copy_tile<S::kStepWidth, kRowTile, kRowTile>(stage + S::kWeightBytes + S::kBiasBytes, x, 0, column);
      }
    }
    rhumb::cp_async_commit();
  };
  for (int s = 0; s < S::kStages - 1; s++) {
    fetch(s);
  }

  uint32_t rows[S::kWide ? 1 : kSteps][2][4];  // the warp's rows as mma wants them
  if constexpr (!S::kWide) {
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
#pragma unroll
      for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          // rhumb::tiled, with only the part that differs between lanes not known to the compiler
          const int row = k / 4 * kRowTile + first_row + m * 16 + i % 2 * 8 + lane / 4;
          const int unit = (k % 4 * 2 + i / 2) ^ lane / 4;
          rows[k][m][i] = *reinterpret_cast<const uint32_t *>(x + row * kSlice + unit * 8 + lane % 4 * 2);
        }
      }
    }
  }
  state[first_row + lane] = begin_row(scan, static_cast<int64_t>(blockIdx.x) * kRowTile + first_row + lane);
  __syncwarp();

  float acc[S::kLive][2][kUnitTiles][4];
  for (int s = 0; s < steps; s++) {
    rhumb::cp_async_wait<S::kStages - 2>();
    __syncthreads();  // stage s has come for all, and nobody reads stage s - 1 any more
    fetch(s + S::kStages - 1);
    const unsigned char *stage = stages + s % S::kStages * S::kStageBytes;
    const unsigned char *wide_rows = stage + S::kWeightBytes + S::kBiasBytes;
    const float *bias = reinterpret_cast<const float *>(stage + S::kWeightBytes);
    const ScoreError *errors = reinterpret_cast<const ScoreError *>(bias + S::kTile);
    const int tile = first_tile + s / depths;
    const int first_unit = S::kWide ? 0 : s % depths * S::kUnits;
    const bool begins = !S::kWide || s % depths == 0;
    const bool ends = !S::kWide || s % depths == depths - 1;
    constexpr int kTurns = S::kUnits / S::kLive;
#pragma unroll 1
    for (int turn = 0; turn < kTurns; turn++) {
      if (begins) {
#pragma unroll
        for (int i = 0; i < S::kLive * 2 * kUnitTiles * 4; i++) {
          (&acc[0][0][0][0])[i] = 0.0f;
        }
      }
#pragma unroll
      for (int k = 0; k < S::kStepWidth / 16; k++) {
        uint32_t a[2][4];
#pragma unroll
        for (int m = 0; m < 2; m++) {
          if constexpr (S::kWide) {
            const int row = first_row + m * 16 + lane % 16;
            rhumb::ldmatrix_x4(a[m], wide_rows + turned<S::kStepWidth, kRowTile>(row, 2 * k + lane / 16) * 16);
          } else {
#pragma unroll
            for (int i = 0; i < 4; i++) {
              a[m][i] = rows[k][m][i];
            }
          }
        }
#pragma unroll
        for (int unit = 0; unit < S::kLive; unit++) {
#pragma unroll
          for (int pair = 0; pair < kUnitTiles / 2; pair++) {
            // Two of mma's B at once: lanes 0 to 15 give the first 8 features, 16 to 31 the next.
            const int row = (turn * S::kLive + unit) * kUnit + pair * 16 + lane / 16 * 8 + lane % 8;
            uint32_t w[4];
            rhumb::ldmatrix_x4(w, stage + turned<S::kStepWidth, S::kTile>(row, 2 * k + lane / 8 % 2) * 16);
            const uint32_t b[2][2] = {{w[0], w[1]}, {w[2], w[3]}};
#pragma unroll
            for (int n = 0; n < 2; n++) {
#pragma unroll
              for (int m = 0; m < 2; m++) {
                rhumb::mma_bf16_16816(acc[unit][m][pair * 2 + n], a[m], b[n]);
              }
            }
          }
        }
      }
      if (ends) {
#pragma unroll
        for (int unit = 0; unit < S::kLive; unit++) {
          const int of_stage = turn * S::kLive + unit;
          const int of_tile = first_unit + of_stage;
          if (kSeed) {
            keep_greatest<2>(scan, state, first_row, acc[unit], bias + of_stage * kUnit, errors[of_stage],
                             tile * (kFeatureTile / kUnit) + of_tile);
          } else {
            append<2>(e, scan, state, first_row, acc[unit], bias + of_stage * kUnit, errors[of_stage],
                      tile * scan.step * (kFeatureTile / kUnit) + of_tile);
          }
        }
      }
    }
  }
  rhumb::cp_async_wait<0>();
  if (!kSeed) {
    __syncwarp();
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowTile + first_row + lane;
    scan.counts[row * gridDim.y + blockIdx.y] = state[first_row + lane].count;
  }
}

// --- scan by warpgroups --------------------------------------------------------------------------------------------------

// The scan with wgmma: a group of four warps has 64 rows, whose products it takes with a stage at a time: kSlice columns of a
// tile's packed weights. Rows of up to kMostSlices stay in shared memory, wider ones come with the weights. There is no warp that
// only fetches: a fifth warp on one of the four schedulers would leave each thread 96 registers instead of 128.
namespace groups {

constexpr int kWarps = kRowTile / 16;            // 16 rows each
constexpr int kThreads = kWarps * kWarp;
constexpr int kStages = 4;
constexpr int kMostSlices = 4;
constexpr int kUnits = kFeatureTile / kUnit;
constexpr int kRowBytes = kRowTile * kSlice * 2;     // of a slice of the block's rows
constexpr int kWeightBytes = kFeatureTile * kSlice * 2;
constexpr int kBiasBytes = kFeatureTile * 4;
constexpr int kErrorBytes = kUnits * static_cast<int>(sizeof(ScoreError));
constexpr int kPattern = 1024;                       // that operands of wgmma begin at a multiple of
constexpr int kStageBytes = (kWeightBytes + kBiasBytes + kErrorBytes + kPattern - 1) / kPattern * kPattern;

// slices: of the rounded width.
__host__ __device__ constexpr bool streams(int slices) { return slices > kMostSlices; }
__host__ __device__ constexpr int stage_bytes(int slices) { return kStageBytes + (streams(slices) ? kRowBytes : 0); }
constexpr int shared_bytes(int slices) {
  return kPattern + (streams(slices) ? 0 : slices * kRowBytes) + kStages * stage_bytes(slices);
}
static_assert(shared_bytes(kMostSlices) + 8192 <= 227 * 1024 && shared_bytes(kMostSlices + 1) + 8192 <= 227 * 1024,
              "what a block may have on Hopper");

template <bool kSeed>
__global__ void __launch_bounds__(kThreads, 1) scan_tiles(Encoder e, Scan scan) {
#if RHUMB_HOPPER
  RHUMB_DYNAMIC_SHARED(unsigned char, dynamic);
  __shared__ RowState state[kRowTile];
  __shared__ rhumb::Barrier full[kStages];   // the stage has come
  __shared__ rhumb::Barrier empty[kStages];  // all warps have done with it
  __shared__ rhumb::Barrier resident;        // the rows have come
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int slices = static_cast<int>(scan.padded_width / kSlice);
  const int first_tile = static_cast<int>(blockIdx.y) * scan.per_part;
  const int steps = min(scan.per_part, scan.tiles - first_tile) * slices;
  const __nv_bfloat16 *x = scan.x + static_cast<int64_t>(blockIdx.x) * kRowTile * scan.padded_width;
  // Of a stage: weights, rows that stream, bias, errors.
  const int bias_at = kWeightBytes + (streams(slices) ? kRowBytes : 0);
  unsigned char *rows = dynamic + (0u - rhumb::shared_address(dynamic)) % kPattern;
  unsigned char *stages = rows + (streams(slices) ? 0 : slices * kRowBytes);

  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; i++) {
      rhumb::barrier_init(&full[i], 1);
      rhumb::barrier_init(&empty[i], kWarps);
    }
    rhumb::barrier_init(&resident, 1);
    rhumb::fence_barriers();
  }
  __syncthreads();

  // By one thread: stage s, once everyone has done with what lies in its place.
  const auto fetch = [&](int s) {
    if (s < steps) {
      unsigned char *stage = stages + s % kStages * stage_bytes(slices);
      rhumb::Barrier *came = &full[s % kStages];
      const int64_t tile = static_cast<int64_t>(first_tile + s / slices) * scan.step;
      const int slice = s % slices;
      rhumb::barrier_wait(&empty[s % kStages], (s / kStages + 1) % 2);  // at once where nothing does
      rhumb::barrier_arrive_expecting(came, static_cast<unsigned>(bias_at + kBiasBytes + kErrorBytes));
      rhumb::copy_block(stage, e.rounded + (tile * slices + slice) * (kFeatureTile * kSlice), kWeightBytes, came);
      if (streams(slices)) {
        rhumb::copy_block(stage + kWeightBytes, x + slice * (kRowTile * kSlice), kRowBytes, came);
      }
      rhumb::copy_block(stage + bias_at, e.bias + tile * kFeatureTile, kBiasBytes, came);
      rhumb::copy_block(stage + bias_at + kBiasBytes, e.panel_errors + tile * kUnits, kErrorBytes, came);
    }
  };
  if (threadIdx.x == 0) {
    if (!streams(slices)) {
      rhumb::barrier_arrive_expecting(&resident, static_cast<unsigned>(slices * kRowBytes));
      for (int slice = 0; slice < slices; slice++) {
        rhumb::copy_block(rows + slice * kRowBytes, x + slice * (kRowTile * kSlice), kRowBytes, &resident);
      }
    }
    for (int s = 0; s < kStages - 1; s++) {
      fetch(s);
    }
  }

  const int first_row = warp * 16;
  const int group_rows = warp / 4 * (64 * kSlice * 2);  // bytes from a slice of all rows to the group's
  const int64_t block_row = static_cast<int64_t>(blockIdx.x) * kRowTile + first_row;
  if (lane < 16) {
    state[first_row + lane] = begin_row(scan, block_row + lane);
  }
  __syncwarp();
  if (!streams(slices)) {
    rhumb::barrier_wait(&resident, 0);
  }
  float acc[kUnits][1][kUnitTiles][4] = {};
  float(&sums)[kUnits * kUnitTiles * 4] = reinterpret_cast<float(&)[kUnits * kUnitTiles * 4]>(acc);
  for (int s = 0; s < steps; s++) {
    const unsigned char *stage = stages + s % kStages * stage_bytes(slices);
    const int slice = s % slices;
    rhumb::barrier_wait(&full[s % kStages], s / kStages % 2);
    const uint64_t a = rhumb::operand((streams(slices) ? stage + kWeightBytes : rows + slice * kRowBytes) + group_rows);
    const uint64_t b = rhumb::operand(stage);
    rhumb::wgmma_fence(sums);
#pragma unroll
    for (int k = 0; k < kSlice / 16; k++) {
      rhumb::wgmma_bf16_64x128x16(sums, rhumb::columns_on(a, 16 * k), rhumb::columns_on(b, 16 * k), slice > 0 || k > 0);
    }
    rhumb::wgmma_commit();
    rhumb::wgmma_wait<0>(sums);
    if (threadIdx.x == 0) {
      fetch(s + kStages - 1);  // in the place of the step before, which the others have done with or are about to
    }
    if (slice == slices - 1) {
      const int tile = first_tile + s / slices;
      const float *bias = reinterpret_cast<const float *>(stage + bias_at);
      const ScoreError *errors = reinterpret_cast<const ScoreError *>(bias + kFeatureTile);
#pragma unroll
      for (int unit = 0; unit < kUnits; unit++) {
        if (kSeed) {
          keep_greatest<1>(scan, state, first_row, acc[unit], bias + unit * kUnit, errors[unit], tile * kUnits + unit);
        } else {
          append<1>(e, scan, state, first_row, acc[unit], bias + unit * kUnit, errors[unit],
                    tile * scan.step * kUnits + unit);
        }
      }
    }
    __syncwarp();  // all lanes have read
    if (lane == 0) {
      rhumb::barrier_arrive(&empty[s % kStages]);
    }
  }
  if (!kSeed && lane < 16) {
    scan.counts[(block_row + lane) * gridDim.y + blockIdx.y] = state[first_row + lane].count;
  }
#endif
}

// Whether the library holds the kernels for the current device. What is compiled for others is empty, without shared memory.
cudaError_t runs_here(bool *runs) {
  int device = 0;
  int major = 0;
  int minor = 0;
  *runs = false;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  }
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  }
  if (error != cudaSuccess || major != 9 || minor != 0) {
    return error;
  }
#ifdef __CUDACC__
  cudaFuncAttributes compiled{};
  error = cudaFuncGetAttributes(&compiled, scan_tiles<false>);
  *runs = error == cudaSuccess && compiled.sharedSizeBytes > 0;
#else
  *runs = true;
#endif
  return error;
}

template <bool kSeed>
cudaError_t launch_scan(const Encoder &e, const Scan &scan, int64_t row_tiles, int64_t parts, cudaStream_t stream) {
  // The same at every call: others may launch at the same time with other widths.
  constexpr int kMost =
      shared_bytes(kMostSlices) > shared_bytes(kMostSlices + 1) ? shared_bytes(kMostSlices) : shared_bytes(kMostSlices + 1);
  const cudaError_t error = cudaFuncSetAttribute(scan_tiles<kSeed>, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost);
  if (error != cudaSuccess) {
    return error;
  }
  const int bytes = shared_bytes(static_cast<int>(scan.padded_width / kSlice));
  RHUMB_LAUNCH((scan_tiles<kSeed>), dim3(static_cast<unsigned>(row_tiles), static_cast<unsigned>(parts)), dim3(kThreads),
               bytes, stream, e, scan);
  return cudaGetLastError();
}

}  // namespace groups

// --- finish --------------------------------------------------------------------------------------------------------------

struct Finish {
  const float *x;  // (rows, width)
  int64_t x_stride;
  int64_t rows;
  const RowNorms *norms;  // (padded rows)
  int parts;
  const Key *candidates;  // (padded rows, parts, kCapacity)
  const int *counts;      // (padded rows, parts)
  int kept;
  bool exact;
  bool rectify;
  int32_t *indices;       // (rows, kept)
  float *values;          // (rows, kept)
  int32_t *left;          // (rows) those without a certificate
  int32_t *left_count;    // (1)
};

// Sorts keys (n, a power of two) in shared memory, the greatest first: one warp.
__device__ __forceinline__ void warp_sort(Key *keys, int n) {
  for (int run = 2; run <= n; run *= 2) {
    for (int apart = run / 2; apart > 0; apart /= 2) {
      __syncwarp();
      for (int pair = static_cast<int>(threadIdx.x) % kWarp; pair < n / 2; pair += kWarp) {
        const int low = 2 * pair - (pair & (apart - 1));
        const Key a = keys[low];
        const Key b = keys[low + apart];
        if ((a < b) == ((low & run) == 0)) {
          keys[low] = b;
          keys[low + apart] = a;
        }
      }
    }
  }
  __syncwarp();
}

__global__ void __launch_bounds__(kFinishBlock) finish(Encoder e, Finish of) {
  RHUMB_DYNAMIC_SHARED(Key, shared);  // of each warp: keys (kListed), then the row x - b_dec (width)
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kFinishBlock / kWarp) + warp;
  if (row >= of.rows) {
    return;
  }
  Key *keys = shared + warp * (kListed + (e.width + 1) / 2);
  float *centred = reinterpret_cast<float *>(keys + kListed);
  const RowNorms norms = of.norms[row];
  const int *counts = of.counts + row * of.parts;
  bool good = norms.x < __uint_as_float(0x7f800000u);
  for (int part = lane; part < of.parts; part += kWarp) {
    good = good && counts[part] >= 0;
  }
  good = __all_sync(kAllLanes, good) != 0;

  // All parts' candidates; where they get too many, those that the K-th best of them leaves in doubt.
  int n = 0;
  float floor = __uint_as_float(0xff800000u);
  for (int part = 0; good && part < of.parts; part++) {
    const Key *from = of.candidates + (row * of.parts + part) * kCapacity;
    const int count = counts[part];
    for (int first = 0; good && first < count; first += kWarp) {
      const Key key = first + lane < count ? from[first + lane] : kNoKey;
      const bool reaches = key != kNoKey && may_reach(e, key, norms.x, norms.y, of.exact, floor);
      const unsigned reaching = __ballot_sync(kAllLanes, reaches);
      if (reaches) {
        keys[n + __popc(reaching & ((1u << lane) - 1))] = key;
      }
      n += __popc(reaching);
      if (n > kListed - kWarp) {
        __syncwarp();
        n = shrink<kListed / kWarp>(e, keys, n, of.kept, norms.x, norms.y, of.exact, &floor);
        good = n <= kListed - kWarp;
      }
    }
  }
  __syncwarp();
  if (good) {
    n = shrink<kListed / kWarp>(e, keys, n, of.kept, norms.x, norms.y, of.exact, &floor);
    good = n >= of.kept;
  }
  if (!good) {
    if (lane == 0) {
      of.left[atomicAdd(of.left_count, 1)] = static_cast<int32_t>(row);
    }
    return;
  }
  if (of.exact) {
    for (int64_t d = lane; d < e.width; d += kWarp) {
      centred[d] = __fsub_rn(of.x[row * of.x_stride + d], e.input_bias[d]);
    }
    __syncwarp();
    for (int i = lane; i < n; i += kWarp) {
      const uint32_t place = rhumb::key_index(keys[i]);
      keys[i] = key_of(rhumb::exact_score(e, place, centred), place);
    }
  }
  const int sorted = static_cast<int>(rhumb::power_of_two(n));
  for (int i = n + lane; i < sorted; i += kWarp) {
    keys[i] = kNoKey;
  }
  warp_sort(keys, sorted);
  for (int k = lane; k < of.kept; k += kWarp) {
    const float score = rhumb::key_score(keys[k]);
    of.indices[row * of.kept + k] = e.names[rhumb::key_index(keys[k])];
    of.values[row * of.kept + k] = of.rectify ? rhumb::rectified(score) : score;
  }
}

cudaError_t launch_finish(const Encoder &e, const Finish &of, cudaStream_t stream) {
  constexpr int kWarps = kFinishBlock / kWarp;
  constexpr int kKeyBytes = static_cast<int>(sizeof(Key));
  constexpr int kMost = kWarps * (kListed + static_cast<int>(rhumb::kMostRoundedWidth) / 2) * kKeyBytes;
  const cudaError_t error = cudaFuncSetAttribute(finish, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost);
  if (error != cudaSuccess) {
    return error;
  }
  const int64_t bytes = kWarps * (kListed + (e.width + 1) / 2) * kKeyBytes;
  RHUMB_LAUNCH(finish, dim3(static_cast<unsigned>(ceil_div(of.rows, kWarps))), dim3(kFinishBlock), bytes, stream, e, of);
  return cudaGetLastError();
}

// --- Plans -----------------------------------------------------------------------------------------------------------------

// How a call divides its work and its scratch; scratch NULL: to learn the bytes.
struct Plan {
  int64_t padded_width;
  int64_t padded_rows;
  int64_t tiles;  // of kFeatureTile features
  int64_t parts;
  int64_t per_part;
  int64_t seed_tiles;  // 0: no seed
  int64_t seed_step;
  int64_t seed_parts;
  int64_t seed_per_part;
  __nv_bfloat16 *x;
  RowNorms *norms;
  float *floors;
  float *greatest;
  Key *candidates;
  int *counts;
  int32_t *left;
  int32_t *left_count;
  int64_t bytes;
};

Plan plan(int64_t width, int64_t features, int64_t rows, int64_t kept, void *scratch) {
  Plan p{};
  p.padded_width = rhumb::rounded_width(width);
  const int64_t row_tiles = ceil_div(rows, kRowTile);
  p.padded_rows = row_tiles * kRowTile;
  p.tiles = ceil_div(features, kFeatureTile);
  // Two blocks for each of an H100's 132 multiprocessors where two fit on one; the shape alone decides, not the device.
  const int64_t blocks = p.padded_width == 64 ? 264 : 132;
  const int64_t by_bytes = kMostBytes / (p.padded_rows * kCapacity * static_cast<int64_t>(sizeof(Key)));
  const int64_t by_tiles = p.tiles * kFeatureTile / 256;
  int64_t parts = blocks / row_tiles;
  parts = parts < by_bytes ? parts : by_bytes;
  parts = parts < by_tiles ? parts : by_tiles;
  parts = parts < 1 ? 1 : parts;
  p.per_part = ceil_div(p.tiles, parts);
  p.parts = ceil_div(p.tiles, p.per_part);
  // A sample of an eighth of the features or so, in groups of 8: between 2 K of them and what fits.
  const int64_t sample = features >= 16384 ? 2048 : features >= 4096 ? 1024 : features >= 2048 ? 512 : 0;
  if (sample / kGroup >= kept) {
    p.seed_tiles = sample / kFeatureTile;
    p.seed_step = p.tiles / p.seed_tiles;
    const int64_t seed_parts = blocks / row_tiles;
    p.seed_per_part = ceil_div(p.seed_tiles, seed_parts < 1 ? 1 : seed_parts < p.seed_tiles ? seed_parts : p.seed_tiles);
    p.seed_parts = ceil_div(p.seed_tiles, p.seed_per_part);
  }
  rhumb::Scratch cut(scratch);
  p.x = cut.take<__nv_bfloat16>(p.padded_rows * p.padded_width);
  p.norms = cut.take<RowNorms>(p.padded_rows);
  p.floors = cut.take<float>(p.padded_rows);
  p.greatest = cut.take<float>(p.padded_rows * p.seed_tiles * kFeatureTile / kGroup);
  p.candidates = cut.take<Key>(p.padded_rows * p.parts * kCapacity);
  p.counts = cut.take<int>(p.padded_rows * p.parts);
  p.left = cut.take<int32_t>(rows);
  p.left_count = cut.take<int32_t>(1);
  p.bytes = cut.bytes();
  return p;
}

template <int kSteps, bool kSeed>
cudaError_t launch_scan(const Encoder &e, const Scan &scan, int64_t row_tiles, int64_t parts, cudaStream_t stream) {
  constexpr int kBytes = Shape<kSteps>::kSharedBytes;
  if (kBytes > 48 * 1024) {  // what a kernel may take without being allowed to
    const cudaError_t error =
        cudaFuncSetAttribute(scan_tiles<kSteps, kSeed>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
    if (error != cudaSuccess) {
      return error;
    }
  }
  RHUMB_LAUNCH((scan_tiles<kSteps, kSeed>), dim3(static_cast<unsigned>(row_tiles), static_cast<unsigned>(parts)),
               dim3(kBlock), kBytes, stream, e, scan);
  return cudaGetLastError();
}

template <bool kSeed>
cudaError_t launch_scan(const Encoder &e, const Scan &scan, int64_t row_tiles, int64_t parts, cudaStream_t stream) {
  if (rhumb::products() == rhumb::Products::kWgmma) {
    return groups::launch_scan<kSeed>(e, scan, row_tiles, parts, stream);
  }
  switch (scan.padded_width) {
    case 64:
      return launch_scan<4, kSeed>(e, scan, row_tiles, parts, stream);
    case 128:
      return launch_scan<8, kSeed>(e, scan, row_tiles, parts, stream);
    case 192:
      return launch_scan<12, kSeed>(e, scan, row_tiles, parts, stream);
    case 256:
      return launch_scan<16, kSeed>(e, scan, row_tiles, parts, stream);
    default:
      return launch_scan<0, kSeed>(e, scan, row_tiles, parts, stream);
  }
}

}  // namespace

rhumb::Products &rhumb::products() {
  static Products chosen = [] {
    const char *named = std::getenv("RHUMB_ENCODE");
    return named == nullptr || *named == 0 || std::strcmp(named, "mma") == 0 ? Products::kMma
           : std::strcmp(named, "wgmma") == 0                                ? Products::kWgmma
                                                                             : Products::kUnknown;
  }();
  return chosen;
}

bool rhumb::certifies(int64_t width, int64_t features, int64_t rows, int64_t kept) {
  return width <= kMostRoundedWidth && rows >= kFewestRows && rows <= INT32_MAX / 2 && kept <= kMostKept &&
         features >= 8 * kept && features >= 512;
}

int64_t rhumb::certified_scratch(int64_t width, int64_t features, int64_t rows, int64_t kept) {
  return plan(width, features, rows, kept, nullptr).bytes;
}

int rhumb::encode_certified(const char *call, const Encoder &e, const TopKCall &of, void *scratch, cudaStream_t stream,
                            LeftRows *left) {
  const Plan p = plan(e.width, e.features, of.rows, of.kept, scratch);
  *left = {p.left, p.left_count};
  if (products() == Products::kUnknown) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: RHUMB_ENCODE is neither mma nor wgmma", call);
  }
  if (products() == Products::kWgmma) {
    bool runs = false;
    if (const int status = check(groups::runs_here(&runs), call)) {
      return status;
    }
    if (!runs) {
      return fail(RHUMB_INVALID_ARGUMENT, "%s: RHUMB_ENCODE=wgmma needs a GPU of compute capability 9.0: leave it out", call);
    }
  }
  cudaError_t error = cudaMemsetAsync(p.left_count, 0, sizeof *p.left_count, stream);
  if (error != cudaSuccess) {
    return check(error, call);
  }
  const dim3 warps(static_cast<unsigned>(ceil_div(p.padded_rows, kBlock / kWarp)));
  RHUMB_LAUNCH(prepare, warps, dim3(kBlock), 0, stream, e, of.rows, p.padded_rows, of.x, of.x_stride, p.x, p.norms, p.floors);
  error = cudaGetLastError();
  const int64_t row_tiles = p.padded_rows / kRowTile;
  Scan scan{};
  scan.x = p.x;
  scan.norms = p.norms;
  scan.floors = p.floors;
  scan.padded_width = p.padded_width;
  scan.kept = static_cast<int>(of.kept);
  scan.exact = of.selection == RHUMB_EXACT;
  scan.groups = static_cast<int>(p.seed_tiles * kFeatureTile / kGroup);
  scan.greatest = p.greatest;
  scan.candidates = p.candidates;
  scan.counts = p.counts;
  if (error == cudaSuccess && p.seed_tiles > 0) {
    scan.tiles = static_cast<int>(p.seed_tiles);
    scan.step = static_cast<int>(p.seed_step);
    scan.per_part = static_cast<int>(p.seed_per_part);
    error = launch_scan<true>(e, scan, row_tiles, p.seed_parts, stream);
    if (error == cudaSuccess) {
      RHUMB_LAUNCH(seed_floors, warps, dim3(kBlock), 0, stream, p.padded_rows, scan.groups, scan.kept, p.greatest,
                   p.floors);
      error = cudaGetLastError();
    }
  }
  if (error == cudaSuccess) {
    scan.tiles = static_cast<int>(p.tiles);
    scan.step = 1;
    scan.per_part = static_cast<int>(p.per_part);
    error = launch_scan<false>(e, scan, row_tiles, p.parts, stream);
  }
  if (error == cudaSuccess) {
    const Finish finishing{of.x,        of.x_stride, of.rows,     p.norms, static_cast<int>(p.parts),
                           p.candidates, p.counts,    scan.kept,   scan.exact, of.rectify,              of.indices,
                           of.values,   p.left,      p.left_count};
    error = launch_finish(e, finishing, stream);
  }
  return check(error, call);
}
