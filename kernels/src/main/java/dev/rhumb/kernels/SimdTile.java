package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.load;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.store;

import jdk.incubator.vector.FloatVector;

/**
 * Register tiles of a matrix product: C = A B, or C += A B, for up to 6 rows of C and a fixed
 * number of vectors of columns. Each element is one chain of fused multiply-adds from 0 with p, the
 * column of A, ascending, which is then set or added: results do not depend on how a product is cut
 * into tiles, only on how its columns of A are cut into blocks.
 *
 * <p>All addresses and strides are in bytes. Fewer than 6 rows are computed as 6 with the last one
 * repeated: nothing outside the tile is read or written. Six rows of four vectors fill the 32
 * registers of AVX-512, six rows of two the 16 of AVX2.
 */
final class SimdTile {
  /** Rows of a tile. */
  static final int ROWS = 6;

  /** Columns of a wide tile, the unit in which B is packed. */
  static final int WIDE = (LANES == 16 ? 4 : 2) * LANES;

  /** Columns of a narrow tile. */
  static final int NARROW = 2 * LANES;

  private SimdTile() {}

  /**
   * A tile with A by rows: element (i, p) of A is at {@code a + i aStride + 4 p}.
   *
   * @param cols WIDE or NARROW
   */
  static void rows(
      int rows,
      int cols,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    if (cols == NARROW) {
      rows2(rows, k, a, aStride, b, bStride, c, cStride, add);
    } else {
      rows4(rows, k, a, aStride, b, bStride, c, cStride, add);
    }
  }

  /**
   * A tile with A by columns: element (i, p) of A is at {@code a + 4 i + p aStride}.
   *
   * @param cols WIDE or NARROW
   */
  static void cols(
      int rows,
      int cols,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    if (cols == NARROW) {
      cols2(rows, k, a, aStride, b, bStride, c, cStride, add);
    } else {
      cols4(rows, k, a, aStride, b, bStride, c, cStride, add);
    }
  }

  /**
   * C = A B or C += A B in scratch memory: A (rows, k) by rows, B (k, cols), C (rows, cols).
   *
   * @param cols a multiple of NARROW
   */
  static void multiplyRows(
      int rows,
      int cols,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    for (int j = 0; j < cols; ) {
      int wide = cols - j >= WIDE ? WIDE : NARROW;
      for (int i = 0; i < rows; i += ROWS) {
        rows(
            Math.min(ROWS, rows - i),
            wide,
            k,
            a + i * aStride,
            aStride,
            b + j * 4L,
            bStride,
            c + i * cStride + j * 4L,
            cStride,
            add);
      }
      j += wide;
    }
  }

  /**
   * C = A^T B or C += A^T B in scratch memory: A (k, rows), B (k, cols), C (rows, cols).
   *
   * @param cols a multiple of NARROW
   */
  static void multiplyCols(
      int rows,
      int cols,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    for (int j = 0; j < cols; ) {
      int wide = cols - j >= WIDE ? WIDE : NARROW;
      for (int i = 0; i < rows; i += ROWS) {
        cols(
            Math.min(ROWS, rows - i),
            wide,
            k,
            a + i * 4L,
            aStride,
            b + j * 4L,
            bStride,
            c + i * cStride + j * 4L,
            cStride,
            add);
      }
      j += wide;
    }
  }

