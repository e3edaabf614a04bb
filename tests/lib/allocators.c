#include "tests/lib/allocators.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

const char allocators_sha[ALLOCATORS_HASH] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void write_column(struct h5 *f, int study, const char *measure, const char *column, const double *v, int n)
{
    const uint64_t dim[1] = {(uint64_t)n};
    struct str path = {0};
    str_addf(&path, "/%d/%s/%s", study, measure, column);
    ck_assert_int_eq(h5_write(f, path.p, H5_TYPE_F64, 1, dim, v, NULL), 0);
    str_free(&path);
}

void allocators_profile(const char *path, const char *sha, int n_layer, const struct allocators_study *s, int n)
{
    int64_t number[ALLOCATORS_MOST_LAYERS];
    for (int l = 0; l < n_layer; l++)
        number[l] = l;
    allocators_profile_of(path, sha, &(struct allocators_layers){n_layer, n_layer, number, NULL}, s, n);
}

void allocators_profile_of(const char *path, const char *sha, const struct allocators_layers *of,
                           const struct allocators_study *s, int n)
{
    const uint64_t dim[1] = {(uint64_t)of->n};
    double none[ALLOCATORS_MOST_LAYERS], one[ALLOCATORS_MOST_LAYERS];
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    ck_assert_ptr_nonnull(f);
    for (int l = 0; l < of->n; l++) {
        none[l] = (double)NAN;
        one[l] = 1;
    }
    int bad = h5_set_int(f, "/", "schema", 1, NULL) || h5_set_int(f, "/", "n_layer", of->n_layer, NULL) ||
              h5_set_string(f, "/", "model", "m", NULL) ||
              h5_set_string(f, "/", "model_sha256", sha ? sha : allocators_sha, NULL);
    for (int i = 0; i < n; i++) {
        char group[16], at[24];
        snprintf(group, sizeof group, "/%d", i);
        snprintf(at, sizeof at, "/%d/layer", i);
        bad = bad || h5_make_group(f, group, NULL) || h5_set_double(f, group, "level", s[i].level, NULL) ||
              h5_set_int(f, group, "only", s[i].only, NULL) || h5_set_int(f, group, "higher_is_better", 1, NULL) ||
              h5_set_string(f, group, "task", s[i].task, NULL) ||
              h5_set_string(f, group, "policy", s[i].policy, NULL) ||
              (of->windows && h5_set_string(f, group, "windows", of->windows, NULL)) ||
              h5_write(f, at, H5_TYPE_I64, 1, dim, of->number, NULL);
        write_column(f, i, "kl", "mean", s[i].kl ? s[i].kl : none, of->n);
        write_column(f, i, "score", "mean", s[i].score ? s[i].score : none, of->n);
        write_column(f, i, "score", "baseline", one, of->n);
        write_column(f, i, "score", "diff", none, of->n);
    }
    bad = bad || h5_make_group(f, "/metrics", NULL); /* what else a profile may hold is not looked at */
    ck_assert_int_eq(bad, 0);
    ck_assert_int_eq(h5_close(f, NULL), 0);
}

int allocators_make(struct allocators_ready *a, const char *name, const char *dir, int n_layer,
                    const char *const *params, struct err *e)
{
    struct allocator_setup setup = {.n_layer = n_layer, .model = "m", .model_sha256 = allocators_sha, .dir = dir};
    *a = (struct allocators_ready){.ops = allocator_find(name), .n_layer = n_layer};
    ck_assert_msg(a->ops != NULL, "no allocator %s", name);
    a->config = mem_new(1, a->ops->config_size + 1);
    param_defaults(a->ops->params, a->config);
    for (; params && *params; params++) {
        char text[256];
        const char *value[ALLOCATORS_MOST_LAYERS];
        int n = 0;
        snprintf(text, sizeof text, "%s", *params);
        char *key = strtok(text, "=");
        for (char *v; n < ALLOCATORS_MOST_LAYERS && (v = strtok(NULL, ","));)
            value[n++] = v;
        const struct param *p = param_find(a->ops->params, key);
        ck_assert_msg(p && param_set(p, a->config, value, n, e) == 0, "%s: %s", name, *params);
    }
    a->self = a->config;
    if ((a->ops->check && a->ops->check(a->config, &setup, e)) ||
        (a->ops->create && a->ops->create(&a->self, a->config, &setup, e))) {
        a->self = NULL;
        return -1;
    }
    return 0;
}

void allocators_fini(struct allocators_ready *a)
{
    if (a->ops->destroy)
        a->ops->destroy(a->self);
    param_fini(a->ops->params, a->config);
    mem_free(a->config);
}

