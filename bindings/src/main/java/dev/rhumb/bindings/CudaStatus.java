package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;

import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** What the driver's statuses mean. */
final class CudaStatus {
  private CudaStatus() {}

  /** Turns a status of the driver into an exception that names the call. */
  static void check(int status, String call) {
    if (status != Cuda.CUDA_SUCCESS()) {
      throw failure(status, call);
    }
  }

  /** The exception for a status that is not good. */
  static NativeException failure(int status, String call) {
    return new NativeException(kind(status), call + ": " + text(status));
  }

  /** A status in the driver's own words. */
  static String text(int status) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocate(ADDRESS);
      MemorySegment name = arena.allocate(ADDRESS);
      if (Cuda.cuGetErrorString(status, words) != Cuda.CUDA_SUCCESS()
          || Cuda.cuGetErrorName(status, name) != Cuda.CUDA_SUCCESS()) {
        return text(status, "which this driver has no words for", "unknown");
      }
      return text(
          status,
          DynamicLinker.text(words.get(ADDRESS, 0)),
          DynamicLinker.text(name.get(ADDRESS, 0)));
    }
  }

  /** The form of all of them: {@code status 2, out of memory (CUDA_ERROR_OUT_OF_MEMORY)}. */
  static String text(int status, String words, String name) {
    return "status " + status + ", " + words + " (" + name + ")";
  }

  static Kind kind(int status) {
    if (status == Cuda.CUDA_ERROR_INVALID_VALUE()) {
      return Kind.INVALID_ARGUMENT;
    }
    if (status == Cuda.CUDA_ERROR_OUT_OF_MEMORY()) {
      return Kind.OUT_OF_MEMORY;
    }
    if (status == Cuda.CUDA_ERROR_NO_DEVICE() || status == Cuda.CUDA_ERROR_INVALID_DEVICE()) {
      return Kind.NO_DEVICE;
    }
    return lost(status) ? Kind.DEVICE_LOST : Kind.DEVICE;
  }

  /** Whether, after this status of a closing call, there is nothing left to close. */
  static boolean isGone(int status) {
    return status == Cuda.CUDA_ERROR_DEINITIALIZED() || lost(status);
  }

  /** Whether every later call of this process fails after this status. */
  static boolean lost(int status) {
    return status == Cuda.CUDA_ERROR_DEVICE_UNAVAILABLE()
        || status == Cuda.CUDA_ERROR_ECC_UNCORRECTABLE()
        || status == Cuda.CUDA_ERROR_NVLINK_UNCORRECTABLE()
        || status == Cuda.CUDA_ERROR_CONTAINED()
        || status == Cuda.CUDA_ERROR_ILLEGAL_ADDRESS()
        || status == Cuda.CUDA_ERROR_LAUNCH_TIMEOUT()
        || status == Cuda.CUDA_ERROR_CONTEXT_IS_DESTROYED()
        || status == Cuda.CUDA_ERROR_ASSERT()
        || status == Cuda.CUDA_ERROR_HARDWARE_STACK_ERROR()
        || status == Cuda.CUDA_ERROR_ILLEGAL_INSTRUCTION()
        || status == Cuda.CUDA_ERROR_MISALIGNED_ADDRESS()
        || status == Cuda.CUDA_ERROR_INVALID_ADDRESS_SPACE()
        || status == Cuda.CUDA_ERROR_INVALID_PC()
        || status == Cuda.CUDA_ERROR_LAUNCH_FAILED()
        || status == Cuda.CUDA_ERROR_TENSOR_MEMORY_LEAK()
        || status == Cuda.CUDA_ERROR_MPS_CLIENT_TERMINATED()
        || status == Cuda.CUDA_ERROR_EXTERNAL_DEVICE()
        || status == Cuda.CUDA_ERROR_UNKNOWN();
  }
}
