package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * {@link Sae} on the Vector API. Encoding scores blocks of rows against panels of features and
 * keeps what can be among the K best, or a few rows one by one, by {@link PrunedTop}; steering
 * edits what an encode with room for the edits kept.
 */
final class SimdSae extends Sae {
  /** Up to this many rows are encoded one by one from a compressed encoder. */
  private static final int MOST_PRUNED = 3;

  private final Workers workers;
  private final EncodeBlock[] blocks;
  private final PrunedFeatures[] pruned;

  /** Rows of a task that edits lists. */
  private static final int APPLY_ROWS = 64;

  private final Steering[] steerings;
  private final SimdSaeBackward backward;
  private final SparseRows decoder;
  private final UnitRows rows;
  private final SparseLists lists;
  private final ThresholdBackward thresholdBackward;
  private final Workers.Task measureTask = this::measurePanel;
  private final Workers.Task packTask = this::packPanel;
  private final Workers.Task encodeTask = this::encodeBlock;
  private final Workers.Task encodeAboveTask = this::encodeAboveBlock;
  private final Workers.Task steerTask = this::steerBlock;
  private final Workers.Task applyTask = this::applyBlock;
  private final Workers.Task steerAboveTask = this::steerAboveBlock;

  // The arguments of the call under way.
  private SimdPackedEncoder encoder;
  private int taking;
  private long subset;
  private long wEnc;
  private long bEnc;
  private long magnitudes;
  private int width;
  private int rowCount;
  private int blockRows;
  private int kept;
  private long x;
  private long xStride;
  private long indices;
  private long values;
  private long wDec;
  private long bDec;
  private long y;
  private long yStride;
  private EditTable edits;
  private final SimdThresholds thresholds = new SimdThresholds();

  SimdSae(Workers workers) {
    this.workers = workers;
    blocks = new EncodeBlock[workers.threads()];
    steerings = new Steering[workers.threads()];
    pruned = new PrunedFeatures[workers.threads()];
    Arrays.setAll(blocks, i -> new EncodeBlock());
    Arrays.setAll(pruned, i -> new PrunedFeatures());
    Arrays.setAll(steerings, i -> new Steering());
    backward = new SimdSaeBackward(workers);
    decoder = new SparseRows(workers);
    rows = new UnitRows(workers);
    lists = new SparseLists(workers);
    thresholdBackward = new ThresholdBackward(workers);
  }

  @Override
  PackedEncoder newEncoder(int capacity, int width, boolean compressed) {
    return new SimdPackedEncoder(capacity, width, compressed);
  }

  @Override
  void doPack(
      PackedEncoder target,
      int features,
      Buffer wEnc,
      Buffer bEnc,
      Buffer bDec,
      Buffer subset,
      int taken) {
    checkSubset(subset, taken, features);
    encoder = (SimdPackedEncoder) target;
    taking = taken;
    this.subset = subset == null ? 0 : subset.segment().address();
    this.wEnc = wEnc.segment().address();
    this.bEnc = bEnc.segment().address();
    int panels = ScorePanels.panels(taken);
    magnitudes = workers.shared().reserve(panels * 8L);
    workers.run(panels, measureTask);
    workers.run(panels, packTask);
    encoder.mostWeight = 0;
    encoder.mostBias = 0;
    for (int p = 0; p < panels; p++) {
      encoder.mostWeight = Math.max(encoder.mostWeight, get(magnitudes + p * 8L));
      encoder.mostBias = Math.max(encoder.mostBias, get(magnitudes + p * 8L + 4));
    }
    int width = encoder.width();
    MemorySegment.copy(bDec.segment(), 0, encoder.inputBias.segment(), 0, width * 4L);
    encoder.named = subset != null;
    if (encoder.bytes != null) {
      encoder.bytes.finish(panels);
    }
    encoder = null;
  }

