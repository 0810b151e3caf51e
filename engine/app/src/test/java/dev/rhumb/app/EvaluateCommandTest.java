package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.GeneratedWorld;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Baselines, intervals and tests by the command; models are in {@link ChainTest}. */
class EvaluateCommandTest {
  @TempDir private static Path home;
  private static Path data;

  @BeforeAll
  static void makeData() {
    data = home.resolve("data");
    world(data, 1);
  }

  private static void world(Path folder, long seed) {
    GeneratedWorld.Config config =
        new GeneratedWorld.Config(300, 60, 5, 2, 10, 20, .8, .9, .3, .01);
    try (GeneratedWorld world = GeneratedWorld.make(config, seed)) {
      world.dataset().save(folder);
    }
  }

  private static Cli evaluate(Object... args) {
    List<Object> all = new ArrayList<>(List.of("evaluate", "--data", data));
    all.addAll(List.of(args));
    return Cli.run(all.toArray());
  }

  private static JsonObject good(Cli cli) {
    assertEquals(0, cli.status(), cli.err());
    return cli.json();
  }

  private static void refused(int status, String word, Cli cli) {
    assertEquals(status, cli.status(), cli.err());
    assertTrue(cli.err().contains(word), cli.err());
  }

  private static double value(JsonObject ranker, String metric) {
    return ranker.object("metrics").object(metric).number("value");
  }

  @Test
  void baselinesOnMovieLens1M() {
    Path folder = TestFiles.realData("ml-1m");
    JsonObject result =
        good(
            Cli.run(
                "evaluate",
                "--data",
                folder,
                "-b",
                "popularity,markov",
                "--resamples",
                0,
                "--json"));
    assertEquals(6040, result.integer("cases", 0, 10_000));
    List<JsonObject> rankers = result.objects("rankers");
    assertEquals(.0369, value(rankers.get(0), "hr@10"), 5e-5);
    assertEquals(.0180, value(rankers.get(0), "ndcg@10"), 5e-5);
    assertEquals(.2144, value(rankers.get(1), "hr@10"), 5e-5);
    assertEquals(.1259, value(rankers.get(1), "ndcg@10"), 5e-5);
  }

  @Test
  void baselinesOnMovieLensLatestSmall() {
    Path folder = TestFiles.realData("ml-latest-small");
    JsonObject result =
        good(
            Cli.run(
                "evaluate",
                "--data",
                folder,
                "-b",
                "popularity,markov,item-knn",
                "--half-life",
                3,
                "--json"));
    List<JsonObject> rankers = result.objects("rankers");
    double popularity = value(rankers.get(0), "ndcg@10");
    assertTrue(value(rankers.get(1), "ndcg@10") > popularity);
    assertTrue(value(rankers.get(2), "ndcg@10") > popularity);
    JsonObject interval = rankers.get(1).object("metrics").object("ndcg@10");
    assertTrue(interval.number("low") < interval.number("value"));
    assertTrue(interval.number("value") < interval.number("high"));
  }

  @Test
  void severalRankersMetricsAndLengthsInOneTable() {
    Cli text = evaluate("-b", "popularity", "-b", "item-knn", "-k", "5,10", "--attributes");
    assertEquals(0, text.status(), text.err());
    for (String word :
        List.of("popularity", "item-knn", "NDCG@5", "NDCG@10", "Gini@10", "95 %", "interest-00")) {
      assertTrue(text.out().contains(word), word + ": " + text.out());
    }
    JsonObject result =
        good(
            evaluate(
                "-b", "markov", "--metrics", "recall,HR,map,mrr,precision", "-k", 4, "--json"));
    JsonObject markov = result.objects("rankers").getFirst();
    assertEquals(5, markov.object("metrics").keys().size());
    assertEquals(value(markov, "hr@4"), value(markov, "recall@4"));
    assertEquals(value(markov, "hr@4") / 4, value(markov, "precision@4"), 1e-12);
    assertEquals(value(markov, "mrr@4"), value(markov, "map@4"));
    assertFalse(result.has("comparisons"));
    assertEquals(5, markov.object("attribute_shares").object("@4").keys().size());
  }

