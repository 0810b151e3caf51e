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
    /** The device's memory, or the host's page-locked memory, is full. */
    OUT_OF_MEMORY,
    /** No GPU, or no driver. */
    NO_DEVICE,
    /** The GPU's driver is older than the library needs; the message names both versions. */
    DRIVER_TOO_OLD,
    /** cuBLAS failed. */
    CUBLAS,
    /**
     * The device faulted and takes no more work from this process: every later call fails the same
     * way. What is on it is gone; close what is open and go on without it.
     */
    DEVICE_LOST,
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
