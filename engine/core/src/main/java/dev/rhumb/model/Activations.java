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
   * (N, M) before and {@code active} (N, M) after the activation; {@code mlp} (N, D) what the MLP
   * gives; {@code out} (N, D).
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
      Buffer out) {}

  final Buffer embedded;
  final Block[] blocks;
  final Buffer hidden;
  final Buffer mean;
  final Buffer rstd;

  private final Buffer memory;
  private long at;

  Activations(Kernels kernels, ModelConfig config, int maxRows, boolean training) {
    long n = maxRows;
    long d = config.width();
    long m = config.feedForward();
    int sets = training ? config.layers() : 1;
    long perBlock = n * (9 * d + 2 * m + config.heads() + 4 + (training ? d : 0));
    memory = kernels.allocate(DType.F32, sets * perBlock + n * (2 * d + 2));
    embedded = take(n * d);
    blocks = new Block[config.layers()];
    Buffer in = embedded;
    for (int i = 0; i < blocks.length; i++) {
      if (i >= sets) {
        blocks[i] = blocks[0];
        continue;
      }
      Buffer norm1 = take(n * d);
      Buffer mean1 = take(n);
      Buffer rstd1 = take(n);
      Buffer qkv = take(3 * n * d);
      Buffer attention = take(n * d);
      Buffer logSumExp = take(n * config.heads());
      Buffer middle = take(n * d);
      Buffer norm2 = take(n * d);
      Buffer mean2 = take(n);
      Buffer rstd2 = take(n);
      Buffer up = take(n * m);
      Buffer active = take(n * m);
      Buffer mlp = take(n * d);
      Buffer out = training ? take(n * d) : in;
      blocks[i] =
          new Block(
              in, norm1, mean1, rstd1, qkv, attention, logSumExp, middle, norm2, mean2, rstd2, up,
              active, mlp, out);
      in = out;
    }
    hidden = take(n * d);
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
