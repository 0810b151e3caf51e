package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;

class LossConformanceTest extends Conformance {
  LossConformanceTest(Backend backend) {
    super(backend);
  }

  private void crossEntropy(int rows, int classes, int width, double spread) {
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, width, (r, c) -> spread * memory.uniform());
          Matrix w = memory.matrix(classes, width, width);
          Ints targets = memory.ints(rows, r -> memory.below(classes));
          Matrix loss = memory.vector(1);
          Matrix alone = memory.vector(1);
          Matrix dh = memory.matrix(rows, width, width, (r, c) -> Double.NaN);
          Matrix dw = memory.matrix(classes, width, width);
          Loss losses = kernels.loss();
          losses.softmaxCrossEntropy(
              rows,
              classes,
              width,
              h.buffer,
              w.buffer,
              targets.buffer,
              loss.buffer,
              dh.buffer,
              dw.buffer);
          losses.softmaxCrossEntropy(
              rows, classes, width, h.buffer, w.buffer, targets.buffer, alone.buffer, null, null);
          assertArrayEquals(loss.now(), alone.now(), "the loss must not depend on its gradient");
          double total = 0;
          double[][] dhs = new double[rows][width];
          double[][] dws = new double[classes][width];
          for (int r = 0; r < rows; r++) {
            double[] score = new double[classes];
            double most = Double.NEGATIVE_INFINITY;
            for (int c = 0; c < classes; c++) {
              for (int d = 0; d < width; d++) {
                score[c] += h.was(r, d) * w.was(c, d);
              }
              most = Math.max(most, score[c]);
            }
            double sum = 0;
            for (double s : score) {
              sum += Math.exp(s - most);
            }
            total += most + Math.log(sum) - score[targets.was(r)];
            for (int c = 0; c < classes; c++) {
              double share = Math.exp(score[c] - most) / sum - (c == targets.was(r) ? 1 : 0);
              for (int d = 0; d < width; d++) {
                dhs[r][d] += share / rows * w.was(c, d);
                dws[c][d] += share / rows * h.was(r, d);
              }
            }
          }
          double mean = rows == 0 ? 0 : total / rows;
          double magnitude = spread * Math.sqrt(width);
          loss.check("softmaxCrossEntropy", width, magnitude, (none, zero) -> mean);
          // The errors of scores are relative errors of probabilities, which sum to one a row.
          double terms = width + Math.sqrt(classes);
          dh.check(
              "softmaxCrossEntropy's dh",
              terms,
              magnitude / Math.max(1, rows),
              (r, d) -> dhs[r][d]);
          dw.check(
              "softmaxCrossEntropy's dw",
              terms,
              Math.max(1, spread),
              (c, d) -> dw.was(c, d) + dws[c][d]);
        });
  }

  @Test
  void everySize() {
    for (int size : SIZES) {
      crossEntropy(size, 21, 19, 1);
    }
    for (int size : POSITIVE) {
      crossEntropy(13, size, 19, 1);
      crossEntropy(13, 21, size, 1);
    }
  }

  @Test
  void moreThanOneTile() {
    crossEntropy(150, 1031, 33, 1);
    crossEntropy(3, 5003, 50, 1);
    crossEntropy(701, 67, 16, 1);
    crossEntropy(5, 131_200, 2, 1);
  }

  @Test
  void scoresFarApartDoNotOverflow() {
    crossEntropy(37, 50, 16, 200);
  }
}
