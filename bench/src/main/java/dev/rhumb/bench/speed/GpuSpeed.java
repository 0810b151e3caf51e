package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.PackedEncoder;
import dev.rhumb.kernels.Sae;
import dev.rhumb.kernels.Selection;
import dev.rhumb.serve.PreparedRequest;
import dev.rhumb.serve.Recommender;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * Times the GPU's kernels at the shapes that bench/gpu/peers.py gives PyTorch, and prints one JSON
 * object a line: work, shape, who, milliseconds (the median of {@link #SAMPLES}), spread (the
 * widest less the narrowest sample, by the median). A sample is as many runs as take a tenth of a
 * second, put in the stream one after another, from the first launch to the last one's end. Inputs
 * of encodes and steered decodes are others than those of the run before, as many as pass the
 * second-level cache.
 */
public final class GpuSpeed {
  private static final int SAMPLES = 7;
  private static final double SAMPLE_SECONDS = 0.1;
  private static final long CACHE_BYTES = 128 << 20;
  private static final int MOST_SETS = 16;
  private static final int REQUESTS = 4000;

  private GpuSpeed() {}

  /** Runs them all, or the works whose names begin with the first argument. */
  public static void main(String[] args) {
    String only = args.length == 0 ? "" : args[0];
    for (Task task : tasks()) {
      if (task.work().startsWith(only)) {
        attempt(task.work(), task.shape(), () -> time(task));
      }
    }
    for (Selection selection : Selection.values()) {
      String work = selection == Selection.EXACT ? "TopK encode" : "TopK encode " + selection;
      if (work.startsWith(only)) {
        for (Task.Encode task : encodes()) {
          attempt(work, task.shape(), () -> encode(work, task, selection));
        }
      }
    }
    if ("prepared request".startsWith(only)) {
      for (boolean steered : new boolean[] {false, true}) {
        String shape = (steered ? "steered" : "plain") + ", T 200, D 64, V 3706, top 10";
        attempt("prepared request", shape, () -> requests(steered, shape));
      }
    }
    if ("steered decode".startsWith(only)) {
      for (int d : new int[] {64, 256}) {
        String shape = "B 32768, D " + d + ", 4 edits";
        attempt("steered decode", shape, () -> steeredDecode(d, shape));
      }
    }
  }

  /** One request after another, each waited for: the median and the 99th of 100. */
  private static void requests(boolean steered, String shape) {
    Transformer model = new Transformer(3706, 200, 64, 2);
    Steering steering = Steering.of(List.of(Edit.scale(5, 2), Edit.add(77, 1)));
    Path folder = Folders.temporary();
    try {
      ServedModel.write(folder, model, 4096, 32);
      try (Recommender recommender = Recommender.open(folder, ServedModel.SITE, Backend.CUDA);
          PreparedRequest request = recommender.prepare(10)) {
        int[] history = model.history(0);
        double[] times = new double[REQUESTS];
        for (int i = -REQUESTS / 4; i < REQUESTS; i++) {
          long start = System.nanoTime();
          if (steered) {
            request.recommend(history, history.length, steering);
          } else {
            request.recommend(history, history.length);
          }
          if (i >= 0) {
            times[i] = (System.nanoTime() - start) * 1e-6;
          }
        }
        Arrays.sort(times);
        String work = "prepared request";
        print(work, shape + ", p50", times[REQUESTS / 2], 0);
        print(work, shape + ", p99", times[REQUESTS * 99 / 100], 0);
      }
    } finally {
      Folders.delete(folder);
    }
  }

  private static List<Task.Encode> encodes() {
    List<Task.Encode> tasks = new ArrayList<>();
    for (int d : new int[] {64, 256, 768}) {
      for (int f : new int[] {4096, 16384, 65536}) {
        for (int b : new int[] {1, 256, 32768}) {
          tasks.add(new Task.Encode(b, f, f == 65536 ? 64 : 32, d, false));
        }
      }
    }
    return tasks;
  }

  private static List<Task> tasks() {
    Transformer sasrec = new Transformer(3706, 200, 64, 2);
    List<Task> tasks = new ArrayList<>();
    tasks.add(new Task.SaeStep(32768, 64, 16384, 32));
    tasks.add(new Task.SaeStep(32768, 256, 16384, 32));
    tasks.add(new Task.TrainingStep(512, sasrec));
    tasks.add(new Task.Forward(512, sasrec));
    for (int m : new int[] {1, 200, 25600}) {
      tasks.add(new Task.Gemm("layer", m, 64, 64, true));
      tasks.add(new Task.Gemm("layer", m, 256, 256, true));
    }
    tasks.add(new Task.Scan(3706, 64, 10, false));
    tasks.add(new Task.Scan(1_000_000, 64, 10, false));
    return tasks;
  }

  private static void attempt(String work, String shape, Runnable timing) {
    try {
      timing.run();
    } catch (RuntimeException | OutOfMemoryError e) {
      System.err.println(work + ", " + shape + ": " + e);
    }
  }

  private static void time(Task task) {
    try (Workload workload = new Rhumb(Backend.CUDA).prepare(task, 1)) {
      workload.run();
      task.check(workload.answer());
      measure(task.work(), task.shape(), workload::finish, workload::run);
    }
  }

  private static void encode(String work, Task.Encode task, Selection selection) {
    int rows = task.rows();
    int d = task.width();
    int features = task.features();
    int kept = task.kept();
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Slots slots = new Slots(kernels)) {
      Sae sae = kernels.sae();
      Buffer zeros = slots.floats(new float[Math.max(features, d)]);
      PackedEncoder encoder = slots.owned(sae.encoder(features, d));
      sae.pack(encoder, features, slots.floats(task.weight()), zeros, zeros, null, 0);
      Buffer values = slots.out((long) rows * kept);
      Buffer indices = slots.outInts((long) rows * kept);
      Runnable[] runs = new Runnable[sets(4L * rows * d)];
      for (int i = 0; i < runs.length; i++) {
        Buffer x = i == 0 ? slots.floats(task.x()) : slots.in((long) rows * d);
        runs[i] = () -> sae.encodeTopK(encoder, rows, kept, selection, x, d, indices, values);
      }
      if (selection == Selection.EXACT) {
        runs[0].run();
        task.check(Rhumb.top(values, indices, kept));
      }
      measure(work, task.shape(), kernels::finish, runs);
    }
  }

  private static void steeredDecode(int d, String shape) {
    int rows = 32768;
    int kept = 32;
    int features = 16384;
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Slots slots = new Slots(kernels)) {
      Buffer decoder = slots.in((long) features * d);
      Buffer bias = slots.in(d);
      Buffer values = slots.positive((long) rows * kept);
      Buffer indices = slots.outInts((long) rows * kept);
      int[] lists = new int[rows * kept];
      Arrays.setAll(lists, i -> (i % kept * 509 + i / kept) % features);
      indices.put(0, lists, 0, lists.length);
      EditTable edits = new EditTable(4);
      for (int e = 0; e < 4; e++) {
        edits.put(e * 509, EditTable.Op.SCALE, 2, 0);
      }
      Runnable[] steer = new Runnable[sets(8L * rows * d)];
      Runnable[] copy = new Runnable[steer.length];
      for (int i = 0; i < steer.length; i++) {
        Buffer x = slots.in((long) rows * d);
        Buffer y = slots.out((long) rows * d);
        steer[i] =
            () ->
                kernels
                    .sae()
                    .applyEdits(
                        rows, kept, features, d, indices, values, decoder, bias, x, d, edits, y, d);
        copy[i] = () -> y.copyFrom(x);
      }
      measure("steered decode", shape, kernels::finish, steer);
      measure("copy", shape, kernels::finish, copy);
    }
  }

  /** How many sets of inputs of so many bytes pass the second-level cache, as peers.py has it. */
  private static int sets(long bytes) {
    return Math.clamp(Math.ceilDiv(CACHE_BYTES, bytes), 1, MOST_SETS);
  }

  /** Times the runs, one after another and again from the first. */
  private static void measure(String work, String shape, Runnable wait, Runnable... runs) {
    seconds(runs, wait, Math.max(3, runs.length));
    long count = 1;
    double once = seconds(runs, wait, count);
    while (once < SAMPLE_SECONDS / 4 && count < 1 << 20) {
      count *= 4;
      once = seconds(runs, wait, count);
    }
    count = Math.max(1, Math.round(count * SAMPLE_SECONDS / once));
    double[] samples = new double[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
      samples[i] = 1e3 * seconds(runs, wait, count) / count;
    }
    Arrays.sort(samples);
    double median = samples[SAMPLES / 2];
    print(work, shape, median, (samples[SAMPLES - 1] - samples[0]) / median);
  }

  private static void print(String work, String shape, double milliseconds, double spread) {
    System.out.printf(
        Locale.ROOT,
        "{\"work\": \"%s\", \"shape\": \"%s\", \"who\": \"rhumb\", \"milliseconds\": %.6g,"
            + " \"spread\": %.3f}%n",
        work,
        shape,
        milliseconds,
        spread);
    System.out.flush();
  }

  private static double seconds(Runnable[] runs, Runnable wait, long count) {
    long start = System.nanoTime();
    for (long i = 0; i < count; i++) {
      runs[(int) (i % runs.length)].run();
    }
    wait.run();
    return (System.nanoTime() - start) * 1e-9;
  }
}
