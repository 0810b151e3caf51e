/* The emulated driver and cuBLAS, as Java uses them: through the headers that Java's bindings are made from. */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cublas.h"
#include "cuda_driver.h"
#include "rhumb.h"
#include "rhumb_host.h"

enum { NOT_INITIALIZED = 3, INVALID_CONTEXT = 201, ILLEGAL_STATE = 401, NON_BLOCKING = CU_STREAM_NON_BLOCKING };
enum {
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
  CAPTURE_MERGE = 902,
  CAPTURE_UNMATCHED = 903,
  CAPTURE_UNJOINED = 904,
  CAPTURE_ISOLATION = 905,
  CAPTURE_IMPLICIT = 906,
  CAPTURED_EVENT = 907,
  CAPTURE_WRONG_THREAD = 908
};
enum { GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2 };

static int failures;

static void check_at(int line, int good, const char *what) {
  if (!good) {
    failures++;
    printf("FAILED, line %d: %s\n", line, what);
  }
}
#define CHECK(condition) check_at(__LINE__, condition, #condition)

static void status_at(int line, int status, int expected, const char *what) {
  if (status != expected) {
    failures++;
    printf("FAILED, line %d: %s gives %d, not %d\n", line, what, status, expected);
  }
}
#define GIVES(expected, call) status_at(__LINE__, call, expected, #call)
#define GOOD(call) GIVES(0, call)

static void open_device(int device) {
  CUcontext context;
  GOOD(cuDevicePrimaryCtxRetain(&context, device));
  GOOD(cuCtxSetCurrent(context));
}

/* Lets go of the context, all of whose things must be gone. */
static void close_device(int device) {
  CHECK(rhumb_host_get("allocations") == 0 && rhumb_host_get("allocated_bytes") == 0);
  CHECK(rhumb_host_get("host_allocations") == 0);
  CHECK(rhumb_host_get("streams") == 0 && rhumb_host_get("events") == 0);
  CHECK(rhumb_host_get("graphs") == 0 && rhumb_host_get("executables") == 0);
  CHECK(rhumb_host_get("cublas_handles") == 0);
  GOOD(cuDevicePrimaryCtxRelease_v2(device));
  GOOD(cuCtxSetCurrent(NULL));
  CHECK(rhumb_host_get("contexts") == 0);
}

static CUdeviceptr floats(int count) {
  CUdeviceptr address = 0;
  GOOD(cuMemAlloc_v2(&address, count * sizeof(float)));
  return address;
}

/* Sets all to `value`. */
static void fill(CUdeviceptr to, float value, int count, CUstream stream) {
  unsigned bits;
  memcpy(&bits, &value, sizeof bits);
  GOOD(cuMemsetD32Async(to, bits, count, stream));
}

static float first(CUdeviceptr from) {
  float x = 0;
  GOOD(cuMemcpyDtoHAsync_v2(&x, from, sizeof x, NULL));
  GOOD(cuStreamSynchronize(NULL));
  return x;
}

/* y += a, one launch of a kernel. */
static int add(CUstream stream, CUdeviceptr y, CUdeviceptr a, int count) {
  return rhumb_add(count, 1, (float *)(uintptr_t)y, 1, (float *)(uintptr_t)a, (float *)(uintptr_t)y, stream);
}

static void settings_work(void) {
  GIVES(1, rhumb_host_set("no such thing", 1));
  GIVES(1, rhumb_host_set("streams", 1));
  CHECK(rhumb_host_get("no such thing") == -1 && rhumb_host_get(NULL) == -1);
  CHECK(rhumb_host_get("devices") == 1);
}

