package dev.rhumb.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResultTableTest {
  @TempDir Path folder;

  @Test
  void bothFilesHoldTheFigures() throws Exception {
    ResultTable table = new ResultTable("some", "Some work", "bench/some.sh", "abc");
    table.add(new Result("work", "B 1", "simd", 2, "time", 12.5, "us", "peer", 25.0));
    table.add(new Result("work", "B 2", "simd", 2, "HR@10", 0.31, "", null, null));
    table.note("A note.");
    table.write(folder);

    List<?> rows = (List<?>) Json.read(folder.resolve("some.json"));
    assertEquals(2, rows.size());
    JsonObject first = JsonObject.of(rows.get(0), "some.json");
    assertEquals(
        Set.of(
            "work",
            "shape",
            "backend",
            "threads",
            "metric",
            "value",
            "unit",
            "reference",
            "reference_value",
            "ratio",
            "command",
            "commit",
            "machine",
            "date"),
        first.keys());
    assertEquals(0.5, first.number("ratio"));
    assertEquals("abc", first.string("commit"));
    assertNull(JsonObject.of(rows.get(1), "some.json").value("ratio"));

    String page = Files.readString(folder.resolve("some.md"));
    assertTrue(page.contains("| work | B 1 | time | 12.50 us | peer | 25 | 0.5000 |"), page);
    assertTrue(page.contains("Command: `bench/some.sh`"), page);
    assertTrue(page.endsWith("\nA note.\n"), page);
  }
}