  @Test
  void filesOfUsersGiveTheSameTestsAsTheRankers() throws IOException {
    Path markov = home.resolve("markov.tsv");
    Path popularity = home.resolve("popularity.tsv");
    good(evaluate("-b", "markov", "--per-user", markov, "--json"));
    good(evaluate("-b", "popularity", "--per-user", popularity, "--json"));
    JsonObject files = good(Cli.run("evaluate", "--compare", markov, popularity, "--json"));
    JsonObject rankers = good(evaluate("-b", "markov", "--against", "popularity", "--json"));
    assertEquals(files.value("comparisons"), rankers.value("comparisons"));
    JsonObject comparison = files.objects("comparisons").getFirst();
    assertEquals("markov", comparison.string("first"));
    JsonObject ndcg = comparison.objects("metrics").get(1);
    assertEquals("ndcg@10", ndcg.string("metric"));
    assertTrue(ndcg.object("t_test").number("p_holm") < .01);
    assertTrue(ndcg.object("difference").number("low") > 0);
    Cli text = Cli.run("evaluate", "--compare", markov, popularity, "--metrics", "novelty");
    assertEquals(0, text.status(), text.err());
    assertTrue(text.out().contains("novelty@10") && text.out().contains("p Wilcoxon"), text.out());
    refused(
        1,
        "no metric of a case",
        Cli.run("evaluate", "--compare", markov, popularity, "--metrics", "gini"));
    Path other = home.resolve("other");
    world(other, 2);
    Path otherFile = home.resolve("other.tsv");
    good(Cli.run("evaluate", "--data", other, "-b", "markov", "--per-user", otherFile, "--json"));
    refused(1, "fingerprint", Cli.run("evaluate", "--compare", markov, otherFile));
    Path damaged = home.resolve("damaged.tsv");
    Files.writeString(damaged, Files.readString(markov).replace("\t1.0\t", "\tone\t"));
    refused(1, "damaged.tsv: line ", Cli.run("evaluate", "--compare", markov, damaged));
    refused(
        1, "nowhere.tsv", Cli.run("evaluate", "--compare", markov, home.resolve("nowhere.tsv")));
  }

  @Test
  void whatCannotBeIsRefused() {
    refused(2, "\"ndcg\"", evaluate("-b", "markov", "--metrics", "ndgc"));
    refused(2, "\"item-knn\"", evaluate("-b", "itemknn"));
    refused(2, "-k 0", evaluate("-b", "markov", "-k", 0));
    refused(1, "number of items", evaluate("-b", "markov", "-k", 1000));
    refused(2, "name one", evaluate("-b", "markov,popularity", "--per-user", home.resolve("x")));
    refused(2, "--against", evaluate("-b", "markov", "--against", "markov"));
    refused(2, "neighbours", evaluate("-b", "item-knn", "--neighbours", 0));
    refused(2, "half-life", evaluate("-b", "item-knn", "--half-life", 0));
    refused(2, "--resamples", evaluate("-b", "markov", "--resamples", -1));
    refused(2, "--compare", Cli.run("evaluate", "--compare", "a.tsv", "b.tsv", "-b", "markov"));
    refused(1, "cold-users", evaluate("-b", "markov", "--split", "by-moon"));
    refused(
        1,
        "cannot write",
        evaluate("-b", "markov", "--per-user", home.resolve("none").resolve("x.tsv")));
    Path single = home.resolve("single");
    try (var dataset = new DatasetBuilder().add("u", "1", 1).add("v", "2", 1).build("single")) {
      dataset.save(single);
    }
    refused(
        1, "no case to judge by", Cli.run("evaluate", "--data", single, "-b", "markov", "-k", 1));
  }
}
