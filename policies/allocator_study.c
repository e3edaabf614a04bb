#include "policies/allocator_study.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"

const char *const allocator_study_measures[] = {"score", "nll", "kl", "top1", NULL};

int allocator_study_check_model(const struct h5 *f, const struct allocator_setup *s, struct err *e)
{
    int64_t schema, n_layer;
    int rc = -1, n = s->n_model_layer > s->n_layer ? s->n_model_layer : s->n_layer;
    char *sha = NULL, *name = NULL;
    if (h5_get_int(f, "/", "schema", &schema, e) || h5_get_int(f, "/", "n_layer", &n_layer, e))
        return err_wrap(e, "no profile of a layer study");
    if (schema != 1)
        return err_set(e, ERR_FORMAT, "%s: profile of schema %lld, expected 1", h5_path(f), (long long)schema);
    if (n_layer != n)
        return err_set(e, ERR_CONFIG, "%s: a profile of %lld layers for a model of %d layers", h5_path(f),
                       (long long)n_layer, n);
    if (!(sha = h5_get_string(f, "/", "model_sha256", e)) || !(name = h5_get_string(f, "/", "model", e)))
        goto out;
    if (*sha && *s->model_sha256 && strcmp(sha, s->model_sha256) != 0)
        err_set(e, ERR_CONFIG, "%s: a profile of another model: sha256 %.12s... (%s), expected %.12s... (%s)",
                h5_path(f), sha, name, s->model_sha256, s->model);
    else if (!*sha && *name && *s->model && strcmp(name, s->model) != 0)
        err_set(e, ERR_CONFIG, "%s: a profile of model '%s' for model '%s'", h5_path(f), name, s->model);
    else
        rc = 0;
out:
    mem_free(sha);
    mem_free(name);
    return rc;
}

static int read_attributes(const struct h5 *f, struct allocator_study *s, struct err *e)
{
    int64_t only, higher;
    if (!(s->task = h5_get_string(f, s->group, "task", e)) || !(s->policy = h5_get_string(f, s->group, "policy", e)) ||
        h5_get_double(f, s->group, "level", &s->level, e) || h5_get_int(f, s->group, "only", &only, e) ||
        h5_get_int(f, s->group, "higher_is_better", &higher, e))
        return -1;
    if (h5_has(f, s->group, "windows") && !(s->windows = h5_get_string(f, s->group, "windows", e)))
        return -1;
    s->windows = s->windows ? s->windows : mem_strdup("keep"); /* profiles from before there was a choice */
    s->only = only != 0;
    s->higher_is_better = higher != 0;
    return 0;
}

int allocator_study_list(const struct h5 *f, struct allocator_study **v, int *n, struct err *e)
{
    char **name = NULL;
    size_t n_name = 0;
    struct allocator_study *s = NULL;
    int rc = -1, count = 0;
    if (h5_list(f, "/", &name, &n_name, e))
        return -1;
    s = mem_new(n_name + 1, sizeof *s);
    for (size_t i = 0; i < n_name; i++) {
        if (strspn(name[i], "0123456789") != strlen(name[i]))
            continue;
        struct str group = {0};
        str_addf(&group, "/%s", name[i]);
        s[count].group = str_take(&group);
        if (read_attributes(f, &s[count++], e)) /* a half-read one is freed with the rest */
            goto out;
    }
    *v = s;
    *n = count;
    s = NULL;
    rc = 0;
out:
    allocator_study_free(s, count);
    h5_free_strings(name, n_name);
    return rc;
}

void allocator_study_free(struct allocator_study *v, int n)
{
    for (int i = 0; v && i < n; i++) {
        mem_free(v[i].group);
        mem_free(v[i].task);
        mem_free(v[i].policy);
        mem_free(v[i].windows);
        mem_free(v[i].layer);
    }
    mem_free(v);
}

int allocator_study_layers(const struct h5 *f, int n_layer, struct allocator_study *s, struct err *e)
{
    struct str path = {0};
    struct h5_info info;
    int rc = -1;
    str_addf(&path, "%s/layer", s->group);
    if (h5_stat(f, path.p, &info, e))
        goto out;
    if (info.rank != 1 || info.n < 1 || info.n > (uint64_t)n_layer) {
        err_set(e, ERR_FORMAT, "%s:%s: %llu layers, expected 1 to %d", h5_path(f), path.p, (unsigned long long)info.n,
                n_layer);
        goto out;
    }
    s->n = (int)info.n;
    s->layer = mem_new((size_t)s->n, sizeof *s->layer);
    if (h5_read(f, path.p, H5_TYPE_I64, s->layer, (size_t)s->n, e))
        goto out;
    for (int i = 0; i < s->n; i++)
        if (s->layer[i] < 0 || s->layer[i] >= n_layer || (i && s->layer[i] <= s->layer[i - 1])) {
            err_set(e, ERR_FORMAT, "%s:%s: entry %d is %lld; expected ascending layers of a model with %d layers",
                    h5_path(f), path.p, i, (long long)s->layer[i], n_layer);
            goto out;
        }
    rc = 0;
out:
    str_free(&path);
    return rc;
}

static int read_column(const struct h5 *f, const struct allocator_study *s, enum allocator_study_measure m,
                       const char *column, double *v, struct err *e)
{
    struct str path = {0};
    str_addf(&path, "%s/%s/%s", s->group, allocator_study_measures[m], column);
    int rc = h5_read(f, path.p, H5_TYPE_F64, v, (size_t)s->n, e);
    str_free(&path);
    return rc;
}

int allocator_study_damage(const struct h5 *f, const struct allocator_study *s, enum allocator_study_measure m,
                           double *damage, struct err *e)
{
    size_t n = (size_t)s->n;
    double *mean = mem_new(3 * n + 1, sizeof *mean), *diff = mean + n, *base = diff + n;
    int rises = m == ALLOCATOR_STUDY_SCORE || m == ALLOCATOR_STUDY_NLL;
    int rc = read_column(f, s, m, "mean", mean, e);
    if (rc == 0 && rises)
        rc = read_column(f, s, m, "diff", diff, e) || read_column(f, s, m, "baseline", base, e) ? -1 : 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        double rise = isfinite(diff[i]) ? diff[i] : mean[i] - base[i];
        damage[i] = m == ALLOCATOR_STUDY_KL                             ? mean[i]
                    : m == ALLOCATOR_STUDY_TOP1                         ? 1 - mean[i]
                    : m == ALLOCATOR_STUDY_SCORE && s->higher_is_better ? -rise
                                                                        : rise;
    }
    mem_free(mean);
    return rc;
}
