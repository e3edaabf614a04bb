/* The work of `depthkv bench`. Inside the timed window is what a user waits for: the forward passes, the policies,
 * the cuts, rows written to a file. Outside it: loading the model, making prompts, and the empty caches and
 * workspaces, which a real run keeps between samples. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/fs.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/base/timing.h"
#include "harness/bench/bench.h"
#include "harness/bench/bench_formula.h"
#include "harness/bench/bench_shape.h"
#include "harness/engine/decode.h"
#include "harness/engine/group.h"
#include "harness/engine/prefill.h"
#include "harness/rows/record.h"

enum {
    DEPTH = 2048,    /* tokens of the prompt that is continued, and of most that are pruned */
    NEW_TOKENS = 16, /* of every cell of a sweep */
    TG_STEPS = 32,
    STEP_CELLS = 32,
    STEP_STEPS = 8 /* decode steps of 32 cells in one repeat */
};

struct bench_cells {
    struct experiment sweep, single;
};

static int stopped(struct err *e)
{
    return leave_asked() ? err_set(e, ERR_INTERRUPTED, "stopped") : 0;
}

/* Round 0 warms up, rounds 1 .. repeats count, one more is watched by the clocks. */
static int n_round(const struct bench_run *b)
{
    return 1 + b->repeats + (b->timing ? 1 : 0);
}

static void begin_round(struct bench_run *b, const struct bench_test *t, int i)
{
    b->watched = NULL;
    timing_enable(0); /* a test that failed may have left it on */
    b->progress(t->name, i, b->repeats);
}

static void watch(struct bench_run *b, struct bench_result *out, int i)
{
    b->watched = i > b->repeats ? out : NULL;
}

static void take(const struct bench_run *b, struct bench_result *out, int i, double seconds, double base)
{
    if (i < 1 || i > b->repeats)
        return;
    out->base[out->n] = base;
    out->second[out->n++] = seconds;
}

static double open_window(const struct bench_run *b)
{
    if (b->watched)
        timing_enable(1);
    return clock_seconds();
}

static double close_window(struct bench_run *b, double start)
{
    double seconds = clock_seconds() - start;
    if (b->watched) {
        timing_read(b->watched->timing);
        b->watched->timing_s = seconds;
        timing_enable(0);
        b->watched = NULL;
    }
    return seconds;
}

/* ---- cells ---------------------------------------------------------------------------------- */

static int load(const char *model_path, const char *sweep, struct experiment *x, struct err *e)
{
    struct str y = {0};
    str_add(&y, "# The cells that bench runs.\nschema: 1\nexperiment: bench\nmodel: ");
    str_add_json(&y, model_path, strlen(model_path));
    str_addf(&y, "\ntasks:\n  - passkey: {length: %d}\nsamples: 1\nmax_new_tokens: %d\nmeasure: [score]\nsweep:\n%s",
             DEPTH + NEW_TOKENS, NEW_TOKENS, sweep);
    int rc = experiment_load_text("bench", y.p, NULL, 0, 0, x, NULL, e);
    str_free(&y);
    return rc;
}

struct bench_cells *bench_cells_create(const char *model_path, struct err *e)
{
    struct bench_cells *c = mem_new(1, sizeof *c);
    if (load(model_path,
             "  - policy: [random, streaming, knorm, snapkv, tova, keydiff, h2o, depthkv]\n"
             "    keep: [0.75, 0.5, 0.25, 0.1]\n",
             &c->sweep, e) ||
        load(model_path,
             "  - policy: depthkv\n"
             "    layer_budget: {single: {layer: all}}\n"
             "    keep: [0.75, 0.5, 0.25, 0.1]\n",
             &c->single, e)) {
        bench_cells_destroy(c);
        return NULL;
    }
    return c;
}

void bench_cells_destroy(struct bench_cells *c)
{
    if (!c)
        return;
    experiment_fini(&c->sweep);
    experiment_fini(&c->single);
    mem_free(c);
}

/* ---- prefill -------------------------------------------------------------------------------- */

