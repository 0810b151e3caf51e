package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.rhumb.bindings.DynamicLinker.LinkException;
import dev.rhumb.bindings.LibrarySearch.Candidate;
import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.cuda.Cuda;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Looks for the driver that a kernels' library needs, and initialises it, before the JVM takes it
 * for good.
 *
 * @param build what the kernels' library computes on, such as {@code cuda 13.0} or {@code host}
 * @param library its file
 */
record DriverProbe(String build, Path library) {
  static final String NO_DEVICE =
      "the driver sees no GPU: is there one (nvidia-smi -L), is it hidden by CUDA_VISIBLE_DEVICES,"
          + " was this container started with --gpus all?";

  private static final String HOST = "host";

  private static final FunctionDescriptor OF_INT = FunctionDescriptor.of(JAVA_INT, JAVA_INT);
  private static final FunctionDescriptor OF_POINTER = FunctionDescriptor.of(JAVA_INT, ADDRESS);
  private static final FunctionDescriptor OF_INT_POINTER =
      FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS);

  /** Where to look. */
  List<Candidate> candidates() {
    List<Candidate> setting = LibrarySearch.setting(CudaDriver.SETTING);
    if (!setting.isEmpty()) {
      return setting;
    }
    if (build.equals(HOST)) {
      return List.of(new Candidate("the kernels' build for the host", library.toString()));
    }
    return List.of(
        new Candidate("the system's search path", "libcuda.so.1"),
        new Candidate("WSL's place", "/usr/lib/wsl/lib/libcuda.so.1"),
        new Candidate("some containers' place", "/usr/local/nvidia/lib64/libcuda.so.1"));
  }

  /** The file of the first candidate that serves the kernels' library. */
  Path find(List<Candidate> candidates) {
    return LibrarySearch.find(
        candidates,
        driver -> {
          MemorySegment init = DynamicLinker.symbol(driver, "cuInit");
          String file = DynamicLinker.file(init);
          refuseTheOtherKind(driver, file);
          refuseOlder(driver, file);
          initialise(driver, file);
          return init;
        },
        Kind.NO_DEVICE,
        "No CUDA driver",
        "Install NVIDIA's driver (in a container: start it with --gpus all), or set "
            + CudaDriver.SETTING
            + " (or RHUMB_CUDA_DRIVER) to its libcuda.so.1.");
  }

  /** The emulated driver's device memory is the host's own: kernels for the other would fault. */
  private void refuseTheOtherKind(MemorySegment driver, String file) throws LinkException {
    boolean emulated = DynamicLinker.has(driver, "rhumb_build");
    if (emulated != build.equals(HOST)) {
      throw new LinkException(
          "this driver is "
              + (emulated ? "an emulation for tests" : "for a GPU")
              + ", the kernels' library "
              + library
              + " is built for "
              + build);
    }
    if (emulated && !sameFile(Path.of(file), library)) {
      throw new LinkException("this is not the emulation that the kernels run on, " + library);
    }
  }

  private static boolean sameFile(Path one, Path other) {
    try {
      return Files.isSameFile(one, other);
    } catch (IOException e) {
      return false;
    }
  }

  private void refuseOlder(MemorySegment driver, String file) throws LinkException {
    int needed = needed();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment version = arena.allocate(JAVA_INT);
      int status = call(driver, "cuDriverGetVersion", OF_POINTER, version);
      int there = version.get(JAVA_INT, 0);
      if (status == Cuda.CUDA_SUCCESS() && there < needed) {
        throw new NativeException(
            Kind.DRIVER_TOO_OLD,
            file
                + ": the driver serves CUDA up to "
                + versionText(there)
                + ", the kernels' library "
                + library
                + " is built for CUDA "
                + toolkit()
                + ". Install a newer driver (for CUDA "
                + versionText(needed)
                + " or later), or build native/ with an older CUDA toolkit.");
      }
    }
  }

  /**
   * The oldest version that serves the kernels, in the driver's counting: 13000 for 13.0. Within a
   * major version a driver runs what later toolkits built (CUDA's minor version compatibility).
   */
  private int needed() {
    return 1000 * Integer.parseInt(toolkit().split("\\.")[0]);
  }

  /** The version of the toolkit that built the kernels, or that stands for it. */
  private String toolkit() {
    return build.equals(HOST) ? "13.0" : build.substring("cuda ".length());
  }

  private static void initialise(MemorySegment driver, String file) throws LinkException {
    // Kept open for ever: a driver that has begun may have threads.
    DynamicLinker.open(file);
    int status = call(driver, "cuInit", OF_INT, 0);
    if (status != Cuda.CUDA_SUCCESS()) {
      throw new NativeException(
          Kind.NO_DEVICE, file + ": cuInit: " + text(driver, status) + ".\n" + mend(status));
    }
  }

  private static String mend(int status) {
    if (status == Cuda.CUDA_ERROR_NO_DEVICE()) {
      return "In other words, " + NO_DEVICE;
    }
    if (status == Cuda.CUDA_ERROR_STUB_LIBRARY()) {
      return "This is the toolkit's stub for linking: take its folder off LD_LIBRARY_PATH, or set "
          + CudaDriver.SETTING
          + " to the driver's own libcuda.so.1.";
    }
    if (status == Cuda.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH()) {
      return "The kernel's module and this library are of different drivers: restart the machine"
          + " after an update, or mount the machine's driver into the container.";
    }
    if (status == Cuda.CUDA_ERROR_SYSTEM_NOT_READY()) {
      return "Start nvidia-fabricmanager, or wait until it runs.";
    }
    if (status == Cuda.CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE()) {
      return "Take CUDA's forward compatibility package (cuda-compat) off LD_LIBRARY_PATH: this GPU"
          + " does not support it.";
    }
    return "Does nvidia-smi run? If not, load the driver's kernel modules (nvidia, nvidia_uvm) or"
        + " restart the machine.";
  }

  private static String text(MemorySegment driver, int status) throws LinkException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocate(ADDRESS);
      MemorySegment name = arena.allocate(ADDRESS);
      call(driver, "cuGetErrorString", OF_INT_POINTER, status, words);
      call(driver, "cuGetErrorName", OF_INT_POINTER, status, name);
      return CudaStatus.text(
          status,
          DynamicLinker.text(words.get(ADDRESS, 0)),
          DynamicLinker.text(name.get(ADDRESS, 0)));
    }
  }

  /** Calls a function of a library that is not loaded yet. */
  private static int call(
      MemorySegment library, String name, FunctionDescriptor descriptor, Object... arguments)
      throws LinkException {
    MemorySegment symbol = DynamicLinker.symbol(library, name);
    try {
      return (int)
          Linker.nativeLinker().downcallHandle(symbol, descriptor).invokeWithArguments(arguments);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  static String versionText(int version) {
    return version / 1000 + "." + version % 1000 / 10;
  }
}
