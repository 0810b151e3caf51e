package dev.rhumb.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.eval.Estimate;
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

  private ResultTable table() throws Exception {
    return new ResultTable(folder, "some", "Some work", "bench/some.sh");
  }

  private static void part(ResultTable table, String shape, double hits) throws Exception {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      table.part(
          "work",
          shape,
          kernels,
          new Figures.Reference("peer", Map.of("time", 25.)),
          figures -> {
            figures.add("time", 12.5, "us");
            figures.add("HR@10", new Estimate(hits, hits - .01, hits + .01, 9));
            figures.add("none", Double.NaN);
          });
    }
  }

  @Test
  void bothFilesHoldTheFigures() throws Exception {
    ResultTable table = table();
    table.note("A note.");
    part(table, "B 1", .31);
    table.write();

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
    JsonObject second = JsonObject.of(rows.get(1), "some.json");
    assertNull(second.value("ratio"));
    assertEquals(.30, second.number("low"), 1e-9);
    assertNull(JsonObject.of(rows.get(2), "some.json").value("value"));

    String page = Files.readString(folder.resolve("some.md"));
    assertTrue(
        page.contains("| work | shape | time, us | HR@10 | none |\n|---|---|---|---|---|\n"), page);
    assertTrue(page.contains("| work | B 1 | 12.50 | 0.3100 (0.3000 to 0.3200) | - |\n"), page);
    assertTrue(page.contains("| *peer* | | *25* | | |\n"), page);
    assertTrue(page.contains("Command: `bench/some.sh`"), page);
    assertTrue(page.endsWith("\nA note.\n"), page);
  }

  @Test
  void whatTheFilesHoldIsNotMeasuredAgain() throws Exception {
    ResultTable table = table();
    part(table, "seed 1", .3);
    table.means("work");
    table.write();
    String before = Files.readString(folder.resolve("some.md"));
    assertFalse(before.contains("mean of"), before);

    ResultTable again = table();
    again.part(
        "work",
        "seed 1",
        null,
        Figures.Reference.NONE,
        figures -> {
          throw new AssertionError("measured again");
        });
    again.write();
    assertEquals(before, Files.readString(folder.resolve("some.md")));

    part(again, "seed 2", .4);
    again.means("work");
    again.write();
    ResultTable third = table();
    part(third, "seed 2", .9);
    // A part that was not asked for stays, and the mean is that of the parts that were.
    third.means("work");
    third.write();
    String page = Files.readString(folder.resolve("some.md"));
    assertTrue(page.contains("| work | seed 1 |"), page);
    assertTrue(page.contains("| work | seed 2 | 12.50 | 0.4000 "), page);
  }

  @Test
  void meansStandBesideTheLowestAndTheHighest() throws Exception {
    ResultTable table = table();
    part(table, "seed 1", .3);
    part(table, "seed 2", .4);
    table.means("work");
    table.write();
    String page = Files.readString(folder.resolve("some.md"));
    assertTrue(
        page.contains("| work | mean of 2 | 12.50 (12.50 to 12.50) | 0.3500 (0.3000 to 0.4000) |"),
        page);
    // Once more from the files: one line of means, not two.
    ResultTable again = table();
    part(again, "seed 1", 0);
    part(again, "seed 2", 0);
    again.means("work");
    again.write();
    assertEquals(page, Files.readString(folder.resolve("some.md")));
    // One more part: its line of means takes the place of the earlier one, which is no part.
    part(again, "seed 3", .8);
    again.means("work");
    again.write();
    page = Files.readString(folder.resolve("some.md"));
    assertTrue(
        page.contains("| work | mean of 3 | 12.50 (12.50 to 12.50) | 0.5000 (0.3000 to 0.8000) |"),
        page);
    assertFalse(page.contains("mean of 2"), page);
  }
}
