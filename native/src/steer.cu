// Steering: edits of a sparse autoencoder's features, written back to the hidden state.
//
// DELTA: y = x + sum over the features whose activation changed of (after - before) W_dec[f]; where none did, y is x bit for
// bit. REPLACE: y = b_dec + sum over all of after W_dec[f]. Sums are float32 chains in a fixed order.
//
//   write_changes  edits after the selection, DELTA: what serving does. Bound by memory: it moves x, y and the lists'
//                  indices once each, 16 bytes at a time, and the few decoder rows come out of the first-level cache, where
//                  they cost a fifth of the time that the memory takes.
//   write_rows     everything else: a block for each row puts terms (feature, before, after) of a Source together.
#include "encoder.h"
#include "fault.h"
#include "reduce.h"
#include "scratch.h"
#include "select.h"
#include "status.h"

using rhumb::Encoder;
using rhumb::kAllLanes;
using rhumb::Key;

namespace {

constexpr int32_t kEnd = -1;  // ends a list

struct Edit {
  int32_t feature, op;
  float x, y;

  // As EditTable.apply; NaN stays NaN.
  __device__ __forceinline__ float apply(float a) const {
    switch (op) {
      case RHUMB_ADD:
        return __fadd_rn(a, x);
      case RHUMB_SET:
        return x;
      case RHUMB_SCALE:
        return __fmul_rn(a, x);
      case RHUMB_CLAMP:
        return a < x ? x : a > y ? y : a;
      default:
        return 0;
    }
  }
};

struct EditTable {
  int64_t count;
  const int32_t *table;    // (count, 4)
  const int32_t *offsets;  // (rows + 1) or NULL

