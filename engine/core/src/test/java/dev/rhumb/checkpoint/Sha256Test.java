package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;

class Sha256Test {
  /** Whatever the pieces, the digest is of the bytes that the class states. */
  @Test
  void isOfTheBytesThatAreStated() throws NoSuchAlgorithmException {
    Random random = new Random(4);
    for (int round = 0; round < 50; round++) {
      Sha256 found = new Sha256();
      MessageDigest expected = MessageDigest.getInstance("SHA-256");
      for (int piece = random.nextInt(3_000); piece > 0; piece--) {
        switch (random.nextInt(20)) {
          case 0 -> {
            byte[] bytes = new byte[random.nextInt(20_000)];
            random.nextBytes(bytes);
            found.add(MemorySegment.ofArray(bytes));
            expected.update(number(bytes.length));
            expected.update(bytes);
          }
          case 1, 2, 3, 4 -> {
            String text = "\u00E9".repeat(random.nextInt(piece % 100 == 0 ? 20_000 : 20));
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            found.add(text);
            expected.update(number(bytes.length));
            expected.update(bytes);
          }
          default -> {
            long value = random.nextLong();
            found.add(value);
            expected.update(number(value));
          }
        }
      }
      assertEquals(HexFormat.of().formatHex(expected.digest()), found.hex());
      assertEquals(HexFormat.of().formatHex(expected.digest()), found.hex(), "over nothing");
    }
  }

  private static byte[] number(long value) {
    return ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
  }
}
