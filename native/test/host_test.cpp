// The emulation of CUDA itself: what CUDA promises to kernels holds, and what it forbids is told.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "device.h"
#include "driver_on_host.h"
#include "mma.h"
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

// out (threads, 12): what each thread gets from the calls that join; the last warp is not full.
__global__ void every_join(int *out) {
  const int thread = threadIdx.x;
  const int lane = thread % 32;
  const unsigned all = 0xffffffffu;
  int *mine = out + thread * 12;
  mine[0] = __all_sync(all, lane < 32);
  mine[1] = __all_sync(all, lane != 7);
  mine[2] = static_cast<int>(__match_any_sync(all, lane % 5));
  mine[3] = __reduce_add_sync(all, -lane);
  mine[4] = __reduce_min_sync(all, lane - 3);
  mine[5] = static_cast<int>(__reduce_max_sync(all, static_cast<unsigned>(lane)));
  mine[6] = __syncthreads_count(thread % 2);
  mine[7] = __syncthreads_or(thread == 3);
  mine[8] = __syncthreads_and(thread != 3);
  const double wide = __shfl_xor_sync(all, 1e300 + thread, 1);
  mine[9] = wide == 1e300 + (thread ^ 1);
  // Who has returned counts as come.
  if (lane >= 16) {
    mine[10] = mine[11] = 1;
    return;
  }
  mine[10] = __popc(__ballot_sync(all, 1));
  __syncthreads();
  mine[11] = 1;
}

void joins_are_right() {
  const int threads = 80;
  std::vector<int> out(threads * 12, -1);
  RHUMB_LAUNCH(every_join, dim3(), dim3(threads), 0, nullptr, out.data());
  check(cudaGetLastError() == cudaSuccess, "every_join runs");
  for (int t = 0; t < threads; t++) {
    const int *mine = out.data() + t * 12;
    const int lanes = t < 64 ? 32 : 16;
    const int lane = t % 32;
    unsigned like = 0;
    for (int i = lane % 5; i < lanes; i += 5) {
      like |= 1u << i;
    }
    check(mine[0] == 1 && mine[1] == 0, "all");
    check(static_cast<unsigned>(mine[2]) == like, "match_any");
    check(mine[3] == -lanes * (lanes - 1) / 2, "reduce_add");
    check(mine[4] == -3 && mine[5] == lanes - 1, "reduce_min, reduce_max");
    check(mine[6] == threads / 2 && mine[7] == 1 && mine[8] == 0, "syncthreads_count, _or, _and");
    check(mine[9] == 1, "a shuffle of doubles");
    check(mine[10] == (lane < 16 ? 16 : 1) && mine[11] == 1, "lanes that have returned");
  }
}

__global__ void atomics(int *ints, unsigned *words, unsigned long long *longs) {
  const unsigned i = threadIdx.x;
  atomicAdd(&ints[0], -1);
  atomicMin(&ints[1], -static_cast<int>(i));
  atomicMax(&ints[2], static_cast<int>(i));
  atomicOr(&words[0], 1u << (i % 32));
  atomicAnd(&words[1], ~(1u << (i % 32)));
  atomicExch(&words[2], i);
  atomicCAS(&words[3], i, i + 1);
  atomicMin(&longs[0], 1000ull << 32 | i);
  atomicAdd(&longs[1], 1ull << 40);
}

void atomics_are_right() {
  int ints[] = {0, 0, 0};
  unsigned words[] = {0, ~0u, 99, 0};
  unsigned long long longs[] = {~0ull, 0};
  RHUMB_LAUNCH(atomics, dim3(), dim3(40), 0, nullptr, ints, words, longs);
  check(cudaGetLastError() == cudaSuccess, "atomics runs");
  check(ints[0] == -40 && ints[1] == -39 && ints[2] == 39, "add, min, max of int");
  check(words[0] == ~0u && words[1] == 0 && words[2] < 40 && words[3] >= 1, "or, and, exch, cas of unsigned");
  check(longs[0] == 1000ull << 32 && longs[1] == 40ull << 40, "min, add of unsigned long long");
}

