// Lists, sparse autoencoders, rows and scatter against plain loops in double.
#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "rhumb_host.h"
#include "testing.h"

using testing::Array;
using testing::below;
using testing::check;
using testing::Faults;
using testing::uniform;
using testing::uniforms;

namespace {

// A matrix whose rows start at multiples of 16 bytes, or do not.
struct Floats {
  Array<float> memory;
  int64_t skipped;

  Floats(int64_t count, bool aligned, float low = -1, float high = 1)
      : memory(uniforms(count + (aligned ? 0 : 1), low, high)), skipped(aligned ? 0 : 1) {}
  float *data() { return memory.data() + skipped; }
  const float *data() const { return memory.data() + skipped; }
  float &operator[](int64_t i) { return memory[i + skipped]; }
  const float &operator[](int64_t i) const { return memory[i + skipped]; }
  bool same_bits(const Floats &other) const { return memory.same_bits(other.memory); }
};

struct Lists {
  int64_t rows, kept, features;
  Array<int32_t> indices;
  Array<float> values;

  // Distinct features in each row; `hot` of them in every row; some rows short, one in four values not above 0.
  Lists(int64_t rows, int64_t kept, int64_t features, int64_t hot = 0)
      : rows(rows), kept(kept), features(features), indices(rows * kept, -5), values(uniforms(rows * kept, -0.3f, 0.9f)) {
    std::vector<int32_t> all(features);
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t f = 0; f < features; f++) {
        all[f] = static_cast<int32_t>(f);
      }
      const int64_t count = std::min(features, r % 3 == 2 ? below(kept + 1) : kept);
      for (int64_t i = 0; i < count; i++) {
        if (i >= hot) {
          std::swap(all[i], all[i + below(features - i)]);
        }
        indices[r * kept + i] = all[i];
      }
      if (count < kept) {
        indices[r * kept + count] = -1;
        values[r * kept + count] = NAN;  // neither read nor written
      }
    }
  }
  int64_t length(int64_t row) const {
    int64_t i = 0;
    while (i < kept && indices[row * kept + i] != -1) {
      i++;
    }
    return i;
  }
};

// Sums in double, with the sum of magnitudes, which float32 errors are in proportion to.
struct Sums {
  std::vector<double> sum, size;
  explicit Sums(int64_t count) : sum(count), size(count) {}
  void add(int64_t i, double value) {
    sum[i] += value;
    size[i] += std::fabs(value);
  }
  bool near(const float *x, double tolerance = 2e-6) const {
    for (size_t i = 0; i < sum.size(); i++) {
      if (!(std::fabs(x[i] - sum[i]) <= tolerance * (size[i] + 1e-6))) {
        printf("  at %zu: %g, not %g (size %g)\n", i, x[i], sum[i], size[i]);
        return false;
      }
    }
    return true;
  }
};

// Runs something in every order of threads; what it leaves must be the same bits.
template <class Result>
Result in_all_orders(const char *what, const std::function<Result()> &run) {
  rhumb_host_set("order", 0);
  Result first = run();
  for (int order = 1; order < 4; order++) {
    rhumb_host_set("order", order);
    Result other = run();
    bool same = first.size() == other.size();
    for (size_t i = 0; same && i < first.size(); i++) {
      same = first[i].same_bits(other[i]);
    }
    check(same, "%s: other bits in order %d", what, order);
  }
  rhumb_host_set("order", 0);
  return first;
}

void good(int status, const char *what) { check(status == RHUMB_OK, "%s: %s", what, rhumb_last_error()); }

// --- Lists -------------------------------------------------------------------------------------------------------------

