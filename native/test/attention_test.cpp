// Attention against plain loops in double; in bf16, against loops that round where the kernels do.
#include <algorithm>
#include <initializer_list>
#include <limits>
#include <vector>

#include "philox.h"
#include "testing.h"

namespace {

using namespace testing;

using Floats = Array<float>;
using Ints = Array<int32_t>;

constexpr int64_t kKey = 99;
constexpr int64_t kStream = int64_t{5} << 40;

template <class Value>
Floats floats(int64_t count, Value value) {
  Floats x(count);
  for (int64_t i = 0; i < count; i++) {
    x[i] = static_cast<float>(value(i));
  }
  return x;
}

// That the call found this fault and no other; slot -1: none.
void faulted(const Faults &faults, int slot, uint64_t row, uint32_t value, const char *what) {
  for (int i = 0; i < RHUMB_FAULTS; i++) {
    const uint64_t expected = i == slot ? row << 32 | value : UINT64_MAX;
    check(faults.slots[i] == expected, "%s: fault slot %d is %llx, not %llx", what, i,
          static_cast<unsigned long long>(faults.slots[i]), static_cast<unsigned long long>(expected));
  }
}

// One case: a matrix is (rows, heads width) in rows of `stride`, of which a call may touch no more.
struct Case {
  std::vector<int> lengths;
  int heads;
  int width;
  float p;
  double spread;
  int pad;  // stride beyond the columns
  int64_t rows() const {
    int64_t sum = 0;
    for (int length : lengths) {
      sum += length;
    }
    return sum;
  }
  int longest() const { return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end()); }
  int64_t columns() const { return static_cast<int64_t>(heads) * width; }
  int64_t stride() const { return columns() + pad; }
  int64_t elements() const { return extent(rows(), columns(), stride()); }
};

Ints offsets_of(const Case &c) {
  Ints offsets(static_cast<int64_t>(c.lengths.size()) + 1, 0);
  for (size_t b = 0; b < c.lengths.size(); b++) {
    offsets[static_cast<int64_t>(b) + 1] = offsets[static_cast<int64_t>(b)] + c.lengths[b];
  }
  return offsets;
}

struct Inputs {
  Floats q, k, v, grad;
};

Inputs inputs_of(const Case &c) {
  const auto values = [&](double spread) {
    return floats(c.elements(), [&](int64_t) { return spread * uniform(-1, 1); });
  };
  return {values(c.spread), values(1), values(1), values(1)};
}

struct Results {
  Floats out, lse, dq, dk, dv;
  bool same_bits(const Results &other) const {
    return out.same_bits(other.out) && lse.same_bits(other.lse) && dq.same_bits(other.dq) &&
           dk.same_bits(other.dk) && dv.same_bits(other.dv);
  }
};

// Forward and backward; 77 where nothing was written.
Results run(int precision, const Case &c, const Inputs &in) {
  const Floats unset(c.elements(), 77);
  Results r{unset, Floats(c.rows() * c.heads, 77), unset, unset, unset};
  Ints offsets = offsets_of(c);
  Faults faults;
  const int64_t sequences = static_cast<int64_t>(c.lengths.size());
  const int64_t s = c.stride();
  good(rhumb_attention(precision, sequences, offsets.data(), c.rows(), c.heads, c.width, in.q.data(), s, in.k.data(), s,
                       in.v.data(), s, c.p, kKey, kStream, r.out.data(), s, r.lse.data(), faults.data(), nullptr),
       "rhumb_attention");
  Array<char> scratch(rhumb_attention_backward_scratch(c.rows(), c.heads, c.width), static_cast<char>(0xff));
  good(rhumb_attention_backward(precision, sequences, offsets.data(), c.rows(), c.heads, c.width, in.q.data(), s,
                                in.k.data(), s, in.v.data(), s, c.p, kKey, kStream, r.out.data(), s, r.lse.data(),
                                in.grad.data(), s, r.dq.data(), s, r.dk.data(), s, r.dv.data(), s, scratch.data(),
                                scratch.count(), faults.data(), nullptr),
       "rhumb_attention_backward");
  faulted(faults, -1, 0, 0, "attention");
  // The forward pass without log_sum_exp gives the same bits.
  Floats again = unset;
  good(rhumb_attention(precision, sequences, offsets.data(), c.rows(), c.heads, c.width, in.q.data(), s, in.k.data(), s,
                       in.v.data(), s, c.p, kKey, kStream, again.data(), s, nullptr, faults.data(), nullptr),
       "rhumb_attention without log_sum_exp");
  check(r.out.same_bits(again), "bits without log_sum_exp");
  return r;
}

