package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.lang.foreign.Arena;

/**
 * A float32 matrix in host memory of its own, between a file and a buffer that may lie on another
 * device.
 */
final class HostMatrix implements AutoCloseable {
  private final Arena arena = Arena.ofConfined();
  private final Buffer buffer;

  private HostMatrix(long count) {
    buffer = Buffer.wrap(DType.F32, arena.allocate(count * Float.BYTES, Buffer.ALIGNMENT));
  }

  /** Of so many elements, all 0. */
  static HostMatrix of(long count) {
    return new HostMatrix(count);
  }

  /** The transpose of {@code source} (rows, cols). */
  static HostMatrix transposeOf(Buffer source, int rows, int cols) {
    HostMatrix target = new HostMatrix((long) rows * cols);
    float[] row = new float[cols];
    float[] block = new float[rows];
    // Blocks of columns, so that neither side is walked element by element over the whole matrix.
    int wide = Math.max(1, Math.min(cols, (1 << 20) / rows));
    for (int from = 0; from < cols; from += wide) {
      int n = Math.min(wide, cols - from);
      if (block.length < n * rows) {
        block = new float[n * rows];
      }
      for (int r = 0; r < rows; r++) {
        source.get((long) r * cols + from, row, 0, n);
        for (int c = 0; c < n; c++) {
          block[c * rows + r] = row[c];
        }
      }
      target.buffer.put((long) from * rows, block, 0, n * rows);
    }
    return target;
  }

  Buffer buffer() {
    return buffer;
  }

  @Override
  public void close() {
    arena.close();
  }
}
