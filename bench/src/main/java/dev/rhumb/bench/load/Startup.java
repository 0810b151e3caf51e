package dev.rhumb.bench.load;

import dev.rhumb.bench.Figures;
import dev.rhumb.bench.ResultTable;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/**
 * From nothing to the first answer, and the memory of a process that serves: the runtime images of
 * {@code engine/image.sh} and a JDK, by how java finds its classes.
 *
 * <p>The images are taken from {@code RUNS/startup/vector} and {@code RUNS/startup/no-vector}.
 */
public final class Startup {
  private static final int STARTS = 11;
  private static final int ANSWERS = 1000;
  private static final int FIRST_HISTORY = 20;
  private static final String MAIN = "dev.rhumb.serve.Main";

  private final Path runs;
  private final Path model;
  private final ResultTable table;

  private Startup(Path runs, Path model, ResultTable table) {
    this.runs = runs;
    this.model = model;
    this.table = table;
  }

  /**
   * Runs it.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    Path runs = Path.of(args[0], "startup").toAbsolutePath();
    ResultTable table =
        new ResultTable(
            Path.of(args[1]), "startup", "Start to first answer, and memory", "bench/startup.sh");
    table.note(
        "First answer: from the start of the process to the end of its first line, a list of 10 for "
            + FIRST_HISTORY
            + " items; median of "
            + STARTS
            + " starts, files in the page cache. Processor: time of all threads of the process up to there. Memory: the"
            + " resident set (VmRSS) then, after "
            + ANSWERS
            + " more answers for histories of up to T items, and its peak (VmHWM). Heap up to 64 MB, serial collector, one"
            + " session. Size: of the folder that is shipped, archive included.");
    table.note(
        "Archive of classes: -Xshare:dump of a list of classes, as engine/image.sh makes it. AOT cache: -XX:AOTCacheOutput of"
            + " one such run. Where an incubator module is resolved JDK 25 cannot archive the boot layer, so that the"
            + " cache holds neither linked classes nor those of lambdas. Written at exit:"
            + " -XX:+AutoCreateSharedArchive, on top of the JDK's own archive.");
    Path model = GeneratedModel.make(runs.resolve("model"));
    new Startup(runs, model, table).study();
    table.write();
  }

  private void study() throws Exception {
    image("image, Vector API", runs.resolve("vector"), true);
    image("image, plain loops", runs.resolve("no-vector"), false);
    String jars = jars(runs.resolve("vector"));
    List<String> java = java(Path.of(System.getProperty("java.home")), true);
    part("JDK, its own archive", Backend.SIMD, null, java, List.of("-cp", jars));
    part(
        "JDK, archive written at exit",
        Backend.SIMD,
        null,
        java,
        List.of(
            "-XX:+AutoCreateSharedArchive",
            "-XX:SharedArchiveFile=" + fresh("jdk.jsa"),
            "-cp",
            jars));
  }

  private void image(String name, Path image, boolean vector) throws Exception {
    String jars = jars(image);
    Backend backend = vector ? Backend.SIMD : Backend.SCALAR;
    List<String> java = java(image, vector);
    part(
        name + ", archive of classes",
        backend,
        image,
        java,
        List.of("-XX:SharedArchiveFile=" + image.resolve("lib/rhumb/classes.jsa"), "-cp", jars));
    part(name + ", no archive", backend, image, java, List.of("-Xshare:off", "-cp", jars));
    Path cache = fresh(image.getFileName() + ".aot");
    List<String> training = new ArrayList<>(java);
    training.addAll(List.of("-XX:AOTCacheOutput=" + cache, "-cp", jars));
    start(training, ANSWERS);
    part(name + ", AOT cache", backend, image, java, List.of("-XX:AOTCache=" + cache, "-cp", jars));
  }

  private static String jars(Path image) {
    List<String> jars = new ArrayList<>();
    for (String jar : List.of("bindings", "kernels", "engine")) {
      Path file = image.resolve("lib/rhumb").resolve(jar + ".jar");
      if (!Files.exists(file)) {
        throw new IllegalArgumentException(file + " is missing; bench/startup.sh makes the images");
      }
      jars.add(file.toString());
    }
    return String.join(":", jars);
  }

  private Path fresh(String name) throws IOException {
    Path file = runs.resolve(name);
    Files.deleteIfExists(file);
    return file;
  }

  private static List<String> java(Path home, boolean vector) {
    List<String> command =
        new ArrayList<>(
            List.of(
                home.resolve("bin/java").toString(),
                "-Xmx64m",
                "-XX:+UseSerialGC",
                "-Xlog:disable",
                "--enable-native-access=ALL-UNNAMED"));
    if (vector) {
      command.add("--add-modules=jdk.incubator.vector");
    }
    return command;
  }

  private void part(
      String name, Backend backend, Path image, List<String> java, List<String> options)
      throws Exception {
    List<String> command = new ArrayList<>(java);
    command.addAll(options);
    try (Kernels kernels = Kernels.open(backend, 1)) {
      table.part(
          name,
          GeneratedModel.SHAPE,
          kernels,
          Figures.Reference.NONE,
          figures -> measure(image, command, figures));
    }
  }

  private void measure(Path image, List<String> command, Figures figures) throws Exception {
    start(command, ANSWERS); // Brings files into the page cache, and lets java write its archive.
    double[] first = new double[STARTS];
    double[] processor = new double[STARTS];
    Started last = null;
    for (int i = 0; i < STARTS; i++) {
      last = start(command, i < STARTS - 1 ? 0 : ANSWERS);
      first[i] = last.firstMillis;
      processor[i] = last.processorMillis;
    }
    figures.add("first answer", median(first), "ms");
    figures.add("slowest", Arrays.stream(first).max().orElseThrow(), "ms");
    figures.add("processor", median(processor), "ms");
    figures.add("memory", last.firstMegabytes, "MB");
    figures.add("after " + ANSWERS, last.megabytes, "MB");
    figures.add("peak", last.peakMegabytes, "MB");
    figures.add("size", image == null ? Double.NaN : megabytes(image), "MB");
  }

  private static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  private record Started(
      double firstMillis,
      double processorMillis,
      double firstMegabytes,
      double megabytes,
      double peakMegabytes) {}

  /** Starts a process, asks it once and so often again, and ends it. */
  private Started start(List<String> java, int answers) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(java);
    command.addAll(List.of(MAIN, model.toString()));
    SplittableRandom random = new SplittableRandom(1);
    String history = history(random, FIRST_HISTORY);
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectError(runs.resolve("errors").toFile());
    builder.environment().remove("JDK_JAVA_OPTIONS");
    builder.environment().remove("JAVA_TOOL_OPTIONS");
    long begun = System.nanoTime();
    Process process = builder.start();
    try (Writer in = process.outputWriter(StandardCharsets.UTF_8);
        BufferedReader out =
            new BufferedReader(
                new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      ask(in, out, history);
      double firstMillis = (System.nanoTime() - begun) * 1e-6;
      double processorMillis = process.info().totalCpuDuration().orElseThrow().toNanos() * 1e-6;
      double firstMegabytes = status(process, "VmRSS");
      for (int i = 0; i < answers; i++) {
        ask(in, out, history(random, 1 + random.nextInt(GeneratedModel.LENGTH)));
      }
      return new Started(
          firstMillis,
          processorMillis,
          firstMegabytes,
          status(process, "VmRSS"),
          status(process, "VmHWM"));
    } finally {
      process.waitFor();
    }
  }

  private void ask(Writer in, BufferedReader out, String history) throws IOException {
    in.write(history);
    in.flush();
    String answer = out.readLine();
    if (answer == null || answer.split("\t").length != 10) {
      throw new IllegalStateException(
          "no list of 10 but '" + answer + "': " + Files.readString(runs.resolve("errors")));
    }
  }

  private static String history(SplittableRandom random, int items) {
    StringBuilder line = new StringBuilder();
    for (int i = 0; i < items; i++) {
      line.append(1 + random.nextInt(GeneratedModel.ITEMS)).append(' ');
    }
    return line.append('\n').toString();
  }

  private static double status(Process process, String key) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/" + process.pid() + "/status"))) {
      if (line.startsWith(key + ":")) {
        return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024e-6;
      }
    }
    throw new IllegalStateException("no " + key + " of process " + process.pid());
  }

  private static double megabytes(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      return files
              .filter(Files::isRegularFile)
              .mapToLong(
                  file -> {
                    try {
                      return Files.size(file);
                    } catch (IOException e) {
                      throw new java.io.UncheckedIOException(e);
                    }
                  })
              .sum()
          * 1e-6;
    }
  }
}
