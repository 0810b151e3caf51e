// Barriers, copies of blocks and products of warpgroups of hopper_on_host.h.
#include "hopper_on_host.h"

#include "mma_on_host.h"
#include "settings.h"

namespace rhumb_host {
namespace {

constexpr int kSums = 64;      // of a lane
constexpr int kColumns = 128;  // of B and D
constexpr int kDepth = 16;
constexpr unsigned kSharedBegin = 0x430;  // of dynamic shared memory in its window: aligned to what is promised, no more
constexpr int64_t kMostBytes = (1 << 20) - 1;

// A barrier's word: the running phase, arrivals for each phase, arrivals that this phase still waits for, bytes likewise.
struct Phase {
  unsigned long long phase : 1;
  unsigned long long arrivals : 20;
  unsigned long long missing : 20;
  signed long long bytes : 23;
};
static_assert(sizeof(Phase) == 8);

Phase read(const unsigned long long *word) {
  Phase phase;
  std::memcpy(&phase, word, sizeof phase);
  if (phase.arrivals == 0) {
    throw std::runtime_error("a barrier that nobody has initialised");
  }
  return phase;
}

void write(unsigned long long *word, Phase phase) {
  if (phase.bytes > kMostBytes || phase.bytes < -kMostBytes) {
    throw std::runtime_error("a barrier waits for more bytes than it can count");
  }
  if (phase.missing == 0 && phase.bytes == 0) {
    phase.phase = phase.phase ^ 1;
    phase.missing = phase.arrivals;
  }
  std::memcpy(word, &phase, sizeof phase);
}

void expect_multiple(uint64_t value, const char *what) {
  if (value % 16 != 0) {
    throw std::runtime_error(std::string("copy_block: ") + what + " is no multiple of 16");
  }
}

void expect_all(void *const *brought, unsigned count, const char *call) {
  for (unsigned i = 0; i < count; i++) {
    if (brought[i] == nullptr) {
      throw std::runtime_error(std::string(call) + " needs all 32 lanes of the warp");
    }
  }
}

WarpProducts &of_warp(unsigned warp) { return block().products[warp]; }

// What an operand's descriptor gives as rows x 16 columns of bf16.
void read_operand(uint64_t descriptor, int first_row, int rows, float *to) {
  const uint64_t start = (descriptor & 0x3fff) << 4;
  const uint64_t stride = (descriptor >> 32 & 0x3fff) << 4;
  if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) {
    throw std::runtime_error("wgmma: the emulation knows the 128-byte swizzle alone, from a whole pattern on");
  }
  if ((start & 0x380) != 0) {
    throw std::runtime_error("wgmma: an operand that begins at no multiple of 1024 bytes, columns apart");
  }
  for (int row = first_row; row < first_row + rows; row++) {
    for (int k = 0; k < kDepth; k++) {
      uint64_t address = start + static_cast<uint64_t>(row / 8) * stride + static_cast<uint64_t>(row % 8) * 128 +
                         static_cast<uint64_t>(k) * 2;
      address ^= (address >> 7 & 7) << 4;
      const uint64_t at = address - kSharedBegin;
      if (address < kSharedBegin || at + 2 > block().shared_bytes) {
        throw std::runtime_error("wgmma: an operand outside of dynamic shared memory");
      }
      __nv_bfloat16 element;
      std::memcpy(&element, block().async_shared + at, sizeof element);
      *to++ = __bfloat162float(element);
    }
  }
}

// sums (32 lanes, kSums), of one warp.
void multiply(const WarpProduct &product, unsigned warp, std::vector<float> &sums) {
  const bool truncate = setting(Setting::MMA) != 0;
  float a[16][kDepth];
  float b[kColumns][kDepth];
  read_operand(product.a, static_cast<int>(warp % 4 * 16), 16, a[0]);
  read_operand(product.b, 0, kColumns, b[0]);
  for (unsigned lane = 0; lane < kWarp; lane++) {
    for (unsigned i = 0; i < kSums; i++) {
      const unsigned row = lane / 4 + i % 4 / 2 * 8;
      const unsigned column = i / 4 * 8 + lane % 4 * 2 + i % 2;
      float products[kDepth];
      for (int k = 0; k < kDepth; k++) {
        products[k] = a[row][k] * b[column][k];
      }
      float &sum = sums[lane * kSums + i];
      sum = accumulate(product.add ? sum : 0.0f, products, kDepth, kDepth, truncate);
    }
  }
}

bool uses(const WarpProducts &of, const float *sums) {
  return std::any_of(of.flying.begin(), of.flying.end(), [=](const WarpProduct &p) { return p.d[0] == sums; });
}

}  // namespace

bool phase_ended(const void *wait) {
  const BarrierWait &mine = *static_cast<const BarrierWait *>(wait);
  return read(mine.word).phase != mine.phase;
}

void init_barrier(unsigned long long *word, unsigned arrivals) {
  Phase phase{};
  phase.arrivals = phase.missing = arrivals & 0xfffff;
  std::memcpy(word, &phase, sizeof phase);
}

