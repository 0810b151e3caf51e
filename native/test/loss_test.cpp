// Losses against plain loops in double; those of bf16 round where the kernels do.
#include <algorithm>
#include <initializer_list>
#include <vector>

#include "philox.h"
#include "testing.h"

namespace {

using namespace testing;

using Floats = Array<float>;
using Ints = Array<int32_t>;

constexpr int64_t kKey = 0x123456789abc;
constexpr int64_t kStream = (int64_t{1} << 33) + 5;

template <class T, class Value>
Array<T> filled(int64_t count, Value value) {
  Array<T> all(count);
  for (int64_t i = 0; i < count; i++) {
    all[i] = static_cast<T>(value(i));
  }
  return all;
}

// One case's inputs, what a call gives, and what it should. dw is added to what it was.
struct Case {
  int precision;
  int64_t rows, classes, width;
  double spread;
  Floats h, w, dh, dw, dw_was;
  Ints targets;
  float loss = 77;
  double total = 0;
  std::vector<double> dh_expected, dw_expected;
  // In bf16: by how much these may be off because a slope lies so near the middle of two neighbours that float32 may round
  // it to either.
  std::vector<double> dh_slack, dw_slack;
  Faults faults;

  Case(int precision, int64_t rows, int64_t classes, int64_t width, double spread, int first_class)
      : precision(precision),
        rows(rows),
        classes(classes),
        width(width),
        spread(spread),
        h(uniforms(rows * width, static_cast<float>(-spread), static_cast<float>(spread))),
        w(uniforms(classes * width)),
        dh(rows * width, NAN),
        dw(uniforms(classes * width)),
        dw_was(dw),
        targets(filled<int32_t>(rows, [&](int64_t) { return first_class + below(classes - first_class); })),
        dh_expected(static_cast<size_t>(rows * width)),
        dw_expected(static_cast<size_t>(classes * width)),
        dh_slack(dh_expected),
        dw_slack(dw_expected) {}

  bool bf16() const { return precision == RHUMB_BF16; }
  double magnitude() const { return spread * std::sqrt(static_cast<double>(width)) + 3; }
  // What stands for an element in a matrix product, or in a row with one class of its own, which is none.
  double operand(float x, bool product) const { return product && bf16() ? to_bf16(x) : x; }

  double score(int64_t r, int64_t c, bool product) const {
    double sum = 0;
    for (int64_t d = 0; d < width; d++) {
      sum += operand(h[r * width + d], product) * operand(w[c * width + d], product);
    }
    return sum;
  }

  // error: of the slope, as float32 has it.
  void add(int64_t r, int64_t c, double slope, bool product, double error) {
    const double low = product && bf16() ? to_bf16(static_cast<float>(slope - error)) : slope;
    const double high = product && bf16() ? to_bf16(static_cast<float>(slope + error)) : slope;
    for (int64_t d = 0; d < width; d++) {
      const size_t at_h = static_cast<size_t>(r * width + d);
      const size_t at_w = static_cast<size_t>(c * width + d);
      const double x = operand(h[r * width + d], product);
      const double y = operand(w[c * width + d], product);
      dh_expected[at_h] += (low + high) / 2 * y;
      dw_expected[at_w] += (low + high) / 2 * x;
      dh_slack[at_h] += (high - low) / 2 * std::fabs(y);
      dw_slack[at_w] += (high - low) / 2 * std::fabs(x);
    }
  }

  // The softmax over these classes with these scores, the last being the target. own: the target's is no matrix product.
  void softmax(int64_t r, const std::vector<int64_t> &of, const std::vector<double> &scores, bool own) {
    const double most = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double s : scores) {
      sum += std::exp(s - most);
    }
    total += (most + std::log(sum) - scores.back()) / static_cast<double>(rows);
    for (size_t i = 0; i < of.size(); i++) {
      const bool target = i + 1 == of.size();
      const double p = std::exp(scores[i] - most) / sum;
      const double error = 0x1p-22 * (2 + std::sqrt(static_cast<double>(width))) * magnitude() * p;
      add(r, of[i], (p - (target ? 1 : 0)) / static_cast<double>(rows), !(own && target),
          error / static_cast<double>(rows));
    }
  }

  void compare(double terms, const char *what) {
    check(faults.none(), "%s: a fault", what);
    near(what, rows, classes, loss, total, width, magnitude());
    const auto within = [](double actual, double expected, double slack) {
      return std::min(std::max(actual, expected - slack), expected + slack);
    };
    for (int64_t i = 0; i < rows * width; i++) {
      const size_t at = static_cast<size_t>(i);
      near(what, i / width, i % width, dh[i], within(dh[i], dh_expected[at], dh_slack[at]),
           static_cast<int64_t>(terms), magnitude() / static_cast<double>(rows));
    }
    for (int64_t i = 0; i < classes * width; i++) {
      const size_t at = static_cast<size_t>(i);
      near(what, i / width, i % width, dw[i], within(dw[i], dw_was[i] + dw_expected[at], dw_slack[at]),
           static_cast<int64_t>(terms), std::max(1.0, spread));
    }
  }
};

