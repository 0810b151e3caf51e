package dev.rhumb.steer;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.IncrementalInference;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import java.util.stream.IntStream;

/**
 * What a small change v of the hidden state at the last position of a site does to recommendations,
 * on average over histories. With p the model's softmax over the items at the head of a history's
 * list, E their embeddings and J the derivative of the final hidden state by the state at the site:
 *
 * <ul>
 *   <li>the probability of an attribute's items grows by g'v, where g = mean of J' Cov_p(E, 1[has
 *       it]);
 *   <li>p moves by a Kullback-Leibler divergence of v'Mv / 2, where M = mean of J' Cov_p(E) J is
 *       Fisher's information (Amari 1998, "Natural gradient works efficiently in learning").
 * </ul>
 *
 * <p>J is taken by central differences, so that this holds for any architecture and site.
 * Unchangeable, so any thread may read.
 */
final class ScoreEffect {
  /** Histories that are read, evenly taken from all. */
  private static final int HISTORIES = 512;

  /** Items of a list that count: what is far behind them is never recommended. */
  private static final int HEAD = 1024;

  /** The difference, as a share of the state's root mean square. */
  private static final double DIFFERENCE = .05;

  private final double[][] information;
  private final double[][] gradient;
  private final double[] spread;

  /**
   * Takes over all arrays.
   *
   * @param information M (D, D)
   * @param gradient (attributes, D)
   * @param spread (attributes)
   */
  ScoreEffect(double[][] information, double[][] gradient, double[] spread) {
    this.information = information;
    this.gradient = gradient;
    this.spread = spread;
  }

  /**
   * Measures it.
   *
   * @param histories what comes after the whole of each is foretold; empty ones are passed over
   */
  static ScoreEffect of(Kernels kernels, Model model, Site site, Sequences histories) {
    int[] some =
        IntStream.range(0, histories.count()).filter(i -> histories.length(i) > 0).toArray();
    int n = Math.min(some.length, HISTORIES);
    try (Reader reader = new Reader(kernels, model, site, histories.dataset().attributes())) {
      for (int i = 0; i < n; i++) {
        reader.add(histories, some[(int) ((long) i * some.length / n)], n);
      }
      return new ScoreEffect(reader.information(), reader.gradient, reader.spread);
    }
  }

  /** g of an attribute, (D). */
  double[] gradient(int attribute) {
    return gradient[attribute];
  }

  /**
   * What adding 1 to the scores of an attribute's items adds to their probability P, to first
   * order: the mean of P (1 - P).
   */
  double spread(int attribute) {
    return spread[attribute];
  }

  /** M v. */
  double[] informed(double[] v) {
    double[] y = new double[v.length];
    for (int i = 0; i < y.length; i++) {
      y[i] = dot(information[i], v);
    }
    return y;
  }

  static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  /** Reads one history at a time and adds up. */
  private static final class Reader implements AutoCloseable {
    private final Kernels kernels;
    private final Model model;
    private final Site site;
    private final Attributes attributes;
    private final int width;
    private final int[] window;
    private final int[] items;
    private final float[] scores;
    private final IncrementalInference inference;
    private final Buffer state;
    private final Buffer topItems;
    private final Buffer topScores;
    private final Buffer seenOffsets;
    private final Buffer embeddings;
    private final Buffer derivative;
    private final Buffer moved;
    private final Buffer information;
    final double[][] gradient;
    final double[] spread;

    Reader(Kernels kernels, Model model, Site site, Attributes attributes) {
      this.kernels = kernels;
      this.model = model;
      this.site = site.requireIn(model.config());
      this.attributes = attributes;
      width = model.config().width();
      window = new int[model.config().maxLength()];
      items = new int[Math.min(HEAD, model.config().items())];
      scores = new float[items.length];
      inference = new IncrementalInference(kernels, model);
      state = kernels.allocate(DType.F32, width);
      topItems = kernels.allocate(DType.I32, items.length);
      topScores = kernels.allocate(DType.F32, items.length);
      seenOffsets = kernels.allocate(DType.I32, 2);
      embeddings = kernels.allocate(DType.F32, (long) items.length * width);
      derivative = kernels.allocate(DType.F32, (long) width * width);
      moved = kernels.allocate(DType.F32, (long) items.length * width);
      information = kernels.allocate(DType.F32, (long) width * width);
      information.put(0, new float[width * width], 0, width * width);
      gradient = new double[attributes.count()][width];
      spread = new double[attributes.count()];
    }

