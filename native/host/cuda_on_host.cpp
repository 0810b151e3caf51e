// The scheduler behind cuda_on_host.h.
#include "cuda_on_host.h"

#include "driver_on_host.h"
#include "hopper_on_host.h"
#include "settings.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#ifndef __x86_64__
#error "The host's emulation of CUDA switches fibers in x86-64 assembly."
#endif

// Saves the callee-saved registers on this stack, keeps its pointer in *from, and goes on where `to` was left: by a jump, since
// a processor predicts that a return goes back to the call before it, and pays more than all the rest for being wrong.
extern "C" void rhumb_host_switch(void **from, void *to);
asm(R"(
  .text
  .hidden rhumb_host_switch
  .globl rhumb_host_switch
  .type rhumb_host_switch, @function
rhumb_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
  .size rhumb_host_switch, . - rhumb_host_switch
)");

namespace rhumb_host {
namespace {

constexpr unsigned kMostThreads = 1024;
constexpr size_t kStack = 64 * 1024;  // of which a page goes to kColour
// What a kernel gets without cudaFuncSetAttribute: 48 KiB less its static shared memory, which is not known here.
constexpr size_t kSharedUnasked = 47 * 1024;
constexpr size_t kCanary = 64;                // bytes behind dynamic shared memory that nobody may touch
constexpr unsigned char kCanaryByte = 0xa5;

// The stacks of a block's fibers, each above a page that may not be touched. Grows, never shrinks.
class Stacks {
 public:
  ~Stacks() { release(); }

  // The end (stacks grow down) of stack `i` of `count`. Ends are apart by more than whole pages: else the live lines of all
  // stacks would fall into the same few sets of the cache.
  char *end(unsigned i, unsigned count) {
    if (count > count_) {
      release();
      void *base = mmap(nullptr, count * stride(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1, 0);
      if (base == MAP_FAILED) {
        throw std::bad_alloc();
      }
      base_ = static_cast<char *>(base);
      count_ = count;
      for (unsigned k = 0; k < count; k++) {
        mprotect(base_ + k * stride(), page(), PROT_NONE);
      }
    }
    return base_ + (i + 1) * stride() - i * kColour % page();
  }

 private:
  static size_t page() {
    static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
  }
  static constexpr size_t kColour = 5 * 64;  // of cache lines, to be coprime with their number in a page
  static size_t stride() { return kStack + page(); }

  void release() {
    if (base_ != nullptr) {
      munmap(base_, count_ * stride());
      base_ = nullptr;
      count_ = 0;
    }
  }

  char *base_ = nullptr;
  unsigned count_ = 0;
};

// A block's dynamic shared memory, of exactly the bytes asked for: the canary behind them tells of writes past the end.
class Shared {
 public:
  Shared() = default;
  ~Shared() { release(); }

  void reserve(size_t bytes) {
    release();
    words_ = (bytes + kCanary) / sizeof(uint64_t) + 1;
    base_ = static_cast<uint64_t *>(::operator new(words_ * sizeof(uint64_t)));
    bytes_ = bytes;
    std::fill(canary(), end(), kCanaryByte);
    guard(true);
  }
  unsigned char *begin() { return reinterpret_cast<unsigned char *>(base_); }
  unsigned char *async_image() { return image_.data(); }

  void poison() {
    const unsigned char *pattern = reinterpret_cast<const unsigned char *>(&kPoison);
    std::fill(base_, base_ + bytes_ / sizeof kPoison, kPoison);
    std::copy(pattern, pattern + bytes_ % sizeof kPoison, canary() - bytes_ % sizeof kPoison);
    image_.assign(begin(), canary());
  }
  void check() {
    guard(false);
    if (std::any_of(canary(), end(), [](unsigned char byte) { return byte != kCanaryByte; })) {
      throw std::runtime_error("the kernel writes past its " + std::to_string(bytes_) + " bytes of dynamic shared memory");
    }
    guard(true);
  }

 private:
  // Under AddressSanitizer a read past the end is told too.
  void guard([[maybe_unused]] bool on) {
#ifdef __SANITIZE_ADDRESS__
    if (on) {
      ASAN_POISON_MEMORY_REGION(canary(), static_cast<size_t>(end() - canary()));
    } else if (base_ != nullptr) {
      ASAN_UNPOISON_MEMORY_REGION(canary(), static_cast<size_t>(end() - canary()));
    }
#endif
  }
  void release() {
    guard(false);
    ::operator delete(base_);
    base_ = nullptr;
  }
  unsigned char *canary() { return begin() + bytes_; }
  unsigned char *end() { return begin() + words_ * sizeof(uint64_t); }

