package dev.rhumb.bench.speed;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** The tables. */
public enum Group {
  /** Kernels, by shape. */
  KERNEL,
  /** Training steps and forward passes of the transformer. */
  TRAIN,
  /** Training steps of the autoencoder. */
  SAE,
  /** Single requests. */
  REQUEST;

  /** How large the tasks are. */
  public enum Scale {
    /** As in targets.md. */
    FULL,
    /** As small as can be: whether all of it works. */
    TINY
  }

  /** Its name on the command line and in file names. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Its work; the order is the same in every process. */
  public List<Item> items(Scale scale) {
    boolean full = scale == Scale.FULL;
    return switch (this) {
      case KERNEL -> full ? kernels() : tinyKernels();
      case TRAIN -> full ? training() : tinyTraining();
      case SAE ->
          full
              ? List.of(
                  new Item(new Task.SaeStep(4096, 64, 1024, 16), 2),
                  new Item(new Task.SaeStep(4096, 64, 4096, 32), 2))
              : List.of(new Item(new Task.SaeStep(64, 16, 48, 4), 1));
      case REQUEST ->
          full
              ? requests(
                  new Transformer(3706, 50, 64, 2), new Transformer(3706, 200, 64, 2), 4096, 32)
              : requests(new Transformer(211, 8, 16, 2), new Transformer(211, 12, 16, 2), 48, 4);
    };
  }

  /**
   * A task and how many threads share it.
   *
   * @param threads 1 or more
   */
  public record Item(Task task, int threads) {}

  /** The limits that shares are taken of. */
  public static List<Item> limits(Scale scale) {
    boolean full = scale == Scale.FULL;
    List<Item> all = new ArrayList<>();
    for (int threads : new int[] {1, 2}) {
      all.add(new Item(new Task.Limit("FMA", 0), threads));
      for (Level level : Level.values()) {
        int kilobytes = full ? level.kilobytes(threads) : 16;
        all.add(new Item(new Task.Limit(level.name(), kilobytes), threads));
      }
    }
    return all;
  }

  private static List<Item> kernels() {
    List<Task> tasks = new ArrayList<>();
    for (int d : new int[] {64, 128, 256}) {
      for (int rows : new int[] {50, 200, 6400}) {
        tasks.add(new Task.Gemm("linear", rows, d, d, false));
      }
    }
    for (int items : new int[] {3706, 27_278}) {
      for (int d : new int[] {64, 128, 256}) {
        for (int rows : new int[] {1, 32, 256}) {
          tasks.add(new Task.Gemm("catalogue", rows, items, d, true));
        }
      }
    }
    for (int features : new int[] {1024, 4096, 16_384}) {
      for (int d : new int[] {64, 256}) {
        for (int rows : new int[] {32, 4096}) {
          tasks.add(new Task.Gemm("dictionary", rows, features, d, false));
        }
      }
    }
    List<Item> all = new ArrayList<>();
    for (Task gemm : tasks) {
      all.add(new Item(gemm, 1));
      all.add(new Item(gemm, 2));
    }
    for (int rows : new int[] {1, 4096}) {
      for (int features : new int[] {1024, 4096, 16_384}) {
        all.add(new Item(new Task.Encode(rows, features, 32, 64, false), 1));
      }
    }
    all.add(new Item(new Task.Encode(1, 4096, 32, 64, true), 1));
    all.add(new Item(new Task.Encode(1, 16_384, 32, 64, true), 1));
    for (int items : new int[] {3706, 27_278, 1_000_000}) {
      all.add(new Item(new Task.Scan(items, 64, 10, false), 1));
      all.add(new Item(new Task.Scan(items, 64, 10, true), 1));
    }
    for (KernelCase kernel : KernelCase.values()) {
      int rows =
          switch (kernel) {
            case ATTENTION_LAST -> KernelCase.LENGTH;
            case PACK, NORMALISE_ROWS, PROJECT_ROWS, SCALE_ROWS, DOT_ROWS, ADAM_UNIT_ROWS, CLIP ->
                KernelCase.FEATURES;
            case ENCODE_ABOVE, DECODE, DECODE_LOSS, SAE_BACKWARD, COUNT_FIRED, STEER -> 4096;
            case TOP_ITEMS -> 128;
            default -> 128 * KernelCase.LENGTH;
          };
      all.add(new Item(new Task.Kernel(kernel, rows, 64), 1));
    }
    return all;
  }

  private static List<Item> tinyKernels() {
    List<Item> all = new ArrayList<>();
    all.add(new Item(new Task.Gemm("linear", 33, 17, 19, false), 1));
    all.add(new Item(new Task.Gemm("catalogue", 1, 211, 16, true), 1));
    all.add(new Item(new Task.Gemm("catalogue", 7, 211, 16, true), 2));
    all.add(new Item(new Task.Encode(5, 67, 4, 16, false), 1));
    all.add(new Item(new Task.Encode(1, 67, 4, 16, true), 1));
    all.add(new Item(new Task.Scan(1009, 16, 10, true), 1));
    for (KernelCase kernel : KernelCase.values()) {
      all.add(new Item(new Task.Kernel(kernel, 37, 16), 1));
    }
    return all;
  }

  private static List<Item> training() {
    Transformer narrow = new Transformer(3706, 200, 64, 2);
    Transformer wide = new Transformer(3706, 200, 256, 2);
    return List.of(
        new Item(new Task.TrainingStep(128, narrow), 2),
        new Item(new Task.Forward(128, narrow), 2),
        new Item(new Task.Forward(128, wide), 2));
  }

  private static List<Item> tinyTraining() {
    Transformer model = new Transformer(211, 12, 16, 2);
    return List.of(
        new Item(new Task.TrainingStep(3, model), 1), new Item(new Task.Forward(3, model), 2));
  }

  private static List<Item> requests(
      Transformer shorter, Transformer longer, int features, int kept) {
    List<Item> all = new ArrayList<>();
    for (Transformer model : List.of(shorter, longer)) {
      for (Task.Request.Kind kind : List.of(Task.Request.Kind.PLAIN, Task.Request.Kind.STEERED)) {
        all.add(new Item(new Task.Request(false, kind, model, features, kept), 1));
      }
    }
    for (Task.Request.Kind kind : Task.Request.Kind.values()) {
      all.add(new Item(new Task.Request(true, kind, longer, features, kept), 1));
    }
    return all;
  }
}
