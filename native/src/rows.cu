// Work on the rows of matrices, above all what keeps a decoder's rows at unit norm. A warp has a row; dots and norms are
// summed in double, so that no row's magnitude can overflow them.
#include <cfloat>
#include <cmath>

#include "adam.h"
#include "quads.h"
#include "reduce.h"
#include "status.h"

namespace {

using rhumb::Adam;
using rhumb::kWarp;
using rhumb::load4;
using rhumb::store4;
using rhumb::warp_sum;

constexpr int kBlock = 256;
constexpr int kRows = kBlock / kWarp;

// A matrix of contiguous rows.
struct Shape {
  int64_t rows;
  int64_t cols;
  bool aligned;

  __device__ int64_t first_row() const { return static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kWarp; }
  __device__ int64_t row_step() const { return static_cast<int64_t>(gridDim.x) * kRows; }
  // A lane's columns: four at first_col(), then at every col_step().
  __device__ int64_t first_col() const { return 4 * static_cast<int64_t>(threadIdx.x % kWarp); }
  __device__ int64_t col_step() const { return 4 * kWarp; }
};

dim3 grid_of(int64_t rows) {
  return dim3(static_cast<unsigned>(std::min<int64_t>((rows + kRows - 1) / kRows, 1 << 30)));
}

__device__ __forceinline__ double dot4(const float (&a)[4], const float (&b)[4], double sum) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    sum = fma(static_cast<double>(a[i]), static_cast<double>(b[i]), sum);
  }
  return sum;
}

// The dot product of two rows, in every lane of the warp.
__device__ double dot_row(const Shape &shape, const float *a, const float *b) {
  double sum = 0;
  for (int64_t c = shape.first_col(); c < shape.cols; c += shape.col_step()) {
    float x[4];
    float y[4];
    load4(a + c, shape.cols - c, shape.aligned, x);
    load4(b + c, shape.cols - c, shape.aligned, y);
    sum = dot4(x, y, sum);
  }
  return warp_sum(sum);
}

// to = beta to + factors w; factors (rows), w, to (rows, cols).
__global__ void __launch_bounds__(kBlock)
    scale_rows(Shape shape, const float *factors, const float *w, float beta, float *to) {
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
    const float factor = factors[r];
    const int64_t row = r * shape.cols;
    for (int64_t c = shape.first_col(); c < shape.cols; c += shape.col_step()) {
      float x[4];
      float y[4] = {};
      load4(w + row + c, shape.cols - c, shape.aligned, x);
      if (beta != 0) {
        load4(to + row + c, shape.cols - c, shape.aligned, y);
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        y[i] = beta != 0 ? fmaf(beta, y[i], factor * x[i]) : factor * x[i];
      }
      store4(to + row + c, shape.cols - c, shape.aligned, y);
    }
  }
}

// dots (rows); a, b (rows, cols).
__global__ void __launch_bounds__(kBlock) dot_rows(Shape shape, const float *a, const float *b, float *dots) {
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
    const double dot = dot_row(shape, a + r * shape.cols, b + r * shape.cols);
    if (threadIdx.x % kWarp == 0) {
      dots[r] = static_cast<float>(dot);
    }
  }
}

// The part of a gradient's row along the row x, as a factor on x.
__device__ float along_row(const Shape &shape, const float *x, const float *dx) {
  const double squares = dot_row(shape, x, x);
  return squares == 0 ? 0 : static_cast<float>(dot_row(shape, dx, x) / squares);
}

// w, dw (rows, cols).
__global__ void __launch_bounds__(kBlock) project_rows(Shape shape, const float *w, float *dw) {
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
    const float *x = w + r * shape.cols;
    float *dx = dw + r * shape.cols;
    const float along = along_row(shape, x, dx);
    for (int64_t c = shape.first_col(); c < shape.cols; c += shape.col_step()) {
      float value[4];
      float change[4];
      load4(x + c, shape.cols - c, shape.aligned, value);
      load4(dx + c, shape.cols - c, shape.aligned, change);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        change[i] = fmaf(-along, value[i], change[i]);
      }
      store4(dx + c, shape.cols - c, shape.aligned, change);
    }
  }
}

// Scales a row by 1 / sqrt(squares), unless that is 0. In double: the inverse of a small norm may be no float32.
__device__ void scale_to_unit(const Shape &shape, float *x, double squares) {
  if (squares == 0) {
    return;
  }
  const double scale = 1 / sqrt(squares);
  for (int64_t c = shape.first_col(); c < shape.cols; c += shape.col_step()) {
    float value[4];
    load4(x + c, shape.cols - c, shape.aligned, value);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      value[i] = static_cast<float>(value[i] * scale);
    }
    store4(x + c, shape.cols - c, shape.aligned, value);
  }
}

