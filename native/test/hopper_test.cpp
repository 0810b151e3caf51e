// src/hopper.h on the host: phases of barriers, copies that arrive when they are waited for and not before, products from real
// descriptors, whose sums and operands are nobody's until the wait; and what a kernel does wrong ends the launch.
#include "hopper.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "encoder.h"
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

// --- Barriers and copies -------------------------------------------------------------------------------------------------

__global__ void phases(int *order, int arrivals) {
  __shared__ rhumb::Barrier barrier;
  __shared__ int at;
  if (threadIdx.x == 0) {
    at = 0;
    rhumb::barrier_init(&barrier, static_cast<unsigned>(arrivals));
    rhumb::fence_barriers();
  }
  __syncthreads();
  rhumb::barrier_wait(&barrier, 1);  // of a new barrier: at once
  if (threadIdx.x == 5) {
    rhumb::barrier_wait(&barrier, 0);
    order[at++] = 100;
  } else if (threadIdx.x < 4) {
    order[at++] = static_cast<int>(threadIdx.x);
    rhumb::barrier_arrive(&barrier);
  }
}

void barriers_have_phases() {
  int order[8] = {};
  RHUMB_LAUNCH(phases, dim3(), dim3(32), 0, nullptr, order, 4);
  check(cudaGetLastError() == cudaSuccess && order[4] == 100, "a phase ends with its last arrival");
  RHUMB_LAUNCH(phases, dim3(), dim3(32), 0, nullptr, order, 5);
  check(fails_with("1 wait in barrier_wait"), "a phase that lacks an arrival");
  RHUMB_LAUNCH(phases, dim3(), dim3(32), 0, nullptr, order, 2);
  check(cudaGetLastError() == cudaErrorLaunchFailure, "two phases are past: the first is no longer waited for");
}

__global__ void two_phases(float *out, const float *in, unsigned expected, bool early) {
  RHUMB_DYNAMIC_SHARED(float, buffer);
  __shared__ rhumb::Barrier barrier;
  rhumb::barrier_init(&barrier, 1);
  rhumb::fence_barriers();
  for (unsigned phase = 0; phase < 3; phase++) {
    rhumb::barrier_arrive_expecting(&barrier, expected);
    rhumb::copy_block(buffer, in + phase * 8, 16, &barrier);
    rhumb::copy_block(buffer + 4, in + phase * 8 + 4, 16, &barrier);
    out[phase * 4] = buffer[0];
    rhumb::barrier_wait(&barrier, early ? (phase + 1) % 2 : phase % 2);
    out[phase * 4 + 1] = buffer[0];
    out[phase * 4 + 2] = buffer[7];
  }
}
__global__ void copy_wrongly(const float *in, int to, int from, unsigned bytes) {
  RHUMB_DYNAMIC_SHARED(float, buffer);
  __shared__ rhumb::Barrier barrier;
  rhumb::barrier_init(&barrier, 1);
  rhumb::copy_block(buffer + to, in + from, bytes, &barrier);
}

void copies_arrive_when_waited_for() {
  alignas(16) float in[24];
  for (int i = 0; i < 24; i++) {
    in[i] = static_cast<float>(i + 1);
  }
  float out[12] = {};
  const auto run = [&](unsigned expected, bool early) {
    RHUMB_LAUNCH(two_phases, dim3(), dim3(1), 32, nullptr, out, in, expected, early);
  };
  run(32, false);
  check(cudaGetLastError() == cudaSuccess, "two_phases runs");
  for (int phase = 0; phase < 3; phase++) {
    const float first = static_cast<float>(phase * 8 + 1);
    check(std::isnan(out[phase * 4]) && out[phase * 4 + 1] == first && out[phase * 4 + 2] == first + 7,
          "both copies are there after the wait, and poison before");
  }
  run(32, true);
  check(cudaGetLastError() != cudaSuccess || std::isnan(out[1]), "who waits for the phase before sees poison");
  run(48, false);
  check(fails_with("wait in barrier_wait"), "more bytes expected than come");
  run(16, false);
  check(cudaGetLastError() != cudaSuccess || std::isnan(out[1]) || std::isnan(out[2]), "fewer bytes expected than come");
  RHUMB_LAUNCH(copy_wrongly, dim3(), dim3(1), 32, nullptr, in, 1, 0, 16u);
  check(fails_with("the address in shared memory"), "a copy to an address that is not aligned");
  RHUMB_LAUNCH(copy_wrongly, dim3(), dim3(1), 32, nullptr, in, 0, 1, 16u);
  check(fails_with("the address in global memory"), "a copy from an address that is not aligned");
  RHUMB_LAUNCH(copy_wrongly, dim3(), dim3(1), 32, nullptr, in, 0, 0, 12u);
  check(fails_with("the number of bytes"), "a copy of 12 bytes");
  RHUMB_LAUNCH(copy_wrongly, dim3(), dim3(1), 32, nullptr, in, 4, 0, 32u);
  check(fails_with("not dynamic shared memory"), "a copy past the end of shared memory");
}

