package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.grouped;
import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Truth;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;
import picocli.CommandLine.Option;

/** A generated world in place of files. */
final class GeneratedOptions {
  @Option(
      names = "--generated",
      paramLabel = "WORLD",
      description =
          "Instead of reading files, generate a world with planted interests, and write their truth"
              + " beside the dataset: toy, demo, small, ml-1m, 100k, 1m or 10m.")
  private String name;

  @Option(names = "--seed", paramLabel = "N", description = "Of the generated world (default: 1).")
  private Long seed;

  @Option(
      names = "--set",
      paramLabel = "SETTING=VALUE",
      description =
          "Change a setting of the generated world, such as users=500 or drift=.02; may be given"
              + " again. A wrong name lists them all.")
  private final Map<String, Double> settings = new LinkedHashMap<>();

  /** Whether any of them was given. */
  boolean given() {
    return name != null || seed != null || !settings.isEmpty();
  }

  /**
   * Makes the world and writes it.
   *
   * @param usage what to throw where an option is wrong
   */
  Map<String, Object> make(
      Console console, Path out, Function<String, ? extends RuntimeException> usage) {
    if (name == null) {
      throw usage.apply("--seed and --set are for a generated world: give --generated too");
    }
    GeneratedWorld.Config config;
    try {
      config = config();
    } catch (IllegalArgumentException e) {
      throw usage.apply(e.getMessage());
    }
    Path target = out == null ? Path.of("runs", "data", name) : out;
    if (Files.exists(target) && !DataFolders.isPrepared(target)) {
      throw new Refusal(
          target.toString(), "is there and is no dataset", "choose another folder with --out");
    }
    long number = seed == null ? 1 : seed;
    try (GeneratedWorld world = GeneratedWorld.make(name, config, number)) {
      world.save(target);
      Dataset dataset = world.dataset();
      Truth truth = world.truth();
      Table counts = new Table("generated", "");
      counts.row("interactions", grouped(dataset.interactions()));
      counts.row("users", grouped(dataset.users()));
      counts.row("items", grouped(dataset.items()));
      counts.row("interests", grouped(truth.interests()));
      counts.row("of them with a parent", grouped(truth.parents().size()));
      console.say(counts);
      console.say("written to %s, with the truth in truth.safetensors", target);
      return map(
          "folder", target.toString(),
          "world", name,
          "seed", number,
          "fingerprint", dataset.fingerprint(),
          "interactions", dataset.interactions(),
          "users", dataset.users(),
          "items", dataset.items(),
          "interests", truth.interests());
    }
  }

  private GeneratedWorld.Config config() {
    GeneratedWorld.Config config = GeneratedWorld.Config.named(name);
    Map<String, Double> changed = new LinkedHashMap<>(settings);
    // Without a hierarchy there are as many roots as interests, however many there are.
    if (config.roots() == config.interests() && changed.containsKey("interests")) {
      changed.putIfAbsent("roots", changed.get("interests"));
    }
    return config.with(changed);
  }
}
