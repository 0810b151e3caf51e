package dev.rhumb.app.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.app.terminal.Refusal;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Whatever the bytes of a file, an import ends in a dataset or in a refusal that names the file.
 */
class ImportFuzzTest {
  private static final int ROUNDS = 20;
  private static final Duration LONG = Duration.ofSeconds(60);

  @TempDir private Path folder;

  @Test
  void randomBytes() throws IOException {
    Random random = new Random(11);
    String signs = "\"',;|\t\r\n :{}[]0123456789abé\\-+.eE\u001F";
    for (int round = 0; round < ROUNDS; round++) {
      byte[] bytes = new byte[1 + random.nextInt(400)];
      random.nextBytes(bytes);
      if (round % 2 == 0) {
        StringBuilder text = new StringBuilder(round % 4 == 0 ? "user,item,time\n" : "");
        for (int i = 0; i < bytes.length; i++) {
          text.append(signs.charAt(random.nextInt(signs.length())));
        }
        bytes = text.toString().getBytes(StandardCharsets.UTF_8);
      }
      check(bytes, "random " + round);
    }
  }

  @Test
  void changedFiles() throws Exception {
    StringBuilder csv = new StringBuilder("user,item,time,rating\n");
    StringBuilder json = new StringBuilder();
    for (int i = 0; i < 60; i++) {
      csv.append(i % 7).append(",\"i ").append(i % 11).append("\",").append(1_400_000_000 + i);
      csv.append(",3\n");
      json.append("{\"user\":\"%d\",\"item\":%d,\"time\":%d}\n".formatted(i % 7, i % 11, i));
    }
    Path parquet = folder.resolve("whole.parquet");
    try (var connection = DriverManager.getConnection("jdbc:duckdb:");
        var statement = connection.createStatement()) {
      statement.execute(
          "COPY (SELECT i % 7 AS user, 'i' || i % 11 AS item, 1400000000 + i AS time FROM range(300)"
              + " t(i)) TO '"
              + parquet
              + "' (FORMAT parquet)");
    }
    Random random = new Random(12);
    for (byte[] whole :
        List.of(
            csv.toString().getBytes(StandardCharsets.UTF_8),
            json.toString().getBytes(StandardCharsets.UTF_8),
            gzip(csv.toString().getBytes(StandardCharsets.UTF_8)),
            Files.readAllBytes(parquet))) {
      check(whole, "whole");
      for (int round = 0; round < ROUNDS; round++) {
        check(changed(whole, random), "round " + round);
      }
    }
  }

  /** Fields written by the rules of RFC 4180, of whatever text, come back. */
  @Test
  void recordsComeBack() throws IOException {
    Random random = new Random(13);
    String signs = "ab,\"\n\ré ;";
    for (int round = 0; round < 200; round++) {
      List<List<String>> rows = new ArrayList<>();
      StringBuilder text = new StringBuilder();
      int columns = 2 + random.nextInt(3);
      for (int r = 0; r < 1 + random.nextInt(8); r++) {
        List<String> row = new ArrayList<>();
        for (int c = 0; c < columns; c++) {
          StringBuilder field = new StringBuilder();
          for (int n = random.nextInt(6); n > 0; n--) {
            field.append(signs.charAt(random.nextInt(signs.length())));
          }
          // Ends of lines within a field are newlines, whichever they were.
          row.add(field.toString().replace("\r\n", "\n").replace('\r', '\n'));
          boolean bare = field.chars().noneMatch(x -> "\",\n\r".indexOf(x) >= 0);
          text.append(c == 0 ? "" : ",");
          text.append(
              bare && random.nextBoolean()
                  ? field
                  : '"' + field.toString().replace("\"", "\"\"") + '"');
        }
        rows.add(row);
        text.append(random.nextBoolean() ? "\n" : "\r\n");
      }
      Path file = Files.writeString(folder.resolve("a.csv"), text);
      try (Lines lines = new Lines(file, n -> {})) {
        Delimited records = new Delimited(lines, ",", true, StandardCharsets.UTF_8);
        for (List<String> row : rows) {
          assertTrue(records.next());
          assertEquals(row, records.fields(), text.toString());
        }
        assertFalse(records.next());
      }
    }
  }

  private static byte[] changed(byte[] whole, Random random) {
    byte[] bytes = whole.clone();
    switch (random.nextInt(4)) {
      case 0 -> {
        for (int n = 1 + random.nextInt(8); n > 0; n--) {
          bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
        }
      }
      case 1 -> bytes = java.util.Arrays.copyOf(bytes, 1 + random.nextInt(bytes.length));
      case 2 -> {
        int from = random.nextInt(bytes.length);
        int n = Math.min(bytes.length - from, 1 + random.nextInt(40));
        System.arraycopy(whole, random.nextInt(bytes.length - n + 1), bytes, from, n);
      }
      default -> bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
    }
    return bytes;
  }

  private void check(byte[] bytes, String what) throws IOException {
    Path file = Files.write(folder.resolve("fuzz"), bytes);
    Plan plan =
        new Plan(
            "fuzz",
            null,
            new Plan.Log(List.of(Source.of(file)), null, null, null, null, null, null, false),
            new Plan.Items(Source.of(file), null, null, List.of(), "|", 3),
            null);
    assertTimeoutPreemptively(
        LONG,
        () -> {
          try (Import imported =
              Import.of(plan, Plan.Rules.NONE, new Plan.Room(folder, "200MB"), n -> {})) {
            assertTrue(imported.dataset().interactions() > 0, what);
          } catch (Refusal e) {
            assertNotNull(e.getMessage());
            assertTrue(e.getMessage().contains(file.toString()), what + ": " + e.getMessage());
          }
        },
        what);
  }

  private static byte[] gzip(byte[] bytes) throws IOException {
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (OutputStream out = new GZIPOutputStream(packed)) {
      out.write(bytes);
    }
    return packed.toByteArray();
  }
}
