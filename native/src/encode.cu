// The encoder of a sparse autoencoder: packing, the TopK encode and the encode by thresholds.
//
// The score of (row, feature) is one float32 chain, acc = b_enc[f]; for d ascending acc = fma(x[d] - b_dec[d], W_enc[f][d],
// acc), on every backend, and the TopK takes the K greatest by (score descending, feature ascending).
//
// The direct path computes just that: chains from panels in which a warp's lanes are neighbouring features, so that every
// load is whole and no order but the contract's is possible. Features are divided over blocks in parts fixed by the shape;
// each block keeps the best K of its part, and a second kernel merges the parts. It serves a few rows, and those that the
// path on tensor cores (certified.cu) leaves.
#include "certified.h"
#include "fault.h"
#include "reduce.h"

namespace {

using rhumb::BestLists;
using rhumb::chain;
using rhumb::Encoder;
using rhumb::kAllLanes;
using rhumb::kChunk;
using rhumb::kFeatureTile;
using rhumb::kNoKey;
using rhumb::kPanel;
using rhumb::kWarp;
using rhumb::Key;
using rhumb::key_of;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// --- Packing -----------------------------------------------------------------------------------------------------------

constexpr int kPackBlock = kPanel * kWarp;

// What rhumb_pack is given: w_enc (features, width), b_enc (features), b_dec (width), subset (taken) or NULL.
struct Dictionary {
  int64_t features;
  const float *w_enc;
  const float *b_enc;
  const float *b_dec;
  const int32_t *subset;
};

__device__ __forceinline__ bool finite(float x) { return fabsf(x) <= 3.4028234664e38f; }

__device__ __forceinline__ void raise(double *limit, double value) {
  // Bits of doubles that are not negative order as the doubles do.
  atomicMax(reinterpret_cast<unsigned long long *>(limit), static_cast<unsigned long long>(__double_as_longlong(value)));
}

// A warp for each place, a block for each panel, beyond the features up to a whole tile too.
__global__ void __launch_bounds__(kPackBlock) pack(Encoder e, Dictionary from, uint64_t *faults) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t place = (static_cast<int64_t>(blockIdx.x) * kPackBlock + threadIdx.x) / kWarp;
  if (blockIdx.x == 0) {
    for (int64_t d = threadIdx.x; d < e.width; d += kPackBlock) {
      e.input_bias[d] = from.b_dec[d];
    }
  }
  int64_t feature = place;
  bool there = place < e.features;
  if (there && from.subset != nullptr) {
    feature = from.subset[place];
    if (feature < 0 || feature >= from.features || (place > 0 && from.subset[place - 1] >= feature)) {
      there = false;
      if (lane == 0) {
        rhumb::report_fault(faults, RHUMB_FAULT_SUBSET, place, static_cast<uint32_t>(feature));
      }
    }
  }
  const float bias = there ? from.b_enc[feature] : __uint_as_float(0x7fc00000u);
  if (lane == 0) {
    e.bias[place] = bias;
    e.names[place] = static_cast<int32_t>(feature);
    if (there && !finite(bias)) {
      rhumb::report_fault(faults, RHUMB_FAULT_WEIGHT, feature, __float_as_uint(bias));
    }
  }
  const int64_t rounded_width = rhumb::rounded_width(e.width);
  const int64_t padded = max(e.chunks * kChunk, rounded_width);
  double weights = 0;
  double rounded = 0;
  double difference = 0;
  for (int64_t d = lane; d < padded; d += kWarp) {
    const float w = there && d < e.width ? from.w_enc[feature * e.width + d] : 0.0f;
    if (!finite(w)) {
      rhumb::report_fault(faults, RHUMB_FAULT_WEIGHT, feature, __float_as_uint(w));
    }
    const __nv_bfloat16 b = __float2bfloat16_rn(w);
    if (d < e.chunks * kChunk) {
      e.weights[e.weight_at(place, d)] = w;
    }
    if (d < rounded_width) {
      e.rounded[rhumb::tiled<kFeatureTile>(place, d, rounded_width)] = b;
    }
    const double exact = w;
    const double near = __bfloat162float(b);
    weights += exact * exact;
    rounded += near * near;
    difference += (near - exact) * (near - exact);
  }
  // Some 2 width roundings of 2^-53 each in a sum and one in its root: far below the part that is added.
  constexpr double kUp = 1.0 + 0x1p-30;
  weights = sqrt(max(rhumb::warp_sum(weights), rhumb::warp_sum(rounded))) * kUp;
  difference = sqrt(rhumb::warp_sum(difference)) * kUp;
  const double size = there ? fabs(static_cast<double>(bias)) : 0.0;
  const rhumb::ScoreError error = rhumb::score_error(rounded_width, weights, difference, size);
  const rhumb::ScoreError panel = {rhumb::block_max<kPackBlock>(error.per_norm),
                                   rhumb::block_max<kPackBlock>(error.per_rounding),
                                   rhumb::block_max<kPackBlock>(error.alone)};
  weights = rhumb::block_max<kPackBlock>(weights);
  const double biases = rhumb::block_max<kPackBlock>(size);
  if (lane == 0) {
    e.errors[place] = error;
  }
  if (threadIdx.x == 0) {
    e.panel_errors[blockIdx.x] = panel;
    raise(&e.limits->weights, weights);
    raise(&e.limits->bias, biases);
  }
}

