package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class LossConformanceTest extends Conformance {
  LossConformanceTest(Backend backend) {
    super(backend);
  }

  /**
   * The gradients in h and w that the slopes of scores give, in double.
   *
   * <p>In bf16 the slope of a matrix product is rounded too. Where it lies so near the middle of
   * two neighbours that float32 may round it to either, both are right.
   */
  private final class Gradients {
    private final Matrix h;
    private final Matrix w;
    private final double[][] dh;
    private final double[][] dw;
    private final double[][] dhSlack;
    private final double[][] dwSlack;

    Gradients(Matrix h, Matrix w) {
      this.h = h;
      this.w = w;
      dh = new double[h.rows][h.cols];
      dw = new double[w.rows][h.cols];
      dhSlack = new double[h.rows][h.cols];
      dwSlack = new double[w.rows][h.cols];
    }

    /**
     * @param error of the slope, as float32 has it
     * @param product whether the score is of a matrix product, not of a row and a class of its own
     */
    void add(int r, int c, double slope, double error, boolean product) {
      double low = product && bf16 ? operand(slope - error) : slope;
      double high = product && bf16 ? operand(slope + error) : slope;
      for (int d = 0; d < h.cols; d++) {
        double x = product ? operand(h.was(r, d)) : h.was(r, d);
        double y = product ? operand(w.was(c, d)) : w.was(c, d);
        dh[r][d] += (low + high) / 2 * y;
        dw[c][d] += (low + high) / 2 * x;
        dhSlack[r][d] += (high - low) / 2 * Math.abs(y);
        dwSlack[c][d] += (high - low) / 2 * Math.abs(x);
      }
    }

    void check(String op, Matrix dh, Matrix dw, double terms, double magnitude, double spread) {
      float[] dhNow = dh.now();
      float[] dwNow = dw.now();
      dh.check(
          op + "'s dh",
          terms,
          magnitude / Math.max(1, h.rows),
          (r, d) -> within(dhNow[r * h.cols + d], this.dh[r][d], dhSlack[r][d]));
      dw.check(
          op + "'s dw",
          terms,
          Math.max(1, spread),
          (c, d) -> within(dwNow[c * h.cols + d], dw.was(c, d) + this.dw[c][d], dwSlack[c][d]));
    }

    private static double within(double actual, double expected, double slack) {
      return slack == 0 ? expected : Math.min(Math.max(actual, expected - slack), expected + slack);
    }
  }

  /** How far a score in float32 is off, and by how much of itself so its probability. */
  private static double error(int width, double magnitude) {
    return 0x1p-22 * (2 + Math.sqrt(width)) * magnitude;
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
          double magnitude = spread * Math.sqrt(width);
          Gradients gradients = new Gradients(h, w);
          for (int r = 0; r < rows; r++) {
            double[] score = new double[classes];
            double most = Double.NEGATIVE_INFINITY;
            for (int c = 0; c < classes; c++) {
              for (int d = 0; d < width; d++) {
                score[c] += operand(h.was(r, d)) * operand(w.was(c, d));
              }
              most = Math.max(most, score[c]);
            }
            double sum = 0;
            for (double s : score) {
              sum += Math.exp(s - most);
            }
            total += most + Math.log(sum) - score[targets.was(r)];
            for (int c = 0; c < classes; c++) {
              double p = Math.exp(score[c] - most) / sum;
              double slope = (p - (c == targets.was(r) ? 1 : 0)) / rows;
              gradients.add(r, c, slope, error(width, magnitude + 1) * p / rows, true);
            }
          }
          double mean = rows == 0 ? 0 : total / rows;
          String op = "softmaxCrossEntropy" + (bf16 ? " in bf16" : "");
          loss.check(op, width, magnitude, (none, zero) -> mean);
          // The errors of scores are relative errors of probabilities, which sum to one a row.
          gradients.check(op, dh, dw, width + Math.sqrt(classes), magnitude, spread);
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

  /**
   * Sampled softmax against the plain formula.
   *
   * @param step of the negatives: each step-th class, so that some targets are hit
   */
  private void sampled(int rows, int classes, int width, int step, double spread) {
    int negatives = (classes + step - 1) / step;
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, width, (r, c) -> spread * memory.uniform());
          Matrix w = memory.matrix(classes, width, width);
          Ints targets = memory.ints(rows, r -> memory.below(classes));
          Ints sample = memory.ints(negatives, j -> j * step);
          Matrix bias = memory.vector(negatives, (none, j) -> 3 * memory.uniform());
          Matrix targetBias = memory.vector(classes, (none, c) -> 3 * memory.uniform());
          Matrix loss = memory.vector(1);
          Matrix alone = memory.vector(1);
          Matrix dh = memory.matrix(rows, width, width, (r, c) -> Double.NaN);
          Matrix dw = memory.matrix(classes, width, width);
          for (boolean gradient : new boolean[] {true, false}) {
            kernels
                .loss()
                .sampledSoftmaxCrossEntropy(
                    rows,
                    negatives,
                    classes,
                    width,
                    h.buffer,
                    w.buffer,
                    targets.buffer,
                    sample.buffer,
                    bias.buffer,
                    targetBias.buffer,
                    gradient ? loss.buffer : alone.buffer,
                    gradient ? dh.buffer : null,
                    gradient ? dw.buffer : null);
          }
          assertArrayEquals(loss.now(), alone.now(), "the loss must not depend on its gradient");
          double total = 0;
          double magnitude = spread * Math.sqrt(width) + 3;
          Gradients gradients = new Gradients(h, w);
          for (int r = 0; r < rows && loss.judged(); r++) {
            int target = targets.was(r);
            double[] score = new double[negatives + 1];
            double most = Double.NEGATIVE_INFINITY;
            for (int j = 0; j <= negatives; j++) {
              int c = j == negatives ? target : sample.was(j);
              score[j] = j == negatives ? targetBias.was(target) : bias.was(j);
              for (int d = 0; d < width; d++) {
                score[j] +=
                    j < negatives
                        ? operand(h.was(r, d)) * operand(w.was(c, d))
                        : h.was(r, d) * w.was(c, d);
              }
              if (j < negatives && c == target) {
                score[j] = Double.NEGATIVE_INFINITY;
              }
              most = Math.max(most, score[j]);
            }
            double sum = 0;
            for (double s : score) {
              sum += Math.exp(s - most);
            }
            total += most + Math.log(sum) - score[negatives];
            for (int j = 0; j <= negatives; j++) {
              int c = j == negatives ? target : sample.was(j);
              double p = Math.exp(score[j] - most) / sum;
              double slope = (p - (j == negatives ? 1 : 0)) / rows;
              gradients.add(r, c, slope, error(width, magnitude) * p / rows, j < negatives);
            }
          }
          double mean = rows == 0 ? 0 : total / rows;
          String op = "sampledSoftmaxCrossEntropy" + (bf16 ? " in bf16" : "");
          loss.check(op, width, magnitude, (none, zero) -> mean);
          gradients.check(op, dh, dw, width + Math.sqrt(negatives + 1), magnitude, spread);
        });
  }

  @Test
  void sampledSoftmaxOfEverySize() {
    for (int size : SIZES) {
      sampled(size, 21, 19, 2, 1);
    }
    for (int size : POSITIVE) {
      sampled(13, size, 19, 1, 1);
      sampled(13, 21, size, 2, 1);
    }
    sampled(150, 1031, 33, 2, 1);
    sampled(701, 67, 16, 3, 1);
    sampled(900, 300, 64, 1, 1);
    sampled(37, 50, 16, 1, 200);
  }

  @Test
  void withoutNegativesThereIsNothingToLearn() {
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(5, 7, 7);
          Matrix w = memory.matrix(4, 7, 7);
          Ints targets = memory.ints(5, r -> memory.below(4));
          Ints sample = memory.ints();
          Matrix bias = memory.vector(0);
          Matrix targetBias = memory.vector(4);
          Matrix loss = memory.vector(1);
          Matrix dh = memory.matrix(5, 7, 7);
          Matrix dw = memory.matrix(4, 7, 7);
          kernels
              .loss()
              .sampledSoftmaxCrossEntropy(
                  5,
                  0,
                  4,
                  7,
                  h.buffer,
                  w.buffer,
                  targets.buffer,
                  sample.buffer,
                  bias.buffer,
                  targetBias.buffer,
                  loss.buffer,
                  dh.buffer,
                  dw.buffer);
          loss.checkExact("loss", (none, zero) -> 0);
          dh.check("dh", 1, 0, (r, d) -> 0);
          dw.check("dw", 1, 0, (c, d) -> dw.was(c, d));
        });
  }

  /** Binary cross-entropy against the plain formula, over the negatives that the contract names. */
  private void binary(
      int rows, int negatives, int classes, int width, boolean grouped, double spread) {
    long key = 0x1234_5678_9ABCL;
    long stream = (1L << 33) + 5;
    float weight = 0.37f;
    int groups = grouped ? (rows + 3) / 4 + 1 : 0;
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, width, (r, c) -> spread * memory.uniform());
          Matrix w = memory.matrix(classes, width, width);
          Ints targets = memory.ints(rows, r -> 1 + memory.below(classes - 1));
          // Groups of four rows, but the first, which is empty; each excludes its targets and one
          // class more where that leaves something to draw.
          TreeSet<Integer>[] excluded = sets(groups);
          for (int r = 0; r < rows && grouped; r++) {
            excluded[r / 4 + 1].add(targets.was(r));
          }
          for (int g = 0; g < groups; g++) {
            if (excluded[g].size() < classes - 2) {
              excluded[g].add(1 + memory.below(classes - 1));
            }
          }
          Ints groupOffsets =
              grouped
                  ? memory.ints(groups + 1, g -> g < 2 ? 0 : Math.min(rows, 4 * (g - 1)))
                  : null;
          int[] starts = new int[groups + 1];
          for (int g = 0; g < groups; g++) {
            starts[g + 1] = starts[g] + excluded[g].size();
          }
          Ints excludedOffsets = grouped ? memory.ints(starts) : null;
          Ints all =
              grouped
                  ? memory.ints(
                      Arrays.stream(excluded)
                          .flatMap(TreeSet::stream)
                          .mapToInt(Integer::intValue)
                          .toArray())
                  : null;
          Matrix loss = memory.vector(1);
          Matrix alone = memory.vector(1);
          Matrix dh = memory.matrix(rows, width, width, (r, c) -> Double.NaN);
          Matrix dw = memory.matrix(classes, width, width);
          for (boolean gradient : new boolean[] {true, false}) {
            kernels
                .loss()
                .binaryCrossEntropy(
                    rows,
                    negatives,
                    classes,
                    width,
                    h.buffer,
                    w.buffer,
                    targets.buffer,
                    groups,
                    grouped ? groupOffsets.buffer : null,
                    grouped ? excludedOffsets.buffer : null,
                    grouped ? all.buffer : null,
                    key,
                    stream,
                    weight,
                    gradient ? loss.buffer : alone.buffer,
                    gradient ? dh.buffer : null,
                    gradient ? dw.buffer : null);
          }
          assertArrayEquals(loss.now(), alone.now(), "the loss must not depend on its gradient");
          double total = 0;
          double[][] dhs = new double[rows][width];
          double[][] dws = new double[classes][width];
          double share = 1 / (rows * (1.0 + negatives));
          for (int r = 0; r < rows && loss.judged(); r++) {
            TreeSet<Integer> out =
                grouped ? excluded[r / 4 + 1] : new TreeSet<>(Set.of(targets.was(r)));
            int[] allowed = IntStream.range(1, classes).filter(c -> !out.contains(c)).toArray();
            for (int j = -1; j < negatives; j++) {
              long bits = j < 0 ? 0 : Integer.toUnsignedLong(Philox.bits(key, stream, r, j));
              int c =
                  j < 0
                      ? targets.was(r)
                      : allowed[(int) Math.floor(bits * 0x1p-32 * allowed.length)];
              double score = 0;
              for (int d = 0; d < width; d++) {
                score += h.was(r, d) * w.was(c, d);
              }
              double sign = j < 0 ? -1 : 1;
              double factor = j < 0 ? weight : 1;
              double loose = sign * score;
              total += factor * (Math.max(loose, 0) + Math.log1p(Math.exp(-Math.abs(loose))));
              double slope = sign * factor * share / (1 + Math.exp(-loose));
              for (int d = 0; d < width; d++) {
                dhs[r][d] += slope * w.was(c, d);
                dws[c][d] += slope * h.was(r, d);
              }
            }
          }
          double mean = rows == 0 ? 0 : total * share;
          double magnitude = spread * Math.sqrt(width);
          String op = "binaryCrossEntropy";
          loss.check(op, width, magnitude, (none, zero) -> mean);
          dh.check(
              op + "'s dh", width + negatives, magnitude / Math.max(1, rows), (r, d) -> dhs[r][d]);
          dw.check(
              op + "'s dw",
              width + (double) rows * negatives / classes,
              Math.max(1, spread),
              (c, d) -> dw.was(c, d) + dws[c][d]);
        });
  }

  @SuppressWarnings("unchecked")
  private static TreeSet<Integer>[] sets(int count) {
    return IntStream.range(0, count).mapToObj(g -> new TreeSet<Integer>()).toArray(TreeSet[]::new);
  }

  @Test
  void binaryOfEverySize() {
    for (int size : SIZES) {
      binary(size, 3, 21, 19, false, 1);
      binary(size, 3, 21, 19, true, 1);
    }
    for (int size : POSITIVE) {
      binary(13, size, 21, 19, true, 1);
      binary(13, size, 21, 64, false, 1);
      binary(13, 5, size + 5, 19, true, 1);
      binary(13, 5, 21, size, false, 1);
    }
    binary(20, 4, 3, 5, false, 1);
  }

  @Test
  void binaryWithManyNegatives() {
    binary(150, 130, 1031, 33, true, 1);
    binary(33, 16_411, 20_011, 4, false, 1);
    binary(40, 1, 70, 150, true, 1);
  }

  @Test
  void binaryScoresFarApartDoNotOverflow() {
    binary(37, 9, 50, 16, false, 300);
  }
}
