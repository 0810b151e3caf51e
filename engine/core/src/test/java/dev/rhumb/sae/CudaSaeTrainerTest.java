package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.BackendReport;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import dev.rhumb.serve.EmulatedMachine;
import dev.rhumb.train.TrainingDivergedException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The training of an autoencoder on the CUDA backend, here under its emulation on the CPU. */
class CudaSaeTrainerTest {
  private static final int STEPS = 12;

  private long live;

  @BeforeEach
  void available() {
    BackendReport report = Kernels.report().get(Backend.CUDA.ordinal());
    assumeTrue(report.available(), report.detail());
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  static List<SaeVariant> variants() {
    return List.of(
        new SaeVariant.TopK(2),
        new SaeVariant.BatchTopK(3),
        new SaeVariant.Matryoshka(new SaeVariant.TopK(4), List.of(10, 30, 70)),
        new SaeVariant.ReluL1(0.3f, true),
        new SaeVariant.ReluL1(0.3f, false),
        new SaeVariant.Gated(0.3f),
        new SaeVariant.JumpRelu(0.05f, 0.3f));
  }

  /** Features die at once, so that the auxiliary loss takes part, and gradients are clipped. */
  private static SaeConfig config(SaeVariant variant, float learningRate) {
    return new SaeConfig(
        new Site(Site.Kind.BLOCK, 0),
        70,
        variant,
        true,
        8,
        0,
        learningRate,
        0,
        64,
        STEPS,
        5,
        1f / 8,
        0.01f,
        0.2f,
        1,
        0.02f,
        1 << 20);
  }

  /** All weights, then the losses of each step. */
  private static float[] train(Backend backend, SaeVariant variant, List<Long> waits) {
    List<Float> losses = new ArrayList<>();
    int[] dead = new int[1];
    SaeListener listener =
        (step, steps, loss, aux, deadCount) -> {
          losses.add((float) loss);
          losses.add((float) aux);
          dead[0] = Math.max(dead[0], deadCount);
          if (backend == Backend.CUDA) {
            waits.add(EmulatedMachine.get("waits"));
          }
        };
    try (Kernels kernels = Kernels.open(backend, 1);
        SparseAutoencoder sae =
            SaeTrainer.train(
                    kernels,
                    new Planted(1),
                    Planted.WIDTH,
                    Map.of(),
                    config(variant, 3e-3f),
                    listener)
                .sae()) {
      assertTrue(dead[0] > 0 || variant.kept() == 0, "no feature was dead");
      List<Float> all = new ArrayList<>();
      for (Buffer part :
          List.of(
              sae.encoderWeights(), sae.decoderWeights(), sae.encoderBias(), sae.decoderBias())) {
        for (float value : part.floats()) {
          all.add(value);
        }
      }
      all.addAll(losses);
      float[] array = new float[all.size()];
      for (int i = 0; i < array.length; i++) {
        array[i] = all.get(i);
      }
      return array;
    }
  }

  @ParameterizedTest
  @MethodSource("variants")
  void followsTheCpuAndRepeatsItself(SaeVariant variant) {
    long before = EmulatedMachine.get("deferred");
    EmulatedMachine.set("deferred", 1);
    try {
      List<Long> waits = new ArrayList<>();
      float[] expected = train(Backend.SIMD, variant, waits);
      float[] found = train(Backend.CUDA, variant, waits);
      float[] again = train(Backend.CUDA, variant, new ArrayList<>());
      assertArrayEquals(found, again);
      assertArrayEquals(expected, found, 2e-5f);
      // A step waits where it ends, for the losses and what fired; and where it starts for what the
      // host makes of weights: a JumpReLU's thresholds, a gate's three vectors.
      long most =
          variant instanceof SaeVariant.Gated ? 4 : variant instanceof SaeVariant.JumpRelu ? 2 : 1;
      for (int step = 1; step < STEPS; step++) {
        assertEquals(most, waits.get(step) - waits.get(step - 1), "waits of step " + step);
      }
    } finally {
      EmulatedMachine.set("deferred", before);
    }
  }

  @Test
  void aRunThatDivergesIsTold() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1)) {
      TrainingDivergedException met =
          assertThrows(
              TrainingDivergedException.class,
              () ->
                  SaeTrainer.train(
                      kernels,
                      new Planted(1),
                      Planted.WIDTH,
                      Map.of(),
                      config(new SaeVariant.TopK(2), 1e38f),
                      SaeListener.NONE));
      assertTrue(met.getMessage().matches(".*step [0-9]+: [^ ].*not finite.*"), met.getMessage());
    }
  }
}
