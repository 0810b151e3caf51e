package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.I;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.load;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;
import static dev.rhumb.kernels.Simd.store;
import static dev.rhumb.kernels.SimdTile.NARROW;
import static dev.rhumb.kernels.SimdTile.ROOM;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link Attention} on the Vector API, after FlashAttention (Dao, Fu, Ermon, Rudra, Ré 2022).
 *
 * <p>A task is one head of one sequence; its results depend on nothing else. Queries go in blocks,
 * keys in panels, which hold (queries of the block, keys of the panel). Forward keeps all panels of
 * one block, so that each row's maximum is known before the exponentials; backward knows the
 * softmax's denominator and keeps one panel. Both products of a panel are register tiles; to the
 * right of the diagonal stand zeros.
 */
final class SimdAttention extends Attention {
  /** Queries in a block: 8 tiles. */
  private static final int QUERIES = 8 * SimdTile.ROWS;

  /** Keys in a panel: what one run of Philox covers. */
  private static final int KEYS = SimdPhilox.BLOCK;

  private static final int BUCKETS = 64;

  private final Workers workers;
  private final Workers.Task forwardTask = this::forwardTask;
  private final Workers.Task backwardTask = this::backwardTask;
  private final Workers.Task paddingTask = this::padding;
  private final int[] bucketStart = new int[BUCKETS + 1];

  // The arguments of the call under way; strides in bytes.
  private long offsets;
  private int heads;
  private int headWidth;
  private int window;
  private long q;
  private long qStride;
  private long k;
  private long kStride;
  private long v;
  private long vStride;
  private long key;
  private long stream;
  private int threshold;
  private float keepScale;
  private float scale;
  private long out;
  private long outStride;
  private long logSumExp;
  private long dOut;
  private long dOutStride;
  private long dq;
  private long dqStride;
  private long dk;
  private long dkStride;
  private long dv;
  private long dvStride;

  /** headWidth rounded up to what a tile takes. */
  private int padded;

  /** The sequences, longest first, so that the last tasks are the short ones. */
  private long order;

  SimdAttention(Workers workers) {
    this.workers = workers;
  }

  @Override
  void doForward(
      int sequences,
      Buffer offsets,
      int rows,
      int heads,
      int headWidth,
      Buffer q,
      long qStride,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      float p,
      long key,
      long stream,
      Buffer out,
      long outStride,
      Buffer logSumExp) {
    checkOffsets("attention", sequences, offsets, rows);
    enter(offsets, heads, headWidth, q, qStride, k, kStride, v, vStride, p, key, stream);
    this.out = out.segment().address();
    this.outStride = outStride * 4;
    this.logSumExp = logSumExp == null ? 0 : logSumExp.segment().address();
    long operations = sortByLength(sequences) * heads * headWidth * 2;
    workers.run(sequences * heads, operations, forwardTask);
  }

  @Override
  void doBackward(
      int sequences,
      Buffer offsets,
      int rows,
      int heads,
      int headWidth,
      Buffer q,
      long qStride,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      float p,
      long key,
      long stream,
      Buffer out,
      long outStride,
      Buffer logSumExp,
      Buffer dOut,
      long dOutStride,
      Buffer dq,
      long dqStride,
      Buffer dk,
      long dkStride,
      Buffer dv,
      long dvStride) {
    checkOffsets("attentionBackward", sequences, offsets, rows);
    enter(offsets, heads, headWidth, q, qStride, k, kStride, v, vStride, p, key, stream);
    this.out = out.segment().address();
    this.outStride = outStride * 4;
    this.logSumExp = logSumExp.segment().address();
    this.dOut = dOut.segment().address();
    this.dOutStride = dOutStride * 4;
    this.dq = dq.segment().address();
    this.dqStride = dqStride * 4;
    this.dk = dk.segment().address();
    this.dkStride = dkStride * 4;
    this.dv = dv.segment().address();
    this.dvStride = dvStride * 4;
    long operations = sortByLength(sequences) * heads * headWidth * 5;
    workers.run(sequences * heads, operations, backwardTask);
  }

