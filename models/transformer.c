/* The forward pass, readable from top to bottom. Formulas: models/README.md. */
#include "models/transformer.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "models/attention.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"
#include "models/kernels_many.h"
#include "models/kernels_ref.h"
#include "models/kernels_rows.h"
#include "models/share.h"
#include "models/threads.h"

enum { LOGIT_BLOCK = 64 };

struct workspace {
    float *arena;
    size_t cap;
    struct attention_scratch *attention;
    /* views into the arena, laid out by every call */
    float *x;     /* [n_row][d_model] residual stream */
    float *norm;  /* [n_row][norm_ld] */
    float *qkv;   /* [n_row][(n_head + 2 n_kv_head) head_dim] */
    float *heads; /* [n_row][n_head head_dim] attention's output */
    float *delta; /* [n_row][d_model] what a sub-layer adds */
    float *ffn;   /* [n_row][ffn_ld]; in a prefill per thread: [block][ffn_ld], [block][one turn of gate and up] */
    float *cosine, *sine;             /* [n_row][head_dim / 2] */
    float *local_cosine, *local_sine; /* of layers with a window; the same where these rotate alike */
    struct rope_set rope;             /* for rows of packed caches, whose heads stand at different positions */
    float *wanted;                    /* [n_wanted][d_model] */
    float *rounded;                   /* of bf16 arithmetic: rows in its tiles, as words; in a prefill per thread */
    float *logits;                    /* [n_wanted][n_vocab] when the caller has no room of its own for them */
};

/* What a phase chooses. */
struct kernel_set {
    void (*matmul)(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w);
    void (*rmsnorm)(float *y, const float *x, const float *w, int n, float eps, float offset);
    void (*gated)(float *y, const float *gate, const float *up, int n, enum model_activation act);
    int (*attention)(struct attention_scratch *s, const struct attention_job *j, struct err *e);
};

static const struct kernel_set kernel_sets[] = {
    [FORWARD_PREFILL] = {kernels_rows_matmul, kernels_rmsnorm, kernels_gated, attention_prefill},
    [FORWARD_CELL] = {kernels_rows_matmul, kernels_rmsnorm, kernels_gated, attention_cell},
    [FORWARD_REFERENCE] = {kernels_ref_matmul, kernels_ref_rmsnorm, kernels_ref_gated, attention_reference},
};

static const struct kernel_set reference_of_bf16 = {kernels_ref_matmul_bf16, kernels_ref_rmsnorm, kernels_ref_gated,
                                                    attention_reference};

struct pass {
    const struct model *m;
    const struct hparams *hp;
    const struct forward *f;
    const struct kernel_set *k;
    struct workspace *w;
    int block_rows, n_block;
    int blocks; /* 1: rows in blocks, one thread each; 0: all rows at once, threads inside products */
    int *nth;   /* [n_row] place of a row among those of its cache */
    size_t d, q_width, kv_width, qkv_width;
    size_t norm_ld, ffn_ld; /* kernels_many_apart */
    size_t ffn_stride;     /* floats of one thread */
    size_t rounded_stride; /* floats of one thread; 0: the arithmetic is float */
    int local;             /* layers with a window have a rotation of their own */
};

static atomic_int n_thread_wanted;

void transformer_set_threads(int n)
{
    n_thread_wanted = n;
    omp_set_num_threads(n);
}

int transformer_threads(void)
{
    return n_thread_wanted ? n_thread_wanted : omp_get_max_threads();
}

void transformer_on_every_thread(void (*call)(void *arg), void *arg)
{
#pragma omp parallel
    call(arg);
}

int transformer_thread_index(void)
{
    return omp_get_thread_num();
}

struct workspace *workspace_create(void)
{
    struct workspace *w = mem_new(1, sizeof *w);
    w->attention = attention_scratch_create();
    kernels_init();
    return w;
}

void workspace_destroy(struct workspace *w)
{
    if (!w)
        return;
    attention_scratch_destroy(w->attention);
    rope_set_fini(&w->rope);
    mem_free(w->arena);
    mem_free(w);
}

const float *workspace_logits(const struct workspace *w)
{
    return w->logits;
}

