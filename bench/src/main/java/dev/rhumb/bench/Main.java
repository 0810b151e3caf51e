package dev.rhumb.bench;

import java.util.Arrays;

/** The entry of the bench jar: a study by its name, else JMH with all arguments. */
public final class Main {
  private Main() {}

  /**
   * Runs it.
   *
   * @param args {@code ml-1m RUNS RESULTS}, or what JMH takes
   */
  public static void main(String[] args) throws Exception {
    if (args.length == 3 && args[0].equals("ml-1m")) {
      MovieLens1M.main(Arrays.copyOfRange(args, 1, 3));
    } else {
      org.openjdk.jmh.Main.main(args);
    }
  }
}
