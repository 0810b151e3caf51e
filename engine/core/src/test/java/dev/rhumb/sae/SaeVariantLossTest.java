package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.BackendReport;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The loss of each variant, and its gradients, against computations in double. */
class SaeVariantLossTest {
  private static final int ROWS = 9;
  private static final int WIDTH = 5;
  private static final int FEATURES = 12;
  private static final double SCALE = 1.7;
  private static final double STEP = 1e-5;

  private record Scenario(Backend backend, SaeVariant variant) {}

  /** Those that run here. */
  private static List<Backend> backends() {
    return Kernels.report().stream()
        .filter(BackendReport::available)
        .map(BackendReport::backend)
        .toList();
  }

  static List<Scenario> scenarios() {
    List<Scenario> scenarios = new ArrayList<>();
    for (Backend backend : backends()) {
      for (SaeVariant variant :
          List.of(
              new SaeVariant.TopK(3),
              new SaeVariant.BatchTopK(3),
              new SaeVariant.Matryoshka(new SaeVariant.TopK(4), List.of(2, 7, 12)),
              new SaeVariant.Matryoshka(new SaeVariant.BatchTopK(4), List.of(5, 12)),
              new SaeVariant.ReluL1(0.3f, true),
              new SaeVariant.ReluL1(0.3f, false),
              new SaeVariant.Gated(0.3f),
              new SaeVariant.JumpRelu(0.05f, 0.3f))) {
        scenarios.add(new Scenario(backend, variant));
      }
    }
    return scenarios;
  }

