#include "harness/report/pool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/experiment/axis.h"
#include "harness/report/aggregate.h"
#include "harness/report/message.h"
#include "harness/report/table.h"
#include "policies/allocator.h"

static int is_the_tasks(const struct axis *a)
{
    return a->dflt_is == AXIS_DEFAULT_OF_TASK;
}

/* Lines of one pool share all axes but the seed of the policy, beside the task and its length. What is each task's own
 * default counts only where a sweep varies it. */
static int is_shared(const struct axis *a)
{
    return a->shown != AXIS_SHOWN_POOLED && !is_the_tasks(a);
}

/* 1 when cells of one task differ in what is the task's own otherwise. */
static int sweeps_the_tasks(const struct aggregate *a)
{
    static const char *const none[] = {NULL};
    int sweeps = 0;
    for (int c = 1; c < a->n_cell && !sweeps; c++) {
        char *one = aggregate_axes_join(&a->cell[c - 1], none, is_the_tasks),
             *other = aggregate_axes_join(&a->cell[c], none, is_the_tasks);
        sweeps = strcmp(a->cell[c].task_key, a->cell[c - 1].task_key) == 0 && strcmp(one, other) != 0;
        mem_free(one);
        mem_free(other);
    }
    return sweeps;
}

static char *key_of(const struct agg_cell *c, int with_the_tasks)
{
    static const char *const keys[] = {"model", "template", "seed", NULL}, *const none[] = {NULL};
    struct str s = {0};
    char *shared = aggregate_axes_join(c, keys, is_shared), *own = aggregate_axes_join(c, none, is_the_tasks);
    str_addf(&s, "%s%s", shared, with_the_tasks ? own : "");
    mem_free(shared);
    mem_free(own);
    return str_take(&s);
}

static char *task_of(const struct agg_cell *c)
{
    char *form = aggregate_form(c);
    struct str s = {0};
    str_addf(&s, "%s\n%s", aggregate_text(c, "task"), form);
    mem_free(form);
    return str_take(&s);
}

/* Running sums over tasks: of means, and of squared distances from the mean to either end of the interval. */
struct sums {
    double mean, below, above;
    int n;
};

static void add(struct sums *s, double mean, double lo, double hi)
{
    if (!isfinite(mean))
        return;
    s->mean += mean;
    s->below += (mean - lo) * (mean - lo); /* NAN where the task has no interval: then there is none for all */
    s->above += (hi - mean) * (hi - mean);
    s->n++;
}

static void add_mean(struct sums *s, const struct stats_summary *of)
{
    add(s, of->mean, of->lo, of->hi);
}

static void add_diff(struct sums *s, const struct stats_paired *of)
{
    if (of->n)
        add(s, of->diff, of->lo, of->hi);
}

/* The place of a further metric; -1 where no row has it. */
static int extra_at(const struct aggregate *a, const char *name)
{
    int i = a->n_extra;
    while (i-- > 0 && strcmp(a->extra_name[i], name) != 0)
        ;
    return i;
}

static struct pool_value value_of(const struct sums *s)
{
    if (!s->n)
        return (struct pool_value){0, (double)NAN, (double)NAN, (double)NAN};
    double mean = s->mean / s->n;
    return (struct pool_value){s->n, mean, mean - sqrt(s->below) / s->n, mean + sqrt(s->above) / s->n};
}

