package dev.rhumb.steer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.data.Cases;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.interpret.AttributeScores;
import dev.rhumb.interpret.Columns;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.interpret.Positions;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeListener;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** From a generated catalogue to steered lists, once for all tests. */
class ConceptsTest {
  @TempDir static Path folder;
  private static long live;
  private static Kernels kernels;
  private static GeneratedWorld world;
  private static Split split;
  private static ModelFolder opened;
  private static SparseAutoencoder sae;
  private static FeatureLabels labels;
  private static Concepts concepts;

  @BeforeAll
  static void run() {
    live = Buffer.live();
    kernels = Kernels.open();
    world =
        GeneratedWorld.make(new GeneratedWorld.Config(400, 80, 5, 2, 8, 20, .5, .85, .5, .02), 3);
    split = Splits.coldUsers(world.dataset(), .3, .6, 1);
    Trainer.train(
        kernels,
        split,
        ModelConfig.of(BlockStyle.GPT2, world.dataset().items(), 16, 1, 2, 20, 0.1f),
        new TrainingConfig(4, 32, 1e-2f, 0, 0, 8, 50),
        folder,
        false,
        new TrainingListener() {});
    opened = ModelFolder.open(kernels, folder);
    SaeConfig config =
        SaeConfig.of(Site.parse("block 0"), 16, 64, 4)
            .withSteps(500)
            .withBatch(256)
            .withLearningRate(3e-3f);
    sae = SaeTrainer.train(kernels, opened.model(), split.sae(), config, SaeListener.NONE).sae();
    labels =
        FeatureLabels.of(
            kernels, opened.model(), sae, split.test().histories(), FeatureLabels.MAX_POSITIONS);
    concepts = Concepts.of(labels);
  }

  @AfterAll
  static void nothingLeaks() {
    sae.close();
    opened.close();
    world.close();
    kernels.close();
    assertEquals(live, Buffer.live());
  }

  @Test
  void findsThePlantedInterests() {
    assertEquals(sae.features(), labels.features().size());
    AttributeScores scores = labels.attributes();
    assertTrue(scores.meanCorrelation() > .4, scores.toString());
    assertTrue(concepts.names().size() >= 4, concepts.names().toString());
    FeatureLabel clearest = labels.clearest().getFirst();
    assertTrue(clearest.best().correlation() > .5, clearest.toString());
    int attribute = world.dataset().attributes().find(clearest.label());
    long with =
        clearest.topItems().stream()
            .filter(item -> world.dataset().attributes().has(item, attribute))
            .count();
    assertTrue(with >= .7 * clearest.topItems().size(), clearest.toString());
    assertEquals(10, clearest.logitItems().size());
    AttributeScores hidden =
        AttributeScores.of(
            Columns.hidden(
                kernels,
                opened.model(),
                sae.site(),
                Positions.of(split.test().histories(), 100_000)),
            world.dataset().attributes(),
            true,
            1);
    assertTrue(hidden.meanCorrelation() > 0 && hidden.meanCorrelation() < 1, hidden.toString());
  }

  @Test
  void steeringAConceptRaisesItsShare() {
    List<Integer> done = new ArrayList<>();
    String name = concepts.names().getFirst();
    double[] strengths = {-2, 0, 2, 6};
    ControlCurve curve =
        ControlCurve.of(
                kernels,
                opened.model(),
                sae,
                concepts,
                List.of(name),
                strengths,
                List.of(EditTable.Write.DELTA, EditTable.Write.REPLACE),
                Steering.Positions.LAST,
                split.test(),
                10,
                () -> done.add(1))
            .getFirst();
    assertEquals(10, done.size());
    assertEquals(8, curve.points().size());
    List<ControlCurve.Point> delta = curve.points().subList(0, 4);
    assertEquals(curve.original(), delta.get(1).outcome());
    assertEquals(curve.reconstructed(), curve.points().get(5).outcome());
    for (int i = 1; i < 4; i++) {
      assertTrue(
          delta.get(i).outcome().share() > delta.get(i - 1).outcome().share(), curve.toString());
    }
    ReconstructionCost cost =
        ReconstructionCost.of(
            kernels, opened.model(), sae, Steering.Positions.LAST, split.test(), 10);
    assertEquals(curve.original().metrics(), cost.plain());
    assertEquals(curve.reconstructed().metrics(), cost.reconstructed());
    assertTrue(cost.ndcgKept() > .5 && cost.ndcgKept() < 1.5, cost.toString());
    assertEquals(crossEntropy(), cost.plainCrossEntropy(), 1e-5);
    assertTrue(
        cost.crossEntropyAdded() != 0 && Math.abs(cost.crossEntropyAdded()) < 1, cost.toString());
    SaeMetrics metrics = SaeMetrics.of(kernels, opened.model(), sae, split.test().histories());
    assertTrue(metrics.explainedVariance() > .7, metrics.toString());
  }

