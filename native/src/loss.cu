// Losses of a linear output s = h w^T, h (rows, width), w (classes, width), with their gradients.
//
// Softmax: one pass over tiles of scores, 64 x 64 (128 x 64 in bf16, on tensor cores), takes the maximum and the denominator
// of each row, the classes divided into parts where rows are few. The gradient in the scores, g = (softmax - target) / rows, is
// made by the same tiles and held for a chunk of rows and classes at a time, no more than 32 MiB, small enough for the
// second-level cache; dh += g w and dw += g^T h are ordinary products. That recomputes each score once; owning rows for dh
// and classes for dw would recompute them twice. Sampled softmax is the same over the rows of w that were sampled, copied
// together, and a class more for each row: its target.
//
// Where each row has classes of its own (targets, drawn negatives), w meets h in entries (row, class, slope): dh sums them by
// row, dw by class after a sort. Entries are float32 always: RHUMB_BF16 is for the tiles and the products of g.
#include "bf16.h"
#include "fault.h"
#include "philox.h"
#include "quads.h"
#include "reduce.h"
#include "segments.h"
#include "tile.h"

namespace {

using namespace rhumb;

constexpr int kThreads = kTileThreads;
constexpr int kWarps = kThreads / kWarp;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

dim3 blocks_of(int64_t count, int64_t each) { return dim3(static_cast<unsigned>(ceil_div(count, each))); }

// --- Scores by tiles -----------------------------------------------------------------------------------------------------

struct Scores {
  const float *h;  // (rows, width)
  const float *w;  // (classes, width); of sampled softmax: the sampled rows
  int64_t rows;
  int64_t classes;
  int64_t width;
  bool vector;             // rows of h and w are 16-byte aligned, and width is a multiple of 4
  const int32_t *targets;  // (rows)
  const int32_t *sample;   // (classes) which class each is, and
  const float *bias;       // (classes) what is added to its score; NULL: class c is c, with none added
};

constexpr int64_t kNone = -1;

// How a block makes a tile of scores from tiles of D columns of h and w in shared memory: a thread has kRows x kColumns of
// them, those of row(i) and column(j), and kLanes neighbours share its rows.
template <int D>
struct Fp32Tile {
  static constexpr int kThreads = kTileThreads;
  static constexpr int kBlocks = 3;  // at once
  static constexpr int kHeight = kTile;
  static constexpr int kRows = 8;
  static constexpr int kColumns = 4;
  static constexpr int kLanes = 16;
  static constexpr int kPiece = D;

  struct Operands {
    float h[tile_elements(kHeight, D)];
    float w[tile_elements(kTile, D)];
  };
  struct Scores {
    float sums[kRows][kColumns];
    __device__ __forceinline__ float &at(int i, int j) { return sums[i][j]; }
  };

  __device__ __forceinline__ static int row(int i) { return tile_group() + kTileGroups * i; }
  __device__ __forceinline__ static int column(int j) { return tile_lane() + 16 * j; }

  template <int kHigh, class RowAt>
  __device__ __forceinline__ static void load(float *tile, int rows, int width, bool vector, RowAt at) {
    load_tile<kHigh, D>(tile, rows, width, vector, at);
  }
  __device__ __forceinline__ static void add(const Operands &o, Scores &scores) {
    add_scores<kRows, kTileGroups, D>(o.h + tile_group() * (D + kTilePad), o.w + tile_lane() * (D + kTilePad),
                                      scores.sums);
  }
  // A thread's part of a row whose first `left` columns are there.
  __device__ __forceinline__ static void store(float *row, int left, const float (&x)[kColumns]) {
#pragma unroll
    for (int j = 0; j < kColumns; j++) {
      if (column(j) < left) {
        row[column(j)] = x[j];
      }
    }
  }
};

// The same from operands rounded to bf16, on tensor cores: a warp has 16 rows.
template <int D>
struct Bf16Tile {
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kHeight = 128;
  static constexpr int kRows = 2;
  static constexpr int kColumns = 16;
  static constexpr int kLanes = 4;
  static constexpr int kPiece = D;
  static constexpr int kStride = D + kBf16Pad;

  struct Operands {
    __nv_bfloat16 h[kHeight * kStride];
    __nv_bfloat16 w[kTile * kStride];
  };
  struct Scores {
    float sums[kColumns / 2][4];
    __device__ __forceinline__ float &at(int i, int j) { return sums[j / 2][2 * i + j % 2]; }
  };

  __device__ __forceinline__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ __forceinline__ static int first_row() { return static_cast<int>(threadIdx.x) / kWarp * 16; }
  __device__ __forceinline__ static int row(int i) { return first_row() + lane() / 4 + 8 * i; }
  __device__ __forceinline__ static int column(int j) { return j / 2 * 8 + lane() % 4 * 2 + j % 2; }

