package dev.rhumb.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CaseScoresTest {
  private static final List<Metric> METRICS =
      List.of(Metric.NDCG, Metric.HIT_RATE, Metric.INTRA_LIST_DIVERSITY);

  @TempDir private Path folder;

  private static CaseScores scores(Dataset d, String ranker) {
    Split split = Splits.leaveOneOut(d);
    Ranker asked =
        ranker.equals("popularity")
            ? Popularity.fit(split.train())
            : MarkovChain.fit(split.train());
    return CaseScores.of(RankingReport.of(asked, split, 5), split.name(), ranker, METRICS, 2, 5);
  }

  private static Dataset data(int seed) {
    return BaselinesTest.random(new Random(seed), 40, 12, 9);
  }

  private static void assertSame(CaseScores a, CaseScores b) {
    assertEquals(a.source(), b.source());
    assertEquals(a.columns(), b.columns());
    a.requireSameCases(b);
    for (String column : a.columns()) {
      assertArrayEquals(a.values(column), b.values(column));
    }
    for (int i = 0; i < a.count(); i++) {
      assertEquals(a.user(i), b.user(i));
      assertEquals(a.rank(i), b.rank(i));
    }
  }

  @Test
  void whatIsWrittenComesBack() throws IOException {
    try (Dataset d = data(1)) {
      CaseScores scores = scores(d, "a \"chain\"\n\t\\");
      Path file = folder.resolve("scores.tsv");
      scores.save(file);
      assertSame(scores, CaseScores.load(file));
      List<String> lines = Files.readAllLines(file);
      assertEquals(scores.count() + 2, lines.size());
      assertEquals(
          "user\ttargets\trank\tndcg@2\thr@2\tintra-list-diversity@2\tndcg@5\thr@5"
              + "\tintra-list-diversity@5",
          lines.get(1));
      assertTrue(Arrays.stream(scores.values("hr@5")).sum() > 0);
      String nearest =
          assertThrows(IllegalArgumentException.class, () -> scores.values("ndcg@10")).getMessage();
      assertTrue(nearest.contains("\"ndcg@"), nearest);
    }
  }

  @Test
  void idsOfAnyTextComeBack() {
    DatasetBuilder builder = new DatasetBuilder();
    List<String> ids = List.of("a\tb", "\\t", "c d", "\n", "\r\n", "é\u2028", "#", "\"");
    for (String user : ids) {
      for (String item : ids) {
        builder.add(user, item, ids.indexOf(item) * 3 % 8);
      }
    }
    try (Dataset d = builder.build("odd\nname")) {
      Sequences all = Sequences.all(d);
      int[][] relevant = new int[d.users()][];
      Arrays.fill(relevant, new int[] {2, 1, 8});
      RankingReport report =
          new RankingReport(new int[d.users()][2], relevant, all, ItemCounts.of(all));
      CaseScores scores = CaseScores.of(report, "whole", "none", List.of(Metric.RECALL), 1);
      Path file = folder.resolve("odd.tsv");
      scores.save(file);
      assertSame(scores, CaseScores.load(file));
    }
  }

  @Test
  void comparisonsOfOtherDataOrCasesAreRefused() throws IOException {
    try (Dataset d = data(1);
        Dataset other = data(2)) {
      CaseScores a = scores(d, "popularity");
      Path file = folder.resolve("a.tsv");
      a.save(file);
      refused(a, scores(other, "popularity"), "fingerprint");
      String text = Files.readString(file);
      refused(a, changed(text.replace("leave-one-out", "cold-users")), "split");
      List<String> lines = Files.readAllLines(file);
      int n = a.count();
      refused(
          a,
          changed(
              lines.getFirst().replace("\"cases\": " + n, "\"cases\": " + (n - 1))
                  + "\n"
                  + lines.subList(1, lines.size() - 1).stream().collect(Collectors.joining("\n"))
                  + "\n"),
          (n - 1) + "");
      String user = lines.get(2).split("\t")[0];
      refused(a, changed(text.replace("\n" + user + "\t", "\nnobody\t")), "nobody");
      IllegalArgumentException missing =
          assertThrows(
              IllegalArgumentException.class,
              () -> Comparison.of(a, a, List.of("mrr@5"), Bootstrap.standard()));
      assertTrue(missing.getMessage().contains("mrr@5"), missing.getMessage());
    }
  }

  private CaseScores changed(String text) throws IOException {
    return CaseScores.load(Files.writeString(folder.resolve("changed.tsv"), text));
  }

  private static void refused(CaseScores a, CaseScores b, String word) {
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> Comparison.of(a, b, List.of("ndcg@5"), Bootstrap.standard()))
            .getMessage();
    assertTrue(message.contains(word) && message.contains("evaluate both"), message);
  }

  @Test
  void aComparisonIsThatOfItsParts() {
    try (Dataset d = data(3)) {
      CaseScores a = scores(d, "chain");
      CaseScores b = scores(d, "popularity");
      Bootstrap bootstrap = new Bootstrap(200, .95, 4);
      List<Comparison> all = Comparison.of(a, b, List.of("ndcg@5", "hr@2"), bootstrap);
      double[] ndcg = a.values("ndcg@5");
      double[] other = b.values("ndcg@5");
      double[] difference = new double[ndcg.length];
      for (int i = 0; i < ndcg.length; i++) {
        difference[i] = ndcg[i] - other[i];
      }
      Comparison c = all.getFirst();
      assertEquals("ndcg@5", c.metric());
      assertEquals(c.first() - c.second(), c.difference().value(), 1e-12);
      assertEquals(bootstrap.mean(difference), c.difference());
      assertEquals(PairedTests.student(difference), c.student().alone());
      assertEquals(
          PairedTests.permutation(difference, Comparison.PERMUTATIONS, 4), c.permutation().alone());
      assertEquals(PairedTests.wilcoxon(difference), c.wilcoxon().alone());
      assertEquals(Arrays.stream(difference).filter(x -> x > 0).count(), c.better());
      assertEquals(Arrays.stream(difference).filter(x -> x < 0).count(), c.worse());
      double[] p = {all.get(0).student().alone(), all.get(1).student().alone()};
      assertEquals(PairedTests.holm(p)[0], c.student().corrected());
      Comparison same = Comparison.of(a, a, List.of("ndcg@5"), bootstrap).getFirst();
      assertEquals(new Estimate(0, 0, 0, a.count()), same.difference());
      assertEquals(1, same.permutation().corrected());
      // Without attributes nobody has a value.
      Comparison none =
          Comparison.of(a, b, List.of("intra-list-diversity@5"), bootstrap).getFirst();
      assertTrue(Double.isNaN(none.difference().value()) && Double.isNaN(none.student().alone()));
    }
  }

  @Test
  void runsAreAveragedCaseByCase() {
    try (Dataset d = data(3);
        Dataset other = data(4)) {
      CaseScores a = scores(d, "chain");
      CaseScores b = scores(d, "popularity");
      CaseScores mean = CaseScores.mean("both", List.of(a, b, b));
      assertEquals("both", mean.source().ranker());
      assertEquals(a.columns(), mean.columns());
      for (int i = 0; i < a.count(); i++) {
        assertEquals(
            (a.values("ndcg@5")[i] + 2 * b.values("ndcg@5")[i]) / 3,
            mean.values("ndcg@5")[i],
            1e-12);
        assertTrue(Double.isNaN(mean.values("intra-list-diversity@5")[i]));
        assertEquals(0, mean.rank(i));
      }
      assertThrows(
          IllegalArgumentException.class,
          () -> CaseScores.mean("x", List.of(a, scores(other, "chain"))));
    }
  }

  @Test
  void damagedFilesAreRefusedByLine() throws IOException {
    try (Dataset d = data(1)) {
      Path file = folder.resolve("sound.tsv");
      scores(d, "popularity").save(file);
      String sound = Files.readString(file);
      List<String> lines = Files.readAllLines(file);
      damaged("", "line 1", "--per-user");
      damaged("user\ttargets\n", "line 1", "--per-user");
      damaged("# {\"format\": \"rhumb cases 9\"}\n", "line 1", "rhumb cases 9");
      damaged("# {\n", "line 1", "");
      damaged(lines.getFirst() + "\n", "line 2", "columns");
      damaged(sound.replace("rank\tndcg@2", "rank\thr@2"), "line 2", "twice");
      damaged(sound.substring(0, sound.length() - 1), "line " + lines.size(), "cut off");
      damaged(sound.substring(0, sound.lastIndexOf('\n', sound.length() - 2) + 1), "", "line 1");
      damaged(sound.replace(lines.get(2), lines.get(2) + "\t1"), "line 3", "fields");
      String[] fields = lines.get(2).split("\t", -1);
      for (String[] bad :
          new String[][] {
            {"2", "-1", "rank"}, {"2", "one", "rank"}, {"3", "NaN", "ndcg@2"},
            {"4", "1e999", "hr@2"}, {"4", "x", "hr@2"}, {"0", "\\q", "backslash"}
          }) {
        String[] row = fields.clone();
        row[Integer.parseInt(bad[0])] = bad[1];
        damaged(sound.replace(lines.get(2), String.join("\t", row)), "line 3", bad[2]);
      }
      damaged(sound + "a".repeat(CaseScores.MOST_IN_LINE + 1) + "\n", "", "characters");
      byte[] bytes = sound.getBytes(StandardCharsets.ISO_8859_1);
      bytes[bytes.length - 5] = (byte) 0xFF;
      Path broken = Files.write(folder.resolve("broken.tsv"), bytes);
      assertThrows(FormatException.class, () -> CaseScores.load(broken));
      assertThrows(UncheckedIOException.class, () -> CaseScores.load(folder));
      assertThrows(UncheckedIOException.class, () -> CaseScores.load(folder.resolve("none")));
    }
  }

  private void damaged(String text, String where, String word) throws IOException {
    Path file = Files.writeString(folder.resolve("damaged.tsv"), text);
    FormatException e = assertThrows(FormatException.class, () -> CaseScores.load(file));
    assertTrue(e.getMessage().contains(where) && e.getMessage().contains(word), e.getMessage());
    assertTrue(e.getMessage().contains("damaged.tsv"), e.getMessage());
  }

  @Test
  void anyDamageIsReadOrRefused() throws IOException {
    try (Dataset d = data(1)) {
      Path file = folder.resolve("fuzz.tsv");
      scores(d, "popularity").save(file);
      byte[] sound = Files.readAllBytes(file);
      Random random = new Random(9);
      int refused = 0;
      for (int round = 0; round < 800; round++) {
        byte[] damaged = sound;
        for (int n = random.nextInt(3); n >= 0 && damaged.length > 1; n--) {
          int at = random.nextInt(damaged.length);
          byte[] next = Arrays.copyOf(damaged, damaged.length + random.nextInt(2) * 2 - 1);
          int from = Math.min(damaged.length, at + 1);
          System.arraycopy(
              damaged,
              from,
              next,
              Math.min(next.length, at),
              Math.max(0, Math.min(damaged.length - from, next.length - at)));
          if (random.nextBoolean() && at < next.length) {
            next[at] = (byte) "\t\n\\#{}0\u00ff-e.\"".charAt(random.nextInt(12));
          }
          damaged = random.nextInt(20) == 0 ? Arrays.copyOf(damaged, at) : next;
        }
        Files.write(file, damaged);
        try {
          CaseScores scores = CaseScores.load(file);
          assertFalse(scores.source().ranker() == null);
          scores.columns().forEach(scores::values);
        } catch (FormatException e) {
          refused++;
          assertTrue(e.getMessage().contains("fuzz.tsv"), e.getMessage());
        }
      }
      assertTrue(refused > 250, refused + " refused");
    }
  }
}
