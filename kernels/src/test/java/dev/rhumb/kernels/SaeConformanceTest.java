package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SaeConformanceTest extends Conformance {
  SaeConformanceTest(Backend backend) {
    super(backend);
  }

  /** A dictionary's buffers. */
  private static final class Dictionary {
    final Matrix wEnc;
    final Matrix wDec;
    final Matrix bEnc;
    final Matrix bDec;

    Dictionary(Memory memory, int features, int width, Memory.Fill fill) {
      wEnc = memory.matrix(features, width, width, fill);
      wDec = memory.matrix(features, width, width, fill);
      bEnc = memory.vector(features, fill);
      bDec = memory.vector(width, fill);
    }

    PackedEncoder pack(Kernels kernels, Memory memory) {
      PackedEncoder encoder = memory.own(kernels.sae().encoder(wEnc.rows, wEnc.cols));
      kernels.sae().pack(encoder, wEnc.rows, wEnc.buffer, bEnc.buffer, bDec.buffer, null, 0);
      return encoder;
    }

    float[] scores(Matrix x, int row) {
      return ReferenceEncoder.scores(x.wasRow(row), wEnc, bEnc, bDec);
    }
  }

  private static void checkEncoded(
      Matrix x, Dictionary dictionary, int[] names, int kept, Ints indices, Matrix values) {
    int[] now = indices.now();
    float[] chosen = values.now();
    for (int r = 0; values.judged() && r < x.rows; r++) {
      float[] all = dictionary.scores(x, r);
      float[] scores = new float[names.length];
      for (int i = 0; i < names.length; i++) {
        scores[i] = all[names[i]];
      }
      int[] top = ReferenceEncoder.top(scores, kept);
      for (int i = 0; i < kept; i++) {
        String where = "row " + r + ", place " + i + " of " + kept + " of " + names.length;
        assertEquals(names[top[i]], now[r * kept + i], where);
        float score = scores[top[i]];
        assertEquals(score > 0 ? score : 0f, chosen[r * kept + i], where);
      }
    }
  }

  private void encode(int rows, int width, int features, int kept, Memory.Fill fill) {
    each(
        (kernels, memory) -> {
          Memory.Fill values = fill != null ? fill : (r, c) -> memory.uniform();
          Dictionary dictionary = new Dictionary(memory, features, width, values);
          Matrix x = memory.matrix(rows, width, stride(width, features), values);
          Ints indices = memory.ints(rows * kept, i -> -1);
          Matrix z = memory.matrix(rows, kept, kept);
          kernels
              .sae()
              .encodeTopK(
                  dictionary.pack(kernels, memory),
                  rows,
                  kept,
                  x.buffer,
                  x.stride,
                  indices.buffer,
                  z.buffer);
          checkEncoded(x, dictionary, IntStream.range(0, features).toArray(), kept, indices, z);
        });
  }

  @Test
  void encodeOfEverySize() {
    for (int size : SIZES) {
      encode(size, 19, 50, 6, null);
    }
    for (int size : POSITIVE) {
      encode(5, size, 50, 6, null);
      encode(5, 19, size, Math.min(size, 4), null);
      encode(5, 19, 131, size, null);
      encode(3, 8, size, size, null);
    }
    encode(5, 19, 131, 131, null);
  }

  @Test
  void encodeOfManyFeatures() {
    encode(9, 64, 4099, 32, null);
    encode(70, 17, 1031, 8, null);
    encode(1, 64, 16_411, 64, null);
    encode(2, 5, 2053, 1500, null);
  }

  /** Enough rows and features for tensor cores, whose every kind of kernel has a width here. */
  @Test
  void encodeOfManyRows() {
    encode(130, 19, 2100, 20, null);
    encode(257, 64, 1000, 32, null);
    encode(128, 128, 513, 16, null);
    encode(131, 150, 600, 64, null);
    encode(129, 256, 515, 8, null);
    encode(140, 400, 700, 32, null);
  }

  /** What products of bfloat16 operands cannot tell apart, or hide behind greater ones. */
  @Test
  void encodeOfManyRowsThatCancel() {
    for (int width : new int[] {48, 256, 300}) {
      encode(130, width, 560, 32, cancelling(512));
      encode(130, width, 560, 16, cancelling(8));
      encode(129, width, 530, 20, (r, c) -> 1 + (r * 31 % 97 + c % 3) * 0x1p-16);
    }
  }

  /**
   * Rows of uniform values, but of every eight two are large: in every other pair of rows their
   * products cancel.
   */
  private static Memory.Fill cancelling(double large) {
    return (r, c) ->
        switch (c % 8) {
          case 0 -> large;
          case 7 -> r % 2 == 0 ? large : -large;
          default -> ((r * 1009L + c) * 0x9E3779B97F4A7C15L >>> 40) * 0x1p-23 - 1;
        };
  }

  @Test
  void encodeWithTies() {
    encode(9, 3, 700, 40, (r, c) -> (r * 7 + c * 5) % 3 - 1);
    encode(40, 2, 257, 130, (r, c) -> (r + c) % 2);
  }

  @Test
  void encodeOfEqualScoresKeepsTheFirst() {
    for (int kept : new int[] {1, 5, 64, 133}) {
      encode(3, 4, 133, kept, (r, c) -> 0.5);
    }
  }

  @Test
  void encodeHoldsZerosOfEitherSignEqual() {
    encode(2, 3, 70, 65, (r, c) -> c % 2 == 0 ? -0.0 : 0);
  }

  @Test
  void encodeOfExtremes() {
    encode(4, 5, 90, 50, (r, c) -> ((r * 3 + c) % 5 - 2) * 1e-25);
    encode(4, 5, 90, 50, (r, c) -> ((r * 3 + c) % 5 + 1) * 1e19);
    encode(4, 1, 90, 50, (r, c) -> (r % 7 - 3) * 1e30);
  }

  @Test
  void encodeOfFallingScoresIsTheWorstCase() {
    // Rising scores replace the kept ones again and again; falling ones never do.
    encode(3, 1, 3000, 64, (r, c) -> r + 1);
    encode(3, 1, 3000, 64, (r, c) -> -r);
  }

  @Test
  void encodeOfSubsetsInOneEncoder() {
    each(
        (kernels, memory) -> {
          int rows = 7;
          int width = 21;
          int features = 150;
          Dictionary dictionary =
              new Dictionary(memory, features, width, (r, c) -> memory.uniform());
          Matrix x = memory.matrix(rows, width, width);
          PackedEncoder encoder = memory.own(kernels.sae().encoder(100, width));
          for (int[] subset :
              new int[][] {
                IntStream.range(0, 100).map(i -> i + 50).toArray(),
                {3},
                IntStream.range(0, 37).map(i -> 4 * i).toArray()
              }) {
            Ints taken = memory.ints(subset);
            kernels
                .sae()
                .pack(
                    encoder,
                    features,
                    dictionary.wEnc.buffer,
                    dictionary.bEnc.buffer,
                    dictionary.bDec.buffer,
                    taken.buffer,
                    subset.length);
            assertEquals(subset.length, encoder.features());
            int kept = Math.min(9, subset.length);
            Ints indices = memory.ints(rows * kept, i -> -1);
            Matrix z = memory.matrix(rows, kept, kept);
            kernels
                .sae()
                .encodeTopK(encoder, rows, kept, x.buffer, width, indices.buffer, z.buffer);
            checkEncoded(x, dictionary, subset, kept, indices, z);
          }
        });
  }

  private static int[] distinct(Memory memory, int rows, int kept, int features) {
    int[] all = new int[rows * kept];
    for (int r = 0; r < rows; r++) {
      int from = memory.below(features);
      int step = 1 + memory.below(Math.max(1, features / kept));
      for (int i = 0; i < kept; i++) {
        all[r * kept + i] = (from + i * step) % features;
      }
    }
    return all;
  }

  @Test
  void decode() {
    int salt = 0;
    for (int width : POSITIVE) {
      for (int kept : new int[] {1, 5, 32}) {
        int rows = new int[] {0, 1, 6, 33}[salt++ % 4];
        boolean bias = salt % 3 > 0;
        int step = stride(width, salt);
        each(
            (kernels, memory) -> {
              Ints indices = memory.ints(distinct(memory, rows, kept, 40));
              Matrix z = memory.matrix(rows, kept, kept);
              Matrix wDec = memory.matrix(40, width, width);
              Matrix bDec = memory.vector(width);
              Matrix y = memory.matrix(rows, width, step);
              kernels
                  .sae()
                  .decode(
                      rows,
                      kept,
                      40,
                      width,
                      indices.buffer,
                      z.buffer,
                      wDec.buffer,
                      bias ? bDec.buffer : null,
                      y.buffer,
                      step);
              y.check(
                  "decode",
                  kept,
                  (r, d) -> {
                    double sum = bias ? bDec.was(d) : 0;
                    for (int i = 0; i < kept; i++) {
                      sum += z.was(r, i) * wDec.was(indices.was(r * kept + i), d);
                    }
                    return sum;
                  });
            });
      }
    }
  }

  private void backward(int rows, int kept, int features, int width, boolean decoderBias) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary =
              new Dictionary(memory, features, width, (r, c) -> memory.uniform());
          Matrix x = memory.matrix(rows, width, stride(width, rows));
          Matrix g = memory.matrix(rows, width, width);
          Ints indices = memory.ints(distinct(memory, rows, kept, features));
          Matrix z = memory.matrix(rows, kept, kept, (r, i) -> Math.max(0, memory.uniform() + 0.3));
          Matrix dWEnc = memory.matrix(features, width, width);
          Matrix dWDec = memory.matrix(features, width, width);
          Matrix dBEnc = memory.vector(features);
          Matrix dBDec = memory.vector(width);
          kernels
              .sae()
              .backward(
                  rows,
                  kept,
                  features,
                  width,
                  x.buffer,
                  x.stride,
                  g.buffer,
                  indices.buffer,
                  z.buffer,
                  dictionary.wEnc.buffer,
                  dictionary.wDec.buffer,
                  dictionary.bDec.buffer,
                  decoderBias,
                  dWEnc.buffer,
                  dWDec.buffer,
                  dBEnc.buffer,
                  dBDec.buffer);
          double[][] enc = new double[features][width];
          double[][] dec = new double[features][width];
          double[] slopes = new double[features];
          double[] bias = new double[width];
          int[] fired = new int[features];
          for (int r = 0; r < rows; r++) {
            for (int i = 0; i < kept; i++) {
              int f = indices.was(r * kept + i);
              if (z.was(r, i) <= 0) {
                continue;
              }
              fired[f]++;
              double dz = 0;
              for (int d = 0; d < width; d++) {
                dz += g.was(r, d) * dictionary.wDec.was(f, d);
              }
              slopes[f] += dz;
              for (int d = 0; d < width; d++) {
                dec[f][d] += z.was(r, i) * g.was(r, d);
                enc[f][d] += dz * (x.was(r, d) - dictionary.bDec.was(d));
                bias[d] -= dz * dictionary.wEnc.was(f, d);
              }
            }
            for (int d = 0; d < width; d++) {
              bias[d] += decoderBias ? g.was(r, d) : 0;
            }
          }
          int most = Arrays.stream(fired).max().orElse(0);
          double terms = width + most;
          double steep = Math.sqrt(width);
          dWDec.check("saeBackward's dWDec", most, (f, d) -> dWDec.was(f, d) + dec[f][d]);
          dWEnc.check("saeBackward's dWEnc", terms, steep, (f, d) -> dWEnc.was(f, d) + enc[f][d]);
          dBEnc.check("saeBackward's dBEnc", terms, steep, (none, f) -> dBEnc.was(f) + slopes[f]);
          dBDec.check(
              "saeBackward's dBDec",
              width + rows * kept,
              steep,
              (none, d) -> dBDec.was(d) + bias[d]);
        });
  }

  @Test
  void backward() {
    int salt = 0;
    for (int size : POSITIVE) {
      backward(9, 3, 31, size, salt++ % 2 == 0);
      backward(size, 3, 31, 10, salt % 2 == 0);
      backward(7, Math.min(4, size), size, 10, salt % 2 == 0);
    }
    backward(0, 4, 9, 10, true);
    backward(601, 8, 67, 17, true);
    backward(900, 2, 3, 33, false);
  }

  @Test
  void projectedRowsAreOrthogonal() {
    for (int cols : POSITIVE) {
      for (int rows : new int[] {0, 1, 5, 67}) {
        each(
            (kernels, memory) -> {
              Matrix w = memory.matrix(rows, cols, cols, (r, c) -> r == 3 ? 0 : memory.uniform());
              Matrix dw = memory.matrix(rows, cols, cols);
              kernels.sae().projectRows(rows, cols, w.buffer, dw.buffer);
              dw.check(
                  "projectRows",
                  cols,
                  (r, c) -> {
                    double squares = 0;
                    double along = 0;
                    for (int d = 0; d < cols; d++) {
                      squares += w.was(r, d) * w.was(r, d);
                      along += w.was(r, d) * dw.was(r, d);
                    }
                    return dw.was(r, c) - (squares == 0 ? 0 : along / squares * w.was(r, c));
                  });
            });
      }
    }
  }

  @Test
  void normalisedRowsHaveUnitNorm() {
    for (int cols : POSITIVE) {
      for (int rows : new int[] {0, 1, 5, 67}) {
        each(
            (kernels, memory) -> {
              Matrix w = memory.matrix(rows, cols, cols, (r, c) -> r == 3 ? 0 : memory.uniform());
              kernels.sae().normaliseRows(rows, cols, w.buffer);
              w.check(
                  "normaliseRows",
                  cols,
                  (r, c) -> {
                    double squares = 0;
                    for (int d = 0; d < cols; d++) {
                      squares += w.was(r, d) * w.was(r, d);
                    }
                    return squares == 0 ? 0 : w.was(r, c) / Math.sqrt(squares);
                  });
            });
      }
    }
  }

  @Test
  void countFired() {
    for (int rows : SIZES) {
      each(
          (kernels, memory) -> {
            Ints indices = memory.ints(distinct(memory, rows, 5, 23));
            Matrix z =
                memory.matrix(rows, 5, 5, (r, i) -> i == 4 ? -0.0 : Math.max(0, memory.uniform()));
            Ints counts = memory.ints(23, f -> 100 * f);
            kernels.sae().countFired(rows, 5, 23, indices.buffer, z.buffer, counts.buffer);
            int[] expected = IntStream.range(0, 23).map(f -> 100 * f).toArray();
            for (int r = 0; r < rows; r++) {
              for (int i = 0; i < 5; i++) {
                expected[indices.was(r * 5 + i)] += z.was(r, i) > 0 ? 1 : 0;
              }
            }
            assertArrayEquals(expected, counts.now());
          });
    }
  }

  private void steer(
      int rows, int width, int features, int kept, EditTable edits, boolean inPlace) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary =
              new Dictionary(memory, features, width, (r, c) -> memory.uniform());
          Matrix x =
              memory.matrix(
                  rows,
                  width,
                  stride(width, rows),
                  (r, c) -> c == 0 && r % 2 == 1 ? -0.0 : memory.uniform());
          Matrix y = inPlace ? x : memory.matrix(rows, width, stride(width, rows + 1));
          Ints indices = memory.ints(rows * kept, i -> -1);
          Matrix z = memory.matrix(rows, kept, kept);
          kernels
              .sae()
              .steer(
                  dictionary.pack(kernels, memory),
                  dictionary.wDec.buffer,
                  dictionary.bDec.buffer,
                  rows,
                  kept,
                  x.buffer,
                  x.stride,
                  edits,
                  y.buffer,
                  y.stride,
                  indices.buffer,
                  z.buffer);
          checkEncoded(x, dictionary, IntStream.range(0, features).toArray(), kept, indices, z);
          boolean delta = edits.write() == EditTable.Write.DELTA;
          float[][] before = new float[rows][];
          float[][] after = new float[rows][];
          for (int r = 0; r < rows; r++) {
            float[] scores = dictionary.scores(x, r);
            before[r] = ReferenceEncoder.activations(scores, kept);
            if (edits.stage() == EditTable.Stage.PRE_SELECT) {
              for (int e = 0; e < edits.count(); e++) {
                scores[edits.feature(e)] = edits.apply(e, scores[edits.feature(e)]);
              }
              after[r] = ReferenceEncoder.activations(scores, kept);
            } else {
              after[r] = before[r].clone();
              for (int e = 0; e < edits.count(); e++) {
                after[r][edits.feature(e)] = edits.apply(e, before[r][edits.feature(e)]);
              }
            }
          }
          Memory.Fill steered =
              (r, d) -> {
                double sum = delta ? x.was(r, d) : dictionary.bDec.was(d);
                for (int f = 0; f < features; f++) {
                  double change = delta ? (double) after[r][f] - before[r][f] : after[r][f];
                  sum += change * dictionary.wDec.was(f, d);
                }
                return sum;
              };
          List<Matrix> outputs = new ArrayList<>(List.of(y));
          if (edits.stage() == EditTable.Stage.POST_SELECT && !inPlace) {
            outputs.add(applied(kernels, memory, dictionary, x, kept, edits, indices, z));
          }
          for (Matrix output : outputs) {
            float[] now = output.now();
            for (int r = 0; r < rows; r++) {
              if (delta && Arrays.equals(before[r], after[r])) {
                int first = r * output.stride;
                float[] row = Arrays.copyOfRange(now, first, first + width);
                assertArrayEquals(x.wasRow(r), row, "a row that no edit changed");
              }
            }
            String op = (output == y ? "steer " : "applyEdits ") + edits.write();
            output.check(op, 2 * kept + edits.count(), 6, steered);
          }
        });
  }

  /** The same edits of the lists that the encode left. */
  private static Matrix applied(
      Kernels kernels,
      Memory memory,
      Dictionary dictionary,
      Matrix x,
      int kept,
      EditTable edits,
      Ints indices,
      Matrix z) {
    Matrix y = memory.matrix(x.rows, x.cols, stride(x.cols, x.rows + 2));
    kernels
        .sae()
        .applyEdits(
            x.rows,
            kept,
            dictionary.wEnc.rows,
            x.cols,
            indices.buffer,
            z.buffer,
            dictionary.wDec.buffer,
            dictionary.bDec.buffer,
            x.buffer,
            x.stride,
            edits,
            y.buffer,
            y.stride);
    return y;
  }

  static EditTable edits(int features, EditTable.Stage stage, EditTable.Write write) {
    EditTable edits = new EditTable(2);
    edits.stage(stage);
    edits.write(write);
    int f = features - 1;
    edits.put(f, EditTable.Op.SET, 2.5f, 0);
    for (EditTable.Op op : EditTable.Op.values()) {
      f -= 1 + features / 9;
      if (f >= 0) {
        edits.put(f, op, op == EditTable.Op.CLAMP ? 0.2f : -1.5f, 0.7f);
      }
    }
    return edits;
  }

  @Test
  void theBestOfBfloat16Operands() {
    if (!kernels(1).sae().offers(Selection.EXACT_BF16)) {
      refusedBf16();
      return;
    }
    for (int[] shape : new int[][] {{3, 5, 70, 8}, {130, 17, 600, 16}, {131, 64, 1025, 32}}) {
      bestOfBf16(shape[0], shape[1], shape[2], shape[3]);
    }
  }

  private void refusedBf16() {
    each(
        (kernels, memory) -> {
          Dictionary dictionary = new Dictionary(memory, 3, 2, (r, c) -> memory.uniform());
          Matrix x = memory.matrix(1, 2, 2);
          Ints indices = memory.ints(1, i -> -1);
          Matrix z = memory.matrix(1, 1, 1);
          PackedEncoder encoder = dictionary.pack(kernels, memory);
          String message =
              assertThrows(
                      IllegalArgumentException.class,
                      () ->
                          kernels
                              .sae()
                              .encodeTopK(
                                  encoder,
                                  1,
                                  1,
                                  Selection.EXACT_BF16,
                                  x.buffer,
                                  2,
                                  indices.buffer,
                                  z.buffer))
                  .getMessage();
          assertTrue(message.contains("EXACT_BF16"), message);
        });
  }

  private void bestOfBf16(int rows, int width, int features, int kept) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary =
              new Dictionary(memory, features, width, (r, c) -> memory.uniform());
          Matrix x = memory.matrix(rows, width, width + 3);
          Ints indices = memory.ints(rows * kept, i -> -1);
          Matrix z = memory.matrix(rows, kept, kept);
          kernels
              .sae()
              .encodeTopK(
                  dictionary.pack(kernels, memory),
                  rows,
                  kept,
                  Selection.EXACT_BF16,
                  x.buffer,
                  x.stride,
                  indices.buffer,
                  z.buffer);
          int[] chosen = indices.now();
          float[] values = z.now();
          double off = 1e-6 * (4 + width);
          for (int r = 0; r < rows; r++) {
            double[] scores = new double[features];
            for (int f = 0; f < features; f++) {
              scores[f] = dictionary.bEnc.was(f);
              for (int d = 0; d < width; d++) {
                float centred = (float) x.was(r, d) - (float) dictionary.bDec.was(d);
                scores[f] += bf16(centred) * (double) bf16((float) dictionary.wEnc.was(f, d));
              }
            }
            double least = Double.POSITIVE_INFINITY;
            boolean[] listed = new boolean[features];
            for (int i = r * kept; i < (r + 1) * kept; i++) {
              assertEquals(Math.max(scores[chosen[i]], 0), values[i], off);
              assertTrue(i == r * kept || values[i] <= values[i - 1], "descending");
              assertFalse(listed[chosen[i]], "a feature twice");
              listed[chosen[i]] = true;
              least = Math.min(least, scores[chosen[i]]);
            }
            for (int f = 0; f < features; f++) {
              assertTrue(listed[f] || scores[f] <= least + 2 * off, "a better one left out");
            }
          }
        });
  }

  /** Rounded to bfloat16, to nearest even. */
  private static float bf16(float x) {
    int bits = Float.floatToRawIntBits(x);
    return Float.intBitsToFloat(bits + 0x7FFF + (bits >>> 16 & 1) & 0xFFFF0000);
  }

  @Test
  void steer() {
    int salt = 0;
    for (EditTable.Stage stage : EditTable.Stage.values()) {
      for (EditTable.Write write : EditTable.Write.values()) {
        for (int size : POSITIVE) {
          boolean inPlace = salt++ % 3 == 0;
          steer(3, size, 70, 8, edits(70, stage, write), inPlace);
          steer(3, 11, size, Math.min(size, 5), edits(size, stage, write), inPlace);
          steer(1, 11, 70, Math.min(size, 70), edits(70, stage, write), inPlace);
        }
        steer(0, 11, 70, 8, edits(70, stage, write), false);
        steer(67, 21, 530, 16, edits(530, stage, write), false);
      }
    }
  }

  @Test
  void steerWithMoreEditsThanAreKept() {
    for (EditTable.Stage stage : EditTable.Stage.values()) {
      for (int edited : new int[] {30, 64, 70}) {
        EditTable edits = new EditTable(edited);
        edits.stage(stage);
        for (int f = 0; f < edited; f++) {
          // Clamped to one value, they tie.
          edits.put(f, f % 3 == 0 ? EditTable.Op.SCALE : EditTable.Op.CLAMP, 0.4f, 0.4f);
        }
        steer(9, 11, 70, 6, edits, false);
      }
    }
  }

  @Test
  void anEmptyTableGivesTheHiddenStateBitForBit() {
    for (EditTable.Stage stage : EditTable.Stage.values()) {
      EditTable none = new EditTable(0);
      none.stage(stage);
      for (int width : POSITIVE) {
        steer(5, width, 70, 8, none, false);
        steer(5, width, 70, 8, none, true);
      }
    }
  }

  @Test
  void editsThatChangeNothingGiveTheHiddenStateBitForBit() {
    EditTable same = new EditTable(4);
    for (int f = 0; f < 60; f += 3) {
      same.put(f, f % 2 == 0 ? EditTable.Op.ADD : EditTable.Op.SCALE, f % 2, 0);
    }
    for (EditTable.Stage stage : EditTable.Stage.values()) {
      same.stage(stage);
      steer(5, 17, 70, 8, same, false);
    }
  }
}
