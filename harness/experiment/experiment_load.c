#include "harness/experiment/experiment.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/data_dir.h"
#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/rng.h"
#include "harness/experiment/axes.h"
#include "harness/experiment/experiment_find.h"
#include "harness/experiment/experiment_habits.h"
#include "harness/experiment/published.h"

const char *const experiment_prune_after_names[] = {"context", "question", "all_but_last", "prompt", NULL};

static const char *const top_keys[] = {"schema",       "experiment", "model",   "tasks",       "template", "samples",
                                       "first_sample", "seed",       "measure", "baseline",    "sweep",    "plugin",
                                       "record",       "include",    "report",  "relative_to", "profile",  NULL};

enum { MAX_ERROR = 100 }; /* that are told */

/* One line, whatever the file has put into it. */
static void add_error(struct str *errors, const char *text)
{
    quote_text(QUOTE_LINE, text, errors);
    str_addc(errors, '\n');
}

void experiment_complain(struct load *l, const struct conf *at, int line, const char *fmt, ...)
{
    struct str s = {0};
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (line > 0)
        str_addf(&s, "%s:%d: ", at && at->file ? at->file : l->x->path, line);
    str_add(&s, text);
    if (l->errors && l->n_error < MAX_ERROR)
        add_error(l->errors, s.p);
    if (l->n_error++ == 0)
        err_set(l->first, ERR_CONFIG, "%s", s.p);
    str_free(&s);
}

const char *experiment_hint(const char *name, const char *const *known, int n)
{
    return str_did_you_mean(name, known, n);
}

int64_t experiment_int(struct load *l, const struct conf *c, const char *key, int64_t min, int64_t max, int64_t dflt)
{
    int64_t v;
    if (c->kind == CONF_SCALAR && str_to_int64(c->text, &v) == 0 && v >= min && v <= max)
        return v;
    experiment_complain(l, c, c->line, "%s: expected a whole number in [%lld, %lld], found %s%s%s", key, (long long)min,
                        (long long)max, c->kind == CONF_SCALAR ? "'" : "",
                        c->kind == CONF_SCALAR ? c->text : "a list or map", c->kind == CONF_SCALAR ? "'" : "");
    return dflt;
}

/* The axis that a key nearly names and that has the word behind it for a value: `window: prune` means windows, though
 * there are parameters called window. NULL: none. */
static const char *near_axis(const char *key, const struct conf *value)
{
    for (int i = 0; value->kind == CONF_SCALAR && i < axes_count(); i++) {
        const struct axis *a = axes_at(i);
        for (int w = 0; a->words && a->words[w]; w++)
            if (*a->words[w] && strcmp(value->text, a->words[w]) == 0 && str_nearest(key, &a->key, 1))
                return a->key;
    }
    return NULL;
}

void experiment_check_keys(struct load *l, const struct conf *map, int top)
{
    const char *known[64];
    int n = 0;
    for (int i = 0; top && top_keys[i]; i++)
        known[n++] = top_keys[i];
    for (int i = 0; i < axes_count(); i++)
        for (int k = 0; axes_key(i, k) && n < 64; k++)
            known[n++] = axes_key(i, k);
    for (int i = 0; i < map->n; i++) {
        int found = 0;
        struct str hint = {0};
        for (int k = 0; k < n; k++)
            found |= strcmp(map->key[i], known[k]) == 0;
        if (!found) {
            const char *meant = near_axis(map->key[i], map->item[i]);
            if (!meant)
                experiment_habits_key(map, i, top, &hint);
            /* of a merged map, every key may stand in another file */
            experiment_complain(l, map->item[i], map->key_line[i], "key '%s' unknown%s", map->key[i],
                                meant    ? experiment_hint(map->key[i], &meant, 1)
                                : hint.n ? hint.p
                                         : experiment_hint(map->key[i], known, n));
        }
        str_free(&hint);
    }
}

static const char *scalar(struct load *l, const char *key, const char *dflt)
{
    const struct conf *c = conf_get(l->root, key);
    if (!c)
        return dflt;
    if (c->kind == CONF_SCALAR)
        return c->text;
    experiment_complain(l, c, c->line, "%s: expected one value", key);
    return dflt;
}