static int check(const struct pass *p, struct err *e)
{
    const struct forward *f = p->f;
    int *count = mem_new((size_t)f->n_cache + 1, sizeof *count), rc = -1, last = -1;
    if (p->rounded_stride && !p->m->output.bf16) {
        err_set(e, ERR_UNSUPPORTED, "bf16 arithmetic takes weights that are held as bf16");
        goto out;
    }
    if (f->phase == FORWARD_PREFILL && f->n_cache != 1) {
        err_set(e, ERR_UNSUPPORTED, "a prefill takes one cache, found %d", f->n_cache);
        goto out;
    }
    for (int r = 0; r < f->n_row; r++) {
        const struct forward_row *row = &f->row[r];
        if (row->token < 0 || row->token >= p->hp->n_vocab) {
            err_set(e, ERR_CONFIG, "row %d: token %d lies outside the vocabulary of %d", r, row->token, p->hp->n_vocab);
            goto out;
        }
        if (row->pos < 0 || row->pos >= p->hp->context_length) {
            err_set(e, ERR_CONFIG, "row %d: position %d lies outside the model's context of %d", r, row->pos,
                    p->hp->context_length);
            goto out;
        }
        if (row->cache < last || row->cache >= f->n_cache) {
            err_set(e, ERR_CONFIG, "row %d: cache %d after %d; rows of one cache stand together", r, row->cache, last);
            goto out;
        }
        if (model_rope_long(p->hp, row->pos + 1) && !kvcache_is_long(f->cache[row->cache])) {
            err_set(e, ERR_CONFIG,
                    "row %d: position %d, but the keys before it are rotated for sequences of at most %d tokens", r,
                    row->pos, p->hp->rope_original_context);
            goto out;
        }
        last = row->cache;
        count[row->cache]++;
    }
    for (int c = 0; c < f->n_cache; c++)
        if (count[c] > kvcache_tail_room(f->cache[c])) {
            err_set(e, ERR_CONFIG, "cache %d: %d rows do not fit its tail, which has room for %d", c, count[c],
                    kvcache_tail_room(f->cache[c]));
            goto out;
        }
    rc = 0;
out:
    mem_free(count);
    return rc;
}

static size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

static int lay_out(struct pass *p, struct err *e)
{
    struct workspace *w = p->w;
    size_t n = (size_t)p->f->n_row, wanted = 0, half = n * (size_t)p->hp->head_dim / 2;
    size_t threads = p->blocks ? (size_t)transformer_threads() : 1;
    for (int r = 0; r < p->f->n_row; r++)
        wanted += p->f->row[r].want_logits != 0;
    size_t size[] = {n * p->d,
                     n * p->norm_ld,
                     n * p->qkv_width,
                     n * p->q_width,
                     n * p->d,
                     threads * p->ffn_stride,
                     half,
                     half,
                     p->local ? half : 0,
                     p->local ? half : 0,
                     wanted * p->d,
                     threads * p->rounded_stride,
                     p->f->logits ? 0 : wanted * (size_t)p->hp->n_vocab};
    float **view[] = {&w->x,    &w->norm,         &w->qkv,        &w->heads,  &w->delta,   &w->ffn,   &w->cosine,
                      &w->sine, &w->local_cosine, &w->local_sine, &w->wanted, &w->rounded, &w->logits};
    size_t total = 0, at = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        total += padded(size[i]);
    if (total > w->cap) {
        mem_free(w->arena);
        w->arena = mem_try_raw(total, sizeof *w->arena, "activations", e);
        w->cap = w->arena ? total : 0;
        if (!w->arena)
            return -1;
    }
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *view[i] = w->arena + at;
        at += padded(size[i]);
    }
    return 0;
}

static void turn(const double *freq, size_t half, int pos, float *cosine, float *sine)
{
    for (size_t i = 0; i < half; i++) {
        double angle = pos * freq[i];
        cosine[i] = (float)cos(angle);
        sine[i] = (float)sin(angle);
    }
}

