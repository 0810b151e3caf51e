package dev.rhumb.interpret;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.data.Attributes;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.sae.SparseAutoencoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * What the features of an autoencoder mean: a label for each feature, and the best features for
 * each attribute.
 *
 * <p>Files beside the autoencoder's: {@code features.tsv} and {@code attributes.tsv}. Unchangeable,
 * so any thread may read.
 */
public final class FeatureLabels {
  /** The name of the table of features. */
  public static final String FEATURES_FILE = "features.tsv";

  /** The name of the table of attributes. */
  public static final String ATTRIBUTES_FILE = "attributes.tsv";

  /** Positions that are read unless told otherwise. */
  public static final int MAX_POSITIONS = 200_000;

  private static final int ITEMS = 10;
  private static final int PER_ATTRIBUTE = 8;
  private static final List<String> SCORE_HEAD =
      List.of(
          "attribute",
          "rank",
          "feature",
          "r_chosen",
          "r_held_out",
          "auc_held_out",
          "p_fires_given_attribute",
          "p_attribute_given_fires",
          "p_value",
          "significant");
  private static final List<String> FEATURE_HEAD =
      List.of(
          "feature",
          "firing_share",
          "mean_activation",
          "p99_activation",
          "max_activation",
          "attribute",
          "r_chosen",
          "r_held_out",
          "auc_held_out",
          "p_fires_given_attribute",
          "p_attribute_given_fires",
          "p_value",
          "significant",
          "top_items",
          "logit_items");

  private final List<FeatureLabel> features;
  private final AttributeScores attributes;

  private FeatureLabels(List<FeatureLabel> features, AttributeScores attributes) {
    this.features = List.copyOf(features);
    this.attributes = attributes;
  }

  /**
   * Labels all features.
   *
   * @param heldOut sequences, one for each user, that the autoencoder did not learn from
   * @param maxPositions where they have more, a random part of them is taken
   */
  public static FeatureLabels of(
      Kernels kernels, Model model, SparseAutoencoder sae, Sequences heldOut, int maxPositions) {
    Attributes labels = heldOut.dataset().attributes();
    Columns data = Columns.features(kernels, model, sae, Positions.of(heldOut, maxPositions));
    FeatureStatistics chooser = FeatureStatistics.of(data, labels, Half.FIRST);
    FeatureStatistics judge = FeatureStatistics.of(data, labels, Half.SECOND);
    FeatureStatistics all = FeatureStatistics.of(data, labels, Half.BOTH);
    List<AttributeScore> best = best(chooser, judge, labels);
    int[][] top = topItems(data, model.config().items());
    int[][] logit = logitItems(kernels, model, sae);
    List<FeatureLabel> features = new ArrayList<>();
    for (int f = 0; f < sae.features(); f++) {
      boolean fires = all.firingShare(f) > 0;
      features.add(
          new FeatureLabel(
              f,
              all.firingShare(f),
              fires ? all.meanWhenFired(f) : 0,
              all.highWhenFired(f),
              all.most(f),
              best.get(f),
              boxed(top[f]),
              boxed(logit[f])));
    }
    return new FeatureLabels(
        features, AttributeScores.of(chooser, judge, labels, false, PER_ATTRIBUTE));
  }

  /** For each feature the attribute with the largest chosen correlation, or null. */
  private static List<AttributeScore> best(
      FeatureStatistics chooser, FeatureStatistics judge, Attributes labels) {
    List<AttributeScore> scores = new ArrayList<>();
    for (int f = 0; f < chooser.columns(); f++) {
      int best = -1;
      for (int a = 0; a < labels.count(); a++) {
        double r = chooser.correlation(f, a);
        if (r > (best < 0 ? Double.NEGATIVE_INFINITY : chooser.correlation(f, best))) {
          best = a;
        }
      }
      scores.add(
          best < 0 ? null : AttributeScores.score(chooser, judge, labels, f, best, 1, false));
    }
    return AttributeScores.tested(scores);
  }

  private static List<Integer> boxed(int[] items) {
    return Arrays.stream(items).boxed().toList();
  }

