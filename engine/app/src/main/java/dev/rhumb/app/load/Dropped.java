package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** Counts what an import left out, by reason, and refuses instead where that was asked for. */
final class Dropped {
  /** Which faulty rows are left out; the others are refused. */
  enum Leniency {
    /** All of them. */
    ALL,
    /** Those that lack a value. */
    INCOMPLETE,
    /** None. */
    NONE
  }

  private final Map<String, Long> counts = new LinkedHashMap<>();
  private final Leniency leniency;

  Dropped(Leniency leniency) {
    this.leniency = leniency;
  }

  /** Counts {@code n} more for a reason; 0 makes the reason known. */
  void add(String reason, long n) {
    counts.merge(reason, n, Long::sum);
  }

  /** Counts rows of {@code what} with a fault. */
  void add(String what, Fault fault, long n) {
    add(what + " rows with " + fault.reason(), n);
  }

  /** Whether rows with this fault are refused. */
  boolean refuses(Fault fault) {
    return switch (leniency) {
      case ALL -> false;
      case INCOMPLETE -> fault.isMalformed();
      case NONE -> true;
    };
  }

  /** The refusal of a row. */
  static Refusal refusal(String where, Fault fault) {
    return new Refusal(where, "the row has " + fault.reason(), fault.mend());
  }

  /** Reasons with their counts, zeros included, in the order in which they became known. */
  Map<String, Long> counts() {
    return Collections.unmodifiableMap(counts);
  }
}
