package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import java.util.Arrays;

/**
 * Runs a model for the last position of one history, by the same operations on the same memory
 * whatever the history, so that they can be {@linkplain Kernels#record recorded}. All of T + 1 rows
 * run: the history's items are the last of them, and padding, a sequence of its own, is before.
 * What is asked for is thus always in the last row, and the last block runs for that alone, but for
 * its keys and values.
 *
 * <p>Run whole, or in two halves around a {@link Site}: {@link #runTo}, read or edit {@link #state}
 * in place, {@link #finish}. For models whose positions count from the first item.
 *
 * <p>Ownership: owns its workspace, planned when built; not the model, the kernels or the input.
 * Threads: one at a time.
 */
public final class WindowInference implements AutoCloseable {
  /** Sequences: padding, then the history. */
  private static final int SEQUENCES = 2;

  private final Kernels kernels;
  private final ModelConfig config;
  private final int rows;
  private final Activations activations;
  private final Forward forward;

  /** The same for the last two rows, as attention wants a query for each sequence. */
  private final Forward ending;

  private final Block last;
  private final Block end;
  private final int[] encoded;
  private Buffer items;
  private Buffer positions;
  private Buffer offsets;
  private final Buffer hidden;

  // The last row of each block's output and of what its MLP gives.
  private final Buffer[] outs;
  private final Buffer[] mlps;
  private Site site;

  /**
   * A workspace for histories of up to the model's T items.
   *
   * @throws IllegalArgumentException when the model's positions count from the end (its padding)
   */
  public WindowInference(Kernels kernels, Model model) {
    config = model.config();
    if (config.wiring().padding() != Padding.NONE) {
      throw new IllegalArgumentException(
          "a window's first items would move with its length: the model counts positions from the"
              + " end (padding "
              + config.wiring().padding()
              + ")");
    }
    this.kernels = kernels;
    rows = config.maxLength() + 1;
    int layers = config.layers();
    activations = new Activations(kernels, config, rows, false);
    forward = new Forward(kernels, model, activations, this::attend);
    Activations ends = new Activations(activations, config, rows, SEQUENCES);
    ending = new Forward(kernels, model, ends, this::attendLast);
    last = forward.blocks[layers - 1];
    end = ending.blocks[layers - 1];
    encoded = new int[ints(config)];
    hidden = Activations.last(activations.hidden, rows, 1);
    outs = new Buffer[layers];
    mlps = new Buffer[layers];
    for (int i = 0; i < layers; i++) {
      outs[i] = Activations.last(activations.blocks[i].out(), rows, 1);
      mlps[i] = Activations.last(activations.blocks[i].mlp(), rows, 1);
    }
  }

  /** Elements of the input of a model, int32. */
  public static int ints(ModelConfig config) {
    return 2 * (config.maxLength() + 1) + SEQUENCES + 1;
  }

  /**
   * Says where the input is.
   *
   * @param input {@link #ints} elements of int32 on the kernels' device; not owned
   */
  public void readFrom(Buffer input) {
    items = input.slice(0, rows);
    positions = input.slice(rows, rows);
    offsets = input.slice(2L * rows, SEQUENCES + 1);
    ending.steps.rows = SEQUENCES;
    ending.steps.positions = Activations.last(positions, rows, SEQUENCES);
  }

  /**
   * Writes the input of a history, {@code source[from .. from + n - 1]}, oldest first.
   *
   * @param n from 1 to T
   * @param input {@link #ints} elements of int32 on the host
   */
  public void write(int[] source, int from, int n, Buffer input) {
    int first = rows - n;
    System.arraycopy(source, from, encoded, first, n);
    for (int i = 0; i < n; i++) {
      encoded[rows + first + i] = i;
    }
    Arrays.fill(encoded, 0, first, 0);
    Arrays.fill(encoded, rows, rows + first, 0);
    encoded[2 * rows + 1] = first;
    encoded[2 * rows + 2] = rows;
    input.put(0, encoded, 0, encoded.length);
  }

  /** Runs all of the model; then {@link #hidden} holds. */
  public void run() {
    runTo(Site.LAST);
  }

  /**
   * Runs up to a site; then {@link #state} holds and may be edited, and {@link #finish} goes on
   * from it.
   */
  public void runTo(Site site) {
    this.site = site.requireIn(config);
    forward.embed(rows, items, positions);
    if (isBeforeLastBlock()) {
      forward.blocks(0, site.block());
      Block block = forward.blocks[site.block()];
      block.toActive();
      if (site.kind() == Site.Kind.MLP) {
        block.toMlp();
      } else {
        block.fromActive();
      }
      return;
    }
    forward.blocks(0, config.layers() - 1);
    lastBlockToActive();
    if (site.kind() == Site.Kind.MLP) {
      end.toMlp();
      return;
    }
    end.fromActive();
    if (site.kind() == Site.Kind.LAST) {
      ending.finalNorm();
    }
  }

  /** The last position's state at the site of the last {@link #runTo}, (D). Owned by this. */
  public Buffer state() {
    return switch (site.kind()) {
      case BLOCK -> outs[site.block()];
      case MLP -> mlps[site.block()];
      case LAST -> hidden;
    };
  }

  /** Goes on from the state at the site to the end; then {@link #hidden} holds. */
  public void finish() {
    if (site.kind() == Site.Kind.LAST) {
      return;
    }
    if (isBeforeLastBlock()) {
      if (site.kind() == Site.Kind.MLP) {
        forward.blocks[site.block()].fromMlp();
      }
      forward.blocks(site.block() + 1, config.layers() - 1);
      lastBlockToActive();
      end.fromActive();
    } else if (site.kind() == Site.Kind.MLP) {
      end.fromMlp();
    }
    ending.finalNorm();
  }

  /** The last position's hidden state after the final norm, (D). Owned by this object. */
  public Buffer hidden() {
    return hidden;
  }

  private boolean isBeforeLastBlock() {
    return site.kind() != Site.Kind.LAST && site.block() < config.layers() - 1;
  }

  private void lastBlockToActive() {
    last.toKeys();
    end.fromKeys();
  }

  private void attend(Block block) {
    long d = config.width();
    kernels
        .attention()
        .forward(
            SEQUENCES,
            offsets,
            rows,
            config.heads(),
            config.headWidth(),
            block.a.qkv(),
            3 * d,
            block.keys,
            3 * d,
            block.values,
            3 * d,
            0,
            0,
            0,
            block.a.attention(),
            d,
            block.a.logSumExp());
  }

  private void attendLast(Block block) {
    long d = config.width();
    kernels
        .attention()
        .lastEach(
            SEQUENCES,
            offsets,
            rows,
            config.heads(),
            config.headWidth(),
            block.a.qkv(),
            3 * d,
            last.keys,
            3 * d,
            last.values,
            3 * d,
            block.a.attention(),
            d);
  }

  @Override
  public void close() {
    forward.close();
    ending.close();
    activations.close();
  }
}
