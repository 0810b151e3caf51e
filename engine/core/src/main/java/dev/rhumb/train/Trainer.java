package dev.rhumb.train;

import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Parameters;
import dev.rhumb.model.Tensor;
import dev.rhumb.model.TrainingPass;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Trains a transformer into a model folder: an epoch over the shuffled users, validation, a
 * checkpoint; the folder's weights are those of the best epoch by validation NDCG@10. Killed at any
 * moment, a run resumes after its last whole epoch and gives the same bits as one that was left
 * alone, for any number of threads.
 */
public final class Trainer implements AutoCloseable {
  private static final float BETA1 = 0.9f;
  private static final float BETA2 = 0.999f;
  private static final float EPSILON = 1e-8f;
  private static final long SHUFFLE = 0x5EED_5EED_5EED_5EEDL;

  private final Kernels kernels;
  private final Split split;
  private final TrainingConfig config;
  private final Path folder;
  private final TrainingListener listener;
  private final Model model;
  private final Parameters m;
  private final Parameters v;
  private final TrainingPass pass;
  private final Batch batch;
  private final Buffer norm;
  private final float[] normValue = new float[1];
  private final int[] users;
  private final int[] window;
  private final List<EpochReport> history = new ArrayList<>();
  private long step;

  private Trainer(
      Kernels kernels,
      Split split,
      ModelConfig architecture,
      TrainingConfig config,
      Path folder,
      TrainingListener listener) {
    this.kernels = kernels;
    this.split = split;
    this.config = config;
    this.folder = folder;
    this.listener = listener;
    int t = architecture.maxLength();
    users = trainable(split.train());
    if (users.length == 0) {
      throw new IllegalArgumentException(
          "training: no user of the split '"
              + split.name()
              + "' has two items to learn from; give longer histories");
    }
    if (split.validation().count() == 0) {
      throw new IllegalArgumentException(
          "training: the split '"
              + split.name()
              + "' has no validation case; give more users or longer histories");
    }
    window = new int[t + 1];
    int rows = (int) Math.min((long) config.batch() * t, largestBatch(t));
    model = Model.initialise(kernels, architecture, config.seed());
    m = new Parameters(kernels, architecture);
    v = new Parameters(kernels, architecture);
    pass = new TrainingPass(kernels, model, config.objective(), targetCounts(), rows);
    batch = new Batch(kernels, config.batch(), rows);
    norm = kernels.allocate(DType.F32, 1);
  }

  /**
   * Trains until no epoch has been better for {@code patience} epochs, or {@code maxEpochs} are
   * done.
   *
   * @param folder the model folder, made if need be
   * @param resume go on with the run that the folder holds, if it holds one; without it such a
   *     folder is refused
   * @throws TrainingDivergedException when a value is not finite any more; the checkpoint of the
   *     last whole epoch stays
   * @throws IllegalArgumentException when the folder holds a run and resume is false, or that run
   *     has other settings
   * @throws dev.rhumb.checkpoint.FolderInUseException when somebody else writes to the folder
   */
  public static TrainingResult train(
      Kernels kernels,
      Split split,
      ModelConfig architecture,
      TrainingConfig config,
      Path folder,
      boolean resume,
      TrainingListener listener) {
    TrainingState state = new TrainingState(folder);
    if (state.exists() && !resume) {
      throw new IllegalArgumentException(
          "the folder "
              + folder
              + " holds a training run already; resume it, or choose another folder");
    }
    try (FolderLock _ = FolderLock.take(folder, "training");
        Trainer trainer = new Trainer(kernels, split, architecture, config, folder, listener)) {
      return trainer.run(architecture, state);
    }
  }

  /** The epochs of the run that a model folder holds; empty where it holds none. */
  public static List<EpochReport> history(Path folder) {
    TrainingState state = new TrainingState(folder);
    return state.exists() ? state.history() : List.of();
  }

  private TrainingResult run(ModelConfig architecture, TrainingState state) {
    Map<String, Object> settings = settings();
    String identity =
        architecture
            + " "
            + settings
            + " "
            + split.name()
            + " "
            + split.train().dataset().fingerprint();
    if (state.exists()) {
      step = state.read(identity, history, model.parameters(), m, v);
    }
    ModelFolder.writeDescription(
        folder,
        architecture,
        split.train().dataset().catalogue(),
        new ModelFolder.Description(
            split.train().dataset().name(),
            split.train().dataset().fingerprint(),
            split.name(),
            settings));
    try (Evaluator evaluator = new Evaluator(kernels, model)) {
      while (history.size() < config.maxEpochs()
          && history.size() - bestEpoch() < config.patience()) {
        int epoch = history.size() + 1;
        long start = System.nanoTime();
        double loss = epoch(epoch);
        long trained = System.nanoTime();
        RankingMetrics metrics = evaluator.evaluate(split.validation(), 10);
        long validated = System.nanoTime();
        boolean best =
            history.isEmpty() || metrics.ndcg() > history.get(bestEpoch() - 1).validationNdcg();
        EpochReport report =
            new EpochReport(
                epoch,
                loss,
                metrics.ndcg(),
                metrics.hitRate(),
                (trained - start) * 1e-9,
                (validated - trained) * 1e-9,
                best);
        history.add(report);
        // The weights first: a run killed between the two files redoes the epoch and writes the
        // same weights again.
        if (best) {
          ModelFolder.writeWeights(folder, model.parameters());
        }
        state.write(identity, step, history, model.parameters(), m, v);
        listener.onEpoch(report);
      }
    }
    return new TrainingResult(history, bestEpoch());
  }