  /** Finds a panel's magnitudes, before anything is written, and refuses what is not finite. */
  private void measurePanel(int p, int worker) {
    float mostWeight = 0;
    float mostBias = 0;
    int end = Math.min(PANEL, taking - p * PANEL);
    for (int i = 0; i < end; i++) {
      int feature = taken(p * PANEL + i);
      float weight = ScorePanels.magnitude(weights(feature), encoder.width());
      float bias = Math.abs(get(bEnc + feature * 4L));
      if (!(weight <= Float.MAX_VALUE && bias <= Float.MAX_VALUE)) {
        throw new ArithmeticException(
            "pack: feature " + feature + " has a weight that is not finite");
      }
      mostWeight = Math.max(mostWeight, weight);
      mostBias = Math.max(mostBias, bias);
    }
    set(magnitudes + p * 8L, mostWeight);
    set(magnitudes + p * 8L + 4, mostBias);
  }

  private void packPanel(int p, int worker) {
    int width = encoder.width();
    long panel = encoder.panels.segment().address() + p * ScorePanels.bytes(width);
    long names = encoder.names.segment().address();
    int end = Math.min(PANEL, taking - p * PANEL);
    for (int i = 0; i < end; i++) {
      int feature = taken(p * PANEL + i);
      ScorePanels.put(weights(feature), width, get(bEnc + feature * 4L), panel, i);
      setInt(names + (p * PANEL + i) * 4L, feature);
    }
    ScorePanels.pad(width, panel, end);
    if (encoder.bytes != null) {
      compressPanel(p, end);
    }
  }

  private void compressPanel(int p, int end) {
    encoder.bytes.begin(p);
    long rowBytes = encoder.width() * 4L;
    for (int i = 0; i < end; i++) {
      int feature = taken(p * PANEL + i);
      long row = encoder.rows.segment().address() + (p * PANEL + i) * rowBytes;
      MemorySegment.copy(Simd.MEMORY, weights(feature), Simd.MEMORY, row, rowBytes);
      encoder.bytes.put(p, i, weights(feature), get(bEnc + feature * 4L));
    }
    for (int i = end; i < PANEL; i++) {
      encoder.bytes.clear(p, i);
    }
  }

  private int taken(int i) {
    return subset == 0 ? i : getInt(subset + i * 4L);
  }

  private long weights(int feature) {
    return wEnc + feature * (encoder.width() * 4L);
  }

  @Override
  void doEncodeTopK(
      PackedEncoder encoder,
      int rows,
      int kept,
      Selection selection,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    take(encoder, rows, kept, x, xStride, indices, values);
    workers.run(ceilDiv(rows, blockRows), encodeTask);
    this.encoder = null;
  }

  private void take(
      PackedEncoder encoder,
      int rows,
      int kept,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    this.encoder = (SimdPackedEncoder) encoder;
    rowCount = rows;
    blockRows = EncodeBlock.rows(rows, workers.threads(), this.encoder);
    this.kept = kept;
    this.x = x.segment().address();
    this.xStride = xStride * 4;
    this.indices = indices.segment().address();
    this.values = values.segment().address();
  }

  private void encodeBlock(int task, int worker) {
    int first = task * blockRows;
    int count = Math.min(blockRows, rowCount - first);
    long at = first * (kept * 4L);
    long memory = workers.own(worker).reserve(encodeBytes(count, kept));
    encode("encodeTopK", worker, first, count, kept, memory, indices + at, values + at);
    for (int i = 0; i < count * kept; i++) {
      setActivation(indices + at, values + at, i, indices + at, values + at, i);
    }
  }

  /** Of the last row that worker 0 pruned, how many chunks were scored in full. */
  int chunksInFull() {
    return pruned[0].chunksInFull();
  }

  private boolean isPruned(int count) {
    return encoder.bytes != null && count <= MOST_PRUNED;
  }

  /** Bytes of memory for the top k of a block of rows. */
  private long encodeBytes(int count, int k) {
    long bytes = EncodeBlock.bytes(count, k, encoder);
    return isPruned(count) ? Math.max(bytes, PrunedFeatures.bytes(k, encoder)) : bytes;
  }

  /** The top k of a block of rows: packed features and scores as they are. */
  private void encode(
      String operation,
      int worker,
      int first,
      int count,
      int k,
      long memory,
      long toIndices,
      long toScores) {
    boolean done = isPruned(count);
    for (int r = 0; r < count && done; r++) {
      long from = x + (first + r) * xStride;
      long at = r * (k * 4L);
      done = pruned[worker].find(encoder, k, from, memory, toIndices + at, toScores + at);
    }
    if (done) {
      return;
    }
    EncodeBlock block = start(worker, first, count, k, memory);
    block.encode(operation, first, toIndices, toScores);
    block.end();
  }

