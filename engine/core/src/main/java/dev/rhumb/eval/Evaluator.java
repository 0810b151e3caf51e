package dev.rhumb.eval;

import dev.rhumb.data.Cases;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.model.StateEdit;

/**
 * Recommends to every case over the full catalogue, seen items left out. The model sees the newest
 * T items of a history; the filter sees all of it.
 *
 * <p>Ownership: owns its workspace; not the model or the kernels. Threads: one at a time.
 */
public final class Evaluator implements Ranker {
  /** How many histories run at once. A list depends on its own history and batch alone. */
  public static final int BATCH = 128;

  private final Kernels kernels;
  private final Model model;
  private final Batch batch;
  private final Inference inference;
  private final int[] window;
  private Buffer seen;
  private final Buffer seenOffsets;

  /** A workspace for a model. */
  public Evaluator(Kernels kernels, Model model) {
    this.kernels = kernels;
    this.model = model;
    int t = model.config().maxLength();
    batch = new Batch(kernels, BATCH, BATCH * t);
    inference = new Inference(kernels, model, BATCH, BATCH * t);
    window = new int[t];
    seen = kernels.allocate(DType.I32, 1 << 12);
    seenOffsets = kernels.allocate(DType.I32, BATCH + 1);
  }

  @Override
  public int items() {
    return model.config().items();
  }

  @Override
  public int[][] recommend(Sequences histories, int k, float[][] scores) {
    return recommend(histories, k, null, scores);
  }

  /**
   * The best items for every case.
   *
   * @param k length of each list
   * @param edit applied on the way, or null
   * @return one list for each case, best first; 0 fills places for which no unseen item is left
   */
  public int[][] recommend(Cases cases, int k, StateEdit edit) {
    return recommend(cases.histories(), k, edit, null);
  }

  /**
   * The best items to follow every history.
   *
   * @param histories none empty
   * @param k length of each list
   * @param edit applied on the way, or null
   * @param scores set to the scores of each list, -infinity in empty places; or null
   * @return as the other method does
   */
  public int[][] recommend(Sequences histories, int k, StateEdit edit, float[][] scores) {
    int[][] lists = new int[histories.count()][];
    int[] excludedOffsets = new int[BATCH + 1];
    try (Buffer items = kernels.allocate(DType.I32, (long) BATCH * k);
        Buffer values = kernels.allocate(DType.F32, (long) BATCH * k)) {
      for (int from = 0; from < lists.length; from += BATCH) {
        int n = Math.min(BATCH, lists.length - from);
        batch.clear();
        for (int i = 0; i < n; i++) {
          int length = histories.copyLast(from + i, window.length, window, 0);
          batch.add(window, 0, length);
          excludedOffsets[i + 1] = excludedOffsets[i] + histories.length(from + i);
        }
        batch.seal();
        int[] excluded = new int[excludedOffsets[n]];
        for (int i = 0; i < n; i++) {
          histories.copyLast(from + i, histories.length(from + i), excluded, excludedOffsets[i]);
        }
        if (seen.count() < excluded.length) {
          seen.close();
          seen = kernels.allocate(DType.I32, 2L * excluded.length);
        }
        seen.put(0, excluded, 0, excluded.length);
        seenOffsets.put(0, excludedOffsets, 0, n + 1);
        if (edit == null) {
          inference.runLast(batch);
        } else {
          inference.runTo(edit.site(), batch);
          edit.apply(batch, inference.state());
          inference.finishLast();
        }
        long d = model.config().width();
        kernels
            .ranking()
            .topItems(
                n,
                d,
                model.config().items() + 1L,
                inference.lastHidden(),
                d,
                model.itemTable(),
                k,
                seenOffsets,
                seen,
                items,
                values);
        for (int i = 0; i < n; i++) {
          lists[from + i] = new int[k];
          items.get((long) i * k, lists[from + i], 0, k);
          if (scores != null) {
            scores[from + i] = new float[k];
            values.get((long) i * k, scores[from + i], 0, k);
          }
        }
      }
    }
    return lists;
  }

  /** The target of every case. */
  public static int[] targets(Cases cases) {
    int[] targets = new int[cases.count()];
    for (int i = 0; i < targets.length; i++) {
      targets[i] = cases.target(i);
    }
    return targets;
  }

  @Override
  public void close() {
    batch.close();
    inference.close();
    seen.close();
    seenOffsets.close();
  }
}
