package dev.rhumb.app.load;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;

/**
 * The records of delimited text (RFC 4180: a field in double quotes may hold delimiters, ends of
 * lines and doubled quotes; a quote within a bare field is a character). It gives what a log from
 * elsewhere needs and libraries do not: DuckDB's reader refuses a file of several ends of lines and
 * takes cut gzip for a short file, and FastCSV does not go on behind a stray quote or a damaged
 * character (record by record it would, at several times the cost), where here only the line is
 * lost, with its number and reason.
 *
 * <p>Blank lines are no records. One thread at a time.
 */
final class Delimited {
  // Bounds on the search for the end of a quote: a file of stray quotes must not cost its square.
  private static final int MOST_LINES = 200;
  private static final int MOST_BYTES = 1 << 18;
  private static final int MOST_SEARCHES = 20;

  /** A line that was read ahead; without bytes it was too long. */
  private record Line(byte[] bytes, long number) {}

  private enum Parsed {
    WHOLE,
    OPEN,
    MALFORMED
  }

  private final Lines lines;
  private final byte[] delimiter;
  private final boolean quotes;
  private final CharsetDecoder decoder;
  private final Deque<Line> pending = new ArrayDeque<>();
  private int searches;

  private byte[] bytes;
  private long number;
  private Fault fault;
  private int count;
  private int[] starts = new int[16];
  private int[] ends = new int[16];
  private boolean[] doubled = new boolean[16];

  /** Takes records from lines, which stay the caller's to close. */
  Delimited(Lines lines, String delimiter, boolean quotes, Charset charset) {
    this.lines = lines;
    this.delimiter = delimiter.getBytes(charset);
    this.quotes = quotes;
    decoder = charset.newDecoder();
  }

  /** Goes to the next record; false at the end. */
  boolean next() {
    while (true) {
      int from = 0;
      int to;
      if (!pending.isEmpty()) {
        Line line = pending.removeFirst();
        bytes = line.bytes;
        number = line.number;
        to = bytes == null ? 0 : bytes.length;
      } else if (lines.next()) {
        number = lines.number();
        bytes = lines.tooLong() ? null : lines.bytes();
        from = lines.from();
        to = lines.to();
      } else {
        return false;
      }
      if (bytes == null) {
        fault = Fault.TOO_LONG;
        count = 0;
        return true;
      }
      if (from < to) {
        fault =
            switch (parse(from, to)) {
              case WHOLE -> null;
              case OPEN -> goOn(Arrays.copyOfRange(bytes, from, to));
              case MALFORMED -> Fault.QUOTE;
            };
        return true;
      }
    }
  }

  /** The number of the line on which the record begins, from 1. */
  long number() {
    return number;
  }

  /** Why the record cannot be read; null where it can. */
  Fault fault() {
    return fault;
  }

  /** How many fields there are. */
  int count() {
    return count;
  }

  /** Field {@code i}, from 0; null where its bytes are no text in the charset. */
  String field(int i) {
    int from = starts[i];
    int to = ends[i];
    boolean ascii = true;
    for (int at = from; at < to && ascii; at++) {
      ascii = bytes[at] > 0;
    }
    String text;
    if (ascii) {
      text = new String(bytes, from, to - from, StandardCharsets.ISO_8859_1);
    } else {
      try {
        text = decoder.decode(ByteBuffer.wrap(bytes, from, to - from)).toString();
      } catch (CharacterCodingException e) {
        return null;
      }
      if (text.indexOf('\0') >= 0) {
        return null;
      }
    }
    return doubled[i] ? text.replace("\"\"", "\"") : text;
  }

  /** All fields of the record; those that are no text are empty. */
  List<String> fields() {
    List<String> fields = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      String field = field(i);
      fields.add(field == null ? "" : field);
    }
    return fields;
  }

  /** Finds the fields of a record within {@link #bytes}. */
  private Parsed parse(int from, int to) {
    count = 0;
    int at = from;
    while (true) {
      if (count == starts.length) {
        starts = Arrays.copyOf(starts, 2 * count);
        ends = Arrays.copyOf(ends, 2 * count);
        doubled = Arrays.copyOf(doubled, 2 * count);
      }
      doubled[count] = false;
      if (quotes && at < to && bytes[at] == '"') {
        starts[count] = ++at;
        while (at < to && (bytes[at] != '"' || at + 1 < to && bytes[at + 1] == '"')) {
          if (bytes[at] == '"') {
            doubled[count] = true;
            at++;
          }
          at++;
        }
        if (at >= to) {
          return Parsed.OPEN;
        }
        ends[count++] = at++;
        if (at < to && !delimits(at, to)) {
          return Parsed.MALFORMED;
        }
      } else {
        starts[count] = at;
        while (at < to && !delimits(at, to)) {
          at++;
        }
        ends[count++] = at;
      }
      if (at == to) {
        return Parsed.WHOLE;
      }
      at += delimiter.length;
    }
  }

  private boolean delimits(int at, int to) {
    if (bytes[at] != delimiter[0]) {
      return false;
    }
    return delimiter.length == 1
        || at + delimiter.length <= to
            && Arrays.equals(bytes, at, at + delimiter.length, delimiter, 0, delimiter.length);
  }

  /**
   * Goes on with a record whose quote is open at the end of its first line. Where no line closes
   * it, only the first is lost: the others are read again on their own.
   */
  private Fault goOn(byte[] first) {
    long firstNumber = number;
    ByteArrayOutputStream whole = new ByteArrayOutputStream();
    whole.writeBytes(first);
    List<Line> taken = new ArrayList<>();
    Parsed parsed = Parsed.OPEN;
    while (parsed == Parsed.OPEN
        && searches < MOST_SEARCHES
        && taken.size() < MOST_LINES
        && whole.size() < MOST_BYTES) {
      Line line = take();
      if (line == null) {
        break;
      }
      taken.add(line);
      if (line.bytes == null) {
        break;
      }
      whole.write('\n');
      whole.writeBytes(line.bytes);
      // A line without a quote cannot close one.
      if (has(line.bytes, (byte) '"')) {
        bytes = whole.toByteArray();
        parsed = parse(0, bytes.length);
      }
    }
    number = firstNumber;
    if (parsed == Parsed.WHOLE) {
      return null;
    }
    searches++;
    for (int i = taken.size() - 1; i >= 0; i--) {
      pending.addFirst(taken.get(i));
    }
    return Fault.QUOTE;
  }

  private Line take() {
    if (!pending.isEmpty()) {
      return pending.removeFirst();
    }
    if (!lines.next()) {
      return null;
    }
    return new Line(
        lines.tooLong() ? null : Arrays.copyOfRange(lines.bytes(), lines.from(), lines.to()),
        lines.number());
  }

  private static boolean has(byte[] bytes, byte wanted) {
    for (byte b : bytes) {
      if (b == wanted) {
        return true;
      }
    }
    return false;
  }
}
