package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;

/** {@link BlockStyle#POST_LN}: h = LN(h + dropout(Attn(h))); h = LN(h + dropout(W2 act(W1 h))). */
final class PostNormBlock extends Block {
  PostNormBlock(
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
    steps.linear(a.in(), p.in(), a.qkv());
    fromQueries();
  }

  @Override
  void toKeys() {
    keyAndValue(a.in());
  }

  @Override
  void fromKeys() {
    query(a.in());
    fromQueries();
  }

  private void fromQueries() {
    attend();
    steps.linearBeside(a.in(), a.attention(), p.out(), a.middle());
    dropProjection(a.middle());
    steps.addResidual(a.in(), a.middle());
    steps.norm(a.middle(), p.norm1(), a.norm1(), a.mean1(), a.rstd1());
    steps.linearUp(a.norm1(), p.up(), a.up(), a.active());
    steps.activate(a.up(), a.active());
  }

  @Override
  void fromSum() {
    steps.norm(a.sum(), p.norm2(), a.out(), a.mean2(), a.rstd2());
  }

  @Override
  Buffer residual() {
    return a.norm1();
  }

  @Override
  void backward(Deltas delta, Parameters.Block g, AttentionBackward attention) {
    // out = norm2(norm1 + mlp(norm1)): middle becomes the gradient in norm1.
    steps.normBackward(
        delta.h(), a.sum(), p.norm2(), a.mean2(), a.rstd2(), 0, delta.h(), g.norm2());
    delta.middle().copyFrom(delta.h());
    dropDown(delta.h());
    steps.linearBackward(a.active(), p.down(), delta.h(), 0, delta.active(), g.down());
    steps.activateBackward(a.up(), delta.active(), delta.up());
    steps.linearBackward(a.norm1(), p.up(), delta.up(), 1, delta.middle(), g.up());
    // norm1(middle), middle = in + out(attention(in)): h becomes the gradient in the input.
    steps.normBackward(
        delta.middle(), a.middle(), p.norm1(), a.mean1(), a.rstd1(), 0, delta.h(), g.norm1());
    delta.middle().copyFrom(delta.h());
    dropProjection(delta.middle());
    steps.linearBackward(a.attention(), p.out(), delta.middle(), 0, delta.attention(), g.out());
    attention.backward(this, delta);
    steps.linearBackward(a.in(), p.in(), delta.qkv(), 1, delta.h(), g.in());
  }
}