static void embed(const struct pass *p)
{
    const struct workspace *w = p->w;
    size_t half = (size_t)p->hp->head_dim / 2;
#pragma omp parallel for schedule(static) if (kernels_worth_sharing((size_t)p->f->n_row, 8 * p->d))
    for (int r = 0; r < p->f->n_row; r++) {
        float *x = w->x + (size_t)r * p->d;
        matrix_row(&p->m->embedding, p->f->row[r].token, x);
        if (p->hp->embedding_scale != 1.0f)
            kernels_scale(x, (int)p->d, p->hp->embedding_scale);
        const double *freq = kvcache_is_long(p->f->cache[p->f->row[r].cache]) ? p->m->rope_long : p->m->rope_freq;
        turn(freq, half, p->f->row[r].pos, w->cosine + (size_t)r * half, w->sine + (size_t)r * half);
        if (p->local)
            turn(p->m->rope_local, half, p->f->row[r].pos, w->local_cosine + (size_t)r * half,
                 w->local_sine + (size_t)r * half);
    }
}

/* Many rows of cells are worth sharing out; the rows of a prefill's block are one thread's already. An element costs
 * about as much as eight multiply-adds. */
static int many_rows(const struct pass *p, int rows)
{
    return !p->blocks && kernels_worth_sharing((size_t)rows, 8 * p->d);
}

static void normalise(const struct pass *p, const float *weight, int from, int to)
{
#pragma omp parallel for schedule(static) if (many_rows(p, to - from))
    for (int r = from; r < to; r++)
        p->k->rmsnorm(p->w->norm + (size_t)r * p->norm_ld, p->w->x + (size_t)r * p->d, weight, (int)p->d,
                      p->hp->norm_eps, p->hp->norm_offset);
}

/* Packed caches: rotations up to the longest list that this call makes. */
static int prepare_packed(struct pass *p, struct err *e)
{
    const struct hparams *hp = p->hp;
    int longest[2] = {0, 0}; /* of sequences that are not long, and of those that are */
    for (int c = 0; c < p->f->n_cache; c++)
        for (int i = 0; kvcache_is_packed(p->f->cache[c]) && i < hp->n_layer * hp->n_kv_head; i++) {
            int n = kvcache_next_place(p->f->cache[c], i / hp->n_kv_head, i % hp->n_kv_head) + p->f->n_row;
            int *most = &longest[kvcache_is_long(p->f->cache[c])];
            *most = n > *most ? n : *most;
        }
    for (int i = 0; i < 2; i++)
        if (longest[i] && rope_set_reserve(&p->w->rope, p->m, i, longest[i], e))
            return -1;
    return 0;
}

static void count_rows(struct pass *p)
{
    p->nth = mem_new((size_t)p->f->n_row, sizeof *p->nth);
    for (int r = 1; r < p->f->n_row; r++)
        p->nth[r] = p->f->row[r].cache == p->f->row[r - 1].cache ? p->nth[r - 1] + 1 : 0;
}

/* Where the query and the key of one head stand, in a layer that rotates: at the token's position or, in a packed
 * cache, at the end of the list that the head holds (this call's rows are not in it yet). */
static void rotation(const struct pass *p, int r, int layer, int kv_head, const float **cosine, const float **sine)
{
    size_t half = (size_t)p->hp->head_dim / 2, at = (size_t)r * half;
    const struct kvcache *cache = p->f->cache[p->f->row[r].cache];
    if (kvcache_is_packed(cache)) {
        const struct rope_table *t = rope_set_of(&p->w->rope, model_layer_kind(p->hp, layer), kvcache_is_long(cache));
        at = (size_t)(kvcache_next_place(cache, layer, kv_head) + p->nth[r]) * half;
        *cosine = t->cosine + at;
        *sine = t->sine + at;
    } else if (p->local && model_layer_kind(p->hp, layer) == MODEL_LAYER_WINDOW) {
        *cosine = p->w->local_cosine + at;
        *sine = p->w->local_sine + at;
    } else {
        *cosine = p->w->cosine + at;
        *sine = p->w->sine + at;
    }
}

/* RMSNorm of the queries' or the keys' heads, each by itself or all as one vector. */
static void normalise_heads(const struct pass *p, float *head, int n, const float *weight)
{
    const struct hparams *hp = p->hp;
    int size = hp->qk_norm == MODEL_QK_NORM_WHOLE ? n * hp->head_dim : hp->head_dim;
    for (int i = 0; i < n * hp->head_dim; i += size)
        p->k->rmsnorm(head + i, head + i, weight, size, hp->norm_eps, hp->norm_offset);
}

