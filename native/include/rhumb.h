/*
 * The C ABI of Rhumb's native kernels: the one header that Java binds.
 *
 * Every call returns a rhumb_status (0: good) unless it says otherwise, and leaves the reason of a failure, with CUDA's
 * own text, in rhumb_last_error() of the calling thread. No call throws, exits, prints, allocates or waits: work is in
 * the order of the stream it names, and a call returns before the work is done; NULL is the default stream. It runs on
 * the calling thread's current device. Any thread may call, each buffer being written by one at a time.
 *
 * Pointers named d_... are device memory (in the host build: ordinary memory) of float32 unless typed otherwise, 4-byte
 * aligned at least; the caller owns everything it passes. Matrices are row-major; a ..._stride is the distance between
 * rows in elements. An output overlaps no input unless the call says so. The meaning of each operation (formula, edges,
 * ties) is that of the method of the same name in the Java package dev.rhumb.kernels.
 *
 * d_scratch: workspace of at least the bytes that the function of the same name with _scratch gives for the same shape,
 * 256-byte aligned; what it holds before and after a call means nothing. A call with too little is refused.
 *
 * d_faults: RHUMB_FAULTS uint64, all ones at first. A kernel that meets data it cannot use (an index out of range, a
 * score that is NaN) leaves row << 32 | value in its slot, the smallest of all, and goes on without the access. The
 * caller reads the slots when it next waits; what the faulting call wrote then means nothing.
 *
 * The same inputs give the same bits on the same device: sums run over a partition fixed by the shape, joined by a fixed
 * tree, without atomics on floats.
 */
#ifndef RHUMB_H
#define RHUMB_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RHUMB_API __attribute__((visibility("default")))

/* Version of this header: major * 10000 + minor * 100 + patch. The jar and the library must have the same. */
#define RHUMB_VERSION 100

enum rhumb_status {
  RHUMB_OK = 0,
  RHUMB_INVALID_ARGUMENT = 1, /* a pointer, count or option that the call does not take; nothing was done */
  RHUMB_OUT_OF_MEMORY = 2,    /* of the device */
  RHUMB_NO_DEVICE = 3,        /* no GPU that this library can use: none there, or no driver, or one too old */
  RHUMB_DEVICE_ERROR = 4      /* any other status of the CUDA runtime; it may stem from earlier work */
};

/* Slots of d_faults: who found the fault, and what the low half of its value is. */
enum rhumb_fault {
  RHUMB_FAULT_ROTARY_POSITION = 0,     /* the position of that row */
  RHUMB_FAULT_GATHER_ID = 1,           /* the id of that row */
  RHUMB_FAULT_SCATTER_ID = 2,          /* likewise */
  RHUMB_FAULT_ATTENTION_OFFSET = 3,    /* offsets[row] */
  RHUMB_FAULT_TARGET = 4,              /* the target of that row */
  RHUMB_FAULT_SAMPLE = 5,              /* sample[row]: out of range or not ascending */
  RHUMB_FAULT_GROUP_OFFSET = 6,        /* groupOffsets[row] */
  RHUMB_FAULT_EXCLUDED_OFFSET = 7,     /* excludedOffsets[row] */
  RHUMB_FAULT_EXCLUDED = 8,            /* of group `row`: the class that is out of range or not ascending */
  RHUMB_FAULT_NOTHING_TO_DRAW = 9,     /* of group `row`: 0 */
  RHUMB_FAULT_WEIGHT = 10,             /* of feature `row`: the bits of a weight that is not finite */
  RHUMB_FAULT_SUBSET = 11,             /* subset[row] */
  RHUMB_FAULT_ENCODE_NAN = 12,         /* the feature whose score of that row is NaN */
  RHUMB_FAULT_LIST_INDEX = 13,         /* the index in that row's list */
  RHUMB_FAULT_EDIT_NAN = 14,           /* the feature that an edit made NaN in that row */
  RHUMB_FAULT_TOP_ITEMS_NAN = 15,      /* the item whose score of that row is NaN */
  RHUMB_FAULT_TOP_ITEMS_OFFSET = 16,   /* excludedOffsets[row] */
  RHUMB_FAULTS = 32                    /* how many slots there are; the rest is kept for later */
};