// Runs a call with and without gradients; both must give the same loss. The workspace holds what it may.
template <class Call>
void run(Case &c, int64_t scratch_bytes, Call call, const char *what) {
  for (const bool gradient : {false, true}) {
    Array<char> scratch(scratch_bytes, static_cast<char>(gradient ? 0xff : 0x7f));
    float loss = 77;
    good(call(&loss, gradient ? c.dh.data() : nullptr, gradient ? c.dw.data() : nullptr, scratch), what);
    check(!gradient || loss == c.loss, "%s must not depend on its gradient", what);
    c.loss = loss;
  }
}

int softmax(Case &c, float *loss, float *dh, float *dw, Array<char> &scratch) {
  return rhumb_softmax_cross_entropy(c.precision, c.rows, c.classes, c.width, c.h.data(), c.w.data(), c.targets.data(),
                                     loss, dh, dw, scratch.data(), scratch.count(), c.faults.data(), nullptr);
}

void cross_entropy(int precision, int64_t rows, int64_t classes, int64_t width, double spread) {
  Case c(precision, rows, classes, width, spread, 0);
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
        scores.push_back(c.score(r, k, true));
      }
    }
    of.push_back(c.targets[r]);
    scores.push_back(c.score(r, c.targets[r], true));
    c.softmax(r, of, scores, false);
  }
  c.compare(static_cast<double>(width) + std::sqrt(static_cast<double>(classes)),
            c.bf16() ? "softmax_cross_entropy in bf16" : "softmax_cross_entropy");
}

struct Sample {
  Ints ids;
  Floats bias, target_bias;
  Sample(int64_t negatives, int64_t classes, int step)
      : ids(filled<int32_t>(negatives, [&](int64_t j) { return j * step; })),
        bias(uniforms(negatives, -3, 3)),
        target_bias(uniforms(classes, -3, 3)) {}
};

int sampled_softmax(Case &c, Sample &s, float *loss, float *dh, float *dw, Array<char> &scratch) {
  return rhumb_sampled_softmax_cross_entropy(c.precision, c.rows, s.ids.count(), c.classes, c.width, c.h.data(),
                                             c.w.data(), c.targets.data(), s.ids.data(), s.bias.data(),
                                             s.target_bias.data(), loss, dh, dw, scratch.data(), scratch.count(), c.faults.data(), nullptr);
}

void sampled(int precision, int64_t rows, int64_t classes, int64_t width, int step, double spread) {
  const int64_t negatives = step == 0 ? 0 : (classes + step - 1) / step;
  Case c(precision, rows, classes, width, spread, 0);
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
        scores.push_back(c.score(r, s.ids[j], true) + s.bias[j]);
      }
    }
    of.push_back(c.targets[r]);
    scores.push_back(c.score(r, c.targets[r], false) + s.target_bias[c.targets[r]]);
    c.softmax(r, of, scores, true);
  }
  c.compare(static_cast<double>(width) + std::sqrt(static_cast<double>(negatives) + 1),
            c.bf16() ? "sampled_softmax_cross_entropy in bf16" : "sampled_softmax_cross_entropy");
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
      static_cast<int64_t>(g.excluded.size()), kKey, kStream, weight, loss, dh, dw, scratch.data(), scratch.count(),
      c.faults.data(), nullptr);
}

void binary(int64_t rows, int64_t negatives, int64_t classes, int64_t width, bool grouped, double spread) {
  const float weight = 0.37f;
  Case c(RHUMB_FP32, rows, classes, width, spread, 1);
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
      out.push_back(static_cast<int32_t>(1 + below(classes - 1)));
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
      const double x = (j < 0 ? -1 : 1) * c.score(r, k, false);
      const double factor = j < 0 ? static_cast<double>(weight) : 1;
      c.total += factor * share * (std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))));
      c.add(r, k, (j < 0 ? -1 : 1) * factor * share / (1 + std::exp(-x)), false, 0);
    }
  }
  c.compare(static_cast<double>(width + rows * negatives / classes), "binary_cross_entropy");
}

