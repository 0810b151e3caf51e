package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AtomicFilesTest {
  @TempDir Path folder;
  private Path file;

  @BeforeEach
  void earlierFile() throws IOException {
    file = folder.resolve("config.json");
    Files.writeString(file, "earlier");
  }

  @Test
  void replacesTheFileAndLeavesNothingElse() throws Exception {
    AtomicFiles.writeString(file, "n\u00e9w");
    assertEquals("n\u00e9w", Files.readString(file));
    AtomicFiles.writeString(folder.resolve("other"), "");
    assertEquals(Set.of("config.json", "other"), names());
  }

  @Test
  void theEarlierFileIsThereUntilTheEnd() {
    AtomicFiles.write(
        file,
        channel -> {
          AtomicFiles.writeFully(channel, ByteBuffer.wrap(new byte[100]));
          channel.force(true);
          assertEquals("earlier", Files.readString(file));
        });
    assertEquals(100, file.toFile().length());
  }

  @Test
  void aFailingBodyLeavesTheEarlierFileAndNoOther() throws Exception {
    IOException trouble = new IOException("No space left on device");
    List<Throwable> failures =
        List.of(trouble, new IllegalStateException("x"), new OutOfMemoryError("y"));
    for (Throwable failure : failures) {
      Throwable thrown =
          assertThrows(
              Throwable.class,
              () ->
                  AtomicFiles.write(
                      file,
                      channel -> {
                        channel.write(ByteBuffer.allocate(10));
                        switch (failure) {
                          case IOException e -> throw e;
                          case RuntimeException e -> throw e;
                          default -> throw (Error) failure;
                        }
                      }));
      if (failure == trouble) {
        assertSame(trouble, thrown.getCause());
        assertEquals(
            "cannot write " + file + ", which stays as it was: No space left on device",
            thrown.getMessage());
      } else {
        assertSame(failure, thrown);
      }
      assertEquals("earlier", Files.readString(file));
      assertEquals(Set.of("config.json"), names());
    }
  }

  @Test
  void saysWhatIsWrongWithThePath() throws Exception {
    Path nowhere = folder.resolve("no/such/file");
    var failure =
        assertThrows(UncheckedIOException.class, () -> AtomicFiles.writeString(nowhere, "x"));
    assertTrue(failure.getMessage().contains("no such file or folder"), failure.getMessage());
    Path below = file.resolve("below");
    failure = assertThrows(UncheckedIOException.class, () -> AtomicFiles.writeString(below, "x"));
    assertTrue(failure.getMessage().contains("no folder"), failure.getMessage());
    assertThrows(IllegalArgumentException.class, () -> AtomicFiles.writeString(folder, "x"));
    assertThrows(IllegalArgumentException.class, () -> AtomicFiles.writeString(Path.of("/"), "x"));
    assertEquals("earlier", Files.readString(file));
  }

  @ParameterizedTest
  @ValueSource(strings = {"start", "middle", "forced"})
  void aHaltedWriterHarmsNothingAndTheNextCleansUp(String point) throws Exception {
    Child.Result result =
        Child.run(folder, Child.command(List.of(), "halt", file.toString(), point));
    assertEquals(9, result.status(), result.output());
    assertEquals("earlier", Files.readString(file));
    assertEquals(2, names().size(), "the leftover");
    Path foreign = folder.resolve(".config.json.notes.tmp");
    Files.writeString(foreign, "kept");
    AtomicFiles.writeString(folder.resolve("other"), "x");
    assertEquals(4, names().size(), "another file's write leaves the leftover alone");
    AtomicFiles.writeString(file, "new");
    assertEquals("new", Files.readString(file));
    assertEquals(Set.of("config.json", "other", ".config.json.notes.tmp"), names());
  }

  @Test
  void aLivingWriterIsNoLeftoverAndAKilledOneIs() throws Exception {
    List<String> command = Child.command(List.of(), "wait", file.toString());
    Process living = Child.start(folder, command);
    Process killed = Child.start(folder, command);
    try {
      awaitInside(living);
      awaitInside(killed);
      assertEquals(3, names().size());
      killed.destroyForcibly().waitFor(); // kill -9
      AtomicFiles.writeString(file, "new");
      assertEquals(2, names().size(), "the living writer's file stays, the killed one's goes");
      assertEquals("new", Files.readString(file));
      living.getOutputStream().close();
      assertEquals(0, living.waitFor());
      assertEquals("from the child", Files.readString(file));
      assertEquals(Set.of("config.json"), names());
    } finally {
      living.destroyForcibly().waitFor();
      killed.destroyForcibly().waitFor();
    }
  }

  private static void awaitInside(Process child) throws IOException {
    assertEquals("inside", child.inputReader().readLine());
  }

  @Test
  void writersOfOneProcessDoNotTakeEachOther() throws Exception {
    AtomicFiles.write(
        file,
        channel -> {
          AtomicFiles.writeString(file, "inner");
          assertEquals("inner", Files.readString(file));
          AtomicFiles.writeFully(channel, ByteBuffer.wrap("outer".getBytes()));
        });
    assertEquals("outer", Files.readString(file));

    AtomicBoolean done = new AtomicBoolean();
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      List<Future<?>> writers = new ArrayList<>();
      for (char letter : "abc".toCharArray()) {
        writers.add(
            threads.submit(
                () -> {
                  for (int i = 0; i < 30; i++) {
                    AtomicFiles.writeString(file, String.valueOf(letter).repeat(10_000));
                  }
                }));
      }
      Future<?> reader =
          threads.submit(
              () -> {
                while (!done.get()) {
                  String text = Files.readString(file);
                  assertTrue(
                      text.equals("outer") || text.matches("a{10000}|b{10000}|c{10000}"),
                      () -> "half a file: " + text.length());
                }
                return null;
              });
      try {
        for (Future<?> writer : writers) {
          writer.get();
        }
      } finally {
        done.set(true);
      }
      reader.get();
    }
    assertEquals(Set.of("config.json"), names());
  }

  @Test
  void aFullDiskLeavesTheEarlierFile() throws Exception {
    // A limit on the size of a file fails a write half-way, just as a full disk does.
    List<String> command = Child.command(List.of("-XX:-UsePerfData"), "fill", file.toString());
    List<String> limited = new ArrayList<>(List.of("bash", "-c", "ulimit -f 64; exec \"$@\"", "-"));
    limited.addAll(command);
    Child.Result result = Child.run(folder, limited);
    assertEquals(0, result.status(), result.output());
    assertEquals(
        "cannot write " + file + ", which stays as it was: File too large",
        result.output().strip());
    assertEquals("earlier", Files.readString(file));
    assertEquals(Set.of("config.json"), names());
    assertEquals("written", Child.run(folder, command).output().strip(), "without the limit");
  }

  @ParameterizedTest
  @ValueSource(strings = {"SCALAR", "SIMD"})
  void aFileCutUnderneathGivesAnErrorInCompiledCode(String backend) throws Exception {
    Path tensors = folder.resolve("x.safetensors");
    int n = 1 << 17;
    try (Arena arena = Arena.ofConfined()) {
      Buffer ones = Buffer.wrap(DType.F32, arena.allocate(4L * n, 64));
      float[] values = new float[n];
      Arrays.fill(values, 1f);
      ones.put(0, values, 0, n);
      Safetensors.write(
          tensors, Map.of(), List.of(new Safetensors.Tensor("x", new long[] {n}, ones)));
    }
    List<String> flags = List.of("--add-modules", "jdk.incubator.vector", "-Dbackend=" + backend);
    Child.Result result = Child.run(folder, Child.command(flags, "truncate", tensors.toString()));
    List<String> wanted =
        List.of(
            "plain InternalError",
            "pieces InternalError",
            "bulk InternalError",
            "copyTo FormatException",
            "kernel " + (double) n);
    assertEquals(
        wanted,
        result.output().lines().filter(line -> line.matches("[a-zA-Z]+ [a-zA-Z0-9.]+")).toList());
    assertEquals(0, result.status());
    assertFalse(Files.exists(tensors));
  }

  private Set<String> names() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .map(path -> path.getFileName().toString())
          .collect(Collectors.toCollection(TreeSet::new));
    }
  }
}