// Dropout's factor of the weight of key `place`, counted from the sequence's first, for a query.
double factor_of(const Case &c, int64_t row, int head, int64_t place) {
  const uint32_t bits = rhumb::philox_bits(kKey, kStream, static_cast<uint32_t>(row * c.heads + head), place);
  return c.p == 0 || bits >= rhumb::philox_keep_threshold(c.p) ? 1 / (1 - static_cast<double>(c.p)) : 0;
}

// Everything that the loops give, (rows, heads width) in rows of columns().
struct Expected {
  std::vector<double> out, lse, dq, dk, dv;
};

Expected expect(const Case &c, const Inputs &in) {
  const size_t all = static_cast<size_t>(c.rows() * c.columns());
  Expected e{std::vector<double>(all), std::vector<double>(static_cast<size_t>(c.rows() * c.heads)),
             std::vector<double>(all), std::vector<double>(all), std::vector<double>(all)};
  const double scale = 1 / std::sqrt(static_cast<double>(c.width));
  int64_t start = 0;
  for (int length : c.lengths) {
    for (int64_t i = start; i < start + length; i++) {
      for (int h = 0; h < c.heads; h++) {
        const int64_t column = static_cast<int64_t>(h) * c.width;
        const auto dot = [&](const Floats &a, int64_t m, const Floats &b, int64_t n) {
          double sum = 0;
          for (int d = 0; d < c.width; d++) {
            sum += static_cast<double>(a[m * c.stride() + column + d]) * b[n * c.stride() + column + d];
          }
          return sum;
        };
        std::vector<double> weight, factor, slope;
        double most = -INFINITY;
        for (int64_t j = start; j <= i; j++) {
          weight.push_back(dot(in.q, i, in.k, j) * scale);
          most = std::max(most, weight.back());
        }
        double sum = 0;
        for (double &w : weight) {
          w = std::exp(w - most);
          sum += w;
        }
        e.lse[static_cast<size_t>(i * c.heads + h)] = most + std::log(sum);
        double mean = 0;
        for (size_t j = 0; j < weight.size(); j++) {
          weight[j] /= sum;
          factor.push_back(factor_of(c, i, h, static_cast<int64_t>(j)));
          slope.push_back(factor[j] * dot(in.grad, i, in.v, start + static_cast<int64_t>(j)));
          mean += weight[j] * slope[j];
        }
        for (size_t j = 0; j < weight.size(); j++) {
          const double ds = weight[j] * (slope[j] - mean) * scale;
          for (int d = 0; d < c.width; d++) {
            const size_t mine = static_cast<size_t>(i * c.columns() + column + d);
            const size_t other = static_cast<size_t>((start + static_cast<int64_t>(j)) * c.columns() + column + d);
            const int64_t mine_at = i * c.stride() + column + d;
            const int64_t other_at = (start + static_cast<int64_t>(j)) * c.stride() + column + d;
            e.out[mine] += weight[j] * factor[j] * in.v[other_at];
            e.dq[mine] += ds * in.k[other_at];
            e.dk[other] += ds * in.q[mine_at];
            e.dv[other] += weight[j] * factor[j] * in.grad[mine_at];
          }
        }
      }
    }
    start += length;
  }
  return e;
}

// That the rows hold what was expected, and that nothing between them was written.
void compare(const Case &c, const Floats &actual, const std::vector<double> &expected, int64_t terms, double magnitude,
             const char *what) {
  for (int64_t i = 0; i < actual.count(); i++) {
    const int64_t row = i / c.stride();
    const int64_t column = i % c.stride();
    if (column < c.columns()) {
      near(what, row, column, actual[i], expected[static_cast<size_t>(row * c.columns() + column)], terms, magnitude);
    } else {
      check(actual[i] == 77, "a pad was written");
    }
  }
}

