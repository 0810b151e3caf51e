package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;
import java.lang.foreign.MemorySegment;

/** {@link Sae} on the GPU. The encode's contract is that of every backend, EXACT. */
final class CudaSae extends Sae {
  private final CudaQueue cuda;

  CudaSae(CudaQueue cuda) {
    this.cuda = cuda;
  }

  @Override
  PackedEncoder newEncoder(int capacity, int width, boolean compressed) {
    return new CudaPackedEncoder(cuda, capacity, width);
  }

  private static MemorySegment packed(PackedEncoder encoder) {
    return ((CudaPackedEncoder) encoder).memory();
  }

  @Override
  void doPack(
      PackedEncoder target,
      int features,
      Buffer wEnc,
      Buffer bEnc,
      Buffer bDec,
      Buffer subset,
      int taken) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_WEIGHT(), "pack", features);
    cuda.blame(Rhumb.RHUMB_FAULT_SUBSET(), "pack", features);
    cuda.check(
        Rhumb.rhumb_pack(
            packed(target),
            target.capacity(),
            target.width(),
            features,
            cuda.at(wEnc),
            cuda.at(bEnc),
            cuda.at(bDec),
            cuda.at(subset),
            taken,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  public boolean offers(Selection selection) {
    return true;
  }

  @Override
  void doEncodeTopK(
      PackedEncoder encoder,
      int rows,
      int kept,
      Selection selection,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ENCODE_NAN(), "encodeTopK", 0);
    int capacity = encoder.capacity();
    int width = encoder.width();
    int features = encoder.features();
    long bytes = Rhumb.rhumb_encode_top_k_scratch(capacity, width, features, rows, kept);
    cuda.check(
        Rhumb.rhumb_encode_top_k(
            packed(encoder),
            capacity,
            width,
            features,
            rows,
            kept,
            selection.ordinal(),
            1,
            cuda.at(x),
            xStride,
            cuda.at(indices),
            cuda.at(values),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doEncodeAbove(
      PackedEncoder encoder,
      Thresholds thresholds,
      int rows,
      Buffer x,
      long xStride,
      Buffer indices,
      Buffer values) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ENCODE_NAN(), "encodeAbove", 0);
    cuda.check(
        Rhumb.rhumb_encode_above(
            packed(encoder),
            encoder.capacity(),
            encoder.width(),
            encoder.features(),
            cuda.at(thresholds.threshold()),
            cuda.at(thresholds.gain()),
            cuda.at(thresholds.offset()),
            rows,
            cuda.at(x),
            xStride,
            cuda.at(indices),
            cuda.at(values),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doActivate(
      int rows,
      int kept,
      int features,
      Buffer indices,
      Buffer scores,
      Thresholds thresholds,
      Buffer values) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "activate", features);
    cuda.check(
        Rhumb.rhumb_activate(
            rows,
            kept,
            features,
            cuda.at(indices),
            cuda.at(scores),
            cuda.at(thresholds.threshold()),
            cuda.at(thresholds.gain()),
            cuda.at(thresholds.offset()),
            cuda.at(values),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doKeepLargest(
      int rows, int kept, int features, int left, Buffer indices, Buffer values, Buffer least) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "keepLargest", features);
    long bytes = Rhumb.rhumb_keep_largest_scratch(rows, kept, features);
    cuda.check(
        Rhumb.rhumb_keep_largest(
            rows,
            kept,
            features,
            left,
            cuda.at(indices),
            cuda.at(values),
            cuda.at(least),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doSlice(
      int rows,
      int kept,
      int features,
      int low,
      int high,
      Buffer indices,
      Buffer values,
      Buffer toIndices,
      Buffer toValues) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "slice", features);
    cuda.check(
        Rhumb.rhumb_slice(
            rows,
            kept,
            features,
            low,
            high,
            cuda.at(indices),
            cuda.at(values),
            cuda.at(toIndices),
            cuda.at(toValues),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doSumValues(int rows, int kept, int features, Buffer indices, Buffer values, Buffer sums) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "sumValues", features);
    cuda.check(
        Rhumb.rhumb_sum_values(
            rows,
            kept,
            features,
            cuda.at(indices),
            cuda.at(values),
            cuda.at(sums),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doDecode(
      int rows,
      int kept,
      int features,
      int width,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer y,
      long yStride) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "decode", features);
    cuda.check(
        Rhumb.rhumb_decode(
            rows,
            kept,
            features,
            width,
            cuda.at(indices),
            cuda.at(values),
            cuda.at(wDec),
            cuda.at(bDec),
            cuda.at(y),
            yStride,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doDecodeLoss(
      int rows,
      int kept,
      int features,
      int width,
      Buffer x,
      long xStride,
      double factor,
      Buffer denominator,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer error,
      Buffer g,
      Buffer squares,
      Buffer dz) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "decodeLoss", features);
    cuda.check(
        Rhumb.rhumb_decode_loss(
            rows,
            kept,
            features,
            width,
            cuda.at(x),
            xStride,
            factor,
            cuda.at(denominator),
            cuda.at(indices),
            cuda.at(values),
            cuda.at(wDec),
            cuda.at(bDec),
            cuda.at(error),
            cuda.at(g),
            cuda.at(squares),
            cuda.at(dz),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doBackward(
      int rows,
      int kept,
      int features,
      int width,
      Buffer x,
      long xStride,
      Buffer g,
      float slope,
      Buffer indices,
      Buffer values,
      Buffer dz,
      Buffer wEnc,
      Buffer wDec,
      Buffer bDec,
      boolean decoderBias,
      Buffer dWEnc,
      Buffer dWDec,
      Buffer dBEnc,
      Buffer dBDec) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "saeBackward", features);
    long bytes = Rhumb.rhumb_sae_backward_scratch(rows, kept, features, width);
    cuda.check(
        Rhumb.rhumb_sae_backward(
            rows,
            kept,
            features,
            width,
            cuda.at(x),
            xStride,
            cuda.at(g),
            slope,
            cuda.at(indices),
            cuda.at(values),
            cuda.at(dz),
            cuda.at(wEnc),
            cuda.at(wDec),
            cuda.at(bDec),
            decoderBias ? 1 : 0,
            cuda.at(dWEnc),
            cuda.at(dWDec),
            cuda.at(dBEnc),
            cuda.at(dBDec),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doThresholdBackward(
      int rows,
      int kept,
      int features,
      int width,
      float bandwidth,
      Buffer g,
      float slope,
      Buffer indices,
      Buffer scores,
      Buffer threshold,
      Buffer wDec,
      Buffer dThreshold) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "thresholdBackward", features);
    long bytes = Rhumb.rhumb_threshold_backward_scratch(rows, kept, features, width);
    cuda.check(
        Rhumb.rhumb_threshold_backward(
            rows,
            kept,
            features,
            width,
            bandwidth,
            cuda.at(g),
            slope,
            cuda.at(indices),
            cuda.at(scores),
            cuda.at(threshold),
            cuda.at(wDec),
            cuda.at(dThreshold),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doScaleRows(int rows, int cols, Buffer factors, Buffer w, float beta, Buffer to) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_scale_rows(
            rows, cols, cuda.at(factors), cuda.at(w), beta, cuda.at(to), cuda.stream()));
  }

  @Override
  void doDotRows(int rows, int cols, Buffer a, Buffer b, Buffer dots) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_dot_rows(rows, cols, cuda.at(a), cuda.at(b), cuda.at(dots), cuda.stream()));
  }

  @Override
  void doProjectRows(int rows, int cols, Buffer w, Buffer dw) {
    cuda.begin();
    cuda.check(Rhumb.rhumb_project_rows(rows, cols, cuda.at(w), cuda.at(dw), cuda.stream()));
  }

  @Override
  void doNormaliseRows(int rows, int cols, Buffer w) {
    cuda.begin();
    cuda.check(Rhumb.rhumb_normalise_rows(rows, cols, cuda.at(w), cuda.stream()));
  }

  @Override
  void doCountFired(
      int rows, int kept, int features, Buffer indices, Buffer values, Buffer counts) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "countFired", features);
    cuda.check(
        Rhumb.rhumb_count_fired(
            rows,
            kept,
            features,
            cuda.at(indices),
            cuda.at(values),
            cuda.at(counts),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doSteer(
      PackedEncoder encoder,
      Buffer wDec,
      Buffer bDec,
      int rows,
      int kept,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride,
      Buffer indices,
      Buffer values) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ENCODE_NAN(), "steer", 0);
    cuda.blame(Rhumb.RHUMB_FAULT_EDIT_NAN(), "steer", 0);
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "steer", encoder.features());
    cuda.send(edits, rows);
    long bytes =
        Rhumb.rhumb_steer_scratch(
            encoder.capacity(), encoder.width(), encoder.features(), rows, kept, cuda.editCount());
    cuda.check(
        Rhumb.rhumb_steer(
            packed(encoder),
            encoder.capacity(),
            encoder.width(),
            encoder.features(),
            cuda.at(wDec),
            cuda.at(bDec),
            rows,
            kept,
            Rhumb.RHUMB_EXACT(),
            cuda.at(x),
            xStride,
            cuda.editCount(),
            cuda.edits(),
            cuda.editOffsets(),
            edits.stage().ordinal(),
            edits.write().ordinal(),
            cuda.at(y),
            yStride,
            cuda.at(indices),
            cuda.at(values),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doApplyEdits(
      int rows,
      int kept,
      int features,
      int width,
      Buffer indices,
      Buffer values,
      Buffer wDec,
      Buffer bDec,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "applyEdits", features);
    cuda.blame(Rhumb.RHUMB_FAULT_EDIT_NAN(), "applyEdits", 0);
    cuda.send(edits, rows);
    cuda.check(
        Rhumb.rhumb_steer_lists(
            rows,
            kept,
            features,
            width,
            cuda.at(indices),
            cuda.at(values),
            cuda.at(wDec),
            cuda.at(bDec),
            cuda.at(x),
            xStride,
            cuda.editCount(),
            cuda.edits(),
            cuda.editOffsets(),
            edits.stage().ordinal(),
            edits.write().ordinal(),
            cuda.at(y),
            yStride,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doSteerAbove(
      PackedEncoder encoder,
      Thresholds thresholds,
      Buffer wDec,
      Buffer bDec,
      int rows,
      Buffer x,
      long xStride,
      EditTable edits,
      Buffer y,
      long yStride,
      Buffer indices,
      Buffer values) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ENCODE_NAN(), "steerAbove", 0);
    cuda.blame(Rhumb.RHUMB_FAULT_EDIT_NAN(), "steerAbove", 0);
    cuda.blame(Rhumb.RHUMB_FAULT_LIST_INDEX(), "steerAbove", encoder.features());
    cuda.send(edits, rows);
    cuda.check(
        Rhumb.rhumb_steer_above(
            packed(encoder),
            encoder.capacity(),
            encoder.width(),
            encoder.features(),
            cuda.at(thresholds.threshold()),
            cuda.at(thresholds.gain()),
            cuda.at(thresholds.offset()),
            cuda.at(wDec),
            cuda.at(bDec),
            rows,
            cuda.at(x),
            xStride,
            cuda.editCount(),
            cuda.edits(),
            cuda.editOffsets(),
            edits.stage().ordinal(),
            edits.write().ordinal(),
            cuda.at(y),
            yStride,
            cuda.at(indices),
            cuda.at(values),
            cuda.faults(),
            cuda.stream()));
  }
}
