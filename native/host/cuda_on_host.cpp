// The scheduler behind cuda_on_host.h.
#include "cuda_on_host.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>
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

// Saves the callee-saved registers on this stack, keeps its pointer in *from, and goes on where `to` was left.
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
  ret
  .size rhumb_host_switch, . - rhumb_host_switch
)");

namespace rhumb_host {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;
constexpr size_t kMostShared = 227 * 1024;
constexpr size_t kStack = 64 * 1024;
constexpr uint64_t kPoison = 0xFFF8'DEAD'FFF8'DEADu;  // a NaN, read as float or as double
constexpr unsigned char kPoisonByte = 0xCD;

// The stacks of a block's fibers, each above a page that may not be touched. Grows, never shrinks.
class Stacks {
 public:
  ~Stacks() { release(); }

  // The end (stacks grow down) of stack `i` of `count`.
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
    return base_ + (i + 1) * stride();
  }

 private:
  static size_t page() {
    static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
  }
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

struct Emulator {
  Block block{};
  std::vector<Fiber> fibers;
  Stacks stacks;
  std::vector<unsigned char> shared;
  std::function<void()> body;
  void *scheduler = nullptr;  // its stack pointer while a fiber runs
  bool running = false;
  std::string thrown;  // by the kernel's code
  cudaError_t error = cudaSuccess;
  std::string failure;
};

Emulator &emulator() {
  static thread_local Emulator instance;
  return instance;
}

// The first frame of every fiber. It is entered by a return, so it never returns itself.
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
  fiber = Fiber{};
  fiber.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
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

// The thread that runs as the q-th of `count`.
unsigned in_order(unsigned q, unsigned count) {
  static const int order = [] {
    const char *text = std::getenv("RHUMB_HOST_ORDER");
    return text == nullptr ? 0 : std::atoi(text);
  }();
  constexpr unsigned kStride = 1031;  // a prime above every block size, so each thread comes exactly once
  return order == 1 ? count - 1 - q : order == 2 ? (q * kStride + 13) % count : q;
}

// Ends the wait of the lanes that wait together with `first` in a warp-wide call, if all of them have come.
bool release_lanes(std::vector<Fiber> &fibers, unsigned warp, unsigned first) {
  const unsigned end = std::min(warp + kWarp, static_cast<unsigned>(fibers.size()));
  const Fiber call = fibers[warp + first];
  uint64_t values[kWarp];
  unsigned here = 0;
  for (unsigned i = warp; i < end; i++) {
    const Fiber &f = fibers[i];
    if (f.done || (call.mask >> (i - warp) & 1) == 0) {
      continue;
    }
    if (f.wait != call.wait || f.mask != call.mask) {
      return false;
    }
    here |= 1u << (i - warp);
    values[i - warp] = f.value;
  }
  unsigned ballot = 0;
  for (unsigned i = 0; i < kWarp; i++) {
    ballot |= (here >> i & 1) != 0 && values[i] != 0 ? 1u << i : 0;
  }
  for (unsigned i = warp; i < end; i++) {
    Fiber &f = fibers[i];
    if ((here >> (i - warp) & 1) == 0) {
      continue;
    }
    if (call.wait == Wait::BALLOT) {
      f.value = ballot;
    } else if (call.wait == Wait::SHUFFLE) {
      f.value = (here >> f.source & 1) != 0 ? values[f.source] : kPoison;
    }
    f.wait = Wait::NONE;
  }
  return true;
}

bool release_warps(std::vector<Fiber> &fibers) {
  bool released = false;
  for (unsigned i = 0; i < fibers.size(); i++) {
    if (!fibers[i].done && fibers[i].wait > Wait::BLOCK) {
      released |= release_lanes(fibers, i & ~(kWarp - 1), i & (kWarp - 1));
    }
  }
  return released;
}

bool release_block(std::vector<Fiber> &fibers) {
  for (const Fiber &f : fibers) {
    if (!f.done && f.wait != Wait::BLOCK) {
      return false;
    }
  }
  for (Fiber &f : fibers) {
    f.wait = Wait::NONE;
  }
  return true;
}

std::string stuck(const Emulator &e) {
  unsigned waiting[5] = {};
  for (const Fiber &f : e.fibers) {
    if (!f.done) {
      waiting[static_cast<int>(f.wait)]++;
    }
  }
  char text[256];
  snprintf(text, sizeof text,
           "block (%u, %u, %u) cannot go on: of %zu threads %u wait in __syncthreads, %u in __syncwarp, %u in a shuffle, "
           "%u in a ballot, and the others they wait for never come",
           e.block.index.x, e.block.index.y, e.block.index.z, e.fibers.size(), waiting[1], waiting[2], waiting[3],
           waiting[4]);
  return text;
}

void run_block(Emulator &e) {
  const unsigned count = static_cast<unsigned>(e.fibers.size());
  std::fill(e.shared.begin(), e.shared.end(), kPoisonByte);
  for (unsigned i = 0; i < count; i++) {
    prepare(e.fibers[i], i, e.block.size, e.stacks.end(i, count));
  }
  for (unsigned left = count; left > 0;) {
    bool ran = false;
    for (unsigned q = 0; q < count; q++) {
      Fiber &f = e.fibers[in_order(q, count)];
      if (f.done || f.wait != Wait::NONE) {
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
    const bool released = release_warps(e.fibers) || release_block(e.fibers);
    if (!ran && !released) {
      throw std::runtime_error(stuck(e));
    }
  }
}

}  // namespace

Block &block() { return emulator().block; }

unsigned lane() {
  const Block &b = block();
  const uint3 i = b.fiber->index;
  return (i.x + b.size.x * (i.y + b.size.y * i.z)) & (kWarp - 1);
}

uint64_t wait(Wait what, unsigned mask, uint64_t value, int source) {
  Emulator &e = emulator();
  Fiber &f = *e.block.fiber;
  if (what != Wait::BLOCK && (mask >> lane() & 1) == 0) {
    throw std::runtime_error("a lane calls with a mask that leaves itself out");
  }
  f.wait = what;
  f.mask = mask;
  f.source = source;
  f.value = value;
  rhumb_host_switch(&f.stack_pointer, e.scheduler);
  return f.value;
}

void launch(dim3 grid, dim3 size, size_t shared_bytes, std::function<void()> body) {
  Emulator &e = emulator();
  const uint64_t threads = static_cast<uint64_t>(size.x) * size.y * size.z;
  const bool fits = threads >= 1 && threads <= kMostThreads && size.z <= 64 && shared_bytes <= kMostShared &&
                    grid.x >= 1 && grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                    grid.z <= 65535;
  if (!fits || e.running) {
    e.error = cudaErrorInvalidConfiguration;
    return;
  }
  e.running = true;
  try {
    e.thrown.clear();
    e.body = std::move(body);
    e.fibers.resize(threads);
    e.shared.resize(shared_bytes + 16);
    e.block.grid = grid;
    e.block.size = size;
    e.block.shared = e.shared.data() + (-reinterpret_cast<uintptr_t>(e.shared.data()) & 15);
    for (unsigned z = 0; z < grid.z; z++) {
      for (unsigned y = 0; y < grid.y; y++) {
        for (unsigned x = 0; x < grid.x; x++) {
          e.block.index = {x, y, z};
          run_block(e);
        }
      }
    }
  } catch (const std::bad_alloc &) {
    e.error = cudaErrorMemoryAllocation;
  } catch (const std::exception &x) {
    e.error = cudaErrorLaunchFailure;
    e.failure = x.what();
  }
  e.running = false;
}

}  // namespace rhumb_host

cudaError_t cudaGetLastError() {
  cudaError_t &error = rhumb_host::emulator().error;
  return std::exchange(error, cudaSuccess);
}

const char *cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorLaunchFailure:
      return rhumb_host::emulator().failure.c_str();
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int *count) {
  *count = 1;  // this emulation
  return cudaSuccess;
}
