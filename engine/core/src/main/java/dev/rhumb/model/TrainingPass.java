package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * Forward and backward pass of an {@link Objective} at every position, averaged over the rows of a
 * batch.
 *
 * <p>Ownership: owns its workspace and the gradients, planned when built; not the model or the
 * kernels. Threads: one at a time.
 */
public final class TrainingPass implements AutoCloseable {
  private final BatchAttention attention;
  private final LossHead head;
  private final Model model;
  private final ModelConfig config;
  private final Activations activations;
  private final Forward forward;
  private final Parameters gradients;
  private final Buffer memory;
  private final Buffer loss;
  private final Buffer dh;
  private final Block.Deltas deltas;
  private final Buffer clip;
  private final Buffer report;
  private final float[] hostReport = new float[2];

  /** A workspace for the full cross-entropy of batches of up to so many rows. */
  public TrainingPass(Kernels kernels, Model model, int maxRows) {
    this(kernels, model, new Objective.CrossEntropy(), null, maxRows);
  }

  /**
   * A workspace for batches of up to so many rows.
   *
   * @param targetCounts how often each item, by id, is a target in training; not read, and may be
   *     null, but for negatives by popularity or in-batch
   * @throws IllegalArgumentException when the objective does not fit the catalogue
   */
  public TrainingPass(
      Kernels kernels, Model model, Objective objective, long[] targetCounts, int maxRows) {
    this.model = model;
    config = model.config();
    if (config.wiring().padding() != Padding.NONE) {
      throw new IllegalArgumentException(
          "training: a model with padding "
              + config.wiring().padding()
              + " was imported to be run; train one without padding");
    }
    head = LossHead.of(kernels, config, objective, targetCounts, maxRows);
    attention = new BatchAttention(kernels, model);
    activations = new Activations(kernels, config, maxRows, true);
    forward = new Forward(kernels, model, activations, attention::forward);
    gradients = new Parameters(kernels, config);
    long n = maxRows;
    long d = config.width();
    long m = config.feedForward();
    long up = config.upWidth();
    long gate = up == m ? 0 : up;
    memory = kernels.allocate(DType.F32, 16 + n * (6 * d + m + gate));
    report = memory.slice(0, hostReport.length);
    loss = report.slice(0, 1);
    clip = report.slice(1, 1);
    dh = memory.slice(16, n * d);
    Buffer active = memory.slice(16 + 6 * n * d, n * m);
    deltas =
        new Block.Deltas(
            dh,
            memory.slice(16 + n * d, n * d),
            memory.slice(16 + 2 * n * d, n * d),
            memory.slice(16 + 3 * n * d, 3 * n * d),
            active,
            gate == 0 ? active : memory.slice(16 + n * (6 * d + m), n * up));
  }

  /**
   * Sets {@link #gradients} to those of the batch's mean loss.
   *
   * @param batch filled by {@link Batch#addWithTargets} and sealed
   * @param key of the dropout masks and the negatives
   * @param stream the number of this step: another one, other masks and negatives
   * @return the mean loss
   */
  public float run(Batch batch, long key, long stream) {
    start(batch, key, stream);
    return read();
  }

  /** {@link #run} without its result, which {@link #read} gives: no device is waited for. */
  public void start(Batch batch, long key, long stream) {
    attention.batch = batch;
    forward.steps.dropout = config.dropout();
    forward.steps.key = key;
    forward.steps.stream = stream;
    forward.embed(batch.rows(), batch.items(), batch.positions(config));
    forward.blocks(0, config.layers());
    forward.finalNorm();

    gradients.flat().zero();
    Buffer dItems = gradients.get(Parameters.ITEMS);
    head.run(batch, activations.hidden, model.itemTable(), key, stream, loss, dh, dItems);
    forward.finalNormBackward(dh, gradients);
    for (int i = config.layers() - 1; i >= 0; i--) {
      forward.blocks[i].backward(deltas, gradients.block(i), attention::backward);
    }
    forward.embedBackward(batch.items(), dh, gradients);
  }

  /** The mean loss of the last {@link #start}; waits for the device. */
  public float read() {
    report.get(0, hostReport, 0, hostReport.length);
    return hostReport[0];
  }

  /** (1): room for the factor that clips the gradients, which {@link #read} reads too. */
  public Buffer clip() {
    return clip;
  }

  /** What {@link #clip} held at the last {@link #read}. */
  public float clipScale() {
    return hostReport[1];
  }

  /** The gradients of the last {@link #run}; owned by this object. */
  public Parameters gradients() {
    return gradients;
  }

  @Override
  public void close() {
    head.close();
    activations.close();
    attention.close();
    forward.close();
    gradients.close();
    memory.close();
  }
}
