package dev.rhumb.checkpoint;

/** bfloat16, the upper half of a float's bits: as wide a range, 8 bits of precision. */
public final class Bfloat16 {
  private Bfloat16() {}

  /** The float of 16 bits: exact. */
  public static float toFloat(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** The 16 bits nearest to a float, of two as near the even one; NaN stays NaN. */
  public static short of(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) (bits >>> 16 | 0x40);
    }
    return (short) (bits + 0x7FFF + (bits >>> 16 & 1) >>> 16);
  }
}
