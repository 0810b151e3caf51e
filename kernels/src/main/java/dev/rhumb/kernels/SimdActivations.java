package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.INDEX;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.set;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Activation functions and their gradients over elements in a row, at addresses: whole vectors, and
 * what is left one by one as the scalar backend has it.
 *
 * <p>Each loop stands in a method by itself, and what it takes from other methods ({@link
 * Simd#exp}) comes early: past some tens of vector operations the compiler calls methods that are
 * not the library's own, with their vectors as objects.
 */
final class SimdActivations {
  // GELU is x s(z) with the logistic function s and z = 2 sqrt(2/pi) (x + 0.044715 x^3), which is
  // the same as the form with tanh and loses no digits where tanh is near -1.
  private static final float GELU_1 = (float) (2 * Math.sqrt(2 / Math.PI));
  private static final float GELU_3 = (float) (2 * Math.sqrt(2 / Math.PI) * 0.044715);

  /** So far e^x and its square are finite, and the product of e^x and 1 / (1 + e^x) is near 1. */
  private static final float DECAY_MOST = 85;

  // erfc(z) e^(z^2) = t (ERFC[0] + ERFC[1] t + ...) with t = 1 / (1 + z / 2), for z from 0 to 9 to
  // a relative 1.5e-8: a least squares fit of ours, reweighted until its error is even.
  private static final float[] ERFC = {
    0.282055992f, 0.283031656f, 0.237123945f, 0.232931409f, -0.120440509f,
    0.463708673f, -0.722319425f, 0.468973825f, -0.140590199f, 0.0155246174f
  };

  private static final float ROOT_HALF = (float) Math.sqrt(0.5);
  private static final float DENSITY = (float) (1 / Math.sqrt(2 * Math.PI));

  // Below this SiLU is 0 in a float.
  private static final float SILU_FLAT = 110;

  // Beyond this on either side s(z) is 0 or 1 in a float.
  private static final float GELU_FLAT = 12;

  private SimdActivations() {}

  /** y = act(x); y may be x. */
  static void forward(Activation activation, int count, long x, long y) {
    int whole = F.loopBound(count);
    long from = x & ADDRESS;
    long to = y & ADDRESS;
    switch (activation) {
      case NONE -> copy(whole, from, to);
      case RELU -> relu(whole, from, to);
      case GELU -> gelu(whole, from, to);
      case GELU_ERF -> geluErf(whole, from, to);
      case SILU -> silu(whole, from, to);
    }
    for (int i = whole; i < count; i++) {
      set(
          to + 4L * (i & INDEX),
          (float) ScalarLayers.activate(activation, get(from + 4L * (i & INDEX))));
    }
  }

  private static void copy(int whole, long x, long y) {
    for (int i = 0; i < whole; i += LANES) {
      FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER)
          .intoMemorySegment(MEMORY, y + 4L * (i & INDEX), ORDER);
    }
  }

  private static void relu(int whole, long x, long y) {
    for (int i = 0; i < whole; i += LANES) {
      FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER)
          .max(FloatVector.zero(F))
          .intoMemorySegment(MEMORY, y + 4L * (i & INDEX), ORDER);
    }
  }

  private static void gelu(int whole, long x, long y) {
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER).max(-GELU_FLAT);
      FloatVector slope = v.mul(v).mul(-GELU_3).sub(GELU_1);
      FloatVector decay = Simd.exp(slope.mul(v).min(DECAY_MOST));
      v.div(decay.add(one)).intoMemorySegment(MEMORY, y + 4L * (i & INDEX), ORDER);
    }
  }

  private static void silu(int whole, long x, long y) {
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER).max(-SILU_FLAT);
      FloatVector decay = Simd.exp(v.neg().min(DECAY_MOST));
      v.div(decay.add(one)).intoMemorySegment(MEMORY, y + 4L * (i & INDEX), ORDER);
    }
  }

  /** x times the standard normal distribution function. */
  private static void geluErf(int whole, long x, long y) {
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER).max(-GELU_FLAT);
      FloatVector near = v.min(GELU_FLAT);
      FloatVector tail = tail(near, Simd.exp(near.mul(near).mul(-0.5f)));
      FloatVector distribution = tail.blend(one.sub(tail), near.compare(VectorOperators.GE, 0));
      v.mul(distribution).intoMemorySegment(MEMORY, y + 4L * (i & INDEX), ORDER);
    }
  }

  /**
   * The standard normal distribution function at -|x| for |x| up to GELU_FLAT, given e^(-x^2 / 2).
   */
  private static FloatVector tail(FloatVector x, FloatVector bell) {
    FloatVector half = FloatVector.broadcast(F, 0.5f);
    FloatVector t = x.abs().mul(ROOT_HALF).fma(half, FloatVector.broadcast(F, 1));
    t = FloatVector.broadcast(F, 1).div(t);
    FloatVector sum = FloatVector.broadcast(F, ERFC[9]);
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[8]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[7]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[6]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[5]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[4]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[3]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[2]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[1]));
    sum = sum.fma(t, FloatVector.broadcast(F, ERFC[0]));
    return sum.mul(t).mul(bell).mul(half);
  }

  /** dx = dy act'(x); dx may be dy. */
  static void backward(Activation activation, int count, long x, long dy, long dx) {
    int whole = F.loopBound(count);
    long from = x & ADDRESS;
    long grad = dy & ADDRESS;
    long to = dx & ADDRESS;
    switch (activation) {
      case NONE -> copy(whole, grad, to);
      case RELU -> reluBackward(whole, from, grad, to);
      case GELU -> geluBackward(whole, from, grad, to);
      case GELU_ERF -> geluErfBackward(whole, from, grad, to);
      case SILU -> siluBackward(whole, from, grad, to);
    }
    for (int i = whole; i < count; i++) {
      double slope = ScalarLayers.slope(activation, get(from + 4L * (i & INDEX)));
      set(to + 4L * (i & INDEX), (float) (get(grad + 4L * (i & INDEX)) * slope));
    }
  }

  private static void reluBackward(int whole, long x, long dy, long dx) {
    FloatVector zero = FloatVector.zero(F);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v = FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER);
      FloatVector d = FloatVector.fromMemorySegment(F, MEMORY, dy + 4L * (i & INDEX), ORDER);
      zero.blend(d, v.compare(VectorOperators.GT, zero))
          .intoMemorySegment(MEMORY, dx + 4L * (i & INDEX), ORDER);
    }
  }

  private static void geluBackward(int whole, long x, long dy, long dx) {
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER)
              .max(-GELU_FLAT)
              .min(GELU_FLAT);
      FloatVector square = v.mul(v);
      FloatVector decay = Simd.exp(square.mul(-GELU_3).sub(GELU_1).mul(v).min(DECAY_MOST));
      FloatVector s = one.div(decay.add(one));
      FloatVector curve = square.mul(3 * GELU_3).add(GELU_1).mul(v.mul(s));
      FloatVector d = FloatVector.fromMemorySegment(F, MEMORY, dy + 4L * (i & INDEX), ORDER);
      d.mul(curve.fma(decay.mul(s), s)).intoMemorySegment(MEMORY, dx + 4L * (i & INDEX), ORDER);
    }
  }

  private static void geluErfBackward(int whole, long x, long dy, long dx) {
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER)
              .max(-GELU_FLAT)
              .min(GELU_FLAT);
      FloatVector bell = Simd.exp(v.mul(v).mul(-0.5f));
      FloatVector tail = tail(v, bell);
      FloatVector distribution = tail.blend(one.sub(tail), v.compare(VectorOperators.GE, 0));
      FloatVector slope = v.mul(bell).fma(FloatVector.broadcast(F, DENSITY), distribution);
      FloatVector d = FloatVector.fromMemorySegment(F, MEMORY, dy + 4L * (i & INDEX), ORDER);
      d.mul(slope).intoMemorySegment(MEMORY, dx + 4L * (i & INDEX), ORDER);
    }
  }

  /** With the logistic function s, the derivative of SiLU is s + x s (1 - s). */
  private static void siluBackward(int whole, long x, long dy, long dx) {
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, x + 4L * (i & INDEX), ORDER)
              .max(-SILU_FLAT)
              .min(SILU_FLAT);
      FloatVector decay = Simd.exp(v.neg().min(DECAY_MOST));
      FloatVector s = one.div(decay.add(one));
      FloatVector d = FloatVector.fromMemorySegment(F, MEMORY, dy + 4L * (i & INDEX), ORDER);
      d.mul(v.mul(s).fma(decay.mul(s), s)).intoMemorySegment(MEMORY, dx + 4L * (i & INDEX), ORDER);
    }
  }

  /** y = silu(g) u. */
  static void gate(int count, long g, long u, long y) {
    int whole = F.loopBound(count);
    long gate = g & ADDRESS;
    long up = u & ADDRESS;
    long to = y & ADDRESS;
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, gate + 4L * (i & INDEX), ORDER).max(-SILU_FLAT);
      FloatVector decay = Simd.exp(v.neg().min(DECAY_MOST));
      FloatVector factor = FloatVector.fromMemorySegment(F, MEMORY, up + 4L * (i & INDEX), ORDER);
      v.div(decay.add(one)).mul(factor).intoMemorySegment(MEMORY, to + 4L * (i & INDEX), ORDER);
    }
    for (int i = whole; i < count; i++) {
      double silu = ScalarLayers.activate(Activation.SILU, get(gate + 4L * (i & INDEX)));
      set(to + 4L * (i & INDEX), (float) (silu * get(up + 4L * (i & INDEX))));
    }
  }

  /** dg = dy u silu'(g) and du = dy silu(g); dg may be g and du u. */
  static void gateBackward(int count, long g, long u, long dy, long dg, long du) {
    int whole = F.loopBound(count);
    gateBackwardWhole(whole, g & ADDRESS, u & ADDRESS, dy & ADDRESS, dg & ADDRESS, du & ADDRESS);
    for (int i = whole; i < count; i++) {
      double gate = get((g & ADDRESS) + 4L * (i & INDEX));
      double up = get((u & ADDRESS) + 4L * (i & INDEX));
      double d = get((dy & ADDRESS) + 4L * (i & INDEX));
      double slope = ScalarLayers.slope(Activation.SILU, gate);
      set((dg & ADDRESS) + 4L * (i & INDEX), (float) (d * up * slope));
      double silu = ScalarLayers.activate(Activation.SILU, gate);
      set((du & ADDRESS) + 4L * (i & INDEX), (float) (d * silu));
    }
  }

  private static void gateBackwardWhole(int whole, long g, long u, long dy, long dg, long du) {
    FloatVector one = FloatVector.broadcast(F, 1);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector low =
          FloatVector.fromMemorySegment(F, MEMORY, g + 4L * (i & INDEX), ORDER).max(-SILU_FLAT);
      FloatVector decay = Simd.exp(low.neg().min(DECAY_MOST));
      FloatVector s = one.div(decay.add(one));
      FloatVector v = low.min(SILU_FLAT);
      FloatVector factor = FloatVector.fromMemorySegment(F, MEMORY, u + 4L * (i & INDEX), ORDER);
      FloatVector d = FloatVector.fromMemorySegment(F, MEMORY, dy + 4L * (i & INDEX), ORDER);
      FloatVector slope = v.mul(s).fma(decay.mul(s), s);
      d.mul(factor).mul(slope).intoMemorySegment(MEMORY, dg + 4L * (i & INDEX), ORDER);
      d.mul(low.mul(s)).intoMemorySegment(MEMORY, du + 4L * (i & INDEX), ORDER);
    }
  }
}
