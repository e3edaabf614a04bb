#include "harness/layer_metrics/repr_study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/engine/encode.h"
#include "harness/engine/prefill.h"
#include "harness/engine/prompts.h"
#include "harness/layer_metrics/repr_output.h"
#include "harness/run/progress.h"

static const char *const definitions[] = {"depthkv", "skean", "both", NULL},
                         *const denominators[] = {"printed", "standard", NULL},
                         *const curvatures[] = {"paper", "code", NULL}, *const all[] = {"all", NULL};
const char *const repr_study_stages[] = {"pre", "att", "res", "mlp", NULL};

#define AT(field) offsetof(struct repr_options, field)
const struct param repr_study_params[] = {
    {"definition", PARAM_ENUM, AT(definition), "depthkv", 0, 0, definitions,
     "whose definitions; skean's lidar costs `views` passes"},
    {"drop", PARAM_FLOAT, AT(drop), "0.1", 0, 1, NULL, "probability that a word is dropped from a view (DepthKV: 0.1)"},
    {"temperature", PARAM_FLOAT, AT(temperature), "0.1", 1e-4, 1e4, NULL,
     "of infonce (Skean's code: 0.1; DepthKV does not say)"},
    {"batch", PARAM_INT, AT(batch), "all", 2, 1e6, all,
     "samples of a batch: infonce's negatives, skean's dime and lidar"},
    {"infonce", PARAM_ENUM, AT(standard), "printed", 0, 0, denominators,
     "depthkv: the sum holds j = i, or the positive pair"},
    {"knn", PARAM_INT, AT(knn), "5", 1, 1e6, NULL, "depthkv: neighbours of curvature"},
    {"curvature", PARAM_ENUM, AT(code), "paper", 0, 0, curvatures,
     "skean: angle of successive differences, or of tokens"},
    {"alpha", PARAM_FLOAT, AT(alpha), "1", 0.01, 100, NULL, "skean: order of the entropies"},
    {"views", PARAM_INT, AT(views), "16", 2, 1000, NULL,
     "skean: copies of a sample for lidar; the first two serve dime, infonce"},
    {"permutations", PARAM_INT, AT(permutations), "10", 1, 1e5, NULL, "skean: of dime"},
    {"max_tokens", PARAM_INT, AT(max_tokens), "all", 3, 1e9, all, "prompt tokens that are looked at"},
    {0},
};

/* One pass over one prompt. */
struct pass {
    struct run *run;
    int sample, view; /* view -1: the prompt as it is */
    int n_token;
    float *stage; /* [TAP_N_STAGE][n_token][d_model] of the layer that runs */
};

struct run {
    const struct experiment *x;
    const struct exp_task *task;
    const struct model *m;
    const struct repr_options *o;
    struct workspace *work;
    struct encode_context encode;
    struct repr_output *output;           /* NULL: nobody asks */
    int n_layer, width, n_sample, n_pool; /* n_pool: the prompt and its views */
    int wants[REPR_N_DEFINITION];
    double *token[REPR_N_DEFINITION]; /* [n_sample][n_layer][TAP_N_STAGE][REPR_N_TOKEN_METRIC] */
    double *pool[REPR_N_DEFINITION];  /* [n_layer][TAP_N_STAGE][n_sample][n_pool][width] */
    double *entropy;                  /* [n_layer][n_sample] */
};

static struct repr_rule rule(const struct repr_options *o, int definition)
{
    return (struct repr_rule){.definition = definition,
                              .knn = (int)o->knn,
                              .standard = o->standard,
                              .turning = !o->code,
                              .alpha = o->alpha,
                              .temperature = o->temperature};
}

static double *pooled(const struct run *r, int def, int layer, int stage, int sample, int view)
{
    size_t row = ((size_t)layer * TAP_N_STAGE + (size_t)stage) * (size_t)r->n_sample + (size_t)sample;
    return r->pool[def] + (row * (size_t)r->n_pool + (size_t)(view + 1)) * (size_t)r->width;
}

