package dev.rhumb.data;

import java.util.Arrays;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * A view of some users' sequences: sequence i is the first {@link #length length(i)} items of user
 * {@link #user user(i)}. It owns nothing and ends with its dataset. Unchangeable, so any thread may
 * read.
 */
public final class Sequences {
  private final Dataset dataset;
  private final int[] users;
  private final int[] lengths;

  /** Takes over both arrays. */
  Sequences(Dataset dataset, int[] users, int[] lengths) {
    this.dataset = dataset;
    this.users = users;
    this.lengths = lengths;
  }

  /** Every user's whole sequence. */
  public static Sequences all(Dataset dataset) {
    return whole(dataset, IntStream.range(0, dataset.users()).toArray());
  }

  /** The whole sequences of these users. */
  static Sequences whole(Dataset dataset, int[] users) {
    return new Sequences(dataset, users, Arrays.stream(users).map(dataset::length).toArray());
  }

  /** How many sequences there are. */
  public int count() {
    return users.length;
  }

  /** What they are a view of. */
  public Dataset dataset() {
    return dataset;
  }

  /** The user of sequence {@code i}. */
  public int user(int i) {
    return users[i];
  }

  /** How many items sequence {@code i} has. */
  public int length(int i) {
    return lengths[i];
  }

  /** The item at {@code position} of sequence {@code i}. */
  public int item(int i, int position) {
    return dataset.item(users[i], Objects.checkIndex(position, lengths[i]));
  }

  /**
   * Copies the {@code n} items of sequence {@code i} from position {@code from} on to {@code
   * target[at..]}.
   */
  public void copy(int i, int from, int n, int[] target, int at) {
    Objects.checkFromIndexSize(from, n, lengths[i]);
    dataset.copy(users[i], from, n, target, at);
  }

  /**
   * Copies the newest items of sequence {@code i}, at most {@code atMost}, oldest first, to {@code
   * target[at..]}.
   *
   * @return how many were copied
   */
  public int copyLast(int i, int atMost, int[] target, int at) {
    int n = Math.min(atMost, lengths[i]);
    copy(i, lengths[i] - n, n, target, at);
    return n;
  }

  /** The length of all sequences together. */
  public long total() {
    return Arrays.stream(lengths).asLongStream().sum();
  }

  /** Sequences {@code chosen[0], chosen[1], ...} of this view, as a view of their own. */
  public Sequences select(int... chosen) {
    return new Sequences(
        dataset,
        Arrays.stream(chosen).map(i -> users[i]).toArray(),
        Arrays.stream(chosen).map(i -> lengths[i]).toArray());
  }
}
