// Lists by themselves: activations, slices, sums, counts, and the largest of all rows. A warp has a row throughout.
#include "lists.h"

#include "scratch.h"
#include "status.h"

namespace {

using rhumb::Entry;
using rhumb::first_list;
using rhumb::kAllLanes;
using rhumb::kListBlock;
using rhumb::kWarp;
using rhumb::list_step;
using rhumb::Lists;

// values (rows, kept) may be lists.values, the scores. threshold, gain, offset (features).
__global__ void __launch_bounds__(kListBlock)
    activate(Lists lists, const float *threshold, const float *gain, const float *offset, float *values) {
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    bool ended = false;
    for (int64_t from = 0; from < lists.kept && !ended; from += kWarp) {
      Entry entry;
      ended = rhumb::load_entries(lists, row, from, entry);
      if (entry.there && lists.names_feature(row, entry.index)) {
        const float score = lists.values[entry.at];
        const float value = fmaf(gain[entry.index], score, offset[entry.index]);
        values[entry.at] = score > threshold[entry.index] && !(value <= 0) ? value : 0;
      }
    }
  }
}

// Writes the entries of a row that choose(entry) names, in their order, to another list or to the same one.
template <class Choose>
__device__ __forceinline__ void filter_row(const Lists &lists, int64_t row, int32_t *to_indices, float *to_values,
                                           Choose choose) {
  const int lane = threadIdx.x % kWarp;
  int64_t to = row * lists.kept;
  const int64_t row_end = to + lists.kept;
  bool ended = false;
  for (int64_t from = 0; from < lists.kept && !ended; from += kWarp) {
    Entry entry;
    ended = rhumb::load_entries(lists, row, from, entry);
    const bool good = entry.there && lists.names_feature(row, entry.index);
    const float value = good ? lists.values[entry.at] : 0;
    const bool chosen = good && choose(entry, value);
    const unsigned all = __ballot_sync(kAllLanes, chosen);
    // In place, nothing is written past what this warp has read.
    __syncwarp();
    if (chosen) {
      const int64_t at = to + __popc(all & ((1u << lane) - 1));
      to_indices[at] = entry.index;
      to_values[at] = value;
    }
    to += __popc(all);
  }
  if (lane == 0 && to < row_end) {
    to_indices[to] = rhumb::kEnd;
  }
}

__global__ void __launch_bounds__(kListBlock)
    slice(Lists lists, int64_t low, int64_t high, int32_t *to_indices, float *to_values) {
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    filter_row(lists, row, to_indices, to_values,
               [=](const Entry &entry, float) { return entry.index >= low && entry.index < high; });
  }
}

// sums (rows).
__global__ void __launch_bounds__(kListBlock) sum_values(Lists lists, float *sums) {
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    double sum = 0;
    bool ended = false;
    for (int64_t from = 0; from < lists.kept && !ended; from += kWarp) {
      Entry entry;
      ended = rhumb::load_entries(lists, row, from, entry);
      if (entry.there && lists.names_feature(row, entry.index)) {
        sum += lists.values[entry.at];
      }
    }
    sum = rhumb::warp_sum(sum);
    if (threadIdx.x % kWarp == 0) {
      sums[row] = static_cast<float>(sum);
    }
  }
}

// counts (features): whole numbers, so that their order is free.
__global__ void __launch_bounds__(kListBlock) count_fired(Lists lists, int32_t *counts) {
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    bool ended = false;
    for (int64_t from = 0; from < lists.kept && !ended; from += kWarp) {
      Entry entry;
      ended = rhumb::load_entries(lists, row, from, entry);
      if (entry.there && lists.names_feature(row, entry.index) && lists.values[entry.at] > 0) {
        atomicAdd(&counts[entry.index], 1);
      }
    }
  }
}

// --- The largest of all rows -----------------------------------------------------------------------------------------------

// A radix select. An entry's key is its value's bits (31: positive floats are in the order of their bits), then how far it is
// from the last place there can be (31): all keys differ, and the `left` largest keys are what stays. Each pass counts the
// next digit of the keys that agree with the cut so far; the next one's blocks begin by choosing the digit from the counts.
// The passes over places have nothing to do where no tie is to be broken.

constexpr int kPasses = 6;
constexpr int kValuePasses = 3;
constexpr int kBins = 2048;
constexpr int kMostCountBlocks = 1024;

// Digits of 11, 10, 10 bits for each half of the key.
__device__ __forceinline__ int bits_of(int pass) { return pass % kValuePasses == 0 ? 11 : 10; }
__device__ __forceinline__ int shift_of(int pass) {
  return (pass < kValuePasses ? 31 : 0) + 10 * (kValuePasses - 1 - pass % kValuePasses);
}

// What is known of the cut before a pass.
struct Cut {
  uint64_t prefix;  // the digits so far
  uint32_t wanted;  // of the keys with that prefix, how many stay: the largest
  uint32_t whole;   // all of them do, or there are none: the rest of the cut is zeros
};

