package dev.rhumb.serve;

import dev.rhumb.data.Attributes;
import dev.rhumb.jfr.Events;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Sae;
import dev.rhumb.model.Model;
import dev.rhumb.model.Padding;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.Dose;
import dev.rhumb.steer.Steering;
import java.util.Arrays;

/**
 * One user's history, kept ready: an appended item costs one position, not the whole history. Items
 * of the history are never recommended.
 *
 * <p>The model sees at most T items. When an item comes to a full window, the window starts anew
 * with the newest three quarters of T and that item; {@link #window} tells how many items it holds.
 * The next window is run ahead with the items that come: one past half of T costs up to three
 * positions, one past T costs four, and none the whole window. A model with {@link
 * dev.rhumb.model.Padding} always sees the newest T, and runs them anew for every answer.
 *
 * <p>Steering never enters the kept keys and values: the plain history stays. At the last position
 * it costs one position from the site on; at all positions the window is run anew, in a workspace
 * that the first such request plans.
 *
 * <p>On a GPU, where launches count rather than positions, the whole window is run for every
 * answer, as one recording (a CUDA graph), and an appended item costs nothing. Windows and lists
 * are the same. Steering at all positions, and a model with padding, go operation by operation
 * there.
 *
 * <p>A request makes no garbage and takes no lock, after {@link #warmUp} and while k, the number of
 * edits and the items denied are no more than before; a history that outgrows 2 T items, or a power
 * of two times that, copies itself into twice the room. A {@link Dose} makes a few small objects.
 *
 * <p>Ownership: closing it frees its memory. Threads: one at a time; a call while another thread's
 * is under way is refused. Closing is free at any time: a request that is under way ends as usual
 * and frees the memory when it does.
 */
public final class Session implements AutoCloseable {
  /** Items of a history that is warmed up with at most, and how many of them are answered. */
  private static final int WARM_ITEMS = 1026;

  private static final int WARM_ANSWERS = 64;

  private final Recommender recommender;
  private final Kernels kernels;
  private final Model model;
  private final SparseAutoencoder sae;
  private final SessionPath path;
  private final Recommendations answer;
  private final int[] listed;
  private final float[] listedValues;
  private final Turn turn = new Turn("session", this::free);
  private SteeredWindow everywhere;
  private int[] history;
  private int length;

  Session(Recommender recommender, Kernels kernels) {
    this.recommender = recommender;
    this.kernels = kernels;
    model = recommender.model();
    sae = recommender.sae();
    history = new int[Math.max(64, 2 * model.config().maxLength())];
    boolean recorded =
        !kernels.usesHostMemory() && model.config().wiring().padding() == Padding.NONE;
    path =
        recorded
            ? new RecordedPath(recommender, kernels)
            : new KeptPath(recommender, kernels, history.length);
    answer = new Recommendations(recommender.catalogue());
    int kept = sae == null ? 0 : sae.kept();
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
    turn.enter();
    try {
      take(item);
    } finally {
      turn.exit();
    }
  }

  private void take(int item) {
    if (item < 1 || item > model.config().items()) {
      throw new IllegalArgumentException(
          "item "
              + item
              + " is not in the catalogue, whose items are 1 to "
              + model.config().items());
    }
    if (length == history.length) {
      history = Arrays.copyOf(history, 2 * length);
    }
    history[length++] = item;
    path.append(history, length);
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
    turn.enter();
    try {
      forget();
    } finally {
      turn.exit();
    }
  }

  private void forget() {
    length = 0;
    path.clear();
  }

  /** Items in the history. */
  public int length() {
    return length;
  }

  /** The newest items of the history that the model sees. */
  public int window() {
    return path.window();
  }

  /**
   * The best {@code k} unseen items.
   *
   * @throws IllegalStateException when the history is empty
   * @throws IllegalArgumentException when k is not from 1 to V
   */
  public Recommendations recommend(int k) {
    return recommend(k, Filter.none());
  }

  /**
   * The best {@code k} unseen items that pass a filter.
   *
   * @throws IllegalStateException when the history is empty
   * @throws IllegalArgumentException when k is not from 1 to V, or the filter names an item that
   *     the catalogue lacks
   */
  public Recommendations recommend(int k, Filter filter) {
    turn.enter();
    try {
      requireHistory();
      Events.Request event = Events.beginRequest();
      path.recommend(history, length, null, filter, k, answer);
      Events.end(event, path.window(), k, -1);
      return answer;
    } finally {
      turn.exit();
    }
  }

  /**
   * The best {@code k} unseen items when the hidden state is steered.
   *
   * @throws IllegalStateException when the history is empty, or the model has no autoencoder
   * @throws IllegalArgumentException when an edit names a feature that the autoencoder lacks
   */
  public Recommendations recommend(int k, Steering steering) {
    return recommend(k, steering, Filter.none());
  }

