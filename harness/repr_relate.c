#include "harness/repr_relate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/aggregate.h"
#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/repr_output.h"

/* Of each measure; NAN where the profile has none. */
static int read_reliability(const struct h5 *f, const char *group, struct repr_damage *d, struct err *e)
{
    int bad = 0;
    for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE && !bad; m++) {
        struct str path = {0};
        str_addf(&path, "%s/%s", group, allocator_study_measures[m]);
        d->reliability[m] = NAN;
        bad = h5_has(f, path.p, "split_half_rank") && h5_get_double(f, path.p, "split_half_rank", &d->reliability[m], e);
        str_free(&path);
    }
    return bad ? -1 : 0;
}

static int read_prompts(const struct h5 *f, const char *group, struct repr_damage *d, struct err *e)
{
    struct str path = {0};
    str_addf(&path, "%s/prompt_sha256", group);
    int rc = h5_read_strings(f, path.p, &d->prompt, &d->n_prompt, e);
    str_free(&path);
    return rc;
}

static int count_shared(const struct repr_damage *d, const struct repr_study *s)
{
    int shared = 0;
    for (int i = 0; i < s->n_sample; i++)
        for (size_t k = 0; k < d->n_prompt; k++)
            if (!strcmp(d->prompt[k], s->prompt[i])) {
                shared++;
                break;
            }
    return shared;
}

