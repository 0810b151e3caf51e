package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.FLOAT;
import static dev.rhumb.kernels.Simd.INDEX;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.set;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * Register tiles of a matrix product: C = A B, or C += A B, for {@value #ROWS} rows of C and a
 * fixed number of vectors of columns.
 *
 * <p>Three things make a tile's loop what it should be, loads and multiply-adds alone. Addresses
 * are masked ({@link Simd#ADDRESS}), so the compiler sees that no bounds check can fail and leaves
 * them out; otherwise it makes a nest of loops of one with {@code long} checks. The rows of A share
 * one offset, an {@code int} that is not negative: only such a one becomes part of a load, and a
 * block's elements of a row must lie within 2 GiB. And five rows of four vectors, with the vectors
 * of B and the elements of A that they meet, fit AVX-512's 32 registers in any order that the
 * compiler takes the loads in; six rows spill in some.
 *
 * <p>A is read as it lies, transposed or not. B stands in panels, {@link #WIDE} columns wide, the
 * last one {@link #NARROW} where that is enough; where its rows are near each other, as it lies.
 *
 * <p>Each element of C is a sum over blocks of {@value #BLOCK} columns of A, each one chain of
 * fused multiply-adds from 0 in ascending order. Results do not depend on how a product is cut into
 * tiles.
 *
 * <p>Addresses and strides are in bytes.
 */
final class SimdTile {
  /** Rows of a tile. */
  static final int ROWS = 5;

  /** Columns of a wide tile and of B's panels. */
  static final int WIDE = (LANES == 16 ? 4 : 2) * LANES;

  /** Columns of a narrow tile, the unit of B's columns. */
  static final int NARROW = 2 * LANES;

  /** Columns of a block of A: as many rows of a panel of B stay in the first-level cache. */
  private static final int BLOCK = 64;

  /** The largest stride at which 64 rows share the first-level cache's sets evenly enough. */
  private static final long NEAR = 512;

  /** Bytes of room that a product needs for a tile. */
  static final long ROOM = ROWS * WIDE * 4L;

  /** What a product's chains start from. */
  private static final MemorySegment ZEROS = Arena.global().allocate(4L * BYTES, 64);

  private SimdTile() {}

  /**
   * C = A B, or C += A B, with A as it lies, transposed or not.
   *
   * @param rows of A and C
   * @param cols of B and C, a multiple of NARROW
   * @param k columns of A
   * @param rowStep from a row of A to the next
   * @param step from an element of a row of A to the next
   * @param b panels of B, or B as it lies ({@link #isNear})
   * @param bStride from a row of B to the next where it lies as it is, or 0
   * @param bRows how many rows B's panels have
   * @param room ROOM bytes of scratch memory
   */
  static void multiply(
      int rows,
      int cols,
      int k,
      long a,
      long rowStep,
      long step,
      long b,
      long bStride,
      int bRows,
      long c,
      long cStride,
      boolean add,
      long room) {
    for (int j = 0; j < cols; j += WIDE) {
      int width = Math.min(WIDE, cols - j);
      long bStep = bStride == 0 ? width * 4L : bStride;
      long panel = b + (bStride == 0 ? (long) j * bRows : j) * 4;
      int p = 0;
      do {
        int depth = Math.min(BLOCK, k - p);
        panel(
            rows,
            width,
            depth,
            a + p * step,
            rowStep,
            step,
            panel + p * bStep,
            bStep,
            c + j * 4L,
            cStride,
            add || p > 0,
            room);
        p += BLOCK;
      } while (p < k);
    }
  }

  /**
   * Whether rows so far apart may be read as they lie: 64 of them do not push each other out of the
   * first-level cache.
   */
  static boolean isNear(long stride) {
    return stride <= NEAR;
  }

  /** One block of A by one panel of B. */
  private static void panel(
      int rows,
      int width,
      int k,
      long a,
      long rowStep,
      long step,
      long b,
      long bStep,
      long c,
      long cStride,
      boolean add,
      long room) {
    long zeros = ZEROS.address();
    for (int i = 0; i < rows; ) {
      int count = rows - i >= ROWS ? ROWS : Math.min(2, rows - i);
      long x = a + i * rowStep;
      long to = c + i * cStride;
      long target = add ? room : to;
      long stride = add ? width * 4L : cStride;
      // A last row alone is computed twice.
      long once = count - 1;
      if (width == 4 * LANES) {
        if (count == ROWS) {
          tile4(k, x, rowStep, step, b, bStep, zeros, target, stride);
        } else {
          pair4(k, x, once * rowStep, step, b, bStep, zeros, target, once * stride);
        }
        if (add) {
          add4(count, room, to, cStride);
        }
      } else {
        if (count == ROWS) {
          tile2(k, x, rowStep, step, b, bStep, zeros, target, stride);
        } else {
          pair2(k, x, once * rowStep, step, b, bStep, zeros, target, once * stride);
        }
        if (add) {
          add2(count, room, to, cStride);
        }
      }
      i += count;
    }
  }

  private static void add4(int rows, long from, long to, long stride) {
    for (int r = 0; r < rows; r++) {
      from &= ADDRESS;
      to &= ADDRESS;
      FloatVector x0 =
          FloatVector.fromMemorySegment(F, MEMORY, from, ORDER)
              .add(FloatVector.fromMemorySegment(F, MEMORY, to, ORDER));
      FloatVector x1 =
          FloatVector.fromMemorySegment(F, MEMORY, from + BYTES, ORDER)
              .add(FloatVector.fromMemorySegment(F, MEMORY, to + BYTES, ORDER));
      FloatVector x2 =
          FloatVector.fromMemorySegment(F, MEMORY, from + 2 * BYTES, ORDER)
              .add(FloatVector.fromMemorySegment(F, MEMORY, to + 2 * BYTES, ORDER));
      FloatVector x3 =
          FloatVector.fromMemorySegment(F, MEMORY, from + 3 * BYTES, ORDER)
              .add(FloatVector.fromMemorySegment(F, MEMORY, to + 3 * BYTES, ORDER));
      x0.intoMemorySegment(MEMORY, to, ORDER);
      x1.intoMemorySegment(MEMORY, to + BYTES, ORDER);
      x2.intoMemorySegment(MEMORY, to + 2 * BYTES, ORDER);
      x3.intoMemorySegment(MEMORY, to + 3 * BYTES, ORDER);
      from += 4 * BYTES;
      to += stride;
    }
  }

  private static void add2(int rows, long from, long to, long stride) {
    for (int r = 0; r < rows; r++) {
      from &= ADDRESS;
      to &= ADDRESS;
      FloatVector x0 =
          FloatVector.fromMemorySegment(F, MEMORY, from, ORDER)
              .add(FloatVector.fromMemorySegment(F, MEMORY, to, ORDER));
      FloatVector x1 =
          FloatVector.fromMemorySegment(F, MEMORY, from + BYTES, ORDER)
              .add(FloatVector.fromMemorySegment(F, MEMORY, to + BYTES, ORDER));
      x0.intoMemorySegment(MEMORY, to, ORDER);
      x1.intoMemorySegment(MEMORY, to + BYTES, ORDER);
      from += 2 * BYTES;
      to += stride;
    }
  }

  /** Copies (rows, cols); the copy's rows are filled up to whole vectors. */
  static void copy(int rows, int cols, long from, long stride, long to, long toStride) {
    for (int j = 0; j < cols; j += LANES) {
      VectorMask<Float> mask = F.indexInRange(j, cols);
      for (int i = 0; i < rows; i++) {
        FloatVector.fromMemorySegment(F, MEMORY, from + i * stride + j * 4L, ORDER, mask)
            .intoMemorySegment(MEMORY, to + i * toStride + j * 4L, ORDER);
      }
    }
  }

  /**
   * Copies (rows, cols) into panels of B, {@code cols} filled up with zeros to a multiple of
   * NARROW.
   */
  static void pack(int rows, int cols, long from, long stride, long to) {
    int padded = Simd.roundUp(cols, NARROW);
    for (int j = 0; j < padded; j += WIDE) {
      int width = Math.min(WIDE, padded - j);
      long panel = to + (long) j * rows * 4;
      if (width == 4 * LANES && cols - j >= width) {
        pack4(rows, from + j * 4L, stride, panel);
        continue;
      }
      for (int i = 0; i < rows; i++) {
        for (int c = 0; c < width; c += LANES) {
          VectorMask<Float> mask = F.indexInRange(Math.min(j + c, cols), cols);
          FloatVector x =
              FloatVector.fromMemorySegment(
                  F, MEMORY, from + i * stride + (j + c) * 4L, ORDER, mask);
          x.intoMemorySegment(MEMORY, panel + ((long) i * width + c) * 4, ORDER);
        }
      }
    }
  }

  private static void pack4(int rows, long from, long stride, long to) {
    for (int i = 0; i < rows; i++) {
      from &= ADDRESS;
      to &= ADDRESS;
      FloatVector x0 = FloatVector.fromMemorySegment(F, MEMORY, from, ORDER);
      FloatVector x1 = FloatVector.fromMemorySegment(F, MEMORY, from + BYTES, ORDER);
      FloatVector x2 = FloatVector.fromMemorySegment(F, MEMORY, from + 2 * BYTES, ORDER);
      FloatVector x3 = FloatVector.fromMemorySegment(F, MEMORY, from + 3 * BYTES, ORDER);
      x0.intoMemorySegment(MEMORY, to, ORDER);
      x1.intoMemorySegment(MEMORY, to + BYTES, ORDER);
      x2.intoMemorySegment(MEMORY, to + 2 * BYTES, ORDER);
      x3.intoMemorySegment(MEMORY, to + 3 * BYTES, ORDER);
      from += stride;
      to += 4 * BYTES;
    }
  }

  /**
   * Copies the transpose of (rows, cols) into panels of B, {@code rows} filled up with zeros to a
   * multiple of NARROW.
   */
  static void packTransposed(int rows, int cols, long from, long stride, long to) {
    int padded = Simd.roundUp(rows, NARROW);
    int wholeCols = F.loopBound(cols);
    for (int j = 0; j < padded; j += WIDE) {
      int width = Math.min(WIDE, padded - j);
      long panel = to + (long) j * cols * 4;
      long panelStride = width * 4L;
      int wholeRows = F.loopBound(Math.max(0, Math.min(width, rows - j)));
      // Some columns at a time: their part of the panel stays near.
      for (int p = 0; p < wholeCols && wholeRows > 0; p += BLOCK) {
        Simd.transpose(
            wholeRows,
            Math.min(BLOCK, wholeCols - p),
            from + j * stride + p * 4L,
            stride,
            panel + p * panelStride,
            panelStride);
      }
      for (int i = 0; i < width; i++) {
        long row = j + i < rows ? from + (j + i) * stride : 0;
        packColumn(i < wholeRows ? wholeCols : 0, cols, row, panel + i * 4L, panelStride);
      }
    }
  }

  /** Spreads some of a row, or zeros for address 0, over a column. */
  private static void packColumn(int first, int end, long from, long to, long stride) {
    for (int p = first; p < end; p++) {
      set(to + p * stride, from == 0 ? 0 : get(from + p * 4L));
    }
  }

  /** Five rows of four vectors: C = start + A B; distances as in {@link #multiply}. */
  static void tile4(
      int k,
      long a,
      long rowStep,
      long step,
      long b,
      long bStep,
      long start,
      long c,
      long cStride) {
    start &= ADDRESS;
    FloatVector s00 = FloatVector.fromMemorySegment(F, MEMORY, start, ORDER);
    FloatVector s01 = FloatVector.fromMemorySegment(F, MEMORY, start + 1 * BYTES, ORDER);
    FloatVector s02 = FloatVector.fromMemorySegment(F, MEMORY, start + 2 * BYTES, ORDER);
    FloatVector s03 = FloatVector.fromMemorySegment(F, MEMORY, start + 3 * BYTES, ORDER);
    FloatVector s10 = s00;
    FloatVector s11 = s01;
    FloatVector s12 = s02;
    FloatVector s13 = s03;
    FloatVector s20 = s00;
    FloatVector s21 = s01;
    FloatVector s22 = s02;
    FloatVector s23 = s03;
    FloatVector s30 = s00;
    FloatVector s31 = s01;
    FloatVector s32 = s02;
    FloatVector s33 = s03;
    FloatVector s40 = s00;
    FloatVector s41 = s01;
    FloatVector s42 = s02;
    FloatVector s43 = s03;
    long row0 = a & ADDRESS;
    long row1 = (row0 + rowStep) & ADDRESS;
    long row2 = (row1 + rowStep) & ADDRESS;
    long row3 = (row2 + rowStep) & ADDRESS;
    long row4 = (row3 + rowStep) & ADDRESS;
    int by = (int) step;
    int next = 0;
    for (int p = 0; p < k; p++) {
      long at = next & INDEX;
      b &= ADDRESS;
      FloatVector b0 = FloatVector.fromMemorySegment(F, MEMORY, b, ORDER);
      FloatVector b1 = FloatVector.fromMemorySegment(F, MEMORY, b + 1 * BYTES, ORDER);
      FloatVector b2 = FloatVector.fromMemorySegment(F, MEMORY, b + 2 * BYTES, ORDER);
      FloatVector b3 = FloatVector.fromMemorySegment(F, MEMORY, b + 3 * BYTES, ORDER);
      b += bStep;
      FloatVector x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row0 + at));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      s02 = x.fma(b2, s02);
      s03 = x.fma(b3, s03);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row1 + at));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      s12 = x.fma(b2, s12);
      s13 = x.fma(b3, s13);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row2 + at));
      s20 = x.fma(b0, s20);
      s21 = x.fma(b1, s21);
      s22 = x.fma(b2, s22);
      s23 = x.fma(b3, s23);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row3 + at));
      s30 = x.fma(b0, s30);
      s31 = x.fma(b1, s31);
      s32 = x.fma(b2, s32);
      s33 = x.fma(b3, s33);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row4 + at));
      s40 = x.fma(b0, s40);
      s41 = x.fma(b1, s41);
      s42 = x.fma(b2, s42);
      s43 = x.fma(b3, s43);
      next += by;
    }
    c &= ADDRESS;
    s00.intoMemorySegment(MEMORY, c, ORDER);
    s01.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    s02.intoMemorySegment(MEMORY, c + 2 * BYTES, ORDER);
    s03.intoMemorySegment(MEMORY, c + 3 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s10.intoMemorySegment(MEMORY, c, ORDER);
    s11.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    s12.intoMemorySegment(MEMORY, c + 2 * BYTES, ORDER);
    s13.intoMemorySegment(MEMORY, c + 3 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s20.intoMemorySegment(MEMORY, c, ORDER);
    s21.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    s22.intoMemorySegment(MEMORY, c + 2 * BYTES, ORDER);
    s23.intoMemorySegment(MEMORY, c + 3 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s30.intoMemorySegment(MEMORY, c, ORDER);
    s31.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    s32.intoMemorySegment(MEMORY, c + 2 * BYTES, ORDER);
    s33.intoMemorySegment(MEMORY, c + 3 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s40.intoMemorySegment(MEMORY, c, ORDER);
    s41.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    s42.intoMemorySegment(MEMORY, c + 2 * BYTES, ORDER);
    s43.intoMemorySegment(MEMORY, c + 3 * BYTES, ORDER);
  }

  /** Five rows of two vectors: C = start + A B; distances as in {@link #multiply}. */
  static void tile2(
      int k,
      long a,
      long rowStep,
      long step,
      long b,
      long bStep,
      long start,
      long c,
      long cStride) {
    start &= ADDRESS;
    FloatVector s00 = FloatVector.fromMemorySegment(F, MEMORY, start, ORDER);
    FloatVector s01 = FloatVector.fromMemorySegment(F, MEMORY, start + 1 * BYTES, ORDER);
    FloatVector s10 = s00;
    FloatVector s11 = s01;
    FloatVector s20 = s00;
    FloatVector s21 = s01;
    FloatVector s30 = s00;
    FloatVector s31 = s01;
    FloatVector s40 = s00;
    FloatVector s41 = s01;
    long row0 = a & ADDRESS;
    long row1 = (row0 + rowStep) & ADDRESS;
    long row2 = (row1 + rowStep) & ADDRESS;
    long row3 = (row2 + rowStep) & ADDRESS;
    long row4 = (row3 + rowStep) & ADDRESS;
    int by = (int) step;
    int next = 0;
    for (int p = 0; p < k; p++) {
      long at = next & INDEX;
      b &= ADDRESS;
      FloatVector b0 = FloatVector.fromMemorySegment(F, MEMORY, b, ORDER);
      FloatVector b1 = FloatVector.fromMemorySegment(F, MEMORY, b + 1 * BYTES, ORDER);
      b += bStep;
      FloatVector x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row0 + at));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row1 + at));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row2 + at));
      s20 = x.fma(b0, s20);
      s21 = x.fma(b1, s21);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row3 + at));
      s30 = x.fma(b0, s30);
      s31 = x.fma(b1, s31);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row4 + at));
      s40 = x.fma(b0, s40);
      s41 = x.fma(b1, s41);
      next += by;
    }
    c &= ADDRESS;
    s00.intoMemorySegment(MEMORY, c, ORDER);
    s01.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s10.intoMemorySegment(MEMORY, c, ORDER);
    s11.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s20.intoMemorySegment(MEMORY, c, ORDER);
    s21.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s30.intoMemorySegment(MEMORY, c, ORDER);
    s31.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s40.intoMemorySegment(MEMORY, c, ORDER);
    s41.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
  }

  /** Two rows of four vectors: C = start + A B; distances as in {@link #multiply}. */
  private static void pair4(
      int k,
      long a,
      long rowStep,
      long step,
      long b,
      long bStep,
      long start,
      long c,
      long cStride) {
    start &= ADDRESS;
    FloatVector s00 = FloatVector.fromMemorySegment(F, MEMORY, start, ORDER);
    FloatVector s01 = FloatVector.fromMemorySegment(F, MEMORY, start + 1 * BYTES, ORDER);
    FloatVector s02 = FloatVector.fromMemorySegment(F, MEMORY, start + 2 * BYTES, ORDER);
    FloatVector s03 = FloatVector.fromMemorySegment(F, MEMORY, start + 3 * BYTES, ORDER);
    FloatVector s10 = s00;
    FloatVector s11 = s01;
    FloatVector s12 = s02;
    FloatVector s13 = s03;
    long row0 = a & ADDRESS;
    long row1 = (row0 + rowStep) & ADDRESS;
    int by = (int) step;
    int next = 0;
    for (int p = 0; p < k; p++) {
      long at = next & INDEX;
      b &= ADDRESS;
      FloatVector b0 = FloatVector.fromMemorySegment(F, MEMORY, b, ORDER);
      FloatVector b1 = FloatVector.fromMemorySegment(F, MEMORY, b + 1 * BYTES, ORDER);
      FloatVector b2 = FloatVector.fromMemorySegment(F, MEMORY, b + 2 * BYTES, ORDER);
      FloatVector b3 = FloatVector.fromMemorySegment(F, MEMORY, b + 3 * BYTES, ORDER);
      b += bStep;
      FloatVector x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row0 + at));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      s02 = x.fma(b2, s02);
      s03 = x.fma(b3, s03);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row1 + at));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      s12 = x.fma(b2, s12);
      s13 = x.fma(b3, s13);
      next += by;
    }
    c &= ADDRESS;
    s00.intoMemorySegment(MEMORY, c, ORDER);
    s01.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    s02.intoMemorySegment(MEMORY, c + 2 * BYTES, ORDER);
    s03.intoMemorySegment(MEMORY, c + 3 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s10.intoMemorySegment(MEMORY, c, ORDER);
    s11.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    s12.intoMemorySegment(MEMORY, c + 2 * BYTES, ORDER);
    s13.intoMemorySegment(MEMORY, c + 3 * BYTES, ORDER);
  }

  /** Two rows of two vectors: C = start + A B; distances as in {@link #multiply}. */
  private static void pair2(
      int k,
      long a,
      long rowStep,
      long step,
      long b,
      long bStep,
      long start,
      long c,
      long cStride) {
    start &= ADDRESS;
    FloatVector s00 = FloatVector.fromMemorySegment(F, MEMORY, start, ORDER);
    FloatVector s01 = FloatVector.fromMemorySegment(F, MEMORY, start + 1 * BYTES, ORDER);
    FloatVector s10 = s00;
    FloatVector s11 = s01;
    long row0 = a & ADDRESS;
    long row1 = (row0 + rowStep) & ADDRESS;
    int by = (int) step;
    int next = 0;
    for (int p = 0; p < k; p++) {
      long at = next & INDEX;
      b &= ADDRESS;
      FloatVector b0 = FloatVector.fromMemorySegment(F, MEMORY, b, ORDER);
      FloatVector b1 = FloatVector.fromMemorySegment(F, MEMORY, b + 1 * BYTES, ORDER);
      b += bStep;
      FloatVector x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row0 + at));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      x = FloatVector.broadcast(F, MEMORY.get(FLOAT, row1 + at));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      next += by;
    }
    c &= ADDRESS;
    s00.intoMemorySegment(MEMORY, c, ORDER);
    s01.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
    c = (c + cStride) & ADDRESS;
    s10.intoMemorySegment(MEMORY, c, ORDER);
    s11.intoMemorySegment(MEMORY, c + 1 * BYTES, ORDER);
  }
}