void lists_by_themselves(int64_t rows, int64_t kept, int64_t features) {
  const Lists lists(rows, kept, features);
  Faults faults;
  // activate
  Floats threshold(features, true), gain(features, true), offset(features, true);
  Array<float> activations(lists.values);
  good(rhumb_activate(rows, kept, features, lists.indices.data(), activations.data(), threshold.data(), gain.data(),
                      offset.data(), activations.data(), faults.data(), nullptr),
       "activate");
  // slice
  const int64_t low = features / 4;
  const int64_t high = features - features / 3;
  Array<int32_t> to_indices(rows * kept, -9);
  Array<float> to_values(rows * kept, -9);
  good(rhumb_slice(rows, kept, features, low, high, lists.indices.data(), lists.values.data(), to_indices.data(),
                   to_values.data(), faults.data(), nullptr),
       "slice");
  Array<float> sums(rows, -9);
  good(rhumb_sum_values(rows, kept, features, lists.indices.data(), lists.values.data(), sums.data(), faults.data(),
                        nullptr),
       "sum_values");
  Array<int32_t> counts(features, 3);
  good(rhumb_count_fired(rows, kept, features, lists.indices.data(), lists.values.data(), counts.data(),
                         faults.data(), nullptr),
       "count_fired");
  std::vector<int32_t> expected_counts(features, 3);
  for (int64_t r = 0; r < rows; r++) {
    int64_t to = r * kept;
    double sum = 0;
    for (int64_t i = r * kept; i < r * kept + lists.length(r); i++) {
      const int32_t f = lists.indices[i];
      const float value = lists.values[i];
      const float above = std::max(std::fma(gain[f], value, offset[f]), 0.0f);
      check(activations[i] == (value > threshold[f] ? above : 0), "activate: row %ld", static_cast<long>(r));
      if (f >= low && f < high) {
        check(to_indices[to] == f && to_values[to] == value, "slice: row %ld", static_cast<long>(r));
        to++;
      }
      sum += value;
      expected_counts[f] += value > 0;
    }
    check(to == (r + 1) * kept || to_indices[to] == -1, "slice: end of row %ld", static_cast<long>(r));
    check(sums[r] == static_cast<float>(sum) || std::fabs(sums[r] - sum) < 1e-7 * std::fabs(sum), "sum_values");
  }
  for (int64_t f = 0; f < features; f++) {
    check(counts[f] == expected_counts[f], "count_fired: feature %ld", static_cast<long>(f));
  }
  check(faults.none(), "lists: a fault");
}

// span > 0: values that tie.
void keeps_largest(int64_t rows, int64_t kept, int64_t features, int64_t left, int span) {
  Lists lists(rows, kept, features);
  for (int64_t i = 0; span > 0 && i < rows * kept; i++) {
    lists.values[i] = static_cast<float>(below(span) - 1);
  }
  std::vector<std::pair<float, int64_t>> all;  // value descending, place ascending
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = r * kept; i < r * kept + lists.length(r); i++) {
      if (lists.values[i] > 0) {
        all.push_back({-lists.values[i], i});
      }
    }
  }
  std::sort(all.begin(), all.end());
  all.resize(std::min<size_t>(all.size(), static_cast<size_t>(left)));
  const float expected_least = all.empty() ? 0 : -all.back().first;
  std::vector<bool> stays(rows * kept);
  for (const auto &entry : all) {
    stays[entry.second] = true;
  }
  Array<int32_t> indices(lists.indices);
  Array<float> values(lists.values);
  Array<float> least(1, -9);
  Faults faults;
  const int64_t bytes = rhumb_keep_largest_scratch(rows, kept, features);
  Array<unsigned char> scratch(bytes, 0xA5);
  good(rhumb_keep_largest(rows, kept, features, left, indices.data(), values.data(), least.data(), scratch.data(), bytes,
                          faults.data(), nullptr),
       "keep_largest");
  check(least[0] == expected_least, "keep_largest: least %g, not %g", least[0], expected_least);
  for (int64_t r = 0; r < rows; r++) {
    int64_t to = r * kept;
    for (int64_t i = r * kept; i < r * kept + lists.length(r); i++) {
      if (stays[i]) {
        check(indices[to] == lists.indices[i] && values[to] == lists.values[i], "keep_largest: row %ld of %ld, %ld left",
              static_cast<long>(r), static_cast<long>(rows), static_cast<long>(left));
        to++;
      }
    }
    check(to == (r + 1) * kept || indices[to] == -1, "keep_largest: end of row %ld", static_cast<long>(r));
  }
}

// --- Decode and gradients ----------------------------------------------------------------------------------------------

struct Shape {
  int64_t rows, kept, features, width, hot;
  bool aligned;
};

void decodes(const Shape &s, bool bias) {
  const Lists lists(s.rows, s.kept, s.features, s.hot);
  const int64_t stride = s.width + (s.aligned ? 4 : 3);
  Floats w_dec(s.features * s.width, s.aligned), b_dec(s.width, s.aligned);
  Floats y(s.rows * stride, s.aligned, 7, 7);
  Faults faults;
  good(rhumb_decode(s.rows, s.kept, s.features, s.width, lists.indices.data(), lists.values.data(), w_dec.data(),
                    bias ? b_dec.data() : nullptr, y.data(), stride, faults.data(), nullptr),
       "decode");
  for (int64_t r = 0; r < s.rows; r++) {
    Sums sums(s.width);
    for (int64_t d = 0; d < s.width; d++) {
      sums.add(d, bias ? b_dec[d] : 0);
      for (int64_t i = r * s.kept; i < r * s.kept + lists.length(r); i++) {
        sums.add(d, static_cast<double>(lists.values[i]) * w_dec[lists.indices[i] * s.width + d]);
      }
    }
    check(sums.near(y.data() + r * stride), "decode: row %ld, width %ld", static_cast<long>(r),
          static_cast<long>(s.width));
    for (int64_t d = s.width; d < stride; d++) {
      check(y[r * stride + d] == 7, "decode: wrote between rows");
    }
  }
  check(faults.none(), "decode: a fault");
}

