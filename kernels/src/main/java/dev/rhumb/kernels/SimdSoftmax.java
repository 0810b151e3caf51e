package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.D;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.FLOAT;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getDouble;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setDouble;
import static dev.rhumb.kernels.SimdTile.NARROW;
import static dev.rhumb.kernels.SimdTile.ROOM;
import static dev.rhumb.kernels.SimdTile.WIDE;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * Softmax cross-entropy of a linear output over each row's target and a set of other classes, with
 * its gradients: of all classes, and of a sample of them.
 *
 * <p>Rows go in blocks, classes in chunks. A chunk's scores stand transposed, (classes, rows of the
 * block): they come from rows of w as they lie and from h transposed once; maxima and sums of rows
 * are sums of vectors; and they are the operand of both gradients as they lie. While a chunk is in
 * the first-level cache, its scores become exponentials and their products with w join dh. When all
 * blocks under way have been through all classes, chunks are shared among the workers, and each
 * takes its exponentials' products with h into its rows of dw.
 *
 * <p>Exponentials are powers of 2: h is scaled by log2(e) where it is transposed. They need no
 * maximum where the norms of h and w bound the scores. The softmax's denominator scales dh at the
 * end and the rows of h for dw, so the exponentials themselves are never divided. The target is
 * left out of the other classes; its own part is taken in double.
 *
 * <p>Where the exponentials of a block would take too much memory, classes go in groups, twice:
 * once for the sums, once for the gradients. Every sum has an order that follows from the shape
 * alone.
 */
final class SimdSoftmax {
  /** Rows of a block. */
  private static final int BLOCK = 64;

  /** Bytes of a class's scores of a block. */
  private static final long LINE = BLOCK * 4L;

  /** Classes of a chunk: 12 tiles, whose scores fit the first-level cache. */
  private static final int CHUNK = 12 * SimdTile.ROWS;

  /** Classes of a group: 12 MiB of scores a block. */
  private static final int GROUP = 800 * CHUNK;

  /** Blocks under way for each thread; no sum depends on it. */
  private static final int BLOCKS_PER_THREAD = 2;

  private static final double LOG2_E = 1.4426950408889634;

  /** Scores to base 2 up to which a float holds their exponentials and sums of them. */
  private static final double SAFE = 80;

  private final Workers workers;
  private final Workers.Task sumTask = this::sum;
  private final Workers.Task gradientTask = this::gradient;
  private final Workers.Task weightTask = this::weightGradient;
  private final Workers.Task targetTask = this::targetGradient;

  // The problem under way.
  private int rows;
  private int classes;
  private int width;
  private long h;
  private long w;
  private long hits;
  private long table;
  private long targets;
  private long targetBias;
  private long dh;
  private long dw;
  private long dTable;

  // The largest norm of a row of w, the largest bias.
  private double longest;
  private double largestBias;

  // The blocks of rows and the group of classes under way.
  private int firstRow;
  private int lastRow;
  private int firstClass;
  private int lastClass;
  private int groups;

  // Scratch memory. For the problem: each class's bias to base 2, the gradients in the targets'
  // scores. For each block under way: scores, h transposed, h scaled, products for dh, sums,
  // what is taken off the scores, the targets' scores, losses.
  private int padded;
  private long shifts;
  private long targetSlopes;
  private long scores;
  private long transposed;
  private long scaled;
  private long products;
  private long sums;
  private long maxima;
  private long wanted;
  private long losses;

  SimdSoftmax(Workers workers) {
    this.workers = workers;
  }

