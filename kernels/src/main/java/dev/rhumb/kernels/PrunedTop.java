package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;
import static dev.rhumb.kernels.TopBlock.CHUNK;

/**
 * The top k of one row from {@link BytePanels}: candidates are taken in chunks, those whose bounds
 * reach the least of the k best so far are scored exactly, the others cannot be among the k best.
 * The answer is that of scoring all.
 *
 * <p>The first bound to reach comes from the chunk itself: its k candidates of the highest bounds,
 * scored. Where more than one in {@link #SHARE} of a chunk reach it, the whole chunk is scored in
 * order, which is then cheaper: so for a k that is not small against a chunk, for scores that lie
 * closer together than the bounds are wide, and for candidates sorted by rising score.
 *
 * <p>Threads: one at a time; memory is the caller's, by address.
 */
abstract class PrunedTop {
  /** Scattered candidates cost about so many times what candidates in order do. */
  private static final int SHARE = 4;

  private final TopCandidates candidates = new TopCandidates();
  private final BytePanels.Row row = new BytePanels.Row();

  // Steps that are units of their own.
  private final Workers.Task boundTask = this::bound;
  private final Workers.Task scoreTask = this::scoreSome;

  // The arguments of the step under way.
  private BytePanels from;
  private long scoredIndices;
  private long scoredTo;

  private int kept;
  private int panels;
  private long scores;
  private long maxima;
  private long memory;

  // The candidates that gave a chunk's first bound, and those that are not among them.
  private int firstCount;
  private long firstIndices;
  private long firstScores;
  private long otherIndices;
  private long otherScores;
  private long otherPlaces;
  private int chunksInFull;

  /** Bytes of memory for k of a number of candidates. */
  static long bytes(int count, int kept, int width) {
    int panels = chunk(count);
    return BytePanels.rowBytes(width)
        + panels * (PANEL * 4L + BYTES)
        + 5L * most(panels) * 4
        + TopCandidates.bytes(kept, panels * PANEL);
  }

  /** How many candidates of a chunk are scored one by one at most. */
  private static int most(int panels) {
    return Simd.roundUp(panels * PANEL / SHARE, LANES);
  }

  private static int chunk(int count) {
    return Math.min(CHUNK, ScorePanels.panels(count));
  }

  /** Sets the scores of candidates that are out of the choice to NaN; whether there were any. */
  abstract boolean exclude(int first, int count, long scores);

  /** Sets the exact scores of some candidates, by index. */
  abstract void score(int count, long indices, long scores);

  /**
   * Sets the exact scores of all candidates of some panels; what fills up the last one is NaN.
   *
   * @param maxima room for a vector for each panel, which stays undefined
   */
  abstract void scoreAll(int first, int count, long scores, long maxima);

  /**
   * Writes a row's top k, in order.
   *
   * @return how many there were, at most k; -1, with nothing written, where the panels refuse the
   *     row: it must be scored in full
   */
  final int find(
      BytePanels from,
      int count,
      int kept,
      int width,
      long x,
      long memory,
      long to,
      long toScores) {
    chunksInFull = 0;
    if (!from.take(x, row, memory)) {
      return -1;
    }
    this.from = from;
    this.kept = kept;
    panels = chunk(count);
    scores = memory + BytePanels.rowBytes(width);
    maxima = scores + panels * (PANEL * 4L);
    firstIndices = maxima + panels * (long) BYTES;
    long listBytes = most(panels) * 4L;
    firstScores = firstIndices + listBytes;
    otherIndices = firstScores + listBytes;
    otherScores = otherIndices + listBytes;
    otherPlaces = otherScores + listBytes;
    this.memory = otherPlaces + listBytes;
    float least = Float.NEGATIVE_INFINITY;
    int saved = 0;
    for (int first = 0; ; first += CHUNK * PANEL) {
      int chunkCount = Math.min(CHUNK * PANEL, count - first);
      Workers.apart(boundTask, first / PANEL, ScorePanels.panels(chunkCount));
      collect(first, chunkCount, least, saved, to, toScores);
      if (first + chunkCount == count) {
        this.from = null;
        return candidates.write(to, toScores);
      }
      float smallest = candidates.trim();
      // What comes later has a higher index, so it must be greater to get in.
      least = smallest == Float.NEGATIVE_INFINITY ? smallest : Math.nextUp(smallest);
      saved = candidates.count();
      candidates.save(to, toScores);
    }
  }

