#include "harness/pool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/aggregate.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/table.h"
#include "policies/allocator.h"

static const double NORMAL_95 = 1.959963984540054;

struct pooled {
    const struct agg_cell *cell; /* its first task's line */
    char *key;
    int n_task, n_sample;        /* that have a score */
    double sum[2], var[2];       /* of score and kl */
    double diff_sum[2], diff_var[2];
    int n_diff[2], n_kl;
    double keep;
};

static const enum aggregate_measure measures[2] = {AGG_SCORE, AGG_KL};

/* Everything but the task. */
static char *key_of(const struct agg_cell *c)
{
    static const char *const axes[] = {"model",   "template", "seed",   "policy",    "params",       "budget",      "layer_budget", "head_budget",
                                       "protect", "prefill",  "decode", "positions", "weight_dtype", "prune_after", "max_new_tokens"};
    struct str s = {0};
    for (size_t k = 0; k < sizeof axes / sizeof *axes; k++) {
        char *v = json_print(json_get(c->axes, axes[k]));
        str_addf(&s, "%s\n", v);
        mem_free(v);
    }
    return str_take(&s);
}

static void add_text(struct str *s, const struct json *v)
{
    char *text = json_print(v);
    str_add(s, json_string(v) ? json_string(v) : text);
    mem_free(text);
}

/* The object {"mga": {...}}'s only member; NULL for a bare name. */
static const struct json *choice_of(const struct agg_cell *c)
{
    const struct json *v = json_get(c->axes, "layer_budget");
    return json_is_object(v) ? json_first(v) : NULL;
}

static int varies(const struct aggregate *a, const char *name, const struct json *param)
{
    char *mine = json_print(param);
    int differs = 0;
    for (int l = 0; l < a->n_line && !differs; l++) {
        const struct json *other = choice_of(&a->line[l]);
        if (!other || strcmp(json_key(other), name) != 0)
            continue;
        char *its = json_print(json_get(other, json_key(param)));
        differs = strcmp(mine, its) != 0;
        mem_free(its);
    }
    mem_free(mine);
    return differs;
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

static void add_layer_budget(const struct aggregate *a, const struct agg_cell *c, struct str *s)
{
    const struct json *choice = choice_of(c);
    if (!choice) {
        str_add(s, aggregate_text(c, "layer_budget"));
        return;
    }
    str_add(s, json_key(choice));
    for (const struct json *p = json_first(choice); p; p = json_next(p))
        if (varies(a, json_key(choice), p))
            add_param(json_key(choice), p, s);
}

static void add_modes(const struct agg_cell *c, struct str *s)
{
    static const char *const modes[][2] = {{"protect", ""}, {"prefill", "full"}, {"prune_after", "all_but_last"}, {"decode", "frozen"},
                                           {"positions", "original"}};
    for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
        struct str v = {0};
        aggregate_axis(c, modes[k][0], &v);
        if (v.n && strcmp(v.p, modes[k][1]) != 0)
            str_addf(s, "%s%s: %s", s->n ? "; " : "", modes[k][0], v.p);
        str_free(&v);
    }
}

static void gather(const struct agg_cell *c, struct pooled *p)
{
    p->n_task += isfinite(c->summary[AGG_SCORE].mean);
    p->n_sample += isfinite(c->summary[AGG_SCORE].mean) ? c->summary[AGG_SCORE].n : 0;
    p->keep += isfinite(c->keep) ? c->keep : 0;
    for (int m = 0; m < 2; m++) {
        const struct stats_summary *s = &c->summary[measures[m]];
        const struct stats_paired *d = &c->diff[measures[m]];
        if (isfinite(s->mean)) {
            p->sum[m] += s->mean;
            p->var[m] += s->se * s->se; /* NAN for one sample: then ± is left out */
            p->n_kl += m;
        }
        if (d->n && isfinite(d->diff)) {
            p->diff_sum[m] += d->diff;
            p->diff_var[m] += d->se * d->se;
            p->n_diff[m]++;
        }
    }
}

/* mean ± half: formats as "%.3f", the half's without a sign */
static void add_number(struct table *t, double sum, double var, int n, const char *format, const char *half)
{
    struct str s = {0};
    char text[64];
    if (!n) {
        table_add_text(t, "n/a");
        return;
    }
    snprintf(text, sizeof text, format, sum / n);
    str_add(&s, text);
    if (isfinite(var)) {
        snprintf(text, sizeof text, half, NORMAL_95 * sqrt(var) / n);
        str_addf(&s, " ± %s", text);
    }
    table_add(t, &s);
}

static void add_line(const struct aggregate *a, const struct pooled *p, struct table *t)
{
    struct str s = {0};
    aggregate_policy_label(a, p->cell, &s);
    table_add(t, &s);
    add_layer_budget(a, p->cell, &s);
    table_add(t, &s);
    if (p->n_task)
        str_addf(&s, "%.3f", p->keep / p->n_task);
    else
        str_add(&s, "n/a");
    table_add(t, &s);
    str_addf(&s, "%d", p->n_task);
    table_add(t, &s);
    str_addf(&s, "%d", p->n_sample);
    table_add(t, &s);
    add_number(t, p->sum[0], p->var[0], p->n_task, "%.3f", "%.3f");
    add_number(t, p->diff_sum[0], p->diff_var[0], p->n_diff[0], "%+.3f", "%.3f");
    add_number(t, p->sum[1], p->var[1], p->n_kl, "%.3g", "%.2g");
    add_number(t, p->diff_sum[1], p->diff_var[1], p->n_diff[1], "%+.3g", "%.2g");
    add_modes(p->cell, &s);
    table_add(t, &s);
}

int pool_markdown(const char *dir, struct str *out, struct err *e)
{
    static const char *const heads[] = {"policy", "layer budget", "kept", "tasks", "n", "score", "difference", "kl", "difference of kl", "also"};
    enum { N_HEAD = sizeof heads / sizeof *heads };
    struct aggregate a;
    struct table t = {.n_column = N_HEAD, .left = 2};
    int n = 0;
    if (aggregate_load(dir, &a, e))
        return -1;
    struct pooled *p = mem_new((size_t)a.n_line + 1, sizeof *p);
    for (int l = 0; l < a.n_line; l++) {
        char *key = key_of(&a.line[l]);
        int i = 0;
        while (i < n && strcmp(p[i].key, key) != 0)
            i++;
        if (i == n) {
            p[n++] = (struct pooled){.cell = &a.line[l], .key = key};
            key = NULL;
        }
        gather(&a.line[l], &p[i]);
        mem_free(key);
    }
    for (int k = 0; k < N_HEAD; k++)
        table_add_text(&t, heads[k]);
    for (int i = 0; i < n; i++) {
        add_line(&a, &p[i], &t);
        mem_free(p[i].key);
    }
    table_markdown(&t, out);
    str_addf(out, "\nMeans over tasks, each weighing the same; differences to %s on the same samples; ±: 1.96 SE.\n",
             a.baseline ? a.baseline : "the full cache");
    table_free(&t);
    mem_free(p);
    aggregate_free(&a);
    return 0;
}
