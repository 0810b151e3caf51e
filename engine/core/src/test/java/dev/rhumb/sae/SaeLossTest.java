package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SaeLossTest {
  @ParameterizedTest
  @EnumSource(Backend.class)
  void theWorkedExample(Backend backend) {
    assumeTrue(Kernels.report().get(backend.ordinal()).available());
    try (Kernels kernels = Kernels.open(backend, 1);
        SaeWeights weights =
            new SaeWeights(kernels, Golden.FEATURES, Golden.WIDTH, SaeArchitecture.TOP_K);
        SaeWeights gradients =
            new SaeWeights(kernels, Golden.FEATURES, Golden.WIDTH, SaeArchitecture.TOP_K);
        SaeLoss loss =
            SaeLoss.of(
                new SaeVariant.TopK(Golden.KEPT),
                new SaeLoss.Setting(kernels, weights, gradients, 2, 1, 1, Golden.ROWS));
        Buffer x = Golden.x(kernels)) {
      Golden.fill(weights.encoder, weights.decoder, weights.encoderBias, weights.decoderBias);
      loss.run(x, Golden.ROWS, new int[0], 0);
      loss.read();
      assertEquals(.65187948, loss.main, 1e-7);
      assertEquals(0, loss.aux);
      assertArrayEquals(new int[] {1, 1, 1, 1, 2, 0}, loss.fired);
      // The example's gradients are those of the mean over rows of the squared error.
      double factor = 61.0 / 3 / Golden.ROWS;
      double[] bias = {.6484375, -.802083333, -.916666667, -.583333333};
      double[] encoderBias = {-.020833333, .166666667, .75, .729166667, 1, 0};
      near(bias, factor, gradients.decoderBias);
      near(encoderBias, factor, gradients.encoderBias);
      double[] encoder = {
        .005208333,
        .010416667,
        -.052083333,
        -.020833333,
        -.041666667,
        -.083333333,
        .416666667,
        .166666667,
        1.3125,
        .75,
        -.375,
        -1.5,
        .546875,
        1.822916667,
        -1.09375,
        .364583333,
        1.208333333,
        1.8125,
        -1.041666667,
        -.645833333,
        0,
        0,
        0,
        0
      };
      near(encoder, factor, gradients.encoder);
      double[] decoder = {
        1.329752604,
        .545898438,
        -1.133789062,
        -.797851562,
        1.11328125,
        .45703125,
        -.94921875,
        -.66796875,
        1.21875,
        .270833333,
        -.8125,
        .8125,
        .34375,
        -1.40625,
        -1.09375,
        -1.59375,
        2.376302083,
        -1.634114583,
        -2.845052083,
        -1.07421875,
        0,
        0,
        0,
        0
      };
      near(decoder, factor, gradients.decoder);
      loss.run(x, Golden.ROWS, new int[] {2, 5}, 2);
      loss.read();
      assertEquals(.65187948, loss.main, 1e-7);
      assertEquals(2.97519187, loss.aux, 1e-6);
    }
  }

  private static void near(double[] expected, double factor, Buffer actual) {
    float[] values = actual.floats();
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], values[i] * factor, 2e-6, "element " + i);
    }
  }

  /** One parameter after another is moved in a computation in double. */
  @ParameterizedTest
  @EnumSource(Backend.class)
  void theGradientOfTheWholeLossAgreesWithFiniteDifferences(Backend backend) {
    assumeTrue(Kernels.report().get(backend.ordinal()).available());
    int rows = 7;
    int width = 5;
    int features = 11;
    int kept = 3;
    int[] dead = {1, 4, 6, 9};
    int auxKept = 6; // more than are dead: the factor for few dead ones shows
    float auxWeight = 0.7f;
    try (Kernels kernels = Kernels.open(backend, 2);
        SaeWeights weights = new SaeWeights(kernels, features, width, SaeArchitecture.TOP_K);
        SaeWeights gradients = new SaeWeights(kernels, features, width, SaeArchitecture.TOP_K);
        SaeLoss loss =
            SaeLoss.of(
                new SaeVariant.TopK(kept),
                new SaeLoss.Setting(kernels, weights, gradients, auxKept, auxWeight, 1, rows));
        Buffer x = Golden.buffer(kernels, random(1, rows * width, 1))) {
      weights.encoder.put(0, random(2, features * width, 0.5), 0, features * width);
      weights.decoder.put(0, random(3, features * width, 0.5), 0, features * width);
      weights.encoderBias.put(0, random(4, features, 0.3), 0, features);
      weights.decoderBias.put(0, random(5, width, 0.3), 0, width);
      loss.run(x, rows, dead, dead.length);
      loss.read();
      Reference reference = new Reference(weights, x.floats(), kept, dead, auxKept, auxWeight);
      assertEquals(reference.main(), loss.main, 1e-6);
      assertEquals(reference.aux(), loss.aux, 1e-6);
      assertTrue(loss.aux > 0.01);
      List<Buffer> parts =
          List.of(
              gradients.encoder, gradients.decoder, gradients.encoderBias, gradients.decoderBias);
      double largest = 0;
      for (int p = 0; p < parts.size(); p++) {
        float[] gradient = parts.get(p).floats();
        for (int i = 0; i < gradient.length; i++) {
          double difference = reference.slope(p, i);
          largest = Math.max(largest, Math.abs(difference));
          assertEquals(difference, gradient[i], 1e-5, "part " + p + " element " + i);
        }
      }
      assertTrue(largest > 0.1);
      // The auxiliary gradient reaches the encoder of dead features.
      float[] whole = gradients.encoder.floats();
      loss.run(x, rows, dead, 0);
      loss.read();
      float[] main = gradients.encoder.floats();
      for (int f : dead) {
        assertTrue(Math.abs(whole[f * width] - main[f * width]) > 1e-4, "feature " + f);
      }
    }
  }

  private static float[] random(int stream, int count, double deviation) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) (deviation * Philox.normal(9, stream, 0, i));
    }
    return values;
  }

  /**
   * The loss in double; what is selected, the denominators and the detached error stay as at the
   * start.
   */
  private static final class Reference {
    private static final double STEP = 1e-5;

    private final double[][] parameters;
    private final double[] x;
    private final int rows;
    private final int width;
    private final List<int[]> selected = new ArrayList<>();
    private final List<int[]> auxSelected = new ArrayList<>();
    private final double variance;
    private final double[] error;
    private final double auxFactor;

    Reference(SaeWeights weights, float[] x, int kept, int[] dead, int auxKept, double auxWeight) {
      width = weights.width;
      rows = x.length / width;
      this.x = doubles(x);
      parameters =
          new double[][] {
            doubles(weights.encoder.floats()),
            doubles(weights.decoder.floats()),
            doubles(weights.encoderBias.floats()),
            doubles(weights.decoderBias.floats())
          };
      int[] all = new int[weights.features];
      for (int f = 0; f < all.length; f++) {
        all[f] = f;
      }
      for (int r = 0; r < rows; r++) {
        selected.add(largest(r, all, kept));
        auxSelected.add(largest(r, dead, Math.min(auxKept, dead.length)));
      }
      variance = variance(this.x);
      error = residual(selected, this.x, true);
      auxFactor = auxWeight * Math.min(1, dead.length / (double) auxKept) / variance(error);
    }

    double main() {
      return squares(residual(selected, x, true)) / variance;
    }

    double aux() {
      return squares(residual(auxSelected, error, false)) * auxFactor;
    }

    double slope(int part, int element) {
      double at = parameters[part][element];
      parameters[part][element] = at + STEP;
      double up = main() + aux();
      parameters[part][element] = at - STEP;
      double down = main() + aux();
      parameters[part][element] = at;
      return (up - down) / (2 * STEP);
    }

    private double pre(int row, int feature) {
      double sum = parameters[2][feature];
      for (int d = 0; d < width; d++) {
        sum += (x[row * width + d] - parameters[3][d]) * parameters[0][feature * width + d];
      }
      return sum;
    }

    private int[] largest(int row, int[] among, int count) {
      return Arrays.stream(among)
          .boxed()
          .sorted((a, b) -> Double.compare(pre(row, b), pre(row, a)))
          .limit(count)
          .mapToInt(Integer::intValue)
          .toArray();
    }

    private double[] residual(List<int[]> chosen, double[] target, boolean bias) {
      double[] residual = target.clone();
      for (int r = 0; r < rows; r++) {
        for (int d = 0; d < width; d++) {
          if (bias) {
            residual[r * width + d] -= parameters[3][d];
          }
          for (int f : chosen.get(r)) {
            residual[r * width + d] -= Math.max(0, pre(r, f)) * parameters[1][f * width + d];
          }
        }
      }
      return residual;
    }

    private double variance(double[] y) {
      double sum = 0;
      for (int d = 0; d < width; d++) {
        double mean = 0;
        for (int r = 0; r < rows; r++) {
          mean += y[r * width + d] / rows;
        }
        for (int r = 0; r < rows; r++) {
          sum += Math.pow(y[r * width + d] - mean, 2);
        }
      }
      return sum;
    }

    private static double squares(double[] y) {
      return Arrays.stream(y).map(v -> v * v).sum();
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
