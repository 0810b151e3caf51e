package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Task;
import org.openjdk.jmh.annotations.Param;

/** A training step of a TopK autoencoder; see {@link Task.SaeStep}. */
public class SaeBenchmark extends WorkloadBenchmark {
  /** B. */
  @Param({"4096"})
  public int rows;

  /** F and K. */
  @Param({"1024/16", "4096/32"})
  public String features;

  @Override
  Task task() {
    String[] parts = features.split("/");
    return new Task.SaeStep(rows, 64, Integer.parseInt(parts[0]), Integer.parseInt(parts[1]));
  }
}
