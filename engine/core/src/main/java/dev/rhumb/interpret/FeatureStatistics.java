package dev.rhumb.interpret;

import dev.rhumb.data.Attributes;
import dev.rhumb.eval.TwoSided;
import java.util.Arrays;

/**
 * How columns go with attributes of the item at the same position, over the positions of one half
 * of the users or of both.
 *
 * <p>A column fires where its value is above 0. A figure that is not defined, such as the
 * correlation with an attribute that no position has, is NaN. Memory: 28 bytes for each column and
 * attribute. Unchangeable, so any thread may read.
 */
public final class FeatureStatistics {
  private final int columns;
  private final int attributes;
  private final int positions;
  private final int[] withAttribute;
  private final int[] fired;
  private final double[] firedSum;
  private final double[] high;
  private final double[] most;
  private final int[] firedWith;
  private final double[] correlation;
  private final double[] auc;
  private final double[] pValue;

  private FeatureStatistics(Columns data, Attributes labels, Half half) {
    columns = data.count();
    attributes = labels.count();
    int cells = Math.multiplyExact(columns, attributes);
    withAttribute = new int[attributes];
    fired = new int[columns];
    firedSum = new double[columns];
    high = new double[columns];
    most = new double[columns];
    firedWith = new int[cells];
    correlation = new double[cells];
    auc = new double[cells];
    pValue = new double[cells];
    Pass pass = new Pass(data, labels, half);
    positions = pass.n;
    for (int c = 0; c < columns; c++) {
      pass.column(c);
    }
  }

  /** Computes all figures. */
  public static FeatureStatistics of(Columns data, Attributes labels, Half half) {
    return new FeatureStatistics(data, labels, half);
  }

  /** C. */
  public int columns() {
    return columns;
  }

  /** Number of attributes. */
  public int attributes() {
    return attributes;
  }

  /** Positions that count. */
  public int positions() {
    return positions;
  }

  /** Positions whose item has the attribute. */
  public int positionsWith(int attribute) {
    return withAttribute[attribute];
  }

  /** The share of positions at which the column fires. */
  public double firingShare(int column) {
    return fired[column] / (double) positions;
  }

  /** The mean value where the column fires. */
  public double meanWhenFired(int column) {
    return firedSum[column] / fired[column];
  }

  /**
   * The 99th percentile of the values where the column fires: the least that 99 % of them do not
   * exceed.
   */
  public double highWhenFired(int column) {
    return high[column];
  }

  /** The largest value. */
  public double most(int column) {
    return most[column];
  }

  /** Pearson's r of the value and having the attribute. */
  public double correlation(int column, int attribute) {
    return correlation[column * attributes + attribute];
  }

  /**
   * The probability that a position with the attribute has a larger value than one without, ties
   * counting one half.
   */
  public double auc(int column, int attribute) {
    return auc[column * attributes + attribute];
  }

  /** P(fires | attribute). */
  public double firesGiven(int column, int attribute) {
    return firedWith[column * attributes + attribute] / (double) withAttribute[attribute];
  }

  /** P(attribute | fires). */
  public double givenFires(int column, int attribute) {
    return firedWith[column * attributes + attribute] / (double) fired[column];
  }

  /**
   * The two-sided p-value of no covariance. Positions of one user depend on each other, so the
   * variance is that of sums over users (Liang and Zeger 1986), and the statistic is taken as
   * normal.
   */
  public double pValue(int column, int attribute) {
    return pValue[column * attributes + attribute];
  }

  /**
   * The largest p-value that is significant at a false discovery rate: Benjamini and Hochberg's
   * step-up rule (1995). Below 0 when none is. NaN counts as no test.
   */
  static double benjaminiHochberg(double[] pValues, double rate) {
    double[] sorted = Arrays.stream(pValues).filter(p -> !Double.isNaN(p)).sorted().toArray();
    for (int i = sorted.length - 1; i >= 0; i--) {
      if (sorted[i] <= rate * (i + 1) / sorted.length) {
        return sorted[i];
      }
    }
    return -1;
  }

  /** One pass over the columns: what they share, and room for one of them. */
  private final class Pass {
    private final Columns data;
    private final Half half;
    private final int n;
    private final int[][] ofItem;

    /**
     * For each user and attribute, positions with the attribute less the user's fair share of them.
     */
    private final double[] excess;

    /** For each attribute the sum over users of its excess squared. */
    private final double[] excessSquares;

    private final double[] sumWith;
    private final double[] userSum;
    private final double[] covariance;
    private final double[] variance;
    private final double[] rankSum;
    private final int[] entriesWith;
    private long[] order = new long[0];

    Pass(Columns data, Attributes labels, Half half) {
      this.data = data;
      this.half = half;
      sumWith = new double[attributes];
      userSum = new double[attributes];
      covariance = new double[attributes];
      variance = new double[attributes];
      rankSum = new double[attributes];
      entriesWith = new int[attributes];
      excessSquares = new double[attributes];
      int most = 0;
      int users = 0;
      int count = 0;
      for (int i = 0; i < data.positions(); i++) {
        most = Math.max(most, data.item(i));
        users = Math.max(users, data.user(i) + 1);
      }
      ofItem = new int[most + 1][];
      int[] positionsOf = new int[users];
      excess = new double[Math.multiplyExact(users, attributes)];
      for (int i = 0; i < data.positions(); i++) {
        if (!half.has(data.second(i))) {
          continue;
        }
        int item = data.item(i);
        if (ofItem[item] == null) {
          ofItem[item] = labels.of(item);
        }
        count++;
        positionsOf[data.user(i)]++;
        for (int a : ofItem[item]) {
          withAttribute[a]++;
          excess[data.user(i) * attributes + a]++;
        }
      }
      n = count;
      for (int u = 0; u < users; u++) {
        for (int a = 0; a < attributes; a++) {
          int at = u * attributes + a;
          excess[at] -= positionsOf[u] * (withAttribute[a] / (double) n);
          excessSquares[a] += excess[at] * excess[at];
        }
      }
    }

