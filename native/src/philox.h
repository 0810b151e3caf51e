// Philox 4x32-10 as dev.rhumb.kernels.Philox has it: bits that depend on the key, the stream and the place alone.
//
// Column c is word (c % 64) / 16 of the counter (c / 64) * 16 + c % 16: one evaluation serves the four columns
// 64 (counter / 16) + counter % 16 + {0, 16, 32, 48} of its row.
#pragma once

#include <cmath>

#include "device.h"

namespace rhumb {

struct PhiloxWords {
  uint32_t word[4];
};

__device__ __forceinline__ PhiloxWords philox_words(int64_t key, int64_t stream, uint32_t row, uint32_t counter) {
  uint32_t c0 = counter;
  uint32_t c1 = row;
  uint32_t c2 = static_cast<uint32_t>(stream);
  uint32_t c3 = static_cast<uint32_t>(static_cast<uint64_t>(stream) >> 32);
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(static_cast<uint64_t>(key) >> 32);
#ifdef __CUDACC__
#pragma unroll
#endif
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The 32 random bits at (row, col) of a stream.
__device__ __forceinline__ uint32_t philox_bits(int64_t key, int64_t stream, uint32_t row, int64_t col) {
  const uint32_t counter = static_cast<uint32_t>((col >> 6) * 16 + (col & 15));
  const PhiloxWords words = philox_words(key, stream, row, counter);
  const int word = static_cast<int>(col >> 4) & 3;
  return word == 0 ? words.word[0] : word == 1 ? words.word[1] : word == 2 ? words.word[2] : words.word[3];
}

// The smallest bits that a dropout of probability p, from 0 to below 1, keeps.
inline uint32_t philox_keep_threshold(float p) {
  const double threshold = std::floor(static_cast<double>(p) * 4294967296.0 + 0.5);
  return threshold < 4294967295.0 ? static_cast<uint32_t>(threshold) : 4294967295u;
}

}  // namespace rhumb