enum rhumb_activation {
  RHUMB_NONE = 0,
  RHUMB_RELU = 1,
  RHUMB_GELU = 2,
  RHUMB_GELU_ERF = 3,
  RHUMB_SILU = 4
};

/* How products are made: rhumb_gemm, attention over whole sequences and the products of the softmax losses, forward and
   backward. Sums, and all that is no product, are float32 in either. */
enum rhumb_precision {
  RHUMB_FP32 = 0,
  RHUMB_BF16 = 1 /* both operands of each product rounded to bf16, to the nearest, ties to even */
};

/* RHUMB_VERSION as the library was built. Returns the number itself, not a status. */
RHUMB_API int rhumb_version(void);

/* What this build runs on: "cuda 13.0" or "host", the emulation for tests. Static text. */
RHUMB_API const char *rhumb_build(void);

/* A status in words. Static text, never NULL. */
RHUMB_API const char *rhumb_status_text(int status);

/* Why the calling thread's last failed call failed; "" before the first. Valid until the next failure on this thread. */
RHUMB_API const char *rhumb_last_error(void);

/* Sets *count to the number of usable GPUs. Where there is none: 0 and RHUMB_NO_DEVICE. */
RHUMB_API int rhumb_device_count(int *count);

/* --- Dense --------------------------------------------------------------------------------------------------------- */

/* Bytes of workspace of rhumb_gemm: 0 but where C is so small that k is divided. */
RHUMB_API int64_t rhumb_gemm_scratch(int64_t m, int64_t n, int64_t k);

/* C = act(alpha op(A) op(B) + beta C + bias). A (m, k), or (k, m) when transposed; B (k, n), or (n, k); C (m, n);
   bias (n) or NULL. beta 0: C is not read. */
RHUMB_API int rhumb_gemm(int precision, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                         const float *d_a, int64_t a_stride, const float *d_b, int64_t b_stride, float beta, float *d_c,
                         int64_t c_stride, const float *d_bias, int activation, void *d_scratch, int64_t scratch_bytes,
                         void *stream);

/* C = act(C + bias) in place: what follows a product made elsewhere. C (rows, cols); bias (cols) or NULL. */
RHUMB_API int rhumb_bias_activation(int64_t rows, int64_t cols, float *d_c, int64_t c_stride, const float *d_bias,
                                    int activation, void *stream);

/* Bytes of workspace of rhumb_column_sum. */
RHUMB_API int64_t rhumb_column_sum_scratch(int64_t rows, int64_t cols);

/* sum[c] = beta sum[c] + sum over rows of x[r][c]. x (rows, cols); sum (cols). */
RHUMB_API int rhumb_column_sum(int64_t rows, int64_t cols, const float *d_x, int64_t x_stride, float beta, float *d_sum,
                               void *d_scratch, int64_t scratch_bytes, void *stream);

/* y = alpha a + beta b, (count); y may be a or b. */
RHUMB_API int rhumb_add(int64_t count, float alpha, const float *d_a, float beta, const float *d_b, float *d_y,
                        void *stream);

/* Bytes of workspace of rhumb_squared_norm. */
RHUMB_API int64_t rhumb_squared_norm_scratch(int64_t count);

/* result[0] = sum of x[i]^2, summed in double. x (count); result (1). */
RHUMB_API int rhumb_squared_norm(int64_t count, const float *d_x, float *d_result, void *d_scratch,
                                 int64_t scratch_bytes, void *stream);

/* --- Layers -------------------------------------------------------------------------------------------------------- */

/* y = (x - mean) rstd gamma + beta. x, y (rows, cols), y may be x; gamma, beta (cols); mean, rstd (rows), both or
   neither NULL. */
RHUMB_API int rhumb_layer_norm(int64_t rows, int64_t cols, float eps, const float *d_x, int64_t x_stride,
                               const float *d_gamma, const float *d_beta, float *d_y, int64_t y_stride, float *d_mean,
                               float *d_rstd, void *stream);

/* Bytes of workspace of rhumb_layer_norm_backward. */
RHUMB_API int64_t rhumb_layer_norm_backward_scratch(int64_t rows, int64_t cols);

