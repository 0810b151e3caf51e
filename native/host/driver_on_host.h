// The part of the emulation that CUDA's driver is on a machine with a GPU: contexts, memory, streams, events and graphs, as far
// as bindings/jextract/cuda_driver.h declares them. That header is what Java binds, so both sides agree by compilation.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

extern "C" {
#pragma GCC visibility push(default)
#include "cuda_driver.h"
#pragma GCC visibility pop
}

namespace rhumb_host {

// Statuses that Rhumb only passes on, and so does not bind.
enum {
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_ILLEGAL_STATE = 401,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
  CUDA_ERROR_STREAM_CAPTURE_MERGE = 902,
  CUDA_ERROR_STREAM_CAPTURE_UNMATCHED = 903,
  CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904,
  CUDA_ERROR_STREAM_CAPTURE_ISOLATION = 905,
  CUDA_ERROR_STREAM_CAPTURE_IMPLICIT = 906,
  CUDA_ERROR_CAPTURED_EVENT = 907,
  CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908
};

// Something to be done in stream order; what it returns, if not 0, breaks the context.
using Work = std::function<int()>;

// Does `work` at once, or when somebody waits (setting `deferred`), or records it where the stream is in capture. Returns why it
// could not be taken, or 0; where it was done at once, *done is its status.
int submit(CUstream stream, Work work, int *done = nullptr);

// The same for a kernel, which counts as a launch and may be made to fail.
int submit_launch(CUstream stream, Work work, int *done = nullptr);

// Whether the stream is in capture. An empty copy or fill is refused there, as it may be by a driver.
bool in_capture(CUstream stream);

// Whether the calling thread works in a context of the driver's; otherwise the runtime makes do with its own.
bool in_context();

// 0, CUDA_ERROR_INVALID_DEVICE or, for an attribute that the emulation lacks, CUDA_ERROR_INVALID_VALUE.
int device_attribute(int *value, int attribute, int device);

// The names of a status for the driver and for the runtime, and its text.
struct Status {
  int number;
  const char *driver, *runtime, *text;
};
const Status *status(int number);

// What the latest failed kernel did wrong.
void set_failure(const std::string &words);
// The text of `number`; of a failed launch: what set_failure said. Valid until the thread's next call of this.
const char *status_text(int number);

}  // namespace rhumb_host
