package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.steer.Steering;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;

/**
 * A piece of work with its sizes: the same inputs, the same answer, whichever library does it.
 * Letters as everywhere: B rows of a batch, T positions, D width, V items, F features, K kept.
 */
public sealed interface Task {
  /** What is done. */
  String work();

  /** Its sizes. */
  String shape();

  /**
   * Floating-point operations of a run, a multiply-add counting 2; 0 where they are not counted.
   */
  default double flops() {
    return 0;
  }

  /** Bytes that a run must read or write at least; 0 where they are not counted. */
  default double bytes() {
    return 0;
  }

  /**
   * Looks at an answer.
   *
   * @throws IllegalStateException when it is wrong
   */
  void check(float[] answer);

  /**
   * C (m, n) = A (m, k) B, all row-major. The answer: C at {@link #places}.
   *
   * @param role where in the engine such a product stands
   * @param transB whether B is given as (n, k)
   */
  record Gemm(String role, int m, int n, int k, boolean transB) implements Task {
    private static final int PLACES = 64;

    @Override
    public String work() {
      return "GEMM";
    }

    @Override
    public String shape() {
      return role + " " + m + " x " + n + " x " + k;
    }

    @Override
    public double flops() {
      return 2.0 * m * n * k;
    }

    @Override
    public double bytes() {
      return 4.0 * ((double) m * k + (double) n * k + (double) m * n);
    }

    /** A. */
    public float[] a() {
      return Inputs.uniform(1, (long) m * k);
    }

    /** B. */
    public float[] b() {
      return Inputs.uniform(2, (long) n * k);
    }

    /** Where C is looked at: row n + column. */
    public long[] places() {
      long[] places = new long[PLACES];
      for (int i = 0; i < PLACES; i++) {
        places[i] = i * 2_654_435_761L % ((long) m * n);
      }
      return places;
    }

    @Override
    public void check(float[] answer) {
      float[] a = a();
      float[] b = b();
      long[] places = places();
      for (int i = 0; i < PLACES; i++) {
        int row = (int) (places[i] / n);
        int col = (int) (places[i] % n);
        double sum = 0;
        for (int j = 0; j < k; j++) {
          sum += (double) a[row * k + j] * b[transB ? col * k + j : j * n + col];
        }
        near("C[" + row + "][" + col + "]", answer[i], sum, 1e-4);
      }
    }
  }

  /**
   * The exact K largest of x (rows, D) W^T, W (F, D), of each row, rectified. The answer: the K
   * values of row 0, then their K features.
   *
   * @param compressed whether the engine reads a byte for each weight first; peers have no such
   *     form
   */
  record Encode(int rows, int features, int kept, int width, boolean compressed) implements Task {
    @Override
    public String work() {
      return "TopK encode";
    }

    @Override
    public String shape() {
      return "B " + rows + ", D " + width + ", F " + features + ", K " + kept + form(compressed);
    }

    @Override
    public double flops() {
      return 2.0 * rows * features * width;
    }

    @Override
    public double bytes() {
      double weights = (double) features * width;
      return 4.0 * ((double) rows * width + 2.0 * rows * kept) + (compressed ? 1 : 4) * weights;
    }

    /** x. */
    public float[] x() {
      return Inputs.uniform(3, (long) rows * width);
    }

    /** W. */
    public float[] weight() {
      return Inputs.uniform(4, (long) features * width);
    }

    @Override
    public void check(float[] answer) {
      checkTop(x(), weight(), features, width, kept, answer);
    }
  }

  /**
   * The exact k best of h (D) E^T over V items, E (V + 1, D) with row 0 for padding. The answer:
   * the k scores, then their items, which count from 1.
   *
   * @param compressed as of {@link Encode}
   */
  record Scan(int items, int width, int k, boolean compressed) implements Task {
    @Override
    public String work() {
      return "catalogue scan";
    }

    @Override
    public String shape() {
      return "B 1, D " + width + ", V " + items + ", top " + k + form(compressed);
    }

    @Override
    public double flops() {
      return 2.0 * items * width;
    }

    @Override
    public double bytes() {
      return (compressed ? 1.0 : 4.0) * items * width;
    }

    /** h. */
    public float[] h() {
      return Inputs.uniform(5, width);
    }

    /** E without the row of padding, (V, D). */
    public float[] table() {
      return Inputs.uniform(6, (long) items * width);
    }

    @Override
    public void check(float[] answer) {
      float[] fromZero = answer.clone();
      for (int i = k; i < 2 * k; i++) {
        fromZero[i]--;
      }
      checkTop(h(), table(), items, width, k, fromZero);
    }
  }

  /**
   * A kernel that no peer has in this form. Whoever does it holds its first run against the scalar
   * backend; the answer is some of its output.
   */
  record Kernel(KernelCase kernel, int rows, int width) implements Task {
    @Override
    public String work() {
      return kernel.name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }

