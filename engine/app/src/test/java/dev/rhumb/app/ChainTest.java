package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.model.ModelFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands one after another, on a small generated world. */
class ChainTest {
  @TempDir private static Path home;
  private static Path data;
  private static Path model;
  private static JsonObject trained;
  private static JsonObject autoencoder;

  @BeforeAll
  static void trainOnce() {
    data = home.resolve("data");
    model = home.resolve("model");
    GeneratedWorld.Config config =
        new GeneratedWorld.Config(400, 60, 5, 2, 10, 20, .8, .9, .3, .01);
    try (GeneratedWorld world = GeneratedWorld.make(config, 1)) {
      world.dataset().save(data);
    }
    trained = good(train("--epochs", "8"));
    autoencoder =
        good(
            Cli.run(
                "sae",
                "--data",
                data,
                "-m",
                model,
                "--features",
                64,
                "--k",
                4,
                "--steps",
                400,
                "--batch",
                256,
                "--lr",
                "0.003",
                "--json"));
    good(
        Cli.run(
            "explain", "--data", data, "-m", model, "--report", home.resolve("report"), "--json"));
  }

  private static Cli train(Object... more) {
    List<Object> args =
        new ArrayList<>(
            List.of(
                "train",
                "--data",
                data,
                "--out",
                model,
                "--width",
                16,
                "--length",
                20,
                "--layers",
                1,
                "--lr",
                "0.01",
                "--batch",
                32,
                "--json"));
    args.addAll(List.of(more));
    return Cli.run(args.toArray());
  }

  private static JsonObject good(Cli cli) {
    assertEquals(0, cli.status(), cli.err());
    return cli.json();
  }

  @Test
  void trainingGivesAModelFolderWhoseDatasetItNames() {
    assertTrue(Files.exists(ModelFolder.weights(model)));
    assertEquals("generated", trained.string("dataset"));
    assertTrue(trained.objects("epochs").size() <= 8);
    double first = trained.objects("epochs").getFirst().number("loss");
    assertTrue(trained.objects("epochs").getLast().number("loss") < first);
  }

  @Test
  void trainingInAFolderThatHoldsARunIsRefusedAndResumingIsNot() {
    Cli again = train("--epochs", "8");
    assertEquals(1, again.status());
    assertTrue(again.json().string("error").contains("resume"), again.out());
    good(train("--epochs", "8", "--resume"));
    Cli other = train("--epochs", "8", "--resume", "--seed", "7");
    assertEquals(1, other.status());
    assertEquals(1, other.err().lines().count(), other.err());
  }

  private static Cli sae(Path folder, Object... more) {
    List<Object> args =
        new ArrayList<>(
            List.of("sae", "--data", data, "-m", folder, "--steps", 30, "--batch", 64, "--json"));
    args.addAll(List.of(more));
    return Cli.run(args.toArray());
  }

  /** A model folder of its own, without autoencoders. */
  private static Path copyOfModel(String name) throws IOException {
    Path copy = Files.createDirectory(home.resolve(name));
    for (String file : List.of("config.json", "model.safetensors", "items.tsv")) {
      Files.copy(model.resolve(file), copy.resolve(file));
    }
    return copy;
  }

  @Test
  void severalAutoencodersLearnFromOneCacheAsEachWouldAlone() throws IOException {
    Path own = copyOfModel("several");
    Path cache = home.resolve("cache");
    Object[] grid = {"--features", "16,24", "--k", "2,4", "--cache", cache};
    JsonObject result = good(sae(own, grid));
    List<JsonObject> all = result.objects("autoencoders");
    assertEquals(
        List.of("f16-k2", "f16-k4", "f24-k2", "f24-k4"),
        all.stream().map(one -> one.string("folder").replaceFirst(".*@", "")).toList());
    assertTrue(Files.exists(cache.resolve("rows-000000.safetensors")));
    JsonObject alone = good(sae(own, "--features", 24, "--k", 2, "--name", "alone"));
    for (String file : List.of("cfg.json", "sae_weights.safetensors")) {
      assertArrayEquals(
          Files.readAllBytes(Path.of(alone.string("folder"), file)),
          Files.readAllBytes(own.resolve("sae/block-0@f24-k2").resolve(file)),
          file);
    }
    Cli other = sae(own, "--site", "last", "--cache", cache);
    assertEquals(1, other.status());
    assertTrue(
        other.err().contains("cache.json: site: is block 0, but last is wanted"), other.err());
    Cli twice = sae(own, "--features", "16,16");
    assertEquals(2, twice.status());
    Cli which = Cli.run("explain", "--data", data, "-m", own);
    assertEquals(1, which.status());
    assertTrue(which.err().contains("block-0@f24-k2"), which.err());
    Path report = home.resolve("report of one");
    good(
        Cli.run(
            "explain",
            "--data",
            data,
            "-m",
            own,
            "--sae",
            "block-0@f16-k4",
            "--report",
            report,
            "--json"));
    assertTrue(Files.exists(own.resolve("sae/block-0@f16-k4/features.tsv")));
    assertTrue(Files.exists(own.resolve("sae/block-0@f16-k4/concepts.json")));
  }

