package dev.rhumb.bench.peers;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.ndarray.types.SparseFormat;
import ai.djl.nn.Activation;
import ai.djl.nn.core.Embedding;
import ai.djl.nn.core.Linear;
import ai.djl.nn.norm.LayerNorm;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.training.GradientCollector;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import dev.rhumb.bench.speed.Library;
import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Transformer;
import dev.rhumb.bench.speed.Workload;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** DJL over the official libtorch. It has no fused attention: the plain formula takes its place. */
public final class Djl implements Library {
  @Override
  public String describe() {
    return "DJL 0.35.1, libtorch " + Engine.getInstance().getVersion();
  }

  @Override
  public Workload prepare(Task task, int threads) {
    JniUtils.setNumThreads(threads);
    return switch (task) {
      case Task.TrainingStep step -> new Training(step);
      case Task.Forward forward -> new Forward(forward);
      default -> null;
    };
  }

  /** SASRec from the engine's weights. */
  private static final class Model implements AutoCloseable {
    private final NDManager manager = NDManager.newBaseManager();
    private final List<NDArray> parameters = new ArrayList<>();
    private final Weights weights;
    private final long d;
    private final float eps;
    private final NDArray items;
    private final NDArray positions;
    private final NDArray[][] blocks;
    private final NDArray[] last;
    private final NDArray mask;

    Model(Transformer transformer) {
      weights = new Weights(transformer);
      int width = transformer.width();
      d = width;
      eps = transformer.config().normEps();
      items = parameter(weights.get("item_embedding.weight"));
      positions = parameter(weights.get("position_embedding.weight"));
      blocks = new NDArray[transformer.layers()][];
      for (int i = 0; i < blocks.length; i++) {
        String at = "blocks." + i + ".";
        Weights.Part in = weights.get(at + "attention.in.weight");
        Weights.Part inBias = weights.get(at + "attention.in.bias");
        blocks[i] =
            new NDArray[] {
              parameter(weights.get(at + "norm1.weight")),
              parameter(weights.get(at + "norm1.bias")),
              parameter(in.rows(0, width)),
              parameter(inBias.rows(0, width)),
              parameter(in.rows(width, 2 * width)),
              parameter(inBias.rows(width, 2 * width)),
              parameter(weights.get(at + "attention.out.weight")),
              parameter(weights.get(at + "attention.out.bias")),
              parameter(weights.get(at + "norm2.weight")),
              parameter(weights.get(at + "norm2.bias")),
              parameter(weights.get(at + "mlp.up.weight")),
              parameter(weights.get(at + "mlp.up.bias")),
              parameter(weights.get(at + "mlp.down.weight")),
              parameter(weights.get(at + "mlp.down.bias"))
            };
      }
      last =
          new NDArray[] {
            parameter(weights.get("final_norm.weight")), parameter(weights.get("final_norm.bias"))
          };
      NDArray places = manager.arange(transformer.length());
      NDArray later = places.expandDims(0).gt(places.expandDims(1));
      mask = later.toType(DataType.FLOAT32, false).mul(-1e30f);
    }

    private NDArray parameter(Weights.Part part) {
      NDArray array = manager.create(part.values(), new Shape(part.shape()));
      parameters.add(array);
      return array;
    }

    /** Hidden states (B, T, D) of histories (B, T). */
    NDArray hidden(NDArray history) {
      NDArray x =
          Embedding.embedding(history, items, SparseFormat.DENSE)
              .singletonOrThrow()
              .mul((float) Math.sqrt(d))
              .add(positions);
      for (NDArray[] p : blocks) {
        NDArray normed = norm(x, p[0], p[1]);
        NDArray query = linear(normed, p[2], p[3]);
        NDList pair = linear(x, p[4], p[5]).split(2, 2);
        NDArray attended =
            query
                .matMul(pair.get(0).transpose(0, 2, 1))
                .mul((float) (1 / Math.sqrt(d)))
                .add(mask)
                .softmax(-1)
                .matMul(pair.get(1));
        NDArray middle = norm(normed.add(linear(attended, p[6], p[7])), p[8], p[9]);
        NDArray active = Activation.relu(linear(middle, p[10], p[11]));
        x = middle.add(linear(active, p[12], p[13]));
      }
      return norm(x, last[0], last[1]);
    }

    private static NDArray linear(NDArray x, NDArray weight, NDArray bias) {
      return Linear.linear(x, weight, bias).singletonOrThrow();
    }

    private NDArray norm(NDArray x, NDArray gain, NDArray bias) {
      return LayerNorm.layerNorm(x, new Shape(d), gain, bias, eps).singletonOrThrow();
    }

    @Override
    public void close() {
      manager.close();
    }
  }

  private static long[] all(Transformer transformer, int sequences, boolean targets) {
    return IntStream.range(0, sequences)
        .mapToObj(s -> targets ? transformer.targets(s) : transformer.history(s))
        .flatMapToInt(Arrays::stream)
        .asLongStream()
        .toArray();
  }

  private static final class Forward implements Workload {
    private final Task.Forward task;
    private final Model model;
    private final NDArray items;
    private float[] answer;

    Forward(Task.Forward task) {
      this.task = task;
      Transformer transformer = task.model();
      model = new Model(transformer);
      items =
          model.manager.create(
              all(transformer, task.sequences(), false),
              new Shape(task.sequences(), transformer.length()));
    }

    @Override
    public void run() {
      try (NDManager inner = model.manager.newSubManager()) {
        NDArray history = items.duplicate();
        history.attach(inner);
        NDArray hidden = model.hidden(history);
        hidden.attach(inner);
        if (answer == null) {
          answer = hidden.get(0).get(task.model().length() - 1).toFloatArray();
        }
      }
    }

    @Override
    public float[] answer() {
      answer = null;
      run();
      return answer;
    }

    @Override
    public void close() {
      model.close();
    }
  }

  private static final class Training implements Workload {
    private final Model model;
    private final NDArray items;
    private final NDArray targets;
    private final Optimizer adam;
    private final long d;
    private float first;
    private float last;
    private int steps;

    Training(Task.TrainingStep task) {
      Transformer transformer = task.model();
      d = transformer.width();
      model = new Model(transformer);
      model.parameters.forEach(p -> p.setRequiresGradient(true));
      Shape shape = new Shape(task.sequences(), transformer.length());
      items = model.manager.create(all(transformer, task.sequences(), false), shape);
      targets =
          model.manager.create(
              all(transformer, task.sequences(), true), new Shape(shape.size(), 1));
      adam =
          Optimizer.adam()
              .optLearningRateTracker(Tracker.fixed(Task.TrainingStep.LEARNING_RATE))
              .build();
    }

    @Override
    public void run() {
      try (NDManager inner = model.manager.newSubManager();
          GradientCollector collector = Engine.getInstance().newGradientCollector()) {
        NDArray history = items.duplicate();
        history.attach(inner);
        NDArray scores = model.hidden(history).reshape(-1, d).matMul(model.items.transpose());
        NDArray loss = scores.logSoftmax(-1).gather(targets, 1).mean().neg();
        collector.backward(loss);
        for (int i = 0; i < model.parameters.size(); i++) {
          NDArray parameter = model.parameters.get(i);
          try (NDArray gradient = parameter.getGradient()) {
            adam.update(Integer.toString(i), parameter, gradient);
          }
        }
        collector.zeroGradients();
        last = loss.getFloat();
        if (steps++ == 0) {
          first = last;
        }
      }
    }

    @Override
    public float[] answer() {
      return new float[] {first, last, steps};
    }

    @Override
    public void close() {
      model.close();
    }
  }
}
