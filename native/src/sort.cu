// A radix sort from the least significant digit, eight bits at a time, as many passes as the largest key needs. A pass cuts
// the keys into tiles, a partition fixed by their number: it counts each tile's digits, sums the counts of the tiles before
// (digit by digit), and moves each key to where its digit starts + those in tiles before + those before it in its own tile.
// The first pass drops what is no key; from then on the number of keys is known on the device alone.
#include "sort.h"

#include "reduce.h"

namespace {

using rhumb::kAllLanes;
using rhumb::kWarp;
using rhumb::warp_prefix;

constexpr int kBits = 8;
constexpr int kDigits = 1 << kBits;
// One thread for each digit, so that a thread owns a digit wherever digits are summed.
constexpr int kBlock = kDigits;
constexpr int kWarps = kBlock / kWarp;
// Rounds of a warp over its stretch of a tile: 2048 keys a tile, so that training's 100 000 fill a GPU. Loads of all rounds are
// under way at once, wherever there are any.
constexpr int kRounds = 8;
constexpr int kStretch = kRounds * kWarp;
constexpr int kTile = kWarps * kStretch;

// The keys of a pass: of all `count`, or of the first *total when that is not NULL.
struct Keys {
  const int32_t *keys;    // (count)
  const int32_t *places;  // (count), or NULL: 0, 1, 2 ...
  const int32_t *total;   // (1), or NULL
  int64_t count;
  int64_t bound;

  __device__ int64_t size() const { return total == nullptr ? count : *total; }
  __device__ bool holds(int32_t key) const { return key >= 0 && key < bound; }
};

__device__ __forceinline__ int digit_of(int32_t key, int shift) { return key >> shift & (kDigits - 1); }

// counts (kDigits, tiles): of each digit in each tile; a block for each tile.
__global__ void __launch_bounds__(kBlock) count_digits(Keys in, int shift, int32_t *counts) {
  __shared__ int32_t digits[kDigits];
  digits[threadIdx.x] = 0;
  __syncthreads();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.x;
  const int64_t size = in.size();
  int32_t key[kRounds];
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    const int64_t i = first + round * kBlock;
    key[round] = i < size ? in.keys[i] : -1;
  }
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    if (in.holds(key[round])) {
      atomicAdd(&digits[digit_of(key[round], shift)], 1);
    }
  }
  __syncthreads();
  counts[static_cast<int64_t>(threadIdx.x) * gridDim.x + blockIdx.x] = digits[threadIdx.x];
}

// counts becomes the sum of its digit's counts in the tiles before; totals (kDigits) that of all tiles. A warp for each digit.
__global__ void __launch_bounds__(kBlock) sum_tiles(int64_t tiles, int32_t *counts, int32_t *totals) {
  const int lane = threadIdx.x % kWarp;
  const int digit = blockIdx.x * kWarps + threadIdx.x / kWarp;
  int32_t *row = counts + digit * tiles;
  int32_t before = 0;
  for (int64_t first = lane; first - lane < tiles; first += kRounds * kWarp) {
    int32_t mine[kRounds];
#pragma unroll
    for (int round = 0; round < kRounds; round++) {
      const int64_t tile = first + round * kWarp;
      mine[round] = tile < tiles ? row[tile] : 0;
    }
#pragma unroll
    for (int round = 0; round < kRounds; round++) {
      const int64_t tile = first + round * kWarp;
      const int32_t upto = warp_prefix(mine[round]);
      if (tile < tiles) {
        row[tile] = before + upto - mine[round];
      }
      before += __shfl_sync(kAllLanes, upto, kWarp - 1);
    }
  }
  if (lane == 0) {
    totals[digit] = before;
  }
}

// Moves a tile's keys and places to where this pass puts them. to_total (1), or NULL: how many keys there are.
__global__ void __launch_bounds__(kBlock) move(Keys in, int shift, const int32_t *counts, const int32_t *totals,
                                               int32_t *to_keys, int32_t *to_places, int32_t *to_total) {
  __shared__ int32_t starts[kDigits];
  __shared__ int32_t next[kWarps][kDigits];  // of each warp and digit: how many so far, then where the next one goes
  const int thread = threadIdx.x;
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;

  if (warp == 0) {
    // starts = the sum of the totals of the digits below: each lane has eight neighbours.
    int32_t mine[kDigits / kWarp];
    int32_t sum = 0;
    for (int i = 0; i < kDigits / kWarp; i++) {
      mine[i] = totals[lane * (kDigits / kWarp) + i];
      sum += mine[i];
    }
    const int32_t upto = warp_prefix(sum);
    int32_t start = upto - sum;
    for (int i = 0; i < kDigits / kWarp; i++) {
      starts[lane * (kDigits / kWarp) + i] = start;
      start += mine[i];
    }
    if (to_total != nullptr && blockIdx.x == 0 && lane == kWarp - 1) {
      *to_total = upto;
    }
  }
  for (int w = 0; w < kWarps; w++) {
    next[w][thread] = 0;
  }
  __syncthreads();

  // Each warp ranks its stretch, 32 keys at a time: a key's rank among the equal digits of its warp.
  const int64_t size = in.size();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + warp * kStretch + lane;
  int32_t key[kRounds];
  int32_t place[kRounds];
  int32_t rank[kRounds];
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    const int64_t i = first + round * kWarp;
    key[round] = i < size ? in.keys[i] : -1;
    place[round] = i >= size ? 0 : in.places == nullptr ? static_cast<int32_t>(i) : in.places[i];
    rank[round] = -1;
  }
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    if (first - lane + round * kWarp >= size) {
      break;  // the whole warp
    }
    const bool held = in.holds(key[round]);
    const int digit = held ? digit_of(key[round], shift) : kDigits;
    const unsigned equal = __match_any_sync(kAllLanes, digit);
    const int before = __popc(equal & ((1u << lane) - 1));
    if (held) {
      rank[round] = next[warp][digit] + before;
    }
    __syncwarp();
    if (held && before == 0) {
      next[warp][digit] += __popc(equal);
    }
    __syncwarp();
  }
  __syncthreads();

  int32_t start = starts[thread] + counts[static_cast<int64_t>(thread) * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; w++) {
    const int32_t mine = next[w][thread];
    next[w][thread] = start;
    start += mine;
  }
  __syncthreads();