  private void enter(
      Buffer offsets,
      int heads,
      int headWidth,
      Buffer q,
      long qStride,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      float p,
      long key,
      long stream) {
    this.offsets = offsets.segment().address();
    this.heads = heads;
    this.headWidth = headWidth;
    this.q = q.segment().address();
    this.qStride = qStride * 4;
    this.k = k.segment().address();
    this.kStride = kStride * 4;
    this.v = v.segment().address();
    this.vStride = vStride * 4;
    this.key = key;
    this.stream = stream;
    threshold = Philox.keepThreshold(p);
    keepScale = (float) (1 / (1 - (double) p));
    scale = (float) (1 / Math.sqrt(headWidth));
    padded = roundUp(headWidth, NARROW);
  }

  private int start(int sequence) {
    return getInt(offsets + sequence * 4L);
  }

  private int length(int sequence) {
    return start(sequence + 1) - start(sequence);
  }

  /** Sets the order of the sequences; gives the sum of their squared lengths. */
  private long sortByLength(int sequences) {
    order = workers.shared().reserve(sequences * 4L);
    int longest = 0;
    long squares = 0;
    for (int b = 0; b < sequences; b++) {
      longest = Math.max(longest, length(b));
      squares += (long) length(b) * length(b);
    }
    java.util.Arrays.fill(bucketStart, 0);
    for (int b = 0; b < sequences; b++) {
      bucketStart[bucket(b, longest) + 1]++;
    }
    for (int i = 0; i < BUCKETS; i++) {
      bucketStart[i + 1] += bucketStart[i];
    }
    for (int b = 0; b < sequences; b++) {
      setInt(order + bucketStart[bucket(b, longest)]++ * 4L, b);
    }
    return squares;
  }

  private int bucket(int sequence, int longest) {
    return (int) ((long) (longest - length(sequence)) * BUCKETS / (longest + 1L));
  }

  // Forward.

  private void forwardTask(int task, int worker) {
    int sequence = getInt(order + task / heads * 4L);
    int head = task % heads;
    int first = start(sequence);
    int length = length(sequence);
    long col = (long) head * headWidth * 4;
    long keys = roundUp(length, KEYS);
    long width = roundUp(headWidth, SimdTile.PANEL);
    long scratch = keys * (headWidth + padded + QUERIES) + QUERIES * (padded + width + 1);
    long room = workers.own(worker).reserve(ROOM + 4 * (scratch + LANES + KEYS));
    long keysT = room + ROOM;
    long panels = keysT + keys * headWidth * 4;
    long sums = panels + keys * QUERIES * 4;
    long factors = sums + (long) QUERIES * padded * 4;
    long lanes = factors + QUERIES * 4L;
    long queryRoom = lanes + BYTES + KEYS * 4L;
    long valueRoom = queryRoom + QUERIES * width * 4;
    packPanels(length, k + first * kStride + col, kStride, keysT);
    long values = panelsOf(length, v + first * vStride + col, vStride, valueRoom);
    for (int from = 0; from < length; from += QUERIES) {
      int count = Math.min(QUERIES, length - from);
      long query = rowsOf(count, q + (first + from) * qStride + col, qStride, queryRoom);
      int end = from + count;
      for (int j = 0; j < end; j += KEYS) {
        int cols = roundUp(Math.min(KEYS, length - j), NARROW);
        SimdTile.multiply(
            count,
            cols,
            headWidth,
            query,
            QUERIES,
            keysT + (long) j * headWidth * 4,
            0,
            headWidth,
            panels + (long) j * QUERIES * 4,
            KEYS * 4L,
            false,
            room);
      }
      for (int i = 0; i < count; i++) {
        long row = (long) (first + from + i) * heads + head;
        set(factors + i * 4L, softmax(from + i + 1, end, i, panels, lanes, row));
      }
      for (int j = 0; j < end; j += KEYS) {
        SimdTile.multiply(
            count,
            padded,
            Math.min(KEYS, end - j),
            panels + (long) j * QUERIES * 4,
            QUERIES,
            values,
            j,
            length,
            sums,
            padded * 4L,
            j > 0,
            room);
      }
      for (int i = 0; i < count; i++) {
        scaleRow(
            sums + (long) i * padded * 4,
            out + (first + from + i) * outStride + col,
            get(factors + i * 4L));
      }
    }
  }