// A call on data that it cannot use tells which, and touches nothing out of bounds.
void bad_data(int precision) {
  const auto told = [](Case &c, int slot, int64_t row, int value, const char *what) {
    check(c.faults.only(slot, row, static_cast<uint32_t>(value)), "%s: %d in row %lld is not what is told", what, value,
          static_cast<long long>(row));
  };
  float loss;
  for (const int target : {-1, 9, INT32_MAX, INT32_MIN}) {
    Case full(precision, 70, 9, 5, 1, 0), some(precision, 70, 9, 5, 1, 0), drawn(RHUMB_FP32, 70, 9, 5, 1, 1);
    Sample sample(4, 9, 2);
    full.targets[68] = some.targets[68] = drawn.targets[68] = target;
    Array<char> a(rhumb_softmax_cross_entropy_scratch(70, 9, 5));
    good(softmax(full, &loss, full.dh.data(), full.dw.data(), a), "a bad target");
    told(full, RHUMB_FAULT_TARGET, 68, target, "softmax");
    Array<char> b(rhumb_sampled_softmax_cross_entropy_scratch(70, 4, 9, 5));
    good(sampled_softmax(some, sample, &loss, some.dh.data(), some.dw.data(), b), "a bad target");
    told(some, RHUMB_FAULT_TARGET, 68, target, "sampled");
    Array<char> d(rhumb_binary_cross_entropy_scratch(70, 3, 9, 5));
    good(binary_call(drawn, 3, {}, 1, &loss, drawn.dh.data(), drawn.dw.data(), d), "a bad target");
    told(drawn, RHUMB_FAULT_TARGET, 68, target, "binary");
  }
  for (const int id : {-3, 1, 9, INT32_MAX}) {
    Case c(precision, 20, 9, 5, 1, 0);
    Sample sample(4, 9, 2);
    sample.ids[3] = id;
    Array<char> scratch(rhumb_sampled_softmax_cross_entropy_scratch(20, 4, 9, 5));
    good(sampled_softmax(c, sample, &loss, c.dh.data(), c.dw.data(), scratch), "a bad sample");
    told(c, RHUMB_FAULT_SAMPLE, 3, id, "sample");
  }
  struct Bad {
    Groups groups;
    int slot;
    int64_t row;
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
    Case c(RHUMB_FP32, 8, 9, 5, 1, 1);
    Array<char> scratch(rhumb_binary_cross_entropy_scratch(8, 3, 9, 5));
    good(binary_call(c, 3, bad.groups, 1, &loss, c.dh.data(), c.dw.data(), scratch), "bad groups");
    told(c, bad.slot, bad.row, bad.value, "groups");
  }
}

void refusals() {
  Case c(RHUMB_FP32, 2, 4, 3, 1, 1);
  Array<char> scratch(rhumb_softmax_cross_entropy_scratch(2, 4, 3));
  Array<char> little(8);
  float loss = 77;
  refused(softmax(c, &loss, c.dh.data(), nullptr, scratch), "d_dh and d_dw go together");
  refused(softmax(c, nullptr, nullptr, nullptr, scratch), "d_loss is NULL");
  refused(softmax(c, &loss, nullptr, nullptr, little), "d_scratch has 8 bytes");
  c.rows = -1;
  refused(softmax(c, &loss, nullptr, nullptr, scratch), "rows = -1");
  c.rows = 2;
  c.classes = 0;
  refused(softmax(c, &loss, nullptr, nullptr, scratch), "classes = 0");
  c.classes = 2;
  refused(binary_call(c, 1, {}, 1, &loss, nullptr, nullptr, scratch), "1 negatives of 2 classes");
  c.precision = 2;
  refused(softmax(c, &loss, nullptr, nullptr, scratch), "precision = 2");
  c.precision = RHUMB_BF16;
  check(loss == 77, "a refusal wrote");
  c.rows = 0;
  c.classes = 4;
  check(softmax(c, &loss, nullptr, nullptr, scratch) == RHUMB_OK && loss == 0, "no rows");
}

}  // namespace

int main() {
  for (const int precision : {RHUMB_FP32, RHUMB_BF16}) {
    for (int64_t size : {1, 7, 33, 64, 65, 129}) {
      cross_entropy(precision, size, 21, 19, 1);
      cross_entropy(precision, 13, size, 20, 1);
      cross_entropy(precision, 13, 21, size, 1);
      sampled(precision, size, 21, 19, 2, 1);
      sampled(precision, 13, size, 20, 1, 1);
      sampled(precision, 13, 21, size, 2, 1);
    }
    cross_entropy(precision, 150, 1031, 33, 1);
    cross_entropy(precision, 3, 16411, 5, 1);   // chunks of classes
    sampled(precision, 13, 21, 8, 0, 1);
    sampled(precision, 701, 67, 16, 3, 1);
    bad_data(precision);
  }
  cross_entropy(RHUMB_FP32, 1100, 8200, 2, 1);  // chunks of rows too
  cross_entropy(RHUMB_BF16, 37, 50, 16, 20);
  cross_entropy(RHUMB_FP32, 37, 50, 16, 200);
  sampled(RHUMB_FP32, 37, 50, 16, 1, 200);
  for (int64_t size : {1, 7, 33, 64, 65, 129}) {
    binary(size, 3, 21, 19, true, 1);
    binary(13, size, 21, 20, true, 1);
    binary(13, 5, size + 5, 19, false, 1);
    binary(13, 5, 30, size, false, 1);
  }
  binary(150, 130, 1031, 33, true, 1);
  binary(3, 1, 3, 4, false, 1);
  binary(300, 2, 5, 70, false, 1);  // classes that fill many stretches
  binary(20, 9, 50, 16, false, 300);
  refusals();
  return finish("loss_test");
}