void arithmetic_is_right() {
  check(__popcll(0xf000000000ull) == 4 && __ffsll(1ll << 40) == 41 && __clzll(1) == 63 && __clzll(0) == 64, "64 bits");
  check(__brev(1) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u, "brev");
  check(__umulhi(0x80000000u, 6) == 3 && __umul64hi(1ull << 63, 6) == 3, "umulhi");
  // fma rounds once, a product and a sum twice: 1 + 2^-12 squared has a bit below the last place.
  const float x = 1 + 0x1p-12f;
  check(__fmaf_rn(x, x, -1.0f) == 0x1p-11f + 0x1p-24f, "fma rounds once");
  const volatile float y = x;
  check(y * y - 1.0f == 0x1p-11f, "the compiler does not fuse");
  check(__fadd_rn(__fmul_rn(y, y), -1.0f) == 0x1p-11f, "mul_rn, add_rn");

  const float infinity = std::numeric_limits<float>::infinity();
  const struct {
    float x;
    unsigned bits;
  } cases[] = {
      {0.0f, 0},
      {-0.0f, 0x8000},
      {1.0f, 0x3f80},
      {-2.5f, 0xc020},
      {__uint_as_float(0x3f808000), 0x3f80},  // halfway: to even, down
      {__uint_as_float(0x3f818000), 0x3f82},  // halfway: to even, up
      {__uint_as_float(0x3f808001), 0x3f81},  // above halfway
      {__uint_as_float(0x3fffffff), 0x4000},  // carries into the exponent
      {__uint_as_float(0x7f7fffff), 0x7f80},  // overflows
      {infinity, 0x7f80},
      {-infinity, 0xff80},
      {__uint_as_float(1), 0},  // subnormal
      {__uint_as_float(0x00018000), 2},
      {__uint_as_float(0x7f800001), 0x7fff},  // NaN whose payload lies in the bits that go
      {__uint_as_float(0xffffffff), 0x7fff},
  };
  for (const auto &c : cases) {
    check(__bfloat16_as_ushort(__float2bfloat16_rn(c.x)) == c.bits, "bf16 rounds to the nearest, ties to even");
  }
  bool same = true;
  for (unsigned bits = 0; bits < 0x10000; bits++) {
    const float wide = __bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(bits)));
    same &= std::isnan(wide) || __bfloat16_as_ushort(__float2bfloat16_rn(wide)) == bits;
  }
  check(same, "bf16 to float and back");
  check(__high2float(__floats2bfloat162_rn(1, 2)) == 2 && __low2float(__floats2bfloat162_rn(1, 2)) == 1, "bf16 pairs");
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
  const bool forward = std::getenv("RHUMB_HOST_ORDER") == nullptr || std::atoi(std::getenv("RHUMB_HOST_ORDER")) % 2 == 0;
  check(!forward || std::isnan(out[64]), "... and poisoned before each block");
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
__global__ void two_barriers() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads_or(1);
  }
}
__global__ void beyond_shared(int count) {
  RHUMB_DYNAMIC_SHARED(float, mine);
  mine[threadIdx.x] = 0;
  if (threadIdx.x == 0) {
    // The sanitizer would end the program, not the launch.
#ifndef __SANITIZE_ADDRESS__
    mine[count] = 0;
#else
    (void)count;
#endif
  }
}
__global__ void wrong_mask() { __syncwarp(2u); }
__global__ void nothing() {}