  /**
   * For each column the items with the highest sum of values over their positions, divided by those
   * positions and one more.
   */
  static int[][] topItems(Columns data, int items) {
    int[] positions = new int[items + 1];
    for (int i = 0; i < data.positions(); i++) {
      positions[data.item(i)]++;
    }
    double[] sum = new double[items + 1];
    int[][] top = new int[data.count()][];
    for (int c = 0; c < top.length; c++) {
      for (int e = data.start(c); e < data.start(c + 1); e++) {
        sum[data.item(data.row(e))] += data.value(e);
      }
      top[c] =
          IntStream.range(data.start(c), data.start(c + 1))
              .map(e -> data.item(data.row(e)))
              .distinct()
              .boxed()
              .sorted(
                  Comparator.<Integer>comparingDouble(item -> -sum[item] / (positions[item] + 1))
                      .thenComparing(Comparator.naturalOrder()))
              .limit(ITEMS)
              .mapToInt(Integer::intValue)
              .toArray();
      for (int e = data.start(c); e < data.start(c + 1); e++) {
        sum[data.item(data.row(e))] = 0;
      }
    }
    return top;
  }

  private static int[][] logitItems(Kernels kernels, Model model, SparseAutoencoder sae) {
    int features = sae.features();
    int k = Math.min(ITEMS, model.config().items());
    int[][] items = new int[features][k];
    try (Buffer best = kernels.allocate(DType.I32, (long) features * k);
        Buffer scores = kernels.allocate(DType.F32, (long) features * k)) {
      kernels
          .ranking()
          .topItems(
              features,
              sae.width(),
              model.config().items() + 1L,
              sae.decoderWeights(),
              sae.width(),
              model.itemTable(),
              k,
              null,
              null,
              best,
              scores);
      for (int f = 0; f < features; f++) {
        best.get((long) f * k, items[f], 0, k);
      }
    }
    return items;
  }

  /** A label for each feature, in their order. */
  public List<FeatureLabel> features() {
    return features;
  }

  /** The best features for each attribute. */
  public AttributeScores attributes() {
    return attributes;
  }

  /** Labelled features, the clearest first: by the held-out correlation with their attribute. */
  public List<FeatureLabel> clearest() {
    return features.stream()
        .filter(feature -> !feature.label().isEmpty())
        .sorted(
            Comparator.<FeatureLabel>comparingDouble(feature -> -feature.best().correlation())
                .thenComparing(FeatureLabel::feature))
        .toList();
  }

  /** Writes both files, each whole or not at all, into the autoencoder's folder. */
  public void save(Path folder) {
    StringBuilder text = new StringBuilder(String.join("\t", FEATURE_HEAD)).append('\n');
    for (FeatureLabel label : features) {
      text.append(label.feature())
          .append('\t')
          .append(label.firingShare())
          .append('\t')
          .append(label.meanActivation())
          .append('\t')
          .append(label.highActivation())
          .append('\t')
          .append(label.mostActivation())
          .append('\t')
          .append(
              label.best() == null
                  ? "\t\t\t\t\t\t\t"
                  : escape(label.best().attribute()) + '\t' + figures(label.best()))
          .append('\t')
          .append(join(label.topItems()))
          .append('\t')
          .append(join(label.logitItems()))
          .append('\n');
    }
    AtomicFiles.writeString(folder.resolve(FEATURES_FILE), text.toString());
    text = new StringBuilder(String.join("\t", SCORE_HEAD)).append('\n');
    for (AttributeScore score : attributes.scores()) {
      text.append(escape(score.attribute()))
          .append('\t')
          .append(score.rank())
          .append('\t')
          .append(score.column())
          .append('\t')
          .append(figures(score))
          .append('\n');
    }
    AtomicFiles.writeString(folder.resolve(ATTRIBUTES_FILE), text.toString());
  }

  private static String figures(AttributeScore score) {
    return score.chosenCorrelation()
        + "\t"
        + score.correlation()
        + '\t'
        + score.auc()
        + '\t'
        + score.firesGivenAttribute()
        + '\t'
        + score.attributeGivenFires()
        + '\t'
        + score.pValue()
        + '\t'
        + score.significant();
  }

  private static String join(List<Integer> items) {
    return items.stream().map(String::valueOf).collect(Collectors.joining(","));
  }

  private static String escape(String name) {
    return name.replace("\\", "\\\\")
        .replace("\t", "\\t")
        .replace("\n", "\\n")
        .replace("\r", "\\r");
  }

