package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;

/**
 * The passes of a model through its embeddings, blocks and final norm, in steps: the same for
 * training and inference.
 *
 * <p>Ownership: owns its steps; not the model or the activations.
 */
final class Forward implements AutoCloseable {
  private final ModelConfig config;
  private final Buffer items;
  private final Buffer positions;
  private final Parameters.Norm embeddingNorm;
  private final Parameters.Norm finalNorm;
  final Steps steps;
  final Activations activations;
  final Block[] blocks;

  Forward(Kernels kernels, Model model, Activations activations, Block.Attention attention) {
    config = model.config();
    Parameters parameters = model.parameters();
    items = parameters.get(Parameters.ITEMS);
    positions = positionTable(parameters);
    boolean embeddingNormed = config.wiring().embeddingNorm();
    embeddingNorm = embeddingNormed ? parameters.norm(Parameters.EMBEDDING_NORM) : null;
    finalNorm = config.wiring().finalNorm() ? parameters.norm(Parameters.FINAL_NORM) : null;
    this.activations = activations;
    steps = new Steps(kernels, config);
    blocks = new Block[config.layers()];
    for (int i = 0; i < blocks.length; i++) {
      blocks[i] = Block.of(i, config, steps, parameters.block(i), activations.blocks[i], attention);
    }
  }

  /**
   * The first block's input, (n, D): dropout(norm(item + position)), as far as the architecture has
   * these.
   */
  void embed(long n, Buffer items, Buffer positions) {
    steps.rows = n;
    steps.positions = positions;
    steps.embed(items, this.items, this.positions, activations.summed);
    if (embeddingNorm != null) {
      steps.norm(
          activations.summed,
          embeddingNorm,
          activations.embedded,
          activations.embeddedMean,
          activations.embeddedRstd);
    }
    steps.drop(Block.embeddingStream(steps.stream), config.width(), activations.embedded);
  }

  /** From dh (n, D), the gradient in the first block's input, to those of the embeddings. */
  void embedBackward(Buffer items, Buffer dh, Parameters gradients) {
    steps.drop(Block.embeddingStream(steps.stream), config.width(), dh);
    if (embeddingNorm != null) {
      steps.normBackward(
          dh,
          activations.summed,
          embeddingNorm,
          activations.embeddedMean,
          activations.embeddedRstd,
          0,
          dh,
          gradients.norm(Parameters.EMBEDDING_NORM));
    }
    steps.embedBackward(items, dh, gradients.get(Parameters.ITEMS), positionTable(gradients));
  }

  /** Runs the blocks from one on up to, not including, another. */
  void blocks(int from, int to) {
    for (int i = from; i < to; i++) {
      blocks[i].run();
    }
  }

  void finalNorm() {
    if (finalNorm != null) {
      steps.norm(
          activations.blocks[config.layers() - 1].out(),
          finalNorm,
          activations.hidden,
          activations.mean,
          activations.rstd);
    }
  }

  /** dh (n, D): on entry the gradient in the hidden state, on return in the last block's output. */
  void finalNormBackward(Buffer dh, Parameters gradients) {
    if (finalNorm != null) {
      steps.normBackward(
          dh,
          activations.blocks[config.layers() - 1].out(),
          finalNorm,
          activations.mean,
          activations.rstd,
          0,
          dh,
          gradients.norm(Parameters.FINAL_NORM));
    }
  }

  private Buffer positionTable(Parameters from) {
    return config.learnedPositions() ? from.get(Parameters.POSITIONS) : null;
  }

  @Override
  public void close() {
    steps.close();
  }
}
