package dev.rhumb.interpret;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Scores what finds labels that are known to be true: an autoencoder's features, and by the same
 * code hidden dimensions, the item embedding and random directions.
 *
 * <p>The direction of a label is the mean hidden state of the positions that have it less the mean
 * of those that have it not, over the first half of the users. It is held against a feature's
 * decoder direction, a hidden dimension's axis, or a random direction.
 *
 * <p>Memory of a score: 16 bytes for each column and label, beside the {@link Columns}. Owns
 * nothing. One thread at a time.
 */
public final class TruthScorer {
  /** How much F1 a further part of a split label has to bring. */
  public static final double GAIN = .03;

  /** Intersection over union from which on two columns fire at the same positions. */
  public static final double SAME = .8;

  private static final double MOSTLY = .5;
  private static final int CANDIDATES = 32;

  /** When a column fires. */
  public enum Firing {
    /** Above 0, as the features of an autoencoder do. */
    ABOVE_ZERO,
    /**
     * Above the threshold with the best F1 for the label on the first half, by either sign: for
     * columns that have no firing of their own, and an upper bound for features.
     */
    ABOVE_BEST
  }

  private final Kernels kernels;
  private final Model model;
  private final Site site;
  private final Positions positions;
  private final PositionLabels labels;
  private final Columns hidden;
  private final float[][] directions;

  /**
   * Reads the hidden states at the positions and takes the labels' directions from them.
   *
   * @param labels of the item that the positions are held against, at its place
   */
  public TruthScorer(
      Kernels kernels, Model model, Site site, Positions positions, PositionLabels labels) {
    this.kernels = kernels;
    this.model = model;
    this.site = site;
    this.positions = positions;
    this.labels = labels;
    hidden = Columns.hidden(kernels, model, site, positions);
    directions = directions(hidden, labels);
  }

  /**
   * The features of an autoencoder at this site.
   *
   * @throws IllegalArgumentException when it is for another site
   */
  public TruthScore features(SparseAutoencoder sae, Firing firing) {
    if (!sae.site().equals(site)) {
      throw new IllegalArgumentException(
          "the autoencoder reads " + sae.site() + ", but the labels' directions are of " + site);
    }
    Buffer decoder = sae.decoderWeights();
    float[][] rows = new float[sae.features()][sae.width()];
    for (int f = 0; f < rows.length; f++) {
      decoder.get((long) f * sae.width(), rows[f], 0, sae.width());
    }
    Columns data = Columns.features(kernels, model, sae, positions);
    return score(data, labels, firing, cosines(rows));
  }

  /** The hidden dimensions. */
  public TruthScore hidden() {
    float[][] axes = new float[hidden.count()][hidden.count()];
    for (int d = 0; d < axes.length; d++) {
      axes[d][d] = 1;
    }
    return score(hidden, labels, Firing.ABOVE_BEST, cosines(axes));
  }

  /** The embedding of the item at each position; it has no directions in the hidden state. */
  public TruthScore itemEmbedding() {
    Columns data = Columns.itemEmbedding(kernels, model, positions);
    return score(data, labels, Firing.ABOVE_BEST, null);
  }

  /** Random directions; see {@link Columns#randomDirections}. */
  public TruthScore randomDirections(int count, long seed) {
    Columns data = Columns.randomDirections(kernels, model, site, count, seed, positions);
    float[] flat = Columns.directions(count, hidden.count(), seed);
    float[][] rows = new float[count][];
    Arrays.setAll(
        rows, i -> Arrays.copyOfRange(flat, i * hidden.count(), (i + 1) * hidden.count()));
    return score(data, labels, Firing.ABOVE_BEST, cosines(rows));
  }

  /** Mean differences over the first half, (labels, D); zeros where a label is on no side. */
  static float[][] directions(Columns hidden, PositionLabels labels) {
    int width = hidden.count();
    Half half = Half.FIRST;
    Rows rows = new Rows(hidden, labels);
    int n = rows.positions(half);
    double[] all = new double[width];
    double[][] with = new double[labels.names().size()][width];
    for (int d = 0; d < width; d++) {
      for (int e = hidden.start(d); e < hidden.start(d + 1); e++) {
        int row = hidden.row(e);
        if (half.has(hidden.second(row))) {
          all[d] += hidden.value(e);
          for (int at = rows.starts[row]; at < rows.starts[row + 1]; at++) {
            with[rows.labels[at]][d] += hidden.value(e);
          }
        }
      }
    }
    float[][] directions = new float[with.length][width];
    for (int z = 0; z < with.length; z++) {
      int yes = rows.with(half, z);
      for (int d = 0; d < width && yes > 0 && yes < n; d++) {
        directions[z][d] = (float) (with[z][d] / yes - (all[d] - with[z][d]) / (n - yes));
      }
    }
    return directions;
  }

