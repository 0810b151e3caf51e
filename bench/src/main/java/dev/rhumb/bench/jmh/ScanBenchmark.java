package dev.rhumb.bench.jmh;

import dev.rhumb.bench.speed.Task;
import org.openjdk.jmh.annotations.Param;

/** The exact ten best of a catalogue at D 64; see {@link Task.Scan}. */
public class ScanBenchmark extends WorkloadBenchmark {
  /** V. */
  @Param({"3706", "27278", "1000000"})
  public int items;

  /** Whether the engine reads a byte for each weight first. */
  @Param({"false", "true"})
  public boolean compressed;

  @Override
  Task task() {
    return new Task.Scan(items, 64, 10, compressed);
  }
}
