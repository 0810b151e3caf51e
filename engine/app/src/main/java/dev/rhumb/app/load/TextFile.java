package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.LongConsumer;
import java.util.stream.IntStream;

/** Delimited text. */
final class TextFile implements TableFile {
  private static final List<String> DELIMITERS = List.of("::", "\t", ",", ";", "|", " ");
  private static final int SAMPLE = 50;

  private final Source source;
  private final String delimiter;
  private final boolean header;
  private final List<String> columns;

  /** Finds out what the source leaves open. */
  TextFile(Source source, Set<String> names, String given) {
    this.source = source;
    String named = source.delimiter() == null ? given : source.delimiter();
    delimiter = named == null ? guess(source) : named;
    List<String> first = sample(source, delimiter).getFirst();
    header =
        source.header() == null
            ? first.stream().anyMatch(cell -> names.contains(cell.strip().toLowerCase(Locale.ROOT)))
                || first.stream().anyMatch(cell -> Columns.isUsual(cell))
            : source.header();
    columns =
        header
            ? first.stream().map(String::strip).toList()
            : IntStream.rangeClosed(1, first.size()).mapToObj(Integer::toString).toList();
  }

  @Override
  public Source source() {
    return source;
  }

  @Override
  public String description() {
    return "text, "
        + (header ? "" : "without a heading, ")
        + (delimiter.equals("\t") ? "parted by tabs" : "parted by '" + delimiter + "'");
  }

  @Override
  public List<String> columns() {
    return columns;
  }

  @Override
  public BadRow load(
      DuckDb db,
      String table,
      List<Integer> wanted,
      long base,
      String what,
      Dropped dropped,
      LongConsumer onBytes) {
    BadRow[] bad = {null};
    try (Lines lines = new Lines(source.file(), onBytes)) {
      Delimited records = new Delimited(lines, delimiter, source.quotes(), source.charset());
      if (header) {
        records.next();
      }
      db.append(
          table,
          rows -> {
            String[] fields = new String[wanted.size()];
            while (bad[0] == null && records.next()) {
              Fault fault = read(records, wanted, fields);
              if (fault == null) {
                append(rows, base + records.number(), fields);
              } else if (dropped.refuses(fault)) {
                bad[0] = new BadRow(records.number(), fault);
              } else {
                dropped.add(what, fault, 1);
              }
            }
          });
    }
    return bad[0];
  }

  private Fault read(Delimited records, List<Integer> wanted, String[] fields) {
    if (records.fault() != null) {
      return records.fault();
    }
    if (records.count() != columns.size()) {
      return records.count() < columns.size() ? Fault.TOO_FEW : Fault.TOO_MANY;
    }
    for (int i = 0; i < fields.length; i++) {
      fields[i] = records.field(wanted.get(i));
      if (fields[i] == null) {
        return Fault.NOT_TEXT;
      }
    }
    return null;
  }

  private static void append(RowFile rows, long number, String[] fields) throws IOException {
    rows.add(number);
    for (String field : fields) {
      rows.add(field);
    }
    rows.end();
  }

  /**
   * The delimiter by which most of the first lines have as many fields as the first one; of several
   * such, the one that makes most fields.
   */
  private static String guess(Source source) {
    String best = ",";
    long bestScore = -1;
    for (String candidate : DELIMITERS) {
      List<List<String>> rows = sample(source, candidate);
      int fields = rows.getFirst().size();
      long agreeing = rows.stream().filter(row -> row.size() == fields).count();
      long score = fields == 1 ? 0 : agreeing * 1000 + Math.min(fields, 999);
      if (score > bestScore) {
        best = candidate;
        bestScore = score;
      }
    }
    return best;
  }

  private static List<List<String>> sample(Source source, String delimiter) {
    List<List<String>> rows = new ArrayList<>();
    try (Lines lines = new Lines(source.file(), n -> {})) {
      Delimited records = new Delimited(lines, delimiter, source.quotes(), source.charset());
      while (rows.size() < SAMPLE && records.next()) {
        if (records.fault() == null || rows.isEmpty()) {
          rows.add(records.fields());
        }
      }
    }
    if (rows.isEmpty() || rows.getFirst().isEmpty()) {
      throw new Refusal(
          source.file() + ", line 1", "holds no row", "name a file with rows and columns");
    }
    return rows;
  }
}
