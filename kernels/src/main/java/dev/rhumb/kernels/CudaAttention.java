package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;
import java.lang.foreign.MemorySegment;

/** {@link Attention} on the GPU. */
final class CudaAttention extends Attention {
  private final CudaQueue cuda;

  CudaAttention(CudaQueue cuda) {
    this.cuda = cuda;
  }

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
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ATTENTION_OFFSET(), "attention", rows);
    cuda.check(
        Rhumb.rhumb_attention(
            cuda.precision().code(),
            sequences,
            cuda.at(offsets),
            rows,
            heads,
            headWidth,
            cuda.at(q),
            qStride,
            cuda.at(k),
            kStride,
            cuda.at(v),
            vStride,
            p,
            key,
            stream,
            cuda.at(out),
            outStride,
            cuda.at(logSumExp),
            cuda.faults(),
            cuda.stream()));
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
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ATTENTION_OFFSET(), "attentionBackward", rows);
    long bytes = Rhumb.rhumb_attention_backward_scratch(rows, heads, headWidth);
    cuda.check(
        Rhumb.rhumb_attention_backward(
            cuda.precision().code(),
            sequences,
            cuda.at(offsets),
            rows,
            heads,
            headWidth,
            cuda.at(q),
            qStride,
            cuda.at(k),
            kStride,
            cuda.at(v),
            vStride,
            p,
            key,
            stream,
            cuda.at(out),
            outStride,
            cuda.at(logSumExp),
            cuda.at(dOut),
            dOutStride,
            cuda.at(dq),
            dqStride,
            cuda.at(dk),
            dkStride,
            cuda.at(dv),
            dvStride,
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
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
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ATTENTION_OFFSET(), "addPadding", rows);
    cuda.check(
        Rhumb.rhumb_add_padding(
            sequences,
            cuda.at(offsets),
            rows,
            window,
            heads,
            headWidth,
            cuda.at(q),
            qStride,
            cuda.at(padKey),
            cuda.at(padValue),
            cuda.at(logSumExp),
            cuda.at(out),
            outStride,
            cuda.faults(),
            cuda.stream()));
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
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_attention_last(
            1,
            MemorySegment.NULL,
            keys,
            heads,
            headWidth,
            cuda.at(q),
            (long) heads * headWidth,
            cuda.at(k),
            kStride,
            cuda.at(v),
            vStride,
            cuda.at(out),
            (long) heads * headWidth,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doLastEach(
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
      Buffer out,
      long outStride) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ATTENTION_OFFSET(), "attentionLastEach", rows);
    cuda.check(
        Rhumb.rhumb_attention_last(
            sequences,
            cuda.at(offsets),
            rows,
            heads,
            headWidth,
            cuda.at(q),
            qStride,
            cuda.at(k),
            kStride,
            cuda.at(v),
            vStride,
            cuda.at(out),
            outStride,
            cuda.faults(),
            cuda.stream()));
  }
}
