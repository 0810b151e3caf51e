package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The GPU's driver, {@code libcuda.so.1}: found, checked against what the kernels' library needs,
 * and loaded, once for the process.
 *
 * <p>The setting {@code rhumb.cuda.driver} (or {@code RHUMB_CUDA_DRIVER}) names another file, and
 * then nothing else is tried. The kernels' build for the host brings an emulated driver along and
 * takes no other; a build for the GPU takes no emulated one.
 *
 * <p>Any thread may call any method.
 */
public final class CudaDriver {
  /** The setting that names the driver's file. */
  public static final String SETTING = "rhumb.cuda.driver";

  private static volatile CudaDriver loaded;

  private final Path file;
  private final int version;

  private CudaDriver(Path file, int version) {
    this.file = file;
    this.version = version;
  }

  /**
   * The driver, loaded and initialised by the first call that succeeds. It loads the kernels'
   * library first, whose needs the driver has to meet.
   *
   * @throws NativeException of kind {@link Kind#LIBRARY} without the kernels' library, {@link
   *     Kind#NO_DEVICE} without a driver or a GPU, {@link Kind#DRIVER_TOO_OLD}; the message lists
   *     what was tried
   */
  public static synchronized CudaDriver load() {
    if (loaded == null) {
      NativeLibrary library = NativeLibrary.load();
      DriverProbe probe = new DriverProbe(library.build(), library.file());
      Path file = probe.find(probe.candidates());
      LibrarySearch.load(file);
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment version = arena.allocate(JAVA_INT);
        CudaStatus.check(Cuda.cuDriverGetVersion(version), "cuDriverGetVersion");
        loaded = new CudaDriver(file, version.get(JAVA_INT, 0));
      }
    }
    return loaded;
  }

  /** The file it was loaded from. */
  public Path file() {
    return file;
  }

  /** The newest CUDA that the driver serves, such as {@code 13.0}. */
  public String version() {
    return DriverProbe.versionText(version);
  }

  /** The GPUs that this process may use, by ordinal: one or more. */
  public List<CudaDevice> devices() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment count = arena.allocate(JAVA_INT);
      CudaStatus.check(Cuda.cuDeviceGetCount(count), "cuDeviceGetCount");
      List<CudaDevice> devices = new ArrayList<>();
      for (int ordinal = 0; ordinal < count.get(JAVA_INT, 0); ordinal++) {
        devices.add(describe(ordinal, handle(ordinal, arena), arena));
      }
      if (devices.isEmpty()) {
        throw new NativeException(Kind.NO_DEVICE, file + ": " + DriverProbe.NO_DEVICE);
      }
      return List.copyOf(devices);
    }
  }

  /** Whether the calling thread's device takes no more work. */
  static boolean isDeviceLost() {
    return loaded != null && CudaStatus.lost(Cuda.cuStreamQuery(MemorySegment.NULL));
  }

  /** The driver's handle of a device: a number. */
  static int handle(int ordinal, Arena arena) {
    MemorySegment handle = arena.allocate(JAVA_INT);
    CudaStatus.check(Cuda.cuDeviceGet(handle, ordinal), "cuDeviceGet");
    return handle.get(JAVA_INT, 0);
  }

  private static CudaDevice describe(int ordinal, int handle, Arena arena) {
    MemorySegment name = arena.allocate(256);
    CudaStatus.check(Cuda.cuDeviceGetName(name, (int) name.byteSize(), handle), "cuDeviceGetName");
    MemorySegment bytes = arena.allocate(JAVA_LONG);
    CudaStatus.check(Cuda.cuDeviceTotalMem_v2(bytes, handle), "cuDeviceTotalMem_v2");
    int major = attribute(Cuda.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR(), handle, arena);
    int minor = attribute(Cuda.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR(), handle, arena);
    return new CudaDevice(
        ordinal,
        name.getString(0),
        10 * major + minor,
        attribute(Cuda.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT(), handle, arena),
        bytes.get(JAVA_LONG, 0));
  }

  private static int attribute(int attribute, int handle, Arena arena) {
    MemorySegment value = arena.allocate(JAVA_INT);
    CudaStatus.check(Cuda.cuDeviceGetAttribute(value, attribute, handle), "cuDeviceGetAttribute");
    return value.get(JAVA_INT, 0);
  }
}
