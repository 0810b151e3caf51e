package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.ScorePanels.ROWS;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.TopBlock.CHUNK;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * A block of rows on the way through an encoder: the rows in groups, as {@link ScorePanels} reads
 * them, and their top k.
 *
 * <p>Threads: one at a time; memory is the caller's, by address.
 */
final class EncodeBlock {
  /** Rows scored at a time at least: several groups, so that a panel in cache serves them all. */
  private static final int LEAST_ROWS = 4 * ROWS;

  /** Scores held at a time, about. */
  private static final int SCORES = 1 << 17;

  /** Scores up to this magnitude cannot have met an infinity on the way. */
  private static final float SAFE = 0x1p120f;

  private final TopBlock top = new TopBlock();
  private final boolean[] safe = new boolean[TopBlock.MOST_ROWS];
  private SimdPackedEncoder encoder;
  private int rows;
  private int kept;
  private int panels;
  private long row;
  private long x;

  /**
   * How many rows a block should have: one step where the features are one chunk, more where each
   * chunk must be read again for each block.
   */
  static int rows(int rows, int threads, SimdPackedEncoder encoder) {
    int panels = ScorePanels.panels(encoder.features());
    int most = panels <= CHUNK ? step(panels) : TopBlock.MOST_ROWS;
    return Math.max(1, Math.min(most, Simd.roundUp(Simd.ceilDiv(rows, threads), ROWS)));
  }

  /** How many rows are scored at a time against chunks of up to {@code panels}. */
  private static int step(int panels) {
    return Math.clamp(SCORES / (panels * PANEL) / ROWS * ROWS, LEAST_ROWS, TopBlock.MOST_ROWS);
  }

  private static int held(int rows, int panels) {
    return Simd.roundUp(Math.min(rows, step(panels)), ROWS);
  }

  private static int chunk(SimdPackedEncoder encoder) {
    return Math.min(CHUNK, ScorePanels.panels(encoder.features()));
  }

  private static long rowBytes(int width) {
    return Simd.roundUp(width, LANES) * 4L;
  }

  /** Bytes of memory for up to {@code rows} rows. */
  static long bytes(int rows, int kept, SimdPackedEncoder encoder) {
    int panels = chunk(encoder);
    return (Simd.roundUp(rows, ROWS) + 1) * rowBytes(encoder.width())
        + TopBlock.bytes(held(rows, panels), kept, panels);
  }

  /** Takes up a block of rows. */
  void start(int rows, int kept, SimdPackedEncoder encoder, long memory) {
    this.rows = rows;
    this.kept = kept;
    this.encoder = encoder;
    panels = chunk(encoder);
    row = memory;
    x = row + rowBytes(encoder.width());
    long end = x + Simd.roundUp(rows, ROWS) * rowBytes(encoder.width());
    top.start(rows, held(rows, panels), kept, panels, end);
  }

  /** Drops what it refers to. */
  void end() {
    encoder = null;
  }

  /** Takes row {@code r}, centred, into its group. */
  void row(int r, long from) {
    int width = encoder.width();
    long bias = encoder.inputBias.segment().address();
    FloatVector most = FloatVector.zero(F);
    boolean finite = true;
    for (int d = 0; d < width; d += LANES) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      FloatVector value =
          FloatVector.fromMemorySegment(F, MEMORY, from + d * 4L, ORDER, mask)
              .sub(FloatVector.fromMemorySegment(F, MEMORY, bias + d * 4L, ORDER, mask));
      value.intoMemorySegment(MEMORY, row + d * 4L, ORDER);
      FloatVector size = value.abs();
      finite &= size.compare(VectorOperators.LE, SAFE).allTrue();
      most = most.blend(size, size.compare(VectorOperators.GT, most));
    }
    long to = x + (r / ROWS * ROWS) * (width * 4L) + r % ROWS * 4;
    for (int d = 0; d < width; d++) {
      set(to + d * (ROWS * 4L), get(row + d * 4L));
    }
    float largest = most.reduceLanes(VectorOperators.MAX);
    safe[r] = finite && largest * encoder.mostWeight * width + encoder.mostBias <= SAFE;
  }

  /**
   * The top k of all rows: packed features and scores as they are.
   *
   * @param firstRow the number of row 0, to name one in an error
   */
  void encode(String operation, int firstRow, long toIndices, long toScores) {
    long from = encoder.panels.segment().address();
    long panelBytes = ScorePanels.bytes(encoder.width());
    int all = ScorePanels.panels(encoder.features());
    int step = step(panels);
    for (int p = 0; p < all; p += CHUNK) {
      int chunk = Math.min(CHUNK, all - p);
      boolean last = p + chunk == all;
      for (int r = 0; r < rows; r++) {
        if (r % step == 0) {
          score(r, Math.min(step, rows - r), from + p * panelBytes, chunk);
        }
        if (!safe[r]) {
          requireNumbers(operation, firstRow, r, p);
        }
        long at = r * (kept * 4L);
        if (last) {
          top.finish(r, chunk, p * PANEL, toIndices + at, toScores + at);
        } else {
          top.keep(r, chunk, p * PANEL, toIndices + at, toScores + at);
        }
      }
    }
  }

  /**
   * The features of all rows whose scores are above their thresholds, ascending, and those scores,
   * as lists of room for all features.
   *
   * @param firstRow the number of row 0, to name one in an error
   */
  void encodeAbove(String operation, int firstRow, long thresholds, long toIndices, long toScores) {
    long from = encoder.panels.segment().address();
    long panelBytes = ScorePanels.bytes(encoder.width());
    int features = encoder.features();
    int all = ScorePanels.panels(features);
    int step = step(panels);
    for (int p = 0; p < all; p += CHUNK) {
      int chunk = Math.min(CHUNK, all - p);
      int first = p * PANEL;
      int count = Math.min(chunk * PANEL, features - first);
      for (int r = 0; r < rows; r++) {
        if (r % step == 0) {
          score(r, Math.min(step, rows - r), from + p * panelBytes, chunk);
        }
        if (!safe[r]) {
          requireNumbers(operation, firstRow, r, p);
        }
        long at = r * (features * 4L);
        int n = top.above(r, count, first, thresholds + first * 4L, toIndices + at, toScores + at);
        if (n < features && p + chunk == all) {
          Simd.setInt(toIndices + at + n * 4L, Sae.END);
        }
      }
    }
  }

  private void score(int first, int count, long from, int chunk) {
    top.hold(first);
    ScorePanels.score(
        x + first * (encoder.width() * 4L),
        count,
        encoder.width(),
        from,
        chunk,
        top.scores(first),
        TopBlock.stride(panels),
        top.maxima(first),
        TopBlock.maximaStride(panels));
  }

  private void requireNumbers(String operation, int firstRow, int r, int panel) {
    int first = panel * PANEL;
    int at = top.findNaN(r, Math.min(CHUNK * PANEL, encoder.features() - first));
    if (at >= 0) {
      int feature = Simd.getInt(encoder.names.segment().address() + (first + at) * 4L);
      throw new ArithmeticException(
          operation + ": row " + (firstRow + r) + ": the score of feature " + feature + " is NaN");
    }
  }
}
