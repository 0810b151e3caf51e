package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Task;
import org.openjdk.jmh.annotations.Param;

/** A product C (m, n) = A (m, k) B; see {@link Task.Gemm}. */
public class GemmBenchmark extends WorkloadBenchmark {
  /** m x n x k. */
  @Param({
    "50x64x64",
    "200x64x64",
    "6400x64x64",
    "6400x128x128",
    "6400x256x256",
    "1x3706x64",
    "32x3706x64",
    "256x3706x64",
    "1x27278x64",
    "32x27278x64",
    "256x27278x64",
    "32x4096x64",
    "4096x1024x64",
    "4096x4096x64",
    "4096x16384x64"
  })
  public String sizes;

  /** Whether B is given as (n, k). */
  @Param({"false", "true"})
  public boolean transB;

  @Override
  Task task() {
    String[] parts = sizes.split("x");
    return new Task.Gemm(
        "product",
        Integer.parseInt(parts[0]),
        Integer.parseInt(parts[1]),
        Integer.parseInt(parts[2]),
        transB);
  }
}