void attention(const Case &c) {
  const Inputs in = inputs_of(c);
  const Results r = run(RHUMB_FP32, c, in);
  check(r.same_bits(run(RHUMB_FP32, c, in)), "the same bits twice");
  const Expected e = expect(c, in);
  const int64_t terms = c.longest() + c.width;
  const double magnitude = 1 + c.spread;
  const double steep = magnitude * magnitude / (1 - c.p);
  compare(c, r.out, e.out, terms, magnitude, "out");
  for (int64_t i = 0; i < r.lse.count(); i++) {
    near("log_sum_exp", i / c.heads, i % c.heads, r.lse[i], e.lse[static_cast<size_t>(i)], terms, magnitude);
  }
  compare(c, r.dq, e.dq, terms, steep, "dq");
  compare(c, r.dk, e.dk, terms, steep, "dk");
  compare(c, r.dv, e.dv, terms, steep, "dv");
}

// --- bf16 ----------------------------------------------------------------------------------------------------------------
//
// The loops in double round what the kernels round: q, k, v and grad, which are exact then, and in each pass the weights and
// the gradients of scores. These come out of float32 arithmetic in the kernels, and so may lie on the other side of a
// midpoint between two bf16 than the double does, and be rounded to its neighbour. Only where the midpoint is within the
// float32 error of the value can that be, and then what it changes in a result is the step times the other operand: that is
// allowed, there alone. Everything else is the error of a sum in float32, 2^-22 (2 + sqrt(terms)) of the sum of its
// magnitudes as everywhere in these tests: a bf16 step is 2^-8 of a term, some hundred times more than what is
// allowed, wherever something is rounded that should not be, or twice.

// The nearest of 8 significant bits, ties to even.
double rounded(double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(x, 8 - exponent)), exponent - 8);
}

Floats rounded(const Floats &x) {
  return floats(x.count(), [&](int64_t i) { return rounded(x[i]); });
}

double float_error(double terms) { return std::ldexp(2 + std::sqrt(terms), -22); }

int64_t roundings = 0;
int64_t doubtful = 0;  // of them

// How far what is rounded from a value within `error` of x may be from rounded(x).
double doubt(double x, double error) {
  const double step = std::max(rounded(x + error) - rounded(x), rounded(x) - rounded(x - error));
  roundings++;
  doubtful += step > 0 ? 1 : 0;
  return step;
}

// A result with the error that is allowed. add: one term, with the doubt in its first factor.
struct Sum {
  double value = 0;
  double magnitude = 0;
  double slack = 0;
  void add(double a, double b, double doubt) {
    value += a * b;
    magnitude += std::fabs(a * b);
    slack += doubt * std::fabs(b);
  }
};

void holds(const Case &c, const Floats &actual, const std::vector<Sum> &expected, const char *what) {
  for (int64_t i = 0; i < actual.count(); i++) {
    const int64_t row = i / c.stride();
    const int64_t column = i % c.stride();
    if (column >= c.columns()) {
      check(actual[i] == 77, "a pad was written");
      continue;
    }
    const Sum &sum = expected[static_cast<size_t>(row * c.columns() + column)];
    // Weights below the least normal float are not as exact as others.
    const double tolerance = float_error(c.longest()) * sum.magnitude + sum.slack + 1e-36;
    check(std::fabs(actual[i] - sum.value) <= tolerance, "%s in bf16: (%lld, %lld) is %.9g, but should be %.9g within %.3g",
          what, static_cast<long long>(row), static_cast<long long>(column), static_cast<double>(actual[i]), sum.value,
          tolerance);
  }
}

