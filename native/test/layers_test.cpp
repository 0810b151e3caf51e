// Layers, against plain loops in double.
#include <algorithm>
#include <vector>

#include "testing.h"

using testing::Array;
using testing::check;
using testing::extent;
using testing::Faults;
using testing::good;
using testing::near;
using testing::refused;
using testing::uniforms;

namespace {

// Both sides of what a warp reads at once, holds, and leaves to a block.
constexpr int64_t kWidths[] = {1, 3, 31, 64, 127, 128, 129, 256, 257, 511, 516, 1024, 1025, 1300};

struct Moments {
  double mean, rstd;
};

Moments moments(const float *x, int64_t cols, double eps, bool centred) {
  double mean = 0;
  for (int64_t c = 0; c < cols && centred; c++) {
    mean += x[c] / static_cast<double>(cols);
  }
  double squares = 0;
  for (int64_t c = 0; c < cols; c++) {
    squares += (x[c] - mean) * (x[c] - mean);
  }
  return {mean, 1 / std::sqrt(squares / static_cast<double>(cols) + eps)};
}

void norm(int64_t rows, int64_t cols, int64_t pad, bool centred, bool in_place, bool keep) {
  const float eps = 1e-5f;
  const int64_t stride = cols + pad;
  Array<float> x = uniforms(extent(rows, cols, stride), 3, 5);
  const Array<float> was = x;
  const Array<float> gamma = uniforms(cols);
  const Array<float> beta = uniforms(cols);
  Array<float> other(x.count(), -7.0f);
  Array<float> &y = in_place ? x : other;
  Array<float> mean(rows);
  Array<float> rstd(rows);
  good(centred ? rhumb_layer_norm(rows, cols, eps, x.data(), stride, gamma.data(), beta.data(), y.data(), stride,
                                  keep ? mean.data() : nullptr, keep ? rstd.data() : nullptr, nullptr)
               : rhumb_rms_norm(rows, cols, eps, x.data(), stride, gamma.data(), y.data(), stride,
                                keep ? rstd.data() : nullptr, nullptr),
       "norm");
  for (int64_t r = 0; r < rows; r++) {
    const Moments m = moments(was.data() + r * stride, cols, eps, centred);
    for (int64_t c = 0; c < cols; c++) {
      const double n = (was[r * stride + c] - m.mean) * m.rstd;
      near("norm", r, c, y[r * stride + c], n * gamma[c] + (centred ? beta[c] : 0), cols, centred ? 4 * m.rstd : 1);
    }
    for (int64_t c = cols; c < stride && r < rows - 1; c++) {
      check(y[r * stride + c] == (in_place ? was[r * stride + c] : -7.0f), "norm: pads stay");
    }
    if (keep) {
      near("rstd", r, 0, rstd[r], m.rstd, cols, 0);
      if (centred) {
        near("mean", r, 0, mean[r], m.mean, cols, 4);
      }
    }
  }
}

void norm_backward(int64_t rows, int64_t cols, float dx_beta, bool centred, bool in_place) {
  const Array<float> x = uniforms(rows * cols);
  const Array<float> gamma = uniforms(cols);
  Array<float> dy = uniforms(rows * cols);
  const Array<float> dy_was = dy;
  Array<float> other(rows * cols, NAN);
  Array<float> &dx = in_place ? dy : other;
  if (dx_beta != 0) {
    std::generate_n(dx.data(), dx.count(), [] { return testing::uniform(-1, 1); });
  }
  const Array<float> dx_was = dx;
  Array<float> mean(rows);
  Array<float> rstd(rows);
  for (int64_t r = 0; r < rows; r++) {
    const Moments m = moments(x.data() + r * cols, cols, 1e-2, centred);
    mean[r] = static_cast<float>(m.mean);
    rstd[r] = static_cast<float>(m.rstd);
  }
  Array<float> dgamma = uniforms(cols);
  Array<float> dbeta = uniforms(cols);
  std::vector<double> sum_gamma(dgamma.data(), dgamma.data() + cols);
  std::vector<double> sum_beta(dbeta.data(), dbeta.data() + cols);
  const int64_t bytes =
      centred ? rhumb_layer_norm_backward_scratch(rows, cols) : rhumb_rms_norm_backward_scratch(rows, cols);
  Array<unsigned char> scratch(bytes);
  good(centred ? rhumb_layer_norm_backward(rows, cols, dy.data(), x.data(), gamma.data(), mean.data(), rstd.data(),
                                           dx_beta, dx.data(), dgamma.data(), dbeta.data(), scratch.data(), bytes,
                                           nullptr)
               : rhumb_rms_norm_backward(rows, cols, dy.data(), x.data(), gamma.data(), rstd.data(), dx_beta, dx.data(),
                                         dgamma.data(), scratch.data(), bytes, nullptr),
       "norm_backward");
  for (int64_t r = 0; r < rows; r++) {
    const double centre = centred ? mean[r] : 0;
    double mean_g = 0;
    double mean_gn = 0;
    for (int64_t c = 0; c < cols; c++) {
      const double n = (x[r * cols + c] - centre) * rstd[r];
      const double g = static_cast<double>(dy_was[r * cols + c]) * gamma[c];
      mean_g += centred ? g / static_cast<double>(cols) : 0;
      mean_gn += g * n / static_cast<double>(cols);
      sum_gamma[c] += dy_was[r * cols + c] * n;
      sum_beta[c] += dy_was[r * cols + c];
    }
    for (int64_t c = 0; c < cols; c++) {
      const double n = (x[r * cols + c] - centre) * rstd[r];
      const double slope = rstd[r] * (static_cast<double>(dy_was[r * cols + c]) * gamma[c] - mean_g - n * mean_gn);
      near("norm's dx", r, c, dx[r * cols + c], (dx_beta == 0 ? 0 : dx_beta * dx_was[r * cols + c]) + slope, cols,
           1 + rstd[r]);
    }
  }
  for (int64_t c = 0; c < cols; c++) {
    near("norm's dgamma", rows, c, dgamma[c], sum_gamma[c], rows, 2);
    if (centred) {
      near("norm's dbeta", rows, c, dbeta[c], sum_beta[c], rows, 2);
    }
  }
}

void norms() {
  int salt = 0;
  for (int64_t cols : kWidths) {
    for (int64_t rows : {0, 1, 9}) {
      for (bool centred : {true, false}) {
        norm(rows, cols, salt % 3 == 0 ? 4 - cols % 4 : salt % 3, centred, salt % 2 == 0, salt % 5 != 0);
        salt++;
        norm_backward(rows, cols, salt % 3 == 0 ? 0.5f : 0, centred, salt % 6 == 1);
      }
    }
  }
  for (bool centred : {true, false}) {  // several parts of the rows, the last one short
    norm_backward(101, 70, 0, centred, false);
    norm_backward(101, 1028, 0, centred, true);
  }
}

double silu(double x) { return x / (1 + std::exp(-x)); }
double silu_slope(double x) {
  const double s = 1 / (1 + std::exp(-x));
  return s * (1 + x * (1 - s));
}

void swiglu(int64_t rows, int64_t cols, bool in_place) {
  Array<float> x = uniforms(rows * 2 * cols, -6, 6);
  const Array<float> was = x;
  const Array<float> dy = uniforms(rows * cols);
  Array<float> y(rows * cols);
  Array<float> other(x.count());
  Array<float> &dx = in_place ? x : other;
  good(rhumb_swiglu(rows, cols, x.data(), y.data(), nullptr), "swiglu");
  good(rhumb_swiglu_backward(rows, cols, x.data(), dy.data(), dx.data(), nullptr), "swiglu_backward");
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < cols; c++) {
      const double g = was[2 * r * cols + c];
      const double u = was[2 * r * cols + cols + c];
      const double d = dy[r * cols + c];
      near("swiglu", r, c, y[r * cols + c], silu(g) * u, 2, 6);
      near("swiglu's dg", r, c, dx[2 * r * cols + c], d * u * silu_slope(g), 2, 6);
      near("swiglu's du", r, c, dx[2 * r * cols + cols + c], d * silu(g), 2, 6);
    }
  }
}

