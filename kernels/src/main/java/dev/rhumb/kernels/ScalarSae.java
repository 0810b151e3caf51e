package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.dot;
import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.getInt;
import static dev.rhumb.kernels.ScalarMemory.set;
import static dev.rhumb.kernels.ScalarMemory.setInt;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** {@link Sae} in plain loops. */
final class ScalarSae extends Sae {
  private final ScalarTopK best = new ScalarTopK();
  private final ScalarTopK edited = new ScalarTopK();
  private float[] centred = new float[0];
  private float[] scores = new float[0];
  private float[] before = new float[0];
  private float[] after = new float[0];
  private double[] sum = new double[0];
  private double[] encoderSum = new double[0];
  private double[] decoderSum = new double[0];
  private double[] biasSum = new double[0];
  private int[] first = new int[0];
  private int[] next = new int[0];
  private int[] order = new int[0];

  @Override
  PackedEncoder newEncoder(int capacity, int width, boolean compressed) {
    return new ScalarPackedEncoder(capacity, width);
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
    var packed = (ScalarPackedEncoder) target;
    int width = packed.width();
    checkSubset(subset, taken, features);
    for (int i = 0; i < taken; i++) {
      int feature = subset == null ? i : getInt(subset.segment(), i);
      requireFinite(get(bEnc.segment(), feature), feature);
      for (int d = 0; d < width; d++) {
        requireFinite(get(wEnc.segment(), (long) feature * width + d), feature);
      }
    }
    for (int i = 0; i < taken; i++) {
      int feature = subset == null ? i : getInt(subset.segment(), i);
      setInt(packed.names.segment(), i, feature);
      set(packed.bias.segment(), i, get(bEnc.segment(), feature));
      for (int d = 0; d < width; d++) {
        set(
            packed.weights.segment(),
            (long) i * width + d,
            get(wEnc.segment(), (long) feature * width + d));
      }
    }
    for (int d = 0; d < width; d++) {
      set(packed.inputBias.segment(), d, get(bDec.segment(), d));
    }
  }

  private static void requireFinite(float weight, int feature) {
    if (!Float.isFinite(weight)) {
      throw new ArithmeticException("pack: feature " + feature + " has the weight " + weight);
    }
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
    var packed = (ScalarPackedEncoder) encoder;
    for (int r = 0; r < rows; r++) {
      score("encodeTopK", packed, x.segment(), r, xStride);
      select(best, kept, packed.features());
      write(packed, r, kept, indices, values);
    }
  }

  /** Sets scores to those of one row, by the float32 chain of the contract. */
  private void score(
      String op, ScalarPackedEncoder packed, MemorySegment x, int row, long xStride) {
    int width = packed.width();
    int features = packed.features();
    if (centred.length < width) {
      centred = new float[width];
    }
    if (scores.length < features) {
      scores = new float[features];
    }
    for (int d = 0; d < width; d++) {
      centred[d] = get(x, row * xStride + d) - get(packed.inputBias.segment(), d);
    }
    MemorySegment weights = packed.weights.segment();
    for (int f = 0; f < features; f++) {
      float chain = get(packed.bias.segment(), f);
      for (int d = 0; d < width; d++) {
        chain = Math.fma(centred[d], get(weights, (long) f * width + d), chain);
      }
      requireNumber(op, row, getInt(packed.names.segment(), f), chain);
      scores[f] = chain;
    }
  }

  private static void requireNumber(String op, int row, int feature, float score) {
    if (Float.isNaN(score)) {
      throw new ArithmeticException(
          op + ": row " + row + ": the score of feature " + feature + " is NaN");
    }
  }

  private void select(ScalarTopK top, int kept, int features) {
    top.start(kept);
    for (int f = 0; f < features; f++) {
      top.offer(f, scores[f]);
    }
  }

  private void write(ScalarPackedEncoder packed, int row, int kept, Buffer indices, Buffer values) {
    for (int i = 0; i < kept; i++) {
      long at = (long) row * kept + i;
      setInt(indices.segment(), at, getInt(packed.names.segment(), best.index(i)));
      set(values.segment(), at, Math.max(best.value(i), 0));
    }
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
    var packed = (ScalarPackedEncoder) encoder;
    for (int r = 0; r < rows; r++) {
      score("encodeAbove", packed, x.segment(), r, xStride);
      list(r, packed.features(), thresholds, indices, values);
    }
  }

