package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.I;
import static dev.rhumb.kernels.Simd.INDEX;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;
import static dev.rhumb.kernels.SimdTile.NARROW;
import static dev.rhumb.kernels.SimdTile.ROOM;
import static dev.rhumb.kernels.SimdTile.ROWS;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link Attention} on the Vector API, after FlashAttention (Dao, Fu, Ermon, Rudra, Ré 2022).
 *
 * <p>A task is one head of one sequence; its results depend on nothing else. Keys are transposed
 * once, in chunks; queries go in blocks. Forward keeps a block's scores of all keys, (queries,
 * keys), so that each row's maximum is known before the exponentials; backward knows the softmax's
 * denominator and keeps those of one chunk. Products are register tiles, each as deep or as wide as
 * its last query sees; what its other queries do not see has a weight of 0.
 */
final class SimdAttention extends Attention {
  /** Queries in a block: as many tiles as keep their sums over queries within one of k. */
  private static final int QUERIES = 12 * ROWS;

  /** Keys in a chunk: what one run of Philox covers. */
  private static final int KEYS = SimdPhilox.BLOCK;

  /** Bytes from one row of a chunk to the next. */
  private static final long LINE = KEYS * 4L;

  private static final float LOG2_E = (float) (1 / Math.log(2));

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

  /** How many queries of a block there are up to the end of the tile that query i is in. */
  private static int tileEnd(int i, int count) {
    return Math.min(count, i / ROWS * ROWS + ROWS);
  }

  /**
   * Where the columns end that a query's row of weights needs, in whole vectors: those of the keys
   * that the last query of its tile sees, and {@code more}.
   *
   * @param apart how many keys stand in the columns before the block's first query
   */
  private static int columns(int i, int count, int apart, int more) {
    return Math.max(0, roundUp(apart + tileEnd(i, count) + more, LANES));
  }

  /** Bytes of a chunk. */
  private long chunk() {
    return roundUp(headWidth, LANES) * LINE;
  }

  /** Transposes a head of a sequence's keys or values, KEYS rows to a chunk. */
  private void transpose(int length, long from, long stride, long to) {
    for (int j = 0; j < length; j += KEYS) {
      long chunk = to + j / KEYS * chunk();
      Simd.transpose(Math.min(KEYS, length - j), headWidth, from + j * stride, stride, chunk, LINE);
    }
  }

  /** A head's rows as the right-hand side of a product: as they lie, or copied to {@code room}. */
  private long rightSide(int rows, long from, long stride, long room) {
    if (padded == headWidth && SimdTile.isNear(stride)) {
      return from;
    }
    if (padded > headWidth) {
      clear(rows, room, padded * 4L);
    }
    copy(rows, from, stride, room, padded * 4L);
    return room;
  }

  private void copy(int rows, long from, long stride, long to, long toStride) {
    for (int i = 0; i < rows; i++) {
      SimdLayers.scaleRow(headWidth, from + i * stride, 1, to + i * toStride);
    }
  }

  private void clear(int rows, long at, long stride) {
    int padded = this.padded;
    for (int i = 0; i < rows; i++) {
      long row = (at + i * stride) & ADDRESS;
      for (int c = 0; c < padded; c += LANES) {
        FloatVector.zero(F).intoMemorySegment(MEMORY, row + 4L * (c & INDEX), ORDER);
      }
    }
  }

  /**
   * The products of a block's rows with a chunk's, as far as its tiles see keys of the chunk.
   *
   * @param apart how many keys stand between the chunk's first and the block's first query
   */
  private void score(
      int count, int apart, long rows, long stride, long chunk, long to, long toStride, long room) {
    for (int i = firstTile(apart); i < count; i += ROWS) {
      int end = tileEnd(i, count);
      SimdTile.multiply(
          end - i,
          Math.min(KEYS, roundUp(apart + end, NARROW)),
          headWidth,
          rows + i * stride,
          stride,
          4,
          chunk,
          LINE,
          0,
          to + i * toStride,
          toStride,
          false,
          room);
    }
  }

  /** The first query of a block's first tile that sees keys of a chunk. */
  private static int firstTile(int apart) {
    return Math.max(0, -apart) / ROWS * ROWS;
  }