  /** A tile of 6 x 4 vectors; element (i, p) of A at {@code a + i aStride + 4 p}. */
  private static void rows4(
      int rows,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    long a0 = a;
    long a1 = rows > 1 ? a0 + aStride : a0;
    long a2 = rows > 2 ? a1 + aStride : a1;
    long a3 = rows > 3 ? a2 + aStride : a2;
    long a4 = rows > 4 ? a3 + aStride : a3;
    long a5 = rows > 5 ? a4 + aStride : a4;
    long c1 = c + Math.min(1, rows - 1) * cStride;
    long c2 = c + Math.min(2, rows - 1) * cStride;
    long c3 = c + Math.min(3, rows - 1) * cStride;
    long c4 = c + Math.min(4, rows - 1) * cStride;
    long c5 = c + Math.min(5, rows - 1) * cStride;
    FloatVector s00 = FloatVector.zero(F);
    FloatVector s01 = s00;
    FloatVector s02 = s00;
    FloatVector s03 = s00;
    FloatVector s10 = s00;
    FloatVector s11 = s00;
    FloatVector s12 = s00;
    FloatVector s13 = s00;
    FloatVector s20 = s00;
    FloatVector s21 = s00;
    FloatVector s22 = s00;
    FloatVector s23 = s00;
    FloatVector s30 = s00;
    FloatVector s31 = s00;
    FloatVector s32 = s00;
    FloatVector s33 = s00;
    FloatVector s40 = s00;
    FloatVector s41 = s00;
    FloatVector s42 = s00;
    FloatVector s43 = s00;
    FloatVector s50 = s00;
    FloatVector s51 = s00;
    FloatVector s52 = s00;
    FloatVector s53 = s00;
    for (int p = 0; p < k; p++) {
      long at = b + p * bStride;
      FloatVector b0 = load(at);
      FloatVector b1 = load(at + 1 * BYTES);
      FloatVector b2 = load(at + 2 * BYTES);
      FloatVector b3 = load(at + 3 * BYTES);
      long step = p * 4L;
      FloatVector x = FloatVector.broadcast(F, get(a0 + step));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      s02 = x.fma(b2, s02);
      s03 = x.fma(b3, s03);
      x = FloatVector.broadcast(F, get(a1 + step));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      s12 = x.fma(b2, s12);
      s13 = x.fma(b3, s13);
      x = FloatVector.broadcast(F, get(a2 + step));
      s20 = x.fma(b0, s20);
      s21 = x.fma(b1, s21);
      s22 = x.fma(b2, s22);
      s23 = x.fma(b3, s23);
      x = FloatVector.broadcast(F, get(a3 + step));
      s30 = x.fma(b0, s30);
      s31 = x.fma(b1, s31);
      s32 = x.fma(b2, s32);
      s33 = x.fma(b3, s33);
      x = FloatVector.broadcast(F, get(a4 + step));
      s40 = x.fma(b0, s40);
      s41 = x.fma(b1, s41);
      s42 = x.fma(b2, s42);
      s43 = x.fma(b3, s43);
      x = FloatVector.broadcast(F, get(a5 + step));
      s50 = x.fma(b0, s50);
      s51 = x.fma(b1, s51);
      s52 = x.fma(b2, s52);
      s53 = x.fma(b3, s53);
    }
    if (add) {
      s00 = s00.add(load(c));
      s01 = s01.add(load(c + 1 * BYTES));
      s02 = s02.add(load(c + 2 * BYTES));
      s03 = s03.add(load(c + 3 * BYTES));
      s10 = s10.add(load(c1));
      s11 = s11.add(load(c1 + 1 * BYTES));
      s12 = s12.add(load(c1 + 2 * BYTES));
      s13 = s13.add(load(c1 + 3 * BYTES));
      s20 = s20.add(load(c2));
      s21 = s21.add(load(c2 + 1 * BYTES));
      s22 = s22.add(load(c2 + 2 * BYTES));
      s23 = s23.add(load(c2 + 3 * BYTES));
      s30 = s30.add(load(c3));
      s31 = s31.add(load(c3 + 1 * BYTES));
      s32 = s32.add(load(c3 + 2 * BYTES));
      s33 = s33.add(load(c3 + 3 * BYTES));
      s40 = s40.add(load(c4));
      s41 = s41.add(load(c4 + 1 * BYTES));
      s42 = s42.add(load(c4 + 2 * BYTES));
      s43 = s43.add(load(c4 + 3 * BYTES));
      s50 = s50.add(load(c5));
      s51 = s51.add(load(c5 + 1 * BYTES));
      s52 = s52.add(load(c5 + 2 * BYTES));
      s53 = s53.add(load(c5 + 3 * BYTES));
    }
    store(s00, c);
    store(s01, c + 1 * BYTES);
    store(s02, c + 2 * BYTES);
    store(s03, c + 3 * BYTES);
    store(s10, c1);
    store(s11, c1 + 1 * BYTES);
    store(s12, c1 + 2 * BYTES);
    store(s13, c1 + 3 * BYTES);
    store(s20, c2);
    store(s21, c2 + 1 * BYTES);
    store(s22, c2 + 2 * BYTES);
    store(s23, c2 + 3 * BYTES);
    store(s30, c3);
    store(s31, c3 + 1 * BYTES);
    store(s32, c3 + 2 * BYTES);
    store(s33, c3 + 3 * BYTES);
    store(s40, c4);
    store(s41, c4 + 1 * BYTES);
    store(s42, c4 + 2 * BYTES);
    store(s43, c4 + 3 * BYTES);
    store(s50, c5);
    store(s51, c5 + 1 * BYTES);
    store(s52, c5 + 2 * BYTES);
    store(s53, c5 + 3 * BYTES);
  }

