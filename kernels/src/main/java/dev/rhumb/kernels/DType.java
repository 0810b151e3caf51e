package dev.rhumb.kernels;

/** Element type of a {@link Buffer}. */
public enum DType {
  /** IEEE 754 binary32. */
  F32(4),
  /** bfloat16: the upper half of a binary32. */
  BF16(2),
  /** Signed 32-bit integer, two's complement. */
  I32(4),
  /** Signed 64-bit integer, two's complement. */
  I64(8),
  /** Unsigned byte. */
  U8(1);

  private final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes that one element takes. */
  public int bytes() {
    return bytes;
  }
}
