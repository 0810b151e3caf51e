package dev.rhumb.kernels;

/**
 * A backend was asked for by name and cannot run here. The message holds every reason and what
 * mends each.
 */
public final class BackendUnavailableException extends RuntimeException {
  private static final long serialVersionUID = 1;

  BackendUnavailableException(String message) {
    super(message);
  }
}
