package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.FLOAT;
import static dev.rhumb.kernels.Simd.INT;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link Loss#binaryCrossEntropy}. Rows go in chunks, so that the negatives of a chunk and their
 * gradients stay in the cache. Of a chunk, blocks of rows are shared among the workers: a row draws
 * its negatives, scores them by dot products, and takes its dh while their rows of w are near. Then
 * the columns of dw are shared among the workers: each adds all entries of the chunk in its
 * columns, rows ascending and a row's negatives in the order drawn, so that no sum depends on the
 * number of threads and nothing is sorted.
 */
final class SimdBinaryLoss {
  /** Rows of a task. */
  private static final int ROWS = 16;

  /** Negatives of a chunk of rows, about. */
  private static final int ENTRIES = 1 << 19;

  private final Workers workers;
  private final Negatives allowed = new Negatives();
  private final Workers.Task rowTask = this::rowBlock;
  private final Workers.Task columnTask = this::columns;

  // The arguments of the call under way.
  private int rows;
  private int negatives;
  private int width;
  private long h;
  private long w;
  private long targets;
  private long key;
  private long stream;
  private float positiveWeight;
  private float share;
  private long dh;
  private long dw;

  // The chunk of rows under way, and how many vectors of columns a task of dw takes.
  private int firstRow;
  private int lastRow;
  private int vectors;

  // Scratch memory: the chunk's negatives, the gradients in their scores (at first the scores), the
  // gradients in the targets' scores; the loss of each block of the call.
  private long drawn;
  private long slopes;
  private long targetSlopes;
  private long losses;

  SimdBinaryLoss(Workers workers) {
    this.workers = workers;
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
      int groups,
      Buffer groupOffsets,
      Buffer excludedOffsets,
      Buffer excluded,
      long key,
      long stream,
      float positiveWeight,
      long dh,
      long dw) {
    allowed.set(rows, classes, targets, groups, groupOffsets, excludedOffsets, excluded);
    if (rows == 0) {
      return 0;
    }
    this.rows = rows;
    this.negatives = negatives;
    this.width = width;
    this.h = h.segment().address();
    this.w = w.segment().address();
    this.targets = targets.segment().address();
    this.key = key;
    this.stream = stream;
    this.positiveWeight = positiveWeight;
    this.dh = dh;
    this.dw = dw;
    double terms = rows * (1.0 + negatives);
    share = (float) (1 / terms);
    int chunk = Math.max(1, Math.min(ceilDiv(rows, ROWS), ENTRIES / negatives / ROWS)) * ROWS;
    int blocks = ceilDiv(rows, ROWS);
    drawn = workers.shared().reserve((long) chunk * negatives * 8 + chunk * 4L + blocks * 8L);
    slopes = drawn + (long) chunk * negatives * 4;
    losses = slopes + (long) chunk * negatives * 4;
    targetSlopes = losses + blocks * 8L;
    int columnVectors = ceilDiv(width, LANES);
    vectors = Math.clamp(Integer.highestOneBit(columnVectors / workers.threads()), 1, 4);
    for (firstRow = 0; firstRow < rows; firstRow = lastRow) {
      lastRow = Math.min(rows, firstRow + chunk);
      long operations = 8L * (lastRow - firstRow) * (negatives + 1) * (width + 16);
      workers.run(ceilDiv(lastRow - firstRow, ROWS), operations, rowTask);
      if (dh != 0) {
        workers.run(ceilDiv(columnVectors, vectors), operations / 4, columnTask);
      }
    }
    double total = 0;
    for (int block = 0; block < blocks; block++) {
      total += Simd.getDouble(losses + block * 8L);
    }
    return total / terms;
  }

  private void rowBlock(int block, int worker) {
    int from = firstRow + block * ROWS;
    int to = Math.min(lastRow, from + ROWS);
    long room = workers.own(worker).reserve(Math.max(SimdPhilox.BLOCK * 4L + BYTES, Dots.ROOM));
    int group = allowed.group(from);
    double total = 0;
    for (int r = from; r < to; r++) {
      group = allowed.group(r, group);
      long ids = drawn + (long) (r - firstRow) * negatives * 4;
      long scores = slopes + (long) (r - firstRow) * negatives * 4;
      draw(r, group, ids, room);
      long row = h + r * (width * 4L);
      Dots.dots(row, w, width * 4L, ids, negatives, width, room, scores);
      long target = w + getInt(targets + r * 4L) * (width * 4L);
      float wanted = Dots.dot(row, target, width);
      total += losses(scores, room) + positiveWeight * softplus(-wanted);
      if (dh != 0) {
        float slope = (float) (-positiveWeight * sigmoid(-wanted) * share);
        set(targetSlopes + (r - firstRow) * 4L, slope);
        combine(ids, scores, target, slope, dh + r * (width * 4L));
      }
    }
    Simd.setDouble(losses + (from / ROWS) * 8L, total);
  }

