package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.function.Consumer;
import org.duckdb.DuckDBConnection;

/**
 * A database of one import: in memory up to a limit, beyond it in a folder of its own that {@link
 * #close} removes. It never reaches for the network: Parquet and JSON are built in, and extensions
 * are neither installed nor loaded. One thread at a time.
 */
final class DuckDb implements AutoCloseable {
  // What each thread reads of a file at once, in bytes: memory of the database.
  private static final long BLOCK = 1 << 20;

  private final DuckDBConnection connection;
  private final Path folder;

  /** Takes a row at a time; the columns are numbered from 1. */
  interface Rows {
    /** The row that {@code row} stands on. */
    void row(ResultSet row) throws SQLException;
  }

  /** Adds rows to a table. */
  interface Appending {
    /** Adds them all. */
    void to(RowFile rows) throws IOException;
  }

  /**
   * Opens an empty database.
   *
   * @param temp where its folder is made
   * @param memory the limit, as {@code 1500MB}
   */
  DuckDb(Path temp, String memory) {
    try {
      folder = Files.createTempDirectory(temp, "rhumb-import");
    } catch (IOException e) {
      throw new Refusal(
          temp.toString(), "takes no files: " + e, "name another folder with --temp", e);
    }
    Properties settings = new Properties();
    settings.put("autoinstall_known_extensions", "false");
    settings.put("autoload_known_extensions", "false");
    settings.put("jdbc_stream_results", "true");
    settings.put("temp_directory", folder.resolve("spill").toString());
    // Rows carry their number, so that the order of tables need not be kept.
    settings.put("preserve_insertion_order", "false");
    boolean good = false;
    try {
      connection =
          DriverManager.getConnection("jdbc:duckdb:", settings).unwrap(DuckDBConnection.class);
      execute("SET TimeZone = 'UTC'");
      try {
        execute("SET memory_limit = " + quote(memory));
      } catch (Refusal e) {
        throw new Refusal("--memory", memory + " is no amount of memory", "write it as 2GB", e);
      }
      good = true;
    } catch (SQLException e) {
      throw new Refusal(
          "DuckDB",
          "cannot start: " + firstLine(e),
          "it unpacks its library to the folder of java.io.tmpdir, which must be writable and allow"
              + " execution",
          e);
    } finally {
      if (!good) {
        remove(folder);
      }
    }
  }

  /** Runs a statement that is no query. */
  void execute(String sql) {
    update(sql);
  }

  /** Runs a statement that changes rows. Returns how many. */
  long update(String sql) {
    try (Statement statement = connection.createStatement()) {
      return statement.executeLargeUpdate(sql);
    } catch (SQLException e) {
      throw refusal(e);
    }
  }

  /** Runs a query. */
  void query(String sql, Rows rows) {
    try (Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery(sql)) {
      while (result.next()) {
        rows.row(result);
      }
    } catch (SQLException e) {
      throw refusal(e);
    }
  }

  /** Runs a query of one number. */
  long number(String sql) {
    long[] found = {0};
    query(sql, row -> found[0] = row.getLong(1));
    return found[0];
  }

  /** Adds rows to a table, by a file of the folder. */
  void append(String table, Appending rows) {
    Path file = folder.resolve("rows.csv");
    long added;
    int longest;
    try (RowFile out = new RowFile(file)) {
      rows.to(out);
      added = out.rows();
      longest = out.longest();
    } catch (IOException e) {
      throw new Refusal(
          file.toString(), "cannot be written: " + e, "name a folder with room by --temp", e);
    }
    List<String> columns = new ArrayList<>();
    query(
        "DESCRIBE " + table,
        row -> columns.add("'%s': '%s'".formatted(row.getString(1), row.getString(2))));
    long block = Math.max(BLOCK, 2L * longest);
    String source =
        "read_csv(%s, auto_detect = false, header = false, new_line = '\\n', allow_quoted_nulls = false, columns = {%s}, max_line_size = %d, buffer_size = %d)"
            .formatted(quote(file.toString()), String.join(", ", columns), block / 2, block);
    long read = update("INSERT INTO " + table + " SELECT * FROM " + source);
    if (read != added) {
      throw new IllegalStateException(read + " of " + added + " rows came into the table " + table);
    }
    remove(file);
  }

  /** Has work done whose failures are the file's. */
  void about(Path file, Consumer<DuckDb> work) {
    try {
      work.accept(this);
    } catch (Refusal e) {
      if (e.getCause() instanceof SQLException cause && !isFull(cause)) {
        throw new Refusal(
            file.toString(), "cannot be read: " + firstLine(cause), "take the file anew", cause);
      }
      throw e;
    }
  }

  @Override
  public void close() {
    try {
      connection.close();
    } catch (SQLException e) {
      throw new IllegalStateException("DuckDB does not close: " + firstLine(e), e);
    } finally {
      remove(folder);
    }
  }

  /** Text as SQL writes it. */
  static String quote(String text) {
    return "'" + text.replace("'", "''") + "'";
  }

  /** The name of a column as SQL writes it. */
  static String name(String column) {
    return '"' + column.replace("\"", "\"\"") + '"';
  }

  private static boolean isFull(SQLException e) {
    return e.getMessage().contains("Out of Memory") || e.getMessage().contains("No space left");
  }

  private static Refusal refusal(SQLException e) {
    if (isFull(e)) {
      return new Refusal(
          "DuckDB",
          firstLine(e),
          "allow more with --memory, or name a folder with more room by --temp",
          e);
    }
    return new Refusal("DuckDB", firstLine(e), "check the files", e);
  }

  private static String firstLine(SQLException e) {
    return e.getMessage()
        .replace("Attempting to execute an unsuccessful or closed pending query result", "")
        .replace("Error: ", "")
        .lines()
        .map(String::strip)
        .filter(line -> !line.isEmpty() && !line.equals("Invalid Input"))
        .findFirst()
        .map(line -> line.replaceFirst("^Invalid Input\\s*", ""))
        .orElse(e.toString());
  }

  private static void remove(Path folder) {
    try {
      Files.walkFileTree(
          folder,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes a) throws IOException {
              Files.deleteIfExists(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path at, IOException e) throws IOException {
              Files.deleteIfExists(at);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (IOException e) {
      throw new Refusal(folder.toString(), "cannot be removed: " + e, "remove it by hand", e);
    }
  }
}
