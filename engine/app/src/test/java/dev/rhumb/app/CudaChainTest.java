package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.BackendReport;
import dev.rhumb.kernels.Kernels;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The commands one after another on the CUDA backend, here under its emulation: what they make on a
 * small generated world steers, and simd reads the same folder and draws the same control curve.
 */
class CudaChainTest {
  @TempDir private Path home;
  private Path data;
  private Path model;

  private JsonObject run(String command, String backend, Object... more) {
    List<Object> args = new ArrayList<>(List.of(command, "--data", data, "--backend", backend));
    args.addAll(List.of("--json", command.equals("train") ? "--out" : "-m", model));
    args.addAll(List.of(more));
    Cli cli = Cli.run(args.toArray());
    assertEquals(0, cli.status(), cli.err());
    return cli.json();
  }

  private static List<String> items(JsonObject list, String key) {
    return list.objects(key).stream().map(item -> item.string("id")).toList();
  }

  @Test
  void whatCudaTrainsAndExplainsSteersAlikeOnBothBackends() {
    BackendReport report = Kernels.report().get(Backend.CUDA.ordinal());
    assumeTrue(report.available(), report.detail());
    data = home.resolve("data");
    model = home.resolve("model");
    GeneratedWorld.Config config = new GeneratedWorld.Config(120, 32, 4, 1, 8, 10, .5, .9, .3, 0);
    try (GeneratedWorld world = GeneratedWorld.make(config, 1)) {
      world.dataset().save(data);
    }
    Object[] small = {"--width", 8, "--length", 8, "--layers", 1, "--batch", 16, "--lr", ".02"};
    JsonObject trained = run("train", "cuda", with(small, "--epochs", 8));
    List<JsonObject> epochs = trained.objects("epochs");
    assertTrue(epochs.getLast().number("loss") < epochs.getFirst().number("loss"));
    JsonObject sae = run("sae", "cuda", "--features", 24, "--k", 3, "--steps", 120, "--batch", 64);
    assertTrue(sae.number("explained_variance") > .5, sae.toString());
    run("explain", "cuda", "--report", home.resolve("report"));

    Object[] steer = {"--strength", "0,4", "--write", "delta,replace"};
    List<JsonObject> cuda = run("steer", "cuda", steer).objects("curves");
    List<JsonObject> simd = run("steer", "simd", steer).objects("curves");
    assertEquals(simd.size(), cuda.size());
    for (int i = 0; i < simd.size(); i++) {
      String concept = simd.get(i).string("concept");
      assertEquals(concept, cuda.get(i).string("concept"));
      double before = assertSame(concept, simd.get(i), cuda.get(i), "original");
      List<JsonObject> points = cuda.get(i).objects("points");
      assertEquals(4, points.size());
      for (int p = 0; p < points.size(); p++) {
        JsonObject point = points.get(p);
        double share =
            assertSame(concept + " " + p, simd.get(i).objects("points").get(p), point, "outcome");
        if (point.number("strength") > 0) {
          assertTrue(share > before + .1, concept + " " + p + ": " + before + " -> " + share);
        }
      }
    }
    Object[] history = {"-H", "1", "-H", "2", "-e", cuda.getFirst().string("concept") + "=4"};
    List<List<String>> lists = new ArrayList<>();
    for (String backend : List.of("cuda", "simd")) {
      Cli cli =
          Cli.run(with(history, "recommend", "-m", model, "--backend", backend, "-k", 5, "--json"));
      assertEquals(0, cli.status(), cli.err());
      lists.add(items(cli.json(), "recommended"));
      lists.add(items(cli.json(), "steered"));
    }
    assertEquals(lists.subList(2, 4), lists.subList(0, 2));
    assertNotEquals(lists.get(0), lists.get(1));
  }

  private static Object[] with(Object[] some, Object... more) {
    return Stream.concat(Arrays.stream(more), Arrays.stream(some)).toArray();
  }

  /** Both say the same of their lists; the share of the concept in them. */
  private static double assertSame(String what, JsonObject one, JsonObject other, String key) {
    JsonObject first = one.object(key);
    JsonObject second = other.object(key);
    assertEquals(first.number("share"), second.number("share"), 2e-3, what);
    for (String figure : List.of("ndcg", "hr", "coverage")) {
      assertEquals(
          first.object("metrics").number(figure),
          second.object("metrics").number(figure),
          2e-3,
          what + " " + figure);
    }
    return second.number("share");
  }
}
