// Places in order of small integer keys: what turns lists by row into lists by feature or item. Stable, so that within a key
// the places ascend, and the same for any order of threads. Internal to the library.
#pragma once

#include "scratch.h"
#include "status.h"

namespace rhumb {

// What sort() leaves in its scratch.
struct Sorted {
  const int32_t *keys;    // (count) ascending; the first *total hold something
  const int32_t *places;  // (count) where in d_keys each of them was
  const int32_t *total;   // (1)
};

// Bytes that sort() needs, in a part that is 256-byte aligned. count, bound < 2^31.
int64_t sort_scratch(int64_t count, int64_t bound);

// Sorts the places of d_keys (count) by key. A key outside 0 .. bound - 1 is left out: -1 says "not this one". Launches on
// `stream` and returns a rhumb_status; `call` names the caller in errors.
int sort(int64_t count, int64_t bound, const int32_t *d_keys, void *scratch, cudaStream_t stream, const char *call,
         Sorted *sorted);

// first (bound + 1): key k has sorted.places[first[k]] .. sorted.places[first[k + 1] - 1].
int key_offsets(const Sorted &sorted, int64_t bound, int32_t *d_first, cudaStream_t stream, const char *call);

}  // namespace rhumb
