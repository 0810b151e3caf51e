package dev.rhumb.interpret;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.ModelConfig;
import java.util.Arrays;
import java.util.Objects;

/**
 * Positions at which columns are read, and the item that each is held against.
 *
 * @param sequences of which users; the newest T positions of each
 * @param most where they have more, a random part of the users is taken
 * @param item whose attributes are the labels of a position
 */
public record Positions(Sequences sequences, int most, Item item) {
  private static final long SAMPLE = 0x1E70;

  /** Which item. */
  public enum Item {
    /** The one at the position. The hidden state has just taken it in. */
    CURRENT,
    /** The one that follows. The newest position of a sequence has none and is left out. */
    NEXT
  }

  /** Refuses an impossible count. */
  public Positions {
    Objects.requireNonNull(sequences, "sequences");
    Objects.requireNonNull(item, "item");
    if (most < 1) {
      throw new IllegalArgumentException("positions = " + most + ", but at least 1 is needed");
    }
  }

  /** Positions held against their own items. */
  public static Positions of(Sequences sequences, int most) {
    return new Positions(sequences, most, Item.CURRENT);
  }

  /** The same, held against the items that follow. */
  public Positions heldAgainstNext() {
    return new Positions(sequences, most, Item.NEXT);
  }

  /** The sequences of the users that are read. */
  Sequences sample(ModelConfig config) {
    long total = 0;
    for (int i = 0; i < sequences.count(); i++) {
      total += Math.min(sequences.length(i), config.maxLength());
    }
    if (total <= most) {
      return sequences;
    }
    double share = most / (double) total;
    int[] chosen = new int[sequences.count()];
    int n = 0;
    long taken = 0;
    for (int i = 0; i < chosen.length; i++) {
      int length = Math.min(sequences.length(i), config.maxLength());
      if (Philox.uniform(0, SAMPLE, sequences.user(i), 0) < share && taken + length <= most) {
        chosen[n++] = i;
        taken += length;
      }
    }
    return sequences.select(Arrays.copyOf(chosen, n));
  }
}
