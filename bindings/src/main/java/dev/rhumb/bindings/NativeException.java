package dev.rhumb.bindings;

/**
 * A native library could not be used, or a call of it failed. The message holds the call, its
 * shapes and the native side's own words.
 */
public final class NativeException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** What kind of failure it was, for callers that have an answer to some of them. */
  public enum Kind {
    /** No library that fits was found; the message lists what was tried. */
    LIBRARY,
    /** The call does not take these arguments; nothing was done. */
    INVALID_ARGUMENT,
    /** The device's memory is full. */
    OUT_OF_MEMORY,
    /** No GPU, no driver, or a driver too old for the library. */
    NO_DEVICE,
    /**
     * Any other error of the device or its runtime; earlier work on the device may have caused it.
     */
    DEVICE
  }

  private final Kind kind;

  NativeException(Kind kind, String message) {
    super(message);
    this.kind = kind;
  }

  /** What kind of failure it was. */
  public Kind kind() {
    return kind;
  }
}
