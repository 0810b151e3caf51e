package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.INDEX;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * Layer normalisation and root mean square normalisation of {@link SimdLayers}. The latter is the
 * former without beta and with a mean of 0.
 *
 * <p>Rows go in blocks that stay in the first-level cache, each step over all rows of a block: the
 * steps are methods small enough for the compiler to keep all vectors in registers, and what there
 * is to compute for a row as a whole is done for a vector of rows at a time.
 */
final class SimdNorms {
  /** Rows of a block, a multiple of every number of lanes. */
  private static final int ROWS = 16;

  private static final int TASK_ROWS = 4 * ROWS;

  /** Rows whose part of dgamma and dbeta one task sums. */
  private static final int SUM_ROWS = 16 * ROWS;

  /** Bytes of a number for each row of a block. */
  private static final long COLUMN = ROWS * 4L;

  /** Bytes of a block's sums, lane by lane: two vectors for each row. */
  private static final long LANE_ROOM = 2L * ROWS * BYTES;

  /** Bytes from one row's sums to the next's. */
  private static final long PAIR = 2L * BYTES;

  private final Workers workers;
  private final Workers.Task forwardTask = this::forwardTask;
  private final Workers.Task backwardTask = this::backwardTask;

  // The arguments of the call under way; strides in bytes; 0 for no buffer.
  private int rows;
  private int cols;
  private float eps;
  private long x;
  private long xStride;
  private long gamma;
  private long beta;
  private long y;
  private long yStride;
  private long mean;
  private long rstd;
  private long dy;
  private float dxBeta;
  private long dx;
  private long sums;

  SimdNorms(Workers workers) {
    this.workers = workers;
  }

  private static long address(Buffer buffer) {
    return buffer == null ? 0 : buffer.segment().address();
  }

  private static void clear(int count, long at) {
    for (int i = 0; i < count; i += LANES) {
      FloatVector.zero(F).intoMemorySegment(MEMORY, (at & ADDRESS) + 4L * (i & INDEX), ORDER);
    }
  }

  // Forward.

  /** {@link Layers#layerNorm}, or {@link Layers#rmsNorm} where beta is null. */
  void forward(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer beta,
      Buffer y,
      long yStride,
      Buffer mean,
      Buffer rstd) {
    this.rows = rows;
    this.cols = cols;
    this.eps = eps;
    this.x = address(x);
    this.xStride = xStride * 4;
    this.gamma = address(gamma);
    this.beta = address(beta);
    this.y = address(y);
    this.yStride = yStride * 4;
    this.mean = address(mean);
    this.rstd = address(rstd);
    workers.run(ceilDiv(rows, TASK_ROWS), 10L * rows * cols, forwardTask);
  }

  private void forwardTask(int task, int worker) {
    long lanes = workers.own(worker).reserve(LANE_ROOM + 3 * COLUMN);
    int end = Math.min(rows, (task + 1) * TASK_ROWS);
    for (int first = task * TASK_ROWS; first < end; first += ROWS) {
      forwardBlock(first, Math.min(ROWS, end - first), lanes);
    }
  }

  private void forwardBlock(int first, int count, long lanes) {
    long guesses = lanes + LANE_ROOM;
    long offs = guesses + COLUMN;
    long squares = offs + COLUMN;
    long from = x + first * xStride;
    if (beta == 0) {
      clear(2 * ROWS, guesses);
      sumApart(count, from, guesses, lanes);
    } else {
      sumRows(count, from, lanes);
      Simd.sums(count, lanes, PAIR, 1f / cols, guesses);
      // A second look at the mean takes the rounding of the first one out of both moments.
      sumApart(count, from, guesses, lanes);
      Simd.sums(count, lanes, PAIR, 1f / cols, offs);
    }
    Simd.sums(count, lanes + BYTES, PAIR, 1f / cols, squares);
    finish(first, count, guesses);
    if (beta == 0) {
      writeScaled(count, from, squares, y + first * yStride);
    } else {
      write(count, from, guesses, y + first * yStride);
    }
  }

  /** Each row's sum, lane by lane. */
  private void sumRows(int count, long from, long lanes) {
    int cols = this.cols;
    int whole = F.loopBound(cols);
    long xStride = this.xStride;
    for (int r = 0; r < count; r++) {
      long row = (from + r * xStride) & ADDRESS;
      long to = (lanes & ADDRESS) + (r & INDEX) * PAIR;
      FloatVector sum = FloatVector.zero(F);
      for (int c = 0; c < whole; c += LANES) {
        sum = sum.add(FloatVector.fromMemorySegment(F, MEMORY, row + 4L * (c & INDEX), ORDER));
      }
      sum.intoMemorySegment(MEMORY, to, ORDER);
      for (int c = whole; c < cols; c++) {
        long lane = to + (c - whole) * 4L;
        set(lane, get(lane) + get(row + 4L * (c & INDEX)));
      }
    }
  }

