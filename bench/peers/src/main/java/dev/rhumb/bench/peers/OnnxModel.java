package dev.rhumb.bench.peers;

import dev.rhumb.bench.speed.Transformer;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * SASRec and its scores as an ONNX model (opset 17), from the engine's weights, written by the few
 * lines of protobuf that it takes. The numbers are those of the fields in onnx.proto.
 */
final class OnnxModel {
  /** The input: int64 (B, T). */
  static final String HISTORY = "history";

  /** An output: (B, T, D). */
  static final String HIDDEN = "hidden";

  /** An output: (B, k), the best scores after the last position. */
  static final String SCORES = "scores";

  /** An output: int64 (B, k), whose they are, counted from 0 without the row of padding. */
  static final String ITEMS = "items";

  private static final int FLOAT = 1;
  private static final int INT64 = 7;
  private static final int OPSET = 17;
  private static final int IR_VERSION = 8;

  private final Message graph = new Message();
  private final Weights weights;
  private final int d;
  private final float eps;
  private int nodes;

  private OnnxModel(Transformer transformer) {
    weights = new Weights(transformer);
    d = transformer.width();
    eps = transformer.config().normEps();
  }

  /** The file. */
  static byte[] of(Transformer transformer, int k) {
    return new OnnxModel(transformer).write(transformer, k);
  }

  private byte[] write(Transformer transformer, int k) {
    int length = transformer.length();
    Weights.Part table = weights.get("item_embedding.weight");
    constant("embedding", table);
    constant("positions", weights.get("position_embedding.weight"));
    constant("scale", new Weights.Part(new long[] {1}, new float[] {(float) Math.sqrt(d)}));
    constant("rsqrt", new Weights.Part(new long[] {1}, new float[] {(float) (1 / Math.sqrt(d))}));
    float[] later = new float[length * length];
    for (int i = 0; i < length; i++) {
      java.util.Arrays.fill(later, i * length + i + 1, (i + 1) * length, -1e30f);
    }
    constant("mask", new Weights.Part(new long[] {length, length}, later));
    String x = node("Add", node("Mul", node("Gather", "embedding", HISTORY), "scale"), "positions");
    for (int i = 0; i < transformer.layers(); i++) {
      x = block("blocks." + i + ".", x);
    }
    node("Identity", List.of(norm(x, "final_norm")), List.of(HIDDEN));
    integers("last", length - 1);
    integers("axis", 1);
    integers("k", k);
    constant("catalogue", transposed(table.rows(1, transformer.items())));
    String newest =
        node("Squeeze", node("Gather", List.of(HIDDEN, "last"), attribute("axis", 1)), "axis");
    node("TopK", List.of(node("MatMul", newest, "catalogue"), "k"), List.of(SCORES, ITEMS));
    graph.text(2, "sasrec");
    graph.message(11, value(HISTORY, INT64, "b", length));
    graph.message(12, value(HIDDEN, FLOAT, "b", length, d));
    graph.message(12, value(SCORES, FLOAT, "b", k));
    graph.message(12, value(ITEMS, INT64, "b", k));
    Message model = new Message();
    model.number(1, IR_VERSION);
    model.message(7, graph);
    model.message(8, new Message().text(1, "").number(2, OPSET));
    return model.bytes();
  }

  private String block(String at, String x) {
    Weights.Part in = weights.get(at + "attention.in.weight");
    Weights.Part inBias = weights.get(at + "attention.in.bias");
    String normed = norm(x, at + "norm1");
    String query = linear(normed, at + "q", in.rows(0, d), inBias.rows(0, d));
    String pair = linear(x, at + "kv", in.rows(d, 2 * d), inBias.rows(d, 2 * d));
    List<String> keyAndValue = List.of(at + "key", at + "value");
    node("Split", List.of(pair), keyAndValue, attribute("axis", -1));
    String keys = node("Transpose", List.of(at + "key"), attribute("perm", new long[] {0, 2, 1}));
    String scores = node("Add", node("Mul", node("MatMul", query, keys), "rsqrt"), "mask");
    String shares = node("Softmax", List.of(scores), attribute("axis", -1));
    String attended = node("MatMul", shares, at + "value");
    String out = linear(attended, at + "attention.out");
    String middle = norm(node("Add", normed, out), at + "norm2");
    String active = node("Relu", linear(middle, at + "mlp.up"));
    return node("Add", middle, linear(active, at + "mlp.down"));
  }

