package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.GeneratedWorld;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The options of {@code rhumb train} that choose a loss and how it is made small. */
class TrainOptionsTest {
  @TempDir private static Path home;
  private static Path data;

  @BeforeAll
  static void makeData() {
    data = home.resolve("data");
    GeneratedWorld.Config config = new GeneratedWorld.Config(60, 40, 4, 2, 8, 16, .8, .9, .3, .01);
    try (GeneratedWorld world = GeneratedWorld.make(config, 1)) {
      world.dataset().save(data);
    }
  }

  private static Cli train(Path into, String options) {
    List<Object> args =
        new ArrayList<>(
            List.of("train", "--data", data, "--out", into, "--width", 8, "--layers", 1));
    args.addAll(List.of("--length", 16, "--batch", 32, "--epochs", 2, "--json"));
    if (!options.isEmpty()) {
      args.addAll(List.of(options.split(" ")));
    }
    return Cli.run(args.toArray());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "--loss sampled",
        "--loss sampled --negatives 20 --proposal popularity --popularity-power 0.5",
        "--loss sampled --negatives 20 --proposal in-batch",
        "--loss bce",
        "--loss bce --negatives 5",
        "--loss gbce --negatives 10 --gbce-t 0.5",
        "--loss ce --warm-up 2 --schedule cosine --weight-decay 0.01 --ema 0.9 --clip 1",
        "--validate-every 2 --metric hr",
      })
  void everyChoiceTrainsAndResumes(String options, @TempDir Path into) {
    Cli first = train(into, options);
    assertEquals(0, first.status(), first.err());
    List<JsonObject> epochs = first.json().objects("epochs");
    assertEquals(2, epochs.size());
    Cli resumed = train(into, (options + " --resume").strip());
    assertEquals(2, resumed.json().objects("epochs").size(), resumed.err());
  }

  @Test
  void validationInStepsReportsBySteps(@TempDir Path into) {
    Cli cli = train(into, "--validate-every-steps 1");
    assertEquals(0, cli.status(), cli.err());
    List<JsonObject> reports = cli.json().objects("epochs");
    assertEquals(4, reports.size());
    assertEquals(3, reports.get(2).integer("step", 1, 9));
    assertEquals(2, reports.get(2).integer("epoch", 1, 9));
  }

  @Test
  void whatDoesNotGoTogetherIsRefusedByOption(@TempDir Path into) {
    String[][] refused = {
      {"--negatives 5", "--negatives: has no use with --loss ce"},
      {"--loss bce --proposal uniform", "--proposal: has no use with --loss bce"},
      {"--loss sampled --gbce-t 0.5", "--gbce-t: has no use with --loss sampled"},
      {"--loss sampled --popularity-power 0.5", "--proposal popularity"},
      {"--loss bce --negatives 0", "--negatives: 0 is out of bounds; give a number from 1 to"},
      {"--loss gbce --gbce-t 1.5", "--gbce-t: 1.5 is out of bounds; give a number from 0 to 1"},
      {"--loss gbce --negatives 40", "40 negatives must be at most 39"},
      {"--ema 1", "--ema: 1.0 is out of bounds; give a number from 0 to below 1"},
      {"--lr NaN", "--lr: NaN is out of bounds; give a number above 0"},
      {"--warm-up 100", "must be at most 4, all steps of 2 epochs"},
      {"--validate-every 2 --validate-every-steps 9", "give one of them"},
      {"--validate-every 0", "validation every 0 must be 1 or more"},
    };
    for (String[] pair : refused) {
      Cli cli = train(into, pair[0]);
      assertEquals(1, cli.status(), pair[0]);
      assertTrue(cli.err().contains(pair[1]), cli.err());
      assertEquals(1, cli.err().lines().count(), cli.err());
      assertFalse(Files.exists(into.resolve("config.json")), pair[0]);
    }
    assertEquals(2, train(into, "--loss hinge").status());
  }
}