  // The edits of a row: [*first, *last).
  __device__ __forceinline__ void range(int64_t row, int64_t *first, int64_t *last) const {
    *first = 0;
    *last = count;
    if (offsets != nullptr) {  // nothing is read beyond the table, whatever they hold
      *first = max(static_cast<int64_t>(0), static_cast<int64_t>(offsets[row]));
      *last = min(count, static_cast<int64_t>(offsets[row + 1]));
    }
  }
  __device__ __forceinline__ int32_t feature(int64_t i) const { return __ldg(table + i * 4); }
  __device__ __forceinline__ Edit edit(int64_t i) const {
    const int32_t *at = table + i * 4;
    return {__ldg(at), __ldg(at + 1), __int_as_float(__ldg(at + 2)), __int_as_float(__ldg(at + 3))};
  }
  // The edit of a feature among [first, last), or -1.
  __device__ __forceinline__ int64_t find(int32_t wanted, int64_t first, int64_t last) const {
    const int64_t end = last;
    while (first < last) {
      const int64_t middle = first + (last - first) / 2;
      if (feature(middle) < wanted) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    return first < end && feature(first) == wanted ? first : -1;
  }
};

struct Lists {
  int64_t rows;
  int64_t kept;
  int64_t features;
  const int32_t *indices;  // (rows, kept)
  const float *values;     // (rows, kept)
};

// What is written, and from what. y may be x.
struct Writing {
  int64_t width;
  const float *w_dec;  // (features, width)
  const float *b_dec;  // (width); REPLACE alone reads it
  const float *x;      // (rows, x_stride)
  int64_t x_stride;
  float *y;  // (rows, y_stride)
  int64_t y_stride;
  bool replace;
  uint64_t *faults;
};

// The result of an edit of `a`; where it is NaN, or the feature does not exist, a fault, and `a` itself.
__device__ __forceinline__ float edited(const Edit &edit, float a, int64_t features, int64_t row, uint64_t *faults) {
  if (edit.feature < 0 || edit.feature >= features) {
    rhumb::report_fault(faults, RHUMB_FAULT_LIST_INDEX, row, static_cast<uint32_t>(edit.feature));
    return a;
  }
  const float result = edit.apply(a);
  if (result != result) {
    rhumb::report_fault(faults, RHUMB_FAULT_EDIT_NAN, row, static_cast<uint32_t>(edit.feature));
    return a;
  }
  return result;
}

// 0 where nothing changed, equal infinities included.
__device__ __forceinline__ float change(float before, float after) { return after == before ? 0.0f : after - before; }

// --- Edits after the selection, DELTA --------------------------------------------------------------------------------------

constexpr int kBlock = 256;
constexpr int kAtOnce = 32;  // edits of a row at a time
constexpr int kLoads = 2;    // indices that a lane asks for at a time

__device__ __forceinline__ float zero(const float *) { return 0; }
__device__ __forceinline__ float4 zero(const float4 *) { return make_float4(0, 0, 0, 0); }
__device__ __forceinline__ float plus(float a, float b) { return a + b; }
__device__ __forceinline__ float4 plus(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}
__device__ __forceinline__ float multiply_add(float f, float a, float b) { return fmaf(f, a, b); }
__device__ __forceinline__ float4 multiply_add(float f, float4 a, float4 b) {
  return make_float4(fmaf(f, a.x, b.x), fmaf(f, a.y, b.y), fmaf(f, a.z, b.z), fmaf(f, a.w, b.w));
}

// An edit while a row is looked at: the activation before it, then its change.
struct alignas(8) Slot {
  float value;
  int32_t feature;
};

// A team of kLanes for each row, its columns in pieces of a Vector: float or float4.
//
// What a row moves is little, so that each instruction counts: counts are int here, and nothing is divided.
template <class Vector, int kLanes>
__global__ void __launch_bounds__(kBlock, 5) write_changes(Lists lists, EditTable edits, Writing w) {
  constexpr int kTeams = kBlock / kLanes;
  __shared__ Slot slots[kTeams][kAtOnce];
  const int lane = static_cast<int>(threadIdx.x % kLanes);
  const int team = static_cast<int>(threadIdx.x / kLanes);
  // Of the warp's lanes: the team's, and of these the ones up to this one.
  const int team_begin = static_cast<int>(threadIdx.x % rhumb::kWarp) - lane;
  const unsigned mine = kAllLanes >> (rhumb::kWarp - kLanes) << team_begin;
  const unsigned up_to_mine = kAllLanes >> (rhumb::kWarp - 1 - lane) << team_begin;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTeams + team;
  const bool there = row < lists.rows;
  const int pieces = there ? static_cast<int>(w.width / (sizeof(Vector) / sizeof(float))) : 0;
  const int kept = there ? static_cast<int>(lists.kept) : 0;
  const Vector *x = reinterpret_cast<const Vector *>(w.x + row * w.x_stride);  // (pieces)
  Vector *y = reinterpret_cast<Vector *>(w.y + row * w.y_stride);              // (pieces)
  const Vector *w_dec = reinterpret_cast<const Vector *>(w.w_dec);             // (features, pieces)
  const int32_t *indices = lists.indices + row * lists.kept;                   // (kept)
  const float *values = lists.values + row * lists.kept;                       // (kept)
  Slot *slot = slots[team];
  // On its way while the list is looked through.
  const Vector first_piece = lane < pieces ? x[lane] : zero(x);

  int64_t first = 0;
  int64_t last = 0;
  if (there) {
    edits.range(row, &first, &last);
  }
  const int length = edits.count == 0 ? 0 : static_cast<int>(lists.kept);  // the same for all rows
  int64_t from = first;
  do {
    const int count = static_cast<int>(max(static_cast<int64_t>(0), min(last - from, static_cast<int64_t>(kAtOnce))));
#pragma unroll 1
    for (int i = lane; i < count; i += kLanes) {
      slot[i] = {0, edits.feature(from + i)};
    }
    __syncwarp();
    bool ended = false;
#pragma unroll 1
    for (int base = 0; base < length; base += kLoads * kLanes) {
      int32_t found[kLoads];
#pragma unroll
      for (int j = 0; j < kLoads; j++) {  // all loads before the first use
        const int at = base + j * kLanes + lane;
        found[j] = at < kept ? __ldg(indices + at) : kEnd;
      }
#pragma unroll
      for (int j = 0; j < kLoads; j++) {
        const unsigned ends = __ballot_sync(kAllLanes, found[j] == kEnd);
        if (ended || (ends & up_to_mine) != 0) {
          found[j] = kEnd;
        } else if (found[j] < 0 || found[j] >= lists.features) {
          rhumb::report_fault(w.faults, RHUMB_FAULT_LIST_INDEX, row, static_cast<uint32_t>(found[j]));
        }
        ended = ended || (ends & mine) != 0;
      }
#pragma unroll 1
      for (int i = 0; i < count; i++) {
        const int32_t feature = slot[i].feature;
#pragma unroll
        for (int j = 0; j < kLoads; j++) {
          if (found[j] == feature && feature >= 0) {
            slot[i].value = __ldg(values + base + j * kLanes + lane);
          }
        }
      }
      __syncwarp();
      if (__all_sync(kAllLanes, ended)) {
        break;
      }
    }
#pragma unroll 1
    for (int i = lane; i < count; i += kLanes) {
      const float before = slot[i].value;
      slot[i].value = change(before, edited(edits.edit(from + i), before, lists.features, row, w.faults));
    }
    __syncwarp();
#pragma unroll 1
    for (int c = lane; c < pieces; c += kLanes) {
      Vector sum = zero(x);
      bool changed = false;
#pragma unroll 1
      for (int i = 0; i < count; i++) {
        const Slot now = slot[i];
        if (now.value != 0) {
          changed = true;
          sum = multiply_add(now.value, __ldg(w_dec + static_cast<int64_t>(now.feature) * pieces + c), sum);
        }
      }
      if (from > first) {  // further edits add to what the first ones left
        if (changed) {
          y[c] = plus(y[c], sum);
        }
      } else {
        const Vector origin = c == lane ? first_piece : x[c];
        // Not origin + 0 where nothing changed: that would turn -0 into +0.
        if (changed) {
          y[c] = plus(origin, sum);
        } else if (w.x != w.y) {
          y[c] = origin;
        }
      }
    }
    __syncwarp();
    from += kAtOnce;
  } while (__any_sync(kAllLanes, from < last) != 0);
}

bool aligned(const void *pointer) { return reinterpret_cast<uintptr_t>(pointer) % sizeof(float4) == 0; }

template <class Vector, int kLanes>
int launch_teams(const char *call, const Lists &lists, const EditTable &edits, const Writing &w, cudaStream_t stream) {
  constexpr int64_t kTeams = kBlock / kLanes;
  const dim3 grid(static_cast<unsigned>((lists.rows + kTeams - 1) / kTeams));
  RHUMB_LAUNCH((write_changes<Vector, kLanes>), grid, dim3(kBlock), 0, stream, lists, edits, w);
  return rhumb::check(cudaGetLastError(), call);
}

template <class Vector>
int launch_changes(const char *call, const Lists &lists, const EditTable &edits, const Writing &w, cudaStream_t stream) {
  const int64_t pieces = w.width * static_cast<int64_t>(sizeof(float)) / static_cast<int64_t>(sizeof(Vector));
  return pieces <= 8    ? launch_teams<Vector, 8>(call, lists, edits, w, stream)
         : pieces <= 16 ? launch_teams<Vector, 16>(call, lists, edits, w, stream)
                        : launch_teams<Vector, 32>(call, lists, edits, w, stream);
}

int launch_changes(const char *call, const Lists &lists, const EditTable &edits, const Writing &w, cudaStream_t stream) {
  const bool by_four = w.width % 4 == 0 && w.x_stride % 4 == 0 && w.y_stride % 4 == 0 && aligned(w.x) &&
                       aligned(w.y) && aligned(w.w_dec);
  return by_four ? launch_changes<float4>(call, lists, edits, w, stream)
                 : launch_changes<float>(call, lists, edits, w, stream);
}

// --- Everything else -------------------------------------------------------------------------------------------------------

constexpr int kRowBlock = 64;
constexpr int kAhead = 4;  // terms whose decoder rows are asked for at a time
static_assert(kRowBlock % kAhead == 0);
constexpr int64_t kMostWidth = 10240;  // a row of sums is in shared memory, so that y may be x

// A feature's activation before and after the edits. REPLACE does not read `before`.
struct Term {
  int64_t feature;
  float before, after;
};

// Block r writes row r. The source is copied for each thread; prepare(row, w) is called by the whole block and sets
// `count`, term(i) by one thread for each i below it. Dynamic shared memory: float (width).
template <class Source>
__global__ void __launch_bounds__(kRowBlock) write_rows(Source source, Writing w, int64_t features) {
  __shared__ int64_t term_feature[kRowBlock];
  __shared__ float term_factor[kRowBlock];
  RHUMB_DYNAMIC_SHARED(float, sums);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.x;
  for (int64_t d = thread; d < w.width; d += kRowBlock) {  // as below: a column belongs to one thread
    sums[d] = 0;
  }
  source.prepare(row, w);
  bool changed = false;
  for (int64_t base = 0; base < source.count; base += kRowBlock) {
    float factor = 0;
    if (base + thread < source.count) {
      const Term term = source.term(base + thread);
      if (term.feature >= 0 && term.feature < features) {
        factor = w.replace ? term.after : change(term.before, term.after);
      }
      term_feature[thread] = term.feature;
    }
    term_factor[thread] = factor;
    if (__syncthreads_or(factor != 0) != 0) {
      changed = true;
      const int count = static_cast<int>(min(static_cast<int64_t>(kRowBlock), source.count - base));
      for (int64_t d = thread; d < w.width; d += kRowBlock) {
        float sum = sums[d];
#pragma unroll 1
        for (int i = 0; i < count; i += kAhead) {  // past the last term, factors are 0
          float factor[kAhead];
          float weight[kAhead];
#pragma unroll
          for (int a = 0; a < kAhead; a++) {
            factor[a] = term_factor[i + a];
            weight[a] = factor[a] != 0 ? __ldg(w.w_dec + term_feature[i + a] * w.width + d) : 0;
          }
#pragma unroll
          for (int a = 0; a < kAhead; a++) {
            sum = factor[a] != 0 ? fmaf(factor[a], weight[a], sum) : sum;
          }
        }
        sums[d] = sum;
      }
    }
    __syncthreads();
  }
  const float *origin = w.replace ? w.b_dec : w.x + row * w.x_stride;  // (width)
  float *y = w.y + row * w.y_stride;                                   // (width)
  for (int64_t d = thread; d < w.width; d += kRowBlock) {
    y[d] = changed ? origin[d] + sums[d] : origin[d];
  }
}

template <class Source>
int launch_rows(const char *call, const Source &source, const Writing &w, int64_t rows, int64_t features,
                cudaStream_t stream) {
  RHUMB_LAUNCH(write_rows<Source>, dim3(static_cast<unsigned>(rows)), dim3(kRowBlock), w.width * sizeof(float), stream,
               source, w, features);
  return rhumb::check(cudaGetLastError(), call);
}

// Edits after the selection, REPLACE: the list's entries without the edited ones, then the edits.
struct ListTerms {
  Lists lists;
  EditTable edits;
  int64_t count, row, first, last, length;
  uint64_t *faults;

