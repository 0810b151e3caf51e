package dev.rhumb.serve;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.CompressedItems;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.util.Arrays;
import java.util.List;

/**
 * Answers many histories in one call, for lists that are made ahead and requests that can wait for
 * each other: weights and catalogue are read once for all of them. {@link #add} the histories,
 * {@link #recommend} as often as there are ways to steer, then {@link #clear}.
 *
 * <p>The model sees the newest T items of a history. Lists are those of a {@link Session} that was
 * given as many items, the scores equal but for rounding.
 *
 * <p>Ownership: owns its workspace, planned when it is made for the most histories of T items;
 * closing it frees that. Threads: one at a time, as for a {@link Session}; the work of a call is
 * shared by as many threads as it was made with.
 */
public final class BatchRecommender implements AutoCloseable {
  private final Recommender recommender;
  private final Kernels kernels;
  private final Model model;
  private final Turn turn = new Turn("batch", this::free);
  private final Batch batch;
  private final Inference inference;
  private final SteeringEdit edit;
  private final TopItems top;
  private final Recommendations[] lists;
  private final Filter[] filters;
  private final Buffer offsets;
  private final int[] ends;
  private int[] seen;
  private int[] excludedItems = new int[0];
  private Buffer excluded;
  private Buffer items;
  private Buffer scores;
  private int[] bestItems = new int[0];
  private float[] bestScores = new float[0];

  BatchRecommender(Recommender recommender, Kernels kernels, int histories) {
    this.recommender = recommender;
    this.kernels = kernels;
    model = recommender.model();
    int t = model.config().maxLength();
    int rows = Math.multiplyExact(histories, t);
    batch = new Batch(kernels, histories, rows);
    inference = new Inference(kernels, model, histories, rows);
    SparseAutoencoder sae = recommender.sae();
    edit = sae == null ? null : new SteeringEdit(kernels, sae, Steering.of(List.of()));
    top = new TopItems(kernels, model, recommender.compressed(), 0);
    lists = new Recommendations[histories];
    Arrays.setAll(lists, i -> new Recommendations(recommender.catalogue()));
    filters = new Filter[histories];
    offsets = kernels.allocate(DType.I32, histories + 1L);
    ends = new int[histories + 1];
    seen = new int[rows];
    excluded = kernels.allocate(DType.I32, rows);
    items = kernels.allocate(DType.I32, 0);
    scores = kernels.allocate(DType.F32, 0);
  }

  /**
   * Adds a history.
   *
   * @param history items, oldest first, at least one
   * @throws IllegalArgumentException when it is empty, or the catalogue lacks one of its items, or
   *     there is no room; nothing is added then
   */
  public void add(int... history) {
    add(Filter.none(), history);
  }

  /**
   * Adds a history whose list is to be of items that pass a filter.
   *
   * @param history items, oldest first, at least one
   * @throws IllegalArgumentException when it is empty, or the catalogue lacks one of its items or
   *     the filter's, or there is no room; nothing is added then
   */
  public void add(Filter filter, int... history) {
    turn.enter();
    try {
      take(filter, history);
    } finally {
      turn.exit();
    }
  }

  private void take(Filter filter, int[] history) {
    int n = batch.sequences();
    if (n == lists.length) {
      throw new IllegalArgumentException(
          "the batch holds the " + n + " histories that it was made for; clear it first");
    }
    if (history.length == 0) {
      throw new IllegalArgumentException("history " + n + " of the batch is empty");
    }
    int catalogue = model.config().items();
    for (int item : history) {
      if (item < 1 || item > catalogue) {
        throw new IllegalArgumentException(
            "history "
                + n
                + " of the batch: item "
                + item
                + " is not in the catalogue, whose items are 1 to "
                + catalogue);
      }
    }
    filter.requireIn(catalogue);
    int end = Math.addExact(ends[n], history.length);
    if (seen.length < end) {
      seen = Arrays.copyOf(seen, Math.max(end, 2 * seen.length));
    }
    System.arraycopy(history, 0, seen, ends[n], history.length);
    ends[n + 1] = end;
    filters[n] = filter;
    int window = Math.min(history.length, model.config().maxLength());
    batch.add(history, history.length - window, window);
  }

  /** Histories so far. */
  public int count() {
    return batch.sequences();
  }

  /** Forgets the histories. */
  public void clear() {
    turn.enter();
    batch.clear();
    turn.exit();
  }

