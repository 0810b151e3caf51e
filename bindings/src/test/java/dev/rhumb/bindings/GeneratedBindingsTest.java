package dev.rhumb.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.bindings.cublas.CublasApi;
import dev.rhumb.bindings.cuda.Cuda;
import dev.rhumb.bindings.rhumb.Rhumb;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Each generated package, its include list and its header say the same. */
class GeneratedBindingsTest {
  /** A header, and what is made of it. */
  enum Bound {
    RHUMB("../native/include/rhumb.h", "rhumb", Rhumb.class),
    CUDA("jextract/cuda_driver.h", "cuda", Cuda.class),
    CUBLAS("jextract/cublas.h", "cublas", CublasApi.class);

    final Path header;
    final Path includes;
    final Class<?> generated;

    Bound(String header, String list, Class<?> generated) {
      this.header = Path.of(header);
      this.includes = Path.of("jextract/" + list + ".includes");
      this.generated = generated;
    }

    /** Finds in the header without its comments, where each declaration is one line. */
    private Stream<MatchResult> find(String pattern) throws IOException {
      String declarations =
          Files.readString(header)
              .replaceAll("(?s)/\\*.*?\\*/", "")
              .replaceAll("\\s*\\n {6,}", " ");
      return Pattern.compile(pattern, Pattern.MULTILINE).matcher(declarations).results();
    }

    /** How many parameters each declared function takes, by name. */
    Map<String, Integer> functions() throws IOException {
      return find("^(?!typedef)(?:RHUMB_API )?[a-zA-Z][\\w ]* \\*?(\\w+)\\(([^)]*)\\);")
          .collect(
              Collectors.toMap(
                  match -> match.group(1),
                  match -> match.group(2).equals("void") ? 0 : match.group(2).split(",").length,
                  (a, b) -> a,
                  TreeMap::new));
    }

    Map<String, Integer> constants() throws IOException {
      return find("(?:\\b|#define )([A-Z]\\w+)(?: =)? (-?\\d+)\\b")
          .collect(
              Collectors.toMap(
                  match -> match.group(1),
                  match -> Integer.parseInt(match.group(2)),
                  (a, b) -> a,
                  TreeMap::new));
    }

    Set<String> listed(String kind) throws IOException {
      return Pattern.compile("^--include-" + kind + " (\\w+)$", Pattern.MULTILINE)
          .matcher(Files.readString(includes))
          .results()
          .map(match -> match.group(1))
          .collect(Collectors.toCollection(TreeSet::new));
    }

    Set<String> methods(String pattern, Function<String, String> name) {
      return Arrays.stream(generated.getMethods())
          .filter(method -> method.getDeclaringClass() == generated)
          .map(Method::getName)
          .filter(method -> method.matches(pattern))
          .map(name)
          .collect(Collectors.toCollection(TreeSet::new));
    }
  }

  @ParameterizedTest
  @EnumSource
  void everyFunctionOfTheHeaderIsBoundAndNoOther(Bound bound) throws IOException {
    Map<String, Integer> declared = bound.functions();
    assertTrue(declared.size() > 4, declared::toString);
    assertEquals(declared.keySet(), bound.listed("function"));
    assertEquals(
        declared.keySet(),
        bound.methods("\\w+\\$handle", name -> name.substring(0, name.indexOf('$'))));
    for (Map.Entry<String, Integer> function : declared.entrySet()) {
      assertEquals(
          function.getValue(),
          Arrays.stream(bound.generated.getMethods())
              .filter(method -> method.getName().equals(function.getKey()))
              .mapToInt(Method::getParameterCount)
              .findAny()
              .orElseThrow(),
          function.getKey());
    }
  }

  @ParameterizedTest
  @EnumSource
  void everyConstantOfTheHeaderIsBoundWithItsValue(Bound bound)
      throws ReflectiveOperationException, IOException {
    Map<String, Integer> declared = bound.constants();
    assertTrue(declared.size() > 4, declared::toString);
    for (Map.Entry<String, Integer> constant : declared.entrySet()) {
      assertEquals(
          constant.getValue(),
          bound.generated.getMethod(constant.getKey()).invoke(null),
          constant::toString);
    }
    assertEquals(declared.keySet(), bound.listed("constant"));
    assertEquals(declared.keySet(), bound.methods("[A-Z]+_\\w+", name -> name));
  }

  @Test
  void theVersionIsTheProjects() {
    assertEquals(System.getProperty("rhumb.test.version"), NativeLibrary.version());
  }
}