void rounded_attention(const Case &c) {
  const Inputs in = inputs_of(c);
  const Results r = run(RHUMB_BF16, c, in);
  check(r.same_bits(run(RHUMB_BF16, c, in)), "the same bits twice in bf16");
  const Floats q = rounded(in.q), k = rounded(in.k), v = rounded(in.v), grad = rounded(in.grad);
  const size_t all = static_cast<size_t>(c.rows() * c.columns());
  std::vector<Sum> out(all), dq(all), dk(all), dv(all);
  const double scale = 1 / std::sqrt(static_cast<double>(c.width));
  const double log2e = 1 / std::log(2.0);
  const double wide = float_error(c.width);
  int64_t start = 0;
  for (int length : c.lengths) {
    for (int64_t i = start; i < start + length; i++) {
      for (int h = 0; h < c.heads; h++) {
        const int64_t column = static_cast<int64_t>(h) * c.width;
        const auto dot = [&](const Floats &a, int64_t m, const Floats &b, int64_t n) {
          Sum sum;
          for (int d = 0; d < c.width; d++) {
            sum.add(a[m * c.stride() + column + d], b[n * c.stride() + column + d], 0);
          }
          return sum;
        };
        std::vector<Sum> scores;
        double most = -INFINITY;
        for (int64_t j = start; j <= i; j++) {
          scores.push_back(dot(q, i, k, j));
          most = std::max(most, scores.back().value * scale * log2e);
        }
        double exact = 0;
        double sum = 0;
        double sum_doubt = 0;
        std::vector<double> weight, doubts;
        for (const Sum &score : scores) {
          const double w = std::exp2(score.value * scale * log2e - std::ceil(most));
          exact += w;
          weight.push_back(rounded(w));
          doubts.push_back(doubt(w, wide * w * (1 + score.magnitude * scale * log2e)));
          sum += weight.back();
          sum_doubt += doubts.back();
        }
        const double lse = r.lse[i * c.heads + h];
        near("log_sum_exp in bf16", i, h, lse, std::ceil(most) / log2e + std::log(exact), c.longest() + c.width,
             1 + c.spread);
        const Sum delta = dot(r.out, i, grad, i);  // of what the forward pass gave, as the kernels have it
        for (size_t j = 0; j < scores.size(); j++) {
          const int64_t other_row = start + static_cast<int64_t>(j);
          const double factor = factor_of(c, i, h, static_cast<int64_t>(j));
          // Backward: the weight by log_sum_exp, and the gradient of the score.
          const double exponent = scores[j].value * scale - lse;
          const double w = std::exp(exponent);
          const double w_error = wide * (1 + scores[j].magnitude * scale * log2e + std::fabs(lse) * log2e);
          const Sum slope = dot(grad, i, v, other_row);
          const double ds = w * (factor * slope.value - delta.value);
          const double ds_error =
              w_error * std::fabs(ds) + wide * w * (factor * slope.magnitude + delta.magnitude);
          const double w_doubt = doubt(w, w_error * w);
          const double ds_doubt = doubt(ds, ds_error);
          for (int d = 0; d < c.width; d++) {
            const size_t mine = static_cast<size_t>(i * c.columns() + column + d);
            const size_t other = static_cast<size_t>(other_row * c.columns() + column + d);
            const int64_t mine_at = i * c.stride() + column + d;
            const int64_t other_at = other_row * c.stride() + column + d;
            // The doubt in the sum of the weights touches every term.
            out[mine].add(factor * weight[j] / sum, v[other_at],
                          factor * (doubts[j] + weight[j] * sum_doubt / sum) / sum);
            dq[mine].add(rounded(ds), scale * k[other_at], ds_doubt);
            dk[other].add(rounded(ds), scale * q[mine_at], ds_doubt);
            dv[other].add(rounded(w), factor * grad[mine_at], w_doubt);
          }
        }
      }
    }
    start += length;
  }
  holds(c, r.out, out, "out");
  holds(c, r.dq, dq, "dq");
  holds(c, r.dk, dk, "dk");
  holds(c, r.dv, dv, "dv");
}

// --- A row and its neighbours --------------------------------------------------------------------------------------------

