package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.L;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;
import static jdk.incubator.vector.VectorOperators.OR;
import static jdk.incubator.vector.VectorOperators.XOR;

import jdk.incubator.vector.LongVector;

/** {@link Philox} for 64 columns at a time, the same bits. */
final class SimdPhilox {
  /** Columns in a block. */
  static final int BLOCK = 64;

  /** Bytes of a block's bits. */
  static final long BLOCK_BYTES = BLOCK * 4L;

  private static final long LOW = 0xFFFFFFFFL;
  private static final long HIGH = ~LOW;
  private static final long M0 = Philox.M0 & LOW;
  private static final long M1 = Philox.M1 & LOW;
  private static final LongVector EVEN = LongVector.zero(L).addIndex(2);

  private SimdPhilox() {}

  /** Sets the 64 ints at an address to the bits at (row, 64 block) to (row, 64 block + 63). */
  static void fill(long key, long stream, int row, int block, long to) {
    fill(key, stream, row, 1, 1, block, to);
  }

  /**
   * Sets the 64 ints at an address to the bits at (first, 64 block) to (first, 64 block + 63), the
   * next 64 to those of row first + step, and so on for {@code rows} of them.
   */
  static void fill(long key, long stream, int first, int step, int rows, int block, long to) {
    for (int counter = 0; counter < BLOCK / 4; counter += LANES) {
      lanes(key, stream, first, step, rows, block * 16L + counter, to + counter * 4L);
    }
  }

  /**
   * The bits of the {@code LANES} counters from one on.
   *
   * <p>Products of 32 by 32 bits take 64-bit lanes: one vector for the even counters (e), one for
   * the odd ones (o). A word stands in the high half of its lane, where the high half of a product
   * is, and is shifted down to be multiplied: the compiler takes one multiplication for 32 bits,
   * not three for 64, where it sees that shift, or a mask, at both factors. What does not depend on
   * the row is done once: all of rounds 1 and 2 but one product, and half of round 3.
   */
  private static void lanes(
      long key, long stream, int first, int step, int rows, long counter, long to) {
    LongVector m0 = LongVector.broadcast(L, M0).and(LOW);
    LongVector m1 = LongVector.broadcast(L, M1).and(LOW);
    LongVector w0 = LongVector.broadcast(L, (long) Philox.W0 << 32);
    LongVector w1 = LongVector.broadcast(L, (long) Philox.W1 << 32);
    long firstKey0 = key << 32;
    long firstKey1 = key & HIGH;
    LongVector secondKey0 = w0.add(firstKey0);
    LongVector secondKey1 = w1.add(firstKey1);
    // Round 1, where words 1 to 3 are the row and the stream.
    long p1 = (stream & LOW) * M1;
    LongVector ep0 = EVEN.add(counter).and(LOW).mul(m0);
    LongVector op0 = EVEN.add(counter + 1).and(LOW).mul(m0);
    // Round 2, where word 0 is one for all counters and word 1 one for all rows.
    long rowMix = p1 ^ firstKey0;
    long mix2 = (stream & HIGH) ^ firstKey1;
    LongVector ep1 = ep0.lanewise(XOR, mix2).lanewise(LSHR, 32).mul(m1);
    LongVector op1 = op0.lanewise(XOR, mix2).lanewise(LSHR, 32).mul(m1);
    LongVector eMix2 = ep0.lanewise(LSHL, 32).lanewise(XOR, secondKey1);
    LongVector oMix2 = op0.lanewise(LSHL, 32).lanewise(XOR, secondKey1);
    // Round 3, where word 0 is one for all rows.
    LongVector mix0 = secondKey0.lanewise(XOR, p1 << 32);
    LongVector eThird0 = ep1.lanewise(XOR, mix0).lanewise(LSHR, 32).mul(m0);
    LongVector oThird0 = op1.lanewise(XOR, mix0).lanewise(LSHR, 32).mul(m0);
    LongVector eThird1 = ep1.lanewise(LSHL, 32);
    LongVector oThird1 = op1.lanewise(LSHL, 32);
    for (int r = 0; r < rows; r++) {
      long p0 = ((rowMix >>> 32) ^ ((first + r * step) & LOW)) * M0;
      LongVector high = LongVector.broadcast(L, p0 & HIGH);
      LongVector e3 = LongVector.broadcast(L, p0 << 32);
      LongVector o3 = e3;
      LongVector e1 = eThird1;
      LongVector o1 = oThird1;
      ep0 = eThird0;
      op0 = oThird0;
      ep1 = eMix2.lanewise(XOR, high).lanewise(LSHR, 32).mul(m1);
      op1 = oMix2.lanewise(XOR, high).lanewise(LSHR, 32).mul(m1);
      LongVector key0 = secondKey0.add(w0);
      LongVector key1 = secondKey1.add(w1);
      for (int round = 3; round < Philox.ROUNDS; round++) {
        LongVector e0 = ep1.lanewise(XOR, key0).lanewise(XOR, e1);
        LongVector o0 = op1.lanewise(XOR, key0).lanewise(XOR, o1);
        LongVector e2 = ep0.lanewise(XOR, key1).lanewise(XOR, e3);
        LongVector o2 = op0.lanewise(XOR, key1).lanewise(XOR, o3);
        e1 = ep1.lanewise(LSHL, 32);
        o1 = op1.lanewise(LSHL, 32);
        e3 = ep0.lanewise(LSHL, 32);
        o3 = op0.lanewise(LSHL, 32);
        ep0 = e0.lanewise(LSHR, 32).mul(m0);
        op0 = o0.lanewise(LSHR, 32).mul(m0);
        ep1 = e2.lanewise(LSHR, 32).mul(m1);
        op1 = o2.lanewise(LSHR, 32).mul(m1);
        key0 = key0.add(w0);
        key1 = key1.add(w1);
      }
      LongVector e0 = ep1.lanewise(XOR, key0).lanewise(XOR, e1);
      LongVector o0 = op1.lanewise(XOR, key0).lanewise(XOR, o1);
      LongVector e2 = ep0.lanewise(XOR, key1).lanewise(XOR, e3);
      LongVector o2 = op0.lanewise(XOR, key1).lanewise(XOR, o3);
      long at = to + r * BLOCK_BYTES;
      e0 = e0.lanewise(LSHR, 32).lanewise(OR, o0.and(HIGH));
      e1 = ep1.and(LOW).lanewise(OR, op1.lanewise(LSHL, 32));
      e2 = e2.lanewise(LSHR, 32).lanewise(OR, o2.and(HIGH));
      e3 = ep0.and(LOW).lanewise(OR, op0.lanewise(LSHL, 32));
      e0.intoMemorySegment(MEMORY, at, ORDER);
      e1.intoMemorySegment(MEMORY, at + 64, ORDER);
      e2.intoMemorySegment(MEMORY, at + 128, ORDER);
      e3.intoMemorySegment(MEMORY, at + 192, ORDER);
    }
  }
}
