package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.grouped;
import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.load.Import;
import dev.rhumb.app.load.Layout;
import dev.rhumb.app.load.Plan;
import dev.rhumb.app.load.Source;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Progress;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.data.Attributes;
import dev.rhumb.data.Dataset;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Makes a dataset folder of an interaction log. */
@picocli.CommandLine.Command(
    name = "prepare",
    description = "Interactions and item attributes -> a dataset folder.")
final class PrepareCommand extends Command {
  private static final int SHOWN = 40;

  @Mixin private DataOptions data;
  @Mixin private GeneratedOptions generated;

  @Option(
      names = "--interactions",
      paramLabel = "FILE",
      split = ",",
      description =
          "Interactions, in place of --data: CSV, TSV, JSON lines or Parquet, text also as gzip; of"
              + " several files all with the same columns.")
  private List<Path> interactions = List.of();

  @Option(
      names = "--items",
      paramLabel = "FILE",
      description = "Titles and attributes of items, in the same formats.")
  private Path items;

  @Option(
      names = "--tags",
      paramLabel = "FILE",
      description = "Tags of items, a row for each, in the same formats.")
  private Path tags;

  @Option(
      names = "--out",
      paramLabel = "FOLDER",
      description = "Where the dataset goes (default: runs/data/NAME).")
  private Path out;

  @Option(
      names = "--name",
      description = "Name of the dataset (default: that of the folder or first file).")
  private String name;

  /** Which columns are what: by name, or by number from 1. */
  static final class ColumnOptions {
    @Option(names = "--user", paramLabel = "COLUMN", description = "User (default: usual names).")
    private String user;

    @Option(names = "--item", paramLabel = "COLUMN", description = "Item (default: usual names).")
    private String item;

    @Option(
        names = "--time",
        paramLabel = "COLUMN",
        description =
            "Time: a number since 1970, or an ISO date (default: usual names; without one the order"
                + " of rows is that of time).")
    private String time;

    @Option(
        names = "--time-unit",
        paramLabel = "UNIT",
        description = "Of times that are numbers: s, ms, us or ns (default: by their size).")
    private Plan.TimeUnit timeUnit;

    @Option(names = "--rating", paramLabel = "COLUMN", description = "Rating, for --min-rating.")
    private String rating;

    @Option(names = "--item-id", paramLabel = "COLUMN", description = "Item, in --items.")
    private String itemId;

    @Option(names = "--title", paramLabel = "COLUMN", description = "Title, in --items.")
    private String title;

    @Option(
        names = "--attributes",
        paramLabel = "COLUMN",
        split = ",",
        description = "Attributes, in --items: texts, lists or numbers (default: usual names).")
    private List<String> attributes = List.of();

    @Option(
        names = "--separator",
        paramLabel = "TEXT",
        defaultValue = "|",
        description = "Between the attributes of one field (default: ${DEFAULT-VALUE}).")
    private String separator;

    @Option(
        names = "--bins",
        paramLabel = "N",
        defaultValue = "10",
        description =
            "Quantile bins of an attribute of numbers; 0 takes numbers as texts (default:"
                + " ${DEFAULT-VALUE}).")
    private int bins;

    @Option(names = "--tag-item", paramLabel = "COLUMN", description = "Item, in --tags.")
    private String tagItem;

    @Option(names = "--tag", paramLabel = "COLUMN", description = "Tag, in --tags.")
    private String tag;

    @Option(
        names = "--min-tag",
        paramLabel = "N",
        defaultValue = "5",
        description = "Items that a tag needs to count (default: ${DEFAULT-VALUE}).")
    private int leastTag;
  }

  /** How text is written, where that is not seen from the first lines. */
  static final class TextOptions {
    @Option(
        names = "--delimiter",
        paramLabel = "TEXT",
        description = "Between fields; \\t is a tab (default: by the first lines of each file).")
    private String delimiter;

    @Option(
        names = "--header",
        negatable = true,
        description = "The first line names the columns, or not (default: by the names).")
    private Boolean header;

    @Option(names = "--no-quotes", description = "Double quotes are plain characters.")
    private boolean noQuotes;

    @Option(
        names = "--encoding",
        paramLabel = "NAME",
        defaultValue = "UTF-8",
        description = "UTF-8 or ISO-8859-1 (default: ${DEFAULT-VALUE}).")
    private String encoding;
  }

