/* Products whose every output is a sum over k from the front, in single precision with fused multiply-add: the order
 * does not depend on how many rows or columns are computed together, so tiles may have any shape and a row's bits are
 * the same alone and among others. A tile keeps R x V vectors of sums in registers:
 *
 *   for k: load V vectors of w[k][...]; for every row r: broadcast x[r][k], multiply, add
 *
 * Tiles are as large as the registers of the machine allow (32 of 64 bytes, or 16 of 32), in vectors that fit one
 * register. */
#include "models/kernels_rows.h"

#include <omp.h>
#include <stdint.h>
#include <string.h>

#include "harness/base/cpu.h"
#include "models/kernels.h"
#include "models/kernels_many.h"
#include "models/lanes.h"
#include "models/share.h"

/* One call's operands; x[r][k] lies at x[r * row_step + k * k_step]. One of w and w16 is set. */
struct operands {
    float *y;
    size_t ldy;
    const float *x;
    size_t row_step, k_step;
    const float *w;
    const uint16_t *w16; /* bf16, two columns side by side: [k / 2][ldw][2] */
    size_t ldw, k;
    int add; /* the sums are added to what y holds */
};

/* Weights [i][col ...], where i is even when `part` is 0. */
#define LOAD(NAME, LANES) \
    INLINE void NAME(LANES *to, const struct operands *o, size_t i, size_t col, const int half, const int part) \
    { \
        if (half) \
            LANES##_widen(to, o->w16 + 2 * (i / 2 * o->ldw + col), part); \
        else \
            *to = *(const LANES *)(o->w + i * o->ldw + col); \
    }
LOAD(load8, lanes8)
LOAD(load16, lanes16)

/* Adds term i to the sums. ahead: how many bytes before their use weights are asked for; 0: not at all. */
INLINE void term16(lanes16 sum[6][6], const struct operands *o, const float *x, size_t i, int col, const int R,
                   const int V, const int half, const int part, const int ahead)
{
    lanes16 b[6];
    for (int v = 0; v < V; v++) {
        size_t at = (size_t)(col + 16 * v);
        if (ahead && !part)
            __builtin_prefetch(
                (half ? (const char *)(o->w16 + 2 * (i / 2 * o->ldw + at)) : (const char *)(o->w + i * o->ldw + at)) +
                ahead);
        load16(&b[v], o, i, at, half, part);
    }
    for (int r = 0; r < R; r++) {
        float a = x[(size_t)r * o->row_step + i * o->k_step];
        for (int v = 0; v < V; v++)
            sum[r][v] += b[v] * a;
    }
}

INLINE void tile16(const struct operands *o, int row, int col, const int R, const int V, const int half,
                   const int ahead)
{
    lanes16 sum[6][6];
    const float *x = o->x + (size_t)row * o->row_step;
    float *y = o->y + (size_t)row * o->ldy + col;
    size_t i = 0;
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            sum[r][v] = (lanes16){0};
    for (; half && i + 2 <= o->k; i += 2) {
        term16(sum, o, x, i, col, R, V, half, 0, ahead);
        term16(sum, o, x, i + 1, col, R, V, half, 1, ahead);
    }
    for (; i < o->k; i++)
        term16(sum, o, x, i, col, R, V, half, 0, ahead);
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            if (o->add)
                *(lanes16 *)(y + (size_t)r * o->ldy + 16 * v) += sum[r][v];
            else
                *(lanes16 *)(y + (size_t)r * o->ldy + 16 * v) = sum[r][v];
}

INLINE void term8(lanes8 sum[12][8], const struct operands *o, const float *x, size_t i, int col, const int R,
                  const int V, const int half, const int part)
{
    lanes8 b[8];
    for (int v = 0; v < V; v++)
        load8(&b[v], o, i, (size_t)(col + 8 * v), half, part);
    for (int r = 0; r < R; r++) {
        float a = x[(size_t)r * o->row_step + i * o->k_step];
        for (int v = 0; v < V; v++)
            sum[r][v] += b[v] * a;
    }
}