/* dx = dx_beta dx + its part; dgamma, dbeta (cols) are added to. dy, x, dx (rows, cols) contiguous; dx may be dy when
   dx_beta is 0. */
RHUMB_API int rhumb_layer_norm_backward(int64_t rows, int64_t cols, const float *d_dy, const float *d_x,
                                        const float *d_gamma, const float *d_mean, const float *d_rstd, float dx_beta,
                                        float *d_dx, float *d_dgamma, float *d_dbeta, void *d_scratch,
                                        int64_t scratch_bytes, void *stream);

/* y = x rstd gamma. x, y (rows, cols), y may be x; gamma (cols); rstd (rows) or NULL. */
RHUMB_API int rhumb_rms_norm(int64_t rows, int64_t cols, float eps, const float *d_x, int64_t x_stride,
                             const float *d_gamma, float *d_y, int64_t y_stride, float *d_rstd, void *stream);

/* Bytes of workspace of rhumb_rms_norm_backward. */
RHUMB_API int64_t rhumb_rms_norm_backward_scratch(int64_t rows, int64_t cols);

/* dx = dx_beta dx + its part; dgamma (cols) is added to. dy, x, dx (rows, cols) contiguous; dx may be dy when dx_beta
   is 0. */
RHUMB_API int rhumb_rms_norm_backward(int64_t rows, int64_t cols, const float *d_dy, const float *d_x,
                                      const float *d_gamma, const float *d_rstd, float dx_beta, float *d_dx,
                                      float *d_dgamma, void *d_scratch, int64_t scratch_bytes, void *stream);

/* y = silu(g) u, row r of x being g (cols), u (cols). x (rows, 2 cols), y (rows, cols), contiguous. */
RHUMB_API int rhumb_swiglu(int64_t rows, int64_t cols, const float *d_x, float *d_y, void *stream);

/* The gradient of rhumb_swiglu, set; dx (rows, 2 cols) may be x. */
RHUMB_API int rhumb_swiglu_backward(int64_t rows, int64_t cols, const float *d_x, const float *d_dy, float *d_dx,
                                    void *stream);

/* Rotary positions in place. positions (rows), from 0 to table_rows - 1; angles (table_rows, head_width): cosines,
   then sines; x (rows, heads head_width). */
RHUMB_API int rhumb_rotary(int64_t rows, int64_t heads, int64_t head_width, const int32_t *d_positions,
                           int64_t table_rows, const float *d_angles, int inverse, float *d_x, int64_t x_stride,
                           uint64_t *d_faults, void *stream);

/* y = act(x), (count); y may be x. */
RHUMB_API int rhumb_activation(int activation, int64_t count, const float *d_x, float *d_y, void *stream);

/* dx = dy act'(x), (count); dx may be dy. */
RHUMB_API int rhumb_activation_backward(int activation, int64_t count, const float *d_x, const float *d_dy, float *d_dx,
                                        void *stream);

/* y = x / (1 - p) where Philox keeps (row, col) of stream `offset`, else 0. x, y (rows, cols) contiguous; y may be x. */
RHUMB_API int rhumb_dropout(int64_t rows, int64_t cols, float p, int64_t key, int64_t offset, const float *d_x,
                            float *d_y, void *stream);

/* y[r] = beta y[r] + scale table[ids[r]]. ids (rows); table (table_rows, cols); y (rows, cols), contiguous. */
RHUMB_API int rhumb_gather(int64_t rows, int64_t cols, const int32_t *d_ids, int64_t table_rows, const float *d_table,
                           float scale, float beta, float *d_y, uint64_t *d_faults, void *stream);

/* table[ids[r]] = x[r]. ids (rows), distinct; x (rows, cols), table (table_rows, cols), contiguous. */
RHUMB_API int rhumb_scatter(int64_t rows, int64_t cols, const int32_t *d_ids, const float *d_x, int64_t table_rows,
                            float *d_table, uint64_t *d_faults, void *stream);

/* Bytes of workspace of rhumb_scatter_add. */
RHUMB_API int64_t rhumb_scatter_add_scratch(int64_t rows, int64_t cols, int64_t table_rows);

