package dev.rhumb.bench;

import dev.rhumb.kernels.Kernels;
import java.io.BufferedWriter;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;

/**
 * {@code rhumb prepare} on a generated log of the size of MovieLens 20M: 138,493 users, 26,744
 * items, 20,000,263 ratings in a CSV file. Lengths of users are log-normal from 20 on, items are
 * drawn by Zipf's law with exponent 1, a user's rows are by item, as MovieLens has them, and times
 * are within a few months of a user's start. It is measured in a process of its own, as the command
 * line starts it.
 */
public final class PrepareLog {
  private static final int USERS = 138_493;
  private static final int ITEMS = 26_744;
  private static final long ROWS = 20_000_263;
  private static final long SEED = 20;

  private PrepareLog() {}

  /**
   * Runs it.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    Path runs = Path.of(args[0], "prepare-20m");
    Files.createDirectories(runs);
    Path log = runs.resolve("ratings.csv");
    if (!Files.exists(log)) {
      Path partial = runs.resolve("ratings.part");
      generate(partial);
      Files.move(partial, log, StandardCopyOption.ATOMIC_MOVE);
    }
    ResultTable table =
        new ResultTable(
            Path.of(args[1]),
            "prepare-20m",
            "prepare, a generated log of the size of MovieLens 20M",
            "bench/prepare-20m.sh");
    table.note(
        "Wall time of the whole command, start of the JVM included, beside whatever else the machine did: other"
            + " work shared its cores; processor time is that of all its threads together, and the load average that of the system at the end. Memory is the peak resident set (VmHWM) of the process, heap and database"
            + " together. DuckDB and the import compute; the backend has no part in it. The references are the"
            + " bounds that the project has set itself.");
    String[] line = {"--interactions", log.toString(), "--out", runs.resolve("dataset").toString()};
    try (Kernels kernels = Kernels.open()) {
      part(table, kernels, "CSV to dataset", line);
      String[] core = Arrays.copyOf(line, line.length + 4);
      System.arraycopy(
          new String[] {"--min-rating", "3", "--k-core", "20"}, 0, core, line.length, 4);
      part(table, kernels, "CSV to dataset, ratings from 3, 20-core", core);
    }
    table.write();
  }

  private record Run(double seconds, double processorSeconds, double peakGigabytes) {}

  private static void part(ResultTable table, Kernels kernels, String work, String[] arguments)
      throws Exception {
    table.part(
        work,
        "20,000,263 rows, 138,493 users, 26,744 items",
        kernels,
        new Figures.Reference("bound", Map.of("wall time", 120., "peak memory", 4.)),
        figures -> {
          Run run = run(arguments);
          figures.add("wall time", run.seconds, "s");
          figures.add("processor time", run.processorSeconds, "s");
          figures.add(
              "load average", ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage());
          figures.add("peak memory", run.peakGigabytes, "GB");
        });
  }

  /** Runs the command and looks at its peak of memory until it ends. */
  private static Run run(String... arguments) throws IOException, InterruptedException {
    List<String> line =
        new ArrayList<>(
            List.of(
                ProcessHandle.current().info().command().orElse("java"),
                "--add-modules",
                "jdk.incubator.vector",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                "dev.rhumb.app.Main",
                "prepare"));
    line.addAll(Arrays.asList(arguments));
    long start = System.nanoTime();
    Process process = new ProcessBuilder(line).inheritIO().start();
    Path status = Path.of("/proc", Long.toString(process.pid()), "status");
    long peak = 0;
    Duration processor = Duration.ZERO;
    while (!process.waitFor(50, TimeUnit.MILLISECONDS)) {
      peak = Math.max(peak, peakKilobytes(status));
      processor = process.info().totalCpuDuration().orElse(processor);
    }
    double seconds = (System.nanoTime() - start) * 1e-9;
    if (process.exitValue() != 0) {
      throw new IllegalStateException("prepare failed with status " + process.exitValue());
    }
    return new Run(seconds, processor.toMillis() * 1e-3, peak * 1024e-9);
  }

  private static long peakKilobytes(Path status) throws IOException {
    try {
      for (String row : Files.readAllLines(status)) {
        if (row.startsWith("VmHWM:")) {
          return Long.parseLong(row.replaceAll("[^0-9]", ""));
        }
      }
    } catch (NoSuchFileException e) {
      // It has ended since.
    }
    return 0;
  }

  private static void generate(Path file) throws IOException {
    SplittableRandom random = new SplittableRandom(SEED);
    double[] share = new double[ITEMS];
    double sum = 0;
    for (int rank = 0; rank < ITEMS; rank++) {
      sum += 1. / (rank + 1);
      share[rank] = sum;
    }
    int[] lengths = lengths(random);
    try (BufferedWriter out = Files.newBufferedWriter(file, StandardCharsets.US_ASCII)) {
      out.write("userId,movieId,rating,timestamp\n");
      for (int user = 0; user < USERS; user++) {
        int[] items = new int[lengths[user]];
        for (int i = 0; i < items.length; i++) {
          int rank = Arrays.binarySearch(share, random.nextDouble() * sum);
          items[i] = Math.min(ITEMS - 1, rank < 0 ? -rank - 1 : rank);
        }
        Arrays.sort(items);
        long start = 789_652_009L + random.nextLong(600_000_000L);
        for (int item : items) {
          // Ids with gaps, as real ones have: MovieLens 20M goes up to 131,262.
          out.append(Integer.toString(user + 1))
              .append(',')
              .append(Integer.toString(item * 5 + 1))
              .append(',')
              .append(Double.toString((1 + random.nextInt(10)) / 2.))
              .append(',')
              .append(Long.toString(start + random.nextLong(10_000_000L)))
              .append('\n');
        }
      }
    }
  }

  /** Lengths of 20 and more that sum up to the number of rows. */
  private static int[] lengths(SplittableRandom random) {
    double[] weights = new double[USERS];
    double sum = 0;
    for (int user = 0; user < USERS; user++) {
      weights[user] = Math.exp(1.3 * random.nextGaussian());
      sum += weights[user];
    }
    long left = ROWS - 20L * USERS;
    double scale = left / sum;
    int[] lengths = new int[USERS];
    for (int user = 0; user < USERS; user++) {
      int more = (int) (weights[user] * scale);
      lengths[user] = 20 + more;
      left -= more;
    }
    for (int user = 0; left > 0; user = (user + 1) % USERS, left--) {
      lengths[user]++;
    }
    return lengths;
  }
}
