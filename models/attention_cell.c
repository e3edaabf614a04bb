/* Attention of rows that belong to cells. Rows whose caches share a segment are stacked against it, and a segment is
 * worked through in chunks of keys, so that one long cache keeps all threads busy and a shared one is read once:
 *
 *   for every (KV head, segment or tail, chunk of keys, group of stacked rows):
 *       maximum, sum of weights, weighted values
 *   for every (row, head):
 *       the chunks' parts put together in the order of the keys
 *
 * Within a chunk the queries are the lanes: scores[key][row] = key . query, one fixed order over head_dim, and then
 * out[row] = sum over keys in order. Chunks begin at fixed keys. So a row's bits do not depend on what it is stacked
 * with. A few rows alone have scores[row][key], from kernels that compute the same sums in the same order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/attention_int.h"
#include "models/half.h"
#include "models/kernels.h"
#include "models/kernels_few.h"
#include "models/kernels_rows.h"

enum {
    CHUNK = 512,   /* keys */
    STACK = 96,    /* stacked rows at a time: their scores take 192 KiB */
    PART_EXTRA = 2 /* a part is {maximum, sum of weights, weighted values [head_dim]} */
};

/* Rows of one cache and the parts of their attention, of one KV head. */
struct owner {
    const struct kv_segment *segment;
    int cache, head;      /* KV head */
    int first, rows;      /* of the call */
    int n_seg, n_tail;    /* keys; the tail's include all of this call's rows */
    int seg_parts, parts; /* chunks of the segment; and of the tail */
    size_t part;          /* first part: [n_group][rows][parts] */
    int show;             /* 1: the tap sees the weights */
    size_t weight;        /* first of them: [n_group][rows][n_seg + n_tail] */
};

/* A run of owners with one segment and some of its chunks, or one owner and chunks of its tail. */
struct task {
    int owner, n_owner;
    int tail; /* 1: the tail's keys */
    int chunk;
    int from, n; /* stacked rows */
};

struct attention_cells {
    struct owner *owner;
    struct task *task;
    size_t owner_cap, task_cap;
    int n_owner, n_task;
    float *part, *weight;
    size_t part_cap, weight_cap;
    size_t work; /* multiply-adds */
};

void attention_cells_destroy(struct attention_cells *c)
{
    if (!c)
        return;
    mem_free(c->owner);
    mem_free(c->task);
    mem_free(c->part);
    mem_free(c->weight);
    mem_free(c);
}

static int chunks(int n)
{
    return (n + CHUNK - 1) / CHUNK;
}

/* Owners of one segment side by side; which segment comes first changes no bit. */
static int by_segment(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    if (x->segment != y->segment)
        return (uintptr_t)x->segment < (uintptr_t)y->segment ? -1 : 1;
    return x->cache < y->cache ? -1 : x->cache > y->cache;
}

static void add_task(struct attention_cells *c, struct task t)
{
    mem_grow(&c->task, &c->task_cap, (size_t)c->n_task + 1, sizeof *c->task);
    c->task[c->n_task++] = t;
}

/* Stacked rows of the run in groups of STACK, for every chunk of `n` keys. */
static void add_tasks(struct attention_cells *c, int owner, int n_owner, int tail, int n, int stacked)
{
    for (int chunk = 0; chunk < chunks(n); chunk++)
        for (int from = 0; from < stacked; from += STACK)
            add_task(c,
                     (struct task){owner, n_owner, tail, chunk, from, stacked - from < STACK ? stacked - from : STACK});
}