  __device__ __forceinline__ void prepare(int64_t for_row, const Writing &w) {
    __shared__ int end;
    row = for_row;
    faults = w.faults;
    edits.range(row, &first, &last);
    if (threadIdx.x == 0) {
      end = static_cast<int>(lists.kept);
    }
    __syncthreads();
    bool ends = false;
    for (int64_t base = 0; base < lists.kept; base += kRowBlock) {
      const int64_t i = base + threadIdx.x;
      if (i < lists.kept && lists.indices[row * lists.kept + i] == kEnd) {
        ends = true;
        atomicMin(&end, static_cast<int>(i));
      }
      if (__syncthreads_or(ends) != 0) {
        break;
      }
    }
    __syncthreads();
    length = end;
    count = length + max(static_cast<int64_t>(0), last - first);
  }

  __device__ __forceinline__ Term listed(int64_t i) const {
    const int32_t feature = lists.indices[row * lists.kept + i];
    if (feature < 0 || feature >= lists.features) {
      rhumb::report_fault(faults, RHUMB_FAULT_LIST_INDEX, row, static_cast<uint32_t>(feature));
      return {-1, 0, 0};
    }
    const bool is_edited = edits.find(feature, first, last) >= 0;
    return {feature, 0, is_edited ? 0 : lists.values[row * lists.kept + i]};
  }