/* n_row softmax rows of random logits over n entries; row i sees all but the entries behind it. */
static void random_rows(struct rng *r, float *row, int n_row, int n, double sharpness)
{
    for (int i = 0; i < n_row; i++) {
        double sum = 0;
        int seen = n - (n_row - 1 - i);
        for (int j = 0; j < n; j++) {
            row[i * n + j] = j < seen ? (float)exp(sharpness * rng_double(r)) : 0;
            sum += (double)row[i * n + j];
        }
        for (int j = 0; j < n; j++)
            row[i * n + j] = (float)((double)row[i * n + j] / sum);
    }
}

void allocators_observe(const struct allocators_ready *a, struct rng *r, int n_kv_head, int n,
                        struct allocators_stats *out)
{
    enum { GROUP = 2, D = 4 };
    int heads = GROUP * n_kv_head, want = a->ops->rows ? a->ops->rows(a->config) : 0, n_row = want < n ? want : n;
    struct policy_view v = {.n_layer = a->n_layer,
                            .n_head = heads,
                            .n_kv_head = n_kv_head,
                            .n_group = GROUP,
                            .head_dim = D,
                            .d_model = 8,
                            .n_seen = n,
                            .n_query = n,
                            .n_row = n_row};
    struct policy_head *head = mem_new((size_t)n_kv_head, sizeof *head);
    struct policy_attention *att = mem_new((size_t)heads, sizeof *att);
    size_t per_head = (size_t)(n_row + 3) * (size_t)n + (size_t)n * D * 2;
    float *room = mem_new((size_t)heads * per_head, sizeof *room);
    int32_t *pos = mem_new((size_t)n, sizeof *pos);
    *out = (struct allocators_stats){0};
    size_t n_stat = !a->ops->observe ? 0 : a->ops->n_stat ? a->ops->n_stat(a->config, &v) : 1;
    out->value = mem_new((size_t)a->n_layer * n_stat + 1, sizeof *out->value);
    for (int j = 0; j < n; j++)
        pos[j] = j;
    for (int l = 0; l < a->n_layer; l++) {
        double sharpness = 12 * rng_double(r);
        out->layer[l] = out->value + (size_t)l * n_stat;
        out->cosine[l] = 2 * rng_double(r) - 1;
        v.layer = l;
        for (int q = 0; q < heads; q++) {
            float *rows = room + (size_t)q * per_head, *off = rows + n_row * n, *diag = off + n, *entropy = diag + n,
                  *keys = entropy + n;
            random_rows(r, rows, n_row, n, sharpness);
            random_rows(r, off, 1, n, sharpness);
            for (int j = 0; j < n; j++) {
                diag[j] = (float)rng_double(r);
                entropy[j] = (float)rng_double(r);
            }
            for (int j = 0; j < 2 * n * D; j++)
                keys[j] = (float)(2 * rng_double(r) - 1);
            att[q] = (struct policy_attention){.off_diagonal = off, .diagonal = diag, .rows = rows, .entropy = entropy};
            head[q / GROUP] = (struct policy_head){.n_entry = n, .pos = pos, .keys = keys, .values = keys + n * D};
        }
        v.head = head;
        v.attention = att;
        struct err e = {0};
        if (a->ops->observe)
            ck_assert_msg(a->ops->observe(a->self, &v, out->value + (size_t)l * n_stat, &e) == 0, "%s: %s",
                          a->ops->name, e.msg);
        for (size_t i = 0; i < n_stat; i++)
            ck_assert_msg(isfinite(out->layer[l][i]), "%s: layer %d, statistic %zu", a->ops->name, l, i);
    }
    mem_free(head);
    mem_free(att);
    mem_free(room);
    mem_free(pos);
}

void allocators_stats_fini(struct allocators_stats *s)
{
    mem_free(s->value);
}

int allocators_spread(const struct allocators_ready *a, int n, int m, const struct allocators_stats *s, int *entries,
                      double *predicted, struct err *e)
{
    int available[ALLOCATORS_MOST_LAYERS];
    struct allocator_input in = {.n_layer = a->n_layer,
                                 .n_kv_head = 2,
                                 .n = n,
                                 .m = m,
                                 .total = (int64_t)m * a->n_layer,
                                 .available = available,
                                 .stat = s && a->ops->observe ? s->layer : NULL,
                                 .cosine = s ? s->cosine : NULL,
                                 .predicted = predicted};
    for (int l = 0; l < a->n_layer; l++)
        available[l] = n;
    return a->ops->allocate(a->self, &in, entries, e);
}
