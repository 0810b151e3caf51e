package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * The workspace of a forward pass over up to N rows, planned once. A training pass keeps every
 * block's intermediate results for the backward pass; inference lets all blocks share one set, in
 * which a block's output overwrites its input.
 */
final class Activations implements AutoCloseable {
  /**
   * One block's results: {@code in} (N, D) its input; {@code norm1}, {@code norm2} (N, D) after its
   * norms, means and rstds (N); {@code qkv} (N, 3D); {@code attention} (N, D) before and {@code
   * middle} (N, D) after its output projection and residual; {@code logSumExp} (N, H); {@code up}
   * (N, M or, with a gate, 2M) before and {@code active} (N, M) after the activation; {@code mlp}
   * (N, D) what the MLP gives; {@code sum} (N, D) with the residual around it; {@code out} (N, D).
   * In the post-norm style {@code norm2} is {@code out}, in the others {@code sum} is.
   */
  record Block(
      Buffer in,
      Buffer norm1,
      Buffer mean1,
      Buffer rstd1,
      Buffer qkv,
      Buffer attention,
      Buffer logSumExp,
      Buffer middle,
      Buffer norm2,
      Buffer mean2,
      Buffer rstd2,
      Buffer up,
      Buffer active,
      Buffer mlp,
      Buffer sum,
      Buffer out) {}

  /** The embeddings before their norm, (N, D); the first block's input where they have none. */
  final Buffer summed;

  /** The first block's input, (N, D). */
  final Buffer embedded;

  final Buffer embeddedMean;
  final Buffer embeddedRstd;
  final Block[] blocks;

  /**
   * What items are scored against, (N, D): the last block's output where there is no final norm.
   */
  final Buffer hidden;

  final Buffer mean;
  final Buffer rstd;

  private final Buffer memory;
  private long at;

  Activations(Kernels kernels, ModelConfig config, int maxRows, boolean training) {
    long n = maxRows;
    long d = config.width();
    boolean post = config.style() == BlockStyle.POST_LN;
    int sets = training ? config.layers() : 1;
    long perBlock = n * (9 * d + config.upWidth() + config.feedForward() + config.heads() + 4);
    memory = kernels.allocate(DType.F32, sets * perBlock + n * (3 * d + 4));
    embedded = take(n * d);
    summed = config.wiring().embeddingNorm() ? take(n * d) : embedded;
    embeddedMean = take(n);
    embeddedRstd = take(n);
    blocks = new Block[config.layers()];
    Buffer in = embedded;
    for (int i = 0; i < blocks.length; i++) {
      if (i >= sets) {
        blocks[i] = blocks[0];
        continue;
      }
      Buffer out = training ? take(n * d) : in;
      Buffer other = take(n * d);
      blocks[i] =
          new Block(
              in,
              take(n * d),
              take(n),
              take(n),
              take(3 * n * d),
              take(n * d),
              take(n * config.heads()),
              take(n * d),
              post ? out : other,
              take(n),
              take(n),
              take(n * config.upWidth()),
              take(n * config.feedForward()),
              take(n * d),
              post ? other : out,
              out);
      in = out;
    }
    hidden = config.wiring().finalNorm() ? take(n * d) : in;
    mean = take(n);
    rstd = take(n);
  }

  private Buffer take(long count) {
    Buffer slice = memory.slice(at, count);
    at += count;
    return slice;
  }

  @Override
  public void close() {
    memory.close();
  }
}