static void devices_are_told(void) {
  int number = -1;
  GIVES(NOT_INITIALIZED, cuDeviceGetCount(&number));
  CUcontext context;
  GIVES(NOT_INITIALIZED, cuDevicePrimaryCtxRetain(&context, 0));
  GIVES(NOT_INITIALIZED, cuCtxGetCurrent(&context));

  GOOD(rhumb_host_set("devices", 0));
  GIVES(CUDA_ERROR_NO_DEVICE, cuInit(0));
  GIVES(RHUMB_NO_DEVICE, rhumb_device_count(&number));
  float x = 1;
  GIVES(RHUMB_NO_DEVICE, rhumb_add(1, 1, &x, 1, &x, &x, NULL));
  CHECK(x == 1);
  GOOD(rhumb_host_set("devices", 1));
  GOOD(rhumb_host_set("driver_version", 12040));
  GIVES(RHUMB_NO_DEVICE, rhumb_device_count(&number));
  CHECK(strstr(rhumb_last_error(), "status 35") != NULL);
  GOOD(cuDriverGetVersion(&number));
  CHECK(number == 12040);
  GOOD(rhumb_host_set("driver_version", 13000));

  GIVES(CUDA_ERROR_INVALID_VALUE, cuInit(1));
  GOOD(cuInit(0));
  GOOD(rhumb_host_set("devices", 2));
  GOOD(cuDeviceGetCount(&number));
  CHECK(number == 2);
  GOOD(rhumb_device_count(&number));
  CHECK(number == 2);
  CUdevice device = -1;
  GOOD(cuDeviceGet(&device, 1));
  CHECK(device == 1);
  GIVES(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, 2));
  char name[64];
  GOOD(cuDeviceGetName(name, sizeof name, 1));
  CHECK(strcmp(name, "emulated GPU 1") == 0);
  GOOD(cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
  CHECK(number == 9);
  GOOD(rhumb_host_set("compute_capability", 75));
  GOOD(cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0));
  CHECK(number == 5);
  GOOD(rhumb_host_set("compute_capability", 90));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&number, 12345, 0));
  GIVES(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 2));
  size_t bytes = 0;
  GOOD(cuDeviceTotalMem_v2(&bytes, 0));
  CHECK(bytes == (size_t)rhumb_host_get("memory_bytes"));

  const char *text;
  GOOD(cuGetErrorName(CUDA_ERROR_OUT_OF_MEMORY, &text));
  CHECK(strcmp(text, "CUDA_ERROR_OUT_OF_MEMORY") == 0);
  GOOD(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text));
  CHECK(strcmp(text, "out of memory") == 0);
  GIVES(CUDA_ERROR_INVALID_VALUE, cuGetErrorName(12345, &text));
  CHECK(text == NULL);
}

