package dev.rhumb.kernels;

import java.lang.foreign.ValueLayout;

/**
 * Sparse autoencoders: the score of feature f is W_enc[f] (x - b_dec) + b_enc[f]; those that are
 * selected have an activation z_f; x^ = the sum over them of z_f W_dec[f], + b_dec. W_enc and W_dec
 * are (F, D), one row for each feature. A TopK selects the K largest scores by (value descending,
 * index ascending) and rectifies them; {@link Thresholds} select each feature by itself. See {@link
 * Kernels} for the rules that all operations share.
 *
 * <p>Contract of the encode, EXACT: the score of (row, f) is one float32 chain on every backend,
 * acc = b_enc[f]; for d ascending acc = fma(x[d] - b_dec[d], W_enc[f][d], acc); the selection is by
 * those scores, under the total order in which -0 equals +0. So which features fire does not depend
 * on the backend or on how rows are split into calls. No matrix of scores of rows x features
 * exists.
 *
 * <p>Lists: indices and values (rows, K) hold the entries of each row from its start on, distinct
 * features in any order. A row with fewer than K entries ends with the index {@link #END}; what
 * follows it is neither read nor written.
 */
public abstract class Sae {
  /** The index that ends a row of fewer than K entries. */
  public static final int END = -1;

  Sae() {}

  /**
   * Room for an encoder of up to {@code capacity} features, on this backend's device; {@link #pack}
   * fills it. The caller closes it.
   */
  public final PackedEncoder encoder(long capacity, long width) {
    return encoder(capacity, width, false);
  }

  /**
   * Room for an encoder that may also hold its features at a byte for each weight. A TopK of a few
   * rows then reads those, a quarter of the bytes, and of the weights only what a bound leaves in
   * doubt: the same features and values, bit for bit. It pays where the weights are past the
   * first-level caches by far, some hundred thousand of them.
   *
   * <p>A call uses all weights as ever where it has many rows, a row is not finite or its scores
   * might pass 2^100, or the width is above 8192; and of some thousand features each part in which
   * more than a quarter may be among the K best up to there.
   *
   * @param compressed whether to; it takes 2.3 times the memory, and packing several times as long
   */
  public final PackedEncoder encoder(long capacity, long width, boolean compressed) {
    Check.count("encoder", "capacity", capacity, 1);
    Check.count("encoder", "width", width, 1);
    return newEncoder((int) capacity, (int) width, compressed);
  }

  /**
   * Copies an encoder's weights into a packed one, whole or a subset of its features.
   *
   * @param target of the same width, with room for the features
   * @param features F, rows of wEnc
   * @param wEnc (F, D), contiguous
   * @param bEnc (F)
   * @param bDec (D)
   * @param subset int32 features to take, strictly ascending, or null for all; encoding then
   *     reports these numbers
   * @param subsetCount how many of them
   * @throws ArithmeticException when a weight taken is not finite: it names the feature
   */
  public final void pack(
      PackedEncoder target,
      long features,
      Buffer wEnc,
      Buffer bEnc,
      Buffer bDec,
      Buffer subset,
      long subsetCount) {
    String op = "pack";
    Check.that(target != null, op, "target is missing");
    target.requireOpen();
    Check.count(op, "features", features, 1);
    Check.matrix(op, "wEnc", wEnc, features, target.width(), target.width());
    Check.vector(op, "bEnc", bEnc, DType.F32, features);
    Check.vector(op, "bDec", bDec, DType.F32, target.width());
    long taken = features;
    if (subset != null) {
      Check.vector(op, "subset", subset, DType.I32, subsetCount);
      taken = subsetCount;
    }
    Check.count(op, "features taken", taken, 1);
    Check.within(op, "features for the encoder's capacity", taken, 1, target.capacity());
    KernelEvents.Launch launch = KernelEvents.begin();
    doPack(target, (int) features, wEnc, bEnc, bDec, subset, (int) taken);
    KernelEvents.end(launch, op, features);
    target.setFeatures((int) taken);
  }

