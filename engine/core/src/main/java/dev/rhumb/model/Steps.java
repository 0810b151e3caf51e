package dev.rhumb.model;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Dense;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Layers;
import dev.rhumb.model.Parameters.Linear;
import dev.rhumb.model.Parameters.Norm;

/**
 * The steps that blocks are made of, forward and backward, over the {@link #rows} of the pass under
 * way.
 *
 * <p>Ownership: owns the table of rotary angles.
 */
final class Steps implements AutoCloseable {
  /** Base of the rotary angles (Su et al. 2021, eq. 15). */
  private static final double ROTARY_BASE = 10_000;

  private final Dense dense;
  private final Layers layers;
  private final ModelConfig config;
  private final long d;
  private final Buffer angles;

  /** N of the pass under way. */
  long rows;

  /** Where each row stands in its sequence, (N) int32. */
  Buffer positions;

  /** Dropout's probability, 0 in inference; key and stream of its masks. */
  float dropout;

  long key;
  long stream;

  Steps(Kernels kernels, ModelConfig config) {
    dense = kernels.dense();
    layers = kernels.layers();
    this.config = config;
    d = config.width();
    angles = config.style() == BlockStyle.MODERN ? angles(kernels, config) : null;
  }

  /**
   * Position t turns the pair i by t / base^(2i / headWidth): (T, headWidth), cosines and sines.
   */
  private static Buffer angles(Kernels kernels, ModelConfig config) {
    int half = config.headWidth() / 2;
    float[] table = new float[config.maxLength() * 2 * half];
    for (int t = 0; t < config.maxLength(); t++) {
      for (int i = 0; i < half; i++) {
        double angle = t * Math.pow(ROTARY_BASE, -(double) i / half);
        table[t * 2 * half + i] = (float) Math.cos(angle);
        table[t * 2 * half + half + i] = (float) Math.sin(angle);
      }
    }
    Buffer buffer = kernels.allocate(DType.F32, table.length);
    buffer.put(0, table, 0, table.length);
    return buffer;
  }

  // Embeddings.

  /** y (N, D) = the scaled embeddings of items, with those of their positions. */
  void embed(Buffer items, Buffer table, Buffer positionTable, Buffer y) {
    layers.gather(rows, d, items, config.items() + 1L, table, config.embeddingScale(), 0, y);
    if (positionTable != null) {
      layers.gather(rows, d, positions, config.maxLength(), positionTable, 1, 1, y);
    }
  }

  void embedBackward(Buffer items, Buffer dy, Buffer dTable, Buffer dPositionTable) {
    layers.scatterAdd(rows, d, items, dy, config.embeddingScale(), config.items() + 1L, dTable);
    if (dPositionTable != null) {
      layers.scatterAdd(rows, d, positions, dy, 1, config.maxLength(), dPositionTable);
    }
  }

  // Linear layers.

  /** y (N, outputs) = x (N, inputs) weight^T + bias. */
  void linear(Buffer x, Linear layer, Buffer y) {
    linear(x, layer, y, layer.outputs());
  }

  void linear(Buffer x, Linear layer, Buffer y, long yStride) {
    linear(x, layer, 0, y, yStride, Activation.NONE);
  }

  /**
   * y = x weight^T + bias, beside a residual: added to it where y is the residual itself, and
   * {@link #addResidual} then has nothing left to do.
   */
  void linearBeside(Buffer residual, Buffer x, Linear layer, Buffer y) {
    linear(x, layer, residual == y ? 1 : 0, y, layer.outputs(), Activation.NONE);
  }

  /** y (N, D) = y + residual, where {@link #linearBeside} has not done it. */
  void addResidual(Buffer residual, Buffer y) {
    if (residual != y) {
      add(residual, y, y);
    }
  }

  /**
   * up (N, M) = x weight^T + bias; its activation too where the activated has no place of its own,
   * and {@link #activate} then has nothing left to do.
   */
  void linearUp(Buffer x, Linear layer, Buffer up, Buffer active) {
    Activation activation = up == active ? config.wiring().activation() : Activation.NONE;
    linear(x, layer, 0, up, layer.outputs(), activation);
  }

  private void linear(
      Buffer x, Linear layer, float beta, Buffer y, long yStride, Activation activation) {
    long inputs = layer.inputs();
    dense.gemm(
        false,
        true,
        rows,
        layer.outputs(),
        inputs,
        1,
        x,
        inputs,
        layer.weight(),
        inputs,
        beta,
        y,
        yStride,
        layer.bias(),
        activation);
  }

