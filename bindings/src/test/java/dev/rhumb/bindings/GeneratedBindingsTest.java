package dev.rhumb.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.rhumb.bindings.rhumb.Rhumb;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The generated bindings, their include list and the header say the same. */
class GeneratedBindingsTest {
  private static final Path HEADER = Path.of("../native/include/rhumb.h");
  private static final Path INCLUDES = Path.of("jextract/rhumb.includes");

  @Test
  void everyFunctionOfTheHeaderIsBoundAndNoOther() throws IOException {
    Set<String> declared = names(HEADER, "^RHUMB_API [^(]*?(\\w+)\\(");
    assertFalse(declared.isEmpty());
    assertEquals(declared, names(INCLUDES, "^--include-function (\\w+)"));
    assertEquals(
        declared,
        generated("\\w+\\$handle").stream().map(GeneratedBindingsTest::stem).collect(set()));
  }

  @Test
  void everyConstantOfTheHeaderIsBoundWithItsValue()
      throws ReflectiveOperationException, IOException {
    Set<String> declared = names(HEADER, "^(?:  |#define )(RHUMB_\\w+ (?:= )?\\d+)");
    assertFalse(declared.isEmpty());
    Set<String> bound = new TreeSet<>();
    for (String line : declared) {
      String[] parts = line.split(" (= )?");
      bound.add(parts[0]);
      assertEquals(Integer.parseInt(parts[1]), Rhumb.class.getMethod(parts[0]).invoke(null), line);
    }
    assertEquals(bound, names(INCLUDES, "^--include-constant (\\w+)"));
    assertEquals(bound, generated("RHUMB_\\w+"));
  }

  @Test
  void theVersionIsTheProjects() {
    assertEquals(System.getProperty("rhumb.test.version"), NativeLibrary.version());
  }

  private static Set<String> names(Path file, String pattern) throws IOException {
    return Pattern.compile(pattern, Pattern.MULTILINE)
        .matcher(Files.readString(file))
        .results()
        .map(match -> match.group(1))
        .collect(set());
  }

  private static Set<String> generated(String pattern) {
    return Arrays.stream(Rhumb.class.getMethods())
        .filter(method -> method.getDeclaringClass() == Rhumb.class)
        .map(Method::getName)
        .filter(name -> name.matches(pattern))
        .collect(set());
  }

  private static String stem(String name) {
    return name.substring(0, name.indexOf('$'));
  }

  private static java.util.stream.Collector<String, ?, TreeSet<String>> set() {
    return Collectors.toCollection(TreeSet::new);
  }
}