/* table[id] += scale times the sum of x[r] over the rows with ids[r] = id, ascending. x (rows, cols), table
   (table_rows, cols), contiguous. */
RHUMB_API int rhumb_scatter_add(int64_t rows, int64_t cols, const int32_t *d_ids, const float *d_x, float scale,
                                int64_t table_rows, float *d_table, void *d_scratch, int64_t scratch_bytes,
                                uint64_t *d_faults, void *stream);

/* --- Attention ----------------------------------------------------------------------------------------------------- */

/* Causal attention over packed sequences. offsets (sequences + 1); q, k, v, out (rows, heads head_width); log_sum_exp
   (rows, heads) or NULL. Dropout p by Philox stream `offset`. A row depends on rows of its own sequence and head
   alone: a NaN elsewhere changes no bit of it, here and in the backward pass.

   RHUMB_BF16, of heads up to 128 wide (wider ones are float32): q, k and v are rounded to bf16. Scores, the largest of
   them, exponentials and sums are float32. A weight, before it is divided by their sum, is 2^(score log2(e) - m), where m is
   the row's largest exponent rounded up to an integer; it is rounded to bf16 where it meets v, and out is divided by the
   sum of the rounded: the weights of a row sum to one. log_sum_exp is of those that are not rounded. */
RHUMB_API int rhumb_attention(int precision, int64_t sequences, const int32_t *d_offsets, int64_t rows, int64_t heads,
                              int64_t head_width, const float *d_q, int64_t q_stride, const float *d_k,
                              int64_t k_stride, const float *d_v, int64_t v_stride, float p, int64_t key,
                              int64_t offset, float *d_out, int64_t out_stride, float *d_log_sum_exp,
                              uint64_t *d_faults, void *stream);

/* Bytes of workspace of rhumb_attention_backward. */
RHUMB_API int64_t rhumb_attention_backward_scratch(int64_t rows, int64_t heads, int64_t head_width);

/* The gradients of rhumb_attention, set: dq, dk, dv (rows, heads head_width), from grad_out likewise.

   RHUMB_BF16, with what the forward pass gave in it: q, k, v and grad_out are rounded to bf16. The weights,
   e^(score - log_sum_exp), are rounded where they meet grad_out; the gradients of scores, before the scale, where they meet
   q and k. Both come from float32, as does grad_out . out with grad_out rounded. The scale, and dropout's factor in dv,
   follow the sums. */
RHUMB_API int rhumb_attention_backward(int precision, int64_t sequences, const int32_t *d_offsets, int64_t rows,
                                       int64_t heads, int64_t head_width, const float *d_q, int64_t q_stride, const float *d_k,
                                       int64_t k_stride, const float *d_v, int64_t v_stride, float p, int64_t key,
                                       int64_t offset, const float *d_out, int64_t out_stride,
                                       const float *d_log_sum_exp, const float *d_grad_out, int64_t grad_out_stride,
                                       float *d_dq, int64_t dq_stride, float *d_dk, int64_t dk_stride, float *d_dv,
                                       int64_t dv_stride, void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults,
                                       void *stream);

/* Adds to out what window - length padding positions of one key and value would have. pad_key, pad_value (heads
   head_width). */
RHUMB_API int rhumb_add_padding(int64_t sequences, const int32_t *d_offsets, int64_t rows, int64_t window,
                                int64_t heads, int64_t head_width, const float *d_q, int64_t q_stride,
                                const float *d_pad_key, const float *d_pad_value, const float *d_log_sum_exp,
                                float *d_out, int64_t out_stride, uint64_t *d_faults, void *stream);

/* One query for each sequence, over all of its keys. offsets (sequences + 1) as above, or NULL: one sequence of all rows; q, out
   (sequences, heads head_width); k, v (rows, heads head_width). A sequence without keys gives zeros. */
RHUMB_API int rhumb_attention_last(int64_t sequences, const int32_t *d_offsets, int64_t rows, int64_t heads,
                                   int64_t head_width, const float *d_q, int64_t q_stride, const float *d_k,
                                   int64_t k_stride, const float *d_v, int64_t v_stride, float *d_out,
                                   int64_t out_stride, uint64_t *d_faults, void *stream);

/* --- Loss ---------------------------------------------------------------------------------------------------------- */

