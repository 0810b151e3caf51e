package dev.rhumb.serve;

import dev.rhumb.kernels.BackendReport;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.steer.Steering;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.StringTokenizer;

/**
 * A model served over standard input and output, with no more of the JDK than java.base: what the
 * runtime image that {@code engine/image.sh} makes starts. A line in is a history, external ids
 * between tabs or blanks, the oldest first; a line out is the list, external ids between tabs, the
 * best first. A history that is refused gives an empty line, and its reason on standard error.
 */
final class Main {
  private static final String USAGE =
      """
      usage: rhumb MODEL [-k ITEMS] [--edit CONCEPT=STRENGTH]...
               reads histories from standard input, a line of item ids each, the oldest first,
               and writes a line with the ids of the best ITEMS (10) for each
             rhumb --check
               says which backends run here, and why the others do not
      """;

  private final PrintStream out;
  private final Map<String, Double> edits = new HashMap<>();
  private Path model;
  private int k = 10;

  private Main(PrintStream out) {
    this.out = out;
  }

  /**
   * Ends with 0 where all went well, 1 where a history or the model is refused, 2 on wrong usage.
   */
  public static void main(String[] args) {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    int status;
    try {
      status = new Main(out).run(args);
    } catch (RuntimeException e) {
      System.err.println("rhumb: " + e.getMessage());
      status = 1;
    }
    out.flush();
    System.exit(status);
  }

  private int run(String[] args) {
    if (args.length == 1 && args[0].equals("--check")) {
      check();
      return 0;
    }
    if (!parse(args)) {
      System.err.print(USAGE);
      return 2;
    }
    try (Recommender recommender = Recommender.open(model);
        Session session = recommender.newSession()) {
      Steering steering = edits.isEmpty() ? null : recommender.concepts().steer(edits);
      return answerAll(session, steering);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void check() {
    for (BackendReport report : Kernels.report()) {
      out.println(
          report.backend().label()
              + (report.available() ? " runs: " : " does not run: ")
              + report.detail());
    }
  }

  private boolean parse(String[] args) {
    for (int i = 0; i < args.length; i++) {
      String value = i + 1 < args.length ? args[i + 1] : "";
      int equals = value.lastIndexOf('=');
      try {
        if (args[i].equals("-k")) {
          k = Integer.parseInt(value);
          i++;
        } else if (args[i].equals("--edit") && equals > 0) {
          edits.put(value.substring(0, equals), Double.parseDouble(value.substring(equals + 1)));
          i++;
        } else if (args[i].startsWith("-") || model != null) {
          return false;
        } else {
          model = Path.of(args[i]);
        }
      } catch (NumberFormatException e) {
        return false;
      }
    }
    return model != null;
  }

  /** Answers lines until there are no more; 1 if any was refused. */
  private int answerAll(Session session, Steering steering) throws IOException {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    int status = 0;
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      try {
        answer(session, line, steering);
      } catch (IllegalArgumentException | IllegalStateException e) {
        System.err.println("rhumb: " + e.getMessage());
        status = 1;
      }
      out.println();
      out.flush();
    }
    return status;
  }

  private void answer(Session session, String history, Steering steering) {
    session.clear();
    StringTokenizer ids = new StringTokenizer(history, "\t ");
    while (ids.hasMoreTokens()) {
      session.append(ids.nextToken());
    }
    Recommendations list = steering == null ? session.recommend(k) : session.recommend(k, steering);
    for (int i = 0; i < list.count(); i++) {
      if (i > 0) {
        out.print('\t');
      }
      out.print(list.id(i));
    }
  }
}
