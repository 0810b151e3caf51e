// Steering against plain loops in double.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "testing.h"

using testing::Array;
using testing::below;
using testing::check;
using testing::Faults;
using testing::uniforms;

namespace {

struct Edit {
  int32_t feature, op;
  float x, y;

  float apply(float a) const {
    switch (op) {
      case RHUMB_ADD:
        return a + x;
      case RHUMB_SET:
        return x;
      case RHUMB_SCALE:
        return a * x;
      case RHUMB_CLAMP:
        return std::min(std::max(a, x), y);
      default:
        return 0;
    }
  }
};

// The edits of all rows, as the ABI takes them.
struct Edits {
  std::vector<std::vector<Edit>> of_row;
  Array<int32_t> table;
  Array<int32_t> offsets;
  bool shared;

  Edits(const std::vector<std::vector<Edit>> &lists, bool shared)
      : of_row(lists), table(4 * count_of(lists, shared)), offsets(static_cast<int64_t>(lists.size()) + 1, 0),
        shared(shared) {
    static_assert(sizeof(Edit) == 4 * sizeof(int32_t));
    int32_t at = 0;
    for (size_t r = 0; r < (shared ? 1 : lists.size()); r++) {
      for (const Edit &edit : lists[r]) {
        std::memcpy(&table[4 * at++], &edit, sizeof edit);
      }
      offsets[static_cast<int64_t>(r) + 1] = at;
    }
  }
  static int64_t count_of(const std::vector<std::vector<Edit>> &lists, bool shared) {
    size_t count = 0;
    for (size_t r = 0; r < (shared ? 1 : lists.size()); r++) {
      count += lists[r].size();
    }
    return static_cast<int64_t>(count);
  }
  int64_t count() const { return table.count() / 4; }
  const int32_t *offsets_or_null() const { return shared ? nullptr : offsets.data(); }
};

// `count` edits of distinct features, ascending. One in seven changes nothing. tied: by whole numbers.
std::vector<Edit> some_edits(int64_t count, int64_t features, bool tied) {
  std::map<int32_t, Edit> edits;
  while (static_cast<int64_t>(edits.size()) < std::min(count, features)) {
    const int32_t feature = static_cast<int32_t>(below(features));
    const int32_t op = static_cast<int32_t>(below(5));
    Edit edit{feature, op, testing::uniform(-2, 2), 0};
    edit.y = edit.x + testing::uniform(0, 1);
    if (tied) {
      edit.x = std::round(edit.x);
      edit.y = std::max(edit.x, std::round(edit.y));
    }
    if (below(7) == 0) {
      edit.op = RHUMB_ADD;
      edit.x = 0;
    }
    edits[feature] = edit;
  }
  std::vector<Edit> list;
  for (const auto &entry : edits) {
    list.push_back(entry.second);
  }
  return list;
}

Edits make_edits(int64_t rows, int64_t features, int64_t count, bool shared, bool tied = false) {
  std::vector<std::vector<Edit>> lists;
  const std::vector<Edit> all = some_edits(count, features, tied);
  for (int64_t r = 0; r < rows; r++) {
    lists.push_back(shared ? all : some_edits(below(count + 1), features, tied));
  }
  return {lists, shared};
}

using Activations = std::map<int64_t, float>;  // of a row, by feature; absent: 0

// Holds a written row against the formula; bit for bit against x where nothing changed.
void check_row(const std::string &name, const Activations &before, const Activations &after, int64_t width,
               const float *w_dec, const float *b_dec, const float *x, const float *y, int write) {
  std::map<int64_t, double> factors;
  bool changed = write == RHUMB_REPLACE;
  for (const auto &[f, z] : after) {
    factors[f] += z;
  }
  if (write == RHUMB_DELTA) {
    for (const auto &[f, z] : before) {
      factors[f] -= z;
    }
  }
  for (const auto &entry : factors) {
    changed |= entry.second != 0;
  }
  for (int64_t d = 0; d < width; d++) {
    const double origin = write == RHUMB_DELTA ? x[d] : b_dec[d];
    double sum = 0;
    double magnitude = std::fabs(origin);
    for (const auto &[f, factor] : factors) {
      sum += factor * w_dec[f * width + d];
      magnitude += std::fabs(factor * w_dec[f * width + d]);
    }
    const double error = std::fabs(y[d] - (origin + sum));
    const bool good = changed ? error <= 0x1p-22 * (2 + std::sqrt(static_cast<double>(factors.size()))) * magnitude
                              : std::memcmp(&x[d], &y[d], sizeof(float)) == 0;
    if (!check(good, "%s: column %d is %g, expected %g%s", name.c_str(), static_cast<int>(d), y[d], origin + sum,
               changed ? "" : " bit for bit")) {
      return;
    }
  }
}

struct ListCase {
  int64_t rows, kept, features, width, edits;
  bool shared, in_place;
  int write;
  int64_t slack;  // of the strides
};

void steers_lists(const ListCase &c) {
  const std::string name = "steer_lists rows " + std::to_string(c.rows) + " kept " + std::to_string(c.kept) + " width " +
                           std::to_string(c.width) + " edits " + std::to_string(c.edits) +
                           (c.shared ? " shared" : " by row") + (c.write == RHUMB_DELTA ? " delta" : " replace");
  Array<int32_t> indices(c.rows * c.kept);
  Array<float> values(c.rows * c.kept);
  std::vector<Activations> before(c.rows);
  for (int64_t r = 0; r < c.rows; r++) {
    const int64_t listed = below(3) == 0 ? below(c.kept + 1) : c.kept;
    for (int64_t i = 0; i < c.kept; i++) {
      int32_t feature = static_cast<int32_t>(below(c.features));
      while (i < listed && before[r].count(feature) != 0) {
        feature = (feature + 1) % static_cast<int32_t>(c.features);
      }
      // What follows the end of a list is not read, be it a feature that exists.
      indices[r * c.kept + i] = i == listed ? -1 : feature;
      values[r * c.kept + i] = below(5) == 0 ? 0 : testing::uniform(0, 3);
      if (i < listed) {
        before[r][feature] = values[r * c.kept + i];
      }
    }
  }
  const Edits edits = make_edits(c.rows, c.features, c.edits, c.shared);
  const int64_t stride = c.width + c.slack;
  const Array<float> w_dec = uniforms(c.features * c.width);
  const Array<float> b_dec = uniforms(c.width);
  Array<float> x = uniforms((c.rows - 1) * stride + c.width);
  for (int64_t i = 0; i < x.count(); i += 3) {
    x[i] = -0.0f;
  }
  const Array<float> was = x;
  Array<float> y = uniforms((c.rows - 1) * stride + c.width);
  float *to = c.in_place ? x.data() : y.data();
  Faults faults;
  const int status = rhumb_steer_lists(c.rows, c.kept, c.features, c.width, indices.data(), values.data(), w_dec.data(),
                                       b_dec.data(), x.data(), stride, edits.count(), edits.table.data(),
                                       edits.offsets_or_null(), RHUMB_POST_SELECT, c.write, to, stride, faults.data(),
                                       nullptr);
  if (!check(status == RHUMB_OK, "%s: %s", name.c_str(), rhumb_last_error())) {
    return;
  }
  check(faults.none(), "%s: a fault", name.c_str());
  for (int64_t r = 0; r < c.rows; r++) {
    Activations after = before[r];
    for (const Edit &edit : edits.of_row[r]) {
      after[edit.feature] = edit.apply(before[r].count(edit.feature) != 0 ? before[r][edit.feature] : 0);
    }
    check_row(name, before[r], after, c.width, w_dec.data(), b_dec.data(), was.data() + r * stride, to + r * stride,
              c.write);
  }
}

void lists() {
  for (int write : {RHUMB_DELTA, RHUMB_REPLACE}) {
    for (int64_t width : {1, 4, 7, 8, 12, 16, 31, 32, 60, 64, 68, 128, 132, 260}) {
      steers_lists({5, 8, 40, width, 4, true, false, write, 0});
      steers_lists({5, 8, 40, width, 4, true, true, write, 1});
    }
    for (int64_t rows : {1, 2, 31, 32, 33}) {
      steers_lists({rows, 32, 100, 64, 4, true, false, write, 4});
      steers_lists({rows, 9, 100, 30, 12, false, true, write, 0});
    }
    for (int64_t kept : {1, 31, 32, 33, 64, 65, 200}) {
      steers_lists({9, kept, 300, 8, 5, true, false, write, 0});
      steers_lists({9, kept, 300, 64, 40, false, false, write, 0});
    }
    for (int64_t edits : {0, 1, 31, 32, 33, 64, 65, 150}) {
      steers_lists({9, 20, 150, 20, edits, true, true, write, 0});
      steers_lists({9, 20, 150, 20, edits, false, false, write, 3});
    }
  }
}

struct ListCall {
  Array<int32_t> indices, edits;
  Array<float> values, w_dec, b_dec, x, y;
  Faults faults;
  int64_t width = 8;

