#include "harness/aggregate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"

const char *const aggregate_measure_names[] = {"score", "nll", "kl", "top1", "kl_max", NULL};

static double value(const struct json *row, const char *key)
{
    return json_number(json_get(row, key), (double)NAN);
}

const char *aggregate_text(const struct agg_cell *c, const char *key)
{
    const char *t = json_string(json_get(c->axes, key));
    return t ? t : "";
}

static int64_t pair_hash(const struct json *row)
{
    struct str s = {0};
    const char *c = json_string(json_get(row, "context_id")), *q = json_string(json_get(row, "question_id"));
    str_addf(&s, "%.0f\n%s\n%s", value(row, "sample"), c ? c : "", q ? q : "");
    int64_t h = (int64_t)(hash_fnv1a(s.p, s.n) >> 1);
    str_free(&s);
    return h;
}

static int by_cell(const void *x, const void *y)
{
    const struct agg_cell *a = x, *b = y;
    return (a->order > b->order) - (a->order < b->order);
}

static int add_line(struct aggregate *a, size_t *cap, const char *path, const char *text, size_t n, int line, struct err *e)
{
    struct agg_row r = {.json = json_parse(path, text, n, NULL)};
    int64_t schema, sample, order;
    const char *id = json_string(json_get(r.json, "cell"));
    if (!r.json || json_int64(json_get(r.json, "schema"), &schema) || json_int64(json_get(r.json, "sample"), &sample) || !id ||
        json_int64(json_get(r.json, "cell_index"), &order) || !json_string(json_get(r.json, "status"))) {
        json_free(r.json);
        return err_set(e, ERR_FORMAT, "%s:%d: not a row", path, line);
    }
    if (schema != 1) {
        json_free(r.json);
        return err_set(e, ERR_FORMAT, "%s:%d: schema %d, expected 1", path, line, (int)schema);
    }
    r.sample = sample;
    r.question = pair_hash(r.json);
    for (int m = 0; m < AGG_N_MEASURE; m++)
        r.value[m] = value(r.json, aggregate_measure_names[m]);
    r.bytes = value(r.json, "cache_bytes");
    r.keep = value(r.json, "keep");
    r.tokens = value(r.json, "keep_tokens");
    for (int i = 0; i < a->n_row; i++)
        if (a->row[i].question == r.question && strcmp(json_string(json_get(a->row[i].json, "cell")), id) == 0) {
            json_free(a->row[i].json); /* computed again: the later row counts */
            a->row[i] = r;
            return 0;
        }
    mem_grow(&a->row, cap, (size_t)a->n_row + 1, sizeof *a->row);
    a->row[a->n_row++] = r;
    return 0;
}

static void make_cells(struct aggregate *a)
{
    size_t cap = 0;
    for (int i = 0; i < a->n_row; i++) {
        const char *id = json_string(json_get(a->row[i].json, "cell"));
        int at = 0;
        while (at < a->n_cell && strcmp(a->cell[at].id, id) != 0)
            at++;
        if (at == a->n_cell) {
            mem_grow(&a->cell, &cap, (size_t)a->n_cell + 1, sizeof *a->cell);
            a->cell[a->n_cell++] = (struct agg_cell){.id = id, .order = (int)value(a->row[i].json, "cell_index"), .baseline = -1};
        }
        a->cell[at].axes = a->row[i].json;
    }
    if (a->n_cell)
        qsort(a->cell, (size_t)a->n_cell, sizeof *a->cell, by_cell);
    for (int i = 0; i < a->n_row; i++)
        for (int c = 0; c < a->n_cell; c++)
            if (strcmp(a->cell[c].id, json_string(json_get(a->row[i].json, "cell"))) == 0)
                a->row[i].cell = c;
}

static int same(const struct agg_cell *a, const struct agg_cell *b, const char *key)
{
    char *x = json_print(json_get(a->axes, key)), *y = json_print(json_get(b->axes, key));
    int equal = strcmp(x, y) == 0;
    mem_free(x);
    mem_free(y);
    return equal;
}

static void find_baseline(struct aggregate *a, int c)
{
    static const char *const keys[] = {"model", "task", "task_params", "prune_after", "max_new_tokens", "template", "seed"};
    for (int b = 0; b < a->n_cell && a->cell[c].baseline < 0; b++) {
        int ok = strcmp(aggregate_text(&a->cell[b], "policy"), "full") == 0;
        for (size_t k = 0; ok && k < sizeof keys / sizeof *keys; k++)
            ok = same(&a->cell[c], &a->cell[b], keys[k]);
        if (ok)
            a->cell[c].baseline = b;
    }
}

static double mean_of(const struct aggregate *a, int c, const char *key)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < a->n_row; i++) {
        double v = a->row[i].cell == c ? value(a->row[i].json, key) : (double)NAN;
        if (!isnan(v)) {
            sum += v;
            n++;
        }
    }
    return n ? sum / n : (double)NAN;
}