// --- The direct path -----------------------------------------------------------------------------------------------------

constexpr int kDirectBlock = 128;
constexpr int kMergeBlock = 256;
constexpr int kStaged = 1024;          // values of a row that lie in shared memory at a time
constexpr int64_t kDirectBlocks = 256; // blocks that a few rows are divided into
constexpr int64_t kMostKept = 1024;    // more are selected by a sort of all scores
constexpr int64_t kManyKept = 256;     // more are selected for one row at a time in a block
constexpr int kRowsAtOnce = 4;
constexpr int64_t kLeftBlocks = 528;   // that share the rows which have no certificate
constexpr int64_t kSorters = 64;       // rows that are sorted at a time
constexpr int kSortBlock = 256;

struct Rows {
  int64_t count;
  const float *x;  // (count, width)
  int64_t x_stride;
  const int32_t *list;    // the rows to do, or NULL: all
  const int32_t *listed;  // (1) how many those are
};

// What a TopK encode writes: indices, values (rows, kept).
struct Lists {
  int kept;
  bool rectify;
  int32_t *indices;
  float *values;
  uint64_t *faults;
};

__device__ __forceinline__ void write_entry(const Encoder &e, const Lists &to, int64_t row, int k, Key key) {
  const float score = rhumb::key_score(key);
  to.indices[row * to.kept + k] = e.names[rhumb::key_index(key)];
  to.values[row * to.kept + k] = to.rectify ? rhumb::rectified(score) : score;
}

// Where weights are rounded to bf16, so is the input: the scores of RHUMB_EXACT_BF16.
template <bool kRounded>
__device__ __forceinline__ float operand(float x) {
  return kRounded ? __bfloat162float(__float2bfloat16_rn(x)) : x;
}

// The chains of kRows rows, one feature to a thread.
template <int kRows, bool kRounded>
struct Chains {
  const Encoder &e;
  const Rows &rows;
  const int64_t *row;  // (kRows) which; < 0: none
  float *centred;      // (min(width, kStaged), kRows), shared: x - b_dec from d `first`

