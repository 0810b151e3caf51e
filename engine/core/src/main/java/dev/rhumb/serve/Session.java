package dev.rhumb.serve;

import dev.rhumb.data.Attributes;
import dev.rhumb.jfr.Events;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Sae;
import dev.rhumb.model.Batch;
import dev.rhumb.model.IncrementalInference;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.model.Padding;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.Dose;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.util.Arrays;

/**
 * One user's history, kept ready: an appended item costs one position, not the whole history. Items
 * of the history are never recommended.
 *
 * <p>The model sees at most T items. When an item comes to a full window, the window starts anew
 * with the newest three quarters of T and that item; {@link #window} tells how many items it holds.
 * A model with {@link dev.rhumb.model.Padding} always sees the newest T, and runs them anew for
 * every answer.
 *
 * <p>Steering never enters the kept keys and values: the plain history stays. At the last position
 * it costs one position from the site on; at all positions the window is run anew.
 *
 * <p>Ownership: closing it frees its memory. Threads: one at a time.
 */
public final class Session implements AutoCloseable {
  private final Recommender recommender;
  private final Kernels kernels;
  private final Model model;
  private final SparseAutoencoder sae;
  private final IncrementalInference inference;
  private final Recommendations answer;
  private final EditTable table = new EditTable(16);
  private final int[] zeroAndCount = new int[2];
  private final Buffer seenOffsets;
  private final Buffer editedState;
  private final Buffer indices;
  private final Buffer activations;
  private final int[] listed;
  private final float[] listedValues;
  private Buffer seen;
  private Buffer topItems;
  private Buffer topScores;
  private int[] history = new int[64];
  private int length;
  private boolean closed;

  Session(Recommender recommender, Kernels kernels) {
    this.recommender = recommender;
    this.kernels = kernels;
    model = recommender.model();
    sae = recommender.sae();
    inference = new IncrementalInference(kernels, model);
    answer = new Recommendations(recommender.catalogue());
    seenOffsets = kernels.allocate(DType.I32, 2);
    seen = kernels.allocate(DType.I32, history.length);
    topItems = kernels.allocate(DType.I32, 10);
    topScores = kernels.allocate(DType.F32, 10);
    int kept = sae == null ? 0 : sae.kept();
    editedState = kernels.allocate(DType.F32, model.config().width());
    indices = kernels.allocate(DType.I32, kept);
    activations = kernels.allocate(DType.F32, kept);
    listed = new int[kept];
    listedValues = new float[kept];
  }

  /**
   * Appends an item.
   *
   * @param item from 1 to V
   * @throws IllegalArgumentException when the catalogue has no such item; the history stays as it
   *     was
   */
  public void append(int item) {
    requireOpen();
    if (item < 1 || item > model.config().items()) {
      throw new IllegalArgumentException(
          "item "
              + item
              + " is not in the catalogue, whose items are 1 to "
              + model.config().items());
    }
    if (length == history.length) {
      grow();
    }
    history[length++] = item;
    int t = model.config().maxLength();
    if (inference.length() < t) {
      inference.append(item);
      return;
    }
    boolean padded = model.config().wiring().padding() != Padding.NONE;
    int kept = padded ? t - 1 : t * 3 / 4;
    inference.clear();
    for (int i = length - 1 - kept; i < length; i++) {
      inference.append(history[i]);
    }
  }

  /**
   * Appends an item by its external id.
   *
   * @throws IllegalArgumentException when the catalogue has no such id; the history stays as it was
   */
  public void append(String id) {
    int item = recommender.catalogue().itemOf(id);
    if (item == 0) {
      throw new IllegalArgumentException(
          "item '" + id + "' is not in the catalogue of " + recommender.path());
    }
    append(item);
  }

  /** Forgets the history. */
  public void clear() {
    requireOpen();
    length = 0;
    inference.clear();
  }

  /** Items in the history. */
  public int length() {
    return length;
  }

  /** The newest items of the history that the model sees. */
  public int window() {
    return inference.length();
  }

  /** The best {@code k} unseen items. */
  public Recommendations recommend(int k) {
    requireHistory();
    Events.Request event = Events.beginRequest();
    Recommendations list = top(k, inference.hidden());
    Events.end(event, inference.length(), k, -1);
    return list;
  }

  /**
   * The best {@code k} unseen items when the hidden state is steered.
   *
   * @throws IllegalStateException when the history is empty, or the model has no autoencoder
   * @throws IllegalArgumentException when an edit names a feature that the autoencoder lacks
   */
  public Recommendations recommend(int k, Steering steering) {
    requireHistory();
    Events.Request event = Events.beginRequest();
    Recommendations list = steered(k, steering);
    Events.end(event, inference.length(), k, steering.edits().size());
    return list;
  }

  private Recommendations steered(int k, Steering steering) {
    requireSae().requireFits(model.config());
    steering.requireIn(sae.features());
    if (steering.positions() == Steering.Positions.ALL) {
      return steeredEverywhere(k, steering);
    }
    steering.fill(table);
    Buffer state = inference.state(sae.site());
    sae.steer(kernels, 1, state, table, editedState, indices, activations);
    return top(k, inference.finish(sae.site(), editedState));
  }

