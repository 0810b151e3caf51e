package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.rhumb.bindings.LibrarySearch.Candidate;
import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.cublas.CublasApi;
import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * NVIDIA's products of matrices, where cuBLAS 12 or 13 is installed: a handle of its own stream and
 * workspace, for one thread at a time. Products are in stream order, return before they are done,
 * allocate nothing and may be captured in a {@link Graph}.
 *
 * <p>The library is looked for in this order:
 *
 * <ol>
 *   <li>where the setting {@code rhumb.cublas.library} (or {@code RHUMB_CUBLAS_LIBRARY}) points,
 *       and then nowhere else;
 *   <li>{@code libcublas.so.13} and {@code .12} in the system's own places, {@code LD_LIBRARY_PATH}
 *       among them;
 *   <li>both in {@code $CUDA_HOME/lib64}, {@code /usr/local/cuda/lib64} and {@code
 *       /usr/local/cuda/targets/x86_64-linux/lib}.
 * </ol>
 */
public final class Cublas extends CudaObject {
  /** The setting that names the library's file. */
  public static final String SETTING = "rhumb.cublas.library";

  /** How much workspace {@link #use} is best given: what cuBLAS takes for itself on Hopper. */
  public static final long WORKSPACE_BYTES = 32 << 20;

  /** Of the elements of the two factors; sums and the product are float32 always. */
  public enum Type {
    /** float32, multiplied as float32. */
    F32(CublasApi.CUDA_R_32F(), CublasApi.CUBLAS_COMPUTE_32F()),
    /**
     * float32, which cuBLAS may round to bfloat16 or tf32 before it multiplies: to which, and
     * whether at all, it chooses by shape.
     */
    F32_FAST(CublasApi.CUDA_R_32F(), CublasApi.CUBLAS_COMPUTE_32F_FAST_16BF()),
    /** bfloat16. */
    BF16(CublasApi.CUDA_R_16BF(), CublasApi.CUBLAS_COMPUTE_32F());

    private final int code;
    private final int compute;

    Type(int code, int compute) {
      this.code = code;
      this.compute = compute;
    }
  }

  private static Path loaded;

  private final MemorySegment handle;
  // alpha, beta: cuBLAS reads them before a call returns.
  private final MemorySegment alpha = Arena.ofAuto().allocate(JAVA_FLOAT);
  private final MemorySegment beta = Arena.ofAuto().allocate(JAVA_FLOAT);
  private Stream stream;
  private DeviceBuffer workspace;

  /**
   * Makes a handle, with the library that the first one in the process found.
   *
   * @throws NativeException of kind {@link Kind#LIBRARY} that lists every place tried, where there
   *     is no cuBLAS; {@link Kind#OUT_OF_MEMORY} or {@link Kind#CUBLAS} where it does not start
   */
  public Cublas(CudaContext context) {
    super(context);
    this.handle = create(Cublas::start);
  }

