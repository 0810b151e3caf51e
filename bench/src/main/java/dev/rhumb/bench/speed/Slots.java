package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/** The inputs and outputs of a {@link KernelCase}, on one backend; it closes them. */
final class Slots implements AutoCloseable {
  final Kernels kernels;

  /** What makes a result visible that lies in no buffer; run before the outputs are read. */
  Runnable finish = () -> {};

  private final Deque<AutoCloseable> owned = new ArrayDeque<>();
  private final List<Buffer> outputs = new ArrayList<>();
  private long stream = 100;

  Slots(Kernels kernels) {
    this.kernels = kernels;
  }

  /** Another stream of {@link Inputs}. */
  long stream() {
    return stream++;
  }

  <T extends AutoCloseable> T owned(T resource) {
    owned.push(resource);
    return resource;
  }

  Buffer floats(float[] values) {
    Buffer buffer = owned(kernels.allocate(DType.F32, values.length));
    buffer.put(0, values, 0, values.length);
    return buffer;
  }

  Buffer ints(int[] values) {
    Buffer buffer = owned(kernels.allocate(DType.I32, values.length));
    buffer.put(0, values, 0, values.length);
    return buffer;
  }

  /** An input from -0.5 to 0.5. */
  Buffer in(long count) {
    return floats(Inputs.uniform(stream(), count));
  }

  /** An input from 0.1 to 1.1. */
  Buffer positive(long count) {
    float[] values = Inputs.uniform(stream(), count);
    for (int i = 0; i < values.length; i++) {
      values[i] += 0.6f;
    }
    return floats(values);
  }

  /** An input that the kernel changes. */
  Buffer inOut(long count) {
    return output(in(count));
  }

  /** An output, zeros at first. */
  Buffer out(long count) {
    return output(owned(kernels.allocate(DType.F32, count)));
  }

  Buffer outInts(long count) {
    return output(owned(kernels.allocate(DType.I32, count)));
  }

  private Buffer output(Buffer buffer) {
    outputs.add(buffer);
    return buffer;
  }

  /** The first output of floats, or else of integers. */
  float[] answer() {
    for (Buffer output : outputs) {
      if (output.dtype() == DType.F32) {
        return output.floats();
      }
    }
    int[] ints = outputs.getFirst().ints();
    float[] values = new float[ints.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = ints[i];
    }
    return values;
  }

  /**
   * Runs a kernel once here and once on the scalar backend, and holds all outputs against each
   * other. Lists behind their end are no output.
   *
   * @throws IllegalStateException when they differ
   */
  static void checkOnce(KernelCase kernel, Kernels kernels, int rows, int width) {
    try (Kernels scalar = Kernels.open(Backend.SCALAR, 1);
        Slots expected = new Slots(scalar);
        Slots found = new Slots(kernels)) {
      for (Slots slots : List.of(expected, found)) {
        kernel.make(slots, rows, width).run();
        slots.finish.run();
      }
      for (int i = 0; i < found.outputs.size(); i++) {
        compare(kernel, found.outputs.get(i), expected.outputs.get(i));
      }
    }
  }

  private static void compare(KernelCase kernel, Buffer found, Buffer expected) {
    if (found.dtype() == DType.I32) {
      int[] a = found.ints();
      int[] b = expected.ints();
      for (int i = 0; i < a.length; i++) {
        if (a[i] != b[i]) {
          throw different(kernel, i, a[i], b[i]);
        }
      }
    } else {
      float[] a = found.floats();
      float[] b = expected.floats();
      for (int i = 0; i < a.length; i++) {
        if (!(Math.abs(a[i] - b[i]) <= 1e-3 * (1 + Math.abs(b[i])))) {
          throw different(kernel, i, a[i], b[i]);
        }
      }
    }
  }

  private static IllegalStateException different(KernelCase kernel, int at, float a, float b) {
    return new IllegalStateException(
        "wrong answer: " + kernel + " gives " + a + " at " + at + ", the scalar backend " + b);
  }

  @Override
  public void close() {
    while (!owned.isEmpty()) {
      try {
        owned.pop().close();
      } catch (RuntimeException e) {
        throw e;
      } catch (Exception e) {
        throw new IllegalStateException(e);
      }
    }
  }
}
