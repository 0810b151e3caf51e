package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Features that fire by thresholds, and work on lists of them. */
class SaeListsConformanceTest extends Conformance {
  SaeListsConformanceTest(Backend backend) {
    super(backend);
  }

  /** A dictionary whose features fire by thresholds. */
  private static final class Dictionary {
    final int features;
    final int width;
    final Matrix wEnc;
    final Matrix wDec;
    final Matrix bEnc;
    final Matrix bDec;
    final Matrix threshold;
    final Matrix gain;
    final Matrix offset;

    Dictionary(Memory memory, int features, int width, double lift) {
      this.features = features;
      this.width = width;
      wEnc = memory.matrix(features, width, width);
      wDec = memory.matrix(features, width, width);
      bEnc = memory.vector(features);
      bDec = memory.vector(width);
      threshold = memory.vector(features, (r, f) -> lift + 0.5 * memory.uniform());
      gain = memory.vector(features, (r, f) -> 1 + 0.5 * memory.uniform());
      offset = memory.vector(features, (r, f) -> -0.3 + 0.5 * memory.uniform());
    }

    Thresholds thresholds() {
      return new Thresholds(threshold.buffer, gain.buffer, offset.buffer);
    }

    PackedEncoder pack(Kernels kernels, Memory memory) {
      PackedEncoder encoder = memory.own(kernels.sae().encoder(features, width));
      kernels.sae().pack(encoder, features, wEnc.buffer, bEnc.buffer, bDec.buffer, null, 0);
      return encoder;
    }

    float[] scores(Matrix x, int row) {
      return ReferenceEncoder.scores(x.wasRow(row), wEnc, bEnc, bDec);
    }

    boolean fires(int f, float score) {
      return score > (float) threshold.was(f);
    }

    float activation(int f, float score) {
      if (!fires(f, score)) {
        return 0;
      }
      return Math.max(Math.fma((float) gain.was(f), score, (float) offset.was(f)), 0);
    }
  }

  private static void checkEncoded(Matrix x, Dictionary dictionary, Ints indices, Matrix values) {
    int[] now = indices.now();
    float[] z = values.now();
    for (int r = 0; r < x.rows && values.judged(); r++) {
      float[] scores = dictionary.scores(x, r);
      int at = r * dictionary.features;
      int end = at + dictionary.features;
      for (int f = 0; f < scores.length; f++) {
        if (dictionary.fires(f, scores[f])) {
          assertEquals(f, now[at], "row " + r);
          assertEquals(dictionary.activation(f, scores[f]), z[at++], "row " + r + " feature " + f);
        }
      }
      if (at < end) {
        assertEquals(Sae.END, now[at], "the end of row " + r);
      }
      for (int i = at + 1; i < end; i++) {
        assertEquals(77, now[i], "what follows the end of row " + r);
      }
    }
  }

