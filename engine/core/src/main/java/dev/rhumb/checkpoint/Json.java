package dev.rhumb.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Strict, bounded JSON: RFC 8259 and nothing more lenient.
 *
 * <p>A value is a {@code Map<String, Object>} in the order of the text, a {@code List<Object>}, a
 * {@link String}, a {@link Long} (a number with neither fraction nor exponent), a {@link Double}, a
 * {@link Boolean} or null. Maps and lists that come from a text cannot be changed.
 *
 * <p>Refused beyond the grammar, since readers differ on them: a key given twice, a number outside
 * of {@code long} or {@code double}, half of a surrogate pair, a byte order mark; nesting deeper
 * than {@value #MAX_DEPTH}, a text above {@value #MAX_BYTES} bytes, more than {@value #MAX_VALUES}
 * values. Every refusal is a {@link FormatException} that names line and column.
 *
 * <p>Threads: static and without state.
 */
public final class Json {
  /** Deepest nesting of objects and lists. */
  public static final int MAX_DEPTH = 64;

  /** Largest text, in bytes. */
  public static final int MAX_BYTES = 100_000_000;

  /** Most values (numbers, strings, objects, ...) in one text. */
  public static final int MAX_VALUES = 4_000_000;

  private Json() {}

  /**
   * The value of a text.
   *
   * @param where what the text is called in a refusal, such as its file
   * @throws FormatException when the text is no JSON, or passes a bound
   */
  public static Object parse(String text, String where) {
    if (text.length() > MAX_BYTES) {
      throw tooLarge(where);
    }
    return new JsonReader(text, where).document();
  }

  /**
   * The value in a file in UTF-8.
   *
   * @throws FormatException as {@link #parse}
   * @throws UncheckedIOException when the file cannot be read
   */
  public static Object read(Path file) {
    byte[] bytes;
    try (InputStream in = Files.newInputStream(file)) {
      bytes = in.readNBytes(MAX_BYTES + 1);
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot read " + file, e);
    }
    if (bytes.length > MAX_BYTES) {
      throw tooLarge(file.toString());
    }
    return parse(utf8(bytes, file.toString()), file.toString());
  }

  /** The object in a file, for typed access. */
  public static JsonObject readObject(Path file) {
    return JsonObject.of(read(file), file.toString());
  }

  /**
   * The text of a value: indented by two spaces, lists of plain values on one line, maps in their
   * own order, a newline at the end. The same value gives the same text.
   *
   * @param value as in the class comment; any {@link Number} of a primitive type will do, and any
   *     {@code Map} with string keys and {@code Collection}
   * @throws IllegalArgumentException when the value has no place in JSON: NaN, an infinity, half of
   *     a surrogate pair, another type, or nesting deeper than {@link #MAX_DEPTH}
   */
  public static String write(Object value) {
    return new JsonWriter(true).text(value) + "\n";
  }

  /** As {@link #write}, without any space. */
  static String compact(Object value) {
    return new JsonWriter(false).text(value);
  }

  /** Decodes strict UTF-8. */
  static String utf8(byte[] bytes, String where) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      throw new FormatException(where, "text", "is no UTF-8", "save the file in UTF-8");
    }
  }

  private static FormatException tooLarge(String where) {
    return new FormatException(
        where,
        "text",
        "has more than " + MAX_BYTES + " bytes",
        "no file of this kind is that large: check that the right file was given");
  }
}
