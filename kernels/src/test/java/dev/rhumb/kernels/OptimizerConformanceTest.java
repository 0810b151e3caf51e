package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class OptimizerConformanceTest extends Conformance {
  OptimizerConformanceTest(Backend backend) {
    super(backend);
  }

  /** held: the gradient's factor lies in memory. */
  private void adam(int n, long step, float decay, double size, boolean held) {
    float scale = 0.7f;
    float lr = 1e-2f;
    float beta1 = 0.9f;
    float beta2 = 0.999f;
    float eps = 1e-8f;
    each(
        (kernels, memory) -> {
          Matrix x = memory.vector(n);
          Matrix g = memory.vector(n, (none, i) -> i % 5 == 4 ? 0 : size * memory.uniform());
          Matrix m = memory.vector(n, (none, i) -> step == 1 ? 0 : size * memory.uniform());
          Matrix v =
              memory.vector(
                  n,
                  (none, i) ->
                      step == 1 ? 0 : size * size * memory.uniform() / 2 + size * size / 2);
          Matrix factor = memory.vector(new double[] {0.7f});
          Optimizer optimizer = kernels.optimizer();
          if (held) {
            optimizer.adam(
                n,
                x.buffer,
                g.buffer,
                m.buffer,
                v.buffer,
                factor.buffer,
                lr,
                beta1,
                beta2,
                eps,
                decay,
                step);
          } else {
            optimizer.adam(
                n, x.buffer, g.buffer, m.buffer, v.buffer, scale, lr, beta1, beta2, eps, decay,
                step);
          }
          Memory.Fill first =
              (none, i) -> beta1 * m.was(i) + (1 - (double) beta1) * scale * g.was(i);
          Memory.Fill second =
              (none, i) ->
                  beta2 * v.was(i) + (1 - (double) beta2) * (scale * g.was(i)) * (scale * g.was(i));
          m.check("adam's m", 4, size, first);
          v.check("adam's v", 4, 0, second);
          x.check(
              "adam",
              4,
              (none, i) -> {
                double mean = first.at(0, i) / (1 - Math.pow(beta1, step));
                double square = second.at(0, i) / (1 - Math.pow(beta2, step));
                return x.was(i)
                    - (double) lr * decay * x.was(i)
                    - lr * mean / (Math.sqrt(square) + eps);
              });
        });
  }

  @Test
  void everySize() {
    for (int n : DenseConformanceTest.with(SIZES, 40_009)) {
      adam(n, 1, 0, 1, false);
      adam(n, 1000, 0.1f, 1, true);
    }
  }

  @Test
  void smallAndLargeGradients() {
    adam(67, 1, 0, 1e-15, true);
    adam(67, 3, 0, 1e-15, false);
    adam(67, 3, 0.5f, 1e15, false);
    adam(67, 1_000_000, 0, 1, true);
  }

  private void adamUnitRows(int rows, int cols, long step, double size) {
    float scale = 0.7f;
    float lr = 1e-2f;
    float beta1 = 0.9f;
    float beta2 = 0.99f;
    float eps = 1e-8f;
    each(
        (kernels, memory) -> {
          Matrix w = memory.matrix(rows, cols, cols, (r, c) -> r == 3 ? 0 : memory.uniform());
          Matrix g = memory.matrix(rows, cols, cols, (r, c) -> size * memory.uniform());
          Matrix m = memory.matrix(rows, cols, cols, (r, c) -> size * memory.uniform());
          Matrix v =
              memory.matrix(rows, cols, cols, (r, c) -> size * size * (memory.uniform() / 2 + .6));
          Matrix factor = memory.vector(new double[] {0.7f});
          kernels
              .optimizer()
              .adamUnitRows(
                  rows,
                  cols,
                  w.buffer,
                  g.buffer,
                  m.buffer,
                  v.buffer,
                  factor.buffer,
                  lr,
                  beta1,
                  beta2,
                  eps,
                  step);
          double[][] first = new double[rows][cols];
          double[][] second = new double[rows][cols];
          double[][] unit = new double[rows][cols];
          for (int r = 0; r < rows; r++) {
            double along = along(w, g, r);
            double norm = 0;
            for (int c = 0; c < cols; c++) {
              double gradient = scale * (g.was(r, c) - along * w.was(r, c));
              first[r][c] = beta1 * m.was(r, c) + (1 - (double) beta1) * gradient;
              second[r][c] = beta2 * v.was(r, c) + (1 - (double) beta2) * gradient * gradient;
              double mean = first[r][c] / (1 - Math.pow(beta1, step));
              double square = second[r][c] / (1 - Math.pow(beta2, step));
              unit[r][c] = w.was(r, c) - lr * mean / (Math.sqrt(square) + eps);
              norm += unit[r][c] * unit[r][c];
            }
            for (int c = 0; c < cols; c++) {
              unit[r][c] /= Math.sqrt(norm);
            }
          }
          m.check("adamUnitRows's m", cols, size, (r, c) -> first[r][c]);
          v.check("adamUnitRows's v", cols, size * size, (r, c) -> second[r][c]);
          w.check("adamUnitRows", cols, (r, c) -> unit[r][c]);
        });
  }

  /** The part of g's row along that of w, as a factor on w. */
  private static double along(Matrix w, Matrix g, int row) {
    double squares = 0;
    double dot = 0;
    for (int c = 0; c < w.cols; c++) {
      squares += w.was(row, c) * w.was(row, c);
      dot += w.was(row, c) * g.was(row, c);
    }
    return squares == 0 ? 0 : dot / squares;
  }

  @Test
  void adamUnitRows() {
    for (int size : POSITIVE) {
      adamUnitRows(5, size, 1, 1);
      adamUnitRows(size, 7, 1000, 1);
    }
    adamUnitRows(0, 7, 1, 1);
    adamUnitRows(5, 67, 3, 1e12);
    adamUnitRows(3, 1100, 3, 1);
    adamUnitRows(601, 64, 3, 1);
  }

  @Test
  void aFactorThatIsNoNumberChangesNothing() {
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(7, 11, 11);
          Matrix g = memory.matrix(7, 11, 11);
          Matrix m = memory.matrix(7, 11, 11);
          Matrix v = memory.matrix(7, 11, 11);
          Matrix factor = memory.vector(new double[] {Double.NaN});
          Optimizer optimizer = kernels.optimizer();
          optimizer.adam(
              77, x.buffer, g.buffer, m.buffer, v.buffer, Float.NaN, 1, .9f, .99f, 0, 0, 1);
          optimizer.adam(
              77, x.buffer, g.buffer, m.buffer, v.buffer, factor.buffer, 1, .9f, .99f, 0, 0, 1);
          optimizer.adamUnitRows(
              7, 11, x.buffer, g.buffer, m.buffer, v.buffer, factor.buffer, 1, .9f, .99f, 0, 1);
          // That nothing changed is checked of everything that is not called an output.
        });
  }

  private void clip(int count, int rows, int cols, double size, float most) {
    each(
        (kernels, memory) -> {
          Matrix gradient = memory.vector(count, (none, i) -> size * memory.uniform());
          Matrix w = memory.matrix(rows, cols, cols, (r, c) -> r == 3 ? 0 : memory.uniform());
          Matrix dw = memory.matrix(rows, cols, cols, (r, c) -> size * memory.uniform());
          Matrix scale = memory.vector(1);
          if (rows == 0) {
            kernels.optimizer().clip(count, gradient.buffer, most, scale.buffer);
          } else {
            kernels
                .optimizer()
                .clip(count, gradient.buffer, rows, cols, w.buffer, dw.buffer, most, scale.buffer);
          }
          double squares = 0;
          for (int i = 0; i < count; i++) {
            squares += gradient.was(i) * gradient.was(i);
          }
          for (int r = 0; r < rows; r++) {
            double along = along(w, dw, r);
            for (int c = 0; c < cols && cols > 1; c++) {
              squares += Math.pow(dw.was(r, c) - along * w.was(r, c), 2);
            }
            // Of one column nothing is left but the row of zeros.
            squares += cols == 1 && r == 3 ? Math.pow(dw.was(r, 0), 2) : 0;
          }
          double norm = Math.sqrt(squares);
          double expected =
              Double.isFinite((float) squares) ? Math.min(1, most / norm) : Double.NaN;
          if (Double.isNaN(expected)) {
            assertTrue(Float.isNaN(scale.now()[0]));
          } else {
            scale.check("clip", cols, 0, (none, i) -> expected);
          }
        });
  }

  @Test
  void clip() {
    for (int n : DenseConformanceTest.with(SIZES, 40_009)) {
      clip(n, 0, 1, 1, 0.5f);
      clip(9, n % 1000, 7, 1, 1e9f);
      clip(n, 5, 1 + n % 1200, 1, 0.5f);
    }
    clip(0, 601, 64, 1, 0.25f);
    clip(77, 5, 7, 1, Float.POSITIVE_INFINITY);
    clip(77, 5, 7, 1, 0);
    clip(77, 5, 7, 1e-18, 1);
    clip(77, 5, 7, 1e19, 1);
    clip(77, 0, 7, 1e20, Float.POSITIVE_INFINITY);
    clip(0, 5, 7, 1e25, 1);
  }

  @Test
  void aGradientThatIsNotFiniteHasNoFactor() {
    for (double bad : new double[] {Double.NaN, Double.NEGATIVE_INFINITY}) {
      for (int part : new int[] {0, 1}) {
        each(
            (kernels, memory) -> {
              Matrix gradient = memory.vector(90, (none, i) -> part == 0 && i == 33 ? bad : 1);
              Matrix w = memory.matrix(9, 7, 7);
              Matrix dw = memory.matrix(9, 7, 7, (r, c) -> part == 1 && r == 8 ? bad : 1);
              Matrix scale = memory.vector(1);
              kernels
                  .optimizer()
                  .clip(90, gradient.buffer, 9, 7, w.buffer, dw.buffer, 1, scale.buffer);
              assertTrue(Float.isNaN(scale.now()[0]));
            });
      }
    }
  }

  @Test
  void average() {
    for (int n : DenseConformanceTest.with(SIZES, 40_009)) {
      for (float decay : new float[] {0, 0.999f, 1}) {
        each(
            (kernels, memory) -> {
              Matrix x = memory.vector(n);
              Matrix average = memory.vector(n);
              kernels.optimizer().average(n, x.buffer, decay, average.buffer);
              average.check(
                  "average",
                  2,
                  (none, i) -> decay * average.was(i) + (1 - (double) decay) * x.was(i));
            });
      }
    }
  }
}
