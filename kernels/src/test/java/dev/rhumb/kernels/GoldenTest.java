package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A worked TopK autoencoder of three rows: known values of every step. */
class GoldenTest extends Conformance {
  private static final int ROWS = 3;
  private static final int WIDTH = 4;
  private static final int FEATURES = 6;
  private static final int KEPT = 2;

  private Kernels kernels;
  private Memory memory;
  private Sae sae;
  private Matrix x;
  private Matrix wEnc;
  private Matrix wDec;
  private Matrix bEnc;
  private Matrix bDec;
  private Ints indices;
  private Matrix z;
  private Matrix decoded;

  GoldenTest(Backend backend) {
    super(backend);
  }

  @BeforeEach
  void encodeAndDecode() {
    kernels = kernels(2);
    memory = new Memory(kernels, Memory.Placement.OWNED);
    sae = kernels.sae();
    double[][] rows = {{1, 2, -1, .5}, {0, -1, 3, 1}, {2, .5, 0, -2}};
    double[][] dictionary = {
      {.5, .5, .5, .5},
      {.5, -.5, .5, -.5},
      {1, 0, 0, 0},
      {0, 0, -1, 0},
      {.5, .5, -.5, -.5},
      {0, 0, 0, 1}
    };
    double[][] change = new double[FEATURES][WIDTH];
    change[0][0] = .125;
    change[1][3] = .125;
    change[2][1] = -.125;
    change[4][1] = .125;
    x = memory.matrix(ROWS, WIDTH, WIDTH, (r, d) -> rows[r][d]);
    wDec = memory.matrix(FEATURES, WIDTH, WIDTH, (f, d) -> dictionary[f][d]);
    wEnc = memory.matrix(FEATURES, WIDTH, WIDTH, (f, d) -> dictionary[f][d] + change[f][d]);
    bEnc = memory.vector(0, .125, 0, 0, -.25, 0);
    bDec = memory.vector(.25, -.5, .5, 0);
    indices = memory.ints(ROWS * KEPT, i -> -1);
    z = memory.matrix(ROWS, KEPT, KEPT);
    decoded = memory.matrix(ROWS, WIDTH, WIDTH);
    sae.encodeTopK(pack(null), ROWS, KEPT, x.buffer, WIDTH, indices.buffer, z.buffer);
    sae.decode(
        ROWS,
        KEPT,
        FEATURES,
        WIDTH,
        indices.buffer,
        z.buffer,
        wDec.buffer,
        bDec.buffer,
        decoded.buffer,
        WIDTH);
  }

  @AfterEach
  void free() {
    memory.close();
  }

  private PackedEncoder pack(Ints subset) {
    PackedEncoder encoder = memory.own(sae.encoder(FEATURES, WIDTH));
    sae.pack(
        encoder,
        FEATURES,
        wEnc.buffer,
        bEnc.buffer,
        bDec.buffer,
        subset == null ? null : subset.buffer,
        subset == null ? 0 : subset.buffer.count());
    return encoder;
  }

  private static void rows(double[][] expected, Matrix actual, double tolerance) {
    float[] now = actual.now();
    for (int r = 0; r < expected.length; r++) {
      for (int c = 0; c < expected[r].length; c++) {
        assertEquals(expected[r][c], now[r * actual.stride + c], tolerance, "at " + r + ", " + c);
      }
    }
  }

  /** The sum over rows and columns of (a - the mean row of a)^2, by kernels. */
  private double variation(Matrix a) {
    Matrix mean = memory.vector(WIDTH);
    Matrix centred = memory.matrix(ROWS, WIDTH, WIDTH);
    Ints zeros = memory.ints(ROWS, r -> 0);
    kernels.dense().columnSum(ROWS, WIDTH, a.buffer, WIDTH, 0, mean.buffer);
    centred.buffer.copyFrom(a.buffer);
    kernels
        .layers()
        .gather(ROWS, WIDTH, zeros.buffer, 1, mean.buffer, -1f / ROWS, 1, centred.buffer);
    return squares(centred);
  }