  /**
   * The best {@code k} unseen items that pass a filter when the hidden state is steered.
   *
   * @throws IllegalStateException when the history is empty, or the model has no autoencoder
   * @throws IllegalArgumentException when an edit names a feature that the autoencoder lacks, or
   *     the filter an item that the catalogue lacks
   */
  public Recommendations recommend(int k, Steering steering, Filter filter) {
    turn.enter();
    try {
      requireHistory();
      return steered(k, steering, filter);
    } finally {
      turn.exit();
    }
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
    return recommend(k, dose, Filter.none());
  }

  /**
   * The same among the items that pass a filter.
   *
   * @throws IllegalStateException when the history is empty, or the model's autoencoder has not
   *     been explained
   * @throws IllegalArgumentException when the concept is unknown; it offers the nearest names; or
   *     when the filter names an item that the catalogue lacks
   */
  public Recommendations recommend(int k, Dose dose, Filter filter) {
    turn.enter();
    try {
      requireHistory();
      return dosed(k, dose, filter);
    } finally {
      turn.exit();
    }
  }

  private Recommendations dosed(int k, Dose dose, Filter filter) {
    Concepts concepts = recommender.concepts();
    concepts.parts(dose.concept());
    Attributes attributes = recommender.catalogue().attributes();
    int attribute = attributes.find(dose.concept());
    Dose.Search search = dose.search();
    while (search.next()) {
      Recommendations list = steered(k, concepts.steer(dose.concept(), search.strength()), filter);
      int with = 0;
      for (int i = 0; i < list.count(); i++) {
        with += attributes.has(list.item(i), attribute) ? 1 : 0;
      }
      search.saw(with, list.count());
    }
    return steered(k, concepts.steer(dose.concept(), search.strength()), filter);
  }

  /**
   * The features that the plain history activates at its last position, the strongest first.
   *
   * @param features filled with their numbers, as many as fit and fired
   * @param values filled with their activations
   * @return how many
   */
  public int features(int[] features, float[] values) {
    turn.enter();
    try {
      requireHistory();
      return strongest(features, values);
    } finally {
      turn.exit();
    }
  }

  private int strongest(int[] features, float[] values) {
    recommender.requireSae();
    path.features(history, length, listed, listedValues);
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
   * Runs the request path until the compiler is done with it, then forgets what it appended: plain
   * and steered answers, filters, features. It is done when for half a second no request has made
   * garbage and requests have not become faster; that takes one to a few seconds on an idle
   * machine, a minute at most. Compiled code is the process's: one session's warm-up does for all.
   * On a GPU a few requests do, which make the recordings: each session has its own. The history
   * must be empty.
   *
   * @param k of requests
   * @param steering what requests will ask for, or null
   */
  public void warmUp(int k, Steering steering) {
    if (length > 0) {
      throw new IllegalStateException("warm up a session before its first item");
    }
    // Past a full window and the room of a short history, where that does not take too long.
    int appended = Math.min(2 * model.config().maxLength() + 2, WARM_ITEMS);
    boolean compiled = kernels.usesHostMemory();
    int step = compiled ? Math.ceilDiv(appended, WARM_ANSWERS) : appended - 1;
    int items = model.config().items();
    int[] strongest = new int[listed.length];
    float[] values = new float[listed.length];
    Filter deny = Filter.deny(1);
    Filter allow = Filter.allow(1, items);
    Runnable history =
        () -> {
          clear();
          for (int i = 0; i < appended; i++) {
            append(1 + i % items);
            if (i % step == 0) {
              recommend(k);
              recommend(k, deny);
              recommend(k, allow);
              if (sae != null) {
                features(strongest, values);
              }
              if (steering != null) {
                recommend(k, steering);
              }
            }
          }
        };
    try {
      if (compiled) {
        WarmUp.run(history, Math.ceilDiv(appended, step));
      } else {
        history.run();
      }
    } finally {
      clear();
    }
  }

  private Recommendations steered(int k, Steering steering, Filter filter) {
    Events.Request event = Events.beginRequest();
    recommender.requireSae().requireFits(model.config());
    steering.requireIn(sae.features());
    if (steering.positions() == Steering.Positions.ALL) {
      if (everywhere == null) {
        everywhere = new SteeredWindow(recommender, kernels, history.length);
      }
      everywhere.recommend(history, length, path.window(), steering, filter, k, answer);
    } else {
      path.recommend(history, length, steering, filter, k, answer);
    }
    Events.end(event, path.window(), k, steering.edits().size());
    return answer;
  }

  private void requireHistory() {
    if (length == 0) {
      throw new IllegalStateException("the history is empty; append an item first");
    }
  }

  /**
   * Frees its memory, or lets the request that another thread has under way free it at its end.
   * Closing twice is harmless.
   */
  @Override
  public void close() {
    turn.close();
  }

  private void free() {
    path.close();
    if (everywhere != null) {
      everywhere.close();
    }
    kernels.close();
    recommender.release();
  }
}
