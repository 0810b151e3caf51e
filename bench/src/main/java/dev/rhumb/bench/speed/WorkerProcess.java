package dev.rhumb.bench.speed;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The runner's end of a {@link Worker}. One thread at a time. */
final class WorkerProcess implements AutoCloseable {
  private final Contender contender;
  private final Process process;
  private final Writer in;
  private final BufferedReader out;
  private final String description;

  /** Where the class path and the native libraries of a worker lie. */
  record Place(String classPath, Path natives, Path log) {}

  /**
   * Starts a worker.
   *
   * @param items which list it works on: a {@link Group}'s name or {@code limits}
   */
  WorkerProcess(Contender contender, Place place, String items, Group.Scale scale)
      throws IOException {
    this.contender = contender;
    List<String> line = new ArrayList<>();
    line.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    line.add("--add-modules=jdk.incubator.vector");
    line.add("--enable-native-access=ALL-UNNAMED");
    // Settings of the engine reach the process that is measured.
    System.getProperties()
        .forEach(
            (name, value) -> {
              if (name.toString().startsWith("rhumb.")) {
                line.add("-D" + name + "=" + value);
              }
            });
    for (String flag : contender.flags()) {
      line.add(filled(flag, place));
    }
    line.addAll(
        List.of(
            "-cp",
            place.classPath(),
            Worker.class.getName(),
            contender.library(),
            items,
            scale.name()));
    ProcessBuilder builder =
        new ProcessBuilder(line)
            .redirectError(ProcessBuilder.Redirect.appendTo(place.log().toFile()));
    contender
        .environment()
        .forEach((name, value) -> builder.environment().put(name, filled(value, place)));
    process = builder.start();
    in = process.outputWriter(StandardCharsets.UTF_8);
    out =
        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    try {
      description = read();
    } catch (IOException | RuntimeException e) {
      process.destroyForcibly();
      throw e;
    }
  }

  private static String filled(String text, Place place) {
    return text.replace(Contender.NATIVE, place.natives().toString());
  }

  Contender contender() {
    return contender;
  }

  /** What runs in it. */
  String description() {
    return description;
  }

  long pid() {
    return process.pid();
  }

  /** Prepares an item of the list; false where the library does no such work. */
  boolean open(int item, double warmSeconds) throws IOException {
    return !ask("open " + item + " " + warmSeconds).equals("none");
  }

  /** Times of runs, in nanoseconds, ascending: at most {@link Worker#QUANTILES} of them. */
  double[] sample(double seconds) throws IOException {
    String[] words = ask("sample " + seconds).split(" ");
    return Arrays.stream(words).skip(1).mapToDouble(Double::parseDouble).toArray();
  }

  /** Frees what was opened, its answer looked at once more. */
  void closeItem() throws IOException {
    ask("close");
  }

  private String ask(String line) throws IOException {
    in.write(line + "\n");
    in.flush();
    String answer = read();
    if (answer.startsWith("failed ")) {
      throw new IOException(contender.name() + ": " + answer.substring("failed ".length()));
    }
    return answer;
  }

  private String read() throws IOException {
    for (String line = out.readLine(); line != null; line = out.readLine()) {
      if (line.startsWith(Worker.MARK)) {
        return line.substring(Worker.MARK.length());
      }
    }
    throw new IOException("the process of " + contender.name() + " ended; its log says why");
  }

  @Override
  public void close() throws IOException {
    try {
      in.close();
      if (!process.waitFor(10, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }
}
