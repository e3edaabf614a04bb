#include "harness/decode.h"

#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"

enum { FORCED_ROWS = 192 }; /* logits rows of one forced batch: 36 MiB at 49152 tokens */

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

int decode_greedy(const struct model *m, struct workspace *w, struct sequence *const *s, int n_sequence,
                  int (*tick)(void), struct err *e)
{
    int rc = -1, vocab = m->hp.n_vocab, running;
    struct batch b = {0};
    int *active = mem_new((size_t)n_sequence + 1, sizeof *active);
    float *logits = mem_try((size_t)n_sequence * (size_t)vocab, sizeof *logits, "logits", e);
    b.cache = mem_new((size_t)n_sequence + 1, sizeof(struct kvcache *));
    timing_begin(TIMING_DECODING);
    if (!logits)
        goto out;
    do {
        b.n_row = 0;
        running = 0;
        for (int i = 0; i < n_sequence; i++) {
            struct sequence *q = s[i];
            if (q->finish_reason)
                continue;
            if (q->out.n == 0 && q->n_held == 0) { /* the prefill has predicted the first token */
                accept_token(m, q, decode_argmax(q->first_logits, vocab));
                if (q->finish_reason)
                    continue;
            }
            b.cache[running] = q->cache;
            if (q->out.n == 0)
                for (int j = 0; j < q->n_held; j++)
                    add_row(&b, q->held[j], q->n + j, running, j == q->n_held - 1);
            else
                add_row(&b, q->out.id[q->out.n - 1], q->n + q->n_held + q->out.n - 1, running, 1);
            active[running++] = i;
        }
        if (running && step(m, w, &b, running, NULL, logits, e))
            goto out;
        for (int i = 0; i < running; i++)
            accept_token(m, s[active[i]], decode_argmax(logits + (size_t)i * (size_t)vocab, vocab));
        if (tick && tick()) {
            err_set(e, ERR_INTERRUPTED, "stopped; run the same command again to continue");
            goto out;
        }
    } while (running);
    rc = 0;
out:
    timing_end();
    mem_free(active);
    mem_free(logits);
    mem_free(b.row);
    mem_free(b.cache);
    return rc;
}

/* Rows of one forced pass: the last held-back token and all targets but the last one; with nothing held back the
 * prefill has already predicted the first target. */
static void forced_rows(struct batch *b, const struct forced *f, int cache)
{
    const struct sequence *s = f->s;
    kvcache_rewind(s->cache, s->n_held ? s->n_held - 1 : 0);
    if (s->n_held)
        add_row(b, s->held[s->n_held - 1], s->n + s->n_held - 1, cache, 1);
    for (int t = 0; t < f->n_target - 1; t++)
        add_row(b, f->target[t], s->n + s->n_held + t, cache, 1);
}

int decode_forced(const struct model *m, struct workspace *w, const struct forced *f, int n_forced,
                  const struct tap *tap,
                  int (*take)(void *ctx, int i, const float *logits, struct err *e), void *ctx, struct err *e)
{
    int rc = -1;
    size_t vocab = (size_t)m->hp.n_vocab;
    struct batch b = {0};
    float *logits = NULL;
    b.cache = mem_new((size_t)n_forced + 1, sizeof(struct kvcache *));
    for (int begin = 0, end; begin < n_forced; begin = end) {
        size_t rows = 0; /* logits rows, those of the prefill included */
        b.n_row = 0;
        for (end = begin; end < n_forced && (end == begin || rows + (size_t)f[end].n_target <= FORCED_ROWS); end++) {
            if (f[end].n_target < 1)
                continue;
            b.cache[end - begin] = f[end].s->cache;
            forced_rows(&b, &f[end], end - begin);
            rows += (size_t)f[end].n_target;
        }
        mem_free(logits);
        logits = mem_try(rows + 1, vocab * sizeof *logits, "logits", e);
        if (!logits || (b.n_row && step(m, w, &b, end - begin, tap, logits, e)))
            goto out;
        /* put the prefill's logits in front where nothing was held back */
        float *from = logits + (size_t)b.n_row * vocab, *to = logits + rows * vocab;
        for (int i = end - 1; i >= begin; i--) {
            if (f[i].n_target < 1)
                continue;
            size_t computed = (size_t)f[i].n_target - (f[i].s->n_held ? 0 : 1);
            from -= computed * vocab;
            to -= (size_t)f[i].n_target * vocab;
            memmove(to + ((size_t)f[i].n_target - computed) * vocab, from, computed * vocab * sizeof *logits);
            if (!f[i].s->n_held)
                memcpy(to, f[i].s->first_logits, vocab * sizeof *logits);
        }
        float *mine = logits;
        for (int i = begin; i < end; i++) {
            kvcache_rewind(f[i].s->cache, f[i].s->n_held);
            if (f[i].n_target < 1)
                continue;
            if (take(ctx, i, mine, e))
                goto out;
            mine += (size_t)f[i].n_target * vocab;
        }
    }
    rc = 0;
out:
    mem_free(b.row);
    mem_free(b.cache);
    mem_free(logits);
    return rc;
}
