#include "driver_on_host.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "settings.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

using namespace rhumb_host;

// --- What handles point to -----------------------------------------------------------------------------------------------

struct CUctx_st {
  int device = 0;
  int retained = 0;
  int broken = 0;  // the status of the work that failed: from then on, of every call
  size_t bytes = 0;
};

namespace {

// How much of each stream's work something comes after.
using Seen = std::map<CUstream, long>;

struct Capture {
  CUstream origin;
  int mode;
  std::thread::id thread;
  bool over = false, invalid = false;
  std::vector<Work> works;
  std::map<CUstream, Seen> streams;  // that take part
};

// One recording of an event.
struct Moment {
  bool done = false;
  std::chrono::steady_clock::time_point time;
};

}  // namespace

struct CUstream_st {
  CUcontext context;
  unsigned flags;
  std::shared_ptr<Capture> capture;
};

struct CUevent_st {
  CUcontext context;
  unsigned flags;
  std::shared_ptr<Moment> moment;
  std::shared_ptr<Capture> capture;  // that it was last recorded in
  Seen seen;
};

struct CUgraph_st {
  CUcontext context;
  std::vector<Work> works;
};

struct CUgraphExec_st {
  CUcontext context;
  std::vector<Work> works;
};

namespace {

constexpr int kMostDevices = 8;
constexpr size_t kAlignment = 256;
constexpr size_t kCanary = 64;  // bytes behind each allocation that no kernel may write
constexpr unsigned kNonBlocking = CU_STREAM_NON_BLOCKING;
constexpr unsigned kNoTiming = 2;  // CU_EVENT_DISABLE_TIMING
constexpr int kModeGlobal = 0, kModeRelaxed = CU_STREAM_CAPTURE_MODE_RELAXED;

// Memory that nobody has written yet: NaN as bf16, float and double, and no plausible integer.
constexpr unsigned char kFresh[2] = {0xfa, 0xff};
// What stands behind each allocation: NaN too, but one that no arithmetic leaves as it is (signalling).
constexpr unsigned char kBehind[2] = {0xa5, 0x7f};

struct Allocation {
  CUcontext context;
  size_t bytes;
};

struct Deferred {
  CUcontext context;
  Work work;
};

struct Machine {
  std::mutex lock;     // of all below
  std::mutex running;  // of the deferred work
  bool initialised = false;
  CUctx_st contexts[kMostDevices];
  std::map<uintptr_t, Allocation> allocations;
  std::map<uintptr_t, Allocation> host_allocations;
  std::set<CUstream> streams;
  std::set<CUevent> events;
  std::set<CUgraph> graphs;
  std::set<CUgraphExec> executables;
  std::deque<Deferred> deferred;
  std::string failure;

