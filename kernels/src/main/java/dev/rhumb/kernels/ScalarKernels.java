package dev.rhumb.kernels;

/**
 * The scalar backend: plain loops with double accumulators on the caller's thread. It is the
 * definition that the other backends are held against, and what runs where nothing else does.
 */
final class ScalarKernels extends Kernels {
  private final Dense dense = new ScalarDense();
  private final Layers layers = new ScalarLayers();
  private final Attention attention = new ScalarAttention();
  private final Loss loss = new ScalarLoss();
  private final Optimizer optimizer = new ScalarOptimizer();
  private final Sae sae = new ScalarSae();
  private final Ranking ranking = new ScalarRanking();
  private boolean closed;

  @Override
  public Backend backend() {
    return Backend.SCALAR;
  }

  @Override
  public int threads() {
    return 1;
  }

  @Override
  public String describe() {
    return "scalar: plain loops, 1 thread";
  }

  @Override
  public Buffer allocate(DType dtype, long count) {
    requireOpen();
    return Buffer.host(dtype, count);
  }

  @Override
  public Kernels fork(int threads) {
    requireOpen();
    return new ScalarKernels();
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
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("these kernels are closed");
    }
  }
}
