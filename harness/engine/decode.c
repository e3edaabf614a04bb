#include "harness/engine/decode.h"

#include <string.h>

#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "models/half.h"

enum { FORCED_ROWS = 128 }; /* logits rows of one forced batch, in the workspace: 24 MiB at 49152 tokens */

void decode_sequence_fini(struct sequence *s)
{
    kvcache_destroy(s->cache);
    evict_destroy(s->evict);
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

/* Rows of one forward pass, and the caches they go to. */
struct batch {
    struct forward_row *row;
    size_t row_cap;
    int n_row, n_cache;
    struct kvcache **cache; /* [cap] */
    struct evict **evict;   /* [cap] NULL: frozen */
    unsigned char *watched; /* [cap] 1: the cache has an `evict` */
    int *fed;               /* [cap] rows of each cache */
    struct err *failed;     /* [cap] */
};

static void batch_init(struct batch *b, int cap)
{
    size_t n = (size_t)cap + 1;
    *b = (struct batch){.cache = mem_new(n, sizeof(struct kvcache *)),
                        .evict = mem_new(n, sizeof(struct evict *)),
                        .watched = mem_new(n, 1),
                        .fed = mem_new(n, sizeof *b->fed),
                        .failed = mem_new(n, sizeof *b->failed)};
}

static void batch_fini(struct batch *b)
{
    mem_free(b->row);
    mem_free(b->cache);
    mem_free(b->evict);
    mem_free(b->watched);
    mem_free(b->fed);
    mem_free(b->failed);
}

static void batch_clear(struct batch *b)
{
    b->n_row = b->n_cache = 0;
}

/* The cache that the next rows go to; one of the two is NULL. */
static void add_cache(struct batch *b, struct kvcache *frozen, struct evict *evict)
{
    int i = b->n_cache++;
    b->cache[i] = evict ? evict_cache(evict) : frozen;
    b->evict[i] = evict;
    b->watched[i] = evict != NULL;
    b->fed[i] = 0;
}

static void add_row(struct batch *b, int32_t token, int pos, int want)
{
    mem_grow(&b->row, &b->row_cap, (size_t)b->n_row + 1, sizeof *b->row);
    b->row[b->n_row++] = (struct forward_row){.token = token, .pos = pos, .cache = b->n_cache - 1, .want_logits = want};
    b->fed[b->n_cache - 1]++;
}

static void on_row(void *ctx, int layer, int cache, int head, int row, const float *weight, int n_key)
{
    struct batch *b = ctx;
    (void)row;
    evict_row(b->evict[cache], layer, head, weight, n_key);
}

/* One forward pass; then the cuts that are due. b->failed tells of caches that could not be cut. */
static int step(const struct model *m, struct workspace *w, struct batch *b, const struct tap *tap, struct err *e)
{
    struct tap watch = {.ctx = b, .cell = on_row, .cells = b->watched};
    int any = 0;
    for (int i = 0; i < b->n_cache; i++)
        any |= b->watched[i];
    struct forward f = {
        .phase = FORWARD_CELL,
        .row = b->row,
        .n_row = b->n_row,
        .cache = b->cache,
        .n_cache = b->n_cache,
        .tap = any ? &watch : tap,
    };
    if (transformer_forward(m, w, &f, e))
        return -1;
    if (any) {
        timing_begin(TIMING_CUTTING);
        evict_fed(b->evict, b->fed, b->n_cache, b->failed);
        timing_end();
    }
    return 0;
}

static void fail(struct sequence *s, const struct err *why)
{
    s->err = *why;
    s->finish_reason = "failed";
}

/* Fails a sequence of whose n rows of logits, the first for token `first`, some are no numbers; 1 when it does. */
static int fail_bad(const struct model *m, struct sequence *s, const float *logits, int n, int first)
{
    struct err why = {0};
    size_t vocab = (size_t)m->hp.n_vocab, count = (size_t)n * vocab, bad = half_find_bad_f32(logits, count);
    if (bad == count)
        return 0;
    err_set(&why, ERR_FORMAT,
            "logit %zu of token %zu of the answer is %s: the model's arithmetic left the range of numbers", bad % vocab,
            (size_t)first + bad / vocab, logits[bad] < 0 || logits[bad] > 0 ? "infinite" : "NaN");
    fail(s, &why);
    return 1;
}

/* Takes the sequences that fail so off the lists; how many are left. */
static int drop_bad(const struct model *m, struct sequence *const *s, int *active, const float **logits, int n)
{
    int left = 0;
    for (int i = 0; i < n; i++) {
        if (fail_bad(m, s[active[i]], logits[i], 1, s[active[i]]->out.n))
            continue;
        active[left] = active[i];
        logits[left++] = logits[i];
    }
    return left;
}

/* Token `out.n` of every sequence that still runs, from its logits. */
static int choose(const struct model *m, struct sequence *const *s, int *active, const float **logits, int n,
                  const struct decode_watch *watch, struct err *e)
{
    n = drop_bad(m, s, active, logits, n);
    if (n && watch && watch->step(watch->ctx, active, logits, n, e))
        return -1;
    for (int i = 0; i < n; i++)
        accept_token(m, s[active[i]], decode_argmax(logits[i], m->hp.n_vocab));
    return 0;
}

/* A sequence that decodes: where it stands, and the state it decodes in. */
struct running {
    struct sequence *s;
    struct evict *evict; /* NULL: frozen */
    int fed;             /* held-back tokens that were fed */
    int in_batch;        /* cache of the batch; -1: not in this pass */
    int predicts;        /* 1: this pass gives the logits of token out.n */
};

/* Rows of the next pass: what was held back, up to the next cut, or the token chosen last. */
static void add_next(struct batch *b, struct running *r)
{
    struct sequence *s = r->s;
    int room = r->evict ? evict_room(r->evict) : s->n_held, n = s->n_held - r->fed < room ? s->n_held - r->fed : room;
    r->in_batch = b->n_cache;
    add_cache(b, s->cache, r->evict);
    r->predicts = r->fed + n == s->n_held;
    for (int j = r->fed; j < r->fed + n; j++)
        add_row(b, s->held[j], s->n + j, j == s->n_held - 1);
    if (n == 0)
        add_row(b, s->out.id[s->out.n - 1], s->n + s->n_held + s->out.n - 1, 1);
    r->fed += n;
}

/* A state to decode in: the sequence's own, or a copy where forced passes need the original. What was held back is fed
 * to the original first, all but the last, because every pass begins with that. */
static int start(const struct model *m, struct workspace *w, struct running *r, int n, struct batch *b, struct err *e)
{
    for (int more = 1; more;) {
        more = 0;
        batch_clear(b);
        for (int i = 0; i < n; i++) {
            struct sequence *s = r[i].s;
            r[i].in_batch = -1;
            if (!s->evict || s->finish_reason || r[i].fed >= s->n_held - 1)
                continue;
            int room = evict_room(s->evict), last = r[i].fed + room < s->n_held - 1 ? r[i].fed + room : s->n_held - 1;
            r[i].in_batch = b->n_cache;
            add_cache(b, NULL, s->evict);
            for (; r[i].fed < last; r[i].fed++)
                add_row(b, s->held[r[i].fed], s->n + r[i].fed, 0);
            more = 1;
        }
        if (more && step(m, w, b, NULL, e))
            return -1;
        for (int i = 0; i < n; i++)
            if (r[i].in_batch >= 0 && b->failed[r[i].in_batch].code != ERR_OK)
                fail(r[i].s, &b->failed[r[i].in_batch]);
    }
    for (int i = 0; i < n; i++) {
        struct sequence *s = r[i].s;
        if (!s->evict || s->finish_reason)
            continue;
        r[i].evict = s->forced ? evict_clone(s->evict, e) : s->evict;
        if (!r[i].evict)
            return -1;
    }
    return 0;
}

/* What is to be known of a sequence's cache when it has ended. */
static void finish(struct running *r)
{
    struct sequence *s = r->s;
    const struct kvcache *c = r->evict ? evict_cache(r->evict) : s->cache;
    if (!c)
        return; /* it never began */
    s->bytes_end = kvcache_bytes(c);
    s->bytes_peak = r->evict ? evict_peak_bytes(r->evict) : s->bytes_end;
    s->protection_cut = r->evict && evict_protection_cut(r->evict);
    if (r->evict != s->evict)
        evict_destroy(r->evict);
    r->evict = NULL;
}

/* The logits of a pass to the sequences that they belong to. */
static int pick(struct running *r, int n, const struct batch *b, const float *logits, size_t vocab, int *active,
                const float **row)
{
    int running = 0;
    for (int i = 0; i < n; i++) {
        if (r[i].in_batch < 0)
            continue;
        const struct err *failed = &b->failed[r[i].in_batch];
        if (r[i].evict && failed->code != ERR_OK)
            fail(r[i].s, failed);
        if (!r[i].predicts)
            continue;
        if (!r[i].s->finish_reason) {
            active[running] = i;
            row[running++] = logits;
        }
        logits += vocab;
    }
    return running;
}

int decode_greedy(const struct model *m, struct workspace *w, struct sequence *const *s, int n_sequence,
                  const struct decode_watch *watch, struct err *e)
{
    int rc = -1, running = 0;
    size_t n = (size_t)n_sequence + 1, vocab = (size_t)m->hp.n_vocab;
    struct batch b;
    struct running *r = mem_new(n, sizeof *r);
    int *active = mem_new(n, sizeof *active);
    const float **row = mem_new(n, sizeof *row);
    batch_init(&b, n_sequence);
    timing_begin(TIMING_DECODING);
    for (int i = 0; i < n_sequence; i++)
        r[i].s = s[i];
    if (start(m, w, r, n_sequence, &b, e))
        goto out;
    for (int i = 0; i < n_sequence; i++)
        if (s[i]->n_held == 0 && !s[i]->finish_reason) { /* the prefill has predicted the first token */
            active[running] = i;
            row[running++] = s[i]->first_logits;
        }
    if (choose(m, s, active, row, running, watch, e))
        goto out;
    for (;;) {
        batch_clear(&b);
        for (int i = 0; i < n_sequence; i++) {
            r[i].in_batch = -1;
            if (!s[i]->finish_reason)
                add_next(&b, &r[i]);
        }
        if (b.n_cache && step(m, w, &b, NULL, e))
            goto out;
        running = pick(r, n_sequence, &b, workspace_logits(w), vocab, active, row);
        if (choose(m, s, active, row, running, watch, e))
            goto out;
        if (leave_stopped(e))
            goto out;
        if (!b.n_cache)
            break;
    }
    rc = 0;
out:
    timing_end();
    for (int i = 0; i < n_sequence; i++)
        finish(&r[i]);
    mem_free(r);
    mem_free(active);
    mem_free(row);
    batch_fini(&b);
    return rc;
}

/* Rows that one forced pass feeds: what predicts target[from], then the targets up to the last but one. */
static int forced_count(const struct forced *f)
{
    return f->n_target > f->from ? f->n_target - f->from : 0;
}

static void forced_rows(struct batch *b, const struct forced *f)
{
    const struct sequence *s = f->s;
    kvcache_rewind(s->cache, s->n_held + f->from - 1);
    for (int t = f->from - 1; t < f->n_target - 1; t++)
        add_row(b, t < 0 ? s->held[s->n_held - 1] : f->target[t], s->n + s->n_held + t, 1);
}

/* Frozen caches, one chunk each. */
static int force_frozen(const struct model *m, struct workspace *w, const struct forced *f, int n_forced,
                        const struct tap *tap, void (*take)(void *ctx, int i, const float *logits, int n), void *ctx,
                        struct err *e)
{
    int rc = -1;
    size_t vocab = (size_t)m->hp.n_vocab;
    struct batch b;
    size_t *at = mem_new((size_t)n_forced + 1, sizeof *at);
    batch_init(&b, n_forced);
    for (int begin = 0, end; begin < n_forced; begin = end) {
        batch_clear(&b);
        for (end = begin; end < n_forced && (b.n_row == 0 || b.n_row + forced_count(&f[end]) <= FORCED_ROWS); end++) {
            at[end] = (size_t)b.n_row * vocab;
            if (f[end].s->evict || !forced_count(&f[end]))
                continue;
            add_cache(&b, f[end].s->cache, NULL);
            forced_rows(&b, &f[end]);
        }
        if (b.n_row == 0)
            continue;
        if (step(m, w, &b, tap, e))
            goto out;
        const float *logits = workspace_logits(w);
        for (int i = begin; i < end; i++)
            if (!f[i].s->evict && f[i].s->err.code == ERR_OK && forced_count(&f[i]))
                fail_bad(m, f[i].s, logits + at[i], forced_count(&f[i]), f[i].from);
#pragma omp parallel for schedule(dynamic, 1)
        for (int i = begin; i < end; i++)
            if (take && !f[i].s->evict && f[i].s->err.code == ERR_OK && forced_count(&f[i]))
                take(ctx, i, logits + at[i], forced_count(&f[i]));
    }
    rc = 0;
out:
    mem_free(at);
    batch_fini(&b);
    return rc;
}

/* A forced pass that is cut on the way. */
struct cut_pass {
    const struct forced *f;
    int i;               /* of the caller's list */
    struct evict *evict; /* a copy of the sequence's state */
    int next;            /* target that is fed next; -1: the last held-back token */
    int in_batch, count; /* of this pass: cache of the batch, or -1; logits */
    size_t at;           /* where they begin among the pass's */
};

static void cut_pass_rows(struct batch *b, struct cut_pass *p, int most)
{
    const struct sequence *s = p->f->s;
    int room = evict_room(p->evict), end;
    room = room < most ? room : most;
    end = p->next + room < p->f->n_target - 1 ? p->next + room : p->f->n_target - 1;
    p->in_batch = b->n_cache;
    p->count = 0;
    add_cache(b, NULL, p->evict);
    for (; p->next < end; p->next++) {
        int want = p->next + 1 >= p->f->from; /* what it predicts */
        add_row(b, p->next < 0 ? s->held[s->n_held - 1] : p->f->target[p->next], s->n + s->n_held + p->next, want);
        p->count += want;
    }
}

/* Passes [0, n), all at once, until each has fed its targets. */
static int force_cut(const struct model *m, struct workspace *w, struct cut_pass *p, int n,
                     void (*take)(void *ctx, int i, const float *logits, int n), void *ctx, struct err *e)
{
    int rc = -1;
    size_t vocab = (size_t)m->hp.n_vocab;
    struct batch b;
    batch_init(&b, n);
    for (;;) {
        size_t at = 0;
        batch_clear(&b);
        for (int i = 0; i < n; i++) {
            p[i].in_batch = -1;
            p[i].count = 0;
            if (p[i].next >= p[i].f->n_target - 1 || p[i].f->s->err.code != ERR_OK)
                continue;
            cut_pass_rows(&b, &p[i], FORCED_ROWS / n);
            p[i].at = at;
            at += (size_t)p[i].count * vocab;
        }
        if (b.n_cache == 0)
            break;
        if (step(m, w, &b, NULL, e))
            goto out;
        for (int i = 0; i < n; i++)
            if (p[i].in_batch >= 0 && b.failed[p[i].in_batch].code != ERR_OK)
                fail(p[i].f->s, &b.failed[p[i].in_batch]);
            else if (p[i].count)
                fail_bad(m, p[i].f->s, workspace_logits(w) + p[i].at, p[i].count, p[i].f->from);
#pragma omp parallel for schedule(dynamic, 1)
        for (int i = 0; i < n; i++)
            if (take && p[i].count && p[i].f->s->err.code == ERR_OK)
                take(ctx, p[i].i, workspace_logits(w) + p[i].at, p[i].count);
    }
    rc = 0;
out:
    batch_fini(&b);
    return rc;
}

int decode_forced(const struct model *m, struct workspace *w, const struct forced *f, int n_forced,
                  const struct tap *tap, void (*take)(void *ctx, int i, const float *logits, int n), void *ctx,
                  struct err *e)
{
    int rc = -1, n = 0;
    struct cut_pass pass[FORCED_ROWS];
    if (force_frozen(m, w, f, n_forced, tap, take, ctx, e))
        return -1;
    for (int i = 0; i < n_forced; i++) {
        if (f[i].s->evict && f[i].s->err.code == ERR_OK && forced_count(&f[i])) {
            pass[n] = (struct cut_pass){.f = &f[i], .i = i, .next = f[i].s->n_held ? -1 : 0};
            pass[n].evict = evict_clone(f[i].s->evict, e);
            if (!pass[n++].evict)
                goto out;
        }
        if (n < FORCED_ROWS && i + 1 < n_forced)
            continue;
        if (n && force_cut(m, w, pass, n, take, ctx, e))
            goto out;
        for (; n; n--)
            evict_destroy(pass[n - 1].evict);
    }
    rc = 0;
out:
    for (; n; n--)
        evict_destroy(pass[n - 1].evict);
    return rc;
}
