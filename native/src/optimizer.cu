// Steps of optimizers: one pass over the parameters, bound by memory.
#include "adam.h"
#include "elementwise.h"

namespace {

// in: x, gradient, m, v; out: x, m, v.
struct Step {
  rhumb::Adam adam;

  __device__ __forceinline__ void operator()(const float (&in)[4], float (&out)[3]) const {
    const float scale = adam.gradient_scale();
    out[0] = in[0];
    out[1] = in[2];
    out[2] = in[3];
    if (!isnan(scale)) {
      adam.step(scale, in[1], out[0], out[1], out[2]);
    }
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

int rhumb_adam(int64_t count, float *d_x, const float *d_gradient, float *d_m, float *d_v, float grad_scale,
               const float *d_scale, float lr, float beta1, float beta2, float eps, float weight_decay, int64_t step,
               void *stream) {
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
  const Step op{{grad_scale, d_scale, lr, beta1, beta2, eps, weight_decay, step}};
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
