package dev.rhumb.steer;

import dev.rhumb.kernels.EditTable;
import java.util.List;

/**
 * What to change in the hidden states of a site, and how.
 *
 * @param edits at most one for each feature
 * @param stage where in the encoder they apply
 * @param write how the change is written back
 * @param positions at which positions of a sequence
 */
public record Steering(
    List<Edit> edits, EditTable.Stage stage, EditTable.Write write, Positions positions) {

  /** Positions of a sequence. */
  public enum Positions {
    /** The last, from which the recommendation is read. */
    LAST,
    /** All of them. */
    ALL
  }

  /** Refuses two edits of one feature. */
  public Steering {
    edits = List.copyOf(edits);
    fill(new EditTable(edits.size()), edits, stage, write);
  }

  /** Edits of activations at the last position; the autoencoder's error is kept. */
  public static Steering of(List<Edit> edits) {
    return new Steering(edits, EditTable.Stage.POST_SELECT, EditTable.Write.DELTA, Positions.LAST);
  }

  /** The same edits at other positions. */
  public Steering at(Positions positions) {
    return new Steering(edits, stage, write, positions);
  }

  /** The same edits, written back in another way. */
  public Steering written(EditTable.Write write) {
    return new Steering(edits, stage, write, positions);
  }

  /** The same edits at another stage. */
  public Steering staged(EditTable.Stage stage) {
    return new Steering(edits, stage, write, positions);
  }

  /** Fills a table with this; allocates nothing while the table has room. */
  public void fill(EditTable table) {
    fill(table, edits, stage, write);
  }

  /** Refuses an edit of a feature that an autoencoder of so many lacks. */
  public Steering requireIn(int features) {
    // No iterator: a request makes no garbage.
    for (int i = 0; i < edits.size(); i++) {
      Edit edit = edits.get(i);
      if (edit.feature() >= features) {
        throw new IllegalArgumentException(
            "steering: there is no feature "
                + edit.feature()
                + "; the SAE has features 0 to "
                + (features - 1));
      }
    }
    return this;
  }

  private static void fill(
      EditTable table, List<Edit> edits, EditTable.Stage stage, EditTable.Write write) {
    table.clear();
    table.stage(stage);
    table.write(write);
    for (int i = 0; i < edits.size(); i++) {
      Edit edit = edits.get(i);
      table.put(edit.feature(), edit.op(), edit.x(), edit.y());
    }
  }
}
