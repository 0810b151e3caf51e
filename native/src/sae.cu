// Decoding lists, and the gradients of a sparse autoencoder. Work is in proportion to the entries, never to all features.
#include <type_traits>

#include "lists.h"
#include "quads.h"
#include "segments.h"

namespace {

using rhumb::first_list;
using rhumb::kEnd;
using rhumb::kListBlock;
using rhumb::kWarp;
using rhumb::list_step;
using rhumb::Lists;
using rhumb::load4;
using rhumb::store4;
using rhumb::warp_sum;

constexpr int kBlock = 256;

// A matrix that is read and written four columns at a time. kAligned: the width is a multiple of four and each row starts at
// a multiple of 16 bytes, so that an access is one of 16 bytes, without a question.
template <bool kAligned, class T = const float>
struct Matrix {
  T *at;
  int64_t stride;
  int64_t width;

  __device__ int64_t quads() const { return (width + 3) / 4; }
  __device__ void load(int64_t row, int64_t quad, float (&x)[4]) const {
    load4(at + row * stride + 4 * quad, kAligned ? 4 : width - 4 * quad, kAligned, x);
  }
  __device__ void store(int64_t row, int64_t quad, const float (&x)[4]) const {
    store4(at + row * stride + 4 * quad, kAligned ? 4 : width - 4 * quad, kAligned, x);
  }
};

// Whether they can all be Matrix<true>.
struct Place {
  const float *at;
  int64_t stride;
};
bool all_aligned(int64_t width, std::initializer_list<Place> places) {
  bool aligned = width % 4 == 0;
  for (const Place &place : places) {
    aligned = aligned && rhumb::aligned16(place.at, place.stride);
  }
  return aligned;
}

// Adds a quad of up to kAhead decoder rows, their loads in flight together. Row i has the list at first (kept); i goes on to
// the entry after the last one. Returns whether the list has ended. keep(i, w) sees each row's quad.
constexpr int kAhead = 8;
template <bool kAligned, class Keep>
__device__ __forceinline__ bool add_entries(const Lists &lists, const Matrix<kAligned> &w_dec, int64_t row, int64_t quad,
                                            int64_t &i, float (&sum)[4], Keep keep) {
  const int64_t first = row * lists.kept;
  int32_t index[kAhead];
  float z[kAhead];
  float w[kAhead][4];
  bool ended = false;
#pragma unroll
  for (int a = 0; a < kAhead; a++) {
    index[a] = i + a < lists.kept ? lists.indices[first + i + a] : kEnd;
    z[a] = i + a < lists.kept ? lists.values[first + i + a] : 0;
  }
#pragma unroll
  for (int a = 0; a < kAhead; a++) {
    ended |= index[a] == kEnd;
    if (ended || !lists.names_feature(row, index[a])) {
      index[a] = -1;
    } else {
      w_dec.load(index[a], quad, w[a]);
    }
  }
#pragma unroll
  for (int a = 0; a < kAhead; a++) {
    if (index[a] >= 0) {
      keep(i + a, w[a]);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        sum[k] = fmaf(z[a], w[a][k], sum[k]);
      }
    }
  }
  i += kAhead;
  return ended || i >= lists.kept;
}

// y (rows, width): a thread has four columns of a row. b_dec (1, width), or NULL within.
template <bool kAligned>
__global__ void __launch_bounds__(kBlock)
    decode(Lists lists, Matrix<kAligned> w_dec, Matrix<kAligned> b_dec, Matrix<kAligned, float> y) {
  const int64_t quads = w_dec.quads();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  for (int64_t t = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; t < lists.rows * quads; t += step) {
    const int64_t row = t / quads;
    const int64_t quad = t % quads;
    float sum[4] = {};
    int64_t i = 0;
    while (!add_entries(lists, w_dec, row, quad, i, sum, [](int64_t, const float(&)[4]) {})) {
    }
    if (b_dec.at != nullptr) {
      float bias[4];
      b_dec.load(0, quad, bias);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        sum[k] += bias[k];
      }
    }
    y.store(row, quad, sum);
  }
}

// --- Dots of a row with the decoder rows of its entries --------------------------------------------------------------------

