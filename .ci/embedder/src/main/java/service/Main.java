package service;

import dev.rhumb.serve.Recommendations;
import dev.rhumb.serve.Recommender;
import dev.rhumb.serve.Session;
import java.nio.file.Path;

/** A service that embeds the engine: a model folder and a history in, a list out. */
public final class Main {
  private Main() {}

  /** Prints the backend, then the items. */
  public static void main(String[] args) {
    try (Recommender recommender = Recommender.open(Path.of(args[0]));
        Session session = recommender.newSession()) {
      System.out.println(recommender.describe());
      for (int i = 1; i < args.length; i++) {
        session.append(args[i]);
      }
      Recommendations list = session.recommend(5);
      for (int i = 0; i < list.count(); i++) {
        System.out.println(list.id(i));
      }
    }
  }
}
