package dev.rhumb.kernels;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.FlightRecorder;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Threshold;

/**
 * The Flight Recorder's view of the kernels: an event {@code rhumb.Kernel} for each operation that
 * took at least the threshold of the recording (20 us unless it says otherwise).
 *
 * <p>While nobody records, a launch costs the look at a flag and allocates nothing. Where the
 * module jdk.jfr is missing, this class still loads, and there are no events.
 */
final class KernelEvents {
  private static final boolean HERE = here();

  private KernelEvents() {}

  /** An operation. */
  @Name("rhumb.Kernel")
  @Label("Kernel")
  @Category("Rhumb")
  @Description("An operation of a backend, from its call to its return")
  @StackTrace(false)
  @Threshold("20 us")
  static final class Launch extends Event {
    @Label("Operation")
    @Description("As its refusals name it")
    String name;

    @Label("Rows")
    @Description("Of its input or its output; elements where it has no rows")
    long rows;
  }

  /** Asked only after a recorder has started: registering the event starts one. */
  private static final class Type {
    static final EventType LAUNCH = EventType.getEventType(Launch.class);
  }

  /** An event that has begun, or null while nobody records. */
  static Launch begin() {
    return HERE && FlightRecorder.isInitialized() && Type.LAUNCH.isEnabled() ? begun() : null;
  }

  /** Ends what {@link #begin} gave. */
  static void end(Launch launch, String name, long rows) {
    if (launch != null) {
      launch.end();
      if (launch.shouldCommit()) {
        launch.name = name;
        launch.rows = rows;
        launch.commit();
      }
    }
  }

  private static Launch begun() {
    Launch launch = new Launch();
    launch.begin();
    return launch;
  }

  private static boolean here() {
    try {
      return FlightRecorder.isAvailable();
    } catch (LinkageError e) {
      return false; // No such module, or this one does not read it.
    }
  }
}
