package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * Runs a model over packed batches, whole or in two halves around a {@link Site}: {@link #runTo},
 * read or edit {@link #state} in place, {@link #finish}.
 *
 * <p>Ownership: owns its workspace, planned when built; not the model or the kernels. Threads: one
 * at a time.
 */
public final class Inference implements AutoCloseable {
  private final Kernels kernels;
  private final Model model;
  private final int maxSequences;
  private final int maxRows;
  private final Activations activations;
  private final BatchAttention attention;
  private final Forward forward;
  private final Buffer last;
  private Site site;
  private Batch batch;

  /** A workspace for batches of up to so many sequences and rows. */
  public Inference(Kernels kernels, Model model, int maxSequences, int maxRows) {
    this.kernels = kernels;
    this.model = model;
    this.maxSequences = maxSequences;
    this.maxRows = maxRows;
    activations = new Activations(kernels, model.config(), maxRows, false);
    attention = new BatchAttention(kernels, model);
    forward = new Forward(kernels, model, activations, attention::forward);
    last = kernels.allocate(DType.F32, (long) maxSequences * model.config().width());
  }

  /** The model that it runs. */
  public Model model() {
    return model;
  }

  /** Runs all of the model; then {@link #hidden} and {@link #lastHidden} hold. */
  public void run(Batch batch) {
    runTo(Site.LAST, batch);
  }

  /**
   * Runs up to a site; then {@link #state} holds and may be edited, and {@link #finish} goes on
   * from it.
   */
  public void runTo(Site site, Batch batch) {
    ModelConfig config = model.config();
    site.requireIn(config);
    if (batch.sequences() > maxSequences || batch.rows() > maxRows) {
      throw new IllegalArgumentException(
          "a batch of "
              + batch.sequences()
              + " sequences and "
              + batch.rows()
              + " rows does not fit a workspace of "
              + maxSequences
              + " and "
              + maxRows);
    }
    this.site = site;
    this.batch = batch;
    attention.batch = batch;
    forward.embed(batch.rows(), batch.items(), batch.positions(config));
    forward.blocks(0, site.kind() == Site.Kind.LAST ? config.layers() : site.block());
    switch (site.kind()) {
      case BLOCK -> forward.blocks(site.block(), site.block() + 1);
      case MLP -> forward.blocks[site.block()].toMlp();
      case LAST -> forward.finalNorm();
    }
  }

  /**
   * The state at the site of the last {@link #runTo}: (rows, D) contiguous, rows those of its
   * batch. Owned by this object.
   */
  public Buffer state() {
    return switch (site.kind()) {
      case BLOCK -> activations.blocks[site.block()].out();
      case MLP -> activations.blocks[site.block()].mlp();
      case LAST -> activations.hidden;
    };
  }

  /**
   * Goes on from the state at the site to the end; then {@link #hidden} and {@link #lastHidden}
   * hold.
   */
  public void finish() {
    if (site.kind() == Site.Kind.LAST) {
      return;
    }
    if (site.kind() == Site.Kind.MLP) {
      forward.blocks[site.block()].fromMlp();
    }
    forward.blocks(site.block() + 1, model.config().layers());
    forward.finalNorm();
  }

  /**
   * Hidden states after the final norm, (rows, D) contiguous: what items are scored against. Owned
   * by this object.
   */
  public Buffer hidden() {
    return activations.hidden;
  }

  /**
   * The rows of {@link #hidden} at the last position of each sequence, (sequences, D) contiguous.
   * Owned by this object.
   */
  public Buffer lastHidden() {
    kernels
        .layers()
        .gather(
            batch.sequences(),
            model.config().width(),
            batch.lastRows(),
            batch.rows(),
            activations.hidden,
            1,
            0,
            last);
    return last;
  }

  @Override
  public void close() {
    activations.close();
    attention.close();
    forward.close();
    last.close();
  }
}
