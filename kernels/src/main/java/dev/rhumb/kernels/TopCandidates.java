package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.ScorePanels.VECTORS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.I;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * The candidates for the top k of one row: what passed a bound that the k best surely pass, in
 * ascending order of index; then the exact choice among them, by (score descending, index
 * ascending), -0 equal to +0. NaN scores never become candidates.
 *
 * <p>Memory is the caller's, by address. Threads: one at a time.
 */
final class TopCandidates {
  private static final IntVector IOTA = IntVector.zero(I).addIndex(1);

  /** Up to this many candidates are ranked by counting, n * n / LANES comparisons; more, sorted. */
  private static final int COUNTED = 256;

  /** Maxima from which a bound is taken, as a multiple of k: the more, the tighter. */
  private static final int SPREAD = 4;

  /** Scores compared at a time. */
  private static final int GROUP = 4 * LANES;

  // Steps that are units of their own.
  private final Workers.Task boundTask = this::bound;
  private final Workers.Task addTask = this::add;
  private final Workers.Task trimTask = this::trim;
  private final Workers.Task writeTask = this::write;

  // The arguments of the step under way, and its result.
  private long from;
  private long maxima;
  private long toIndices;
  private long toScores;
  private float bound;

  private int kept;
  private int count;
  private long scores;
  private long indices;
  private long spareScores;
  private long spareIndices;
  private long hits;
  private long places;

  /** Bytes of memory for k of at most {@code most} scores at a time. */
  static long bytes(int kept, int most) {
    return 4 * capacity(kept, most) * 4 + 4L * (most / PANEL + 2 + COUNTED);
  }

  private static long capacity(int kept, int most) {
    return Simd.roundUp(kept + most, LANES) + (long) GROUP;
  }

  /** Takes up a row: no candidates yet. */
  void start(int kept, int most, long memory) {
    this.kept = kept;
    count = 0;
    scores = memory;
    indices = scores + capacity(kept, most) * 4;
    spareScores = indices + capacity(kept, most) * 4;
    spareIndices = spareScores + capacity(kept, most) * 4;
    hits = spareIndices + capacity(kept, most) * 4;
    places = hits + 4L * (most / PANEL + 2);
  }

  /** Number of candidates. */
  int count() {
    return count;
  }

  /** The candidates' indices, ascending. */
  long indices() {
    return indices;
  }

  /** The candidates' scores, which the caller may set before it trims or writes them. */
  long scores() {
    return scores;
  }

  /**
   * A bound that at least k of the scores pass, score >= bound, or -infinity: about the k-th
   * largest of groups' maxima.
   *
   * @param maxima one vector for each panel
   */
  float bound(long maxima, int panels) {
    if ((long) panels * LANES < kept) {
      return Float.NEGATIVE_INFINITY;
    }
    this.maxima = maxima;
    Workers.apart(boundTask, panels, kept);
    return bound;
  }

  private void bound(int panels, int kept) {
    long maxima = this.maxima;
    int groups = Math.min(panels, Math.max(1, (SPREAD * kept + LANES - 1) / LANES));
    FloatVector least = FloatVector.broadcast(F, Float.POSITIVE_INFINITY);
    FloatVector most = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
    for (int g = 0; g < groups; g++) {
      FloatVector group = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
      for (int p = g; p < panels; p += groups) {
        FloatVector next =
            FloatVector.fromMemorySegment(F, MEMORY, maxima + p * (long) BYTES, ORDER);
        group = group.blend(next, next.compare(VectorOperators.GT, group));
      }
      group.intoMemorySegment(MEMORY, spareScores + g * (long) BYTES, ORDER);
      least = least.blend(group, group.compare(VectorOperators.LT, least));
      most = most.blend(group, group.compare(VectorOperators.GT, most));
    }
    int low = key(least.reduceLanes(VectorOperators.MIN));
    long high = key(most.reduceLanes(VectorOperators.MAX)) + 1L;
    bound = threshold(spareScores, groups, kept, kept + kept / 8, low, high);
  }

