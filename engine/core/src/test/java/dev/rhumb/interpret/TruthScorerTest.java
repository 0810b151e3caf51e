package dev.rhumb.interpret;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class TruthScorerTest {
  private static final int N = 1200;
  private static final List<String> NAMES =
      List.of("parent", "absorbed", "kept", "perfect", "absent", "split", "copied", "one", "two");

  // Each position has one of eight kinds.
  private final int[] kind = new int[N];
  private final int[] users = new int[N];
  private final boolean[] second = new boolean[N];
  private final boolean[][] truth = new boolean[N][NAMES.size()];
  private final PositionLabels labels =
      new PositionLabels.Given(
          NAMES,
          new int[] {-1, 0, 0, -1, -1, -1, -1, -1, -1},
          (user, place, item) ->
              switch (kind[place]) {
                case 0 -> new int[] {0};
                case 1 -> new int[] {0, 1};
                case 2 -> new int[] {0, 2};
                case 7 -> new int[] {7, 8};
                default -> new int[] {kind[place]};
              });

  TruthScorerTest() {
    Random random = new Random(1);
    for (int r = 0; r < N; r++) {
      kind[r] = random.nextInt(8);
      users[r] = r / 10;
      second[r] = users[r] % 2 == 1;
      for (int z : labels.of(0, r, 1)) {
        truth[r][z] = true;
      }
    }
  }

  private Columns columns(float[][] values) {
    return Columns.of(values, IntStream.range(0, N).map(r -> 1).toArray(), users, second);
  }

  private TruthScore planted(double silence) {
    Random random = new Random(2);
    int split = 0;
    float[][] values = new float[N][10];
    for (int r = 0; r < N; r++) {
      float size = random.nextFloat() < silence ? 0 : .1f + random.nextFloat();
      int k = kind[r];
      values[r][0] = k == 0 || k == 2 ? size : 0;
      values[r][1] = k == 1 ? size : 0;
      values[r][2] = k == 2 ? size : 0;
      values[r][3] = k == 3 ? size : 0;
      values[r][4] = random.nextInt(8) == 0 ? size : 0;
      split += k == 5 ? 1 : 0;
      values[r][5] = k == 5 && split % 2 == 0 ? size : 0;
      values[r][6] = k == 5 && split % 2 == 1 ? size : 0;
      values[r][7] = k == 6 ? size : 0;
      values[r][8] = k == 6 ? 3 * size : 0;
      values[r][9] = k == 7 ? size : 0;
    }
    return TruthScorer.score(columns(values), labels, TruthScorer.Firing.ABOVE_ZERO, null);
  }

  @Test
  void plantedFeaturesAreTold() {
    TruthScore score = planted(0);
    assertEquals(NAMES, score.labels().stream().map(TruthScore.Label::name).toList());
    assertEquals(10, score.columns());

    TruthScore.Label perfect = score.labels().get(3);
    assertEquals(3, perfect.byF1().column());
    assertEquals(1, perfect.byF1().f1());
    assertEquals(1, perfect.byF1().precision());
    assertEquals(1, perfect.byF1().recall());
    assertEquals(1, perfect.byAuc().auc());
    assertEquals(3, perfect.own().column());
    assertEquals(1, perfect.parts());
    assertEquals(0, perfect.copies());
    assertNull(perfect.parent());
    assertEquals(Double.NaN, perfect.byCosine().cosine());

    TruthScore.Label absent = score.labels().get(4);
    assertTrue(absent.byF1().f1() < TruthScore.FOUND, absent.toString());
    assertEquals(0, absent.parts());

    TruthScore.Label split = score.labels().get(5);
    assertEquals(2, split.parts());
    assertEquals(0, split.copies());
    assertEquals(2 / 3., split.byF1().f1(), .05);
    assertEquals(1, split.byF1().precision());
    assertEquals(.5, split.byF1().recall(), .1);

    TruthScore.Label copied = score.labels().get(6);
    assertEquals(1, copied.parts());
    assertEquals(1, copied.copies());
    assertEquals(7, copied.byF1().column());

    // The parent's column is silent at one child, so the child's column is a part of the parent.
    TruthScore.Label parent = score.labels().get(0);
    assertEquals(0, parent.byF1().column());
    assertEquals(2, parent.parts());
    TruthScore.Label absorbed = score.labels().get(1);
    assertEquals("parent", absorbed.parent());
    assertEquals(1, absorbed.absorption());
    assertTrue(absorbed.absorbed());
    TruthScore.Label kept = score.labels().get(2);
    assertEquals(0, kept.absorption());
    assertFalse(kept.absorbed());

    // Two labels with one column: only one can have it for its own.
    assertEquals(9, score.labels().get(7).byF1().column());
    assertEquals(9, score.labels().get(8).byF1().column());
    assertEquals(8 / 9., score.found(), 1e-12);
    assertEquals(7 / 9., score.own(), 1e-12);
    assertEquals(8, score.labels().stream().mapToInt(l -> l.byF1().column()).distinct().count());
    assertEquals(8 / 9., score.distinct(), 1e-12);
    assertEquals(9, score.labels().stream().mapToInt(l -> l.own().column()).distinct().count());
    assertEquals(2, score.split());
    assertEquals(1, score.duplicated());
    assertEquals(1, score.absorbed());
    assertEquals(2, score.withParent());
  }

  @Test
  void silenceCostsRecallAlone() {
    TruthScore score = planted(.4);
    TruthScore.Match perfect = score.labels().get(3).byF1();
    assertEquals(1, perfect.precision());
    assertEquals(.6, perfect.recall(), .12);
    assertEquals(2 * perfect.recall() / (1 + perfect.recall()), perfect.f1(), 1e-12);
    assertEquals(.5 + perfect.recall() / 2, score.labels().get(3).byAuc().auc(), 1e-12);
  }

  /** A column that is small where the label holds, as a hidden dimension may be. */
  @Test
  void eitherSignAndAnyThreshold() {
    float[][] values = new float[N][2];
    Random random = new Random(3);
    for (int r = 0; r < N; r++) {
      values[r][0] = (float) random.nextGaussian();
      values[r][1] = (kind[r] == 3 ? 1 : 5) + random.nextFloat();
    }
    TruthScore score =
        TruthScorer.score(columns(values), labels, TruthScorer.Firing.ABOVE_BEST, null);
    TruthScore.Match match = score.labels().get(3).byF1();
    assertEquals(1, match.column());
    assertTrue(match.negative());
    assertTrue(match.threshold() > -5 && match.threshold() < -1, match.toString());
    assertEquals(1, match.f1(), .02);
    assertEquals(1, score.labels().get(3).byAuc().auc());
    TruthScore blind =
        TruthScorer.score(columns(values), labels, TruthScorer.Firing.ABOVE_ZERO, null);
    assertTrue(blind.labels().get(3).byF1().f1() < TruthScore.FOUND);
    assertTrue(blind.labels().get(3).byAuc().auc() < .7);
  }

  /** Against the definitions, on values with ties, zeros and both signs. */
  @Test
  void agreesWithPlainDefinitions() {
    Random random = new Random(4);
    for (int round = 0; round < 2; round++) {
      float[][] values = new float[N][3];
      for (float[] row : values) {
        row[0] = random.nextInt(5) - 2;
        row[1] = (float) Math.max(0, random.nextGaussian());
        row[2] = (float) random.nextGaussian() + (round % 2 == 0 ? .3f : -.3f);
      }
      for (TruthScorer.Firing firing : TruthScorer.Firing.values()) {
        TruthScore score = TruthScorer.score(columns(values), labels, firing, null);
        for (int z = 0; z < NAMES.size(); z++) {
          checkBest(values, z, firing, score.labels().get(z));
        }
      }
    }
  }

  private void checkBest(
      float[][] values, int z, TruthScorer.Firing firing, TruthScore.Label label) {
    boolean best = firing == TruthScorer.Firing.ABOVE_BEST;
    double most = 0;
    double mostAuc = 0;
    for (int c = 0; c < 3; c++) {
      for (int sign : best ? new int[] {1, -1} : new int[] {1}) {
        int column = c;
        float[] thresholds =
            best && anyNegative(values, c, sign) ? distinct(values, c, sign) : above(values, c);
        for (float threshold : best ? thresholds : new float[] {0}) {
          most = Math.max(most, f1(values, z, column, sign, threshold, false));
        }
        mostAuc = Math.max(mostAuc, auc(values, z, c, sign, false));
      }
    }
    TruthScore.Match match = label.byF1();
    int sign = match.negative() ? -1 : 1;
    assertEquals(most, match.chosen(), 1e-6);
    assertEquals(most, f1(values, z, match.column(), sign, (float) match.threshold(), false), 1e-6);
    assertEquals(
        f1(values, z, match.column(), sign, (float) match.threshold(), true), match.f1(), 1e-12);
    assertEquals(mostAuc, label.byAuc().chosen(), 1e-6);
    double heldOut = auc(values, z, label.byAuc().column(), 1, true);
    assertEquals(
        auc(values, z, label.byAuc().column(), 1, false) < .5 && best ? 1 - heldOut : heldOut,
        label.byAuc().auc(),
        1e-9);
  }

  private static boolean anyNegative(float[][] values, int c, int sign) {
    return Arrays.stream(values).anyMatch(row -> sign * row[c] < 0);
  }

  /** Below each value: what the definition offers where some value is negative. */
  private static float[] distinct(float[][] values, int c, int sign) {
    float[] of = new float[values.length];
    for (int r = 0; r < of.length; r++) {
      of[r] = Math.nextDown(sign * values[r][c]);
    }
    return of;
  }

  private static float[] above(float[][] values, int c) {
    float[] all = distinct(values, c, 1);
    for (int r = 0; r < all.length; r++) {
      all[r] = Math.max(0, all[r]);
    }
    return all;
  }

  private boolean has(int row, int z) {
    return truth[row][z];
  }

  private double f1(float[][] values, int z, int c, int sign, float threshold, boolean half) {
    int fires = 0, with = 0, hits = 0;
    for (int r = 0; r < N; r++) {
      if (second[r] == half) {
        boolean fire = sign * values[r][c] > threshold;
        fires += fire ? 1 : 0;
        with += has(r, z) ? 1 : 0;
        hits += fire && has(r, z) ? 1 : 0;
      }
    }
    return 2. * hits / (fires + with);
  }

  private double auc(float[][] values, int z, int c, int sign, boolean half) {
    double wins = 0;
    long pairs = 0;
    for (int a = 0; a < N; a++) {
      for (int b = 0; b < N && second[a] == half && has(a, z); b++) {
        if (second[b] == half && !has(b, z)) {
          float d = sign * (values[a][c] - values[b][c]);
          wins += d > 0 ? 1 : d == 0 ? .5 : 0;
          pairs++;
        }
      }
    }
    return wins / pairs;
  }

  @Test
  void directionsAreMeanDifferencesOfTheFirstHalf() {
    Random random = new Random(5);
    float[][] values = new float[N][4];
    for (int r = 0; r < N; r++) {
      for (int d = 0; d < 4; d++) {
        values[r][d] = (float) random.nextGaussian() + (kind[r] == d + 3 ? 2 : 0);
      }
    }
    float[][] directions = TruthScorer.directions(columns(values), labels);
    for (int z = 0; z < NAMES.size(); z++) {
      for (int d = 0; d < 4; d++) {
        double yes = 0, no = 0;
        int with = 0, without = 0;
        for (int r = 0; r < N; r++) {
          if (!second[r] && has(r, z)) {
            yes += values[r][d];
            with++;
          } else if (!second[r]) {
            no += values[r][d];
            without++;
          }
        }
        assertEquals(yes / with - no / without, directions[z][d], 1e-5);
      }
    }
    assertTrue(directions[4][1] > 1.5, Arrays.toString(directions[4]));
  }

  /** A label that nobody has, or everybody, is not scored. */
  @Test
  void labelsWithoutBothSidesAreLeftOut() {
    PositionLabels odd =
        new PositionLabels.Given(
            List.of("all", "none", "some"),
            new int[] {-1, -1, -1},
            (user, place, item) -> place % 3 == 0 ? new int[] {0, 2} : new int[] {0});
    TruthScore score =
        TruthScorer.score(columns(new float[N][1]), odd, TruthScorer.Firing.ABOVE_ZERO, null);
    assertEquals(List.of("some"), score.labels().stream().map(TruthScore.Label::name).toList());
    assertEquals(0, score.labels().getFirst().byF1().f1());
    assertEquals(.5, score.labels().getFirst().byAuc().auc(), 1e-12);
  }

  @Test
  void aWorldsTruthIsReadAtTheRightPlaces() {
    GeneratedWorld.Config config = GeneratedWorld.Config.named("toy").with("users", 80);
    try (Kernels kernels = Kernels.open();
        GeneratedWorld world = GeneratedWorld.make(config, 1);
        Model model =
            Model.initialise(
                kernels,
                ModelConfig.of(BlockStyle.SASREC, world.dataset().items(), 16, 1, 1, 12, 0),
                1)) {
      Dataset dataset = world.dataset();
      PositionLabels checking =
          new PositionLabels.Given(
              world.truth().names(),
              PositionLabels.interests(world.truth()).parents(),
              (user, place, item) -> {
                assertEquals(item, dataset.item(user, place));
                return world.truth().of(item);
              });
      Site site = Site.parse("block 0");
      Positions positions = Positions.of(Sequences.all(dataset), 500);
      TruthScorer scorer = new TruthScorer(kernels, model, site, positions, checking);
      new TruthScorer(kernels, model, site, positions.heldAgainstNext(), checking);
      TruthScore embedding = scorer.itemEmbedding();
      assertEquals(16, embedding.columns());
      assertEquals(Double.NaN, embedding.meanCosine());
      TruthScore hidden = scorer.hidden();
      assertTrue(hidden.meanCosine() > 0 && hidden.meanCosine() <= 1);
      // The mean of the labels' directions among 200 random ones is nearer than any axis of 16.
      TruthScore random = scorer.randomDirections(200, 1);
      assertEquals(200, random.columns());
      assertTrue(random.meanCosine() > .4 && random.meanCosine() < .95);
      assertEquals(random, scorer.randomDirections(200, 1));

      PositionLabels moods = PositionLabels.moods(world.truth());
      PositionLabels held = PositionLabels.held(world.truth());
      for (int place = 0; place < dataset.length(3); place++) {
        int[] mood = moods.of(3, place, 0);
        assertTrue(Arrays.binarySearch(mood, world.truth().mood(3, place)) >= 0);
        int[] all = held.of(3, place, 0);
        assertArrayEquals(
            mood, Arrays.stream(mood).filter(z -> Arrays.binarySearch(all, z) >= 0).toArray());
      }
    }
  }
}
