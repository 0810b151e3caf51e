// src/mma.h on the host: layouts as the PTX ISA gives them, sums within the bounds of both models of rounding, copies that
// arrive when they are waited for and not before.
#include "mma.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "rhumb_host.h"

namespace {

int failures = 0;

void check(bool good, const char *what) {
  if (!good) {
    failures++;
    printf("FAILED: %s\n", what);
  }
}

bool fails_with(const char *words) {
  const cudaError_t error = cudaGetLastError();
  const std::string text = cudaGetErrorString(error);
  const bool good = error == cudaErrorLaunchFailure && text.find(words) != std::string::npos;
  if (!good) {
    printf("  got %s: %s\n", cudaGetErrorName(error), text.c_str());
  }
  return good;
}

unsigned next_random() {
  static unsigned state = 1;
  return state = state * 1664525u + 1013904223u;
}

// One of -1, -255/256 ... 1: exact in bf16, its products exact and their sums too.
float small_random() { return static_cast<float>(static_cast<int>(next_random() >> 23) - 256) / 256; }

// One warp's product of fragments a (32, 4), b (32, 2) and d (32, 4) as they lie in registers.
template <bool kTf32>
__global__ void multiply(float *d, const uint32_t *a, const uint32_t *b) {
  const int lane = threadIdx.x;
  float mine[4];
  uint32_t left[4];
  uint32_t right[2];
  for (int r = 0; r < 4; r++) {
    mine[r] = d[lane * 4 + r];
    left[r] = a[lane * 4 + r];
  }
  for (int r = 0; r < 2; r++) {
    right[r] = b[lane * 2 + r];
  }
  if (kTf32) {
    rhumb::mma_tf32_1688(mine, left, right);
  } else {
    rhumb::mma_bf16_16816(mine, left, right);
  }
  for (int r = 0; r < 4; r++) {
    d[lane * 4 + r] = mine[r];
  }
}

// The element at (row, column), as the PTX ISA numbers a thread's elements (ci, ai, bi).
struct Place {
  int row, column;
};
Place place_of_d(int lane, int i) {
  const int group = lane >> 2;
  const int thread_in_group = lane % 4;
  return {i < 2 ? group : group + 8, thread_in_group * 2 + (i & 1)};
}
Place place_of_bf16_a(int lane, int i) {
  const int group = lane >> 2;
  const int thread_in_group = lane % 4;
  return {(0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8, thread_in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}
Place place_of_bf16_b(int lane, int i) {
  const int group = lane >> 2;
  const int thread_in_group = lane % 4;
  return {thread_in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0), group};
}
Place place_of_tf32_a(int lane, int i) {
  const int group = lane >> 2;
  const int thread_in_group = lane % 4;
  return {i == 0 || i == 2 ? group : group + 8, i < 2 ? thread_in_group : thread_in_group + 4};
}
Place place_of_tf32_b(int lane, int i) {
  const int group = lane >> 2;
  const int thread_in_group = lane % 4;
  return {i == 0 ? thread_in_group : thread_in_group + 4, group};
}

// D (16, 8) += A (16, depth) B (depth, 8), each element put where the ISA says and fetched from where it says.
template <bool kTf32>
void multiply_matrices(std::vector<float> &d, const std::vector<float> &a, const std::vector<float> &b) {
  constexpr int kDepth = kTf32 ? 8 : 16;
  std::vector<uint32_t> left(32 * 4);
  std::vector<uint32_t> right(32 * 2);
  std::vector<float> sums(32 * 4);
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 4; i++) {
      const Place p = place_of_d(lane, i);
      sums[lane * 4 + i] = d[p.row * 8 + p.column];
    }
    for (int i = 0; i < (kTf32 ? 4 : 8); i++) {
      const Place p = kTf32 ? place_of_tf32_a(lane, i) : place_of_bf16_a(lane, i);
      const uint32_t bits = __float_as_uint(a[p.row * kDepth + p.column]);
      if (kTf32) {
        left[lane * 4 + i] = bits;
      } else {
        left[lane * 4 + i / 2] |= bits >> 16 << (i % 2 * 16);
      }
    }
    for (int i = 0; i < (kTf32 ? 2 : 4); i++) {
      const Place p = kTf32 ? place_of_tf32_b(lane, i) : place_of_bf16_b(lane, i);
      const uint32_t bits = __float_as_uint(b[p.row * 8 + p.column]);
      if (kTf32) {
        right[lane * 2 + i] = bits;
      } else {
        right[lane * 2 + i / 2] |= bits >> 16 << (i % 2 * 16);
      }
    }
  }
  RHUMB_LAUNCH((multiply<kTf32>), dim3(), dim3(32), 0, nullptr, sums.data(), left.data(), right.data());
  check(cudaGetLastError() == cudaSuccess, "mma runs");
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 4; i++) {
      const Place p = place_of_d(lane, i);
      d[p.row * 8 + p.column] = sums[lane * 4 + i];
    }
  }
}

