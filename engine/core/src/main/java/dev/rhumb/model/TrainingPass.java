package dev.rhumb.model;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Dense;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Layers;

/**
 * Forward and backward pass of an {@link Objective} at every position, averaged over the rows of a
 * batch.
 *
 * <p>Ownership: owns its workspace and the gradients, planned when built; not the model or the
 * kernels. Threads: one at a time.
 */
public final class TrainingPass implements AutoCloseable {
  private final Dense dense;
  private final Layers layers;
  private final BatchAttention attention;
  private final LossHead head;
  private final Model model;
  private final ModelConfig config;
  private final Activations activations;
  private final Forward forward;
  private final Parameters gradients;
  private final Buffer memory;
  private final Buffer loss;
  private final Buffer dh;
  private final Buffer dMiddle;
  private final Buffer dUp;
  private final Buffer dAttention;
  private final Buffer dQkv;
  private final float[] lossValue = new float[1];
  private Batch batch;

  /** A workspace for the full cross-entropy of batches of up to so many rows. */
  public TrainingPass(Kernels kernels, Model model, int maxRows) {
    this(kernels, model, new Objective.CrossEntropy(), null, maxRows);
  }

  /**
   * A workspace for batches of up to so many rows.
   *
   * @param targetCounts how often each item, by id, is a target in training; not read, and may be
   *     null, but for negatives by popularity or in-batch
   * @throws IllegalArgumentException when the objective does not fit the catalogue
   */
  public TrainingPass(
      Kernels kernels, Model model, Objective objective, long[] targetCounts, int maxRows) {
    this.model = model;
    config = model.config();
    head = LossHead.of(kernels, config, objective, targetCounts, maxRows);
    dense = kernels.dense();
    layers = kernels.layers();
    attention = new BatchAttention(kernels, config);
    activations = new Activations(kernels, config, maxRows, true);
    forward = new Forward(kernels, model, activations, this::attend);
    gradients = new Parameters(kernels, config);
    long n = maxRows;
    long d = config.width();
    long m = config.feedForward();
    memory = kernels.allocate(DType.F32, 16 + n * (6 * d + m));
    loss = memory.slice(0, 1);
    dh = memory.slice(16, n * d);
    dMiddle = memory.slice(16 + n * d, n * d);
    dAttention = memory.slice(16 + 2 * n * d, n * d);
    dQkv = memory.slice(16 + 3 * n * d, 3 * n * d);
    dUp = memory.slice(16 + 6 * n * d, n * m);
  }

  /**
   * Sets {@link #gradients} to those of the batch's mean loss.
   *
   * @param batch filled by {@link Batch#addWithTargets} and sealed
   * @param key of the dropout masks and the negatives
   * @param stream the number of this step: another one, other masks and negatives
   * @return the mean loss
   */
  public float run(Batch batch, long key, long stream) {
    this.batch = batch;
    long n = batch.rows();
    long d = config.width();
    forward.dropout = config.dropout();
    forward.key = key;
    forward.stream = stream;
    forward.embed(n, batch.items(), batch.positions());
    for (int i = 0; i < config.layers(); i++) {
      forward.blockToMlp(i, n);
      forward.blockFromMlp(i, n);
    }
    forward.finalNorm(n);

    gradients.flat().zero();
    Buffer dItems = gradients.get(Parameters.ITEMS);
    head.run(batch, activations.hidden, model.itemTable(), key, stream, loss, dh, dItems);
    normBackward(
        n,
        dh,
        activations.blocks[config.layers() - 1].out(),
        "final_norm",
        activations.mean,
        activations.rstd,
        0,
        dh);
    for (int i = config.layers() - 1; i >= 0; i--) {
      if (config.style() == BlockStyle.SASREC) {
        sasrecBackward(i);
      } else {
        gptBackward(i);
      }
    }
    drop(n, d, forward.embeddingStream(), dh);
    layers.scatterAdd(
        n, d, batch.items(), dh, config.embeddingScale(), config.items() + 1L, dItems);
    layers.scatterAdd(
        n,
        d,
        batch.positions(),
        dh,
        1,
        config.maxLength(),
        gradients.get("position_embedding.weight"));
    loss.get(0, lossValue, 0, 1);
    return lossValue[0];
  }

  /** The gradients of the last {@link #run}; owned by this object. */
  public Parameters gradients() {
    return gradients;
  }

  @Override
  public void close() {
    head.close();
    activations.close();
    gradients.close();
    memory.close();
  }

