// CUDA's kernel language on the CPU, for tests: g++ compiles the .cu files against this header where nvcc uses its own.
//
// Each thread of a block is a fiber. A fiber runs until it waits, at __syncthreads() or in a warp-wide call, and goes on
// once everyone that call waits for has come; blocks run one after another. So a kernel's logic, its barriers and its
// bounds are exercised for real (guard pages lie under the stacks, AddressSanitizer works), at about 25 ns for each thread
// and barrier, and on one core for each launching thread.
//
// What it holds kernels to: a barrier that some threads never reach, or lanes of a warp that wait in different calls, end
// the launch with cudaErrorLaunchFailure and words, instead of hanging; so does a write past dynamic shared memory. Dynamic
// shared memory is poisoned (NaN, as a float of any width) before each block; a shuffle from a lane that takes no part gives
// poison. Static __shared__ arrays keep what the last block left there: nothing in C++ lists a function's static variables.
// The environment variable RHUMB_HOST_ORDER = 0, 1, 2 or 3 sets the order in which threads run (forward, backward, strided,
// random and new for each turn); a missing barrier seldom survives all of them. Blocks run backward in orders 1 and 3.
//
// Threads that have returned count as come, in barriers and in warp-wide calls, as the PTX ISA has it ("all non-exited
// threads in membermask"); so a last warp that is not full may name all 32 lanes. Reading from such a lane gives poison.
//
// What it does not have: clusters, concurrency between blocks or streams, memory of a device's own: a device pointer is a
// host pointer. Tensor cores and asynchronous copies: src/mma.h, and Hopper's: src/hopper.h. Streams, memory and their
// failures: driver_on_host.h, where a failed launch also breaks the context, if there is one. rhumb_host.h: all that can be
// set.
#pragma once

#include <math.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
#define __constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
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
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

using cudaStream_t = struct CUstream_st *;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr {
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrWarpSize = 10,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
cudaError_t cudaGetLastError();
const char *cudaGetErrorName(cudaError_t error);
// Of a cudaErrorLaunchFailure: what the last failed launch did wrong.
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
// As on a GPU, a kernel that takes more than 48 KiB of dynamic shared memory must have been allowed to.
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);
template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}

// --- The running block ---------------------------------------------------------------------------------------------------

