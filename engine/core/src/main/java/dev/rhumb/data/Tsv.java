package dev.rhumb.data;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FormatException;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;

/**
 * Tables as text: UTF-8, a line of column names, then a line for each row, every line ended by a
 * newline, fields parted by tabs. In a field a backslash, tab, newline and carriage return are
 * written {@code \\ \t \n \r}. A list is parted by {@code |}, which within its elements is {@code
 * \|}; a list of one empty string cannot be told from an empty list, so elements are not empty.
 */
final class Tsv {
  /** Longest line that is read, in bytes. */
  static final int MOST = 1 << 20;

  // Heap for a row of a table, beside its text, and the bytes of the shortest row.
  private static final long ROW_BYTES = 128;
  private static final long SHORTEST_ROW = 6;

  private Tsv() {}

  /**
   * Refuses at once a table that the heap cannot take: the garbage collector would try for hours.
   */
  static void requireHeap(Path table, long rows) {
    long bytes = table.toFile().length();
    long needed = bytes + ROW_BYTES * Math.min(rows, bytes / SHORTEST_ROW);
    long most = Runtime.getRuntime().maxMemory();
    if (needed > most) {
      throw new OutOfMemoryError(
          "%s takes some %d MB of heap, and %d MB are allowed; allow more with -Xmx"
              .formatted(table, needed >> 20, most >> 20));
    }
  }

  /** Writes rows to a table, which {@link AtomicFiles} puts in place. */
  static final class Table {
    private final OutputStream out;
    private final StringBuilder line = new StringBuilder();

    private Table(OutputStream out) {
      this.out = out;
    }

    /** Each field is a {@code Collection<String>}, or anything else by its text. */
    void row(Object... fields) throws IOException {
      line.setLength(0);
      for (Object field : fields) {
        if (field instanceof Collection<?> list) {
          for (Object element : list) {
            escape(element.toString(), true);
            line.append('|');
          }
          line.setLength(line.length() - (list.isEmpty() ? 0 : 1));
        } else {
          escape(field.toString(), false);
        }
        line.append('\t');
      }
      line.setCharAt(line.length() - 1, '\n');
      out.write(line.toString().getBytes(StandardCharsets.UTF_8));
    }

    private void escape(String text, boolean inList) {
      for (int i = 0; i < text.length(); i++) {
        char c = text.charAt(i);
        switch (c) {
          case '\\' -> line.append("\\\\");
          case '\t' -> line.append("\\t");
          case '\n' -> line.append("\\n");
          case '\r' -> line.append("\\r");
          case '|' -> line.append(inList ? "\\|" : "|");
          default -> line.append(c);
        }
      }
    }
  }

  /** What is in a table. */
  interface Body {
    void write(Table table) throws IOException;
  }

  /** Writes a table whole or not at all. */
  static void write(Path file, List<String> columns, Body body) {
    AtomicFiles.write(
        file,
        channel -> {
          // Closing the channel is not ours, so the stream is only flushed.
          OutputStream out = new BufferedOutputStream(Channels.newOutputStream(channel), 1 << 16);
          Table table = new Table(out);
          table.row(columns.toArray());
          body.write(table);
          out.flush();
        });
  }

  /** Reads a table line by line and refuses whatever the writer would not have written. */
  static final class Reader implements AutoCloseable {
    private final Path file;
    private final List<String> columns;
    private final InputStream in;
    // The bytes from..filled are read ahead.
    private byte[] buffer = new byte[1 << 16];
    private int from;
    private int filled;
    private String[] fields;
    private int line;

    /**
     * Opens a table and reads its first line.
     *
     * @throws FormatException when that does not name these columns
     * @throws UncheckedIOException when the file cannot be read
     */
    Reader(Path file, List<String> columns) {
      this.file = file;
      this.columns = columns;
      try {
        in = Files.newInputStream(file);
      } catch (IOException e) {
        throw AtomicFiles.failure("cannot read " + file, e);
      }
      boolean good = false;
      try {
        if (!next() || !List.of(fields).equals(columns)) {
          line = 1;
          throw refuse(
              "the columns " + String.join(", ", columns) + " are not named here",
              "restore the line of column names, parted by tabs");
        }
        good = true;
      } finally {
        if (!good) {
          close();
        }
      }
    }