  /** Packs a sequence's rows into panels of their transposes, KEYS rows in each. */
  private void packPanels(int length, long from, long stride, long to) {
    for (int j = 0; j < length; j += KEYS) {
      SimdTile.packTransposed(
          Math.min(KEYS, length - j),
          headWidth,
          from + j * stride,
          stride,
          to + (long) j * headWidth * 4);
    }
  }

  /** A head's rows as panels of A: as they lie, or copied to {@code room}. */
  private long rowsOf(int rows, long from, long stride, long room) {
    if (SimdTile.isPanelOfA(rows, headWidth, stride)) {
      return from;
    }
    SimdTile.packA(rows, headWidth, from, stride, room, QUERIES);
    return room;
  }

  /** A head's rows as panels of B: as they lie, or copied to {@code room}. */
  private long panelsOf(int rows, long from, long stride, long room) {
    if (SimdTile.isPanelOfB(headWidth, stride)) {
      return from;
    }
    SimdTile.pack(rows, headWidth, from, stride, room);
    return room;
  }

  /** Where a query of the block and a key stand in the panels. */
  private static long place(long panels, int i, int j) {
    return panels + ((long) (j / KEYS) * QUERIES * KEYS + (long) i * KEYS + j % KEYS) * 4;
  }

  /**
   * Turns the scores of a block's query i to exponentials after dropout; gives the factor that
   * makes them weights.
   *
   * @param keys up to the diagonal
   * @param end of the block's keys: zeros from the diagonal up to it
   */
  private float softmax(int keys, int end, int i, long panels, long lanes, long row) {
    FloatVector lowest = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
    FloatVector most = lowest;
    for (int j = 0; j < keys; j += LANES) {
      FloatVector x = lowest.blend(load(place(panels, i, j)), F.indexInRange(j, keys));
      most = most.max(x);
    }
    float shift = most.reduceLanes(VectorOperators.MAX) * scale;
    FloatVector sum = FloatVector.zero(F);
    for (int j = 0; j < keys; j += LANES) {
      long at = place(panels, i, j);
      FloatVector x =
          load(at).fma(FloatVector.broadcast(F, scale), FloatVector.broadcast(F, -shift));
      x = FloatVector.zero(F).blend(Simd.exp(x), F.indexInRange(j, keys));
      sum = sum.add(x);
      store(x, at);
    }
    store(sum, lanes);
    float total = Simd.sum(lanes);
    for (int j = roundUp(keys, LANES); j < end; j += LANES) {
      store(FloatVector.zero(F), place(panels, i, j));
    }
    if (threshold != 0) {
      drop(keys, i, panels, (int) row, lanes + BYTES);
    }
    if (logSumExp != 0) {
      set(logSumExp + row * 4, (float) (shift + Math.log(total)));
    }
    return keepScale / total;
  }

  private void drop(int keys, int i, long panels, int row, long bits) {
    for (int j = 0; j < keys; j += LANES) {
      if (j % SimdPhilox.BLOCK == 0) {
        SimdPhilox.fill(key, stream, row, j / SimdPhilox.BLOCK, bits);
      }
      long at = place(panels, i, j);
      store(FloatVector.zero(F).blend(load(at), kept(bits, j)), at);
    }
  }

