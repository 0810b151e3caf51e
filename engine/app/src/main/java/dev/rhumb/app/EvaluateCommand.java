package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.figure;
import static dev.rhumb.app.study.Figures.fixed;
import static dev.rhumb.app.study.Figures.interval;
import static dev.rhumb.app.study.Figures.map;
import static dev.rhumb.app.study.Figures.number;
import static dev.rhumb.app.study.Figures.percent;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.study.Figures;
import dev.rhumb.app.study.SplitKind;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Progress;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.eval.Bootstrap;
import dev.rhumb.eval.CaseScores;
import dev.rhumb.eval.Comparison;
import dev.rhumb.eval.Estimate;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.ItemCounts;
import dev.rhumb.eval.Metric;
import dev.rhumb.eval.Ranker;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.eval.RankingReport;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelFolder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Ranking metrics of models and baselines over the full catalogue. */
@picocli.CommandLine.Command(
    name = "evaluate",
    description = {
      "Ranking metrics of models and baselines on their test cases, over the full catalogue.",
      "",
      "A mean has a 95 %% bootstrap interval over users. --against and --compare test whether two"
          + " differ."
    })
final class EvaluateCommand extends Command {
  private static final Path DEFAULT_MODEL = Path.of("runs/model");
  private static final double LEVEL = .95;
  private static final double SMALLEST_SHOWN = 1e-4;

  @Option(
      names = {"--model", "-m"},
      paramLabel = "FOLDER",
      description = "Model folders (default: runs/model, where no baseline is named).")
  private List<Path> models = new ArrayList<>();

  @Option(
      names = {"--baseline", "-b"},
      paramLabel = "NAME",
      split = ",",
      description =
          "popularity, markov (what followed the last item) or item-knn, fitted to the training part"
              + " (default: popularity beside a model).")
  private List<String> baselines = new ArrayList<>();

  @Option(
      names = "--against",
      paramLabel = "NAME",
      description = "A model folder or baseline that each of the others is tested against.")
  private String against;

  @Option(
      names = "--compare",
      arity = "2",
      paramLabel = "FILE",
      description = "Instead: test two files of --per-user against each other.")
  private List<Path> compare = List.of();

  @Mixin private DataOptions data;

  @Option(
      names = "--split",
      paramLabel = "NAME",
      description = "Of the data (default: that of the model, else leave-one-out).")
  private String split;

  @Option(
      names = "-k",
      split = ",",
      defaultValue = "10",
      description = "Lengths of a list (default: ${DEFAULT-VALUE}).")
  private List<Integer> ks;

  @Option(
      names = "--metrics",
      paramLabel = "NAME",
      split = ",",
      description = {
        "hr, ndcg, mrr, map, precision, recall, coverage, novelty, inter-list-diversity,"
            + " intra-list-diversity, gini, popularity, popularity-lift, long-tail, calibration.",
        "(default: all, without map, precision and recall where each case has one relevant item)"
      })
  private List<String> metrics = new ArrayList<>();

  @Option(names = "--attributes", description = "Show the share of each attribute too.")
  private boolean attributes;

  @Option(
      names = "--per-user",
      paramLabel = "FILE",
      description = "Write what each case of the one model or baseline scored, parted by tabs.")
  private Path perUser;

  @Option(
      names = "--resamples",
      paramLabel = "N",
      defaultValue = "2000",
      description = "For intervals; 0 for none (default: ${DEFAULT-VALUE}).")
  private int resamples;

  @Option(
      names = "--seed",
      defaultValue = "1",
      description = "Of resamples and permutations (default: ${DEFAULT-VALUE}).")
  private long seed;

  @Mixin private BaselineOptions baseline;
  @Mixin private EngineOptions engine;

  /**
   * What one ranker did.
   *
   * @param estimates by length of lists, then by metric, in the order chosen
   */
  private record Judged(
      String name, RankingReport report, CaseScores scores, List<List<Estimate>> estimates) {}