template <bool kTf32>
void products_are_right() {
  constexpr int kDepth = kTf32 ? 8 : 16;
  for (int round = 0; round < 20; round++) {
    std::vector<float> a(16 * kDepth);
    std::vector<float> b(kDepth * 8);
    std::vector<float> d(16 * 8);
    for (std::vector<float> *matrix : {&a, &b, &d}) {
      for (float &x : *matrix) {
        x = small_random();
      }
    }
    std::vector<float> expected = d;
    for (int row = 0; row < 16; row++) {
      for (int column = 0; column < 8; column++) {
        for (int k = 0; k < kDepth; k++) {
          expected[row * 8 + column] += a[row * kDepth + k] * b[k * 8 + column];
        }
      }
    }
    multiply_matrices<kTf32>(d, a, b);
    // Sums of 1/65536ths below 32 are exact whatever the order, and fit into 24 bits.
    check(d == expected, kTf32 ? "mma_tf32_1688 multiplies" : "mma_bf16_16816 multiplies");
  }
}

// Corners of the layouts, in numbers.
void places_are_right() {
  const auto is = [](Place p, int row, int column) { return p.row == row && p.column == column; };
  check(is(place_of_bf16_a(0, 0), 0, 0) && is(place_of_bf16_a(31, 7), 15, 15) && is(place_of_bf16_a(6, 2), 9, 4) &&
            is(place_of_bf16_a(6, 5), 1, 13),
        "bf16 A");
  check(is(place_of_bf16_b(31, 3), 15, 7) && is(place_of_bf16_b(5, 2), 10, 1), "bf16 B");
  check(is(place_of_tf32_a(31, 3), 15, 7) && is(place_of_tf32_a(6, 1), 9, 2), "tf32 A");
  check(is(place_of_tf32_b(31, 1), 7, 7), "tf32 B");
  check(is(place_of_d(31, 3), 15, 7) && is(place_of_d(6, 1), 1, 5), "D");
}

