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
 * {@link Loss} on the Vector API.
 *
 * <p>Rows go in blocks, classes in panels. The scores of a few blocks by all classes fit the
 * scratch memory: a block makes its scores panel by panel and keeps each row's maximum, then turns
 * them to exponentials while it sums them and multiplies them with w into dh; then the panels,
 * shared among the workers, take the exponentials' products with h into dw. Where the classes are
 * too many for that, they go in groups, twice: once for each row's maximum and sum, once for the
 * gradients.
 *
 * <p>The softmax's denominator scales dh at the end and the rows of h for dw, so the exponentials
 * themselves are never divided.
 */
final class SimdLoss extends Loss {
  /** Rows of a block: 16 tiles. */
  private static final int BLOCK = 16 * SimdTile.ROWS;

  /** Blocks in scratch memory at once; by shape alone, as the order of sums follows from it. */
  private static final int BLOCKS = 8;

  /** Blocks below which groups of classes are the better way to save memory. */
  private static final int FEWEST_BLOCKS = 2;

  /** Scores in scratch memory at most, but for a single panel: 48 MiB. */
  private static final long SCORES = 12 << 20;

  private final Workers workers;
  private final SimdSampledSoftmax sampledSoftmax;
  private final SimdBinaryLoss binaryLoss;
  private final Workers.Task packTask = this::pack;
  private final Workers.Task sumTask = this::sum;
  private final Workers.Task gradientTask = this::gradient;
  private final Workers.Task weightTask = this::weightGradient;

  // The arguments of the call under way.
  private int rows;
  private int classes;
  private int width;
  private long h;
  private long w;
  private long targets;
  private long dh;
  private long dw;

  // The group of classes and the blocks of rows under way.
  private int groupClasses;
  private int groups;
  private int entered;
  private int firstClass;
  private int lastClass;
  private int firstRow;
  private int lastRow;

  // Scratch memory; each stands for all blocks under way.
  private int padded;
  private long packed;
  private long plain;
  private long scores;
  private long scaled;
  private long products;
  private long maxima;
  private long sums;
  private long wanted;

  SimdLoss(Workers workers) {
    this.workers = workers;
    sampledSoftmax = new SimdSampledSoftmax(workers);
    binaryLoss = new SimdBinaryLoss(workers);
  }

  @Override
  void doSampledSoftmaxCrossEntropy(
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
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    double mean =
        sampledSoftmax.run(
            rows,
            negatives,
            classes,
            width,
            h,
            w,
            targets,
            sample,
            bias,
            targetBias,
            address(dh),
            address(dw));
    set(loss.segment().address(), (float) mean);
  }

  @Override
  void doBinaryCrossEntropy(
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
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    double mean =
        binaryLoss.run(
            rows,
            negatives,
            classes,
            width,
            h,
            w,
            targets,
            groups,
            groupOffsets,
            excludedOffsets,
            excluded,
            key,
            stream,
            positiveWeight,
            address(dh),
            address(dw));
    set(loss.segment().address(), (float) mean);
  }

  private static long address(Buffer buffer) {
    return buffer == null ? 0 : buffer.segment().address();
  }

  @Override
  void doSoftmaxCrossEntropy(
      int rows,
      int classes,
      int width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    Check.indices("softmaxCrossEntropy", "targets", targets, rows, 1, classes);
    this.rows = rows;
    this.classes = classes;
    this.width = width;
    this.h = h.segment().address();
    this.w = w.segment().address();
    this.targets = targets.segment().address();
    this.dh = dh == null ? 0 : dh.segment().address();
    this.dw = dw == null ? 0 : dw.segment().address();
    int blocks = plan();
    double total = 0;
    for (firstRow = 0; firstRow < rows; firstRow = lastRow) {
      lastRow = (int) Math.min(rows, firstRow + (long) blocks * BLOCK);
      total += blocksLoss();
    }
    set(loss.segment().address(), rows == 0 ? 0 : (float) (total / rows));
  }

