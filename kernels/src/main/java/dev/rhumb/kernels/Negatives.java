package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.getInt;

import java.lang.foreign.MemorySegment;

/**
 * Which negatives a row of {@link Loss#binaryCrossEntropy} may draw, for the backends on the host.
 * Refuses what is out of range before anything is drawn.
 */
final class Negatives {
  private static final long UNSIGNED = 0xFFFFFFFFL;

  private static final String OP = "binaryCrossEntropy";

  private int classes;
  private int groups;
  private MemorySegment targets;
  private MemorySegment groupOffsets;
  private MemorySegment excludedOffsets;
  private MemorySegment excluded;

  /** Takes over the arguments of a call, checked. */
  void set(
      int rows,
      int classes,
      Buffer targets,
      int groups,
      Buffer groupOffsets,
      Buffer excludedOffsets,
      Buffer excluded) {
    this.classes = classes;
    this.groups = groups;
    this.targets = targets.segment();
    for (int r = 0; r < rows; r++) {
      int target = getInt(this.targets, r);
      if (target < 1 || target >= classes) {
        throw new IllegalArgumentException(
            OP
                + ": targets of row "
                + r
                + " holds "
                + target
                + ", but it must be from 1 to "
                + (classes - 1));
      }
    }
    if (groups == 0) {
      return;
    }
    this.groupOffsets = groupOffsets.segment();
    this.excludedOffsets = excludedOffsets.segment();
    this.excluded = excluded.segment();
    ascending("groupOffsets", this.groupOffsets, rows, true);
    ascending("excludedOffsets", this.excludedOffsets, excluded.count(), false);
    for (int g = 0; g < groups; g++) {
      checkGroup(g);
    }
  }

  private void ascending(String name, MemorySegment offsets, long end, boolean exact) {
    int before = 0;
    for (int g = 0; g <= groups; g++) {
      int offset = getInt(offsets, g);
      if (offset < before || offset > end || g == 0 && offset != 0) {
        throw new IllegalArgumentException(
            OP
                + ": "
                + name
                + " holds "
                + offset
                + " at "
                + g
                + ", but offsets ascend from 0 to "
                + end);
      }
      before = offset;
    }
    if (exact && before != end) {
      throw new IllegalArgumentException(
          OP + ": " + name + " ends at " + before + ", but there are " + end + " rows");
    }
  }

  private void checkGroup(int g) {
    int from = getInt(excludedOffsets, g);
    int to = getInt(excludedOffsets, g + 1);
    int before = 0;
    for (int i = from; i < to; i++) {
      int item = getInt(excluded, i);
      if (item <= before || item >= classes) {
        throw new IllegalArgumentException(
            OP
                + ": excluded of group "
                + g
                + " holds "
                + item
                + ", but they must ascend without repeats from 1 to "
                + (classes - 1));
      }
      before = item;
    }
    if (to - from >= classes - 1) {
      throw new IllegalArgumentException(
          OP
              + ": group "
              + g
              + " excludes all "
              + (classes - 1)
              + " classes, so that there is none to draw");
    }
  }

  /** The group of a row, to begin a walk with; 0 where nothing is excluded. */
  int group(int row) {
    int low = 0;
    int high = groups;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (getInt(groupOffsets, middle + 1) <= row) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** The group of a row that comes after those of {@code group}'s rows, or among them. */
  int group(int row, int group) {
    int g = group;
    while (g < groups && getInt(groupOffsets, g + 1) <= row) {
      g++;
    }
    return g;
  }

  /** How many classes a row of a group may draw. */
  int pool(int group) {
    return groups == 0
        ? classes - 2
        : classes - 1 - (getInt(excludedOffsets, group + 1) - getInt(excludedOffsets, group));
  }

  /** The class that random bits draw for a row of a group, whose pool is given. */
  int draw(int bits, int row, int group, int pool) {
    int place = 1 + (int) ((bits & UNSIGNED) * pool >>> 32);
    if (groups == 0) {
      return place >= getInt(targets, row) ? place + 1 : place;
    }
    // Of the excluded, those i with excluded[i] - i <= place stand before the class sought.
    int from = getInt(excludedOffsets, group);
    int low = 0;
    int high = getInt(excludedOffsets, group + 1) - from;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (getInt(excluded, from + middle) - middle <= place) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return place + low;
  }
}