  /**
   * The mean loss; gradients where {@code dh} is not 0. Everything by address, rows contiguous.
   *
   * @param room as many {@link #bytes} of scratch memory as it takes
   * @param classes how many classes there are beside the target
   * @param w (classes, width)
   * @param bias (classes) added to the scores, or 0
   * @param hits (rows) int32: which of the classes is the row's target, or -1
   * @param table (any, width): where targets are looked up
   * @param targets (rows) int32, into table
   * @param targetBias added to the score of a target, by its place in the table; or 0
   * @param dh (rows, width), set
   * @param dw (classes, width), added to
   * @param dTable like table, the targets' part added to; may be dw
   */
  double run(
      long room,
      int rows,
      int classes,
      int width,
      long h,
      long w,
      long bias,
      long hits,
      long table,
      long targets,
      long targetBias,
      long dh,
      long dw,
      long dTable) {
    if (rows == 0) {
      return 0;
    }
    this.rows = rows;
    this.classes = classes;
    this.width = width;
    this.h = h;
    this.w = w;
    this.hits = hits;
    this.table = table;
    this.targets = targets;
    this.targetBias = targetBias;
    this.dh = dh;
    this.dw = dw;
    this.dTable = dTable;
    layOut(room);
    enterClasses(bias);
    double total = 0;
    for (firstRow = 0; firstRow < rows; firstRow = lastRow) {
      lastRow = (int) Math.min(rows, firstRow + (long) blocks(rows) * BLOCK);
      total += blocksLoss();
    }
    if (dh != 0) {
      workers.run(ceilDiv(width, LANES), 2L * rows * width, targetTask);
    }
    return total / rows;
  }

  /** Bytes of scratch memory that a problem of this shape takes. */
  long bytes(int rows, int classes, int width, boolean gradients) {
    long lines = (long) roundUp(classes, LANES) + roundUp(rows, LANES);
    return 4 * (lines + (long) blocks(rows) * BLOCK * floatsOfRow(classes, width, gradients));
  }

  private int blocks(int rows) {
    return Math.min(ceilDiv(rows, BLOCK), BLOCKS_PER_THREAD * workers.threads());
  }

  /** Scores kept, h transposed and scaled, products, sum, loss, maximum, target's score. */
  private static long floatsOfRow(int classes, int width, boolean gradients) {
    return (gradients ? Math.min(classes, GROUP) : 0) + width + 2L * roundUp(width, NARROW) + 6;
  }

  private void layOut(long room) {
    padded = roundUp(width, NARROW);
    groups = Math.max(1, ceilDiv(classes, GROUP));
    long blockRows = (long) blocks(rows) * BLOCK;
    shifts = room;
    targetSlopes = shifts + 4L * roundUp(classes, LANES);
    transposed = targetSlopes + 4L * roundUp(rows, LANES);
    scaled = transposed + 4 * blockRows * width;
    products = scaled + 4 * blockRows * padded;
    sums = products + 4 * blockRows * padded;
    losses = sums + 8 * blockRows;
    maxima = losses + 8 * blockRows;
    wanted = maxima + 4 * blockRows;
    scores = wanted + 4 * blockRows;
  }

  private void enterClasses(long bias) {
    longest = 0;
    largestBias = 0;
    for (int c = 0; c < classes; c++) {
      long row = w + (long) c * width * 4;
      longest = Math.max(longest, Dots.dot(row, row, width));
      float b = bias == 0 ? 0 : get(bias + c * 4L);
      largestBias = Math.max(largestBias, Math.abs(b));
      set(shifts + c * 4L, (float) (b * LOG2_E));
    }
    longest = Math.sqrt(longest);
  }

  /** The summed loss of the rows under way; takes their gradients too. */
  private double blocksLoss() {
    int blocks = ceilDiv(lastRow - firstRow, BLOCK);
    firstClass = 0;
    lastClass = classes;
    if (dh == 0 || groups > 1) {
      workers.run(blocks, operations(), sumTask);
    }
    for (int group = 0; group < groups && dh != 0; group++) {
      firstClass = group * GROUP;
      lastClass = Math.min(classes, firstClass + GROUP);
      workers.run(blocks, 2 * operations(), gradientTask);
      workers.run(ceilDiv(lastClass - firstClass, CHUNK), operations(), weightTask);
    }
    double total = 0;
    for (int row = 0; row < lastRow - firstRow; row++) {
      total += getDouble(losses + row * 8L);
    }
    return total;
  }

  private long operations() {
    return 2L * (lastRow - firstRow) * (lastClass - firstClass + 1) * width;
  }

  private int blockRows(int block) {
    return Math.min(BLOCK, lastRow - firstRow - block * BLOCK);
  }

