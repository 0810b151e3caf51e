package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.load;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.store;
import static dev.rhumb.kernels.SimdTile.NARROW;
import static dev.rhumb.kernels.SimdTile.PANEL;
import static dev.rhumb.kernels.SimdTile.ROOM;
import static dev.rhumb.kernels.SimdTile.WIDE;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link Loss#sampledSoftmaxCrossEntropy}: the way of {@link SimdLoss} over the gathered rows of
 * the negatives. Blocks of rows make their scores panel by panel and keep each row's maximum, then
 * turn them to exponentials while they multiply them with the negatives into dh; then the panels
 * take the exponentials' products with h into sums, which join dw at the end. The targets' part of
 * dw is a {@link SimdLayers scatter} of rows of h of its own.
 */
final class SimdSampledSoftmax {
  /** Rows of a block: 16 tiles. */
  private static final int BLOCK = 16 * SimdTile.ROWS;

  /** Blocks in scratch memory at once, at most. */
  private static final int BLOCKS = 8;

  /** Scores in scratch memory, but for a single block: 48 MiB. */
  private static final long SCORES = 12 << 20;

  private final Workers workers;
  private final Workers.Task packTask = this::pack;
  private final Workers.Task rowTask = this::rowBlock;
  private final Workers.Task panelTask = this::panelGradient;
  private final Workers.Task joinTask = this::join;
  private final Workers.Task targetTask = this::targetGradient;

  // The arguments of the call under way.
  private int rows;
  private int negatives;
  private int width;
  private long h;
  private long w;
  private long targets;
  private long sample;
  private long bias;
  private long targetBias;
  private long dh;
  private long dw;

  // The blocks under way.
  private int firstRow;
  private int lastRow;

  // Scratch memory. For the call: the negatives' rows of w transposed and plain, in panels; the
  // sums
  // for dw; the gradients in the targets' scores. For all blocks under way: scores, h scaled, the
  // products for dh, each row's loss.
  private int panels;
  private int padded;
  private long packed;
  private long plain;
  private long sums;
  private long targetSlopes;
  private long scores;
  private long scaled;
  private long products;
  private long losses;

  SimdSampledSoftmax(Workers workers) {
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
      Buffer sample,
      Buffer bias,
      Buffer targetBias,
      long dh,
      long dw) {
    String op = "sampledSoftmaxCrossEntropy";
    Check.indices(op, "targets", targets, rows, 1, classes);
    Check.ascending(op, "sample", sample, negatives, classes);
    if (rows == 0) {
      return 0;
    }
    this.rows = rows;
    this.negatives = negatives;
    this.width = width;
    this.h = h.segment().address();
    this.w = w.segment().address();
    this.targets = targets.segment().address();
    this.sample = sample.segment().address();
    this.bias = bias.segment().address();
    this.targetBias = targetBias.segment().address();
    this.dh = dh;
    this.dw = dw;
    int blocks = plan();
    workers.run(panels, 4L * negatives * width, packTask);
    double total = 0;
    for (firstRow = 0; firstRow < rows; firstRow = lastRow) {
      lastRow = (int) Math.min(rows, firstRow + (long) blocks * BLOCK);
      long operations = 2L * (lastRow - firstRow) * (negatives + 1) * width;
      workers.run(ceilDiv(lastRow - firstRow, BLOCK), operations, rowTask);
      if (dh != 0) {
        workers.run(panels, operations, panelTask);
      }
      for (int row = 0; row < lastRow - firstRow; row++) {
        total += Simd.getDouble(losses + row * 8L);
      }
    }
    if (dh != 0) {
      workers.run(panels, (long) negatives * width, joinTask);
      workers.run(ceilDiv(width, LANES), 2L * rows * width, targetTask);
    }
    return total / rows;
  }

  /** Lays out the scratch memory; how many blocks fit in it. By shape alone. */
  private int plan() {
    padded = roundUp(width, NARROW);
    panels = ceilDiv(negatives, PANEL);
    long columns = (long) panels * PANEL;
    long fit = Math.clamp(SCORES / Math.max(1, BLOCK * columns), 1, BLOCKS);
    int blocks = (int) Math.min(fit, ceilDiv(rows, BLOCK));
    long blockRows = (long) blocks * BLOCK;
    packed =
        workers
            .shared()
            .reserve(
                4
                    * (columns * (width + 2L * padded)
                        + roundUp(rows, LANES)
                        + blockRows * (columns + 2L * padded + 2)));
    plain = packed + columns * width * 4;
    sums = plain + columns * padded * 4;
    scores = sums + columns * padded * 4;
    scaled = scores + blockRows * columns * 4;
    products = scaled + blockRows * padded * 4;
    losses = products + blockRows * padded * 4;
    targetSlopes = losses + blockRows * 8;
    return blocks;
  }

  private int panelWidth(int panel) {
    return Math.min(PANEL, negatives - panel * PANEL);
  }

