package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * Runs a model over packed batches, whole or in two halves around a {@link Site}: {@link #runTo},
 * read or edit {@link #state} in place, {@link #finish}. Who wants the last positions alone says so
 * by {@link #runLast} or {@link #finishLast}: the last block then runs for these, but for its keys
 * and values.
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

  /** The last block and the final norm for the last positions; null in a model with padding. */
  private final Forward ending;

  private final Activations endingActivations;
  private final Buffer lastPositions;
  private final int[] lastPosition;
  private boolean lastOnly;
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
    ModelConfig config = model.config();
    last = kernels.allocate(DType.F32, (long) maxSequences * config.width());
    // The keys of padding join a softmax that only the whole pass keeps the sums of.
    boolean ends = config.wiring().padding() == Padding.NONE;
    endingActivations = ends ? new Activations(kernels, config, maxSequences, false) : null;
    ending = ends ? new Forward(kernels, model, endingActivations, this::attendLast) : null;
    lastPositions = kernels.allocate(DType.I32, maxSequences);
    lastPosition = new int[maxSequences];
  }

  /** The model that it runs. */
  public Model model() {
    return model;
  }

  /** Runs all of the model; then {@link #hidden} and {@link #lastHidden} hold. */
  public void run(Batch batch) {
    runTo(Site.LAST, batch);
  }

  /** Runs the model for {@link #lastHidden} alone: {@link #hidden} does not hold then. */
  public void runLast(Batch batch) {
    if (ending == null) {
      run(batch);
      return;
    }
    start(Site.LAST, batch);
    forward.blocks(0, model.config().layers() - 1);
    end();
  }

  /**
   * Runs up to a site; then {@link #state} holds and may be edited, and {@link #finish} goes on
   * from it.
   */
  public void runTo(Site site, Batch batch) {
    start(site, batch);
    forward.blocks(0, site.kind() == Site.Kind.LAST ? model.config().layers() : site.block());
    switch (site.kind()) {
      case BLOCK -> forward.blocks(site.block(), site.block() + 1);
      case MLP -> {
        forward.blocks[site.block()].toActive();
        forward.blocks[site.block()].toMlp();
      }
      case LAST -> forward.finalNorm();
    }
  }

  private void start(Site site, Batch batch) {
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
    lastOnly = false;
    attention.batch = batch;
    forward.embed(batch.rows(), batch.items(), batch.positions(config));
  }

  /**
   * The state at the site of the last {@link #runTo}: (rows, D) contiguous, rows those of its
   * batch. Owned by this object.
   */
  public Buffer state() {
    return switch (site.kind()) {
      case BLOCK -> activations.blocks[site.block()].out();
      case MLP -> activations.blocks[site.block()].mlp();
      case LAST -> hidden();
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

  /** {@link #finish} for {@link #lastHidden} alone: {@link #hidden} does not hold then. */
  public void finishLast() {
    int layers = model.config().layers();
    if (ending == null || site.kind() == Site.Kind.LAST || site.block() == layers - 1) {
      finish();
      return;
    }
    if (site.kind() == Site.Kind.MLP) {
      forward.blocks[site.block()].fromMlp();
    }
    forward.blocks(site.block() + 1, layers - 1);
    end();
  }

  /** The last block and the final norm for the last positions. */
  private void end() {
    int i = model.config().layers() - 1;
    Block block = forward.blocks[i];
    block.toKeys();
    Block end = ending.blocks[i];
    gatherLast(block.a.in(), end.a.in());
    gatherLast(block.a.norm1(), end.a.norm1());
    int n = batch.sequences();
    for (int s = 0; s < n; s++) {
      lastPosition[s] = batch.offset(s + 1) - batch.offset(s) - 1;
    }
    lastPositions.put(0, lastPosition, 0, n);
    ending.steps.rows = n;
    ending.steps.positions = lastPositions;
    end.fromKeys();
    end.fromActive();
    ending.finalNorm();
    lastOnly = true;
  }

  private void attendLast(Block end) {
    ModelConfig config = model.config();
    long d = config.width();
    Block block = forward.blocks[end.index];
    kernels
        .attention()
        .lastEach(
            batch.sequences(),
            batch.offsets(),
            batch.rows(),
            config.heads(),
            config.headWidth(),
            end.a.qkv(),
            3 * d,
            block.keys,
            3 * d,
            block.values,
            3 * d,
            end.a.attention(),
            d);
  }

  /**
   * Hidden states after the final norm, (rows, D) contiguous: what items are scored against. Owned
   * by this object.
   *
   * @throws IllegalStateException when only the last positions have been run
   */
  public Buffer hidden() {
    if (lastOnly) {
      throw new IllegalStateException("only the last positions have been run: ask lastHidden()");
    }
    return activations.hidden;
  }

  /**
   * The rows of {@link #hidden} at the last position of each sequence, (sequences, D) contiguous.
   * Owned by this object.
   */
  public Buffer lastHidden() {
    if (lastOnly) {
      return endingActivations.hidden;
    }
    gatherLast(activations.hidden, last);
    return last;
  }

  private void gatherLast(Buffer from, Buffer to) {
    kernels
        .layers()
        .gather(
            batch.sequences(),
            model.config().width(),
            batch.lastRows(),
            batch.rows(),
            from,
            1,
            0,
            to);
  }

  @Override
  public void close() {
    activations.close();
    attention.close();
    forward.close();
    last.close();
    if (ending != null) {
      ending.close();
      endingActivations.close();
    }
    lastPositions.close();
  }
}
