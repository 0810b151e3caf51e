// Element-wise and row-wise layers, forward and backward.
//
// The norms have two versions. Up to 1024 columns a warp holds its row in registers, so that it is read once; the
// gradient of gamma and beta is summed on the way. Beyond that a block makes passes over its row, and a second kernel
// sums the columns. Both leave the sums of a fixed part of the rows in scratch, and `join` adds those up.
#include "activation.h"
#include "elementwise.h"
#include "fault.h"
#include "philox.h"
#include "reduce.h"
#include "scratch.h"

namespace {

using rhumb::ceil_div;
using rhumb::kWarp;
using rhumb::load4;
using rhumb::store4;

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;
constexpr int kQuadColumns = 4 * kWarp;            // that a warp reads at once
constexpr int kHeldColumns = 8 * kQuadColumns;     // that its registers hold
constexpr int64_t kMostRowBlocks = int64_t{1} << 30;

dim3 grid_of(int64_t blocks) { return dim3(static_cast<unsigned>(std::min(blocks, kMostRowBlocks))); }

// --- Norms, forward --------------------------------------------------------------------------------------------------

struct Norm {
  int64_t rows, cols;
  float eps;
  const float *x;  // (rows, cols)
  int64_t x_stride;
  bool x_aligned;
  const float *gamma, *beta;  // (cols)
  bool gamma_aligned;         // both
  float *y;                   // (rows, cols), may be x
  int64_t y_stride;
  bool y_aligned;
  float *mean, *rstd;  // (rows) or NULL
};

// A warp to each row; a lane holds columns 4 lane + 128 q and the three after it. kCentred: layer norm, else RMS norm,
// which has no mean and no beta.
template <int kQuads, bool kCentred>
__global__ void __launch_bounds__(kBlock) norm_held(Norm p) {
  const int lane = threadIdx.x % kWarp;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; row < p.rows; row += step) {
    const float *x = p.x + row * p.x_stride;  // (cols)
    float v[kQuads][4];
    float sum = 0;
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const int64_t col = q * kQuadColumns + 4 * lane;
      load4(x + col, p.cols - col, p.x_aligned, v[q]);
      sum += (v[q][0] + v[q][1]) + (v[q][2] + v[q][3]);
    }
    const float mean = kCentred ? rhumb::warp_sum(sum) / p.cols : 0;
    float squares = 0;
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        v[q][i] -= mean;
        squares += q * kQuadColumns + 4 * lane + i < p.cols ? v[q][i] * v[q][i] : 0;
      }
    }
    const float rstd = 1 / sqrtf(rhumb::warp_sum(squares) / p.cols + p.eps);
    float *y = p.y + row * p.y_stride;  // (cols)
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const int64_t col = q * kQuadColumns + 4 * lane;
      float gamma[4];
      float beta[4] = {};
      load4(p.gamma + col, p.cols - col, p.gamma_aligned, gamma);
      if (kCentred) {
        load4(p.beta + col, p.cols - col, p.gamma_aligned, beta);
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        v[q][i] = v[q][i] * rstd * gamma[i] + beta[i];
      }
      store4(y + col, p.cols - col, p.y_aligned, v[q]);
    }
    if (lane == 0 && p.rstd != nullptr) {
      p.rstd[row] = rstd;
      if (kCentred) {
        p.mean[row] = mean;
      }
    }
  }
}

// The same for rows of any width, a block to each.
template <bool kCentred>
__global__ void __launch_bounds__(kBlock) norm_passes(Norm p) {
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const float *x = p.x + row * p.x_stride;  // (cols)
    float mean = 0;
    if (kCentred) {
      float sum = 0;
      for (int64_t c = threadIdx.x; c < p.cols; c += kBlock) {
        sum += x[c];
      }
      mean = rhumb::block_sum<kBlock>(sum) / p.cols;
    }
    float squares = 0;
    for (int64_t c = threadIdx.x; c < p.cols; c += kBlock) {
      squares += (x[c] - mean) * (x[c] - mean);
    }
    const float rstd = 1 / sqrtf(rhumb::block_sum<kBlock>(squares) / p.cols + p.eps);
    float *y = p.y + row * p.y_stride;  // (cols)
    for (int64_t c = threadIdx.x; c < p.cols; c += kBlock) {
      y[c] = (x[c] - mean) * rstd * p.gamma[c] + (kCentred ? p.beta[c] : 0);
    }
    if (threadIdx.x == 0 && p.rstd != nullptr) {
      p.rstd[row] = rstd;
      if (kCentred) {
        p.mean[row] = mean;
      }
    }
  }
}

