#include "harness/layer_metrics/repr_output.h"
#include "harness/engine/entries.h"

#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/engine/decode.h"
#include "harness/engine/group.h"
#include "harness/engine/prefill.h"
#include "harness/experiment/layers.h"
#include "harness/layer_metrics/repr_damage.h"

struct study {
    const struct repr_damage *d;
    struct experiment x; /* of the study's cells alone */
    struct cell **cell;  /* [d->k] that prunes d->layer[i]; they belong to x */
    enum prune_after after;
    double *sum;    /* [d->k] over prompts */
    int n;          /* prompts */
    struct err why; /* ERR_OK while it is well */
};

struct repr_output {
    const struct model *m;
    const struct experiment *x;
    int task;
    struct repr_relations damages;
    struct study *study; /* [damages.n_damage] */
    struct workspace *work;
};

/* ---- the studies' cells --------------------------------------------------------------------------- */

/* The experiment with the study's sweep in place of its own. */
static int load_cells(const struct repr_output *o, struct study *s, struct err *e)
{
    const struct repr_damage *d = s->d;
    struct str sweep = {0}, text = {0};
    char *dir = fs_dirname(o->x->path);
    str_addf(&sweep, "sweep=[{policy: {\"%s\": ", d->policy);
    str_add(&sweep, d->params);
    /* a mean over rows: without the digits that its rounding has added */
    str_addf(&sweep,
             "}, keep: %.12g, prune_after: %s, layer_budget: {single: {layer: all}}, prefill: full, decode: frozen, "
             "positions: original, "
             "weight_dtype: f32, arithmetic: f32, cache_dtype: f32, policy_seed: 1, windows: %s",
             d->level, d->prune_after, d->windows);
    if (d->head_budget)
        str_addf(&sweep, ", head_budget: %s", d->head_budget);
    str_addf(&sweep, ", protect: %s}]", d->protect ? d->protect : "{}");
    experiment_print(o->x, dir, &text);
    const char *set[] = {sweep.p, "baseline={policy: full}"};
    int rc = experiment_load_text(o->x->path, str_c(&text), set, 2, 0, &s->x, NULL, e);
    str_free(&sweep);
    str_free(&text);
    mem_free(dir);
    return rc;
}

static int take_cells(const struct repr_output *o, struct study *s, struct err *e)
{
    int layer = 0;
    struct layers layers;
    layers_of(&o->m->hp, s->d->windows_are_pruned ? WINDOWS_PRUNE : WINDOWS_KEEP, &layers);
    s->cell = mem_new((size_t)s->d->k + 1, sizeof *s->cell);
    for (int c = 0; c < s->x.n_cell; c++) { /* `layer: all` is expanded in the order of layers */
        struct cell *cell = &s->x.cell[c];
        if (cell->task != o->task || cell->policy->keeps_all)
            continue;
        for (int i = 0; i < s->d->k && layer < layers.n; i++)
            if (s->d->layer[i] == layers.number[layer])
                s->cell[i] = cell;
        s->after = cell->prune_after;
        layer++;
    }
    if (layer != layers.n)
        return err_set(e, ERR_CONFIG, "%d cells of single layers, expected %d", layer, layers.n);
    for (int i = 0; i < s->d->k; i++)
        if (!s->cell[i])
            return err_set(e, ERR_CONFIG, "the study has layer %lld, which has a window and is not pruned",
                           (long long)s->d->layer[i]);
    if (policy_needs_of(s->cell[0]->policy, s->cell[0]->policy_config) & STATISTIC_ANSWER)
        return err_set(e, ERR_UNSUPPORTED, "policy '%s' reads the reference answer", s->cell[0]->policy->name);
    return 0;
}

static void open_study(const struct repr_output *o, struct study *s)
{
    if (s->d->only)
        err_set(&s->why, ERR_UNSUPPORTED, "all layers but one were pruned");
    else if (s->d->prefill && strcmp(s->d->prefill, "\"full\"") != 0)
        err_set(&s->why, ERR_UNSUPPORTED, "the study's prefill is %s", s->d->prefill);
    else if (isnan(s->d->level))
        err_set(&s->why, ERR_UNSUPPORTED, "the study's layers kept different shares of what they have");
    else if (load_cells(o, s, &s->why) == 0)
        take_cells(o, s, &s->why);
    s->sum = mem_new((size_t)s->d->k + 1, sizeof *s->sum);
}