  /**
   * Reads both files.
   *
   * @throws FormatException when a line is not as {@link #save} writes it; it names the line
   */
  public static FeatureLabels load(Path folder) {
    List<FeatureLabel> features = new ArrayList<>();
    for (Row row : rows(folder.resolve(FEATURES_FILE), FEATURE_HEAD)) {
      if (row.integer(0, 0) != features.size()) {
        throw row.refuse(0, "does not follow on feature " + (features.size() - 1));
      }
      boolean labelled = !row.field(5).isEmpty();
      features.add(
          new FeatureLabel(
              features.size(),
              row.number(1),
              row.number(2),
              row.number(3),
              row.number(4),
              labelled ? row.score(row.text(5), 1, features.size(), 6) : null,
              row.items(13),
              row.items(14)));
    }
    List<AttributeScore> scores = new ArrayList<>();
    for (Row row : rows(folder.resolve(ATTRIBUTES_FILE), SCORE_HEAD)) {
      int feature = row.integer(2, 0);
      if (feature >= features.size()) {
        throw row.refuse(2, "is not among the " + features.size() + " features");
      }
      scores.add(row.score(row.text(0), row.integer(1, 1), feature, 3));
    }
    return new FeatureLabels(features, new AttributeScores(scores));
  }

  private static List<Row> rows(Path file, List<String> head) {
    List<String> lines;
    try {
      lines = Files.readAllLines(file);
    } catch (IOException e) {
      throw new UncheckedIOException(
          "cannot read " + file + "; 'rhumb explain' writes it: " + e, e);
    }
    if (lines.isEmpty() || !lines.getFirst().equals(String.join("\t", head))) {
      throw new FormatException(file, "line 1", "is not the expected head", MEND);
    }
    List<Row> rows = new ArrayList<>();
    for (int i = 1; i < lines.size(); i++) {
      String[] fields = lines.get(i).split("\t", -1);
      if (fields.length != head.size()) {
        throw new FormatException(
            file, "line " + (i + 1), "has " + fields.length + " fields, not " + head.size(), MEND);
      }
      rows.add(new Row(file, i + 1, head, fields));
    }
    return rows;
  }

  private static final String MEND = "write it anew with 'rhumb explain'";

  private record Row(Path file, int line, List<String> head, String[] fields) {
    FormatException refuse(int column, String what) {
      return new FormatException(
          file,
          "line " + line + ", " + head.get(column),
          "\"" + fields[column] + "\" " + what,
          MEND);
    }

    String field(int column) {
      return fields[column];
    }

    String text(int column) {
      StringBuilder text = new StringBuilder();
      String field = fields[column];
      for (int i = 0; i < field.length(); i++) {
        char c = field.charAt(i);
        if (c == '\\') {
          i++;
          c =
              switch (i < field.length() ? field.charAt(i) : ' ') {
                case '\\' -> '\\';
                case 't' -> '\t';
                case 'n' -> '\n';
                case 'r' -> '\r';
                default -> throw refuse(column, "has a stray backslash");
              };
        }
        text.append(c);
      }
      if (text.isEmpty()) {
        throw refuse(column, "is empty");
      }
      return text.toString();
    }

    double number(int column) {
      try {
        double value = Double.parseDouble(fields[column]);
        if (!Double.isInfinite(value)) {
          return value;
        }
      } catch (NumberFormatException e) {
        // The refusal below says all there is to say.
      }
      throw refuse(column, "is no number");
    }

    int integer(int column, int least) {
      return integer(column, fields[column], least);
    }

    private int integer(int column, String field, int least) {
      try {
        int value = Integer.parseInt(field);
        if (value >= least) {
          return value;
        }
      } catch (NumberFormatException e) {
        // The refusal below says all there is to say.
      }
      throw refuse(column, "is no whole number from " + least);
    }

    List<Integer> items(int column) {
      List<Integer> items = new ArrayList<>();
      if (!fields[column].isEmpty()) {
        for (String item : fields[column].split(",", -1)) {
          items.add(integer(column, item, 1));
        }
      }
      return items;
    }

    AttributeScore score(String attribute, int rank, int feature, int from) {
      String significant = fields[from + 6];
      if (!significant.equals("true") && !significant.equals("false")) {
        throw refuse(from + 6, "is neither true nor false");
      }
      return new AttributeScore(
          attribute,
          rank,
          feature,
          number(from),
          number(from + 1),
          number(from + 2),
          number(from + 3),
          number(from + 4),
          number(from + 5),
          significant.equals("true"));
    }
  }
}