  /** Lists what fires of a row by its scores. */
  private void list(int row, int features, Thresholds thresholds, Buffer indices, Buffer values) {
    long at = (long) row * features;
    long end = at + features;
    for (int f = 0; f < features; f++) {
      if (scores[f] > get(thresholds.threshold().segment(), f)) {
        setInt(indices.segment(), at, f);
        set(values.segment(), at++, activation(thresholds, f, scores[f]));
      }
    }
    if (at < end) {
      setInt(indices.segment(), at, END);
    }
  }

  private static float activation(Thresholds thresholds, int feature, float score) {
    if (!(score > get(thresholds.threshold().segment(), feature))) {
      return 0;
    }
    float gain = get(thresholds.gain().segment(), feature);
    float offset = get(thresholds.offset().segment(), feature);
    return Math.max(Math.fma(gain, score, offset), 0);
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
    for (int r = 0; r < rows; r++) {
      for (long i = (long) r * kept; i < (r + 1L) * kept; i++) {
        int feature = getInt(indices.segment(), i);
        if (feature == END) {
          break;
        }
        set(values.segment(), i, activation(thresholds, feature, get(scores.segment(), i)));
      }
    }
  }

  @Override
  void doKeepLargest(
      int rows, int kept, int features, int count, Buffer indices, Buffer values, Buffer least) {
    Check.lists("keepLargest", indices, rows, kept, features);
    int positive = 0;
    float[] all = new float[Math.toIntExact((long) rows * kept)];
    for (int r = 0; r < rows; r++) {
      for (long i = (long) r * kept; i < (r + 1L) * kept; i++) {
        if (getInt(indices.segment(), i) == END) {
          break;
        }
        if (get(values.segment(), i) > 0) {
          all[positive++] = get(values.segment(), i);
        }
      }
    }
    Arrays.sort(all, 0, positive);
    int left = Math.min(count, positive);
    float bound = left == 0 ? 0 : all[positive - left];
    int ties = 0;
    for (int i = positive - left; i < positive && all[i] == bound; i++) {
      ties++;
    }
    for (int r = 0; r < rows; r++) {
      long to = (long) r * kept;
      for (long i = to; i < (r + 1L) * kept; i++) {
        int feature = getInt(indices.segment(), i);
        if (feature == END) {
          break;
        }
        float value = get(values.segment(), i);
        if (value > 0 && (value > bound || (value == bound && ties-- > 0))) {
          setInt(indices.segment(), to, feature);
          set(values.segment(), to++, value);
        }
      }
      end(indices, kept, r, to);
    }
    set(least.segment(), 0, bound);
  }

  /** Ends a row's list before entry {@code at}. */
  private static void end(Buffer indices, int kept, int row, long at) {
    if (at < (row + 1L) * kept) {
      setInt(indices.segment(), at, END);
    }
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
    for (int r = 0; r < rows; r++) {
      long to = (long) r * kept;
      for (long i = to; i < (r + 1L) * kept; i++) {
        int feature = getInt(indices.segment(), i);
        if (feature == END) {
          break;
        }
        if (feature >= low && feature < high) {
          setInt(toIndices.segment(), to, feature);
          set(toValues.segment(), to++, get(values.segment(), i));
        }
      }
      end(toIndices, kept, r, to);
    }
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
    sum = ScalarMemory.zeros(sum, features);
    for (int r = 0; r < rows; r++) {
      for (long i = (long) r * kept; i < (r + 1L) * kept; i++) {
        int f = getInt(indices.segment(), i);
        if (f == END) {
          break;
        }
        float centre = get(threshold.segment(), f);
        if (Math.abs(get(scores.segment(), i) - centre) < bandwidth / 2) {
          double dz = dotOf(g, r, wDec, f, width);
          sum[f] += (centre * dz + slope) / bandwidth;
        }
      }
    }
    for (int f = 0; f < features; f++) {
      add(dThreshold, f, -sum[f]);
    }
  }