  ListCall() : indices(4), edits(4, 0), values(4, 1), w_dec(10 * 8, 1), b_dec(8, 1), x(2 * 8, 1), y(2 * 8, 9) {
    for (int i = 0; i < 4; i++) {
      indices[i] = 2 * i;
    }
    edit(2, RHUMB_ADD, 1);
  }
  void edit(int32_t feature, int32_t op, float operand) {
    edits[0] = feature;
    edits[1] = op;
    std::memcpy(&edits[2], &operand, sizeof operand);
  }
  int run(int stage, int write) {
    return rhumb_steer_lists(2, 2, 10, width, indices.data(), values.data(), w_dec.data(), b_dec.data(), x.data(), 8, 1,
                             edits.data(), nullptr, stage, write, y.data(), 8, faults.data(), nullptr);
  }
};

void list_faults() {
  for (int write : {RHUMB_DELTA, RHUMB_REPLACE}) {
    ListCall nan;
    nan.values[3] = INFINITY;
    nan.edit(6, RHUMB_SCALE, 0);
    check(nan.run(RHUMB_POST_SELECT, write) == RHUMB_OK, "%s", rhumb_last_error());
    check(nan.faults.is(RHUMB_FAULT_EDIT_NAN, 1, 6), "an edit that gives NaN is told");
    ListCall index;
    index.indices[2] = 10;
    index.run(RHUMB_POST_SELECT, write);
    check(index.faults.is(RHUMB_FAULT_LIST_INDEX, 1, 10), "an index beyond the features is told");
    ListCall edit;
    edit.edit(10, RHUMB_SET, 3);
    edit.run(RHUMB_POST_SELECT, write);
    check(edit.faults.is(RHUMB_FAULT_LIST_INDEX, 0, 10), "an edit beyond the features is told");
    edit.edit(-1, RHUMB_SET, 3);
    edit.indices[1] = -1;
    edit.run(RHUMB_POST_SELECT, write);
    check(!edit.faults.none(), "so is a negative one");
  }
  ListCall call;
  check(call.run(RHUMB_PRE_SELECT, RHUMB_DELTA) == RHUMB_INVALID_ARGUMENT, "lists have no scores to edit");
  check(call.run(2, RHUMB_DELTA) == RHUMB_INVALID_ARGUMENT, "a stage that does not exist is refused");
  check(call.run(RHUMB_POST_SELECT, 2) == RHUMB_INVALID_ARGUMENT, "a write that does not exist is refused");
  call.width = 1 << 20;
  check(call.run(RHUMB_POST_SELECT, RHUMB_REPLACE) == RHUMB_INVALID_ARGUMENT, "too wide a row is refused");
  check(call.y[0] == 9, "nothing was done");
}

// An autoencoder, packed.
struct Dictionary {
  int64_t features, width;
  Array<float> w_enc, b_enc, w_dec, b_dec, threshold, gain, offset;
  Array<unsigned char> encoder;

