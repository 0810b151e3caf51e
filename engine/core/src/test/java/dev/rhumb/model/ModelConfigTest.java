package dev.rhumb.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Which architectures there are, and what is refused. */
class ModelConfigTest {
  /** Training states of earlier builds know their architecture by this text. */
  @Test
  void theUsualWiringLeavesTheTextAsItWas() {
    assertEquals(
        "ModelConfig[style=SASREC, items=10, width=8, layers=2, heads=2, maxLength=20,"
            + " feedForward=8, dropout=0.1, normEps=1.0E-8]",
        ModelConfig.of(BlockStyle.SASREC, 10, 8, 2, 2, 20, 0.1f).toString());
    Wiring other = new Wiring(Activation.SILU, true, false, true, Padding.NONE);
    assertTrue(
        new ModelConfig(BlockStyle.GPT2, 10, 8, 2, 2, 20, 8, 0, 1e-5f, other)
            .toString()
            .contains("wiring="));
  }

  @ParameterizedTest
  @CsvSource({"SASREC,64", "GPT2,256", "POST_LN,256", "MODERN,168"})
  void innerWidthOfTheMlp(BlockStyle style, int width) {
    assertEquals(width, ModelConfig.of(style, 10, 64, 2, 2, 20, 0).feedForward());
  }

  @Test
  void theGatedMlpHasAsManyParametersAsThePlainOne() {
    for (int width : new int[] {48, 64, 100, 256, 768}) {
      ModelConfig modern = ModelConfig.of(BlockStyle.MODERN, 10, width, 1, 1, 20, 0);
      assertEquals(0, modern.feedForward() % 8);
      assertEquals(8.0 * width * width, 3.0 * modern.feedForward() * width, 12.0 * width);
    }
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void labelsComeBack(BlockStyle style) {
    assertEquals(style, BlockStyle.of(style.label()));
  }

  @ParameterizedTest
  @CsvSource({
    "MODERN,10,12,4,20,a head's width of 3 must be even",
    "GPT2,10,12,5,20,no multiple of 5 heads",
    "GPT2,10,8193,1,20,width 8193 must be from 1 to 8192",
    "GPT2,10,12,1,65537,max length 65537 must be from 1 to 65536",
    "GPT2,10000000,768,12,20,lower the width",
  })
  void impossibleArchitecturesAreRefused(
      BlockStyle style, int items, int width, int heads, int length, String said) {
    IllegalArgumentException refusal =
        assertThrows(
            IllegalArgumentException.class,
            () -> ModelConfig.of(style, items, width, 1, heads, length, 0));
    assertTrue(refusal.getMessage().contains(said), refusal.getMessage());
  }

  @Test
  void wiringThatAStyleLacksIsRefused() {
    Wiring plain = new Wiring(Activation.RELU, false, true, true, Padding.NONE);
    assertThrows(
        IllegalArgumentException.class,
        () -> new ModelConfig(BlockStyle.MODERN, 10, 8, 1, 1, 20, 8, 0, 1e-5f, plain));
    Wiring padded = new Wiring(Activation.RELU, false, true, true, Padding.LEFT);
    assertThrows(
        IllegalArgumentException.class,
        () -> new ModelConfig(BlockStyle.POST_LN, 10, 8, 1, 1, 20, 8, 0, 1e-5f, padded));
  }

  @Test
  void modelsWithPaddingAreNotTrained() {
    Wiring padded = new Wiring(Activation.RELU, true, false, true, Padding.LEFT);
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Model model =
            Model.initialise(
                kernels,
                new ModelConfig(BlockStyle.GPT2, 10, 8, 1, 1, 20, 8, 0, 1e-5f, padded),
                1)) {
      IllegalArgumentException refusal =
          assertThrows(IllegalArgumentException.class, () -> new TrainingPass(kernels, model, 16));
      assertTrue(refusal.getMessage().contains("imported to be run"), refusal.getMessage());
    }
  }

  /** Every style at D 768 and T 1024: both backends agree on the gradient's norm and the state. */
  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void wideAndLong(BlockStyle style) {
    int[] items = new int[33];
    for (int i = 0; i < items.length; i++) {
      items[i] = 1 + i * 7 % 20;
    }
    float[][] states = new float[2][];
    for (Backend backend : new Backend[] {Backend.SCALAR, Backend.SIMD}) {
      try (Kernels kernels = Kernels.open(backend, 2);
          Model model =
              Model.initialise(kernels, ModelConfig.of(style, 20, 768, 1, 6, 1024, 0), 4);
          Inference inference = new Inference(kernels, model, 1, items.length);
          Batch batch = new Batch(kernels, 1, items.length)) {
        batch.add(items, 0, items.length);
        batch.seal();
        inference.run(batch);
        states[backend == Backend.SCALAR ? 0 : 1] = inference.lastHidden().floats();
      }
    }
    for (int i = 0; i < states[0].length; i++) {
      assertEquals(states[0][i], states[1][i], 2e-4, style + " at " + i);
    }
  }
}