  /**
   * Writes a value over what queries do not see of a chunk: in the row of query i, the columns from
   * apart + i + 1 on, up to those that tiles of keys read.
   */
  private static void hide(int first, int count, int apart, long rows, float value) {
    FloatVector hidden = FloatVector.broadcast(F, value);
    for (int i = first; i < count; i++) {
      int seen = Math.max(0, apart + i + 1);
      int end = Math.min(KEYS, columns(i, count, apart, ROWS - 1));
      long row = (rows + i * LINE) & ADDRESS;
      for (int j = F.loopBound(seen); j < end; j += LANES) {
        long at = row + 4L * (j & INDEX);
        FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
        hidden.blend(x, F.indexInRange(j, seen)).intoMemorySegment(MEMORY, at, ORDER);
      }
    }
  }

  // Forward.

  private void forwardTask(int task, int worker) {
    int sequence = getInt(order + task / heads * 4L);
    int head = task % heads;
    int first = start(sequence);
    int length = length(sequence);
    long col = (long) head * headWidth * 4;
    int width = roundUp(length, KEYS);
    long line = width * 4L;
    long chunks = ceilDiv(length, KEYS) * chunk();
    long block = QUERIES * (line + padded * 4L + BYTES + 8 + SimdPhilox.BLOCK_BYTES);
    long room = workers.own(worker).reserve(ROOM + chunks + length * padded * 4L + block);
    long keysT = room + ROOM;
    long scores = keysT + chunks;
    long lanes = scores + line * QUERIES;
    long bits = lanes + QUERIES * (long) BYTES;
    long sums = bits + QUERIES * SimdPhilox.BLOCK_BYTES;
    long valueRoom = sums + QUERIES * padded * 4L;
    long maxima = valueRoom + length * padded * 4L;
    long factors = maxima + QUERIES * 4L;
    transpose(length, k + first * kStride + col, kStride, keysT);
    long values = rightSide(length, v + first * vStride + col, vStride, valueRoom);
    long valueStride = values == valueRoom ? padded * 4L : vStride;
    for (int from = 0; from < length; from += QUERIES) {
      int count = Math.min(QUERIES, length - from);
      long query = q + (first + from) * qStride + col;
      int place = (first + from) * heads + head;
      for (int j = 0; j < from + count; j += KEYS) {
        long chunk = keysT + j / KEYS * chunk();
        score(count, from - j, query, qStride, chunk, scores + j * 4L, line, room);
      }
      softmax(count, from, width, scores, line, maxima, lanes);
      Simd.sums(count, lanes, BYTES, 1, factors);
      if (threshold != 0) {
        drop(count, from, place, scores, line, bits);
      }
      finish(count, place, maxima, factors);
      long to = out + (first + from) * outStride + col;
      mix(count, from, scores, line, values, valueStride, sums, room);
      for (int i = 0; i < count; i++) {
        float factor = get(factors + i * 4L);
        SimdLayers.scaleRow(headWidth, sums + (long) i * padded * 4, factor, to + i * outStride);
      }
    }
  }

  /**
   * Turns a block's scores to e^(scale (score - the row's maximum)), 0 where a query does not see
   * the key; sums each row, lane by lane.
   */
  private void softmax(
      int count, int from, int width, long rows, long stride, long maxima, long lanes) {
    FloatVector lowest = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
    FloatVector steep = FloatVector.broadcast(F, scale * LOG2_E);
    for (int i = 0; i < count; i++) {
      int seen = from + i + 1;
      int end = Math.min(width, columns(i, count, from, 0));
      long row = (rows + i * stride) & ADDRESS;
      int whole = F.loopBound(seen);
      FloatVector most = lowest;
      for (int j = 0; j < whole; j += LANES) {
        most = most.max(FloatVector.fromMemorySegment(F, MEMORY, row + 4L * (j & INDEX), ORDER));
      }
      for (int j = whole; j < end; j += LANES) {
        long at = row + 4L * (j & INDEX);
        FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
        x = lowest.blend(x, F.indexInRange(j, seen));
        x.intoMemorySegment(MEMORY, at, ORDER);
        most = most.max(x);
      }
      float maximum = most.reduceLanes(VectorOperators.MAX);
      FloatVector shift = FloatVector.broadcast(F, maximum);
      FloatVector sum = FloatVector.zero(F);
      for (int j = 0; j < end; j += LANES) {
        long at = row + 4L * (j & INDEX);
        FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
        x = Simd.exp2(x.sub(shift).mul(steep));
        sum = sum.add(x);
        x.intoMemorySegment(MEMORY, at, ORDER);
      }
      sum.intoMemorySegment(MEMORY, (lanes & ADDRESS) + (long) BYTES * (i & INDEX), ORDER);
      set((maxima & ADDRESS) + 4L * (i & INDEX), maximum);
    }
  }

