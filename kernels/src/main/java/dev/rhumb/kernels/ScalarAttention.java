package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.dot;
import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.getInt;
import static dev.rhumb.kernels.ScalarMemory.set;

import java.lang.foreign.MemorySegment;

/** {@link Attention} in plain loops: one query at a time, one row of scores. */
final class ScalarAttention extends Attention {
  private double[] weights = new double[0];
  private double[] sum = new double[0];
  private double[] keySum = new double[0];
  private double[] valueSum = new double[0];

  @Override
  void doForward(
      int sequences,
      Buffer offsets,
      int rows,
      int heads,
      int headWidth,
      Buffer q,
      long qStride,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      float p,
      long key,
      long stream,
      Buffer out,
      long outStride,
      Buffer logSumExp) {
    checkOffsets("attention", sequences, offsets, rows);
    for (int b = 0; b < sequences; b++) {
      int start = getInt(offsets.segment(), b);
      int end = getInt(offsets.segment(), b + 1);
      for (int i = start; i < end; i++) {
        for (int h = 0; h < heads; h++) {
          int col = h * headWidth;
          double lse =
              softmax(
                  q.segment(),
                  i * qStride + col,
                  k.segment(),
                  start * kStride + col,
                  kStride,
                  i - start + 1,
                  headWidth);
          for (int j = 0; j <= i - start; j++) {
            weights[j] *= ScalarLayers.keepScale(p, key, stream, i * heads + h, j);
          }
          mix(
              v.segment(),
              start * vStride + col,
              vStride,
              i - start + 1,
              headWidth,
              out.segment(),
              i * outStride + col);
          if (logSumExp != null) {
            set(logSumExp.segment(), (long) i * heads + h, lse);
          }
        }
      }
    }
  }

  @Override
  void doBackward(
      int sequences,
      Buffer offsets,
      int rows,
      int heads,
      int headWidth,
      Buffer q,
      long qStride,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      float p,
      long key,
      long stream,
      Buffer out,
      long outStride,
      Buffer logSumExp,
      Buffer dOut,
      long dOutStride,
      Buffer dq,
      long dqStride,
      Buffer dk,
      long dkStride,
      Buffer dv,
      long dvStride) {
    checkOffsets("attentionBackward", sequences, offsets, rows);
    MemorySegment qs = q.segment();
    MemorySegment ks = k.segment();
    MemorySegment vs = v.segment();
    MemorySegment dOuts = dOut.segment();
    double scale = 1 / Math.sqrt(headWidth);
    for (int b = 0; b < sequences; b++) {
      int start = getInt(offsets.segment(), b);
      int length = getInt(offsets.segment(), b + 1) - start;
      for (int h = 0; h < heads; h++) {
        int col = h * headWidth;
        keySum = ScalarMemory.zeros(keySum, length * headWidth);
        valueSum = ScalarMemory.zeros(valueSum, length * headWidth);
        for (int i = 0; i < length; i++) {
          int row = start + i;
          long query = row * qStride + col;
          long grad = row * dOutStride + col;
          double lse = get(logSumExp.segment(), (long) row * heads + h);
          // With w the softmax and m dropout's factor: dw_j = m_j dOut.v_j, and through the
          // softmax ds_j = w_j (dw_j - sum over i of w_i dw_i), which sum is dOut.out.
          double mean = dot(dOuts, grad, out.segment(), row * outStride + col, headWidth);
          sum = ScalarMemory.zeros(sum, headWidth);
          for (int j = 0; j <= i; j++) {
            long keyAt = (start + j) * kStride + col;
            double w = Math.exp(dot(qs, query, ks, keyAt, headWidth) * scale - lse);
            double m = ScalarLayers.keepScale(p, key, stream, row * heads + h, j);
            double dw = m * dot(dOuts, grad, vs, (start + j) * vStride + col, headWidth);
            double ds = w * (dw - mean) * scale;
            for (int d = 0; d < headWidth; d++) {
              sum[d] += ds * get(ks, keyAt + d);
              keySum[j * headWidth + d] += ds * get(qs, query + d);
              valueSum[j * headWidth + d] += w * m * get(dOuts, grad + d);
            }
          }
          for (int d = 0; d < headWidth; d++) {
            set(dq.segment(), row * dqStride + col + d, sum[d]);
          }
        }
        for (int j = 0; j < length; j++) {
          for (int d = 0; d < headWidth; d++) {
            set(dk.segment(), (start + j) * dkStride + col + d, keySum[j * headWidth + d]);
            set(dv.segment(), (start + j) * dvStride + col + d, valueSum[j * headWidth + d]);
          }
        }
      }
    }
  }

