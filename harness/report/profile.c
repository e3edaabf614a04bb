#include "harness/report/profile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/report/cell_columns.h"
#include "harness/report/study.h"

static const enum column_id measures[] = {COLUMN_SCORE, COLUMN_NLL, COLUMN_KL, COLUMN_TOP1};
enum { N_MEASURE = sizeof measures / sizeof *measures };

/* Rows by their prompt, then by what makes two of them the same sample. */
static int by_prompt(const void *x, const void *y)
{
    const struct agg_row *a = *(const struct agg_row *const *)x, *b = *(const struct agg_row *const *)y;
    int d = strcmp(a->prompt_sha256, b->prompt_sha256);
    if (d || a->sample != b->sample)
        return d ? d : (a->sample > b->sample) - (a->sample < b->sample);
    return strcmp(a->question_id, b->question_id);
}

/* One figure of every layer: a part of the measure as cells.csv has it, or the baseline's mean where p is NULL. */
static int write_part(struct h5 *f, const char *group, const struct aggregate *a, const struct study *st,
                      enum column_id m, const struct cell_columns_part *p, struct err *e)
{
    const uint64_t dim[1] = {(uint64_t)st->n};
    const char *name = !p ? "baseline" : *p->ending ? p->ending + 1 : "mean";
    double *v = mem_new((size_t)st->n, sizeof *v);
    struct str path = {0};
    for (int i = 0; i < st->n; i++) {
        const struct agg_cell *c = st->line[i];
        if (p)
            v[i] = cell_columns_part_of(p, &c->summary[m], &c->diff[m]);
        else
            v[i] = c->baseline >= 0 ? a->cell[c->baseline].summary[m].mean : (double)NAN;
    }
    str_addf(&path, "%s/%s/%s", group, columns_name(m), name);
    int rc = h5_write(f, path.p, H5_TYPE_F64, 1, dim, v, e);
    mem_free(v);
    str_free(&path);
    return rc;
}

/* What all layers say together, as attributes of the measure. */
static int write_agreement(struct h5 *f, const char *group, const struct study_agreement *g, struct err *e)
{
    const struct permutation_test *t = &g->test;
    return h5_set_int(f, group, "n_sample", t->n_sample, e) || h5_set_double(f, group, "variance", t->variance, e) ||
                   h5_set_double(f, group, "null_mean", t->null_mean, e) ||
                   h5_set_double(f, group, "null_sd", t->null_sd, e) ||
                   h5_set_double(f, group, "effect", t->effect, e) ||
                   h5_set_double(f, group, "permutation_p", t->p, e) ||
                   h5_set_int(f, group, "permutations", PERMUTATION_ROUNDS, e) ||
                   h5_set_double(f, group, "split_half", g->split_half, e) ||
                   h5_set_double(f, group, "split_half_rank", g->split_half_rank, e)
               ? -1
               : 0;
}

static int write_measure(struct h5 *f, const char *group, const struct aggregate *a, const struct study *st,
                         enum column_id m, struct err *e)
{
    const struct study_agreement g = study_agree(a, st, m);
    const uint64_t dim[1] = {(uint64_t)st->n};
    int64_t *count = mem_new((size_t)st->n, sizeof *count);
    struct str path = {0};
    int bad = 0;
    for (int p = 0; p < CELL_COLUMNS_N_PART && !bad; p++)
        bad = write_part(f, group, a, st, m, &cell_columns_part[p], e);
    bad = bad || write_part(f, group, a, st, m, NULL, e);
    for (int i = 0; i < st->n; i++)
        count[i] = st->line[i]->summary[m].n;
    str_addf(&path, "%s/%s/n", group, columns_name(m));
    bad = bad || h5_write(f, path.p, H5_TYPE_I64, 1, dim, count, e);
    str_clear(&path);
    str_addf(&path, "%s/%s", group, columns_name(m));
    bad = bad || write_agreement(f, path.p, &g, e);
    mem_free(count);
    str_free(&path);
    return bad ? -1 : 0;
}

/* The prompts of every layer: one that lacks a sample must not hide it. */
static int write_prompts(struct h5 *f, const char *group, const struct aggregate *a, const struct study *st,
                         struct err *e)
{
    const struct agg_row **row = mem_new((size_t)a->n_row + 1, sizeof *row);
    const char **hash = mem_new((size_t)a->n_row + 1, sizeof *hash);
    size_t n = 0, n_hash = 0;
    struct str path = {0};
    for (int i = 0; i < a->n_row; i++) {
        int is_in = 0;
        for (int k = 0; k < st->n && !is_in; k++)
            is_in = strcmp(a->cell[a->row[i].cell].line_key, st->line[k]->line_key) == 0;
        if (is_in)
            row[n++] = &a->row[i];
    }
    if (n)
        qsort(row, n, sizeof *row, by_prompt);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || by_prompt(&row[i], &row[i - 1]) != 0)
            hash[n_hash++] = row[i]->prompt_sha256;
    str_addf(&path, "%s/prompt_sha256", group);
    int rc = h5_write_strings(f, path.p, hash, n_hash, e);
    mem_free(row);
    mem_free(hash);
    str_free(&path);
    return rc;
}

