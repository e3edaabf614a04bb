#include "models/attention.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/attention_stats.h"
#include "models/kernels.h"
#include "models/kernels_ref.h"

enum {
    QUERY_BLOCK = 64 /* queries of one tile; with a group of three their scores over 2048 keys take 1.5 MiB */
};

struct attention_scratch {
    struct attention_gather gather;
    float **thread;     /* [n_thread] score and query tiles */
    size_t *thread_cap; /* floats */
    int n_thread;
};

struct attention_scratch *attention_scratch_create(void)
{
    return mem_new(1, sizeof(struct attention_scratch));
}

static void free_threads(struct attention_scratch *s)
{
    for (int i = 0; i < s->n_thread; i++)
        mem_free(s->thread[i]);
    mem_free(s->thread);
    mem_free(s->thread_cap);
    s->thread = NULL;
    s->thread_cap = NULL;
    s->n_thread = 0;
}

void attention_scratch_destroy(struct attention_scratch *s)
{
    if (!s)
        return;
    free_threads(s);
    attention_gather_fini(&s->gather);
    mem_free(s);
}

/* One buffer of `floats` per thread. */
static int reserve(struct attention_scratch *s, int n_thread, size_t floats, struct err *e)
{
    if (s->n_thread < n_thread) {
        free_threads(s);
        s->thread = mem_new((size_t)n_thread, sizeof *s->thread);
        s->thread_cap = mem_new((size_t)n_thread, sizeof *s->thread_cap);
        s->n_thread = n_thread;
    }
    for (int i = 0; i < n_thread; i++)
        if (s->thread_cap[i] < floats) {
            mem_free(s->thread[i]);
            s->thread[i] = mem_try(floats, sizeof(float), "attention scores", e);
            s->thread_cap[i] = s->thread[i] ? floats : 0;
            if (!s->thread[i])
                return -1;
        }
    return 0;
}

/* One tile: QUERY_BLOCK queries of all heads of one group against what they see. */
struct tile {
    const struct attention_job *j;
    struct attention_gather *g;
    int h, block, first, n; /* KV head; block; first row; rows */
    float *score;           /* [n_group * n][seen] */
    float *query;           /* [n_group * n][head_dim] scaled queries, then the output */
};

static void tile_scores(const struct tile *t, const struct kv_segment *seg, const struct kv_tail *tail, int base_tail,
                        size_t seen)
{
    const struct hparams *hp = t->j->hp;
    size_t d = (size_t)hp->head_dim, n_seg = seg ? (size_t)seg->n : 0;
    int stacked = hp->n_group * t->n;
    float scale = 1.0f / sqrtf((float)hp->head_dim);
    for (int g = 0; g < hp->n_group; g++)
        for (int r = 0; r < t->n; r++) {
            const float *q = t->j->q + (size_t)(t->first + r) * t->j->ldq + (size_t)(t->h * hp->n_group + g) * d;
            float *to = t->query + (size_t)(g * t->n + r) * d;
            for (size_t i = 0; i < d; i++)
                to[i] = q[i] * scale;
        }
    if (n_seg)
        kernels_gemm_nt(t->score, seen, t->query, d, seg->k, d, stacked, (int)n_seg, hp->head_dim, 0);
    kernels_gemm_nt(t->score + n_seg, seen, t->query, d, tail->k, d, stacked, base_tail + t->first + t->n, hp->head_dim,
                    0);
}

static void tile_softmax(const struct tile *t, int base, size_t seen)
{
    const struct hparams *hp = t->j->hp;
    for (int g = 0; g < hp->n_group; g++)
        for (int r = 0; r < t->n; r++) {
            float *x = t->score + (size_t)(g * t->n + r) * seen;
            int visible = base + t->first + r + 1;
            float sum = kernels_exp_sum(x, visible, kernels_max(x, visible));
            kernels_scale(x, visible, 1.0f / sum);
            memset(x + visible, 0, (seen - (size_t)visible) * sizeof *x);
            attention_gather_row(t->g, t->h * hp->n_group + g, t->block, t->first + r, x, base);
        }
}

