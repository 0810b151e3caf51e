// Packing, the TopK encode by exact chains and the encode by thresholds against plain loops: the same bits.
#include "encoding.h"

namespace {

using testing::Array;
using testing::check;
using testing::Encoded;
using testing::encodes;
using testing::encodes_bf16;
using testing::Entry;
using testing::Faults;
using testing::Input;
using testing::kInfinity;
using testing::kNan;
using testing::Packed;
using testing::rectified;
using testing::Sae;
using testing::scores;
using testing::uniforms;

void lists_above(const Sae &sae, const Input &in) {
  const Packed packed(sae);
  const int64_t features = sae.features;
  const Array<float> threshold = uniforms(features, -1, 2);
  const Array<float> gain = uniforms(features);
  const Array<float> offset = uniforms(features);
  Array<int32_t> indices(in.rows * features, -7);
  Array<float> values(in.rows * features, -7);
  Faults faults;
  check(rhumb_encode_above(packed.memory.data(), packed.capacity, sae.width, features, threshold.data(), gain.data(),
                           offset.data(), in.rows, in.x.data(), in.stride, indices.data(), values.data(), faults.data(),
                           nullptr) == RHUMB_OK &&
            faults.none(),
        "encode_above: %s", rhumb_last_error());
  for (int64_t r = 0; r < in.rows; r++) {
    const std::vector<Entry> all = scores(sae, in.row(r), false);
    int64_t at = r * features;
    bool good = true;
    for (int64_t f = 0; f < features; f++) {
      if (all[f].score > threshold[f]) {
        good = good && indices[at] == f && values[at] == rectified(fmaf(gain[f], all[f].score, offset[f]));
        at++;
      }
    }
    for (int64_t i = at; i < (r + 1) * features; i++) {
      good = good && indices[i] == (i == at ? -1 : -7) && values[i] == -7;
    }
    check(good, "encode_above: D %lld, F %lld, B %lld: row %lld", static_cast<long long>(sae.width),
          static_cast<long long>(features), static_cast<long long>(in.rows), static_cast<long long>(r));
  }
}

void refuses() {
  const Sae sae(8, 40);
  const Packed packed(sae);
  const Input in(2, 8);
  Array<int32_t> indices(80);
  Array<float> values(80);
  Array<unsigned char> scratch(rhumb_encode_top_k_scratch(40, 8, 40, 2, 4));
  Faults faults;
  const auto encode = [&](int64_t features, int64_t rows, int64_t kept, int selection, const float *x, int64_t bytes) {
    return rhumb_encode_top_k(packed.memory.data(), 40, 8, features, rows, kept, selection, 1, x, 8, indices.data(),
                              values.data(), scratch.data(), bytes, faults.data(), nullptr);
  };
  const int64_t bytes = scratch.count();
  const float *x = in.x.data();
  check(encode(40, 2, 4, RHUMB_EXACT, x, bytes) == RHUMB_OK, "good arguments: %s", rhumb_last_error());
  check(encode(40, 0, 4, RHUMB_EXACT, nullptr, 0) == RHUMB_OK, "no rows");
  check(encode(41, 2, 4, RHUMB_EXACT, x, bytes) == RHUMB_INVALID_ARGUMENT, "more features than the capacity");
  check(encode(40, 2, 41, RHUMB_EXACT, x, bytes) == RHUMB_INVALID_ARGUMENT, "K above F");
  check(encode(40, 2, 0, RHUMB_EXACT, x, bytes) == RHUMB_INVALID_ARGUMENT, "K 0");
  check(encode(40, -1, 4, RHUMB_EXACT, x, bytes) == RHUMB_INVALID_ARGUMENT, "rows -1");
  check(encode(40, 2, 4, 2, x, bytes) == RHUMB_INVALID_ARGUMENT, "no such selection");
  check(encode(40, 2, 4, RHUMB_EXACT, nullptr, bytes) == RHUMB_INVALID_ARGUMENT, "x NULL");
  check(bytes == 0 || encode(40, 2, 4, RHUMB_EXACT, x, bytes - 1) == RHUMB_INVALID_ARGUMENT, "scratch too short");
}

void finds_faults() {
  Sae sae(5, 100);
  sae.subset = {3, 7, 8, 50, 99};
  const auto fault = [](const Sae &bad) {
    const Packed packed(bad);
    return packed.faults;
  };
  check(fault(sae).none(), "a good subset");
  sae.subset = {3, 7, 7, 50, 99};
  check(fault(sae).is(RHUMB_FAULT_SUBSET, 2, 7), "a subset that repeats");
  sae.subset = {3, 7, 8, 50, 100};
  check(fault(sae).is(RHUMB_FAULT_SUBSET, 4, 100), "a subset beyond the features");
  sae.subset = {-1, 7};
  check(fault(sae).is(RHUMB_FAULT_SUBSET, 0, 0xffffffffu), "a subset below 0");
  sae.subset = {3, 7, 8};
  sae.w_enc[7 * 5 + 4] = -kInfinity;
  check(fault(sae).is(RHUMB_FAULT_WEIGHT, 7, 0xff800000u), "an infinite weight");
  sae.b_enc[3] = kInfinity;
  check(fault(sae).is(RHUMB_FAULT_WEIGHT, 3, 0x7f800000u), "an infinite bias");
  sae.subset = {8, 9};
  check(fault(sae).none(), "the bad weights are not taken");
}

// Rows whose scores are NaN, by themselves or by infinities and overflows that meet, among others.
void finds_nan(int64_t rows, int64_t width, int64_t features, int64_t kept) {
  Sae sae(width, features);
  sae.subset.resize(features - 1);
  for (int64_t i = 0; i < features - 1; i++) {
    sae.subset[i] = static_cast<int32_t>(i + 1);
  }
  const Packed packed(sae);
  for (float bad : {kNan, kInfinity}) {
    Input in(rows, width);
    in.row(rows - 1)[width - 1] = kNan;
    in.row(rows / 2)[0] = bad;
    sae.w_enc[4 * width] = 0;  // 0 times infinity
    sae.b_enc[4] = 0;
    const Packed fresh(sae);
    const Encoded encoded(sae, fresh, in, kept);
    int32_t first = -1;
    for (const Entry &entry : scores(sae, in.row(rows / 2), false)) {
      if (entry.score != entry.score) {
        first = sae.name(entry.place);
        break;
      }
    }
    check(first >= 0 && encoded.faults.is(RHUMB_FAULT_ENCODE_NAN, rows / 2, static_cast<uint32_t>(first)),
          "NaN: row %lld, feature %d expected, slot %llx", static_cast<long long>(rows / 2), first,
          static_cast<unsigned long long>(encoded.faults.slots[RHUMB_FAULT_ENCODE_NAN]));
  }
}

}  // namespace

