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
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.Dose;
import dev.rhumb.steer.DoseOutcome;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;

/**
 * What steering does on MovieLens 1M: the share of a genre in the lists of new users, NDCG and
 * coverage, by strength; the change added to the hidden state or the reconstruction in its place;
 * at the last position or at all; through an autoencoder after the first block or after the last.
 * Beside it what a constant on the scores of the genre's items does: of all changes that give the
 * genre the same mean probability, that one leaves the model's own distribution least changed. The
 * model and the autoencoders are those of {@link ColdUsers}; the features of a genre are chosen on
 * users who trained the transformer, the lists are those of others.
 */
public final class Control {
  private static final List<String> AUTOENCODERS = List.of(ColdUsers.LONG, ColdUsers.LONG_LAST);
  private static final List<String> CONCEPTS =
      List.of("Sci-Fi", "Horror", "Children's", "Musical", "War", "Western");
  private static final double[] STRENGTHS = {-2, -1, 0, 1, 2, 3};
  private static final double[] DOSES = {.2, .4};
  private static final int K = 10;

  private static final String BOUNDED = "the share at a loss of 10 % of NDCG@10";
  private static final String DOSED = "a share of the list for every user";
  private static final double NDCG_KEPT = .9;

  /** Strengths at which the bound is looked for, until so much of NDCG is lost. */
  private static final double STEP = .1;

  private static final double MOST_STRENGTH = 10;
  private static final double NDCG_LEFT = .75;

  private final Kernels kernels;
  private final Model model;
  private final Evaluator evaluator;
  private final Split split;
  private final Attributes genres;
  private final ResultTable table;

  private Control(
      Kernels kernels, Evaluator evaluator, Model model, Split split, ResultTable table) {
    this.kernels = kernels;
    this.evaluator = evaluator;
    this.model = model;
    this.split = split;
    this.genres = split.train().dataset().attributes();
    this.table = table;
  }

  /**
   * Runs it, or what is left of it, and writes the table.
   *
   * @param args the folder of runs, in which {@link ColdUsers} has run, and the folder of results
   */
  public static void main(String[] args) throws Exception {
    Path cold = Path.of(args[0], "cold-users");
    for (String name : AUTOENCODERS) {
      if (!Files.exists(cold.resolve(name).resolve("cfg.json"))) {
        throw new IllegalArgumentException(
            cold.resolve(name) + " holds no autoencoder; run bench/cold-users.sh first");
      }
    }
    try (Kernels kernels = Kernels.open();
        Dataset dataset = MovieLens.open()) {
      Split split = Splits.named("cold-users", dataset);
      try (ModelFolder model = ColdUsers.backbone(kernels, split, cold);
          Evaluator evaluator = new Evaluator(kernels, model.model())) {
        ResultTable table =
            new ResultTable(
                Path.of(args[1]),
                "ml-1m-control",
                "MovieLens 1M, new users: steering by genre",
                "bench/control.sh");
        table.note(
            "The autoencoders: TopK, F 512, K 16, 20,000 steps, at block 0 and at block 1, the last, of the model of ml-1m-cold-users. A genre"
                + " is steered through up to 4 features, chosen and weighted by their effect on the scores; strength 1 raises"
                + " its probability, to first order, as adding 1 to the scores of its items. DELTA adds the change to the"
                + " hidden state, REPLACE puts the edited reconstruction in its place, at the last position or at all;"
                + " \"logits\" adds the strength to the scores of the genre's items and steers nothing: the reference. Share:"
                + " mean over users of the share of the genre in the first 10.");
        table.note(
            "The share at a loss of 10 % of NDCG@10: the test users, and beside them the users who trained the autoencoders"
                + " and not the transformer, of whom there are more. The bound is where NDCG@10, linear between strengths .1"
                + " apart, first falls below 90 % of the model's; in brackets 95 % intervals by the bootstrap over users, with"
                + " a bound for each draw.");
        table.note(
            "A share of the list for every user: each user's strength is searched for (DELTA, last position); deviation: mean"
                + " over users of the distance between the list's share and the dose. NDCG kept: of the model's.");
        new Control(kernels, evaluator, model.model(), split, table).study(cold);
        table.write();
      }
    }
  }

  /** An autoencoder and what it can steer. */
  private record Steerable(SparseAutoencoder sae, Concepts concepts) {}

  /** Users whose lists are judged. */
  private record People(String name, Cases cases) {}

  /** A way to raise a genre. */
  private interface Way {
    /** The lists of the first 10 for all users. */
    int[][] lists(int genre, double strength);
  }