static void contexts_are_counted(void) {
  CUdeviceptr address;
  GIVES(INVALID_CONTEXT, cuMemAlloc_v2(&address, 4));
  CUcontext one, again, other;
  GOOD(cuDevicePrimaryCtxRetain(&one, 0));
  GOOD(cuDevicePrimaryCtxRetain(&again, 0));
  GOOD(cuDevicePrimaryCtxRetain(&other, 1));
  CHECK(one == again && one != other && rhumb_host_get("contexts") == 3);
  GOOD(cuCtxSetCurrent(one));
  GOOD(cuCtxGetCurrent(&again));
  CHECK(again == one);
  GOOD(cuMemAlloc_v2(&address, 4));
  GOOD(cuDevicePrimaryCtxRelease_v2(0));
  GOOD(cuMemFree_v2(address));

  /* Each context has streams of its own. */
  CUstream stream;
  GOOD(cuStreamCreate(&stream, NON_BLOCKING));
  CUdeviceptr x = floats(1);
  fill(x, 1, 1, stream);
  GOOD(add(stream, x, x, 1));
  GOOD(cuCtxSetCurrent(other));
  GIVES(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
  GIVES(RHUMB_DEVICE_ERROR, add(stream, x, x, 1));
  GOOD(cuCtxSetCurrent(one));
  CHECK(first(x) == 2);

  /* What is left goes with the last to let go. */
  GOOD(cuDevicePrimaryCtxRelease_v2(0));
  CHECK(rhumb_host_get("allocations") == 0 && rhumb_host_get("streams") == 0);
  GIVES(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuMemAlloc_v2(&address, 4));
  GIVES(INVALID_CONTEXT, cuDevicePrimaryCtxRelease_v2(0));
  GIVES(INVALID_CONTEXT, cuCtxSetCurrent(one));
  GOOD(cuDevicePrimaryCtxRelease_v2(1));
  GOOD(cuCtxSetCurrent(NULL));
  CHECK(rhumb_host_get("contexts") == 0);
}

static void memory_is_guarded(void) {
  open_device(0);
  CUdeviceptr a = floats(100);
  CUdeviceptr b = floats(100);
  CHECK(a % 256 == 0 && b % 256 == 0);
  CHECK(rhumb_host_get("allocations") == 2 && rhumb_host_get("allocated_bytes") == 800);
  CHECK(isnan(first(a)));
  float host[100];
  for (int i = 0; i < 100; i++) {
    host[i] = (float)i;
  }
  GOOD(cuMemcpyHtoDAsync_v2(a, host, sizeof host, NULL));
  GOOD(cuMemcpyDtoDAsync_v2(b + 4, a, 396, NULL));
  GOOD(cuMemsetD8Async(b, 0, 4, NULL));
  memset(host, 0, sizeof host);
  GOOD(cuMemcpyDtoHAsync_v2(host, b, sizeof host, NULL));
  CHECK(host[0] == 0 && host[1] == 0 && host[2] == 1 && host[99] == 98);

  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoDAsync_v2(a + 4, host, sizeof host, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoHAsync_v2(host, a - 4, 8, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoDAsync_v2(a, b + 396, 8, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoDAsync_v2(a, (CUdeviceptr)(uintptr_t)host, 8, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoDAsync_v2(a, NULL, 8, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemsetD8Async(a, 0, 401, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemsetD32Async(a, 0, 101, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemsetD32Async(a + 2, 0, 1, NULL));
  GOOD(cuMemcpyHtoDAsync_v2(a + 400, host, 0, NULL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(a + 4));
  GOOD(cuMemFree_v2(0));
  GOOD(cuMemFree_v2(a));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(a));
  GOOD(cuMemFree_v2(b));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemAlloc_v2(&a, 0));

  GOOD(rhumb_host_set("memory_bytes", 1000));
  size_t left, total;
  a = floats(200);
  GOOD(cuMemGetInfo_v2(&left, &total));
  CHECK(left == 200 && total == 1000);
  GIVES(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&b, 201));
  GOOD(cuMemAlloc_v2(&b, 200));
  CHECK(rhumb_host_get("most_bytes") == 1000);
  GOOD(cuMemFree_v2(a));
  CHECK(rhumb_host_get("most_bytes") == 1000);
  GOOD(rhumb_host_set("most_bytes", 0));
  CHECK(rhumb_host_get("most_bytes") == 200);
  GOOD(cuMemFree_v2(b));
  GOOD(rhumb_host_set("memory_bytes", 4L << 30));

  void *pinned = NULL;
  GOOD(cuMemAllocHost_v2(&pinned, 100));
  CHECK(rhumb_host_get("host_allocations") == 1);
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(host));
  GOOD(cuMemFreeHost(pinned));
  close_device(0);

#ifndef __SANITIZE_ADDRESS__
  /* A kernel that writes past the end of its memory. */
  open_device(0);
  a = floats(3);
  GOOD(add(NULL, a, a, 4));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(NULL));
  const char *text;
  GOOD(cuGetErrorString(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  CHECK(strstr(text, "an allocation of 12 bytes was written past its end") != NULL);
  GOOD(cuDevicePrimaryCtxRelease_v2(0));
  GOOD(cuCtxSetCurrent(NULL));
#endif
}

static void streams_and_events_work(void) {
  open_device(0);
  CUstream stream;
  GIVES(CUDA_ERROR_INVALID_VALUE, cuStreamCreate(&stream, 2));
  GOOD(cuStreamCreate(&stream, NON_BLOCKING));
  CUevent start, end, other;
  GOOD(cuEventCreate(&start, CU_EVENT_DEFAULT));
  GOOD(cuEventCreate(&end, CU_EVENT_DEFAULT));
  GOOD(cuEventCreate(&other, CU_EVENT_DEFAULT));
  float milliseconds = -1;
  GIVES(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, start, end));
  GOOD(cuEventQuery(start));
  GOOD(cuEventRecord(start, stream));
  CUdeviceptr x = floats(1000);
  fill(x, 1, 1000, stream);
  GOOD(add(stream, x, x, 1000));
  GOOD(cuEventRecord(end, stream));
  GOOD(cuStreamWaitEvent(NULL, end, 0));
  GOOD(cuStreamQuery(stream));
  GOOD(cuEventSynchronize(end));
  GOOD(cuEventQuery(end));
  GOOD(cuEventElapsedTime(&milliseconds, start, end));
  CHECK(milliseconds > 0 && milliseconds < 10000);
  CHECK(first(x) == 2);
  GOOD(cuEventDestroy_v2(other));
  GIVES(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(other, stream));
  GIVES(CUDA_ERROR_INVALID_HANDLE, cuEventDestroy_v2(other));
  GOOD(cuEventDestroy_v2(start));
  GOOD(cuEventDestroy_v2(end));
  GOOD(cuMemFree_v2(x));
  GOOD(cuStreamDestroy_v2(stream));
  GIVES(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
  close_device(0);
}

static void *end_capture(void *stream) {
  CUcontext context;
  CUgraph graph;
  cuDevicePrimaryCtxRetain(&context, 0);
  cuCtxSetCurrent(context);
  const int status = cuStreamEndCapture(stream, &graph);
  cuDevicePrimaryCtxRelease_v2(0);
  return (void *)(intptr_t)status;
}

static void graphs_replay(void) {
  open_device(0);
  CUstream stream, side;
  GOOD(cuStreamCreate(&stream, NON_BLOCKING));
  GOOD(cuStreamCreate(&side, NON_BLOCKING));
  CUevent fork, join;
  GOOD(cuEventCreate(&fork, CU_EVENT_DEFAULT));
  GOOD(cuEventCreate(&join, CU_EVENT_DEFAULT));
  CUdeviceptr x = floats(10), y = floats(10), z = floats(10);
  fill(x, 1, 10, NULL);
  fill(y, 0, 10, NULL);

  /* y += x on one stream, z = 5 on another, then y += z: nothing happens before the launch. */
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GOOD(add(stream, y, x, 10));
  GOOD(cuEventRecord(fork, stream));
  GOOD(cuStreamWaitEvent(side, fork, 0));
  fill(z, 5, 10, side);
  GOOD(cuEventRecord(join, side));
  GOOD(cuStreamWaitEvent(stream, join, 0));
  GOOD(add(stream, y, z, 10));
  CUgraph graph = NULL;
  GOOD(cuStreamEndCapture(stream, &graph));
  CHECK(first(y) == 0 && isnan(first(z)));
  CUgraphExec exec;
  GIVES(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithFlags(&exec, (CUgraph)stream, 0));
  GOOD(cuGraphInstantiateWithFlags(&exec, graph, 0));
  GOOD(cuGraphDestroy(graph));
  const long launches = rhumb_host_get("launches");
  GOOD(cuGraphLaunch(exec, stream));
  GOOD(cuGraphLaunch(exec, stream));
  CHECK(first(y) == 12);
  CHECK(rhumb_host_get("launches") == launches + 4 && rhumb_host_get("graph_launches") == 2);
  CHECK(rhumb_host_get("graphs") == 0 && rhumb_host_get("executables") == 1);

  /* What may not be done in a capture, and what comes of it. */
  GIVES(CAPTURE_UNSUPPORTED, cuStreamBeginCapture_v2(NULL, THREAD_LOCAL));
  GIVES(ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GIVES(ILLEGAL_STATE, cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GIVES(CAPTURE_UNSUPPORTED, cuStreamSynchronize(stream));
  GIVES(CAPTURE_INVALIDATED, cuMemsetD8Async(x, 0, 1, stream));
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  CHECK(graph == NULL);

  /* What a call of the runtime failed with is not told of the next one. */
  const int64_t needed = rhumb_softmax_cross_entropy_scratch(0, 1, 1);
  CUdeviceptr room;
  GOOD(cuMemAlloc_v2(&room, (size_t)needed));
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GIVES(CAPTURE_UNSUPPORTED, cuStreamSynchronize(stream));
  float *at_x = (float *)(uintptr_t)x, *at_z = (float *)(uintptr_t)z;
  uint64_t *faults = (uint64_t *)(uintptr_t)y;
  GIVES(RHUMB_DEVICE_ERROR,
        rhumb_softmax_cross_entropy(RHUMB_FP32, 0, 1, 1, NULL, at_x, NULL, at_z, NULL, NULL,
                                    (void *)(uintptr_t)room, needed, faults, stream));
  CHECK(strstr(rhumb_last_error(), "status 901") != NULL);
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  GOOD(cuMemFree_v2(room));
  GOOD(add(NULL, y, x, 1));

  /* Of nothing: no trouble, but in a capture. */
  GOOD(cuMemsetD8Async(x, 0, 0, stream));
  GOOD(cuMemcpyDtoDAsync_v2(x, y, 0, stream));
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemsetD8Async(x, 0, 0, stream));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoDAsync_v2(x, y, 0, stream));
  GOOD(cuStreamEndCapture(stream, &graph));
  GOOD(cuGraphDestroy(graph));

  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  CUdeviceptr memory;
  GIVES(CAPTURE_UNSUPPORTED, cuMemAlloc_v2(&memory, 4));
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  GOOD(cuStreamBeginCapture_v2(stream, RELAXED));
  GOOD(cuMemAlloc_v2(&memory, 4));
  GOOD(cuMemFree_v2(memory));
  GOOD(cuStreamEndCapture(stream, &graph));
  GOOD(cuGraphDestroy(graph));
  GIVES(CUDA_ERROR_INVALID_HANDLE, cuGraphDestroy(graph));

  /* Another stream's work that the first never waits for. */
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GOOD(cuEventRecord(fork, stream));
  GOOD(cuStreamWaitEvent(side, fork, 0));
  GOOD(cuEventRecord(join, side));
  fill(z, 6, 10, side);
  GOOD(cuStreamWaitEvent(stream, join, 0));
  GIVES(CAPTURE_UNJOINED, cuStreamEndCapture(stream, &graph));
  GOOD(cuStreamSynchronize(side));
  CHECK(first(z) == 5);

  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GOOD(cuEventRecord(fork, stream));
  GIVES(CAPTURED_EVENT, cuEventSynchronize(fork));
  GIVES(CAPTURED_EVENT, cuEventQuery(fork));
  GOOD(cuStreamWaitEvent(side, fork, 0));
  GIVES(CAPTURE_UNMATCHED, cuStreamEndCapture(side, &graph));
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  GIVES(CAPTURED_EVENT, cuStreamWaitEvent(side, fork, 0));

  GOOD(cuEventRecord(join, side));
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GIVES(CAPTURE_ISOLATION, cuStreamWaitEvent(stream, join, 0));
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GOOD(cuStreamBeginCapture_v2(side, THREAD_LOCAL));
  GOOD(cuEventRecord(fork, stream));
  GIVES(CAPTURE_MERGE, cuStreamWaitEvent(side, fork, 0));
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(side, &graph));
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));

  /* The default stream would wait for a blocking stream, but not for another. */
  CUstream blocking;
  GOOD(cuStreamCreate(&blocking, 0));
  GOOD(cuStreamBeginCapture_v2(blocking, THREAD_LOCAL));
  GIVES(CAPTURE_IMPLICIT, cuMemsetD8Async(x, 0, 1, NULL));
  GIVES(CAPTURE_INVALIDATED, cuStreamEndCapture(blocking, &graph));
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  fill(z, 7, 10, NULL);
  GOOD(cuStreamEndCapture(stream, &graph));
  GOOD(cuGraphDestroy(graph));
  CHECK(first(z) == 7);

  pthread_t thread;
  void *status = NULL;
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GOOD(pthread_create(&thread, NULL, end_capture, stream));
  GOOD(pthread_join(thread, &status));
  CHECK((intptr_t)status == CAPTURE_WRONG_THREAD);
  GOOD(cuStreamEndCapture(stream, &graph));
  GOOD(cuGraphDestroy(graph));

  GOOD(cuGraphExecDestroy(exec));
  GIVES(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, stream));
  GOOD(cuMemFree_v2(x));
  GOOD(cuMemFree_v2(y));
  GOOD(cuMemFree_v2(z));
  GOOD(cuEventDestroy_v2(fork));
  GOOD(cuEventDestroy_v2(join));
  GOOD(cuStreamDestroy_v2(stream));
  GOOD(cuStreamDestroy_v2(side));
  GOOD(cuStreamDestroy_v2(blocking));
  close_device(0);
}

static void launches_fail_on_request(void) {
  open_device(0);
  CUdeviceptr x = floats(1);
  fill(x, 1, 1, NULL);
  GOOD(rhumb_host_set("fail_launch", 2));
  GOOD(add(NULL, x, x, 1));
  GOOD(cuStreamSynchronize(NULL));
  GOOD(add(NULL, x, x, 1));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(NULL));
  CHECK(rhumb_host_get("fail_launch") == 0);
  /* From then on the context is of no use. */
  float host;
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemcpyDtoHAsync_v2(&host, x, sizeof host, NULL));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemFree_v2(x));
  CUstream stream;
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamCreate(&stream, 0));
  GIVES(RHUMB_DEVICE_ERROR, add(NULL, x, x, 1));
  CHECK(strstr(rhumb_last_error(), "status 700") != NULL);
  GOOD(cuDevicePrimaryCtxRelease_v2(0));
  open_device(0);
  x = floats(1);
  fill(x, 1, 1, NULL);
  GOOD(add(NULL, x, x, 1));
  CHECK(first(x) == 2);
  GOOD(cuMemFree_v2(x));
  close_device(0);
}