__device__ __forceinline__ uint64_t key_of(float value, int64_t place) {
  return static_cast<uint64_t>(__float_as_uint(value)) << 31 | (INT32_MAX - static_cast<uint64_t>(place));
}

// The cut after a pass, from the cut before it and its counts (kBins). A block of kListBlock together,
// once in a kernel.
__device__ Cut choose_digit(int pass, Cut cut, const uint32_t *counts, uint32_t left) {
  __shared__ uint32_t warps[rhumb::kListWarps];
  __shared__ Cut chosen;
  if (pass >= kValuePasses && cut.whole) {
    cut.prefix <<= bits_of(pass);
    return cut;
  }
  // From the largest digit down, eight for each thread.
  constexpr int kMine = kBins / kListBlock;
  const int thread = threadIdx.x;
  uint32_t mine[kMine];
  uint32_t sum = 0;
  for (int i = 0; i < kMine; i++) {
    mine[i] = counts[kBins - 1 - (thread * kMine + i)];
    sum += mine[i];
  }
  const uint32_t upto = rhumb::warp_prefix(sum);
  if (thread % kWarp == kWarp - 1) {
    warps[thread / kWarp] = upto;
  }
  __syncthreads();
  uint32_t above = upto - sum;
  uint32_t all = 0;
  for (int w = 0; w < rhumb::kListWarps; w++) {
    above += w < thread / kWarp ? warps[w] : 0;
    all += warps[w];
  }
  const uint32_t wanted = pass == 0 ? min(left, all) : cut.wanted;
  if (wanted == 0) {
    return {0, 0, 1};  // no positive value at all
  }
  for (int i = 0; i < kMine; i++) {
    if (above < wanted && wanted <= above + mine[i]) {
      const uint64_t digit = kBins - 1 - (thread * kMine + i);
      chosen = {cut.prefix << bits_of(pass) | digit, wanted - above, wanted - above == mine[i]};
    }
    above += mine[i];
  }
  __syncthreads();
  return chosen;
}

// Counts a pass's digits into counts + pass * kBins. counts (kPasses, kBins), zeros at first; cuts (kPasses + 1).
__global__ void __launch_bounds__(kListBlock) count_keys(Lists lists, uint32_t left, int pass, uint32_t *counts, Cut *cuts) {
  __shared__ uint32_t bins[kBins];
  Cut cut{0, 0, 0};
  if (pass > 0) {
    cut = choose_digit(pass - 1, cuts[pass - 1], counts + (pass - 1) * kBins, left);
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    cuts[pass] = cut;
  }
  if (pass >= kValuePasses && cut.whole) {
    return;
  }
  for (int bin = threadIdx.x; bin < kBins; bin += kListBlock) {
    bins[bin] = 0;
  }
  __syncthreads();
  const int shift = shift_of(pass);
  const int bits = bits_of(pass);
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    bool ended = false;
    for (int64_t from = 0; from < lists.kept && !ended; from += kWarp) {
      Entry entry;
      ended = rhumb::load_entries(lists, row, from, entry);
      const float value = entry.there ? lists.values[entry.at] : 0;
      if (value > 0) {
        const uint64_t key = key_of(value, entry.at) >> shift;
        if (key >> bits == cut.prefix) {
          atomicAdd(&bins[key & ((1u << bits) - 1)], 1u);
        }
      }
    }
  }
  __syncthreads();
  for (int bin = threadIdx.x; bin < kBins; bin += kListBlock) {
    if (bins[bin] != 0) {
      atomicAdd(&counts[pass * kBins + bin], bins[bin]);
    }
  }
}

// Leaves the entries whose keys are not below the cut. indices, values are those of the lists; least (1).
__global__ void __launch_bounds__(kListBlock)
    keep_keys(Lists lists, uint32_t left, const uint32_t *counts, const Cut *cuts, int32_t *indices, float *values,
              float *least) {
  const Cut cut = choose_digit(kPasses - 1, cuts[kPasses - 1], counts + (kPasses - 1) * kBins, left);
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    *least = cut.wanted == 0 ? 0 : __uint_as_float(static_cast<unsigned>(cut.prefix >> 31));
  }
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    filter_row(lists, row, indices, values, [=](const Entry &entry, float value) {
      return value > 0 && cut.wanted > 0 && key_of(value, entry.at) >= cut.prefix;
    });
  }
}

struct Plan {
  uint32_t *counts;
  Cut *cuts;
  int64_t bytes;
};

Plan plan(void *scratch) {
  rhumb::Scratch cut(scratch);
  Plan plan{};
  plan.counts = cut.take<uint32_t>(kPasses * kBins);
  plan.cuts = cut.take<Cut>(kPasses);
  plan.bytes = cut.bytes();
  return plan;
}

// Checks what all calls take. `values` by its own name.
int check_lists(const char *call, int64_t rows, int64_t kept, int64_t features, const int32_t *d_indices,
                rhumb::Pointer values, uint64_t *d_faults) {
  const int status = rhumb::check_counts(call, {{"rows", rows}, {"kept", kept}, {"features", features}});
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  return rhumb::check_pointers(call, {{"d_indices", d_indices}, values, {"d_faults", d_faults}});
}

}  // namespace