  // The first `raised` features come before all others.
  Dictionary(int64_t features, int64_t width, bool tied, int64_t raised = 0)
      : features(features),
        width(width),
        w_enc(uniforms(features * width)),
        b_enc(uniforms(features)),
        w_dec(uniforms(features * width)),
        b_dec(uniforms(width)),
        threshold(uniforms(features)),
        gain(uniforms(features, 0.5, 2)),
        offset(uniforms(features)),
        encoder(rhumb_encoder_bytes(features, width)) {
    if (tied) {  // scores in small whole numbers tie
      for (int64_t i = 0; i < w_enc.count(); i++) {
        w_enc[i] = static_cast<float>(below(3) - 1);
      }
      for (int64_t i = 0; i < features; i++) {
        b_enc[i] = static_cast<float>(below(3) - 1);
      }
      for (int64_t d = 0; d < width; d++) {
        b_dec[d] = static_cast<float>(below(3) - 1);
      }
    }
    for (int64_t f = 0; f < raised; f++) {
      b_enc[f] += 100;
    }
    Faults faults;
    check(rhumb_pack(encoder.data(), features, width, features, w_enc.data(), b_enc.data(), b_dec.data(), nullptr,
                     features, faults.data(), nullptr) == RHUMB_OK,
          "pack: %s", rhumb_last_error());
  }

