#include "models/attention.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "models/attention_int.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"
#include "models/kernels_bf16_rows.h"
#include "models/kernels_many.h"
#include "models/kernels_rows.h"

/* Prefill: tiles of queries of one group of heads against blocks of keys, the softmax kept up to date on the way: a
 * block's scores are turned into 2^(score - m), m being the row's maximum so far, and when m grows what has been summed
 * is scaled down. Scores, weights and products of a block stay in the second-level cache. Where column sums are wanted
 * the weights of a whole tile are kept, and multiplied by each row's final factor when that is known. */

enum {
    KEY_BLOCK = ATTENTION_KEYS,
    NARROW_ROWS = 64, /* stacked rows at a time in bf16 arithmetic: their scores stay in the first-level cache */
    APART = 16,       /* added to the length of rows that would all begin in the same few sets of a cache */
    STACK = 192       /* about as many rows, queries times heads of a group, make one tile */
};

static const float LOG2E = 1.44269504088896341f;

float attention_query_scale(const struct hparams *hp)
{
    return LOG2E / (hp->query_scalar != 0 ? (float)sqrt(hp->query_scalar) : sqrtf((float)hp->head_dim));
}

void attention_cap(const struct hparams *hp, float *score, size_t n)
{
    float cap = (float)hp->attention_cap * LOG2E;
    for (size_t i = 0; cap != 0 && i < n; i++)
        score[i] = cap * tanhf(score[i] / cap);
}

int32_t attention_oldest(const struct hparams *hp, int layer, int pos)
{
    return model_layer_kind(hp, layer) == MODEL_LAYER_WINDOW ? pos - hp->window + 1 : INT32_MIN;
}

int attention_is_watched(const struct attention_job *j)
{
    return j->tap && j->tap->attention && (!j->tap->layers || j->tap->layers[j->layer]);
}

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
    attention_packed_fini(&s->packed);
    attention_cells_destroy(s->cells);
    mem_free(s);
}

int attention_reserve(struct attention_scratch *s, int n_thread, size_t floats, struct err *e)
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
            s->thread[i] = mem_try_raw(floats, sizeof(float), "attention scores", e);
            s->thread_cap[i] = s->thread[i] ? floats : 0;
            if (!s->thread[i])
                return -1;
        }
    return 0;
}

/* First row of every cache, and one past the last. */
void attention_row_ranges(const struct attention_job *j, int *first)
{
    int r = 0;
    for (int c = 0; c < j->n_cache; c++) {
        first[c] = r;
        while (r < j->n_row && j->row[r].cache == c)
            r++;
    }
    first[j->n_cache] = r;
}

/* Queries of a tile: with few heads in a group more of them, so that the products stay large. */
static int query_block(const struct hparams *hp)
{
    int n = STACK / hp->n_group / 16 * 16;
    return n < 16 ? 16 : n > 128 ? 128 : n;
}

/* One tile; stacked row g * n + r is query `first + r` of head g of the group. Blocks of keys are those of the segment,
 * then those of the tail. */
struct tile {
    const struct attention_job *j;
    struct attention_gather *g;
    const struct attention_packed *packed; /* bf16 arithmetic; NULL: float */
    int h, block, first, n, base; /* KV head; query block; first row; rows; entries older than this call's rows */
    int windowed;                 /* the layer sees only what is recent */
    int stack;                    /* n_group * n */
    int keep;                     /* the weights of all keys are kept */
    size_t ld;                    /* of score: KEY_BLOCK, or all keys of the tile */
    int n_block;                  /* blocks of keys so far */
    int begun;                    /* `sum` holds something */
    int *begin;                   /* [n_block + 1] first key of a block; when keep */
    size_t width;                 /* of sum: head_dim, with the padding that bf16 products ask for */
    float *query;                 /* [stack][head_dim] scaled queries */
    float *sum;                   /* [stack][width] weighted values so far */
    float *max, *total;           /* [stack] so far */
    float *factor; /* [n_block][stack] maximum that a block's weights refer to, then what normalises them; when keep */
    float *room;   /* kernels_many_room; of bf16 arithmetic the scores of some rows, [NARROW_ROWS][NARROW_LD] */
    float *wide;   /* [KEY_BLOCK][head_dim] a block's keys, then its values, where they are held as bf16 */
    float *score;  /* [stack][ld] */
    uint16_t *query16, *weight16; /* bf16 arithmetic: tiles of the queries; of some rows' weights of a block */
};

