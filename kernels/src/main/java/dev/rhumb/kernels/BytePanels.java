package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.ScorePanels.VECTORS;
import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.FLOAT;
import static dev.rhumb.kernels.Simd.I;
import static dev.rhumb.kernels.Simd.INT;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Candidates, items or features, at one byte for each weight: what no score of theirs against a row
 * exceeds, for a quarter of the bytes that the scores take.
 *
 * <p><b>Form.</b> Candidate i with weights x and start b (0 for items) has a scale s_i and whole
 * numbers q_i, |q| &lt;= 127, such that x = s_i q_i + e. A row h likewise becomes s_h q_h + r. Both
 * are scaled so that in every block of 16 dimensions |q| &lt;= 181 (Euclidean): by the inequality
 * of Cauchy and Schwarz a block's share of q_h.q_i is then at most 181 * 181 &lt; 2^15, and
 * arithmetic modulo 2^16 gives it exactly. That matters because the Vector API multiplies 16-bit
 * lanes but has no instruction for sums of products of bytes.
 *
 * <p><b>Bound.</b> h.x = s_h q_h.x + r.x = s_h s_i q_h.q_i + s_h q_h.e + r.x, so that
 *
 * <pre>|h.x - s_h s_i q_h.q_i| &lt;= |s_h q_h| |e| + |r| |x|</pre>
 *
 * and, with A and N the largest |e| / s_i and |x| / s_i of all candidates,
 *
 * <pre>b + h.x &lt;= b + s_i (s_h q_h.q_i + |s_h q_h| A + |r| N).</pre>
 *
 * To hold for a score as float32 arithmetic computes it, in any order of its D products (a chain of
 * fused multiply-adds, or lanes that are then joined), the bracket grows by four terms. With n = D
 * + 8 and G the largest |b| / s_i, which the choice of s_i keeps at 2^12 or less:
 *
 * <ul>
 *   <li>2 n 2^-24 (|h| N + G): such a sum is off by at most n u / (1 - n u) times the sum of the
 *       products' sizes, u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 3.1),
 *       and that sum is at most |h| |x| + |b|; here n u &lt; 1/2;
 *   <li>n 2^-69: each operation may in addition lose 2^-150 to underflow, and s_i &gt;= 2^-80;
 *   <li>2^-20 (|s_h q_h| (N + A) + G): q_h.q_i is exact as a float, as it is below 2^24; the two
 *       fused multiply-adds that make the bound of it round by 2^-24 of their results each, and
 *       those are at most s_i (s_h |q_h.q_i| + G + bracket), |q_h.q_i| &lt;= |q_h| (N + A);
 *   <li>2^-18 of the whole: what remains, and the rounding of norms, which are summed in double.
 * </ul>
 *
 * <p>Nothing overflows while |h|, the bracket and |h| |x| + |b| stay below 2^100; {@link #take}
 * tells, and a row that it refuses must be scored in full. Weights that are not finite make it
 * refuse every row.
 *
 * <p><b>Layout.</b> Panels as {@link ScorePanels} has them: for each four dimensions one int for
 * each candidate, whose byte j, from the least, is q + 128 of dimension 4 g + j. Of such an int w,
 * its 16-bit halves, and those of w &gt;&gt;&gt; 8, are multiplied by constants of the row such
 * that all four products come out: with u the bytes, (u0 + 256 u1) q0 + (u1 + 256 u2) (q1 - 256 q0)
 * + (u2 + 256 u3) (q2 - 256 q1) + u3 (q3 - 256 q2) is u.q modulo 2^16. Two multiplications, two
 * additions and one shift for four products in each of LANES candidates.
 *
 * <p>Ownership: owns its memory. Threads: reading is free; packing needs it quiet, but for {@link
 * #put} into different panels.
 */
final class BytePanels implements AutoCloseable {
  /** Up to this width q_h.q_i is exact in a float. */
  private static final int MOST_WIDTH = 8192;

  /** Dimensions whose products are summed in 16 bits. */
  private static final int BLOCK = 16;

  /** The most a block of q may measure: its square is below 2^15. */
  private static final double REACH = 181;

  /** What rounding adds to a block's measure at most: half a unit in each dimension; and a bit. */
  private static final double ROUNDING = 2.01;

  private static final float LEAST_SCALE = 0x1p-80f;

  /** G: starts are at most so many scales. */
  private static final double STARTS = 4096;

  /** Sizes up to this cannot overflow on the way. */
  private static final double SAFE = 0x1p100;

  /** Ints of a row's block: what its sums start from, then two for each four dimensions. */
  private static final int CODES = 1 + BLOCK / 4 * 2;

  /** The starts where there are none. */
  private static final MemorySegment ZEROS = Arena.global().allocate(BYTES, Buffer.ALIGNMENT);

  private final int width;
  private final int blocks;
  private final Buffer bytes;
  private final Buffer scales;
  private final Buffer starts;

  /** Of each panel A, N, the largest |x| and the largest |b|; infinite where one is not finite. */
  private final Buffer extremes;

  private double mostError;
  private double mostNorm;
  private double mostSize;
  private double mostStart;

  /** A row as the panels take it; its memory is the caller's. */
  static final class Row {
    private long codes;
    private float scale;
    private float slack;
  }

  /** Whether there are panels of a width. */
  static boolean takes(int width) {
    return width <= MOST_WIDTH;
  }

  /**
   * Room for candidates.
   *
   * @param started whether they have starts other than 0
   */
  BytePanels(int capacity, int width, boolean started) {
    this.width = width;
    blocks = Simd.ceilDiv(width, BLOCK);
    int panels = ScorePanels.panels(capacity);
    bytes = Buffer.host(DType.U8, panels * panelBytes());
    scales = Buffer.host(DType.F32, (long) panels * PANEL);
    starts = Buffer.host(DType.F32, started ? (long) panels * PANEL : 0);
    extremes = Buffer.host(DType.F32, panels * 4L);
  }

  private long panelBytes() {
    return (long) blocks * BLOCK * PANEL;
  }

  /** Refuses use after close. */
  void requireOpen() {
    bytes.requireOpen();
  }

  /** The address of the starts, one float for each candidate. */
  long starts() {
    return starts.segment().address();
  }

  /** Begins to fill a panel. */
  void begin(int panel) {
    long at = extremes.segment().address() + panel * 16L;
    for (int i = 0; i < 4; i++) {
      set(at + i * 4L, 0);
    }
  }

  /** Makes a place of a panel one that no bound lets in. */
  void clear(int panel, int place) {
    set(scales.segment().address() + ((long) panel * PANEL + place) * 4, Float.NaN);
  }

  /**
   * Puts a candidate in a place of a panel.
   *
   * @param weights the address of its width floats
   */
  void put(int panel, int place, long weights, float start) {
    // An array: packing runs once as a rule, before anything is compiled.
    float[] x = new float[blocks * BLOCK];
    MemorySegment.copy(MEMORY, FLOAT, weights, x, 0, width);
    double most = 0;
    double reach = 0;
    double square = 0;
    for (int first = 0; first < x.length; first += BLOCK) {
      double sum = 0;
      for (int d = first; d < first + BLOCK; d++) {
        double size = Math.abs(x[d]);
        most = size > most ? size : most;
        sum += size * size;
      }
      reach = Math.max(reach, sum);
      square += sum;
    }
    long at = extremes.segment().address() + panel * 16L;
    // Written so that NaN counts as not finite.
    if (!(square <= Double.MAX_VALUE && Math.abs(start) <= Float.MAX_VALUE)) {
      set(at + 8, Float.POSITIVE_INFINITY);
      return;
    }
    double least = Math.max(most / 127, Math.sqrt(reach) / (REACH - ROUNDING));
    float scale = scale(Math.max(least, Math.abs(start) / STARTS));
    double error = quantise(panel, place, x, scale);
    long i = (long) panel * PANEL + place;
    set(scales.segment().address() + i * 4, scale);
    if (starts.count() > 0) {
      set(starts.segment().address() + i * 4, start);
    }
    raise(at, Math.sqrt(error) / scale);
    raise(at + 4, Math.sqrt(square) / scale);
    raise(at + 8, Math.sqrt(square));
    raise(at + 12, Math.abs(start));
  }

  private static float scale(double least) {
    return Math.max(Math.nextUp((float) least), LEAST_SCALE);
  }

  private static void raise(long at, double value) {
    set(at, Math.max(get(at), Math.nextUp((float) value)));
  }

  /** Writes a candidate's bytes; |e|^2. */
  private double quantise(int panel, int place, float[] x, float scale) {
    long to = bytes.segment().address() + panel * panelBytes() + place * 4L;
    double inverse = 1.0 / scale;
    double error = 0;
    for (int d = 0; d < x.length; d += 4) {
      int packed = 0;
      for (int j = 3; j >= 0; j--) {
        double q = Math.rint(x[d + j] * inverse);
        double e = x[d + j] - scale * q;
        error += e * e;
        packed = packed << 8 | ((int) q + 128);
      }
      setInt(to, packed);
      to += PANEL * 4L;
    }
    return error;
  }

  /** Ends the packing of panels 0 to {@code panels - 1}. */
  void finish(int panels) {
    mostError = 0;
    mostNorm = 0;
    mostSize = 0;
    mostStart = 0;
    for (int p = 0; p < panels; p++) {
      long at = extremes.segment().address() + p * 16L;
      mostError = Math.max(mostError, get(at));
      mostNorm = Math.max(mostNorm, get(at + 4));
      mostSize = Math.max(mostSize, get(at + 8));
      mostStart = Math.max(mostStart, get(at + 12));
    }
  }

  /** Bytes of memory for a row. */
  static long rowBytes(int width) {
    return Simd.roundUp(Simd.ceilDiv(width, BLOCK) * CODES * 4, (int) Buffer.ALIGNMENT);
  }

  /**
   * Takes up a row of {@code width} floats.
   *
   * @return whether {@link #bounds} holds for it: not where a number is not finite or so large that
   *     a sum may overflow
   */
  boolean take(long from, Row row, long memory) {
    double reach = 0;
    double square = 0;
    for (int first = 0; first < width; first += BLOCK) {
      double sum = 0;
      for (int d = first; d < Math.min(first + BLOCK, width); d++) {
        double x = get(from + d * 4L);
        sum += x * x;
      }
      reach = Math.max(reach, sum);
      square += sum;
    }
    double size = Math.sqrt(square);
    // Written so that NaN is refused.
    if (!(size <= SAFE && size * mostSize + mostStart <= SAFE)) {
      return false;
    }
    row.codes = memory;
    row.scale = scale(Math.sqrt(reach) / (REACH - ROUNDING));
    double inverse = 1.0 / row.scale;
    double rest = 0;
    double whole = 0;
    for (int b = 0; b < blocks; b++) {
      long to = memory + b * (CODES * 4L);
      int sum = 0;
      for (int g = 0; g < BLOCK / 4; g++) {
        int d = b * BLOCK + g * 4;
        int q0 = code(from, d, inverse);
        int q1 = code(from, d + 1, inverse);
        int q2 = code(from, d + 2, inverse);
        int q3 = code(from, d + 3, inverse);
        sum += q0 + q1 + q2 + q3;
        rest += rest(from, d, q0, row.scale) + rest(from, d + 1, q1, row.scale);
        rest += rest(from, d + 2, q2, row.scale) + rest(from, d + 3, q3, row.scale);
        whole += q0 * q0 + q1 * q1 + q2 * q2 + q3 * q3;
        setInt(to + 4 + g * 8L, halves(q0, q2 - 256 * q1));
        setInt(to + 8 + g * 8L, halves(q1 - 256 * q0, q3 - 256 * q2));
      }
      // What the bytes are greater by than what they stand for.
      setInt(to, halves(-128 * sum, 0));
    }
    double reached = Math.sqrt(whole) * row.scale;
    double start = starts.count() > 0 ? STARTS : 0;
    double steps = width + 8;
    double bracket =
        reached * mostError
            + Math.sqrt(rest) * mostNorm
            + 2 * steps * 0x1p-24 * (size * mostNorm + start)
            + steps * 0x1p-69
            + 0x1p-20 * (reached * (mostNorm + mostError) + start);
    row.slack = Math.nextUp((float) (bracket * (1 + 0x1p-18)));
    return row.slack <= SAFE;
  }

  private int code(long from, int d, double inverse) {
    return d < width ? (int) Math.rint(get(from + d * 4L) * inverse) : 0;
  }

  private double rest(long from, int d, int q, float scale) {
    double r = d < width ? get(from + d * 4L) - (double) scale * q : 0;
    return r * r;
  }

  private static int halves(int low, int high) {
    return (low & 0xFFFF) | high << 16;
  }

  /**
   * Sets scores to what no score of a row exceeds, NaN for cleared places, and, for each panel, one
   * vector of maxima over the panel's vectors.
   *
   * @param scores in whole panels
   */
  void bounds(Row row, int first, int count, long scores, long maxima) {
    long from = bytes.segment().address() + first * panelBytes();
    for (int p = 0; p < count; p++) {
      long panel = from + p * panelBytes();
      if (VECTORS == 4) {
        products4(row.codes, blocks, panel, scores + p * (PANEL * 4L));
      } else {
        products2(row.codes, blocks, panel, scores + p * (PANEL * 4L));
      }
    }
    boolean started = starts.count() > 0;
    long start = started ? starts.segment().address() + first * (PANEL * 4L) : ZEROS.address();
    finishBounds(
        count,
        row.scale,
        row.slack,
        scales.segment().address() + first * (PANEL * 4L),
        start,
        started ? BYTES : 0,
        scores,
        maxima);
  }

  /** q_h.q_i of a panel of four vectors. */
  private static void products4(long codes, int blocks, long panel, long to) {
    IntVector t0 = IntVector.zero(I);
    IntVector t1 = t0;
    IntVector t2 = t0;
    IntVector t3 = t0;
    for (int b = 0; b < blocks; b++) {
      codes &= ADDRESS;
      ShortVector s0 = IntVector.broadcast(I, MEMORY.get(INT, codes)).reinterpretAsShorts();
      ShortVector s1 = s0;
      ShortVector s2 = s0;
      ShortVector s3 = s0;
      codes += 4;
      for (int g = 0; g < BLOCK / 4; g++) {
        codes &= ADDRESS;
        panel &= ADDRESS;
        ShortVector a = IntVector.broadcast(I, MEMORY.get(INT, codes)).reinterpretAsShorts();
        ShortVector c = IntVector.broadcast(I, MEMORY.get(INT, codes + 4)).reinterpretAsShorts();
        IntVector w0 = IntVector.fromMemorySegment(I, MEMORY, panel, ORDER);
        IntVector w1 = IntVector.fromMemorySegment(I, MEMORY, panel + BYTES, ORDER);
        IntVector w2 = IntVector.fromMemorySegment(I, MEMORY, panel + 2 * BYTES, ORDER);
        IntVector w3 = IntVector.fromMemorySegment(I, MEMORY, panel + 3 * BYTES, ORDER);
        s0 = s0.add(w0.reinterpretAsShorts().mul(a));
        s1 = s1.add(w1.reinterpretAsShorts().mul(a));
        s2 = s2.add(w2.reinterpretAsShorts().mul(a));
        s3 = s3.add(w3.reinterpretAsShorts().mul(a));
        s0 = s0.add(w0.lanewise(VectorOperators.LSHR, 8).reinterpretAsShorts().mul(c));
        s1 = s1.add(w1.lanewise(VectorOperators.LSHR, 8).reinterpretAsShorts().mul(c));
        s2 = s2.add(w2.lanewise(VectorOperators.LSHR, 8).reinterpretAsShorts().mul(c));
        s3 = s3.add(w3.lanewise(VectorOperators.LSHR, 8).reinterpretAsShorts().mul(c));
        codes += 8;
        panel += 4 * BYTES;
      }
      // The sum of both halves in the upper one, then as an int.
      IntVector v0 = s0.reinterpretAsInts();
      IntVector v1 = s1.reinterpretAsInts();
      IntVector v2 = s2.reinterpretAsInts();
      IntVector v3 = s3.reinterpretAsInts();
      v0 = v0.add(v0.lanewise(VectorOperators.LSHL, 16));
      v1 = v1.add(v1.lanewise(VectorOperators.LSHL, 16));
      v2 = v2.add(v2.lanewise(VectorOperators.LSHL, 16));
      v3 = v3.add(v3.lanewise(VectorOperators.LSHL, 16));
      t0 = t0.add(v0.lanewise(VectorOperators.ASHR, 16));
      t1 = t1.add(v1.lanewise(VectorOperators.ASHR, 16));
      t2 = t2.add(v2.lanewise(VectorOperators.ASHR, 16));
      t3 = t3.add(v3.lanewise(VectorOperators.ASHR, 16));
    }
    to &= ADDRESS;
    t0.intoMemorySegment(MEMORY, to, ORDER);
    t1.intoMemorySegment(MEMORY, to + BYTES, ORDER);
    t2.intoMemorySegment(MEMORY, to + 2 * BYTES, ORDER);
    t3.intoMemorySegment(MEMORY, to + 3 * BYTES, ORDER);
  }

  /** q_h.q_i of a panel of two vectors. */
  private static void products2(long codes, int blocks, long panel, long to) {
    IntVector t0 = IntVector.zero(I);
    IntVector t1 = t0;
    for (int b = 0; b < blocks; b++) {
      codes &= ADDRESS;
      ShortVector s0 = IntVector.broadcast(I, MEMORY.get(INT, codes)).reinterpretAsShorts();
      ShortVector s1 = s0;
      codes += 4;
      for (int g = 0; g < BLOCK / 4; g++) {
        codes &= ADDRESS;
        panel &= ADDRESS;
        ShortVector a = IntVector.broadcast(I, MEMORY.get(INT, codes)).reinterpretAsShorts();
        ShortVector c = IntVector.broadcast(I, MEMORY.get(INT, codes + 4)).reinterpretAsShorts();
        IntVector w0 = IntVector.fromMemorySegment(I, MEMORY, panel, ORDER);
        IntVector w1 = IntVector.fromMemorySegment(I, MEMORY, panel + BYTES, ORDER);
        s0 = s0.add(w0.reinterpretAsShorts().mul(a));
        s1 = s1.add(w1.reinterpretAsShorts().mul(a));
        s0 = s0.add(w0.lanewise(VectorOperators.LSHR, 8).reinterpretAsShorts().mul(c));
        s1 = s1.add(w1.lanewise(VectorOperators.LSHR, 8).reinterpretAsShorts().mul(c));
        codes += 8;
        panel += 2 * BYTES;
      }
      IntVector v0 = s0.reinterpretAsInts();
      IntVector v1 = s1.reinterpretAsInts();
      v0 = v0.add(v0.lanewise(VectorOperators.LSHL, 16));
      v1 = v1.add(v1.lanewise(VectorOperators.LSHL, 16));
      t0 = t0.add(v0.lanewise(VectorOperators.ASHR, 16));
      t1 = t1.add(v1.lanewise(VectorOperators.ASHR, 16));
    }
    to &= ADDRESS;
    t0.intoMemorySegment(MEMORY, to, ORDER);
    t1.intoMemorySegment(MEMORY, to + BYTES, ORDER);
  }

  /** Makes bounds of the products, in place, and the maxima of the bounds. */
  private static void finishBounds(
      int panels,
      float rowScale,
      float slack,
      long scale,
      long start,
      long startStep,
      long scores,
      long maxima) {
    FloatVector factor = FloatVector.broadcast(F, rowScale);
    FloatVector bracket = FloatVector.broadcast(F, slack);
    for (int p = 0; p < panels; p++) {
      FloatVector most = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
      for (int v = 0; v < VECTORS; v++) {
        scale &= ADDRESS;
        start &= ADDRESS;
        scores &= ADDRESS;
        FloatVector bound =
            (FloatVector)
                IntVector.fromMemorySegment(I, MEMORY, scores, ORDER)
                    .convert(VectorOperators.I2F, 0);
        bound = bound.fma(factor, bracket);
        bound =
            FloatVector.fromMemorySegment(F, MEMORY, scale, ORDER)
                .fma(bound, FloatVector.fromMemorySegment(F, MEMORY, start, ORDER));
        bound.intoMemorySegment(MEMORY, scores, ORDER);
        most = most.blend(bound, bound.compare(VectorOperators.GT, most));
        scale += BYTES;
        start += startStep;
        scores += BYTES;
      }
      maxima &= ADDRESS;
      most.intoMemorySegment(MEMORY, maxima, ORDER);
      maxima += BYTES;
    }
  }

  @Override
  public void close() {
    extremes.close();
    starts.close();
    scales.close();
    bytes.close();
  }
}
