package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.bindings.NativeException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The CUDA backend beyond its operations, on the emulated machine. */
class CudaKernelsTest {
  private static final String[] COUNTERS = {
    "allocations",
    "host_allocations",
    "streams",
    "events",
    "graphs",
    "executables",
    "cublas_handles",
    "contexts"
  };

  private Map<String, Long> before;
  private long live;

  @BeforeEach
  void count() {
    String library = System.getProperty("rhumb.cuda.library");
    assumeTrue(library != null, "rhumb.cuda.library");
    Kernels.open(Backend.CUDA, 1).close();
    live = Buffer.live();
    before = counters();
  }

  @AfterEach
  void nothingLeaks() {
    if (before != null) {
      set("memory_bytes", 1L << 34);
      set("devices", 1);
      assertEquals(before, counters());
      assertEquals(live, Buffer.live());
    }
  }

  private static Map<String, Long> counters() {
    Map<String, Long> all = new HashMap<>();
    for (String name : COUNTERS) {
      all.put(name, get(name));
    }
    return all;
  }

  @Test
  void aRecordingRunsAgainWithWhatItsBuffersHold() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Buffer in = kernels.allocateOnHost(DType.F32, 100);
        Buffer x = kernels.allocate(DType.F32, 100);
        Buffer y = kernels.allocate(DType.F32, 100);
        Buffer out = kernels.allocateOnHost(DType.F32, 100);
        Buffer norm = kernels.allocate(DType.F32, 1)) {
      Recording recording =
          kernels.record(
              () -> {
                x.copyFrom(in);
                kernels.dense().add(100, 2, x, 0, x, y);
                kernels.dense().squaredNorm(100, y, norm);
                out.copyFrom(y);
              });
      long launches = get("graph_launches");
      for (int run = 1; run <= 3; run++) {
        float[] values = new float[100];
        java.util.Arrays.fill(values, run);
        in.put(0, values, 0, 100);
        recording.run();
        kernels.finish();
        assertEquals(2f * run, out.floats()[99]);
        assertEquals(400f * run * run, norm.floats()[0]);
      }
      assertEquals(launches + 3, get("graph_launches"));
      // A larger workspace for others leaves the recording's where it was.
      try (Buffer large = kernels.allocate(DType.F32, 1 << 20)) {
        kernels.dense().columnSum(1 << 14, 64, large, 64, 0, y.slice(0, 64));
        recording.run();
        kernels.finish();
        assertEquals(3600f, norm.floats()[0]);
      }
      recording.close();
      recording.close();
      assertThrows(IllegalStateException.class, recording::run);
    }
  }

  @Test
  void aRecordingFollowsItsTableOfEdits() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Memory memory = new Memory(kernels, Memory.Placement.OWNED)) {
      Sae sae = kernels.sae();
      Matrix weights = memory.matrix(6, 4, 4);
      Matrix zeros = memory.vector(6, (r, c) -> 0);
      PackedEncoder encoder = memory.own(sae.encoder(6, 4));
      sae.pack(encoder, 6, weights.buffer, zeros.buffer, zeros.buffer, null, 0);
      Matrix x = memory.matrix(1, 4, 4);
      Matrix y = memory.matrix(1, 4, 4);
      Matrix expected = memory.matrix(1, 4, 4);
      Ints indices = memory.ints(2, i -> 0);
      Matrix values = memory.matrix(1, 2, 2);
      EditTable edits = new EditTable(2);
      Runnable steer = () -> steer(sae, encoder, weights, zeros, x, edits, y, indices, values);
      assertThrows(IllegalStateException.class, () -> kernels.record(steer));
      Buffer host = memory.own(kernels.allocateOnHost(DType.I32, EditTable.ints(2)));
      Buffer resident = memory.own(kernels.allocate(DType.I32, EditTable.ints(2)));
      edits.readFrom(resident);
      Recording recording =
          memory.own(
              kernels.record(
                  () -> {
                    resident.copyFrom(host);
                    steer.run();
                  }));
      for (int count = 0; count <= 2; count++) {
        edits.clear();
        for (int e = 0; e < count; e++) {
          edits.put(3 * e, EditTable.Op.SET, 1 + e, 0);
        }
        edits.write(host);
        recording.run();
        float[] found = y.now();
        steer(sae, encoder, weights, zeros, x, edits, expected, indices, values);
        assertArrayEquals(expected.now(), found);
      }
      edits.put(5, EditTable.Op.ABLATE, 0, 0);
      String message =
          assertThrows(IllegalArgumentException.class, () -> edits.write(host)).getMessage();
      assertTrue(message.contains("no room for 3"), message);
      assertThrows(
          IllegalStateException.class,
          () ->
              kernels.record(
                  () ->
                      sae.steer(
                          encoder,
                          weights.buffer,
                          zeros.buffer,
                          2,
                          1,
                          weights.buffer,
                          4,
                          edits,
                          weights.buffer,
                          4,
                          indices.buffer,
                          values.buffer)));
      indices.now();
      values.now();
    }
  }

  private static void steer(
      Sae sae,
      PackedEncoder encoder,
      Matrix decoder,
      Matrix bias,
      Matrix x,
      EditTable edits,
      Matrix y,
      Ints indices,
      Matrix values) {
    sae.steer(
        encoder,
        decoder.buffer,
        bias.buffer,
        1,
        2,
        x.buffer,
        4,
        edits,
        y.buffer,
        4,
        indices.buffer,
        values.buffer);
  }

  @Test
  void othersGoOnWhileWorkIsRecorded() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Kernels sibling = kernels.fork(1);
        Buffer x = kernels.allocate(DType.F32, 64 * 64);
        Buffer y = kernels.allocate(DType.F32, 64 * 64);
        Buffer count = sibling.allocate(DType.F32, 64 * 64)) {
      float[] ones = new float[64 * 64];
      java.util.Arrays.fill(ones, 1);
      x.put(0, ones, 0, ones.length);
      AtomicBoolean stop = new AtomicBoolean();
      int[] times = new int[1];
      Thread other =
          Thread.ofPlatform()
              .start(
                  () -> {
                    while (!stop.get() || times[0] < 20) {
                      // A product and a sum, which a recording must neither take nor lose.
                      sibling
                          .dense()
                          .gemm(false, false, 64, 64, 64, 1f / 64, x, 64, x, 64, 1, count, 64);
                      // The emulated queue has no bound of its own.
                      if (++times[0] % 100 == 0) {
                        sibling.finish();
                      }
                    }
                  });
      for (int i = 0; i < 20; i++) {
        try (Recording recording =
            kernels.record(
                () -> kernels.dense().gemm(false, false, 64, 64, 64, 1, x, 64, x, 64, 0, y, 64))) {
          recording.run();
          kernels.finish();
          assertEquals(64, y.floats()[77]);
        }
      }
      stop.set(true);
      join(other);
      assertEquals(times[0], count.floats()[99]);
      assertThrows(IllegalStateException.class, () -> kernels.record(() -> y.put(0, ones, 0, 1)));
      assertThrows(IllegalStateException.class, () -> kernels.record(kernels::finish));
    }
  }

  @Test
  void recordedWorkMayNotAllocateOnAnyThread() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Buffer x = kernels.allocate(DType.F32, 4)) {
      Runnable refused =
          () -> {
            for (Runnable work :
                List.<Runnable>of(
                    () -> kernels.allocate(DType.F32, 4).close(),
                    () -> kernels.allocateOnHost(DType.F32, 4).close())) {
              String message =
                  assertThrows(IllegalStateException.class, () -> kernels.record(work))
                      .getMessage();
              assertTrue(message.contains("neither allocates"), message);
            }
            kernels.record(x::zero).close();
          };
      refused.run();
      List<Throwable> failures = new CopyOnWriteArrayList<>();
      Thread virtual =
          Thread.ofVirtual().uncaughtExceptionHandler((_, e) -> failures.add(e)).start(refused);
      join(virtual);
      assertEquals(List.of(), failures);
    }
  }

  private static void join(Thread thread) {
    try {
      thread.join();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void whatIsCopiedBackIsWaitedForOnce() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Buffer x = kernels.allocate(DType.F32, 8);
        Buffer y = kernels.allocateOnHost(DType.F32, 8)) {
      x.put(0, new float[] {1, 2, 3, 4, 5, 6, 7, 8}, 0, 8);
      long waits = get("waits");
      assertEquals(8, x.floats()[7]);
      assertEquals(waits + 1, get("waits"));
      // Page-locked memory is an operation's as well.
      kernels.dense().add(8, 2, x, 1, x, y);
      kernels.finish();
      assertEquals(waits + 2, get("waits"));
      assertEquals(24, y.floats()[7]);
      assertEquals(waits + 2, get("waits"));
    }
  }

  @Test
  void aFaultIsToldOnceAndTheKernelsGoOn() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Buffer ids = kernels.allocate(DType.I32, 3);
        Buffer table = kernels.allocate(DType.F32, 8);
        Buffer y = kernels.allocate(DType.F32, 12)) {
      ids.put(0, new int[] {0, 2, -1}, 0, 3);
      kernels.layers().gather(3, 4, ids, 2, table, 1, 0, y);
      String message = assertThrows(IllegalArgumentException.class, y::floats).getMessage();
      assertTrue(message.startsWith("gather: ids of row 1 holds 2"), message);
      kernels.finish();
      ids.put(0, new int[] {0, 1, 0}, 0, 3);
      kernels.layers().gather(3, 4, ids, 2, table, 1, 0, y);
      assertEquals(0, y.floats()[11]);
    }
  }

  @Test
  void buffersOutliveTheirKernelsAndSiblingsShareThem() {
    Kernels kernels = Kernels.open(Backend.CUDA, 1);
    Kernels sibling = kernels.fork(1);
    Buffer x = kernels.allocate(DType.F32, 3);
    x.put(0, new float[] {1, 2, 3}, 0, 3);
    sibling.dense().add(3, 2, x, 0, x, x);
    kernels.close();
    kernels.close();
    assertEquals(6, x.floats()[2]);
    sibling.close();
    assertEquals(6, x.floats()[2]);
    assertEquals(4, x.slice(1, 1).floats()[0]);
    x.close();
    x.close();
    assertThrows(IllegalStateException.class, x::floats);
  }

  @Test
  void whereverMemoryEndsNothingIsLeftBehind() {
    int refused = 0;
    for (long room = 0; room < 48L << 20; room += 1L << 19) {
      set("memory_bytes", get("allocated_bytes") + room);
      try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
          Buffer x = kernels.allocate(DType.F32, 1 << 20);
          Buffer y = kernels.allocate(DType.F32, 64);
          PackedEncoder _ = kernels.sae().encoder(4096, 64)) {
        try (Recording recording =
            kernels.record(() -> kernels.dense().columnSum(1 << 14, 64, x, 64, 0, y))) {
          recording.run();
        }
        kernels.finish();
      } catch (NativeException e) {
        assertEquals(NativeException.Kind.OUT_OF_MEMORY, e.kind(), e.getMessage());
        refused++;
      } catch (BackendUnavailableException e) {
        assertTrue(e.getMessage().contains("bytes asked"), e.getMessage());
        refused++;
      }
      assertEquals(before, counters(), "with room for " + room + " bytes");
    }
    assertTrue(refused > 60, refused + " refusals");
  }

  @Test
  void theDeviceIsChosenByItsNumber() {
    set("devices", 2);
    System.setProperty("rhumb.cuda.device", "1");
    try {
      Kernels.open(Backend.CUDA, 1).close();
      System.setProperty("rhumb.cuda.device", "2");
      String message =
          assertThrows(
                  BackendUnavailableException.class, () -> Kernels.open(Backend.CUDA, 1).close())
              .getMessage();
      assertTrue(message.contains("CUDA device 2 was asked for"), message);
      System.setProperty("rhumb.cuda.device", "x");
      assertThrows(IllegalArgumentException.class, () -> Kernels.open(Backend.CUDA, 1).close());
    } finally {
      System.clearProperty("rhumb.cuda.device");
    }
  }

  @Test
  void thePrecisionIsASetting() {
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1)) {
      assertTrue(kernels.describe().endsWith(", products in fp32"), kernels.describe());
    }
    System.setProperty("rhumb.cuda.precision", "bf16");
    try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
        Kernels sibling = kernels.fork(1)) {
      assertTrue(sibling.describe().endsWith(", products in bf16"), sibling.describe());
      System.setProperty("rhumb.cuda.precision", "half");
      String message =
          assertThrows(IllegalArgumentException.class, () -> Kernels.open(Backend.CUDA, 1))
              .getMessage();
      assertEquals("rhumb.cuda.precision=half: fp32 or bf16 is needed", message);
    } finally {
      System.clearProperty("rhumb.cuda.precision");
    }
  }

  /** By cuBLAS and by the library's own kernels, of many rows and of few. */
  @Test
  void inBf16ProductsAreThoseOfRoundedOperands() {
    String cublas =
        System.setProperty("rhumb.cublas.library", System.getProperty("rhumb.cuda.library"));
    System.setProperty("rhumb.cuda.precision", "bf16");
    try {
      for (String library : new String[] {System.getProperty("rhumb.cuda.library"), "off"}) {
        System.setProperty("rhumb.cublas.library", library);
        try (Kernels kernels = Kernels.open(Backend.CUDA, 1);
            Buffer a = kernels.allocate(DType.F32, 70 * 20);
            Buffer b = kernels.allocate(DType.F32, 20 * 70);
            Buffer c = kernels.allocate(DType.F32, 70 * 70)) {
          assertEquals(library.equals("off"), kernels.describe().contains("without cuBLAS"));
          // The first factor's elements lie half way between neighbours: to the even one, 1. The
          // sums need more bits than bf16 has.
          float[] ones = new float[70 * 20];
          java.util.Arrays.fill(ones, 1 + 0x1p-8f);
          float[] halves = new float[20 * 70];
          java.util.Arrays.fill(halves, 0x1p-9f);
          java.util.Arrays.fill(halves, 0, 70, 1);
          a.put(0, ones, 0, ones.length);
          b.put(0, halves, 0, halves.length);
          for (int rows : new int[] {70, 5, 1}) {
            kernels.dense().gemm(false, false, rows, 70, 20, 1, a, 20, b, 70, 0, c, 70);
            for (int i = 0; i < rows * 70; i++) {
              assertEquals(1 + 19 * 0x1p-9f, c.floats()[i], library + ", " + rows + " rows");
            }
          }
        }
      }
    } finally {
      System.clearProperty("rhumb.cuda.precision");
      if (cublas == null) {
        System.clearProperty("rhumb.cublas.library");
      } else {
        System.setProperty("rhumb.cublas.library", cublas);
      }
    }
  }

  private static final SymbolLookup LIBRARY =
      System.getProperty("rhumb.cuda.library") == null
          ? null
          : SymbolLookup.libraryLookup(
              Path.of(System.getProperty("rhumb.cuda.library")), Arena.global());

  private static void set(String name, long value) {
    try (Arena arena = Arena.ofConfined()) {
      int status =
          (int)
              Linker.nativeLinker()
                  .downcallHandle(
                      LIBRARY.findOrThrow("rhumb_host_set"),
                      FunctionDescriptor.of(
                          ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG))
                  .invokeExact(arena.allocateFrom(name), value);
      assertEquals(0, status, name);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static long get(String name) {
    try (Arena arena = Arena.ofConfined()) {
      return (long)
          Linker.nativeLinker()
              .downcallHandle(
                  LIBRARY.findOrThrow("rhumb_host_get"),
                  FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS))
              .invokeExact(arena.allocateFrom(name));
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }
}