  // By all threads of the block, which then meet.
  __device__ __forceinline__ void stage(int64_t first) const {
    const int values = static_cast<int>(min(e.width - first, static_cast<int64_t>(kStaged)));
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      for (int d = static_cast<int>(threadIdx.x); d < values; d += static_cast<int>(blockDim.x)) {
        float x = 0.0f;
        if (row[r] >= 0) {
          x = __fsub_rn(rows.x[row[r] * rows.x_stride + first + d], e.input_bias[first + d]);
        }
        centred[d * kRows + r] = operand<kRounded>(x);
      }
    }
    __syncthreads();
  }

  // Where a row is wider than what is staged, all threads call this together.
  __device__ __forceinline__ void score(int64_t place, float (&acc)[kRows]) const {
    const bool there = place < e.features;
    const float bias = there ? e.bias[place] : 0.0f;
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      acc[r] = bias;
    }
    for (int64_t first = 0; first < e.width; first += kStaged) {
      if (e.width > kStaged) {
        __syncthreads();
        stage(first);
      }
      if (there) {
        const int values = static_cast<int>(min(e.width - first, static_cast<int64_t>(kStaged)));
        const float4 *from = reinterpret_cast<const float4 *>(e.weights + e.weight_at(place, first));
        const int whole = values / kChunk;
#pragma unroll 4
        for (int c = 0; c < whole; c++) {
          const float4 w[2] = {load(from + c * (kPanel * kChunk / 4)), load(from + c * (kPanel * kChunk / 4) + 1)};
          chain<kRows>(acc, centred + c * kChunk * kRows, w, kChunk);
        }
        if (values % kChunk != 0) {
          const float4 w[2] = {load(from + whole * (kPanel * kChunk / 4)),
                               load(from + whole * (kPanel * kChunk / 4) + 1)};
          chain<kRows>(acc, centred + whole * kChunk * kRows, w, values % kChunk);
        }
      }
    }
  }

 private:
  __device__ __forceinline__ static float4 load(const float4 *from) {
    const float4 w = __ldg(from);
    return make_float4(operand<kRounded>(w.x), operand<kRounded>(w.y), operand<kRounded>(w.z), operand<kRounded>(w.w));
  }
};

__device__ __forceinline__ void require_number(const Encoder &e, uint64_t *faults, int64_t row, int64_t place,
                                               float score) {
  if (score != score) {
    rhumb::report_fault(faults, RHUMB_FAULT_ENCODE_NAN, row, static_cast<uint32_t>(e.names[place]));
  }
}

// The best `kept` of part blockIdx.y of the features, for kRows rows at a time. One part: to the lists; several: to
// winners (rows, kept, parts), descending, kNoKey where a part has no more.
template <int kRows, bool kRounded>
__global__ void __launch_bounds__(kDirectBlock)
    direct(Encoder e, Rows rows, Lists to, int64_t part_features, int capacity, Key *winners) {
  RHUMB_DYNAMIC_SHARED(Key, keys);  // (kRows, capacity), then what Chains stages
  __shared__ Key bound[kRows];
  __shared__ int counts[kRows];
  const BestLists best{keys, bound, counts, kRows, to.kept, capacity};
  const int64_t count = rows.list == nullptr ? rows.count : *rows.listed;
  const int64_t begin = blockIdx.y * part_features;
  const int64_t end = min(begin + part_features, e.features);
  for (int64_t group = blockIdx.x; group * kRows < count; group += gridDim.x) {
    int64_t row[kRows];
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      const int64_t at = group * kRows + r;
      row[r] = at >= count ? -1 : rows.list == nullptr ? at : rows.list[at];
    }
    __syncthreads();  // whoever still reads the last group's
    best.start();
    const Chains<kRows, kRounded> chains{e, rows, row, reinterpret_cast<float *>(keys + static_cast<int64_t>(kRows) * capacity)};
    chains.stage(0);
    for (int64_t first = begin; first < end; first += kDirectBlock) {
      const int64_t place = first + threadIdx.x;
      float acc[kRows];
      chains.score(place, acc);
#pragma unroll
      for (int r = 0; r < kRows; r++) {
        if (place < end && row[r] >= 0) {
          require_number(e, to.faults, row[r], place, acc[r]);
          best.offer(r, key_of(acc[r], static_cast<uint32_t>(place)));
        }
      }
      best.settle(kDirectBlock);
    }
    best.finish();
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      if (row[r] < 0) {
        continue;
      }
      for (int k = static_cast<int>(threadIdx.x); k < to.kept; k += kDirectBlock) {
        const Key key = keys[static_cast<int64_t>(r) * capacity + k];
        if (gridDim.y == 1) {
          write_entry(e, to, row[r], k, key);
        } else {
          winners[((group * kRows + r) * to.kept + k) * gridDim.y + blockIdx.y] = key;
        }
      }
    }
  }
}