  @Override
  void doScaleRows(int rows, int cols, Buffer factors, Buffer w, float beta, Buffer to) {
    for (int r = 0; r < rows; r++) {
      double factor = get(factors.segment(), r);
      for (long i = (long) r * cols; i < (r + 1L) * cols; i++) {
        double before = beta == 0 ? 0 : beta * (double) get(to.segment(), i);
        set(to.segment(), i, before + factor * get(w.segment(), i));
      }
    }
  }

  @Override
  void doDotRows(int rows, int cols, Buffer a, Buffer b, Buffer dots) {
    for (int r = 0; r < rows; r++) {
      long row = (long) r * cols;
      set(dots.segment(), r, dot(a.segment(), row, b.segment(), row, cols));
    }
  }

  @Override
  void doSumValues(int rows, int kept, int features, Buffer indices, Buffer values, Buffer sums) {
    Check.lists("sumValues", indices, rows, kept, features);
    for (int r = 0; r < rows; r++) {
      double total = 0;
      for (long i = (long) r * kept; i < (r + 1L) * kept; i++) {
        if (getInt(indices.segment(), i) == END) {
          break;
        }
        total += get(values.segment(), i);
      }
      set(sums.segment(), r, total);
    }
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
    for (int r = 0; r < rows; r++) {
      decodeRow(r, kept, width, indices, values, wDec, bDec);
      for (int d = 0; d < width; d++) {
        set(y.segment(), r * yStride + d, sum[d]);
      }
    }
  }

  /** Sets sum to the decode of a row. */
  private void decodeRow(
      int r, int kept, int width, Buffer indices, Buffer values, Buffer wDec, Buffer bDec) {
    sum = ScalarMemory.zeros(sum, width);
    for (int i = 0; i < kept; i++) {
      long at = (long) r * kept + i;
      if (getInt(indices.segment(), at) == END) {
        break;
      }
      double z = get(values.segment(), at);
      addScaled(z, wDec.segment(), (long) getInt(indices.segment(), at) * width, width);
    }
    for (int d = 0; d < width; d++) {
      sum[d] += bDec == null ? 0 : get(bDec.segment(), d);
    }
  }

  private void addScaled(double factor, MemorySegment rows, long from, int width) {
    for (int d = 0; d < width; d++) {
      sum[d] += factor * get(rows, from + d);
    }
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
    float scale = lossScale(factor, denominator);
    for (int r = 0; r < rows; r++) {
      decodeRow(r, kept, width, indices, values, wDec, bDec);
      double square = 0;
      for (int d = 0; d < width; d++) {
        // Rounded where a decode and a difference round, for the same bits as theirs.
        float e = (float) ((double) get(x.segment(), r * xStride + d) - (float) sum[d]);
        square += (double) e * e;
        if (error != null) {
          set(error.segment(), (long) r * width + d, e);
        }
        set(g.segment(), (long) r * width + d, -(double) scale * e);
      }
      set(squares.segment(), r, square);
      for (long i = (long) r * kept; dz != null && i < (r + 1L) * kept; i++) {
        int f = getInt(indices.segment(), i);
        if (f == END) {
          break;
        }
        boolean fired = get(values.segment(), i) > 0;
        set(dz.segment(), i, fired ? dotOf(g, r, wDec, f, width) : 0);
      }
    }
  }