// w (rows, cols).
__global__ void __launch_bounds__(kBlock) normalise_rows(Shape shape, float *w) {
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
    float *x = w + r * shape.cols;
    scale_to_unit(shape, x, dot_row(shape, x, x));
  }
}

// The three steps on rows of any length. w, gradient, m, v (rows, cols).
__global__ void __launch_bounds__(kBlock)
    adam_long_rows(Shape shape, float *w, const float *gradient, float *m, float *v, Adam adam) {
  const float scale = adam.gradient_scale();
  if (isnan(scale)) {
    return;
  }
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
    const float along = along_row(shape, w + r * shape.cols, gradient + r * shape.cols);
    double squares = 0;
    for (int64_t c = shape.first_col(); c < shape.cols; c += shape.col_step()) {
      const int64_t at = r * shape.cols + c;
      const int64_t left = shape.cols - c;
      float x[4];
      float g[4];
      float first[4];
      float second[4];
      load4(w + at, left, shape.aligned, x);
      load4(gradient + at, left, shape.aligned, g);
      load4(m + at, left, shape.aligned, first);
      load4(v + at, left, shape.aligned, second);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (i < left) {
          adam.step(scale, fmaf(-along, x[i], g[i]), x[i], first[i], second[i]);
        }
      }
      store4(w + at, left, shape.aligned, x);
      store4(m + at, left, shape.aligned, first);
      store4(v + at, left, shape.aligned, second);
      squares = dot4(x, x, squares);
    }
    scale_to_unit(shape, w + r * shape.cols, warp_sum(squares));
  }
}

// The three steps on rows of up to 128 kQuads columns, which stay in registers: each array is read once, all but the gradient
// are written once.
template <int kQuads>
__global__ void __launch_bounds__(kBlock)
    adam_rows(Shape shape, float *w, const float *gradient, float *m, float *v, Adam adam) {
  const float grad_scale = adam.gradient_scale();
  if (isnan(grad_scale)) {
    return;
  }
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
    float x[kQuads][4];
    float g[kQuads][4];
    double squares = 0;
    double dot = 0;
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const int64_t c = shape.first_col() + q * shape.col_step();
      load4(w + r * shape.cols + c, shape.cols - c, shape.aligned, x[q]);
      load4(gradient + r * shape.cols + c, shape.cols - c, shape.aligned, g[q]);
    }
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      squares = dot4(x[q], x[q], squares);
      dot = dot4(g[q], x[q], dot);
    }
    squares = warp_sum(squares);
    dot = warp_sum(dot);
    const float along = squares == 0 ? 0 : static_cast<float>(dot / squares);
    squares = 0;
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const int64_t c = shape.first_col() + q * shape.col_step();
      const int64_t at = r * shape.cols + c;
      float first[4];
      float second[4];
      load4(m + at, shape.cols - c, shape.aligned, first);
      load4(v + at, shape.cols - c, shape.aligned, second);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        // Past the row's end all is 0, and 0 / (0 + eps) may be NaN: it must not reach the norm.
        if (c + i < shape.cols) {
          adam.step(grad_scale, fmaf(-along, x[q][i], g[q][i]), x[q][i], first[i], second[i]);
        }
      }
      store4(m + at, shape.cols - c, shape.aligned, first);
      store4(v + at, shape.cols - c, shape.aligned, second);
      squares = dot4(x[q], x[q], squares);
    }
    squares = warp_sum(squares);
    const double scale = squares == 0 ? 1 : 1 / sqrt(squares);
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const int64_t c = shape.first_col() + q * shape.col_step();
#pragma unroll
      for (int i = 0; i < 4; i++) {
        x[q][i] = static_cast<float>(x[q][i] * scale);
      }
      store4(w + r * shape.cols + c, shape.cols - c, shape.aligned, x[q]);
    }
  }
}

// --- The factor that clips a gradient --------------------------------------------------------------------------------------

constexpr int64_t kMostNormBlocks = 1024;

