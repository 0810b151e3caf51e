package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.steer.Steering;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The example in the README compiles: it is the body of a method here, word for word. */
class ReadmeExampleTest {
  static void example() {
    // README
    try (Recommender recommender = Recommender.open(Path.of("runs/demo/ml-latest-small"));
        Session session = recommender.newSession()) {
      session.append("260"); // Star Wars, by the catalogue's own id
      session.append("1196");
      Steering more = recommender.concepts().steer("Horror", 2);
      Recommendations list = session.recommend(10, more);
      for (int i = 0; i < list.count(); i++) {
        System.out.println(list.score(i) + " " + list.title(i));
      }
    }
    // end
  }

  @Test
  void theReadmeShowsThisMethod() throws IOException {
    Path here = Path.of("src/test/java/dev/rhumb/serve/ReadmeExampleTest.java");
    String source = Files.readString(here);
    String body =
        source
            .substring(source.indexOf("// README\n") + 10, source.indexOf("\n    // end\n"))
            .stripIndent();
    assertTrue(
        Files.readString(Path.of("../../README.md")).contains("```java\n" + body + "\n```"), body);
  }

  @Test
  void withoutAModelItSaysWhatIsMissing() {
    FormatException refusal = assertThrows(FormatException.class, ReadmeExampleTest::example);
    assertTrue(refusal.getMessage().contains("config.json"), refusal.getMessage());
    assertTrue(refusal.getMessage().contains("rhumb train"), refusal.getMessage());
  }
}
