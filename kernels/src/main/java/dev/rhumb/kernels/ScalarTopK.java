package dev.rhumb.kernels;

/**
 * The k best of what is offered, by (value descending, index ascending), kept sorted. Offers come
 * in ascending order of index; -0 equals +0, as the comparison of floats has it.
 */
final class ScalarTopK {
  private int capacity;
  private int count;
  private float[] values = new float[0];
  private int[] indices = new int[0];

  /** Empties it, with room for {@code k}. */
  void start(int k) {
    capacity = k;
    count = 0;
    if (values.length < k) {
      values = new float[k];
      indices = new int[k];
    }
  }

  void offer(int index, float value) {
    if (count == capacity) {
      if (!(value > values[count - 1])) {
        return;
      }
      count--;
    }
    int at = count++;
    // An equal value stays in front: its index is the smaller.
    while (at > 0 && value > values[at - 1]) {
      values[at] = values[at - 1];
      indices[at] = indices[at - 1];
      at--;
    }
    values[at] = value;
    indices[at] = index;
  }

  int count() {
    return count;
  }

  int index(int i) {
    return indices[i];
  }

  float value(int i) {
    return values[i];
  }
}
