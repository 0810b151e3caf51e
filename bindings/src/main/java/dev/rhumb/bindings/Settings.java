package dev.rhumb.bindings;

import java.util.Locale;

/**
 * Reads a setting: the system property {@code rhumb.x.y}, else the environment variable {@code
 * RHUMB_X_Y}.
 */
final class Settings {
  private Settings() {}

  /** The setting's value, or null where it is not set or blank. */
  static String get(String name) {
    String value = System.getProperty(name);
    if (value == null || value.isBlank()) {
      value = System.getenv(variable(name));
    }
    return value == null || value.isBlank() ? null : value.strip();
  }

  /** The environment variable that is the same setting. */
  static String variable(String name) {
    return name.toUpperCase(Locale.ROOT).replace('.', '_');
  }
}
