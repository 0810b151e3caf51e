package dev.rhumb.app.load;

import java.util.List;
import java.util.Set;
import java.util.function.LongConsumer;

/** A file of rows with columns, opened as far as to know these. */
interface TableFile {
  /** Marks the text of a list, and parts its elements. */
  char LIST = '\u001F';

  /**
   * The first row that is refused.
   *
   * @param number of its line or row, from 1
   */
  record BadRow(long number, Fault fault) {}

  /**
   * Opens a file.
   *
   * @param names of columns that may be there, in lower case: where one is, the first line of
   *     delimited text names the columns
   */
  static TableFile open(Source source, Set<String> names, DuckDb db) {
    return switch (source.guessedFormat()) {
      case CSV -> new TextFile(source, names, null);
      case TSV -> new TextFile(source, names, "\t");
      case JSON -> new JsonFile(source, db);
      case PARQUET -> new ParquetFile(source, db);
    };
  }

  /** What it is read from. */
  Source source();

  /** What it is, in a few words. */
  String description();

  /** The names of the columns; where the file names none, their numbers from 1. */
  List<String> columns();

  /** Where a row is, to follow the file's name. */
  default String place(long number) {
    return "line " + number;
  }

  /**
   * Adds the rows to a table, whose columns are a number (int64) and then texts.
   *
   * @param columns which columns, by their place in {@link #columns}
   * @param base added to the number of each row
   * @param what the rows are, for the counts of those left out
   * @param onBytes is told now and then how many more bytes of the file were read
   * @return the row at which it stopped because it is refused, or null
   */
  BadRow load(
      DuckDb db,
      String table,
      List<Integer> columns,
      long base,
      String what,
      Dropped dropped,
      LongConsumer onBytes);
}
