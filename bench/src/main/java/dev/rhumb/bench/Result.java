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
 * @param low lower end of its 95 % interval, or null
 * @param high upper end, or null
 * @param unit its unit
 * @param reference the peer's or paper's row, or null
 * @param referenceValue its figure, or null
 * @param commit of the code that was measured, as {@link ResultTable#commit} gives it
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
    String commit) {

  /** A figure of a part of a study. */
  public static Result of(String work, String shape, Measured measured, String metric) {
    return new Result(
        work,
        shape,
        measured.backend(),
        measured.threads(),
        metric,
        measured.get(metric),
        null,
        null,
        "",
        null,
        null,
        measured.commit());
  }

  /** The same with a 95 % interval. */
  public Result within(double low, double high) {
    return new Result(
        work,
        shape,
        backend,
        threads,
        metric,
        value,
        low,
        high,
        unit,
        reference,
        referenceValue,
        commit);
  }

  /** The same with another value. */
  public Result valued(double value) {
    return new Result(
        work,
        shape,
        backend,
        threads,
        metric,
        value,
        low,
        high,
        unit,
        reference,
        referenceValue,
        commit);
  }

  /** The same under another name of its metric. */
  public Result named(String metric) {
    return new Result(
        work,
        shape,
        backend,
        threads,
        metric,
        value,
        low,
        high,
        unit,
        reference,
        referenceValue,
        commit);
  }

  /** The same with a unit. */
  public Result in(String unit) {
    return new Result(
        work,
        shape,
        backend,
        threads,
        metric,
        value,
        low,
        high,
        unit,
        reference,
        referenceValue,
        commit);
  }

  /** The same beside the row of a peer or a paper. */
  public Result against(String reference, double referenceValue) {
    return new Result(
        work,
        shape,
        backend,
        threads,
        metric,
        value,
        low,
        high,
        unit,
        reference,
        referenceValue,
        commit);
  }

  /** value / referenceValue, or null where there is none. */
  public Double ratio() {
    return referenceValue == null || referenceValue == 0 ? null : value / referenceValue;
  }
}
