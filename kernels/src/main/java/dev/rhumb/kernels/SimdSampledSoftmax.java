package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.setInt;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * {@link Loss#sampledSoftmaxCrossEntropy}: {@link SimdSoftmax} over the gathered rows of the
 * negatives, whose gradients join dw at the end.
 */
final class SimdSampledSoftmax {
  /** Rows of a task. */
  private static final int ROWS = 64;

  private final Workers workers;
  private final SimdSoftmax softmax;
  private final Workers.Task gatherTask = this::gather;
  private final Workers.Task joinTask = this::join;

  // The arguments of the call under way.
  private int negatives;
  private int width;
  private long w;
  private long sample;
  private long dw;

  // Scratch memory: the negatives' rows of w, their gradients.
  private long gathered;
  private long gradients;

  SimdSampledSoftmax(Workers workers, SimdSoftmax softmax) {
    this.workers = workers;
    this.softmax = softmax;
  }

  /** The mean loss; dh and dw are addresses, or 0 for the loss alone. */
  double run(
      int rows,
      int negatives,
      int classes,
      int width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer sample,
      Buffer bias,
      Buffer targetBias,
      long dh,
      long dw) {
    String op = "sampledSoftmaxCrossEntropy";
    Check.indices(op, "targets", targets, rows, 1, classes);
    Check.ascending(op, "sample", sample, negatives, classes);
    this.negatives = negatives;
    this.width = width;
    this.w = w.segment().address();
    this.sample = sample.segment().address();
    this.dw = dw;
    long wanted = targets.segment().address();
    long matrix = 4L * Simd.roundUp(negatives, LANES) * width;
    long hitBytes = 4L * Simd.roundUp(rows, LANES);
    long need = softmax.bytes(rows, negatives, width, dh != 0);
    long hits = workers.shared().reserve(hitBytes + 2 * matrix + need);
    gathered = hits + hitBytes;
    gradients = gathered + matrix;
    for (int r = 0; r < rows; r++) {
      setInt(hits + r * 4L, find(getInt(wanted + r * 4L)));
    }
    int tasks = ceilDiv(negatives, ROWS);
    workers.run(tasks, (long) negatives * width, gatherTask);
    double mean =
        softmax.run(
            gradients + matrix,
            rows,
            negatives,
            width,
            h.segment().address(),
            gathered,
            bias.segment().address(),
            hits,
            this.w,
            wanted,
            targetBias.segment().address(),
            dh,
            gradients,
            dw);
    if (dh != 0) {
      workers.run(tasks, (long) negatives * width, joinTask);
    }
    return mean;
  }

  /** Where a class stands among the negatives, or -1. */
  private int find(int wanted) {
    int low = 0;
    int high = negatives;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (getInt(sample + middle * 4L) < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < negatives && getInt(sample + low * 4L) == wanted ? low : -1;
  }

  private long tableOffset(int negative) {
    return getInt(sample + negative * 4L) * (width * 4L);
  }

  /** Copies rows of w, and clears their gradients. */
  private void gather(int task, int worker) {
    for (int i = task * ROWS; i < Math.min(negatives, (task + 1) * ROWS); i++) {
      long from = w + tableOffset(i);
      long to = (long) i * width * 4;
      for (int c = 0; c < width; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, width);
        FloatVector.fromMemorySegment(F, MEMORY, from + c * 4L, ORDER, mask)
            .intoMemorySegment(MEMORY, gathered + to + c * 4L, ORDER, mask);
        FloatVector.zero(F).intoMemorySegment(MEMORY, gradients + to + c * 4L, ORDER, mask);
      }
    }
  }

  /** Adds the negatives' gradients to their rows of dw. */
  private void join(int task, int worker) {
    for (int i = task * ROWS; i < Math.min(negatives, (task + 1) * ROWS); i++) {
      long from = gradients + (long) i * width * 4;
      long to = dw + tableOffset(i);
      for (int c = 0; c < width; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, width);
        FloatVector.fromMemorySegment(F, MEMORY, to + c * 4L, ORDER, mask)
            .add(FloatVector.fromMemorySegment(F, MEMORY, from + c * 4L, ORDER, mask))
            .intoMemorySegment(MEMORY, to + c * 4L, ORDER, mask);
      }
    }
  }
}