  /** Drops weights of a block. */
  private void drop(int count, int from, int place, long rows, long stride, long bits) {
    for (int j = 0; j < from + count; j += KEYS) {
      int first = Math.max(0, j - from);
      SimdPhilox.fill(key, stream, place + first * heads, heads, count - first, j / KEYS, bits);
      dropChunk(first, count, from - j, rows + j * 4L, stride, bits, threshold);
    }
  }

  private static void dropChunk(
      int first, int count, int apart, long rows, long stride, long bits, int threshold) {
    FloatVector zero = FloatVector.zero(F);
    IntVector least = IntVector.broadcast(I, threshold);
    for (int i = first; i < count; i++) {
      int end = Math.min(KEYS, roundUp(apart + i + 1, LANES));
      long row = (rows + i * stride) & ADDRESS;
      long random = (bits + (i - first) * SimdPhilox.BLOCK_BYTES) & ADDRESS;
      for (int j = 0; j < end; j += LANES) {
        long at = 4L * (j & INDEX);
        VectorMask<Integer> kept =
            IntVector.fromMemorySegment(I, MEMORY, random + at, ORDER)
                .compare(VectorOperators.UGE, least);
        FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, row + at, ORDER);
        zero.blend(x, kept.cast(F)).intoMemorySegment(MEMORY, row + at, ORDER);
      }
    }
  }

  /** Sets logSumExp, and turns each row's sum to the factor that makes its exponentials weights. */
  private void finish(int count, int place, long maxima, long sums) {
    for (int i = 0; i < count; i++) {
      float sum = get(sums + i * 4L);
      if (logSumExp != 0) {
        double most = (double) get(maxima + i * 4L) * scale;
        set(logSumExp + ((long) place + (long) i * heads) * 4, (float) (most + Math.log(sum)));
      }
      set(sums + i * 4L, keepScale / sum);
    }
  }

  /** The sums over keys of exponential times value. */
  private void mix(
      int count,
      int from,
      long rows,
      long stride,
      long values,
      long valueStride,
      long to,
      long room) {
    for (int i = 0; i < count; i += ROWS) {
      int end = tileEnd(i, count);
      SimdTile.multiply(
          end - i,
          padded,
          from + end,
          rows + i * stride,
          stride,
          4,
          values,
          valueStride,
          0,
          to + (long) i * padded * 4,
          padded * 4L,
          false,
          room);
    }
  }

  // Backward.

  private void backwardTask(int task, int worker) {
    int sequence = getInt(order + task / heads * 4L);
    int head = task % heads;
    int first = start(sequence);
    int length = length(sequence);
    long col = (long) head * headWidth * 4;
    long wide = padded * 4L;
    long chunks = ceilDiv(length, KEYS) * chunk();
    long block = QUERIES * (2 * LINE + SimdPhilox.BLOCK_BYTES + BYTES + 3 * wide + 4);
    long room = workers.own(worker).reserve(ROOM + 2 * chunks + 3 * length * wide + block);
    long keysT = room + ROOM;
    long valuesT = keysT + chunks;
    long scores = valuesT + chunks;
    long slopes = scores + QUERIES * LINE;
    long bits = slopes + QUERIES * LINE;
    long lanes = bits + QUERIES * SimdPhilox.BLOCK_BYTES;
    long keyRoom = lanes + QUERIES * (long) BYTES;
    long queryRoom = keyRoom + 3 * length * wide;
    long means = queryRoom + 3 * QUERIES * wide;
    transpose(length, k + first * kStride + col, kStride, keysT);
    transpose(length, v + first * vStride + col, vStride, valuesT);
    long keyRows = rightSide(length, k + first * kStride + col, kStride, keyRoom);
    long keyStride = keyRows == keyRoom ? wide : kStride;
    // Sums go straight to their place where the tiles' columns are the head's.
    boolean direct = padded == headWidth;
    long dkStride = direct ? this.dkStride : wide;
    long dvStride = direct ? this.dvStride : wide;
    long dqStride = direct ? this.dqStride : wide;
    long keySums = direct ? dk + first * dkStride + col : keyRoom + length * wide;
    long valueSums = direct ? dv + first * dvStride + col : keyRoom + 2 * length * wide;
    clear(length, keySums, dkStride);
    clear(length, valueSums, dvStride);
    for (int from = 0; from < length; from += QUERIES) {
      int count = Math.min(QUERIES, length - from);
      long row = first + from;
      int place = (first + from) * heads + head;
      long query = q + row * qStride + col;
      long grad = dOut + row * dOutStride + col;
      long querySums = direct ? dq + row * dqStride + col : queryRoom + 2 * QUERIES * wide;
      long queryRows = rightSide(count, query, qStride, queryRoom);
      long queryStride = queryRows == queryRoom ? wide : qStride;
      long gradRows = rightSide(count, grad, dOutStride, queryRoom + QUERIES * wide);
      long gradStride = gradRows == grad ? dOutStride : wide;
      dots(count, grad, dOutStride, out + row * outStride + col, outStride, lanes, means);
      for (int j = 0; j < from + count; j += KEYS) {
        int apart = from - j;
        long chunk = j / KEYS * chunk();
        score(count, apart, query, qStride, keysT + chunk, scores, LINE, room);
        score(count, apart, grad, dOutStride, valuesT + chunk, slopes, LINE, room);
        int tile = firstTile(apart);
        hide(tile, count, apart, scores, Float.NEGATIVE_INFINITY);
        hide(tile, count, apart, slopes, 0);
        if (threshold == 0) {
          weigh(tile, count, apart, scores, slopes, place, means);
        } else {
          int rows = count - tile;
          SimdPhilox.fill(key, stream, place + tile * heads, heads, rows, j / KEYS, bits);
          weighDropped(tile, count, apart, scores, slopes, place, means, bits);
        }
        int depth = Math.min(KEYS, from + count - j);
        addToKeys(
            count,
            depth,
            apart,
            scores,
            gradRows,
            gradStride,
            valueSums + j * dvStride,
            dvStride,
            room);
        addToKeys(
            count,
            depth,
            apart,
            slopes,
            queryRows,
            queryStride,
            keySums + j * dkStride,
            dkStride,
            room);
        for (int i = tile; i < count; i += ROWS) {
          int end = tileEnd(i, count);
          SimdTile.multiply(
              end - i,
              padded,
              Math.min(KEYS, apart + end),
              slopes + i * LINE,
              LINE,
              4,
              keyRows + j * keyStride,
              keyStride,
              0,
              querySums + i * dqStride,
              dqStride,
              j > 0,
              room);
        }
      }
      if (!direct) {
        copy(count, querySums, wide, dq + row * this.dqStride + col, this.dqStride);
      }
    }
    if (!direct) {
      copy(length, keySums, wide, dk + first * this.dkStride + col, this.dkStride);
      copy(length, valueSums, wide, dv + first * this.dvStride + col, this.dvStride);
    }
  }

  /**
   * Adds to each key's row the sum of the rows of the block's queries that see it, by the weights
   * of a chunk.
   */
  private void addToKeys(
      int count,
      int keys,
      int apart,
      long weights,
      long rows,
      long stride,
      long to,
      long toStride,
      long room) {
    for (int j = 0; j < keys; j += ROWS) {
      int first = Math.max(0, j - apart);
      SimdTile.multiply(
          Math.min(ROWS, keys - j),
          padded,
          count - first,
          weights + first * LINE + j * 4L,
          4,
          LINE,
          rows + first * stride,
          stride,
          0,
          to + j * toStride,
          toStride,
          true,
          room);
    }
  }

  /** Turns a chunk's scores to weights, and dOut.v to the scores' gradient. */
  private void weigh(
      int first, int count, int apart, long scores, long slopes, int place, long means) {
    FloatVector scale = FloatVector.broadcast(F, this.scale);
    FloatVector base = FloatVector.broadcast(F, LOG2_E);
    int heads = this.heads;
    long logs = logSumExp + place * 4L;
    for (int i = first; i < count; i++) {
      int end = Math.min(KEYS, columns(i, count, apart, ROWS - 1));
      long row = (scores + i * LINE) & ADDRESS;
      long slopeRow = (slopes + i * LINE) & ADDRESS;
      float log = get((logs + (long) i * heads * 4) & ADDRESS);
      FloatVector least = FloatVector.broadcast(F, -log);
      FloatVector mean = FloatVector.broadcast(F, get((means & ADDRESS) + 4L * (i & INDEX)));
      for (int j = 0; j < end; j += LANES) {
        long at = 4L * (j & INDEX);
        FloatVector weight = FloatVector.fromMemorySegment(F, MEMORY, row + at, ORDER);
        weight = Simd.exp2(weight.fma(scale, least).mul(base));
        FloatVector slope = FloatVector.fromMemorySegment(F, MEMORY, slopeRow + at, ORDER);
        weight.intoMemorySegment(MEMORY, row + at, ORDER);
        slope.sub(mean).mul(weight.mul(scale)).intoMemorySegment(MEMORY, slopeRow + at, ORDER);
      }
    }
  }

  /** {@link #weigh} with dropout on the weights. */
  private void weighDropped(
      int first, int count, int apart, long scores, long slopes, int place, long means, long bits) {
    FloatVector zero = FloatVector.zero(F);
    FloatVector scale = FloatVector.broadcast(F, this.scale);
    FloatVector base = FloatVector.broadcast(F, LOG2_E);
    FloatVector keep = FloatVector.broadcast(F, keepScale);
    IntVector leastBits = IntVector.broadcast(I, threshold);
    int heads = this.heads;
    long logs = logSumExp + place * 4L;
    for (int i = first; i < count; i++) {
      int end = Math.min(KEYS, columns(i, count, apart, ROWS - 1));
      long row = (scores + i * LINE) & ADDRESS;
      long slopeRow = (slopes + i * LINE) & ADDRESS;
      long random = (bits + (i - first) * SimdPhilox.BLOCK_BYTES) & ADDRESS;
      float log = get((logs + (long) i * heads * 4) & ADDRESS);
      FloatVector least = FloatVector.broadcast(F, -log);
      FloatVector mean = FloatVector.broadcast(F, get((means & ADDRESS) + 4L * (i & INDEX)));
      for (int j = 0; j < end; j += LANES) {
        long at = 4L * (j & INDEX);
        FloatVector weight = FloatVector.fromMemorySegment(F, MEMORY, row + at, ORDER);
        weight = Simd.exp2(weight.fma(scale, least).mul(base));
        FloatVector slope = FloatVector.fromMemorySegment(F, MEMORY, slopeRow + at, ORDER);
        VectorMask<Float> kept =
            IntVector.fromMemorySegment(I, MEMORY, random + at, ORDER)
                .compare(VectorOperators.UGE, leastBits)
                .cast(F);
        zero.blend(weight.mul(keep), kept).intoMemorySegment(MEMORY, row + at, ORDER);
        slope = zero.blend(slope.mul(keep), kept);
        slope.sub(mean).mul(weight.mul(scale)).intoMemorySegment(MEMORY, slopeRow + at, ORDER);
      }
    }
  }

  /**
   * The dot products of rows of a head, pair by pair.
   *
   * @param lanes room for a vector each
   */
  private void dots(int count, long a, long aStride, long b, long bStride, long lanes, long to) {
    int width = headWidth;
    int whole = F.loopBound(width);
    for (int i = 0; i < count; i++) {
      long x = (a + i * aStride) & ADDRESS;
      long y = (b + i * bStride) & ADDRESS;
      long sums = (lanes & ADDRESS) + (long) BYTES * (i & INDEX);
      FloatVector sum = FloatVector.zero(F);
      for (int c = 0; c < whole; c += LANES) {
        long at = 4L * (c & INDEX);
        sum =
            FloatVector.fromMemorySegment(F, MEMORY, x + at, ORDER)
                .fma(FloatVector.fromMemorySegment(F, MEMORY, y + at, ORDER), sum);
      }
      sum.intoMemorySegment(MEMORY, sums, ORDER);
      for (int c = whole; c < width; c++) {
        long lane = sums + (c - whole) * 4L;
        set(lane, Math.fma(get(x + c * 4L), get(y + c * 4L), get(lane)));
      }
    }
    Simd.sums(count, lanes, BYTES, 1, to);
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
    long lanes = workers.own(worker).reserve(QUERIES * (BYTES + 4L));
    long scores = lanes + QUERIES * (long) BYTES;
    double log = Math.log(positions);
    for (int from = start; from < end; from += QUERIES) {
      int count = Math.min(QUERIES, end - from);
      for (int h = 0; h < heads; h++) {
        long col = (long) h * headWidth * 4;
        dots(count, q + from * qStride + col, qStride, k + col, 0, lanes, scores);
        for (int i = 0; i < count; i++) {
          double score = (double) get(scores + i * 4L) * scale + log;
          double lse = get(logSumExp + ((from + (long) i) * heads + h) * 4);
          float weight = (float) (1 / (1 + Math.exp(lse - score)));
          long row = out + (from + i) * outStride + col;
          SimdLayers.mixRow(headWidth, v + col, weight, 1 - weight, row);
        }
      }
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
    int columns = roundUp(keys, LANES);
    long lanes = workers.own(0).reserve(keys * (long) BYTES + columns * 4L + 8);
    long weights = lanes + keys * (long) BYTES;
    long most = weights + columns * 4L;
    for (int head = 0; head < heads; head++) {
      long col = (long) head * headWidth * 4;
      long query = q.segment().address() + col;
      dots(keys, query, 0, k.segment().address() + col, kStride * 4, lanes, weights);
      softmax(1, keys - 1, columns, weights, 0, most, lanes);
      Simd.sums(1, lanes, BYTES, 1, most);
      mixOne(
          keys,
          weights,
          1 / get(most),
          v.segment().address() + col,
          vStride * 4,
          out.segment().address() + col);
    }
  }

  /** out = factor times the sum over keys of weight times value. */
  private void mixOne(int keys, long weights, float factor, long values, long stride, long out) {
    int width = headWidth;
    int whole = F.loopBound(width);
    long weightRow = weights & ADDRESS;
    for (int c = 0; c < whole; c += LANES) {
      long column = values + c * 4L;
      FloatVector sum0 = FloatVector.zero(F);
      FloatVector sum1 = FloatVector.zero(F);
      for (int j = 0; j + 1 < keys; j += 2) {
        long at = (column + j * stride) & ADDRESS;
        long weight = weightRow + 4L * (j & INDEX);
        FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
        sum0 = value.fma(FloatVector.broadcast(F, get(weight)), sum0);
        value = FloatVector.fromMemorySegment(F, MEMORY, (at + stride) & ADDRESS, ORDER);
        sum1 = value.fma(FloatVector.broadcast(F, get(weight + 4)), sum1);
      }
      FloatVector sum = sum0.add(sum1);
      if (keys % 2 == 1) {
        long at = (column + (keys - 1) * stride) & ADDRESS;
        float weight = get(weightRow + 4L * ((keys - 1) & INDEX));
        sum =
            FloatVector.fromMemorySegment(F, MEMORY, at, ORDER)
                .fma(FloatVector.broadcast(F, weight), sum);
      }
      sum.mul(factor).intoMemorySegment(MEMORY, (out + c * 4L) & ADDRESS, ORDER);
    }
    for (int c = whole; c < width; c++) {
      float sum = 0;
      for (int j = 0; j < keys; j++) {
        sum = Math.fma(get(weightRow + j * 4L), get(values + j * stride + c * 4L), sum);
      }
      set(out + c * 4L, sum * factor);
    }
  }
}
