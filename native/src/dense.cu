// Matrix products, sums and what follows a product.
//
// The product has five versions. All sum in float32, each element of C over k in chains of kChain terms at most, whose sums
// are summed in turn: short chains round less, and tensor cores may even cut what they sum. The shape alone says which
// terms are a chain:
//
//   few         one thread an element: a few elements of a few terms. The plain loop.
//   rows_of     one row (or up to 8) of A by a B (k, n): B is streamed once, a warp taking 32 columns of every eighth row.
//   dots        the same by a transposed B (n, k): eight threads take a row of B, 16 bytes each.
//   tiles       everything else: tiles of 128 x 128 or 64 x 64 of C, 8 x 8 or 4 x 4 a thread, the operands in shared
//               memory and the next ones on their way to it.
//   tiles_bf16  the same from operands rounded to bf16, on tensor cores: 64 x 32 or 32 x 32 a warp. The first three round
//               them in registers.
//
// Where C has too few tiles to fill a GPU and k is long (the gradient of a weight), blocks divide k among them, leave
// their parts in scratch, and `join` sums those. The sum of a matrix's columns is the product of a row of ones by it.
#include "activation.h"
#include "bf16.h"
#include "elementwise.h"
#include "reduce.h"

namespace {

using rhumb::ceil_div;
using rhumb::kWarp;

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;
constexpr int kDepth = 16;     // what parts of k are multiples of
constexpr int kFewRows = 8;    // of A, for rows_of and dots
constexpr int kColumns = 32;   // of C that a block of rows_of, dots or join makes
constexpr int kChain = 64;     // terms that are summed one after another; a multiple of what any version takes at a time
constexpr int kGroup = 8;      // rows of tiles whose blocks run side by side, so that they share B's tiles in the cache
constexpr int64_t kBlocks = 264;       // that a GPU should have to run, for it to be busy
constexpr int64_t kLeastTerms = 128;   // of a part of a divided k
constexpr int64_t kMostTerms = 1 << 30;   // likewise, so that an int counts them
constexpr int64_t kMostTiles = 0x7fffffff;

struct Product {
  int64_t m, n, k;
  const float *a;  // op(A) (m, k); NULL in rows_of: ones
  int64_t a_stride;
  bool a_aligned;
  const float *b;  // op(B) (k, n)
  int64_t b_stride;
  bool b_aligned;
  float alpha, beta;
  float *c;  // (m, n)
  int64_t c_stride;
  bool c_aligned;
  const float *bias;  // (n) or NULL
  int activation;
  int64_t terms;    // of k for each part
  int64_t parts;    // 1: C is written at once
  float *partials;  // (parts, m, n)
};

// C before its activation, at one place.
__device__ __forceinline__ float blend(const Product &p, int64_t row, int64_t col, float sum) {
  float value = p.alpha * sum;
  if (p.beta != 0) {
    value += p.beta * p.c[row * p.c_stride + col];
  }
  return p.bias == nullptr ? value : value + p.bias[col];
}

// What a block's sum at one place becomes: an element of C, or of its part.
__device__ __forceinline__ void put(const Product &p, int64_t part, int64_t row, int64_t col, float sum) {
  if (p.parts > 1) {
    p.partials[(part * p.m + row) * p.n + col] = sum;
  } else {
    p.c[row * p.c_stride + col] = rhumb::activate(p.activation, blend(p, row, col, sum));
  }
}

// An operand as it enters a product.
template <bool kBf16>
__device__ __forceinline__ float operand(float x) {
  return kBf16 ? rhumb::to_bf16(x) : x;
}

// --- few -------------------------------------------------------------------------------------------------------------

template <bool kBf16>
__global__ void __launch_bounds__(kBlock) few(Product p, bool trans_a, bool trans_b) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= p.m * p.n) {
    return;
  }
  const int64_t row = i / p.n;
  const int64_t col = i % p.n;
  float sum = 0;
  for (int64_t t = 0; t < p.k; t++) {
    const float a = trans_a ? p.a[t * p.a_stride + row] : p.a[row * p.a_stride + t];
    const float b = trans_b ? p.b[col * p.b_stride + t] : p.b[t * p.b_stride + col];
    sum = fmaf(operand<kBf16>(a), operand<kBf16>(b), sum);
  }
  put(p, 0, row, col, sum);
}

// --- rows_of, dots ---------------------------------------------------------------------------------------------------

