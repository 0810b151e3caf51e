package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.fixed;

import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Progress;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import dev.rhumb.train.Validation;

/** Shows a training run as it goes. */
final class History implements TrainingListener, AutoCloseable {
  private final Console console;
  private final int epochs;
  private final boolean bySteps;
  private Progress progress;
  private int first;

  History(Console console, TrainingConfig config) {
    this.console = console;
    epochs = config.maxEpochs();
    bySteps = config.validation().unit() == Validation.Unit.STEPS;
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

  @Override
  public void onEpoch(EpochReport report) {
    if (progress != null) {
      progress.close();
    }
    String validation =
        report.validated()
            ? "validation NDCG@10 %s  HR@10 %s"
                .formatted(fixed(report.validationNdcg(), 4), fixed(report.validationHitRate(), 4))
            : "not validated";
    console.say(
        "  epoch %3d%s  loss %7.4f  %s  %5.1f s%s",
        report.epoch(),
        bySteps ? "  step %6d".formatted(report.step()) : "",
        report.loss(),
        validation,
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
