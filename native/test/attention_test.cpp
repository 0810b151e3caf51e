// Attention against plain loops in double.
#include <algorithm>
#include <initializer_list>
#include <vector>

#include "exact.h"
#include "philox.h"

namespace {

using namespace exact;

constexpr int64_t kKey = 99;
constexpr int64_t kStream = int64_t{5} << 40;

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
  int64_t columns() const { return static_cast<int64_t>(heads) * width; }
  int64_t stride() const { return columns() + pad; }
  int64_t elements() const { return rows() == 0 ? 0 : (rows() - 1) * stride() + columns(); }
};

Ints offsets_of(const Case &c) {
  int at = 0;
  return Ints(static_cast<int64_t>(c.lengths.size()) + 1, [&](int64_t b) {
    at += b == 0 ? 0 : c.lengths[static_cast<size_t>(b - 1)];
    return at;
  });
}

// Everything that the loops give, (rows, heads width) in rows of columns().
struct Expected {
  std::vector<double> out, lse, dq, dk, dv;
};

Expected expect(const Case &c, const Floats &q, const Floats &k, const Floats &v, const Floats &grad) {
  const size_t all = static_cast<size_t>(c.rows() * c.columns());
  Expected e{std::vector<double>(all), std::vector<double>(static_cast<size_t>(c.rows() * c.heads)),
             std::vector<double>(all), std::vector<double>(all), std::vector<double>(all)};
  const uint32_t least = rhumb::philox_keep_threshold(c.p);
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
          weight.push_back(dot(q, i, k, j) * scale);
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
          const bool kept = rhumb::philox_bits(kKey, kStream, static_cast<uint32_t>(i * c.heads + h),
                                               static_cast<int64_t>(j)) >= least;
          factor.push_back(kept || c.p == 0 ? 1 / (1 - static_cast<double>(c.p)) : 0);
          slope.push_back(factor[j] * dot(grad, i, v, start + static_cast<int64_t>(j)));
          mean += weight[j] * slope[j];
        }
        for (size_t j = 0; j < weight.size(); j++) {
          const double ds = weight[j] * (slope[j] - mean) * scale;
          for (int d = 0; d < c.width; d++) {
            const size_t mine = static_cast<size_t>(i * c.columns() + column + d);
            const size_t other = static_cast<size_t>((start + static_cast<int64_t>(j)) * c.columns() + column + d);
            const int64_t mine_at = i * c.stride() + column + d;
            const int64_t other_at = (start + static_cast<int64_t>(j)) * c.stride() + column + d;
            e.out[mine] += weight[j] * factor[j] * v[other_at];
            e.dq[mine] += ds * k[other_at];
            e.dk[other] += ds * q[mine_at];
            e.dv[other] += weight[j] * factor[j] * grad[mine_at];
          }
        }
      }
    }
    start += length;
  }
  return e;
}

// That the rows hold what was expected, and that nothing between them was written.
void compare(const Case &c, const Floats &actual, const std::vector<double> &expected, double terms, double magnitude,
             const char *what) {
  for (int64_t i = 0; i < actual.count(); i++) {
    const int64_t row = i / c.stride();
    const int64_t column = i % c.stride();
    if (column < c.columns()) {
      near(actual[i], expected[static_cast<size_t>(row * c.columns() + column)], terms, magnitude, what, row, column);
    } else {
      check(actual[i] == 77, "a pad was written");
    }
  }
}

