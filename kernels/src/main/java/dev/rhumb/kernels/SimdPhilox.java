package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.L;
import static dev.rhumb.kernels.Simd.LANES;

import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;

/** {@link Philox} for 64 columns at a time, the same bits. */
final class SimdPhilox {
  /** Columns in a block. */
  static final int BLOCK = 64;

  private static final long LOW = 0xFFFFFFFFL;
  private static final LongVector EVEN =
      LongVector.zero(L).addIndex(1).lanewise(VectorOperators.LSHL, 1);

  private SimdPhilox() {}

  /** Sets the 64 ints at an address to the bits at (row, 64 block) to (row, 64 block + 63). */
  static void fill(long key, long stream, int row, int block, long to) {
    for (int first = 0; first < BLOCK / 4; first += LANES) {
      // Products of 32 by 32 bits take 64-bit lanes: one vector for the even counters, one for the
      // odd ones. Only the low half of a lane counts until it is multiplied.
      LongVector e0 = EVEN.add(block * 16L + first);
      LongVector o0 = e0.add(1);
      LongVector e1 = LongVector.broadcast(L, row);
      LongVector o1 = e1;
      LongVector e2 = LongVector.broadcast(L, stream);
      LongVector o2 = e2;
      LongVector e3 = LongVector.broadcast(L, stream >>> 32);
      LongVector o3 = e3;
      int k0 = (int) key;
      int k1 = (int) (key >>> 32);
      for (int round = 0; round < Philox.ROUNDS; round++) {
        LongVector ep0 = e0.and(LOW).mul(Philox.M0 & LOW);
        LongVector op0 = o0.and(LOW).mul(Philox.M0 & LOW);
        LongVector ep1 = e2.and(LOW).mul(Philox.M1 & LOW);
        LongVector op1 = o2.and(LOW).mul(Philox.M1 & LOW);
        LongVector key0 = LongVector.broadcast(L, k0);
        LongVector key1 = LongVector.broadcast(L, k1);
        e0 = high(ep1).lanewise(VectorOperators.XOR, e1).lanewise(VectorOperators.XOR, key0);
        o0 = high(op1).lanewise(VectorOperators.XOR, o1).lanewise(VectorOperators.XOR, key0);
        e2 = high(ep0).lanewise(VectorOperators.XOR, e3).lanewise(VectorOperators.XOR, key1);
        o2 = high(op0).lanewise(VectorOperators.XOR, o3).lanewise(VectorOperators.XOR, key1);
        e1 = ep1;
        o1 = op1;
        e3 = ep0;
        o3 = op0;
        k0 += Philox.W0;
        k1 += Philox.W1;
      }
      long at = to + first * 4L;
      join(e0, o0, at);
      join(e1, o1, at + 64);
      join(e2, o2, at + 128);
      join(e3, o3, at + 192);
    }
  }

  private static LongVector high(LongVector product) {
    return product.lanewise(VectorOperators.LSHR, 32);
  }

  private static void join(LongVector even, LongVector odd, long at) {
    LongVector both =
        even.and(LOW).lanewise(VectorOperators.OR, odd.lanewise(VectorOperators.LSHL, 32));
    both.intoMemorySegment(Simd.MEMORY, at, Simd.ORDER);
  }
}
