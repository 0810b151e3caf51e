// What kernels that walk lists share. Lists: indices and values (rows, kept); a row of fewer entries ends with the index -1,
// and what follows it is not looked at.
#pragma once

#include "fault.h"
#include "reduce.h"

namespace rhumb {

constexpr int32_t kEnd = -1;

struct Lists {
  const int32_t *indices;  // (rows, kept)
  const float *values;     // (rows, kept)
  int64_t rows;
  int64_t kept;
  int64_t features;
  uint64_t *faults;

  // Whether an index names a feature; one that does not is reported. Not for kEnd.
  __device__ bool names_feature(int64_t row, int32_t index) const {
    if (index >= 0 && index < features) {
      return true;
    }
    report_fault(faults, RHUMB_FAULT_LIST_INDEX, row, static_cast<uint32_t>(index));
    return false;
  }
};

// Threads for list kernels in which a warp has a row.
constexpr int kListBlock = 256;
constexpr int kListWarps = kListBlock / kWarp;

inline dim3 list_grid(int64_t rows) {
  return dim3(static_cast<unsigned>(std::min<int64_t>((rows + kListWarps - 1) / kListWarps, 1 << 30)));
}
__device__ __forceinline__ int64_t first_list() {
  return static_cast<int64_t>(blockIdx.x) * kListWarps + threadIdx.x / kWarp;
}
__device__ __forceinline__ int64_t list_step() { return static_cast<int64_t>(gridDim.x) * kListWarps; }

// One lane's part of 32 entries of a row.
struct Entry {
  int64_t at;     // in indices and values
  int32_t index;  // kEnd where there is no entry
  bool there;     // an entry of the list, though its index may be wrong
};

// Loads entries `from` .. from + 31 of a row, a lane each; all lanes of a warp together. Returns whether the list ends there.
__device__ __forceinline__ bool load_entries(const Lists &lists, int64_t row, int64_t from, Entry &entry) {
  const int64_t i = from + threadIdx.x % kWarp;
  entry.at = row * lists.kept + i;
  entry.index = i < lists.kept ? lists.indices[entry.at] : kEnd;
  const unsigned ends = __ballot_sync(kAllLanes, entry.index == kEnd);
  entry.there = ends == 0 || static_cast<int>(threadIdx.x % kWarp) < __ffs(static_cast<int>(ends)) - 1;
  return ends != 0;
}

// The number of a row's entries; all lanes of a warp together.
__device__ __forceinline__ int64_t list_length(const Lists &lists, int64_t row) {
  for (int64_t from = 0; from < lists.kept; from += kWarp) {
    const int64_t i = from + threadIdx.x % kWarp;
    const int32_t index = i < lists.kept ? lists.indices[row * lists.kept + i] : kEnd;
    const unsigned ends = __ballot_sync(kAllLanes, index == kEnd);
    if (ends != 0) {
      return from + __ffs(static_cast<int>(ends)) - 1;
    }
  }
  return lists.kept;
}

}  // namespace rhumb
