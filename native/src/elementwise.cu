// Operations that look at one element at a time.
#include "status.h"

namespace {

constexpr int kBlock = 256;
// More blocks than any GPU holds at once only add launch cost: the loop below strides over the rest.
constexpr int64_t kMostBlocks = 4096;

// y[i] = alpha * a[i] + beta * b[i]; y (count) may be a or b: each element is read before it is written.
__global__ void __launch_bounds__(kBlock)
    add(float *y, const float *a, const float *b, float alpha, float beta, int64_t count) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; i < count; i += step) {
    y[i] = alpha * a[i] + beta * b[i];
  }
}

}  // namespace

int rhumb_add(void *stream, float *d_y, const float *d_a, const float *d_b, float alpha, float beta, int64_t count) {
  if (count < 0) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "rhumb_add: count %lld is negative", static_cast<long long>(count));
  }
  if (count == 0) {
    return RHUMB_OK;
  }
  if (d_y == nullptr || d_a == nullptr || d_b == nullptr) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "rhumb_add: %s is NULL, count %lld",
                       d_y == nullptr ? "d_y" : d_a == nullptr ? "d_a" : "d_b", static_cast<long long>(count));
  }
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  const dim3 grid(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
  RHUMB_LAUNCH(add, grid, dim3(kBlock), 0, static_cast<cudaStream_t>(stream), d_y, d_a, d_b, alpha, beta, count);
  return rhumb::check(cudaGetLastError(), "rhumb_add: launch");
}
