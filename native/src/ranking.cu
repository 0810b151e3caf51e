// Scores over a catalogue and their exact top-k, without a matrix of rows x items.
//
// The score of (row, item) is one float32 chain wherever it is made, acc = 0; for d ascending acc = fma(h[d], item[d], acc):
// a row's result does not depend on the rows beside it.
//
//   version 1  (best_items): a block per row makes each score anew for every digit of the k-th best key. Any k, no memory.
//   version 2  (scan_items, merge_parts): a block scores a tile of rows by a tile of items in shared memory, on and on over
//              its part of the items, and keeps each row's k best; a second launch merges the parts. Reads the table once
//              for each tile of rows; for a request, whose scan is bound by memory, as fast as the table comes.
#include "fault.h"
#include "select.h"
#include "status.h"

using rhumb::BestLists;
using rhumb::Key;
using rhumb::kNoKey;

namespace {

struct Items {
  int64_t rows;
  int64_t width;
  int64_t table_rows;
  const float *h;  // (rows, h_stride)
  int64_t h_stride;
  const float *table;       // (table_rows, width)
  const int32_t *offsets;   // (rows + 1) or NULL: row r excludes excluded[offsets[r]] .. excluded[offsets[r + 1] - 1]
  const int32_t *excluded;  // (excluded_count)
  int64_t excluded_count;
  int k;  // no more than there are items
  uint64_t *faults;
};

constexpr int kWarp = 32;

// Finds where a row's excluded items are: [*begin, *end), empty where its offsets are not to be used.
__device__ void find_excluded(const Items &a, int64_t row, int32_t *begin, int32_t *end) {
  *begin = *end = 0;
  if (a.offsets == nullptr) {
    return;
  }
  const int32_t from = a.offsets[row];
  const int32_t to = a.offsets[row + 1];
  const bool starts = from >= 0 && from <= a.excluded_count && (row > 0 || from == 0);
  const bool ends = to >= from && to <= a.excluded_count;
  if (row == 0 && !starts) {
    rhumb::report_fault(a.faults, RHUMB_FAULT_TOP_ITEMS_OFFSET, 0, static_cast<uint32_t>(from));
  }
  if (!ends) {
    rhumb::report_fault(a.faults, RHUMB_FAULT_TOP_ITEMS_OFFSET, row + 1, static_cast<uint32_t>(to));
  }
  if (starts && ends) {
    *begin = from;
    *end = to;
  }
}

// Sets the bits of those excluded items, from the thread's first on in steps, that are among `count` items from `first`.
__device__ void bar(const Items &a, int32_t begin, int32_t end, int step, int64_t first, int count, unsigned *barred) {
  for (int64_t i = begin; i < end; i += step) {
    const int64_t item = a.excluded[i] - first;
    if (item >= 0 && item < count) {
      atomicOr(&barred[item / 32], 1u << (item % 32));
    }
  }
}

__device__ __forceinline__ bool is_barred(const unsigned *barred, int item) {
  return (barred[item / 32] >> (item % 32) & 1) != 0;
}

// The key of a score, or kNoKey and a fault where it is NaN.
__device__ __forceinline__ Key score_key(const Items &a, int64_t row, int64_t item, float score) {
  if (score != score) {
    rhumb::report_fault(a.faults, RHUMB_FAULT_TOP_ITEMS_NAN, row, static_cast<uint32_t>(item));
    return kNoKey;
  }
  return rhumb::key_of(score, static_cast<uint32_t>(item));
}

// items, scores (k): of key i, of a list of `there`.
__device__ __forceinline__ void write_best(const Key *keys, int there, int64_t k, int32_t *items, float *scores) {
  for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
    const Key key = i < there ? keys[i] : kNoKey;
    items[i] = key == kNoKey ? 0 : static_cast<int32_t>(rhumb::key_index(key));
    scores[i] = key == kNoKey ? __uint_as_float(0xff800000u) : rhumb::key_score(key);
  }
}

// --- Version 1 -----------------------------------------------------------------------------------------------------------

constexpr int kBlock = 256;
constexpr int kBestWindow = 4096;