/* Same JSON, whatever its blanks. */
static int same_json(const char *a, const char *b)
{
    struct json *x = json_parse("", a, strlen(a), NULL), *y = json_parse("", b, strlen(b), NULL);
    int same = x && y && json_same(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static int no_study(const struct h5 *f, const struct experiment *x, const struct exp_task *t, const struct str *seen, struct err *e)
{
    return err_set(e, ERR_CONFIG, "%s: no study of task '%s' with %s (%s:%d); there are: %s", h5_path(f), t->label, t->params, x->path,
                   t->line, seen->n ? seen->p : "none");
}

static int read_study(const struct h5 *f, struct allocator_study *s, int n_layer, struct repr_damage *d, struct err *e)
{
    struct str label = {0};
    d->name = mem_strdup(s->group + 1);
    d->policy = mem_strdup(s->policy);
    d->level = s->level;
    d->only = s->only;
    if (!(d->params = h5_get_string(f, s->group, "params", e)) || !(d->prune_after = h5_get_string(f, s->group, "prune_after", e)) ||
        allocator_study_layers(f, n_layer, s, e))
        return -1;
    d->head_budget = h5_get_string(f, s->group, "head_budget", NULL);
    d->protect = h5_get_string(f, s->group, "protect", NULL);
    d->prefill = h5_get_string(f, s->group, "prefill", NULL);
    d->k = s->n;
    d->layer = s->layer;
    s->layer = NULL;
    for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE; m++) {
        d->damage[m] = mem_new((size_t)d->k, sizeof **d->damage);
        if (allocator_study_damage(f, s, (enum allocator_study_measure)m, d->damage[m], e))
            return -1;
    }
    str_addf(&label, "study %s: %s %s, keep %.4g, %s, prune_after %s", d->name, d->policy, d->params, d->level,
             d->only ? "all layers pruned but one" : "one layer pruned", d->prune_after);
    d->label = str_take(&label);
    return read_reliability(f, s->group, d, e) || read_prompts(f, s->group, d, e) ? -1 : 0;
}

/* 1 when some measure of some study has ranks: enough layers, and not all alike. */
static int can_rank(const struct repr_relations *r)
{
    for (int i = 0; i < r->n_damage * ALLOCATOR_STUDY_N_MEASURE; i++) {
        const struct repr_damage *d = &r->damage[i / ALLOCATOR_STUDY_N_MEASURE];
        const double *v = d->damage[i % ALLOCATOR_STUDY_N_MEASURE];
        int known = 0, differ = 0, first = -1;
        for (int k = 0; k < d->k; k++) {
            if (isnan(v[k]))
                continue;
            first = first < 0 ? k : first;
            known++;
            differ |= v[k] != v[first];
        }
        if (known >= RANKSTATS_MIN && differ)
            return 1;
    }
    return 0;
}

/* The damages of the studies of this very task. */
static int read_damages(const struct h5 *f, const struct experiment *x, int task, int n_layer, struct repr_relations *out, struct err *e)
{
    const struct exp_task *t = &x->task[task];
    struct allocator_study *s = NULL;
    int n = 0, rc = -1;
    struct str seen = {0};
    if (allocator_study_list(f, &s, &n, e))
        return -1;
    out->damage = mem_new((size_t)n + 1, sizeof *out->damage);
    for (int i = 0; i < n; i++) {
        char *params = h5_get_string(f, s[i].group, "task_params", e);
        if (!params)
            goto out;
        int mine = !strcmp(s[i].task, t->label) && same_json(params, t->params);
        str_addf(&seen, "%s%s %s", seen.n ? ", " : "", s[i].task, params);
        mem_free(params);
        if (mine && read_study(f, &s[i], n_layer, &out->damage[out->n_damage++], e)) /* a half-read one is freed with the rest */
            goto out;
    }
    if (out->n_damage == 0)
        no_study(f, x, t, &seen, e);
    else if (!can_rank(out))
        err_set(e, ERR_CONFIG, "%s: task '%s': nothing to rank: in no study do %d or more layers have damages that differ", h5_path(f),
                t->label, RANKSTATS_MIN);
    else
        rc = 0;
out:
    allocator_study_free(s, n);
    str_free(&seen);
    return rc;
}

static struct h5 *open_profile(const char *path, const struct experiment *x, const struct model *m, struct err *e)
{
    const struct allocator_setup setup = {m->hp.n_layer, x->model->name, m->sha256, ""};
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    if (f && allocator_study_check_model(f, &setup, e)) {
        h5_close(f, NULL);
        f = NULL;
    }
    return f;
}

static int same_axis(const struct agg_cell *c, const char *key, const char *want)
{
    char *v = json_print(json_get(c->axes, key));
    int same = same_json(v, want);
    mem_free(v);
    return same;
}

/* A study in which layer l alone was pruned: the others lost nothing, so its loss is n_layer times the mean that the
 * aggregate has. */
static void add_attention_lost(const struct aggregate *a, const struct exp_task *t, int n_layer, struct repr_damage *d)
{
    int extra = 0, found = 0;
    while (extra < a->n_extra && strcmp(a->extra_name[extra], "attention_lost") != 0)
        extra++;
    if (d->only || extra == a->n_extra)
        return;
    double *lost = mem_new((size_t)d->k, sizeof *lost);
    for (int i = 0; i < d->k; i++)
        lost[i] = NAN;
    for (int l = 0; l < a->n_line; l++) {
        const struct agg_cell *c = &a->line[l];
        int layer;
        if (!aggregate_single(c, &layer) || c->level != d->level || strcmp(aggregate_text(c, "task"), t->label) != 0 ||
            strcmp(aggregate_text(c, "policy"), d->policy) != 0 || strcmp(aggregate_text(c, "prune_after"), d->prune_after) != 0 ||
            !same_axis(c, "task_params", t->params) || !same_axis(c, "params", d->params))
            continue;
        for (int i = 0; i < d->k; i++)
            if (d->layer[i] == layer) {
                lost[i] = c->extra[extra].mean * n_layer;
                found += isfinite(lost[i]);
            }
    }
    d->attention_lost = lost;
    if (found == 0) {
        mem_free(lost);
        d->attention_lost = NULL;
    }
}

static void read_rows(const char *profile, const struct exp_task *t, int n_layer, struct repr_relations *out)
{
    char *dir = fs_dirname(profile), *rows = fs_join(dir, "rows.jsonl");
    struct aggregate a = {0};
    struct err why = {0};
    if (!fs_exists(rows))
        err_set(&why, ERR_IO, "there is no %s", rows);
    else if (aggregate_load(dir, &a, &why) == 0)
        for (int i = 0; i < out->n_damage; i++)
            add_attention_lost(&a, t, n_layer, &out->damage[i]);
    if (why.code)
        out->without_rows = mem_strdup(why.msg);
    aggregate_free(&a);
    mem_free(rows);
    mem_free(dir);
}

/* value[n_layer] of one thing that may predict, against every damage. */
static void relate(struct repr_relations *out, int damage, const double *value, int at_layers, const char *metric,
                   const char *definition, const char *stage)
{
    const struct repr_damage *d = &out->damage[damage];
    double *x = mem_new(2 * (size_t)d->k, sizeof *x), *depth = x + d->k;
    for (int i = 0; i < d->k; i++) {
        x[i] = at_layers ? value[d->layer[i]] : value[i];
        depth[i] = (double)d->layer[i];
    }
    for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE; m++) {
        mem_grow(&out->row, &out->cap, (size_t)out->n_row + 1, sizeof *out->row);
        out->row[out->n_row++] = (struct repr_relation){.damage = damage, .measure = m, .metric = metric, .definition = definition,
                                                        .stage = stage, .r = rankstats_correlate(x, d->damage[m], depth, d->k),
                                                        .q = NAN, .q_shift = NAN, .q_partial = NAN};
    }
    mem_free(x);
}

