package dev.rhumb.kernels;

/**
 * The encoder of a sparse autoencoder in the layout that a backend encodes from fastest, made by
 * {@link Sae#pack}.
 *
 * <p>Ownership: the caller closes it; closing twice is harmless. Threads: reading is free for any
 * number of siblings ({@link Kernels#fork}); repacking and closing need them quiet.
 */
public abstract class PackedEncoder implements AutoCloseable {
  private final int capacity;
  private final int width;
  private int features;

  PackedEncoder(int capacity, int width) {
    this.capacity = capacity;
    this.width = width;
  }

  /** How many features it has room for. */
  public final int capacity() {
    return capacity;
  }

  /** How many features it holds now: all of the dictionary, or a subset's. */
  public final int features() {
    return features;
  }

  /** D, the width of an input row. */
  public final int width() {
    return width;
  }

  final void setFeatures(int features) {
    this.features = features;
  }

  /** Refuses use after close. */
  abstract void requireOpen();

  @Override
  public abstract void close();
}