static void read_scalars(struct load *l, int limit)
{
    struct experiment *x = l->x;
    const struct conf *schema = conf_get(l->root, "schema"), *name = conf_get(l->root, "experiment"),
                      *samples = conf_get(l->root, "samples"), *seed = conf_get(l->root, "seed"),
                      *first = conf_get(l->root, "first_sample");
    if (!schema)
        experiment_complain(l, l->root, l->root->line, "schema is missing: write schema: 1");
    else if (schema->kind != CONF_SCALAR || strcmp(schema->text, "1") != 0)
        experiment_complain(l, schema, schema->line, "schema: this program reads schema 1");
    x->name = mem_strdup(scalar(l, "experiment", ""));
    if (!*x->name)
        experiment_complain(l, name ? name : l->root, name ? name->line : l->root->line,
                            "experiment: a name is missing");
    else if (strpbrk(x->name, "/,\"\n") || x->name[0] == '.')
        experiment_complain(l, name, name->line, "experiment '%s': no '/', comma, quote or leading dot", x->name);
    x->samples = samples ? (int)experiment_int(l, samples, "samples", 1, 1000000000, 1) : 0;
    if (!samples)
        experiment_complain(l, l->root, l->root->line, "samples is missing");
    if (limit > 0 && x->samples > limit)
        x->samples = limit;
    x->first_sample = first ? (int)experiment_int(l, first, "first_sample", 0, 1000000000, 1) : 0;
    x->seed = seed ? (uint64_t)experiment_int(l, seed, "seed", 0, INT64_MAX, 1) : 1;
    experiment_template(l);
    const struct conf *report = conf_get(l->root, "report");
    const struct conf *beside = conf_get(report, "beside");
    struct err e = {0};
    if (report && report->n > (beside != NULL))
        experiment_complain(l, report, report->line, "report: only beside is known in this version");
    if (beside && published_check(beside, x->dir, &e))
        experiment_complain(l, report, 0, "%s", e.msg);
}

static void read_measure(struct load *l)
{
    static const char *const known[] = {"score", "nll", "kl"};
    const struct conf *c = conf_get(l->root, "measure");
    struct conf one_list = {.kind = CONF_LIST, .n = 1};
    struct conf *one[1];
    l->x->measure = c ? 0 : MEASURE_SCORE;
    if (c && c->kind == CONF_SCALAR) {
        memcpy(&one[0], &c, sizeof one[0]);
        one_list.item = one;
        one_list.file = c->file;
        c = &one_list;
    }
    if (c && c->n == 0)
        experiment_complain(l, c, c->line, "measure: an empty list; score, nll and kl are known");
    for (int i = 0; c && i < c->n; i++) {
        unsigned bit = 0;
        for (unsigned k = 0; k < 3; k++)
            if (c->item[i]->kind == CONF_SCALAR && strcmp(c->item[i]->text, known[k]) == 0)
                bit = 1u << k;
        if (!bit)
            experiment_complain(l, c->item[i], c->item[i]->line, "measure: score, nll and kl are known");
        l->x->measure |= bit;
    }
}

static void read_record(struct load *l)
{
    const struct conf *c = conf_get(l->root, "record"), *plugin = conf_get(l->root, "plugin");
    if (plugin && !(plugin->kind == CONF_LIST && plugin->n == 0))
        experiment_complain(l, plugin, plugin->line, "plugin: policies from outside are not available in this version");
    if (c && c->kind != CONF_MAP) {
        experiment_complain(l, c, c->line, "record: expected {kept: true, scores: false}");
        return;
    }
    for (int i = 0; c && i < c->n; i++) {
        int on = c->item[i]->kind == CONF_SCALAR && strcmp(c->item[i]->text, "true") == 0;
        int off = c->item[i]->kind == CONF_SCALAR && strcmp(c->item[i]->text, "false") == 0;
        if (!on && !off)
            experiment_complain(l, c->item[i], c->item[i]->line, "record: %s: true or false is expected, found %s%s%s",
                                c->key[i], c->item[i]->kind == CONF_SCALAR ? "'" : "",
                                c->item[i]->kind == CONF_SCALAR ? c->item[i]->text : "a list or map",
                                c->item[i]->kind == CONF_SCALAR ? "'" : "");
        else if (strcmp(c->key[i], "kept") == 0)
            l->x->record_kept = on;
        else if (strcmp(c->key[i], "scores") == 0 && on)
            experiment_complain(l, c->item[i], c->item[i]->line, "record: scores is not available in this version");
        else if (strcmp(c->key[i], "scores") != 0)
            experiment_complain(l, c, c->key_line[i], "record: key '%s' unknown; kept and scores are known", c->key[i]);
    }
}