enum { NARROW_LD = KEY_BLOCK + APART };

/* Floats of a tile's buffer; with at != NULL also lays the tile out there. */
static size_t tile_layout(struct tile *t, int stack, int n_key, int keep, float *at)
{
    size_t d = (size_t)t->j->hp->head_dim, rows = (size_t)stack, narrow = t->j->arithmetic == MODEL_BF16;
    size_t width = narrow ? (d + KERNELS_BF16_OUTPUTS - 1) / KERNELS_BF16_OUTPUTS * KERNELS_BF16_OUTPUTS : d;
    size_t blocks = keep ? (size_t)n_key / KEY_BLOCK + 2 : 0; /* segment and tail each end with a partial one */
    size_t ld = keep ? ((size_t)n_key + 15) / 16 * 16 : KEY_BLOCK, total = 0;
    ld += ld % 256 ? 0 : APART;
    ld += narrow ? KERNELS_BF16_TERMS : 0; /* whole blocks of weights are written */
    size_t size[] = {blocks + 1,
                     rows * d,
                     rows * width,
                     rows,
                     rows,
                     blocks * rows,
                     narrow ? (size_t)NARROW_ROWS * NARROW_LD : kernels_many_room(stack, t->j->hp->head_dim),
                     narrow ? 0 : kvrows_room(kvcache_held_as(t->j->cache[0]), KEY_BLOCK * d),
                     narrow && !keep ? 0 : rows * ld,
                     narrow ? kernels_bf16_words(rows, d) / 2 : 0,
                     narrow ? kernels_bf16_words(NARROW_ROWS, KEY_BLOCK) / 2 : 0};
    enum { N_VIEW = sizeof size / sizeof *size };
    float *view[N_VIEW] = {0};
    for (int i = 0; i < N_VIEW; i++) {
        view[i] = at ? at + total : NULL;
        total += (size[i] + 15) / 16 * 16;
    }
    _Static_assert(sizeof(int) == sizeof(float), "block begins live in the same buffer");
    t->begin = (int *)(void *)view[0];
    t->query = view[1];
    t->sum = view[2];
    t->max = view[3];
    t->total = view[4];
    t->factor = view[5];
    t->room = view[6];
    t->wide = view[7];
    t->score = view[8];
    t->query16 = (uint16_t *)(void *)view[9];
    t->weight16 = (uint16_t *)(void *)view[10];
    t->width = width;
    t->stack = stack;
    t->keep = keep;
    t->ld = ld;
    t->n_block = t->begun = 0;
    return total;
}

static void load_queries(const struct tile *t)
{
    const struct hparams *hp = t->j->hp;
    size_t d = (size_t)hp->head_dim;
    float scale = attention_query_scale(hp);
    for (int s = 0; s < t->stack; s++) {
        const float *q =
            t->j->q + (size_t)(t->first + s % t->n) * t->j->ldq + (size_t)(t->h * hp->n_group + s / t->n) * d;
        for (size_t i = 0; i < d; i++)
            t->query[(size_t)s * d + i] = q[i] * scale;
        t->max[s] = -INFINITY;
        t->total[s] = 0;
    }
    if (!t->packed)
        return;
    kernels_bf16_round(t->query16, t->query, d, t->stack, t->j->hp->head_dim);
    memset(t->weight16, 0, kernels_bf16_words(NARROW_ROWS, KEY_BLOCK) * sizeof *t->weight16);
    memset(t->sum, 0, (size_t)t->stack * t->width * sizeof *t->sum);
}

/* The oldest position that stacked row s sees. */
static int32_t oldest(const struct tile *t, int s)
{
    return attention_oldest(t->j->hp, t->j->layer, t->j->row[t->first + s % t->n].pos);
}

