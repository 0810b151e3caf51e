package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.ScorePanels.ROWS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * The exact top k of one row among the features of an encoder that holds them at a byte for each
 * weight too.
 *
 * <p>Threads: one at a time; memory is the caller's, by address.
 */
final class PrunedFeatures extends PrunedTop {
  private SimdPackedEncoder encoder;
  private long x;
  private long group;

  /** Bytes of memory. */
  static long bytes(int kept, SimdPackedEncoder encoder) {
    return rowBytes(encoder)
        + encoder.width() * (ROWS * 4L)
        + PrunedTop.bytes(encoder.features(), kept, encoder.width());
  }

  private static long rowBytes(SimdPackedEncoder encoder) {
    return Simd.roundUp(encoder.width(), LANES) * 4L;
  }

  /**
   * Writes a row's top k: packed features and scores as they are.
   *
   * @return whether it did: the encoder's {@link BytePanels} may refuse a row
   */
  boolean find(
      SimdPackedEncoder encoder, int kept, long from, long memory, long to, long toScores) {
    this.encoder = encoder;
    int width = encoder.width();
    x = memory;
    long bias = encoder.inputBias.segment().address();
    for (int d = 0; d < width; d += LANES) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      FloatVector.fromMemorySegment(F, MEMORY, from + d * 4L, ORDER, mask)
          .sub(FloatVector.fromMemorySegment(F, MEMORY, bias + d * 4L, ORDER, mask))
          .intoMemorySegment(MEMORY, x + d * 4L, ORDER);
    }
    group = 0;
    long rest = x + rowBytes(encoder);
    int found =
        find(
            encoder.bytes,
            encoder.features(),
            kept,
            width,
            x,
            rest + width * (ROWS * 4L),
            to,
            toScores);
    this.encoder = null;
    return found >= 0;
  }

  @Override
  boolean exclude(int first, int count, long scores) {
    return false;
  }

  @Override
  void score(int count, long indices, long scores) {
    int width = encoder.width();
    long bytes = width * 4L;
    long rows = encoder.rows.segment().address();
    long starts = encoder.bytes.starts();
    for (int i = 0; i < count; i++) {
      set(scores + i * 4L, get(starts + getInt(indices + i * 4L) * 4L));
    }
    int i = 0;
    for (; i + 4 <= count; i += 4) {
      long at = indices + i * 4L;
      chains(
          rows + getInt(at) * bytes,
          rows + getInt(at + 4) * bytes,
          rows + getInt(at + 8) * bytes,
          rows + getInt(at + 12) * bytes,
          width,
          scores + i * 4L);
    }
    for (; i < count; i++) {
      chain(rows + getInt(indices + i * 4L) * bytes, width, scores + i * 4L);
    }
  }

  /** Continues a feature's chain from its start. */
  private void chain(long row, int width, long to) {
    float score = get(to);
    for (int d = 0; d < width; d++) {
      score = Math.fma(get(x + d * 4L), get(row + d * 4L), score);
    }
    set(to, score);
  }

  private void chains(long a, long b, long c, long d, int width, long to) {
    long from = x;
    float s0 = get(to);
    float s1 = get(to + 4);
    float s2 = get(to + 8);
    float s3 = get(to + 12);
    for (int i = 0; i < width; i++) {
      float value = get(from + i * 4L);
      s0 = Math.fma(value, get(a + i * 4L), s0);
      s1 = Math.fma(value, get(b + i * 4L), s1);
      s2 = Math.fma(value, get(c + i * 4L), s2);
      s3 = Math.fma(value, get(d + i * 4L), s3);
    }
    set(to, s0);
    set(to + 4, s1);
    set(to + 8, s2);
    set(to + 12, s3);
  }

  @Override
  void scoreAll(int first, int count, long scores, long maxima) {
    int width = encoder.width();
    if (group == 0) {
      // As ScorePanels reads rows: x[d] of a group beside each other.
      group = x + rowBytes(encoder);
      for (int d = 0; d < width; d++) {
        set(group + d * (ROWS * 4L), get(x + d * 4L));
      }
    }
    int panels = ScorePanels.panels(count);
    long from = encoder.panels.segment().address() + first / PANEL * ScorePanels.bytes(width);
    ScorePanels.score(
        group,
        1,
        width,
        from,
        panels,
        scores,
        panels * (PANEL * 4L),
        maxima,
        panels * (long) BYTES);
  }
}
