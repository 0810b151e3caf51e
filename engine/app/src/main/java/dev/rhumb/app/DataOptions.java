package dev.rhumb.app;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.load.Import;
import dev.rhumb.app.load.Layout;
import dev.rhumb.data.Dataset;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Which data a command works on. */
final class DataOptions {
  @Option(
      names = "--data",
      paramLabel = "FOLDER",
      description =
          "Data: a prepared dataset, a folder of a known layout, or the name of one under RHUMB_DATA"
              + " or in the cache.")
  private String data;

  /** What the user named, or null. */
  String named() {
    return data;
  }

  /**
   * Opens the data, which the caller closes.
   *
   * @param wanted the name of the data set looked for where the user names none
   */
  Dataset open(String wanted) {
    return open(DataFolders.find(data, wanted).orRefuse());
  }

  /** Opens a folder of data, prepared or not. */
  static Dataset open(Path folder) {
    if (DataFolders.isPrepared(folder)) {
      return Dataset.load(folder);
    }
    return Import.of(folder, Layout.of(folder).orElseThrow(), 1).dataset();
  }
}