// Merges winners (rows, kept, parts). Once no part's k-th is among the best, none that follows is.
__global__ void __launch_bounds__(kMergeBlock) merge(Encoder e, Lists to, int parts, int capacity, const Key *winners) {
  RHUMB_DYNAMIC_SHARED(Key, keys);  // (capacity)
  __shared__ Key bound;
  __shared__ int count;
  const int64_t row = blockIdx.x;
  const BestLists best{keys, &bound, &count, 1, to.kept, capacity};
  best.start();
  for (int k = 0; k < to.kept; k++) {
    const Key *from = winners + (row * to.kept + k) * parts;
    bool passed = false;
    for (int first = 0; first < parts; first += kMergeBlock) {
      const int part = first + static_cast<int>(threadIdx.x);
      passed = (part < parts && best.offer(0, from[part])) || passed;
      best.settle(kMergeBlock);
    }
    const bool over = count > to.kept;
    if (__syncthreads_or(passed) == 0) {
      break;
    }
    if (over) {
      best.finish();
    }
  }
  best.finish();
  for (int k = static_cast<int>(threadIdx.x); k < to.kept; k += kMergeBlock) {
    write_entry(e, to, row, k, keys[k]);
  }
}

// Any K: sorts all keys of a row in global memory. sorted (gridDim.x, room), room a power of two.
template <bool kRounded>
__global__ void __launch_bounds__(kSortBlock) sort_rows(Encoder e, Rows rows, Lists to, int64_t room, Key *sorted) {
  __shared__ float centred[kStaged];
  Key *keys = sorted + blockIdx.x * room;
  for (int64_t row = blockIdx.x; row < rows.count; row += gridDim.x) {
    __syncthreads();
    const Chains<1, kRounded> chains{e, rows, &row, centred};
    chains.stage(0);
    for (int64_t first = 0; first < room; first += kSortBlock) {
      const int64_t place = first + threadIdx.x;
      float acc[1];
      chains.score(place, acc);
      if (place < e.features) {
        require_number(e, to.faults, row, place, acc[0]);
      }
      if (place < room) {
        keys[place] = place < e.features ? key_of(acc[0], static_cast<uint32_t>(place)) : kNoKey;
      }
    }
    rhumb::block_sort(keys, 1, room, static_cast<int>(room));
    for (int64_t k = threadIdx.x; k < to.kept; k += kSortBlock) {
      write_entry(e, to, row, static_cast<int>(k), keys[k]);
    }
  }
}

// --- Thresholds ------------------------------------------------------------------------------------------------------------

struct Thresholds {
  const float *threshold;  // (features)
  const float *gain;       // (features)
  const float *offset;     // (features)
};