// A value that is not finite, in one row of one head of one input, reaches nothing but that head of that sequence, and in the
// forward pass no row before it.
void neighbours(int precision, int width, float p) {
  const Case c{{5, 20, 3, 40, 1, 30}, 2, width, p, 1, width % 4 == 0 ? 4 : 1};
  Inputs in = inputs_of(c);
  const Results clean = run(precision, c, in);
  const Ints offsets = offsets_of(c);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int trial = 0; trial < 24; trial++) {
    Floats &input = trial % 4 == 0 ? in.q : trial % 4 == 1 ? in.k : trial % 4 == 2 ? in.v : in.grad;
    const float odd = trial / 4 % 3 == 0 ? std::numeric_limits<float>::quiet_NaN()
                      : trial / 4 % 3 == 1 ? kInfinity
                                           : -kInfinity;
    const int64_t b = below(static_cast<int64_t>(c.lengths.size()));
    const int64_t row = offsets[b] + below(c.lengths[static_cast<size_t>(b)]);
    const int64_t head = below(2);
    float &element = input[row * c.stride() + head * width + below(width)];
    const float before = element;
    element = odd;
    const Results r = run(precision, c, in);
    element = before;
    const auto untouched = [&](const Floats &actual, const Floats &expected, int64_t stride, int64_t each, int64_t from,
                               int64_t to, const char *what) {
      for (int64_t i = 0; i < actual.count(); i++) {
        const bool mine = i / stride >= from && i / stride < to && i % stride / each == head;
        check(mine || std::memcmp(&actual[i], &expected[i], sizeof(float)) == 0,
              "precision %d, width %d, trial %d: %s (%lld, %lld) is %g, not %g, for what row %lld holds", precision, width,
              trial, what, static_cast<long long>(i / stride), static_cast<long long>(i % stride),
              static_cast<double>(actual[i]), static_cast<double>(expected[i]), static_cast<long long>(row));
      }
    };
    const int64_t begin = offsets[b];
    const int64_t end = offsets[b + 1];
    untouched(r.out, clean.out, c.stride(), width, row, end, "out");
    untouched(r.lse, clean.lse, c.heads, 1, row, end, "log_sum_exp");
    untouched(r.dq, clean.dq, c.stride(), width, row, end, "dq");
    untouched(r.dk, clean.dk, c.stride(), width, begin, end, "dk");
    untouched(r.dv, clean.dv, c.stride(), width, begin, end, "dv");
    // And it is seen where it belongs.
    if (trial / 4 % 3 == 0) {
      const Floats &reached = trial % 4 == 3 ? r.dv : r.out;
      bool finite = true;
      for (int64_t d = 0; d < width; d++) {
        finite &= std::isfinite(reached[row * c.stride() + head * width + d]);
      }
      check(!finite || p > 0, "precision %d, width %d, trial %d: a NaN went unseen", precision, width, trial);
    }
  }
}

// Whatever the offsets hold, the calls tell the first that is bad and touch nothing out of bounds.
void bad_offsets(std::initializer_list<int> values, int64_t rows, uint64_t at) {
  for (int precision : {RHUMB_FP32, RHUMB_BF16}) {
    for (int width : {5, 64, 130}) {
      const Case c{{static_cast<int>(rows)}, 2, width, 0.3f, 1, 0};
      Floats q = uniforms(c.elements());
      Floats out(c.elements()), dq(c.elements()), dk(c.elements()), dv(c.elements());
      Floats lse(rows * 2, 1);
      Ints offsets(static_cast<int64_t>(values.size()));
      std::copy(values.begin(), values.end(), offsets.data());
      const int64_t sequences = offsets.count() - 1;
      const int64_t s = c.stride();
      const uint32_t value = static_cast<uint32_t>(offsets[static_cast<int64_t>(at)]);
      Faults forward, backward, padding;
      good(rhumb_attention(precision, sequences, offsets.data(), rows, 2, width, q.data(), s, q.data(), s, q.data(), s,
                           c.p, kKey, kStream, out.data(), s, lse.data(), forward.data(), nullptr),
           "rhumb_attention, bad offsets");
      faulted(forward, RHUMB_FAULT_ATTENTION_OFFSET, at, value, "rhumb_attention");
      Array<char> scratch(rhumb_attention_backward_scratch(rows, 2, width));
      good(rhumb_attention_backward(precision, sequences, offsets.data(), rows, 2, width, q.data(), s, q.data(), s,
                                    q.data(), s, c.p, kKey, kStream, out.data(), s, lse.data(), q.data(), s, dq.data(),
                                    s, dk.data(), s, dv.data(), s, scratch.data(), scratch.count(), backward.data(),
                                    nullptr),
           "rhumb_attention_backward, bad offsets");
      faulted(backward, RHUMB_FAULT_ATTENTION_OFFSET, at, value, "rhumb_attention_backward");
      good(rhumb_add_padding(sequences, offsets.data(), rows, 9, 2, width, q.data(), s, q.data(), q.data(), lse.data(),
                             out.data(), s, padding.data(), nullptr),
           "rhumb_add_padding, bad offsets");
      faulted(padding, RHUMB_FAULT_ATTENTION_OFFSET, at, value, "rhumb_add_padding");
    }
  }
}

