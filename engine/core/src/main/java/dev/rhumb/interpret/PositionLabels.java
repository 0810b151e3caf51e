package dev.rhumb.interpret;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Truth;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/** What is true of positions: each has any number of labels, which are indices into the names. */
public interface PositionLabels {
  /** The names of the labels. */
  List<String> names();

  /** For each label the one that holds wherever it does; -1 where there is none. */
  int[] parents();

  /**
   * The labels of a position, ascending.
   *
   * @param user of the dataset
   * @param place in the user's sequence, from 0
   * @param item the item there, 1..V
   */
  int[] of(int user, int place, int item);

  /** The attributes of the item, with no hierarchy among them. */
  static PositionLabels attributes(Attributes attributes) {
    int[] parents = new int[attributes.count()];
    Arrays.fill(parents, -1);
    return new Given(attributes.names(), parents, (user, place, item) -> attributes.of(item));
  }

  /** The interests of the item. */
  static PositionLabels interests(Truth truth) {
    return new Given(truth.names(), parents(truth), (user, place, item) -> truth.of(item));
  }

  /** The interest from which the user took the item, and its ancestors: nobody sees it. */
  static PositionLabels moods(Truth truth) {
    int[] parents = parents(truth);
    return new Given(
        truth.names(), parents, (user, place, item) -> closed(parents, truth.mood(user, place)));
  }

  /** The interests that the user holds, and their ancestors: nobody sees them. */
  static PositionLabels held(Truth truth) {
    int[] parents = parents(truth);
    return new Given(
        truth.names(), parents, (user, place, item) -> closed(parents, truth.held(user, place)));
  }

  private static int[] parents(Truth truth) {
    int[] parents = new int[truth.interests()];
    Arrays.setAll(parents, truth::parent);
    return parents;
  }

  private static int[] closed(int[] parents, int... labels) {
    BitSet all = new BitSet();
    for (int label : labels) {
      for (int z = label; z >= 0; z = parents[z]) {
        all.set(z);
      }
    }
    return all.stream().toArray();
  }

  /** Labels by a function. */
  record Given(List<String> names, int[] parents, Source source) implements PositionLabels {
    /** Says the labels of a position. */
    public interface Source {
      /** As {@link PositionLabels#of}. */
      int[] of(int user, int place, int item);
    }

    @Override
    public int[] of(int user, int place, int item) {
      return source.of(user, place, item);
    }
  }
}
