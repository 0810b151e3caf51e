package dev.rhumb.app.study;

import static dev.rhumb.app.study.Figures.figure;
import static dev.rhumb.app.study.Figures.fixed;
import static dev.rhumb.app.study.Figures.grouped;
import static dev.rhumb.app.study.Figures.interval;
import static dev.rhumb.app.study.Figures.map;
import static dev.rhumb.app.study.Figures.percent;
import static dev.rhumb.app.study.Figures.plain;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.data.Catalogue;
import dev.rhumb.eval.Estimate;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.interpret.AttributeScore;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.train.EpochReport;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Writes findings as a page of one file that needs no network: styles, scripts and the chart
 * library lie inside, and the page forbids itself to load anything. Whatever comes from data is
 * escaped.
 */
public final class Report {
  /** The file's name. */
  public static final String FILE = "index.html";

  private static final Pattern PLACE = Pattern.compile("\\{\\{([a-z]+)}}");
  private static final int HISTORY = 8;

  private final Findings findings;
  private final StringBuilder body = new StringBuilder();

  private Report(Findings findings) {
    this.findings = findings;
  }

  /** Writes the page into a folder, made if need be, and returns its path. */
  public static Path write(Path folder, Findings findings) {
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot make the folder " + folder + ": " + e, e);
    }
    Path file = folder.resolve(FILE);
    AtomicFiles.writeString(file, page(findings));
    return file;
  }

  /** The page. */
  static String page(Findings findings) {
    Report report = new Report(findings);
    report.fillBody();
    Map<String, String> parts =
        Map.of(
            "title", escape("Rhumb: " + findings.data()),
            "style", resource("report.css"),
            "body", report.body.toString(),
            "data", report.data(),
            // Without its last comment, by which a debugger would look for another file.
            "library", resource("chart.umd.min.js").replaceAll("//# sourceMappingURL=.*", ""),
            "script", resource("report.js"));
    // In one pass, so that text from data can never be taken for a place.
    return PLACE
        .matcher(resource("report.html"))
        .replaceAll(place -> Matcher.quoteReplacement(parts.get(place.group(1))));
  }

  private void fillBody() {
    head();
    ranking();
    training();
    steering();
    example();
    attributes();
    cards();
  }

  private void head() {
    RankingMetrics ranking = findings.ranking();
    add("<header><h1>What the model has learnt</h1><p class=lead>")
        .text(findings.data())
        .add(findings.generated() ? " (generated)" : "")
        .add(". A transformer (")
        .text(findings.model().style().label())
        .add(", width " + findings.model().width() + ", " + findings.model().layers())
        .add(" blocks), a sparse autoencoder at <b>")
        .text(findings.site())
        .add("</b> with " + grouped(findings.features()) + " features, of which ")
        .add("about " + fixed(findings.sae().l0(), 1) + " speak at a time. ")
        .add(grouped(ranking.cases()) + " test cases (")
        .text(findings.split())
        .add("), the full catalogue ranked.</p></header><div class=tiles>");
    tile(
        "NDCG@10",
        fixed(ranking.ndcg(), 4),
        "popularity " + fixed(findings.popularity().ndcg(), 4));
    tile(
        "HR@10",
        fixed(ranking.hitRate(), 4),
        "popularity " + fixed(findings.popularity().hitRate(), 4));
    tile("MRR@10", fixed(ranking.mrr(), 4), "popularity " + fixed(findings.popularity().mrr(), 4));
    tile(
        "coverage@10",
        percent(ranking.coverage()),
        "popularity " + percent(findings.popularity().coverage()));
    tile(
        "explained variance",
        fixed(findings.sae().explainedVariance(), 3),
        "L0 " + fixed(findings.sae().l0(), 1));
    tile("NDCG kept", percent(findings.cost().ndcgKept()), "by the reconstruction alone");
    tile("dead features", percent(findings.sae().deadShare()), "on held-out users");
    tile(
        "clarity",
        fixed(findings.labels().attributes().meanCorrelation(), 3),
        "mean best r; hidden dimensions " + fixed(findings.hidden().meanCorrelation(), 3));
    add("</div>");
  }

  private void tile(String name, String value, String beside) {
    add("<div class=tile><span>").text(name).add("</span><strong>").text(value);
    add("</strong><small>").text(beside).add("</small></div>");
  }

  private void training() {
    List<EpochReport> history = findings.history();
    if (history.isEmpty()) {
      return;
    }
    add("<section><h2>Training</h2><p>");
    history.stream()
        .filter(EpochReport::best)
        .reduce((first, last) -> last)
        .ifPresent(
            best ->
                add("The weights are those of epoch "
                        + best.epoch()
                        + ", marked: validation NDCG@10 ")
                    .add(fixed(best.validationNdcg(), 4) + ", HR@10 ")
                    .add(fixed(best.validationHitRate(), 4) + ". "));
    add(grouped(history.getLast().step()) + " steps in ")
        .add(fixed(history.stream().mapToDouble(EpochReport::trainSeconds).sum() / 60, 1))
        .add(" minutes.</p>");
    canvas("training", "Training loss, validation NDCG@10 and HR@10 by epoch");
    if (history.stream().mapToDouble(EpochReport::learningRate).distinct().count() > 1) {
      add("<h3>Learning rate</h3>");
      canvas("learning-rate", "Learning rate by epoch");
    }
    add("</section>");
  }

  private void canvas(String id, String description) {
    add("<div class=chart><canvas id=\"" + id + "\" role=img aria-label=\"");
    text(description).add("\"></canvas></div>");
  }

  private void ranking() {
    add("<section><h2>Ranking</h2><p>The full catalogue, items of the history left out; means with")
        .add(
            " 95 % bootstrap intervals over users. The baselines: the most popular items, and what")
        .add(" followed the last item most often.</p><div class=scroll><table><tr><th>at 10");
    findings.standings().forEach(standing -> add("<th>").text(standing.name()).add("<th>95 %"));
    add("</tr>");
    for (int m = 0; m < Standing.METRICS.size(); m++) {
      add("<tr><td>").text(Standing.METRICS.get(m).title());
      for (Standing standing : findings.standings()) {
        Estimate estimate = standing.estimates().get(m);
        add("<td class=n>").text(figure(estimate.value()));
        add("<td class=n>").text(interval(estimate));
      }
      add("</tr>");
    }
    add("</table></div></section>");
  }

  private void steering() {
    if (findings.curves().isEmpty()) {
      return;
    }
    add("<section><h2>Steering</h2><p>What a concept's strength does to all test lists: the share of")
        .add(
            " the top 10 that has the attribute, and the ranking quality that it costs. Strength 1")
        .add(" makes its odds about e times as large, on average. <i>delta</i> adds the")
        .add(" change and keeps the autoencoder's error; <i>replace</i> puts the reconstruction in")
        .add(" the hidden state's place.</p><div class=\"grid wide\">");
    for (int i = 0; i < findings.curves().size(); i++) {
      ControlCurve curve = findings.curves().get(i);
      add("<div class=card><h3>").text(curve.concept()).add("</h3>");
      canvas("curve-" + i, "Share and NDCG by strength for " + curve.concept());
      add("<details><summary>as a table</summary><div class=scroll><table><tr><th>state<th>strength")
          .add("<th>share<th>NDCG<th>HR<th>coverage</tr>");
      row("original", "", curve.original());
      for (ControlCurve.Point point : curve.points()) {
        row(
            point.write().name().toLowerCase(Locale.ROOT),
            plain(point.strength()),
            point.outcome());
      }
      row("reconstructed", "", curve.reconstructed());
      add("</table></div></details></div>");
    }
    add("</div></section>");
  }

  private void row(String state, String strength, ControlCurve.Outcome outcome) {
    add("<tr><td>").text(state);
    for (String cell :
        List.of(
            strength,
            fixed(outcome.share(), 3),
            fixed(outcome.metrics().ndcg(), 4),
            fixed(outcome.metrics().hitRate(), 4),
            fixed(outcome.metrics().coverage(), 4))) {
      add("<td class=n>").text(cell);
    }
    add("</tr>");
  }

  private void example() {
    Example example = findings.example();
    if (example == null) {
      return;
    }
    List<Integer> history = example.history();
    List<Integer> newest = history.subList(Math.max(0, history.size() - HISTORY), history.size());
    add("<section><h2>One user, before and after</h2><p>User ").text(example.user());
    add(", " + history.size() + " items in the history; the newest: ");
    for (int i = 0; i < newest.size(); i++) {
      add(i == 0 ? "" : " &middot; ").text(catalogue().title(newest.get(i)));
    }
    add(".</p><div class=\"grid wide\">");
    list("Before", example, example.before());
    list(
        "After " + example.concept() + " = " + plain(example.strength()), example, example.after());
    add("</div></section>");
  }

  private void list(String title, Example example, List<OneUser.Recommended> items) {
    add("<div class=card><h3>").text(title).add("</h3><ol class=items>");
    for (OneUser.Recommended recommended : items) {
      add("<li>");
      item(recommended.item(), example.concept());
      add("<div class=why>");
      for (OneUser.Reason reason : recommended.reasons()) {
        add("<span>")
            .text(name(reason.feature()))
            .add(" +" + fixed(reason.amount(), 2) + "</span>");
      }
      add("</div></li>");
    }
    add("</ol></div>");
  }

  /** A title and its attributes, one of them marked. */
  private void item(int item, String marked) {
    text(catalogue().title(item)).add(" ");
    for (String attribute : Titles.attributes(catalogue(), item)) {
      add(attribute.equals(marked) ? "<mark>" : "<em>").text(attribute);
      add(attribute.equals(marked) ? "</mark> " : "</em> ");
    }
  }

  private void attributes() {
    List<AttributeScore> best =
        findings.labels().attributes().scores().stream().filter(s -> s.rank() == 1).toList();
    if (best.isEmpty()) {
      return;
    }
    add("<section><h2>Attributes and their features</h2><p>For each attribute the feature that goes")
        .add(" with it best, chosen on one half of the held-out users and scored on the other; the")
        .add(" last column is the best single hidden dimension, chosen and scored likewise.");
    if (findings.generated()) {
      add(" The attributes are the interests that were planted in the generated data: ")
          .add(Findings.found(findings.labels().attributes()) + " of " + best.size())
          .add(" are found with r of " + plain(Findings.FOUND) + " or more (hidden dimensions: ")
          .add(Findings.found(findings.hidden()) + ").");
    }
    add("</p><div class=scroll><table><tr><th>attribute<th>feature<th>r<th>AUC<th>P(fires | attribute)")
        .add("<th>P(attribute | fires)<th>hidden dimension r</tr>");
    for (AttributeScore score : best) {
      add("<tr><td>").text(score.attribute());
      add("<td class=n>#" + score.column() + bar(score.correlation()));
      for (double value :
          new double[] {
            score.auc(), score.firesGivenAttribute(), score.attributeGivenFires(), hidden(score)
          }) {
        add("<td class=n>" + fixed(value, 3));
      }
      add("</tr>");
    }
    add("</table></div></section>");
  }

  private static String bar(double share) {
    double width = Double.isNaN(share) ? 0 : Math.clamp(100 * share, 0, 100);
    return "<td class=n>"
        + fixed(share, 3)
        + "<span class=meter><i style=\"width:"
        + fixed(width, 0)
        + "%\"></i></span>";
  }

  private double hidden(AttributeScore score) {
    return findings.hidden().scores().stream()
        .filter(s -> s.rank() == 1 && s.attribute().equals(score.attribute()))
        .mapToDouble(AttributeScore::correlation)
        .findFirst()
        .orElse(Double.NaN);
  }

  private void cards() {
    if (findings.cards().isEmpty()) {
      return;
    }
    add("<section><h2>The clearest features</h2><p>Bars: mean activation at an item. Below: how often")
        .add(" each activation occurs, and the part of a history where the feature fires most.</p>")
        .add("<div class=grid>");
    findings.cards().forEach(this::card);
    add("</div></section>");
  }

  private void card(FeatureCard card) {
    FeatureLabel label = card.label();
    String attribute = label.label();
    add("<article class=card><h3>").text(attribute.isEmpty() ? "no label" : attribute);
    add(" <small>#" + label.feature() + "</small></h3><p class=facts>");
    if (label.best() != null) {
      add("r "
              + fixed(label.best().correlation(), 3)
              + " &middot; AUC "
              + fixed(label.best().auc(), 3))
          .add(" &middot; ");
    }
    add("fires at " + percent(label.firingShare()) + " of positions</p><ul class=bars>");
    double most = card.items().stream().mapToDouble(FeatureCard.Activation::value).max().orElse(1);
    for (FeatureCard.Activation activation : card.items()) {
      add(
          "<li><i style=\"width:"
              + fixed(100 * activation.value() / Math.max(most, 1e-9), 0)
              + "%\"></i><span>");
      item(activation.item(), attribute);
      add("</span><b>" + fixed(activation.value(), 1) + "</b></li>");
    }
    add("</ul>");
    histogram(card.histogram());
    example(card);
    add("</article>");
  }

  private void histogram(List<Integer> counts) {
    int most = counts.stream().mapToInt(Integer::intValue).max().orElse(1);
    add("<div class=histogram role=img aria-label=\"Distribution of activations\">");
    for (int count : counts) {
      // The square root keeps the few large activations visible.
      add(
          "<i style=\"height:"
              + fixed(100 * Math.sqrt(count / (double) Math.max(1, most)), 0)
              + "%\"></i>");
    }
    add("</div>");
  }

  private void example(FeatureCard card) {
    add("<div class=history>");
    for (FeatureCard.Activation step : card.example()) {
      double share = step.value() / Math.max(card.label().mostActivation(), 1e-9);
      add("<span style=\"--heat:" + fixed(Math.clamp(100 * share, 0, 100), 0) + "%\">")
          .text(catalogue().title(step.item()))
          .add("</span>");
    }
    add("</div>");
  }

  /** What the charts draw, safe inside a script element. */
  private String data() {
    return Json.write(
            map(
                "training", findings.history().stream().map(Figures::json).toList(),
                "curves", findings.curves().stream().map(Figures::json).toList()))
        .replace("<", "\\u003c");
  }

  private Catalogue catalogue() {
    return findings.catalogue();
  }

  private String name(int feature) {
    String label = findings.labels().features().get(feature).label();
    return label.isEmpty() ? "#" + feature : label + " #" + feature;
  }

  /** Adds markup. */
  private Report add(String markup) {
    body.append(markup);
    return this;
  }

  /** Adds text from anywhere. */
  private Report text(String text) {
    body.append(escape(text));
    return this;
  }

  /** Text as HTML has it, in an element or between double quotes. */
  static String escape(String text) {
    return text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;")
        .replace("'", "&#39;");
  }

  private static String resource(String name) {
    try (InputStream in = Report.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException("the program's own file " + name + " cannot be read", e);
    }
  }
}
