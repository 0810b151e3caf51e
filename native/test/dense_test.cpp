// Dense operations, against plain loops in double.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "testing.h"

namespace {

using testing::Array;
using testing::bf16_operands;
using testing::extent;
using testing::uniforms;

double act(int activation, double x) {
  switch (activation) {
    case RHUMB_RELU:
      return std::max(x, 0.0);
    case RHUMB_GELU:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case RHUMB_GELU_ERF:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case RHUMB_SILU:
      return x / (1 + std::exp(-x));
    default:
      return x;
  }
}

// Everything that varies, but the sizes and the precision, follows from `salt`. In bf16 the product is that of rounded
// operands, within the errors of float32 sums: these are far smaller than one operand's rounding.
void gemm(int precision, int64_t m, int64_t n, int64_t k, int salt) {
  const bool trans_a = (salt & 1) != 0;
  const bool trans_b = (salt & 2) != 0;
  const float alpha = salt % 3 == 2 ? -0.5f : 1;
  const float beta = salt / 4 % 3 == 0 ? 0 : salt / 4 % 3 == 1 ? 1 : 0.25f;
  const int activation = salt / 2 % 5;
  const int64_t pad = salt % 7 == 0 ? 0 : salt % 7 < 4 ? 4 : 3;  // strides of 4 n and others
  const int64_t offset = salt % 5 == 4 ? 1 : 0;                  // starts that are 16-byte aligned and others
  const int64_t a_cols = trans_a ? m : k;
  const int64_t b_cols = trans_b ? k : n;
  const int64_t a_stride = a_cols + pad;
  const int64_t b_stride = b_cols + pad;
  const int64_t c_stride = n + pad;
  const bool bf16 = precision == RHUMB_BF16;
  const auto operands = bf16 ? bf16_operands : [](int64_t count) { return uniforms(count); };
  const Array<float> a_memory = operands(offset + extent(trans_a ? k : m, a_cols, a_stride));
  const Array<float> b_memory = operands(offset + extent(trans_b ? n : k, b_cols, b_stride));
  const float *a = a_memory.data() + offset;
  const float *b = b_memory.data() + offset;
  const Array<float> bias = uniforms(n);
  Array<float> c_memory = uniforms(offset + extent(m, n, c_stride));
  if (beta == 0) {
    std::fill_n(c_memory.data(), c_memory.count(), NAN);
  }
  const Array<float> before_memory = c_memory;
  const float *before = before_memory.data() + offset;
  float *c = c_memory.data() + offset;
  const int64_t bytes = rhumb_gemm_scratch(m, n, k);
  Array<unsigned char> scratch(bytes);
  const bool with_bias = salt % 5 < 3;
  testing::good(rhumb_gemm(precision, trans_a, trans_b, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride,
                           with_bias ? bias.data() : nullptr, activation, scratch.data(), bytes, nullptr),
                "gemm");
  const std::string what = std::string(bf16 ? "gemm in bf16 (" : "gemm (") + std::to_string(m) + ", " + std::to_string(n) +
                           ", " + std::to_string(k) + "), salt " + std::to_string(salt);
  // op(A) (m, k), op(B) transposed (n, k), as they enter the product.
  const auto entering = [&](const float *x, int64_t stride, bool along_k, int64_t rows) {
    std::vector<double> entries(static_cast<size_t>(rows * k));
    for (int64_t i = 0; i < rows; i++) {
      for (int64_t t = 0; t < k; t++) {
        const float entry = along_k ? x[i * stride + t] : x[t * stride + i];
        entries[static_cast<size_t>(i * k + t)] = bf16 ? testing::to_bf16(entry) : entry;
      }
    }
    return entries;
  };
  const std::vector<double> left = entering(a, a_stride, !trans_a, m);
  const std::vector<double> right = entering(b, b_stride, trans_b, n);
  const int64_t step = m * n * k > int64_t{1} << 28 ? 31 : 1;  // of the columns that are looked at
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = i % step; j < n; j += step) {
      const double sum = std::inner_product(left.begin() + i * k, left.begin() + (i + 1) * k, right.begin() + j * k, 0.0);
      const double value =
          alpha * sum + (beta == 0 ? 0 : beta * before[i * c_stride + j]) + (with_bias ? bias[j] : 0);
      testing::near(what.c_str(), i, j, c[i * c_stride + j], act(activation, value), k);
    }
    for (int64_t j = n; j < c_stride && i < m - 1; j++) {
      testing::check(std::memcmp(&c[i * c_stride + j], &before[i * c_stride + j], 4) == 0, "%s: pads stay",
                     what.c_str());
    }
  }
}

void gemms(int precision) {
  int salt = 0;
  for (int64_t m : {0, 1, 3, 4, 7, 8, 9, 63, 64, 65, 129}) {
    for (int64_t n : {0, 1, 31, 33, 64, 65, 130}) {
      for (int64_t k : {0, 1, 7, 16, 17, 67}) {
        gemm(precision, m, n, k, salt++);
      }
    }
  }
  for (int trans = 0; trans < 4; trans++) {
    for (int64_t k : {513, 1040}) {  // parts of k, the last one short
      gemm(precision, 2, 67, k, 4 * salt++ + trans);
      gemm(precision, 5, 67, k, 4 * salt++ + trans);
      gemm(precision, 67, 70, k, 4 * salt++ + trans);
    }
    gemm(precision, 1, 8449, 1100, 4 * salt++ + trans);  // chains of a part
    gemm(precision, 67, 70, 4600, 4 * salt++ + trans);
  }
  for (int trans = 0; trans < 4; trans++) {  // large tiles: 132 of them
    gemm(precision, 12 * 128 - 5, 11 * 128 - 3, 9, 4 * (11 + trans) + trans);
    gemm(precision, 12 * 128, 11 * 128, 16, 28 + trans);
  }
  gemm(precision, 12 * 128, 11 * 128, 67, 28);
}

