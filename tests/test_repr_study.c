/* harness/repr_study, harness/repr_relate: what the metrics see is what the forward pass computes, on any number of
 * threads; known profiles give known correlations; profiles that do not fit are refused. */
#include <math.h>
#include <string.h>

#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/engine/encode.h"
#include "harness/layer_metrics/repr_output.h"
#include "harness/layer_metrics/repr_relate.h"
#include "policies/allocator_profile.h"
#include "tests/lib/plain.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { N_LAYER = 6 };

static struct experiment x;
static struct model *model;
static struct repr_options options;

static void setup(void)
{
    struct err e;
    struct str errors = {0};
    rows_enter();
    char *path = rows_path("six.h5"), *file = rows_path("x.yaml");
    support_model_file(path, N_LAYER, 2);
    rows_write(
        "x.yaml",
        "# What do hidden states tell?\nschema: 1\nexperiment: x\nmodel: six.h5\ntasks:\n  - passkey: {length: 300}\n"
        "samples: 3\nmax_new_tokens: 4\nsweep:\n  - policy: full\n");
    ck_assert_msg(experiment_load(file, NULL, 0, 0, &x, &errors, &e) == 0, "%s", str_c(&errors));
    model = model_open(path, MODEL_F32, &e);
    ck_assert_msg(model != NULL, "%s", e.msg);
    options = (struct repr_options){0};
    param_defaults(repr_study_params, &options);
    options.views = 3;
    options.definition = REPR_STUDY_BOTH;
    str_free(&errors);
    mem_free(path);
    mem_free(file);
}

static void teardown(void)
{
    model_close(model);
    experiment_fini(&x);
    rows_leave();
}

static void study(struct repr_study *s)
{
    struct err e;
    ck_assert_msg(repr_study_run(&x, model, 0, &options, NULL, NULL, s, &e) == 0, "%s", e.msg);
}

/* ---- what the stages are -------------------------------------------------------------------- */

struct seen {
    float *x[N_LAYER][TAP_N_STAGE];
};

static int keep(void *ctx, int layer, enum tap_stage stage, const float *v, int n_row, struct err *e)
{
    struct seen *s = ctx;
    size_t n = (size_t)n_row * (size_t)model->hp.d_model;
    (void)e;
    s->x[layer][stage] = mem_new(n, sizeof(float));
    memcpy(s->x[layer][stage], v, n * sizeof(float));
    return 0;
}

START_TEST(the_stages_add_up_and_nobody_notices_who_looks)
{
    enum { N = 70 };
    int32_t token[N];
    struct seen seen = {0};
    struct tap tap = {.ctx = &seen, .stages = (1 << TAP_N_STAGE) - 1, .stage = keep};
    size_t n_logit = (size_t)N * (size_t)model->hp.n_vocab, n = (size_t)N * (size_t)model->hp.d_model;
    float *logits[2] = {mem_new(n_logit, sizeof(float)), mem_new(n_logit, sizeof(float))};
    struct workspace *w = workspace_create();
    for (int i = 0; i < N; i++)
        token[i] = (i * 37) % 250;
    for (int k = 0; k < 2; k++) {
        struct kvcache *c = kvcache_create(&model->hp, N, NULL);
        ck_assert_int_eq(support_feed(model, w, FORWARD_PREFILL, c, token, 0, N, k ? &tap : NULL, logits[k], NULL), 0);
        kvcache_destroy(c);
    }
    ck_assert(memcmp(logits[0], logits[1], n_logit * sizeof(float)) == 0);
    for (int l = 0; l < N_LAYER; l++)
        for (size_t i = 0; i < n; i++) {
            ck_assert(seen.x[l][TAP_RES][i] == seen.x[l][TAP_PRE][i] + seen.x[l][TAP_ATT][i]);
            if (l + 1 < N_LAYER)
                ck_assert(seen.x[l + 1][TAP_PRE][i] == seen.x[l][TAP_RES][i] + seen.x[l][TAP_MLP][i]);
        }
    for (int i = 0; i < N_LAYER * TAP_N_STAGE; i++)
        mem_free(seen.x[i / TAP_N_STAGE][i % TAP_N_STAGE]);
    mem_free(logits[0]);
    mem_free(logits[1]);
    workspace_destroy(w);
}
END_TEST