  @Test
  void autoencodersGoOutAndComeIn() throws IOException {
    Path out = home.resolve("layers.0");
    good(Cli.run("sae", "-m", model, "--export", "sparsify", "--out", out, "--json"));
    Path own = copyOfModel("imports");
    Path stale = own.resolve("sae/block-0/features.tsv");
    Files.createDirectories(stale.getParent());
    Files.writeString(stale, "labels of another");
    JsonObject taken = good(sae(own, "--import", out));
    assertFalse(Files.exists(stale));
    assertEquals(own.resolve("sae/block-0").toString(), taken.string("folder"));
    assertEquals(
        autoencoder.number("explained_variance"), taken.number("explained_variance"), 1e-9);
    Cli layout = Cli.run("sae", "-m", model, "--export", "gguf", "--out", out);
    assertEquals(1, layout.status());
    assertTrue(layout.err().contains("there are saelens, sparsify"), layout.err());
    assertEquals(2, Cli.run("sae", "-m", model, "--export", "saelens").status());
    Cli nothing = sae(own, "--import", home);
    assertEquals(1, nothing.status());
    assertTrue(nothing.err().contains("sae_weights.safetensors"), nothing.err());
  }

  @Test
  void onlyOneAtATimeWritesToAModelFolderAndAllMayRead() {
    try (FolderLock _ = FolderLock.take(model, "a test")) {
      List<Cli> writers =
          List.of(train("--epochs", "8", "--resume"), Cli.run("sae", "--data", data, "-m", model));
      for (Cli writer : writers) {
        assertEquals(1, writer.status());
        assertTrue(writer.err().contains("is being written to by process "), writer.err());
        assertTrue(writer.err().contains("(a test since "), writer.err());
      }
      good(Cli.run("evaluate", "--data", data, "-m", model, "--json"));
    }
  }

  @Test
  void impossibleSettingsAreRefusedByName() {
    Cli heads = Cli.run("train", "--data", data, "--out", home.resolve("no"), "--heads", 3);
    assertEquals(1, heads.status());
    assertTrue(heads.err().contains("width 64 is no multiple of 3 heads"), heads.err());
    Cli kept = Cli.run("sae", "--data", data, "-m", model, "--features", 8, "--k", 9);
    assertEquals(1, kept.status());
    assertTrue(kept.err().contains("K = 9 must be from 1 to 8"), kept.err());
    Cli style = Cli.run("train", "--data", data, "--style", "gpt5");
    assertEquals(2, style.status());
    Cli split = Cli.run("train", "--data", data, "--split", "by-moon");
    assertEquals(1, split.status());
    assertTrue(split.err().contains("cold-users"), split.err());
  }

  @Test
  void evaluationBeatsPopularityInAWorldWithInterests() {
    JsonObject result = good(Cli.run("evaluate", "--data", data, "-m", model, "--json"));
    assertTrue(
        result.object("metrics").number("ndcg") > result.object("popularity").number("ndcg"));
  }

  @Test
  void aModelIsTestedAgainstABaselineOnTheSplitItWasTrainedOn() {
    JsonObject result =
        good(Cli.run("evaluate", "--data", data, "-m", model, "--against", "popularity", "--json"));
    assertEquals(2, result.objects("rankers").size());
    JsonObject ndcg = result.objects("comparisons").getFirst().objects("metrics").get(1);
    assertEquals("ndcg@10", ndcg.string("metric"));
    assertTrue(ndcg.object("permutation").number("p") < .01);
    assertEquals(result.object("metrics").number("ndcg"), ndcg.number("first"), 1e-12);
    Cli both = Cli.run("evaluate", "--data", data, "-b", "markov", "--against", model, "--json");
    assertEquals(2, good(both).objects("rankers").size());
    Cli split = Cli.run("evaluate", "--data", data, "-m", model, "--split", "cold-users");
    assertEquals(1, split.status());
    assertTrue(split.err().contains("which is leave-one-out"), split.err());
  }