void rotary(int64_t rows, int64_t heads, int64_t width, bool inverse) {
  const int64_t table = 7;
  const int64_t stride = heads * width + 3;
  const Array<float> angles = uniforms(table * width);
  Array<float> x = uniforms(extent(rows, heads * width, stride));
  Array<int32_t> positions(rows);
  for (int64_t r = 0; r < rows; r++) {
    positions[r] = static_cast<int32_t>(testing::below(table));
  }
  if (rows > 3) {
    positions[2] = -1;
    positions[3] = 7;
  }
  const Array<float> was = x;
  Faults faults;
  good(rhumb_rotary(rows, heads, width, positions.data(), table, angles.data(), inverse, x.data(), stride,
                    faults.data(), nullptr),
       "rotary");
  check(rows > 3 ? faults.is(RHUMB_FAULT_ROTARY_POSITION, 2, 0xffffffffu) : faults.none(), "rotary's fault");
  const int64_t half = width / 2;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < heads * width; c++) {
      if (positions[r] < 0 || positions[r] >= table) {
        check(x[r * stride + c] == was[r * stride + c], "a row without a position stays");
        continue;
      }
      const int64_t i = c % width;
      const float *turn = angles.data() + positions[r] * width;
      const double sine = (inverse ? -1 : 1) * (i < half ? -1 : 1) * turn[half + i % half];
      const double other = was[r * stride + (i < half ? c + half : c - half)];
      near("rotary", r, c, x[r * stride + c], was[r * stride + c] * static_cast<double>(turn[i % half]) + other * sine,
           2);
    }
  }
}

