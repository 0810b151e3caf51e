package dev.rhumb.app.study;

import static java.lang.Double.NaN;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.app.terminal.Console;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeListener;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.train.EpochReport;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {
  private static final String EVIL = "<script>alert('x')</script> \"&\" {{data}} </title>";

  @TempDir private static Path folder;
  private static String page;

  /** A page about an untrained model over items with hostile titles and attributes. */
  @BeforeAll
  static void writePage() {
    DatasetBuilder builder = new DatasetBuilder();
    for (int item = 0; item < 40; item++) {
      builder.item("i" + item, EVIL + item, item % 2 == 0 ? "<b>even" : "odd & \"so\"");
    }
    for (int user = 0; user < 400; user++) {
      for (int t = 0; t < 8; t++) {
        // Users like either even or odd items, so that features can tell them apart.
        builder.add("<u>" + user, "i" + (user % 2 + 2 * ((user * 7 + t * 3) % 20)), t);
      }
    }
    try (Kernels kernels = Kernels.open();
        Dataset dataset = builder.build("<i>data");
        Model model =
            Model.initialise(
                kernels, ModelConfig.of(BlockStyle.SASREC, dataset.items(), 16, 1, 1, 8, 0), 1)) {
      Split split = Splits.leaveOneOut(dataset);
      SaeConfig config =
          SaeConfig.of(new Site(Site.Kind.BLOCK, 0), 16, 64, 2)
              .withSteps(200)
              .withBatch(64)
              .withLearningRate(3e-3f);
      try (SparseAutoencoder sae =
          SaeTrainer.train(
                  kernels, model, SplitKind.saeParts(split).learn(), config, SaeListener.NONE)
              .sae()) {
        sae.save(folder);
        Study study =
            new Study(
                kernels, split, model, sae, new Study.Settings(10_000, 2, List.of(0., 2.), 2));
        PrintWriter nowhere = new PrintWriter(new StringWriter());
        FeatureLabels labels = study.label(folder);
        Findings findings =
            study.findings(
                new Console(nowhere, nowhere, false),
                labels,
                study.concepts(labels, folder),
                List.of(
                    new EpochReport(1, 10, 3.5, 1e-3, .1, .2, 1, 1, true),
                    new EpochReport(2, 20, 3.1, 5e-4, NaN, NaN, 1, 0, false)),
                false);
        assertFalse(findings.cards().isEmpty(), "the page must have cards to be worth a test");
        page = Report.page(findings);
      }
    }
  }

  @Test
  void textFromDataIsEscaped() {
    assertFalse(page.contains("<script>alert"));
    assertFalse(page.contains("<b>even"));
    assertFalse(page.contains("<i>data"));
    assertFalse(page.contains("<u>"));
    assertTrue(
        page.contains(
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;&amp;&quot; {{data}} &lt;/title&gt;"));
    assertTrue(page.contains("odd &amp; &quot;so&quot;"));
  }

  @Test
  void nothingIsLoadedFromElsewhere() {
    String head = "default-src 'none'";
    assertTrue(page.contains(head), "the page forbids itself to load anything");
    Matcher loading =
        Pattern.compile(
                "<(link|img|iframe|object|embed|script[^>]*\\bsrc)|@import|url\\(|sourceMappingURL")
            .matcher(page);
    assertFalse(
        loading.find(),
        () ->
            "the page loads: "
                + page.substring(loading.start(), Math.min(page.length(), loading.start() + 80)));
  }

  @Test
  void itIsMadeForPhonesAndForDarkAndLight() {
    assertTrue(page.contains("width=device-width"));
    assertTrue(page.contains("prefers-color-scheme: dark"));
  }

  @Test
  void theDataOfTheChartsAreJsonThatCannotEndTheirElement() {
    Matcher data =
        Pattern.compile(
                "<script type=\"application/json\" id=\"data\">(.*?)</script>", Pattern.DOTALL)
            .matcher(page);
    assertTrue(data.find());
    JsonObject json = JsonObject.of(Json.parse(data.group(1), "data"), "data");
    assertEquals(2, json.objects("training").size());
    assertEquals(3, page.split("</script>", -1).length - 1, "three scripts, none ended early");
  }

  @Test
  void theTrainingCurvesMarkTheBestAndLeaveOutWhatWasNotValidated() {
    assertTrue(page.contains("The weights are those of epoch 1"));
    assertTrue(page.contains("id=\"training\""));
    assertTrue(page.contains("id=\"learning-rate\""), "the learning rate changed");
    assertTrue(
        page.contains("\"validation_ndcg_10\": null")
            || page.contains("\"validation_ndcg_10\":null"));
    assertFalse(page.contains("NaN,"));
  }
}
