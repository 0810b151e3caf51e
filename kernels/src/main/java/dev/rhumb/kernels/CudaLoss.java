package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;

/** {@link Loss} on the GPU. */
final class CudaLoss extends Loss {
  private final CudaQueue cuda;

  CudaLoss(CudaQueue cuda) {
    this.cuda = cuda;
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
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_TARGET(), "sampledSoftmaxCrossEntropy", classes);
    cuda.blame(Rhumb.RHUMB_FAULT_SAMPLE(), "sampledSoftmaxCrossEntropy", classes);
    long bytes = Rhumb.rhumb_sampled_softmax_cross_entropy_scratch(rows, negatives, classes, width);
    cuda.check(
        Rhumb.rhumb_sampled_softmax_cross_entropy(
            cuda.precision().code(),
            rows,
            negatives,
            classes,
            width,
            cuda.at(h),
            cuda.at(w),
            cuda.at(targets),
            cuda.at(sample),
            cuda.at(bias),
            cuda.at(targetBias),
            cuda.at(loss),
            cuda.at(dh),
            cuda.at(dw),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
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
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_TARGET(), "binaryCrossEntropy", classes);
    cuda.blame(Rhumb.RHUMB_FAULT_GROUP_OFFSET(), "binaryCrossEntropy", rows);
    cuda.blame(
        Rhumb.RHUMB_FAULT_EXCLUDED_OFFSET(),
        "binaryCrossEntropy",
        excluded == null ? 0 : excluded.count());
    cuda.blame(Rhumb.RHUMB_FAULT_EXCLUDED(), "binaryCrossEntropy", classes);
    cuda.blame(Rhumb.RHUMB_FAULT_NOTHING_TO_DRAW(), "binaryCrossEntropy", classes);
    long bytes = Rhumb.rhumb_binary_cross_entropy_scratch(rows, negatives, classes, width);
    cuda.check(
        Rhumb.rhumb_binary_cross_entropy(
            rows,
            negatives,
            classes,
            width,
            cuda.at(h),
            cuda.at(w),
            cuda.at(targets),
            groups,
            cuda.at(groupOffsets),
            cuda.at(excludedOffsets),
            cuda.at(excluded),
            excluded == null ? 0 : excluded.count(),
            key,
            stream,
            positiveWeight,
            cuda.at(loss),
            cuda.at(dh),
            cuda.at(dw),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
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
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_TARGET(), "softmaxCrossEntropy", classes);
    long bytes = Rhumb.rhumb_softmax_cross_entropy_scratch(rows, classes, width);
    cuda.check(
        Rhumb.rhumb_softmax_cross_entropy(
            cuda.precision().code(),
            rows,
            classes,
            width,
            cuda.at(h),
            cuda.at(w),
            cuda.at(targets),
            cuda.at(loss),
            cuda.at(dh),
            cuda.at(dw),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }
}