static int plan(struct attention_cells *c, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    size_t parts = 0, weights = 0, size = (size_t)hp->head_dim + PART_EXTRA;
    int *first = mem_new((size_t)j->n_cache + 1, sizeof *first);
    attention_row_ranges(j, first);
    mem_grow(&c->owner, &c->owner_cap, (size_t)j->n_cache * (size_t)hp->n_kv_head, sizeof *c->owner);
    c->n_owner = c->n_task = 0;
    c->work = 0;
    for (int h = 0; h < hp->n_kv_head; h++)
        for (int i = 0; i < j->n_cache; i++) {
            if (first[i + 1] == first[i])
                continue;
            struct owner o = {.segment = kvcache_segment(j->cache[i], j->layer, h),
                              .cache = i,
                              .head = h,
                              .first = first[i],
                              .rows = first[i + 1] - first[i],
                              .n_tail = kvcache_tail(j->cache[i], j->layer, h)->n};
            o.n_seg = o.segment ? o.segment->n : 0;
            o.show = j->tap && (j->tap->weights || (j->tap->cell && j->tap->cells[i]));
            c->owner[c->n_owner++] = o;
        }
    mem_free(first);
    qsort(c->owner, (size_t)c->n_owner, sizeof *c->owner, by_segment);
    for (int i = 0, end; i < c->n_owner; i = end) {
        int stacked = 0;
        for (end = i;
             end < c->n_owner && c->owner[end].segment == c->owner[i].segment && c->owner[end].head == c->owner[i].head;
             end++) {
            struct owner *o = &c->owner[end];
            size_t rows = (size_t)o->rows * (size_t)hp->n_group;
            o->seg_parts = chunks(o->n_seg);
            o->parts = o->seg_parts + chunks(o->n_tail);
            o->part = parts;
            o->weight = weights;
            parts += rows * (size_t)o->parts;
            weights += o->show ? rows * (size_t)(o->n_seg + o->n_tail) : 0;
            stacked += (int)rows;
            c->work += 2 * rows * (size_t)(o->n_seg + o->n_tail) * (size_t)hp->head_dim;
            add_tasks(c, end, 1, 1, o->n_tail, (int)rows);
        }
        add_tasks(c, i, end - i, 0, c->owner[i].n_seg, stacked);
    }
    if (parts * size > c->part_cap) {
        mem_free(c->part);
        c->part = mem_try_raw(parts * size, sizeof *c->part, "attention of cells", e);
        c->part_cap = c->part ? parts * size : 0;
        if (!c->part)
            return -1;
    }
    if (weights > c->weight_cap) {
        mem_free(c->weight);
        c->weight = mem_try_raw(weights, sizeof *c->weight, "attention weights", e);
        c->weight_cap = c->weight ? weights : 0;
        if (!c->weight)
            return -1;
    }
    return 0;
}

/* Stacked row s of a run of owners: whose it is, and which. Row g * rows + r of an owner is row r of head g. */
static const struct owner *locate(const struct attention_cells *c, const struct task *t, int n_group, int s, int *row)
{
    const struct owner *o = &c->owner[t->owner];
    while (s >= o->rows * n_group)
        s -= o++->rows * n_group;
    *row = s;
    return o;
}

static size_t lanes_of(int rows)
{
    return ((size_t)rows + 7) / 8 * 8;
}

/* Floats of one thread: queries [head_dim][STACK], scores [CHUNK][STACK], values [STACK][head_dim], three rows, and a
 * chunk of keys or values where some cache holds them as bf16, or where they are rounded to that. */
static size_t scratch_floats(const struct attention_job *j)
{
    size_t d = (size_t)j->hp->head_dim, wide = kvrows_room(j->arithmetic, CHUNK * d);
    for (int c = 0; c < j->n_cache && !wide; c++)
        wide = kvrows_room(kvcache_held_as(j->cache[c]), CHUNK * d);
    return (size_t)STACK * (2 * d + CHUNK + 3) + 64 + wide;
}

/* What a row sees of a chunk: keys [0, visible) whose positions are at least `oldest`. */
struct sight {
    int visible;
    int32_t oldest;
};

static int hidden(const struct sight *s, const int32_t *pos, int k)
{
    return k >= s->visible || pos[k] < s->oldest;
}

