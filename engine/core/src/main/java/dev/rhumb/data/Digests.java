package dev.rhumb.data;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * SHA-256, in hexadecimal, of the parts of a dataset, apart so that a damaged folder can name the
 * part. What is hashed: numbers as little-endian int64, strings as the number of their UTF-8 bytes
 * and those bytes, lists with their count first; the sequences are offsets (int64) and items
 * (int32), the times int64.
 *
 * @param times null where the dataset keeps none
 */
record Digests(String items, String users, String sequences, String times) {
  private static final int CHUNK = 1 << 20;

  static Digests of(Dataset d) {
    Hash items = new Hash();
    Catalogue catalogue = d.catalogue();
    items.add(catalogue.items());
    for (int item = 1; item <= catalogue.items(); item++) {
      items.add(catalogue.id(item));
      items.add(catalogue.givenTitle(item));
      var attributes = catalogue.attributes().namesOf(item);
      items.add(attributes.size());
      attributes.forEach(items::add);
    }
    Hash users = new Hash();
    users.add(d.users());
    for (int user = 0; user < d.users(); user++) {
      users.add(d.userId(user));
      users.add(d.userTime(user));
    }
    Hash sequences = new Hash();
    sequences.add(d.offsets());
    sequences.add(d.sequenceItems());
    Hash times = new Hash();
    if (d.hasTimes()) {
      times.add(d.times());
    }
    return new Digests(
        items.hex(), users.hex(), sequences.hex(), d.hasTimes() ? times.hex() : null);
  }

  /** The hash over items, users and sequences. */
  String fingerprint() {
    Hash all = new Hash();
    all.add(items);
    all.add(users);
    all.add(sequences);
    return all.hex();
  }

  private static final class Hash {
    private final MessageDigest sha;
    private final ByteBuffer number = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);

    Hash() {
      try {
        sha = MessageDigest.getInstance("SHA-256");
      } catch (NoSuchAlgorithmException e) {
        throw new AssertionError("every Java platform has SHA-256", e);
      }
    }

    void add(long value) {
      sha.update(number.clear().putLong(value).flip());
    }

    void add(String text) {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      add(bytes.length);
      sha.update(bytes);
    }

    void add(MemorySegment memory) {
      add(memory.byteSize());
      for (long at = 0; at < memory.byteSize(); at += CHUNK) {
        sha.update(memory.asSlice(at, Math.min(CHUNK, memory.byteSize() - at)).asByteBuffer());
      }
    }

    String hex() {
      return HexFormat.of().formatHex(sha.digest());
    }
  }
}