  /**
   * The best {@code k} unseen items for each history.
   *
   * @return the lists in the order of the histories; they change with the next call
   * @throws IllegalArgumentException when k is not from 1 to V
   */
  public List<Recommendations> recommend(int k) {
    turn.enter();
    try {
      if (batch.sequences() > 0) {
        batch.seal();
        inference.runLast(batch);
      }
      return lists(k);
    } finally {
      turn.exit();
    }
  }

  /**
   * The best {@code k} unseen items for each history when the hidden states are steered.
   *
   * @return the lists in the order of the histories; they change with the next call
   * @throws IllegalStateException when the model has no autoencoder
   * @throws IllegalArgumentException when k is not from 1 to V, or an edit names a feature that the
   *     autoencoder lacks
   */
  public List<Recommendations> recommend(int k, Steering steering) {
    turn.enter();
    try {
      recommender.requireSae();
      edit.take(steering);
      if (batch.sequences() > 0) {
        batch.seal();
        inference.runTo(edit.site(), batch);
        edit.apply(batch, inference.state());
        inference.finishLast();
      }
      return lists(k);
    } finally {
      turn.exit();
    }
  }

  private List<Recommendations> lists(int k) {
    TopItems.requireCount(k, model.config().items());
    int n = batch.sequences();
    if (n == 0) {
      return List.of();
    }
    Buffer hidden = inference.lastHidden();
    boolean together = false;
    for (int i = 0; i < n; i++) {
      together |= !filters[i].allows();
    }
    if (together) {
      rank(n, k, hidden);
      // All at once: on a GPU each of these copies waits.
      int entries = Math.multiplyExact(n, k);
      if (bestItems.length < entries) {
        bestItems = new int[entries];
        bestScores = new float[entries];
      }
      items.get(0, bestItems, 0, entries);
      scores.get(0, bestScores, 0, entries);
    }
    int d = model.config().width();
    for (int i = 0; i < n; i++) {
      if (filters[i].allows()) {
        int[] history = Arrays.copyOfRange(seen, ends[i], ends[i + 1]);
        Buffer state = hidden.slice((long) i * d, d);
        top.find(state, k, history, history.length, filters[i], lists[i]);
      } else {
        lists[i].reserve(k);
        System.arraycopy(bestItems, i * k, lists[i].items, 0, k);
        System.arraycopy(bestScores, i * k, lists[i].scores, 0, k);
        lists[i].count = TopItems.count(lists[i].items, k);
      }
    }
    return Arrays.asList(lists).subList(0, n);
  }

  /** The top items of all histories; those of allow-lists are not used. */
  private void rank(int n, int k, Buffer hidden) {
    int[] to = new int[n + 1];
    for (int i = 0; i < n; i++) {
      int denied = filters[i].allows() ? 0 : filters[i].items().length;
      to[i + 1] = Math.addExact(to[i], Math.addExact(ends[i + 1] - ends[i], denied));
    }
    if (excludedItems.length < to[n]) {
      excludedItems = new int[to[n]];
    }
    for (int i = 0; i < n; i++) {
      int length = ends[i + 1] - ends[i];
      System.arraycopy(seen, ends[i], excludedItems, to[i], length);
      int denied = to[i + 1] - to[i] - length;
      System.arraycopy(filters[i].items(), 0, excludedItems, to[i] + length, denied);
    }
    if (excluded.count() < to[n]) {
      excluded.close();
      excluded = kernels.allocate(DType.I32, to[n]);
    }
    long entries = (long) n * k;
    if (items.count() < entries) {
      items.close();
      scores.close();
      items = kernels.allocate(DType.I32, entries);
      scores = kernels.allocate(DType.F32, entries);
    }
    excluded.put(0, excludedItems, 0, to[n]);
    offsets.put(0, to, 0, n + 1);
    long d = model.config().width();
    CompressedItems compressed = recommender.compressed();
    if (compressed != null) {
      kernels.ranking().topItems(n, compressed, hidden, d, k, offsets, excluded, items, scores);
      return;
    }
    long tableRows = model.config().items() + 1L;
    Buffer table = model.itemTable();
    kernels
        .ranking()
        .topItems(n, d, tableRows, hidden, d, table, k, offsets, excluded, items, scores);
  }

  /**
   * Frees its memory, or lets the call that another thread has under way free it at its end.
   * Closing twice is harmless.
   */
  @Override
  public void close() {
    turn.close();
  }

  private void free() {
    batch.close();
    inference.close();
    if (edit != null) {
      edit.close();
    }
    top.close();
    offsets.close();
    excluded.close();
    items.close();
    scores.close();
    kernels.close();
    recommender.release();
  }
}