  private static float[] random(int stream, int count, double deviation) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) (deviation * Philox.normal(11, stream, 0, i));
    }
    return values;
  }

  private static SaeWeights weights(Kernels kernels, SaeVariant variant) {
    SaeWeights weights = new SaeWeights(kernels, FEATURES, WIDTH, SaeTrainer.trained(variant));
    weights.encoder.put(0, random(2, FEATURES * WIDTH, 0.5), 0, FEATURES * WIDTH);
    weights.decoder.put(0, random(3, FEATURES * WIDTH, 0.5), 0, FEATURES * WIDTH);
    weights.encoderBias.put(0, random(4, FEATURES, 0.3), 0, FEATURES);
    weights.decoderBias.put(0, random(5, WIDTH, 0.3), 0, WIDTH);
    if (weights.threshold != null) {
      float[] logarithms = random(6, FEATURES, 0.4);
      for (int f = 0; f < FEATURES; f++) {
        logarithms[f] -= 0.7f; // around one half
      }
      weights.threshold.put(0, logarithms, 0, FEATURES);
    }
    if (weights.magnitudeScale != null) {
      weights.magnitudeScale.put(0, random(7, FEATURES, 0.3), 0, FEATURES);
      weights.magnitudeBias.put(0, random(8, FEATURES, 0.3), 0, FEATURES);
    }
    return weights;
  }

  private static List<Buffer> parts(SaeWeights weights) {
    List<Buffer> parts =
        new ArrayList<>(
            List.of(weights.encoder, weights.decoder, weights.encoderBias, weights.decoderBias));
    if (weights.magnitudeScale != null) {
      parts.add(weights.magnitudeScale);
      parts.add(weights.magnitudeBias);
    }
    return parts;
  }

  @ParameterizedTest
  @MethodSource("scenarios")
  void theWholeLossAgreesWithFiniteDifferences(Scenario scenario) {
    try (Kernels kernels = Kernels.open(scenario.backend, 2);
        SaeWeights weights = weights(kernels, scenario.variant);
        SaeWeights gradients =
            new SaeWeights(kernels, FEATURES, WIDTH, SaeTrainer.trained(scenario.variant));
        SaeLoss loss =
            SaeLoss.of(
                scenario.variant,
                new SaeLoss.Setting(kernels, weights, gradients, 0, 0, SCALE, ROWS));
        Buffer x = Golden.buffer(kernels, random(1, ROWS * WIDTH, 1))) {
      loss.run(x, ROWS, new int[0], 0);
      loss.read();
      Reference reference = new Reference(scenario.variant, weights, x.floats());
      assertEquals(reference.unexplained(), loss.main, 1e-6);
      assertEquals(reference.loss(), loss.main + loss.penalty, 1e-6);
      double largest = 0;
      List<Buffer> parts = parts(gradients);
      for (int p = 0; p < parts.size(); p++) {
        float[] gradient = parts.get(p).floats();
        double ofPart = 0;
        for (int i = 0; i < gradient.length; i++) {
          double difference = reference.slope(p, i);
          ofPart = Math.max(ofPart, Math.abs(difference));
          assertEquals(difference, gradient[i], 2e-5, "part " + p + " element " + i);
        }
        assertTrue(ofPart > 0.01, "part " + p);
        largest = Math.max(largest, ofPart);
      }
      assertTrue(largest > 0.1);
      int[] fired = reference.fired();
      for (int f = 0; f < FEATURES; f++) {
        assertEquals(fired[f], loss.fired[f], "feature " + f);
      }
    }
  }

  @Test
  void theStraightThroughGradientIsThatOfThePaper() {
    for (Backend backend : backends()) {
      SaeVariant.JumpRelu variant = new SaeVariant.JumpRelu(0.05f, 0.3f);
      try (Kernels kernels = Kernels.open(backend, 2);
          SaeWeights weights = weights(kernels, variant);
          SaeWeights gradients =
              new SaeWeights(kernels, FEATURES, WIDTH, SaeTrainer.trained(variant));
          SaeLoss loss =
              SaeLoss.of(
                  variant, new SaeLoss.Setting(kernels, weights, gradients, 0, 0, SCALE, ROWS));
          Buffer x = Golden.buffer(kernels, random(1, ROWS * WIDTH, 1))) {
        // One threshold below what is allowed: it is lifted to half of the bandwidth.
        weights.threshold.put(0, new float[] {-9}, 0, 1);
        loss.run(x, ROWS, new int[0], 0);
        loss.read();
        double width = 0.3f * SCALE;
        assertEquals(Math.log(width / 2), weights.threshold.floats()[0], 1e-6);
        double[] expected =
            new Reference(variant, weights, x.floats()).straightThrough(0.05f, width);
        float[] actual = gradients.threshold.floats();
        double largest = 0;
        for (int f = 0; f < FEATURES; f++) {
          assertEquals(expected[f], actual[f], 2e-5, "feature " + f);
          largest = Math.max(largest, Math.abs(expected[f]));
        }
        assertTrue(largest > 0.05);
      }
    }
  }

  /**
   * The loss in double. What a TopK selects, the denominators, and the decoder in the gates'
   * reconstruction stay as at the start.
   */
  private static final class Reference {
    private final SaeVariant variant;
    private final double[][] parameters = new double[6][];
    private final double[] x;
    private final double variance;
    private final boolean[] selected = new boolean[ROWS * FEATURES];
    private final double[] thresholds = new double[FEATURES];
    private final double[] frozenDecoder;
    private final double[] frozenBias;

    Reference(SaeVariant variant, SaeWeights weights, float[] x) {
      this.variant = variant;
      this.x = doubles(x);
      List<Buffer> parts = parts(weights);
      for (int p = 0; p < parts.size(); p++) {
        parameters[p] = doubles(parts.get(p).floats());
      }
      frozenDecoder = parameters[1].clone();
      frozenBias = parameters[3].clone();
      if (variant instanceof SaeVariant.JumpRelu) {
        float[] logarithms = weights.threshold.floats();
        for (int f = 0; f < FEATURES; f++) {
          thresholds[f] = Math.exp(logarithms[f]);
        }
      }
      double sum = 0;
      for (int d = 0; d < WIDTH; d++) {
        double mean = 0;
        for (int r = 0; r < ROWS; r++) {
          mean += this.x[r * WIDTH + d] / ROWS;
        }
        for (int r = 0; r < ROWS; r++) {
          sum += Math.pow(this.x[r * WIDTH + d] - mean, 2);
        }
      }
      variance = sum;
      SaeVariant selection = variant instanceof SaeVariant.Matryoshka m ? m.selection() : variant;
      if (selection instanceof SaeVariant.TopK topK) {
        for (int r = 0; r < ROWS; r++) {
          List<Integer> row = new ArrayList<>();
          for (int f = 0; f < FEATURES; f++) {
            row.add(r * FEATURES + f);
          }
          select(row, topK.kept());
        }
      } else if (selection instanceof SaeVariant.BatchTopK batchTopK) {
        List<Integer> all = new ArrayList<>();
        for (int i = 0; i < ROWS * FEATURES; i++) {
          all.add(i);
        }
        select(all, ROWS * batchTopK.kept());
      }
    }

    private void select(List<Integer> among, int count) {
      among.sort(Comparator.comparingDouble(i -> -score(i / FEATURES, i % FEATURES)));
      for (int i : among.subList(0, count)) {
        selected[i] = true;
      }
    }

    private double score(int row, int feature) {
      double sum = parameters[2][feature];
      for (int d = 0; d < WIDTH; d++) {
        sum += (x[row * WIDTH + d] - parameters[3][d]) * parameters[0][feature * WIDTH + d];
      }
      return sum;
    }

    private double activation(int row, int f) {
      double score = score(row, f);
      return switch (variant) {
        case SaeVariant.TopK v -> selected[row * FEATURES + f] ? Math.max(score, 0) : 0;
        case SaeVariant.BatchTopK v -> selected[row * FEATURES + f] ? Math.max(score, 0) : 0;
        case SaeVariant.Matryoshka v -> selected[row * FEATURES + f] ? Math.max(score, 0) : 0;
        case SaeVariant.ReluL1 v -> Math.max(score, 0);
        case SaeVariant.JumpRelu v -> score > thresholds[f] ? score : 0;
        case SaeVariant.Gated v -> {
          double a = score - parameters[2][f];
          yield score > 0 ? Math.max(0, Math.exp(parameters[4][f]) * a + parameters[5][f]) : 0;
        }
      };
    }

    /** The error of a row when the first so many features speak. */
    private double[] error(int row, int prefix) {
      double[] error = new double[WIDTH];
      for (int d = 0; d < WIDTH; d++) {
        error[d] = x[row * WIDTH + d] - parameters[3][d];
      }
      for (int f = 0; f < prefix; f++) {
        double z = activation(row, f);
        for (int d = 0; d < WIDTH; d++) {
          error[d] -= z * parameters[1][f * WIDTH + d];
        }
      }
      return error;
    }

    private double unexplained(int prefix) {
      double sum = 0;
      for (int r = 0; r < ROWS; r++) {
        sum += squares(error(r, prefix));
      }
      return sum / variance;
    }

    double unexplained() {
      return unexplained(FEATURES);
    }

    double loss() {
      return switch (variant) {
        case SaeVariant.TopK v -> unexplained();
        case SaeVariant.BatchTopK v -> unexplained();
        case SaeVariant.Matryoshka v ->
            v.prefixes().stream().mapToDouble(this::unexplained).average().getAsDouble();
        case SaeVariant.ReluL1 v -> {
          double l1 = v.l1() * sum() / (ROWS * SCALE);
          if (v.squared()) {
            yield unexplained() + l1;
          }
          double norms = 0;
          for (int r = 0; r < ROWS; r++) {
            norms += Math.sqrt(squares(error(r, FEATURES)));
          }
          yield norms / (ROWS * SCALE) + l1;
        }
        case SaeVariant.JumpRelu v -> {
          double count = 0;
          for (int n : fired()) {
            count += n;
          }
          yield unexplained() + v.l0() * count / ROWS;
        }
        case SaeVariant.Gated v -> unexplained() + gates(v.l1());
      };
    }

    private double sum() {
      double sum = 0;
      for (int r = 0; r < ROWS; r++) {
        for (int f = 0; f < FEATURES; f++) {
          sum += activation(r, f);
        }
      }
      return sum;
    }

    /** The penalty of the gates, and the reconstruction from them through the frozen decoder. */
    private double gates(double l1) {
      double total = 0;
      for (int r = 0; r < ROWS; r++) {
        double[] error = new double[WIDTH];
        for (int d = 0; d < WIDTH; d++) {
          error[d] = x[r * WIDTH + d] - frozenBias[d];
        }
        for (int f = 0; f < FEATURES; f++) {
          double open = Math.max(0, score(r, f));
          total += l1 * open / (ROWS * SCALE);
          for (int d = 0; d < WIDTH; d++) {
            error[d] -= open * frozenDecoder[f * WIDTH + d];
          }
        }
        total += squares(error) / variance;
      }
      return total;
    }

    int[] fired() {
      int[] fired = new int[FEATURES];
      for (int r = 0; r < ROWS; r++) {
        for (int f = 0; f < FEATURES; f++) {
          fired[f] += activation(r, f) > 0 ? 1 : 0;
        }
      }
      return fired;
    }

    double slope(int part, int element) {
      double at = parameters[part][element];
      parameters[part][element] = at + STEP;
      double up = loss();
      parameters[part][element] = at - STEP;
      double down = loss();
      parameters[part][element] = at;
      return (up - down) / (2 * STEP);
    }

    /** Of the logarithms of thresholds: -theta (theta dL/dz + l0) K((s - theta) / e) / e. */
    double[] straightThrough(double l0, double bandwidth) {
      double[] slopes = new double[FEATURES];
      for (int r = 0; r < ROWS; r++) {
        double[] error = error(r, FEATURES);
        for (int f = 0; f < FEATURES; f++) {
          if (Math.abs(score(r, f) - thresholds[f]) < bandwidth / 2) {
            double dz = 0;
            for (int d = 0; d < WIDTH; d++) {
              dz -= 2 / variance * error[d] * parameters[1][f * WIDTH + d];
            }
            slopes[f] -= thresholds[f] * (thresholds[f] * dz + l0 / ROWS) / bandwidth;
          }
        }
      }
      return slopes;
    }

    private static double squares(double[] y) {
      double sum = 0;
      for (double value : y) {
        sum += value * value;
      }
      return sum;
    }

    private static double[] doubles(float[] values) {
      double[] copy = new double[values.length];
      for (int i = 0; i < copy.length; i++) {
        copy[i] = values[i];
      }
      return copy;
    }
  }
}
