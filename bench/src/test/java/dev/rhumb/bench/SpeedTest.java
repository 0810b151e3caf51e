package dev.rhumb.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.bench.speed.Group;
import dev.rhumb.bench.speed.Limits;
import dev.rhumb.bench.speed.Rhumb;
import dev.rhumb.bench.speed.SpeedCommand;
import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Workload;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Every workload, once, at tiny sizes; no time is asserted. */
class SpeedTest {
  @TestFactory
  List<DynamicTest> everyWorkloadAnswersRightAndFreesItsMemory() {
    List<DynamicTest> tests = new ArrayList<>();
    for (Group group : Group.values()) {
      for (Group.Item item : group.items(Group.Scale.TINY)) {
        Task task = item.task();
        tests.add(
            DynamicTest.dynamicTest(
                task.work() + ", " + task.shape(),
                () -> {
                  long live = Buffer.live();
                  try (Workload workload = new Rhumb().prepare(task, item.threads())) {
                    for (int run = 0; run < 3; run++) {
                      workload.before();
                      workload.run();
                    }
                    float[] answer = workload.answer();
                    task.check(answer);
                    answer[0] = Float.NaN;
                    assertThrows(IllegalStateException.class, () -> task.check(answer));
                  }
                  assertEquals(live, Buffer.live(), "buffers left");
                }));
      }
    }
    return tests;
  }

  @Test
  void everyKernelRunsOnTheScalarBackend() {
    for (Group.Item item : Group.KERNEL.items(Group.Scale.TINY)) {
      try (Workload workload = new Rhumb(Backend.SCALAR).prepare(item.task(), 1)) {
        workload.run();
        item.task().check(workload.answer());
      }
    }
  }

  @Test
  void limitsAreWorkloadsToo() {
    for (Group.Item item : Group.limits(Group.Scale.TINY)) {
      try (Workload workload = new Limits().prepare(item.task(), item.threads())) {
        workload.run();
        item.task().check(workload.answer());
      }
    }
  }

  @Test
  void theCommandRunsProcessesAndWritesBothFiles(@TempDir Path folder) throws Exception {
    assertEquals(
        0,
        SpeedCommand.run(
            "kernel", "--quick", "--only", "gemm", "--results", folder.toString(), "--json"));
    String table = Files.readString(folder.resolve("speed-kernel.md"));
    assertTrue(table.contains("| GEMM | linear 33 x 17 x 19 | 1 |"), table);
    List<?> objects = (List<?>) Json.read(folder.resolve("speed-kernel.json"));
    Map<?, ?> first = (Map<?, ?>) objects.getFirst();
    assertEquals("median", first.get("metric"));
    assertTrue((double) first.get("value") > 0);
  }

  @Test
  void wrongUsageIsTold() {
    assertEquals(2, SpeedCommand.run("kernels"));
    assertEquals(2, SpeedCommand.run("kernel", "--forks", "few"));
    assertEquals(2, SpeedCommand.run("--only", "no such work"));
  }
}