  /** The sum of how far each row's elements are from a guess of their mean, and of the squares. */
  private void sumApart(int count, long from, long guesses, long lanes) {
    int cols = this.cols;
    int whole = F.loopBound(cols);
    long xStride = this.xStride;
    for (int r = 0; r < count; r++) {
      long row = (from + r * xStride) & ADDRESS;
      long to = (lanes & ADDRESS) + (r & INDEX) * PAIR;
      float guess = get((guesses & ADDRESS) + 4L * (r & INDEX));
      FloatVector guessed = FloatVector.broadcast(F, guess);
      FloatVector sum = FloatVector.zero(F);
      FloatVector squares = FloatVector.zero(F);
      for (int c = 0; c < whole; c += LANES) {
        FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, row + 4L * (c & INDEX), ORDER);
        FloatVector apart = value.sub(guessed);
        sum = sum.add(apart);
        squares = apart.fma(apart, squares);
      }
      sum.intoMemorySegment(MEMORY, to, ORDER);
      squares.intoMemorySegment(MEMORY, to + BYTES, ORDER);
      for (int c = whole; c < cols; c++) {
        long lane = to + (c - whole) * 4L;
        float apart = get(row + 4L * (c & INDEX)) - guess;
        set(lane, get(lane) + apart);
        set(lane + BYTES, Math.fma(apart, apart, get(lane + BYTES)));
      }
    }
  }

  /**
   * Sets a block's mean and rstd, where they are asked for, and the third of the columns from
   * {@code guesses} on, which was the mean square around the guess, to rstd.
   */
  private void finish(int first, int count, long guesses) {
    FloatVector eps = FloatVector.broadcast(F, this.eps);
    for (int i = 0; i < count; i += LANES) {
      long at = (guesses & ADDRESS) + 4L * (i & INDEX);
      FloatVector guess = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
      FloatVector off = FloatVector.fromMemorySegment(F, MEMORY, at + COLUMN, ORDER);
      FloatVector square = FloatVector.fromMemorySegment(F, MEMORY, at + 2 * COLUMN, ORDER);
      FloatVector variance = square.sub(off.mul(off)).max(FloatVector.zero(F));
      FloatVector factor = FloatVector.broadcast(F, 1).div(variance.add(eps).sqrt());
      VectorMask<Float> mask = F.indexInRange(i, count);
      factor.intoMemorySegment(MEMORY, at + 2 * COLUMN, ORDER);
      if (mean != 0) {
        long to = (mean + (first + i) * 4L) & ADDRESS;
        guess.add(off).intoMemorySegment(MEMORY, to, ORDER, mask);
      }
      if (rstd != 0) {
        factor.intoMemorySegment(MEMORY, (rstd + (first + i) * 4L) & ADDRESS, ORDER, mask);
      }
    }
  }

  /** y = (x - mean) rstd gamma + beta, the mean in two parts. */
  private void write(int count, long from, long guesses, long to) {
    int cols = this.cols;
    int whole = F.loopBound(cols);
    long xStride = this.xStride;
    long yStride = this.yStride;
    long gamma = this.gamma & ADDRESS;
    long beta = this.beta & ADDRESS;
    for (int r = 0; r < count; r++) {
      long row = (from + r * xStride) & ADDRESS;
      long out = (to + r * yStride) & ADDRESS;
      long columns = (guesses & ADDRESS) + 4L * (r & INDEX);
      float guess = get(columns);
      float off = get(columns + COLUMN);
      float factor = get(columns + 2 * COLUMN);
      FloatVector guessed = FloatVector.broadcast(F, guess);
      FloatVector rest = FloatVector.broadcast(F, off);
      FloatVector scale = FloatVector.broadcast(F, factor);
      for (int c = 0; c < whole; c += LANES) {
        long at = 4L * (c & INDEX);
        FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, row + at, ORDER);
        FloatVector slope = FloatVector.fromMemorySegment(F, MEMORY, gamma + at, ORDER);
        FloatVector base = FloatVector.fromMemorySegment(F, MEMORY, beta + at, ORDER);
        FloatVector normal = value.sub(guessed).sub(rest).mul(scale);
        normal.fma(slope, base).intoMemorySegment(MEMORY, out + at, ORDER);
      }
      for (int c = whole; c < cols; c++) {
        long at = 4L * (c & INDEX);
        float normal = (get(row + at) - guess - off) * factor;
        set(out + at, Math.fma(normal, get(gamma + at), get(beta + at)));
      }
    }
  }

  /** y = x rstd gamma. */
  private void writeScaled(int count, long from, long factors, long to) {
    int cols = this.cols;
    int whole = F.loopBound(cols);
    long xStride = this.xStride;
    long yStride = this.yStride;
    long gamma = this.gamma & ADDRESS;
    for (int r = 0; r < count; r++) {
      long row = (from + r * xStride) & ADDRESS;
      long out = (to + r * yStride) & ADDRESS;
      float factor = get((factors & ADDRESS) + 4L * (r & INDEX));
      FloatVector scale = FloatVector.broadcast(F, factor);
      for (int c = 0; c < whole; c += LANES) {
        long at = 4L * (c & INDEX);
        FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, row + at, ORDER);
        FloatVector slope = FloatVector.fromMemorySegment(F, MEMORY, gamma + at, ORDER);
        value.mul(scale).mul(slope).intoMemorySegment(MEMORY, out + at, ORDER);
      }
      for (int c = whole; c < cols; c++) {
        long at = 4L * (c & INDEX);
        set(out + at, get(row + at) * factor * get(gamma + at));
      }
    }
  }

  // Backward.

  /** {@link Layers#layerNormBackward}, or {@link Layers#rmsNormBackward} where dbeta is null. */
  void backward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer mean,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma,
      Buffer dbeta) {
    this.rows = rows;
    this.cols = cols;
    this.dy = address(dy);
    this.x = address(x);
    this.gamma = address(gamma);
    this.mean = address(mean);
    this.rstd = address(rstd);
    this.dxBeta = dxBeta;
    this.dx = address(dx);
    int chunks = ceilDiv(rows, SUM_ROWS);
    int width = roundUp(cols, LANES);
    sums = workers.shared().reserve(2L * chunks * width * 4);
    workers.run(chunks, 16L * rows * cols, backwardTask);
    addSums(chunks, width, 0, address(dgamma));
    if (dbeta != null) {
      addSums(chunks, width, width, address(dbeta));
    }
  }

  /** Adds the sums of all chunks, in order, that stand {@code offset} elements into each. */
  private void addSums(int chunks, int width, int offset, long to) {
    for (int chunk = 1; chunk < chunks; chunk++) {
      Simd.addRow(width, sums + 8L * chunk * width + offset * 4L, sums + offset * 4L);
    }
    if (chunks > 0) {
      Simd.addRow(cols, sums + offset * 4L, to);
    }
  }

  private void backwardTask(int chunk, int worker) {
    int width = roundUp(cols, LANES);
    long dgamma = sums + 8L * chunk * width;
    clear(2 * width, dgamma);
    long lanes = workers.own(worker).reserve(LANE_ROOM + 3 * COLUMN);
    long means = lanes + LANE_ROOM;
    long zeros = means + 2 * COLUMN;
    clear(ROWS, zeros);
    int end = Math.min(rows, (chunk + 1) * SUM_ROWS);
    for (int first = chunk * SUM_ROWS; first < end; first += ROWS) {
      int count = Math.min(ROWS, end - first);
      long centres = mean == 0 ? zeros : mean + first * 4L;
      sumGradients(first, count, centres, lanes, dgamma, dgamma + width * 4L);
      if (mean == 0) {
        clear(ROWS, means);
      } else {
        Simd.sums(count, lanes, PAIR, 1f / cols, means);
      }
      Simd.sums(count, lanes + BYTES, PAIR, 1f / cols, means + COLUMN);
      writeGradient(first, count, centres, means);
    }
  }

  /**
   * With n the normalised row and g = dy gamma: sums of g and of g n over each row, lane by lane,
   * and of dy n and dy over each column.
   */
  private void sumGradients(
      int first, int count, long centres, long lanes, long dgamma, long dbeta) {
    int cols = this.cols;
    int whole = F.loopBound(cols);
    long rowBytes = 4L * cols;
    long x = this.x + first * rowBytes;
    long dy = this.dy + first * rowBytes;
    long factors = rstd + 4L * first;
    long gamma = this.gamma & ADDRESS;
    long toGamma = dgamma & ADDRESS;
    long toBeta = dbeta & ADDRESS;
    for (int r = 0; r < count; r++) {
      long row = (x + r * rowBytes) & ADDRESS;
      long grad = (dy + r * rowBytes) & ADDRESS;
      float centre = get((centres & ADDRESS) + 4L * (r & INDEX));
      float factor = get((factors & ADDRESS) + 4L * (r & INDEX));
      FloatVector centred = FloatVector.broadcast(F, centre);
      FloatVector scale = FloatVector.broadcast(F, factor);
      FloatVector sumG = FloatVector.zero(F);
      FloatVector sumGn = FloatVector.zero(F);
      for (int c = 0; c < whole; c += LANES) {
        long at = 4L * (c & INDEX);
        FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, row + at, ORDER);
        FloatVector d = FloatVector.fromMemorySegment(F, MEMORY, grad + at, ORDER);
        FloatVector slope = FloatVector.fromMemorySegment(F, MEMORY, gamma + at, ORDER);
        FloatVector normal = value.sub(centred).mul(scale);
        FloatVector g = d.mul(slope);
        sumG = sumG.add(g);
        sumGn = g.fma(normal, sumGn);
        FloatVector column = FloatVector.fromMemorySegment(F, MEMORY, toGamma + at, ORDER);
        d.fma(normal, column).intoMemorySegment(MEMORY, toGamma + at, ORDER);
        column = FloatVector.fromMemorySegment(F, MEMORY, toBeta + at, ORDER);
        d.add(column).intoMemorySegment(MEMORY, toBeta + at, ORDER);
      }
      long to = (lanes & ADDRESS) + (r & INDEX) * PAIR;
      sumG.intoMemorySegment(MEMORY, to, ORDER);
      sumGn.intoMemorySegment(MEMORY, to + BYTES, ORDER);
      for (int c = whole; c < cols; c++) {
        long at = 4L * (c & INDEX);
        long lane = to + (c - whole) * 4L;
        float normal = (get(row + at) - centre) * factor;
        float d = get(grad + at);
        float g = d * get(gamma + at);
        set(lane, get(lane) + g);
        set(lane + BYTES, Math.fma(g, normal, get(lane + BYTES)));
        set(toGamma + at, Math.fma(d, normal, get(toGamma + at)));
        set(toBeta + at, get(toBeta + at) + d);
      }
    }
  }

  /** dx = dxBeta dx + rstd (g - mean(g) - n mean(g n)). */
  private void writeGradient(int first, int count, long centres, long means) {
    int cols = this.cols;
    int whole = F.loopBound(cols);
    long rowBytes = 4L * cols;
    long x = this.x + first * rowBytes;
    long dy = this.dy + first * rowBytes;
    long dx = this.dx + first * rowBytes;
    long factors = rstd + 4L * first;
    long gamma = this.gamma & ADDRESS;
    float dxBeta = this.dxBeta;
    for (int r = 0; r < count; r++) {
      long row = (x + r * rowBytes) & ADDRESS;
      long grad = (dy + r * rowBytes) & ADDRESS;
      long out = (dx + r * rowBytes) & ADDRESS;
      float factor = get((factors & ADDRESS) + 4L * (r & INDEX));
      float centre = get((centres & ADDRESS) + 4L * (r & INDEX));
      float meanG = get((means & ADDRESS) + 4L * (r & INDEX));
      float meanGn = -get((means & ADDRESS) + COLUMN + 4L * (r & INDEX));
      FloatVector centred = FloatVector.broadcast(F, centre);
      FloatVector scale = FloatVector.broadcast(F, factor);
      FloatVector base = FloatVector.broadcast(F, meanG);
      FloatVector part = FloatVector.broadcast(F, meanGn);
      for (int c = 0; c < whole; c += LANES) {
        long at = 4L * (c & INDEX);
        FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, row + at, ORDER);
        FloatVector d = FloatVector.fromMemorySegment(F, MEMORY, grad + at, ORDER);
        FloatVector slope = FloatVector.fromMemorySegment(F, MEMORY, gamma + at, ORDER);
        FloatVector normal = value.sub(centred).mul(scale);
        FloatVector sum = normal.fma(part, d.mul(slope).sub(base)).mul(scale);
        if (dxBeta != 0) {
          FloatVector before = FloatVector.fromMemorySegment(F, MEMORY, out + at, ORDER);
          sum = before.fma(FloatVector.broadcast(F, dxBeta), sum);
        }
        sum.intoMemorySegment(MEMORY, out + at, ORDER);
      }
      for (int c = whole; c < cols; c++) {
        long at = 4L * (c & INDEX);
        float normal = (get(row + at) - centre) * factor;
        float sum = Math.fma(normal, meanGn, get(grad + at) * get(gamma + at) - meanG) * factor;
        set(out + at, dxBeta == 0 ? sum : Math.fma(get(out + at), dxBeta, sum));
      }
    }
  }
}
