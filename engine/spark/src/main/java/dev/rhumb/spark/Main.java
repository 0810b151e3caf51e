package dev.rhumb.spark;

import dev.rhumb.data.Splits;
import dev.rhumb.eval.RankingMetrics;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import org.apache.spark.sql.SparkSession;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The jobs for {@code spark-submit}. Exit status: 0 good, 1 the job failed, 2 wrong usage. */
@Command(
    name = "rhumb-spark",
    description = "Rhumb's batch jobs over a cluster.",
    mixinStandardHelpOptions = true,
    scope = CommandLine.ScopeType.INHERIT,
    version = "rhumb 0.1.0")
public final class Main implements Runnable {
  private static final int FAILED = 1;
  private static final int WRONG_USAGE = 2;

  @Spec private CommandSpec spec;

  /** What every job needs. */
  static final class Inputs {
    @Option(
        names = "--model",
        required = true,
        paramLabel = "FOLDER",
        description = "Model folder, at a path that every node can read.")
    private String model;

    @Option(
        names = "--data",
        required = true,
        paramLabel = "FOLDER",
        description = "Prepared dataset, at a path that every node and the driver can read.")
    private String data;

    @Option(
        names = "-k",
        defaultValue = "10",
        description = "Length of a list (default: ${DEFAULT-VALUE}).")
    private int k;

    @Option(
        names = "--partitions",
        paramLabel = "N",
        description = "Number of tasks (default: Spark's default parallelism).")
    private Integer partitions;

    private int partitions(SparkSession spark) {
      return partitions == null ? spark.sparkContext().defaultParallelism() : partitions;
    }
  }

  private Main() {}

  /** Runs a job; a process whose job failed ends with its exit status. */
  public static void main(String[] args) {
    PrintWriter out = new PrintWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
    PrintWriter err = new PrintWriter(new OutputStreamWriter(System.err, StandardCharsets.UTF_8));
    int status = run(out, err, args);
    out.flush();
    err.flush();
    // A good end is left to Spark: on some clusters an exit of one's own counts as a crash.
    if (status != 0) {
      System.exit(status);
    }
  }

  /** Runs a job in this process. */
  static int run(PrintWriter out, PrintWriter err, String... args) {
    return new CommandLine(new Main())
        .setOut(out)
        .setErr(err)
        .setParameterExceptionHandler(Main::wrongUsage)
        .setExecutionExceptionHandler(
            (e, command, parsed) -> {
              command.getErr().println("rhumb-spark: " + message(e));
              return FAILED;
            })
        .execute(args);
  }

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "a job is missing: evaluate or recommend");
  }

  @Command(description = "Ranking metrics of a model on its test cases, over the full catalogue.")
  void evaluate(
      @Mixin Inputs inputs,
      @Option(
              names = "--split",
              defaultValue = "leave-one-out",
              description = "The split the model was trained on (default: ${DEFAULT-VALUE}).")
          String split)
      throws IOException {
    check(inputs);
    try {
      Splits.kind(split);
    } catch (IllegalArgumentException e) {
      throw usage("--split: " + e.getMessage());
    }
    try (SparkSession spark = session("rhumb evaluate")) {
      RankingMetrics m =
          SparkEvaluation.evaluate(
              spark, inputs.model, inputs.data, split, inputs.k, inputs.partitions(spark));
      spec.commandLine()
          .getOut()
          .printf(
              Locale.ROOT,
              "%d test cases: HR@%6$d %.4f, NDCG@%6$d %.4f, MRR@%6$d %.4f, coverage@%6$d %.4f%n",
              m.cases(),
              m.hitRate(),
              m.ndcg(),
              m.mrr(),
              m.coverage(),
              m.k());
    }
  }

  @Command(description = "Top-k lists for all users of a dataset, as a Parquet table.")
  void recommend(
      @Mixin Inputs inputs,
      @Option(
              names = "--out",
              required = true,
              paramLabel = "FOLDER",
              description = "Folder of the table; an earlier table there is replaced.")
          String output)
      throws IOException {
    check(inputs);
    try (SparkSession spark = session("rhumb recommend")) {
      SparkRecommend.recommend(
          spark, inputs.model, inputs.data, output, inputs.k, inputs.partitions(spark));
      spec.commandLine().getOut().println("lists of up to " + inputs.k + " written to " + output);
    }
  }

  private static SparkSession session(String name) {
    return SparkSession.builder().appName(name).getOrCreate();
  }

  private void check(Inputs inputs) {
    try {
      Arguments.check(inputs.k, inputs.partitions == null ? 1 : inputs.partitions);
    } catch (IllegalArgumentException e) {
      throw usage(e.getMessage());
    }
  }

  private ParameterException usage(String message) {
    return new ParameterException(spec.commandLine(), message);
  }

  private static int wrongUsage(ParameterException e, String[] args) {
    CommandLine line = e.getCommandLine();
    line.getErr().println("rhumb-spark: " + e.getMessage());
    line.usage(line.getErr());
    return WRONG_USAGE;
  }

  /** One line: what the engine refused, out of what Spark wraps it in; else the first cause. */
  private static String message(Throwable e) {
    Throwable first = e;
    for (Throwable link = e; link != null; link = link.getCause()) {
      first = link;
      boolean ours = link.getClass().getPackageName().startsWith("dev.rhumb.");
      if (ours
          || link instanceof IllegalArgumentException
          || link instanceof UncheckedIOException) {
        return link.getMessage();
      }
    }
    return first.toString();
  }
}