  template <int kHigh, class RowAt>
  __device__ __forceinline__ static void load(__nv_bfloat16 *tile, int rows, int width, bool vector, RowAt at) {
    constexpr int kQuads = D / 4;
#pragma unroll 4
    for (int i = threadIdx.x; i < kHigh * kQuads; i += kThreads) {
      const int r = i / kQuads;
      const int c = i % kQuads * 4;
      float x[4] = {};
      if (r < rows && c < width) {
        load4(at(r) + c, width - c, vector, x);
      }
      store4_bf16(tile + r * kStride + c, x);
    }
  }
  __device__ __forceinline__ static void add(const Operands &o, Scores &scores) {
#pragma unroll
    for (int k = 0; k < D; k += 16) {
      uint32_t h[4];
      load_a<true, kStride>(h, o.h, first_row(), k);
#pragma unroll
      for (int n = 0; n < kColumns / 2; n += 2) {
        uint32_t w[2][2];
        load_b<true, kStride>(w, o.w, 8 * n, k);
        mma_bf16_16816(scores.sums[n], h, w[0]);
        mma_bf16_16816(scores.sums[n + 1], h, w[1]);
      }
    }
  }
  // row is 8-byte aligned.
  __device__ __forceinline__ static void store(float *row, int left, const float (&x)[kColumns]) {
#pragma unroll
    for (int j = 0; j < kColumns; j += 2) {
      if (column(j) + 1 < left) {
        *reinterpret_cast<float2 *>(row + column(j)) = make_float2(x[j], x[j + 1]);
      } else if (column(j) < left) {
        row[column(j)] = x[j];
      }
    }
  }
};

// Adds to the scores of rows row0 + row(i) and classes class0 + column(j). again: the rows' only piece is there already.
template <class Tile>
__device__ __forceinline__ void tile_scores(const Scores &s, int64_t row0, int64_t class0, bool again,
                                            typename Tile::Operands &o, typename Tile::Scores &scores) {
  constexpr int64_t kPiece = Tile::kPiece;
  for (int64_t piece = 0; piece < s.width; piece += kPiece) {
    const int width = static_cast<int>(min(kPiece, s.width - piece));
    __syncthreads();
    if (!again || s.width > kPiece) {
      Tile::template load<Tile::kHeight>(o.h, static_cast<int>(min(int64_t{Tile::kHeight}, s.rows - row0)), width,
                                         s.vector, [&](int r) { return s.h + (row0 + r) * s.width + piece; });
    }
    Tile::template load<kTile>(o.w, static_cast<int>(min(int64_t{kTile}, s.classes - class0)), width, s.vector,
                               [&](int r) { return s.w + (class0 + r) * s.width + piece; });
    __syncthreads();
    Tile::add(o, scores);
  }
}

// The score with its bias; -infinity where the class takes no part: behind the last, or a row's target among the sampled.
__device__ __forceinline__ float biased(const Scores &s, int64_t c, int32_t target, float score) {
  if (c >= s.classes || (s.sample != nullptr && s.sample[c] == target)) {
    return -INFINITY;
  }
  return s.bias == nullptr ? score : score + s.bias[c];
}

__device__ __forceinline__ int32_t target_of(const Scores &s, int64_t row) {
  return row < s.rows ? s.targets[row] : static_cast<int32_t>(kNone);
}

// Block (tile of rows, part of the classes): parts (parts, rows), the largest score and the sum of exp(score - largest).
// Where all classes take part, target_scores (rows) gets those of targets.
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    score_parts(Scores s, int64_t tiles_each, float2 *parts, float *target_scores) {
  constexpr int kRows = Tile::kRows;
  constexpr int kColumns = Tile::kColumns;
  __shared__ __align__(16) typename Tile::Operands operands;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * Tile::kHeight;
  const int64_t from = blockIdx.y * tiles_each * kTile;
  const int64_t to = min(s.classes, from + tiles_each * kTile);
  int32_t target[kRows];
  float most[kRows];
  float sum[kRows];
#pragma unroll
  for (int i = 0; i < kRows; i++) {
    target[i] = target_of(s, row0 + Tile::row(i));
    most[i] = -INFINITY;
    sum[i] = 0;
  }
  for (int64_t class0 = from; class0 < to; class0 += kTile) {
    typename Tile::Scores scores{};
    tile_scores<Tile>(s, row0, class0, class0 > from, operands, scores);
#pragma unroll
    for (int i = 0; i < kRows; i++) {
      float now = most[i];
#pragma unroll
      for (int j = 0; j < kColumns; j++) {
        const int64_t c = class0 + Tile::column(j);
        scores.at(i, j) = biased(s, c, target[i], scores.at(i, j));
        now = max(now, scores.at(i, j));
        if (s.sample == nullptr && c == target[i]) {
          target_scores[row0 + Tile::row(i)] = scores.at(i, j);
        }
      }
      if (now != -INFINITY) {
        sum[i] *= expf(most[i] - now);
        most[i] = now;
#pragma unroll
        for (int j = 0; j < kColumns; j++) {
          sum[i] += expf(scores.at(i, j) - now);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kRows; i++) {
    const int64_t row = row0 + Tile::row(i);
    const float largest = warp_max<float, Tile::kLanes>(most[i]);
    const float part =
        warp_sum<float, Tile::kLanes>(most[i] == -INFINITY ? 0 : sum[i] * expf(most[i] - largest));
    if (row < s.rows && threadIdx.x % Tile::kLanes == 0) {
      parts[blockIdx.y * s.rows + row] = make_float2(largest, part);
    }
  }
}

// Block (tile of rows, tile of classes) of a chunk that begins at (row0, class0) and has `classes` columns: g (chunk's rows,
// stride) = the gradient in the scores. softmax (rows): the largest score and 1 / sum of exp(score - largest).
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    score_gradient(Scores s, int64_t row0, int64_t class0, int64_t end_row, int64_t end_class, const float2 *softmax,
                   float *g, int64_t stride) {
  constexpr int kColumns = Tile::kColumns;
  __shared__ __align__(16) typename Tile::Operands operands;
  const int64_t tile_row = row0 + static_cast<int64_t>(blockIdx.x) * Tile::kHeight;
  const int64_t tile_class = class0 + static_cast<int64_t>(blockIdx.y) * kTile;
  typename Tile::Scores scores{};
  tile_scores<Tile>(s, tile_row, tile_class, false, operands, scores);
  const float share = 1.0f / static_cast<float>(s.rows);
  const int classes = static_cast<int>(min(int64_t{kTile}, end_class - tile_class));
#pragma unroll
  for (int i = 0; i < Tile::kRows; i++) {
    const int64_t row = tile_row + Tile::row(i);
    if (row >= end_row) {
      continue;
    }
    const int32_t target = s.targets[row];
    const float2 known = softmax[row];
    float slopes[kColumns];
#pragma unroll
    for (int j = 0; j < kColumns; j++) {
      const int64_t c = tile_class + Tile::column(j);
      const float p = expf(biased(s, c, target, scores.at(i, j)) - known.x) * known.y;
      const float wanted = s.sample == nullptr && c == target ? 1.0f : 0.0f;
      slopes[j] = (p - wanted) * share;
    }
    Tile::store(g + (row - row0) * stride + (tile_class - class0), classes, slopes);
  }
}

// --- Loss ----------------------------------------------------------------------------------------------------------------

// Thread (row): joins the parts and, in sampled softmax, the target's score; loss_parts (blocks), summed in double.
__global__ void __launch_bounds__(kThreads)
    join_parts(Scores s, int64_t all_classes, int64_t parts_count, const float2 *parts, const float *target_scores,
               float2 *softmax, double *loss_parts, uint64_t *faults) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  double loss = 0;
  if (row < s.rows) {
    const int32_t target = s.targets[row];
    const bool good = target >= 0 && target < all_classes;
    const bool sampled = s.sample != nullptr;
    float most = sampled ? target_scores[row] : -INFINITY;
    for (int64_t k = 0; k < parts_count; k++) {
      most = max(most, parts[k * s.rows + row].x);
    }
    float sum = sampled ? expf(target_scores[row] - most) : 0;
    for (int64_t k = 0; k < parts_count; k++) {
      const float2 part = parts[k * s.rows + row];
      sum += part.x == -INFINITY ? part.y : part.y * expf(part.x - most);
    }
    softmax[row] = make_float2(most, 1 / sum);
    if (good) {
      loss = log(static_cast<double>(sum)) + (static_cast<double>(most) - target_scores[row]);
    } else {
      report_fault(faults, RHUMB_FAULT_TARGET, row, static_cast<uint32_t>(target));
    }
  }
  loss = block_sum<kThreads>(loss);
  if (threadIdx.x == 0) {
    loss_parts[blockIdx.x] = loss;
  }
}

// One block: total (1) = the parts' sum, on top of what it was unless `first`; loss (1) = total share.
__global__ void __launch_bounds__(kThreads)
    sum_loss(int64_t count, const double *parts, bool first, double share, double *total, float *loss) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) {
    sum += parts[i];
  }
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) {
    *total = first ? sum : *total + sum;
    *loss = static_cast<float>(*total * share);
  }
}

