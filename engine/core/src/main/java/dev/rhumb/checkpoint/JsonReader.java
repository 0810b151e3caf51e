package dev.rhumb.checkpoint;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads one JSON text by recursive descent; see {@link Json} for what is refused. */
final class JsonReader {
  private final String text;
  private final String where;
  private int at;
  private int depth;
  private int values;

  JsonReader(String text, String where) {
    this.text = text;
    this.where = where;
  }

  Object document() {
    if (peek() == '\ufeff') {
      throw refuse("starts with a byte order mark", "save the file in UTF-8 without one");
    }
    Object value = value();
    space();
    if (at < text.length()) {
      throw unexpected("the end of the text");
    }
    return value;
  }

  private Object value() {
    space();
    if (++values > Json.MAX_VALUES) {
      throw refuse(
          "more than " + Json.MAX_VALUES + " values", "check that the right file was given");
    }
    return switch (peek()) {
      case '{' -> object();
      case '[' -> list();
      case '"' -> string();
      case 't' -> word("true", true);
      case 'f' -> word("false", false);
      case 'n' -> word("null", null);
      case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9' -> number();
      default -> throw unexpected("a value");
    };
  }

  private Map<String, Object> object() {
    enter();
    Map<String, Object> map = new LinkedHashMap<>();
    space();
    if (peek() == '}') {
      at++;
    } else {
      do {
        space();
        if (peek() != '"') {
          throw unexpected("a key in double quotes");
        }
        int start = at;
        String key = string();
        if (map.containsKey(key)) {
          at = start;
          throw refuse("key " + Quote.of(key) + " is given twice", "keep one of the two");
        }
        space();
        take(':', "':' after a key");
        map.put(key, value());
        space();
      } while (more('}'));
    }
    depth--;
    return Collections.unmodifiableMap(map);
  }

  private List<Object> list() {
    enter();
    List<Object> list = new ArrayList<>();
    space();
    if (peek() == ']') {
      at++;
    } else {
      do {
        list.add(value());
        space();
      } while (more(']'));
    }
    depth--;
    return Collections.unmodifiableList(list);
  }

  private void enter() {
    if (++depth > Json.MAX_DEPTH) {
      throw refuse("nesting deeper than " + Json.MAX_DEPTH, "no file of this kind nests that deep");
    }
    at++;
  }

  /** Past a comma: true. Past the closing bracket: false. */
  private boolean more(char close) {
    if (peek() == close) {
      at++;
      return false;
    }
    take(',', "',' or '" + close + "'");
    return true;
  }

  private String string() {
    int start = ++at;
    StringBuilder out = null;
    while (true) {
      if (at >= text.length()) {
        throw unexpected("the end of a string");
      }
      char c = text.charAt(at);
      if (c == '"') {
        String plain = text.substring(start, at++);
        return out == null ? plain : out.append(plain).toString();
      }
      if (c < 0x20) {
        throw refuse(
            "an unescaped control character in a string", String.format("write \\u%04x", (int) c));
      }
      if (c == '\\') {
        out = out == null ? new StringBuilder() : out;
        out.append(text, start, at);
        escape(out);
        start = at;
      } else if (!Character.isSurrogate(c)) {
        at++;
      } else if (Character.isHighSurrogate(c)
          && at + 1 < text.length()
          && Character.isLowSurrogate(text.charAt(at + 1))) {
        at += 2;
      } else {
        throw halfPair();
      }
    }
  }

  private void escape(StringBuilder out) {
    at++;
    char c = peek();
    switch (c) {
      case '"', '\\', '/' -> out.append(c);
      case 'b' -> out.append('\b');
      case 'f' -> out.append('\f');
      case 'n' -> out.append('\n');
      case 'r' -> out.append('\r');
      case 't' -> out.append('\t');
      case 'u' -> {
        char first = hex();
        out.append(first);
        if (Character.isLowSurrogate(first)) {
          throw halfPair();
        }
        if (Character.isHighSurrogate(first)) {
          if (!text.startsWith("\\u", at)) {
            throw halfPair();
          }
          at++;
          char second = hex();
          if (!Character.isLowSurrogate(second)) {
            throw halfPair();
          }
          out.append(second);
        }
        return;
      }
      default -> throw unexpected("one of \"\\/bfnrtu after a backslash");
    }
    at++;
  }

  /** The character of {@code uXXXX}, from the u on. */
  private char hex() {
    int code = 0;
    for (int i = 0; i < 4; i++) {
      at++;
      char c = peek();
      // Character.digit alone would also take digits of other scripts.
      int digit = c < 0x80 ? Character.digit(c, 16) : -1;
      if (digit < 0) {
        throw unexpected("four hexadecimal digits after \\u");
      }
      code = code * 16 + digit;
    }
    at++;
    return (char) code;
  }

  private Object number() {
    int start = at;
    boolean whole = true;
    if (peek() == '-') {
      at++;
    }
    if (peek() == '0') {
      at++;
    } else {
      digits();
    }
    if (peek() == '.') {
      whole = false;
      at++;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      at++;
      if (peek() == '+' || peek() == '-') {
        at++;
      }
      digits();
    }
    String digits = text.substring(start, at);
    if (whole) {
      try {
        return Long.valueOf(digits);
      } catch (NumberFormatException e) {
        at = start;
        throw refuse("integer " + Quote.of(digits) + " does not fit 64 bits", "correct the number");
      }
    }
    double number = Double.parseDouble(digits);
    if (!Double.isFinite(number)) {
      at = start;
      throw refuse("number " + Quote.of(digits) + " does not fit a double", "correct the number");
    }
    return number;
  }

  private void digits() {
    if (!digit(peek())) {
      throw unexpected("a digit");
    }
    while (digit(peek())) {
      at++;
    }
  }

  private static boolean digit(char c) {
    return c >= '0' && c <= '9';
  }

  private Object word(String word, Object value) {
    if (!text.startsWith(word, at)) {
      throw unexpected("a value");
    }
    at += word.length();
    return value;
  }

  private void take(char c, String wanted) {
    if (peek() != c) {
      throw unexpected(wanted);
    }
    at++;
  }

  private void space() {
    while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
  }

  /** The next character; NUL, which no grammar rule takes, at the end. */
  private char peek() {
    return at < text.length() ? text.charAt(at) : '\0';
  }

  private FormatException halfPair() {
    return refuse("half of a surrogate pair in a string", "write both halves");
  }

  private FormatException unexpected(String wanted) {
    String found =
        at < text.length()
            ? Quote.of(new String(Character.toChars(text.codePointAt(at))))
            : "the end of the text";
    return refuse("found " + found + " instead of " + wanted, "correct the JSON");
  }

  private FormatException refuse(String what, String mend) {
    int line = 1;
    int column = 1;
    for (int i = 0; i < at && i < text.length(); i++) {
      boolean end = text.charAt(i) == '\n';
      line += end ? 1 : 0;
      column = end ? 1 : column + 1;
    }
    return new FormatException(where, line + ":" + column, what, mend);
  }
}
