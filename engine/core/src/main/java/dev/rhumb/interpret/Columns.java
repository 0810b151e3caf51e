package dev.rhumb.interpret;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.sae.StateReader;
import java.util.Arrays;

/**
 * C columns of values at N positions, and the item and the user at each position: the activations
 * of an autoencoder's features, or the hidden dimensions themselves, or anything else to be held
 * against attributes of the items.
 *
 * <p>Stored by column, without the zeros. The users are dealt to two halves at random, so that what
 * is chosen on one can be scored on the other. Held in host memory, 8 bytes for each value that is
 * not 0; unchangeable, so any thread may read.
 */
public final class Columns {
  private static final long SAMPLE = 0x1E70;
  private static final long HALVES = 0x1E71;

  private final int count;
  private final int[] items;
  private final int[] users;
  private final boolean[] second;
  // The values of column c are values[starts[c] .. starts[c + 1]], of rows ascending.
  private final int[] starts;
  private final int[] rows;
  private final float[] values;

  private Columns(Builder builder, int count) {
    this.count = count;
    items = Arrays.copyOf(builder.items, builder.rows);
    users = Arrays.copyOf(builder.users, builder.rows);
    second = Arrays.copyOf(builder.second, builder.rows);
    starts = new int[count + 1];
    for (int e = 0; e < builder.entries; e++) {
      starts[builder.columns[e] + 1]++;
    }
    for (int c = 0; c < count; c++) {
      starts[c + 1] += starts[c];
    }
    rows = new int[builder.entries];
    values = new float[builder.entries];
    int[] next = Arrays.copyOf(starts, count);
    for (int e = 0; e < builder.entries; e++) {
      int at = next[builder.columns[e]]++;
      rows[at] = builder.entryRows[e];
      values[at] = builder.values[e];
    }
  }

  /**
   * The activations of an autoencoder's features at the newest T positions of sequences, each of
   * another user.
   *
   * @param maxPositions where the sequences have more, a random part of them is taken
   */
  public static Columns features(
      Kernels kernels, Model model, SparseAutoencoder sae, Sequences sequences, int maxPositions) {
    sae.requireFits(model.config());
    int kept = sae.kept();
    int most = 4096;
    try (StateReader reader =
            new StateReader(kernels, model, sae.site(), sample(model, sequences, maxPositions));
        Buffer indices = kernels.allocate(DType.I32, (long) most * kept);
        Buffer values = kernels.allocate(DType.F32, (long) most * kept)) {
      Builder builder = new Builder();
      int[] index = new int[most * kept];
      float[] value = new float[most * kept];
      while (reader.next()) {
        int rows = reader.batch().rows();
        int base = builder.rows(reader);
        for (int from = 0; from < rows; from += most) {
          int n = Math.min(most, rows - from);
          Buffer x = reader.state().slice((long) from * sae.width(), (long) n * sae.width());
          sae.encode(kernels, n, x, indices, values);
          indices.get(0, index, 0, n * kept);
          values.get(0, value, 0, n * kept);
          for (int e = 0; e < n * kept; e++) {
            builder.value(base + from + e / kept, index[e], value[e]);
          }
        }
      }
      return new Columns(builder, sae.features());
    }
  }

  /**
   * The hidden dimensions at a site: the baseline that features are held against. Otherwise as
   * {@link #features}.
   */
  public static Columns hidden(
      Kernels kernels, Model model, Site site, Sequences sequences, int maxPositions) {
    int width = model.config().width();
    try (StateReader reader =
        new StateReader(kernels, model, site, sample(model, sequences, maxPositions))) {
      Builder builder = new Builder();
      float[] row = new float[width];
      while (reader.next()) {
        int base = builder.rows(reader);
        for (int r = 0; r < reader.batch().rows(); r++) {
          reader.state().get((long) r * width, row, 0, width);
          for (int d = 0; d < width; d++) {
            builder.value(base + r, d, row[d]);
          }
        }
      }
      return new Columns(builder, width);
    }
  }