  /** Gathers a panel's rows of w. */
  private void pack(int panel, int worker) {
    int count = panelWidth(panel);
    long rowBytes = width * 4L;
    long room = workers.own(worker).reserve(PANEL * rowBytes);
    for (int i = 0; i < count; i++) {
      long from = w + getInt(sample + (panel * PANEL + i) * 4L) * rowBytes;
      for (int d = 0; d < width; d += LANES) {
        VectorMask<Float> mask = F.indexInRange(d, width);
        store(load(from + d * 4L, mask), room + i * rowBytes + d * 4L, mask);
      }
    }
    SimdTile.packTransposed(count, width, room, rowBytes, packed + panel * PANEL * rowBytes);
    SimdTile.pack(count, width, room, rowBytes, plain + (long) panel * PANEL * padded * 4);
  }

  private int blockRows(int block) {
    return Math.min(BLOCK, lastRow - firstRow - block * BLOCK);
  }

  /** A block's scores in a panel: (BLOCK, PANEL). */
  private long panelOf(int block, int panel) {
    return scores + ((long) block * panels + panel) * BLOCK * PANEL * 4;
  }

  /** A block's losses, its dh, its scores turned to exponentials, and its rows of h scaled. */
  private void rowBlock(int block, int worker) {
    int count = blockRows(block);
    long room =
        workers.own(worker).reserve(ROOM + BLOCK * (2L * BYTES + 8 + roundUp(width, PANEL) * 4L));
    long lanes = room + ROOM;
    long wanted = lanes + (long) BLOCK * BYTES;
    long maxima = wanted + BLOCK * 4L;
    long inputs = maxima + BLOCK * 4L;
    long first = firstRow + (long) block * BLOCK;
    long rowBytes = width * 4L;
    if (SimdTile.isPanelOfA(count, width, rowBytes)) {
      inputs = h + first * rowBytes;
    } else {
      SimdTile.packA(count, width, h + first * rowBytes, rowBytes, inputs, BLOCK);
    }
    for (int r = 0; r < count; r++) {
      int target = getInt(targets + (first + r) * 4);
      float score = Dots.dot(h + (first + r) * rowBytes, w + target * rowBytes, width);
      set(wanted + r * 4L, score + get(targetBias + target * 4L));
      store(FloatVector.broadcast(F, get(wanted + r * 4L)), lanes + (long) r * BYTES);
    }
    for (int panel = 0; panel < panels; panel++) {
      score(block, panel, inputs, room);
      takeMaxima(count, panelOf(block, panel), lanes);
    }
    for (int r = 0; r < count; r++) {
      set(maxima + r * 4L, load(lanes + (long) r * BYTES).reduceLanes(VectorOperators.MAX));
      store(FloatVector.zero(F), lanes + (long) r * BYTES);
    }
    for (int panel = 0; panel < panels; panel++) {
      exponentials(count, panelOf(block, panel), maxima, lanes);
      if (dh != 0) {
        multiply(block, panel, room);
      }
    }
    for (int r = 0; r < count; r++) {
      float most = get(maxima + r * 4L);
      double target = Math.exp(get(wanted + r * 4L) - most);
      double sum = target + Simd.sum(lanes + (long) r * BYTES);
      double loss = most - get(wanted + r * 4L) + Math.log(sum);
      Simd.setDouble(losses + (first - firstRow + r) * 8, loss);
      if (dh != 0) {
        float slope = (float) ((target / sum - 1) / rows);
        set(targetSlopes + (first + r) * 4, slope);
        finishRow(block, r, count, first + r, (float) (1 / (sum * rows)), slope);
      }
    }
  }

  /**
   * A block's corrected scores in a panel; minus infinity for hits and beyond the last negative.
   */
  private void score(int block, int panel, long inputs, long room) {
    int count = blockRows(block);
    int real = panelWidth(panel);
    long to = panelOf(block, panel);
    SimdTile.multiply(
        count,
        roundUp(real, NARROW),
        width,
        inputs,
        BLOCK,
        packed + (long) panel * PANEL * width * 4,
        0,
        width,
        to,
        PANEL * 4L,
        false,
        room);
    long shift = bias + panel * PANEL * 4L;
    for (int c = 0; c < PANEL; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(Math.min(c, real), real);
      FloatVector b = load(shift + Math.min(c, real) * 4L, mask);
      FloatVector none = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
      for (int r = 0; r < count; r++) {
        long at = to + (r * PANEL + c) * 4L;
        store(none.blend(load(at).add(b), mask), at);
      }
    }
    int least = getInt(sample + panel * PANEL * 4L);
    int most = getInt(sample + (panel * PANEL + real - 1) * 4L);
    for (int r = 0; r < count; r++) {
      int target = getInt(targets + (firstRow + (long) block * BLOCK + r) * 4);
      if (target >= least && target <= most) {
        int hit = find(target, panel * PANEL, panel * PANEL + real);
        if (hit >= 0) {
          set(to + (r * PANEL + hit % PANEL) * 4L, Float.NEGATIVE_INFINITY);
        }
      }
    }
  }

