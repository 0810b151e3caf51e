package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import jdk.incubator.vector.VectorShape;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The ground of the conformance suite: every test runs for every backend that is available here, or
 * for the one that {@code rhumb.backend} demands.
 *
 * <p>A scenario makes its buffers, calls operations and holds the results against plain double
 * computations. It runs with its buffers in ordinary memory and against guard pages, and with
 * several numbers of threads; all runs must leave the same bits, and nothing may be written but
 * results.
 */
@ParameterizedClass(name = "{0}")
@MethodSource("dev.rhumb.kernels.Conformance#backends")
abstract class Conformance {
  /** Both sides of every lane and unroll multiple, and odd primes. */
  static final int[] SIZES = {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127};

  /** {@link #SIZES} from 1 on. */
  static final int[] POSITIVE = Arrays.stream(SIZES).filter(n -> n > 0).toArray();

  interface Scenario {
    void run(Kernels kernels, Memory memory);
  }

  private record Variant(int threads, Memory.Placement placement) {}

  final Backend backend;

  /** Whether the setting has products of operands rounded to bf16. */
  final boolean bf16;

  private final Map<Integer, Kernels> opened = new HashMap<>();
  private long live;

  Conformance(Backend backend) {
    this.backend = backend;
    this.bf16 = backend == Backend.CUDA && "bf16".equals(Settings.get("rhumb.cuda.precision"));
  }

  /**
   * What stands for a float in a product: itself, or in bf16 the nearest with 8 bits, ties to even.
   */
  double operand(double x) {
    if (!bf16 || x == 0 || !Double.isFinite(x)) {
      return x;
    }
    double unit = Math.scalb(1.0, Math.max(Math.getExponent(x), Float.MIN_EXPONENT) - 7);
    return (float) (Math.rint(x / unit) * unit);
  }

  static List<Backend> backends() {
    assumeTrue(widthExists(), "this machine has no vectors as wide as rhumb.simd.bits");
    String demanded = Settings.get("rhumb.backend");
    if (demanded != null) {
      return List.of(Backend.valueOf(demanded.toUpperCase(Locale.ROOT)));
    }
    return Kernels.report().stream()
        .filter(BackendReport::available)
        .map(BackendReport::backend)
        .toList();
  }

  /** Whether this machine has the vectors that {@code rhumb.simd.bits} demands, if it does. */
  static boolean widthExists() {
    String bits = Settings.get("rhumb.simd.bits");
    return bits == null || Integer.parseInt(bits) <= VectorShape.preferredShape().vectorBitSize();
  }

  @BeforeEach
  void countBuffers() {
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    opened.values().forEach(Kernels::close);
    opened.clear();
    assertEquals(live, Buffer.live(), "buffers were left open");
  }

  @AfterAll
  static void printShares() {
    Matrix.WORST.forEach(
        (op, share) ->
            System.out.printf(
                Locale.ROOT, "tolerance used, %s: %.0f %%%n", op, Math.ceil(100 * share)));
    Matrix.WORST.clear();
  }

  /** The backend under test, open until the end of the test. */
  Kernels kernels(int threads) {
    return opened.computeIfAbsent(threads, n -> Kernels.open(backend, n));
  }

  /**
   * Runs a scenario in every variant; all must leave the same bits, so that only the first run's
   * results need their references.
   */
  void each(Scenario scenario) {
    int[] first = null;
    for (Variant variant : variants()) {
      Kernels kernels = kernels(variant.threads);
      try (Memory memory = new Memory(kernels, variant.placement, first == null)) {
        scenario.run(kernels, memory);
        int[] bits = memory.verify();
        if (first == null) {
          first = bits;
        } else {
          assertArrayEquals(first, bits, () -> "bits of " + backend + " with " + variant);
        }
      }
    }
  }

  private List<Variant> variants() {
    Variant plain = new Variant(1, Memory.Placement.OWNED);
    if (backend == Backend.CUDA) {
      // A device has no threads to vary, but blocks that finish in another order each time.
      return Collections.nCopies(Integer.getInteger("rhumb.test.runs", 1), plain);
    }
    if (!System.getProperty("os.name").equals("Linux")) {
      return List.of(plain);
    }
    boolean threaded = backend != Backend.SCALAR;
    return List.of(
        plain,
        new Variant(threaded ? 2 : 1, Memory.Placement.ENDS_AT_GUARD),
        new Variant(threaded ? 3 : 1, Memory.Placement.STARTS_AFTER_GUARD),
        new Variant(threaded ? 5 : 1, Memory.Placement.ENDS_AT_GUARD));
  }

  /** A stride at or above {@code cols} that differs from case to case. */
  static int stride(int cols, int salt) {
    return Math.max(1, cols) + new int[] {0, 1, 5, 16}[salt & 3];
  }
}
