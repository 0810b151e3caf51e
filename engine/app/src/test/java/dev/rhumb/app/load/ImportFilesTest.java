package dev.rhumb.app.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Files of any layout: formats, rules, and what is wrong with rows and files. */
class ImportFilesTest {
  private static final String HEAD = "user_id,item_id,timestamp,rating\n";

  @TempDir private Path folder;

  private record Row(String user, String item, long time, int rating) {}

  // Formats.

  @Test
  void everyFormatGivesWhatTheBuilderGives() throws IOException, SQLException {
    Random random = new Random(1);
    for (boolean words : new boolean[] {false, true}) {
      List<Row> rows = rows(random, 120, words);
      String expected;
      DatasetBuilder builder = new DatasetBuilder().keepTimes(true);
      rows.forEach(row -> builder.add(row.user, row.item, row.time));
      try (Dataset d = builder.build("x")) {
        expected = d.fingerprint();
      }
      String csv = csv(rows);
      List<Path> files =
          List.of(
              file("a.csv", csv),
              file("a.tsv", csv.replace(',', '\t')),
              file("semicolon.csv", csv.replace(',', ';')),
              file("crlf.csv", csv.replace("\n", "\r\n")),
              file("cr.csv", csv.replace('\n', '\r')),
              file("bom.csv", "\uFEFF" + csv),
              file("no-last-newline.csv", csv.strip()),
              file("quoted.csv", csv.replaceAll("([^,\n]+)", "\"$1\"")),
              file("headless.csv", csv.substring(HEAD.length())),
              gzip("a.csv.gz", csv),
              gzip("named-otherwise.csv", csv),
              file("a.jsonl", json(rows)),
              gzip("a.json.gz", json(rows)),
              parquet("a.parquet", "read_csv('" + file("p.csv", csv) + "', all_varchar = true)"));
      for (Path file : files) {
        boolean headless = file.toString().contains("headless");
        Plan plan = headless ? plan(file, "1", "2", "3") : plan(file);
        try (Dataset d = imported(plan, Plan.Rules.NONE).dataset()) {
          assertEquals(expected, d.fingerprint(), file.toString());
          assertTrue(d.hasTimes());
        }
      }
    }
  }

  @Test
  void severalFilesAreOneLog() throws IOException {
    Path a = file("a.csv", HEAD + "1,x,5,1\n1,y,5,1\n");
    Path b = file("b.jsonl", "{\"user_id\":1,\"item_id\":\"z\",\"timestamp\":5}\n");
    Plan one = plan(a);
    Plan.Log log = one.log();
    Plan both =
        new Plan(
            "x",
            null,
            new Plan.Log(
                List.of(Source.of(a), Source.of(b)), null, null, null, null, null, null, false),
            null,
            null);
    assertTrue(log.files().size() == 1);
    try (Dataset d = imported(both, Plan.Rules.NONE).dataset()) {
      assertEquals(List.of("x", "y", "z"), items(d, 0), "the order of files breaks ties");
    }
  }

  @Test
  void parquetOfAnyType() throws SQLException, IOException {
    Path file =
        parquet(
            "t.parquet",
            "(SELECT 18446744073709551615::UBIGINT AS uid, 'x' || i AS asin,"
                + " TIMESTAMP '2020-01-01 00:00:00' + INTERVAL (i) SECOND AS date FROM range(3) t(i))");
    try (Dataset d = imported(plan(file), Plan.Rules.NONE).dataset()) {
      assertEquals("18446744073709551615", d.userId(0));
      assertEquals(1_577_836_802L, d.time(0, 2));
    }
  }