  uint64_t *base_ = nullptr;
  size_t words_ = 0;
  size_t bytes_ = 0;
  std::vector<unsigned char> image_;
};

struct Emulator {
  Block block{};
  std::vector<Fiber> fibers;
  Stacks stacks;
  Shared shared;
  long kind = 0;                   // Setting::ORDER as the launch found it
  std::vector<unsigned> order;     // in which the threads run
  std::vector<void *> brought;     // to a meeting of the block
  std::mt19937 random;
  std::function<void()> body;
  void *scheduler = nullptr;  // its stack pointer while a fiber runs
  bool running = false;
  std::string thrown;  // by the kernel's code
  cudaError_t error = cudaSuccess;
};

// Of the calling thread. A plain pointer, since the way to an object with a constructor is longer.
Emulator &emulator() {
  static thread_local Emulator *instance = nullptr;
  if (instance == nullptr) {
    static thread_local const std::unique_ptr<Emulator> owner = std::make_unique<Emulator>();
    instance = owner.get();
  }
  return *instance;
}

// The first frame of every fiber. It is entered by a jump, so it never returns.
void start() {
  Emulator &e = emulator();
  try {
    e.body();
  } catch (const std::exception &x) {
    e.thrown = x.what();
  }
  e.block.fiber->done = true;
  rhumb_host_switch(&e.block.fiber->stack_pointer, e.scheduler);
  std::abort();
}

void prepare(Fiber &fiber, unsigned i, const dim3 &size, char *stack_end) {
#ifdef __SANITIZE_ADDRESS__
  // The frames of the stack's last fiber never returned, so their red zones still stand.
  ASAN_UNPOISON_MEMORY_REGION(stack_end - kStack, kStack);
#endif
  fiber.done = false;
  fiber.meeting = nullptr;
  fiber.copies.clear();
  fiber.groups = 0;
  fiber.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
  fiber.lane = i % kWarp;
  // As rhumb_host_switch left it: six registers, then where to return. The zero above is start()'s own return address and
  // puts the stack where the ABI wants it at a function's entry.
  void **top = reinterpret_cast<void **>(stack_end);
  *--top = nullptr;
  *--top = reinterpret_cast<void *>(&start);
  for (int r = 0; r < 6; r++) {
    *--top = nullptr;
  }
  fiber.stack_pointer = top;
}

// Sets e.order, by which the threads take turns.
void order_threads(Emulator &e) {
  const unsigned count = static_cast<unsigned>(e.fibers.size());
  constexpr unsigned kStride = 1031;  // a prime above every block size, so each thread comes exactly once
  e.order.resize(count);
  for (unsigned q = 0; q < count; q++) {
    e.order[q] = e.kind == 1 ? count - 1 - q : e.kind == 2 ? (q * kStride + 13) % count : q;
  }
  if (e.kind == 3) {
    std::shuffle(e.order.begin(), e.order.end(), e.random);
  }
}

// Ends the wait of the lanes that meet with `first`, if all of them have come.
bool release_lanes(std::vector<Fiber> &fibers, unsigned warp, unsigned first) {
  const unsigned lanes = std::min(kWarp, static_cast<unsigned>(fibers.size()) - warp);
  const Meeting *meeting = fibers[warp + first].meeting;
  const unsigned mask = fibers[warp + first].mask;
  void *brought[kWarp] = {};
  unsigned here = 0;
  for (unsigned i = 0; i < lanes; i++) {
    const Fiber &f = fibers[warp + i];
    if (f.done || (mask >> i & 1) == 0) {
      continue;
    }
    if (f.meeting != meeting || f.mask != mask) {
      return false;
    }
    here |= 1u << i;
    brought[i] = f.brought;
  }
  meeting->run(brought, kWarp);
  for (unsigned i = 0; i < lanes; i++) {
    if ((here >> i & 1) != 0) {
      fibers[warp + i].meeting = nullptr;
    }
  }
  return true;
}

bool release_warps(std::vector<Fiber> &fibers) {
  bool released = false;
  for (unsigned i = 0; i < fibers.size(); i++) {
    if (!fibers[i].done && fibers[i].meeting != nullptr && fibers[i].meeting->ready == nullptr &&
        !fibers[i].meeting->of_block) {
      released |= release_lanes(fibers, i & ~(kWarp - 1), i & (kWarp - 1));
    }
  }
  return released;
}

// Those who wait for themselves alone.
bool release_ready(std::vector<Fiber> &fibers) {
  bool released = false;
  for (Fiber &f : fibers) {
    if (!f.done && f.meeting != nullptr && f.meeting->ready != nullptr && f.meeting->ready(f.brought)) {
      f.meeting = nullptr;
      released = true;
    }
  }
  return released;
}

bool release_block(Emulator &e) {
  const Meeting *meeting = nullptr;
  e.brought.assign(e.fibers.size(), nullptr);
  for (unsigned i = 0; i < e.fibers.size(); i++) {
    const Fiber &f = e.fibers[i];
    if (f.done) {
      continue;
    }
    if (f.meeting == nullptr || !f.meeting->of_block || (meeting != nullptr && f.meeting != meeting)) {
      return false;
    }
    meeting = f.meeting;
    e.brought[i] = f.brought;
  }
  if (meeting == nullptr) {
    return false;
  }
  meeting->run(e.brought.data(), static_cast<unsigned>(e.brought.size()));
  for (Fiber &f : e.fibers) {
    f.meeting = nullptr;
  }
  return true;
}

std::string stuck(const Emulator &e) {
  std::map<std::string, unsigned> waiting;
  for (const Fiber &f : e.fibers) {
    if (!f.done) {
      waiting[f.meeting->name]++;
    }
  }
  const uint3 b = e.block.index;
  std::string text = "block (" + std::to_string(b.x) + ", " + std::to_string(b.y) + ", " + std::to_string(b.z) +
                     ") cannot go on: of " + std::to_string(e.fibers.size()) + " threads";
  for (const auto &[name, count] : waiting) {
    text += " " + std::to_string(count) + " wait in " + name + ",";
  }
  return text + " and the others they wait for never come";
}

void run_block(Emulator &e) {
  const unsigned count = static_cast<unsigned>(e.fibers.size());
  e.shared.poison();
  e.block.async_shared = e.shared.async_image();
  e.block.copies.clear();
  e.block.products.assign((count + kWarp - 1) / kWarp, {});
  for (unsigned i = 0; i < count; i++) {
    prepare(e.fibers[i], i, e.block.size, e.stacks.end(i, count));
  }
  order_threads(e);
  for (unsigned left = count; left > 0;) {
    bool ran = false;
    for (unsigned i : e.order) {
      Fiber &f = e.fibers[i];
      if (f.done || f.meeting != nullptr) {
        continue;
      }
      ran = true;
      e.block.fiber = &f;
      rhumb_host_switch(&e.scheduler, f.stack_pointer);
      if (!e.thrown.empty()) {
        throw std::runtime_error(e.thrown);
      }
      left -= f.done;
    }
    const bool ready = release_ready(e.fibers);
    const bool released = release_warps(e.fibers) || ready || release_block(e);
    const size_t copies = e.block.copies.size();
    if (!ran && !released) {
      if (copies == 0) {
        throw std::runtime_error(stuck(e));
      }
      arrive_block_copy(e.kind == 3 ? e.random() % copies : 0);
    } else if (e.kind == 3 && copies > 0 && e.random() % 2 == 0) {
      arrive_block_copy(e.random() % copies);
    }
    if (e.kind == 3) {
      order_threads(e);
    }
  }
  check_products();
  e.shared.check();
}

// The kernels that may take more dynamic shared memory than every kernel may, and how much.
struct Allowed {
  std::mutex lock;
  std::map<const void *, size_t> bytes;
};

Allowed &allowed() {
  static Allowed instance;
  return instance;
}

size_t allowed_shared(const void *kernel) {
  std::lock_guard<std::mutex> guard(allowed().lock);
  const auto found = allowed().bytes.find(kernel);
  return found == allowed().bytes.end() ? kSharedUnasked : std::max(kSharedUnasked, found->second);
}

}  // namespace

Block &block() { return emulator().block; }

void meet(const Meeting &meeting, unsigned mask, void *brought) {
  Emulator &e = emulator();
  Fiber &f = *e.block.fiber;
  if (!meeting.of_block && (mask >> f.lane & 1) == 0) {
    throw std::runtime_error("a lane calls with a mask that leaves itself out");
  }
  f.meeting = &meeting;
  f.mask = mask;
  f.brought = brought;
  rhumb_host_switch(&f.stack_pointer, e.scheduler);
}

void shuffle_lanes(void *const *brought, unsigned count) {
  uint64_t values[kWarp];
  for (unsigned i = 0; i < count; i++) {
    values[i] = brought[i] == nullptr ? kPoison : static_cast<Shuffled *>(brought[i])->value;
  }
  for (unsigned i = 0; i < count; i++) {
    if (brought[i] != nullptr) {
      Shuffled *mine = static_cast<Shuffled *>(brought[i]);
      mine->value = values[mine->source];
    }
  }
}

void match_lanes(void *const *brought, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    for (unsigned k = 0; brought[i] != nullptr && k < count; k++) {
      Matched *mine = static_cast<Matched *>(brought[i]);
      const Matched *other = static_cast<Matched *>(brought[k]);
      mine->mask |= other != nullptr && other->value == mine->value ? 1u << k : 0;
    }
  }
}

namespace {

// All blocks of a launch. Returns a status.
int run_grid(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()> &body) {
  Emulator &e = emulator();
  e.running = true;
  int status = cudaSuccess;
  try {
    e.thrown.clear();
    e.body = body;
    e.fibers.resize(static_cast<size_t>(size.x) * size.y * size.z);
    e.kind = setting(Setting::ORDER);
    if (e.kind == 3) {
      e.random.seed(static_cast<unsigned>(setting(Setting::SEED).fetch_add(1)));
    }
    e.shared.reserve(shared_bytes);
    e.block.grid = grid;
    e.block.size = size;
    e.block.shared = e.shared.begin();
    e.block.shared_bytes = shared_bytes;
    const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
    for (uint64_t q = 0; q < blocks; q++) {
      const uint64_t b = e.kind % 2 == 1 ? blocks - 1 - q : q;
      e.block.index = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                       static_cast<unsigned>(b / grid.x / grid.y)};
      run_block(e);
    }
  } catch (const std::exception &x) {
    status = cudaErrorLaunchFailure;
    set_failure(x.what());
  }
  e.running = false;
  return status;
}

}  // namespace

