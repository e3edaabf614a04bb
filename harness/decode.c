#include "harness/decode.h"

#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"

enum { FORCED_ROWS = 128 }; /* logits rows of one forced batch: 24 MiB at 49152 tokens */

void decode_sequence_fini(struct sequence *s)
{
    kvcache_destroy(s->cache);
    token_ids_free(&s->out);
    str_free(&s->text);
    *s = (struct sequence){0};
}

int decode_tail_capacity(int n_held, int longest)
{
    return n_held + longest + 1;
}

int decode_argmax(const float *logits, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Appends a token and finds out whether the sequence has ended. */
static void accept_token(const struct model *m, struct sequence *s, int32_t id)
{
    size_t before = s->text.n;
    token_ids_add(&s->out, id);
    if (s->fixed_length) {
        s->finish_reason = s->out.n >= s->max_new_tokens ? "length" : NULL;
        return;
    }
    if (tokenizer_is_end(m->tokenizer, id)) {
        s->finish_reason = "eos";
        return;
    }
    tokenizer_decode(m->tokenizer, &id, 1, 0, &s->text);
    const char *cut = NULL;
    for (int i = 0; i < s->n_stop; i++) {
        size_t len = strlen(s->stop[i]);
        if (len == 0)
            continue;
        /* a stop string may have begun in earlier tokens */
        size_t from = before > len ? before - len : 0;
        const char *at = s->text.p ? strstr(s->text.p + from, s->stop[i]) : NULL;
        if (at && (!cut || at < cut))
            cut = at;
    }
    if (cut) {
        s->text.n = (size_t)(cut - s->text.p);
        s->text.p[s->text.n] = '\0';
        s->finish_reason = "stop";
    } else if (s->out.n >= s->max_new_tokens) {
        s->finish_reason = "length";
    }
}

struct batch {
    struct forward_row *row;
    size_t row_cap;
    struct kvcache **cache;
    int n_row;
};

static void add_row(struct batch *b, int32_t token, int pos, int cache, int want)
{
    mem_grow(&b->row, &b->row_cap, (size_t)b->n_row + 1, sizeof *b->row);
    b->row[b->n_row++] = (struct forward_row){.token = token, .pos = pos, .cache = cache, .want_logits = want};
}

static int step(const struct model *m, struct workspace *w, const struct batch *b, int n_cache,
                const struct tap *tap, float *logits, struct err *e)
{
    struct forward f = {
        .phase = FORWARD_CELL,
        .row = b->row,
        .n_row = b->n_row,
        .cache = b->cache,
        .n_cache = n_cache,
        .tap = tap,
        .logits = logits,
    };
    return transformer_forward(m, w, &f, e);
}

/* Token `out.n` of every sequence that still runs, from its logits. */
static int choose(const struct model *m, struct sequence *const *s, const int *active, const float *const *logits, int n,
                  const struct decode_watch *watch, struct err *e)
{
    if (n && watch && watch->step(watch->ctx, active, logits, n, e))
        return -1;
    for (int i = 0; i < n; i++)
        accept_token(m, s[active[i]], decode_argmax(logits[i], m->hp.n_vocab));
    return 0;
}

int decode_greedy(const struct model *m, struct workspace *w, struct sequence *const *s, int n_sequence,
                  const struct decode_watch *watch, int (*tick)(void), struct err *e)
{
    int rc = -1, running = 0;
    size_t n = (size_t)n_sequence + 1, vocab = (size_t)m->hp.n_vocab;
    struct batch b = {0};
    int *active = mem_new(n, sizeof *active);
    const float **row = mem_new(n, sizeof *row);
    float *logits = mem_try_raw(n, vocab * sizeof *logits, "logits", e);
    b.cache = mem_new(n, sizeof(struct kvcache *));
    timing_begin(TIMING_DECODING);
    if (!logits)
        goto out;
    for (int i = 0; i < n_sequence; i++)
        if (s[i]->n_held == 0) { /* the prefill has predicted the first token */
            active[running] = i;
            row[running++] = s[i]->first_logits;
        }
    if (choose(m, s, active, row, running, watch, e))
        goto out;
    do {
        b.n_row = 0;
        running = 0;
        for (int i = 0; i < n_sequence; i++) {
            struct sequence *q = s[i];
            if (q->finish_reason)
                continue;
            b.cache[running] = q->cache;
            if (q->out.n == 0)
                for (int j = 0; j < q->n_held; j++)
                    add_row(&b, q->held[j], q->n + j, running, j == q->n_held - 1);
            else
                add_row(&b, q->out.id[q->out.n - 1], q->n + q->n_held + q->out.n - 1, running, 1);
            row[running] = logits + (size_t)running * vocab;
            active[running++] = i;
        }
        if (running && step(m, w, &b, running, NULL, logits, e))
            goto out;
        if (choose(m, s, active, row, running, watch, e))
            goto out;
        if (tick && tick()) {
            err_set(e, ERR_INTERRUPTED, "stopped; run the same command again to continue");
            goto out;
        }
    } while (running);
    rc = 0;
out:
    timing_end();
    mem_free(active);
    mem_free(row);
    mem_free(logits);
    mem_free(b.row);
    mem_free(b.cache);
    return rc;
}

/* Rows that one forced pass feeds: what predicts target[from], then the targets up to the last but one. */
static int forced_count(const struct forced *f)
{
    return f->n_target > f->from ? f->n_target - f->from : 0;
}

static void forced_rows(struct batch *b, const struct forced *f, int cache)
{
    const struct sequence *s = f->s;
    kvcache_rewind(s->cache, s->n_held + f->from - 1);
    for (int t = f->from - 1; t < f->n_target - 1; t++)
        add_row(b, t < 0 ? s->held[s->n_held - 1] : f->target[t], s->n + s->n_held + t, cache, 1);
}

int decode_forced(const struct model *m, struct workspace *w, const struct forced *f, int n_forced,
                  const struct tap *tap, void (*take)(void *ctx, int i, const float *logits), void *ctx, struct err *e)
{
    int rc = -1;
    size_t vocab = (size_t)m->hp.n_vocab, room = 0;
    struct batch b = {0};
    float *logits = NULL;
    size_t *at = mem_new((size_t)n_forced + 1, sizeof *at);
    b.cache = mem_new((size_t)n_forced + 1, sizeof(struct kvcache *));
    for (int begin = 0, end; begin < n_forced; begin = end) {
        b.n_row = 0;
        for (end = begin; end < n_forced && (b.n_row == 0 || b.n_row + forced_count(&f[end]) <= FORCED_ROWS); end++) {
            at[end] = (size_t)b.n_row * vocab;
            b.cache[end - begin] = f[end].s->cache;
            if (forced_count(&f[end]))
                forced_rows(&b, &f[end], end - begin);
        }
        if (b.n_row == 0)
            continue;
        if ((size_t)b.n_row > room) {
            mem_free(logits);
            room = (size_t)b.n_row;
            logits = mem_try_raw(room, vocab * sizeof *logits, "logits", e);
            if (!logits)
                goto out;
        }
        if (step(m, w, &b, end - begin, tap, logits, e))
            goto out;
#pragma omp parallel for schedule(dynamic, 1)
        for (int i = begin; i < end; i++)
            if (take && forced_count(&f[i]))
                take(ctx, i, logits + at[i]);
    }
    rc = 0;
out:
    mem_free(at);
    mem_free(b.row);
    mem_free(b.cache);
    mem_free(logits);
    return rc;
}