/* Feeds the first n tokens of the prompt into an empty cache; the seconds it took. */
static int prefill(struct bench_run *b, struct workspace *w, struct kvcache *cache, int n, const struct tap *tap,
                   double *seconds, struct err *e)
{
    struct prefill read = {.model = b->model, .work = w, .token = b->prompt.id, .n = n, .cache = cache, .tap = tap};
    double start = open_window(b);
    int rc = prefill_run(&read, e);
    *seconds = close_window(b, start);
    return rc;
}

/* Cells that name the scorers of a test: none, h2o, or one of every policy. */
static int pick_scorers(const struct bench_run *b, int variant, struct cell **out)
{
    struct experiment *x = &b->cells->sweep;
    int n = 0;
    for (int i = 0; i < x->n_cell && variant; i++) {
        int known = x->cell[i].policy->keeps_all || (variant == 1 && strcmp(x->cell[i].policy->name, "h2o") != 0);
        for (int k = 0; k < n; k++)
            known |= out[k]->policy == x->cell[i].policy;
        if (!known)
            out[n++] = &x->cell[i];
    }
    return n;
}

static void prefill_work(const struct bench_run *b, int n, struct bench_result *r)
{
    const struct hparams *hp = &b->model->hp;
    r->tokens = n;
    r->expected = bench_cache_bytes(hp, n, b->cache_dtype);
    r->linear_flop = bench_linear_flop(hp, n);
    r->qk_flop = r->pv_flop = bench_causal_flop(hp, n);
}

static int run_prefill(struct bench_run *b, const struct bench_test *t, struct bench_result *out, struct err *e)
{
    struct workspace *w = workspace_create();
    struct cell **cell = mem_new((size_t)b->cells->sweep.n_cell + 1, sizeof *cell);
    int rc = -1, n_cell = pick_scorers(b, t->variant, cell);
    struct kvcache *cache = NULL;
    struct observer *o = NULL;
    prefill_work(b, t->tokens, out);
    out->expected += (double)b->model->weight_bytes;
    mem_trim();
    int peak = clock_reset_peak_rss() == 0;
    for (int i = 0; i < n_round(b); i++) {
        double seconds;
        begin_round(b, t, i);
        cache = kvcache_create_held(&b->model->hp, b->cache_dtype, t->tokens, e);
        watch(b, out, i);
        struct observe_pass pass = {.n_seen = t->tokens, .n_row = t->tokens, .sample = 1};
        o = cache && n_cell ? observe_create(b->model, cache, cell, n_cell, &pass, e) : NULL;
        if (!cache || (n_cell && !o) || prefill(b, w, cache, t->tokens, o ? observe_tap(o) : NULL, &seconds, e) ||
            stopped(e))
            goto out;
        for (int c = 0; c < n_cell; c++)
            if (!observe_scores(o, c, e))
                goto out;
        take(b, out, i, seconds, 0);
        observe_destroy(o);
        kvcache_destroy(cache);
        cache = NULL;
        o = NULL;
    }
    out->rss = peak ? (double)clock_peak_rss() : 0;
    rc = 0;
out:
    observe_destroy(o);
    kvcache_destroy(cache);
    mem_free(cell);
    workspace_destroy(w);
    return rc;
}

/* ---- decoding ------------------------------------------------------------------------------- */

/* A random keep set of `share` of the entries, every head its own. */
static struct keepset *random_keep(const struct hparams *hp, int n, double share, uint64_t seed, struct err *e)
{
    struct keepset *k = keepset_create(hp->n_layer, hp->n_kv_head, n, e);
    int *entry = mem_new((size_t)n, sizeof *entry), m = (int)(share * n);
    struct rng r;
    rng_init(&r, seed, "bench keep");
    for (int l = 0; k && l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            for (int i = 0; i < n; i++)
                entry[i] = i;
            rng_shuffle(&r, entry, n, sizeof *entry);
            for (int i = 0; i < (m > 0 ? m : 1); i++)
                keepset_add(k, l, h, entry[i]);
        }
    mem_free(entry);
    return k;
}

