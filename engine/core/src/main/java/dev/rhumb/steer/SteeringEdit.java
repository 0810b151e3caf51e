package dev.rhumb.steer;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Site;
import dev.rhumb.model.StateEdit;
import dev.rhumb.sae.SparseAutoencoder;

/**
 * Applies a {@link Steering} through an autoencoder to the hidden states of batches.
 *
 * <p>Ownership: owns its workspace; not the autoencoder or the kernels. Threads: one at a time.
 */
public final class SteeringEdit implements StateEdit, AutoCloseable {
  private static final int ROWS = 1024;

  private final Kernels kernels;
  private final int block;
  private final SparseAutoencoder sae;
  private final EditTable table;
  private final Buffer values;
  private final Buffer indices;
  private final Buffer ids;
  private final Buffer last;
  private final int[] lastRows = new int[ROWS];
  private Steering.Positions positions;

  /** Ready for batches of any number of rows: they are worked off in blocks. */
  public SteeringEdit(Kernels kernels, SparseAutoencoder sae, Steering steering) {
    this.kernels = kernels;
    this.sae = sae;
    table = new EditTable(steering.edits().size());
    take(steering);
    block = sae.blockRows(ROWS);
    long sparse = (long) block * sae.kept();
    indices = kernels.allocate(DType.I32, sparse);
    values = kernels.allocate(DType.F32, sparse);
    ids = kernels.allocate(DType.I32, block);
    last = kernels.allocate(DType.F32, (long) block * sae.width());
  }

  /** Takes another steering's place: allocates nothing unless it has more edits than any before. */
  public void take(Steering steering) {
    positions = steering.requireIn(sae.features()).positions();
    steering.fill(table);
  }

  @Override
  public Site site() {
    return sae.site();
  }

  @Override
  public void apply(Batch batch, Buffer state) {
    long width = sae.width();
    int count = positions == Steering.Positions.LAST ? batch.sequences() : batch.rows();
    for (int from = 0; from < count; from += block) {
      int n = Math.min(block, count - from);
      if (positions == Steering.Positions.ALL) {
        steer(n, from == 0 ? state : state.slice(from * width, n * width));
        continue;
      }
      for (int i = 0; i < n; i++) {
        lastRows[i] = batch.offset(from + i + 1) - 1;
      }
      ids.put(0, lastRows, 0, n);
      kernels.layers().gather(n, width, ids, batch.rows(), state, 1, 0, last);
      steer(n, last);
      kernels.layers().scatter(n, width, ids, last, batch.rows(), state);
    }
  }

  private void steer(int rows, Buffer x) {
    sae.steer(kernels, rows, x, table, x, indices, values);
  }

  @Override
  public void close() {
    indices.close();
    values.close();
    ids.close();
    last.close();
  }
}
