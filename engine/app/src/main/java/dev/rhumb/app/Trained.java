package dev.rhumb.app;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.study.SplitKind;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelFolder;
import java.nio.file.Path;

/**
 * A model folder, opened beside the data that it was trained on, divided as they were then.
 *
 * <p>Ownership: closes the model and the data. One thread at a time.
 */
final class Trained implements AutoCloseable {
  private final ModelFolder folder;
  private final Dataset dataset;
  private final Split split;

  private Trained(ModelFolder folder, Dataset dataset) {
    this.folder = folder;
    this.dataset = dataset;
    split = SplitKind.of(folder.description().split()).of(dataset);
  }

  /** Takes over a folder and a dataset; refuses a dataset that the model was not trained on. */
  static Trained of(ModelFolder folder, Dataset dataset) {
    requireTrainedOn(folder, dataset);
    return new Trained(folder, dataset);
  }

  /** Refuses a dataset that the model was not trained on. */
  static void requireTrainedOn(ModelFolder folder, Dataset dataset) {
    String trainedOn = folder.description().fingerprint();
    if (!trainedOn.equals(dataset.fingerprint())) {
      throw new Refusal(
          "data " + dataset.name() + " (fingerprint " + start(dataset.fingerprint()) + "...)",
          "are not those that the model in " + folder.folder() + " was trained on",
          "name those ("
              + folder.description().datasetName()
              + ", fingerprint "
              + start(trainedOn)
              + "...) with --data");
    }
  }

  /** As much of a fingerprint as a person compares. */
  private static String start(String fingerprint) {
    return fingerprint.substring(0, Math.min(12, fingerprint.length()));
  }

  /** Where a model's folder keeps the data it was trained on, if it does. */
  static Path data(Path modelFolder) {
    return modelFolder.resolve("data");
  }

  /**
   * Opens both; the data are those that the user names, else those that the model's folder keeps.
   */
  static Trained open(Kernels kernels, ModelOptions model, DataOptions data) {
    return open(model.open(kernels), data);
  }

  /** As the other method, for a folder that is open already and that this takes over. */
  static Trained open(ModelFolder folder, DataOptions data) {
    try {
      Path kept = data(folder.folder());
      Path place =
          data.named() == null && DataFolders.isPrepared(kept)
              ? kept
              : DataFolders.find(data.named(), folder.description().datasetName()).orRefuse();
      Dataset dataset = DataOptions.open(place);
      try {
        return of(folder, dataset);
      } catch (RuntimeException e) {
        dataset.close();
        throw e;
      }
    } catch (RuntimeException e) {
      folder.close();
      throw e;
    }
  }

  ModelFolder folder() {
    return folder;
  }

  Model model() {
    return folder.model();
  }

  Dataset dataset() {
    return dataset;
  }

  Split split() {
    return split;
  }

  @Override
  public void close() {
    try (folder) {
      dataset.close();
    }
  }
}