/* The hidden states of sample i's prompt, by a pass of our own. */
static int prompt_states(int sample, struct seen *out)
{
    struct encode_context ec = {.model = model};
    struct dataset_env env;
    struct dataset_item item = {0};
    struct prompt p = {0};
    void *self = NULL;
    struct tap tap = {.ctx = out, .stages = (1 << TAP_N_STAGE) - 1, .stage = keep};
    struct workspace *w = workspace_create();
    ck_assert_int_eq(tokenizer_template(model->tokenizer, "raw", &ec.pieces, NULL), 0);
    encode_dataset_env(&ec, x.dir, &env);
    ck_assert_int_eq(x.task->ops->open(&self, x.task->config, &env, NULL), 0);
    ck_assert_int_eq(x.task->ops->item(self, sample, x.seed, 4, &item, NULL), 0);
    ck_assert_int_eq(encode_prompt(&ec, &item, 0, &p, NULL), 0);
    int n = p.ids.n;
    struct kvcache *c = kvcache_create(&model->hp, n, NULL);
    float *logits = mem_new((size_t)n * (size_t)model->hp.n_vocab, sizeof *logits);
    ck_assert_int_eq(support_feed(model, w, FORWARD_PREFILL, c, p.ids.id, 0, n, &tap, logits, NULL), 0);
    mem_free(logits);
    kvcache_destroy(c);
    workspace_destroy(w);
    encode_prompt_fini(&p);
    dataset_item_fini(&item);
    x.task->ops->close(self);
    return n;
}

START_TEST(metrics_are_those_of_the_prompts_states)
{
    struct repr_study s;
    double mean[N_LAYER][TAP_N_STAGE][REPR_N_TOKEN_METRIC] = {0}, out[REPR_N_TOKEN_METRIC];
    study(&s);
    ck_assert_int_eq(s.n_sample, 3);
    for (int i = 0; i < 3; i++) {
        struct seen seen = {0};
        struct repr_rule r = {.definition = REPR_SKEAN, .turning = 1, .alpha = 1};
        int n = prompt_states(i, &seen);
        for (int k = 0; k < N_LAYER * TAP_N_STAGE; k++) {
            int l = k / TAP_N_STAGE, stage = k % TAP_N_STAGE;
            ck_assert_int_eq(repr_tokens(seen.x[l][stage], n, model->hp.d_model, &r, out, NULL), 0);
            for (int m = 0; m < REPR_N_TOKEN_METRIC; m++)
                mean[l][stage][m] += out[m] / 3;
            mem_free(seen.x[l][stage]);
        }
    }
    for (int k = 0; k < N_LAYER * TAP_N_STAGE * REPR_N_TOKEN_METRIC; k++) {
        int m = k % REPR_N_TOKEN_METRIC, stage = k / REPR_N_TOKEN_METRIC % TAP_N_STAGE,
            l = k / REPR_N_TOKEN_METRIC / TAP_N_STAGE;
        double got = s.value[REPR_SKEAN][m][stage][l].mean, want = mean[l][stage][m];
        ck_assert_msg(fabs(got - want) <= 1e-12 * fabs(want), "layer %d, %s, %s: %g, not %g", l,
                      repr_study_stages[stage], repr_metric_names[m], got, want);
    }
    for (int l = 0; l < N_LAYER; l++)
        ck_assert(s.entropy[l].mean > 0 && s.entropy[l].mean < log(300));
    repr_study_fini(&s);
}
END_TEST

