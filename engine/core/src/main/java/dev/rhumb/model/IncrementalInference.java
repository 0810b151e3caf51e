package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * Runs a model over one sequence, item by item, keeping every block's keys and values (at most T
 * rows). The states are those of {@link Inference} over the same items.
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
  private final Buffer keptKey;
  private final Buffer keptValue;
  private final Buffer places;
  private final Buffer item;
  private final Buffer place;
  private final int[] one = new int[1];
  private int length;

  /** A workspace for sequences of up to the model's T items. */
  public IncrementalInference(Kernels kernels, Model model) {
    this.kernels = kernels;
    this.model = model;
    ModelConfig config = model.config();
    long d = config.width();
    long rows = (long) config.maxLength() * d;
    plain = new Activations(kernels, config, 1, true);
    forward = new Forward(kernels, model, plain, this::attend);
    edited = new Activations(kernels, config, 1, false);
    editedForward = new Forward(kernels, model, edited, this::attendAside);
    memory = kernels.allocate(DType.F32, 2 * config.layers() * rows + 2 * d);
    keys = new Buffer[config.layers()];
    values = new Buffer[config.layers()];
    for (int i = 0; i < keys.length; i++) {
      keys[i] = memory.slice(2 * i * rows, rows);
      values[i] = memory.slice((2 * i + 1) * rows, rows);
    }
    keptKey = memory.slice(2 * config.layers() * rows, d);
    keptValue = memory.slice(2 * config.layers() * rows + d, d);
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
    one[0] = item;
    this.item.put(0, one, 0, 1);
    one[0] = length;
    place.put(0, one, 0, 1);
    forward.embed(1, this.item, place);
    for (int i = 0; i < config.layers(); i++) {
      forward.blockToMlp(i, 1);
      forward.blockFromMlp(i, 1);
    }
    forward.finalNorm(1);
    length++;
  }

  /**
   * The last position's hidden state after the final norm, (D). Owned by this object; not to be
   * changed.
   */
  public Buffer hidden() {
    return plain.hidden;
  }

  /** The last position's state at a site, (D). Owned by this object; not to be changed. */
  public Buffer state(Site site) {
    site.requireIn(model.config());
    return switch (site.kind()) {
      case BLOCK -> plain.blocks[site.block()].out();
      case MLP -> plain.blocks[site.block()].mlp();
      case LAST -> plain.hidden;
    };
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
    long d = config.width();
    if (site.kind() == Site.Kind.LAST) {
      edited.hidden.slice(0, d).copyFrom(state.slice(0, d));
      return edited.hidden;
    }
    if (site.kind() == Site.Kind.BLOCK) {
      edited.embedded.slice(0, d).copyFrom(state.slice(0, d));
    } else {
      // What the MLP is added to, as it was before the edit.
      edited.blocks[0].middle().copyFrom(plain.blocks[site.block()].middle());
      edited.blocks[0].norm2().copyFrom(plain.blocks[site.block()].norm2());
      edited.blocks[0].mlp().copyFrom(state.slice(0, d));
      editedForward.blockFromMlp(site.block(), 1);
    }
    for (int i = site.block() + 1; i < config.layers(); i++) {
      editedForward.blockToMlp(i, 1);
      editedForward.blockFromMlp(i, 1);
    }
    editedForward.finalNorm(1);
    return edited.hidden;
  }

  private void attend(int i, Activations.Block a) {
    write(i, a);
    attendOver(i, a, length + 1);
  }

  /** Attends with this position's new key and value, then puts the plain ones back. */
  private void attendAside(int i, Activations.Block a) {
    long d = model.config().width();
    long t = model.config().maxLength();
    kernels.layers().gather(1, d, place, t, keys[i], 1, 0, keptKey);
    kernels.layers().gather(1, d, place, t, values[i], 1, 0, keptValue);
    write(i, a);
    attendOver(i, a, length);
    kernels.layers().scatter(1, d, place, keptKey, t, keys[i]);
    kernels.layers().scatter(1, d, place, keptValue, t, values[i]);
  }

  private void write(int i, Activations.Block a) {
    long d = model.config().width();
    long t = model.config().maxLength();
    kernels.layers().scatter(1, d, place, a.qkv().slice(d, d), t, keys[i]);
    kernels.layers().scatter(1, d, place, a.qkv().slice(2 * d, d), t, values[i]);
  }

  private void attendOver(int i, Activations.Block a, int rows) {
    ModelConfig config = model.config();
    long d = config.width();
    kernels
        .attention()
        .last(
            rows,
            config.heads(),
            config.headWidth(),
            a.qkv(),
            keys[i],
            d,
            values[i],
            d,
            a.attention());
  }

  @Override
  public void close() {
    plain.close();
    edited.close();
    memory.close();
    places.close();
  }
}
