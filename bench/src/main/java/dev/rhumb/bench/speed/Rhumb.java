package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.CompressedItems;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.PackedEncoder;
import dev.rhumb.kernels.Ranking;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;

/** The engine. */
public final class Rhumb implements Library {
  private final Backend backend;

  /** Runs of at most so many operations are held against the scalar backend in full. */
  private static final double CHECKED = 2e9;

  /** On the backend that runs here fastest, or that the setting {@code rhumb.backend} names. */
  public Rhumb() {
    this(null);
  }

  /** On a backend; null for the setting's. */
  public Rhumb(Backend backend) {
    this.backend = backend;
  }

  private Kernels open(int threads) {
    if (backend != null) {
      return Kernels.open(backend, threads);
    }
    try (Kernels chosen = Kernels.open()) {
      return Kernels.open(chosen.backend(), threads);
    }
  }

  /** The backend's line without its threads, which each task has its own of. */
  @Override
  public String describe() {
    try (Kernels kernels = open(1)) {
      return kernels.describe().replaceFirst(", \\d+ threads?$", "");
    }
  }

  @Override
  public Workload prepare(Task task, int threads) {
    return switch (task) {
      case Task.Gemm gemm -> gemm(gemm, open(threads));
      case Task.Encode encode -> encode(encode, open(threads));
      case Task.Scan scan -> scan(scan, open(threads));
      case Task.Kernel kernel -> kernel(kernel, open(threads));
      case Task.Forward forward -> forward(forward, open(threads));
      case Task.TrainingStep step -> Stepper.transformer(step, open(threads));
      case Task.SaeStep step -> Stepper.autoencoder(step, open(threads));
      case Task.Request request -> threads > 1 ? null : new ServedRequest(request, open(1));
      case Task.Limit _ -> null;
    };
  }

  private static Workload gemm(Task.Gemm task, Kernels kernels) {
    Slots slots = new Slots(kernels);
    int m = task.m();
    int n = task.n();
    int k = task.k();
    boolean transB = task.transB();
    Buffer a = slots.floats(task.a());
    Buffer b = slots.floats(task.b());
    Buffer c = slots.out((long) m * n);
    return new Made(
        slots,
        () -> kernels.dense().gemm(false, transB, m, n, k, 1, a, k, b, transB ? k : n, 0, c, n)) {
      @Override
      public float[] answer() {
        long[] places = task.places();
        float[] answer = new float[places.length];
        for (int i = 0; i < answer.length; i++) {
          c.get(places[i], answer, i, 1);
        }
        return answer;
      }
    };
  }

  private static Workload encode(Task.Encode task, Kernels kernels) {
    Slots slots = new Slots(kernels);
    int rows = task.rows();
    int kept = task.kept();
    int d = task.width();
    int features = task.features();
    Buffer zeros = slots.floats(new float[Math.max(features, d)]);
    PackedEncoder encoder = slots.owned(kernels.sae().encoder(features, d, task.compressed()));
    kernels.sae().pack(encoder, features, slots.floats(task.weight()), zeros, zeros, null, 0);
    Buffer x = slots.floats(task.x());
    Buffer values = slots.out((long) rows * kept);
    Buffer indices = slots.outInts((long) rows * kept);
    return new Made(
        slots, () -> kernels.sae().encodeTopK(encoder, rows, kept, x, d, indices, values)) {
      @Override
      public float[] answer() {
        return top(values, indices, kept);
      }
    };
  }

  private static Workload scan(Task.Scan task, Kernels kernels) {
    Slots slots = new Slots(kernels);
    int d = task.width();
    int k = task.k();
    Buffer table = slots.owned(kernels.allocate(DType.F32, (task.items() + 1L) * d));
    table.put(d, task.table(), 0, task.items() * d);
    Buffer h = slots.floats(task.h());
    Buffer scores = slots.out(k);
    Buffer items = slots.outInts(k);
    long rows = task.items() + 1L;
    Ranking ranking = kernels.ranking();
    CompressedItems compressed =
        task.compressed() ? slots.owned(ranking.compress(rows, d, table)) : null;
    Runnable run =
        task.compressed()
            ? () -> ranking.topItems(1, compressed, h, d, k, null, null, items, scores)
            : () -> ranking.topItems(1, d, rows, h, d, table, k, null, null, items, scores);
    return new Made(slots, run) {
      @Override
      public float[] answer() {
        return top(scores, items, k);
      }
    };
  }

  private static Workload kernel(Task.Kernel task, Kernels kernels) {
    if (task.flops() <= CHECKED) {
      Slots.checkOnce(task.kernel(), kernels, task.rows(), task.width());
    }
    Slots slots = new Slots(kernels);
    return new Made(slots, task.kernel().make(slots, task.rows(), task.width())) {
      @Override
      public float[] answer() {
        slots.finish.run();
        return slots.answer();
      }
    };
  }

  private static Workload forward(Task.Forward task, Kernels kernels) {
    Slots slots = new Slots(kernels);
    Transformer transformer = task.model();
    int n = transformer.length();
    Model model = slots.owned(transformer.model(kernels));
    Inference inference =
        slots.owned(new Inference(kernels, model, task.sequences(), task.sequences() * n));
    Batch batch = slots.owned(new Batch(kernels, task.sequences(), task.sequences() * n));
    for (int s = 0; s < task.sequences(); s++) {
      batch.add(transformer.history(s), 0, n);
    }
    batch.seal();
    return new Made(slots, () -> inference.run(batch)) {
      @Override
      public float[] answer() {
        float[] hidden = new float[transformer.width()];
        inference.lastHidden().get(0, hidden, 0, hidden.length);
        return hidden;
      }
    };
  }

  static float[] top(Buffer values, Buffer indices, int k) {
    float[] answer = new float[2 * k];
    int[] numbers = new int[k];
    values.get(0, answer, 0, k);
    indices.get(0, numbers, 0, k);
    for (int i = 0; i < k; i++) {
      answer[k + i] = numbers[i];
    }
    return answer;
  }

  /** A workload over slots and kernels, which it closes. */
  private abstract static class Made implements Workload {
    private final Slots slots;
    private final Runnable run;

    Made(Slots slots, Runnable run) {
      this.slots = slots;
      this.run = run;
    }

    @Override
    public void run() {
      run.run();
    }

    @Override
    public void finish() {
      slots.kernels.finish();
    }

    @Override
    public void close() {
      slots.close();
      slots.kernels.close();
    }
  }
}
