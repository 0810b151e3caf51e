package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.util.Arrays;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tuple;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/**
 * Selection against a brute-force sort, over scores with many ties. The width is 1 and the input 1,
 * so that a weight is its score.
 */
class SelectionPropertyTest {
  private static List<Kernels> backends;

  @BeforeContainer
  static void open() {
    if (!Conformance.widthExists()) {
      backends = List.of();
      return;
    }
    backends = Conformance.backends().stream().map(b -> Kernels.open(b, 2)).toList();
  }

  @AfterContainer
  static void close() {
    backends.forEach(Kernels::close);
  }

  /** Up to 400 scores: of few values as a rule, sometimes of any. */
  @Provide
  Arbitrary<float[]> scores() {
    Arbitrary<Float> few = Arbitraries.of(-2f, -1f, -0.0f, 0f, 0.5f, 1f, 1e30f, Float.MIN_VALUE);
    Arbitrary<Float> any =
        Arbitraries.integers().map(Float::intBitsToFloat).filter(Float::isFinite);
    return Arbitraries.frequencyOf(
        Tuple.of(3, few.array(float[].class).ofMinSize(1).ofMaxSize(400)),
        Tuple.of(1, any.array(float[].class).ofMinSize(1).ofMaxSize(400)));
  }

  @Property(tries = 300)
  void encodeTopK(@ForAll("scores") float[] scores, @ForAll @IntRange(min = 1, max = 400) int k) {
    int kept = Math.min(k, scores.length);
    int[] expected = ReferenceEncoder.top(scores, kept);
    float[] values = new float[kept];
    for (int i = 0; i < kept; i++) {
      values[i] = scores[expected[i]] > 0 ? scores[expected[i]] : 0;
    }
    for (Kernels kernels : backends) {
      try (Memory memory = new Memory(kernels, Memory.Placement.OWNED)) {
        Matrix x = memory.vector(1.0);
        Matrix wEnc = memory.vector(scores.length, (none, f) -> scores[f]);
        Matrix bEnc = memory.vector(scores.length, (none, f) -> -0.0);
        Matrix bDec = memory.vector(0.0);
        Ints indices = memory.ints(kept, i -> -1);
        Matrix z = memory.vector(kept);
        PackedEncoder encoder = memory.own(kernels.sae().encoder(scores.length, 1));
        kernels.sae().pack(encoder, scores.length, wEnc.buffer, bEnc.buffer, bDec.buffer, null, 0);
        kernels.sae().encodeTopK(encoder, 1, kept, x.buffer, 1, indices.buffer, z.buffer);
        assertArrayEquals(expected, indices.now());
        assertArrayEquals(values, z.now());
      }
    }
  }

  @Property(tries = 300)
  void topItems(
      @ForAll("scores") float[] scores,
      @ForAll @IntRange(min = 1, max = 400) int k,
      @ForAll List<@IntRange(min = -3, max = 403) Integer> excluded) {
    boolean[] barred = new boolean[scores.length];
    for (int item : excluded) {
      if (item >= 0 && item < barred.length) {
        barred[item] = true;
      }
    }
    double[] all = new double[scores.length];
    Arrays.setAll(all, i -> scores[i]);
    List<Integer> order = RankingConformanceTest.ranked(all, barred);
    int[] expected = new int[k];
    float[] best = new float[k];
    for (int i = 0; i < k; i++) {
      expected[i] = i < order.size() ? order.get(i) : 0;
      best[i] = i < order.size() ? scores[expected[i]] : Float.NEGATIVE_INFINITY;
    }
    for (Kernels kernels : backends) {
      try (Memory memory = new Memory(kernels, Memory.Placement.OWNED)) {
        Matrix h = memory.vector(1.0);
        Matrix table = memory.matrix(scores.length, 1, 1, (item, none) -> scores[item]);
        Ints offsets = memory.ints(0, excluded.size());
        Ints out = memory.ints(excluded.size(), excluded::get);
        Ints items = memory.ints(k, i -> -1);
        Matrix values = memory.vector(k);
        kernels
            .ranking()
            .topItems(
                1,
                1,
                scores.length,
                h.buffer,
                1,
                table.buffer,
                k,
                offsets.buffer,
                out.buffer,
                items.buffer,
                values.buffer);
        assertArrayEquals(expected, items.now());
        assertArrayEquals(best, values.now(), 0f);
      }
    }
  }
}
