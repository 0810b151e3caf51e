package dev.rhumb.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.bindings.LibrarySearch.Candidate;
import dev.rhumb.bindings.NativeException.Kind;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Drivers that are missing, too old, broken or of the other kind, and one that is good. */
class DriverProbeTest {
  private static final Path KERNELS = Path.of("/opt/rhumb/librhumb.so");
  private static final DriverProbe GPU = new DriverProbe("cuda 13.0", KERNELS);

  @TempDir Path folder;

  private static NativeException refusal(DriverProbe probe, Path driver) {
    return assertThrows(
        NativeException.class, () -> probe.find(List.of(new Candidate("test", driver.toString()))));
  }

  private static void assertHas(String text, String... parts) {
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "no \"" + part + "\" in: " + text);
    }
  }

  /** A driver of a version whose cuInit returns a status. */
  private Path driver(int version, int status) throws IOException, InterruptedException {
    return Gcc.compiled(
        folder,
        "libcuda-" + version + "-" + status,
        """
        int cuInit(unsigned flags) { return flags ? 1 : STATUS; }
        int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
        int cuGetErrorName(int status, const char **text) { *text = "CUDA_ERROR_NAME"; return 0; }
        int cuGetErrorString(int status, const char **text) { *text = "words of it"; return 0; }
        """
            .replace("STATUS", "" + status)
            .replace("VERSION", "" + version));
  }

  @Test
  void withoutADriverEveryPlaceIsListed() {
    Path one = folder.resolve("libcuda.so.1");
    NativeException e = refusal(GPU, one);
    assertEquals(Kind.NO_DEVICE, e.kind());
    assertHas(
        e.getMessage(),
        "No CUDA driver. Tried:\n  test: " + one + ": ",
        one + ": cannot open shared object file: No such file or directory",
        "Install NVIDIA's driver",
        "rhumb.cuda.driver",
        "RHUMB_CUDA_DRIVER");
  }

  @Test
  void theSystemsPlacesAreLookedAt() {
    assertEquals(
        List.of(
            "libcuda.so.1",
            "/usr/lib/wsl/lib/libcuda.so.1",
            "/usr/local/nvidia/lib64/libcuda.so.1"),
        GPU.candidates().stream().map(Candidate::library).toList());
  }

  @Test
  void theHostsBuildIsItsOwnDriver() {
    DriverProbe probe = new DriverProbe("host", KERNELS);
    assertEquals(
        List.of(KERNELS.toString()), probe.candidates().stream().map(Candidate::library).toList());
  }

  @Test
  void aNewerDriverFits() throws IOException, InterruptedException {
    for (int version : new int[] {13_000, 13_010, 14_000}) {
      Path good = driver(version, 0);
      assertEquals(good, GPU.find(List.of(new Candidate("test", good.toString()))));
    }
  }

  @Test
  void anOlderDriverOfTheSameMajorVersionFits() throws IOException, InterruptedException {
    Path good = driver(13_000, 0);
    DriverProbe later = new DriverProbe("cuda 13.2", KERNELS);
    assertEquals(good, later.find(List.of(new Candidate("test", good.toString()))));
    NativeException e = refusal(later, driver(12_090, 0));
    assertEquals(Kind.DRIVER_TOO_OLD, e.kind());
    assertHas(e.getMessage(), "is built for CUDA 13.2", "(for CUDA 13.0 or later)");
  }

  @Test
  void anOlderDriverIsRefusedByBothVersions() throws IOException, InterruptedException {
    Path old = driver(12_040, 0);
    NativeException e = refusal(GPU, old);
    assertEquals(Kind.DRIVER_TOO_OLD, e.kind());
    assertHas(
        e.getMessage(),
        old.toString(),
        "serves CUDA up to 12.4",
        KERNELS + " is built for CUDA 13.0",
        "Install a newer driver");
  }

  @ParameterizedTest
  @CsvSource({
    "34, toolkit's stub",
    "100, CUDA_VISIBLE_DEVICES",
    "802, fabricmanager",
    "803, restart",
    "804, cuda-compat",
    "999, nvidia-smi"
  })
  void aDriverThatDoesNotStartSaysWhyAndWhatToDo(int status, String mend)
      throws IOException, InterruptedException {
    Path broken = driver(13_000, status);
    NativeException e = refusal(GPU, broken);
    assertEquals(Kind.NO_DEVICE, e.kind());
    assertHas(
        e.getMessage(),
        broken + ": cuInit: status " + status + ", words of it (CUDA_ERROR_NAME).",
        mend);
  }

  @Test
  void aLibraryThatIsNoDriverIsRefused() throws IOException, InterruptedException {
    Path other = Gcc.compiled(folder, "stranger", "int stranger(void) { return 1; }");
    assertHas(refusal(GPU, other).getMessage(), "undefined symbol: cuInit");
  }

  @Test
  void aDriverOfTheOtherKindIsRefused() throws IOException, InterruptedException {
    Path real = driver(13_000, 0);
    assertHas(
        refusal(new DriverProbe("host", KERNELS), real).getMessage(),
        "this driver is for a GPU, the kernels' library " + KERNELS + " is built for host");
    Path emulated =
        Gcc.compiled(
            folder,
            "emulated",
            "int cuInit(unsigned f) { return 0; } const char *rhumb_build(void) { return \"host\"; }");
    assertHas(
        refusal(GPU, emulated).getMessage(),
        "this driver is an emulation for tests",
        "built for cuda 13.0");
    assertHas(
        refusal(new DriverProbe("host", real), emulated).getMessage(),
        "not the emulation that the kernels run on");
  }
}
