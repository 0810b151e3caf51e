package dev.rhumb.bench.speed;

import dev.rhumb.bench.ResultTable;
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
import java.util.stream.Collectors;

/**
 * What a {@link Race} measured, as a table: a line for each item, the engine's time, its share of
 * the machine's limits, the best peer's time and the ratio peer / engine. As JSON there are all
 * peers, an object for each figure.
 */
final class SpeedTable {
  private static final List<String> COLUMNS =
      List.of(
          "work",
          "shape",
          "threads",
          "median",
          "p99",
          "spread",
          "of FMA peak",
          "of bandwidth",
          "best peer",
          "its median",
          "ratio");

  private final String title;
  private final String command;
  private final Map<Group.Item, Map<Contender, Times>> measured;
  private final Map<Contender, String> descriptions;
  private final Ceilings ceilings;
  private final String commit = ResultTable.commit();
  private final String machine = ResultTable.machine();
  private final String date = LocalDate.now().toString();

  SpeedTable(
      String title,
      String command,
      Map<Group.Item, Map<Contender, Times>> measured,
      Map<Contender, String> descriptions,
      Ceilings ceilings)
      throws IOException {
    this.title = title;
    this.command = command;
    this.measured = measured;
    this.descriptions = descriptions;
    this.ceilings = ceilings;
  }

  /** The Markdown file. */
  String markdown() {
    StringBuilder md = new StringBuilder("# " + title + "\n\n");
    md.append("| ").append(String.join(" | ", COLUMNS)).append(" |\n");
    md.append("|---".repeat(COLUMNS.size())).append("|\n");
    lines().forEach(line -> md.append("| ").append(String.join(" | ", line)).append(" |\n"));
    md.append('\n').append(ratios());
    md.append("\n## Limits of the machine, by the Vector API in this run\n\n");
    md.append(ceilings.markdown());
    md.append("\n## Who ran\n\n");
    descriptions.forEach(
        (contender, description) ->
            md.append("- ")
                .append(contender.name())
                .append(": ")
                .append(description)
                .append("; ")
                .append(contender.setting())
                .append('\n'));
    md.append(
        "\nMedians over all samples of all processes; p99 over single runs; spread: how far the"
            + " processes' medians lie apart. Ratio: the peer's median / the engine's. \\* marks"
            + " times in which other processes disturbed some samples.\n");
    md.append("\nMachine: ").append(machine).append("  \nCommit: ").append(commit);
    md.append("  \nCommand: `").append(command).append("`  \nDate: ").append(date).append('\n');
    return md.toString();
  }

  /** The same table for a terminal. */
  String text() {
    List<List<String>> all = new ArrayList<>();
    all.add(COLUMNS);
    all.addAll(lines());
    int[] widths = new int[COLUMNS.size()];
    for (List<String> line : all) {
      for (int c = 0; c < widths.length; c++) {
        widths[c] = Math.max(widths[c], line.get(c).length());
      }
    }
    StringBuilder text = new StringBuilder();
    for (List<String> line : all) {
      for (int c = 0; c < widths.length; c++) {
        String cell = line.get(c);
        String gap = " ".repeat(widths[c] - cell.length() + 2);
        text.append(c < 2 ? cell + gap : gap + cell);
      }
      text.append('\n');
    }
    return text.append(ratios()).toString();
  }

  private List<List<String>> lines() {
    List<List<String>> all = new ArrayList<>();
    measured.forEach(
        (item, times) -> {
          Times own = times.get(Contender.RHUMB);
          Map.Entry<Contender, Times> peer = best(times);
          double seconds = own == null ? Double.NaN : own.median();
          all.add(
              List.of(
                  item.task().work(),
                  item.task().shape(),
                  Integer.toString(item.threads()),
                  own == null ? "-" : time(seconds) + (own.unquiet() > 0 ? "*" : ""),
                  own == null ? "-" : time(own.p99()),
                  own == null ? "-" : percent(own.spread()),
                  percent(ceilings.ofPeak(item, seconds)),
                  bandwidth(item, seconds),
                  peer == null ? "-" : peer.getKey().name(),
                  peer == null
                      ? "-"
                      : time(peer.getValue().median()) + (peer.getValue().unquiet() > 0 ? "*" : ""),
                  peer == null ? "-" : figure(peer.getValue().median() / seconds)));
        });
    return all;
  }

