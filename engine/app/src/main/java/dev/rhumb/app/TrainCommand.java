package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.study.Figures;
import dev.rhumb.app.study.SplitKind;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingResult;
import java.nio.file.Path;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Trains a transformer. */
@picocli.CommandLine.Command(name = "train", description = "A dataset -> a model folder.")
final class TrainCommand extends Command {
  @Mixin private DataOptions data;
  @Mixin private EngineOptions engine;
  @Mixin private TrainingOptions training;

  @Option(
      names = {"--model", "--out"},
      paramLabel = "FOLDER",
      defaultValue = "runs/model",
      description = "Where the model goes (default: ${DEFAULT-VALUE}).")
  private Path folder;

  @Option(
      names = "--style",
      defaultValue = "sasrec",
      description =
          "Wiring of the blocks: sasrec, gpt2, post-ln or modern (default: ${DEFAULT-VALUE}).")
  private BlockStyle style;

  @Option(names = "--width", defaultValue = "64", description = "D (default: ${DEFAULT-VALUE}).")
  private int width;

  @Option(
      names = "--layers",
      defaultValue = "2",
      description = "Blocks (default: ${DEFAULT-VALUE}).")
  private int layers;

  @Option(
      names = "--heads",
      defaultValue = "1",
      description = "Attention heads; they divide the width (default: ${DEFAULT-VALUE}).")
  private int heads;

  @Option(
      names = "--length",
      defaultValue = "200",
      description = "Newest items that the model sees (default: ${DEFAULT-VALUE}).")
  private int length;

  @Option(names = "--dropout", defaultValue = "0.1", description = "(default: ${DEFAULT-VALUE})")
  private float dropout;

  @Option(
      names = "--split",
      defaultValue = "leave-one-out",
      description =
          "leave-one-out; cold-users or random-users[:test=0.1,train=0.6,seed=1]; or"
              + " time[:validation=0.8,test=0.9], shares of the interactions or dates (default:"
              + " ${DEFAULT-VALUE}).")
  private String split;

  @Option(names = "--resume", description = "Go on with the run in the model folder.")
  private boolean resume;

  @Override
  Map<String, Object> work(Console console) {
    SplitKind kind = SplitKind.of(split);
    TrainingConfig config = training.config();
    try (Kernels kernels = engine.open();
        Dataset dataset = data.open(DataFolders.DEFAULT)) {
      ModelConfig model =
          ModelConfig.of(style, dataset.items(), width, layers, heads, length, dropout);
      console.say("%s", dataset);
      console.say("%s", kernels.describe());
      TrainingResult result =
          train(console, kernels, kind.of(dataset), model, config, folder, resume);
      EpochReport best = result.best();
      console.say(
          "best epoch %d: validation NDCG@10 %.4f, HR@10 %.4f; written to %s",
          best.epoch(), best.validationNdcg(), best.validationHitRate(), folder);
      return map(
          "model", folder.toString(),
          "dataset", dataset.name(),
          "backend", kernels.describe(),
          "best_epoch", best.epoch(),
          "validation_ndcg_10", best.validationNdcg(),
          "validation_hr_10", best.validationHitRate(),
          "epochs", result.history().stream().map(Figures::json).toList());
    }
  }

  /** Trains, telling of each epoch. */
  static TrainingResult train(
      Console console,
      Kernels kernels,
      Split split,
      ModelConfig model,
      TrainingConfig config,
      Path folder,
      boolean resume) {
    try (History listener = new History(console, config)) {
      return dev.rhumb.train.Trainer.train(kernels, split, model, config, folder, resume, listener);
    }
  }
}