  /** A tile of 6 x 2 vectors; element (i, p) of A at {@code a + i aStride + 4 p}. */
  private static void rows2(
      int rows,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    long a0 = a;
    long a1 = rows > 1 ? a0 + aStride : a0;
    long a2 = rows > 2 ? a1 + aStride : a1;
    long a3 = rows > 3 ? a2 + aStride : a2;
    long a4 = rows > 4 ? a3 + aStride : a3;
    long a5 = rows > 5 ? a4 + aStride : a4;
    long c1 = c + Math.min(1, rows - 1) * cStride;
    long c2 = c + Math.min(2, rows - 1) * cStride;
    long c3 = c + Math.min(3, rows - 1) * cStride;
    long c4 = c + Math.min(4, rows - 1) * cStride;
    long c5 = c + Math.min(5, rows - 1) * cStride;
    FloatVector s00 = FloatVector.zero(F);
    FloatVector s01 = s00;
    FloatVector s10 = s00;
    FloatVector s11 = s00;
    FloatVector s20 = s00;
    FloatVector s21 = s00;
    FloatVector s30 = s00;
    FloatVector s31 = s00;
    FloatVector s40 = s00;
    FloatVector s41 = s00;
    FloatVector s50 = s00;
    FloatVector s51 = s00;
    for (int p = 0; p < k; p++) {
      long at = b + p * bStride;
      FloatVector b0 = load(at);
      FloatVector b1 = load(at + 1 * BYTES);
      long step = p * 4L;
      FloatVector x = FloatVector.broadcast(F, get(a0 + step));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      x = FloatVector.broadcast(F, get(a1 + step));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      x = FloatVector.broadcast(F, get(a2 + step));
      s20 = x.fma(b0, s20);
      s21 = x.fma(b1, s21);
      x = FloatVector.broadcast(F, get(a3 + step));
      s30 = x.fma(b0, s30);
      s31 = x.fma(b1, s31);
      x = FloatVector.broadcast(F, get(a4 + step));
      s40 = x.fma(b0, s40);
      s41 = x.fma(b1, s41);
      x = FloatVector.broadcast(F, get(a5 + step));
      s50 = x.fma(b0, s50);
      s51 = x.fma(b1, s51);
    }
    if (add) {
      s00 = s00.add(load(c));
      s01 = s01.add(load(c + 1 * BYTES));
      s10 = s10.add(load(c1));
      s11 = s11.add(load(c1 + 1 * BYTES));
      s20 = s20.add(load(c2));
      s21 = s21.add(load(c2 + 1 * BYTES));
      s30 = s30.add(load(c3));
      s31 = s31.add(load(c3 + 1 * BYTES));
      s40 = s40.add(load(c4));
      s41 = s41.add(load(c4 + 1 * BYTES));
      s50 = s50.add(load(c5));
      s51 = s51.add(load(c5 + 1 * BYTES));
    }
    store(s00, c);
    store(s01, c + 1 * BYTES);
    store(s10, c1);
    store(s11, c1 + 1 * BYTES);
    store(s20, c2);
    store(s21, c2 + 1 * BYTES);
    store(s30, c3);
    store(s31, c3 + 1 * BYTES);
    store(s40, c4);
    store(s41, c4 + 1 * BYTES);
    store(s50, c5);
    store(s51, c5 + 1 * BYTES);
  }