  @Test
  void otherDataThanTheModelsAreRefused() {
    Path other = home.resolve("other");
    GeneratedWorld.Config config = new GeneratedWorld.Config(20, 30, 3, 2, 5, 8, .8, .9, .3, .01);
    try (GeneratedWorld world = GeneratedWorld.make(config, 2)) {
      world.dataset().save(other);
    }
    String theirs = "are not those that the model in " + model + " was trained on";
    for (Object[] command :
        new Object[][] {
          {"evaluate"}, {"sae", "--steps", 1}, {"explain"}, {"steer", "-c", "interest-0"}
        }) {
      List<Object> args = new ArrayList<>(List.of(command));
      args.addAll(List.of("--data", other, "-m", model));
      Cli cli = Cli.run(args.toArray());
      assertEquals(1, cli.status());
      assertTrue(cli.err().matches("(?s).*data generated \\(fingerprint \\w{12}.*"), cli.err());
      assertTrue(cli.err().contains(theirs), cli.err());
      assertTrue(cli.err().contains("name those (generated, fingerprint "), cli.err());
    }
  }

  @Test
  void aFolderWithoutAModelIsRefused() {
    Cli cli = Cli.run("evaluate", "--data", data, "-m", home.resolve("nothing"));
    assertEquals(1, cli.status());
    assertTrue(cli.err().contains("rhumb train"), cli.err());
  }

  @Test
  void theAutoencoderIsJudgedOnUsersItDidNotLearnFrom() {
    assertTrue(autoencoder.number("explained_variance") > .5, autoencoder.toString());
    assertEquals(4, autoencoder.number("l0"), 1.0);
  }

  @Test
  void autoencodersOfEveryVariantStandSideBySide() throws IOException {
    Path several = copyOfModel("variants");
    for (String[] variant :
        new String[][] {
          {"batch-topk", "--k", "4"},
          {"matryoshka", "--k", "4", "--prefixes", "16,64"},
          {"jump-relu", "--l0", "0.01", "--bandwidth", "0.1"},
          {"gated", "--l1", "0.2"},
          {"relu-l1", "--l1", "0.2", "--error", "unsquared", "--raw", "--resamples", "0"}
        }) {
      List<Object> args = new ArrayList<>(List.of("sae", "--data", data, "-m", several));
      args.addAll(List.of("--features", 64, "--steps", 100, "--batch", 256));
      args.addAll(List.of("--name", variant[0], "--json", "--variant"));
      args.addAll(List.of(variant));
      JsonObject result = good(Cli.run(args.toArray()));
      assertEquals(variant[0], result.string("variant"));
      assertTrue(result.number("explained_variance") > .2, result.keys() + " " + variant[0]);
      assertTrue(result.number("l0") > .5 && result.number("l0") < 60, variant[0]);
      assertTrue(Math.abs(result.number("cross_entropy_added")) < 2, variant[0]);
    }
    Path report = home.resolve("several-report");
    String gated = "block-0@gated";
    good(
        Cli.run(
            "explain",
            "--data",
            data,
            "-m",
            several,
            "--sae",
            gated,
            "--report",
            report,
            "--json"));
    assertTrue(Files.exists(several.resolve("sae/block-0@gated/features.tsv")));
    JsonObject list =
        good(
            Cli.run(
                "recommend",
                "-m",
                several,
                "--sae",
                gated,
                "-H",
                "1",
                "-H",
                "2",
                "-e",
                "5:set:30",
                "--json"));
    assertNotEquals(ids(list, "recommended"), ids(list, "steered"));
  }

  @Test
  void optionsThatDoNotGoWithAVariantAreRefused() {
    for (String[] bad :
        new String[][] {
          {"topk", "--l1", "1", "takes --k"},
          {"gated", "--k", "4", "takes --l1"},
          {"relu-l1", "--error", "cubed", "there are unsquared and squared"},
          {"matryoshka", "--selection", "gated", "there are topk and batch-topk"},
          {"matryoshka", "--prefixes", "16,8", "must ascend"},
          {"jump-relu", "--bandwidth", "0", "bandwidth 0.0"},
          {"spline", "--k", "4", "there are topk, batch-topk"},
          {"topk", "--name", "..", "must be of up to 64"}
        }) {
      Cli cli = Cli.run("sae", "--data", data, "-m", model, "--variant", bad[0], bad[1], bad[2]);
      assertEquals(1, cli.status(), cli.err());
      assertTrue(cli.err().contains(bad[3]), cli.err());
    }
  }

  @Test
  void theReportIsWritten() throws IOException {
    String page = Files.readString(home.resolve("report").resolve("index.html"));
    assertTrue(page.contains("interest-00"));
    assertTrue(page.contains("Chart"));
    assertTrue(page.contains("<td>calibration (KL)<td class=n>"), "the table of all metrics");
  }

