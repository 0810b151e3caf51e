package dev.rhumb.app;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.kernels.Settings;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.StateDictImport;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.TypeConversionException;

/** The command line {@code rhumb}. Exit status: 0 good, 1 the work failed, 2 wrong usage. */
@Command(
    name = "rhumb",
    description = "Sequential recommendation with interpretable, steerable features.",
    subcommands = {
      DemoCommand.class,
      DoctorCommand.class,
      PrepareCommand.class,
      TrainCommand.class,
      ImportModelCommand.class,
      EvaluateCommand.class,
      SaeCommand.class,
      ExplainCommand.class,
      SteerCommand.class,
      RecommendCommand.class
    },
    mixinStandardHelpOptions = true,
    scope = ScopeType.INHERIT,
    version = "rhumb 0.1.0",
    sortOptions = false,
    usageHelpAutoWidth = true,
    footer = {
      "",
      "The launcher adds: bench (the benchmarks) and test (the whole test suite).",
      "'rhumb COMMAND --help' tells more. Settings: RHUMB_BACKEND, RHUMB_THREADS, RHUMB_DATA."
    })
public final class Main implements Runnable {
  private static final int FAILED = 1;
  private static final int WRONG_USAGE = 2;

  @picocli.CommandLine.Spec private CommandLine.Model.CommandSpec spec;

  private Main() {}

  /** Runs a command and ends the process with its exit status. */
  public static void main(String[] args) {
    PrintWriter out = new PrintWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
    PrintWriter err =
        new PrintWriter(new OutputStreamWriter(System.err, StandardCharsets.UTF_8), true);
    int status = run(out, err, args);
    out.flush();
    err.flush();
    System.exit(status);
  }

  /** Runs a command in this process. */
  static int run(PrintWriter out, PrintWriter err, String... args) {
    CommandLine line =
        new CommandLine(new Main())
            .setOut(out)
            .setErr(err)
            .setCaseInsensitiveEnumValuesAllowed(true)
            .registerConverter(BlockStyle.class, Main::blockStyle)
            .registerConverter(StateDictImport.Source.class, Main::source)
            .setParameterExceptionHandler(Main::wrongUsage)
            .setExecutionExceptionHandler((e, command, parsed) -> failed(e, command));
    try {
      return line.execute(args);
    } catch (OutOfMemoryError e) {
      err.println(
          "rhumb: the Java heap is full ("
              + e.getMessage()
              + "); give it more with JAVA_TOOL_OPTIONS=-Xmx4g");
      return FAILED;
    }
  }

  private static BlockStyle blockStyle(String label) {
    try {
      return BlockStyle.of(label.toLowerCase(Locale.ROOT));
    } catch (IllegalArgumentException e) {
      throw new TypeConversionException(e.getMessage());
    }
  }

  private static StateDictImport.Source source(String label) {
    for (StateDictImport.Source source : StateDictImport.Source.values()) {
      if (source.label().equals(label.toLowerCase(Locale.ROOT))) {
        return source;
      }
    }
    throw new TypeConversionException(
        "'" + label + "' is unknown; there are: pmixer, pmixer-2024, pmixer-2020, recbole");
  }

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "a command is missing");
  }

  private static int wrongUsage(ParameterException e, String[] args) {
    CommandLine line = e.getCommandLine();
    PrintWriter err = line.getErr();
    err.println("rhumb: " + e.getMessage());
    CommandLine.UnmatchedArgumentException.printSuggestions(e, err);
    if (line.getParent() == null) {
      line.usage(err);
    } else {
      err.println("'" + line.getCommandSpec().qualifiedName() + " --help' lists what there is.");
    }
    err.flush();
    return WRONG_USAGE;
  }

  private static int failed(Exception e, CommandLine line) {
    String message = message(e);
    dev.rhumb.app.Command command = line.getCommand();
    if (command.wantsJson()) {
      line.getOut().print(Json.write(Map.of("error", message)));
      line.getOut().flush();
    }
    line.getErr().println("rhumb: " + message);
    if (command.wantsStackTrace() || Settings.get("rhumb.stacktrace") != null) {
      e.printStackTrace(line.getErr());
    }
    line.getErr().flush();
    return FAILED;
  }

  /** One line that says what failed. */
  private static String message(Exception e) {
    Throwable told = e instanceof UncheckedIOException && e.getMessage() == null ? e.getCause() : e;
    String text =
        switch (told) {
          case NoSuchFileException missing ->
              missing.getFile() + ": there is no such file or folder";
          case FileSystemException file ->
              file.getFile() + ": " + (file.getReason() == null ? named(file) : file.getReason());
          case RuntimeException known when isRefusal(known) -> known.getMessage();
          default ->
              "this is a fault of the program, not of its input: "
                  + named(told)
                  + "; run again with --stacktrace and report what it prints";
        };
    return text.strip().replaceAll("\\s*\\R\\s*", " ");
  }

  /** Whether its message was written for the user: the JDK's own accidents were not. */
  private static boolean isRefusal(RuntimeException e) {
    return e.getMessage() != null
        && !(e instanceof NullPointerException
            || e instanceof ClassCastException
            || e instanceof IndexOutOfBoundsException
            || e instanceof ArithmeticException);
  }

  private static String named(Throwable e) {
    return e.getClass().getSimpleName() + (e.getMessage() == null ? "" : ": " + e.getMessage());
  }
}