int main() {
  // Both sides of a chunk, a panel, a turn of the block, a part; K of 1, F and between.
  for (int64_t width : {1, 3, 7, 8, 9, 33, 64, 130}) {
    for (int64_t features : {1, 31, 32, 33, 127, 128, 129, 300, 1031}) {
      if ((features > 33 && width != 33 && width != 9) || (features > 300 && width != 33)) {
        continue;
      }
      const Sae sae(width, features);
      for (int64_t rows : {1, 2, 5}) {
        for (int64_t kept : {int64_t{1}, int64_t{8}, features / 2, features}) {
          if (kept >= 1 && kept <= features) {
            encodes("encode", sae, Input(rows, width, 3), kept);
          }
        }
      }
      lists_above(sae, Input(1, width));
      lists_above(sae, Input(6, width, 1));
    }
  }
  for (int64_t width : {1023, 1024, 1025, 2500}) {  // wider than what is staged
    const Sae sae(width, 70);
    encodes("wide", sae, Input(3, width), 9);
    lists_above(sae, Input(3, width));
  }
  {
    const Sae sae(5, 2100);  // sorted whole
    encodes("sorted", sae, Input(3, 5), 1500);
    encodes("sorted", sae, Input(1, 5), 2100);
    encodes("many", sae, Input(2, 5), 1024);
    encodes("scores", sae, Packed(sae, 77), Input(7, 5), 40, false);
  }
  {
    Sae sae(16, 700);
    for (int32_t f = 1; f < 700; f += 1 + f % 3) {
      sae.subset.push_back(f);
    }
    encodes("subset", sae, Packed(sae, 1000), Input(9, 16), 20);
    sae.subset.clear();
    for (int64_t i = 0; i < sae.w_enc.count(); i++) {
      sae.w_enc[i] = 0;
    }
    for (int64_t f = 0; f < 700; f++) {
      sae.b_enc[f] = f % 2 == 0 ? 0.0f : -0.0f;
    }
    encodes("all equal", sae, Input(3, 16), 33);
    for (int64_t f = 0; f < 700; f++) {
      sae.b_enc[f] = static_cast<float>(f * 7 % 11);
    }
    encodes("ties", sae, Input(3, 16), 133);
    encodes_bf16("bf16 ties", sae, Input(3, 16), 133);
  }
  for (float scale : {1e-38f, 1e-22f, 1e18f, 1e30f}) {
    Sae sae(12, 200);
    for (int64_t i = 0; i < sae.w_enc.count(); i++) {
      sae.w_enc[i] *= scale;
    }
    encodes("scaled", sae, Input(4, 12), 20);
  }
  encodes_bf16("bf16", Sae(40, 500), Input(5, 40), 16);
  encodes_bf16("bf16", Sae(40, 1500), Input(1, 40), 1100);
  finds_nan(1, 9, 300, 5);
  finds_nan(7, 9, 300, 299);
  refuses();
  finds_faults();
  return testing::finish("encode_test");
}