/* What a sub-layer reads: the residual stream normalised or, where an architecture has no such norm, as it is. */
struct input {
    const float *x;
    size_t ld;
};
static struct input sub_layer_input(const struct pass *p, const float *weight, int from, int to)
{
    if (!weight)
        return (struct input){p->w->x + (size_t)from * p->d, p->d};
    normalise(p, weight, from, to);
    return (struct input){p->w->norm + (size_t)from * p->norm_ld, p->norm_ld};
}

/* longrope: the dimensions that rotate are multiplied too. Done before the rotation, whose tables stay pure turns. */
static void scale_turning(const struct hparams *hp, float *head)
{
    int pairs = model_rope_pairs(hp);
    kernels_scale(head, pairs, (float)hp->rope_attention_factor);
    kernels_scale(head + hp->head_dim / 2, pairs, (float)hp->rope_attention_factor);
}

/* This thread's rows in tiles, in bf16 arithmetic. */
static uint16_t *rounded(const struct pass *p)
{
    return (uint16_t *)(void *)(p->w->rounded + (p->blocks ? (size_t)omp_get_thread_num() : 0) * p->rounded_stride);
}

/* y = x w^T, in the model's arithmetic: by this thread alone where it has a block of rows. */
static void multiply(const struct pass *p, float *y, size_t ldy, const float *x, size_t ldx, int rows,
                     const struct matrix *w)
{
    if (!p->rounded_stride) {
        (p->blocks ? kernels_rows_tile : p->k->matmul)(y, ldy, x, ldx, rows, w);
        return;
    }
    kernels_bf16_round(rounded(p), x, ldx, rows, w->cols);
    (p->blocks ? kernels_bf16_tile : kernels_bf16_matmul)(y, ldy, rounded(p), rows, w);
}

/* Rows -> queries, keys, values: bias, q/k norm and rotation applied. */
static void project(const struct pass *p, const struct model_layer *layer, int from, int to)
{
    const struct hparams *hp = p->hp;
    size_t hd = (size_t)hp->head_dim;
    float *qkv = p->w->qkv + (size_t)from * p->qkv_width;
    int l = (int)(layer - p->m->layer), rotates = model_layer_kind(hp, l) != MODEL_LAYER_UNROTATED;
    struct input in = sub_layer_input(p, layer->attn_norm, from, to);
    multiply(p, qkv, p->qkv_width, in.x, in.ld, to - from, &layer->qkv);
#pragma omp parallel for schedule(static) if (many_rows(p, to - from))
    for (int r = from; r < to; r++) {
        float *row = p->w->qkv + (size_t)r * p->qkv_width;
        const float *cosine, *sine;
        if (layer->qkv_bias)
            kernels_add(row, layer->qkv_bias, (int)p->qkv_width);
        if (layer->q_norm) {
            normalise_heads(p, row, hp->n_head, layer->q_norm);
            normalise_heads(p, row + p->q_width, hp->n_kv_head, layer->k_norm);
        }
        for (int q = 0; rotates && q < hp->n_head + hp->n_kv_head; q++) {
            rotation(p, r, l, q < hp->n_head ? q / hp->n_group : q - hp->n_head, &cosine, &sine);
            if (hp->rope_scaling == MODEL_ROPE_LONGROPE)
                scale_turning(hp, row + (size_t)q * hd);
            kernels_rope(row + (size_t)q * hd, cosine, sine, (int)hd);
        }
    }
}

/* Every row into its own slot, then all of them are counted. */
static void append_to_caches(const struct pass *p, int layer)
{
    const struct hparams *hp = p->hp;
    const struct forward_row *f = p->f->row;
    size_t hd = (size_t)hp->head_dim;
    int n = p->f->n_row;
#pragma omp parallel for schedule(static) if (kernels_worth_sharing((size_t)n, 8 * p->kv_width))
    for (int r = 0; r < n; r++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            struct kv_tail *t = kvcache_tail(p->f->cache[f[r].cache], layer, h);
            const float *k = p->w->qkv + (size_t)r * p->qkv_width + p->q_width + (size_t)h * hd;
            size_t at = (size_t)(t->n + p->nth[r]);
            kvrows_put(kvrows_at(t->k, at * hd), k, hd);
            kvrows_put(kvrows_at(t->v, at * hd), k + p->kv_width, hd);
            t->pos[at] = f[r].pos;
        }
    for (int r = 0; r < n; r++)
        for (int h = 0; h < hp->n_kv_head && (r + 1 == n || f[r + 1].cache != f[r].cache); h++)
            kvcache_tail(p->f->cache[f[r].cache], layer, h)->n += p->nth[r] + 1;
}

