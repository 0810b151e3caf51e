package dev.rhumb.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResultTableTest {
  @TempDir Path folder;

  @Test
  void bothFilesHoldTheFigures() throws Exception {
    ResultTable table = new ResultTable("some", "Some work", "bench/some.sh");
    Measured measured =
        new Measured("abc", "simd", 2, Map.of("time", 12.5, "HR@10", .31, "none", Double.NaN));
    table.add(Result.of("work", "B 1", measured, "time").in("us").against("peer", 25));
    table.add(Result.of("work", "B 2", measured, "HR@10").within(.30, .32));
    table.add(Result.of("work", "B 2", measured, "none"));
    table.note("A note.");
    table.write(folder);

    List<?> rows = (List<?>) Json.read(folder.resolve("some.json"));
    assertEquals(3, rows.size());
    JsonObject first = JsonObject.of(rows.get(0), "some.json");
    assertEquals(
        Set.of(
            "work",
            "shape",
            "backend",
            "threads",
            "metric",
            "value",
            "low",
            "high",
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
    JsonObject second = JsonObject.of(rows.get(1), "some.json");
    assertNull(second.value("ratio"));
    assertEquals(.30, second.number("low"));
    assertNull(JsonObject.of(rows.get(2), "some.json").value("value"));

    String page = Files.readString(folder.resolve("some.md"));
    assertTrue(page.contains("| work | shape | time, us |\n|---|---|---|\n"), page);
    assertTrue(page.contains("| work | B 1 | 12.50 |\n| *peer* | | *25* |\n"), page);
    assertTrue(page.contains("| work | B 2 | 0.3100 (0.3000 to 0.3200) | - |\n"), page);
    assertTrue(page.contains("Command: `bench/some.sh`"), page);
    assertTrue(page.endsWith("\nA note.\n"), page);
  }

  @Test
  void aPartIsMeasuredOnce() throws Exception {
    Path file = folder.resolve("part/figures.json");
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      Measured first =
          Measured.once(file, kernels, () -> Map.of("HR@10", .25, "not defined", Double.NaN));
      Measured again =
          Measured.once(
              file,
              kernels,
              () -> {
                throw new AssertionError("measured again");
              });
      assertEquals(first, again);
      assertEquals(.25, again.get("HR@10"));
      assertTrue(Double.isNaN(again.get("not defined")));
      assertThrows(IllegalArgumentException.class, () -> again.get("other"));
    }
  }
}
