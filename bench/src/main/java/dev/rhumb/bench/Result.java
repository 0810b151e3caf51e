package dev.rhumb.bench;

/**
 * One measured figure, and what it is held against.
 *
 * @param work what was done
 * @param shape sizes
 * @param backend which backend did it
 * @param threads how many
 * @param metric what was measured
 * @param value the figure
 * @param unit its unit
 * @param reference the peer's or paper's row, or null
 * @param referenceValue its figure, or null
 */
public record Result(
    String work,
    String shape,
    String backend,
    int threads,
    String metric,
    double value,
    String unit,
    String reference,
    Double referenceValue) {

  /** value / referenceValue, or null where there is none. */
  public Double ratio() {
    return referenceValue == null || referenceValue == 0 ? null : value / referenceValue;
  }
}