/* delta = what a sub-layer gives, normalised and scaled where the architecture does so; x += delta. */
static void add_to_stream(const struct pass *p, const float *post_norm, int from, int to)
{
    const struct hparams *hp = p->hp;
    int n = (int)p->d;
#pragma omp parallel for schedule(static) if (many_rows(p, to - from))
    for (int r = from; r < to; r++) {
        float *delta = p->w->delta + (size_t)r * p->d;
        if (post_norm)
            p->k->rmsnorm(delta, delta, post_norm, n, hp->norm_eps, hp->norm_offset);
        if (hp->residual_scale != 0)
            kernels_scale(delta, n, (float)hp->residual_scale);
        kernels_add(p->w->x + (size_t)r * p->d, delta, n);
    }
}

static void attend_out(const struct pass *p, const struct model_layer *layer, int from, int to)
{
    multiply(p, p->w->delta + (size_t)from * p->d, p->d, p->w->heads + (size_t)from * p->q_width, p->q_width, to - from,
             &layer->attn_out);
    add_to_stream(p, layer->attn_post_norm, from, to);
}

/* h[rows][d_ff] = act(gate) * up of the turns [begin, end) of the joined product gu, whose first column is turn
 * `begin`; h may be gu itself. */
static void gate_turns(const struct pass *p, float *h, size_t ldh, const float *gu, size_t ldg, int rows, int begin,
                       int end)
{
    int ff = p->hp->d_ff;
#pragma omp parallel for schedule(static) if (many_rows(p, rows))
    for (int r = 0; r < rows; r++)
        for (int t = begin; t < end; t++) {
            int n = ff - t * MATRIX_PANEL < MATRIX_PANEL ? ff - t * MATRIX_PANEL : MATRIX_PANEL;
            const float *gate = gu + (size_t)r * ldg + (size_t)(t - begin) * 2 * MATRIX_PANEL;
            p->k->gated(h + (size_t)r * ldh + (size_t)t * MATRIX_PANEL, gate, gate + n, n, p->hp->activation);
        }
}

/* down(act(gate) * up) to the stream. */
static void feed_forward(const struct pass *p, const struct model_layer *layer, int from, int to)
{
    const struct hparams *hp = p->hp;
    size_t ldh = p->ffn_ld;
    int rows = to - from, n_turn = (hp->d_ff + MATRIX_PANEL - 1) / MATRIX_PANEL,
        n_panel = matrix_n_panel(&layer->gate_up);
    struct input in = sub_layer_input(p, layer->ffn_norm, from, to);
    float *h = p->w->ffn + (p->blocks ? (size_t)omp_get_thread_num() * p->ffn_stride : 0);
    if (p->blocks) { /* a turn of gate and up at a time, gated while it is in cache */
        float *turn = h + (size_t)p->block_rows * ldh;
        if (p->rounded_stride)
            kernels_bf16_round(rounded(p), in.x, in.ld, rows, hp->d_model);
        for (int t = 0; t < n_turn; t++) {
            for (int i = 2 * t; i < 2 * t + 2 && i < n_panel; i++) {
                float *to_panel = turn + (size_t)(i - 2 * t) * MATRIX_PANEL;
                if (p->rounded_stride)
                    kernels_bf16_panel(to_panel, 2 * MATRIX_PANEL, rounded(p), rows, &layer->gate_up, i);
                else
                    kernels_rows_panel(to_panel, 2 * MATRIX_PANEL, in.x, in.ld, rows, &layer->gate_up, i);
            }
            gate_turns(p, h, ldh, turn, 2 * MATRIX_PANEL, rows, t, t + 1);
        }
    } else {
        multiply(p, h, ldh, in.x, in.ld, rows, &layer->gate_up);
        gate_turns(p, h, ldh, h, ldh, rows, 0, n_turn); /* in place: a turn is written below what is still unread */
    }
    multiply(p, p->w->delta + (size_t)from * p->d, p->d, h, ldh, rows, &layer->down);
    add_to_stream(p, layer->ffn_post_norm, from, to);
}

