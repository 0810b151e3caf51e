package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.I;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.load;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;
import static dev.rhumb.kernels.Simd.store;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** {@link Layers} on the Vector API. */
final class SimdLayers extends Layers {
  private static final int ROWS = 64;
  private static final int SUM_ROWS = 256;
  private static final int ELEMENTS = 1 << 13;

  /** Tasks that share the ids of a scatter. */
  private static final int PARTS = 64;

  // GELU is x s(z) with the logistic function s and z = 2 sqrt(2/pi) (x + 0.044715 x^3), which is
  // the same as the form with tanh and loses no digits where tanh is near -1.
  private static final float GELU_1 = (float) (2 * Math.sqrt(2 / Math.PI));
  private static final float GELU_3 = (float) (2 * Math.sqrt(2 / Math.PI) * 0.044715);

  private static final float DECAY_MOST = 85;

  // erfc(z) e^(z^2) = t (ERFC[0] + ERFC[1] t + ...) with t = 1 / (1 + z / 2), for z from 0 to 9 to
  // a
  // relative 1.5e-8: a least squares fit of ours, reweighted until its error is even.
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

  private final Workers workers;
  private final Workers.Task normTask = this::norm;
  private final Workers.Task normBackwardTask = this::normBackward;
  private final Workers.Task rmsTask = this::rms;
  private final Workers.Task rmsBackwardTask = this::rmsBackward;
  private final Workers.Task swigluTask = this::swigluRows;
  private final Workers.Task swigluBackwardTask = this::swigluBackwardRows;
  private final Workers.Task rotaryTask = this::rotaryRows;
  private final Workers.Task activationTask = this::activationChunk;
  private final Workers.Task activationBackwardTask = this::activationBackwardChunk;
  private final Workers.Task dropoutTask = this::dropoutRows;
  private final Workers.Task gatherTask = this::gatherRows;
  private final Workers.Task scatterTask = this::scatterPart;

  // The arguments of the call under way; strides in bytes.
  private int rows;
  private int cols;
  private float eps;
  private long x;
  private long xStride;
  private long gamma;
  private long beta;
  private long y;
  private long yStride;
  private long mean;
  private long rstd;
  private long dy;
  private float scale;
  private float yBeta;
  private long sums;
  private Activation activation;
  private long count;
  private long key;
  private long stream;
  private int threshold;
  private long ids;
  private long table;
  private long first;
  private long order;
  private int heads;
  private int headWidth;

  SimdLayers(Workers workers) {
    this.workers = workers;
  }

  // Layer normalisation.