START_TEST(the_numbers_do_not_depend_on_threads)
{
    struct repr_study s[2];
    int before = transformer_threads();
    for (int k = 0; k < 2; k++) {
        transformer_set_threads(k ? 3 : 1);
        study(&s[k]);
    }
    transformer_set_threads(before);
    for (int i = 0; i < REPR_N_DEFINITION * REPR_N_METRIC * TAP_N_STAGE * N_LAYER; i++) {
        int l = i % N_LAYER, stage = i / N_LAYER % TAP_N_STAGE, m = i / N_LAYER / TAP_N_STAGE % REPR_N_METRIC,
            def = i / N_LAYER / TAP_N_STAGE / REPR_N_METRIC;
        const struct stats_summary *a = &s[0].value[def][m][stage][l], *b = &s[1].value[def][m][stage][l];
        ck_assert_msg(isfinite(a->mean) && a->mean == b->mean && a->n == b->n, "%s %s layer %d: %.17g, %.17g",
                      repr_definition_names[def], repr_metric_names[m], l, a->mean, b->mean);
    }
    ck_assert_int_eq(memcmp(s[0].prompt, s[1].prompt, sizeof *s[0].prompt * 3), 0);
    repr_study_fini(&s[0]);
    repr_study_fini(&s[1]);
}
END_TEST

/* Samples 1 and 2 of 0 to 2, by their prompts. */
START_TEST(samples_begin_where_the_experiment_does)
{
    struct repr_study all, some;
    study(&all);
    x.first_sample = 1;
    x.samples = 2;
    study(&some);
    ck_assert_int_eq(some.n_sample, 2);
    ck_assert_int_eq(memcmp(all.prompt + 1, some.prompt, sizeof *all.prompt * 2), 0);
    repr_study_fini(&all);
    repr_study_fini(&some);
}
END_TEST

START_TEST(views_without_dropped_words_are_the_prompt)
{
    struct repr_study s;
    options.drop = 0;
    study(&s);
    for (int l = 0; l < N_LAYER; l++) {
        ck_assert(fabs(s.value[REPR_DEPTHKV][REPR_DIME][TAP_RES][l].mean) < 1e-12);
        ck_assert(s.value[REPR_DEPTHKV][REPR_LIDAR][TAP_RES][l].mean == 0);
    }
    repr_study_fini(&s);
    options.drop = 0.5;
    study(&s);
    for (int l = 0; l < N_LAYER; l++)
        ck_assert(s.value[REPR_DEPTHKV][REPR_LIDAR][TAP_RES][l].mean > 1e-6);
    repr_study_fini(&s);
}
END_TEST

START_TEST(words_go_with_the_blanks_that_follow_at_the_rate_asked_for)
{
    static const char text[] = "  one two\n\nthree  four ";
    struct str s = {0}, many = {0}, left = {0};
    struct rng r;
    rng_init(&r, 1, "t");
    repr_study_drop_words(text, strlen(text), 0, &r, &s);
    ck_assert_str_eq(s.p, text);
    str_clear(&s);
    repr_study_drop_words(text, strlen(text), 1, &r, &s);
    ck_assert_str_eq(s.p, "  ");
    for (int i = 0; i < 4000; i++)
        str_add(&many, "ab ");
    repr_study_drop_words(many.p, many.n, 0.1, &r, &left);
    /* 4000 words: five standard errors of a share of 0.1 are 0.024 */
    ck_assert_msg(left.n % 3 == 0 && fabs((double)left.n / 12000 - 0.9) < 0.024, "%zu bytes of 12000 are left", left.n);
    str_free(&s);
    str_free(&many);
    str_free(&left);
}
END_TEST

/* ---- against a profile ---------------------------------------------------------------------- */

struct fake {
    int n_layer;
    const char *sha, *task, *prompt;
    const double *kl;  /* [N_LAYER] */
    double split_half; /* NAN: none */
};
static const char *fake_after = "all_but_last", *fake_prefill = "\"full\"";
static const double *fake_score[3]; /* [N_LAYER] paired difference, mean, baseline; NULL: NAN */

