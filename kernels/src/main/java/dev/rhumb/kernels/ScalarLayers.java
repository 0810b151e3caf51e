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
    };
  }

  private static double slope(Activation activation, double x) {
    return switch (activation) {
      case NONE -> 1;
      case RELU -> x > 0 ? 1 : 0;
      case GELU -> {
        double t = Math.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x));
        yield 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBE * x * x);
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