// partials (grid): the first flat_blocks blocks sum the squares of gradient (count), the others those of the rows of dw
// (rows, cols) less their part along the same rows of w.
__global__ void __launch_bounds__(kBlock)
    sum_squares_beside(int64_t count, const float *gradient, bool aligned, int64_t flat_blocks, Shape shape,
                       const float *w, const float *dw, double *partials) {
  double sum = 0;
  if (blockIdx.x < flat_blocks) {
    for (int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x); i < count;
         i += 4 * flat_blocks * kBlock) {
      float g[4];
      load4(gradient + i, count - i, aligned, g);
      sum = dot4(g, g, sum);
    }
  } else {
    const int64_t step = (static_cast<int64_t>(gridDim.x) - flat_blocks) * kRows;
    for (int64_t r = (static_cast<int64_t>(blockIdx.x) - flat_blocks) * kRows + threadIdx.x / kWarp; r < shape.rows;
         r += step) {
      const float *x = w + r * shape.cols;
      const float *dx = dw + r * shape.cols;
      const float along = along_row(shape, x, dx);
      for (int64_t c = shape.first_col(); c < shape.cols; c += shape.col_step()) {
        float value[4];
        float g[4];
        load4(x + c, shape.cols - c, shape.aligned, value);
        load4(dx + c, shape.cols - c, shape.aligned, g);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          g[i] = fmaf(-along, value[i], g[i]);
        }
        sum = dot4(g, g, sum);
      }
    }
  }
  sum = rhumb::block_sum<kBlock>(sum);
  if (threadIdx.x == 0) {
    partials[blockIdx.x] = sum;
  }
}

// scale (1) out of the sum of partials (parts).
__global__ void __launch_bounds__(kBlock)
    finish_clip(int64_t parts, const double *partials, float most, float *scale) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < parts; i += kBlock) {
    sum += partials[i];
  }
  sum = rhumb::block_sum<kBlock>(sum);
  if (threadIdx.x == 0) {
    const float squares = static_cast<float>(sum);
    const double clipped = most / sqrt(static_cast<double>(squares));
    *scale = squares <= FLT_MAX ? static_cast<float>(clipped < 1 ? clipped : 1) : NAN;
  }
}

struct NormBlocks {
  int64_t flat, rows;
};
NormBlocks norm_blocks(int64_t count, int64_t rows) {
  const int64_t flat = (count + 16 * kBlock - 1) / (16 * kBlock);
  return {std::min(flat, kMostNormBlocks), std::min((rows + kRows - 1) / kRows, kMostNormBlocks)};
}

int check_shape(const char *call, int64_t rows, int64_t cols, std::initializer_list<rhumb::Pointer> pointers) {
  const int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}});
  if (status != RHUMB_OK || rows * cols == 0) {
    return status;
  }
  return rhumb::check_pointers(call, pointers);
}

}  // namespace

int rhumb_scale_rows(int64_t rows, int64_t cols, const float *d_factors, const float *d_w, float beta, float *d_to,
                     void *stream) {
  const char *call = "rhumb_scale_rows";
  const int status = check_shape(call, rows, cols, {{"d_factors", d_factors}, {"d_w", d_w}, {"d_to", d_to}});
  if (status != RHUMB_OK || rows * cols == 0) {
    return status;
  }
  const Shape shape{rows, cols, rhumb::aligned16(d_w, cols) && rhumb::aligned16(d_to, cols)};
  RHUMB_LAUNCH(scale_rows, grid_of(rows), dim3(kBlock), 0, static_cast<cudaStream_t>(stream), shape, d_factors, d_w, beta,
               d_to);
  return rhumb::check(cudaGetLastError(), call);
}

int rhumb_dot_rows(int64_t rows, int64_t cols, const float *d_a, const float *d_b, float *d_dots, void *stream) {
  const char *call = "rhumb_dot_rows";
  const int status = check_shape(call, rows, cols, {{"d_a", d_a}, {"d_b", d_b}, {"d_dots", d_dots}});
  if (status != RHUMB_OK || rows * cols == 0) {
    return status;
  }
  const Shape shape{rows, cols, rhumb::aligned16(d_a, cols) && rhumb::aligned16(d_b, cols)};
  RHUMB_LAUNCH(dot_rows, grid_of(rows), dim3(kBlock), 0, static_cast<cudaStream_t>(stream), shape, d_a, d_b, d_dots);
  return rhumb::check(cudaGetLastError(), call);
}

int rhumb_project_rows(int64_t rows, int64_t cols, const float *d_w, float *d_dw, void *stream) {
  const char *call = "rhumb_project_rows";
  const int status = check_shape(call, rows, cols, {{"d_w", d_w}, {"d_dw", d_dw}});
  if (status != RHUMB_OK || rows * cols == 0) {
    return status;
  }
  const Shape shape{rows, cols, rhumb::aligned16(d_w, cols) && rhumb::aligned16(d_dw, cols)};
  RHUMB_LAUNCH(project_rows, grid_of(rows), dim3(kBlock), 0, static_cast<cudaStream_t>(stream), shape, d_w, d_dw);
  return rhumb::check(cudaGetLastError(), call);
}

