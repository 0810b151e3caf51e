// How operations that look at one element, or at one place of each row, share the device.
#pragma once

#include "quads.h"
#include "status.h"

namespace rhumb {

constexpr int kMapBlock = 256;
// More blocks than any GPU holds at once only add launch cost: loops stride over the rest.
constexpr int64_t kMostBlocks = 4096;

inline int64_t ceil_div(int64_t count, int64_t by) { return (count + by - 1) / by; }

// float pointers and other plain things, passed to a kernel by value.
template <class T, int kCount>
struct Pack {
  T at[kCount];
};

// op(in, out) on each place of `count`: in[i] is an element of inputs.at[i] (count), out[o] becomes that of
// outputs.at[o] (count). All of a place is read before it is written, so an output may be an input.
template <int kIn, int kOut, class Op>
__global__ void __launch_bounds__(kMapBlock)
    map(Pack<const float *, kIn> inputs, Pack<float *, kOut> outputs, Op op, int64_t count, bool aligned) {
  const int64_t step = 4 * static_cast<int64_t>(gridDim.x) * kMapBlock;
  for (int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kMapBlock + threadIdx.x); i < count; i += step) {
    float in[kIn][4];
    float out[kOut][4];
#pragma unroll
    for (int k = 0; k < kIn; k++) {
      load4(inputs.at[k] + i, count - i, aligned, in[k]);
    }
#pragma unroll
    for (int lane = 0; lane < 4; lane++) {
      float from[kIn];
      float to[kOut];
#pragma unroll
      for (int k = 0; k < kIn; k++) {
        from[k] = in[k][lane];
      }
      op(from, to);
#pragma unroll
      for (int k = 0; k < kOut; k++) {
        out[k][lane] = to[k];
      }
    }
#pragma unroll
    for (int k = 0; k < kOut; k++) {
      store4(outputs.at[k] + i, count - i, aligned, out[k]);
    }
  }
}

template <int kIn, int kOut, class Op>
int launch_map(const char *call, Pack<const float *, kIn> inputs, Pack<float *, kOut> outputs, Op op, int64_t count,
               void *stream) {
  if (count == 0) {
    return RHUMB_OK;
  }
  bool aligned = true;
  for (const float *input : inputs.at) {
    aligned &= aligned16(input, 0);
  }
  for (const float *output : outputs.at) {
    aligned &= aligned16(output, 0);
  }
  const int64_t blocks = ceil_div(count, 4 * kMapBlock);
  const dim3 grid(static_cast<unsigned>(std::min(blocks, kMostBlocks)));
  RHUMB_LAUNCH((map<kIn, kOut, Op>), grid, dim3(kMapBlock), 0, static_cast<cudaStream_t>(stream), inputs, outputs, op,
               count, aligned);
  return check(cudaGetLastError(), call);
}

// Rows by places: a block is threads of `y` rows and `x` places, so that narrow rows fill it too. A kernel loops
//   for (row = first_row(); row < rows; row += row_step()) for (place = first_place(); place < places; ...).
struct RowLaunch {
  dim3 grid, block;

  RowLaunch(int64_t rows, int64_t places) {
    unsigned x = 8;
    while (x < kMapBlock && x < places) {
      x *= 2;
    }
    block = dim3(x, kMapBlock / x);
    const int64_t down = ceil_div(rows, block.y);
    const int64_t across = ceil_div(places, x);
    grid.x = static_cast<unsigned>(std::min<int64_t>(down, 16 * kMostBlocks));
    grid.y = static_cast<unsigned>(std::min<int64_t>(across, std::max<int64_t>(1, kMostBlocks / grid.x)));
  }
};
__device__ __forceinline__ int64_t first_row() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
}
__device__ __forceinline__ int64_t row_step() { return static_cast<int64_t>(gridDim.x) * blockDim.y; }
__device__ __forceinline__ int64_t first_place() {
  return static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t place_step() { return static_cast<int64_t>(gridDim.y) * blockDim.x; }

}  // namespace rhumb
