package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * Sequences for one pass, packed: their rows stand one after another with no padding.
 *
 * <p>Filled by {@link #clear}, {@link #add}..., {@link #seal}; filling allocates nothing. Owns its
 * buffers. One thread at a time.
 */
public final class Batch implements AutoCloseable {
  private final int maxSequences;
  private final int maxRows;
  private final int[] items;
  private final int[] targets;
  private final int[] positions;
  private final int[] offsets;
  private final int[] lastRows;
  private final Buffer itemBuffer;
  private final Buffer targetBuffer;
  private final Buffer positionBuffer;
  private final Buffer offsetBuffer;
  private final Buffer lastRowBuffer;
  private final Buffer memory;

  private int sequences;
  private int rows;

  /** An empty batch with room for so many sequences, and so many rows over all of them. */
  public Batch(Kernels kernels, int maxSequences, int maxRows) {
    this.maxSequences = maxSequences;
    this.maxRows = maxRows;
    items = new int[maxRows];
    targets = new int[maxRows];
    positions = new int[maxRows];
    offsets = new int[maxSequences + 1];
    lastRows = new int[maxSequences];
    memory = kernels.allocate(DType.I32, 3L * maxRows + 2L * maxSequences + 1);
    itemBuffer = memory.slice(0, maxRows);
    targetBuffer = memory.slice(maxRows, maxRows);
    positionBuffer = memory.slice(2L * maxRows, maxRows);
    offsetBuffer = memory.slice(3L * maxRows, maxSequences + 1L);
    lastRowBuffer = memory.slice(3L * maxRows + maxSequences + 1, maxSequences);
  }

  /** Empties it. */
  public void clear() {
    sequences = 0;
    rows = 0;
  }

  /** Whether a sequence of {@code n} items still fits. */
  public boolean fits(int n) {
    return sequences < maxSequences && n <= maxRows - rows;
  }

  /** Adds the sequence {@code source[from .. from + n - 1]}, n at least 1, oldest first. */
  public void add(int[] source, int from, int n) {
    room(n);
    System.arraycopy(source, from, items, rows, n);
    place(n);
  }

  /**
   * Adds a training sequence: the input is all but the last of {@code source[from .. from + n]},
   * the target at each position is the item after it.
   *
   * @param n rows, at least 1; n + 1 items are read
   */
  public void addWithTargets(int[] source, int from, int n) {
    room(n);
    System.arraycopy(source, from, items, rows, n);
    System.arraycopy(source, from + 1, targets, rows, n);
    place(n);
  }

  /** Copies what was added to the device. */
  public void seal() {
    itemBuffer.put(0, items, 0, rows);
    targetBuffer.put(0, targets, 0, rows);
    offsetBuffer.put(0, offsets, 0, sequences + 1);
    lastRowBuffer.put(0, lastRows, 0, sequences);
  }

  /** B. */
  public int sequences() {
    return sequences;
  }

  /** N, rows over all sequences. */
  public int rows() {
    return rows;
  }

  /** The item at a row. */
  public int item(int row) {
    return items[row];
  }

  /** The target of a row that was added with targets. */
  public int target(int row) {
    return targets[row];
  }

  /** The first row of sequence {@code i}; for i = {@link #sequences} the number of rows. */
  public int offset(int i) {
    return offsets[i];
  }

  @Override
  public void close() {
    memory.close();
  }

  int maxSequences() {
    return maxSequences;
  }

  int maxRows() {
    return maxRows;
  }

  Buffer items() {
    return itemBuffer;
  }

  Buffer targets() {
    return targetBuffer;
  }

  /**
   * Positions of the rows, (rows): they count from 0 at the first item of each sequence, or, in a
   * model with {@link Padding}, so that the last item stands at T - 1.
   */
  Buffer positions(ModelConfig config) {
    boolean fromEnd = config.wiring().padding() != Padding.NONE;
    for (int b = 0; b < sequences; b++) {
      int length = offsets[b + 1] - offsets[b];
      int first = fromEnd ? config.maxLength() - length : 0;
      for (int i = 0; i < length; i++) {
        positions[offsets[b] + i] = first + i;
      }
    }
    positionBuffer.put(0, positions, 0, rows);
    return positionBuffer;
  }

  Buffer offsets() {
    return offsetBuffer;
  }

  /** The last row of each sequence, (B) int32. */
  Buffer lastRows() {
    return lastRowBuffer;
  }

  private void room(int n) {
    if (n < 1) {
      throw new IllegalArgumentException("a sequence needs an item");
    }
    if (!fits(n)) {
      throw new IllegalArgumentException(
          "a sequence of "
              + n
              + " does not fit a batch of "
              + maxSequences
              + " sequences and "
              + maxRows
              + " rows that holds "
              + sequences
              + " and "
              + rows);
    }
  }

  private void place(int n) {
    rows += n;
    lastRows[sequences] = rows - 1;
    offsets[++sequences] = rows;
  }
}
