package dev.rhumb.bindings;

/**
 * A GPU as the driver describes it.
 *
 * @param ordinal its number, from 0, among those that {@code CUDA_VISIBLE_DEVICES} leaves visible
 * @param name such as {@code NVIDIA H100 80GB HBM3}
 * @param capability compute capability as {@code 10 * major + minor}: 90 for 9.0
 * @param multiprocessors how many streaming multiprocessors it has
 * @param memoryBytes all of its memory
 */
public record CudaDevice(
    int ordinal, String name, int capability, int multiprocessors, long memoryBytes) {
  /** The compute capability in the usual form, such as {@code 9.0}. */
  public String capabilityText() {
    return capability / 10 + "." + capability % 10;
  }
}