  /** Which interactions are kept. */
  static final class RuleOptions {
    @Option(
        names = "--min-rating",
        paramLabel = "X",
        description = "Leave out interactions with a lower rating.")
    private Double minRating;

    @Option(
        names = "--repeats",
        paramLabel = "WHAT",
        defaultValue = "distinct",
        description =
            "keep: all rows; distinct: one of those with the same user, item and time; first or last:"
                + " a user's first or last interaction with an item (default: ${DEFAULT-VALUE}).")
    private Plan.Repeats repeats;

    @Option(
        names = "--max-length",
        paramLabel = "N",
        defaultValue = "0",
        description = "Keep a user's newest N interactions; 0 for all (default: ${DEFAULT-VALUE}).")
    private int maxLength;

    @Option(
        names = "--k-core",
        paramLabel = "N",
        defaultValue = "1",
        description =
            "Leave out users and items with fewer interactions, until none is left (default:"
                + " ${DEFAULT-VALUE}).")
    private int core;

    @Option(
        names = "--min-length",
        paramLabel = "N",
        defaultValue = "1",
        description = "Leave out users with fewer interactions (default: ${DEFAULT-VALUE}).")
    private int minLength;

    @Option(
        names = "--strict",
        description = "Refuse the first faulty row instead of leaving such rows out.")
    private boolean strict;
  }

  /** What the work may use. */
  static final class RoomOptions {
    @Option(
        names = "--memory",
        paramLabel = "AMOUNT",
        defaultValue = "1500MB",
        description = "Memory of the database, beside the Java heap (default: ${DEFAULT-VALUE}).")
    private String memory;

    @Option(
        names = "--temp",
        paramLabel = "FOLDER",
        description = "Where the rest goes meanwhile (default: the system's).")
    private Path temp;
  }

  @ArgGroup(exclusive = false, heading = "Columns, by name or by number from 1:%n")
  private ColumnOptions columns = new ColumnOptions();

  @ArgGroup(exclusive = false, heading = "Text:%n")
  private TextOptions text = new TextOptions();

  @ArgGroup(exclusive = false, heading = "What is kept, in the order in which it is decided:%n")
  private RuleOptions rules = new RuleOptions();

  @ArgGroup(exclusive = false, heading = "Room:%n")
  private RoomOptions room = new RoomOptions();

  @Override
  Map<String, Object> work(Console console) {
    check();
    if (generated.given()) {
      return generated.make(console, out, this::usage);
    }
    Plan plan = plan();
    Path target = out == null ? Path.of("runs", "data", plan.name()) : out;
    if (!DataFolders.takesDataset(target)) {
      throw new Refusal(
          target.toString(), "is there and is no dataset", "choose another folder with --out");
    }
    Import imported;
    try (Progress progress = console.progress("reading", bytes(plan))) {
      long[] read = {0};
      imported =
          Import.of(
              plan,
              new Plan.Rules(
                  rules.minRating,
                  rules.repeats,
                  rules.maxLength,
                  rules.core,
                  rules.minLength,
                  rules.strict),
              new Plan.Room(
                  room.temp == null ? Plan.Room.standard().temp() : room.temp, room.memory),
              n -> progress.at(read[0] += n, ""));
    }
    try (Dataset dataset = imported.dataset()) {
      dataset.save(target);
      String source = plan.log().files().getFirst().file().toString();
      console.say("%s: %s", source, imported.layout());
      console.say(
          "  %s",
          imported.columns().entrySet().stream()
              .map(column -> column.getKey() + ": " + column.getValue())
              .collect(Collectors.joining(", ")));
      Table counts = new Table("kept", "");
      counts.row("interactions", grouped(dataset.interactions()));
      counts.row("users", grouped(dataset.users()));
      counts.row("items", grouped(dataset.items()));
      counts.row("attributes", grouped(dataset.attributes().count()));
      counts.row("items without attributes", grouped(imported.withoutAttributes()));
      console.say(counts);
      Table dropped = new Table("left out", "");
      imported.dropped().forEach((reason, n) -> dropped.row(reason, grouped(n)));
      dropped.row(
          "rows left out of " + grouped(imported.rows()),
          grouped(imported.rows() - dataset.interactions()));
      console.say(dropped);
      console.say("%s", attributes(dataset));
      console.say("written to %s", target);
      return map(
          "folder", target.toString(),
          "source", source,
          "layout", imported.layout(),
          "columns", imported.columns(),
          "fingerprint", dataset.fingerprint(),
          "rows", imported.rows(),
          "interactions", dataset.interactions(),
          "users", dataset.users(),
          "items", dataset.items(),
          "times", dataset.hasTimes(),
          "attributes", dataset.attributes().names(),
          "items_without_attributes", imported.withoutAttributes(),
          "dropped", imported.dropped());
    }
  }

