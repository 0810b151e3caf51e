package dev.rhumb.app.study;

import dev.rhumb.data.Sequences;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Model;
import dev.rhumb.sae.FiredFeatures;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.sae.StateReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What a feature looks like on real histories.
 *
 * @param label what is known of it
 * @param items the items that it fires at most, with its mean activation there
 * @param histogram how many positions have an activation in each of equal parts from 0 to the
 *     largest
 * @param example the neighbourhood of the position of its largest activation, in time order
 */
public record FeatureCard(
    FeatureLabel label, List<Activation> items, List<Integer> histogram, List<Activation> example) {

  private static final int BINS = 24;
  private static final int BEFORE = 6;
  private static final int AFTER = 3;
  private static final int ROWS = 1024;

  /**
   * An activation at an item.
   *
   * @param item from 1
   * @param value the activation, 0 where the feature does not fire
   */
  public record Activation(int item, double value) {}

  /** Copies the lists. */
  public FeatureCard {
    items = List.copyOf(items);
    histogram = List.copyOf(histogram);
    example = List.copyOf(example);
  }

  /** Reads the histories once and makes a card of each of the given features, in their order. */
  public static List<FeatureCard> of(
      Kernels kernels,
      Model model,
      SparseAutoencoder sae,
      Sequences histories,
      List<FeatureLabel> chosen) {
    Reading reading = new Reading(sae.features(), model.config().items(), chosen);
    try (StateReader reader = new StateReader(kernels, model, sae.site(), histories);
        FiredFeatures fired = new FiredFeatures(kernels, sae, ROWS)) {
      while (reader.next()) {
        Batch batch = reader.batch();
        float[][] found = new float[chosen.size()][batch.rows()];
        fired.of(
            reader.state(),
            batch.rows(),
            (row, feature, activation) -> {
              int place = reading.placeOf[feature];
              if (place >= 0) {
                found[place][row] = activation;
              }
            });
        reading.add(batch, found);
      }
    }
    return reading.cards();
  }

  /** Sums over what has been read; a place is an index into the chosen features. */
  private static final class Reading {
    private final List<FeatureLabel> chosen;
    private final int[] placeOf;
    private final int[] positions;
    private final double[][] sums;
    private final int[][] histograms;
    private final float[] largest;
    private final List<List<Activation>> examples = new ArrayList<>();

    Reading(int features, int items, List<FeatureLabel> chosen) {
      this.chosen = chosen;
      placeOf = new int[features];
      Arrays.fill(placeOf, -1);
      for (int place = 0; place < chosen.size(); place++) {
        placeOf[chosen.get(place).feature()] = place;
        examples.add(List.of());
      }
      positions = new int[items + 1];
      sums = new double[chosen.size()][items + 1];
      histograms = new int[chosen.size()][BINS];
      largest = new float[chosen.size()];
    }

    void add(Batch batch, float[][] found) {
      for (int sequence = 0; sequence < batch.sequences(); sequence++) {
        int from = batch.offset(sequence);
        int to = batch.offset(sequence + 1);
        for (int row = from; row < to; row++) {
          positions[batch.item(row)]++;
          for (int place = 0; place < found.length; place++) {
            float value = found[place][row];
            if (value <= 0) {
              continue;
            }
            sums[place][batch.item(row)] += value;
            double most = chosen.get(place).mostActivation();
            histograms[place][(int) Math.min(BINS - 1, value / most * BINS)]++;
            if (value > largest[place]) {
              largest[place] = value;
              examples.set(place, neighbourhood(batch, found[place], from, to, row));
            }
          }
        }
      }
    }

    private static List<Activation> neighbourhood(
        Batch batch, float[] values, int from, int to, int row) {
      List<Activation> around = new ArrayList<>();
      for (int r = Math.max(from, row - BEFORE); r < Math.min(to, row + AFTER + 1); r++) {
        around.add(new Activation(batch.item(r), values[r]));
      }
      return around;
    }

    List<FeatureCard> cards() {
      List<FeatureCard> cards = new ArrayList<>();
      for (int p = 0; p < chosen.size(); p++) {
        int place = p;
        List<Activation> items =
            chosen.get(p).topItems().stream()
                .map(item -> new Activation(item, sums[place][item] / Math.max(1, positions[item])))
                .toList();
        cards.add(
            new FeatureCard(
                chosen.get(p),
                items,
                Arrays.stream(histograms[p]).boxed().toList(),
                examples.get(p)));
      }
      return cards;
    }
  }
}