void rounding_is_modelled() {
  const bool truncate = rhumb_host_get("mma") == 1;
  // 1 + 16 products of 2^-25 each: the nearest to each partial sum is 1; cut to 24 bits each product is nothing.
  std::vector<float> a(16 * 16, 0x1p-12f);
  std::vector<float> b(16 * 8, 0x1p-13f);
  std::vector<float> d(16 * 8, 1.0f);
  multiply_matrices<false>(d, a, b);
  check(d[0] == 1.0f, "small products vanish beside a large sum");
  // 1 and 3/4 of its last place: nearest goes up, truncation stays.
  a.assign(16 * 16, 0);
  b.assign(16 * 8, 0);
  a[0] = 1.5f;
  b[0] = 0x1p-24f;
  d.assign(16 * 8, 1.0f);
  multiply_matrices<false>(d, a, b);
  check(d[0] == (truncate ? 1.0f : 1.0f + 0x1p-23f), "rounding is the model's");
  // Cancellation: 2^24 + 1 - 2^24, whose middle sum has no bit for the 1 at 24 bits.
  a.assign(16 * 16, 0);
  b.assign(16 * 8, 0);
  a[0] = 0x1p24f;
  a[1] = 1;
  a[2] = -0x1p24f;
  b[0] = b[8] = b[16] = 1;
  d.assign(16 * 8, 0.0f);
  multiply_matrices<false>(d, a, b);
  check(d[0] == 0, "cancellation loses what the largest term pushes out");
  // Within the bound that certificates may use: 2^-22 of the sum of sizes for each of 16 terms, and no better than a float.
  double worst = 0;
  for (int round = 0; round < 50; round++) {
    for (std::vector<float> *matrix : {&a, &b, &d}) {
      for (float &x : *matrix) {
        x = std::ldexp(small_random(), static_cast<int>(next_random() >> 28) - 8);
        x = __bfloat162float(__float2bfloat16_rn(x));
      }
    }
    std::vector<double> exact(d.begin(), d.end());
    std::vector<double> size(16 * 8);
    for (int i = 0; i < 16 * 8; i++) {
      size[i] = std::fabs(exact[i]);
      for (int k = 0; k < 16; k++) {
        const double product = static_cast<double>(a[i / 8 * 16 + k]) * b[k * 8 + i % 8];
        exact[i] += product;
        size[i] += std::fabs(product);
      }
    }
    multiply_matrices<false>(d, a, b);
    for (int i = 0; i < 16 * 8; i++) {
      worst = std::max(worst, std::fabs(d[i] - exact[i]) / size[i]);
    }
  }
  check(worst < 16 * 0x1p-22 && worst > 0x1p-26, "random sums are as far off as the model allows, and not exact");

  const float infinity = INFINITY;
  a.assign(16 * 16, 1);
  b.assign(16 * 8, 1);
  a[0] = infinity;
  a[16] = NAN;
  d.assign(16 * 8, 0);
  multiply_matrices<false>(d, a, b);
  check(d[0] == infinity && std::isnan(d[8]) && d[16] == 16, "infinity and NaN go their way");
}

void tf32_is_cut() {
  check(rhumb::to_tf32(1.0f + 0x1p-11f) == __float_as_uint(1.0f + 0x1p-10f), "to_tf32: ties away from zero");
  check(rhumb::to_tf32(-1.0f - 0x1p-12f) == __float_as_uint(-1.0f), "to_tf32: to the nearest");
  check(rhumb::to_tf32(INFINITY) == __float_as_uint(INFINITY), "to_tf32: infinity");
  std::vector<float> a(16 * 8, 1.0f + 0x1p-11f);
  std::vector<float> b(8 * 8, 1.0f);
  std::vector<float> d(16 * 8, 0);
  multiply_matrices<true>(d, a, b);
  check(d[0] == 8, "mma_tf32_1688 does not look at the 13 lowest bits");
}

// out (32, 4): the registers of each lane, from m matrices (m, 8, 8) of 16-bit elements.
template <int kMatrices, bool kTransposed>
__global__ void load(uint32_t *out, const uint16_t *elements, int skew) {
  RHUMB_DYNAMIC_SHARED(uint16_t, tile);
  const int lane = threadIdx.x;
  for (int i = lane; i < kMatrices * 64; i += 32) {
    tile[i] = elements[i];
  }
  __syncwarp();
  const uint16_t *row = tile + lane % (kMatrices * 8) * 8 + skew;
  uint32_t r[kMatrices];
  if constexpr (kMatrices == 4) {
    kTransposed ? rhumb::ldmatrix_x4_trans(r, row) : rhumb::ldmatrix_x4(r, row);
  } else {
    kTransposed ? rhumb::ldmatrix_x2_trans(r, row) : rhumb::ldmatrix_x2(r, row);
  }
  for (int m = 0; m < kMatrices; m++) {
    out[lane * 4 + m] = r[m];
  }
}

