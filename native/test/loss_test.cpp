// Losses against plain loops in double.
#include <algorithm>
#include <initializer_list>
#include <vector>

#include "exact.h"
#include "philox.h"

namespace {

using namespace exact;

constexpr int64_t kKey = 0x123456789abc;
constexpr int64_t kStream = (int64_t{1} << 33) + 5;

// One case's inputs, what a call gives, and what it should. dw is added to what it was.
struct Case {
  int64_t rows, classes, width;
  Floats h, w, dh, dw, dw_was;
  Ints targets;
  float loss = 77;
  double total = 0;
  std::vector<double> dh_expected, dw_expected;
  Faults faults;

  Case(int64_t rows, int64_t classes, int64_t width, double spread, int first_class)
      : rows(rows),
        classes(classes),
        width(width),
        h(rows * width, [&](int64_t) { return spread * uniform(); }),
        w(classes * width, [](int64_t) { return uniform(); }),
        dh(rows * width, [](int64_t) { return NAN; }),
        dw(classes * width, [](int64_t) { return uniform(); }),
        dw_was(classes * width, [&](int64_t i) { return dw[i]; }),
        targets(rows, [&](int64_t) { return first_class + below(static_cast<int>(classes) - first_class); }),
        dh_expected(static_cast<size_t>(rows * width)),
        dw_expected(static_cast<size_t>(classes * width)) {}

  double score(int64_t r, int64_t c) const {
    double sum = 0;
    for (int64_t d = 0; d < width; d++) {
      sum += static_cast<double>(h[r * width + d]) * w[c * width + d];
    }
    return sum;
  }

  void add(int64_t r, int64_t c, double slope) {
    for (int64_t d = 0; d < width; d++) {
      dh_expected[static_cast<size_t>(r * width + d)] += slope * w[c * width + d];
      dw_expected[static_cast<size_t>(c * width + d)] += slope * h[r * width + d];
    }
  }

  // The softmax over these classes with these scores, the last being the target.
  void softmax(int64_t r, const std::vector<int64_t> &of, const std::vector<double> &scores) {
    const double most = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double s : scores) {
      sum += std::exp(s - most);
    }
    total += (most + std::log(sum) - scores.back()) / static_cast<double>(rows);
    for (size_t i = 0; i < of.size(); i++) {
      const double p = std::exp(scores[i] - most) / sum - (i + 1 == of.size() ? 1 : 0);
      add(r, of[i], p / static_cast<double>(rows));
    }
  }

  void compare(double spread, double terms, const char *what) {
    const double magnitude = spread * std::sqrt(static_cast<double>(width)) + 3;
    faulted(faults, -1, 0, 0, what);
    near(loss, total, static_cast<double>(width), magnitude, what, rows, classes);
    for (int64_t i = 0; i < rows * width; i++) {
      near(dh[i], dh_expected[static_cast<size_t>(i)], terms, magnitude / static_cast<double>(rows), what, i / width,
           i % width);
    }
    for (int64_t i = 0; i < classes * width; i++) {
      near(dw[i], dw_was[i] + dw_expected[static_cast<size_t>(i)], terms, std::max(1.0, spread), what, i / width,
           i % width);
    }
  }
};

// Runs a call with and without gradients; both must give the same loss. The workspace holds what it may.
template <class Call>
void run(Case &c, int64_t scratch_bytes, Call call, const char *what) {
  for (const bool gradient : {false, true}) {
    Array<char> scratch(scratch_bytes);
    memset(scratch.data(), gradient ? 0xff : 0x7f, static_cast<size_t>(scratch_bytes));
    float loss = 77;
    check(call(&loss, gradient ? c.dh.data() : nullptr, gradient ? c.dw.data() : nullptr, scratch) == RHUMB_OK, what);
    check(!gradient || loss == c.loss, "the loss must not depend on its gradient");
    c.loss = loss;
  }
}

int softmax(Case &c, float *loss, float *dh, float *dw, Array<char> &scratch) {
  return rhumb_softmax_cross_entropy(RHUMB_FP32, c.rows, c.classes, c.width, c.h.data(), c.w.data(), c.targets.data(),
                                     loss, dh, dw, scratch.data(), scratch.bytes(), c.faults.data(), nullptr);
}

