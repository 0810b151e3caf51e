package dev.rhumb.serve;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Recording;
import dev.rhumb.model.Model;
import dev.rhumb.model.WindowInference;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Steering;

/**
 * Whole requests as recordings: one for plain answers, one for each stage and write of steering,
 * one for encodes, each made when it is first asked for. A run is one copy of all input from
 * page-locked memory, the model, and the catalogue, which leaves its list in page-locked memory.
 *
 * <p>Recordings have room for so many items to leave out and so many edits; a request that needs
 * more gets room for twice as many, and all are made anew.
 *
 * <p>Ownership: owns its workspace; not the recommender's model and autoencoder, nor the kernels.
 * Threads: one at a time.
 */
final class RecordedRequest implements AutoCloseable {
  private final Kernels kernels;
  private final Model model;
  private final SparseAutoencoder sae;
  private final WindowInference inference;
  private final EditTable table = new EditTable(16);
  private final Buffer indices;
  private final Buffer activations;
  private final Buffer items;
  private final Buffer scores;

  // The input: the model's, then the edits, then where the items to leave out begin and end, and
  // they themselves.
  private Buffer input;
  private Buffer hostInput;
  private Buffer hostEdits;
  private Buffer hostExcluded;
  private Buffer excludedOffsets;
  private Buffer excludedItems;
  private int editRoom = 16;
  private int[] excluded;

  // Of an encode; null before the first.
  private Buffer hostIndices;
  private Buffer hostActivations;

  private Recording plain;
  private Recording encode;
  private final Recording[] steered =
      new Recording[EditTable.Stage.values().length * EditTable.Write.values().length];

  /**
   * A workspace.
   *
   * @param k items of a list at most
   * @throws IllegalArgumentException when k is not from 1 to V, or the model's positions count from
   *     the end (its padding)
   */
  RecordedRequest(Recommender recommender, Kernels kernels, int k) {
    this.kernels = kernels;
    model = recommender.model();
    sae = recommender.sae();
    TopItems.requireCount(k, model.config().items());
    inference = new WindowInference(kernels, model);
    int kept = sae == null ? 0 : sae.kept();
    indices = kernels.allocate(DType.I32, kept);
    activations = kernels.allocate(DType.F32, kept);
    excluded = new int[2 + 2 * model.config().maxLength()];
    items = kernels.allocateOnHost(DType.I32, k);
    scores = kernels.allocateOnHost(DType.F32, k);
    makeInput();
  }

  private void makeInput() {
    if (input != null) {
      input.close();
      hostInput.close();
    }
    int window = WindowInference.ints(model.config());
    int edits = (int) EditTable.ints(editRoom);
    input = kernels.allocate(DType.I32, (long) window + edits + excluded.length);
    hostInput = kernels.allocateOnHost(DType.I32, input.count());
    inference.readFrom(input.slice(0, window));
    table.readFrom(input.slice(window, edits));
    hostEdits = hostInput.slice(window, edits);
    long offsets = (long) window + edits;
    hostExcluded = hostInput.slice(offsets, excluded.length);
    excludedOffsets = input.slice(offsets, 2);
    excludedItems = input.slice(offsets + 2, excluded.length - 2);
  }

  /**
   * Answers a history.
   *
   * @param length items of the history, from 1; they are never in the list
   * @param window the newest of them, that the model sees
   * @param steering at the last position; null for none
   * @param k items of the list at most, no more than there is room for
   * @param answer set
   */
  void answer(
      int[] history,
      int length,
      int window,
      Steering steering,
      Filter filter,
      int k,
      Recommendations answer) {
    filter.requireIn(model.config().items());
    answer.reserve(k);
    if (steering != null && steering.edits().size() > editRoom) {
      editRoom = 2 * steering.edits().size();
      forget();
      makeInput();
    }
    exclude(history, length, filter);
    inference.write(history, length - window, window, hostInput);
    recording(steering).run();
    kernels.finish();
    items.get(0, answer.items, 0, k);
    scores.get(0, answer.scores, 0, k);
    answer.count = TopItems.count(answer.items, k);
  }

  /**
   * The features that the history's last position activates, and their activations.
   *
   * @param features lists set, one of as many as the autoencoder keeps
   */
  void features(int[] history, int length, int window, int[] features, float[] values) {
    inference.write(history, length - window, window, hostInput);
    if (hostIndices == null) {
      hostIndices = kernels.allocateOnHost(DType.I32, indices.count());
      hostActivations = kernels.allocateOnHost(DType.F32, indices.count());
    }
    if (encode == null) {
      encode = kernels.record(this::runEncode);
    }
    encode.run();
    kernels.finish();
    hostIndices.get(0, features, 0, features.length);
    hostActivations.get(0, values, 0, values.length);
  }

  /** Takes up what no list has: the seen items, and all that a filter denies or does not allow. */
  private void exclude(int[] history, int length, Filter filter) {
    int[] listed = filter.items();
    int catalogue = model.config().items();
    int others = filter.allows() ? catalogue - listed.length : listed.length;
    int all = Math.addExact(length, others);
    if (excluded.length - 2 < all) {
      excluded = new int[Math.addExact(2, Math.max(all, 2 * excluded.length))];
      forget();
      makeInput();
    }
    excluded[1] = all;
    System.arraycopy(history, 0, excluded, 2, length);
    if (filter.allows()) {
      int at = 2 + length;
      int next = 0;
      for (int item = 1; item <= catalogue; item++) {
        if (next < listed.length && listed[next] == item) {
          next++;
        } else {
          excluded[at++] = item;
        }
      }
    } else {
      System.arraycopy(listed, 0, excluded, 2 + length, others);
    }
    hostExcluded.put(0, excluded, 0, 2 + all);
  }

  private Recording recording(Steering steering) {
    if (steering == null) {
      if (plain == null) {
        plain = kernels.record(this::runPlain);
      }
      return plain;
    }
    steering.fill(table);
    table.write(hostEdits);
    int kind = table.stage().ordinal() * EditTable.Write.values().length + table.write().ordinal();
    if (steered[kind] == null) {
      steered[kind] = kernels.record(this::runSteered);
    }
    return steered[kind];
  }

  private void runPlain() {
    input.copyFrom(hostInput);
    inference.run();
    rank();
  }

  private void runSteered() {
    input.copyFrom(hostInput);
    inference.runTo(sae.site());
    Buffer state = inference.state();
    sae.steer(kernels, 1, state, table, state, indices, activations);
    inference.finish();
    rank();
  }

  private void runEncode() {
    input.copyFrom(hostInput);
    inference.runTo(sae.site());
    sae.encode(kernels, 1, inference.state(), hostIndices, hostActivations);
  }

  private void rank() {
    long d = model.config().width();
    kernels
        .ranking()
        .topItems(
            1,
            d,
            model.config().items() + 1L,
            inference.hidden(),
            d,
            model.itemTable(),
            items.count(),
            excludedOffsets,
            excludedItems,
            items,
            scores);
  }

  private void forget() {
    for (int i = 0; i < steered.length; i++) {
      steered[i] = closed(steered[i]);
    }
    plain = closed(plain);
    encode = closed(encode);
  }

  private static Recording closed(Recording recording) {
    if (recording != null) {
      recording.close();
    }
    return null;
  }

  @Override
  public void close() {
    forget();
    inference.close();
    for (Buffer buffer : new Buffer[] {indices, activations, input, hostInput, items, scores}) {
      buffer.close();
    }
    if (hostIndices != null) {
      hostIndices.close();
      hostActivations.close();
    }
  }
}
