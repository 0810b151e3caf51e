package dev.rhumb.bench.load;

import dev.rhumb.bench.Figures;
import dev.rhumb.bench.ResultTable;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Settings;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.serve.Recommender;
import dev.rhumb.serve.Session;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.HdrHistogram.Histogram;

/**
 * Latency of requests on kept sessions under a load that does not wait for answers, for 1, 2 and 4
 * threads with a session each. A request appends an item and asks for the best 10.
 *
 * <p>Settings, as system properties or as RHUMB_LOAD_SECONDS and so on:
 *
 * <ul>
 *   <li>{@code rhumb.load.model}: a model folder with one autoencoder; else one of MovieLens 1M's
 *       size is generated
 *   <li>{@code rhumb.load.rate}: requests a second over all threads; else half of what they answer
 *       when each request follows the one before at once
 *   <li>{@code rhumb.load.arrivals}: uniform or poisson; else both, one after the other
 *   <li>{@code rhumb.load.seconds}: of each part; 5 by default, and as long for its reference
 * </ul>
 *
 * <p>What the machine itself does to latencies shows in a reference: the same arrivals, each
 * answered by a computation in registers that takes as long as half of the requests did.
 */
public final class Load {
  private static final int K = 10;
  private static final int EDITS = 4;
  private static final int MOST_SECONDS = 3600;

  /** A user asks so often, then the next one comes, with no history. */
  private enum Kind {
    PLAIN("plain", false, 1),
    STEERED("steered", true, 1),
    /** Past T the window starts anew with every T / 4th item. */
    BEYOND_T("steered, histories of up to 4 T", true, 4);

    final String label;
    final boolean steered;
    final int windows;

    Kind(String label, boolean steered, int windows) {
      this.label = label;
      this.steered = steered;
      this.windows = windows;
    }
  }

  private final Recommender recommender;
  private final Backend backend;
  private final int window;
  private final List<Boolean> poisson;
  private final int seconds;
  private final int rate;

  private Load(Recommender recommender, Backend backend, int window) {
    this.recommender = recommender;
    this.backend = backend;
    this.window = window;
    String arrivals = Settings.get("rhumb.load.arrivals");
    poisson =
        switch (arrivals) {
          case null -> List.of(false, true);
          case "uniform" -> List.of(false);
          case "poisson" -> List.of(true);
          default ->
              throw new IllegalArgumentException(
                  "rhumb.load.arrivals=" + arrivals + ": poisson or uniform is needed");
        };
    seconds = Settings.integer("rhumb.load.seconds", 5, 1, MOST_SECONDS);
    rate = Settings.integer("rhumb.load.rate", 0, 1, 10_000_000);
  }

