// The sort of places by key, against std::stable_sort, and sums over the entries of a key.
#include "segments.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

namespace {

int failures = 0;

void check(bool good, const char *what, int64_t count, int64_t bound) {
  if (!good) {
    failures++;
    printf("FAILED: %s: %lld entries of %lld keys: %s\n", what, static_cast<long long>(count),
           static_cast<long long>(bound), rhumb_last_error());
  }
}

// Memory exactly as long as said, so that the address sanitizer sees a step beyond.
std::unique_ptr<void, decltype(&free)> scratch_of(int64_t bytes) { return {aligned_alloc(256, bytes), free}; }

void sorts(const std::vector<int32_t> &keys, int64_t bound) {
  const int64_t count = static_cast<int64_t>(keys.size());
  std::vector<int32_t> expected;
  for (int64_t i = 0; i < count; i++) {
    if (keys[i] >= 0 && keys[i] < bound) {
      expected.push_back(static_cast<int32_t>(i));
    }
  }
  std::stable_sort(expected.begin(), expected.end(), [&](int32_t a, int32_t b) { return keys[a] < keys[b]; });

  auto scratch = scratch_of(rhumb::sort_scratch(count, bound));
  rhumb::Sorted sorted{};
  check(rhumb::sort(count, bound, keys.data(), scratch.get(), nullptr, "test", &sorted) == RHUMB_OK, "sort", count,
        bound);
  bool good = *sorted.total == static_cast<int64_t>(expected.size());
  for (size_t i = 0; good && i < expected.size(); i++) {
    good = sorted.places[i] == expected[i] && sorted.keys[i] == keys[expected[i]];
  }
  check(good, "order", count, bound);

  std::vector<int32_t> first(bound + 1, -7);
  check(rhumb::key_offsets(sorted, bound, first.data(), nullptr, "test") == RHUMB_OK, "key_offsets", count, bound);
  size_t at = 0;
  for (int64_t k = 0; good && k <= bound; k++) {
    while (at < expected.size() && keys[expected[at]] < k) {
      at++;
    }
    good = first[k] == static_cast<int64_t>(at);
  }
  check(good, "offsets", count, bound);
}

// Of a key, in three columns: sums of whole numbers, exact in float32.
struct Numbers {
  static constexpr int kSums = 2;
  struct Column {
    int64_t column;
  };
  struct Item {
    float a, b;
  };
  int64_t bound;
  float *sums;  // (bound, 3, 2)

  __device__ Column column(int64_t column) const { return {column}; }
  __device__ Item load(const Column &at, int32_t place) const {
    return {static_cast<float>(place % 7 + at.column), static_cast<float>(place % 5)};
  }
  __device__ void add(const Item &item, float (&sum)[kSums]) const {
    sum[0] += item.a;
    sum[1] += item.b;
  }
  __device__ void finish(const Column &at, int32_t key, const float (&sum)[kSums]) const {
    sums[(key * 3 + at.column) * 2] += sum[0];
    sums[(key * 3 + at.column) * 2 + 1] += sum[1];
  }
};

// groups: how many groups the entries are cut into, at most.
void sums(const std::vector<int32_t> &keys, int64_t bound, int64_t groups) {
  const int64_t count = static_cast<int64_t>(keys.size());
  std::vector<float> expected(bound * 6);
  for (int64_t i = 0; i < count; i++) {
    for (int64_t c = 0; c < 3 && keys[i] >= 0; c++) {
      expected[(keys[i] * 3 + c) * 2] += static_cast<float>(i % 7 + c);
      expected[(keys[i] * 3 + c) * 2 + 1] += static_cast<float>(i % 5);
    }
  }
  auto scratch = scratch_of(rhumb::sort_scratch(count, bound));
  rhumb::Sorted sorted{};
  check(rhumb::sort(count, bound, keys.data(), scratch.get(), nullptr, "test", &sorted) == RHUMB_OK, "sort", count,
        bound);
  auto memory = scratch_of(rhumb::segments_scratch<Numbers>(count, 3));
  rhumb::Scratch cut(memory.get());
  rhumb::segments::Partials partials = rhumb::segments::plan(count, 3, Numbers::kSums, cut);
  partials.groups = std::min(partials.groups, groups);
  partials.supers_count = partials.groups / rhumb::segments::kGroupsOfSuper;
  std::vector<float> result(bound * 6);
  check(rhumb::segments::sum_planned(sorted, partials, Numbers{bound, result.data()}, nullptr, "test") == RHUMB_OK,
        "sum_segments", count, bound);
  check(result == expected, "sums", count, bound);
}

}  // namespace

int main() {
  std::mt19937 random(7);
  // Both sides of a warp's round, its stretch, a tile, and of the tiles that a round and a turn of the sum over tiles take.
  for (int64_t count : {0, 1, 31, 32, 33, 255, 257, 2047, 2048, 2049, 5003, 70001, 530001}) {
    // Both sides of each number of passes.
    for (int64_t bound : {1, 2, 255, 256, 257, 4001, 65536, 65537, (1 << 24) + 1}) {
      if ((bound > 100000 && count != 2049) || (count > 5003 && bound != 4001)) {
        continue;  // large ones, where one of the two is enough
      }
      std::vector<int32_t> keys(count);
      for (int32_t &key : keys) {
        // One in eight is left out, now and then by what is just out of range.
        key = random() % 8 == 0 ? (random() % 2 == 0 ? -1 : static_cast<int32_t>(bound))
                                : static_cast<int32_t>(random() % bound);
      }
      sorts(keys, bound);
    }
  }
  sorts(std::vector<int32_t>(5000, 3), 300);   // one hot key
  sorts(std::vector<int32_t>(5000, -1), 300);  // nothing to sort
  sorts({INT32_MIN, INT32_MAX, 0, INT32_MAX - 1, -2, 0}, 1 << 24);

  // Sums: keys of one entry, of a few groups, of groups of groups; larger groups where there are too few.
  for (int64_t count : {1, 63, 64, 65, 1000, 30000}) {
    for (int64_t hot : {0, 1, 3}) {
      std::vector<int32_t> keys(count);
      for (int32_t &key : keys) {
        key = hot > 0 && random() % 16 != 0 ? static_cast<int32_t>(40 * (random() % hot))
                                            : static_cast<int32_t>(random() % 101) - 1;
      }
      for (int64_t groups : {1, 2, 33, 70, 1 << 20}) {
        sums(keys, 100, groups);
      }
    }
  }

  rhumb::Sorted sorted{};
  check(rhumb::sort(int64_t{1} << 31, 5, nullptr, nullptr, nullptr, "test", &sorted) == RHUMB_INVALID_ARGUMENT,
        "too many entries are refused", int64_t{1} << 31, 5);
  printf("%d failures\n", failures);
  return failures != 0;
}
