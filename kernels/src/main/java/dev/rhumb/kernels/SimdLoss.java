package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.set;

/** {@link Loss} on the Vector API. */
final class SimdLoss extends Loss {
  private final Workers workers;
  private final SimdSoftmax softmax;
  private final SimdSampledSoftmax sampledSoftmax;
  private final SimdBinaryLoss binaryLoss;

  SimdLoss(Workers workers) {
    this.workers = workers;
    softmax = new SimdSoftmax(workers);
    sampledSoftmax = new SimdSampledSoftmax(workers, softmax);
    binaryLoss = new SimdBinaryLoss(workers);
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
    double mean =
        sampledSoftmax.run(
            rows,
            negatives,
            classes,
            width,
            h,
            w,
            targets,
            sample,
            bias,
            targetBias,
            address(dh),
            address(dw));
    set(loss.segment().address(), (float) mean);
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
    double mean =
        binaryLoss.run(
            rows,
            negatives,
            classes,
            width,
            h,
            w,
            targets,
            groups,
            groupOffsets,
            excludedOffsets,
            excluded,
            key,
            stream,
            positiveWeight,
            address(dh),
            address(dw));
    set(loss.segment().address(), (float) mean);
  }

  private static long address(Buffer buffer) {
    return buffer == null ? 0 : buffer.segment().address();
  }

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
    long table = w.segment().address();
    long wanted = targets.segment().address();
    double mean =
        softmax.run(
            workers.shared().reserve(softmax.bytes(rows, classes, width, dh != null)),
            rows,
            classes,
            width,
            h.segment().address(),
            table,
            0,
            wanted,
            table,
            wanted,
            0,
            address(dh),
            address(dw),
            address(dw));
    set(loss.segment().address(), (float) mean);
  }
}