static void add_model(struct load *l, const struct conf *c)
{
    struct experiment *x = l->x;
    struct exp_model m = {.line = c->line};
    struct err e = {0};
    if (c->kind != CONF_SCALAR) {
        experiment_complain(l, c, c->line, "model: expected a path");
        return;
    }
    m.path = data_dir_model(x->dir, c->text);
    m.name = mem_strdup(fs_basename(c->text));
    size_t n = strlen(m.name);
    if (n > 3 && strcmp(m.name + n - 3, ".h5") == 0)
        m.name[n - 3] = '\0';
    struct str hint = {0};
    experiment_habits_model(fs_exists(m.path) ? m.path : c->text, &hint);
    if (!fs_exists(m.path))
        experiment_complain(l, c, c->line, "model: no file '%s'%s", m.path, str_c(&hint));
    else if (model_open_hparams(m.path, &m.hp, m.sha256, &e))
        experiment_complain(l, c, c->line, "model: %s%s", e.msg, str_c(&hint));
    str_free(&hint);
    for (int i = 0; i < x->n_model; i++)
        if (strcmp(x->model[i].name, m.name) == 0)
            experiment_complain(l, c, c->line, "model: two models are named '%s', and rows could not tell them apart",
                                m.name);
    size_t cap = (size_t)x->n_model;
    mem_grow(&x->model, &cap, (size_t)x->n_model + 1, sizeof *x->model);
    x->model[x->n_model++] = m;
}

static void read_models(struct load *l)
{
    const struct conf *c = conf_get(l->root, "model");
    if (!c) {
        experiment_complain(l, l->root, l->root->line, "model is missing: a path, or a list of paths");
        return;
    }
    if (c->kind == CONF_LIST && c->n == 0)
        experiment_complain(l, c, c->line, "model: the list is empty");
    if (c->kind == CONF_LIST)
        for (int i = 0; i < c->n; i++)
            add_model(l, c->item[i]);
    else
        add_model(l, c);
}

static void read_metrics(struct load *l, const struct conf *at, struct exp_task *t)
{
    const char *names = t->ops->metric_of ? t->ops->metric_of(t->config) : t->ops->metric;
    const char *known[64];
    int n_known = 0;
    size_t cap = 0;
    for (; n_known < metric_count() && n_known < 64; n_known++)
        known[n_known] = metric_at(n_known)->name;
    for (const char *p = names; *p;) {
        while (*p == ' ' || *p == ',')
            p++;
        size_t n = strcspn(p, " ,");
        if (!n)
            break;
        char *name = mem_strndup(p, n);
        const struct metric_ops *m = metric_find(name);
        if (!m) {
            experiment_complain(l, at, t->line, "metric '%s' unknown%s (see: depthkv list metrics)", name,
                                experiment_hint(name, known, n_known));
        } else {
            mem_grow(&t->metric, &cap, (size_t)t->n_metric + 1, sizeof *t->metric);
            t->metric[t->n_metric++] = m;
        }
        mem_free(name);
        p += n;
    }
}