  private EncodeBlock start(int worker, int first, int count, int k, long memory) {
    EncodeBlock block = blocks[worker];
    block.start(count, k, encoder, memory);
    for (int r = 0; r < count; r++) {
      block.row(r, x + (first + r) * xStride);
    }
    return block;
  }

  @Override
  void doEncodeAbove(
      PackedEncoder encoder,
      Thresholds thresholds,
      int rows,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    take(encoder, rows, encoder.features(), x, xStride, indices, values);
    this.thresholds.take(thresholds);
    workers.run(ceilDiv(rows, blockRows), encodeAboveTask);
    this.encoder = null;
  }

  private void encodeAboveBlock(int task, int worker) {
    int first = task * blockRows;
    int count = Math.min(blockRows, rowCount - first);
    encodeAbove("encodeAbove", worker, first, count, EncodeBlock.bytes(count, 1, encoder));
  }

  /** Lists what fires in a block of rows, in scratch memory of at least the block's bytes. */
  private long encodeAbove(String operation, int worker, int first, int count, long bytes) {
    long memory = workers.own(worker).reserve(bytes);
    long at = first * (kept * 4L);
    EncodeBlock block = start(worker, first, count, 1, memory);
    block.encodeAbove(operation, first, thresholds.threshold, indices + at, values + at);
    block.end();
    thresholds.activate(count, kept, indices + at, values + at, values + at);
    return memory;
  }

  @Override
  void doActivate(
      int rows,
      int kept,
      int features,
      Buffer indices,
      Buffer scores,
      Thresholds thresholds,
      Buffer values) {
    Check.lists("activate", indices, rows, kept, features);
    this.thresholds.take(thresholds);
    lists.activate(
        rows,
        kept,
        indices.segment().address(),
        scores.segment().address(),
        this.thresholds,
        values.segment().address());
  }

  @Override
  void doKeepLargest(
      int rows, int kept, int features, int count, Buffer indices, Buffer values, Buffer least) {
    Check.lists("keepLargest", indices, rows, kept, features);
    float bound =
        lists.keepLargest(
            rows, kept, count, indices.segment().address(), values.segment().address());
    set(least.segment().address(), bound);
  }

  @Override
  void doSlice(
      int rows,
      int kept,
      int features,
      int low,
      int high,
      Buffer indices,
      Buffer values,
      Buffer toIndices,
      Buffer toValues) {
    Check.lists("slice", indices, rows, kept, features);
    lists.slice(
        rows,
        kept,
        low,
        high,
        indices.segment().address(),
        values.segment().address(),
        toIndices.segment().address(),
        toValues.segment().address());
  }

  @Override
  void doSumValues(int rows, int kept, int features, Buffer indices, Buffer values, Buffer sums) {
    Check.lists("sumValues", indices, rows, kept, features);
    lists.sumValues(
        rows,
        kept,
        indices.segment().address(),
        values.segment().address(),
        sums.segment().address());
  }

  @Override
  void doThresholdBackward(
      int rows,
      int kept,
      int features,
      int width,
      float bandwidth,
      Buffer g,
      float slope,
      Buffer indices,
      Buffer scores,
      Buffer threshold,
      Buffer wDec,
      Buffer dThreshold) {
    Check.lists("thresholdBackward", indices, rows, kept, features);
    thresholdBackward.run(
        rows,
        kept,
        features,
        width,
        bandwidth,
        g.segment().address(),
        slope,
        indices.segment().address(),
        scores.segment().address(),
        threshold.segment().address(),
        wDec.segment().address(),
        dThreshold.segment().address());
  }

  @Override
  void doScaleRows(int rows, int cols, Buffer factors, Buffer w, float beta, Buffer to) {
    this.rows.scale(
        rows,
        cols,
        factors.segment().address(),
        w.segment().address(),
        beta,
        to.segment().address());
  }

  @Override
  void doDotRows(int rows, int cols, Buffer a, Buffer b, Buffer dots) {
    this.rows.dots(
        rows, cols, a.segment().address(), b.segment().address(), dots.segment().address());
  }

