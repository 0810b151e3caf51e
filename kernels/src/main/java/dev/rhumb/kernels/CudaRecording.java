package dev.rhumb.kernels;

import dev.rhumb.bindings.DeviceBuffer;
import dev.rhumb.bindings.Graph;
import dev.rhumb.bindings.NativeScope;

/** A CUDA graph. */
final class CudaRecording implements Recording {
  private final NativeScope scope = new NativeScope();
  private final CudaQueue cuda;
  private final Graph graph;
  private boolean closed;

  /**
   * Takes over all but the queue.
   *
   * @param scratch the workspace of its work, or null
   */
  CudaRecording(CudaQueue cuda, Graph graph, DeviceBuffer scratch) {
    this.cuda = cuda;
    cuda.device().retain();
    if (scratch != null) {
      scope.add(scratch);
    }
    this.graph = scope.add(graph);
  }

  @Override
  public void run() {
    if (closed) {
      throw new IllegalStateException("this recording is closed");
    }
    cuda.begin();
    cuda.device().launch(graph);
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      try {
        scope.close();
      } finally {
        cuda.device().release();
      }
    }
  }
}
