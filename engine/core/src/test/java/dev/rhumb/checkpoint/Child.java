package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.bindings.NativeException;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.io.File;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.DoubleSupplier;

/** What tests do to a process of their own: kill it, fill its disk, cut its files. */
public final class Child {
  private static final int BYTES = 1 << 20;

  private Child() {}

  /** How a child ended and what it printed. */
  record Result(int status, String output) {}

  /** The command line that runs {@link #main} in a new JVM. */
  static List<String> command(List<String> flags, String... arguments) throws Exception {
    return command(Child.class, flags, arguments);
  }

  /** The command line that runs a class of these tests in a new JVM, on the class path. */
  public static List<String> command(Class<?> main, List<String> flags, String... arguments)
      throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-Xmx64m", "-XX:-CreateCoredumpOnCrash"));
    command.addAll(flags);
    command.add("-cp");
    // On the module path a class's code source is its module's: the tests' folder comes apart.
    command.add(
        String.join(
            File.pathSeparator,
            folder(Safetensors.class),
            folder(Child.class),
            folder(Buffer.class),
            folder(NativeException.class)));
    command.add(main.getName());
    command.addAll(List.of(arguments));
    return command;
  }

  private static String folder(Class<?> type) throws Exception {
    String resource = type.getName().replace('.', '/') + ".class";
    String url = type.getResource("/" + resource).toString();
    String root = url.substring(0, url.length() - resource.length());
    if (root.startsWith("jar:")) {
      root = root.substring("jar:".length(), root.length() - "!/".length());
    }
    return Path.of(URI.create(root)).toString();
  }

  /** Starts it in a folder, its errors among its output. */
  public static Process start(Path folder, List<String> command) throws Exception {
    return new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
  }

  static Result run(Path folder, List<String> command) throws Exception {
    Process process = start(folder, command);
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes());
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "the child hangs");
    return new Result(process.exitValue(), output);
  }

  public static void main(String[] arguments) throws Exception {
    Path file = Path.of(arguments[1]);
    switch (arguments[0]) {
      case "halt" -> halt(file, arguments[2]);
      case "wait" -> waitInside(file);
      case "fill" -> fill(file);
      case "truncate" -> truncate(file);
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }

  private static void halt(Path file, String point) {
    AtomicFiles.write(
        file,
        channel -> {
          if (!point.equals("start")) {
            AtomicFiles.writeFully(channel, ByteBuffer.allocate(BYTES));
          }
          if (point.equals("forced")) {
            channel.force(true);
          }
          Runtime.getRuntime().halt(9);
        });
  }

  /** Stays inside the body until it is told to go on, or is killed. */
  private static void waitInside(Path file) {
    AtomicFiles.write(
        file,
        channel -> {
          AtomicFiles.writeFully(channel, ByteBuffer.wrap("from the child".getBytes()));
          System.out.println("inside");
          System.in.read();
        });
  }

  private static void fill(Path file) {
    try {
      AtomicFiles.write(
          file, channel -> AtomicFiles.writeFully(channel, ByteBuffer.allocate(BYTES)));
      System.out.println("written");
    } catch (UncheckedIOException e) {
      System.out.println(e.getMessage());
    }
  }

  /** Cuts a file in half underneath its readers, whose loops are compiled by then. */
  private static void truncate(Path file) throws Exception {
    try (Safetensors mapped = Safetensors.open(file);
        Safetensors loaded = Safetensors.load(file);
        Kernels kernels = Kernels.open(Backend.valueOf(System.getProperty("backend")), 1)) {
      long n = mapped.shape("x")[0];
      Buffer view = mapped.tensor("x", DType.F32, n);
      Buffer own = loaded.tensor("x", DType.F32, n);
      float[] some = new float[1024];
      Buffer copy = kernels.allocate(DType.F32, n);
      Buffer norm = kernels.allocate(DType.F32, 1);
      DoubleSupplier plain =
          () -> {
            float sum = 0;
            for (long i = 0; i < n; i++) {
              sum += view.segment().get(ValueLayout.JAVA_FLOAT_UNALIGNED, i * 4);
            }
            return sum;
          };
      DoubleSupplier pieces =
          () -> {
            for (long i = 0; i < n; i += some.length) {
              view.get(i, some, 0, some.length);
            }
            return some[0];
          };
      DoubleSupplier bulk =
          () -> {
            copy.copyFrom(view);
            return n;
          };
      DoubleSupplier copyTo =
          () -> {
            mapped.copyTo("x", copy, n);
            return n;
          };
      DoubleSupplier kernel =
          () -> {
            kernels.dense().squaredNorm(n, own, norm);
            return norm.floats()[0];
          };
      List<DoubleSupplier> all = List.of(plain, pieces, bulk, copyTo, kernel);
      for (int i = 0; i < 300; i++) {
        all.forEach(DoubleSupplier::getAsDouble);
      }
      try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
        channel.truncate(channel.size() / 2);
      }
      List<String> names = List.of("plain", "pieces", "bulk", "copyTo", "kernel");
      for (int i = 0; i < names.size(); i++) {
        String outcome;
        try {
          outcome = Double.toString(all.get(i).getAsDouble());
        } catch (InternalError | FormatException e) {
          outcome = e.getClass().getSimpleName();
        }
        System.out.println(names.get(i) + " " + outcome);
      }
      copy.close();
      norm.close();
    }
    Files.delete(file);
  }
}
