/*
 * The C ABI of Rhumb's native kernels: the one header that Java binds.
 *
 * Every call returns a rhumb_status (0: good) unless it says otherwise, and leaves the reason of a failure, with CUDA's
 * own text, in rhumb_last_error() of the calling thread. No call throws, exits or prints. Pointers named d_... are
 * device memory (in the host build: ordinary memory); the caller owns everything it passes. Work is in the order of
 * the stream it names and a call returns before the work is done; NULL is the default stream. Any thread may call, each
 * buffer being written by one at a time.
 */
#ifndef RHUMB_H
#define RHUMB_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RHUMB_API __attribute__((visibility("default")))

/* Version of this header: major * 10000 + minor * 100 + patch. The jar and the library must have the same. */
#define RHUMB_VERSION 100

enum rhumb_status {
  RHUMB_OK = 0,
  RHUMB_INVALID_ARGUMENT = 1, /* a pointer, count or option that the call does not take; nothing was done */
  RHUMB_OUT_OF_MEMORY = 2,    /* of the device */
  RHUMB_NO_DEVICE = 3,        /* no GPU that this library can use: none there, or no driver, or one too old */
  RHUMB_DEVICE_ERROR = 4      /* any other status of the CUDA runtime; it may stem from earlier work */
};

/* RHUMB_VERSION as the library was built. Returns the number itself, not a status. */
RHUMB_API int rhumb_version(void);

/* What this build runs on: "cuda 13.0" or "host", the emulation for tests. Static text. */
RHUMB_API const char *rhumb_build(void);

/* A status in words. Static text, never NULL. */
RHUMB_API const char *rhumb_status_text(int status);

/* Why the calling thread's last failed call failed; "" before the first. Valid until the next failure on this thread. */
RHUMB_API const char *rhumb_last_error(void);

/* Sets *count to the number of usable GPUs. Where there is none: 0 and RHUMB_NO_DEVICE. */
RHUMB_API int rhumb_device_count(int *count);

/* y[i] = alpha * a[i] + beta * b[i] for i < count. d_y, d_a, d_b (count) float32; d_y may be d_a or d_b. */
RHUMB_API int rhumb_add(void *stream, float *d_y, const float *d_a, const float *d_b, float alpha, float beta,
                        int64_t count);

#ifdef __cplusplus
}
#endif

#endif