void cross_entropy(int64_t rows, int64_t classes, int64_t width, double spread) {
  Case c(rows, classes, width, spread, 0);
  run(
      c, rhumb_softmax_cross_entropy_scratch(rows, classes, width),
      [&](float *loss, float *dh, float *dw, Array<char> &scratch) { return softmax(c, loss, dh, dw, scratch); },
      "rhumb_softmax_cross_entropy");
  for (int64_t r = 0; r < rows; r++) {
    std::vector<int64_t> of;
    std::vector<double> scores;
    for (int64_t k = 0; k < classes; k++) {
      if (k != c.targets[r]) {
        of.push_back(k);
        scores.push_back(c.score(r, k));
      }
    }
    of.push_back(c.targets[r]);
    scores.push_back(c.score(r, c.targets[r]));
    c.softmax(r, of, scores);
  }
  c.compare(spread, static_cast<double>(width) + std::sqrt(static_cast<double>(classes)), "softmax_cross_entropy");
}

struct Sample {
  Ints ids;
  Floats bias, target_bias;
  Sample(int64_t negatives, int64_t classes, int step)
      : ids(negatives, [&](int64_t j) { return static_cast<double>(j * step); }),
        bias(negatives, [](int64_t) { return 3 * uniform(); }),
        target_bias(classes, [](int64_t) { return 3 * uniform(); }) {}
};

int sampled_softmax(Case &c, Sample &s, float *loss, float *dh, float *dw, Array<char> &scratch) {
  return rhumb_sampled_softmax_cross_entropy(RHUMB_FP32, c.rows, s.ids.count(), c.classes, c.width, c.h.data(),
                                             c.w.data(), c.targets.data(), s.ids.data(), s.bias.data(),
                                             s.target_bias.data(), loss, dh, dw, scratch.data(), scratch.bytes(), c.faults.data(), nullptr);
}

void sampled(int64_t rows, int64_t classes, int64_t width, int step, double spread) {
  const int64_t negatives = step == 0 ? 0 : (classes + step - 1) / step;
  Case c(rows, classes, width, spread, 0);
  Sample s(negatives, classes, step);
  run(
      c, rhumb_sampled_softmax_cross_entropy_scratch(rows, negatives, classes, width),
      [&](float *loss, float *dh, float *dw, Array<char> &scratch) {
        return sampled_softmax(c, s, loss, dh, dw, scratch);
      },
      "rhumb_sampled_softmax_cross_entropy");
  for (int64_t r = 0; r < rows; r++) {
    std::vector<int64_t> of;
    std::vector<double> scores;
    for (int64_t j = 0; j < negatives; j++) {
      if (s.ids[j] != c.targets[r]) {
        of.push_back(s.ids[j]);
        scores.push_back(c.score(r, s.ids[j]) + s.bias[j]);
      }
    }
    of.push_back(c.targets[r]);
    scores.push_back(c.score(r, c.targets[r]) + s.target_bias[c.targets[r]]);
    c.softmax(r, of, scores);
  }
  c.compare(spread, static_cast<double>(width) + std::sqrt(static_cast<double>(negatives) + 1), "sampled_softmax");
}

// Groups of rows with what they exclude; none: NULL in the call.
struct Groups {
  std::vector<int32_t> rows, offsets, excluded;
};

int binary_call(Case &c, int64_t negatives, const Groups &g, float weight, float *loss, float *dh, float *dw,
                Array<char> &scratch) {
  const bool grouped = !g.rows.empty();
  return rhumb_binary_cross_entropy(
      c.rows, negatives, c.classes, c.width, c.h.data(), c.w.data(), c.targets.data(),
      grouped ? static_cast<int64_t>(g.rows.size()) - 1 : 0, grouped ? g.rows.data() : nullptr,
      grouped ? g.offsets.data() : nullptr, grouped ? g.excluded.data() : nullptr,
      static_cast<int64_t>(g.excluded.size()), kKey, kStream, weight, loss, dh, dw, scratch.data(), scratch.bytes(),
      c.faults.data(), nullptr);
}

