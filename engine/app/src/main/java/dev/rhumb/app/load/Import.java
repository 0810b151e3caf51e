package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.Dataset;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.LongConsumer;
import java.util.stream.Collectors;

/**
 * A dataset made from files.
 *
 * @param dataset closed by {@link #close}, or by the caller itself
 * @param layout what the files were and how they were read
 * @param columns which column served as what
 * @param rows how many rows the interactions' files have
 * @param dropped what was left out, by reason
 * @param withoutAttributes how many items have no attribute
 */
public record Import(
    Dataset dataset,
    String layout,
    Map<String, String> columns,
    long rows,
    Map<String, Long> dropped,
    long withoutAttributes)
    implements AutoCloseable {

  /** Closes the dataset. */
  @Override
  public void close() {
    dataset.close();
  }

  /** Imports a folder of a known layout; users with fewer interactions are left out. */
  public static Import of(Path folder, Layout layout, int minLength) {
    return of(
        layout.plan(folder),
        Plan.Rules.NONE.withMinLength(minLength),
        Plan.Room.standard(),
        n -> {});
  }

  /**
   * Imports files.
   *
   * @param onBytes is told now and then how many more bytes of the interactions' files were read
   * @throws Refusal when a file is not what it should be, or nothing is left
   */
  public static Import of(Plan plan, Plan.Rules rules, Plan.Room room, LongConsumer onBytes) {
    Dropped dropped =
        new Dropped(
            rules.strict()
                ? Dropped.Leniency.NONE
                : plan.log().published() ? Dropped.Leniency.INCOMPLETE : Dropped.Leniency.ALL);
    try (DuckDb db = new DuckDb(room.temp(), room.memory())) {
      LogTable log = new LogTable(db, plan.log(), rules, dropped, onBytes);
      Map<String, String> columns = new LinkedHashMap<>(log.columns());
      ItemTable items = new ItemTable(db, log.itemIds(), dropped);
      if (plan.items() != null) {
        items.describe(plan.items());
      }
      if (plan.tags() != null) {
        items.tag(plan.tags());
      }
      columns.putAll(items.columns());
      Dataset dataset = log.dataset(plan.name(), items.catalogue());
      if (dataset.users() == 0) {
        dataset.close();
        throw new Refusal(
            plan.log().files().getFirst().file().toString(),
            "no interaction is left of " + log.read() + left(dropped),
            "check the columns and the options that leave rows out");
      }
      return new Import(
          dataset,
          plan.layout() == null ? log.description() : plan.layout(),
          columns,
          log.read(),
          dropped.counts(),
          items.withoutAttributes());
    }
  }

  private static String left(Dropped dropped) {
    String reasons =
        dropped.counts().entrySet().stream()
            .filter(reason -> reason.getValue() > 0)
            .map(reason -> reason.getValue() + " " + reason.getKey())
            .collect(Collectors.joining(", "));
    return reasons.isEmpty() ? "" : " (" + reasons + ")";
  }
}