static int tile_run(const struct tile *t, struct err *e)
{
    const struct attention_job *j = t->j;
    const struct hparams *hp = j->hp;
    const struct kv_segment *seg = kvcache_segment(j->cache[0], j->layer, t->h);
    const struct kv_tail *tail = kvcache_tail(j->cache[0], j->layer, t->h);
    int n_seg = seg ? seg->n : 0, base_tail = tail->n - j->n_row, base = n_seg + base_tail;
    size_t d = (size_t)hp->head_dim, seen = (size_t)(base + t->first + t->n);
    int stacked = hp->n_group * t->n;
    tile_scores(t, seg, tail, base_tail, seen);
    tile_softmax(t, base, seen);
    if (j->tap && j->tap->weights)
        for (int g = 0; g < hp->n_group; g++)
            for (int r = 0; r < t->n; r++)
                if (j->tap->weights(j->tap->ctx, j->layer, t->h * hp->n_group + g, t->first + r,
                                    t->score + (size_t)(g * t->n + r) * seen, base + t->first + r + 1, e))
                    return -1;
    if (n_seg)
        kernels_gemm_nn(t->query, d, t->score, seen, seg->v, d, stacked, hp->head_dim, n_seg, 0);
    kernels_gemm_nn(t->query, d, t->score + n_seg, seen, tail->v, d, stacked, hp->head_dim,
                    base_tail + t->first + t->n, n_seg > 0);
    for (int g = 0; g < hp->n_group; g++)
        for (int r = 0; r < t->n; r++)
            memcpy(j->out + (size_t)(t->first + r) * (size_t)hp->n_head * d + (size_t)(t->h * hp->n_group + g) * d,
                   t->query + (size_t)(g * t->n + r) * d, d * sizeof(float));
    return 0;
}

int attention_prefill(struct attention_scratch *s, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    int n_block = (j->n_row + QUERY_BLOCK - 1) / QUERY_BLOCK, n_tile = n_block * hp->n_kv_head, failed = 0;
    int serial = j->tap && j->tap->weights, n_thread = serial ? 1 : transformer_threads(), widest = 0;
    for (int h = 0; h < hp->n_kv_head; h++) {
        int n = kvcache_n_entry(j->cache[0], j->layer, h);
        widest = n > widest ? n : widest;
    }
    size_t tall = (size_t)hp->n_group * QUERY_BLOCK, queries = tall * (size_t)hp->head_dim;
    if (attention_gather_begin(&s->gather, j, n_block, e) || reserve(s, n_thread, tall * (size_t)widest + queries, e))
        return -1;
    /* the longest tiles first, so that the threads end together; which thread takes which changes no bit */
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_thread) if (!serial)
    for (int i = 0; i < n_tile; i++) {
        int block = serial ? i % n_block : n_block - 1 - i / hp->n_kv_head;
        int first = block * QUERY_BLOCK;
        float *buffer = s->thread[serial ? 0 : transformer_thread_index()];
        struct tile t = {
            .j = j,
            .g = &s->gather,
            .h = serial ? i / n_block : i % hp->n_kv_head,
            .block = block,
            .first = first,
            .n = j->n_row - first < QUERY_BLOCK ? j->n_row - first : QUERY_BLOCK,
            .query = buffer,
            .score = buffer + queries,
        };
        if (!failed && tile_run(&t, e)) /* fails only through a callback, and then runs serially */
            failed = 1;
    }
    return failed ? -1 : attention_gather_end(&s->gather, j, e);
}

/* Softmax weights of one query of a cell, and the weighted sum of values; slots in the order segment, tail. */
static void cell_row(const struct hparams *hp, const float *q, const struct kv_segment *seg, const struct kv_tail *tail,
                     int n_tail, float *score, float *out)
{
    int n_seg = seg ? seg->n : 0, n = n_seg + n_tail;
    size_t d = (size_t)hp->head_dim;
    float scale = 1.0f / sqrtf((float)hp->head_dim);
    for (int i = 0; i < n_seg; i++)
        score[i] = kernels_dot(q, seg->k + (size_t)i * d, hp->head_dim) * scale;
    for (int i = 0; i < n_tail; i++)
        score[n_seg + i] = kernels_dot(q, tail->k + (size_t)i * d, hp->head_dim) * scale;
    float sum = kernels_exp_sum(score, n, kernels_max(score, n));
    kernels_scale(score, n, 1.0f / sum);
    memset(out, 0, d * sizeof *out);
    for (int i = 0; i < n_seg; i++)
        kernels_axpy(out, score[i], seg->v + (size_t)i * d, hp->head_dim);
    for (int i = 0; i < n_tail; i++)
        kernels_axpy(out, score[n_seg + i], tail->v + (size_t)i * d, hp->head_dim);
}

/* First row of every cache, and one past the last. */
static void row_ranges(const struct attention_job *j, int *first)
{
    int r = 0;
    for (int c = 0; c < j->n_cache; c++) {
        first[c] = r;
        while (r < j->n_row && j->row[r].cache == c)
            r++;
    }
    first[j->n_cache] = r;
}