static void read_tasks(struct load *l)
{
    struct experiment *x = l->x;
    const struct conf *c = conf_get(l->root, "tasks");
    const char *known[64];
    int n_known = 0;
    struct choices all = {0};
    for (; n_known < dataset_count() && n_known < 64; n_known++)
        known[n_known] = dataset_at(n_known)->name;
    if (!c) {
        experiment_complain(l, l->root, l->root->line, "tasks is missing");
        return;
    }
    experiment_choices(l, c, "task", experiment_find_dataset, known, n_known, NULL, &all);
    x->task = mem_new((size_t)all.n + 1, sizeof *x->task);
    for (int i = 0; i < all.n; i++) {
        int again = 0;
        for (int k = 0; k < x->n_task; k++)
            again |= x->task[k].ops == all.v[i].noun.ops && strcmp(x->task[k].params, all.v[i].params) == 0;
        if (again)
            continue; /* equal tasks merge, as equal cells do */
        struct exp_task *t = &x->task[x->n_task++];
        *t = (struct exp_task){
            .ops = all.v[i].noun.ops, .config = all.v[i].config, .params = all.v[i].params, .line = all.v[i].line};
        all.v[i].config = NULL; /* moved */
        all.v[i].params = NULL;
        t->label = mem_strdup(t->ops->label ? t->ops->label(t->config) : t->ops->name);
        const struct param *length = param_find(t->ops->params, "length");
        if (length) {
            int64_t v;
            memcpy(&v, (const char *)t->config + length->offset, sizeof v);
            t->length = (int)v;
        }
        read_metrics(l, c, t);
        all.v[i].noun.params = NULL;
    }
    experiment_choices_fini(&all);
}

/* `include`: defaults that this file overrides; a chain of at most eight files, so that a cycle ends. */
static struct conf *read_included(struct load *l, struct conf *c, const char *dir, int depth)
{
    const struct conf *inc = conf_get(c, "include");
    struct err e = {0};
    if (!inc)
        return c;
    if (inc->kind != CONF_SCALAR || depth > 8) {
        experiment_complain(l, inc, inc->line,
                            depth > 8 ? "include: a cycle, or more than 8 files deep" : "include: expected a path");
        return c;
    }
    char *path = fs_join(dir, inc->text), *base_dir = fs_dirname(path);
    struct conf *base = conf_read(path, &e);
    if (!base) {
        experiment_complain(l, inc, inc->line, "include: %s", e.msg);
    } else if (base->kind != CONF_MAP) {
        experiment_complain(l, base, base->line, "included by %s:%d: expected a map of keys at the top", inc->file,
                            inc->line);
        conf_free(base);
    } else {
        base = read_included(l, base, base_dir, depth + 1);
        struct conf *merged = conf_merge(base, c);
        conf_free(base);
        conf_free(c);
        c = merged;
    }
    mem_free(path);
    mem_free(base_dir);
    return c;
}

static void apply_set(struct load *l, const char *const *set, int n_set)
{
    for (int i = 0; i < n_set; i++) {
        const char *eq = strchr(set[i], '=');
        struct err e = {0};
        char *key = eq ? mem_strndup(set[i], (size_t)(eq - set[i])) : NULL;
        struct str name = {0};
        str_addf(&name, "--set %s", eq ? key : set[i]);
        struct conf *v = eq ? conf_parse(name.p, eq + 1, strlen(eq + 1), &e) : NULL;
        if (!eq)
            experiment_complain(l, l->root, 0, "--set %s: expected KEY=VALUE", set[i]);
        else if (!v || conf_set(l->root, key, v, &e))
            experiment_complain(l, l->root, 0, "%s", e.msg);
        conf_free(v);
        mem_free(key);
        str_free(&name);
    }
}

/* `profile`: what layer budgets read that name none of their own (experiment_choice.c). */
static void check_profile(struct load *l)
{
    const struct conf *c = conf_get(l->root, "profile");
    if (c && (c->kind != CONF_SCALAR || !*c->text))
        experiment_complain(l, c, c->line,
                            "profile: expected one path of a profile.h5; several are an axis: write them at the layer "
                            "budgets that read them");
}

/* `relative_to`: the folder that paths start from, where it is not the file's own. */
static void read_relative_to(struct load *l)
{
    const struct conf *c = conf_get(l->root, "relative_to");
    if (!c)
        return;
    char *dir = c->kind == CONF_SCALAR ? fs_join(l->x->dir, c->text) : NULL;
    if (!dir || !fs_is_dir(dir))
        experiment_complain(l, c, c->line, dir ? "relative_to: no folder '%s'" : "relative_to: expected a path", dir);
    mem_free(l->x->dir);
    l->x->dir = dir ? dir : mem_strdup(".");
}

