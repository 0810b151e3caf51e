// rhumb_top_items against a sort of all scores.
#include <algorithm>
#include <cmath>
#include <vector>

#include "testing.h"

using testing::Array;
using testing::below;
using testing::check;
using testing::Faults;

namespace {

// The score's float32 chain, which the result gives bit for bit.
float score(const float *h, const float *item, int64_t width) {
  float sum = 0;
  for (int64_t d = 0; d < width; d++) {
    sum = std::fma(h[d], item[d], sum);
  }
  return sum;
}

struct Case {
  int64_t rows, width, table_rows, k;
  bool exclude;
  int span;  // whole numbers from -span to span, so that scores tie; 0: real numbers
};

void ranks(const Case &c) {
  const int64_t stride = c.width + below(5);
  auto value = [&] {
    return c.span == 0 ? testing::uniform(-1, 1) : static_cast<float>(below(2 * c.span + 1) - c.span);
  };
  Array<float> h((c.rows - 1) * stride + c.width);
  Array<float> table(c.table_rows * c.width);
  for (int64_t i = 0; i < h.count(); i++) {
    h[i] = value();
  }
  for (int64_t i = 0; i < table.count(); i++) {
    table[i] = value();
  }
  Array<int32_t> offsets(c.rows + 1, 0);
  std::vector<int32_t> listed;
  for (int64_t r = 0; r < c.rows; r++) {
    const int64_t count = c.exclude ? below(c.table_rows + 3) : 0;
    for (int64_t i = 0; i < count; i++) {  // repeats, and items that do not exist
      listed.push_back(static_cast<int32_t>(i % 9 == 8 ? -i : below(c.table_rows + 5)));
    }
    offsets[r + 1] = static_cast<int32_t>(listed.size());
  }
  Array<int32_t> excluded(static_cast<int64_t>(listed.size()));
  std::copy(listed.begin(), listed.end(), excluded.data());
  Array<int32_t> items(c.rows * c.k, -7);
  Array<float> scores(c.rows * c.k, -7);
  Faults faults;
  const int64_t bytes = rhumb_top_items_scratch(c.rows, c.width, c.table_rows, c.k);
  Array<unsigned char> scratch(bytes, 0xA5);
  const int status = rhumb_top_items(c.rows, c.width, c.table_rows, h.data(), stride, table.data(), c.k,
                                     c.exclude ? offsets.data() : nullptr, c.exclude ? excluded.data() : nullptr,
                                     excluded.count(), items.data(), scores.data(), scratch.data(), bytes,
                                     faults.data(), nullptr);
  char name[128];
  snprintf(name, sizeof name, "rows %d width %d table %d k %d%s", static_cast<int>(c.rows), static_cast<int>(c.width),
           static_cast<int>(c.table_rows), static_cast<int>(c.k), c.exclude ? " excluding" : "");
  if (!check(status == RHUMB_OK, "%s: %s", name, rhumb_last_error())) {
    return;
  }
  check(faults.none(), "%s: a fault", name);
  for (int64_t r = 0; r < c.rows; r++) {
    std::vector<bool> barred(c.table_rows);
    for (int64_t i = offsets[r]; i < offsets[r + 1]; i++) {
      if (excluded[i] >= 0 && excluded[i] < c.table_rows) {
        barred[excluded[i]] = true;
      }
    }
    std::vector<std::pair<float, int32_t>> best;
    for (int64_t i = 1; i < c.table_rows; i++) {
      if (!barred[i]) {
        best.emplace_back(-score(h.data() + r * stride, table.data() + i * c.width, c.width), static_cast<int32_t>(i));
      }
    }
    std::sort(best.begin(), best.end());
    best.resize(c.k, {INFINITY, 0});
    for (int64_t i = 0; i < c.k; i++) {
      if (!check(items[r * c.k + i] == best[i].second && scores[r * c.k + i] == -best[i].first,
                 "%s: row %d place %d: item %d score %g, expected %d %g", name, static_cast<int>(r),
                 static_cast<int>(i), items[r * c.k + i], scores[r * c.k + i], best[i].second, -best[i].first)) {
        return;
      }
    }
  }
}

struct Call {
  Array<float> h, table;
  Array<int32_t> offsets, excluded, items;
  Array<float> scores;
  Faults faults;
  int64_t rows, k;

  Call(int64_t rows, int64_t table_rows, int64_t k)
      : h(rows, 1), table(table_rows, 1), offsets(rows + 1, 0), excluded(4, 2), items(rows * k, -7),
        scores(rows * k, -7), rows(rows), k(k) {}

