package dev.rhumb.bench;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * A table of measured figures: {@code NAME.json}, an object for each, and {@code NAME.md}, a line
 * for each part of the work and a column for each metric, with the machine, JVM, commit and
 * command.
 *
 * <p>The files are the study's memory. Both are written after each part, and a part whose figures
 * they hold is not measured again; to have it again, take its objects out of the JSON.
 */
public final class ResultTable {
  private static final String MEAN = "mean of ";

  private final Path folder;
  private final String name;
  private final String title;
  private final String command;
  // In the order in which the study asked for them.
  private final List<Result> rows = new ArrayList<>();
  private final Map<String, List<Result>> earlier = new LinkedHashMap<>();
  private final List<String> notes = new ArrayList<>();

  /** A part of a study. */
  @FunctionalInterface
  public interface Part {
    /** Measures. */
    void measure(Figures into) throws Exception;
  }

  /**
   * A table, with what its files hold already.
   *
   * @param folder of its files
   * @param name of its files
   * @param title its heading
   * @param command that makes it
   */
  public ResultTable(Path folder, String name, String title, String command) throws IOException {
    this.folder = folder;
    this.name = name;
    this.title = title;
    this.command = command;
    Path file = folder.resolve(name + ".json");
    if (Files.exists(file)) {
      for (Object row : (List<?>) Json.read(file)) {
        Result result = parse(JsonObject.of(row, file.toString()));
        earlier.computeIfAbsent(line(result), key -> new ArrayList<>()).add(result);
      }
    }
  }

  /** Adds a paragraph below the table. */
  public void note(String text) {
    notes.add(text);
  }

  /**
   * Takes a part's figures from the files, or measures them and writes the files.
   *
   * @param work what is done; parts of the same work stand together
   * @param shape its sizes
   */
  public void part(
      String work, String shape, Kernels kernels, Figures.Reference reference, Part part)
      throws Exception {
    List<Result> known = earlier.remove(work + " | " + shape);
    if (known == null) {
      Figures figures = new Figures(work, shape, kernels, reference);
      part.measure(figures);
      known = figures.results();
      rows.addAll(known);
      write();
      System.out.println(name + ": " + work + ", " + shape);
    } else {
      rows.addAll(known);
    }
  }

  /** Writes both files; parts that the study has not asked for yet stay, at the end. */
  public void write() throws IOException {
    Files.createDirectories(folder);
    Map<String, List<Result>> byWork = new LinkedHashMap<>();
    rows.forEach(r -> byWork.computeIfAbsent(r.work(), key -> new ArrayList<>()).add(r));
    earlier
        .values()
        .forEach(
            part ->
                part.forEach(
                    r -> byWork.computeIfAbsent(r.work(), key -> new ArrayList<>()).add(r)));
    List<Result> all = byWork.values().stream().flatMap(List::stream).toList();
    StringBuilder md = new StringBuilder("# " + title + "\n");
    lines(md, all);
    md.append("\nBackend: ").append(distinct(all, r -> r.backend() + ", threads: " + r.threads()));
    md.append("  \nMachine: ").append(distinct(all, Result::machine));
    md.append("  \nCommit: ").append(distinct(all, Result::commit));
    md.append("  \nCommand: `").append(command).append("`  \nDate: ");
    md.append(distinct(all, Result::date)).append('\n');
    for (String note : notes) {
      md.append('\n').append(note).append('\n');
    }
    AtomicFiles.writeString(
        folder.resolve(name + ".json"), Json.write(all.stream().map(this::json).toList()));
    AtomicFiles.writeString(folder.resolve(name + ".md"), md.toString());
  }

  private Map<String, Object> json(Result r) {
    Map<String, Object> o = new LinkedHashMap<>();
    o.put("work", r.work());
    o.put("shape", r.shape());
    o.put("backend", r.backend());
    o.put("threads", r.threads());
    o.put("metric", r.metric());
    o.put("value", finite(r.value()));
    o.put("low", r.low() == null ? null : finite(r.low()));
    o.put("high", r.high() == null ? null : finite(r.high()));
    o.put("unit", r.unit());
    o.put("reference", r.reference());
    o.put("reference_value", r.referenceValue());
    o.put("ratio", r.ratio());
    o.put("command", command);
    o.put("commit", r.commit());
    o.put("machine", r.machine());
    o.put("date", r.date());
    return o;
  }