// --- Entries -------------------------------------------------------------------------------------------------------------

// Entry e is a pair of row e / each and a class, or -1 where it takes no part, with the gradient in their score.
struct Entries {
  int64_t count;
  int64_t each;
  const int32_t *classes;  // (count)
  const float *slopes;     // (count)
};

// Of a row of `to`: four columns of the slopes times the rows of `from` that its entries pair it with.
template <bool kAligned>  // the width is a multiple of four, and rows are 16-byte aligned
struct Paired {
  static constexpr int kSums = 4;
  struct Column {
    int64_t first;
  };
  struct Item {
    float x[4];
    float slope;
  };

  const float *slopes;  // (entries)
  const int32_t *rows;  // (entries) of `from`; NULL: entry / each
  int32_t each;
  const float *from;  // (.., width)
  float *to;          // (.., width)
  int64_t width;

  __device__ int64_t left(const Column &at) const { return kAligned ? 4 : width - at.first; }
  __device__ Column column(int64_t column) const { return {4 * column}; }
  __device__ Item load(const Column &at, int32_t entry) const {
    Item item{};
    const int32_t row = rows == nullptr ? entry / each : rows[entry];
    if (row >= 0) {
      item.slope = slopes[entry];
      load4(from + row * width + at.first, left(at), kAligned, item.x);
    }
    return item;
  }
  __device__ void add(const Item &item, float (&sum)[kSums]) const {
#pragma unroll
    for (int i = 0; i < kSums; i++) {
      sum[i] += item.slope * item.x[i];
    }
  }
  __device__ void finish(const Column &at, int32_t key, const float (&sum)[kSums]) const {
    float *row = to + key * width + at.first;
    float now[4];
    load4(row, left(at), kAligned, now);
#pragma unroll
    for (int i = 0; i < kSums; i++) {
      now[i] += sum[i];
    }
    store4(row, left(at), kAligned, now);
  }
};

// Entries stand in the order of their rows already: what sort() would give. Thread (entry).
__global__ void __launch_bounds__(kThreads)
    order_by_row(int64_t count, int64_t each, int32_t *keys, int32_t *places, int32_t *total) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (e < count) {
    keys[e] = static_cast<int32_t>(e / each);
    places[e] = static_cast<int32_t>(e);
  }
  if (e == 0) {
    *total = static_cast<int32_t>(count);
  }
}

// The workspace of add_gradients.
struct EntriesPlan {
  int32_t *keys;    // (entries)
  int32_t *places;  // (entries)
  int32_t *total;   // (1)
  void *sorting;
  void *segments;
};

EntriesPlan entries_plan(Scratch &cut, int64_t count, int64_t classes, int64_t width) {
  EntriesPlan p{};
  p.keys = cut.take<int32_t>(count);
  p.places = cut.take<int32_t>(count);
  p.total = cut.take<int32_t>(1);
  p.sorting = cut.take<unsigned char>(sort_scratch(count, classes));
  p.segments = cut.take<unsigned char>(segments_scratch<Paired<true>>(count, ceil_div(width, 4)));
  return p;
}

template <bool kAligned>
int add_gradients(const Entries &e, int64_t classes, int64_t width, const float *h, const float *w, float *dh, float *dw,
                  const EntriesPlan &p, cudaStream_t stream, const char *call) {
  const int32_t each = static_cast<int32_t>(e.each);
  const int64_t quads = ceil_div(width, 4);
  RHUMB_LAUNCH(order_by_row, blocks_of(e.count, kThreads), dim3(kThreads), 0, stream, e.count, e.each, p.keys, p.places,
               p.total);
  const Sorted by_row{p.keys, p.places, p.total};
  const Paired<kAligned> of_rows{e.slopes, e.classes, each, w, dh, width};
  if (const int status = sum_segments(by_row, e.count, quads, of_rows, p.segments, stream, call)) {
    return status;
  }
  Sorted by_class{};
  if (const int status = sort(e.count, classes, e.classes, p.sorting, stream, call, &by_class)) {
    return status;
  }
  const Paired<kAligned> of_classes{e.slopes, nullptr, each, h, dw, width};
  return sum_segments(by_class, e.count, quads, of_classes, p.segments, stream, call);
}

// dh[row] += the sum of slope w[class], dw[class] += the sum of slope h[row], over the entries.
int add_gradients(const Entries &e, int64_t classes, int64_t width, const float *h, const float *w, float *dh, float *dw,
                  const EntriesPlan &p, cudaStream_t stream, const char *call) {
  const bool vector = aligned16(h, width) && aligned16(w, width) && aligned16(dh, width) && aligned16(dw, width);
  return vector ? add_gradients<true>(e, classes, width, h, w, dh, dw, p, stream, call)
                : add_gradients<false>(e, classes, width, h, w, dh, dw, p, stream, call);
}

