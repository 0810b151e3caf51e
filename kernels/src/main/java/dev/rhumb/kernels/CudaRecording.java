package dev.rhumb.kernels;

import dev.rhumb.bindings.DeviceBuffer;
import dev.rhumb.bindings.Event;
import dev.rhumb.bindings.Graph;
import dev.rhumb.bindings.NativeScope;
import java.util.List;

/** A CUDA graph, with the tables of edits that its work reads. */
final class CudaRecording implements Recording {
  private final NativeScope scope = new NativeScope();
  private final CudaQueue cuda;
  private final Graph graph;
  private final List<CudaEdits> tables;
  private final Event launched;
  private boolean closed;

  /**
   * Takes over all but the queue.
   *
   * @param scratch the workspace of its work, or null
   */
  CudaRecording(CudaQueue cuda, Graph graph, List<CudaEdits> tables, DeviceBuffer scratch) {
    this.cuda = cuda;
    this.tables = tables;
    cuda.device().retain();
    tables.forEach(scope::add);
    if (scratch != null) {
      scope.add(scratch);
    }
    this.graph = scope.add(graph);
    launched = scope.add(cuda.device().event());
  }

  @Override
  public void run() {
    if (closed) {
      throw new IllegalStateException("this recording is closed");
    }
    cuda.begin();
    if (!tables.isEmpty()) {
      // The run before may still read them.
      launched.synchronize();
      for (int i = 0; i < tables.size(); i++) {
        tables.get(i).fill();
      }
    }
    cuda.device().launch(graph, launched);
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