  private static Result parse(JsonObject o) {
    return new Result(
        o.string("work"),
        o.string("shape"),
        o.string("backend"),
        o.integer("threads", 1, 1 << 16),
        o.string("metric"),
        o.value("value") == null ? Double.NaN : o.number("value"),
        number(o, "low"),
        number(o, "high"),
        o.string("unit"),
        o.value("reference") == null ? null : o.string("reference"),
        number(o, "reference_value"),
        o.string("commit"),
        o.string("machine"),
        o.string("date"));
  }

  private static Double number(JsonObject o, String key) {
    return o.value(key) == null ? null : Double.valueOf(o.number(key));
  }

  private static Double finite(double value) {
    return Double.isFinite(value) ? value : null;
  }

  private static String line(Result r) {
    return r.work() + " | " + r.shape();
  }

  /**
   * A table for all lines with the same columns; a reference below the last line held against it.
   */
  private static void lines(StringBuilder md, List<Result> all) {
    Map<String, Map<String, Result>> lines = new LinkedHashMap<>();
    for (Result r : all) {
      lines
          .computeIfAbsent(line(r), key -> new LinkedHashMap<>())
          .put(r.unit().isEmpty() ? r.metric() : r.metric() + ", " + r.unit(), r);
    }
    Map<List<String>, List<String>> tables = new LinkedHashMap<>();
    lines.forEach(
        (line, cells) ->
            tables
                .computeIfAbsent(List.copyOf(cells.keySet()), key -> new ArrayList<>())
                .add(line));
    tables.forEach(
        (columns, members) -> {
          md.append("\n| work | shape | ").append(String.join(" | ", columns)).append(" |\n");
          md.append("|---".repeat(columns.size() + 2)).append("|\n");
          for (int i = 0; i < members.size(); i++) {
            Map<String, Result> cells = lines.get(members.get(i));
            md.append("| ").append(members.get(i)).append(" |");
            cells.values().forEach(r -> md.append(' ').append(cell(r)).append(" |"));
            md.append('\n');
            String reference = reference(cells);
            if (i + 1 == members.size()
                || !reference.equals(reference(lines.get(members.get(i + 1))))) {
              md.append(reference);
            }
          }
        });
  }

  /** The line of what a line is held against; empty where it is nothing. */
  private static String reference(Map<String, Result> cells) {
    return cells.values().stream()
        .map(Result::reference)
        .filter(Objects::nonNull)
        .findFirst()
        .map(
            name ->
                cells.values().stream()
                    .map(
                        r ->
                            r.reference() == null
                                ? " |"
                                : " *" + figure(r.referenceValue()) + "* |")
                    .collect(Collectors.joining("", "| *" + name + "* | |", "\n")))
        .orElse("");
  }

  private static String cell(Result r) {
    return r.low() == null
        ? figure(r.value())
        : figure(r.value()) + " (" + figure(r.low()) + " to " + figure(r.high()) + ")";
  }

  private static String distinct(List<Result> all, Function<Result, String> of) {
    return all.stream().map(of).distinct().collect(Collectors.joining("; "));
  }

  private static String figure(double value) {
    if (!Double.isFinite(value)) {
      return "-";
    }
    return Math.abs(value) >= 1000 || value == Math.rint(value)
        ? String.format(Locale.ROOT, "%.0f", value)
        : String.format(Locale.ROOT, "%.4g", value);
  }

  /**
   * Adds a line of means over the parts of a work, such as its seeds, each with the lowest and the
   * highest; no line while there is one part only. Called again, the line is made anew.
   */
  public void means(String work) {
    rows.removeIf(r -> r.work().equals(work) && r.shape().startsWith(MEAN));
    earlier.keySet().removeIf(line -> line.startsWith(work + " | " + MEAN));
    Map<String, List<Result>> byMetric = new LinkedHashMap<>();
    for (Result r : rows) {
      if (r.work().equals(work)) {
        byMetric.computeIfAbsent(r.metric(), key -> new ArrayList<>()).add(r);
      }
    }
    for (List<Result> parts : byMetric.values()) {
      if (parts.size() > 1) {
        Result last = parts.getLast();
        var values = parts.stream().mapToDouble(Result::value).summaryStatistics();
        rows.add(
            new Result(
                work,
                MEAN + parts.size(),
                last.backend(),
                last.threads(),
                last.metric(),
                values.getAverage(),
                values.getMin(),
                values.getMax(),
                last.unit(),
                last.reference(),
                last.referenceValue(),
                last.commit(),
                last.machine(),
                last.date()));
      }
    }
  }

  /** Processor, cores and JVM. */
  public static String machine() throws IOException {
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
    return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
  }
}
