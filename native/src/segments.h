// Sums over the entries that share a key, once sort() has brought them together: rows of a table get what all entries of
// theirs have to add. The sorted entries are cut into groups of 64, or more where that makes enough groups, a partition that
// knows nothing of keys, so that a hot key is as well spread as all others; where a key's entries pass the end of a group,
// their partial sums are joined afterwards: those of 32 whole groups first, then one by one. So a sum's tree follows from the
// shape and the keys alone.
//
// A Term says what is summed. Each entry is looked at by `columns` threads, one for each part of a row:
//
//   struct Term {
//     static constexpr int kSums;                                  // floats that a thread sums
//     struct Column { ... };                                       // what a thread knows beforehand
//     struct Item { ... };                                         // what an entry brings to a thread
//     __device__ Column column(int64_t column) const;
//     __device__ Item load(const Column &column, int32_t place) const;
//     __device__ void add(const Item &item, float (&sum)[kSums]) const;
//     __device__ void finish(const Column &column, int32_t key, const float (&sum)[kSums]) const;  // once for each key
//   };
#pragma once

#include "sort.h"

namespace rhumb {
namespace segments {

constexpr int kBlock = 256;
constexpr int64_t kLeastGroup = 64;
// More threads than any GPU holds at once would only take more memory for partial sums.
constexpr int64_t kMostThreads = 1 << 19;
constexpr int64_t kMostGroupsOfWideRows = 2048;
constexpr int kGroupsOfSuper = 32;
// Entries whose loads a thread has in flight at once.
constexpr int kAhead = 4;

// Partial sums, (kSums, groups, columns) each: of a key that begins before its group (head), of one that begins in it and
// goes on (tail), and of heads of 32 whole groups.
struct Partials {
  float *heads;
  float *tails;
  float *supers;  // (kSums, supers, columns)
  int64_t groups;
  int64_t supers_count;
  int64_t columns;

  // How many entries a group has, when there are `size`.
  __device__ int64_t group_of(int64_t size) const { return max(kLeastGroup, (size + groups - 1) / groups); }
};

template <int kSums>
__device__ __forceinline__ void put(float *partials, int64_t groups, int64_t columns, int64_t group, int64_t column,
                                    const float (&sum)[kSums]) {
#pragma unroll
  for (int s = 0; s < kSums; s++) {
    partials[(s * groups + group) * columns + column] = sum[s];
  }
}

template <int kSums>
__device__ __forceinline__ void add(const float *partials, int64_t groups, int64_t columns, int64_t group,
                                    int64_t column, float (&sum)[kSums]) {
#pragma unroll
  for (int s = 0; s < kSums; s++) {
    sum[s] += partials[(s * groups + group) * columns + column];
  }
}

// A thread for each group and column.
template <class Term>
__global__ void __launch_bounds__(kBlock)
    sum_groups(Term term, const int32_t *keys, const int32_t *places, const int32_t *total, Partials partials) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  const int64_t threads = partials.groups * partials.columns;
  const int64_t size = *total;
  const int64_t of_group = partials.group_of(size);
  for (int64_t t = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; t < threads; t += step) {
    const int64_t group = t / partials.columns;
    const int64_t c = t % partials.columns;
    const int64_t begin = group * of_group;
    if (begin >= size) {
      return;
    }
    const int64_t end = min(begin + of_group, size);
    const auto column = term.column(c);
    int32_t current = keys[begin];
    bool head = begin > 0 && keys[begin - 1] == current;
    float sum[Term::kSums] = {};
    for (int64_t i = begin; i < end; i += kAhead) {
      int32_t key[kAhead];
      typename Term::Item item[kAhead];
#pragma unroll
      for (int a = 0; a < kAhead; a++) {
        const int64_t at = min(i + a, end - 1);  // past the end, the last one again: loaded, not added
        key[a] = keys[at];
        item[a] = term.load(column, places[at]);
      }
#pragma unroll
      for (int a = 0; a < kAhead; a++) {
        if (i + a < end) {
          if (key[a] != current) {
            if (head) {
              put(partials.heads, partials.groups, partials.columns, group, c, sum);
            } else {
              term.finish(column, current, sum);
            }
            head = false;
            current = key[a];
#pragma unroll
            for (int s = 0; s < Term::kSums; s++) {
              sum[s] = 0;
            }
          }
          term.add(item[a], sum);
        }
      }
    }
    const bool goes_on = end < size && keys[end] == current;
    if (head || goes_on) {
      put(head ? partials.heads : partials.tails, partials.groups, partials.columns, group, c, sum);
    } else {
      term.finish(column, current, sum);
    }
  }
}

// Whether one key, which began before it, fills a super's groups.
__device__ __forceinline__ bool fills(const int32_t *keys, int64_t size, int64_t of_group, int64_t super) {
  const int64_t begin = super * kGroupsOfSuper * of_group;
  const int64_t end = begin + kGroupsOfSuper * of_group;
  return begin > 0 && end <= size && keys[begin - 1] == keys[end - 1];
}

// A thread for each super and column.
template <class Term>
__global__ void __launch_bounds__(kBlock)
    sum_supers(const int32_t *keys, const int32_t *total, Partials partials) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  const int64_t threads = partials.supers_count * partials.columns;
  const int64_t size = *total;
  const int64_t of_group = partials.group_of(size);
  for (int64_t t = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; t < threads; t += step) {
    const int64_t super = t / partials.columns;
    const int64_t c = t % partials.columns;
    if (fills(keys, size, of_group, super)) {
      float sum[Term::kSums] = {};
#pragma unroll 4
      for (int g = 0; g < kGroupsOfSuper; g++) {
        add(partials.heads, partials.groups, partials.columns, super * kGroupsOfSuper + g, c, sum);
      }
      put(partials.supers, partials.supers_count, partials.columns, super, c, sum);
    }
  }
}

