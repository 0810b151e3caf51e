package dev.rhumb.app;

import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Progress;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.TrainingListener;

/** Shows a training run as it goes. */
final class History implements TrainingListener, AutoCloseable {
  private final Console console;
  private final int epochs;
  private Progress progress;

  History(Console console, int epochs) {
    this.console = console;
    this.epochs = epochs;
  }

  @Override
  public void onStep(int epoch, int step, int steps, float loss) {
    if (progress == null) {
      progress = console.progress("training", (long) (epochs - epoch + 1) * steps);
      first = epoch;
    }
    progress.at(
        (long) (epoch - first) * steps + step,
        String.format(java.util.Locale.ROOT, "at most; epoch %d, loss %.3f", epoch, loss));
  }

  private int first;

  @Override
  public void onEpoch(EpochReport report) {
    if (progress != null) {
      progress.close();
    }
    console.say(
        "  epoch %3d  loss %7.4f  validation NDCG@10 %.4f  HR@10 %.4f  %5.1f s%s",
        report.epoch(),
        report.loss(),
        report.validationNdcg(),
        report.validationHitRate(),
        report.trainSeconds() + report.validationSeconds(),
        report.best() ? "  best" : "");
  }

  @Override
  public void close() {
    if (progress != null) {
      progress.close();
    }
  }
}
