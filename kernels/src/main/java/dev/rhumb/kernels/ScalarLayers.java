package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.getInt;
import static dev.rhumb.kernels.ScalarMemory.set;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** {@link Layers} in plain loops. */
final class ScalarLayers extends Layers {
  private static final double GELU_SCALE = Math.sqrt(2 / Math.PI);
  private static final double GELU_CUBE = 0.044715;

  private double[] sumGamma = new double[0];
  private double[] sumBeta = new double[0];
  private int[] first = new int[0];
  private int[] order = new int[0];

  static double activate(Activation activation, double x) {
    return switch (activation) {
      case NONE -> x;
      case RELU -> Math.max(x, 0);
      case GELU -> 0.5 * x * (1 + Math.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x)));
      case GELU_ERF -> x * normalDistribution(x);
      case SILU -> x * logistic(x);
    };
  }

  private static double logistic(double x) {
    return 1 / (1 + Math.exp(-x));
  }

  /** The density of the standard normal distribution. */
  private static double normalDensity(double x) {
    return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  }

  /**
   * The standard normal distribution function. Near 0 by the series 1/2 + phi(x) (x + x^3 / 3 + x^5
   * / 15 + ...), farther out by Laplace's continued fraction of the tail, phi(x) / (x + 1 / (x + 2
   * / (x + ...))) (Abramowitz and Stegun, 26.2.11 and 26.2.14).
   */
  private static double normalDistribution(double x) {
    double apart = Math.abs(x);
    if (apart < 4) {
      double term = x;
      double sum = x;
      for (int i = 3; Math.abs(term) > 1e-18 * Math.abs(sum); i += 2) {
        term *= x * x / i;
        sum += term;
      }
      return 0.5 + sum * normalDensity(x);
    }
    double rest = apart;
    for (int i = 40; i > 0; i--) {
      rest = apart + i / rest;
    }
    double tail = normalDensity(x) / rest;
    return x < 0 ? tail : 1 - tail;
  }

  static double slope(Activation activation, double x) {
    return switch (activation) {
      case NONE -> 1;
      case RELU -> x > 0 ? 1 : 0;
      case GELU -> {
        double t = Math.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x));
        yield 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBE * x * x);
      }
      case GELU_ERF -> normalDistribution(x) + x * normalDensity(x);
      case SILU -> {
        double s = logistic(x);
        yield s + x * s * (1 - s);
      }
    };
  }

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
    MemorySegment xs = x.segment();
    MemorySegment ys = y.segment();
    for (int r = 0; r < rows; r++) {
      double sum = 0;
      for (int c = 0; c < cols; c++) {
        sum += get(xs, r * xStride + c);
      }
      double centre = sum / cols;
      double squares = 0;
      for (int c = 0; c < cols; c++) {
        double apart = get(xs, r * xStride + c) - centre;
        squares += apart * apart;
      }
      double scale = 1 / Math.sqrt(squares / cols + eps);
      for (int c = 0; c < cols; c++) {
        double normal = (get(xs, r * xStride + c) - centre) * scale;
        set(ys, r * yStride + c, normal * get(gamma.segment(), c) + get(beta.segment(), c));
      }
      if (mean != null) {
        set(mean.segment(), r, centre);
        set(rstd.segment(), r, scale);
      }
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
    MemorySegment dys = dy.segment();
    MemorySegment xs = x.segment();
    MemorySegment dxs = dx.segment();
    MemorySegment gammas = gamma.segment();
    sumGamma = ScalarMemory.zeros(sumGamma, cols);
    sumBeta = ScalarMemory.zeros(sumBeta, cols);
    for (int r = 0; r < rows; r++) {
      long row = (long) r * cols;
      double centre = get(mean.segment(), r);
      double scale = get(rstd.segment(), r);
      // With n the normalised row and g = dy gamma: dx = scale (g - mean(g) - n mean(g n)).
      double meanG = 0;
      double meanGn = 0;
      for (int c = 0; c < cols; c++) {
        double normal = (get(xs, row + c) - centre) * scale;
        double g = (double) get(dys, row + c) * get(gammas, c);
        meanG += g;
        meanGn += g * normal;
        sumGamma[c] += get(dys, row + c) * normal;
        sumBeta[c] += get(dys, row + c);
      }
      meanG /= cols;
      meanGn /= cols;
      for (int c = 0; c < cols; c++) {
        double normal = (get(xs, row + c) - centre) * scale;
        double g = (double) get(dys, row + c) * get(gammas, c);
        double before = dxBeta == 0 ? 0 : (double) dxBeta * get(dxs, row + c);
        set(dxs, row + c, before + scale * (g - meanG - normal * meanGn));
      }
    }
    for (int c = 0; c < cols; c++) {
      set(dgamma.segment(), c, get(dgamma.segment(), c) + sumGamma[c]);
      set(dbeta.segment(), c, get(dbeta.segment(), c) + sumBeta[c]);
    }
  }

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
    MemorySegment xs = x.segment();
    for (int r = 0; r < rows; r++) {
      double squares = 0;
      for (int c = 0; c < cols; c++) {
        double v = get(xs, r * xStride + c);
        squares += v * v;
      }
      double scale = 1 / Math.sqrt(squares / cols + eps);
      for (int c = 0; c < cols; c++) {
        double normal = get(xs, r * xStride + c) * scale;
        set(y.segment(), r * yStride + c, normal * get(gamma.segment(), c));
      }
      if (rstd != null) {
        set(rstd.segment(), r, scale);
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
    MemorySegment dys = dy.segment();
    MemorySegment xs = x.segment();
    MemorySegment dxs = dx.segment();
    MemorySegment gammas = gamma.segment();
    sumGamma = ScalarMemory.zeros(sumGamma, cols);
    for (int r = 0; r < rows; r++) {
      long row = (long) r * cols;
      double scale = get(rstd.segment(), r);
      // With n the normalised row and g = dy gamma: dx = scale (g - n mean(g n)).
      double meanGn = 0;
      for (int c = 0; c < cols; c++) {
        double normal = get(xs, row + c) * scale;
        meanGn += (double) get(dys, row + c) * get(gammas, c) * normal;
        sumGamma[c] += get(dys, row + c) * normal;
      }
      meanGn /= cols;
      for (int c = 0; c < cols; c++) {
        double normal = get(xs, row + c) * scale;
        double g = (double) get(dys, row + c) * get(gammas, c);
        double before = dxBeta == 0 ? 0 : (double) dxBeta * get(dxs, row + c);
        set(dxs, row + c, before + scale * (g - normal * meanGn));
      }
    }
    for (int c = 0; c < cols; c++) {
      set(dgamma.segment(), c, get(dgamma.segment(), c) + sumGamma[c]);
    }
  }

  @Override
  void doSwiglu(int rows, int cols, Buffer x, Buffer y) {
    for (int r = 0; r < rows; r++) {
      long gate = 2L * r * cols;
      for (int c = 0; c < cols; c++) {
        double g = activate(Activation.SILU, get(x.segment(), gate + c));
        set(y.segment(), (long) r * cols + c, g * get(x.segment(), gate + cols + c));
      }
    }
  }

  @Override
  void doSwigluBackward(int rows, int cols, Buffer x, Buffer dy, Buffer dx) {
    for (int r = 0; r < rows; r++) {
      long gate = 2L * r * cols;
      for (int c = 0; c < cols; c++) {
        double g = get(x.segment(), gate + c);
        double u = get(x.segment(), gate + cols + c);
        double d = get(dy.segment(), (long) r * cols + c);
        set(dx.segment(), gate + c, d * u * slope(Activation.SILU, g));
        set(dx.segment(), gate + cols + c, d * activate(Activation.SILU, g));
      }
    }
  }

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
    MemorySegment xs = x.segment();
    int half = headWidth / 2;
    for (int r = 0; r < rows; r++) {
      long turn = (long) getInt(positions.segment(), r) * headWidth;
      for (int h = 0; h < heads; h++) {
        long head = r * xStride + (long) h * headWidth;
        for (int i = 0; i < half; i++) {
          double cos = get(angles.segment(), turn + i);
          double sin = (inverse ? -1 : 1) * get(angles.segment(), turn + half + i);
          double a = get(xs, head + i);
          double b = get(xs, head + half + i);
          set(xs, head + i, a * cos - b * sin);
          set(xs, head + half + i, b * cos + a * sin);
        }
      }
    }
  }

  @Override
  void doActivation(Activation activation, long count, Buffer x, Buffer y) {
    MemorySegment xs = x.segment();
    MemorySegment ys = y.segment();
    for (long i = 0; i < count; i++) {
      set(ys, i, activate(activation, get(xs, i)));
    }
  }

  @Override
  void doActivationBackward(Activation activation, long count, Buffer x, Buffer dy, Buffer dx) {
    MemorySegment xs = x.segment();
    MemorySegment dys = dy.segment();
    MemorySegment dxs = dx.segment();
    for (long i = 0; i < count; i++) {
      set(dxs, i, get(dys, i) * slope(activation, get(xs, i)));
    }
  }

  @Override
  void doDropout(int rows, int cols, float p, long key, long stream, Buffer x, Buffer y) {
    MemorySegment xs = x.segment();
    MemorySegment ys = y.segment();
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        long at = (long) r * cols + c;
        double factor = keepScale(p, key, stream, r, c);
        set(ys, at, factor == 0 ? 0 : get(xs, at) * factor);
      }
    }
  }

  /** Dropout's factor at a place: 1 / (1 - p) where it is kept, else 0. */
  static double keepScale(float p, long key, long stream, int row, int col) {
    boolean kept =
        p == 0
            || Integer.compareUnsigned(Philox.bits(key, stream, row, col), Philox.keepThreshold(p))
                >= 0;
    return kept ? 1 / (1 - (double) p) : 0;
  }

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
    MemorySegment tables = table.segment();
    MemorySegment ys = y.segment();
    for (int r = 0; r < rows; r++) {
      long from = (long) getInt(ids.segment(), r) * cols;
      for (int c = 0; c < cols; c++) {
        long at = (long) r * cols + c;
        double before = beta == 0 ? 0 : (double) beta * get(ys, at);
        set(ys, at, before + (double) scale * get(tables, from + c));
      }
    }
  }

  @Override
  void doScatterAdd(
      int rows, int cols, Buffer ids, Buffer x, float scale, int tableRows, Buffer table) {
    Check.indices("scatterAdd", "ids", ids, rows, 1, tableRows);
    MemorySegment xs = x.segment();
    MemorySegment tables = table.segment();
    sortByIndex(ids, rows, tableRows);
    for (int id = 0; id < tableRows; id++) {
      if (first[id] == first[id + 1]) {
        continue;
      }
      for (int c = 0; c < cols; c++) {
        double sum = 0;
        for (int i = first[id]; i < first[id + 1]; i++) {
          sum += get(xs, (long) order[i] * cols + c);
        }
        long at = (long) id * cols + c;
        set(tables, at, get(tables, at) + scale * sum);
      }
    }
  }

  /** Sets order[first[id] .. first[id + 1]] to the rows that hold id, ascending. */
  private void sortByIndex(Buffer ids, int rows, int tableRows) {
    MemorySegment at = ids.segment();
    first = ScalarMemory.atLeast(first, tableRows + 1);
    order = ScalarMemory.atLeast(order, rows);
    Arrays.fill(first, 0, tableRows + 1, 0);
    for (int r = 0; r < rows; r++) {
      first[getInt(at, r)]++;
    }
    int total = 0;
    for (int id = 0; id <= tableRows; id++) {
      total += first[id];
      first[id] = total;
    }
    // Filling from the last row backwards leaves each start where it belongs.
    for (int r = rows - 1; r >= 0; r--) {
      order[--first[getInt(at, r)]] = r;
    }
  }
}