template <bool kCentred>
int launch_norm(const char *call, const Norm &p, void *stream) {
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  const dim3 grid = grid_of(ceil_div(p.rows, kWarps));
  if (p.cols <= kQuadColumns) {
    RHUMB_LAUNCH((norm_held<1, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else if (p.cols <= 2 * kQuadColumns) {
    RHUMB_LAUNCH((norm_held<2, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else if (p.cols <= 4 * kQuadColumns) {
    RHUMB_LAUNCH((norm_held<4, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else if (p.cols <= kHeldColumns) {
    RHUMB_LAUNCH((norm_held<8, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else {
    RHUMB_LAUNCH((norm_passes<kCentred>), grid_of(p.rows), dim3(kBlock), 0, on, p);
  }
  return rhumb::check(cudaGetLastError(), call);
}

// --- Norms, backward -------------------------------------------------------------------------------------------------

// Rows are cut into this many parts, so that enough warps run on the largest GPUs.
constexpr int64_t kMostParts = 512;
constexpr int64_t kLeastRows = 2 * kWarps;  // of a part

struct NormGradient {
  int64_t rows, cols;
  const float *dy, *x;       // (rows, cols)
  const float *gamma;        // (cols)
  const float *mean, *rstd;  // (rows)
  float dx_beta;
  float *dx;              // (rows, cols), may be dy
  float *dgamma, *dbeta;  // (cols)
  bool aligned;           // all matrices and gamma
  int64_t parts, rows_of_part;
  float *partials;  // (parts, 2, cols): of dgamma, of dbeta
};

// With n the normalised row and g = dy gamma: dx = rstd (g - mean(g) - n mean(g n)); for RMS norm without mean(g).
__device__ __forceinline__ float norm_slope(float rstd, float g, float mean_g, float n, float mean_gn) {
  return rstd * (g - mean_g - n * mean_gn);
}

// Block: a part of the rows, a warp to each row of it in turn; columns as in norm_held.
template <int kQuads, bool kCentred>
__global__ void __launch_bounds__(kBlock) norm_backward_held(NormGradient p) {
  __shared__ float sums[2][kQuads * kQuadColumns];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t first = blockIdx.x * p.rows_of_part;
  const int64_t end = min(p.rows, first + p.rows_of_part);
  float dgamma[kQuads][4] = {};
  float dbeta[kQuads][4] = {};
  for (int64_t row = first + warp; row < end; row += kWarps) {
    const int64_t at = row * p.cols;  // of dy, x, dx (rows, cols)
    const float mean = kCentred ? p.mean[row] : 0;
    const float rstd = p.rstd[row];
    float n[kQuads][4];
    float g[kQuads][4];
    float sum_g = 0;
    float sum_gn = 0;
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const int64_t col = q * kQuadColumns + 4 * lane;
      float gamma[4];
      load4(p.x + at + col, p.cols - col, p.aligned, n[q]);
      load4(p.dy + at + col, p.cols - col, p.aligned, g[q]);
      load4(p.gamma + col, p.cols - col, p.aligned, gamma);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        n[q][i] = (n[q][i] - mean) * rstd;  // past the last column dy is 0
        dgamma[q][i] += g[q][i] * n[q][i];
        if (kCentred) {
          dbeta[q][i] += g[q][i];
        }
        g[q][i] *= gamma[i];
        sum_g += g[q][i];
        sum_gn += g[q][i] * n[q][i];
      }
    }
    const float mean_g = kCentred ? rhumb::warp_sum(sum_g) / p.cols : 0;
    const float mean_gn = rhumb::warp_sum(sum_gn) / p.cols;
#pragma unroll
    for (int q = 0; q < kQuads; q++) {
      const int64_t col = q * kQuadColumns + 4 * lane;
      float before[4] = {};
      if (p.dx_beta != 0) {
        load4(p.dx + at + col, p.cols - col, p.aligned, before);
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        before[i] = p.dx_beta * before[i] + norm_slope(rstd, g[q][i], mean_g, n[q][i], mean_gn);
      }
      store4(p.dx + at + col, p.cols - col, p.aligned, before);
    }
  }
  // The warps' sums one after another.
  for (int w = 0; w < kWarps; w++) {
    if (warp == w) {
#pragma unroll
      for (int q = 0; q < kQuads; q++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int col = q * kQuadColumns + 4 * lane + i;
          sums[0][col] = (w == 0 ? 0 : sums[0][col]) + dgamma[q][i];
          if (kCentred) {
            sums[1][col] = (w == 0 ? 0 : sums[1][col]) + dbeta[q][i];
          }
        }
      }
    }
    __syncthreads();
  }
  float *partials = p.partials + static_cast<int64_t>(blockIdx.x) * 2 * p.cols;  // (2, cols)
  for (int c = threadIdx.x; c < p.cols; c += kBlock) {
    partials[c] = sums[0][c];
    if (kCentred) {
      partials[p.cols + c] = sums[1][c];
    }
  }
}

// Block (x, y): columns 32 x and on, part y of the rows.
template <bool kCentred>
__global__ void __launch_bounds__(kBlock) norm_column_sums(NormGradient p) {
  __shared__ float sums[2][kWarps][kWarp];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  const int64_t first = blockIdx.y * p.rows_of_part;
  const int64_t end = min(p.rows, first + p.rows_of_part);
  float dgamma = 0;
  float dbeta = 0;
  if (col < p.cols) {
#pragma unroll 4
    for (int64_t row = first + warp; row < end; row += kWarps) {
      const float dy = p.dy[row * p.cols + col];
      dgamma += dy * ((p.x[row * p.cols + col] - (kCentred ? p.mean[row] : 0)) * p.rstd[row]);
      dbeta += dy;
    }
  }
  sums[0][warp][lane] = dgamma;
  sums[1][warp][lane] = dbeta;
  __syncthreads();
  if (warp < (kCentred ? 2 : 1) && col < p.cols) {
    float sum = 0;
    for (int w = 0; w < kWarps; w++) {
      sum += sums[warp][w][lane];
    }
    p.partials[(static_cast<int64_t>(blockIdx.y) * 2 + warp) * p.cols + col] = sum;
  }
}

// dx for rows of any width, a block to each.
template <bool kCentred>
__global__ void __launch_bounds__(kBlock) norm_backward_passes(NormGradient p) {
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const int64_t at = row * p.cols;  // of dy, x, dx (rows, cols)
    const float mean = kCentred ? p.mean[row] : 0;
    const float rstd = p.rstd[row];
    float sum_g = 0;
    float sum_gn = 0;
    for (int64_t c = threadIdx.x; c < p.cols; c += kBlock) {
      const float g = p.dy[at + c] * p.gamma[c];
      sum_g += g;
      sum_gn += g * ((p.x[at + c] - mean) * rstd);
    }
    const float mean_g = kCentred ? rhumb::block_sum<kBlock>(sum_g) / p.cols : 0;
    const float mean_gn = rhumb::block_sum<kBlock>(sum_gn) / p.cols;
    for (int64_t c = threadIdx.x; c < p.cols; c += kBlock) {
      const float slope =
          norm_slope(rstd, p.dy[at + c] * p.gamma[c], mean_g, (p.x[at + c] - mean) * rstd, mean_gn);
      p.dx[at + c] = p.dx_beta == 0 ? slope : p.dx_beta * p.dx[at + c] + slope;
    }
  }
}

// Block (x, y): adds the parts' sums of columns 32 x and on to dgamma (y = 0) or dbeta.
__global__ void __launch_bounds__(kBlock) join(NormGradient p) {
  __shared__ float sums[kWarps][kWarp];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  float sum = 0;
  if (col < p.cols) {
#pragma unroll 8
    for (int64_t part = warp; part < p.parts; part += kWarps) {
      sum += p.partials[(part * 2 + blockIdx.y) * p.cols + col];
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && col < p.cols) {
    sum = 0;
    for (int w = 0; w < kWarps; w++) {
      sum += sums[w][lane];
    }
    float *to = blockIdx.y == 0 ? p.dgamma : p.dbeta;
    to[col] += sum;
  }
}

int64_t rows_of_part(int64_t rows) {
  const int64_t parts = std::max<int64_t>(1, std::min(kMostParts, rows / kLeastRows));
  return std::max<int64_t>(1, ceil_div(rows, parts));
}

int64_t norm_gradient_scratch(int64_t rows, int64_t cols) {
  if (rows <= 0 || cols <= 0) {
    return 0;
  }
  rhumb::Scratch cut(nullptr);
  cut.take<float>(ceil_div(rows, rows_of_part(rows)) * 2 * cols);
  return cut.bytes();
}

template <bool kCentred>
int launch_norm_backward(const char *call, NormGradient p, void *scratch, void *stream) {
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  p.aligned = rhumb::aligned16(p.dy, p.cols) && rhumb::aligned16(p.x, p.cols) && rhumb::aligned16(p.dx, p.cols) &&
              rhumb::aligned16(p.gamma, 0);
  p.rows_of_part = rows_of_part(p.rows);
  p.parts = ceil_div(p.rows, p.rows_of_part);
  p.partials = static_cast<float *>(scratch);
  const dim3 grid(static_cast<unsigned>(p.parts));
  if (p.cols <= kQuadColumns) {
    RHUMB_LAUNCH((norm_backward_held<1, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else if (p.cols <= 2 * kQuadColumns) {
    RHUMB_LAUNCH((norm_backward_held<2, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else if (p.cols <= 4 * kQuadColumns) {
    RHUMB_LAUNCH((norm_backward_held<4, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else if (p.cols <= kHeldColumns) {
    RHUMB_LAUNCH((norm_backward_held<8, kCentred>), grid, dim3(kBlock), 0, on, p);
  } else {
    // In this order: dx may take the place of dy.
    const dim3 columns(static_cast<unsigned>(ceil_div(p.cols, kWarp)), static_cast<unsigned>(p.parts));
    RHUMB_LAUNCH((norm_column_sums<kCentred>), columns, dim3(kBlock), 0, on, p);
    RHUMB_LAUNCH((norm_backward_passes<kCentred>), grid_of(p.rows), dim3(kBlock), 0, on, p);
  }
  RHUMB_LAUNCH(join, dim3(static_cast<unsigned>(ceil_div(p.cols, kWarp)), kCentred ? 2 : 1), dim3(kBlock), 0, on, p);
  return rhumb::check(cudaGetLastError(), call);
}

}  // namespace

int rhumb_layer_norm(int64_t rows, int64_t cols, float eps, const float *d_x, int64_t x_stride, const float *d_gamma,
                     const float *d_beta, float *d_y, int64_t y_stride, float *d_mean, float *d_rstd, void *stream) {
  const char *call = "rhumb_layer_norm";
  int status = rhumb::check_counts(
      call, {{"rows", rows}, {"cols", cols}, {"x_stride", x_stride}, {"y_stride", y_stride}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_x", d_x}, {"d_gamma", d_gamma}, {"d_beta", d_beta}, {"d_y", d_y}});
  if (status == RHUMB_OK && (d_mean == nullptr) != (d_rstd == nullptr)) {
    status = rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: d_mean and d_rstd go together, but one is NULL", call);
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const Norm p{rows,
               cols,
               eps,
               d_x,
               x_stride,
               rhumb::aligned16(d_x, x_stride),
               d_gamma,
               d_beta,
               rhumb::aligned16(d_gamma, 0) && rhumb::aligned16(d_beta, 0),
               d_y,
               y_stride,
               rhumb::aligned16(d_y, y_stride),
               d_mean,
               d_rstd};
  return launch_norm<true>("rhumb_layer_norm: launch", p, stream);
}

int64_t rhumb_layer_norm_backward_scratch(int64_t rows, int64_t cols) { return norm_gradient_scratch(rows, cols); }

int rhumb_layer_norm_backward(int64_t rows, int64_t cols, const float *d_dy, const float *d_x, const float *d_gamma,
                              const float *d_mean, const float *d_rstd, float dx_beta, float *d_dx, float *d_dgamma,
                              float *d_dbeta, void *d_scratch, int64_t scratch_bytes, void *stream) {
  const char *call = "rhumb_layer_norm_backward";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_dy", d_dy},
                                        {"d_x", d_x},
                                        {"d_gamma", d_gamma},
                                        {"d_mean", d_mean},
                                        {"d_rstd", d_rstd},
                                        {"d_dx", d_dx},
                                        {"d_dgamma", d_dgamma},
                                        {"d_dbeta", d_dbeta}});
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, norm_gradient_scratch(rows, cols));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const NormGradient p{rows,    cols, d_dy,     d_x,     d_gamma, d_mean, d_rstd,
                       dx_beta, d_dx, d_dgamma, d_dbeta, false,   0,      0,      nullptr};
  return launch_norm_backward<true>("rhumb_layer_norm_backward: launch", p, d_scratch, stream);
}

int rhumb_rms_norm(int64_t rows, int64_t cols, float eps, const float *d_x, int64_t x_stride, const float *d_gamma,
                   float *d_y, int64_t y_stride, float *d_rstd, void *stream) {
  const char *call = "rhumb_rms_norm";
  int status = rhumb::check_counts(
      call, {{"rows", rows}, {"cols", cols}, {"x_stride", x_stride}, {"y_stride", y_stride}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_x", d_x}, {"d_gamma", d_gamma}, {"d_y", d_y}});
  if (status != RHUMB_OK) {
    return status;
  }
  const Norm p{rows,
               cols,
               eps,
               d_x,
               x_stride,
               rhumb::aligned16(d_x, x_stride),
               d_gamma,
               nullptr,
               rhumb::aligned16(d_gamma, 0),
               d_y,
               y_stride,
               rhumb::aligned16(d_y, y_stride),
               nullptr,
               d_rstd};
  return launch_norm<false>("rhumb_rms_norm: launch", p, stream);
}

int64_t rhumb_rms_norm_backward_scratch(int64_t rows, int64_t cols) { return norm_gradient_scratch(rows, cols); }

int rhumb_rms_norm_backward(int64_t rows, int64_t cols, const float *d_dy, const float *d_x, const float *d_gamma,
                            const float *d_rstd, float dx_beta, float *d_dx, float *d_dgamma, void *d_scratch,
                            int64_t scratch_bytes, void *stream) {
  const char *call = "rhumb_rms_norm_backward";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_dy", d_dy},
                                        {"d_x", d_x},
                                        {"d_gamma", d_gamma},
                                        {"d_rstd", d_rstd},
                                        {"d_dx", d_dx},
                                        {"d_dgamma", d_dgamma}});
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes, norm_gradient_scratch(rows, cols));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const NormGradient p{rows,    cols, d_dy,     d_x,     d_gamma, nullptr, d_rstd,
                       dx_beta, d_dx, d_dgamma, nullptr, false,   0,       0,      nullptr};
  return launch_norm_backward<false>("rhumb_rms_norm_backward: launch", p, d_scratch, stream);
}

// --- SwiGLU ----------------------------------------------------------------------------------------------------------

namespace {

// x (rows, 2 cols): g, u; y (rows, cols).
__global__ void __launch_bounds__(kBlock)
    swiglu(int64_t rows, int64_t cols, const float *x, float *y, bool aligned) {
  for (int64_t r = rhumb::first_row(); r < rows; r += rhumb::row_step()) {
    for (int64_t c = 4 * rhumb::first_place(); c < cols; c += 4 * rhumb::place_step()) {
      float g[4];
      float u[4];
      load4(x + 2 * r * cols + c, cols - c, aligned, g);
      load4(x + 2 * r * cols + cols + c, cols - c, aligned, u);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        u[i] *= rhumb::activate(RHUMB_SILU, g[i]);
      }
      store4(y + r * cols + c, cols - c, aligned, u);
    }
  }
}

// x, dx (rows, 2 cols), dx may be x; dy (rows, cols).
__global__ void __launch_bounds__(kBlock)
    swiglu_backward(int64_t rows, int64_t cols, const float *x, const float *dy, float *dx, bool aligned) {
  for (int64_t r = rhumb::first_row(); r < rows; r += rhumb::row_step()) {
    for (int64_t c = 4 * rhumb::first_place(); c < cols; c += 4 * rhumb::place_step()) {
      float g[4];
      float u[4];
      float d[4];
      load4(x + 2 * r * cols + c, cols - c, aligned, g);
      load4(x + 2 * r * cols + cols + c, cols - c, aligned, u);
      load4(dy + r * cols + c, cols - c, aligned, d);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        u[i] *= d[i] * rhumb::activation_slope(RHUMB_SILU, g[i]);
        d[i] *= rhumb::activate(RHUMB_SILU, g[i]);
      }
      store4(dx + 2 * r * cols + c, cols - c, aligned, u);
      store4(dx + 2 * r * cols + cols + c, cols - c, aligned, d);
    }
  }
}

}  // namespace

int rhumb_swiglu(int64_t rows, int64_t cols, const float *d_x, float *d_y, void *stream) {
  const char *call = "rhumb_swiglu";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_x", d_x}, {"d_y", d_y}});
  if (status != RHUMB_OK) {
    return status;
  }
  const rhumb::RowLaunch shape(rows, ceil_div(cols, 4));
  RHUMB_LAUNCH(swiglu, shape.grid, shape.block, 0, static_cast<cudaStream_t>(stream), rows, cols, d_x, d_y,
               rhumb::aligned16(d_x, cols) && rhumb::aligned16(d_y, cols));
  return rhumb::check(cudaGetLastError(), "rhumb_swiglu: launch");
}

int rhumb_swiglu_backward(int64_t rows, int64_t cols, const float *d_x, const float *d_dy, float *d_dx, void *stream) {
  const char *call = "rhumb_swiglu_backward";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_x", d_x}, {"d_dy", d_dy}, {"d_dx", d_dx}});
  if (status != RHUMB_OK) {
    return status;
  }
  const rhumb::RowLaunch shape(rows, ceil_div(cols, 4));
  RHUMB_LAUNCH(swiglu_backward, shape.grid, shape.block, 0, static_cast<cudaStream_t>(stream), rows, cols, d_x, d_dy,
               d_dx, rhumb::aligned16(d_x, cols) && rhumb::aligned16(d_dy, cols) && rhumb::aligned16(d_dx, cols));
  return rhumb::check(cudaGetLastError(), "rhumb_swiglu_backward: launch");
}

// --- Rotary ----------------------------------------------------------------------------------------------------------

namespace {

// A place is a pair (head, i): columns i and i + half of a head. positions (rows); angles (table_rows, 2 half): cosines,
// then sines; x (rows, heads 2 half).
__global__ void __launch_bounds__(kBlock)
    rotary(int64_t rows, int64_t pairs, int half, const int32_t *positions, int64_t table_rows, const float *angles,
           bool inverse, float *x, int64_t stride, uint64_t *faults) {
  for (int64_t r = rhumb::first_row(); r < rows; r += rhumb::row_step()) {
    const int32_t position = positions[r];
    if (position < 0 || position >= table_rows) {
      if (rhumb::first_place() == 0) {
        rhumb::report_fault(faults, RHUMB_FAULT_ROTARY_POSITION, r, static_cast<uint32_t>(position));
      }
      continue;
    }
    const float *turn = angles + static_cast<int64_t>(position) * 2 * half;  // (2 half)
    for (int64_t pair = rhumb::first_place(); pair < pairs; pair += rhumb::place_step()) {
      const int head = static_cast<int>(pair) / half;
      const int i = static_cast<int>(pair) % half;
      float *at = x + r * stride + static_cast<int64_t>(head) * 2 * half + i;  // (2 half) from i on
      const float cosine = turn[i];
      const float sine = inverse ? -turn[half + i] : turn[half + i];
      const float a = at[0];
      const float b = at[half];
      at[0] = a * cosine - b * sine;
      at[half] = b * cosine + a * sine;
    }
  }
}

}  // namespace

int rhumb_rotary(int64_t rows, int64_t heads, int64_t head_width, const int32_t *d_positions, int64_t table_rows,
                 const float *d_angles, int inverse, float *d_x, int64_t x_stride, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_rotary";
  int status = rhumb::check_counts(call, {{"rows", rows},
                                          {"heads", heads},
                                          {"head_width", head_width},
                                          {"table_rows", table_rows},
                                          {"x_stride", x_stride}});
  if (status == RHUMB_OK && (head_width % 2 != 0 || heads > 0x7fffffff / std::max<int64_t>(1, head_width))) {
    status = rhumb::fail(RHUMB_INVALID_ARGUMENT,
                         "%s: heads = %lld, head_width = %lld, but the width must be even and their product below 2^31",
                         call, static_cast<long long>(heads), static_cast<long long>(head_width));
  }
  if (status != RHUMB_OK || rows == 0 || heads == 0 || head_width == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_positions", d_positions}, {"d_x", d_x}, {"d_faults", d_faults}});
  if (status == RHUMB_OK && table_rows > 0) {
    status = rhumb::check_pointers(call, {{"d_angles", d_angles}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const int half = static_cast<int>(head_width / 2);
  const rhumb::RowLaunch shape(rows, heads * half);
  RHUMB_LAUNCH(rotary, shape.grid, shape.block, 0, static_cast<cudaStream_t>(stream), rows, heads * half, half,
               d_positions, table_rows, d_angles, inverse != 0, d_x, x_stride, d_faults);
  return rhumb::check(cudaGetLastError(), "rhumb_rotary: launch");
}

// --- Activation ------------------------------------------------------------------------------------------------------

namespace {

struct Activate {
  int activation;
  __device__ __forceinline__ void operator()(const float (&in)[1], float (&out)[1]) const {
    out[0] = rhumb::activate(activation, in[0]);
  }
};

// in: x, dy; out: dx.
struct ActivateBackward {
  int activation;
  __device__ __forceinline__ void operator()(const float (&in)[2], float (&out)[1]) const {
    out[0] = in[1] * rhumb::activation_slope(activation, in[0]);
  }
};

int check_elements(const char *call, int activation, int64_t count) {
  const int status = rhumb::check_activation(call, activation);
  return status != RHUMB_OK ? status : rhumb::check_counts(call, {{"count", count}});
}

}  // namespace

int rhumb_activation(int activation, int64_t count, const float *d_x, float *d_y, void *stream) {
  int status = check_elements("rhumb_activation", activation, count);
  if (status == RHUMB_OK && count > 0) {
    status = rhumb::check_pointers("rhumb_activation", {{"d_x", d_x}, {"d_y", d_y}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  return rhumb::launch_map<1, 1>("rhumb_activation: launch", {{d_x}}, {{d_y}}, Activate{activation}, count, stream);
}

int rhumb_activation_backward(int activation, int64_t count, const float *d_x, const float *d_dy, float *d_dx,
                              void *stream) {
  int status = check_elements("rhumb_activation_backward", activation, count);
  if (status == RHUMB_OK && count > 0) {
    status = rhumb::check_pointers("rhumb_activation_backward", {{"d_x", d_x}, {"d_dy", d_dy}, {"d_dx", d_dx}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  return rhumb::launch_map<2, 1>("rhumb_activation_backward: launch", {{d_x, d_dy}}, {{d_dx}},
                                 ActivateBackward{activation}, count, stream);
}

// --- Dropout ---------------------------------------------------------------------------------------------------------

namespace {

// A place is a counter of Philox: four columns 16 apart. x, y (rows, cols).
__global__ void __launch_bounds__(kBlock)
    dropout(int64_t rows, int64_t cols, int64_t counters, uint32_t threshold, float factor, int64_t key, int64_t stream,
            const float *x, float *y) {
  for (int64_t r = rhumb::first_row(); r < rows; r += rhumb::row_step()) {
    for (int64_t counter = rhumb::first_place(); counter < counters; counter += rhumb::place_step()) {
      const int64_t col = counter / 16 * 64 + counter % 16;
      const rhumb::PhiloxWords bits =
          rhumb::philox_words(key, stream, static_cast<uint32_t>(r), static_cast<uint32_t>(counter));
#pragma unroll
      for (int w = 0; w < 4; w++) {
        const int64_t at = r * cols + col + 16 * w;
        if (col + 16 * w < cols) {
          y[at] = bits.word[w] >= threshold ? x[at] * factor : 0;
        }
      }
    }
  }
}

}  // namespace

int rhumb_dropout(int64_t rows, int64_t cols, float p, int64_t key, int64_t offset, const float *d_x, float *d_y,
                  void *stream) {
  const char *call = "rhumb_dropout";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}});
  if (status == RHUMB_OK && !(p >= 0 && p < 1)) {
    status = rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: p = %g, but it must be from 0 to below 1", call,
                         static_cast<double>(p));
  }
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_x", d_x}, {"d_y", d_y}});
  if (status != RHUMB_OK) {
    return status;
  }
  const int64_t counters = ceil_div(cols, 64) * 16;
  const rhumb::RowLaunch shape(rows, counters);
  RHUMB_LAUNCH(dropout, shape.grid, shape.block, 0, static_cast<cudaStream_t>(stream), rows, cols, counters,
               rhumb::philox_keep_threshold(p), static_cast<float>(1 / (1 - static_cast<double>(p))), key, offset, d_x,
               d_y);
  return rhumb::check(cudaGetLastError(), "rhumb_dropout: launch");
}

// --- Gather ----------------------------------------------------------------------------------------------------------

namespace {

// ids (rows), table (table_rows, cols), y (rows, cols).
__global__ void __launch_bounds__(kBlock)
    gather(int64_t rows, int64_t cols, const int32_t *ids, int64_t table_rows, const float *table, float scale,
           float beta, float *y, bool aligned, uint64_t *faults) {
  for (int64_t r = rhumb::first_row(); r < rows; r += rhumb::row_step()) {
    const int32_t id = ids[r];
    if (id < 0 || id >= table_rows) {
      if (rhumb::first_place() == 0) {
        rhumb::report_fault(faults, RHUMB_FAULT_GATHER_ID, r, static_cast<uint32_t>(id));
      }
      continue;
    }
    for (int64_t c = 4 * rhumb::first_place(); c < cols; c += 4 * rhumb::place_step()) {
      float from[4];
      float to[4] = {};
      load4(table + id * cols + c, cols - c, aligned, from);
      if (beta != 0) {
        load4(y + r * cols + c, cols - c, aligned, to);
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        to[i] = beta == 0 ? scale * from[i] : beta * to[i] + scale * from[i];
      }
      store4(y + r * cols + c, cols - c, aligned, to);
    }
  }
}

}  // namespace

int rhumb_gather(int64_t rows, int64_t cols, const int32_t *d_ids, int64_t table_rows, const float *d_table,
                 float scale, float beta, float *d_y, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_gather";
  int status = rhumb::check_counts(call, {{"rows", rows}, {"cols", cols}, {"table_rows", table_rows}});
  if (status != RHUMB_OK || rows == 0 || cols == 0) {
    return status;
  }
  status = rhumb::check_pointers(call, {{"d_ids", d_ids}, {"d_y", d_y}, {"d_faults", d_faults}});
  if (status == RHUMB_OK && table_rows > 0) {
    status = rhumb::check_pointers(call, {{"d_table", d_table}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const rhumb::RowLaunch shape(rows, ceil_div(cols, 4));
  RHUMB_LAUNCH(gather, shape.grid, shape.block, 0, static_cast<cudaStream_t>(stream), rows, cols, d_ids, table_rows,
               d_table, scale, beta, d_y, rhumb::aligned16(d_table, cols) && rhumb::aligned16(d_y, cols), d_faults);
  return rhumb::check(cudaGetLastError(), "rhumb_gather: launch");
}
