package dev.rhumb.kernels;

import java.util.function.DoubleUnaryOperator;

/**
 * Causal attention and its gradients in double that round where the CUDA backend does in bf16,
 * which {@code rhumb_attention} says in rhumb.h.
 *
 * <p>What is rounded there comes out of float32 arithmetic, and so may lie on the other side of the
 * middle of two neighbours of bf16 than here. Only where the middle is within the error of float32
 * can that be; then what it changes in a result is allowed as slack.
 */
final class RoundedAttention {
  private final DoubleUnaryOperator operand;
  private final double relative;
  final Result out;
  final Result dq;
  final Result dk;
  final Result dv;

  /** Elements with the error that is allowed to each beyond that of a sum in float32. */
  static final class Result {
    private final double[][] value;
    private final double[][] slack;

    Result(int rows, int cols) {
      value = new double[rows][cols];
      slack = new double[rows][cols];
    }

    private void add(int r, int c, double a, double b, double doubt) {
      value[r][c] += a * b;
      slack[r][c] += doubt * Math.abs(b);
    }

    /** What {@code actual} is held against: of the values that are right the nearest to it. */
    double at(int r, int c, double actual) {
      double expected = value[r][c];
      return slack[r][c] == 0
          ? expected
          : Math.min(Math.max(actual, expected - slack[r][c]), expected + slack[r][c]);
    }
  }

  private record Dot(double value, double magnitude) {}

  /**
   * @param operand rounds to bf16
   * @param outNow what the forward pass gave, which the backward pass takes
   * @param logSumExpNow likewise
   */
  RoundedAttention(
      DoubleUnaryOperator operand,
      int[] offsets,
      int heads,
      int headWidth,
      double[][] q,
      double[][] k,
      double[][] v,
      ReferenceAttention.Dropout dropout,
      double[][] dOut,
      double[][] outNow,
      double[][] logSumExpNow) {
    this.operand = operand;
    int rows = q.length;
    int cols = heads * headWidth;
    out = new Result(rows, cols);
    dq = new Result(rows, cols);
    dk = new Result(rows, cols);
    dv = new Result(rows, cols);
    relative = 0x1p-22 * (2 + Math.sqrt(headWidth));
    double scale = 1 / Math.sqrt(headWidth);
    double log2e = 1 / Math.log(2);
    for (int b = 0; b + 1 < offsets.length; b++) {
      int start = offsets[b];
      for (int i = start; i < offsets[b + 1]; i++) {
        for (int h = 0; h < heads; h++) {
          int from = h * headWidth;
          int to = from + headWidth;
          int keys = i - start + 1;
          Dot[] score = new Dot[keys];
          double most = Double.NEGATIVE_INFINITY;
          for (int j = 0; j < keys; j++) {
            score[j] = dot(q[i], k[start + j], from, to);
            most = Math.max(most, score[j].value * scale * log2e);
          }
          double[] weight = new double[keys];
          double[] doubt = new double[keys];
          double sum = 0;
          double sumDoubt = 0;
          for (int j = 0; j < keys; j++) {
            double w = Math.pow(2, score[j].value * scale * log2e - Math.ceil(most));
            weight[j] = operand.applyAsDouble(w);
            doubt[j] = doubt(w, relative * w * (1 + score[j].magnitude * scale * log2e));
            sum += weight[j];
            sumDoubt += doubt[j];
          }
          double lse = logSumExpNow[i][h];
          Dot delta = dot(outNow[i], dOut[i], from, to);
          for (int j = 0; j < keys; j++) {
            int other = start + j;
            double factor = dropout.factor(i * heads + h, j);
            double w = Math.exp(score[j].value * scale - lse);
            double wError =
                relative * (1 + score[j].magnitude * scale * log2e + Math.abs(lse) * log2e);
            Dot slope = dot(dOut[i], v[other], from, to);
            double ds = w * (factor * slope.value - delta.value);
            double dsError =
                wError * Math.abs(ds) + relative * w * (factor * slope.magnitude + delta.magnitude);
            double wDoubt = doubt(w, wError * w);
            double dsDoubt = doubt(ds, dsError);
            double wRounded = operand.applyAsDouble(w);
            double dsRounded = operand.applyAsDouble(ds);
            for (int d = from; d < to; d++) {
              // The doubt in the sum of the weights touches every term.
              double outDoubt = factor * (doubt[j] + weight[j] * sumDoubt / sum) / sum;
              out.add(i, d, factor * weight[j] / sum, v[other][d], outDoubt);
              dq.add(i, d, dsRounded, scale * k[other][d], dsDoubt);
              dk.add(other, d, dsRounded, scale * q[i][d], dsDoubt);
              dv.add(other, d, wRounded, factor * dOut[i][d], wDoubt);
            }
          }
        }
      }
    }
  }

  /** How far what is rounded from a value within {@code error} of x may be from x rounded. */
  private double doubt(double x, double error) {
    double rounded = operand.applyAsDouble(x);
    return Math.max(
        operand.applyAsDouble(x + error) - rounded, rounded - operand.applyAsDouble(x - error));
  }

  private static Dot dot(double[] a, double[] b, int from, int to) {
    double sum = 0;
    double magnitude = 0;
    for (int d = from; d < to; d++) {
      sum += a[d] * b[d];
      magnitude += Math.abs(a[d] * b[d]);
    }
    return new Dot(sum, magnitude);
  }
}
