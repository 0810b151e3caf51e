// The part of cuBLAS that bindings/jextract/cublas.h declares, by plain loops.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <set>
#include <vector>

#include "cuda_on_host.h"
#include "driver_on_host.h"
#include "settings.h"

extern "C" {
#pragma GCC visibility push(default)
#include "cublas.h"
#pragma GCC visibility pop
}

using rhumb_host::Setting;
using rhumb_host::setting;

struct cublasContext {
  CUcontext context;
  cudaStream_t stream;
};

namespace {

// Statuses that Rhumb only passes on, and so does not bind.
enum { CUBLAS_STATUS_EXECUTION_FAILED = 13, CUBLAS_STATUS_INTERNAL_ERROR = 14, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum { CUBLAS_OP_C = 2 };  // conjugate transpose, for real numbers the transpose

std::mutex lock;
std::set<cublasHandle_t> alive;

bool is_alive(cublasHandle_t handle) {
  std::lock_guard<std::mutex> guard(lock);
  return alive.count(handle) != 0;
}

struct Matrix {
  const void *data;
  int type, ld;
  bool transposed;
  bool rounded;  // float32 read as bf16

  float at(int row, int column) const {
    const size_t i = transposed ? static_cast<size_t>(row) * ld + column : static_cast<size_t>(column) * ld + row;
    if (type == CUDA_R_32F) {
      const float x = static_cast<const float *>(data)[i];
      return rounded ? __bfloat162float(__float2bfloat16_rn(x)) : x;
    }
    return __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[i]);
  }
  // The same a batch further.
  Matrix moved(long long elements) const {
    return {static_cast<const char *>(data) + elements * (type == CUDA_R_32F ? 4 : 2), type, ld, transposed, rounded};
  }
};

// C (m, n) = alpha op(A) (m, k) op(B) (k, n) + beta C; C is not read where beta is 0.
void multiply(int m, int n, int k, float alpha, const Matrix &a, const Matrix &b, float beta, const Matrix &c) {
  std::vector<float> left(static_cast<size_t>(m) * k);
  for (int p = 0; p < k; p++) {
    for (int i = 0; i < m; i++) {
      left[static_cast<size_t>(p) * m + i] = a.at(i, p);
    }
  }
  std::vector<float> sums(m);
  for (int j = 0; j < n; j++) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int p = 0; p < k; p++) {
      const float factor = b.at(p, j);
      const float *column = left.data() + static_cast<size_t>(p) * m;
      for (int i = 0; i < m; i++) {
        sums[i] += column[i] * factor;
      }
    }
    for (int i = 0; i < m; i++) {
      const float value = alpha * sums[i] + (beta == 0 ? 0 : beta * c.at(i, j));
      const size_t at = static_cast<size_t>(j) * c.ld + i;
      if (c.type == CUDA_R_32F) {
        static_cast<float *>(const_cast<void *>(c.data))[at] = value;
      } else {
        static_cast<__nv_bfloat16 *>(const_cast<void *>(c.data))[at] = __float2bfloat16_rn(value);
      }
    }
  }
}

}  // namespace

int cublasCreate_v2(cublasHandle_t *handle) {
  CUcontext context = nullptr;
  if (cuCtxGetCurrent(&context) != CUDA_SUCCESS || context == nullptr) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  std::lock_guard<std::mutex> guard(lock);
  *handle = new cublasContext{context, nullptr};
  alive.insert(*handle);
  setting(Setting::CUBLAS_HANDLES)++;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasDestroy_v2(cublasHandle_t handle) {
  std::lock_guard<std::mutex> guard(lock);
  if (alive.erase(handle) == 0) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  delete handle;
  setting(Setting::CUBLAS_HANDLES)--;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasGetVersion_v2(cublasHandle_t, int *version) {
  *version = 130000;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  if (!is_alive(handle)) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes) {
  if (!is_alive(handle)) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  const bool aligned = reinterpret_cast<uintptr_t>(workspace) % 256 == 0;
  return aligned && (workspace != nullptr || bytes == 0) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

int cublasSetMathMode(cublasHandle_t handle, int) {
  return is_alive(handle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

const char *cublasGetStatusString(int status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the library was successfully used";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an invalid value was used as an argument";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
    default:
      return "unknown status";
  }
}

int cublasGemmStridedBatchedEx(cublasHandle_t handle, int opA, int opB, int m, int n, int k, const void *alpha,
                               const void *A, int typeA, int lda, long long strideA, const void *B, int typeB, int ldb,
                               long long strideB, const void *beta, void *C, int typeC, int ldc, long long strideC,
                               int batch, int computeType, int) {
  if (!is_alive(handle)) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  const auto is_op = [](int op) { return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C; };
  if (!is_op(opA) || !is_op(opB) || m < 0 || n < 0 || k < 0 || batch < 0 || alpha == nullptr || beta == nullptr ||
      lda < std::max(1, opA == CUBLAS_OP_N ? m : k) || ldb < std::max(1, opB == CUBLAS_OP_N ? k : n) ||
      ldc < std::max(1, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const auto is_type = [](int type) { return type == CUDA_R_32F || type == CUDA_R_16BF; };
  if (!is_type(typeA) || typeB != typeA || !is_type(typeC) || (typeA == CUDA_R_32F && typeC != CUDA_R_32F) ||
      (computeType != CUBLAS_COMPUTE_32F && computeType != CUBLAS_COMPUTE_32F_FAST_16BF)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (m == 0 || n == 0 || batch == 0) {
    return CUBLAS_STATUS_SUCCESS;
  }
  const float by = *static_cast<const float *>(alpha);
  const float keep = *static_cast<const float *>(beta);
  // All that may be rounded is: what a caller cannot live with shows.
  const bool rounded = computeType == CUBLAS_COMPUTE_32F_FAST_16BF;
  const Matrix a{A, typeA, lda, opA != CUBLAS_OP_N, rounded};
  const Matrix b{B, typeB, ldb, opB != CUBLAS_OP_N, rounded};
  const Matrix c{C, typeC, ldc, false, false};
  const int status = rhumb_host::submit_launch(handle->stream, [=] {
    for (int i = 0; i < batch; i++) {
      multiply(m, n, k, by, a.moved(i * strideA), b.moved(i * strideB), keep, c.moved(i * strideC));
    }
    return 0;
  });
  return status == 0 ? CUBLAS_STATUS_SUCCESS : static_cast<int>(CUBLAS_STATUS_EXECUTION_FAILED);
}

int cublasGemmEx(cublasHandle_t handle, int opA, int opB, int m, int n, int k, const void *alpha, const void *A,
                 int typeA, int lda, const void *B, int typeB, int ldb, const void *beta, void *C, int typeC, int ldc,
                 int computeType, int algorithm) {
  return cublasGemmStridedBatchedEx(handle, opA, opB, m, n, k, alpha, A, typeA, lda, 0, B, typeB, ldb, 0, beta, C, typeC,
                                    ldc, 0, 1, computeType, algorithm);
}

int cublasSgemm_v2(cublasHandle_t handle, int opA, int opB, int m, int n, int k, const float *alpha, const float *A,
                   int lda, const float *B, int ldb, const float *beta, float *C, int ldc) {
  return cublasGemmEx(handle, opA, opB, m, n, k, alpha, A, CUDA_R_32F, lda, B, CUDA_R_32F, ldb, beta, C, CUDA_R_32F, ldc,
                      CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
