package dev.rhumb.kernels;

import java.lang.foreign.ValueLayout;

/**
 * Causal multi-head attention over packed sequences, without a T x T tensor. The scores of a head
 * are scaled by 1 / sqrt(headWidth). See {@link Kernels} for the rules that all operations share.
 *
 * <p>Packed: the rows of all B sequences stand one after another, with no padding; sequence b is
 * the rows {@code offsets[b]} up to, not including, {@code offsets[b + 1]}. Heads lie side by side
 * in a row: head h is the columns {@code h headWidth} to {@code (h + 1) headWidth - 1}.
 *
 * <p>Dropout applies to the attention weights after the softmax, by the bits of {@link Philox} at
 * (row * heads + head, key's place in its sequence), where row is the query's among all rows of the
 * batch.
 *
 * <p>A row depends on rows of its own sequence and head alone: a NaN elsewhere changes no bit of
 * it.
 *
 * <p>On the CUDA backend with {@code rhumb.cuda.precision=bf16}, {@link #forward} and {@link
 * #backward} take q, k, v and dOut as bf16, where heads are up to 128 wide. The weights and the
 * gradients of scores are rounded to bf16 too, each where it is multiplied by one of these. Scores,
 * exponentials and all sums are float32.
 */
public abstract class Attention {
  Attention() {}