void wrong_use_is_told() {
  RHUMB_LAUNCH(divergent_barrier, dim3(), dim3(32), 0, nullptr);
  check(fails_with("16 wait in __syncthreads, 16 wait in __syncwarp"), "a barrier that half the block reaches");
  RHUMB_LAUNCH(divergent_warp, dim3(), dim3(32), 0, nullptr);
  check(fails_with("16 wait in a ballot, 16 wait in a shuffle"), "lanes in different calls");
  RHUMB_LAUNCH(two_barriers, dim3(), dim3(32), 0, nullptr);
  check(fails_with("16 wait in __syncthreads, 16 wait in __syncthreads_or"), "two kinds of barrier");
#ifndef __SANITIZE_ADDRESS__
  RHUMB_LAUNCH(beyond_shared, dim3(), dim3(32), 33 * sizeof(float), nullptr, 33);
  check(fails_with("writes past its 132 bytes of dynamic shared memory"), "a write past dynamic shared memory");
#endif
  RHUMB_LAUNCH(beyond_shared, dim3(), dim3(32), 49 * 1024, nullptr, 32);
  check(cudaGetLastError() == cudaErrorInvalidValue, "more shared memory than the kernel was allowed");
  check(cudaFuncSetAttribute(beyond_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 49 * 1024) == cudaSuccess,
        "allowing more");
  RHUMB_LAUNCH(beyond_shared, dim3(), dim3(32), 49 * 1024, nullptr, 32);
  check(cudaGetLastError() == cudaSuccess, "... which it then gets");
  check(cudaFuncSetAttribute(beyond_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20) ==
            cudaErrorInvalidValue,
        "allowing more than there is");
  check(cudaGetLastError() == cudaErrorInvalidValue, "... which the runtime tells a second time");
  check(cudaGetLastError() == cudaSuccess, "... and not a third");
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

// --- Mutations: a kernel with one barrier left out must not survive every order --------------------------------------------

// Left out: 0 none, 1 the barrier before the others' values are read, 2 the one before they are written again.
template <int kLeftOut>
__global__ void rotate(float *out, const float *in, int rounds) {
  RHUMB_DYNAMIC_SHARED(float, values);
  const int thread = threadIdx.x;
  const int count = blockDim.x;
  float mine = in[thread];
  for (int round = 0; round < rounds; round++) {
    values[thread] = mine;
    if (kLeftOut != 1) {
      __syncthreads();
    }
    mine = values[(thread + 37) % count];
    if (kLeftOut != 2) {
      __syncthreads();
    }
  }
  out[thread] = mine;
}

// The sum of a warp's values by exchanges through shared memory, each behind a __syncwarp that may be left out.
template <bool kLeftOut>
__global__ void warp_exchange(float *out, const float *in) {
  __shared__ float values[32];
  const int lane = threadIdx.x;
  float sum = in[lane];
  for (int apart = 16; apart > 0; apart /= 2) {
    values[lane] = sum;
    if (!kLeftOut) {
      __syncwarp();
    }
    sum += values[lane ^ apart];
    __syncwarp();
  }
  out[lane] = sum;
}

// A tile comes through asynchronous copies. Left out: 0 nothing, 1 the wait, 2 the barrier after it, 3 the barrier before the
// buffer is filled again.
template <int kLeftOut>
__global__ void through_copies(float *out, const float *in, int tiles) {
  RHUMB_DYNAMIC_SHARED(float, buffer);
  const int thread = threadIdx.x;
  const int count = blockDim.x;
  float sum = 0;
  for (int tile = 0; tile < tiles; tile++) {
    rhumb::cp_async_16(buffer + thread * 4, in + (tile * count + thread) * 4, true);
    rhumb::cp_async_commit();
    if (kLeftOut != 1) {
      rhumb::cp_async_wait<0>();
    }
    if (kLeftOut != 2) {
      __syncthreads();
    }
    sum += buffer[(thread * 4 + 52) % (count * 4)];
    if (kLeftOut != 3) {
      __syncthreads();
    }
  }
  out[thread] = sum;
}

// Runs launch(out) in every order; returns in how many the result is not `expected`.
template <class Launch>
int wrong_orders(const std::vector<float> &expected, Launch launch) {
  const long order = rhumb_host_get("order");
  int wrong = 0;
  for (long each = 0; each < 4; each++) {
    rhumb_host_set("order", each);
    std::vector<float> out(expected.size(), -1);
    launch(out.data());
    wrong += cudaGetLastError() != cudaSuccess || out != expected;
  }
  rhumb_host_set("order", order);
  return wrong;
}

void left_out_barriers_show() {
  constexpr int kCount = 128;
  std::vector<float> in(kCount * 4 * 3);
  for (size_t i = 0; i < in.size(); i++) {
    in[i] = static_cast<float>(i);
  }
  std::vector<float> rotated(kCount);
  std::vector<float> summed(kCount, 0);
  for (int i = 0; i < kCount; i++) {
    rotated[i] = in[(i + 3 * 37) % kCount];
    for (int tile = 0; tile < 3; tile++) {
      summed[i] += in[tile * kCount * 4 + (i * 4 + 52) % (kCount * 4)];
    }
  }
  const std::vector<float> total(32, 31 * 32 / 2);
  const size_t bytes = kCount * sizeof(float);
#define WRONG_ORDERS(expected, threads, bytes, kernel, ...) \
  wrong_orders(expected, [&](float *out) { RHUMB_LAUNCH(kernel, dim3(), dim3(threads), bytes, nullptr, out, __VA_ARGS__); })
  check(WRONG_ORDERS(rotated, kCount, bytes, rotate<0>, in.data(), 3) == 0, "rotate");
  check(WRONG_ORDERS(rotated, kCount, bytes, rotate<1>, in.data(), 3) > 0, "rotate without its first barrier");
  check(WRONG_ORDERS(rotated, kCount, bytes, rotate<2>, in.data(), 3) > 0, "rotate without its second barrier");
  check(WRONG_ORDERS(total, 32, 0, warp_exchange<false>, in.data()) == 0, "warp_exchange");
  check(WRONG_ORDERS(total, 32, 0, warp_exchange<true>, in.data()) > 0, "warp_exchange without a __syncwarp");
  check(WRONG_ORDERS(summed, kCount, bytes * 4, through_copies<0>, in.data(), 3) == 0, "through_copies");
  check(WRONG_ORDERS(summed, kCount, bytes * 4, through_copies<1>, in.data(), 3) == 4, "through_copies without the wait");
  check(WRONG_ORDERS(summed, kCount, bytes * 4, through_copies<2>, in.data(), 3) > 0, "... its first barrier");
  check(WRONG_ORDERS(summed, kCount, bytes * 4, through_copies<3>, in.data(), 3) > 0, "... its second barrier");
#undef WRONG_ORDERS
}

// A failed kernel breaks the context of the driver's that it runs in, wherever it is noticed first.
void failures_reach_the_driver() {
  CUcontext context;
  check(cuInit(0) == 0 && cuDevicePrimaryCtxRetain(&context, 0) == 0 && cuCtxSetCurrent(context) == 0, "a context");
  RHUMB_LAUNCH(divergent_barrier, dim3(), dim3(32), 0, nullptr);
  check(fails_with("16 wait in __syncwarp"), "the launch itself says why");
  check(cuStreamSynchronize(nullptr) == cudaErrorLaunchFailure, "who waits hears of it");
  RHUMB_LAUNCH(nothing, dim3(), dim3(32), 0, nullptr);
  check(cudaGetLastError() == cudaErrorLaunchFailure, "and so does every later launch");
  check(cuDevicePrimaryCtxRelease_v2(0) == 0 && cuDevicePrimaryCtxRetain(&context, 0) == 0, "another context");
  rhumb_host_set("deferred", 1);
  RHUMB_LAUNCH(divergent_barrier, dim3(), dim3(32), 0, nullptr);
  check(cudaGetLastError() == cudaSuccess, "a deferred launch fails later");
  check(cuStreamSynchronize(nullptr) == cudaErrorLaunchFailure, "... when somebody waits");
  const char *text = nullptr;
  check(cuGetErrorString(cudaErrorLaunchFailure, &text) == 0 && std::string(text).find("16 wait in") != std::string::npos,
        "the driver's text says why too");
  rhumb_host_set("deferred", 0);
  check(cuDevicePrimaryCtxRelease_v2(0) == 0 && cuCtxSetCurrent(nullptr) == 0, "the context goes");
}

}  // namespace

int main() {
  sums_are_right();
  calls_are_right();
  joins_are_right();
  atomics_are_right();
  arithmetic_is_right();
  indices_are_right();
  dynamic_shared_is_poisoned();
  wrong_use_is_told();
  left_out_barriers_show();
  failures_reach_the_driver();
  return failures != 0;
}
