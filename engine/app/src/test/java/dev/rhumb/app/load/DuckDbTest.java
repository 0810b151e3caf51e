package dev.rhumb.app.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.app.terminal.Refusal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is added to a table is in it. */
class DuckDbTest {
  private static final Path FULL = Path.of("/dev/full");
  private static final String SIGNS = "ab1 ,;\"'\n\r\t\\#|\u0001\u001F\u00E9\u0085\u65E5\uFEFF";

  @TempDir private Path folder;

  @Test
  void textsOfAnySigns() {
    Random random = new Random(5);
    for (int round = 0; round < 20; round++) {
      List<String> texts = new ArrayList<>();
      for (int row = 0; row < random.nextInt(2_000); row++) {
        texts.add(text(random, random.nextInt(8)));
      }
      if (round % 4 == 0) {
        texts.add(random.nextInt(texts.size() + 1), text(random, 300_000));
      }
      assertEquals(texts, throughTable(texts, "100MB"), "round " + round);
    }
  }

  @Test
  void moreRowsThanOneBlockIsReadOfAtOnce() {
    List<String> texts = new ArrayList<>();
    for (int row = 0; row < 400_000; row++) {
      texts.add(row % 1_000 == 0 ? "line\nof " + row : "row " + row);
    }
    assertEquals(texts, throughTable(texts, "100MB"));
  }

  @Test
  void aFullDiskIsRefused() throws IOException {
    assumeTrue(Files.exists(FULL));
    try (DuckDb db = new DuckDb(folder, "100MB")) {
      db.execute("CREATE TABLE t (n BIGINT, a VARCHAR, b VARCHAR)");
      Path own;
      try (Stream<Path> there = Files.list(folder)) {
        own = there.findFirst().orElseThrow();
      }
      Files.createSymbolicLink(own.resolve("rows.csv"), FULL);
      String message =
          assertThrows(Refusal.class, () -> db.append("t", rows -> add(rows, 1, "a"))).getMessage();
      assertTrue(message.contains("rows.csv: cannot be written"), message);
      assertTrue(message.contains("--temp"), message);
    }
    try (Stream<Path> left = Files.list(folder)) {
      assertFalse(left.findAny().isPresent());
    }
  }

  private List<String> throughTable(List<String> texts, String memory) {
    List<String> found = new ArrayList<>();
    try (DuckDb db = new DuckDb(folder, memory)) {
      db.execute("CREATE TABLE t (n BIGINT, a VARCHAR, b VARCHAR)");
      db.append(
          "t",
          rows -> {
            for (int row = 0; row < texts.size(); row++) {
              add(rows, row, texts.get(row));
            }
          });
      db.query(
          "SELECT a, b FROM t ORDER BY n",
          row -> {
            assertEquals(row.getString(1), row.getString(2));
            found.add(row.getString(1));
          });
    }
    return found;
  }

  private static void add(RowFile rows, long number, String text) throws IOException {
    rows.add(number);
    rows.add(text);
    rows.add(text);
    rows.end();
  }

  private static String text(Random random, int length) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < length; i++) {
      text.append(SIGNS.charAt(random.nextInt(SIGNS.length())));
    }
    return text.toString();
  }
}
