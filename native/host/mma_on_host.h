// The host's bodies of src/mma.h, which says what they do. A copy happens when it is waited for, not before, and its
// destination holds poison meanwhile: so a wait that is missing, or a buffer that is filled while others read it, shows.
#pragma once

#include "cuda_on_host.h"

namespace rhumb_host {

struct Fragments {
  float *d;
  const uint32_t *a, *b;
};
struct Rows {
  uint32_t *registers;
  const void *row;
};
void mma_bf16(void *const *brought, unsigned count);
void mma_tf32(void *const *brought, unsigned count);
template <int kMatrices, bool kTransposed>
void load_matrices(void *const *brought, unsigned count);

inline constexpr Meeting kMmaBf16{"mma_bf16_16816", false, mma_bf16};
inline constexpr Meeting kMmaTf32{"mma_tf32_1688", false, mma_tf32};
template <int kMatrices, bool kTransposed>
inline constexpr Meeting kLoad{"ldmatrix", false, load_matrices<kMatrices, kTransposed>};

template <int kMatrices, bool kTransposed>
void ldmatrix(uint32_t (&r)[kMatrices], const void *row) {
  Rows mine{r, row};
  meet(kLoad<kMatrices, kTransposed>, 0xffffffffu, &mine);
}

// d + the sum of products[0 .. count - 1] as tensor cores take it, by the setting `mma`, at_once at a time.
float accumulate(float d, const float *products, int count, int at_once, bool truncate);

void start_copy(void *shared, const void *global, bool valid);
void commit_copies();
void finish_copies(unsigned pending);

}  // namespace rhumb_host

namespace rhumb {

inline void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  rhumb_host::Fragments mine{d, a, b};
  rhumb_host::meet(rhumb_host::kMmaBf16, 0xffffffffu, &mine);
}
inline void mma_tf32_1688(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  rhumb_host::Fragments mine{d, a, b};
  rhumb_host::meet(rhumb_host::kMmaTf32, 0xffffffffu, &mine);
}
inline uint32_t to_tf32(float x) { return std::isfinite(x) ? (__float_as_uint(x) + 0x1000u) & ~0x1fffu : __float_as_uint(x); }

inline void ldmatrix_x4(uint32_t (&r)[4], const void *row) { rhumb_host::ldmatrix<4, false>(r, row); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) { rhumb_host::ldmatrix<4, true>(r, row); }
inline void ldmatrix_x2(uint32_t (&r)[2], const void *row) { rhumb_host::ldmatrix<2, false>(r, row); }
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row) { rhumb_host::ldmatrix<2, true>(r, row); }

inline void cp_async_16(void *shared, const void *global, bool valid) { rhumb_host::start_copy(shared, global, valid); }
inline void cp_async_commit() { rhumb_host::commit_copies(); }
template <int kPending>
void cp_async_wait() {
  rhumb_host::finish_copies(kPending);
}

}  // namespace rhumb