  /** Lays out the scratch memory; how many blocks fit in it. */
  private int plan() {
    padded = roundUp(width, NARROW);
    int panels = ceilDiv(classes, PANEL);
    int blocks = BLOCKS;
    while (blocks > FEWEST_BLOCKS && (long) blocks * BLOCK * panels * PANEL > SCORES) {
      blocks /= 2;
    }
    if ((long) blocks * BLOCK * panels * PANEL > SCORES) {
      blocks = BLOCKS;
    }
    blocks = Math.min(blocks, Math.max(1, ceilDiv(rows, BLOCK)));
    long panelsThatFit = Math.max(1, SCORES / ((long) blocks * BLOCK * PANEL));
    groupClasses = (int) Math.min(panels, panelsThatFit) * PANEL;
    groups = ceilDiv(classes, groupClasses);
    entered = -1;
    long blockRows = (long) blocks * BLOCK;
    packed =
        workers
            .shared()
            .reserve(
                4
                    * (groupClasses * ((long) width + padded)
                        + blockRows * (groupClasses + 2L * padded + 4)));
    plain = packed + (long) groupClasses * width * 4;
    scores = plain + (long) groupClasses * padded * 4;
    scaled = scores + blockRows * groupClasses * 4;
    products = scaled + blockRows * padded * 4;
    sums = products + blockRows * padded * 4;
    maxima = sums + blockRows * 8;
    wanted = maxima + blockRows * 4;
    return blocks;
  }

  /** The summed loss of the rows under way; takes their gradients too. */
  private double blocksLoss() {
    int blocks = ceilDiv(lastRow - firstRow, BLOCK);
    for (int group = 0; group < groups; group++) {
      enter(group);
      workers.run(blocks, operations(), sumTask);
    }
    if (dh != 0) {
      for (int group = 0; group < groups; group++) {
        enter(group);
        workers.run(blocks, operations(), gradientTask);
        workers.run(ceilDiv(lastClass - firstClass, PANEL), operations(), weightTask);
      }
    }
    double total = 0;
    for (int row = 0; row < lastRow - firstRow; row++) {
      double logSumExp = get(maxima + row * 4L) + Math.log(Simd.getDouble(sums + row * 8L));
      total += logSumExp - get(wanted + row * 4L);
    }
    return total;
  }

  private long operations() {
    return 2L * (lastRow - firstRow) * (lastClass - firstClass) * width;
  }

  /** Makes a group of classes the one under way and packs its rows of w. */
  private void enter(int group) {
    if (group == entered) {
      return;
    }
    entered = group;
    firstClass = group * groupClasses;
    lastClass = Math.min(classes, firstClass + groupClasses);
    int panels = ceilDiv(lastClass - firstClass, PANEL);
    workers.run(panels, 4L * (lastClass - firstClass) * width, packTask);
  }

  private void pack(int panel, int worker) {
    int from = firstClass + panel * PANEL;
    int count = Math.min(PANEL, lastClass - from);
    long rowBytes = width * 4L;
    long at = w + from * rowBytes;
    SimdTile.packTransposed(count, width, at, rowBytes, packed + panel * PANEL * rowBytes);
    if (!wIsPanel()) {
      SimdTile.pack(count, width, at, rowBytes, plain + (long) panel * PANEL * padded * 4);
    }
  }

  /** Whether rows of w as they lie can be multiplied with. */
  private boolean wIsPanel() {
    return SimdTile.isPanelOfB(width, width * 4L);
  }

  private int blockRows(int block) {
    return Math.min(BLOCK, lastRow - firstRow - block * BLOCK);
  }

  /** A block's scores in a panel: (BLOCK, PANEL). */
  private long panelOf(int block, int panel) {
    return scores + ((long) block * groupClasses + (long) panel * PANEL) * BLOCK * 4;
  }