/* One full cache, or STEP_CELLS cut ones, continued by `steps` tokens each. */
static int decode_once(struct bench_run *b, struct workspace *w, struct kvcache *const *cache, int n, int steps,
                       double *seconds, struct err *e)
{
    struct sequence *s = mem_new((size_t)n, sizeof *s), **run = mem_new((size_t)n, sizeof *run);
    for (int i = 0; i < n; i++) {
        kvcache_rewind(cache[i], 0);
        s[i] = (struct sequence){.cache = cache[i],
                                 .n = DEPTH,
                                 .held = b->prompt.id + DEPTH,
                                 .n_held = 1,
                                 .max_new_tokens = steps,
                                 .fixed_length = 1};
        run[i] = &s[i];
    }
    double start = open_window(b);
    int rc = decode_greedy(b->model, w, run, n, NULL, e);
    *seconds = close_window(b, start) / steps;
    for (int i = 0; i < n; i++) {
        s[i].cache = NULL; /* the caller's */
        decode_sequence_fini(&s[i]);
    }
    mem_free(s);
    mem_free(run);
    return rc;
}

static int run_decode(struct bench_run *b, const struct bench_test *t, struct bench_result *out, struct err *e)
{
    static const double share[] = {0.75, 0.5, 0.25, 0.1};
    const struct hparams *hp = &b->model->hp;
    struct workspace *w = workspace_create();
    struct kvcache *full = kvcache_create_held(hp, b->cache_dtype, DEPTH, e), *cache[STEP_CELLS] = {NULL};
    struct bench_stream *stream = NULL;
    int rc = -1, n = t->variant, steps = t->new_tokens;
    double seconds, bytes = 0, before = 0;
    b->progress(t->name, 0, b->repeats);
    if (full)
        kvcache_set_longest(full, hp, DEPTH + steps);
    if (!full || prefill(b, w, full, DEPTH, NULL, &seconds, e) || kvcache_seal(full, 0, e))
        goto out;
    for (int i = 0; i < n; i++) {
        struct keepset *keep = n == 1 ? NULL : random_keep(hp, DEPTH, share[i % 4], (uint64_t)i, e);
        int ready = n == 1 || keep;
        cache[i] = ready ? kvcache_derive(full, keep, decode_tail_capacity(1, steps), NULL, e) : NULL;
        keepset_destroy(keep);
        if (!cache[i])
            goto out;
        bytes += (double)kvcache_bytes(cache[i]) +
                 bench_cache_bytes(hp, bench_mean_entries(DEPTH, steps), b->cache_dtype) -
                 bench_cache_bytes(hp, DEPTH, b->cache_dtype);
    }
    out->tokens = n;
    out->paired = 1;
    out->bytes = bytes + (n == 1 ? bench_weight_bytes(b->model) : 0);
    stream = bench_stream_create(b->limits, bytes + bench_weight_bytes(b->model), e);
    if (!stream)
        goto out;
    out->rows32_flop = n == 1 ? 0 : bench_linear_flop(hp, n) + bench_output_flop(hp, n);
    for (int i = 0; i < n_round(b); i++) {
        begin_round(b, t, i);
        watch(b, out, i);
        if (decode_once(b, w, cache, n, steps, &seconds, e))
            goto out;
        double after = bench_stream_rate(stream);
        if (i >= 1 && i <= b->repeats) {
            out->bandwidth[out->n][0] = before;
            out->bandwidth[out->n][1] = after;
        }
        before = after;
        take(b, out, i, seconds, 0);
    }
    rc = 0;
out:
    for (int i = 0; i < n; i++)
        kvcache_destroy(cache[i]);
    kvcache_destroy(full);
    bench_stream_destroy(stream);
    workspace_destroy(w);
    return rc;
}