// Block (x, z): columns 32 x and on, part z of k. kRows: m or more of it.
template <int kRows, bool kBf16>
__global__ void __launch_bounds__(kBlock) rows_of(Product p) {
  __shared__ float sums[kWarps][kRows][kColumns];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kColumns + lane;
  const int64_t from = blockIdx.z * p.terms;
  const int64_t to = min(p.k, from + p.terms);
  float total[kRows] = {};
  if (col < p.n) {
    const float *b = p.b + (from + warp) * p.b_stride + col;  // (k, n)
    for (int64_t t = from + warp; t < to;) {
      const int64_t end = min(to, t + kChain * kWarps);
      float sum[kRows] = {};
#pragma unroll 4
      for (; t < end; t += kWarps) {
        const float weight = operand<kBf16>(*b);
        b += kWarps * p.b_stride;
#pragma unroll
        for (int r = 0; r < kRows; r++) {
          const float x = p.a == nullptr ? 1 : operand<kBf16>(__ldg(p.a + (r < p.m ? r : 0) * p.a_stride + t));
          sum[r] = fmaf(x, weight, sum[r]);
        }
      }
#pragma unroll
      for (int r = 0; r < kRows; r++) {
        total[r] += sum[r];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    sums[warp][r][lane] = total[r];
  }
  __syncthreads();
  for (int r = warp; r < kRows; r += kWarps) {
    float all = 0;
    for (int w = 0; w < kWarps; w++) {
      all += sums[w][r][lane];
    }
    if (r < p.m && col < p.n) {
      put(p, blockIdx.z, r, col, all);
    }
  }
}

constexpr int kDotLanes = 8;
constexpr int kDotBlock = 128;

// Block (x, z): columns 32 x and on, part z of k; eight threads take two of the columns. kRows: m or more of it.
template <int kRows, bool kBf16>
__global__ void __launch_bounds__(kDotBlock) dots(Product p) {
  constexpr int kGroups = kDotBlock / kDotLanes;
  const int lane = threadIdx.x % kDotLanes;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x / kDotLanes;
  const int64_t from = blockIdx.z * p.terms;
  const int64_t to = min(p.k, from + p.terms);
  // A column past the last is another's twin, and not written.
  const float *b0 = p.b + min(first, p.n - 1) * p.b_stride;            // (n, k)
  const float *b1 = p.b + min(first + kGroups, p.n - 1) * p.b_stride;  // (n, k)
  float total[2][kRows] = {};
  for (int64_t t = from + 4 * lane; t < to;) {
    const int64_t end = min(to, t + kChain * kDotLanes);
    float sum[2][kRows] = {};
#pragma unroll 2
    for (; t < end; t += 4 * kDotLanes) {
      float weight[2][4];
      rhumb::load4(b0 + t, to - t, p.b_aligned, weight[0]);
      rhumb::load4(b1 + t, to - t, p.b_aligned, weight[1]);
#pragma unroll
      for (int r = 0; r < kRows; r++) {
        float x[4];
        rhumb::load4(p.a + (r < p.m ? r : 0) * p.a_stride + t, to - t, p.a_aligned, x);
#pragma unroll
        for (int j = 0; j < 2; j++) {
#pragma unroll
          for (int i = 0; i < 4; i++) {
            sum[j][r] = fmaf(operand<kBf16>(x[i]), operand<kBf16>(weight[j][i]), sum[j][r]);
          }
        }
      }
    }
#pragma unroll
    for (int j = 0; j < 2; j++) {
#pragma unroll
      for (int r = 0; r < kRows; r++) {
        total[j][r] += sum[j][r];
      }
    }
  }
#pragma unroll
  for (int j = 0; j < 2; j++) {
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      const float all = rhumb::warp_sum<float, kDotLanes>(total[j][r]);
      const int64_t col = first + j * kGroups;
      if (lane == 0 && r < p.m && col < p.n) {
        put(p, blockIdx.z, r, col, all);
      }
    }
  }
}

// --- Where tiles lie and where they go ----------------------------------------------------------------------------------

struct Tile {
  int64_t row, col;  // its first
};

// The tile of C, of `side` rows and columns, that blockIdx.x makes.
__device__ __forceinline__ Tile tile_of_block(const Product &p, int side) {
  const int down = static_cast<int>((p.m + side - 1) / side);
  const int across = static_cast<int>((p.n + side - 1) / side);
  const int group = blockIdx.x / (kGroup * across);
  const int within = blockIdx.x % (kGroup * across);
  const int high = min(kGroup, down - group * kGroup);
  return {int64_t{side} * (group * kGroup + within % high), int64_t{side} * (within / high)};
}

// What the tiles of a part write: C itself where there is one part alone.
struct Target {
  bool whole;
  float *to;  // (m, n)
  int64_t stride;
  bool aligned;
};

__device__ __forceinline__ Target target_of_block(const Product &p) {
  if (p.parts == 1) {
    return {true, p.c, p.c_stride, p.c_aligned};
  }
  return {false, p.partials + blockIdx.z * p.m * p.n, p.n, p.n % 4 == 0};
}

// The sums of a chain onto those of the chains before.
template <class Sums>
__device__ __forceinline__ void end_chain(Sums &sums, Sums &totals) {
  constexpr int kCount = sizeof(Sums) / sizeof(float);
  float *sum = reinterpret_cast<float *>(&sums);
  float *total = reinterpret_cast<float *>(&totals);
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    total[i] += sum[i];
    sum[i] = 0;
  }
}

// --- tiles -----------------------------------------------------------------------------------------------------------

// Lines of k that a tile of 64 kSide holds at once: so many that each thread copies four floats of each operand.
template <int kSide>
constexpr int kLines = kDepth / kSide;

