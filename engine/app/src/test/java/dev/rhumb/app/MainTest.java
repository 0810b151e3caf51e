package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MainTest {
  @Test
  void noCommandIsWrongUsageAndListsTheCommands() {
    Cli cli = Cli.run();
    assertEquals(2, cli.status());
    assertEquals("", cli.out());
    assertTrue(cli.err().contains("prepare"), cli.err());
  }

  @Test
  void unknownCommandOffersTheNearest() {
    Cli cli = Cli.run("prepar");
    assertEquals(2, cli.status());
    assertTrue(cli.err().contains("Did you mean: rhumb prepare"), cli.err());
  }

  @Test
  void unknownOptionIsWrongUsage() {
    Cli cli = Cli.run("doctor", "--colour");
    assertEquals(2, cli.status());
    assertEquals("", cli.out());
    assertTrue(cli.err().contains("--colour"), cli.err());
  }

  @Test
  void helpGoesToStandardOutput() {
    Cli cli = Cli.run("prepare", "--help");
    assertEquals(0, cli.status());
    assertTrue(cli.out().contains("--min-length"), cli.out());
    assertEquals("", cli.err());
  }

  @Test
  void doctorNamesEveryBackendAndWhatMendsIt() {
    Cli cli = Cli.run("doctor");
    assertEquals(0, cli.status());
    for (String backend : new String[] {"scalar", "simd", "cuda"}) {
      assertTrue(cli.out().contains("\n  " + backend), cli.out());
    }
    assertTrue(cli.out().contains("in use: "), cli.out());
    assertTrue(cli.out().contains("RHUMB_DATA"), cli.out());
  }

  @Test
  void doctorInJson() {
    Cli cli = Cli.run("doctor", "--json");
    assertEquals(0, cli.status());
    assertEquals(3, cli.json().objects("backends").size());
    assertTrue(cli.json().integer("cores", 1, 1 << 20) >= 1);
  }

  @Test
  void failureIsOneLineWithoutStackTrace() {
    Cli cli = Cli.run("prepare", "--data", "no/such/folder");
    assertEquals(1, cli.status());
    assertEquals(1, cli.err().lines().count(), cli.err());
    assertTrue(cli.err().startsWith("rhumb: "), cli.err());
  }

  @Test
  void aFileInThePlaceOfAFolderIsToldWhereItGoes(@TempDir Path folder) throws Exception {
    Path file = Files.writeString(folder.resolve("log.csv"), "user,item\n");
    Cli cli = Cli.run("train", "--data", file);
    assertEquals(1, cli.status());
    assertTrue(cli.err().contains("rhumb prepare --interactions " + file), cli.err());
  }

  @Test
  void failureShowsItsStackTraceOnRequestAlone() {
    Cli cli = Cli.run("prepare", "--data", "no/such/folder", "--stacktrace");
    assertEquals(1, cli.status());
    assertTrue(cli.err().contains("\tat dev.rhumb.app"), cli.err());
  }

  @Test
  void failureInJsonIsStillOneObject() {
    Cli cli = Cli.run("prepare", "--data", "no/such/folder", "--json");
    assertEquals(1, cli.status());
    assertFalse(cli.json().string("error").isEmpty());
  }
}
