// What a source file of kernels starts with. nvcc compiles it for the GPU; g++ compiles the same file against the host's
// emulation of CUDA, so that its logic is tested where there is no GPU.
//
// Rounding: nvcc may join a * b + c into one fused operation, g++ here never does. Where the result's bits are promised (the
// scores that choose a top-k, sums that must agree between backends), write each step out: fmaf(a, b, c) for the fused one,
// __fadd_rn(__fmul_rn(a, b), c) for two roundings. sqrtf and division are IEEE on both; expf, logf and rsqrtf are not.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>
// Starts kernel<<<grid, block, shared_bytes, stream>>>(arguments). An instance of a template goes in parentheses:
// (kernel<float, 4>), with every parameter of the template given.
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