    /** Goes to the next row; false at the end of the file. */
    boolean next() {
      try {
        if (from == filled && !fill()) {
          return false;
        }
        line++;
        int bytes = 0;
        while (buffer[from + bytes] != '\n') {
          bytes++;
          if (bytes > MOST) {
            throw refuse("the line has more than " + MOST + " bytes", "restore the file");
          }
          if (from + bytes == filled && !fill()) {
            throw refuse("the file ends within the line", "restore the file: it is cut off");
          }
        }
        fields = decode(bytes).split("\t", -1);
        from += bytes + 1;
      } catch (CharacterCodingException e) {
        throw refuse("the line is no UTF-8", "save the file in UTF-8");
      } catch (IOException e) {
        throw AtomicFiles.failure("cannot read " + file, e);
      }
      if (fields.length != columns.size()) {
        throw refuse(
            "there are " + fields.length + " fields, not " + columns.size(),
            "part " + String.join(", ", columns) + " by tabs");
      }
      return true;
    }

    /** Reads more behind what is read ahead, which goes to the front; false at the end. */
    private boolean fill() throws IOException {
      System.arraycopy(buffer, from, buffer, 0, filled - from);
      filled -= from;
      from = 0;
      if (filled == buffer.length) {
        buffer = Arrays.copyOf(buffer, 2 * buffer.length);
      }
      int n = in.read(buffer, filled, buffer.length - filled);
      filled += Math.max(0, n);
      return n > 0;
    }

    private String decode(int bytes) throws CharacterCodingException {
      String text = new String(buffer, from, bytes, StandardCharsets.UTF_8);
      // Fast, but it puts this sign in place of bad bytes.
      if (text.indexOf('\uFFFD') >= 0) {
        StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(buffer, from, bytes));
      }
      return text;
    }

    /** The text of a field. */
    String text(int column) {
      return unescape(fields[column]);
    }

    /** A field that is a whole number, in the one way to write it. */
    long whole(int column) {
      try {
        long value = Long.parseLong(fields[column]);
        if (Long.toString(value).equals(fields[column])) {
          return value;
        }
      } catch (NumberFormatException e) {
        // The same refusal.
      }
      throw refuse(columns.get(column) + " is no whole number", "correct the field");
    }

    /** A field that is a list. */
    List<String> list(int column) {
      List<String> elements = new ArrayList<>();
      String field = fields[column];
      if (!field.isEmpty()) {
        int start = 0;
        for (int i = 0; i <= field.length(); i++) {
          if (i == field.length() || field.charAt(i) == '|') {
            elements.add(unescape(field.substring(start, i)));
            start = i + 1;
          } else if (field.charAt(i) == '\\' && i + 1 < field.length()) {
            i++;
          }
        }
      }
      if (elements.contains("")) {
        throw refuse(columns.get(column) + " has an empty element", "remove the stray |");
      }
      return elements;
    }

    FormatException refuse(String what, String mend) {
      return new FormatException(file, "line " + line, what, mend);
    }

    @Override
    public void close() {
      try {
        in.close();
      } catch (IOException e) {
        throw AtomicFiles.failure("cannot close " + file, e);
      }
    }

    private String unescape(String field) {
      if (field.indexOf('\r') >= 0) {
        throw refuse("there is a carriage return", "end lines by a newline alone");
      }
      if (field.indexOf('\\') < 0) {
        return field;
      }
      StringBuilder text = new StringBuilder(field.length());
      for (int i = 0; i < field.length(); i++) {
        char c = field.charAt(i);
        if (c != '\\') {
          text.append(c);
          continue;
        }
        i++;
        text.append(
            switch (i < field.length() ? field.charAt(i) : ' ') {
              case '\\' -> '\\';
              case '|' -> '|';
              case 't' -> '\t';
              case 'n' -> '\n';
              case 'r' -> '\r';
              default ->
                  throw refuse("a backslash starts no known escape", "write a backslash as \\\\");
            });
      }
      return text.toString();
    }
  }
}
