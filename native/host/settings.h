// The settings and counters of rhumb_host.h, for the emulation itself.
#pragma once

#include <atomic>

namespace rhumb_host {

enum class Setting {
  ORDER,
  SEED,
  MMA,
  DEVICES,
  DRIVER_VERSION,
  MEMORY_BYTES,
  MULTIPROCESSORS,
  SHARED_BYTES,
  COMPUTE_CAPABILITY,
  DEFERRED,
  FAIL_LAUNCH,
  // Counters follow.
  ALLOCATIONS,
  ALLOCATED_BYTES,
  HOST_ALLOCATIONS,
  STREAMS,
  EVENTS,
  GRAPHS,
  EXECUTABLES,
  CUBLAS_HANDLES,
  CONTEXTS,
  LAUNCHES,
  GRAPH_LAUNCHES,
  GRAPH_NODES,
  WAITS,
  MOST_BYTES
};

std::atomic<long> &setting(Setting which);

}  // namespace rhumb_host