static void relate_all(struct repr_relations *out, const struct repr_study *s)
{
    double *v = mem_new((size_t)s->n_layer, sizeof *v);
    for (int d = 0; d < out->n_damage; d++) {
        for (int def = 0; def < REPR_N_DEFINITION; def++)
            for (int k = 0; k < REPR_N_METRIC; k++)
                for (int stage = 0; stage < TAP_N_STAGE && s->value[def][k][stage]; stage++) {
                    for (int l = 0; l < s->n_layer; l++)
                        v[l] = s->value[def][k][stage][l].mean;
                    relate(out, d, v, 1, repr_metric_names[k], repr_definition_names[def], repr_study_stages[stage]);
                }
        for (int l = 0; l < s->n_layer; l++)
            v[l] = l;
        relate(out, d, v, 1, "depth", "rival", "");
        for (int l = 0; l < s->n_layer; l++)
            v[l] = s->entropy[l].mean;
        relate(out, d, v, 1, "attention_entropy", "rival", "");
        if (out->damage[d].attention_lost)
            relate(out, d, out->damage[d].attention_lost, 0, "attention_lost", "rival", "");
        if (out->damage[d].output_error)
            relate(out, d, out->damage[d].output_error, 0, "output_error", "rival", "");
    }
    mem_free(v);
}

static void take_output(const struct repr_output *output, struct repr_relations *out)
{
    for (int i = 0; i < out->n_damage; i++) {
        struct repr_damage *d = &out->damage[i];
        const char *why = "not measured";
        double *error = mem_new((size_t)d->k, sizeof *error);
        if (output && repr_output_mean(output, i, error, &why) == 0) {
            d->output_error = error;
            continue;
        }
        d->without_output = mem_strdup(why);
        mem_free(error);
    }
}

int repr_relate_damages(const char *profile, const struct experiment *x, const struct model *m, int task, struct repr_relations *out,
                        struct err *e)
{
    *out = (struct repr_relations){0};
    struct h5 *f = open_profile(profile, x, m, e);
    int bad = !f || read_damages(f, x, task, m->hp.n_layer, out, e);
    h5_close(f, NULL);
    if (bad)
        repr_relations_fini(out);
    return bad ? -1 : 0;
}

int repr_relate(const char *profile, const struct experiment *x, const struct model *m, int task, const struct repr_study *s,
                const struct repr_output *output, struct repr_relations *out, struct err *e)
{
    if (repr_relate_damages(profile, x, m, task, out, e))
        return -1;
    for (int i = 0; i < out->n_damage; i++)
        out->damage[i].shared = count_shared(&out->damage[i], s);
    read_rows(profile, &x->task[task], m->hp.n_layer, out);
    take_output(output, out);
    relate_all(out, s);
    return 0;
}

int repr_relate_check(const char *profile, const struct experiment *x, const struct model *m, struct err *e)
{
    for (int t = 0; t < x->n_task; t++) {
        struct repr_relations r;
        if (repr_relate_damages(profile, x, m, t, &r, e))
            return -1;
        repr_relations_fini(&r);
    }
    return 0;
}

void repr_relate_adjust(struct repr_relations *r, int n)
{
    int total = 0;
    for (int t = 0; t < n; t++)
        total += r[t].n_row;
    double *p = mem_new((size_t)total + 1, sizeof *p);
    for (int column = 0; column < 3; column++) {
        int k = 0;
        for (int t = 0; t < n; t++)
            for (int i = 0; i < r[t].n_row; i++) {
                const struct rankstats *s = &r[t].row[i].r;
                p[k++] = column == 0 ? s->p : column == 1 ? s->p_shift : s->partial_p;
            }
        rankstats_bh(p, total, p);
        k = 0;
        for (int t = 0; t < n; t++)
            for (int i = 0; i < r[t].n_row; i++, k++)
                *(column == 0 ? &r[t].row[i].q : column == 1 ? &r[t].row[i].q_shift : &r[t].row[i].q_partial) = p[k];
    }
    mem_free(p);
}

void repr_relations_fini(struct repr_relations *r)
{
    for (int i = 0; i < r->n_damage; i++) {
        struct repr_damage *d = &r->damage[i];
        mem_free(d->name);
        mem_free(d->policy);
        mem_free(d->params);
        mem_free(d->prune_after);
        mem_free(d->label);
        mem_free(d->layer);
        for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE; m++)
            mem_free(d->damage[m]);
        mem_free(d->head_budget);
        mem_free(d->protect);
        mem_free(d->prefill);
        mem_free(d->attention_lost);
        mem_free(d->output_error);
        mem_free(d->without_output);
        h5_free_strings(d->prompt, d->n_prompt);
    }
    mem_free(r->damage);
    mem_free(r->row);
    mem_free(r->without_rows);
    *r = (struct repr_relations){0};
}
