package dev.rhumb.bench.speed;

import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** The machine's limits as they were measured: what a share of a roofline is taken of. */
final class Ceilings {
  /** Operations a second by threads. */
  private final Map<Integer, Double> peaks = new TreeMap<>();

  /** Bytes a second by threads and level. */
  private final Map<Integer, Map<Level, Double>> bandwidths = new HashMap<>();

  /** Takes the times of {@link Group#limits}. */
  Ceilings(Map<Group.Item, Map<Contender, Times>> measured) {
    measured.forEach(
        (item, times) -> {
          Task.Limit limit = (Task.Limit) item.task();
          double perSecond = item.threads() / times.get(Contender.LIMITS).median();
          if (limit.kilobytes() == 0) {
            peaks.put(item.threads(), limit.flops() * perSecond);
          } else {
            bandwidths
                .computeIfAbsent(item.threads(), key -> new TreeMap<>())
                .put(Level.valueOf(limit.name()), limit.bytes() * perSecond);
          }
        });
  }

  /** The share of the peak that work done in so many seconds reaches; NaN where not counted. */
  double ofPeak(Group.Item item, double seconds) {
    double flops = item.task().flops();
    Double peak = peaks.get(item.threads());
    return flops == 0 || peak == null ? Double.NaN : flops / seconds / peak;
  }

  /**
   * The share of the bandwidth of the level where the work's memory lies; NaN where not counted.
   */
  double ofBandwidth(Group.Item item, double seconds) {
    double bytes = item.task().bytes();
    Map<Level, Double> levels = bandwidths.get(item.threads());
    return bytes == 0 || levels == null
        ? Double.NaN
        : bytes / seconds / levels.get(Level.of(bytes, item.threads()));
  }

  String markdown() {
    StringBuilder md = new StringBuilder("| threads | FMA, GFLOP/s |");
    for (Level level : Level.values()) {
      md.append(' ').append(level).append(" read, GB/s |");
    }
    md.append("\n|---").append("|---".repeat(Level.values().length + 1)).append("|\n");
    peaks.forEach(
        (threads, peak) -> {
          md.append(String.format(Locale.ROOT, "| %d | %.0f |", threads, peak * 1e-9));
          bandwidths
              .get(threads)
              .values()
              .forEach(b -> md.append(String.format(Locale.ROOT, " %.1f |", b * 1e-9)));
          md.append('\n');
        });
    return md.toString();
  }
}
