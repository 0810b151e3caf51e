package dev.rhumb.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.eval.Estimate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class LossBoundTest {
  private static final double[] STRENGTHS = {0, 1, 2, 3};

  /** Lists of users whose share and NDCG are linear in the strength. */
  private static List<LossBound.Lists> lines(double lost, int users) {
    List<LossBound.Lists> lists = new ArrayList<>();
    for (double strength : STRENGTHS) {
      double[] shares = new double[users];
      double[] ndcg = new double[users];
      Arrays.fill(shares, .2 + .1 * strength);
      Arrays.fill(ndcg, .5 - lost * strength);
      lists.add(new LossBound.Lists(shares, ndcg));
    }
    return lists;
  }

  @Test
  void liesBetweenTwoStrengths() {
    List<LossBound.Lists> lists = lines(.04, 4);
    LossBound bound = LossBound.of(lists.getFirst(), STRENGTHS, lists, .9);
    // .05 of .5 are lost at strength 1.25.
    assertEquals(1.25, bound.strength().value(), 1e-12);
    assertEquals(.325, bound.share().value(), 1e-12);
    assertEquals(1.625, bound.times().value(), 1e-12);
    assertEquals(1.25, bound.strength().low(), 1e-12);
    assertEquals(1.25, bound.strength().high(), 1e-12);
  }

  @Test
  void isHeldAgainstTheModelWhateverStrengthZeroCosts() {
    double[] shares = {.1, .1, .1, .1};
    double[] ndcg = {.51, .51, .51, .51};
    LossBound bound = LossBound.of(new LossBound.Lists(shares, ndcg), STRENGTHS, lines(.04, 4), .9);
    // .459 is reached at strength 1.025.
    assertEquals(1.025, bound.strength().value(), 1e-12);
    assertEquals(3.025, bound.times().value(), 1e-12);
    Arrays.fill(ndcg, .6);
    LossBound none = LossBound.of(new LossBound.Lists(shares, ndcg), STRENGTHS, lines(.04, 4), .9);
    assertTrue(Double.isNaN(none.times().value()));
  }

  @Test
  void anIntervalHoldsTheNoiseOfUsers() {
    Random random = new Random(7);
    List<LossBound.Lists> lists = lines(.04, 200);
    for (int user = 0; user < 200; user++) {
      double lost = .04 * random.nextGaussian();
      for (int i = 1; i < STRENGTHS.length; i++) {
        lists.get(i).ndcg()[user] += STRENGTHS[i] * lost;
      }
    }
    Estimate strength = LossBound.of(lists.getFirst(), STRENGTHS, lists, .9).strength();
    assertTrue(strength.low() < strength.value() && strength.value() < strength.high());
    assertTrue(strength.low() > 1 && strength.high() < 1.7, strength.toString());
  }

  @Test
  void isNoneWhereNothingIsLost() {
    List<LossBound.Lists> lists = lines(-.01, 4);
    LossBound bound = LossBound.of(lists.getFirst(), STRENGTHS, lists, .9);
    assertTrue(Double.isNaN(bound.times().value()) && Double.isNaN(bound.times().low()));
  }
}
