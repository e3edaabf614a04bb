#include "policies/allocator_profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"

enum measure { SCORE, NLL, KL, TOP1 };
const char *const allocator_profile_measures[] = {"score", "nll", "kl", "top1", NULL};
const char *const allocator_profile_all[] = {"all", NULL};

const char *const allocator_profile_high[] = {"tolerates", "suffers", NULL};

static const double SAME_LEVEL = 1e-9; /* fractions of at most 12 decimal digits */

struct study {
    const struct h5 *f;
    const char *group; /* "/0" */
    double level;
    int64_t higher; /* is better, of the score */
    int64_t *layer;
    size_t n;
};

static double *read_column(const struct study *s, const char *measure, const char *column)
{
    struct str path = {0};
    struct h5_info info;
    double *v = mem_new(s->n + 1, sizeof *v);
    for (size_t i = 0; i < s->n; i++)
        v[i] = (double)NAN;
    str_addf(&path, "%s/%s/%s", s->group, measure, column);
    if (h5_exists(s->f, path.p) && h5_stat(s->f, path.p, &info, NULL) == 0 && info.type == H5_TYPE_F64 && info.n == s->n)
        h5_read(s->f, path.p, H5_TYPE_F64, v, s->n, NULL);
    str_free(&path);
    return v;
}

/* [n] damages of the study's layers; what was not measured is NAN. */
static double *damage_of(const struct study *s, enum measure m)
{
    const char *name = allocator_profile_measures[m];
    double *mean = read_column(s, name, "mean"), *diff = read_column(s, name, "diff"), *base = read_column(s, name, "baseline");
    for (size_t i = 0; i < s->n; i++) {
        double rise = isfinite(diff[i]) ? diff[i] : mean[i] - base[i]; /* paired where the samples are */
        mean[i] = m == KL ? mean[i] : m == TOP1 ? 1 - mean[i] : m == SCORE && s->higher ? -rise : rise;
    }
    mem_free(diff);
    mem_free(base);
    return mean;
}

static int matches(const struct h5 *f, const char *group, const char *attribute, const char *want)
{
    char *is = strcmp(want, "all") != 0 ? h5_get_string(f, group, attribute, NULL) : NULL;
    int same = strcmp(want, "all") == 0 || (is && strcmp(is, want) == 0);
    mem_free(is);
    return same;
}

/* 1 for a group that is a study of single layers; fills what is known without reading numbers. */
static int is_study(const struct h5 *f, const char *name, const char *group, struct study *s)
{
    int64_t only = 0;
    *s = (struct study){.f = f, .group = group, .higher = 1};
    if (strspn(name, "0123456789") != strlen(name) || h5_get_double(f, group, "level", &s->level, NULL))
        return 0;
    h5_get_int(f, group, "only", &only, NULL);
    h5_get_int(f, group, "higher_is_better", &s->higher, NULL);
    return !only;
}

static int read_layers(struct study *s, int n_layer, struct err *e)
{
    struct str path = {0};
    struct h5_info info;
    int rc = -1;
    str_addf(&path, "%s/layer", s->group);
    if (h5_stat(s->f, path.p, &info, e))
        goto out;
    s->n = (size_t)info.n;
    s->layer = mem_new(s->n + 1, sizeof *s->layer);
    if (h5_read(s->f, path.p, H5_TYPE_I64, s->layer, s->n, e))
        goto out;
    for (size_t i = 0; i < s->n; i++)
        if (s->layer[i] < 0 || s->layer[i] >= n_layer) {
            err_set(e, ERR_FORMAT, "%s:%s: layer %lld of a model with %d layers", h5_path(s->f), path.p, (long long)s->layer[i], n_layer);
            goto out;
        }
    rc = 0;
out:
    str_free(&path);
    return rc;
}

/* One level's row in `p`, made when it is new; levels are in ascending order. */
static int level_row(struct allocator_profile *p, double level, int **count)
{
    size_t L = (size_t)p->n_layer;
    int at = 0;
    while (at < p->n_level && p->level[at] < level - SAME_LEVEL)
        at++;
    if (at < p->n_level && fabs(p->level[at] - level) <= SAME_LEVEL)
        return at;
    size_t n = (size_t)p->n_level + 1, cap[3] = {n - 1, (n - 1) * L, (n - 1) * L}, after = (n - 1 - (size_t)at);
    mem_grow(&p->level, &cap[0], n, sizeof *p->level);
    mem_grow(&p->damage, &cap[1], n * L, sizeof *p->damage);
    mem_grow(count, &cap[2], n * L, sizeof **count);
    memmove(p->level + at + 1, p->level + at, after * sizeof *p->level);
    memmove(p->damage + (size_t)(at + 1) * L, p->damage + (size_t)at * L, after * L * sizeof *p->damage);
    memmove(*count + (size_t)(at + 1) * L, *count + (size_t)at * L, after * L * sizeof **count);
    p->level[at] = level;
    for (size_t l = 0; l < L; l++) {
        p->damage[(size_t)at * L + l] = 0;
        (*count)[(size_t)at * L + l] = 0;
    }
    p->n_level++;
    return at;
}

