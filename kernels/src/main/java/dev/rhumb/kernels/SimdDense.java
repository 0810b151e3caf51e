package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.SimdTile.NARROW;
import static dev.rhumb.kernels.SimdTile.ROOM;
import static dev.rhumb.kernels.SimdTile.ROWS;
import static dev.rhumb.kernels.SimdTile.WIDE;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * {@link Dense} on the Vector API.
 *
 * <p>Products take one of four ways, chosen by shape alone so that the bits do not depend on the
 * number of threads: up to {@value #FEW} rows read B as it lies; as many rows as a narrow panel has
 * columns become the panels, and a large transposed B the rows, of a product that is C's transpose;
 * a transposed A with a long k and a small C is summed in chunks of k that a fixed order joins; all
 * else runs in register tiles (SimdTile) over B packed into panels.
 */
final class SimdDense extends Dense {
  /** Rows up to which packing B does not pay. */
  private static final int FEW = 4;

  /** Elements of a transposed B from which on it pays to turn A and C instead. */
  private static final int ACROSS = 1 << 16;

  /** Rows of C that meet a panel together: 16 tiles. */
  private static final int TASK_ROWS = 16 * ROWS;

  /** Bytes of A that stay in the second-level cache while panels of B come by. */
  private static final long NEAR_A = 1 << 19;

  /** Bytes of packed B that stay in the second-level cache while rows of A come by. */
  private static final long NEAR_B = 1 << 19;

  /** The same where each worker packs its own, with A beside. */
  private static final long OWN_B = 1 << 17;

  /** Rows of a transposed A that one sum takes: its panel of B stays in the first-level cache. */
  private static final int BLOCK_K = 64;

  /** Rows of A and B that one chunk of a split product sums. */
  private static final int CHUNK_K = 512;

  /** Elements of C up to which a product is split along k. */
  private static final int SPLIT_ELEMENTS = 1 << 16;

  private static final int FEW_COLS = 256;
  private static final int JOIN_ROWS = 8;
  private static final int SUM_ROWS = 256;
  private static final int ELEMENT_CHUNK = 1 << 14;

  private final Workers workers;
  private final Workers.Task fewTask = this::few;
  private final Workers.Task acrossTask = this::across;
  private final Workers.Task packTask = this::packShared;
  private final Workers.Task tileTask = this::tiles;
  private final Workers.Task chunkTask = this::chunk;
  private final Workers.Task joinTask = this::join;
  private final Workers.Task sumTask = this::sumChunk;
  private final Workers.Task addTask = this::addChunk;
  private final SquaredNorm norm;

  // The arguments of the call under way; strides in bytes.
  private boolean transA;
  private boolean transB;
  private int m;
  private int n;
  private int k;
  private float alpha;
  private long a;
  private long aStride;
  private long b;
  private long bStride;
  private float beta;
  private long c;
  private long cStride;
  private long bias;
  private Activation activation;

  // How it is cut.
  private int chunks;
  private int ranges;
  private int rowsPerTask;
  private int rowTasks;
  private int panelsPerTask;
  private boolean packsOwn;
  private long packed;
  private boolean natural;
  private long count;

  SimdDense(Workers workers) {
    this.workers = workers;
    norm = new SquaredNorm(workers);
  }

  @Override
  void doGemm(
      boolean transA,
      boolean transB,
      int m,
      int n,
      int k,
      float alpha,
      Buffer a,
      long aStride,
      Buffer b,
      long bStride,
      float beta,
      Buffer c,
      long cStride,
      Buffer bias,
      Activation activation) {
    this.transA = transA;
    this.transB = transB;
    this.m = m;
    this.n = n;
    this.k = k;
    this.alpha = alpha;
    this.a = a.segment().address();
    this.aStride = aStride * 4;
    this.b = b.segment().address();
    this.bStride = bStride * 4;
    this.beta = beta;
    this.c = c.segment().address();
    this.cStride = cStride * 4;
    this.bias = bias == null ? 0 : bias.segment().address();
    this.activation = activation;
    long operations = 2L * m * n * Math.max(k, 1);
    if (transA && k >= 2 * CHUNK_K && (long) m * n <= SPLIT_ELEMENTS && !transB) {
      gemmSplit(operations);
    } else if (m <= FEW && !transA) {
      runRanges(ceilDiv(n, FEW_COLS), operations, fewTask);
    } else if (transB && !transA && m <= NARROW && 4 * m > 3 * NARROW && (long) n * k >= ACROSS) {
      gemmAcross(operations);
    } else {
      gemmTiled(operations);
    }
  }

  /**
   * Runs a task for each worker, which takes a range of chunks of columns ({@link #firstOf}). Two
   * workers that took turns would write to the same lines of C wherever chunks meet.
   */
  private void runRanges(int chunks, long operations, Workers.Task task) {
    this.chunks = chunks;
    ranges = Math.min(chunks, workers.threads());
    workers.run(ranges, operations, task);
  }

  /** The first chunk of a range, or what comes after all for the range after the last. */
  private int firstOf(int range) {
    return (int) ((long) chunks * range / ranges);
  }

  // Few rows.

  private void few(int range, int worker) {
    long room = workers.own(worker).reserve(Dots.ROOM + FEW_COLS * 4L);
    for (int chunk = firstOf(range); chunk < firstOf(range + 1); chunk++) {
      int from = chunk * FEW_COLS;
      fewCols(from, Math.min(n, from + FEW_COLS), room);
    }
  }

  private void fewCols(int from, int to, long room) {
    long raw = room + Dots.ROOM;
    for (int i = 0; i < m; i++) {
      long row = a + i * aStride;
      if (transB && alpha == 1 && beta == 0) {
        long at = c + i * cStride + from * 4L;
        Dots.dots(row, b + from * bStride, bStride, to - from, k, room, at);
        finish(1, at, from, to);
        continue;
      }
      if (transB) {
        Dots.dots(row, b + from * bStride, bStride, to - from, k, room, raw);
      } else {
        combine(row, from, to, raw);
      }
      finishRow(raw, c + i * cStride, from, to);
    }
  }

  /** raw[j - from] = the sum over p of row[p] B[p][j]. */
  private void combine(long row, int from, int to, long raw) {
    int j = from;
    for (; j + 4 * LANES <= to; j += 4 * LANES) {
      combine4(row, b + j * 4L, raw + (j - from) * 4L);
    }
    for (; j < to; j += LANES) {
      VectorMask<Float> mask = F.indexInRange(j, to);
      long at = b + j * 4L;
      FloatVector sum = FloatVector.zero(F);
      for (int p = 0; p < k; p++) {
        sum =
            FloatVector.fromMemorySegment(F, MEMORY, at + p * bStride, ORDER, mask)
                .fma(FloatVector.broadcast(F, get(row + p * 4L)), sum);
      }
      sum.intoMemorySegment(MEMORY, raw + (j - from) * 4L, ORDER);
    }
  }

  private void combine4(long row, long at, long raw) {
    FloatVector s0 = FloatVector.zero(F);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    for (int p = 0; p < k; p++) {
      FloatVector x = FloatVector.broadcast(F, get(row + p * 4L));
      long from = at + p * bStride;
      s0 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, from, ORDER), s0);
      s1 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, from + BYTES, ORDER), s1);
      s2 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, from + 2 * BYTES, ORDER), s2);
      s3 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, from + 3 * BYTES, ORDER), s3);
    }
    s0.intoMemorySegment(MEMORY, raw, ORDER);
    s1.intoMemorySegment(MEMORY, raw + BYTES, ORDER);
    s2.intoMemorySegment(MEMORY, raw + 2 * BYTES, ORDER);
    s3.intoMemorySegment(MEMORY, raw + 3 * BYTES, ORDER);
  }

  // As many rows as a narrow panel has columns, by a large transposed B: it is read as it lies, and
  // the small A and C are turned.

  private void gemmAcross(long operations) {
    packed = workers.shared().reserve(4L * roundUp(m, NARROW) * k);
    SimdTile.packTransposed(m, k, a, aStride, packed);
    runRanges(ceilDiv(n, TASK_ROWS), operations, acrossTask);
  }

  private void across(int range, int worker) {
    long room = workers.own(worker).reserve(ROOM + 2L * 4 * TASK_ROWS * roundUp(m, NARROW));
    for (int chunk = firstOf(range); chunk < firstOf(range + 1); chunk++) {
      int from = chunk * TASK_ROWS;
      acrossCols(from, Math.min(n, from + TASK_ROWS), room);
    }
  }

  private void acrossCols(int from, int to, long room) {
    int width = roundUp(m, NARROW);
    long raw = room + ROOM;
    long turned = raw + 4L * TASK_ROWS * width;
    SimdTile.multiply(
        to - from,
        width,
        k,
        b + from * bStride,
        bStride,
        4,
        packed,
        0,
        k,
        raw,
        width * 4L,
        false,
        room);
    Simd.transpose(to - from, m, raw, width * 4L, turned, TASK_ROWS * 4L);
    for (int i = 0; i < m; i++) {
      finishRow(turned + i * TASK_ROWS * 4L, c + i * cStride, from, to);
    }
  }

  // Register tiles.

  private void gemmTiled(long operations) {
    int threads = workers.threads();
    int panels = ceilDiv(n, WIDE);
    long panelBytes = 4L * WIDE * k;
    natural = !transB && n % NARROW == 0 && SimdTile.isNear(bStride);
    packed = b;
    // Where A stays near and there are panels for all, each is packed by who multiplies by it.
    packsOwn = !natural && 4L * m * k <= NEAR_A && panels >= 2 * threads;
    if (!natural && !packsOwn) {
      packed = workers.shared().reserve(panels * panelBytes);
      workers.run(panels, 4L * n * k, packTask);
    }
    rowTasks = packsOwn ? 1 : ceilDiv(m, TASK_ROWS);
    if (rowTasks > threads) {
      // As many for each worker: one left over would keep the others waiting.
      rowTasks = roundUp(rowTasks, threads);
    }
    rowsPerTask = roundUp(ceilDiv(m, rowTasks), ROWS);
    rowTasks = ceilDiv(m, rowsPerTask);
    int groups = ceilDiv(threads, rowTasks);
    if (!natural && !packsOwn) {
      groups = Math.max(groups, Simd.chunks(panels * panelBytes, (int) NEAR_B));
    }
    panelsPerTask = ceilDiv(panels, Math.min(panels, groups));
    workers.run(rowTasks * ceilDiv(panels, panelsPerTask), operations, tileTask);
  }

  private void packShared(int panel, int worker) {
    pack(panel, packed + 4L * panel * WIDE * k);
  }

  private void pack(int panel, long to) {
    int from = panel * WIDE;
    int cols = Math.min(WIDE, n - from);
    if (transB) {
      SimdTile.packTransposed(cols, k, b + from * bStride, bStride, to);
    } else {
      SimdTile.pack(k, cols, b + from * 4L, bStride, to);
    }
  }

  private void tiles(int task, int worker) {
    int firstRow = task % rowTasks * rowsPerTask;
    int rows = Math.min(rowsPerTask, m - firstRow);
    int firstPanel = task / rowTasks * panelsPerTask;
    int lastPanel = Math.min(ceilDiv(n, WIDE), firstPanel + panelsPerTask);
    boolean copied = transA && !SimdTile.isNear(aStride);
    int copyCols = roundUp(rows, LANES);
    long rawBytes = 4L * TASK_ROWS * WIDE;
    long panelBytes = 4L * WIDE * Math.max(k, 1);
    int near = panelsPerTask;
    if (packsOwn) {
      near = (int) Math.max(1, Math.min(near, OWN_B / panelBytes));
    }
    long ownBytes = packsOwn ? near * panelBytes : 0;
    long copyBytes = copied ? 4L * k * copyCols : 0;
    long room = workers.own(worker).reserve(ROOM + rawBytes + ownBytes + copyBytes);
    long own = room + ROOM + rawBytes;
    long rowStep = transA ? 4 : aStride;
    long step = transA ? aStride : 4;
    long rowsOfA = a + firstRow * rowStep;
    if (copied) {
      long copy = own + ownBytes;
      SimdTile.copy(k, rows, rowsOfA, aStride, copy, copyCols * 4L);
      rowsOfA = copy;
      step = copyCols * 4L;
    }
    for (int first = firstPanel; first < lastPanel; first += near) {
      int last = Math.min(lastPanel, first + near);
      for (int panel = first; panel < last && packsOwn; panel++) {
        pack(panel, own + (panel - first) * panelBytes);
      }
      for (int i = 0; i < rows; i += TASK_ROWS) {
        int count = Math.min(TASK_ROWS, rows - i);
        for (int panel = first; panel < last; panel++) {
          long from = natural ? b + 4L * panel * WIDE : packed + panel * panelBytes;
          if (packsOwn) {
            from = own + (panel - first) * panelBytes;
          }
          tile(count, panel * WIDE, rowsOfA + i * rowStep, rowStep, step, from, firstRow + i, room);
        }
      }
    }
  }

  /** Some rows of C by one panel of B. */
  private void tile(
      int rows, int j, long a, long rowStep, long step, long from, int firstRow, long room) {
    long raw = room + ROOM;
    int width = n - j > NARROW ? WIDE : NARROW;
    int end = Math.min(n, j + width);
    long target = c + firstRow * cStride + j * 4L;
    boolean direct = alpha == 1 && (beta == 0 || beta == 1) && n - j >= width;
    long to = direct ? target : raw;
    long toStride = direct ? cStride : width * 4L;
    long bStep = natural ? bStride : 0;
    boolean add = direct && beta == 1;
    SimdTile.multiply(rows, width, k, a, rowStep, step, from, bStep, k, to, toStride, add, room);
    if (!direct) {
      for (int i = 0; i < rows; i++) {
        blend(raw + i * toStride, target + i * cStride, end - j);
      }
    }
    finish(rows, target, j, end);
  }

  // A long k and a small C: sums of chunks, joined in order.

  private void gemmSplit(long operations) {
    int chunks = ceilDiv(k, CHUNK_K);
    packed = workers.shared().reserve((long) chunks * m * roundUp(n, NARROW) * 4);
    natural = n % NARROW == 0 && SimdTile.isNear(bStride);
    workers.run(chunks, operations, chunkTask);
    workers.run(ceilDiv(m, JOIN_ROWS), (long) chunks * m * n, joinTask);
  }

  private void chunk(int chunk, int worker) {
    int width = roundUp(n, NARROW);
    long to = packed + (long) chunk * m * width * 4;
    int copyCols = roundUp(m, LANES);
    long room = workers.own(worker).reserve(ROOM + 4L * BLOCK_K * (copyCols + width));
    long copyOfA = room + ROOM;
    long copyOfB = copyOfA + 4L * BLOCK_K * copyCols;
    int end = Math.min(k, (chunk + 1) * CHUNK_K);
    for (int p = chunk * CHUNK_K; p < end; p += BLOCK_K) {
      int depth = Math.min(BLOCK_K, end - p);
      long rowsOfA = a + p * aStride;
      long step = aStride;
      if (!SimdTile.isNear(aStride)) {
        SimdTile.copy(depth, m, rowsOfA, aStride, copyOfA, copyCols * 4L);
        rowsOfA = copyOfA;
        step = copyCols * 4L;
      }
      long rowsOfB = b + p * bStride;
      if (!natural) {
        SimdTile.pack(depth, n, rowsOfB, bStride, copyOfB);
        rowsOfB = copyOfB;
      }
      SimdTile.multiply(
          m,
          width,
          depth,
          rowsOfA,
          4,
          step,
          rowsOfB,
          natural ? bStride : 0,
          depth,
          to,
          width * 4L,
          p > chunk * CHUNK_K,
          room);
    }
  }

  private void join(int task, int worker) {
    int width = roundUp(n, NARROW);
    int chunks = ceilDiv(k, CHUNK_K);
    long raw = workers.own(worker).reserve(width * 4L);
    int end = Math.min(m, (task + 1) * JOIN_ROWS);
    for (int i = task * JOIN_ROWS; i < end; i++) {
      for (int j = 0; j < width; j += LANES) {
        long at = packed + ((long) i * width + j) * 4;
        FloatVector sum = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
        for (int chunk = 1; chunk < chunks; chunk++) {
          sum =
              sum.add(
                  FloatVector.fromMemorySegment(
                      F, MEMORY, at + (long) chunk * m * width * 4, ORDER));
        }
        sum.intoMemorySegment(MEMORY, raw + j * 4L, ORDER);
      }
      finishRow(raw, c + i * cStride, 0, n);
    }
  }

  /** A row's columns {@code from} to {@code to - 1} of C out of its raw products. */
  private void finishRow(long raw, long row, int from, int to) {
    blend(raw, row + from * 4L, to - from);
    finish(1, row + from * 4L, from, to);
  }

  /** alpha raw + beta y, in place of y. */
  private void blend(long raw, long y, int count) {
    int whole = F.loopBound(count);
    float scale = alpha;
    float keep = beta;
    raw &= ADDRESS;
    y &= ADDRESS;
    for (int j = 0; j < whole; j += LANES) {
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, raw + j * 4L, ORDER).mul(scale);
      if (keep != 0) {
        x =
            FloatVector.fromMemorySegment(F, MEMORY, y + j * 4L, ORDER)
                .fma(FloatVector.broadcast(F, keep), x);
      }
      x.intoMemorySegment(MEMORY, y + j * 4L, ORDER);
    }
    // One by one: a mask for the rest would be an object wherever this is not inlined.
    for (int j = whole; j < count; j++) {
      float x = get(raw + j * 4L) * scale;
      set(y + j * 4L, keep == 0 ? x : Math.fma(get(y + j * 4L), keep, x));
    }
  }

  /** Bias and activation, for columns {@code from} to {@code to - 1} of some rows of C. */
  private void finish(int rows, long at, int from, int to) {
    for (int j = from; j < to && bias != 0; j += LANES) {
      if (to - j < LANES) {
        shiftTail(rows, at + (j - from) * 4L, cStride, bias + j * 4L, to - j);
      } else {
        shift(rows, at + (j - from) * 4L, cStride, bias + j * 4L);
      }
    }
    for (int i = 0; i < rows && activation != Activation.NONE; i++) {
      SimdLayers.activate(activation, to - from, at + i * cStride, at + i * cStride);
    }
  }

  /** Adds a vector to one of each row. */
  private static void shift(int rows, long at, long stride, long from) {
    FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, from, ORDER);
    for (int i = 0; i < rows; i++) {
      at &= ADDRESS;
      x.add(FloatVector.fromMemorySegment(F, MEMORY, at, ORDER))
          .intoMemorySegment(MEMORY, at, ORDER);
      at += stride;
    }
  }

  /** The same of {@code count} lanes. */
  private static void shiftTail(int rows, long at, long stride, long from, int count) {
    VectorMask<Float> mask = F.indexInRange(0, count);
    FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, from, ORDER, mask);
    for (int i = 0; i < rows; i++) {
      FloatVector.fromMemorySegment(F, MEMORY, at + i * stride, ORDER, mask)
          .add(x)
          .intoMemorySegment(MEMORY, at + i * stride, ORDER, mask);
    }
  }

  // Reductions and sums.

  @Override
  void doColumnSum(int rows, int cols, Buffer x, long xStride, float beta, Buffer sum) {
    m = rows;
    n = cols;
    a = x.segment().address();
    aStride = xStride * 4;
    this.beta = beta;
    c = sum.segment().address();
    int chunks = Math.max(1, ceilDiv(rows, SUM_ROWS));
    packed = workers.shared().reserve((long) chunks * roundUp(cols, LANES) * 4);
    workers.run(chunks, (long) rows * cols, sumTask);
    for (int j = 0; j < cols; j += LANES) {
      VectorMask<Float> mask = F.indexInRange(j, cols);
      FloatVector total = FloatVector.fromMemorySegment(F, MEMORY, packed + j * 4L, ORDER);
      for (int chunk = 1; chunk < chunks; chunk++) {
        total =
            total.add(
                FloatVector.fromMemorySegment(
                    F, MEMORY, packed + ((long) chunk * roundUp(cols, LANES) + j) * 4, ORDER));
      }
      if (beta != 0) {
        total =
            FloatVector.fromMemorySegment(F, MEMORY, c + j * 4L, ORDER, mask)
                .fma(FloatVector.broadcast(F, beta), total);
      }
      total.intoMemorySegment(MEMORY, c + j * 4L, ORDER, mask);
    }
  }

  private void sumChunk(int chunk, int worker) {
    long to = packed + (long) chunk * roundUp(n, LANES) * 4;
    int end = Math.min(m, (chunk + 1) * SUM_ROWS);
    for (int j = 0; j < n; j += LANES) {
      VectorMask<Float> mask = F.indexInRange(j, n);
      FloatVector sum = FloatVector.zero(F);
      for (int i = chunk * SUM_ROWS; i < end; i++) {
        sum =
            sum.add(
                FloatVector.fromMemorySegment(F, MEMORY, a + i * aStride + j * 4L, ORDER, mask));
      }
      sum.intoMemorySegment(MEMORY, to + j * 4L, ORDER);
    }
  }

  @Override
  void doAdd(long count, float alpha, Buffer a, float beta, Buffer b, Buffer y) {
    this.count = count;
    this.alpha = alpha;
    this.a = a.segment().address();
    this.beta = beta;
    this.b = b.segment().address();
    c = y.segment().address();
    workers.run(Simd.chunks(count, ELEMENT_CHUNK), count, addTask);
  }

  private void addChunk(int chunk, int worker) {
    long from = (long) chunk * ELEMENT_CHUNK;
    int elements = (int) Math.min(ELEMENT_CHUNK, count - from);
    for (int i = 0; i < elements; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, elements);
      long at = (from + i) * 4;
      FloatVector y = FloatVector.fromMemorySegment(F, MEMORY, b + at, ORDER, mask).mul(beta);
      FloatVector.fromMemorySegment(F, MEMORY, a + at, ORDER, mask)
          .fma(FloatVector.broadcast(F, alpha), y)
          .intoMemorySegment(MEMORY, c + at, ORDER, mask);
    }
  }

  @Override
  void doSquaredNorm(long count, Buffer x, Buffer result) {
    set(result.segment().address(), (float) norm.of(x.segment().address(), count));
  }
}
