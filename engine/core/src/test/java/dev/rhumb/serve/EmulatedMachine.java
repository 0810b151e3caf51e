package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;

/** The settings and counters of CUDA's emulation, by the names of native/host/rhumb_host.h. */
public final class EmulatedMachine {
  private static final SymbolLookup LIBRARY =
      SymbolLookup.libraryLookup(Path.of(System.getProperty("rhumb.cuda.library")), Arena.global());

  public static void set(String name, long value) {
    try (Arena arena = Arena.ofConfined()) {
      int status =
          (int)
              Linker.nativeLinker()
                  .downcallHandle(
                      LIBRARY.findOrThrow("rhumb_host_set"),
                      FunctionDescriptor.of(
                          ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG))
                  .invokeExact(arena.allocateFrom(name), value);
      assertEquals(0, status, name);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  public static long get(String name) {
    try (Arena arena = Arena.ofConfined()) {
      return (long)
          Linker.nativeLinker()
              .downcallHandle(
                  LIBRARY.findOrThrow("rhumb_host_get"),
                  FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS))
              .invokeExact(arena.allocateFrom(name));
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private EmulatedMachine() {}
}