/* Bytes of workspace of rhumb_softmax_cross_entropy. */
RHUMB_API int64_t rhumb_softmax_cross_entropy_scratch(int64_t rows, int64_t classes, int64_t width);

/* loss (1) = mean over rows of -log softmax(h w^T)[target]; dh (rows, width) set and dw (classes, width) added to,
   both or neither NULL. h (rows, width), w (classes, width). */
RHUMB_API int rhumb_softmax_cross_entropy(int precision, int64_t rows, int64_t classes, int64_t width,
                                          const float *d_h, const float *d_w, const int32_t *d_targets, float *d_loss,
                                          float *d_dh, float *d_dw, void *d_scratch, int64_t scratch_bytes,
                                          uint64_t *d_faults, void *stream);

/* Bytes of workspace of rhumb_sampled_softmax_cross_entropy. */
RHUMB_API int64_t rhumb_sampled_softmax_cross_entropy_scratch(int64_t rows, int64_t negatives, int64_t classes,
                                                              int64_t width);

/* The softmax over each row's target and one set of negatives. sample, bias (negatives); target_bias (classes); the
   rest as above. A row's own target is no part of a matrix product: float32 always. */
RHUMB_API int rhumb_sampled_softmax_cross_entropy(int precision, int64_t rows, int64_t negatives, int64_t classes,
                                                  int64_t width, const float *d_h, const float *d_w,
                                                  const int32_t *d_targets, const int32_t *d_sample,
                                                  const float *d_bias, const float *d_target_bias, float *d_loss,
                                                  float *d_dh, float *d_dw, void *d_scratch, int64_t scratch_bytes,
                                                  uint64_t *d_faults, void *stream);

/* Bytes of workspace of rhumb_binary_cross_entropy. */
RHUMB_API int64_t rhumb_binary_cross_entropy_scratch(int64_t rows, int64_t negatives, int64_t classes, int64_t width);

/* Binary cross-entropy against `negatives` classes drawn for each row by Philox stream `offset`. groups 0: the next
   three are NULL. */
RHUMB_API int rhumb_binary_cross_entropy(int64_t rows, int64_t negatives, int64_t classes, int64_t width,
                                         const float *d_h, const float *d_w, const int32_t *d_targets, int64_t groups,
                                         const int32_t *d_group_offsets, const int32_t *d_excluded_offsets,
                                         const int32_t *d_excluded, int64_t excluded_count, int64_t key, int64_t offset,
                                         float positive_weight, float *d_loss, float *d_dh, float *d_dw,
                                         void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults, void *stream);

/* --- Optimizer ----------------------------------------------------------------------------------------------------- */

/* Bytes of workspace of rhumb_clip. */
RHUMB_API int64_t rhumb_clip_scratch(int64_t count, int64_t rows);

/* scale (1) = min(1, most / norm) of a gradient in two parts: gradient (count), and dw (rows, cols) less the part of each row
   along that of w; NaN where its squared norm is no float32. rows 0: d_w and d_dw may be NULL. */
RHUMB_API int rhumb_clip(int64_t count, const float *d_gradient, int64_t rows, int64_t cols, const float *d_w,
                         const float *d_dw, float most, float *d_scale, void *d_scratch, int64_t scratch_bytes,
                         void *stream);

/* One step of AdamW on x, m, v (count); gradient (count) is scaled by grad_scale and, unless d_scale is NULL, by scale (1):
   where that is NaN nothing changes. step counts from 1. */
RHUMB_API int rhumb_adam(int64_t count, float *d_x, const float *d_gradient, float *d_m, float *d_v, float grad_scale,
                         const float *d_scale, float lr, float beta1, float beta2, float eps, float weight_decay,
                         int64_t step, void *stream);

/* average = decay average + (1 - decay) x, (count). */
RHUMB_API int rhumb_average(int64_t count, const float *d_x, float decay, float *d_average, void *stream);

/* --- Sparse autoencoder -------------------------------------------------------------------------------------------- */

/* One step of Adam on rows of unit norm: takes from the gradient its part along each row of w, steps, scales the row to unit
   norm. w, m, v (rows, cols); gradient (rows, cols) is scaled by scale (1) as in rhumb_adam. */
