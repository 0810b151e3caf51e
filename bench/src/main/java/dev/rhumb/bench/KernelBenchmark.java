package dev.rhumb.bench;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.PackedEncoder;
import dev.rhumb.kernels.Philox;
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
 * The two kernels that most time goes into: a matrix product and the exact TopK encode. Each fork
 * prints the backend that ran.
 */
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(
    value = 5,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@State(Scope.Thread)
public class KernelBenchmark {
  private static final int D = 64;
  private static final int K = 32;

  /** Which backend. */
  @Param({"SIMD"})
  public Backend backend;

  /** Rows of the input. */
  @Param({"1", "4096"})
  public int rows;

  /** Features of the dictionary, columns of the product. */
  @Param({"1024", "4096", "16384"})
  public int features;

  private Kernels kernels;
  private Buffer memory;
  private Buffer x;
  private Buffer weight;
  private Buffer product;
  private Buffer values;
  private Buffer indices;
  private PackedEncoder encoder;

  /** Random rows and weights. */
  @Setup(Level.Trial)
  public void setUp() {
    kernels = Kernels.open(backend, 1);
    System.out.println("# " + kernels.describe());
    long xs = (long) rows * D;
    long ws = (long) features * D;
    memory = kernels.allocate(DType.F32, xs + ws + (long) rows * (features + K) + features + D);
    x = memory.slice(0, xs);
    weight = memory.slice(xs, ws);
    product = memory.slice(xs + ws, (long) rows * features);
    values = memory.slice(xs + ws + (long) rows * features, (long) rows * K);
    fill(x, 1);
    fill(weight, 2);
    indices = kernels.allocate(DType.I32, (long) rows * K);
    encoder = kernels.sae().encoder(features, D);
    long zeros = memory.count() - features - D;
    kernels
        .sae()
        .pack(
            encoder,
            features,
            weight,
            memory.slice(zeros, features),
            memory.slice(zeros + features, D),
            null,
            0);
  }

  private static void fill(Buffer buffer, int stream) {
    float[] data = new float[(int) buffer.count()];
    for (int i = 0; i < data.length; i++) {
      data[i] = Philox.uniform(7, stream, 0, i) - 0.5f;
    }
    buffer.put(0, data, 0, data.length);
  }

  /** Frees the buffers, after a look at the answers. */
  @TearDown(Level.Trial)
  public void tearDown() {
    float[] best = new float[K];
    values.get(0, best, 0, K);
    float[] scores = new float[features];
    product.get(0, scores, 0, features);
    float highest = Float.NEGATIVE_INFINITY;
    for (float score : scores) {
      highest = Math.max(highest, score);
    }
    // One of the two benchmarks has run; whichever it was, its answer is not zeros. Whether
    // answers are right is for the conformance suite to say.
    if (!(best[0] > 0 || highest > 0)) {
      throw new IllegalStateException("no answer was computed");
    }
    encoder.close();
    indices.close();
    memory.close();
    kernels.close();
  }

  /** All scores: x (rows, 64) times weight^T (64, features), written out. */
  @Benchmark
  public void gemm() {
    kernels.dense().gemm(false, true, rows, features, D, 1, x, D, weight, D, 0, product, features);
  }

  /** The 32 largest of each row, exactly, the scores never written out. */
  @Benchmark
  public void encodeTopK() {
    kernels.sae().encodeTopK(encoder, rows, K, x, D, indices, values);
  }
}
