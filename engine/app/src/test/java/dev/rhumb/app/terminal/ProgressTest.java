package dev.rhumb.app.terminal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;

class ProgressTest {
  @Test
  void tellsTheShareDoneAndTheTimeLeft() {
    Progress progress = new Progress(null, "work", 200);
    assertEquals(
        "work [######..................]  25 % 0:30 left loss 2.5",
        progress.line(50, 10, "loss 2.5"));
    assertEquals("work [........................]   0 %", progress.line(0, 10, ""));
    assertEquals("work [########################] 100 % 0:00 left", progress.line(200, 10, ""));
    assertEquals("work [........................]   1 % 2:45:00 left", progress.line(2, 100, ""));
  }

  @Test
  void leavesNothingOnTheTerminal() {
    StringWriter terminal = new StringWriter();
    try (Progress progress = new Progress(new PrintWriter(terminal), "work", 10)) {
      progress.at(1, "");
    }
    assertFalse(terminal.toString().contains("\n"));
    assertEquals(
        "\r\u001b[K", terminal.toString().substring(terminal.toString().lastIndexOf('\r')));
  }
}
