package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Task;
import org.openjdk.jmh.annotations.Param;

/** The exact TopK encode at D 64, K 32; see {@link Task.Encode}. */
public class EncodeBenchmark extends WorkloadBenchmark {
  /** B. */
  @Param({"1", "4096"})
  public int rows;

  /** F. */
  @Param({"1024", "4096", "16384"})
  public int features;

  /** Whether the engine reads a byte for each weight first. */
  @Param({"false", "true"})
  public boolean compressed;

  @Override
  Task task() {
    return new Task.Encode(rows, features, 32, 64, compressed);
  }
}