void gemm_refusals() {
  const Array<float> x(64 * 1024, 1.0f);
  Array<float> c(64 * 64);
  const int64_t bytes = rhumb_gemm_scratch(64, 64, 1024);
  testing::check(bytes > 0, "a small C of many terms is divided");
  Array<unsigned char> scratch(bytes + 256);
  int precision = RHUMB_FP32;
  const auto call = [&](int64_t m, const float *b, int activation, void *d_scratch, int64_t given) {
    return rhumb_gemm(precision, 0, 0, m, 64, 1024, 1, x.data(), 1024, b, 64, 0, c.data(), 64, nullptr, activation,
                      d_scratch, given, nullptr);
  };
  testing::good(call(64, x.data(), RHUMB_NONE, scratch.data(), bytes), "gemm");
  testing::check(c[0] == 1024 && c[64 * 64 - 1] == 1024, "the parts join");
  testing::refused(call(-1, x.data(), RHUMB_NONE, scratch.data(), bytes), "m = -1 is negative");
  testing::refused(call(64, nullptr, RHUMB_NONE, scratch.data(), bytes), "d_b is NULL");
  testing::refused(call(64, x.data(), 5, scratch.data(), bytes), "activation = 5");
  testing::refused(call(64, x.data(), RHUMB_NONE, scratch.data(), bytes - 1), "rhumb_gemm_scratch");
  testing::refused(call(64, x.data(), RHUMB_NONE, nullptr, bytes), "d_scratch has 0 bytes");
  testing::refused(call(64, x.data(), RHUMB_NONE, scratch.data() + 4, bytes), "256-byte aligned");
  precision = 2;
  testing::refused(call(64, x.data(), RHUMB_NONE, scratch.data(), bytes), "precision = 2");
}

void bias_activation(int64_t rows, int64_t cols, int64_t stride, int activation, bool with_bias) {
  const Array<float> before = uniforms(extent(rows, cols, stride), -3, 3);
  Array<float> c = before;
  const Array<float> bias = uniforms(cols);
  testing::good(
      rhumb_bias_activation(rows, cols, c.data(), stride, with_bias ? bias.data() : nullptr, activation, nullptr),
      "bias_activation");
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < cols; i++) {
      testing::near("bias_activation", r, i, c[r * stride + i],
                    act(activation, before[r * stride + i] + (with_bias ? bias[i] : 0.0)), 1);
    }
  }
}

void column_sum(int64_t rows, int64_t cols, int64_t stride, float beta) {
  const Array<float> x = uniforms(extent(rows, cols, stride));
  const Array<float> before = beta == 0 ? Array<float>(cols, NAN) : uniforms(cols);
  Array<float> sum = before;
  const int64_t bytes = rhumb_column_sum_scratch(rows, cols);
  Array<unsigned char> scratch(bytes);
  testing::good(rhumb_column_sum(rows, cols, x.data(), stride, beta, sum.data(), scratch.data(), bytes, nullptr),
                "column_sum");
  for (int64_t c = 0; c < cols; c++) {
    double expected = beta == 0 ? 0 : beta * before[c];
    for (int64_t r = 0; r < rows; r++) {
      expected += x[r * stride + c];
    }
    testing::near("column_sum", rows, c, sum[c], expected, rows);
  }
}

void squared_norm(int64_t count, int64_t offset) {
  Array<float> x = uniforms(count + offset);
  if (count > 0) {
    x[offset] = 4096;  // in float32 the others would vanish beside it
  }
  Array<float> result(1);
  const int64_t bytes = rhumb_squared_norm_scratch(count);
  Array<unsigned char> scratch(bytes);
  testing::good(rhumb_squared_norm(count, x.data() + offset, result.data(), scratch.data(), bytes, nullptr),
                "squared_norm");
  double expected = 0;
  for (int64_t i = offset; i < count + offset; i++) {
    expected += static_cast<double>(x[i]) * x[i];
  }
  testing::near("squared_norm", count, offset, result[0], expected, 0, 0);
}

void add(int64_t count, int64_t offset) {
  const Array<float> a = uniforms(count + offset);
  Array<float> b = uniforms(count);
  Array<float> y(count);
  testing::good(rhumb_add(count, 1.5f, a.data() + offset, -0.5f, b.data(), y.data(), nullptr), "add");
  for (int64_t i = 0; i < count; i++) {
    testing::near("add", count, i, y[i], 1.5 * a[i + offset] - 0.5 * b[i], 1);
  }
  testing::good(rhumb_add(count, 1.5f, a.data() + offset, -0.5f, b.data(), b.data(), nullptr), "add in place");
  testing::check(b.same_bits(y), "add in place");
}

}  // namespace

int main() {
  gemms(RHUMB_FP32);
  gemms(RHUMB_BF16);
  gemm_refusals();
  for (int64_t cols : {0, 1, 5, 64, 257, 1029}) {
    for (int64_t rows : {0, 1, 2, 37}) {
      for (int activation = RHUMB_NONE; activation <= RHUMB_SILU; activation++) {
        bias_activation(rows, cols, cols + activation, activation, rows % 2 == 0);
      }
      column_sum(rows, cols, cols + 3, static_cast<float>(cols % 3));
    }
    column_sum(1100, cols, cols, 0);
  }
  for (int64_t count : {0, 1, 3, 4, 5, 1023, 4097, 10007}) {
    for (int64_t offset : {0, 1}) {
      squared_norm(count, offset);
      add(count, offset);
    }
  }
  return testing::finish("dense_test");
}
