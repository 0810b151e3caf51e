package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.D;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/** The sum of squares of a vector, in double: in chunks of a fixed length, joined in order. */
final class SquaredNorm {
  private static final int CHUNK = 1 << 14;

  private final Workers workers;
  private final Workers.Task task = this::chunk;

  // The arguments of the call under way.
  private long x;
  private long count;
  private long partials;

  SquaredNorm(Workers workers) {
    this.workers = workers;
  }

  /** Of {@code count} floats from an address on. */
  double of(long x, long count) {
    this.x = x;
    this.count = count;
    int chunks = Simd.chunks(count, CHUNK);
    partials = workers.shared().reserve(Math.max(1, chunks) * 8L);
    workers.run(chunks, count, task);
    double sum = 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
      sum += Simd.getDouble(partials + chunk * 8L);
    }
    return sum;
  }

  private void chunk(int chunk, int worker) {
    long from = (long) chunk * CHUNK;
    int elements = (int) Math.min(CHUNK, count - from);
    DoubleVector low = DoubleVector.zero(D);
    DoubleVector high = low;
    for (int i = 0; i < elements; i += LANES) {
      FloatVector part =
          FloatVector.fromMemorySegment(
              F, MEMORY, x + (from + i) * 4, ORDER, F.indexInRange(i, elements));
      DoubleVector first = (DoubleVector) part.convertShape(VectorOperators.F2D, D, 0);
      DoubleVector second = (DoubleVector) part.convertShape(VectorOperators.F2D, D, 1);
      low = first.fma(first, low);
      high = second.fma(second, high);
    }
    long lanes = workers.own(worker).reserve(BYTES);
    low.add(high).intoMemorySegment(MEMORY, lanes, ORDER);
    double sum = 0;
    for (int i = 0; i < LANES / 2; i++) {
      sum += Simd.getDouble(lanes + i * 8L);
    }
    Simd.setDouble(partials + chunk * 8L, sum);
  }
}
