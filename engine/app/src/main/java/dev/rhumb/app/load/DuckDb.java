package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Reads tables from files by a database in memory. It never reaches for the network: extensions are
 * neither installed nor loaded. One thread at a time.
 */
final class DuckDb implements AutoCloseable {
  private static final Pattern CSV_ERROR =
      Pattern.compile("CSV Error on Line: (\\d+)\\s+(?:Original Line: .*\\R)?(.*)");

  private final Connection connection;

  /** Type of a column: text, or a whole number of 64 bits. */
  enum Type {
    TEXT("VARCHAR"),
    WHOLE("BIGINT"),
    NUMBER("DOUBLE");

    private final String sql;

    Type(String sql) {
      this.sql = sql;
    }
  }

  /** A column of a file. */
  record Column(String name, Type type) {}

  /**
   * A file of delimited text.
   *
   * @param delimiter between columns
   * @param header whether the first line names the columns, which must then be as given here
   * @param quoted whether double quotes may enclose a value
   * @param charset UTF-8 or ISO-8859-1
   * @param columns all columns, in order
   */
  record Text(
      String delimiter, boolean header, boolean quoted, Charset charset, List<Column> columns) {
    Text {
      columns = List.copyOf(columns);
    }
  }

  /** Takes a row at a time; the columns are numbered from 1. */
  interface Rows {
    void row(ResultSet row) throws SQLException;
  }

  /** Opens a database in memory. */
  DuckDb() {
    Properties settings = new Properties();
    settings.put("autoinstall_known_extensions", "false");
    settings.put("autoload_known_extensions", "false");
    try {
      connection = DriverManager.getConnection("jdbc:duckdb:", settings);
    } catch (SQLException e) {
      throw new Refusal(
          "DuckDB",
          "cannot start: " + firstLine(e),
          "it unpacks its library to the folder of java.io.tmpdir, which must be writable and allow"
              + " execution",
          e);
    }
  }

  /** Reads a file of text, its rows in the file's order. */
  void read(Path file, Text text, Rows rows) {
    if (text.header) {
      requireHeader(file, text);
    }
    String columns =
        text.columns.stream()
            .map(c -> quote(c.name) + ": " + quote(c.type.sql))
            .collect(Collectors.joining(", ", "{", "}"));
    String mark = quote(text.quoted ? "\"" : "");
    query(
        file,
        "SELECT * FROM read_csv(%s, auto_detect = false, header = %s, delim = %s, quote = %s, escape = %s, encoding = %s, columns = %s)"
            .formatted(
                quote(literal(file)),
                text.header,
                quote(text.delimiter),
                mark,
                mark,
                quote(text.charset == StandardCharsets.UTF_8 ? "utf-8" : "latin-1"),
                columns),
        rows);
  }

  /** Runs a query over {@code file}. */
  void query(Path file, String sql, Rows rows) {
    if (!Files.isRegularFile(file)) {
      throw new Refusal(file.toString(), "there is no such file", "check the folder");
    }
    try (Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery(sql)) {
      while (result.next()) {
        rows.row(result);
      }
    } catch (SQLException e) {
      throw refusal(file, e);
    }
  }

  @Override
  public void close() {
    try {
      connection.close();
    } catch (SQLException e) {
      throw new IllegalStateException("DuckDB does not close: " + firstLine(e), e);
    }
  }

  private static void requireHeader(Path file, Text text) {
    String wanted =
        text.columns.stream().map(Column::name).collect(Collectors.joining(text.delimiter));
    String found;
    try (BufferedReader reader = Files.newBufferedReader(file, StandardCharsets.ISO_8859_1)) {
      found = reader.readLine();
    } catch (IOException e) {
      throw new Refusal(file.toString(), "cannot be read: " + e, "check its permissions", e);
    }
    if (found == null || !found.strip().equals(wanted)) {
      throw new Refusal(
          file + ", line 1",
          found == null ? "the file is empty" : "the heading is not '" + wanted + "'",
          "take the file as GroupLens publishes it");
    }
  }

  /** A path that DuckDB takes for one file; it would read a bracket or star as a pattern. */
  private static String literal(Path file) {
    String name = file.toString();
    if (name.matches(".*[*?\\[].*")) {
      throw new Refusal(name, "a path with *, ? or [ cannot be imported", "rename it");
    }
    return name;
  }

  static String quote(String text) {
    return "'" + text.replace("'", "''") + "'";
  }

  private static Refusal refusal(Path file, SQLException e) {
    Matcher csv = CSV_ERROR.matcher(e.getMessage());
    if (csv.find()) {
      return new Refusal(
          file + ", line " + csv.group(1),
          csv.group(2).strip(),
          "mend that line, or take the file anew",
          e);
    }
    return new Refusal(file.toString(), "cannot be read: " + firstLine(e), "check the file", e);
  }

  private static String firstLine(SQLException e) {
    return e.getMessage().lines().findFirst().orElse(e.toString());
  }
}
