package dev.rhumb.checkpoint;

import java.util.Collection;
import java.util.Map;

/** Writes one JSON value as a text. */
final class JsonWriter {
  private final boolean pretty;
  private final StringBuilder out = new StringBuilder();

  JsonWriter(boolean pretty) {
    this.pretty = pretty;
  }

  String text(Object value) {
    write(value, 0);
    return out.toString();
  }

  private void write(Object value, int depth) {
    if (depth == Json.MAX_DEPTH && (value instanceof Map || value instanceof Collection)) {
      throw new IllegalArgumentException("nesting deeper than " + Json.MAX_DEPTH);
    }
    switch (value) {
      case null -> out.append("null");
      case Boolean b -> out.append(b);
      case String s -> quote(s);
      case Double d -> out.append(finite(d));
      case Float f -> {
        finite(f);
        out.append(f);
      }
      case Byte n -> out.append(n);
      case Short n -> out.append(n);
      case Integer n -> out.append(n);
      case Long n -> out.append(n);
      case Map<?, ?> map -> writeMap(map, depth);
      case Collection<?> list -> writeList(list, depth);
      default ->
          throw new IllegalArgumentException(
              "JSON has no place for a " + value.getClass().getName());
    }
  }

  private void writeMap(Map<?, ?> map, int depth) {
    if (map.isEmpty()) {
      out.append("{}");
      return;
    }
    String separator = "{";
    for (Map.Entry<?, ?> entry : map.entrySet()) {
      if (!(entry.getKey() instanceof String key)) {
        throw new IllegalArgumentException(
            "a key of a JSON object is a string, not " + entry.getKey());
      }
      out.append(separator);
      newLine(depth + 1);
      quote(key);
      out.append(pretty ? ": " : ":");
      write(entry.getValue(), depth + 1);
      separator = ",";
    }
    newLine(depth);
    out.append('}');
  }

  private void writeList(Collection<?> list, int depth) {
    boolean nested = false;
    for (Object element : list) {
      nested |= element instanceof Map || element instanceof Collection;
    }
    out.append('[');
    String separator = "";
    for (Object element : list) {
      out.append(separator);
      if (nested) {
        newLine(depth + 1);
      } else if (pretty && !separator.isEmpty()) {
        out.append(' ');
      }
      write(element, depth + 1);
      separator = ",";
    }
    if (nested) {
      newLine(depth);
    }
    out.append(']');
  }

  private void newLine(int depth) {
    if (pretty) {
      out.append('\n').repeat("  ", depth);
    }
  }

  private double finite(double number) {
    if (!Double.isFinite(number)) {
      throw new IllegalArgumentException("JSON has no number " + number);
    }
    return number;
  }

  private void quote(String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '"' -> out.append("\\\"");
        case '\\' -> out.append("\\\\");
        case '\n' -> out.append("\\n");
        case '\r' -> out.append("\\r");
        case '\t' -> out.append("\\t");
        default -> {
          if (c < 0x20 || c == 0x7f) {
            out.append(String.format("\\u%04x", (int) c));
          } else if (!Character.isSurrogate(c)) {
            out.append(c);
          } else if (Character.isHighSurrogate(c)
              && i + 1 < text.length()
              && Character.isLowSurrogate(text.charAt(i + 1))) {
            out.append(c).append(text.charAt(++i));
          } else {
            throw new IllegalArgumentException(
                "half of a surrogate pair at index " + i + " of " + Quote.of(text));
          }
        }
      }
    }
    out.append('"');
  }
}
