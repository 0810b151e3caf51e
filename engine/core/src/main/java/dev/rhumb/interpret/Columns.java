package dev.rhumb.interpret;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.sae.FiredFeatures;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.sae.StateReader;
import java.util.Arrays;

/**
 * C columns of values at N {@link Positions}, and the item and the user at each: the activations of
 * an autoencoder's features, or the hidden dimensions themselves, or anything else to be held
 * against attributes of the items.
 *
 * <p>Stored by column, without the zeros. The users are dealt to two halves at random, so that what
 * is chosen on one can be scored on the other. Held in host memory, 8 bytes for each value that is
 * not 0; unchangeable, so any thread may read.
 */
public final class Columns {
  private static final long HALVES = 0x1E71;
  private static final long DIRECTIONS = 0x1E72;

  /** Rows to encode at a time. */
  private static final int ROWS = 4096;

  private final int count;
  private final int[] items;
  private final int[] users;
  private final int[] people;
  private final int[] places;
  private final boolean[] second;
  // The values of column c are values[starts[c] .. starts[c + 1]], of rows ascending.
  private final int[] starts;
  private final int[] rows;
  private final float[] values;

  private Columns(Builder builder, int count) {
    this.count = count;
    items = Arrays.copyOf(builder.items, builder.rows);
    users = Arrays.copyOf(builder.users, builder.rows);
    people = Arrays.copyOf(builder.people, builder.rows);
    places = Arrays.copyOf(builder.places, builder.rows);
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

  /** The activations of an autoencoder's features. */
  public static Columns features(
      Kernels kernels, Model model, SparseAutoencoder sae, Positions positions) {
    sae.requireFits(model.config());
    try (FiredFeatures fired = new FiredFeatures(kernels, sae, ROWS)) {
      return read(
          kernels,
          model,
          sae.site(),
          positions,
          sae.features(),
          (builder, rows, state) -> fired.of(state, rows, builder::value));
    }
  }

  /** The hidden dimensions at a site: the baseline that features are held against. */
  public static Columns hidden(Kernels kernels, Model model, Site site, Positions positions) {
    int width = model.config().width();
    return read(
        kernels,
        model,
        site,
        positions,
        width,
        (builder, rows, state) -> builder.dense(0, rows, width, state));
  }

  /**
   * The embedding of the item at each position, D columns: what is known without any context. Early
   * sites of a transformer still hold it.
   */
  public static Columns itemEmbedding(Kernels kernels, Model model, Positions positions) {
    int width = model.config().width();
    int items = model.config().items() + 1;
    float[] table = new float[Math.multiplyExact(items, width)];
    model.itemTable().get(0, table, 0, table.length);
    return read(
        kernels,
        model,
        Site.parse("block 0"),
        positions,
        width,
        (builder, rows, state) -> {
          for (int r = 0; r < rows; r++) {
            int at = builder.batch.item(r) * width;
            for (int d = 0; d < width; d++) {
              builder.value(r, d, table[at + d]);
            }
          }
        });
  }

  /**
   * Projections of the hidden state on directions drawn at random from the sphere: as many tries as
   * a dictionary of that size has, without anything learnt.
   *
   * @param count how many directions
   * @param seed of the draw
   */
  public static Columns randomDirections(
      Kernels kernels, Model model, Site site, int count, long seed, Positions positions) {
    int width = model.config().width();
    float[] directions = directions(count, width, seed);
    int most = 4096;
    try (Buffer w = kernels.allocate(DType.F32, directions.length);
        Buffer y = kernels.allocate(DType.F32, (long) most * count)) {
      w.put(0, directions, 0, directions.length);
      kernels.sae().normaliseRows(count, width, w);
      return read(
          kernels,
          model,
          site,
          positions,
          count,
          (builder, rows, state) -> {
            for (int from = 0; from < rows; from += most) {
              int n = Math.min(most, rows - from);
              Buffer x = state.slice((long) from * width, (long) n * width);
              kernels
                  .dense()
                  .gemm(
                      false,
                      true,
                      n,
                      count,
                      width,
                      1,
                      x,
                      width,
                      w,
                      width,
                      0,
                      y,
                      count,
                      null,
                      Activation.NONE);
              builder.dense(from, n, count, y);
            }
          });
    }
  }

  /** The random directions (count, D), not yet of length 1. */
  static float[] directions(int count, int width, long seed) {
    float[] directions = new float[Math.multiplyExact(count, width)];
    for (int i = 0; i < directions.length; i++) {
      directions[i] = (float) Philox.normal(seed, DIRECTIONS, i / width, i % width);
    }
    return directions;
  }

  /** Takes the values of one batch of hidden states, (rows, D). */
  private interface Take {
    void batch(Builder builder, int rows, Buffer state);
  }

  private static Columns read(
      Kernels kernels, Model model, Site site, Positions positions, int count, Take take) {
    try (StateReader reader =
        new StateReader(kernels, model, site, positions.sample(model.config()))) {
      Builder builder = new Builder();
      while (reader.next()) {
        builder.rows(reader, positions.item());
        take.batch(builder, reader.batch().rows(), reader.state());
      }
      return new Columns(builder, count);
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
      builder.row(items[r], users[r], users[r], r, second[r]);
      for (int c = 0; c < rows[r].length; c++) {
        builder.entry(r, c, rows[r][c]);
      }
    }
    return new Columns(builder, rows.length == 0 ? 0 : rows[0].length);
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

  /** The user in the dataset; for given values, the user. */
  int person(int position) {
    return people[position];
  }

  /** The place of the item in the user's sequence; for given values, the position. */
  int place(int position) {
    return places[position];
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
    private static final int NONE = -1;

    private int rows;
    private int[] items = new int[1024];
    private int[] users = new int[1024];
    private int[] people = new int[1024];
    private int[] places = new int[1024];
    private boolean[] second = new boolean[1024];
    private int entries;
    private int[] columns = new int[4096];
    private int[] entryRows = new int[4096];
    private float[] values = new float[4096];
    private int readers;
    private Batch batch;
    private int[] positionOf = new int[0];

    /** Adds the rows of a reader's batch, but those without an item to be held against. */
    void rows(StateReader reader, Positions.Item held) {
      batch = reader.batch();
      if (positionOf.length < batch.rows()) {
        positionOf = new int[batch.rows()];
      }
      for (int i = 0; i < batch.sequences(); i++) {
        int user = readers++;
        boolean half = (Philox.bits(0, HALVES, reader.user(i), 0) & 1) == 1;
        int start = batch.offset(i);
        int end = batch.offset(i + 1);
        int later = held == Positions.Item.NEXT ? 1 : 0;
        for (int r = start; r < end; r++) {
          if (r + later < end) {
            positionOf[r] = rows;
            int place = reader.place(i) + r + later - start;
            row(batch.item(r + later), user, reader.user(i), place, half);
          } else {
            positionOf[r] = NONE;
          }
        }
      }
    }

    /** A value at a row of the batch. */
    void value(int batchRow, int column, float value) {
      if (positionOf[batchRow] != NONE) {
        entry(positionOf[batchRow], column, value);
      }
    }

    /** All values of rows of the batch, y (n, count), from row {@code from} on. */
    void dense(int from, int n, int count, Buffer y) {
      float[] row = new float[count];
      for (int r = 0; r < n; r++) {
        y.get((long) r * count, row, 0, count);
        for (int c = 0; c < count; c++) {
          value(from + r, c, row[c]);
        }
      }
    }

    void row(int item, int user, int person, int place, boolean half) {
      if (rows == items.length) {
        int grown = Math.multiplyExact(rows, 2);
        items = Arrays.copyOf(items, grown);
        users = Arrays.copyOf(users, grown);
        people = Arrays.copyOf(people, grown);
        places = Arrays.copyOf(places, grown);
        second = Arrays.copyOf(second, grown);
      }
      items[rows] = item;
      users[rows] = user;
      people[rows] = person;
      places[rows] = place;
      second[rows++] = half;
    }

    void entry(int row, int column, float value) {
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
