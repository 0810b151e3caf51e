package dev.rhumb.kernels;

import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.Test;

/** Every backward pass against central differences of a forward pass in double. */
class GradientTest extends Conformance {
  private static final double STEP = 1e-5;

  GradientTest(Backend backend) {
    super(backend);
  }

  private static double[][] doubles(Matrix matrix) {
    double[][] all = new double[matrix.rows][matrix.cols];
    for (int r = 0; r < matrix.rows; r++) {
      for (int c = 0; c < matrix.cols; c++) {
        all[r][c] = matrix.was(r, c);
      }
    }
    return all;
  }

  /** Holds a gradient against the differences of {@code loss}, which reads {@code at}. */
  private static void check(
      String op, Matrix gradient, double[][] at, ToDoubleFunction<double[][]> loss) {
    gradient.check(
        op,
        64,
        (r, c) -> {
          double there = at[r][c];
          at[r][c] = there + STEP;
          double above = loss.applyAsDouble(at);
          at[r][c] = there - STEP;
          double below = loss.applyAsDouble(at);
          at[r][c] = there;
          return (above - below) / (2 * STEP);
        });
  }

  private static double weighted(double[][] y, double[][] weights) {
    double sum = 0;
    for (int r = 0; r < y.length; r++) {
      for (int c = 0; c < y[r].length; c++) {
        sum += y[r][c] * weights[r][c];
      }
    }
    return sum;
  }

  private static double[][] layerNorm(double[][] x, double[] gamma, double[] beta, double eps) {
    double[][] y = new double[x.length][];
    for (int r = 0; r < x.length; r++) {
      double mean = java.util.Arrays.stream(x[r]).average().orElseThrow();
      double variance =
          java.util.Arrays.stream(x[r]).map(v -> (v - mean) * (v - mean)).average().orElseThrow();
      y[r] = new double[x[r].length];
      for (int c = 0; c < y[r].length; c++) {
        y[r][c] = (x[r][c] - mean) / Math.sqrt(variance + eps) * gamma[c] + beta[c];
      }
    }
    return y;
  }

