package dev.rhumb.kernels;

import java.util.Comparator;
import java.util.stream.IntStream;

/** The encode that the EXACT contract names, by brute force: every score, then a sort. */
final class ReferenceEncoder {
  private ReferenceEncoder() {}

  /** Scores of one row by the float32 chain. */
  static float[] scores(float[] x, Matrix wEnc, Matrix bEnc, Matrix bDec) {
    float[] scores = new float[wEnc.rows];
    for (int f = 0; f < scores.length; f++) {
      float acc = (float) bEnc.was(f);
      for (int d = 0; d < x.length; d++) {
        acc = Math.fma(x[d] - (float) bDec.was(d), (float) wEnc.was(f, d), acc);
      }
      scores[f] = acc;
    }
    return scores;
  }

  /** The {@code kept} largest by (value descending, index ascending); -0 equals +0. */
  static int[] top(float[] scores, int kept) {
    // Adding +0 makes one zero of the two. The sort is stable, so that the smaller index leads.
    return IntStream.range(0, scores.length)
        .boxed()
        .sorted(Comparator.comparing((Integer f) -> scores[f] + 0f, Comparator.reverseOrder()))
        .limit(kept)
        .mapToInt(Integer::intValue)
        .toArray();
  }

  /** Activations of all features: max(score, 0) of the kept ones, else 0. */
  static float[] activations(float[] scores, int kept) {
    float[] z = new float[scores.length];
    for (int f : top(scores, kept)) {
      z[f] = scores[f] > 0 ? scores[f] : 0;
    }
    return z;
  }
}
