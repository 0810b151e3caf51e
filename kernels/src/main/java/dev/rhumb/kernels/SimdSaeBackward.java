package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.FLOAT;
import static dev.rhumb.kernels.Simd.INT;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.roundUp;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * {@link Sae#backward}. Three passes: by rows, dz of each fired entry unless it is given; a stable
 * counting sort that lists each feature's entries, rows ascending; by features, all gradients of
 * the feature's own weights. Work follows the fired entries.
 *
 * <p>Sums over a feature's rows go in chunks of fixed length, and sums over rows or features for
 * dBDec in blocks of fixed size, joined in order: no sum depends on the number of threads.
 */
final class SimdSaeBackward {
  /** Rows of a task of the first pass. */
  private static final int ROWS = 128;

  /** Features of a task of the last pass. */
  private static final int FEATURES = 64;

  /** Bytes of a fired entry. */
  private static final long ENTRY = 12;

  /** Entries of a feature that are summed before they join the rest. */
  private static final int CHUNK = 128;

  private final Workers workers;
  private final Workers.Task rowTask = this::rowBlock;
  private final Workers.Task countTask = this::countRange;
  private final Workers.Task placeTask = this::placeRange;
  private final Workers.Task featureTask = this::featureBlock;

  // The arguments of the call under way.
  private int rows;
  private int kept;
  private int features;
  private int width;
  private long x;
  private long xStride;
  private long g;
  private float slope;
  private long indices;
  private long values;
  private long given;
  private long wEnc;
  private long wDec;
  private long bDec;
  private boolean decoderBias;
  private long dWEnc;
  private long dWDec;
  private long dBEnc;

  // Ranges of rows that are counted and placed apart: no result depends on how many.
  private int ranges;

  // Scratch memory: how many entries stand before each row; dz of each entry but for the slope;
  // x - bDec; where each feature's entries start; where those of each range of rows go next; the
  // fired entries by feature, as (row, z, dz); sums of each task.
  private long entries;
  private long slopes;
  private long centred;
  private long starts;
  private long places;
  private long fired;
  private long rowSums;
  private long featureSums;

  SimdSaeBackward(Workers workers) {
    this.workers = workers;
  }

  /** All by address, strides in bytes; no dz as address 0. */
  void run(
      int rows,
      int kept,
      int features,
      int width,
      long x,
      long xStride,
      long g,
      float slope,
      long indices,
      long values,
      long dz,
      long wEnc,
      long wDec,
      long bDec,
      boolean decoderBias,
      long dWEnc,
      long dWDec,
      long dBEnc,
      long dBDec) {
    this.rows = rows;
    this.kept = kept;
    this.features = features;
    this.width = width;
    this.x = x;
    this.xStride = xStride;
    this.g = g;
    this.slope = slope;
    this.indices = indices;
    this.values = values;
    given = dz;
    this.wEnc = wEnc;
    this.wDec = wDec;
    this.bDec = bDec;
    this.decoderBias = decoderBias;
    this.dWEnc = dWEnc;
    this.dWDec = dWDec;
    this.dBEnc = dBEnc;
    int rowTasks = ceilDiv(rows, ROWS);
    int featureTasks = ceilDiv(features, FEATURES);
    reserve(rowTasks, featureTasks);
    workers.run(rowTasks, rowTask);
    sort();
    workers.run(featureTasks, featureTask);
    addBlocks(rowSums, decoderBias ? rowTasks : 0, 1, dBDec);
    addBlocks(featureSums, featureTasks, -1, dBDec);
  }

  private void reserve(int rowTasks, int featureTasks) {
    long total = 0;
    for (int r = 0; r < rows; r++) {
      total += SparseRows.count(indices + r * (kept * 4L), kept);
    }
    long entryBytes = roundUp(rows + 1, 16) * 4L;
    long slopeBytes = given != 0 ? 0 : (total * 4 + 63) / 64 * 64;
    long centredBytes = ((long) rows * width * 4 + 63) / 64 * 64;
    ranges = Math.min(rows, workers.threads());
    long startBytes = roundUp(features + 1, 16) * 4L;
    long placeBytes = (long) ranges * roundUp(features, 16) * 4;
    long sumBytes = roundUp(width, LANES) * 4L;
    entries =
        workers
            .shared()
            .reserve(
                entryBytes
                    + slopeBytes
                    + centredBytes
                    + startBytes
                    + placeBytes
                    + (rowTasks + featureTasks) * sumBytes
                    + total * ENTRY);
    slopes = entries + entryBytes;
    centred = slopes + slopeBytes;
    starts = centred + centredBytes;
    places = starts + startBytes;
    rowSums = places + placeBytes;
    featureSums = rowSums + rowTasks * sumBytes;
    fired = featureSums + featureTasks * sumBytes;
    setInt(entries, 0);
    for (int r = 0; r < rows; r++) {
      int before = getInt(entries + r * 4L);
      setInt(entries + (r + 1) * 4L, before + SparseRows.count(indices + r * (kept * 4L), kept));
    }
  }

  /** A block of rows, centred, dz of its entries, and the sum of its gradients. */
  private void rowBlock(int block, int worker) {
    int first = block * ROWS;
    int end = Math.min(rows, first + ROWS);
    long room = workers.own(worker).reserve(Dots.ROOM);
    for (int r = first; r < end; r++) {
      for (int d = 0; d < width; d += LANES) {
        VectorMask<Float> mask = F.indexInRange(d, width);
        FloatVector value =
            FloatVector.fromMemorySegment(F, MEMORY, x + r * xStride + d * 4L, ORDER, mask)
                .sub(FloatVector.fromMemorySegment(F, MEMORY, bDec + d * 4L, ORDER, mask));
        value.intoMemorySegment(MEMORY, centred + ((long) r * width + d) * 4, ORDER, mask);
      }
      if (given == 0) {
        slopes(r, room);
      }
    }
    if (decoderBias) {
      for (int d = 0; d < width; d += LANES) {
        VectorMask<Float> mask = F.indexInRange(d, width);
        FloatVector sum = FloatVector.zero(F);
        for (int r = first; r < end; r++) {
          sum =
              sum.add(
                  FloatVector.fromMemorySegment(
                      F, MEMORY, g + ((long) r * width + d) * 4, ORDER, mask));
        }
        sum.intoMemorySegment(
            MEMORY, rowSums + ((long) block * roundUp(width, LANES) + d) * 4, ORDER);
      }
    }
  }

  /** The dot products of a row's gradient with the directions of all its entries. */
  private void slopes(int r, long room) {
    int first = getInt(entries + r * 4L);
    int n = getInt(entries + (r + 1) * 4L) - first;
    Dots.dots(
        g + r * (width * 4L),
        wDec,
        width * 4L,
        indices + (long) r * kept * 4,
        n,
        width,
        room,
        slopes + first * 4L);
  }

  /**
   * Lists the fired entries by feature, rows ascending: those of f from starts[f] on. Workers count
   * and place ranges of rows; in between a place is set aside for each feature of each range.
   */
  private void sort() {
    workers.run(ranges, countTask);
    int place = 0;
    for (int f = 0; f < features; f++) {
      setInt(starts + f * 4L, place);
      for (int range = 0; range < ranges; range++) {
        long at = placesOf(range) + f * 4L;
        int fired = getInt(at);
        setInt(at, place);
        place += fired;
      }
    }
    setInt(starts + features * 4L, place);
    workers.run(ranges, placeTask);
  }

  private long placesOf(int range) {
    return places + (long) range * roundUp(features, 16) * 4;
  }

  private int firstRow(int range) {
    return (int) ((long) rows * range / ranges);
  }

  /** Counts the fired entries of each feature in a range of rows. */
  private void countRange(int range, int worker) {
    long counts = placesOf(range);
    for (int f = 0; f < features; f++) {
      setInt(counts + f * 4L, 0);
    }
    for (int r = firstRow(range); r < firstRow(range + 1); r++) {
      long at = (long) r * kept * 4;
      long end = at + count(r) * 4L;
      for (; at < end; at += 4) {
        if (get(values + at) > 0) {
          long count = counts + getInt(indices + at) * 4L;
          setInt(count, getInt(count) + 1);
        }
      }
    }
  }

  /** Puts the fired entries of a range of rows in their places. */
  private void placeRange(int range, int worker) {
    long own = placesOf(range);
    for (int r = firstRow(range); r < firstRow(range + 1); r++) {
      long at = (long) r * kept * 4;
      long from = given != 0 ? given + at : slopes + getInt(entries + r * 4L) * 4L;
      for (int i = count(r); i > 0; i--, at += 4, from += 4) {
        float z = get(values + at);
        if (z > 0) {
          long next = own + getInt(indices + at) * 4L;
          int place = getInt(next);
          setInt(next, place + 1);
          long entry = fired + place * ENTRY;
          setInt(entry, r);
          set(entry + 4, z);
          set(entry + 8, get(from) + slope);
        }
      }
    }
  }

  private int count(int r) {
    return getInt(entries + (r + 1) * 4L) - getInt(entries + r * 4L);
  }

  /** The gradients of a block of features' weights, and its sum of dz W_enc. */
  private void featureBlock(int block, int worker) {
    int first = block * FEATURES;
    int end = Math.min(features, first + FEATURES);
    long sums = featureSums + (long) block * roundUp(width, LANES) * 4;
    for (int d = 0; d < width; d += LANES) {
      FloatVector.zero(F).intoMemorySegment(MEMORY, sums + d * 4L, ORDER);
    }
    for (int f = first; f < end; f++) {
      int from = getInt(starts + f * 4L);
      int to = getInt(starts + (f + 1) * 4L);
      if (from == to) {
        continue;
      }
      long row = f * (width * 4L);
      int d = 0;
      for (; d + 4 * LANES <= width; d += 4 * LANES) {
        for (int i = from; i < to; i += CHUNK) {
          addChunk4(i, Math.min(i + CHUNK, to), d, row + d * 4L);
        }
      }
      for (; d < width; d += LANES) {
        VectorMask<Float> mask = F.indexInRange(d, width);
        for (int i = from; i < to; i += CHUNK) {
          addChunk1(i, Math.min(i + CHUNK, to), d, row + d * 4L, mask);
        }
      }
      float slope = 0;
      for (int i = from; i < to; i += CHUNK) {
        float chunk = 0;
        for (int j = i; j < Math.min(i + CHUNK, to); j++) {
          chunk += get(fired + j * ENTRY + 8);
        }
        slope += chunk;
      }
      set(dBEnc + f * 4L, get(dBEnc + f * 4L) + slope);
      for (d = 0; d < width; d += LANES) {
        VectorMask<Float> mask = F.indexInRange(d, width);
        FloatVector sum = FloatVector.fromMemorySegment(F, MEMORY, sums + d * 4L, ORDER);
        FloatVector.broadcast(F, slope)
            .fma(FloatVector.fromMemorySegment(F, MEMORY, wEnc + row + d * 4L, ORDER, mask), sum)
            .intoMemorySegment(MEMORY, sums + d * 4L, ORDER);
      }
    }
  }

  /**
   * Adds a chunk of a feature's entries to four vectors of its gradients. Vectors are read and
   * written without a helper: the compiler stops inlining helpers in a method as long as this.
   */
  private void addChunk4(int from, int to, int d, long at) {
    FloatVector dec0 = FloatVector.zero(F);
    FloatVector dec1 = FloatVector.zero(F);
    FloatVector dec2 = FloatVector.zero(F);
    FloatVector dec3 = FloatVector.zero(F);
    FloatVector enc0 = FloatVector.zero(F);
    FloatVector enc1 = FloatVector.zero(F);
    FloatVector enc2 = FloatVector.zero(F);
    FloatVector enc3 = FloatVector.zero(F);
    long gs = g + d * 4L;
    long xs = centred + d * 4L;
    for (int i = from; i < to; i++) {
      long entry = (fired + i * ENTRY) & ADDRESS;
      long row = MEMORY.get(INT, entry) * (width * 4L);
      long row0 = (gs + row) & ADDRESS;
      long row1 = (xs + row) & ADDRESS;
      FloatVector z = FloatVector.broadcast(F, MEMORY.get(FLOAT, entry + 4));
      FloatVector dz = FloatVector.broadcast(F, MEMORY.get(FLOAT, entry + 8));
      dec0 = z.fma(FloatVector.fromMemorySegment(F, MEMORY, row0, ORDER), dec0);
      dec1 = z.fma(FloatVector.fromMemorySegment(F, MEMORY, row0 + BYTES, ORDER), dec1);
      dec2 = z.fma(FloatVector.fromMemorySegment(F, MEMORY, row0 + 2 * BYTES, ORDER), dec2);
      dec3 = z.fma(FloatVector.fromMemorySegment(F, MEMORY, row0 + 3 * BYTES, ORDER), dec3);
      enc0 = dz.fma(FloatVector.fromMemorySegment(F, MEMORY, row1, ORDER), enc0);
      enc1 = dz.fma(FloatVector.fromMemorySegment(F, MEMORY, row1 + BYTES, ORDER), enc1);
      enc2 = dz.fma(FloatVector.fromMemorySegment(F, MEMORY, row1 + 2 * BYTES, ORDER), enc2);
      enc3 = dz.fma(FloatVector.fromMemorySegment(F, MEMORY, row1 + 3 * BYTES, ORDER), enc3);
    }
    long dec = dWDec + at;
    dec0 = dec0.add(FloatVector.fromMemorySegment(F, MEMORY, dec, ORDER));
    dec0.intoMemorySegment(MEMORY, dec, ORDER);
    dec1 = dec1.add(FloatVector.fromMemorySegment(F, MEMORY, dec + BYTES, ORDER));
    dec1.intoMemorySegment(MEMORY, dec + BYTES, ORDER);
    dec2 = dec2.add(FloatVector.fromMemorySegment(F, MEMORY, dec + 2 * BYTES, ORDER));
    dec2.intoMemorySegment(MEMORY, dec + 2 * BYTES, ORDER);
    dec3 = dec3.add(FloatVector.fromMemorySegment(F, MEMORY, dec + 3 * BYTES, ORDER));
    dec3.intoMemorySegment(MEMORY, dec + 3 * BYTES, ORDER);
    long enc = dWEnc + at;
    enc0 = enc0.add(FloatVector.fromMemorySegment(F, MEMORY, enc, ORDER));
    enc0.intoMemorySegment(MEMORY, enc, ORDER);
    enc1 = enc1.add(FloatVector.fromMemorySegment(F, MEMORY, enc + BYTES, ORDER));
    enc1.intoMemorySegment(MEMORY, enc + BYTES, ORDER);
    enc2 = enc2.add(FloatVector.fromMemorySegment(F, MEMORY, enc + 2 * BYTES, ORDER));
    enc2.intoMemorySegment(MEMORY, enc + 2 * BYTES, ORDER);
    enc3 = enc3.add(FloatVector.fromMemorySegment(F, MEMORY, enc + 3 * BYTES, ORDER));
    enc3.intoMemorySegment(MEMORY, enc + 3 * BYTES, ORDER);
  }

  private void addChunk1(int from, int to, int d, long at, VectorMask<Float> mask) {
    FloatVector dec = FloatVector.zero(F);
    FloatVector enc = FloatVector.zero(F);
    for (int i = from; i < to; i++) {
      long entry = fired + i * ENTRY;
      long place = ((long) getInt(entry) * width + d) * 4;
      dec =
          FloatVector.broadcast(F, get(entry + 4))
              .fma(FloatVector.fromMemorySegment(F, MEMORY, g + place, ORDER, mask), dec);
      enc =
          FloatVector.broadcast(F, get(entry + 8))
              .fma(FloatVector.fromMemorySegment(F, MEMORY, centred + place, ORDER, mask), enc);
    }
    FloatVector.fromMemorySegment(F, MEMORY, dWDec + at, ORDER, mask)
        .add(dec)
        .intoMemorySegment(MEMORY, dWDec + at, ORDER, mask);
    FloatVector.fromMemorySegment(F, MEMORY, dWEnc + at, ORDER, mask)
        .add(enc)
        .intoMemorySegment(MEMORY, dWEnc + at, ORDER, mask);
  }

  /** to += sign times the sum of blocks of width floats. */
  private void addBlocks(long from, int blocks, float sign, long to) {
    for (int d = 0; d < width; d += LANES) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      FloatVector sum = FloatVector.zero(F);
      for (int b = 0; b < blocks; b++) {
        sum =
            sum.add(
                FloatVector.fromMemorySegment(
                    F, MEMORY, from + ((long) b * roundUp(width, LANES) + d) * 4, ORDER));
      }
      FloatVector scale = FloatVector.broadcast(F, sign);
      scale
          .fma(sum, FloatVector.fromMemorySegment(F, MEMORY, to + d * 4L, ORDER, mask))
          .intoMemorySegment(MEMORY, to + d * 4L, ORDER, mask);
    }
  }
}