// --- Softmax cross-entropy -----------------------------------------------------------------------------------------------

constexpr int64_t kChunkElements = int64_t{8} << 20;  // of the gradient in the scores: 32 MiB
constexpr int64_t kChunkClasses = 8192;
constexpr int64_t kEnoughBlocks = 512;  // of the pass that takes maxima; classes are divided into parts up to it
constexpr int64_t kFewestTiles = 4;     // of a part

// How the passes over `classes` classes are cut, and the workspace of both.
struct Passes {
  int64_t tiles_each;  // tiles of classes of a part
  int64_t parts_count;
  int64_t chunk_rows;
  int64_t chunk_classes;
  int64_t stride;  // of g
  float2 *parts;         // (parts, rows)
  float2 *softmax;       // (rows)
  float *target_scores;  // (rows)
  double *loss_parts;    // (blocks of rows)
  double *total;         // (1)
  float *g;              // (chunk_rows, stride)
  void *product;         // of rhumb_gemm
  int64_t product_bytes;
};

Passes passes_of(Scratch &cut, int64_t rows, int64_t classes, int64_t width) {
  Passes p{};
  const int64_t row_tiles = max(int64_t{1}, ceil_div(rows, kTile));
  const int64_t class_tiles = max(int64_t{1}, ceil_div(classes, kTile));
  const int64_t wished = min(ceil_div(kEnoughBlocks, row_tiles), ceil_div(class_tiles, kFewestTiles));
  p.tiles_each = ceil_div(class_tiles, wished);
  p.parts_count = ceil_div(class_tiles, p.tiles_each);
  p.chunk_classes = max(int64_t{1}, min(classes, kChunkClasses));
  p.chunk_rows = max(int64_t{1}, min(rows, max(int64_t{kTile}, kChunkElements / p.chunk_classes / kTile * kTile)));
  p.stride = ceil_div(p.chunk_classes, 4) * 4;
  p.parts = cut.take<float2>(p.parts_count * rows);
  p.softmax = cut.take<float2>(rows);
  p.target_scores = cut.take<float>(rows);
  p.loss_parts = cut.take<double>(ceil_div(rows, kThreads));
  p.total = cut.take<double>(1);
  p.g = cut.take<float>(p.chunk_rows * p.stride);
  // The last chunk of rows and the last of classes may be shorter.
  for (const int64_t m : {p.chunk_rows, rows % p.chunk_rows}) {
    for (const int64_t n : {p.chunk_classes, classes % p.chunk_classes}) {
      p.product_bytes = max(p.product_bytes, rhumb_gemm_scratch(m, width, n));
      p.product_bytes = max(p.product_bytes, rhumb_gemm_scratch(n, width, m));
    }
  }
  p.product = cut.take<unsigned char>(p.product_bytes);
  return p;
}

// The loss of all rows; leaves `softmax` and `target_scores` for the gradient. all_classes: that a target may be.
template <class Tile>
int softmax_loss(const Scores &s, int64_t all_classes, const Passes &p, float *loss, uint64_t *faults,
                 cudaStream_t stream, const char *call) {
  const dim3 grid(static_cast<unsigned>(ceil_div(s.rows, Tile::kHeight)), static_cast<unsigned>(p.parts_count));
  RHUMB_LAUNCH((score_parts<Tile>), grid, dim3(Tile::kThreads), 0, stream, s, p.tiles_each, p.parts, p.target_scores);
  const dim3 row_blocks = blocks_of(s.rows, kThreads);
  RHUMB_LAUNCH(join_parts, row_blocks, dim3(kThreads), 0, stream, s, all_classes, p.parts_count, p.parts,
               p.target_scores, p.softmax, p.loss_parts, faults);
  RHUMB_LAUNCH(sum_loss, dim3(1), dim3(kThreads), 0, stream, row_blocks.x, p.loss_parts, true,
               1.0 / static_cast<double>(s.rows), p.total, loss);
  return check(cudaGetLastError(), call);
}

// dh (rows, width) += g w, dw (classes, width) += g^T h.
template <class Tile>
int softmax_gradient(int precision, const Scores &s, const Passes &p, float *dh, float *dw, cudaStream_t stream,
                     const char *call) {
  for (int64_t row0 = 0; row0 < s.rows; row0 += p.chunk_rows) {
    const int64_t rows = min(p.chunk_rows, s.rows - row0);
    for (int64_t class0 = 0; class0 < s.classes; class0 += p.chunk_classes) {
      const int64_t classes = min(p.chunk_classes, s.classes - class0);
      const dim3 grid(static_cast<unsigned>(ceil_div(rows, Tile::kHeight)),
                      static_cast<unsigned>(ceil_div(classes, kTile)));
      RHUMB_LAUNCH((score_gradient<Tile>), grid, dim3(Tile::kThreads), 0, stream, s, row0, class0, row0 + rows,
                   class0 + classes, p.softmax, p.g, p.stride);
      if (const int status = check(cudaGetLastError(), call)) {
        return status;
      }
      if (const int status = rhumb_gemm(precision, 0, 0, rows, s.width, classes, 1, p.g, p.stride,
                                        s.w + class0 * s.width, s.width, 1, dh + row0 * s.width, s.width, nullptr,
                                        RHUMB_NONE, p.product, p.product_bytes, stream)) {
        return status;
      }
      if (const int status = rhumb_gemm(precision, 1, 0, classes, s.width, rows, 1, p.g, p.stride,
                                        s.h + row0 * s.width, s.width, 1, dw + class0 * s.width, s.width, nullptr,
                                        RHUMB_NONE, p.product, p.product_bytes, stream)) {
        return status;
      }
    }
  }
  return RHUMB_OK;
}

