package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;

/**
 * One block in one pass: its parameters, its workspace, and how it is wired, forward and backward
 * side by side. The forward pass has two parts, around the MLP's activations; the first has two of
 * its own, around its keys and values, for those who run one item at a time; the second two around
 * what the MLP gives, for those who read or edit that.
 */
abstract class Block {
  /** Streams of dropout masks that one step of training may use. */
  private static final int STREAMS = 512;

  private static final int ATTENTION = 1;
  private static final int PROJECTION = 2;
  private static final int UP = 3;
  private static final int DOWN = 4;

  /** From queries, keys and values in a block's {@code qkv} to its {@code attention}. */
  interface Attention {
    void forward(Block block);
  }

  /** From {@code attention} in the gradients to {@code qkv} in them. */
  interface AttentionBackward {
    void backward(Block block, Deltas deltas);
  }

  /**
   * Gradients on their way down: {@code h} (N, D) in the block's output, and on return in its
   * input; the others are workspace of the shapes of {@link Activations.Block}. Without a gate
   * {@code up} is {@code active}.
   */
  record Deltas(Buffer h, Buffer middle, Buffer attention, Buffer qkv, Buffer active, Buffer up) {}

  final int index;
  final ModelConfig config;
  final Steps steps;
  final Parameters.Block p;
  final Activations.Block a;
  private final Attention attention;
  private final Parameters.Linear query;
  private final Parameters.Linear keyAndValue;

  /** {@code qkv} from the first row's key on, which its value follows. */
  final Buffer keys;

  /** {@code qkv} from the first row's value on. */
  final Buffer values;

  Block(
      int index,
      ModelConfig config,
      Steps steps,
      Parameters.Block parameters,
      Activations.Block activations,
      Attention attention) {
    this.index = index;
    this.config = config;
    this.steps = steps;
    p = parameters;
    a = activations;
    this.attention = attention;
    long d = config.width();
    query = parameters.in().rows(0, d);
    keyAndValue = parameters.in().rows(d, 2 * d);
    keys = a.qkv().slice(d, a.qkv().count() - d);
    values = keys.slice(d, keys.count() - d);
  }

  static Block of(
      int index,
      ModelConfig config,
      Steps steps,
      Parameters.Block parameters,
      Activations.Block activations,
      Attention attention) {
    return switch (config.style()) {
      case SASREC -> new SasrecBlock(index, config, steps, parameters, activations, attention);
      case GPT2 -> new Gpt2Block(index, config, steps, parameters, activations, attention);
      case POST_LN -> new PostNormBlock(index, config, steps, parameters, activations, attention);
      case MODERN -> new ModernBlock(index, config, steps, parameters, activations, attention);
    };
  }

  /** The whole block. */
  final void run() {
    toActive();
    fromActive();
  }

  /** From the block's input to its MLP's activations. */
  abstract void toActive();

  /** The first part of {@link #toActive}, up to keys and values: they are in {@code qkv} then. */
  abstract void toKeys();

  /** What is left of {@link #toActive} after {@link #toKeys}. */
  abstract void fromKeys();

  /** From the MLP's activations to the block's output. */
  final void fromActive() {
    if (residual() == a.sum()) {
      steps.linearBeside(residual(), a.active(), p.down(), a.sum());
      fromSum();
    } else {
      toMlp();
      fromMlp();
    }
  }

  /** From the MLP's activations to what the MLP gives. */
  final void toMlp() {
    steps.linear(a.active(), p.down(), a.mlp());
    dropDown(a.mlp());
  }

  /** From what the MLP gives to the block's output. */
  final void fromMlp() {
    steps.add(residual(), a.mlp(), a.sum());
    fromSum();
  }

  /** What {@link #fromMlp} adds the MLP's part to, (N, D). */
  abstract Buffer residual();

  /** From the sum of both to the block's output, where that is not the sum. */
  void fromSum() {}

  /** From the gradient in the output to that in the input; {@code g} adds the parameters' own. */
  abstract void backward(Deltas delta, Parameters.Block g, AttentionBackward attention);

  final void query(Buffer x) {
    steps.linear(x, query, a.qkv(), 3L * config.width());
  }

  final void keyAndValue(Buffer x) {
    steps.linear(x, keyAndValue, keys, 3L * config.width());
  }

  final void attend() {
    attention.forward(this);
  }

  /** The dropout stream of the embeddings. */
  static long embeddingStream(long stream) {
    return stream * STREAMS;
  }

  final long attentionStream() {
    return stream(ATTENTION);
  }

  final void dropProjection(Buffer x) {
    steps.drop(stream(PROJECTION), config.width(), x);
  }

  final void dropUp(Buffer x) {
    steps.drop(stream(UP), config.feedForward(), x);
  }

  final void dropDown(Buffer x) {
    steps.drop(stream(DOWN), config.width(), x);
  }

  private long stream(int place) {
    return steps.stream * STREAMS + 8L * (index + 1) + place;
  }
}
