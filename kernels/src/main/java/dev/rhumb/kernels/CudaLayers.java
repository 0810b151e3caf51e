package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;

/** {@link Layers} on the GPU. */
final class CudaLayers extends Layers {
  private final CudaQueue cuda;

  CudaLayers(CudaQueue cuda) {
    this.cuda = cuda;
  }

  @Override
  void doLayerNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer beta,
      Buffer y,
      long yStride,
      Buffer mean,
      Buffer rstd) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_layer_norm(
            rows,
            cols,
            eps,
            cuda.at(x),
            xStride,
            cuda.at(gamma),
            cuda.at(beta),
            cuda.at(y),
            yStride,
            cuda.at(mean),
            cuda.at(rstd),
            cuda.stream()));
  }

  @Override
  void doLayerNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer mean,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma,
      Buffer dbeta) {
    cuda.begin();
    long bytes = Rhumb.rhumb_layer_norm_backward_scratch(rows, cols);
    cuda.check(
        Rhumb.rhumb_layer_norm_backward(
            rows,
            cols,
            cuda.at(dy),
            cuda.at(x),
            cuda.at(gamma),
            cuda.at(mean),
            cuda.at(rstd),
            dxBeta,
            cuda.at(dx),
            cuda.at(dgamma),
            cuda.at(dbeta),
            cuda.scratch(bytes),
            bytes,
            cuda.stream()));
  }

  @Override
  void doRmsNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer y,
      long yStride,
      Buffer rstd) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_rms_norm(
            rows,
            cols,
            eps,
            cuda.at(x),
            xStride,
            cuda.at(gamma),
            cuda.at(y),
            yStride,
            cuda.at(rstd),
            cuda.stream()));
  }

  @Override
  void doRmsNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma) {
    cuda.begin();
    long bytes = Rhumb.rhumb_rms_norm_backward_scratch(rows, cols);
    cuda.check(
        Rhumb.rhumb_rms_norm_backward(
            rows,
            cols,
            cuda.at(dy),
            cuda.at(x),
            cuda.at(gamma),
            cuda.at(rstd),
            dxBeta,
            cuda.at(dx),
            cuda.at(dgamma),
            cuda.scratch(bytes),
            bytes,
            cuda.stream()));
  }

  @Override
  void doSwiglu(int rows, int cols, Buffer x, Buffer y) {
    cuda.begin();
    cuda.check(Rhumb.rhumb_swiglu(rows, cols, cuda.at(x), cuda.at(y), cuda.stream()));
  }

  @Override
  void doSwigluBackward(int rows, int cols, Buffer x, Buffer dy, Buffer dx) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_swiglu_backward(
            rows, cols, cuda.at(x), cuda.at(dy), cuda.at(dx), cuda.stream()));
  }

  @Override
  void doRotary(
      int rows,
      int heads,
      int headWidth,
      Buffer positions,
      int tableRows,
      Buffer angles,
      boolean inverse,
      Buffer x,
      long xStride) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_ROTARY_POSITION(), "rotary", tableRows);
    cuda.check(
        Rhumb.rhumb_rotary(
            rows,
            heads,
            headWidth,
            cuda.at(positions),
            tableRows,
            cuda.at(angles),
            inverse ? 1 : 0,
            cuda.at(x),
            xStride,
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doActivation(Activation activation, long count, Buffer x, Buffer y) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_activation(activation.ordinal(), count, cuda.at(x), cuda.at(y), cuda.stream()));
  }

  @Override
  void doActivationBackward(Activation activation, long count, Buffer x, Buffer dy, Buffer dx) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_activation_backward(
            activation.ordinal(), count, cuda.at(x), cuda.at(dy), cuda.at(dx), cuda.stream()));
  }

  @Override
  void doDropout(int rows, int cols, float p, long key, long stream, Buffer x, Buffer y) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_dropout(rows, cols, p, key, stream, cuda.at(x), cuda.at(y), cuda.stream()));
  }

  @Override
  void doGather(
      int rows,
      int cols,
      Buffer ids,
      int tableRows,
      Buffer table,
      float scale,
      float beta,
      Buffer y) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_GATHER_ID(), "gather", tableRows);
    cuda.check(
        Rhumb.rhumb_gather(
            rows,
            cols,
            cuda.at(ids),
            tableRows,
            cuda.at(table),
            scale,
            beta,
            cuda.at(y),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doScatter(int rows, int cols, Buffer ids, Buffer x, int tableRows, Buffer table) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_SCATTER_ID(), "scatter", tableRows);
    cuda.check(
        Rhumb.rhumb_scatter(
            rows,
            cols,
            cuda.at(ids),
            cuda.at(x),
            tableRows,
            cuda.at(table),
            cuda.faults(),
            cuda.stream()));
  }

  @Override
  void doScatterAdd(
      int rows, int cols, Buffer ids, Buffer x, float scale, int tableRows, Buffer table) {
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_SCATTER_ID(), "scatterAdd", tableRows);
    long bytes = Rhumb.rhumb_scatter_add_scratch(rows, cols, tableRows);
    cuda.check(
        Rhumb.rhumb_scatter_add(
            rows,
            cols,
            cuda.at(ids),
            cuda.at(x),
            scale,
            tableRows,
            cuda.at(table),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }
}