/* One key a line, defaults filled in; loads again to the same cells from the same folder, which is for the writer of
 * the text to say: see experiment_print. */
static void write_resolved(struct load *l)
{
    struct str *out = &l->x->resolved;
    if (l->x->question && *l->x->question) {
        str_add(out, "# ");
        quote_text(QUOTE_LINE, l->x->question, out);
        str_add(out, "\n");
    }
    for (int i = 0; i < l->root->n; i++) {
        const char *key = l->root->key[i];
        if (strcmp(key, "include") == 0 || strcmp(key, "relative_to") == 0 || !experiment_top_is_used(l, key))
            continue;
        if (strcmp(key, "samples") == 0) {
            str_addf(out, "samples: %d\n", l->x->samples);
            continue;
        }
        if (strcmp(key, "sweep") == 0 && l->root->item[i]->kind == CONF_LIST) {
            str_add(out, "sweep:\n");
            for (int b = 0; b < l->root->item[i]->n; b++) {
                str_add(out, "  - ");
                conf_print(l->root->item[i]->item[b], out);
                str_addc(out, '\n');
            }
            continue;
        }
        str_addf(out, "%s: ", key);
        conf_print(l->root->item[i], out);
        str_addc(out, '\n');
    }
    if (!conf_get(l->root, "template"))
        str_addf(out, "template: %s\n", l->x->template_name);
    if (!conf_get(l->root, "seed"))
        str_addf(out, "seed: %llu\n", (unsigned long long)l->x->seed);
    if (!conf_get(l->root, "measure"))
        str_add(out, "measure: [score]\n");
    if (!conf_get(l->root, "baseline"))
        str_addf(out, "baseline: %s\n", l->x->baseline);
    for (int i = 0; i < axes_count(); i++)
        if (axes_at(i)->dflt && !(conf_get(l->root, axes_at(i)->key) && experiment_top_is_used(l, axes_at(i)->key)))
            str_addf(out, "%s: %s\n", axes_at(i)->key, axes_at(i)->dflt);
}

static int load(struct load *l, const char *const *set, int n_set, int limit)
{
    l->root = read_included(l, l->root, l->x->dir, 0);
    apply_set(l, set, n_set);
    if (l->root->kind != CONF_MAP) {
        experiment_complain(l, l->root, l->root->line, "expected a map of keys at the top");
    } else {
        read_relative_to(l);
        check_profile(l);
        const struct conf *sweep = conf_get(l->root, "sweep");
        experiment_check_keys(l, l->root, 1);
        for (int i = 0; sweep && sweep->kind == CONF_LIST && i < sweep->n; i++)
            if (sweep->item[i]->kind == CONF_MAP)
                experiment_check_keys(l, sweep->item[i], 0);
        read_scalars(l, limit);
        read_measure(l);
        read_record(l);
        read_models(l);
        read_tasks(l);
        experiment_top(l);
        experiment_cells(l);
        experiment_baseline(l);
        experiment_check_tasks(l);
        experiment_check_budgets(l);
        experiment_check_any(l);
        experiment_check_template(l);
        write_resolved(l);
    }
    conf_free(l->root);
    if (l->errors && l->n_error > MAX_ERROR)
        str_addf(l->errors, "... and %d more\n", l->n_error - MAX_ERROR);
    return l->n_error ? -1 : 0;
}

void experiment_print(const struct experiment *x, const char *dir, struct str *out)
{
    str_add(out, x->resolved.p ? x->resolved.p : "");
    char *from = fs_relative(dir, x->dir);
    if (strcmp(from, ".") != 0) {
        str_add(out, "relative_to: ");
        conf_add_text(out, from);
        str_addc(out, '\n');
    }
    mem_free(from);
}

