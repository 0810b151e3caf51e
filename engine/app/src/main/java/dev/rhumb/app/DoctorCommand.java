package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.kernels.BackendReport;
import dev.rhumb.kernels.Kernels;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Says what runs on this machine, and why not the rest. */
@picocli.CommandLine.Command(name = "doctor", description = "What runs here, and why not the rest.")
final class DoctorCommand extends Command {
  @Override
  Map<String, Object> work(Console console) {
    Runtime.Version version = Runtime.version();
    String java = version + " (" + System.getProperty("java.vendor") + ")";
    int cores = Runtime.getRuntime().availableProcessors();
    double memory = gibibytes(machineMemory());
    double heap = gibibytes(Runtime.getRuntime().maxMemory());
    console.say("java     %s", java);
    console.say(
        "machine  %s %s, %d cores, %.1f GiB of memory, Java heap up to %.1f GiB",
        System.getProperty("os.name"), System.getProperty("os.arch"), cores, memory, heap);

    console.heading("backends");
    List<Object> backends = new ArrayList<>();
    for (BackendReport report : Kernels.report()) {
      console.say(
          "  %-6s  %s  %s",
          report.backend().label(), report.available() ? "runs " : "no:  ", report.detail());
      backends.add(
          map(
              "backend", report.backend().label(),
              "available", report.available(),
              "detail", report.detail()));
    }
    String chosen;
    String refused = null;
    try (Kernels kernels = Kernels.open()) {
      chosen = kernels.describe();
      console.say("  in use: %s", chosen);
    } catch (RuntimeException e) {
      chosen = null;
      refused = e.getMessage();
      console.say("  in use: none, since %s", refused);
    }

    console.heading("data");
    List<Object> data = new ArrayList<>();
    List<DataFolders.Place> places = DataFolders.places();
    if (places.stream().noneMatch(place -> place.name().equals("RHUMB_DATA"))) {
      console.say("  RHUMB_DATA is not set; it may name a folder of data sets");
    }
    for (DataFolders.Place place : places) {
      String found =
          place.folders().isEmpty()
              ? Files.isDirectory(place.path()) ? "no data there" : "no such folder"
              : String.join(
                  ", ",
                  place.folders().stream().map(Path::getFileName).map(Path::toString).toList());
      console.say("  %s (%s): %s", place.name(), place.path(), found);
      data.add(
          map(
              "place", place.name(),
              "path", place.path().toString(),
              "found", place.folders().stream().map(Path::toString).toList()));
    }
    return map(
        "java", java,
        "os", System.getProperty("os.name") + " " + System.getProperty("os.arch"),
        "cores", cores,
        "memory_gib", memory,
        "heap_gib", heap,
        "backends", backends,
        "in_use", chosen,
        "refused", refused,
        "data", data);
  }

  private static long machineMemory() {
    return ManagementFactory.getOperatingSystemMXBean()
            instanceof com.sun.management.OperatingSystemMXBean system
        ? system.getTotalMemorySize()
        : 0;
  }

  private static double gibibytes(long bytes) {
    return bytes / (double) (1 << 30);
  }
}