/* Adds every study that the choice admits; `seen` lists those that are there. */
static int gather(const struct h5 *f, const struct allocator_profile_choice *c, struct allocator_profile *p, struct str *seen,
                  struct err *e)
{
    char **name = NULL;
    size_t n = 0, L = (size_t)p->n_layer;
    int *count = NULL, rc = -1;
    struct str group = {0};
    if (h5_list(f, "/", &name, &n, e))
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct study s;
        str_clear(&group);
        str_addf(&group, "/%s", name[i]);
        if (!is_study(f, name[i], group.p, &s))
            continue;
        char *task = h5_get_string(f, group.p, "task", NULL), *policy = h5_get_string(f, group.p, "policy", NULL);
        str_addf(seen, "%s%s %s %g", seen->n ? ", " : "", task ? task : "?", policy ? policy : "?", s.level);
        mem_free(task);
        mem_free(policy);
        if (!matches(f, group.p, "task", c->task) || !matches(f, group.p, "policy", c->policy) ||
            (c->level >= 0 && fabs(c->level - s.level) > SAME_LEVEL))
            continue;
        int bad = read_layers(&s, p->n_layer, e);
        double *d = bad ? NULL : damage_of(&s, (enum measure)c->measure);
        size_t row = bad ? 0 : (size_t)level_row(p, s.level, &count) * L;
        for (size_t k = 0; d && k < s.n; k++) {
            p->damage[row + (size_t)s.layer[k]] += d[k];
            count[row + (size_t)s.layer[k]]++;
        }
        mem_free(d);
        mem_free(s.layer);
        if (bad)
            goto out;
    }
    for (size_t i = 0; i < (size_t)p->n_level * L; i++)
        p->damage[i] = count[i] ? p->damage[i] / count[i] : (double)NAN;
    rc = 0;
out:
    h5_free_strings(name, n);
    mem_free(count);
    str_free(&group);
    return rc;
}

/* One number a layer, as it lies in the file. */
static int read_metric(const struct h5 *f, const struct allocator_profile_choice *c, struct allocator_profile *p, struct err *e)
{
    struct h5_info info;
    size_t L = (size_t)p->n_layer;
    if (*c->metric != '/')
        return err_set(e, ERR_CONFIG, "%s: metric '%s': the path of a dataset is expected, such as /metrics/...", h5_path(f), c->metric);
    if (!h5_exists(f, c->metric))
        return err_set(e, ERR_CONFIG, "%s: no dataset '%s'", h5_path(f), c->metric);
    if (h5_stat(f, c->metric, &info, e))
        return -1;
    if (info.type != H5_TYPE_F64 || info.n != L)
        return err_set(e, ERR_CONFIG, "%s:%s: %llu numbers of type %s, expected %d of type %s", h5_path(f), c->metric,
                       (unsigned long long)info.n, h5_type_name(info.type), p->n_layer, h5_type_name(H5_TYPE_F64));
    p->n_level = 1;
    p->level = mem_new(1, sizeof *p->level);
    p->damage = mem_new(L, sizeof *p->damage);
    if (h5_read(f, c->metric, H5_TYPE_F64, p->damage, L, e))
        return -1;
    for (size_t l = 0; l < L && !c->high; l++)
        p->damage[l] = -p->damage[l];
    return 0;
}

static int check_model(const struct h5 *f, const struct allocator_setup *s, struct err *e)
{
    int64_t schema, n_layer;
    int rc = -1;
    char *sha = NULL, *name = NULL;
    if (h5_get_int(f, "/", "schema", &schema, e) || h5_get_int(f, "/", "n_layer", &n_layer, e))
        return err_wrap(e, "no profile of a layer study");
    if (schema != 1)
        return err_set(e, ERR_FORMAT, "%s: profile of schema %lld, expected 1", h5_path(f), (long long)schema);
    if (n_layer != s->n_layer)
        return err_set(e, ERR_CONFIG, "%s: a profile of %lld layers for a model of %d layers", h5_path(f), (long long)n_layer, s->n_layer);
    sha = h5_get_string(f, "/", "model_sha256", NULL);
    name = h5_get_string(f, "/", "model", NULL);
    if (sha && *sha && *s->model_sha256 && strcmp(sha, s->model_sha256) != 0)
        err_set(e, ERR_CONFIG, "%s: a profile of another model: sha256 %.12s... (%s), expected %.12s... (%s)", h5_path(f), sha,
                name ? name : "?", s->model_sha256, s->model);
    else if ((!sha || !*sha) && name && *s->model && strcmp(name, s->model) != 0)
        err_set(e, ERR_CONFIG, "%s: a profile of model '%s' for model '%s'", h5_path(f), name, s->model);
    else
        rc = 0;
    mem_free(sha);
    mem_free(name);
    return rc;
}