// Where row (or column) i of a tile stands in line t of its shared memory: moved by a multiple of 8 floats, so that the
// lines that a warp writes at once lie in different banks, and 16-byte reads stay whole.
template <int kSide>
__device__ __forceinline__ int place(int t, int i) {
  return i ^ (t / 4 * 8 * kSide);
}

// A block's copier of an operand X into tile[t][i], t of k and i of 64 kSide rows of op(A) or columns of op(B) from
// `first` of `extent` on. kAlongK: X is stored (extent, k), else (k, extent).
template <int kSide, bool kAlongK>
class Copier {
 public:
  __device__ __forceinline__ Copier(const float *x, int64_t stride, bool aligned, int64_t first, int64_t extent,
                                    int64_t from)
      : step_(kAlongK ? kLines<kSide> : kLines<kSide> * stride), aligned_(aligned) {
    const int64_t i = first + across();
    left_ = static_cast<int>(max(int64_t{0}, min(int64_t{4}, extent - i)));
    at_ = x + (kAlongK ? i * stride + from + down() : (from + down()) * stride + i);
  }

  // The next lines into registers; `terms` are left.
  __device__ __forceinline__ void fetch(int terms) {
    const int here = terms - down();
    rhumb::load4(at_, kAlongK ? (left_ > 0 ? here : 0) : (here > 0 ? left_ : 0), aligned_, held_);
    at_ += step_;
  }

  // The lines fetched last into shared memory.
  __device__ __forceinline__ void store(float (*tile)[64 * kSide]) const {
    const int t = down();
    if (kAlongK) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        tile[t + j][place<kSide>(t, across())] = held_[j];
      }
    } else {
      rhumb::store4(&tile[t][place<kSide>(t, across())], 4, true, held_);
    }
  }

 private:
  static constexpr int kQuads = kAlongK ? kLines<kSide> / 4 : 16 * kSide;  // in a row of the tile as X stores it

  // Where this thread's four floats are: their line t of k, and their i.
  __device__ __forceinline__ static int down() {
    const int thread = static_cast<int>(threadIdx.x);
    return kAlongK ? thread % kQuads * 4 : thread / kQuads;
  }
  __device__ __forceinline__ static int across() {
    const int thread = static_cast<int>(threadIdx.x);
    return kAlongK ? thread / kQuads : thread % kQuads * 4;
  }

  const float *at_;
  int64_t step_;
  float held_[4];
  int left_;
  bool aligned_;
};

// Block (x, z): a tile of C of 64 kSide rows and columns, part z of k. A thread has kSide x kSide squares of 4 x 4, 64
// apart; the threads of a warp stand 4 down and 8 across, so that it reads at most 128 bytes of shared memory at once.
template <int kSide, bool kTransA, bool kTransB>
__global__ void __launch_bounds__(kBlock, kSide == 1 ? 2 : 1) tiles(Product p) {
  constexpr int kTile = 64 * kSide;
  __shared__ __align__(16) float a_tile[2][kLines<kSide>][kTile];
  __shared__ __align__(16) float b_tile[2][kLines<kSide>][kTile];

  const Tile tile = tile_of_block(p, kTile);
  const int64_t from = blockIdx.z * p.terms;
  int terms = static_cast<int>(min(p.k - from, p.terms));

  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int y = 4 * (warp / 2 * 4 + lane / 8);
  const int x = 4 * (warp % 2 * 8 + lane % 8);

  float total[kSide][4][kSide][4] = {};
  float sum[kSide][4][kSide][4] = {};
  Copier<kSide, !kTransA> a(p.a, p.a_stride, p.a_aligned, tile.row, p.m, from);
  Copier<kSide, kTransB> b(p.b, p.b_stride, p.b_aligned, tile.col, p.n, from);
  a.fetch(terms);
  b.fetch(terms);
  a.store(a_tile[0]);
  b.store(b_tile[0]);
  __syncthreads();
  int chain = 0;
  for (int now = 0; terms > 0; now ^= 1) {
    terms -= kLines<kSide>;
    if (terms > 0) {
      a.fetch(terms);
      b.fetch(terms);
    }
#pragma unroll 4
    for (int t = 0; t < kLines<kSide>; t++) {
      float left[kSide][4];
      float right[kSide][4];
#pragma unroll
      for (int s = 0; s < kSide; s++) {
        rhumb::load4(&a_tile[now][t][place<kSide>(t, y) + 64 * s], 4, true, left[s]);
        rhumb::load4(&b_tile[now][t][place<kSide>(t, x) + 64 * s], 4, true, right[s]);
      }
#pragma unroll
      for (int s = 0; s < kSide; s++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
          for (int u = 0; u < kSide; u++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
              sum[s][i][u][j] = fmaf(left[s][i], right[u][j], sum[s][i][u][j]);
            }
          }
        }
      }
    }
    chain += kLines<kSide>;
    if (chain == kChain || terms <= 0) {
      chain = 0;
      end_chain(sum, total);
    }
    if (terms > 0) {
      a.store(a_tile[now ^ 1]);
      b.store(b_tile[now ^ 1]);
      __syncthreads();
    }
  }

  const Target c = target_of_block(p);