  std::vector<float> scores(const float *x) const {
    std::vector<float> all(features);
    for (int64_t f = 0; f < features; f++) {
      all[f] = b_enc[f];
      for (int64_t d = 0; d < width; d++) {
        all[f] = std::fma(x[d] - b_dec[d], w_enc[f * width + d], all[f]);
      }
    }
    return all;
  }

  float activation(int64_t f, float score) const {
    return score > threshold[f] ? std::max(std::fma(gain[f], score, offset[f]), 0.0f) : 0;
  }
};

std::vector<int32_t> best(const std::vector<float> &scores, int64_t kept) {
  std::vector<int32_t> order(scores.size());
  for (size_t i = 0; i < order.size(); i++) {
    order[i] = static_cast<int32_t>(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
  order.resize(kept);
  return order;
}

Activations selected(const std::vector<float> &scores, int64_t kept) {
  Activations z;
  for (int32_t f : best(scores, kept)) {
    z[f] = std::max(scores[f], 0.0f);
  }
  return z;
}

struct SteerCase {
  int64_t rows, width, features, kept, edits;
  bool shared, in_place, tied;
  int stage, write;
  int64_t evicted = 0;  // so many features come first in every row, and edits put them last
};

std::string name_of(const char *call, const SteerCase &c) {
  return std::string(call) + " rows " + std::to_string(c.rows) + " width " + std::to_string(c.width) + " features " +
         std::to_string(c.features) + " kept " + std::to_string(c.kept) + " edits " + std::to_string(c.edits) +
         (c.shared ? " shared" : " by row") + (c.tied ? " tied" : "") +
         (c.stage == RHUMB_PRE_SELECT ? " pre" : " post") + (c.write == RHUMB_DELTA ? " delta" : " replace");
}

void steers(const SteerCase &c, bool above) {
  const std::string name = name_of(above ? "steer_above" : "steer", c);
  const Dictionary dictionary(c.features, c.width, c.tied, c.evicted);
  std::vector<Edit> evictions;
  for (int32_t f = 0; f < c.evicted; f++) {
    evictions.push_back({f, RHUMB_SET, -100, 0});
  }
  const Edits edits = c.evicted > 0
                          ? Edits(std::vector<std::vector<Edit>>(c.rows, evictions), c.shared)
                          : make_edits(c.rows, c.features, c.edits, c.shared, c.tied);
  const int64_t stride = c.width + c.rows % 3;
  Array<float> x = uniforms((c.rows - 1) * stride + c.width);
  for (int64_t i = 0; i < x.count(); i++) {
    x[i] = c.tied ? static_cast<float>(below(5) - 2) : i % 5 == 0 ? -0.0f : x[i];
  }
  const Array<float> was = x;
  Array<float> y(x.count());
  float *to = c.in_place ? x.data() : y.data();
  const int64_t listed = above ? c.features : c.kept;
  Array<int32_t> indices(c.rows * listed, -7);
  Array<float> values(c.rows * listed, -7);
  Faults faults;
  int status;
  if (above) {
    status = rhumb_steer_above(dictionary.encoder.data(), c.features, c.width, c.features, dictionary.threshold.data(),
                               dictionary.gain.data(), dictionary.offset.data(), dictionary.w_dec.data(),
                               dictionary.b_dec.data(), c.rows, x.data(), stride, edits.count(), edits.table.data(),
                               edits.offsets_or_null(), c.stage, c.write, to, stride, indices.data(), values.data(),
                               faults.data(), nullptr);
  } else {
    const int64_t bytes = rhumb_steer_scratch(c.features, c.width, c.features, c.rows, c.kept, edits.count());
    Array<unsigned char> scratch(bytes, 0xA5);
    status = rhumb_steer(dictionary.encoder.data(), c.features, c.width, c.features, dictionary.w_dec.data(),
                         dictionary.b_dec.data(), c.rows, c.kept, RHUMB_EXACT, x.data(), stride, edits.count(),
                         edits.table.data(), edits.offsets_or_null(), c.stage, c.write, to, stride, indices.data(),
                         values.data(), scratch.data(), bytes, faults.data(), nullptr);
  }
  if (!check(status == RHUMB_OK, "%s: %s", name.c_str(), rhumb_last_error())) {
    return;
  }
  check(faults.none(), "%s: a fault", name.c_str());
  for (int64_t r = 0; r < c.rows; r++) {
    std::vector<float> scores = dictionary.scores(was.data() + r * stride);
    Activations before;
    Activations after;
    int64_t at = r * listed;
    if (above) {
      for (int64_t f = 0; f < c.features; f++) {
        if (scores[f] > dictionary.threshold[f]) {
          before[f] = dictionary.activation(f, scores[f]);
          check(indices[at] == f && values[at] == before[f], "%s: the list of row %d", name.c_str(), static_cast<int>(r));
          at++;
        }
      }
      after = before;
    } else {
      for (int32_t f : best(scores, c.kept)) {
        check(indices[at] == f && values[at] == std::max(scores[f], 0.0f), "%s: the list of row %d", name.c_str(),
              static_cast<int>(r));
        at++;
      }
      before = after = selected(scores, c.kept);
    }
    for (const Edit &edit : edits.of_row[r]) {
      const int32_t f = edit.feature;
      if (c.stage == RHUMB_POST_SELECT) {
        after[f] = edit.apply(before.count(f) != 0 ? before[f] : 0);
      } else {
        scores[f] = edit.apply(scores[f]);
        after[f] = dictionary.activation(f, scores[f]);
      }
    }
    if (!above && c.stage == RHUMB_PRE_SELECT) {
      after = selected(scores, c.kept);
    }
    check_row(name, before, after, c.width, dictionary.w_dec.data(), dictionary.b_dec.data(), was.data() + r * stride,
              to + r * stride, c.write);
  }
}

void whole_calls() {
  int salt = 0;
  for (int stage : {RHUMB_PRE_SELECT, RHUMB_POST_SELECT}) {
    for (int write : {RHUMB_DELTA, RHUMB_REPLACE}) {
      for (bool above : {false, true}) {
        auto steer = [&](int64_t rows, int64_t width, int64_t features, int64_t kept, int64_t edits) {
          salt++;
          steers({rows, width, features, kept, edits, salt % 2 == 0, salt % 3 == 0, salt % 5 < 2, stage, write}, above);
        };
        for (int64_t width : {1, 7, 8, 31, 64, 65, 130}) {
          steer(3, width, 70, 8, 6);
        }
        for (int64_t features : {1, 2, 31, 33, 129}) {
          steer(3, 11, features, std::min<int64_t>(features, 5), 6);
          steer(3, 11, features, features, 6);
        }
        for (int64_t edits : {0, 1, 5, 30, 63, 64, 65, 70}) {
          for (int twice = 0; twice < 2; twice++) {
            steer(4, 5, 70, 6, edits);
          }
        }
        steer(20, 21, 530, 16, 6);
        steer(20, 21, 530, 16, 6);
      }
    }
  }
  // More edits than a row's selection is made for from its best features.
  for (int write : {RHUMB_DELTA, RHUMB_REPLACE}) {
    for (bool tied : {false, true}) {
      steers({2, 5, 400, 7, 256, true, false, tied, RHUMB_PRE_SELECT, write}, false);
      steers({2, 5, 400, 7, 257, true, true, tied, RHUMB_PRE_SELECT, write}, false);
      steers({2, 5, 400, 7, 400, true, false, tied, RHUMB_PRE_SELECT, write}, false);
      steers({3, 5, 400, 7, 200, false, false, tied, RHUMB_PRE_SELECT, write}, false);
      steers({3, 5, 400, 390, 200, false, false, tied, RHUMB_PRE_SELECT, write}, false);
      for (bool shared : {false, true}) {
        for (int64_t evicted : {1, 64, 65, 150, 256, 257, 399}) {
          steers({2, 5, 400, 7, evicted, shared, false, tied, RHUMB_PRE_SELECT, write, evicted}, false);
        }
      }
    }
  }
}

// The vector of an autoencoder worked out by hand: feature 0 set to 3.
void worked_example() {
  const float w_dec[] = {.5, .5, .5, .5, .5, -.5, .5, -.5, 1, 0, 0, 0, 0, 0, -1, 0, .5, .5, -.5, -.5, 0, 0, 0, 1};
  float w_enc[24];
  std::copy(w_dec, w_dec + 24, w_enc);
  w_enc[0] += .125f;
  w_enc[1 * 4 + 3] += .125f;
  w_enc[2 * 4 + 1] -= .125f;
  w_enc[4 * 4 + 1] += .125f;
  const float b_enc[] = {0, .125, 0, 0, -.25, 0};
  const float b_dec[] = {.25, -.5, .5, 0};
  const float x[] = {1, 2, -1, .5, 0, -1, 3, 1, 2, .5, 0, -2};
  const float expected[2][12] = {
      {2.5, 3.5, .5, 2, .828125, -.171875, 3.828125, 1.828125, 3.5, 2, 1.5, -.5},
      {2.84375, 2.09375, -.59375, .40625, 2.3125, .4375, 2.5625, .9375, 4.625, 2.25, .75, .25}};
  Faults faults;
  Array<unsigned char> encoder(rhumb_encoder_bytes(6, 4));
  rhumb_pack(encoder.data(), 6, 4, 6, w_enc, b_enc, b_dec, nullptr, 6, faults.data(), nullptr);
  const float three = 3;
  int32_t edit[4] = {0, RHUMB_SET, 0, 0};
  std::memcpy(&edit[2], &three, sizeof three);
  for (int write : {RHUMB_DELTA, RHUMB_REPLACE}) {
    const int64_t bytes = rhumb_steer_scratch(6, 4, 6, 3, 2, 1);
    Array<unsigned char> scratch(bytes);
    float y[12];
    int32_t indices[6];
    float values[6];
    check(rhumb_steer(encoder.data(), 6, 4, 6, w_dec, b_dec, 3, 2, RHUMB_EXACT, x, 4, 1, edit, nullptr,
                      RHUMB_POST_SELECT, write, y, 4, indices, values, scratch.data(), bytes, faults.data(),
                      nullptr) == RHUMB_OK,
          "%s", rhumb_last_error());
    for (int i = 0; i < 12; i++) {
      check(y[i] == expected[write][i], "worked example, write %d: [%d] is %g, expected %g", write, i, y[i],
            expected[write][i]);
    }
  }
}

void faults_and_refusals() {
  const Dictionary dictionary(40, 6, false);
  for (int stage : {RHUMB_PRE_SELECT, RHUMB_POST_SELECT}) {
    Array<float> x = uniforms(3 * 6);
    Array<float> y(3 * 6, 9);
    Array<int32_t> indices(3 * 40);
    Array<float> values(3 * 40);
    const int64_t bytes = rhumb_steer_scratch(40, 6, 40, 3, 4, 1);
    Array<unsigned char> scratch(bytes);
    int32_t edit[4] = {7, RHUMB_SET, 0, 0};
    const float nan = NAN;
    std::memcpy(&edit[2], &nan, sizeof nan);
    auto run = [&](Faults &faults, int64_t short_by) {
      return rhumb_steer(dictionary.encoder.data(), 40, 6, 40, dictionary.w_dec.data(), dictionary.b_dec.data(), 3, 4,
                         RHUMB_EXACT, x.data(), 6, 1, edit, nullptr, stage, RHUMB_DELTA, y.data(), 6, indices.data(),
                         values.data(), scratch.data(), bytes - short_by, faults.data(), nullptr);
    };
    Faults none;
    check(run(none, 1) == RHUMB_INVALID_ARGUMENT && y[0] == 9, "too little scratch is refused");
    Faults faults;
    check(run(faults, 0) == RHUMB_OK && faults.is(RHUMB_FAULT_EDIT_NAN, 0, 7), "an edit that gives NaN is told");
    Faults above;
    check(rhumb_steer_above(dictionary.encoder.data(), 40, 6, 40, dictionary.threshold.data(), dictionary.gain.data(),
                            dictionary.offset.data(), dictionary.w_dec.data(), dictionary.b_dec.data(), 3, x.data(), 6,
                            1, edit, nullptr, stage, RHUMB_DELTA, y.data(), 6, indices.data(), values.data(),
                            above.data(), nullptr) == RHUMB_OK &&
              above.is(RHUMB_FAULT_EDIT_NAN, 0, 7),
          "so it is by thresholds");
    edit[0] = 40;
    Faults beyond;
    run(beyond, 0);
    check(beyond.is(RHUMB_FAULT_LIST_INDEX, 0, 40), "an edit beyond the features is told");
    edit[0] = 3;
    x[6] = NAN;
    Faults score;
    run(score, 0);
    check(score.slots[RHUMB_FAULT_ENCODE_NAN] >> 32 == 1, "a score that is NaN is told by its row");
  }
}

}  // namespace

int main() {
  lists();
  list_faults();
  whole_calls();
  worked_example();
  faults_and_refusals();
  return testing::finish("steer");
}
