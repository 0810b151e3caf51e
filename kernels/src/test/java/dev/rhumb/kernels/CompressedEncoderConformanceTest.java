package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** A compressed encoder selects what the EXACT contract names, and steers as any other does. */
class CompressedEncoderConformanceTest extends Conformance {
  CompressedEncoderConformanceTest(Backend backend) {
    super(backend);
  }

  private interface Shape {
    double at(Random random, int feature, int d);
  }

  private static final Shape GAUSSIAN = (random, feature, d) -> random.nextGaussian();

  /** One call; how many chunks of its last row were scored in full, -1 where none tells. */
  private static int encode(
      Kernels kernels, Memory memory, int rows, int width, int features, int kept, Shape shape) {
    Random random = new Random(features * 31L + width);
    Matrix wEnc = memory.matrix(features, width, width, (f, d) -> (float) shape.at(random, f, d));
    Matrix bEnc = memory.vector(features, (none, f) -> (float) (0.1 * shape.at(random, f, 0)));
    Matrix bDec = memory.vector(width);
    Matrix x = memory.matrix(rows, width, stride(width, kept), (r, c) -> random.nextGaussian());
    Ints indices = memory.ints(rows * kept, i -> -1);
    Matrix z = memory.matrix(rows, kept, kept);
    PackedEncoder encoder = memory.own(kernels.sae().encoder(features, width, true));
    kernels.sae().pack(encoder, features, wEnc.buffer, bEnc.buffer, bDec.buffer, null, 0);
    kernels.sae().encodeTopK(encoder, rows, kept, x.buffer, x.stride, indices.buffer, z.buffer);
    int[] now = indices.now();
    float[] values = z.now();
    for (int r = 0; z.judged() && r < rows; r++) {
      float[] scores = ReferenceEncoder.scores(x.wasRow(r), wEnc, bEnc, bDec);
      int[] top = ReferenceEncoder.top(scores, kept);
      for (int i = 0; i < kept; i++) {
        String where = "row " + r + ", place " + i + " of " + kept + " of " + features;
        assertEquals(top[i], now[r * kept + i], where);
        assertEquals(scores[top[i]] > 0 ? scores[top[i]] : 0f, values[r * kept + i], where);
      }
    }
    return kernels.sae() instanceof SimdSae simd ? simd.chunksInFull() : -1;
  }

  private void encode(int rows, int width, int features, int kept) {
    each((kernels, memory) -> encode(kernels, memory, rows, width, features, kept, GAUSSIAN));
  }

  private int shaped(int width, int features, int kept, Shape shape) {
    if (backend == Backend.SCALAR) {
      return -1; // It has nothing beside the weights.
    }
    Kernels kernels = kernels(1);
    try (Memory memory = new Memory(kernels, Memory.Placement.OWNED)) {
      int inFull = encode(kernels, memory, 1, width, features, kept, shape);
      memory.verify();
      return inFull;
    }
  }

  @Test
  void everySize() {
    for (int size : POSITIVE) {
      encode(1, size, 150, 6);
      encode(2, 19, size, Math.min(size, 4));
      encode(1, 9, 200, size);
    }
    encode(0, 9, 200, 5);
    encode(3, 9, 200, 5);
    encode(4, 9, 200, 5);
    encode(1, 20, 4_111, 32);
  }

  @Test
  void manyFeatures() {
    int inFull = shaped(64, 9_000, 32, GAUSSIAN);
    assertTrue(inFull <= 0, inFull + " chunks were scored in full");
    shaped(20, 4_200, 4_200, GAUSSIAN);
  }

  @Test
  void featuresOfAllSizes() {
    for (int kept : new int[] {1, 32, 700}) {
      shaped(12, 4_200, kept, (random, f, d) -> 0.5);
      shaped(12, 4_200, kept, (random, f, d) -> 0.5 + 1e-3 * random.nextGaussian());
      shaped(12, 700, kept, (random, f, d) -> Math.scalb(random.nextGaussian(), f % 120 - 60));
      shaped(12, 700, kept, (random, f, d) -> f % 3 == 0 ? 0 : random.nextGaussian());
      shaped(12, 700, kept, (random, f, d) -> 1e-35 * random.nextGaussian());
      shaped(12, 700, kept, (random, f, d) -> Math.scalb(random.nextGaussian(), 100));
      shaped(12, 700, kept, (random, f, d) -> Float.MIN_VALUE * random.nextInt(5));
    }
  }