void binary(int64_t rows, int64_t negatives, int64_t classes, int64_t width, bool grouped, double spread) {
  const float weight = 0.37f;
  Case c(rows, classes, width, spread, 1);
  Groups g;
  if (grouped) {
    // Groups of four rows, but the first, which is empty; each excludes its targets and one class more, if it can.
    g.rows = {0, 0};
    while (g.rows.back() < rows) {
      g.rows.push_back(static_cast<int32_t>(std::min(rows, int64_t{g.rows.back()} + 4)));
    }
    g.offsets = {0};
    for (size_t i = 0; i + 1 < g.rows.size(); i++) {
      std::vector<int32_t> out(c.targets.data() + g.rows[i], c.targets.data() + g.rows[i + 1]);
      out.push_back(1 + below(static_cast<int>(classes) - 1));
      std::sort(out.begin(), out.end());
      out.erase(std::unique(out.begin(), out.end()), out.end());
      g.excluded.insert(g.excluded.end(), out.begin(), out.end());
      g.offsets.push_back(static_cast<int32_t>(g.excluded.size()));
    }
  }
  run(
      c, rhumb_binary_cross_entropy_scratch(rows, negatives, classes, width),
      [&](float *loss, float *dh, float *dw, Array<char> &scratch) {
        return binary_call(c, negatives, g, weight, loss, dh, dw, scratch);
      },
      "rhumb_binary_cross_entropy");
  const double share = 1 / (static_cast<double>(rows) * (1.0 + static_cast<double>(negatives)));
  for (int64_t r = 0; r < rows; r++) {
    std::vector<bool> out(static_cast<size_t>(classes));
    out[0] = true;
    out[static_cast<size_t>(c.targets[r])] = true;
    for (size_t i = 0; grouped && i + 1 < g.rows.size(); i++) {
      for (int32_t k = g.offsets[i]; g.rows[i] <= r && r < g.rows[i + 1] && k < g.offsets[i + 1]; k++) {
        out[static_cast<size_t>(g.excluded[static_cast<size_t>(k)])] = true;
      }
    }
    std::vector<int64_t> allowed;
    for (int64_t k = 0; k < classes; k++) {
      if (!out[static_cast<size_t>(k)]) {
        allowed.push_back(k);
      }
    }
    for (int64_t j = -1; j < negatives; j++) {
      const uint64_t bits = j < 0 ? 0 : rhumb::philox_bits(kKey, kStream, static_cast<uint32_t>(r), j);
      const int64_t k = j < 0 ? c.targets[r] : allowed[static_cast<size_t>(bits * allowed.size() >> 32)];
      const double x = (j < 0 ? -1 : 1) * c.score(r, k);
      const double factor = j < 0 ? static_cast<double>(weight) : 1;
      c.total += factor * share * (std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))));
      c.add(r, k, (j < 0 ? -1 : 1) * factor * share / (1 + std::exp(-x)));
    }
  }
  c.compare(spread, static_cast<double>(width + rows * negatives / classes), "binary_cross_entropy");
}

// A call on data that it cannot use tells which, and touches nothing out of bounds.
void bad_data() {
  const auto told = [](Case &c, int slot, uint64_t row, int value, const char *what) {
    faulted(c.faults, slot, row, static_cast<uint32_t>(value), what);
  };
  float loss;
  for (const int target : {-1, 9, INT32_MAX, INT32_MIN}) {
    Case full(70, 9, 5, 1, 0), some(70, 9, 5, 1, 0), drawn(70, 9, 5, 1, 1);
    Sample sample(4, 9, 2);
    full.targets[68] = some.targets[68] = drawn.targets[68] = target;
    Array<char> a(rhumb_softmax_cross_entropy_scratch(70, 9, 5));
    check(softmax(full, &loss, full.dh.data(), full.dw.data(), a) == RHUMB_OK, "a bad target");
    told(full, RHUMB_FAULT_TARGET, 68, target, "softmax");
    Array<char> b(rhumb_sampled_softmax_cross_entropy_scratch(70, 4, 9, 5));
    check(sampled_softmax(some, sample, &loss, some.dh.data(), some.dw.data(), b) == RHUMB_OK, "a bad target");
    told(some, RHUMB_FAULT_TARGET, 68, target, "sampled");
    Array<char> d(rhumb_binary_cross_entropy_scratch(70, 3, 9, 5));
    check(binary_call(drawn, 3, {}, 1, &loss, drawn.dh.data(), drawn.dw.data(), d) == RHUMB_OK, "a bad target");
    told(drawn, RHUMB_FAULT_TARGET, 68, target, "binary");
  }
  for (const int id : {-3, 1, 9, INT32_MAX}) {
    Case c(20, 9, 5, 1, 0);
    Sample sample(4, 9, 2);
    sample.ids[3] = id;
    Array<char> scratch(rhumb_sampled_softmax_cross_entropy_scratch(20, 4, 9, 5));
    check(sampled_softmax(c, sample, &loss, c.dh.data(), c.dw.data(), scratch) == RHUMB_OK, "a bad sample");
    told(c, RHUMB_FAULT_SAMPLE, 3, id, "sample");
  }
  struct Bad {
    Groups groups;
    int slot;
    uint64_t row;
    int value;
  };
  for (const Bad &bad : std::initializer_list<Bad>{
           {{{1, 8}, {0, 1}, {1}}, RHUMB_FAULT_GROUP_OFFSET, 0, 1},
           {{{0, 7}, {0, 1}, {1}}, RHUMB_FAULT_GROUP_OFFSET, 1, 7},
           {{{0, 1 << 30, 8}, {0, 1, 1}, {1}}, RHUMB_FAULT_GROUP_OFFSET, 1, 1 << 30},
           {{{0, 8}, {-1, 1}, {1}}, RHUMB_FAULT_EXCLUDED_OFFSET, 0, -1},
           {{{0, 8}, {0, 1 << 30}, {1}}, RHUMB_FAULT_EXCLUDED_OFFSET, 1, 1 << 30},
           {{{0, 4, 8}, {0, 2, 1}, {1, 2, 3}}, RHUMB_FAULT_EXCLUDED_OFFSET, 2, 1},
           {{{0, 8}, {0, 2}, {3, 3}}, RHUMB_FAULT_EXCLUDED, 0, 3},
           {{{0, 8}, {0, 2}, {0, 3}}, RHUMB_FAULT_EXCLUDED, 0, 0},
           {{{0, 8}, {0, 2}, {3, 9}}, RHUMB_FAULT_EXCLUDED, 0, 9},
           {{{0, 4, 8}, {0, 1, 9}, {4, 1, 2, 3, 4, 5, 6, 7, 8}}, RHUMB_FAULT_NOTHING_TO_DRAW, 1, 0},
       }) {
    Case c(8, 9, 5, 1, 1);
    Array<char> scratch(rhumb_binary_cross_entropy_scratch(8, 3, 9, 5));
    check(binary_call(c, 3, bad.groups, 1, &loss, c.dh.data(), c.dw.data(), scratch) == RHUMB_OK, "bad groups");
    told(c, bad.slot, bad.row, bad.value, "groups");
  }
}

