package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.LongConsumer;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * The lines of a text file, plain or gzip (by its first bytes, whatever its name), as bytes. A line
 * ends at a newline, a carriage return or both; a byte order mark of UTF-8 is left out. One thread
 * at a time.
 */
final class Lines implements AutoCloseable {
  /** Longest line that is read, in bytes; of a longer one only the number is known. */
  static final int MOST = 1 << 20;

  private static final int SNIFFED = 8192;

  private final Path file;
  private final InputStream in;
  private byte[] buffer = new byte[1 << 16];
  private int from;
  private int to;
  private int next;
  private int filled;
  private long number;
  private boolean tooLong;

  /**
   * Opens a file.
   *
   * @param onBytes is told now and then how many bytes of the file were read since it was last told
   * @throws Refusal when there is no such file, or it is empty or no text
   */
  Lines(Path file, LongConsumer onBytes) {
    this.file = file;
    in = open(requireFile(file), onBytes);
    boolean good = false;
    try {
      while (filled < SNIFFED && fill()) {
        // Enough to see what it is.
      }
      requireText();
      good = true;
    } finally {
      if (!good) {
        close();
      }
    }
  }

  /** Refuses what is no file, or an empty one. */
  static Path requireFile(Path file) {
    if (Files.isDirectory(file)) {
      throw new Refusal(
          file.toString(), "is a folder, not a file", "name the file that holds the rows");
    }
    if (!Files.isRegularFile(file)) {
      throw new Refusal(file.toString(), "there is no such file", "check the name");
    }
    try {
      if (Files.size(file) == 0) {
        throw new Refusal(file.toString(), "the file is empty", "name a file with rows");
      }
    } catch (IOException e) {
      throw unreadable(file.toString(), e);
    }
    return file;
  }

  /** The first bytes of a file, unpacked where it is gzip. */
  static byte[] head(Path file, int most) {
    try (InputStream in = open(requireFile(file), n -> {})) {
      return in.readNBytes(most);
    } catch (IOException e) {
      throw unreadable(file.toString(), e);
    }
  }

  /** Goes to the next line; false at the end of the file. */
  boolean next() {
    from = next;
    tooLong = false;
    int at = from;
    while (true) {
      while (at < filled && buffer[at] != '\n' && buffer[at] != '\r') {
        at++;
      }
      if (at < filled && (buffer[at] == '\n' || at + 1 < filled)) {
        next = at + (buffer[at] == '\r' && buffer[at + 1] == '\n' ? 2 : 1);
        break;
      }
      // The end of the line, or what follows a carriage return, is not in memory yet.
      if (at - from > MOST) {
        tooLong = true;
        next = at;
        from = at;
      }
      int seen = at - from;
      boolean more = fill();
      at = from + seen;
      if (!more) {
        if (at == from && at == filled && !tooLong) {
          return false;
        }
        next = filled;
        break;
      }
    }
    to = at;
    number++;
    return true;
  }

  /** The bytes that {@link #from} and {@link #to} delimit the line in; only until the next line. */
  byte[] bytes() {
    return buffer;
  }

  /** Where the line begins in {@link #bytes}. */
  int from() {
    return from;
  }

  /** Where the line ends in {@link #bytes}, without its end of line. */
  int to() {
    return to;
  }

  /** The number of the line, from 1. */
  long number() {
    return number;
  }

  /** Whether the line has more than {@link #MOST} bytes and was skipped. */
  boolean tooLong() {
    return tooLong;
  }

  @Override
  public void close() {
    try {
      in.close();
    } catch (IOException e) {
      throw unreadable(file.toString(), e);
    }
  }

  /** Reads more behind what is kept from {@link #from} on; false at the end of the file. */
  private boolean fill() {
    if (from > 0) {
      System.arraycopy(buffer, from, buffer, 0, filled - from);
      filled -= from;
      next -= from;
      to -= from;
      from = 0;
    }
    if (filled == buffer.length) {
      buffer = Arrays.copyOf(buffer, 2 * buffer.length);
    }
    try {
      int n = in.read(buffer, filled, buffer.length - filled);
      if (n > 0) {
        filled += n;
      }
      return n > 0;
    } catch (IOException e) {
      throw unreadable(file + ", after line " + number, e);
    }
  }

  private void requireText() {
    if (filled >= 3
        && buffer[0] == (byte) 0xEF
        && buffer[1] == (byte) 0xBB
        && buffer[2] == (byte) 0xBF) {
      next = 3;
    }
    boolean wide =
        filled >= 2
            && (buffer[0] == (byte) 0xFF && buffer[1] == (byte) 0xFE
                || buffer[0] == (byte) 0xFE && buffer[1] == (byte) 0xFF);
    if (wide) {
      throw new Refusal(file + ", line 1", "the text is UTF-16", "save the file as UTF-8");
    }
    for (int i = 0; i < Math.min(filled, SNIFFED); i++) {
      if (buffer[i] == 0) {
        throw new Refusal(
            file + ", byte " + (i + 1),
            "is zero: the file is binary, not text",
            "name a CSV, TSV, JSON lines or Parquet file");
      }
    }
  }

  private static InputStream open(Path file, LongConsumer onBytes) {
    try {
      InputStream raw =
          new BufferedInputStream(new Counted(Files.newInputStream(file), onBytes), 1 << 16);
      try {
        raw.mark(2);
        boolean gzip = raw.read() == 0x1F && raw.read() == 0x8B;
        raw.reset();
        return gzip ? new GZIPInputStream(raw, 1 << 16) : raw;
      } catch (IOException e) {
        raw.close();
        throw e;
      }
    } catch (IOException e) {
      throw unreadable(file.toString(), e);
    }
  }

  /** Tells how many bytes were read. */
  private static final class Counted extends FilterInputStream {
    private final LongConsumer onBytes;

    Counted(InputStream in, LongConsumer onBytes) {
      super(in);
      this.onBytes = onBytes;
    }

    @Override
    public int read(byte[] target, int at, int n) throws IOException {
      int got = super.read(target, at, n);
      onBytes.accept(Math.max(0, got));
      return got;
    }
  }

  private static Refusal unreadable(String where, IOException e) {
    return e instanceof EOFException || e instanceof ZipException
        ? new Refusal(where, "the gzip data are cut off or damaged", "take the file anew", e)
        : new Refusal(where, "cannot be read: " + e.getMessage(), "check its permissions", e);
  }
}