// Eight lanes share an entry and take 128 bytes of its row at a time; each eight have four entries under way.
constexpr int kDotLanes = 8;
constexpr int kDots = kWarp / kDotLanes;
constexpr int kDotsAhead = 4;

// What of an entry counts, and what it gives.
struct Fired {
  __device__ bool counts(int32_t, float value) const { return value > 0; }
  __device__ float gives(int32_t, float dot) const { return dot; }
};
struct NearThreshold {
  const float *threshold;  // (features)
  float bandwidth;
  float slope;

  __device__ bool counts(int32_t feature, float score) const { return fabsf(score - threshold[feature]) < bandwidth / 2; }
  __device__ float gives(int32_t feature, float dot) const { return (threshold[feature] * dot + slope) / bandwidth; }
};

// The dots of g[row] with the decoder rows of entries from .. from + 15, a warp together. load_g(quad, x) and load_w(i, feature,
// quad, w) give four columns; write(i, feature, dot) is called by one lane for each i below `kept`, feature -1 where the entry
// is none, is at fault or does not count.
template <class Rule, class LoadG, class LoadW, class Write>
__device__ __forceinline__ void dot_some(const Lists &lists, int64_t row, int64_t length, int64_t from, int64_t quads,
                                         const Rule &rule, LoadG load_g, LoadW load_w, Write write) {
  const int lane = threadIdx.x % kDotLanes;
  const int team = threadIdx.x % kWarp / kDotLanes;
  const int64_t first = row * lists.kept;
  int32_t feature[kDotsAhead];
  float dot[kDotsAhead];
#pragma unroll
  for (int a = 0; a < kDotsAhead; a++) {
    const int64_t i = from + a * kDots + team;
    feature[a] = i < length ? lists.indices[first + i] : kEnd;
    if (i < length && (!lists.names_feature(row, feature[a]) || !rule.counts(feature[a], lists.values[first + i]))) {
      feature[a] = -1;
    }
    dot[a] = 0;
  }
  for (int64_t quad = lane; quad < quads; quad += kDotLanes) {
    float x[4];
    float w[kDotsAhead][4] = {};
    load_g(quad, x);
#pragma unroll
    for (int a = 0; a < kDotsAhead; a++) {
      if (feature[a] >= 0) {
        load_w(from + a * kDots + team, feature[a], quad, w[a]);
      }
    }
#pragma unroll
    for (int a = 0; a < kDotsAhead; a++) {
      if (feature[a] >= 0) {
#pragma unroll
        for (int k = 0; k < 4; k++) {
          dot[a] = fmaf(x[k], w[a][k], dot[a]);
        }
      }
    }
  }
#pragma unroll
  for (int a = 0; a < kDotsAhead; a++) {
    const int64_t i = from + a * kDots + team;
    dot[a] = warp_sum<float, kDotLanes>(dot[a]);
    if (lane == 0 && i < lists.kept) {
      write(i, feature[a], dot[a]);
    }
  }
}

// keys (rows, kept): the features of entries that count, -1 elsewhere; dz (rows, kept): what those entries give. A warp has a
// row. g (rows, width), w_dec (features, width).
template <bool kAligned, class Rule>
__global__ void __launch_bounds__(kListBlock)
    dot_entries(Lists lists, Matrix<kAligned> g, Matrix<kAligned> w_dec, Rule rule, int32_t *keys, float *dz) {
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    const int64_t length = rhumb::list_length(lists, row);
    int64_t from = 0;
    for (; from < length; from += kDots * kDotsAhead) {
      dot_some(
          lists, row, length, from, w_dec.quads(), rule, [&](int64_t quad, float(&x)[4]) { g.load(row, quad, x); },
          [&](int64_t, int32_t feature, int64_t quad, float(&w)[4]) { w_dec.load(feature, quad, w); },
          [&](int64_t i, int32_t feature, float dot) {
            keys[row * lists.kept + i] = feature;
            if (feature >= 0) {
              dz[row * lists.kept + i] = rule.gives(feature, dot);
            }
          });
    }
    for (int64_t i = from + threadIdx.x % kWarp; i < lists.kept; i += kWarp) {
      keys[row * lists.kept + i] = -1;
    }
  }
}

