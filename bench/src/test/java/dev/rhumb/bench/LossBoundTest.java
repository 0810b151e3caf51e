package dev.rhumb.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.eval.Estimate;
import java.util.Random;
import org.junit.jupiter.api.Test;

class LossBoundTest {
  private static final double[] STRENGTHS = {0, 1, 2, 3};

  /** Users whose NDCG falls by a tenth and whose share rises by .2 with each strength. */
  private static double[][] lines(double start, double slope, double noise, int users, long seed) {
    Random random = new Random(seed);
    double[][] values = new double[STRENGTHS.length][users];
    for (int user = 0; user < users; user++) {
      double own = noise * random.nextGaussian();
      for (int i = 0; i < STRENGTHS.length; i++) {
        values[i][user] = (start + slope * STRENGTHS[i]) * (1 + own);
      }
    }
    return values;
  }

  @Test
  void liesBetweenTwoStrengths() {
    LossBound bound = LossBound.of(STRENGTHS, lines(.2, .1, 0, 4, 1), lines(.5, -.04, 0, 4, 1), .9);
    // .05 of .5 are lost at strength 1.25.
    assertEquals(1.25, bound.strength().value(), 1e-12);
    assertEquals(.325, bound.share().value(), 1e-12);
    assertEquals(1.625, bound.times().value(), 1e-12);
    assertEquals(1.25, bound.strength().low(), 1e-12);
    assertEquals(1.25, bound.strength().high(), 1e-12);
  }

  @Test
  void anIntervalHoldsTheNoiseOfUsers() {
    Random random = new Random(7);
    double[][] ndcg = lines(.5, -.04, 0, 200, 2);
    for (int user = 0; user < 200; user++) {
      double lost = .04 * random.nextGaussian();
      for (int i = 1; i < STRENGTHS.length; i++) {
        ndcg[i][user] += STRENGTHS[i] * lost;
      }
    }
    Estimate strength = LossBound.of(STRENGTHS, lines(.2, .1, .1, 200, 3), ndcg, .9).strength();
    assertTrue(strength.low() < strength.value() && strength.value() < strength.high());
    assertTrue(strength.low() > 1 && strength.high() < 1.7, strength.toString());
  }

  @Test
  void isNoneWhereNothingIsLost() {
    LossBound bound = LossBound.of(STRENGTHS, lines(.2, .1, 0, 4, 1), lines(.5, .01, 0, 4, 1), .9);
    assertTrue(Double.isNaN(bound.times().value()) && Double.isNaN(bound.times().low()));
  }
}