// One block for each row. best (rows, room): room for the row's keys, a power of two >= a.k.
__global__ void __launch_bounds__(kBlock)
    best_items(Items a, Key *best, int64_t room, int64_t k, int32_t *items, float *scores) {
  __shared__ unsigned barred[kBestWindow / 32];
  __shared__ int found;
  const int64_t row = blockIdx.x;
  const float *h = a.h + row * a.h_stride;  // (width)
  Key *keys = best + row * room;            // (room)
  int32_t begin, end;
  find_excluded(a, row, &begin, &end);

  auto sweep = [&](auto visit) {
    for (int64_t first = 1; first < a.table_rows; first += kBestWindow) {
      __syncthreads();
      for (int i = threadIdx.x; i < kBestWindow / 32; i += kBlock) {
        barred[i] = 0;
      }
      __syncthreads();
      bar(a, begin + static_cast<int>(threadIdx.x), end, kBlock, first, kBestWindow, barred);
      __syncthreads();
      for (int i = threadIdx.x; i < kBestWindow && first + i < a.table_rows; i += kBlock) {
        if (is_barred(barred, i)) {
          continue;
        }
        const float *item = a.table + (first + i) * a.width;  // (width)
        float score = 0;
        for (int64_t d = 0; d < a.width; d++) {
          score = fmaf(h[d], item[d], score);
        }
        visit(score_key(a, row, first + i, score));
      }
    }
  };
  const Key least = rhumb::block_least_of_best(a.k, sweep);

  if (threadIdx.x == 0) {
    found = 0;
  }
  __syncthreads();
  sweep([&](Key key) {
    if (key >= least) {
      keys[atomicAdd(&found, 1)] = key;
    }
  });
  __syncthreads();
  for (int64_t i = found + threadIdx.x; i < room; i += kBlock) {
    keys[i] = kNoKey;
  }
  rhumb::block_sort(keys, 1, room, static_cast<int>(room));
  write_best(keys, a.k, k, items + row * k, scores + row * k);
}

// --- Version 2 -----------------------------------------------------------------------------------------------------------

constexpr int kManyRows = 32;     // a tile's from 17 rows on, by kManyItems
constexpr int kManyItems = 64;
constexpr int kFewItems = 128;    // by 1 to 8 rows
constexpr int kStep = 32;         // columns of a tile
constexpr int kPadded = kStep + 4;  // so that eight lanes that read 16 bytes each of eight rows meet no bank twice
constexpr int kWindow = 256;      // items whose exclusion is known at a time
constexpr int kMostParts = 1024;  // so few that the merge is short, so many that all of the GPU scans
constexpr int kMostBest = 384;    // the greatest k of this version

// Copies columns d0 .. d0 + kStep - 1 of kRows rows, from (there, stride), to tile (kRows, kPadded): zeros past the end.
template <int kRows, int kThreads>
__device__ __forceinline__ void load_tile(const float *from, int64_t stride, int64_t there, int64_t width, int64_t d0,
                                          bool by_four, float *tile) {
  if (by_four) {
    constexpr int kFours = kRows * kStep / 4;
#pragma unroll
    for (int i = 0; i < (kFours + kThreads - 1) / kThreads; i++) {
      const int at = i * kThreads + threadIdx.x;
      const int row = at / (kStep / 4);
      const int d = at % (kStep / 4) * 4;
      if (kFours % kThreads == 0 || at < kFours) {
        *reinterpret_cast<float4 *>(tile + row * kPadded + d) =
            row < there && d0 + d < width ? __ldg(reinterpret_cast<const float4 *>(from + row * stride + d0 + d))
                                          : make_float4(0, 0, 0, 0);
      }
    }
  } else {
    for (int at = threadIdx.x; at < kRows * kStep; at += kThreads) {
      const int row = at / kStep;
      const int d = at % kStep;
      tile[row * kPadded + d] = row < there && d0 + d < width ? __ldg(from + row * stride + d0 + d) : 0.0f;
    }
  }
}