int rhumb_normalise_rows(int64_t rows, int64_t cols, float *d_w, void *stream) {
  const char *call = "rhumb_normalise_rows";
  const int status = check_shape(call, rows, cols, {{"d_w", d_w}});
  if (status != RHUMB_OK || rows * cols == 0) {
    return status;
  }
  const Shape shape{rows, cols, rhumb::aligned16(d_w, cols)};
  RHUMB_LAUNCH(normalise_rows, grid_of(rows), dim3(kBlock), 0, static_cast<cudaStream_t>(stream), shape, d_w);
  return rhumb::check(cudaGetLastError(), call);
}

int rhumb_project_adam_normalise(int64_t rows, int64_t cols, float *d_w, const float *d_gradient, float *d_m,
                                 float *d_v, const float *d_scale, float lr, float beta1, float beta2, float eps,
                                 int64_t step, void *stream) {
  const char *call = "rhumb_project_adam_normalise";
  int status = check_shape(call, rows, cols, {{"d_w", d_w}, {"d_gradient", d_gradient}, {"d_m", d_m}, {"d_v", d_v}});
  if (status == RHUMB_OK && step < 1) {
    status =
        rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: step = %lld, but steps count from 1", call, static_cast<long long>(step));
  }
  if (status != RHUMB_OK || rows * cols == 0) {
    return status;
  }
  const Shape shape{rows, cols,
                    rhumb::aligned16(d_w, cols) && rhumb::aligned16(d_gradient, cols) && rhumb::aligned16(d_m, cols) &&
                        rhumb::aligned16(d_v, cols)};
  const Adam adam(1, d_scale, lr, beta1, beta2, eps, 0, step);
  const int64_t quads = (cols + 4 * kWarp - 1) / (4 * kWarp);
  const auto kernel = quads <= 1   ? adam_rows<1>
                      : quads <= 2 ? adam_rows<2>
                      : quads <= 4 ? adam_rows<4>
                      : quads <= 8 ? adam_rows<8>
                                   : adam_long_rows;  // a row is more than a warp's registers hold
  RHUMB_LAUNCH(kernel, grid_of(rows), dim3(kBlock), 0, static_cast<cudaStream_t>(stream), shape, d_w, d_gradient, d_m, d_v,
               adam);
  return rhumb::check(cudaGetLastError(), call);
}

int64_t rhumb_clip_scratch(int64_t count, int64_t rows) {
  const NormBlocks blocks = norm_blocks(count, rows);
  return (blocks.flat + blocks.rows) * static_cast<int64_t>(sizeof(double));
}

int rhumb_clip(int64_t count, const float *d_gradient, int64_t rows, int64_t cols, const float *d_w, const float *d_dw,
               float most, float *d_scale, void *d_scratch, int64_t scratch_bytes, void *stream) {
  const char *call = "rhumb_clip";
  int status = rhumb::check_counts(call, {{"count", count}, {"rows", rows}, {"cols", cols}});
  if (status == RHUMB_OK) {
    status = rhumb::check_pointers(call, {{"d_scale", d_scale}});
  }
  if (status == RHUMB_OK && count > 0) {
    status = rhumb::check_pointers(call, {{"d_gradient", d_gradient}});
  }
  if (status == RHUMB_OK && rows * cols > 0) {
    status = rhumb::check_pointers(call, {{"d_w", d_w}, {"d_dw", d_dw}});
  }
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, rhumb_clip_scratch(count, rows));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const Shape shape{rows, cols, rhumb::aligned16(d_w, cols) && rhumb::aligned16(d_dw, cols)};
  const NormBlocks blocks = norm_blocks(count, rows);
  const int64_t parts = blocks.flat + blocks.rows;
  double *partials = static_cast<double *>(d_scratch);
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  if (parts > 0) {
    RHUMB_LAUNCH(sum_squares_beside, dim3(static_cast<unsigned>(parts)), dim3(kBlock), 0, on, count, d_gradient,
                 rhumb::aligned16(d_gradient, 0), blocks.flat, shape, d_w, d_dw, partials);
  }
  RHUMB_LAUNCH(finish_clip, dim3(1), dim3(kBlock), 0, on, parts, partials, most, d_scale);
  return rhumb::check(cudaGetLastError(), call);
}