  /**
   * The exact TopK encode, by the contract above.
   *
   * @param kept K, from 1 to the encoder's features
   * @param x (rows, D)
   * @param indices (rows, K) int32, set: the kept features in the total order of their scores
   * @param values (rows, K), set: max(score, 0)
   * @throws ArithmeticException when a score is NaN: it names the row
   */
  public final void encodeTopK(
      PackedEncoder encoder,
      long rows,
      long kept,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    encodeTopK(encoder, rows, kept, Selection.EXACT, x, xStride, indices, values);
  }

  /**
   * The TopK encode by a contract of the caller's choice.
   *
   * @param kept K, from 1 to the encoder's features
   * @param x (rows, D)
   * @param indices (rows, K) int32, set: the kept features in the total order of their scores
   * @param values (rows, K), set: max(score, 0)
   * @throws IllegalArgumentException when this backend does not offer the contract
   * @throws ArithmeticException when a score is NaN: it names the row
   */
  public final void encodeTopK(
      PackedEncoder encoder,
      long rows,
      long kept,
      Selection selection,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    String op = "encodeTopK";
    Check.that(selection != null, op, "selection is missing");
    if (!offers(selection)) {
      Check.that(false, op, selection + " is offered by the backend cuda alone");
    }
    Check.that(encoder != null, op, "encoder is missing");
    encoder.requireOpen();
    Check.count(op, "rows", rows, 0);
    Check.within(op, "K", kept, 1, encoder.features());
    Check.matrix(op, "x", x, rows, encoder.width(), xStride);
    Check.vector(op, "indices", indices, DType.I32, rows * kept);
    Check.vector(op, "values", values, DType.F32, rows * kept);
    KernelEvents.Launch launch = KernelEvents.begin();
    doEncodeTopK(encoder, (int) rows, (int) kept, selection, x, xStride, indices, values);
    KernelEvents.end(launch, op, rows);
  }

  /** Whether this backend can encode by a contract. */
  public boolean offers(Selection selection) {
    return selection == Selection.EXACT;
  }

  /**
   * The exact encode by thresholds: lists each row's features whose scores are above theirs,
   * ascending, with their activations.
   *
   * @param encoder the whole dictionary, not a subset
   * @param x (rows, D)
   * @param indices (rows, F) int32, lists set
   * @param values (rows, F), set: their activations, which may be 0
   * @throws ArithmeticException when a score is NaN: it names the row
   */
  public final void encodeAbove(
      PackedEncoder encoder,
      Thresholds thresholds,
      long rows,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    String op = "encodeAbove";
    int features = whole(op, encoder);
    Check.that(thresholds != null, op, "thresholds are missing");
    thresholds.check(op, features);
    Check.count(op, "rows", rows, 0);
    Check.matrix(op, "x", x, rows, encoder.width(), xStride);
    Check.vector(op, "indices", indices, DType.I32, rows * features);
    Check.vector(op, "values", values, DType.F32, rows * features);
    KernelEvents.Launch launch = KernelEvents.begin();
    doEncodeAbove(encoder, thresholds, (int) rows, x, xStride, indices, values);
    KernelEvents.end(launch, op, rows);
  }

  private static int whole(String op, PackedEncoder encoder) {
    Check.that(encoder != null, op, "encoder is missing");
    encoder.requireOpen();
    Check.that(
        encoder.features() == encoder.capacity(), op, "the encoder holds a subset of the features");
    return encoder.features();
  }

