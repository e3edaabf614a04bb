#include "harness/report/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"

/* What lines of one study have in common: all but the layer. */
static void study_key(const struct agg_cell *c, struct str *out)
{
    str_addf(out, "%s%d", c->study_key,
             json_bool(json_get(json_get(json_get(c->axes, "layer_budget"), "single"), "only"), 0));
}

static int by_layer(const void *x, const void *y)
{
    const struct agg_cell *const *a = x, *const *b = y;
    int i = 0, j = 0;
    aggregate_single(*a, &i);
    aggregate_single(*b, &j);
    return i - j;
}

static void add_study(const struct agg_cell **line, int n, struct study *s)
{
    s->n = n;
    s->line = mem_new((size_t)n, sizeof *s->line);
    s->layer = mem_new((size_t)n, sizeof *s->layer);
    memcpy(s->line, line, (size_t)n * sizeof *line);
    qsort(s->line, (size_t)n, sizeof *s->line, by_layer);
    s->only = json_bool(json_get(json_get(json_get(line[0]->axes, "layer_budget"), "single"), "only"), 0);
    for (int i = 0; i < n; i++)
        aggregate_single(s->line[i], &s->layer[i]);
}

void study_find(const struct aggregate *a, struct study_list *out)
{
    const struct agg_cell **line = mem_new((size_t)a->n_line + 1, sizeof *line);
    struct str *key = mem_new((size_t)a->n_line + 1, sizeof *key);
    int layer;
    *out = (struct study_list){mem_new((size_t)a->n_line + 1, sizeof *out->v), 0};
    for (int l = 0; l < a->n_line; l++)
        if (aggregate_single(&a->line[l], &layer))
            study_key(&a->line[l], &key[l]);
    for (int l = 0; l < a->n_line; l++) {
        int n = 0, opens = key[l].n > 0;
        for (int k = 0; k < l && opens; k++)
            opens = strcmp(str_c(&key[k]), key[l].p) != 0;
        for (int k = l; k < a->n_line && opens; k++)
            if (strcmp(str_c(&key[k]), key[l].p) == 0)
                line[n++] = &a->line[k];
        if (n)
            add_study(line, n, &out->v[out->n++]);
    }
    for (int l = 0; l < a->n_line; l++)
        str_free(&key[l]);
    mem_free(key);
    mem_free(line);
}

void study_list_fini(struct study_list *s)
{
    for (int i = 0; i < s->n; i++) {
        mem_free(s->v[i].line);
        mem_free(s->v[i].layer);
    }
    mem_free(s->v);
    *s = (struct study_list){0};
}

double study_level(const struct study *s)
{
    const double near = 0.01; /* samples are of about, not exactly the same length, and a layer may lack some */
    double level = aggregate_mean(s->line[0], COLUMN_LEVEL);
    for (int i = 1; i < s->n; i++)
        if (fabs(aggregate_mean(s->line[i], COLUMN_LEVEL) - level) > near * level)
            return (double)NAN;
    return level;
}

void study_add_budget(const struct agg_cell *line, struct str *out)
{
    const char *key = aggregate_text(line, "budget_key"); /* of tokens or bytes */
    if (!*key) {
        str_addf(out, "keep %.3g", aggregate_mean(line, COLUMN_LEVEL));
        return;
    }
    str_addf(out, "%s ", key);
    aggregate_axis(line, "budget", out);
}

static int by_int64(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

/* The contexts of all of its rows, each once, in the order of their hashes. */
static int find_contexts(const struct aggregate *a, int64_t **out)
{
    int n = 0;
    int64_t *v = mem_new((size_t)a->n_row + 1, sizeof *v);
    for (int i = 0; i < a->n_row; i++)
        v[i] = a->row[i].cluster;
    if (a->n_row)
        qsort(v, (size_t)a->n_row, sizeof *v, by_int64);
    for (int i = 0; i < a->n_row; i++)
        if (i == 0 || v[i] != v[i - 1])
            v[n++] = v[i];
    *out = v;
    return n;
}

/* One layer: the mean of every context over its rows; NAN where there is none. */
static void take_layer(const struct aggregate *a, const struct agg_cell *line, enum column_id m, const int64_t *context,
                       int n, double *x, int *count)
{
    memset(x, 0, (size_t)n * sizeof *x);
    memset(count, 0, (size_t)n * sizeof *count);
    for (int c = 0; c < a->n_cell; c++) {
        if (strcmp(a->cell[c].line_key, line->line_key) != 0)
            continue;
        for (int i = 0; i < a->cell[c].n_row; i++) {
            const struct agg_row *r = &a->row[a->cell[c].first + i];
            if (isnan(r->value[m]))
                continue;
            const int64_t *at = bsearch(&r->cluster, context, (size_t)n, sizeof *context, by_int64);
            x[at - context] += r->value[m];
            count[at - context]++;
        }
    }
    for (int i = 0; i < n; i++)
        x[i] = count[i] ? x[i] / count[i] : (double)NAN;
}

struct study_agreement study_agree(const struct aggregate *a, const struct study *s, enum column_id m)
{
    int64_t *context;
    int n = find_contexts(a, &context);
    double *x = mem_new((size_t)s->n * (size_t)n + 1, sizeof *x);
    int *count = mem_new((size_t)n + 1, sizeof *count);
    for (int i = 0; i < s->n; i++)
        take_layer(a, s->line[i], m, context, n, x + (size_t)i * (size_t)n, count);
    struct study_agreement out = {permutation_layers(x, s->n, n), permutation_split_half(x, s->n, n),
                                  permutation_split_half_rank(x, s->n, n)};
    mem_free(context);
    mem_free(x);
    mem_free(count);
    return out;
}
