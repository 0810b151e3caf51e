package dev.rhumb.kernels;

import java.util.Arrays;

/**
 * Edits of features, for {@link Sae#steer}: at most one for each feature, and how they are applied.
 *
 * <p>Edits are kept in ascending order of feature. Threads: one at a time. Filling it again
 * allocates nothing while the number of edits stays within its capacity.
 */
public final class EditTable {
  /** What an edit does to an activation a. */
  public enum Op {
    /** a + x. */
    ADD,
    /** x. */
    SET,
    /** x a. */
    SCALE,
    /** a held within [x, y]. */
    CLAMP,
    /** 0. */
    ABLATE
  }

  /** Where in the encoder the edits apply. */
  public enum Stage {
    /** On pre-activations, before the top-k: an edit can evict other features or admit them. */
    PRE_SELECT,
    /**
     * On the activations after the top-k; a feature that was not kept counts as 0, and what an edit
     * gives is not rectified: it may be negative.
     */
    POST_SELECT
  }

  /** How the change is written back to the hidden state. */
  public enum Write {
    /**
     * x + the changes of activations times their decoder rows: the error of the autoencoder is
     * kept.
     */
    DELTA,
    /** The reconstruction from the edited activations takes the place of x. */
    REPLACE
  }

  /** Ints of an edit in {@link #encode}. */
  static final int INTS = 4;

  /** Ints before the edits in a buffer: where they begin and end. */
  static final int OFFSETS = 2;

  private int count;
  private int[] features;
  private Op[] ops;
  private float[] x;
  private float[] y;
  private Stage stage = Stage.POST_SELECT;
  private Write write = Write.DELTA;
  private Buffer resident;
  private int[] encoded = new int[0];

  /**
   * An empty table: {@link Stage#POST_SELECT}, {@link Write#DELTA}.
   *
   * @param capacity edits that it takes without growing
   */
  public EditTable(int capacity) {
    features = new int[capacity];
    ops = new Op[capacity];
    x = new float[capacity];
    y = new float[capacity];
  }

  /** Removes all edits; stage and write stay. */
  public void clear() {
    count = 0;
  }

  /** Says where the edits apply. */
  public void stage(Stage stage) {
    this.stage = stage;
  }

  /** Says how the change is written back. */
  public void write(Write write) {
    this.write = write;
  }

  /** Where the edits apply. */
  public Stage stage() {
    return stage;
  }

  /** How the change is written back. */
  public Write write() {
    return write;
  }

  /** Number of edits. */
  public int count() {
    return count;
  }

  /**
   * Adds an edit.
   *
   * @param feature from 0
   * @param x the operand; the lower bound of {@link Op#CLAMP}; not read by {@link Op#ABLATE}
   * @param y the upper bound of {@link Op#CLAMP}; not read by the others
   * @throws IllegalArgumentException when the feature has an edit already, or an operand is not
   *     finite, or the bounds are crossed
   */
  public void put(int feature, Op op, float x, float y) {
    if (feature < 0) {
      throw new IllegalArgumentException("edit: feature " + feature + " is negative");
    }
    if (!Float.isFinite(x) || !Float.isFinite(y)) {
      throw new IllegalArgumentException(
          "edit of feature " + feature + ": operands must be finite, not " + x + ", " + y);
    }
    if (op == Op.CLAMP && x > y) {
      throw new IllegalArgumentException(
          "edit of feature " + feature + ": clamp bounds are crossed, " + x + " > " + y);
    }
    int at = Arrays.binarySearch(features, 0, count, feature);
    if (at >= 0) {
      throw new IllegalArgumentException("edit: feature " + feature + " has an edit already");
    }
    at = -at - 1;
    if (count == features.length) {
      int grown = Math.max(4, 2 * count);
      features = Arrays.copyOf(features, grown);
      ops = Arrays.copyOf(ops, grown);
      this.x = Arrays.copyOf(this.x, grown);
      this.y = Arrays.copyOf(this.y, grown);
    }
    System.arraycopy(features, at, features, at + 1, count - at);
    System.arraycopy(ops, at, ops, at + 1, count - at);
    System.arraycopy(this.x, at, this.x, at + 1, count - at);
    System.arraycopy(this.y, at, this.y, at + 1, count - at);
    features[at] = feature;
    ops[at] = op;
    this.x[at] = x;
    this.y[at] = y;
    count++;
  }

  /** The feature of edit {@code i}; ascending in i. */
  public int feature(int i) {
    return features[i];
  }

  /** Elements of a buffer that {@link #write(Buffer)} fills, for so many edits. */
  public static long ints(int edits) {
    return OFFSETS + (long) INTS * edits;
  }

  /**
   * Says where {@linkplain Kernels#record recorded} work finds the edits on a GPU: a run steers by
   * what the buffer holds then, but by the stage and the write of the recording. Work that is not
   * recorded, and the host, take the edits from here.
   *
   * @param resident {@link #ints} elements of int32 on the device, for the edits of one row; not
   *     owned; null for none
   */
  public void readFrom(Buffer resident) {
    if (resident != null) {
      Check.that(
          resident.dtype() == DType.I32 && resident.count() >= ints(0),
          "readFrom",
          "buffer " + resident + " must be of I32 and hold " + ints(0) + " or more");
    }
    this.resident = resident;
  }

  /**
   * Puts the edits into a buffer as recorded work reads them.
   *
   * @param to {@link #ints} elements of int32; what is behind the edits stays
   * @throws IllegalArgumentException when there is no room for them
   */
  public void write(Buffer to) {
    int ints = (int) ints(count);
    if (to.count() < ints) {
      throw new IllegalArgumentException(
          "write: buffer " + to + " has no room for " + count + " edits");
    }
    if (encoded.length < ints) {
      encoded = new int[(int) ints(features.length)];
    }
    encoded[1] = count;
    for (int i = 0; i < count; i++) {
      encode(i, encoded, OFFSETS + i * INTS);
    }
    to.put(0, encoded, 0, ints);
  }

  /** Where recorded work finds the edits, or null. */
  Buffer resident() {
    return resident;
  }

  /** Edits for which there is room there. */
  long residentEdits() {
    return (resident.count() - OFFSETS) / INTS;
  }

  /** Writes edit {@code i} as the native library reads it: feature, op, the operands' bits. */
  void encode(int i, int[] to, int at) {
    to[at] = features[i];
    to[at + 1] = ops[i].ordinal();
    to[at + 2] = Float.floatToRawIntBits(x[i]);
    to[at + 3] = Float.floatToRawIntBits(y[i]);
  }

  /** The edit of a feature, or a negative number where it has none. */
  public int find(int feature) {
    return Arrays.binarySearch(features, 0, count, feature);
  }

  /** Edit {@code i} applied to an activation or pre-activation. */
  public float apply(int i, float a) {
    return switch (ops[i]) {
      case ADD -> a + x[i];
      case SET -> x[i];
      case SCALE -> a * x[i];
      case CLAMP -> Math.min(Math.max(a, x[i]), y[i]);
      case ABLATE -> 0;
    };
  }
}