    /** Adds what history {@code i} says, one of {@code n}. */
    void add(Sequences histories, int i, int n) {
      int length = histories.copyLast(i, window.length, window, 0);
      inference.clear();
      for (int t = 0; t < length; t++) {
        inference.append(window[t]);
      }
      double[] p = head(histories, i);
      derive();
      // How the score of each item at the head moves with each dimension of the state.
      kernels
          .dense()
          .gemm(
              false,
              true,
              p.length,
              width,
              width,
              1,
              embeddings,
              width,
              derivative,
              width,
              0,
              moved,
              width);
      float[] rows = new float[p.length * width];
      moved.get(0, rows, 0, rows.length);
      double[] mean = new double[width];
      double[] mass = new double[spread.length];
      for (int r = 0; r < p.length; r++) {
        for (int d = 0; d < width; d++) {
          mean[d] += p[r] * rows[r * width + d];
        }
        for (int a : attributes.of(items[r])) {
          mass[a] += p[r];
        }
      }
      for (int a = 0; a < mass.length; a++) {
        spread[a] += mass[a] * (1 - mass[a]) / n;
      }
      for (int r = 0; r < p.length; r++) {
        double root = Math.sqrt(p[r] / n);
        int[] has = attributes.of(items[r]);
        for (int d = 0; d < width; d++) {
          double above = rows[r * width + d] - mean[d];
          for (int a : has) {
            gradient[a][d] += p[r] * above / n;
          }
          rows[r * width + d] = (float) (root * above);
        }
      }
      moved.put(0, rows, 0, rows.length);
      kernels
          .dense()
          .gemm(
              true,
              false,
              width,
              width,
              p.length,
              1,
              moved,
              width,
              moved,
              width,
              1,
              information,
              width);
    }

    /** The probabilities of the items at the head of the list, and their embeddings. */
    private double[] head(Sequences histories, int i) {
      int[] seen = new int[histories.length(i)];
      histories.copy(i, 0, seen.length, seen, 0);
      try (Buffer excluded = kernels.allocate(DType.I32, seen.length)) {
        excluded.put(0, seen, 0, seen.length);
        seenOffsets.put(0, new int[] {0, seen.length}, 0, 2);
        kernels
            .ranking()
            .topItems(
                1,
                width,
                model.config().items() + 1L,
                inference.hidden(),
                width,
                model.itemTable(),
                items.length,
                seenOffsets,
                excluded,
                topItems,
                topScores);
      }
      topItems.get(0, items, 0, items.length);
      topScores.get(0, scores, 0, scores.length);
      int count = 0;
      while (count < items.length && items[count] != 0) {
        count++;
      }
      kernels
          .layers()
          .gather(
              count,
              width,
              topItems,
              model.config().items() + 1L,
              model.itemTable(),
              1,
              0,
              embeddings);
      double[] p = new double[count];
      double sum = 0;
      for (int r = 0; r < count; r++) {
        p[r] = Math.exp(scores[r] - (double) scores[0]);
        sum += p[r];
      }
      for (int r = 0; r < count; r++) {
        p[r] /= sum;
      }
      return p;
    }

    /** The derivative: row d is that of the final hidden state by dimension d of the state. */
    private void derive() {
      float[] x = new float[width];
      inference.state(site).get(0, x, 0, width);
      double squares = 0;
      for (float value : x) {
        squares += (double) value * value;
      }
      float by = (float) Math.max(DIFFERENCE * Math.sqrt(squares / width), Float.MIN_NORMAL);
      float[] below = new float[width];
      float[] row = new float[width];
      for (int d = 0; d < width; d++) {
        float value = x[d];
        x[d] = value - by;
        finish(x, below);
        x[d] = value + by;
        finish(x, row);
        x[d] = value;
        for (int o = 0; o < width; o++) {
          row[o] = (row[o] - below[o]) / (2 * by);
        }
        derivative.put((long) d * width, row, 0, width);
      }
    }

    private void finish(float[] x, float[] hidden) {
      state.put(0, x, 0, width);
      inference.finish(site, state).get(0, hidden, 0, width);
    }

    double[][] information() {
      float[] values = information.floats();
      double[][] rows = new double[width][width];
      for (int i = 0; i < values.length; i++) {
        rows[i / width][i % width] = values[i];
      }
      return rows;
    }

    @Override
    public void close() {
      inference.close();
      state.close();
      topItems.close();
      topScores.close();
      seenOffsets.close();
      embeddings.close();
      derivative.close();
      moved.close();
      information.close();
    }
  }
}
