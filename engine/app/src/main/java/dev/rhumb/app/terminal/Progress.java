package dev.rhumb.app.terminal;

import java.io.PrintWriter;
import java.util.Locale;

/**
 * A progress bar with an estimate of the time left, drawn over itself on one line and wiped at the
 * end. One thread at a time.
 */
public final class Progress implements AutoCloseable {
  private static final int CELLS = 24;
  private static final long REDRAW_NANOS = 100_000_000;

  private final PrintWriter terminal;
  private final String label;
  private final long total;
  private final long start = System.nanoTime();
  private long drawn;

  /** Draws on {@code terminal}, or nowhere where it is null. */
  Progress(PrintWriter terminal, String label, long total) {
    this.terminal = terminal;
    this.label = label;
    this.total = Math.max(1, total);
    drawn = start - REDRAW_NANOS;
  }

  /**
   * Shows that {@code done} of the steps are done.
   *
   * @param detail what else is worth a glance, such as the loss; may be empty
   */
  public void at(long done, String detail) {
    long now = System.nanoTime();
    if (terminal == null || now - drawn < REDRAW_NANOS) {
      return;
    }
    drawn = now;
    terminal.print("\r" + line(done, (now - start) * 1e-9, detail) + "\u001b[K");
    terminal.flush();
  }

  /** The line after {@code seconds} of work. */
  String line(long done, double seconds, String detail) {
    double share = Math.clamp(done / (double) total, 0, 1);
    int full = (int) (share * CELLS);
    String left = done == 0 ? "" : clock(seconds * (1 / share - 1)) + " left";
    return String.format(
            Locale.ROOT,
            "%s [%s%s] %3.0f %% %s %s",
            label,
            "#".repeat(full),
            ".".repeat(CELLS - full),
            100 * share,
            left,
            detail)
        .stripTrailing();
  }

  private static String clock(double seconds) {
    long s = Math.round(seconds);
    return s >= 3600
        ? String.format(Locale.ROOT, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60)
        : String.format(Locale.ROOT, "%d:%02d", s / 60, s % 60);
  }

  /** Wipes the bar. */
  @Override
  public void close() {
    if (terminal != null) {
      terminal.print("\r\u001b[K");
      terminal.flush();
    }
  }
}