void launch(const void *kernel, dim3 grid, dim3 size, size_t shared_bytes, cudaStream_t stream,
            std::function<void()> body) {
  Emulator &e = emulator();
  const uint64_t threads = static_cast<uint64_t>(size.x) * size.y * size.z;
  const bool fits = threads >= 1 && threads <= kMostThreads && size.z <= 64 && grid.x >= 1 && grid.x <= 0x7fffffffu &&
                    grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) {
    return;
  }
  if (!fits || e.running) {
    e.error = cudaErrorInvalidConfiguration;
  } else if (shared_bytes > allowed_shared(kernel)) {
    e.error = cudaErrorInvalidValue;
  } else {
    int done = cudaSuccess;
    const int taken = submit_launch(
        stream, [grid, size, shared_bytes, body = std::move(body)] { return run_grid(grid, size, shared_bytes, body); },
        &done);
    // A kernel's own fault is told as early as possible; what else breaks a context, when somebody waits.
    const bool tell = done == cudaErrorLaunchFailure || !in_context();
    if (taken != cudaSuccess || (done != cudaSuccess && tell)) {
      e.error = static_cast<cudaError_t>(taken != cudaSuccess ? taken : done);
    }
  }
}

}  // namespace rhumb_host

using rhumb_host::Setting;
using rhumb_host::setting;

