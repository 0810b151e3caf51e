// The tensor cores and the asynchronous copies of mma_on_host.h.
#include "mma_on_host.h"

#include "settings.h"

namespace rhumb_host {
namespace {

constexpr int kRows = 16;  // of A and D
constexpr int kColumns = 8;  // of B and D

void expect_full(void *const *brought, unsigned count, const char *call) {
  for (unsigned i = 0; i < count; i++) {
    if (brought[i] == nullptr) {
      throw std::runtime_error(std::string(call) + " needs all 32 lanes of the warp");
    }
  }
}

void expect_aligned(const void *address, const char *call) {
  if ((reinterpret_cast<uintptr_t>(address) & 15) != 0) {
    throw std::runtime_error(std::string(call) + " at an address that is no multiple of 16");
  }
}

// Towards zero.
float truncated(double x) {
  const float nearest = static_cast<float>(x);
  return std::isinf(nearest) || std::fabs(static_cast<double>(nearest)) <= std::fabs(x) ? nearest
                                                                                        : std::nextafterf(nearest, 0);
}

}  // namespace

// d + sum of products[0..count), each exact in a float.
//
// "nearest" adds one after another. "truncate" is the model that measurements of tensor cores have led to, at its least exact:
// the accumulator and the products of a few columns are aligned to the largest of them, cut to 24 bits, summed as integers and
// cut again; newer hardware keeps a bit or two more.
float accumulate(float d, const float *products, int count, int at_once, bool truncate) {
  for (int begin = 0; begin < count; begin += at_once) {
    int exponent = INT32_MIN;
    bool finite = std::isfinite(d);
    const auto look = [&](float x) {
      int mine = INT32_MIN;
      if (x != 0) {
        std::frexp(x, &mine);
      }
      exponent = std::max(exponent, mine);
      finite &= std::isfinite(x);
    };
    if (truncate) {
      look(d);
      std::for_each(products + begin, products + begin + at_once, look);
    }
    if (!truncate || !finite) {
      for (int k = begin; k < begin + at_once; k++) {
        d += products[k];
      }
    } else if (exponent != INT32_MIN) {
      const double unit = std::ldexp(1.0, exponent - 24);
      double sum = std::trunc(d / unit);
      for (int k = begin; k < begin + at_once; k++) {
        sum += std::trunc(products[k] / unit);
      }
      d = truncated(sum * unit);
    }
  }
  return d;
}

namespace {

// D += A B, for A (16, depth), B (depth, 8) and the lanes' fragments of D.
template <int kDepth>
void multiply(const float (&a)[kRows][kDepth], const float (&b)[kDepth][kColumns], int at_once, void *const *brought) {
  const bool truncate = setting(Setting::MMA) != 0;
  for (unsigned lane = 0; lane < kWarp; lane++) {
    float *d = static_cast<Fragments *>(brought[lane])->d;
    for (unsigned r = 0; r < 4; r++) {
      const unsigned row = lane / 4 + r / 2 * 8;
      const unsigned column = lane % 4 * 2 + r % 2;
      float products[kDepth];
      for (int k = 0; k < kDepth; k++) {
        products[k] = a[row][k] * b[k][column];
      }
      d[r] = accumulate(d[r], products, kDepth, at_once, truncate);
    }
  }
}

float half_of(uint32_t pair, unsigned half) { return __uint_as_float(half == 0 ? pair << 16 : pair & 0xffff0000u); }

Fiber &running() { return *block().fiber; }

}  // namespace

void mma_bf16(void *const *brought, unsigned count) {
  expect_full(brought, count, "mma_bf16_16816");
  float a[kRows][16];
  float b[16][kColumns];
  for (unsigned lane = 0; lane < kWarp; lane++) {
    const Fragments &mine = *static_cast<Fragments *>(brought[lane]);
    for (unsigned half = 0; half < 2; half++) {
      for (unsigned r = 0; r < 4; r++) {
        a[lane / 4 + r % 2 * 8][lane % 4 * 2 + half + r / 2 * 8] = half_of(mine.a[r], half);
      }
      for (unsigned r = 0; r < 2; r++) {
        b[lane % 4 * 2 + half + r * 8][lane / 4] = half_of(mine.b[r], half);
      }
    }
  }
  multiply(a, b, 8, brought);
}

void mma_tf32(void *const *brought, unsigned count) {
  expect_full(brought, count, "mma_tf32_1688");
  constexpr uint32_t kRead = ~0x1fffu;
  float a[kRows][8];
  float b[8][kColumns];
  for (unsigned lane = 0; lane < kWarp; lane++) {
    const Fragments &mine = *static_cast<Fragments *>(brought[lane]);
    for (unsigned r = 0; r < 4; r++) {
      a[lane / 4 + r % 2 * 8][lane % 4 + r / 2 * 4] = __uint_as_float(mine.a[r] & kRead);
    }
    for (unsigned r = 0; r < 2; r++) {
      b[lane % 4 + r * 4][lane / 4] = __uint_as_float(mine.b[r] & kRead);
    }
  }
  multiply(a, b, 4, brought);
}

template <int kMatrices, bool kTransposed>
void load_matrices(void *const *brought, unsigned count) {
  expect_full(brought, count, "ldmatrix");
  for (unsigned m = 0; m < kMatrices; m++) {
    uint16_t matrix[8][8];
    for (unsigned row = 0; row < 8; row++) {
      const void *from = static_cast<Rows *>(brought[m * 8 + row])->row;
      expect_aligned(from, "ldmatrix");
      std::memcpy(matrix[row], from, sizeof matrix[row]);
    }
    for (unsigned lane = 0; lane < kWarp; lane++) {
      const unsigned g = lane / 4;
      const unsigned t = lane % 4 * 2;
      const uint32_t low = kTransposed ? matrix[t][g] : matrix[g][t];
      const uint32_t high = kTransposed ? matrix[t + 1][g] : matrix[g][t + 1];
      static_cast<Rows *>(brought[lane])->registers[m] = high << 16 | low;
    }
  }
}
template void load_matrices<4, false>(void *const *, unsigned);
template void load_matrices<4, true>(void *const *, unsigned);
template void load_matrices<2, false>(void *const *, unsigned);
template void load_matrices<2, true>(void *const *, unsigned);

void start_copy(void *shared, const void *global, bool valid) {
  expect_aligned(shared, "cp_async_16 to shared memory");
  expect_aligned(global, "cp_async_16 from global memory");
  if (valid && global == nullptr) {
    throw std::runtime_error("cp_async_16 from NULL");
  }
  std::memcpy(shared, &kPoison, sizeof kPoison);
  std::memcpy(static_cast<char *>(shared) + sizeof kPoison, &kPoison, sizeof kPoison);
  running().copies.push_back({shared, valid ? global : nullptr, running().groups});
}

void commit_copies() { running().groups++; }

void finish_copies(unsigned pending) {
  Fiber &f = running();
  size_t arrived = 0;
  for (; arrived < f.copies.size() && f.copies[arrived].group + pending < f.groups; arrived++) {
    const Copy &copy = f.copies[arrived];
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, 16);
    } else {
      std::memcpy(copy.to, copy.from, 16);
    }
  }
  f.copies.erase(f.copies.begin(), f.copies.begin() + static_cast<ptrdiff_t>(arrived));
}

}  // namespace rhumb_host
