package dev.rhumb.bench;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;

/**
 * Writes measured figures as {@code NAME.json}, an object for each, and {@code NAME.md}, a line for
 * each piece of work and a column for each metric, with the machine, JVM, commit and command.
 */
public final class ResultTable {
  private final String name;
  private final String title;
  private final String command;
  private final List<Result> rows = new ArrayList<>();
  private final List<String> notes = new ArrayList<>();

  /**
   * An empty table.
   *
   * @param name of its files
   * @param title its heading
   * @param command that makes it
   */
  public ResultTable(String name, String title, String command) {
    this.name = name;
    this.title = title;
    this.command = command;
  }

  /** Adds a figure. Figures of the same work and shape make one line. */
  public void add(Result row) {
    rows.add(row);
  }

  /** Adds a paragraph below the table. */
  public void note(String text) {
    notes.add(text);
  }

  /** Writes both files into a folder; earlier ones are replaced. */
  public void write(Path folder) throws IOException {
    Files.createDirectories(folder);
    String machine = machine();
    String date = LocalDate.now().toString();
    List<Object> json = new ArrayList<>();
    for (Result r : rows) {
      Map<String, Object> o = new LinkedHashMap<>();
      o.put("work", r.work());
      o.put("shape", r.shape());
      o.put("backend", r.backend());
      o.put("threads", r.threads());
      o.put("metric", r.metric());
      o.put("value", Double.isFinite(r.value()) ? r.value() : null);
      o.put("low", r.low());
      o.put("high", r.high());
      o.put("unit", r.unit());
      o.put("reference", r.reference());
      o.put("reference_value", r.referenceValue());
      o.put("ratio", r.ratio());
      o.put("command", command);
      o.put("commit", r.commit());
      o.put("machine", machine);
      o.put("date", date);
      json.add(o);
    }
    StringBuilder md = new StringBuilder("# " + title + "\n");
    lines(md);
    md.append("\nBackend: ").append(distinct(r -> r.backend() + ", threads: " + r.threads()));
    md.append("  \nMachine: ").append(machine);
    md.append("  \nCommit: ").append(distinct(Result::commit));
    md.append("  \nCommand: `").append(command).append("`  \nDate: ").append(date).append('\n');
    for (String note : notes) {
      md.append('\n').append(note).append('\n');
    }
    AtomicFiles.writeString(folder.resolve(name + ".json"), Json.write(json));
    AtomicFiles.writeString(folder.resolve(name + ".md"), md.toString());
  }

  /** A table for each run of lines with the same columns. */
  private void lines(StringBuilder md) {
    Map<String, Map<String, Result>> lines = new LinkedHashMap<>();
    for (Result r : rows) {
      lines
          .computeIfAbsent(r.work() + " | " + r.shape(), key -> new LinkedHashMap<>())
          .put(r.unit().isEmpty() ? r.metric() : r.metric() + ", " + r.unit(), r);
    }
    List<String> columns = List.of();
    for (Map.Entry<String, Map<String, Result>> line : lines.entrySet()) {
      Map<String, Result> cells = line.getValue();
      if (!columns.equals(List.copyOf(cells.keySet()))) {
        columns = List.copyOf(cells.keySet());
        md.append("\n| work | shape | ")
            .append(String.join(" | ", columns))
            .append(" |\n|---|---|");
        md.append("---|".repeat(columns.size())).append('\n');
      }
      md.append("| ").append(line.getKey()).append(" |");
      cells.values().forEach(r -> md.append(' ').append(cell(r)).append(" |"));
      md.append('\n');
      cells.values().stream()
          .map(Result::reference)
          .filter(Objects::nonNull)
          .distinct()
          .forEach(
              reference -> {
                md.append("| *").append(reference).append("* | |");
                for (Result r : cells.values()) {
                  boolean given = reference.equals(r.reference());
                  md.append(given ? " *" + figure(r.referenceValue()) + "* |" : " |");
                }
                md.append('\n');
              });
    }
  }

  private static String cell(Result r) {
    return r.low() == null
        ? figure(r.value())
        : figure(r.value()) + " (" + figure(r.low()) + " to " + figure(r.high()) + ")";
  }

  private String distinct(java.util.function.Function<Result, String> of) {
    return rows.stream().map(of).distinct().collect(Collectors.joining("; "));
  }

  private static String figure(double value) {
    if (!Double.isFinite(value)) {
      return "-";
    }
    return Math.abs(value) >= 1000 || value == Math.rint(value)
        ? String.format(Locale.ROOT, "%.0f", value)
        : String.format(Locale.ROOT, "%.4g", value);
  }

  /** Processor, cores and JVM. */
  static String machine() throws IOException {
    String processor = System.getProperty("os.arch");
    Path cpu = Path.of("/proc/cpuinfo");
    if (Files.isReadable(cpu)) {
      for (String line : Files.readAllLines(cpu)) {
        if (line.startsWith("model name")) {
          processor = line.substring(line.indexOf(':') + 1).strip();
          break;
        }
      }
    }
    return processor
        + ", "
        + Runtime.getRuntime().availableProcessors()
        + " cores; "
        + System.getProperty("java.vm.vendor")
        + " "
        + Runtime.version();
  }

  /** The commit of the working tree, with a mark when files differ from it. */
  public static String commit() throws IOException {
    String head = git("rev-parse", "--short=12", "HEAD");
    return git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
            .isEmpty()
        ? head
        : head + " (changed)";
  }

  private static String git(String... arguments) throws IOException {
    List<String> line = new ArrayList<>(List.of("git"));
    line.addAll(List.of(arguments));
    Process process =
        new ProcessBuilder(line).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    return new String(
            process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8)
        .strip();
  }
}