void arrive(unsigned long long *word, unsigned bytes) {
  Phase phase = read(word);
  if (phase.missing == 0) {
    throw std::runtime_error("more threads arrive at a barrier than a phase waits for");
  }
  phase.missing--;
  phase.bytes += bytes;
  write(word, phase);
}

void start_block_copy(void *shared, const void *global, unsigned bytes, unsigned long long *word) {
  expect_multiple(reinterpret_cast<uintptr_t>(global), "the address in global memory");
  expect_multiple(shared_address(shared), "the address in shared memory");
  expect_multiple(bytes, "the number of bytes");
  const ptrdiff_t at = static_cast<unsigned char *>(shared) - block().shared;
  if (at < 0 || static_cast<size_t>(at) + bytes > block().shared_bytes) {
    throw std::runtime_error("copy_block to what is not dynamic shared memory");
  }
  for (unsigned i = 0; i < bytes; i += sizeof kPoison) {
    std::memcpy(block().shared + at + i, &kPoison, sizeof kPoison);
    std::memcpy(block().async_shared + at + i, &kPoison, sizeof kPoison);
  }
  block().copies.push_back({static_cast<size_t>(at), global, bytes, word});
}

void arrive_block_copy(size_t which) {
  const BlockCopy copy = block().copies[which];
  block().copies.erase(block().copies.begin() + static_cast<ptrdiff_t>(which));
  std::memcpy(block().shared + copy.at, copy.from, copy.bytes);
  std::memcpy(block().async_shared + copy.at, copy.from, copy.bytes);
  Phase phase = read(copy.barrier);
  phase.bytes -= copy.bytes;
  write(copy.barrier, phase);
}

uint32_t shared_address(const void *shared) {
  return static_cast<uint32_t>(static_cast<const unsigned char *>(shared) - block().shared + kSharedBegin);
}

void show_stores() { std::memcpy(block().async_shared, block().shared, block().shared_bytes); }

unsigned warp_of_group() {
  const uint3 &at = block().fiber->index;
  const dim3 &size = block().size;
  const unsigned thread = at.x + size.x * (at.y + size.y * at.z);
  if (thread / (4 * kWarp) * 4 * kWarp + 4 * kWarp > size.x * size.y * size.z) {
    throw std::runtime_error("wgmma by warps that are no whole warpgroup");
  }
  return thread / kWarp;
}

void fence_products(void *const *brought, unsigned count) {
  expect_all(brought, count, "wgmma_fence");
  of_warp(*static_cast<unsigned *>(brought[0])).fenced = true;
}

void commit_products(void *const *brought, unsigned count) {
  expect_all(brought, count, "wgmma_commit");
  of_warp(*static_cast<unsigned *>(brought[0])).groups++;
}

void issue_product(void *const *brought, unsigned count) {
  expect_all(brought, count, "wgmma");
  const Product &first = *static_cast<Product *>(brought[0]);
  WarpProducts &of = of_warp(first.warp);
  if (!of.fenced) {
    throw std::runtime_error("wgmma without wgmma_fence since its sums were the threads' own");
  }
  const bool follows = uses(of, first.d);
  std::vector<float> &sums = of.sums[first.d];
  sums.resize(kWarp * kSums);
  WarpProduct product{{}, first.a, first.b, first.add, of.groups};
  for (unsigned lane = 0; lane < kWarp; lane++) {
    const Product &mine = *static_cast<Product *>(brought[lane]);
    if (mine.a != first.a || mine.b != first.b || mine.add != first.add) {
      throw std::runtime_error("lanes call wgmma with different operands");
    }
    product.d[lane] = mine.d;
    if (!follows) {
      std::copy(mine.d, mine.d + kSums, sums.data() + lane * kSums);
    }
    std::fill(mine.d, mine.d + kSums, static_cast<float>(NAN));
  }
  of.flying.push_back(product);
  of.issued.push_back(first.a);
  of.issued.push_back(first.b);
}

void finish_products(void *const *brought, unsigned count) {
  expect_all(brought, count, "wgmma_wait");
  const ProductWait &wait = *static_cast<ProductWait *>(brought[0]);
  WarpProducts &of = of_warp(wait.warp);
  while (!of.flying.empty() && of.flying.front().group + wait.pending < of.groups) {
    const WarpProduct product = of.flying.front();
    of.flying.erase(of.flying.begin());
    std::vector<float> &sums = of.sums[product.d[0]];
    multiply(product, wait.warp, sums);
    if (!uses(of, product.d[0])) {
      for (unsigned lane = 0; lane < kWarp; lane++) {
        std::copy(sums.data() + lane * kSums, sums.data() + (lane + 1) * kSums, product.d[lane]);
      }
      of.sums.erase(product.d[0]);
    }
  }
  of.fenced = false;
}

void check_products() {
  const std::vector<WarpProducts> &warps = block().products;
  for (size_t warp = 0; warp < warps.size(); warp++) {
    if (!warps[warp].flying.empty()) {
      throw std::runtime_error("a kernel ends with products of wgmma that nobody has waited for");
    }
    if (warps[warp].issued != warps[warp / 4 * 4].issued) {
      throw std::runtime_error("the warps of a warpgroup call wgmma with different operands");
    }
  }
}

}  // namespace rhumb_host