// What all losses refuse, and the loss of no rows.
int begin(const char *call, int64_t rows, int64_t classes, int64_t width, const float *h, const float *w,
          const int32_t *targets, float *loss, const float *dh, const float *dw, const uint64_t *faults,
          const void *scratch, int64_t scratch_bytes, int64_t needed, cudaStream_t stream) {
  if (const int status = check_counts(call, {{"rows", rows}})) {
    return status;
  }
  if (const int status = check_positive(call, {{"classes", classes}, {"width", width}})) {
    return status;
  }
  if (const int status = check_pointers(call, {{"d_loss", loss}, {"d_faults", faults}, {"d_w", w}})) {
    return status;
  }
  if (rows > 0) {
    if (const int status = check_pointers(call, {{"d_h", h}, {"d_targets", targets}})) {
      return status;
    }
  }
  if ((dh == nullptr) != (dw == nullptr) && rows > 0) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: d_dh and d_dw go together, but %s is NULL", call,
                dh == nullptr ? "d_dh" : "d_dw");
  }
  if (rows > INT32_MAX || classes > INT32_MAX || width > INT32_MAX) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: %lld rows, %lld classes of %lld are more than 2^31 - 1", call,
                static_cast<long long>(rows), static_cast<long long>(classes), static_cast<long long>(width));
  }
  if (const int status = check_scratch(call, scratch, scratch_bytes, needed)) {
    return status;
  }
  return rows > 0 ? RHUMB_OK : check(cudaMemsetAsync(loss, 0, sizeof(float), stream), call);
}

int zero(float *x, int64_t count, cudaStream_t stream, const char *call) {
  return check(cudaMemsetAsync(x, 0, static_cast<size_t>(count) * sizeof(float), stream), call);
}

// --- Sampled softmax -----------------------------------------------------------------------------------------------------

// Block (sampled class): copies its row of w; zeros where the class is bad.
__global__ void __launch_bounds__(kThreads)
    gather_sample(int64_t classes, int64_t width, const float *w, const int32_t *sample, float *rows, uint64_t *faults) {
  const int64_t j = blockIdx.x;
  const int32_t c = sample[j];
  const bool good = c >= 0 && c < classes;
  if (threadIdx.x == 0 && (!good || (j > 0 && c <= sample[j - 1]))) {
    report_fault(faults, RHUMB_FAULT_SAMPLE, j, static_cast<uint32_t>(c));
  }
  for (int64_t d = threadIdx.x; d < width; d += kThreads) {
    rows[j * width + d] = good ? w[c * width + d] : 0;
  }
}

// Block (sampled class): dw[sample[j]] += rows[j].
__global__ void __launch_bounds__(kThreads)
    add_sample(int64_t classes, int64_t width, const float *rows, const int32_t *sample, float *dw) {
  const int64_t j = blockIdx.x;
  const int32_t c = sample[j];
  if (c >= 0 && c < classes) {
    for (int64_t d = threadIdx.x; d < width; d += kThreads) {
      dw[c * width + d] += rows[j * width + d];
    }
  }
}

// Warp (row): the score of its target; 0 where the target is bad.
__global__ void __launch_bounds__(kThreads)
    score_targets(int64_t rows, int64_t classes, int64_t width, const float *h, const float *w, const int32_t *targets,
                  const float *target_bias, float *scores) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= rows) {
    return;
  }
  const int32_t target = targets[row];
  const bool good = target >= 0 && target < classes;
  float dot = 0;
  for (int64_t d = threadIdx.x % kWarp; d < width && good; d += kWarp) {
    dot += h[row * width + d] * w[target * width + d];
  }
  dot = warp_sum(dot);
  if (threadIdx.x % kWarp == 0) {
    scores[row] = good ? dot + target_bias[target] : 0;
  }
}

// Thread (row): the entry of its target.
__global__ void __launch_bounds__(kThreads)
    target_entries(int64_t rows, int64_t all_classes, const int32_t *targets, const float *scores, const float2 *softmax,
                   int32_t *classes, float *slopes) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row < rows) {
    const int32_t target = targets[row];
    classes[row] = target >= 0 && target < all_classes ? target : -1;
    slopes[row] = (expf(scores[row] - softmax[row].x) * softmax[row].y - 1) / static_cast<float>(rows);
  }
}

// The workspace of sampled softmax.
struct SampledPlan {
  Passes passes;
  float *sampled;         // (negatives, width): the rows of w
  float *sampled_slopes;  // (negatives, width): of dw
  int32_t *classes;       // (rows)
  float *slopes;          // (rows)
  EntriesPlan entries;
  int64_t bytes;
};

SampledPlan sampled_plan(int64_t rows, int64_t negatives, int64_t classes, int64_t width, void *scratch) {
  Scratch cut(scratch);
  SampledPlan p{};
  p.passes = passes_of(cut, rows, negatives, width);
  p.sampled = cut.take<float>(negatives * width);
  p.sampled_slopes = cut.take<float>(negatives * width);
  p.classes = cut.take<int32_t>(rows);
  p.slopes = cut.take<float>(rows);
  p.entries = entries_plan(cut, rows, classes, width);
  p.bytes = cut.bytes();
  return p;
}

// --- Binary cross-entropy ------------------------------------------------------------------------------------------------

// Which classes a row may draw: dev.rhumb.kernels.Negatives, step for step.
struct Negatives {
  int64_t rows;
  int64_t classes;
  const int32_t *targets;           // (rows)
  int64_t groups;                   // 0: the rest is NULL
  const int32_t *group_offsets;     // (groups + 1)
  const int32_t *excluded_offsets;  // (groups + 1)
  const int32_t *excluded;          // (excluded_count)
  int64_t excluded_count;
};

__device__ bool good_target(const Negatives &n, int32_t target) { return target >= 1 && target < n.classes; }

// Where the exclusions of a group begin, within bounds whatever the offsets hold.
__device__ int64_t excluded_from(const Negatives &n, int64_t group) {
  return min(max(static_cast<int64_t>(n.excluded_offsets[group]), int64_t{0}), n.excluded_count);
}

