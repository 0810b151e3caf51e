package dev.rhumb.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The right to write to a folder, for one holder at a time: a lock of the operating system on the
 * file {@code .lock} in it, which ends with its holder, even one that is killed. The file stays,
 * and says who held it last. Only those who ask are kept out: reading is never hindered.
 *
 * <p>Where a file system knows no locks, only holders within this process exclude each other.
 *
 * <p>Threads: any may take it and any may close it.
 */
public final class FolderLock implements AutoCloseable {
  private static final String FILE = ".lock";

  /** Beyond the text, which stays readable where locks keep readers out. */
  private static final long PLACE = 1L << 40;

  private static final int MOST_BYTES = 1 << 10;

  /**
   * What this process holds, by real path. Closing any channel of a locked file drops the lock of
   * the whole process, so such a file is never even opened again.
   */
  private static final Map<Path, String> HELD = new ConcurrentHashMap<>();

  private final Path folder;
  private final FileChannel channel;
  private boolean closed;

  private FolderLock(Path folder, FileChannel channel) {
    this.folder = folder;
    this.channel = channel;
  }

  /**
   * Takes the lock or refuses at once.
   *
   * @param folder made if need be
   * @param purpose what for, such as "training": the words by which others hear of it
   * @throws FolderInUseException when somebody else holds it
   * @throws UncheckedIOException when the folder cannot be made or written to
   */
  public static FolderLock take(Path folder, String purpose) {
    String holder = holder(purpose);
    FileChannel channel = null;
    Path real = null;
    boolean taken = false;
    try {
      Files.createDirectories(folder);
      real = folder.toRealPath();
      String other = HELD.putIfAbsent(real, holder);
      if (other != null) {
        real = null;
        throw inUse(folder, other);
      }
      channel =
          FileChannel.open(
              real.resolve(FILE),
              StandardOpenOption.CREATE,
              StandardOpenOption.READ,
              StandardOpenOption.WRITE);
      if (locked(channel)) {
        throw inUse(folder, read(channel));
      }
      channel.truncate(0);
      AtomicFiles.writeFully(
          channel.position(0), ByteBuffer.wrap(holder.getBytes(StandardCharsets.UTF_8)));
      taken = true;
      return new FolderLock(real, channel);
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot take " + folder + " for writing", e);
    } finally {
      if (!taken) {
        release(real, channel);
      }
    }
  }

  /** Whether another process holds it; afterwards this one does if not. */
  private static boolean locked(FileChannel channel) {
    try {
      return channel.tryLock(PLACE, 1, false) == null;
    } catch (OverlappingFileLockException e) {
      // The same file by another path, such as a mount of the folder.
      return true;
    } catch (IOException e) {
      // A file system without locks.
      return false;
    }
  }

  private static String holder(String purpose) {
    ProcessHandle process = ProcessHandle.current();
    String started =
        process
            .info()
            .startInstant()
            .map(instant -> ", started " + instant.truncatedTo(ChronoUnit.SECONDS))
            .orElse("");
    return "process "
        + process.pid()
        + started
        + " ("
        + purpose
        + " since "
        + Instant.now().truncatedTo(ChronoUnit.SECONDS)
        + ")";
  }

  private static String read(FileChannel channel) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(MOST_BYTES);
    while (bytes.hasRemaining() && channel.read(bytes, bytes.position()) > 0) {
      // Until the end of the file or of the buffer.
    }
    String text = StandardCharsets.UTF_8.decode(bytes.flip()).toString().strip();
    return text.isEmpty() ? "another process" : text.replaceAll("\\p{Cntrl}", " ");
  }

  private static FolderInUseException inUse(Path folder, String holder) {
    return new FolderInUseException(
        "the folder "
            + folder
            + " is being written to by "
            + holder
            + "; wait until that has ended, or choose another folder");
  }

  /** Gives the right back; closing again does nothing. */
  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      release(folder, channel);
    }
  }

  private static void release(Path real, FileChannel channel) {
    try {
      if (channel != null) {
        channel.close();
      }
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot release " + real, e);
    } finally {
      if (real != null) {
        HELD.remove(real);
      }
    }
  }
}