  /** Sums a block's exponentials over the classes of the group; takes dh too if it is all. */
  private void sum(int block, int worker) {
    int count = blockRows(block);
    long room = ownScratch(worker);
    long lanes = room + ROOM;
    long inputs = inputPanels(block, lanes + (long) BLOCK * BYTES);
    for (int r = 0; r < count; r++) {
      store(FloatVector.broadcast(F, Float.NEGATIVE_INFINITY), lanes + (long) r * BYTES);
    }
    int panels = ceilDiv(lastClass - firstClass, PANEL);
    for (int panel = 0; panel < panels; panel++) {
      scorePanel(block, panel, inputs, room);
      takeMaxima(count, panelOf(block, panel), lanes);
    }
    for (int r = 0; r < count; r++) {
      enterRow(block, r, lanes + (long) r * BYTES);
    }
    boolean all = groups == 1 && dh != 0;
    for (int panel = 0; panel < panels; panel++) {
      exponentials(count, panelOf(block, panel), maxima + (long) block * BLOCK * 4, lanes);
      if (all) {
        multiply(block, panel, room);
      }
    }
    for (int r = 0; r < count; r++) {
      long at = sums + ((long) block * BLOCK + r) * 8;
      Simd.setDouble(at, Simd.getDouble(at) + Simd.sum(lanes + (long) r * BYTES));
    }
  }

  /** Room for a vector of each row of a block, and for its rows of h. */
  private long ownScratch(int worker) {
    return workers.own(worker).reserve(ROOM + BLOCK * (BYTES + roundUp(width, PANEL) * 4L));
  }

  /** A block's rows of h in panels: as they lie, or copied to {@code room}. */
  private long inputPanels(int block, long room) {
    long rowBytes = width * 4L;
    long at = h + ((long) firstRow + block * BLOCK) * rowBytes;
    if (SimdTile.isPanelOfA(blockRows(block), width, rowBytes)) {
      return at;
    }
    SimdTile.packA(blockRows(block), width, at, rowBytes, room, BLOCK);
    return room;
  }

  /** A block's scores in a panel; minus infinity beyond the last class. */
  private void scorePanel(int block, int panel, long inputs, long room) {
    int count = blockRows(block);
    long to = panelOf(block, panel);
    long from = packed + (long) panel * PANEL * width * 4;
    int real = Math.min(PANEL, lastClass - firstClass - panel * PANEL);
    SimdTile.multiply(
        count,
        roundUp(real, NARROW),
        width,
        inputs,
        BLOCK,
        from,
        0,
        width,
        to,
        PANEL * 4L,
        false,
        room);
    for (int c = real; c < PANEL; c++) {
      for (int r = 0; r < count; r++) {
        set(to + (r * PANEL + c) * 4L, Float.NEGATIVE_INFINITY);
      }
    }
  }

  private static void takeMaxima(int count, long panel, long lanes) {
    for (int r = 0; r < count; r++) {
      long at = panel + r * (PANEL * 4L);
      FloatVector most = load(lanes + (long) r * BYTES);
      for (int c = 0; c < PANEL; c += LANES) {
        FloatVector x = load(at + c * 4L);
        // A NaN is not greater, and shows in the sum.
        most = most.blend(x, x.compare(VectorOperators.GT, most));
      }
      store(most, lanes + (long) r * BYTES);
    }
  }

  /** Brings a row's maximum and sum up to this group, and notes the score of its target. */
  private void enterRow(int block, int r, long lanes) {
    long row = (long) block * BLOCK + r;
    float before = firstClass == 0 ? Float.NEGATIVE_INFINITY : get(maxima + row * 4);
    float most = Math.max(before, load(lanes).reduceLanes(VectorOperators.MAX));
    set(maxima + row * 4, most);
    double sum = firstClass == 0 ? 0 : Simd.getDouble(sums + row * 8) * Math.exp(before - most);
    Simd.setDouble(sums + row * 8, sum);
    long target = targetIn(block, r);
    if (target != 0) {
      set(wanted + row * 4, get(target));
    }
    store(FloatVector.zero(F), lanes);
  }