  __device__ __forceinline__ Term term(int64_t i) const {
    if (i < length) {
      return listed(i);
    }
    const Edit edit = edits.edit(first + i - length);
    float before = 0;
    for (int64_t at = row * lists.kept; at < row * lists.kept + length; at++) {
      if (lists.indices[at] == edit.feature) {
        before = lists.values[at];
      }
    }
    return {edit.feature, before, edited(edit, before, lists.features, row, faults)};
  }
};

// The score of a feature by the chain of the contract; `rounded`: of operands in bf16.
__device__ __forceinline__ float score_of(const Encoder &e, int64_t feature, const float *x, bool rounded) {
  float score = e.bias[feature];
#pragma unroll 4
  for (int64_t d = 0; d < e.width; d++) {
    float centred = __fsub_rn(x[d], e.input_bias[d]);
    float weight = e.weights[e.weight_at(feature, d)];
    if (rounded) {
      centred = __bfloat162float(__float2bfloat16_rn(centred));
      weight = __bfloat162float(__float2bfloat16_rn(weight));
    }
    score = fmaf(centred, weight, score);
  }
  return score;
}

// Where features fire by thresholds: no edit touches another feature. Activations of edited features are made anew from
// their scores; REPLACE takes the others from the lists.
struct AboveTerms {
  ListTerms list;
  Encoder encoder;
  const float *threshold, *gain, *offset;  // (features)
  bool pre_select;
  int64_t count;
  const float *x;  // (width)

