package dev.rhumb.app.load;

import java.util.Arrays;
import java.util.Locale;

/** Parts numbers into bins of about as many values each, equal numbers together. */
final class Bins {
  // Bin b holds the numbers lows[b] .. highs[b], which are numbers that were seen.
  private final double[] lows;
  private final double[] highs;
  private final String[] names;

  /**
   * Quantile bins: a bin is closed as soon as it and those before it hold their share of the
   * values.
   *
   * @param values at least one, finite
   * @param most how many bins there may be
   */
  Bins(double[] values, int most) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double[] from = new double[most];
    double[] to = new double[most];
    int n = 0;
    int start = 0;
    for (int i = 0; i < sorted.length; i++) {
      boolean endOfEqual = i + 1 == sorted.length || sorted[i + 1] != sorted[i];
      boolean full = (i + 1L) * most >= (long) sorted.length * (n + 1);
      if (endOfEqual && (full || i + 1 == sorted.length)) {
        from[n] = sorted[start];
        to[n++] = sorted[i];
        start = i + 1;
        // A run of equal values may have taken the share of several bins.
        most = Math.max(n + 1, most);
      }
    }
    lows = Arrays.copyOf(from, n);
    highs = Arrays.copyOf(to, n);
    names = names(lows, highs);
  }

  /**
   * The name of the bin of a value that was there: {@code 1990-1999}, {@code -5 to 3}, {@code 7}.
   */
  String name(double value) {
    int place = Arrays.binarySearch(highs, value);
    return names[place >= 0 ? place : Math.min(-place - 1, names.length - 1)];
  }

  private static String[] names(double[] lows, double[] highs) {
    for (int digits = 4; ; digits += 4) {
      String[] names = new String[lows.length];
      for (int b = 0; b < names.length; b++) {
        String low = text(lows[b], digits);
        String high = text(highs[b], digits);
        names[b] = low.equals(high) ? low : low + (lows[b] < 0 ? " to " : "-") + high;
      }
      if (digits > 16 || Arrays.stream(names).distinct().count() == names.length) {
        return names;
      }
    }
  }

  /** Whole numbers as they are, others with that many digits. */
  static String text(double value, int digits) {
    if (value == Math.rint(value) && Math.abs(value) < 1e15) {
      return Long.toString((long) value);
    }
    String text = String.format(Locale.ROOT, "%." + Math.min(digits, 17) + "g", value);
    return text.contains("e") || !text.contains(".")
        ? text
        : text.replaceFirst("0+$", "").replaceFirst("\\.$", "");
  }
}