void attention(const Case &c) {
  const auto values = [&](double spread) {
    return Floats(c.elements(), [&](int64_t) { return spread * uniform(); });
  };
  Floats q = values(c.spread), k = values(1), v = values(1), grad = values(1);
  const auto results = [&] { return Floats(c.elements(), [](int64_t) { return 77; }); };
  Floats out = results(), dq = results(), dk = results(), dv = results();
  Floats lse(c.rows() * c.heads, [](int64_t) { return 77; });
  Ints offsets = offsets_of(c);
  Faults faults;
  const int64_t sequences = static_cast<int64_t>(c.lengths.size());
  const int64_t s = c.stride();
  check(rhumb_attention(RHUMB_FP32, sequences, offsets.data(), c.rows(), c.heads, c.width, q.data(), s, k.data(), s,
                        v.data(), s, c.p, kKey, kStream, out.data(), s, lse.data(), faults.data(), nullptr) == RHUMB_OK,
        "rhumb_attention");
  Array<char> scratch(rhumb_attention_backward_scratch(c.rows(), c.heads, c.width));
  memset(scratch.data(), 0xff, static_cast<size_t>(scratch.bytes()));
  check(rhumb_attention_backward(RHUMB_FP32, sequences, offsets.data(), c.rows(), c.heads, c.width, q.data(), s,
                                 k.data(), s, v.data(), s, c.p, kKey, kStream, out.data(), s, lse.data(), grad.data(),
                                 s, dq.data(), s, dk.data(), s, dv.data(), s, scratch.data(), scratch.bytes(),
                                 faults.data(), nullptr) == RHUMB_OK,
        "rhumb_attention_backward");
  faulted(faults, -1, 0, 0, "attention");
  const Expected e = expect(c, q, k, v, grad);
  const int longest = c.lengths.empty() ? 0 : *std::max_element(c.lengths.begin(), c.lengths.end());
  const double terms = longest + c.width;
  const double magnitude = 1 + c.spread;
  const double steep = magnitude * magnitude / (1 - c.p);
  compare(c, out, e.out, terms, magnitude, "out");
  for (int64_t i = 0; i < lse.count(); i++) {
    near(lse[i], e.lse[static_cast<size_t>(i)], terms, magnitude, "log_sum_exp", i / c.heads, i % c.heads);
  }
  compare(c, dq, e.dq, terms, steep, "dq");
  compare(c, dk, e.dk, terms, steep, "dk");
  compare(c, dv, e.dv, terms, steep, "dv");
  // The forward pass without log_sum_exp gives the same bits.
  Floats again = results();
  check(rhumb_attention(RHUMB_FP32, sequences, offsets.data(), c.rows(), c.heads, c.width, q.data(), s, k.data(), s,
                        v.data(), s, c.p, kKey, kStream, again.data(), s, nullptr, faults.data(), nullptr) == RHUMB_OK,
        "rhumb_attention without log_sum_exp");
  check(memcmp(out.data(), again.data(), static_cast<size_t>(out.bytes())) == 0, "bits without log_sum_exp");
}

// Whatever the offsets hold, the calls tell the first that is bad and touch nothing out of bounds.
void bad_offsets(std::initializer_list<int> values, int64_t rows, uint64_t at) {
  for (int width : {5, 64, 130}) {
    const Case c{{static_cast<int>(rows)}, 2, width, 0.3f, 1, 0};
    Floats q(c.elements(), [](int64_t) { return uniform(); });
    Floats out(c.elements()), dq(c.elements()), dk(c.elements()), dv(c.elements());
    Floats lse(rows * 2, [](int64_t) { return 1; });
    Ints offsets(static_cast<int64_t>(values.size()), [&](int64_t i) { return values.begin()[i]; });
    const int64_t sequences = offsets.count() - 1;
    const int64_t s = c.stride();
    const uint32_t value = static_cast<uint32_t>(offsets[static_cast<int64_t>(at)]);
    Faults forward, backward, padding;
    check(rhumb_attention(RHUMB_FP32, sequences, offsets.data(), rows, 2, width, q.data(), s, q.data(), s, q.data(), s,
                          c.p, kKey, kStream, out.data(), s, lse.data(), forward.data(), nullptr) == RHUMB_OK,
          "rhumb_attention, bad offsets");
    faulted(forward, RHUMB_FAULT_ATTENTION_OFFSET, at, value, "rhumb_attention");
    Array<char> scratch(rhumb_attention_backward_scratch(rows, 2, width));
    check(rhumb_attention_backward(RHUMB_FP32, sequences, offsets.data(), rows, 2, width, q.data(), s, q.data(), s,
                                   q.data(), s, c.p, kKey, kStream, out.data(), s, lse.data(), q.data(), s, dq.data(),
                                   s, dk.data(), s, dv.data(), s, scratch.data(), scratch.bytes(), backward.data(),
                                   nullptr) == RHUMB_OK,
          "rhumb_attention_backward, bad offsets");
    faulted(backward, RHUMB_FAULT_ATTENTION_OFFSET, at, value, "rhumb_attention_backward");
    check(rhumb_add_padding(sequences, offsets.data(), rows, 9, 2, width, q.data(), s, q.data(), q.data(), lse.data(),
                            out.data(), s, padding.data(), nullptr) == RHUMB_OK,
          "rhumb_add_padding, bad offsets");
    faulted(padding, RHUMB_FAULT_ATTENTION_OFFSET, at, value, "rhumb_add_padding");
  }
}