static int measure(const struct pass *p, int layer, int stage, int def, struct err *e)
{
    const struct run *r = p->run;
    const float *x = p->stage + (size_t)stage * (size_t)p->n_token * (size_t)r->width;
    struct repr_rule of = rule(r->o, def);
    size_t row = ((size_t)p->sample * (size_t)r->n_layer + (size_t)layer) * TAP_N_STAGE + (size_t)stage;
    repr_pool(x, p->n_token, r->width, def, pooled(r, def, layer, stage, p->sample, p->view));
    if (p->view >= 0)
        return 0;
    if (repr_tokens(x, p->n_token, r->width, &of, r->token[def] + row * REPR_N_TOKEN_METRIC, e))
        return err_wrap(e, "layer %d, %s", layer, repr_study_stages[stage]);
    return 0;
}

/* The stages share buffers of the forward pass, so they are put aside until the layer is over; each metric is then one
 * thread's work, whose bits depend on nothing else. */
static int see_stage(void *ctx, int layer, enum tap_stage stage, const float *x, int n_row, struct err *e)
{
    const struct pass *p = ctx;
    enum { N = TAP_N_STAGE * REPR_N_DEFINITION };
    struct err why[N];
    int bad[N] = {0};
    size_t n = (size_t)n_row * (size_t)p->run->width;
    memcpy(p->stage + (size_t)stage * n, x, n * sizeof *x);
    if (stage != TAP_MLP)
        return 0;
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < N; i++)
        if (p->run->wants[i % REPR_N_DEFINITION])
            bad[i] = measure(p, layer, i / REPR_N_DEFINITION, i % REPR_N_DEFINITION, &why[i]);
    for (int i = 0; i < N; i++)
        if (bad[i]) {
            *e = why[i];
            return -1;
        }
    return 0;
}

static int see_attention(void *ctx, const struct attention_stats *s, struct err *e)
{
    const struct pass *p = ctx;
    const struct run *r = p->run;
    double sum = 0;
    (void)e;
    for (int q = 0; q < r->m->hp.n_head; q++)
        for (int i = 0; i < s->n_query; i++)
            sum += (double)s->entropy[q][i];
    r->entropy[(size_t)s->layer * (size_t)r->n_sample + (size_t)p->sample] = sum / r->m->hp.n_head / s->n_query;
    return 0;
}