/* One full cache continued with weights held as float32 (the base) and as bf16, in turns. */
static int run_bf16(struct bench_run *b, const struct bench_test *t, struct bench_result *out, struct err *e)
{
    const struct model *given = b->model;
    const enum model_dtype held[2] = {MODEL_F32, MODEL_BF16};
    enum model_dtype other_way = given->output.bf16 ? MODEL_F32 : MODEL_BF16;
    struct model *other = b->shape ? bench_shape_model(b->shape, other_way, e) : model_open(given->path, other_way, e);
    struct workspace *w = workspace_create();
    struct kvcache *full = kvcache_create_held(&given->hp, b->cache_dtype, DEPTH, e), *cache = NULL;
    int rc = -1;
    double seconds[2];
    out->relative = 1;
    out->tokens = 1;
    if (full)
        kvcache_set_longest(full, &given->hp, DEPTH + t->new_tokens);
    if (!other || !full || prefill(b, w, full, DEPTH, NULL, &seconds[0], e) || kvcache_seal(full, 0, e))
        goto out;
    cache = kvcache_derive(full, NULL, decode_tail_capacity(1, t->new_tokens), NULL, e);
    if (!cache)
        goto out;
    for (int i = 0; i < n_round(b); i++) {
        begin_round(b, t, i);
        for (int j = 0; j < 2; j++) {
            b->model = (held[j] == MODEL_BF16) == (given->output.bf16 != NULL) ? given : other;
            if (held[j] == MODEL_BF16)
                watch(b, out, i);
            if (decode_once(b, w, &cache, 1, t->new_tokens, &seconds[j], e))
                goto out;
        }
        take(b, out, i, seconds[1], seconds[0]);
    }
    rc = 0;
out:
    b->model = given;
    kvcache_destroy(cache);
    kvcache_destroy(full);
    workspace_destroy(w);
    model_close(other);
    return rc;
}

/* ---- sweeps --------------------------------------------------------------------------------- */

struct sink {
    FILE *file; /* where rows go, as they would into a journal */
    const struct hparams *hp;
    double segment_bytes; /* that the cut cells need beside the full cache */
};

static int take_row(struct sink *s, const struct group_done *d, struct err *e)
{
    const struct keepset *keep = d->keep;
    struct str line = {0};
    if (d->row->status != ROW_OK)
        return err_set(e, ERR_POLICY, "cell %d failed: %s", d->cell, d->row->reason);
    for (int l = 0; l < s->hp->n_layer; l++)
        for (int h = 0; h < s->hp->n_kv_head; h++)
            if (keepset_count(keep, l, h) < keep->n) /* whole ones are the full cache's */
                s->segment_bytes +=
                    keepset_count(keep, l, h) * (double)kvcache_entry_bytes(s->hp, d->row->cell->cache_dtype);
    timing_begin(TIMING_IO);
    d->row->key = d->row->cell->id;
    record_json(d->row, &line);
    int bad = fprintf(s->file, "%s\n", str_c(&line)) < 0 || fflush(s->file);
    timing_end();
    str_free(&line);
    return bad ? err_set(e, ERR_IO, "writing a row to a temporary file failed") : 0;
}

static int run_cells(const struct group *g, struct sink *s, struct err *e)
{
    struct group_run *run = group_begin(g);
    struct group_done done;
    int more;
    while ((more = group_next(run, &done, e)) > 0)
        if (take_row(s, &done, e)) {
            more = -1;
            break;
        }
    group_end(run);
    return more;
}

/* Without a name from the beginning, and open for as long as it is written. */
static FILE *rows_file(struct err *e)
{
    struct str path = {0};
    int fd = fs_temporary("depthkv-rows", &path, e);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0)
        unlink(path.p);
    if (fd >= 0 && !f) {
        fs_fail(path.p, e);
        close(fd);
    }
    str_free(&path);
    return f;
}

