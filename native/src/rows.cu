// Work on the rows of matrices, above all what keeps a decoder's rows at unit norm. A warp has a row; dots and norms are
// summed in double, so that no row's magnitude can overflow them.
#include <cmath>

#include "quads.h"
#include "reduce.h"
#include "status.h"

namespace {

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

// w, dw (rows, cols).
__global__ void __launch_bounds__(kBlock) project_rows(Shape shape, const float *w, float *dw) {
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
    const float *x = w + r * shape.cols;
    float *dx = dw + r * shape.cols;
    const double squares = dot_row(shape, x, x);
    if (squares == 0) {
      continue;
    }
    const float along = static_cast<float>(dot_row(shape, dx, x) / squares);
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

// One step of Adam without weight decay.
struct Adam {
  float grad_scale;
  float beta1, beta2;
  float rest1, rest2;  // 1 - beta
  float rate;          // lr over the first moment's correction
  float scale2;        // 1 over the second's
  float eps;

  __device__ float move(float gradient, float &m, float &v) const {
    const float g = grad_scale * gradient;
    m = fmaf(rest1, g, beta1 * m);
    v = fmaf(rest2, g * g, beta2 * v);
    return rate * m / (sqrtf(v * scale2) + eps);
  }
};

// The last two of the three steps on rows of any length. w, gradient, m, v (rows, cols).
__global__ void __launch_bounds__(kBlock)
    adam_normalise(Shape shape, float *w, const float *gradient, float *m, float *v, Adam adam) {
  for (int64_t r = shape.first_row(); r < shape.rows; r += shape.row_step()) {
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
        x[i] = i < left ? x[i] - adam.move(g[i], first[i], second[i]) : 0;
      }
      store4(w + at, left, shape.aligned, x);
      store4(m + at, left, shape.aligned, first);
      store4(v + at, left, shape.aligned, second);
      squares = dot4(x, x, squares);
    }
    scale_to_unit(shape, w + r * shape.cols, warp_sum(squares));
  }
}

// The three steps on rows of up to 128 kQuads columns, which stay in registers: each array is read and written once.
template <int kQuads>
__global__ void __launch_bounds__(kBlock)
    project_adam_normalise(Shape shape, float *w, float *gradient, float *m, float *v, Adam adam) {
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
        g[q][i] = fmaf(-along, x[q][i], g[q][i]);
        // Past the row's end all is 0, and 0 / (0 + eps) may be NaN: it must not reach the norm.
        x[q][i] = c + i < shape.cols ? x[q][i] - adam.move(g[q][i], first[i], second[i]) : 0;
      }
      store4(gradient + at, shape.cols - c, shape.aligned, g[q]);
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

int rhumb_project_adam_normalise(int64_t rows, int64_t cols, float *d_w, float *d_gradient, float *d_m, float *d_v,
                                 float grad_scale, float lr, float beta1, float beta2, float eps, int64_t step,
                                 void *stream) {
  const char *call = "rhumb_project_adam_normalise";
  const int status =
      check_shape(call, rows, cols, {{"d_w", d_w}, {"d_gradient", d_gradient}, {"d_m", d_m}, {"d_v", d_v}});
  if (status != RHUMB_OK || rows * cols == 0) {
    return status;
  }
  const Shape shape{rows, cols,
                    rhumb::aligned16(d_w, cols) && rhumb::aligned16(d_gradient, cols) && rhumb::aligned16(d_m, cols) &&
                        rhumb::aligned16(d_v, cols)};
  const double correction1 = 1 - std::pow(static_cast<double>(beta1), static_cast<double>(step));
  const double correction2 = 1 - std::pow(static_cast<double>(beta2), static_cast<double>(step));
  const Adam adam{grad_scale,
                  beta1,
                  beta2,
                  static_cast<float>(1 - static_cast<double>(beta1)),
                  static_cast<float>(1 - static_cast<double>(beta2)),
                  static_cast<float>(lr / correction1),
                  static_cast<float>(1 / correction2),
                  eps};
  const dim3 grid = grid_of(rows);
  cudaStream_t on = static_cast<cudaStream_t>(stream);
  const int64_t quads = (cols + 4 * kWarp - 1) / (4 * kWarp);
  if (quads > 8) {  // a row is more than a warp's registers hold
    RHUMB_LAUNCH(project_rows, grid, dim3(kBlock), 0, on, shape, d_w, d_gradient);
    RHUMB_LAUNCH(adam_normalise, grid, dim3(kBlock), 0, on, shape, d_w, d_gradient, d_m, d_v, adam);
    return rhumb::check(cudaGetLastError(), call);
  }
  const auto kernel = quads <= 1   ? project_adam_normalise<1>
                      : quads <= 2 ? project_adam_normalise<2>
                      : quads <= 4 ? project_adam_normalise<4>
                                   : project_adam_normalise<8>;
  RHUMB_LAUNCH(kernel, grid, dim3(kBlock), 0, on, shape, d_w, d_gradient, d_m, d_v, adam);
  return rhumb::check(cudaGetLastError(), call);
}