// keys as above, of entries whose dots are there already.
__global__ void __launch_bounds__(kListBlock) key_entries(Lists lists, int32_t *keys) {
  for (int64_t row = first_list(); row < lists.rows; row += list_step()) {
    const int64_t length = rhumb::list_length(lists, row);
    for (int64_t i = threadIdx.x % kWarp; i < lists.kept; i += kWarp) {
      const int64_t at = row * lists.kept + i;
      const int32_t feature = i < length ? lists.indices[at] : kEnd;
      const bool counts = i < length && lists.names_feature(row, feature) && Fired().counts(feature, lists.values[at]);
      keys[at] = counts ? feature : -1;
    }
  }
}

// --- The reconstruction, its error and gradients in one gather -------------------------------------------------------------

// A block has a few rows. Its threads sum four columns of x^ each, as in decode, and leave the decoder rows in shared memory
// on the way, where they fit; then eight lanes an entry make the dots from there.
constexpr int kLossBlock = 128;
constexpr int kLossWarps = kLossBlock / kWarp;
// Bytes of decoder rows that a block may keep: several blocks must share an SM. One row alone may have more.
constexpr int64_t kMostKept = 64 << 10;
constexpr int64_t kMostKeptOfOne = 96 << 10;

struct LossShape {
  int64_t rows_of_block;
  int64_t bytes;  // of shared memory: (rows_of_block, kept, 4 quads) floats, or 0 where the decoder rows are read twice
};

LossShape loss_shape(int64_t kept, int64_t width, bool wants_dots) {
  const int64_t quads = (width + 3) / 4;
  const int64_t row = std::max<int64_t>(1, 16 * quads * kept);
  const int64_t busy = std::max<int64_t>(1, kLossBlock / quads);
  if (!wants_dots || row > kMostKeptOfOne) {
    return {busy, 0};
  }
  const int64_t rows = std::max<int64_t>(1, std::min(busy, kMostKept / row));
  return {rows, rows * row};
}

