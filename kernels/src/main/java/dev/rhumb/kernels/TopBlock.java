package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * A block of rows on the way to their top k: the scores of some of them against one chunk of the
 * candidates, and what each row has kept of the chunks before. A tensor of rows x all candidates
 * never exists.
 *
 * <p>Threads: one at a time; memory is the caller's, by address.
 */
final class TopBlock {
  /** Rows of a block at most. */
  static final int MOST_ROWS = 96;

  /** Panels of a chunk: a chunk and some rows' scores against it fit in the second-level cache. */
  static final int CHUNK = 4096 / PANEL;

  private final TopCandidates candidates = new TopCandidates();
  private final int[] saved = new int[MOST_ROWS];
  private final float[] least = new float[MOST_ROWS];
  private int kept;
  private int panels;
  private int origin;
  private long scores;
  private long maxima;
  private long memory;

  /**
   * Bytes of memory.
   *
   * @param held rows whose scores are held at a time
   * @param panels panels of a chunk at most
   */
  static long bytes(int held, int kept, int panels) {
    return held * (stride(panels) + maximaStride(panels))
        + TopCandidates.bytes(kept, panels * PANEL);
  }

  /**
   * Bytes from one row of scores to the next. An odd number of cache lines: rows a power of two
   * apart would fall on each other in the cache.
   */
  static long stride(int panels) {
    return panels * (PANEL * 4L) + Buffer.ALIGNMENT;
  }

  /** Bytes from one row of maxima to the next. */
  static long maximaStride(int panels) {
    return panels * (long) BYTES + Buffer.ALIGNMENT;
  }

  /**
   * Takes up a block of rows that have kept nothing yet. The same bounds as for {@link #bytes}.
   *
   * @param rows at most MOST_ROWS
   */
  void start(int rows, int held, int kept, int panels, long memory) {
    this.kept = kept;
    this.panels = panels;
    origin = 0;
    scores = memory;
    maxima = scores + held * stride(panels);
    this.memory = maxima + held * maximaStride(panels);
    for (int r = 0; r < rows; r++) {
      saved[r] = 0;
      least[r] = Float.NEGATIVE_INFINITY;
    }
  }

  /** Makes row {@code first} the first whose scores are held. */
  void hold(int first) {
    origin = first;
  }

  /** Where the scores of a row against the chunk go, in whole panels. */
  long scores(int r) {
    return scores + (r - origin) * stride(panels);
  }

  /** Where the maxima of a row go: one vector for each panel, over the panel's vectors. */
  long maxima(int r) {
    return maxima + (r - origin) * maximaStride(panels);
  }

  /** The first NaN among the first {@code count} scores of a row, or -1. */
  int findNaN(int r, int count) {
    for (int i = 0; i < count; i += LANES) {
      VectorMask<Float> nan =
          FloatVector.fromMemorySegment(F, MEMORY, scores(r) + i * 4L, ORDER)
              .test(VectorOperators.IS_NAN);
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

  /**
   * Appends a row's scores above their thresholds to those of the chunks before.
   *
   * @param count scores of the chunk
   * @param first the index of the chunk's first candidate
   * @param thresholds the chunk's
   * @return how many the row has now
   */
  int above(int r, int count, int first, long thresholds, long toIndices, long toScores) {
    candidates.start(kept, panels * PANEL, memory);
    candidates.addAbove(scores(r), count, first, thresholds);
    candidates.save(toIndices + saved[r] * 4L, toScores + saved[r] * 4L);
    saved[r] += candidates.count();
    return saved[r];
  }

  private void collect(int r, int panels, int first, long fromIndices, long fromScores) {
    candidates.start(kept, this.panels * PANEL, memory);
    float bound = Math.max(least[r], candidates.bound(maxima(r), panels));
    candidates.restore(saved[r], fromIndices, fromScores);
    candidates.add(scores(r), maxima(r), panels, first, bound);
  }
}