  @Test
  void subsetsOfOneEncoder() {
    each(
        (kernels, memory) -> {
          Matrix wEnc = memory.matrix(90, 7, 7);
          Matrix bEnc = memory.vector(90);
          Matrix bDec = memory.vector(7);
          Matrix x = memory.matrix(1, 7, 7);
          PackedEncoder encoder = memory.own(kernels.sae().encoder(90, 7, true));
          for (int step : new int[] {1, 3}) {
            int[] names = IntStream.range(0, 90).filter(f -> f % step == 0).toArray();
            Ints subset = memory.ints(names);
            Ints indices = memory.ints(5, i -> -1);
            Matrix z = memory.matrix(1, 5, 5);
            kernels
                .sae()
                .pack(
                    encoder,
                    90,
                    wEnc.buffer,
                    bEnc.buffer,
                    bDec.buffer,
                    subset.buffer,
                    names.length);
            kernels.sae().encodeTopK(encoder, 1, 5, x.buffer, 7, indices.buffer, z.buffer);
            float[] all = ReferenceEncoder.scores(x.wasRow(0), wEnc, bEnc, bDec);
            float[] scores = new float[names.length];
            for (int i = 0; i < names.length; i++) {
              scores[i] = all[names[i]];
            }
            int[] top = ReferenceEncoder.top(scores, 5);
            int[] expected = IntStream.of(top).map(i -> names[i]).toArray();
            assertArrayEquals(expected, indices.now());
            z.now();
          }
        });
  }

  @Test
  void steersAsAnUncompressedOne() {
    for (EditTable.Stage stage : EditTable.Stage.values()) {
      EditTable edits = new EditTable(3);
      edits.stage(stage);
      edits.put(4, EditTable.Op.SET, 2, 0);
      edits.put(40, EditTable.Op.SCALE, -1, 0);
      edits.put(77, EditTable.Op.ADD, 3, 0);
      each(
          (kernels, memory) -> {
            Matrix wEnc = memory.matrix(130, 9, 9);
            Matrix wDec = memory.matrix(130, 9, 9);
            Matrix bEnc = memory.vector(130);
            Matrix bDec = memory.vector(9);
            Matrix x = memory.matrix(2, 9, 9);
            float[][] results = new float[2][];
            for (int compressed = 0; compressed < 2; compressed++) {
              PackedEncoder encoder = memory.own(kernels.sae().encoder(130, 9, compressed == 1));
              kernels.sae().pack(encoder, 130, wEnc.buffer, bEnc.buffer, bDec.buffer, null, 0);
              Matrix y = memory.matrix(2, 9, 9);
              Ints indices = memory.ints(12, i -> -1);
              Matrix z = memory.matrix(2, 6, 6);
              kernels
                  .sae()
                  .steer(
                      encoder,
                      wDec.buffer,
                      bDec.buffer,
                      2,
                      6,
                      x.buffer,
                      9,
                      edits,
                      y.buffer,
                      9,
                      indices.buffer,
                      z.buffer);
              results[compressed] = y.now();
              indices.now();
              z.now();
            }
            assertArrayEquals(results[0], results[1], 0f);
          });
    }
  }

  @Test
  void scoresThatAreNoNumbersAreRefused() {
    each(
        (kernels, memory) -> {
          Matrix wEnc = memory.matrix(50, 3, 3);
          Matrix bias = memory.vector(50);
          Matrix x = memory.matrix(2, 3, 3, (r, c) -> r == 1 ? Double.NaN : 1);
          PackedEncoder encoder = memory.own(kernels.sae().encoder(50, 3, true));
          kernels.sae().pack(encoder, 50, wEnc.buffer, bias.buffer, bias.buffer, null, 0);
          Ints indices = memory.ints(4, i -> -1);
          Matrix z = memory.matrix(2, 2, 2);
          ArithmeticException e =
              assertThrows(
                  ArithmeticException.class,
                  () -> {
                    kernels.sae().encodeTopK(encoder, 2, 2, x.buffer, 3, indices.buffer, z.buffer);
                    kernels.finish();
                  });
          assertTrue(e.getMessage().contains("row 1"), e.getMessage());
          indices.now();
          z.now();
        });
  }
}