// Reports what cannot be used: threads over targets and offsets, warps over groups.
__global__ void __launch_bounds__(kThreads) check_negatives(Negatives n, uint64_t *faults) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t row = thread; row < n.rows; row += threads) {
    if (!good_target(n, n.targets[row])) {
      report_fault(faults, RHUMB_FAULT_TARGET, row, static_cast<uint32_t>(n.targets[row]));
    }
  }
  if (n.groups == 0) {
    return;
  }
  for (int64_t g = thread; g <= n.groups; g += threads) {
    const int32_t rows = n.group_offsets[g];
    const int32_t rows_before = g == 0 ? 0 : n.group_offsets[g - 1];
    if (rows < rows_before || rows > n.rows || (g == 0 && rows != 0) || (g == n.groups && rows != n.rows)) {
      report_fault(faults, RHUMB_FAULT_GROUP_OFFSET, g, static_cast<uint32_t>(rows));
    }
    const int32_t at = n.excluded_offsets[g];
    const int32_t before = g == 0 ? 0 : n.excluded_offsets[g - 1];
    if (at < before || at > n.excluded_count || (g == 0 && at != 0)) {
      report_fault(faults, RHUMB_FAULT_EXCLUDED_OFFSET, g, static_cast<uint32_t>(at));
    }
  }
  for (int64_t g = thread / kWarp; g < n.groups; g += threads / kWarp) {
    const int64_t from = excluded_from(n, g);
    const int64_t to = excluded_from(n, g + 1);
    for (int64_t i = from + threadIdx.x % kWarp; i < to; i += kWarp) {
      const int32_t item = n.excluded[i];
      if (item <= (i == from ? 0 : n.excluded[i - 1]) || item >= n.classes) {
        report_fault(faults, RHUMB_FAULT_EXCLUDED, g, static_cast<uint32_t>(item));
      }
    }
    if (to - from >= n.classes - 1) {
      report_fault(faults, RHUMB_FAULT_NOTHING_TO_DRAW, g, 0);
    }
  }
}

// The class that random bits draw for a row; -1 where there is none.
__device__ int32_t draw(const Negatives &n, uint32_t bits, int64_t row, int64_t from, int64_t to) {
  const int64_t pool = n.groups == 0 ? n.classes - 2 : n.classes - 1 - (to - from);
  if (pool <= 0) {
    return -1;
  }
  const int64_t place = 1 + static_cast<int64_t>(static_cast<uint64_t>(bits) * static_cast<uint64_t>(pool) >> 32);
  if (n.groups == 0) {
    return static_cast<int32_t>(place >= n.targets[row] ? place + 1 : place);
  }
  // Of the excluded, those i with excluded[i] - i <= place stand before the class sought.
  int64_t low = 0;
  int64_t high = to - from;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (n.excluded[from + middle] - middle <= place) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return static_cast<int32_t>(place + low);
}

// Thread (row of a chunk, counter of Philox): classes (rows, 1 + negatives), the target's first; a counter gives 4 of them.
__global__ void __launch_bounds__(kThreads)
    draw_entries(Negatives n, int64_t row0, int64_t rows, int64_t negatives, int64_t key, int64_t stream,
                 int32_t *classes) {
  const int64_t counters = (negatives + 63) / 64 * 16;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = row0 + thread / counters;
  if (row >= row0 + rows) {
    return;
  }
  const int64_t counter = thread % counters;
  int32_t *entries = classes + (row - row0) * (1 + negatives);
  const bool good = good_target(n, n.targets[row]);
  if (counter == 0) {
    entries[0] = good ? n.targets[row] : -1;
  }
  int64_t from = 0;
  int64_t to = 0;
  if (n.groups > 0) {
    int64_t low = 0;  // the first group that ends behind the row
    int64_t high = n.groups - 1;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (n.group_offsets[middle + 1] <= row) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    from = excluded_from(n, low);
    to = max(from, excluded_from(n, low + 1));
  }
  const PhiloxWords words = philox_words(key, stream, static_cast<uint32_t>(row), static_cast<uint32_t>(counter));
  for (int k = 0; k < 4; k++) {
    const int64_t j = counter / 16 * 64 + counter % 16 + 16 * k;
    if (j < negatives) {
      entries[1 + j] = good ? draw(n, words.word[k], row, from, to) : -1;
    }
  }
}

// Warp (32 entries): each one's score, by 8 lanes, then its loss and slope. loss_parts (blocks), summed in double.
__global__ void __launch_bounds__(kThreads)
    score_entries(int64_t count, int64_t each, int64_t width, bool vector, const float *h, const float *w,
                  const int32_t *classes, float positive_weight, float share, float *slopes, double *loss_parts) {
  constexpr int kTogether = 8;
  const int lane = static_cast<int>(threadIdx.x) % kTogether;
  const int64_t mine = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  float score = 0;
#pragma unroll 4
  for (int i = 0; i < kTogether; i++) {
    const int64_t e = mine - lane + i;
    const int32_t c = e < count ? classes[e] : -1;
    float dot = 0;
    if (c >= 0) {
      const float *a = h + e / each * width;
      const float *b = w + c * width;
      if (vector) {
        for (int64_t d = 4 * lane; d < width; d += 4 * kTogether) {
          const float4 x = *reinterpret_cast<const float4 *>(a + d);
          const float4 y = *reinterpret_cast<const float4 *>(b + d);
          dot += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
        }
      } else {
        for (int64_t d = lane; d < width; d += kTogether) {
          dot += a[d] * b[d];
        }
      }
    }
    dot = warp_sum<float, kTogether>(dot);
    score = i == lane ? dot : score;
  }
  double loss = 0;
  if (mine < count) {
    const bool positive = mine % each == 0;
    // The target's part is weight log(1 + e^-s), a negative's log(1 + e^s).
    const float x = positive ? -score : score;
    const float u = expf(-fabsf(x));
    const float weight = classes[mine] < 0 ? 0 : positive ? positive_weight : 1;
    loss = static_cast<double>(weight) * (static_cast<double>(max(x, 0.0f)) + log1pf(u));
    if (slopes != nullptr) {
      const float slope = weight * share * (x >= 0 ? 1 : u) / (1 + u);
      slopes[mine] = positive ? -slope : slope;
    }
  }
  loss = block_sum<kThreads>(loss);
  if (threadIdx.x == 0) {
    loss_parts[blockIdx.x] = loss;
  }
}

constexpr int64_t kChunkEntries = int64_t{1} << 19;
constexpr int64_t kMostNegatives = int64_t{1} << 20;

