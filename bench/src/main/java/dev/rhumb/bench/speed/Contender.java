package dev.rhumb.bench.speed;

import java.util.List;
import java.util.Map;

/**
 * Who does the tasks: a library, and how its process is started, at the best setting known.
 *
 * @param name in tables
 * @param library the class, a {@link Library} with a constructor without parameters
 * @param peer whether it is held against the engine
 * @param setting what its process is given, in words for the table
 * @param environment of its process
 * @param flags of its JVM
 */
record Contender(
    String name,
    String library,
    boolean peer,
    String setting,
    Map<String, String> environment,
    List<String> flags) {

  private static final String PEERS = "dev.rhumb.bench.peers.";

  static final Contender RHUMB =
      new Contender("rhumb", Rhumb.class.getName(), false, "as users run it", Map.of(), List.of());

  static final Contender LIMITS =
      new Contender(
          "limits",
          Limits.class.getName(),
          false,
          "huge pages",
          Map.of(),
          List.of("-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UseTransparentHugePages"));

  /** The folders that the peers' build fills stand for themselves in settings. */
  static final String NATIVE = "{native}";

  /** glibc keeps freed memory and asks for huge pages: a step of libtorch is 1.4 x faster. */
  private static final Map.Entry<String, String> KEPT_MEMORY =
      Map.entry(
          "GLIBC_TUNABLES",
          "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592"
              + ":glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456");

  /** Workers that sleep at once: those that spin take the other core from whoever comes next. */
  private static final Map.Entry<String, String> NO_SPIN = Map.entry("GOMP_SPINCOUNT", "0");

  private static final String MKL = NATIVE + "/org/bytedeco/mkl/linux-x86_64";

  static final List<Contender> PEER_LIST =
      List.of(
          new Contender(
              "openblas",
              PEERS + "Blas$OpenBlas",
              true,
              "its own threads, which spin for half a millisecond; sgemv where that is faster for"
                  + " one row",
              // In powers of two of cycles. Its default, 26, takes a core from whoever comes next.
              Map.of("OPENBLAS_THREAD_TIMEOUT", "20"),
              List.of("-Drhumb.bench.native=" + NATIVE)),
          new Contender(
              "mkl",
              PEERS + "Blas$Mkl",
              true,
              "Intel's OpenMP, KMP_BLOCKTIME=1; sgemv where that is faster for one row",
              Map.of("KMP_BLOCKTIME", "1", "MKL_THREADING_LAYER", "INTEL", "LD_LIBRARY_PATH", MKL),
              List.of("-Drhumb.bench.native=" + NATIVE)),
          new Contender(
              "libtorch",
              PEERS + "Torch",
              true,
              "MKL in the place of OpenBLAS, Intel's OpenMP without spinning, huge pages, kept"
                  + " allocations",
              Map.ofEntries(
                  KEPT_MEMORY,
                  NO_SPIN,
                  Map.entry("KMP_BLOCKTIME", "0"),
                  Map.entry("MKL_THREADING_LAYER", "INTEL"),
                  Map.entry("LD_PRELOAD", MKL + "/libiomp5.so")),
              List.of(
                  "--sun-misc-unsafe-memory-access=allow",
                  "-Dorg.bytedeco.openblas.load=mkl_rt",
                  "-Dorg.bytedeco.javacpp.cachedir=" + NATIVE + "/cache")),
          new Contender(
              "djl",
              PEERS + "Djl",
              true,
              "the official libtorch, OpenMP without spinning, huge pages, kept allocations",
              Map.ofEntries(
                  KEPT_MEMORY,
                  NO_SPIN,
                  Map.entry("KMP_BLOCKTIME", "0"),
                  Map.entry("DJL_CACHE_DIR", NATIVE + "/djl")),
              List.of("-Dai.djl.offline=true", "-Dai.djl.pytorch.num_interop_threads=1")),
          new Contender(
              "onnxruntime",
              PEERS + "Onnx",
              true,
              "all optimisations, no spinning, huge pages, kept allocations",
              Map.ofEntries(KEPT_MEMORY),
              List.of()));
}