  @Override
  Map<String, Object> work(Console console) {
    List<Metric> chosen = check();
    Bootstrap bootstrap = new Bootstrap(resamples, LEVEL, seed);
    if (!compare.isEmpty()) {
      return compareFiles(console, chosen, bootstrap);
    }
    List<String> asked = asked();
    String first = models.isEmpty() ? null : models.getFirst().toString();
    if (first == null && against != null && !BaselineOptions.knows(against)) {
      first = against;
    }
    if (first == null) {
      SplitKind kind = SplitKind.of(split == null ? SplitKind.LEAVE_ONE_OUT.toString() : split);
      try (Dataset dataset = data.open(DataFolders.DEFAULT)) {
        return evaluate(console, null, asked, kind.of(dataset), chosen, bootstrap);
      }
    }
    try (Kernels kernels = engine.open();
        Trained trained = Trained.open(ModelFolder.open(kernels, Path.of(first)), data)) {
      return evaluate(console, kernels, asked, trained.split(), chosen, bootstrap);
    }
  }

  /** Refuses what no data can make right, and finds the metrics; none where none is named. */
  private List<Metric> check() {
    for (int k : ks) {
      if (k < 1) {
        throw usage("-k " + k + " must be 1 or more");
      }
    }
    for (String name : baselines) {
      if (!BaselineOptions.knows(name)) {
        throw usage(BaselineOptions.unknown(name));
      }
    }
    if (resamples < 0) {
      throw usage("--resamples " + resamples + " must be 0 or more");
    }
    if (!compare.isEmpty()
        && (against != null || perUser != null || !models.isEmpty() || !baselines.isEmpty())) {
      throw usage(
          "--compare reads two files and goes with no model or baseline, and no --per-user");
    }
    try {
      baseline.knn();
      return metrics.stream().map(Metric::named).distinct().toList();
    } catch (IllegalArgumentException e) {
      throw usage(e.getMessage());
    }
  }

  /** The folders and baselines to judge, in order; --against comes last. */
  private List<String> asked() {
    if (models.isEmpty() && baselines.isEmpty()) {
      models = List.of(DEFAULT_MODEL);
    }
    Stream<String> named =
        Stream.concat(models.stream().map(Path::toString), baselines.stream()).distinct();
    List<String> asked = new ArrayList<>(named.filter(name -> !name.equals(against)).toList());
    if (perUser != null && (asked.size() != 1 || against != null)) {
      throw usage("--per-user is of one model or baseline; name one, without --against");
    }
    if (against != null) {
      if (asked.isEmpty()) {
        throw usage("--against " + against + " has nothing beside it to test; name another");
      }
      asked.add(against);
    } else if (baselines.isEmpty()) {
      asked.add(BaselineOptions.POPULARITY);
    }
    return asked;
  }

  private Map<String, Object> evaluate(
      Console console,
      Kernels kernels,
      List<String> asked,
      Split data,
      List<Metric> named,
      Bootstrap bootstrap) {
    Dataset dataset = data.train().dataset();
    if (split != null && !SplitKind.of(split).of(dataset).name().equals(data.name())) {
      throw new Refusal(
          "--split " + split,
          "is not the split that the model was trained on, which is " + data.name(),
          "leave --split out, or train a model on that split");
    }
    int longest = ks.stream().mapToInt(Integer::intValue).max().orElseThrow();
    RankingReport.requireLength(longest, dataset.items());
    ItemCounts counts = ItemCounts.of(data.train());
    List<Judged> judged = new ArrayList<>();
    List<Metric> chosen = named;
    int[] lengths = ks.stream().mapToInt(Integer::intValue).distinct().toArray();
    for (String name : asked) {
      try (Progress progress = console.progress(name, data.test().count())) {
        RankingReport report = report(kernels, name, data, counts, longest, progress);
        chosen = chosen.isEmpty() ? Metric.telling(report.mostRelevant()) : chosen;
        CaseScores scores =
            CaseScores.of(
                report,
                data.name(),
                name,
                chosen.stream().filter(Metric::ofCase).toList(),
                lengths);
        List<Metric> shown = chosen;
        judged.add(
            new Judged(
                name,
                report,
                scores,
                Arrays.stream(lengths)
                    .mapToObj(k -> report.estimates(shown, k, bootstrap))
                    .toList()));
      }
    }
    if (perUser != null) {
      judged.getFirst().scores.save(perUser);
    }
    console.say(
        "%s, %s: %d test cases, all %d items ranked, those of the history left out",
        dataset.name(), data.name(), judged.getFirst().report.cases(), dataset.items());
    console.say(table(judged, chosen, lengths));
    if (named.isEmpty() && judged.getFirst().report.mostRelevant() == 1) {
      console.say("  one relevant item a case: recall is HR, precision is HR / k, MAP is MRR");
    }
    if (attributes) {
      console.say(attributeTable(judged, dataset, longest));
    }
    List<Map<String, Object>> comparisons = new ArrayList<>();
    for (Judged j : against == null ? List.<Judged>of() : judged.subList(0, judged.size() - 1)) {
      comparisons.add(test(console, j.scores, judged.getLast().scores, named, bootstrap));
    }
    return json(dataset, data, judged, chosen, lengths, comparisons);
  }

