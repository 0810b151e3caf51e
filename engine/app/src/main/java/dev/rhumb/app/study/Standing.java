package dev.rhumb.app.study;

import dev.rhumb.eval.Bootstrap;
import dev.rhumb.eval.Estimate;
import dev.rhumb.eval.Metric;
import dev.rhumb.eval.RankingReport;
import java.util.List;

/**
 * How one ranker did on the test cases.
 *
 * @param name what it is called
 * @param estimates of {@link #METRICS}, in their order
 */
public record Standing(String name, List<Estimate> estimates) {
  /** What is told of test cases with one relevant item. */
  public static final List<Metric> METRICS = Metric.telling(1);

  /** Copies the list. */
  public Standing {
    estimates = List.copyOf(estimates);
  }

  /** The standing of a report at k. */
  static Standing of(String name, RankingReport report, int k) {
    return new Standing(name, report.estimates(METRICS, k, Bootstrap.standard()));
  }
}