INLINE void tile8(const struct operands *o, int row, int col, const int R, const int V, const int half)
{
    lanes8 sum[12][8];
    const float *x = o->x + (size_t)row * o->row_step;
    float *y = o->y + (size_t)row * o->ldy + col;
    size_t i = 0;
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            sum[r][v] = (lanes8){0};
    for (; half && i + 2 <= o->k; i += 2) {
        term8(sum, o, x, i, col, R, V, half, 0);
        term8(sum, o, x, i + 1, col, R, V, half, 1);
    }
    for (; i < o->k; i++)
        term8(sum, o, x, i, col, R, V, half, 0);
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            if (o->add)
                *(lanes8 *)(y + (size_t)r * o->ldy + 8 * v) += sum[r][v];
            else
                *(lanes8 *)(y + (size_t)r * o->ldy + 8 * v) = sum[r][v];
}

INLINE void tile1(const struct operands *o, int row, int col)
{
    const float *x = o->x + (size_t)row * o->row_step, *w = o->w + col;
    float sum = 0, *y = o->y + (size_t)row * o->ldy + (size_t)col;
    for (size_t i = 0; i < o->k; i++)
        sum += w[i * o->ldw] * x[i * o->k_step];
    *y = o->add ? *y + sum : sum;
}

/* 16 V columns of R rows, in vectors of 16 or of 8: one of 16 in two registers of 8 is kept in memory by compilers. */
INLINE void tile(const struct operands *o, int row, int col, const int R, const int V, const int half, const int lanes)
{
    if (lanes == 8)
        tile8(o, row, col, R, 2 * V, half);
    else
        tile16(o, row, col, R, V, half, 0);
}

/* 16 V columns for all rows, R at a time. */
INLINE void strip16(const struct operands *o, int rows, int col, const int R, const int V, const int half,
                    const int lanes)
{
    int r = 0;
    for (; r + R <= rows; r += R)
        tile(o, r, col, R, V, half, lanes);
    switch (rows - r) {
    case 5: tile(o, r, col, 5, V, half, lanes); break;
    case 4: tile(o, r, col, 4, V, half, lanes); break;
    case 3: tile(o, r, col, 3, V, half, lanes); break;
    case 2: tile(o, r, col, 2, V, half, lanes); break;
    case 1: tile(o, r, col, 1, V, half, lanes); break;
    default: break;
    }
}

INLINE void strip8(const struct operands *o, int rows, int col, const int R)
{
    int r = 0;
    for (; r + R <= rows; r += R) {
        /* x streams from memory here (cached keys): the rows after the next ones are fetched meanwhile */
        const char *ahead = (const char *)(o->x + (size_t)(r + 2 * R) * o->row_step);
        for (size_t i = 0; i < (size_t)R * o->row_step * sizeof(float); i += 64)
            __builtin_prefetch(ahead + i);
        tile8(o, r, col, R, 1, 0);
    }
    for (; r + 4 <= rows; r += 4)
        tile8(o, r, col, 4, 1, 0);
    for (; r < rows; r++)
        tile8(o, r, col, 1, 1, 0);
}

/* What is left of the columns after whole strips of 16 lanes. */
INLINE void ragged(const struct operands *o, int rows, int n, int col, const int R)
{
    for (; col + 8 <= n; col += 8)
        strip8(o, rows, col, R);
    for (; col < n; col++)
        for (int r = 0; r < rows; r++)
            tile1(o, r, col);
}

/* All columns of a panel in strips of 16 (n is a multiple of 16 there), or any number of float columns. */
INLINE void columns(const struct operands *o, int rows, int n, int col, const int R, const int half, const int lanes)
{
    for (; col + 16 <= n; col += 16)
        strip16(o, rows, col, R, 1, half, lanes);
    if (!half)
        ragged(o, rows, n, col, 2 * R);
}

