package dev.rhumb.bench;

import dev.rhumb.eval.Estimate;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Takes the figures of one part of a study. */
public final class Figures {
  private final String work;
  private final String shape;
  private final Kernels kernels;
  private final Reference reference;
  private final String commit;
  private final List<Result> results = new ArrayList<>();

  /**
   * What figures are held against.
   *
   * @param name the peer, or the paper and its row
   * @param values by metric
   */
  public record Reference(String name, Map<String, Double> values) {
    /** Nothing. */
    public static final Reference NONE = new Reference("", Map.of());
  }

  Figures(String work, String shape, Kernels kernels, Reference reference) throws IOException {
    this.work = work;
    this.shape = shape;
    this.kernels = kernels;
    this.reference = reference;
    commit = ResultTable.commit();
  }

  /** Adds a figure; NaN where it is not defined. */
  public void add(String metric, double value) {
    add(metric, value, "");
  }

  /** Adds a figure with a unit. */
  public void add(String metric, double value, String unit) {
    add(metric, value, null, null, unit);
  }

  /** Adds a figure with its interval. */
  public void add(String metric, Estimate estimate) {
    add(metric, estimate.value(), estimate.low(), estimate.high(), "");
  }

  private void add(String metric, double value, Double low, Double high, String unit) {
    Double referenceValue = reference.values().get(metric);
    try {
      results.add(
          new Result(
              work,
              shape,
              kernels.describe(),
              kernels.threads(),
              metric,
              value,
              low,
              high,
              unit,
              referenceValue == null ? null : reference.name(),
              referenceValue,
              commit,
              ResultTable.machine(),
              LocalDate.now().toString()));
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  List<Result> results() {
    return results;
  }
}