// The workspace of binary cross-entropy: a chunk of rows at a time, one row at least.
struct BinaryPlan {
  int64_t chunk_rows;
  double *total;         // (1)
  double *loss_parts;    // (blocks of entries)
  int32_t *classes;      // (chunk_rows, 1 + negatives)
  float *slopes;         // (chunk_rows, 1 + negatives)
  EntriesPlan entries;
  int64_t bytes;
};

BinaryPlan binary_plan(int64_t rows, int64_t negatives, int64_t classes, int64_t width, void *scratch) {
  Scratch cut(scratch);
  BinaryPlan p{};
  const int64_t each = 1 + negatives;
  p.chunk_rows = max(int64_t{1}, min(rows, kChunkEntries / each));
  const int64_t entries = p.chunk_rows * each;
  p.total = cut.take<double>(1);
  p.loss_parts = cut.take<double>(ceil_div(entries, kThreads));
  p.classes = cut.take<int32_t>(entries);
  p.slopes = cut.take<float>(entries);
  p.entries = entries_plan(cut, entries, classes, width);
  p.bytes = cut.bytes();
  return p;
}

template <class Tile>
int softmax_cross_entropy(int precision, const Scores &s, const Passes &p, float *loss, float *dh, float *dw,
                          uint64_t *faults, cudaStream_t stream, const char *call) {
  if (const int status = softmax_loss<Tile>(s, s.classes, p, loss, faults, stream, call)) {
    return status;
  }
  if (dh == nullptr) {
    return RHUMB_OK;
  }
  if (const int status = zero(dh, s.rows * s.width, stream, call)) {
    return status;
  }
  return softmax_gradient<Tile>(precision, s, p, dh, dw, stream, call);
}

template <class Tile>
int sampled_softmax_cross_entropy(int precision, const Scores &s, int64_t classes, const float *w, const SampledPlan &p,
                                  float *loss, float *dh, float *dw, uint64_t *faults, cudaStream_t stream,
                                  const char *call) {
  if (const int status = softmax_loss<Tile>(s, classes, p.passes, loss, faults, stream, call)) {
    return status;
  }
  if (dh == nullptr) {
    return RHUMB_OK;
  }
  if (const int status = zero(dh, s.rows * s.width, stream, call)) {
    return status;
  }
  if (s.classes > 0) {
    if (const int status = zero(p.sampled_slopes, s.classes * s.width, stream, call)) {
      return status;
    }
    if (const int status = softmax_gradient<Tile>(precision, s, p.passes, dh, p.sampled_slopes, stream, call)) {
      return status;
    }
    RHUMB_LAUNCH(add_sample, blocks_of(s.classes, 1), dim3(kThreads), 0, stream, classes, s.width, p.sampled_slopes,
                 s.sample, dw);
  }
  RHUMB_LAUNCH(target_entries, blocks_of(s.rows, kThreads), dim3(kThreads), 0, stream, s.rows, classes, s.targets,
               p.passes.target_scores, p.passes.softmax, p.classes, p.slopes);
  if (const int status = check(cudaGetLastError(), call)) {
    return status;
  }
  return add_gradients({s.rows, 1, p.classes, p.slopes}, classes, s.width, s.h, w, dh, dw, p.entries,
                       stream, call);
}

}  // namespace

int64_t rhumb_softmax_cross_entropy_scratch(int64_t rows, int64_t classes, int64_t width) {
  Scratch cut(nullptr);
  passes_of(cut, rows, classes, width);
  return cut.bytes();
}

int rhumb_softmax_cross_entropy(int precision, int64_t rows, int64_t classes, int64_t width, const float *d_h,
                                const float *d_w, const int32_t *d_targets, float *d_loss, float *d_dh, float *d_dw,
                                void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults, void *stream) {
  const char *const call = "rhumb_softmax_cross_entropy";
  const auto queue = static_cast<cudaStream_t>(stream);
  if (const int status = check_precision(call, precision)) {
    return status;
  }
  const int status = begin(call, rows, classes, width, d_h, d_w, d_targets, d_loss, d_dh, d_dw, d_faults, d_scratch,
                           scratch_bytes, rhumb_softmax_cross_entropy_scratch(rows, classes, width), queue);
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  Scratch cut(d_scratch);
  const Passes p = passes_of(cut, rows, classes, width);
  const bool vector = aligned16(d_h, width) && aligned16(d_w, width);
  const Scores s{d_h, d_w, rows, classes, width, vector, d_targets, nullptr, nullptr};
  const bool bf16 = precision == RHUMB_BF16;
  const auto run = width <= 32 ? bf16 ? softmax_cross_entropy<Bf16Tile<32>> : softmax_cross_entropy<Fp32Tile<32>>
                   : bf16      ? softmax_cross_entropy<Bf16Tile<64>>
                               : softmax_cross_entropy<Fp32Tile<64>>;
  return run(precision, s, p, d_loss, d_dh, d_dw, d_faults, queue, call);
}

int64_t rhumb_sampled_softmax_cross_entropy_scratch(int64_t rows, int64_t negatives, int64_t classes, int64_t width) {
  return sampled_plan(rows, negatives, classes, width, nullptr).bytes;
}

