/* Rounding, panels, slices, ragged edges and the choice of a way, the same for all of them. */
#include "models/kernels_bf16.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/cpu.h"
#include "models/half.h"
#include "models/kernels.h"
#include "models/kernels_bf16_int.h"
#include "models/share.h"

enum { SLICE = 1024 / BF16_TERMS }; /* blocks of a panel that stay in the second-level cache for all rows */

const char *const kernels_bf16_names[] = {
    [KERNELS_BF16_PLAIN] = "plain",
    [KERNELS_BF16_AVX2] = "avx2",
    [KERNELS_BF16_AVX512] = "avx512",
    [KERNELS_BF16_PAIRS] = "avx512_bf16",
    [KERNELS_BF16_TILES] = "amx",
    [KERNELS_BF16_PAIRS_TWIN] = "avx512_bf16 in plain C",
    [KERNELS_BF16_TILES_TWIN] = "amx in plain C",
};

typedef void run_job(const struct kernels_bf16_job *j);

static run_job *const runs[] = {
    [KERNELS_BF16_PLAIN] = kernels_bf16_fused_plain,     [KERNELS_BF16_AVX2] = kernels_bf16_fused_avx2,
    [KERNELS_BF16_AVX512] = kernels_bf16_fused_avx512,   [KERNELS_BF16_PAIRS] = kernels_bf16_pairs,
    [KERNELS_BF16_TILES] = kernels_bf16_tiles,           [KERNELS_BF16_PAIRS_TWIN] = kernels_bf16_pairs_twin,
    [KERNELS_BF16_TILES_TWIN] = kernels_bf16_tiles_twin,
};

int kernels_bf16_has(enum kernels_bf16_way way)
{
    switch (way) {
#if defined(__x86_64__)
    case KERNELS_BF16_AVX2: return CPU_HAS_V3 != 0;
    case KERNELS_BF16_AVX512: return CPU_HAS_V4 != 0;
#else
    case KERNELS_BF16_AVX2:
    case KERNELS_BF16_AVX512: return 0;
#endif
    case KERNELS_BF16_PAIRS: return kernels_bf16_pairs_has();
    case KERNELS_BF16_TILES: return kernels_bf16_tiles_has();
    default: return 1;
    }
}

static int named(const char *name)
{
    for (int i = 0; i <= KERNELS_BF16_TILES; i++)
        if (name && strcmp(name, kernels_bf16_names[i]) == 0)
            return i;
    return -1;
}

int kernels_bf16_check(struct err *e)
{
    const char *set = getenv("DEPTHKV_BF16");
    int way = named(set);
    if (!set || (way >= 0 && kernels_bf16_has((enum kernels_bf16_way)way)))
        return 0;
    if (way >= 0)
        return err_set(e, ERR_CONFIG, "DEPTHKV_BF16 is %s, which this processor does not have; unset it", set);
    return err_set(e, ERR_CONFIG, "DEPTHKV_BF16 is '%s', expected plain, avx2, avx512, avx512_bf16 or amx", set);
}

static enum kernels_bf16_way find_way(void)
{
    int set = named(getenv("DEPTHKV_BF16"));
    if (set >= 0 && kernels_bf16_has((enum kernels_bf16_way)set))
        return (enum kernels_bf16_way)set;
    for (int i = KERNELS_BF16_TILES; i > KERNELS_BF16_PLAIN; i--)
        if (kernels_bf16_has((enum kernels_bf16_way)i))
            return (enum kernels_bf16_way)i;
    return KERNELS_BF16_PLAIN;
}

static enum kernels_bf16_way taken = KERNELS_BF16_N_WAY, found = KERNELS_BF16_N_WAY;

enum kernels_bf16_way kernels_bf16_chosen(void)
{
    if (taken != KERNELS_BF16_N_WAY)
        return taken;
    if (found == KERNELS_BF16_N_WAY)
        found = find_way(); /* the same whoever asks first */
    return found;
}

void kernels_bf16_take(enum kernels_bf16_way way)
{
    taken = way;
}

static void clear(float *y, size_t ldy, int rows, size_t n)
{
    for (int r = 0; r < rows; r++)
        memset(y + (size_t)r * ldy, 0, n * sizeof *y);
}

/* Tiles are for many rows: a few are done as fast by AVX-512, which adds in the same order. */
void kernels_bf16_run(const struct kernels_bf16_job *j)
{
    enum { FEW = 4 };
    enum kernels_bf16_way way = kernels_bf16_chosen();
    unsigned mode = 0;
    if (way == KERNELS_BF16_TILES && j->rows <= FEW)
        way = KERNELS_BF16_AVX512;
    if (!j->add && way != KERNELS_BF16_TILES && way != KERNELS_BF16_TILES_TWIN)
        clear(j->y, j->ldy, j->rows, (size_t)j->n);
#if defined(__x86_64__)
    enum { ZERO_TINY = 0x8040 }; /* of results, and of operands: what AMX and AVX512-BF16 always do */
    mode = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode | ZERO_TINY);
#endif
    runs[way](j);
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(mode);
#endif
    (void)mode;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static size_t groups(size_t rows)
{
    return (rows + BF16_ROWS - 1) / BF16_ROWS;
}

static size_t blocks(size_t cols)
{
    return (cols + BF16_TERMS - 1) / BF16_TERMS;
}

size_t kernels_bf16_words(size_t rows, size_t cols)
{
    return groups(rows) * blocks(cols) * BF16_TILE;
}

