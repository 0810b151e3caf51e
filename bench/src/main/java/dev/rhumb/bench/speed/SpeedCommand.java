package dev.rhumb.bench.speed;

import dev.rhumb.checkpoint.Json;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code rhumb bench}: the speed tables. */
@Command(
    name = "rhumb bench",
    description = {
      "Measures the engine, beside its peers and the machine's limits.",
      "`rhumb bench jmh ...` hands all that follows to JMH; `rhumb bench STUDY RUNS RESULTS` runs"
          + " a study."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
public final class SpeedCommand implements Callable<Integer> {
  @Parameters(
      paramLabel = "TABLE",
      arity = "0..*",
      description = "kernel, train, sae or request; all of them where none is named")
  private List<Group> groups = new ArrayList<>();

  @Option(
      names = "--peers",
      description = "beside libtorch, DJL, ONNX Runtime, OpenBLAS and MKL, where they do such work")
  private boolean peers;

  @Option(
      names = "--only",
      paramLabel = "TEXT",
      description = "only work whose name and shape hold this text, such as 'GEMM linear'")
  private String only = "";

  @Option(names = "--forks", description = "fresh processes (default: ${DEFAULT-VALUE})")
  private int forks = 3;

  @Option(
      names = "--samples",
      description = "samples of each item in each process (default: ${DEFAULT-VALUE})")
  private int samples = 5;

  @Option(
      names = "--window",
      paramLabel = "SECONDS",
      description = "of a sample at least (default: ${DEFAULT-VALUE})")
  private double window = 0.05;

  @Option(
      names = "--warm",
      paramLabel = "SECONDS",
      description =
          "before the first sample at least; then until nothing is compiled and no run is faster than before"
              + " (default: ${DEFAULT-VALUE})")
  private double warm = 0.3;

  @Option(
      names = "--patience",
      paramLabel = "SECONDS",
      description =
          "how long samples that other processes disturbed are taken again (default:"
              + " ${DEFAULT-VALUE})")
  private double patience = 3;

  @Option(
      names = "--disturbance",
      paramLabel = "SHARE",
      description =
          "of a core that other processes may use in a sample (default: ${DEFAULT-VALUE})")
  private double disturbance = 0.06;

  @Option(
      names = "--quick",
      description = "tiny sizes, one process and sample: whether all of it works; writes no table")
  private boolean quick;

  @Option(
      names = "--results",
      paramLabel = "FOLDER",
      description = "where tables are written (default: bench/results of this checkout)")
  private Path results;

  @Option(names = "--json", description = "print one JSON object, and nothing else")
  private boolean json;

  private long told = System.nanoTime();

  private SpeedCommand() {}

  /**
   * Runs it.
   *
   * @return 0 good, 1 the work failed, 2 wrong usage
   */
  public static int run(String... args) {
    return new CommandLine(new SpeedCommand())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setExecutionExceptionHandler(
            (e, line, parsed) -> {
              System.err.println("rhumb bench: " + e.getMessage());
              return 1;
            })
        .execute(args);
  }

  @Override
  public Integer call() throws IOException {
    Race.Setting setting =
        quick
            ? new Race.Setting(Group.Scale.TINY, 1, 1, 0, 0, 0, 1)
            : new Race.Setting(
                Group.Scale.FULL, forks, samples, window, warm, patience, disturbance);
    List<Group> chosen = new ArrayList<>(groups.isEmpty() ? List.of(Group.values()) : groups);
    chosen.removeIf(
        group -> group.items(setting.scale()).stream().noneMatch(item -> isChosen(item.task())));
    if (chosen.isEmpty()) {
      System.err.println(
          "rhumb bench: no work holds '" + only + "'; a table without --only lists all names");
      return 2;
    }
    Path log = Files.createTempFile("rhumb-bench", ".log");
    Race race = new Race(setting, place(log), this::progress);
    List<Contender> contenders = new ArrayList<>(List.of(Contender.RHUMB));
    if (peers) {
      contenders.addAll(Contender.PEER_LIST);
    }
    Map<String, Object> printed = new java.util.LinkedHashMap<>();
    try {
      Ceilings ceilings =
          new Ceilings(
              race.run(
                  "limits",
                  Group.limits(setting.scale()),
                  task -> true,
                  List.of(Contender.LIMITS)));
      for (Group group : chosen) {
        String name = "speed-" + group.label();
        SpeedTable table =
            new SpeedTable(
                "Speed: " + group.label(),
                "rhumb bench " + group.label() + (peers ? " --peers" : "") + effort(),
                race.run(group.name(), group.items(setting.scale()), this::isChosen, contenders),
                race.descriptions(),
                ceilings);
        progress("");
        if (json) {
          printed.put(name, table.objects());
        } else {
          System.out.println(table.text());
        }
        if (!quick || results != null) {
          table.write(results == null ? checkout().resolve("bench/results") : results, name);
        }
      }
    } catch (IOException e) {
      progress("");
      throw new IOException(e.getMessage() + " (what the processes printed: " + log + ")", e);
    }
    Files.delete(log);
    if (json) {
      System.out.println(Json.write(printed));
    }
    return 0;
  }

  private boolean isChosen(Task task) {
    String name = task.work() + " " + task.shape();
    return name.toLowerCase(Locale.ROOT).contains(only.toLowerCase(Locale.ROOT));
  }

  private String effort() {
    return String.format(
        Locale.ROOT,
        "%s --forks %d --samples %d --window %s --warm %s --patience %s --disturbance %s",
        only.isEmpty() ? "" : " --only '" + only + "'",
        forks,
        samples,
        window,
        warm,
        patience,
        disturbance);
  }

  /** Where workers find their classes: beside this jar, the peers' in the folder of their build. */
  private WorkerProcess.Place place(Path log) throws IOException {
    String classPath = System.getProperty("java.class.path");
    if (!peers) {
      return new WorkerProcess.Place(classPath, Path.of(""), log);
    }
    Path built = checkout().resolve("bench/peers/target");
    if (!Files.isDirectory(built.resolve("native"))) {
      throw new IOException(
          "the peers are not built in "
              + built
              + "; ./rhumb bench --peers builds them, as does mvn -Ppeers package");
    }
    return new WorkerProcess.Place(
        String.join(
            java.io.File.pathSeparator,
            classPath,
            built.resolve("classes").toString(),
            built.resolve("lib") + "/*"),
        built.resolve("native"),
        log);
  }

  /** The checkout in whose {@code bench/target} this jar, or folder of classes, lies. */
  private static Path checkout() {
    try {
      Path own =
          Path.of(SpeedCommand.class.getProtectionDomain().getCodeSource().getLocation().toURI());
      return own.getParent().getParent().getParent();
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** One line that changes in a terminal; a line a minute where there is none. */
  private void progress(String text) {
    if (json) {
      return;
    }
    if (System.console() != null && System.console().isTerminal()) {
      System.err.print("\r\033[K" + text);
    } else if (!text.isEmpty() && System.nanoTime() - told > 60_000_000_000L) {
      told = System.nanoTime();
      System.err.println(text);
    }
  }
}
