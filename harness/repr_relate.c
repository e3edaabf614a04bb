#include "harness/repr_relate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/aggregate.h"
#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"

const char *const repr_relate_measures[] = {"score", "nll", "kl", "top1", NULL};

static int read_column(const struct h5 *f, const char *study, const char *measure, const char *column, double *v, int k,
                       struct err *e)
{
    struct str path = {0};
    str_addf(&path, "/%s/%s/%s", study, measure, column);
    int rc = h5_read(f, path.p, H5_TYPE_F64, v, (size_t)k, e);
    str_free(&path);
    return rc;
}

static int read_damage(const struct h5 *f, const char *group, struct repr_damage *d, int higher_is_better, struct err *e)
{
    static const char *const columns[] = {"diff", "diff", "mean", "mean"};
    for (int m = 0; m < REPR_RELATE_N_MEASURE; m++) {
        struct str path = {0};
        double *v = d->damage[m] = mem_new((size_t)d->k, sizeof *v);
        if (read_column(f, d->name, repr_relate_measures[m], columns[m], v, d->k, e))
            return -1;
        for (int i = 0; i < d->k; i++)
            v[i] = m == 3 ? 1 - v[i] : m == 0 && higher_is_better ? -v[i] : v[i];
        str_addf(&path, "%s/%s", group, repr_relate_measures[m]);
        d->reliability[m] = NAN;
        int bad = h5_has(f, path.p, "split_half") && h5_get_double(f, path.p, "split_half", &d->reliability[m], e);
        str_free(&path);
        if (bad)
            return -1;
    }
    return 0;
}

static int count_shared(const struct h5 *f, const char *group, const struct repr_study *s, int *shared, struct err *e)
{
    struct str path = {0};
    char **hash = NULL;
    size_t n = 0;
    str_addf(&path, "%s/prompt_sha256", group);
    int rc = h5_read_strings(f, path.p, &hash, &n, e);
    *shared = 0;
    for (int i = 0; rc == 0 && i < s->n_sample; i++)
        for (size_t k = 0; k < n; k++)
            if (!strcmp(hash[k], s->prompt[i])) {
                (*shared)++;
                break;
            }
    h5_free_strings(hash, n);
    str_free(&path);
    return rc;
}

static int read_layers(const struct h5 *f, const char *group, int n_layer, struct repr_damage *d, struct err *e)
{
    struct h5_info info;
    struct str path = {0};
    int rc = -1;
    str_addf(&path, "%s/layer", group);
    if (h5_stat(f, path.p, &info, e))
        goto out;
    if (info.rank != 1 || info.n < 1 || info.n > (uint64_t)n_layer) {
        err_set(e, ERR_FORMAT, "%s:%s: %llu layers, expected 1 to %d", h5_path(f), path.p, (unsigned long long)info.n, n_layer);
        goto out;
    }
    d->k = (int)info.n;
    d->layer = mem_new((size_t)d->k, sizeof *d->layer);
    if (h5_read(f, path.p, H5_TYPE_I64, d->layer, (size_t)d->k, e))
        goto out;
    for (int i = 0; i < d->k; i++)
        if (d->layer[i] < 0 || d->layer[i] >= n_layer || (i && d->layer[i] <= d->layer[i - 1])) {
            err_set(e, ERR_FORMAT, "%s:%s: entry %d is %lld; expected ascending layers below %d", h5_path(f), path.p, i,
                    (long long)d->layer[i], n_layer);
            goto out;
        }
    rc = 0;
out:
    str_free(&path);
    return rc;
}

/* Same JSON, whatever its blanks. */
static int same_json(const char *a, const char *b)
{
    struct json *x = json_parse("", a, strlen(a), NULL), *y = json_parse("", b, strlen(b), NULL);
    char *p = json_print(x), *q = json_print(y);
    int same = x && y && !strcmp(p, q);
    mem_free(p);
    mem_free(q);
    json_free(x);
    json_free(y);
    return same;
}

static int is_study(const struct h5 *f, const char *name)
{
    return strspn(name, "0123456789") == strlen(name) && h5_has(f, name, "task");
}

/* 1: a study of this very task, 0: of another one, -1: failed. `seen` gathers what the file holds. */
static int is_of_task(const struct h5 *f, const char *group, const struct exp_task *t, struct str *seen, struct err *e)
{
    int rc = -1;
    char *task = h5_get_string(f, group, "task", e), *params = task ? h5_get_string(f, group, "task_params", e) : NULL;
    if (params) {
        rc = !strcmp(task, t->label) && same_json(params, t->params);
        str_addf(seen, "%s%s %s", seen->n ? ", " : "", task, params);
    }
    mem_free(task);
    mem_free(params);
    return rc;
}

static int no_study(const struct h5 *f, const struct experiment *x, const struct exp_task *t, const struct str *seen, struct err *e)
{
    return err_set(e, ERR_CONFIG, "%s: no study of task '%s' with %s (%s:%d); there are: %s", h5_path(f), t->label, t->params, x->path,
                   t->line, seen->n ? seen->p : "none");
}