  private void check() {
    require(rules.minLength >= 1, "--min-length " + rules.minLength + " must be 1 or more");
    require(rules.core >= 1, "--k-core " + rules.core + " must be 1 or more");
    require(rules.maxLength >= 0, "--max-length " + rules.maxLength + " must be 0 or more");
    require(
        rules.maxLength == 0 || rules.maxLength >= Math.max(rules.minLength, rules.core),
        "--max-length is below --min-length or --k-core: nobody would be left");
    require(
        rules.minRating == null || Double.isFinite(rules.minRating),
        "--min-rating must be a number");
    require(columns.bins >= 0, "--bins " + columns.bins + " must be 0 or more");
    require(columns.leastTag >= 1, "--min-tag " + columns.leastTag + " must be 1 or more");
    require(text.delimiter == null || !text.delimiter.isEmpty(), "--delimiter must not be empty");
    require(
        interactions.isEmpty() || data.named() == null,
        "--data and --interactions: name one of them");
    require(
        items == null || !interactions.isEmpty(),
        "--items needs --interactions; a folder has its own");
  }

  private void require(boolean good, String message) {
    if (!good) {
      throw usage(message);
    }
  }

  private Plan plan() {
    Plan.Tags tagging =
        tags == null
            ? null
            : new Plan.Tags(source(tags), columns.tagItem, columns.tag, columns.leastTag);
    if (interactions.isEmpty()) {
      Path folder = DataFolders.find(data.named(), DataFolders.DEFAULT).orRefuse();
      if (DataFolders.isPrepared(folder)) {
        throw new Refusal(folder.toString(), "is a prepared dataset already", "use it as --data");
      }
      Plan plan = Layout.of(folder).orElseThrow().plan(folder);
      return new Plan(
          name == null ? plan.name() : name, plan.layout(), plan.log(), plan.items(), tagging);
    }
    return new Plan(
        name == null
            ? interactions.getFirst().getFileName().toString().replaceFirst("(?<=.)[.].*", "")
            : name,
        null,
        new Plan.Log(
            interactions.stream().map(this::source).toList(),
            columns.user,
            columns.item,
            columns.time,
            columns.rating,
            columns.timeUnit,
            null,
            false),
        items == null
            ? null
            : new Plan.Items(
                source(items),
                columns.itemId,
                columns.title,
                columns.attributes,
                columns.separator,
                columns.bins),
        tagging);
  }

  private Source source(Path file) {
    return new Source(
        file,
        null,
        text.delimiter == null ? null : text.delimiter.replace("\\t", "\t"),
        text.header,
        !text.noQuotes,
        charset());
  }

  private Charset charset() {
    return switch (text.encoding.toUpperCase(Locale.ROOT)) {
      case "UTF-8", "UTF8" -> StandardCharsets.UTF_8;
      case "ISO-8859-1", "LATIN-1", "LATIN1" -> StandardCharsets.ISO_8859_1;
      default -> throw usage("--encoding " + text.encoding + ": there are UTF-8 and ISO-8859-1");
    };
  }

  private static long bytes(Plan plan) {
    long bytes = 0;
    for (Source source : plan.log().files()) {
      bytes += source.file().toFile().length();
    }
    return bytes;
  }

  private static String attributes(Dataset dataset) {
    Attributes attributes = dataset.attributes();
    List<String> shown = new ArrayList<>();
    for (int a = 0; a < attributes.count(); a++) {
      shown.add(attributes.names().get(a) + " " + attributes.itemsWith(a));
    }
    if (shown.size() > SHOWN) {
      int more = shown.size() - SHOWN;
      shown.subList(SHOWN, shown.size()).clear();
      shown.add("and " + more + " more");
    }
    return shown.isEmpty()
        ? "  no item has an attribute: features will have no labels"
        : "  items by attribute: " + String.join(", ", shown);
  }
}