__global__ void uninitialised() {
  RHUMB_DYNAMIC_SHARED(rhumb::Barrier, barrier);
  barrier->word = 0;
  rhumb::barrier_arrive(barrier);
}
__global__ void arrives_too_often(float *in) {
  RHUMB_DYNAMIC_SHARED(float, buffer);
  __shared__ rhumb::Barrier barrier;
  rhumb::barrier_init(&barrier, 1);
  rhumb::barrier_arrive_expecting(&barrier, 16);
  rhumb::barrier_arrive(&barrier);
  rhumb::copy_block(buffer, in, 16, &barrier);
}

// --- Products ------------------------------------------------------------------------------------------------------------

constexpr int kDepth = 64;
enum Fault { NONE, NO_FENCE, NO_ASYNC_FENCE, NO_COMMIT, NO_WAIT, PENDING, MISPLACED, OTHERS_OPERAND, LANES };

// c (64, 128) += a (64, kDepth) b (128, kDepth)^T, both by `tiled` blocks, stored by the threads themselves. before, c as it
// is before the wait.
__global__ void multiply(float *c, float *before, const __nv_bfloat16 *a, const __nv_bfloat16 *b, Fault fault) {
  RHUMB_DYNAMIC_SHARED(unsigned char, dynamic);
  unsigned char *left = dynamic + (0u - rhumb::shared_address(dynamic)) % 1024 + (fault == MISPLACED ? 128 : 0);
  unsigned char *right = left + 64 * kDepth * 2;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < 64 * kDepth; i += 128) {
    reinterpret_cast<__nv_bfloat16 *>(left)[i] = a[i];
  }
  for (int i = thread; i < 128 * kDepth; i += 128) {
    reinterpret_cast<__nv_bfloat16 *>(right)[i] = b[i];
  }
  if (fault != NO_ASYNC_FENCE) {
    rhumb::fence_async();
  }
  __syncthreads();
  float sums[64];
  const auto place = [&](int i) {
    const int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8;
    return row * 128 + i / 4 * 8 + thread % 4 * 2 + i % 2;
  };
  for (int i = 0; i < 64; i++) {
    sums[i] = c[place(i)];
  }
  if (fault != NO_FENCE) {
    rhumb::wgmma_fence(sums);
  }
  const uint64_t of_a = rhumb::operand(left + (fault == OTHERS_OPERAND && thread / 32 == 2 ? 1024 : 0));
  const uint64_t of_b = rhumb::operand(right + (fault == LANES && thread % 32 == 3 ? 1024 : 0));
  for (int k = 0; k < kDepth; k += 16) {
    rhumb::wgmma_bf16_64x128x16(sums, rhumb::columns_on(of_a, k), rhumb::columns_on(of_b, k), true);
  }
  if (fault != NO_COMMIT) {
    rhumb::wgmma_commit();
  }
  for (int i = 0; i < 64; i++) {
    before[place(i)] = sums[i];
  }
  if (fault == PENDING) {
    rhumb::wgmma_wait<1>(sums);
  } else if (fault != NO_WAIT) {
    rhumb::wgmma_wait<0>(sums);
  }
  for (int i = 0; i < 64; i++) {
    c[place(i)] = sums[i];
  }
  if (fault == PENDING) {
    rhumb::wgmma_wait<0>(sums);
  }
}

// Groups end in their order, each with its own sums; `add` false starts anew.
__global__ void two_groups(float *out) {
  RHUMB_DYNAMIC_SHARED(unsigned char, dynamic);
  unsigned char *ones = dynamic + (0u - rhumb::shared_address(dynamic)) % 1024;
  for (int i = static_cast<int>(threadIdx.x); i < 128 * kDepth; i += 128) {
    reinterpret_cast<__nv_bfloat16 *>(ones)[i] = __float2bfloat16_rn(1);
  }
  rhumb::fence_async();
  __syncthreads();
  const uint64_t one = rhumb::operand(ones);
  float first[64];
  float second[64];
  std::fill(first, first + 64, 5.0f);
  std::fill(second, second + 64, 7.0f);
  rhumb::wgmma_fence(first);
  rhumb::wgmma_bf16_64x128x16(first, one, one, false);
  rhumb::wgmma_commit();
  rhumb::wgmma_fence(second);
  rhumb::wgmma_bf16_64x128x16(second, one, one, true);
  rhumb::wgmma_commit();
  rhumb::wgmma_wait<1>(first);
  out[0] = first[9];
  out[1] = second[9];
  rhumb::wgmma_wait<0>(second);
  out[2] = second[9];
}

