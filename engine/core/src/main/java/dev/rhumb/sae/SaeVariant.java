package dev.rhumb.sae;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * How an autoencoder learns to be sparse. With e = x - x^, FVU = sum e^2 / sum (x - mean of x)^2
 * over a batch, the denominator held constant, and s the root of D times the deviation of the rows
 * as training sees them, so that weights of penalties do not depend on the scale or the width of
 * hidden states.
 */
public sealed interface SaeVariant {
  /** What the trained autoencoder is. */
  SaeArchitecture architecture();

  /** Its name on the command line and in files. */
  String label();

  /** K, where K features of a row are kept, on average at least; else 0. */
  default int kept() {
    return 0;
  }

  /** Refuses a variant that does not go with a dictionary of F features. */
  void requireFits(int features);

  /**
   * The K largest scores of each row; loss FVU (Gao et al. 2024, "Scaling and evaluating sparse
   * autoencoders").
   *
   * @param kept K, from 1 to F
   */
  record TopK(int kept) implements SaeVariant {
    @Override
    public SaeArchitecture architecture() {
      return SaeArchitecture.TOP_K;
    }

    @Override
    public String label() {
      return "topk";
    }

    @Override
    public void requireFits(int features) {
      SaeConfig.bounds("kept features K", kept, 1, features);
    }
  }

  /**
   * The B K largest scores of a batch of B rows, so that rows share their features as they need
   * them; loss FVU. Afterwards a feature fires above one threshold: the running mean of the
   * smallest score that a batch kept (Bussmann et al. 2024, "BatchTopK sparse autoencoders").
   *
   * @param kept K, from 1 to F
   */
  record BatchTopK(int kept) implements SaeVariant {
    @Override
    public SaeArchitecture architecture() {
      return SaeArchitecture.JUMP_RELU;
    }

    @Override
    public String label() {
      return "batch-topk";
    }

    @Override
    public void requireFits(int features) {
      SaeConfig.bounds("kept features K", kept, 1, features);
    }
  }

  /**
   * Dictionaries within dictionaries: the mean over prefixes of the FVU of the reconstruction from
   * the prefix's features alone, so that general features come first (Bussmann et al. 2025,
   * "Learning multi-level features with Matryoshka sparse autoencoders").
   *
   * @param selection a {@link TopK} or {@link BatchTopK}, over the whole dictionary
   * @param prefixes how many features each holds, ascending; the last is F
   */
  record Matryoshka(SaeVariant selection, List<Integer> prefixes) implements SaeVariant {
    /** Refuses another selection, and prefixes that do not ascend. */
    public Matryoshka {
      if (!(selection instanceof TopK) && !(selection instanceof BatchTopK)) {
        throw new IllegalArgumentException("SAE: a Matryoshka selects by TopK or BatchTopK");
      }
      prefixes = List.copyOf(prefixes);
      int before = 0;
      for (int prefix : prefixes) {
        if (prefix <= before) {
          throw new IllegalArgumentException(
              "SAE: the Matryoshka prefixes " + prefixes + " must ascend from 1 on");
        }
        before = prefix;
      }
    }

    /** Five prefixes, each half of the next; fewer where the dictionary is too small. */
    public static Matryoshka halves(SaeVariant selection, int features) {
      List<Integer> prefixes = new ArrayList<>();
      for (int n = features; n > 0 && prefixes.size() < 5; n /= 2) {
        prefixes.add(n);
      }
      Collections.reverse(prefixes);
      return new Matryoshka(selection, prefixes);
    }

    @Override
    public SaeArchitecture architecture() {
      return selection.architecture();
    }

    @Override
    public String label() {
      return "matryoshka";
    }

    @Override
    public int kept() {
      return selection.kept();
    }

    @Override
    public void requireFits(int features) {
      selection.requireFits(features);
      if (prefixes.isEmpty() || prefixes.getLast() != features) {
        throw new IllegalArgumentException(
            "SAE: the last Matryoshka prefix of "
                + prefixes
                + " must be the features F = "
                + features);
      }
    }
  }

  /**
   * A threshold for each feature, learnt through straight-through gradients; loss FVU + l0 times
   * the mean number of features that fire (Rajamanoharan et al. 2024, "Jumping ahead").
   *
   * @param l0 the weight of the penalty
   * @param bandwidth width of the rectangle that stands for the step's derivative, in units of s;
   *     thresholds stay at half of it or above
   */
  record JumpRelu(float l0, float bandwidth) implements SaeVariant {
    @Override
    public SaeArchitecture architecture() {
      return SaeArchitecture.JUMP_RELU;
    }

    @Override
    public String label() {
      return "jump-relu";
    }

    @Override
    public void requireFits(int features) {
      SaeConfig.weight("L0 weight", l0);
      SaeConfig.positive("bandwidth", bandwidth);
    }
  }

  /**
   * A gate that says whether a feature fires, and a magnitude that says how strongly: a = W (x -
   * b_dec), fires where a + b_gate > 0, z = max(0, exp(r) a + b_mag); loss FVU + l1 / s times the
   * mean sum of max(0, a + b_gate) + the FVU of reconstructing from that, the decoder held constant
   * (Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders").
   *
   * @param l1 the weight of the penalty
   */
  record Gated(float l1) implements SaeVariant {
    @Override
    public SaeArchitecture architecture() {
      return SaeArchitecture.GATED;
    }

    @Override
    public String label() {
      return "gated";
    }

    @Override
    public void requireFits(int features) {
      SaeConfig.weight("L1 weight", l1);
    }
  }

  /**
   * Rectified scores and an L1 penalty. Squared: FVU + l1 / s times the mean of ||z||_1 (Bricken et
   * al. 2023, "Towards monosemanticity"). Otherwise (the mean of ||e||_2 + l1 times the mean of
   * ||z||_1) / s (Klenitskiy et al. 2025, "Sparse autoencoders for sequential recommendation
   * models").
   *
   * @param l1 the weight of the penalty
   * @param squared whether the error counts squared
   */
  record ReluL1(float l1, boolean squared) implements SaeVariant {
    @Override
    public SaeArchitecture architecture() {
      return SaeArchitecture.STANDARD;
    }

    @Override
    public String label() {
      return "relu-l1";
    }

    @Override
    public void requireFits(int features) {
      SaeConfig.weight("L1 weight", l1);
    }
  }
}
