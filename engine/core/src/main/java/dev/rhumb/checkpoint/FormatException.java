package dev.rhumb.checkpoint;

import java.nio.file.Path;

/**
 * A file whose content is refused. The message reads {@code file: where: what; mend}.
 *
 * <p>Trouble of the file system itself (no such file, no permission, a full disk) is an {@link
 * java.io.UncheckedIOException} instead.
 */
public final class FormatException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String file;
  private final String where;
  private final String what;
  private final String mend;

  /**
   * @param file the file, or the name of another source of text
   * @param where the place in it: {@code line:column}, a key, a tensor
   * @param what what was wrong there
   * @param mend what to do about it
   */
  public FormatException(String file, String where, String what, String mend) {
    super(file + ": " + where + ": " + what + "; " + mend);
    this.file = file;
    this.where = where;
    this.what = what;
    this.mend = mend;
  }

  /** As the other constructor, for a path. */
  public FormatException(Path file, String where, String what, String mend) {
    this(file.toString(), where, what, mend);
  }

  /** The file, or the name of another source of text. */
  public String file() {
    return file;
  }

  /** The place in the file: {@code line:column}, a key, a tensor. */
  public String where() {
    return where;
  }

  /** What was wrong. */
  public String what() {
    return what;
  }

  /** What to do about it. */
  public String mend() {
    return mend;
  }
}