// With everything that may be NULL, or with nothing of it, the error then written over x.
void decodes_loss(const Shape &s, bool whole) {
  const Lists lists(s.rows, s.kept, s.features, s.hot);
  const int64_t stride = s.width + (!whole ? 0 : s.aligned ? 4 : 1);
  const Array<float> denominator(1, 8.0f);
  const double factor = 3;
  const double scale = whole ? factor / denominator[0] : factor;
  Floats w_dec(s.features * s.width, s.aligned), b_dec(s.width, s.aligned), x(s.rows * stride, s.aligned);
  const Floats was = x;
  Floats error(s.rows * s.width, s.aligned);
  Floats g(s.rows * s.width, s.aligned), dz(s.rows * s.kept, true, 5, 5), squares(s.rows, true);
  float *errors = whole ? error.data() : x.data();
  Faults faults;
  good(rhumb_decode_loss(s.rows, s.kept, s.features, s.width, x.data(), stride, factor,
                         whole ? denominator.data() : nullptr, lists.indices.data(), lists.values.data(), w_dec.data(),
                         whole ? b_dec.data() : nullptr, errors, g.data(), squares.data(), whole ? dz.data() : nullptr,
                         faults.data(), nullptr),
       "decode_loss");
  for (int64_t r = 0; r < s.rows; r++) {
    Sums gradient(s.width), rest(s.width), dots(s.kept), square(1);
    for (int64_t d = 0; d < s.width; d++) {
      const double bias = whole ? b_dec[d] : 0;
      double difference = bias - was[r * stride + d];
      gradient.add(d, scale * bias);
      gradient.add(d, -scale * static_cast<double>(was[r * stride + d]));
      for (int64_t i = r * s.kept; i < r * s.kept + lists.length(r); i++) {
        const double term = static_cast<double>(lists.values[i]) * w_dec[lists.indices[i] * s.width + d];
        difference += term;
        gradient.add(d, scale * term);
      }
      square.add(0, difference * difference);
      rest.add(d, -difference);
      rest.size[d] = gradient.size[d] / scale;
    }
    for (int64_t i = 0; i < s.kept; i++) {
      const int64_t at = r * s.kept + i;
      if (i >= lists.length(r) || !whole) {
        dots.add(i, 5);
      } else if (lists.values[at] > 0) {
        for (int64_t d = 0; d < s.width; d++) {
          dots.add(i, gradient.sum[d] * w_dec[lists.indices[at] * s.width + d]);
          dots.size[i] += gradient.size[d];
        }
      }
    }
    const bool near = gradient.near(g.data() + r * s.width) & dots.near(dz.data() + r * s.kept) &
                      square.near(squares.data() + r, 1e-4) & rest.near(errors + r * s.width);
    check(near, "decode_loss: row %ld of %ld, K %ld, width %ld", static_cast<long>(r), static_cast<long>(s.rows),
          static_cast<long>(s.kept), static_cast<long>(s.width));
  }
  check(faults.none(), "decode_loss: a fault");
}

// A denominator of 0 gives a gradient of 0.
void decodes_loss_under_nothing() {
  const Lists lists(3, 2, 4);
  const Array<float> zero(1, 0.0f);
  Floats w(4 * 6, true), x(3 * 6, true), g(3 * 6, true), dz(6, true), squares(3, true);
  Faults faults;
  good(rhumb_decode_loss(3, 2, 4, 6, x.data(), 6, 2, zero.data(), lists.indices.data(), lists.values.data(), w.data(),
                         nullptr, nullptr, g.data(), squares.data(), dz.data(), faults.data(), nullptr),
       "decode_loss");
  for (int64_t i = 0; i < 3 * 6; i++) {
    check(g[i] == 0 && squares[i / 6] > 0, "decode_loss: a denominator of 0 gives %g", g[i]);
  }
}

