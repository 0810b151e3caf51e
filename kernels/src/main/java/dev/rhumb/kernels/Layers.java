package dev.rhumb.kernels;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Element-wise and row-wise layers, forward and backward. See {@link Kernels} for the rules that
 * all operations share.
 */
public abstract class Layers {
  Layers() {}

  /**
   * Layer normalisation of each row: y = (x - mean) / sqrt(variance + eps) gamma + beta, the
   * variance without Bessel's correction. y may be x.
   *
   * @param x (rows, cols)
   * @param gamma (cols)
   * @param beta (cols)
   * @param y (rows, cols)
   * @param mean (rows), for the backward pass, or null
   * @param rstd (rows), 1 / sqrt(variance + eps), or null
   */
  public final void layerNorm(
      long rows,
      long cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer beta,
      Buffer y,
      long yStride,
      Buffer mean,
      Buffer rstd) {
    Check.count("layerNorm", "rows", rows, 0);
    Check.count("layerNorm", "cols", cols, 1);
    Check.matrix("layerNorm", "x", x, rows, cols, xStride);
    Check.vector("layerNorm", "gamma", gamma, DType.F32, cols);
    Check.vector("layerNorm", "beta", beta, DType.F32, cols);
    Check.matrix("layerNorm", "y", y, rows, cols, yStride);
    Check.that((mean == null) == (rstd == null), "layerNorm", "mean and rstd go together");
    if (mean != null) {
      Check.vector("layerNorm", "mean", mean, DType.F32, rows);
      Check.vector("layerNorm", "rstd", rstd, DType.F32, rows);
    }
    KernelEvents.Launch launch = KernelEvents.begin();
    doLayerNorm((int) rows, (int) cols, eps, x, xStride, gamma, beta, y, yStride, mean, rstd);
    KernelEvents.end(launch, "layerNorm", rows);
  }

