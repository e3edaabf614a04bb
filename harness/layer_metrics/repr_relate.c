#include "harness/layer_metrics/repr_relate.h"
#include "harness/experiment/layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/layer_metrics/repr_output.h"
#include "harness/report/aggregate.h"

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

static int same_axis(const struct agg_cell *c, const char *key, const char *want)
{
    char *v = json_print(json_get(c->axes, key));
    int same = repr_damage_same_json(v, want);
    mem_free(v);
    return same;
}

/* 1 when the line is one of the study: it agrees in all axes that the profile tells. */
static int is_of_study(const struct agg_cell *c, const struct repr_damage *d)
{
    int is = aggregate_mean(c, COLUMN_LEVEL) == d->level;
    for (int i = 0; i < axes_count() && is; i++) {
        const struct axis *a = axes_at(i);
        const char *plain = a->kind->is_text ? NULL : json_string(json_get(c->axes, a->key));
        if (d->axis[i])
            is = plain ? strcmp(plain, d->axis[i]) == 0 : same_axis(c, a->key, d->axis[i]);
    }
    return is;
}

/* A study in which layer l alone was pruned: the others lost nothing, so its loss is the mean that the aggregate has,
 * times the layers that it is the mean of: those that can lose something. */
static void add_attention_lost(const struct aggregate *a, const struct exp_task *t, const struct hparams *hp,
                               struct repr_damage *d)
{
    int extra = 0, found = 0, n_layer = layers_count(hp, d->windows_are_pruned ? WINDOWS_PRUNE : WINDOWS_KEEP);
    while (extra < a->n_extra && strcmp(a->extra_name[extra], columns_name(COLUMN_ATTENTION_LOST)) != 0)
        extra++;
    if (d->only || extra == a->n_extra)
        return;
    double *lost = mem_new((size_t)d->k, sizeof *lost);
    for (int i = 0; i < d->k; i++)
        lost[i] = NAN;
    for (int l = 0; l < a->n_line; l++) {
        const struct agg_cell *c = &a->line[l];
        int layer;
        if (!aggregate_single(c, &layer) || strcmp(aggregate_text(c, "task"), t->label) != 0 ||
            !same_axis(c, "task_params", t->params) || !is_of_study(c, d))
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

static void read_rows(const char *profile, const struct exp_task *t, const struct hparams *hp,
                      struct repr_relations *out)
{
    char *dir = fs_dirname(profile), *rows = fs_join(dir, "rows.jsonl");
    struct aggregate a = {0};
    struct err why = {0};
    if (!fs_exists(rows))
        err_set(&why, ERR_IO, "there is no %s", rows);
    else if (aggregate_load(dir, &a, &why) == 0)
        for (int i = 0; i < out->n_damage; i++)
            add_attention_lost(&a, t, hp, &out->damage[i]);
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
        out->row[out->n_row++] = (struct repr_relation){.damage = damage,
                                                        .measure = m,
                                                        .metric = metric,
                                                        .definition = definition,
                                                        .stage = stage,
                                                        .r = rankstats_correlate(x, d->damage[m], depth, d->k),
                                                        .q = NAN,
                                                        .q_shift = NAN,
                                                        .q_partial = NAN};
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

int repr_relate(const char *profile, const struct experiment *x, const struct model *m, int task,
                const struct repr_study *s, const struct repr_output *output, struct repr_relations *out, struct err *e)
{
    if (repr_damage_read(profile, x, m, task, out, e))
        return -1;
    for (int i = 0; i < out->n_damage; i++)
        out->damage[i].shared = count_shared(&out->damage[i], s);
    read_rows(profile, &x->task[task], &m->hp, out);
    take_output(output, out);
    relate_all(out, s);
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
