package dev.rhumb.serve;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Recording;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.model.Padding;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Steering;

/**
 * Requests of one shape: any history in, the k best unseen items out, plain or steered at the last
 * position. The whole request, copies included, is recorded when it is first asked for and run
 * again from then on: on a GPU one launch of a CUDA graph, over page-locked input and output. It
 * always runs the model's T positions, so that on a CPU a {@link Session} is far quicker.
 *
 * <p>The model sees the newest T items of a history. Lists are those of a {@link Session} that was
 * given as many items, the scores equal but for rounding. A request makes no garbage and allocates
 * nothing once one of its kind (plain, or with a steering's stage and write) was made, while a
 * history has no more items, and a steering no more edits, than this has room for; it makes room
 * for twice as many and records anew where there are more.
 *
 * <p>Ownership: owns its workspace. Threads: one at a time; a call while another thread's is under
 * way is refused. Closing is free at any time: a request under way ends as usual and frees the
 * memory when it does.
 */
public final class PreparedRequest implements AutoCloseable {
  private static final int EDITS = 16;

  private final Recommender recommender;
  private final Kernels kernels;
  private final Model model;
  private final int k;
  private final Turn turn = new Turn("prepared request", this::free);
  private final Batch batch;
  private final Inference inference;
  private final Recommendations answer;
  private final Buffer state;
  private final Buffer indices;
  private final Buffer values;
  private final Buffer items;
  private final Buffer scores;
  private final Buffer itemsOut;
  private final Buffer scoresOut;
  private final int[] zeroAndCount = new int[2];
  private EditTable table = new EditTable(EDITS);
  private int editRoom = EDITS;

  // Where the seen items begin and end (2), then the seen items.
  private Buffer seenIn;
  private Buffer seen;
  private Buffer seenOffsets;
  private Buffer seenItems;
  private Recording plain;
  private final Recording[] steered =
      new Recording[EditTable.Stage.values().length * EditTable.Write.values().length];

  PreparedRequest(Recommender recommender, Kernels kernels, int k) {
    this.recommender = recommender;
    this.kernels = kernels;
    this.k = k;
    model = recommender.model();
    TopItems.requireCount(k, model.config().items());
    if (model.config().wiring().padding() != Padding.NONE) {
      throw new IllegalArgumentException(
          "the model " + recommender.path() + " counts positions from the end: use a session");
    }
    int t = model.config().maxLength();
    long d = model.config().width();
    SparseAutoencoder sae = recommender.sae();
    int kept = sae == null ? 0 : sae.kept();
    batch = Batch.window(kernels, t);
    inference = new Inference(kernels, model, 1, t);
    answer = new Recommendations(recommender.catalogue());
    answer.reserve(k);
    state = kernels.allocate(DType.F32, d);
    indices = kernels.allocate(DType.I32, kept);
    values = kernels.allocate(DType.F32, kept);
    items = kernels.allocate(DType.I32, k);
    scores = kernels.allocate(DType.F32, k);
    itemsOut = kernels.allocateOnHost(DType.I32, k);
    scoresOut = kernels.allocateOnHost(DType.F32, k);
    room(2 * t);
  }

  /**
   * The k best unseen items.
   *
   * @param history items, oldest first, the first {@code length} of the array
   * @return the list; it changes with the next call
   * @throws IllegalArgumentException when the history is empty, or the catalogue lacks one of its
   *     items
   */
  public Recommendations recommend(int[] history, int length) {
    turn.enter();
    try {
      take(history, length);
      if (plain == null) {
        plain = kernels.record(this::run);
      }
      return answer(plain);
    } finally {
      turn.exit();
    }
  }

