package dev.rhumb.train;

import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.jfr.Events;
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
import java.util.Locale;
import java.util.Map;

/**
 * Trains a transformer into a model folder: epochs over the shuffled users, validation, a
 * checkpoint; the folder's weights are those of the best validation. Killed at any moment, a run
 * resumes after its last report and gives the same bits as one that was left alone, for any number
 * of threads.
 */
public final class Trainer implements AutoCloseable {
  private static final float BETA1 = 0.9f;
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
  private final List<Tensor> tensors;
  private final Parameters average;
  private final Model best;
  private final TrainingPass pass;
  private final Batch batch;
  private final Buffer norm;
  private final int[] users;
  private final int[] window;
  private final List<EpochReport> history = new ArrayList<>();
  private final String objective;
  private final int stepsPerEpoch;
  private final long steps;
  private int[] order;
  private int orderEpoch;
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
    objective = config.objective().describe();
    stepsPerEpoch = (users.length + config.batch() - 1) / config.batch();
    steps = (long) config.maxEpochs() * stepsPerEpoch;
    if (config.schedule().warmUpSteps() > steps) {
      throw new IllegalArgumentException(
          "training: a warm-up of "
              + config.schedule().warmUpSteps()
              + " steps must be at most "
              + steps
              + ", all steps of "
              + config.maxEpochs()
              + " epochs");
    }
    window = new int[t + 1];
    int rows = (int) Math.min((long) config.batch() * t, largestBatch(t));
    model = Model.initialise(kernels, architecture, config.seed());
    m = new Parameters(kernels, architecture);
    v = new Parameters(kernels, architecture);
    tensors = model.parameters().tensors();
    average = config.averageDecay() > 0 ? new Parameters(kernels, architecture) : null;
    best = average == null ? model : new Model(architecture, average);
    if (average != null) {
      average.copyFrom(model.parameters());
    }
    pass = new TrainingPass(kernels, model, config.objective(), targetCounts(), rows);
    batch = new Batch(kernels, config.batch(), rows);
    norm = kernels.allocate(DType.F32, 1);
  }

  /**
   * Trains until no validation has been better for {@code patience} validations, or {@code
   * maxEpochs} are done.
   *
   * @param folder the model folder, made if need be
   * @param resume go on with the run that the folder holds, if it holds one; without it such a
   *     folder is refused
   * @throws TrainingDivergedException when a value is not finite any more; the checkpoint of the
   *     last report stays
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

  /** The reports of the run that a model folder holds; empty where it holds none. */
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
      step = state.read(identity, history, model.parameters(), m, v, average);
    }
    ModelFolder.writeDescription(
        folder,
        architecture,
        split.train().dataset().catalogue(),
        new ModelFolder.Description(
            split.train().dataset().name(),
            split.train().dataset().fingerprint(),
            split.name(),
            settings,
            config.weights()));
    try (Evaluator evaluator = new Evaluator(kernels, best)) {
      while (step < steps && validationsSinceBest() < config.patience()) {
        EpochReport report = report(evaluator);
        history.add(report);
        // The weights first: a run killed between the two files redoes the steps and writes the
        // same weights again.
        if (report.best()) {
          ModelFolder.writeWeights(folder, best.parameters(), config.weights());
        }
        state.write(identity, step, history, model.parameters(), m, v, average);
        listener.onEpoch(report);
      }
    }
    return new TrainingResult(history, bestSoFar().epoch());
  }

  /** Trains up to the next report, and validates where it is time. */
  private EpochReport report(Evaluator evaluator) {
    Validation validation = config.validation();
    boolean bySteps = validation.unit() == Validation.Unit.STEPS;
    int cycle = bySteps ? validation.every() : stepsPerEpoch;
    long last = Math.min(steps, (step / cycle + 1) * cycle);
    int epoch = epoch(last);
    long start = System.nanoTime();
    double loss = train(last);
    long trained = System.nanoTime();
    if (!bySteps && epoch % validation.every() != 0 && last < steps) {
      return new EpochReport(
          epoch,
          step,
          loss,
          learningRate(),
          Double.NaN,
          Double.NaN,
          (trained - start) * 1e-9,
          0,
          false);
    }
    RankingMetrics metrics = evaluator.evaluate(split.validation(), 10);
    EpochReport report =
        new EpochReport(
            epoch,
            step,
            loss,
            learningRate(),
            metrics.ndcg(),
            metrics.hitRate(),
            (trained - start) * 1e-9,
            (System.nanoTime() - trained) * 1e-9,
            true);
    EpochReport before = bestSoFar();
    boolean better =
        before == null || validation.metric().of(report) > validation.metric().of(before);
    return better ? report : report.notBest();
  }

  /** The epoch that a step belongs to. */
  private int epoch(long step) {
    return (int) ((step - 1) / stepsPerEpoch) + 1;
  }

  /** The best report, or null before the first validation. */
  private EpochReport bestSoFar() {
    EpochReport found = null;
    for (EpochReport report : history) {
      if (report.best()) {
        found = report;
      }
    }
    return found;
  }

  private int validationsSinceBest() {
    int count = 0;
    for (EpochReport report : history) {
      count = report.best() ? 0 : count + (report.validated() ? 1 : 0);
    }
    return count;
  }

  /** Trains up to a step; returns the mean loss. */
  private double train(long last) {
    double total = 0;
    long first = step;
    while (step < last) {
      int epoch = epoch(step + 1);
      if (orderEpoch != epoch) {
        order = shuffled(epoch);
        orderEpoch = epoch;
      }
      Events.TrainingStep event = Events.beginTrainingStep();
      int inEpoch = (int) (step % stepsPerEpoch);
      int from = inEpoch * config.batch();
      fill(order, from, Math.min(order.length, from + config.batch()));
      step++;
      pass.start(batch, config.seed(), step);
      update();
      float loss = pass.read();
      requireFinite(epoch, loss);
      Events.end(event, step, batch.rows(), objective);
      total += loss;
      listener.onStep(epoch, inEpoch + 1, stepsPerEpoch, loss);
    }
    return total / (last - first);
  }

  private float learningRate() {
    return (float) (config.learningRate() * config.schedule().at(step, steps));
  }

  /**
   * A step of the optimizer. Nobody waits for the norm by which the gradient is clipped: where it
   * is not finite, the parameters stay as they are.
   */
  private void update() {
    Buffer gradients = pass.gradients().flat();
    float most = config.clipNorm() > 0 ? config.clipNorm() : Float.POSITIVE_INFINITY;
    kernels.optimizer().clip(gradients.count(), gradients, most, pass.clip());
    if (config.weightDecay() == 0) {
      adam(model.parameters().flat(), gradients, m.flat(), v.flat(), 0);
    } else {
      for (Tensor x : tensors) {
        String name = x.name();
        float decay = x.cols() > 0 ? config.weightDecay() : 0;
        adam(x.data(), pass.gradients().get(name), m.get(name), v.get(name), decay);
      }
    }
    if (average != null) {
      float decay = (float) Math.min(config.averageDecay(), (1.0 + step) / (10.0 + step));
      Buffer x = model.parameters().flat();
      kernels.optimizer().average(x.count(), x, decay, average.flat());
    }
  }

  private void adam(Buffer x, Buffer gradient, Buffer m, Buffer v, float weightDecay) {
    kernels
        .optimizer()
        .adam(
            x.count(),
            x,
            gradient,
            m,
            v,
            pass.clip(),
            learningRate(),
            BETA1,
            config.beta2(),
            EPSILON,
            weightDecay,
            step);
  }

  private void fill(int[] order, int from, int to) {
    batch.clear();
    for (int i = from; i < to; i++) {
      int n = split.train().copyLast(order[i], window.length, window, 0);
      batch.addWithTargets(window, 0, n - 1);
    }
    batch.seal();
  }

  private void requireFinite(int epoch, float loss) {
    if (!Float.isFinite(loss) || Float.isNaN(pass.clipScale())) {
      throw new TrainingDivergedException(
          "training diverged at step "
              + step
              + " (epoch "
              + epoch
              + "): "
              + firstNonFinite(loss)
              + "; lower the learning rate ("
              + config.learningRate()
              + ") or clip the gradient norm. The checkpoint of the last report stays in "
              + folder);
    }
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
    return "the loss is " + loss + ", or the squared norm of the whole gradient no float32";
  }

  private boolean finite(Buffer data) {
    kernels.dense().squaredNorm(data.count(), data, norm);
    return Float.isFinite(norm.floats()[0]);
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
    // What is not set is not named, so that older runs resume.
    if (config.beta2() != TrainingConfig.BETA2) {
      map.put("beta2", (double) config.beta2());
    }
    if (!config.schedule().equals(Schedule.CONSTANT)) {
      map.put("warm_up_steps", config.schedule().warmUpSteps());
      map.put("schedule", label(config.schedule().decay()));
    }
    if (config.schedule().decay() == Schedule.Decay.COSINE) {
      map.put("max_epochs", config.maxEpochs());
    }
    if (config.averageDecay() > 0) {
      map.put("average_decay", (double) config.averageDecay());
    }
    if (!config.validation().equals(Validation.EVERY_EPOCH)) {
      Validation validation = config.validation();
      map.put("validation_every", validation.every() + " " + label(validation.unit()));
      map.put("validation_metric", label(validation.metric()));
    }
    if (config.weights() != DType.F32) {
      map.put("weights", label(config.weights()));
    }
    return map;
  }

  private static String label(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT).replace('_', ' ');
  }

  @Override
  public void close() {
    model.close();
    if (average != null) {
      average.close();
    }
    m.close();
    v.close();
    pass.close();
    batch.close();
    norm.close();
  }
}
