// The host's bodies of src/hopper.h, which says what they do.
//
// A copy arrives as late as it can: when nobody can go on without it, or in the random order of threads at some time before;
// its destination holds poison meanwhile. Products are taken when they are waited for, from what the operands' memory holds
// then, and their sums hold poison meanwhile. So a wait that is missing, a phase that is the wrong one, and a stage that is
// filled while others read it, show. wgmma reads a second image of shared memory, which copies write too but stores reach by
// fence_async alone; the fence is the whole block's here, and not the calling thread's.
#pragma once

#include "cuda_on_host.h"

namespace rhumb_host {

struct BarrierWait {
  const unsigned long long *word;
  unsigned phase;
};
bool phase_ended(const void *wait);
inline constexpr Meeting kBarrierWait{"barrier_wait", false, nothing, phase_ended};

struct Product {
  unsigned warp;
  float *d;
  uint64_t a, b;
  bool add;
};
struct ProductWait {
  unsigned warp;
  unsigned pending;
};
void issue_product(void *const *brought, unsigned count);
void fence_products(void *const *brought, unsigned count);
void commit_products(void *const *brought, unsigned count);
void finish_products(void *const *brought, unsigned count);
inline constexpr Meeting kProduct{"wgmma", false, issue_product};
inline constexpr Meeting kProductFence{"wgmma_fence", false, fence_products};
inline constexpr Meeting kProductCommit{"wgmma_commit", false, commit_products};
inline constexpr Meeting kProductWait{"wgmma_wait", false, finish_products};

unsigned warp_of_group();  // the calling thread's warp, in a block of whole warpgroups or more
void init_barrier(unsigned long long *word, unsigned arrivals);
void arrive(unsigned long long *word, unsigned bytes);
void start_block_copy(void *shared, const void *global, unsigned bytes, unsigned long long *word);
uint32_t shared_address(const void *shared);
void show_stores();
// Of the scheduler: lets the block's copy `which` of those that fly arrive; and at a block's end, throws what is wrong.
void arrive_block_copy(size_t which);
void check_products();

}  // namespace rhumb_host

namespace rhumb {

struct Barrier {
  unsigned long long word;
};

inline uint32_t shared_address(const void *shared) { return rhumb_host::shared_address(shared); }

inline void barrier_init(Barrier *barrier, unsigned arrivals) { rhumb_host::init_barrier(&barrier->word, arrivals); }
inline void fence_barriers() {}
inline void barrier_arrive(Barrier *barrier) { rhumb_host::arrive(&barrier->word, 0); }
inline void barrier_arrive_expecting(Barrier *barrier, unsigned bytes) { rhumb_host::arrive(&barrier->word, bytes); }
inline void barrier_wait(Barrier *barrier, unsigned phase) {
  rhumb_host::BarrierWait wait{&barrier->word, phase};
  rhumb_host::meet(rhumb_host::kBarrierWait, 1u << rhumb_host::lane(), &wait);
}
inline void copy_block(void *shared, const void *global, unsigned bytes, Barrier *barrier) {
  rhumb_host::start_block_copy(shared, global, bytes, &barrier->word);
}
inline void fence_async() { rhumb_host::show_stores(); }

inline void wgmma_fence(float (&)[64]) {
  unsigned warp = rhumb_host::warp_of_group();
  rhumb_host::meet(rhumb_host::kProductFence, 0xffffffffu, &warp);
}
inline void wgmma_commit() {
  unsigned warp = rhumb_host::warp_of_group();
  rhumb_host::meet(rhumb_host::kProductCommit, 0xffffffffu, &warp);
}
inline void wgmma_bf16_64x128x16(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  rhumb_host::Product product{rhumb_host::warp_of_group(), d, a, b, add};
  rhumb_host::meet(rhumb_host::kProduct, 0xffffffffu, &product);
}
template <int kPending>
void wgmma_wait(float (&)[64]) {
  rhumb_host::ProductWait wait{rhumb_host::warp_of_group(), kPending};
  rhumb_host::meet(rhumb_host::kProductWait, 0xffffffffu, &wait);
}

}  // namespace rhumb
