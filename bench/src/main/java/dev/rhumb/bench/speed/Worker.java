package dev.rhumb.bench.speed;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The process that measures one library, told what to do line by line: {@code open I WARM} prepares
 * item I of its list, looks at its answer and warms it up, {@code sample SECONDS} times runs,
 * {@code close} looks again and frees. Each is answered by one line with {@link #MARK} before it;
 * whatever else a library prints is not for the runner.
 */
public final class Worker {
  /** What answers begin with. */
  static final String MARK = "@rhumb ";

  /** Quantiles of a sample that are told; a sample of fewer runs is told whole. */
  static final int QUANTILES = 1000;

  private static final int MOST_RUNS = 1 << 18;
  private static final int LEAST_WARM_RUNS = 3;

  /** The first task of a kind warms up so many times longer: the compiler is at work. */
  private static final int FIRST = 6;

  private final Library library;
  private final List<Group.Item> items;
  private final Set<Class<?>> kinds = new HashSet<>();
  private final long[] nanos = new long[MOST_RUNS];
  private Task task;
  private Workload workload;

  private Worker(Library library, List<Group.Item> items) {
    this.library = library;
    this.items = items;
  }

  /**
   * Serves until its input ends.
   *
   * @param args the library's class; a {@link Group}, or {@code limits}; a {@link Group.Scale}
   */
  public static void main(String[] args) throws Exception {
    PrintStream out = System.out;
    System.setOut(System.err);
    Group.Scale scale = Group.Scale.valueOf(args[2]);
    List<Group.Item> items =
        args[1].equals("limits") ? Group.limits(scale) : Group.valueOf(args[1]).items(scale);
    Library library = (Library) Class.forName(args[0]).getDeclaredConstructor().newInstance();
    Worker worker = new Worker(library, items);
    out.println(MARK + library.describe());
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String answer;
      try {
        answer = worker.answer(line.split(" "));
      } catch (RuntimeException | IOException | LinkageError e) {
        e.printStackTrace();
        answer =
            "failed "
                + (worker.task == null
                    ? ""
                    : worker.task.work() + ", " + worker.task.shape() + ": ")
                + e.toString().replace('\n', ' ');
      }
      out.println(MARK + answer);
    }
  }

  private String answer(String[] words) throws IOException {
    return switch (words[0]) {
      case "open" -> open(items.get(Integer.parseInt(words[1])), Double.parseDouble(words[2]));
      case "sample" -> sample(Double.parseDouble(words[1]));
      case "close" -> close();
      default -> throw new IOException("no such command: " + words[0]);
    };
  }

  private String open(Group.Item item, double warm) {
    task = item.task();
    workload = library.prepare(task, item.threads());
    if (workload == null) {
      return "none";
    }
    workload.before();
    workload.run();
    float[] answer = workload.answer();
    task.check(answer);
    boolean first =
        kinds.add(task instanceof Task.Kernel k ? k.kernel().getClass() : task.getClass());
    long until = System.nanoTime() + (long) (warm * 1e9 * (first ? FIRST : 1));
    for (int run = 0; run < LEAST_WARM_RUNS || System.nanoTime() < until; run++) {
      workload.before();
      workload.run();
    }
    return "ready";
  }

  private String sample(double seconds) {
    long most = (long) (seconds * 1e9);
    long sum = 0;
    int runs = 0;
    do {
      workload.before();
      long from = System.nanoTime();
      workload.run();
      nanos[runs] = System.nanoTime() - from;
      sum += nanos[runs++];
    } while (sum < most && runs < MOST_RUNS);
    Arrays.sort(nanos, 0, runs);
    StringBuilder answer = new StringBuilder("times");
    int told = Math.min(runs, QUANTILES);
    for (int i = 0; i < told; i++) {
      answer.append(' ').append(nanos[(int) ((2L * i + 1) * runs / (2L * told))]);
    }
    return answer.toString();
  }

  private String close() {
    try (Workload closing = workload) {
      task.check(closing.answer());
    } finally {
      workload = null;
    }
    return "closed";
  }
}
