package dev.rhumb.app;

import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelFolder;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Which model folder a command works on. */
final class ModelOptions {
  @Option(
      names = {"--model", "-m"},
      paramLabel = "FOLDER",
      defaultValue = "runs/model",
      description = "Model folder (default: ${DEFAULT-VALUE}).")
  private Path folder;

  Path folder() {
    return folder;
  }

  /** Opens the folder, which the caller closes. */
  ModelFolder open(Kernels kernels) {
    return ModelFolder.open(kernels, folder);
  }
}
