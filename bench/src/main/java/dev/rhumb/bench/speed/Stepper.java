package dev.rhumb.bench.speed;

import dev.rhumb.data.Catalogue;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import dev.rhumb.train.Validation;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * The engine's own training, one step for each run: the trainer goes on a thread of its own and
 * waits after each step until it is asked for the next. So a run is a whole step as users have it,
 * the making of its batch included, and a handover of some microseconds.
 */
final class Stepper implements Workload {
  private static final int MOST = 1 << 30;

  private final Semaphore go = new Semaphore(0);
  private final Semaphore done = new Semaphore(0);
  private final Thread thread;
  private final Kernels kernels;
  private final AutoCloseable owned;
  private volatile Throwable failure;
  private volatile boolean closing;
  private volatile float first;
  private volatile float last;
  private volatile int steps;

  /** Ends a training from within. */
  private static final class Stop extends RuntimeException {
    private static final long serialVersionUID = 1;

    Stop() {
      super(null, null, false, false);
    }
  }

  /** Starts a training and waits for its first step. */
  private Stepper(Kernels kernels, Consumer<Stepper> training, AutoCloseable owned) {
    this.kernels = kernels;
    this.owned = owned;
    thread =
        Thread.ofPlatform()
            .name("training")
            .start(
                () -> {
                  try {
                    training.accept(this);
                  } catch (Stop _) {
                    // What close asks for.
                  } catch (Throwable e) {
                    failure = e;
                  } finally {
                    done.release();
                  }
                });
    done.acquireUninterruptibly();
    requireWell();
  }

  /** Called by the training after each step. */
  private void stepped(double loss) {
    if (steps++ == 0) {
      first = (float) loss;
    }
    last = (float) loss;
    done.release();
    go.acquireUninterruptibly();
    if (closing) {
      throw new Stop();
    }
  }

  /** A training of the transformer on histories that all make one batch. */
  static Stepper transformer(Task.TrainingStep task, Kernels kernels) {
    Dataset dataset = dataset(task.model(), task.sequences());
    TrainingConfig config =
        new TrainingConfig(1, task.sequences(), Task.TrainingStep.LEARNING_RATE, 0, 0, MOST, MOST)
            .withValidation(new Validation(MOST, Validation.Unit.STEPS, Validation.Metric.NDCG));
    Path folder = Folders.temporary();
    return new Stepper(
        kernels,
        stepper ->
            Trainer.train(
                kernels,
                Splits.leaveOneOut(dataset),
                task.model().config(),
                config,
                folder,
                false,
                new TrainingListener() {
                  @Override
                  public void onStep(int epoch, int step, int steps, float loss) {
                    stepper.stepped(loss);
                  }
                }),
        () -> {
          Folders.delete(folder);
          dataset.close();
          kernels.close();
        });
  }

  /** A training of an autoencoder on hidden states that all fit into memory. */
  static Stepper autoencoder(Task.SaeStep task, Kernels kernels) {
    Transformer transformer = new Transformer(997, 50, task.width(), 1);
    Dataset dataset = dataset(transformer, 2 + 2 * task.rows() / transformer.length());
    Model model = transformer.model(kernels);
    SaeConfig config =
        SaeConfig.of(Site.parse("block 0"), task.width(), task.features(), task.kept())
            .withAuxKept(0)
            .withBatch(task.rows())
            .withLearningRate(Task.SaeStep.LEARNING_RATE)
            .withSteps(MOST)
            .withWarmUp(0);
    return new Stepper(
        kernels,
        stepper ->
            SaeTrainer.train(
                    kernels,
                    model,
                    Sequences.all(dataset),
                    config,
                    (step, steps, loss, aux, dead) -> stepper.stepped(loss))
                .sae()
                .close(),
        () -> {
          model.close();
          dataset.close();
          kernels.close();
        });
  }

  /** Users whose histories, less the two items that leave-one-out keeps back, are the tasks'. */
  private static Dataset dataset(Transformer transformer, int users) {
    int length = transformer.length() + 3;
    List<String> ids = IntStream.range(0, users).mapToObj(Integer::toString).toList();
    return Dataset.of(
        "bench",
        catalogue(transformer.items()),
        ids,
        new long[users],
        (long) users * length,
        false,
        rows -> {
          for (int user = 0; user < users; user++) {
            int[] items = transformer.items(user, length);
            for (int t = 0; t < length; t++) {
              rows.add(user, items[t], t);
            }
          }
        });
  }

  static Catalogue catalogue(int items) {
    return new Catalogue(
        IntStream.rangeClosed(1, items)
            .mapToObj(i -> new Catalogue.Item(Integer.toString(i), "", List.of()))
            .toList());
  }

  @Override
  public void run() {
    go.release();
    done.acquireUninterruptibly();
    requireWell();
  }

  private void requireWell() {
    if (failure != null) {
      throw new IllegalStateException("the training ended", failure);
    }
  }

  /** The training's own thread waits for the next step meanwhile. */
  @Override
  public void finish() {
    kernels.finish();
  }

  @Override
  public float[] answer() {
    return new float[] {first, last, steps};
  }

  @Override
  public void close() {
    closing = true;
    go.release();
    try {
      thread.join();
      owned.close();
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new IllegalStateException("the training did not close", e);
    }
  }
}