static void deferred_work_waits(void) {
  open_device(0);
  GOOD(rhumb_host_set("deferred", 1));
  CUstream stream;
  GOOD(cuStreamCreate(&stream, NON_BLOCKING));
  CUevent event, later;
  GOOD(cuEventCreate(&event, CU_EVENT_DEFAULT));
  GOOD(cuEventCreate(&later, CU_EVENT_DEFAULT));
  float *pinned;
  GOOD(cuMemAllocHost_v2((void **)&pinned, 2 * sizeof *pinned));
  CUdeviceptr x = floats(1);

  /* The host's memory is read when the work is done, and written then. */
  float host = 2;
  GOOD(cuMemcpyHtoDAsync_v2(x, &host, sizeof host, stream));
  host = 1;
  GOOD(add(stream, x, x, 1));
  pinned[1] = 0;
  GOOD(cuMemcpyDtoHAsync_v2(pinned + 1, x, sizeof host, stream));
  CHECK(pinned[1] == 0);
  GOOD(cuStreamSynchronize(stream));
  CHECK(pinned[1] == 2);
  pinned[0] = 3;
  GOOD(cuMemcpyHtoDAsync_v2(x, pinned, sizeof host, stream));
  pinned[0] = 4;
  GOOD(cuMemcpyDtoHAsync_v2(&host, x, sizeof host, stream));
  CHECK(host == 1);
  GOOD(cuStreamSynchronize(stream));
  CHECK(host == 4);

  GOOD(add(stream, x, x, 1));
  GOOD(cuEventRecord(event, stream));
  GOOD(cuEventRecord(later, stream));
  float milliseconds;
  GIVES(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&milliseconds, event, later));
  GIVES(CUDA_ERROR_NOT_READY, cuEventQuery(event));
  GOOD(cuEventQuery(event));
  GOOD(cuEventElapsedTime(&milliseconds, event, later));
  GOOD(add(stream, x, x, 1));
  GIVES(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
  GOOD(cuStreamQuery(stream));

  /* A failure shows where somebody waits. */
  GOOD(rhumb_host_set("fail_launch", 1));
  GOOD(add(stream, x, x, 1));
  GOOD(add(stream, x, x, 1));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, cuEventSynchronize(event));
  GOOD(cuDevicePrimaryCtxRelease_v2(0));
  CHECK(rhumb_host_get("host_allocations") == 0);
  open_device(0);
  GOOD(rhumb_host_set("deferred", 0));
  close_device(0);
}

