package dev.rhumb.bindings;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * The system's dynamic linker, called directly: unlike {@link java.lang.foreign.SymbolLookup} it
 * says why a library does not load, and lets one be looked at before the JVM takes it for good.
 *
 * <p>Every method may be called by any thread; a reason of failure belongs to the calling thread.
 */
final class DynamicLinker {
  private static final int RTLD_NOW = 2;

  // Linked before the first use: linking one handle between a failing call and dlerror() might
  // itself load something and overwrite the reason.
  private static final MethodHandle DLOPEN =
      handle(
          "dlopen",
          FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
  private static final MethodHandle DLSYM =
      handle(
          "dlsym",
          FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.ADDRESS));
  private static final MethodHandle DLADDR =
      handle(
          "dladdr",
          FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS));
  private static final MethodHandle DLCLOSE =
      handle("dlclose", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));
  private static final MethodHandle DLERROR =
      handle("dlerror", FunctionDescriptor.of(ValueLayout.ADDRESS));

  private DynamicLinker() {}

  private static MethodHandle handle(String name, FunctionDescriptor descriptor) {
    Linker linker = Linker.nativeLinker();
    return linker
        .defaultLookup()
        .find(name)
        .map(address -> linker.downcallHandle(address, descriptor))
        .orElse(null);
  }

  /** Whether this system has such a linker (Linux and macOS do, Windows does not). */
  static boolean present() {
    return DLOPEN != null && DLSYM != null && DLADDR != null && DLCLOSE != null && DLERROR != null;
  }

  /**
   * Loads a library, without giving its symbols to others.
   *
   * @param library a path, or a bare name to be looked for in the system's own places
   * @return its handle; whoever opened it {@linkplain #close closes} it
   * @throws LinkException with dlerror's text
   */
  static MemorySegment open(String library) throws LinkException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment handle =
          (MemorySegment) DLOPEN.invokeExact(arena.allocateFrom(library), RTLD_NOW);
      return orFail(handle);
    } catch (LinkException | RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  /**
   * A symbol's address.
   *
   * @throws LinkException with dlerror's text, where the library has none of that name
   */
  static MemorySegment symbol(MemorySegment library, String name) throws LinkException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment address = (MemorySegment) DLSYM.invokeExact(library, arena.allocateFrom(name));
      return orFail(address);
    } catch (LinkException | RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  /** Whether a library has a symbol. */
  static boolean has(MemorySegment library, String name) {
    try {
      symbol(library, name);
      return true;
    } catch (LinkException e) {
      return false;
    }
  }

  /** The file that the library of a symbol was loaded from. */
  static String file(MemorySegment symbol) throws LinkException {
    try (Arena arena = Arena.ofConfined()) {
      // struct Dl_info starts with the file's name and holds three pointers more.
      MemorySegment info = arena.allocate(4 * ValueLayout.ADDRESS.byteSize(), 8);
      if ((int) DLADDR.invokeExact(symbol, info) == 0) {
        throw new LinkException("dladdr does not know the library it found");
      }
      return text(info.get(ValueLayout.ADDRESS, 0));
    } catch (LinkException | RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  /** Gives a handle back. The library leaves the process when no other handle of it is open. */
  static void close(MemorySegment library) {
    try {
      int status = (int) DLCLOSE.invokeExact(library);
      assert status == 0;
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static MemorySegment orFail(MemorySegment result) throws Throwable {
    if (result.equals(MemorySegment.NULL)) {
      throw new LinkException(text((MemorySegment) DLERROR.invokeExact()));
    }
    return result;
  }

  /** A C string of unknown length. */
  static String text(MemorySegment string) {
    return string.equals(MemorySegment.NULL)
        ? "no reason given"
        : string.reinterpret(Long.MAX_VALUE).getString(0);
  }

  /** A library or symbol that did not load; the message is the linker's. */
  static final class LinkException extends Exception {
    private static final long serialVersionUID = 1L;

    LinkException(String message) {
      super(message);
    }
  }
}