  private String norm(String x, String name) {
    constant(name + ".weight", weights.get(name + ".weight"));
    constant(name + ".bias", weights.get(name + ".bias"));
    return node(
        "LayerNormalization",
        List.of(x, name + ".weight", name + ".bias"),
        attribute("axis", -1),
        attribute("epsilon", eps));
  }

  private String linear(String x, String name) {
    return linear(x, name, weights.get(name + ".weight"), weights.get(name + ".bias"));
  }

  private String linear(String x, String name, Weights.Part weight, Weights.Part bias) {
    constant(name + ".w", transposed(weight));
    constant(name + ".b", bias);
    return node("Add", node("MatMul", x, name + ".w"), name + ".b");
  }

  private static Weights.Part transposed(Weights.Part part) {
    int rows = (int) part.shape()[0];
    int cols = (int) part.shape()[1];
    float[] values = new float[rows * cols];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        values[c * rows + r] = part.values()[r * cols + c];
      }
    }
    return new Weights.Part(new long[] {cols, rows}, values);
  }

  private void constant(String name, Weights.Part part) {
    ByteBuffer raw = ByteBuffer.allocate(4 * part.values().length).order(ByteOrder.LITTLE_ENDIAN);
    raw.asFloatBuffer().put(part.values());
    Message tensor = new Message();
    for (long size : part.shape()) {
      if (size > 0) {
        tensor.number(1, size);
      }
    }
    graph.message(5, tensor.number(2, FLOAT).text(8, name).raw(9, raw.array()));
  }

  private void integers(String name, long value) {
    byte[] raw = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
    graph.message(5, new Message().number(1, 1).number(2, INT64).text(8, name).raw(9, raw));
  }

  private String node(String operator, String... inputs) {
    return node(operator, List.of(inputs));
  }

  private String node(String operator, List<String> inputs, Message... attributes) {
    String output = operator + nodes;
    node(operator, inputs, List.of(output), attributes);
    return output;
  }

  private void node(
      String operator, List<String> inputs, List<String> outputs, Message... attributes) {
    Message node = new Message();
    inputs.forEach(input -> node.text(1, input));
    outputs.forEach(output -> node.text(2, output));
    node.text(3, "node" + nodes++).text(4, operator);
    for (Message attribute : attributes) {
      node.message(5, attribute);
    }
    graph.message(1, node);
  }

  private static Message attribute(String name, long value) {
    return new Message().text(1, name).number(3, value).number(20, 2);
  }

  private static Message attribute(String name, float value) {
    return new Message().text(1, name).real(2, value).number(20, 1);
  }

  private static Message attribute(String name, long[] values) {
    Message message = new Message().text(1, name);
    for (long value : values) {
      message.number(8, value);
    }
    return message.number(20, 7);
  }

  private static Message value(String name, int type, Object... sizes) {
    Message shape = new Message();
    for (Object size : sizes) {
      shape.message(
          1,
          size instanceof String symbol
              ? new Message().text(2, symbol)
              : new Message().number(1, ((Number) size).longValue()));
    }
    Message tensor = new Message().number(1, type).message(2, shape);
    return new Message().text(1, name).message(2, new Message().message(1, tensor));
  }

  /** A message in protobuf's wire format. */
  private static final class Message {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    byte[] bytes() {
      return out.toByteArray();
    }

    private Message varint(long value) {
      long left = value;
      for (; (left & ~0x7FL) != 0; left >>>= 7) {
        out.write((int) (left & 0x7F | 0x80));
      }
      out.write((int) left);
      return this;
    }

    Message number(int field, long value) {
      return varint((long) field << 3).varint(value);
    }

    Message raw(int field, byte[] bytes) {
      varint((long) field << 3 | 2).varint(bytes.length);
      out.writeBytes(bytes);
      return this;
    }

    Message text(int field, String text) {
      return raw(field, text.getBytes(StandardCharsets.UTF_8));
    }

    Message message(int field, Message message) {
      return raw(field, message.bytes());
    }

    Message real(int field, float value) {
      varint((long) field << 3 | 5);
      out.writeBytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putFloat(value).array());
      return this;
    }
  }
}