  @Test
  void idsStayAsTheyAreWritten() throws IOException {
    String[] ids = {
      "9223372036854775808", "1", "01", "1.0", "1e3", "ann", "日本", "a b", "99999999999999999999999"
    };
    Path csv = file("a.csv", "user,item\n" + String.join(",i\n", ids) + ",i\n");
    Path json =
        file(
            "a.jsonl",
            Arrays.stream(ids)
                .map(
                    id ->
                        "{\"user\":%s,\"item\":\"i\"}"
                            .formatted(id.matches("[1-9][0-9]*|1\\.0") ? id : '"' + id + '"'))
                .collect(Collectors.joining("\n")));
    for (Path file : List.of(csv, json)) {
      try (Dataset d = imported(plan(file), Plan.Rules.NONE).dataset()) {
        Set<String> found = new HashSet<>();
        for (int user = 0; user < d.users(); user++) {
          found.add(d.userId(user));
        }
        assertEquals(Set.of(ids), found, file.toString());
        assertTrue(!d.hasTimes());
      }
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "1500000000 | 1500000000",
        "1500000000.75 | 1500000000",
        "1.5e9 | 1500000000",
        "1500000000123 | 1500000000",
        "1500000000123456 | 1500000000",
        "1500000000123456789 | 1500000000",
        "2017-07-14T02:40:00Z | 1500000000",
        "2017-07-14 02:40:00 | 1500000000",
        "2017-07-14T04:40:00+02:00 | 1500000000",
        "2017-07-14 | 1499990400",
        "0 | 0",
        "4102444799 | 4102444799",
      })
  void timesOfManyKinds(String written, long seconds) throws IOException {
    Path file = file("a.csv", HEAD + "1,x," + written + ",1\n");
    try (Dataset d = imported(plan(file), Plan.Rules.NONE).dataset()) {
      assertEquals(seconds, d.time(0, 0));
    }
  }

  @Test
  void fractionsOfSecondsOrderRows() throws IOException {
    Path file =
        file("a.csv", HEAD + "1,c,1500000000.7,1\n1,a,1500000000.1,1\n1,b,1500000000.5,1\n");
    try (Dataset d = imported(plan(file), Plan.Rules.NONE).dataset()) {
      assertEquals(List.of("a", "b", "c"), items(d, 0));
    }
  }

  @Test
  void usualNamesAreFoundAndOthersNamed() throws IOException {
    Path recbole = file("a.inter", "user_id:token\titem_id:token\ttimestamp:float\nu\ti\t5\n");
    try (Import imported = of(recbole)) {
      assertEquals(
          Map.of("user", "user_id:token", "item", "item_id:token", "time", "timestamp:float"),
          imported.columns());
    }
    Path odd = file("b.csv", "kunde,artikel,zeit\nu,i,5\n");
    assertTrue(refusal(plan(odd)).contains("line 1: no column has a usual name"));
    try (Import imported = imported(plan(odd, "kunde", "ARTIKEL", "3"), Plan.Rules.NONE)) {
      assertEquals(Map.of("user", "kunde", "item", "artikel", "time", "zeit"), imported.columns());
    }
    String unknown = refusal(plan(odd, "kunde", "ware", "zeit"));
    assertTrue(unknown.contains("no column ware; there are kunde, artikel, zeit"), unknown);
    assertTrue(unknown.contains("--item"), unknown);
    assertTrue(refusal(plan(odd, "kunde", "kunde", "zeit")).contains("serves as two"));
    assertTrue(refusal(plan(odd, "1", "2", "4")).contains("no column 4"));
  }

