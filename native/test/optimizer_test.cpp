// Steps of optimizers, against plain loops in double.
#include "testing.h"

using testing::Array;
using testing::good;
using testing::near;
using testing::refused;
using testing::uniforms;

namespace {

void adam(int64_t count, int64_t offset, int64_t step, float decay) {
  const float scale = 0.7f;
  const float lr = 1e-2f;
  const float beta1 = 0.9f;
  const float beta2 = 0.999f;
  const float eps = 1e-8f;
  Array<float> x = uniforms(count + offset);
  const Array<float> g = uniforms(count);
  Array<float> m = uniforms(count);
  Array<float> v = uniforms(count, 0.1f, 1);
  const Array<float> x_was = x;
  const Array<float> m_was = m;
  const Array<float> v_was = v;
  const Array<float> half(1, 0.5f), no_step(1, NAN);
  good(rhumb_adam(count, x.data() + offset, g.data(), m.data(), v.data(), scale, no_step.data(), lr, beta1, beta2, eps,
                  decay, step, nullptr),
       "adam");
  for (int64_t i = 0; i < count; i++) {
    testing::check(x[i + offset] == x_was[i + offset] && m[i] == m_was[i] && v[i] == v_was[i], "adam: a step by NaN");
  }
  good(rhumb_adam(count, x.data() + offset, g.data(), m.data(), v.data(), offset > 0 ? 2 * scale : scale,
                  offset > 0 ? half.data() : nullptr, lr, beta1, beta2, eps, decay, step, nullptr),
       "adam");
  for (int64_t i = 0; i < count; i++) {
    const double scaled = static_cast<double>(scale) * g[i];
    const double first = static_cast<double>(beta1) * m_was[i] + (1 - static_cast<double>(beta1)) * scaled;
    const double second = static_cast<double>(beta2) * v_was[i] + (1 - static_cast<double>(beta2)) * scaled * scaled;
    near("m", step, i, m[i], first, 4);
    near("v", step, i, v[i], second, 4, 0);
    const double mean = first / (1 - std::pow(static_cast<double>(beta1), static_cast<double>(step)));
    const double square = second / (1 - std::pow(static_cast<double>(beta2), static_cast<double>(step)));
    const double was = x_was[i + offset];
    near("x", step, i, x[i + offset],
         was - static_cast<double>(lr) * decay * was - static_cast<double>(lr) * mean / (std::sqrt(square) + eps), 4);
  }
}

void average(int64_t count, float decay) {
  const Array<float> x = uniforms(count);
  Array<float> mean = uniforms(count);
  const Array<float> was = mean;
  good(rhumb_average(count, x.data(), decay, mean.data(), nullptr), "average");
  for (int64_t i = 0; i < count; i++) {
    near("average", count, i, mean[i],
         static_cast<double>(decay) * was[i] + (1 - static_cast<double>(decay)) * x[i], 2);
  }
}

}  // namespace

int main() {
  for (int64_t count : {0, 1, 3, 4, 5, 1023, 1024, 4099}) {
    adam(count, 0, 1, 0);
    adam(count, 1, 1000, 0.1f);  // starts that are not 16-byte aligned
    for (float decay : {0.0f, 0.999f, 1.0f}) {
      average(count, decay);
    }
  }
  Array<float> x(4, 1.0f);
  refused(rhumb_adam(4, x.data(), x.data(), x.data(), x.data(), 1, nullptr, 1, 0, 0, 0, 0, 0, nullptr), "step = 0");
  refused(rhumb_adam(4, x.data(), nullptr, x.data(), x.data(), 1, nullptr, 1, 0, 0, 0, 0, 1, nullptr),
          "d_gradient is NULL");
  refused(rhumb_average(-4, x.data(), 0, x.data(), nullptr), "count = -4 is negative");
  return testing::finish("optimizer_test");
}