RHUMB_API int rhumb_project_adam_normalise(int64_t rows, int64_t cols, float *d_w, const float *d_gradient, float *d_m,
                                           float *d_v, const float *d_scale, float lr, float beta1, float beta2,
                                           float eps, int64_t step, void *stream);

/* Bytes of a packed encoder: d_encoder below, 256-byte aligned. */
RHUMB_API int64_t rhumb_encoder_bytes(int64_t capacity, int64_t width);

/* Packs W_enc (features, width), b_enc (features), b_dec (width), or the `taken` features that subset (ascending)
   names; NULL: all. */
RHUMB_API int rhumb_pack(void *d_encoder, int64_t capacity, int64_t width, int64_t features, const float *d_w_enc,
                         const float *d_b_enc, const float *d_b_dec, const int32_t *d_subset, int64_t taken,
                         uint64_t *d_faults, void *stream);

/* How a TopK encode selects. RHUMB_EXACT gives the same bits for a row whatever the device, the path taken and the rows beside
   it. RHUMB_EXACT_BF16 is the exact top-k, ties by index, of the scores that it returns: products of x - b_dec and W_enc, each
   rounded to bf16, summed in float32 and in an order that depends on the device and on the shape of the call. */
enum rhumb_selection {
  RHUMB_EXACT = 0,     /* by the float32 chains of the reference: certified from bf16 products, or made in float32 */
  RHUMB_EXACT_BF16 = 1 /* by the scores of bf16 operands with float32 sums: the exact top-k of those */
};

/* Bytes of workspace of rhumb_encode_top_k. */
RHUMB_API int64_t rhumb_encode_top_k_scratch(int64_t capacity, int64_t width, int64_t features, int64_t rows,
                                             int64_t kept);

/* The TopK encode: indices, values (rows, kept) in the order (score descending, feature ascending); values are
   max(score, 0), or the scores themselves where rectify is 0. `features` is how many the encoder holds. */
RHUMB_API int rhumb_encode_top_k(const void *d_encoder, int64_t capacity, int64_t width, int64_t features, int64_t rows,
                                 int64_t kept, int selection, int rectify, const float *d_x, int64_t x_stride,
                                 int32_t *d_indices, float *d_values, void *d_scratch, int64_t scratch_bytes,
                                 uint64_t *d_faults, void *stream);

/* Lists (rows, features) of the features whose scores are above theirs, ascending, with their activations. threshold,
   gain, offset (features). */
RHUMB_API int rhumb_encode_above(const void *d_encoder, int64_t capacity, int64_t width, int64_t features,
                                 const float *d_threshold, const float *d_gain, const float *d_offset, int64_t rows,
                                 const float *d_x, int64_t x_stride, int32_t *d_indices, float *d_values,
                                 uint64_t *d_faults, void *stream);

/* values = max(0, gain score + offset) where the score is above the threshold, else 0; values (rows, kept) may be
   scores. */
RHUMB_API int rhumb_activate(int64_t rows, int64_t kept, int64_t features, const int32_t *d_indices,
                             const float *d_scores, const float *d_threshold, const float *d_gain,
                             const float *d_offset, float *d_values, uint64_t *d_faults, void *stream);

/* Bytes of workspace of rhumb_keep_largest. */
RHUMB_API int64_t rhumb_keep_largest_scratch(int64_t rows, int64_t kept, int64_t features);

/* Leaves the `left` largest positive values of all lists; least (1) is the smallest left, or 0. */
RHUMB_API int rhumb_keep_largest(int64_t rows, int64_t kept, int64_t features, int64_t left, int32_t *d_indices,
                                 float *d_values, float *d_least, void *d_scratch, int64_t scratch_bytes,
                                 uint64_t *d_faults, void *stream);

/* Lists of the entries with low <= feature < high, in their order. */
RHUMB_API int rhumb_slice(int64_t rows, int64_t kept, int64_t features, int64_t low, int64_t high,
                          const int32_t *d_indices, const float *d_values, int32_t *d_to_indices, float *d_to_values,
                          uint64_t *d_faults, void *stream);