void products_are_right() {
  std::vector<float> a(64 * kDepth);
  std::vector<float> b(128 * kDepth);
  unsigned state = 1;
  for (std::vector<float> *matrix : {&a, &b}) {
    for (float &x : *matrix) {
      state = state * 1664525u + 1013904223u;
      x = static_cast<float>(static_cast<int>(state >> 28) - 8);
    }
  }
  std::vector<__nv_bfloat16> left(a.size());
  std::vector<__nv_bfloat16> right(b.size());
  std::vector<float> expected(64 * 128);
  for (int d = 0; d < kDepth; d++) {
    for (int row = 0; row < 64; row++) {
      left[rhumb::tiled<64>(row, d, kDepth)] = __float2bfloat16_rn(a[row * kDepth + d]);
    }
    for (int row = 0; row < 128; row++) {
      right[rhumb::tiled<128>(row, d, kDepth)] = __float2bfloat16_rn(b[row * kDepth + d]);
    }
  }
  for (int i = 0; i < 64 * 128; i++) {
    expected[i] = static_cast<float>(i % 97);
    for (int d = 0; d < kDepth; d++) {
      expected[i] += a[i / 128 * kDepth + d] * b[i % 128 * kDepth + d];
    }
  }
  constexpr unsigned kBytes = 1024 + 128 + (64 + 128) * kDepth * 2;
  std::vector<float> c(64 * 128);
  std::vector<float> before(64 * 128);
  const auto run = [&](Fault fault, unsigned threads) {
    for (int i = 0; i < 64 * 128; i++) {
      c[i] = static_cast<float>(i % 97);
    }
    RHUMB_LAUNCH(multiply, dim3(), dim3(threads), kBytes, nullptr, c.data(), before.data(), left.data(), right.data(), fault);
  };
  const auto poison = [](const std::vector<float> &x) {
    return std::all_of(x.begin(), x.end(), [](float one) { return std::isnan(one); });
  };
  run(NONE, 128);
  check(cudaGetLastError() == cudaSuccess && c == expected, "wgmma multiplies");
  check(poison(before), "before the wait the sums are poison");
  run(PENDING, 128);
  check(cudaGetLastError() == cudaSuccess && poison(c), "as they are while the group is one of those left pending");
  run(NO_ASYNC_FENCE, 128);
  check(cudaGetLastError() == cudaSuccess && poison(c), "wgmma does not see what was stored without fence_async");
  run(NO_FENCE, 128);
  check(fails_with("without wgmma_fence"), "products without a fence before them");
  run(NO_COMMIT, 128);
  check(fails_with("nobody has waited for"), "products that no commit has closed");
  run(NO_WAIT, 128);
  check(fails_with("nobody has waited for"), "products without a wait");
  run(MISPLACED, 128);
  check(fails_with("no multiple of 1024"), "an operand at a place that its swizzle does not allow");
  run(OTHERS_OPERAND, 128);
  check(fails_with("warps of a warpgroup"), "another operand in one warp");
  run(LANES, 128);
  check(fails_with("lanes call wgmma"), "another operand in one lane");
  run(NONE, 96);
  check(fails_with("no whole warpgroup"), "three warps");
  float out[3];
  RHUMB_LAUNCH(two_groups, dim3(), dim3(128), 1024 + 128 * kDepth * 2, nullptr, out);
  check(cudaGetLastError() == cudaSuccess && out[0] == 16 && std::isnan(out[1]) && out[2] == 23, "two groups");
}

}  // namespace

int main() {
  barriers_have_phases();
  copies_arrive_when_waited_for();
  RHUMB_LAUNCH(uninitialised, dim3(), dim3(1), 64, nullptr);
  check(fails_with("nobody has initialised"), "an arrival at no barrier");
  alignas(16) float in[4] = {};
  RHUMB_LAUNCH(arrives_too_often, dim3(), dim3(1), 64, nullptr, in);
  check(fails_with("more threads arrive"), "an arrival more than a phase waits for");
  products_are_right();
  return failures != 0;
}
