#include "harness/profile.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/metric.h"

static const enum aggregate_measure measures[] = {AGG_SCORE, AGG_NLL, AGG_KL, AGG_TOP1};
static const char *const columns[] = {"mean", "se",      "lo",      "hi",     "diff",
                                      "diff_se", "diff_lo", "diff_hi", "diff_p", "baseline"};
enum { N_MEASURE = 4, N_COLUMN = sizeof columns / sizeof *columns };

/* What lines of one study have in common: all but the layer. */
static void study_key(const struct agg_cell *c, struct str *out)
{
    static const char *const keys[] = {"policy", "params", "budget", "head_budget", "protect", "prune_after", "prefill",
                                       "decode", "positions", "template", "seed", "weight_dtype", "max_new_tokens"};
    str_addf(out, "%s", c->task_key);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        char *v = json_print(json_get(c->axes, keys[k]));
        str_addf(out, "%s\n", v);
        mem_free(v);
    }
    str_addf(out, "%d", json_bool(json_get(json_get(json_get(c->axes, "layer_budget"), "single"), "only"), 0));
}

static int by_layer(const void *x, const void *y)
{
    const struct agg_cell *const *a = x, *const *b = y;
    int i = 0, j = 0;
    aggregate_single(*a, &i);
    aggregate_single(*b, &j);
    return i - j;
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void take_column(const struct aggregate *a, const struct agg_cell *c, enum aggregate_measure m, double v[N_COLUMN])
{
    const struct stats_summary *s = &c->summary[m];
    const struct stats_paired *d = &c->diff[m];
    const double none = (double)NAN;
    const double value[] = {s->mean, s->se, s->lo, s->hi, d->n ? d->diff : none, d->n ? d->se : none, d->n ? d->lo : none,
                            d->n ? d->hi : none, d->n ? d->p : none,
                            c->baseline >= 0 ? a->cell[c->baseline].summary[m].mean : none};
    memcpy(v, value, sizeof value);
}

static int write_measure(struct h5 *f, const char *group, const struct aggregate *a, const struct agg_cell *const *line, int n,
                         enum aggregate_measure m, struct err *e)
{
    const uint64_t dim[1] = {(uint64_t)n};
    double *v = mem_new((size_t)n, sizeof *v), all[N_COLUMN];
    int64_t *count = mem_new((size_t)n, sizeof *count);
    struct str path = {0};
    int bad = 0;
    for (int k = 0; k < N_COLUMN && !bad; k++) {
        for (int i = 0; i < n; i++) {
            take_column(a, line[i], m, all);
            v[i] = all[k];
            count[i] = line[i]->summary[m].n;
        }
        str_clear(&path);
        str_addf(&path, "%s/%s/%s", group, aggregate_measure_names[m], columns[k]);
        bad = h5_write(f, path.p, H5_TYPE_F64, 1, dim, v, e);
    }
    str_clear(&path);
    str_addf(&path, "%s/%s/n", group, aggregate_measure_names[m]);
    bad = bad || h5_write(f, path.p, H5_TYPE_I64, 1, dim, count, e);
    mem_free(v);
    mem_free(count);
    str_free(&path);
    return bad ? -1 : 0;
}

static int write_prompts(struct h5 *f, const char *group, const struct aggregate *a, const struct agg_cell *c, struct err *e)
{
    const char **hash = mem_new((size_t)c->n_row + 1, sizeof *hash);
    struct str path = {0};
    for (int i = 0; i < c->n_row; i++)
        hash[i] = a->row[c->first + i].prompt_sha256;
    if (c->n_row)
        qsort(hash, (size_t)c->n_row, sizeof *hash, by_text);
    str_addf(&path, "%s/prompt_sha256", group);
    int rc = h5_write_strings(f, path.p, hash, (size_t)c->n_row, e);
    mem_free(hash);
    str_free(&path);
    return rc;
}

static int write_attributes(struct h5 *f, const char *group, const struct agg_cell *c, struct err *e)
{
    static const char *const texts[] = {"model", "task", "metric", "policy", "prune_after", "head_budget"};
    static const char *const objects[] = {"params", "task_params", "protect"};
    const struct metric_ops *metric = metric_find(aggregate_text(c, "metric"));
    int only = json_bool(json_get(json_get(json_get(c->axes, "layer_budget"), "single"), "only"), 0);
    int bad = h5_set_double(f, group, "level", c->level, e) || h5_set_int(f, group, "only", only, e) ||
              h5_set_int(f, group, "higher_is_better", metric ? metric->higher_is_better : 1, e);
    for (size_t k = 0; k < sizeof texts / sizeof *texts && !bad; k++)
        bad = h5_set_string(f, group, texts[k], aggregate_text(c, texts[k]), e);
    for (size_t k = 0; k < sizeof objects / sizeof *objects && !bad; k++) {
        char *v = json_print(json_get(c->axes, objects[k]));
        bad = h5_set_string(f, group, objects[k], v, e);
        mem_free(v);
    }
    return bad ? -1 : 0;
}

static int write_study(struct h5 *f, int number, const struct aggregate *a, const struct agg_cell **line, int n, struct err *e)
{
    const uint64_t dim[1] = {(uint64_t)n};
    struct str group = {0}, path = {0};
    int64_t *layer = mem_new((size_t)n, sizeof *layer);
    qsort(line, (size_t)n, sizeof *line, by_layer);
    for (int i = 0; i < n; i++) {
        int l = 0;
        aggregate_single(line[i], &l);
        layer[i] = l;
    }
    str_addf(&group, "/%d", number);
    str_addf(&path, "%s/layer", group.p);
    int bad = h5_make_group(f, group.p, e) || write_attributes(f, group.p, line[0], e) ||
              h5_write(f, path.p, H5_TYPE_I64, 1, dim, layer, e) || write_prompts(f, group.p, a, line[0], e);
    for (int m = 0; m < N_MEASURE && !bad; m++)
        bad = write_measure(f, group.p, a, line, n, measures[m], e);
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
    int rc = -1, n_study = 0, first = -1, layer;
    char *path = fs_join(dir, "profile.h5");
    struct str tmp = {0};
    struct h5 *f = NULL;
    const struct agg_cell **line = mem_new((size_t)a->n_line + 1, sizeof *line);
    struct str *key = mem_new((size_t)a->n_line + 1, sizeof *key);
    for (int l = 0; l < a->n_line; l++)
        if (aggregate_single(&a->line[l], &layer)) {
            study_key(&a->line[l], &key[l]);
            first = first < 0 ? l : first;
        }
    if (first < 0) {
        rc = 0;
        goto out;
    }
    str_addf(&tmp, "%s.tmp", path);
    f = h5_open(tmp.p, H5_MODE_CREATE, e);
    if (!f || write_model(f, dir, &a->line[first], json_size(json_get(a->line[first].axes, "kept")), e))
        goto out;
    for (int l = first; l < a->n_line; l++) {
        int n = 0, opens = key[l].n > 0;
        for (int k = first; k < l && opens; k++)
            opens = strcmp(str_c(&key[k]), key[l].p) != 0;
        for (int k = l; k < a->n_line && opens; k++)
            if (strcmp(str_c(&key[k]), key[l].p) == 0)
                line[n++] = &a->line[k];
        if (n && write_study(f, n_study++, a, line, n, e))
            goto out;
    }
    int bad = h5_close(f, e);
    f = NULL;
    if (bad)
        goto out;
    if (rename(tmp.p, path)) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    rc = 0;
out:
    h5_close(f, NULL);
    if (rc && tmp.n)
        unlink(tmp.p);
    for (int l = 0; l < a->n_line; l++)
        str_free(&key[l]);
    mem_free(key);
    mem_free(line);
    str_free(&tmp);
    mem_free(path);
    return rc;
}