  __device__ __forceinline__ void prepare(int64_t row, const Writing &w) {
    x = w.x + row * w.x_stride;
    if (w.replace) {
      list.prepare(row, w);
    } else {
      list.row = row;
      list.faults = w.faults;
      list.edits.range(row, &list.first, &list.last);
      list.length = 0;
      list.count = max(static_cast<int64_t>(0), list.last - list.first);
    }
    count = list.count;
  }

  __device__ __forceinline__ float activation(int64_t feature, float score) const {
    return score > threshold[feature] ? rhumb::rectified(fmaf(gain[feature], score, offset[feature])) : 0;
  }

  __device__ __forceinline__ Term term(int64_t i) const {
    if (i < list.length) {
      return list.listed(i);
    }
    const Edit edit = list.edits.edit(list.first + i - list.length);
    if (edit.feature < 0 || edit.feature >= encoder.features) {
      edited(edit, 0, encoder.features, list.row, list.faults);
      return {-1, 0, 0};
    }
    const float score = score_of(encoder, edit.feature, x, false);
    const float before = activation(edit.feature, score);
    const float result = edited(edit, pre_select ? score : before, encoder.features, list.row, list.faults);
    return {edit.feature, before, pre_select ? activation(edit.feature, result) : result};
  }
};

constexpr int kMostEdits = 256;    // of a row, whose selection is made from its best features alone
constexpr int kEditsByRow = 64;    // the same where rows have edits of their own, and how many is not known at launch

// Edits before the top-k of `kept`, which can evict or admit other features. `best` (rows, entries) holds each row's best
// features and their scores, in the total order, entries = kept + E or all F features, the row having at most E edits.
//
// They suffice. An unedited feature keeps its score, so unedited features keep their order among themselves, and the
// selection after the edits takes a first part of them, at most kept. Of the kept + E best before the edits at most E are
// edited, so those that are not are the first of the unedited ones, kept of them at least, or all there are. Hence the
// selection is the top-k of those and of the edited features at their new scores, of which E at most are made here.
//
// So the i-th unedited feature is selected when i plus the number of edited ones ahead of it is below kept, and an edited one
// when the numbers of unedited and of edited ones ahead of it are, together.
//
// A row of more edits is selected from the scores of all features, made here.
struct SelectedTerms {
  Encoder encoder;
  Lists best;
  EditTable edits;
  int64_t kept;
  bool rounded;
  int32_t *indices;  // (rows, kept), set: the encode before the edits
  float *values;     // (rows, kept), set

  int64_t count, row, first, last;
  bool from_all;
  Key least;                // of the selected keys, where from_all
  const int32_t *features;  // (entries): the row's part of best
  const float *scores;      // (entries)
  const float *x;           // (width)
  uint64_t *faults;
  // In shared memory, of each edit: the place of its feature in `best`, or past it; the key and activations.
  int *place;
  Key *key;
  float *before, *after;

  __device__ __forceinline__ void prepare(int64_t for_row, const Writing &w) {
    __shared__ int places[kMostEdits];
    __shared__ Key keys[kMostEdits];
    __shared__ float befores[kMostEdits], afters[kMostEdits];
    place = places;
    key = keys;
    before = befores;
    after = afters;
    row = for_row;
    features = best.indices + row * best.kept;
    scores = best.values + row * best.kept;
    x = w.x + row * w.x_stride;
    faults = w.faults;
    edits.range(row, &first, &last);
    for (int64_t i = threadIdx.x; i < kept; i += kRowBlock) {
      indices[row * kept + i] = features[i];
      values[row * kept + i] = rhumb::rectified(scores[i]);
    }
    const int64_t edit_count = max(static_cast<int64_t>(0), last - first);
    from_all = edit_count > kMostEdits || (kept + edit_count > best.kept && best.kept < encoder.features);
    if (from_all) {
      count = encoder.features;
      least = rhumb::block_least_of_best(kept, [&](auto visit) {
        for (int64_t f = threadIdx.x; f < encoder.features; f += kRowBlock) {
          visit(rhumb::key_of(score_after(f, score(f, find(f))), static_cast<uint32_t>(f)));
        }
      });
    } else {
      count = best.kept + edit_count;
      select(static_cast<int>(edit_count));
    }
  }

