#include "models/attention_stats.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "models/attention_int.h"
#include "models/kernels.h"
#include "models/kernels_rows.h"

static float *take(float **at, size_t n)
{
    float *p = *at;
    *at += (n + 15) / 16 * 16; /* keep every buffer on its own cache line */
    return p;
}

static size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

int attention_gather_begin(struct attention_gather *g, const struct attention_job *j, int block_rows, struct err *e)
{
    const struct hparams *hp = j->hp;
    size_t total = 0, heads = (size_t)hp->n_head;
    g->stats = attention_is_watched(j) ? j->tap->stats : 0;
    g->n_row = j->n_row;
    g->block_rows = block_rows;
    g->n_block = (j->n_row + block_rows - 1) / block_rows;
    g->last = 0;
    if (g->stats & TRANSFORMER_STAT_ROWS)
        g->last = j->tap->last_rows < j->n_row ? j->tap->last_rows : j->n_row;
    if (!g->n_key) {
        g->n_key = mem_new((size_t)hp->n_kv_head, sizeof *g->n_key);
        g->part = mem_new(heads, sizeof *g->part);
        g->off = mem_new(heads, sizeof *g->off);
        g->diag = mem_new(heads, sizeof *g->diag);
        g->rows = mem_new(heads, sizeof *g->rows);
        g->entropy = mem_new(heads, sizeof *g->entropy);
        g->queries = mem_new(heads, sizeof *g->queries);
    }
    for (int h = 0; h < hp->n_kv_head; h++)
        g->n_key[h] = kvcache_n_entry(j->cache[0], j->layer, h);
    for (int q = 0; q < hp->n_head; q++) {
        size_t n = (size_t)g->n_key[q / hp->n_group];
        if (g->stats & TRANSFORMER_STAT_COLUMNS)
            total += padded((size_t)g->n_block * n) + 2 * padded(n);
        if (g->stats & TRANSFORMER_STAT_ROWS)
            total += padded((size_t)g->last * n);
        if (g->stats & TRANSFORMER_STAT_ENTROPY)
            total += padded((size_t)j->n_row);
        if (g->stats & TRANSFORMER_STAT_QUERIES)
            total += padded((size_t)j->n_row * (size_t)hp->head_dim);
    }
    if (total > g->arena_cap) {
        mem_free(g->arena);
        g->arena = mem_try_raw(total, sizeof *g->arena, "attention statistics", e);
        g->arena_cap = g->arena ? total : 0;
        if (!g->arena)
            return -1;
    }
    float *at = g->arena;
    for (int q = 0; q < hp->n_head; q++) {
        size_t n = (size_t)g->n_key[q / hp->n_group];
        g->part[q] = g->off[q] = g->diag[q] = g->rows[q] = g->entropy[q] = g->queries[q] = NULL;
        if (g->stats & TRANSFORMER_STAT_COLUMNS) {
            g->part[q] = take(&at, (size_t)g->n_block * n);
            g->off[q] = take(&at, n);
            g->diag[q] = take(&at, n);
            memset(g->diag[q], 0, n * sizeof *at);
        }
        if (g->stats & TRANSFORMER_STAT_ROWS) {
            g->rows[q] = take(&at, (size_t)g->last * n);
            memset(g->rows[q], 0, (size_t)g->last * n * sizeof *at);
        }
        if (g->stats & TRANSFORMER_STAT_ENTROPY)
            g->entropy[q] = take(&at, (size_t)j->n_row);
        if (g->stats & TRANSFORMER_STAT_QUERIES)
            g->queries[q] = take(&at, (size_t)j->n_row * (size_t)hp->head_dim);
    }
    return 0;
}

static double entropy_of(const float *weight, int n, double factor)
{
    double h = 0;
    for (int i = 0; i < n; i++) {
        double p = factor * (double)weight[i];
        h -= p > 0 ? p * log(p) : 0;
    }
    return h;
}

/* Row r of the tile, normalised, where somebody asked for it. */
static void gather_last_rows(struct attention_gather *g, const struct attention_tile *t)
{
    int n_key = t->base + g->n_row;
    for (int r = 0; r < t->n; r++) {
        int row = t->first + r, at = row - (g->n_row - g->last);
        if (at < 0)
            continue;
        float *to = g->rows[t->head] + (size_t)at * (size_t)n_key;
        for (int b = 0; b < t->n_block; b++) {
            int n = t->begin[b + 1] - t->begin[b];
            memcpy(to + t->begin[b], t->weight + (size_t)r * t->ld + t->begin[b], (size_t)n * sizeof *to);
            kernels_scale(to + t->begin[b], n, t->factor[(size_t)b * t->factor_step + (size_t)r]);
        }
    }
}