static char *write_profile(const struct fake *f)
{
    static const char *const measures[] = {"score", "nll", "kl", "top1"}, *const columns[] = {"diff", "mean",
                                                                                              "baseline"};
    static const int64_t layer[N_LAYER] = {0, 1, 2, 3, 4, 5};
    static const uint64_t dim[1] = {N_LAYER};
    double none[N_LAYER];
    char *path = rows_path("profile.h5");
    struct h5 *h = h5_open(path, H5_MODE_CREATE, NULL);
    int bad =
        h5_set_int(h, "/", "schema", 1, NULL) || h5_set_string(h, "/", "model", "six", NULL) ||
        h5_set_int(h, "/", "n_layer", f->n_layer, NULL) || h5_set_string(h, "/", "model_sha256", f->sha, NULL) ||
        h5_write(h, "/0/layer", H5_TYPE_I64, 1, dim, layer, NULL) || h5_set_string(h, "/0", "task", f->task, NULL) ||
        h5_set_string(h, "/0", "task_params", x.task->params, NULL) || h5_set_string(h, "/0", "policy", "h2o", NULL) ||
        h5_set_string(h, "/0", "params", "{\"recent\":8}", NULL) ||
        h5_set_string(h, "/0", "prune_after", fake_after, NULL) ||
        h5_set_string(h, "/0", "prefill", fake_prefill, NULL) || h5_set_int(h, "/0", "only", 0, NULL) ||
        h5_set_int(h, "/0", "higher_is_better", 1, NULL) || h5_set_double(h, "/0", "level", 0.2 + 1e-16, NULL) ||
        h5_write_strings(h, "/0/prompt_sha256", &f->prompt, 1, NULL);
    for (int i = 0; i < N_LAYER; i++)
        none[i] = NAN;
    for (int i = 0; i < 12; i++) {
        int m = i / 3, column = i % 3;
        struct str name = {0};
        str_addf(&name, "/0/%s/%s", measures[m], columns[column]);
        bad = bad || h5_write(h, name.p, H5_TYPE_F64, 1, dim,
                              m == 2 && column == 1          ? f->kl
                              : m == 0 && fake_score[column] ? fake_score[column]
                                                             : none,
                              NULL);
        str_free(&name);
    }
    bad = bad || (!isnan(f->split_half) && (h5_set_double(h, "/0/kl", "split_half_rank", f->split_half, NULL) ||
                                            h5_set_double(h, "/0/kl", "split_half", 0.5, NULL)));
    ck_assert(!bad && h5_close(h, NULL) == 0);
    return path;
}

