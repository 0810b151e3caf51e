package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;

/**
 * A file of rows, and how it is to be read.
 *
 * @param file plain or, of text, gzip
 * @param format of the file; null to see it from the name and the first bytes
 * @param delimiter between fields of delimited text; null to see it from the first lines
 * @param header whether the first line names the columns; null to see it from the names
 * @param quotes whether double quotes enclose fields
 * @param charset of delimited text
 */
public record Source(
    Path file, Format format, String delimiter, Boolean header, boolean quotes, Charset charset) {
  private static final int HEAD = 512;

  /** Formats of files. */
  public enum Format {
    /** Text with a delimiter between the fields. */
    CSV,
    /** The same with tabs. */
    TSV,
    /** A JSON object on each line. */
    JSON,
    /** Parquet. */
    PARQUET
  }

  /** A file about which all is to be found out. */
  public static Source of(Path file) {
    return new Source(file, null, null, null, true, StandardCharsets.UTF_8);
  }

  /** Delimited text as a known layout has it. */
  static Source text(Path file, String delimiter, boolean header, boolean quotes, Charset charset) {
    return new Source(file, Format.CSV, delimiter, header, quotes, charset);
  }

  /** The format. */
  Format guessedFormat() {
    if (format != null) {
      return format;
    }
    byte[] head = Lines.head(file, HEAD);
    String text = new String(head, StandardCharsets.ISO_8859_1);
    if (text.startsWith("PAR1")) {
      return Format.PARQUET;
    }
    String start = text.replaceFirst("^\u00EF\u00BB\u00BF", "").stripLeading();
    if (start.startsWith("{")) {
      return Format.JSON;
    }
    String name = file.getFileName().toString().toLowerCase(Locale.ROOT).replaceFirst("\\.gz$", "");
    if (name.endsWith(".parquet")) {
      throw new Refusal(file.toString(), "does not begin as Parquet does", "take the file anew");
    }
    if (name.matches(".*\\.(json|jsonl|ndjson)")) {
      return Format.JSON;
    }
    return name.endsWith(".tsv") ? Format.TSV : Format.CSV;
  }
}