  // Where a feature is in `best`, or best.kept.
  __device__ __forceinline__ int find(int64_t feature) const {
    int at = 0;
    while (at < best.kept && features[at] != feature) {
      at++;
    }
    return at;
  }

  // Of a feature at that place.
  __device__ __forceinline__ float score(int64_t feature, int at) const {
    return at < best.kept ? scores[at] : score_of(encoder, feature, x, rounded);
  }

  __device__ __forceinline__ float score_after(int64_t feature, float score) const {
    const int64_t e = edits.find(static_cast<int32_t>(feature), first, last);
    return e < 0 ? score : edited(edits.edit(e), score, encoder.features, row, faults);
  }

  __device__ __forceinline__ void select(int edit_count) {
    for (int e = threadIdx.x; e < edit_count; e += kRowBlock) {
      const Edit edit = edits.edit(first + e);
      const bool there = edit.feature >= 0 && edit.feature < encoder.features;
      place[e] = there ? find(edit.feature) : static_cast<int>(best.kept);
      const float score_before = there ? score(edit.feature, place[e]) : 0;
      const float score_now = edited(edit, score_before, encoder.features, row, faults);
      before[e] = place[e] < kept ? rhumb::rectified(score_before) : 0;
      after[e] = rhumb::rectified(score_now);  // should it be selected
      key[e] = there ? rhumb::key_of(score_now, static_cast<uint32_t>(edit.feature)) : rhumb::kNoKey;
    }
    __syncthreads();
    for (int e = threadIdx.x; e < edit_count; e += kRowBlock) {
      int ahead = 0;  // of all in `best`
      for (int end = static_cast<int>(best.kept); ahead < end;) {
        const int middle = ahead + (end - ahead) / 2;
        if (rhumb::key_of(scores[middle], static_cast<uint32_t>(features[middle])) > key[e]) {
          ahead = middle + 1;
        } else {
          end = middle;
        }
      }
      int selected_before = ahead;
      for (int i = 0; i < edit_count; i++) {
        selected_before += (key[i] > key[e] ? 1 : 0) - (place[i] < ahead ? 1 : 0);
      }
      if (selected_before >= kept) {
        after[e] = 0;
      }
    }
    __syncthreads();
  }

