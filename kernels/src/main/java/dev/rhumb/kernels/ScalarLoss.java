package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.dot;
import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.getInt;
import static dev.rhumb.kernels.ScalarMemory.set;

import java.lang.foreign.MemorySegment;

/** {@link Loss} in plain loops: one row of scores at a time, and those of a class again for dw. */
final class ScalarLoss extends Loss {
  private double[] scores = new double[0];
  private double[] logSumExp = new double[0];
  private double[] sum = new double[0];

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

  private static double gradient(double score, double logSumExp, boolean target, int rows) {
    return (Math.exp(score - logSumExp) - (target ? 1 : 0)) / rows;
  }
}
