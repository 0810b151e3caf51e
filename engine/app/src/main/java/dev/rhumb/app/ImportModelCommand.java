package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.study.SplitKind;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.data.Dataset;
import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.StateDictImport;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Makes a model folder of a SASRec that another project trained. */
@picocli.CommandLine.Command(
    name = "import",
    description = "The state dict of a SASRec trained elsewhere, as safetensors -> a model folder.")
final class ImportModelCommand extends Command {
  /** Activations that RecBole's hidden_act names and the engine has. */
  private enum HiddenActivation {
    GELU(Activation.GELU_ERF),
    RELU(Activation.RELU),
    SWISH(Activation.SILU);

    private final Activation activation;

    HiddenActivation(Activation activation) {
      this.activation = activation;
    }
  }

  @Mixin private DataOptions data;
  @Mixin private EngineOptions engine;

  @Parameters(paramLabel = "FILE", description = "The state dict, safetensors.")
  private Path file;

  @Option(
      names = "--from",
      required = true,
      paramLabel = "NAME",
      description =
          "Whose naming and wiring it has: pmixer (SASRec.pytorch since May 2025), pmixer-2024 (since"
              + " June 2024), pmixer-2020 (before) or recbole.")
  private StateDictImport.Source source;

  @Option(
      names = "--heads",
      defaultValue = "1",
      description = "Attention heads in its training (default: ${DEFAULT-VALUE}).")
  private int heads;

  @Option(names = "--norm-first", description = "It was trained with pmixer's --norm_first.")
  private boolean normFirst;

  @Option(
      names = "--activation",
      description = "RecBole's hidden_act: gelu, relu or swish (default: gelu).")
  private HiddenActivation activation;

  @Option(
      names = "--item-rows",
      paramLabel = "FILE",
      description =
          "Which row of its item embedding is which item: lines ROW<tab>ITEM-ID (default: row i is"
              + " the dataset's item i).")
  private Path itemRows;

  @Option(
      names = {"--model", "--out"},
      paramLabel = "FOLDER",
      defaultValue = "runs/model",
      description = "Where the model goes (default: ${DEFAULT-VALUE}).")
  private Path folder;

  @Option(
      names = "--split",
      defaultValue = "leave-one-out",
      description = "How its training divided the data (default: ${DEFAULT-VALUE}).")
  private String split;

  @Override
  Map<String, Object> work(Console console) {
    SplitKind kind = SplitKind.of(split);
    if (Files.exists(folder.resolve("config.json"))) {
      throw new Refusal(
          folder.toString(), "holds a model already", "choose another folder with --out");
    }
    StateDictImport.Options usual = StateDictImport.Options.of(source, heads);
    StateDictImport.Options options =
        new StateDictImport.Options(
            source,
            heads,
            normFirst,
            activation == null ? usual.activation() : activation.activation);
    try (Kernels kernels = engine.open();
        Dataset dataset = data.open(DataFolders.DEFAULT);
        Model model =
            StateDictImport.read(
                kernels,
                file,
                options,
                dataset.items(),
                itemRows == null ? null : StateDictImport.readRows(itemRows, dataset.catalogue()));
        FolderLock _ = FolderLock.take(folder, "import of a model")) {
      ModelFolder.writeWeights(folder, model.parameters());
      ModelFolder.writeDescription(
          folder,
          model.config(),
          dataset.catalogue(),
          new ModelFolder.Description(
              dataset.name(),
              dataset.fingerprint(),
              kind.toString(),
              map("imported_from", source.label(), "file", file.getFileName().toString()),
              DType.F32));
      ModelConfig config = model.config();
      console.say("%s", config);
      console.say("written to %s", folder);
      return map(
          "model", folder.toString(),
          "dataset", dataset.name(),
          "from", source.label(),
          "style", config.style().label(),
          "items", config.items(),
          "width", config.width(),
          "layers", config.layers(),
          "heads", config.heads(),
          "max_length", config.maxLength());
    }
  }
}