  private double squares(Matrix a) {
    Matrix sum = memory.vector(1);
    kernels.dense().squaredNorm(a.buffer.count(), a.buffer, sum.buffer);
    return sum.now()[0];
  }

  private Matrix difference(Matrix a, Matrix b) {
    Matrix result = memory.matrix(ROWS, WIDTH, WIDTH);
    kernels.dense().add(ROWS * WIDTH, 1, a.buffer, -1, b.buffer, result.buffer);
    return result;
  }

  @Test
  void runsOnWhatWasDemanded() {
    assertEquals(backend, kernels.backend());
    String bits = Settings.get("rhumb.simd.bits");
    if (backend == Backend.SIMD && bits != null) {
      assertTrue(kernels.describe().contains(bits + "-bit"), kernels.describe());
    }
  }

  @Test
  void encodesAndDecodes() {
    assertArrayEquals(new int[] {4, 3, 0, 1, 4, 2}, indices.now());
    assertArrayEquals(new float[] {2.1875f, 1.5f, 1.34375f, 1.125f, 2.5f, 1.625f}, z.now());
    rows(
        new double[][] {
          {1.34375, .59375, -2.09375, -1.09375},
          {1.484375, -.390625, 1.734375, .109375},
          {3.125, .75, -.75, -1.25}
        },
        decoded,
        0);
  }

  @Test
  void fractionOfVarianceUnexplained() {
    double errors = squares(difference(x, decoded));
    assertEquals(13.2548828125, errors, 1e-6);
    assertEquals(20.3333333333, variation(x), 2e-6);
    assertEquals(.65187948, errors / variation(x), 1e-7);
  }

  @Test
  void gradients() {
    Matrix g = memory.matrix(ROWS, WIDTH, WIDTH);
    kernels.dense().add(ROWS * WIDTH, 2f / ROWS, decoded.buffer, -2f / ROWS, x.buffer, g.buffer);
    gradients(g, null);
  }

  @Test
  void gradientsFromOneGather() {
    Matrix error = memory.matrix(ROWS, WIDTH, WIDTH);
    Matrix g = memory.matrix(ROWS, WIDTH, WIDTH);
    Matrix squares = memory.vector(ROWS, (none, r) -> 0);
    Matrix dz = memory.matrix(ROWS, KEPT, KEPT);
    sae.decodeLoss(
        ROWS,
        KEPT,
        FEATURES,
        WIDTH,
        x.buffer,
        WIDTH,
        2,
        memory.vector(new double[] {ROWS}).buffer,
        indices.buffer,
        z.buffer,
        wDec.buffer,
        bDec.buffer,
        error.buffer,
        g.buffer,
        squares.buffer,
        dz.buffer);
    rows(
        new double[][] {
          {-.34375, 1.40625, 1.09375, 1.59375},
          {-1.484375, -.609375, 1.265625, .890625},
          {-1.125, -.25, .75, -.75}
        },
        error,
        0);
    float[] parts = squares.now();
    assertEquals(13.2548828125, parts[0] + parts[1] + parts[2], 1e-6);
    gradients(g, dz.buffer);
  }

