package dev.rhumb.eval;

import dev.rhumb.data.Cases;
import dev.rhumb.data.Sequences;

/**
 * Ranks the full catalogue for histories: a transformer ({@link Evaluator}) or a baseline ({@link
 * Popularity}, {@link MarkovChain}, {@link ItemKnn}). All are judged by the same code.
 *
 * <p>Threads: one at a time.
 */
public interface Ranker extends AutoCloseable {
  /** V: how many items it ranks; they are 1..V. */
  int items();

  /**
   * The best items to follow every history, those of the history left out.
   *
   * @param histories none empty
   * @param k length of each list
   * @param scores its elements are set to the scores of each list, which never rise along it, and
   *     are -infinity in empty places; or null
   * @return one list for each history, best first; 0 fills places for which no unseen item is left
   */
  int[][] recommend(Sequences histories, int k, float[][] scores);

  /** The metrics at {@code k} that training and steering watch; {@link RankingReport} has all. */
  default RankingMetrics evaluate(Cases cases, int k) {
    return RankingMetrics.of(
        recommend(cases.histories(), k, null), Evaluator.targets(cases), k, items());
  }

  /** Frees what it owns; a baseline owns nothing but memory of the Java heap. */
  @Override
  default void close() {}
}
