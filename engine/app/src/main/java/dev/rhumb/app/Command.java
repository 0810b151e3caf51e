package dev.rhumb.app;

import dev.rhumb.app.terminal.Console;
import dev.rhumb.checkpoint.Json;
import java.io.PrintWriter;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * What all commands share: a result that is text for people or, with {@code --json}, one JSON
 * object alone on standard output.
 */
abstract class Command implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(
      names = "--json",
      description = "Print one JSON object on standard output and nothing else there.")
  private boolean json;

  @Option(
      names = "--stacktrace",
      description = "Show where in the program a failure arose (also RHUMB_STACKTRACE=1).")
  private boolean stackTrace;

  /**
   * Does the work, telling of it as it goes.
   *
   * @return the result for {@code --json}
   */
  abstract Map<String, Object> work(Console console) throws Exception;

  @Override
  public final Integer call() throws Exception {
    PrintWriter out = spec.commandLine().getOut();
    Map<String, Object> result = work(new Console(out, spec.commandLine().getErr(), !json));
    if (json) {
      out.print(Json.write(result));
      out.flush();
    }
    return 0;
  }

  boolean wantsJson() {
    return json;
  }

  boolean wantsStackTrace() {
    return stackTrace;
  }

  /** A wrong value of an option that only the command can see: usage, exit status 2. */
  final picocli.CommandLine.ParameterException usage(String message) {
    return new picocli.CommandLine.ParameterException(spec.commandLine(), message);
  }
}