  /** Where a block's scores of a class of the group stand. */
  private long scoresOf(int block, int c) {
    return scores + ((long) block * Math.min(classes, GROUP) + c - firstClass) * LINE;
  }

  /** A block's sums over all classes, and its losses. */
  private void sum(int block, int worker) {
    long room = workers.own(worker).reserve(ROOM + CHUNK * LINE);
    enterBlock(block, room);
    for (int c = 0; c < classes; c += CHUNK) {
      int count = Math.min(CHUNK, classes - c);
      score(block, c, count, room + ROOM, room);
      exponentials(block, c, count, room + ROOM, true);
    }
    closeSums(block);
  }

  /** The part of a group of classes in a block's dh; its sums and losses where it is the only. */
  private void gradient(int block, int worker) {
    boolean natural = wLiesNear();
    long room = workers.own(worker).reserve(ROOM + CHUNK * (LINE + (natural ? 0 : 4L * padded)));
    if (groups == 1) {
      enterBlock(block, room);
    }
    long copy = room + ROOM + CHUNK * LINE;
    long rowBytes = width * 4L;
    for (int c = firstClass; c < lastClass; c += CHUNK) {
      int count = Math.min(CHUNK, lastClass - c);
      long at = scoresOf(block, c);
      score(block, c, count, at, room);
      exponentials(block, c, count, at, groups == 1);
      long from = w + c * rowBytes;
      if (!natural) {
        SimdTile.pack(count, width, from, rowBytes, copy);
        from = copy;
      }
      SimdTile.multiply(
          blockRows(block),
          padded,
          count,
          at,
          4,
          LINE,
          from,
          natural ? rowBytes : 0,
          count,
          productsOf(block),
          padded * 4L,
          c > 0,
          room);
    }
    if (groups == 1) {
      closeSums(block);
    }
    if (lastClass == classes) {
      for (int r = 0; r < blockRows(block); r++) {
        finishRow(block, r);
      }
    }
  }

  private boolean wLiesNear() {
    return width % NARROW == 0 && SimdTile.isNear(width * 4L);
  }

  private long productsOf(int block) {
    return products + (long) block * BLOCK * padded * 4;
  }

  private long transposedOf(int block) {
    return transposed + (long) block * BLOCK * width * 4;
  }

  /** Transposes a block's rows of h, scores its targets, and sets what is taken off its scores. */
  private void enterBlock(int block, long room) {
    int count = blockRows(block);
    long first = firstRow + (long) block * BLOCK;
    long rowBytes = width * 4L;
    long to = transposedOf(block);
    SimdTile.packTransposed(count, width, h + first * rowBytes, rowBytes, to);
    FloatVector toBase2 = FloatVector.broadcast(F, (float) LOG2_E);
    int elements = roundUp(count, NARROW) * width;
    for (int i = 0; i < elements; i += LANES) {
      FloatVector.fromMemorySegment(F, MEMORY, to + i * 4L, ORDER)
          .mul(toBase2)
          .intoMemorySegment(MEMORY, to + i * 4L, ORDER);
    }
    double most = 0;
    for (int r = 0; r < BLOCK; r++) {
      long place = (long) block * BLOCK + r;
      setDouble(sums + place * 8, 0);
      set(maxima + place * 4, 0);
      if (r < count) {
        long row = h + (first + r) * rowBytes;
        int target = getInt(targets + (first + r) * 4);
        float score = Dots.dot(row, table + target * rowBytes, width);
        set(wanted + place * 4, score + (targetBias == 0 ? 0 : get(targetBias + target * 4L)));
        most = Math.max(most, Dots.dot(row, row, width));
      }
    }
    // The negation also sends a NaN there.
    if (!((Math.sqrt(most) * longest + largestBias) * LOG2_E <= SAFE)) {
      takeMaxima(block, room);
    }
  }