void padding(const std::vector<int> &lengths, int heads, int width, int window) {
  const Case c{lengths, heads, width, 0, 1, 3};
  Floats q = uniforms(c.elements());
  Floats key = uniforms(c.columns());
  Floats value = uniforms(c.columns());
  Floats lse = uniforms(c.rows() * heads, 1, 3);
  Floats out =
      floats(c.elements(), [&](int64_t i) { return i % c.stride() < c.columns() ? uniform(-1, 1) : 77; });
  std::vector<double> expected(static_cast<size_t>(c.rows() * c.columns()));
  int64_t row = 0;
  for (int length : lengths) {
    for (int i = 0; i < length; i++, row++) {
      for (int h = 0; h < heads; h++) {
        double score = 0;
        for (int d = 0; d < width; d++) {
          score += static_cast<double>(q[row * c.stride() + h * width + d]) * key[h * width + d];
        }
        score = score / std::sqrt(static_cast<double>(width)) + std::log(std::max(0, window - length));
        const double weight = window > length ? 1 / (1 + std::exp(lse[row * heads + h] - score)) : 0;
        for (int d = h * width; d < (h + 1) * width; d++) {
          const double before = out[row * c.stride() + d];
          expected[static_cast<size_t>(row * c.columns() + d)] = before + weight * (value[d] - before);
        }
      }
    }
  }
  Ints offsets = offsets_of(c);
  Faults faults;
  good(rhumb_add_padding(static_cast<int64_t>(lengths.size()), offsets.data(), c.rows(), window, heads, width,
                          q.data(), c.stride(), key.data(), value.data(), lse.data(), out.data(), c.stride(),
                          faults.data(), nullptr),
       "rhumb_add_padding");
  faulted(faults, -1, 0, 0, "rhumb_add_padding");
  compare(c, out, expected, width, 1, "add_padding");
}

void last(int keys, int heads, int width) {
  const Case c{{keys}, heads, width, 0, 1, 1};
  Floats q = uniforms(c.columns());
  Floats k = uniforms(c.elements());
  Floats v = uniforms(c.elements());
  Floats out(c.columns());
  Faults faults;
  good(rhumb_attention_last(1, nullptr, keys, heads, width, q.data(), c.columns(), k.data(), c.stride(), v.data(),
                             c.stride(), out.data(), c.columns(), faults.data(), nullptr),
       "rhumb_attention_last");
  faulted(faults, -1, 0, 0, "rhumb_attention_last");
  for (int h = 0; h < heads; h++) {
    std::vector<double> weight(static_cast<size_t>(keys));
    double sum = 0;
    for (int j = 0; j < keys; j++) {
      double score = 0;
      for (int d = h * width; d < (h + 1) * width; d++) {
        score += static_cast<double>(q[d]) * k[j * c.stride() + d];
      }
      weight[static_cast<size_t>(j)] = std::exp(score / std::sqrt(static_cast<double>(width)));
      sum += weight[static_cast<size_t>(j)];
    }
    for (int d = h * width; d < (h + 1) * width; d++) {
      double expected = 0;
      for (int j = 0; j < keys; j++) {
        expected += weight[static_cast<size_t>(j)] / sum * v[j * c.stride() + d];
      }
      near("last", h, d, out[d], expected, keys + width);
    }
  }
}

