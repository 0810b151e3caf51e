package dev.rhumb.app.terminal;

/** Work that cannot go on for a reason that the user can mend: shown as one line, exit status 1. */
public final class Refusal extends RuntimeException {
  private static final long serialVersionUID = 1;

  /**
   * A refusal.
   *
   * @param where the file, option or thing at fault
   * @param what what was wrong with it
   * @param mend what to do about it
   */
  public Refusal(String where, String what, String mend) {
    super(where + ": " + what + "; " + mend);
  }

  /** As the other constructor, with what lies beneath. */
  public Refusal(String where, String what, String mend, Throwable cause) {
    super(where + ": " + what + "; " + mend, cause);
  }
}