  /**
   * The best {@code k} unseen items when the hidden state is steered at the last position by the
   * strength that gives the list the share of a dose, as nearly as can be: up to 13 answers' work.
   *
   * @throws IllegalStateException when the history is empty, or the model's autoencoder has not
   *     been explained
   * @throws IllegalArgumentException when the concept is unknown; it offers the nearest names
   */
  public Recommendations recommend(int k, Dose dose) {
    requireHistory();
    Concepts concepts = recommender.concepts();
    concepts.parts(dose.concept());
    Attributes attributes = recommender.catalogue().attributes();
    int attribute = attributes.find(dose.concept());
    Dose.Search search = dose.search();
    while (search.next()) {
      Recommendations list = recommend(k, concepts.steer(dose.concept(), search.strength()));
      int with = 0;
      for (int i = 0; i < list.count(); i++) {
        with += attributes.has(list.item(i), attribute) ? 1 : 0;
      }
      search.saw(with, list.count());
    }
    return recommend(k, concepts.steer(dose.concept(), search.strength()));
  }

  /**
   * The features that the plain history activates at its last position, the strongest first.
   *
   * @param features filled with their numbers, as many as fit and fired
   * @param values filled with their activations
   * @return how many
   */
  public int features(int[] features, float[] values) {
    requireHistory();
    requireSae().encode(kernels, 1, inference.state(sae.site()), indices, activations);
    indices.get(0, listed, 0, listed.length);
    activations.get(0, listedValues, 0, listed.length);
    int most = Math.min(features.length, values.length);
    int fired = 0;
    for (int i = 0; i < listed.length && listed[i] != Sae.END; i++) {
      if (listedValues[i] > 0) {
        fired = insert(listed[i], listedValues[i], features, values, fired, most);
      }
    }
    return fired;
  }

  /** Puts a feature among the strongest; how many there are then. */
  private static int insert(
      int feature, float value, int[] features, float[] values, int count, int most) {
    int at = count;
    while (at > 0 && value > values[at - 1]) {
      at--;
    }
    if (at == most) {
      return count;
    }
    int moved = Math.min(count, most - 1) - at;
    System.arraycopy(features, at, features, at + 1, moved);
    System.arraycopy(values, at, values, at + 1, moved);
    features[at] = feature;
    values[at] = value;
    return Math.min(count + 1, most);
  }

  /**
   * Runs the request path until the compiler is done with it, then forgets what it appended. The
   * history must be empty.
   *
   * @param steering what requests will ask for, or null
   */
  public void warmUp(int k, Steering steering) {
    if (length > 0) {
      throw new IllegalStateException("warm up a session before its first item");
    }
    int items = model.config().items();
    for (int round = 0; round < 3_000; round++) {
      if (length == Math.min(items - 1, model.config().maxLength())) {
        clear();
      }
      append(1 + round % items);
      recommend(k);
      if (steering != null) {
        recommend(k, steering);
      }
    }
    clear();
  }

  private Recommendations steeredEverywhere(int k, Steering steering) {
    int n = inference.length();
    try (SteeringEdit edit = new SteeringEdit(kernels, sae, steering);
        Batch batch = new Batch(kernels, 1, n);
        Inference whole = new Inference(kernels, model, 1, n)) {
      batch.add(history, length - n, n);
      batch.seal();
      whole.runTo(edit.site(), batch);
      edit.apply(batch, whole.state());
      whole.finish();
      return top(k, whole.lastHidden());
    }
  }

  private Recommendations top(int k, Buffer hidden) {
    int items = model.config().items();
    if (k < 1 || k > items) {
      throw new IllegalArgumentException(
          "k = " + k + " must be from 1 to the " + items + " items of the catalogue");
    }
    if (topItems.count() < k) {
      topItems.close();
      topScores.close();
      topItems = kernels.allocate(DType.I32, k);
      topScores = kernels.allocate(DType.F32, k);
    }
    if (answer.items.length < k) {
      answer.items = new int[k];
      answer.scores = new float[k];
    }
    seen.put(0, history, 0, length);
    zeroAndCount[1] = length;
    seenOffsets.put(0, zeroAndCount, 0, 2);
    long d = model.config().width();
    kernels
        .ranking()
        .topItems(
            1,
            d,
            items + 1L,
            hidden,
            d,
            model.itemTable(),
            k,
            seenOffsets,
            seen,
            topItems,
            topScores);
    topItems.get(0, answer.items, 0, k);
    topScores.get(0, answer.scores, 0, k);
    int count = 0;
    while (count < k && answer.items[count] != 0) {
      count++;
    }
    answer.count = count;
    return answer;
  }

  private void grow() {
    int larger = history.length * 2;
    Buffer grown = kernels.allocate(DType.I32, larger);
    seen.close();
    seen = grown;
    history = Arrays.copyOf(history, larger);
  }

  private SparseAutoencoder requireSae() {
    if (sae == null) {
      throw new IllegalStateException(
          "the model "
              + recommender.path()
              + " was opened without an autoencoder; run `rhumb sae` on it, or name its"
              + " site when opening");
    }
    return sae;
  }

  private void requireHistory() {
    requireOpen();
    if (length == 0) {
      throw new IllegalStateException("the history is empty; append an item first");
    }
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("the session is closed");
    }
  }

  /** Frees its memory. Closing twice is harmless. */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    inference.close();
    seenOffsets.close();
    seen.close();
    topItems.close();
    topScores.close();
    editedState.close();
    indices.close();
    activations.close();
    kernels.close();
    recommender.release();
  }
}
