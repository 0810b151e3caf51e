package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.bindings.LibrarySearch.Candidate;
import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.rhumb.Rhumb;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/**
 * Contexts and what is made on them, on the emulated machine; each test ends with nothing open,
 * neither by Java's count nor by the machine's.
 */
class CudaTest {
  private static final String MEND = "Ask for less.";
  private static final List<String> SETTINGS =
      List.of("devices", "driver_version", "memory_bytes", "compute_capability", "deferred");

  private final Map<String, Long> before = new HashMap<>();

  @BeforeEach
  void start() {
    HostMachine.use();
    for (String setting : SETTINGS) {
      before.put(setting, HostMachine.get(setting));
    }
    assertNothingIsOpen();
  }

  @AfterEach
  void end() {
    if (!before.isEmpty()) {
      before.forEach(HostMachine::set);
      HostMachine.set("fail_launch", 0);
      assertNothingIsOpen();
    }
  }

  private static void assertNothingIsOpen() {
    assertEquals(0, CudaContext.live());
    for (String counter :
        List.of(
            "allocations",
            "allocated_bytes",
            "host_allocations",
            "streams",
            "events",
            "graphs",
            "executables",
            "cublas_handles",
            "contexts")) {
      assertEquals(0, HostMachine.get(counter), counter);
    }
  }