  /** Of each column's direction and each label's: (C, labels). */
  private double[][] cosines(float[][] columns) {
    double[][] cosines = new double[columns.length][directions.length];
    for (int c = 0; c < columns.length; c++) {
      for (int z = 0; z < directions.length; z++) {
        double both = dot(columns[c], directions[z]);
        double lengths = Math.sqrt(dot(columns[c], columns[c]) * dot(directions[z], directions[z]));
        cosines[c][z] = lengths == 0 ? 0 : both / lengths;
      }
    }
    return cosines;
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int d = 0; d < a.length; d++) {
      sum += (double) a[d] * b[d];
    }
    return sum;
  }

  /**
   * Scores any columns.
   *
   * @param cosines (C, labels) between the columns' directions and the labels', or null
   */
  static TruthScore score(Columns data, PositionLabels labels, Firing firing, double[][] cosines) {
    return new Scoring(data, labels, firing, cosines).score();
  }

  /** The labels of each position of columns. */
  private static final class Rows {
    final int[] starts;
    final int[] labels;
    private final int[] first;
    private final int[] second;
    private final int[] count = new int[2];

    Rows(Columns data, PositionLabels source) {
      int[][] of = new int[data.positions()][];
      starts = new int[of.length + 1];
      first = new int[source.names().size()];
      second = new int[first.length];
      for (int row = 0; row < of.length; row++) {
        of[row] = source.of(data.person(row), data.place(row), data.item(row));
        starts[row + 1] = Math.addExact(starts[row], of[row].length);
        count[data.second(row) ? 1 : 0]++;
        for (int z : of[row]) {
          (data.second(row) ? second : first)[z]++;
        }
      }
      labels = Arrays.stream(of).flatMapToInt(Arrays::stream).toArray();
    }

    int positions(Half half) {
      return count[half == Half.SECOND ? 1 : 0];
    }

    int with(Half half, int label) {
      return (half == Half.SECOND ? second : first)[label];
    }

    boolean has(int row, int label) {
      return Arrays.binarySearch(labels, starts[row], starts[row + 1], label) >= 0;
    }
  }

  /** One score in the making. Columns of both signs: number 2 c, and 2 c + 1 for the negative. */
  private static final class Scoring {
    private final Columns data;
    private final PositionLabels names;
    private final Firing firing;
    private final double[][] cosines;
    private final Rows rows;
    private final int all;
    // The labels that are scored.
    private final int[] scored;
    // By label and column, of the better sign, on the first half.
    private final float[][] f1;
    private final float[][] precision;
    private final float[][] threshold;
    private final float[][] auc;
    private final boolean[][] negative;

    Scoring(Columns data, PositionLabels names, Firing firing, double[][] cosines) {
      this.data = data;
      this.names = names;
      this.firing = firing;
      this.cosines = cosines;
      rows = new Rows(data, names);
      all = names.names().size();
      scored = IntStream.range(0, all).filter(this::isScored).toArray();
      int columns = data.count();
      f1 = new float[all][];
      precision = new float[all][];
      threshold = new float[all][];
      auc = new float[all][];
      negative = new boolean[all][];
      for (int z : scored) {
        f1[z] = new float[columns];
        precision[z] = new float[columns];
        threshold[z] = new float[columns];
        auc[z] = new float[columns];
        negative[z] = new boolean[columns];
      }
      Walk walk = new Walk(data, rows, firing, all);
      for (int c = 0; c < columns; c++) {
        walk.column(c, false, Half.FIRST);
        for (int z : scored) {
          auc[z][c] = (float) walk.auc(z);
          take(walk, z, c, false);
        }
        if (firing == Firing.ABOVE_BEST) {
          walk.column(c, true, Half.FIRST);
          for (int z : scored) {
            if (walk.f1[z] > f1[z][c]) {
              take(walk, z, c, true);
            }
          }
        }
      }
    }

    private void take(Walk walk, int z, int c, boolean sign) {
      f1[z][c] = (float) walk.f1[z];
      precision[z][c] = (float) walk.precision[z];
      threshold[z][c] = walk.threshold[z];
      negative[z][c] = sign;
    }

    private boolean isScored(int z) {
      for (Half half : new Half[] {Half.FIRST, Half.SECOND}) {
        if (rows.with(half, z) == 0 || rows.with(half, z) == rows.positions(half)) {
          return false;
        }
      }
      return true;
    }

    TruthScore score() {
      int[] own = assign();
      int[] best = new int[all];
      Arrays.fill(best, -1);
      for (int z : scored) {
        best[z] = largest(f1[z]);
      }
      List<TruthScore.Label> labels = new ArrayList<>();
      for (int i = 0; i < scored.length; i++) {
        labels.add(label(scored[i], best, own[i]));
      }
      return new TruthScore(data.count(), rows.positions(Half.SECOND), labels);
    }

    private TruthScore.Label label(int z, int[] best, int own) {
      int parent = names.parents()[z];
      while (parent >= 0 && best[parent] < 0) {
        parent = names.parents()[parent];
      }
      double absorption = Double.NaN;
      boolean absorbed = false;
      if (parent >= 0 && best[parent] != best[z]) {
        absorption = absorption(z, best[z], parent, best[parent]);
        absorbed = absorption >= .5 && elsewhere(z, parent, best[parent]) >= .5;
      }
      int byAuc = byAuc(z);
      int byCosine = byCosine(z);
      return new TruthScore.Label(
          names.names().get(z),
          parent < 0 ? null : names.names().get(parent),
          rows.with(Half.SECOND, z),
          match(z, best[z], value(f1[z], best[z])),
          match(z, byAuc, byAuc < 0 ? Double.NaN : height(auc[z][byAuc])),
          match(z, byCosine, byCosine < 0 ? Double.NaN : Math.abs(cosines[byCosine][z])),
          match(z, own, value(f1[z], own)),
          parts(z),
          copies(z, best[z]),
          absorption,
          absorbed);
    }

    private static double value(float[] values, int at) {
      return at < 0 ? Double.NaN : values[at];
    }

    private static int largest(float[] values) {
      int best = -1;
      for (int c = 0; c < values.length; c++) {
        if (best < 0 || values[c] > values[best]) {
          best = c;
        }
      }
      return best;
    }

    /** An AUC, or what it is of the negative column where that may count. */
    private double height(double auc) {
      return firing == Firing.ABOVE_BEST ? Math.max(auc, 1 - auc) : auc;
    }

    private int byAuc(int z) {
      float[] heights = new float[data.count()];
      for (int c = 0; c < heights.length; c++) {
        heights[c] = (float) height(auc[z][c]);
      }
      return largest(heights);
    }

    private int byCosine(int z) {
      if (cosines == null) {
        return -1;
      }
      float[] sizes = new float[data.count()];
      for (int c = 0; c < sizes.length; c++) {
        sizes[c] = (float) Math.abs(cosines[c][z]);
      }
      return largest(sizes);
    }

    /** Figures of the second half. */
    private TruthScore.Match match(int z, int c, double chosen) {
      if (c < 0) {
        double none = Double.NaN;
        return new TruthScore.Match(-1, false, none, none, none, none, 0, none, none);
      }
      int fires = 0;
      int hits = 0;
      for (int row : fired(z, c, Half.SECOND)) {
        fires++;
        hits += rows.has(row, z) ? 1 : 0;
      }
      Walk walk = new Walk(data, rows, firing, all);
      walk.column(c, false, Half.SECOND);
      double auc = walk.auc(z);
      int with = rows.with(Half.SECOND, z);
      return new TruthScore.Match(
          c,
          negative[z][c],
          threshold[z][c],
          chosen,
          fires == 0 ? Double.NaN : hits / (double) fires,
          hits / (double) with,
          2.0 * hits / (fires + with),
          this.auc[z][c] < .5 && firing == Firing.ABOVE_BEST ? 1 - auc : auc,
          cosines == null ? Double.NaN : cosines[c][z]);
    }

    /** The positions of a half at which a column fires for a label, ascending. */
    private int[] fired(int z, int c, Half half) {
      int sign = negative[z][c] ? -1 : 1;
      float least = threshold[z][c];
      if (least >= 0) {
        return IntStream.range(data.start(c), data.start(c + 1))
            .filter(e -> sign * data.value(e) > least && half.has(data.second(data.row(e))))
            .map(data::row)
            .toArray();
      }
      // Positions without an entry are 0, above the threshold.
      float[] values = new float[data.positions()];
      for (int e = data.start(c); e < data.start(c + 1); e++) {
        values[data.row(e)] = sign * data.value(e);
      }
      return IntStream.range(0, values.length)
          .filter(row -> values[row] > least && half.has(data.second(row)))
          .toArray();
    }

    private int parts(int z) {
      int[] candidates =
          IntStream.range(0, data.count())
              .filter(c -> f1[z][c] > 0 && precision[z][c] >= MOSTLY)
              .boxed()
              .sorted(
                  Comparator.<Integer>comparingDouble(c -> -f1[z][c])
                      .thenComparing(Comparator.naturalOrder()))
              .limit(CANDIDATES)
              .mapToInt(c -> c)
              .toArray();
      int[][] first = new int[candidates.length][];
      Arrays.setAll(first, i -> fired(z, candidates[i], Half.FIRST));
      boolean[] union = new boolean[data.positions()];
      int parts = 0;
      double before = 0;
      int fires = 0;
      int hits = 0;
      double reached = 0;
      while (parts < candidates.length) {
        int chosen = -1;
        double most = reached;
        for (int i = 0; i < candidates.length; i++) {
          int more = 0;
          int moreHits = 0;
          for (int row : first[i]) {
            if (!union[row]) {
              more++;
              moreHits += rows.has(row, z) ? 1 : 0;
            }
          }
          double f = 2.0 * (hits + moreHits) / (fires + more + rows.with(Half.FIRST, z));
          if (f > most) {
            most = f;
            chosen = i;
          }
        }
        if (chosen < 0) {
          break;
        }
        for (Half half : new Half[] {Half.FIRST, Half.SECOND}) {
          for (int row : half == Half.FIRST ? first[chosen] : fired(z, candidates[chosen], half)) {
            if (!union[row] && half == Half.FIRST) {
              fires++;
              hits += rows.has(row, z) ? 1 : 0;
            }
            union[row] = true;
          }
        }
        double held = unionF1(z, union);
        if (held - before < GAIN) {
          break;
        }
        before = held;
        reached = most;
        parts++;
      }
      return parts;
    }

    private double unionF1(int z, boolean[] union) {
      int fires = 0;
      int hits = 0;
      for (int row = 0; row < union.length; row++) {
        if (union[row] && data.second(row)) {
          fires++;
          hits += rows.has(row, z) ? 1 : 0;
        }
      }
      return 2.0 * hits / (fires + rows.with(Half.SECOND, z));
    }

    private int copies(int z, int best) {
      boolean[] fires = new boolean[data.positions()];
      int[] of = fired(z, best, Half.SECOND);
      for (int row : of) {
        fires[row] = true;
      }
      int copies = 0;
      for (int c = 0; c < data.count(); c++) {
        if (c == best || f1[z][c] < f1[z][best] / 2) {
          continue;
        }
        int[] other = fired(z, c, Half.SECOND);
        int both = 0;
        for (int row : other) {
          both += fires[row] ? 1 : 0;
        }
        copies += both > 0 && both >= SAME * (of.length + other.length - both) ? 1 : 0;
      }
      return copies;
    }

    private double absorption(int z, int column, int parent, int parentColumn) {
      boolean[] fires = new boolean[data.positions()];
      for (int row : fired(z, column, Half.SECOND)) {
        fires[row] = rows.has(row, z);
      }
      for (int row : fired(parent, parentColumn, Half.SECOND)) {
        fires[row] = false;
      }
      int alone = 0;
      for (boolean fire : fires) {
        alone += fire ? 1 : 0;
      }
      return alone / (double) rows.with(Half.SECOND, z);
    }

    /** How often the parent's column fires at the parent's positions without the child. */
    private double elsewhere(int z, int parent, int parentColumn) {
      int hits = 0;
      for (int row : fired(parent, parentColumn, Half.SECOND)) {
        hits += rows.has(row, parent) && !rows.has(row, z) ? 1 : 0;
      }
      return hits / (double) (rows.with(Half.SECOND, parent) - rows.with(Half.SECOND, z));
    }

    /** For each scored label a column of its own, -1 where there are too few. */
    private int[] assign() {
      double[][] scores = new double[scored.length][];
      for (int i = 0; i < scores.length; i++) {
        float[] of = f1[scored[i]];
        scores[i] = IntStream.range(0, of.length).mapToDouble(c -> of[c]).toArray();
      }
      return Assignment.largest(scores);
    }
  }

  /** All labels against one column of one sign on one half, from the largest value down. */
  private static final class Walk {
    private final Columns data;
    private final Rows rows;
    private final Firing firing;
    final double[] f1;
    final double[] precision;
    final float[] threshold;
    private final int[] hits;
    private final double[] rankSum;
    private Half half;
    private long[] order = new long[0];

    Walk(Columns data, Rows rows, Firing firing, int labels) {
      this.data = data;
      this.rows = rows;
      this.firing = firing;
      f1 = new double[labels];
      precision = new double[labels];
      threshold = new float[labels];
      hits = new int[labels];
      rankSum = new double[labels];
    }

    void column(int c, boolean negative, Half half) {
      this.half = half;
      Arrays.fill(f1, 0);
      Arrays.fill(precision, 0);
      Arrays.fill(threshold, 0);
      Arrays.fill(hits, 0);
      Arrays.fill(rankSum, 0);
      int n = 0;
      order =
          order.length < data.start(c + 1) - data.start(c)
              ? new long[data.start(c + 1) - data.start(c)]
              : order;
      for (int e = data.start(c); e < data.start(c + 1); e++) {
        if (half.has(data.second(data.row(e)))) {
          float value = negative ? -data.value(e) : data.value(e);
          order[n++] = (long) FeatureStatistics.sortable(value) << 32 | data.row(e);
        }
      }
      Arrays.sort(order, 0, n);
      int zeros = rows.positions(half) - n;
      int seen = 0;
      int at = n - 1;
      while (at >= 0 && FeatureStatistics.value(order[at]) > 0) {
        at = ties(at, seen);
        seen = n - 1 - at;
      }
      if (firing == Firing.ABOVE_ZERO) {
        for (int z = 0; z < hits.length; z++) {
          consider(z, n - 1 - at, 0);
        }
      }
      zeros(at, seen, zeros);
      seen += zeros;
      while (at >= 0) {
        int next = ties(at, seen);
        seen += at - next;
        at = next;
      }
    }

    /** Takes the entries of the value at {@code at}; returns the place below them. */
    private int ties(int at, int seen) {
      float value = FeatureStatistics.value(order[at]);
      int end = at;
      while (end >= 0 && FeatureStatistics.value(order[end]) == value) {
        end--;
      }
      int ties = at - end;
      double rank = seen + (ties + 1) / 2.0;
      for (int i = at; i > end; i--) {
        int row = (int) order[i];
        for (int l = rows.starts[row]; l < rows.starts[row + 1]; l++) {
          hits[rows.labels[l]]++;
          rankSum[rows.labels[l]] += rank;
        }
      }
      if (firing == Firing.ABOVE_BEST) {
        float below = Math.nextDown(value);
        for (int i = at; i > end; i--) {
          int row = (int) order[i];
          for (int l = rows.starts[row]; l < rows.starts[row + 1]; l++) {
            consider(rows.labels[l], seen + ties, below);
          }
        }
      }
      return end;
    }

    /** Takes the positions without an entry; {@code at} is the first entry below them. */
    private void zeros(int at, int seen, int zeros) {
      if (zeros == 0) {
        return;
      }
      int[] below = new int[hits.length];
      for (int i = at; i >= 0; i--) {
        int row = (int) order[i];
        for (int l = rows.starts[row]; l < rows.starts[row + 1]; l++) {
          below[rows.labels[l]]++;
        }
      }
      double rank = seen + (zeros + 1) / 2.0;
      for (int z = 0; z < hits.length; z++) {
        int with = rows.with(half, z) - hits[z] - below[z];
        hits[z] += with;
        rankSum[z] += with * rank;
        if (firing == Firing.ABOVE_BEST && at >= 0 && with > 0) {
          consider(z, seen + zeros, -Float.MIN_VALUE);
        }
      }
    }

    private void consider(int z, int fires, float least) {
      double f = 2.0 * hits[z] / (fires + rows.with(half, z));
      if (f > f1[z]) {
        f1[z] = f;
        precision[z] = hits[z] / (double) fires;
        threshold[z] = least;
      }
    }

    /** Of the column as it was last walked. */
    double auc(int z) {
      double with = rows.with(half, z);
      double above = rankSum[z] - with * (with + 1) / 2;
      return 1 - above / (with * (rows.positions(half) - with));
    }
  }
}