#if defined(__x86_64__)
/* 32 registers of 16 lanes: whole panels, so that weights stream from memory in order. */
INLINE void wide_columns(const struct operands *o, int rows, int n, const int half)
{
    enum { AHEAD = 5120 };
    int col = 0;
    for (; rows == 1 && col + 96 <= n;
         col += 96) /* one row waits for memory only, and the hardware stops at every page */
        tile16(o, 0, col, 1, 6, half, AHEAD);
    for (; col + 96 <= n; col += 96)
        strip16(o, rows, col, 4, 6, half, 16);
    for (; col + 64 <= n; col += 64)
        strip16(o, rows, col, 6, 4, half, 16);
    columns(o, rows, n, col, 6, half, 16);
}

__attribute__((target("arch=x86-64-v4"))) static void wide(const struct operands *o, int rows, int n)
{
    if (o->w16)
        wide_columns(o, rows, n, 1);
    else
        wide_columns(o, rows, n, 0);
}

/* 16 registers of 8 lanes. */
INLINE void middle_columns(const struct operands *o, int rows, int n, const int half)
{
    int col = 0;
    if (rows == 1)
        for (; col + 64 <= n; col += 64)
            strip16(o, rows, col, 1, 4, half, 8);
    columns(o, rows, n, col, 6, half, 8);
}

__attribute__((target("arch=x86-64-v3"))) static void middle(const struct operands *o, int rows, int n)
{
    if (o->w16)
        middle_columns(o, rows, n, 1);
    else
        middle_columns(o, rows, n, 0);
}
#endif

static void narrow(const struct operands *o, int rows, int n)
{
    if (o->w16)
        columns(o, rows, n, 0, 2, 1, 16);
    else
        columns(o, rows, n, 0, 2, 0, 16);
}

static void run(const struct operands *o, int rows, int n)
{
#if defined(__x86_64__)
    if (CPU_HAS_V4) {
        wide(o, rows, n);
        return;
    }
    if (CPU_HAS_V3) {
        middle(o, rows, n);
        return;
    }
#endif
    narrow(o, rows, n);
}

void kernels_rows_add(float *y, size_t ldy, const float *x, size_t row_step, size_t k_step, int rows, const float *w,
                      size_t ldw, int n, int k, int add)
{
    struct operands o = {.y = y,
                         .ldy = ldy,
                         .x = x,
                         .row_step = row_step,
                         .k_step = k_step,
                         .w = w,
                         .ldw = ldw,
                         .k = (size_t)k,
                         .add = add};
    run(&o, rows, n);
}

void kernels_rows(float *y, size_t ldy, const float *x, size_t row_step, size_t k_step, int rows, const float *w,
                  size_t ldw, int n, int k)
{
    kernels_rows_add(y, ldy, x, row_step, k_step, rows, w, ldw, n, k, 0);
}

enum { FEW = 6 };

/* Of slice i of panel p: its terms, and where it begins in memory. */
static size_t slice_terms(const struct matrix *w, int i)
{
    size_t left = (size_t)w->cols - (size_t)i * SHARE_SLICE;
    return left < SHARE_SLICE ? left : SHARE_SLICE;
}

static size_t slice_at(const struct matrix *w, int p, int i)
{
    return matrix_panel_at(w, p) + (size_t)i * SHARE_SLICE * matrix_panel_width(w, p);
}

/* Outputs of panel p that are computed: of bf16 weights the padding too. */
static int panel_outputs(const struct matrix *w, int p)
{
    return w->bf16 ? (int)matrix_panel_width(w, p) : matrix_panel_rows(w, p);
}

/* y = x . slice i of panel p, or y += that when add is 1: all outputs that are computed. The slice that comes next, if
 * there is one, is (next_p, next_i). */
