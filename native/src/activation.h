// Activation functions and their slopes, enum rhumb_activation; to a few units in the last place of the larger of the
// result and 1. (The tails of GELU and SiLU, small numbers themselves, keep fewer digits.)
#pragma once

#include <cmath>

#include "status.h"

namespace rhumb {

inline int check_activation(const char *call, int activation) {
  if (activation < RHUMB_NONE || activation > RHUMB_SILU) {
    return fail(RHUMB_INVALID_ARGUMENT, "%s: activation = %d, but enum rhumb_activation ends at %d", call, activation,
                static_cast<int>(RHUMB_SILU));
  }
  return RHUMB_OK;
}

constexpr float kGelu1 = 1.5957691216f;    // 2 sqrt(2 / pi)
constexpr float kGelu3 = 0.07135481627f;   // that times 0.044715
constexpr float kRootHalf = 0.7071067812f;
constexpr float kDensity = 0.3989422804f;  // 1 / sqrt(2 pi)

// The standard normal distribution function.
__device__ __forceinline__ float normal_distribution(float x) { return 0.5f * erfcf(-x * kRootHalf); }

// NaN stays NaN. GELU is x s(z), with s the logistic function and z twice the argument of its tanh: the same value,
// which loses no digits where the tanh is near -1.
__device__ __forceinline__ float activate(int activation, float x) {
  switch (activation) {
    case RHUMB_RELU:
      return x > 0 || x != x ? x : 0;
    case RHUMB_GELU:
      return x / (1 + expf(-x * (kGelu1 + kGelu3 * x * x)));
    case RHUMB_GELU_ERF:
      return x * normal_distribution(x);
    case RHUMB_SILU:
      return x / (1 + expf(-x));
    default:
      return x;
  }
}

// s(z) + x z' s(z) s(-z): the slope of x s(z). `turn` is z'. By e^-|z|, which is never above 1.
__device__ __forceinline__ float logistic_slope(float x, float z, float turn) {
  const float decay = expf(-fabsf(z));
  const float share = 1 / (1 + decay);
  return (z < 0 ? decay : 1) * share + x * turn * decay * share * share;
}

__device__ __forceinline__ float activation_slope(int activation, float x) {
  // So far out every slope is 0 or 1 in a float, and its terms are finite.
  const float near = x > 110 ? 110 : x < -110 ? -110 : x;
  const float square = near * near;
  switch (activation) {
    case RHUMB_RELU:
      return x > 0 ? 1 : 0;
    case RHUMB_GELU:
      return logistic_slope(near, near * (kGelu1 + kGelu3 * square), kGelu1 + 3 * kGelu3 * square);
    case RHUMB_GELU_ERF:
      return normal_distribution(near) + near * kDensity * expf(-0.5f * square);
    case RHUMB_SILU:
      return logistic_slope(near, near, 1);
    default:
      return 1;
  }
}

}  // namespace rhumb