#pragma unroll
  for (int u = 0; u < kSide; u++) {
    const int64_t col = tile.col + 64 * u + x;
    float bias[4] = {};
    if (c.whole && p.bias != nullptr) {
      rhumb::load4(p.bias + col, p.n - col, false, bias);
    }
#pragma unroll
    for (int s = 0; s < kSide; s++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int64_t row = tile.row + 64 * s + y + i;
        if (row >= p.m) {
          continue;
        }
        float *at = c.to + row * c.stride + col;
        float value[4];
        float before[4] = {};
        if (c.whole && p.beta != 0) {
          rhumb::load4(at, p.n - col, c.aligned, before);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const float here = total[s][i][u][j];
          value[j] = c.whole ? p.alpha * here + p.beta * before[j] + bias[j] : here;
        }
        rhumb::store4(at, p.n - col, c.aligned, value);
      }
    }
  }
  if (!c.whole || p.activation == RHUMB_NONE) {
    return;
  }
  // Each thread takes up what it has just stored, in a loop that is not unrolled: the functions would stand here 64
  // times.
#pragma unroll 1
  for (int e = 0; e < 4 * kSide * kSide; e++) {
    const int64_t row = tile.row + 64 * (e / 4 % kSide) + y + e % 4;
    const int64_t col = tile.col + 64 * (e / 4 / kSide) + x;
    if (row < p.m) {
      float value[4];
      rhumb::load4(c.to + row * c.stride + col, p.n - col, c.aligned, value);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        value[j] = rhumb::activate(p.activation, value[j]);
      }
      rhumb::store4(c.to + row * c.stride + col, p.n - col, c.aligned, value);
    }
  }
}

// --- tiles_bf16 ------------------------------------------------------------------------------------------------------

constexpr int kBf16Depth = 32;  // terms of k that a tile holds at once

// Elements of a row of a tile of 64 kSide rows or columns, and of the whole.
template <int kSide, bool kAlongK>
constexpr int kBf16Stride = (kAlongK ? kBf16Depth : 64 * kSide) + rhumb::kBf16Pad;
template <int kSide, bool kAlongK>
constexpr int kBf16Elements = (kAlongK ? 64 * kSide : kBf16Depth) * kBf16Stride<kSide, kAlongK>;

// A block's copier of an operand into a tile, as Copier is; the tile holds it as it is stored.
template <int kSide, bool kAlongK>
class Bf16Copier {
 public:
  __device__ __forceinline__ Bf16Copier(const float *x, int64_t stride, bool aligned, int64_t first, int64_t extent,
                                        int64_t from)
      : at_(kAlongK ? x + (first + down()) * stride + from + across() : x + (from + down()) * stride + first + across()),
        stride_(stride),
        left_(static_cast<int>(
            max(int64_t{0}, min(int64_t{64 * kSide}, extent - first - (kAlongK ? down() : across()))))),
        aligned_(aligned) {}

  // The next kBf16Depth of k into registers; `terms` are left.
  __device__ __forceinline__ void fetch(int terms) {
    const int here = terms - (kAlongK ? across() : down());
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const bool there = kStep * q < (kAlongK ? left_ : here);
      rhumb::load4(at_ + kStep * q * stride_, there ? (kAlongK ? here : left_) : 0, aligned_, held_[q]);
    }
    at_ += kAlongK ? kBf16Depth : kBf16Depth * stride_;
  }

  // What was fetched last into shared memory.
  __device__ __forceinline__ void store(__nv_bfloat16 *tile) const {
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      rhumb::store4_bf16(tile + (down() + kStep * q) * kBf16Stride<kSide, kAlongK> + across(), held_[q]);
    }
  }

 private:
  static constexpr int kThreads = 128 * kSide;
  static constexpr int kWidth = kAlongK ? kBf16Depth : 64 * kSide;     // of a row of the tile
  static constexpr int kQuads = 64 * kSide * kBf16Depth / 4 / kThreads;  // of a thread, in rows kStep apart
  static constexpr int kStep = 4 * kThreads / kWidth;

  __device__ __forceinline__ static int down() { return static_cast<int>(threadIdx.x) / (kWidth / 4); }
  __device__ __forceinline__ static int across() { return static_cast<int>(threadIdx.x) % (kWidth / 4) * 4; }

  const float *at_;
  int64_t stride_;
  float held_[kQuads][4];
  int left_;  // rows or columns of the operand from this thread's first on
  bool aligned_;
};

// Two neighbours of C's row, or those of them that are in it.
__device__ __forceinline__ void load_pair(const float *from, int64_t left, bool aligned, float (&x)[2]) {
  if (aligned && left >= 2) {
    const float2 both = *reinterpret_cast<const float2 *>(from);
    x[0] = both.x;
    x[1] = both.y;
    return;
  }
  x[0] = left > 0 ? from[0] : 0;
  x[1] = left > 1 ? from[1] : 0;
}
__device__ __forceinline__ void store_pair(float *to, int64_t left, bool aligned, const float (&x)[2]) {
  if (aligned && left >= 2) {
    *reinterpret_cast<float2 *>(to) = make_float2(x[0], x[1]);
    return;
  }
  if (left > 0) {
    to[0] = x[0];
  }
  if (left > 1) {
    to[1] = x[1];
  }
}