// with_dots: the dots of g with rows of W_dec are given.
void goes_back(const Shape &s, bool decoder_bias, bool with_dots) {
  const Lists lists(s.rows, s.kept, s.features, s.hot);
  const int64_t stride = s.width + (s.aligned ? 8 : 0);
  const float slope = 0.0625f;
  Floats x(s.rows * stride, s.aligned), g(s.rows * s.width, s.aligned);
  Floats w_enc(s.features * s.width, s.aligned), w_dec(s.features * s.width, s.aligned), b_dec(s.width, s.aligned);
  const Floats dw_enc(s.features * s.width, s.aligned), dw_dec(s.features * s.width, s.aligned);
  const Floats db_enc(s.features, true), db_dec(s.width, true);
  Floats dots(s.rows * s.kept, true);
  for (int64_t r = 0; r < s.rows; r++) {
    for (int64_t i = r * s.kept; i < r * s.kept + lists.length(r); i++) {
      double dot = 0;
      for (int64_t d = 0; d < s.width; d++) {
        dot += static_cast<double>(g[r * s.width + d]) * w_dec[lists.indices[i] * s.width + d];
      }
      dots[i] = lists.values[i] > 0 ? static_cast<float>(dot) : 0;
    }
  }
  const std::vector<Floats> results = in_all_orders<std::vector<Floats>>("sae_backward", [&] {
    std::vector<Floats> to = {dw_enc, dw_dec, db_enc, db_dec};
    Faults faults;
    const int64_t bytes = rhumb_sae_backward_scratch(s.rows, s.kept, s.features, s.width);
    Array<unsigned char> scratch(bytes, 0xA5);
    good(rhumb_sae_backward(s.rows, s.kept, s.features, s.width, x.data(), stride, g.data(), slope,
                            lists.indices.data(), lists.values.data(), with_dots ? dots.data() : nullptr, w_enc.data(),
                            w_dec.data(), b_dec.data(), decoder_bias, to[0].data(), to[1].data(), to[2].data(),
                            to[3].data(), scratch.data(), bytes, faults.data(), nullptr),
         "sae_backward");
    check(faults.none(), "sae_backward: a fault");
    return to;
  });
  Sums enc(s.features * s.width), dec(s.features * s.width), b(s.features), bias(s.width);
  for (int64_t i = 0; i < s.features * s.width; i++) {
    enc.add(i, dw_enc[i]);
    dec.add(i, dw_dec[i]);
  }
  for (int64_t f = 0; f < s.features; f++) {
    b.add(f, db_enc[f]);
  }
  for (int64_t d = 0; d < s.width; d++) {
    bias.add(d, db_dec[d]);
  }
  for (int64_t r = 0; r < s.rows; r++) {
    for (int64_t i = r * s.kept; i < r * s.kept + lists.length(r); i++) {
      const int64_t f = lists.indices[i];
      const double z = lists.values[i];
      if (!(z > 0)) {
        continue;
      }
      double dz = slope;
      double size = slope;
      for (int64_t d = 0; d < s.width; d++) {
        const double term = static_cast<double>(g[r * s.width + d]) * w_dec[f * s.width + d];
        dz += term;
        size += std::fabs(term);
      }
      b.add(f, dz);
      b.size[f] += size;
      for (int64_t d = 0; d < s.width; d++) {
        dec.add(f * s.width + d, z * g[r * s.width + d]);
        const double centred = static_cast<double>(x[r * stride + d]) - b_dec[d];
        enc.add(f * s.width + d, dz * centred);
        enc.size[f * s.width + d] += size * std::fabs(centred);
        bias.add(d, -dz * w_enc[f * s.width + d]);
        bias.size[d] += size * std::fabs(w_enc[f * s.width + d]);
      }
    }
    for (int64_t d = 0; decoder_bias && d < s.width; d++) {
      bias.add(d, g[r * s.width + d]);
    }
  }
  const bool near = enc.near(results[0].data()) & dec.near(results[1].data()) & b.near(results[2].data()) &
                    bias.near(results[3].data());
  check(near, "sae_backward: %ld rows, K %ld, F %ld, D %ld", static_cast<long>(s.rows), static_cast<long>(s.kept),
        static_cast<long>(s.features), static_cast<long>(s.width));
}