int rhumb_activate(int64_t rows, int64_t kept, int64_t features, const int32_t *d_indices, const float *d_scores,
                   const float *d_threshold, const float *d_gain, const float *d_offset, float *d_values,
                   uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_activate";
  int status = check_lists(call, rows, kept, features, d_indices, {"d_scores", d_scores}, d_faults);
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_threshold", d_threshold}, {"d_gain", d_gain}, {"d_offset", d_offset},
                                        {"d_values", d_values}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Lists lists{d_indices, d_scores, rows, kept, features, d_faults};
  RHUMB_LAUNCH(activate, rhumb::list_grid(rows), dim3(kListBlock), 0, static_cast<cudaStream_t>(stream), lists,
               d_threshold, d_gain, d_offset, d_values);
  return rhumb::check(cudaGetLastError(), call);
}

int64_t rhumb_keep_largest_scratch(int64_t, int64_t, int64_t) { return plan(nullptr).bytes; }

int rhumb_keep_largest(int64_t rows, int64_t kept, int64_t features, int64_t left, int32_t *d_indices, float *d_values,
                       float *d_least, void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_keep_largest";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"kept", kept}, {"features", features}, {"left", left}});
  if (status != RHUMB_OK) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_least", d_least}, {"d_faults", d_faults}});
  if (status == RHUMB_OK && rows > 0) {
    status = rhumb::check_pointers(call, {{"d_indices", d_indices}, {"d_values", d_values}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  if (kept > 0 && rows > INT32_MAX / kept) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: %lld rows of %lld entries, but at most 2147483647 in all can be", call,
                       static_cast<long long>(rows), static_cast<long long>(kept));
  }
  const Plan work = plan(d_scratch);
  status = rhumb::check_scratch(call, d_scratch, scratch_bytes, work.bytes);
  if (status != RHUMB_OK) {
    return status;
  }
  cudaStream_t on = static_cast<cudaStream_t>(stream);
  const Lists lists{d_indices, d_values, rows, kept, features, d_faults};
  const uint32_t most = static_cast<uint32_t>(std::min<int64_t>(left, INT32_MAX));
  status = rhumb::check(cudaMemsetAsync(work.counts, 0, kPasses * kBins * sizeof(uint32_t), on), call);
  if (status != RHUMB_OK) {
    return status;
  }
  dim3 grid = rhumb::list_grid(std::max<int64_t>(rows, 1));
  dim3 count_grid(std::min<unsigned>(grid.x, kMostCountBlocks));
  for (int pass = 0; pass < kPasses; pass++) {
    RHUMB_LAUNCH(count_keys, count_grid, dim3(kListBlock), 0, on, lists, most, pass, work.counts, work.cuts);
  }
  RHUMB_LAUNCH(keep_keys, grid, dim3(kListBlock), 0, on, lists, most, work.counts, work.cuts, d_indices, d_values,
               d_least);
  return rhumb::check(cudaGetLastError(), call);
}

int rhumb_slice(int64_t rows, int64_t kept, int64_t features, int64_t low, int64_t high, const int32_t *d_indices,
                const float *d_values, int32_t *d_to_indices, float *d_to_values, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_slice";
  int status = check_lists(call, rows, kept, features, d_indices, {"d_values", d_values}, d_faults);
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_to_indices", d_to_indices}, {"d_to_values", d_to_values}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Lists lists{d_indices, d_values, rows, kept, features, d_faults};
  RHUMB_LAUNCH(slice, rhumb::list_grid(rows), dim3(kListBlock), 0, static_cast<cudaStream_t>(stream), lists, low, high,
               d_to_indices, d_to_values);
  return rhumb::check(cudaGetLastError(), call);
}

int rhumb_sum_values(int64_t rows, int64_t kept, int64_t features, const int32_t *d_indices, const float *d_values,
                     float *d_sums, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_sum_values";
  int status = check_lists(call, rows, kept, features, d_indices, {"d_values", d_values}, d_faults);
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_sums", d_sums}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Lists lists{d_indices, d_values, rows, kept, features, d_faults};
  RHUMB_LAUNCH(sum_values, rhumb::list_grid(rows), dim3(kListBlock), 0, static_cast<cudaStream_t>(stream), lists,
               d_sums);
  return rhumb::check(cudaGetLastError(), call);
}

int rhumb_count_fired(int64_t rows, int64_t kept, int64_t features, const int32_t *d_indices, const float *d_values,
                      int32_t *d_counts, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_count_fired";
  int status = check_lists(call, rows, kept, features, d_indices, {"d_values", d_values}, d_faults);
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_counts", d_counts}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Lists lists{d_indices, d_values, rows, kept, features, d_faults};
  RHUMB_LAUNCH(count_fired, rhumb::list_grid(rows), dim3(kListBlock), 0, static_cast<cudaStream_t>(stream), lists,
               d_counts);
  return rhumb::check(cudaGetLastError(), call);
}
