// Steps of optimizers: one pass over the parameters, bound by memory.
#include <cmath>

#include "elementwise.h"

namespace {

// in: x, gradient, m, v; out: x, m, v.
struct Adam {
  float grad_scale, rate, shrink, eps;
  float keep1, take1, keep2, take2;  // beta and 1 - beta
  float unbias1, unbias2;            // 1 / (1 - beta^step)

  __device__ __forceinline__ void operator()(const float (&in)[4], float (&out)[3]) const {
    const float g = grad_scale * in[1];
    const float first = keep1 * in[2] + take1 * g;
    const float second = keep2 * in[3] + take2 * g * g;
    out[0] = in[0] - shrink * in[0] - rate * (first * unbias1 / (sqrtf(second * unbias2) + eps));
    out[1] = first;
    out[2] = second;
  }
};

// in: x, average; out: average.
struct Average {
  float keep, take;
  __device__ __forceinline__ void operator()(const float (&in)[2], float (&out)[1]) const {
    out[0] = keep * in[1] + take * in[0];
  }
};

}  // namespace

int rhumb_adam(int64_t count, float *d_x, const float *d_gradient, float *d_m, float *d_v, float grad_scale, float lr,
               float beta1, float beta2, float eps, float weight_decay, int64_t step, void *stream) {
  int status = rhumb::check_counts("rhumb_adam", {{"count", count}});
  if (status == RHUMB_OK && step < 1) {
    status = rhumb::fail(RHUMB_INVALID_ARGUMENT, "rhumb_adam: step = %lld, but steps count from 1",
                         static_cast<long long>(step));
  }
  if (status == RHUMB_OK && count > 0) {
    status =
        rhumb::check_pointers("rhumb_adam", {{"d_x", d_x}, {"d_gradient", d_gradient}, {"d_m", d_m}, {"d_v", d_v}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const double b1 = beta1;
  const double b2 = beta2;
  const Adam op{grad_scale,
                lr,
                static_cast<float>(static_cast<double>(lr) * weight_decay),
                eps,
                beta1,
                static_cast<float>(1 - b1),
                beta2,
                static_cast<float>(1 - b2),
                static_cast<float>(1 / (1 - std::pow(b1, static_cast<double>(step)))),
                static_cast<float>(1 / (1 - std::pow(b2, static_cast<double>(step))))};
  return rhumb::launch_map<4, 3>("rhumb_adam: launch", {{d_x, d_gradient, d_m, d_v}}, {{d_x, d_m, d_v}}, op, count,
                                 stream);
}

int rhumb_average(int64_t count, const float *d_x, float decay, float *d_average, void *stream) {
  int status = rhumb::check_counts("rhumb_average", {{"count", count}});
  if (status == RHUMB_OK && count > 0) {
    status = rhumb::check_pointers("rhumb_average", {{"d_x", d_x}, {"d_average", d_average}});
  }
  if (status != RHUMB_OK) {
    return status;
  }
  const Average op{decay, static_cast<float>(1 - static_cast<double>(decay))};
  return rhumb::launch_map<2, 1>("rhumb_average: launch", {{d_x, d_average}}, {{d_average}}, op, count, stream);
}
