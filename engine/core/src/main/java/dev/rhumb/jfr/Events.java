package dev.rhumb.jfr;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.FlightRecorder;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/**
 * The Flight Recorder's view of the engine: {@code rhumb.Request}, {@code rhumb.TrainingStep},
 * {@code rhumb.SaeStep}; the kernels' own is {@code rhumb.Kernel}. None has a stack trace or a
 * threshold unless the recording says so.
 *
 * <p>A {@code begin} gives null while nobody records, which costs the look at a flag and allocates
 * nothing, and the {@code end} of null does nothing. Where the module jdk.jfr is missing, this
 * class still loads, and there are no events.
 */
public final class Events {
  private static final boolean HERE = here();

  private Events() {}

  /** An answer of a session. */
  @Name("rhumb.Request")
  @Label("Request")
  @Category("Rhumb")
  @Description("A recommended list, from the call to the answer")
  @StackTrace(false)
  public static final class Request extends Event {
    @Label("Items")
    @Description("Newest items of the history that the model saw")
    int items;

    @Label("k")
    @Description("Items asked for")
    int k;

    @Label("Steered")
    boolean steered;

    @Label("Edits")
    @Description("Edits of the steering; 0 for a plain request")
    int edits;

    private Request() {}
  }

  /** A step of training a transformer. */
  @Name("rhumb.TrainingStep")
  @Label("Training Step")
  @Category("Rhumb")
  @Description("Forward, backward and update on one batch")
  @StackTrace(false)
  public static final class TrainingStep extends Event {
    @Label("Step")
    @Description("From 1")
    long step;

    @Label("Rows")
    @Description("Positions of the batch, of all its histories")
    int rows;

    @Label("Loss")
    @Description("What is made small")
    String loss;

    private TrainingStep() {}
  }

  /** A step of training an autoencoder. */
  @Name("rhumb.SaeStep")
  @Label("Autoencoder Step")
  @Category("Rhumb")
  @Description("Forward, backward and update on one batch of hidden states")
  @StackTrace(false)
  public static final class SaeStep extends Event {
    @Label("Step")
    @Description("From 1")
    long step;

    @Label("Rows")
    @Description("Hidden states of the batch")
    int rows;

    @Label("Variant")
    @Description("Which autoencoder")
    String variant;

    private SaeStep() {}
  }

  /** Asked only after a recorder has started: registering an event starts one. */
  private static final class Types {
    static final EventType REQUEST = EventType.getEventType(Request.class);
    static final EventType TRAINING_STEP = EventType.getEventType(TrainingStep.class);
    static final EventType SAE_STEP = EventType.getEventType(SaeStep.class);
  }

  /** Begins a request. */
  public static Request beginRequest() {
    if (!recorded() || !Types.REQUEST.isEnabled()) {
      return null;
    }
    Request event = new Request();
    event.begin();
    return event;
  }

  /**
   * Ends a request.
   *
   * @param items of the window
   * @param edits of the steering, or -1 for a plain request
   */
  public static void end(Request event, int items, int k, int edits) {
    if (event != null) {
      event.items = items;
      event.k = k;
      event.steered = edits >= 0;
      event.edits = Math.max(0, edits);
      event.commit();
    }
  }

  /** Begins a training step. */
  public static TrainingStep beginTrainingStep() {
    if (!recorded() || !Types.TRAINING_STEP.isEnabled()) {
      return null;
    }
    TrainingStep event = new TrainingStep();
    event.begin();
    return event;
  }

  /** Ends a training step. */
  public static void end(TrainingStep event, long step, int rows, String loss) {
    if (event != null) {
      event.step = step;
      event.rows = rows;
      event.loss = loss;
      event.commit();
    }
  }

  /** Begins a step of an autoencoder. */
  public static SaeStep beginSaeStep() {
    if (!recorded() || !Types.SAE_STEP.isEnabled()) {
      return null;
    }
    SaeStep event = new SaeStep();
    event.begin();
    return event;
  }

  /** Ends a step of an autoencoder. */
  public static void end(SaeStep event, long step, int rows, String variant) {
    if (event != null) {
      event.step = step;
      event.rows = rows;
      event.variant = variant;
      event.commit();
    }
  }

  private static boolean recorded() {
    return HERE && FlightRecorder.isInitialized();
  }

  private static boolean here() {
    try {
      return FlightRecorder.isAvailable();
    } catch (LinkageError e) {
      return false; // No such module, or this one does not read it.
    }
  }
}