  private static double dotOf(Buffer a, int row, Buffer b, int other, int width) {
    return dot(a.segment(), (long) row * width, b.segment(), (long) other * width, width);
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
      Buffer dots,
      Buffer wEnc,
      Buffer wDec,
      Buffer bDec,
      boolean decoderBias,
      Buffer dWEnc,
      Buffer dWDec,
      Buffer dBEnc,
      Buffer dBDec) {
    Check.lists("saeBackward", indices, rows, kept, features);
    MemorySegment gs = g.segment();
    MemorySegment zs = values.segment();
    sortFired(rows, kept, indices, values, features);
    biasSum = ScalarMemory.zeros(biasSum, width);
    for (int f = 0; f < features; f++) {
      if (first[f] == first[f + 1]) {
        continue;
      }
      encoderSum = ScalarMemory.zeros(encoderSum, width);
      decoderSum = ScalarMemory.zeros(decoderSum, width);
      double slopeSum = 0;
      for (int i = first[f]; i < first[f + 1]; i++) {
        int entry = order[i];
        int row = entry / kept;
        double z = get(zs, entry);
        double dz =
            (dots == null ? dotOf(g, row, wDec, f, width) : get(dots.segment(), entry)) + slope;
        slopeSum += dz;
        for (int d = 0; d < width; d++) {
          decoderSum[d] += z * get(gs, (long) row * width + d);
          encoderSum[d] +=
              dz * ((double) get(x.segment(), row * xStride + d) - get(bDec.segment(), d));
        }
      }
      add(dBEnc, f, slopeSum);
      for (int d = 0; d < width; d++) {
        long at = (long) f * width + d;
        add(dWDec, at, decoderSum[d]);
        add(dWEnc, at, encoderSum[d]);
        biasSum[d] -= slopeSum * get(wEnc.segment(), at);
      }
    }
    if (decoderBias) {
      for (int r = 0; r < rows; r++) {
        for (int d = 0; d < width; d++) {
          biasSum[d] += get(gs, (long) r * width + d);
        }
      }
    }
    for (int d = 0; d < width; d++) {
      add(dBDec, d, biasSum[d]);
    }
  }

  private static void add(Buffer target, long at, double value) {
    set(target.segment(), at, get(target.segment(), at) + value);
  }

  /** Sets order[first[f] .. first[f + 1]] to the entries in which f fired, ascending. */
  private void sortFired(int rows, int kept, Buffer indices, Buffer values, int features) {
    MemorySegment at = indices.segment();
    MemorySegment zs = values.segment();
    int entries = Math.toIntExact((long) rows * kept);
    first = ScalarMemory.atLeast(first, features + 1);
    order = ScalarMemory.atLeast(order, entries);
    Arrays.fill(first, 0, features + 1, 0);
    for (int r = 0; r < rows; r++) {
      for (int i = r * kept; i < (r + 1) * kept && getInt(at, i) != END; i++) {
        if (get(zs, i) > 0) {
          first[getInt(at, i) + 1]++;
        }
      }
    }
    for (int f = 0; f < features; f++) {
      first[f + 1] += first[f];
    }
    next = ScalarMemory.atLeast(next, features);
    System.arraycopy(first, 0, next, 0, features);
    for (int r = 0; r < rows; r++) {
      for (int i = r * kept; i < (r + 1) * kept && getInt(at, i) != END; i++) {
        if (get(zs, i) > 0) {
          order[next[getInt(at, i)]++] = i;
        }
      }
    }
  }

  @Override
  void doProjectRows(int rows, int cols, Buffer w, Buffer dw) {
    MemorySegment ws = w.segment();
    MemorySegment dws = dw.segment();
    for (int r = 0; r < rows; r++) {
      long row = (long) r * cols;
      double squares = dot(ws, row, ws, row, cols);
      if (squares == 0) {
        continue;
      }
      double along = dot(dws, row, ws, row, cols) / squares;
      for (int c = 0; c < cols; c++) {
        set(dws, row + c, get(dws, row + c) - along * get(ws, row + c));
      }
    }
  }

  @Override
  void doNormaliseRows(int rows, int cols, Buffer w) {
    for (int r = 0; r < rows; r++) {
      normalise(w.segment(), (long) r * cols, cols);
    }
  }

  /** Scales the row that starts at an element to unit norm, unless it is all zeros. */
  static void normalise(MemorySegment w, long row, int cols) {
    double norm = Math.sqrt(dot(w, row, w, row, cols));
    for (int c = 0; c < cols && norm != 0; c++) {
      set(w, row + c, get(w, row + c) / norm);
    }
  }

