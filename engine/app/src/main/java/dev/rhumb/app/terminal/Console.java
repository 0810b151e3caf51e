package dev.rhumb.app.terminal;

import dev.rhumb.kernels.Settings;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/**
 * Where a command writes: its text to standard output (nowhere when the result is asked for in
 * JSON), remarks and progress to standard error.
 *
 * <p>The setting {@code rhumb.progress} ({@code on}, {@code off}) says whether progress is drawn;
 * without it, it is where standard error is a terminal.
 *
 * <p>Threads: one at a time.
 */
public final class Console {
  private final PrintWriter out;
  private final PrintWriter err;
  private final boolean text;
  private final boolean drawsProgress;

  /** Writes text to {@code out} only where {@code text} is set. */
  public Console(PrintWriter out, PrintWriter err, boolean text) {
    this.out = out;
    this.err = err;
    this.text = text;
    drawsProgress = drawsProgress();
  }

  /** A line of the result. */
  public void say(String format, Object... values) {
    if (text) {
      out.println(values.length == 0 ? format : String.format(Locale.ROOT, format, values));
      out.flush();
    }
  }

  /** A heading with a line of space above it. */
  public void heading(String title) {
    say("");
    say("%s", title);
  }

  /** A table of the result. */
  public void say(Table table) {
    if (text) {
      out.print(table.text());
      out.flush();
    }
  }

  /** A remark about the work, such as what was looked for and not found. */
  public void note(String format, Object... values) {
    err.println("rhumb: " + String.format(Locale.ROOT, format, values));
    err.flush();
  }

  /** A progress bar over {@code total} steps of long work. */
  public Progress progress(String label, long total) {
    return new Progress(drawsProgress ? err : null, label, total);
  }

  private static boolean drawsProgress() {
    String setting = Settings.get("rhumb.progress");
    if (setting != null) {
      return setting.equals("on");
    }
    try {
      // Java has no isatty for standard error alone; where the system names its files, a terminal's
      // name tells.
      String target = Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString();
      return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty");
    } catch (IOException | UnsupportedOperationException e) {
      return false;
    }
  }
}
