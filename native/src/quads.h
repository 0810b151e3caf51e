// Four floats at a time: 16-byte accesses where addresses allow them, single ones elsewhere.
#pragma once

#include "device.h"

namespace rhumb {

// Whether every row of a matrix (any rows, stride) starts at a multiple of 16 bytes.
inline bool aligned16(const void *matrix, int64_t stride) {
  return reinterpret_cast<uintptr_t>(matrix) % 16 == 0 && stride % 4 == 0;
}

// from[0 .. 3]; those at and past `left` are 0 and not read.
__device__ __forceinline__ void load4(const float *from, int64_t left, bool aligned, float (&x)[4]) {
  if (aligned && left >= 4) {
    const float4 all = *reinterpret_cast<const float4 *>(from);
    x[0] = all.x;
    x[1] = all.y;
    x[2] = all.z;
    x[3] = all.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    x[i] = i < left ? from[i] : 0;
  }
}

// to[0 .. 3] = x; those at and past `left` are not written.
__device__ __forceinline__ void store4(float *to, int64_t left, bool aligned, const float (&x)[4]) {
  if (aligned && left >= 4) {
    *reinterpret_cast<float4 *>(to) = make_float4(x[0], x[1], x[2], x[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (i < left) {
      to[i] = x[i];
    }
  }
}

}  // namespace rhumb