  /**
   * The largest bound that at least k of some scores pass, or one that no more than {@code enough}
   * pass.
   *
   * @param low the key of a bound that at least k pass
   * @param high the key of a bound that fewer than k pass
   */
  private static float threshold(long from, int vectors, int k, int enough, int low, long high) {
    long lowest = low;
    while (high - lowest > 1) {
      long middle = (lowest + high) >> 1;
      int passing = passing(from, vectors, value((int) middle));
      if (passing >= k) {
        lowest = middle;
        if (passing <= enough) {
          break;
        }
      } else {
        high = middle;
      }
    }
    return value((int) lowest);
  }

  private static int passing(long from, int vectors, float bound) {
    int passing = 0;
    for (int v = 0; v < vectors; v++) {
      VectorMask<Float> passes =
          FloatVector.fromMemorySegment(F, MEMORY, from + v * (long) BYTES, ORDER)
              .compare(VectorOperators.GE, bound);
      // One move and one count, where trueCount stores the mask first.
      passing += Long.bitCount(passes.toLong());
    }
    return passing;
  }

  /** An int that orders as the float does; its own inverse is {@link #value}. */
  private static int key(float value) {
    int bits = Float.floatToRawIntBits(value);
    return bits ^ ((bits >> 31) & Integer.MAX_VALUE);
  }

  private static float value(int key) {
    return Float.intBitsToFloat(key ^ ((key >> 31) & Integer.MAX_VALUE));
  }

  /**
   * Adds the scores that are at least a bound.
   *
   * @param from the scores, in whole panels
   * @param maxima one vector for each panel
   * @param first the index of the first score, above all those added before
   */
  void add(long from, long maxima, int panels, int first, float bound) {
    this.from = from;
    this.maxima = maxima;
    this.bound = bound;
    Workers.apart(addTask, panels, first);
  }

  private void add(int panels, int first) {
    long from = this.from;
    long maxima = this.maxima;
    float least = bound;
    int hit = 0;
    for (int p = 0; p < panels; p++) {
      boolean any =
          FloatVector.fromMemorySegment(F, MEMORY, maxima + p * (long) BYTES, ORDER)
              .compare(VectorOperators.GE, least)
              .anyTrue();
      setInt(hits + hit * 4L, p);
      hit += any ? 1 : 0;
    }
    int n = count;
    for (int h = 0; h < hit; h++) {
      int p = getInt(hits + h * 4L);
      long panel = from + p * (PANEL * 4L);
      IntVector index = IOTA.add(first + p * PANEL);
      for (int v = 0; v < VECTORS; v++) {
        FloatVector score = FloatVector.fromMemorySegment(F, MEMORY, panel + v * BYTES, ORDER);
        VectorMask<Float> passes = score.compare(VectorOperators.GE, least);
        score.compress(passes).intoMemorySegment(MEMORY, scores + n * 4L, ORDER);
        index
            .reinterpretAsFloats()
            .compress(passes)
            .intoMemorySegment(MEMORY, indices + n * 4L, ORDER);
        n += Long.bitCount(passes.toLong());
        index = index.add(LANES);
      }
    }
    count = n;
  }

  /**
   * Adds the scores that are above a threshold each.
   *
   * @param from the scores
   * @param count how many
   * @param first the index of the first score, above all those added before
   * @param thresholds of the same scores
   */
  void addAbove(long from, int count, int first, long thresholds) {
    int n = this.count;
    IntVector index = IOTA.add(first);
    for (int i = 0; i < count; i += LANES) {
      FloatVector score = FloatVector.fromMemorySegment(F, MEMORY, from + i * 4L, ORDER);
      VectorMask<Float> passes;
      if (i + LANES <= count) {
        passes =
            score.compare(
                VectorOperators.GT,
                FloatVector.fromMemorySegment(F, MEMORY, thresholds + i * 4L, ORDER));
      } else {
        VectorMask<Float> there = F.indexInRange(i, count);
        passes =
            score
                .compare(
                    VectorOperators.GT,
                    FloatVector.fromMemorySegment(F, MEMORY, thresholds + i * 4L, ORDER, there))
                .and(there);
      }
      score.compress(passes).intoMemorySegment(MEMORY, scores + n * 4L, ORDER);
      index
          .reinterpretAsFloats()
          .compress(passes)
          .intoMemorySegment(MEMORY, indices + n * 4L, ORDER);
      n += Long.bitCount(passes.toLong());
      index = index.add(LANES);
    }
    this.count = n;
  }

