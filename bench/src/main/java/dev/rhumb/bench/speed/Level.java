package dev.rhumb.bench.speed;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where memory is read from. */
enum Level {
  /** First cache, of each core. */
  L1(32),
  /** Second cache, of each core. */
  L2(1024),
  /** Third cache, shared. */
  L3(16_384),
  /** Memory. */
  DRAM(0);

  private static final int FAR = 1 << 19;

  private final int assumed;

  Level(int assumed) {
    this.assumed = assumed;
  }

  /** Its size, as Linux has it or else a usual one. */
  private int size() {
    for (int index = 0; index < 8; index++) {
      Path cache = Path.of("/sys/devices/system/cpu/cpu0/cache/index" + index);
      try {
        if (Files.readString(cache.resolve("level")).strip().equals(name().substring(1))
            && !Files.readString(cache.resolve("type")).startsWith("Instr")) {
          String size = Files.readString(cache.resolve("size")).strip();
          if (size.matches("\\d+K")) {
            return Integer.parseInt(size.substring(0, size.length() - 1));
          }
        }
      } catch (IOException e) {
        break; // No such description here.
      }
    }
    return assumed;
  }

  /**
   * What each thread reads over and over to measure it: half of a cache, but of the shared one four
   * times the second, or an eighth; of memory half a GiB.
   */
  int kilobytes(int threads) {
    return switch (this) {
      case L1, L2 -> size() / 2;
      case L3 -> Math.max(4 * L2.size(), size() / 8) / threads;
      case DRAM -> FAR / threads;
    };
  }

  /** Where so many bytes lie that a run goes through again and again. */
  static Level of(double bytes, int threads) {
    if (bytes / threads <= 1024.0 * L1.size()) {
      return L1;
    }
    if (bytes / threads <= 1024.0 * L2.size()) {
      return L2;
    }
    return bytes <= 1024.0 * L3.size() ? L3 : DRAM;
  }
}