START_TEST(damage_in_the_order_of_a_metric_has_rho_one)
{
    struct repr_study s;
    struct repr_relations r;
    struct err e;
    double kl[N_LAYER], q = NAN, depth = NAN;
    int known = 0;
    study(&s);
    for (int l = 0; l < N_LAYER; l++)
        kl[l] = exp(-s.value[REPR_DEPTHKV][REPR_INFONCE][TAP_ATT][l].mean); /* low infonce, high damage */
    char *path = write_profile(&(struct fake){N_LAYER, model->sha256, "passkey", s.prompt[1], kl, 0.81});
    ck_assert_msg(repr_relate(path, &x, model, 0, &s, NULL, &r, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(r.n_damage, 1);
    ck_assert_int_eq(r.damage[0].shared, 1);
    ck_assert(r.damage[0].reliability[2] == 0.81 && isnan(r.damage[0].reliability[0]));
    ck_assert(r.damage[0].attention_lost == NULL && strstr(r.without_rows, "rows.jsonl"));
    ck_assert_int_eq(r.n_row, 4 * (2 * REPR_N_METRIC * TAP_N_STAGE + 2));
    repr_relate_adjust(&r, 1);
    for (int i = 0; i < r.n_row; i++) {
        const struct repr_relation *c = &r.row[i];
        known += isfinite(c->r.p);
        ck_assert(c->measure == 2 || isnan(c->r.rho));
        if (c->measure == 2 && !strcmp(c->metric, "infonce") && !strcmp(c->definition, "depthkv") &&
            !strcmp(c->stage, "att")) {
            ck_assert_msg(fabs(c->r.rho + 1) < 1e-12, "rho %g", c->r.rho);
            q = c->q / c->r.p;
        }
        if (c->measure == 2 && !strcmp(c->metric, "depth")) {
            depth = c->r.rho;
            ck_assert(isnan(c->r.partial));
        }
        ck_assert(isnan(c->r.p) || c->q >= c->r.p);
    }
    ck_assert_msg(q >= 1 && q <= known && known > 20, "%d known, q / p %g", known, q);
    ck_assert(fabs(depth) <= 1);
    repr_relations_fini(&r);
    repr_study_fini(&s);
    mem_free(path);
}
END_TEST

/* One reader: what correlations call damage is what budgets follow, paired or not. */
START_TEST(allocators_read_the_same_damage)
{
    static const double kl[N_LAYER] = {1, 2, 3, 4, 5, 6}, diff[N_LAYER] = {-0.5, -0.25, NAN, 0, 0.125, NAN},
                        mean[N_LAYER] = {0.5, 0.5, 0.25, 1, 1, 0.75}, base[N_LAYER] = {1, 1, 1, 1, 1, 1},
                        want[N_LAYER] = {0.5, 0.25, 0.75, 0, -0.125, 0.25};
    struct repr_study s;
    struct repr_relations r;
    struct err e;
    fake_score[0] = diff;
    fake_score[1] = mean;
    fake_score[2] = base;
    char name[] = "all", *path = write_profile(&(struct fake){N_LAYER, model->sha256, "passkey", "p", kl, NAN});
    memset(fake_score, 0, sizeof fake_score);
    study(&s);
    ck_assert_msg(repr_relate(path, &x, model, 0, &s, NULL, &r, &e) == 0, "%s", e.msg);
    for (int measure = ALLOCATOR_STUDY_SCORE; measure <= ALLOCATOR_STUDY_KL;
         measure += ALLOCATOR_STUDY_KL - ALLOCATOR_STUDY_SCORE) {
        struct allocator_profile_choice choice = {
            .path = path, .task = name, .policy = name, .level = -1, .measure = measure};
        struct allocator_setup setup = {.n_layer = N_LAYER, .model = "six", .model_sha256 = model->sha256, .dir = ""};
        struct allocator_profile *p = allocator_profile_read(&choice, &setup, 0, &e);
        ck_assert_msg(p != NULL, "%s", e.msg);
        for (int l = 0; l < N_LAYER; l++) {
            ck_assert_double_eq(p->damage[l], measure == ALLOCATOR_STUDY_KL ? kl[l] : want[l]);
            ck_assert_double_eq(r.damage[0].damage[measure][l], p->damage[l]);
        }
        allocator_profile_free(p);
    }
    repr_relations_fini(&r);
    repr_study_fini(&s);
    mem_free(path);
}
END_TEST

/* Layer l's attention output for the newest token, after W_o, by the definition. */
static void plain_output(struct plain *p, int l, double *out)
{
    const struct hparams *hp = &model->hp;
    int d = hp->head_dim, query = p->n_seen - 1;
    double *heads = mem_new((size_t)(hp->n_head * d), sizeof *heads);
    for (int q = 0; q < hp->n_head; q++) {
        const struct plain_list *list = plain_list(p, l, q / hp->n_group);
        const double *row =
            p->attention +
            (((size_t)l * (size_t)hp->n_head + (size_t)q) * (size_t)p->room + (size_t)query) * (size_t)p->room;
        for (int j = 0; j < list->n; j++)
            for (int i = 0; i < d; i++)
                heads[q * d + i] += row[list->entry[j].pos] * list->entry[j].v[i];
    }
    for (int i = 0; i < hp->d_model; i++) {
        out[i] = 0;
        for (int k = 0; k < hp->n_head * d; k++)
            out[i] += (double)matrix_get(&model->layer[l].attn_out, i, k) * heads[k];
    }
    mem_free(heads);
}

/* The mean relative error over the tokens after the cut, with layer l cut to m entries of n. */
static double plain_error(const struct prompt *p, int n, int l, int m)
{
    int d = model->hp.d_model, n_feed = p->ids.n > n ? p->ids.n - n : 1, budget[N_LAYER];
    struct plain_rule rule = {.policy = "heavy", .recent = 8};
    struct plain *full = plain_create(model, n + n_feed, 0), *less = plain_create(model, n + n_feed, 0);
    double *a = mem_new(2 * (size_t)d, sizeof *a), *b = a + d, sum = 0;
    for (int i = 0; i < n; i++) {
        plain_feed(full, p->ids.id[i]);
        plain_feed(less, p->ids.id[i]);
    }
    for (int i = 0; i < N_LAYER; i++)
        budget[i] = i == l ? m : n;
    ck_assert_double_gt(plain_cut(less, &rule, budget, 0), 1e-5); /* no tie for float32 to decide */
    int first = plain_argmax(full);
    for (int t = 0; t < n_feed; t++) {
        int32_t token = p->ids.n > n ? p->ids.id[n + t] : first;
        double apart = 0, norm = 0;
        plain_feed(full, token);
        plain_feed(less, token);
        plain_output(full, l, a);
        plain_output(less, l, b);
        for (int i = 0; i < d; i++) {
            apart += (a[i] - b[i]) * (a[i] - b[i]);
            norm += a[i] * a[i];
        }
        sum += sqrt(apart / norm) / n_feed;
    }
    mem_free(a);
    plain_destroy(full);
    plain_destroy(less);
    return sum;
}

START_TEST(the_output_error_is_that_of_the_plain_computation)
{
    enum { N = 60 };
    static const double kl[N_LAYER] = {1, 2, 3, 4, 5, 6};
    static const char *const after[] = {"all_but_last", "context", "prompt"};
    static const int held[] = {1, 9, 0};
    for (int k = 0; k < 3; k++) {
        struct prompt p = {.context_end = N - 9, .question_end = N - 3};
        struct err e;
        const char *why = "";
        double error[N_LAYER], want[N_LAYER] = {0};
        fake_after = after[k];
        char *path = write_profile(&(struct fake){N_LAYER, model->sha256, "passkey", "p", kl, NAN});
        struct repr_output *o = repr_output_open(path, &x, model, 0, &e);
        ck_assert_msg(o != NULL, "%s", e.msg);
        ck_assert_int_eq(repr_output_mean(o, 0, error, &why), -1);
        for (int sample = 0; sample < 2; sample++) { /* its mean over prompts */
            p.ids.n = 0;
            for (int i = 0; i < N; i++)
                token_ids_add(&p.ids, (i * 37 + 11 + 50 * sample) % 250);
            ck_assert_msg(repr_output_add(o, &p, sample, &e) == 0, "%s", e.msg);
            for (int l = 0; l < N_LAYER; l++)
                want[l] += plain_error(&p, N - held[k], l, (N - held[k]) / 5) / 2;
        }
        ck_assert_msg(repr_output_mean(o, 0, error, &why) == 0, "%s", why);
        for (int l = 0; l < N_LAYER; l++)
            ck_assert_msg(want[l] > 1e-3 && fabs(error[l] - want[l]) < 1e-4 * want[l], "%s, layer %d: %.9g, not %.9g",
                          after[k], l, error[l], want[l]);
        repr_output_close(o);
        token_ids_free(&p.ids);
        mem_free(path);
    }
    fake_after = after[0];
}
END_TEST

START_TEST(the_output_error_is_a_rival_or_says_why_not)
{
    static const double kl[N_LAYER] = {1, 2, 3, 4, 5, 6};
    for (int known = 0; known < 2; known++) {
        struct repr_study s;
        struct repr_relations r;
        struct err e;
        int rows = 0;
        fake_prefill = known ? "\"full\"" : "{\"chunked\":{\"size\":64}}";
        char *path = write_profile(&(struct fake){N_LAYER, model->sha256, "passkey", "p", kl, NAN});
        struct repr_output *o = repr_output_open(path, &x, model, 0, &e);
        ck_assert_msg(o != NULL, "%s", e.msg);
        ck_assert_msg(repr_study_run(&x, model, 0, &options, o, NULL, &s, &e) == 0, "%s", e.msg);
        ck_assert_msg(repr_relate(path, &x, model, 0, &s, o, &r, &e) == 0, "%s", e.msg);
        for (int i = 0; i < r.n_row; i++)
            rows += r.row[i].measure == ALLOCATOR_STUDY_KL && !strcmp(r.row[i].metric, "output_error") &&
                    isfinite(r.row[i].r.rho);
        ck_assert_int_eq(rows, known);
        ck_assert((r.damage[0].output_error != NULL) == known);
        if (!known)
            ck_assert_msg(strstr(r.damage[0].without_output, "prefill is {\"chunked\""), "%s",
                          r.damage[0].without_output);
        repr_output_close(o);
        repr_relations_fini(&r);
        repr_study_fini(&s);
        mem_free(path);
    }
}
END_TEST

START_TEST(profiles_that_do_not_fit_are_refused_with_numbers)
{
    static const double kl[N_LAYER] = {1, 2, 3, 4, 5, 6}, same[N_LAYER] = {2, 2, 2, 2, 2, 2},
                        nothing[N_LAYER] = {NAN, NAN, NAN, NAN, NAN, NAN};
    const struct {
        struct fake f;
        const char *says[3];
    } c[] = {
        {{7, "", "passkey", "p", kl, NAN}, {"profile.h5", "7 layers", "6 layers"}},
        {{N_LAYER, "abcdefabcdef00", "passkey", "p", kl, NAN}, {"profile.h5", "abcdefabcdef", "six"}},
        {{N_LAYER, "", "copy", "p", kl, NAN}, {"profile.h5", "no study of task 'passkey'", "copy {"}},
        {{N_LAYER, "", "passkey", "p", same, NAN}, {"profile.h5", "nothing to rank", "passkey"}},
        {{N_LAYER, "", "passkey", "p", nothing, NAN}, {"profile.h5", "nothing to rank", "4 or more layers"}},
    };
    struct repr_study s;
    study(&s);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct repr_relations r;
        struct err e;
        char *path = write_profile(&c[i].f);
        for (int late = 0; late < 2; late++) { /* before anything is measured, and afterwards */
            memset(&e, 'x', sizeof e);
            ck_assert_int_eq(
                late ? repr_relate(path, &x, model, 0, &s, NULL, &r, &e) : repr_damage_check(path, &x, model, &e), -1);
            for (int k = 0; k < 3; k++)
                ck_assert_msg(e.code == ERR_CONFIG && strstr(e.msg, c[i].says[k]) != NULL, "case %zu: '%s' lacks '%s'",
                              i, e.msg, c[i].says[k]);
        }
        mem_free(path);
    }
    repr_study_fini(&s);
}
END_TEST

START_TEST(too_few_samples_are_refused_with_file_and_line)
{
    struct repr_study s;
    struct err e;
    memset(&e, 'x', sizeof e);
    options.batch = 9;
    ck_assert_int_eq(repr_study_run(&x, model, 0, &options, NULL, NULL, &s, &e), -1);
    ck_assert_msg(strstr(e.msg, "x.yaml:6: task 'passkey'") && strstr(e.msg, "3 samples") && strstr(e.msg, "9"), "%s",
                  e.msg);
}
END_TEST

Suite *make_repr_study_suite(void)
{
    Suite *s = suite_create("repr_study");
    TCase *t = tcase_create("repr_study");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_stages_add_up_and_nobody_notices_who_looks);
    tcase_add_test(t, metrics_are_those_of_the_prompts_states);
    tcase_add_test(t, the_numbers_do_not_depend_on_threads);
    tcase_add_test(t, samples_begin_where_the_experiment_does);
    tcase_add_test(t, views_without_dropped_words_are_the_prompt);
    tcase_add_test(t, words_go_with_the_blanks_that_follow_at_the_rate_asked_for);
    tcase_add_test(t, damage_in_the_order_of_a_metric_has_rho_one);
    tcase_add_test(t, allocators_read_the_same_damage);
    tcase_add_test(t, the_output_error_is_that_of_the_plain_computation);
    tcase_add_test(t, the_output_error_is_a_rival_or_says_why_not);
    tcase_add_test(t, profiles_that_do_not_fit_are_refused_with_numbers);
    tcase_add_test(t, too_few_samples_are_refused_with_file_and_line);
    suite_add_tcase(s, t);
    return s;
}