  /** dx = beta dx + dy weight; the gradient's weight adds dy^T x, its bias the sums of dy. */
  void linearBackward(Buffer x, Linear layer, Buffer dy, float beta, Buffer dx, Linear gradient) {
    linearBackward(x, layer, dy, layer.outputs(), beta, dx, gradient);
  }

  void linearBackward(
      Buffer x, Linear layer, Buffer dy, long dyStride, float beta, Buffer dx, Linear gradient) {
    long inputs = layer.inputs();
    long outputs = layer.outputs();
    dense.gemm(
        true,
        false,
        outputs,
        inputs,
        rows,
        1,
        dy,
        dyStride,
        x,
        inputs,
        1,
        gradient.weight(),
        inputs);
    if (gradient.bias() != null) {
      dense.columnSum(rows, outputs, dy, dyStride, 1, gradient.bias());
    }
    dense.gemm(
        false,
        false,
        rows,
        inputs,
        outputs,
        1,
        dy,
        dyStride,
        layer.weight(),
        inputs,
        beta,
        dx,
        inputs);
  }

  // Norms.

  /** y (N, D) = norm(x); y may be x. */
  void norm(Buffer x, Norm norm, Buffer y, Buffer mean, Buffer rstd) {
    if (norm.bias() == null) {
      layers.rmsNorm(rows, d, config.normEps(), x, d, norm.weight(), y, d, rstd);
    } else {
      layers.layerNorm(
          rows, d, config.normEps(), x, d, norm.weight(), norm.bias(), y, d, mean, rstd);
    }
  }

  /** dx = beta dx + the norm's gradient in x; dx may be dy when beta is 0. */
  void normBackward(
      Buffer dy,
      Buffer x,
      Norm norm,
      Buffer mean,
      Buffer rstd,
      float beta,
      Buffer dx,
      Norm gradient) {
    if (norm.bias() == null) {
      layers.rmsNormBackward(rows, d, dy, x, norm.weight(), rstd, beta, dx, gradient.weight());
    } else {
      layers.layerNormBackward(
          rows, d, dy, x, norm.weight(), mean, rstd, beta, dx, gradient.weight(), gradient.bias());
    }
  }

  // Element by element.

  /** y (N, D) = a + b. */
  void add(Buffer a, Buffer b, Buffer y) {
    dense.add(rows * d, 1, a, 1, b, y);
  }

  /** y (N, M) = act(x); where x is y, {@link #linearUp} has done it. */
  void activate(Buffer x, Buffer y) {
    if (x != y) {
      layers.activation(config.wiring().activation(), rows * config.feedForward(), x, y);
    }
  }

  void activateBackward(Buffer x, Buffer dy, Buffer dx) {
    layers.activationBackward(config.wiring().activation(), rows * config.feedForward(), x, dy, dx);
  }

  /** y (N, M) = silu(g) * u, x (N, 2M) = g and u side by side. */
  void gate(Buffer x, Buffer y) {
    layers.swiglu(rows, config.feedForward(), x, y);
  }

  void gateBackward(Buffer x, Buffer dy, Buffer dx) {
    layers.swigluBackward(rows, config.feedForward(), x, dy, dx);
  }

  /** Turns the queries and keys of qkv (N, 3D) by their positions, in place. */
  void rotate(Buffer qkv) {
    rotate(qkv, false);
  }

  void rotateBackward(Buffer dQkv) {
    rotate(dQkv, true);
  }

  /** Turns the queries of qkv (N, 3D) alone, or its keys if it starts at them. */
  void rotateOne(Buffer qkv) {
    rotate(config.heads(), qkv, false);
  }

  private void rotate(Buffer qkv, boolean inverse) {
    rotate(2 * config.heads(), qkv, inverse);
  }

  private void rotate(long heads, Buffer qkv, boolean inverse) {
    layers.rotary(
        rows,
        heads,
        config.headWidth(),
        positions,
        config.maxLength(),
        angles,
        inverse,
        qkv,
        3 * d);
  }

  /** Dropout on x (N, cols), in place: of an output, or of its gradient. */
  void drop(long maskStream, long cols, Buffer x) {
    if (dropout > 0) {
      layers.dropout(rows, cols, dropout, key, maskStream, x, x);
    }
  }

  @Override
  public void close() {
    if (angles != null) {
      angles.close();
    }
  }
}