/* All cells of one key: task by task, whole contexts resampled over the task's lengths, depths and policy seeds. */
static void pool_cells(const struct aggregate *a, char *const *task, const int *member, int n, struct pool_line *out)
{
    int *cell = mem_new((size_t)n + 1, sizeof *cell), *done = mem_new((size_t)n + 1, sizeof *done);
    struct sums score = {0}, nll = {0}, kl = {0}, score_diff = {0}, nll_diff = {0}, kl_diff = {0}, overlap = {0};
    int kept = extra_at(a, aggregate_kept_overlap);
    double keep = 0, share = 0, bytes = 0;
    for (int i = 0; i < n; i++) {
        int k = 0;
        for (int j = i; j < n; j++)
            if (!done[j] && strcmp(task[member[j]], task[member[i]]) == 0) {
                done[j] = 1;
                cell[k++] = member[j];
            }
        if (!k)
            continue;
        struct agg_cell c = a->cell[cell[0]];
        if (k > 1) /* a single cell is summarised already */
            aggregate_summarise(a, cell, k, &c);
        const struct stats_summary *s = c.summary;
        const struct stats_paired *d = c.diff;
        if (isfinite(s[COLUMN_SCORE].mean)) {
            out->n_sample += s[COLUMN_SCORE].n;
            keep += aggregate_mean(&c, COLUMN_KEEP);
            share += aggregate_mean(&c, COLUMN_CACHE_SHARE);
            bytes += aggregate_mean(&c, COLUMN_CACHE_BYTES);
        }
        add_mean(&score, &s[COLUMN_SCORE]);
        add_mean(&nll, &s[COLUMN_NLL]);
        add_mean(&kl, &s[COLUMN_KL]);
        add_diff(&score_diff, &d[COLUMN_SCORE]);
        add_diff(&nll_diff, &d[COLUMN_NLL]);
        add_diff(&kl_diff, &d[COLUMN_KL]);
        if (kept >= 0)
            add_mean(&overlap, &c.extra[kept]);
        if (k > 1)
            mem_free(c.extra);
    }
    out->cell = &a->cell[member[0]];
    out->score = value_of(&score);
    out->kl = value_of(&kl);
    out->nll = value_of(&nll);
    out->overlap = value_of(&overlap);
    out->score_diff = value_of(&score_diff);
    out->nll_diff = value_of(&nll_diff);
    out->kl_diff = value_of(&kl_diff);
    out->keep = score.n ? keep / score.n : (double)NAN;
    out->cache_share = score.n ? share / score.n : (double)NAN;
    out->bytes = score.n ? bytes / score.n : (double)NAN;
    mem_free(cell);
    mem_free(done);
}

int pool_lines(const struct aggregate *a, struct pool_line **out)
{
    int n = 0, with_the_tasks = sweeps_the_tasks(a), *member = mem_new((size_t)a->n_cell + 1, sizeof *member);
    char **key = mem_new((size_t)a->n_cell + 1, sizeof *key), **task = mem_new((size_t)a->n_cell + 1, sizeof *task);
    *out = mem_new((size_t)a->n_cell + 1, sizeof **out);
    for (int c = 0; c < a->n_cell; c++) {
        key[c] = key_of(&a->cell[c], with_the_tasks);
        task[c] = task_of(&a->cell[c]);
    }
    for (int c = 0; c < a->n_cell; c++) {
        int k = 0;
        for (int i = c; i < a->n_cell && key[c]; i++)
            if (key[i] && strcmp(key[i], key[c]) == 0) {
                member[k++] = i;
                if (i > c) {
                    mem_free(key[i]);
                    key[i] = NULL; /* taken */
                }
            }
        if (k)
            pool_cells(a, task, member, k, &(*out)[n++]);
    }
    for (int c = 0; c < a->n_cell; c++) {
        mem_free(key[c]);
        mem_free(task[c]);
    }
    mem_free(key);
    mem_free(task);
    mem_free(member);
    return n;
}

static void add_text(struct str *s, const struct json *v)
{
    char *text = json_print(v);
    str_add(s, json_string(v) ? json_string(v) : text);
    mem_free(text);
}

static int varies(const struct aggregate *a, const char *name, const struct json *param)
{
    for (int l = 0; l < a->n_line; l++) {
        const struct json *other = a->line[l].layer_budget;
        if (other && strcmp(json_key(other), name) == 0 && !json_same(json_get(other, json_key(param)), param))
            return 1;
    }
    return 0;
}

/* The text of a parameter's default; NULL when there is none. */
static const char *default_of(const char *allocator, const char *name)
{
    const struct allocator_ops *ops = allocator_find(allocator);
    const struct param *p = ops ? ops->params : NULL;
    while (p && p->name && strcmp(p->name, name) != 0)
        p++;
    return p && p->name ? p->dflt : NULL;
}

/* Of a path the last folder and the file: a table has no room for more. */
static const char *short_path(const char *text)
{
    const char *slash = strrchr(text, '/');
    if (!slash || text[0] == '/')
        return text;
    while (slash > text && slash[-1] != '/')
        slash--;
    return slash;
}

static void add_param(const char *allocator, const struct json *p, struct str *s)
{
    struct str v = {0};
    const char *dflt = default_of(allocator, json_key(p));
    add_text(&v, p);
    if (!dflt || strcmp(str_c(&v), dflt) != 0)
        str_addf(s, " %s=%s", json_key(p), short_path(str_c(&v)));
    str_free(&v);
}