// Block (x, y) finds the k best of rows x kRows .. + kRows - 1 among items 1 + y part .. + part - 1, a thread making
// kRowsEach x kItemsEach of the scores of a tile. best (rows, k, parts): each part's best, falling, kNoKey past the last.
// Dynamic shared memory: Key (kRows, capacity).
template <int kRows, int kRowsEach, int kItems, int kItemsEach>
__global__ void __launch_bounds__(kRows / kRowsEach *kItems / kItemsEach, kRows < kManyRows ? 5 : 3)
    scan_items(Items a, int64_t part, int capacity, bool by_four, Key *best) {
  constexpr int kAlong = kItems / kItemsEach;             // threads along the items
  constexpr int kAcross = kRows / kRowsEach;              // along the rows
  constexpr int kThreads = kAlong * kAcross;
  // Threads that go through a row's excluded items, which an allow-list makes as many as the catalogue's.
  constexpr int kBarring = kThreads / kRows > kWarp ? kThreads / kRows : kWarp;
  __shared__ __align__(16) float h_tile[kRows * kPadded];
  __shared__ __align__(16) float item_tile[kItems * kPadded];
  __shared__ unsigned barred[kRows][kWindow / 32];
  __shared__ int32_t excluded_begin[kRows], excluded_end[kRows];
  __shared__ Key bound[kRows];
  __shared__ int count[kRows];
  RHUMB_DYNAMIC_SHARED(Key, keys);
  const int thread = threadIdx.x;
  const int along = thread % kAlong;
  const int across = thread / kAlong;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t rows_here = min(static_cast<int64_t>(kRows), a.rows - row0);
  const int64_t from = 1 + static_cast<int64_t>(blockIdx.y) * part;
  const int64_t to = min(from + part, a.table_rows);
  const BestLists lists{keys, bound, count, kRows, a.k, capacity};

  if (thread < rows_here) {
    find_excluded(a, row0 + thread, &excluded_begin[thread], &excluded_end[thread]);
  }
  lists.start();
  for (int64_t window = from; window < to; window += kWindow) {
    if (a.offsets != nullptr) {
      __syncthreads();
      for (int i = thread; i < kRows * (kWindow / 32); i += kThreads) {
        barred[i / (kWindow / 32)][i % (kWindow / 32)] = 0;
      }
      __syncthreads();
      for (int r = thread / kBarring; r < rows_here; r += kThreads / kBarring) {
        bar(a, excluded_begin[r] + thread % kBarring, excluded_end[r], kBarring, window, kWindow, barred[r]);
      }
    }
    const int64_t window_end = min(window + kWindow, to);
    for (int64_t item0 = window; item0 < window_end; item0 += kItems) {
      float scores[kRowsEach][kItemsEach] = {};
      for (int64_t d0 = 0; d0 < a.width; d0 += kStep) {
        __syncthreads();
        load_tile<kRows, kThreads>(a.h + row0 * a.h_stride, a.h_stride, rows_here, a.width, d0, by_four, h_tile);
        load_tile<kItems, kThreads>(a.table + item0 * a.width, a.width, to - item0, a.width, d0, by_four, item_tile);
        __syncthreads();
        const int columns = static_cast<int>(min(static_cast<int64_t>(kStep), a.width - d0));
#pragma unroll 1
        for (int d = 0; d < columns; d += 4) {  // past the width are zeros
          float4 hs[kRowsEach];
          float4 ts[kItemsEach];
#pragma unroll
          for (int i = 0; i < kRowsEach; i++) {
            hs[i] = *reinterpret_cast<const float4 *>(h_tile + (across + i * kAcross) * kPadded + d);
          }
#pragma unroll
          for (int j = 0; j < kItemsEach; j++) {
            ts[j] = *reinterpret_cast<const float4 *>(item_tile + (along + j * kAlong) * kPadded + d);
          }
#pragma unroll
          for (int i = 0; i < kRowsEach; i++) {
#pragma unroll
            for (int j = 0; j < kItemsEach; j++) {
              float score = scores[i][j];
              score = fmaf(hs[i].x, ts[j].x, score);
              score = fmaf(hs[i].y, ts[j].y, score);
              score = fmaf(hs[i].z, ts[j].z, score);
              scores[i][j] = fmaf(hs[i].w, ts[j].w, score);
            }
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kRowsEach; i++) {
#pragma unroll
        for (int j = 0; j < kItemsEach; j++) {
          const int r = across + i * kAcross;
          const int64_t item = item0 + along + j * kAlong;
          if (r < rows_here && item < to &&
              (a.offsets == nullptr || !is_barred(barred[r], static_cast<int>(item - window)))) {
            lists.offer(r, score_key(a, row0 + r, item, scores[i][j]));
          }
        }
      }
      lists.settle(kItems);
    }
  }
  lists.finish();
  for (int i = thread; i < rows_here * a.k; i += kThreads) {
    const int r = i / a.k;
    const int rank = i % a.k;
    best[((row0 + r) * a.k + rank) * gridDim.y + blockIdx.y] = keys[r * capacity + rank];
  }
}

constexpr int kMergeEach = 4;

// One block for each row: the k best of best (rows, a_k, parts). Goes by rank: first every part's best key, then every
// part's second. Once no key of a rank passes the bound, none of a later rank can. Dynamic shared memory: Key (capacity).
__global__ void __launch_bounds__(kBlock)
    merge_parts(const Key *best, int a_k, int64_t parts, int capacity, int64_t k, int32_t *items, float *scores) {
  __shared__ Key bound;
  __shared__ int count;
  RHUMB_DYNAMIC_SHARED(Key, keys);
  const int64_t row = blockIdx.x;
  const Key *from = best + row * a_k * parts;  // (a_k, parts)
  const BestLists lists{keys, &bound, &count, 1, a_k, capacity};
  lists.start();
  for (int rank = 0; rank < a_k; rank++, from += parts) {
    bool any = false;
    for (int64_t part = threadIdx.x; part - threadIdx.x < parts; part += kMergeEach * kBlock) {
      Key mine[kMergeEach];
#pragma unroll
      for (int i = 0; i < kMergeEach; i++) {
        mine[i] = part + i * kBlock < parts ? from[part + i * kBlock] : kNoKey;
      }
#pragma unroll
      for (int i = 0; i < kMergeEach; i++) {
        any |= lists.offer(0, mine[i]);
        lists.settle(kBlock);
      }
    }
    if (__syncthreads_or(any) == 0) {
      break;
    }
  }
  lists.finish();
  write_best(keys, a_k, k, items + row * k, scores + row * k);
}

// --- Calls ---------------------------------------------------------------------------------------------------------------

// How a shape is computed.
struct Plan {
  int k;             // of the k asked for, as many as there are items
  int tile_rows;     // 0: version 1
  int capacity;      // of a list: keys
  int64_t row_tiles;
  int64_t part;      // items of a part
  int64_t parts;
  int64_t scratch;   // keys
};


// k: at least 1.
Plan plan(int64_t rows, int64_t table_rows, int64_t k) {
  Plan p{};
  const int64_t items = table_rows > 1 ? table_rows - 1 : 1;
  p.k = static_cast<int>(k < items ? k : items);
  if (p.k > kMostBest) {
    p.scratch = rows * rhumb::power_of_two(p.k);
    return p;
  }
  // All lists of a block fit the 48 KiB of shared memory that every kernel gets.
  const int tile_items = rows > 16 && p.k <= 64 ? kManyItems : kFewItems;
  p.capacity = static_cast<int>(rhumb::power_of_two(p.k + tile_items));
  p.tile_rows = tile_items == kManyItems           ? kManyRows
                : rows > 4 && p.capacity <= 256 ? 8
                : rows > 2                      ? 4
                                                : static_cast<int>(rows);
  p.row_tiles = (rows + p.tile_rows - 1) / p.tile_rows;
  const int64_t most = p.row_tiles < kMostParts ? kMostParts / p.row_tiles : 1;
  const int64_t least = 2 * p.k;  // items of a part, so that its list is shorter than what it was made of
  p.part = (items + most - 1) / most;
  p.part = ((p.part < least ? least : p.part) + tile_items - 1) / tile_items * tile_items;
  p.parts = (items + p.part - 1) / p.part;
  p.scratch = rows * p.k * p.parts;
  return p;
}

template <int kRows, int kRowsEach, int kItems, int kItemsEach>
void scan(const Items &items, const Plan &p, bool by_four, Key *best, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(p.row_tiles), static_cast<unsigned>(p.parts));
  const dim3 block(kRows / kRowsEach * kItems / kItemsEach);
  RHUMB_LAUNCH((scan_items<kRows, kRowsEach, kItems, kItemsEach>), grid, block, kRows * p.capacity * sizeof(Key), stream,
               items, p.part, p.capacity, by_four, best);
}

bool aligned(const float *pointer) { return reinterpret_cast<uintptr_t>(pointer) % sizeof(float4) == 0; }

}  // namespace