static void summarise(struct aggregate *a, int c)
{
    struct agg_cell *cell = &a->cell[c];
    double *x = mem_new((size_t)a->n_row + 1, sizeof *x), *y = mem_new((size_t)a->n_row + 1, sizeof *y);
    int64_t *group = mem_new((size_t)a->n_row + 1, sizeof *group);
    for (int i = 0; i < a->n_row; i++)
        if (a->row[i].cell == c) {
            int ok = strcmp(json_string(json_get(a->row[i].json, "status")), "ok") == 0;
            cell->n_ok += ok;
            cell->n_failed += !ok;
        }
    for (int m = 0; m < AGG_N_MEASURE; m++) {
        int n = 0;
        for (int i = 0; i < a->n_row; i++) {
            if (a->row[i].cell != c)
                continue;
            x[n] = a->row[i].value[m];
            group[n] = a->row[i].sample;
            y[n] = (double)NAN;
            for (int k = 0; k < a->n_row && cell->baseline >= 0; k++)
                if (a->row[k].cell == cell->baseline && a->row[k].question == a->row[i].question)
                    y[n] = a->row[k].value[m];
            n++;
        }
        cell->summary[m] = stats_mean(x, n);
        if (cell->baseline >= 0 && cell->baseline != c)
            cell->diff[m] = stats_paired_clustered(x, y, group, n);
    }
    cell->bytes = mean_of(a, c, "cache_bytes");
    cell->keep = mean_of(a, c, "keep");
    cell->tokens = mean_of(a, c, "keep_tokens");
    cell->prefill_s = mean_of(a, c, "prefill_s");
    cell->decode_s = mean_of(a, c, "decode_s");
    mem_free(x);
    mem_free(y);
    mem_free(group);
}

int aggregate_load(const char *dir, struct aggregate *a, struct err *e)
{
    size_t n = 0, cap = 0;
    int line = 1, rc = -1;
    *a = (struct aggregate){0};
    char *path = fs_join(dir, "rows.jsonl"), *text = fs_read(path, &n, e);
    if (!text)
        goto out;
    for (size_t at = 0; at < n; line++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        if (!end)
            break; /* torn: a run that is still going, or was killed */
        if (add_line(a, &cap, path, text + at, length, line, e))
            goto out;
        at += length + 1;
    }
    make_cells(a);
    for (int c = 0; c < a->n_cell; c++)
        find_baseline(a, c);
    for (int c = 0; c < a->n_cell; c++)
        summarise(a, c);
    rc = 0;
out:
    mem_free(text);
    mem_free(path);
    if (rc)
        aggregate_free(a);
    return rc;
}

void aggregate_free(struct aggregate *a)
{
    for (int i = 0; i < a->n_row; i++)
        json_free(a->row[i].json);
    mem_free(a->row);
    mem_free(a->cell);
    *a = (struct aggregate){0};
}

void aggregate_policy_label(const struct aggregate *a, int cell, struct str *out)
{
    const struct agg_cell *c = &a->cell[cell];
    int several = 0;
    for (int i = 0; i < a->n_cell; i++)
        several |= !strcmp(aggregate_text(&a->cell[i], "policy"), aggregate_text(c, "policy")) && !same(&a->cell[i], c, "params");
    str_add(out, aggregate_text(c, "policy"));
    const struct json *params = json_get(c->axes, "params");
    for (const struct json *p = several ? json_first(params) : NULL; p; p = json_next(p)) {
        char *v = json_is_string(p) ? mem_strdup(json_string(p)) : json_print(p);
        str_addf(out, " %s=%s", json_key(p), v);
        mem_free(v);
    }
}

static void csv_text(struct str *out, const char *t)
{
    str_addc(out, '"');
    for (; *t; t++) {
        if (*t == '"')
            str_addc(out, '"');
        str_addc(out, *t);
    }
    str_addc(out, '"');
}

static void csv_number(struct str *out, double x)
{
    str_addc(out, ',');
    if (isfinite(x))
        str_add_double(out, x);
}

void aggregate_csv(const struct aggregate *a, struct str *out)
{
    static const char *const axes[] = {"cell", "model", "task", "length", "task_params", "template", "seed", "policy", "params",
                                       "budget", "layer_budget", "head_budget", "protect", "prune_after", "prefill", "decode",
                                       "positions", "policy_seed", "max_new_tokens", "metric"};
    enum { N_AXES = sizeof axes / sizeof *axes };
    for (int k = 0; k < N_AXES; k++)
        str_addf(out, "%s%s", k ? "," : "", axes[k]);
    str_add(out, ",n,n_failed,keep,keep_tokens,cache_bytes");
    for (int m = 0; m < AGG_N_MEASURE; m++) {
        const char *name = aggregate_measure_names[m];
        str_addf(out, ",%s,%s_se,%s_lo,%s_hi,%s_diff,%s_diff_se,%s_diff_lo,%s_diff_hi,%s_diff_p", name, name, name, name, name,
                 name, name, name, name);
    }
    str_add(out, ",prefill_s,decode_s\n");
    for (int c = 0; c < a->n_cell; c++) {
        const struct agg_cell *cell = &a->cell[c];
        for (int k = 0; k < N_AXES; k++) {
            const struct json *v = json_get(cell->axes, axes[k]);
            char *t = json_is_string(v) ? mem_strdup(json_string(v)) : json_is_null(v) || !v ? mem_strdup("") : json_print(v);
            if (k)
                str_addc(out, ',');
            csv_text(out, t);
            mem_free(t);
        }
        str_addf(out, ",%d,%d", cell->n_ok, cell->n_failed);
        csv_number(out, cell->keep);
        csv_number(out, cell->tokens);
        csv_number(out, cell->bytes);
        for (int m = 0; m < AGG_N_MEASURE; m++) {
            const struct stats_summary *s = &cell->summary[m];
            const struct stats_paired *d = &cell->diff[m];
            double none = (double)NAN;
            int has = d->n > 0;
            csv_number(out, s->mean);
            csv_number(out, s->se);
            csv_number(out, s->lo);
            csv_number(out, s->hi);
            csv_number(out, has ? d->diff : none);
            csv_number(out, has ? d->se : none);
            csv_number(out, has ? d->lo : none);
            csv_number(out, has ? d->hi : none);
            csv_number(out, has ? d->p : none);
        }
        csv_number(out, cell->prefill_s);
        csv_number(out, cell->decode_s);
        str_addc(out, '\n');
    }
}
