package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.dot;
import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.getInt;
import static dev.rhumb.kernels.ScalarMemory.set;

import java.lang.foreign.MemorySegment;

/**
 * {@link Loss} in plain loops: one row of scores at a time. The full softmax makes those of a class
 * again for dw; the sampled losses sum dw in double for all classes.
 */
final class ScalarLoss extends Loss {
  private double[] scores = new double[0];
  private double[] logSumExp = new double[0];
  private double[] sum = new double[0];
  private double[] classSums = new double[0];
  private final Negatives allowed = new Negatives();

  @Override
  void doSoftmaxCrossEntropy(
      int rows,
      int classes,
      int width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    Check.indices("softmaxCrossEntropy", "targets", targets, rows, 1, classes);
    MemorySegment hs = h.segment();
    MemorySegment ws = w.segment();
    MemorySegment wanted = targets.segment();
    scores = ScalarMemory.atLeast(scores, classes);
    logSumExp = ScalarMemory.atLeast(logSumExp, rows);
    double total = 0;
    for (int r = 0; r < rows; r++) {
      double most = Double.NEGATIVE_INFINITY;
      for (int c = 0; c < classes; c++) {
        scores[c] = dot(hs, (long) r * width, ws, (long) c * width, width);
        most = Math.max(most, scores[c]);
      }
      double denominator = 0;
      for (int c = 0; c < classes; c++) {
        denominator += Math.exp(scores[c] - most);
      }
      logSumExp[r] = most + Math.log(denominator);
      int target = getInt(wanted, r);
      total += logSumExp[r] - scores[target];
      if (dh != null) {
        sum = ScalarMemory.zeros(sum, width);
        for (int c = 0; c < classes; c++) {
          double g = gradient(scores[c], logSumExp[r], c == target, rows);
          for (int d = 0; d < width; d++) {
            sum[d] += g * get(ws, (long) c * width + d);
          }
        }
        for (int d = 0; d < width; d++) {
          set(dh.segment(), (long) r * width + d, sum[d]);
        }
      }
    }
    set(loss.segment(), 0, rows == 0 ? 0 : total / rows);
    if (dw != null) {
      addWeightGradient(rows, classes, width, hs, ws, wanted, dw.segment());
    }
  }

  private void addWeightGradient(
      int rows,
      int classes,
      int width,
      MemorySegment hs,
      MemorySegment ws,
      MemorySegment wanted,
      MemorySegment dws) {
    for (int c = 0; c < classes; c++) {
      sum = ScalarMemory.zeros(sum, width);
      for (int r = 0; r < rows; r++) {
        double score = dot(hs, (long) r * width, ws, (long) c * width, width);
        double g = gradient(score, logSumExp[r], c == getInt(wanted, r), rows);
        for (int d = 0; d < width; d++) {
          sum[d] += g * get(hs, (long) r * width + d);
        }
      }
      for (int d = 0; d < width; d++) {
        long at = (long) c * width + d;
        set(dws, at, get(dws, at) + sum[d]);
      }
    }
  }

  @Override
  void doSampledSoftmaxCrossEntropy(
      int rows,
      int negatives,
      int classes,
      int width,
      Buffer h,
      Buffer w,
      Buffer targets,
      Buffer sample,
      Buffer bias,
      Buffer targetBias,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    String op = "sampledSoftmaxCrossEntropy";
    Check.indices(op, "targets", targets, rows, 1, classes);
    Check.ascending(op, "sample", sample, negatives, classes);
    MemorySegment hs = h.segment();
    MemorySegment ws = w.segment();
    scores = ScalarMemory.atLeast(scores, negatives);
    classSums = ScalarMemory.zeros(classSums, dw == null ? 0 : Math.multiplyExact(classes, width));
    double total = 0;
    for (int r = 0; r < rows; r++) {
      int target = getInt(targets.segment(), r);
      double wanted = score(hs, r, ws, target, width) + get(targetBias.segment(), target);
      double most = wanted;
      for (int j = 0; j < negatives; j++) {
        int c = getInt(sample.segment(), j);
        scores[j] =
            c == target
                ? Double.NEGATIVE_INFINITY
                : score(hs, r, ws, c, width) + get(bias.segment(), j);
        most = Math.max(most, scores[j]);
      }
      double denominator = Math.exp(wanted - most);
      for (int j = 0; j < negatives; j++) {
        denominator += Math.exp(scores[j] - most);
      }
      double logSumExp = most + Math.log(denominator);
      total += logSumExp - wanted;
      if (dh != null) {
        sum = ScalarMemory.zeros(sum, width);
        addGradient(gradient(wanted, logSumExp, true, rows), r, target, width, hs, ws);
        for (int j = 0; j < negatives; j++) {
          int c = getInt(sample.segment(), j);
          addGradient(gradient(scores[j], logSumExp, false, rows), r, c, width, hs, ws);
        }
        setRow(dh.segment(), r, width);
      }
    }
    set(loss.segment(), 0, rows == 0 ? 0 : total / rows);
    if (dw != null) {
      addClassSums(classes, width, dw.segment());
    }
  }

