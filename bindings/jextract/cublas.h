/*
 * The part of cuBLAS that Rhumb calls from Java: a handle, its stream and workspace, and products of matrices. Own
 * declarations of the published interface, which libcublas.so.12 and .13 share: binding it needs no toolkit.
 */
#ifndef RHUMB_CUBLAS_H
#define RHUMB_CUBLAS_H

#include <stddef.h>

typedef struct cublasContext *cublasHandle_t;
typedef struct CUstream_st *cudaStream_t;

enum {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7
};
enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum { CUBLAS_DEFAULT_MATH = 0 }; /* float32 products in float32, never in TF32 */
enum { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
enum {
  CUBLAS_COMPUTE_32F = 68,
  CUBLAS_COMPUTE_32F_FAST_16BF = 75 /* float32 operands, which may be rounded to bf16 or tf32 */
};
enum { CUBLAS_GEMM_DEFAULT = -1 };

int cublasCreate_v2(cublasHandle_t *handle);
int cublasDestroy_v2(cublasHandle_t handle);
int cublasGetVersion_v2(cublasHandle_t handle, int *version);
int cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream);
int cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes);
int cublasSetMathMode(cublasHandle_t handle, int mode);
const char *cublasGetStatusString(int status);

/* Column-major: C (m, n) = alpha * op(A) (m, k) * op(B) (k, n) + beta * C. */
int cublasSgemm_v2(cublasHandle_t handle, int opA, int opB, int m, int n, int k, const float *alpha, const float *A,
                   int lda, const float *B, int ldb, const float *beta, float *C, int ldc);
int cublasGemmEx(cublasHandle_t handle, int opA, int opB, int m, int n, int k, const void *alpha, const void *A,
                 int typeA, int lda, const void *B, int typeB, int ldb, const void *beta, void *C, int typeC, int ldc,
                 int computeType, int algorithm);
int cublasGemmStridedBatchedEx(cublasHandle_t handle, int opA, int opB, int m, int n, int k, const void *alpha,
                               const void *A, int typeA, int lda, long long strideA, const void *B, int typeB, int ldb,
                               long long strideB, const void *beta, void *C, int typeC, int ldc, long long strideC,
                               int batch, int computeType, int algorithm);

#endif