  @Test
  void steeringRaisesTheShareOfItsConcept() {
    JsonObject result =
        good(
            Cli.run(
                "steer",
                "--data",
                data,
                "-m",
                model,
                "-c",
                concept(),
                "--strength",
                "0,6",
                "--write",
                "delta",
                "--dose",
                ".5",
                "--json"));
    JsonObject dose = result.objects("doses").getFirst();
    // Not every user's list of this small world can be half of one interest.
    assertEquals(.5, dose.object("outcome").number("share"), .1);
    assertEquals(2, Cli.run("steer", "--data", data, "-m", model, "--dose", "5").status());
    JsonObject curve = result.objects("curves").getFirst();
    double before = curve.object("original").number("share");
    List<JsonObject> points = curve.objects("points");
    assertEquals(before, points.getFirst().object("outcome").number("share"));
    assertTrue(
        points.getLast().object("outcome").number("share") > before + .1, curve.keys().toString());
  }

  @Test
  void anUnknownConceptIsRefusedWithTheNearest() {
    String misspelt = concept().replace("interest", "intrest");
    Cli steer = Cli.run("steer", "--data", data, "-m", model, "-c", misspelt);
    assertEquals(1, steer.status());
    assertTrue(steer.err().contains(concept()), steer.err());
    Cli recommend = Cli.run("recommend", "-m", model, "-H", "Item 1", "-e", misspelt + "=2");
    assertEquals(1, recommend.status());
    assertTrue(recommend.err().contains(concept()), recommend.err());
    assertEquals("", recommend.out().lines().filter(l -> l.contains("after")).findAny().orElse(""));
  }

  @Test
  void recommendationsLeaveOutTheHistoryAndGiveReasons() {
    JsonObject result =
        good(
            Cli.run(
                "recommend", "-m", model, "-H", "1", "-H", "item 2", "-H", "3", "-k", 5, "--json"));
    List<JsonObject> items = result.objects("recommended");
    assertEquals(5, items.size());
    for (JsonObject item : items) {
      assertFalse(List.of("1", "2", "3").contains(item.string("id")));
    }
    assertTrue(items.stream().anyMatch(item -> !item.objects("reasons").isEmpty()));
  }

  @Test
  void editsByNumberAndByNameChangeTheList() {
    for (String edit : List.of(concept() + "=8", feature() + ":add:20", feature() + ":set:30")) {
      JsonObject result = good(Cli.run("recommend", "-m", model, "-H", "1", "-e", edit, "--json"));
      assertNotEquals(ids(result, "recommended"), ids(result, "steered"), edit);
    }
  }

  @Test
  void malformedEditsAreRefused() {
    for (String edit : List.of("17", "17:set", "17:set:much", "17:double:2", "17:ablate:1", "=3")) {
      Cli cli = Cli.run("recommend", "-m", model, "-H", "1", "-e", edit);
      assertEquals(1, cli.status(), edit);
      assertTrue(cli.err().contains("FEATURE:add:X"), cli.err());
    }
    Cli missing = Cli.run("recommend", "-m", model, "-H", "1", "-e", "64:ablate");
    assertEquals(1, missing.status());
    assertTrue(missing.err().contains("features 0 to 63"), missing.err());
  }

  @Test
  void anEmptyHistoryIsWrongUsageAndUnknownItemsAreNamed() {
    assertEquals(2, Cli.run("recommend", "-m", model).status());
    Cli cli = Cli.run("recommend", "-m", model, "-H", "1", "-H", "Itme 12");
    assertEquals(1, cli.status());
    assertTrue(cli.err().contains("'Itme 12'"), cli.err());
    assertTrue(cli.err().contains("\"Item 12\""), cli.err());
  }

  @Test
  void aLongHistoryIsCutToItsNewestPartAndSaidSo() {
    List<Object> args = new ArrayList<>(List.of("recommend", "-m", model, "--json"));
    for (int i = 1; i <= 30; i++) {
      args.addAll(List.of("-H", i));
    }
    Cli cli = Cli.run(args.toArray());
    assertEquals(0, cli.status(), cli.err());
    assertTrue(cli.err().contains("newest 20"), cli.err());
    List<String> ids = ids(cli.json(), "recommended");
    for (int i = 1; i <= 30; i++) {
      assertFalse(ids.contains(Integer.toString(i)));
    }
  }

  private static List<String> ids(JsonObject result, String list) {
    return result.objects(list).stream().map(item -> item.string("id")).toList();
  }

  /** The clearest concept. */
  private static String concept() {
    JsonObject steer =
        good(
            Cli.run(
                "steer",
                "--data",
                data,
                "-m",
                model,
                "--strength",
                "1",
                "--write",
                "delta",
                "--json"));
    return steer.objects("curves").getFirst().string("concept");
  }

  /** A feature that matters for the first item. */
  private static String feature() {
    JsonObject result = good(Cli.run("recommend", "-m", model, "-H", "1", "--json"));
    for (JsonObject item : result.objects("recommended")) {
      for (JsonObject reason : item.objects("reasons")) {
        return Long.toString(reason.integer("feature", 0, 63));
      }
    }
    throw new AssertionError("no reason is given");
  }
}
