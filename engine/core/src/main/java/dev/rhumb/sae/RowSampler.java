package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;

/**
 * Draws hidden states in random order. Where all fit the memory, each epoch draws every row once,
 * and the draws depend on the rows and the seed alone; where they do not, the reader's pieces are
 * read in a random order and their rows drawn from a buffer that is filled up whenever half of it
 * is gone, and the draws depend on the pieces, the memory and the largest draw too.
 *
 * <p>Ownership: closes its reader. Threads: one at a time.
 */
final class RowSampler implements RowSource {
  private static final long DRAW = 0x5AE0;
  private static final long ORDER = 0x5AE1;

  private final Kernels kernels;
  private final int width;
  private final long seed;
  private final RowReader reader;
  private final long rows;
  private final int capacity;
  private final boolean whole;
  private final Buffer held;
  private final Buffer ids;
  private final int[] slots;
  private final int[] drawn;
  private int live;
  private long draws;

  // What of the reader's batch has not gone into the buffer yet, and how often it was restarted.
  private int readFrom;
  private int readTo;
  private int epoch;

  /**
   * @param bytes memory for hidden states
   * @param batch most rows of one draw
   */
  RowSampler(Kernels kernels, RowReader reader, long bytes, int batch, long seed) {
    this.kernels = kernels;
    this.reader = reader;
    this.seed = seed;
    width = reader.width();
    rows = reader.rows();
    long room = Math.min(bytes / (4L * width), Integer.MAX_VALUE / 2);
    whole = rows <= room;
    if (rows == 0 || (!whole && room < 2L * batch)) {
      reader.close();
      throw new IllegalArgumentException(
          rows == 0
              ? "SAE: there is no position to learn from; give users with items"
              : "SAE: "
                  + bytes
                  + " bytes of buffer hold "
                  + room
                  + " rows of width "
                  + width
                  + ", but two batches of "
                  + batch
                  + " must fit; raise the buffer bytes");
    }
    capacity = (int) Math.min(rows, room);
    held = kernels.allocate(DType.F32, (long) capacity * width);
    ids = kernels.allocate(DType.I32, Math.max(batch, capacity));
    drawn = new int[batch];
    slots = new int[capacity];
    for (int i = 0; i < capacity; i++) {
      slots[i] = i;
    }
    boolean filled = false;
    try {
      if (!whole) {
        reader.restart(order(0));
      }
      fill();
      filled = true;
    } finally {
      if (!filled) {
        close();
      } else if (whole) {
        reader.close();
      }
    }
  }

  @Override
  public long rows() {
    return rows;
  }

  @Override
  public void draw(Buffer x, int n) {
    if (!whole && live < Math.max(n, capacity / 2)) {
      fill();
    }
    for (int i = 0; i < n; i++) {
      if (live == 0) {
        live = capacity;
      }
      int pick = (int) (Integer.toUnsignedLong(bits(DRAW, draws++)) * live >>> 32);
      int slot = slots[pick];
      slots[pick] = slots[--live];
      slots[live] = slot;
      drawn[i] = slot;
    }
    ids.put(0, drawn, 0, n);
    kernels.layers().gather(n, width, ids, capacity, held, 1, 0, x);
  }

  /** Reads rows into all free slots. */
  private void fill() {
    while (live < capacity) {
      if (readFrom == readTo) {
        if (!reader.next()) {
          // Never where all rows fit: then the capacity is their count.
          reader.restart(order(++epoch));
          continue;
        }
        readFrom = 0;
        readTo = reader.count();
      }
      int n = Math.min(capacity - live, readTo - readFrom);
      Buffer part = reader.state().slice((long) readFrom * width, (long) n * width);
      ids.put(0, slots, live, n);
      kernels.layers().scatter(n, width, ids, part, capacity, held);
      readFrom += n;
      live += n;
    }
  }

  /** The pieces in the random order of an epoch. */
  private int[] order(int epoch) {
    int[] order = new int[reader.pieces()];
    for (int i = 0; i < order.length; i++) {
      order[i] = i;
    }
    for (int i = order.length - 1; i > 0; i--) {
      int j = (int) (Integer.toUnsignedLong(Philox.bits(seed, ORDER, epoch, i)) * (i + 1) >>> 32);
      int swap = order[i];
      order[i] = order[j];
      order[j] = swap;
    }
    return order;
  }

  private int bits(long stream, long count) {
    return Philox.bits(seed, stream, (int) (count >>> 31), count & Integer.MAX_VALUE);
  }

  @Override
  public void close() {
    reader.close();
    held.close();
    ids.close();
  }
}
