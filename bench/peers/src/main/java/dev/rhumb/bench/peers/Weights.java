package dev.rhumb.bench.peers;

import dev.rhumb.bench.speed.Transformer;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/** The engine's fresh weights, by the names of its file, for a peer to start from. */
final class Weights {
  private final Map<String, Part> parts = new LinkedHashMap<>();

  /** A tensor, row-major; of a vector only the first dimension. */
  record Part(long[] shape, float[] values) {
    /** Some of its rows. */
    Part rows(int from, int count) {
      int cols = shape.length == 1 ? 1 : (int) shape[1];
      float[] some = java.util.Arrays.copyOfRange(values, from * cols, (from + count) * cols);
      long[] less = shape.clone();
      less[0] = count;
      return new Part(less, some);
    }
  }

  Weights(Transformer transformer) {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Model model = transformer.model(kernels)) {
      for (Tensor tensor : model.parameters().tensors()) {
        parts.put(tensor.name(), new Part(tensor.shape(), tensor.data().floats()));
      }
    }
  }

  Part get(String name) {
    return parts.get(name);
  }
}
