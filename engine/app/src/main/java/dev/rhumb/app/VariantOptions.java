package dev.rhumb.app;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.sae.SaeVariant;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import picocli.CommandLine.Option;

/** How an autoencoder learns to be sparse. */
final class VariantOptions {
  private static final float L1 = 0.1f;
  private static final float L1_GATED = 0.2f;
  private static final float L0 = 3e-3f;
  private static final float BANDWIDTH = 0.05f;

  @Option(
      names = "--variant",
      paramLabel = "VARIANT",
      defaultValue = "topk",
      description =
          "topk, batch-topk, matryoshka, jump-relu, gated or relu-l1 (default: ${DEFAULT-VALUE}).")
  private String variant;

  @Option(
      names = "--k",
      paramLabel = "K",
      split = ",",
      description =
          "topk, batch-topk, matryoshka: features kept at each position (default: 16); several,"
              + " such as 8,16,32, train one autoencoder each.")
  private List<Integer> kept;

  @Option(
      names = "--selection",
      paramLabel = "SELECTION",
      description = "matryoshka: topk or batch-topk (default: batch-topk).")
  private String selection;

  @Option(
      names = "--prefixes",
      paramLabel = "N",
      split = ",",
      description =
          "matryoshka: features of each prefix, such as 64,256,1024 (default: halves of --features).")
  private List<Integer> prefixes;

  @Option(
      names = "--l0",
      paramLabel = "WEIGHT",
      description = "jump-relu: weight of the features that fire (default: 0.003).")
  private Float l0;

  @Option(
      names = "--bandwidth",
      paramLabel = "WIDTH",
      description = "jump-relu: width of the straight-through rectangle (default: 0.05).")
  private Float bandwidth;

  @Option(
      names = "--l1",
      paramLabel = "WEIGHT",
      description =
          "gated, relu-l1: weight of the activations' sum (default: 0.2 of a gated one, else 0.1).")
  private Float l1;

  @Option(
      names = "--error",
      paramLabel = "ERROR",
      description = "relu-l1: squared or unsquared (default: unsquared).")
  private String error;

  /** Every K that is asked for, or null alone where none is. */
  List<Integer> kept() {
    return kept == null ? Collections.singletonList(null) : kept;
  }

  /**
   * The variant, for a dictionary of so many features; refuses options that it does not take.
   *
   * @param kept one of {@link #kept}
   */
  SaeVariant variant(int features, Integer kept) {
    return switch (variant) {
      case "topk" -> {
        allow(Set.of("--k"));
        yield new SaeVariant.TopK(or(kept, 16));
      }
      case "batch-topk" -> {
        allow(Set.of("--k"));
        yield new SaeVariant.BatchTopK(or(kept, 16));
      }
      case "matryoshka" -> {
        allow(Set.of("--k", "--selection", "--prefixes"));
        yield prefixes == null
            ? SaeVariant.Matryoshka.halves(selected(kept), features)
            : new SaeVariant.Matryoshka(selected(kept), prefixes);
      }
      case "jump-relu" -> {
        allow(Set.of("--l0", "--bandwidth"));
        yield new SaeVariant.JumpRelu(or(l0, L0), or(bandwidth, BANDWIDTH));
      }
      case "gated" -> {
        allow(Set.of("--l1"));
        yield new SaeVariant.Gated(or(l1, L1_GATED));
      }
      case "relu-l1" -> {
        allow(Set.of("--l1", "--error"));
        boolean squared = oneOf("--error", or(error, "unsquared"), "unsquared", "squared");
        yield new SaeVariant.ReluL1(or(l1, L1), squared);
      }
      default ->
          throw new Refusal(
              "--variant " + variant,
              "is unknown",
              "there are topk, batch-topk, matryoshka, jump-relu, gated and relu-l1");
    };
  }

  private SaeVariant selected(Integer kept) {
    int k = or(kept, 16);
    return oneOf("--selection", or(selection, "batch-topk"), "topk", "batch-topk")
        ? new SaeVariant.BatchTopK(k)
        : new SaeVariant.TopK(k);
  }

  /** Whether a value is the second of the two that there are. */
  private static boolean oneOf(String option, String value, String first, String second) {
    if (!value.equals(first) && !value.equals(second)) {
      throw new Refusal(
          option + " " + value, "is unknown", "there are " + first + " and " + second);
    }
    return value.equals(second);
  }

  private void allow(Set<String> taken) {
    refuseUnless(taken, "--k", kept);
    refuseUnless(taken, "--selection", selection);
    refuseUnless(taken, "--prefixes", prefixes);
    refuseUnless(taken, "--l0", l0);
    refuseUnless(taken, "--bandwidth", bandwidth);
    refuseUnless(taken, "--l1", l1);
    refuseUnless(taken, "--error", error);
  }

  private void refuseUnless(Set<String> taken, String option, Object value) {
    if (value != null && !taken.contains(option)) {
      throw new Refusal(
          option,
          "does not go with --variant " + variant,
          "leave it out; that variant takes "
              + String.join(", ", taken.stream().sorted().toList()));
    }
  }

  private static <T> T or(T value, T otherwise) {
    return value == null ? otherwise : value;
  }
}
