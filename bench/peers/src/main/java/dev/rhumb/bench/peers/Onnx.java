package dev.rhumb.bench.peers;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.rhumb.bench.speed.Library;
import dev.rhumb.bench.speed.Task;
import dev.rhumb.bench.speed.Transformer;
import dev.rhumb.bench.speed.Workload;
import java.nio.LongBuffer;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/** ONNX Runtime, for inference. */
public final class Onnx implements Library {
  private final OrtEnvironment environment = OrtEnvironment.getEnvironment();

  @Override
  public String describe() {
    return "ONNX Runtime " + environment.getVersion();
  }

  @Override
  public Workload prepare(Task task, int threads) {
    try {
      return switch (task) {
        case Task.Forward forward ->
            new Run(forward.model(), forward.sequences(), threads, Set.of(OnnxModel.HIDDEN));
        case Task.Request request when request.kind() == Task.Request.Kind.STEERED ->
            new Run(request.model(), 1, threads, Set.of(OnnxModel.SCORES, OnnxModel.ITEMS));
        default -> null;
      };
    } catch (OrtException e) {
      throw failed(e);
    }
  }

  private final class Run implements Workload {
    private final Transformer transformer;
    private final OrtSession session;
    private final OnnxTensor items;
    private final Set<String> outputs;
    private float[] answer;

    Run(Transformer transformer, int sequences, int threads, Set<String> outputs)
        throws OrtException {
      this.transformer = transformer;
      this.outputs = outputs;
      OrtSession.SessionOptions options = new OrtSession.SessionOptions();
      options.setIntraOpNumThreads(threads);
      options.setInterOpNumThreads(1);
      options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT);
      options.addConfigEntry("session.intra_op.allow_spinning", "0");
      session = environment.createSession(OnnxModel.of(transformer, Task.Request.TOP), options);
      long[] all =
          IntStream.range(0, sequences)
              .mapToObj(transformer::history)
              .flatMapToInt(Arrays::stream)
              .asLongStream()
              .toArray();
      items =
          OnnxTensor.createTensor(
              environment, LongBuffer.wrap(all), new long[] {sequences, transformer.length()});
    }

    @Override
    public void run() {
      try (OrtSession.Result result = session.run(Map.of(OnnxModel.HISTORY, items), outputs)) {
        if (answer == null) {
          answer = outputs.size() == 1 ? hidden(result) : top(result);
        }
      } catch (OrtException e) {
        throw failed(e);
      }
    }

    private float[] hidden(OrtSession.Result result) throws OrtException {
      float[][][] hidden = (float[][][]) result.get(0).getValue();
      return hidden[0][transformer.length() - 1];
    }

    private float[] top(OrtSession.Result result) throws OrtException {
      float[][] scores = (float[][]) result.get(OnnxModel.SCORES).orElseThrow().getValue();
      long[][] best = (long[][]) result.get(OnnxModel.ITEMS).orElseThrow().getValue();
      float[] top = new float[2 * Task.Request.TOP];
      for (int i = 0; i < Task.Request.TOP; i++) {
        top[i] = scores[0][i];
        top[Task.Request.TOP + i] = best[0][i] + 1;
      }
      return top;
    }

    @Override
    public float[] answer() {
      answer = null;
      run();
      return answer;
    }

    @Override
    public void close() {
      try {
        items.close();
        session.close();
      } catch (OrtException e) {
        throw failed(e);
      }
    }
  }

  private static IllegalStateException failed(OrtException e) {
    return new IllegalStateException("ONNX Runtime: " + e.getMessage(), e);
  }
}