  /**
   * out[i] = sum over j &lt;= i of dropout(softmax(q[i].k[j] / sqrt(headWidth))) v[j], in each
   * sequence and head.
   *
   * @param sequences B
   * @param offsets (B + 1) int32, ascending from 0; its last is the number of rows N
   * @param rows N, as in offsets
   * @param q (N, heads headWidth)
   * @param k (N, heads headWidth)
   * @param v (N, heads headWidth)
   * @param p dropout's probability, from 0 up to, not including, 1
   * @param out (N, heads headWidth)
   * @param logSumExp (N, heads) contiguous: the logarithm of each softmax's denominator, for the
   *     backward pass, or null
   */
  public final void forward(
      long sequences,
      Buffer offsets,
      long rows,
      long heads,
      long headWidth,
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
    String op = "attention";
    shape(op, sequences, offsets, rows, heads, headWidth, p);
    long cols = heads * headWidth;
    Check.matrix(op, "q", q, rows, cols, qStride);
    Check.matrix(op, "k", k, rows, cols, kStride);
    Check.matrix(op, "v", v, rows, cols, vStride);
    Check.matrix(op, "out", out, rows, cols, outStride);
    if (logSumExp != null) {
      Check.vector(op, "logSumExp", logSumExp, DType.F32, rows * heads);
    }
    KernelEvents.Launch launch = KernelEvents.begin();
    doForward(
        (int) sequences,
        offsets,
        (int) rows,
        (int) heads,
        (int) headWidth,
        q,
        qStride,
        k,
        kStride,
        v,
        vStride,
        p,
        key,
        stream,
        out,
        outStride,
        logSumExp);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * The gradients of {@link #forward} with the same arguments; dq, dk and dv are set, not added to.
   * The weights are computed again from logSumExp.
   *
   * @param out (N, heads headWidth), what the forward pass gave
   * @param dOut (N, heads headWidth)
   * @param dq (N, heads headWidth)
   * @param dk (N, heads headWidth)
   * @param dv (N, heads headWidth)
   */
  public final void backward(
      long sequences,
      Buffer offsets,
      long rows,
      long heads,
      long headWidth,
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
    String op = "attentionBackward";
    shape(op, sequences, offsets, rows, heads, headWidth, p);
    long cols = heads * headWidth;
    Check.matrix(op, "q", q, rows, cols, qStride);
    Check.matrix(op, "k", k, rows, cols, kStride);
    Check.matrix(op, "v", v, rows, cols, vStride);
    Check.matrix(op, "out", out, rows, cols, outStride);
    Check.vector(op, "logSumExp", logSumExp, DType.F32, rows * heads);
    Check.matrix(op, "dOut", dOut, rows, cols, dOutStride);
    Check.matrix(op, "dq", dq, rows, cols, dqStride);
    Check.matrix(op, "dk", dk, rows, cols, dkStride);
    Check.matrix(op, "dv", dv, rows, cols, dvStride);
    KernelEvents.Launch launch = KernelEvents.begin();
    doBackward(
        (int) sequences,
        offsets,
        (int) rows,
        (int) heads,
        (int) headWidth,
        q,
        qStride,
        k,
        kStride,
        v,
        vStride,
        p,
        key,
        stream,
        out,
        outStride,
        logSumExp,
        dOut,
        dOutStride,
        dq,
        dqStride,
        dk,
        dkStride,
        dv,
        dvStride);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * Adds to a {@link #forward} without dropout the keys of padding: before sequence b stand window
   * - length(b) further positions, if that is above 0, which all have the one key and the one value
   * given. With l the logSumExp and s = q.padKey / sqrt(headWidth) + log(positions), all of them
   * together weigh w = 1 / (1 + e^(l - s)), so that out = out + w (padValue - out).
   *
   * @param offsets (B + 1) int32, as in the forward pass
   * @param window positions with the padding
   * @param q (N, heads headWidth)
   * @param padKey (heads headWidth)
   * @param padValue (heads headWidth)
   * @param logSumExp (N, heads) contiguous, of the forward pass; not changed
   * @param out (N, heads headWidth), of the forward pass; changed in place
   */
  public final void addPadding(
      long sequences,
      Buffer offsets,
      long rows,
      long window,
      long heads,
      long headWidth,
      Buffer q,
      long qStride,
      Buffer padKey,
      Buffer padValue,
      Buffer logSumExp,
      Buffer out,
      long outStride) {
    String op = "addPadding";
    shape(op, sequences, offsets, rows, heads, headWidth, 0);
    Check.count(op, "window", window, 0);
    long cols = heads * headWidth;
    Check.matrix(op, "q", q, rows, cols, qStride);
    Check.vector(op, "padKey", padKey, DType.F32, cols);
    Check.vector(op, "padValue", padValue, DType.F32, cols);
    Check.vector(op, "logSumExp", logSumExp, DType.F32, rows * heads);
    Check.matrix(op, "out", out, rows, cols, outStride);
    KernelEvents.Launch launch = KernelEvents.begin();
    doAddPadding(
        (int) sequences,
        offsets,
        (int) rows,
        (int) window,
        (int) heads,
        (int) headWidth,
        q,
        qStride,
        padKey,
        padValue,
        logSumExp,
        out,
        outStride);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * One query against a history's cached keys and values: out = softmax(q.k[j] / sqrt(headWidth))
   * v[j] over j &lt; keys.
   *
   * @param keys how many, at least 1
   * @param q (heads headWidth)
   * @param k (keys, heads headWidth)
   * @param v (keys, heads headWidth)
   * @param out (heads headWidth)
   */
  public final void last(
      long keys,
      long heads,
      long headWidth,
      Buffer q,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      Buffer out) {
    String op = "attentionLast";
    Check.count(op, "keys", keys, 1);
    Check.count(op, "heads", heads, 1);
    Check.count(op, "headWidth", headWidth, 1);
    long cols = heads * headWidth;
    Check.vector(op, "q", q, DType.F32, cols);
    Check.matrix(op, "k", k, keys, cols, kStride);
    Check.matrix(op, "v", v, keys, cols, vStride);
    Check.vector(op, "out", out, DType.F32, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doLast((int) keys, (int) heads, (int) headWidth, q, k, kStride, v, vStride, out);
    KernelEvents.end(launch, op, keys);
  }

  /**
   * {@link #last} for each of many sequences: out[b] = the attention of q[b] over the keys and
   * values of sequence b, which are packed.
   *
   * @param sequences B
   * @param offsets (B + 1) int32, ascending from 0; its last is the number of rows N; no sequence
   *     is empty
   * @param rows N, as in offsets
   * @param q (B, heads headWidth)
   * @param k (N, heads headWidth)
   * @param v (N, heads headWidth)
   * @param out (B, heads headWidth)
   */
  public final void lastEach(
      long sequences,
      Buffer offsets,
      long rows,
      long heads,
      long headWidth,
      Buffer q,
      long qStride,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      Buffer out,
      long outStride) {
    String op = "attentionLastEach";
    shape(op, sequences, offsets, rows, heads, headWidth, 0);
    long cols = heads * headWidth;
    Check.matrix(op, "q", q, sequences, cols, qStride);
    Check.matrix(op, "k", k, rows, cols, kStride);
    Check.matrix(op, "v", v, rows, cols, vStride);
    Check.matrix(op, "out", out, sequences, cols, outStride);
    KernelEvents.Launch launch = KernelEvents.begin();
    doLastEach(
        (int) sequences,
        offsets,
        (int) rows,
        (int) heads,
        (int) headWidth,
        q,
        qStride,
        k,
        kStride,
        v,
        vStride,
        out,
        outStride);
    KernelEvents.end(launch, op, rows);
  }

  private static void shape(
      String op, long sequences, Buffer offsets, long rows, long heads, long headWidth, float p) {
    Check.count(op, "sequences", sequences, 0);
    Check.count(op, "rows", rows, 0);
    Check.count(op, "heads", heads, 1);
    Check.count(op, "headWidth", headWidth, 1);
    Check.vector(op, "offsets", offsets, DType.I32, sequences + 1);
    Check.dropout(op, p);
  }

  /** One after another; a backend that has better overrides it. */
  void doLastEach(
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
      Buffer out,
      long outStride) {
    checkOffsets("attentionLastEach", sequences, offsets, rows);
    var segment = offsets.segment();
    for (int b = 0; b < sequences; b++) {
      int first = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, b);
      int keys = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, b + 1) - first;
      Check.count("attentionLastEach", "keys of a sequence", keys, 1);
      doLast(
          keys,
          heads,
          headWidth,
          from(q, b * qStride),
          from(k, first * kStride),
          kStride,
          from(v, first * vStride),
          vStride,
          from(out, b * outStride));
    }
  }

  /** One sequence makes no garbage. */
  private static Buffer from(Buffer buffer, long offset) {
    return offset == 0 ? buffer : buffer.slice(offset, buffer.count() - offset);
  }

  /** Refuses offsets that do not ascend from 0 to rows. Backends on the host call it. */
  static void checkOffsets(String op, int sequences, Buffer offsets, int rows) {
    var segment = offsets.segment();
    int before = 0;
    for (int b = 0; b <= sequences; b++) {
      int at = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, b);
      if (at < before || at > rows || (b == 0 && at != 0) || (b == sequences && at != rows)) {
        throw new IllegalArgumentException(
            op
                + ": offsets["
                + b
                + "] = "
                + at
                + ", but they must ascend from 0 to rows = "
                + rows);
      }
      before = at;
    }
  }

  abstract void doForward(
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
      Buffer logSumExp);

  abstract void doBackward(
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
      long dvStride);

  abstract void doAddPadding(
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
      long outStride);

  abstract void doLast(
      int keys,
      int heads,
      int headWidth,
      Buffer q,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      Buffer out);
}
