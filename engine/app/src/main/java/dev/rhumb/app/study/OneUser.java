package dev.rhumb.app.study;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.sae.FiredFeatures;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * Recommends to one history, and says why. As in an evaluation the model sees the newest T items
 * and items of the whole history are left out.
 *
 * <p>A reason is causal: what an item's score would lose without a feature, found by running the
 * model on with that feature ablated at the last position. It holds for a linear last step and for
 * all that lies between the site and the end alike.
 */
public final class OneUser {
  private static final int REASONS = 3;

  /** Histories that are run side by side, each with another feature ablated. */
  private static final int COPIES = 17;

  private final Kernels kernels;
  private final Model model;
  private final SparseAutoencoder sae;

  /**
   * Why an item is in a list.
   *
   * @param feature from 0
   * @param amount what the item's score would lose without it, above 0
   */
  public record Reason(int feature, double amount) {}

  /**
   * A recommended item.
   *
   * @param item from 1
   * @param score its score
   * @param reasons the features that matter most, the greatest first
   */
  public record Recommended(int item, double score, List<Reason> reasons) {
    /** Copies the list. */
    public Recommended {
      reasons = List.copyOf(reasons);
    }
  }

  /** None of these is owned; the autoencoder may be null, and then there are no reasons. */
  public OneUser(Kernels kernels, Model model, SparseAutoencoder sae) {
    this.kernels = kernels;
    this.model = model;
    this.sae = sae;
  }

  /**
   * The best {@code k} items, or as many as are left.
   *
   * @param history items, the oldest first; not empty
   * @param steering what to change on the way, or null
   */
  public List<Recommended> recommend(int[] history, int k, Steering steering) {
    int n = Math.min(history.length, model.config().maxLength());
    int[] window = Arrays.copyOfRange(history, history.length - n, history.length);
    int copies = sae == null ? 1 : COPIES;
    try (Batch batch = new Batch(kernels, copies, copies * n);
        Inference inference = new Inference(kernels, model, copies, copies * n)) {
      batch.add(window, 0, n);
      batch.seal();
      if (sae == null) {
        inference.runLast(batch);
        return top(history, k, inference.lastHidden());
      }
      inference.runTo(sae.site(), batch);
      if (steering != null) {
        try (SteeringEdit edit = new SteeringEdit(kernels, sae, steering)) {
          edit.apply(batch, inference.state());
        }
      }
      float[] states = new float[n * sae.width()];
      inference.state().get(0, states, 0, states.length);
      inference.finishLast();
      List<Recommended> list = top(history, k, inference.lastHidden());
      return explain(list, window, states, batch, inference);
    }
  }

  private List<Recommended> top(int[] history, int k, Buffer hidden) {
    int items = model.config().items();
    int most = Math.min(k, items);
    int width = model.config().width();
    try (Buffer seen = kernels.allocate(DType.I32, history.length);
        Buffer offsets = kernels.allocate(DType.I32, 2);
        Buffer best = kernels.allocate(DType.I32, most);
        Buffer scores = kernels.allocate(DType.F32, most)) {
      seen.put(0, history, 0, history.length);
      offsets.put(0, new int[] {0, history.length}, 0, 2);
      kernels
          .ranking()
          .topItems(
              1,
              width,
              items + 1L,
              hidden,
              width,
              model.itemTable(),
              most,
              offsets,
              seen,
              best,
              scores);
      int[] item = new int[most];
      float[] score = new float[most];
      best.get(0, item, 0, most);
      scores.get(0, score, 0, most);
      List<Recommended> list = new ArrayList<>();
      for (int i = 0; i < most && item[i] != 0; i++) {
        list.add(new Recommended(item[i], score[i], List.of()));
      }
      return list;
    }
  }

  /** Runs on from the states with one active feature after another ablated at the last position. */
  private List<Recommended> explain(
      List<Recommended> list, int[] window, float[] states, Batch batch, Inference inference) {
    int width = sae.width();
    int last = states.length - width;
    List<Reason> fired = new ArrayList<>();
    try (Buffer x = kernels.allocate(DType.F32, width);
        FiredFeatures encoder = new FiredFeatures(kernels, sae, 1)) {
      x.put(0, states, last, width);
      encoder.of(x, 1, (row, feature, activation) -> fired.add(new Reason(feature, activation)));
    }
    // Of the whole state, and then with each feature ablated.
    float[] hidden = new float[(1 + fired.size()) * width];
    for (int first = 0; first <= fired.size(); first += COPIES) {
      int copies = Math.min(COPIES, fired.size() + 1 - first);
      runWithout(fired, first, copies, window, states, batch, inference);
      inference.lastHidden().get(0, hidden, first * width, copies * width);
    }
    float[] embedding = new float[width];
    return list.stream()
        .map(
            recommended -> {
              model.itemTable().get((long) recommended.item() * width, embedding, 0, width);
              double with = dot(hidden, 0, embedding);
              List<Reason> reasons = new ArrayList<>();
              for (int i = 0; i < fired.size(); i++) {
                double loss = with - dot(hidden, (i + 1) * width, embedding);
                if (loss > 0) {
                  reasons.add(new Reason(fired.get(i).feature(), loss));
                }
              }
              reasons.sort(Comparator.comparingDouble(reason -> -reason.amount()));
              return new Recommended(
                  recommended.item(),
                  recommended.score(),
                  reasons.subList(0, Math.min(REASONS, reasons.size())));
            })
        .toList();
  }

  /**
   * Runs copies of a history on from the site: from number {@code first} on, where number 0 is the
   * history as it is and number i lacks the ith of what fired.
   */
  private void runWithout(
      List<Reason> fired,
      int first,
      int copies,
      int[] window,
      float[] states,
      Batch batch,
      Inference inference) {
    int width = sae.width();
    int last = states.length - width;
    batch.clear();
    for (int copy = 0; copy < copies; copy++) {
      batch.add(window, 0, window.length);
    }
    batch.seal();
    inference.runTo(sae.site(), batch);
    float[] direction = new float[width];
    float[] state = new float[width];
    for (int copy = 0; copy < copies; copy++) {
      long at = (long) copy * states.length;
      inference.state().put(at, states, 0, states.length);
      if (first + copy == 0) {
        continue;
      }
      Reason without = fired.get(first + copy - 1);
      sae.decoderWeights().get((long) without.feature() * width, direction, 0, width);
      for (int d = 0; d < width; d++) {
        state[d] = states[last + d] - (float) without.amount() * direction[d];
      }
      inference.state().put(at + last, state, 0, width);
    }
    inference.finishLast();
  }

  private static double dot(float[] hidden, int at, float[] embedding) {
    double sum = 0;
    for (int d = 0; d < embedding.length; d++) {
      sum += (double) hidden[at + d] * embedding[d];
    }
    return sum;
  }
}
