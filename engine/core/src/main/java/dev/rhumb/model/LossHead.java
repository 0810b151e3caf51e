package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import java.util.Arrays;

/**
 * An {@link Objective} at work on hidden states: it draws what the loss needs and calls the kernel.
 *
 * <p>Ownership: owns its buffers, planned when built; not the kernels. Threads: one at a time.
 */
abstract class LossHead implements AutoCloseable {
  /** Sets the draws of negatives apart from the dropout masks of the same key. */
  private static final long NEGATIVES = 0x4E65_6761_7469_7665L;

  private static final long UNSIGNED = 0xFFFFFFFFL;

  final Kernels kernels;
  final int classes;
  final int width;

  private LossHead(Kernels kernels, ModelConfig config) {
    this.kernels = kernels;
    classes = config.items() + 1;
    width = config.width();
  }

  /**
   * The head of an objective.
   *
   * @param targetCounts how often each item, by id, is a target in training; for proposals by
   *     popularity and in-batch, else not read
   * @throws IllegalArgumentException when the objective does not fit the catalogue
   */
  static LossHead of(
      Kernels kernels, ModelConfig config, Objective objective, long[] targetCounts, int maxRows) {
    return switch (objective) {
      case Objective.CrossEntropy full -> new Full(kernels, config);
      case Objective.SampledSoftmax sampled -> new Sampled(kernels, config, sampled, targetCounts);
      case Objective.BinaryCrossEntropy binary -> new Binary(kernels, config, binary, maxRows);
    };
  }

  /**
   * The mean loss and its gradients.
   *
   * @param hidden (N, D)
   * @param items (V + 1, D)
   * @param loss (1), set
   * @param dh (N, D), set
   * @param dItems (V + 1, D), added to
   */
  abstract void run(
      Batch batch,
      Buffer hidden,
      Buffer items,
      long key,
      long stream,
      Buffer loss,
      Buffer dh,
      Buffer dItems);

  @Override
  public void close() {}

  private static final class Full extends LossHead {
    Full(Kernels kernels, ModelConfig config) {
      super(kernels, config);
    }

    @Override
    void run(
        Batch batch,
        Buffer hidden,
        Buffer items,
        long key,
        long stream,
        Buffer loss,
        Buffer dh,
        Buffer dItems) {
      kernels
          .loss()
          .softmaxCrossEntropy(
              batch.rows(), classes, width, hidden, items, batch.targets(), loss, dh, dItems);
    }
  }

  private static final class Sampled extends LossHead {
    private final Objective.Proposal proposal;
    private final int[] drawn;
    private final float[] biases;
    private final double[] upTo;
    private final float[] correction;
    private final Buffer sample;
    private final Buffer bias;
    private final Buffer targetBias;

    Sampled(
        Kernels kernels,
        ModelConfig config,
        Objective.SampledSoftmax objective,
        long[] targetCounts) {
      super(kernels, config);
      proposal = objective.proposal();
      drawn = new int[objective.negatives()];
      biases = new float[drawn.length];
      upTo = new double[classes];
      for (int c = 1; c < classes; c++) {
        upTo[c] = upTo[c - 1] + weight(c, targetCounts);
      }
      correction = new float[classes];
      for (int c = 1; c < classes; c++) {
        double q = (upTo[c] - upTo[c - 1]) / upTo[classes - 1];
        // What is never drawn is never a target either.
        correction[c] = q == 0 ? 0 : (float) -Math.log(q);
      }
      sample = kernels.allocate(DType.I32, drawn.length);
      bias = kernels.allocate(DType.F32, drawn.length);
      targetBias = kernels.allocate(DType.F32, classes);
      targetBias.put(0, correction, 0, classes);
    }

    private double weight(int c, long[] targetCounts) {
      return switch (proposal) {
        case Objective.Proposal.Uniform uniform -> 1;
        case Objective.Proposal.Popularity popularity ->
            targetCounts[c] == 0 ? 0 : Math.pow(targetCounts[c], popularity.power());
        case Objective.Proposal.InBatch inBatch -> targetCounts[c];
      };
    }