  private int bestEpoch() {
    int best = 0;
    for (EpochReport report : history) {
      if (report.best()) {
        best = report.epoch();
      }
    }
    return best;
  }

  /** One pass over the users; returns the mean loss of its steps. */
  private double epoch(int epoch) {
    int[] order = shuffled(epoch);
    int steps = (order.length + config.batch() - 1) / config.batch();
    double total = 0;
    for (int s = 0; s < steps; s++) {
      int from = s * config.batch();
      fill(order, from, Math.min(order.length, from + config.batch()));
      step++;
      float loss = pass.run(batch, config.seed(), step);
      float scale = gradientScale(epoch, loss);
      kernels
          .optimizer()
          .adam(
              model.parameters().flat().count(),
              model.parameters().flat(),
              pass.gradients().flat(),
              m.flat(),
              v.flat(),
              scale,
              config.learningRate(),
              BETA1,
              BETA2,
              EPSILON,
              config.weightDecay(),
              step);
      total += loss;
      listener.onStep(epoch, s + 1, steps, loss);
    }
    return total / steps;
  }

  private void fill(int[] order, int from, int to) {
    batch.clear();
    for (int i = from; i < to; i++) {
      int n = split.train().copyLast(order[i], window.length, window, 0);
      batch.addWithTargets(window, 0, n - 1);
    }
    batch.seal();
  }

  /** The factor that clips the gradient; refuses what is not finite. */
  private float gradientScale(int epoch, float loss) {
    Buffer gradients = pass.gradients().flat();
    kernels.dense().squaredNorm(gradients.count(), gradients, norm);
    norm.get(0, normValue, 0, 1);
    if (!Float.isFinite(loss) || !Float.isFinite(normValue[0])) {
      throw new TrainingDivergedException(
          "training diverged at step "
              + step
              + " (epoch "
              + epoch
              + "): "
              + firstNonFinite(loss)
              + "; lower the learning rate ("
              + config.learningRate()
              + ") or clip the gradient norm. The last whole epoch's checkpoint stays in "
              + folder);
    }
    double length = Math.sqrt(normValue[0]);
    return config.clipNorm() > 0 && length > config.clipNorm()
        ? (float) (config.clipNorm() / length)
        : 1;
  }

  private String firstNonFinite(float loss) {
    for (Tensor tensor : model.parameters().tensors()) {
      if (!finite(tensor.data())) {
        return "the parameter " + tensor.name() + " is not finite";
      }
    }
    for (Tensor tensor : pass.gradients().tensors()) {
      if (!finite(tensor.data())) {
        return "the gradient of " + tensor.name() + " is not finite";
      }
    }
    return "the loss is " + loss + " and the squared norm of the gradient " + normValue[0];
  }

  private boolean finite(Buffer data) {
    kernels.dense().squaredNorm(data.count(), data, norm);
    float[] value = new float[1];
    norm.get(0, value, 0, 1);
    return Float.isFinite(value[0]);
  }

  /** The users in the order of an epoch: a Fisher-Yates shuffle by counter-based bits. */
  private int[] shuffled(int epoch) {
    int[] order = users.clone();
    for (int i = order.length - 1; i > 0; i--) {
      int j = (int) (Philox.uniform(config.seed() ^ SHUFFLE, epoch, 0, i) * (double) (i + 1));
      int keep = order[i];
      order[i] = order[j];
      order[j] = keep;
    }
    return order;
  }

  private static int[] trainable(Sequences sequences) {
    int[] all = new int[sequences.count()];
    int n = 0;
    for (int i = 0; i < all.length; i++) {
      if (sequences.length(i) >= 2) {
        all[n++] = i;
      }
    }
    return java.util.Arrays.copyOf(all, n);
  }

  /** Rows of the largest batch that any shuffle can make. */
  private long largestBatch(int t) {
    int[] lengths = new int[users.length];
    for (int i = 0; i < users.length; i++) {
      lengths[i] = Math.min(split.train().length(users[i]) - 1, t);
    }
    java.util.Arrays.sort(lengths);
    long rows = 0;
    for (int i = Math.max(0, lengths.length - config.batch()); i < lengths.length; i++) {
      rows += lengths[i];
    }
    return rows;
  }

  /** How often each item, by id, is a target in an epoch. */
  private long[] targetCounts() {
    long[] counts = new long[model.config().items() + 1];
    for (int user : users) {
      int n = split.train().copyLast(user, window.length, window, 0);
      for (int i = 1; i < n; i++) {
        counts[window[i]]++;
      }
    }
    return counts;
  }

  private Map<String, Object> settings() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("seed", config.seed());
    map.put("loss", config.objective().describe());
    map.put("batch", config.batch());
    map.put("optimizer", "adam");
    map.put("learning_rate", (double) config.learningRate());
    map.put("weight_decay", (double) config.weightDecay());
    map.put("clip_norm", (double) config.clipNorm());
    return map;
  }

  @Override
  public void close() {
    model.close();
    m.close();
    v.close();
    pass.close();
    batch.close();
    norm.close();
  }
}