/* A step over all rows: blocks on several threads in a prefill, all rows at once otherwise. A thread begins with its
 * own block, whose rows are in its cache and its memory since the step before; the rest is for whoever is free. */
static void over_rows(const struct pass *p, const struct model_layer *layer,
                      void (*step)(const struct pass *, const struct model_layer *, int from, int to))
{
    if (!p->blocks) {
        step(p, layer, 0, p->f->n_row);
        return;
    }
    atomic_int taken = 0;
#pragma omp parallel if (kernels_worth_sharing((size_t)p->f->n_row, p->d * p->d))
    for (int b = omp_get_thread_num(); b < p->n_block; b = omp_get_num_threads() + taken++) {
        int from = b * p->block_rows, to = from + p->block_rows;
        step(p, layer, from, to < p->f->n_row ? to : p->f->n_row);
    }
}

static int show(const struct pass *p, int layer, enum tap_stage stage, const float *x, struct err *e)
{
    const struct tap *t = p->f->tap;
    return t && t->stage && (t->stages >> stage & 1) ? t->stage(t->ctx, layer, stage, x, p->f->n_row, e) : 0;
}

static int run_layer(const struct pass *p, int l, struct err *e)
{
    const struct model_layer *layer = &p->m->layer[l];
    struct workspace *w = p->w;
    if (show(p, l, TAP_PRE, w->x, e))
        return -1;
    over_rows(p, layer, project);
    if (p->f->forgets && kvcache_reach(p->f->cache[0], l, e))
        return -1;
    append_to_caches(p, l);
    struct attention_job job = {
        .hp = p->hp,
        .arithmetic = p->m->arithmetic,
        .layer = l,
        .row = p->f->row,
        .n_row = p->f->n_row,
        .cache = p->f->cache,
        .n_cache = p->f->n_cache,
        .q = w->qkv,
        .ldq = p->qkv_width,
        .out = w->heads,
        .tap = p->f->tap,
        .hidden = p->f->tap && (p->f->tap->stats & TRANSFORMER_STAT_HIDDEN) ? w->x : NULL,
    };
    timing_begin(TIMING_ATTENTION);
    int failed = p->k->attention(w->attention, &job, e);
    timing_end();
    if (failed || (p->f->forgets && kvcache_forget(p->f->cache[0], l, p->f->n_row, e)))
        return -1;
    over_rows(p, layer, attend_out);
    if (show(p, l, TAP_ATT, w->delta, e) || show(p, l, TAP_RES, w->x, e))
        return -1;
    over_rows(p, layer, feed_forward);
    return show(p, l, TAP_MLP, w->delta, e);
}

/* What some architectures do to finished logits. */
static void shape_logits(const struct pass *p, float *y, size_t n)
{
    float scale = (float)p->hp->logit_scale, cap = (float)p->hp->logit_cap;
    if (scale == 0 && cap == 0)
        return;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        y[i] = scale != 0 ? y[i] * scale : y[i];
        y[i] = cap != 0 ? cap * tanhf(y[i] / cap) : y[i];
    }
}

static void output_product(const struct pass *p, float *y, const float *x, int rows)
{
    size_t vocab = (size_t)p->hp->n_vocab;
    if (!p->blocks) {
        multiply(p, y, vocab, x, p->d, rows, &p->m->output);
    } else if (p->rounded_stride) {
        kernels_bf16_round(rounded(p), x, p->d, rows, p->hp->d_model);
        kernels_bf16_matmul(y, vocab, rounded(p), rows, &p->m->output);
    } else {
        kernels_rows_matmul(y, vocab, x, p->d, rows, &p->m->output);
    }
}