void kernels_bf16_round(uint16_t *to, const float *x, size_t ldx, int rows, int cols)
{
    int n_block = (int)blocks((size_t)cols), n_group = (int)groups((size_t)rows);
#pragma omp parallel for schedule(static) if (kernels_worth_sharing((size_t)n_group, 8 * BF16_ROWS * (size_t)cols))
    for (int g = 0; g < n_group; g++)
        for (int b = 0; b < n_block; b++) {
            uint16_t *tile = to + ((size_t)g * (size_t)n_block + (size_t)b) * BF16_TILE;
            int first = b * BF16_TERMS, n = cols - first < BF16_TERMS ? cols - first : BF16_TERMS;
            int here = rows - g * BF16_ROWS < BF16_ROWS ? rows - g * BF16_ROWS : BF16_ROWS;
            if (n < BF16_TERMS || here < BF16_ROWS)
                memset(tile, 0, BF16_TILE * sizeof *tile);
            for (int r = 0; r < here; r++)
                half_round_row(tile + r * BF16_TERMS, x + (size_t)(g * BF16_ROWS + r) * ldx + first, (size_t)n);
        }
}

/* ---- panels --------------------------------------------------------------------------------- */

static void copy(float *to, size_t ldt, const float *from, size_t ldf, int rows, size_t n)
{
    for (int r = 0; r < rows; r++)
        memcpy(to + (size_t)r * ldt, from + (size_t)r * ldf, n * sizeof *to);
}

/* Where blocks [from, from + n) of panel p lie. */
static const uint16_t *slice(const struct matrix *w, int p, int from)
{
    return w->bf16 + matrix_panel_at(w, p) + (size_t)from * BF16_TERMS * matrix_panel_width(w, p);
}

static int blocks_from(const struct matrix *w, int from)
{
    int left = (int)blocks((size_t)w->cols) - from;
    return left < SLICE ? left : SLICE;
}

/* Adds a slice of panel p that begins at block `from`; the first is no addition. Panel p_next's slice at from_next is
 * wanted afterwards, where there is one. A ragged last panel is computed with its padding, for which y has no room, so
 * aside. */
static void add_slice(float *y, size_t ldy, const uint16_t *x, int rows, const struct matrix *w, int p, int from,
                      int p_next, int from_next)
{
    enum { ASIDE = 4 * BF16_ROWS };
    size_t n = (size_t)matrix_panel_rows(w, p), width = matrix_panel_width(w, p), all = blocks((size_t)w->cols);
    struct kernels_bf16_job j = {.y = y,
                                 .ldy = ldy,
                                 .x = x + (size_t)from * BF16_TILE,
                                 .group = all * BF16_TILE,
                                 .w = slice(w, p, from),
                                 .ldw = width,
                                 .blocks = blocks_from(w, from),
                                 .rows = rows,
                                 .n = (int)width,
                                 .add = from > 0};
    if (p_next < matrix_n_panel(w) && from_next < (int)all) {
        j.next = slice(w, p_next, from_next);
        j.bytes = (size_t)blocks_from(w, from_next) * BF16_TERMS * matrix_panel_width(w, p_next) * sizeof *j.w;
    }
    if (n == width) {
        kernels_bf16_run(&j);
        return;
    }
    float aside[ASIDE * MATRIX_PANEL];
    j.y = aside;
    j.ldy = width;
    for (int r = 0; r < rows; r += ASIDE, j.x += ASIDE / BF16_ROWS * j.group, j.next = NULL) {
        float *here = y + (size_t)r * ldy;
        j.rows = rows - r < ASIDE ? rows - r : ASIDE;
        clear(aside, width, j.rows, width);
        if (j.add)
            copy(aside, width, here, ldy, j.rows, n);
        kernels_bf16_run(&j);
        copy(here, ldy, aside, width, j.rows, n);
    }
}

void kernels_bf16_panel(float *y, size_t ldy, const uint16_t *x, int rows, const struct matrix *w, int p)
{
    int all = (int)blocks((size_t)w->cols);
    for (int from = 0; from < all; from += SLICE)
        add_slice(y, ldy, x, rows, w, p, from, from + SLICE < all ? p : p + 1, from + SLICE < all ? from + SLICE : 0);
}

/* A slice of all panels before the next, so that the rows' part of it stays in cache. Where a sum is interrupted
 * changes no bit: it goes on from what is in y. */
void kernels_bf16_tile(float *y, size_t ldy, const uint16_t *x, int rows, const struct matrix *w)
{
    int all = (int)blocks((size_t)w->cols), panels = matrix_n_panel(w);
    for (int from = 0; from < all; from += SLICE)
        for (int p = 0; p < panels; p++)
            add_slice(y + (size_t)p * MATRIX_PANEL, ldy, x, rows, w, p, from, p + 1 < panels ? p + 1 : 0,
                      p + 1 < panels ? from : from + SLICE);
}

void kernels_bf16_matmul(float *y, size_t ldy, const uint16_t *x, int rows, const struct matrix *w)
{
    int shared = kernels_worth_sharing((size_t)rows * (size_t)w->rows, (size_t)w->cols);
    int n_group = (int)groups((size_t)rows), threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    int parts = shared && rows >= 2 * SHARE_LEAST_ROWS ? share_parts(w, rows, threads) : 1;
#pragma omp parallel for schedule(static) if (shared)
    for (int i = 0; i < matrix_n_panel(w) * parts; i++) { /* whole groups of rows of a panel */
        int p = i / parts, from = n_group * (i % parts) / parts, to = n_group * (i % parts + 1) / parts;
        int first = from * BF16_ROWS, end = to * BF16_ROWS < rows ? to * BF16_ROWS : rows;
        kernels_bf16_panel(y + (size_t)first * ldy + (size_t)p * MATRIX_PANEL, ldy,
                           x + (size_t)from * blocks((size_t)w->cols) * BF16_TILE, end - first, w, p);
    }
}