  private static MemorySegment start() {
    file();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment handle = arena.allocate(ADDRESS);
      check(CublasApi.cublasCreate_v2(handle), "cublasCreate_v2");
      return handle.get(ADDRESS, 0);
    }
  }

  /**
   * The library's file, found and loaded by the first call that succeeds.
   *
   * @throws NativeException of kind {@link Kind#LIBRARY} that lists every place tried
   */
  public static synchronized Path file() {
    if (loaded == null) {
      Path file = find(candidates(System.getenv("CUDA_HOME")));
      LibrarySearch.load(file);
      loaded = file;
    }
    return loaded;
  }

  static List<Candidate> candidates(String cudaHome) {
    List<Candidate> setting = LibrarySearch.setting(SETTING);
    if (!setting.isEmpty()) {
      return setting;
    }
    List<String> names = List.of("libcublas.so.13", "libcublas.so.12");
    List<Candidate> places = new ArrayList<>();
    for (String name : names) {
      places.add(new Candidate("the system's search path", name));
    }
    List<Path> folders = new ArrayList<>();
    if (cudaHome != null && !cudaHome.isBlank()) {
      folders.add(Path.of(cudaHome, "lib64"));
    }
    folders.add(Path.of("/usr/local/cuda/lib64"));
    folders.add(Path.of("/usr/local/cuda/targets/x86_64-linux/lib"));
    for (Path folder : folders) {
      for (String name : names) {
        places.add(new Candidate("CUDA's folder", folder.resolve(name).toString()));
      }
    }
    return places;
  }

  static Path find(List<Candidate> candidates) {
    return LibrarySearch.find(
        candidates,
        library -> DynamicLinker.symbol(library, "cublasGemmStridedBatchedEx"),
        Kind.LIBRARY,
        "No cuBLAS 12 or 13",
        "Install it (Debian's package libcublas-13-0, Python's nvidia-cublas), and set "
            + SETTING
            + " (or RHUMB_CUBLAS_LIBRARY) to its file.");
  }

  /** The library's version as cuBLAS counts it: {@code 130101} is 13.1.1. */
  public int version() {
    enter();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment version = arena.allocate(JAVA_INT);
      check(CublasApi.cublasGetVersion_v2(handle, version), "cublasGetVersion_v2");
      return version.get(JAVA_INT, 0);
    }
  }

  /**
   * What the next products run on. Both stay open until this is closed or uses others; nothing else
   * uses the workspace meanwhile.
   *
   * @param workspace best of {@link #WORKSPACE_BYTES}; the same sizes in workspaces of the same
   *     size give the same bits
   */
  public void use(Stream stream, DeviceBuffer workspace) {
    enter();
    // In this order: a new stream takes the workspace away.
    check(CublasApi.cublasSetStream_v2(handle, stream.pointer()), "cublasSetStream_v2");
    check(
        CublasApi.cublasSetWorkspace_v2(handle, workspace.pointer(), workspace.bytes()),
        "cublasSetWorkspace_v2");
    check(
        CublasApi.cublasSetMathMode(handle, CublasApi.CUBLAS_DEFAULT_MATH()), "cublasSetMathMode");
    this.stream = stream;
    this.workspace = workspace;
  }

  /**
   * {@code C = alpha op(A) op(B) + beta C}, row-major.
   *
   * @param a on the device: A (m, k), or (k, m) when transposed; rows are {@code aStride} elements
   *     apart
   * @param b on the device: B (k, n), or (n, k) when transposed
   * @param c on the device: C (m, n) float32, not read where {@code beta} is 0
   */
  public void gemm(
      Type type,
      boolean transposeA,
      boolean transposeB,
      long m,
      long n,
      long k,
      float alpha,
      MemorySegment a,
      long aStride,
      MemorySegment b,
      long bStride,
      float beta,
      MemorySegment c,
      long cStride) {
    begin(m, n, k, 1, alpha, beta, aStride, bStride, cStride);
    // Row-major C = A B is column-major C' = B' A'.
    int status =
        CublasApi.cublasGemmEx(
            handle,
            op(transposeB),
            op(transposeA),
            (int) n,
            (int) m,
            (int) k,
            this.alpha,
            b,
            type.code,
            (int) bStride,
            a,
            type.code,
            (int) aStride,
            this.beta,
            c,
            CublasApi.CUDA_R_32F(),
            (int) cStride,
            type.compute,
            CublasApi.CUBLAS_GEMM_DEFAULT());
    if (status != CublasApi.CUBLAS_STATUS_SUCCESS()) {
      throw failed(status, "cublasGemmEx", type, transposeA, transposeB, m, n, k, 1);
    }
  }

  /**
   * {@link #gemm} for each of {@code batch} matrices, which are {@code aStep}, {@code bStep} and
   * {@code cStep} elements apart.
   */
  public void gemmBatch(
      Type type,
      boolean transposeA,
      boolean transposeB,
      long m,
      long n,
      long k,
      float alpha,
      MemorySegment a,
      long aStride,
      long aStep,
      MemorySegment b,
      long bStride,
      long bStep,
      float beta,
      MemorySegment c,
      long cStride,
      long cStep,
      long batch) {
    begin(m, n, k, batch, alpha, beta, aStride, bStride, cStride);
    int status =
        CublasApi.cublasGemmStridedBatchedEx(
            handle,
            op(transposeB),
            op(transposeA),
            (int) n,
            (int) m,
            (int) k,
            this.alpha,
            b,
            type.code,
            (int) bStride,
            bStep,
            a,
            type.code,
            (int) aStride,
            aStep,
            this.beta,
            c,
            CublasApi.CUDA_R_32F(),
            (int) cStride,
            cStep,
            (int) batch,
            type.compute,
            CublasApi.CUBLAS_GEMM_DEFAULT());
    if (status != CublasApi.CUBLAS_STATUS_SUCCESS()) {
      throw failed(
          status, "cublasGemmStridedBatchedEx", type, transposeA, transposeB, m, n, k, batch);
    }
  }

  private void begin(
      long m,
      long n,
      long k,
      long batch,
      float alpha,
      float beta,
      long aStride,
      long bStride,
      long cStride) {
    // cuBLAS counts in int.
    if (((m | n | k | batch | aStride | bStride | cStride) & ~Integer.MAX_VALUE) != 0) {
      throw new IllegalArgumentException(
          "cuBLAS takes sizes from 0 to 2^31 - 1: "
              + ("m " + m + ", n " + n + ", k " + k + ", batch " + batch)
              + (", strides " + aStride + ", " + bStride + ", " + cStride));
    }
    enter();
    if (stream == null) {
      throw new IllegalStateException("Cublas.use(stream, workspace) comes first");
    }
    stream.requireOpen();
    workspace.requireOpen();
    this.alpha.set(JAVA_FLOAT, 0, alpha);
    this.beta.set(JAVA_FLOAT, 0, beta);
  }

  private static int op(boolean transpose) {
    return transpose ? CublasApi.CUBLAS_OP_T() : CublasApi.CUBLAS_OP_N();
  }

  private NativeException failed(
      int status,
      String call,
      Type type,
      boolean transposeA,
      boolean transposeB,
      long m,
      long n,
      long k,
      long batch) {
    String shape =
        String.format(
            "%s (%s: %sA %sB, m %d, n %d, k %d, batch %d)",
            call,
            type,
            transposeA ? "transposed " : "",
            transposeB ? "transposed " : "",
            m,
            n,
            k,
            batch);
    // cuBLAS has one status for all faults of the device; the driver says whether it is lost.
    int driver = Cuda.cuStreamQuery(stream.handle());
    return CudaStatus.lost(driver) ? CudaStatus.failure(driver, shape) : failure(status, shape);
  }

  private static void check(int status, String call) {
    if (status != CublasApi.CUBLAS_STATUS_SUCCESS()) {
      throw failure(status, call);
    }
  }

  private static NativeException failure(int status, String call) {
    Kind kind =
        status == CublasApi.CUBLAS_STATUS_ALLOC_FAILED()
            ? Kind.OUT_OF_MEMORY
            : status == CublasApi.CUBLAS_STATUS_INVALID_VALUE()
                ? Kind.INVALID_ARGUMENT
                : Kind.CUBLAS;
    return new NativeException(
        kind,
        call
            + ": status "
            + status
            + ", "
            + DynamicLinker.text(CublasApi.cublasGetStatusString(status)));
  }

  @Override
  int destroy() {
    int status = CublasApi.cublasDestroy_v2(handle);
    // The handle is gone in any case; its failures are those of the device.
    return status == CublasApi.CUBLAS_STATUS_SUCCESS()
        ? Cuda.CUDA_SUCCESS()
        : Cuda.CUDA_ERROR_UNKNOWN();
  }
}
