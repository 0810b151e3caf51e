package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * Runs a model over one sequence, item by item, keeping every block's keys and values (at most T
 * rows). The states are those of {@link Inference} over the same items. In a model with {@link
 * Padding} every item moves all others: there all are run again, when a state is asked for.
 *
 * <p>Of an item that came, the last block's keys and values are run at once and the rest of that
 * block only when somebody asks for what comes of it.
 *
 * <p>Ownership: owns its workspace, planned when built; not the model or the kernels. Threads: one
 * at a time.
 */
public final class IncrementalInference implements AutoCloseable {
  private final Kernels kernels;
  private final Model model;
  private final Activations plain;
  private final Forward forward;
  private final Activations edited;
  private final Forward editedForward;
  private final Buffer memory;
  private final Buffer[] keys;
  private final Buffer[] values;
  private final Row[] rows;
  private final Row editedRow;
  private final Row keptRow;
  private final PadRows padding;
  private final Row[] padRows;
  private final int[] items;
  private final Buffer places;
  private final Buffer item;
  private final Buffer place;
  private final int[] one = new int[1];
  private int length;

  /** The items that the kept keys and values know, 0 to length. */
  private int run;

  /** Where the item that runs, or ran last, stands in the window. */
  private int at;

  /** Whether the last block has been run for it to the end. */
  private boolean whole = true;

  /** A key and a value, (D) each. */
  private record Row(Buffer key, Buffer value) {}

  /** A workspace for sequences of up to the model's T items. */
  public IncrementalInference(Kernels kernels, Model model) {
    this.kernels = kernels;
    this.model = model;
    ModelConfig config = model.config();
    long d = config.width();
    long cached = (long) config.maxLength() * d;
    plain = new Activations(kernels, config, 1, true);
    forward = new Forward(kernels, model, plain, this::attend);
    edited = new Activations(kernels, config, 1, false);
    editedForward = new Forward(kernels, model, edited, this::attend);
    memory = kernels.allocate(DType.F32, 2 * config.layers() * cached + 2 * d);
    keys = new Buffer[config.layers()];
    values = new Buffer[config.layers()];
    rows = new Row[config.layers()];
    for (int i = 0; i < keys.length; i++) {
      keys[i] = memory.slice(2 * i * cached, cached);
      values[i] = memory.slice((2 * i + 1) * cached, cached);
      rows[i] = new Row(forward.blocks[i].keys, forward.blocks[i].values);
    }
    long end = 2 * config.layers() * cached;
    keptRow = new Row(memory.slice(end, d), memory.slice(end + d, d));
    editedRow = new Row(editedForward.blocks[0].keys, editedForward.blocks[0].values);
    padding = PadRows.of(kernels, model);
    padRows = new Row[padding == null ? 0 : keys.length];
    for (int i = 0; i < padRows.length; i++) {
      padRows[i] = new Row(padding.key(i), padding.value(i));
    }
    items = new int[config.maxLength()];
    places = kernels.allocate(DType.I32, 2);
    item = places.slice(0, 1);
    place = places.slice(1, 1);
  }

  /** Items so far. */
  public int length() {
    return length;
  }

  /** Forgets all items. */
  public void clear() {
    length = 0;
    run = 0;
  }

  /**
   * Runs the next item; then {@link #hidden} and {@link #state} are those of its position.
   *
   * @throws IllegalStateException when T items are there already
   */
  public void append(int item) {
    ModelConfig config = model.config();
    if (length == config.maxLength()) {
      throw new IllegalStateException(
          "the sequence holds the model's " + length + " items already");
    }
    items[length++] = item;
    if (padding == null) {
      run(item, run++);
    }
  }

  /** In a model with padding, runs all items anew where the last ones have not been. */
  private void catchUp() {
    if (run == length) {
      return;
    }
    int pads = model.config().maxLength() - length;
    for (int t = 0; t < pads; t++) {
      putPlace(t);
      for (int i = 0; i < keys.length; i++) {
        keep(i, padRows[i]);
      }
    }
    for (run = 0; run < length; run++) {
      run(items[run], pads + run);
    }
  }

