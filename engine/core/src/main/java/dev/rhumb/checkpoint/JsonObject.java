package dev.rhumb.checkpoint;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Typed access to a JSON object. Every refusal is a {@link FormatException} that names the file and
 * the path of the key, such as {@code training.steps}. Immutable.
 */
public final class JsonObject {
  private final Map<String, Object> map;
  private final String file;
  private final String path;

  private JsonObject(Map<String, Object> map, String file, String path) {
    this.map = map;
    this.file = file;
    this.path = path;
  }

  /**
   * The object that {@code value} is.
   *
   * @param value a value of {@link Json#parse}
   * @param file what the source is called in a refusal
   */
  public static JsonObject of(Object value, String file) {
    return of(value, file, "");
  }

  // Only the reader makes such maps, and its keys are strings.
  @SuppressWarnings("unchecked")
  private static JsonObject of(Object value, String file, String path) {
    if (!(value instanceof Map)) {
      throw new FormatException(
          file,
          path.isEmpty() ? "top level" : path,
          "is " + kind(value) + ", not an object",
          "write {...}");
    }
    return new JsonObject((Map<String, Object>) value, file, path);
  }

  /** The keys, in the order of the text. */
  public Set<String> keys() {
    return map.keySet();
  }

  /** Whether the key is there, be its value null or not. */
  public boolean has(String key) {
    return map.containsKey(key);
  }

  /** The value itself, which may be null. */
  public Object value(String key) {
    if (!map.containsKey(key)) {
      throw refuse(key, "is missing", "add the key");
    }
    return map.get(key);
  }

  /** A string. */
  public String string(String key) {
    return value(key) instanceof String s ? s : wrong(key, "a string");
  }

  /** An integer in {@code least..most}. */
  public long integer(String key, long least, long most) {
    if (!(value(key) instanceof Long number)) {
      return wrong(key, "an integer");
    }
    if (number < least || number > most) {
      throw refuse(key, "is " + number, "give an integer in " + least + ".." + most);
    }
    return number;
  }

  /** An integer in {@code least..most}. */
  public int integer(String key, int least, int most) {
    return (int) integer(key, (long) least, (long) most);
  }

  /** A number, always finite. */
  public double number(String key) {
    return value(key) instanceof Number number ? number.doubleValue() : wrong(key, "a number");
  }

  /** A number in {@code least..most}. */
  public double number(String key, double least, double most) {
    double number = number(key);
    if (number < least || number > most) {
      throw refuse(key, "is " + number, "give a number in " + least + ".." + most);
    }
    return number;
  }

  /** True or false. */
  public boolean flag(String key) {
    return value(key) instanceof Boolean flag ? flag : wrong(key, "true or false");
  }

  /** An object. */
  public JsonObject object(String key) {
    return of(value(key), file, path(key));
  }

  /** A list, which cannot be changed. */
  public List<?> list(String key) {
    return value(key) instanceof List<?> list ? list : wrong(key, "a list");
  }

  /** A list of strings. */
  public List<String> strings(String key) {
    List<String> strings = new ArrayList<>();
    for (Object element : list(key)) {
      if (!(element instanceof String string)) {
        throw refuse(
            key + "[" + strings.size() + "]", "is " + kind(element) + ", not a string", "quote it");
      }
      strings.add(string);
    }
    return strings;
  }

  /** A list of objects. */
  public List<JsonObject> objects(String key) {
    List<JsonObject> objects = new ArrayList<>();
    for (Object element : list(key)) {
      objects.add(of(element, file, path(key + "[" + objects.size() + "]")));
    }
    return objects;
  }

  /** Refuses every key that is not among {@code known}: a misspelt setting is no setting. */
  public JsonObject only(String... known) {
    for (String key : map.keySet()) {
      if (!List.of(known).contains(key)) {
        throw refuse(key, "is an unknown key", "known here: " + String.join(", ", known));
      }
    }
    return this;
  }

  /** A refusal of the value of a key, for checks that this class does not know. */
  public FormatException refuse(String key, String what, String mend) {
    return new FormatException(file, path(key), what, mend);
  }

  private <T> T wrong(String key, String wanted) {
    throw refuse(key, "is " + kind(map.get(key)) + ", not " + wanted, "correct the value");
  }

  private String path(String key) {
    String quoted = Quote.of(key);
    String shown = quoted.equals("\"" + key + "\"") ? key : quoted;
    return path.isEmpty() ? shown : path + "." + shown;
  }

  private static String kind(Object value) {
    return switch (value) {
      case null -> "null";
      case Map<?, ?> map -> "an object";
      case List<?> list -> "a list";
      case String s -> "the string " + Quote.of(s);
      default -> value.toString();
    };
  }
}