/* An axis as text: JSON of what may have parameters, otherwise the plain value. */
static int write_axis(struct h5 *f, const char *group, const struct agg_cell *c, const struct axis *a, struct err *e)
{
    const struct json *v = json_get(c->axes, a->key);
    char *text = json_print(v);
    int rc = 0;
    if (v) /* rows of older programs lack some */
        rc = h5_set_string(f, group, a->key, a->kind->is_text || !json_is_string(v) ? text : json_string(v), e);
    mem_free(text);
    return rc;
}

/* Of a study all its lines have in common: every axis but the layers; the budget is `level`, NaN where it makes
 * different shares of layers with and without a window. */
static int write_attributes(struct h5 *f, const char *group, const struct study *st, struct err *e)
{
    const struct agg_cell *c = st->line[0];
    static const char *const texts[] = {"model", "task", "metric"};
    int higher = columns_higher_is_better(COLUMN_SCORE, aggregate_text(c, "metric"));
    int bad = h5_set_double(f, group, columns_name(COLUMN_LEVEL), study_level(st), e) ||
              h5_set_int(f, group, "only", st->only, e) || h5_set_int(f, group, "higher_is_better", higher, e);
    for (size_t k = 0; k < sizeof texts / sizeof *texts && !bad; k++)
        bad = h5_set_string(f, group, texts[k], aggregate_text(c, texts[k]), e);
    char *params = json_print(json_get(c->axes, "task_params"));
    bad = bad || h5_set_string(f, group, "task_params", params, e);
    mem_free(params);
    for (int i = 0; i < axes_count() && !bad; i++) {
        const struct axis *a = axes_at(i);
        if (a->shown != AXIS_SHOWN_POOLED && strcmp(a->key, "budget") != 0 && strcmp(a->key, "layer_budget") != 0)
            bad = write_axis(f, group, c, a, e);
    }
    return bad ? -1 : 0;
}

static int write_study(struct h5 *f, int number, const struct aggregate *a, const struct study *st, struct err *e)
{
    const uint64_t dim[1] = {(uint64_t)st->n};
    struct str group = {0}, path = {0};
    int64_t *layer = mem_new((size_t)st->n, sizeof *layer);
    for (int i = 0; i < st->n; i++)
        layer[i] = st->layer[i];
    str_addf(&group, "/%d", number);
    str_addf(&path, "%s/layer", group.p);
    int bad = h5_make_group(f, group.p, e) || write_attributes(f, group.p, st, e) ||
              h5_write(f, path.p, H5_TYPE_I64, 1, dim, layer, e) || write_prompts(f, group.p, a, st, e);
    for (int m = 0; m < N_MEASURE && !bad; m++)
        bad = write_measure(f, group.p, a, st, measures[m], e);
    mem_free(layer);
    str_free(&group);
    str_free(&path);
    return bad ? -1 : 0;
}

/* The model's hash stands in the manifest; rows of one folder name a model by its file name. */
static int write_model(struct h5 *f, const char *dir, const struct agg_cell *c, int n_layer, struct err *e)
{
    const char *name = aggregate_text(c, "model"), *sha = "";
    char *path = fs_join(dir, "manifest.json"), *text = NULL;
    size_t n = 0;
    struct json *root = NULL;
    if (fs_exists(path) && (text = fs_read(path, &n, NULL)))
        root = json_parse(path, text, n, NULL);
    for (const struct json *m = json_first(json_get(root, "models")); m; m = json_next(m)) {
        const char *is = json_string(json_get(m, "name")), *hash = json_string(json_get(m, "sha256"));
        if (is && hash && strcmp(is, name) == 0)
            sha = hash;
    }
    int bad = h5_set_int(f, "/", "schema", 1, e) || h5_set_int(f, "/", "n_layer", n_layer, e) ||
              h5_set_string(f, "/", "model", name, e) || h5_set_string(f, "/", "model_sha256", sha, e);
    json_free(root);
    mem_free(text);
    mem_free(path);
    return bad ? -1 : 0;
}

int profile_write(const char *dir, const struct aggregate *a, struct err *e)
{
    int rc = -1;
    char *path = fs_join(dir, "profile.h5");
    struct h5 *f = NULL;
    struct study_list studies;
    study_find(a, &studies);
    if (!studies.n) {
        rc = 0;
        goto out;
    }
    const struct agg_cell *first = studies.v[0].line[0];
    f = h5_open(path, H5_MODE_CREATE, e);
    if (!f || write_model(f, dir, first, json_size(json_get(first->axes, "kept")), e))
        goto out;
    for (int s = 0; s < studies.n; s++)
        if (write_study(f, s, a, &studies.v[s], e))
            goto out;
    rc = h5_close(f, e);
    f = NULL;
out:
    h5_abandon(f);
    study_list_fini(&studies);
    mem_free(path);
    return rc;
}