/* sums (rows): the sum of each list, in double. */
RHUMB_API int rhumb_sum_values(int64_t rows, int64_t kept, int64_t features, const int32_t *d_indices,
                               const float *d_values, float *d_sums, uint64_t *d_faults, void *stream);

/* y[r] = sum over i of values[r][i] W_dec[indices[r][i]] + b_dec. W_dec (features, width); b_dec (width) or NULL; y
   (rows, width). */
RHUMB_API int rhumb_decode(int64_t rows, int64_t kept, int64_t features, int64_t width, const int32_t *d_indices,
                           const float *d_values, const float *d_w_dec, const float *d_b_dec, float *d_y,
                           int64_t y_stride, uint64_t *d_faults, void *stream);

/* Bytes of workspace of rhumb_sae_backward. */
RHUMB_API int64_t rhumb_sae_backward_scratch(int64_t rows, int64_t kept, int64_t features, int64_t width);

/* The gradients of an autoencoder, added to: from g (rows, width), the gradient in the reconstruction. dz (rows, kept):
   g . W_dec of each entry, as rhumb_decode_loss gives it, or NULL; then W_dec is gathered for it. dw_enc, dw_dec (features,
   width), db_enc (features), db_dec (width). */
RHUMB_API int rhumb_sae_backward(int64_t rows, int64_t kept, int64_t features, int64_t width, const float *d_x,
                                 int64_t x_stride, const float *d_g, float slope, const int32_t *d_indices,
                                 const float *d_values, const float *d_dz, const float *d_w_enc, const float *d_w_dec,
                                 const float *d_b_dec, int decoder_bias, float *d_dw_enc, float *d_dw_dec,
                                 float *d_db_enc, float *d_db_dec, void *d_scratch, int64_t scratch_bytes,
                                 uint64_t *d_faults, void *stream);

/* One gather of each list's rows of W_dec, with e = x - x^: error (rows, width) = e; squares (rows) = sum over d of e^2;
   g = - s e (rows, width), where s = factor / denominator[0], or 0 where the denominator is 0; dz[i] = g . W_dec[indices[i]]
   (rows, kept), 0 where values[i] <= 0. d_denominator NULL: 1; d_b_dec NULL: none; d_error, d_dz NULL: not wanted. error may
   be x. */
RHUMB_API int rhumb_decode_loss(int64_t rows, int64_t kept, int64_t features, int64_t width, const float *d_x,
                                int64_t x_stride, double factor, const float *d_denominator, const int32_t *d_indices,
                                const float *d_values, const float *d_w_dec, const float *d_b_dec, float *d_error,
                                float *d_g, float *d_squares, float *d_dz, uint64_t *d_faults, void *stream);

/* Bytes of workspace of rhumb_threshold_backward. */
RHUMB_API int64_t rhumb_threshold_backward_scratch(int64_t rows, int64_t kept, int64_t features, int64_t width);

/* The straight-through gradient of thresholds, added to d_threshold (features). */
RHUMB_API int rhumb_threshold_backward(int64_t rows, int64_t kept, int64_t features, int64_t width, float bandwidth,
                                       const float *d_g, float slope, const int32_t *d_indices, const float *d_scores,
                                       const float *d_threshold, const float *d_w_dec, float *d_d_threshold,
                                       void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults, void *stream);

/* to[r] = beta to[r] + factors[r] w[r]. w, to (rows, cols) contiguous. */
RHUMB_API int rhumb_scale_rows(int64_t rows, int64_t cols, const float *d_factors, const float *d_w, float beta,
                               float *d_to, void *stream);

/* dots[r] = a[r].b[r], in double. a, b (rows, cols) contiguous. */
RHUMB_API int rhumb_dot_rows(int64_t rows, int64_t cols, const float *d_a, const float *d_b, float *d_dots,
                             void *stream);

/* dw -= (dw.w / w.w) w for each row; a row of zeros is left alone. */
RHUMB_API int rhumb_project_rows(int64_t rows, int64_t cols, const float *d_w, float *d_dw, void *stream);

/* Scales each row to unit norm; a row of zeros is left alone. */
RHUMB_API int rhumb_normalise_rows(int64_t rows, int64_t cols, float *d_w, void *stream);