  private VectorMask<Float> kept(long bits, int j) {
    long at = bits + j % SimdPhilox.BLOCK * 4L;
    IntVector random = IntVector.fromMemorySegment(I, Simd.MEMORY, at, Simd.ORDER);
    return random.compare(VectorOperators.UGE, threshold).cast(F);
  }

  private void scaleRow(long from, long to, float factor) {
    for (int c = 0; c < headWidth; c += LANES) {
      store(load(from + c * 4L).mul(factor), to + c * 4L, F.indexInRange(c, headWidth));
    }
  }

  // Backward.

  private void backwardTask(int task, int worker) {
    int sequence = getInt(order + task / heads * 4L);
    int head = task % heads;
    int first = start(sequence);
    int length = length(sequence);
    long col = (long) head * headWidth * 4;
    long keys = roundUp(length, KEYS);
    long width = roundUp(headWidth, SimdTile.PANEL);
    long block = QUERIES * width;
    long scratch = 2 * keys * headWidth + 2 * QUERIES * KEYS + QUERIES + KEYS;
    long room = workers.own(worker).reserve(ROOM + 4 * (scratch + 3 * keys * padded + 5 * block));
    long keysT = room + ROOM;
    long valuesT = keysT + keys * headWidth * 4;
    long scores = valuesT + keys * headWidth * 4;
    long slopes = scores + QUERIES * KEYS * 4L;
    long means = slopes + QUERIES * KEYS * 4L;
    long bits = means + QUERIES * 4L;
    long keyRoom = bits + KEYS * 4L;
    long queryRoom = keyRoom + 3 * keys * padded * 4;
    packPanels(length, k + first * kStride + col, kStride, keysT);
    packPanels(length, v + first * vStride + col, vStride, valuesT);
    long keyPanels = panelsOf(length, k + first * kStride + col, kStride, keyRoom);
    // Sums go straight to their place where the tiles' columns are the head's.
    boolean direct = padded == headWidth;
    long sumStride = padded * 4L;
    long dkStride = direct ? this.dkStride : sumStride;
    long dvStride = direct ? this.dvStride : sumStride;
    long dqStride = direct ? this.dqStride : sumStride;
    long keySums = direct ? dk + first * dkStride + col : keyRoom + keys * sumStride;
    long valueSums = direct ? dv + first * dvStride + col : keyRoom + 2 * keys * sumStride;
    clear(length, keySums, dkStride);
    clear(length, valueSums, dvStride);
    for (int from = 0; from < length; from += QUERIES) {
      int count = Math.min(QUERIES, length - from);
      long row = first + from;
      long query = q + row * qStride + col;
      long grad = dOut + row * dOutStride + col;
      long querySums = direct ? dq + row * dqStride + col : queryRoom + 2 * block * 4;
      long queryPanels = panelsOf(count, query, qStride, queryRoom);
      long gradPanels = panelsOf(count, grad, dOutStride, queryRoom + block * 4);
      long queryRows = rowsOf(count, query, qStride, queryRoom + 3 * block * 4);
      long gradRows = rowsOf(count, grad, dOutStride, queryRoom + 4 * block * 4);
      for (int i = 0; i < count; i++) {
        set(means + i * 4L, dot(grad + i * dOutStride, out + (row + i) * outStride + col, bits));
      }
      for (int j = 0; j < from + count; j += KEYS) {
        int depth = Math.min(KEYS, from + count - j);
        int cols = roundUp(Math.min(KEYS, length - j), NARROW);
        long panel = (long) j * headWidth * 4;
        SimdTile.multiply(
            count,
            cols,
            headWidth,
            queryRows,
            QUERIES,
            keysT + panel,
            0,
            headWidth,
            scores,
            KEYS * 4L,
            false,
            room);
        SimdTile.multiply(
            count,
            cols,
            headWidth,
            gradRows,
            QUERIES,
            valuesT + panel,
            0,
            headWidth,
            slopes,
            KEYS * 4L,
            false,
            room);
        for (int i = 0; i < count; i++) {
          long place = (row + i) * heads + head;
          int seen = Math.clamp(from + i + 1 - j, 0, depth);
          if (threshold != 0) {
            SimdPhilox.fill(key, stream, (int) place, j / KEYS, bits);
          }
          weigh(
              seen,
              depth,
              scores + i * (KEYS * 4L),
              slopes + i * (KEYS * 4L),
              get(logSumExp + place * 4),
              get(means + i * 4L),
              bits);
        }
        SimdTile.multiplyTransposed(
            depth,
            padded,
            count,
            scores,
            QUERIES,
            gradPanels,
            0,
            count,
            valueSums + j * dvStride,
            dvStride,
            true,
            room);
        SimdTile.multiplyTransposed(
            depth,
            padded,
            count,
            slopes,
            QUERIES,
            queryPanels,
            0,
            count,
            keySums + j * dkStride,
            dkStride,
            true,
            room);
        SimdTile.multiply(
            count, padded, depth, slopes, QUERIES, keyPanels, j, length, querySums, dqStride, j > 0,
            room);
      }
      if (!direct) {
        unpack(count, querySums, dq + row * this.dqStride + col, this.dqStride);
      }
    }
    if (!direct) {
      unpack(length, keySums, dk + first * this.dkStride + col, this.dkStride);
      unpack(length, valueSums, dv + first * this.dvStride + col, this.dvStride);
    }
  }