static int read_study(const struct h5 *f, const char *name, int n_layer, const struct repr_study *s, struct repr_damage *d,
                      struct err *e)
{
    struct str group = {0}, label = {0};
    int64_t only = 0, higher = 1;
    int rc = -1;
    str_addf(&group, "/%s", name);
    d->name = mem_strdup(name);
    if (!(d->policy = h5_get_string(f, group.p, "policy", e)) || !(d->params = h5_get_string(f, group.p, "params", e)) ||
        !(d->prune_after = h5_get_string(f, group.p, "prune_after", e)) || h5_get_int(f, group.p, "only", &only, e) ||
        h5_get_int(f, group.p, "higher_is_better", &higher, e) || h5_get_double(f, group.p, "level", &d->level, e))
        goto out;
    d->only = only != 0;
    if (read_layers(f, group.p, n_layer, d, e) || read_damage(f, group.p, d, higher != 0, e) ||
        count_shared(f, group.p, s, &d->shared, e))
        goto out;
    str_addf(&label, "study %s: %s %s, keep %.4g, %s, prune_after %s", name, d->policy, d->params, d->level,
             d->only ? "all layers pruned but one" : "one layer pruned", d->prune_after);
    d->label = str_take(&label);
    rc = 0;
out:
    str_free(&group);
    return rc;
}

static int check_model(const struct h5 *f, const struct exp_model *want, const struct model *m, struct err *e)
{
    int64_t n_layer = 0;
    if (h5_get_int(f, "/", "n_layer", &n_layer, e))
        return -1;
    if (n_layer != m->hp.n_layer)
        return err_set(e, ERR_CONFIG, "%s: a profile of %lld layers; model '%s' has %d", h5_path(f), (long long)n_layer, want->name,
                       m->hp.n_layer);
    char *sha = h5_get_string(f, "/", "model_sha256", e);
    if (!sha)
        return -1;
    int other = *sha && strcmp(sha, m->sha256) != 0;
    if (other)
        err_set(e, ERR_CONFIG, "%s: a profile of the model with SHA-256 %.12s...; that of '%s' is %.12s...", h5_path(f), sha, want->name,
                m->sha256);
    mem_free(sha);
    return other ? -1 : 0;
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
    for (int m = 0; m < REPR_RELATE_N_MEASURE; m++) {
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
    }
    mem_free(v);
}

int repr_relate(const char *profile, const struct experiment *x, const struct model *m, int task, const struct repr_study *s,
                struct repr_relations *out, struct err *e)
{
    const struct exp_task *t = &x->task[task];
    char **name = NULL;
    size_t n = 0;
    struct str seen = {0};
    int rc = -1, known = 0;
    *out = (struct repr_relations){0};
    struct h5 *f = h5_open(profile, H5_MODE_READ, e);
    if (!f || check_model(f, x->model, m, e) || h5_list(f, "/", &name, &n, e))
        goto out;
    out->damage = mem_new(n + 1, sizeof *out->damage);
    for (size_t i = 0; i < n; i++) {
        int mine = is_study(f, name[i]) ? is_of_task(f, name[i], t, &seen, e) : 0;
        if (mine < 0 || (mine && read_study(f, name[i], m->hp.n_layer, s, &out->damage[out->n_damage++], e)))
            goto out; /* a half-read study is freed with the rest */
    }
    if (out->n_damage == 0) {
        no_study(f, x, t, &seen, e);
        goto out;
    }
    read_rows(profile, t, m->hp.n_layer, out);
    relate_all(out, s);
    for (int i = 0; i < out->n_row; i++)
        known += isfinite(out->row[i].r.rho);
    if (!known) {
        err_set(e, ERR_CONFIG, "%s: task '%s': nothing to rank: in no study do %d or more layers have damages that differ", profile,
                t->label, RANKSTATS_MIN);
        goto out;
    }
    rc = 0;
out:
    if (rc)
        repr_relations_fini(out);
    h5_free_strings(name, n);
    h5_close(f, NULL);
    str_free(&seen);
    return rc;
}

int repr_relate_check(const char *profile, const struct experiment *x, const struct model *m, struct err *e)
{
    char **name = NULL;
    size_t n = 0;
    struct str seen = {0};
    int rc = -1;
    struct h5 *f = h5_open(profile, H5_MODE_READ, e);
    if (!f || check_model(f, x->model, m, e) || h5_list(f, "/", &name, &n, e))
        goto out;
    for (int t = 0; t < x->n_task; t++) {
        int found = 0;
        str_clear(&seen);
        for (size_t i = 0; i < n; i++) {
            int mine = is_study(f, name[i]) ? is_of_task(f, name[i], &x->task[t], &seen, e) : 0;
            if (mine < 0)
                goto out;
            found |= mine;
        }
        if (!found) {
            no_study(f, x, &x->task[t], &seen, e);
            goto out;
        }
    }
    rc = 0;
out:
    h5_free_strings(name, n);
    h5_close(f, NULL);
    str_free(&seen);
    return rc;
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
        for (int m = 0; m < REPR_RELATE_N_MEASURE; m++)
            mem_free(d->damage[m]);
        mem_free(d->attention_lost);
    }
    mem_free(r->damage);
    mem_free(r->row);
    mem_free(r->without_rows);
    *r = (struct repr_relations){0};
}
