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

  private static final int ALIGN = 16;

  private final Buffer flat;
  private final AutoCloseable owner;
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  /** The parameters of one block. */
  record Block(
      Buffer norm1Weight,
      Buffer norm1Bias,
      Buffer inWeight,
      Buffer inBias,
      Buffer outWeight,
      Buffer outBias,
      Buffer norm2Weight,
      Buffer norm2Bias,
      Buffer upWeight,
      Buffer upBias,
      Buffer downWeight,
      Buffer downBias) {}

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
        get(at + "norm1.weight"),
        get(at + "norm1.bias"),
        get(at + "attention.in.weight"),
        get(at + "attention.in.bias"),
        get(at + "attention.out.weight"),
        get(at + "attention.out.bias"),
        get(at + "norm2.weight"),
        get(at + "norm2.bias"),
        get(at + "mlp.up.weight"),
        get(at + "mlp.up.bias"),
        get(at + "mlp.down.weight"),
        get(at + "mlp.down.bias"));
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
    all.add(new Shape("position_embedding.weight", c.maxLength(), d));
    for (int i = 0; i < c.layers(); i++) {
      String at = "blocks." + i + ".";
      all.add(new Shape(at + "norm1.weight", d, 0));
      all.add(new Shape(at + "norm1.bias", d, 0));
      all.add(new Shape(at + "attention.in.weight", 3 * d, d));
      all.add(new Shape(at + "attention.in.bias", 3 * d, 0));
      all.add(new Shape(at + "attention.out.weight", d, d));
      all.add(new Shape(at + "attention.out.bias", d, 0));
      all.add(new Shape(at + "norm2.weight", d, 0));
      all.add(new Shape(at + "norm2.bias", d, 0));
      all.add(new Shape(at + "mlp.up.weight", f, d));
      all.add(new Shape(at + "mlp.up.bias", f, 0));
      all.add(new Shape(at + "mlp.down.weight", d, f));
      all.add(new Shape(at + "mlp.down.bias", d, 0));
    }
    all.add(new Shape("final_norm.weight", d, 0));
    all.add(new Shape("final_norm.bias", d, 0));
    return all;
  }

  private static long padded(Shape shape) {
    return (shape.count() + ALIGN - 1) / ALIGN * ALIGN;
  }
}