  @Override
  void doAddPadding(
      int sequences,
      Buffer offsets,
      int rows,
      int window,
      int heads,
      int headWidth,
      Buffer q,
      long qStride,
      Buffer padKey,
      Buffer padValue,
      Buffer logSumExp,
      Buffer out,
      long outStride) {
    checkOffsets("addPadding", sequences, offsets, rows);
    MemorySegment outs = out.segment();
    for (int b = 0; b < sequences; b++) {
      int start = getInt(offsets.segment(), b);
      int end = getInt(offsets.segment(), b + 1);
      int padding = window - (end - start);
      for (int i = start; i < end && padding > 0; i++) {
        for (int h = 0; h < heads; h++) {
          int col = h * headWidth;
          double score =
              dot(q.segment(), i * qStride + col, padKey.segment(), col, headWidth)
                      / Math.sqrt(headWidth)
                  + Math.log(padding);
          double lse = get(logSumExp.segment(), (long) i * heads + h);
          double weight = 1 / (1 + Math.exp(lse - score));
          for (int d = 0; d < headWidth; d++) {
            double before = get(outs, i * outStride + col + d);
            double value = get(padValue.segment(), col + d);
            set(outs, i * outStride + col + d, before + weight * (value - before));
          }
        }
      }
    }
  }

  @Override
  void doLast(
      int keys,
      int heads,
      int headWidth,
      Buffer q,
      Buffer k,
      long kStride,
      Buffer v,
      long vStride,
      Buffer out) {
    for (int h = 0; h < heads; h++) {
      int col = h * headWidth;
      softmax(q.segment(), col, k.segment(), col, kStride, keys, headWidth);
      mix(v.segment(), col, vStride, keys, headWidth, out.segment(), col);
    }
  }

  /** Sets weights[0 .. keys) to the softmax of one query's scores; gives log of its denominator. */
  private double softmax(
      MemorySegment q,
      long query,
      MemorySegment k,
      long firstKey,
      long kStride,
      int keys,
      int headWidth) {
    weights = ScalarMemory.atLeast(weights, keys);
    double scale = 1 / Math.sqrt(headWidth);
    double most = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < keys; j++) {
      weights[j] = dot(q, query, k, firstKey + j * kStride, headWidth) * scale;
      most = Math.max(most, weights[j]);
    }
    double total = 0;
    for (int j = 0; j < keys; j++) {
      weights[j] = Math.exp(weights[j] - most);
      total += weights[j];
    }
    for (int j = 0; j < keys; j++) {
      weights[j] /= total;
    }
    return most + Math.log(total);
  }

  /** out = the sum over keys of weight times value. */
  private void mix(
      MemorySegment v,
      long firstValue,
      long vStride,
      int keys,
      int headWidth,
      MemorySegment out,
      long at) {
    for (int d = 0; d < headWidth; d++) {
      double total = 0;
      for (int j = 0; j < keys; j++) {
        // A weight that dropout took out leaves nothing, whatever the value.
        total += weights[j] == 0 ? 0 : weights[j] * get(v, firstValue + j * vStride + d);
      }
      set(out, at + d, total);
    }
  }
}