/* x[k] of keys that row s no longer sees. */
static void hide(const struct tile *t, float *x, int s, const int32_t *pos, int n, float value)
{
    int32_t from = oldest(t, s);
    for (int k = 0; k < n; k++)
        if (pos[k] < from)
            x[k] = value;
}

/* Of `visible` scores of a row, those that it sees: hidden ones become -infinity. 0: it sees none. */
static int seen(const struct tile *t, float *x, int s, int visible, int n, const int32_t *pos)
{
    visible = visible < 0 ? 0 : visible > n ? n : visible;
    if (visible && t->windowed) {
        hide(t, x, s, pos, visible, -INFINITY);
        visible = kernels_max(x, visible) == -INFINITY ? 0 : visible;
    }
    return visible;
}

/* A new maximum: what has been summed is scaled down. */
static void rise(const struct tile *t, int s, float top)
{
    if (top <= t->max[s])
        return;
    if (t->total[s] > 0) {
        float by = exp2f(t->max[s] - top);
        t->total[s] *= by;
        kernels_scale(t->sum + (size_t)s * t->width, (int)t->width, by);
    }
    t->max[s] = top;
}

/* Scores of one row of a block -> weights 2^(score - max); what lies beyond the visible keys becomes zero. */
static void weigh(const struct tile *t, float *x, int s, int visible, int n, const int32_t *pos)
{
    visible = seen(t, x, s, visible, n, pos);
    if (visible) {
        rise(t, s, kernels_max(x, visible));
        t->total[s] += kernels_exp2_sum(x, visible, t->max[s]);
        if (t->windowed)
            hide(t, x, s, pos, visible, 0);
    }
    memset(x + visible, 0, (size_t)(n - visible) * sizeof *x);
}

/* 1 when no row of the tile sees any of these keys any more. */
static int is_past(const struct tile *t, const int32_t *pos, int n)
{
    int32_t from = t->windowed ? oldest(t, 0) : INT32_MIN; /* rows come in the order of their positions */
    for (int k = 0; k < n; k++)
        if (pos[k] >= from)
            return 0;
    return 1;
}

/* Weighs keys [0, n) of a block, whose first is key `at`, into x, and adds their values. */
static void add_block(struct tile *t, float *x, struct kv_rows k, struct kv_rows v, const int32_t *pos, int n, int at)
{
    const struct hparams *hp = t->j->hp;
    size_t d = (size_t)hp->head_dim;
    const float *key = kvrows_read(k, (size_t)n * d, t->wide);
    kernels_many_turned(x, t->ld, t->query, d, t->stack, key, d, n, hp->head_dim, t->room);
    for (int s = 0; s < t->stack; s++) {
        float *row = x + (size_t)s * t->ld;
        attention_cap(hp, row, (size_t)n);
        weigh(t, row, s, t->base + t->first + s % t->n + 1 - at, n, pos);
    }
    const float *value = kvrows_read(v, (size_t)n * d, t->wide);
    if (hp->head_dim % KERNELS_MANY_LANES)
        kernels_rows_add(t->sum, d, x, t->ld, 1, t->stack, value, d, hp->head_dim, n, t->begun);
    else
        kernels_many(t->sum, d, x, t->ld, t->stack, value, d, hp->head_dim, n, t->begun, NULL, 0);
    t->begun = 1;
}

/* The same in bf16 arithmetic, some rows at a time; kept: where their weights stay, or NULL. A row's weights are
 * relative to a whole number, so that scaling is exact and it does not depend on the block what a weight is rounded to.
 */
