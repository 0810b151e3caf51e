package dev.rhumb.checkpoint;

/**
 * A folder that somebody else is writing to. The message names the folder, the holder, the mend.
 */
public final class FolderInUseException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  FolderInUseException(String message) {
    super(message);
  }
}
