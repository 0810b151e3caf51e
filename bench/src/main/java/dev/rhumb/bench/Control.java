package dev.rhumb.bench;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Cases;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * What steering does on MovieLens 1M: the share of a genre in the lists of new users, NDCG and
 * coverage, by strength; the change added to the hidden state or the reconstruction in its place;
 * at the last position or at all. Beside it what a constant on the scores of the genre's items
 * does: of all changes that give the genre the same mean probability, that one leaves the model's
 * own distribution least changed. The model and the autoencoder are those of {@link ColdUsers}; the
 * features of a genre are chosen on users who trained the transformer, the lists are those of
 * others.
 */
public final class Control {
  private static final String AUTOENCODER = "topk-f512-k16";
  private static final List<String> CONCEPTS =
      List.of("Sci-Fi", "Horror", "Children's", "Musical", "War", "Western");
  private static final double[] STRENGTHS = {-2, -1, 0, .5, 1, 1.5, 2, 3, 4};
  private static final int K = 10;

  private static final String BOUNDED = "the share at a loss of 10 % of NDCG@10";
  private static final double NDCG_KEPT = .9;

  /** Strengths at which the bound is looked for, until so much of NDCG is lost. */
  private static final double STEP = .1;

  private static final double MOST_STRENGTH = 10;
  private static final double NDCG_LEFT = .75;

  private final Kernels kernels;
  private final ModelFolder model;
  private final SparseAutoencoder sae;
  private final Concepts concepts;
  private final Attributes genres;
  private final ResultTable table;

  private Control(
      Kernels kernels,
      ModelFolder model,
      SparseAutoencoder sae,
      Concepts concepts,
      Attributes genres,
      ResultTable table) {
    this.kernels = kernels;
    this.model = model;
    this.sae = sae;
    this.concepts = concepts;
    this.genres = genres;
    this.table = table;
  }

  /**
   * Runs it, or what is left of it, and writes the table.
   *
   * @param args the folder of runs, in which {@link ColdUsers} has run, and the folder of results
   */
  public static void main(String[] args) throws Exception {
    Path cold = Path.of(args[0], "cold-users");
    Path folder = cold.resolve(AUTOENCODER);
    if (!Files.exists(folder.resolve("cfg.json"))) {
      throw new IllegalArgumentException(
          folder + " holds no autoencoder; run bench/cold-users.sh first");
    }
    try (Kernels kernels = Kernels.open();
        Dataset dataset = MovieLens.open()) {
      Split split = Splits.named("cold-users", dataset);
      try (ModelFolder model = ColdUsers.backbone(kernels, split, cold);
          SparseAutoencoder sae = SparseAutoencoder.load(kernels, folder)) {
        FeatureLabels labels =
            FeatureLabels.of(
                kernels, model.model(), sae, split.train(), FeatureLabels.MAX_POSITIONS);
        ResultTable table =
            new ResultTable(
                Path.of(args[1]),
                "ml-1m-control",
                "MovieLens 1M, new users: steering by genre",
                "bench/control.sh");
        table.note(
            "The autoencoder: TopK, F "
                + sae.features()
                + ", K "
                + sae.kept()
                + ", at "
                + sae.site()
                + " of the model of ml-1m-cold-users. A genre is steered through up to 4 features, chosen and weighted by"
                + " their effect on the scores; strength 1 raises its probability, to first order, as adding 1 to the scores of"
                + " its items. DELTA adds the change to the hidden state, REPLACE puts the edited reconstruction in its place;"
                + " \"logits\" adds the strength to the scores of the genre's items and steers nothing: the reference. Share:"
                + " mean over users of the share of the genre in the first 10.");
        table.note(
            "The share at a loss of 10 % of NDCG@10: the test users, and beside them the users who trained the autoencoder"
                + " and not the transformer, of whom there are more. The bound is where NDCG@10, linear between strengths .1"
                + " apart, first falls below 90 % of the model's; in brackets 95 % intervals by the bootstrap over users, with"
                + " a bound for each draw.");
        Concepts concepts = Concepts.of(kernels, model.model(), sae, labels, split.train());
        new Control(kernels, model, sae, concepts, dataset.attributes(), table)
            .study(
                new People("test users", split.test()), new People("others", split.validation()));
        table.write();
      }
    }
  }

  /** Users whose lists are judged. */
  private record People(String name, Cases cases) {}

  /** A way to raise a genre. */
  private interface Way {
    /** The lists of the first 10 for all users. */
    int[][] lists(int genre, double strength);
  }

  private void study(People test, People others) throws Exception {
    try (Evaluator evaluator = new Evaluator(kernels, model.model())) {
      Way logits = logits(evaluator, test.cases);
      Way otherLogits = logits(evaluator, others.cases);
      for (String concept : CONCEPTS) {
        int genre = genres.find(concept);
        way(concept, "logits", test, logits, genre);
        for (Steering.Positions positions : Steering.Positions.values()) {
          for (EditTable.Write write : EditTable.Write.values()) {
            String name =
                write
                    + (positions == Steering.Positions.ALL
                        ? ", at all positions"
                        : ", at the last position");
            way(concept, name, test, steered(evaluator, test.cases, write, positions), genre);
          }
        }
        bound(concept, "logits", others, otherLogits, genre);
        bound(
            concept,
            "DELTA, at the last position",
            others,
            steered(evaluator, others.cases, EditTable.Write.DELTA, Steering.Positions.LAST),
            genre);
      }
    }
  }