// A list for each of kRows rows at a time, features ascending: in each turn a warp's lanes count by ballot, and warps by
// what each has left in shared memory.
template <int kRows>
__global__ void __launch_bounds__(kDirectBlock)
    above(Encoder e, Rows rows, Thresholds by, int32_t *indices, float *values, uint64_t *faults) {
  constexpr int kWarps = kDirectBlock / kWarp;
  __shared__ float centred[kStaged * kRows];
  __shared__ int fired[2][kRows][kWarps];  // of this turn and the last, which others may still read
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t group = blockIdx.x;
  int64_t row[kRows];
  int64_t at[kRows];
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    row[r] = group * kRows + r < rows.count ? group * kRows + r : -1;
    at[r] = 0;
  }
  const Chains<kRows, false> chains{e, rows, row, centred};
  chains.stage(0);
  int turn = 0;
  for (int64_t first = 0; first < e.features; first += kDirectBlock) {
    const int64_t place = first + threadIdx.x;
    float acc[kRows];
    chains.score(place, acc);
    const bool there = place < e.features;
    const float threshold = there ? by.threshold[place] : 0.0f;
    unsigned firing[kRows];
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      if (there && row[r] >= 0) {
        require_number(e, faults, row[r], place, acc[r]);
      }
      firing[r] = __ballot_sync(kAllLanes, there && row[r] >= 0 && acc[r] > threshold);
      if (lane == 0) {
        fired[turn][r][warp] = __popc(firing[r]);
      }
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      int64_t to = at[r];
      for (int w = 0; w < kWarps; w++) {
        to += w < warp ? fired[turn][r][w] : 0;
        at[r] += fired[turn][r][w];
      }
      if ((firing[r] >> lane & 1) != 0) {
        to += row[r] * e.features + __popc(firing[r] & ((1u << lane) - 1));
        indices[to] = static_cast<int32_t>(place);
        values[to] = rhumb::rectified(fmaf(by.gain[place], acc[r], by.offset[place]));
      }
    }
    turn ^= 1;
  }
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    if (threadIdx.x == 0 && row[r] >= 0 && at[r] < e.features) {
      indices[row[r] * e.features + at[r]] = -1;
    }
  }
}

// --- Plans -----------------------------------------------------------------------------------------------------------------

// How a call divides its work and its scratch; scratch NULL: to learn the bytes.
struct Plan {
  bool certifies;  // on tensor cores, and directly what that leaves
  void *certified;
  bool sorts;  // by sort_rows, the rest by the direct path
  int rows_at_once;
  int64_t part_features;
  int64_t parts;
  Key *winners;
  int64_t sorters;
  Key *sorted;
  int64_t bytes;
};

Plan plan(int64_t width, int64_t features, int64_t rows, int64_t kept, void *scratch) {
  Plan p{};
  rhumb::Scratch cut(scratch);
  p.certifies = rhumb::certifies(width, features, rows, kept);
  p.sorts = kept > kMostKept;
  if (p.certifies) {
    p.certified = cut.take<unsigned char>(rhumb::certified_scratch(width, features, rows, kept));
    p.rows_at_once = kRowsAtOnce;
    p.part_features = features;
    p.parts = 1;
  } else if (p.sorts) {
    p.sorters = rows < kSorters ? rows : kSorters;
    p.sorted = cut.take<Key>(p.sorters * rhumb::power_of_two(features));
  } else {
    p.rows_at_once = rows == 1 || kept > kManyKept ? 1 : kRowsAtOnce;
    const int64_t groups = ceil_div(rows, p.rows_at_once);
    const int64_t turns = ceil_div(features, kDirectBlock);
    const int64_t most = kDirectBlocks / groups;
    p.part_features = ceil_div(turns, most < 1 ? 1 : most < turns ? most : turns) * kDirectBlock;
    p.parts = ceil_div(features, p.part_features);
    p.winners = p.parts > 1 ? cut.take<Key>(rows * kept * p.parts) : nullptr;
  }
  p.bytes = cut.bytes();
  return p;
}

template <int kRows, bool kRounded>
cudaError_t launch_direct(const Encoder &e, const Rows &rows, const Lists &to, int64_t groups, const Plan &p,
                          cudaStream_t stream) {
  const int64_t capacity = rhumb::power_of_two(to.kept + kDirectBlock);
  const int64_t staged = e.width < kStaged ? e.width : kStaged;
  const int64_t bytes = kRows * (capacity * static_cast<int64_t>(sizeof(Key)) + staged * static_cast<int64_t>(sizeof(float)));
  RHUMB_LAUNCH((direct<kRows, kRounded>), dim3(static_cast<unsigned>(groups), static_cast<unsigned>(p.parts)),
               dim3(kDirectBlock), bytes, stream, e, rows, to, p.part_features, static_cast<int>(capacity), p.winners);
  return cudaGetLastError();
}