    @Override
    public String shape() {
      return rows + " x " + width;
    }

    @Override
    public double flops() {
      return kernel.flops(rows, width);
    }

    @Override
    public double bytes() {
      return kernel.bytes(rows, width);
    }

    @Override
    public void check(float[] answer) {
      boolean some = false;
      for (float value : answer) {
        require(Float.isFinite(value), "the output holds " + value);
        some |= value != 0;
      }
      require(some, "the output holds zeros only");
    }
  }

  /**
   * A training step of the transformer: full cross-entropy at every position, gradients, Adam; no
   * dropout. Every step sees the same {@code sequences} histories. The answer: the losses of the
   * first and the last step so far, and how many there were.
   */
  record TrainingStep(int sequences, Transformer model) implements Task {
    /** Adam's. */
    public static final float LEARNING_RATE = 1e-3f;

    @Override
    public String work() {
      return "SASRec training step";
    }

    @Override
    public String shape() {
      return "B " + sequences + ", " + model.shape();
    }

    @Override
    public double flops() {
      double scores = 2.0 * sequences * model.length() * (model.items() + 1) * model.width();
      return 3 * (sequences * model.flops(model.length()) + scores);
    }

    @Override
    public void check(float[] answer) {
      // Scores of fresh weights are all near 0.
      near("the first loss", answer[0] / Math.log(model.items() + 1.0), 1, 0.02);
      checkLosses(answer);
    }
  }

  /**
   * A training step of a TopK autoencoder: encode, decode, gradients, Adam. The answer: as of a
   * {@link TrainingStep}, where the loss is a share of the variance.
   */
  record SaeStep(int rows, int width, int features, int kept) implements Task {
    /** Adam's. */
    public static final float LEARNING_RATE = 1e-3f;

    @Override
    public String work() {
      return "SAE training step";
    }

    @Override
    public String shape() {
      return "B " + rows + ", D " + width + ", F " + features + ", K " + kept;
    }

    @Override
    public double flops() {
      // The encode; per kept entry the decode, the gradient in it and those of both weights.
      return 2.0 * rows * width * (features + 4.0 * kept);
    }

    @Override
    public void check(float[] answer) {
      checkLosses(answer);
    }
  }

  /**
   * A forward pass over full histories, to the hidden states of all positions. The answer: the
   * hidden state (D) of the last position of the first history.
   */
  record Forward(int sequences, Transformer model) implements Task {
    @Override
    public String work() {
      return "batch forward";
    }

    @Override
    public String shape() {
      return "B " + sequences + ", " + model.shape();
    }

    @Override
    public double flops() {
      return sequences * model.flops(model.length());
    }

    @Override
    public void check(float[] answer) {
      float[] expected = Reference.of(model).hidden();
      for (int d = 0; d < expected.length; d++) {
        near("hidden[" + d + "]", answer[d], expected[d], 1e-3);
      }
    }
  }

  /**
   * One request: a history in, the 10 best items out. A peer answers the plain request and counts
   * seen items among the answers. The answer: 10 scores, then their items, of the plain request.
   *
   * @param kept whether the history but its last item was there before, so that one event is added;
   *     a peer computes it whole either way
   * @param kind what the engine does; from scratch not {@link Kind#ENCODED}
   */
  record Request(boolean kept, Kind kind, Transformer model, int features, int keptFeatures)
      implements Task {
    /** How long the list is. */
    public static final int TOP = 10;

    /** Refuses what the engine has no call for. */
    public Request {
      if (!kept && kind == Kind.ENCODED) {
        throw new IllegalArgumentException("features are read of a kept session");
      }
    }

    /** What is asked for. */
    public enum Kind {
      /** The best items. */
      PLAIN,
      /** The best items, and which features are active. */
      ENCODED,
      /** The best items of a steered hidden state. */
      STEERED
    }

    @Override
    public String work() {
      return kept ? "request, kept session" : "request from scratch";
    }

    @Override
    public String shape() {
      return kind.name().toLowerCase(Locale.ROOT)
          + ", "
          + model.shape()
          + (kind == Kind.PLAIN ? "" : ", F " + features + ", K " + keptFeatures)
          + ", top "
          + TOP;
    }

    @Override
    public double flops() {
      double scores = 2.0 * model.items() * model.width();
      double encode = kind == Kind.PLAIN ? 0 : 2.0 * features * model.width();
      return scores
          + encode
          + (kept ? model.flops(model.length()) / model.length() : model.flops(model.length()));
    }

    @Override
    public double bytes() {
      return 4.0 * model.width() * (model.items() + (kind == Kind.PLAIN ? 0 : features));
    }

    /** The edits of a steered request. */
    public Steering steering() {
      return Steering.of(
          java.util.List.of(
              dev.rhumb.steer.Edit.add(1, 0.5f), dev.rhumb.steer.Edit.add(features / 2, -0.5f)));
    }

    @Override
    public void check(float[] answer) {
      Reference expected = Reference.of(model);
      Set<Integer> seen = new HashSet<>();
      for (int item : model.history(0)) {
        seen.add(item);
      }
      int rank = 0;
      for (int i = 0; i < TOP; i++) {
        int item = (int) answer[TOP + i];
        if (!seen.contains(item)) {
          near("the score of rank " + rank, answer[i], expected.scores()[rank], 1e-4);
          near("the score of item " + item, answer[i], expected.score(item), 1e-4);
          rank++;
        }
      }
      require(rank > 0 || seen.size() >= TOP, "all items of the list were seen");
    }
  }