  /**
   * Activations of listed scores: values = max(0, gain[f] score + offset[f]) where the score of f
   * is above threshold[f], and 0 elsewhere.
   *
   * @param indices (rows, K) int32, lists
   * @param scores (rows, K)
   * @param values (rows, K), set; may be scores
   */
  public final void activate(
      long rows,
      long kept,
      long features,
      Buffer indices,
      Buffer scores,
      Thresholds thresholds,
      Buffer values) {
    String op = "activate";
    lists(op, rows, kept, features, indices, "scores", scores);
    Check.that(thresholds != null, op, "thresholds are missing");
    thresholds.check(op, features);
    Check.vector(op, "values", values, DType.F32, rows * kept);
    KernelEvents.Launch launch = KernelEvents.begin();
    doActivate((int) rows, (int) kept, (int) features, indices, scores, thresholds, values);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * Leaves the {@code left} largest positive values of all rows together, by (value descending,
   * place in the lists ascending), or all positive ones where there are fewer; the order within a
   * row stays.
   *
   * @param indices (rows, K) int32, lists, shortened
   * @param values (rows, K), likewise
   * @param least (1), set: the smallest value left, or 0 where none is
   */
  public final void keepLargest(
      long rows, long kept, long features, long left, Buffer indices, Buffer values, Buffer least) {
    String op = "keepLargest";
    lists(op, rows, kept, features, indices, "values", values);
    Check.count(op, "left", left, 1);
    Check.vector(op, "least", least, DType.F32, 1);
    KernelEvents.Launch launch = KernelEvents.begin();
    doKeepLargest((int) rows, (int) kept, (int) features, (int) left, indices, values, least);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * Lists of those entries whose feature is at least {@code low} and below {@code high}, in their
   * order.
   *
   * @param indices (rows, K) int32, lists
   * @param values (rows, K)
   * @param toIndices (rows, K) int32, lists set
   * @param toValues (rows, K), likewise
   */
  public final void slice(
      long rows,
      long kept,
      long features,
      long low,
      long high,
      Buffer indices,
      Buffer values,
      Buffer toIndices,
      Buffer toValues) {
    String op = "slice";
    lists(op, rows, kept, features, indices, "values", values);
    Check.within(op, "low", low, 0, features);
    Check.within(op, "high", high, low, features);
    Check.vector(op, "toIndices", toIndices, DType.I32, rows * kept);
    Check.vector(op, "toValues", toValues, DType.F32, rows * kept);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSlice(
        (int) rows,
        (int) kept,
        (int) features,
        (int) low,
        (int) high,
        indices,
        values,
        toIndices,
        toValues);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * sums[r] = the sum of a row's values, in double, rounded once.
   *
   * @param indices (rows, K) int32, lists
   * @param values (rows, K)
   * @param sums (rows)
   */
  public final void sumValues(
      long rows, long kept, long features, Buffer indices, Buffer values, Buffer sums) {
    String op = "sumValues";
    lists(op, rows, kept, features, indices, "values", values);
    Check.vector(op, "sums", sums, DType.F32, rows);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSumValues((int) rows, (int) kept, (int) features, indices, values, sums);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * y[r] = the sum over i of values[r][i] W_dec[indices[r][i]], in the order of i, + bDec.
   *
   * @param indices (rows, K) int32, lists of features from 0 to features - 1
   * @param values (rows, K)
   * @param wDec (F, D), contiguous
   * @param bDec (D), or null for none
   * @param y (rows, D)
   * @throws IllegalArgumentException when an index is out of range: it names the row
   */
  public final void decode(
      long rows,
      long kept,
      long features,
      long width,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer y,
      long yStride) {
    String op = "decode";
    sparse(op, rows, kept, features, width, indices, values, wDec);
    if (bDec != null) {
      Check.vector(op, "bDec", bDec, DType.F32, width);
    }
    Check.matrix(op, "y", y, rows, width, yStride);
    KernelEvents.Launch launch = KernelEvents.begin();
    doDecode(
        (int) rows,
        (int) kept,
        (int) features,
        (int) width,
        indices,
        values,
        wDec,
        bDec,
        y,
        yStride);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * A reconstruction's error and the gradients of its square, from one gather of the decoder's
   * rows. With x^ the {@link #decode}, e = x - x^ and s = factor / denominator[0]:
   *
   * <pre>
   * error = e            squares[r] = sum over d of e[r][d]^2
   * g = - s e            dz[r][i] = g[r].W_dec[indices[r][i]] where values[r][i] is above 0, else 0
   * </pre>
   *
   * So with a factor of 2, g is the gradient of sum e^2 / denominator in the reconstruction, and dz
   * that in each activation: {@link #backward} takes both. A denominator of 0 gives s = 0.
   *
   * @param x (rows, D)
   * @param factor rounded after the division
   * @param denominator (1), or null for 1
   * @param indices (rows, K) int32, lists of features from 0 to features - 1
   * @param values (rows, K)
   * @param wDec (F, D), contiguous
   * @param bDec (D), or null for none
   * @param error (rows, D) contiguous, set; null where it is not wanted; may be x
   * @param g (rows, D) contiguous, set
   * @param squares (rows), set
   * @param dz (rows, K), set for the entries of the lists; null where it is not wanted
   * @throws IllegalArgumentException when an index is out of range: it names the row
   */
  public final void decodeLoss(
      long rows,
      long kept,
      long features,
      long width,
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
    String op = "decodeLoss";
    sparse(op, rows, kept, features, width, indices, values, wDec);
    Check.matrix(op, "x", x, rows, width, xStride);
    if (denominator != null) {
      Check.vector(op, "denominator", denominator, DType.F32, 1);
    }
    if (bDec != null) {
      Check.vector(op, "bDec", bDec, DType.F32, width);
    }
    if (error != null) {
      Check.matrix(op, "error", error, rows, width, width);
    }
    Check.matrix(op, "g", g, rows, width, width);
    Check.vector(op, "squares", squares, DType.F32, rows);
    if (dz != null) {
      Check.vector(op, "dz", dz, DType.F32, rows * kept);
    }
    KernelEvents.Launch launch = KernelEvents.begin();
    doDecodeLoss(
        (int) rows,
        (int) kept,
        (int) features,
        (int) width,
        x,
        xStride,
        factor,
        denominator,
        indices,
        values,
        wDec,
        bDec,
        error,
        g,
        squares,
        dz);
    KernelEvents.end(launch, op, rows);
  }

  /** {@link #backward} of a loss that depends on activations through the reconstruction alone. */
  public final void backward(
      long rows,
      long kept,
      long features,
      long width,
      Buffer x,
      long xStride,
      Buffer g,
      Buffer indices,
      Buffer values,
      Buffer wEnc,
      Buffer wDec,
      Buffer bDec,
      boolean decoderBias,
      Buffer dWEnc,
      Buffer dWDec,
      Buffer dBEnc,
      Buffer dBDec) {
    backward(
        rows,
        kept,
        features,
        width,
        x,
        xStride,
        g,
        0,
        indices,
        values,
        wEnc,
        wDec,
        bDec,
        decoderBias,
        dWEnc,
        dWDec,
        dBEnc,
        dBDec);
  }

  /**
   * Gradients of a loss through encode and decode, given its gradient in the reconstruction. For
   * each fired entry (value > 0) dz = g[r].W_dec[f] + slope. Added to: dWDec[f] += z g[r]; dWEnc[f]
   * += dz (x[r] - bDec); dBEnc[f] += dz; dBDec += (the sum of g when decoderBias) - the sum of dz
   * W_enc[f]. For one feature the rows are summed in a fixed order and tree.
   *
   * @param x (rows, D)
   * @param g (rows, D) contiguous: the gradient in the reconstruction
   * @param slope the loss's own gradient in each activation: the weight of an L1 penalty
   * @param indices (rows, K) int32, lists of features, distinct within a row
   * @param values (rows, K)
   * @param wEnc (F, D), contiguous
   * @param wDec (F, D), contiguous
   * @param bDec (D)
   * @param decoderBias whether the reconstruction held bDec
   * @param dWEnc (F, D), contiguous
   * @param dWDec (F, D), contiguous
   * @param dBEnc (F)
   * @param dBDec (D)
   */
  public final void backward(
      long rows,
      long kept,
      long features,
      long width,
      Buffer x,
      long xStride,
      Buffer g,
      float slope,
      Buffer indices,
      Buffer values,
      Buffer wEnc,
      Buffer wDec,
      Buffer bDec,
      boolean decoderBias,
      Buffer dWEnc,
      Buffer dWDec,
      Buffer dBEnc,
      Buffer dBDec) {
    backward(
        rows,
        kept,
        features,
        width,
        x,
        xStride,
        g,
        slope,
        indices,
        values,
        null,
        wEnc,
        wDec,
        bDec,
        decoderBias,
        dWEnc,
        dWDec,
        dBEnc,
        dBDec);
  }

  /**
   * {@link #backward} with the dots g[r].W_dec[f] that {@link #decodeLoss} has found already: the
   * decoder's rows are not gathered again.
   *
   * @param dz (rows, K), those of this g, for the entries with a value above 0; or null
   */
  public final void backward(
      long rows,
      long kept,
      long features,
      long width,
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
    String op = "saeBackward";
    sparse(op, rows, kept, features, width, indices, values, wDec);
    Check.matrix(op, "x", x, rows, width, xStride);
    Check.matrix(op, "g", g, rows, width, width);
    if (dz != null) {
      Check.vector(op, "dz", dz, DType.F32, rows * kept);
    }
    Check.matrix(op, "wEnc", wEnc, features, width, width);
    Check.vector(op, "bDec", bDec, DType.F32, width);
    Check.matrix(op, "dWEnc", dWEnc, features, width, width);
    Check.matrix(op, "dWDec", dWDec, features, width, width);
    Check.vector(op, "dBEnc", dBEnc, DType.F32, features);
    Check.vector(op, "dBDec", dBDec, DType.F32, width);
    KernelEvents.Launch launch = KernelEvents.begin();
    doBackward(
        (int) rows,
        (int) kept,
        (int) features,
        (int) width,
        x,
        xStride,
        g,
        slope,
        indices,
        values,
        dz,
        wEnc,
        wDec,
        bDec,
        decoderBias,
        dWEnc,
        dWDec,
        dBEnc,
        dBDec);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * The straight-through gradient of thresholds (Rajamanoharan et al. 2024, "Jumping ahead", eq. 11
   * and 12), by the rectangle of width {@code bandwidth}: for each entry whose score is within
   * bandwidth / 2 of threshold[f], dThreshold[f] -= (threshold[f] g[r].W_dec[f] + slope) /
   * bandwidth. For one feature the rows are summed in a fixed order.
   *
   * @param g (rows, D) contiguous: the gradient in the reconstruction
   * @param slope the loss's gradient in the number of features that fire: the weight of an L0
   *     penalty
   * @param indices (rows, K) int32, lists
   * @param scores (rows, K)
   * @param threshold (F)
   * @param wDec (F, D), contiguous
   * @param dThreshold (F)
   */
  public final void thresholdBackward(
      long rows,
      long kept,
      long features,
      long width,
      float bandwidth,
      Buffer g,
      float slope,
      Buffer indices,
      Buffer scores,
      Buffer threshold,
      Buffer wDec,
      Buffer dThreshold) {
    String op = "thresholdBackward";
    lists(op, rows, kept, features, indices, "scores", scores);
    Check.count(op, "width", width, 1);
    Check.matrix(op, "wDec", wDec, features, width, width);
    Check.that(
        bandwidth > 0 && bandwidth < Float.POSITIVE_INFINITY,
        op,
        "the bandwidth must be a number above 0");
    Check.matrix(op, "g", g, rows, width, width);
    Check.vector(op, "threshold", threshold, DType.F32, features);
    Check.vector(op, "dThreshold", dThreshold, DType.F32, features);
    KernelEvents.Launch launch = KernelEvents.begin();
    doThresholdBackward(
        (int) rows,
        (int) kept,
        (int) features,
        (int) width,
        bandwidth,
        g,
        slope,
        indices,
        scores,
        threshold,
        wDec,
        dThreshold);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * to[r] = beta to[r] + factors[r] w[r].
   *
   * @param factors (rows)
   * @param w (rows, cols), contiguous
   * @param beta 0 means that to is not read
   * @param to (rows, cols), contiguous
   */
  public final void scaleRows(
      long rows, long cols, Buffer factors, Buffer w, float beta, Buffer to) {
    Check.count("scaleRows", "rows", rows, 0);
    Check.count("scaleRows", "cols", cols, 1);
    Check.vector("scaleRows", "factors", factors, DType.F32, rows);
    Check.matrix("scaleRows", "w", w, rows, cols, cols);
    Check.matrix("scaleRows", "to", to, rows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doScaleRows((int) rows, (int) cols, factors, w, beta, to);
    KernelEvents.end(launch, "scaleRows", rows);
  }

  /**
   * dots[r] = a[r].b[r], summed in double.
   *
   * @param a (rows, cols), contiguous
   * @param b (rows, cols), contiguous
   * @param dots (rows)
   */
  public final void dotRows(long rows, long cols, Buffer a, Buffer b, Buffer dots) {
    Check.count("dotRows", "rows", rows, 0);
    Check.count("dotRows", "cols", cols, 1);
    Check.matrix("dotRows", "a", a, rows, cols, cols);
    Check.matrix("dotRows", "b", b, rows, cols, cols);
    Check.vector("dotRows", "dots", dots, DType.F32, rows);
    KernelEvents.Launch launch = KernelEvents.begin();
    doDotRows((int) rows, (int) cols, a, b, dots);
    KernelEvents.end(launch, "dotRows", rows);
  }

  /**
   * Takes from each row of dw its part along the same row of w, so that a step keeps the row's norm
   * to first order: dw -= (dw.w / w.w) w. A row of zeros is left alone.
   *
   * @param w (rows, cols), contiguous
   * @param dw (rows, cols), contiguous
   */
  public final void projectRows(long rows, long cols, Buffer w, Buffer dw) {
    Check.count("projectRows", "rows", rows, 0);
    Check.count("projectRows", "cols", cols, 1);
    Check.matrix("projectRows", "w", w, rows, cols, cols);
    Check.matrix("projectRows", "dw", dw, rows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doProjectRows((int) rows, (int) cols, w, dw);
    KernelEvents.end(launch, "projectRows", rows);
  }

  /**
   * Scales each row of w to unit Euclidean norm; a row of zeros is left alone.
   *
   * @param w (rows, cols), contiguous
   */
  public final void normaliseRows(long rows, long cols, Buffer w) {
    Check.count("normaliseRows", "rows", rows, 0);
    Check.count("normaliseRows", "cols", cols, 1);
    Check.matrix("normaliseRows", "w", w, rows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doNormaliseRows((int) rows, (int) cols, w);
    KernelEvents.end(launch, "normaliseRows", rows);
  }

  /**
   * counts[f] += the number of rows in which feature f fired (kept, with a value above 0).
   *
   * @param counts (F) int32
   */
  public final void countFired(
      long rows, long kept, long features, Buffer indices, Buffer values, Buffer counts) {
    String op = "countFired";
    lists(op, rows, kept, features, indices, "values", values);
    Check.vector(op, "counts", counts, DType.I32, features);
    KernelEvents.Launch launch = KernelEvents.begin();
    doCountFired((int) rows, (int) kept, (int) features, indices, values, counts);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * The steered decode: encodes each row, edits, and writes the change back as the table says. With
   * {@link EditTable.Write#DELTA}, y = x + the sum, over every feature whose activation the edits
   * changed (evicted and admitted ones too), of the change times its decoder row, features
   * ascending; an empty table, or edits that change nothing, give x bit for bit. With {@link
   * EditTable.Write#REPLACE}, y = the decode of the edited activations, features ascending, + bDec.
   *
   * @param encoder the whole dictionary, not a subset
   * @param wDec (F, D), contiguous
   * @param bDec (D)
   * @param kept K
   * @param x (rows, D)
   * @param edits features from 0 to F - 1
   * @param y (rows, D); may be x
   * @param indices (rows, K) int32, set: the encode of x before any edit
   * @param values (rows, K), set: likewise
   * @throws ArithmeticException when a score is NaN: it names the row
   */
  public final void steer(
      PackedEncoder encoder,
      Buffer wDec,
      Buffer bDec,
      long rows,
      long kept,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride,
      Buffer indices,
      Buffer values) {
    String op = "steer";
    int features = whole(op, encoder);
    Check.within(op, "K", kept, 1, features);
    steered(op, encoder, wDec, bDec, rows, kept, x, xStride, edits, y, yStride, indices, values);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSteer(
        encoder,
        wDec,
        bDec,
        (int) rows,
        (int) kept,
        x,
        xStride,
        edits,
        y,
        yStride,
        indices,
        values);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * What {@link #steer} does after its encode, for rows whose lists are there already: the edits of
   * a table at {@link EditTable.Stage#POST_SELECT}, written back as the table says. Steering the
   * same rows in several ways so costs one encode.
   *
   * @param indices (rows, K) int32, lists of features from 0 to features - 1
   * @param values (rows, K), their activations
   * @param wDec (F, D), contiguous
   * @param bDec (D)
   * @param x (rows, D), what was encoded
   * @param y (rows, D), set; may be x
   * @throws IllegalArgumentException when an index is out of range: it names the row
   * @throws ArithmeticException when an edit gives NaN: it names the row
   */
  public final void applyEdits(
      long rows,
      long kept,
      long features,
      long width,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride) {
    String op = "applyEdits";
    sparse(op, rows, kept, features, width, indices, values, wDec);
    Check.vector(op, "bDec", bDec, DType.F32, width);
    Check.matrix(op, "x", x, rows, width, xStride);
    Check.matrix(op, "y", y, rows, width, yStride);
    requireEdits(op, edits, (int) features);
    Check.that(
        edits.stage() == EditTable.Stage.POST_SELECT,
        op,
        "edits before the selection need a new one: call steer");
    KernelEvents.Launch launch = KernelEvents.begin();
    doApplyEdits(
        (int) rows,
        (int) kept,
        (int) features,
        (int) width,
        indices,
        values,
        wDec,
        bDec,
        x,
        xStride,
        edits,
        y,
        yStride);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * {@link #steer} where features fire by thresholds. No edit evicts or admits another feature; one
   * at {@link EditTable.Stage#PRE_SELECT} changes the score that is held against the threshold.
   *
   * @param indices (rows, F) int32, lists set: the encode of x before any edit
   * @param values (rows, F), set: likewise
   */
  public final void steerAbove(
      PackedEncoder encoder,
      Thresholds thresholds,
      Buffer wDec,
      Buffer bDec,
      long rows,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride,
      Buffer indices,
      Buffer values) {
    String op = "steerAbove";
    int features = whole(op, encoder);
    Check.that(thresholds != null, op, "thresholds are missing");
    thresholds.check(op, features);
    steered(
        op, encoder, wDec, bDec, rows, features, x, xStride, edits, y, yStride, indices, values);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSteerAbove(
        encoder,
        thresholds,
        wDec,
        bDec,
        (int) rows,
        x,
        xStride,
        edits,
        y,
        yStride,
        indices,
        values);
    KernelEvents.end(launch, op, rows);
  }

  private static void steered(
      String op,
      PackedEncoder encoder,
      Buffer wDec,
      Buffer bDec,
      long rows,
      long kept,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride,
      Buffer indices,
      Buffer values) {
    int features = encoder.features();
    sparse(op, rows, kept, features, encoder.width(), indices, values, wDec);
    Check.vector(op, "bDec", bDec, DType.F32, encoder.width());
    Check.matrix(op, "x", x, rows, encoder.width(), xStride);
    Check.matrix(op, "y", y, rows, encoder.width(), yStride);
    requireEdits(op, edits, features);
  }

  private static void requireEdits(String op, EditTable edits, int features) {
    Check.that(edits != null, op, "edits are missing; an empty table edits nothing");
    if (edits.count() > 0) {
      int last = edits.feature(edits.count() - 1);
      if (last >= features) {
        Check.that(false, op, "an edit names feature " + last + " of " + features);
      }
    }
  }

  private static void lists(
      String op, long rows, long kept, long features, Buffer indices, String name, Buffer values) {
    Check.count(op, "rows", rows, 0);
    Check.count(op, "K", kept, 1);
    Check.count(op, "features", features, 1);
    Check.vector(op, "indices", indices, DType.I32, rows * kept);
    Check.vector(op, name, values, DType.F32, rows * kept);
  }

  private static void sparse(
      String op,
      long rows,
      long kept,
      long features,
      long width,
      Buffer indices,
      Buffer values,
      Buffer wDec) {
    lists(op, rows, kept, features, indices, "values", values);
    Check.count(op, "width", width, 1);
    Check.matrix(op, "wDec", wDec, features, width, width);
  }

  /** The factor s of {@link #decodeLoss}. Backends on the host call it. */
  static float lossScale(double factor, Buffer denominator) {
    double under =
        denominator == null
            ? 1
            : denominator.segment().getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, 0);
    return under == 0 ? 0 : (float) (factor / under);
  }

  /** Refuses a subset that does not ascend within the features. Backends on the host call it. */
  static void checkSubset(Buffer subset, int taken, int features) {
    if (subset == null) {
      return;
    }
    var segment = subset.segment();
    int before = -1;
    for (int i = 0; i < taken; i++) {
      int feature = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i);
      if (feature <= before || feature >= features) {
        throw new IllegalArgumentException(
            "pack: subset["
                + i
                + "] = "
                + feature
                + ", but it must ascend strictly from 0 to "
                + (features - 1));
      }
      before = feature;
    }
  }

  abstract PackedEncoder newEncoder(int capacity, int width, boolean compressed);

  abstract void doPack(
      PackedEncoder target,
      int features,
      Buffer wEnc,
      Buffer bEnc,
      Buffer bDec,
      Buffer subset,
      int taken);

  /**
   * @param selection one that this backend {@linkplain #offers offers}
   */
  abstract void doEncodeTopK(
      PackedEncoder encoder,
      int rows,
      int kept,
      Selection selection,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values);

  abstract void doEncodeAbove(
      PackedEncoder encoder,
      Thresholds thresholds,
      int rows,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values);

  abstract void doActivate(
      int rows,
      int kept,
      int features,
      Buffer indices,
      Buffer scores,
      Thresholds thresholds,
      Buffer values);

  abstract void doKeepLargest(
      int rows, int kept, int features, int left, Buffer indices, Buffer values, Buffer least);

  abstract void doSlice(
      int rows,
      int kept,
      int features,
      int low,
      int high,
      Buffer indices,
      Buffer values,
      Buffer toIndices,
      Buffer toValues);

  abstract void doSumValues(
      int rows, int kept, int features, Buffer indices, Buffer values, Buffer sums);

  abstract void doDecode(
      int rows,
      int kept,
      int features,
      int width,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer y,
      long yStride);

  abstract void doDecodeLoss(
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
      Buffer dz);

  abstract void doBackward(
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
      Buffer dBDec);

  abstract void doThresholdBackward(
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
      Buffer dThreshold);

  abstract void doScaleRows(int rows, int cols, Buffer factors, Buffer w, float beta, Buffer to);

  abstract void doDotRows(int rows, int cols, Buffer a, Buffer b, Buffer dots);

  abstract void doProjectRows(int rows, int cols, Buffer w, Buffer dw);

  abstract void doNormaliseRows(int rows, int cols, Buffer w);

  abstract void doCountFired(
      int rows, int kept, int features, Buffer indices, Buffer values, Buffer counts);

  abstract void doSteer(
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
      Buffer values);

  abstract void doApplyEdits(
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
      long yStride);

  abstract void doSteerAbove(
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
      Buffer values);
}
