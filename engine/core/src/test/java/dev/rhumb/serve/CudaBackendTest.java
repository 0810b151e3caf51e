package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.bindings.NativeException;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.BackendReport;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import dev.rhumb.train.TrainingResult;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The engine on the CUDA backend: here under its emulation on the CPU, where no GPU is. What it
 * gives is what simd gives, but for rounding; and what a GPU does wrong is told.
 */
class CudaBackendTest {
  private static final int ITEMS = 40;

  @TempDir Path temporary;
  private long live;
  private long waits;

  @BeforeEach
  void available() {
    BackendReport report = Kernels.report().get(Backend.CUDA.ordinal());
    assumeTrue(report.available(), report.detail());
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  private Path folder() {
    Path folder = temporary.resolve("model");
    ModelConfig config = new ModelConfig(BlockStyle.SASREC, ITEMS, 16, 2, 2, 12, 24, 0.1f, 1e-5f);
    Site site = new Site(Site.Kind.BLOCK, 0);
    RandomFolder.write(
        folder, config, kernels -> new SparseAutoencoder(kernels, site, 40, 16, 6, Map.of()));
    return folder;
  }

  private static Recommender open(Backend backend, Path folder) {
    return open(backend, folder, false);
  }

  private static Recommender open(Backend backend, Path folder, boolean mayChoose) {
    return Recommender.open(
        Kernels.open(backend, 1),
        folder,
        SparseAutoencoder.folder(folder, new Site(Site.Kind.BLOCK, 0)),
        ModelFolder::open,
        mayChoose);
  }

  private static void assertSame(Recommendations expected, Recommendations actual) {
    assertEquals(expected.count(), actual.count());
    for (int i = 0; i < expected.count(); i++) {
      assertEquals(expected.item(i), actual.item(i));
      assertEquals(expected.score(i), actual.score(i), 1e-4f * (1 + Math.abs(expected.score(i))));
    }
  }

  @Test
  void sessionsBatchesAndPreparedRequestsAnswerAsOnTheCpu() {
    Path folder = folder();
    Steering steering = Steering.of(List.of(Edit.add(3, 2), Edit.scale(7, 3)));
    int[] history = {3, 9, 27, 1, 2, 4, 8, 16, 32, 24, 33, 19, 17, 11};
    try (Recommender cpu = open(Backend.SIMD, folder);
        Recommender gpu = open(Backend.CUDA, folder);
        Session expected = cpu.newSession();
        Session session = gpu.newSession();
        BatchRecommender batch = gpu.newBatch(3, 1);
        PreparedRequest request = gpu.prepare(5)) {
      assertTrue(gpu.describe().startsWith("cuda"), gpu.describe());
      for (int i = 0; i < history.length; i++) {
        expected.append(history[i]);
        session.append(history[i]);
        assertSame(expected.recommend(5), session.recommend(5));
        assertSame(expected.recommend(5, steering), session.recommend(5, steering));
        if (i < 12) {
          assertSame(expected.recommend(5), request.recommend(history, i + 1));
          assertSame(expected.recommend(5, steering), request.recommend(history, i + 1, steering));
          batch.clear();
          batch.add(1, 2);
          batch.add(java.util.Arrays.copyOf(history, i + 1));
          assertSame(expected.recommend(5), batch.recommend(5).get(1));
          assertSame(expected.recommend(5, steering), batch.recommend(5, steering).get(1));
        }
      }
    }
  }

  /**
   * What a request costs a GPU, in kernels and copies: each some microseconds, whatever it does.
   * Fewer is better; nobody should add one unknowingly.
   */
  @ParameterizedTest
  @CsvSource({
    "SASREC,block 0,22,25",
    "SASREC,mlp 1,22,26",
    "SASREC,last,22,25",
    "GPT2,block 0,21,24",
    "POST_LN,block 1,21,24",
    "MODERN,block 0,25,28"
  })
  void aRequestIsOneGraphOfFewNodesAndOneWait(
      BlockStyle style, String where, long plain, long steered) {
    Site site = Site.parse(where);
    Path folder = temporary.resolve("model");
    ModelConfig config = new ModelConfig(style, 300, 64, 2, 2, 200, 64, 0.1f, 1e-5f);
    RandomFolder.write(
        folder, config, kernels -> new SparseAutoencoder(kernels, site, 512, 64, 32, Map.of()));
    Steering steering = Steering.of(List.of(Edit.add(3, 2)));
    int[] history = {3, 9, 27};
    try (Recommender gpu = Recommender.open(folder, site, Backend.CUDA);
        PreparedRequest request = gpu.prepare(10)) {
      request.recommend(history, 3);
      request.recommend(history, 3, steering);
      long[] before = counters();
      request.recommend(history, 2);
      assertArrayEquals(new long[] {1, plain, 1}, since(before));
      before = counters();
      request.recommend(history, 1, steering, Filter.deny(4, 5));
      assertArrayEquals(new long[] {1, steered, 1}, since(before));
      try (Session session = gpu.newSession()) {
        session.warmUp(10, steering);
        before = counters();
        session.append(3);
        assertArrayEquals(new long[] {0, 0, 0}, since(before));
        session.recommend(10, steering);
        assertArrayEquals(new long[] {1, steered, 1}, since(before));
      }
    }
  }

  private static long[] counters() {
    return new long[] {
      EmulatedMachine.get("graph_launches"),
      EmulatedMachine.get("graph_nodes"),
      EmulatedMachine.get("waits")
    };
  }

  private static long[] since(long[] before) {
    long[] now = counters();
    for (int i = 0; i < now.length; i++) {
      now[i] -= before[i];
    }
    return now;
  }

  @Test
  void filtersFeaturesAndSteeringEverywhereAnswerAsOnTheCpu() {
    Path folder = folder();
    List<Edit> edits = List.of(Edit.add(3, 2), Edit.scale(7, 3));
    int[] features = new int[6];
    int[] expectedFeatures = new int[6];
    float[] values = new float[6];
    float[] expectedValues = new float[6];
    try (Recommender cpu = open(Backend.SIMD, folder);
        Recommender gpu = open(Backend.CUDA, folder);
        Session expected = cpu.newSession();
        Session session = gpu.newSession()) {
      for (int item : new int[] {3, 9, 27, 1, 2, 4, 8, 16, 32, 24, 33, 19, 17, 11}) {
        expected.append(item);
        session.append(item);
        assertEquals(expected.window(), session.window());
        assertEquals(
            expected.features(expectedFeatures, expectedValues),
            session.features(features, values));
        assertArrayEquals(expectedFeatures, features);
        assertArrayEquals(expectedValues, values, 1e-4f);
      }
      for (int k : new int[] {5, 20, ITEMS, 1}) {
        for (Filter filter : new Filter[] {Filter.deny(5, 6), Filter.allow(5, 6, 7, 11)}) {
          assertSame(expected.recommend(k, filter), session.recommend(k, filter));
          for (EditTable.Stage stage : EditTable.Stage.values()) {
            for (EditTable.Write write : EditTable.Write.values()) {
              for (Steering.Positions positions : Steering.Positions.values()) {
                Steering steering = new Steering(edits, stage, write, positions);
                assertSame(
                    expected.recommend(k, steering, filter),
                    session.recommend(k, steering, filter));
              }
            }
          }
        }
      }
    }
  }

  /** The heap sees nothing of a request, once its path was run often enough to be compiled. */
  @Test
  void requestsAllocateNothing() {
    Path folder = temporary.resolve("model");
    Site site = new Site(Site.Kind.BLOCK, 0);
    ModelConfig config = new ModelConfig(BlockStyle.SASREC, ITEMS, 4, 1, 1, 4, 4, 0, 1e-5f);
    RandomFolder.write(
        folder, config, kernels -> new SparseAutoencoder(kernels, site, 8, 4, 2, Map.of()));
    Steering steering = Steering.of(List.of(Edit.add(3, 2), Edit.scale(7, 3)));
    Filter deny = Filter.deny(5, 6);
    Filter allow = Filter.allow(5, 6, 7, 11);
    int[] history = {1, 2, 3, 4, 5, 6};
    try (Recommender gpu = open(Backend.CUDA, folder);
        PreparedRequest request = gpu.prepare(2)) {
      long[] bytes = new long[4];
      long deadline = System.nanoTime() + 60_000_000_000L;
      do {
        java.util.Arrays.fill(bytes, 0);
        for (int i = 0; i < 200; i++) {
          int length = 1 + i % 6;
          long at0 = WarmUp.allocated();
          request.recommend(history, length);
          long at1 = WarmUp.allocated();
          request.recommend(history, length, steering);
          long at2 = WarmUp.allocated();
          request.recommend(history, length, deny);
          long at3 = WarmUp.allocated();
          request.recommend(history, length, steering, allow);
          long at4 = WarmUp.allocated();
          bytes[0] += at1 - at0;
          bytes[1] += at2 - at1;
          bytes[2] += at3 - at2;
          bytes[3] += at4 - at3;
        }
      } while (java.util.Arrays.stream(bytes).sum() > 0 && System.nanoTime() < deadline);
      assertArrayEquals(new long[4], bytes);
    }
  }

  private TrainingResult train(Kernels kernels, Split split, Path to, List<Double> losses) {
    return Trainer.train(
        kernels,
        split,
        ModelConfig.of(BlockStyle.SASREC, ITEMS, 16, 1, 2, 10, 0.1f),
        new TrainingConfig(4, 16, 5e-3f, 0, 0, 2, 50),
        to,
        false,
        new TrainingListener() {
          @Override
          public void onStep(int epoch, int step, int steps, float loss) {
            losses.add((double) loss);
            long now = EmulatedMachine.get("waits");
            if (kernels.backend() == Backend.CUDA && epoch > 1 && step > 1) {
              assertEquals(1, now - waits, "waits of step " + step);
            }
            waits = now;
          }

          @Override
          public void onEpoch(EpochReport report) {
            losses.add(report.validationHitRate());
          }
        });
  }

  private static Dataset ring() {
    DatasetBuilder builder = new DatasetBuilder();
    for (int u = 0; u < 24; u++) {
      int at = u;
      for (int i = 0; i < 6 + u % 5; i++) {
        builder.add("u" + u, Integer.toString(at % ITEMS + 1), i);
        at += Philox.uniform(3, 0, u, i) < 0.9 ? 1 : 7;
      }
    }
    return builder.build("ring");
  }

  @Test
  void trainingFollowsTheCpusAndRepeatsItself() {
    long deferred = EmulatedMachine.get("deferred");
    EmulatedMachine.set("deferred", 1);
    try (Dataset dataset = ring();
        Kernels simd = Kernels.open(Backend.SIMD, 1);
        Kernels cuda = Kernels.open(Backend.CUDA, 1)) {
      Split split = Splits.leaveOneOut(dataset);
      List<Double> expected = new ArrayList<>();
      List<Double> found = new ArrayList<>();
      List<Double> again = new ArrayList<>();
      train(simd, split, temporary.resolve("simd"), expected);
      train(cuda, split, temporary.resolve("cuda"), found);
      train(cuda, split, temporary.resolve("again"), again);
      assertEquals(found, again);
      assertEquals(expected.size(), found.size());
      for (int i = 0; i < expected.size(); i++) {
        assertEquals(expected.get(i), found.get(i), 2e-3 * (1 + Math.abs(expected.get(i))));
      }
    } finally {
      EmulatedMachine.set("deferred", deferred);
    }
  }

  /** Mixed precision: the loss falls as in float32, the weights are float32, runs are the same. */
  @Test
  void trainingInBf16FollowsThatInFloat32AndRepeatsItself() throws IOException {
    List<Float> expected = new ArrayList<>();
    List<Float> found = new ArrayList<>();
    List<Float> again = new ArrayList<>();
    try (Dataset dataset = ring();
        Kernels fp32 = Kernels.open(Backend.CUDA, 1)) {
      Split split = Splits.leaveOneOut(dataset);
      System.setProperty("rhumb.cuda.precision", "bf16");
      try (Kernels bf16 = Kernels.open(Backend.CUDA, 1)) {
        steps(fp32, split, temporary.resolve("fp32"), expected);
        steps(bf16, split, temporary.resolve("bf16"), found);
        steps(bf16, split, temporary.resolve("again"), again);
      } finally {
        System.clearProperty("rhumb.cuda.precision");
      }
    }
    assertEquals(found, again);
    byte[] weights = Files.readAllBytes(temporary.resolve("bf16/model.safetensors"));
    assertArrayEquals(
        weights, Files.readAllBytes(temporary.resolve("again/model.safetensors")), "weights");
    assertTrue(found.getLast() < 0.9f * found.getFirst(), found.toString());
    assertNotEquals(expected, found);
    assertEquals(expected.size(), found.size());
    for (int i = 0; i < expected.size(); i++) {
      assertEquals(expected.get(i), found.get(i), 0.005f * expected.get(i), "step " + i);
    }
    // Of bf16's numbers the lower halves would all be 0.
    ByteBuffer bytes = ByteBuffer.wrap(weights).order(ByteOrder.LITTLE_ENDIAN);
    int from = 8 + (int) bytes.getLong(0);
    assertTrue(new String(weights, 8, from - 8, StandardCharsets.UTF_8).contains("\"F32\""));
    int fine = 0;
    for (int at = from; at < weights.length; at += 4) {
      fine += bytes.getShort(at) != 0 ? 1 : 0;
    }
    assertTrue(fine > (weights.length - from) / 8, fine + " of " + (weights.length - from) / 4);
  }

  private static void steps(Kernels kernels, Split split, Path to, List<Float> losses) {
    Trainer.train(
        kernels,
        split,
        ModelConfig.of(BlockStyle.SASREC, ITEMS, 16, 1, 2, 10, 0.1f),
        new TrainingConfig(4, 8, 5e-3f, 0, 0, 4, 50),
        to,
        false,
        new TrainingListener() {
          @Override
          public void onStep(int epoch, int step, int steps, float loss) {
            losses.add(loss);
          }
        });
  }

  @Test
  void memoryThatIsFullIsToldAndTheEngineLives() {
    Path folder = folder();
    try (Recommender gpu = open(Backend.CUDA, folder);
        Session session = gpu.newSession()) {
      EmulatedMachine.set("memory_bytes", EmulatedMachine.get("allocated_bytes") + (1 << 10));
      try {
        NativeException e = assertThrows(NativeException.class, () -> gpu.newBatch(64, 1));
        assertEquals(NativeException.Kind.OUT_OF_MEMORY, e.kind());
        assertTrue(e.getMessage().matches("(?s).*bytes asked.* free of .*"), e.getMessage());
      } finally {
        EmulatedMachine.set("memory_bytes", 1L << 34);
      }
      session.append(1);
      assertEquals(3, session.recommend(3).count());
      gpu.newBatch(64, 1).close();
    }
  }

  @Test
  void aLostDeviceIsToldAndTheNextSessionRunsOnTheCpu() {
    Path folder = folder();
    try (Recommender gpu = open(Backend.CUDA, folder, true)) {
      try (Session session = gpu.newSession()) {
        session.append(1);
        assertEquals(3, session.recommend(3).count());
        EmulatedMachine.set("fail_launch", 1);
        NativeException e =
            assertThrows(
                NativeException.class,
                () -> {
                  session.append(2);
                  session.recommend(3);
                });
        assertEquals(NativeException.Kind.DEVICE_LOST, e.kind(), e.getMessage());
        assertThrows(NativeException.class, () -> session.recommend(3));
      }
      try (Session session = gpu.newSession()) {
        session.append(1);
        assertEquals(3, session.recommend(3).count());
      }
      assertFalse(gpu.describe().startsWith("cuda"), gpu.describe());
    }
    try (Recommender gpu = open(Backend.CUDA, folder);
        Session session = gpu.newSession()) {
      session.append(1);
      assertEquals(3, session.recommend(3).count());
    }
  }

  @Test
  void buffersOfTheWrongSideAreRefused() {
    try (Kernels cuda = Kernels.open(Backend.CUDA, 1);
        Kernels simd = Kernels.open(Backend.SIMD, 1);
        Buffer there = cuda.allocate(DType.F32, 4);
        Buffer here = simd.allocate(DType.F32, 4)) {
      assertThrows(UnsupportedOperationException.class, there::segment);
      assertThrows(
          IllegalArgumentException.class, () -> cuda.dense().add(4, 1, here, 1, here, there));
      assertThrows(
          UnsupportedOperationException.class, () -> simd.dense().add(4, 1, there, 1, there, here));
      there.put(0, new float[] {1, 2, 3, 4}, 0, 4);
      here.copyFrom(there);
      assertEquals(3, here.floats()[2]);
    }
  }
}
