package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** The emulated machine of the kernels' build for the host: its settings and counters. */
final class HostMachine {
  static final Path LIBRARY = Path.of(System.getProperty("rhumb.test.library", "none"));

  private static final MethodHandle SET =
      function("rhumb_host_set", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));
  private static final MethodHandle GET =
      function("rhumb_host_get", FunctionDescriptor.of(JAVA_LONG, ADDRESS));

  private HostMachine() {}

  private static MethodHandle function(String name, FunctionDescriptor descriptor) {
    try {
      MemorySegment library = DynamicLinker.open(LIBRARY.toString());
      return Linker.nativeLinker().downcallHandle(DynamicLinker.symbol(library, name), descriptor);
    } catch (DynamicLinker.LinkException e) {
      throw new AssertionError(e);
    }
  }

  /** Lets this process use the emulated machine, and no other. */
  static void use() {
    Gcc.needsNative();
    System.setProperty(NativeLibrary.SETTING, LIBRARY.toString());
    System.setProperty(Cublas.SETTING, LIBRARY.toString());
  }

  static void set(String name, long value) {
    try (Arena arena = Arena.ofConfined()) {
      if ((int) SET.invokeExact(arena.allocateFrom(name), value) != 0) {
        throw new AssertionError("no setting " + name);
      }
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  static long get(String name) {
    try (Arena arena = Arena.ofConfined()) {
      return (long) GET.invokeExact(arena.allocateFrom(name));
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }
}