// error, g (rows, width), squares (rows), dz (rows, kept); denominator (1). Those that may be NULL: denominator, b_dec, error
// and dz.
template <bool kAligned>
__global__ void __launch_bounds__(kLossBlock)
    decode_loss(Lists lists, Matrix<kAligned> x, Matrix<kAligned> w_dec, Matrix<kAligned> b_dec, double factor,
                const float *denominator, LossShape shape, Matrix<kAligned, float> error, Matrix<kAligned, float> g,
                float *squares, float *dz) {
  RHUMB_DYNAMIC_SHARED(float, kept_rows);
  __shared__ float scale;
  if (threadIdx.x == 0) {
    const double under = denominator == nullptr ? 1 : *denominator;
    scale = under == 0 ? 0 : static_cast<float>(factor / under);
  }
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int64_t quads = w_dec.quads();
  const bool keeps = shape.bytes > 0;
  for (int64_t first = blockIdx.x * shape.rows_of_block; first < lists.rows;
       first += gridDim.x * shape.rows_of_block) {
    const int64_t rows = min(shape.rows_of_block, lists.rows - first);
    // g = x^ - x for now.
    for (int64_t t = threadIdx.x; t < rows * quads; t += kLossBlock) {
      const int64_t local = t / quads;
      const int64_t row = first + local;
      const int64_t quad = t % quads;
      float sum[4] = {};
      int64_t i = 0;
      while (!add_entries(lists, w_dec, row, quad, i, sum, [&](int64_t at, const float(&w)[4]) {
        if (keeps) {
          store4(kept_rows + ((local * lists.kept + at) * quads + quad) * 4, 4, true, w);
        }
      })) {
      }
      float other[4];
      if (b_dec.at != nullptr) {
        b_dec.load(0, quad, other);
#pragma unroll
        for (int k = 0; k < 4; k++) {
          sum[k] += other[k];
        }
      }
      x.load(row, quad, other);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        sum[k] -= other[k];
        other[k] = -sum[k];
      }
      g.store(row, quad, sum);
      if (error.at != nullptr) {
        error.store(row, quad, other);
      }
    }
    __syncthreads();
    for (int64_t local = warp; local < rows; local += kLossWarps) {
      double total = 0;
      for (int64_t quad = lane; quad < quads; quad += kWarp) {
        float some[4];
        g.load(first + local, quad, some);
#pragma unroll
        for (int k = 0; k < 4; k++) {
          total = fma(static_cast<double>(some[k]), static_cast<double>(some[k]), total);
        }
      }
      total = warp_sum(total);
      if (lane == 0) {
        squares[first + local] = static_cast<float>(total);
      }
    }
    // A warp takes 16 entries of a row at a time.
    constexpr int64_t kSome = kDots * kDotsAhead;
    const int64_t parts = dz == nullptr ? 0 : (lists.kept + kSome - 1) / kSome;
    for (int64_t part = warp; part < rows * parts; part += kLossWarps) {
      const int64_t local = part / parts;
      const int64_t row = first + local;
      const int64_t length = rhumb::list_length(lists, row);
      const int64_t from = part % parts * kSome;
      if (from >= length) {
        continue;
      }
      dot_some(
          lists, row, length, from, quads, Fired{},
          [&](int64_t quad, float(&some)[4]) {
            g.load(row, quad, some);
#pragma unroll
            for (int k = 0; k < 4; k++) {
              some[k] *= scale;
            }
          },
          [&](int64_t i, int32_t feature, int64_t quad, float(&w)[4]) {
            if (keeps) {
              load4(kept_rows + ((local * lists.kept + i) * quads + quad) * 4, 4, true, w);
            } else {
              w_dec.load(feature, quad, w);
            }
          },
          [&](int64_t i, int32_t feature, float dot) {
            if (i < length) {
              dz[row * lists.kept + i] = feature >= 0 ? dot : 0;
            }
          });
    }
    __syncthreads();
    for (int64_t t = threadIdx.x; t < rows * quads; t += kLossBlock) {
      const int64_t row = first + t / quads;
      const int64_t quad = t % quads;
      float some[4];
      g.load(row, quad, some);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        some[k] *= scale;
      }
      g.store(row, quad, some);
    }
    __syncthreads();
  }
}

// --- Gradients of the weights ----------------------------------------------------------------------------------------------

// Of a feature: four columns of dW_dec = sum z g and of dW_enc = sum dz (x - b_dec), and the sum of dz.
template <bool kAligned>
struct FiredRows {
  static constexpr int kSums = 9;
  struct Column {
    int64_t quad;
    float bias[4];
  };
  struct Item {
    float g[4];
    float x[4];
    float z;
    float dz;
  };

  int64_t kept;
  const float *z;   // (rows, kept)
  const float *dz;  // (rows, kept), but for the slope
  float slope;
  Matrix<kAligned> g;              // (rows, width)
  Matrix<kAligned> x;              // (rows, width)
  Matrix<kAligned> b_dec;          // (1, width)
  Matrix<kAligned, float> dw_enc;  // (features, width)
  Matrix<kAligned, float> dw_dec;  // (features, width)
  float *db_enc;                   // (features)
  float *dz_sums;                  // (features)

  __device__ Column column(int64_t quad) const {
    Column column;
    column.quad = quad;
    b_dec.load(0, quad, column.bias);
    return column;
  }
  __device__ Item load(const Column &column, int32_t place) const {
    const int64_t row = static_cast<uint32_t>(place) / static_cast<uint32_t>(kept);
    Item item;
    g.load(row, column.quad, item.g);
    x.load(row, column.quad, item.x);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      item.x[k] -= column.bias[k];
    }
    item.z = z[place];
    item.dz = dz[place] + slope;
    return item;
  }
  __device__ void add(const Item &item, float (&sum)[kSums]) const {
#pragma unroll
    for (int k = 0; k < 4; k++) {
      sum[k] = fmaf(item.z, item.g[k], sum[k]);
      sum[4 + k] = fmaf(item.dz, item.x[k], sum[4 + k]);
    }
    sum[8] += item.dz;
  }
  __device__ void finish(const Column &column, int32_t feature, const float (&sum)[kSums]) const {
    float now[4];
    dw_dec.load(feature, column.quad, now);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      now[k] += sum[k];
    }
    dw_dec.store(feature, column.quad, now);
    dw_enc.load(feature, column.quad, now);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      now[k] += sum[4 + k];
    }
    dw_enc.store(feature, column.quad, now);
    if (column.quad == 0) {
      db_enc[feature] += sum[8];
      dz_sums[feature] = sum[8];
    }
  }
};

