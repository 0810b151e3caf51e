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

/**
 * Writes measured figures as {@code NAME.json} and {@code NAME.md}, with the machine, JVM, commit
 * and command beside them.
 */
public final class ResultTable {
  private final String name;
  private final String title;
  private final String command;
  private final String commit;
  private final List<Result> rows = new ArrayList<>();
  private final List<String> notes = new ArrayList<>();

  /**
   * An empty table.
   *
   * @param name of its files
   * @param title its heading
   * @param command that makes it
   * @param commit of the code that was measured, as {@link #commit} gives it
   */
  public ResultTable(String name, String title, String command, String commit) {
    this.name = name;
    this.title = title;
    this.command = command;
    this.commit = commit;
  }

  /** Adds a figure. */
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
    StringBuilder md = new StringBuilder("# " + title + "\n\n");
    md.append(
        "| work | shape | metric | value | reference | its value | ratio |\n|---|---|---|---|---|---|---|\n");
    for (Result r : rows) {
      Map<String, Object> o = new LinkedHashMap<>();
      o.put("work", r.work());
      o.put("shape", r.shape());
      o.put("backend", r.backend());
      o.put("threads", r.threads());
      o.put("metric", r.metric());
      o.put("value", r.value());
      o.put("unit", r.unit());
      o.put("reference", r.reference());
      o.put("reference_value", r.referenceValue());
      o.put("ratio", r.ratio());
      o.put("command", command);
      o.put("commit", commit);
      o.put("machine", machine);
      o.put("date", date);
      json.add(o);
      md.append(
          String.format(
              Locale.ROOT,
              "| %s | %s | %s | %s %s | %s | %s | %s |%n",
              r.work(),
              r.shape(),
              r.metric(),
              figure(r.value()),
              r.unit(),
              r.reference() == null ? "" : r.reference(),
              r.referenceValue() == null ? "" : figure(r.referenceValue()),
              r.ratio() == null ? "" : figure(r.ratio())));
    }
    if (!rows.isEmpty()) {
      md.append("\nBackend: ")
          .append(rows.getFirst().backend())
          .append(", threads: ")
          .append(rows.getFirst().threads());
    }
    md.append("  \nMachine: ").append(machine).append("  \nCommit: ").append(commit);
    md.append("  \nCommand: `").append(command).append("`  \nDate: ").append(date).append('\n');
    for (String note : notes) {
      md.append('\n').append(note).append('\n');
    }
    AtomicFiles.writeString(folder.resolve(name + ".json"), Json.write(json));
    AtomicFiles.writeString(folder.resolve(name + ".md"), md.toString());
  }

  private static String figure(double value) {
    return Math.abs(value) >= 100 || value == Math.rint(value)
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
