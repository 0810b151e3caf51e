package dev.rhumb.steer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Sequences;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.model.StateEdit;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ScoreEffectTest {
  private static final int WIDTH = 8;
  private static long live;
  private static Kernels kernels;
  private static GeneratedWorld world;

  @BeforeAll
  static void open() {
    live = Buffer.live();
    kernels = Kernels.open();
    world =
        GeneratedWorld.make(new GeneratedWorld.Config(60, 50, 4, 2, 4, 12, .5, .85, .5, .02), 5);
  }

  @AfterAll
  static void close() {
    world.close();
    kernels.close();
    assertEquals(live, Buffer.live());
  }

  /** Adds a change to the state at the last position. */
  private record Moved(Site site, float[] by) implements StateEdit {
    @Override
    public void apply(Batch batch, Buffer state) {
      float[] x = new float[WIDTH];
      for (int i = 0; i < batch.sequences(); i++) {
        long at = (batch.offset(i + 1) - 1L) * WIDTH;
        state.get(at, x, 0, WIDTH);
        for (int d = 0; d < WIDTH; d++) {
          x[d] += by[d];
        }
        state.put(at, x, 0, WIDTH);
      }
    }
  }

  /** For each history the probabilities of unseen items, by item. */
  private static double[][] probabilities(Evaluator evaluator, Sequences users, StateEdit edit) {
    int items = evaluator.items();
    float[][] scores = new float[users.count()][];
    int[][] lists = evaluator.recommend(users, items, edit, scores);
    double[][] p = new double[lists.length][items + 1];
    for (int u = 0; u < lists.length; u++) {
      double sum = 0;
      for (int i = 0; i < items && lists[u][i] != 0; i++) {
        p[u][lists[u][i]] = Math.exp(scores[u][i]);
        sum += p[u][lists[u][i]];
      }
      for (int item = 1; item <= items; item++) {
        p[u][item] /= sum;
      }
    }
    return p;
  }

  private static double mass(double[] p, Attributes attributes, int attribute) {
    double sum = 0;
    for (int item = 1; item < p.length; item++) {
      sum += attributes.has(item, attribute) ? p[item] : 0;
    }
    return sum;
  }

  /** A small change does what the effect foretells: to probabilities, and in divergence. */
  @ParameterizedTest
  @CsvSource({"GPT2, block 0", "GPT2, mlp 1", "GPT2, last", "SASREC, block 1", "MODERN, block 0"})
  void foretellsSmallChanges(BlockStyle style, String place) {
    Site site = Site.parse(place);
    Sequences users = Sequences.all(world.dataset());
    Attributes attributes = world.dataset().attributes();
    Random random = new Random(11);
    ModelConfig config = ModelConfig.of(style, world.dataset().items(), WIDTH, 2, 2, 8, 0);
    try (Model model = Model.initialise(kernels, config, 3)) {
      // Larger embeddings than at the start of training, so that probabilities differ.
      float[] table = model.itemTable().floats();
      for (int i = WIDTH; i < table.length; i++) {
        table[i] = (float) random.nextGaussian();
      }
      model.itemTable().put(0, table, 0, table.length);
      ScoreEffect effect = ScoreEffect.of(kernels, model, site, users);
      try (Evaluator evaluator = new Evaluator(kernels, model)) {
        double[][] plain = probabilities(evaluator, users, null);
        for (int round = 0; round < 3; round++) {
          float[] up = new float[WIDTH];
          float[] down = new float[WIDTH];
          double[] v = new double[WIDTH];
          for (int d = 0; d < WIDTH; d++) {
            v[d] = up[d] = (float) (.005 * random.nextGaussian());
            down[d] = -up[d];
          }
          double[][] above = probabilities(evaluator, users, new Moved(site, up));
          double[][] below = probabilities(evaluator, users, new Moved(site, down));
          double divergence = 0;
          double[] gained = new double[attributes.count()];
          double[] spread = new double[attributes.count()];
          for (int u = 0; u < plain.length; u++) {
            for (int item = 1; item < plain[u].length; item++) {
              if (plain[u][item] > 0) {
                divergence +=
                    plain[u][item]
                        * (Math.log(plain[u][item] / above[u][item])
                            + Math.log(plain[u][item] / below[u][item]))
                        / 2
                        / plain.length;
              }
            }
            for (int a = 0; a < gained.length; a++) {
              gained[a] +=
                  (mass(above[u], attributes, a) - mass(below[u], attributes, a))
                      / 2
                      / plain.length;
              double has = mass(plain[u], attributes, a);
              spread[a] += has * (1 - has) / plain.length;
            }
          }
          assertEquals(1, ScoreEffect.dot(v, effect.informed(v)) / 2 / divergence, .05);
          for (int a = 0; a < gained.length; a++) {
            double foretold = ScoreEffect.dot(v, effect.gradient(a));
            assertEquals(gained[a], foretold, .05 * Math.abs(gained[a]) + 2e-5, "attribute " + a);
            assertEquals(spread[a], effect.spread(a), 1e-6);
          }
        }
      }
    }
  }

  /** At the best amounts no feature that was taken has anything left to gain. */
  @Test
  void takesFewFeaturesAtTheirBestAmounts() {
    Random random = new Random(2);
    for (int round = 0; round < 200; round++) {
      int width = 2 + random.nextInt(6);
      int features = 1 + random.nextInt(20);
      double[][] root = normal(random, width, width);
      double[][] information = new double[width][width];
      for (int i = 0; i < width; i++) {
        for (int j = 0; j < width; j++) {
          information[i][j] = ScoreEffect.dot(root[i], root[j]) + (i == j ? .1 : 0);
        }
      }
      ScoreEffect effect =
          new ScoreEffect(information, normal(random, 1, width), new double[] {.07});
      double[][] directions = normal(random, features, width);
      int[] names = new int[features];
      for (int f = 0; f < features; f++) {
        names[f] = 3 * f + 1;
      }
      int most = 1 + random.nextInt(4);
      var amounts = new FeaturePursuit(effect, names, directions).of(0, most);
      assertTrue(amounts.size() <= most);
      double[] sum = new double[width];
      for (var amount : amounts) {
        assertTrue(amount.amount() > 0, amounts.toString());
        for (int d = 0; d < width; d++) {
          sum[d] += amount.amount() * directions[amount.feature() / 3][d];
        }
      }
      double best = Double.NEGATIVE_INFINITY;
      for (double[] direction : directions) {
        best =
            Math.max(
                best,
                ScoreEffect.dot(direction, effect.gradient(0))
                    / Math.sqrt(ScoreEffect.dot(direction, effect.informed(direction))));
      }
      assertEquals(best <= 0, amounts.isEmpty());
      if (amounts.isEmpty()) {
        continue;
      }
      double gain = ScoreEffect.dot(sum, effect.gradient(0));
      double cost = ScoreEffect.dot(sum, effect.informed(sum));
      assertEquals(.07, gain, 1e-9);
      // The sum is the best of its length, so that it beats every single feature.
      assertTrue(gain / Math.sqrt(cost) >= best * (1 - 1e-5));
      for (var amount : amounts) {
        double[] direction = directions[amount.feature() / 3];
        assertEquals(
            ScoreEffect.dot(direction, effect.gradient(0)),
            gain / cost * ScoreEffect.dot(direction, effect.informed(sum)),
            1e-4 * Math.sqrt(ScoreEffect.dot(direction, effect.informed(direction))));
      }
    }
  }

  /** Directions of which a few make the answer are found, with their amounts. */
  @Test
  void findsThePlantedFeatures() {
    int width = 16;
    double[][] identity = new double[width][width];
    double[][] directions = new double[width][width];
    for (int d = 0; d < width; d++) {
      identity[d][d] = 1;
      directions[d][d] = 1;
    }
    double[] gradient = new double[width];
    gradient[3] = 2;
    gradient[7] = 1;
    gradient[9] = -5;
    int[] names = new int[width];
    for (int f = 0; f < width; f++) {
      names[f] = f;
    }
    ScoreEffect effect = new ScoreEffect(identity, new double[][] {gradient}, new double[] {.5});
    var amounts = new FeaturePursuit(effect, names, directions).of(0, 4);
    assertEquals(2, amounts.size(), amounts.toString());
    assertEquals(3, amounts.get(0).feature());
    assertEquals(.2, amounts.get(0).amount(), 1e-6);
    assertEquals(7, amounts.get(1).feature());
    assertEquals(.1, amounts.get(1).amount(), 1e-6);
  }

  private static double[][] normal(Random random, int rows, int cols) {
    double[][] values = new double[rows][cols];
    for (double[] row : values) {
      for (int c = 0; c < cols; c++) {
        row[c] = random.nextGaussian();
      }
    }
    return values;
  }
}