  /** A tile of 6 x 4 vectors; element (i, p) of A at {@code a + 4 i + p aStride}. */
  private static void cols4(
      int rows,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    long a1 = Math.min(1, rows - 1) * 4L;
    long a2 = Math.min(2, rows - 1) * 4L;
    long a3 = Math.min(3, rows - 1) * 4L;
    long a4 = Math.min(4, rows - 1) * 4L;
    long a5 = Math.min(5, rows - 1) * 4L;
    long c1 = c + Math.min(1, rows - 1) * cStride;
    long c2 = c + Math.min(2, rows - 1) * cStride;
    long c3 = c + Math.min(3, rows - 1) * cStride;
    long c4 = c + Math.min(4, rows - 1) * cStride;
    long c5 = c + Math.min(5, rows - 1) * cStride;
    FloatVector s00 = FloatVector.zero(F);
    FloatVector s01 = s00;
    FloatVector s02 = s00;
    FloatVector s03 = s00;
    FloatVector s10 = s00;
    FloatVector s11 = s00;
    FloatVector s12 = s00;
    FloatVector s13 = s00;
    FloatVector s20 = s00;
    FloatVector s21 = s00;
    FloatVector s22 = s00;
    FloatVector s23 = s00;
    FloatVector s30 = s00;
    FloatVector s31 = s00;
    FloatVector s32 = s00;
    FloatVector s33 = s00;
    FloatVector s40 = s00;
    FloatVector s41 = s00;
    FloatVector s42 = s00;
    FloatVector s43 = s00;
    FloatVector s50 = s00;
    FloatVector s51 = s00;
    FloatVector s52 = s00;
    FloatVector s53 = s00;
    for (int p = 0; p < k; p++) {
      long at = b + p * bStride;
      FloatVector b0 = load(at);
      FloatVector b1 = load(at + 1 * BYTES);
      FloatVector b2 = load(at + 2 * BYTES);
      FloatVector b3 = load(at + 3 * BYTES);
      long from = a + p * aStride;
      FloatVector x = FloatVector.broadcast(F, get(from));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      s02 = x.fma(b2, s02);
      s03 = x.fma(b3, s03);
      x = FloatVector.broadcast(F, get(from + a1));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      s12 = x.fma(b2, s12);
      s13 = x.fma(b3, s13);
      x = FloatVector.broadcast(F, get(from + a2));
      s20 = x.fma(b0, s20);
      s21 = x.fma(b1, s21);
      s22 = x.fma(b2, s22);
      s23 = x.fma(b3, s23);
      x = FloatVector.broadcast(F, get(from + a3));
      s30 = x.fma(b0, s30);
      s31 = x.fma(b1, s31);
      s32 = x.fma(b2, s32);
      s33 = x.fma(b3, s33);
      x = FloatVector.broadcast(F, get(from + a4));
      s40 = x.fma(b0, s40);
      s41 = x.fma(b1, s41);
      s42 = x.fma(b2, s42);
      s43 = x.fma(b3, s43);
      x = FloatVector.broadcast(F, get(from + a5));
      s50 = x.fma(b0, s50);
      s51 = x.fma(b1, s51);
      s52 = x.fma(b2, s52);
      s53 = x.fma(b3, s53);
    }
    if (add) {
      s00 = s00.add(load(c));
      s01 = s01.add(load(c + 1 * BYTES));
      s02 = s02.add(load(c + 2 * BYTES));
      s03 = s03.add(load(c + 3 * BYTES));
      s10 = s10.add(load(c1));
      s11 = s11.add(load(c1 + 1 * BYTES));
      s12 = s12.add(load(c1 + 2 * BYTES));
      s13 = s13.add(load(c1 + 3 * BYTES));
      s20 = s20.add(load(c2));
      s21 = s21.add(load(c2 + 1 * BYTES));
      s22 = s22.add(load(c2 + 2 * BYTES));
      s23 = s23.add(load(c2 + 3 * BYTES));
      s30 = s30.add(load(c3));
      s31 = s31.add(load(c3 + 1 * BYTES));
      s32 = s32.add(load(c3 + 2 * BYTES));
      s33 = s33.add(load(c3 + 3 * BYTES));
      s40 = s40.add(load(c4));
      s41 = s41.add(load(c4 + 1 * BYTES));
      s42 = s42.add(load(c4 + 2 * BYTES));
      s43 = s43.add(load(c4 + 3 * BYTES));
      s50 = s50.add(load(c5));
      s51 = s51.add(load(c5 + 1 * BYTES));
      s52 = s52.add(load(c5 + 2 * BYTES));
      s53 = s53.add(load(c5 + 3 * BYTES));
    }
    store(s00, c);
    store(s01, c + 1 * BYTES);
    store(s02, c + 2 * BYTES);
    store(s03, c + 3 * BYTES);
    store(s10, c1);
    store(s11, c1 + 1 * BYTES);
    store(s12, c1 + 2 * BYTES);
    store(s13, c1 + 3 * BYTES);
    store(s20, c2);
    store(s21, c2 + 1 * BYTES);
    store(s22, c2 + 2 * BYTES);
    store(s23, c2 + 3 * BYTES);
    store(s30, c3);
    store(s31, c3 + 1 * BYTES);
    store(s32, c3 + 2 * BYTES);
    store(s33, c3 + 3 * BYTES);
    store(s40, c4);
    store(s41, c4 + 1 * BYTES);
    store(s42, c4 + 2 * BYTES);
    store(s43, c4 + 3 * BYTES);
    store(s50, c5);
    store(s51, c5 + 1 * BYTES);
    store(s52, c5 + 2 * BYTES);
    store(s53, c5 + 3 * BYTES);
  }