  /**
   * The gradient of {@link #layerNorm}: dx = dxBeta dx + its part, dgamma and dbeta add theirs. dx
   * may be dy when dxBeta is 0.
   *
   * @param dy (rows, cols), contiguous
   * @param x (rows, cols), contiguous, the input of the forward pass
   * @param mean (rows), from the forward pass
   * @param rstd (rows), from the forward pass
   * @param dxBeta 0 means that dx is not read
   * @param dx (rows, cols), contiguous
   * @param dgamma (cols)
   * @param dbeta (cols)
   */
  public final void layerNormBackward(
      long rows,
      long cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer mean,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma,
      Buffer dbeta) {
    Check.count("layerNormBackward", "rows", rows, 0);
    Check.count("layerNormBackward", "cols", cols, 1);
    Check.matrix("layerNormBackward", "dy", dy, rows, cols, cols);
    Check.matrix("layerNormBackward", "x", x, rows, cols, cols);
    Check.vector("layerNormBackward", "gamma", gamma, DType.F32, cols);
    Check.vector("layerNormBackward", "mean", mean, DType.F32, rows);
    Check.vector("layerNormBackward", "rstd", rstd, DType.F32, rows);
    Check.matrix("layerNormBackward", "dx", dx, rows, cols, cols);
    Check.vector("layerNormBackward", "dgamma", dgamma, DType.F32, cols);
    Check.vector("layerNormBackward", "dbeta", dbeta, DType.F32, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doLayerNormBackward(
        (int) rows, (int) cols, dy, x, gamma, mean, rstd, dxBeta, dx, dgamma, dbeta);
    KernelEvents.end(launch, "layerNormBackward", rows);
  }

  /**
   * Root mean square normalisation of each row (Zhang, Sennrich 2019, eq. 4): y = x /
   * sqrt(mean(x^2) + eps) gamma. y may be x.
   *
   * @param x (rows, cols)
   * @param gamma (cols)
   * @param y (rows, cols)
   * @param rstd (rows), 1 / sqrt(mean(x^2) + eps), for the backward pass, or null
   */
  public final void rmsNorm(
      long rows,
      long cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer y,
      long yStride,
      Buffer rstd) {
    Check.count("rmsNorm", "rows", rows, 0);
    Check.count("rmsNorm", "cols", cols, 1);
    Check.matrix("rmsNorm", "x", x, rows, cols, xStride);
    Check.vector("rmsNorm", "gamma", gamma, DType.F32, cols);
    Check.matrix("rmsNorm", "y", y, rows, cols, yStride);
    if (rstd != null) {
      Check.vector("rmsNorm", "rstd", rstd, DType.F32, rows);
    }
    KernelEvents.Launch launch = KernelEvents.begin();
    doRmsNorm((int) rows, (int) cols, eps, x, xStride, gamma, y, yStride, rstd);
    KernelEvents.end(launch, "rmsNorm", rows);
  }

  /**
   * The gradient of {@link #rmsNorm}: dx = dxBeta dx + its part, dgamma adds its own. dx may be dy
   * when dxBeta is 0.
   *
   * @param dy (rows, cols), contiguous
   * @param x (rows, cols), contiguous, the input of the forward pass
   * @param rstd (rows), from the forward pass
   * @param dxBeta 0 means that dx is not read
   * @param dx (rows, cols), contiguous
   * @param dgamma (cols)
   */
  public final void rmsNormBackward(
      long rows,
      long cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma) {
    Check.count("rmsNormBackward", "rows", rows, 0);
    Check.count("rmsNormBackward", "cols", cols, 1);
    Check.matrix("rmsNormBackward", "dy", dy, rows, cols, cols);
    Check.matrix("rmsNormBackward", "x", x, rows, cols, cols);
    Check.vector("rmsNormBackward", "gamma", gamma, DType.F32, cols);
    Check.vector("rmsNormBackward", "rstd", rstd, DType.F32, rows);
    Check.matrix("rmsNormBackward", "dx", dx, rows, cols, cols);
    Check.vector("rmsNormBackward", "dgamma", dgamma, DType.F32, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doRmsNormBackward((int) rows, (int) cols, dy, x, gamma, rstd, dxBeta, dx, dgamma);
    KernelEvents.end(launch, "rmsNormBackward", rows);
  }

  /**
   * The gate of SwiGLU (Shazeer 2020, eq. 6): y = silu(g) u, where row r of x is g (cols) and then
   * u (cols).
   *
   * @param x (rows, 2 cols), contiguous
   * @param y (rows, cols), contiguous; not x
   */
  public final void swiglu(long rows, long cols, Buffer x, Buffer y) {
    Check.count("swiglu", "rows", rows, 0);
    Check.within("swiglu", "cols", cols, 1, Integer.MAX_VALUE / 2);
    Check.matrix("swiglu", "x", x, rows, 2 * cols, 2 * cols);
    Check.matrix("swiglu", "y", y, rows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSwiglu((int) rows, (int) cols, x, y);
    KernelEvents.end(launch, "swiglu", rows);
  }

  /**
   * The gradient of {@link #swiglu}; dx is set. dx may be x.
   *
   * @param x (rows, 2 cols), contiguous, the input of the forward pass
   * @param dy (rows, cols), contiguous
   * @param dx (rows, 2 cols), contiguous
   */
  public final void swigluBackward(long rows, long cols, Buffer x, Buffer dy, Buffer dx) {
    Check.count("swigluBackward", "rows", rows, 0);
    Check.within("swigluBackward", "cols", cols, 1, Integer.MAX_VALUE / 2);
    Check.matrix("swigluBackward", "x", x, rows, 2 * cols, 2 * cols);
    Check.matrix("swigluBackward", "dy", dy, rows, cols, cols);
    Check.matrix("swigluBackward", "dx", dx, rows, 2 * cols, 2 * cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSwigluBackward((int) rows, (int) cols, x, dy, dx);
    KernelEvents.end(launch, "swigluBackward", rows);
  }

  /**
   * Rotary positions (Su et al. 2021, eq. 34), in place: in each head the pair of columns i and i +
   * headWidth / 2 turns by the angle of its row's position and i, whose cosine and sine {@code
   * angles} holds. The inverse turns back: it is the backward pass.
   *
   * @param headWidth even
   * @param positions (rows), each from 0 to tableRows - 1
   * @param angles (tableRows, headWidth), contiguous: the cosines of i from 0 to headWidth / 2 - 1,
   *     then their sines
   * @param x (rows, heads headWidth)
   * @throws IllegalArgumentException when a position is out of range: it names the row
   */
  public final void rotary(
      long rows,
      long heads,
      long headWidth,
      Buffer positions,
      long tableRows,
      Buffer angles,
      boolean inverse,
      Buffer x,
      long xStride) {
    Check.count("rotary", "rows", rows, 0);
    Check.count("rotary", "heads", heads, 1);
    Check.count("rotary", "headWidth", headWidth, 1);
    if (headWidth % 2 != 0) {
      Check.that(false, "rotary", "headWidth = " + headWidth + ", but it must be even");
    }
    Check.count("rotary", "tableRows", tableRows, 0);
    Check.vector("rotary", "positions", positions, DType.I32, rows);
    Check.matrix("rotary", "angles", angles, tableRows, headWidth, headWidth);
    Check.matrix("rotary", "x", x, rows, heads * headWidth, xStride);
    KernelEvents.Launch launch = KernelEvents.begin();
    doRotary(
        (int) rows,
        (int) heads,
        (int) headWidth,
        positions,
        (int) tableRows,
        angles,
        inverse,
        x,
        xStride);
    KernelEvents.end(launch, "rotary", rows);
  }

  /**
   * y = act(x), element by element; y may be x.
   *
   * @param x (count)
   * @param y (count)
   */
  public final void activation(Activation activation, long count, Buffer x, Buffer y) {
    Check.that(activation != null, "activation", "activation is missing");
    Check.elements("activation", count);
    Check.vector("activation", "x", x, DType.F32, count);
    Check.vector("activation", "y", y, DType.F32, count);
    KernelEvents.Launch launch = KernelEvents.begin();
    doActivation(activation, count, x, y);
    KernelEvents.end(launch, "activation", count);
  }

  /**
   * dx = dy act'(x), element by element; dx may be dy. The derivative of ReLU at 0 is 0, so that
   * for ReLU the output may stand in for the input.
   *
   * @param x (count), the input of the forward pass
   * @param dy (count)
   * @param dx (count)
   */
  public final void activationBackward(
      Activation activation, long count, Buffer x, Buffer dy, Buffer dx) {
    Check.that(activation != null, "activationBackward", "activation is missing");
    Check.elements("activationBackward", count);
    Check.vector("activationBackward", "x", x, DType.F32, count);
    Check.vector("activationBackward", "dy", dy, DType.F32, count);
    Check.vector("activationBackward", "dx", dx, DType.F32, count);
    KernelEvents.Launch launch = KernelEvents.begin();
    doActivationBackward(activation, count, x, dy, dx);
    KernelEvents.end(launch, "activationBackward", count);
  }

  /**
   * Dropout: y = x / (1 - p) where the bits of {@link Philox} at (row, col) are at least {@link
   * Philox#keepThreshold}, else 0. The same call on a gradient is its backward pass. y may be x; p
   * = 0 copies.
   *
   * @param p from 0 up to, not including, 1
   * @param stream which mask: one for each step and place
   * @param x (rows, cols), contiguous
   * @param y (rows, cols), contiguous
   */
  public final void dropout(
      long rows, long cols, float p, long key, long stream, Buffer x, Buffer y) {
    Check.count("dropout", "rows", rows, 0);
    Check.count("dropout", "cols", cols, 1);
    Check.dropout("dropout", p);
    Check.matrix("dropout", "x", x, rows, cols, cols);
    Check.matrix("dropout", "y", y, rows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doDropout((int) rows, (int) cols, p, key, stream, x, y);
    KernelEvents.end(launch, "dropout", rows);
  }

  /**
   * y[r] = beta y[r] + scale table[ids[r]]: an embedding, or a choice of rows.
   *
   * @param ids (rows), each from 0 to tableRows - 1
   * @param table (tableRows, cols), contiguous
   * @param beta 0 means that y is not read
   * @param y (rows, cols), contiguous
   * @throws IllegalArgumentException when an id is out of range: it names the row
   */
  public final void gather(
      long rows,
      long cols,
      Buffer ids,
      long tableRows,
      Buffer table,
      float scale,
      float beta,
      Buffer y) {
    Check.count("gather", "rows", rows, 0);
    Check.count("gather", "cols", cols, 1);
    Check.count("gather", "tableRows", tableRows, 0);
    Check.vector("gather", "ids", ids, DType.I32, rows);
    Check.matrix("gather", "table", table, tableRows, cols, cols);
    Check.matrix("gather", "y", y, rows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doGather((int) rows, (int) cols, ids, (int) tableRows, table, scale, beta, y);
    KernelEvents.end(launch, "gather", rows);
  }

  /**
   * table[ids[r]] += scale x[r], the rows of one id in ascending order: the gradient of {@link
   * #gather}.
   *
   * @param ids (rows), each from 0 to tableRows - 1
   * @param x (rows, cols), contiguous
   * @param table (tableRows, cols), contiguous
   * @throws IllegalArgumentException when an id is out of range: it names the row
   */
  public final void scatterAdd(
      long rows, long cols, Buffer ids, Buffer x, float scale, long tableRows, Buffer table) {
    Check.count("scatterAdd", "rows", rows, 0);
    Check.count("scatterAdd", "cols", cols, 1);
    Check.count("scatterAdd", "tableRows", tableRows, 0);
    Check.vector("scatterAdd", "ids", ids, DType.I32, rows);
    Check.matrix("scatterAdd", "x", x, rows, cols, cols);
    Check.matrix("scatterAdd", "table", table, tableRows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doScatterAdd((int) rows, (int) cols, ids, x, scale, (int) tableRows, table);
    KernelEvents.end(launch, "scatterAdd", rows);
  }

  /**
   * table[ids[r]] = x[r]: rows put back where {@link #gather} found them.
   *
   * @param ids (rows), distinct, each from 0 to tableRows - 1
   * @param x (rows, cols), contiguous
   * @param table (tableRows, cols), contiguous
   * @throws IllegalArgumentException when an id is out of range: it names the row; on the host
   *     nothing is written then, on a GPU the other rows are
   */
  public final void scatter(
      long rows, long cols, Buffer ids, Buffer x, long tableRows, Buffer table) {
    Check.count("scatter", "rows", rows, 0);
    Check.count("scatter", "cols", cols, 1);
    Check.count("scatter", "tableRows", tableRows, 0);
    Check.vector("scatter", "ids", ids, DType.I32, rows);
    Check.matrix("scatter", "x", x, rows, cols, cols);
    Check.matrix("scatter", "table", table, tableRows, cols, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doScatter((int) rows, (int) cols, ids, x, (int) tableRows, table);
    KernelEvents.end(launch, "scatter", rows);
  }

  abstract void doLayerNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer beta,
      Buffer y,
      long yStride,
      Buffer mean,
      Buffer rstd);

  abstract void doLayerNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer mean,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma,
      Buffer dbeta);

  abstract void doRmsNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer y,
      long yStride,
      Buffer rstd);

  abstract void doRmsNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma);

  abstract void doSwiglu(int rows, int cols, Buffer x, Buffer y);

  abstract void doSwigluBackward(int rows, int cols, Buffer x, Buffer dy, Buffer dx);

  abstract void doRotary(
      int rows,
      int heads,
      int headWidth,
      Buffer positions,
      int tableRows,
      Buffer angles,
      boolean inverse,
      Buffer x,
      long xStride);

  abstract void doActivation(Activation activation, long count, Buffer x, Buffer y);

  abstract void doActivationBackward(
      Activation activation, long count, Buffer x, Buffer dy, Buffer dx);

  abstract void doDropout(int rows, int cols, float p, long key, long stream, Buffer x, Buffer y);

  abstract void doGather(
      int rows,
      int cols,
      Buffer ids,
      int tableRows,
      Buffer table,
      float scale,
      float beta,
      Buffer y);

  abstract void doScatterAdd(
      int rows, int cols, Buffer ids, Buffer x, float scale, int tableRows, Buffer table);

  /** Copies on the host, which the backends there share: there is no arithmetic in it. */
  void doScatter(int rows, int cols, Buffer ids, Buffer x, int tableRows, Buffer table) {
    MemorySegment id = ids.segment();
    for (int r = 0; r < rows; r++) {
      int to = id.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, r);
      if (to < 0 || to >= tableRows) {
        throw new IllegalArgumentException(
            "scatter: ids[" + r + "] = " + to + ", but the table has " + tableRows + " rows");
      }
    }
    long bytes = 4L * cols;
    for (int r = 0; r < rows; r++) {
      long to = id.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, r);
      MemorySegment.copy(x.segment(), r * bytes, table.segment(), to * bytes, bytes);
    }
  }
}
