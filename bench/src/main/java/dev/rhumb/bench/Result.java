package dev.rhumb.bench;

/**
 * One measured figure, and what it is held against.
 *
 * @param work what was done
 * @param shape sizes, or which part of the work
 * @param backend which backend did it
 * @param threads how many
 * @param metric what was measured
 * @param value the figure; NaN where it is not defined
 * @param low lower end of its interval, or null
 * @param high upper end, or null
 * @param unit its unit
 * @param reference the peer's or paper's row, or null
 * @param referenceValue its figure, or null
 * @param commit of the code that was measured, as {@link ResultTable#commit} gives it
 * @param machine processor, cores and JVM
 * @param date of the measurement, ISO
 */
public record Result(
    String work,
    String shape,
    String backend,
    int threads,
    String metric,
    double value,
    Double low,
    Double high,
    String unit,
    String reference,
    Double referenceValue,
    String commit,
    String machine,
    String date) {

  /** value / referenceValue, or null where there is none. */
  public Double ratio() {
    return referenceValue == null || referenceValue == 0 || !Double.isFinite(value)
        ? null
        : value / referenceValue;
  }
}