  /** A tile of 6 x 2 vectors; element (i, p) of A at {@code a + 4 i + p aStride}. */
  private static void cols2(
      int rows,
      int k,
      long a,
      long aStride,
      long b,
      long bStride,
      long c,
      long cStride,
      boolean add) {
    long a1 = Math.min(1, rows - 1) * 4L;
    long a2 = Math.min(2, rows - 1) * 4L;
    long a3 = Math.min(3, rows - 1) * 4L;
    long a4 = Math.min(4, rows - 1) * 4L;
    long a5 = Math.min(5, rows - 1) * 4L;
    long c1 = c + Math.min(1, rows - 1) * cStride;
    long c2 = c + Math.min(2, rows - 1) * cStride;
    long c3 = c + Math.min(3, rows - 1) * cStride;
    long c4 = c + Math.min(4, rows - 1) * cStride;
    long c5 = c + Math.min(5, rows - 1) * cStride;
    FloatVector s00 = FloatVector.zero(F);
    FloatVector s01 = s00;
    FloatVector s10 = s00;
    FloatVector s11 = s00;
    FloatVector s20 = s00;
    FloatVector s21 = s00;
    FloatVector s30 = s00;
    FloatVector s31 = s00;
    FloatVector s40 = s00;
    FloatVector s41 = s00;
    FloatVector s50 = s00;
    FloatVector s51 = s00;
    for (int p = 0; p < k; p++) {
      long at = b + p * bStride;
      FloatVector b0 = load(at);
      FloatVector b1 = load(at + 1 * BYTES);
      long from = a + p * aStride;
      FloatVector x = FloatVector.broadcast(F, get(from));
      s00 = x.fma(b0, s00);
      s01 = x.fma(b1, s01);
      x = FloatVector.broadcast(F, get(from + a1));
      s10 = x.fma(b0, s10);
      s11 = x.fma(b1, s11);
      x = FloatVector.broadcast(F, get(from + a2));
      s20 = x.fma(b0, s20);
      s21 = x.fma(b1, s21);
      x = FloatVector.broadcast(F, get(from + a3));
      s30 = x.fma(b0, s30);
      s31 = x.fma(b1, s31);
      x = FloatVector.broadcast(F, get(from + a4));
      s40 = x.fma(b0, s40);
      s41 = x.fma(b1, s41);
      x = FloatVector.broadcast(F, get(from + a5));
      s50 = x.fma(b0, s50);
      s51 = x.fma(b1, s51);
    }
    if (add) {
      s00 = s00.add(load(c));
      s01 = s01.add(load(c + 1 * BYTES));
      s10 = s10.add(load(c1));
      s11 = s11.add(load(c1 + 1 * BYTES));
      s20 = s20.add(load(c2));
      s21 = s21.add(load(c2 + 1 * BYTES));
      s30 = s30.add(load(c3));
      s31 = s31.add(load(c3 + 1 * BYTES));
      s40 = s40.add(load(c4));
      s41 = s41.add(load(c4 + 1 * BYTES));
      s50 = s50.add(load(c5));
      s51 = s51.add(load(c5 + 1 * BYTES));
    }
    store(s00, c);
    store(s01, c + 1 * BYTES);
    store(s10, c1);
    store(s11, c1 + 1 * BYTES);
    store(s20, c2);
    store(s21, c2 + 1 * BYTES);
    store(s30, c3);
    store(s31, c3 + 1 * BYTES);
    store(s40, c4);
    store(s41, c4 + 1 * BYTES);
    store(s50, c5);
    store(s51, c5 + 1 * BYTES);
  }

  /** Copies (rows, cols) to rows of {@code width}, filled up with zeros. */
  static void pack(int rows, int cols, long from, long fromStride, long to, int width) {
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < width; j += LANES) {
        FloatVector x =
            load(from + i * fromStride + j * 4L, F.indexInRange(Math.min(j, cols), cols));
        store(x, to + ((long) i * width + j) * 4);
      }
    }
  }

  /** Copies the transpose of (rows, cols) to rows of {@code width}, filled up with zeros. */
  static void packTransposed(int rows, int cols, long from, long fromStride, long to, int width) {
    long toStride = width * 4L;
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < cols; j++) {
        set(to + j * toStride + i * 4L, get(from + i * fromStride + j * 4L));
      }
    }
    for (int i = rows; i < width; i++) {
      for (int j = 0; j < cols; j++) {
        set(to + j * toStride + i * 4L, 0);
      }
    }
  }
}
