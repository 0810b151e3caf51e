package dev.rhumb.bench;

import dev.rhumb.bench.load.Load;
import dev.rhumb.bench.load.Startup;
import dev.rhumb.bench.speed.GpuSpeed;
import dev.rhumb.bench.speed.SpeedCommand;
import java.util.Arrays;

/**
 * The entry of the bench jar: a study by its name, JMH after the word {@code jmh}, else the speed
 * tables.
 */
public final class Main {
  private Main() {}

  /**
   * Runs it.
   *
   * @param args the name of a study, RUNS and RESULTS; {@code jmh} and what JMH takes; or what
   *     {@link SpeedCommand} takes
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
      default -> {
        if (args.length > 0 && args[0].equals("jmh")) {
          org.openjdk.jmh.Main.main(Arrays.copyOfRange(args, 1, args.length));
        } else if (args.length > 0 && args[0].equals("gpu")) {
          GpuSpeed.main(Arrays.copyOfRange(args, 1, args.length));
        } else {
          System.exit(SpeedCommand.run(args));
        }
      }
    }
  }
}