  /**
   * Given values.
   *
   * @param rows (N, C)
   * @param items the item at each position
   * @param users the user at each position; those of one user stand together
   * @param second whether a position's user is of the second half
   */
  static Columns of(float[][] rows, int[] items, int[] users, boolean[] second) {
    Builder builder = new Builder();
    for (int r = 0; r < rows.length; r++) {
      builder.row(items[r], users[r], second[r]);
      for (int c = 0; c < rows[r].length; c++) {
        builder.value(r, c, rows[r][c]);
      }
    }
    return new Columns(builder, rows.length == 0 ? 0 : rows[0].length);
  }

  private static Sequences sample(Model model, Sequences sequences, int maxPositions) {
    if (maxPositions < 1) {
      throw new IllegalArgumentException(
          "positions = " + maxPositions + ", but at least 1 is needed");
    }
    long total = 0;
    for (int i = 0; i < sequences.count(); i++) {
      total += Math.min(sequences.length(i), model.config().maxLength());
    }
    if (total <= maxPositions) {
      return sequences;
    }
    double share = maxPositions / (double) total;
    int[] chosen = new int[sequences.count()];
    int n = 0;
    long taken = 0;
    for (int i = 0; i < chosen.length; i++) {
      int length = Math.min(sequences.length(i), model.config().maxLength());
      if (Philox.uniform(0, SAMPLE, sequences.user(i), 0) < share
          && taken + length <= maxPositions) {
        chosen[n++] = i;
        taken += length;
      }
    }
    return sequences.select(Arrays.copyOf(chosen, n));
  }

  /** C. */
  public int count() {
    return count;
  }

  /** N. */
  public int positions() {
    return items.length;
  }

  /** The item at a position. */
  public int item(int position) {
    return items[position];
  }

  int user(int position) {
    return users[position];
  }

  boolean second(int position) {
    return second[position];
  }

  /** The first entry of a column; for the count of columns, the number of entries. */
  int start(int column) {
    return starts[column];
  }

  int row(int entry) {
    return rows[entry];
  }

  float value(int entry) {
    return values[entry];
  }

  /** Takes rows in order; the values of a row in any. */
  private static final class Builder {
    private int rows;
    private int[] items = new int[1024];
    private int[] users = new int[1024];
    private boolean[] second = new boolean[1024];
    private int entries;
    private int[] columns = new int[4096];
    private int[] entryRows = new int[4096];
    private float[] values = new float[4096];
    private int readers;

    /** Adds the rows of a reader's batch; returns the number of the first. */
    int rows(StateReader reader) {
      int base = rows;
      for (int i = 0; i < reader.batch().sequences(); i++) {
        int user = readers++;
        boolean half = (Philox.bits(0, HALVES, reader.user(i), 0) & 1) == 1;
        for (int r = reader.batch().offset(i); r < reader.batch().offset(i + 1); r++) {
          row(reader.batch().item(r), user, half);
        }
      }
      return base;
    }

    void row(int item, int user, boolean half) {
      if (rows == items.length) {
        int grown = Math.multiplyExact(rows, 2);
        items = Arrays.copyOf(items, grown);
        users = Arrays.copyOf(users, grown);
        second = Arrays.copyOf(second, grown);
      }
      items[rows] = item;
      users[rows] = user;
      second[rows++] = half;
    }

    void value(int row, int column, float value) {
      if (value == 0) {
        return;
      }
      if (Float.isNaN(value)) {
        throw new ArithmeticException("column " + column + " is NaN at position " + row);
      }
      if (entries == values.length) {
        int grown = Math.multiplyExact(entries, 2);
        columns = Arrays.copyOf(columns, grown);
        entryRows = Arrays.copyOf(entryRows, grown);
        values = Arrays.copyOf(values, grown);
      }
      columns[entries] = column;
      entryRows[entries] = row;
      values[entries++] = value;
    }
  }
}
