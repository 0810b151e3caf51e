// Sums and maxima over the threads of a warp or a block, by fixed trees: the same inputs give the same bits. Everyone of
// the warp or block takes part, and everyone gets the result.
#pragma once

#include "device.h"

namespace rhumb {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Of float, double or an integer. A butterfly: both sides of an exchange add the same two numbers, so that all lanes end
// with the same bits. kLanes, a power of two: over each such group of the warp.
template <class T, int kLanes = kWarp>
__device__ __forceinline__ T warp_sum(T value) {
  for (int apart = kLanes / 2; apart > 0; apart /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, apart);
  }
  return value;
}

template <class T, int kLanes = kWarp>
__device__ __forceinline__ T warp_max(T value) {
  for (int apart = kLanes / 2; apart > 0; apart /= 2) {
    value = max(value, __shfl_xor_sync(kAllLanes, value, apart));
  }
  return value;
}

// The sum of an integer over the lanes up to this one.
template <class T>
__device__ __forceinline__ T warp_prefix(T value) {
  for (int apart = 1; apart < kWarp; apart *= 2) {
    const T below = __shfl_up_sync(kAllLanes, value, apart);
    value += static_cast<int>(threadIdx.x % kWarp) >= apart ? below : 0;
  }
  return value;
}

// Over a one-dimensional block of kThreads, a multiple of 32. It may be called again at once.
template <int kThreads, class T>
__device__ __forceinline__ T block_sum(T value) {
  __shared__ T warps[kThreads / kWarp];
  value = warp_sum(value);
  __syncthreads();  // whoever still reads the last call's sums
  if (threadIdx.x % kWarp == 0) {
    warps[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  value = warps[0];
  for (int w = 1; w < kThreads / kWarp; w++) {
    value += warps[w];
  }
  return value;
}

template <int kThreads, class T>
__device__ __forceinline__ T block_max(T value) {
  __shared__ T warps[kThreads / kWarp];
  value = warp_max(value);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) {
    warps[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  value = warps[0];
  for (int w = 1; w < kThreads / kWarp; w++) {
    value = max(value, warps[w]);
  }
  return value;
}

}  // namespace rhumb
