package dev.rhumb.kernels;

/**
 * Counter-based random bits: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers:
 * as easy as 1, 2, 3", SC'11). The bits at a place depend on nothing but the key, the stream and
 * the place, so a mask is the same on every device and for any number of threads.
 *
 * <p>A place is (row, col). Columns are dealt in blocks of 64 so that vectors of up to 16 lanes
 * read them in order: column c is output word {@code (c % 64) / 16} of the counter {@code (c / 64)
 * * 16 + c % 16}. The four counter words are that counter, the row, and the low and high halves of
 * the stream; the two key words are the halves of the key.
 */
public final class Philox {
  static final int M0 = 0xD2511F53;
  static final int M1 = 0xCD9E8D57;
  static final int W0 = 0x9E3779B9;
  static final int W1 = 0xBB67AE85;
  static final int ROUNDS = 10;

  private Philox() {}

  /** The 32 random bits at (row, col) of a stream. */
  public static int bits(long key, long stream, int row, long col) {
    int c0 = (int) ((col >>> 6) * 16 + (col & 15));
    int word = (int) (col >>> 4) & 3;
    return word(key, c0, row, (int) stream, (int) (stream >>> 32), word);
  }

  /** A number in [0, 1) with 24 random bits, exact in float. */
  public static float uniform(long key, long stream, int row, long col) {
    return (bits(key, stream, row, col) >>> 8) * 0x1p-24f;
  }

  /** A standard normal number by the Box-Muller transform of two columns' bits. */
  public static double normal(long key, long stream, int row, long col) {
    double u = ((bits(key, stream, row, 2 * col) >>> 1) + 1.0) * 0x1p-31;
    double v = (bits(key, stream, row, 2 * col + 1) >>> 1) * 0x1p-31;
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  }

  /**
   * The smallest value, as an unsigned number, of the bits that keep an element under a dropout of
   * probability {@code p}: an element is kept where its bits are at least this.
   */
  public static int keepThreshold(float p) {
    return (int) Math.min(0xFFFFFFFFL, Math.round(p * 0x1p32));
  }

  static int word(long key, int c0, int c1, int c2, int c3, int word) {
    int k0 = (int) key;
    int k1 = (int) (key >>> 32);
    for (int round = 0; round < ROUNDS; round++) {
      long p0 = (M0 & 0xFFFFFFFFL) * (c0 & 0xFFFFFFFFL);
      long p1 = (M1 & 0xFFFFFFFFL) * (c2 & 0xFFFFFFFFL);
      c0 = (int) (p1 >>> 32) ^ c1 ^ k0;
      c1 = (int) p1;
      c2 = (int) (p0 >>> 32) ^ c3 ^ k1;
      c3 = (int) p0;
      k0 += W0;
      k1 += W1;
    }
    return switch (word) {
      case 0 -> c0;
      case 1 -> c1;
      case 2 -> c2;
      default -> c3;
    };
  }
}