namespace rhumb_host {

// A call in which the threads of a warp or of a block meet. Once all have come, `run` sees what each brought, an object on
// that thread's own stack, and leaves its result there; NULL stands for who takes no part. With `ready`, one thread waits for
// itself, until that is true of what it brought.
struct Meeting {
  const char *name;
  bool of_block;
  void (*run)(void *const *brought, unsigned count);
  bool (*ready)(const void *brought) = nullptr;
};

// An asynchronous copy of 16 bytes (of zeros, where `from` is NULL) that has not been waited for.
struct Copy {
  void *to;
  const void *from;
  unsigned group;
};

struct Fiber {
  void *stack_pointer;
  uint3 index;
  unsigned lane;
  bool done;
  const Meeting *meeting;  // that it waits in, or NULL
  unsigned mask;           // of a meeting of a warp: the lanes it waits for
  void *brought;
  std::vector<Copy> copies;
  unsigned groups;  // of copies, committed
};

// A copy of hopper.h that has not arrived: to byte `at` of dynamic shared memory.
struct BlockCopy {
  size_t at;
  const void *from;
  unsigned bytes;
  unsigned long long *barrier;
};

// A warp's part of a product of hopper.h, its 32 lanes' sums, and the group that it is committed with.
struct WarpProduct {
  float *d[32];
  uint64_t a, b;
  bool add;
  unsigned group;
};
struct WarpProducts {
  std::vector<WarpProduct> flying;           // not yet waited for
  std::map<float *, std::vector<float>> sums;  // by the first lane's, while they fly
  std::vector<uint64_t> issued;              // all operands of the block's life
  unsigned groups = 0;                       // committed
  bool fenced = false;
};

struct Block {
  Fiber *fiber;  // the running one
  dim3 grid, size;
  uint3 index;
  unsigned char *shared;        // the launch's dynamic shared memory
  unsigned char *async_shared;  // the same as copies and products of hopper.h see it
  size_t shared_bytes;
  std::vector<BlockCopy> copies;
  std::vector<WarpProducts> products;  // of each warp
};

constexpr unsigned kWarp = 32;
constexpr uint64_t kPoison = 0xFFFA'FFFA'FFFA'FFFAu;  // a NaN, read as bf16, float or double

// The same object in all of a thread's life, and a fiber stays on its thread: the compiler may ask once.
[[gnu::const]] Block &block();
inline unsigned lane() { return block().fiber->lane; }
// Lets the others run until the meeting is over.
void meet(const Meeting &meeting, unsigned mask, void *brought);
void launch(const void *kernel, dim3 grid, dim3 size, size_t shared_bytes, cudaStream_t stream,
            std::function<void()> body);

template <class T>
struct Same {
  using type = T;
};

// Arguments are converted to the kernel's parameters once and copied, as a launch does.
template <class... Parameters>
void launch_with(dim3 grid, dim3 size, size_t shared_bytes, cudaStream_t stream, void (*kernel)(Parameters...),
                 typename Same<Parameters>::type... arguments) {
  launch(reinterpret_cast<const void *>(kernel), grid, size, shared_bytes, stream, [=] { kernel(arguments...); });
}

// The meetings' shared form: everyone brings a T, `combine` joins those of all who came, and everyone leaves with the result.
template <class T, T (*combine)(T, T)>
void join(void *const *brought, unsigned count) {
  T *first = nullptr;
  for (unsigned i = 0; i < count; i++) {
    T *mine = static_cast<T *>(brought[i]);
    if (mine != nullptr && first == nullptr) {
      first = mine;
    } else if (mine != nullptr) {
      *first = combine(*first, *mine);
    }
  }
  for (unsigned i = 0; i < count; i++) {
    if (brought[i] != nullptr) {
      *static_cast<T *>(brought[i]) = *first;
    }
  }
}

template <class T>
T sum(T a, T b) {
  return a + b;
}
template <class T>
T least(T a, T b) {
  return std::min(a, b);
}
template <class T>
T greatest(T a, T b) {
  return std::max(a, b);
}
template <class T>
T bits_or(T a, T b) {
  return a | b;
}
template <class T>
T bits_and(T a, T b) {
  return a & b;
}

struct Shuffled {
  uint64_t value;
  int source;
};
struct Matched {
  uint64_t value;
  unsigned mask;
};
void shuffle_lanes(void *const *brought, unsigned count);
void match_lanes(void *const *brought, unsigned count);
inline void nothing(void *const *, unsigned) {}

inline constexpr Meeting kBarrier{"__syncthreads", true, nothing};
inline constexpr Meeting kCount{"__syncthreads_count", true, join<int, sum>};
inline constexpr Meeting kOr{"__syncthreads_or", true, join<int, bits_or>};
inline constexpr Meeting kAnd{"__syncthreads_and", true, join<int, bits_and>};
inline constexpr Meeting kSyncWarp{"__syncwarp", false, nothing};
inline constexpr Meeting kShuffle{"a shuffle", false, shuffle_lanes};
inline constexpr Meeting kBallot{"a ballot", false, join<unsigned, bits_or>};
inline constexpr Meeting kMatch{"__match_any_sync", false, match_lanes};
template <class T>
inline constexpr Meeting kSum{"__reduce_add_sync", false, join<T, sum>};
template <class T>
inline constexpr Meeting kLeast{"__reduce_min_sync", false, join<T, least>};
template <class T>
inline constexpr Meeting kGreatest{"__reduce_max_sync", false, join<T, greatest>};
template <class T>
inline constexpr Meeting kBitsOr{"__reduce_or_sync", false, join<T, bits_or>};
template <class T>
inline constexpr Meeting kBitsAnd{"__reduce_and_sync", false, join<T, bits_and>};

template <class T>
T join_in(const Meeting &meeting, unsigned mask, T mine) {
  meet(meeting, mask, &mine);
  return mine;
}

template <class T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T shuffle(unsigned mask, T value, int source) {
  Shuffled mine{to_bits(value), source};
  meet(kShuffle, mask, &mine);
  std::memcpy(&value, &mine.value, sizeof value);
  return value;
}

}  // namespace rhumb_host

#define RHUMB_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  rhumb_host::launch_with(grid, block, shared_bytes, stream, kernel, ##__VA_ARGS__)
#define RHUMB_DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(rhumb_host::block().shared)

#define threadIdx (rhumb_host::block().fiber->index)
#define blockIdx (rhumb_host::block().index)
#define blockDim (rhumb_host::block().size)
#define gridDim (rhumb_host::block().grid)
#define warpSize 32

// --- Barriers and warp-wide calls ----------------------------------------------------------------------------------------

