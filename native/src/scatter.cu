// Rows put into a table by id, one by one; and added to it, sorted, then summed by id.
#include "elementwise.h"
#include "fault.h"
#include "segments.h"

namespace {

constexpr int kBlock = 256;

// keys (rows): the ids, or -1 for one that is out of range.
__global__ void __launch_bounds__(kBlock)
    check_ids(int64_t rows, const int32_t *ids, int64_t table_rows, int32_t *keys, uint64_t *faults) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  for (int64_t r = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; r < rows; r += step) {
    const int32_t id = ids[r];
    const bool good = id >= 0 && id < table_rows;
    if (!good) {
      rhumb::report_fault(faults, RHUMB_FAULT_SCATTER_ID, r, static_cast<uint32_t>(id));
    }
    keys[r] = good ? id : -1;
  }
}

// table[ids[r]] = x[r]; ids are distinct, so that none is written twice. aligned: rows are, at 16 bytes.
__global__ void __launch_bounds__(kBlock)
    put_rows(int64_t rows, int64_t cols, const int32_t *ids, const float *x, int64_t table_rows, float *table, bool aligned,
             uint64_t *faults) {
  for (int64_t r = rhumb::first_row(); r < rows; r += rhumb::row_step()) {
    const int32_t id = ids[r];
    if (id < 0 || id >= table_rows) {
      if (rhumb::first_place() == 0) {
        rhumb::report_fault(faults, RHUMB_FAULT_SCATTER_ID, r, static_cast<uint32_t>(id));
      }
      continue;
    }
    for (int64_t c = 4 * rhumb::first_place(); c < cols; c += 4 * rhumb::place_step()) {
      float some[4];
      rhumb::load4(x + r * cols + c, cols - c, aligned, some);
      rhumb::store4(table + id * cols + c, cols - c, aligned, some);
    }
  }
}

// Of an id: four columns of the rows that have it.
template <bool kAligned>  // the width is a multiple of four, and rows are 16-byte aligned
struct RowsOfId {
  static constexpr int kSums = 4;
  struct Column {
    int64_t first;
  };
  struct Item {
    float x[4];
  };

  const float *x;  // (rows, cols)
  float *table;    // (table_rows, cols)
  int64_t cols;
  float scale;

  __device__ int64_t left(const Column &at) const { return kAligned ? 4 : cols - at.first; }
  __device__ Column column(int64_t column) const { return {4 * column}; }
  __device__ Item load(const Column &at, int32_t row) const {
    Item item;
    rhumb::load4(x + row * cols + at.first, left(at), kAligned, item.x);
    return item;
  }
  __device__ void add(const Item &item, float (&sum)[kSums]) const {
    for (int i = 0; i < 4; i++) {
      sum[i] += item.x[i];
    }
  }
  __device__ void finish(const Column &at, int32_t id, const float (&sum)[kSums]) const {
    float *to = table + id * cols + at.first;
    float now[4];
    rhumb::load4(to, left(at), kAligned, now);
    for (int i = 0; i < 4; i++) {
      now[i] = fmaf(scale, sum[i], now[i]);
    }
    rhumb::store4(to, left(at), kAligned, now);
  }
};

struct Plan {
  int32_t *keys;
  unsigned char *sort;
  unsigned char *segments;
  int64_t bytes;
};

Plan plan(int64_t rows, int64_t cols, int64_t table_rows, void *scratch) {
  rhumb::Scratch cut(scratch);
  Plan plan{};
  plan.keys = cut.take<int32_t>(rows);
  plan.sort = cut.take<unsigned char>(rhumb::sort_scratch(rows, table_rows));
  plan.segments = cut.take<unsigned char>(rhumb::segments_scratch<RowsOfId<true>>(rows, (cols + 3) / 4));
  plan.bytes = cut.bytes();
  return plan;
}

}  // namespace

int rhumb_scatter(int64_t rows, int64_t cols, const int32_t *d_ids, const float *d_x, int64_t table_rows,
                  float *d_table, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_scatter";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}, {"table_rows", table_rows}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_ids", d_ids}, {"d_x", d_x}, {"d_table", d_table}, {"d_faults", d_faults}});
  if (status != RHUMB_OK) {
    return status;
  }
  const rhumb::RowLaunch shape(rows, rhumb::ceil_div(cols, 4));
  RHUMB_LAUNCH(put_rows, shape.grid, shape.block, 0, static_cast<cudaStream_t>(stream), rows, cols, d_ids, d_x, table_rows,
               d_table, rhumb::aligned16(d_x, cols) && rhumb::aligned16(d_table, cols), d_faults);
  return rhumb::check(cudaGetLastError(), "rhumb_scatter: launch");
}

int64_t rhumb_scatter_add_scratch(int64_t rows, int64_t cols, int64_t table_rows) {
  return plan(rows, cols, table_rows, nullptr).bytes;
}

int rhumb_scatter_add(int64_t rows, int64_t cols, const int32_t *d_ids, const float *d_x, float scale,
                      int64_t table_rows, float *d_table, void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults,
                      void *stream) {
  const char *call = "rhumb_scatter_add";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}, {"table_rows", table_rows}});
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_ids", d_ids}, {"d_x", d_x}, {"d_table", d_table}, {"d_faults", d_faults}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Plan work = plan(rows, cols, table_rows, d_scratch);
  status = rhumb::check_scratch(call, d_scratch, scratch_bytes, work.bytes);
  if (status != RHUMB_OK) {
    return status;
  }
  cudaStream_t on = static_cast<cudaStream_t>(stream);
  RHUMB_LAUNCH(check_ids, rhumb::segments::grid_of(rows), dim3(kBlock), 0, on, rows, d_ids, table_rows, work.keys,
               d_faults);
  rhumb::Sorted sorted{};
  status = rhumb::sort(rows, table_rows, work.keys, work.sort, on, call, &sorted);
  if (status != RHUMB_OK) {
    return status;
  }
  const int64_t quads = (cols + 3) / 4;
  if (cols % 4 == 0 && rhumb::aligned16(d_x, cols) && rhumb::aligned16(d_table, cols)) {
    return rhumb::sum_segments(sorted, rows, quads, RowsOfId<true>{d_x, d_table, cols, scale}, work.segments, on, call);
  }
  return rhumb::sum_segments(sorted, rows, quads, RowsOfId<false>{d_x, d_table, cols, scale}, work.segments, on, call);
}
