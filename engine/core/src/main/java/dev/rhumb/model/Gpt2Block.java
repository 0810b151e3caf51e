package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;

/** {@link BlockStyle#GPT2}: h = h + dropout(Attn(LN(h))); h = h + dropout(W2 act(W1 LN(h))). */
final class Gpt2Block extends Block {
  Gpt2Block(
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
    steps.norm(a.in(), p.norm1(), a.norm1(), a.mean1(), a.rstd1());
    steps.linear(a.norm1(), p.in(), a.qkv());
    fromQueries();
  }

  @Override
  void toKeys() {
    steps.norm(a.in(), p.norm1(), a.norm1(), a.mean1(), a.rstd1());
    keyAndValue(a.norm1());
  }

  @Override
  void fromKeys() {
    query(a.norm1());
    fromQueries();
  }

  private void fromQueries() {
    attend();
    steps.linearBeside(a.in(), a.attention(), p.out(), a.middle());
    dropProjection(a.middle());
    steps.addResidual(a.in(), a.middle());
    steps.norm(a.middle(), p.norm2(), a.norm2(), a.mean2(), a.rstd2());
    steps.linearUp(a.norm2(), p.up(), a.up(), a.active());
    steps.activate(a.up(), a.active());
  }

  @Override
  Buffer residual() {
    return a.middle();
  }

  @Override
  void backward(Deltas delta, Parameters.Block g, AttentionBackward attention) {
    // out = middle + mlp(norm2(middle)): h becomes the gradient in middle.
    delta.middle().copyFrom(delta.h());
    dropDown(delta.middle());
    steps.linearBackward(a.active(), p.down(), delta.middle(), 0, delta.active(), g.down());
    steps.activateBackward(a.up(), delta.active(), delta.up());
    steps.linearBackward(a.norm2(), p.up(), delta.up(), 0, delta.middle(), g.up());
    steps.normBackward(
        delta.middle(), a.middle(), p.norm2(), a.mean2(), a.rstd2(), 1, delta.h(), g.norm2());
    // middle = in + out(attention(norm1(in))): h becomes the gradient in the input.
    delta.middle().copyFrom(delta.h());
    dropProjection(delta.middle());
    steps.linearBackward(a.attention(), p.out(), delta.middle(), 0, delta.attention(), g.out());
    attention.backward(this, delta);
    steps.linearBackward(a.norm1(), p.in(), delta.qkv(), 0, delta.middle(), g.in());
    steps.normBackward(
        delta.middle(), a.in(), p.norm1(), a.mean1(), a.rstd1(), 1, delta.h(), g.norm1());
  }
}