  /** Adds candidates that an earlier {@link #save} put away; all indices are above those before. */
  void restore(int saved, long fromIndices, long fromScores) {
    copy(fromScores, scores + count * 4L, saved);
    copy(fromIndices, indices + count * 4L, saved);
    count += saved;
  }

  /** Puts the candidates away, in ascending order of index. */
  void save(long toIndices, long toScores) {
    copy(scores, toScores, count);
    copy(indices, toIndices, count);
  }

  private static void copy(long from, long to, int floats) {
    int i = 0;
    for (; i + LANES <= floats; i += LANES) {
      FloatVector.fromMemorySegment(F, MEMORY, from + i * 4L, ORDER)
          .intoMemorySegment(MEMORY, to + i * 4L, ORDER);
    }
    for (; i < floats; i++) {
      set(to + i * 4L, get(from + i * 4L));
    }
  }

  /** Leaves the k best, still in ascending order of index. The least of their scores, if k. */
  float trim() {
    if (count < kept) {
      return Float.NEGATIVE_INFINITY;
    }
    Workers.apart(trimTask, count, kept);
    return bound;
  }

  private void trim(int count, int kept) {
    bound = count > COUNTED ? trimMany() : trimFew();
  }

  private float trimFew() {
    findPlaces();
    float smallest = 0;
    int n = 0;
    for (int i = 0; i < count; i++) {
      int place = getInt(places + i * 4L);
      float score = get(scores + i * 4L);
      set(scores + n * 4L, score);
      setInt(indices + n * 4L, getInt(indices + i * 4L));
      smallest = place == kept - 1 ? score : smallest;
      n += place < kept ? 1 : 0;
    }
    count = n;
    return smallest;
  }

  private float trimMany() {
    FloatVector.broadcast(F, Float.NaN).intoMemorySegment(MEMORY, scores + count * 4L, ORDER);
    int vectors = (count + LANES - 1) / LANES;
    float least =
        threshold(
            scores,
            vectors,
            kept,
            kept,
            key(Float.NEGATIVE_INFINITY),
            key(Float.POSITIVE_INFINITY) + 1L);
    int above = 0;
    for (int i = 0; i < count; i++) {
      above += get(scores + i * 4L) > least ? 1 : 0;
    }
    int ties = kept - above;
    float smallest = Float.POSITIVE_INFINITY;
    int n = 0;
    for (int i = 0; i < count; i++) {
      float score = get(scores + i * 4L);
      if (score > least || (score == least && ties-- > 0)) {
        set(scores + n * 4L, score);
        setInt(indices + n * 4L, getInt(indices + i * 4L));
        smallest = Math.min(smallest, score);
        n++;
      }
    }
    count = n;
    return smallest;
  }

  /**
   * Writes the k best in order, or all where there are fewer; the scores as they are.
   *
   * @return how many
   */
  int write(long toIndices, long toScores) {
    if (count > COUNTED) {
      trim();
    }
    this.toIndices = toIndices;
    this.toScores = toScores;
    Workers.apart(writeTask, count, kept);
    return Math.min(count, kept);
  }

  private void write(int count, int kept) {
    if (count > COUNTED) {
      sort(toIndices, toScores);
    } else {
      rank(toIndices, toScores);
    }
  }