    @Override
    void run(
        Batch batch,
        Buffer hidden,
        Buffer items,
        long key,
        long stream,
        Buffer loss,
        Buffer dh,
        Buffer dItems) {
      for (int j = 0; j < drawn.length; j++) {
        long bits = Philox.bits(key ^ NEGATIVES, stream, 0, j) & UNSIGNED;
        drawn[j] =
            proposal instanceof Objective.Proposal.InBatch
                ? batch.target((int) (bits * batch.rows() >>> 32))
                : itemAt(bits * 0x1p-32 * upTo[classes - 1]);
      }
      int distinct = countRepeats();
      sample.put(0, drawn, 0, distinct);
      bias.put(0, biases, 0, distinct);
      kernels
          .loss()
          .sampledSoftmaxCrossEntropy(
              batch.rows(),
              distinct,
              classes,
              width,
              hidden,
              items,
              batch.targets(),
              sample,
              bias,
              targetBias,
              loss,
              dh,
              dItems);
    }

    /** The item whose span of the summed weights holds a place. */
    private int itemAt(double place) {
      int low = 1;
      int high = classes - 1;
      while (low < high) {
        int middle = (low + high) >>> 1;
        if (upTo[middle] <= place) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      return low;
    }

    /** Leaves each drawn item once, ascending, its bias by how often; returns how many. */
    private int countRepeats() {
      Arrays.sort(drawn);
      int distinct = 0;
      for (int from = 0, to = 0; from < drawn.length; from = to) {
        int item = drawn[from];
        while (to < drawn.length && drawn[to] == item) {
          to++;
        }
        drawn[distinct] = item;
        biases[distinct++] = (float) (Math.log(to - from) + correction[item]);
      }
      return distinct;
    }

    @Override
    public void close() {
      sample.close();
      bias.close();
      targetBias.close();
    }
  }

  private static final class Binary extends LossHead {
    private final int negatives;
    private final float beta;
    private final int[] own;
    private final int[] ownOffsets;
    private final Buffer excluded;
    private final Buffer excludedOffsets;

    Binary(
        Kernels kernels, ModelConfig config, Objective.BinaryCrossEntropy objective, int maxRows) {
      super(kernels, config);
      if (config.items() < 2) {
        throw new IllegalArgumentException(
            "binary cross-entropy needs at least two items, but the catalogue has "
                + config.items());
      }
      negatives = objective.negatives();
      beta = (float) objective.beta(config.items());
      if (objective.ownItems()) {
        own = null;
        ownOffsets = null;
        excluded = null;
        excludedOffsets = null;
      } else {
        // Every sequence has a row at least, and one item more than rows.
        own = new int[2 * maxRows];
        ownOffsets = new int[maxRows + 1];
        excluded = kernels.allocate(DType.I32, own.length);
        excludedOffsets = kernels.allocate(DType.I32, ownOffsets.length);
      }
    }

    @Override
    void run(
        Batch batch,
        Buffer hidden,
        Buffer items,
        long key,
        long stream,
        Buffer loss,
        Buffer dh,
        Buffer dItems) {
      if (own != null) {
        exclude(batch);
      }
      kernels
          .loss()
          .binaryCrossEntropy(
              batch.rows(),
              negatives,
              classes,
              width,
              hidden,
              items,
              batch.targets(),
              own == null ? 0 : batch.sequences(),
              own == null ? null : batch.offsets(),
              excludedOffsets,
              excluded,
              key ^ NEGATIVES,
              stream,
              beta,
              loss,
              dh,
              dItems);
    }

    /** Lists the items of each sequence and its last target, ascending, each once. */
    private void exclude(Batch batch) {
      int end = 0;
      for (int s = 0; s < batch.sequences(); s++) {
        int from = end;
        for (int row = batch.offset(s); row < batch.offset(s + 1); row++) {
          own[end++] = batch.item(row);
        }
        own[end++] = batch.target(batch.offset(s + 1) - 1);
        Arrays.sort(own, from, end);
        int last = from;
        for (int i = from + 1; i < end; i++) {
          if (own[i] != own[last]) {
            own[++last] = own[i];
          }
        }
        end = last + 1;
        if (end - from == classes - 1) {
          throw new IllegalArgumentException(
              "binary cross-entropy draws no item of a user's own, but a history holds all "
                  + (classes - 1)
                  + " items; allow own items, or choose another loss");
        }
        ownOffsets[s + 1] = end;
      }
      excluded.put(0, own, 0, end);
      excludedOffsets.put(0, ownOffsets, 0, batch.sequences() + 1);
    }

    @Override
    public void close() {
      if (own != null) {
        excluded.close();
        excludedOffsets.close();
      }
    }
  }
}