/* Only the rows that want them. A prefill wants few: they go through the cells' kernel, which wastes no tile. */
static void logits(const struct pass *p)
{
    int n = 0;
    float *to = p->f->logits ? p->f->logits : p->w->logits;
    for (int r = 0; r < p->f->n_row; r++)
        if (p->f->row[r].want_logits)
            p->k->rmsnorm(p->w->wanted + (size_t)n++ * p->d, p->w->x + (size_t)r * p->d, p->m->output_norm, (int)p->d,
                          p->hp->norm_eps, p->hp->norm_offset);
    size_t vocab = (size_t)p->hp->n_vocab;
    for (int from = 0; from < n; from += LOGIT_BLOCK) {
        int rows = n - from < LOGIT_BLOCK ? n - from : LOGIT_BLOCK;
        float *y = to + (size_t)from * vocab, *x = p->w->wanted + (size_t)from * p->d;
        output_product(p, y, x, rows);
        shape_logits(p, y, (size_t)rows * vocab);
    }
}

/* Of a prefill; the rows of cells are never split. */
static void split_rows(struct pass *p)
{
    struct share_rows s = {.block_rows = p->f->n_row, .n_block = 1};
    if (p->f->phase == FORWARD_PREFILL)
        s = share_rows(p->f->n_row, transformer_threads());
    p->block_rows = s.block_rows;
    p->n_block = s.n_block;
    p->blocks = s.blocks;
}

/* Room for the rows of the widest product; of logits there are LOGIT_BLOCK at most. */
static size_t rounded_floats(const struct pass *p)
{
    int rows = p->blocks ? p->block_rows : p->f->n_row, wanted = 0;
    size_t widest = (size_t)p->hp->d_ff > p->q_width ? (size_t)p->hp->d_ff : p->q_width;
    for (int r = 0; r < p->f->n_row && wanted < LOGIT_BLOCK; r++)
        wanted += p->f->row[r].want_logits != 0;
    size_t most = (size_t)(rows > wanted ? rows : wanted);
    return padded(kernels_bf16_words(most, widest > p->d ? widest : p->d) / 2);
}

int transformer_forward(const struct model *m, struct workspace *w, const struct forward *f, struct err *e)
{
    const struct hparams *hp = &m->hp;
    int narrow = m->arithmetic == MODEL_BF16, plain = narrow && f->phase == FORWARD_REFERENCE;
    struct pass p = {.m = m, .hp = hp, .f = f, .k = plain ? &reference_of_bf16 : &kernel_sets[f->phase], .w = w};
    p.d = (size_t)hp->d_model;
    p.q_width = (size_t)hp->n_head * (size_t)hp->head_dim;
    p.kv_width = (size_t)hp->n_kv_head * (size_t)hp->head_dim;
    p.qkv_width = p.q_width + 2 * p.kv_width;
    p.local = m->rope_local != m->rope_freq;
    if (f->n_row == 0)
        return 0;
    threads_place(transformer_threads());
    if (narrow)
        kernels_bf16_chosen(); /* before several threads ask */
    split_rows(&p);
    p.norm_ld = kernels_many_apart(p.d);
    p.ffn_ld = kernels_many_apart((p.blocks ? 1 : 2) * (size_t)hp->d_ff);
    p.ffn_stride = padded((size_t)p.block_rows * (p.ffn_ld + (p.blocks ? 2 * MATRIX_PANEL : 0)));
    p.rounded_stride = narrow && !plain ? rounded_floats(&p) : 0;
    if (check(&p, e) || lay_out(&p, e) || prepare_packed(&p, e))
        return -1;
    int rc = 0;
    count_rows(&p);
    for (int c = 0; c < f->n_cache; c++)
        kvcache_mark(f->cache[c]);
    timing_begin(TIMING_LINEAR);
    embed(&p);
    for (int l = 0; l < hp->n_layer && rc == 0; l++)
        rc = run_layer(&p, l, e);
    if (rc == 0)
        logits(&p);
    timing_end();
    for (int r = 0; rc == 0 && r < f->n_row; r++)
        kvcache_set_seen(f->cache[f->row[r].cache], kvcache_n_seen(f->cache[f->row[r].cache]) + 1);
    for (int c = 0; rc != 0 && c < f->n_cache; c++)
        kvcache_undo(f->cache[c]);
    mem_free(p.nth);
    return rc;
}
