package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.KernelCase;
import dev.rhumb.bench.speed.Task;
import org.openjdk.jmh.annotations.Param;

/** Every other kernel; see {@link KernelCase}. */
public class KernelBenchmark extends WorkloadBenchmark {
  /** Which. */
  @Param public KernelCase kernel;

  /** N. */
  @Param({"4096"})
  public int rows;

  /** D. */
  @Param({"64"})
  public int width;

  @Override
  Task task() {
    return new Task.Kernel(kernel, rows, width);
  }
}
