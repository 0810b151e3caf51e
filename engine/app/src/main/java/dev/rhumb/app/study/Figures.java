package dev.rhumb.app.study;

import dev.rhumb.eval.Estimate;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.steer.DoseOutcome;
import dev.rhumb.steer.ReconstructionCost;
import dev.rhumb.train.EpochReport;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** Figures as text and as values for JSON. */
public final class Figures {
  private Figures() {}

  /** An ordered map from alternating names and values. */
  public static Map<String, Object> map(Object... namesAndValues) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      map.put((String) namesAndValues[i], namesAndValues[i + 1]);
    }
    return map;
  }

  /** A number with {@code digits} after the point; a dash where it is none. */
  public static String fixed(double value, int digits) {
    return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, "%." + digits + "f", value);
  }

  /** A metric: four digits after the point, one where it is large; a dash where it is none. */
  public static String figure(double value) {
    return fixed(value, Math.abs(value) >= 100 ? 1 : 4);
  }

  /** The interval of an estimate in brackets; nothing where it has none. */
  public static String interval(Estimate e) {
    return Double.isNaN(e.low()) ? "" : "[" + figure(e.low()) + ", " + figure(e.high()) + "]";
  }

  /** A share in percent with one digit. */
  public static String percent(double share) {
    return Double.isNaN(share) ? "-" : String.format(Locale.ROOT, "%.1f %%", 100 * share);
  }

  /** A count with its thousands apart. */
  public static String grouped(long count) {
    return String.format(Locale.ROOT, "%,d", count);
  }

  /** A number without needless digits. */
  public static String plain(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e9
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  /** A number as JSON has it: null where it is none. */
  public static Double number(double value) {
    return Double.isFinite(value) ? value : null;
  }

  /** Ranking metrics. */
  public static Map<String, Object> json(RankingMetrics m) {
    return map(
        "k", m.k(),
        "cases", m.cases(),
        "hr", m.hitRate(),
        "ndcg", m.ndcg(),
        "mrr", m.mrr(),
        "coverage", m.coverage());
  }

  /** An epoch of training. */
  public static Map<String, Object> json(EpochReport report) {
    return map(
        "epoch", report.epoch(),
        "step", report.step(),
        "loss", number(report.loss()),
        "learning_rate", number(report.learningRate()),
        "validation_ndcg_10", number(report.validationNdcg()),
        "validation_hr_10", number(report.validationHitRate()),
        "train_seconds", report.trainSeconds(),
        "validation_seconds", report.validationSeconds(),
        "best", report.best());
  }

  /** The quality of an autoencoder. */
  public static Map<String, Object> json(
      SparseAutoencoder sae, SaeMetrics metrics, ReconstructionCost cost) {
    return map(
        "site", sae.site().toString(),
        "features", sae.features(),
        "variant", sae.variant(),
        "kept", sae.kept(),
        "positions", metrics.rows(),
        "explained_variance", number(metrics.explainedVariance()),
        "l0", metrics.l0(),
        "dead_share", metrics.deadShare(),
        "cosine", metrics.cosine(),
        "mean_absolute_error", metrics.meanAbsoluteError(),
        "root_mean_squared_error", metrics.rootMeanSquaredError(),
        "ndcg_kept", number(cost.ndcgKept()),
        "cross_entropy", number(cost.plainCrossEntropy()),
        "cross_entropy_added", number(cost.crossEntropyAdded()));
  }

  /** A control curve. */
  public static Map<String, Object> json(ControlCurve curve) {
    return map(
        "concept", curve.concept(),
        "original", json(curve.original()),
        "reconstructed", json(curve.reconstructed()),
        "points",
            curve.points().stream()
                .map(
                    point ->
                        map(
                            "write", point.write().name().toLowerCase(Locale.ROOT),
                            "strength", point.strength(),
                            "outcome", json(point.outcome())))
                .toList());
  }

  /** A dose and what came of it. */
  public static Map<String, Object> json(DoseOutcome met) {
    return map(
        "concept", met.dose().concept(),
        "dose", met.dose().share(),
        "strength", met.strength(),
        "deviation", met.deviation(),
        "outcome", json(met.outcome()));
  }

  private static Map<String, Object> json(ControlCurve.Outcome outcome) {
    return map("share", outcome.share(), "metrics", json(outcome.metrics()));
  }
}
