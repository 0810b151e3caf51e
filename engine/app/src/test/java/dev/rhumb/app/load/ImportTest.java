package dev.rhumb.app.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.app.TestFiles;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.Dataset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImportTest {
  private static final String RATINGS = "userId,movieId,rating,timestamp";
  private static final String MOVIES = "movieId,title,genres";

  @TempDir private Path folder;

  @Test
  void csvInTimeOrderWithTitlesAndGenres() {
    TestFiles.write(
        folder.resolve("movies.csv"),
        MOVIES,
        "10,\"Misérables, Les (1995)\",Drama|War",
        "20,\"Quote \"\"it\"\"\",(no genres listed)",
        "30,Never rated,Comedy");
    TestFiles.write(
        folder.resolve("ratings.csv"), RATINGS, "1,20,4.5,200", "1,10,3.0,100", "2,20,5.0,50");
    try (Dataset dataset = dataset(1)) {
      assertEquals(List.of("10", "20"), ids(dataset, 0));
      assertEquals(List.of("20"), ids(dataset, 1));
      assertEquals("Misérables, Les (1995)", dataset.title(dataset.itemOf("10")));
      assertEquals("Quote \"it\"", dataset.title(dataset.itemOf("20")));
      assertEquals(List.of("Drama", "War"), dataset.attributes().names());
      assertEquals(0, dataset.attributes().of(dataset.itemOf("20")).length);
      assertEquals(100, dataset.userTime(0));
    }
  }

  @Test
  void whatIsLeftOutIsCounted() {
    TestFiles.write(folder.resolve("movies.csv"), MOVIES, "10,A,Drama", ",B,Drama", "30,C,Drama");
    TestFiles.write(
        folder.resolve("ratings.csv"),
        RATINGS,
        "1,10,4,100",
        "1,10,4,101",
        ",10,4,100",
        "2,,4,100",
        "2,10,4,",
        "3,10,4,7");
    Import imported = Import.of(folder, Layout.of(folder).orElseThrow(), 2);
    try (Dataset dataset = imported.dataset()) {
      assertEquals(2, dataset.interactions());
      assertEquals(
          Map.of(
              "interaction rows with no user", 1L,
              "interaction rows with no item", 1L,
              "interaction rows with no time", 1L,
              "item rows with no item", 1L,
              "described items without an interaction", 1L,
              "interactions of users with fewer than 2", 1L,
              "rows that are there twice", 0L),
          imported.dropped());
      assertEquals(6, imported.rows());
    }
  }

  @Test
  void malformedLinesAreRefusedByFileAndLine() {
    TestFiles.write(folder.resolve("movies.csv"), MOVIES, "10,A,Drama");
    for (String line : List.of("1,10,4,later", "1,10,4", "1,10,4,5,6", "one,10,4,5")) {
      TestFiles.write(folder.resolve("ratings.csv"), RATINGS, "1,10,4,5", line, "1,10,4,5");
      String message = refusal();
      assertTrue(message.contains("ratings.csv, line 3: "), line + " gave: " + message);
    }
    TestFiles.write(folder.resolve("ratings.csv"), StandardCharsets.ISO_8859_1, RATINGS, "1,é,4,5");
    assertTrue(refusal().contains("ratings.csv, line 2: "), refusal());
  }

  @Test
  void anotherHeadingIsRefused() {
    TestFiles.write(folder.resolve("movies.csv"), MOVIES, "10,A,Drama");
    TestFiles.write(folder.resolve("ratings.csv"), "userId,movie,rating,timestamp", "1,10,4,5");
    assertTrue(refusal().contains("ratings.csv, line 1: "), refusal());
    TestFiles.write(folder.resolve("ratings.csv"), "");
    assertTrue(refusal().contains("ratings.csv, line 1: "), refusal());
    TestFiles.write(folder.resolve("ratings.csv"), "timestamp,userId,movieId", "5,1,10");
    try (Dataset dataset = dataset(1)) {
      assertEquals(5, dataset.time(0, 0), "columns go by name, not by place");
    }
  }

  @Test
  void missingMoviesAreNamed() {
    TestFiles.write(folder.resolve("ratings.csv"), RATINGS, "1,10,4,5");
    assertTrue(refusal().contains("movies.csv"), refusal());
  }

  @Test
  void datFilesAreLatin1WithDoubleColons() {
    TestFiles.write(
        folder.resolve("movies.dat"),
        StandardCharsets.ISO_8859_1,
        "73::Misérables, Les (1995)::Drama|Musical",
        "74::A \"quoted\": title::Comedy");
    TestFiles.write(folder.resolve("ratings.dat"), "1::74::5::2", "1::73::4::1");
    try (Dataset dataset = dataset(1)) {
      assertEquals(List.of("73", "74"), ids(dataset, 0));
      assertEquals("Misérables, Les (1995)", dataset.title(dataset.itemOf("73")));
      assertEquals("A \"quoted\": title", dataset.title(dataset.itemOf("74")));
    }
  }

  @Test
  void pairsKeepTheirOrderAndTakeTheOriginalIds() {
    TestFiles.write(folder.resolve("ml-1m.txt"), "1 2", "1 1", "2 1");
    TestFiles.write(folder.resolve("sas_to_original_items.txt"), "1 300", "2 100");
    TestFiles.write(folder.resolve("sas_to_original_users.txt"), "1 6040", "2 17");
    TestFiles.write(folder.resolve("movies.dat"), "100::A::Drama", "300::B::War");
    try (Dataset dataset = dataset(1)) {
      assertEquals("17", dataset.userId(0));
      assertEquals(List.of("300"), ids(dataset, 0));
      assertEquals(List.of("100", "300"), ids(dataset, 1));
      assertEquals("A", dataset.title(dataset.itemOf("100")));
      assertTrue(dataset.userTime(0) > dataset.userTime(1), "a smaller original id is newer");
    }
  }

  @Test
  void pairsAloneKeepTheirOwnIds() {
    TestFiles.write(folder.resolve("ml-1m.txt"), "1 2", "1 1", "2 1");
    try (Dataset dataset = dataset(1)) {
      assertEquals(List.of("2", "1"), ids(dataset, 0));
      assertEquals(0, dataset.attributes().count());
    }
  }

  @Test
  void anIdWithoutAnOriginalIsRefused() {
    TestFiles.write(folder.resolve("ml-1m.txt"), "1 2", "1 3");
    TestFiles.write(folder.resolve("sas_to_original_items.txt"), "2 100");
    String message = refusal();
    assertTrue(message.contains("sas_to_original_items.txt"), message);
    assertTrue(message.contains("id 3"), message);
  }

  @Test
  void realMovieLens1M() {
    Path data = TestFiles.realData("ml-1m");
    try (Dataset dataset = Import.of(data, Layout.of(data).orElseThrow(), 1).dataset()) {
      assertEquals(999_611, dataset.interactions());
      assertEquals(6_040, dataset.users());
      assertEquals(3_416, dataset.items());
      assertEquals(18, dataset.attributes().count());
      assertEquals(1_338, dataset.attributes().itemsWith(dataset.attributes().find("Drama")));
      assertEquals("American Beauty (1999)", dataset.title(dataset.itemOf("2858")));
      assertEquals(
          18, IntStream.range(0, dataset.users()).map(dataset::length).min().orElseThrow());
    }
  }

  @Test
  void realMovieLensLatestSmall() {
    Path data = TestFiles.realData("ml-latest-small");
    try (Dataset dataset = Import.of(data, Layout.of(data).orElseThrow(), 1).dataset()) {
      assertEquals(100_836, dataset.interactions());
      assertEquals(610, dataset.users());
      assertEquals(9_724, dataset.items());
      assertEquals(19, dataset.attributes().count());
    }
  }

  private Dataset dataset(int minLength) {
    return Import.of(folder, Layout.of(folder).orElseThrow(), minLength).dataset();
  }

  private String refusal() {
    return assertThrows(Refusal.class, () -> dataset(1)).getMessage();
  }

  private static List<String> ids(Dataset dataset, int user) {
    return IntStream.range(0, dataset.length(user))
        .mapToObj(p -> dataset.itemId(dataset.item(user, p)))
        .toList();
  }
}