  /** Sets a block's maxima to the largest of each row's scores, the target's among them. */
  private void takeMaxima(int block, long room) {
    long most = maxima + (long) block * LINE;
    for (int r = 0; r < blockRows(block); r++) {
      set(most + r * 4L, (float) (get(wanted + block * LINE + r * 4L) * LOG2_E));
    }
    int cols = roundUp(blockRows(block), LANES);
    for (int c = 0; c < classes; c += CHUNK) {
      int count = Math.min(CHUNK, classes - c);
      long at = room + ROOM;
      score(block, c, count, at, room);
      for (int v = 0; v < cols; v += LANES) {
        FloatVector y = FloatVector.fromMemorySegment(F, MEMORY, most + v * 4L, ORDER);
        for (int i = 0; i < count; i++) {
          FloatVector x =
              FloatVector.fromMemorySegment(F, MEMORY, at + i * LINE + v * 4L, ORDER)
                  .add(get(shifts + (c + i) * 4L));
          // A NaN is not greater, and shows in the sum.
          y = y.blend(x, x.compare(VectorOperators.GT, y));
        }
        y.intoMemorySegment(MEMORY, most + v * 4L, ORDER);
      }
    }
  }

  /** A block's scores of some classes to base 2, without bias; minus infinity for a target. */
  private void score(int block, int first, int count, long to, long room) {
    int rows = blockRows(block);
    long rowBytes = width * 4L;
    SimdTile.multiply(
        count,
        roundUp(rows, NARROW),
        width,
        w + first * rowBytes,
        rowBytes,
        4,
        transposedOf(block),
        0,
        width,
        to,
        LINE,
        false,
        room);
    long hit = hits + (firstRow + (long) block * BLOCK) * 4;
    for (int r = 0; r < rows; r++) {
      int c = getInt(hit + r * 4L) - first;
      if (c >= 0 && c < count) {
        set(to + c * LINE + r * 4L, Float.NEGATIVE_INFINITY);
      }
    }
  }

  /** Turns scores to exponentials, and adds them to the rows' sums where asked to. */
  private void exponentials(int block, int first, int count, long at, boolean summed) {
    long most = maxima + (long) block * LINE;
    long sum = sums + (long) block * LINE * 2;
    int cols = roundUp(blockRows(block), LANES);
    for (int v = 0; v < cols; v += LANES) {
      powers(count, at + v * 4L, shifts + first * 4L, most + v * 4L, summed ? sum + v * 8L : 0);
    }
  }

  /**
   * A vector of rows' exponentials of some classes in place; their sums are added at {@code sum},
   * if it is not 0.
   */
  private static void powers(int count, long at, long shifts, long most, long sum) {
    FloatVector top = FloatVector.fromMemorySegment(F, MEMORY, most, ORDER);
    FloatVector total = FloatVector.zero(F);
    for (int c = 0; c < count; c++) {
      at &= ADDRESS;
      shifts &= ADDRESS;
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
      FloatVector y =
          Simd.exp2(x.add(FloatVector.broadcast(F, MEMORY.get(FLOAT, shifts))).sub(top));
      total = total.add(y);
      y.intoMemorySegment(MEMORY, at, ORDER);
      at += LINE;
      shifts += 4;
    }
    if (sum != 0) {
      DoubleVector low = (DoubleVector) total.convertShape(VectorOperators.F2D, D, 0);
      low.add(DoubleVector.fromMemorySegment(D, MEMORY, sum, ORDER))
          .intoMemorySegment(MEMORY, sum, ORDER);
      DoubleVector high = (DoubleVector) total.convertShape(VectorOperators.F2D, D, 1);
      high.add(DoubleVector.fromMemorySegment(D, MEMORY, sum + BYTES, ORDER))
          .intoMemorySegment(MEMORY, sum + BYTES, ORDER);
    }
  }

  /** A block's losses, its targets' gradients, and its rows of h scaled. */
  private void closeSums(int block) {
    for (int r = 0; r < blockRows(block); r++) {
      long place = (long) block * BLOCK + r;
      double most = get(maxima + place * 4) / LOG2_E;
      double score = get(wanted + place * 4);
      double target = Math.exp(score - most);
      double others = getDouble(sums + place * 8);
      double sum = others + target;
      // The ratio keeps a small loss's digits.
      double loss = target > 1e-200 ? Math.log1p(others / target) : Math.log(sum) + most - score;
      setDouble(losses + place * 8, loss);
      if (dh != 0) {
        setDouble(sums + place * 8, sum);
        set(targetSlopes + (firstRow + place) * 4, (float) ((target / sum - 1) / rows));
        scaleRow(block, r, (float) (1 / (sum * rows)));
      }
    }
  }

