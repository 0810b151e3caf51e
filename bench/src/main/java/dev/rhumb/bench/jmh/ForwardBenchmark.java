package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Transformer;
import org.openjdk.jmh.annotations.Param;

/** A forward pass over a batch; see {@link Task.Forward}. */
public class ForwardBenchmark extends WorkloadBenchmark {
  /** B. */
  @Param({"128"})
  public int sequences;

  /** T. */
  @Param({"200"})
  public int length;

  /** D. */
  @Param({"64", "256"})
  public int width;

  @Override
  Task task() {
    return new Task.Forward(sequences, new Transformer(3706, length, width, 2));
  }
}