  private void gradients(Matrix g, Buffer dz) {
    Matrix dWEnc = memory.matrix(FEATURES, WIDTH, WIDTH, (r, c) -> 0);
    Matrix dWDec = memory.matrix(FEATURES, WIDTH, WIDTH, (r, c) -> 0);
    Matrix dBEnc = memory.vector(FEATURES, (r, c) -> 0);
    Matrix dBDec = memory.vector(WIDTH, (r, c) -> 0);
    sae.backward(
        ROWS,
        KEPT,
        FEATURES,
        WIDTH,
        x.buffer,
        WIDTH,
        g.buffer,
        0,
        indices.buffer,
        z.buffer,
        dz,
        wEnc.buffer,
        wDec.buffer,
        bDec.buffer,
        true,
        dWEnc.buffer,
        dWDec.buffer,
        dBEnc.buffer,
        dBDec.buffer);
    double tolerance = 5e-7;
    rows(new double[][] {{-.020833333, .166666667, .75, .729166667, 1, 0}}, dBEnc, tolerance);
    rows(new double[][] {{.6484375, -.802083333, -.916666667, -.583333333}}, dBDec, tolerance);
    rows(
        new double[][] {
          {1.329752604, .545898438, -1.133789062, -.797851562},
          {1.11328125, .45703125, -.94921875, -.66796875},
          {1.21875, .270833333, -.8125, .8125},
          {.34375, -1.40625, -1.09375, -1.59375},
          {2.376302083, -1.634114583, -2.845052083, -1.07421875},
          {0, 0, 0, 0}
        },
        dWDec,
        tolerance);
    rows(
        new double[][] {
          {.005208333, .010416667, -.052083333, -.020833333},
          {-.041666667, -.083333333, .416666667, .166666667},
          {1.3125, .75, -.375, -1.5},
          {.546875, 1.822916667, -1.09375, .364583333},
          {1.208333333, 1.8125, -1.041666667, -.645833333},
          {0, 0, 0, 0}
        },
        dWEnc,
        tolerance);
    sae.projectRows(FEATURES, WIDTH, wDec.buffer, dWDec.buffer);
    rows(
        new double[][] {
          {1.34375, .559895833, -1.119791667, -.783854167},
          {1.01953125, .55078125, -1.04296875, -.57421875},
          {0, .270833333, -.8125, .8125},
          {.34375, -1.40625, 0, -1.59375},
          {1.2109375, -2.799479167, -1.6796875, .091145833},
          {0, 0, 0, 0}
        },
        dWDec,
        tolerance);
  }

  @Test
  void auxiliaryLossOfDeadFeatures() {
    Matrix error = difference(x, decoded);
    Ints chosen = memory.ints(ROWS * 2, i -> -1);
    Matrix values = memory.matrix(ROWS, 2, 2);
    Matrix revived = memory.matrix(ROWS, WIDTH, WIDTH);
    sae.encodeTopK(pack(memory.ints(2, 5)), ROWS, 2, x.buffer, WIDTH, chosen.buffer, values.buffer);
    sae.decode(
        ROWS,
        2,
        FEATURES,
        WIDTH,
        chosen.buffer,
        values.buffer,
        wDec.buffer,
        null,
        revived.buffer,
        WIDTH);
    assertEquals(2.97519187, squares(difference(revived, error)) / variation(error), 1e-6);
  }

  private void steered(EditTable.Write write, double[][] expected) {
    EditTable edits = new EditTable(1);
    edits.stage(EditTable.Stage.POST_SELECT);
    edits.write(write);
    edits.put(0, EditTable.Op.SET, 3, 0);
    Matrix y = memory.matrix(ROWS, WIDTH, WIDTH);
    sae.steer(
        pack(null),
        wDec.buffer,
        bDec.buffer,
        ROWS,
        KEPT,
        x.buffer,
        WIDTH,
        edits,
        y.buffer,
        WIDTH,
        indices.buffer,
        z.buffer);
    rows(expected, y, 0);
  }

  @Test
  void steersByTheChange() {
    steered(
        EditTable.Write.DELTA,
        new double[][] {
          {2.5, 3.5, .5, 2}, {.828125, -.171875, 3.828125, 1.828125}, {3.5, 2, 1.5, -.5}
        });
  }

  @Test
  void steersByReplacing() {
    steered(
        EditTable.Write.REPLACE,
        new double[][] {
          {2.84375, 2.09375, -.59375, .40625},
          {2.3125, .4375, 2.5625, .9375},
          {4.625, 2.25, .75, .25}
        });
  }
}
