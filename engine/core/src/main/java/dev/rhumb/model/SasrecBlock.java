package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;

/**
 * {@link BlockStyle#SASREC}: q = LN(h); h = q + Attn(q, h, h); h = LN(h); h = h + dropout(W2
 * act(dropout(W1 h))).
 */
final class SasrecBlock extends Block {
  SasrecBlock(
      int index,
      ModelConfig config,
      Steps steps,
      Parameters.Block parameters,
      Activations.Block activations,
      Attention attention) {
    super(index, config, steps, parameters, activations, attention);
  }

  @Override
  void toActive() {
    toKeys();
    fromKeys();
  }

  /** Queries come from the normalised rows, keys and values from the rows as they are. */
  @Override
  void toKeys() {
    keyAndValue(a.in());
  }

  @Override
  void fromKeys() {
    steps.norm(a.in(), p.norm1(), a.norm1(), a.mean1(), a.rstd1());
    query(a.norm1());
    attend();
    steps.linearBeside(a.norm1(), a.attention(), p.out(), a.middle());
    steps.addResidual(a.norm1(), a.middle());
    steps.norm(a.middle(), p.norm2(), a.norm2(), a.mean2(), a.rstd2());
    steps.linearUp(a.norm2(), p.up(), a.up(), a.active());
    dropUp(a.up());
    steps.activate(a.up(), a.active());
  }

  @Override
  Buffer residual() {
    return a.norm2();
  }

  @Override
  void backward(Deltas delta, Parameters.Block g, AttentionBackward attention) {
    long d = config.width();
    // out = norm2 + mlp(norm2): middle becomes the gradient in norm2.
    delta.middle().copyFrom(delta.h());
    dropDown(delta.h());
    steps.linearBackward(a.active(), p.down(), delta.h(), 0, delta.active(), g.down());
    steps.activateBackward(a.up(), delta.active(), delta.up());
    dropUp(delta.up());
    steps.linearBackward(a.norm2(), p.up(), delta.up(), 1, delta.middle(), g.up());
    steps.normBackward(
        delta.middle(), a.middle(), p.norm2(), a.mean2(), a.rstd2(), 0, delta.middle(), g.norm2());
    // middle = norm1 + out(attention): middle becomes the gradient in norm1, h that in the input.
    steps.linearBackward(a.attention(), p.out(), delta.middle(), 0, delta.attention(), g.out());
    attention.backward(this, delta);
    steps.linearBackward(
        a.norm1(), p.in().rows(0, d), delta.qkv(), 3 * d, 1, delta.middle(), g.in().rows(0, d));
    steps.linearBackward(
        a.in(),
        p.in().rows(d, 2 * d),
        keysAndValues(delta.qkv()),
        3 * d,
        0,
        delta.h(),
        g.in().rows(d, 2 * d));
    steps.normBackward(
        delta.middle(), a.in(), p.norm1(), a.mean1(), a.rstd1(), 1, delta.h(), g.norm1());
  }

  private Buffer keysAndValues(Buffer qkv) {
    return qkv.slice(config.width(), qkv.count() - config.width());
  }
}
