// Failures, told in words. Internal to the library.
#pragma once

#include <initializer_list>

#include "device.h"

namespace rhumb {

// Keeps the text for rhumb_last_error() and returns `status`.
[[gnu::format(printf, 2, 3)]] int fail(int status, const char *format, ...);

// RHUMB_OK, or the rhumb_status that stands for `error`, told as "`call`: status 35 ...".
int check(cudaError_t error, const char *call);

// What a call does before it launches: RHUMB_OK, or RHUMB_INVALID_ARGUMENT with the first argument that it cannot take.
struct Count {
  const char *name;
  int64_t value;
};
struct Pointer {
  const char *name;
  const void *value;
};
int check_counts(const char *call, std::initializer_list<Count> counts);
// Likewise for counts that are 1 at least.
int check_positive(const char *call, std::initializer_list<Count> counts);
int check_pointers(const char *call, std::initializer_list<Pointer> pointers);
// A rhumb_precision.
int check_precision(const char *call, int precision);
// `needed` bytes at least, unless it is 0; at a multiple of 256.
int check_scratch(const char *call, const void *scratch, int64_t bytes, int64_t needed);

}  // namespace rhumb
