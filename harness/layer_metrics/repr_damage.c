#include "harness/layer_metrics/repr_damage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/h5.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

/* Of each measure; NAN where the profile has none. */
static int read_reliability(const struct h5 *f, const char *group, struct repr_damage *d, struct err *e)
{
    int bad = 0;
    for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE && !bad; m++) {
        struct str path = {0};
        str_addf(&path, "%s/%s", group, allocator_study_measures[m]);
        d->reliability[m] = NAN;
        bad =
            h5_has(f, path.p, "split_half_rank") && h5_get_double(f, path.p, "split_half_rank", &d->reliability[m], e);
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

/* Same JSON, whatever its blanks. */
int repr_damage_same_json(const char *a, const char *b)
{
    struct json *x = json_parse("", a, strlen(a), NULL), *y = json_parse("", b, strlen(b), NULL);
    int same = x && y && json_same(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static int no_study(const struct h5 *f, const struct experiment *x, const struct exp_task *t, const struct str *seen,
                    struct err *e)
{
    return err_set(e, ERR_CONFIG, "%s: no study of task '%s' with %s (%s:%d); there are: %s", h5_path(f), t->label,
                   t->params, x->path, t->line, seen->n ? seen->p : "none");
}

/* A study of layers that its cells could not prune is of another model, whatever its hash. */
static int check_layers(const struct h5 *f, const struct allocator_study *s, const struct hparams *hp,
                        const struct repr_damage *d, struct err *e)
{
    for (int i = 0; i < s->n && !d->windows_are_pruned; i++)
        if (!model_layer_prunable(hp, (int)s->layer[i]))
            return err_set(e, ERR_CONFIG,
                           "%s:%s: a profile of another set of layers: it has layer %lld, which has a window of %d and "
                           "is not pruned",
                           h5_path(f), s->group, (long long)s->layer[i], hp->window);
    return 0;
}

static int read_study(const struct h5 *f, struct allocator_study *s, const struct hparams *hp, struct repr_damage *d,
                      struct err *e)
{
    struct str label = {0};
    d->name = mem_strdup(s->group + 1);
    d->policy = mem_strdup(s->policy);
    d->level = s->level;
    d->only = s->only;
    d->windows = mem_strdup(s->windows);
    d->windows_are_pruned = strcmp(s->windows, experiment_windows_names[WINDOWS_PRUNE]) == 0;
    if (!(d->params = h5_get_string(f, s->group, "params", e)) ||
        !(d->prune_after = h5_get_string(f, s->group, "prune_after", e)) ||
        allocator_study_layers(f, hp->n_layer, s, e) || check_layers(f, s, hp, d, e))
        return -1;
    d->head_budget = h5_get_string(f, s->group, "head_budget", NULL);
    d->protect = h5_get_string(f, s->group, "protect", NULL);
    d->prefill = h5_get_string(f, s->group, "prefill", NULL);
    for (int i = 0; i < axes_count(); i++)
        d->axis[i] = h5_get_string(f, s->group, axes_at(i)->key, NULL);
    d->k = s->n;
    d->layer = s->layer;
    s->layer = NULL;
    for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE; m++) {
        d->damage[m] = mem_new((size_t)d->k, sizeof **d->damage);
        if (allocator_study_damage(f, s, (enum allocator_study_measure)m, d->damage[m], e))
            return -1;
    }
    str_addf(&label, "study %s: %s %s, ", d->name, d->policy, d->params);
    if (isnan(d->level))
        str_add(&label, "different shares kept");
    else
        str_addf(&label, "keep %.4g", d->level);
    str_addf(&label, ", %s, prune_after %s%s", d->only ? "all layers pruned but one" : "one layer pruned",
             d->prune_after, d->windows_are_pruned ? ", windows: prune" : "");
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
static int read_damages(const struct h5 *f, const struct experiment *x, int task, const struct hparams *hp,
                        struct repr_relations *out, struct err *e)
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
        int mine = !strcmp(s[i].task, t->label) && repr_damage_same_json(params, t->params);
        str_addf(&seen, "%s%s %s", seen.n ? ", " : "", s[i].task, params);
        mem_free(params);
        if (mine &&
            read_study(f, &s[i], hp, &out->damage[out->n_damage++], e)) /* a half-read one is freed with the rest */
            goto out;
    }
    if (out->n_damage == 0)
        no_study(f, x, t, &seen, e);
    else if (!can_rank(out))
        err_set(e, ERR_CONFIG,
                "%s: task '%s': nothing to rank: in no study do %d or more layers have damages that differ", h5_path(f),
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
    const struct allocator_setup setup = {
        .n_layer = m->hp.n_layer, .model = x->model->name, .model_sha256 = m->sha256, .dir = ""};
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    if (f && allocator_study_check_model(f, &setup, e)) {
        h5_close(f, NULL);
        f = NULL;
    }
    return f;
}

int repr_damage_read(const char *profile, const struct experiment *x, const struct model *m, int task,
                     struct repr_relations *out, struct err *e)
{
    *out = (struct repr_relations){0};
    struct h5 *f = open_profile(profile, x, m, e);
    int bad = !f || read_damages(f, x, task, &m->hp, out, e);
    h5_close(f, NULL);
    if (bad)
        repr_relations_fini(out);
    return bad ? -1 : 0;
}

int repr_damage_check(const char *profile, const struct experiment *x, const struct model *m, struct err *e)
{
    for (int t = 0; t < x->n_task; t++) {
        struct repr_relations r;
        if (repr_damage_read(profile, x, m, t, &r, e))
            return -1;
        repr_relations_fini(&r);
    }
    return 0;
}

void repr_relations_fini(struct repr_relations *r)
{
    for (int i = 0; i < r->n_damage; i++) {
        struct repr_damage *d = &r->damage[i];
        mem_free(d->name);
        mem_free(d->policy);
        mem_free(d->params);
        mem_free(d->prune_after);
        mem_free(d->windows);
        mem_free(d->label);
        mem_free(d->layer);
        for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE; m++)
            mem_free(d->damage[m]);
        mem_free(d->head_budget);
        mem_free(d->protect);
        mem_free(d->prefill);
        for (int k = 0; k < axes_count(); k++)
            mem_free(d->axis[k]);
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
