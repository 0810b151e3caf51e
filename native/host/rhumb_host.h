/*
 * What librhumb_host.so has besides rhumb.h: the emulated machine's settings and counters, for tests. Beside these it exports
 * the parts of CUDA's driver and of cuBLAS that bindings/jextract/cuda_driver.h and cublas.h declare.
 *
 * Settings start from the environment, setting `order` from RHUMB_HOST_ORDER and so on:
 *
 *   order            0..3   in which order threads run: forward, backward, strided, random
 *   seed             of the random order
 *   mma              0 or "nearest", 1 or "truncate": how tensor cores sum
 *   devices          how many GPUs there are; 0: cuInit and all that follows say CUDA_ERROR_NO_DEVICE
 *   driver_version   that cuDriverGetVersion tells, 13000 for 13.0; below 13000 rhumb.h's calls find it too old
 *   memory_bytes     of each device; allocations beyond it get CUDA_ERROR_OUT_OF_MEMORY
 *   multiprocessors  of each device
 *   shared_bytes     of a block, with cudaFuncSetAttribute
 *   compute_capability  of each device, 90 for 9.0
 *   deferred         1: work of a context waits until somebody waits for it, as it may on a GPU; so what reads a result too
 *                    early, or changes host memory before its copy, is seen
 *   fail_launch      n > 0: the n-th launch from now does not run and breaks the context (CUDA_ERROR_ILLEGAL_ADDRESS at the
 *                    next call that would wait, and at every call after it); counts down to 0
 *
 * Fresh memory holds NaN (0xfffa in every 16 bits), and 64 bytes behind each allocation must stay as they are.
 *
 * Counters, of what is alive: allocations, allocated_bytes, host_allocations, streams, events, graphs, executables (of
 * graphs), cublas_handles, contexts (retained primary ones). Of what has been: launches (of kernels and of cuBLAS, also by
 * graphs), graph_launches, graph_nodes (kernels, copies and fills of the graphs launched), waits (of the caller for a stream
 * or an event), and most_bytes, the highest that allocated_bytes was; setting it, to any value, starts it anew.
 */
#ifndef RHUMB_HOST_H
#define RHUMB_HOST_H

#ifdef __cplusplus
extern "C" {
#endif

/* 0, or 1 for a name that is none or cannot be set. */
__attribute__((visibility("default"))) int rhumb_host_set(const char *name, long value);

/* A setting or a counter; -1 for a name that is neither. */
__attribute__((visibility("default"))) long rhumb_host_get(const char *name);

#ifdef __cplusplus
}
#endif

#endif