namespace {

// What every call ends with: an error is also what cudaGetLastError gives next.
cudaError_t told(int error) {
  if (error != cudaSuccess) {
    rhumb_host::emulator().error = static_cast<cudaError_t>(error);
  }
  return static_cast<cudaError_t>(error);
}

}  // namespace

cudaError_t cudaGetLastError() {
  cudaError_t &error = rhumb_host::emulator().error;
  return std::exchange(error, cudaSuccess);
}

const char *cudaGetErrorName(cudaError_t error) {
  const rhumb_host::Status *found = rhumb_host::status(error);
  return found == nullptr ? "unrecognized error code" : found->runtime;
}

const char *cudaGetErrorString(cudaError_t error) {
  const char *text = rhumb_host::status_text(error);
  return text == nullptr ? "unrecognized error code" : text;
}

cudaError_t cudaGetDeviceCount(int *count) {
  constexpr long kOldestDriver = 13000;  // that the runtime of the GPU's library takes
  *count = 0;
  if (setting(Setting::DRIVER_VERSION) < kOldestDriver) {
    return told(cudaErrorInsufficientDriver);
  }
  *count = static_cast<int>(setting(Setting::DEVICES));
  return told(*count == 0 ? cudaErrorNoDevice : cudaSuccess);
}

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
  return told(rhumb_host::device_attribute(value, attribute, device));
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
  if (bytes == 0 && rhumb_host::in_capture(stream)) {
    return told(cudaErrorInvalidValue);
  }
  return told(rhumb_host::submit(stream, [=] {
    std::memset(to, byte, bytes);
    return 0;
  }));
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (bytes == 0 && rhumb_host::in_capture(stream)) {
    return told(cudaErrorInvalidValue);
  }
  return told(rhumb_host::submit(stream, [=] {
    std::memmove(to, from, bytes);
    return 0;
  }));
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      value > setting(Setting::SHARED_BYTES)) {
    return told(cudaErrorInvalidValue);
  }
  std::lock_guard<std::mutex> guard(rhumb_host::allowed().lock);
  rhumb_host::allowed().bytes[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}
