// The exact choice of the best: a score and its index as one number, ordered as results are, and what a block does with such
// numbers. All are distinct, so that which of them are chosen does not depend on the order of the threads.
#pragma once

#include "device.h"

namespace rhumb {

// The greater key is the better by (score descending, index ascending); -0 equals +0. Of numbers alone, not of NaN.
using Key = unsigned long long;

// Worse than every key.
constexpr Key kNoKey = 0;

// A number's place in the order of floats, and back.
__device__ __forceinline__ uint32_t ordered_bits(float score) {
  const uint32_t bits = __float_as_uint(__fadd_rn(score, 0.0f));  // -0 becomes +0
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float ordered_score(uint32_t bits) {
  return __uint_as_float((bits & 0x80000000u) != 0 ? bits & 0x7fffffffu : ~bits);
}

__device__ __forceinline__ Key key_of(float score, uint32_t index) {
  return static_cast<Key>(ordered_bits(score)) << 32 | static_cast<uint32_t>(~index);
}

__device__ __forceinline__ uint32_t key_index(Key key) { return ~static_cast<uint32_t>(key); }

__device__ __forceinline__ float key_score(Key key) { return ordered_score(static_cast<uint32_t>(key >> 32)); }

// The least power of two that is not below x.
__host__ __device__ __forceinline__ int64_t power_of_two(int64_t x) {
  int64_t power = 1;
  while (power < x) {
    power *= 2;
  }
  return power;
}

// Sorts each of some lists, keys (lists, stride) of which the first n, a power of two, count: greatest first (a bitonic
// network). The whole block calls it; what was written to the keys before and what is read after needs no barrier. Exchanges
// over at most 32 places stay within the 64 keys that a warp's lanes hold, so that between two such a warp waits for itself
// alone.
__device__ __forceinline__ void block_sort(Key *keys, int lists, int64_t stride, int n) {
  constexpr int kWithinWarp = 32;
  int last = n;
  for (int run = 2; run <= n; run *= 2) {
    for (int apart = run / 2; apart > 0; apart /= 2) {
      if (max(apart, last) > kWithinWarp || run == 2) {
        __syncthreads();
      } else {
        __syncwarp();
      }
      last = apart;
      for (int64_t pair = threadIdx.x; pair < static_cast<int64_t>(lists) * (n / 2); pair += blockDim.x) {
        const int at = static_cast<int>(pair & (n / 2 - 1));
        const int low = 2 * at - (at & (apart - 1));  // `at` with a zero put in before the bits below apart
        Key *a = keys + pair / (n / 2) * stride + low;
        Key *b = a + apart;
        const bool falling = (low & run) == 0;
        const Key first = *a;
        const Key second = *b;
        if ((first < second) == falling) {
          *a = second;
          *b = first;
        }
      }
    }
  }
  __syncthreads();
}

// The k best of all keys offered so far, for each of some lists, in shared memory. Offers go unsorted into a list's room;
// when it gets short, the list is sorted and all but its k best are dropped, and the k-th becomes the bound that later
// offers must pass. The whole block calls each function but offer.
//
//   start; then in turns: offer, each list at most `turn` keys; settle(turn); at the end: finish, and keys are sorted.
//
// capacity is a power of two >= k + turn.
struct BestLists {
  Key *keys;   // (lists, capacity)
  Key *bound;  // (lists)
  int *count;  // (lists)
  int lists;   // at most as many as the block has threads
  int k;
  int capacity;

  __device__ __forceinline__ void start() const {
    if (static_cast<int>(threadIdx.x) < lists) {
      bound[threadIdx.x] = kNoKey;
      count[threadIdx.x] = 0;
    }
    __syncthreads();
  }

  // Whether the key may still be among the list's k best.
  __device__ __forceinline__ bool offer(int list, Key key) const {
    if (key <= bound[list]) {
      return false;
    }
    keys[static_cast<int64_t>(list) * capacity + atomicAdd(&count[list], 1)] = key;
    return true;
  }

  __device__ __forceinline__ void settle(int turn) const {
    __syncthreads();
    const bool is_short = static_cast<int>(threadIdx.x) < lists && count[threadIdx.x] > capacity - turn;
    if (__syncthreads_or(is_short) != 0) {
      finish();
    }
  }

  // Sorts: keys[list][0 .. k - 1] are its best, kNoKey where there are fewer.
  __device__ __forceinline__ void finish() const {
    __syncthreads();
    int most = k;
    for (int list = 0; list < lists; list++) {
      most = max(most, count[list]);
    }
    const int n = static_cast<int>(power_of_two(most));
    for (int i = threadIdx.x; i < lists * n; i += blockDim.x) {
      if (i % n >= count[i / n]) {
        keys[static_cast<int64_t>(i / n) * capacity + i % n] = kNoKey;
      }
    }
    block_sort(keys, lists, capacity, n);
    if (static_cast<int>(threadIdx.x) < lists) {
      bound[threadIdx.x] = keys[static_cast<int64_t>(threadIdx.x) * capacity + k - 1];
      count[threadIdx.x] = min(count[threadIdx.x], k);
    }
    __syncthreads();
  }
};

// The least of the k best keys, or 1 where there are fewer than k: a key is among the k best when it is not below this.
// sweep(visit) calls visit(key) for every key, each in one thread of the block, up to eight times over: what it costs is
// time, not memory. k >= 1. The whole block calls it and gets the result.
template <class Sweep>
__device__ Key block_least_of_best(int64_t k, Sweep sweep) {
  constexpr int kDigits = 256;
  __shared__ int counts[kDigits];
  Key prefix = 0;
  int64_t left = k;
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (int digit = threadIdx.x; digit < kDigits; digit += blockDim.x) {
      counts[digit] = 0;
    }
    __syncthreads();
    sweep([&](Key key) {
      if (key != kNoKey && (shift == 56 || key >> (shift + 8) == prefix)) {
        atomicAdd(&counts[key >> shift & (kDigits - 1)], 1);
      }
    });
    __syncthreads();
    int digit = kDigits - 1;
    for (; digit >= 0 && counts[digit] < left; digit--) {
      left -= counts[digit];
    }
    const bool whole = digit >= 0 && counts[digit] == left;  // all with this digit are taken
    __syncthreads();                                         // before the counts are set to 0
    if (digit < 0) {
      return 1;
    }
    prefix = prefix << 8 | static_cast<Key>(digit);
    if (whole) {
      prefix <<= shift;
      return prefix == kNoKey ? 1 : prefix;
    }
  }
  return prefix;
}

}  // namespace rhumb