int64_t rhumb_top_items_scratch(int64_t rows, int64_t width, int64_t table_rows, int64_t k) {
  (void)width;
  return rows <= 0 || k <= 0 ? 0 : plan(rows, table_rows, k).scratch * static_cast<int64_t>(sizeof(Key));
}

int rhumb_top_items(int64_t rows, int64_t width, int64_t table_rows, const float *d_h, int64_t h_stride,
                    const float *d_table, int64_t k, const int32_t *d_excluded_offsets, const int32_t *d_excluded,
                    int64_t excluded_count, int32_t *d_items, float *d_scores, void *d_scratch, int64_t scratch_bytes,
                    uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_top_items";
  int status = rhumb::check_counts(call, {{"rows", rows},
                                          {"width", width},
                                          {"table_rows", table_rows},
                                          {"h_stride", h_stride},
                                          {"k", k},
                                          {"excluded_count", excluded_count}});
  if (status != RHUMB_OK || rows == 0 || k == 0) {
    return status;
  }
  status = rhumb::check_pointers(
      call,
      {{"d_h", d_h}, {"d_table", d_table}, {"d_items", d_items}, {"d_scores", d_scores}, {"d_faults", d_faults}});
  if (status == RHUMB_OK && d_excluded_offsets != nullptr && excluded_count > 0) {
    status = rhumb::check_pointers(call, {{"d_excluded", d_excluded}});
  }
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, rhumb_top_items_scratch(rows, width, table_rows, k));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const Plan p = plan(rows, table_rows, k);
  const Items items{rows,       width,          table_rows, d_h, h_stride, d_table, d_excluded_offsets,
                    d_excluded, excluded_count, p.k,        d_faults};
  Key *best = static_cast<Key *>(d_scratch);
  const auto queue = static_cast<cudaStream_t>(stream);
  const dim3 each_row(static_cast<unsigned>(rows));
  const bool by_four = width % 4 == 0 && h_stride % 4 == 0 && aligned(d_h) && aligned(d_table);
  switch (p.tile_rows) {
    case 0:
      RHUMB_LAUNCH(best_items, each_row, dim3(kBlock), 0, queue, items, best, rhumb::power_of_two(p.k), k, d_items,
                   d_scores);
      return rhumb::check(cudaGetLastError(), "rhumb_top_items: launch");
    case 1:
      scan<1, 1, kFewItems, 1>(items, p, by_four, best, queue);
      break;
    case 2:
      scan<2, 2, kFewItems, 1>(items, p, by_four, best, queue);
      break;
    case 4:
      scan<4, 4, kFewItems, 1>(items, p, by_four, best, queue);
      break;
    case 8:
      scan<8, 8, kFewItems, 1>(items, p, by_four, best, queue);
      break;
    default:
      scan<kManyRows, 2, kManyItems, 4>(items, p, by_four, best, queue);
      break;
  }
  status = rhumb::check(cudaGetLastError(), "rhumb_top_items: launch of the scan");
  if (status != RHUMB_OK) {
    return status;
  }
  const int capacity = static_cast<int>(rhumb::power_of_two(p.k + kBlock));
  RHUMB_LAUNCH(merge_parts, each_row, dim3(kBlock), capacity * sizeof(Key), queue, best, p.k, p.parts, capacity, k,
               d_items, d_scores);
  return rhumb::check(cudaGetLastError(), "rhumb_top_items: launch of the merge");
}