  /**
   * Turns a query's scores in a panel to weights after dropout, and dOut.v to the scores' gradient.
   *
   * @param seen keys of the panel up to the diagonal; may be none
   * @param keys of the panel; weights and gradients are 0 from the diagonal on
   */
  private void weigh(
      int seen, int keys, long scores, long slopes, float logSumExp, float mean, long bits) {
    FloatVector zero = FloatVector.zero(F);
    for (int j = 0; j < keys; j += LANES) {
      FloatVector weight =
          load(scores + j * 4L)
              .fma(FloatVector.broadcast(F, scale), FloatVector.broadcast(F, -logSumExp));
      weight = zero.blend(Simd.exp(weight), F.indexInRange(Math.min(j, seen), seen));
      FloatVector dropped = weight;
      FloatVector slope = load(slopes + j * 4L);
      if (threshold != 0) {
        VectorMask<Float> kept = kept(bits, j);
        dropped = zero.blend(weight.mul(keepScale), kept);
        slope = zero.blend(slope.mul(keepScale), kept);
      }
      store(dropped, scores + j * 4L);
      store(slope.sub(mean).mul(weight).mul(scale), slopes + j * 4L);
    }
  }

  private void clear(int rows, long at, long stride) {
    for (int i = 0; i < rows; i++) {
      for (int c = 0; c < padded; c += LANES) {
        store(FloatVector.zero(F), at + i * stride + c * 4L);
      }
    }
  }

  private void unpack(int rows, long from, long to, long toStride) {
    for (int i = 0; i < rows; i++) {
      scaleRow(from + (long) i * padded * 4, to + i * toStride, 1);
    }
  }