/* counts[f] += the rows in which f has a value above 0. counts (features). */
RHUMB_API int rhumb_count_fired(int64_t rows, int64_t kept, int64_t features, const int32_t *d_indices,
                                const float *d_values, int32_t *d_counts, uint64_t *d_faults, void *stream);

enum rhumb_edit {
  RHUMB_ADD = 0,
  RHUMB_SET = 1,
  RHUMB_SCALE = 2,
  RHUMB_CLAMP = 3,
  RHUMB_ABLATE = 4
};
enum rhumb_stage {
  RHUMB_PRE_SELECT = 0,
  RHUMB_POST_SELECT = 1
};
enum rhumb_write {
  RHUMB_DELTA = 0,
  RHUMB_REPLACE = 1
};

/*
 * Edits of features, in the calls below: d_edits (edits, 4) int32 holds of each its feature, its rhumb_edit, and the bits
 * of its two float32 operands. Row r has the edits from d_edit_offsets[r] to d_edit_offsets[r + 1] - 1 (ascending from 0);
 * d_edit_offsets NULL: every row has all of them. Within a row features ascend without repeats.
 */

/* Bytes of workspace of rhumb_steer. */
RHUMB_API int64_t rhumb_steer_scratch(int64_t capacity, int64_t width, int64_t features, int64_t rows, int64_t kept,
                                      int64_t edits);

/* The steered decode: encodes x, edits, writes the change back to y (rows, width), which may be x; indices, values
   (rows, kept) are the encode before any edit. */
RHUMB_API int rhumb_steer(const void *d_encoder, int64_t capacity, int64_t width, int64_t features,
                          const float *d_w_dec, const float *d_b_dec, int64_t rows, int64_t kept, int selection,
                          const float *d_x, int64_t x_stride, int64_t edits, const int32_t *d_edits,
                          const int32_t *d_edit_offsets, int stage, int write, float *d_y, int64_t y_stride,
                          int32_t *d_indices, float *d_values, void *d_scratch, int64_t scratch_bytes,
                          uint64_t *d_faults, void *stream);

/* The write-back of edits at POST_SELECT from lists encoded before: y = x + the changes times their decoder rows, or
   the edited reconstruction. y may be x. */
RHUMB_API int rhumb_steer_lists(int64_t rows, int64_t kept, int64_t features, int64_t width, const int32_t *d_indices,
                                const float *d_values, const float *d_w_dec, const float *d_b_dec, const float *d_x,
                                int64_t x_stride, int64_t edits, const int32_t *d_edits, const int32_t *d_edit_offsets,
                                int stage, int write, float *d_y, int64_t y_stride, uint64_t *d_faults, void *stream);

/* rhumb_steer where features fire by thresholds; indices, values (rows, features) are the lists before any edit. */
RHUMB_API int rhumb_steer_above(const void *d_encoder, int64_t capacity, int64_t width, int64_t features,
                                const float *d_threshold, const float *d_gain, const float *d_offset,
                                const float *d_w_dec, const float *d_b_dec, int64_t rows, const float *d_x,
                                int64_t x_stride, int64_t edits, const int32_t *d_edits, const int32_t *d_edit_offsets,
                                int stage, int write, float *d_y, int64_t y_stride, int32_t *d_indices, float *d_values,
                                uint64_t *d_faults, void *stream);

/* --- Ranking ------------------------------------------------------------------------------------------------------- */

/* Bytes of workspace of rhumb_top_items. */
RHUMB_API int64_t rhumb_top_items_scratch(int64_t rows, int64_t width, int64_t table_rows, int64_t k);

/* The k best items of each row by h[row].table[item], items from 1, without the excluded ones; the rest is item 0
   with -infinity. items, scores (rows, k). */
RHUMB_API int rhumb_top_items(int64_t rows, int64_t width, int64_t table_rows, const float *d_h, int64_t h_stride,
                              const float *d_table, int64_t k, const int32_t *d_excluded_offsets,
                              const int32_t *d_excluded, int64_t excluded_count, int32_t *d_items, float *d_scores,
                              void *d_scratch, int64_t scratch_bytes, uint64_t *d_faults, void *stream);

#ifdef __cplusplus
}
#endif

#endif