void refusals() {
  Ints offsets(2);
  offsets[0] = 0;
  offsets[1] = 1;
  Floats x(8, 1);
  Faults faults;
  const auto call = [&](int precision, int64_t rows, int64_t heads, const int32_t *at, const float *q, int64_t width) {
    return rhumb_attention(precision, 1, at, rows, heads, width, q, 8, x.data(), 8, x.data(), 8, 0, 0, 0, x.data(), 8,
                           nullptr, faults.data(), nullptr);
  };
  refused(call(RHUMB_FP32, -1, 1, offsets.data(), x.data(), 4), "rows");
  refused(call(RHUMB_FP32, 1, 0, offsets.data(), x.data(), 4), "heads");
  refused(call(RHUMB_FP32, 1, 1, offsets.data(), x.data(), 0), "head_width");
  refused(call(RHUMB_FP32, 1, 1, nullptr, x.data(), 4), "d_offsets");
  refused(call(RHUMB_FP32, 1, 1, offsets.data(), nullptr, 4), "d_q");
  refused(call(RHUMB_FP32, int64_t{1} << 31, 1, offsets.data(), x.data(), 4), "2^31");
  refused(call(2, 1, 1, offsets.data(), x.data(), 4), "precision");
  Array<char> little(4);
  refused(rhumb_attention_backward(RHUMB_FP32, 1, offsets.data(), 1, 1, 4, x.data(), 4, x.data(), 4, x.data(), 4, 0, 0, 0,
                                   x.data(), 4, x.data(), x.data(), 4, x.data(), 4, x.data(), 4, x.data(), 4,
                                   little.data(), 4, faults.data(), nullptr),
          "d_scratch");
  faulted(faults, -1, 0, 0, "refusals");
}

}  // namespace

int main() {
  int salt = 0;
  const auto both = [](const Case &c) {
    attention(c);
    if (c.width <= 128) {
      rounded_attention(c);
    }
  };
  for (int size : {0, 1, 7, 31, 33, 63, 64, 65, 127, 129}) {
    both({{3, size, 1}, 2, 5, salt % 2 == 0 ? 0 : 0.3f, 1, salt % 3});
    salt++;
  }
  for (int width : {1, 8, 31, 32, 33, 64, 65, 96, 128, 129, 200}) {
    both({{4, 0, 70}, 1 + salt % 2, width, salt % 2 == 0 ? 0 : 0.2f, 1, width % 4 == 0 ? 4 * (salt % 2) : 1});
    salt++;
  }
  both({{}, 2, 4, 0, 1, 0});
  both({{0, 0}, 2, 4, 0.5f, 1, 0});
  both({{200, 2, 131}, 1, 50, 0.5f, 1, 0});
  both({{200}, 1, 64, 0, 1, 0});
  both({{11, 30, 1, 0, 22, 50, 8, 8, 3, 64}, 4, 16, 0.1f, 1, 0});
  both({{40, 90}, 2, 32, 0.1f, 1, 4});
  // Only where scores are of a usual size: the error of large ones is much of a bf16 step.
  check(doubtful < roundings / 50, "%lld of %lld roundings are in doubt", static_cast<long long>(doubtful),
        static_cast<long long>(roundings));
  both({{40, 7}, 2, 16, 0, 100, 0});
  both({{5, 70}, 1, 130, 0.1f, 1, 0});
  for (int precision : {RHUMB_FP32, RHUMB_BF16}) {
    for (int width : {5, 64, 128, 130}) {
      neighbours(precision, width, 0);
    }
    neighbours(precision, 32, 0.2f);
  }
  for (int width : {1, 17, 64}) {
    padding({3, 7, 0, 9, 1}, 2, width, 7);
    padding({4, 1}, 1, width, 0);
  }
  padding({}, 1, 4, 3);
  for (int keys : {1, 2, 33, 200, 511, 512, 513, 1100}) {
    last(keys, 1 + keys % 2, keys % 2 == 0 ? 64 : 50);
  }
  bad_offsets({1, 80}, 80, 0);
  bad_offsets({0, 79}, 80, 1);
  bad_offsets({0, 81}, 80, 1);
  bad_offsets({0, 1 << 30, 80}, 80, 1);
  bad_offsets({0, -5, 80}, 80, 1);
  bad_offsets({0, 40, 30, 80}, 80, 2);
  bad_offsets({0}, 80, 0);
  refusals();
  return finish("attention");
}