void padding(const std::vector<int> &lengths, int heads, int width, int window) {
  const Case c{lengths, heads, width, 0, 1, 3};
  Floats q(c.elements(), [](int64_t) { return uniform(); });
  Floats key(c.columns(), [](int64_t) { return uniform(); });
  Floats value(c.columns(), [](int64_t) { return uniform(); });
  Floats lse(c.rows() * heads, [](int64_t) { return 2 + uniform(); });
  Floats out(c.elements(), [&](int64_t i) { return i % c.stride() < c.columns() ? uniform() : 77; });
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
  check(rhumb_add_padding(static_cast<int64_t>(lengths.size()), offsets.data(), c.rows(), window, heads, width,
                          q.data(), c.stride(), key.data(), value.data(), lse.data(), out.data(), c.stride(),
                          faults.data(), nullptr) == RHUMB_OK,
        "rhumb_add_padding");
  faulted(faults, -1, 0, 0, "rhumb_add_padding");
  compare(c, out, expected, width, 1, "add_padding");
}

void last(int keys, int heads, int width) {
  const Case c{{keys}, heads, width, 0, 1, 1};
  Floats q(c.columns(), [](int64_t) { return uniform(); });
  Floats k(c.elements(), [](int64_t) { return uniform(); });
  Floats v(c.elements(), [](int64_t) { return uniform(); });
  Floats out(c.columns());
  Faults faults;
  check(rhumb_attention_last(1, nullptr, keys, heads, width, q.data(), c.columns(), k.data(), c.stride(), v.data(),
                             c.stride(), out.data(), c.columns(), faults.data(), nullptr) == RHUMB_OK,
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
      near(out[d], expected, keys + width, 1, "last", h, d);
    }
  }
}

void refusals() {
  Ints offsets(2, [](int64_t i) { return static_cast<double>(i); });
  Floats x(8, [](int64_t) { return 1; });
  Faults faults;
  const auto call = [&](int64_t rows, int64_t heads, const int32_t *at, const float *q, int64_t width) {
    return rhumb_attention(RHUMB_FP32, 1, at, rows, heads, width, q, 8, x.data(), 8, x.data(), 8, 0, 0, 0, x.data(),
                           8, nullptr, faults.data(), nullptr);
  };
  check(call(-1, 1, offsets.data(), x.data(), 4) == RHUMB_INVALID_ARGUMENT, "negative rows");
  check(call(1, 0, offsets.data(), x.data(), 4) == RHUMB_INVALID_ARGUMENT, "no head");
  check(call(1, 1, offsets.data(), x.data(), 0) == RHUMB_INVALID_ARGUMENT, "no width");
  check(call(1, 1, nullptr, x.data(), 4) == RHUMB_INVALID_ARGUMENT, "no offsets");
  check(call(1, 1, offsets.data(), nullptr, 4) == RHUMB_INVALID_ARGUMENT, "no q");
  check(call(int64_t{1} << 31, 1, offsets.data(), x.data(), 4) == RHUMB_INVALID_ARGUMENT, "too many rows");
  Array<char> little(4);
  check(rhumb_attention_backward(RHUMB_FP32, 1, offsets.data(), 1, 1, 4, x.data(), 4, x.data(), 4, x.data(), 4, 0, 0, 0,
                                 x.data(), 4, x.data(), x.data(), 4, x.data(), 4, x.data(), 4, x.data(), 4,
                                 little.data(), 4, faults.data(), nullptr) == RHUMB_INVALID_ARGUMENT,
        "too little scratch");
  faulted(faults, -1, 0, 0, "refusals");
}

}  // namespace

int main() {
  int salt = 0;
  for (int size : {0, 1, 7, 31, 33, 63, 64, 65, 127, 129}) {
    attention({{3, size, 1}, 2, 5, salt % 2 == 0 ? 0 : 0.3f, 1, salt % 3});
    salt++;
  }
  for (int width : {1, 8, 31, 32, 33, 64, 65, 96, 128, 129, 200}) {
    attention({{4, 0, 70}, 1 + salt % 2, width, salt % 2 == 0 ? 0 : 0.2f, 1, width % 4 == 0 ? 4 * (salt % 2) : 1});
    salt++;
  }
  attention({{}, 2, 4, 0, 1, 0});
  attention({{0, 0}, 2, 4, 0.5f, 1, 0});
  attention({{200, 2, 131}, 1, 50, 0.5f, 1, 0});
  attention({{11, 30, 1, 0, 22, 50, 8, 8, 3, 64}, 4, 16, 0.1f, 1, 0});
  attention({{40, 90}, 2, 32, 0.1f, 1, 4});
  attention({{40, 7}, 2, 16, 0, 100, 0});
  attention({{5, 70}, 1, 130, 0.1f, 1, 0});
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
  return result();
}
