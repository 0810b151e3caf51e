// What the kernels of attention in float32 and in bf16 share. Internal to the library.
#pragma once

#include "fault.h"
#include "philox.h"
#include "status.h"

namespace rhumb::attention {

constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

// Packed sequences of heads. offsets (sequences + 1); a matrix below is (rows, heads width).
struct Shape {
  const int32_t *offsets;
  int sequences;
  int rows;
  int heads;
  int width;
  bool vector;  // every head of every row of every matrix is 16-byte aligned, and width a multiple of 4
  float scale;  // 1 / sqrt(width)
};

struct View {
  const float *data;
  int64_t stride;
  // Head `head` of row `row`: (width).
  __device__ const float *at(const Shape &s, int64_t row, int head) const {
    return data + row * stride + static_cast<int64_t>(head) * s.width;
  }
};

struct Output {
  float *data;
  int64_t stride;
  __device__ float *at(const Shape &s, int64_t row, int head) const {
    return data + row * stride + static_cast<int64_t>(head) * s.width;
  }
};

// A weight is kept, times `factor`, where its bits are at least `least`.
struct Dropout {
  int64_t key;
  int64_t stream;
  uint32_t least;
  float factor;
};

// What the backward pass knows of each row before it begins; attention.cu says what delta is.
struct Statistics {
  const float *log_sum_exp;  // (rows, heads)
  const float *delta;        // (rows, heads)
  const int32_t *starts;     // (rows)
};

// --- Sequences -----------------------------------------------------------------------------------------------------------

// Reports the offsets that do not ascend from 0 to rows. All threads of one block call it.
__device__ inline void check_offsets(const Shape &s, uint64_t *faults) {
  for (int b = threadIdx.x; b <= s.sequences; b += blockDim.x) {
    const int at = s.offsets[b];
    const int before = b == 0 ? 0 : s.offsets[b - 1];
    if (at < before || at > s.rows || (b == 0 && at != 0) || (b == s.sequences && at != s.rows)) {
      report_fault(faults, RHUMB_FAULT_ATTENTION_OFFSET, b, static_cast<uint32_t>(at));
    }
  }
}

// The sequence that a row belongs to: the last that begins at it or before it. Some sequence where offsets are bad, -1 where
// there is none.
__device__ inline int sequence_of(const Shape &s, int row) {
  int low = -1;
  int high = s.sequences - 1;
  while (low < high) {
    const int middle = low + (high - low + 1) / 2;
    if (s.offsets[middle] <= row) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// Where the sequence of a row begins: from 0 to the row, always.
__device__ inline int start_of(const Shape &s, int row) {
  const int b = sequence_of(s, row);
  return b < 0 ? 0 : min(max(s.offsets[b], 0), row);
}

// The random bits of a query at the key places p, p + 16, p + 32, p + 48: by one evaluation where p / 16 is a multiple of 4,
// else by two. (Places below 0 are those of other sequences; their bits mean nothing.)
__device__ inline PhiloxWords dropout_words(const Dropout &dropout, uint32_t row, int place) {
  const int block = place >> 6;
  const int turn = place >> 4 & 3;
  const uint32_t counter = static_cast<uint32_t>(block * 16 + (place & 15));
  const PhiloxWords low = philox_words(dropout.key, dropout.stream, row, counter);
  if (turn == 0) {
    return low;
  }
  const PhiloxWords high = philox_words(dropout.key, dropout.stream, row, counter + 16);
  PhiloxWords words;
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const uint32_t one = j < 3 ? low.word[(j + 1) & 3] : high.word[(j + 1) & 3];
    const uint32_t two = j < 2 ? low.word[(j + 2) & 3] : high.word[(j + 2) & 3];
    const uint32_t three = j < 1 ? low.word[(j + 3) & 3] : high.word[(j + 3) & 3];
    words.word[j] = turn == 1 ? one : turn == 2 ? two : three;
  }
  return words;
}

// --- Launches ------------------------------------------------------------------------------------------------------------

// One block for each `height` rows and head; one at least, which checks the offsets.
inline dim3 tiles_of(const Shape &s, int height) {
  const int64_t tiles = (static_cast<int64_t>(s.rows) + height - 1) / height * s.heads;
  return dim3(static_cast<unsigned>(tiles < 1 ? 1 : tiles));
}

// The kernels of attention_bf16.cu, for heads of up to kWidestRounded columns.
constexpr int kWidestRounded = 128;
int forward_bf16(const Shape &s, View q, View k, View v, const Dropout &dropout, Output out, float *log_sum_exp,
                 uint64_t *faults, cudaStream_t stream);
int backward_bf16(const Shape &s, View q, View k, View v, const Dropout &dropout, const Statistics &known, View grad,
                  Output dq, Output dk, Output dv, cudaStream_t stream);

}  // namespace rhumb::attention
