package dev.rhumb.bench.speed;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Measures contenders against each other: all of them stand ready with the same item, and take
 * turns sample by sample, so that the machine's drift meets all alike. A sample that other
 * processes disturbed is taken again while there is patience. The whole is done anew in fresh
 * processes, because compiled code differs from one to the next.
 */
final class Race {
  private final Setting setting;
  private final WorkerProcess.Place place;
  private final Consumer<String> progress;
  private final Map<Contender, String> descriptions = new LinkedHashMap<>();

  /**
   * How much is measured.
   *
   * @param forks fresh processes of each contender
   * @param samples of each item in each process
   * @param window seconds of a sample at least
   * @param warm seconds before the first sample at least, six times that for the first item of a
   *     kind, and more until the compiler is done; 0 for none
   * @param patience seconds for an item in a process, for each contender, after which disturbed
   *     samples count too
   * @param disturbance share of a core that others may use in a sample
   */
  record Setting(
      Group.Scale scale,
      int forks,
      int samples,
      double window,
      double warm,
      double patience,
      double disturbance) {}

  Race(Setting setting, WorkerProcess.Place place, Consumer<String> progress) {
    this.setting = setting;
    this.place = place;
    this.progress = progress;
  }

  /**
   * Measures.
   *
   * @param list which list the workers know the items by
   * @param items that list
   * @param chosen which of it are measured
   * @return for each item chosen the times of those contenders that do such work
   */
  Map<Group.Item, Map<Contender, Times>> run(
      String list, List<Group.Item> items, Predicate<Task> chosen, List<Contender> contenders)
      throws IOException {
    Map<Group.Item, Map<Contender, Times>> all = new LinkedHashMap<>();
    for (int fork = 1; fork <= setting.forks; fork++) {
      List<WorkerProcess> workers = new ArrayList<>();
      try {
        for (Contender contender : contenders) {
          WorkerProcess worker = new WorkerProcess(contender, place, list, setting.scale);
          workers.add(worker);
          descriptions.put(contender, worker.description());
        }
        for (int i = 0; i < items.size(); i++) {
          Group.Item item = items.get(i);
          if (chosen.test(item.task())) {
            progress.accept(
                "process "
                    + fork
                    + " of "
                    + setting.forks
                    + ": "
                    + item.task().work()
                    + ", "
                    + item.task().shape());
            measure(workers, i, all.computeIfAbsent(item, key -> new LinkedHashMap<>()));
          }
        }
      } finally {
        for (WorkerProcess worker : workers) {
          worker.close();
        }
      }
    }
    return all;
  }

  /** What ran in the processes of each contender. */
  Map<Contender, String> descriptions() {
    return descriptions;
  }

  /** A peer that fails is left out and said so: the others' figures of a long run are kept. */
  private boolean opens(WorkerProcess worker, int item) throws IOException {
    try {
      return worker.open(item, setting.warm);
    } catch (IOException e) {
      if (!worker.contender().peer()) {
        throw e;
      }
      System.err.println("rhumb bench: left out: " + e.getMessage());
      return false;
    }
  }

  private void measure(List<WorkerProcess> workers, int item, Map<Contender, Times> into)
      throws IOException {
    List<WorkerProcess> ready = new ArrayList<>();
    for (WorkerProcess worker : workers) {
      if (opens(worker, item)) {
        ready.add(worker);
        into.computeIfAbsent(worker.contender(), key -> new Times()).fork();
      }
    }
    Map<WorkerProcess, List<double[]>> disturbed = new HashMap<>();
    Map<WorkerProcess, Integer> taken = new HashMap<>();
    Quiet quiet = new Quiet(setting.disturbance);
    long until = System.nanoTime() + (long) (setting.patience * 1e9 * ready.size());
    do {
      for (WorkerProcess worker : ready) {
        quiet.start(worker.pid());
        double[] nanos = worker.sample(setting.window);
        if (quiet.was(worker.pid())) {
          into.get(worker.contender()).add(nanos, true);
          taken.merge(worker, 1, Integer::sum);
        } else {
          disturbed.computeIfAbsent(worker, key -> new ArrayList<>()).add(nanos);
        }
      }
    } while (System.nanoTime() < until
        && ready.stream().anyMatch(w -> taken.getOrDefault(w, 0) < setting.samples));
    for (WorkerProcess worker : ready) {
      int missing = setting.samples - taken.getOrDefault(worker, 0);
      List<double[]> spare = disturbed.getOrDefault(worker, List.of());
      for (int i = 0; i < Math.min(missing, spare.size()); i++) {
        into.get(worker.contender()).add(spare.get(i), false);
      }
      worker.closeItem();
    }
  }
}