  /** dh (N, D): on entry the gradient in the block's output, on return in its input. */
  private void sasrecBackward(int i) {
    long n = batch.rows();
    long d = config.width();
    long m = config.feedForward();
    Parameters.Block p = model.parameters().block(i);
    Parameters.Block g = gradients.block(i);
    Activations.Block a = activations.blocks[i];
    // out = norm2 + dropout(down(relu(dropout(up(norm2))))): dMiddle becomes the gradient in norm2.
    dMiddle.copyFrom(dh);
    drop(n, d, forward.downStream(i), dh);
    linearBackward(
        n, m, d, a.active(), m, p.downWeight(), dh, d, 0, dUp, g.downWeight(), g.downBias());
    layers.activationBackward(Activation.RELU, n * m, a.up(), dUp, dUp);
    drop(n, m, forward.upStream(i), dUp);
    linearBackward(
        n, d, m, a.norm2(), d, p.upWeight(), dUp, m, 1, dMiddle, g.upWeight(), g.upBias());
    normBackward(n, dMiddle, a.middle(), block(i, 2), a.mean2(), a.rstd2(), 0, dMiddle);
    // middle = norm1 + out(attention): dMiddle becomes the gradient in norm1, dh in the block's
    // input.
    linearBackward(
        n,
        d,
        d,
        a.attention(),
        d,
        p.outWeight(),
        dMiddle,
        d,
        0,
        dAttention,
        g.outWeight(),
        g.outBias());
    attentionBackward(i);
    linearBackward(
        n,
        d,
        d,
        a.norm1(),
        d,
        p.inWeight().slice(0, d * d),
        dQkv,
        3 * d,
        1,
        dMiddle,
        g.inWeight().slice(0, d * d),
        g.inBias().slice(0, d));
    linearBackward(
        n,
        d,
        2 * d,
        a.in(),
        d,
        p.inWeight().slice(d * d, 2 * d * d),
        dQkv.slice(d, dQkv.count() - d),
        3 * d,
        0,
        dh,
        g.inWeight().slice(d * d, 2 * d * d),
        g.inBias().slice(d, 2 * d));
    normBackward(n, dMiddle, a.in(), block(i, 1), a.mean1(), a.rstd1(), 1, dh);
  }

  /** dh (N, D): on entry the gradient in the block's output, on return in its input. */
  private void gptBackward(int i) {
    long n = batch.rows();
    long d = config.width();
    long m = config.feedForward();
    Parameters.Block p = model.parameters().block(i);
    Parameters.Block g = gradients.block(i);
    Activations.Block a = activations.blocks[i];
    // out = middle + dropout(down(gelu(up(norm2)))).
    dMiddle.copyFrom(dh);
    drop(n, d, forward.downStream(i), dMiddle);
    linearBackward(
        n, m, d, a.active(), m, p.downWeight(), dMiddle, d, 0, dUp, g.downWeight(), g.downBias());
    layers.activationBackward(Activation.GELU, n * m, a.up(), dUp, dUp);
    linearBackward(
        n, d, m, a.norm2(), d, p.upWeight(), dUp, m, 0, dMiddle, g.upWeight(), g.upBias());
    normBackward(n, dMiddle, a.middle(), block(i, 2), a.mean2(), a.rstd2(), 1, dh);
    // middle = in + dropout(out(attention)).
    dMiddle.copyFrom(dh);
    drop(n, d, forward.projectionStream(i), dMiddle);
    linearBackward(
        n,
        d,
        d,
        a.attention(),
        d,
        p.outWeight(),
        dMiddle,
        d,
        0,
        dAttention,
        g.outWeight(),
        g.outBias());
    attentionBackward(i);
    linearBackward(
        n, d, 3 * d, a.norm1(), d, p.inWeight(), dQkv, 3 * d, 0, dMiddle, g.inWeight(), g.inBias());
    normBackward(n, dMiddle, a.in(), block(i, 1), a.mean1(), a.rstd1(), 1, dh);
  }

  private static String block(int i, int norm) {
    return "blocks." + i + ".norm" + norm;
  }

  private void attend(int i, Activations.Block a) {
    attention.forward(batch, a, config.dropout(), forward.key, forward.attentionStream(i));
  }

  private void attentionBackward(int i) {
    attention.backward(
        batch,
        activations.blocks[i],
        config.dropout(),
        forward.key,
        forward.attentionStream(i),
        dAttention,
        dQkv);
  }

  /**
   * For y = x weight^T + bias: dx = beta dx + dy weight, dWeight += dy^T x, dBias += the column
   * sums of dy.
   */
  private void linearBackward(
      long n,
      long inputs,
      long outputs,
      Buffer x,
      long xStride,
      Buffer weight,
      Buffer dy,
      long dyStride,
      float beta,
      Buffer dx,
      Buffer dWeight,
      Buffer dBias) {
    dense.gemm(true, false, outputs, inputs, n, 1, dy, dyStride, x, xStride, 1, dWeight, inputs);
    dense.columnSum(n, outputs, dy, dyStride, 1, dBias);
    dense.gemm(false, false, n, inputs, outputs, 1, dy, dyStride, weight, inputs, beta, dx, inputs);
  }

  private void normBackward(
      long n, Buffer dy, Buffer x, String name, Buffer mean, Buffer rstd, float beta, Buffer dx) {
    layers.layerNormBackward(
        n,
        config.width(),
        dy,
        x,
        model.parameters().get(name + ".weight"),
        mean,
        rstd,
        beta,
        dx,
        gradients.get(name + ".weight"),
        gradients.get(name + ".bias"));
  }

  private void drop(long rows, long cols, long stream, Buffer x) {
    if (config.dropout() > 0) {
      layers.dropout(rows, cols, config.dropout(), forward.key, stream, x, x);
    }
  }
}