int attention_cell(struct attention_scratch *s, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    int serial = j->tap && j->tap->weights, n_thread = serial ? 1 : transformer_threads(), widest = 1, failed = 0;
    int *first = mem_new((size_t)j->n_cache + 1, sizeof *first);
    row_ranges(j, first);
    for (int c = 0; c < j->n_cache; c++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            int n = kvcache_n_entry(j->cache[c], j->layer, h);
            widest = n > widest ? n : widest;
        }
    if (reserve(s, n_thread, (size_t)widest, e)) {
        mem_free(first);
        return -1;
    }
    int n_task = j->n_cache * hp->n_head;
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_thread) if (!serial)
    for (int i = 0; i < n_task; i++) {
        /* heads of one group follow each other, so that its keys are still in cache; serial: head by head */
        int c = serial ? i % j->n_cache : i / hp->n_head, q = serial ? i / j->n_cache : i % hp->n_head;
        int h = q / hp->n_group, rows = first[c + 1] - first[c];
        const struct kv_segment *seg = kvcache_segment(j->cache[c], j->layer, h);
        const struct kv_tail *tail = kvcache_tail(j->cache[c], j->layer, h);
        float *score = s->thread[serial ? 0 : transformer_thread_index()];
        for (int r = 0; r < rows && !failed; r++) {
            int row = first[c] + r, n_tail = tail->n - rows + r + 1;
            size_t at = (size_t)q * (size_t)hp->head_dim;
            cell_row(hp, j->q + (size_t)row * j->ldq + at, seg, tail, n_tail, score,
                     j->out + (size_t)row * (size_t)hp->n_head * (size_t)hp->head_dim + at);
            if (serial && j->tap->weights(j->tap->ctx, j->layer, q, row, score, (seg ? seg->n : 0) + n_tail, e))
                failed = 1;
        }
    }
    mem_free(first);
    return failed ? -1 : 0;
}

/* One query by the definition, in double precision. */
static void reference_row(const struct hparams *hp, const float *q, const struct kv_segment *seg,
                          const struct kv_tail *tail, int n_tail, double *score, float *out)
{
    int n_seg = seg ? seg->n : 0;
    size_t d = (size_t)hp->head_dim;
    for (int i = 0; i < n_seg + n_tail; i++) {
        const float *k = i < n_seg ? seg->k + (size_t)i * d : tail->k + (size_t)(i - n_seg) * d;
        score[i] = 0;
        for (size_t x = 0; x < d; x++)
            score[i] += (double)q[x] * (double)k[x];
        score[i] /= sqrt((double)hp->head_dim);
    }
    kernels_ref_softmax(score, n_seg + n_tail);
    for (size_t x = 0; x < d; x++) {
        double sum = 0;
        for (int i = 0; i < n_seg + n_tail; i++)
            sum += score[i] * (double)(i < n_seg ? seg->v[(size_t)i * d + x] : tail->v[(size_t)(i - n_seg) * d + x]);
        out[x] = (float)sum;
    }
}

int attention_reference(struct attention_scratch *s, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    int rc = -1, *first = mem_new((size_t)j->n_cache + 1, sizeof *first), widest = 1;
    int gather = j->tap && j->tap->attention;
    row_ranges(j, first);
    for (int c = 0; c < j->n_cache; c++)
        for (int h = 0; h < hp->n_kv_head; h++)
            widest = kvcache_n_entry(j->cache[c], j->layer, h) > widest ? kvcache_n_entry(j->cache[c], j->layer, h) : widest;
    double *score = mem_new((size_t)widest, sizeof *score);
    float *weight = mem_new((size_t)widest, sizeof *weight);
    if (gather && attention_gather_begin(&s->gather, j, j->n_row, e))
        goto out;
    for (int q = 0; q < hp->n_head; q++)
        for (int c = 0; c < j->n_cache; c++) {
            const struct kv_segment *seg = kvcache_segment(j->cache[c], j->layer, q / hp->n_group);
            const struct kv_tail *tail = kvcache_tail(j->cache[c], j->layer, q / hp->n_group);
            int rows = first[c + 1] - first[c];
            for (int r = 0; r < rows; r++) {
                int row = first[c] + r, n_tail = tail->n - rows + r + 1, n = (seg ? seg->n : 0) + n_tail;
                size_t at = (size_t)q * (size_t)hp->head_dim;
                reference_row(hp, j->q + (size_t)row * j->ldq + at, seg, tail, n_tail, score,
                              j->out + (size_t)row * (size_t)hp->n_head * (size_t)hp->head_dim + at);
                for (int i = 0; i < n; i++)
                    weight[i] = (float)score[i];
                if (gather) /* one block a row: the reduction is then a sum of doubles */
                    attention_gather_row(&s->gather, q, r, r, weight, n - r - 1);
                if (j->tap && j->tap->weights && j->tap->weights(j->tap->ctx, j->layer, q, row, weight, n, e))
                    goto out;
            }
        }
    rc = gather ? attention_gather_end(&s->gather, j, e) : 0;
out:
    mem_free(first);
    mem_free(score);
    mem_free(weight);
    return rc;
}
