package dev.rhumb.eval;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.Attributes;
import dev.rhumb.data.Dataset;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.Writer;
import java.nio.channels.Channels;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * What each case scored: the input of every test of significance, here and in other tools.
 *
 * <p>The file is a table in UTF-8 whose fields are parted by tabs. Its first line is {@code #} and
 * a JSON object that says where it comes from: {@code format, dataset, fingerprint, split, ranker,
 * cases}. Then come a line of names and one line for each case: {@code user} and {@code targets}
 * (external ids; several targets are parted by a space), {@code rank} of the first hit (empty where
 * the list has none), and a column for each metric, such as {@code ndcg@10} (empty where it is not
 * defined). In an id a backslash, tab, newline, carriage return and space are written {@code \\ \t
 * \n \r \s}.
 *
 * <p>Unchangeable, so any thread may read.
 */
public final class CaseScores {
  /** Longest line that is read, in characters. */
  static final int MOST_IN_LINE = 1 << 20;

  private static final String FORMAT = "rhumb cases 1";
  private static final List<String> FIRST_COLUMNS = List.of("user", "targets", "rank");
  private static final String ESCAPED = "\\\t\n\r ";
  private static final String ESCAPES = "\\tnrs";

  /**
   * Where scores come from.
   *
   * @param dataset name of the dataset
   * @param fingerprint of the dataset
   * @param split name of the split
   * @param ranker what was judged, such as a model's folder
   */
  public record Source(String dataset, String fingerprint, String split, String ranker) {}

  private final Source source;
  private final List<String> users;
  private final List<String> targets;
  private final int[] ranks;
  private final Map<String, double[]> columns;

  private CaseScores(
      Source source,
      List<String> users,
      List<String> targets,
      int[] ranks,
      Map<String, double[]> columns) {
    this.source = source;
    this.users = List.copyOf(users);
    this.targets = List.copyOf(targets);
    this.ranks = ranks;
    this.columns = columns;
  }

  /**
   * The scores of a report.
   *
   * @param split name of the split that the cases are of
   * @param ranker what was judged, in words
   * @param metrics all {@link Metric#ofCase of a case}
   * @param ks lengths of lists; the columns are every metric at the first, then at the second, ...
   */
  public static CaseScores of(
      RankingReport report, String split, String ranker, List<Metric> metrics, int... ks) {
    Dataset dataset = report.histories().dataset();
    Map<String, double[]> columns = new LinkedHashMap<>();
    for (int k : ks) {
      for (Metric metric : metrics) {
        columns.put(metric.at(k), report.values(metric, k));
      }
    }
    return new CaseScores(
        new Source(dataset.name(), dataset.fingerprint(), split, ranker),
        IntStream.range(0, report.cases())
            .mapToObj(i -> dataset.userId(report.histories().user(i)))
            .toList(),
        IntStream.range(0, report.cases())
            .mapToObj(
                i ->
                    Arrays.stream(report.relevant(i))
                        .mapToObj(item -> escape(dataset.itemId(item)))
                        .collect(Collectors.joining(" ")))
            .toList(),
        IntStream.range(0, report.cases()).map(report::rank).toArray(),
        columns);
  }

  /**
   * The mean of several runs of one model on the same cases, such as one for each seed: its
   * intervals and tests tell how users differ when the run is averaged out. It has no ranks, and
   * NaN where a run has none.
   *
   * @param ranker what was judged, in words
   * @param runs one or more
   * @throws IllegalArgumentException when they were not judged on the same cases, or a column of
   *     the first is missing
   */
  public static CaseScores mean(String ranker, List<CaseScores> runs) {
    CaseScores first = runs.getFirst();
    Map<String, double[]> columns = new LinkedHashMap<>();
    for (String column : first.columns.keySet()) {
      columns.put(column, new double[first.count()]);
    }
    for (CaseScores run : runs) {
      first.requireSameCases(run);
      columns.forEach(
          (name, mean) -> {
            double[] values = run.values(name);
            for (int i = 0; i < mean.length; i++) {
              mean[i] += values[i] / runs.size();
            }
          });
    }
    Source of = first.source;
    return new CaseScores(
        new Source(of.dataset, of.fingerprint, of.split, ranker),
        first.users,
        first.targets,
        new int[first.count()],
        columns);
  }

  /** Where they come from. */
  public Source source() {
    return source;
  }

  /** How many cases there are. */
  public int count() {
    return users.size();
  }

  /** The external id of the user of case {@code i}. */
  public String user(int i) {
    return users.get(i);
  }

  /** The rank of the first hit of case {@code i}, from 1; 0 where its list has none. */
  public int rank(int i) {
    return ranks[i];
  }

  /** The names of the columns, such as {@code ndcg@10}. */
  public List<String> columns() {
    return List.copyOf(columns.keySet());
  }

  /**
   * A column, as a new array: NaN where the metric is not defined.
   *
   * @throws IllegalArgumentException when there is none of that name; it offers the nearest
   */
  public double[] values(String column) {
    double[] values = columns.get(column);
    if (values == null) {
      throw new IllegalArgumentException(
          "'"
              + column
              + "' was not scored for "
              + source.ranker
              + "; the nearest are "
              + Attributes.nearest(columns.keySet(), column));
    }
    return values.clone();
  }

  /** The user of each case, numbered from 0 in the order in which they first appear. */
  int[] userNumbers() {
    Map<String, Integer> numbers = new HashMap<>();
    return users.stream()
        .mapToInt(
            user -> {
              int next = numbers.size();
              return numbers.computeIfAbsent(user, u -> next);
            })
        .toArray();
  }

  /** Refuses scores of other data, another split or other cases. */
  void requireSameCases(CaseScores other) {
    String mend = "; evaluate both on the same prepared dataset and split";
    if (!source.fingerprint.equals(other.source.fingerprint)) {
      throw new IllegalArgumentException(
          source.ranker
              + " was judged on "
              + source.dataset
              + ", fingerprint "
              + shown(source.fingerprint)
              + ", but "
              + other.source.ranker
              + " on "
              + other.source.dataset
              + ", fingerprint "
              + shown(other.source.fingerprint)
              + mend);
    }
    if (!source.split.equals(other.source.split)) {
      throw new IllegalArgumentException(
          source.ranker
              + " was judged on the split "
              + source.split
              + ", but "
              + other.source.ranker
              + " on "
              + other.source.split
              + mend);
    }
    if (count() != other.count()) {
      throw new IllegalArgumentException(
          source.ranker
              + " was judged on "
              + count()
              + " cases, but "
              + other.source.ranker
              + " on "
              + other.count()
              + mend);
    }
    for (int i = 0; i < count(); i++) {
      if (!users.get(i).equals(other.users.get(i))
          || !targets.get(i).equals(other.targets.get(i))) {
        throw new IllegalArgumentException(
            "case "
                + (i + 1)
                + " of "
                + source.ranker
                + " is user "
                + users.get(i)
                + " with target "
                + targets.get(i)
                + ", but that of "
                + other.source.ranker
                + " is user "
                + other.users.get(i)
                + " with target "
                + other.targets.get(i)
                + mend);
      }
    }
  }

  private static String shown(String fingerprint) {
    return fingerprint.substring(0, Math.min(12, fingerprint.length()));
  }

  /**
   * Writes the file, whole or not at all.
   *
   * @throws java.io.UncheckedIOException when it cannot be written; an earlier file then stays
   */
  public void save(Path file) {
    Map<String, Object> head = new LinkedHashMap<>();
    head.put("format", FORMAT);
    head.put("dataset", source.dataset);
    head.put("fingerprint", source.fingerprint);
    head.put("split", source.split);
    head.put("ranker", source.ranker);
    head.put("cases", count());
    AtomicFiles.write(
        file,
        channel -> {
          // Closing the channel is not ours, so the writers are only flushed.
          Writer out =
              new BufferedWriter(Channels.newWriter(channel, StandardCharsets.UTF_8), 1 << 16);
          // No newline is within a string of JSON, so what is replaced is between values.
          out.write("# " + Json.write(head).strip().replaceAll("\n *", " ") + "\n");
          out.write(
              String.join("\t", FIRST_COLUMNS) + "\t" + String.join("\t", columns.keySet()) + "\n");
          for (int i = 0; i < count(); i++) {
            out.write(escape(users.get(i)) + "\t" + targets.get(i) + "\t");
            out.write(ranks[i] == 0 ? "" : Integer.toString(ranks[i]));
            for (double[] values : columns.values()) {
              out.write(Double.isNaN(values[i]) ? "\t" : "\t" + values[i]);
            }
            out.write('\n');
          }
          out.flush();
        });
  }

  /**
   * Reads what {@link #save} wrote.
   *
   * @throws FormatException when the file is no such table; it names the line
   * @throws java.io.UncheckedIOException when the file cannot be read
   */
  public static CaseScores load(Path file) {
    try (BufferedReader in =
        new BufferedReader(
            new InputStreamReader(Files.newInputStream(file), StandardCharsets.UTF_8.newDecoder()),
            1 << 16)) {
      return new Loader(file, in).load();
    } catch (CharacterCodingException e) {
      throw new FormatException(file, "text", "is no UTF-8", "save the file in UTF-8");
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot read " + file, e);
    }
  }

  private static String escape(String text) {
    StringBuilder escaped = new StringBuilder();
    for (char c : text.toCharArray()) {
      int at = ESCAPED.indexOf(c);
      escaped.append(at < 0 ? Character.toString(c) : "\\" + ESCAPES.charAt(at));
    }
    return escaped.toString();
  }

  /** Reads one file. */
  private static final class Loader {
    private final Path file;
    private final Reader in;
    private int line;

    Loader(Path file, Reader in) {
      this.file = file;
      this.in = in;
    }

    CaseScores load() throws IOException {
      String first = next();
      if (first == null || !first.startsWith("# {")) {
        line = 1;
        throw refuse(
            "does not say where the scores come from",
            "name a file that rhumb evaluate --per-user wrote");
      }
      String where = file + ", line 1";
      JsonObject head = JsonObject.of(Json.parse(first.substring(2), where), where);
      if (!FORMAT.equals(head.string("format"))) {
        throw head.refuse(
            "format",
            "is \"" + head.string("format") + "\", not \"" + FORMAT + "\"",
            "evaluate again with this version");
      }
      Source source =
          new Source(
              head.string("dataset"),
              head.string("fingerprint"),
              head.string("split"),
              head.string("ranker"));
      int cases = head.integer("cases", 0, Integer.MAX_VALUE);
      List<String> names = columns();
      List<String> users = new ArrayList<>();
      List<String> targets = new ArrayList<>();
      List<Integer> ranks = new ArrayList<>();
      List<double[]> rows = new ArrayList<>();
      for (String text = next(); text != null; text = next()) {
        String[] fields = text.split("\t", -1);
        if (fields.length != names.size() + FIRST_COLUMNS.size()) {
          throw refuse(
              "has " + fields.length + " fields, not " + (names.size() + FIRST_COLUMNS.size()),
              "restore the file");
        }
        users.add(unescape(fields[0]));
        targets.add(fields[1]);
        ranks.add(rank(fields[2]));
        double[] values = new double[names.size()];
        for (int c = 0; c < values.length; c++) {
          values[c] = value(names.get(c), fields[c + FIRST_COLUMNS.size()]);
        }
        rows.add(values);
      }
      if (rows.size() != cases) {
        throw refuse(
            "is the last, after " + rows.size() + " cases; line 1 says " + cases,
            "restore the file: lines are missing or were added");
      }
      Map<String, double[]> columns = new LinkedHashMap<>();
      for (int c = 0; c < names.size(); c++) {
        int column = c;
        columns.put(names.get(c), rows.stream().mapToDouble(row -> row[column]).toArray());
      }
      return new CaseScores(
          source, users, targets, ranks.stream().mapToInt(Integer::intValue).toArray(), columns);
    }

    /** The names of the metrics in the second line. */
    private List<String> columns() throws IOException {
      String text = next();
      List<String> names = text == null ? List.of() : List.of(text.split("\t", -1));
      int fixed = FIRST_COLUMNS.size();
      if (names.size() < fixed || !names.subList(0, fixed).equals(FIRST_COLUMNS)) {
        line = 2;
        throw refuse(
            "does not begin with the columns " + String.join(", ", FIRST_COLUMNS),
            "restore the line of column names, parted by tabs");
      }
      List<String> metrics = names.subList(fixed, names.size());
      if (new TreeSet<>(metrics).size() < metrics.size() || metrics.contains("")) {
        throw refuse("has a column twice or one without a name", "restore the file");
      }
      return metrics;
    }

    private int rank(String field) {
      try {
        int rank = field.isEmpty() ? 0 : Integer.parseInt(field);
        if (rank > 0 || field.isEmpty()) {
          return rank;
        }
      } catch (NumberFormatException e) {
        // The same refusal.
      }
      throw refuse("has a rank that is no whole number from 1", "correct the field");
    }

    private double value(String name, String field) {
      try {
        double value = field.isEmpty() ? Double.NaN : Double.parseDouble(field);
        if (Double.isFinite(value) || field.isEmpty()) {
          return value;
        }
      } catch (NumberFormatException e) {
        // The same refusal.
      }
      throw refuse("has a value of " + name + " that is no number", "correct the field");
    }

    private String unescape(String field) {
      StringBuilder text = new StringBuilder(field.length());
      for (int i = 0; i < field.length(); i++) {
        char c = field.charAt(i);
        if (c == '\\') {
          i++;
          int at = i < field.length() ? ESCAPES.indexOf(field.charAt(i)) : -1;
          if (at < 0) {
            throw refuse("has a backslash that starts no known escape", "write it as \\\\");
          }
          c = ESCAPED.charAt(at);
        }
        text.append(c);
      }
      return text.toString();
    }

    /** The next line without its newline; null at the end. */
    private String next() throws IOException {
      int c = in.read();
      if (c < 0) {
        return null;
      }
      line++;
      StringBuilder text = new StringBuilder();
      for (; c != '\n'; c = in.read()) {
        if (c < 0) {
          throw refuse("is cut off", "restore the file: it ends without a newline");
        }
        if (text.length() == MOST_IN_LINE) {
          throw refuse("has more than " + MOST_IN_LINE + " characters", "restore the file");
        }
        text.append((char) c);
      }
      return text.toString();
    }

    private FormatException refuse(String what, String mend) {
      return new FormatException(file, "line " + line, what, mend);
    }
  }
}