  __device__ __forceinline__ Term term(int64_t i) const {
    if (from_all) {
      const int at = find(i);
      const float score_before = score(i, at);
      const float score_now = score_after(i, score_before);
      const bool selected = rhumb::key_of(score_now, static_cast<uint32_t>(i)) >= least;
      return {i, at < kept ? rhumb::rectified(score_before) : 0, selected ? rhumb::rectified(score_now) : 0};
    }
    if (i >= best.kept) {
      const int e = static_cast<int>(i - best.kept);
      return {edits.feature(first + e), before[e], after[e]};
    }
    const Key mine = rhumb::key_of(scores[i], static_cast<uint32_t>(features[i]));
    int64_t ahead = i;
    for (int e = 0; e < last - first; e++) {
      if (place[e] == i) {
        return {-1, 0, 0};  // the edit's term is this feature's
      }
      ahead += (key[e] > mine ? 1 : 0) - (place[e] < i ? 1 : 0);
    }
    const float activation = rhumb::rectified(scores[i]);
    return {features[i], i < kept ? activation : 0, ahead < kept ? activation : 0};
  }
};

int write_lists(const char *call, const Lists &lists, const EditTable &edits, const Writing &w, cudaStream_t stream) {
  if (!w.replace) {
    return launch_changes(call, lists, edits, w, stream);
  }
  ListTerms terms{};
  terms.lists = lists;
  terms.edits = edits;
  return launch_rows(call, terms, w, lists.rows, lists.features, stream);
}

// --- Calls -----------------------------------------------------------------------------------------------------------------

// What all calls refuse.
int check_steering(const char *call, int64_t width, const EditTable &edits, int stage, int write, const Writing &w) {
  int status = rhumb::check_pointers(
      call, {{"d_w_dec", w.w_dec}, {"d_b_dec", w.b_dec}, {"d_x", w.x}, {"d_y", w.y}, {"d_faults", w.faults}});
  if (status == RHUMB_OK && edits.count > 0) {
    status = rhumb::check_pointers(call, {{"d_edits", edits.table}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  if (stage != RHUMB_PRE_SELECT && stage != RHUMB_POST_SELECT) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: stage %d is no rhumb_stage", call, stage);
  }
  if (write != RHUMB_DELTA && write != RHUMB_REPLACE) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: write %d is no rhumb_write", call, write);
  }
  if (width > kMostWidth) {
    return rhumb::fail(RHUMB_INVALID_ARGUMENT, "%s: width %lld is more than the %lld that steering takes", call,
                       static_cast<long long>(width), static_cast<long long>(kMostWidth));
  }
  return RHUMB_OK;
}

}  // namespace

int rhumb_steer_lists(int64_t rows, int64_t kept, int64_t features, int64_t width, const int32_t *d_indices,
                      const float *d_values, const float *d_w_dec, const float *d_b_dec, const float *d_x,
                      int64_t x_stride, int64_t edits, const int32_t *d_edits, const int32_t *d_edit_offsets, int stage,
                      int write, float *d_y, int64_t y_stride, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_steer_lists";
  int status = rhumb::check_counts(call, {{"rows", rows},
                                          {"kept", kept},
                                          {"features", features},
                                          {"width", width},
                                          {"x_stride", x_stride},
                                          {"edits", edits},
                                          {"y_stride", y_stride}});
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  const Lists lists{rows, kept, features, d_indices, d_values};
  const EditTable table{edits, d_edits, d_edit_offsets};
  const Writing w{width, d_w_dec, d_b_dec, d_x, x_stride, d_y, y_stride, write == RHUMB_REPLACE, d_faults};
  status = check_steering(call, width, table, stage, write, w);
  if (status == RHUMB_OK) {
    status = rhumb::check_pointers(call, {{"d_indices", d_indices}, {"d_values", d_values}});
  }
  if (status == RHUMB_OK && stage == RHUMB_PRE_SELECT) {
    status = rhumb::fail(RHUMB_INVALID_ARGUMENT,
                         "rhumb_steer_lists: stage RHUMB_PRE_SELECT needs the scores, which lists do not have: use "
                         "rhumb_steer");
  }
  if (status != RHUMB_OK) {
    return status;
  }
  return write_lists("rhumb_steer_lists: launch", lists, table, w, static_cast<cudaStream_t>(stream));
}

namespace {

// The workspace of rhumb_steer: the best `entries` of each row, and what their encode takes.
struct SteerPlan {
  int64_t entries;
  int32_t *features;  // (rows, entries)
  float *scores;      // (rows, entries)
  void *encode;
  int64_t encode_bytes;
  int64_t bytes;
};

SteerPlan plan(int64_t capacity, int64_t width, int64_t features, int64_t rows, int64_t kept, int64_t most_edits,
               void *scratch) {
  rhumb::Scratch cut(scratch);
  SteerPlan p;
  p.entries = kept + most_edits < features ? kept + most_edits : features;
  p.features = cut.take<int32_t>(rows * p.entries);
  p.scores = cut.take<float>(rows * p.entries);
  p.encode_bytes = rhumb_encode_top_k_scratch(capacity, width, features, rows, p.entries);
  p.encode = cut.take<unsigned char>(p.encode_bytes);
  p.bytes = cut.bytes();
  return p;
}

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace

int64_t rhumb_steer_scratch(int64_t capacity, int64_t width, int64_t features, int64_t rows, int64_t kept,
                            int64_t edits) {
  if (rows <= 0 || kept <= 0 || edits < 0) {
    return 0;
  }
  // Which of them it will be depends on the stage and on whether rows have edits of their own.
  int64_t bytes = rhumb_encode_top_k_scratch(capacity, width, features, rows, kept);
  bytes = greater(bytes, plan(capacity, width, features, rows, kept, smaller(edits, kMostEdits), nullptr).bytes);
  return greater(bytes, plan(capacity, width, features, rows, kept, smaller(edits, kEditsByRow), nullptr).bytes);
}

int rhumb_steer(const void *d_encoder, int64_t capacity, int64_t width, int64_t features, const float *d_w_dec,
                const float *d_b_dec, int64_t rows, int64_t kept, int selection, const float *d_x, int64_t x_stride,
                int64_t edits, const int32_t *d_edits, const int32_t *d_edit_offsets, int stage, int write, float *d_y,
                int64_t y_stride, int32_t *d_indices, float *d_values, void *d_scratch, int64_t scratch_bytes,
                uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_steer";
  int status = rhumb::check_counts(call, {{"capacity", capacity},
                                          {"width", width},
                                          {"features", features},
                                          {"rows", rows},
                                          {"kept", kept},
                                          {"x_stride", x_stride},
                                          {"edits", edits},
                                          {"y_stride", y_stride}});
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  const EditTable table{edits, d_edits, d_edit_offsets};
  const Writing w{width, d_w_dec, d_b_dec, d_x, x_stride, d_y, y_stride, write == RHUMB_REPLACE, d_faults};
  status = check_steering(call, width, table, stage, write, w);
  if (status == RHUMB_OK) {
    status = rhumb::check_pointers(call, {{"d_encoder", d_encoder}, {"d_indices", d_indices}, {"d_values", d_values}});
  }
  if (status == RHUMB_OK) {
    status = rhumb::check_scratch(call, d_scratch, scratch_bytes,
                                  rhumb_steer_scratch(capacity, width, features, rows, kept, edits));
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const auto queue = static_cast<cudaStream_t>(stream);
  if (stage == RHUMB_POST_SELECT || edits == 0) {
    status = rhumb_encode_top_k(d_encoder, capacity, width, features, rows, kept, selection, 1, d_x, x_stride, d_indices,
                                d_values, d_scratch, scratch_bytes, d_faults, stream);
    return status != RHUMB_OK ? status
                              : write_lists("rhumb_steer: launch", {rows, kept, features, d_indices, d_values}, table, w,
                                            queue);
  }
  const int64_t most_edits = smaller(edits, d_edit_offsets == nullptr || rows == 1 ? kMostEdits : kEditsByRow);
  const SteerPlan p = plan(capacity, width, features, rows, kept, most_edits, d_scratch);
  status = rhumb_encode_top_k(d_encoder, capacity, width, features, rows, p.entries, selection, 0, d_x, x_stride,
                              p.features, p.scores, p.encode, p.encode_bytes, d_faults, stream);
  if (status != RHUMB_OK) {
    return status;
  }
  SelectedTerms terms{};
  terms.encoder = rhumb::encoder_layout(d_encoder, capacity, width, features).encoder;
  terms.best = {rows, p.entries, features, p.features, p.scores};
  terms.edits = table;
  terms.kept = kept;
  terms.rounded = selection == RHUMB_EXACT_BF16;
  terms.indices = d_indices;
  terms.values = d_values;
  return launch_rows("rhumb_steer: launch", terms, w, rows, features, queue);
}

int rhumb_steer_above(const void *d_encoder, int64_t capacity, int64_t width, int64_t features, const float *d_threshold,
                      const float *d_gain, const float *d_offset, const float *d_w_dec, const float *d_b_dec,
                      int64_t rows, const float *d_x, int64_t x_stride, int64_t edits, const int32_t *d_edits,
                      const int32_t *d_edit_offsets, int stage, int write, float *d_y, int64_t y_stride,
                      int32_t *d_indices, float *d_values, uint64_t *d_faults, void *stream) {
  const char *call = "rhumb_steer_above";
  int status = rhumb::check_counts(call, {{"capacity", capacity},
                                          {"width", width},
                                          {"features", features},
                                          {"rows", rows},
                                          {"x_stride", x_stride},
                                          {"edits", edits},
                                          {"y_stride", y_stride}});
  if (status != RHUMB_OK || rows == 0) {
    return status;
  }
  const EditTable table{edits, d_edits, d_edit_offsets};
  const Writing w{width, d_w_dec, d_b_dec, d_x, x_stride, d_y, y_stride, write == RHUMB_REPLACE, d_faults};
  status = check_steering(call, width, table, stage, write, w);
  if (status == RHUMB_OK) {
    status = rhumb::check_pointers(call, {{"d_encoder", d_encoder},
                                          {"d_threshold", d_threshold},
                                          {"d_gain", d_gain},
                                          {"d_offset", d_offset},
                                          {"d_indices", d_indices},
                                          {"d_values", d_values}});
  }
  if (status == RHUMB_OK) {
    status = rhumb_encode_above(d_encoder, capacity, width, features, d_threshold, d_gain, d_offset, rows, d_x, x_stride,
                                d_indices, d_values, d_faults, stream);
  }
  if (status != RHUMB_OK) {
    return status;
  }
  AboveTerms terms{};
  terms.list.lists = {rows, features, features, d_indices, d_values};
  terms.list.edits = table;
  terms.encoder = rhumb::encoder_layout(d_encoder, capacity, width, features).encoder;
  terms.threshold = d_threshold;
  terms.gain = d_gain;
  terms.offset = d_offset;
  terms.pre_select = stage == RHUMB_PRE_SELECT;
  return launch_rows("rhumb_steer_above: launch", terms, w, rows, features, static_cast<cudaStream_t>(stream));
}
