package dev.rhumb.kernels;

import java.lang.foreign.MemorySegment;

/** An encoder of the CUDA backend: one block on the device whose layout is the library's own. */
final class CudaPackedEncoder extends PackedEncoder {
  private final Buffer packed;

  CudaPackedEncoder(CudaQueue cuda, int capacity, int width) {
    super(capacity, width);
    packed = cuda.packed(capacity, width);
  }

  MemorySegment memory() {
    return packed.memory();
  }

  @Override
  void requireOpen() {
    packed.requireOpen();
  }

  @Override
  public void close() {
    packed.close();
  }
}