  @Override
  void doBinaryCrossEntropy(
      int rows,
      int negatives,
      int classes,
      int width,
      Buffer h,
      Buffer w,
      Buffer targets,
      int groups,
      Buffer groupOffsets,
      Buffer excludedOffsets,
      Buffer excluded,
      long key,
      long stream,
      float positiveWeight,
      Buffer loss,
      Buffer dh,
      Buffer dw) {
    allowed.set(rows, classes, targets, groups, groupOffsets, excludedOffsets, excluded);
    MemorySegment hs = h.segment();
    MemorySegment ws = w.segment();
    classSums = ScalarMemory.zeros(classSums, dw == null ? 0 : Math.multiplyExact(classes, width));
    double share = 1 / (rows * (1.0 + negatives));
    double total = 0;
    int group = 0;
    for (int r = 0; r < rows; r++) {
      group = allowed.group(r, group);
      int target = getInt(targets.segment(), r);
      double wanted = score(hs, r, ws, target, width);
      sum = ScalarMemory.zeros(sum, width);
      total += positiveWeight * softplus(-wanted);
      if (dh != null) {
        addGradient(-positiveWeight * share * sigmoid(-wanted), r, target, width, hs, ws);
      }
      for (int j = 0; j < negatives; j++) {
        int bits = Philox.bits(key, stream, r, j);
        int c = allowed.draw(bits, r, group, allowed.pool(group));
        double score = score(hs, r, ws, c, width);
        total += softplus(score);
        if (dh != null) {
          addGradient(share * sigmoid(score), r, c, width, hs, ws);
        }
      }
      if (dh != null) {
        setRow(dh.segment(), r, width);
      }
    }
    set(loss.segment(), 0, rows == 0 ? 0 : total * share);
    if (dw != null) {
      addClassSums(classes, width, dw.segment());
    }
  }

  private static double score(MemorySegment h, int r, MemorySegment w, int c, int width) {
    return dot(h, (long) r * width, w, (long) c * width, width);
  }

  /** Adds the gradient of a score to the row's and to the class's sums. */
  private void addGradient(double g, int r, int c, int width, MemorySegment h, MemorySegment w) {
    for (int d = 0; d < width; d++) {
      sum[d] += g * get(w, (long) c * width + d);
      classSums[c * width + d] += g * get(h, (long) r * width + d);
    }
  }

  private void setRow(MemorySegment to, int r, int width) {
    for (int d = 0; d < width; d++) {
      set(to, (long) r * width + d, sum[d]);
    }
  }

  private void addClassSums(int classes, int width, MemorySegment to) {
    for (int i = 0; i < classes * width; i++) {
      if (classSums[i] != 0) {
        set(to, i, get(to, i) + classSums[i]);
      }
    }
  }

  /** log(1 + e^x) = -log sigmoid(-x). */
  private static double softplus(double x) {
    return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  }

  private static double sigmoid(double x) {
    double u = Math.exp(-Math.abs(x));
    return (x >= 0 ? 1 : u) / (1 + u);
  }

  private static double gradient(double score, double logSumExp, boolean target, int rows) {
    return (Math.exp(score - logSumExp) - (target ? 1 : 0)) / rows;
  }
}
