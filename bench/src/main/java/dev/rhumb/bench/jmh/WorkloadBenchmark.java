package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Rhumb;
import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Workload;
import dev.rhumb.kernels.Backend;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * One task of the engine. Each fork prints the backend that runs, looks at the answer of the first
 * run before it measures and at the last one after.
 */
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(
    value = 5,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@State(Scope.Thread)
public abstract class WorkloadBenchmark {
  /** Which backend. */
  @Param({"SIMD"})
  public Backend backend;

  /** How many threads share the work of a run. */
  @Param({"1"})
  public int kernelThreads;

  private Task task;
  private Workload workload;

  /** What is measured. */
  abstract Task task();

  /** Prepares it. */
  @Setup(Level.Trial)
  public void setUp() {
    Rhumb engine = new Rhumb(backend);
    System.out.println("# " + engine.describe());
    task = task();
    workload = engine.prepare(task, kernelThreads);
    workload.before();
    workload.run();
    task.check(workload.answer());
  }

  /** What a run needs and is no part of it. */
  @Setup(Level.Invocation)
  public void before() {
    workload.before();
  }

  /** A run. */
  @Benchmark
  public void run() {
    workload.run();
  }

  /** Looks at the answer and frees it. */
  @TearDown(Level.Trial)
  public void tearDown() {
    try (Workload closing = workload) {
      task.check(closing.answer());
    }
  }
}
