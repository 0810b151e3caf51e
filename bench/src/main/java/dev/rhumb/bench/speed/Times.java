package dev.rhumb.bench.speed;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The times that one contender took for one item, over samples of several processes. */
final class Times {
  private final List<List<double[]>> forks = new ArrayList<>();
  private int unquiet;

  /** What follows is of another process. */
  void fork() {
    forks.add(new ArrayList<>());
  }

  /** Takes a sample; those that others disturbed come in only where there were too few. */
  void add(double[] nanos, boolean quiet) {
    forks.getLast().add(nanos);
    unquiet += quiet ? 0 : 1;
  }

  boolean isEmpty() {
    return forks.stream().allMatch(List::isEmpty);
  }

  /** Samples that others disturbed. */
  int unquiet() {
    return unquiet;
  }

  /** In seconds. */
  double median() {
    return quantile(forks.stream().flatMap(List::stream).toList(), 0.5);
  }

  /** In seconds. */
  double p99() {
    return quantile(forks.stream().flatMap(List::stream).toList(), 0.99);
  }

  /** How far the processes' medians lie apart, as a share of the median. */
  double spread() {
    double[] medians =
        forks.stream().filter(f -> !f.isEmpty()).mapToDouble(f -> quantile(f, 0.5)).toArray();
    Arrays.sort(medians);
    return (medians[medians.length - 1] - medians[0]) / median();
  }

  /** Every sample weighs the same, however many runs it has. */
  private static double quantile(List<double[]> samples, double share) {
    record Weighed(double nanos, double weight) {}

    List<Weighed> all = new ArrayList<>();
    for (double[] sample : samples) {
      for (double nanos : sample) {
        all.add(new Weighed(nanos, 1.0 / sample.length));
      }
    }
    all.sort((a, b) -> Double.compare(a.nanos, b.nanos));
    double left = share * samples.size();
    for (Weighed one : all) {
      left -= one.weight;
      if (left <= 0) {
        return one.nanos * 1e-9;
      }
    }
    return all.getLast().nanos * 1e-9;
  }
}
