package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;

/**
 * A transformer over item sequences: an architecture and its parameters.
 *
 * <p>Ownership: closes its parameters. Threads: any number may read at once, each through an {@link
 * Inference} of its own.
 */
public final class Model implements AutoCloseable {
  private static final double INIT_DEVIATION = 0.02;

  private final ModelConfig config;
  private final Parameters parameters;

  /** A model over given parameters, which it closes. */
  public Model(ModelConfig config, Parameters parameters) {
    this.config = config;
    this.parameters = parameters;
  }

  /**
   * A model with fresh parameters: weights N(0, 0.02), biases 0, norms 1; in the styles gpt2 and
   * modern the projections into the residual stream are smaller by 1 / sqrt(2 layers).
   */
  public static Model initialise(Kernels kernels, ModelConfig config, long seed) {
    Parameters parameters = new Parameters(kernels, config);
    int number = 0;
    for (Tensor tensor : parameters.tensors()) {
      float[] values = new float[Math.toIntExact(tensor.data().count())];
      if (tensor.cols() > 0) {
        boolean residual =
            tensor.name().endsWith("out.weight") || tensor.name().endsWith("down.weight");
        double deviation = INIT_DEVIATION;
        if (residual && scalesResiduals(config.style())) {
          deviation /= Math.sqrt(2.0 * config.layers());
        }
        for (int i = 0; i < values.length; i++) {
          values[i] = (float) (deviation * Philox.normal(seed, 0, number, i));
        }
      } else if (tensor.name().contains("norm") && tensor.name().endsWith("weight")) {
        java.util.Arrays.fill(values, 1);
      }
      tensor.data().put(0, values, 0, values.length);
      number++;
    }
    return new Model(config, parameters);
  }

  private static boolean scalesResiduals(BlockStyle style) {
    return style == BlockStyle.GPT2 || style == BlockStyle.MODERN;
  }

  /** The architecture. */
  public ModelConfig config() {
    return config;
  }

  /** The parameters; owned by this model. */
  public Parameters parameters() {
    return parameters;
  }

  /**
   * The item embedding (V + 1, D), which is also the output; row 0 is padding. Owned by this model.
   */
  public Buffer itemTable() {
    return parameters.get(Parameters.ITEMS);
  }

  @Override
  public void close() {
    parameters.close();
  }
}
