package dev.rhumb.compatibility;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Holds the API of each published module against the one that is on record in its {@code api.txt}.
 * What is gone or changed breaks somebody's code; what is new has to be put on record:
 *
 * <pre>
 * ./rhumb test -pl engine/core -am -Dtest=PublicApiTest -Dsurefire.failIfNoSpecifiedTests=false \
 *     -Drhumb.api.accept=additions
 * </pre>
 *
 * {@code -Drhumb.api.accept=all} records removals too: for a new major version.
 */
class PublicApiTest {
  private static final Pattern EXPORT = Pattern.compile("\\bexports\\s+([\\w.]+)\\s*;");
  private static final String COMMAND =
      "./rhumb test -pl engine/core -am -Dtest=PublicApiTest"
          + " -Dsurefire.failIfNoSpecifiedTests=false -Drhumb.api.accept=";

  /** The published modules that have an API. */
  enum Published {
    BINDINGS("bindings", "dev.rhumb.bindings.NativeLibrary"),
    KERNELS("kernels", "dev.rhumb.kernels.Kernels"),
    ENGINE("engine/core", "dev.rhumb.data.Dataset");

    final String folder;
    // By name: the module under test does not read all of them.
    final String member;

    Published(String folder, String member) {
      this.folder = folder;
      this.member = member;
    }
  }

  @ParameterizedTest
  @EnumSource
  void isTheOneOnRecord(Published module) throws Exception {
    Path folder = root().resolve(module.folder);
    String declaration = Files.readString(folder.resolve("src/main/java/module-info.java"));
    Set<String> packages =
        EXPORT
            .matcher(declaration)
            .results()
            .map((MatchResult found) -> found.group(1))
            .collect(Collectors.toCollection(TreeSet::new));
    Path classes =
        Path.of(
            Class.forName(module.member)
                .getProtectionDomain()
                .getCodeSource()
                .getLocation()
                .toURI());
    SortedSet<String> now = ApiSignatures.of(classes, packages);
    assertTrue(now.size() > 5, "read " + now.size() + " signatures from " + classes);

    Path record = folder.resolve("api.txt");
    List<String> before = Files.exists(record) ? Files.readAllLines(record) : List.of();
    TreeSet<String> gone = new TreeSet<>(before);
    gone.removeAll(now);
    TreeSet<String> added = new TreeSet<>(now);
    added.removeAll(Set.copyOf(before));
    String accept = System.getProperty("rhumb.api.accept", "");
    if (accept.equals("all") || accept.equals("additions") && gone.isEmpty()) {
      Files.writeString(record, String.join("\n", now) + "\n");
    } else if (!gone.isEmpty()) {
      fail(
          "the API of "
              + module.folder
              + " has lost what code outside may use:\n- "
              + String.join("\n- ", gone)
              + (added.isEmpty() ? "" : "\n+ " + String.join("\n+ ", added))
              + "\nKeep it (deprecated if need be), or for a new major version: "
              + COMMAND
              + "all");
    } else if (!added.isEmpty()) {
      fail(
          "the API of "
              + module.folder
              + " has grown; what is public stays for ever:\n+ "
              + String.join("\n+ ", added)
              + "\nTo put it on record: "
              + COMMAND
              + "additions");
    }
  }

  /** The checkout, whatever folder the tests are started in. */
  static Path root() {
    Path folder = Path.of("").toAbsolutePath();
    while (!Files.exists(folder.resolve("engine/core/src/main/java/module-info.java"))) {
      folder = folder.getParent();
    }
    return folder;
  }

  @TempDir private Path box;

  /** What a line says, and what is no API. */
  @Test
  void signaturesAreThoseOfTheSource() throws IOException {
    Path source = box.resolve("Shape.java");
    Files.writeString(
        source,
        """
        package p;
        import java.util.*;
        public abstract class Shape<T extends Comparable<T>> implements Iterable<T> {
          public static final int SIDES = 3;
          protected List<? super T> held;
          int hidden;
          protected Shape(long[] sizes) throws java.io.IOException {}
          public abstract <E extends Exception> Map<String, T[]> of(T one, List<?> many) throws E;
          void inside() {}
          private static final class Secret { public void no() {} }
          static class Inner { public enum No { A } }
          public sealed interface Part permits Arm, Leg { default void move() {} int size(); }
          public record Arm(int size) implements Part {}
          public static final class Leg implements Part {
            Leg() {}
            protected void kick() {}
            public int size() { return 1; }
          }
          public enum Colour { RED { } }
        }
        class Unseen { public int x; }
        """);
    int status =
        ToolProvider.findFirst("javac")
            .orElseThrow()
            .run(System.out, System.err, "-proc:none", "-d", box.toString(), source.toString());
    assertEquals(0, status);
    assertEquals(
        """
        p.Shape : public abstract class<T extends java.lang.Comparable<T>> implements java.lang.Iterable<T>
        p.Shape.Arm : public static final record implements p.Shape.Part
        p.Shape.Arm.new(int) : public
        p.Shape.Arm.size() : public int
        p.Shape.Colour : public static enum
        p.Shape.Colour.RED : public static final p.Shape.Colour
        p.Shape.Colour.valueOf(java.lang.String) : public static p.Shape.Colour
        p.Shape.Colour.values() : public static p.Shape.Colour[]
        p.Shape.Leg : public static final class implements p.Shape.Part
        p.Shape.Leg.size() : public int
        p.Shape.Part : public sealed interface permits p.Shape.Arm, p.Shape.Leg
        p.Shape.Part.move() : public default void
        p.Shape.Part.size() : public abstract int
        p.Shape.SIDES : public static final int = 3
        p.Shape.held : protected java.util.List<? super T>
        p.Shape.new(long[]) : protected throws java.io.IOException
        p.Shape.of(T, java.util.List<?>) : public abstract <E extends java.lang.Exception> java.util.Map<java.lang.String, T[]> throws java.lang.Exception
        """,
        String.join("\n", ApiSignatures.of(box, Set.of("p"))) + "\n");
  }
}