  private void bound(int firstPanel, int count) {
    from.bounds(row, firstPanel, count, scores, maxima);
  }

  /** Of the last row, how many chunks were scored in full. */
  final int chunksInFull() {
    return chunksInFull;
  }

  /** Makes the kept candidates and those of a chunk that can join them, scored, the candidates. */
  private void collect(int first, int count, float least, int saved, long from, long fromScores) {
    int chunk = ScorePanels.panels(count);
    if (exclude(first, count, scores)) {
      setMaxima(chunk);
    }
    firstCount = 0;
    float bound = least == Float.NEGATIVE_INFINITY ? firstBound(first, count) : least;
    restart(saved, from, fromScores);
    if (bound != Float.NEGATIVE_INFINITY) {
      candidates.add(scores, maxima, chunk, first, bound);
      if (isFew(candidates.count() - saved, count)) {
        scoreFrom(saved);
        return;
      }
      restart(saved, from, fromScores);
    }
    chunksInFull++;
    scoreAll(first, count, scores, maxima);
    exclude(first, count, scores);
    setMaxima(chunk);
    bound = Math.max(least, candidates.bound(maxima, chunk));
    candidates.add(scores, maxima, chunk, first, bound);
  }

  /** A bound that the k best surely reach, from a chunk; -infinity where it gives none. */
  private float firstBound(int first, int count) {
    int chunk = ScorePanels.panels(count);
    candidates.start(kept, panels * PANEL, memory);
    float bound = candidates.bound(maxima, chunk);
    if (bound == Float.NEGATIVE_INFINITY) {
      return bound;
    }
    candidates.add(scores, maxima, chunk, first, bound);
    if (!isFew(candidates.count(), count)) {
      return Float.NEGATIVE_INFINITY;
    }
    scoreApart(candidates.count(), candidates.indices(), candidates.scores());
    firstCount = candidates.count();
    candidates.save(firstIndices, firstScores);
    return candidates.trim();
  }

  private static boolean isFew(int passing, int count) {
    return passing <= count / SHARE;
  }

  private void restart(int saved, long from, long fromScores) {
    candidates.start(kept, panels * PANEL, memory);
    candidates.restore(saved, from, fromScores);
  }

  /** Scores the candidates from one on, all of one chunk, but for those that have been scored. */
  private void scoreFrom(int from) {
    long indices = candidates.indices();
    long to = candidates.scores();
    int others = 0;
    int first = 0;
    for (int i = from; i < candidates.count(); i++) {
      int index = getInt(indices + i * 4L);
      while (first < firstCount && getInt(firstIndices + first * 4L) < index) {
        first++;
      }
      if (first < firstCount && getInt(firstIndices + first * 4L) == index) {
        set(to + i * 4L, get(firstScores + first * 4L));
      } else {
        setInt(otherIndices + others * 4L, index);
        setInt(otherPlaces + others * 4L, i);
        others++;
      }
    }
    scoreApart(others, otherIndices, otherScores);
    for (int i = 0; i < others; i++) {
      set(to + getInt(otherPlaces + i * 4L) * 4L, get(otherScores + i * 4L));
    }
  }

  private void scoreApart(int count, long indices, long to) {
    scoredIndices = indices;
    scoredTo = to;
    Workers.apart(scoreTask, count, 0);
  }

  private void scoreSome(int count, int unused) {
    score(count, scoredIndices, scoredTo);
  }

  private void setMaxima(int chunk) {
    for (int p = 0; p < chunk; p++) {
      ScorePanels.maximaOfNumbers(scores + p * (PANEL * 4L), maxima + p * (long) BYTES);
    }
  }
}
