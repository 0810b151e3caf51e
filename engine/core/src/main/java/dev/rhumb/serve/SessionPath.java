package dev.rhumb.serve;

import dev.rhumb.steer.Steering;

/**
 * How a session keeps the model ready for its history, and answers. The history is the session's,
 * and passed in.
 */
interface SessionPath extends AutoCloseable {
  /** Takes up the last item of a history. */
  void append(int[] history, int length);

  /** Forgets the history. */
  void clear();

  /** The newest items of the history that the model sees. */
  int window();

  /**
   * The best {@code k} unseen items that pass a filter.
   *
   * @param steering at the last position; null for none
   * @param answer set
   */
  void recommend(
      int[] history, int length, Steering steering, Filter filter, int k, Recommendations answer);

  /**
   * Encodes the plain history's last position.
   *
   * @param features lists set, one of as many as the autoencoder keeps
   * @param values their activations
   */
  void features(int[] history, int length, int[] features, float[] values);

  @Override
  void close();
}
