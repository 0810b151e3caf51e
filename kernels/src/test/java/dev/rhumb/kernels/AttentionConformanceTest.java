package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;

class AttentionConformanceTest extends Conformance {
  private static final long KEY = 99;
  private static final long STREAM = 5L << 40;

  AttentionConformanceTest(Backend backend) {
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

  /** What stands for a matrix in products. */
  private double[][] operands(Matrix matrix) {
    double[][] all = doubles(matrix);
    for (double[] row : all) {
      java.util.Arrays.setAll(row, c -> operand(row[c]));
    }
    return all;
  }

  private static double[][] now(Matrix matrix) {
    float[] now = matrix.now();
    double[][] all = new double[matrix.rows][matrix.cols];
    for (int r = 0; r < matrix.rows; r++) {
      for (int c = 0; c < matrix.cols; c++) {
        all[r][c] = now[r * matrix.stride + c];
      }
    }
    return all;
  }

  private static Memory.Fill nearest(RoundedAttention.Result result, Matrix matrix) {
    double[][] now = now(matrix);
    return (r, c) -> result.at(r, c, now[r][c]);
  }

  private static int[] offsets(int... lengths) {
    int[] offsets = new int[lengths.length + 1];
    for (int b = 0; b < lengths.length; b++) {
      offsets[b + 1] = offsets[b] + lengths[b];
    }
    return offsets;
  }

  private void attention(
      int heads, int headWidth, float p, int salt, double spread, int... lengths) {
    int[] ends = offsets(lengths);
    int rows = ends[lengths.length];
    int cols = heads * headWidth;
    int longest = java.util.Arrays.stream(lengths).max().orElse(0);
    each(
        (kernels, memory) -> {
          Ints offsets = memory.ints(ends);
          Matrix q =
              memory.matrix(rows, cols, stride(cols, salt), (r, c) -> spread * memory.uniform());
          Matrix k = memory.matrix(rows, cols, stride(cols, salt + 1));
          Matrix v = memory.matrix(rows, cols, stride(cols, salt + 2));
          Matrix dOut = memory.matrix(rows, cols, stride(cols, salt + 3));
          Matrix out = memory.matrix(rows, cols, stride(cols, salt + 1));
          Matrix logSumExp = memory.matrix(rows, heads, heads);
          Matrix dq = memory.matrix(rows, cols, stride(cols, salt + 2));
          Matrix dk = memory.matrix(rows, cols, stride(cols, salt));
          Matrix dv = memory.matrix(rows, cols, stride(cols, salt + 3));
          ReferenceAttention reference =
              new ReferenceAttention(
                  ends,
                  heads,
                  headWidth,
                  operands(q),
                  operands(k),
                  operands(v),
                  new ReferenceAttention.Dropout(p, KEY, STREAM),
                  operands(dOut));
          Attention attention = kernels.attention();
          attention.forward(
              lengths.length,
              offsets.buffer,
              rows,
              heads,
              headWidth,
              q.buffer,
              q.stride,
              k.buffer,
              k.stride,
              v.buffer,
              v.stride,
              p,
              KEY,
              STREAM,
              out.buffer,
              out.stride,
              logSumExp.buffer);
          // A score's rounding error is a relative error of its weight.
          double magnitude = 1 + spread;
          if (!bf16) {
            out.check("attention", longest + headWidth, magnitude, (r, c) -> reference.out[r][c]);
          }
          logSumExp.check(
              "attention's logSumExp",
              longest + headWidth,
              magnitude,
              (r, h) -> reference.logSumExp[r][h]);
          attention.backward(
              lengths.length,
              offsets.buffer,
              rows,
              heads,
              headWidth,
              q.buffer,
              q.stride,
              k.buffer,
              k.stride,
              v.buffer,
              v.stride,
              p,
              KEY,
              STREAM,
              out.buffer,
              out.stride,
              logSumExp.buffer,
              dOut.buffer,
              dOut.stride,
              dq.buffer,
              dq.stride,
              dk.buffer,
              dk.stride,
              dv.buffer,
              dv.stride);
          double terms = longest + headWidth;
          double steep = magnitude * magnitude / (1 - p);
          if (bf16) {
            RoundedAttention rounded =
                new RoundedAttention(
                    this::operand,
                    ends,
                    heads,
                    headWidth,
                    operands(q),
                    operands(k),
                    operands(v),
                    new ReferenceAttention.Dropout(p, KEY, STREAM),
                    operands(dOut),
                    now(out),
                    now(logSumExp));
            out.check("attention in bf16", terms, magnitude, nearest(rounded.out, out));
            dq.check("attentionBackward's dq in bf16", terms, steep, nearest(rounded.dq, dq));
            dk.check("attentionBackward's dk in bf16", terms, steep, nearest(rounded.dk, dk));
            dv.check("attentionBackward's dv in bf16", terms, steep, nearest(rounded.dv, dv));
            return;
          }
          dq.check("attentionBackward's dq", terms, steep, (r, c) -> reference.dq[r][c]);
          dk.check("attentionBackward's dk", terms, steep, (r, c) -> reference.dk[r][c]);
          dv.check("attentionBackward's dv", terms, steep, (r, c) -> reference.dv[r][c]);
        });
  }

  @Test
  void everyLengthAndWidth() {
    int salt = 0;
    for (int size : SIZES) {
      attention(2, 5, salt % 2 == 0 ? 0 : 0.3f, salt++, 1, 3, size, 1);
    }
    for (int size : POSITIVE) {
      attention(1 + size % 3, size, salt % 2 == 0 ? 0 : 0.2f, salt++, 1, 4, 0, 9);
    }
  }

  @Test
  void oddBatches() {
    attention(1, 4, 0, 0, 1);
    attention(1, 4, 0, 1, 1, 0, 0, 0);
    attention(3, 1, 0, 2, 1, 1, 1, 1, 1);
    attention(1, 50, 0.5f, 3, 1, 200, 2, 131);
    attention(4, 16, 0.1f, 3, 1, 11, 30, 1, 0, 22, 50, 8, 8, 3, 64);
  }

  /** The widths and lengths of large models, in one head or a few of them. */
  @Test
  void wideHeadsAndLongSequences() {
    for (int headWidth : new int[] {16, 32, 64, 96, 128}) {
      attention(1, headWidth, 0.1f, headWidth / 16, 1, 150, 3);
    }
    attention(48, 16, 0, 1, 1, 9, 20);
    attention(6, 128, 0.2f, 2, 1, 17);
    attention(1, 16, 0.1f, 3, 1, 1024);
  }

  private void addPadding(int heads, int headWidth, int window, int salt, int... lengths) {
    int[] ends = offsets(lengths);
    int rows = ends[lengths.length];
    int cols = heads * headWidth;
    each(
        (kernels, memory) -> {
          Ints offsets = memory.ints(ends);
          Matrix q = memory.matrix(rows, cols, stride(cols, salt));
          Matrix padKey = memory.vector(cols);
          Matrix padValue = memory.vector(cols);
          Matrix k = memory.matrix(rows, cols, cols);
          Matrix v = memory.matrix(rows, cols, cols);
          // The reference has the padding as rows of its own before each sequence.
          int[] paddedEnds = new int[lengths.length + 1];
          int[] padding = new int[lengths.length];
          for (int b = 0; b < lengths.length; b++) {
            padding[b] = Math.max(0, window - lengths[b]);
            paddedEnds[b + 1] = paddedEnds[b] + padding[b] + lengths[b];
          }
          double[][][] all = new double[3][paddedEnds[lengths.length]][cols];
          int[] to = new int[rows];
          for (int b = 0; b < lengths.length; b++) {
            for (int i = paddedEnds[b]; i < paddedEnds[b + 1]; i++) {
              int row = i - paddedEnds[b] - padding[b] + ends[b];
              boolean real = i - paddedEnds[b] >= padding[b];
              if (real) {
                to[row] = i;
              }
              for (int c = 0; c < cols; c++) {
                all[0][i][c] = real ? q.was(row, c) : 0;
                all[1][i][c] = real ? k.was(row, c) : padKey.was(c);
                all[2][i][c] = real ? v.was(row, c) : padValue.was(c);
              }
            }
          }
          ReferenceAttention.Dropout none = new ReferenceAttention.Dropout(0, KEY, STREAM);
          ReferenceAttention plain =
              new ReferenceAttention(
                  ends, heads, headWidth, doubles(q), doubles(k), doubles(v), none, null);
          ReferenceAttention padded =
              new ReferenceAttention(
                  paddedEnds, heads, headWidth, all[0], all[1], all[2], none, null);
          Matrix logSumExp = memory.matrix(rows, heads, heads, (r, h) -> plain.logSumExp[r][h]);
          Matrix out = memory.matrix(rows, cols, stride(cols, salt + 1), (r, c) -> plain.out[r][c]);
          kernels
              .attention()
              .addPadding(
                  lengths.length,
                  offsets.buffer,
                  rows,
                  window,
                  heads,
                  headWidth,
                  q.buffer,
                  q.stride,
                  padKey.buffer,
                  padValue.buffer,
                  logSumExp.buffer,
                  out.buffer,
                  out.stride);
          out.check("addPadding", headWidth, (r, c) -> padded.out[to[r]][c]);
        });
  }

  @Test
  void addPadding() {
    int salt = 0;
    for (int headWidth : POSITIVE) {
      addPadding(1 + salt % 3, headWidth, 7, salt++, 3, 7, 0, 9, 1);
    }
    addPadding(2, 64, 200, 1, 1, 150, 199, 200);
    addPadding(1, 8, 0, 2, 4, 1);
    addPadding(1, 8, 5, 2);
  }

  /** A NaN in a row of q, k, v or dOut changes no bit of another sequence. */
  @Test
  void sequencesDoNotTouchEachOther() {
    int[] ends = offsets(5, 20, 3, 40, 1, 30);
    int rows = ends[ends.length - 1];
    int heads = 2;
    for (int headWidth : new int[] {5, 64}) {
      int cols = heads * headWidth;
      int ill = 3;
      float[][] clean = new float[5][];
      for (int odd = -1; odd < 4; odd++) {
        int which = odd;
        try (Memory memory = new Memory(kernels(2), Memory.Placement.OWNED)) {
          Ints offsets = memory.ints(ends);
          Matrix[] in = new Matrix[4];
          for (int m = 0; m < 4; m++) {
            int place = m;
            in[m] =
                memory.matrix(
                    rows,
                    cols,
                    cols,
                    (r, c) ->
                        place == which && r == ends[ill] + 17 && c == 3
                            ? Double.NaN
                            : Math.sin(1 + r * 31 + c * 7 + place * 101));
          }
          Matrix[] result = new Matrix[5];
          for (int m = 0; m < 5; m++) {
            result[m] = memory.matrix(rows, m == 1 ? heads : cols, m == 1 ? heads : cols);
          }
          Attention attention = kernels(2).attention();
          attention.forward(
              ends.length - 1,
              offsets.buffer,
              rows,
              heads,
              headWidth,
              in[0].buffer,
              cols,
              in[1].buffer,
              cols,
              in[2].buffer,
              cols,
              0,
              KEY,
              STREAM,
              result[0].buffer,
              cols,
              result[1].buffer);
          attention.backward(
              ends.length - 1,
              offsets.buffer,
              rows,
              heads,
              headWidth,
              in[0].buffer,
              cols,
              in[1].buffer,
              cols,
              in[2].buffer,
              cols,
              0,
              KEY,
              STREAM,
              result[0].buffer,
              cols,
              result[1].buffer,
              in[3].buffer,
              cols,
              result[2].buffer,
              cols,
              result[3].buffer,
              cols,
              result[4].buffer,
              cols);
          for (int m = 0; m < 5; m++) {
            float[] now = result[m].now();
            int width = result[m].cols;
            java.util.Arrays.fill(now, ends[ill] * width, ends[ill + 1] * width, 0);
            if (which < 0) {
              clean[m] = now;
            } else {
              assertArrayEquals(clean[m], now, "result " + m + " for a NaN in input " + which);
            }
          }
        }
      }
    }
  }

  @Test
  void scoresFarApartDoNotOverflow() {
    attention(2, 16, 0, 0, 100, 40, 7);
  }

  @Test
  void equalKeysShareTheWeight() {
    each(
        (kernels, memory) -> {
          int rows = 33;
          Ints offsets = memory.ints(0, rows);
          Matrix q = memory.matrix(rows, 8, 8, (r, c) -> 1e15);
          Matrix k = memory.matrix(rows, 8, 8, (r, c) -> -1e15);
          Matrix v = memory.matrix(rows, 8, 8);
          Matrix out = memory.matrix(rows, 8, 8);
          kernels
              .attention()
              .forward(
                  1,
                  offsets.buffer,
                  rows,
                  2,
                  4,
                  q.buffer,
                  8,
                  k.buffer,
                  8,
                  v.buffer,
                  8,
                  0,
                  KEY,
                  STREAM,
                  out.buffer,
                  8,
                  null);
          out.check(
              "attention over equal keys",
              rows,
              (r, c) -> {
                double sum = 0;
                for (int j = 0; j <= r; j++) {
                  sum += operand(v.was(j, c));
                }
                return sum / (r + 1);
              });
        });
  }

  @Test
  void queriesKeysAndValuesMayLieSideBySide() {
    int rows = 19;
    int width = 12;
    Kernels kernels = kernels(2);
    try (Memory memory = new Memory(kernels, Memory.Placement.OWNED)) {
      Ints offsets = memory.ints(0, 8, rows);
      Matrix q = memory.matrix(rows, width, width);
      Matrix k = memory.matrix(rows, width, width);
      Matrix v = memory.matrix(rows, width, width);
      Matrix fused =
          memory.matrix(
              rows,
              3 * width,
              3 * width,
              (r, c) -> (c < width ? q : c < 2 * width ? k : v).was(r, c % width));
      Matrix apart = memory.matrix(rows, width, width);
      Matrix together = memory.matrix(rows, width, width);
      long rest = fused.buffer.count() - 2 * width;
      for (boolean one : new boolean[] {false, true}) {
        kernels
            .attention()
            .forward(
                2,
                offsets.buffer,
                rows,
                3,
                4,
                one ? fused.buffer.slice(0, rest) : q.buffer,
                one ? 3 * width : width,
                one ? fused.buffer.slice(width, rest) : k.buffer,
                one ? 3 * width : width,
                one ? fused.buffer.slice(2 * width, rest) : v.buffer,
                one ? 3 * width : width,
                0.1f,
                KEY,
                STREAM,
                one ? together.buffer : apart.buffer,
                width,
                null);
      }
      assertArrayEquals(apart.now(), together.now());
    }
  }

  @Test
  void lastQueriesOfManySequences() {
    int[][] batches = {{0}, {0, 1}, {0, 3, 4, 21, 90}, {0, 33, 34, 35, 36, 37}};
    int salt = 0;
    for (int[] offsets : batches) {
      for (int headWidth : new int[] {1, 8, 17}) {
        int heads = 1 + salt % 3;
        int cols = heads * headWidth;
        int sequences = offsets.length - 1;
        int rows = offsets[sequences];
        int step = salt++;
        each(
            (kernels, memory) -> {
              Matrix q = memory.matrix(sequences, cols, stride(cols, step));
              Matrix k = memory.matrix(rows, cols, stride(cols, step + 1));
              Matrix v = memory.matrix(rows, cols, stride(cols, step + 2));
              Matrix out = memory.matrix(sequences, cols, stride(cols, step + 3));
              kernels
                  .attention()
                  .lastEach(
                      sequences,
                      memory.ints(offsets).buffer,
                      rows,
                      heads,
                      headWidth,
                      q.buffer,
                      q.stride,
                      k.buffer,
                      k.stride,
                      v.buffer,
                      v.stride,
                      out.buffer,
                      out.stride);
              double[][] queries = new double[rows][];
              for (int b = 0; b < sequences; b++) {
                java.util.Arrays.fill(queries, offsets[b], offsets[b + 1], doubles(q)[b]);
              }
              ReferenceAttention reference =
                  new ReferenceAttention(
                      offsets,
                      heads,
                      headWidth,
                      queries,
                      doubles(k),
                      doubles(v),
                      new ReferenceAttention.Dropout(0, KEY, STREAM),
                      null);
              out.check(
                  "attentionLastEach",
                  rows + headWidth,
                  (b, c) -> reference.out[offsets[b + 1] - 1][c]);
            });
      }
    }
  }

  @Test
  void lastQueryAgreesWithTheWholeSequence() {
    int salt = 0;
    for (int keys : POSITIVE) {
      for (int headWidth : new int[] {1, 8, 17, 50}) {
        int heads = 1 + salt % 2;
        int cols = heads * headWidth;
        int step = salt++;
        each(
            (kernels, memory) -> {
              Matrix q = memory.vector(cols);
              Matrix k = memory.matrix(keys, cols, stride(cols, step));
              Matrix v = memory.matrix(keys, cols, stride(cols, step + 1));
              Matrix out = memory.vector(cols);
              kernels
                  .attention()
                  .last(
                      keys,
                      heads,
                      headWidth,
                      q.buffer,
                      k.buffer,
                      k.stride,
                      v.buffer,
                      v.stride,
                      out.buffer);
              double[][] queries = new double[keys][];
              java.util.Arrays.fill(queries, doubles(q)[0]);
              ReferenceAttention reference =
                  new ReferenceAttention(
                      new int[] {0, keys},
                      heads,
                      headWidth,
                      queries,
                      doubles(k),
                      doubles(v),
                      new ReferenceAttention.Dropout(0, KEY, STREAM),
                      null);
              out.check("attentionLast", keys + headWidth, (none, c) -> reference.out[keys - 1][c]);
            });
      }
    }
  }
}