void attention_gather_tile(struct attention_gather *g, const struct attention_tile *t)
{
    if (g->rows[t->head])
        gather_last_rows(g, t);
    for (int r = 0; g->entropy[t->head] && r < t->n; r++) {
        double h = 0;
        for (int b = 0; b < t->n_block; b++)
            h += entropy_of(t->weight + (size_t)r * t->ld + t->begin[b], t->begin[b + 1] - t->begin[b],
                            (double)t->factor[(size_t)b * t->factor_step + (size_t)r]);
        g->entropy[t->head][t->first + r] = (float)h;
    }
    if (!g->part[t->head])
        return;
    for (int r = 0, b = 0; r < t->n; r++) {
        int self = t->base + t->first + r; /* the row's own entry is the last visible one */
        while (self >= t->begin[b + 1])
            b++;
        float *w = t->weight + (size_t)r * t->ld + self;
        g->diag[t->head][self] = *w * t->factor[(size_t)b * t->factor_step + (size_t)r];
        *w = 0;
    }
    int n_key = t->base + g->n_row;
    float *sum = g->part[t->head] + (size_t)t->block * (size_t)n_key;
    for (int b = 0; b < t->n_block; b++)
        kernels_rows(sum + t->begin[b], 0, t->factor + (size_t)b * t->factor_step, 0, 1, 1, t->weight + t->begin[b],
                     t->ld, t->begin[b + 1] - t->begin[b], t->n);
}

void attention_gather_row(struct attention_gather *g, int q, int row, const float *weight, int base)
{
    int self = base + row; /* the row's own entry is the last visible one */
    size_t n_key = (size_t)(base + g->n_row);
    if (g->part[q]) {
        float *sum = g->part[q] + (size_t)row * n_key;
        memcpy(sum, weight, (size_t)self * sizeof *weight);
        sum[self] = 0;
        g->diag[q][self] = weight[self];
    }
    if (g->rows[q] && row >= g->n_row - g->last)
        memcpy(g->rows[q] + (size_t)(row - (g->n_row - g->last)) * n_key, weight, (size_t)(self + 1) * sizeof *weight);
    if (g->entropy[q])
        g->entropy[q][row] = (float)entropy_of(weight, self + 1, 1);
}

/* Sums in block order, in double precision, a strip of columns at a time. */
static void add_parts(const struct attention_gather *g, int q, size_t n)
{
    enum { STRIP = 256 };
    double sum[STRIP];
    for (size_t from = 0; from < n; from += STRIP) {
        size_t width = n - from < STRIP ? n - from : STRIP;
        memset(sum, 0, sizeof sum);
        for (int b = 0; b < g->n_block; b++) {
            const float *part = g->part[q] + (size_t)b * n + from;
            int rows = (b + 1) * g->block_rows < g->n_row ? (b + 1) * g->block_rows : g->n_row;
            size_t seen = n - (size_t)(g->n_row - rows), end = seen < from ? 0 : seen - from;
            for (size_t i = 0; i < (end < width ? end : width); i++)
                sum[i] += (double)part[i];
        }
        for (size_t i = 0; i < width; i++)
            g->off[q][from + i] = (float)sum[i];
    }
}

int attention_gather_end(struct attention_gather *g, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    if (!attention_is_watched(j))
        return 0;
    timing_begin(TIMING_STATISTICS);
#pragma omp parallel for schedule(static)
    for (int q = 0; q < hp->n_head; q++) {
        size_t n = (size_t)g->n_key[q / hp->n_group], d = (size_t)hp->head_dim;
        if (g->part[q])
            add_parts(g, q, n);
        for (int r = 0; g->queries[q] && r < j->n_row; r++)
            memcpy(g->queries[q] + (size_t)r * d, j->q + (size_t)r * j->ldq + (size_t)q * d, d * sizeof(float));
    }
    struct attention_stats s = {
        .layer = j->layer,
        .n_query = j->n_row,
        .n_row = g->last,
        .n_key = g->n_key,
        .off_diagonal = (const float *const *)g->off,
        .diagonal = (const float *const *)g->diag,
        .rows = (const float *const *)g->rows,
        .entropy = (const float *const *)g->entropy,
        .queries = (const float *const *)g->queries,
        .hidden = j->hidden,
    };
    int rc = j->tap->attention(j->tap->ctx, &s, e) ? -1 : 0;
    timing_end();
    return rc;
}

void attention_gather_fini(struct attention_gather *g)
{
    mem_free(g->n_key);
    mem_free(g->part);
    mem_free(g->off);
    mem_free(g->diag);
    mem_free(g->rows);
    mem_free(g->entropy);
    mem_free(g->queries);
    mem_free(g->arena);
    *g = (struct attention_gather){0};
}