/* Maximum over the keys that each row sees, 2^(score - maximum) in place, zero beyond, and their sum; key by key, all
 * rows at once. */
static void weigh(float *score, size_t ld, int rows, int n, const struct sight *sight, const int32_t *pos, int whole,
                  float *top, float *total)
{
    int ragged = 0;
    for (int s = 0; s < rows; s++)
        ragged |= sight[s].visible < n || sight[s].oldest != INT32_MIN;
    for (int k = 0; ragged && k < n; k++)
        for (int s = 0; s < rows; s++)
            if (hidden(&sight[s], pos, k))
                score[(size_t)k * ld + (size_t)s] = -INFINITY;
    kernels_exp2_columns(score, ld, n, whole, top, total);
    for (int s = 0; s < rows; s++)
        total[s] = top[s] == -INFINITY ? 0 : total[s];
    for (int k = 0; ragged && k < n; k++)
        for (int s = 0; s < rows; s++)
            if (hidden(&sight[s], pos, k))
                score[(size_t)k * ld + (size_t)s] = 0;
}

/* The same for few rows, which have their scores in a row each. */
static void weigh_rows(float *score, size_t ld, int rows, int n, const struct sight *sight, const int32_t *pos,
                       int whole, float *top, float *total)
{
    for (int s = 0; s < rows; s++) {
        float *x = score + (size_t)s * ld;
        int visible = sight[s].visible, windowed = sight[s].oldest != INT32_MIN;
        for (int k = 0; windowed && k < visible; k++)
            x[k] = hidden(&sight[s], pos, k) ? -INFINITY : x[k];
        top[s] = visible ? kernels_max(x, visible) : -INFINITY;
        top[s] = whole ? attention_whole(top[s]) : top[s];
        visible = top[s] == -INFINITY ? 0 : visible;
        kernels_exp2(x, visible, top[s]);
        for (int k = 0; windowed && k < visible; k++)
            x[k] = hidden(&sight[s], pos, k) ? 0 : x[k];
        memset(x + visible, 0, (size_t)(n - visible) * sizeof *x);
    }
    for (int s = 0; s < rows; s++)
        total[s] = 0;
    for (int k = 0; whole && k < n; k++) /* otherwise the sums come with the values */
        for (int s = 0; s < rows; s++)
            total[s] += score[(size_t)s * ld + (size_t)k];
}

/* n numbers of keys or values as factors: rounded, unless they are so already, where the arithmetic is bf16. */
static struct kv_rows factors(const struct attention_job *j, struct kv_rows x, size_t n, float *room)
{
    if (j->arithmetic != MODEL_BF16 || !x.f32)
        return x;
    half_round_floats(room, x.f32, n);
    return (struct kv_rows){.f32 = room};
}

/* Keeps the weights of a chunk's n keys, not yet normalised, of those rows that the tap sees: of stacked row s at
 * weight[s * row_step + key * key_step]. */
static void keep_shown(const struct attention_cells *c, const struct task *t, int n_group, const float *weight,
                       size_t row_step, size_t key_step, int n)
{
    for (int s = 0; s < t->n; s++) {
        int row;
        const struct owner *o = locate(c, t, n_group, t->from + s, &row);
        float *to = c->weight + o->weight + (size_t)row * (size_t)(o->n_seg + o->n_tail) +
                    (size_t)(t->tail ? o->n_seg : 0) + (size_t)t->chunk * CHUNK;
        for (size_t i = 0; o->show && i < (size_t)n; i++)
            to[i] = weight[(size_t)s * row_step + i * key_step];
    }
}