void thresholds_go_back(const Shape &s) {
  const Lists lists(s.rows, s.kept, s.features, s.hot);
  const float bandwidth = 0.5f;
  const float slope = 0.125f;
  Floats g(s.rows * s.width, s.aligned), w_dec(s.features * s.width, s.aligned), threshold(s.features, true, 0, 1);
  const Floats before(s.features, true);
  const std::vector<Floats> results = in_all_orders<std::vector<Floats>>("threshold_backward", [&] {
    std::vector<Floats> to = {before};
    Faults faults;
    const int64_t bytes = rhumb_threshold_backward_scratch(s.rows, s.kept, s.features, s.width);
    Array<unsigned char> scratch(bytes, 0xA5);
    good(rhumb_threshold_backward(s.rows, s.kept, s.features, s.width, bandwidth, g.data(), slope, lists.indices.data(),
                                  lists.values.data(), threshold.data(), w_dec.data(), to[0].data(), scratch.data(),
                                  bytes, faults.data(), nullptr),
         "threshold_backward");
    check(faults.none(), "threshold_backward: a fault");
    return to;
  });
  Sums sums(s.features);
  for (int64_t f = 0; f < s.features; f++) {
    sums.add(f, before[f]);
  }
  for (int64_t r = 0; r < s.rows; r++) {
    for (int64_t i = r * s.kept; i < r * s.kept + lists.length(r); i++) {
      const int64_t f = lists.indices[i];
      if (std::fabs(lists.values[i] - threshold[f]) < bandwidth / 2) {
        double dz = 0;
        for (int64_t d = 0; d < s.width; d++) {
          const double term = static_cast<double>(g[r * s.width + d]) * w_dec[f * s.width + d];
          dz += term;
          sums.size[f] += std::fabs(term) / bandwidth;
        }
        sums.add(f, -(threshold[f] * dz + slope) / bandwidth);
      }
    }
  }
  check(sums.near(results[0].data()), "threshold_backward: %ld rows, K %ld", static_cast<long>(s.rows),
        static_cast<long>(s.kept));
}

void scatters(int64_t rows, int64_t cols, int64_t table_rows, bool hot, bool aligned) {
  Array<int32_t> ids(rows);
  for (int64_t r = 0; r < rows; r++) {
    ids[r] = static_cast<int32_t>(hot && below(8) > 0 ? table_rows / 2 : below(table_rows));
  }
  const float scale = -0.75f;
  Floats x(rows * cols, aligned);
  const Floats table(table_rows * cols, aligned);
  const std::vector<Floats> results = in_all_orders<std::vector<Floats>>("scatter_add", [&] {
    std::vector<Floats> to = {table};
    Faults faults;
    const int64_t bytes = rhumb_scatter_add_scratch(rows, cols, table_rows);
    Array<unsigned char> scratch(bytes, 0xA5);
    good(rhumb_scatter_add(rows, cols, ids.data(), x.data(), scale, table_rows, to[0].data(), scratch.data(), bytes,
                           faults.data(), nullptr),
         "scatter_add");
    check(faults.none(), "scatter_add: a fault");
    return to;
  });
  Sums sums(table_rows * cols);
  for (int64_t i = 0; i < table_rows * cols; i++) {
    sums.add(i, table[i]);
  }
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < cols; c++) {
      sums.add(ids[r] * cols + c, static_cast<double>(scale) * x[r * cols + c]);
    }
  }
  check(sums.near(results[0].data()), "scatter_add: %ld rows, %ld columns", static_cast<long>(rows),
        static_cast<long>(cols));
}

// --- Rows --------------------------------------------------------------------------------------------------------------

// The factor that clips what is left of dw to some norm, alone and beside a gradient of another shape.
void clips(int64_t rows, int64_t cols, const Floats &w, const Floats &dw) {
  const Floats beside(9001, true);
  for (int64_t count : {0, 1, 9001}) {
    double squares = 0;
    for (int64_t i = 0; i < count; i++) {
      squares += static_cast<double>(beside[i]) * beside[i];
    }
    for (int64_t r = 0; r < rows; r++) {
      double norm = 0, dot = 0, left = 0;
      for (int64_t c = 0; c < cols; c++) {
        norm += static_cast<double>(w[r * cols + c]) * w[r * cols + c];
        dot += static_cast<double>(dw[r * cols + c]) * w[r * cols + c];
      }
      for (int64_t c = 0; c < cols; c++) {
        const double here = dw[r * cols + c] - (norm == 0 ? 0 : dot / norm * w[r * cols + c]);
        left += here * here;
      }
      squares += left;
    }
    const int64_t bytes = rhumb_clip_scratch(count, rows);
    Array<unsigned char> scratch(bytes, 0xA5);
    Array<float> scale(1, 7.0f);
    const auto clip = [&](const Floats &gradient, float most) {
      good(rhumb_clip(count, gradient.data(), rows, cols, w.data(), dw.data(), most, scale.data(), scratch.data(), bytes,
                      nullptr),
           "clip");
      return scale[0];
    };
    for (float most : {0.25f, 1.0f, 1e9f, INFINITY}) {
      const double expected = std::min(1.0, most / std::sqrt(squares));
      check(std::fabs(clip(beside, most) - expected) <= 1e-6 * expected + (squares < 1e-10), "clip: %g, not %g", scale[0],
            expected);
    }
    if (count > 0) {
      Floats wrong = beside;
      wrong[count - 1] = NAN;
      check(std::isnan(clip(wrong, 1)), "clip: %g of a gradient that is NaN", scale[0]);
      wrong[count - 1] = 3e38f;
      check(std::isnan(clip(wrong, 1)), "clip: %g of a gradient whose squared norm is no float32", scale[0]);
    }
  }
}

