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
import dev.rhumb.eval.Evaluator;
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
import dev.rhumb.serve.Recommendations;
import dev.rhumb.serve.Recommender;
import dev.rhumb.serve.Session;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
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
  private static Concepts byEffect;

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
    byEffect = Concepts.of(kernels, opened.model(), sae, labels, split.train());
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

  /** The distribution over unseen items after each history of those that train, by item. */
  private static double[][] probabilities(Steering steering, int attribute, double raised) {
    int items = opened.model().config().items();
    float[][] scores = new float[split.train().count()][];
    double[][] p = new double[scores.length][items + 1];
    try (Evaluator evaluator = new Evaluator(kernels, opened.model());
        SteeringEdit edit = new SteeringEdit(kernels, sae, steering)) {
      int[][] lists = evaluator.recommend(split.train(), items, edit, scores);
      for (int u = 0; u < p.length; u++) {
        double sum = 0;
        for (int i = 0; i < items && lists[u][i] != 0; i++) {
          boolean has = world.dataset().attributes().has(lists[u][i], attribute);
          p[u][lists[u][i]] = Math.exp(scores[u][i] + (has ? raised : 0));
          sum += p[u][lists[u][i]];
        }
        for (int item = 1; item <= items; item++) {
          p[u][item] /= sum;
        }
      }
    }
    return p;
  }

  private static double mass(double[][] p, int attribute) {
    double sum = 0;
    for (double[] row : p) {
      for (int item = 1; item < row.length; item++) {
        sum += world.dataset().attributes().has(item, attribute) ? row[item] : 0;
      }
    }
    return sum / p.length;
  }

  private static double divergence(double[][] p, double[][] q) {
    double sum = 0;
    for (int u = 0; u < p.length; u++) {
      for (int item = 1; item < p[u].length; item++) {
        sum += p[u][item] > 0 ? p[u][item] * Math.log(p[u][item] / q[u][item]) : 0;
      }
    }
    return sum / p.length;
  }

  @Test
  void byEffectAUnitOfStrengthIsAUnitOnTheScores() {
    assertEquals(concepts.names(), byEffect.names());
    Steering none = Steering.of(List.of());
    double small = .03;
    for (String name : byEffect.names()) {
      int attribute = world.dataset().attributes().find(name);
      assertTrue(byEffect.parts(name).size() <= 4);
      assertEquals(1, byEffect.parts(name).getFirst().weight());
      double[][] plain = probabilities(none, attribute, 0);
      double[][] raised = probabilities(none, attribute, small);
      double[][] steered = probabilities(byEffect.steer(name, small), attribute, 0);
      double gained = mass(steered, attribute) - mass(plain, attribute);
      double wanted = mass(raised, attribute) - mass(plain, attribute);
      assertEquals(1, gained / wanted, .05, name);
      // Nothing gives as much for a smaller divergence than a constant; and what correlates gives
      // it for a larger one, up to what features cannot undo of each other.
      double[][] correlated = probabilities(concepts.steer(name, small), attribute, 0);
      double gainedSo = mass(correlated, attribute) - mass(plain, attribute);
      double least = divergence(plain, raised) / (wanted * wanted);
      double byEffectCost = divergence(plain, steered) / (gained * gained);
      double correlatedCost = divergence(plain, correlated) / (gainedSo * gainedSo);
      assertTrue(byEffectCost > least * .95, name);
      assertTrue(byEffectCost < correlatedCost * 1.05, name);
    }
  }

  @Test
  void aDoseIsMetForEveryUserInBatchesAndInSessions() {
    String name = byEffect.names().getFirst();
    int attribute = world.dataset().attributes().find(name);
    Dose dose = new Dose(name, .6);
    DoseOutcome met =
        DoseOutcome.of(kernels, opened.model(), sae, byEffect, dose, split.test(), 10);
    assertEquals(.6, met.outcome().share(), .05, met.toString());
    assertTrue(met.deviation() < .08, met.toString());
    assertTrue(met.strength() != 0, met.toString());

    Path own = SparseAutoencoder.folder(folder, sae.site());
    sae.save(own);
    labels.save(own);
    byEffect.save(own);
    double share = 0;
    try (Recommender recommender = Recommender.open(folder);
        Session session = recommender.newSession()) {
      assertEquals(byEffect.parts(name), recommender.concepts().parts(name));
      for (int i = 0; i < split.test().count(); i++) {
        session.clear();
        int[] history = new int[split.test().histories().length(i)];
        split.test().histories().copy(i, 0, history.length, history, 0);
        for (int item : history) {
          session.append(item);
        }
        Recommendations list = session.recommend(10, dose);
        for (int place = 0; place < list.count(); place++) {
          share += world.dataset().attributes().has(list.item(place), attribute) ? .1 : 0;
        }
      }
    }
    assertEquals(met.outcome().share(), share / split.test().count(), .01);
  }

  /** Whatever a list's share does as strength rises, the search ends at the nearest that it saw. */
  @Test
  void aDoseEndsAtTheNearestShare() {
    Random random = new Random(4);
    for (int round = 0; round < 500; round++) {
      int of = 1 + random.nextInt(20);
      double[] steps = new double[of];
      for (int i = 0; i < of; i++) {
        steps[i] = 3 * random.nextGaussian();
      }
      double wanted = random.nextInt(11) / 10.;
      Dose.Search search = new Dose("x", wanted).search();
      int tries = 0;
      while (search.next()) {
        tries++;
        if (tries == 1) {
          assertEquals(0, search.strength());
        }
        search.saw(count(steps, search.strength()), of);
      }
      assertTrue(tries <= 12, tries + " tries");
      double reached = count(steps, search.strength()) / (double) of;
      double nearest = Double.POSITIVE_INFINITY;
      for (int n = 0; n <= of; n++) {
        nearest = Math.min(nearest, Math.abs(n / (double) of - wanted));
      }
      // Steps nearer to each other than the search can see may be passed over.
      assertEquals(nearest, Math.abs(reached - wanted), 1.01 / of, wanted + " of " + of);
      if (Math.abs(count(steps, 0) / (double) of - wanted) <= .5 / of) {
        assertEquals(0, search.strength());
      }
    }
    assertThrows(IllegalArgumentException.class, () -> new Dose("x", 1.1));
    assertThrows(IllegalArgumentException.class, () -> new Dose("x", Double.NaN));
  }

  private static int count(double[] steps, double strength) {
    return (int) Arrays.stream(steps).filter(step -> step <= strength).count();
  }

  @Test
  void conceptsAreTheSameOnceSavedAndLoaded(@TempDir Path own) throws Exception {
    assertEquals(concepts.names(), Concepts.load(own, labels).names());
    assertEquals(
        concepts.parts(concepts.names().getFirst()),
        Concepts.load(own, labels).parts(concepts.names().getFirst()));
    byEffect.save(own);
    Concepts again = Concepts.load(own, labels);
    assertEquals(byEffect.names(), again.names());
    for (String name : byEffect.names()) {
      assertEquals(byEffect.parts(name), again.parts(name));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "'\"feature\": ', '\"feature\": 64', feature",
    "'\"feature\": ', '\"feature\": -', feature",
    "'\"weight\"', '\"heavy\"', weight",
    "'concepts 1', 'concepts 9', format",
    "'\"concepts\"', '\"others\"', concepts",
  })
  void refusesConceptsThatWereChanged(String find, String write, String named, @TempDir Path own)
      throws Exception {
    byEffect.save(own);
    Path file = own.resolve(Concepts.FILE);
    String text = Files.readString(file);
    assertTrue(text.contains(find), text);
    Files.writeString(file, text.replaceFirst(find, write));
    FormatException refusal = assertThrows(FormatException.class, () -> Concepts.load(own, labels));
    assertTrue(refusal.getMessage().contains(named), refusal.getMessage());
  }

  @Test
  void noDamageToConceptsDoesMoreThanARefusal(@TempDir Path own) throws Exception {
    byEffect.save(own);
    Path file = own.resolve(Concepts.FILE);
    byte[] text = Files.readAllBytes(file);
    Random random = new Random(9);
    int refused = 0;
    for (int round = 0; round < 300; round++) {
      byte[] damaged =
          Arrays.copyOf(text, round % 3 == 0 ? random.nextInt(text.length) : text.length);
      for (int i = random.nextInt(3); i >= 0 && damaged.length > 0; i--) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(128);
      }
      Files.write(file, damaged);
      try {
        for (String name : Concepts.load(own, labels).names()) {
          assertNotNull(name);
        }
      } catch (FormatException e) {
        refused++;
        assertTrue(e.getMessage().contains(Concepts.FILE), e.getMessage());
      }
    }
    assertTrue(refused > 100, refused + " refused");
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
