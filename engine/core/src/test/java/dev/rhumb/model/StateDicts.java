package dev.rhumb.model;

import dev.rhumb.checkpoint.Bfloat16;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/**
 * Random state dicts of SASRec as other projects save them, and their logits by the formulas of
 * those projects in plain loops: whole windows, padded as they pad, all in double.
 */
final class StateDicts {
  record Entry(long[] shape, double[] values) {}

  final Map<String, Entry> entries = new LinkedHashMap<>();
  final int items;
  final int d;
  final int layers;
  final int heads;
  final int t;
  private final Random random;

  StateDicts(int items, int d, int layers, int heads, int t, long seed) {
    this.items = items;
    this.d = d;
    this.layers = layers;
    this.heads = heads;
    this.t = t;
    random = new Random(seed);
  }

  void add(String name, double scale, double shift, long... shape) {
    int count = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    double[] values = new double[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) (shift + scale * random.nextGaussian());
    }
    entries.put(name, new Entry(shape, values));
  }

  private void norm(String name) {
    add(name + ".weight", 0.3, 1, d);
    add(name + ".bias", 0.3, 0, d);
  }

  private void linear(String name, long... shape) {
    add(name + ".weight", 0.3, 0, shape);
    add(name + ".bias", 0.3, 0, shape[0]);
  }

  /** Sets row 0 to zero, as that of padding. */
  void zeroFirstRow(String name) {
    Arrays.fill(entries.get(name).values, 0, d, 0);
  }

  static StateDicts pmixer(StateDictImport.Source source, int heads, long seed) {
    StateDicts dict = new StateDicts(13, 8, 2, heads, 6, seed);
    boolean old = source == StateDictImport.Source.PMIXER_2020;
    int d = dict.d;
    dict.add("item_emb.weight", 0.3, 0, dict.items + 1, d);
    dict.add("pos_emb.weight", 0.5, 0, old ? dict.t : dict.t + 1, d);
    if (!old) {
      dict.zeroFirstRow("item_emb.weight");
      dict.zeroFirstRow("pos_emb.weight");
    }
    for (int i = 0; i < dict.layers; i++) {
      dict.norm("attention_layernorms." + i);
      dict.add("attention_layers." + i + ".in_proj_weight", 0.4, 0, 3 * d, d);
      dict.add("attention_layers." + i + ".in_proj_bias", 0.4, 0, 3 * d);
      dict.linear("attention_layers." + i + ".out_proj", d, d);
      dict.norm("forward_layernorms." + i);
      dict.linear("forward_layers." + i + ".conv1", d, d, 1);
      dict.linear("forward_layers." + i + ".conv2", d, d, 1);
    }
    dict.norm("last_layernorm");
    return dict;
  }

  static StateDicts recbole(int heads, long seed) {
    StateDicts dict = new StateDicts(13, 8, 2, heads, 6, seed);
    int d = dict.d;
    int inner = 12;
    dict.add("item_embedding.weight", 0.5, 0, dict.items + 1, d);
    dict.add("position_embedding.weight", 0.5, 0, dict.t, d);
    for (int i = 0; i < dict.layers; i++) {
      String at = "trm_encoder.layer." + i + ".";
      for (String part : new String[] {"query", "key", "value", "dense"}) {
        dict.linear(at + "multi_head_attention." + part, d, d);
      }
      dict.norm(at + "multi_head_attention.LayerNorm");
      dict.linear(at + "feed_forward.dense_1", inner, d);
      dict.linear(at + "feed_forward.dense_2", d, inner);
      dict.norm(at + "feed_forward.LayerNorm");
    }
    dict.norm("LayerNorm");
    return dict;
  }

  /** Writes the tensors as F32, F16, BF16 or F64, and keeps the values as they are stored. */
  void write(Path file, String type) throws IOException {
    int bytes = type.equals("F64") ? 8 : type.equals("F32") ? 4 : 2;
    StringBuilder header = new StringBuilder("{");
    long at = 0;
    for (Map.Entry<String, Entry> entry : entries.entrySet()) {
      long end = at + (long) bytes * entry.getValue().values.length;
      header
          .append(header.length() > 1 ? "," : "")
          .append(
              "\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}"
                  .formatted(
                      entry.getKey(), type, Arrays.toString(entry.getValue().shape), at, end));
      at = end;
    }
    byte[] head = header.append("}").toString().getBytes(StandardCharsets.UTF_8);
    ByteBuffer out =
        ByteBuffer.allocate((int) (8 + head.length + at)).order(ByteOrder.LITTLE_ENDIAN);
    out.putLong(head.length).put(head);
    for (Entry entry : entries.values()) {
      double[] values = entry.values;
      for (int i = 0; i < values.length; i++) {
        switch (type) {
          case "F64" -> out.putDouble(values[i]);
          case "F32" -> out.putFloat((float) values[i]);
          case "F16" -> {
            short half = Float.floatToFloat16((float) values[i]);
            values[i] = Float.float16ToFloat(half);
            out.putShort(half);
          }
          default -> {
            short brain = Bfloat16.of((float) values[i]);
            values[i] = Bfloat16.toFloat(brain);
            out.putShort(brain);
          }
        }
      }
    }
    Files.write(file, out.array());
  }

  double[] get(String name) {
    return entries.get(name).values;
  }

  // The models, row by row.

  /** pmixer: the window is padded on the left; the logits are those of its last position. */
  double[] pmixerLogits(StateDictImport.Source source, boolean normFirst, int[] history) {
    boolean masked = source == StateDictImport.Source.PMIXER_2020;
    int[] window = new int[t];
    System.arraycopy(history, 0, window, t - history.length, history.length);
    double[][] h = new double[t][d];
    for (int r = 0; r < t; r++) {
      int position = masked ? r : window[r] == 0 ? 0 : r + 1;
      for (int c = 0; c < d; c++) {
        h[r][c] =
            Math.sqrt(d) * get("item_emb.weight")[window[r] * d + c]
                + get("pos_emb.weight")[position * d + c];
      }
    }
    zeroPadding(masked, window, h);
    for (int i = 0; i < layers; i++) {
      String norm1 = "attention_layernorms." + i;
      String norm2 = "forward_layernorms." + i;
      if (source != StateDictImport.Source.PMIXER) {
        double[][] q = norm(h, norm1, 1e-8);
        h = norm(sum(q, pmixerAttention(i, q, h)), norm2, 1e-8);
        h = sum(h, pmixerForward(i, h));
        zeroPadding(masked, window, h);
      } else if (normFirst) {
        double[][] x = norm(h, norm1, 1e-8);
        h = sum(h, pmixerAttention(i, x, x));
        h = sum(h, pmixerForward(i, norm(h, norm2, 1e-8)));
      } else {
        h = norm(sum(h, pmixerAttention(i, h, h)), norm1, 1e-8);
        h = norm(sum(h, pmixerForward(i, h)), norm2, 1e-8);
      }
    }
    return logits(norm(h, "last_layernorm", 1e-8)[t - 1], "item_emb.weight");
  }

  private static void zeroPadding(boolean masked, int[] window, double[][] h) {
    for (int r = 0; masked && r < window.length; r++) {
      if (window[r] == 0) {
        Arrays.fill(h[r], 0);
      }
    }
  }

  private double[][] pmixerAttention(int i, double[][] q, double[][] kv) {
    String at = "attention_layers." + i + ".";
    double[] weight = get(at + "in_proj_weight");
    double[] bias = get(at + "in_proj_bias");
    double[][] mixed =
        attend(
            linear(q, weight, bias, 0, d),
            linear(kv, weight, bias, d, d),
            linear(kv, weight, bias, 2 * d, d));
    return linear(mixed, get(at + "out_proj.weight"), get(at + "out_proj.bias"), 0, d);
  }

  private double[][] pmixerForward(int i, double[][] x) {
    String at = "forward_layers." + i + ".";
    double[][] up = linear(x, get(at + "conv1.weight"), get(at + "conv1.bias"), 0, d);
    for (double[] row : up) {
      Arrays.setAll(row, c -> Math.max(0, row[c]));
    }
    return linear(up, get(at + "conv2.weight"), get(at + "conv2.bias"), 0, d);
  }

  /** RecBole: the window is padded on the right; the logits are those of the last item. */
  double[] recboleLogits(String activation, int[] history) {
    double[][] h = new double[t][d];
    for (int r = 0; r < t; r++) {
      int item = r < history.length ? history[r] : 0;
      for (int c = 0; c < d; c++) {
        h[r][c] =
            get("item_embedding.weight")[item * d + c]
                + get("position_embedding.weight")[r * d + c];
      }
    }
    h = norm(h, "LayerNorm", 1e-12);
    for (int i = 0; i < layers; i++) {
      String attention = "trm_encoder.layer." + i + ".multi_head_attention.";
      String forward = "trm_encoder.layer." + i + ".feed_forward.";
      double[][] mixed =
          attend(
              linear(h, attention + "query"),
              linear(h, attention + "key"),
              linear(h, attention + "value"));
      h = norm(sum(linear(mixed, attention + "dense"), h), attention + "LayerNorm", 1e-12);
      double[][] up = linear(h, forward + "dense_1");
      for (double[] row : up) {
        Arrays.setAll(
            row,
            c ->
                switch (activation) {
                  case "gelu" -> row[c] * normalDistribution(row[c]);
                  case "relu" -> Math.max(0, row[c]);
                  default -> row[c] / (1 + Math.exp(-row[c]));
                });
      }
      h = norm(sum(linear(up, forward + "dense_2"), h), forward + "LayerNorm", 1e-12);
    }
    return logits(h[history.length - 1], "item_embedding.weight");
  }

  private static double normalDistribution(double x) {
    double sum = 0;
    int steps = 2000;
    for (int i = 0; i < steps; i++) {
      double at = (i + 0.5) / steps * x;
      sum += Math.exp(-at * at / 2) * x / steps;
    }
    return 0.5 + sum / Math.sqrt(2 * Math.PI);
  }

  private double[][] attend(double[][] q, double[][] k, double[][] v) {
    int width = d / heads;
    double[][] out = new double[q.length][d];
    for (int head = 0; head < heads; head++) {
      for (int i = 0; i < q.length; i++) {
        double[] weight = new double[i + 1];
        double total = 0;
        for (int j = 0; j <= i; j++) {
          double dot = 0;
          for (int c = head * width; c < (head + 1) * width; c++) {
            dot += q[i][c] * k[j][c];
          }
          weight[j] = Math.exp(dot / Math.sqrt(width));
          total += weight[j];
        }
        for (int j = 0; j <= i; j++) {
          for (int c = head * width; c < (head + 1) * width; c++) {
            out[i][c] += weight[j] / total * v[j][c];
          }
        }
      }
    }
    return out;
  }

  private double[][] linear(double[][] x, String name) {
    int outputs = get(name + ".bias").length;
    return linear(x, get(name + ".weight"), get(name + ".bias"), 0, outputs);
  }

  private static double[][] linear(
      double[][] x, double[] weight, double[] bias, int from, int outputs) {
    int inputs = x[0].length;
    double[][] y = new double[x.length][outputs];
    for (int r = 0; r < x.length; r++) {
      for (int o = 0; o < outputs; o++) {
        y[r][o] = bias[from + o];
        for (int c = 0; c < inputs; c++) {
          y[r][o] += weight[(from + o) * inputs + c] * x[r][c];
        }
      }
    }
    return y;
  }

  private double[][] norm(double[][] x, String name, double eps) {
    double[][] y = new double[x.length][d];
    for (int r = 0; r < x.length; r++) {
      double mean = Arrays.stream(x[r]).average().orElseThrow();
      double variance =
          Arrays.stream(x[r]).map(v -> (v - mean) * (v - mean)).average().orElseThrow();
      for (int c = 0; c < d; c++) {
        y[r][c] =
            (x[r][c] - mean) / Math.sqrt(variance + eps) * get(name + ".weight")[c]
                + get(name + ".bias")[c];
      }
    }
    return y;
  }

  private static double[][] sum(double[][] a, double[][] b) {
    double[][] y = new double[a.length][a[0].length];
    for (int r = 0; r < a.length; r++) {
      for (int c = 0; c < y[r].length; c++) {
        y[r][c] = a[r][c] + b[r][c];
      }
    }
    return y;
  }

  private double[] logits(double[] hidden, String table) {
    double[] logits = new double[items + 1];
    for (int item = 0; item <= items; item++) {
      for (int c = 0; c < d; c++) {
        logits[item] += hidden[c] * get(table)[item * d + c];
      }
    }
    return logits;
  }
}
