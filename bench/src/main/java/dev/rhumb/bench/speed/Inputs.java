package dev.rhumb.bench.speed;

import java.util.SplittableRandom;

/** Inputs that are the same in every process. */
public final class Inputs {
  private Inputs() {}

  /**
   * Numbers drawn evenly from -0.5 to 0.5.
   *
   * @param stream which: the same one gives the same numbers
   */
  public static float[] uniform(long stream, long count) {
    SplittableRandom random = new SplittableRandom(stream);
    float[] values = new float[Math.toIntExact(count)];
    for (int i = 0; i < values.length; i++) {
      values[i] = random.nextFloat() - 0.5f;
    }
    return values;
  }

  /** Whole numbers drawn evenly from 0 to below a bound. */
  public static int[] integers(long stream, long count, int below) {
    return new SplittableRandom(stream).ints(count, 0, below).toArray();
  }
}
