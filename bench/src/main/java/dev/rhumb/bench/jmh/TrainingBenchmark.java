package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Transformer;
import org.openjdk.jmh.annotations.Param;

/** A training step of the transformer; see {@link Task.TrainingStep}. */
public class TrainingBenchmark extends WorkloadBenchmark {
  /** B. */
  @Param({"128"})
  public int sequences;

  /** T. */
  @Param({"200"})
  public int length;

  /** D. */
  @Param({"64"})
  public int width;

  /** V. */
  @Param({"3706"})
  public int items;

  @Override
  Task task() {
    return new Task.TrainingStep(sequences, new Transformer(items, length, width, 2));
  }
}