  private void study(Path cold) throws Exception {
    List<Steerable> steerables = new ArrayList<>();
    try {
      for (String name : AUTOENCODERS) {
        SparseAutoencoder sae = SparseAutoencoder.load(kernels, cold.resolve(name));
        FeatureLabels labels =
            FeatureLabels.of(kernels, model, sae, split.train(), FeatureLabels.MAX_POSITIONS);
        steerables.add(new Steerable(sae, Concepts.of(kernels, model, sae, labels, split.train())));
      }
      People test = new People("test users", split.test());
      People others = new People("others", split.validation());
      Way logits = logits(test.cases);
      Way otherLogits = logits(others.cases);
      for (String concept : CONCEPTS) {
        way(concept, "logits", test, logits);
        bound(concept, "logits", others, otherLogits);
        for (Steerable steerable : steerables) {
          for (Steering.Positions positions : positions(steerable.sae)) {
            for (EditTable.Write write : EditTable.Write.values()) {
              way(
                  concept,
                  name(steerable.sae, write, positions),
                  test,
                  steered(steerable, test.cases, write, positions));
            }
          }
          bound(
              concept,
              name(steerable.sae, EditTable.Write.DELTA, Steering.Positions.LAST),
              others,
              steered(steerable, others.cases, EditTable.Write.DELTA, Steering.Positions.LAST));
          doses(concept, steerable, test);
        }
      }
    } finally {
      steerables.forEach(steerable -> steerable.sae.close());
    }
  }

  /**
   * Past the last block positions no longer see each other, so that all are as good as the last.
   */
  private List<Steering.Positions> positions(SparseAutoencoder sae) {
    return sae.site().block() == model.config().layers() - 1
        ? List.of(Steering.Positions.LAST)
        : List.of(Steering.Positions.values());
  }

  private static String name(
      SparseAutoencoder sae, EditTable.Write write, Steering.Positions positions) {
    return sae.site()
        + ", "
        + write
        + (positions == Steering.Positions.ALL ? ", all positions" : ", last position");
  }

  /** The lines of a way: by strength, and the bound. */
  private void way(String concept, String name, People people, Way way) throws Exception {
    int genre = genres.find(concept);
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
            RankingMetrics metrics = RankingMetrics.of(list, targets, K, model.config().items());
            figures.add("share", RankingMetrics.attributeShare(list, K, genres, genre));
            figures.add("NDCG@10", metrics.ndcg());
            figures.add("HR@10", metrics.hitRate());
            figures.add("coverage@10", metrics.coverage());
          });
    }
    bound(concept, name, people, once);
  }

  private void doses(String concept, Steerable steerable, People people) throws Exception {
    for (double share : DOSES) {
      table.part(
          DOSED,
          concept + ", " + share + ", " + steerable.sae.site(),
          kernels,
          Figures.Reference.NONE,
          figures -> {
            DoseOutcome met =
                DoseOutcome.of(
                    kernels,
                    model,
                    steerable.sae,
                    steerable.concepts,
                    new Dose(concept, share),
                    people.cases,
                    K);
            double plain = evaluator.evaluate(people.cases, K).ndcg();
            figures.add("share", met.outcome().share());
            figures.add("deviation", met.deviation());
            figures.add("mean strength", met.strength());
            figures.add("NDCG kept", met.outcome().metrics().ndcg() / plain);
          });
    }
  }

  private void bound(String concept, String name, People people, Way way) throws Exception {
    table.part(
        BOUNDED,
        concept + ", " + people.cases.count() + " " + people.name + ", " + name,
        kernels,
        Figures.Reference.NONE,
        figures -> {
          LossBound bound = bound(people.cases, way, genres.find(concept));
          figures.add("strength", bound.strength());
          figures.add("share", bound.share());
          figures.add("times the model's", bound.times());
        });
  }

  private LossBound bound(Cases cases, Way way, int genre) {
    LossBound.Lists plain = lists(cases, evaluator.recommend(cases, K, null), genre);
    double least = NDCG_LEFT * Arrays.stream(plain.ndcg()).sum();
    List<Double> strengths = new ArrayList<>();
    List<LossBound.Lists> lists = new ArrayList<>();
    do {
      strengths.add(lists.size() * STEP);
      lists.add(lists(cases, way.lists(genre, strengths.getLast()), genre));
    } while (Arrays.stream(lists.getLast().ndcg()).sum() > least
        && strengths.getLast() < MOST_STRENGTH);
    return LossBound.of(
        plain, strengths.stream().mapToDouble(Double::doubleValue).toArray(), lists, NDCG_KEPT);
  }

  private LossBound.Lists lists(Cases cases, int[][] lists, int genre) {
    return new LossBound.Lists(
        byUser(lists, u -> RankingMetrics.attributeShare(one(lists, u), K, genres, genre)),
        ndcg(cases, lists, model.config().items()));
  }

  /** NDCG@10 of each user's list. */
  static double[] ndcg(Cases cases, int[][] lists, int items) {
    int[] targets = Evaluator.targets(cases);
    return byUser(
        lists, u -> RankingMetrics.of(one(lists, u), new int[] {targets[u]}, K, items).ndcg());
  }

  private static double[] byUser(int[][] lists, IntToDoubleFunction of) {
    return IntStream.range(0, lists.length).mapToDouble(of).toArray();
  }

  private static int[][] one(int[][] lists, int user) {
    return new int[][] {lists[user]};
  }

  private Way steered(
      Steerable steerable, Cases cases, EditTable.Write write, Steering.Positions positions) {
    return (genre, strength) -> {
      Steering steering =
          steerable
              .concepts
              .steer(genres.names().get(genre), strength)
              .written(write)
              .at(positions);
      try (SteeringEdit edit = new SteeringEdit(kernels, steerable.sae, steering)) {
        return evaluator.recommend(cases, K, edit);
      }
    };
  }

  /** The strength added to the scores of the genre's items. */
  private Way logits(Cases cases) {
    int items = model.config().items();
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