// Block (x, z): a tile of C of 64 kSide rows and columns, part z of k; a warp has 32 kSide rows and 32 columns of it, two
// warps stand down.
template <int kSide, bool kTransA, bool kTransB>
__global__ void __launch_bounds__(128 * kSide, kSide == 1 ? 3 : 1) tiles_bf16(Product p) {
  constexpr int kTile = 64 * kSide;
  constexpr int kDown = 2 * kSide;  // fragments of a warp
  constexpr int kAcross = 4;
  __shared__ __align__(16) __nv_bfloat16 a_tile[2][kBf16Elements<kSide, !kTransA>];
  __shared__ __align__(16) __nv_bfloat16 b_tile[2][kBf16Elements<kSide, kTransB>];

  const Tile tile = tile_of_block(p, kTile);
  const Target c = target_of_block(p);
  const int64_t from = blockIdx.z * p.terms;
  int terms = static_cast<int>(min(p.k - from, p.terms));

  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int y = warp % 2 * 16 * kDown;
  const int x = warp / 2 * 8 * kAcross;

  float total[kDown][kAcross][4] = {};
  float sum[kDown][kAcross][4] = {};
  Bf16Copier<kSide, !kTransA> a(p.a, p.a_stride, p.a_aligned, tile.row, p.m, from);
  Bf16Copier<kSide, kTransB> b(p.b, p.b_stride, p.b_aligned, tile.col, p.n, from);
  a.fetch(terms);
  b.fetch(terms);
  a.store(a_tile[0]);
  b.store(b_tile[0]);
  __syncthreads();
  int chain = 0;
  for (int now = 0; terms > 0; now ^= 1) {
    terms -= kBf16Depth;
    if (terms > 0) {
      a.fetch(terms);
      b.fetch(terms);
    }
#pragma unroll
    for (int k = 0; k < kBf16Depth; k += 16) {
      uint32_t left[kDown][4];
      uint32_t right[kAcross][2];
#pragma unroll
      for (int i = 0; i < kDown; i++) {
        rhumb::load_a<!kTransA, kBf16Stride<kSide, !kTransA>>(left[i], a_tile[now], y + 16 * i, k);
      }
#pragma unroll
      for (int j = 0; j < kAcross; j += 2) {
        uint32_t two[2][2];
        rhumb::load_b<kTransB, kBf16Stride<kSide, kTransB>>(two, b_tile[now], x + 8 * j, k);
        right[j][0] = two[0][0];
        right[j][1] = two[0][1];
        right[j + 1][0] = two[1][0];
        right[j + 1][1] = two[1][1];
      }
#pragma unroll
      for (int i = 0; i < kDown; i++) {
#pragma unroll
        for (int j = 0; j < kAcross; j++) {
          rhumb::mma_bf16_16816(sum[i][j], left[i], right[j]);
        }
      }
    }
    chain += kBf16Depth;
    if (terms <= 0 || chain == kChain) {
      chain = 0;
      end_chain(sum, total);
    }
    if (terms > 0) {
      a.store(a_tile[now ^ 1]);
      b.store(b_tile[now ^ 1]);
      __syncthreads();
    }
  }

  const bool pairs = c.stride % 2 == 0 && reinterpret_cast<uintptr_t>(c.to) % 8 == 0;
  const int64_t first_row = tile.row + y + lane / 4;
  const int64_t first_col = tile.col + x + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < kAcross; j++) {
    const int64_t col = first_col + 8 * j;
    float bias[2] = {};
    if (c.whole && p.bias != nullptr) {
      load_pair(p.bias + col, p.n - col, false, bias);
    }
#pragma unroll
    for (int i = 0; i < 2 * kDown; i++) {
      const int64_t row = first_row + 8 * i;
      if (row >= p.m) {
        continue;
      }
      float *at = c.to + row * c.stride + col;
      float value[2];
      float before[2] = {};
      if (c.whole && p.beta != 0) {
        load_pair(at, p.n - col, pairs, before);
      }
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const float here = total[i / 2][j][i % 2 * 2 + e];
        value[e] = c.whole ? p.alpha * here + p.beta * before[e] + bias[e] : here;
      }
      store_pair(at, p.n - col, pairs, value);
    }
  }
  if (!c.whole || p.activation == RHUMB_NONE) {
    return;
  }
  // As in tiles.
#pragma unroll 1
  for (int e = 0; e < 2 * kDown * kAcross; e++) {
    const int64_t row = first_row + 8 * (e / kAcross);
    const int64_t col = first_col + 8 * (e % kAcross);
    if (row < p.m) {
      float value[2];
      load_pair(c.to + row * c.stride + col, p.n - col, pairs, value);
      value[0] = rhumb::activate(p.activation, value[0]);
      value[1] = rhumb::activate(p.activation, value[1]);
      store_pair(c.to + row * c.stride + col, p.n - col, pairs, value);
    }
  }
}

// --- join ------------------------------------------------------------------------------------------------------------

