package dev.rhumb.bench.speed;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
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

  /** The first task of a kind warms up so many times longer: the compiler is at work. */
  private static final int FIRST = 6;

  /** Seconds after which a warm-up ends, settled or not. */
  private static final double MOST_WARM = 20;

  /** Seconds of a warm-up that are looked at together. */
  private static final double WARM_WINDOW = 0.1;

  /** A sample begins with runs that are not timed, for this share of its time, one at least. */
  private static final double UNTIMED = 0.25;

  /** The share of a window that an idle compiler may work. */
  private static final double COMPILING = 0.1;

  /** A window whose fastest run takes less than this share of the fastest before is a gain. */
  private static final double FASTER = 0.97;

  private static final CompilationMXBean COMPILATION = ManagementFactory.getCompilationMXBean();

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
    if (warm > 0) {
      warm(warm * (first ? FIRST : 1));
    }
    return "ready";
  }

  /**
   * Runs for some seconds at least, then until the compiler is done: twice in a row it has done
   * little and no run was faster than before.
   */
  private void warm(double seconds) {
    long end = System.nanoTime() + (long) (MOST_WARM * 1e9);
    long fastest = fastest(seconds);
    for (int settled = 0; settled < 2 && System.nanoTime() < end; ) {
      long compiled = COMPILATION.getTotalCompilationTime();
      long now = fastest(WARM_WINDOW);
      boolean idle =
          COMPILATION.getTotalCompilationTime() - compiled < COMPILING * WARM_WINDOW * 1000;
      settled = idle && now > FASTER * fastest ? settled + 1 : 0;
      fastest = Math.min(fastest, now);
    }
  }

  /** Nanoseconds of the fastest run of some seconds. */
  private long fastest(double seconds) {
    long end = System.nanoTime() + (long) (seconds * 1e9);
    long fastest = Long.MAX_VALUE;
    do {
      workload.before();
      long from = System.nanoTime();
      workload.run();
      fastest = Math.min(fastest, System.nanoTime() - from);
    } while (System.nanoTime() < end);
    return fastest;
  }

  private String sample(double seconds) {
    // The others' turn has left their data in the caches, which a series of runs does not meet.
    fastest(seconds * UNTIMED);
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
