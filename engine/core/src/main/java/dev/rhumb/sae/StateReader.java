package dev.rhumb.sae;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;

/**
 * Reads the hidden states of sequences at a site, batch by batch: one row for each of the newest T
 * positions of each sequence. Empty sequences are passed over.
 *
 * <p>Ownership: owns its workspace, planned when built; not the model or the kernels. Threads: one
 * at a time.
 */
public final class StateReader implements AutoCloseable {
  private static final int ROWS = 4096;

  private final Site site;
  private final Sequences sequences;
  private final int maxLength;
  private final Batch batch;
  private final Inference inference;
  private final int[] window;
  private final int[] inBatch;
  private int[] order;
  private int next;

  /** A reader of all sequences in their own order. */
  public StateReader(Kernels kernels, Model model, Site site, Sequences sequences) {
    this.site = site.requireIn(model.config());
    this.sequences = sequences;
    if (sequences.dataset().items() > model.config().items()) {
      throw new IllegalArgumentException(
          "the dataset '"
              + sequences.dataset().name()
              + "' has "
              + sequences.dataset().items()
              + " items, but the model knows "
              + model.config().items()
              + "; use the dataset that the model was trained on");
    }
    maxLength = model.config().maxLength();
    int rows = Math.max(ROWS, maxLength);
    window = new int[maxLength];
    inBatch = new int[ROWS];
    batch = new Batch(kernels, ROWS, rows);
    inference = new Inference(kernels, model, ROWS, rows);
  }

  /** How many rows a whole reading gives. */
  public long rows() {
    long rows = 0;
    for (int i = 0; i < sequences.count(); i++) {
      rows += length(i);
    }
    return rows;
  }

  /** Starts again. */
  public void restart() {
    restart(null);
  }

  /** Starts again, to read sequences {@code order[0], order[1], ...} only; null for all. */
  void restart(int[] order) {
    this.order = order;
    next = 0;
  }

  /** Reads on; false when all has been read. */
  public boolean next() {
    batch.clear();
    int end = order == null ? sequences.count() : order.length;
    for (; next < end; next++) {
      int sequence = order == null ? next : order[next];
      int n = length(sequence);
      if (n == 0) {
        continue;
      }
      if (!batch.fits(n)) {
        break;
      }
      sequences.copyLast(sequence, n, window, 0);
      inBatch[batch.sequences()] = sequence;
      batch.add(window, 0, n);
    }
    if (batch.sequences() == 0) {
      return false;
    }
    batch.seal();
    inference.runTo(site, batch);
    return true;
  }

  /** The batch that was read. */
  public Batch batch() {
    return batch;
  }

  /** Its hidden states at the site, (rows, D) contiguous. Owned by this reader. */
  public Buffer state() {
    return inference.state();
  }

  /** The user of the {@code i}th sequence of the batch. */
  public int user(int i) {
    return sequences.user(inBatch[i]);
  }

  /** The place in its sequence of the first row of the {@code i}th sequence of the batch. */
  public int place(int i) {
    return sequences.length(inBatch[i]) - length(inBatch[i]);
  }

  private int length(int sequence) {
    return Math.min(maxLength, sequences.length(sequence));
  }

  @Override
  public void close() {
    batch.close();
    inference.close();
  }
}