// C from its parts. A block: 32 elements, eight threads to each, every eighth part to a thread.
__global__ void __launch_bounds__(kBlock) join(Product p) {
  __shared__ float sums[kWarps][kColumns];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t count = p.m * p.n;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kColumns + lane;
  float sum = 0;
  if (i < count) {
#pragma unroll 4
    for (int64_t part = warp; part < p.parts; part += kWarps) {
      sum += p.partials[part * count + i];
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && i < count) {
    sum = 0;
    for (int w = 0; w < kWarps; w++) {
      sum += sums[w][lane];
    }
    p.parts = 1;
    put(p, 0, i / p.n, i % p.n, sum);
  }
}

// --- Launches --------------------------------------------------------------------------------------------------------

// Divides k so that about kBlocks blocks run, whole tiles of depth to each part.
int64_t terms_of_part(int64_t blocks, int64_t k) {
  const int64_t parts = std::max<int64_t>(1, std::min(kBlocks / std::max<int64_t>(1, blocks), k / kLeastTerms));
  return std::max<int64_t>(kDepth, std::min(ceil_div(ceil_div(k, parts), kDepth) * kDepth, kMostTerms));
}

bool is_few(int64_t m, int64_t n, int64_t k) { return k <= kDepth && m <= 4096 && n <= 4096 && m * n <= 4096; }

// By 128 x 128 where that fills a GPU, else by 64 x 64.
bool takes_large_tiles(int64_t m, int64_t n) {
  return m > 64 && n > 64 && ceil_div(m, 128) * ceil_div(n, 128) >= kBlocks / 2;
}

int64_t tile_terms(int64_t m, int64_t n, int64_t k) {
  return takes_large_tiles(m, n) ? std::max<int64_t>(1, std::min(k, kMostTerms))
                                 : terms_of_part(ceil_div(m, 64) * ceil_div(n, 64), k);
}

int64_t row_terms(int64_t n, int64_t k) { return terms_of_part(ceil_div(n, kColumns), k); }

int64_t partial_bytes(int64_t m, int64_t n, int64_t k, int64_t terms) {
  const int64_t parts = ceil_div(k, terms);
  return parts > 1 ? parts * m * n * static_cast<int64_t>(sizeof(float)) : 0;
}

// Sets the parts of k; `terms` of each.
void divide(Product &p, int64_t terms, void *scratch) {
  p.terms = terms;
  p.parts = std::max<int64_t>(1, ceil_div(p.k, terms));
  p.partials = static_cast<float *>(scratch);
}

int launch_join(const char *call, const Product &p, cudaStream_t stream) {
  if (p.parts > 1) {
    const dim3 grid(static_cast<unsigned>(ceil_div(p.m * p.n, kColumns)));
    RHUMB_LAUNCH(join, grid, dim3(kBlock), 0, stream, p);
  }
  return rhumb::check(cudaGetLastError(), call);
}

template <int kRows, bool kBf16>
void launch_rows(const Product &p, bool trans_b, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(p.n, kColumns)), 1, static_cast<unsigned>(p.parts));
  if (trans_b) {
    RHUMB_LAUNCH((dots<kRows, kBf16>), grid, dim3(kDotBlock), 0, stream, p);
  } else {
    RHUMB_LAUNCH((rows_of<kRows, kBf16>), grid, dim3(kBlock), 0, stream, p);
  }
}

template <bool kBf16>
void launch_few_rows(const Product &p, bool trans_b, cudaStream_t stream) {
  const auto launch = p.m == 1   ? launch_rows<1, kBf16>
                      : p.m <= 4 ? launch_rows<4, kBf16>
                                 : launch_rows<kFewRows, kBf16>;
  launch(p, trans_b, stream);
}

template <int kSide>
void launch_tiles(const Product &p, bool bf16, bool trans_a, bool trans_b, cudaStream_t stream) {
  const int64_t count = ceil_div(p.m, 64 * kSide) * ceil_div(p.n, 64 * kSide);
  const dim3 grid(static_cast<unsigned>(count), 1, static_cast<unsigned>(p.parts));
  using Kernel = void (*)(Product);
  constexpr Kernel kernels[2][2][2] = {
      {{tiles<kSide, false, false>, tiles<kSide, false, true>}, {tiles<kSide, true, false>, tiles<kSide, true, true>}},
      {{tiles_bf16<kSide, false, false>, tiles_bf16<kSide, false, true>},
       {tiles_bf16<kSide, true, false>, tiles_bf16<kSide, true, true>}}};
  const Kernel kernel = kernels[bf16][trans_a][trans_b];
  RHUMB_LAUNCH(kernel, grid, dim3(bf16 ? 128 * kSide : kBlock), 0, stream, p);
}

}  // namespace

int64_t rhumb_gemm_scratch(int64_t m, int64_t n, int64_t k) {
  if (m <= 0 || n <= 0 || k <= 0 || is_few(m, n, k)) {
    return 0;
  }
  // With up to 8 rows, a transposed A decides which version runs.
  return std::max(partial_bytes(m, n, k, tile_terms(m, n, k)),
                  m <= kFewRows ? partial_bytes(m, n, k, row_terms(n, k)) : 0);
}

