// The TopK encode on tensor cores, with a proof for each row or a list of the rows that have none (certified.cu says how).
// Internal to the library.
#pragma once

#include "encoder.h"
#include "status.h"

namespace rhumb {

// The share of ||c_b|| ||w_b|| that a tensor core's sum over D products may be off, by D. Models that fit what has been
// measured on Volta to Hopper: products are exact; n >= 4 of them and the accumulator are aligned to the greatest, cut (not
// rounded) to 24 bits or more, added as integers, and the sum is cut to float32. With M = sum |c_d w_d| <= ||c_b|| ||w_b||,
// above every partial sum, that is an error under 2^-23 M for each of n + 1 addends and the sum: (n + 2) 2^-23 M for n
// products, and D / n such steps: D (1 + 2 / n) 2^-23 M, under D 2^-22 M from n = 2 on. Additions rounded to the nearest one
// after another stay below it too.
constexpr double kSumError = 0x1p-22;

// Of a feature whose weights have the norm `weights` (of the greater of exact and bf16), are off by `difference` in bf16, and
// whose bias is `bias` at most. depth: the rounded width.
__device__ __forceinline__ ScoreError score_error(int64_t depth, double weights, double difference, double bias) {
  constexpr double u = 0x1p-24;
  constexpr double kSecondOrder = 1 + 0x1p-8;
  const double terms = static_cast<double>(depth);
  const double chain = terms * u / (1 - terms * u);
  const double underflow = 0x1p-125 * terms;
  return {__double2float_ru(kSecondOrder * (difference + (chain + terms * kSumError + u) * weights + underflow)),
          __double2float_ru(kSecondOrder * weights),
          __double2float_ru(kSecondOrder * ((chain + u) * bias + underflow * (1 + weights)))};
}

// What a TopK encode reads and writes: x (rows, width); indices, values (rows, kept).
struct TopKCall {
  int64_t rows;
  int64_t kept;
  int selection;  // rhumb_selection
  bool rectify;
  const float *x;
  int64_t x_stride;
  int32_t *indices;
  float *values;
};

// Rows that the call left alone, for another path: rows[0 .. *count - 1], in no order. Device memory.
struct LeftRows {
  const int32_t *rows;
  const int32_t *count;
};

// By which instructions of tensor cores: mma.sync, which every GPU from Ampere on has, or Hopper's wgmma. The environment
// variable RHUMB_ENCODE chooses (mma, wgmma), read at the first call; mma without it. Tests set it.
enum class Products { kMma, kWgmma, kUnknown };
Products &products();

// Whether there is this path for the shape and it pays: some rows to share each weight that is read.
bool certifies(int64_t width, int64_t features, int64_t rows, int64_t kept);

// Bytes of its scratch, 256-byte aligned.
int64_t certified_scratch(int64_t width, int64_t features, int64_t rows, int64_t kept);

// Launches the encode and returns a rhumb_status. The rows in *left are known once the stream has come there.
int encode_certified(const char *call, const Encoder &e, const TopKCall &of, void *scratch, cudaStream_t stream,
                     LeftRows *left);

}  // namespace rhumb