  private void draw(int r, int group, long ids, long bits) {
    int pool = allowed.pool(group);
    for (int j = 0; j < negatives; j += SimdPhilox.BLOCK) {
      SimdPhilox.fill(key, stream, r, j / SimdPhilox.BLOCK, bits);
      int end = Math.min(SimdPhilox.BLOCK, negatives - j);
      for (int i = 0; i < end; i++) {
        setInt(ids + (j + i) * 4L, allowed.draw(getInt(bits + i * 4L), r, group, pool));
      }
    }
  }

  private long rowOf(long id) {
    return w + getInt(id) * (width * 4L);
  }

  /** Sums the negatives' losses, softplus of their scores; turns the scores to their gradients. */
  private float losses(long scores, long lanes) {
    FloatVector sum = FloatVector.zero(F);
    for (int j = 0; j < negatives; j += LANES) {
      VectorMask<Float> mask = F.indexInRange(j, negatives);
      long at = scores + j * 4L;
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER, mask);
      FloatVector u = Simd.exp(x.abs().neg());
      // log(1 + u) = 2 artanh(z), z = u / (2 + u) at most 1/3: the series without its ninth term
      // is off by less than 2^-28 of the result.
      FloatVector z = u.div(u.add(2));
      FloatVector z2 = z.mul(z);
      FloatVector y = FloatVector.broadcast(F, 1 / 15f);
      y = y.fma(z2, FloatVector.broadcast(F, 1 / 13f));
      y = y.fma(z2, FloatVector.broadcast(F, 1 / 11f));
      y = y.fma(z2, FloatVector.broadcast(F, 1 / 9f));
      y = y.fma(z2, FloatVector.broadcast(F, 1 / 7f));
      y = y.fma(z2, FloatVector.broadcast(F, 1 / 5f));
      y = y.fma(z2, FloatVector.broadcast(F, 1 / 3f));
      y = y.fma(z2, FloatVector.broadcast(F, 1));
      y = y.mul(z).mul(2);
      sum = sum.add(y.add(x.max(0)), mask);
      FloatVector one = FloatVector.broadcast(F, 1);
      FloatVector top = u.blend(one, x.compare(VectorOperators.GE, 0f));
      top.div(u.add(1)).mul(share).intoMemorySegment(MEMORY, at, ORDER, mask);
    }
    sum.intoMemorySegment(MEMORY, lanes, ORDER);
    return Simd.sum(lanes);
  }

  private static double softplus(double x) {
    return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  }

  private static double sigmoid(double x) {
    double u = Math.exp(-Math.abs(x));
    return (x >= 0 ? 1 : u) / (1 + u);
  }

  /** A row of dh: the rows of w of its negatives and its target, weighted by their slopes. */
  private void combine(long ids, long weights, long target, float slope, long to) {
    int d = 0;
    for (; d + 4 * LANES <= width; d += 4 * LANES) {
      combine4(ids, weights, target + d * 4L, slope, d * 4L, to + d * 4L);
    }
    for (; d < width; d += LANES) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      FloatVector sum = FloatVector.zero(F);
      for (int j = 0; j < negatives; j++) {
        FloatVector x =
            FloatVector.fromMemorySegment(F, MEMORY, rowOf(ids + j * 4L) + d * 4L, ORDER, mask);
        sum = FloatVector.broadcast(F, get(weights + j * 4L)).fma(x, sum);
      }
      sum =
          FloatVector.broadcast(F, slope)
              .fma(FloatVector.fromMemorySegment(F, MEMORY, target + d * 4L, ORDER, mask), sum);
      sum.intoMemorySegment(MEMORY, to + d * 4L, ORDER, mask);
    }
  }

  /** Four vectors of it. Vectors are read without a helper, as in {@link SimdSaeBackward}. */
  private void combine4(long ids, long weights, long target, float slope, long column, long to) {
    long table = w + column;
    FloatVector s0 = FloatVector.zero(F);
    FloatVector s1 = FloatVector.zero(F);
    FloatVector s2 = FloatVector.zero(F);
    FloatVector s3 = FloatVector.zero(F);
    for (int j = 0; j < negatives; j++) {
      long at = (table + MEMORY.get(INT, (ids + j * 4L) & ADDRESS) * (width * 4L)) & ADDRESS;
      FloatVector g = FloatVector.broadcast(F, MEMORY.get(FLOAT, (weights + j * 4L) & ADDRESS));
      s0 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, at, ORDER), s0);
      s1 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, at + BYTES, ORDER), s1);
      s2 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, at + 2 * BYTES, ORDER), s2);
      s3 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, at + 3 * BYTES, ORDER), s3);
    }
    FloatVector g = FloatVector.broadcast(F, slope);
    s0 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, target, ORDER), s0);
    s1 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, target + BYTES, ORDER), s1);
    s2 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, target + 2 * BYTES, ORDER), s2);
    s3 = g.fma(FloatVector.fromMemorySegment(F, MEMORY, target + 3 * BYTES, ORDER), s3);
    s0.intoMemorySegment(MEMORY, to, ORDER);
    s1.intoMemorySegment(MEMORY, to + BYTES, ORDER);
    s2.intoMemorySegment(MEMORY, to + 2 * BYTES, ORDER);
    s3.intoMemorySegment(MEMORY, to + 3 * BYTES, ORDER);
  }

  /** Adds the chunk to some columns of dw. */
  private void columns(int task, int worker) {
    int first = task * vectors * LANES;
    int end = Math.min(width, first + vectors * LANES);
    int d = first;
    for (; d + 4 * LANES <= end; d += 4 * LANES) {
      for (int r = firstRow; r < lastRow; r++) {
        addRow4(r, d);
      }
    }
    for (; d + 2 * LANES <= end; d += 2 * LANES) {
      for (int r = firstRow; r < lastRow; r++) {
        addRow2(r, d);
      }
    }
    for (; d < end; d += LANES) {
      VectorMask<Float> mask = F.indexInRange(d, end);
      for (int r = firstRow; r < lastRow; r++) {
        addRow1(r, d, mask);
      }
    }
  }

  private void addRow4(int r, int d) {
    long entry = (long) (r - firstRow) * negatives * 4;
    long ids = drawn + entry;
    long weights = slopes + entry;
    long table = dw + d * 4L;
    long row = h + ((long) r * width + d) * 4;
    FloatVector x0 = FloatVector.fromMemorySegment(F, MEMORY, row, ORDER);
    FloatVector x1 = FloatVector.fromMemorySegment(F, MEMORY, row + BYTES, ORDER);
    FloatVector x2 = FloatVector.fromMemorySegment(F, MEMORY, row + 2 * BYTES, ORDER);
    FloatVector x3 = FloatVector.fromMemorySegment(F, MEMORY, row + 3 * BYTES, ORDER);
    for (int j = -1; j < negatives; j++) {
      // The target goes first.
      long id = j < 0 ? targets + r * 4L : ids + j * 4L;
      long weight = j < 0 ? targetSlopes + (r - firstRow) * 4L : weights + j * 4L;
      long at = (table + MEMORY.get(INT, id & ADDRESS) * (width * 4L)) & ADDRESS;
      FloatVector g = FloatVector.broadcast(F, MEMORY.get(FLOAT, weight & ADDRESS));
      FloatVector y = g.fma(x0, FloatVector.fromMemorySegment(F, MEMORY, at, ORDER));
      y.intoMemorySegment(MEMORY, at, ORDER);
      y = g.fma(x1, FloatVector.fromMemorySegment(F, MEMORY, at + BYTES, ORDER));
      y.intoMemorySegment(MEMORY, at + BYTES, ORDER);
      y = g.fma(x2, FloatVector.fromMemorySegment(F, MEMORY, at + 2 * BYTES, ORDER));
      y.intoMemorySegment(MEMORY, at + 2 * BYTES, ORDER);
      y = g.fma(x3, FloatVector.fromMemorySegment(F, MEMORY, at + 3 * BYTES, ORDER));
      y.intoMemorySegment(MEMORY, at + 3 * BYTES, ORDER);
    }
  }

  private void addRow2(int r, int d) {
    long entry = (long) (r - firstRow) * negatives * 4;
    long ids = drawn + entry;
    long weights = slopes + entry;
    long table = dw + d * 4L;
    long row = h + ((long) r * width + d) * 4;
    FloatVector x0 = FloatVector.fromMemorySegment(F, MEMORY, row, ORDER);
    FloatVector x1 = FloatVector.fromMemorySegment(F, MEMORY, row + BYTES, ORDER);
    for (int j = -1; j < negatives; j++) {
      long id = j < 0 ? targets + r * 4L : ids + j * 4L;
      long weight = j < 0 ? targetSlopes + (r - firstRow) * 4L : weights + j * 4L;
      long at = (table + MEMORY.get(INT, id & ADDRESS) * (width * 4L)) & ADDRESS;
      FloatVector g = FloatVector.broadcast(F, MEMORY.get(FLOAT, weight & ADDRESS));
      FloatVector y = g.fma(x0, FloatVector.fromMemorySegment(F, MEMORY, at, ORDER));
      y.intoMemorySegment(MEMORY, at, ORDER);
      y = g.fma(x1, FloatVector.fromMemorySegment(F, MEMORY, at + BYTES, ORDER));
      y.intoMemorySegment(MEMORY, at + BYTES, ORDER);
    }
  }

  private void addRow1(int r, int d, VectorMask<Float> mask) {
    long entry = (long) (r - firstRow) * negatives * 4;
    FloatVector x =
        FloatVector.fromMemorySegment(F, MEMORY, h + ((long) r * width + d) * 4, ORDER, mask);
    for (int j = -1; j < negatives; j++) {
      long id = j < 0 ? targets + r * 4L : drawn + entry + j * 4L;
      long weight = j < 0 ? targetSlopes + (r - firstRow) * 4L : slopes + entry + j * 4L;
      long at = dw + ((long) getInt(id) * width + d) * 4;
      FloatVector g = FloatVector.broadcast(F, get(weight));
      g.fma(x, FloatVector.fromMemorySegment(F, MEMORY, at, ORDER, mask))
          .intoMemorySegment(MEMORY, at, ORDER, mask);
    }
  }
}