  /** Where a row's target stands in the scores, or 0 where this group does not hold it. */
  private long targetIn(int block, int r) {
    int target = getInt(targets + ((long) firstRow + block * BLOCK + r) * 4);
    if (target < firstClass || target >= lastClass) {
      return 0;
    }
    int place = target - firstClass;
    return panelOf(block, place / PANEL) + ((long) r * PANEL + place % PANEL) * 4;
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

  /** Adds a panel's exponentials times its rows of w to a block's products. */
  private void multiply(int block, int panel, long room) {
    int from = firstClass + panel * PANEL;
    int count = Math.min(PANEL, lastClass - from);
    long other =
        wIsPanel() ? w + (long) from * width * 4 : plain + (long) panel * PANEL * padded * 4;
    SimdTile.multiply(
        blockRows(block),
        padded,
        count,
        panelOf(block, panel),
        BLOCK,
        other,
        0,
        count,
        products + (long) block * BLOCK * padded * 4,
        padded * 4L,
        from > 0,
        room);
  }

  /** A block's dh, and what the classes of the group need for dw. */
  private void gradient(int block, int worker) {
    int count = blockRows(block);
    if (groups > 1) {
      long room = ownScratch(worker);
      long lanes = room + ROOM;
      long inputs = inputPanels(block, lanes + (long) BLOCK * BYTES);
      for (int panel = 0; panel < ceilDiv(lastClass - firstClass, PANEL); panel++) {
        scorePanel(block, panel, inputs, room);
        exponentials(count, panelOf(block, panel), maxima + (long) block * BLOCK * 4, lanes);
        multiply(block, panel, room);
      }
    }
    for (int r = 0; r < count; r++) {
      long row = (long) block * BLOCK + r;
      double sum = Simd.getDouble(sums + row * 8);
      long target = targetIn(block, r);
      if (target != 0) {
        set(target, (float) (get(target) - sum));
      }
      float factor = (float) (1 / (sum * rows));
      scaleRow(
          h + (firstRow + row) * width * 4,
          scaled + (long) block * BLOCK * padded * 4,
          r,
          count,
          factor);
      if (lastClass == classes) {
        finishRow(row, factor);
      }
    }
  }

  /** Row r of a block's {@code count} rows of h, scaled, into the panels that dw is made from. */
  private void scaleRow(long from, long panels, int r, int count, float factor) {
    for (int c = 0; c < padded; c += LANES) {
      int panel = c / WIDE * WIDE;
      int panelWidth = Math.min(WIDE, padded - panel);
      FloatVector x = load(from + c * 4L, F.indexInRange(Math.min(c, width), width));
      store(x.mul(factor), panels + ((long) panel * count + (long) r * panelWidth + c - panel) * 4);
    }
  }

  /** A row of dh: its products over the denominator, less its target's row of w. */
  private void finishRow(long row, float factor) {
    long target = w + (long) getInt(targets + (firstRow + row) * 4) * width * 4;
    FloatVector share = FloatVector.broadcast(F, -1f / rows);
    for (int c = 0; c < width; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, width);
      FloatVector x = load(products + (row * padded + c) * 4).mul(factor);
      x = load(target + c * 4L, mask).fma(share, x);
      store(x, dh + ((firstRow + row) * width + c) * 4, mask);
    }
  }

  /** Adds the blocks' part in a panel's rows of dw, rows ascending. */
  private void weightGradient(int panel, int worker) {
    int from = firstClass + panel * PANEL;
    int count = Math.min(PANEL, lastClass - from);
    long to = dw + (long) from * width * 4;
    boolean direct = padded == width;
    long room = workers.own(worker).reserve(ROOM + (long) PANEL * padded * 4);
    long sum = direct ? to : room + ROOM;
    for (int block = 0; block < ceilDiv(lastRow - firstRow, BLOCK); block++) {
      SimdTile.multiplyTransposed(
          count,
          padded,
          blockRows(block),
          panelOf(block, panel),
          BLOCK,
          scaled + (long) block * BLOCK * padded * 4,
          0,
          blockRows(block),
          sum,
          padded * 4L,
          direct || block > 0,
          room);
    }
    for (int i = 0; i < count && !direct; i++) {
      for (int c = 0; c < width; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, width);
        long at = to + ((long) i * width + c) * 4;
        store(load(at, mask).add(load(sum + ((long) i * padded + c) * 4)), at, mask);
      }
    }
  }
}
