package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;

/**
 * A named parameter.
 *
 * @param name as in a model's safetensors file
 * @param rows first dimension
 * @param cols second dimension, or 0 for a vector of {@code rows} elements
 * @param data its values, row-major float32; owned by the model
 */
public record Tensor(String name, long rows, long cols, Buffer data) {
  /** Its dimensions. */
  public long[] shape() {
    return cols == 0 ? new long[] {rows} : new long[] {rows, cols};
  }
}