int rhumb_gemm(int precision, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *d_a,
               int64_t a_stride, const float *d_b, int64_t b_stride, float beta, float *d_c, int64_t c_stride,
               const float *d_bias, int activation, void *d_scratch, int64_t scratch_bytes, void *stream) {
  const char *call = "rhumb_gemm";
  int status = rhumb::check_counts(call, {{"m", m},
                                          {"n", n},
                                          {"k", k},
                                          {"a_stride", a_stride},
                                          {"b_stride", b_stride},
                                          {"c_stride", c_stride}});
  if (status == RHUMB_OK) {
    status = rhumb::check_activation(call, activation);
  }
  if (status == RHUMB_OK) {
    status = rhumb::check_precision(call, precision);
  }
  if (status != RHUMB_OK || m == 0 || n == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_c", d_c}});
  if (status == RHUMB_OK && k > 0) {
    status = rhumb::check_pointers(call, {{"d_a", d_a}, {"d_b", d_b}});
  }
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, rhumb_gemm_scratch(m, n, k));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  Product p{};
  p.m = m;
  p.n = n;
  p.k = k;
  p.a = d_a;
  p.a_stride = a_stride;
  p.a_aligned = rhumb::aligned16(d_a, a_stride);
  p.b = d_b;
  p.b_stride = b_stride;
  p.b_aligned = rhumb::aligned16(d_b, b_stride);
  p.alpha = alpha;
  p.beta = beta;
  p.c = d_c;
  p.c_stride = c_stride;
  p.c_aligned = rhumb::aligned16(d_c, c_stride);
  p.bias = d_bias;
  p.activation = activation;
  const bool bf16 = precision == RHUMB_BF16;
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  if (is_few(m, n, k)) {
    divide(p, kDepth, nullptr);
    const dim3 grid(static_cast<unsigned>(ceil_div(m * n, kBlock)));
    if (bf16) {
      RHUMB_LAUNCH((few<true>), grid, dim3(kBlock), 0, on, p, trans_a != 0, trans_b != 0);
    } else {
      RHUMB_LAUNCH((few<false>), grid, dim3(kBlock), 0, on, p, trans_a != 0, trans_b != 0);
    }
  } else if (m <= kFewRows && trans_a == 0) {
    divide(p, row_terms(n, k), d_scratch);
    const auto launch = bf16 ? launch_few_rows<true> : launch_few_rows<false>;
    launch(p, trans_b != 0, on);
  } else {
    if (static_cast<double>(ceil_div(m, 64)) * static_cast<double>(ceil_div(n, 64)) > kMostTiles) {
      return rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: C (%lld, %lld) has more tiles than one launch takes", call,
                         static_cast<long long>(m), static_cast<long long>(n));
    }
    divide(p, tile_terms(m, n, k), d_scratch);
    const auto launch = takes_large_tiles(m, n) ? launch_tiles<2> : launch_tiles<1>;
    launch(p, bf16, trans_a != 0, trans_b != 0, on);
  }
  return launch_join("rhumb_gemm: launch", p, on);
}

// --- bias_activation -------------------------------------------------------------------------------------------------

namespace {

// c (rows, cols), bias (cols) or NULL.
__global__ void __launch_bounds__(kBlock)
    add_bias(int64_t rows, int64_t cols, float *c, int64_t stride, bool aligned, const float *bias, int activation) {
  for (int64_t r = rhumb::first_row(); r < rows; r += rhumb::row_step()) {
    for (int64_t i = 4 * rhumb::first_place(); i < cols; i += 4 * rhumb::place_step()) {
      float x[4];
      float add[4] = {};
      rhumb::load4(c + r * stride + i, cols - i, aligned, x);
      if (bias != nullptr) {
        rhumb::load4(bias + i, cols - i, false, add);
      }
#pragma unroll
      for (int j = 0; j < 4; j++) {
        x[j] = rhumb::activate(activation, x[j] + add[j]);
      }
      rhumb::store4(c + r * stride + i, cols - i, aligned, x);
    }
  }
}

}  // namespace

int rhumb_bias_activation(int64_t rows, int64_t cols, float *d_c, int64_t c_stride, const float *d_bias, int activation,
                          void *stream) {
  const char *call = "rhumb_bias_activation";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}, {"c_stride", c_stride}});
  if (status == RHUMB_OK) {
    status = rhumb::check_activation(call, activation);
  }
  if (status != RHUMB_OK || rows == 0 || cols == 0 || (d_bias == nullptr && activation == RHUMB_NONE)) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_c", d_c}});
  if (status != RHUMB_OK) {
    return status;
  }
  const rhumb::RowLaunch shape(rows, ceil_div(cols, 4));
  RHUMB_LAUNCH(add_bias, shape.grid, shape.block, 0, static_cast<cudaStream_t>(stream), rows, cols, d_c, c_stride,
               rhumb::aligned16(d_c, c_stride), d_bias, activation);
  return rhumb::check(cudaGetLastError(), "rhumb_bias_activation: launch");
}

