package dev.rhumb.kernels;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.stream.IntStream;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * The vector width of this process, chosen once, and what all SIMD kernels share.
 *
 * <p>Kernels read and write by absolute address through {@link #MEMORY}: the public entry points
 * have checked every range and that every buffer is open, and one segment without end leaves no
 * bounds check that could fail. The compiler leaves a check out where it sees at once that it
 * holds: {@code (base & ADDRESS) + 4L * (i & INDEX)}. One that it cannot prove costs a branch, or,
 * where it is hoisted out of a loop, dozens of instructions before the loop: much, if rows are
 * short. Fields that a loop needs go into local variables before it, as any store off the heap may
 * change a field for all that the compiler knows.
 *
 * <p>A vector stays in registers only where all that gives or takes it is inlined, and becomes an
 * object elsewhere. The library's methods always are inlined; ours only while what the compiler
 * makes of the outermost method is small (its NodeCountInliningCutoff), and which method is
 * outermost differs from run to run. So vectors and masks are not passed to our methods, nor
 * returned by them, where a request comes by; {@link #exp} and {@link #exp2} alone are, from loops
 * that make a unit of their own. In a unit that is too large vectors become objects all the same,
 * even those of the library's methods: so larger work goes by steps through {@link Workers#apart}.
 * Hot loops stand in methods of some twenty operations each: the first-tier compiler gives up on
 * much longer ones, and at five masked loads.
 *
 * <p>Sums over the lanes of a vector are spelt out as {@link #sum} and {@link #sums}: the order of
 * {@code reduceLanes(ADD)} is undefined for floats and differs between interpreted and compiled
 * code, which would make results depend on when a method was compiled.
 */
final class Simd {
  /** All memory, by address. */
  static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  /**
   * All bits that an address may have: {@code base & ADDRESS} is the base, and the sum of two such
   * is in {@link #MEMORY} for sure.
   */
  static final long ADDRESS = Long.MAX_VALUE >>> 2;

  /**
   * All bits that a loop's index may have: {@code i & INDEX} is the index, for sure not negative.
   */
  static final int INDEX = Integer.MAX_VALUE;

  static final ByteOrder ORDER = ByteOrder.nativeOrder();
  static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ORDER);
  static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ORDER);
  static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ORDER);

  /** Why {@code rhumb.simd.bits} was refused, or null. */
  static final String REFUSAL;

  static final VectorSpecies<Float> F;

  static {
    String refusal = null;
    VectorSpecies<Float> species = FloatVector.SPECIES_PREFERRED;
    // Wider vectors than 512 bits have no tile shapes here.
    int most = Math.min(512, species.vectorBitSize());
    int bits = most;
    try {
      bits = Settings.integer("rhumb.simd.bits", most, 128, most);
      if (Integer.bitCount(bits) != 1) {
        refusal = "rhumb.simd.bits=" + bits + ": 128, 256 or 512 is needed";
        bits = most;
      }
    } catch (IllegalArgumentException e) {
      refusal = e.getMessage() + ", as this machine prefers " + most + "; it may only lower";
    }
    F = VectorSpecies.of(float.class, VectorShape.forBitSize(bits));
    REFUSAL = refusal;
  }

  static final VectorShape SHAPE = F.vectorShape();
  static final VectorSpecies<Integer> I = IntVector.SPECIES_PREFERRED.withShape(SHAPE);
  static final VectorSpecies<Long> L = LongVector.SPECIES_PREFERRED.withShape(SHAPE);
  static final VectorSpecies<Double> D = DoubleVector.SPECIES_PREFERRED.withShape(SHAPE);

  /** Floats in a vector. */
  static final int LANES = F.length();

  /** Bytes in a vector. */
  static final int BYTES = LANES * 4;

  // Each lane from the one so many places away.
  static final VectorShuffle<Float> ACROSS_8 = across(8);
  static final VectorShuffle<Float> ACROSS_4 = across(4);
  static final VectorShuffle<Float> ACROSS_2 = across(2);
  static final VectorShuffle<Float> ACROSS_1 = across(1);

  // What exchanges of a transpose take.
  private static final IntVector UPPER_HALF = upper(LANES / 2);
  private static final IntVector LOWER_HALF = lower(LANES / 2);
  private static final IntVector UPPER_QUARTER = upper(LANES / 4);
  private static final IntVector LOWER_QUARTER = lower(LANES / 4);
  private static final IntVector UPPER_2 = upper(2);
  private static final IntVector LOWER_2 = lower(2);
  private static final IntVector UPPER_1 = upper(1);
  private static final IntVector LOWER_1 = lower(1);

  private static final float LOG2_E = 1.44269504f;
  private static final float LN2_HIGH = 0.693359375f;
  private static final float LN2_LOW = -2.12194440e-4f;
  private static final float ROUND = 0x1.8p23f;

  /** Below this {@link #exp} is 0: the result would be subnormal. */
  static final float EXP_LEAST = -87.33654f;

  /** Above this {@link #exp} is infinite. */
  static final float EXP_MOST = 88.37626f;

  private Simd() {}

  private static VectorShuffle<Float> across(int apart) {
    return VectorShuffle.fromOp(F, i -> (i ^ apart) % LANES);
  }

  static float get(long address) {
    return MEMORY.get(FLOAT, address);
  }

  static void set(long address, float value) {
    MEMORY.set(FLOAT, address, value);
  }

  static int getInt(long address) {
    return MEMORY.get(INT, address);
  }

  static void setInt(long address, int value) {
    MEMORY.set(INT, address, value);
  }

  static double getDouble(long address) {
    return MEMORY.get(DOUBLE, address);
  }

  static void setDouble(long address, double value) {
    MEMORY.set(DOUBLE, address, value);
  }

  /** {@code count} rounded up to a multiple of {@code unit}. */
  static int roundUp(int count, int unit) {
    return (count + unit - 1) / unit * unit;
  }

  /** How many chunks of a length {@code count} elements make. */
  static int chunks(long count, int length) {
    return Math.toIntExact((count + length - 1) / length);
  }

  static int ceilDiv(int count, int unit) {
    return (count + unit - 1) / unit;
  }

  /**
   * e^x to 2 ulp, by x = n ln 2 + r and a polynomial on r; 0 where the result would be subnormal,
   * NaN for NaN.
   */
  static FloatVector exp(FloatVector x) {
    FloatVector shifted = x.fma(FloatVector.broadcast(F, LOG2_E), FloatVector.broadcast(F, ROUND));
    FloatVector n = shifted.sub(ROUND);
    FloatVector r = n.fma(FloatVector.broadcast(F, -LN2_HIGH), x);
    r = n.fma(FloatVector.broadcast(F, -LN2_LOW), r);
    FloatVector y = FloatVector.broadcast(F, 1.9875691500e-4f);
    y = y.fma(r, FloatVector.broadcast(F, 1.3981999507e-3f));
    y = y.fma(r, FloatVector.broadcast(F, 8.3334519073e-3f));
    y = y.fma(r, FloatVector.broadcast(F, 4.1665795894e-2f));
    y = y.fma(r, FloatVector.broadcast(F, 1.6666665459e-1f));
    y = y.fma(r, FloatVector.broadcast(F, 5.0000001201e-1f));
    y = y.fma(r.mul(r), r).add(1f);
    // The low bits of the shifted value are n, so this is 2^n.
    IntVector exponent = shifted.reinterpretAsInts().add(127).lanewise(VectorOperators.LSHL, 23);
    y = y.mul(exponent.reinterpretAsFloats());
    y = y.blend(0f, x.compare(VectorOperators.LT, EXP_LEAST));
    return y.blend(Float.POSITIVE_INFINITY, x.compare(VectorOperators.GT, EXP_MOST));
  }

  /**
   * 2^x to 2 ulp, by x = n + r and a polynomial on r, minimax for the relative error; 0 where the
   * result would be subnormal, NaN for NaN. For x below 128 alone.
   */
  static FloatVector exp2(FloatVector x) {
    FloatVector shifted = x.add(ROUND);
    FloatVector r = x.sub(shifted.sub(ROUND));
    FloatVector y = FloatVector.broadcast(F, 1.5345812159e-4f);
    y = y.fma(r, FloatVector.broadcast(F, 1.3399931209e-3f));
    y = y.fma(r, FloatVector.broadcast(F, 9.6184889565e-3f));
    y = y.fma(r, FloatVector.broadcast(F, 5.5503287770e-2f));
    y = y.fma(r, FloatVector.broadcast(F, 2.4022646891e-1f));
    y = y.fma(r, FloatVector.broadcast(F, 6.9314720574e-1f));
    y = y.fma(r, FloatVector.broadcast(F, 1f));
    // The low bits of the shifted value are n, so this is 2^n.
    IntVector exponent = shifted.reinterpretAsInts().add(127).lanewise(VectorOperators.LSHL, 23);
    y = y.mul(exponent.reinterpretAsFloats());
    return y.blend(0f, x.compare(VectorOperators.LT, -126f));
  }

  /**
   * Sets {@code count} floats to the sums of as many vectors' lanes times a factor, each by halves:
   * lane i with lane i + LANES / 2.
   *
   * @param from the first vector
   * @param apart bytes from one vector to the next
   */
  static void sums(int count, long from, long apart, float factor, long to) {
    long vectors = from & ADDRESS;
    long sums = to & ADDRESS;
    for (int i = 0; i < count; i++) {
      FloatVector sum =
          FloatVector.fromMemorySegment(F, MEMORY, (vectors + i * apart) & ADDRESS, ORDER);
      if (LANES == 16) {
        sum = sum.add(sum.rearrange(ACROSS_8));
      }
      if (LANES >= 8) {
        sum = sum.add(sum.rearrange(ACROSS_4));
      }
      sum = sum.add(sum.rearrange(ACROSS_2));
      sum = sum.add(sum.rearrange(ACROSS_1));
      set(sums + 4L * (i & INDEX), sum.lane(0) * factor);
    }
  }

  /**
   * Sets (cols, rows) to the transpose of (rows, cols). The result needs room for whole squares of
   * vectors: {@code cols} rounded up to a multiple of LANES rows, {@code rows} columns rounded up
   * likewise; what is there beyond the transpose is undefined.
   */
  static void transpose(int rows, int cols, long from, long stride, long to, long toStride) {
    for (int r = 0; r < rows; r += LANES) {
      for (int c = 0; c < cols; c += LANES) {
        long square = to + c * toStride + r * 4L;
        turnQuarters(rows - r, cols - c, from + r * stride + c * 4L, stride, square, toStride);
        if (LANES == 16) {
          turnFours(square, toStride);
        } else if (LANES == 8) {
          turnTwos(square, toStride);
        }
      }
    }
  }

  // A square is transposed by steps that each exchange two quarters of smaller squares across their
  // diagonals, of half the size each time (Eklundh 1972): lane j + half of row i with lane j of row
  // i + half. Two steps at a time need four rows.

  /** The lanes that the upper row of an exchange takes out of both. */
  private static IntVector upper(int half) {
    return IntVector.fromArray(
        I,
        IntStream.range(0, LANES).map(j -> (j & half) == 0 ? j : (j ^ half) + LANES).toArray(),
        0);
  }

  /** The lanes that the lower row of an exchange takes out of both. */
  private static IntVector lower(int half) {
    return IntVector.fromArray(
        I, IntStream.range(0, LANES).map(j -> (j & half) == 0 ? j ^ half : j + LANES).toArray(), 0);
  }

  /** The first two steps of a square, from where it is to where its transpose will be. */
  private static void turnQuarters(
      int rows, int cols, long from, long stride, long to, long toStride) {
    int quarter = LANES / 4;
    VectorMask<Integer> mask = I.indexInRange(0, cols);
    for (int i = 0; i < quarter; i++) {
      long row0 = (from + Math.min(i, rows - 1) * stride) & ADDRESS;
      long row1 = (from + Math.min(i + quarter, rows - 1) * stride) & ADDRESS;
      long row2 = (from + Math.min(i + 2 * quarter, rows - 1) * stride) & ADDRESS;
      long row3 = (from + Math.min(i + 3 * quarter, rows - 1) * stride) & ADDRESS;
      IntVector a = IntVector.fromMemorySegment(I, MEMORY, row0, ORDER, mask);
      IntVector b = IntVector.fromMemorySegment(I, MEMORY, row1, ORDER, mask);
      IntVector c = IntVector.fromMemorySegment(I, MEMORY, row2, ORDER, mask);
      IntVector d = IntVector.fromMemorySegment(I, MEMORY, row3, ORDER, mask);
      IntVector ac = UPPER_HALF.selectFrom(a, c);
      IntVector ca = LOWER_HALF.selectFrom(a, c);
      IntVector bd = UPPER_HALF.selectFrom(b, d);
      IntVector db = LOWER_HALF.selectFrom(b, d);
      long target = (to + i * toStride) & ADDRESS;
      UPPER_QUARTER.selectFrom(ac, bd).intoMemorySegment(MEMORY, target, ORDER);
      target = (target + quarter * toStride) & ADDRESS;
      LOWER_QUARTER.selectFrom(ac, bd).intoMemorySegment(MEMORY, target, ORDER);
      target = (target + quarter * toStride) & ADDRESS;
      UPPER_QUARTER.selectFrom(ca, db).intoMemorySegment(MEMORY, target, ORDER);
      target = (target + quarter * toStride) & ADDRESS;
      LOWER_QUARTER.selectFrom(ca, db).intoMemorySegment(MEMORY, target, ORDER);
    }
  }

  /** The last two steps of a square, in place. */
  private static void turnFours(long square, long stride) {
    for (int i = 0; i < LANES; i += 4) {
      long row0 = (square + i * stride) & ADDRESS;
      long row1 = (row0 + stride) & ADDRESS;
      long row2 = (row1 + stride) & ADDRESS;
      long row3 = (row2 + stride) & ADDRESS;
      IntVector a = IntVector.fromMemorySegment(I, MEMORY, row0, ORDER);
      IntVector b = IntVector.fromMemorySegment(I, MEMORY, row1, ORDER);
      IntVector c = IntVector.fromMemorySegment(I, MEMORY, row2, ORDER);
      IntVector d = IntVector.fromMemorySegment(I, MEMORY, row3, ORDER);
      IntVector ac = UPPER_2.selectFrom(a, c);
      IntVector ca = LOWER_2.selectFrom(a, c);
      IntVector bd = UPPER_2.selectFrom(b, d);
      IntVector db = LOWER_2.selectFrom(b, d);
      UPPER_1.selectFrom(ac, bd).intoMemorySegment(MEMORY, row0, ORDER);
      LOWER_1.selectFrom(ac, bd).intoMemorySegment(MEMORY, row1, ORDER);
      UPPER_1.selectFrom(ca, db).intoMemorySegment(MEMORY, row2, ORDER);
      LOWER_1.selectFrom(ca, db).intoMemorySegment(MEMORY, row3, ORDER);
    }
  }

  /** The last step of a square, in place. */
  private static void turnTwos(long square, long stride) {
    for (int i = 0; i < LANES; i += 2) {
      long row0 = (square + i * stride) & ADDRESS;
      long row1 = (row0 + stride) & ADDRESS;
      IntVector a = IntVector.fromMemorySegment(I, MEMORY, row0, ORDER);
      IntVector b = IntVector.fromMemorySegment(I, MEMORY, row1, ORDER);
      UPPER_1.selectFrom(a, b).intoMemorySegment(MEMORY, row0, ORDER);
      LOWER_1.selectFrom(a, b).intoMemorySegment(MEMORY, row1, ORDER);
    }
  }

  /** Adds a row to another, element by element. */
  static void addRow(int count, long from, long to) {
    long x = from & ADDRESS;
    long sum = to & ADDRESS;
    int whole = F.loopBound(count);
    for (int i = 0; i < whole; i += LANES) {
      long at = 4L * (i & INDEX);
      FloatVector.fromMemorySegment(F, MEMORY, sum + at, ORDER)
          .add(FloatVector.fromMemorySegment(F, MEMORY, x + at, ORDER))
          .intoMemorySegment(MEMORY, sum + at, ORDER);
    }
    for (int i = whole; i < count; i++) {
      set(sum + i * 4L, get(sum + i * 4L) + get(x + i * 4L));
    }
  }

  /**
   * The sum of the {@code LANES} floats at an address, by halves: lane i with lane i + LANES / 2.
   */
  static float sum(long at) {
    if (LANES == 16) {
      return sum8(at, 32) + sum8(at + 16, 32);
    }
    if (LANES == 8) {
      return sum8(at, 16);
    }
    return (get(at) + get(at + 8)) + (get(at + 4) + get(at + 12));
  }

  /** Of the lanes i, i + 1, i + 2, i + 3 at an address and those {@code apart} bytes on. */
  private static float sum8(long at, long apart) {
    float a = get(at) + get(at + apart);
    float b = get(at + 4) + get(at + apart + 4);
    float c = get(at + 8) + get(at + apart + 8);
    float d = get(at + 12) + get(at + apart + 12);
    return (a + c) + (b + d);
  }
}