struct repr_output *repr_output_open(const char *profile, const struct experiment *x, const struct model *m, int task,
                                     struct err *e)
{
    struct repr_output *o = mem_new(1, sizeof *o);
    *o = (struct repr_output){.m = m, .x = x, .task = task};
    if (repr_damage_read(profile, x, m, task, &o->damages, e)) {
        mem_free(o);
        return NULL;
    }
    o->work = workspace_create();
    o->study = mem_new((size_t)o->damages.n_damage + 1, sizeof *o->study);
    for (int i = 0; i < o->damages.n_damage; i++) {
        o->study[i].d = &o->damages.damage[i];
        open_study(o, &o->study[i]);
    }
    return o;
}

void repr_output_close(struct repr_output *o)
{
    if (!o)
        return;
    for (int i = 0; i < o->damages.n_damage; i++) {
        mem_free(o->study[i].cell);
        mem_free(o->study[i].sum);
        experiment_fini(&o->study[i].x);
    }
    mem_free(o->study);
    repr_relations_fini(&o->damages);
    workspace_destroy(o->work);
    mem_free(o);
}

/* ---- one prompt ------------------------------------------------------------------------------------ */

/* A prompt that was read up to the cut. */
struct reading {
    int n; /* entries before the cut */
    struct kvcache *full;
    struct observer *observer;
    const struct prompt *prompt;
    struct token_ids feed; /* what is fed after the cut */
};

static void reading_close(struct reading *r)
{
    observe_destroy(r->observer);
    kvcache_destroy(r->full);
    token_ids_free(&r->feed);
}

static int read_prompt(struct repr_output *o, const struct prompt *p, struct cell *const *cell, int n_cell, int sample,
                       struct reading *r, struct err *e)
{
    const struct hparams *hp = &o->m->hp;
    int n = r->n, held = p->ids.n - n;
    r->prompt = p;
    r->full = kvcache_create(hp, n, e);
    if (!r->full)
        return -1;
    kvcache_set_longest(r->full, hp, held ? p->ids.n : n + 1);
    struct prefill read = {
        .model = o->m, .work = o->work, .token = p->ids.id, .n = n, .cache = r->full, .want_logits = held == 0};
    struct observe_pass pass = {.sample = experiment_sample_hash(o->x, o->task, sample)};
    r->observer = prefill_observed(&read, cell, n_cell, &pass, e);
    if (!r->observer || kvcache_seal(r->full, 0, e))
        return -1;
    for (int i = n; i < p->ids.n; i++)
        token_ids_add(&r->feed, p->ids.id[i]);
    if (held == 0)
        token_ids_add(&r->feed, decode_argmax(workspace_logits(o->work), hp->n_vocab));
    return 0;
}

/* Rows of the full cache first, then those of every cut one. */
struct compare {
    const struct study *s;
    int n_feed, width;
    double *error; /* [s->d->k] of this prompt */
};

static int see_output(void *ctx, int layer, enum tap_stage stage, const float *x, int n_row, struct err *e)
{
    const struct compare *c = ctx;
    size_t d = (size_t)c->width;
    (void)stage;
    (void)n_row;
    (void)e;
    for (int i = 0; i < c->s->d->k; i++) {
        if (c->s->d->layer[i] != layer)
            continue;
        double sum = 0;
        for (int t = 0; t < c->n_feed; t++) {
            const float *a = x + (size_t)t * d, *b = x + ((size_t)(i + 1) * (size_t)c->n_feed + (size_t)t) * d;
            double apart = 0, full = 0;
            for (size_t k = 0; k < d; k++) {
                apart += ((double)b[k] - (double)a[k]) * ((double)b[k] - (double)a[k]);
                full += (double)a[k] * (double)a[k];
            }
            sum += apart > 0 ? sqrt(apart / full) : 0;
        }
        c->error[i] = sum / c->n_feed;
    }
    return 0;
}

/* The cache with the study's i-th layer cut; NULL and the reason in s->why, or in e where the machine is at fault. */
static struct kvcache *cut(const struct repr_output *o, struct study *s, int i, int first_cell, const struct reading *r,
                           struct err *e)
{
    const struct hparams *hp = &o->m->hp;
    struct kvcache *cache = NULL;
    struct keepset *keep = keepset_create(hp->n_layer, hp->n_kv_head, r->n, e);
    int *entries = mem_new((size_t)hp->n_layer, sizeof *entries);
    struct prune_result result = {.entries = entries};
    struct prune_request q = prune_request_of(s->cell[i], hp);
    struct entries all;
    entries_of(hp, r->full, &all);
    q.head = all.head;
    q.n = q.n_seen = r->n;
    q.available = all.available;
    q.question_begin = r->prompt->context_end;
    q.question_end = r->prompt->question_end;
    q.score = observe_scores(r->observer, first_cell + i, &s->why);
    if (keep && q.score && prune_cut(&q, keep, &result, &s->why) == 0)
        cache = kvcache_derive(r->full, keep, r->feed.n, NULL, e);
    mem_free(entries);
    entries_fini(&all);
    keepset_destroy(keep);
    return cache;
}