  private void run(int item, int place) {
    one[0] = item;
    this.item.put(0, one, 0, 1);
    putPlace(place);
    forward.embed(1, this.item, this.place);
    for (int i = 0; i < keys.length; i++) {
      Block block = forward.blocks[i];
      block.toKeys();
      keep(i, rows[i]);
      if (i < keys.length - 1) {
        block.fromKeys();
        block.fromActive();
      }
    }
    whole = false;
  }

  /** Runs what is left of the last block. */
  private void complete() {
    if (!whole) {
      Block last = forward.blocks[keys.length - 1];
      last.fromKeys();
      last.fromActive();
      forward.finalNorm();
      whole = true;
    }
  }

  private void putPlace(int place) {
    at = place;
    one[0] = place;
    this.place.put(0, one, 0, 1);
  }

  /**
   * The last position's hidden state after the final norm, (D). Owned by this object; not to be
   * changed.
   */
  public Buffer hidden() {
    catchUp();
    complete();
    return plain.hidden;
  }

  /** The last position's state at a site, (D). Owned by this object; not to be changed. */
  public Buffer state(Site site) {
    site.requireIn(model.config());
    catchUp();
    completeFor(site);
    return switch (site.kind()) {
      case BLOCK -> plain.blocks[site.block()].out();
      case MLP -> plain.blocks[site.block()].mlp();
      case LAST -> plain.hidden;
    };
  }

  private void completeFor(Site site) {
    if (site.kind() == Site.Kind.LAST || site.block() == keys.length - 1) {
      complete();
    }
  }

  /**
   * Goes on from another state at the last position, aside: the kept keys and values, {@link
   * #hidden} and {@link #state} stay those of the plain sequence.
   *
   * @param state (D)
   * @return the hidden state after the final norm, (D), until the next call; owned by this object
   */
  public Buffer finish(Site site, Buffer state) {
    ModelConfig config = model.config();
    site.requireIn(config);
    catchUp();
    Buffer row = state.count() == config.width() ? state : state.slice(0, config.width());
    if (site.kind() == Site.Kind.LAST) {
      edited.hidden.copyFrom(row);
      return edited.hidden;
    }
    editedForward.steps.rows = 1;
    editedForward.steps.positions = place;
    if (site.kind() == Site.Kind.BLOCK) {
      edited.embedded.copyFrom(row);
    } else {
      completeFor(site);
      Block block = editedForward.blocks[site.block()];
      block.residual().copyFrom(forward.blocks[site.block()].residual());
      block.a.mlp().copyFrom(row);
      block.fromMlp();
    }
    for (int i = site.block() + 1; i < keys.length; i++) {
      runAside(i);
    }
    editedForward.finalNorm();
    return edited.hidden;
  }

  /** Runs a block with this position's edited key and value, then puts the plain ones back. */
  private void runAside(int i) {
    long d = model.config().width();
    long t = model.config().maxLength();
    Block block = editedForward.blocks[i];
    block.toKeys();
    kernels.layers().gather(1, d, place, t, keys[i], 1, 0, keptRow.key);
    kernels.layers().gather(1, d, place, t, values[i], 1, 0, keptRow.value);
    keep(i, editedRow);
    block.fromKeys();
    keep(i, keptRow);
    block.fromActive();
  }

  private void keep(int i, Row row) {
    long d = model.config().width();
    long t = model.config().maxLength();
    kernels.layers().scatter(1, d, place, row.key, t, keys[i]);
    kernels.layers().scatter(1, d, place, row.value, t, values[i]);
  }

  private void attend(Block block) {
    ModelConfig config = model.config();
    long d = config.width();
    kernels
        .attention()
        .last(
            at + 1,
            config.heads(),
            config.headWidth(),
            block.a.qkv(),
            keys[block.index],
            d,
            values[block.index],
            d,
            block.a.attention());
  }

  @Override
  public void close() {
    forward.close();
    editedForward.close();
    if (padding != null) {
      padding.close();
    }
    plain.close();
    edited.close();
    memory.close();
    places.close();
  }
}
