package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.grouped;
import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.load.Import;
import dev.rhumb.app.load.Layout;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.data.Attributes;
import dev.rhumb.data.Dataset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Makes a dataset folder of an interaction log. */
@picocli.CommandLine.Command(
    name = "prepare",
    description = "Interactions and item attributes -> a dataset folder.")
final class PrepareCommand extends Command {
  @Mixin private DataOptions data;
  @Mixin private GeneratedOptions generated;

  @Option(
      names = "--out",
      paramLabel = "FOLDER",
      description = "Where the dataset goes (default: runs/data/NAME).")
  private Path out;

  @Option(
      names = "--min-length",
      paramLabel = "N",
      defaultValue = "1",
      description = "Leave out users with fewer interactions (default: ${DEFAULT-VALUE}).")
  private int minLength;

  @Override
  Map<String, Object> work(Console console) {
    if (minLength < 1) {
      throw usage("--min-length " + minLength + " must be 1 or more");
    }
    if (generated.given()) {
      return generated.make(console, out, this::usage);
    }
    Path folder = DataFolders.find(data.named(), DataFolders.DEFAULT).orRefuse();
    if (DataFolders.isPrepared(folder)) {
      throw new Refusal(folder.toString(), "is a prepared dataset already", "use it as --data");
    }
    Import imported = Import.of(folder, Layout.of(folder).orElseThrow(), minLength);
    try (Dataset dataset = imported.dataset()) {
      if (dataset.users() == 0) {
        throw new Refusal(
            folder.toString(),
            "no user with an interaction is left",
            "check the files and --min-length");
      }
      Path target = out == null ? Path.of("runs", "data", dataset.name()) : out;
      if (Files.exists(target) && !DataFolders.isPrepared(target)) {
        throw new Refusal(
            target.toString(), "is there and is no dataset", "choose another folder with --out");
      }
      dataset.save(target);

      console.say("%s: %s", folder, imported.layout());
      Table counts = new Table("kept", "");
      counts.row("interactions", grouped(dataset.interactions()));
      counts.row("users", grouped(dataset.users()));
      counts.row("items", grouped(dataset.items()));
      counts.row("attributes", grouped(dataset.attributes().count()));
      console.say(counts);
      Table dropped = new Table("left out", "");
      imported.dropped().forEach((reason, n) -> dropped.row(reason, grouped(n)));
      console.say(dropped);
      console.say(attributes(dataset));
      console.say("written to %s", target);
      return map(
          "folder", target.toString(),
          "source", folder.toString(),
          "layout", imported.layout(),
          "fingerprint", dataset.fingerprint(),
          "interactions", dataset.interactions(),
          "users", dataset.users(),
          "items", dataset.items(),
          "attributes", dataset.attributes().names(),
          "dropped", imported.dropped());
    }
  }

  private static String attributes(Dataset dataset) {
    Attributes attributes = dataset.attributes();
    List<String> shown = new ArrayList<>();
    for (int a = 0; a < attributes.count(); a++) {
      shown.add(attributes.names().get(a) + " " + attributes.itemsWith(a));
    }
    return shown.isEmpty()
        ? "  no item has an attribute: features will have no labels"
        : "  items by attribute: " + String.join(", ", shown);
  }
}