  Machine() {
    for (int d = 0; d < kMostDevices; d++) {
      contexts[d].device = d;
    }
  }
};

// Never destroyed: the JVM's threads may outlive static objects.
Machine &machine() {
  static Machine &instance = *new Machine;
  return instance;
}

using Lock = std::unique_lock<std::mutex>;

thread_local CUcontext current = nullptr;

// The runtime works in the first device's context where the thread has chosen none.
CUcontext chosen() { return current != nullptr ? current : &machine().contexts[0]; }

// Every call in a context begins so: 0, or what stands in its way.
int enter() {
  if (!machine().initialised) {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  if (current == nullptr) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  return current->retained == 0 ? static_cast<int>(CUDA_ERROR_CONTEXT_IS_DESTROYED) : current->broken;
}

bool is_default(CUstream stream) { return reinterpret_cast<uintptr_t>(stream) <= 2; }

std::shared_ptr<Capture> capture_of(CUstream stream) { return is_default(stream) ? nullptr : stream->capture; }

// 0, or why the stream cannot take work of that context.
int find(CUstream stream, CUcontext context) {
  if (!is_default(stream)) {
    return machine().streams.count(stream) == 0 || stream->context != context ? CUDA_ERROR_INVALID_HANDLE : 0;
  }
  // The default stream waits for all others but the non-blocking ones, and so would become part of their capture.
  int status = 0;
  for (CUstream other : machine().streams) {
    if (other->context == context && other->capture != nullptr && (other->flags & kNonBlocking) == 0) {
      other->capture->invalid = true;
      status = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
  }
  return status;
}

// 0, or the status of a call that waits or allocates while a capture forbids that to this thread. The capture is spoilt.
int unsafe_call() {
  int status = 0;
  for (CUstream stream : machine().streams) {
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture != nullptr && capture->mode != kModeRelaxed &&
        (capture->mode == kModeGlobal || capture->thread == std::this_thread::get_id())) {
      capture->invalid = true;
      status = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
  }
  return status;
}

// 0, or the status of a wait for a stream in capture.
int wait_in_capture(CUstream stream) {
  const std::shared_ptr<Capture> capture = capture_of(stream);
  if (capture == nullptr) {
    return 0;
  }
  capture->invalid = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

int run(CUcontext context, const Work &work) {
  const int status = work();
  if (status != 0) {
    Lock lock(machine().lock);
    if (context->retained > 0 && context->broken == 0) {
      context->broken = status;
    }
  }
  return status;
}

// Does all that was deferred, in the order in which it came. Returns whether there was any.
bool drain() {
  Machine &m = machine();
  Lock one_at_a_time(m.running);
  for (bool any = false;; any = true) {
    Lock lock(m.lock);
    if (m.deferred.empty()) {
      return any;
    }
    const Deferred next = std::move(m.deferred.front());
    m.deferred.pop_front();
    if (next.context->broken == 0) {
      lock.unlock();
      run(next.context, next.work);
    }
  }
}

unsigned char *canary(uintptr_t address, size_t bytes) { return reinterpret_cast<unsigned char *>(address + bytes); }

void guard([[maybe_unused]] uintptr_t address, [[maybe_unused]] size_t bytes, [[maybe_unused]] bool on) {
#ifdef __SANITIZE_ADDRESS__
  if (on) {
    ASAN_POISON_MEMORY_REGION(canary(address, bytes), kCanary);
  } else {
    ASAN_UNPOISON_MEMORY_REGION(canary(address, bytes), kCanary);
  }
#endif
}

void fill(unsigned char *to, const unsigned char (&pattern)[2], size_t bytes) {
  for (size_t i = 0; i < bytes; i++) {
    to[i] = pattern[i % 2];
  }
}

// Breaks the contexts in which a kernel has written past an allocation.
void check_canaries() {
  for (const auto &[address, allocation] : machine().allocations) {
    guard(address, allocation.bytes, false);
    const unsigned char *bytes = canary(address, allocation.bytes);
    for (size_t i = 0; i < kCanary; i++) {
      if (bytes[i] != kBehind[i % 2] && allocation.context->broken == 0) {
        allocation.context->broken = CUDA_ERROR_ILLEGAL_ADDRESS;
        machine().failure = "an allocation of " + std::to_string(allocation.bytes) + " bytes was written past its end";
      }
    }
    guard(address, allocation.bytes, true);
  }
}

// Whether [address, address + bytes) lies in one allocation.
bool is_device_memory(CUdeviceptr address, size_t bytes) {
  const auto next = machine().allocations.upper_bound(address);
  if (next == machine().allocations.begin()) {
    return false;
  }
  const auto &[begin, allocation] = *std::prev(next);
  return address - begin <= allocation.bytes && bytes <= allocation.bytes - (address - begin);
}

void release(std::map<uintptr_t, Allocation>::iterator which) {
  const auto [address, allocation] = *which;
  guard(address, allocation.bytes, false);
  std::free(reinterpret_cast<void *>(address));
  allocation.context->bytes -= allocation.bytes;
  setting(Setting::ALLOCATIONS)--;
  setting(Setting::ALLOCATED_BYTES) -= static_cast<long>(allocation.bytes);
  machine().allocations.erase(which);
}

void release_host(std::map<uintptr_t, Allocation>::iterator which) {
  std::free(reinterpret_cast<void *>(which->first));
  setting(Setting::HOST_ALLOCATIONS)--;
  machine().host_allocations.erase(which);
}

template <class T>
void forget(std::set<T *> &alive, T *which, Setting counter) {
  alive.erase(which);
  delete which;
  setting(counter)--;
}

template <class T>
void forget_all(std::set<T *> &alive, CUcontext context, Setting counter) {
  const std::set<T *> before = alive;
  for (T *each : before) {
    if (each->context == context) {
      forget(alive, each, counter);
    }
  }
}

template <class T>
int destroy(std::set<T *> &alive, T *which, Setting counter) {
  Lock lock(machine().lock);
  int status = enter();
  if (status == 0 && alive.count(which) == 0) {
    status = CUDA_ERROR_INVALID_HANDLE;
  }
  if (status == 0) {
    forget(alive, which, counter);
  }
  return status;
}

void destroy_context(CUcontext context) {
  Machine &m = machine();
  forget_all(m.streams, context, Setting::STREAMS);
  forget_all(m.events, context, Setting::EVENTS);
  forget_all(m.graphs, context, Setting::GRAPHS);
  forget_all(m.executables, context, Setting::EXECUTABLES);
  for (auto i = m.allocations.begin(); i != m.allocations.end();) {
    const auto each = i++;
    if (each->second.context == context) {
      release(each);
    }
  }
  for (auto i = m.host_allocations.begin(); i != m.host_allocations.end();) {
    const auto each = i++;
    if (each->second.context == context) {
      release_host(each);
    }
  }
  context->broken = 0;
}

int devices() { return std::min(static_cast<int>(setting(Setting::DEVICES)), kMostDevices); }

// 0, or why the device cannot be asked.
int find_device(CUdevice device) {
  if (!machine().initialised) {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  return device < 0 || device >= devices() ? CUDA_ERROR_INVALID_DEVICE : 0;
}

bool is_capturing(CUstream stream) { return machine().streams.count(stream) != 0 && stream->capture != nullptr; }

// A copy or fill of so many bytes: it only needs its arguments and then is put into the stream. `fits` is asked under the lock.
template <class Fits>
int take(CUstream stream, size_t bytes, Fits fits, const Work &work) {
  {
    Lock lock(machine().lock);
    if (const int status = enter()) {
      return status;
    }
    if (bytes == 0 ? is_capturing(stream) : !fits()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return submit(stream, work);
}

}  // namespace

// --- For the rest of the emulation ---------------------------------------------------------------------------------------

namespace rhumb_host {

int submit(CUstream stream, Work work, int *done) {
  Machine &m = machine();
  CUcontext context;
  {
    Lock lock(m.lock);
    context = chosen();
    if (context->broken != 0) {
      return context->broken;
    }
    if (const int status = find(stream, context)) {
      return status;
    }
    if (const std::shared_ptr<Capture> capture = capture_of(stream)) {
      if (capture->invalid) {
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      }
      capture->works.push_back(std::move(work));
      capture->streams[stream][stream]++;
      return 0;
    }
    if (context->retained > 0 && setting(Setting::DEFERRED) != 0) {
      m.deferred.push_back({context, std::move(work)});
      return 0;
    }
  }
  const int status = run(context, work);
  if (done != nullptr) {
    *done = status;
  }
  return 0;
}

int submit_launch(CUstream stream, Work work, int *done) {
  return submit(
      stream,
      [work = std::move(work)] {
        setting(Setting::LAUNCHES)++;
        std::atomic<long> &left = setting(Setting::FAIL_LAUNCH);
        if (left > 0 && --left == 0) {
          return static_cast<int>(CUDA_ERROR_ILLEGAL_ADDRESS);
        }
        return work();
      },
      done);
}

bool in_capture(CUstream stream) {
  Lock lock(machine().lock);
  return is_capturing(stream);
}

bool in_context() {
  Lock lock(machine().lock);
  return chosen()->retained > 0;
}

int device_attribute(int *value, int attribute, int device) {
  if (device < 0 || device >= devices()) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  switch (attribute) {
    case 8:  // shared memory of a block, unasked
      *value = 48 * 1024;
      return 0;
    case 10:  // threads of a warp
      *value = 32;
      return 0;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      *value = static_cast<int>(setting(Setting::MULTIPROCESSORS));
      return 0;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      *value = static_cast<int>(setting(Setting::COMPUTE_CAPABILITY) / 10);
      return 0;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      *value = static_cast<int>(setting(Setting::COMPUTE_CAPABILITY) % 10);
      return 0;
    case 97:  // shared memory of a block, on request
      *value = static_cast<int>(setting(Setting::SHARED_BYTES));
      return 0;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

const Status *status(int number) {
  static constexpr Status kStatuses[] = {
      {0, "CUDA_SUCCESS", "cudaSuccess", "no error"},
      {1, "CUDA_ERROR_INVALID_VALUE", "cudaErrorInvalidValue", "invalid argument"},
      {2, "CUDA_ERROR_OUT_OF_MEMORY", "cudaErrorMemoryAllocation", "out of memory"},
      {3, "CUDA_ERROR_NOT_INITIALIZED", "cudaErrorInitializationError", "initialization error"},
      {9, "CUDA_ERROR_UNKNOWN", "cudaErrorInvalidConfiguration", "invalid configuration argument"},
      {35, "CUDA_ERROR_UNKNOWN", "cudaErrorInsufficientDriver",
       "CUDA driver version is insufficient for CUDA runtime version"},
      {100, "CUDA_ERROR_NO_DEVICE", "cudaErrorNoDevice", "no CUDA-capable device is detected"},
      {101, "CUDA_ERROR_INVALID_DEVICE", "cudaErrorInvalidDevice", "invalid device ordinal"},
      {201, "CUDA_ERROR_INVALID_CONTEXT", "cudaErrorDeviceUninitialized", "invalid device context"},
      {400, "CUDA_ERROR_INVALID_HANDLE", "cudaErrorInvalidResourceHandle", "invalid resource handle"},
      {401, "CUDA_ERROR_ILLEGAL_STATE", "cudaErrorIllegalState",
       "the operation cannot be performed in the present state"},
      {600, "CUDA_ERROR_NOT_READY", "cudaErrorNotReady", "device not ready"},
      {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
      {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "cudaErrorContextIsDestroyed", "context is destroyed"},
      {719, "CUDA_ERROR_LAUNCH_FAILED", "cudaErrorLaunchFailure", "unspecified launch failure"},
      {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "cudaErrorStreamCaptureUnsupported",
       "operation not permitted when stream is capturing"},
      {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "cudaErrorStreamCaptureInvalidated",
       "operation failed due to a previous error during capture"},
      {902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "cudaErrorStreamCaptureMerge",
       "operation would result in a merge of separate capture sequences"},
      {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "cudaErrorStreamCaptureUnmatched",
       "capture was not ended in the same stream as it began"},
      {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "cudaErrorStreamCaptureUnjoined",
       "capturing stream has unjoined work"},
      {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "cudaErrorStreamCaptureIsolation",
       "dependency created on uncaptured work in another stream"},
      {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "cudaErrorStreamCaptureImplicit",
       "operation would make the legacy stream depend on a capturing blocking stream"},
      {907, "CUDA_ERROR_CAPTURED_EVENT", "cudaErrorCapturedEvent",
       "operation not permitted on an event last recorded in a capturing stream"},
      {908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "cudaErrorStreamCaptureWrongThread",
       "attempt to terminate a thread-local capture sequence from another thread"},
  };
  for (const Status &candidate : kStatuses) {
    if (candidate.number == number) {
      return &candidate;
    }
  }
  return nullptr;
}

void set_failure(const std::string &words) {
  Lock lock(machine().lock);
  machine().failure = words;
}

const char *status_text(int number) {
  static thread_local std::string text;
  const Status *found = status(number);
  if (found == nullptr) {
    return nullptr;
  }
  text = found->text;
  Lock lock(machine().lock);
  if ((number == CUDA_ERROR_LAUNCH_FAILED || number == CUDA_ERROR_ILLEGAL_ADDRESS) && !machine().failure.empty()) {
    text += ": " + machine().failure;
  }
  return text.c_str();
}

}  // namespace rhumb_host

// --- The driver's calls --------------------------------------------------------------------------------------------------

CUresult cuInit(unsigned flags) {
  if (flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (devices() == 0) {
    return CUDA_ERROR_NO_DEVICE;
  }
  Lock lock(machine().lock);
  machine().initialised = true;
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
  *version = static_cast<int>(setting(Setting::DRIVER_VERSION));
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **text) {
  const Status *found = status(error);
  *text = found == nullptr ? nullptr : found->driver;
  return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
  *text = status_text(error);
  return *text == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
  *count = devices();
  return machine().initialised ? static_cast<int>(CUDA_SUCCESS) : static_cast<int>(CUDA_ERROR_NOT_INITIALIZED);
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  *device = ordinal;
  return find_device(ordinal);
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
  if (const int status = find_device(device)) {
    return status;
  }
  snprintf(name, static_cast<size_t>(bytes), "emulated GPU %d", device);
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  const int status = find_device(device);
  return status != 0 ? status : device_attribute(value, attribute, device);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  *bytes = static_cast<size_t>(setting(Setting::MEMORY_BYTES));
  return find_device(device);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  if (const int status = find_device(device)) {
    return status;
  }
  Lock lock(machine().lock);
  *context = &machine().contexts[device];
  (*context)->retained++;
  setting(Setting::CONTEXTS)++;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  if (const int status = find_device(device)) {
    return status;
  }
  drain();
  Lock lock(machine().lock);
  CUcontext context = &machine().contexts[device];
  if (context->retained == 0) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  setting(Setting::CONTEXTS)--;
  if (--context->retained == 0) {
    destroy_context(context);
  }
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  Lock lock(machine().lock);
  if (!machine().initialised) {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  bool known = context == nullptr;
  for (const CUctx_st &each : machine().contexts) {
    known |= context == &each && each.retained > 0;
  }
  if (!known) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  current = context;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context) {
  *context = current;
  return machine().initialised ? static_cast<int>(CUDA_SUCCESS) : static_cast<int>(CUDA_ERROR_NOT_INITIALIZED);
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  if (const int status = unsafe_call()) {
    return status;
  }
  if (address == nullptr || bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const size_t most = static_cast<size_t>(setting(Setting::MEMORY_BYTES));
  void *memory = nullptr;
  if (current->bytes > most || bytes > most - current->bytes ||
      posix_memalign(&memory, kAlignment, bytes + kCanary) != 0) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
  fill(static_cast<unsigned char *>(memory), kFresh, bytes);
  fill(canary(begin, bytes), kBehind, kCanary);
  guard(begin, bytes, true);
  machine().allocations[begin] = {current, bytes};
  current->bytes += bytes;
  setting(Setting::ALLOCATIONS)++;
  const long now = setting(Setting::ALLOCATED_BYTES) += static_cast<long>(bytes);
  setting(Setting::MOST_BYTES) = std::max(setting(Setting::MOST_BYTES).load(), now);
  *address = begin;
  return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  drain();  // as freeing does on a GPU, it waits
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  if (const int status = unsafe_call()) {
    return status;
  }
  check_canaries();
  const auto found = machine().allocations.find(address);
  if (address != 0 && found == machine().allocations.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (address != 0) {
    release(found);
  }
  return current->broken;
}

CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  *total = static_cast<size_t>(setting(Setting::MEMORY_BYTES));
  *free = *total - std::min(*total, current->bytes);
  return CUDA_SUCCESS;
}

CUresult cuMemAllocHost_v2(void **address, size_t bytes) {
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  if (const int status = unsafe_call()) {
    return status;
  }
  if (address == nullptr || bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (posix_memalign(address, kAlignment, bytes) != 0) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  machine().host_allocations[reinterpret_cast<uintptr_t>(*address)] = {current, bytes};
  setting(Setting::HOST_ALLOCATIONS)++;
  return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *address) {
  drain();
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  const auto which = machine().host_allocations.find(reinterpret_cast<uintptr_t>(address));
  if (which == machine().host_allocations.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  release_host(which);
  return CUDA_SUCCESS;
}

// Of memory that is not page-locked a driver may read and write all before the call returns, or nothing ("might be synchronous
// with respect to host"): nothing here, so that a caller who counts on the first is found.
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  return take(stream, bytes, [=] { return from != nullptr && is_device_memory(to, bytes); }, [=] {
    std::memcpy(reinterpret_cast<void *>(to), from, bytes);
    return 0;
  });
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return take(stream, bytes, [=] { return to != nullptr && is_device_memory(from, bytes); }, [=] {
    std::memcpy(to, reinterpret_cast<const void *>(from), bytes);
    return 0;
  });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return take(stream, bytes, [=] { return is_device_memory(to, bytes) && is_device_memory(from, bytes); }, [=] {
    std::memmove(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), bytes);
    return 0;
  });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return take(stream, count, [=] { return is_device_memory(to, count); }, [=] {
    std::memset(reinterpret_cast<void *>(to), value, count);
    return 0;
  });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
  const auto fits = [=] { return to % 4 == 0 && count <= SIZE_MAX / 4 && is_device_memory(to, count * 4); };
  return take(stream, count, fits, [=] {
    for (size_t i = 0; i < count; i++) {
      std::memcpy(reinterpret_cast<char *>(to) + i * 4, &value, 4);
    }
    return 0;
  });
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  if (flags > kNonBlocking) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *stream = new CUstream_st{current, flags, nullptr};
  machine().streams.insert(*stream);
  setting(Setting::STREAMS)++;
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  {
    Lock lock(machine().lock);
    if (machine().streams.count(stream) != 0 && stream->capture != nullptr) {
      stream->capture->invalid = true;
      stream->capture->streams.erase(stream);
    }
  }
  return destroy(machine().streams, stream, Setting::STREAMS);
}

CUresult cuStreamSynchronize(CUstream stream) {
  {
    Lock lock(machine().lock);
    int status = enter();
    status = status != 0 ? status : find(stream, current);
    status = status != 0 ? status : wait_in_capture(stream);
    if (status != 0) {
      return status;
    }
  }
  setting(Setting::WAITS)++;
  drain();
  Lock lock(machine().lock);
  check_canaries();
  return current->broken;
}

CUresult cuStreamQuery(CUstream stream) {
  {
    Lock lock(machine().lock);
    int status = enter();
    status = status != 0 ? status : find(stream, current);
    status = status != 0 ? status : wait_in_capture(stream);
    if (status != 0) {
      return status;
    }
  }
  // Deferred work is not ready when first asked about, and then done.
  if (drain()) {
    return CUDA_ERROR_NOT_READY;
  }
  Lock lock(machine().lock);
  return current->broken;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  Lock lock(machine().lock);
  int status = enter();
  status = status != 0 ? status : find(stream, current);
  if (status != 0) {
    return status;
  }
  if (machine().events.count(event) == 0) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::shared_ptr<Capture> mine = capture_of(stream);
  const std::shared_ptr<Capture> theirs = event->capture;
  if (theirs == nullptr) {
    if (mine != nullptr && event->moment != nullptr) {
      mine->invalid = true;
      return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    return CUDA_SUCCESS;  // work is done in the order in which it comes
  }
  if (theirs->over) {
    return CUDA_ERROR_CAPTURED_EVENT;
  }
  if (theirs->invalid) {
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  if (is_default(stream)) {
    theirs->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (mine != nullptr && mine != theirs) {
    mine->invalid = theirs->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  }
  stream->capture = theirs;
  Seen &seen = theirs->streams[stream];
  for (const auto &[other, works] : event->seen) {
    seen[other] = std::max(seen[other], works);
  }
  return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  if (is_default(stream)) {
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (const int status = find(stream, current)) {
    return status;
  }
  if (mode < kModeGlobal || mode > kModeRelaxed) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (stream->capture != nullptr) {
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->streams[stream];
  return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  Lock lock(machine().lock);
  *graph = nullptr;
  int status = enter();
  status = status != 0 ? status : find(stream, current);
  if (status != 0) {
    return status;
  }
  const std::shared_ptr<Capture> capture = capture_of(stream);
  if (capture == nullptr) {
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  if (capture->origin != stream) {
    capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  if (capture->mode != kModeRelaxed && capture->thread != std::this_thread::get_id()) {
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  }
  capture->over = true;
  bool joined = true;
  for (const auto &[other, seen] : capture->streams) {
    const auto works = seen.find(other);
    joined &= works == seen.end() || capture->streams[stream][other] >= works->second;
    other->capture = nullptr;
  }
  if (capture->invalid) {
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  if (!joined) {
    return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  }
  *graph = new CUgraph_st{current, std::move(capture->works)};
  machine().graphs.insert(*graph);
  setting(Setting::GRAPHS)++;
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  if (flags > 3) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *event = new CUevent_st{current, flags, nullptr, nullptr, {}};
  machine().events.insert(*event);
  setting(Setting::EVENTS)++;
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) { return destroy(machine().events, event, Setting::EVENTS); }

CUresult cuEventRecord(CUevent event, CUstream stream) {
  const auto moment = std::make_shared<Moment>();
  {
    Lock lock(machine().lock);
    int status = enter();
    status = status != 0 ? status : find(stream, current);
    if (status != 0) {
      return status;
    }
    if (machine().events.count(event) == 0 || event->context != current) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    event->capture = capture_of(stream);
    if (event->capture != nullptr) {
      event->seen = event->capture->streams[stream];
      return event->capture->invalid ? static_cast<int>(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED) : 0;
    }
    event->moment = moment;
  }
  return submit(stream, [moment] {
    moment->time = std::chrono::steady_clock::now();
    moment->done = true;
    return 0;
  });
}

namespace {

// 0, or why the event cannot be asked about or waited for.
int find_event(CUevent event) {
  if (const int status = enter()) {
    return status;
  }
  if (machine().events.count(event) == 0) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  return event->capture != nullptr ? CUDA_ERROR_CAPTURED_EVENT : 0;
}

}  // namespace

CUresult cuEventSynchronize(CUevent event) {
  {
    Lock lock(machine().lock);
    if (const int status = find_event(event)) {
      return status;
    }
  }
  setting(Setting::WAITS)++;
  drain();
  Lock lock(machine().lock);
  check_canaries();
  return current->broken;
}

CUresult cuEventQuery(CUevent event) {
  {
    Lock lock(machine().lock);
    if (const int status = find_event(event)) {
      return status;
    }
    if (event->moment == nullptr || event->moment->done) {
      return CUDA_SUCCESS;
    }
  }
  drain();
  return CUDA_ERROR_NOT_READY;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  Lock lock(machine().lock);
  for (CUevent event : {start, end}) {
    if (const int status = find_event(event)) {
      return status;
    }
    if (event->moment == nullptr || (event->flags & kNoTiming) != 0) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (!event->moment->done) {
      return CUDA_ERROR_NOT_READY;
    }
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->moment->time - start->moment->time).count();
  return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
  Lock lock(machine().lock);
  if (const int status = enter()) {
    return status;
  }
  if (machine().graphs.count(graph) == 0 || flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *exec = new CUgraphExec_st{current, graph->works};
  machine().executables.insert(*exec);
  setting(Setting::EXECUTABLES)++;
  return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  std::vector<Work> works;
  {
    Lock lock(machine().lock);
    int status = enter();
    status = status != 0 ? status : find(stream, current);
    if (status != 0) {
      return status;
    }
    if (machine().executables.count(exec) == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    works = exec->works;
  }
  setting(Setting::GRAPH_LAUNCHES)++;
  setting(Setting::GRAPH_NODES) += static_cast<long>(works.size());
  return submit(stream, [works = std::move(works)] {
    for (const Work &work : works) {
      if (const int status = work()) {
        return status;
      }
    }
    return 0;
  });
}

CUresult cuGraphExecDestroy(CUgraphExec exec) { return destroy(machine().executables, exec, Setting::EXECUTABLES); }

CUresult cuGraphDestroy(CUgraph graph) { return destroy(machine().graphs, graph, Setting::GRAPHS); }
