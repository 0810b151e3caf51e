package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class LayersConformanceTest extends Conformance {
  LayersConformanceTest(Backend backend) {
    super(backend);
  }

  private static double mean(Matrix x, int row) {
    double sum = 0;
    for (int c = 0; c < x.cols; c++) {
      sum += x.was(row, c);
    }
    return sum / x.cols;
  }

  private static double rstd(Matrix x, int row, double eps) {
    double mean = mean(x, row);
    double sum = 0;
    for (int c = 0; c < x.cols; c++) {
      sum += (x.was(row, c) - mean) * (x.was(row, c) - mean);
    }
    return 1 / Math.sqrt(sum / x.cols + eps);
  }

  private void layerNorm(int rows, int cols, int salt, double magnitude, Memory.Fill fill) {
    float eps = 1e-5f;
    each(
        (kernels, memory) -> {
          Matrix x =
              memory.matrix(
                  rows, cols, stride(cols, salt), fill != null ? fill : (r, c) -> memory.uniform());
          Matrix gamma = memory.vector(cols);
          Matrix beta = memory.vector(cols);
          boolean inPlace = salt % 3 == 0;
          boolean moments = salt % 2 == 0;
          Matrix y = inPlace ? x : memory.matrix(rows, cols, stride(cols, salt + 1));
          Matrix mean = memory.vector(rows);
          Matrix rstd = memory.vector(rows);
          kernels
              .layers()
              .layerNorm(
                  rows,
                  cols,
                  eps,
                  x.buffer,
                  x.stride,
                  gamma.buffer,
                  beta.buffer,
                  y.buffer,
                  y.stride,
                  moments ? mean.buffer : null,
                  moments ? rstd.buffer : null);
          y.check(
              "layerNorm",
              cols,
              magnitude,
              (r, c) -> (x.was(r, c) - mean(x, r)) * rstd(x, r, eps) * gamma.was(c) + beta.was(c));
          if (moments) {
            mean.check("layerNorm's mean", cols, magnitude, (none, r) -> mean(x, r));
            rstd.check("layerNorm's rstd", cols, 0, (none, r) -> rstd(x, r, eps));
          }
        });
  }

  @Test
  void layerNorm() {
    int salt = 0;
    for (int cols : DenseConformanceTest.with(POSITIVE, 768)) {
      for (int rows : new int[] {0, 1, 5}) {
        layerNorm(rows, cols, salt++, 4, null);
      }
    }
    layerNorm(801, 70, 1, 4, null);
  }

  @Test
  void layerNormFarFromZeroNeedsTwoPasses() {
    // A variance as mean(x^2) - mean(x)^2 in float32 would have no right digit here.
    layerNorm(2, 65, 0, 4000, (r, c) -> 4096 + (c % 7) * 0.5);
  }

  @Test
  void layerNormOfEqualAndOfLargeValues() {
    layerNorm(2, 33, 1, 4, (r, c) -> r);
    layerNorm(2, 33, 2, 4, (r, c) -> (c % 3 - 1) * 1e15);
    layerNorm(2, 33, 4, 4, (r, c) -> (c % 3 - 1) * 1e-42);
  }

  private void layerNormBackward(int rows, int cols, float dxBeta, boolean inPlace) {
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(rows, cols, cols);
          Matrix gamma = memory.vector(cols);
          Matrix mean = memory.vector(rows, (none, r) -> mean(x, r));
          Matrix rstd = memory.vector(rows, (none, r) -> rstd(x, r, 1e-3));
          Matrix dy = memory.matrix(rows, cols, cols);
          Matrix dx =
              inPlace
                  ? dy
                  : memory.matrix(
                      rows, cols, cols, (r, c) -> dxBeta == 0 ? Double.NaN : memory.uniform());
          Matrix dgamma = memory.vector(cols);
          Matrix dbeta = memory.vector(cols);
          kernels
              .layers()
              .layerNormBackward(
                  rows,
                  cols,
                  dy.buffer,
                  x.buffer,
                  gamma.buffer,
                  mean.buffer,
                  rstd.buffer,
                  dxBeta,
                  dx.buffer,
                  dgamma.buffer,
                  dbeta.buffer);
          double[] steepest = new double[rows];
          double[][] slope = new double[rows][cols];
          for (int r = 0; r < rows; r++) {
            steepest[r] = rstd.was(r);
            double along = 0;
            double even = 0;
            for (int c = 0; c < cols; c++) {
              double g = dy.was(r, c) * gamma.was(c);
              even += g / cols;
              along += g * (x.was(r, c) - mean.was(r)) * rstd.was(r) / cols;
            }
            for (int c = 0; c < cols; c++) {
              double n = (x.was(r, c) - mean.was(r)) * rstd.was(r);
              slope[r][c] = rstd.was(r) * (dy.was(r, c) * gamma.was(c) - even - n * along);
            }
          }
          double magnitude = 1 + java.util.Arrays.stream(steepest).max().orElse(0);
          dx.check(
              "layerNormBackward's dx",
              cols,
              magnitude,
              (r, c) -> (dxBeta == 0 ? 0 : dxBeta * dx.was(r, c)) + slope[r][c]);
          dgamma.check(
              "layerNormBackward's dgamma",
              rows,
              (none, c) -> {
                double sum = dgamma.was(c);
                for (int r = 0; r < rows; r++) {
                  sum += dy.was(r, c) * (x.was(r, c) - mean.was(r)) * rstd.was(r);
                }
                return sum;
              });
          dbeta.check(
              "layerNormBackward's dbeta",
              rows,
              (none, c) -> {
                double sum = dbeta.was(c);
                for (int r = 0; r < rows; r++) {
                  sum += dy.was(r, c);
                }
                return sum;
              });
        });
  }

  @Test
  void layerNormBackward() {
    int salt = 0;
    for (int cols : POSITIVE) {
      for (int rows : new int[] {0, 1, 5}) {
        salt++;
        layerNormBackward(rows, cols, new float[] {0, 1, 0.5f}[salt % 3], salt % 6 == 0);
      }
    }
    layerNormBackward(603, 70, 1, false);
  }

  private static double rms(Matrix x, int row, double eps) {
    double sum = 0;
    for (int c = 0; c < x.cols; c++) {
      sum += x.was(row, c) * x.was(row, c);
    }
    return 1 / Math.sqrt(sum / x.cols + eps);
  }

  private void rmsNorm(int rows, int cols, int salt, double magnitude, Memory.Fill fill) {
    float eps = 1e-6f;
    each(
        (kernels, memory) -> {
          Matrix x =
              memory.matrix(
                  rows, cols, stride(cols, salt), fill != null ? fill : (r, c) -> memory.uniform());
          Matrix gamma = memory.vector(cols);
          boolean moments = salt % 2 == 0;
          Matrix y = salt % 3 == 0 ? x : memory.matrix(rows, cols, stride(cols, salt + 1));
          Matrix rstd = memory.vector(rows);
          kernels
              .layers()
              .rmsNorm(
                  rows,
                  cols,
                  eps,
                  x.buffer,
                  x.stride,
                  gamma.buffer,
                  y.buffer,
                  y.stride,
                  moments ? rstd.buffer : null);
          y.check(
              "rmsNorm", cols, magnitude, (r, c) -> x.was(r, c) * rms(x, r, eps) * gamma.was(c));
          if (moments) {
            rstd.check("rmsNorm's rstd", cols, 0, (none, r) -> rms(x, r, eps));
          }
        });
  }

  @Test
  void rmsNorm() {
    int salt = 0;
    for (int cols : DenseConformanceTest.with(POSITIVE, 768)) {
      for (int rows : new int[] {0, 1, 5}) {
        rmsNorm(rows, cols, salt++, 1, null);
      }
    }
    rmsNorm(801, 70, 1, 1, null);
    rmsNorm(2, 33, 2, 4, (r, c) -> (c % 3 - 1) * 1e15);
    rmsNorm(2, 33, 4, 1, (r, c) -> (c % 3 - 1) * 1e-30);
  }

  private void rmsNormBackward(int rows, int cols, float dxBeta, boolean inPlace) {
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(rows, cols, cols);
          Matrix gamma = memory.vector(cols);
          Matrix rstd = memory.vector(rows, (none, r) -> rms(x, r, 1e-3));
          Matrix dy = memory.matrix(rows, cols, cols);
          Matrix dx =
              inPlace
                  ? dy
                  : memory.matrix(
                      rows, cols, cols, (r, c) -> dxBeta == 0 ? Double.NaN : memory.uniform());
          Matrix dgamma = memory.vector(cols);
          kernels
              .layers()
              .rmsNormBackward(
                  rows,
                  cols,
                  dy.buffer,
                  x.buffer,
                  gamma.buffer,
                  rstd.buffer,
                  dxBeta,
                  dx.buffer,
                  dgamma.buffer);
          double steepest = 1;
          double[] along = new double[rows];
          for (int r = 0; r < rows; r++) {
            steepest = Math.max(steepest, 1 + rstd.was(r));
            for (int c = 0; c < cols; c++) {
              along[r] += dy.was(r, c) * gamma.was(c) * x.was(r, c) * rstd.was(r) / cols;
            }
          }
          dx.check(
              "rmsNormBackward's dx",
              cols,
              steepest,
              (r, c) ->
                  (dxBeta == 0 ? 0 : dxBeta * dx.was(r, c))
                      + rstd.was(r)
                          * (dy.was(r, c) * gamma.was(c) - x.was(r, c) * rstd.was(r) * along[r]));
          dgamma.check(
              "rmsNormBackward's dgamma",
              rows,
              (none, c) -> {
                double sum = dgamma.was(c);
                for (int r = 0; r < rows; r++) {
                  sum += dy.was(r, c) * x.was(r, c) * rstd.was(r);
                }
                return sum;
              });
        });
  }

  @Test
  void rmsNormBackward() {
    int salt = 0;
    for (int cols : DenseConformanceTest.with(POSITIVE, 768)) {
      for (int rows : new int[] {0, 1, 5}) {
        salt++;
        rmsNormBackward(rows, cols, new float[] {0, 1, 0.5f}[salt % 3], salt % 6 == 0);
      }
    }
    rmsNormBackward(603, 70, 1, false);
  }

  private void swiglu(int rows, int cols, boolean inPlace, Memory.Fill fill) {
    each(
        (kernels, memory) -> {
          Matrix x =
              memory.matrix(
                  rows, 2 * cols, 2 * cols, fill != null ? fill : (r, c) -> 6 * memory.uniform());
          Matrix y = memory.matrix(rows, cols, cols);
          kernels.layers().swiglu(rows, cols, x.buffer, y.buffer);
          y.check(
              "swiglu",
              4,
              (r, c) ->
                  DenseConformanceTest.act(Activation.SILU, x.was(r, c)) * x.was(r, cols + c));
          Matrix dy = memory.matrix(rows, cols, cols);
          Matrix dx = inPlace ? x : memory.matrix(rows, 2 * cols, 2 * cols);
          kernels.layers().swigluBackward(rows, cols, x.buffer, dy.buffer, dx.buffer);
          dx.check(
              "swigluBackward",
              16,
              (r, c) ->
                  c < cols
                      ? dy.was(r, c) * x.was(r, cols + c) * slope(Activation.SILU, x.was(r, c))
                      : dy.was(r, c - cols)
                          * DenseConformanceTest.act(Activation.SILU, x.was(r, c - cols)));
        });
  }

  @Test
  void swiglu() {
    int salt = 0;
    for (int cols : DenseConformanceTest.with(POSITIVE, 2048)) {
      for (int rows : new int[] {0, 1, cols == 17 ? 201 : 5}) {
        swiglu(rows, cols, salt++ % 2 == 0, null);
      }
    }
    swiglu(3, 5, false, (r, c) -> c < 5 ? new double[] {-1e20, 1e20, -1e4, 1e4, 1e-20}[c] : 0.5);
  }

  private void rotary(int rows, int heads, int headWidth, int salt) {
    int table = 9;
    boolean inverse = salt % 2 == 1;
    each(
        (kernels, memory) -> {
          Ints positions = memory.ints(rows, r -> memory.below(table));
          Matrix angles = memory.matrix(table, headWidth, headWidth);
          Matrix x = memory.matrix(rows, heads * headWidth, stride(heads * headWidth, salt));
          kernels
              .layers()
              .rotary(
                  rows,
                  heads,
                  headWidth,
                  positions.buffer,
                  table,
                  angles.buffer,
                  inverse,
                  x.buffer,
                  x.stride);
          int half = headWidth / 2;
          x.check(
              "rotary",
              2,
              (r, c) -> {
                int i = c % headWidth;
                double cos = angles.was(positions.was(r), i % half);
                double sin = angles.was(positions.was(r), half + i % half);
                double other = x.was(r, i < half ? c + half : c - half);
                return x.was(r, c) * cos + ((i < half) == inverse ? 1 : -1) * other * sin;
              });
        });
  }

  @Test
  void rotary() {
    int salt = 0;
    for (int headWidth : new int[] {2, 4, 6, 14, 16, 18, 30, 32, 34, 64, 66, 96, 128}) {
      for (int rows : new int[] {0, 1, headWidth == 16 ? 201 : 5}) {
        rotary(rows, 1 + salt % 3, headWidth, salt++);
      }
    }
    rotary(3, 48, 16, 1);
  }

  @Test
  void rotaryTurnsBack() {
    each(
        (kernels, memory) -> {
          Ints positions = memory.ints(3, r -> 1 + r);
          Matrix angles =
              memory.matrix(
                  4, 10, 10, (t, c) -> c < 5 ? Math.cos(t * (c + .3)) : Math.sin(t * (c - 4.7)));
          Matrix x = memory.matrix(3, 20, 20);
          for (boolean inverse : new boolean[] {false, true}) {
            kernels
                .layers()
                .rotary(3, 2, 10, positions.buffer, 4, angles.buffer, inverse, x.buffer, 20);
          }
          x.check("rotary and its inverse", 4, x::was);
        });
  }

  private static double slope(Activation activation, double x) {
    return switch (activation) {
      case NONE -> 1;
      case RELU -> x > 0 ? 1 : 0;
      case GELU -> {
        // d/dx of x s(u), s the logistic function, u = 2 sqrt(2/pi) (x + 0.044715 x^3).
        double root = 2 * Math.sqrt(2 / Math.PI);
        double s = 1 / (1 + Math.exp(-root * (x + 0.044715 * x * x * x)));
        yield s + x * s * (1 - s) * root * (1 + 3 * 0.044715 * x * x);
      }
      case GELU_ERF ->
          DenseConformanceTest.normalDistribution(x)
              + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
      case SILU -> {
        double s = 1 / (1 + Math.exp(-x));
        yield s * (1 + x * (1 - s));
      }
    };
  }

  private void activation(Activation activation, int n, Memory.Fill fill) {
    each(
        (kernels, memory) -> {
          Matrix x = memory.vector(n, fill != null ? fill : (none, i) -> 6 * memory.uniform());
          Matrix dy = memory.vector(n);
          Matrix y = memory.vector(n);
          Matrix dx = memory.vector(n);
          Layers layers = kernels.layers();
          layers.activation(activation, n, x.buffer, y.buffer);
          y.check(
              "activation " + activation,
              4,
              (none, i) -> DenseConformanceTest.act(activation, x.was(i)));
          layers.activationBackward(activation, n, x.buffer, dy.buffer, dx.buffer);
          dx.check(
              "activationBackward " + activation,
              16,
              (none, i) -> dy.was(i) * slope(activation, x.was(i)));
          layers.activationBackward(activation, n, x.buffer, dy.buffer, dy.buffer);
          layers.activation(activation, n, x.buffer, x.buffer);
          float[] apart = dx.now();
          dy.checkExact("activationBackward in place", (none, i) -> apart[i]);
          float[] forward = y.now();
          x.checkExact("activation in place", (none, i) -> forward[i]);
        });
  }

  @Test
  void activations() {
    double[] extremes = {
      0, -0.0, 1e-42, -1e-42, 1e-20, -1e-20, 9, -9, 30, -30, 1e4, -1e4, 1e20, -1e20, 1e30, -1e30
    };
    for (Activation activation : Activation.values()) {
      for (int n : DenseConformanceTest.with(SIZES, 40_009)) {
        activation(activation, n, null);
      }
      activation(activation, extremes.length, (none, i) -> extremes[i]);
    }
  }

  @Test
  void dropoutFollowsPhilox() {
    long key = 0x1234_5678_9ABC_DEF0L;
    long stream = (7L << 32) + 3;
    int salt = 0;
    for (int cols : DenseConformanceTest.with(POSITIVE, 129, 200)) {
      for (int rows : new int[] {0, 1, cols == 200 ? 201 : 6}) {
        float p = new float[] {0.5f, 0.1f, 0, 0.99f}[salt++ % 4];
        boolean inPlace = salt % 3 == 0;
        each(
            (kernels, memory) -> {
              Matrix x =
                  memory.matrix(rows, cols, cols, (r, c) -> c == 2 ? 3e38 : 1 + memory.uniform());
              Matrix y = inPlace ? x : memory.matrix(rows, cols, cols);
              kernels.layers().dropout(rows, cols, p, key, stream, x.buffer, y.buffer);
              y.check(
                  "dropout",
                  0,
                  0,
                  (r, c) -> {
                    long bits = Philox.bits(key, stream, r, c) & 0xFFFFFFFFL;
                    return bits >= Math.round(p * 0x1p32) ? x.was(r, c) / (1 - (double) p) : 0;
                  });
            });
      }
    }
  }

  @Test
  void gather() {
    int salt = 0;
    for (int cols : POSITIVE) {
      for (int rows : new int[] {0, 1, 7, cols == 127 ? 1100 : 70}) {
        float beta = new float[] {0, 1, -0.5f}[salt++ % 3];
        each(
            (kernels, memory) -> {
              Matrix table = memory.matrix(11, cols, cols);
              Ints ids = memory.ints(rows, r -> r == 0 ? 10 : memory.below(11));
              Matrix y =
                  memory.matrix(
                      rows, cols, cols, (r, c) -> beta == 0 ? Double.NaN : memory.uniform());
              kernels.layers().gather(rows, cols, ids.buffer, 11, table.buffer, 3, beta, y.buffer);
              y.check(
                  "gather",
                  1,
                  (r, c) -> (beta == 0 ? 0 : beta * y.was(r, c)) + 3 * table.was(ids.was(r), c));
            });
      }
    }
  }

  @Test
  void scatter() {
    for (int cols : POSITIVE) {
      for (int rows : new int[] {0, 1, 7, cols == 127 ? 1100 : 70}) {
        each(
            (kernels, memory) -> {
              int tableRows = 2 * rows + 1;
              Matrix x = memory.matrix(rows, cols, cols);
              Ints ids = memory.ints(rows, r -> tableRows - 1 - 2 * r);
              Matrix table = memory.matrix(tableRows, cols, cols);
              kernels.layers().scatter(rows, cols, ids.buffer, x.buffer, tableRows, table.buffer);
              table.check(
                  "scatter",
                  0,
                  0,
                  (t, c) ->
                      t % 2 == 0 && t > 0 ? x.was((tableRows - 1 - t) / 2, c) : table.was(t, c));
            });
      }
    }
  }

  @Test
  void scatterRefusesIdsOutOfRange() {
    for (int bad : new int[] {-1, 5}) {
      each(
          (kernels, memory) -> {
            Matrix x = memory.matrix(1, 3, 3);
            Ints ids = memory.ints(1, r -> bad);
            Matrix table = memory.matrix(5, 3, 3);
            assertThrows(
                IllegalArgumentException.class,
                () -> {
                  kernels.layers().scatter(1, 3, ids.buffer, x.buffer, 5, table.buffer);
                  kernels.finish();
                });
          });
    }
  }

  private void scatterAdd(int rows, int cols, int tableRows, int distinct) {
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(rows, cols, cols);
          Ints ids = memory.ints(rows, r -> tableRows - 1 - memory.below(distinct));
          Matrix table = memory.matrix(tableRows, cols, cols);
          kernels
              .layers()
              .scatterAdd(rows, cols, ids.buffer, x.buffer, 0.5f, tableRows, table.buffer);
          double[][] sums = new double[tableRows][cols];
          for (int r = 0; r < rows; r++) {
            for (int c = 0; c < cols; c++) {
              sums[ids.was(r)][c] += 0.5 * x.was(r, c);
            }
          }
          table.check("scatterAdd", 1 + rows / distinct, (t, c) -> table.was(t, c) + sums[t][c]);
        });
  }

  @Test
  void scatterAdd() {
    for (int cols : POSITIVE) {
      for (int rows : new int[] {0, 1, 7, 70}) {
        scatterAdd(rows, cols, 11, 11);
      }
    }
    scatterAdd(2000, 67, 40, 2);
    scatterAdd(2000, 67, 500, 400);
  }

  @Test
  void scatterAddLeavesOtherRowsAlone() {
    each(
        (kernels, memory) -> {
          Matrix table = memory.matrix(5, 3, 3, (r, c) -> -0.0);
          Ints ids = memory.ints(3, 3);
          Matrix x = memory.matrix(2, 3, 3);
          kernels.layers().scatterAdd(2, 3, ids.buffer, x.buffer, 1, 5, table.buffer);
          assertEquals(-0.0f, table.now()[0]);
          assertEquals(-0.0f, table.now()[14]);
        });
  }
}