  private RankingReport report(
      Kernels kernels, String name, Split data, ItemCounts counts, int k, Progress progress) {
    if (BaselineOptions.knows(name)) {
      try (Ranker ranker = baseline.fit(name, data.train(), counts)) {
        return report(ranker, data, counts, k, progress);
      }
    }
    try (ModelFolder folder = ModelFolder.open(kernels, Path.of(name))) {
      Trained.requireTrainedOn(folder, data.train().dataset());
      if (!folder.description().split().equals(data.name())) {
        throw new Refusal(
            "model " + name,
            "was trained on the split "
                + folder.description().split()
                + ", the first model on "
                + data.name(),
            "evaluate it apart: it may have seen the answers");
      }
      try (Ranker ranker = new Evaluator(kernels, folder.model())) {
        return report(ranker, data, counts, k, progress);
      }
    }
  }

  private static RankingReport report(
      Ranker ranker, Split data, ItemCounts counts, int k, Progress progress) {
    return RankingReport.of(ranker, data.test(), counts, k, done -> progress.at(done, ""));
  }

  private static Table table(List<Judged> judged, List<Metric> metrics, int[] lengths) {
    List<String> heading = new ArrayList<>(List.of("metric"));
    for (Judged j : judged) {
      heading.addAll(List.of(j.name, "95 %"));
    }
    Table table = new Table(heading.toArray(String[]::new));
    for (int at = 0; at < lengths.length; at++) {
      for (int m = 0; m < metrics.size(); m++) {
        List<String> row = new ArrayList<>(List.of(metrics.get(m).title() + "@" + lengths[at]));
        for (Judged j : judged) {
          Estimate e = j.estimates.get(at).get(m);
          row.addAll(List.of(figure(e.value()), interval(e)));
        }
        table.row(row.toArray(String[]::new));
      }
    }
    return table;
  }

  private static Table attributeTable(List<Judged> judged, Dataset dataset, int k) {
    List<String> heading = new ArrayList<>(List.of("share of the top " + k));
    judged.forEach(j -> heading.add(j.name));
    Table table = new Table(heading.toArray(String[]::new));
    List<double[]> shares = judged.stream().map(j -> j.report.attributeShares(k)).toList();
    for (int a = 0; a < dataset.attributes().count(); a++) {
      int attribute = a;
      table.row(
          Stream.concat(
                  Stream.of(dataset.attributes().names().get(a)),
                  shares.stream().map(share -> percent(share[attribute])))
              .toArray(String[]::new));
    }
    return table;
  }

  private Map<String, Object> json(
      Dataset dataset,
      Split data,
      List<Judged> judged,
      List<Metric> metrics,
      int[] lengths,
      List<Map<String, Object>> comparisons) {
    Map<String, Object> result = new LinkedHashMap<>();
    if (!models.isEmpty()) {
      result.put("model", models.getFirst().toString());
    }
    result.putAll(
        map(
            "dataset",
            dataset.name(),
            "fingerprint",
            dataset.fingerprint(),
            "split",
            data.name(),
            "cases",
            judged.getFirst().report.cases()));
    for (Judged j : judged) {
      // One k: the first that is named.
      if (!models.isEmpty() && j.name.equals(models.getFirst().toString())) {
        result.put("metrics", Figures.json(j.report.metrics(ks.getFirst())));
      } else if (j.name.equals(BaselineOptions.POPULARITY)) {
        result.put("popularity", Figures.json(j.report.metrics(ks.getFirst())));
      }
    }
    result.put("rankers", judged.stream().map(j -> json(j, dataset, metrics, lengths)).toList());
    if (against != null) {
      result.put("comparisons", comparisons);
    }
    if (perUser != null) {
      result.put("per_user", perUser.toString());
    }
    return result;
  }

