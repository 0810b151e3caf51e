package dev.rhumb.bench.peers;

import static org.bytedeco.pytorch.global.torch.arange;
import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.embedding_bag;
import static org.bytedeco.pytorch.global.torch.get_num_threads;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.mse_loss;
import static org.bytedeco.pytorch.global.torch.ones;
import static org.bytedeco.pytorch.global.torch.set_num_threads;
import static org.bytedeco.pytorch.global.torch.zeros;

import dev.rhumb.bench.speed.Inputs;
import dev.rhumb.bench.speed.Library;
import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Transformer;
import dev.rhumb.bench.speed.Workload;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.Adam;
import org.bytedeco.pytorch.AdamOptions;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** libtorch through bytedeco's bindings. */
public final class Torch implements Library {
  /** Loads it. */
  public Torch() {
    get_num_threads();
  }

  /** Says which BLAS a product has loaded, by the files that lie in memory. */
  @Override
  public String describe() {
    String blas = "an unknown BLAS";
    try (PointerScope _ = new PointerScope()) {
      ones(64, 64).matmul(ones(64, 64));
      String files = Files.readString(Path.of("/proc/self/maps"));
      blas = files.contains("/libmkl_") ? "MKL" : "OpenBLAS";
    } catch (IOException e) {
      // Not Linux: it stays unknown.
    }
    return "libtorch 2.10.0 (bytedeco 1.5.13) on " + blas;
  }

  @Override
  public Workload prepare(Task task, int threads) {
    set_num_threads(threads);
    openblas.blas_set_num_threads(threads);
    PointerScope scope = new PointerScope(); // Of this thread, until the workload is closed.
    Work work =
        switch (task) {
          case Task.Encode encode -> encode(encode);
          case Task.Scan scan -> scan(scan);
          case Task.SaeStep step -> autoencoder(step);
          case Task.TrainingStep step -> training(step);
          case Task.Forward forward -> forward(forward);
          case Task.Request request when request.kind() == Task.Request.Kind.STEERED ->
              request(request);
          default -> null;
        };
    if (work == null) {
      scope.close();
      return null;
    }
    work.scope = scope;
    return work;
  }

  /** A workload over tensors that live in a scope; those that a run makes end with the run. */
  private abstract static class Work implements Workload {
    private PointerScope scope;

    abstract void step();

    @Override
    public final void run() {
      try (PointerScope _ = new PointerScope()) {
        step();
      }
    }

    @Override
    public final void close() {
      scope.close();
    }
  }

  /** A pair of values and indices, kept as an answer. */
  private abstract static class Top extends Work {
    private final int k;
    private final int firstIndex;
    private float[] values;
    private long[] indices;

    Top(int k, int firstIndex) {
      this.k = k;
      this.firstIndex = firstIndex;
    }

    abstract T_TensorTensor_T top();

    @Override
    final void step() {
      try (NoGradGuard _ = new NoGradGuard()) {
        T_TensorTensor_T top = top();
        if (values == null) {
          values = floats(top.get0(), k);
          indices = longs(top.get1(), k);
        }
      }
    }

    /** The first row, in order. */
    @Override
    public final float[] answer() {
      values = null;
      run();
      int[] order =
          IntStream.range(0, k)
              .boxed()
              .sorted(Comparator.comparingDouble(i -> -values[i]))
              .mapToInt(Integer::intValue)
              .toArray();
      float[] answer = new float[2 * k];
      for (int i = 0; i < k; i++) {
        answer[i] = values[order[i]];
        answer[k + i] = indices[order[i]] + firstIndex;
      }
      return answer;
    }
  }

  private static Work encode(Task.Encode task) {
    int features = task.features();
    int d = task.width();
    int kept = task.kept();
    Tensor x = tensor(task.x(), task.rows(), d);
    Tensor w = tensor(task.weight(), features, d);
    Tensor bias = zeros(features);
    return new Top(kept, 0) {
      @Override
      T_TensorTensor_T top() {
        return linear(x, w, new TensorOptional(bias)).relu().topk(kept, -1, true, false);
      }
    };
  }

  private static Work scan(Task.Scan task) {
    int k = task.k();
    Tensor h = tensor(task.h(), task.width());
    Tensor table = tensor(task.table(), task.items(), task.width());
    return new Top(k, 1) {
      @Override
      T_TensorTensor_T top() {
        return table.matmul(h).topk(k);
      }
    };
  }

  /** Steps of Adam, their losses kept. */
  private abstract static class Training extends Work {
    private final Adam adam;
    private float first;
    private float last;
    private int steps;