    void column(int c) {
      Arrays.fill(sumWith, 0);
      Arrays.fill(rankSum, 0);
      Arrays.fill(entriesWith, 0);
      int entries = moments(c);
      ranks(c, entries);
    }

    /**
     * Sums, correlation and p-value; sets order to the entries that count and returns how many they
     * are.
     */
    private int moments(int c) {
      int from = data.start(c);
      int to = data.start(c + 1);
      if (order.length < to - from) {
        order = new long[to - from];
      }
      double sum = 0;
      double squares = 0;
      int entries = 0;
      for (int e = from; e < to; e++) {
        int row = data.row(e);
        if (!half.has(data.second(row))) {
          continue;
        }
        float value = data.value(e);
        sum += value;
        squares += (double) value * value;
        boolean fires = value > 0;
        if (fires) {
          fired[c]++;
          firedSum[c] += value;
        }
        for (int a : ofItem[data.item(row)]) {
          sumWith[a] += value;
          entriesWith[a]++;
          if (fires) {
            firedWith[c * attributes + a]++;
          }
        }
        order[entries++] = (long) sortable(value) << 32 | row;
      }
      double mean = sum / n;
      double spread = n * squares - sum * sum;
      byUser(c, mean);
      for (int a = 0; a < attributes; a++) {
        int at = c * attributes + a;
        double with = withAttribute[a];
        correlation[at] = (n * sumWith[a] - sum * with) / Math.sqrt(spread * (with * (n - with)));
        double total = variance[a] + mean * mean * excessSquares[a];
        pValue[at] = TwoSided.normal(covariance[a] / Math.sqrt(total));
        if (!(spread > 0) || with == 0 || with == n) {
          correlation[at] = Double.NaN;
          pValue[at] = Double.NaN;
        }
      }
      return entries;
    }

    /**
     * Sums over users of their part of the covariance, and of its square but for users without an
     * entry.
     */
    private void byUser(int c, double mean) {
      Arrays.fill(covariance, 0);
      Arrays.fill(variance, 0);
      Arrays.fill(userSum, 0);
      double sum = 0;
      int user = -1;
      for (int e = data.start(c); e < data.start(c + 1); e++) {
        int row = data.row(e);
        if (!half.has(data.second(row))) {
          continue;
        }
        if (data.user(row) != user) {
          endUser(user, sum, mean);
          user = data.user(row);
          sum = 0;
        }
        sum += data.value(e);
        for (int a : ofItem[data.item(row)]) {
          userSum[a] += data.value(e);
        }
      }
      endUser(user, sum, mean);
    }

    private void endUser(int user, double sum, double mean) {
      if (user < 0) {
        return;
      }
      for (int a = 0; a < attributes; a++) {
        double part = userSum[a] - withAttribute[a] / (double) n * sum;
        covariance[a] += part;
        variance[a] += part * part - 2 * mean * part * excess[user * attributes + a];
        userSum[a] = 0;
      }
    }

    /**
     * Middle ranks, ascending from 1; those of the zeros between negative and positive values, all
     * at once.
     */
    private void ranks(int c, int entries) {
      Arrays.sort(order, 0, entries);
      int zeros = n - entries;
      int negative = 0;
      for (int i = 0; i < entries; ) {
        float value = value(order[i]);
        int end = i + 1;
        while (end < entries && value(order[end]) == value) {
          end++;
        }
        if (value < 0) {
          negative = end;
        }
        double rank = i + (value > 0 ? zeros : 0) + (end - i + 1) / 2.0;
        for (; i < end; i++) {
          for (int a : ofItem[data.item((int) order[i])]) {
            rankSum[a] += rank;
          }
        }
      }
      double zeroRank = negative + (zeros + 1) / 2.0;
      for (int a = 0; a < attributes; a++) {
        double with = withAttribute[a];
        double total = rankSum[a] + (with - entriesWith[a]) * zeroRank;
        auc[c * attributes + a] = (total - with * (with + 1) / 2) / (with * (n - with));
      }
      most[c] = entries == 0 ? 0 : value(order[entries - 1]);
      if (zeros > 0) {
        most[c] = Math.max(most[c], 0);
      }
      // The fired values are the last of the order.
      high[c] =
          fired[c] == 0
              ? 0
              : value(order[entries - fired[c] + (int) Math.ceil(0.99 * fired[c]) - 1]);
    }
  }

  /** An int that sorts as the float does. */
  static int sortable(float value) {
    int bits = Float.floatToRawIntBits(value);
    return bits ^ (bits >> 31 & Integer.MAX_VALUE);
  }

  /** The float of a key whose high half is {@link #sortable}. */
  static float value(long key) {
    int bits = (int) (key >> 32);
    return Float.intBitsToFloat(bits ^ (bits >> 31 & Integer.MAX_VALUE));
  }
}