// Of a feature: d_threshold = - the sum of what its entries give.
struct EntriesNearThreshold {
  static constexpr int kSums = 1;
  struct Column {};
  struct Item {
    float dz;
  };

  const float *dz;     // (rows, kept)
  float *d_threshold;  // (features)

  __device__ Column column(int64_t) const { return {}; }
  __device__ Item load(const Column &, int32_t place) const { return {dz[place]}; }
  __device__ void add(const Item &item, float (&sum)[kSums]) const { sum[0] += item.dz; }
  __device__ void finish(const Column &, int32_t feature, const float (&sum)[kSums]) const {
    d_threshold[feature] -= sum[0];
  }
};

// db_dec: the rows of W_enc by -dz_sums, then those of g by 1, in parts of 512 rows. Of a part a block has 64 columns, four
// for each thread, in 16 lines of threads that take every 16th row.
constexpr int kBiasRows = 512;
constexpr int kBiasQuads = 16;
constexpr int kBiasLines = kBlock / kBiasQuads;

// partials (parts, 4 quads); grid (parts, quads / 16 rounded up).
template <bool kAligned>
__global__ void __launch_bounds__(kBlock)
    sum_bias(int64_t features, Matrix<kAligned> w_enc, const float *dz_sums, int64_t rows, Matrix<kAligned> g,
             float *partials) {
  __shared__ float lines[kBiasLines][kBiasQuads][4];
  const int64_t quads = w_enc.quads();
  const int line = threadIdx.x / kBiasQuads;
  const int mine = threadIdx.x % kBiasQuads;
  const int64_t quad = static_cast<int64_t>(blockIdx.y) * kBiasQuads + mine;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBiasRows;
  const int64_t end = min(first + kBiasRows, features + rows);
  float sum[4] = {};
  if (quad < quads) {
#pragma unroll 4
    for (int64_t r = first + line; r < end; r += kBiasLines) {
      const float factor = r < features ? -dz_sums[r] : 1;
      float x[4] = {};
      if (r >= features) {
        g.load(r - features, quad, x);
      } else if (factor != 0) {
        w_enc.load(r, quad, x);
      }
#pragma unroll
      for (int k = 0; k < 4; k++) {
        sum[k] = fmaf(factor, x[k], sum[k]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < 4; k++) {
    lines[line][mine][k] = sum[k];
  }
  __syncthreads();
  if (line == 0 && quad < quads) {
    for (int other = 1; other < kBiasLines; other++) {
#pragma unroll
      for (int k = 0; k < 4; k++) {
        sum[k] += lines[other][mine][k];
      }
    }
    store4(partials + (blockIdx.x * quads + quad) * 4, 4, true, sum);
  }
}

// A thread has a column.
__global__ void __launch_bounds__(kBlock)
    join_bias(int64_t parts, int64_t width, const float *partials, float *db_dec) {
  const int64_t columns = (width + 3) / 4 * 4;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  for (int64_t d = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; d < width; d += step) {
    double sum = 0;
#pragma unroll 8
    for (int64_t part = 0; part < parts; part++) {
      sum += partials[part * columns + d];
    }
    db_dec[d] += static_cast<float>(sum);
  }
}

// --- Workspace and checks --------------------------------------------------------------------------------------------------

struct Plan {
  int32_t *keys;
  float *dz;
  unsigned char *sort;
  unsigned char *segments;
  float *dz_sums;   // of the gradients of weights, as is what follows
  float *partials;
  int64_t parts;
  int64_t bytes;
};

Plan backward_plan(int64_t rows, int64_t kept, int64_t features, int64_t width, void *scratch) {
  const int64_t entries = rows * kept;
  const int64_t quads = (width + 3) / 4;
  rhumb::Scratch cut(scratch);
  Plan plan{};
  plan.keys = cut.take<int32_t>(entries);
  plan.dz = cut.take<float>(entries);
  plan.sort = cut.take<unsigned char>(rhumb::sort_scratch(entries, features));
  plan.segments = cut.take<unsigned char>(rhumb::segments_scratch<FiredRows<true>>(entries, quads));
  plan.dz_sums = cut.take<float>(features);
  plan.parts = (features + rows + kBiasRows - 1) / kBiasRows;
  plan.partials = cut.take<float>(plan.parts * quads * 4);
  plan.bytes = cut.bytes();
  return plan;
}

Plan threshold_plan(int64_t rows, int64_t kept, int64_t features, void *scratch) {
  const int64_t entries = rows * kept;
  rhumb::Scratch cut(scratch);
  Plan plan{};
  plan.keys = cut.take<int32_t>(entries);
  plan.dz = cut.take<float>(entries);
  plan.sort = cut.take<unsigned char>(rhumb::sort_scratch(entries, features));
  plan.segments = cut.take<unsigned char>(rhumb::segments_scratch<EntriesNearThreshold>(entries, 1));
  plan.bytes = cut.bytes();
  return plan;
}

dim3 grid_of(int64_t threads) {
  return dim3(static_cast<unsigned>(std::min<int64_t>((threads + kBlock - 1) / kBlock, 1 << 30)));
}

}  // namespace

int rhumb_decode(int64_t rows, int64_t kept, int64_t features, int64_t width, const int32_t *d_indices,
                 const float *d_values, const float *d_w_dec, const float *d_b_dec, float *d_y, int64_t y_stride,
                 uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_decode";
  int status = rhumb::check_counts(
      call, {{"rows", rows}, {"kept", kept}, {"features", features}, {"width", width}, {"y_stride", y_stride}});
  if (status != RHUMB_OK || rows * width == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_indices", d_indices}, {"d_values", d_values}, {"d_w_dec", d_w_dec},
                                        {"d_y", d_y}, {"d_faults", d_faults}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Lists lists{d_indices, d_values, rows, kept, features, d_faults};
  const auto launch = [&](auto aligned) {
    constexpr bool kAligned = decltype(aligned)::value;
    using In = Matrix<kAligned>;
    RHUMB_LAUNCH((decode<kAligned>), grid_of(rows * ((width + 3) / 4)), dim3(kBlock), 0,
                 static_cast<cudaStream_t>(stream), lists, In{d_w_dec, width, width}, In{d_b_dec, 0, width},
                 Matrix<kAligned, float>{d_y, y_stride, width});
    return rhumb::check(cudaGetLastError(), call);
  };
  return all_aligned(width, {{d_w_dec, width}, {d_b_dec, 0}, {d_y, y_stride}}) ? launch(std::true_type())
                                                                              : launch(std::false_type());
}

int rhumb_decode_loss(int64_t rows, int64_t kept, int64_t features, int64_t width, const float *d_x, int64_t x_stride,
                      double factor, const float *d_denominator, const int32_t *d_indices, const float *d_values,
                      const float *d_w_dec, const float *d_b_dec, float *d_error, float *d_g, float *d_squares,
                      float *d_dz, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_decode_loss";
  int status = rhumb::check_counts(
      call, {{"rows", rows}, {"kept", kept}, {"features", features}, {"width", width}, {"x_stride", x_stride}});
  if (status != RHUMB_OK || rows * width == 0) {
    return status;
  }
  status = rhumb::check_pointers(
      call, {{"d_x", d_x}, {"d_indices", d_indices}, {"d_values", d_values}, {"d_w_dec", d_w_dec}, {"d_g", d_g},
             {"d_squares", d_squares}, {"d_faults", d_faults}});
  if (status != RHUMB_OK) {
    return status;
  }
  const LossShape shape = loss_shape(kept, width, d_dz != nullptr);
  const Lists lists{d_indices, d_values, rows, kept, features, d_faults};
  const int64_t blocks = (rows + shape.rows_of_block - 1) / shape.rows_of_block;
  const auto launch = [&](auto aligned) {
    constexpr bool kAligned = decltype(aligned)::value;
    using In = Matrix<kAligned>;
    // The same at every call: others may launch at the same time with other shapes.
    const int allowed = rhumb::check(
        cudaFuncSetAttribute(decode_loss<kAligned>, cudaFuncAttributeMaxDynamicSharedMemorySize, kMostKeptOfOne), call);
    if (allowed != RHUMB_OK) {
      return allowed;
    }
    RHUMB_LAUNCH((decode_loss<kAligned>), dim3(static_cast<unsigned>(std::min<int64_t>(blocks, 1 << 30))),
                 dim3(kLossBlock), static_cast<size_t>(shape.bytes), static_cast<cudaStream_t>(stream), lists,
                 In{d_x, x_stride, width}, In{d_w_dec, width, width}, In{d_b_dec, 0, width}, factor, d_denominator,
                 shape, Matrix<kAligned, float>{d_error, width, width}, Matrix<kAligned, float>{d_g, width, width},
                 d_squares, d_dz);
    return rhumb::check(cudaGetLastError(), call);
  };
  return all_aligned(width, {{d_x, x_stride}, {d_w_dec, width}, {d_b_dec, 0}, {d_error, width}, {d_g, width}})
             ? launch(std::true_type())
             : launch(std::false_type());
}

int64_t rhumb_sae_backward_scratch(int64_t rows, int64_t kept, int64_t features, int64_t width) {
  return backward_plan(rows, kept, features, width, nullptr).bytes;
}

int rhumb_sae_backward(int64_t rows, int64_t kept, int64_t features, int64_t width, const float *d_x,
                       int64_t x_stride, const float *d_g, float slope, const int32_t *d_indices,
                       const float *d_values, const float *d_dz, const float *d_w_enc, const float *d_w_dec,
                       const float *d_b_dec, int decoder_bias, float *d_dw_enc, float *d_dw_dec, float *d_db_enc, float *d_db_dec,
                       void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_sae_backward";
  int status = rhumb::check_counts(
      call, {{"rows", rows}, {"kept", kept}, {"features", features}, {"width", width}, {"x_stride", x_stride}});
  if (status != RHUMB_OK || rows == 0 || kept == 0 || features == 0 || width == 0) {
    return status;
  }
  status = rhumb::check_pointers(
      call, {{"d_x", d_x}, {"d_g", d_g}, {"d_indices", d_indices}, {"d_values", d_values}, {"d_w_enc", d_w_enc},
             {"d_w_dec", d_w_dec}, {"d_b_dec", d_b_dec}, {"d_dw_enc", d_dw_enc}, {"d_dw_dec", d_dw_dec},
             {"d_db_enc", d_db_enc}, {"d_db_dec", d_db_dec}, {"d_faults", d_faults}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Plan work = backward_plan(rows, kept, features, width, d_scratch);
  status = rhumb::check_scratch(call, d_scratch, scratch_bytes, work.bytes);
  if (status != RHUMB_OK) {
    return status;
  }
  cudaStream_t on = static_cast<cudaStream_t>(stream);
  const Lists lists{d_indices, d_values, rows, kept, features, d_faults};
  const bool aligned = all_aligned(width, {{d_x, x_stride}, {d_g, width}, {d_w_enc, width}, {d_w_dec, width},
                                           {d_b_dec, 0}, {d_dw_enc, width}, {d_dw_dec, width}});
  const auto run = [&](auto choice) {
    constexpr bool kAligned = decltype(choice)::value;
    using In = Matrix<kAligned>;
    using Out = Matrix<kAligned, float>;
    const int64_t entries = rows * kept;
    const int64_t quads = (width + 3) / 4;
    const In g{d_g, width, width};
    if (d_dz != nullptr) {
      RHUMB_LAUNCH(key_entries, rhumb::list_grid(rows), dim3(kListBlock), 0, on, lists, work.keys);
    } else {
      RHUMB_LAUNCH((dot_entries<kAligned, Fired>), rhumb::list_grid(rows), dim3(kListBlock), 0, on, lists, g,
                   In{d_w_dec, width, width}, Fired{}, work.keys, work.dz);
    }
    rhumb::Sorted sorted{};
    int good = rhumb::sort(entries, features, work.keys, work.sort, on, call, &sorted);
    if (good != RHUMB_OK) {
      return good;
    }
    good = rhumb::check(cudaMemsetAsync(work.dz_sums, 0, static_cast<size_t>(features) * sizeof(float), on), call);
    if (good != RHUMB_OK) {
      return good;
    }
    const FiredRows<kAligned> term{kept,
                                   d_values,
                                   d_dz != nullptr ? d_dz : work.dz,
                                   slope,
                                   g,
                                   In{d_x, x_stride, width},
                                   In{d_b_dec, 0, width},
                                   Out{d_dw_enc, width, width},
                                   Out{d_dw_dec, width, width},
                                   d_db_enc,
                                   work.dz_sums};
    good = rhumb::sum_segments(sorted, entries, quads, term, work.segments, on, call);
    if (good != RHUMB_OK) {
      return good;
    }
    const int64_t bias_rows = decoder_bias ? rows : 0;
    const int64_t parts = (features + bias_rows + kBiasRows - 1) / kBiasRows;
    const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>((quads + kBiasQuads - 1) / kBiasQuads));
    RHUMB_LAUNCH((sum_bias<kAligned>), grid, dim3(kBlock), 0, on, features, In{d_w_enc, width, width}, work.dz_sums,
                 bias_rows, g, work.partials);
    RHUMB_LAUNCH(join_bias, grid_of(width), dim3(kBlock), 0, on, parts, width, work.partials, d_db_dec);
    return rhumb::check(cudaGetLastError(), call);
  };
  return aligned ? run(std::true_type()) : run(std::false_type());
}

int64_t rhumb_threshold_backward_scratch(int64_t rows, int64_t kept, int64_t features, int64_t) {
  return threshold_plan(rows, kept, features, nullptr).bytes;
}

int rhumb_threshold_backward(int64_t rows, int64_t kept, int64_t features, int64_t width, float bandwidth,
                             const float *d_g, float slope, const int32_t *d_indices, const float *d_scores,
                             const float *d_threshold, const float *d_w_dec, float *d_d_threshold, void *d_scratch,
                             int64_t scratch_bytes, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_threshold_backward";
  int status =
      rhumb::check_counts(call, {{"rows", rows}, {"kept", kept}, {"features", features}, {"width", width}});
  if (status != RHUMB_OK || rows == 0 || kept == 0 || features == 0 || width == 0) {
    return status;
  }
  status = rhumb::check_pointers(
      call, {{"d_g", d_g}, {"d_indices", d_indices}, {"d_scores", d_scores}, {"d_threshold", d_threshold},
             {"d_w_dec", d_w_dec}, {"d_d_threshold", d_d_threshold}, {"d_faults", d_faults}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Plan work = threshold_plan(rows, kept, features, d_scratch);
  status = rhumb::check_scratch(call, d_scratch, scratch_bytes, work.bytes);
  if (status != RHUMB_OK) {
    return status;
  }
  cudaStream_t on = static_cast<cudaStream_t>(stream);
  const int64_t entries = rows * kept;
  const Lists lists{d_indices, d_scores, rows, kept, features, d_faults};
  const auto launch = [&](auto aligned) {
    constexpr bool kAligned = decltype(aligned)::value;
    using In = Matrix<kAligned>;
    RHUMB_LAUNCH((dot_entries<kAligned, NearThreshold>), rhumb::list_grid(rows), dim3(kListBlock), 0, on, lists,
                 In{d_g, width, width}, In{d_w_dec, width, width}, NearThreshold{d_threshold, bandwidth, slope},
                 work.keys, work.dz);
  };
  all_aligned(width, {{d_g, width}, {d_w_dec, width}}) ? launch(std::true_type()) : launch(std::false_type());
  rhumb::Sorted sorted{};
  status = rhumb::sort(entries, features, work.keys, work.sort, on, call, &sorted);
  if (status != RHUMB_OK) {
    return status;
  }
  return rhumb::sum_segments(sorted, entries, 1, EntriesNearThreshold{work.dz, d_d_threshold}, work.segments, on, call);
}
