package dev.rhumb.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Files that are either the earlier or the new ones, whole, whatever happens: a temporary file in
 * the same folder is written, forced to the disk and renamed over the file, then the folder is
 * forced too.
 *
 * <p>If the body throws or the disk is full, the earlier file stays and the temporary one is
 * removed. A killed process cannot remove its own: the next write of the same file does. A
 * temporary file is locked while its writer lives, so that a leftover is told from the work of
 * another process.
 *
 * <p>Threads: any number may write, also the same file; the last rename wins.
 */
public final class AtomicFiles {
  private static final String SUFFIX = ".tmp";

  /**
   * Temporary files of this process. A lock belongs to the whole process and closing any channel of
   * the file drops it, so these are never even opened by the cleaning.
   */
  private static final Set<Path> OURS = ConcurrentHashMap.newKeySet();

  private AtomicFiles() {}

  /** Writes the content of one file. */
  @FunctionalInterface
  public interface Body {
    /**
     * Writes from the start of an empty file.
     *
     * @param channel open for writing; it stays the caller's to close
     */
    void write(FileChannel channel) throws IOException;
  }

  /**
   * Writes a file, or leaves the earlier one as it was.
   *
   * @throws UncheckedIOException when the body or the file system fails
   */
  public static void write(Path file, Body body) {
    Path target = file.toAbsolutePath();
    Path folder = target.getParent();
    Path name = target.getFileName();
    if (name == null || Files.isDirectory(target)) {
      throw new IllegalArgumentException(file + " is a folder; a file's name is wanted");
    }
    String prefix = "." + name + ".";
    try {
      removeLeftovers(folder, prefix);
      while (!attempt(target, folder.resolve(prefix + UUID.randomUUID() + SUFFIX), body)) {
        // Another process took our file, created but not yet locked, for a leftover.
      }
    } catch (IOException e) {
      throw failure("cannot write " + file + ", which stays as it was", e);
    }
    try (FileChannel directory = FileChannel.open(folder, StandardOpenOption.READ)) {
      directory.force(true);
    } catch (IOException e) {
      throw failure(file + " is written, but a power cut may undo that", e);
    }
  }

  /** Writes a text in UTF-8. */
  public static void writeString(Path file, String text) {
    write(
        file,
        channel -> writeFully(channel, ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8))));
  }

  /** Writes all that remains in {@code bytes}. */
  public static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }

  /** False when the temporary file was taken away before it was locked. */
  private static boolean attempt(Path target, Path temporary, Body body) throws IOException {
    OURS.add(temporary);
    try (FileChannel channel =
        FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      lock(channel);
      if (Files.notExists(temporary)) {
        return false;
      }
      body.write(channel);
      channel.force(true);
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
      return true;
    } catch (Throwable e) {
      remove(temporary, e);
      throw e;
    } finally {
      OURS.remove(temporary);
    }
  }

  private static void lock(FileChannel channel) {
    try {
      channel.lock();
    } catch (IOException e) {
      // A file system without locks. The cleaning cannot lock there either, and leaves the file.
    }
  }

  private static void removeLeftovers(Path folder, String prefix) throws IOException {
    DirectoryStream.Filter<Path> leftover =
        path -> {
          String name = path.getFileName().toString();
          return name.startsWith(prefix)
              && name.endsWith(SUFFIX)
              && name.length() == prefix.length() + 36 + SUFFIX.length()
              && !OURS.contains(path);
        };
    try (DirectoryStream<Path> found = Files.newDirectoryStream(folder, leftover)) {
      for (Path path : found) {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
          if (channel.tryLock() != null) {
            Files.deleteIfExists(path);
          }
        } catch (IOException e) {
          // Gone meanwhile, not ours to remove, or no locks here: it does not hinder this write.
        }
      }
    } catch (DirectoryIteratorException e) {
      throw e.getCause();
    }
  }

  private static void remove(Path temporary, Throwable cause) {
    try {
      Files.deleteIfExists(temporary);
    } catch (IOException e) {
      cause.addSuppressed(e);
    }
  }

  /** An error of the file system in words: Java's own messages are often a bare path. */
  public static UncheckedIOException failure(String action, IOException e) {
    String reason =
        switch (e) {
          case NoSuchFileException missing -> "no such file or folder: " + missing.getFile();
          case NotDirectoryException other -> "no folder: " + other.getFile();
          case AccessDeniedException denied -> "permission denied: " + denied.getFile();
          case FileAlreadyExistsException there -> "already there: " + there.getFile();
          case FileSystemException other when other.getReason() != null ->
              other.getReason() + ": " + other.getFile();
          default -> String.valueOf(e.getMessage() == null ? e : e.getMessage());
        };
    return new UncheckedIOException(action + ": " + reason, e);
  }
}