  private void rank(long toIndices, long toScores) {
    findPlaces();
    for (int i = 0; i < count; i++) {
      int place = getInt(places + i * 4L);
      set(spareScores + place * 4L, get(scores + i * 4L));
      setInt(spareIndices + place * 4L, getInt(indices + i * 4L));
    }
    int n = Math.min(count, kept);
    copy(spareIndices, toIndices, n);
    copy(spareScores, toScores, n);
  }

  /** A candidate's place is the number of those before it in the order. */
  private void findPlaces() {
    FloatVector nan = FloatVector.broadcast(F, Float.NaN);
    for (int v = 0; v < 4; v++) {
      nan.intoMemorySegment(MEMORY, scores + count * 4L + v * BYTES, ORDER);
    }
    for (int i = 0; i < count; i++) {
      setInt(places + i * 4L, 0);
    }
    int sum = 0;
    for (int first = 0; first < count; first += GROUP) {
      sum += countGreater(first);
    }
    // Among equals all have the same number of greater ones, which makes the sum too small.
    if (sum != count * (count - 1) / 2) {
      for (int first = 0; first < count; first += GROUP) {
        countEqualBefore(first);
      }
    }
  }

  /** Adds to each candidate's place how many of a group are greater; the sum of all that. */
  private int countGreater(int first) {
    long from = scores + first * 4L;
    FloatVector s0 = FloatVector.fromMemorySegment(F, MEMORY, from, ORDER);
    FloatVector s1 = FloatVector.fromMemorySegment(F, MEMORY, from + BYTES, ORDER);
    FloatVector s2 = FloatVector.fromMemorySegment(F, MEMORY, from + 2 * BYTES, ORDER);
    FloatVector s3 = FloatVector.fromMemorySegment(F, MEMORY, from + 3 * BYTES, ORDER);
    int sum = 0;
    for (int i = 0; i < count; i++) {
      FloatVector own = FloatVector.broadcast(F, get(scores + i * 4L));
      long greater =
          s0.compare(VectorOperators.GT, own).toLong()
              | s1.compare(VectorOperators.GT, own).toLong() << LANES
              | s2.compare(VectorOperators.GT, own).toLong() << 2 * LANES
              | s3.compare(VectorOperators.GT, own).toLong() << 3 * LANES;
      int places = Long.bitCount(greater);
      sum += places;
      setInt(this.places + i * 4L, getInt(this.places + i * 4L) + places);
    }
    return sum;
  }

  /** Adds to each candidate's place how many of a group are equal and come before it. */
  private void countEqualBefore(int first) {
    for (int i = first; i < count; i++) {
      float own = get(scores + i * 4L);
      int equal = 0;
      for (int j = first; j < Math.min(i, first + GROUP); j++) {
        equal += get(scores + j * 4L) == own ? 1 : 0;
      }
      setInt(places + i * 4L, getInt(places + i * 4L) + equal);
    }
  }

  /**
   * Merges runs of doubling length; among equals the left run, whose indices are smaller, leads.
   */
  private void sort(long toIndices, long toScores) {
    for (int run = 1; run < count; run *= 2) {
      for (int left = 0; left < count; left += 2 * run) {
        merge(left, Math.min(left + run, count), Math.min(left + 2 * run, count));
      }
      long swap = scores;
      scores = spareScores;
      spareScores = swap;
      swap = indices;
      indices = spareIndices;
      spareIndices = swap;
    }
    copy(scores, toScores, count);
    copy(indices, toIndices, count);
  }

  private void merge(int left, int middle, int end) {
    int right = middle;
    for (int to = left; to < end; to++) {
      boolean takeRight =
          left == middle || (right < end && get(scores + right * 4L) > get(scores + left * 4L));
      int from = takeRight ? right++ : left++;
      set(spareScores + to * 4L, get(scores + from * 4L));
      setInt(spareIndices + to * 4L, getInt(indices + from * 4L));
    }
  }
}
