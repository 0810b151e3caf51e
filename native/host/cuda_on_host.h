// CUDA's kernel language on the CPU, for tests: g++ compiles the .cu files against this header where nvcc uses its own.
//
// Each thread of a block is a fiber. A fiber runs until it waits, at __syncthreads() or in a warp-wide call, and goes on
// once everyone that call waits for has come; blocks run one after another. So a kernel's logic, its barriers and its
// bounds are exercised for real (guard pages lie under the stacks, AddressSanitizer works), at about 50 ns for each thread
// and barrier, and on one core for each launching thread.
//
// What it holds kernels to: a barrier that some threads never reach, or lanes of a warp that wait in different calls, end
// the launch with cudaErrorLaunchFailure and words, instead of hanging; shared memory of a launch is poisoned before each
// block; a shuffle from a lane that takes no part gives poison. The environment variable RHUMB_HOST_ORDER = 0, 1 or 2 sets
// the order in which threads run (forward, backward, strided): a missing barrier seldom survives all three.
//
// What it does not have: tensor cores, asynchronous copies, clusters (guard such code with __CUDACC__), concurrency
// between blocks or streams, memory of a device's own: a device pointer is a host pointer.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
// Blocks of one launching thread run one at a time, so its copy is the running block's.
#define __shared__ static thread_local

// --- Types and the runtime's calls ---------------------------------------------------------------------------------------

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using cudaStream_t = void *;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorLaunchFailure = 719
};
cudaError_t cudaGetLastError();
const char *cudaGetErrorName(cudaError_t error);
// Of a cudaErrorLaunchFailure: what the calling thread's last failed launch did wrong.
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDeviceCount(int *count);

// --- The running block ---------------------------------------------------------------------------------------------------

namespace rhumb_host {

enum class Wait : unsigned char { NONE, BLOCK, SYNC_WARP, SHUFFLE, BALLOT };

struct Fiber {
  void *stack_pointer;
  uint3 index;
  bool done;
  Wait wait;
  unsigned mask;    // of a warp-wide call: the lanes it waits for
  int source;       // of a shuffle: the lane it reads
  uint64_t value;   // what this lane gives to the call, then what it gets from it
};

struct Block {
  Fiber *fiber;  // the running one
  dim3 grid, size;
  uint3 index;
  unsigned char *shared;  // the launch's dynamic shared memory
};

Block &block();
unsigned lane();
// Lets the others run until the wait is over; `value` and `source` as in Fiber. Returns the call's result.
uint64_t wait(Wait what, unsigned mask, uint64_t value, int source);
void launch(dim3 grid, dim3 size, size_t shared_bytes, std::function<void()> body);

template <class Kernel, class... Arguments>
void launch_with(dim3 grid, dim3 size, size_t shared_bytes, cudaStream_t, Kernel kernel, Arguments... arguments) {
  launch(grid, size, shared_bytes, [=] { kernel(arguments...); });
}

template <class T>
T shuffle(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = wait(Wait::SHUFFLE, mask, bits, source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace rhumb_host

// Arguments are evaluated once and copied, as a launch does.
#define RHUMB_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                               \
  rhumb_host::launch_with(grid, block, shared_bytes, stream, [](auto... arguments) { kernel(arguments...); }, \
                          ##__VA_ARGS__)
#define RHUMB_DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(rhumb_host::block().shared)

#define threadIdx (rhumb_host::block().fiber->index)
#define blockIdx (rhumb_host::block().index)
#define blockDim (rhumb_host::block().size)
#define gridDim (rhumb_host::block().grid)
#define warpSize 32

// --- Barriers and warp-wide calls ----------------------------------------------------------------------------------------

inline void __syncthreads() { rhumb_host::wait(rhumb_host::Wait::BLOCK, 0, 0, 0); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { rhumb_host::wait(rhumb_host::Wait::SYNC_WARP, mask, 0, 0); }
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return static_cast<unsigned>(rhumb_host::wait(rhumb_host::Wait::BALLOT, mask, predicate != 0, 0));
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize) {
  const int mine = static_cast<int>(rhumb_host::lane());
  return rhumb_host::shuffle(mask, value, (mine & ~(width - 1)) | (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize) {
  const int mine = static_cast<int>(rhumb_host::lane());
  const int source = mine ^ lanes;
  return rhumb_host::shuffle(mask, value, source < (mine & ~(width - 1)) + width ? source : mine);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = warpSize) {
  const int mine = static_cast<int>(rhumb_host::lane());
  const int source = mine + static_cast<int>(lanes);
  return rhumb_host::shuffle(mask, value, source < (mine & ~(width - 1)) + width ? source : mine);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = warpSize) {
  const int mine = static_cast<int>(rhumb_host::lane());
  const int source = mine - static_cast<int>(lanes);
  return rhumb_host::shuffle(mask, value, source >= (mine & ~(width - 1)) ? source : mine);
}

// --- Arithmetic ----------------------------------------------------------------------------------------------------------

using std::max;
using std::min;

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
template <class T>
T __ldg(const T *pointer) {
  return *pointer;
}

// Fibers switch at waits alone, so plain reads and writes are atomic here.
template <class T>
T atomicAdd(T *to, T value) {
  const T old = *to;
  *to = old + value;
  return old;
}
template <class T>
T atomicMax(T *to, T value) {
  const T old = *to;
  *to = max(old, value);
  return old;
}