static void add_narrow(struct tile *t, float *kept, const struct attention_factors *f, const int32_t *pos, int n,
                       int at)
{
    const struct hparams *hp = t->j->hp;
    int padded = (n + KERNELS_BF16_TERMS - 1) / KERNELS_BF16_TERMS * KERNELS_BF16_TERMS;
    for (int from = 0; from < t->stack; from += NARROW_ROWS) {
        int rows = t->stack - from < NARROW_ROWS ? t->stack - from : NARROW_ROWS;
        const uint16_t *query = t->query16 + kernels_bf16_words((size_t)from, (size_t)hp->head_dim);
        kernels_bf16_product(t->room, NARROW_LD, query, hp->head_dim, rows, f->keys, f->key_ld, n, hp->head_dim, 0);
        for (int r = 0; r < rows; r++) {
            int s = from + r, visible = t->base + t->first + s % t->n + 1 - at;
            float *x = t->room + (size_t)r * NARROW_LD;
            attention_cap(hp, x, (size_t)n);
            visible = seen(t, x, s, visible, n, pos);
            if (visible)
                rise(t, s, attention_whole(kernels_max(x, visible)));
            t->total[s] += kernels_bf16_weigh(kernels_bf16_row(t->weight16, KEY_BLOCK, r),
                                              kept ? kept + (size_t)s * t->ld : NULL, x, visible, padded, t->max[s]);
        }
        kernels_bf16_product(t->sum + (size_t)from * t->width, t->width, t->weight16, KEY_BLOCK, rows, f->values,
                             f->value_ld, hp->head_dim, n, 1);
    }
}

/* Keys [0, n) of the segment or of the tail, which come after `before` others. */
static void add_keys(struct tile *t, struct kv_rows k, struct kv_rows v, const int32_t *pos, int n, int tail,
                     int before)
{
    size_t d = (size_t)t->j->hp->head_dim, stack = (size_t)t->stack;
    for (int from = 0; from < n; from += KEY_BLOCK) {
        int now = n - from < KEY_BLOCK ? n - from : KEY_BLOCK, at = before + from;
        float *x = t->score + (t->keep ? (size_t)at : 0);
        if (is_past(t, pos + from, now)) {
            for (size_t s = 0; t->keep && s < stack; s++)
                memset(x + s * t->ld, 0, (size_t)now * sizeof *x);
        } else if (t->packed) {
            struct attention_factors f = attention_factors(t->packed, t->j, t->h, tail, from);
            add_narrow(t, t->keep ? x : NULL, &f, pos + from, now, at);
        } else {
            add_block(t, x, kvrows_at(k, (size_t)from * d), kvrows_at(v, (size_t)from * d), pos + from, now, at);
        }
        if (t->keep) {
            memcpy(t->factor + (size_t)t->n_block * stack, t->max, stack * sizeof *t->max);
            t->begin[t->n_block] = at;
            t->begin[t->n_block + 1] = at + now;
        }
        t->n_block++;
    }
}

/* What a block's weights of each row must be multiplied by to be the row's softmax. */
static void find_factors(const struct tile *t)
{
    for (int b = 0; b < t->n_block; b++)
        for (int s = 0; s < t->stack; s++) {
            float *f = t->factor + (size_t)b * (size_t)t->stack + s;
            *f = exp2f(*f - t->max[s]) / t->total[s];
        }
}

/* Normalises the kept weights in place and shows every row to the tap. */
static int show_weights(const struct tile *t, struct err *e)
{
    const struct tap *tap = t->j->tap;
    for (int s = 0; s < t->stack; s++) {
        float *x = t->score + (size_t)s * t->ld;
        for (int b = 0; b < t->n_block; b++) {
            float *f = t->factor + (size_t)b * (size_t)t->stack + s;
            kernels_scale(x + t->begin[b], t->begin[b + 1] - t->begin[b], *f);
            *f = 1;
        }
        if (tap->weights(tap->ctx, t->j->layer, t->h * t->j->hp->n_group + s / t->n, t->first + s % t->n, x,
                         t->base + t->first + s % t->n + 1, e))
            return -1;
    }
    return 0;
}