  @Test
  void layerNorm() {
    int rows = 4;
    int cols = 19;
    float eps = 0.1f;
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(rows, cols, cols);
          Matrix gamma = memory.vector(cols);
          Matrix beta = memory.vector(cols);
          Matrix dy = memory.matrix(rows, cols, cols);
          Matrix y = memory.matrix(rows, cols, cols);
          Matrix mean = memory.vector(rows);
          Matrix rstd = memory.vector(rows);
          Matrix dx = memory.matrix(rows, cols, cols);
          Matrix dgamma = memory.vector(cols, (none, c) -> 0);
          Matrix dbeta = memory.vector(cols, (none, c) -> 0);
          Layers layers = kernels.layers();
          layers.layerNorm(
              rows,
              cols,
              eps,
              x.buffer,
              cols,
              gamma.buffer,
              beta.buffer,
              y.buffer,
              cols,
              mean.buffer,
              rstd.buffer);
          layers.layerNormBackward(
              rows,
              cols,
              dy.buffer,
              x.buffer,
              gamma.buffer,
              mean.buffer,
              rstd.buffer,
              0,
              dx.buffer,
              dgamma.buffer,
              dbeta.buffer);
          y.now();
          mean.now();
          rstd.now();
          double[][] weights = doubles(dy);
          double[][] at = doubles(x);
          double[][] scale = doubles(gamma);
          double[][] shift = doubles(beta);
          ToDoubleFunction<double[][]> loss =
              changed -> weighted(layerNorm(at, scale[0], shift[0], eps), weights);
          check("gradient of layerNorm in x", dx, at, loss);
          check("gradient of layerNorm in gamma", dgamma, scale, loss);
          check("gradient of layerNorm in beta", dbeta, shift, loss);
        });
  }

  @Test
  void rmsNorm() {
    int rows = 4;
    int cols = 19;
    float eps = 0.1f;
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(rows, cols, cols);
          Matrix gamma = memory.vector(cols);
          Matrix dy = memory.matrix(rows, cols, cols);
          Matrix y = memory.matrix(rows, cols, cols);
          Matrix rstd = memory.vector(rows);
          Matrix dx = memory.matrix(rows, cols, cols);
          Matrix dgamma = memory.vector(cols, (none, c) -> 0);
          Layers layers = kernels.layers();
          layers.rmsNorm(
              rows, cols, eps, x.buffer, cols, gamma.buffer, y.buffer, cols, rstd.buffer);
          layers.rmsNormBackward(
              rows,
              cols,
              dy.buffer,
              x.buffer,
              gamma.buffer,
              rstd.buffer,
              0,
              dx.buffer,
              dgamma.buffer);
          y.now();
          rstd.now();
          double[][] at = doubles(x);
          double[][] scale = doubles(gamma);
          ToDoubleFunction<double[][]> loss =
              changed -> {
                double total = 0;
                for (int r = 0; r < rows; r++) {
                  double squares = java.util.Arrays.stream(at[r]).map(v -> v * v).sum();
                  for (int c = 0; c < cols; c++) {
                    double normal = at[r][c] / Math.sqrt(squares / cols + eps);
                    total += dy.was(r, c) * normal * scale[0][c];
                  }
                }
                return total;
              };
          check("gradient of rmsNorm in x", dx, at, loss);
          check("gradient of rmsNorm in gamma", dgamma, scale, loss);
        });
  }

  @Test
  void swiglu() {
    int rows = 3;
    int cols = 21;
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(rows, 2 * cols, 2 * cols, (r, c) -> 4 * memory.uniform());
          Matrix dy = memory.matrix(rows, cols, cols);
          Matrix dx = memory.matrix(rows, 2 * cols, 2 * cols);
          kernels.layers().swigluBackward(rows, cols, x.buffer, dy.buffer, dx.buffer);
          check(
              "gradient of swiglu",
              dx,
              doubles(x),
              at -> {
                double total = 0;
                for (int r = 0; r < rows; r++) {
                  for (int c = 0; c < cols; c++) {
                    double gate = at[r][c] / (1 + Math.exp(-at[r][c]));
                    total += dy.was(r, c) * gate * at[r][cols + c];
                  }
                }
                return total;
              });
        });
  }

  @Test
  void rotary() {
    int rows = 5;
    int headWidth = 6;
    each(
        (kernels, memory) -> {
          Ints positions = memory.ints(rows, r -> memory.below(4));
          Matrix angles =
              memory.matrix(
                  4, headWidth, headWidth, (t, c) -> c < 3 ? Math.cos(t + c) : Math.sin(t + c - 3));
          Matrix x = memory.matrix(rows, 12, 12);
          // Turned back in place, a gradient in the output becomes that in the input.
          Matrix d = memory.matrix(rows, 12, 12);
          kernels
              .layers()
              .rotary(rows, 2, headWidth, positions.buffer, 4, angles.buffer, true, d.buffer, 12);
          check(
              "gradient of rotary",
              d,
              doubles(x),
              at -> {
                double total = 0;
                for (int r = 0; r < rows; r++) {
                  for (int c = 0; c < 12; c++) {
                    double angle = positions.was(r) + c % 3;
                    boolean first = c % headWidth < 3;
                    double other = first ? -at[r][c + 3] : at[r][c - 3];
                    total += d.was(r, c) * (at[r][c] * Math.cos(angle) + other * Math.sin(angle));
                  }
                }
                return total;
              });
        });
  }

  @Test
  void activations() {
    for (Activation activation : Activation.values()) {
      each(
          (kernels, memory) -> {
            Matrix x = memory.matrix(1, 71, 71, (r, c) -> 4 * memory.uniform() + 1e-3);
            Matrix dy = memory.matrix(1, 71, 71);
            Matrix dx = memory.matrix(1, 71, 71);
            kernels.layers().activationBackward(activation, 71, x.buffer, dy.buffer, dx.buffer);
            double[][] weights = doubles(dy);
            check(
                "gradient of " + activation,
                dx,
                doubles(x),
                at -> {
                  double sum = 0;
                  for (int c = 0; c < 71; c++) {
                    double v = at[0][c];
                    double y =
                        switch (activation) {
                          case NONE -> v;
                          case RELU -> Math.max(v, 0);
                          case GELU ->
                              v
                                  / 2
                                  * (1
                                      + Math.tanh(
                                          Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)));
                          default -> DenseConformanceTest.act(activation, v);
                        };
                    sum += y * weights[0][c];
                  }
                  return sum;
                });
          });
    }
  }

  @Test
  void attentionWithItsDropoutMaskHeld() {
    int heads = 2;
    int headWidth = 5;
    int cols = heads * headWidth;
    int[] ends = {0, 6, 7, 16};
    int rows = 16;
    for (float p : new float[] {0, 0.4f}) {
      ReferenceAttention.Dropout dropout = new ReferenceAttention.Dropout(p, 3, 1L << 33);
      each(
          (kernels, memory) -> {
            Ints offsets = memory.ints(ends);
            Matrix q = memory.matrix(rows, cols, cols, (r, c) -> 2 * memory.uniform());
            Matrix k = memory.matrix(rows, cols, cols, (r, c) -> 2 * memory.uniform());
            Matrix v = memory.matrix(rows, cols, cols);
            Matrix dOut = memory.matrix(rows, cols, cols);
            Matrix out = memory.matrix(rows, cols, cols);
            Matrix logSumExp = memory.matrix(rows, heads, heads);
            Matrix dq = memory.matrix(rows, cols, cols);
            Matrix dk = memory.matrix(rows, cols, cols);
            Matrix dv = memory.matrix(rows, cols, cols);
            Attention attention = kernels.attention();
            attention.forward(
                3,
                offsets.buffer,
                rows,
                heads,
                headWidth,
                q.buffer,
                cols,
                k.buffer,
                cols,
                v.buffer,
                cols,
                p,
                dropout.key(),
                dropout.stream(),
                out.buffer,
                cols,
                logSumExp.buffer);
            attention.backward(
                3,
                offsets.buffer,
                rows,
                heads,
                headWidth,
                q.buffer,
                cols,
                k.buffer,
                cols,
                v.buffer,
                cols,
                p,
                dropout.key(),
                dropout.stream(),
                out.buffer,
                cols,
                logSumExp.buffer,
                dOut.buffer,
                cols,
                dq.buffer,
                cols,
                dk.buffer,
                cols,
                dv.buffer,
                cols);
            out.now();
            logSumExp.now();
            double[][] queries = doubles(q);
            double[][] keys = doubles(k);
            double[][] values = doubles(v);
            double[][] weights = doubles(dOut);
            ToDoubleFunction<double[][]> loss =
                changed ->
                    weighted(
                        new ReferenceAttention(
                                ends, heads, headWidth, queries, keys, values, dropout, null)
                            .out,
                        weights);
            check("gradient of attention in q", dq, queries, loss);
            check("gradient of attention in k", dk, keys, loss);
            check("gradient of attention in v", dv, values, loss);
          });
    }
  }

  @Test
  void softmaxCrossEntropy() {
    int rows = 6;
    int classes = 23;
    int width = 7;
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, width, (r, c) -> 3 * memory.uniform());
          Matrix w = memory.matrix(classes, width, width);
          Ints targets = memory.ints(rows, r -> r % 2 == 0 ? 5 : memory.below(classes));
          Matrix loss = memory.vector(1);
          Matrix dh = memory.matrix(rows, width, width);
          Matrix dw = memory.matrix(classes, width, width, (r, c) -> 0);
          kernels
              .loss()
              .softmaxCrossEntropy(
                  rows,
                  classes,
                  width,
                  h.buffer,
                  w.buffer,
                  targets.buffer,
                  loss.buffer,
                  dh.buffer,
                  dw.buffer);
          double[][] hidden = doubles(h);
          double[][] weights = doubles(w);
          ToDoubleFunction<double[][]> mean =
              changed -> {
                double total = 0;
                for (int r = 0; r < rows; r++) {
                  double sum = 0;
                  double target = 0;
                  for (int c = 0; c < classes; c++) {
                    double score = 0;
                    for (int d = 0; d < width; d++) {
                      score += hidden[r][d] * weights[c][d];
                    }
                    sum += Math.exp(score);
                    target = c == targets.was(r) ? score : target;
                  }
                  total += Math.log(sum) - target;
                }
                return total / rows;
              };
          loss.check("softmaxCrossEntropy", 32, (none, zero) -> mean.applyAsDouble(hidden));
          check("gradient of softmaxCrossEntropy in h", dh, hidden, mean);
          check("gradient of softmaxCrossEntropy in w", dw, weights, mean);
        });
  }

  @Test
  void gatherAndScatterAdd() {
    each(
        (kernels, memory) -> {
          Matrix table = memory.matrix(6, 5, 5);
          Ints ids = memory.ints(9, r -> memory.below(5));
          Matrix dy = memory.matrix(9, 5, 5);
          Matrix dTable = memory.matrix(6, 5, 5, (r, c) -> 0);
          kernels.layers().scatterAdd(9, 5, ids.buffer, dy.buffer, 2, 6, dTable.buffer);
          check(
              "gradient of gather",
              dTable,
              doubles(table),
              at -> {
                double sum = 0;
                for (int r = 0; r < 9; r++) {
                  for (int c = 0; c < 5; c++) {
                    sum += dy.was(r, c) * 2 * at[ids.was(r)][c];
                  }
                }
                return sum;
              });
        });
  }

  @Test
  void sparseAutoencoder() {
    int rows = 9;
    int features = 24;
    int width = 7;
    int kept = 4;
    for (boolean decoderBias : new boolean[] {true, false}) {
      each(
          (kernels, memory) -> {
            Matrix wEnc = memory.matrix(features, width, width);
            Matrix wDec = memory.matrix(features, width, width);
            Matrix bEnc = memory.vector(features);
            Matrix bDec = memory.vector(width);
            Matrix x = memory.matrix(rows, width, width);
            Ints indices = memory.ints(rows * kept, i -> -1);
            Matrix z = memory.matrix(rows, kept, kept);
            Matrix denominator = memory.vector(new double[] {rows});
            Matrix g = memory.matrix(rows, width, width);
            Matrix squares = memory.vector(rows);
            Matrix dz = memory.matrix(rows, kept, kept);
            Matrix dWEnc = memory.matrix(features, width, width, (r, c) -> 0);
            Matrix dWDec = memory.matrix(features, width, width, (r, c) -> 0);
            Matrix dBEnc = memory.vector(features, (r, c) -> 0);
            Matrix dBDec = memory.vector(width, (r, c) -> 0);
            Sae sae = kernels.sae();
            PackedEncoder encoder = memory.own(sae.encoder(features, width));
            sae.pack(encoder, features, wEnc.buffer, bEnc.buffer, bDec.buffer, null, 0);
            sae.encodeTopK(encoder, rows, kept, x.buffer, width, indices.buffer, z.buffer);
            // L = sum of (x^ - x)^2 / rows.
            sae.decodeLoss(
                rows,
                kept,
                features,
                width,
                x.buffer,
                width,
                2,
                denominator.buffer,
                indices.buffer,
                z.buffer,
                wDec.buffer,
                decoderBias ? bDec.buffer : null,
                null,
                g.buffer,
                squares.buffer,
                dz.buffer);
            sae.backward(
                rows,
                kept,
                features,
                width,
                x.buffer,
                width,
                g.buffer,
                0,
                indices.buffer,
                z.buffer,
                // Found with the loss, or anew.
                decoderBias ? dz.buffer : null,
                wEnc.buffer,
                wDec.buffer,
                bDec.buffer,
                decoderBias,
                dWEnc.buffer,
                dWDec.buffer,
                dBEnc.buffer,
                dBDec.buffer);
            squares.now();
            dz.now();
            int[] chosen = indices.now();
            z.now();
            g.now();
            double[][] enc = doubles(wEnc);
            double[][] dec = doubles(wDec);
            double[][] encBias = doubles(bEnc);
            double[][] decBias = doubles(bDec);
            ToDoubleFunction<double[][]> loss =
                changed -> {
                  double total = 0;
                  for (int r = 0; r < rows; r++) {
                    double[] y = decoderBias ? decBias[0].clone() : new double[width];
                    for (int i = 0; i < kept; i++) {
                      int f = chosen[r * kept + i];
                      double pre = encBias[0][f];
                      for (int d = 0; d < width; d++) {
                        pre += (x.was(r, d) - decBias[0][d]) * enc[f][d];
                      }
                      for (int d = 0; d < width; d++) {
                        y[d] += Math.max(pre, 0) * dec[f][d];
                      }
                    }
                    for (int d = 0; d < width; d++) {
                      total += (y[d] - x.was(r, d)) * (y[d] - x.was(r, d));
                    }
                  }
                  return total / rows;
                };
            check("gradient of the SAE in wEnc", dWEnc, enc, loss);
            check("gradient of the SAE in wDec", dWDec, dec, loss);
            check("gradient of the SAE in bEnc", dBEnc, encBias, loss);
            check("gradient of the SAE in bDec", dBDec, decBias, loss);
          });
    }
  }

  /** What the sampled losses have of a score: their part of the loss. */
  private interface Part {
    double at(int row, double[] scores);
  }

  /** The mean over rows of a loss of the scores h w^T. */
  private static double ofScores(double[][] h, double[][] w, Part part) {
    double total = 0;
    for (int r = 0; r < h.length; r++) {
      double[] scores = new double[w.length];
      for (int c = 0; c < w.length; c++) {
        for (int d = 0; d < h[r].length; d++) {
          scores[c] += h[r][d] * w[c][d];
        }
      }
      total += part.at(r, scores);
    }
    return total / h.length;
  }

  @Test
  void sampledSoftmaxWithHits() {
    int rows = 6;
    int classes = 23;
    int width = 7;
    int[] sample = {0, 2, 5, 6, 11, 19};
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, width, (r, c) -> 3 * memory.uniform());
          Matrix w = memory.matrix(classes, width, width);
          Ints targets = memory.ints(rows, r -> r % 2 == 0 ? 5 : memory.below(classes));
          Ints negatives = memory.ints(sample);
          Matrix bias = memory.vector(sample.length);
          Matrix targetBias = memory.vector(classes);
          Matrix loss = memory.vector(1);
          Matrix dh = memory.matrix(rows, width, width);
          Matrix dw = memory.matrix(classes, width, width, (r, c) -> 0);
          kernels
              .loss()
              .sampledSoftmaxCrossEntropy(
                  rows,
                  sample.length,
                  classes,
                  width,
                  h.buffer,
                  w.buffer,
                  targets.buffer,
                  negatives.buffer,
                  bias.buffer,
                  targetBias.buffer,
                  loss.buffer,
                  dh.buffer,
                  dw.buffer);
          double[][] hidden = doubles(h);
          double[][] weights = doubles(w);
          Part part =
              (r, scores) -> {
                int target = targets.was(r);
                double wanted = scores[target] + targetBias.was(target);
                double sum = Math.exp(wanted);
                for (int j = 0; j < sample.length; j++) {
                  sum += sample[j] == target ? 0 : Math.exp(scores[sample[j]] + bias.was(j));
                }
                return Math.log(sum) - wanted;
              };
          ToDoubleFunction<double[][]> mean = changed -> ofScores(hidden, weights, part);
          check("gradient of sampledSoftmaxCrossEntropy in h", dh, hidden, mean);
          check("gradient of sampledSoftmaxCrossEntropy in w", dw, weights, mean);
          loss.check("loss", width, (none, zero) -> mean.applyAsDouble(null));
        });
  }

  @Test
  void binaryCrossEntropyWithRepeats() {
    int rows = 6;
    int classes = 9;
    int width = 7;
    int negatives = 10;
    float weight = .3f;
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, width, (r, c) -> 3 * memory.uniform());
          Matrix w = memory.matrix(classes, width, width);
          Ints targets = memory.ints(rows, r -> 1 + memory.below(classes - 1));
          Matrix loss = memory.vector(1);
          Matrix dh = memory.matrix(rows, width, width);
          Matrix dw = memory.matrix(classes, width, width, (r, c) -> 0);
          kernels
              .loss()
              .binaryCrossEntropy(
                  rows,
                  negatives,
                  classes,
                  width,
                  h.buffer,
                  w.buffer,
                  targets.buffer,
                  0,
                  null,
                  null,
                  null,
                  7,
                  9,
                  weight,
                  loss.buffer,
                  dh.buffer,
                  dw.buffer);
          double[][] hidden = doubles(h);
          double[][] weights = doubles(w);
          Part part =
              (r, scores) -> {
                int target = targets.was(r);
                double sum = weight * Math.log1p(Math.exp(-scores[target]));
                for (int j = 0; j < negatives; j++) {
                  double bits = Integer.toUnsignedLong(Philox.bits(7, 9, r, j));
                  int place = 1 + (int) (bits * 0x1p-32 * (classes - 2));
                  sum += Math.log1p(Math.exp(scores[place >= target ? place + 1 : place]));
                }
                return sum / (1 + negatives);
              };
          ToDoubleFunction<double[][]> mean = changed -> ofScores(hidden, weights, part);
          check("gradient of binaryCrossEntropy in h", dh, hidden, mean);
          check("gradient of binaryCrossEntropy in w", dw, weights, mean);
          loss.check("loss", width, (none, zero) -> mean.applyAsDouble(null));
        });
  }
}