void rows_of_matrices(int64_t rows, int64_t cols, bool aligned) {
  Floats w(rows * cols, aligned), dw(rows * cols, aligned), factors(rows, true), dots(rows, true);
  for (int64_t c = 0; c < cols; c++) {
    w[(rows - 1) * cols + c] = 0;  // left alone
  }
  const Floats w0 = w;
  const Floats dw0 = dw;
  const auto dot = [&](const Floats &a, const Floats &b, int64_t r) {
    double sum = 0;
    for (int64_t c = 0; c < cols; c++) {
      sum += static_cast<double>(a[r * cols + c]) * b[r * cols + c];
    }
    return sum;
  };
  good(rhumb_dot_rows(rows, cols, w.data(), dw.data(), dots.data(), nullptr), "dot_rows");
  for (int64_t r = 0; r < rows; r++) {
    check(std::fabs(dots[r] - dot(w, dw, r)) <= 1e-7 * (std::fabs(dot(w, dw, r)) + 1e-9), "dot_rows");
  }
  for (float beta : {0.0f, 0.5f}) {
    Floats to = dw0;
    if (beta == 0) {
      std::fill(to.data(), to.data() + rows * cols, NAN);
    }
    good(rhumb_scale_rows(rows, cols, factors.data(), w.data(), beta, to.data(), nullptr), "scale_rows");
    for (int64_t i = 0; i < rows * cols; i++) {
      const double expected = (beta == 0 ? 0 : beta * dw0[i]) + static_cast<double>(factors[i / cols]) * w[i];
      check(std::fabs(to[i] - expected) < 2e-7, "scale_rows: %g, not %g", to[i], expected);
    }
  }
  // The fused call, then its three steps one by one.
  const float lr = 0.01f, beta1 = 0.9f, beta2 = 0.99f, eps = 1e-8f, grad_scale = 0.5f;
  const Array<float> scale(1, grad_scale), no_step(1, NAN);
  Floats m(rows * cols, aligned), v(rows * cols, aligned, 0, 1);
  Floats fused_w = w, fused_m = m, fused_v = v;
  good(rhumb_project_adam_normalise(rows, cols, fused_w.data(), dw.data(), fused_m.data(), fused_v.data(),
                                    no_step.data(), lr, beta1, beta2, eps, 3, nullptr),
       "project_adam_normalise");
  for (int64_t i = 0; i < rows * cols; i++) {
    check(fused_w[i] == w[i] && fused_m[i] == m[i] && fused_v[i] == v[i], "project_adam_normalise: a step by NaN");
  }
  good(rhumb_project_adam_normalise(rows, cols, fused_w.data(), dw.data(), fused_m.data(), fused_v.data(),
                                    scale.data(), lr, beta1, beta2, eps, 3, nullptr),
       "project_adam_normalise");
  clips(rows, cols, w, dw);
  good(rhumb_project_rows(rows, cols, w.data(), dw.data(), nullptr), "project_rows");
  for (int64_t r = 0; r < rows; r++) {
    const double squares = dot(w, w, r);
    for (int64_t c = 0; c < cols; c++) {
      const int64_t i = r * cols + c;
      const double expected = squares == 0 ? dw0[i] : dw0[i] - dot(w, dw0, r) / squares * w[i];
      check(std::fabs(dw[i] - expected) < 1e-6, "project_rows");
    }
  }
  std::vector<double> stepped(rows * cols);
  for (int64_t i = 0; i < rows * cols; i++) {
    const double g = static_cast<double>(grad_scale) * dw[i];
    const double first = static_cast<double>(beta1) * m[i] + (1 - static_cast<double>(beta1)) * g;
    const double second = static_cast<double>(beta2) * v[i] + (1 - static_cast<double>(beta2)) * g * g;
    check(std::fabs(fused_m[i] - first) < 1e-6 && std::fabs(fused_v[i] - second) < 1e-6, "moments");
    stepped[i] = w[i] - lr * first / (1 - std::pow(static_cast<double>(beta1), 3)) /
                            (std::sqrt(second / (1 - std::pow(static_cast<double>(beta2), 3))) + eps);
  }
  for (int64_t r = 0; r < rows; r++) {
    double squares = 0;
    for (int64_t c = 0; c < cols; c++) {
      squares += stepped[r * cols + c] * stepped[r * cols + c];
    }
    for (int64_t c = 0; c < cols; c++) {
      const double expected = stepped[r * cols + c] / std::sqrt(squares);
      check(std::fabs(fused_w[r * cols + c] - expected) < 1e-5, "project_adam_normalise: %g, not %g, %ld columns",
            fused_w[r * cols + c], expected, static_cast<long>(cols));
    }
  }
  good(rhumb_normalise_rows(rows, cols, w.data(), nullptr), "normalise_rows");
  for (int64_t r = 0; r < rows; r++) {
    const double norm = std::sqrt(dot(w0, w0, r));
    for (int64_t c = 0; c < cols; c++) {
      const double expected = norm == 0 ? 0 : w0[r * cols + c] / norm;
      check(std::fabs(w[r * cols + c] - expected) <= 6e-8, "normalise_rows: %g, not %g", w[r * cols + c], expected);
    }
  }
}

