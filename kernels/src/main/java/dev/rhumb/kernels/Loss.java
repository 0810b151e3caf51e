package dev.rhumb.kernels;

/** Losses. See {@link Kernels} for the rules that all operations share. */
public abstract class Loss {
  Loss() {}

  /**
   * Full softmax cross-entropy of a linear output, fused: loss = the mean over rows of -log
   * softmax(h w^T)[target], its gradient in h set and in w added. The scores are made in tiles; no
   * tensor of rows x classes exists.
   *
   * @param h (rows, width), contiguous
   * @param w (classes, width), contiguous
   * @param targets (rows) int32, each from 0 to classes - 1
   * @param loss (1): the mean loss, summed in double by a fixed tree; 0 for no rows
   * @param dh (rows, width), contiguous, or null for the loss alone
   * @param dw (classes, width), contiguous; null exactly when dh is
   * @throws IllegalArgumentException when a target is out of range: it names the row
   */
  public final void softmaxCrossEntropy(
      long rows,
      long classes,
      long width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    String op = "softmaxCrossEntropy";
    linear(op, rows, classes, width, h, w, targets, loss, dh, dw);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSoftmaxCrossEntropy((int) rows, (int) classes, (int) width, h, w, targets, loss, dh, dw);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * Softmax cross-entropy over each row's target and one set of negatives that all rows share, the
   * scores corrected for how the negatives were drawn: loss = the mean over rows of
   *
   * <pre>
   * -log( e^(s_t + targetBias[t]) / (e^(s_t + targetBias[t]) + sum_j e^(s_j + bias[j])) ),   s_c = h . w_c
   * </pre>
   *
   * over the negatives j that are not the row's target t (an accidental hit counts as not drawn).
   * With bias = log(times drawn) - log q and targetBias = -log q, q the probability of a draw, this
   * is sampled softmax with the logQ correction (Bengio, Senecal 2008; Jean et al. 2015; Yi et al.
   * 2019).
   *
   * @param negatives how many there are, from 0; no tensor of rows x negatives exists, but of some
   *     hundred rows x negatives
   * @param h (rows, width), contiguous
   * @param w (classes, width), contiguous
   * @param targets (rows) int32, each from 0 to classes - 1
   * @param sample (negatives) int32, ascending without repeats, each from 0 to classes - 1
   * @param bias (negatives), added to the score of a negative
   * @param targetBias (classes), added to the score of a target; read at targets alone
   * @param loss (1): the mean loss, summed in double by a fixed tree; 0 for no rows
   * @param dh (rows, width), contiguous, set; or null for the loss alone
   * @param dw (classes, width), contiguous, the rows of targets and negatives added to; null
   *     exactly when dh is
   * @throws IllegalArgumentException when a target or a negative is out of range: it names which
   */
  public final void sampledSoftmaxCrossEntropy(
      long rows,
      long negatives,
      long classes,
      long width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer sample,
      Buffer bias,
      Buffer targetBias,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    String op = "sampledSoftmaxCrossEntropy";
    Check.count(op, "negatives", negatives, 0);
    linear(op, rows, classes, width, h, w, targets, loss, dh, dw);
    Check.vector(op, "sample", sample, DType.I32, negatives);
    Check.vector(op, "bias", bias, DType.F32, negatives);
    Check.vector(op, "targetBias", targetBias, DType.F32, classes);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSampledSoftmaxCrossEntropy(
        (int) rows,
        (int) negatives,
        (int) classes,
        (int) width,
        h,
        w,
        targets,
        sample,
        bias,
        targetBias,
        loss,
        dh,
        dw);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * Binary cross-entropy of each row's target against negatives of its own, drawn here: loss = the
   * mean over rows of
   *
   * <pre>
   * -( positiveWeight log sigmoid(s_t) + sum_j log(1 - sigmoid(s_j)) ) / (1 + negatives),   s_c = h . w_c
   * </pre>
   *
   * With positiveWeight 1 this is BCE as in SASRec (Kang, McAuley 2018), else gBCE (Petrov,
   * Macdonald 2023, eq. 14), whose log sigmoid^beta is beta log sigmoid.
   *
   * <p>Negatives are drawn with repeats, each from all classes but 0 (padding), the row's target
   * and what the row's group excludes. The j-th of row r is the one at place floor(bits n / 2^32)
   * of the n that may be drawn, in ascending order, with bits those of {@link Philox} at (r, j).
   *
   * @param negatives for each row, from 1 to 2^20
   * @param classes at least 3, so that there is something to draw
   * @param h (rows, width), contiguous
   * @param w (classes, width), contiguous
   * @param targets (rows) int32, each from 1 to classes - 1
   * @param groups groups of rows that exclude the same classes, their rows' targets among them; 0
   *     with the next three null: a row excludes nothing but its own target
   * @param groupOffsets (groups + 1) int32, from 0 to rows: group g is the rows from
   *     groupOffsets[g] to groupOffsets[g + 1] - 1
   * @param excludedOffsets (groups + 1) int32, from 0: what group g excludes stands in excluded
   *     from excludedOffsets[g] to excludedOffsets[g + 1] - 1
   * @param excluded int32, of each group ascending without repeats, from 1 to classes - 1
   * @param stream which draw: one for each step
   * @param positiveWeight weight of the target's part, 0 or more
   * @param loss (1): the mean loss, summed in double by a fixed tree; 0 for no rows
   * @param dh (rows, width), contiguous, set; or null for the loss alone
   * @param dw (classes, width), contiguous, the rows of targets and negatives added to; null
   *     exactly when dh is
   * @throws IllegalArgumentException when a target is out of range (it names the row), or a group
   *     leaves nothing to draw (it names the group)
   */
  public final void binaryCrossEntropy(
      long rows,
      long negatives,
      long classes,
      long width,
      Buffer h,
      Buffer w,
      Buffer targets,
      long groups,
      Buffer groupOffsets,
      Buffer excludedOffsets,
      Buffer excluded,
      long key,
      long stream,
      float positiveWeight,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    String op = "binaryCrossEntropy";
    Check.within(op, "negatives", negatives, 1, 1 << 20);
    Check.count(op, "classes", classes, 3);
    Check.within(op, "positiveWeight", positiveWeight, 0, Float.MAX_VALUE);
    linear(op, rows, classes, width, h, w, targets, loss, dh, dw);
    Check.count(op, "groups", groups, 0);
    if (groups > 0) {
      Check.vector(op, "groupOffsets", groupOffsets, DType.I32, groups + 1);
      Check.vector(op, "excludedOffsets", excludedOffsets, DType.I32, groups + 1);
      Check.vector(op, "excluded", excluded, DType.I32, 0);
    }
    KernelEvents.Launch launch = KernelEvents.begin();
    doBinaryCrossEntropy(
        (int) rows,
        (int) negatives,
        (int) classes,
        (int) width,
        h,
        w,
        targets,
        (int) groups,
        groupOffsets,
        excludedOffsets,
        excluded,
        key,
        stream,
        positiveWeight,
        loss,
        dh,
        dw);
    KernelEvents.end(launch, op, rows);
  }

  private static void linear(
      String op,
      long rows,
      long classes,
      long width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    Check.count(op, "rows", rows, 0);
    Check.count(op, "classes", classes, 1);
    Check.count(op, "width", width, 1);
    Check.matrix(op, "h", h, rows, width, width);
    Check.matrix(op, "w", w, classes, width, width);
    Check.vector(op, "targets", targets, DType.I32, rows);
    Check.vector(op, "loss", loss, DType.F32, 1);
    Check.that((dh == null) == (dw == null), op, "dh and dw go together");
    if (dh != null) {
      Check.matrix(op, "dh", dh, rows, width, width);
      Check.matrix(op, "dw", dw, classes, width, width);
    }
  }

  abstract void doSampledSoftmaxCrossEntropy(
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
      Buffer dw);

  abstract void doBinaryCrossEntropy(
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
      Buffer dw);

  abstract void doSoftmaxCrossEntropy(
      int rows,
      int classes,
      int width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer loss,
      Buffer dh,
      Buffer dw);
}
