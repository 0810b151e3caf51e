// What the tests of encoders share: dictionaries, inputs, and the encode in plain loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "testing.h"

namespace testing {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A dictionary and what of it is packed.
struct Sae {
  int64_t width;
  int64_t features;
  Array<float> w_enc;
  Array<float> b_enc;
  Array<float> b_dec;
  std::vector<int32_t> subset;  // empty: all

  Sae(int64_t width, int64_t features)
      : width(width),
        features(features),
        w_enc(uniforms(features * width)),
        b_enc(uniforms(features, -0.1f, 0.1f)),
        b_dec(uniforms(width, -0.1f, 0.1f)) {}

  int64_t held() const { return subset.empty() ? features : static_cast<int64_t>(subset.size()); }
  int32_t name(int64_t place) const { return subset.empty() ? static_cast<int32_t>(place) : subset[place]; }
};

struct Packed {
  int64_t capacity;
  Array<unsigned char> memory;
  Faults faults;

  explicit Packed(const Sae &sae, int64_t spare = 0)
      : capacity(sae.held() + spare), memory(rhumb_encoder_bytes(capacity, sae.width), 0xff) {
    Array<int32_t> subset(sae.held());
    std::copy(sae.subset.begin(), sae.subset.end(), subset.data());
    check(rhumb_pack(memory.data(), capacity, sae.width, sae.features, sae.w_enc.data(), sae.b_enc.data(),
                     sae.b_dec.data(), sae.subset.empty() ? nullptr : subset.data(), sae.held(), faults.data(),
                     nullptr) == RHUMB_OK,
          "pack: %s", rhumb_last_error());
  }
};

struct Entry {
  float score;
  int32_t place;
  bool operator<(const Entry &other) const {
    return score != other.score ? score > other.score : place < other.place;
  }
};

inline std::vector<Entry> scores(const Sae &sae, const float *x, bool rounded) {
  std::vector<float> centred(sae.width);
  for (int64_t d = 0; d < sae.width; d++) {
    centred[d] = x[d] - sae.b_dec[d];
    centred[d] = rounded ? to_bf16(centred[d]) : centred[d];
  }
  std::vector<Entry> entries(sae.held());
  for (int64_t i = 0; i < sae.held(); i++) {
    const float *w = sae.w_enc.data() + sae.name(i) * sae.width;
    float acc = sae.b_enc[sae.name(i)];
    for (int64_t d = 0; d < sae.width; d++) {
      acc = fmaf(centred[d], rounded ? to_bf16(w[d]) : w[d], acc);
    }
    entries[i] = {acc, static_cast<int32_t>(i)};
  }
  return entries;
}

struct Input {
  int64_t rows;
  int64_t stride;
  Array<float> x;

  Input(int64_t rows, int64_t width, int64_t spare = 0)
      : rows(rows), stride(width + spare), x(uniforms(rows == 0 ? 0 : (rows - 1) * stride + width)) {}
  float *row(int64_t r) { return x.data() + r * stride; }
  const float *row(int64_t r) const { return x.data() + r * stride; }
};

struct Encoded {
  Array<int32_t> indices;
  Array<float> values;
  Faults faults;

  Encoded(const Sae &sae, const Packed &packed, const Input &in, int64_t kept, int selection = RHUMB_EXACT,
          bool rectify = true)
      : indices(in.rows * kept, -7), values(in.rows * kept, kNan) {
    const int64_t bytes = rhumb_encode_top_k_scratch(packed.capacity, sae.width, sae.held(), in.rows, kept);
    Array<unsigned char> scratch(bytes, 0xff);
    check(rhumb_encode_top_k(packed.memory.data(), packed.capacity, sae.width, sae.held(), in.rows, kept, selection,
                             rectify, in.x.data(), in.stride, indices.data(), values.data(), scratch.data(), bytes,
                             faults.data(), nullptr) == RHUMB_OK,
          "encode: %s", rhumb_last_error());
  }
};

inline float rectified(float z) { return z <= 0 ? 0 : z; }

// The lists of the exact encode of every row, bit for bit.
inline void compare(const char *what, const Sae &sae, const Input &in, int64_t kept, bool rectify,
                    const Array<int32_t> &indices, const Array<float> &values) {
  for (int64_t r = 0; r < in.rows; r++) {
    std::vector<Entry> best = scores(sae, in.row(r), false);
    std::partial_sort(best.begin(), best.begin() + kept, best.end());
    for (int64_t k = 0; k < kept; k++) {
      const int32_t index = indices[r * kept + k];
      const float value = values[r * kept + k];
      const float expected = rectify ? rectified(best[k].score) : best[k].score;
      if (!check(index == sae.name(best[k].place) && value == expected,
                 "%s: D %lld, F %lld, B %lld, K %lld: row %lld, place %lld: feature %d, %g; expected %d, %g", what,
                 static_cast<long long>(sae.width), static_cast<long long>(sae.held()), static_cast<long long>(in.rows),
                 static_cast<long long>(kept), static_cast<long long>(r), static_cast<long long>(k), index, value,
                 sae.name(best[k].place), expected)) {
        return;
      }
    }
  }
}

inline void encodes(const char *what, const Sae &sae, const Packed &packed, const Input &in, int64_t kept,
                    bool rectify = true) {
  check(packed.faults.none(), "%s: faults in pack", what);
  const Encoded encoded(sae, packed, in, kept, RHUMB_EXACT, rectify);
  check(encoded.faults.none(), "%s: faults", what);
  compare(what, sae, in, kept, rectify, encoded.indices, encoded.values);
}

inline void encodes(const char *what, const Sae &sae, const Input &in, int64_t kept) {
  encodes(what, sae, Packed(sae), in, kept);
}

// The K greatest by the scores of bf16 operands, which the encode itself tells: near those of a plain loop, in order, and
// nothing left out that is clearly greater.
inline void encodes_bf16(const char *what, const Sae &sae, const Input &in, int64_t kept) {
  const Encoded encoded(sae, Packed(sae), in, kept, RHUMB_EXACT_BF16, false);
  check(encoded.faults.none(), "%s: faults", what);
  for (int64_t r = 0; r < in.rows; r++) {
    const std::vector<Entry> all = scores(sae, in.row(r), true);
    std::vector<bool> taken(sae.held());
    float scale = 0;
    for (const Entry &entry : all) {
      scale = std::max(scale, std::fabs(entry.score));
    }
    const float slack = 1e-5f * (scale + static_cast<float>(sae.width));
    Entry last{kInfinity, -1};
    bool good = true;
    for (int64_t k = 0; k < kept; k++) {
      const Entry entry{encoded.values[r * kept + k], encoded.indices[r * kept + k]};
      good = good && entry.place >= 0 && entry.place < sae.held() && !taken[entry.place] && last < entry &&
             std::fabs(entry.score - all[entry.place].score) <= slack;
      if (!good) {
        break;
      }
      taken[entry.place] = true;
      last = entry;
    }
    for (int64_t f = 0; good && f < sae.held(); f++) {
      good = taken[f] || all[f].score <= last.score + slack;
    }
    if (!check(good, "%s: D %lld, F %lld, K %lld: row %lld", what, static_cast<long long>(sae.width),
               static_cast<long long>(sae.held()), static_cast<long long>(kept), static_cast<long long>(r))) {
      return;
    }
  }
}

}  // namespace testing