  /** Takes an encode's entry over: the feature by its name, the score rectified. */
  private void setActivation(
      long toIndices, long toValues, int to, long fromIndices, long fromScores, int from) {
    int feature = getInt(fromIndices + from * 4L);
    if (encoder.named) {
      feature = getInt(encoder.names.segment().address() + feature * 4L);
    }
    setInt(toIndices + to * 4L, feature);
    float score = get(fromScores + from * 4L);
    set(toValues + to * 4L, score > 0 ? score : 0);
  }

  @Override
  void doDecode(
      int rows,
      int kept,
      int features,
      int width,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer y,
      long yStride) {
    Check.lists("decode", indices, rows, kept, features);
    decoder.decode(
        rows,
        kept,
        width,
        indices.segment().address(),
        values.segment().address(),
        wDec.segment().address(),
        bDec == null ? 0 : bDec.segment().address(),
        y.segment().address(),
        yStride * 4);
  }

  @Override
  void doDecodeLoss(
      int rows,
      int kept,
      int features,
      int width,
      Buffer x,
      long xStride,
      double factor,
      Buffer denominator,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer error,
      Buffer g,
      Buffer squares,
      Buffer dz) {
    Check.lists("decodeLoss", indices, rows, kept, features);
    decoder.decodeLoss(
        rows,
        kept,
        width,
        x.segment().address(),
        xStride * 4,
        lossScale(factor, denominator),
        indices.segment().address(),
        values.segment().address(),
        wDec.segment().address(),
        bDec == null ? 0 : bDec.segment().address(),
        error == null ? 0 : error.segment().address(),
        g.segment().address(),
        squares.segment().address(),
        dz == null ? 0 : dz.segment().address());
  }

  @Override
  void doBackward(
      int rows,
      int kept,
      int features,
      int width,
      Buffer x,
      long xStride,
      Buffer g,
      float slope,
      Buffer indices,
      Buffer values,
      Buffer dz,
      Buffer wEnc,
      Buffer wDec,
      Buffer bDec,
      boolean decoderBias,
      Buffer dWEnc,
      Buffer dWDec,
      Buffer dBEnc,
      Buffer dBDec) {
    Check.lists("saeBackward", indices, rows, kept, features);
    backward.run(
        rows,
        kept,
        features,
        width,
        x.segment().address(),
        xStride * 4,
        g.segment().address(),
        slope,
        indices.segment().address(),
        values.segment().address(),
        dz == null ? 0 : dz.segment().address(),
        wEnc.segment().address(),
        wDec.segment().address(),
        bDec.segment().address(),
        decoderBias,
        dWEnc.segment().address(),
        dWDec.segment().address(),
        dBEnc.segment().address(),
        dBDec.segment().address());
  }

  @Override
  void doProjectRows(int rows, int cols, Buffer w, Buffer dw) {
    this.rows.project(rows, cols, w.segment().address(), dw.segment().address());
  }

  @Override
  void doNormaliseRows(int rows, int cols, Buffer w) {
    this.rows.normalise(rows, cols, w.segment().address());
  }

  @Override
  void doCountFired(
      int rows, int kept, int features, Buffer indices, Buffer values, Buffer counts) {
    Check.lists("countFired", indices, rows, kept, features);
    long from = indices.segment().address();
    long fired = values.segment().address();
    long to = counts.segment().address();
    for (int r = 0; r < rows; r++) {
      long i = (long) r * kept * 4;
      for (long end = i + SparseRows.count(from + i, kept) * 4L; i < end; i += 4) {
        if (get(fired + i) > 0) {
          long at = to + getInt(from + i) * 4L;
          setInt(at, getInt(at) + 1);
        }
      }
    }
  }

  @Override
  void doSteer(
      PackedEncoder encoder,
      Buffer wDec,
      Buffer bDec,
      int rows,
      int kept,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride,
      Buffer indices,
      Buffer values) {
    take(encoder, rows, kept, x, xStride, indices, values);
    this.wDec = wDec.segment().address();
    this.bDec = bDec.segment().address();
    this.edits = edits;
    this.y = y.segment().address();
    this.yStride = yStride * 4;
    workers.run(ceilDiv(rows, blockRows), steerTask);
    this.encoder = null;
    this.edits = null;
  }