  int run(bool exclude, int64_t short_by = 0) {
    const int64_t bytes = rhumb_top_items_scratch(rows, 1, table.count(), k) - short_by;
    Array<unsigned char> scratch(bytes);
    return rhumb_top_items(rows, 1, table.count(), h.data(), 1, table.data(), k, exclude ? offsets.data() : nullptr,
                           exclude ? excluded.data() : nullptr, exclude ? 4 : 0, items.data(), scores.data(),
                           scratch.data(), bytes, faults.data(), nullptr);
  }
};

void faults_are_told() {
  for (int64_t rows : {3, 40}) {
    for (int64_t table_rows : {30, 900}) {
      Call nan(rows, table_rows, table_rows);
      nan.table[17] = NAN;
      nan.table[21] = NAN;
      check(nan.run(false) == RHUMB_OK, "NaN: %s", rhumb_last_error());
      check(nan.faults.is(RHUMB_FAULT_TOP_ITEMS_NAN, 0, 17), "a NaN is told by its first row and item");
      Call barred(rows, table_rows, 5);
      barred.table[2] = NAN;
      for (int64_t r = 0; r < rows; r++) {
        barred.offsets[r + 1] = 4;
      }
      barred.h[0] = 0;
      barred.run(true);
      check(barred.faults.is(RHUMB_FAULT_TOP_ITEMS_NAN, 1, 2), "the score of an excluded item is not looked at");
    }
  }
  for (int64_t k : {5, 600}) {
    for (int32_t bad : {-1, 5, 1}) {
      Call call(3, 700, k);
      call.offsets[1] = 2;
      call.offsets[2] = bad;
      call.offsets[3] = 4;
      check(call.run(true) == RHUMB_OK, "offsets: %s", rhumb_last_error());
      check(call.faults.is(RHUMB_FAULT_TOP_ITEMS_OFFSET, 2, static_cast<uint32_t>(bad)), "offsets[2] = %d is told", bad);
    }
    Call call(3, 700, k);
    call.offsets[0] = 1;
    call.offsets[1] = call.offsets[2] = call.offsets[3] = 2;
    call.run(true);
    check(call.faults.is(RHUMB_FAULT_TOP_ITEMS_OFFSET, 0, 1), "offsets[0] = 1 is told");
  }
}

void zeros_and_infinities() {
  Call zeros(1, 64, 20);
  zeros.h[0] = 0;
  for (int i = 0; i < 64; i++) {
    zeros.table[i] = i % 2 == 0 ? 1 : -1;
  }
  zeros.run(false);
  for (int i = 0; i < 20; i++) {
    check(zeros.items[i] == i + 1 && zeros.scores[i] == 0, "zeros of either sign are equal: place %d", i);
  }
  Call infinite(1, 40, 4);
  infinite.h[0] = 1e30f;
  for (int i = 0; i < 40; i++) {
    infinite.table[i] = i == 7 || i == 9 ? 1e30f : -1e30f;
  }
  infinite.run(false);
  const int32_t expected[] = {7, 9, 1, 2};
  for (int i = 0; i < 4; i++) {
    check(infinite.items[i] == expected[i] && infinite.scores[i] == (i < 2 ? INFINITY : -INFINITY),
          "infinite scores are numbers: place %d", i);
  }
}

void refusals() {
  Call call(2, 30, 3);
  check(call.run(false, 1) == RHUMB_INVALID_ARGUMENT, "too little scratch is refused");
  check(call.items[0] == -7, "nothing was done");
  check(rhumb_top_items(-1, 1, 1, nullptr, 1, nullptr, 1, nullptr, nullptr, 0, nullptr, nullptr, nullptr, 0, nullptr,
                        nullptr) == RHUMB_INVALID_ARGUMENT,
        "negative rows are refused");
  check(rhumb_top_items(0, 1, 1, nullptr, 1, nullptr, 1, nullptr, nullptr, 0, nullptr, nullptr, nullptr, 0, nullptr,
                        nullptr) == RHUMB_OK,
        "no rows are nothing to do");
  check(rhumb_top_items(1, 1, 1, nullptr, 1, nullptr, 1, nullptr, nullptr, 0, nullptr, nullptr, nullptr, 0, nullptr,
                        nullptr) == RHUMB_INVALID_ARGUMENT,
        "NULL is refused");
}

}  // namespace

int main() {
  for (int64_t rows : {1, 2, 3, 4, 5, 8, 9, 16, 17, 33}) {
    ranks({rows, 5, 301, 7, true, 1});
    ranks({rows, 64, 150, 10, false, 0});
  }
  for (int64_t width : {1, 4, 31, 32, 33, 36, 100}) {
    ranks({3, width, 140, 9, false, 0});
    ranks({20, width, 140, 9, true, 0});
  }
  for (int64_t table_rows : {1, 2, 64, 65, 128, 129, 130, 257, 1031}) {
    ranks({2, 6, table_rows, 5, true, 2});
    ranks({18, 6, table_rows, 5, false, 0});
  }
  for (int64_t k : {1, 63, 64, 65, 128, 129, 384, 385, 700}) {
    ranks({2, 3, 1500, k, true, 2});
    ranks({19, 3, 500, k, false, 0});
  }
  ranks({1, 8, 20'011, 20, true, 3});
  ranks({1, 8, 20'011, 3, false, 0});
  ranks({7, 4, 4'300, 2'000, true, 2});
  ranks({3, 4, 300, 50, false, 1});
  faults_are_told();
  zeros_and_infinities();
  refusals();
  return testing::finish("ranking");
}