  private String bandwidth(Group.Item item, double seconds) {
    double share = ceilings.ofBandwidth(item, seconds);
    return Double.isNaN(share)
        ? "-"
        : percent(share) + " " + Level.of(item.task().bytes(), item.threads());
  }

  /** The geometric mean and the least of the ratios of each work. */
  private String ratios() {
    Map<String, List<Double>> byWork = new LinkedHashMap<>();
    measured.forEach(
        (item, times) -> {
          Map.Entry<Contender, Times> peer = best(times);
          if (peer != null && times.containsKey(Contender.RHUMB)) {
            byWork
                .computeIfAbsent(item.task().work(), key -> new ArrayList<>())
                .add(peer.getValue().median() / times.get(Contender.RHUMB).median());
          }
        });
    return byWork.entrySet().stream()
        .map(
            e ->
                String.format(
                    Locale.ROOT,
                    "%s against the best peer: geometric mean of the ratios %s, least %s%n",
                    e.getKey(),
                    figure(
                        Math.exp(
                            e.getValue().stream()
                                .mapToDouble(Math::log)
                                .average()
                                .orElse(Double.NaN))),
                    figure(e.getValue().stream().mapToDouble(Double::doubleValue).min().orElse(0))))
        .collect(Collectors.joining("\n"));
  }

  private static Map.Entry<Contender, Times> best(Map<Contender, Times> times) {
    return times.entrySet().stream()
        .filter(e -> e.getKey().peer())
        .min((a, b) -> Double.compare(a.getValue().median(), b.getValue().median()))
        .orElse(null);
  }

  /** Every figure of every contender. */
  List<Map<String, Object>> objects() {
    List<Map<String, Object>> all = new ArrayList<>();
    measured.forEach(
        (item, times) ->
            times.forEach(
                (contender, t) -> {
                  Map.Entry<Contender, Times> peer = contender.peer() ? null : best(times);
                  all.add(object(item, contender, "median", t.median(), "s", peer));
                  all.add(object(item, contender, "p99", t.p99(), "s", null));
                  all.add(object(item, contender, "spread", t.spread(), "", null));
                  all.add(
                      object(
                          item,
                          contender,
                          "share of FMA peak",
                          ceilings.ofPeak(item, t.median()),
                          "",
                          null));
                  all.add(
                      object(
                          item,
                          contender,
                          "share of bandwidth",
                          ceilings.ofBandwidth(item, t.median()),
                          "",
                          null));
                }));
    all.removeIf(object -> object.get("value") == null);
    return all;
  }

  private Map<String, Object> object(
      Group.Item item,
      Contender contender,
      String metric,
      double value,
      String unit,
      Map.Entry<Contender, Times> peer) {
    Map<String, Object> o = new LinkedHashMap<>();
    o.put("work", item.task().work());
    o.put("shape", item.task().shape());
    o.put("backend", contender.name() + ": " + descriptions.get(contender));
    o.put("threads", item.threads());
    o.put("metric", metric);
    o.put("value", Double.isFinite(value) ? value : null);
    o.put("unit", unit);
    o.put("reference", peer == null ? null : peer.getKey().name());
    o.put("reference_value", peer == null ? null : peer.getValue().median());
    o.put("ratio", peer == null ? null : peer.getValue().median() / value);
    o.put("command", command);
    o.put("commit", commit);
    o.put("machine", machine);
    o.put("date", date);
    return o;
  }

  /** Writes {@code NAME.md} and {@code NAME.json}. */
  void write(Path folder, String name) throws IOException {
    Files.createDirectories(folder);
    AtomicFiles.writeString(folder.resolve(name + ".json"), Json.write(objects()));
    AtomicFiles.writeString(folder.resolve(name + ".md"), markdown());
  }

  private static String time(double seconds) {
    double micros = seconds * 1e6;
    return micros < 1e4 ? figure(micros) + " us" : figure(micros / 1000) + " ms";
  }

  private static String percent(double share) {
    return Double.isNaN(share) ? "-" : String.format(Locale.ROOT, "%.0f %%", 100 * share);
  }

  private static String figure(double value) {
    return String.format(
        Locale.ROOT, value >= 1000 ? "%.0f" : value >= 100 ? "%.1f" : "%.3g", value);
  }
}
