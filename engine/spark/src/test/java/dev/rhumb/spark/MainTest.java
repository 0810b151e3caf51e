package dev.rhumb.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The command line: what it prints and its exit status. */
class MainTest {
  @TempDir Path temporary;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... args) {
    return Main.run(new PrintWriter(out), new PrintWriter(err), args);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "''|a job is missing",
        "evaluate --data d|--model",
        "recommend --model m --data d|--out",
        "evaluate --model m --data d -k 0|k = 0",
        "evaluate --model m --data d -k ten|ten",
        "evaluate --model m --data d --partitions 0|partitions = 0",
        "evaluate --model m --data d --split halves|leave-one-out, cold-users"
      })
  void wrongUsageIsTold(String line, String told) {
    assertEquals(2, run(line.isEmpty() ? new String[0] : line.split(" ")));
    assertTrue(err.toString().contains(told), err::toString);
    assertTrue(err.toString().contains("Usage: rhumb-spark"), err::toString);
    assertEquals("", out.toString());
  }

  @Test
  void bothJobsRun() {
    World world = World.write(temporary, 3);
    String[] model = {"--model", world.model().toString(), "--data", world.data().toString()};
    assertEquals(0, run("evaluate", model[0], model[1], model[2], model[3]), err::toString);
    assertTrue(
        out.toString().matches("560 test cases: HR@10 0\\.\\d{4}, NDCG@10 .*\\R"), out::toString);
    Path lists = temporary.resolve("lists");
    assertEquals(
        0,
        run("recommend", model[0], model[1], model[2], model[3], "--out", lists.toString()),
        err::toString);
    assertTrue(Files.exists(lists.resolve("_SUCCESS")));
  }

  @Test
  void aFailureIsOneLine() {
    World world = World.write(temporary, 3);
    String nowhere = temporary.resolve("nowhere").toString();
    assertEquals(1, run("evaluate", "--model", nowhere, "--data", world.data().toString()));
    assertEquals(1, err.toString().lines().count(), err::toString);
    assertTrue(err.toString().contains("is no model folder"), err::toString);
    assertFalse(err.toString().contains("Exception"), err::toString);
  }
}