  /** A row of h scaled, into the panels that dw is made from. */
  private void scaleRow(int block, int r, float factor) {
    long from = h + (firstRow + (long) block * BLOCK + r) * width * 4;
    long to = scaled + (long) block * BLOCK * padded * 4;
    for (int c = 0; c < padded; c += LANES) {
      int panel = c / WIDE * WIDE;
      int panelWidth = Math.min(WIDE, padded - panel);
      FloatVector x =
          FloatVector.fromMemorySegment(
              F, MEMORY, from + c * 4L, ORDER, F.indexInRange(Math.min(c, width), width));
      x.mul(factor)
          .intoMemorySegment(
              MEMORY, to + ((long) panel * BLOCK + (long) r * panelWidth + c - panel) * 4, ORDER);
    }
  }

  /** A row of dh: its products over the denominator, and its target's part. */
  private void finishRow(int block, int r) {
    long place = (long) block * BLOCK + r;
    long row = firstRow + place;
    float factor = (float) (1 / (getDouble(sums + place * 8) * rows));
    long target = table + getInt(targets + row * 4) * (width * 4L);
    FloatVector slope = FloatVector.broadcast(F, get(targetSlopes + row * 4));
    for (int c = 0; c < width; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, width);
      FloatVector x = FloatVector.zero(F);
      if (classes > 0) {
        x =
            FloatVector.fromMemorySegment(F, MEMORY, products + (place * padded + c) * 4, ORDER)
                .mul(factor);
      }
      FloatVector.fromMemorySegment(F, MEMORY, target + c * 4L, ORDER, mask)
          .fma(slope, x)
          .intoMemorySegment(MEMORY, dh + (row * width + c) * 4, ORDER, mask);
    }
  }

  /** Adds the blocks' part in a chunk's rows of dw, rows ascending. */
  private void weightGradient(int chunk, int worker) {
    int first = firstClass + chunk * CHUNK;
    int count = Math.min(CHUNK, lastClass - first);
    long to = dw + (long) first * width * 4;
    boolean direct = padded == width;
    long room = workers.own(worker).reserve(ROOM + 4L * CHUNK * padded);
    for (int block = 0; block < ceilDiv(lastRow - firstRow, BLOCK); block++) {
      SimdTile.multiply(
          count,
          padded,
          blockRows(block),
          scoresOf(block, first),
          LINE,
          4,
          scaled + (long) block * BLOCK * padded * 4,
          0,
          BLOCK,
          direct ? to : room + ROOM,
          padded * 4L,
          direct,
          room);
      for (int i = 0; i < count && !direct; i++) {
        long from = room + ROOM + (long) i * padded * 4;
        for (int c = 0; c < width; c += LANES) {
          VectorMask<Float> mask = F.indexInRange(c, width);
          long at = to + ((long) i * width + c) * 4;
          FloatVector.fromMemorySegment(F, MEMORY, at, ORDER, mask)
              .add(FloatVector.fromMemorySegment(F, MEMORY, from + c * 4L, ORDER))
              .intoMemorySegment(MEMORY, at, ORDER, mask);
        }
      }
    }
  }

  /** Adds the targets' part in a vector of columns of their rows, rows ascending. */
  private void targetGradient(int task, int worker) {
    int c = task * LANES;
    VectorMask<Float> mask = F.indexInRange(c, width);
    for (int r = 0; r < rows; r++) {
      long at = dTable + ((long) getInt(targets + r * 4L) * width + c) * 4;
      FloatVector x =
          FloatVector.fromMemorySegment(F, MEMORY, h + ((long) r * width + c) * 4, ORDER, mask);
      FloatVector slope = FloatVector.broadcast(F, get(targetSlopes + r * 4L));
      slope
          .fma(x, FloatVector.fromMemorySegment(F, MEMORY, at, ORDER, mask))
          .intoMemorySegment(MEMORY, at, ORDER, mask);
    }
  }
}