static int tile_run(struct tile *t, struct err *e)
{
    const struct attention_job *j = t->j;
    const struct hparams *hp = j->hp;
    const struct kv_segment *seg = kvcache_segment(j->cache[0], j->layer, t->h);
    const struct kv_tail *tail = kvcache_tail(j->cache[0], j->layer, t->h);
    int n_seg = seg ? seg->n : 0;
    size_t d = (size_t)hp->head_dim;
    load_queries(t);
    if (n_seg)
        add_keys(t, seg->k, seg->v, seg->pos, n_seg, 0, 0);
    add_keys(t, tail->k, tail->v, tail->pos, t->base - n_seg + t->first + t->n, 1, n_seg);
    for (int s = 0; s < t->stack; s++) {
        float *to =
            j->out + ((size_t)(t->first + s % t->n) * (size_t)hp->n_head + (size_t)(t->h * hp->n_group + s / t->n)) * d;
        memcpy(to, t->sum + (size_t)s * t->width, d * sizeof *to);
        kernels_scale(to, (int)d, 1.0f / t->total[s]);
    }
    if (!t->keep)
        return 0;
    find_factors(t);
    if (j->tap->weights && show_weights(t, e))
        return -1;
    double start = timing_part_begin();
    for (int g = 0; g < hp->n_group; g++) {
        struct attention_tile part = {
            .head = t->h * hp->n_group + g,
            .block = t->block,
            .first = t->first,
            .n = t->n,
            .base = t->base,
            .weight = t->score + (size_t)g * (size_t)t->n * t->ld,
            .ld = t->ld,
            .n_block = t->n_block,
            .begin = t->begin,
            .factor = t->factor + (size_t)g * (size_t)t->n,
            .factor_step = (size_t)t->stack,
        };
        attention_gather_tile(t->g, &part);
    }
    timing_part_end(TIMING_STATISTICS, start);
    return 0;
}

int attention_prefill(struct attention_scratch *s, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    const unsigned per_weight = TRANSFORMER_STAT_COLUMNS | TRANSFORMER_STAT_ROWS | TRANSFORMER_STAT_ENTROPY;
    int block_rows = query_block(hp), n_block = (j->n_row + block_rows - 1) / block_rows, failed = 0, widest = 0;
    int n_tile = n_block * hp->n_kv_head;
    int serial = j->tap && j->tap->weights, n_thread = serial ? 1 : transformer_threads();
    int keep = serial || (attention_is_watched(j) && (j->tap->stats & per_weight));
    struct tile size = {.j = j};
    for (int h = 0; h < hp->n_kv_head; h++) {
        int n = kvcache_n_entry(j->cache[0], j->layer, h);
        widest = n > widest ? n : widest;
    }
    if (attention_gather_begin(&s->gather, j, block_rows, e) ||
        attention_reserve(s, n_thread, tile_layout(&size, hp->n_group * block_rows, widest, keep, NULL), e) ||
        (j->arithmetic == MODEL_BF16 && attention_pack(&s->packed, j, e)))
        return -1;
    /* the longest tiles first, so that the threads end together; which thread takes which changes no bit */
    int shared =
        !serial && kernels_worth_sharing((size_t)n_tile, (size_t)size.stack * (size_t)widest * (size_t)hp->head_dim);
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_thread) if (shared)
    for (int i = 0; i < n_tile; i++) {
        struct tile t = {
            .j = j,
            .g = &s->gather,
            .packed = j->arithmetic == MODEL_BF16 ? &s->packed : NULL,
            .windowed = model_layer_kind(hp, j->layer) == MODEL_LAYER_WINDOW,
            .h = serial ? i / n_block : i % hp->n_kv_head,
            .block = serial ? i % n_block : n_block - 1 - i / hp->n_kv_head,
        };
        t.first = t.block * block_rows;
        t.n = j->n_row - t.first < block_rows ? j->n_row - t.first : block_rows;
        t.base = kvcache_n_entry(j->cache[0], j->layer, t.h) - j->n_row;
        tile_layout(&t, hp->n_group * t.n, t.base + t.first + t.n, keep,
                    s->thread[serial ? 0 : transformer_thread_index()]);
        if (!failed && tile_run(&t, e)) /* fails only through a callback, and then runs serially */
            failed = 1;
    }
    return failed ? -1 : attention_gather_end(&s->gather, j, e);
}
