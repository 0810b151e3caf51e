package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The parameters of an architecture, or gradients or moments of the same shapes: one buffer, sliced
 * by name. Linear weights are (outputs, inputs).
 *
 * <p>Ownership: closes its buffer, or what the given owner is when the values are mapped from a
 * file. Threads: reading is free; nothing is synchronised.
 */
public final class Parameters implements AutoCloseable {
  /** The name of the item embedding, (V + 1, D). */
  public static final String ITEMS = "item_embedding.weight";

  static final String POSITIONS = "position_embedding.weight";
  static final String EMBEDDING_NORM = "embedding_norm";
  static final String FINAL_NORM = "final_norm";

  private static final int ALIGN = 16;

  private final Buffer flat;
  private final AutoCloseable owner;
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  /**
   * A linear layer: {@code weight} (outputs, inputs), {@code bias} (outputs) or null.
   *
   * @param outputs rows of the weight
   * @param inputs its columns
   */
  record Linear(Buffer weight, Buffer bias, long outputs, long inputs) {
    /** The layer of some of the outputs. */
    Linear rows(long from, long count) {
      Buffer part = bias == null ? null : bias.slice(from, count);
      return new Linear(weight.slice(from * inputs, count * inputs), part, count, inputs);
    }
  }

  /** A layer norm's scale and shift, (D) each; without a shift it is a root mean square norm. */
  record Norm(Buffer weight, Buffer bias) {}

  /** The parameters of one block. */
  record Block(Norm norm1, Linear in, Linear out, Norm norm2, Linear up, Linear down) {}

  /** Zeroed parameters on a device. */
  public Parameters(Kernels kernels, ModelConfig config) {
    List<Shape> shapes = shapes(config);
    long total = 0;
    for (Shape shape : shapes) {
      total += padded(shape);
    }
    flat = kernels.allocate(DType.F32, total);
    owner = flat;
    long at = 0;
    for (Shape shape : shapes) {
      tensors.put(shape.name, shape.over(flat.slice(at, shape.count())));
      at += padded(shape);
    }
  }

  /**
   * Parameters that lie elsewhere, such as in a mapped file.
   *
   * @param source gives each tensor by name and shape, or refuses
   * @param owner closed with these parameters
   */
  public Parameters(ModelConfig config, Source source, AutoCloseable owner) {
    flat = null;
    this.owner = owner;
    for (Shape shape : shapes(config)) {
      Tensor wanted = new Tensor(shape.name, shape.rows, shape.cols, null);
      tensors.put(shape.name, shape.over(source.tensor(shape.name, wanted.shape())));
    }
  }

  /** Where the values of parameters come from. */
  @FunctionalInterface
  public interface Source {
    /** The float32 values of a tensor, row-major. */
    Buffer tensor(String name, long[] shape);
  }

  /**
   * All parameters in one piece, some padding between tensors included; null when they lie in a
   * mapped file.
   */
  public Buffer flat() {
    return flat;
  }

  /** Every parameter, in the order of the file. */
  public List<Tensor> tensors() {
    return List.copyOf(tensors.values());
  }

  /** The values of a parameter. */
  public Buffer get(String name) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("no parameter is called '" + name + "'");
    }
    return tensor.data();
  }

  /** Copies the values of other parameters of the same architecture. */
  public void copyFrom(Parameters source) {
    for (Tensor tensor : tensors.values()) {
      tensor.data().copyFrom(source.get(tensor.name()));
    }
  }

  @Override
  public void close() {
    try {
      owner.close();
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new IllegalStateException("parameters did not close", e);
    }
  }

  Block block(int i) {
    String at = "blocks." + i + ".";
    return new Block(
        norm(at + "norm1"),
        linear(at + "attention.in"),
        linear(at + "attention.out"),
        norm(at + "norm2"),
        linear(at + "mlp.up"),
        linear(at + "mlp.down"));
  }

  /** A norm by the name before its {@code .weight}. */
  Norm norm(String name) {
    return new Norm(get(name + ".weight"), bias(name));
  }

  private Linear linear(String name) {
    Tensor weight = tensors.get(name + ".weight");
    return new Linear(weight.data(), bias(name), weight.rows(), weight.cols());
  }

  private Buffer bias(String name) {
    Tensor bias = tensors.get(name + ".bias");
    return bias == null ? null : bias.data();
  }

  private record Shape(String name, long rows, long cols) {
    long count() {
      return cols == 0 ? rows : rows * cols;
    }

    Tensor over(Buffer data) {
      return new Tensor(name, rows, cols, data);
    }
  }

  private static List<Shape> shapes(ModelConfig c) {
    long d = c.width();
    long f = c.feedForward();
    List<Shape> all = new ArrayList<>();
    all.add(new Shape(ITEMS, c.items() + 1L, d));
    if (c.learnedPositions()) {
      all.add(new Shape(POSITIONS, c.maxLength(), d));
    }
    if (c.wiring().embeddingNorm()) {
      layer(all, c, EMBEDDING_NORM, d, 0);
    }
    for (int i = 0; i < c.layers(); i++) {
      String at = "blocks." + i + ".";
      layer(all, c, at + "norm1", d, 0);
      layer(all, c, at + "attention.in", 3 * d, d);
      layer(all, c, at + "attention.out", d, d);
      layer(all, c, at + "norm2", d, 0);
      layer(all, c, at + "mlp.up", c.upWidth(), d);
      layer(all, c, at + "mlp.down", d, f);
    }
    if (c.wiring().finalNorm()) {
      layer(all, c, FINAL_NORM, d, 0);
    }
    return all;
  }

  private static void layer(List<Shape> all, ModelConfig c, String name, long rows, long cols) {
    all.add(new Shape(name + ".weight", rows, cols));
    if (c.biased()) {
      all.add(new Shape(name + ".bias", rows, 0));
    }
  }

  private static long padded(Shape shape) {
    return (shape.count() + ALIGN - 1) / ALIGN * ALIGN;
  }
}
