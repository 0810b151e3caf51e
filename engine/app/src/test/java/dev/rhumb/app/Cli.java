package dev.rhumb.app;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import java.io.PrintWriter;
import java.io.StringWriter;

/** What a command printed, and its exit status. */
record Cli(int status, String out, String err) {
  /** Runs a command in this process. */
  static Cli run(Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] words = new String[args.length];
    for (int i = 0; i < args.length; i++) {
      words[i] = args[i].toString();
    }
    int status = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Cli(status, out.toString(), err.toString());
  }

  /** The one JSON object on standard output; fails where there is anything else. */
  JsonObject json() {
    return JsonObject.of(Json.parse(out, "standard output"), "standard output");
  }
}