void refusals() {
  Case c(2, 4, 3, 1, 1);
  Array<char> scratch(rhumb_softmax_cross_entropy_scratch(2, 4, 3));
  Array<char> little(8);
  float loss = 77;
  check(softmax(c, &loss, c.dh.data(), nullptr, scratch) == RHUMB_INVALID_ARGUMENT, "dh without dw");
  check(softmax(c, nullptr, nullptr, nullptr, scratch) == RHUMB_INVALID_ARGUMENT, "no loss");
  check(softmax(c, &loss, nullptr, nullptr, little) == RHUMB_INVALID_ARGUMENT, "too little scratch");
  c.rows = -1;
  check(softmax(c, &loss, nullptr, nullptr, scratch) == RHUMB_INVALID_ARGUMENT, "negative rows");
  c.rows = 2;
  c.classes = 0;
  check(softmax(c, &loss, nullptr, nullptr, scratch) == RHUMB_INVALID_ARGUMENT, "no classes");
  c.classes = 2;
  check(binary_call(c, 1, {}, 1, &loss, nullptr, nullptr, scratch) == RHUMB_INVALID_ARGUMENT, "nothing to draw");
  check(loss == 77, "a refusal wrote");
  c.rows = 0;
  c.classes = 4;
  check(softmax(c, &loss, nullptr, nullptr, scratch) == RHUMB_OK && loss == 0, "no rows");
}

}  // namespace

int main() {
  for (int64_t size : {1, 7, 33, 64, 65, 129}) {
    cross_entropy(size, 21, 19, 1);
    cross_entropy(13, size, 20, 1);
    cross_entropy(13, 21, size, 1);
    sampled(size, 21, 19, 2, 1);
    sampled(13, size, 20, 1, 1);
    sampled(13, 21, size, 2, 1);
    binary(size, 3, 21, 19, true, 1);
    binary(13, size, 21, 20, true, 1);
    binary(13, 5, size + 5, 19, false, 1);
    binary(13, 5, 30, size, false, 1);
  }
  cross_entropy(150, 1031, 33, 1);
  cross_entropy(3, 16411, 5, 1);   // chunks of classes
  cross_entropy(1100, 8200, 2, 1);  // chunks of rows too
  cross_entropy(37, 50, 16, 200);
  sampled(13, 21, 8, 0, 1);
  sampled(701, 67, 16, 3, 1);
  sampled(37, 50, 16, 1, 200);
  binary(150, 130, 1031, 33, true, 1);
  binary(3, 1, 3, 4, false, 1);
  binary(300, 2, 5, 70, false, 1);  // classes that fill many stretches
  binary(20, 9, 50, 16, false, 300);
  bad_data();
  refusals();
  return result();
}