void extremes() {
  Array<float> scale(1, 7.0f);
  good(rhumb_clip(0, nullptr, 0, 0, nullptr, nullptr, 1, scale.data(), nullptr, 0, nullptr), "clip");
  check(scale[0] == 1, "clip: %g of nothing", scale[0]);
  // Norms whose square or whose inverse is no float32; eps 0 where all is 0.
  Array<float> w(3 * 5, 1e-42f);
  for (int64_t c = 0; c < 5; c++) {
    w[5 + c] = 3e38f;
  }
  good(rhumb_normalise_rows(3, 5, w.data(), nullptr), "normalise_rows");
  for (int64_t i = 0; i < 15; i++) {
    check(std::fabs(w[i] - std::sqrt(0.2)) < 1e-6, "normalise_rows: extremes: %g", w[i]);
  }
  // Past a row of 5 the fused step sees 0 / 0 with eps 0.
  Array<float> g = uniforms(15), m(15, 0.0f), v(15, 0.0f);
  good(rhumb_project_adam_normalise(3, 5, w.data(), g.data(), m.data(), v.data(), nullptr, 0.1f, 0.9f, 0.99f, 0, 1,
                                    nullptr),
       "project_adam_normalise");
  for (int64_t i = 0; i < 15; i++) {
    check(std::fabs(w[i]) <= 1, "project_adam_normalise: %g with eps 0", w[i]);
  }
}