    Training(float learningRate, Tensor... parameters) {
      adam = new Adam(new TensorVector(parameters), new AdamOptions(learningRate));
    }

    abstract Tensor loss();

    @Override
    final void step() {
      adam.zero_grad();
      Tensor loss = loss();
      loss.backward();
      adam.step();
      last = loss.item_float();
      if (steps++ == 0) {
        first = last;
      }
    }

    @Override
    public final float[] answer() {
      return new float[] {first, last, steps};
    }
  }

  /** The decode by embedding_bag: the dense one is up to 1.5 times slower. */
  private static Work autoencoder(Task.SaeStep task) {
    int rows = task.rows();
    int d = task.width();
    int features = task.features();
    int kept = task.kept();
    float[] directions = Inputs.uniform(7, (long) features * d);
    Tensor x = tensor(Inputs.uniform(3, (long) rows * d), rows, d);
    Tensor wEnc = parameter(tensor(directions, features, d));
    Tensor wDec = parameter(tensor(directions, features, d));
    Tensor bEnc = parameter(zeros(features));
    Tensor bDec = parameter(zeros(d));
    Tensor offsets =
        arange(
            new Scalar(0),
            new Scalar((long) rows * kept),
            new Scalar(kept),
            new TensorOptions(ScalarType.Long));
    return new Training(Task.SaeStep.LEARNING_RATE, wEnc, wDec, bEnc, bDec) {
      @Override
      Tensor loss() {
        T_TensorTensor_T top =
            linear(x.sub(bDec), wEnc, new TensorOptional(bEnc)).relu().topk(kept, -1, true, false);
        Tensor decoded =
            embedding_bag(
                    wDec,
                    top.get1().view(-1),
                    offsets,
                    false,
                    0,
                    false,
                    new TensorOptional(top.get0().view(-1)),
                    false)
                .get0();
        return mse_loss(decoded.add(bDec), x);
      }
    };
  }

  private static Work training(Task.TrainingStep task) {
    Transformer transformer = task.model();
    TorchModel model = new TorchModel(transformer);
    Tensor items = histories(transformer, task.sequences(), false);
    Tensor targets = histories(transformer, task.sequences(), true).view(-1);
    return new Training(Task.TrainingStep.LEARNING_RATE, model.parameters()) {
      @Override
      Tensor loss() {
        Tensor hidden = model.hidden(items, task.sequences()).view(-1, transformer.width());
        return cross_entropy_loss(hidden.matmul(model.items().t()), targets);
      }
    };
  }

  private static Work forward(Task.Forward task) {
    Transformer transformer = task.model();
    TorchModel model = new TorchModel(transformer);
    Tensor items = histories(transformer, task.sequences(), false);
    return new Work() {
      private float[] answer;

      @Override
      void step() {
        try (NoGradGuard _ = new NoGradGuard()) {
          Tensor hidden = model.hidden(items, task.sequences());
          if (answer == null) {
            answer =
                floats(
                    hidden.select(0, 0).select(0, transformer.length() - 1).contiguous(),
                    transformer.width());
          }
        }
      }

      @Override
      public float[] answer() {
        answer = null;
        run();
        return answer;
      }
    };
  }

  private static Work request(Task.Request task) {
    Transformer transformer = task.model();
    TorchModel model = new TorchModel(transformer);
    Tensor items = histories(transformer, 1, false);
    Tensor catalogue = model.items().detach().narrow(0, 1, transformer.items()).contiguous().t();
    return new Top(Task.Request.TOP, 1) {
      @Override
      T_TensorTensor_T top() {
        return model
            .hidden(items, 1)
            .select(1, transformer.length() - 1)
            .matmul(catalogue)
            .topk(Task.Request.TOP);
      }
    };
  }

  private static Tensor histories(Transformer transformer, int sequences, boolean targets) {
    long[] all =
        IntStream.range(0, sequences)
            .mapToObj(s -> targets ? transformer.targets(s) : transformer.history(s))
            .flatMapToInt(Arrays::stream)
            .asLongStream()
            .toArray();
    return Tensor.create(all, sequences, transformer.length());
  }

  static Tensor tensor(float[] values, long... shape) {
    return Tensor.create(values, shape);
  }

  static Tensor parameter(Tensor tensor) {
    return tensor.detach().clone().set_requires_grad(true);
  }

  private static float[] floats(Tensor tensor, int count) {
    float[] values = new float[count];
    tensor.contiguous().data_ptr_float().get(values);
    return values;
  }

  private static long[] longs(Tensor tensor, int count) {
    long[] values = new long[count];
    tensor.contiguous().data_ptr_long().get(values);
    return values;
  }
}