static int check_numbers(const char *path, const struct allocator_profile_choice *c, const struct allocator_profile *p, int first,
                         struct err *e)
{
    const char *measure = c->metric && *c->metric ? c->metric : allocator_profile_measures[c->measure];
    int differs = 0;
    for (int k = 0; k < p->n_level; k++)
        for (int l = first; l < p->n_layer; l++)
            if (!isfinite(p->damage[(size_t)k * (size_t)p->n_layer + (size_t)l]))
                return err_set(e, ERR_CONFIG, "%s: layer %d at level %g has no %s (NaN): it was not studied, or not measured", path, l,
                               p->level[k], measure);
    for (int l = first + 1; l < p->n_layer; l++)
        differs |= p->mean[l] != p->mean[first];
    if (!differs)
        return err_set(e, ERR_CONFIG, "%s: a constant profile: the damage by %s of all %d layers is %g, so there is nothing to go by", path,
                       measure, p->n_layer - first, p->mean[first < p->n_layer ? first : 0]);
    return 0;
}

/* Layer l takes the numbers of another one, the same at all levels. */
static void deal_out(struct allocator_profile *p, int first, int64_t seed)
{
    int n = p->n_layer - first;
    struct rng r;
    int *from = mem_new((size_t)n + 1, sizeof *from);
    double *old = mem_new((size_t)n + 1, sizeof *old);
    for (int i = 0; i < n; i++)
        from[i] = i;
    rng_init(&r, (uint64_t)seed, "shuffled profile");
    rng_shuffle(&r, from, n, sizeof *from);
    for (int k = 0; k < p->n_level; k++) {
        double *row = p->damage + (size_t)k * (size_t)p->n_layer + first;
        memcpy(old, row, (size_t)n * sizeof *old);
        for (int i = 0; i < n; i++)
            row[i] = old[from[i]];
    }
    mem_free(from);
    mem_free(old);
}

struct allocator_profile *allocator_profile_read(const struct allocator_profile_choice *c, const struct allocator_setup *s,
                                                 int first, struct err *e)
{
    char *path = fs_join(s->dir, c->path);
    struct str seen = {0};
    struct allocator_profile *p = mem_new(1, sizeof *p);
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    int rc = -1;
    p->n_layer = s->n_layer;
    if (!f || check_model(f, s, e) || (c->metric && *c->metric ? read_metric(f, c, p, e) : gather(f, c, p, &seen, e)))
        goto out;
    if (p->n_level == 0) {
        struct str level = {0};
        str_add(&level, "all");
        if (c->level >= 0) {
            str_clear(&level);
            str_add_double(&level, c->level);
        }
        err_set(e, ERR_CONFIG, "%s: no study of task %s, policy %s, level %s; there are (task policy level): %s", path, c->task, c->policy,
                level.p, seen.n ? seen.p : "none");
        str_free(&level);
        goto out;
    }
    if (c->shuffle)
        deal_out(p, first, c->shuffle);
    p->mean = mem_new((size_t)p->n_layer, sizeof *p->mean);
    for (int l = 0; l < p->n_layer; l++) {
        for (int k = 0; k < p->n_level; k++)
            p->mean[l] += p->damage[(size_t)k * (size_t)p->n_layer + (size_t)l];
        p->mean[l] /= p->n_level;
    }
    rc = check_numbers(path, c, p, first, e);
out:
    h5_close(f, NULL);
    mem_free(path);
    str_free(&seen);
    if (rc) {
        allocator_profile_free(p);
        p = NULL;
    }
    return p;
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

int allocator_profile_prompts(const char *path, char ***sha256, size_t *n, struct err *e)
{
    char **name = NULL, **all = NULL;
    size_t n_name = 0, count = 0, cap = 0;
    struct str at = {0};
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    int rc = -1;
    if (!f || h5_list(f, "/", &name, &n_name, e))
        goto out;
    for (size_t i = 0; i < n_name; i++) {
        char **one = NULL;
        size_t n_one = 0;
        str_clear(&at);
        str_addf(&at, "/%s/prompt_sha256", name[i]);
        if (!h5_exists(f, at.p))
            continue;
        if (h5_read_strings(f, at.p, &one, &n_one, e))
            goto out;
        mem_grow(&all, &cap, count + n_one, sizeof *all);
        for (size_t k = 0; k < n_one; k++)
            all[count++] = mem_strdup(one[k]);
        h5_free_strings(one, n_one);
    }
    if (count)
        qsort(all, count, sizeof *all, by_text);
    *sha256 = all;
    *n = count;
    all = NULL;
    rc = 0;
out:
    h5_free_strings(all, count);
    h5_free_strings(name, n_name);
    h5_close(f, NULL);
    str_free(&at);
    return rc;
}

void allocator_profile_free(struct allocator_profile *p)
{
    if (!p)
        return;
    mem_free(p->level);
    mem_free(p->damage);
    mem_free(p->mean);
    mem_free(p);
}
