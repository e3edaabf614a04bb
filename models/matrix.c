#include "models/matrix.h"

#include <assert.h>
#include <string.h>

#include "models/half.h"

int matrix_n_panel(const struct matrix *m)
{
    return (m->rows + MATRIX_PANEL - 1) / MATRIX_PANEL;
}

int matrix_panel_rows(const struct matrix *m, int p)
{
    int left = m->rows - p * MATRIX_PANEL;
    return left < MATRIX_PANEL ? left : MATRIX_PANEL;
}

size_t matrix_panel_width(const struct matrix *m, int p)
{
    return ((size_t)matrix_panel_rows(m, p) + MATRIX_LANES - 1) / MATRIX_LANES * MATRIX_LANES;
}

size_t matrix_panel_at(const struct matrix *m, int p)
{
    return (size_t)p * MATRIX_PANEL * matrix_depth(m);
}

size_t matrix_depth(const struct matrix *m)
{
    size_t cols = (size_t)m->cols;
    return m->is_bf16 ? (cols + MATRIX_DEPTH - 1) / MATRIX_DEPTH * MATRIX_DEPTH : cols;
}

size_t matrix_elements(const struct matrix *m)
{
    int last = matrix_n_panel(m) - 1;
    return matrix_panel_at(m, last) + matrix_panel_width(m, last) * matrix_depth(m);
}

size_t matrix_index(const struct matrix *m, int row, int col)
{
    assert(row >= 0 && row < m->rows && col >= 0 && col < m->cols);
    int p = row / MATRIX_PANEL;
    size_t c = (size_t)col, r = (size_t)(row % MATRIX_PANEL), at = matrix_panel_at(m, p),
           width = matrix_panel_width(m, p);
    return at + (m->is_bf16 ? (c / 2 * width + r) * 2 + c % 2 : c * width + r);
}

float matrix_get(const struct matrix *m, int row, int col)
{
    size_t i = matrix_index(m, row, col);
    return m->f32 ? m->f32[i] : half_from_bf16(m->bf16[i]);
}

void matrix_row(const struct matrix *m, int row, float *out)
{
    size_t at = matrix_index(m, row, 0), step = matrix_panel_width(m, row / MATRIX_PANEL), cols = (size_t)m->cols;
    for (size_t c = 0; c < cols; c++)
        out[c] = m->f32 ? m->f32[at + c * step] : half_from_bf16(m->bf16[at + c / 2 * 2 * step + c % 2]);
}

/* Sixteen rows at a time, so that whole cache lines are written. `size` of an element, and how many columns lie side by
 * side, are constants of each caller. */
static inline __attribute__((always_inline)) void pack(const struct matrix *m, char *to, const char *src, int n,
                                                       int first, const int *where, const size_t size,
                                                       const size_t beside)
{
#pragma omp parallel for schedule(static) if ((size_t)n * (size_t)m->cols > 1 << 16)
    for (int i0 = 0; i0 < n; i0 += MATRIX_LANES) {
        size_t at[MATRIX_LANES], step[MATRIX_LANES], cols = (size_t)m->cols;
        int k = n - i0 < MATRIX_LANES ? n - i0 : MATRIX_LANES;
        for (int i = 0; i < k; i++) {
            int row = where ? where[i0 + i] : first + i0 + i;
            at[i] = matrix_index(m, row, 0);
            step[i] = matrix_panel_width(m, row / MATRIX_PANEL);
        }
        for (size_t c = 0; c < cols; c++)
            for (int i = 0; i < k; i++)
                memcpy(to + (at[i] + c / beside * beside * step[i] + c % beside) * size,
                       src + ((size_t)(i0 + i) * cols + c) * size, size);
    }
}

void matrix_pack_f32(const struct matrix *m, float *to, const float *src, int n, int first, const int *where)
{
    pack(m, (char *)to, (const char *)src, n, first, where, sizeof *to, 1);
}

void matrix_pack_bf16(const struct matrix *m, uint16_t *to, const uint16_t *src, int n, int first, const int *where)
{
    pack(m, (char *)to, (const char *)src, n, first, where, sizeof *to, 2);
}

void matrix_touch(const struct matrix *m, void *to)
{
    enum { PAGE = 4096, WORTH = 1 << 20 };
    size_t size = m->is_bf16 ? 2 : 4;
#pragma omp parallel for schedule(static) if (matrix_elements(m) * size > WORTH)
    for (int p = 0; p < matrix_n_panel(m); p++) {
        char *at = (char *)to + matrix_panel_at(m, p) * size;
        size_t n = matrix_panel_width(m, p) * matrix_depth(m) * size;
        if (matrix_depth(m) > (size_t)m->cols || matrix_panel_width(m, p) > (size_t)matrix_panel_rows(m, p))
            memset(at, 0, n);
        for (size_t i = 0; i < n; i += PAGE)
            ((volatile char *)at)[i] = 0;
    }
}

int matrix_gate_up_row(int d_ff, int up, int i)
{
    int p = i / MATRIX_PANEL, left = d_ff - p * MATRIX_PANEL, half = left < MATRIX_PANEL ? left : MATRIX_PANEL;
    return 2 * MATRIX_PANEL * p + up * half + i % MATRIX_PANEL;
}