static int add_study(struct repr_output *o, struct study *s, int first_cell, const struct reading *r, struct err *e)
{
    int rc = -1, n_cache = s->d->k + 1, n_feed = r->feed.n;
    struct kvcache **cache = mem_new((size_t)n_cache, sizeof *cache);
    struct forward_row *row = mem_new((size_t)n_cache * (size_t)n_feed, sizeof *row);
    struct compare c = {
        .s = s, .n_feed = n_feed, .width = o->m->hp.d_model, .error = mem_new((size_t)s->d->k, sizeof *c.error)};
    struct tap tap = {.ctx = &c, .stages = 1u << TAP_ATT, .stage = see_output};
    for (int i = 0; i < n_cache; i++) {
        cache[i] = i ? cut(o, s, i - 1, first_cell, r, e) : kvcache_derive(r->full, NULL, n_feed, NULL, e);
        if (!cache[i]) {
            rc = s->why.code != ERR_OK ? 0 : -1; /* the others go on */
            goto out;
        }
        for (int t = 0; t < n_feed; t++)
            row[i * n_feed + t] = (struct forward_row){.token = r->feed.id[t], .pos = r->n + t, .cache = i};
    }
    struct forward f = {
        .phase = FORWARD_CELL, .row = row, .n_row = n_cache * n_feed, .cache = cache, .n_cache = n_cache, .tap = &tap};
    if (transformer_forward(o->m, o->work, &f, e))
        goto out;
    for (int i = 0; i < s->d->k; i++)
        s->sum[i] += c.error[i];
    s->n++;
    rc = 0;
out:
    for (int i = 0; i < n_cache; i++)
        kvcache_destroy(cache[i]);
    mem_free(cache);
    mem_free(row);
    mem_free(c.error);
    return rc;
}

static int is_due(const struct study *s, enum prune_after after)
{
    return s->why.code == ERR_OK && s->after == after;
}

/* All studies with the same prune_after share one reading. */
static int add_after(struct repr_output *o, const struct prompt *p, enum prune_after after, int sample, struct err *e)
{
    struct cell **cell = NULL;
    size_t cap = 0;
    int rc = 0, n_cell = 0, at = 0;
    struct reading r = {.n = encode_n_before(p, after)};
    for (int i = 0; i < o->damages.n_damage; i++) {
        struct study *s = &o->study[i];
        if (is_due(s, after) && r.n < 1)
            err_set(&s->why, ERR_CONFIG, "no prompt token stands before the cut (prune_after: %s)",
                    experiment_prune_after_names[after]);
        for (int k = 0; is_due(s, after) && k < s->d->k; k++) {
            mem_grow(&cell, &cap, (size_t)n_cell + 1, sizeof(struct cell *));
            cell[n_cell++] = s->cell[k];
        }
    }
    if (n_cell)
        rc = read_prompt(o, p, cell, n_cell, sample, &r, e);
    for (int i = 0; i < o->damages.n_damage && rc == 0 && n_cell; i++) {
        struct study *s = &o->study[i];
        if (!is_due(s, after))
            continue;
        rc = add_study(o, s, at, &r, e);
        at += s->d->k;
    }
    reading_close(&r);
    mem_free(cell);
    return rc;
}

int repr_output_add(struct repr_output *o, const struct prompt *p, int sample, struct err *e)
{
    for (int a = 0; a <= PRUNE_AFTER_PROMPT; a++)
        if (add_after(o, p, (enum prune_after)a, sample, e))
            return err_wrap(e, "the output error of a pruned layer");
    return 0;
}

int repr_output_mean(const struct repr_output *o, int study, double *error, const char **why)
{
    const struct study *s = &o->study[study];
    if (s->why.code != ERR_OK || s->n == 0) {
        *why = s->why.code != ERR_OK ? s->why.msg : "no prompt was read";
        return -1;
    }
    for (int i = 0; i < s->d->k; i++)
        error[i] = s->sum[i] / s->n;
    return 0;
}
