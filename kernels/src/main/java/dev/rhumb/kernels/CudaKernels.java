package dev.rhumb.kernels;

/**
 * The CUDA backend: the native library's kernels on one GPU, in the order of one stream. A call
 * returns when its work is in the stream; what the device finds wrong with data is thrown by the
 * next {@link Buffer#get} or {@link #finish}. Siblings share the stream, so that what one writes
 * another may read.
 */
final class CudaKernels extends Kernels {
  private final CudaQueue cuda;
  private final Dense dense;
  private final Layers layers;
  private final Attention attention;
  private final Loss loss;
  private final Optimizer optimizer;
  private final Sae sae;
  private final Ranking ranking;

  private CudaKernels(CudaQueue cuda) {
    this.cuda = cuda;
    dense = new CudaDense(cuda);
    layers = new CudaLayers(cuda);
    attention = new CudaAttention(cuda);
    loss = new CudaLoss(cuda);
    optimizer = new CudaOptimizer(cuda);
    sae = new CudaSae(cuda);
    ranking = new CudaRanking(cuda);
  }

  /**
   * Opens the GPU that the setting {@code rhumb.cuda.device} names, with the precision of {@code
   * rhumb.cuda.precision}.
   */
  static Kernels openDevice() {
    int ordinal = Settings.integer("rhumb.cuda.device", 0, 0, 1023);
    CudaShared device = CudaShared.open(ordinal, CudaPrecision.setting());
    try {
      return new CudaKernels(new CudaQueue(device));
    } finally {
      device.release();
    }
  }

  @Override
  public Backend backend() {
    return Backend.CUDA;
  }

  @Override
  public int threads() {
    return 1;
  }

  @Override
  public String describe() {
    return cuda.describe();
  }

  @Override
  public Buffer allocate(DType dtype, long count) {
    return cuda.allocate(dtype, count);
  }

  @Override
  public Buffer allocateOnHost(DType dtype, long count) {
    return cuda.allocateOnHost(dtype, count);
  }

  @Override
  public Recording record(Runnable work) {
    return cuda.record(work);
  }

  @Override
  public Kernels fork(int threads) {
    return new CudaKernels(cuda.fork());
  }

  @Override
  public void finish() {
    cuda.finish();
  }

  @Override
  public Dense dense() {
    cuda.requireOpen();
    return dense;
  }

  @Override
  public Layers layers() {
    cuda.requireOpen();
    return layers;
  }

  @Override
  public Attention attention() {
    cuda.requireOpen();
    return attention;
  }

  @Override
  public Loss loss() {
    cuda.requireOpen();
    return loss;
  }

  @Override
  public Optimizer optimizer() {
    cuda.requireOpen();
    return optimizer;
  }

  @Override
  public Sae sae() {
    cuda.requireOpen();
    return sae;
  }

  @Override
  public Ranking ranking() {
    cuda.requireOpen();
    return ranking;
  }

  @Override
  public void close() {
    cuda.close();
  }
}