void pool_layer_budget(const struct aggregate *a, const struct agg_cell *c, const char *without, struct str *s)
{
    const struct json *choice = c->layer_budget;
    if (!choice) {
        str_add(s, aggregate_text(c, "layer_budget"));
        return;
    }
    str_add(s, json_key(choice));
    for (const struct json *p = json_first(choice); p; p = json_next(p))
        if ((!without || strcmp(json_key(p), without) != 0) && varies(a, json_key(choice), p))
            add_param(json_key(choice), p, s);
}

void pool_label(const struct aggregate *a, const struct agg_cell *c, struct str *out)
{
    struct str modes = {0};
    aggregate_policy_label(a, c, out);
    if (strcmp(aggregate_text(c, "layer_budget"), "uniform") != 0) {
        str_add(out, ", ");
        pool_layer_budget(a, c, NULL, out);
    }
    aggregate_axes_notes(a, c, 1, ": ", &modes);
    if (modes.n)
        str_addf(out, ", %s", modes.p);
    str_free(&modes);
}

static void add_value(struct table *t, const struct pool_value *v, const char *format)
{
    table_add_ends(t, v->n ? v->mean : (double)NAN, v->lo, v->hi, format);
}

static void add_line(const struct aggregate *a, const struct pool_line *p, struct table *t)
{
    struct str s = {0};
    aggregate_policy_label(a, p->cell, &s);
    table_add(t, &s);
    pool_layer_budget(a, p->cell, NULL, &s);
    table_add(t, &s);
    table_add_value(t, p->keep, "%.3f");
    table_add_value(t, p->cache_share, "%.3f");
    str_addf(&s, "%d", p->score.n);
    table_add(t, &s);
    str_addf(&s, "%d", p->n_sample);
    table_add(t, &s);
    add_value(t, &p->score, "%.3f");
    add_value(t, &p->score_diff, "%+.3f");
    add_value(t, &p->nll, "%.3g");
    add_value(t, &p->nll_diff, "%+.3g");
    add_value(t, &p->kl, "%.3g");
    add_value(t, &p->kl_diff, "%+.3g");
    add_value(t, &p->overlap, "%.3f");
    aggregate_axes_notes(a, p->cell, 1, ": ", &s);
    table_add(t, &s);
}

/* From the right to the left, so that columns before it keep their places. */
static void drop_if_empty(struct table *t, const char *const *head, int n, const char *name)
{
    for (int k = 0; k < n; k++)
        if (strcmp(head[k], name) == 0 && table_column_is_empty(t, k, "n/a"))
            table_drop_column(t, k);
}

int pool_markdown(const char *dir, struct quote *out, struct err *e)
{
    static const char *const heads[] = {
        "policy", "layer budget",      "kept", "of bytes",         "tasks",   "n",   "score", "difference",
        "nll",    "difference of nll", "kl",   "difference of kl", "overlap", "also"};
    enum { N_HEAD = sizeof heads / sizeof *heads };
    static const char *const may_lack[] = {"overlap", "difference of nll", "nll", "of bytes"}; /* or rows are older */
    struct aggregate a;
    struct table t = {.n_column = N_HEAD, .left = 2};
    struct pool_line *p;
    struct message_list told = {0};
    if (aggregate_load(dir, &a, e))
        return -1;
    int n = pool_lines(&a, &p);
    for (int k = 0; k < N_HEAD; k++)
        table_add_text(&t, heads[k]);
    for (int i = 0; i < n; i++)
        add_line(&a, &p[i], &t);
    for (size_t i = 0; i < sizeof may_lack / sizeof *may_lack; i++)
        drop_if_empty(&t, heads, N_HEAD, may_lack[i]);
    table_write(&t, out);
    quote_add(
        out,
        "\nMeans over tasks, each weighing the same, whatever its lengths and depths; differences to %s on the "
        "same samples. [ ]: 95 %% "
        "intervals of the tasks put together (MOVER; table.md says how a task has its own); n/a: a task has "
        "none; exact: by definition.%s\n",
        a.baseline ? a.baseline : "the full cache",
        extra_at(&a, aggregate_kept_overlap) < 0
            ? ""
            : " overlap: what a line and its baseline both keep, as a share of what either keeps (kept_overlap).");
    aggregate_tell(&a, &told);
    message_page(&told, out);
    message_list_free(&told);
    table_free(&t);
    mem_free(p);
    aggregate_free(&a);
    return 0;
}
