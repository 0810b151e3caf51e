// What the tests of kernels share: memory exactly as long as said, so that the address sanitizer sees a step beyond, values
// from a seed, and results held against sums in double.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>

#include "rhumb.h"

namespace exact {

inline int failures = 0;
inline std::mt19937 source(7);

inline double uniform() { return std::uniform_real_distribution<double>(-1, 1)(source); }
inline int below(int bound) { return static_cast<int>(source() % static_cast<unsigned>(bound)); }

template <class T>
class Array {
 public:
  explicit Array(int64_t count)
      : count_(count), data_(static_cast<T *>(aligned_alloc_exactly(count * static_cast<int64_t>(sizeof(T))))) {}
  Array(int64_t count, const std::function<double(int64_t)> &value) : Array(count) {
    for (int64_t i = 0; i < count; i++) {
      data_[i] = static_cast<T>(value(i));
    }
  }
  Array(const Array &) = delete;
  ~Array() { free(data_); }

  T *data() { return data_; }
  int64_t count() const { return count_; }
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }
  T &operator[](int64_t i) { return data_[i]; }
  const T &operator[](int64_t i) const { return data_[i]; }

 private:
  // 256-byte aligned, as a device's memory is.
  static void *aligned_alloc_exactly(int64_t bytes) {
    void *memory = nullptr;
    if (posix_memalign(&memory, 256, static_cast<size_t>(bytes > 0 ? bytes : 1)) != 0) {
      abort();
    }
    return memory;
  }

  int64_t count_;
  T *data_;
};

using Floats = Array<float>;
using Ints = Array<int32_t>;

// The slots of d_faults, and that none or one of them was written.
class Faults : public Array<uint64_t> {
 public:
  Faults() : Array(RHUMB_FAULTS) { memset(data(), 0xff, static_cast<size_t>(bytes())); }
};

inline void check(bool good, const char *what) {
  if (!good) {
    failures++;
    printf("FAILED: %s (%s)\n", what, rhumb_last_error());
  }
}

// |actual - expected| <= 2^-22 (2 + sqrt(terms)) (|expected| + magnitude): the tolerance of the conformance suite in Java.
inline void near(float actual, double expected, double terms, double magnitude, const char *what, int64_t row,
                 int64_t column) {
  const double tolerance = std::ldexp(2 + std::sqrt(terms), -22) * (std::fabs(expected) + magnitude);
  if (!(std::fabs(actual - expected) <= tolerance)) {
    failures++;
    printf("FAILED: %s (%lld, %lld) is %.9g, not %.9g within %.3g\n", what, static_cast<long long>(row),
           static_cast<long long>(column), static_cast<double>(actual), expected, tolerance);
  }
}

// That the call found this fault and no other; slot -1: none.
inline void faulted(const Faults &faults, int slot, uint64_t row, uint32_t value, const char *what) {
  for (int i = 0; i < RHUMB_FAULTS; i++) {
    const uint64_t expected = i == slot ? row << 32 | value : UINT64_MAX;
    if (faults[i] != expected) {
      failures++;
      printf("FAILED: %s: fault slot %d is %llx, not %llx\n", what, i, static_cast<unsigned long long>(faults[i]),
             static_cast<unsigned long long>(expected));
    }
  }
}

inline int result() {
  printf("%s\n", failures == 0 ? "passed" : "failed");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace exact
