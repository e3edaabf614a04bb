#include "policies/allocator_profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"
#include "policies/allocator_study.h"

const char *const allocator_profile_all[] = {"all", NULL};

const char *const allocator_profile_high[] = {"tolerates", "suffers", NULL};

static const double SAME_LEVEL = 1e-9; /* fractions of at most 12 decimal digits */

static int matches(const char *is, const char *want)
{
    return strcmp(want, "all") == 0 || strcmp(is, want) == 0;
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

static int number_of(const struct allocator_setup *of, int layer)
{
    return of->number ? of->number[layer] : layer;
}

static int n_model_layer(const struct allocator_setup *of)
{
    return of->n_model_layer > of->n_layer ? of->n_model_layer : of->n_layer;
}

static int refuse_layer(const struct h5 *f, const struct allocator_study *s, int64_t layer,
                        const struct allocator_setup *of, struct err *e)
{
    struct str pruned = {0};
    for (int l = 0; l < of->n_layer; l++)
        str_addf(&pruned, "%s%d", l ? ", " : "", number_of(of, l));
    err_set(e, ERR_CONFIG,
            "%s:%s: a profile of another set of layers: it has layer %lld, and those that are pruned here are %s",
            h5_path(f), s->group, (long long)layer, pruned.n ? pruned.p : "none");
    str_free(&pruned);
    return -1;
}

/* Adds the damages of one study's layers. */
static int add_study(const struct h5 *f, const struct allocator_profile_choice *c, struct allocator_study *s,
                     const struct allocator_setup *of, struct allocator_profile *p, int **count, struct err *e)
{
    if (allocator_study_layers(f, n_model_layer(of), s, e))
        return -1;
    for (int k = 0; k < s->n; k++) {
        int l = allocator_layer_of(of->number, of->n_layer, s->layer[k]);
        if (l < 0)
            return refuse_layer(f, s, s->layer[k], of, e);
        s->layer[k] = l;
    }
    double *d = mem_new((size_t)s->n, sizeof *d);
    int rc = allocator_study_damage(f, s, (enum allocator_study_measure)c->measure, d, e);
    size_t row = rc ? 0 : (size_t)level_row(p, s->level, count) * (size_t)p->n_layer;
    for (int k = 0; k < s->n && rc == 0; k++) {
        p->damage[row + (size_t)s->layer[k]] += d[k];
        (*count)[row + (size_t)s->layer[k]]++;
    }
    mem_free(d);
    return rc;
}

/* Adds every study that the choice admits, of cells that treat windows alike; `seen` lists those that are there. */
static int gather(const struct h5 *f, const struct allocator_profile_choice *c, const struct allocator_setup *of,
                  struct allocator_profile *p, struct str *seen, struct err *e)
{
    struct allocator_study *s = NULL;
    int n = 0, *count = NULL, rc = -1;
    if (allocator_study_list(f, &s, &n, e))
        return -1;
    for (int i = 0; i < n; i++) {
        if (s[i].only)
            continue;
        str_addf(seen, "%s%s %s %g", seen->n ? ", " : "", s[i].task, s[i].policy, s[i].level);
        if (strcmp(s[i].windows, "keep") != 0)
            str_addf(seen, " (windows: %s)", s[i].windows);
        if (strcmp(s[i].windows, of->windows ? of->windows : "keep") == 0 && matches(s[i].task, c->task) &&
            matches(s[i].policy, c->policy) && (c->level < 0 || fabs(c->level - s[i].level) <= SAME_LEVEL) &&
            add_study(f, c, &s[i], of, p, &count, e))
            goto out;
    }
    for (size_t i = 0; i < (size_t)p->n_level * (size_t)p->n_layer; i++)
        p->damage[i] = count[i] ? p->damage[i] / count[i] : (double)NAN;
    rc = 0;
out:
    allocator_study_free(s, n);
    mem_free(count);
    return rc;
}

/* One number for each of the model's layers, as it lies in the file. */
static int read_metric(const struct h5 *f, const struct allocator_profile_choice *c, const struct allocator_setup *of,
                       struct allocator_profile *p, struct err *e)
{
    struct h5_info info;
    size_t L = (size_t)n_model_layer(of);
    if (*c->metric != '/')
        return err_set(e, ERR_CONFIG, "%s: metric '%s': the path of a dataset is expected, such as /metrics/...",
                       h5_path(f), c->metric);
    if (!h5_exists(f, c->metric))
        return err_set(e, ERR_CONFIG, "%s: no dataset '%s'", h5_path(f), c->metric);
    if (h5_stat(f, c->metric, &info, e))
        return -1;
    if (info.type != H5_TYPE_F64 || info.n != L)
        return err_set(e, ERR_CONFIG, "%s:%s: %llu numbers of type %s, expected %d of type %s", h5_path(f), c->metric,
                       (unsigned long long)info.n, h5_type_name(info.type), (int)L, h5_type_name(H5_TYPE_F64));
    p->n_level = 1;
    p->level = mem_new(1, sizeof *p->level);
    p->damage = mem_new(L, sizeof *p->damage);
    if (h5_read(f, c->metric, H5_TYPE_F64, p->damage, L, e))
        return -1;
    for (int l = 0; l < p->n_layer; l++) /* numbers ascend, so that none is overwritten before it is read */
        p->damage[l] = c->high ? p->damage[number_of(of, l)] : -p->damage[number_of(of, l)];
    return 0;
}

static int check_numbers(const char *path, const struct allocator_profile_choice *c, const struct allocator_setup *of,
                         const struct allocator_profile *p, int first, struct err *e)
{
    const char *measure = c->metric && *c->metric ? c->metric : allocator_study_measures[c->measure];
    int differs = 0;
    for (int k = 0; k < p->n_level; k++)
        for (int l = first; l < p->n_layer; l++)
            if (!isfinite(p->damage[(size_t)k * (size_t)p->n_layer + (size_t)l]))
                return err_set(e, ERR_CONFIG,
                               "%s: layer %d at level %g has no %s (NaN): it was not studied, or not measured", path,
                               number_of(of, l), p->level[k], measure);
    for (int l = first + 1; l < p->n_layer; l++)
        differs |= p->mean[l] != p->mean[first];
    if (!differs)
        return err_set(e, ERR_CONFIG,
                       "%s: a constant profile: the damage by %s of all %d layers is %g, so there is nothing to go by",
                       path, measure, p->n_layer - first, p->mean[first < p->n_layer ? first : 0]);
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

struct allocator_profile *allocator_profile_read(const struct allocator_profile_choice *c,
                                                 const struct allocator_setup *s, int first, struct err *e)
{
    char *path = fs_join(s->dir, c->path);
    struct str seen = {0};
    struct allocator_profile *p = mem_new(1, sizeof *p);
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    int rc = -1;
    p->n_layer = s->n_layer;
    if (!f || allocator_study_check_model(f, s, e) ||
        (c->metric && *c->metric ? read_metric(f, c, s, p, e) : gather(f, c, s, p, &seen, e)))
        goto out;
    if (p->n_level == 0) {
        struct str level = {0};
        str_add(&level, "all");
        if (c->level >= 0) {
            str_clear(&level);
            str_add_double(&level, c->level);
        }
        if (s->windows && strcmp(s->windows, "keep") != 0)
            str_addf(&level, ", windows: %s", s->windows);
        err_set(e, ERR_CONFIG, "%s: no study of task %s, policy %s, level %s; there are (task policy level): %s", path,
                c->task, c->policy, level.p, seen.n ? seen.p : "none");
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
    rc = check_numbers(path, c, s, p, first, e);
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
