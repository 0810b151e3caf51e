// The TopK encode on tensor cores against plain loops, by mma.sync and by wgmma, under both models of how these sum: the same
// bits, whatever makes a certificate hard to have; and which rows have none.
#include "certified.h"

#include "encoding.h"
#include "rhumb_host.h"

namespace {

using testing::Array;
using testing::below;
using testing::check;
using testing::Encoded;
using testing::encodes;
using testing::encodes_bf16;
using testing::Entry;
using testing::Input;
using testing::kInfinity;
using testing::kNan;
using testing::Packed;
using testing::Sae;
using testing::uniform;
using testing::uniforms;

// What the path leaves by itself, without the rows that have no certificate.
struct Certified {
  Array<int32_t> indices;
  Array<float> values;
  int64_t left;

  Certified(const Sae &sae, const Input &in, int64_t kept, int selection)
      : indices(in.rows * kept, -7), values(in.rows * kept, kNan) {
    const Packed packed(sae);
    check(packed.faults.none(), "faults in pack");
    check(rhumb::certifies(sae.width, sae.held(), in.rows, kept), "the shape is not for this path: D %lld, F %lld",
          static_cast<long long>(sae.width), static_cast<long long>(sae.held()));
    Array<unsigned char> scratch(rhumb::certified_scratch(sae.width, sae.held(), in.rows, kept), 0xff);
    rhumb::LeftRows rows{};
    const rhumb::Encoder e =
        rhumb::encoder_layout(packed.memory.data(), packed.capacity, sae.width, sae.held()).encoder;
    check(rhumb::encode_certified(
              "test", e, {in.rows, kept, selection, true, in.x.data(), in.stride, indices.data(), values.data()},
              scratch.data(), nullptr, &rows) == RHUMB_OK,
          "encode_certified: %s", rhumb_last_error());
    left = *rows.count;
    std::vector<bool> seen(in.rows);
    for (int32_t i = 0; i < left; i++) {
      check(rows.rows[i] >= 0 && rows.rows[i] < in.rows && !seen[rows.rows[i]], "left row %d", rows.rows[i]);
      seen[rows.rows[i]] = true;
    }
  }
};

// All rows but `left` must have a certificate.
void certified(const char *what, const Sae &sae, const Input &in, int64_t kept, int64_t left = 0) {
  const Certified found(sae, in, kept, RHUMB_EXACT);
  check(found.left == left, "%s: D %lld, F %lld, K %lld: %lld rows without a certificate, %lld expected", what,
        static_cast<long long>(sae.width), static_cast<long long>(sae.held()), static_cast<long long>(kept),
        static_cast<long long>(found.left), static_cast<long long>(left));
  if (found.left == 0) {
    compare(what, sae, in, kept, true, found.indices, found.values);
  } else {
    encodes(what, sae, in, kept);
  }
}

// The model "nearest" adds the products one after another, so that a plain loop has its bits.
void encodes_bf16_bits(const char *what, const Sae &sae, const Input &in, int64_t kept) {
  const Encoded encoded(sae, Packed(sae), in, kept, RHUMB_EXACT_BF16, false);
  for (int64_t r = 0; r < in.rows; r++) {
    std::vector<Entry> all(sae.held());
    for (int64_t f = 0; f < sae.held(); f++) {
      float acc = 0;
      for (int64_t d = 0; d < sae.width; d++) {
        acc = fmaf(testing::to_bf16(in.row(r)[d] - sae.b_dec[d]), testing::to_bf16(sae.w_enc[f * sae.width + d]), acc);
      }
      all[f] = {acc + sae.b_enc[f], static_cast<int32_t>(f)};
    }
    std::sort(all.begin(), all.end());
    bool good = true;
    for (int64_t k = 0; k < kept; k++) {
      good = good && encoded.indices[r * kept + k] == all[k].place && encoded.values[r * kept + k] == all[k].score;
    }
    if (!check(good, "%s: bf16: D %lld, F %lld, K %lld: row %lld", what, static_cast<long long>(sae.width),
               static_cast<long long>(sae.held()), static_cast<long long>(kept), static_cast<long long>(r))) {
      return;
    }
  }
}

bool wgmma() { return rhumb::products() == rhumb::Products::kWgmma; }

void shapes(bool nearest) {
  // Both sides of each kind of kernel, of a tile, of a block's rows, of a seed; K from 1 to the most.
  struct {
    int64_t width, features, rows, kept;
  } const shapes[] = {{1, 512, 128, 1},     {9, 640, 129, 33},   {63, 515, 255, 64},   {64, 1000, 256, 32},
                      {65, 577, 257, 5},    {128, 513, 130, 16}, {129, 700, 128, 17},  {192, 512, 128, 8},
                      {193, 640, 128, 32},  {256, 600, 128, 32}, {257, 530, 128, 32},  {400, 520, 131, 64},
                      {33, 2048, 128, 64},  {20, 800, 128, 96},    {64, 2311, 128, 32}, {260, 2050, 128, 20}, {3, 4099, 200, 32}};
  for (const auto &s : shapes) {
    if (wgmma() && s.width != 9 && s.width != 63 && s.width != 128 && s.width != 192 && s.features < 2048 && s.width < 256) {
      continue;
    }
    if (!nearest && s.width != 9 && s.width != 128 && s.width != 400) {
      continue;  // one of each kind of kernel: the emulation takes its time
    }
    const Sae sae(s.width, s.features);
    const Input in(s.rows, s.width, 5);
    // Of one weight, the scores are too near each other for bf16: whoever is left then is no concern here.
    if (s.width == 1) {
      encodes("shapes", sae, in, s.kept);
    } else {
      certified("shapes", sae, in, s.kept);
    }
    if (s.features < 1100 && s.width < 300) {
      if (nearest) {
        encodes_bf16_bits("shapes", sae, in, s.kept);
      } else {
        encodes_bf16("shapes", sae, in, s.kept);
      }
    }
  }
}

// Inputs near what a certificate can tell apart.
void near_misses() {
  const int64_t width = 48;
  const Sae plain(width, 620);
  const Input in(130, width);
  {  // features that bf16 cannot tell apart, some in other tiles
    Sae sae(plain);
    for (int64_t f = 0; f < sae.features; f++) {
      const int64_t of = f % 220;
      for (int64_t d = 0; d < width; d++) {
        const float w = plain.w_enc[of * width + d];
        sae.w_enc[f * width + d] = d == f % width ? std::nextafter(w, static_cast<float>(below(3) - 1)) : w;
      }
      sae.b_enc[f] = plain.b_enc[of];
    }
    certified("near ties", sae, in, 32);
    certified("near ties", sae, in, 31);
    encodes_bf16("near ties", sae, in, 31);
  }
  {  // sums of which nothing is left but roundings, in some rows more than a certificate can tell apart
    Sae sae(plain);
    for (int64_t f = 0; f < sae.features; f++) {
      for (int64_t d = 0; d < width; d += 2) {
        sae.w_enc[f * width + d + 1] = sae.w_enc[f * width + d] * (1 + uniform(-1, 1) * 0x1p-12f);
      }
    }
    for (const float much : {1.0f, 300.0f, 1e6f}) {
      Input cancelling(in);
      for (int64_t r = 0; r < in.rows; r++) {
        for (int64_t d = 0; d < width; d += 2) {
          const float c = uniform(-much, much);
          cancelling.row(r)[d] = c + sae.b_dec[d];
          cancelling.row(r)[d + 1] = -c + sae.b_dec[d + 1];
        }
      }
      encodes("cancelling", sae, cancelling, 32);
    }
  }
  {  // tensor cores that cut: one large product hides the small ones of its step
    Sae sae(plain);
    for (int64_t f = 0; f < sae.features; f++) {
      sae.w_enc[f * width] = 1;
      sae.w_enc[f * width + 7] = 1;
      for (int64_t d = 1; d < 7; d++) {
        sae.w_enc[f * width + d] = uniform(1, 2);
      }
    }
    Input hiding(in);
    for (int64_t r = 0; r < in.rows; r++) {
      for (int64_t d = 0; d < width; d++) {
        hiding.row(r)[d] = sae.b_dec[d] + (d == 0 ? 0x1p+18f : d == 7 ? -0x1p+18f : 0x1p-5f);
      }
    }
    encodes("hidden", sae, hiding, 32);
  }
}

// By the model "nearest".
void adversaries() {
  const int64_t width = 48;
  const Sae plain(width, 620);
  const Input in(130, width);
  {
    Sae sae(plain);
    for (int32_t f = 0; f < 620; f += 1 + f % 8 / 7) {
      sae.subset.push_back(f);
    }
    encodes("subset", sae, Packed(sae, 500), in, 32);
  }
  {  // scores rise from feature to feature, so that every one passes the floor
    Sae sae(plain);
    for (int64_t f = 0; f < sae.features; f++) {
      sae.b_enc[f] = static_cast<float>(f) * 0.5f;
    }
    certified("rising", sae, in, 20);
    for (int64_t f = 0; f < sae.features; f++) {
      sae.b_enc[f] = static_cast<float>(-f) * 0.5f;
    }
    certified("falling", sae, in, 20);
  }
  {  // equal features in other tiles: by index
    Sae sae(plain);
    for (int64_t i = 0; i < sae.w_enc.count(); i++) {
      sae.w_enc[i] = plain.w_enc[i % (300 * width)];
    }
    for (int64_t f = 0; f < sae.features; f++) {
      sae.b_enc[f] = plain.b_enc[f % 300];
    }
    certified("ties", sae, in, 33);
    encodes_bf16_bits("ties", sae, in, 33);
  }
  {  // all equal: no certificate, and for the scores of bf16 the first K
    Sae sae(plain);
    for (int64_t i = 0; i < sae.w_enc.count(); i++) {
      sae.w_enc[i] = 0;
    }
    for (int64_t f = 0; f < sae.features; f++) {
      sae.b_enc[f] = f % 2 == 0 ? 0.0f : -0.0f;
    }
    certified("all equal", sae, in, 32, in.rows);
    encodes_bf16("all equal", sae, in, 32);
    check(Certified(sae, in, 32, RHUMB_EXACT_BF16).left == 0, "all equal: for the scores of bf16 every row fits");
        Sae larger(width, 2200);  // with a seed
    for (int64_t i = 0; i < larger.w_enc.count(); i++) {
      larger.w_enc[i] = 0;
    }
    for (int64_t f = 0; f < 2200; f++) {
      larger.b_enc[f] = static_cast<float>(f % 3);
    }
    certified("few values", larger, in, 32, in.rows);
    encodes_bf16("few values", larger, in, 32);
  }
  for (const float scale : {1e-44f, 1e-38f, 1e-30f, 1e12f, 1e36f}) {
    Input scaled(in);
    for (int64_t i = 0; i < in.x.count(); i++) {
      scaled.x[i] *= scale;
    }
    Sae sae(plain);
    for (int64_t d = 0; d < width; d++) {
      sae.b_dec[d] = 0;
    }
    encodes("scaled rows", sae, scaled, 32);
    for (int64_t f = 0; f < sae.features; f++) {
      sae.b_enc[f] = 0;
    }
    encodes("scaled rows without bias", sae, scaled, 32);
    for (int64_t i = 0; i < sae.w_enc.count(); i++) {
      sae.w_enc[i] *= scale;
    }
    if (scale < 1e19f) {  // beyond it scores overflow, and may be NaN
      encodes("scaled", sae, in, 32);
    }
  }
  {  // features with huge norms and so huge errors, one and in each panel one: no other feature's error grows, nor a panel's rows
    // are left for it
    Sae sae(plain);
    for (int64_t d = 0; d < width; d++) {
      sae.w_enc[300 * width + d] *= 1000;
    }
    certified("one large feature", sae, in, 32);
    certified("one large feature", sae, in, 1);
    sae.b_enc[7] = 1e4f;
    certified("one large feature and one large bias", sae, in, 32);
    for (int64_t f = 11; f < sae.features; f += 32) {
      for (int64_t d = 0; d < width; d++) {
        sae.w_enc[f * width + d] *= f % 64 == 11 ? 300 : 5000;
      }
    }
    certified("large features", sae, in, 64);
    encodes_bf16("large features", sae, in, 32);
    Sae sampled(width, 2200);  // with a seed
    for (int64_t f = 5; f < sampled.features; f += 70) {
      for (int64_t d = 0; d < width; d++) {
        sampled.w_enc[f * width + d] *= 1000;
      }
    }
    certified("large features", sampled, in, 32);
  }
  for (const int64_t features : {620, 2200}) {  // features with huge errors whose scores lie about the K-th, in all rows
    Sae sae(width, features);
    Input alike(130, width);
    for (int64_t r = 1; r < alike.rows; r++) {
      for (int64_t d = 0; d < width; d++) {
        alike.row(r)[d] = alike.row(0)[d] + uniform(-1e-3f, 1e-3f);
      }
    }
    for (int64_t f = 5; f < features; f += 23) {
      float score = 0;
      for (int64_t d = 0; d < width; d++) {
        sae.w_enc[f * width + d] *= 1000;
        score += sae.w_enc[f * width + d] * (alike.row(0)[d] - sae.b_dec[d]);
      }
      sae.b_enc[f] = 5 - score;
    }
    encodes("large errors", sae, alike, 5);
    encodes("large errors", sae, alike, 32);
  }
  {  // a few rows without a certificate among others: infinite, yet no NaN; and so large that it might be
    Sae sae(plain);
    for (int64_t i = 0; i < sae.w_enc.count(); i++) {
      sae.w_enc[i] = std::fabs(sae.w_enc[i]) + 0.01f;
    }
    Input some(in);
    some.row(0)[3] = kInfinity;
    some.row(77)[47] = -kInfinity;
    some.row(129)[0] = 3e38f;
    certified("some rows", sae, some, 32, 3);
  }
}

void finds_nan() {
  const Sae sae(20, 600);
  for (const int selection : {RHUMB_EXACT, RHUMB_EXACT_BF16}) {
    Input in(200, 20);
    in.row(131)[7] = kNan;
    in.row(150)[0] = kNan;
    const Encoded encoded(sae, Packed(sae), in, 16, selection);
    check(encoded.faults.is(RHUMB_FAULT_ENCODE_NAN, 131, 0), "NaN: slot %llx",
          static_cast<unsigned long long>(encoded.faults.slots[RHUMB_FAULT_ENCODE_NAN]));
    in.row(40)[19] = kInfinity;  // meets no other infinity, nor 0
    in.row(30)[18] = kInfinity;
    in.row(30)[19] = -kInfinity;
    const Encoded again(sae, Packed(sae), in, 16, selection);
    int32_t first = 0;
    const std::vector<Entry> all = testing::scores(sae, in.row(30), false);
    while (all[first].score == all[first].score) {
      first++;
    }
    check(again.faults.is(RHUMB_FAULT_ENCODE_NAN, 30, static_cast<uint32_t>(first)), "infinities that meet: slot %llx",
          static_cast<unsigned long long>(again.faults.slots[RHUMB_FAULT_ENCODE_NAN]));
  }
}

// The same rows in other calls: the same lists.
void splits() {
  const Sae sae(64, 900);
  const Input in(300, 64);
  const Packed packed(sae);
  const Encoded all(sae, packed, in, 32);
  for (const int64_t rows : {1, 5, 131, 299}) {
    Input some(rows, 64);
    std::copy(in.row(300 - rows), in.row(300 - rows) + rows * 64, some.x.data());
    const Encoded part(sae, packed, some, 32);
    for (int64_t i = 0; i < rows * 32; i++) {
      if (!check(part.indices[i] == all.indices[(300 - rows) * 32 + i] &&
                     part.values[i] == all.values[(300 - rows) * 32 + i],
                 "the last %lld rows by themselves", static_cast<long long>(rows))) {
        break;
      }
    }
  }
}

// Where wgmma is asked for and there is none, or nobody knows what is asked for.
void refuses() {
  const Sae sae(20, 600);
  const Packed packed(sae);
  const Input in(200, 20);
  const int64_t bytes = rhumb_encode_top_k_scratch(packed.capacity, 20, 600, 200, 4);
  Array<unsigned char> scratch(bytes, 0xff);
  Array<int32_t> indices(200 * 4);
  Array<float> values(200 * 4);
  testing::Faults faults;
  const auto encode = [&] {
    return rhumb_encode_top_k(packed.memory.data(), packed.capacity, 20, 600, 200, 4, RHUMB_EXACT, 1, in.x.data(), in.stride,
                              indices.data(), values.data(), scratch.data(), bytes, faults.data(), nullptr);
  };
  rhumb::products() = rhumb::Products::kWgmma;
  for (const long capability : {80, 100}) {
    rhumb_host_set("compute_capability", capability);
    testing::refused(encode(), "compute capability 9.0");
  }
  rhumb_host_set("compute_capability", 90);
  testing::good(encode(), "encode by wgmma");
  rhumb::products() = rhumb::Products::kUnknown;
  testing::refused(encode(), "RHUMB_ENCODE");
  rhumb::products() = rhumb::Products::kMma;
}

}  // namespace

int main() {
  for (const rhumb::Products products : {rhumb::Products::kMma, rhumb::Products::kWgmma}) {
    rhumb::products() = products;
    for (const bool nearest : {true, false}) {
      rhumb_host_set("mma", nearest ? 0 : 1);
      shapes(nearest);
      near_misses();
    }
    rhumb_host_set("mma", 0);
    adversaries();
    finds_nan();
    splits();
  }
  refuses();
  return testing::finish("certified_test");
}