  /**
   * Runs it.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    String given = Settings.get("rhumb.load.model");
    Path folder =
        given != null ? Path.of(given) : GeneratedModel.make(Path.of(args[0], "load", "model"));
    ResultTable table =
        new ResultTable(
            Path.of(args[1]), "load", "Latency of requests under load", "bench/load.sh");
    try (Kernels kernels = Kernels.open();
        Recommender recommender = Recommender.open(folder)) {
      int window = given != null ? windowOf(kernels, folder) : GeneratedModel.LENGTH;
      Load load = new Load(recommender, kernels.backend(), window);
      String shape = given != null ? folder.getFileName().toString() : GeneratedModel.SHAPE;
      table.note(load.explain());
      for (Kind kind : Kind.values()) {
        if (kind.steered && recommender.sae() == null) {
          continue;
        }
        for (int threads : new int[] {1, 2, 4}) {
          for (boolean poisson : load.poisson) {
            load.part(table, kind, threads, poisson, shape);
          }
        }
      }
    }
    table.write();
  }

  private String explain() {
    String collectors =
        ManagementFactory.getGarbageCollectorMXBeans().stream()
            .map(GarbageCollectorMXBean::getName)
            .collect(Collectors.joining(", "));
    return String.format(
        Locale.ROOT,
        "A request appends an item to a kept session and asks for the best %d, with %d edits where it is steered. Arrivals"
            + " are fixed beforehand, evenly spaced or a Poisson process, for each thread its own; a latency runs from"
            + " when the request was due, so that waiting behind a slow one counts (of a Poisson process at half load"
            + " p99.9 / p50 is about 5 though all requests take the same). The rate is %s. Service: from when work on a"
            + " request began. A user comes without a history, and the next one comes when it is full (T items, or 4 T,"
            + " where the window starts anew with every T / 4th item). Fixed work: the same arrivals right after, each"
            + " answered by a computation in registers that takes as long as half of the requests did; what it shows is"
            + " the machine's doing. %d s for each, after a warm-up. Collector: %s; heap up to %d MB.",
        K,
        EDITS,
        rate > 0
            ? "given"
            : "half of the capacity, which is what the threads answer when each request follows the"
                + " one before at once",
        seconds,
        collectors,
        Runtime.getRuntime().maxMemory() >> 20);
  }

  private void part(ResultTable table, Kind kind, int threads, boolean poisson, String shape)
      throws Exception {
    String name =
        String.format(
            "%s, %d %s, %s",
            kind.label, threads, threads == 1 ? "thread" : "threads", poisson ? "Poisson" : "even");
    try (Kernels kernels = Kernels.open(backend, threads)) {
      table.part(
          name,
          shape,
          kernels,
          Figures.Reference.NONE,
          figures -> run(kind, threads, poisson, figures));
    }
  }

  private void run(Kind kind, int threads, boolean poisson, Figures figures) throws Exception {
    List<User> users = new ArrayList<>();
    try {
      for (int i = 0; i < threads; i++) {
        users.add(new User(recommender, kind, window, i));
      }
      double capacity = capacity(users);
      double offered = rate > 0 ? rate : capacity / 2;
      List<long[]> arrivals = new ArrayList<>();
      for (int i = 0; i < threads; i++) {
        arrivals.add(OpenLoop.arrivals(poisson, offered / threads, seconds, i, threads));
      }
      OpenLoop.Outcome outcome = OpenLoop.run(users, arrivals);
      Histogram latency = outcome.latency();
      double typical = micros(outcome.service(), 50);
      Histogram reference = OpenLoop.run(fixedWork(threads, typical), arrivals).latency();
      figures.add("capacity", capacity, "/s");
      figures.add("offered", offered, "/s");
      figures.add("answered", outcome.perSecond(), "/s");
      figures.add("p50", micros(latency, 50), "us");
      figures.add("p99", micros(latency, 99), "us");
      figures.add("p99.9", micros(latency, 99.9), "us");
      figures.add("max", latency.getMaxValue() * 1e-3, "us");
      figures.add("p99.9 / p50", micros(latency, 99.9) / micros(latency, 50));
      figures.add("service p50", typical, "us");
      figures.add("service p99.9", micros(outcome.service(), 99.9), "us");
      figures.add("fixed work p50", micros(reference, 50), "us");
      figures.add("fixed work p99.9", micros(reference, 99.9), "us");
      figures.add("fixed work p99.9 / p50", micros(reference, 99.9) / micros(reference, 50));
    } finally {
      users.forEach(User::close);
    }
  }

  private static double micros(Histogram histogram, double percentile) {
    return histogram.getValueAtPercentile(percentile) * 1e-3;
  }

  /** Requests a second of all servers together when nobody waits. */
  private double capacity(List<User> users) throws Exception {
    double part = Math.min(seconds, 3);
    // All due at the start: each request follows the one before at once. Grown until it takes long.
    for (int requests = 1000; ; requests *= 4) {
      List<long[]> atOnce = new ArrayList<>();
      for (int i = 0; i < users.size(); i++) {
        atOnce.add(new long[requests]);
      }
      double perSecond = OpenLoop.run(users, atOnce).perSecond();
      if (requests * users.size() / perSecond > part / 4) {
        return perSecond;
      }
    }
  }

  /** Servers whose answers take some time, as the machine is while nothing else runs. */
  private static List<FixedWork> fixedWork(int servers, double micros) {
    FixedWork work = new FixedWork(1 << 20);
    double least = Double.POSITIVE_INFINITY;
    // The first of them run before the compiler is done, so only the last ones count.
    for (int i = 0; i < 400; i++) {
      long start = System.nanoTime();
      work.answer();
      double taken = System.nanoTime() - start;
      least = i < 380 ? least : Math.min(least, taken);
    }
    int steps = (int) Math.max(1, micros * 1e3 / least * work.steps);
    return Stream.generate(() -> new FixedWork(steps)).limit(servers).toList();
  }

  /** A chain of operations on one number. */
  private static final class FixedWork implements OpenLoop.Server {
    private final int steps;
    private long number = 1;

    FixedWork(int steps) {
      this.steps = steps;
    }

    @Override
    public void answer() {
      long x = number;
      for (int i = 0; i < steps; i++) {
        x = x * 6364136223846793005L + 1442695040888963407L; // Knuth's generator.
      }
      number = x;
    }
  }

  private static int windowOf(Kernels kernels, Path folder) {
    try (ModelFolder opened = ModelFolder.open(kernels, folder)) {
      return opened.model().config().maxLength();
    }
  }

  /** A session and who asks it. */
  private static final class User implements OpenLoop.Server, AutoCloseable {
    private final Session session;
    private final Steering steering;
    private final SplittableRandom random;
    private final int items;
    private final int most;

    User(Recommender recommender, Kind kind, int window, int number) {
      items = recommender.catalogue().items();
      most = Math.min(items - K, kind.windows * window);
      random = new SplittableRandom(number);
      List<Edit> edits = new ArrayList<>();
      for (int i = 0; kind.steered && i < EDITS; i++) {
        edits.add(Edit.add(i * 7 % recommender.sae().features(), 1));
      }
      steering = kind.steered ? Steering.of(edits) : null;
      session = recommender.newSession();
      session.warmUp(K, steering);
    }

    @Override
    public void answer() {
      if (session.length() == most) {
        session.clear();
      }
      session.append(1 + random.nextInt(items));
      int count =
          (steering == null ? session.recommend(K) : session.recommend(K, steering)).count();
      if (count != K) {
        throw new IllegalStateException("an answer of " + count + " items, not " + K);
      }
    }

    @Override
    public void close() {
      session.close();
    }
  }
}
