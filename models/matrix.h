/* A weight matrix [rows][cols], held in panels: the order in which the kernels read it, the same for prefill, cells and
 * the reference. Panel p holds output rows [p MATRIX_PANEL, (p + 1) MATRIX_PANEL), stored [cols][width]: the outputs of
 * one column lie side by side, and a product with few rows reads memory from front to back. The last panel may be
 * narrower; its width is rounded up to MATRIX_LANES with zeros.
 *
 * bf16 is held in pairs, as the processors' own instructions for it take their operands: [depth / 2][width][2], columns
 * 2 i and 2 i + 1 of one output side by side, and the depth is cols rounded up to MATRIX_DEPTH with zeros.
 *
 *   gate and up of a feed-forward layer are one matrix in which MATRIX_PANEL rows of gate and the same rows of up take
 *   turns (the last turn may be shorter), so that a turn's product can be gated while it is in cache. */
#ifndef MODELS_MATRIX_H
#define MODELS_MATRIX_H

#include <stddef.h>
#include <stdint.h>

enum { MATRIX_PANEL = 96, MATRIX_LANES = 16, MATRIX_DEPTH = 32 };

/* Exactly one of the pointers is set: bf16 when is_bf16 is 1. */
struct matrix {
    int rows, cols, is_bf16;
    const float *f32;
    const uint16_t *bf16;
};

int matrix_n_panel(const struct matrix *m);
int matrix_panel_rows(const struct matrix *m, int p);     /* without the padding */
size_t matrix_panel_width(const struct matrix *m, int p); /* with it: the leading dimension */
size_t matrix_panel_at(const struct matrix *m, int p);    /* first element, index into f32 or bf16 */
size_t matrix_depth(const struct matrix *m);              /* columns, padding included */
size_t matrix_elements(const struct matrix *m);           /* to allocate, padding included */

/* Index of element (row, col). */
size_t matrix_index(const struct matrix *m, int row, int col);
float matrix_get(const struct matrix *m, int row, int col);   /* slow: reference kernels and tests */
void matrix_row(const struct matrix *m, int row, float *out); /* out[cols] */

/* Writes rows of row-major src[n][cols] to the panels at `to` (f32 or bf16 as the matrix says); row i goes to
 * where[i], or to first + i when where is NULL. Padding is left alone: `to` must have been zeroed. */
void matrix_pack_f32(const struct matrix *m, float *to, const float *src, int n, int first, const int *where);
void matrix_pack_bf16(const struct matrix *m, uint16_t *to, const uint16_t *src, int n, int first, const int *where);

/* Before anything is packed: zeros to the padding, and every page of `to` written once by the thread that
 * kernels_rows_matmul will have read it, so that it lies in that thread's memory where there are several. */
void matrix_touch(const struct matrix *m, void *to);

/* Row of the joined gate-up matrix that holds row i of gate (up = 0) or up (up = 1). */
int matrix_gate_up_row(int d_ff, int up, int i);

#endif