  /**
   * A limit of the machine: multiply-adds on registers, or reads of memory. The answer: one sum.
   *
   * @param kilobytes of memory that each thread reads over and over; 0 for multiply-adds
   */
  record Limit(String name, int kilobytes) implements Task {
    /** Multiply-adds: how many a thread does in a run, of one lane. */
    public static final long FUSED = 1L << 26;

    /** Bytes that a thread reads in a run at least. */
    public static final long READ = 1L << 26;

    @Override
    public String work() {
      return "limit";
    }

    @Override
    public String shape() {
      return name + (kilobytes == 0 ? "" : " read, " + kilobytes + " KiB a thread");
    }

    /** Of one thread. */
    @Override
    public double flops() {
      return kilobytes == 0 ? 2.0 * FUSED : 0;
    }

    /** Of one thread. */
    @Override
    public double bytes() {
      return 1024.0 * kilobytes * passes();
    }

    /** How often a thread reads its memory in a run. */
    public int passes() {
      return kilobytes == 0 ? 0 : (int) Math.max(1, READ / (1024L * kilobytes));
    }

    @Override
    public void check(float[] answer) {
      require(answer[0] > 0 && Float.isFinite(answer[0]), "the sum is " + answer[0]);
    }
  }

  /** What the scalar backend, which defines the answers, says of the first history. */
  record Reference(float[] hidden, float[] scores, float[] table) {
    /** Runs it. */
    static Reference of(Transformer transformer) {
      int d = transformer.width();
      int[] history = transformer.history(0);
      float[] hidden = new float[d];
      try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
          Model model = transformer.model(kernels);
          Inference inference = new Inference(kernels, model, 1, history.length);
          Batch batch = new Batch(kernels, 1, history.length);
          Buffer seen = kernels.allocate(DType.I32, history.length);
          Buffer offsets = kernels.allocate(DType.I32, 2);
          Buffer items = kernels.allocate(DType.I32, Request.TOP);
          Buffer scores = kernels.allocate(DType.F32, Request.TOP)) {
        batch.add(history, 0, history.length);
        batch.seal();
        inference.run(batch);
        inference.lastHidden().get(0, hidden, 0, d);
        seen.put(0, history, 0, history.length);
        offsets.put(0, new int[] {0, history.length}, 0, 2);
        kernels
            .ranking()
            .topItems(
                1,
                d,
                transformer.items() + 1L,
                inference.lastHidden(),
                d,
                model.itemTable(),
                Request.TOP,
                offsets,
                seen,
                items,
                scores);
        return new Reference(hidden, scores.floats(), model.itemTable().floats());
      }
    }

    double score(int item) {
      double sum = 0;
      for (int d = 0; d < hidden.length; d++) {
        sum += (double) hidden[d] * table[item * hidden.length + d];
      }
      return sum;
    }
  }

  private static void checkLosses(float[] answer) {
    require(
        answer[0] > 0 && Float.isFinite(answer[0]) && Float.isFinite(answer[1]),
        "the losses are " + answer[0] + " and " + answer[1]);
    require(
        answer[2] < 100 || answer[1] < answer[0],
        "the loss is " + answer[1] + " after " + answer[2] + " steps, at first " + answer[0]);
  }

  private static String form(boolean compressed) {
    return compressed ? ", bytes first" : "";
  }

  /** Holds the answer for one row x (D) against the scores of w (rows, D), in double. */
  private static void checkTop(float[] x, float[] w, int rows, int width, int k, float[] answer) {
    double[] scores = new double[rows];
    for (int r = 0; r < rows; r++) {
      for (int d = 0; d < width; d++) {
        scores[r] += (double) x[d] * w[r * width + d];
      }
    }
    double[] sorted = scores.clone();
    Arrays.sort(sorted);
    for (int i = 0; i < k; i++) {
      double value = answer[i];
      near("the value of rank " + i, value, Math.max(0, sorted[rows - 1 - i]), 1e-4);
      int at = (int) answer[k + i];
      near("the score of number " + at, value, Math.max(0, scores[at]), 1e-4);
    }
  }

  private static void near(String what, double value, double expected, double tolerance) {
    require(
        Math.abs(value - expected) <= tolerance, what + " is " + value + ", but not " + expected);
  }

  private static void require(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalStateException("wrong answer: " + otherwise);
    }
  }
}