int rhumb_sampled_softmax_cross_entropy(int precision, int64_t rows, int64_t negatives, int64_t classes, int64_t width,
                                        const float *d_h, const float *d_w, const int32_t *d_targets,
                                        const int32_t *d_sample, const float *d_bias, const float *d_target_bias,
                                        float *d_loss, float *d_dh, float *d_dw, void *d_scratch, int64_t scratch_bytes,
                                        uint64_t *d_faults, void *stream) {
  const char *const call = "rhumb_sampled_softmax_cross_entropy";
  const auto queue = static_cast<cudaStream_t>(stream);
  if (const int status = check_precision(call, precision)) {
    return status;
  }
  if (const int status = check_counts(call, {{"negatives", negatives}})) {
    return status;
  }
  if (negatives > 0) {
    if (const int status = check_pointers(call, {{"d_sample", d_sample}, {"d_bias", d_bias}})) {
      return status;
    }
  }
  if (const int status = check_pointers(call, {{"d_target_bias", d_target_bias}})) {
    return status;
  }
  const int status =
      begin(call, rows, classes, width, d_h, d_w, d_targets, d_loss, d_dh, d_dw, d_faults, d_scratch, scratch_bytes,
            rhumb_sampled_softmax_cross_entropy_scratch(rows, negatives, classes, width), queue);
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  const SampledPlan p = sampled_plan(rows, negatives, classes, width, d_scratch);
  if (negatives > 0) {
    RHUMB_LAUNCH(gather_sample, blocks_of(negatives, 1), dim3(kThreads), 0, queue, classes, width, d_w, d_sample,
                 p.sampled, d_faults);
  }
  RHUMB_LAUNCH(score_targets, blocks_of(rows, kWarps), dim3(kThreads), 0, queue, rows, classes, width, d_h, d_w,
               d_targets, d_target_bias, p.passes.target_scores);
  if (const int launched = check(cudaGetLastError(), call)) {
    return launched;
  }
  // Without negatives, d_sample may be NULL, but must not be: it says that this is sampled softmax.
  const int32_t *sample = negatives > 0 ? d_sample : p.classes;
  const float *bias = negatives > 0 ? d_bias : p.slopes;
  const Scores s{d_h,       p.sampled, rows,   negatives, width, aligned16(d_h, width),
                 d_targets, sample,    bias};
  const bool bf16 = precision == RHUMB_BF16;
  const auto run = width <= 32 ? bf16 ? sampled_softmax_cross_entropy<Bf16Tile<32>>
                                      : sampled_softmax_cross_entropy<Fp32Tile<32>>
                   : bf16      ? sampled_softmax_cross_entropy<Bf16Tile<64>>
                               : sampled_softmax_cross_entropy<Fp32Tile<64>>;
  return run(precision, s, classes, d_w, p, d_loss, d_dh, d_dw, d_faults, queue, call);
}

int64_t rhumb_binary_cross_entropy_scratch(int64_t rows, int64_t negatives, int64_t classes, int64_t width) {
  return binary_plan(rows, negatives, classes, width, nullptr).bytes;
}

int rhumb_binary_cross_entropy(int64_t rows, int64_t negatives, int64_t classes, int64_t width, const float *d_h,
                               const float *d_w, const int32_t *d_targets, int64_t groups,
                               const int32_t *d_group_offsets, const int32_t *d_excluded_offsets,
                               const int32_t *d_excluded, int64_t excluded_count, int64_t key, int64_t offset,
                               float positive_weight, float *d_loss, float *d_dh, float *d_dw, void *d_scratch,
                               int64_t scratch_bytes, uint64_t *d_faults, void *stream) {
  const char *const call = "rhumb_binary_cross_entropy";
  const auto queue = static_cast<cudaStream_t>(stream);
  if (const int status = check_counts(call, {{"groups", groups}, {"excluded_count", excluded_count}})) {
    return status;
  }
  if (negatives < 1 || negatives > kMostNegatives || classes < 3) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: %lld negatives of %lld classes, but it takes 1 to %lld of 3 at least", call,
                static_cast<long long>(negatives), static_cast<long long>(classes),
                static_cast<long long>(kMostNegatives));
  }
  if (groups > 0) {
    if (const int status = check_pointers(
            call, {{"d_group_offsets", d_group_offsets}, {"d_excluded_offsets", d_excluded_offsets}})) {
      return status;
    }
  }
  if (excluded_count > 0 && groups > 0) {
    if (const int status = check_pointers(call, {{"d_excluded", d_excluded}})) {
      return status;
    }
  }
  const int status =
      begin(call, rows, classes, width, d_h, d_w, d_targets, d_loss, d_dh, d_dw, d_faults, d_scratch, scratch_bytes,
            rhumb_binary_cross_entropy_scratch(rows, negatives, classes, width), queue);
  if (status != RHUMB_OK) {
    return status;
  }
  const Negatives n{rows,       classes,       d_targets, groups, d_group_offsets, d_excluded_offsets, d_excluded,
                    excluded_count};
  const BinaryPlan p = binary_plan(rows, negatives, classes, width, d_scratch);
  constexpr int64_t kMostCheckers = 1024;
  const int64_t checkers = max(int64_t{1}, min(kMostCheckers, ceil_div(max(rows, groups + 1), kThreads)));
  RHUMB_LAUNCH(check_negatives, dim3(static_cast<unsigned>(checkers)), dim3(kThreads), 0, queue, n, d_faults);
  if (d_dh != nullptr && rows > 0) {
    if (const int zeroed = zero(d_dh, rows * width, queue, call)) {
      return zeroed;
    }
  }
  const int64_t each = 1 + negatives;
  const double share = 1 / (static_cast<double>(rows) * static_cast<double>(each));
  for (int64_t row0 = 0; row0 < rows; row0 += p.chunk_rows) {
    const int64_t here = min(p.chunk_rows, rows - row0);
    const Entries entries{here * each, each, p.classes, p.slopes};
    const float *h = d_h + row0 * width;
    RHUMB_LAUNCH(draw_entries, blocks_of(here * (ceil_div(negatives, 64) * 16), kThreads), dim3(kThreads), 0, queue, n,
                 row0, here, negatives, key, offset, p.classes);
    const dim3 blocks = blocks_of(entries.count, kThreads);
    RHUMB_LAUNCH(score_entries, blocks, dim3(kThreads), 0, queue, entries.count, each, width,
                 aligned16(d_h, width) && aligned16(d_w, width), h, d_w, p.classes, positive_weight,
                 static_cast<float>(share), d_dh == nullptr ? nullptr : p.slopes, p.loss_parts);
    RHUMB_LAUNCH(sum_loss, dim3(1), dim3(kThreads), 0, queue, blocks.x, p.loss_parts, row0 == 0, share, p.total,
                 d_loss);
    if (const int launched = check(cudaGetLastError(), call)) {
      return launched;
    }
    if (d_dh != nullptr) {
      if (const int added = add_gradients(entries, classes, width, h, d_w, d_dh + row0 * width, d_dw, p.entries, queue,
                                          call)) {
        return added;
      }
    }
  }
  return check(cudaGetLastError(), call);
}
