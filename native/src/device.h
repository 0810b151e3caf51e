// What a source file of kernels starts with. nvcc compiles it for the GPU; g++ compiles the same file against the host's
// emulation of CUDA, so that its logic is tested where there is no GPU.
#pragma once

#ifdef __CUDACC__
#include <cuda_runtime.h>
// Starts kernel<<<grid, block, shared_bytes, stream>>>(arguments). A template's name goes in parentheses.
#define RHUMB_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
// Declares `name`, the block's dynamic shared memory, as an array of `type`.
#define RHUMB_DYNAMIC_SHARED(type, name)                            \
  extern __shared__ __align__(16) unsigned char rhumb_dynamic_[];   \
  type *name = reinterpret_cast<type *>(rhumb_dynamic_)
#else
#include "cuda_on_host.h"
#endif

#include "rhumb.h"