void faults_are_told() {
  Lists lists(70, 9, 40);
  lists.indices[33 * 9 + 0] = 40;
  lists.indices[33 * 9 + 1] = -2;
  lists.indices[50 * 9] = INT32_MAX;
  // What follows an end is not looked at.
  lists.indices[12 * 9 + 4] = -1;
  lists.indices[12 * 9 + 5] = 99;
  const int64_t width = 6;
  Floats w(40 * width, true), x(70 * width, true), b(width, true), g(70 * width, true), y(70 * width, true);
  Floats dz(70 * 9, true), error(70, true), per_feature(40, true), dw(40 * width, true);
  Array<int32_t> counts(40, 0), to_indices(70 * 9);
  Array<float> to_values(70 * 9);
  Array<unsigned char> scratch(1 << 20);
  const int64_t bytes = scratch.count();
  const int32_t *indices = lists.indices.data();
  const float *values = lists.values.data();
  const auto told = [&](const char *what, const std::function<int(uint64_t *)> &run) {
    Faults faults;
    good(run(faults.data()), what);
    check(faults.is(RHUMB_FAULT_LIST_INDEX, 33, 40), "%s: the fault of row 33 is not told", what);
  };
  told("decode", [&](uint64_t *faults) {
    return rhumb_decode(70, 9, 40, width, indices, values, w.data(), b.data(), y.data(), width, faults, nullptr);
  });
  told("decode_loss", [&](uint64_t *faults) {
    return rhumb_decode_loss(70, 9, 40, width, x.data(), width, 1, nullptr, indices, values, w.data(), b.data(), nullptr,
                             g.data(), error.data(), dz.data(), faults, nullptr);
  });
  for (const float *dots : {static_cast<const float *>(nullptr), static_cast<const float *>(dz.data())}) {
    told("sae_backward", [&](uint64_t *faults) {
      return rhumb_sae_backward(70, 9, 40, width, x.data(), width, g.data(), 0, indices, values, dots, w.data(),
                                w.data(), b.data(), 1, dw.data(), dw.data(), per_feature.data(), b.data(),
                                scratch.data(), bytes, faults, nullptr);
    });
  }
  told("threshold_backward", [&](uint64_t *faults) {
    return rhumb_threshold_backward(70, 9, 40, width, 1, g.data(), 0, indices, values, per_feature.data(), w.data(),
                                    per_feature.data(), scratch.data(), bytes, faults, nullptr);
  });
  told("activate", [&](uint64_t *faults) {
    return rhumb_activate(70, 9, 40, indices, values, per_feature.data(), per_feature.data(), per_feature.data(),
                          dz.data(), faults, nullptr);
  });
  told("slice", [&](uint64_t *faults) {
    return rhumb_slice(70, 9, 40, 0, 40, indices, values, to_indices.data(), to_values.data(), faults, nullptr);
  });
  told("sum_values", [&](uint64_t *faults) {
    return rhumb_sum_values(70, 9, 40, indices, values, error.data(), faults, nullptr);
  });
  told("count_fired", [&](uint64_t *faults) {
    return rhumb_count_fired(70, 9, 40, indices, values, counts.data(), faults, nullptr);
  });
  told("keep_largest", [&](uint64_t *faults) {
    Array<int32_t> mine(lists.indices);
    Array<float> own(lists.values);
    return rhumb_keep_largest(70, 9, 40, 50, mine.data(), own.data(), error.data(), scratch.data(), bytes, faults,
                              nullptr);
  });
  Array<int32_t> ids(10, 3);
  ids[7] = 40;
  ids[8] = -1;
  Faults faults;
  good(rhumb_scatter_add(10, width, ids.data(), x.data(), 1, 40, w.data(), scratch.data(), bytes, faults.data(),
                         nullptr),
       "scatter_add");
  check(faults.is(RHUMB_FAULT_SCATTER_ID, 7, 40), "scatter_add: the fault is not told");

  check(rhumb_scatter_add(10, width, ids.data(), x.data(), 1, 40, w.data(), scratch.data(), 256, faults.data(),
                          nullptr) == RHUMB_INVALID_ARGUMENT &&
            std::strstr(rhumb_last_error(), "rhumb_scatter_add_scratch") != nullptr,
        "too little scratch is refused");
  check(rhumb_decode(-1, 9, 40, width, indices, values, w.data(), nullptr, y.data(), width, faults.data(), nullptr) ==
            RHUMB_INVALID_ARGUMENT,
        "negative rows are refused");
  check(rhumb_decode(1, 9, 40, width, indices, nullptr, w.data(), nullptr, y.data(), width, faults.data(), nullptr) ==
            RHUMB_INVALID_ARGUMENT,
        "NULL is refused");
  check(rhumb_decode(0, 9, 40, width, nullptr, nullptr, nullptr, nullptr, nullptr, width, nullptr, nullptr) == RHUMB_OK,
        "no rows are no work");
}

}  // namespace

int main() {
  for (int64_t kept : {1, 7, 32, 33, 65}) {
    lists_by_themselves(19, kept, 70);
  }
  for (int64_t left : {0, 1, 7, 100, 5000}) {
    keeps_largest(40, 33, 90, left, 0);
    keeps_largest(40, 33, 90, left, 4);
  }
  keeps_largest(300, 5, 9, 301, 3);
  keeps_largest(1, 4, 9, 2, 1);  // nothing above 0
  for (const Shape &shape : {Shape{1, 1, 1, 1, 0, false}, Shape{5, 9, 30, 4, 0, true}, Shape{17, 16, 64, 64, 2, true},
                             Shape{33, 17, 50, 63, 1, false}, Shape{9, 32, 200, 128, 4, true},
                             Shape{3, 5, 11, 1028, 0, true}, Shape{2, 40, 64, 260, 0, false}}) {
    decodes(shape, true);
    decodes(shape, false);
    decodes_loss(shape, true);
    decodes_loss(shape, false);
    goes_back(shape, true, false);
    goes_back(shape, false, true);
    thresholds_go_back(shape);
  }
  // Decoder rows that do not fit in shared memory.
  decodes_loss({3, 30, 64, 1024, 0, true}, true);
  decodes_loss_under_nothing();
  // Features in every row: sums that pass many groups of 64 entries, and whole groups of groups.
  goes_back({700, 3, 5, 8, 2, true}, true, true);
  goes_back({4500, 2, 4, 3, 1, false}, false, false);
  thresholds_go_back({4500, 2, 4, 3, 1, false});
  for (bool aligned : {true, false}) {
    scatters(1, 1, 1, false, aligned);
    scatters(63, 5, 20, false, aligned);
    scatters(300, 64, 1000, false, aligned);
    scatters(9000, 4, 70000, true, aligned);
  }
  for (int64_t cols : {1, 5, 64, 127, 128, 132, 257, 512, 700, 1024, 1100}) {
    rows_of_matrices(11, cols, true);
    rows_of_matrices(3, cols, false);
  }
  extremes();
  faults_are_told();
  return testing::finish("sae_test");
}
