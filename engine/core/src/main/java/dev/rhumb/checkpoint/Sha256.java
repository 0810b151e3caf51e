package dev.rhumb.checkpoint;

import dev.rhumb.kernels.Buffer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * SHA-256 over numbers (little-endian int64), strings (the count of their UTF-8 bytes and those
 * bytes), memory and tensors (the count of their bytes and those bytes). One thread at a time.
 */
public final class Sha256 {
  private static final long STAGING_BYTES = 1 << 20;

  private final MessageDigest digest;
  // Numbers and strings on their way to the digest, which is slow at taking few bytes.
  private final ByteBuffer small = ByteBuffer.allocate(1 << 13).order(ByteOrder.LITTLE_ENDIAN);

  /** Over nothing yet. */
  public Sha256() {
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }

  /** Adds a number. */
  public Sha256 add(long value) {
    room(Long.BYTES);
    small.putLong(value);
    return this;
  }

  /** Adds a string. */
  public Sha256 add(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    add(bytes.length);
    if (room(bytes.length)) {
      small.put(bytes);
    } else {
      digest.update(bytes);
    }
    return this;
  }

  /** Adds the content of host memory. */
  public Sha256 add(MemorySegment memory) {
    add(memory.byteSize());
    pass();
    for (long at = 0; at < memory.byteSize(); at += STAGING_BYTES) {
      long bytes = Math.min(STAGING_BYTES, memory.byteSize() - at);
      digest.update(memory.asSlice(at, bytes).asByteBuffer());
    }
    return this;
  }

  /** Adds the content of a buffer on any device. */
  public Sha256 add(Buffer data) {
    int bytes = data.dtype().bytes();
    add(data.count() * bytes);
    pass();
    long most = STAGING_BYTES / bytes;
    try (Arena arena = Arena.ofConfined()) {
      Buffer all = Buffer.wrap(data.dtype(), arena.allocate(STAGING_BYTES, Buffer.ALIGNMENT));
      for (long done = 0; done < data.count(); done += most) {
        long n = Math.min(most, data.count() - done);
        Buffer part = all.slice(0, n);
        part.copyFrom(data.slice(done, n));
        digest.update(part.segment().asByteBuffer());
      }
    }
    return this;
  }

  /** The digest in hexadecimal; afterwards this object is over nothing again. */
  public String hex() {
    pass();
    return HexFormat.of().formatHex(digest.digest());
  }

  /** Passes on what is gathered if so many bytes have no room; false if they never have. */
  private boolean room(int bytes) {
    if (small.remaining() < bytes) {
      pass();
    }
    return small.remaining() >= bytes;
  }

  private void pass() {
    digest.update(small.flip());
    small.clear();
  }
}
