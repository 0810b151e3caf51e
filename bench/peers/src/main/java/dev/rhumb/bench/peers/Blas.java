package dev.rhumb.bench.peers;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.rhumb.bench.speed.Library;
import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Workload;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** Products by a BLAS, called through FFM; the best of a catalogue are then selected in Java. */
abstract class Blas implements Library {
  private static final int ROW_MAJOR = 101;
  private static final int NO_TRANS = 111;
  private static final int TRANS = 112;
  private static final int TRIALS = 20;

  private final MethodHandle gemm;
  private final MethodHandle gemv;
  private final MethodHandle setThreads;

  /**
   * Loads a library.
   *
   * @param file below the folder of native libraries
   * @param setThreads the function that says how many threads
   */
  Blas(String file, String setThreads) {
    Linker linker = Linker.nativeLinker();
    SymbolLookup symbols =
        SymbolLookup.libraryLookup(
            Path.of(System.getProperty("rhumb.bench.native"), file), Arena.global());
    gemm =
        linker.downcallHandle(
            symbols.findOrThrow("cblas_sgemm"),
            FunctionDescriptor.ofVoid(
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_FLOAT,
                ADDRESS,
                JAVA_INT,
                ADDRESS,
                JAVA_INT,
                JAVA_FLOAT,
                ADDRESS,
                JAVA_INT));
    gemv =
        linker.downcallHandle(
            symbols.findOrThrow("cblas_sgemv"),
            FunctionDescriptor.ofVoid(
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_FLOAT,
                ADDRESS,
                JAVA_INT,
                ADDRESS,
                JAVA_INT,
                JAVA_FLOAT,
                ADDRESS,
                JAVA_INT));
    this.setThreads =
        linker.downcallHandle(symbols.findOrThrow(setThreads), FunctionDescriptor.ofVoid(JAVA_INT));
  }

  /** OpenBLAS. */
  public static final class OpenBlas extends Blas {
    /** Loads it. */
    public OpenBlas() {
      super("org/bytedeco/openblas/linux-x86_64/libopenblas.so.0", "openblas_set_num_threads");
    }

    @Override
    public String describe() {
      return "OpenBLAS 0.3.31";
    }
  }

  /** Intel's MKL. */
  public static final class Mkl extends Blas {
    /** Loads it. */
    public Mkl() {
      super("org/bytedeco/mkl/linux-x86_64/libmkl_rt.so.2", "MKL_Set_Num_Threads");
    }

    @Override
    public String describe() {
      return "MKL 2025.3";
    }
  }

  @Override
  public Workload prepare(Task task, int threads) {
    try {
      setThreads.invokeExact(threads);
    } catch (Throwable e) {
      throw failed(e);
    }
    return switch (task) {
      case Task.Gemm product -> product(product);
      case Task.Scan scan -> scan(scan);
      default -> null;
    };
  }

  private Workload product(Task.Gemm task) {
    Arena arena = Arena.ofShared();
    MemorySegment c = arena.allocate(4L * task.m() * task.n(), 64);
    Runnable run =
        multiply(
            task.m(),
            task.n(),
            task.k(),
            task.transB(),
            put(arena, task.a()),
            put(arena, task.b()),
            c);
    return new Workload() {
      @Override
      public void run() {
        run.run();
      }

      @Override
      public float[] answer() {
        long[] places = task.places();
        float[] answer = new float[places.length];
        for (int i = 0; i < answer.length; i++) {
          answer[i] = c.getAtIndex(JAVA_FLOAT, places[i]);
        }
        return answer;
      }

      @Override
      public void close() {
        arena.close();
      }
    };
  }

  private Workload scan(Task.Scan task) {
    Arena arena = Arena.ofShared();
    int items = task.items();
    int k = task.k();
    MemorySegment scores = arena.allocate(4L * items, 64);
    Runnable run =
        multiply(
            1, items, task.width(), true, put(arena, task.h()), put(arena, task.table()), scores);
    float[] best = new float[2 * k];
    return new Workload() {
      @Override
      public void run() {
        run.run();
        select(scores, items, k, best);
      }

      @Override
      public float[] answer() {
        return best.clone();
      }

      @Override
      public void close() {
        arena.close();
      }
    };
  }

  /** The k largest scores, then their items, which count from 1. */
  private static void select(MemorySegment scores, int items, int k, float[] best) {
    int count = 0;
    for (int i = 0; i < items; i++) {
      float score = scores.getAtIndex(JAVA_FLOAT, i);
      if (count == k && score <= best[k - 1]) {
        continue;
      }
      int at = count < k ? count++ : k - 1;
      for (; at > 0 && best[at - 1] < score; at--) {
        best[at] = best[at - 1];
        best[k + at] = best[k + at - 1];
      }
      best[at] = score;
      best[k + at] = i + 1;
    }
  }

  /** C = A B; for one row by whichever of the two routines is faster here. */
  private Runnable multiply(
      int m, int n, int k, boolean transB, MemorySegment a, MemorySegment b, MemorySegment c) {
    Runnable whole =
        () -> {
          try {
            gemm.invokeExact(
                ROW_MAJOR,
                NO_TRANS,
                transB ? TRANS : NO_TRANS,
                m,
                n,
                k,
                1f,
                a,
                k,
                b,
                transB ? k : n,
                0f,
                c,
                n);
          } catch (Throwable e) {
            throw failed(e);
          }
        };
    if (m > 1) {
      return whole;
    }
    Runnable row =
        () -> {
          try {
            gemv.invokeExact(
                ROW_MAJOR,
                transB ? NO_TRANS : TRANS,
                transB ? n : k,
                transB ? k : n,
                1f,
                b,
                transB ? k : n,
                a,
                1,
                0f,
                c,
                1);
          } catch (Throwable e) {
            throw failed(e);
          }
        };
    return best(row) < best(whole) ? row : whole;
  }

  private static long best(Runnable run) {
    long best = Long.MAX_VALUE;
    for (int i = 0; i < TRIALS; i++) {
      long from = System.nanoTime();
      run.run();
      best = Math.min(best, System.nanoTime() - from);
    }
    return best;
  }

  private static MemorySegment put(Arena arena, float[] values) {
    MemorySegment segment = arena.allocate(4L * values.length, 64);
    MemorySegment.copy(values, 0, segment, JAVA_FLOAT, 0, values.length);
    return segment;
  }

  private static IllegalStateException failed(Throwable e) {
    return new IllegalStateException("the call of BLAS failed", e);
  }
}
