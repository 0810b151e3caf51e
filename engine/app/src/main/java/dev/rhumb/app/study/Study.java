package dev.rhumb.app.study;

import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Progress;
import dev.rhumb.data.Cases;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.ItemCounts;
import dev.rhumb.eval.MarkovChain;
import dev.rhumb.eval.Popularity;
import dev.rhumb.eval.Ranker;
import dev.rhumb.eval.RankingReport;
import dev.rhumb.interpret.AttributeScores;
import dev.rhumb.interpret.Columns;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.interpret.Positions;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.steer.ReconstructionCost;
import dev.rhumb.steer.Steering;
import dev.rhumb.train.EpochReport;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Finds out what an autoencoder has learnt from a model, and what steering does.
 *
 * <p>Ownership: none of what it is given. Threads: one at a time.
 */
public final class Study {
  private static final int CARDS = 24;
  private static final int K = 10;

  private final Kernels kernels;
  private final Dataset dataset;
  private final Split split;
  private final Model model;
  private final SparseAutoencoder sae;
  private final Settings settings;

  /**
   * How much is looked at.
   *
   * @param positions positions at most for feature statistics
   * @param concepts how many concepts to draw control curves of
   * @param strengths their strengths
   * @param exampleStrength the strength of the one user's steered list
   */
  public record Settings(
      int positions, int concepts, List<Double> strengths, double exampleStrength) {
    /** Copies the list. */
    public Settings {
      strengths = List.copyOf(strengths);
    }

    /** What the commands use. */
    public static Settings standard() {
      return new Settings(FeatureLabels.MAX_POSITIONS, 4, List.of(-4., -2., 0., 1., 2., 4., 8.), 4);
    }
  }

  /** A study of a model whose data are divided as they were in its training. */
  public Study(
      Kernels kernels, Split split, Model model, SparseAutoencoder sae, Settings settings) {
    this.kernels = kernels;
    this.split = split;
    this.model = model;
    this.sae = sae;
    this.settings = settings;
    dataset = split.train().dataset();
  }

  /** Labels the features and writes the labels beside the autoencoder. */
  public FeatureLabels label(Path saeFolder) {
    FeatureLabels labels = FeatureLabels.of(kernels, model, sae, heldOut(), settings.positions);
    labels.save(saeFolder);
    return labels;
  }

  /** Finds the concepts that labels give and writes them beside the autoencoder. */
  public Concepts concepts(FeatureLabels labels, Path saeFolder) {
    Concepts concepts = Concepts.of(kernels, model, sae, labels, split.train());
    concepts.save(saeFolder);
    return concepts;
  }

  /** What a ranker recommends for the test cases, judged. */
  private RankingReport ranking(Ranker ranker, ItemCounts counts) {
    Cases cases = split.test();
    return new RankingReport(
        ranker.recommend(cases.histories(), K, null),
        IntStream.of(Evaluator.targets(cases)).mapToObj(t -> new int[] {t}).toArray(int[][]::new),
        cases.histories(),
        counts);
  }

  /** The quality of the autoencoder on users it did not learn from. */
  public SaeMetrics quality() {
    return SaeMetrics.of(kernels, model, sae, heldOut());
  }

  /** What the reconstruction costs at all positions. */
  public ReconstructionCost cost() {
    return ReconstructionCost.of(kernels, model, sae, Steering.Positions.ALL, split.test(), K);
  }

  /** How well hidden dimensions stand for attributes, by either sign. */
  public AttributeScores hiddenDimensions() {
    return AttributeScores.of(
        Columns.hidden(kernels, model, sae.site(), Positions.of(heldOut(), settings.positions)),
        dataset.attributes(),
        true,
        1);
  }

  /** Control curves of the clearest concepts, for both ways to write back. */
  public List<ControlCurve> curves(Console console, FeatureLabels labels, Concepts concepts) {
    return curves(
        console,
        concepts,
        clearest(labels, concepts, settings.concepts),
        settings.strengths.stream().mapToDouble(Double::doubleValue).toArray(),
        List.of(EditTable.Write.DELTA, EditTable.Write.REPLACE),
        Steering.Positions.LAST,
        K);
  }

  /** Control curves on the test cases. */
  public List<ControlCurve> curves(
      Console console,
      Concepts concepts,
      List<String> names,
      double[] strengths,
      List<EditTable.Write> writes,
      Steering.Positions positions,
      int k) {
    int total = 2 + names.size() * writes.size() * strengths.length;
    try (Progress progress = console.progress("steering", total)) {
      int[] done = {0};
      return ControlCurve.of(
          kernels,
          model,
          sae,
          concepts,
          names,
          strengths,
          writes,
          positions,
          split.test(),
          k,
          () -> progress.at(++done[0], ""));
    }
  }

  /**
   * The clearest concept for the test user with the median length of history; null where there is
   * none.
   */
  public Example example(FeatureLabels labels, Concepts concepts) {
    List<String> names = clearest(labels, concepts, 1);
    Cases cases = split.test();
    if (names.isEmpty() || cases.count() == 0) {
      return null;
    }
    Sequences histories = cases.histories();
    int median =
        IntStream.range(0, cases.count())
            .boxed()
            .sorted(Comparator.comparingInt(histories::length))
            .toList()
            .get(cases.count() / 2);
    int[] history = new int[histories.length(median)];
    histories.copy(median, 0, history.length, history, 0);
    return Example.of(
        new OneUser(kernels, model, sae),
        dataset.userId(histories.user(median)),
        history,
        K,
        concepts,
        names.getFirst(),
        settings.exampleStrength);
  }

  /** Cards of the clearest features. */
  public List<FeatureCard> cards(FeatureLabels labels) {
    List<FeatureLabel> clearest = labels.clearest();
    return FeatureCard.of(
        kernels, model, sae, heldOut(), clearest.subList(0, Math.min(CARDS, clearest.size())));
  }

  /** All of it, in the order in which a report tells it. */
  public Findings findings(
      Console console,
      FeatureLabels labels,
      Concepts concepts,
      List<EpochReport> history,
      boolean generated) {
    ItemCounts counts = ItemCounts.of(split.train());
    RankingReport ranking;
    try (Evaluator evaluator = new Evaluator(kernels, model)) {
      ranking = ranking(evaluator, counts);
    }
    RankingReport popularity = ranking(new Popularity(counts), counts);
    RankingReport chain = ranking(MarkovChain.fit(split.train(), counts), counts);
    return new Findings(
        dataset.toString(),
        dataset.catalogue(),
        generated,
        model.config(),
        split.name(),
        history,
        ranking.metrics(K),
        popularity.metrics(K),
        List.of(
            Standing.of("model", ranking, K),
            Standing.of("Markov chain", chain, K),
            Standing.of("popularity", popularity, K)),
        sae.site().toString(),
        sae.features(),
        sae.kept(),
        quality(),
        cost(),
        labels,
        hiddenDimensions(),
        cards(labels),
        curves(console, labels, concepts),
        example(labels, concepts));
  }

  /** The concepts whose best features are clearest, on users who did not choose them. */
  public static List<String> clearest(FeatureLabels labels, Concepts concepts, int most) {
    return labels.attributes().scores().stream()
        .filter(score -> score.rank() == 1 && concepts.names().contains(score.attribute()))
        .sorted(Comparator.comparingDouble(score -> -score.correlation()))
        .limit(most)
        .map(score -> score.attribute())
        .toList();
  }

  private Sequences heldOut() {
    return SplitKind.saeParts(split).heldOut();
  }
}
