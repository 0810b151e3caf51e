package dev.rhumb.kernels;

/**
 * The SIMD backend: the Vector API on the CPU, the work of one call shared among worker threads.
 * The module {@code jdk.incubator.vector} must be there before this class loads.
 */
final class SimdKernels extends Kernels {
  private final Workers workers;
  private final Dense dense;
  private final Layers layers;
  private final Attention attention;
  private final Loss loss;
  private final Optimizer optimizer;
  private final Sae sae;
  private final Ranking ranking;
  private boolean closed;

  private SimdKernels(Workers workers) {
    this.workers = workers;
    dense = new SimdDense(workers);
    layers = new SimdLayers(workers);
    attention = new SimdAttention(workers);
    loss = new SimdLoss(workers);
    optimizer = new SimdOptimizer(workers);
    sae = new SimdSae(workers);
    ranking = new SimdRanking(workers);
  }

  /** Why the setting {@code rhumb.simd.bits} cannot be followed, or null where it can. */
  static String refusal() {
    return Simd.REFUSAL;
  }

  static Kernels open(int threads) {
    return new SimdKernels(new Workers(threads));
  }

  @Override
  public Backend backend() {
    return Backend.SIMD;
  }

  @Override
  public int threads() {
    return workers.threads();
  }

  @Override
  public String describe() {
    int threads = threads();
    return "simd: Vector API, "
        + Simd.F.vectorBitSize()
        + "-bit, "
        + threads
        + (threads == 1 ? " thread" : " threads");
  }

  @Override
  public Buffer allocate(DType dtype, long count) {
    requireOpen();
    return Buffer.host(dtype, count);
  }

  @Override
  public Kernels fork(int threads) {
    requireOpen();
    return open(threads);
  }

  @Override
  public Dense dense() {
    requireOpen();
    return dense;
  }

  @Override
  public Layers layers() {
    requireOpen();
    return layers;
  }

  @Override
  public Attention attention() {
    requireOpen();
    return attention;
  }

  @Override
  public Loss loss() {
    requireOpen();
    return loss;
  }

  @Override
  public Optimizer optimizer() {
    requireOpen();
    return optimizer;
  }

  @Override
  public Sae sae() {
    requireOpen();
    return sae;
  }

  @Override
  public Ranking ranking() {
    requireOpen();
    return ranking;
  }

  @Override
  public void close() {
    closed = true;
    workers.close();
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("these kernels are closed");
    }
  }
}
