package dev.rhumb.serve;

import dev.rhumb.bindings.NativeException;
import dev.rhumb.data.Catalogue;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.CompressedItems;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Settings;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * A model folder opened for serving: the model, its catalogue, and one sparse autoencoder with what
 * its features mean. Make a {@link Session} for each user who is being served.
 *
 * <p>Ownership: the weights are freed when the recommender and all of its sessions are closed, in
 * any order. Threads: any number may share a recommender; a session is for one at a time. What
 * requests read of it never changes: they take no lock, and meet no other session's memory. Making
 * and closing sessions locks for a moment.
 *
 * <p>A catalogue of 2^17 weights (V x D) or more is also held at a byte for each weight, 0.27 times
 * its table's size at D 64: lists are found in that and certified from the table, the same to the
 * bit ({@link dev.rhumb.kernels.Ranking#compress} says when the whole table is read after all). The
 * setting {@code rhumb.catalogue.compressed=auto|on|off} chooses otherwise. With weights that stay
 * in the mapped file ({@link #map}) a request then touches a few pages of the table, so that a
 * catalogue may be larger than memory.
 */
public final class Recommender implements AutoCloseable {
  private static final String COMPRESSED = "rhumb.catalogue.compressed";

  /** Weights of a catalogue that are past a core's fastest caches. */
  private static final long WORTH = 1 << 17;

  private final Kernels kernels;
  private final ModelFolder folder;
  private final SparseAutoencoder sae;
  private final FeatureLabels labels;
  private final Concepts concepts;
  private final CompressedItems compressed;

  /** Opens the same on the CPU for when the GPU is lost; null where the backend was demanded. */
  private final Supplier<Recommender> onHost;

  private Recommender successor;
  private int users = 1;
  private boolean closed;

  private Recommender(
      Kernels kernels,
      ModelFolder folder,
      SparseAutoencoder sae,
      FeatureLabels labels,
      Concepts concepts,
      CompressedItems compressed,
      Supplier<Recommender> onHost) {
    this.kernels = kernels;
    this.folder = folder;
    this.sae = sae;
    this.labels = labels;
    this.concepts = concepts;
    this.compressed = compressed;
    this.onHost = onHost;
  }

  /**
   * Opens a model folder with the backend of the setting {@code rhumb.backend}, one thread for each
   * session, and its autoencoder if it has exactly one; of several, {@link #open(Path, String)}
   * chooses.
   *
   * @throws dev.rhumb.checkpoint.FormatException when a file is missing or damaged: it names the
   *     file and the mend
   */
  public static Recommender open(Path modelFolder) {
    List<Path> found = SparseAutoencoder.folders(modelFolder);
    return open(Kernels.open(), modelFolder, only(found), ModelFolder::open, mayChoose());
  }

  private static Path only(List<Path> found) {
    return found.size() == 1 ? found.getFirst() : null;
  }

  /**
   * {@link #open(Path)} with the model's weights left in the mapped file, as {@link
   * ModelFolder#map} says: opened whatever their size, and shared between processes. Only for files
   * that nobody changes in place.
   *
   * @throws dev.rhumb.checkpoint.FormatException when a file is missing or damaged: it names the
   *     file and the mend
   */
  public static Recommender map(Path modelFolder) {
    return open(
        Kernels.open(),
        modelFolder,
        only(SparseAutoencoder.folders(modelFolder)),
        ModelFolder::map,
        mayChoose());
  }

  /**
   * The same with one of the model's autoencoders.
   *
   * @param autoencoder the name of its folder
   * @throws IllegalArgumentException when the model has none of that name: it lists those there are
   */
  public static Recommender map(Path modelFolder, String autoencoder) {
    return open(modelFolder, autoencoder, ModelFolder::map);
  }

  /**
   * The same with one of the model's autoencoders.
   *
   * @param autoencoder the name of its folder, such as {@code block-0} or {@code block-0@wide}
   * @throws IllegalArgumentException when the model has none of that name: it lists those there are
   */
  public static Recommender open(Path modelFolder, String autoencoder) {
    return open(modelFolder, autoencoder, ModelFolder::open);
  }

  private static Recommender open(
      Path modelFolder, String autoencoder, BiFunction<Kernels, Path, ModelFolder> opener) {
    List<Path> found = SparseAutoencoder.folders(modelFolder);
    for (Path folder : found) {
      if (folder.getFileName().toString().equals(autoencoder)) {
        return open(Kernels.open(), modelFolder, folder, opener, mayChoose());
      }
    }
    throw new IllegalArgumentException(
        "the model "
            + modelFolder
            + " has no autoencoder '"
            + autoencoder
            + "'; it has "
            + names(found));
  }

  /**
   * Opens a model folder and the autoencoder of a site.
   *
   * @throws dev.rhumb.checkpoint.FormatException when a file is missing or damaged: it names the
   *     file and the mend
   */
  public static Recommender open(Path modelFolder, Site site, Backend backend) {
    return open(
        Kernels.open(backend, 1),
        modelFolder,
        SparseAutoencoder.folder(modelFolder, site),
        ModelFolder::open,
        false);
  }

  /** Whether the setting leaves the backend to the engine. */
  private static boolean mayChoose() {
    String backend = Settings.get("rhumb.backend");
    return backend == null || backend.equalsIgnoreCase("auto");
  }

  /**
   * @param mayChoose whether another backend may take over when this one is lost
   */
  static Recommender open(
      Kernels kernels,
      Path modelFolder,
      Path saeFolder,
      BiFunction<Kernels, Path, ModelFolder> opener,
      boolean mayChoose) {
    Deque<AutoCloseable> opened = new ArrayDeque<>();
    opened.push(kernels);
    try {
      ModelFolder folder = opener.apply(kernels, modelFolder);
      opened.push(folder);
      SparseAutoencoder sae = null;
      FeatureLabels labels = null;
      Concepts concepts = null;
      if (saeFolder != null) {
        sae = SparseAutoencoder.load(kernels, saeFolder);
        opened.push(sae);
        sae.requireFits(folder.model().config());
        if (Files.exists(saeFolder.resolve(FeatureLabels.FEATURES_FILE))) {
          labels = FeatureLabels.load(saeFolder);
          concepts = Concepts.load(saeFolder, labels);
        }
      }
      CompressedItems compressed = compress(kernels, folder.model());
      boolean replaceable = mayChoose && !kernels.usesHostMemory();
      Supplier<Recommender> onHost =
          replaceable
              ? () -> open(Kernels.openOnHost(), modelFolder, saeFolder, opener, false)
              : null;
      return new Recommender(kernels, folder, sae, labels, concepts, compressed, onHost);
    } catch (RuntimeException | Error e) {
      Closing.all(opened, e);
      throw e;
    }
  }

  /** The catalogue as requests of one row scan it, or null where they take the table. */
  private static CompressedItems compress(Kernels kernels, Model model) {
    String value = Settings.get(COMPRESSED);
    String choice = value == null ? "auto" : value;
    if (!List.of("auto", "on", "off").contains(choice)) {
      throw new IllegalArgumentException(COMPRESSED + "=" + value + ": auto, on or off is needed");
    }
    long rows = model.config().items() + 1L;
    long width = model.config().width();
    boolean compresses = choice.equals("auto") ? rows * width >= WORTH : choice.equals("on");
    return compresses ? kernels.ranking().compress(rows, width, model.itemTable()) : null;
  }

  /**
   * This, or what has taken its place: where the engine chose a GPU that was lost since (a failing
   * launch, a fault of the device), new sessions and batches run on the CPU. Those that are open
   * fail from then on with the device's error.
   */
  private synchronized Recommender able() {
    if (onHost == null || closed) {
      return this;
    }
    if (successor == null) {
      try {
        kernels.finish();
        return this;
      } catch (NativeException e) {
        System.getLogger(Recommender.class.getPackageName())
            .log(
                System.Logger.Level.WARNING,
                "the GPU is lost; new sessions run on the CPU: " + e.getMessage());
        successor = onHost.get();
      }
    }
    return successor;
  }

  /** A session with an empty history; the caller closes it. */
  public Session newSession() {
    Recommender able = able();
    if (able != this) {
      return able.newSession();
    }
    retain();
    try {
      return new Session(this, kernels.fork(1));
    } catch (RuntimeException | Error e) {
      release();
      throw e;
    }
  }

  /**
   * Requests of one shape, recorded once; the caller closes them.
   *
   * @param k items of each list, from 1 to V
   * @throws IllegalArgumentException when k is out of bounds, or the model's positions count from
   *     the end (its padding), so that a shorter history is not the beginning of a longer one
   */
  public PreparedRequest prepare(int k) {
    Recommender able = able();
    if (able != this) {
      return able.prepare(k);
    }
    retain();
    Kernels own = null;
    try {
      own = kernels.fork(1);
      return new PreparedRequest(this, own, k);
    } catch (RuntimeException | Error e) {
      if (own != null) {
        own.close();
      }
      release();
      throw e;
    }
  }

  /**
   * A batch without histories yet; the caller closes it.
   *
   * @param histories that a call answers at most
   * @param threads that share the work of a call, the caller's among them
   * @throws IllegalArgumentException when either is below 1, or their items are too many for one
   *     call
   */
  public BatchRecommender newBatch(int histories, int threads) {
    int most = Integer.MAX_VALUE / (2 * model().config().maxLength());
    if (histories < 1 || histories > most || threads < 1) {
      throw new IllegalArgumentException(
          "a batch of "
              + histories
              + " histories by "
              + threads
              + " threads: there must be 1 to "
              + most
              + " histories and at least 1 thread");
    }
    Recommender able = able();
    if (able != this) {
      return able.newBatch(histories, threads);
    }
    retain();
    Kernels own = null;
    try {
      own = kernels.fork(threads);
      return new BatchRecommender(this, own, histories);
    } catch (RuntimeException | Error e) {
      if (own != null) {
        own.close();
      }
      release();
      throw e;
    }
  }

  /** The items with their ids, titles and attributes. */
  public Catalogue catalogue() {
    return folder.catalogue();
  }

  /** What can be steered by name. */
  public Concepts concepts() {
    if (concepts == null) {
      List<Path> there = SparseAutoencoder.folders(folder.folder());
      throw new IllegalStateException(
          "the model "
              + folder.folder()
              + (sae == null && there.size() > 1
                  ? " has the autoencoders " + names(there) + "; open it with the name of one"
                  : " has no labelled autoencoder; run `rhumb sae` and `rhumb explain` on it"));
    }
    return concepts;
  }

  private static String names(List<Path> folders) {
    return folders.isEmpty()
        ? "none"
        : folders.stream().map(p -> p.getFileName().toString()).collect(Collectors.joining(", "));
  }

  /** What each feature means, or null when the autoencoder has not been explained. */
  public FeatureLabels labels() {
    return labels;
  }

  /** The autoencoder, or null. Owned by this object. */
  public SparseAutoencoder sae() {
    return sae;
  }

  /** The autoencoder that steering needs. */
  SparseAutoencoder requireSae() {
    if (sae == null) {
      throw new IllegalStateException(
          "the model "
              + path()
              + " was opened without an autoencoder; run `rhumb sae` on it, or name its"
              + " site when opening");
    }
    return sae;
  }

  /** Which backend answers, in one line. */
  public synchronized String describe() {
    return successor == null ? kernels.describe() : successor.describe();
  }

  /**
   * Refuses new sessions; the weights are freed when the last session is closed. Closing twice is
   * harmless.
   */
  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    try {
      if (successor != null) {
        successor.close();
      }
    } finally {
      release();
    }
  }

  Model model() {
    return folder.model();
  }

  /** The compressed catalogue, or null; owned by this object. */
  CompressedItems compressed() {
    return compressed;
  }

  Path path() {
    return folder.folder();
  }

  private synchronized void retain() {
    if (closed) {
      throw new IllegalStateException("the recommender of " + folder.folder() + " is closed");
    }
    users++;
  }

  void release() {
    synchronized (this) {
      if (--users > 0) {
        return;
      }
    }
    Deque<AutoCloseable> all = new ArrayDeque<>();
    all.push(kernels);
    all.push(folder);
    if (sae != null) {
      all.push(sae);
    }
    if (compressed != null) {
      all.push(compressed);
    }
    Closing.all(all, null);
  }
}