  /** The lines of a way: by strength, and the bound. */
  private void way(String concept, String name, People people, Way way, int genre)
      throws Exception {
    int[] targets = Evaluator.targets(people.cases);
    TreeMap<Double, int[][]> lists = new TreeMap<>();
    Way once = (g, strength) -> lists.computeIfAbsent(strength, s -> way.lists(g, s));
    for (double strength : STRENGTHS) {
      table.part(
          concept,
          name + ", strength " + strength,
          kernels,
          Figures.Reference.NONE,
          figures -> {
            int[][] list = once.lists(genre, strength);
            RankingMetrics metrics =
                RankingMetrics.of(list, targets, K, model.model().config().items());
            figures.add("share", RankingMetrics.attributeShare(list, K, genres, genre));
            figures.add("NDCG@10", metrics.ndcg());
            figures.add("HR@10", metrics.hitRate());
            figures.add("coverage@10", metrics.coverage());
          });
    }
    bound(concept, name, people, once, genre);
  }

  private void bound(String concept, String name, People people, Way way, int genre)
      throws Exception {
    table.part(
        BOUNDED,
        concept + ", " + people.cases.count() + " " + people.name + ", " + name,
        kernels,
        Figures.Reference.NONE,
        figures -> {
          LossBound bound = bound(people.cases, way, genre);
          figures.add("strength", bound.strength());
          figures.add("share", bound.share());
          figures.add("times the model's", bound.times());
        });
  }

  private LossBound bound(Cases cases, Way way, int genre) {
    int[] targets = Evaluator.targets(cases);
    List<Double> strengths = new ArrayList<>();
    List<double[]> shares = new ArrayList<>();
    List<double[]> ndcg = new ArrayList<>();
    double left = 1;
    for (int i = 0; i * STEP <= MOST_STRENGTH && left > NDCG_LEFT; i++) {
      int[][] lists = way.lists(genre, i * STEP);
      strengths.add(i * STEP);
      shares.add(
          byUser(lists, u -> RankingMetrics.attributeShare(one(lists, u), K, genres, genre)));
      ndcg.add(
          byUser(
              lists,
              u ->
                  RankingMetrics.of(
                          one(lists, u), new int[] {targets[u]}, K, model.model().config().items())
                      .ndcg()));
      left = Arrays.stream(ndcg.getLast()).sum() / Arrays.stream(ndcg.getFirst()).sum();
    }
    return LossBound.of(
        strengths.stream().mapToDouble(Double::doubleValue).toArray(),
        shares.toArray(double[][]::new),
        ndcg.toArray(double[][]::new),
        NDCG_KEPT);
  }

  private static double[] byUser(int[][] lists, java.util.function.IntToDoubleFunction of) {
    return IntStream.range(0, lists.length).mapToDouble(of).toArray();
  }

  private static int[][] one(int[][] lists, int user) {
    return new int[][] {lists[user]};
  }

  private Way steered(
      Evaluator evaluator, Cases cases, EditTable.Write write, Steering.Positions positions) {
    return (genre, strength) -> {
      Steering steering =
          concepts.steer(genres.names().get(genre), strength).written(write).at(positions);
      try (SteeringEdit edit = new SteeringEdit(kernels, sae, steering)) {
        return evaluator.recommend(cases, K, edit);
      }
    };
  }

  /** The strength added to the scores of the genre's items. */
  private Way logits(Evaluator evaluator, Cases cases) {
    int items = model.model().config().items();
    float[][] scores = new float[cases.count()][];
    int[][][] ranked = new int[1][][];
    return (genre, strength) -> {
      if (ranked[0] == null) {
        ranked[0] = evaluator.recommend(cases.histories(), items, scores);
      }
      int[][] lists = new int[cases.count()][];
      for (int u = 0; u < lists.length; u++) {
        lists[u] = raised(ranked[0][u], scores[u], genre, strength);
      }
      return lists;
    };
  }

  /** The first K once the scores of a genre's items are raised. */
  private int[] raised(int[] ranked, float[] scores, int genre, double strength) {
    // Both kinds of items stay in their order, so that K of each are enough.
    int[] with =
        IntStream.range(0, ranked.length)
            .filter(i -> ranked[i] != 0 && genres.has(ranked[i], genre))
            .limit(K)
            .toArray();
    int[] without =
        IntStream.range(0, ranked.length)
            .filter(i -> ranked[i] != 0 && !genres.has(ranked[i], genre))
            .limit(K)
            .toArray();
    int[] list = new int[K];
    int a = 0;
    int b = 0;
    for (int i = 0; i < K && a + b < with.length + without.length; i++) {
      boolean first =
          b == without.length
              || a < with.length && scores[with[a]] + strength >= scores[without[b]];
      list[i] = ranked[first ? with[a++] : without[b++]];
    }
    return list;
  }
}
