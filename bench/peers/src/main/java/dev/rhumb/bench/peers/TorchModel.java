package dev.rhumb.bench.peers;

import static org.bytedeco.pytorch.global.torch.embedding;
import static org.bytedeco.pytorch.global.torch.layer_norm;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.relu;
import static org.bytedeco.pytorch.global.torch.scaled_dot_product_attention;

import dev.rhumb.bench.speed.Transformer;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;

/** SASRec in libtorch, with its fused attention, from the engine's weights. */
final class TorchModel {
  private final Weights weights;
  private final List<Tensor> parameters = new ArrayList<>();
  private final int length;
  private final int d;
  private final double eps;
  private final Tensor items;
  private final Tensor positions;
  private final Tensor[][] blocks;
  private final Tensor[] last;

  TorchModel(Transformer transformer) {
    weights = new Weights(transformer);
    length = transformer.length();
    d = transformer.width();
    eps = transformer.config().normEps();
    items = parameter(weights.get("item_embedding.weight"));
    positions = parameter(weights.get("position_embedding.weight"));
    blocks = new Tensor[transformer.layers()][];
    for (int i = 0; i < blocks.length; i++) {
      String at = "blocks." + i + ".";
      Weights.Part in = weights.get(at + "attention.in.weight");
      Weights.Part inBias = weights.get(at + "attention.in.bias");
      blocks[i] =
          new Tensor[] {
            parameter(weights.get(at + "norm1.weight")),
            parameter(weights.get(at + "norm1.bias")),
            parameter(in.rows(0, d)),
            parameter(inBias.rows(0, d)),
            parameter(in.rows(d, 2 * d)),
            parameter(inBias.rows(d, 2 * d)),
            parameter(weights.get(at + "attention.out.weight")),
            parameter(weights.get(at + "attention.out.bias")),
            parameter(weights.get(at + "norm2.weight")),
            parameter(weights.get(at + "norm2.bias")),
            parameter(weights.get(at + "mlp.up.weight")),
            parameter(weights.get(at + "mlp.up.bias")),
            parameter(weights.get(at + "mlp.down.weight")),
            parameter(weights.get(at + "mlp.down.bias"))
          };
    }
    last =
        new Tensor[] {
          parameter(weights.get("final_norm.weight")), parameter(weights.get("final_norm.bias"))
        };
  }

  private Tensor parameter(Weights.Part part) {
    Tensor tensor = Torch.parameter(Torch.tensor(part.values(), part.shape()));
    parameters.add(tensor);
    return tensor;
  }

  Tensor[] parameters() {
    return parameters.toArray(new Tensor[0]);
  }

  /** (V + 1, D). */
  Tensor items() {
    return items;
  }

  /** Hidden states (B, T, D) of histories (B, T) of int64. */
  Tensor hidden(Tensor history, int b) {
    Tensor x = embedding(items, history).mul(new Scalar(Math.sqrt(d))).add(positions);
    for (Tensor[] p : blocks) {
      Tensor normed = norm(x, p[0], p[1]);
      Tensor query = linear(normed, p[2], new TensorOptional(p[3])).view(b, 1, length, d);
      Tensor pair = linear(x, p[4], new TensorOptional(p[5])).view(b, 1, length, 2 * d);
      Tensor attended =
          scaled_dot_product_attention(
              query,
              pair.narrow(3, 0, d),
              pair.narrow(3, d, d),
              new TensorOptional(),
              0.0,
              true,
              new DoubleOptional(),
              false);
      Tensor out = linear(attended.view(b, length, d), p[6], new TensorOptional(p[7]));
      Tensor middle = norm(normed.add(out), p[8], p[9]);
      Tensor active = relu(linear(middle, p[10], new TensorOptional(p[11])));
      x = middle.add(linear(active, p[12], new TensorOptional(p[13])));
    }
    return norm(x, last[0], last[1]);
  }

  private Tensor norm(Tensor x, Tensor gain, Tensor bias) {
    return layer_norm(
        x, new long[] {d}, new TensorOptional(gain), new TensorOptional(bias), eps, true);
  }
}
