package dev.rhumb.app.load;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Rows on their way into a table of the database: plain CSV, which DuckDB reads on all cores at a
 * fraction of what its appender costs for a row. Memory: the longest row. One thread at a time.
 */
final class RowFile implements AutoCloseable {
  private static final int BLOCK = 1 << 16;

  private final OutputStream out;
  private byte[] buffer = new byte[2 * BLOCK];
  private int filled;
  private int start;
  private int longest;
  private long rows;

  /** Writes a new file. */
  RowFile(Path file) throws IOException {
    out = Files.newOutputStream(file);
  }

  /** Adds a field. */
  void add(long number) {
    add(Long.toString(number));
  }

  /** Adds a field; an empty text stays one. */
  void add(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    room(2 * bytes.length + 3);
    int at = filled;
    boolean plain = bytes.length > 0;
    for (byte b : bytes) {
      plain &= b != '"' && b != ',' && (b > ' ' || b < 0);
      buffer[at++] = b;
    }
    if (!plain) {
      at = filled;
      buffer[at++] = '"';
      for (byte b : bytes) {
        if (b == '"') {
          buffer[at++] = b;
        }
        buffer[at++] = b;
      }
      buffer[at++] = '"';
    }
    buffer[at++] = ',';
    filled = at;
  }

  /** Ends a row of one field or more. */
  void end() throws IOException {
    buffer[filled - 1] = '\n';
    rows++;
    longest = Math.max(longest, filled - start);
    start = filled;
    if (filled >= BLOCK) {
      flush();
    }
  }

  /** How many rows have ended. */
  long rows() {
    return rows;
  }

  /** The bytes of the longest row. */
  int longest() {
    return longest;
  }

  @Override
  public void close() throws IOException {
    try (out) {
      flush();
    }
  }

  private void flush() throws IOException {
    out.write(buffer, 0, start);
    filled = 0;
    start = 0;
  }

  private void room(int bytes) {
    if (buffer.length - filled < bytes) {
      buffer = Arrays.copyOf(buffer, Math.addExact(Math.max(2 * buffer.length, filled), bytes));
    }
  }
}
