// Failures, told in words. Internal to the library.
#pragma once

#include "device.h"

namespace rhumb {

// Keeps the text for rhumb_last_error() and returns `status`.
[[gnu::format(printf, 2, 3)]] int fail(int status, const char *format, ...);

// RHUMB_OK, or the rhumb_status that stands for `error`, told as "`call`: status 35 ...".
int check(cudaError_t error, const char *call);

}  // namespace rhumb