  private static Map<String, Object> json(
      Judged j, Dataset dataset, List<Metric> metrics, int[] lengths) {
    Map<String, Object> values = new LinkedHashMap<>();
    Map<String, Object> shares = new LinkedHashMap<>();
    for (int at = 0; at < lengths.length; at++) {
      int k = lengths[at];
      for (int m = 0; m < metrics.size(); m++) {
        values.put(metrics.get(m).at(k), json(j.estimates.get(at).get(m)));
      }
      double[] ofAttributes = j.report.attributeShares(k);
      Map<String, Object> byName = new LinkedHashMap<>();
      for (int a = 0; a < ofAttributes.length; a++) {
        byName.put(dataset.attributes().names().get(a), number(ofAttributes[a]));
      }
      shares.put("@" + k, byName);
    }
    return map("name", j.name, "metrics", values, "attribute_shares", shares);
  }

  private static Map<String, Object> json(Estimate e) {
    return map("value", number(e.value()), "low", number(e.low()), "high", number(e.high()));
  }

  private Map<String, Object> compareFiles(
      Console console, List<Metric> named, Bootstrap bootstrap) {
    CaseScores first = CaseScores.load(compare.get(0));
    CaseScores second = CaseScores.load(compare.get(1));
    console.say(
        "%s, %s: %d test cases", first.source().dataset(), first.source().split(), first.count());
    return map("comparisons", List.of(test(console, first, second, named, bootstrap)));
  }

  /** Tests the named metrics, or those of accuracy, at every k that both have. */
  private static Map<String, Object> test(
      Console console,
      CaseScores first,
      CaseScores second,
      List<Metric> named,
      Bootstrap bootstrap) {
    List<String> ids =
        (named.isEmpty() ? Metric.ACCURACY : named).stream().map(Metric::id).toList();
    List<String> columns =
        first.columns().stream()
            .filter(second.columns()::contains)
            .filter(column -> ids.contains(column.replaceAll("@.*", "")))
            .toList();
    if (columns.isEmpty()) {
      throw new Refusal(
          first.source().ranker() + " and " + second.source().ranker(),
          "have no metric of a case in common among " + String.join(", ", ids),
          "name one of " + String.join(", ", first.columns()));
    }
    List<Comparison> comparisons = Comparison.of(first, second, columns, bootstrap);
    console.heading(
        first.source().ranker()
            + " against "
            + second.source().ranker()
            + ": paired by user; p two-sided, Holm's correction for "
            + columns.size()
            + (columns.size() == 1 ? " metric" : " metrics"));
    Table table =
        new Table(
            "metric",
            "first",
            "second",
            "difference",
            "95 %",
            "better",
            "worse",
            "p t-test",
            "p permutation",
            "p Wilcoxon");
    for (Comparison c : comparisons) {
      table.row(
          c.metric(),
          figure(c.first()),
          figure(c.second()),
          figure(c.difference().value()),
          interval(c.difference()),
          Integer.toString(c.better()),
          Integer.toString(c.worse()),
          probability(c.student()),
          probability(c.permutation()),
          probability(c.wilcoxon()));
    }
    console.say(table);
    return map(
        "first", first.source().ranker(),
        "second", second.source().ranker(),
        "metrics", comparisons.stream().map(EvaluateCommand::json).toList());
  }

  private static String probability(Comparison.Probability p) {
    return p.corrected() < SMALLEST_SHOWN ? "<0.0001" : fixed(p.corrected(), 4);
  }

  private static Map<String, Object> json(Comparison c) {
    return map(
        "metric", c.metric(),
        "users", c.difference().users(),
        "first", number(c.first()),
        "second", number(c.second()),
        "difference", json(c.difference()),
        "better", c.better(),
        "worse", c.worse(),
        "t_test", json(c.student()),
        "permutation", json(c.permutation()),
        "wilcoxon", json(c.wilcoxon()));
  }

  private static Map<String, Object> json(Comparison.Probability p) {
    return map("p", number(p.alone()), "p_holm", number(p.corrected()));
  }

  /** A table of the metrics that training watches. */
  static Table table(int k) {
    return new Table("", "HR@" + k, "NDCG@" + k, "MRR@" + k, "coverage@" + k);
  }

  /** A row of it. */
  static String[] row(String name, RankingMetrics m) {
    return new String[] {
      name, fixed(m.hitRate(), 4), fixed(m.ndcg(), 4), fixed(m.mrr(), 4), fixed(m.coverage(), 4)
    };
  }
}
