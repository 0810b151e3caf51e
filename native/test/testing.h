// What the tests of kernels share: memory exactly as long as asked for, random data, a count of failures. They call the
// library through its C ABI, as Java does.
#pragma once

#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "rhumb.h"

namespace testing {

inline int failures = 0;

[[gnu::format(printf, 2, 3)]] inline bool check(bool good, const char *format, ...) {
  if (!good) {
    failures++;
    printf("FAILED: ");
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
  }
  return good;
}

// Elements on the heap, 256-byte aligned, so that the address sanitizer sees a step past either end. Not initialised.
template <class T>
class Array {
 public:
  explicit Array(int64_t count) : count_(count) {
    void *memory = nullptr;
    if (posix_memalign(&memory, 256, static_cast<size_t>(count) * sizeof(T)) != 0) {
      std::abort();
    }
    data_ = static_cast<T *>(memory);
  }
  Array(int64_t count, T value) : Array(count) {
    for (int64_t i = 0; i < count; i++) {
      data_[i] = value;
    }
  }
  Array(Array &&other) noexcept : data_(other.data_), count_(other.count_) { other.data_ = nullptr; }
  Array(const Array &other) : Array(other.count_) {
    if (count_ > 0) {
      std::memcpy(data_, other.data_, static_cast<size_t>(count_) * sizeof(T));
    }
  }
  Array &operator=(const Array &) = delete;
  ~Array() { free(data_); }

  T *data() { return data_; }
  const T *data() const { return data_; }
  int64_t count() const { return count_; }
  T &operator[](int64_t i) { return data_[i]; }
  const T &operator[](int64_t i) const { return data_[i]; }

  bool same_bits(const Array &other) const {
    return count_ == other.count_ &&
           (count_ == 0 || std::memcmp(data_, other.data_, static_cast<size_t>(count_) * sizeof(T)) == 0);
  }

 private:
  T *data_;
  int64_t count_;
};

inline std::mt19937 &random() {
  static std::mt19937 generator(20260101);
  return generator;
}

// From 0 to bound - 1.
inline int64_t below(int64_t bound) { return std::uniform_int_distribution<int64_t>(0, bound - 1)(random()); }

inline float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random()); }

inline Array<float> uniforms(int64_t count, float low = -1, float high = 1) {
  Array<float> x(count);
  for (int64_t i = 0; i < count; i++) {
    x[i] = uniform(low, high);
  }
  return x;
}

// The nearest bf16, ties to even.
inline float to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

// Operands of products in bf16: uniform, every fourth of them half way between two neighbours of bf16, or just beside it.
inline Array<float> bf16_operands(int64_t count) {
  Array<float> x = uniforms(count);
  for (int64_t i = 0; i < count; i += 4) {
    const float tie = std::ldexp(static_cast<float>(2 * below(128) + 257), -9);
    x[i] = x[i] < 0 ? -tie : x[i] < 0.5f ? tie : std::nextafter(tie, static_cast<float>(below(3)));
  }
  return x;
}

// The slots of d_faults, with none found.
struct Faults {
  Array<uint64_t> slots{RHUMB_FAULTS, ~uint64_t{0}};

  uint64_t *data() { return slots.data(); }
  bool none() const {
    for (int i = 0; i < RHUMB_FAULTS; i++) {
      if (slots[i] != ~uint64_t{0}) {
        return false;
      }
    }
    return true;
  }
  bool is(int slot, int64_t row, uint32_t value) const {
    return slots[slot] == (static_cast<uint64_t>(row) << 32 | value);
  }
  // That and no other.
  bool only(int slot, int64_t row, uint32_t value) const {
    Faults others = *this;
    others.slots[slot] = ~uint64_t{0};
    return is(slot, row, value) && others.none();
  }
};

// |actual - expected| <= 2^-22 (2 + sqrt(terms)) (|expected| + magnitude), as the kernels module's conformance suite has
// it: the errors of a sum of so many terms of that magnitude add up like a random walk.
inline void near(const char *what, int64_t row, int64_t col, double actual, double expected, int64_t terms,
                 double magnitude = 1) {
  const double tolerance =
      0x1p-22 * (2 + std::sqrt(static_cast<double>(terms))) * (std::fabs(expected) + magnitude) + 1e-45;
  check(std::fabs(actual - expected) <= tolerance, "%s: (%lld, %lld) is %.9g, but should be %.9g within %.3g", what,
        static_cast<long long>(row), static_cast<long long>(col), actual, expected, tolerance);
}

inline void good(int status, const char *what) {
  check(status == RHUMB_OK, "%s: status %d, %s", what, status, rhumb_last_error());
}

// The call refused its arguments, and its words hold `words`.
inline void refused(int status, const char *words) {
  check(status == RHUMB_INVALID_ARGUMENT && std::strstr(rhumb_last_error(), words) != nullptr,
        "status %d instead of a refusal with \"%s\": %s", status, words, rhumb_last_error());
}

// Elements of a matrix whose last row ends where its memory does.
inline int64_t extent(int64_t rows, int64_t cols, int64_t stride) { return rows == 0 ? 0 : (rows - 1) * stride + cols; }

inline int finish(const char *name) {
  printf("%s: %s\n", name, failures == 0 ? "good" : "FAILED");
  return failures == 0 ? 0 : 1;
}

}  // namespace testing
