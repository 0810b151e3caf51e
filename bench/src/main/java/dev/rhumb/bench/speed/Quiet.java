package dev.rhumb.bench.speed;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Whether others let a worker alone: the processors' time that neither it nor this process used
 * since the last look, and what the hypervisor took, by Linux's counts in hundredths of a second.
 * Elsewhere it is always quiet.
 */
final class Quiet {
  /** Two ticks, and some: what a count is off by at its ends. */
  private static final double TICKS = 0.021;

  private final double share;
  private long others;
  private long stolen;
  private long from;

  /**
   * A judge.
   *
   * @param share of one core that others may use
   */
  Quiet(double share) {
    this.share = share;
  }

  /** Starts to count for a worker. */
  void start(long pid) {
    read(pid);
    from = System.nanoTime();
  }

  /** Whether it was quiet since {@link #start} of the same worker. */
  boolean was(long pid) {
    double seconds = (System.nanoTime() - from) * 1e-9;
    long othersBefore = others;
    long stolenBefore = stolen;
    read(pid);
    double most = Math.max(TICKS, share * seconds);
    return (others - othersBefore) * 0.01 <= most && (stolen - stolenBefore) * 0.01 <= most;
  }

  private void read(long pid) {
    try {
      String[] all =
          Files.readString(Path.of("/proc/stat")).lines().findFirst().orElse("").split("\\s+");
      long busy = 0;
      for (int column : new int[] {1, 2, 3, 6, 7}) {
        busy += Long.parseLong(all[column]);
      }
      others = busy - used("self") - used(Long.toString(pid));
      stolen = Long.parseLong(all[8]);
    } catch (IOException | RuntimeException e) {
      others = 0;
      stolen = 0;
    }
  }

  private static long used(String process) throws IOException {
    String line = Files.readString(Path.of("/proc", process, "stat"));
    String[] fields = line.substring(line.lastIndexOf(')') + 2).split(" ");
    return Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
  }
}
