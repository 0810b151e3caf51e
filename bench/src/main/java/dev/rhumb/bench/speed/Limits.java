package dev.rhumb.bench.speed;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The machine's own limits, by the Vector API: how many multiply-adds it does on registers, and how
 * fast it reads memory of a size. Its arrays lie on the heap: run it with huge pages for that.
 */
public final class Limits implements Library {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int LANES = SPECIES.length();

  /** What a thread does in a run. */
  private record Load(float[] memory, int passes) implements Callable<Float> {
    @Override
    public Float call() {
      float sum = 0;
      if (memory.length == 0) {
        for (long left = Task.Limit.FUSED / LANES / 12; left > 0; left -= 1 << 16) {
          sum += multiplyAdd((int) Math.min(left, 1 << 16), 1e-3f);
        }
      }
      for (int pass = 0; pass < passes; pass++) {
        sum += read(memory);
      }
      return sum;
    }
  }

  @Override
  public String describe() {
    return "Vector API, " + SPECIES.vectorBitSize() + " bits";
  }

  @Override
  public Workload prepare(Task task, int threads) {
    if (!(task instanceof Task.Limit limit)) {
      return null;
    }
    List<Load> loads = new ArrayList<>();
    for (int t = 0; t < threads; t++) {
      int floats = limit.kilobytes() * 256 / (8 * LANES) * (8 * LANES);
      float[] memory = new float[floats];
      java.util.Arrays.fill(memory, 1e-3f);
      loads.add(new Load(memory, limit.passes()));
    }
    ExecutorService pool = Executors.newFixedThreadPool(Math.max(1, threads - 1));
    return new Workload() {
      private float sum;

      @Override
      public void run() {
        List<Future<Float>> others = loads.stream().skip(1).map(pool::submit).toList();
        sum = loads.getFirst().call();
        try {
          for (Future<Float> other : others) {
            sum += other.get();
          }
        } catch (InterruptedException | ExecutionException e) {
          throw new IllegalStateException(e);
        }
      }

      @Override
      public float[] answer() {
        return new float[] {sum};
      }

      @Override
      public void close() {
        pool.shutdownNow();
      }
    };
  }

  /** Twelve chains, as many as hide the latency of two units. */
  private static float multiplyAdd(int rounds, float by) {
    FloatVector x = FloatVector.broadcast(SPECIES, by);
    FloatVector y = FloatVector.broadcast(SPECIES, 1 - by);
    FloatVector a = x;
    FloatVector b = a.add(by);
    FloatVector c = b.add(by);
    FloatVector d = c.add(by);
    FloatVector e = d.add(by);
    FloatVector f = e.add(by);
    FloatVector g = f.add(by);
    FloatVector h = g.add(by);
    FloatVector i = h.add(by);
    FloatVector j = i.add(by);
    FloatVector k = j.add(by);
    FloatVector l = k.add(by);
    for (int round = 0; round < rounds; round++) {
      a = a.lanewise(VectorOperators.FMA, y, x);
      b = b.lanewise(VectorOperators.FMA, y, x);
      c = c.lanewise(VectorOperators.FMA, y, x);
      d = d.lanewise(VectorOperators.FMA, y, x);
      e = e.lanewise(VectorOperators.FMA, y, x);
      f = f.lanewise(VectorOperators.FMA, y, x);
      g = g.lanewise(VectorOperators.FMA, y, x);
      h = h.lanewise(VectorOperators.FMA, y, x);
      i = i.lanewise(VectorOperators.FMA, y, x);
      j = j.lanewise(VectorOperators.FMA, y, x);
      k = k.lanewise(VectorOperators.FMA, y, x);
      l = l.lanewise(VectorOperators.FMA, y, x);
    }
    FloatVector sum = a.add(b).add(c).add(d).add(e).add(f);
    return sum.add(g).add(h).add(i).add(j).add(k).add(l).reduceLanes(VectorOperators.ADD);
  }

  private static float read(float[] memory) {
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = a;
    FloatVector c = a;
    FloatVector d = a;
    FloatVector e = a;
    FloatVector f = a;
    FloatVector g = a;
    FloatVector h = a;
    for (int i = 0; i <= memory.length - 8 * LANES; i += 8 * LANES) {
      a = a.add(FloatVector.fromArray(SPECIES, memory, i));
      b = b.add(FloatVector.fromArray(SPECIES, memory, i + LANES));
      c = c.add(FloatVector.fromArray(SPECIES, memory, i + 2 * LANES));
      d = d.add(FloatVector.fromArray(SPECIES, memory, i + 3 * LANES));
      e = e.add(FloatVector.fromArray(SPECIES, memory, i + 4 * LANES));
      f = f.add(FloatVector.fromArray(SPECIES, memory, i + 5 * LANES));
      g = g.add(FloatVector.fromArray(SPECIES, memory, i + 6 * LANES));
      h = h.add(FloatVector.fromArray(SPECIES, memory, i + 7 * LANES));
    }
    FloatVector sum = a.add(b).add(c).add(d).add(e).add(f).add(g).add(h);
    return sum.reduceLanes(VectorOperators.ADD);
  }
}