static int feed(struct run *r, const struct prompt *prompt, int sample, int view, int *n_token, struct err *e)
{
    int rc = -1, n = prompt->ids.n;
    if (r->o->max_tokens > 0 && n > r->o->max_tokens)
        n = (int)r->o->max_tokens;
    if (n < 3)
        return err_set(e, ERR_CONFIG, "a prompt of %d tokens; metrics of layers need at least 3", n);
    struct pass p = {.run = r, .sample = sample, .view = view, .n_token = n};
    struct kvcache *cache = kvcache_create(&r->m->hp, n, e);
    p.stage = mem_try((size_t)TAP_N_STAGE * (size_t)n * (size_t)r->width, sizeof *p.stage, "hidden states", e);
    struct tap tap = {.ctx = &p, .stages = (1 << TAP_N_STAGE) - 1, .stage = see_stage};
    if (view < 0) {
        tap.stats = TRANSFORMER_STAT_ENTROPY;
        tap.attention = see_attention;
    }
    struct prefill read = {
        .model = r->m, .work = r->work, .token = prompt->ids.id, .n = n, .cache = cache, .tap = &tap};
    if (cache && p.stage)
        rc = prefill_run(&read, e);
    *n_token = n;
    mem_free(p.stage);
    kvcache_destroy(cache);
    return rc;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void repr_study_drop_words(const char *text, size_t n, double drop, struct rng *r, struct str *out)
{
    size_t i = 0;
    while (i < n && is_space(text[i]))
        i++;
    str_addn(out, text, i);
    while (i < n) {
        size_t from = i;
        while (i < n && !is_space(text[i]))
            i++;
        while (i < n && is_space(text[i]))
            i++;
        if (rng_double(r) >= drop)
            str_addn(out, text + from, i - from);
    }
}

/* The item as one of its views has it: words dropped from context and question; the template and the answer's prefix
 * are the harness's own words and stay. */
static int encode_view(struct run *r, const struct dataset_item *item, int sample, int view, struct prompt *out,
                       struct err *e)
{
    struct rng rng;
    struct str context = {0}, text = {0};
    struct dataset_question question = item->question[0];
    struct dataset_item copy = *item;
    rng_init(&rng, rng_mix(rng_mix(r->x->seed, (uint64_t)sample), (uint64_t)view), "word dropout");
    repr_study_drop_words(item->context, item->n_context, r->o->drop, &rng, &context);
    repr_study_drop_words(question.text, strlen(question.text), r->o->drop, &rng, &text);
    copy.context = context.p ? context.p : item->context + item->n_context;
    copy.n_context = context.n;
    copy.n_evidence = 0; /* its bytes have moved */
    copy.question = &question;
    question.text = text.p ? text.p : question.text + strlen(question.text);
    int rc = encode_prompt(&r->encode, &copy, 0, out, e);
    str_free(&context);
    str_free(&text);
    return rc;
}

/* The prompt as it is (view -1) or one of its views, through the model. */
static int run_view(struct run *r, const struct prompts_at *at, int sample, int view, struct repr_study *out,
                    struct err *e)
{
    struct prompt seen = {0};
    int n_token = 0;
    if (view >= 0) {
        int bad = encode_view(r, at->item, at->sample, view, &seen, e) || feed(r, &seen, sample, view, &n_token, e);
        encode_prompt_fini(&seen);
        return bad ? err_wrap(e, "view %d", view) : 0;
    }
    const struct prompt *p = &at->prompt[0];
    if (feed(r, p, sample, view, &n_token, e) || (r->output && repr_output_add(r->output, p, at->sample, e)))
        return err_wrap(e, "the prompt");
    hash_sha256(p->ids.id, (size_t)p->ids.n * sizeof *p->ids.id, out->prompt[sample]);
    out->n_token = n_token > out->n_token ? n_token : out->n_token;
    return 0;
}

static int run_sample(struct run *r, const struct prompts_at *at, int sample, struct repr_study *out, struct err *e)
{
    for (int view = -1; view < r->n_pool - 1; view++) {
        if (run_view(r, at, sample, view, out, e))
            return err_wrap(e, "sample %d", at->sample);
        if (leave_asked())
            return err_set(e, ERR_INTERRUPTED, "stopped; nothing was written");
    }
    return 0;
}

/* Rows [first, first + n) of samples, views v and w of each: a[n][width], b[n][width]. */
static void take(const struct run *r, int def, int layer, int stage, int first, int n, int v, int w, double *a,
                 double *b)
{
    size_t d = (size_t)r->width;
    for (int i = 0; i < n; i++) {
        memcpy(a + (size_t)i * d, pooled(r, def, layer, stage, first + i, v), d * sizeof *a);
        memcpy(b + (size_t)i * d, pooled(r, def, layer, stage, first + i, w), d * sizeof *b);
    }
}

static int lidar(const struct run *r, int layer, int stage, int first, int n, double *out, struct err *e)
{
    size_t d = (size_t)r->width, views = (size_t)r->n_pool - 1;
    double *x = mem_try((size_t)n * views * d, sizeof *x, "pooled vectors", e);
    if (!x)
        return -1;
    for (int i = 0; i < n; i++)
        memcpy(x + (size_t)i * views * d, pooled(r, REPR_SKEAN, layer, stage, first + i, 0), views * d * sizeof *x);
    int rc = repr_skean_lidar(x, n, (int)views, r->width, r->o->alpha, out, e);
    mem_free(x);
    return rc;
}

/* The metrics of pooled vectors at one place. */
static int contrast(const struct run *r, struct repr_study *s, int def, int layer, int stage, const int *order,
                    struct err *e)
{
    size_t d = (size_t)r->width;
    int rc = -1, n = s->batch, total = s->n_batch * n;
    struct repr_rule of = rule(r->o, def);
    double *a = mem_try(2 * (size_t)n * d, sizeof *a, "pooled vectors", e), *b = a + (size_t)n * d;
    double *v[3] = {mem_new((size_t)total, sizeof **v), mem_new((size_t)total, sizeof **v),
                    mem_new((size_t)total, sizeof **v)};
    int count[3] = {total, total, total};
    if (!a)
        goto out;
    for (int k = 0; k < s->n_batch; k++) {
        int first = k * n;
        take(r, def, layer, stage, first, n, def == REPR_SKEAN ? 0 : -1, def == REPR_SKEAN ? 1 : 0, a, b);
        if (def == REPR_DEPTHKV) {
            if (repr_depthkv(a, b, n, r->width, &of, v[0] + first, v[1] + first, v[2] + first, e))
                goto out;
            continue;
        }
        repr_skean_infonce(a, b, n, r->width, r->o->temperature, v[2] + first);
        count[0] = count[1] = s->n_batch;
        if (repr_skean_dime(a, b, n, r->width, r->o->alpha, order, (int)r->o->permutations, &v[0][k], e) ||
            lidar(r, layer, stage, first, n, &v[1][k], e))
            goto out;
    }
    for (int k = 0; k < 3; k++)
        s->value[def][REPR_DIME + k][stage][layer] = stats_mean(v[k], count[k], NULL);
    rc = 0;
out:
    mem_free(a);
    for (int k = 0; k < 3; k++)
        mem_free(v[k]);
    return rc;
}

static void average(const struct run *r, struct repr_study *s, int def, int layer, int stage)
{
    double *v = mem_new((size_t)r->n_sample, sizeof *v);
    for (int k = 0; k < REPR_N_TOKEN_METRIC; k++) {
        for (int i = 0; i < r->n_sample; i++) {
            size_t row = ((size_t)i * (size_t)r->n_layer + (size_t)layer) * TAP_N_STAGE + (size_t)stage;
            v[i] = r->token[def][row * REPR_N_TOKEN_METRIC + (size_t)k];
        }
        s->value[def][k][stage][layer] = stats_mean(v, r->n_sample, NULL);
    }
    mem_free(v);
}

static int summarise(const struct run *r, struct repr_study *s, struct err *e)
{
    int failed = 0, *order = mem_new((size_t)(r->o->permutations * s->batch), sizeof *order);
    struct rng rng;
    rng_init(&rng, r->x->seed, "dime");
    for (int p = 0; p < r->o->permutations; p++) {
        for (int i = 0; i < s->batch; i++)
            order[p * s->batch + i] = i;
        rng_shuffle(&rng, order + p * s->batch, s->batch, sizeof *order);
    }
    for (int l = 0; l < r->n_layer; l++)
        s->entropy[l] = stats_mean(r->entropy + (size_t)l * (size_t)r->n_sample, r->n_sample, NULL);
    for (int def = 0; def < REPR_N_DEFINITION; def++)
        for (int k = 0; r->wants[def] && k < REPR_N_METRIC; k++)
            for (int stage = 0; stage < TAP_N_STAGE; stage++)
                s->value[def][k][stage] = mem_new((size_t)r->n_layer, sizeof(struct stats_summary));
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < r->n_layer * TAP_N_STAGE * REPR_N_DEFINITION; i++) {
        int def = i % REPR_N_DEFINITION, stage = i / REPR_N_DEFINITION % TAP_N_STAGE,
            layer = i / REPR_N_DEFINITION / TAP_N_STAGE;
        struct err why = {0};
        if (!r->wants[def])
            continue;
        average(r, s, def, layer, stage);
        if (contrast(r, s, def, layer, stage, order, &why)) {
#pragma omp critical
            {
                if (!failed)
                    *e = why;
                failed = 1;
            }
        }
    }
    mem_free(order);
    return failed ? -1 : 0;
}

