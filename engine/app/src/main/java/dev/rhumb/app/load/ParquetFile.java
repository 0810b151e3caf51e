package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import java.util.stream.Collectors;

/** Parquet, as DuckDB reads it. */
final class ParquetFile implements TableFile {
  private final Source source;
  private final String table;
  private final List<String> columns = new ArrayList<>();
  private final List<String> types = new ArrayList<>();

  /** Reads the names and types of the columns. */
  ParquetFile(Source source, DuckDb db) {
    this.source = source;
    String path = Lines.requireFile(source.file()).toString();
    if (path.matches(".*[*?\\[].*")) {
      throw new Refusal(path, "a path with *, ? or [ would be taken for many files", "rename it");
    }
    table = "read_parquet(" + DuckDb.quote(path) + ", file_row_number = true)";
    db.about(
        source.file(),
        d ->
            d.query(
                "DESCRIBE SELECT * EXCLUDE (file_row_number) FROM " + table,
                row -> {
                  columns.add(row.getString(1));
                  types.add(row.getString(2));
                }));
  }

  @Override
  public Source source() {
    return source;
  }

  @Override
  public String description() {
    return "Parquet";
  }

  @Override
  public List<String> columns() {
    return columns;
  }

  @Override
  public String place(long number) {
    return "row " + number;
  }

  @Override
  public BadRow load(
      DuckDb db,
      String into,
      List<Integer> wanted,
      long base,
      String what,
      Dropped dropped,
      LongConsumer onBytes) {
    db.about(
        source.file(),
        d ->
            d.execute(
                "INSERT INTO "
                    + into
                    + " SELECT file_row_number + 1 + "
                    + base
                    + wanted.stream().map(c -> ", " + text(c)).collect(Collectors.joining())
                    + " FROM "
                    + table));
    return null;
  }

  /** A column's value as text; a list as {@link TableFile#LIST} says. */
  private String text(int column) {
    String name = DuckDb.name(columns.get(column));
    return types.get(column).endsWith("[]")
        ? "chr(31) || array_to_string(CAST(" + name + " AS VARCHAR[]), chr(31))"
        : "CAST(" + name + " AS VARCHAR)";
  }
}