static void slice_product(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w, int p,
                          int i, int add, int next_p, int next_i)
{
    int n = panel_outputs(w, p);
    size_t width = matrix_panel_width(w, p), k = slice_terms(w, i), at = slice_at(w, p, i);
    struct operands o = {.y = y,
                         .ldy = ldy,
                         .x = x + (size_t)i * SHARE_SLICE,
                         .row_step = ldx,
                         .k_step = 1,
                         .ldw = width,
                         .k = k,
                         .add = add};
    float widened[SHARE_SLICE * MATRIX_PANEL] __attribute__((aligned(64)));
    int whole = n / KERNELS_MANY_LANES * KERNELS_MANY_LANES;
    if (w->bf16 && rows <= FEW) {
        o.w16 = w->bf16 + at;
    } else if (w->bf16) {
        kernels_widen_pairs(widened, w->bf16 + at, (k + 1) / 2, width);
        o.w = widened;
    } else {
        o.w = w->f32 + at;
    }
    if (rows < KERNELS_MANY_ROWS) {
        run(&o, rows, n);
        return;
    }
    int more = next_p < matrix_n_panel(w) && next_i < share_slices(w);
    size_t next = more ? slice_at(w, next_p, next_i) : 0, size = w->bf16 ? sizeof *w->bf16 : sizeof *w->f32;
    const char *weights = w->bf16 ? (const char *)w->bf16 : (const char *)w->f32;
    kernels_many(y, ldy, o.x, ldx, rows, o.w, width, whole, (int)k, o.add, more ? weights + next * size : NULL,
                 more ? slice_terms(w, next_i) * matrix_panel_width(w, next_p) * size : 0);
    if (whole < n) {
        o.y += whole;
        o.w += whole;
        run(&o, rows, n - whole);
    }
}

/* The sums over slices of k, each from zero, are added up in their order: rounding grows with the slice and the number
 * of slices instead of with k, and a slice of a panel stays in the second-level cache for all rows. bf16 slices are
 * widened before; few rows widen them in registers. */
static void panel_product(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w, int p)
{
    int slices = share_slices(w);
    for (int i = 0; i < slices; i++)
        slice_product(y, ldy, x, ldx, rows, w, p, i, i > 0, i + 1 < slices ? p : p + 1, i + 1 < slices ? i + 1 : 0);
}

void kernels_rows_panel(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w, int p)
{
    enum { ASIDE = 64 };
    size_t n = (size_t)matrix_panel_rows(w, p), width = matrix_panel_width(w, p);
    if (w->f32 || n == width) {
        panel_product(y, ldy, x, ldx, rows, w, p);
        return;
    }
    /* a ragged last panel of bf16 is computed with its padding, for which y has no room */
    float aside[ASIDE * MATRIX_PANEL];
    for (int from = 0; from < rows; from += ASIDE) {
        int now = rows - from < ASIDE ? rows - from : ASIDE;
        panel_product(aside, width, x + (size_t)from * ldx, ldx, now, w, p);
        for (int r = 0; r < now; r++)
            memcpy(y + (size_t)(from + r) * ldy, aside + (size_t)r * width, n * sizeof *y);
    }
}

/* Where the rows outgrow the second-level cache, all panels take a slice of them before the next slice is read. */
void kernels_rows_tile(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w)
{
    int panels = matrix_n_panel(w), slices = share_slices(w), last = panels - 1, whole = panels;
    size_t bytes = (size_t)rows * (size_t)w->cols * sizeof *x;
    if (slices == 1 || rows < KERNELS_MANY_ROWS || bytes <= kernels_many_cache() / 2)
        slices = 0;
    if (slices && panel_outputs(w, last) != matrix_panel_rows(w, last))
        whole = last; /* y has no room for its padding */
    for (int i = 0; i < slices; i++)
        for (int p = 0; p < whole; p++)
            slice_product(y + (size_t)p * MATRIX_PANEL, ldy, x, ldx, rows, w, p, i, i > 0, p + 1 < whole ? p + 1 : 0,
                          p + 1 < whole ? i : i + 1);
    for (int p = slices ? whole : 0; p < panels; p++)
        kernels_rows_panel(y + (size_t)p * MATRIX_PANEL, ldy, x, ldx, rows, w, p);
}

/* A product with few rows reads more than it computes. So every thread reads one piece of memory, as long as
 * everybody's. Where a piece begins within a panel, its slices of that panel are summed up aside, and the thread that
 * began the panel adds them in their order: the sums are those of the panel in one piece. */