static int prepare(struct run *r, struct repr_study *s, int n_sample, struct err *e)
{
    const struct repr_options *o = r->o;
    r->n_sample = s->n_sample = n_sample;
    s->batch = o->batch < 0 || o->batch > s->n_sample ? s->n_sample : (int)o->batch;
    if (s->n_sample < 2 || (o->batch > 0 && o->batch > s->n_sample))
        return err_set(e, ERR_CONFIG, "%d samples, and a batch takes %d at least", s->n_sample,
                       o->batch > 2 ? (int)o->batch : 2);
    s->n_batch = s->n_sample / s->batch; /* infonce grows with the batch, so a smaller one at the end does not count */
    s->n_layer = r->n_layer;
    s->o = o;
    r->wants[REPR_DEPTHKV] = o->definition != REPR_STUDY_SKEAN;
    r->wants[REPR_SKEAN] = o->definition != REPR_STUDY_DEPTHKV;
    r->n_pool = 1 + (r->wants[REPR_SKEAN] ? (int)o->views : 1);
    size_t places = (size_t)r->n_sample * (size_t)r->n_layer * TAP_N_STAGE;
    r->entropy = mem_new((size_t)r->n_layer * (size_t)r->n_sample, sizeof *r->entropy);
    s->entropy = mem_new((size_t)r->n_layer, sizeof *s->entropy);
    s->prompt = mem_new((size_t)s->n_sample, sizeof *s->prompt);
    for (int def = 0; def < REPR_N_DEFINITION; def++) {
        if (!r->wants[def])
            continue;
        r->token[def] = mem_try(places * REPR_N_TOKEN_METRIC, sizeof **r->token, "metrics of all samples", e);
        r->pool[def] = mem_try(places * (size_t)r->n_pool, (size_t)r->width * sizeof **r->pool,
                               "pooled vectors of all samples", e);
        if (!r->token[def] || !r->pool[def])
            return -1;
    }
    return 0;
}

