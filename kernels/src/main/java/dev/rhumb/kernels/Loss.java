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
    doSoftmaxCrossEntropy((int) rows, (int) classes, (int) width, h, w, targets, loss, dh, dw);
  }

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