inline void __syncthreads() { rhumb_host::meet(rhumb_host::kBarrier, 0, nullptr); }
inline int __syncthreads_count(int predicate) { return rhumb_host::join_in(rhumb_host::kCount, 0, int{predicate != 0}); }
inline int __syncthreads_or(int predicate) { return rhumb_host::join_in(rhumb_host::kOr, 0, int{predicate != 0}); }
inline int __syncthreads_and(int predicate) { return rhumb_host::join_in(rhumb_host::kAnd, 0, int{predicate != 0}); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { rhumb_host::meet(rhumb_host::kSyncWarp, mask, nullptr); }
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return rhumb_host::join_in(rhumb_host::kBallot, mask, unsigned{predicate != 0} << rhumb_host::lane());
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate == 0) == 0; }
template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  rhumb_host::Matched mine{rhumb_host::to_bits(value), 0};
  rhumb_host::meet(rhumb_host::kMatch, mask, &mine);
  return mine.mask;
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
  return rhumb_host::join_in(rhumb_host::kSum<unsigned>, mask, value);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value) {
  return rhumb_host::join_in(rhumb_host::kLeast<unsigned>, mask, value);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  return rhumb_host::join_in(rhumb_host::kGreatest<unsigned>, mask, value);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  return rhumb_host::join_in(rhumb_host::kBitsOr<unsigned>, mask, value);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value) {
  return rhumb_host::join_in(rhumb_host::kBitsAnd<unsigned>, mask, value);
}
inline int __reduce_add_sync(unsigned mask, int value) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value)));
}
inline int __reduce_min_sync(unsigned mask, int value) {
  return rhumb_host::join_in(rhumb_host::kLeast<int>, mask, value);
}
inline int __reduce_max_sync(unsigned mask, int value) {
  return rhumb_host::join_in(rhumb_host::kGreatest<int>, mask, value);
}

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
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; bit++) {
    reversed |= (x >> bit & 1) << (31 - bit);
  }
  return reversed;
}
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(static_cast<uint64_t>(x) * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  __extension__ using wide = unsigned __int128;
  return static_cast<unsigned long long>(static_cast<wide>(x) * y >> 64);
}

namespace rhumb_host {
template <class To, class From>
To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace rhumb_host
inline unsigned __float_as_uint(float x) { return rhumb_host::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned bits) { return rhumb_host::bit_cast<float>(bits); }
inline int __float_as_int(float x) { return rhumb_host::bit_cast<int>(x); }
inline float __int_as_float(int bits) { return rhumb_host::bit_cast<float>(bits); }
inline long long __double_as_longlong(double x) { return rhumb_host::bit_cast<long long>(x); }
inline double __longlong_as_double(long long bits) { return rhumb_host::bit_cast<double>(bits); }

// The compiler keeps each operation apart (-ffp-contract=off), so these are what CUDA's are: IEEE, to the nearest.
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline float __double2float_ru(double x) {
  const float nearest = static_cast<float>(x);
  return static_cast<double>(nearest) < x ? nextafterf(nearest, INFINITY) : nearest;
}
// On a GPU, a few units in the last place off.
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }

// --- bf16: what kernels need of <cuda_bf16.h> ----------------------------------------------------------------------------

struct alignas(2) __nv_bfloat16 {
  unsigned short bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
// To the nearest, ties to even; every NaN becomes 0x7fff, as on a GPU.
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  const unsigned bits = __float_as_uint(x);
  if (x != x) {
    return {0x7fff};
  }
  return {static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return {bits}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
inline float __low2float(__nv_bfloat162 x) { return __bfloat162float(x.x); }
inline float __high2float(__nv_bfloat162 x) { return __bfloat162float(x.y); }

// --- Memory --------------------------------------------------------------------------------------------------------------

template <class T>
T __ldg(const T *from) {
  return *from;
}
template <class T>
T __ldcs(const T *from) {
  return *from;
}
template <class T>
T __ldcg(const T *from) {
  return *from;
}
template <class T>
void __stcs(T *to, typename rhumb_host::Same<T>::type value) {
  *to = value;
}
template <class T>
void __stcg(T *to, typename rhumb_host::Same<T>::type value) {
  *to = value;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// Fibers switch at meetings alone, so plain reads and writes are atomic here. The types are those that CUDA has, and none of
// floating point: such sums would depend on the order of the threads.
#define RHUMB_ATOMIC(name, T, result)        \
  inline T name(T *to, T value) {            \
    const T old = *to;                       \
    *to = result;                            \
    return old;                              \
  }
#define RHUMB_ATOMICS(T)                                       \
  RHUMB_ATOMIC(atomicAdd, T, static_cast<T>(old + value))      \
  RHUMB_ATOMIC(atomicMin, T, std::min(old, value))             \
  RHUMB_ATOMIC(atomicMax, T, std::max(old, value))             \
  RHUMB_ATOMIC(atomicOr, T, old | value)                       \
  RHUMB_ATOMIC(atomicAnd, T, old & value)                      \
  RHUMB_ATOMIC(atomicXor, T, old ^ value)                      \
  RHUMB_ATOMIC(atomicExch, T, value)                           \
  inline T atomicCAS(T *to, T expected, T value) {             \
    const T old = *to;                                         \
    *to = old == expected ? value : old;                       \
    return old;                                                \
  }
RHUMB_ATOMICS(int)
RHUMB_ATOMICS(unsigned)
RHUMB_ATOMICS(unsigned long long)
#undef RHUMB_ATOMICS
#undef RHUMB_ATOMIC
