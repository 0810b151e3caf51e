package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.util.IdentityHashMap;
import java.util.function.UnaryOperator;

/**
 * The workspace of a forward pass over up to N rows, planned once. A training pass keeps every
 * block's intermediate results for the backward pass; inference lets all blocks share one set, in
 * which a block's output overwrites its input. On a GPU, where each step costs a launch, inference
 * also puts a sum where its residual lies and an activation where its argument does, so that the
 * product before makes them.
 */
final class Activations implements AutoCloseable {
  /**
   * One block's results: {@code in} (N, D) its input; {@code norm1}, {@code norm2} (N, D) after its
   * norms, means and rstds (N); {@code qkv} (N, 3D); {@code attention} (N, D) before and {@code
   * middle} (N, D) after its output projection and residual; {@code logSumExp} (N, H); {@code up}
   * (N, M or, with a gate, 2M) before and {@code active} (N, M) after the activation; {@code mlp}
   * (N, D) what the MLP gives; {@code sum} (N, D) with the residual around it; {@code out} (N, D).
   * In the post-norm style {@code norm2} is {@code out}, in the others {@code sum} is. Of a joined
   * one {@code middle} is the attention's residual, {@code sum} the MLP's, and {@code active} is
   * {@code up} where there is no gate.
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
    boolean joined = !training && !kernels.usesHostMemory();
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
      blocks[i] = block(config, n, joined, in, out);
      in = out;
    }
    hidden = config.wiring().finalNorm() ? take(n * d) : in;
    mean = take(n);
    rstd = take(n);
  }

  private Block block(ModelConfig config, long n, boolean joined, Buffer in, Buffer out) {
    long d = config.width();
    boolean post = config.style() == BlockStyle.POST_LN;
    boolean sasrec = config.style() == BlockStyle.SASREC;
    boolean gated = config.upWidth() != config.feedForward();
    Buffer norm1 = take(n * d);
    Buffer other = joined && post ? norm1 : joined && sasrec ? out : take(n * d);
    Buffer active = take(n * config.feedForward());
    return new Block(
        in,
        norm1,
        take(n),
        take(n),
        take(3 * n * d),
        take(n * d),
        take(n * config.heads()),
        !joined ? take(n * d) : sasrec ? norm1 : in,
        post ? out : other,
        take(n),
        take(n),
        joined && !gated ? active : take(n * config.upWidth()),
        active,
        take(n * d),
        post ? other : out,
        out);
  }

  /** A view of the last {@code n} rows of another, which holds {@code rows}; it owns nothing. */
  Activations(Activations all, ModelConfig config, long rows, long n) {
    memory = null;
    embedded = last(all.embedded, rows, n);
    summed = last(all.summed, rows, n);
    embeddedMean = last(all.embeddedMean, rows, n);
    embeddedRstd = last(all.embeddedRstd, rows, n);
    blocks = new Block[config.layers()];
    IdentityHashMap<Buffer, Buffer> views = new IdentityHashMap<>();
    UnaryOperator<Buffer> view = b -> views.computeIfAbsent(b, of -> last(of, rows, n));
    for (int i = 0; i < blocks.length; i++) {
      Block b = all.blocks[i];
      blocks[i] =
          new Block(
              view.apply(b.in),
              view.apply(b.norm1),
              view.apply(b.mean1),
              view.apply(b.rstd1),
              view.apply(b.qkv),
              view.apply(b.attention),
              view.apply(b.logSumExp),
              view.apply(b.middle),
              view.apply(b.norm2),
              view.apply(b.mean2),
              view.apply(b.rstd2),
              view.apply(b.up),
              view.apply(b.active),
              view.apply(b.mlp),
              view.apply(b.sum),
              view.apply(b.out));
    }
    hidden = last(all.hidden, rows, n);
    mean = last(all.mean, rows, n);
    rstd = last(all.rstd, rows, n);
  }

  /** The last {@code n} of the rows of a buffer. */
  static Buffer last(Buffer buffer, long rows, long n) {
    long width = buffer.count() / rows;
    return buffer.slice((rows - n) * width, n * width);
  }

  private Buffer take(long count) {
    Buffer slice = memory.slice(at, count);
    at += count;
    return slice;
  }

  @Override
  public void close() {
    if (memory != null) {
      memory.close();
    }
  }
}