static void run_task(const struct attention_cells *c, const struct attention_job *j, const struct task *t,
                     float *buffer)
{
    const struct hparams *hp = j->hp;
    const struct owner *head = &c->owner[t->owner];
    const struct kv_tail *tail = kvcache_tail(j->cache[head->cache], j->layer, head->head);
    struct kv_rows k = t->tail ? tail->k : head->segment->k, v = t->tail ? tail->v : head->segment->v;
    int few = kernels_few_takes(t->n, k, hp->head_dim), narrow = j->arithmetic == MODEL_BF16;
    size_t d = (size_t)hp->head_dim, ld = few ? CHUNK : lanes_of(t->n);
    size_t row_step = few ? d : 1, dim_step = few ? 1 : ld; /* of queries */
    size_t score_step = few ? ld : 1, key_step = few ? 1 : ld;
    float scale = attention_query_scale(hp);
    float *query = buffer, *score = query + (size_t)STACK * d, *value = score + (size_t)CHUNK * STACK;
    float *top = value + (size_t)STACK * d, *total = top + STACK, *room = total + 2 * STACK;
    struct sight sight[STACK];
    int first = t->chunk * CHUNK, n = (t->tail ? head->n_tail : head->n_seg) - first;
    n = n < CHUNK ? n : CHUNK;
    if (!few)
        memset(query, 0, d * ld * sizeof *query);
    for (int s = 0; s < t->n; s++) {
        int row;
        const struct owner *o = locate(c, t, hp->n_group, t->from + s, &row);
        int g = row / o->rows, r = row % o->rows;
        const float *q = j->q + (size_t)(o->first + r) * j->ldq + (size_t)(o->head * hp->n_group + g) * d;
        for (size_t i = 0; i < d; i++)
            query[i * dim_step + (size_t)s * row_step] = narrow ? half_round_bf16(q[i] * scale) : q[i] * scale;
        int visible = t->tail ? o->n_tail - o->rows + r + 1 - first : n;
        sight[s].visible = visible < 0 ? 0 : visible > n ? n : visible;
        sight[s].oldest = attention_oldest(hp, j->layer, j->row[o->first + r].pos);
    }
    k = kvrows_at(k, (size_t)first * d);
    v = kvrows_at(v, (size_t)first * d);
    const int32_t *pos = (t->tail ? tail->pos : head->segment->pos) + first;
    struct kv_rows key = factors(j, k, (size_t)n * d, room);
    if (few) {
        kernels_few_scores(score, ld, query, t->n, key, n, hp->head_dim, v);
        for (int s = 0; s < t->n; s++)
            attention_cap(hp, score + (size_t)s * ld, (size_t)n);
        weigh_rows(score, ld, t->n, n, sight, pos, narrow, top, total);
    } else {
        kernels_rows(score, ld, kvrows_read(key, (size_t)n * d, room), d, 1, n, query, ld, (int)ld, hp->head_dim);
        attention_cap(hp, score, (size_t)n * ld);
        weigh(score, ld, t->n, n, sight, pos, narrow, top, total);
    }
    keep_shown(c, t, hp->n_group, score, score_step, key_step, n);
    for (size_t s = 0; narrow && s < (few ? (size_t)t->n : (size_t)n); s++) /* the sums are of what was not rounded */
        half_round_floats(score + s * ld, score + s * ld, few ? (size_t)n : ld);
    struct kv_rows weighed = factors(j, v, (size_t)n * d, room);
    if (few)
        kernels_few_values(value, narrow ? total + STACK : total, score, ld, t->n, weighed, n, hp->head_dim);
    else
        kernels_rows(value, d, score, 1, ld, t->n, kvrows_read(weighed, (size_t)n * d, room), d, hp->head_dim, n);
    for (int s = 0; s < t->n; s++) {
        int row;
        const struct owner *o = locate(c, t, hp->n_group, t->from + s, &row);
        int chunk = t->tail ? o->seg_parts + t->chunk : t->chunk;
        float *part = c->part + (o->part + (size_t)row * (size_t)o->parts + (size_t)chunk) * (d + PART_EXTRA);
        part[0] = top[s];
        part[1] = total[s];
        memcpy(part + PART_EXTRA, value + (size_t)s * d, d * sizeof *part);
    }
}

