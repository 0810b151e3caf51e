// The TopK encode on tensor cores, with a proof for each row or a list of the rows that have none (certified.cu says how).
// Internal to the library.
#pragma once

#include "encoder.h"
#include "status.h"

namespace rhumb {

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

// Whether there is this path for the shape and it pays: some rows to share each weight that is read.
bool certifies(int64_t width, int64_t features, int64_t rows, int64_t kept);

// Bytes of its scratch, 256-byte aligned.
int64_t certified_scratch(int64_t width, int64_t features, int64_t rows, int64_t kept);

// Launches the encode and returns a rhumb_status. The rows in *left are known once the stream has come there.
int encode_certified(const char *call, const Encoder &e, const TopKCall &of, void *scratch, cudaStream_t stream,
                     LeftRows *left);

}  // namespace rhumb