/* The whole group once: seconds, peak resident bytes, and the bytes that harness/README.md expects. */
static int run_group(struct bench_run *b, struct experiment *x, int n_cell, int depth, struct bench_result *out,
                     double *seconds, struct err *e)
{
    const struct hparams *hp = &b->model->hp;
    int rc = -1, zero = 0;
    struct workspace *w = workspace_create();
    struct cell **cell = mem_new((size_t)n_cell, sizeof *cell);
    struct str answer = {0};
    struct sink sink = {.file = rows_file(e), .hp = hp};
    for (int i = 0; i < n_cell; i++) {
        cell[i] = &x->cell[i];
        cell[i]->cache_dtype = b->cache_dtype;
    }
    tokenizer_decode(b->model->tokenizer, b->prompt.id + depth, NEW_TOKENS, 0, &answer); /* what the book says next */
    char *answers[1] = {answer.p}, id[] = "0", none[] = "";
    struct dataset_question q = {.id = id, .text = none, .answer_prefix = none, .answer = answers, .n_answer = 1};
    struct dataset_item item = {.context_id = id, .context = none, .question = &q, .n_question = 1};
    struct prompt p = {.ids = {.id = b->prompt.id, .n = depth}, .context_end = depth, .question_end = depth};
    struct group g = {
        .x = x,
        .model = b->model,
        .work = w,
        .cell = cell,
        .n_cell = n_cell,
        .item = &item,
        .question = &zero,
        .prompt = &p,
        .n_question = 1,
        .prune_after = PRUNE_AFTER_ALL_BUT_LAST,
        .fixed_length = 1,
        .batch_bytes = (size_t)2 << 30,
    };
    if (!sink.file)
        goto out;
    if (tokenizer_encode(b->model->tokenizer, str_c(&answer), answer.n, &p.target, e))
        goto out;
    if (out->rss == 0) /* of the warm-up: later samples find their memory with the process, as those of a run do */
        mem_trim();
    int peak = clock_reset_peak_rss() == 0;
    double start = open_window(b);
    if (run_cells(&g, &sink, e))
        goto out;
    *seconds = close_window(b, start);
    double segments = sink.segment_bytes < (double)g.batch_bytes ? sink.segment_bytes : (double)g.batch_bytes;
    double tails = (double)n_cell * decode_tail_capacity(1, p.target.n > NEW_TOKENS ? p.target.n : NEW_TOKENS);
    out->expected = (double)b->model->weight_bytes + segments + bench_cache_bytes(hp, depth - 1, b->cache_dtype) +
                    tails * bench_entry_bytes(hp, b->cache_dtype);
    if (peak && (double)clock_peak_rss() > out->rss)
        out->rss = (double)clock_peak_rss();
    rc = 0;
out:
    if (sink.file)
        fclose(sink.file);
    str_free(&answer);
    token_ids_free(&p.target);
    mem_free(cell);
    workspace_destroy(w);
    return rc;
}

static void measure_what(struct experiment *x, int variant)
{
    x->measure = MEASURE_SCORE | (variant ? (unsigned)MEASURE_NLL | (unsigned)MEASURE_KL : 0u);
}

static int run_sweep(struct bench_run *b, const struct bench_test *t, struct bench_result *out, struct err *e)
{
    struct experiment *x = &b->cells->sweep;
    struct bench_result alone = {0};
    measure_what(x, t->variant);
    out->relative = 1;
    out->tokens = (double)x->n_cell * NEW_TOKENS;
    for (int i = 0; i < n_round(b); i++) {
        double base, seconds;
        begin_round(b, t, i);
        if (run_group(b, x, 1, t->tokens, &alone, &base, e))
            return -1;
        watch(b, out, i);
        if (run_group(b, x, x->n_cell, t->tokens, out, &seconds, e))
            return -1;
        take(b, out, i, seconds, base);
    }
    return 0;
}

static int run_single(struct bench_run *b, const struct bench_test *t, struct bench_result *out, struct err *e)
{
    struct experiment *x = &b->cells->single;
    int rc = -1;
    measure_what(x, t->variant);
    out->relative = 1;
    out->tokens = (double)x->n_cell * NEW_TOKENS;
    for (int i = 0; i < n_round(b); i++) {
        double base, seconds;
        struct workspace *w = workspace_create();
        struct kvcache *cache = kvcache_create_held(&b->model->hp, b->cache_dtype, DEPTH, e);
        begin_round(b, t, i);
        rc = cache ? prefill(b, w, cache, DEPTH, NULL, &base, e) : -1;
        kvcache_destroy(cache);
        workspace_destroy(w);
        watch(b, out, i);
        if (rc || run_group(b, x, x->n_cell, t->tokens, out, &seconds, e))
            return -1;
        take(b, out, i, seconds, base);
    }
    return rc;
}

/* ---- the list ------------------------------------------------------------------------------- */

enum {
    PREFILL_LIMITS = 1 << BENCH_SQUARE | 1 << BENCH_QK | 1 << BENCH_PV,
    READ_LIMITS = 1 << BENCH_BANDWIDTH,
    STEP_LIMITS = 1 << BENCH_ROWS32 | 1 << BENCH_BANDWIDTH
};

