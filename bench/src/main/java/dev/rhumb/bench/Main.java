package dev.rhumb.bench;

import dev.rhumb.bench.load.Load;
import dev.rhumb.bench.load.Startup;
import java.util.Arrays;

/** The entry of the bench jar: a study by its name, else JMH with all arguments. */
public final class Main {
  private Main() {}

  /**
   * Runs it.
   *
   * @param args the name of a study, RUNS and RESULTS; or what JMH takes
   */
  public static void main(String[] args) throws Exception {
    String[] folders = args.length == 3 ? Arrays.copyOfRange(args, 1, 3) : null;
    switch (args.length == 3 ? args[0] : "") {
      case "leave-one-out" -> LeaveOneOut.main(folders);
      case "cold-users" -> ColdUsers.main(folders);
      case "prepare-20m" -> PrepareLog.main(folders);
      case "control" -> Control.main(folders);
      case "worlds" -> Worlds.main(folders);
      case "load" -> Load.main(folders);
      case "startup" -> Startup.main(folders);
      default -> org.openjdk.jmh.Main.main(args);
    }
  }
}
