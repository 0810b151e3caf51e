// The emulation of CUDA itself: what CUDA promises to kernels holds, and what it forbids is told.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "device.h"

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
  return good && cudaGetLastError() == cudaSuccess;
}

// sums[block] = sum of that block's part of x (count): shuffles within a warp, shared memory between warps.
__global__ void block_sums(const float *x, float *sums, int count) {
  __shared__ float warps[32];
  const int thread = threadIdx.x;
  const int i = blockIdx.x * blockDim.x + thread;
  float sum = i < count ? x[i] : 0;
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    sum += __shfl_down_sync(0xffffffffu, sum, lanes);
  }
  if (thread % 32 == 0) {
    warps[thread / 32] = sum;
  }
  __syncthreads();
  if (thread == 0) {
    sum = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) {
      sum += warps[w];
    }
    sums[blockIdx.x] = sum;
  }
  __syncthreads();
}

void sums_are_right() {
  const int count = 1000;
  std::vector<float> x(count);
  for (int i = 0; i < count; i++) {
    x[i] = static_cast<float>(i % 13);
  }
  for (int threads : {32, 64, 256, 1024}) {
    const int blocks = (count + threads - 1) / threads;
    std::vector<float> sums(blocks, -1);
    RHUMB_LAUNCH(block_sums, dim3(blocks), dim3(threads), 0, nullptr, x.data(), sums.data(), count);
    check(cudaGetLastError() == cudaSuccess, "block_sums runs");
    bool same = true;
    for (int b = 0; b < blocks; b++) {
      float expected = 0;
      for (int i = b * threads; i < std::min(count, (b + 1) * threads); i++) {
        expected += x[i];
      }
      same &= sums[b] == expected;
    }
    check(same, "block_sums sums");
  }
}

// out (32, 8): what lane i gets from each warp-wide call.
__global__ void every_call(int *out) {
  const int lane = threadIdx.x;
  const unsigned all = 0xffffffffu;
  int *mine = out + lane * 8;
  mine[0] = __shfl_sync(all, lane, 5);
  mine[1] = __shfl_sync(all, lane, 3, 8);
  mine[2] = __shfl_xor_sync(all, lane, 1);
  mine[3] = __shfl_up_sync(all, lane, 4, 16);
  mine[4] = __shfl_down_sync(all, lane, 4, 16);
  mine[5] = __popc(__ballot_sync(all, lane % 3 == 0));
  mine[6] = __any_sync(all, lane == 31);
  // Lanes that part ways meet only those their mask names.
  mine[7] = lane < 8 ? __shfl_sync(0xffu, lane, 7) : __shfl_sync(~0xffu, lane, 8);
  __syncwarp();
}

void calls_are_right() {
  std::vector<int> out(32 * 8, -1);
  RHUMB_LAUNCH(every_call, dim3(), dim3(32), 0, nullptr, out.data());
  check(cudaGetLastError() == cudaSuccess, "every_call runs");
  for (int lane = 0; lane < 32; lane++) {
    const int *mine = out.data() + lane * 8;
    check(mine[0] == 5, "shfl");
    check(mine[1] == lane / 8 * 8 + 3, "shfl of width 8");
    check(mine[2] == (lane ^ 1), "shfl_xor");
    check(mine[3] == (lane % 16 >= 4 ? lane - 4 : lane), "shfl_up of width 16");
    check(mine[4] == (lane % 16 < 12 ? lane + 4 : lane), "shfl_down of width 16");
    check(mine[5] == 11, "ballot");
    check(mine[6] == 1, "any");
    check(mine[7] == (lane < 8 ? 7 : 8), "a shuffle of part of a warp");
  }
  check(__popc(0xf0u) == 4 && __ffs(8) == 4 && __ffs(0) == 0 && __clz(1) == 31 && __clz(0) == 32, "bit counts");
  check(__uint_as_float(__float_as_uint(1.5f)) == 1.5f && rsqrtf(4.0f) == 0.5f, "float bits");
}

__global__ void indices(int *out) {
  const int i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int threads = blockDim.x * blockDim.y * blockDim.z;
  atomicAdd(out + b * threads + i, 1);
  atomicMax(out + b * threads + i, 0);
}

void indices_are_right() {
  std::vector<int> out(3 * 2 * 2 * (5 * 3 * 2), 0);
  RHUMB_LAUNCH(indices, dim3(3, 2, 2), dim3(5, 3, 2), 0, nullptr, out.data());
  check(cudaGetLastError() == cudaSuccess, "indices runs");
  check(out == std::vector<int>(out.size(), 1), "every thread of every block runs once");
}

__global__ void dynamic_shared(float *out, int count) {
  RHUMB_DYNAMIC_SHARED(float, mine);
  if (threadIdx.x == 0 && blockIdx.x == 1) {
    out[count] = mine[0];  // what the block before left there must not be seen
  }
  __syncthreads();
  mine[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = mine[count - 1 - threadIdx.x];
}

void dynamic_shared_is_poisoned() {
  std::vector<float> out(65, 0);
  RHUMB_LAUNCH(dynamic_shared, dim3(2), dim3(64), 64 * sizeof(float), nullptr, out.data(), 64);
  check(cudaGetLastError() == cudaSuccess, "dynamic_shared runs");
  check(out[0] == 63 && out[63] == 0, "dynamic shared memory is the block's");
  check(__float_as_uint(out[64]) == 0xcdcdcdcdu, "... and poisoned before each block");
}

__global__ void divergent_barrier() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}
__global__ void divergent_warp() {
  if (threadIdx.x % 2 == 0) {
    __ballot_sync(0xffffffffu, 1);
  } else {
    __shfl_sync(0xffffffffu, 1, 0);
  }
}
__global__ void wrong_mask() { __syncwarp(2u); }
__global__ void nothing() {}

void wrong_use_is_told() {
  RHUMB_LAUNCH(divergent_barrier, dim3(), dim3(32), 0, nullptr);
  check(fails_with("16 wait in __syncthreads, 16 in __syncwarp"), "a barrier that half the block reaches");
  RHUMB_LAUNCH(divergent_warp, dim3(), dim3(32), 0, nullptr);
  check(fails_with("16 in a shuffle, 16 in a ballot"), "lanes in different calls");
  RHUMB_LAUNCH(wrong_mask, dim3(), dim3(1), 0, nullptr);
  check(fails_with("leaves itself out"), "a mask without the caller");
  for (const dim3 &block : {dim3(0), dim3(1025), dim3(32, 32, 2)}) {
    RHUMB_LAUNCH(nothing, dim3(), block, 0, nullptr);
    check(cudaGetLastError() == cudaErrorInvalidConfiguration, "a block of no size or too large");
  }
  RHUMB_LAUNCH(nothing, dim3(1, 70000), dim3(1), 0, nullptr);
  check(cudaGetLastError() == cudaErrorInvalidConfiguration, "a grid too large");
  RHUMB_LAUNCH(nothing, dim3(), dim3(32), 0, nullptr);
  check(cudaGetLastError() == cudaSuccess, "a good launch after bad ones");
}

}  // namespace

int main() {
  sums_are_right();
  calls_are_right();
  indices_are_right();
  dynamic_shared_is_poisoned();
  wrong_use_is_told();
  return failures != 0;
}