/* Those that run unless others are asked for come first, the shorter ones before the longer. */
static const struct bench_test tests[] = {
    {"pp512", "a prefill of 512 tokens", 512, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.67, 0.63, 0, run_prefill, 0},
    {"pp2048", "a prefill of 2048 tokens", DEPTH, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.67, 0.63, 0, run_prefill, 0},
    {"tg32@2048", "one token after 2048 cached ones", DEPTH, TG_STEPS, 0, READ_LIMITS, BENCH_TIMES, 1.2, 1.2, 1,
     run_decode, 0},
    {"tg32@2048+bf16", "one token with weights held as bf16, to float32", DEPTH, TG_STEPS, 0, 0, BENCH_TIMES, 0.65,
     0.65, 0, run_bf16, 0},
    {"step32", "one decode step of 32 cut caches", DEPTH, STEP_STEPS, 0, STEP_LIMITS, BENCH_TIMES, 1.2, 1.2, STEP_CELLS,
     run_decode, 0},
    {"pp2048+h2o", "a prefill of 2048 with h2o's column sums", DEPTH, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.64, 0.6, 1,
     run_prefill, 0},
    {"pp2048+scorers", "a prefill of 2048 with the eight scorers", DEPTH, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.61, 0.57,
     2, run_prefill, 0},
    {"sweep32", "32 cells on one prompt, to `full` alone", DEPTH, NEW_TOKENS, 1, 0, BENCH_TIMES, 1.6, 1.9, 0, run_sweep,
     0},
    {"single", "a layer study with four levels, in prefills", DEPTH, NEW_TOKENS, 1, 0, BENCH_TIMES, 3, 3, 0, run_single,
     0},
    {"pp4096", "a prefill of 4096 tokens", 4096, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.67, 0.63, 0, run_prefill, 1},
    {"pp8192", "a prefill of 8192 tokens", 8192, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.67, 0.63, 0, run_prefill, 1},
    {"pp16384", "a prefill of 16384 tokens", 16384, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.67, 0.63, 0, run_prefill, 1},
    {"pp32768", "a prefill of 32768 tokens", 32768, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.67, 0.63, 0, run_prefill, 1},
    {"pp16384+h2o", "a prefill of 16384 with h2o's column sums", 16384, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.64, 0.6, 1,
     run_prefill, 1},
    {"pp32768+h2o", "a prefill of 32768 with h2o's column sums", 32768, 0, 0, PREFILL_LIMITS, BENCH_SHARE, 0.64, 0.6, 1,
     run_prefill, 1},
    {"sweep32+kl", "sweep32 with nll, kl and top1", DEPTH, NEW_TOKENS, 1, 0, BENCH_TIMES, 2, 2, 1, run_sweep, 1},
    {"sweep32@8192", "sweep32 with a prompt of 8192 tokens", 8192, NEW_TOKENS, 1, 0, BENCH_TIMES, 1.6, 1.6, 0,
     run_sweep, 1},
    {"single+kl", "the layer study with nll, kl and top1", DEPTH, NEW_TOKENS, 1, 0, BENCH_TIMES, 5, 5, 1, run_single,
     1},
};

int bench_test_count(void)
{
    return (int)(sizeof tests / sizeof *tests);
}

const struct bench_test *bench_test_at(int i)
{
    return &tests[i];
}

double bench_test_goal(const struct bench_test *t, const struct model *m)
{
    return m->arithmetic == MODEL_BF16 ? t->goal_bf16 : t->goal;
}

double bench_test_seconds(const struct bench_test *t, const struct model *m, double rate, int rounds)
{
    static const double share = 0.6, memory = 1e10; /* of `rate` that products reach; bytes/s */
    double flop = bench_linear_flop(&m->hp, t->tokens) + 2 * bench_causal_flop(&m->hp, t->tokens);
    double prefill = flop / (share * rate);
    double step = (bench_weight_bytes(m) + bench_cache_bytes(&m->hp, t->tokens, MODEL_F32)) / memory;
    if (t->run == run_prefill)
        return prefill * rounds;
    if (t->run == run_sweep || t->run == run_single) /* the goal is what one takes, in prefills; and the prefill */
        return prefill * (1 + t->goal) * rounds;
    return prefill + step * t->new_tokens * (t->run == run_bf16 ? 2 : t->variant > 1 ? 4 : 1) * rounds;
}
