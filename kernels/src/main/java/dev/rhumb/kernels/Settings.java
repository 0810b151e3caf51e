package dev.rhumb.kernels;

import java.util.Locale;

/**
 * Reads a setting: the system property {@code rhumb.x.y}, else the environment variable {@code
 * RHUMB_X_Y}. Both are the same setting; the property wins.
 */
public final class Settings {
  private Settings() {}

  /**
   * The value of a setting, or null where neither form is set or it is blank.
   *
   * @param name the property's name, such as {@code rhumb.threads}
   */
  public static String get(String name) {
    String value = System.getProperty(name);
    if (value == null || value.isBlank()) {
      value = System.getenv(name.toUpperCase(Locale.ROOT).replace('.', '_'));
    }
    return value == null || value.isBlank() ? null : value.strip();
  }

  /**
   * A whole number within bounds, or {@code fallback} where the setting is absent.
   *
   * @throws IllegalArgumentException naming the setting and its bounds when the value is not such a
   *     number
   */
  public static int integer(String name, int fallback, int least, int most) {
    String value = get(name);
    if (value == null) {
      return fallback;
    }
    try {
      int parsed = Integer.parseInt(value);
      if (parsed >= least && parsed <= most) {
        return parsed;
      }
    } catch (NumberFormatException e) {
      // The refusal below says all there is to say.
    }
    throw new IllegalArgumentException(
        name + "=" + value + ": a whole number from " + least + " to " + most + " is needed");
  }
}
