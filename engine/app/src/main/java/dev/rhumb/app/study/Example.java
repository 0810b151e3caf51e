package dev.rhumb.app.study;

import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.Steering;
import java.util.Arrays;
import java.util.List;

/**
 * One user's list before and after steering.
 *
 * @param user external id
 * @param history items, the oldest first
 * @param concept what was steered
 * @param strength how far
 * @param before the list of the model as it is
 * @param after the steered list
 */
public record Example(
    String user,
    List<Integer> history,
    String concept,
    double strength,
    List<OneUser.Recommended> before,
    List<OneUser.Recommended> after) {

  /** Copies the lists. */
  public Example {
    history = List.copyOf(history);
    before = List.copyOf(before);
    after = List.copyOf(after);
  }

  /** Recommends to a history twice. */
  static Example of(
      OneUser one,
      String user,
      int[] history,
      int k,
      Concepts concepts,
      String concept,
      double strength) {
    Steering steering = concepts.steer(concept, strength);
    return new Example(
        user,
        Arrays.stream(history).boxed().toList(),
        concept,
        strength,
        one.recommend(history, k, null),
        one.recommend(history, k, steering));
  }
}
