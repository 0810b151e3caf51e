package dev.rhumb.kernels;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * Memory between two pages that nobody may touch: one byte read or written past either end kills
 * the process instead of passing unseen. Linux only.
 */
final class GuardedPages implements AutoCloseable {
  private static final int PROT_NONE = 0;
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_PRIVATE_ANONYMOUS = 0x22;

  private static final MethodHandle MMAP =
      handle(
          "mmap",
          FunctionDescriptor.of(
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_LONG));
  private static final MethodHandle MPROTECT =
      handle(
          "mprotect",
          FunctionDescriptor.of(
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_LONG,
              ValueLayout.JAVA_INT));
  private static final MethodHandle MUNMAP =
      handle(
          "munmap",
          FunctionDescriptor.of(
              ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG));
  private static final long PAGE = pageBytes();

  private final long base;
  private final long inner;

  /** Maps whole pages for at least {@code bytes}. */
  GuardedPages(long bytes) {
    inner = (bytes + PAGE - 1) / PAGE * PAGE;
    try {
      base =
          (long) MMAP.invokeExact(0L, inner + 2 * PAGE, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0L);
      if (base == -1) {
        throw new IllegalStateException("mmap of " + inner + " bytes failed");
      }
      if (inner > 0 && (int) MPROTECT.invokeExact(base + PAGE, inner, PROT_READ_WRITE) != 0) {
        throw new IllegalStateException("mprotect of " + inner + " bytes failed");
      }
    } catch (RuntimeException e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  /** The accessible pages, zeroed. */
  MemorySegment pages() {
    return MemorySegment.ofAddress(base + PAGE).reinterpret(inner);
  }

  @Override
  public void close() {
    try {
      if ((int) MUNMAP.invokeExact(base, inner + 2 * PAGE) != 0) {
        throw new IllegalStateException("munmap failed");
      }
    } catch (RuntimeException e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static long pageBytes() {
    try {
      MethodHandle size = handle("getpagesize", FunctionDescriptor.of(ValueLayout.JAVA_INT));
      return (int) size.invokeExact();
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static MethodHandle handle(String name, FunctionDescriptor type) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), type);
  }
}
