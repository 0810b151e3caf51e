package dev.rhumb.app.load;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** Counts what an import left out, by reason. One thread at a time. */
public final class Dropped {
  private final Map<String, Long> counts = new LinkedHashMap<>();

  /** Counts {@code n} more for a reason; 0 makes the reason known. */
  void add(String reason, long n) {
    counts.merge(reason, n, Long::sum);
  }

  /** Reasons with their counts, zeros included, in the order in which they became known. */
  public Map<String, Long> counts() {
    return Collections.unmodifiableMap(counts);
  }
}
