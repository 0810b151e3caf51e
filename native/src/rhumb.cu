// Version, failures and devices.
#include "status.h"

#include <cstdarg>
#include <cstdio>

namespace {

thread_local char last_error[1024] = "";

}  // namespace

int rhumb::fail(int status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

int rhumb::check(cudaError_t error, const char *call) {
  if (error == cudaSuccess) {
    return RHUMB_OK;
  }
  cudaGetLastError();  // the runtime would tell this thread's next launch of it again
  int status = RHUMB_DEVICE_ERROR;
  switch (error) {
    case cudaErrorMemoryAllocation:
      status = RHUMB_OUT_OF_MEMORY;
      break;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
      status = RHUMB_INVALID_ARGUMENT;
      break;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      status = RHUMB_NO_DEVICE;
      break;
    default:
      break;
  }
  return fail(status, "%s: status %d, %s (%s)", call, static_cast<int>(error), cudaGetErrorString(error),
              cudaGetErrorName(error));
}

int rhumb::check_counts(const char *call, std::initializer_list<Count> counts) {
  for (const Count &count : counts) {
    if (count.value < 0) {
      return fail(RHUMB_INVALID_ARGUMENT, "%s: %s = %lld is negative", call, count.name,
                  static_cast<long long>(count.value));
    }
  }
  return RHUMB_OK;
}

int rhumb::check_positive(const char *call, std::initializer_list<Count> counts) {
  for (const Count &count : counts) {
    if (count.value < 1) {
      return fail(RHUMB_INVALID_ARGUMENT, "%s: %s = %lld must be 1 at least", call, count.name,
                  static_cast<long long>(count.value));
    }
  }
  return RHUMB_OK;
}

int rhumb::check_pointers(const char *call, std::initializer_list<Pointer> pointers) {
  for (const Pointer &pointer : pointers) {
    if (pointer.value == nullptr) {
      return fail(RHUMB_INVALID_ARGUMENT, "%s: %s is NULL", call, pointer.name);
    }
  }
  return RHUMB_OK;
}

int rhumb::check_precision(const char *call, int precision) {
  if (precision != RHUMB_FP32 && precision != RHUMB_BF16) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: precision = %d, but enum rhumb_precision ends at %d", call, precision,
                static_cast<int>(RHUMB_BF16));
  }
  return RHUMB_OK;
}

int rhumb::check_scratch(const char *call, const void *scratch, int64_t bytes, int64_t needed) {
  if (needed == 0) {
    return RHUMB_OK;
  }
  if (scratch == nullptr || bytes < needed) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: d_scratch has %lld bytes, but this shape needs %lld (%s_scratch)", call,
                static_cast<long long>(scratch == nullptr ? 0 : bytes), static_cast<long long>(needed), call);
  }
  if (reinterpret_cast<uintptr_t>(scratch) % 256 != 0) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: d_scratch is not 256-byte aligned", call);
  }
  return RHUMB_OK;
}

int rhumb_version(void) { return RHUMB_VERSION; }

#define RHUMB_TEXT_(x) #x
#define RHUMB_TEXT(x) RHUMB_TEXT_(x)

const char *rhumb_build(void) {
#ifdef __CUDACC__
  return "cuda " RHUMB_TEXT(__CUDACC_VER_MAJOR__) "." RHUMB_TEXT(__CUDACC_VER_MINOR__);
#else
  return "host";
#endif
}

const char *rhumb_status_text(int status) {
  switch (status) {
    case RHUMB_OK:
      return "no error";
    case RHUMB_INVALID_ARGUMENT:
      return "invalid argument";
    case RHUMB_OUT_OF_MEMORY:
      return "out of device memory";
    case RHUMB_NO_DEVICE:
      return "no usable GPU";
    case RHUMB_DEVICE_ERROR:
      return "error of the CUDA runtime";
    default:
      return "unknown status";
  }
}

const char *rhumb_last_error(void) { return last_error; }

int rhumb_device_count(int *count) {
  if (count == nullptr) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "rhumb_device_count: count is NULL");
  }
  *count = 0;
  const cudaError_t error = cudaGetDeviceCount(count);
  if (error == cudaSuccess && *count > 0) {
    return RHUMB_OK;
  }
  *count = 0;
  // Any status here means no GPU: 35 no or too old a driver, 36 a stub of it, 100 no device, 802 and others on a
  // machine that is not ready.
  rhumb::check(error == cudaSuccess ? cudaErrorNoDevice : error, "rhumb_device_count: cudaGetDeviceCount");
  return RHUMB_NO_DEVICE;
}
