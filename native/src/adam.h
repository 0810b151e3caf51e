// One step of Adam with decoupled weight decay, on one parameter.
#pragma once

#include <cmath>

#include "device.h"

namespace rhumb {

struct Adam {
  float factor;        // on the gradient
  const float *scale;  // (1), another factor; NULL: none
  float shrink, eps;
  float keep1, take1, keep2, take2;  // beta and 1 - beta
  float rate;                        // lr / (1 - beta1^step)
  float unbias2;                     // 1 / (1 - beta2^step)

  Adam(float grad_scale, const float *d_scale, float lr, float beta1, float beta2, float epsilon, float weight_decay,
       int64_t step)
      : factor(grad_scale),
        scale(d_scale),
        shrink(static_cast<float>(static_cast<double>(lr) * weight_decay)),
        eps(epsilon),
        keep1(beta1),
        take1(static_cast<float>(1 - static_cast<double>(beta1))),
        keep2(beta2),
        take2(static_cast<float>(1 - static_cast<double>(beta2))),
        rate(static_cast<float>(lr / (1 - std::pow(static_cast<double>(beta1), static_cast<double>(step))))),
        unbias2(static_cast<float>(1 / (1 - std::pow(static_cast<double>(beta2), static_cast<double>(step))))) {}

  // The factor on gradients. NaN: there is no step.
  __device__ __forceinline__ float gradient_scale() const {
    return scale == nullptr ? factor : factor * __ldg(scale);
  }
  // Sets x, m and v to those after the step; by is gradient_scale(), not NaN.
  __device__ __forceinline__ void step(float by, float gradient, float &x, float &m, float &v) const {
    const float g = by * gradient;
    m = fmaf(take1, g, keep1 * m);
    v = fmaf(take2, g * g, keep2 * v);
    x = x - shrink * x - rate * m / (sqrtf(v * unbias2) + eps);
  }
};

}  // namespace rhumb