  /** The plain model's cross-entropy of the next item over all positions, in double. */
  private double crossEntropy() {
    Model model = opened.model();
    int width = model.config().width();
    float[] items = model.itemTable().floats();
    Cases cases = split.test();
    double sum = 0;
    int rows = 0;
    for (int c = 0; c < cases.count(); c++) {
      int[] window = new int[model.config().maxLength() + 1];
      int n = cases.histories().copyLast(c, window.length - 1, window, 0);
      window[n] = cases.target(c);
      float[] hidden = new float[n * width];
      try (Batch batch = new Batch(kernels, 1, n);
          Inference inference = new Inference(kernels, model, 1, n)) {
        batch.add(window, 0, n);
        batch.seal();
        inference.run(batch);
        inference.hidden().get(0, hidden, 0, hidden.length);
      }
      for (int r = 0; r < n; r++) {
        double total = 0;
        double ofTarget = 0;
        for (int item = 1; item <= model.config().items(); item++) {
          double score = 0;
          for (int d = 0; d < width; d++) {
            score += (double) hidden[r * width + d] * items[item * width + d];
          }
          total += Math.exp(score);
          ofTarget = item == window[r + 1] ? score : ofTarget;
        }
        sum += Math.log(total) - ofTarget;
        rows++;
      }
    }
    return sum / rows;
  }

  @Test
  void severalConceptsAddUp() {
    String one = concepts.names().get(0);
    String two = concepts.names().get(1);
    Map<String, Double> strengths = new LinkedHashMap<>();
    strengths.put(one, 1.5);
    strengths.put(two, -.5);
    Map<Integer, Double> amounts = new LinkedHashMap<>();
    strengths.forEach(
        (name, strength) ->
            concepts
                .parts(name)
                .forEach(
                    part ->
                        amounts.merge(
                            part.feature(), strength * part.weight() * part.unit(), Double::sum)));
    Steering steering = concepts.steer(strengths);
    assertEquals(amounts.size(), steering.edits().size());
    for (Edit edit : steering.edits()) {
      assertEquals(amounts.get(edit.feature()), edit.x(), 1e-5);
    }
    assertEquals(1, concepts.parts(one).getFirst().weight());
    assertEquals(
        labels.features().get(concepts.parts(one).getFirst().feature()).meanActivation(),
        concepts.parts(one).getFirst().unit());
    assertEquals(List.of(), concepts.steer(one, 0).edits());
  }

  @Test
  void anUnknownConceptOffersTheNearest() {
    String known = concepts.names().getFirst();
    assertEquals(concepts.parts(known), concepts.parts(known.toUpperCase(java.util.Locale.ROOT)));
    IllegalArgumentException refusal =
        assertThrows(IllegalArgumentException.class, () -> concepts.steer("x" + known, 1));
    assertTrue(refusal.getMessage().contains('"' + known + '"'), refusal.getMessage());
    assertThrows(IllegalArgumentException.class, () -> concepts.steer(known, Double.NaN));
  }

  @Test
  void labelsAreTheSameOnceSavedAndLoaded() {
    labels.save(folder);
    FeatureLabels again = FeatureLabels.load(folder);
    assertEquals(labels.features(), again.features());
    assertEquals(labels.attributes(), again.attributes());
    assertNotNull(again.features().getFirst());
  }

  @ParameterizedTest
  @CsvSource({
    "features.tsv, '\n1\t', '\n2\t', 'line 3, feature'",
    "features.tsv, 'true', 'maybe', 'significant'",
    "features.tsv, 'feature\t', 'Feature\t', 'line 1'",
    "features.tsv, '\n3\t', '\n3\t9\t', 'line 5'",
    "attributes.tsv, 'interest', '', 'attribute'",
    "attributes.tsv, '\t1\t', '\t0\t', 'rank'",
  })
  void refusesATableThatWasChanged(String name, String find, String write, String named)
      throws Exception {
    labels.save(folder);
    Path file = folder.resolve(name);
    String text = Files.readString(file);
    assertTrue(text.contains(find));
    Files.writeString(
        file,
        find.equals("interest")
            ? text.replaceAll("interest[^\t]*", "")
            : text.replaceFirst(find, write));
    FormatException refusal = assertThrows(FormatException.class, () -> FeatureLabels.load(folder));
    assertTrue(refusal.getMessage().contains(named), refusal.getMessage());
  }
}