template <bool kRounded>
int encode_directly(const Encoder &e, const Rows &rows, const Lists &to, const Plan &p, cudaStream_t stream) {
  const char *call = "rhumb_encode_top_k: launch";
  if (p.sorts) {
    RHUMB_LAUNCH((sort_rows<kRounded>), dim3(static_cast<unsigned>(p.sorters)), dim3(kSortBlock), 0, stream, e, rows, to,
                 rhumb::power_of_two(e.features), p.sorted);
    return rhumb::check(cudaGetLastError(), call);
  }
  const int64_t all = ceil_div(rows.count, p.rows_at_once);
  const int64_t groups = rows.list != nullptr && all > kLeftBlocks ? kLeftBlocks : all;
  const cudaError_t error = p.rows_at_once == 1 ? launch_direct<1, kRounded>(e, rows, to, groups, p, stream)
                                                : launch_direct<kRowsAtOnce, kRounded>(e, rows, to, groups, p, stream);
  if (error != cudaSuccess || p.parts == 1) {
    return rhumb::check(error, call);
  }
  const int64_t capacity = rhumb::power_of_two(to.kept + kMergeBlock);
  RHUMB_LAUNCH(merge, dim3(static_cast<unsigned>(rows.count)), dim3(kMergeBlock), capacity * sizeof(Key), stream, e,
               to, static_cast<int>(p.parts), static_cast<int>(capacity), p.winners);
  return rhumb::check(cudaGetLastError(), call);
}

// Indices of features are int32, as are counts in kernels.
constexpr int64_t kMostFeatures = INT32_MAX - kFeatureTile;

int check_encoder(const char *call, int64_t capacity, int64_t width, int64_t features) {
  if (const int status = rhumb::check_counts(call, {{"capacity", capacity}, {"width", width}, {"features", features}})) {
    return status;
  }
  if (width < 1 || features < 1 || features > capacity || capacity > kMostFeatures) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT,
                       "%s: %lld features of width %lld in an encoder for %lld: needs 1 to its capacity, at most %lld",
                       call, static_cast<long long>(features), static_cast<long long>(width),
                       static_cast<long long>(capacity), static_cast<long long>(kMostFeatures));
  }
  return RHUMB_OK;
}

}  // namespace

int64_t rhumb_encoder_bytes(int64_t capacity, int64_t width) {
  return rhumb::encoder_layout(nullptr, capacity, width, 0).bytes;
}