#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    if (rank[round] >= 0) {
      const int32_t to = next[warp][digit_of(key[round], shift)] + rank[round];
      to_keys[to] = key[round];
      to_places[to] = place[round];
    }
  }
}

// first[k] = how many keys are below k, k from 0 to bound: by bisection.
__global__ void __launch_bounds__(kBlock)
    find_keys(const int32_t *keys, const int32_t *total, int64_t bound, int32_t *first) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; k <= bound; k += step) {
    int32_t low = 0;
    int32_t high = *total;
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (keys[middle] < k) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    first[k] = low;
  }
}

int64_t tiles_of(int64_t count) { return count == 0 ? 1 : (count + kTile - 1) / kTile; }

struct Plan {
  int32_t *keys[2];
  int32_t *places[2];
  int32_t *counts;
  int32_t *totals;
  int32_t *total;
  int passes;
  int64_t bytes;
};

Plan plan(int64_t count, int64_t bound, void *scratch) {
  Plan plan{};
  plan.passes = 1;
  while (plan.passes * kBits < 31 && ((bound - 1) >> (plan.passes * kBits)) > 0) {
    plan.passes++;
  }
  rhumb::Scratch cut(scratch);
  for (int i = 0; i < (plan.passes > 1 ? 2 : 1); i++) {
    plan.keys[i] = cut.take<int32_t>(count);
    plan.places[i] = cut.take<int32_t>(count);
  }
  plan.counts = cut.take<int32_t>(kDigits * tiles_of(count));
  plan.totals = cut.take<int32_t>(kDigits);
  plan.total = cut.take<int32_t>(1);
  plan.bytes = cut.bytes();
  return plan;
}

}  // namespace

int64_t rhumb::sort_scratch(int64_t count, int64_t bound) { return plan(count, bound, nullptr).bytes; }

int rhumb::sort(int64_t count, int64_t bound, const int32_t *d_keys, void *scratch, cudaStream_t stream,
                const char *call, Sorted *sorted) {
  if (count > INT32_MAX || bound > INT32_MAX) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: %lld entries of %lld keys to sort, but at most 2147483647 of each can be", call,
                static_cast<long long>(count), static_cast<long long>(bound));
  }
  const Plan work = plan(count, bound, scratch);
  const int64_t tiles = tiles_of(count);
  const dim3 grid(static_cast<unsigned>(tiles));
  Keys in{d_keys, nullptr, nullptr, count, bound};
  for (int pass = 0; pass < work.passes; pass++) {
    int32_t *to_keys = work.keys[pass % 2];
    int32_t *to_places = work.places[pass % 2];
    RHUMB_LAUNCH(count_digits, grid, dim3(kBlock), 0, stream, in, pass * kBits, work.counts);
    RHUMB_LAUNCH(sum_tiles, dim3(kDigits / kWarps), dim3(kBlock), 0, stream, tiles, work.counts, work.totals);
    RHUMB_LAUNCH(move, grid, dim3(kBlock), 0, stream, in, pass * kBits, work.counts, work.totals, to_keys, to_places,
                 pass == 0 ? work.total : nullptr);
    in = {to_keys, to_places, work.total, count, bound};
  }
  *sorted = {in.keys, in.places, work.total};
  return check(cudaGetLastError(), call);
}

int rhumb::key_offsets(const Sorted &sorted, int64_t bound, int32_t *d_first, cudaStream_t stream, const char *call) {
  const int64_t blocks = min(bound / kBlock + 1, static_cast<int64_t>(4096));
  RHUMB_LAUNCH(find_keys, dim3(static_cast<unsigned>(blocks)), dim3(kBlock), 0, stream, sorted.keys, sorted.total, bound,
               d_first);
  return check(cudaGetLastError(), call);
}