// Finishes the keys that go on past the end of the group they begin in. A thread for each group and column.
template <class Term>
__global__ void __launch_bounds__(kBlock)
    join_groups(Term term, const int32_t *keys, const int32_t *total, Partials partials) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  const int64_t threads = partials.groups * partials.columns;
  const int64_t size = *total;
  const int64_t of_group = partials.group_of(size);
  for (int64_t t = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; t < threads; t += step) {
    const int64_t group = t / partials.columns;
    const int64_t c = t % partials.columns;
    const int64_t begin = group * of_group;
    const int64_t end = begin + of_group;
    if (end >= size) {
      return;
    }
    const int32_t key = keys[end];
    if (keys[end - 1] != key || (begin > 0 && keys[begin - 1] == key)) {
      continue;  // nothing goes on here, or it began before
    }
    float sum[Term::kSums] = {};
    add(partials.tails, partials.groups, partials.columns, group, c, sum);
    int64_t next = group + 1;
    while (next * of_group < size && keys[next * of_group] == key) {
      if (next % kGroupsOfSuper == 0 && fills(keys, size, of_group, next / kGroupsOfSuper)) {
        add(partials.supers, partials.supers_count, partials.columns, next / kGroupsOfSuper, c, sum);
        next += kGroupsOfSuper;
      } else {
        add(partials.heads, partials.groups, partials.columns, next, c, sum);
        next++;
      }
    }
    term.finish(term.column(c), key, sum);
  }
}

inline Partials plan(int64_t count, int64_t columns, int sums, Scratch &cut) {
  Partials partials{};
  partials.groups = std::min((count + kLeastGroup - 1) / kLeastGroup,
                             std::max(kMostGroupsOfWideRows, kMostThreads / std::max<int64_t>(columns, 1)));
  partials.supers_count = partials.groups / kGroupsOfSuper;
  partials.columns = columns;
  partials.heads = cut.take<float>(sums * partials.groups * columns);
  partials.tails = cut.take<float>(sums * partials.groups * columns);
  partials.supers = cut.take<float>(sums * partials.supers_count * columns);
  return partials;
}

inline dim3 grid_of(int64_t threads) {
  return dim3(static_cast<unsigned>(std::min<int64_t>((threads + kBlock - 1) / kBlock, 1 << 30)));
}

}  // namespace segments

// Bytes that sum_segments() needs for up to `count` entries.
template <class Term>
int64_t segments_scratch(int64_t count, int64_t columns) {
  Scratch cut(nullptr);
  segments::plan(count, columns, Term::kSums, cut);
  return cut.bytes();
}

namespace segments {

template <class Term>
int sum_planned(const Sorted &sorted, const Partials &partials, const Term &term, cudaStream_t stream,
                const char *call) {
  if (partials.groups * partials.columns == 0) {
    return RHUMB_OK;
  }
  const dim3 block(kBlock);
  const dim3 grid = grid_of(partials.groups * partials.columns);
  RHUMB_LAUNCH((sum_groups<Term>), grid, block, 0, stream, term, sorted.keys, sorted.places, sorted.total, partials);
  if (partials.supers_count > 0) {
    RHUMB_LAUNCH((sum_supers<Term>), grid_of(partials.supers_count * partials.columns), block, 0, stream, sorted.keys,
                 sorted.total, partials);
  }
  if (partials.groups > 1) {
    RHUMB_LAUNCH((join_groups<Term>), grid, block, 0, stream, term, sorted.keys, sorted.total, partials);
  }
  return check(cudaGetLastError(), call);
}

}  // namespace segments

// Gives each key that has entries its sum: term.finish(). count: what sort() was given.
template <class Term>
int sum_segments(const Sorted &sorted, int64_t count, int64_t columns, const Term &term, void *scratch,
                 cudaStream_t stream, const char *call) {
  Scratch cut(scratch);
  return segments::sum_planned(sorted, segments::plan(count, columns, Term::kSums, cut), term, stream, call);
}

}  // namespace rhumb