int rhumb_pack(void *d_encoder, int64_t capacity, int64_t width, int64_t features, const float *d_w_enc,
               const float *d_b_enc, const float *d_b_dec, const int32_t *d_subset, int64_t taken, uint64_t *d_faults,
               void *stream) {
  const char *call = "rhumb_pack";
  const int64_t held = d_subset == nullptr ? features : taken;
  int status = check_encoder(call, capacity, width, held);
  if (status == RHUMB_OK) {
    status = rhumb::check_pointers(call, {{"d_encoder", d_encoder},
                                          {"d_w_enc", d_w_enc},
                                          {"d_b_enc", d_b_enc},
                                          {"d_b_dec", d_b_dec},
                                          {"d_faults", d_faults}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const Encoder e = rhumb::encoder_layout(d_encoder, capacity, width, held).encoder;
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  status = rhumb::check(cudaMemsetAsync(e.limits, 0, sizeof *e.limits, on), "rhumb_pack: cudaMemsetAsync");
  if (status != RHUMB_OK) {
    return status;
  }
  static_assert(kFeatureTile % kPanel == 0);
  const int64_t panels = ceil_div(held, kFeatureTile) * (kFeatureTile / kPanel);
  RHUMB_LAUNCH(pack, dim3(static_cast<unsigned>(panels)), dim3(kPackBlock), 0, on, e,
               Dictionary{features, d_w_enc, d_b_enc, d_b_dec, d_subset}, d_faults);
  return rhumb::check(cudaGetLastError(), "rhumb_pack: launch");
}

int64_t rhumb_encode_top_k_scratch(int64_t, int64_t width, int64_t features, int64_t rows, int64_t kept) {
  return rows < 1 ? 0 : plan(width, features, rows, kept, nullptr).bytes;
}

int rhumb_encode_top_k(const void *d_encoder, int64_t capacity, int64_t width, int64_t features, int64_t rows,
                       int64_t kept, int selection, int rectify, const float *d_x, int64_t x_stride, int32_t *d_indices,
                       float *d_values, void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_encode_top_k";
  int status = check_encoder(call, capacity, width, features);
  if (status == RHUMB_OK) {
    status = rhumb::check_counts(call, {{"rows", rows}, {"kept", kept}, {"x_stride", x_stride}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  if (kept < 1 || kept > features) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: kept %lld of %lld features", call, static_cast<long long>(kept),
                       static_cast<long long>(features));
  }
  if (selection != RHUMB_EXACT && selection != RHUMB_EXACT_BF16) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: selection %d is no rhumb_selection", call, selection);
  }
  if (rows == 0) {
    return RHUMB_OK;
  }
  status = rhumb::check_pointers(call, {{"d_encoder", d_encoder},
                                        {"d_x", d_x},
                                        {"d_indices", d_indices},
                                        {"d_values", d_values},
                                        {"d_faults", d_faults}});
  const Plan p = plan(width, features, rows, kept, d_scratch);
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, p.bytes);
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const Encoder e = rhumb::encoder_layout(d_encoder, capacity, width, features).encoder;
  Rows of{rows, d_x, x_stride, nullptr, nullptr};
  const Lists to{static_cast<int>(kept), rectify != 0, d_indices, d_values, d_faults};
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  if (p.certifies) {
    rhumb::LeftRows left{};
    status = rhumb::encode_certified(
        call, e, {rows, kept, selection, rectify != 0, d_x, x_stride, d_indices, d_values}, p.certified, on, &left);
    if (status != RHUMB_OK) {
      return status;
    }
    of.list = left.rows;
    of.listed = left.count;
  }
  return selection == RHUMB_EXACT ? encode_directly<false>(e, of, to, p, on) : encode_directly<true>(e, of, to, p, on);
}

int rhumb_encode_above(const void *d_encoder, int64_t capacity, int64_t width, int64_t features,
                       const float *d_threshold, const float *d_gain, const float *d_offset, int64_t rows,
                       const float *d_x, int64_t x_stride, int32_t *d_indices, float *d_values, uint64_t *d_faults,
                       void *stream) {
  const char *call = "rhumb_encode_above";
  int status = check_encoder(call, capacity, width, features);
  if (status == RHUMB_OK) {
    status = rhumb::check_counts(call, {{"rows", rows}, {"x_stride", x_stride}});
  }
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_encoder", d_encoder},
                                        {"d_threshold", d_threshold},
                                        {"d_gain", d_gain},
                                        {"d_offset", d_offset},
                                        {"d_x", d_x},
                                        {"d_indices", d_indices},
                                        {"d_values", d_values},
                                        {"d_faults", d_faults}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Encoder e = rhumb::encoder_layout(d_encoder, capacity, width, features).encoder;
  const Rows of{rows, d_x, x_stride, nullptr, nullptr};
  const Thresholds by{d_threshold, d_gain, d_offset};
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  if (rows == 1) {
    RHUMB_LAUNCH((above<1>), dim3(1), dim3(kDirectBlock), 0, on, e, of, by, d_indices, d_values, d_faults);
  } else {
    RHUMB_LAUNCH((above<kRowsAtOnce>), dim3(static_cast<unsigned>(ceil_div(rows, kRowsAtOnce))), dim3(kDirectBlock), 0, on,
                 e, of, by, d_indices, d_values, d_faults);
  }
  return rhumb::check(cudaGetLastError(), "rhumb_encode_above: launch");
}