  /** Where a class stands among negatives {@code from} to {@code to - 1}, or -1. */
  private int find(int wanted, int from, int to) {
    int low = from;
    int high = to;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (getInt(sample + middle * 4L) < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < to && getInt(sample + low * 4L) == wanted ? low : -1;
  }

  private static void takeMaxima(int count, long panel, long lanes) {
    for (int r = 0; r < count; r++) {
      long at = panel + r * (PANEL * 4L);
      FloatVector most = load(lanes + (long) r * BYTES);
      for (int c = 0; c < PANEL; c += LANES) {
        FloatVector x = load(at + c * 4L);
        most = most.blend(x, x.compare(VectorOperators.GT, most));
      }
      store(most, lanes + (long) r * BYTES);
    }
  }

  /** Turns a panel's scores to exponentials and adds them to the rows' sums, lane by lane. */
  private static void exponentials(int count, long panel, long maxima, long lanes) {
    for (int r = 0; r < count; r++) {
      long at = panel + r * (PANEL * 4L);
      FloatVector most = FloatVector.broadcast(F, get(maxima + r * 4L));
      FloatVector sum = load(lanes + (long) r * BYTES);
      for (int c = 0; c < PANEL; c += LANES) {
        FloatVector x = Simd.exp(load(at + c * 4L).sub(most));
        sum = sum.add(x);
        store(x, at + c * 4L);
      }
      store(sum, lanes + (long) r * BYTES);
    }
  }

  /** Adds a panel's exponentials times its negatives to a block's products. */
  private void multiply(int block, int panel, long room) {
    int count = panelWidth(panel);
    SimdTile.multiply(
        blockRows(block),
        padded,
        count,
        panelOf(block, panel),
        BLOCK,
        plain + (long) panel * PANEL * padded * 4,
        0,
        count,
        products + (long) block * BLOCK * padded * 4,
        padded * 4L,
        panel > 0,
        room);
  }

  /** A row of dh, and its row of h scaled into the panels that the negatives' dw is made from. */
  private void finishRow(int block, int r, int count, long row, float factor, float slope) {
    long product = products + ((long) block * BLOCK + r) * padded * 4;
    long target = w + getInt(targets + row * 4) * (width * 4L);
    FloatVector weight = FloatVector.broadcast(F, slope);
    long panelsOfB = scaled + (long) block * BLOCK * padded * 4;
    for (int c = 0; c < padded; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(Math.min(c, width), width);
      long at = (row * width + c) * 4;
      int panel = c / WIDE * WIDE;
      int panelWidth = Math.min(WIDE, padded - panel);
      long to = panelsOfB + ((long) panel * count + (long) r * panelWidth + c - panel) * 4;
      store(load(h + at, mask).mul(factor), to);
      FloatVector sum = panels == 0 ? FloatVector.zero(F) : load(product + c * 4L).mul(factor);
      store(load(target + c * 4L, mask).fma(weight, sum), dh + at, mask);
    }
  }

  /** Adds the blocks' part in the sums of a panel's negatives, rows ascending. */
  private void panelGradient(int panel, int worker) {
    long room = workers.own(worker).reserve(ROOM);
    for (int block = 0; block < ceilDiv(lastRow - firstRow, BLOCK); block++) {
      SimdTile.multiplyTransposed(
          panelWidth(panel),
          padded,
          blockRows(block),
          panelOf(block, panel),
          BLOCK,
          scaled + (long) block * BLOCK * padded * 4,
          0,
          blockRows(block),
          sums + (long) panel * PANEL * padded * 4,
          padded * 4L,
          firstRow > 0 || block > 0,
          room);
    }
  }

  /** Adds the sums of a panel's negatives to their rows of dw. */
  private void join(int panel, int worker) {
    for (int i = 0; i < panelWidth(panel); i++) {
      long from = sums + ((long) panel * PANEL + i) * padded * 4;
      long to = dw + getInt(sample + (panel * PANEL + i) * 4L) * (width * 4L);
      for (int c = 0; c < width; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, width);
        store(load(to + c * 4L, mask).add(load(from + c * 4L)), to + c * 4L, mask);
      }
    }
  }

  /** Adds the targets' part in a vector of columns of dw, rows ascending. */
  private void targetGradient(int task, int worker) {
    int c = task * LANES;
    VectorMask<Float> mask = F.indexInRange(c, width);
    for (int r = 0; r < rows; r++) {
      long at = dw + ((long) getInt(targets + r * 4L) * width + c) * 4;
      FloatVector x = load(h + ((long) r * width + c) * 4, mask);
      FloatVector slope = FloatVector.broadcast(F, get(targetSlopes + r * 4L));
      store(slope.fma(x, load(at, mask)), at, mask);
    }
  }
}