  /** The dot product of two rows of a head. */
  private float dot(long a, long b, long lanes) {
    FloatVector sum = FloatVector.zero(F);
    for (int c = 0; c < headWidth; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, headWidth);
      sum = load(a + c * 4L, mask).fma(load(b + c * 4L, mask), sum);
    }
    store(sum, lanes);
    return Simd.sum(lanes);
  }

  // Padding.

  @Override
  void doAddPadding(
      int sequences,
      Buffer offsets,
      int rows,
      int window,
      int heads,
      int headWidth,
      Buffer q,
      long qStride,
      Buffer padKey,
      Buffer padValue,
      Buffer logSumExp,
      Buffer out,
      long outStride) {
    checkOffsets("addPadding", sequences, offsets, rows);
    this.offsets = offsets.segment().address();
    this.window = window;
    this.heads = heads;
    this.headWidth = headWidth;
    scale = (float) (1 / Math.sqrt(headWidth));
    this.q = q.segment().address();
    this.qStride = qStride * 4;
    k = padKey.segment().address();
    v = padValue.segment().address();
    this.logSumExp = logSumExp.segment().address();
    this.out = out.segment().address();
    this.outStride = outStride * 4;
    workers.run(sequences, 5L * rows * heads * headWidth, paddingTask);
  }

  private void padding(int sequence, int worker) {
    int start = start(sequence);
    int end = start + length(sequence);
    int positions = window - length(sequence);
    if (positions <= 0) {
      return;
    }
    long lanes = workers.own(worker).reserve(BYTES);
    double log = Math.log(positions);
    for (int i = start; i < end; i++) {
      for (int h = 0; h < heads; h++) {
        long col = (long) h * headWidth * 4;
        double score = (double) dot(q + i * qStride + col, k + col, lanes) * scale + log;
        double lse = get(logSumExp + ((long) i * heads + h) * 4);
        addValue((float) (1 / (1 + Math.exp(lse - score))), v + col, out + i * outStride + col);
      }
    }
  }

  /** to += weight (value - to) over a head's columns. */
  private void addValue(float weight, long value, long to) {
    for (int c = 0; c < headWidth; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, headWidth);
      FloatVector before = load(to + c * 4L, mask);
      FloatVector apart = load(value + c * 4L, mask).sub(before);
      store(apart.fma(FloatVector.broadcast(F, weight), before), to + c * 4L, mask);
    }
  }

  // One query.

  @Override
  void doLast(
      int keys,
      int heads,
      int headWidth,
      Buffer q,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      Buffer out) {
    this.headWidth = headWidth;
    scale = (float) (1 / Math.sqrt(headWidth));
    long weights = workers.own(0).reserve(roundUp(keys, LANES) * 4L + BYTES);
    long lanes = weights + roundUp(keys, LANES) * 4L;
    for (int head = 0; head < heads; head++) {
      long col = (long) head * headWidth * 4;
      long query = q.segment().address() + col;
      long keyRow = k.segment().address() + col;
      for (int j = 0; j < keys; j++) {
        set(weights + j * 4L, dot(query, keyRow + j * kStride * 4, lanes));
      }
      float factor = 1 / exponentials(keys, weights, lanes);
      mix(
          keys,
          weights,
          factor,
          v.segment().address() + col,
          vStride * 4,
          out.segment().address() + col);
    }
  }

  /** Turns scores to exponentials; gives their sum. */
  private float exponentials(int keys, long weights, long lanes) {
    FloatVector lowest = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
    FloatVector most = lowest;
    for (int j = 0; j < keys; j += LANES) {
      most = most.max(lowest.blend(load(weights + j * 4L), F.indexInRange(j, keys)));
    }
    float shift = most.reduceLanes(VectorOperators.MAX) * scale;
    FloatVector sum = FloatVector.zero(F);
    for (int j = 0; j < keys; j += LANES) {
      FloatVector x = load(weights + j * 4L);
      x = x.fma(FloatVector.broadcast(F, scale), FloatVector.broadcast(F, -shift));
      x = FloatVector.zero(F).blend(Simd.exp(x), F.indexInRange(j, keys));
      sum = sum.add(x);
      store(x, weights + j * 4L);
    }
    store(sum, lanes);
    return Simd.sum(lanes);
  }

  /** out = factor times the sum over keys of weight times value. */
  private void mix(int keys, long weights, float factor, long values, long stride, long out) {
    for (int c = 0; c < headWidth; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, headWidth);
      FloatVector sum = FloatVector.zero(F);
      for (int j = 0; j < keys; j++) {
        FloatVector weight = FloatVector.broadcast(F, get(weights + j * 4L));
        sum = weight.fma(load(values + j * stride + c * 4L, mask), sum);
      }
      store(sum.mul(factor), out + c * 4L, mask);
    }
  }
}