  @Override
  void doCountFired(
      int rows, int kept, int features, Buffer indices, Buffer values, Buffer counts) {
    Check.lists("countFired", indices, rows, kept, features);
    for (int r = 0; r < rows; r++) {
      for (long i = (long) r * kept; i < (r + 1L) * kept; i++) {
        int feature = getInt(indices.segment(), i);
        if (feature == END) {
          break;
        }
        if (get(values.segment(), i) > 0) {
          setInt(counts.segment(), feature, getInt(counts.segment(), feature) + 1);
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
    var packed = (ScalarPackedEncoder) encoder;
    int features = packed.features();
    makeRoom(features);
    for (int r = 0; r < rows; r++) {
      score("steer", packed, x.segment(), r, xStride);
      select(best, kept, features);
      write(packed, r, kept, indices, values);
      activations(best, before, features);
      edit(r, kept, features, edits);
      writeBack(r, packed.width(), features, wDec, bDec, x, xStride, edits, y, yStride);
    }
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
    var packed = (ScalarPackedEncoder) encoder;
    int features = packed.features();
    makeRoom(features);
    boolean preSelect = edits.stage() == EditTable.Stage.PRE_SELECT;
    for (int r = 0; r < rows; r++) {
      score("steerAbove", packed, x.segment(), r, xStride);
      list(r, features, thresholds, indices, values);
      for (int f = 0; f < features; f++) {
        before[f] = activation(thresholds, f, scores[f]);
        after[f] = before[f];
      }
      for (int e = 0; e < edits.count(); e++) {
        int f = edits.feature(e);
        float result = edits.apply(e, preSelect ? scores[f] : before[f]);
        requireNumber("steerAbove", r, f, result);
        after[f] = preSelect ? activation(thresholds, f, result) : result;
      }
      writeBack(r, packed.width(), features, wDec, bDec, x, xStride, edits, y, yStride);
    }
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
    makeRoom(features);
    for (int r = 0; r < rows; r++) {
      Arrays.fill(before, 0, features, 0);
      for (long i = (long) r * kept; i < (r + 1L) * kept; i++) {
        int feature = getInt(indices.segment(), i);
        if (feature == END) {
          break;
        }
        before[feature] = get(values.segment(), i);
      }
      System.arraycopy(before, 0, after, 0, features);
      for (int e = 0; e < edits.count(); e++) {
        int f = edits.feature(e);
        after[f] = edits.apply(e, before[f]);
        requireNumber("applyEdits", r, f, after[f]);
      }
      writeBack(r, width, features, wDec, bDec, x, xStride, edits, y, yStride);
    }
  }

  private void makeRoom(int features) {
    if (before.length < features) {
      before = new float[features];
      after = new float[features];
    }
  }

  /** Sets after to the activations that the edits leave. */
  private void edit(int row, int kept, int features, EditTable edits) {
    if (edits.stage() == EditTable.Stage.PRE_SELECT) {
      for (int e = 0; e < edits.count(); e++) {
        int f = edits.feature(e);
        scores[f] = edits.apply(e, scores[f]);
        requireNumber("steer", row, f, scores[f]);
      }
      select(edited, kept, features);
      activations(edited, after, features);
    } else {
      System.arraycopy(before, 0, after, 0, features);
      for (int e = 0; e < edits.count(); e++) {
        int f = edits.feature(e);
        after[f] = edits.apply(e, before[f]);
        requireNumber("steer", row, f, after[f]);
      }
    }
  }

  private static void activations(ScalarTopK top, float[] target, int features) {
    Arrays.fill(target, 0, features, 0);
    for (int i = 0; i < top.count(); i++) {
      target[top.index(i)] = Math.max(top.value(i), 0);
    }
  }

  private void writeBack(
      int row,
      int width,
      int features,
      Buffer wDec,
      Buffer bDec,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride) {
    boolean delta = edits.write() == EditTable.Write.DELTA;
    boolean changed = false;
    sum = ScalarMemory.zeros(sum, width);
    for (int f = 0; f < features; f++) {
      double factor = delta ? (double) after[f] - before[f] : after[f];
      if (factor != 0) {
        changed = true;
        addScaled(factor, wDec.segment(), (long) f * width, width);
      }
    }
    for (int d = 0; d < width; d++) {
      float origin = get(delta ? x.segment() : bDec.segment(), delta ? row * xStride + d : d);
      // Not origin + 0 where nothing changed: that would turn -0 into +0.
      set(y.segment(), row * yStride + d, changed ? origin + sum[d] : origin);
    }
  }
}