  // Rows that are left out.

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "1,x | too few fields",
        "1,x,5,1,9 | too many fields",
        "1\tx\t5\t1 | too few fields",
        "1;x;5;1 | too few fields",
        "\"1,x,5,1 | a quote without its end",
        "\"1\"2,x,5,1 | a quote without its end",
        ",x,5,1 | no user",
        "\"\",x,5,1 | no user",
        "1,,5,1 | no item",
        "1,x,,1 | no time",
        "1,x, ,1 | no time",
        "1,x,later,1 | a time that cannot be read",
        "1,x,nan,1 | a time that cannot be read",
        "1,x,2015-02-30,1 | a time that cannot be read",
        "1,x,-1,1 | a time before 1970",
        "1,x,-inf,1 | a time before 1970",
        "1,x,1969-12-31,1 | a time before 1970",
        "1,x,4102444800,1 | a time after 2099",
        "1,x,99999999999999999999999999,1 | a time after 2099",
        "1,x,inf,1 | a time after 2099",
        "1,x,1e400,1 | a time after 2099",
        "1,x,2100-01-01,1 | a time after 2099",
        "1,x,5, | no rating",
        "1,x,5,good | a rating that is no number",
        "1,x,5,nan | a rating that is no number",
      })
  void faultyRowsAreCountedOrRefusedByLine(String row, String reason) throws IOException {
    String text = HEAD + "7,a,5,1\n\n" + row + "\n7,b,6,1\n7,a,1,1\n";
    Plan plan = plan(file("a.csv", text));
    Plan.Rules rules = rules(0., Plan.Repeats.DISTINCT, 0, 1, 1);
    try (Import imported = imported(plan, rules)) {
      assertEquals(List.of("a", "a", "b"), items(imported.dataset(), 0));
      assertEquals(1, imported.dropped().get("interaction rows with " + reason), reason);
      assertEquals(4, imported.rows());
    }
    Plan.Rules strict = new Plan.Rules(0., Plan.Repeats.DISTINCT, 0, 1, 1, true);
    String message = assertThrows(Refusal.class, () -> imported(plan, strict)).getMessage();
    assertTrue(message.contains("a.csv, line 4: the row has " + reason + "; "), message);
  }

  @Test
  void theFirstFaultyRowIsRefusedWhateverItsFault() throws IOException {
    Plan.Rules strict = new Plan.Rules(null, Plan.Repeats.DISTINCT, 0, 1, 1, true);
    Path early = file("a.csv", HEAD + "1,x,5,1\n1,x,later,1\n1,x\n");
    String message = assertThrows(Refusal.class, () -> imported(plan(early), strict)).getMessage();
    assertTrue(message.contains("line 3: the row has a time"), message);
    Path json = file("a.jsonl", "{\"user\":1,\"item\":2}\n{\"user\":1}\nnot\n{\"item\":1}\n");
    message = assertThrows(Refusal.class, () -> imported(plan(json), strict)).getMessage();
    assertTrue(message.contains("a.jsonl, line 2: the row has no item"), message);
  }

  @Test
  void bytesThatAreNoTextCostTheirRow() throws IOException {
    byte[] text =
        (HEAD + "1,x,5,1\n1,\u00E9,6,1\n1,y\u0001,7,1\n").getBytes(StandardCharsets.ISO_8859_1);
    Path file = folder.resolve("a.csv");
    Files.write(file, text);
    try (Import imported = of(file)) {
      assertEquals(1, imported.dropped().get("interaction rows with bytes that are no UTF-8"));
      assertEquals(2, imported.dataset().interactions());
    }
    Source latin = new Source(file, null, null, null, true, StandardCharsets.ISO_8859_1);
    Plan plan =
        new Plan(
            "x",
            null,
            new Plan.Log(List.of(latin), null, null, null, null, null, null, false),
            null,
            null);
    try (Dataset d = imported(plan, Plan.Rules.NONE).dataset()) {
      assertEquals(List.of("x", "\u00E9", "y\u0001"), items(d, 0));
    }
  }

  @Test
  void aVeryLongLineCostsItself() throws IOException {
    Path file =
        file("a.csv", HEAD + "1,x,5,1\n1," + "y".repeat(3 * Lines.MOST) + ",5,1\n1,z,6,1\n");
    try (Import imported = of(file)) {
      assertEquals(List.of("x", "z"), items(imported.dataset(), 0));
      assertEquals(
          1, imported.dropped().get("interaction rows with more than a mebibyte on one line"));
    }
  }

  @Test
  void strayQuotesCostTheirLinesAndNoTime() throws IOException {
    StringBuilder text = new StringBuilder(HEAD);
    for (int i = 0; i < 20_000; i++) {
      text.append(i % 2 == 0 ? "\"open" : "1").append(",x").append(i).append(",5,1\n");
    }
    // Lines between two strays are within one quoted field; only what closes it tells.
    try (Import imported = of(file("a.csv", text.toString()))) {
      assertTrue(imported.dataset().interactions() >= 9_900, imported.dataset().toString());
      assertEquals(20_000, imported.rows());
    }
  }

  @Test
  void linesOfJsonThatAreNoObjects() throws IOException {
    Path file =
        file(
            "a.jsonl",
            "{\"user\":\"1\",\"item\":\"x\"}\n[1]\n\n3\n{\"user\":1,\n{\"user\":\"1\",\"item\":null}\n"
                + "{\"item\":\"y\\u0020\\\"\",\"user\":\"1\",\"more\":{\"a\":[1]}}\n");
    try (Import imported = of(file)) {
      assertEquals(List.of("x", "y \""), items(imported.dataset(), 0));
      assertEquals(3, imported.dropped().get("interaction rows with no JSON object"));
      assertEquals(1, imported.dropped().get("interaction rows with no item"));
      assertEquals(6, imported.rows());
    }
  }

  @Test
  void oneUserAndOneItem() throws IOException {
    try (Dataset d = of(file("a.csv", HEAD + "u,i,5,1\n")).dataset()) {
      assertEquals("a: 1 users, 1 items, 1 interactions", d.toString());
    }
  }

  // Files that are refused.

  @Test
  void filesThatHoldNoRows() throws IOException {
    assertTrue(refusal(plan(file("empty.csv", ""))).contains("empty.csv: the file is empty"));
    assertTrue(refusal(plan(file("blank.csv", "\n\n"))).contains("blank.csv, line 1"));
    assertTrue(refusal(plan(file("head.csv", HEAD))).contains("no interaction is left of 0"));
    String faulty = refusal(plan(file("faulty.csv", HEAD + ",x,5,1\n1,x,-5,1\n")));
    assertTrue(
        faulty.contains("is left of 2 (1 interaction rows with no user, 1 interaction rows with a"),
        faulty);
    assertTrue(refusal(plan(folder)).contains("is a folder"));
    assertTrue(refusal(plan(folder.resolve("none.csv"))).contains("there is no such file"));
    assertTrue(refusal(plan(file("list.json", "[{\"user\":1}]"))).contains("list.json, line 1"));
    Path binary = folder.resolve("binary.csv");
    Files.write(binary, new byte[] {'a', ',', 0, 1});
    assertTrue(refusal(plan(binary)).contains("binary.csv, byte 3"));
    Path wide = folder.resolve("wide.csv");
    Files.write(wide, HEAD.getBytes(StandardCharsets.UTF_16));
    assertTrue(refusal(plan(wide)).contains("UTF-16"));
  }

  @Test
  void cutOffGzipAndParquet() throws IOException, SQLException {
    String csv = csv(rows(new Random(3), 5000, true));
    byte[] gzip = Files.readAllBytes(gzip("a.csv.gz", csv));
    byte[] parquet =
        Files.readAllBytes(
            parquet("a.parquet", "read_csv('" + file("p.csv", csv) + "', all_varchar = true)"));
    for (double share : new double[] {.001, .3, .9, .999}) {
      Path file = folder.resolve("cut");
      Files.write(file, Arrays.copyOf(gzip, (int) (share * gzip.length)));
      String message = refusal(plan(file));
      assertTrue(message.contains("cut") && message.contains("gzip"), message);
      Files.write(file, Arrays.copyOf(parquet, (int) (share * parquet.length)));
      message = refusal(plan(file));
      assertTrue(message.contains(file.toString()), message);
    }
  }

  // Rules.

  @Test
  void rulesAgainstPlainLoops() throws IOException {
    Random random = new Random(7);
    for (int round = 0; round < 12; round++) {
      List<Row> rows = rows(random, 150 + random.nextInt(150), false);
      Plan.Repeats repeats = Plan.Repeats.values()[round % 4];
      int max = random.nextBoolean() ? 0 : 6 + random.nextInt(10);
      Plan.Rules rules =
          rules(
              random.nextBoolean() ? 2. : null,
              repeats,
              max,
              1 + random.nextInt(4),
              1 + random.nextInt(6));
      Map<String, List<String>> expected = plainly(rows, rules);
      Plan plan = plan(file("a.csv", csv(rows)));
      if (expected.isEmpty()) {
        assertTrue(refusal(plan, rules).contains("no interaction is left"));
        continue;
      }
      try (Import imported = imported(plan, rules)) {
        Map<String, List<String>> found = new LinkedHashMap<>();
        for (int user = 0; user < imported.dataset().users(); user++) {
          found.put(imported.dataset().userId(user), items(imported.dataset(), user));
        }
        assertEquals(expected, found, rules.toString());
        long dropped = imported.dropped().values().stream().mapToLong(n -> n).sum();
        assertEquals(rows.size(), imported.dataset().interactions() + dropped, "all are counted");
      }
    }
  }

  /** The rules as their javadoc states them, by loops over lists. */
  private static Map<String, List<String>> plainly(List<Row> rows, Plan.Rules rules) {
    Map<String, List<Row>> log = new LinkedHashMap<>();
    rows.stream()
        .filter(row -> rules.minRating() == null || row.rating >= rules.minRating())
        .sorted((a, b) -> Long.compare(a.time, b.time))
        .forEach(row -> log.computeIfAbsent(row.user, u -> new ArrayList<>()).add(row));
    for (List<Row> of : log.values()) {
      List<Row> kept = new ArrayList<>();
      List<Row> order = rules.repeats() == Plan.Repeats.LAST ? of.reversed() : of;
      Set<List<Object>> seen = new HashSet<>();
      for (Row row : order) {
        List<Object> key =
            rules.repeats() == Plan.Repeats.DISTINCT
                ? List.of(row.item, row.time)
                : List.of(row.item);
        if (seen.add(key) || rules.repeats() == Plan.Repeats.KEEP) {
          kept.add(row);
        }
      }
      List<Row> inOrder =
          rules.repeats() == Plan.Repeats.LAST ? new ArrayList<>(kept.reversed()) : kept;
      int from = rules.maxLength() == 0 ? 0 : Math.max(0, inOrder.size() - rules.maxLength());
      List<Row> newest = List.copyOf(inOrder.subList(from, inOrder.size()));
      of.clear();
      of.addAll(newest);
    }
    int before;
    int after;
    do {
      before = log.values().stream().mapToInt(List::size).sum();
      log.values().removeIf(of -> of.size() < Math.max(rules.core(), rules.minLength()));
      Map<String, Long> counts =
          log.values().stream()
              .flatMap(List::stream)
              .collect(Collectors.groupingBy(Row::item, Collectors.counting()));
      log.values().forEach(of -> of.removeIf(row -> counts.get(row.item) < rules.core()));
      log.values().removeIf(List::isEmpty);
      after = log.values().stream().mapToInt(List::size).sum();
    } while (after < before);
    Map<String, List<String>> found = new LinkedHashMap<>();
    log.keySet().stream()
        .sorted((a, b) -> Long.compare(Long.parseLong(a), Long.parseLong(b)))
        .forEach(user -> found.put(user, log.get(user).stream().map(Row::item).toList()));
    return found;
  }

  // Items.

  @Test
  void attributesOfEveryKind() throws IOException {
    StringBuilder log = new StringBuilder(HEAD);
    StringBuilder items = new StringBuilder();
    for (int i = 0; i < 100; i++) {
      log.append("u,").append(i).append(",").append(i).append(",1\n");
      items.append(
          "{\"id\":%d,\"title\":\"T%d\",\"kinds\":[\"k%d\",\"both|sides\"],\"year\":%d,\"adult\":%s,\"brand\":\"b%d\"}\n"
              .formatted(i, i, i % 3, 1900 + i, i % 2, i % 5));
    }
    items.append("{\"id\":\"500\",\"title\":\"unknown\"}\n{\"id\":\"600\"}\n");
    Plan.Items described =
        new Plan.Items(
            Source.of(file("items.jsonl", items.toString())),
            null,
            null,
            List.of("kinds", "year", "adult", "brand"),
            "|",
            4);
    try (Import imported = imported(plan(file("a.csv", log.toString()), described, null))) {
      Dataset d = imported.dataset();
      assertEquals("T7", d.title(d.itemOf("7")));
      assertEquals(
          Set.of("kinds k1", "kinds both|sides", "year 1900-1924", "adult 1", "brand b2"),
          attributes(d, "7"));
      assertEquals(Set.of("year 1975-1999"), pick(attributes(d, "99"), "year"));
      assertEquals(2, imported.dropped().get("described items without an interaction"));
      assertEquals(0, imported.withoutAttributes());
    }
  }

  @Test
  void oneColumnOfTextsNeedsNoPrefix() throws IOException {
    Path log = file("a.csv", HEAD + "u,1,5,1\nu,2,6,1\nu,3,7,1\n");
    Path items =
        file("i.csv", "itemId,name,genre\n1,One,a| b ||a\n2,Two,(no genres listed)\n1,Other,c\n");
    Plan.Items described = new Plan.Items(Source.of(items), null, null, List.of(), "|", 10);
    try (Import imported = imported(plan(log, described, null))) {
      assertEquals(Set.of("a", "b"), attributes(imported.dataset(), "1"));
      assertEquals("One", imported.dataset().title(imported.dataset().itemOf("1")));
      assertEquals("3", imported.dataset().title(imported.dataset().itemOf("3")));
      assertEquals(2, imported.withoutAttributes());
      assertEquals(
          1,
          imported.dropped().get("item rows with an item that an earlier row describes otherwise"));
    }
  }

  @Test
  void tagsThatAreFrequentEnough() throws IOException {
    Path log = file("a.csv", HEAD + "u,1,5,1\nu,2,6,1\nu,3,7,1\n");
    Path tags =
        file(
            "tags.csv",
            "userId,movieId,tag,timestamp\n1,1,Funny,5\n2,1, funny,5\n1,2,FUNNY,5\n1,3,rare,5\n1,9,funny,5\n1,,x,5\n1,1,,5\n");
    Plan.Tags tagging = new Plan.Tags(Source.of(tags), null, null, 2);
    try (Import imported = imported(plan(log, null, tagging))) {
      assertEquals(List.of("tag funny"), imported.dataset().attributes().names());
      assertEquals(2, imported.dataset().attributes().itemsWith(0));
      assertEquals(2, imported.dropped().get("tag rows without item or tag"));
      assertEquals(1, imported.dropped().get("tagged items without an interaction"));
      assertEquals(1, imported.dropped().get("tags on fewer than 2 items"));
    }
  }

  // Helpers.

  private static List<Row> rows(Random random, int n, boolean words) {
    List<Row> rows = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      String user = (words ? "us\u00E9r \uD83C\uDFAC" : "") + random.nextInt(15);
      String item = (words ? "it\uFFEEm " : "") + random.nextInt(25);
      // Ties of time, and one of its own so that no row is there twice.
      long time = 1_400_000_000L + random.nextInt(40);
      Row row = new Row(user, item, time, random.nextInt(6));
      if (rows.stream().noneMatch(r -> r.user.equals(user) && r.item.equals(item) && r.time == time)
          || !words && random.nextInt(4) == 0 && n < 1000 && n != 120) {
        rows.add(row);
      }
    }
    return rows;
  }

  private static String csv(List<Row> rows) {
    return rows.stream()
        .map(r -> r.user + "," + r.item + "," + r.time + "," + r.rating + "\n")
        .collect(Collectors.joining("", HEAD, ""));
  }

  private static String json(List<Row> rows) {
    return rows.stream()
        .map(
            r ->
                "{\"rating\": %d, \"user_id\": \"%s\", \"item_id\": \"%s\", \"timestamp\": %d}\n"
                    .formatted(r.rating, r.user, r.item, r.time))
        .collect(Collectors.joining());
  }

  private Path file(String name, String text) throws IOException {
    return Files.writeString(folder.resolve(name), text);
  }

  private Path gzip(String name, String text) throws IOException {
    Path file = folder.resolve(name);
    try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(file))) {
      out.write(text.getBytes(StandardCharsets.UTF_8));
    }
    return file;
  }

  private Path parquet(String name, String from) throws SQLException {
    Path file = folder.resolve(name);
    try (Connection connection = DriverManager.getConnection("jdbc:duckdb:");
        Statement statement = connection.createStatement()) {
      statement.execute("COPY (SELECT * FROM " + from + ") TO '" + file + "' (FORMAT parquet)");
    }
    return file;
  }

  private static Plan plan(Path file) {
    return plan(file, null, null, null);
  }

  private static Plan plan(Path file, String user, String item, String time) {
    return new Plan(
        "a",
        null,
        new Plan.Log(List.of(Source.of(file)), user, item, time, null, null, null, false),
        null,
        null);
  }

  private static Plan plan(Path file, Plan.Items items, Plan.Tags tags) {
    return new Plan("a", null, plan(file).log(), items, tags);
  }

  private static Plan.Rules rules(
      Double minRating, Plan.Repeats repeats, int max, int core, int min) {
    return new Plan.Rules(minRating, repeats, max, core, min, false);
  }

  private static Import of(Path file) {
    return imported(plan(file));
  }

  private static Import imported(Plan plan) {
    return imported(plan, Plan.Rules.NONE);
  }

  private static Import imported(Plan plan, Plan.Rules rules) {
    return Import.of(plan, rules, Plan.Room.standard(), n -> {});
  }

  private static String refusal(Plan plan) {
    return refusal(plan, Plan.Rules.NONE);
  }

  private static String refusal(Plan plan, Plan.Rules rules) {
    return assertThrows(Refusal.class, () -> imported(plan, rules).close()).getMessage();
  }

  private static List<String> items(Dataset d, int user) {
    List<String> items = new ArrayList<>();
    for (int p = 0; p < d.length(user); p++) {
      items.add(d.itemId(d.item(user, p)));
    }
    return items;
  }

  private static Set<String> attributes(Dataset d, String item) {
    return Arrays.stream(d.attributes().of(d.itemOf(item)))
        .mapToObj(a -> d.attributes().names().get(a))
        .collect(Collectors.toSet());
  }

  private static Set<String> pick(Set<String> names, String column) {
    return names.stream().filter(n -> n.startsWith(column)).collect(Collectors.toSet());
  }

  @Test
  void nothingIsLeftInTheTemporaryFolder() throws IOException {
    Path temp = Files.createDirectory(folder.resolve("temp"));
    Plan.Room room = new Plan.Room(temp, "100MB");
    Import.of(plan(file("a.csv", HEAD + "u,i,5,1\n")), Plan.Rules.NONE, room, n -> {}).close();
    Plan bad = plan(file("b.csv", HEAD + ",,,\n"));
    assertThrows(Refusal.class, () -> Import.of(bad, Plan.Rules.NONE, room, n -> {}));
    try (Stream<Path> left = Files.list(temp)) {
      assertEquals(0, left.count());
    }
    Plan.Room odd = new Plan.Room(temp, "lots");
    assertTrue(
        assertThrows(Refusal.class, () -> Import.of(bad, Plan.Rules.NONE, odd, n -> {}))
            .getMessage()
            .contains("--memory"));
    Plan.Room none = new Plan.Room(folder.resolve("nowhere"), "1GB");
    assertTrue(
        assertThrows(Refusal.class, () -> Import.of(bad, Plan.Rules.NONE, none, n -> {}))
            .getMessage()
            .contains("--temp"));
  }
}