/* Puts the parts of one owner's rows together, in the order of the keys, and normalises the weights that are shown.
 * Rows of one head follow each other here, so that the tap may sum them up. */
static void join(const struct attention_cells *c, const struct attention_job *j, const struct owner *o)
{
    const struct hparams *hp = j->hp;
    size_t d = (size_t)hp->head_dim, step = d + PART_EXTRA;
    for (int row = 0; row < o->rows * hp->n_group; row++) {
        const float *part = c->part + (o->part + (size_t)row * (size_t)o->parts) * step;
        float *out = j->out + ((size_t)(o->first + row % o->rows) * (size_t)hp->n_head +
                               (size_t)(o->head * hp->n_group + row / o->rows)) *
                                  d;
        float top = -INFINITY, total = 0;
        for (int p = 0; p < o->parts; p++)
            top = part[(size_t)p * step] > top ? part[(size_t)p * step] : top;
        memset(out, 0, d * sizeof *out);
        for (int p = 0; p < o->parts; p++) {
            float by = exp2f(part[(size_t)p * step] - top); /* 0 where the row sees nothing of the chunk */
            total += by * part[(size_t)p * step + 1];
            kernels_axpy(out, by, part + (size_t)p * step + PART_EXTRA, (int)d);
        }
        kernels_scale(out, (int)d, 1.0f / total);
        float *w = o->show ? c->weight + o->weight + (size_t)row * (size_t)(o->n_seg + o->n_tail) : NULL;
        for (int p = 0; o->show && p < o->parts; p++) {
            int tail = p >= o->seg_parts, first = (tail ? p - o->seg_parts : p) * CHUNK;
            int n = (tail ? o->n_tail : o->n_seg) - first;
            kernels_scale(w + (tail ? o->n_seg : 0) + first, n < CHUNK ? n : CHUNK,
                          exp2f(part[(size_t)p * step] - top) / total);
        }
        if (o->show && j->tap->cell && j->tap->cells[o->cache])
            j->tap->cell(j->tap->ctx, j->layer, o->cache, o->head * hp->n_group + row / o->rows, row % o->rows, w,
                         o->n_seg + o->n_tail - o->rows + row % o->rows + 1);
    }
}

/* Shows every row's weights, head by head. */
static int show_weights(const struct attention_cells *c, const struct attention_job *j, struct err *e)
{
    const struct tap *tap = j->tap;
    int n_group = j->hp->n_group;
    for (int h = 0; h < j->hp->n_kv_head; h++)
        for (int g = 0; g < n_group; g++)
            for (int i = 0; i < c->n_owner; i++) {
                const struct owner *o = &c->owner[i];
                size_t n = (size_t)(o->n_seg + o->n_tail);
                for (int r = 0; o->head == h && r < o->rows; r++)
                    if (tap->weights(tap->ctx, j->layer, h * n_group + g, o->first + r,
                                     c->weight + o->weight + (size_t)(g * o->rows + r) * n, (int)n - o->rows + r + 1,
                                     e))
                        return -1;
            }
    return 0;
}

int attention_cell(struct attention_scratch *s, const struct attention_job *j, struct err *e)
{
    int show = j->tap && j->tap->weights, n_thread = transformer_threads();
    if (!s->cells)
        s->cells = mem_new(1, sizeof *s->cells);
    struct attention_cells *c = s->cells;
    if (plan(c, j, e) || attention_reserve(s, n_thread, scratch_floats(j), e))
        return -1;
#pragma omp parallel num_threads( \
    n_thread) if (kernels_worth_sharing((size_t)c->n_task, c->work / (size_t)(c->n_task + 1)))
    {
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < c->n_task; i++)
            run_task(c, j, &c->task[i], s->thread[transformer_thread_index()]);
#pragma omp for schedule(static)
        for (int i = 0; i < c->n_owner; i++)
            join(c, j, &c->owner[i]);
    }
    return show ? show_weights(c, j, e) : 0;
}