// --- column_sum ------------------------------------------------------------------------------------------------------

int64_t rhumb_column_sum_scratch(int64_t rows, int64_t cols) {
  return rows <= 0 || cols <= 0 ? 0 : partial_bytes(1, cols, rows, row_terms(cols, rows));
}

int rhumb_column_sum(int64_t rows, int64_t cols, const float *d_x, int64_t x_stride, float beta, float *d_sum,
                     void *d_scratch, int64_t scratch_bytes, void *stream) {
  const char *call = "rhumb_column_sum";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}, {"x_stride", x_stride}});
  if (status != RHUMB_OK || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_sum", d_sum}});
  if (status == RHUMB_OK && rows > 0) {
    status = rhumb::check_pointers(call, {{"d_x", d_x}});
  }
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, rhumb_column_sum_scratch(rows, cols));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  Product p{};
  p.m = 1;
  p.n = cols;
  p.k = rows;
  p.b = d_x;
  p.b_stride = x_stride;
  p.alpha = 1;
  p.beta = beta;
  p.c = d_sum;
  p.c_stride = cols;
  p.activation = RHUMB_NONE;
  divide(p, row_terms(cols, rows), d_scratch);
  launch_rows<1, false>(p, false, static_cast<cudaStream_t>(stream));
  return launch_join("rhumb_column_sum: launch", p, static_cast<cudaStream_t>(stream));
}

// --- squared_norm ----------------------------------------------------------------------------------------------------

namespace {

constexpr int64_t kNormBlocks = 1024;

// partials[block] = that block's part of the sum of x[i]^2, x (count); with one block, result (1).
__global__ void __launch_bounds__(kBlock)
    sum_squares(int64_t count, const float *x, bool aligned, double *partials, float *result) {
  const int64_t step = 4 * static_cast<int64_t>(gridDim.x) * kBlock;
  double sum = 0;
#pragma unroll 2
  for (int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x); i < count; i += step) {
    float here[4];
    rhumb::load4(x + i, count - i, aligned, here);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      sum = fma(static_cast<double>(here[j]), static_cast<double>(here[j]), sum);
    }
  }
  sum = rhumb::block_sum<kBlock>(sum);
  if (threadIdx.x == 0) {
    if (gridDim.x == 1) {
      *result = static_cast<float>(sum);
    } else {
      partials[blockIdx.x] = sum;
    }
  }
}

// result (1) = the sum of partials (count).
__global__ void __launch_bounds__(kBlock) sum_partials(int64_t count, const double *partials, float *result) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kBlock) {
    sum += partials[i];
  }
  sum = rhumb::block_sum<kBlock>(sum);
  if (threadIdx.x == 0) {
    *result = static_cast<float>(sum);
  }
}

int64_t norm_blocks(int64_t count) {
  return std::max<int64_t>(1, std::min(ceil_div(count, 16 * kBlock), kNormBlocks));
}

}  // namespace

int64_t rhumb_squared_norm_scratch(int64_t count) {
  const int64_t blocks = norm_blocks(count);
  return blocks > 1 ? blocks * static_cast<int64_t>(sizeof(double)) : 0;
}

int rhumb_squared_norm(int64_t count, const float *d_x, float *d_result, void *d_scratch, int64_t scratch_bytes,
                       void *stream) {
  const char *call = "rhumb_squared_norm";
  int status = rhumb::check_counts(call, {{"count", count}});
  if (status == RHUMB_OK) {
    status = rhumb::check_pointers(call, {{"d_result", d_result}});
  }
  if (status == RHUMB_OK && count > 0) {
    status = rhumb::check_pointers(call, {{"d_x", d_x}});
  }
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, rhumb_squared_norm_scratch(count));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const int64_t blocks = norm_blocks(count);
  double *partials = static_cast<double *>(d_scratch);
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  RHUMB_LAUNCH(sum_squares, dim3(static_cast<unsigned>(blocks)), dim3(kBlock), 0, on, count, d_x,
               rhumb::aligned16(d_x, 0), partials, d_result);
  if (blocks > 1) {
    RHUMB_LAUNCH(sum_partials, dim3(1), dim3(kBlock), 0, on, blocks, partials, d_result);
  }
  return rhumb::check(cudaGetLastError(), "rhumb_squared_norm: launch");
}

// --- add -------------------------------------------------------------------------------------------------------------

namespace {

struct Add {
  float alpha, beta;
  __device__ __forceinline__ void operator()(const float (&in)[2], float (&out)[1]) const {
    out[0] = alpha * in[0] + beta * in[1];
  }
};

}  // namespace

int rhumb_add(int64_t count, float alpha, const float *d_a, float beta, const float *d_b, float *d_y, void *stream) {
  int status = rhumb::check_counts("rhumb_add", {{"count", count}});
  if (status == RHUMB_OK && count > 0) {
    status = rhumb::check_pointers("rhumb_add", {{"d_a", d_a}, {"d_b", d_b}, {"d_y", d_y}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  return rhumb::launch_map<2, 1>("rhumb_add: launch", {{d_a, d_b}}, {{d_y}}, Add{alpha, beta}, count, stream);
}
