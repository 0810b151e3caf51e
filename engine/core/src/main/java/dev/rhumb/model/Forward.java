package dev.rhumb.model;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Dense;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Layers;

/**
 * The forward pass in steps, the same for training and inference; {@code dropout} is 0 in
 * inference.
 */
final class Forward {
  /** Streams of dropout masks that one step may use. */
  static final int STREAMS = 512;

  private static final int ATTENTION = 1;
  private static final int PROJECTION = 2;
  private static final int UP = 3;
  private static final int DOWN = 4;

  /** A block's attention: from queries, keys and values in {@code qkv} to {@code attention}. */
  interface Attend {
    void run(int block, Activations.Block activations);
  }

  private final Dense dense;
  private final Layers layers;
  private final ModelConfig config;
  private final Parameters parameters;
  private final Parameters.Block[] blocks;
  private final Buffer positions;
  private final Buffer normWeight;
  private final Buffer normBias;
  private final Attend attend;
  final Activations activations;

  float dropout;
  long key;
  long stream;

  Forward(Kernels kernels, Model model, Activations activations, Attend attend) {
    dense = kernels.dense();
    layers = kernels.layers();
    config = model.config();
    parameters = model.parameters();
    blocks = new Parameters.Block[config.layers()];
    for (int i = 0; i < blocks.length; i++) {
      blocks[i] = parameters.block(i);
    }
    positions = parameters.get("position_embedding.weight");
    normWeight = parameters.get("final_norm.weight");
    normBias = parameters.get("final_norm.bias");
    this.activations = activations;
    this.attend = attend;
  }

  /** The dropout stream of the embeddings. */
  long embeddingStream() {
    return stream * STREAMS;
  }

  /** The dropout stream of a place in a block. */
  private long stream(int block, int place) {
    return stream * STREAMS + 8L * (block + 1) + place;
  }

  long attentionStream(int block) {
    return stream(block, ATTENTION);
  }

  long projectionStream(int block) {
    return stream(block, PROJECTION);
  }

  long upStream(int block) {
    return stream(block, UP);
  }

  long downStream(int block) {
    return stream(block, DOWN);
  }

  void embed(long n, Buffer items, Buffer places) {
    long d = config.width();
    Buffer h = activations.embedded;
    layers.gather(
        n,
        d,
        items,
        config.items() + 1L,
        parameters.get(Parameters.ITEMS),
        config.embeddingScale(),
        0,
        h);
    layers.gather(n, d, places, config.maxLength(), positions, 1, 1, h);
    drop(n, d, embeddingStream(), h);
  }

  /** A block up to what its MLP gives. */
  void blockToMlp(int i, long n) {
    boolean sasrec = config.style() == BlockStyle.SASREC;
    long d = config.width();
    long m = config.feedForward();
    Parameters.Block p = blocks[i];
    Activations.Block a = activations.blocks[i];
    norm(n, a.in(), p.norm1Weight(), p.norm1Bias(), a.norm1(), a.mean1(), a.rstd1());
    if (sasrec) {
      // Queries from the normalised rows, keys and values from the rows as they are.
      linear(n, d, d, a.norm1(), p.inWeight(), p.inBias(), a.qkv(), 3 * d);
      linear(
          n,
          d,
          2 * d,
          a.in(),
          p.inWeight().slice(d * d, 2 * d * d),
          p.inBias().slice(d, 2 * d),
          a.qkv().slice(d, a.qkv().count() - d),
          3 * d);
    } else {
      linear(n, d, 3 * d, a.norm1(), p.inWeight(), p.inBias(), a.qkv(), 3 * d);
    }
    attend.run(i, a);
    linear(n, d, d, a.attention(), p.outWeight(), p.outBias(), a.middle(), d);
    if (sasrec) {
      dense.add(n * d, 1, a.norm1(), 1, a.middle(), a.middle());
    } else {
      drop(n, d, projectionStream(i), a.middle());
      dense.add(n * d, 1, a.in(), 1, a.middle(), a.middle());
    }
    norm(n, a.middle(), p.norm2Weight(), p.norm2Bias(), a.norm2(), a.mean2(), a.rstd2());
    linear(n, d, m, a.norm2(), p.upWeight(), p.upBias(), a.up(), m);
    if (sasrec) {
      drop(n, m, upStream(i), a.up());
      layers.activation(Activation.RELU, n * m, a.up(), a.active());
    } else {
      layers.activation(Activation.GELU, n * m, a.up(), a.active());
    }
    linear(n, m, d, a.active(), p.downWeight(), p.downBias(), a.mlp(), d);
    drop(n, d, downStream(i), a.mlp());
  }

  /** The rest of a block: the residual around its MLP. */
  void blockFromMlp(int i, long n) {
    Activations.Block a = activations.blocks[i];
    Buffer residual = config.style() == BlockStyle.SASREC ? a.norm2() : a.middle();
    dense.add(n * config.width(), 1, residual, 1, a.mlp(), a.out());
  }

  void finalNorm(long n) {
    norm(
        n,
        activations.blocks[config.layers() - 1].out(),
        normWeight,
        normBias,
        activations.hidden,
        activations.mean,
        activations.rstd);
  }

  private void norm(
      long n, Buffer x, Buffer weight, Buffer bias, Buffer y, Buffer mean, Buffer rstd) {
    long d = config.width();
    layers.layerNorm(n, d, config.normEps(), x, d, weight, bias, y, d, mean, rstd);
  }

  /** y (n, outputs) = x (n, inputs) weight^T + bias. */
  private void linear(
      long n,
      long inputs,
      long outputs,
      Buffer x,
      Buffer weight,
      Buffer bias,
      Buffer y,
      long yStride) {
    dense.gemm(
        false,
        true,
        n,
        outputs,
        inputs,
        1,
        x,
        inputs,
        weight,
        inputs,
        0,
        y,
        yStride,
        bias,
        Activation.NONE);
  }

  private void drop(long rows, long cols, long stream, Buffer x) {
    if (dropout > 0) {
      layers.dropout(rows, cols, dropout, key, stream, x, x);
    }
  }
}
