package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One writer to a folder, in this process and among processes, and none after it has died. */
class FolderLockTest {
  @TempDir Path folder;

  /** Holds the lock until its input ends. */
  public static void main(String[] arguments) throws IOException {
    try (FolderLock _ = FolderLock.take(Path.of(arguments[0]), "a test\nin a child")) {
      System.out.println("holds");
      System.in.read();
    } catch (FolderInUseException e) {
      System.out.println(e.getMessage());
    }
  }

  private Process child() throws Exception {
    return Child.start(
        folder, Child.command(FolderLockTest.class, List.of(), folder.resolve("model").toString()));
  }

  private FolderInUseException refused() {
    return assertThrows(
        FolderInUseException.class,
        () -> FolderLock.take(folder.resolve("model"), "training").close());
  }

  @Test
  void anotherProcessKeepsItUntilItIsKilled() throws Exception {
    Process holder = child();
    try {
      assertEquals("holds", holder.inputReader().readLine());
      String message = refused().getMessage();
      assertTrue(message.contains(folder.resolve("model").toString()), message);
      assertTrue(message.contains("process " + holder.pid() + ", started 2"), message);
      assertTrue(message.contains("(a test in a child since 2"), message);
      assertTrue(message.contains("choose another folder"), message);
      assertEquals(message, refused().getMessage(), "asking leaves the lock as it is");
      // The holder's files are there to be read.
      Files.writeString(folder.resolve("model/config.json"), "{}");
      assertEquals("{}", Files.readString(folder.resolve("model/config.json")));
      holder.destroyForcibly().waitFor(); // kill -9
      FolderLock.take(folder.resolve("model"), "training").close();
    } finally {
      holder.destroyForcibly().waitFor();
    }
  }

  @Test
  void thisProcessKeepsItFromAnotherAndFromItself() throws Exception {
    FolderLock lock = FolderLock.take(folder.resolve("model"), "training");
    try {
      String message = refused().getMessage();
      String mine = "process " + ProcessHandle.current().pid();
      assertTrue(message.contains(mine), message);
      Path link = Files.createSymbolicLink(folder.resolve("link"), folder.resolve("model"));
      assertThrows(FolderInUseException.class, () -> FolderLock.take(link, "x").close());
      Process other = child();
      try {
        assertEquals(message, other.inputReader().readLine());
        assertEquals(0, other.waitFor());
      } finally {
        other.destroyForcibly().waitFor();
      }
      lock.close();
      Process free = child();
      try {
        assertEquals("holds", free.inputReader().readLine());
        lock.close();
        refused();
        free.getOutputStream().close();
        assertEquals(0, free.waitFor());
      } finally {
        free.destroyForcibly().waitFor();
      }
    } finally {
      lock.close();
    }
    FolderLock.take(folder.resolve("model"), "training").close();
  }

  @Test
  void foldersAreTakenApartAndAFileIsNone() throws Exception {
    try (FolderLock _ = FolderLock.take(folder.resolve("one"), "x");
        FolderLock _ = FolderLock.take(folder.resolve("two/deep"), "x")) {
      assertTrue(Files.isDirectory(folder.resolve("two/deep")));
      Path file = Files.writeString(folder.resolve("file"), "x");
      UncheckedIOException refusal =
          assertThrows(UncheckedIOException.class, () -> FolderLock.take(file, "x").close());
      assertTrue(refusal.getMessage().contains(file.toString()), refusal.getMessage());
      assertFalse(Files.isDirectory(file));
    }
  }
}
