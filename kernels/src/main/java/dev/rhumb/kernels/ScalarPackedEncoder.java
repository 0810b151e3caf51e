package dev.rhumb.kernels;

/** An encoder of the scalar backend: its weights as they were given, and each row's feature. */
final class ScalarPackedEncoder extends PackedEncoder {
  final Buffer weights;
  final Buffer bias;
  final Buffer inputBias;
  final Buffer names;

  ScalarPackedEncoder(int capacity, int width) {
    super(capacity, width);
    weights = Buffer.host(DType.F32, (long) capacity * width);
    bias = Buffer.host(DType.F32, capacity);
    inputBias = Buffer.host(DType.F32, width);
    names = Buffer.host(DType.I32, capacity);
  }

  @Override
  void requireOpen() {
    weights.requireOpen();
  }

  @Override
  public void close() {
    names.close();
    inputBias.close();
    bias.close();
    weights.close();
  }
}
