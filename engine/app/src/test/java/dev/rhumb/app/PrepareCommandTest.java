package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.Dataset;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PrepareCommandTest {
  @TempDir private Path home;
  private Path log;
  private Path out;

  @BeforeEach
  void write() throws IOException {
    Random random = new Random(1);
    StringBuilder text = new StringBuilder("visitorid,itemid,timestamp,stars\n");
    for (int user = 0; user < 60; user++) {
      long time = 1_400_000_000_000L + random.nextInt(1_000_000_000);
      for (int n = 0; n < 8; n++) {
        time += random.nextInt(100_000_000);
        text.append(user).append(",i").append(random.nextInt(20)).append(',').append(time);
        text.append(',').append(1 + random.nextInt(5)).append('\n');
      }
    }
    log = Files.writeString(home.resolve("log.csv"), text + "1,i1,-5,3\n,i1,1400000000000,3\n");
    out = home.resolve("out");
  }

  @Test
  void whatWasGuessedAndLeftOutIsShown() throws IOException {
    Path items =
        Files.writeString(
            home.resolve("items.tsv"), "itemid\ttitle\tgenre\ni1\tOne\ta|b\nzz\tZ\ta\n");
    Path tags = Files.writeString(home.resolve("tags.csv"), "item,tag\ni1,Odd\ni2,odd\n");
    Object[] line = {
      "prepare",
      "--interactions",
      log,
      "--items",
      items,
      "--tags",
      tags,
      "--min-tag",
      2,
      "--out",
      out
    };
    Cli cli = Cli.run(line);
    assertEquals(0, cli.status(), cli.err());
    for (String shown :
        new String[] {
          "user: visitorid, item: itemid, time: timestamp",
          "parted by ','",
          "times in milliseconds",
          "interaction rows with a time before 1970",
          "rows left out of 482",
          "described items without an interaction",
          "items without attributes",
          "tag odd 2"
        }) {
      assertTrue(cli.out().contains(shown), shown + " is missing in " + cli.out());
    }
    Cli json = Cli.run(append(line, "--json"));
    JsonObject result = json.json();
    assertEquals("visitorid", result.object("columns").string("user"));
    assertEquals(482, result.integer("rows", 0, 1000));
    assertEquals(1, result.object("dropped").integer("interaction rows with no user", 0, 9));
    try (Dataset d = Dataset.load(out)) {
      assertEquals("log", d.name());
      assertEquals(result.string("fingerprint"), d.fingerprint());
      assertEquals("One", d.title(d.itemOf("i1")));
      assertTrue(d.hasTimes());
    }
  }

  @Test
  void rulesAndStrictness() {
    Cli cli =
        Cli.run(
            "prepare",
            "--interactions",
            log,
            "--out",
            out,
            "--min-rating",
            "3",
            "--repeats",
            "first",
            "--max-length",
            5,
            "--k-core",
            3,
            "--min-length",
            4,
            "--name",
            "mine",
            "--json");
    assertEquals(0, cli.status(), cli.err());
    try (Dataset d = Dataset.load(out)) {
      assertEquals("mine", d.name());
      for (int user = 0; user < d.users(); user++) {
        assertTrue(d.length(user) >= 4 && d.length(user) <= 5);
      }
    }
    Cli strict = Cli.run("prepare", "--interactions", log, "--out", out, "--strict");
    assertEquals(1, strict.status());
    assertTrue(strict.err().contains("log.csv, line 482: the row has a time before"), strict.err());
    Cli taken = Cli.run("prepare", "--interactions", log, "--out", home);
    assertEquals(1, taken.status());
    assertTrue(taken.err().contains("is there and is no dataset"), taken.err());
  }

  @Test
  void aFolderThatWasCutShortIsTakenAgain() throws IOException {
    assertEquals(0, Cli.run("prepare", "--interactions", log, "--out", out).status());
    Files.delete(out.resolve("dataset.json"));
    Cli again = Cli.run("prepare", "--interactions", log, "--out", out);
    assertEquals(0, again.status(), again.err());
  }

  @ParameterizedTest
  @CsvSource({
    "--k-core 0", "--min-length 0", "--max-length -1", "--max-length 3 --k-core 4", "--bins -1",
    "--min-tag 0", "--data x", "--repeats some", "--time-unit days", "--encoding klingon",
    "--min-rating NaN"
  })
  void wrongUsage(String options) {
    Object[] line = {"prepare", "--interactions", log, "--out", out};
    Cli cli = Cli.run(append(line, (Object[]) options.split(" ")));
    assertEquals(2, cli.status(), cli.err());
    assertFalse(Files.exists(out));
  }

  @Test
  void aModelOfASplitByTime() {
    assertEquals(0, Cli.run("prepare", "--interactions", log, "--out", out).status());
    Path model = home.resolve("model");
    Cli trained =
        Cli.run(
            "train",
            "--data",
            out,
            "--model",
            model,
            "--split",
            "time:validation=0.7",
            "--width",
            8,
            "--layers",
            1,
            "--length",
            8,
            "--epochs",
            1);
    assertEquals(0, trained.status(), trained.err());
    Cli judged = Cli.run("evaluate", "--data", out, "--model", model, "-k", 5, "--json");
    assertEquals(0, judged.status(), judged.err());
    String split = judged.json().string("split");
    assertTrue(split.startsWith("time:validation=2014-"), split);
    Cli same =
        Cli.run(
            "evaluate", "--data", out, "--model", model, "-k", 5, "--split", "time:validation=0.7");
    assertEquals(0, same.status(), same.err());
    Cli other = Cli.run("evaluate", "--data", out, "--model", model, "-k", 5, "--split", "time");
    assertEquals(1, other.status());
    assertTrue(other.err().contains("is not the split that the model was trained on"), other.err());
  }

  private static Object[] append(Object[] line, Object... more) {
    Object[] all = java.util.Arrays.copyOf(line, line.length + more.length);
    System.arraycopy(more, 0, all, line.length, more.length);
    return all;
  }
}