template <int kMatrices, bool kTransposed>
void loads_are_right() {
  std::vector<uint16_t> elements(kMatrices * 64);
  for (size_t i = 0; i < elements.size(); i++) {
    elements[i] = static_cast<uint16_t>(i * 7);
  }
  std::vector<uint32_t> out(32 * 4);
  RHUMB_LAUNCH((load<kMatrices, kTransposed>), dim3(), dim3(32), 512, nullptr, out.data(), elements.data(), 0);
  check(cudaGetLastError() == cudaSuccess, "ldmatrix runs");
  bool same = true;
  for (int lane = 0; lane < 32; lane++) {
    for (int m = 0; m < kMatrices; m++) {
      const int row = lane / 4;
      const int column = lane % 4 * 2;
      const int low = kTransposed ? column * 8 + row : row * 8 + column;
      const int high = kTransposed ? (column + 1) * 8 + row : row * 8 + column + 1;
      same &= out[lane * 4 + m] == (static_cast<uint32_t>(elements[m * 64 + high]) << 16 | elements[m * 64 + low]);
    }
  }
  check(same, "ldmatrix gives each lane its pair");
  RHUMB_LAUNCH((load<kMatrices, kTransposed>), dim3(), dim3(32), 512, nullptr, out.data(), elements.data(), 4);
  check(fails_with("no multiple of 16"), "ldmatrix from a row that is not aligned");
  RHUMB_LAUNCH((load<kMatrices, kTransposed>), dim3(), dim3(16), 512, nullptr, out.data(), elements.data(), 0);
  check(fails_with("needs all 32 lanes"), "ldmatrix by half a warp");
}

// A whole tile product the way a kernel does it: copies, a barrier, ldmatrix as the header describes, mma.
// c (16, 8) = a (16, 16) b (8, 16)^T, with b by rows of n; or, if kTransposed, b (16, 8) by rows of k.
template <bool kTransposed>
__global__ void tile(float *c, const __nv_bfloat16 *a, const __nv_bfloat16 *b) {
  RHUMB_DYNAMIC_SHARED(__nv_bfloat16, left);
  __nv_bfloat16 *right = left + 16 * 16;
  const int lane = threadIdx.x;
  rhumb::cp_async_16(left + lane * 8, a + lane * 8, true);
  rhumb::cp_async_16(right + lane % 16 * 8, b + lane % 16 * 8, true);
  rhumb::cp_async_commit();
  rhumb::cp_async_wait<0>();
  __syncwarp();
  uint32_t fa[4];
  uint32_t fb[2];
  rhumb::ldmatrix_x4(fa, left + lane % 16 * 16 + lane / 16 * 8);
  if (kTransposed) {
    rhumb::ldmatrix_x2_trans(fb, right + lane % 16 * 8);
  } else {
    rhumb::ldmatrix_x2(fb, right + lane % 8 * 16 + lane / 8 % 2 * 8);
  }
  float sums[4] = {};
  rhumb::mma_bf16_16816(sums, fa, fb);
  float *mine = c + lane / 4 * 8 + lane % 4 * 2;
  mine[0] = sums[0];
  mine[1] = sums[1];
  mine[64] = sums[2];
  mine[65] = sums[3];
}

template <bool kTransposed>
void tiles_are_right() {
  alignas(16) __nv_bfloat16 a[16 * 16];
  alignas(16) __nv_bfloat16 b[8 * 16];
  float c[16 * 8];
  for (__nv_bfloat16 &x : a) {
    x = __float2bfloat16_rn(small_random());
  }
  for (__nv_bfloat16 &x : b) {
    x = __float2bfloat16_rn(small_random());
  }
  RHUMB_LAUNCH(tile<kTransposed>, dim3(), dim3(32), sizeof a + sizeof b, nullptr, c, a, b);
  check(cudaGetLastError() == cudaSuccess, "tile runs");
  bool same = true;
  for (int row = 0; row < 16; row++) {
    for (int column = 0; column < 8; column++) {
      float expected = 0;
      for (int k = 0; k < 16; k++) {
        expected += __bfloat162float(a[row * 16 + k]) * __bfloat162float(kTransposed ? b[k * 8 + column] : b[column * 16 + k]);
      }
      same &= std::fabs(c[row * 8 + column] - expected) <= 0x1p-18f;
    }
  }
  check(same, "a tile through cp_async, ldmatrix and mma");
}