enum { MOST_THREADS = 512, ASIDE_ROWS = 1024 };

struct pieces {
    float *y;
    size_t ldy;
    const float *x;
    size_t ldx;
    int rows, threads;
    const struct matrix *w;
    const float *aside[MOST_THREADS]; /* [slices of its first panel][rows][MATRIX_PANEL] */
};

static void piece_compute(const struct pieces *s, int t, float *aside)
{
    const struct share_unit begin = share_begin(s->w, s->threads, t), end = share_begin(s->w, s->threads, t + 1);
    for (int p = begin.panel; p < end.panel || (p == end.panel && end.slice); p++) {
        int from = p == begin.panel ? begin.slice : 0, to = p == end.panel ? end.slice : share_slices(s->w);
        float *y = s->y + (size_t)p * MATRIX_PANEL;
        if (!from && p < end.panel) {
            kernels_rows_panel(y, s->ldy, s->x, s->ldx, s->rows, s->w, p);
            continue;
        }
        for (int i = from; i < to; i++)
            if (from)
                slice_product(aside + (size_t)(i - from) * (size_t)s->rows * MATRIX_PANEL, MATRIX_PANEL, s->x, s->ldx,
                              s->rows, s->w, p, i, 0, p, i + 1);
            else
                slice_product(y, s->ldy, s->x, s->ldx, s->rows, s->w, p, i, i > 0, p, i + 1);
    }
}

/* What others have of the panel that thread t began and did not end. */
static void piece_join(const struct pieces *s, int t)
{
    const struct share_unit begin = share_begin(s->w, s->threads, t), end = share_begin(s->w, s->threads, t + 1);
    int p = end.panel, n = p < matrix_n_panel(s->w) ? matrix_panel_rows(s->w, p) : 0;
    if (!end.slice || (begin.panel == p && begin.slice))
        return;
    for (int u = t + 1; u < s->threads && share_begin(s->w, s->threads, u).panel == p; u++) {
        const struct share_unit from = share_begin(s->w, s->threads, u), to = share_begin(s->w, s->threads, u + 1);
        int slices = (to.panel == p ? to.slice : share_slices(s->w)) - from.slice;
        for (int i = 0; i < slices * s->rows; i++) /* slice by slice */
            kernels_add(s->y + (size_t)(i % s->rows) * s->ldy + (size_t)p * MATRIX_PANEL,
                        s->aside[u] + (size_t)i * MATRIX_PANEL, n);
    }
}

static void in_pieces(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w)
{
    struct pieces s = {.y = y, .ldy = ldy, .x = x, .ldx = ldx, .rows = rows, .w = w};
#pragma omp parallel
    {
        float aside[ASIDE_ROWS * MATRIX_PANEL] __attribute__((aligned(64)));
        int t = omp_get_thread_num();
        s.aside[t] = aside;
#pragma omp single
        s.threads = omp_get_num_threads();
        piece_compute(&s, t, aside);
#pragma omp barrier
        piece_join(&s, t);
#pragma omp barrier
    }
}

void kernels_rows_matmul(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w)
{
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads(), panels = matrix_n_panel(w);
    int shared = threads > 1 && kernels_worth_sharing((size_t)rows * (size_t)w->rows, (size_t)w->cols);
    if (shared && panels % threads && threads <= MOST_THREADS && rows * share_slices(w) <= ASIDE_ROWS &&
        rows < KERNELS_MANY_ROWS) {
        in_pieces(y, ldy, x, ldx, rows, w);
        return;
    }
    int parts = shared && rows >= KERNELS_MANY_ROWS ? share_parts(w, rows, threads) : 1;
#pragma omp parallel for schedule(static) if (shared)
    for (int i = 0; i < panels * parts; i++) {
        int p = i / parts, from = (int)((long)rows * (i % parts) / parts),
            to = (int)((long)rows * (i % parts + 1) / parts);
        kernels_rows_panel(y + (size_t)from * ldy + (size_t)p * MATRIX_PANEL, ldy, x + (size_t)from * ldx, ldx,
                           to - from, w, p);
    }
}
