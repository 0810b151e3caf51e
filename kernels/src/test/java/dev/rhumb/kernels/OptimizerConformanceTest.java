package dev.rhumb.kernels;

import org.junit.jupiter.api.Test;

class OptimizerConformanceTest extends Conformance {
  OptimizerConformanceTest(Backend backend) {
    super(backend);
  }

  private void adam(int n, long step, float decay, double size) {
    float scale = 0.7f;
    float lr = 1e-2f;
    float beta1 = 0.9f;
    float beta2 = 0.999f;
    float eps = 1e-8f;
    each(
        (kernels, memory) -> {
          Matrix x = memory.vector(n);
          Matrix g = memory.vector(n, (none, i) -> i % 5 == 4 ? 0 : size * memory.uniform());
          Matrix m = memory.vector(n, (none, i) -> step == 1 ? 0 : size * memory.uniform());
          Matrix v =
              memory.vector(
                  n,
                  (none, i) ->
                      step == 1 ? 0 : size * size * memory.uniform() / 2 + size * size / 2);
          kernels
              .optimizer()
              .adam(
                  n, x.buffer, g.buffer, m.buffer, v.buffer, scale, lr, beta1, beta2, eps, decay,
                  step);
          Memory.Fill first =
              (none, i) -> beta1 * m.was(i) + (1 - (double) beta1) * scale * g.was(i);
          Memory.Fill second =
              (none, i) ->
                  beta2 * v.was(i) + (1 - (double) beta2) * (scale * g.was(i)) * (scale * g.was(i));
          m.check("adam's m", 4, size, first);
          v.check("adam's v", 4, 0, second);
          x.check(
              "adam",
              4,
              (none, i) -> {
                double mean = first.at(0, i) / (1 - Math.pow(beta1, step));
                double square = second.at(0, i) / (1 - Math.pow(beta2, step));
                return x.was(i)
                    - (double) lr * decay * x.was(i)
                    - lr * mean / (Math.sqrt(square) + eps);
              });
        });
  }

  @Test
  void everySize() {
    for (int n : DenseConformanceTest.with(SIZES, 40_009)) {
      adam(n, 1, 0, 1);
      adam(n, 1000, 0.1f, 1);
    }
  }

  @Test
  void smallAndLargeGradients() {
    adam(67, 1, 0, 1e-15);
    adam(67, 3, 0, 1e-15);
    adam(67, 3, 0.5f, 1e15);
    adam(67, 1_000_000, 0, 1);
  }

  @Test
  void average() {
    for (int n : DenseConformanceTest.with(SIZES, 40_009)) {
      for (float decay : new float[] {0, 0.999f, 1}) {
        each(
            (kernels, memory) -> {
              Matrix x = memory.vector(n);
              Matrix average = memory.vector(n);
              kernels.optimizer().average(n, x.buffer, decay, average.buffer);
              average.check(
                  "average",
                  2,
                  (none, i) -> decay * average.was(i) + (1 - (double) decay) * x.was(i));
            });
      }
    }
  }
}