  /**
   * The k best unseen items when the hidden state is steered at the last position.
   *
   * @throws IllegalStateException when the model has no autoencoder
   * @throws IllegalArgumentException when the history is empty, or the catalogue lacks one of its
   *     items, or an edit names a feature that the autoencoder lacks, or the steering is at all
   *     positions
   */
  public Recommendations recommend(int[] history, int length, Steering steering) {
    turn.enter();
    try {
      SparseAutoencoder sae = recommender.requireSae();
      if (steering.requireIn(sae.features()).positions() == Steering.Positions.ALL) {
        throw new IllegalArgumentException(
            "a prepared request steers the last position; for all of them use a session");
      }
      take(history, length);
      if (steering.edits().size() > editRoom) {
        editRoom = 2 * steering.edits().size();
        table = new EditTable(editRoom);
        forgetSteered();
      }
      steering.fill(table);
      int kind =
          table.stage().ordinal() * EditTable.Write.values().length + table.write().ordinal();
      if (steered[kind] == null) {
        steered[kind] = kernels.record(this::runSteered);
      }
      return answer(steered[kind]);
    } finally {
      turn.exit();
    }
  }

  private void take(int[] history, int length) {
    if (length < 1 || length > history.length) {
      throw new IllegalArgumentException(
          "a history of " + length + " items, in an array of " + history.length);
    }
    int catalogue = model.config().items();
    for (int i = 0; i < length; i++) {
      if (history[i] < 1 || history[i] > catalogue) {
        throw new IllegalArgumentException(
            "item " + history[i] + " is not in the catalogue, whose items are 1 to " + catalogue);
      }
    }
    if (seen.count() - 2 < length) {
      forget();
      room(2 * length);
    }
    int window = Math.min(length, model.config().maxLength());
    batch.set(history, length - window, window);
    zeroAndCount[1] = length;
    seenIn.put(0, zeroAndCount, 0, 2);
    seenIn.put(2, history, 0, length);
  }

  private void room(int length) {
    if (seen != null) {
      seen.close();
      seenIn.close();
    }
    seen = kernels.allocate(DType.I32, 2L + length);
    seenIn = kernels.allocateOnHost(DType.I32, 2L + length);
    seenOffsets = seen.slice(0, 2);
    seenItems = seen.slice(2, length);
  }

  private Recommendations answer(Recording recording) {
    recording.run();
    kernels.finish();
    itemsOut.get(0, answer.items, 0, k);
    scoresOut.get(0, answer.scores, 0, k);
    answer.count = TopItems.count(answer.items, k);
    return answer;
  }

  private void run() {
    batch.send();
    inference.run(batch);
    rank();
  }

  private void runSteered() {
    SparseAutoencoder sae = recommender.sae();
    long d = model.config().width();
    long rows = batch.rows();
    batch.send();
    inference.runTo(sae.site(), batch);
    Buffer all = inference.state();
    kernels.layers().gather(1, d, batch.lastRows(), rows, all, 1, 0, state);
    sae.steer(kernels, 1, state, table, state, indices, values);
    kernels.layers().scatter(1, d, batch.lastRows(), state, rows, all);
    inference.finish();
    rank();
  }

  private void rank() {
    long d = model.config().width();
    seen.copyFrom(seenIn);
    kernels
        .ranking()
        .topItems(
            1,
            d,
            model.config().items() + 1L,
            inference.lastHidden(),
            d,
            model.itemTable(),
            k,
            seenOffsets,
            seenItems,
            items,
            scores);
    itemsOut.copyFrom(items);
    scoresOut.copyFrom(scores);
  }

  private void forgetSteered() {
    for (int i = 0; i < steered.length; i++) {
      if (steered[i] != null) {
        steered[i].close();
        steered[i] = null;
      }
    }
  }

  private void forget() {
    forgetSteered();
    if (plain != null) {
      plain.close();
      plain = null;
    }
  }

  /** Frees its memory, or lets the request under way free it. Closing twice is harmless. */
  @Override
  public void close() {
    turn.close();
  }

  private void free() {
    forget();
    batch.close();
    inference.close();
    for (Buffer buffer :
        new Buffer[] {state, indices, values, items, scores, itemsOut, scoresOut, seen, seenIn}) {
      buffer.close();
    }
    kernels.close();
    recommender.release();
  }
}
