package dev.rhumb.checkpoint;

/** Text from outside, made safe and short enough for a message. */
final class Quote {
  private static final int MOST = 80;

  private Quote() {}

  /** {@code text} in double quotes, unprintable characters escaped, cut after 80 characters. */
  static String of(String text) {
    StringBuilder out = new StringBuilder("\"");
    int shown = 0;
    for (int i = 0; i < text.length(); shown++) {
      if (shown == MOST) {
        return out.append("\"...").toString();
      }
      int c = text.codePointAt(i);
      if (printable(c)) {
        out.appendCodePoint(c);
      } else {
        out.append(String.format("\\u%04x", c));
      }
      i += Character.charCount(c);
    }
    return out.append('"').toString();
  }

  /** Whether a code point shows as something: no control, format or unassigned character. */
  static boolean printable(int codePoint) {
    return switch (Character.getType(codePoint)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      default -> true;
    };
  }
}