  private void encode(int rows, int width, int features, double lift) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary = new Dictionary(memory, features, width, lift);
          Matrix x = memory.matrix(rows, width, stride(width, features));
          Ints indices = memory.ints(rows * features, i -> 77);
          Matrix z = memory.matrix(rows, features, features);
          kernels
              .sae()
              .encodeAbove(
                  dictionary.pack(kernels, memory),
                  dictionary.thresholds(),
                  rows,
                  x.buffer,
                  x.stride,
                  indices.buffer,
                  z.buffer);
          checkEncoded(x, dictionary, indices, z);
        });
  }

  @Test
  void encode() {
    for (int size : SIZES) {
      encode(size, 19, 50, 0);
    }
    for (int size : POSITIVE) {
      encode(5, size, 50, 0.2);
      encode(5, 19, size, 0.2);
    }
    encode(5, 9, 131, -100); // all fire
    encode(5, 9, 131, 100); // none does
    encode(9, 6, 4099, 1);
    encode(70, 17, 1031, 0.5);
  }

  @Test
  void aNaNScoreIsNamedAndAScoreAtItsThresholdDoesNotFire() {
    try (Memory memory = new Memory(kernels(1), Memory.Placement.OWNED)) {
      Matrix wEnc = memory.matrix(3, 1, 1, (f, d) -> 1);
      Matrix bias = memory.vector(0, 0.25, -1);
      Matrix zero = memory.vector(1, (r, c) -> 0);
      PackedEncoder encoder = memory.own(kernels(1).sae().encoder(3, 1));
      kernels(1).sae().pack(encoder, 3, wEnc.buffer, bias.buffer, zero.buffer, null, 0);
      Thresholds thresholds =
          new Thresholds(
              memory.vector(0.5, 0.5, 0.5).buffer,
              memory.vector(1, 1, 1).buffer,
              memory.vector(0, 0, 0).buffer);
      Matrix x = memory.vector(0.5);
      Ints indices = memory.ints(3, i -> 77);
      Matrix z = memory.matrix(1, 3, 3);
      Sae sae = kernels(1).sae();
      sae.encodeAbove(encoder, thresholds, 1, x.buffer, 1, indices.buffer, z.buffer);
      assertArrayEquals(new int[] {1, Sae.END, 77}, indices.now());
      assertEquals(0.75f, z.now()[0]);
      x.buffer.put(0, new float[] {Float.NaN}, 0, 1);
      ArithmeticException refusal =
          assertThrows(
              ArithmeticException.class,
              () -> {
                sae.encodeAbove(encoder, thresholds, 1, x.buffer, 1, indices.buffer, z.buffer);
                kernels(1).finish();
              });
      assertTrue(refusal.getMessage().startsWith("encodeAbove: row 0: the score of feature 0"));
    }
  }

  /** Lists of random length, each of distinct features; what follows an end is no feature. */
  private static int[] lists(Memory memory, int rows, int kept, int features) {
    int[] all = new int[rows * kept];
    Arrays.fill(all, 1 << 30);
    for (int r = 0; r < rows; r++) {
      int n = memory.below(kept + 1);
      int from = memory.below(features);
      for (int i = 0; i < n; i++) {
        all[r * kept + i] = (from + i * Math.max(1, features / kept)) % features;
      }
      if (n < kept) {
        all[r * kept + n] = Sae.END;
      }
    }
    return all;
  }

  /** The entries of a row: places in the lists. */
  private static List<Integer> entries(Ints indices, int kept, int row) {
    List<Integer> entries = new ArrayList<>();
    for (int i = row * kept; i < (row + 1) * kept && indices.was(i) != Sae.END; i++) {
      entries.add(i);
    }
    return entries;
  }

  private static final int FEATURES = 40;
  private static final int KEPT = 13;

  @Test
  void activate() {
    for (int rows : SIZES) {
      each(
          (kernels, memory) -> {
            Dictionary dictionary = new Dictionary(memory, FEATURES, 3, 0);
            Ints indices = memory.ints(lists(memory, rows, KEPT, FEATURES));
            Matrix scores = memory.matrix(rows, KEPT, KEPT);
            Matrix values = memory.matrix(rows, KEPT, KEPT);
            kernels
                .sae()
                .activate(
                    rows,
                    KEPT,
                    FEATURES,
                    indices.buffer,
                    scores.buffer,
                    dictionary.thresholds(),
                    values.buffer);
            float[] now = values.now();
            for (int r = 0; r < rows; r++) {
              List<Integer> entries = entries(indices, KEPT, r);
              for (int i = 0; i < KEPT; i++) {
                int at = r * KEPT + i;
                float expected =
                    i < entries.size()
                        ? dictionary.activation(indices.was(at), (float) scores.was(r, i))
                        : (float) values.was(r, i);
                assertEquals(expected, now[at]);
              }
            }
          });
    }
  }

  private void keepLargest(int rows, int count, Memory.Fill fill) {
    each(
        (kernels, memory) -> {
          Ints indices = memory.ints(lists(memory, rows, KEPT, FEATURES));
          Matrix values =
              memory.matrix(
                  rows, KEPT, KEPT, fill == null ? (r, i) -> memory.uniform() + 0.2 : fill);
          Matrix least = memory.vector(1);
          kernels
              .sae()
              .keepLargest(
                  rows, KEPT, FEATURES, count, indices.buffer, values.buffer, least.buffer);
          List<Integer> positive = new ArrayList<>();
          for (int r = 0; r < rows; r++) {
            for (int at : entries(indices, KEPT, r)) {
              if (values.was(at) > 0) {
                positive.add(at);
              }
            }
          }
          positive.sort(Comparator.comparingDouble((Integer at) -> -values.was(at)));
          List<Integer> kept = positive.subList(0, Math.min(count, positive.size()));
          assertEquals(kept.isEmpty() ? 0f : (float) values.was(kept.getLast()), least.now()[0]);
          int[] now = indices.now();
          float[] z = values.now();
          for (int r = 0; r < rows; r++) {
            int to = r * KEPT;
            for (int at : entries(indices, KEPT, r)) {
              if (kept.contains(at)) {
                assertEquals(indices.was(at), now[to]);
                assertEquals((float) values.was(at), z[to++]);
              }
            }
            if (to < (r + 1) * KEPT) {
              assertEquals(Sae.END, now[to], "the end of row " + r);
            }
          }
        });
  }

  @Test
  void keepLargest() {
    for (int rows : SIZES) {
      keepLargest(rows, 1 + 2 * rows, null);
    }
    keepLargest(20, 1, null);
    keepLargest(20, 10_000, null);
    keepLargest(20, 50, (r, i) -> (r + i) % 3); // ties: the first in the lists stay
    keepLargest(20, 50, (r, i) -> -1);
    keepLargest(20, 30, (r, i) -> (r * 7 + i * 3) % 5 * 1e-42); // subnormal
    keepLargest(9, 30, (r, i) -> (r * 7 + i * 3) % 5 == 0 ? Float.POSITIVE_INFINITY : 3e38);
  }

  @Test
  void slice() {
    for (int rows : SIZES) {
      for (int[] range : new int[][] {{0, FEATURES}, {7, 7}, {5, 23}}) {
        each(
            (kernels, memory) -> {
              Ints indices = memory.ints(lists(memory, rows, KEPT, FEATURES));
              Matrix values = memory.matrix(rows, KEPT, KEPT);
              Ints toIndices = memory.ints(rows * KEPT, i -> 77);
              Matrix toValues = memory.matrix(rows, KEPT, KEPT);
              kernels
                  .sae()
                  .slice(
                      rows,
                      KEPT,
                      FEATURES,
                      range[0],
                      range[1],
                      indices.buffer,
                      values.buffer,
                      toIndices.buffer,
                      toValues.buffer);
              int[] now = toIndices.now();
              float[] z = toValues.now();
              for (int r = 0; r < rows; r++) {
                int to = r * KEPT;
                for (int at : entries(indices, KEPT, r)) {
                  if (indices.was(at) >= range[0] && indices.was(at) < range[1]) {
                    assertEquals(indices.was(at), now[to]);
                    assertEquals((float) values.was(at), z[to++]);
                  }
                }
                if (to < (r + 1) * KEPT) {
                  assertEquals(Sae.END, now[to]);
                }
              }
            });
      }
    }
  }

  @Test
  void sumsDecodesAndCounts() {
    for (int rows : SIZES) {
      each(
          (kernels, memory) -> {
            int width = 11;
            Ints indices = memory.ints(lists(memory, rows, KEPT, FEATURES));
            Matrix values = memory.matrix(rows, KEPT, KEPT);
            Matrix sums = memory.vector(rows);
            Ints counts = memory.ints(FEATURES, f -> f);
            Matrix wDec = memory.matrix(FEATURES, width, width);
            Matrix y = memory.matrix(rows, width, width);
            Sae sae = kernels.sae();
            sae.sumValues(rows, KEPT, FEATURES, indices.buffer, values.buffer, sums.buffer);
            sae.countFired(rows, KEPT, FEATURES, indices.buffer, values.buffer, counts.buffer);
            sae.decode(
                rows,
                KEPT,
                FEATURES,
                width,
                indices.buffer,
                values.buffer,
                wDec.buffer,
                null,
                y.buffer,
                width);
            sums.check(
                "sumValues",
                KEPT,
                (none, r) -> entries(indices, KEPT, r).stream().mapToDouble(values::was).sum());
            y.check(
                "decode",
                KEPT,
                (r, d) ->
                    entries(indices, KEPT, r).stream()
                        .mapToDouble(at -> values.was(at) * wDec.was(indices.was(at), d))
                        .sum());
            int[] expected = new int[FEATURES];
            Arrays.setAll(expected, f -> f);
            for (int r = 0; r < rows; r++) {
              for (int at : entries(indices, KEPT, r)) {
                expected[indices.was(at)] += values.was(at) > 0 ? 1 : 0;
              }
            }
            assertArrayEquals(expected, counts.now());
          });
    }
  }

  /** whole: with all that may be null; else with nothing of it, the error then in x's place. */
  private void decodeLoss(int rows, int width, boolean whole) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary = new Dictionary(memory, FEATURES, width, 0);
          Matrix x = memory.matrix(rows, width, whole ? stride(width, rows) : width);
          Matrix denominator = memory.vector(new double[] {5.5});
          Ints indices = memory.ints(lists(memory, rows, KEPT, FEATURES));
          Matrix z = memory.matrix(rows, KEPT, KEPT, (r, i) -> Math.max(0, memory.uniform() + .3));
          Matrix error = whole ? memory.matrix(rows, width, width) : x;
          Matrix g = memory.matrix(rows, width, width);
          Matrix squares = memory.vector(rows);
          Matrix dz = memory.matrix(rows, KEPT, KEPT);
          kernels
              .sae()
              .decodeLoss(
                  rows,
                  KEPT,
                  FEATURES,
                  width,
                  x.buffer,
                  x.stride,
                  1.75,
                  whole ? denominator.buffer : null,
                  indices.buffer,
                  z.buffer,
                  dictionary.wDec.buffer,
                  whole ? dictionary.bDec.buffer : null,
                  whole || rows % 2 == 1 ? error.buffer : null,
                  g.buffer,
                  squares.buffer,
                  whole ? dz.buffer : null);
          double[][] e = new double[rows][width];
          double[][] dots = new double[rows][KEPT];
          double[] square = new double[rows];
          double scale = whole ? 1.75 / 5.5 : 1.75;
          for (int r = 0; r < rows; r++) {
            for (int d = 0; d < width; d++) {
              e[r][d] = x.was(r, d) - (whole ? dictionary.bDec.was(d) : 0);
              for (int at : entries(indices, KEPT, r)) {
                e[r][d] -= z.was(at) * dictionary.wDec.was(indices.was(at), d);
              }
              square[r] += e[r][d] * e[r][d];
            }
            for (int i = 0; i < KEPT; i++) {
              dots[r][i] = dz.was(r, i);
            }
            for (int at : entries(indices, KEPT, r)) {
              double dot = 0;
              for (int d = 0; d < width && z.was(at) > 0; d++) {
                dot -= scale * e[r][d] * dictionary.wDec.was(indices.was(at), d);
              }
              dots[r][at % KEPT] = dot;
            }
          }
          double size = KEPT;
          g.check("decodeLoss's g", KEPT, size, (r, d) -> -scale * e[r][d]);
          squares.check("decodeLoss's squares", width + KEPT, size * width, (n, r) -> square[r]);
          if (whole || rows % 2 == 1) {
            error.check("decodeLoss's error", KEPT, size, (r, d) -> e[r][d]);
          }
          if (whole) {
            dz.check("decodeLoss's dz", width + KEPT, size * width, (r, i) -> dots[r][i]);
          }
        });
  }

  @Test
  void decodeLoss() {
    for (int size : POSITIVE) {
      decodeLoss(9, size, true);
      decodeLoss(9, size, false);
      decodeLoss(size, 10, true);
    }
    decodeLoss(0, 10, true);
    decodeLoss(8, 10, false);
    decodeLoss(401, 17, true);
  }

  @Test
  void aDenominatorOfZeroGivesNoGradient() {
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(3, 7, 7);
          Matrix zero = memory.vector(new double[] {0});
          Ints indices = memory.ints(lists(memory, 3, KEPT, FEATURES));
          Matrix z = memory.matrix(3, KEPT, KEPT);
          Matrix wDec = memory.matrix(FEATURES, 7, 7);
          Matrix g = memory.matrix(3, 7, 7);
          Matrix squares = memory.vector(3);
          kernels
              .sae()
              .decodeLoss(
                  3,
                  KEPT,
                  FEATURES,
                  7,
                  x.buffer,
                  7,
                  2,
                  zero.buffer,
                  indices.buffer,
                  z.buffer,
                  wDec.buffer,
                  null,
                  null,
                  g.buffer,
                  squares.buffer,
                  null);
          squares.now();
          for (float value : g.now()) {
            assertEquals(0, Math.abs(value));
          }
        });
  }

  /** given: with dots that are no dots at all, so that it shows whether they are taken. */
  private void backward(int rows, int width, double slope, boolean given) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary = new Dictionary(memory, FEATURES, width, 0);
          Matrix x = memory.matrix(rows, width, stride(width, rows));
          Matrix g = memory.matrix(rows, width, width);
          Ints indices = memory.ints(lists(memory, rows, KEPT, FEATURES));
          Matrix z = memory.matrix(rows, KEPT, KEPT, (r, i) -> Math.max(0, memory.uniform() + .3));
          Matrix dots = memory.matrix(rows, KEPT, KEPT);
          Matrix dWEnc = memory.matrix(FEATURES, width, width);
          Matrix dWDec = memory.matrix(FEATURES, width, width);
          Matrix dBEnc = memory.vector(FEATURES);
          Matrix dBDec = memory.vector(width);
          kernels
              .sae()
              .backward(
                  rows,
                  KEPT,
                  FEATURES,
                  width,
                  x.buffer,
                  x.stride,
                  g.buffer,
                  (float) slope,
                  indices.buffer,
                  z.buffer,
                  given ? dots.buffer : null,
                  dictionary.wEnc.buffer,
                  dictionary.wDec.buffer,
                  dictionary.bDec.buffer,
                  true,
                  dWEnc.buffer,
                  dWDec.buffer,
                  dBEnc.buffer,
                  dBDec.buffer);
          double[][] enc = new double[FEATURES][width];
          double[][] dec = new double[FEATURES][width];
          double[] slopes = new double[FEATURES];
          double[] bias = new double[width];
          for (int r = 0; r < rows; r++) {
            for (int at : entries(indices, KEPT, r)) {
              if (z.was(at) <= 0) {
                continue;
              }
              int f = indices.was(at);
              double dz = (float) slope + (given ? dots.was(at) : 0);
              for (int d = 0; d < width && !given; d++) {
                dz += g.was(r, d) * dictionary.wDec.was(f, d);
              }
              slopes[f] += dz;
              for (int d = 0; d < width; d++) {
                dec[f][d] += z.was(at) * g.was(r, d);
                enc[f][d] += dz * (x.was(r, d) - dictionary.bDec.was(d));
                bias[d] -= dz * dictionary.wEnc.was(f, d);
              }
            }
            for (int d = 0; d < width; d++) {
              bias[d] += g.was(r, d);
            }
          }
          double terms = width + rows;
          double steep = Math.sqrt(width) + Math.abs(slope);
          dWDec.check("saeBackward's dWDec", rows, (f, d) -> dWDec.was(f, d) + dec[f][d]);
          dWEnc.check("saeBackward's dWEnc", terms, steep, (f, d) -> dWEnc.was(f, d) + enc[f][d]);
          dBEnc.check("saeBackward's dBEnc", terms, steep, (none, f) -> dBEnc.was(f) + slopes[f]);
          dBDec.check(
              "saeBackward's dBDec",
              width + rows * KEPT,
              steep,
              (none, d) -> dBDec.was(d) + bias[d]);
        });
  }

  @Test
  void backward() {
    for (int size : POSITIVE) {
      backward(9, size, 0.5, false);
      backward(size, 10, -1, false);
      backward(9, size, 0.5, true);
      backward(size, 10, -1, true);
    }
    backward(0, 10, 1, true);
    backward(401, 17, 0.25, false);
    backward(401, 17, 0.25, true);
  }

  private void thresholdBackward(int rows, int width, float bandwidth) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary = new Dictionary(memory, FEATURES, width, 0.5);
          Matrix g = memory.matrix(rows, width, width);
          Ints indices = memory.ints(lists(memory, rows, KEPT, FEATURES));
          Matrix scores = memory.matrix(rows, KEPT, KEPT);
          Matrix gradient = memory.vector(FEATURES);
          float slope = 0.4f;
          kernels
              .sae()
              .thresholdBackward(
                  rows,
                  KEPT,
                  FEATURES,
                  width,
                  bandwidth,
                  g.buffer,
                  slope,
                  indices.buffer,
                  scores.buffer,
                  dictionary.threshold.buffer,
                  dictionary.wDec.buffer,
                  gradient.buffer);
          double[] sums = new double[FEATURES];
          for (int r = 0; r < rows; r++) {
            for (int at : entries(indices, KEPT, r)) {
              int f = indices.was(at);
              float centre = (float) dictionary.threshold.was(f);
              if (Math.abs((float) scores.was(at) - centre) < bandwidth / 2) {
                double dz = 0;
                for (int d = 0; d < width; d++) {
                  dz += g.was(r, d) * dictionary.wDec.was(f, d);
                }
                sums[f] -= (centre * dz + slope) / bandwidth;
              }
            }
          }
          gradient.check(
              "thresholdBackward",
              width + rows,
              (1 + Math.sqrt(width)) / bandwidth,
              (none, f) -> gradient.was(f) + sums[f]);
        });
  }

  @Test
  void thresholdBackward() {
    for (int size : POSITIVE) {
      thresholdBackward(9, size, 0.5f);
      thresholdBackward(size, 10, 0.9f);
    }
    thresholdBackward(0, 10, 1);
    thresholdBackward(300, 17, 0.3f);
  }

  @Test
  void scaledRowsAndDotProducts() {
    for (int rows : SIZES) {
      for (int cols : new int[] {1, 8, 17, 64}) {
        for (float beta : new float[] {0, 1, -0.5f}) {
          each(
              (kernels, memory) -> {
                Matrix factors = memory.vector(rows);
                Matrix a = memory.matrix(rows, cols, cols);
                Matrix b =
                    memory.matrix(
                        rows, cols, cols, (r, c) -> beta == 0 ? Double.NaN : memory.uniform());
                kernels.sae().scaleRows(rows, cols, factors.buffer, a.buffer, beta, b.buffer);
                b.check(
                    "scaleRows",
                    2,
                    (r, c) -> (beta == 0 ? 0 : beta * b.was(r, c)) + factors.was(r) * a.was(r, c));
              });
        }
        each(
            (kernels, memory) -> {
              Matrix a = memory.matrix(rows, cols, cols);
              Matrix b = memory.matrix(rows, cols, cols);
              Matrix dots = memory.vector(rows);
              kernels.sae().dotRows(rows, cols, a.buffer, b.buffer, dots.buffer);
              dots.check(
                  "dotRows",
                  cols,
                  (none, r) -> {
                    double sum = 0;
                    for (int c = 0; c < cols; c++) {
                      sum += a.was(r, c) * b.was(r, c);
                    }
                    return sum;
                  });
            });
      }
    }
  }

  private void steer(int rows, int width, int features, EditTable edits, boolean inPlace) {
    each(
        (kernels, memory) -> {
          Dictionary dictionary = new Dictionary(memory, features, width, 0.1);
          Matrix x =
              memory.matrix(
                  rows,
                  width,
                  stride(width, rows),
                  (r, c) -> c == 0 && r % 2 == 1 ? -0.0 : memory.uniform());
          Matrix y = inPlace ? x : memory.matrix(rows, width, stride(width, rows + 1));
          Ints indices = memory.ints(rows * features, i -> 77);
          Matrix z = memory.matrix(rows, features, features);
          kernels
              .sae()
              .steerAbove(
                  dictionary.pack(kernels, memory),
                  dictionary.thresholds(),
                  dictionary.wDec.buffer,
                  dictionary.bDec.buffer,
                  rows,
                  x.buffer,
                  x.stride,
                  edits,
                  y.buffer,
                  y.stride,
                  indices.buffer,
                  z.buffer);
          checkEncoded(x, dictionary, indices, z);
          boolean delta = edits.write() == EditTable.Write.DELTA;
          float[][] before = new float[rows][features];
          float[][] after = new float[rows][features];
          for (int r = 0; r < rows; r++) {
            float[] scores = dictionary.scores(x, r);
            for (int f = 0; f < features; f++) {
              before[r][f] = dictionary.activation(f, scores[f]);
              int e = edits.find(f);
              after[r][f] =
                  e < 0
                      ? before[r][f]
                      : edits.stage() == EditTable.Stage.PRE_SELECT
                          ? dictionary.activation(f, edits.apply(e, scores[f]))
                          : edits.apply(e, before[r][f]);
            }
          }
          float[] now = y.now();
          for (int r = 0; r < rows; r++) {
            if (delta && Arrays.equals(before[r], after[r])) {
              float[] row = Arrays.copyOfRange(now, r * y.stride, r * y.stride + width);
              assertArrayEquals(x.wasRow(r), row, "a row that no edit changed");
            }
          }
          y.check(
              "steerAbove " + edits.write(),
              2 * features,
              6,
              (r, d) -> {
                double sum = delta ? x.was(r, d) : dictionary.bDec.was(d);
                for (int f = 0; f < features; f++) {
                  double change = delta ? (double) after[r][f] - before[r][f] : after[r][f];
                  sum += change * dictionary.wDec.was(f, d);
                }
                return sum;
              });
        });
  }

  @Test
  void steer() {
    int salt = 0;
    for (EditTable.Stage stage : EditTable.Stage.values()) {
      for (EditTable.Write write : EditTable.Write.values()) {
        for (int size : POSITIVE) {
          boolean inPlace = salt++ % 3 == 0;
          steer(3, size, 70, SaeConformanceTest.edits(70, stage, write), inPlace);
          steer(3, 11, size, SaeConformanceTest.edits(size, stage, write), inPlace);
        }
        steer(0, 11, 70, SaeConformanceTest.edits(70, stage, write), false);
        steer(67, 21, 530, SaeConformanceTest.edits(530, stage, write), false);
        EditTable none = new EditTable(0);
        none.stage(stage);
        none.write(write);
        steer(5, 17, 70, none, false);
        steer(5, 17, 70, none, true);
      }
    }
  }
}