// The slope by its definition, from the function.
double slope_of(double (*function)(double), double x) {
  const double step = 1e-5;
  return (function(x + step) - function(x - step)) / (2 * step);
}

double none(double x) { return x; }
double relu(double x) { return std::max(x, 0.0); }
double gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
double gelu_erf(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

void activations(int64_t count) {
  double (*const functions[])(double) = {none, relu, gelu, gelu_erf, silu};
  for (int activation = RHUMB_NONE; activation <= RHUMB_SILU; activation++) {
    Array<float> x = uniforms(count, -9, 9);
    const double extremes[] = {0, -1e-42, 1e-20, 30, -30, 1e4, -1e4, 1e30, -1e30};
    for (int64_t i = 0; i < count && i < 9 && count > 20; i++) {
      x[i] = static_cast<float>(extremes[i]);
    }
    Array<float> dy = uniforms(count);
    Array<float> y(count);
    Array<float> dx(count);
    good(rhumb_activation(activation, count, x.data(), y.data(), nullptr), "activation");
    good(rhumb_activation_backward(activation, count, x.data(), dy.data(), dx.data(), nullptr), "activation_backward");
    for (int64_t i = 0; i < count; i++) {
      near("activation", activation, i, y[i], functions[activation](x[i]), 4);
      const double far = std::fabs(x[i]) > 20 ? (x[i] > 0 || activation == RHUMB_NONE ? 1 : 0) : -1;
      const double slope = far >= 0                                             ? far
                           : activation == RHUMB_RELU && std::fabs(x[i]) < 1e-4 ? (x[i] > 0 ? 1 : 0)
                                                                                : slope_of(functions[activation], x[i]);
      near("activation's dx", activation, i, dx[i], dy[i] * slope, 16);
    }
    good(rhumb_activation_backward(activation, count, x.data(), dy.data(), dy.data(), nullptr), "in place");
    check(dy.same_bits(dx), "activation_backward in place");
    good(rhumb_activation(activation, count, x.data(), x.data(), nullptr), "in place");
    check(x.same_bits(y), "activation in place");
  }
}

// Philox 4x32-10 as its authors wrote it, for one word.
uint32_t philox(int64_t key, int64_t stream, int64_t row, int64_t col) {
  uint32_t c[4] = {static_cast<uint32_t>(col / 64 * 16 + col % 16), static_cast<uint32_t>(row),
                   static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  uint32_t k[2] = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
  for (int round = 0; round < 10; round++) {
    const uint64_t first = 0xD2511F53ull * c[0];
    const uint64_t second = 0xCD9E8D57ull * c[2];
    const uint32_t next[4] = {static_cast<uint32_t>(second >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(second),
                              static_cast<uint32_t>(first >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(first)};
    std::copy(next, next + 4, c);
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c[col % 64 / 16];
}

void dropout(int64_t rows, int64_t cols, float p, bool in_place) {
  const int64_t key = 0x123456789ABCDEF0;
  const int64_t stream = (int64_t{7} << 32) + 3;
  Array<float> x = uniforms(rows * cols);
  const Array<float> was = x;
  Array<float> other(x.count());
  Array<float> &y = in_place ? x : other;
  good(rhumb_dropout(rows, cols, p, key, stream, x.data(), y.data(), nullptr), "dropout");
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < cols; c++) {
      const bool kept = philox(key, stream, r, c) >= static_cast<double>(p) * 0x1p32;
      near("dropout", r, c, y[r * cols + c], kept ? was[r * cols + c] / (1 - static_cast<double>(p)) : 0, 0, 0);
    }
  }
}

void gather(int64_t rows, int64_t cols, float beta) {
  const int64_t table_rows = 5;
  const Array<float> table = uniforms(table_rows * cols);
  Array<int32_t> ids(rows);
  for (int64_t r = 0; r < rows; r++) {
    ids[r] = static_cast<int32_t>(testing::below(table_rows));
  }
  if (rows > 3) {
    ids[1] = 5;
    ids[3] = -2;
  }
  Array<float> y = uniforms(rows * cols);
  if (beta == 0) {
    std::fill_n(y.data(), y.count(), NAN);
  }
  const Array<float> was = y;
  Faults faults;
  good(rhumb_gather(rows, cols, ids.data(), table_rows, table.data(), 3, beta, y.data(), faults.data(), nullptr),
       "gather");
  check(rows > 3 ? faults.is(RHUMB_FAULT_GATHER_ID, 1, 5) : faults.none(), "gather's fault");
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < cols && ids[r] >= 0 && ids[r] < table_rows; c++) {
      near("gather", r, c, y[r * cols + c],
           (beta == 0 ? 0 : beta * was[r * cols + c]) + 3.0 * table[ids[r] * cols + c], 1);
    }
  }
}

void refusals() {
  Array<float> x(16, 1.0f);
  Faults faults;
  Array<int32_t> ids(4, 0);
  refused(rhumb_layer_norm(2, 8, 0, x.data(), 8, x.data(), nullptr, x.data(), 8, nullptr, nullptr, nullptr),
          "d_beta is NULL");
  refused(rhumb_layer_norm(2, 8, 0, x.data(), 8, x.data(), x.data(), x.data(), 8, x.data(), nullptr, nullptr),
          "d_mean and d_rstd go together");
  refused(rhumb_rms_norm(-2, 8, 0, x.data(), 8, x.data(), x.data(), 8, nullptr, nullptr), "rows = -2 is negative");
  refused(rhumb_rms_norm_backward(2, 8, x.data(), x.data(), x.data(), x.data(), 0, x.data(), x.data(), nullptr, 0,
                                  nullptr),
          "rhumb_rms_norm_backward_scratch");
  refused(rhumb_rotary(2, 1, 3, ids.data(), 1, x.data(), 0, x.data(), 3, faults.data(), nullptr), "must be even");
  refused(rhumb_dropout(2, 8, 1, 0, 0, x.data(), x.data(), nullptr), "p = 1");
  refused(rhumb_gather(2, 8, ids.data(), 1, x.data(), 1, 0, x.data(), nullptr, nullptr), "d_faults is NULL");
  refused(rhumb_activation(7, 8, x.data(), x.data(), nullptr), "activation = 7");
}

}  // namespace

int main() {
  norms();
  int salt = 0;
  for (int64_t cols : {1, 4, 5, 33, 64, 127, 200, 1028, 2050}) {
    for (int64_t rows : {0, 1, 7, 67}) {
      salt++;
      swiglu(rows, cols, salt % 2 == 0);
      dropout(rows, cols, salt % 3 == 0 ? 0 : salt % 3 == 1 ? 0.5f : 0.99f, salt % 4 == 0);
      gather(rows, cols, salt % 3 == 0 ? 0.5f : 0);
    }
  }
  for (int64_t width : {2, 6, 34, 64, 128}) {
    for (int64_t rows : {0, 1, 7, 300}) {
      rotary(rows, 1 + rows % 3, width, rows % 2 == 0);
    }
  }
  for (int64_t count : {0, 1, 3, 4, 7, 33, 1025, 4099}) {
    activations(count);
  }
  refusals();
  return testing::finish("layers_test");
}