static float value(int i) { return (float)(i * 7 % 11) - 5; }

static float bf16_of(unsigned short bits) {
  const unsigned wide = (unsigned)bits << 16;
  float x;
  memcpy(&x, &wide, sizeof x);
  return x;
}

static unsigned short to_bf16(float x) { /* of a small integer, exact */
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  return (unsigned short)(bits >> 16);
}

/* C (m, n, batch) = alpha op(A) op(B) + beta C with leading dimensions two above the least. */
static void product_is_right(cublasHandle_t handle, int opA, int opB, int wide, int beta) {
  enum { M = 5, N = 4, K = 3, BATCH = 2, ROOM = 7 * 5 };
  const int lda = (opA == CUBLAS_OP_N ? M : K) + 2;
  const int ldb = (opB == CUBLAS_OP_N ? K : N) + 2;
  const int ldc = M + 2;
  float a[BATCH * ROOM], b[BATCH * ROOM], c[BATCH * ROOM];
  unsigned short a16[BATCH * ROOM], b16[BATCH * ROOM];
  for (int i = 0; i < BATCH * ROOM; i++) {
    a[i] = value(i);
    b[i] = value(i + 3);
    c[i] = beta == 0 ? NAN : value(i + 5);
    a16[i] = to_bf16(a[i]);
    b16[i] = to_bf16(b[i]);
    CHECK(bf16_of(a16[i]) == a[i]);
  }
  CUdeviceptr da = floats(BATCH * ROOM), db = floats(BATCH * ROOM), dc = floats(BATCH * ROOM);
  GOOD(cuMemcpyHtoDAsync_v2(da, wide ? (void *)a : a16, wide ? sizeof a : sizeof a16, NULL));
  GOOD(cuMemcpyHtoDAsync_v2(db, wide ? (void *)b : b16, wide ? sizeof b : sizeof b16, NULL));
  GOOD(cuMemcpyHtoDAsync_v2(dc, c, sizeof c, NULL));
  const float alpha = 2, keep = (float)beta;
  const int type = wide ? CUDA_R_32F : CUDA_R_16BF;
  GOOD(cublasGemmStridedBatchedEx(handle, opA, opB, M, N, K, &alpha, (void *)(uintptr_t)da, type, lda, ROOM,
                                  (void *)(uintptr_t)db, type, ldb, ROOM, &keep, (void *)(uintptr_t)dc, CUDA_R_32F, ldc,
                                  ROOM, BATCH, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  float result[BATCH * ROOM];
  GOOD(cuMemcpyDtoHAsync_v2(result, dc, sizeof result, NULL));
  for (int batch = 0; batch < BATCH; batch++) {
    for (int j = 0; j < N; j++) {
      for (int i = 0; i < M; i++) {
        float sum = 0;
        for (int k = 0; k < K; k++) {
          const int at = opA == CUBLAS_OP_N ? k * lda + i : i * lda + k;
          const int bt = opB == CUBLAS_OP_N ? j * ldb + k : k * ldb + j;
          sum += a[batch * ROOM + at] * b[batch * ROOM + bt];
        }
        const int ct = batch * ROOM + j * ldc + i;
        CHECK(result[ct] == 2 * sum + (beta == 0 ? 0 : keep * c[ct]));
      }
    }
  }
  GOOD(cuMemFree_v2(da));
  GOOD(cuMemFree_v2(db));
  GOOD(cuMemFree_v2(dc));
}

static void cublas_works(void) {
  cublasHandle_t handle = NULL;
  GIVES(CUBLAS_STATUS_NOT_INITIALIZED, cublasCreate_v2(&handle));
  GIVES(CUBLAS_STATUS_NOT_INITIALIZED, cublasSetStream_v2(NULL, NULL));
  open_device(0);
  GOOD(cublasCreate_v2(&handle));
  CHECK(rhumb_host_get("cublas_handles") == 1);
  int version = 0;
  GOOD(cublasGetVersion_v2(handle, &version));
  CHECK(version >= 120000);
  CHECK(strlen(cublasGetStatusString(CUBLAS_STATUS_INVALID_VALUE)) > 0);
  GOOD(cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH));
  for (int variant = 0; variant < 16; variant++) {
    product_is_right(handle, variant & 1, variant >> 1 & 1, variant >> 2 & 1, (variant >> 3 & 1) * 3);
  }

  CUdeviceptr x = floats(64);
  float *p = (float *)(uintptr_t)x;
  const float one = 1, none = 0;
  fill(x, 1, 64, NULL);
  GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm_v2(handle, 0, 0, 4, 4, 4, &one, p, 3, p + 16, 4, &none, p + 32, 4));
  GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm_v2(handle, 0, 0, 4, 4, 4, &one, p, 4, p + 16, 3, &none, p + 32, 4));
  GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm_v2(handle, 0, 0, 4, 4, 4, &one, p, 4, p + 16, 4, &none, p + 32, 3));
  GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm_v2(handle, 1, 0, 4, 4, 5, &one, p, 4, p + 16, 5, &none, p + 32, 4));
  GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm_v2(handle, 0, 0, -1, 4, 4, &one, p, 4, p + 16, 4, &none, p + 32, 4));
  GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm_v2(handle, 7, 0, 4, 4, 4, &one, p, 4, p + 16, 4, &none, p + 32, 4));
  GIVES(15, cublasGemmEx(handle, 0, 0, 4, 4, 4, &one, p, 99, 4, p, 99, 4, &none, p, CUDA_R_32F, 4, CUBLAS_COMPUTE_32F,
                         CUBLAS_GEMM_DEFAULT));
  GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSetWorkspace_v2(handle, p + 1, 16));
  GOOD(cublasSetWorkspace_v2(handle, p, 16));

  /* In the order of its stream, and in that stream's graph. */
  CUstream stream;
  CUgraph graph;
  CUgraphExec exec;
  GOOD(cuStreamCreate(&stream, NON_BLOCKING));
  GOOD(cublasSetStream_v2(handle, stream));
  GOOD(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
  GOOD(cublasSgemm_v2(handle, 0, 0, 4, 4, 4, &one, p, 4, p + 16, 4, &none, p + 32, 4));
  GOOD(cuStreamEndCapture(stream, &graph));
  CHECK(first(x + 32 * sizeof(float)) == 1);
  GOOD(cuGraphInstantiateWithFlags(&exec, graph, 0));
  GOOD(cuGraphLaunch(exec, stream));
  CHECK(first(x + 32 * sizeof(float)) == 4 && first(x + 48 * sizeof(float)) == 1);
  GOOD(cuGraphExecDestroy(exec));
  GOOD(cuGraphDestroy(graph));
  GOOD(cuStreamDestroy_v2(stream));
  GOOD(cuMemFree_v2(x));
  GOOD(cublasDestroy_v2(handle));
  GIVES(CUBLAS_STATUS_NOT_INITIALIZED, cublasDestroy_v2(handle));
  close_device(0);
}

int main(void) {
  settings_work();
  devices_are_told();
  contexts_are_counted();
  memory_is_guarded();
  streams_and_events_work();
  graphs_replay();
  launches_fail_on_request();
  deferred_work_waits();
  cublas_works();
  return failures != 0;
}
