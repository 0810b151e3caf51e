package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.ScorePanels.ROWS;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.load;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.store;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * A block of rows on the way to their top k: the rows in groups, their scores against one chunk of
 * panels, and one row's candidates. A tensor of rows x all candidates never exists.
 *
 * <p>Threads: one at a time; memory is the caller's, by address.
 */
final class ScoreBlock {
  /** Rows of a block: several groups, so that a panel read into the cache serves them all. */
  static final int MOST_ROWS = 4 * ROWS;

  /** Panels of a chunk: the scores of a block against it fit in the second-level cache. */
  static final int CHUNK = 4096 / PANEL;

  /** Scores up to this magnitude cannot have met an infinity on the way. */
  private static final float SAFE = 0x1p120f;

  private final TopCandidates candidates = new TopCandidates();
  private final boolean[] safe = new boolean[MOST_ROWS];
  private final int[] saved = new int[MOST_ROWS];
  private final float[] least = new float[MOST_ROWS];
  private int width;
  private int kept;
  private int most;
  private long stride;
  private long x;
  private long scores;
  private long maxima;
  private long row;
  private long memory;

  /** Bytes of memory for up to {@code rows} rows against chunks of up to {@code panels}. */
  static long bytes(int rows, int width, int kept, int panels) {
    long groups = Simd.roundUp(rows, ROWS);
    long stride = panels * (PANEL * 4L);
    return (groups + 1) * (Simd.roundUp(width, LANES) * 4L)
        + groups * (stride + stride / ScorePanels.VECTORS)
        + TopCandidates.bytes(kept, panels * PANEL);
  }

  /** Takes up a block. The same bounds as for {@link #bytes}. */
  void start(int rows, int width, int kept, int panels, long memory) {
    int groups = Simd.roundUp(rows, ROWS);
    this.width = width;
    this.kept = kept;
    most = panels * PANEL;
    stride = panels * (PANEL * 4L);
    scores = memory;
    maxima = scores + groups * stride;
    x = maxima + groups * (stride / ScorePanels.VECTORS);
    row = x + groups * (Simd.roundUp(width, LANES) * 4L);
    this.memory = row + Simd.roundUp(width, LANES) * 4L;
  }

  /**
   * Puts row {@code r} in its group.
   *
   * @param from its width floats
   * @param bias what is taken from them, or 0 for nothing
   * @param mostWeight the largest magnitude among the weights to come; may be NaN
   * @param mostStart the largest magnitude among the chains' starts
   */
  void row(int r, long from, long bias, float mostWeight, float mostStart) {
    FloatVector most = FloatVector.zero(F);
    boolean finite = true;
    for (int d = 0; d < width; d += LANES) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      FloatVector value = load(from + d * 4L, mask);
      if (bias != 0) {
        value = value.sub(load(bias + d * 4L, mask));
      }
      store(value, row + d * 4L);
      FloatVector size = value.abs();
      finite &= size.compare(VectorOperators.LE, SAFE).allTrue();
      most = most.blend(size, size.compare(VectorOperators.GT, most));
    }
    long to = x + (r / ROWS * ROWS) * (width * 4L) + r % ROWS * 4;
    for (int d = 0; d < width; d++) {
      set(to + d * (ROWS * 4L), get(row + d * 4L));
    }
    // False where a weight is NaN.
    safe[r] =
        finite
            && mostWeight <= SAFE
            && most.reduceLanes(VectorOperators.MAX) * mostWeight * width + mostStart <= SAFE;
    saved[r] = 0;
    least[r] = Float.NEGATIVE_INFINITY;
  }

  /** Takes a row up again that another block has kept candidates of. */
  void resume(int r, int saved, float least) {
    this.saved[r] = saved;
    this.least[r] = least;
  }

  /** How many candidates of a row {@link #keep} has put away. */
  int saved(int r) {
    return saved[r];
  }

  /** What a score must reach to get in after {@link #keep}. */
  float least(int r) {
    return least[r];
  }

  /** Whether a row's inputs rule a NaN out of its scores. */
  boolean safe(int r) {
    return safe[r];
  }

  /** Scores the first {@code rows} rows against a chunk of panels. */
  void score(int rows, long panels, int count) {
    ScorePanels.score(x, rows, width, panels, count, scores, maxima, stride);
  }

  /** Where the scores of a row against the chunk are. */
  long scores(int r) {
    return scores + r * stride;
  }

  /** Where the maxima of a row are: one vector for each panel of the chunk. */
  long maxima(int r) {
    return maxima + r * (stride / ScorePanels.VECTORS);
  }

  /**
   * The first NaN among the first {@code count} scores of a row, or -1. Rows whose inputs rule a
   * NaN out are not searched.
   */
  int findNaN(int r, int count) {
    if (safe[r]) {
      return -1;
    }
    for (int i = 0; i < count; i += LANES) {
      var nan = load(scores(r) + i * 4L).test(VectorOperators.IS_NAN);
      int at = i + nan.firstTrue();
      if (nan.anyTrue() && at < count) {
        return at;
      }
    }
    return -1;
  }

  /**
   * Adds a row's scores against a chunk that is not the last to what the row has kept so far.
   *
   * @param first the index of the chunk's first candidate
   * @param toIndices room for kept indices, where the row's state stays until its next chunk
   * @param toScores likewise
   */
  void keep(int r, int panels, int first, long toIndices, long toScores) {
    collect(r, panels, first, toIndices, toScores);
    float smallest = candidates.trim();
    // What comes later has a higher index, so it must be greater to get in.
    least[r] = smallest == Float.NEGATIVE_INFINITY ? smallest : Math.nextUp(smallest);
    saved[r] = candidates.count();
    candidates.save(toIndices, toScores);
  }

  /**
   * Writes a row's top k, given the last chunk.
   *
   * @return how many there were, at most kept
   */
  int finish(int r, int panels, int first, long toIndices, long toScores) {
    collect(r, panels, first, toIndices, toScores);
    return candidates.write(toIndices, toScores);
  }

  private void collect(int r, int panels, int first, long fromIndices, long fromScores) {
    candidates.start(kept, most, memory);
    float bound = Math.max(least[r], candidates.bound(maxima(r), panels));
    candidates.restore(saved[r], fromIndices, fromScores);
    candidates.add(scores(r), maxima(r), panels, first, bound);
  }
}