static int load_conf(const char *path, struct conf *root, const char *text, const char *const *set, int n_set,
                     int limit, struct experiment *x, struct str *errors, struct err *e)
{
    struct err mine = {0};
    struct load l = {.x = x, .root = root, .errors = errors, .first = &mine};
    *x = (struct experiment){.path = mem_strdup(path), .dir = fs_dirname(path)};
    x->question = conf_first_comment(text);
    if (load(&l, set, n_set, limit) == 0)
        return 0;
    if (e)
        *e = mine;
    experiment_fini(x);
    return -1;
}

int experiment_load_text(const char *name, const char *text, const char *const *set, int n_set, int limit,
                         struct experiment *x, struct str *errors, struct err *e)
{
    struct err mine = {0};
    *x = (struct experiment){0};
    struct conf *root = conf_parse(name, text, strlen(text), &mine);
    if (!root) {
        if (errors)
            add_error(errors, mine.msg);
        if (e)
            *e = mine;
        return -1;
    }
    return load_conf(name, root, text, set, n_set, limit, x, errors, e);
}

int experiment_load(const char *name, const char *const *set, int n_set, int limit, struct experiment *x,
                    struct str *errors, struct err *e)
{
    size_t n;
    struct err mine = {0};
    *x = (struct experiment){0};
    char *path = experiment_find(name, &mine), *text = path ? fs_read(path, &n, &mine) : NULL;
    int rc = -1;
    if (text && strlen(text) == n) {
        rc = experiment_load_text(path, text, set, n_set, limit, x, errors, e);
    } else {
        if (text)
            err_set(&mine, ERR_CONFIG, "%s:1: no text: the file holds a NUL byte", path);
        if (errors)
            add_error(errors, mine.msg);
        err_set(e, ERR_CONFIG, "%s", mine.msg);
    }
    mem_free(text);
    mem_free(path);
    return rc;
}

uint64_t experiment_sample_hash(const struct experiment *x, int task, int sample)
{
    const struct exp_task *t = &x->task[task];
    struct str s = {0};
    str_addf(&s, "%s %d ", t->ops->name, t->ops->version);
    param_json(t->ops->params, t->config, &s); /* without what every task takes: no sample is drawn from it */
    uint64_t h = rng_mix(rng_mix(hash_fnv1a(s.p, s.n), x->seed), (uint64_t)sample);
    str_free(&s);
    return h;
}

void experiment_fini(struct experiment *x)
{
    for (int i = 0; i < x->n_model; i++) {
        mem_free(x->model[i].path);
        mem_free(x->model[i].name);
        mem_free(x->model[i].sizes);
    }
    for (int i = 0; i < x->n_task; i++) {
        struct exp_task *t = &x->task[i];
        param_fini(dataset_params(t->ops), t->config);
        mem_free(t->config);
        mem_free(t->label);
        mem_free(t->params);
        mem_free(t->metric);
    }
    for (int i = 0; i < x->n_cell; i++) {
        struct cell *c = &x->cell[i];
        axes_free(c);
        mem_free(c->json);
    }
    for (int i = 0; i < x->n_self; i++)
        x->self[i].ops->destroy(x->self[i].self);
    mem_free(x->self);
    for (int i = 0; i < x->n_infeasible; i++)
        mem_free(x->infeasible[i]);
    mem_free(x->infeasible);
    for (int i = 0; i < x->n_prompts; i++) {
        h5_free_strings(x->prompts[i]->sha256, x->prompts[i]->n);
        mem_free(x->prompts[i]->path);
        mem_free(x->prompts[i]);
    }
    mem_free(x->prompts);
    for (int i = 0; i < x->n_owned; i++) {
        param_fini(x->owned[i].params, x->owned[i].config);
        mem_free(x->owned[i].config);
    }
    mem_free(x->owned);
    mem_free(x->model);
    mem_free(x->task);
    mem_free(x->cell);
    mem_free(x->path);
    mem_free(x->dir);
    mem_free(x->name);
    mem_free(x->question);
    mem_free(x->template_name);
    mem_free(x->template_system);
    mem_free(x->template_prefix);
    mem_free(x->template_suffix);
    mem_free(x->baseline);
    str_free(&x->unused);
    str_free(&x->resolved);
    *x = (struct experiment){0};
}