static int run_samples(struct run *r, struct prompts *p, struct progress *progress, struct repr_study *out,
                       struct err *e)
{
    struct prompts_at at;
    int more;
    for (int i = 0; (more = prompts_next(p, &at, e)) > 0; i++) {
        if (!at.prompt)
            return prompts_fail(p, &at, e);
        if (run_sample(r, &at, i, out, e))
            return err_wrap(e, "%s:%d: task '%s'", r->x->path, r->task->line, r->task->label);
        if (!progress)
            continue;
        struct str label = {0};
        str_addf(&label, "sample %d", i);
        progress_step(progress, label.p);
        str_free(&label);
    }
    return more;
}

static void run_fini(struct run *r)
{
    for (int def = 0; def < REPR_N_DEFINITION; def++) {
        mem_free(r->token[def]);
        mem_free(r->pool[def]);
    }
    mem_free(r->entropy);
    workspace_destroy(r->work);
}

int repr_study_run(const struct experiment *x, const struct model *m, int task, const struct repr_options *o,
                   struct repr_output *output, struct progress *progress, struct repr_study *out, struct err *e)
{
    const struct exp_task *t = &x->task[task];
    struct run r = {
        .x = x, .task = t, .m = m, .o = o, .output = output, .n_layer = m->hp.n_layer, .width = m->hp.d_model};
    struct prompts_some some = {0};
    struct prompts *p = NULL;
    int rc = -1;
    *out = (struct repr_study){0};
    for (int c = 0; c < x->n_cell && !some.cell; c++) /* the first cell's prompts stand for those of all */
        some.cell = x->cell[c].task == task ? &x->cell[c] : NULL;
    r.work = workspace_create();
    r.encode.model = m;
    if (experiment_pieces(x, m->tokenizer, &r.encode.pieces, e)) {
        err_wrap(e, "%s:%d: task '%s'", x->path, t->line, t->label);
        goto out;
    }
    p = prompts_begin(x, some.cell->model, task, &r.encode, &some, e);
    if (!p)
        goto out;
    if (prepare(&r, out, prompts_count(p), e)) {
        err_wrap(e, "%s:%d: task '%s'", x->path, t->line, t->label);
        goto out;
    }
    if (run_samples(&r, p, progress, out, e))
        goto out;
    rc = summarise(&r, out, e);
    if (rc)
        err_wrap(e, "%s:%d: task '%s'", x->path, t->line, t->label);
out:
    if (rc)
        repr_study_fini(out);
    prompts_end(p);
    run_fini(&r);
    return rc;
}

void repr_study_fini(struct repr_study *s)
{
    for (int def = 0; def < REPR_N_DEFINITION; def++)
        for (int k = 0; k < REPR_N_METRIC; k++)
            for (int stage = 0; stage < TAP_N_STAGE; stage++)
                mem_free(s->value[def][k][stage]);
    mem_free(s->entropy);
    mem_free(s->prompt);
    *s = (struct repr_study){0};
}
