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
    return (size_t)p * MATRIX_PANEL * (size_t)m->cols;
}

size_t matrix_elements(const struct matrix *m)
{
    int last = matrix_n_panel(m) - 1;
    return matrix_panel_at(m, last) + matrix_panel_width(m, last) * (size_t)m->cols;
}

size_t matrix_index(const struct matrix *m, int row, int col)
{
    assert(row >= 0 && row < m->rows && col >= 0 && col < m->cols);
    int p = row / MATRIX_PANEL;
    return matrix_panel_at(m, p) + (size_t)col * matrix_panel_width(m, p) + (size_t)(row % MATRIX_PANEL);
}

float matrix_get(const struct matrix *m, int row, int col)
{
    size_t i = matrix_index(m, row, col);
    return m->f32 ? m->f32[i] : half_from_bf16(m->bf16[i]);
}

void matrix_row(const struct matrix *m, int row, float *out)
{
    size_t at = matrix_index(m, row, 0), step = matrix_panel_width(m, row / MATRIX_PANEL);
    for (int c = 0; c < m->cols; c++, at += step)
        out[c] = m->f32 ? m->f32[at] : half_from_bf16(m->bf16[at]);
}

/* Sixteen rows at a time, so that whole cache lines are written. `size` of an element is a constant of each caller. */
static inline __attribute__((always_inline)) void pack(const struct matrix *m, char *to, const char *src, int n,
                                                       int first, const int *where, const size_t size)
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
                memcpy(to + (at[i] + c * step[i]) * size, src + ((size_t)(i0 + i) * cols + c) * size, size);
    }
}

void matrix_pack_f32(const struct matrix *m, float *to, const float *src, int n, int first, const int *where)
{
    pack(m, (char *)to, (const char *)src, n, first, where, sizeof *to);
}

void matrix_pack_bf16(const struct matrix *m, uint16_t *to, const uint16_t *src, int n, int first, const int *where)
{
    pack(m, (char *)to, (const char *)src, n, first, where, sizeof *to);
}

int matrix_gate_up_row(int d_ff, int up, int i)
{
    int p = i / MATRIX_PANEL, left = d_ff - p * MATRIX_PANEL, half = left < MATRIX_PANEL ? left : MATRIX_PANEL;
    return 2 * MATRIX_PANEL * p + up * half + i % MATRIX_PANEL;
}
