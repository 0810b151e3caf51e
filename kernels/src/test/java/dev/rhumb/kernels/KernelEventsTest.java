package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a flight recording holds of the kernels. */
class KernelEventsTest {
  private static final String KERNEL = "rhumb.Kernel";

  @TempDir Path folder;

  private static void launch() {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Buffer x = kernels.allocate(DType.F32, 6);
        Buffer y = kernels.allocate(DType.F32, 4);
        Buffer item = kernels.allocate(DType.I32, 1)) {
      kernels.dense().gemm(false, true, 2, 2, 3, 1, x, 3, x, 3, 0, y, 2);
      kernels.dense().add(4, 1, y, 1, y, y);
      kernels.ranking().topItems(1, 3, 2, x, 3, x, 1, null, null, item, y);
    }
  }

  private List<RecordedEvent> recorded(Recording recording) throws IOException {
    recording.stop();
    Path file = folder.resolve("kernels.jfr");
    recording.dump(file);
    return RecordingFile.readAllEvents(file).stream()
        .filter(event -> event.getEventType().getName().equals(KERNEL))
        .toList();
  }

  @Test
  void aLaunchIsAnEventWithItsNameAndRows() throws IOException {
    try (Recording recording = new Recording()) {
      recording.enable(KERNEL).withThreshold(Duration.ZERO);
      recording.start();
      launch();
      List<RecordedEvent> events = recorded(recording);
      assertEquals(
          List.of("gemm 2", "add 4", "topItems 1"),
          events.stream().map(e -> e.getString("name") + " " + e.getLong("rows")).toList());
      assertTrue(events.stream().allMatch(e -> e.getDuration().toNanos() > 0), events.toString());
    }
  }

  @Test
  void launchesBelowTheThresholdAreLeftOut() throws IOException {
    try (Recording recording = new Recording()) {
      recording.enable(KERNEL).withThreshold(Duration.ofHours(1));
      recording.start();
      launch();
      assertEquals(List.of(), recorded(recording));
    }
  }

  @Test
  void nothingBeginsWhileNobodyRecordsIt() {
    assertNull(KernelEvents.begin());
    try (Recording recording = new Recording()) {
      recording.disable(KERNEL);
      recording.start();
      assertNull(KernelEvents.begin());
    }
    assertNull(KernelEvents.begin());
  }
}