  @Override
  void doLayerNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer beta,
      Buffer y,
      long yStride,
      Buffer mean,
      Buffer rstd) {
    this.rows = rows;
    this.cols = cols;
    this.eps = eps;
    this.x = x.segment().address();
    this.xStride = xStride * 4;
    this.gamma = gamma.segment().address();
    this.beta = beta.segment().address();
    this.y = y.segment().address();
    this.yStride = yStride * 4;
    this.mean = mean == null ? 0 : mean.segment().address();
    this.rstd = rstd == null ? 0 : rstd.segment().address();
    workers.run(ceilDiv(rows, ROWS), 10L * rows * cols, normTask);
  }

  private void norm(int task, int worker) {
    long lanes = workers.own(worker).reserve(2L * BYTES);
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long row = x + r * xStride;
      FloatVector sum = FloatVector.zero(F);
      for (int c = 0; c < cols; c += LANES) {
        sum = sum.add(load(row + c * 4L, F.indexInRange(c, cols)));
      }
      store(sum, lanes);
      float centre = Simd.sum(lanes) / cols;
      // A second look at the mean takes the rounding of the first one out of both moments.
      sum = FloatVector.zero(F);
      FloatVector squares = sum;
      for (int c = 0; c < cols; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, cols);
        FloatVector apart = FloatVector.zero(F).blend(load(row + c * 4L, mask).sub(centre), mask);
        sum = sum.add(apart);
        squares = apart.fma(apart, squares);
      }
      store(sum, lanes);
      store(squares, lanes + BYTES);
      double rest = (double) Simd.sum(lanes) / cols;
      double variance = Math.max(0, (double) Simd.sum(lanes + BYTES) / cols - rest * rest);
      float factor = (float) (1 / Math.sqrt(variance + eps));
      normRow(row, y + r * yStride, centre, (float) rest, factor);
      if (mean != 0) {
        set(mean + r * 4L, (float) (centre + rest));
        set(rstd + r * 4L, factor);
      }
    }
  }

  private void normRow(long row, long to, float centre, float rest, float factor) {
    for (int c = 0; c < cols; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, cols);
      long at = c * 4L;
      FloatVector normal = load(row + at, mask).sub(centre).sub(rest).mul(factor);
      store(normal.fma(load(gamma + at, mask), load(beta + at, mask)), to + at, mask);
    }
  }

  @Override
  void doLayerNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer mean,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma,
      Buffer dbeta) {
    this.rows = rows;
    this.cols = cols;
    this.dy = dy.segment().address();
    this.x = x.segment().address();
    this.gamma = gamma.segment().address();
    this.mean = mean.segment().address();
    this.rstd = rstd.segment().address();
    yBeta = dxBeta;
    y = dx.segment().address();
    int chunks = ceilDiv(rows, SUM_ROWS);
    int width = roundUp(cols, LANES);
    sums = workers.shared().reserve(2L * chunks * width * 4);
    workers.run(chunks, 16L * rows * cols, normBackwardTask);
    addSums(chunks, width, 0, dgamma.segment().address());
    addSums(chunks, width, width, dbeta.segment().address());
  }

  /** Adds the sums of all chunks, in order, that stand {@code offset} elements into each. */
  private void addSums(int chunks, int width, int offset, long to) {
    for (int c = 0; c < cols; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, cols);
      FloatVector total = FloatVector.zero(F);
      for (int chunk = 0; chunk < chunks; chunk++) {
        total = total.add(load(sums + (2L * chunk * width + offset + c) * 4));
      }
      store(load(to + c * 4L, mask).add(total), to + c * 4L, mask);
    }
  }

  private void normBackward(int chunk, int worker) {
    int width = roundUp(cols, LANES);
    long dgamma = sums + 2L * chunk * width * 4;
    long dbeta = dgamma + width * 4L;
    for (int c = 0; c < 2 * width; c += LANES) {
      store(FloatVector.zero(F), dgamma + c * 4L);
    }
    long lanes = workers.own(worker).reserve(2L * BYTES);
    int end = Math.min(rows, (chunk + 1) * SUM_ROWS);
    for (int r = chunk * SUM_ROWS; r < end; r++) {
      long row = (long) r * cols * 4;
      float centre = get(mean + r * 4L);
      float factor = get(rstd + r * 4L);
      FloatVector sumG = FloatVector.zero(F);
      FloatVector sumGn = sumG;
      for (int c = 0; c < cols; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, cols);
        long at = c * 4L;
        FloatVector normal = load(x + row + at, mask).sub(centre).mul(factor);
        FloatVector d = load(dy + row + at, mask);
        FloatVector g = d.mul(load(gamma + at, mask));
        sumG = sumG.add(g);
        sumGn = g.fma(normal, sumGn);
        store(d.fma(normal, load(dgamma + at)), dgamma + at);
        store(d.add(load(dbeta + at)), dbeta + at);
      }
      store(sumG, lanes);
      store(sumGn, lanes + BYTES);
      float meanG = Simd.sum(lanes) / cols;
      float meanGn = Simd.sum(lanes + BYTES) / cols;
      normRowBackward(row, centre, factor, meanG, meanGn);
    }
  }

  private void normRowBackward(long row, float centre, float factor, float meanG, float meanGn) {
    for (int c = 0; c < cols; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, cols);
      long at = row + c * 4L;
      FloatVector normal = load(x + at, mask).sub(centre).mul(factor);
      FloatVector g = load(dy + at, mask).mul(load(gamma + c * 4L, mask));
      FloatVector d = normal.fma(FloatVector.broadcast(F, -meanGn), g.sub(meanG)).mul(factor);
      if (yBeta != 0) {
        d = load(y + at, mask).fma(FloatVector.broadcast(F, yBeta), d);
      }
      store(d, y + at, mask);
    }
  }

  // Root mean square normalisation.

  @Override
  void doRmsNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer y,
      long yStride,
      Buffer rstd) {
    this.rows = rows;
    this.cols = cols;
    this.eps = eps;
    this.x = x.segment().address();
    this.xStride = xStride * 4;
    this.gamma = gamma.segment().address();
    this.y = y.segment().address();
    this.yStride = yStride * 4;
    this.rstd = rstd == null ? 0 : rstd.segment().address();
    workers.run(ceilDiv(rows, ROWS), 5L * rows * cols, rmsTask);
  }

  private void rms(int task, int worker) {
    long lanes = workers.own(worker).reserve(BYTES);
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long row = x + r * xStride;
      FloatVector squares = FloatVector.zero(F);
      for (int c = 0; c < cols; c += LANES) {
        FloatVector v = load(row + c * 4L, F.indexInRange(c, cols));
        squares = v.fma(v, squares);
      }
      store(squares, lanes);
      float factor = (float) (1 / Math.sqrt((double) Simd.sum(lanes) / cols + eps));
      for (int c = 0; c < cols; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, cols);
        FloatVector normal = load(row + c * 4L, mask).mul(factor);
        store(normal.mul(load(gamma + c * 4L, mask)), y + r * yStride + c * 4L, mask);
      }
      if (rstd != 0) {
        set(rstd + r * 4L, factor);
      }
    }
  }

  @Override
  void doRmsNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma) {
    this.rows = rows;
    this.cols = cols;
    this.dy = dy.segment().address();
    this.x = x.segment().address();
    this.gamma = gamma.segment().address();
    this.rstd = rstd.segment().address();
    yBeta = dxBeta;
    y = dx.segment().address();
    int chunks = ceilDiv(rows, SUM_ROWS);
    int width = roundUp(cols, LANES);
    sums = workers.shared().reserve(2L * chunks * width * 4);
    workers.run(chunks, 10L * rows * cols, rmsBackwardTask);
    addSums(chunks, width, 0, dgamma.segment().address());
  }

  private void rmsBackward(int chunk, int worker) {
    int width = roundUp(cols, LANES);
    long dgamma = sums + 2L * chunk * width * 4;
    for (int c = 0; c < width; c += LANES) {
      store(FloatVector.zero(F), dgamma + c * 4L);
    }
    long lanes = workers.own(worker).reserve(BYTES);
    int end = Math.min(rows, (chunk + 1) * SUM_ROWS);
    for (int r = chunk * SUM_ROWS; r < end; r++) {
      long row = (long) r * cols * 4;
      float factor = get(rstd + r * 4L);
      FloatVector sumGn = FloatVector.zero(F);
      for (int c = 0; c < cols; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, cols);
        long at = c * 4L;
        FloatVector normal = load(x + row + at, mask).mul(factor);
        FloatVector d = load(dy + row + at, mask);
        sumGn = d.mul(load(gamma + at, mask)).fma(normal, sumGn);
        store(d.fma(normal, load(dgamma + at)), dgamma + at);
      }
      store(sumGn, lanes);
      rmsRowBackward(row, factor, Simd.sum(lanes) / cols);
    }
  }

  private void rmsRowBackward(long row, float factor, float meanGn) {
    for (int c = 0; c < cols; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, cols);
      long at = row + c * 4L;
      FloatVector normal = load(x + at, mask).mul(factor);
      FloatVector g = load(dy + at, mask).mul(load(gamma + c * 4L, mask));
      FloatVector d = normal.fma(FloatVector.broadcast(F, -meanGn), g).mul(factor);
      if (yBeta != 0) {
        d = load(y + at, mask).fma(FloatVector.broadcast(F, yBeta), d);
      }
      store(d, y + at, mask);
    }
  }

  // Activations.

  @Override
  void doActivation(Activation activation, long count, Buffer x, Buffer y) {
    this.activation = activation;
    this.count = count;
    this.x = x.segment().address();
    this.y = y.segment().address();
    workers.run(Simd.chunks(count, ELEMENTS), 16 * count, activationTask);
  }

  private void activationChunk(int chunk, int worker) {
    long from = (long) chunk * ELEMENTS;
    int elements = (int) Math.min(ELEMENTS, count - from);
    activate(activation, elements, x + from * 4, y + from * 4);
  }

  /** y = act(x) over {@code count} elements at two addresses, which may be the same. */
  static void activate(Activation activation, int count, long x, long y) {
    switch (activation) {
      case GELU_ERF -> geluErf(count, x, y);
      case SILU -> silu(count, x, y);
      default -> simple(activation, count, x, y);
    }
  }

  private static void simple(Activation activation, int count, long x, long y) {
    for (int i = 0; i < count; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, count);
      FloatVector v = load(x + i * 4L, mask);
      if (activation == Activation.RELU) {
        v = v.max(0);
      } else if (activation == Activation.GELU) {
        v = v.max(-GELU_FLAT).mul(logistic(decay(v)));
      }
      store(v, y + i * 4L, mask);
    }
  }

  private static void geluErf(int count, long x, long y) {
    for (int i = 0; i < count; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, count);
      FloatVector v = load(x + i * 4L, mask).max(-GELU_FLAT);
      FloatVector near = v.min(GELU_FLAT);
      store(v.mul(distribution(near, bell(near))), y + i * 4L, mask);
    }
  }

  private static void silu(int count, long x, long y) {
    for (int i = 0; i < count; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, count);
      FloatVector v = load(x + i * 4L, mask).max(-SILU_FLAT);
      store(v.mul(logistic(Simd.exp(v.neg().min(DECAY_MOST)))), y + i * 4L, mask);
    }
  }

  /** e^(-x^2 / 2). */
  private static FloatVector bell(FloatVector x) {
    return Simd.exp(x.mul(x).mul(-0.5f));
  }

  /** The standard normal distribution function for |x| up to GELU_FLAT, given its {@link #bell}. */
  private static FloatVector distribution(FloatVector x, FloatVector bell) {
    FloatVector z = x.abs().mul(ROOT_HALF);
    FloatVector t = FloatVector.broadcast(F, 1).div(z.mul(0.5f).add(1));
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
    FloatVector tail = sum.mul(t).mul(bell).mul(0.5f);
    return tail.blend(FloatVector.broadcast(F, 1).sub(tail), x.compare(VectorOperators.GE, 0));
  }

  /** e^-z of GELU's z at x; finite, so that its product with s(z) is 1 - s(z). */
  private static FloatVector decay(FloatVector x) {
    FloatVector slope =
        x.mul(x).fma(FloatVector.broadcast(F, -GELU_3), FloatVector.broadcast(F, -GELU_1));
    return Simd.exp(slope.mul(x).min(DECAY_MOST));
  }

  private static FloatVector logistic(FloatVector decay) {
    return FloatVector.broadcast(F, 1).div(decay.add(1));
  }

  @Override
  void doActivationBackward(Activation activation, long count, Buffer x, Buffer dy, Buffer dx) {
    this.activation = activation;
    this.count = count;
    this.x = x.segment().address();
    this.dy = dy.segment().address();
    y = dx.segment().address();
    workers.run(Simd.chunks(count, ELEMENTS), 24 * count, activationBackwardTask);
  }

  private void activationBackwardChunk(int chunk, int worker) {
    long from = (long) chunk * ELEMENTS;
    int elements = (int) Math.min(ELEMENTS, count - from);
    for (int i = 0; i < elements; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, elements);
      long at = (from + i) * 4;
      FloatVector v = load(x + at, mask);
      FloatVector d = load(dy + at, mask);
      if (activation == Activation.RELU) {
        d = FloatVector.zero(F).blend(d, v.compare(VectorOperators.GT, 0));
      } else if (activation == Activation.GELU) {
        v = v.max(-GELU_FLAT).min(GELU_FLAT);
        FloatVector decay = decay(v);
        FloatVector s = logistic(decay);
        FloatVector square = v.mul(v);
        FloatVector slope =
            square.fma(FloatVector.broadcast(F, 3 * GELU_3), FloatVector.broadcast(F, GELU_1));
        FloatVector curve = v.mul(s).mul(slope);
        d = d.mul(curve.fma(decay.mul(s), s));
      } else if (activation == Activation.GELU_ERF) {
        v = v.max(-GELU_FLAT).min(GELU_FLAT);
        FloatVector bell = bell(v);
        d = d.mul(v.mul(bell).fma(FloatVector.broadcast(F, DENSITY), distribution(v, bell)));
      } else if (activation == Activation.SILU) {
        d = d.mul(siluSlope(v));
      }
      store(d, y + at, mask);
    }
  }

  /** The derivative of SiLU: s + x s (1 - s) with the logistic function s. */
  private static FloatVector siluSlope(FloatVector x) {
    FloatVector v = x.max(-SILU_FLAT).min(SILU_FLAT);
    FloatVector decay = Simd.exp(v.neg().min(DECAY_MOST));
    FloatVector s = logistic(decay);
    return v.mul(s).fma(decay.mul(s), s);
  }

  @Override
  void doSwiglu(int rows, int cols, Buffer x, Buffer y) {
    this.rows = rows;
    this.cols = cols;
    this.x = x.segment().address();
    this.y = y.segment().address();
    workers.run(ceilDiv(rows, ROWS), 16L * rows * cols, swigluTask);
  }

  private void swigluRows(int task, int worker) {
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long gate = x + 8L * r * cols;
      long up = gate + 4L * cols;
      long to = y + 4L * r * cols;
      for (int c = 0; c < cols; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, cols);
        FloatVector g = load(gate + c * 4L, mask).max(-SILU_FLAT);
        FloatVector silu = g.mul(logistic(Simd.exp(g.neg().min(DECAY_MOST))));
        store(silu.mul(load(up + c * 4L, mask)), to + c * 4L, mask);
      }
    }
  }

  @Override
  void doSwigluBackward(int rows, int cols, Buffer x, Buffer dy, Buffer dx) {
    this.rows = rows;
    this.cols = cols;
    this.x = x.segment().address();
    this.dy = dy.segment().address();
    y = dx.segment().address();
    workers.run(ceilDiv(rows, ROWS), 32L * rows * cols, swigluBackwardTask);
  }

  private void swigluBackwardRows(int task, int worker) {
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long gate = 8L * r * cols;
      long up = gate + 4L * cols;
      for (int c = 0; c < cols; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, cols);
        FloatVector g = load(x + gate + c * 4L, mask);
        FloatVector u = load(x + up + c * 4L, mask);
        FloatVector d = load(dy + 4L * r * cols + c * 4L, mask);
        FloatVector low = g.max(-SILU_FLAT);
        FloatVector silu = low.mul(logistic(Simd.exp(low.neg().min(DECAY_MOST))));
        store(d.mul(u).mul(siluSlope(g)), y + gate + c * 4L, mask);
        store(d.mul(silu), y + up + c * 4L, mask);
      }
    }
  }

  // Rotary positions.

  @Override
  void doRotary(
      int rows,
      int heads,
      int headWidth,
      Buffer positions,
      int tableRows,
      Buffer angles,
      boolean inverse,
      Buffer x,
      long xStride) {
    Check.indices("rotary", "positions", positions, rows, 1, tableRows);
    this.rows = rows;
    this.heads = heads;
    this.headWidth = headWidth;
    ids = positions.segment().address();
    table = angles.segment().address();
    scale = inverse ? -1 : 1;
    this.x = x.segment().address();
    this.xStride = xStride * 4;
    workers.run(ceilDiv(rows, ROWS), 3L * rows * heads * headWidth, rotaryTask);
  }

  private void rotaryRows(int task, int worker) {
    int half = headWidth / 2;
    long apart = half * 4L;
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long turn = table + (long) getInt(ids + r * 4L) * headWidth * 4;
      for (int h = 0; h < heads; h++) {
        long head = x + r * xStride + (long) h * headWidth * 4;
        for (int i = 0; i < half; i += LANES) {
          VectorMask<Float> mask = F.indexInRange(i, half);
          long at = i * 4L;
          FloatVector cos = load(turn + at, mask);
          FloatVector sin = load(turn + apart + at, mask).mul(scale);
          FloatVector a = load(head + at, mask);
          FloatVector b = load(head + apart + at, mask);
          store(b.mul(sin).neg().add(a.mul(cos)), head + at, mask);
          store(a.mul(sin).add(b.mul(cos)), head + apart + at, mask);
        }
      }
    }
  }

  // Dropout.

  @Override
  void doDropout(int rows, int cols, float p, long key, long stream, Buffer x, Buffer y) {
    this.rows = rows;
    this.cols = cols;
    this.key = key;
    this.stream = stream;
    this.x = x.segment().address();
    this.y = y.segment().address();
    threshold = Philox.keepThreshold(p);
    scale = (float) (1 / (1 - (double) p));
    workers.run(ceilDiv(rows, ROWS), 16L * rows * cols, dropoutTask);
  }

  private void dropoutRows(int task, int worker) {
    long bits = workers.own(worker).reserve(SimdPhilox.BLOCK * 4L);
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      for (int c = 0; c < cols; c += SimdPhilox.BLOCK) {
        if (threshold != 0) {
          SimdPhilox.fill(key, stream, r, c / SimdPhilox.BLOCK, bits);
        }
        long at = ((long) r * cols + c) * 4;
        drop(Math.min(SimdPhilox.BLOCK, cols - c), bits, x + at, y + at);
      }
    }
  }

  private void drop(int count, long bits, long from, long to) {
    for (int i = 0; i < count; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, count);
      FloatVector v = load(from + i * 4L, mask);
      if (threshold != 0) {
        IntVector random = IntVector.fromMemorySegment(I, Simd.MEMORY, bits + i * 4L, Simd.ORDER);
        VectorMask<Float> kept = random.compare(VectorOperators.UGE, threshold).cast(F);
        v = FloatVector.zero(F).blend(v.mul(scale), kept);
      }
      store(v, to + i * 4L, mask);
    }
  }

  // Rows by id.

  @Override
  void doGather(
      int rows,
      int cols,
      Buffer ids,
      int tableRows,
      Buffer table,
      float scale,
      float beta,
      Buffer y) {
    Check.indices("gather", "ids", ids, rows, 1, tableRows);
    this.rows = rows;
    this.cols = cols;
    this.ids = ids.segment().address();
    this.table = table.segment().address();
    this.scale = scale;
    yBeta = beta;
    this.y = y.segment().address();
    workers.run(ceilDiv(rows, ROWS), 4L * rows * cols, gatherTask);
  }

  private void gatherRows(int task, int worker) {
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long from = table + (long) getInt(ids + r * 4L) * cols * 4;
      long to = y + (long) r * cols * 4;
      for (int c = 0; c < cols; c += LANES) {
        VectorMask<Float> mask = F.indexInRange(c, cols);
        FloatVector v = load(from + c * 4L, mask).mul(scale);
        if (yBeta != 0) {
          v = load(to + c * 4L, mask).fma(FloatVector.broadcast(F, yBeta), v);
        }
        store(v, to + c * 4L, mask);
      }
    }
  }

  @Override
  void doScatterAdd(
      int rows, int cols, Buffer ids, Buffer x, float scale, int tableRows, Buffer table) {
    Check.indices("scatterAdd", "ids", ids, rows, 1, tableRows);
    if (rows == 0) {
      return;
    }
    this.rows = rows;
    this.cols = cols;
    this.ids = ids.segment().address();
    this.x = x.segment().address();
    this.scale = scale;
    this.table = table.segment().address();
    first = workers.shared().reserve((tableRows + 1L + rows) * 4);
    order = first + (tableRows + 1L) * 4;
    sortById(tableRows);
    workers.run(Math.min(PARTS, rows), 4L * rows * cols, scatterTask);
  }

  /** Sets order to the rows by id, those of one id ascending. */
  private void sortById(int tableRows) {
    Simd.MEMORY.asSlice(first, (tableRows + 1L) * 4).fill((byte) 0);
    for (int r = 0; r < rows; r++) {
      long at = first + getInt(ids + r * 4L) * 4L;
      setInt(at, getInt(at) + 1);
    }
    int total = 0;
    for (int id = 0; id <= tableRows; id++) {
      long at = first + id * 4L;
      total += getInt(at);
      setInt(at, total);
    }
    // Filling from the last row backwards keeps those of one id ascending.
    for (int r = rows - 1; r >= 0; r--) {
      long at = first + getInt(ids + r * 4L) * 4L;
      int place = getInt(at) - 1;
      setInt(at, place);
      setInt(order + place * 4L, r);
    }
  }

  /** An equal part of the sorted rows; a part takes the ids that begin in it, whole. */
  private void scatterPart(int part, int worker) {
    int parts = Math.min(PARTS, rows);
    int from = (int) ((long) rows * part / parts);
    int to = (int) ((long) rows * (part + 1) / parts);
    int before = from == 0 ? -1 : idAt(from - 1);
    for (int i = from; i < rows; i++) {
      int id = idAt(i);
      if (id == before) {
        continue;
      }
      if (i >= to && id != idAt(i - 1)) {
        return;
      }
      addRow(x + (long) getInt(order + i * 4L) * cols * 4, table + (long) id * cols * 4);
    }
  }

  private int idAt(int place) {
    return getInt(ids + getInt(order + place * 4L) * 4L);
  }

  private void addRow(long from, long to) {
    for (int c = 0; c < cols; c += LANES) {
      VectorMask<Float> mask = F.indexInRange(c, cols);
      FloatVector sum = load(to + c * 4L, mask);
      store(load(from + c * 4L, mask).fma(FloatVector.broadcast(F, scale), sum), to + c * 4L, mask);
    }
  }
}
