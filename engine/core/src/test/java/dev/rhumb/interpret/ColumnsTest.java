package dev.rhumb.interpret;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.sae.StateReader;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class ColumnsTest {
  private static final int D = 8;
  private static final int T = 5;
  private static final int[] LENGTHS = {1, 4, 7, 2, 5};
  private static Kernels kernels;
  private static Dataset dataset;
  private static Model model;
  private static Sequences sequences;

  @BeforeAll
  static void open() {
    kernels = Kernels.open();
    DatasetBuilder builder = new DatasetBuilder();
    for (int u = 0; u < LENGTHS.length; u++) {
      for (int p = 0; p < LENGTHS[u]; p++) {
        builder.add("" + u, "" + (1 + (u + 2 * p) % 9), p);
      }
    }
    dataset = builder.build("d");
    sequences = Sequences.all(dataset);
    model =
        Model.initialise(
            kernels, ModelConfig.of(BlockStyle.GPT2, dataset.items(), D, 1, 2, T, 0), 5);
  }

  @AfterAll
  static void close() {
    model.close();
    dataset.close();
    kernels.close();
  }

  /** The values of all positions, (N, C). */
  private static float[][] dense(Columns columns) {
    float[][] rows = new float[columns.positions()][columns.count()];
    for (int c = 0; c < columns.count(); c++) {
      for (int e = columns.start(c); e < columns.start(c + 1); e++) {
        rows[columns.row(e)][c] = columns.value(e);
      }
    }
    return rows;
  }

  private static int[] items(Columns columns) {
    return IntStream.range(0, columns.positions()).map(columns::item).toArray();
  }

  @Test
  void aPositionIsHeldAgainstItsItemOrTheNext() {
    Positions positions = Positions.of(sequences, 1000);
    Columns current = Columns.hidden(kernels, model, Site.parse("block 0"), positions);
    Columns next =
        Columns.hidden(kernels, model, Site.parse("block 0"), positions.heldAgainstNext());
    List<Integer> at = new ArrayList<>();
    List<Integer> after = new ArrayList<>();
    List<float[]> expected = new ArrayList<>();
    float[][] all = dense(current);
    for (int u = 0, row = 0; u < LENGTHS.length; u++) {
      int from = Math.max(0, LENGTHS[u] - T);
      for (int p = from; p < LENGTHS[u]; p++, row++) {
        at.add(dataset.item(u, p));
        if (p + 1 < LENGTHS[u]) {
          after.add(dataset.item(u, p + 1));
          expected.add(all[row]);
        }
      }
    }
    assertArrayEquals(at.stream().mapToInt(i -> i).toArray(), items(current));
    assertArrayEquals(after.stream().mapToInt(i -> i).toArray(), items(next));
    assertArrayEquals(expected.toArray(float[][]::new), dense(next));
  }

  @Test
  void theItemEmbeddingIsTheTablesRow() {
    Columns columns = Columns.itemEmbedding(kernels, model, Positions.of(sequences, 1000));
    float[][] rows = dense(columns);
    float[] row = new float[D];
    for (int i = 0; i < rows.length; i++) {
      model.itemTable().get((long) columns.item(i) * D, row, 0, D);
      assertArrayEquals(row, rows[i]);
    }
  }

  @Test
  void randomDirectionsProjectTheHiddenStateOnUnitVectors() {
    Positions positions = Positions.of(sequences, 1000);
    Site site = Site.parse("last");
    int count = 3000;
    float[][] projected =
        dense(Columns.randomDirections(kernels, model, site, count, 7, positions));
    float[][] hidden = dense(Columns.hidden(kernels, model, site, positions));
    for (int r = 0; r < hidden.length; r++) {
      double squares = 0;
      double longest = 0;
      for (float h : hidden[r]) {
        squares += (double) h * h;
      }
      double mean = 0;
      for (float p : projected[r]) {
        mean += (double) p * p / count;
        longest = Math.max(longest, Math.abs(p));
      }
      // A unit vector drawn from the sphere takes 1 / D of the squared length on average.
      assertEquals(squares / D, mean, .1 * squares / D);
      assertTrue(longest <= Math.sqrt(squares) * 1.00001);
    }
    assertArrayEquals(
        projected, dense(Columns.randomDirections(kernels, model, site, count, 7, positions)));
  }

  @Test
  void atMostSoManyPositionsAreRead() {
    Columns some = Columns.hidden(kernels, model, Site.parse("last"), Positions.of(sequences, 6));
    assertTrue(some.positions() <= 6);
    assertThrows(IllegalArgumentException.class, () -> Positions.of(sequences, 0));
    try (StateReader reader = new StateReader(kernels, model, Site.parse("last"), sequences)) {
      assertEquals(reader.rows(), dense(all()).length);
    }
  }

  private static Columns all() {
    return Columns.hidden(kernels, model, Site.parse("last"), Positions.of(sequences, 1000));
  }
}