  private void steerBlock(int task, int worker) {
    int first = task * blockRows;
    int count = Math.min(blockRows, rowCount - first);
    int width = encoder.width();
    boolean before = edits.stage() == EditTable.Stage.PRE_SELECT;
    // Each edit can admit at most one feature more than the K best.
    int k = (int) Math.min(encoder.features(), kept + (before ? (long) edits.count() : 0));
    long blockBytes = encodeBytes(count, k);
    long memory =
        workers
            .own(worker)
            .reserve(blockBytes + 2L * count * k * 4 + Steering.bytes(k, edits.count()));
    long top = memory + blockBytes;
    long scores = top + count * (k * 4L);
    long changes = scores + count * (k * 4L);
    encode("steer", worker, first, count, k, memory, top, scores);
    Steering steering = steerings[worker];
    steering.start(edits, kept, k, encoder, changes);
    for (int r = 0; r < count; r++) {
      long at = (long) (first + r) * kept * 4;
      long rowTop = top + r * (k * 4L);
      long rowScores = scores + r * (k * 4L);
      for (int i = 0; i < kept; i++) {
        setActivation(indices + at, values + at, i, rowTop, rowScores, i);
      }
      steering.row(first + r, rowTop, rowScores, x + (first + r) * xStride);
      steering.write(width, wDec, bDec, x + (first + r) * xStride, y + (first + r) * yStride);
    }
    steering.end();
  }

  @Override
  void doApplyEdits(
      int rows,
      int kept,
      int features,
      int width,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride) {
    Check.lists("applyEdits", indices, rows, kept, features);
    rowCount = rows;
    this.kept = kept;
    this.width = width;
    this.x = x.segment().address();
    this.xStride = xStride * 4;
    this.indices = indices.segment().address();
    this.values = values.segment().address();
    this.wDec = wDec.segment().address();
    this.bDec = bDec.segment().address();
    this.edits = edits;
    this.y = y.segment().address();
    this.yStride = yStride * 4;
    workers.run(ceilDiv(rows, APPLY_ROWS), applyTask);
    this.edits = null;
  }

  private void applyBlock(int task, int worker) {
    int first = task * APPLY_ROWS;
    int end = Math.min(first + APPLY_ROWS, rowCount);
    long memory = workers.own(worker).reserve(Steering.bytes(kept, edits.count()));
    Steering steering = steerings[worker];
    steering.start(edits, kept, kept, null, memory);
    for (int r = first; r < end; r++) {
      long list = indices + (long) r * kept * 4;
      int n = 0;
      while (n < kept && getInt(list + n * 4L) != END) {
        n++;
      }
      steering.rowListed(r, n, list, values + (long) r * kept * 4);
      steering.write(width, wDec, bDec, x + r * xStride, y + r * yStride);
    }
    steering.end();
  }

  @Override
  void doSteerAbove(
      PackedEncoder encoder,
      Thresholds thresholds,
      Buffer wDec,
      Buffer bDec,
      int rows,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride,
      Buffer indices,
      Buffer values) {
    take(encoder, rows, encoder.features(), x, xStride, indices, values);
    this.thresholds.take(thresholds);
    this.wDec = wDec.segment().address();
    this.bDec = bDec.segment().address();
    this.edits = edits;
    this.y = y.segment().address();
    this.yStride = yStride * 4;
    workers.run(ceilDiv(rows, blockRows), steerAboveTask);
    this.encoder = null;
    this.edits = null;
  }

  private void steerAboveBlock(int task, int worker) {
    int first = task * blockRows;
    int count = Math.min(blockRows, rowCount - first);
    int width = encoder.width();
    long blockBytes = EncodeBlock.bytes(count, 1, encoder);
    long memory =
        encodeAbove(
            "steerAbove", worker, first, count, blockBytes + Steering.bytes(kept, edits.count()));
    Steering steering = steerings[worker];
    steering.start(edits, kept, kept, encoder, memory + blockBytes);
    for (int r = first; r < first + count; r++) {
      long at = r * (kept * 4L);
      int n = SparseRows.count(indices + at, kept);
      steering.rowAbove(r, thresholds, n, indices + at, values + at, x + r * xStride);
      steering.write(width, wDec, bDec, x + r * xStride, y + r * yStride);
    }
    steering.end();
  }
}