// out (5, 4): what shared memory holds at each stage of two groups of copies.
__global__ void stages(float *out, const float *in) {
  RHUMB_DYNAMIC_SHARED(float, buffer);
  const auto look = [&](int stage) {
    for (int i = 0; i < 2; i++) {
      out[stage * 4 + i] = buffer[i * 4];
      out[stage * 4 + 2 + i] = buffer[8 + i * 4];
    }
  };
  rhumb::cp_async_16(buffer, in, true);
  rhumb::cp_async_16(buffer + 4, in, false);
  rhumb::cp_async_commit();
  rhumb::cp_async_16(buffer + 8, in + 4, true);
  rhumb::cp_async_commit();
  rhumb::cp_async_16(buffer + 12, in + 8, true);
  look(0);
  rhumb::cp_async_wait<2>();
  look(1);
  rhumb::cp_async_wait<1>();
  look(2);
  rhumb::cp_async_wait<0>();
  look(3);
  rhumb::cp_async_commit();
  rhumb::cp_async_wait<0>();
  look(4);
}
__global__ void misaligned(const float *in) {
  RHUMB_DYNAMIC_SHARED(float, buffer);
  rhumb::cp_async_16(buffer, in + 1, true);
}

void copies_arrive_when_waited_for() {
  alignas(16) float in[12];
  for (int i = 0; i < 12; i++) {
    in[i] = static_cast<float>(i + 1);
  }
  float out[5 * 4];
  RHUMB_LAUNCH(stages, dim3(), dim3(1), 64, nullptr, out, in);
  check(cudaGetLastError() == cudaSuccess, "stages runs");
  const auto is = [&](int i, float value) { return value == value ? out[i] == value : std::isnan(out[i]); };
  for (int stage : {0, 1}) {
    check(is(stage * 4, NAN) && is(stage * 4 + 1, NAN) && is(stage * 4 + 2, NAN), "a copy that nobody waited for is poison");
  }
  check(is(8, 1) && is(9, 0) && is(10, NAN) && is(11, NAN), "the first group arrives, zeros where not valid");
  check(is(14, 5) && is(15, NAN), "the second too, but not what no commit has closed");
  check(is(19, 9), "which the next commit closes");
  RHUMB_LAUNCH(misaligned, dim3(), dim3(1), 64, nullptr, in);
  check(fails_with("no multiple of 16"), "a copy from an address that is not aligned");
}

__global__ void half_a_warp(float *d) {
  float mine[4] = {};
  const uint32_t a[4] = {};
  const uint32_t b[2] = {};
  if (threadIdx.x < 16) {
    rhumb::mma_bf16_16816(mine, a, b);
  }
  d[0] = mine[0];
}

}  // namespace

int main() {
  places_are_right();
  products_are_right<false>();
  products_are_right<true>();
  rounding_is_modelled();
  tf32_is_cut();
  loads_are_right<4, false>();
  loads_are_right<4, true>();
  loads_are_right<2, false>();
  loads_are_right<2, true>();
  tiles_are_right<false>();
  tiles_are_right<true>();
  copies_arrive_when_waited_for();
  float d = 0;
  RHUMB_LAUNCH(half_a_warp, dim3(), dim3(32), 0, nullptr, &d);
  check(fails_with("needs all 32 lanes"), "mma by half a warp");
  return failures != 0;
}
