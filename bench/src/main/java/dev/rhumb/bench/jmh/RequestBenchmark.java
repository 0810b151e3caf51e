package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Transformer;
import org.openjdk.jmh.annotations.Param;

/** A whole request; see {@link Task.Request}. */
public class RequestBenchmark extends WorkloadBenchmark {
  /** Whether the history but its last item was there before. */
  @Param({"false", "true"})
  public boolean kept;

  /** What is asked for. */
  @Param({"PLAIN", "STEERED"})
  public Task.Request.Kind kind;

  /** T. */
  @Param({"50", "200"})
  public int length;

  /** F. */
  @Param({"4096"})
  public int features;

  @Override
  Task task() {
    return new Task.Request(kept, kind, new Transformer(3706, length, 64, 2), features, 32);
  }
}