  private static void assertHas(String text, String... parts) {
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "no \"" + part + "\" in: " + text);
    }
  }

  private static NativeException fails(Kind kind, Executable work) {
    NativeException e = assertThrows(NativeException.class, work);
    assertEquals(kind, e.kind(), e::getMessage);
    return e;
  }

  private static void refusesAsClosed(Executable work) {
    assertHas(assertThrows(IllegalStateException.class, work).getMessage(), "closed");
  }

  // --- Driver and devices -----------------------------------------------------------------------

  @Test
  void theDriverDescribesItsDevices() {
    HostMachine.set("devices", 2);
    HostMachine.set("compute_capability", 90);
    CudaDriver driver = CudaDriver.load();
    assertSame(driver, CudaDriver.load());
    assertEquals(HostMachine.LIBRARY.getFileName(), driver.file().getFileName());
    assertEquals("13.0", driver.version());
    List<CudaDevice> devices = driver.devices();
    assertEquals(2, devices.size());
    for (int ordinal = 0; ordinal < 2; ordinal++) {
      CudaDevice device = devices.get(ordinal);
      assertEquals(ordinal, device.ordinal());
      assertFalse(device.name().isBlank());
      assertEquals("9.0", device.capabilityText());
      assertEquals(HostMachine.get("multiprocessors"), device.multiprocessors());
      assertEquals(HostMachine.get("memory_bytes"), device.memoryBytes());
    }
  }

  @Test
  void oneOfTwoDevicesIsTakenByOrdinal() {
    HostMachine.set("devices", 2);
    try (CudaContext second = CudaContext.open(1);
        DeviceBuffer buffer = new DeviceBuffer(second, 1000, MEND)) {
      assertEquals(1, second.device().ordinal());
      assertEquals(1000, buffer.bytes());
      assertTrue(second.freeBytes() <= second.device().memoryBytes() - 1000);
    }
    for (int ordinal : new int[] {-1, 2}) {
      NativeException e = fails(Kind.NO_DEVICE, () -> CudaContext.open(ordinal));
      assertHas(e.getMessage(), "CUDA device " + ordinal + " was asked for", "0: ", "1: ");
    }
  }

  @Test
  void anOldDeviceIsRefused() {
    HostMachine.set("compute_capability", 75);
    assertHas(
        fails(Kind.NO_DEVICE, () -> CudaContext.open(0)).getMessage(),
        "has compute capability 7.5; the kernels need 8.0");
  }

  @Test
  void noDeviceIsSaidInWords() {
    CudaDriver.load();
    HostMachine.set("devices", 0);
    fails(Kind.NO_DEVICE, () -> CudaContext.open(0));
    DriverProbe probe = new DriverProbe("host", HostMachine.LIBRARY);
    assertHas(
        fails(Kind.NO_DEVICE, () -> probe.find(probe.candidates())).getMessage(),
        "cuInit: status 100, ",
        "(CUDA_ERROR_NO_DEVICE)",
        "CUDA_VISIBLE_DEVICES");
  }

  @Test
  void aDriverThatIsTooOldIsRefused() {
    HostMachine.set("driver_version", 12_080);
    DriverProbe probe = new DriverProbe("host", HostMachine.LIBRARY);
    assertHas(
        fails(Kind.DRIVER_TOO_OLD, () -> probe.find(probe.candidates())).getMessage(),
        "CUDA up to 12.8",
        "built for CUDA 13.0");
  }

  // --- Memory -----------------------------------------------------------------------------------

  @Test
  void bytesGoThereAndBack() {
    HostMachine.set("deferred", 1);
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        PinnedBuffer pinned = new PinnedBuffer(context, 100);
        DeviceBuffer one = new DeviceBuffer(context, 64, MEND);
        DeviceBuffer two = new DeviceBuffer(context, 64, MEND);
        Arena arena = Arena.ofConfined()) {
      assertNotEquals(one.address(), two.address());
      assertEquals(one.address(), one.pointer().address());
      assertEquals(0, one.pointer().byteSize());
      MemorySegment host = pinned.segment();
      assertEquals(100, host.byteSize());
      for (int i = 0; i < 100; i++) {
        host.set(JAVA_BYTE, i, (byte) i);
      }
      one.zero(stream);
      one.fill(1, 2, (byte) 7, stream);
      one.fillInts(4, 2, 0x01020304, stream);
      one.copyFrom(host, 90, 20, 10, stream);
      two.zero(stream);
      two.copyFrom(one, 4, 8, 26, stream);
      MemorySegment back = arena.allocate(80);
      two.copyTo(back, 3, 0, 64, stream);
      stream.synchronize();
      byte[] expected = new byte[80];
      for (int i = 0; i < 8; i++) {
        expected[3 + 8 + i] = (byte) (4 - i % 4);
      }
      for (int i = 0; i < 10; i++) {
        expected[3 + 8 + 16 + i] = (byte) (90 + i);
      }
      assertArrayEquals(expected, back.toArray(JAVA_BYTE));
      one.copyTo(host, 0, 0, 4, stream);
      stream.synchronize();
      assertEquals(0x00070700, host.get(JAVA_INT, 0));
    }
  }

  @Test
  void rangesOutsideAreRefusedBeforeTheCall() {
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        PinnedBuffer pinned = new PinnedBuffer(context, 32);
        DeviceBuffer buffer = new DeviceBuffer(context, 16, MEND);
        DeviceBuffer other = new DeviceBuffer(context, 8, MEND)) {
      MemorySegment host = pinned.segment();
      long huge = Long.MAX_VALUE;
      for (Executable work :
          List.<Executable>of(
              () -> buffer.fill(0, 17, (byte) 0, stream),
              () -> buffer.fill(-1, 1, (byte) 0, stream),
              () -> buffer.fill(16, huge, (byte) 0, stream),
              () -> buffer.fillInts(0, 5, 0, stream),
              () -> buffer.fillInts(2, 1, 0, stream),
              () -> buffer.fillInts(0, huge / 2 + 1, 0, stream),
              () -> buffer.copyFrom(host, 0, 1, 16, stream),
              () -> buffer.copyFrom(host, 17, 0, 16, stream),
              () -> buffer.copyFrom(host, huge, 0, 16, stream),
              () -> buffer.copyTo(host, 0, 0, 17, stream),
              () -> buffer.copyTo(host, 17, 0, 16, stream),
              () -> buffer.copyTo(host, 0, 0, -1, stream),
              () -> buffer.copyFrom(other, 0, 0, 9, stream),
              () -> other.copyFrom(buffer, 0, 0, 9, stream))) {
        assertThrows(IndexOutOfBoundsException.class, work);
      }
      MemorySegment heap = MemorySegment.ofArray(new byte[16]);
      assertThrows(IllegalArgumentException.class, () -> buffer.copyFrom(heap, 0, 0, 16, stream));
      assertThrows(IllegalArgumentException.class, () -> buffer.copyTo(heap, 0, 0, 16, stream));
      assertThrows(
          IllegalArgumentException.class, () -> buffer.copyTo(host.asReadOnly(), 0, 0, 16, stream));
      assertThrows(
          IllegalArgumentException.class, () -> new DeviceBuffer(context, -1, MEND).close());
      assertThrows(IllegalArgumentException.class, () -> new PinnedBuffer(context, 0).close());
    }
  }

  @Test
  void anEmptyBufferIsLikeOthers() {
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        PinnedBuffer host = new PinnedBuffer(context, 4);
        DeviceBuffer buffer = new DeviceBuffer(context, 0, MEND)) {
      assertEquals(0, buffer.bytes());
      assertNotEquals(0, buffer.address());
      Runnable work =
          () -> {
            buffer.zero(stream);
            buffer.fillInts(0, 0, 1, stream);
            buffer.copyFrom(buffer, 0, 0, 0, stream);
            buffer.copyFrom(host.segment(), 4, 0, 0, stream);
            buffer.copyTo(host.segment(), 4, 0, 0, stream);
          };
      work.run();
      stream.synchronize();
      Graph.capture(stream, work).close();
    }
  }

  @Test
  void fullMemoryTellsAskedFreeAndWhatToDo() {
    HostMachine.set("memory_bytes", 1_000_000);
    try (CudaContext context = CudaContext.open(0);
        DeviceBuffer part = new DeviceBuffer(context, 600_000, MEND)) {
      assertEquals(600_000, part.bytes());
      NativeException e =
          fails(
              Kind.OUT_OF_MEMORY,
              () -> new DeviceBuffer(context, 500_000, "Lower rhumb.batch.").close());
      assertHas(
          e.getMessage(),
          "500,000 bytes asked",
          "400,000 free of 1,000,000 on CUDA device 0",
          "(CUDA_ERROR_OUT_OF_MEMORY)",
          "Lower rhumb.batch.");
      new DeviceBuffer(context, 400_000, MEND).close();
    }
  }

  // --- Closing ----------------------------------------------------------------------------------

  @Test
  void whatIsClosedRefusesUseAndASecondCloseDoesNothing() {
    try (CudaContext context = CudaContext.open(0);
        Stream open = new Stream(context);
        DeviceBuffer target = new DeviceBuffer(context, 8, MEND)) {
      Stream stream = new Stream(context);
      Event event = new Event(context);
      Graph graph = Graph.capture(open, () -> target.zero(open));
      DeviceBuffer buffer = new DeviceBuffer(context, 8, MEND);
      PinnedBuffer pinned = new PinnedBuffer(context, 8);
      MemorySegment host = pinned.segment();
      Cublas cublas = new Cublas(context);
      for (AutoCloseable each : List.of(stream, event, graph, buffer, pinned, cublas)) {
        for (int i = 0; i < 2; i++) {
          assertDoesNotThrow(each::close);
        }
      }
      assertTrue(stream.isClosed() && buffer.isClosed() && pinned.isClosed());
      assertEquals(3, CudaContext.live());
      for (Executable use :
          List.<Executable>of(
              stream::synchronize,
              stream::isDone,
              stream::pointer,
              () -> target.zero(stream),
              () -> graph.launch(open),
              () -> event.record(open),
              event::synchronize,
              () -> open.await(event),
              buffer::address,
              buffer::pointer,
              () -> buffer.zero(open),
              () -> target.copyFrom(buffer, 0, 0, 8, open),
              () -> target.copyFrom(host, 0, 0, 8, open),
              cublas::version,
              () -> host.get(JAVA_BYTE, 0))) {
        refusesAsClosed(use);
      }
    }
  }

  @Test
  void theDeviceIsLetGoWithTheLastThatWasMadeOnIt() {
    CudaContext context = CudaContext.open(0);
    Stream stream = new Stream(context);
    DeviceBuffer buffer = new DeviceBuffer(context, 8, MEND);
    context.close();
    context.close();
    assertTrue(context.isClosed());
    refusesAsClosed(context::makeCurrent);
    refusesAsClosed(context::freeBytes);
    refusesAsClosed(() -> new Stream(context).close());
    refusesAsClosed(buffer::address);
    refusesAsClosed(() -> buffer.zero(stream));
    assertEquals(1, HostMachine.get("contexts"));
    stream.close();
    assertEquals(1, HostMachine.get("contexts"));
    buffer.close();
    assertEquals(0, HostMachine.get("contexts"));
  }

  @Test
  void contextsOfOneDeviceDoNotDependOnEachOther() {
    CudaContext first = CudaContext.open(0);
    try (CudaContext second = CudaContext.open(0);
        Stream stream = new Stream(second);
        DeviceBuffer buffer = new DeviceBuffer(second, 8, MEND)) {
      first.close();
      buffer.zero(stream);
      stream.synchronize();
    }
  }

  @Test
  void manyThreadsCloseOnce() throws Exception {
    try (CudaContext context = CudaContext.open(0);
        ExecutorService threads = Executors.newFixedThreadPool(4)) {
      for (int round = 0; round < 200; round++) {
        DeviceBuffer buffer = new DeviceBuffer(context, 8, MEND);
        CountDownLatch together = new CountDownLatch(4);
        List<Future<?>> closers = new ArrayList<>();
        for (int t = 0; t < 4; t++) {
          closers.add(
              threads.submit(
                  () -> {
                    together.countDown();
                    together.await();
                    buffer.close();
                    return null;
                  }));
        }
        for (Future<?> closer : closers) {
          closer.get();
        }
        assertEquals(1, CudaContext.live());
      }
    }
  }

  // --- Streams, events, graphs ------------------------------------------------------------------

  @Test
  void streamsAndEventsSayWhenWorkIsDone() {
    HostMachine.set("deferred", 1);
    try (CudaContext context = CudaContext.open(0);
        Stream one = new Stream(context);
        Stream two = new Stream(context);
        Event start = new Event(context);
        Event end = new Event(context);
        DeviceBuffer buffer = new DeviceBuffer(context, 8, MEND)) {
      assertTrue(one.isDone());
      start.record(one);
      buffer.zero(one);
      end.record(one);
      two.await(end);
      buffer.fill(0, 8, (byte) 1, two);
      two.synchronize();
      assertTrue(end.isDone() && one.isDone());
      end.synchronize();
      assertTrue(end.millisecondsSince(start) >= 0);
    }
  }

  @Test
  void aGraphRepeatsWhatWasRecorded() {
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        PinnedBuffer in = new PinnedBuffer(context, 4);
        PinnedBuffer out = new PinnedBuffer(context, 4);
        DeviceBuffer buffer = new DeviceBuffer(context, 4, MEND)) {
      out.segment().set(JAVA_INT, 0, -1);
      in.segment().set(JAVA_INT, 0, 1);
      try (Graph graph =
          Graph.capture(
              stream,
              () -> {
                buffer.copyFrom(in.segment(), 0, 0, 4, stream);
                buffer.copyTo(out.segment(), 0, 0, 4, stream);
              })) {
        stream.synchronize();
        assertEquals(-1, out.segment().get(JAVA_INT, 0));
        for (int i = 5; i < 8; i++) {
          in.segment().set(JAVA_INT, 0, i);
          graph.launch(stream);
          stream.synchronize();
          assertEquals(i, out.segment().get(JAVA_INT, 0));
        }
      }
    }
  }

  @Test
  void aFailedRecordingLeavesTheStreamAsItWas() {
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        DeviceBuffer buffer = new DeviceBuffer(context, 4, MEND)) {
      RuntimeException own = new RuntimeException("own");
      assertSame(
          own,
          assertThrows(
              RuntimeException.class,
              () ->
                  Graph.capture(
                      stream,
                      () -> {
                        buffer.zero(stream);
                        throw own;
                      })));
      NativeException waits =
          fails(
              Kind.DEVICE,
              () ->
                  Graph.capture(
                      stream,
                      () -> {
                        buffer.zero(stream);
                        stream.synchronize();
                      }));
      assertHas(waits.getMessage(), "cuStreamSynchronize: status 900");
      // Also where the work itself hides that it spoilt the recording.
      fails(
          Kind.DEVICE,
          () ->
              Graph.capture(
                  stream,
                  () -> fails(Kind.DEVICE, () -> new DeviceBuffer(context, 4, MEND).close())));
      buffer.zero(stream);
      stream.synchronize();
      Graph.capture(stream, () -> buffer.zero(stream)).close();
    }
  }

  /**
   * A virtual thread that blocks in its recording may go on on another carrier, and its first
   * carrier may serve one that allocates.
   */
  @Test
  void aVirtualThreadRecordsOnSeveralCarriers() throws Exception {
    assumeTrue(Runtime.getRuntime().availableProcessors() > 1, "there is one carrier alone");
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        PinnedBuffer out = new PinnedBuffer(context, 4);
        DeviceBuffer buffer = new DeviceBuffer(context, 4, MEND);
        ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      Callable<Graph> recording =
          () ->
              Graph.capture(
                  stream,
                  () -> {
                    buffer.fill(0, 4, (byte) 1, stream);
                    moveToAnotherCarrier(threads, () -> new DeviceBuffer(context, 4, MEND).close());
                    buffer.copyTo(out.segment(), 0, 0, 4, stream);
                  });
      try (Graph graph = threads.submit(recording).get()) {
        graph.launch(stream);
        stream.synchronize();
        assertEquals(0x01010101, out.segment().get(JAVA_INT, 0));
      }
    }
  }

  /** Returns on another carrier, after {@code meanwhile} ran on the one that it was called on. */
  private static void moveToAnotherCarrier(ExecutorService threads, Runnable meanwhile) {
    String first = carrier();
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (carrier().equals(first)) {
      assertTrue(System.nanoTime() < deadline, "it stays on " + first);
      AtomicBoolean stop = new AtomicBoolean();
      // Whichever carrier it gets, it keeps while this thread looks for one.
      Future<?> hog =
          threads.submit(
              () -> {
                if (carrier().equals(first)) {
                  meanwhile.run();
                }
                while (!stop.get()) {
                  Thread.onSpinWait();
                }
              });
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(2));
      stop.set(true);
      try {
        hog.get();
      } catch (Exception e) {
        throw new AssertionError(e);
      }
    }
  }

  /** The carrier of the calling virtual thread, from {@code VirtualThread[#22]/runnable@NAME}. */
  private static String carrier() {
    String thread = Thread.currentThread().toString();
    return thread.substring(thread.indexOf('@'));
  }

  @Test
  void contextsAreUsedFromManyThreads() throws Exception {
    HostMachine.set("devices", 2);
    try (CudaContext first = CudaContext.open(0);
        CudaContext second = CudaContext.open(1);
        Stream one = new Stream(first);
        Stream two = new Stream(second);
        DeviceBuffer mine = new DeviceBuffer(first, 4, MEND);
        DeviceBuffer other = new DeviceBuffer(second, 4, MEND);
        ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<?>> users = new ArrayList<>();
      for (int t = 0; t < 16; t++) {
        users.add(
            threads.submit(
                () -> {
                  mine.zero(one);
                  other.zero(two);
                  one.synchronize();
                  two.synchronize();
                }));
      }
      for (Future<?> user : users) {
        user.get();
      }
    }
  }

  // --- The device is lost -----------------------------------------------------------------------

  @Test
  void aLostDeviceIsATypedErrorAndEverythingStillCloses() {
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        Event event = new Event(context);
        Cublas cublas = new Cublas(context);
        PinnedBuffer pinned = new PinnedBuffer(context, 8);
        DeviceBuffer workspace = new DeviceBuffer(context, 1024, MEND);
        DeviceBuffer buffer = new DeviceBuffer(context, 4, MEND);
        Graph graph = Graph.capture(stream, () -> buffer.zero(stream))) {
      cublas.use(stream, workspace);
      HostMachine.set("fail_launch", 1);
      context.makeCurrent();
      NativeLibrary.check(
          Rhumb.rhumb_add(
              1, 1, buffer.pointer(), 0, buffer.pointer(), buffer.pointer(), stream.pointer()));
      assertHas(
          fails(Kind.DEVICE_LOST, stream::synchronize).getMessage(),
          "cuStreamSynchronize: status 700",
          "(CUDA_ERROR_ILLEGAL_ADDRESS)");
      fails(Kind.DEVICE_LOST, stream::isDone);
      assertHas(
          fails(
                  Kind.DEVICE_LOST,
                  () ->
                      NativeLibrary.check(
                          Rhumb.rhumb_add(
                              1,
                              1,
                              buffer.pointer(),
                              0,
                              buffer.pointer(),
                              buffer.pointer(),
                              stream.pointer())))
              .getMessage(),
          "rhumb_add");
      fails(Kind.DEVICE_LOST, event::synchronize);
      fails(Kind.DEVICE_LOST, () -> buffer.zero(stream));
      fails(Kind.DEVICE_LOST, () -> graph.launch(stream));
      fails(Kind.DEVICE_LOST, () -> new DeviceBuffer(context, 4, MEND).close());
      fails(Kind.DEVICE_LOST, () -> buffer.copyTo(pinned.segment(), 0, 0, 4, stream));
      assertHas(
          fails(
                  Kind.DEVICE_LOST,
                  () ->
                      cublas.gemm(
                          Cublas.Type.F32,
                          false,
                          false,
                          1,
                          1,
                          1,
                          1,
                          buffer.pointer(),
                          1,
                          buffer.pointer(),
                          1,
                          0,
                          buffer.pointer(),
                          1))
              .getMessage(),
          "cublasGemmEx (F32: A B, m 1, n 1, k 1, batch 1)");
    }
  }

  // --- cuBLAS -----------------------------------------------------------------------------------

  @Test
  void productsAreThoseOfRowMajorMatrices() {
    long m = 3;
    long n = 4;
    long k = 5;
    long batch = 2;
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        Cublas cublas = new Cublas(context);
        DeviceBuffer workspace = new DeviceBuffer(context, 1024, MEND);
        DeviceBuffer a = new DeviceBuffer(context, 4096, MEND);
        DeviceBuffer b = new DeviceBuffer(context, 4096, MEND);
        DeviceBuffer c = new DeviceBuffer(context, 4096, MEND);
        PinnedBuffer pinned = new PinnedBuffer(context, 4096)) {
      assertTrue(cublas.version() >= 120_000);
      cublas.use(stream, workspace);
      MemorySegment host = pinned.segment();
      for (Cublas.Type type : Cublas.Type.values()) {
        put(a, host, type, 11, stream);
        put(b, host, type, 13, stream);
        for (int transposes = 0; transposes < 4; transposes++) {
          boolean transposeA = (transposes & 1) != 0;
          boolean transposeB = (transposes & 2) != 0;
          for (boolean many : new boolean[] {false, true}) {
            put(c, host, Cublas.Type.F32, 7, stream);
            if (many) {
              cublas.gemmBatch(
                  type,
                  transposeA,
                  transposeB,
                  m,
                  n,
                  k,
                  2,
                  a.pointer(),
                  6,
                  50,
                  b.pointer(),
                  7,
                  60,
                  -1,
                  c.pointer(),
                  9,
                  40,
                  batch);
            } else {
              cublas.gemm(
                  type,
                  transposeA,
                  transposeB,
                  m,
                  n,
                  k,
                  2,
                  a.pointer(),
                  6,
                  b.pointer(),
                  7,
                  -1,
                  c.pointer(),
                  9);
            }
            c.copyTo(host, 0, 0, 4096, stream);
            stream.synchronize();
            for (int i = 0; i < 1024; i++) {
              // Small whole numbers: exact.
              float expected = i % 7 - 3;
              long at = many ? i % 40 : i;
              long row = at / 9;
              long col = at % 9;
              if (row < m && col < n && (many ? i < 40 * batch : true)) {
                long shift = many ? i / 40 : 0;
                float sum = 0;
                for (long p = 0; p < k; p++) {
                  long atA = shift * 50 + (transposeA ? p * 6 + row : row * 6 + p);
                  long atB = shift * 60 + (transposeB ? col * 7 + p : p * 7 + col);
                  sum += (atA % 11 - 5) * (atB % 13 - 6);
                }
                expected = 2 * sum - expected;
              }
              assertEquals(expected, host.getAtIndex(JAVA_FLOAT, i), type + " element " + i);
            }
          }
        }
      }
    }
  }

  /** Whole numbers around 0 that repeat after `period` elements. */
  private static void put(
      DeviceBuffer buffer, MemorySegment host, Cublas.Type type, int period, Stream stream) {
    for (int i = 0; i < 1024; i++) {
      float value = i % period - period / 2;
      if (type != Cublas.Type.BF16) {
        host.setAtIndex(JAVA_FLOAT, i, value);
      } else {
        host.setAtIndex(JAVA_SHORT, i, (short) (Float.floatToIntBits(value) >>> 16));
      }
    }
    buffer.copyFrom(host, 0, 0, host.byteSize(), stream);
    stream.synchronize();
  }

  @Test
  void productsOfWrongShapesAreRefused() {
    try (CudaContext context = CudaContext.open(0);
        Stream stream = new Stream(context);
        Cublas cublas = new Cublas(context);
        DeviceBuffer buffer = new DeviceBuffer(context, 1024, MEND)) {
      MemorySegment at = buffer.pointer();
      Cublas.Type type = Cublas.Type.F32;
      assertHas(
          assertThrows(
                  IllegalStateException.class,
                  () -> cublas.gemm(type, false, false, 1, 1, 1, 1, at, 1, at, 1, 0, at, 1))
              .getMessage(),
          "use(stream, workspace)");
      cublas.use(stream, buffer);
      for (long size : new long[] {-1, 1L << 31}) {
        assertHas(
            assertThrows(
                    IllegalArgumentException.class,
                    () -> cublas.gemm(type, false, false, size, 1, 1, 1, at, 1, at, 1, 0, at, 1))
                .getMessage(),
            "m " + size + ", n 1");
      }
      assertHas(
          fails(
                  Kind.INVALID_ARGUMENT,
                  () -> cublas.gemm(type, false, true, 2, 3, 4, 1, at, 3, at, 4, 0, at, 3))
              .getMessage(),
          "cublasGemmEx (F32: A transposed B, m 2, n 3, k 4, batch 1): status 7");
      cublas.gemm(type, false, false, 0, 3, 4, 1, at, 4, at, 3, 0, at, 3);
    }
  }

  @Test
  void withoutCublasEveryPlaceIsListed() {
    String setting = System.clearProperty(Cublas.SETTING);
    try {
      List<Candidate> candidates = Cublas.candidates("/opt/cuda");
      assertEquals(
          List.of(
              "libcublas.so.13",
              "libcublas.so.12",
              "/opt/cuda/lib64/libcublas.so.13",
              "/opt/cuda/lib64/libcublas.so.12"),
          candidates.stream().map(Candidate::library).toList().subList(0, 4));
      assertEquals(6, Cublas.candidates(null).size());
    } finally {
      System.setProperty(Cublas.SETTING, setting);
    }
    NativeException e =
        fails(
            Kind.LIBRARY,
            () -> Cublas.find(List.of(new Candidate("test", "/nowhere/libcublas.so.13"))));
    assertHas(e.getMessage(), "No cuBLAS 12 or 13. Tried:", "cannot open", "rhumb.cublas.library");
  }
}
